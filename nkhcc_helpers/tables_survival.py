"""Display tables of survival by group: medians, landmarks, curves, log-rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_rows, display_table
from nkhcc_helpers.labels import show_endpoint, show_group, show_interval
from nkhcc_helpers.numbers import format_interval, format_median, format_number, format_p, format_percent

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.permutation import Comparison
    from nkhcc_helpers.trial import Trial


def format_survival_summary(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """Patients, events, median and range of an endpoint, a row per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `survival_by_group.summarize_survival` returns it; a column ``coverage`` is shown when there.
    trial : Trial
        Knows the group and endpoint labels and the time unit.
    endpoint : str
        Code of the endpoint.
    conf_level : float
        Level of the interval, for its heading.
    notes : iterable of str
        Lines under the table: name the interval and the convention for the median.

    Returns
    -------
    great_tables.GT
    """
    columns = {
        "Group": lambda row: show_group(row["group"], trial),
        "Patients": "n",
        "Events": "n_events",
        f"Median ({show_interval(conf_level)})": _median_with_limits,
        "Range": _range_with_censoring,
    }
    notes = ["+ censored time.", *notes]
    if "coverage" in frame:
        columns["Coverage"] = lambda row: format_percent(100 * row["coverage"])
        notes.insert(1, "Coverage: how often such an interval holds the true median, nobody being censored.")
    return display_rows(
        frame,
        columns,
        title=show_endpoint(endpoint, trial),
        subtitle=f"Time in {trial.unit}",
        notes=notes,
        illustrative=trial.is_illustrative,
    )


def _median_with_limits(row: Mapping) -> str:
    return format_median(row["median"], row["ci_lower"], row["ci_upper"])


def _range_with_censoring(row: Mapping) -> str:
    marks = {end: "+" if row[f"{end}_censored"] else "" for end in ("minimum", "maximum")}
    return " to ".join(f"{format_number(row[end])}{mark}" for end, mark in marks.items())


def format_landmarks(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """Percent free of the event at given times, a block per time and a row per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``group time n_at_risk survival ci_lower ci_upper``: `survival.estimate_survival_at` for each
        group; survival as a proportion.
    trial, endpoint, conf_level, notes
        As in :func:`format_survival_summary`.

    Returns
    -------
    great_tables.GT
    """
    frame = frame.sort_values("time", kind="stable")
    return display_rows(
        frame,
        {
            "Group": lambda row: show_group(row["group"], trial),
            "At risk": "n_at_risk",
            "Without event": lambda row: format_percent(100 * row["survival"]),
            f"{show_interval(conf_level)} (%)": lambda row: format_interval(
                100 * row["ci_lower"], 100 * row["ci_upper"], 0
            ),
        },
        block=lambda row: f"At {row['time']:g} {trial.unit}",
        title=f"{show_endpoint(endpoint, trial)} at fixed times",
        notes=[*_explain_ne(frame), *notes],
        illustrative=trial.is_illustrative,
    )


def _explain_ne(frame: pd.DataFrame) -> list[str]:
    missing = frame["survival"].isna().any()
    return ["NE: nobody is followed that long, so that nothing can be said."] if missing else []


def format_curve(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, group: str = "", notes: Iterable[str] = ()
) -> GT:
    """The steps of one Kaplan-Meier curve.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``time n_at_risk n_events n_censored survival``, and limits when wanted: one group's curve
        as `survival.estimate_km` returns it.
    trial, endpoint, notes
        As in :func:`format_survival_summary`.
    group : str
        Code of the group, for the subtitle.

    Returns
    -------
    great_tables.GT
    """
    labels = {
        "time": f"Time ({trial.unit})",
        "n_at_risk": "At risk",
        "n_events": "Events",
        "n_censored": "Censored",
        "survival": "Survival",
        "ci_lower": "Lower limit",
        "ci_upper": "Upper limit",
    }
    columns = [column for column in labels if column in frame]
    digits = {"time": 2, "survival": 4, "ci_lower": 4, "ci_upper": 4}
    return display_table(
        frame[columns],
        title=f"{show_endpoint(endpoint, trial)}, step by step",
        subtitle=show_group(group, trial) if group else "",
        labels=labels,
        decimals=digits,
        notes=notes,
        illustrative=trial.is_illustrative,
    )


def format_comparison(
    comparison: Comparison, trial: Trial, *, endpoint: str, notes: Iterable[str] = ()
) -> GT:
    """The log-rank comparison: events observed and expected in each group, and its P value.

    Parameters
    ----------
    comparison : permutation.Comparison
        As `permutation.compare_survival` returns it.
    trial, endpoint, notes
        As in :func:`format_survival_summary`.

    Returns
    -------
    great_tables.GT
    """
    shown = pd.DataFrame(
        {
            "group": [show_group(code, trial) for code in comparison.observed.index],
            "observed": [format_number(value, 0) for value in comparison.observed],
            "expected": [format_number(value, 2) for value in comparison.expected],
        }
    )
    freedom = f"{comparison.df} degree{'' if comparison.df == 1 else 's'} of freedom"
    p_value = _with_relation(format_p(comparison.p_asymptotic))
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: log-rank test across groups",
        subtitle=f"Chi-square {format_number(comparison.statistic, 2)} on {freedom}, P {p_value}",
        labels={"group": "Group", "observed": "Events observed", "expected": "Events expected"},
        notes=[
            "Expected: if all groups had the same survival.",
            "P from the chi-square distribution, which holds for large groups.",
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def _with_relation(p_value: str) -> str:
    return f"{p_value[0]} {p_value[1:]}" if p_value[0] in "<>" else f"= {p_value}"
