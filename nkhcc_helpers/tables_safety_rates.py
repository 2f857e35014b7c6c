"""Display tables of adverse events per time at risk and per infusion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.exposure import list_unplaced
from nkhcc_helpers.labels import (
    choose_terms,
    list_block_keys,
    list_term_names,
    say_left_out,
    show_group,
    show_interval,
)
from nkhcc_helpers.numbers import NOT_ESTIMABLE, format_estimate, format_number, is_estimable

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

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
