"""Display tables of survival by group: medians, landmarks, curves, log-rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import display_rows, display_table
from nkhcc_helpers.report.names import show_endpoint, show_group, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_ESTIMABLE,
    format_interval,
    format_median,
    format_number,
    format_p,
    format_percent,
    is_estimable,
)

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.survival.permutation import Comparison
    from nkhcc_helpers.trial.trial import Trial


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


TEST_NAMES = {
    "asymptotic": "Usual log-rank, chi-square",
    "permuted": "Usual log-rank, permuted",
    "score permuted": "Score test, permuted",
    "trend asymptotic": "Ordered trend, chi-square",
    "trend permuted": "Ordered trend, permuted",
}


def format_tests(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, n_draws: int, notes: Iterable[str] = ()
) -> GT:
    """Tests of one endpoint with their asymptotic, permuted and exact P side by side.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `permutation.summarize_comparisons` returns it.
    trial : Trial
    endpoint : str
        Code of the endpoint.
    n_draws : int
        Random relabellings behind the permuted P.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    return display_rows(
        frame,
        {
            "Test": "test",
            "Chi-square": lambda row: f"{format_number(row['statistic'], 2)} ({row['df']} df)",
            "Asymptotic P": lambda row: format_p(row["p_asymptotic"]),
            "Permuted P (error)": lambda row: _with_error(row["p_permutation"], row["p_permutation_error"]),
            "Exact P of the score test": _exact_or_why_not,
        },
        title=f"{show_endpoint(endpoint, trial)}: do the groups differ?",
        notes=[
            "Asymptotic: from the chi-square distribution. Permuted: the same statistic over "
            f"{n_draws:,} random relabellings, with Monte-Carlo standard error.",
            "Exact: the score statistic over every allocation of the patients to groups of these sizes.",
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def format_pairs(frame: pd.DataFrame, trial: Trial, *, endpoint: str, notes: Iterable[str] = ()) -> GT:
    """Pairs of groups with the exact P, its adjustment, and the smallest P their sizes can give.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `permutation.compare_pairs` returns it.
    trial, endpoint, notes
        As in :func:`format_tests`.

    Returns
    -------
    great_tables.GT
    """
    return display_rows(
        frame,
        {
            "Pair": lambda row: " against ".join(show_group(row[of], trial) for of in ("first", "second")),
            "Patients": lambda row: f"{row['n_first']} and {row['n_second']}",
            "Asymptotic P": lambda row: format_p(row["p_asymptotic"]),
            "Exact P": _exact_or_why_not,
            "Exact P, Holm": lambda row: format_p(row["p_holm"]),
            "Smallest possible P": lambda row: _smallest(row["p_smallest"]),
        },
        title=f"{show_endpoint(endpoint, trial)}: pairs of groups",
        notes=[
            "Log-rank. Exact: two-sided score test over every allocation of the two groups.",
            "Holm: adjusted for the pairs shown. Smallest possible: what groups of these sizes can give.",
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def format_recalibrated(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Published log-rank P-values beside what they are worth at these group sizes.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `published.recalibrate_published` returns it.
    trial, notes
        As in :func:`format_tests`.

    Returns
    -------
    great_tables.GT
    """
    return display_rows(
        frame,
        {
            "Endpoint": lambda row: show_endpoint(row["endpoint"], trial),
            "Published P": lambda row: f"{row['p_published']:g}",
            "Permutation P (error)": lambda row: _with_error(row["p_value"], row["error"]),
        },
        title="What the published P-values are worth",
        notes=["How often random allocation alone reaches a statistic as large; nobody censored.", *notes],
        illustrative=trial.is_illustrative,
    )


def format_attained(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """How often each test rejects although the groups do not differ.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `calibration.attained_size` returns it.
    trial, notes
        As in :func:`format_tests`.

    Returns
    -------
    great_tables.GT
    """
    levels = list(dict.fromkeys(frame["alpha"]))
    columns = {f"at_{i}": frame[frame["alpha"] == level] for i, level in enumerate(levels)}
    shown = pd.DataFrame({"test": [TEST_NAMES[name] for name in dict.fromkeys(frame["test"])]})
    for column, part in columns.items():
        cells = zip(100 * part["rejected"], 100 * part["error"], strict=True)
        shown[column] = [f"{rejected:.2f} ({error:.2f})" for rejected, error in cells]
    return display_table(
        shown,
        title="How far to trust each test",
        subtitle="Percent of trials rejected although the groups do not differ (Monte-Carlo standard error)",
        labels={"test": "Test"}
        | {f"at_{i}": f"At a level of {format_percent(100 * level)}" for i, level in enumerate(levels)},
        notes=notes,
        illustrative=trial.is_illustrative,
    )


def format_coverage(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """How often the limits of a curve hold the truth, the worst of the places looked at.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `calibration.attained_coverage` returns it.
    trial, notes
        As in :func:`format_tests`.
    conf_level : float
        Nominal level.

    Returns
    -------
    great_tables.GT
    """
    worst = frame.pivot_table(
        index=["n", "censoring"], columns="conf_type", values="coverage", aggfunc="min", sort=False
    )
    shown = pd.DataFrame({"n": [f"{n}, {format_percent(100 * share)} censored" for n, share in worst.index]})
    for conf_type in worst:
        shown[conf_type] = [f"{100 * value:.1f}" for value in worst[conf_type]]
    places = ", ".join(format_percent(100 * share) for share in dict.fromkeys(frame["survival"]))
    return display_table(
        shown,
        title="How far to trust each interval of a survival curve",
        subtitle=f"Percent of simulated groups whose {show_interval(conf_level)} holds the truth",
        labels={"n": "Patients", **{conf_type: conf_type for conf_type in worst}},
        notes=[f"The lowest of three: where true survival is {places}.", *notes],
        illustrative=trial.is_illustrative,
    )


def format_rmst(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """Restricted mean survival time, a row per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `survival_by_group.summarize_rmst` returns it.
    trial, endpoint, notes
        As in :func:`format_tests`.
    conf_level : float

    Returns
    -------
    great_tables.GT
    """
    horizon = f"{frame['tau'].iloc[0]:.4g} {trial.unit}"
    return display_rows(
        frame,
        {
            "Group": lambda row: show_group(row["group"], trial),
            "Patients": "n",
            f"Mean ({trial.unit})": lambda row: format_number(row["estimate"], 2),
            "Standard error": lambda row: format_number(row["standard_error"], 2),
            show_interval(conf_level): lambda row: format_interval(row["ci_lower"], row["ci_upper"], 2),
        },
        title=f"{show_endpoint(endpoint, trial)}: mean time without the event, up to {horizon}",
        notes=[
            "Area under the Kaplan-Meier curve. Normal interval: too narrow in groups of a few patients.",
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def _with_error(p_value: float, error: float) -> str:
    if not is_estimable(p_value):
        return NOT_ESTIMABLE
    return f"{format_p(p_value)} ({error:.1g})" if error >= 0.00005 else f"{format_p(p_value)} (<0.0001)"


def _exact_or_why_not(row: dict) -> str:
    if is_estimable(row["p_exact"]):
        return format_p(row["p_exact"])
    if not is_estimable(row["p_asymptotic"]):
        return NOT_ESTIMABLE
    return f"not computed ({row['n_allocations']:,.4g} allocations)"


def _smallest(p_value: float) -> str:
    return format_p(p_value) + (", cannot reach 0.05" if p_value > 0.05 else "")
