"""Display tables of when adverse events come, and how long they last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_rows, display_table
from nkhcc_helpers.labels import show_group, show_interval
from nkhcc_helpers.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_estimate,
    format_interval,
    format_number,
    format_percent,
    is_estimable,
)

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

ONSET_NOTES = (
    "Onset: days since the latest infusion. Duration: end date minus onset date, 0 on the same day; where "
    "both days are counted, as in CDISC's ADURN, it is one more. Dates do not tell hours.",
    "Median duration and limits, and percent resolved the same or next day, by Kaplan-Meier. An event whose "
    "outcome says that it goes on is ongoing: censored at its end date if it has one, else at the patient's "
    "end of observation. A fatal event never resolves, and stays unresolved at every time. One without an "
    "end date and without such an outcome is left out, its end not known. Longest seen to resolve: of ends "
    "dated to the day. Events of one patient are taken for independent, so that the limits may be too "
    "narrow.",
)
BY_INFUSION_NOTE = (
    "An event belongs to the latest infusion on or before its onset, however long ago that was: this table "
    "has no window of days. Later infusions were received by fewer "
    "patients, and not by chance: who had bad events may have stopped."
)


def format_onset(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """When adverse events began after an infusion, and how long they lasted, a row per term.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety_timing.summarize_onset` returns it; days.
    trial : Trial
        Knows whether the data are illustrative.
    conf_level : float
        Level of the intervals, for their heading.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    return display_rows(
        frame,
        {
            "": "term",
            "Patients": "n_patients",
            "Events": "n_events",
            "Onset after infusion: median (range)": _median_and_range,
            f"Duration: median ({show_interval(conf_level)})": _median_and_limits,
            "Longest seen to resolve": lambda row: _number_or_none(row["duration_maximum"]),
            "Resolved the same or next day": lambda row: format_percent(row["percent_within_one_day"]),
            "Ongoing": "n_ongoing",
            "Fatal": "n_fatal",
            "End not known": "n_unknown_end",
            "Date imputed": "n_imputed",
        },
        title="Onset and duration",
        subtitle="Days",
        notes=[*ONSET_NOTES, *notes],
        illustrative=trial.is_illustrative,
    )


def _median_and_range(row: dict) -> str:
    if not is_estimable(row["onset_median"]):
        return NOT_APPLICABLE
    ends = format_interval(row["onset_minimum"], row["onset_maximum"], 0)
    return f"{format_number(row['onset_median'])} ({ends})"


def _median_and_limits(row: dict) -> str:
    limits = (row["duration_lower"], row["duration_upper"])
    if not is_estimable(row["duration_median"]) and pd.isna(limits[0]):
        return NOT_APPLICABLE
    return format_estimate(row["duration_median"], *limits)


def _number_or_none(value: float) -> str:
    return format_number(value, 0) if is_estimable(value) else NOT_APPLICABLE


def format_by_infusion(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Adverse events after each infusion: a row per infusion, a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``infusion group n_patients n_received n_events percent``, as
        `safety_timing.count_by_infusion` returns it.
    trial : Trial
        Knows the group labels.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    frame = frame.assign(group=frame["group"].astype("str"))
    codes = list(dict.fromkeys(frame["group"]))
    headings = {code: show_group(code, trial) for code in codes}
    frame["infusion"] = frame["infusion"].astype("object").where(frame["infusion"].notna(), None)
    cells = {(row["infusion"], row["group"]): _cell(row) for row in frame.to_dict("records")}
    numbers = list(dict.fromkeys(frame["infusion"]))
    names = ["Infusion not known" if pd.isna(number) else f"Infusion {number}" for number in numbers]
    columns = {code: [cells.get((number, code), NOT_APPLICABLE) for number in numbers] for code in codes}
    return display_table(
        pd.DataFrame({"": names, **columns}, dtype="object"),
        title="Adverse events after each infusion",
        subtitle="Patients with an event / patients who received the infusion (%) [events]",
        labels={"": ""},
        groups=headings,
        notes=[BY_INFUSION_NOTE, *notes],
        illustrative=trial.is_illustrative,
    )


def _cell(row: dict) -> str:
    if row["infusion"] is not None and not row["n_received"]:
        return NOT_APPLICABLE
    if not is_estimable(row["n_patients"]):
        return NOT_ESTIMABLE
    n_patients, n_events = int(row["n_patients"]), int(row["n_events"])
    if row["infusion"] is None:
        return f"{n_patients} [{n_events}]" if n_patients else "0"
    share = f" ({format_percent(row['percent'])}) [{n_events}]" if n_patients else ""
    return f"{n_patients}/{int(row['n_received'])}{share}"
