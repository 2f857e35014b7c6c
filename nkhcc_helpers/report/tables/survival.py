"""Tables of survival by group: medians, landmarks, curves, log-rank, and how far to trust them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers import identification, survival
from nkhcc_helpers.report.display import (
    Layout,
    group,
    lay_out_rows,
    median_with_limits,
    number,
    p_value,
    shows_table,
)
from nkhcc_helpers.report.names import name_empty, name_interval, show_endpoint, show_group, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_interval,
    format_large,
    format_number,
    format_p,
    format_p_with_error,
    format_percent,
    is_estimable,
)
from nkhcc_helpers.survival.calibration import MOST_PATIENTS
from nkhcc_helpers.survival.competing import IncidenceComparison
from nkhcc_helpers.survival.permutation import Comparison

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

COVERAGE_NOTE = "Coverage: how often such an interval holds the true median, nobody being censored."
OPEN_NOTE = "Follow-up, not an event, ends the flat stretch at one half in {}: there the median is a guess."
NO_TEST = "No test: that needs two groups, and events while patients of both are at risk."
LEFT_NOTE = "NE in {}: the last patient left before the horizon."
MOST_STEPS = 20  # of a curve
PERMUTED_NOTE = (
    "Asymptotic: from the chi-square distribution. Permuted: the same statistic over {n_draws:,} random "
    "relabellings, with Monte-Carlo standard error."
)
KM_NOTE = "1 - Kaplan-Meier: competing events taken for censoring; too large once an event follows one."
INCIDENCE_NOTES = {
    "beta": [
        "Interval: Clopper-Pearson at the effective number of patients, exact where nobody is censored.",
        KM_NOTE,
    ],
    "log-log": ["Interval: log-log, with the infinitesimal jackknife's variance.", KM_NOTE],
}
BEYOND_NOTE = "NE: nobody is under observation any more, or yet, so that nothing can be said."
DRAWN_NOTE = "Permuted, with Monte-Carlo error: the same statistic, where allocations are too many to count."
FEWER_NOTE = "Not the {:,} relabellings asked for, which so many patients make slow."
TOO_MANY_NOTE = "Not simulated: {:,} patients, and at most {:,} are. It is a question of small groups."
WITHIN_NOTE = "A test in strata takes relabellings and allocations within each stratum only."
TEST_NAMES = {
    "asymptotic": "Usual log-rank, chi-square",
    "permuted": "Usual log-rank, permuted",
    "score permuted": "Score test, permuted",
    "trend asymptotic": "Ordered trend, chi-square",
    "trend permuted": "Ordered trend, permuted",
}


@shows_table(survival.summarize_survival)
def format_survival_summary(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str,
    conf_level: float = 0.95,
    conf_type: str = "",
    convention: str = "",
) -> Layout:
    """Patients, events, median and range, from `summarize_survival`; ``coverage`` when it is there."""
    columns = {
        "Group": group(trial),
        "Patients": "n",
        "Events": "n_events",
        f"Median ({show_interval(conf_level)})": median_with_limits,
        "Range": _range_with_censoring,
    }
    if "coverage" in frame:
        columns["Coverage"] = lambda row: format_percent(100 * row["coverage"])
    flat = f"Median where the curve is flat at one half: {convention}."
    method = " ".join([*name_interval(conf_type), *([flat] if convention else [])])
    covered = [COVERAGE_NOTE] if "coverage" in frame else []
    covered += _name_groups(OPEN_NOTE, frame, frame.get("open_ended"), trial)
    return lay_out_rows(
        frame,
        columns,
        title=show_endpoint(endpoint, trial),
        subtitle=f"Time in {trial.unit}",
        notes=["+ censored time.", *covered, *([method] if method else [])],
    )


def _range_with_censoring(row: dict) -> str:
    if not row["n"]:
        return NOT_APPLICABLE
    marks = {end: "+" if row[f"{end}_censored"] else "" for end in ("minimum", "maximum")}
    return " to ".join(f"{format_number(row[end])}{mark}" for end, mark in marks.items())


def _name_groups(note: str, frame: pd.DataFrame, where: pd.Series | None, trial: Trial) -> list[str]:
    """The note with the groups that it is about, or none."""
    named = [show_group(each, trial) for each in ([] if where is None else frame.loc[where, "group"])]
    return [note.format(", ".join(named))] if named else []


@shows_table(survival.summarize_survival_at, survival.summarize_incidence_at)
def format_landmarks(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, conf_type: str = ""
) -> Layout:
    """Percent at given times, a block per time: free of the event, from `summarize_survival_at`, or with it
    where another competes, from `summarize_incidence_at`."""

    def percent(column: str) -> Callable[[dict], str]:
        return lambda row: format_percent(100 * row[column])

    def limits(row: dict) -> str:
        return format_interval(100 * row["ci_lower"], 100 * row["ci_upper"], 0)

    competes = "incidence" in frame
    share = "incidence" if competes else "survival"
    columns = {"With event" if competes else "Without event": percent(share)}
    columns |= {f"{show_interval(conf_level)} (%)": limits}
    columns |= {"1 - Kaplan-Meier": percent("one_minus_km")} if competes else {}
    return lay_out_rows(
        frame.sort_values("time", kind="stable"),
        {"Group": group(trial), "At risk": "n_at_risk", **columns},
        block=lambda row: f"At {row['time']:g} {trial.unit}",
        title=f"{show_endpoint(endpoint, trial)}{', cumulative incidence' * competes} at fixed times",
        notes=[
            *([BEYOND_NOTE] if frame[share].isna().any() else []),
            *(INCIDENCE_NOTES[conf_type] if competes else name_interval(conf_type)),
        ],
    )


@shows_table(survival.estimate_km)
def format_curve(frame: pd.DataFrame, trial: Trial, *, endpoint: str, group: str = "") -> Layout:
    """The steps of one group's Kaplan-Meier curve, from `estimate_km`, with limits when they are there."""
    columns = {
        f"Time ({trial.unit})": number("time", 2),
        "At risk": "n_at_risk",
        "Events": "n_events",
        "Censored": "n_censored",
        "Survival": number("survival", 4),
    }
    if "ci_lower" in frame:
        columns |= {"Lower limit": number("ci_lower", 4), "Upper limit": number("ci_upper", 4)}
    n_steps = len(frame)
    return lay_out_rows(
        frame.head(MOST_STEPS),
        columns,
        title=f"{show_endpoint(endpoint, trial)}, step by step",
        notes=[f"The first {MOST_STEPS} of {n_steps} steps."] if n_steps > MOST_STEPS else [],
        subtitle=show_group(group, trial) if group else "",
    )


@shows_table(Comparison)
def format_comparison(comparison: Comparison, trial: Trial, *, endpoint: str) -> Layout:
    """Events observed and expected in each group, and the log-rank P value, from `compare_survival`."""
    freedom = f"{comparison.df} degree{'' if comparison.df == 1 else 's'} of freedom"
    p = format_p(comparison.p_asymptotic)
    p = f"{p[0]} {p[1:]}" if p[0] in "<>" else f"= {p}"
    counted = pd.DataFrame({"observed": comparison.observed, "expected": comparison.expected})
    test = f"Chi-square {format_number(comparison.statistic, 2)} on {freedom}, P {p}"
    return lay_out_rows(
        counted.rename_axis("group").reset_index(),
        {
            "Group": group(trial),
            "Events observed": number("observed"),
            "Events expected": number("expected", 2),
        },
        title=f"{show_endpoint(endpoint, trial)}: log-rank test across groups",
        subtitle=test if comparison.df else NO_TEST,
        notes=[
            "Expected: if all groups had the same survival.",
            *name_empty(trial, endpoint),
            *(["P from the chi-square distribution, which holds for large groups."] if comparison.df else []),
        ],
    )


@shows_table(survival.summarize_comparisons)
def format_tests(frame: pd.DataFrame, trial: Trial, *, endpoint: str, n_draws: int) -> Layout:
    """Asymptotic, permuted and exact P of tests side by side, from `summarize_comparisons`."""
    return lay_out_rows(
        frame,
        {
            "Test": "test",
            "Chi-square": lambda row: f"{format_number(row['statistic'], 2)} ({row['df']} df)",
            "Asymptotic P": p_value("p_asymptotic"),
            "Permuted P (error)": lambda row: format_p_with_error(
                row["p_permutation"], row["p_permutation_error"]
            ),
            "Exact P of the score test": _exact_or_why_not,
        },
        title=f"{show_endpoint(endpoint, trial)}: do the groups differ?",
        subtitle="" if frame["df"].any() else NO_TEST,
        notes=[
            PERMUTED_NOTE.format(n_draws=n_draws),
            "Exact: the score statistic over every allocation of the patients to groups of these sizes.",
            *name_empty(trial, endpoint),
            *([WITHIN_NOTE] if "n_strata" in frame and (frame["n_strata"] > 1).any() else []),
        ],
    )


def _exact_or_why_not(row: dict) -> str:
    if is_estimable(row["p_exact"]):
        return format_p(row["p_exact"])
    if not is_estimable(row["p_asymptotic"]):
        return NOT_ESTIMABLE
    return f"not computed ({format_large(row['n_allocations'])} allocations)"


def _exact_or_drawn(row: dict) -> str:
    if not is_estimable(row.get("p_permutation")):
        return _exact_or_why_not(row)
    return f"{format_p_with_error(row['p_permutation'], row['p_permutation_error'])}, permuted"


@shows_table(survival.compare_pairs)
def format_pairs(frame: pd.DataFrame, trial: Trial, *, endpoint: str) -> Layout:
    """The exact P of each pair, its adjustment and the smallest P possible, from `compare_pairs`."""
    return lay_out_rows(
        frame,
        {
            "Pair": lambda row: " against ".join(show_group(row[of], trial) for of in ("first", "second")),
            "Patients": lambda row: f"{row['n_first']} and {row['n_second']}",
            "Asymptotic P": p_value("p_asymptotic"),
            "Exact P": _exact_or_drawn,
            "Exact P, Holm": p_value("p_holm"),
            "Smallest possible P": lambda row: (
                format_p(row["p_smallest"]) + (", cannot reach 0.05" if row["p_smallest"] > 0.05 else "")
            ),
        },
        title=f"{show_endpoint(endpoint, trial)}: pairs of groups",
        subtitle="" if len(frame) else NO_TEST,
        notes=[
            "Log-rank. Exact: two-sided score test over every allocation of the two groups.",
            *([DRAWN_NOTE] if "p_permutation" in frame and frame["p_permutation"].notna().any() else []),
            "Holm: adjusted for the pairs shown. Smallest possible: what groups of these sizes can give.",
            *name_empty(trial, endpoint),
        ],
    )


@shows_table(identification.recalibrate_published)
def format_recalibrated(frame: pd.DataFrame, trial: Trial) -> Layout:
    """Published log-rank P-values beside what they are worth, from `recalibrate_published`."""
    return lay_out_rows(
        frame,
        {
            "Endpoint": lambda row: show_endpoint(row["endpoint"], trial),
            "Published P": lambda row: f"{row['p_published']:g}",
            "Permutation P (error)": lambda row: format_p_with_error(row["p_value"], row["error"]),
        },
        title="What the published P-values are worth",
        notes=["How often random allocation alone reaches a statistic as large; as if nobody were censored."],
    )


@shows_table(survival.attained_size)
def format_attained(frame: pd.DataFrame, trial: Trial, *, too_many: int = 0) -> Layout:
    """How often each test rejects although the groups do not differ, from `attained_size`."""
    cells = {
        (row["test"], row["alpha"]): f"{100 * row['rejected']:.2f} ({100 * row['error']:.2f})"
        if is_estimable(row["rejected"])
        else NOT_ESTIMABLE
        for row in frame.to_dict("records")
    }
    levels = {
        f"At a level of {format_percent(100 * level)}": lambda row, level=level: cells[row["test"], level]
        for level in frame["alpha"].unique()
    }
    return lay_out_rows(
        frame[["test"]].drop_duplicates(),
        {"Test": lambda row: TEST_NAMES[row["test"]], **levels},
        title="How far to trust each test",
        subtitle="Percent of trials rejected although the groups do not differ (Monte-Carlo standard error)",
        notes=_name_too_many(too_many),
    )


def _name_too_many(n: int) -> list[str]:
    return [TOO_MANY_NOTE.format(n, MOST_PATIENTS)] if n else []


@shows_table(survival.attained_coverage)
def format_coverage(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95, too_many: int = 0
) -> Layout:
    """How often limits of a curve hold the truth at the worst of some places, from `attained_coverage`."""
    of = ["n", "censoring"]
    worst = frame.pivot_table(index=of, columns="conf_type", values="coverage", aggfunc="min", sort=False)
    places = ", ".join(format_percent(100 * share) for share in frame["survival"].unique())
    return lay_out_rows(
        worst.reset_index(),
        {
            "Patients": lambda row: f"{row['n']}, {format_percent(100 * row['censoring'])} censored",
            **{conf_type: lambda row, of=conf_type: f"{100 * row[of]:.1f}" for conf_type in worst},
        },
        title="How far to trust each interval of a survival curve",
        subtitle=f"Percent of simulated groups whose {show_interval(conf_level)} holds the truth",
        notes=[f"The lowest of three: where true survival is {places}.", *_name_too_many(too_many)],
    )


@shows_table(IncidenceComparison)
def format_gray(comparison: IncidenceComparison, trial: Trial, *, endpoint: str) -> Layout:
    """Events and competing events in each group, and Gray's test, from `compare_incidence`."""
    permuted = comparison.p_permutation, comparison.p_permutation_error
    p_values = [f"asymptotic P {format_p(comparison.p_asymptotic)}"]
    p_values += [f"permuted P (error) {format_p_with_error(*permuted)}"]
    exact = is_estimable(comparison.p_exact)
    p_values += [f"exact P {format_p(comparison.p_exact)}"] if exact else []
    told = f"Chi-square {format_number(comparison.statistic, 2)} on {comparison.df} df; {', '.join(p_values)}"
    return lay_out_rows(
        comparison.by_group,
        {
            "Group": group(trial),
            "Patients": "n",
            "With event": "n_events",
            "With competing event": "n_competing",
        },
        title=f"{show_endpoint(endpoint, trial)}: Gray's test across groups",
        subtitle=told if comparison.df else NO_TEST,
        notes=[
            PERMUTED_NOTE.format(n_draws=comparison.n_draws),
            *([FEWER_NOTE.format(comparison.fewer_than)] if comparison.fewer_than else []),
            *name_empty(trial, endpoint),
            *(["Exact: over every allocation of the patients to groups of these sizes."] if exact else []),
        ],
    )


@shows_table(survival.summarize_rmst)
def format_rmst(frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95) -> Layout:
    """Restricted mean survival time, a row per group, from `summarize_rmst`."""
    horizon = f"{frame['tau'].iloc[0]:.4g} {trial.unit}"
    return lay_out_rows(
        frame,
        {
            "Group": group(trial),
            "Patients": "n",
            f"Mean ({trial.unit})": number("estimate", 2),
            "Standard error": number("standard_error", 2),
            show_interval(conf_level): lambda row: format_interval(row["ci_lower"], row["ci_upper"], 2),
        },
        title=f"{show_endpoint(endpoint, trial)}: mean time without the event, up to {horizon}",
        notes=[
            "Area under the Kaplan-Meier curve. Normal interval: too narrow in groups of a few patients.",
            *_name_groups(LEFT_NOTE, frame, frame["estimate"].isna() & (frame["n"] > 0), trial),
        ],
    )
