"""Display tables of when adverse events come, and how long they last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import display_rows, display_table
from nkhcc_helpers.report.names import show_group, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_estimate,
    format_interval,
    format_number,
    format_percent,
    is_estimable,
)
from nkhcc_helpers.safety.counts import choose_terms, list_block_keys, list_term_names, say_left_out
from nkhcc_helpers.safety.exposure import list_unplaced

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial


END_OF_OBSERVATION = "the end of observation"
WINDOW_END = "{window_days} days after the last, or the end of observation if that is earlier"
RATE_NOTE = (
    "Time at risk: from the first infusion to {end}; it stops at the patient's first event of the term, and "
    "so do the infusions. Patients are counted of those at risk, who were infused. Only outside: patients "
    "all of whose events lie outside that time. Day not known: patients with an event that nobody can place "
    "and none within; they are not at risk, and left out of the rate."
)
GARWOOD_NOTE = "Limits: exact, Garwood. A rate assumes that the risk stays the same over time."


def format_rates(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    window_days: int | None = 30,
    conf_level: float = 0.95,
    counts: pd.DataFrame | None = None,
    most: int | None = None,
    notes: Iterable[str] = (),
) -> GT:
    """First events per patient and time, and per infusion, a block per term and a row per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``level organ_class term group n_patients n_at_risk time_at_risk rate ci_lower ci_upper
        n_infusions rate_per_infusion infusion_lower infusion_upper n_outside n_undated``,
        as `exposure.estimate_rates` returns it.
    trial : Trial
        Knows the group labels and the unit of time.
    window_days : int, optional
        As in `exposure.estimate_rates`, for the note; None: to the end of observation.
    conf_level : float
        Level of the intervals, for their heading.
    counts : pandas.DataFrame, optional
        As `safety_terms.count_by_term` returns it; tells which terms reached which grade. Without it every
        term is shown.
    most : int, optional
        With `counts`: terms shown, the most frequent; beyond them every term that a patient had at grade 3
        or more or without a known grade. All by default.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    frame = frame.assign(unplaced=list_unplaced(frame))
    names = list_term_names(frame)
    chosen = set(names if counts is None else choose_terms(counts, most))
    shown = {key: name for key, name in names.items() if key in chosen}
    keys = list_block_keys(frame)
    rows = [
        {"block": shown[key], **_show_rate(row, trial)}
        for key, row in zip(keys, frame.to_dict("records"), strict=True)
        if key in shown
    ]
    left_out = say_left_out(len(names) - len(shown), none_severe=True)
    more = [f"{left_out}; the CSV file of this table has them all."] if left_out else []
    interval = show_interval(conf_level)
    labels = {
        "group": "",
        "n_patients": "Patients with it",
        "time": f"Time at risk ({trial.unit})",
        "rate": f"First events per patient-{trial.unit.removesuffix('s')} ({interval})",
        "n_infusions": "Infusions",
        "per_infusion": f"First events per infusion ({interval})",
        "n_outside": "Only outside",
        "n_undated": "Day not known",
    }
    end = END_OF_OBSERVATION if window_days is None else WINDOW_END.format(window_days=window_days)
    return display_table(
        pd.DataFrame(rows, columns=["block", *labels]),
        title="Adverse events per time at risk and per infusion",
        labels=labels,
        row_group="block",
        notes=[RATE_NOTE.format(end=end), GARWOOD_NOTE, *more, *notes],
        illustrative=trial.is_illustrative,
    )


def _show_rate(row: dict, trial: Trial) -> dict[str, str]:
    per_infusion = (row["rate_per_infusion"], row["infusion_lower"], row["infusion_upper"])
    return {
        "group": show_group(row["group"], trial),
        "n_patients": _people(row),
        "time": format_number(row["time_at_risk"]),
        "rate": _rate_and_limits(row["rate"], row["ci_lower"], row["ci_upper"]),
        "n_infusions": format_number(row["n_infusions"], 0),
        "per_infusion": _rate_and_limits(*per_infusion),
        "n_outside": format_number(row["n_outside"], 0),
        "n_undated": format_number(row["n_undated"], 0),
    }


def _people(row: dict) -> str:
    if not is_estimable(row["n_patients"]) or row["unplaced"]:
        return NOT_ESTIMABLE
    return f"{int(row['n_patients'])} of {int(row['n_at_risk'])}"


def _rate_and_limits(rate: float, lower: float, upper: float) -> str:
    """A rate with two significant digits or more; 0 is a rate like others."""
    if not is_estimable(rate):
        return NOT_ESTIMABLE
    largest = max(value for value in (rate, upper) if is_estimable(value))
    decimals = 1 if largest >= 10 else 2 if largest >= 0.1 else 3
    return format_estimate(rate, lower, upper, decimals)


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
