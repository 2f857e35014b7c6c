"""Display tables of what a Cox model hangs on: hazards, the coding of dose, how infusions are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nkhcc_helpers.report.display import display_table
from nkhcc_helpers.report.names import (
    DOSE_NAMES,
    FIT_NAMES,
    list_covariate_labels,
    show_endpoint,
    show_interval,
)
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_number,
    format_p,
    format_percent,
    format_ratio,
    is_estimable,
)
from nkhcc_helpers.report.tables.cox import show_ratio_intervals

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial


ASYMPTOTIC_NOTE = "Intervals and P by likelihood ratio, which holds for large trials only."


def format_proportional_hazards(
    frame: pd.DataFrame, trial: Trial, *, labels: Mapping[str, str] | None = None, notes: Iterable[str] = ()
) -> GT:
    """The check of proportional hazards, a row per covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``covariate statistic df p_value``, as `cox.check_proportional_hazards` returns it.
    trial : Trial
        Knows the group labels.
    labels : mapping of str to str, optional
        As in :func:`tables_cox.format_hazard_ratios`.
    notes : iterable of str
        Lines under the table: name the time scale.

    Returns
    -------
    great_tables.GT
    """
    names = {**list_covariate_labels(trial), **(labels or {})}
    shown = pd.DataFrame(
        {
            "covariate": [names.get(value, value) for value in frame["covariate"]],
            "statistic": [format_number(value, 2) for value in frame["statistic"]],
            "df": list(frame["df"]),
            "p_value": [format_p(value) for value in frame["p_value"]],
        }
    )
    return display_table(
        shown,
        title="Are the hazards proportional?",
        labels={"covariate": "", "statistic": "Chi-square", "df": "Degrees of freedom", "p_value": "P"},
        decimals=0,
        notes=[
            "A small P speaks against one hazard ratio for the whole follow-up.",
            "P from the chi-square distribution: in small trials it comes out too small somewhat too often.",
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def list_detectable(frame: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """List in words what the events can show of each covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``covariate hr_detectable drift_detectable``, as `cox.estimate_detectable` returns it.
    labels : mapping of str to str
        Covariate to what it is called (`labels.list_covariate_labels`).

    Returns
    -------
    list of str
    """
    told = []
    for row in frame.to_dict("records"):
        name, ratio = labels.get(row["covariate"], row["covariate"]), row["hr_detectable"]
        drift = (
            "over 1,000" if 1000 < row["drift_detectable"] < np.inf else format_ratio(row["drift_detectable"])
        )
        told.append(
            f"{name}: a hazard ratio of {format_ratio(1 / ratio)} or {format_ratio(ratio)}, or one that "
            f"changes {drift} times over from the first event to the last"
        )
    return told


def format_codings(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str,
    conf_level: float = 0.95,
    notes: Iterable[str] = (),
) -> GT:
    """Hazard ratios under each coding of dose, and over the range of the trial.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cox.sweep_codings` returns it: ``dose_coding covariate hr ci_lower ci_upper p_value hr_range``.
    trial, endpoint, conf_level, notes
        As in :func:`tables_cox.format_hazard_ratios`.

    Returns
    -------
    great_tables.GT
    """
    names = list_covariate_labels(trial)
    shown = pd.DataFrame(
        {
            "covariate": [
                DOSE_NAMES.get(coding, coding) if name == "dose" else names.get(name, name)
                for coding, name in zip(frame["dose_coding"], frame["covariate"], strict=True)
            ],
            "hr": [format_ratio(ratio) for ratio in frame["hr"]],
            "interval": show_ratio_intervals(frame, "ci"),
            "p_value": [format_p(p_value) for p_value in frame["p_value"]],
            "hr_range": [format_ratio(ratio) for ratio in frame["hr_range"]],
            "coding": [f"Dose as: {DOSE_NAMES.get(name, name).lower()}" for name in frame["dose_coding"]],
        }
    )
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: does the coding of dose matter?",
        labels={
            "covariate": "",
            "hr": "Hazard ratio per unit",
            "interval": show_interval(conf_level),
            "p_value": "P",
            "hr_range": "Hazard ratio over the range",
        },
        row_group="coding",
        notes=[
            "A unit changes with the coding. Over the range: from the smallest value in the trial to the "
            "largest, which can be compared.",
            ASYMPTOTIC_NOTE,
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def format_received(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str,
    conf_level: float = 0.95,
    notes: Iterable[str] = (),
) -> GT:
    """One Cox model on the same patients, infusions counted in several ways.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cox.fit_received` returns it: ``fit n n_events hr ci_lower ci_upper p_value``; with ``landmark``,
        that time is told below.
    trial, endpoint, conf_level, notes
        As in :func:`tables_cox.format_hazard_ratios`.

    Returns
    -------
    great_tables.GT
    """
    shown = pd.DataFrame(
        {
            "fit": [FIT_NAMES.get(name, name) for name in frame["fit"]],
            "n": [format_number(value, 0) for value in frame["n"]],
            "n_events": [format_number(value, 0) for value in frame["n_events"]],
            "hr": [format_ratio(ratio) for ratio in frame["hr"]],
            "interval": show_ratio_intervals(frame, "ci"),
            "p_value": [format_p(p_value) for p_value in frame["p_value"]],
        }
    )
    landmark = frame["landmark"].max() if "landmark" in frame else float("nan")
    told = [f"Landmark: {landmark:.3g} {trial.unit}."] if is_estimable(landmark) else []
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: hazard ratio for one infusion more",
        labels={
            "fit": "Infusions counted",
            "n": "Patients",
            "n_events": "Events",
            "hr": "Hazard ratio",
            "interval": show_interval(conf_level),
            "p_value": "P",
        },
        notes=[
            "Below 1: events come later. NE: not estimable.",
            "Partial likelihood, ties by Efron.",
            ASYMPTOTIC_NOTE,
            *told,
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


ATTAINED_NAMES = {
    "wald": "Partial, Wald",
    "likelihood ratio": "Partial, likelihood ratio",
    "firth wald": "Firth, Wald",
    "firth": "Firth, likelihood ratio",
    "permuted": "Permuted",
}
MARK_NOTE = "* On the wrong side of the nominal level by more than three Monte-Carlo errors."


def format_immortal_time(
    frame: pd.DataFrame, trial: Trial, *, alpha: float = 0.05, notes: Iterable[str] = ()
) -> GT:
    """How often each way to count infusions finds an effect of infusions that have none.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cox.simulate_immortal_time` returns it: ``fit rejected error n_trials not_estimable median_hr``.
    trial : Trial
    alpha : float
        Nominal level of the tests.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    shown = pd.DataFrame(
        {
            "fit": [FIT_NAMES.get(name, name) for name in frame["fit"]],
            "rejected": _show_shares(frame, "rejected", "error", above=alpha),
            "median_hr": [format_ratio(ratio) for ratio in frame["median_hr"]],
            "not_estimable": [format_percent(100 * share, 1) for share in frame["not_estimable"]],
        }
    )
    return display_table(
        shown,
        title="Infusions without any effect: who finds one?",
        subtitle=f"{frame['n_trials'].max():,} simulated trials in which one hazard holds for everyone",
        labels={
            "fit": "Infusions counted",
            "rejected": "Percent rejected (Monte-Carlo error)",
            "median_hr": "Median hazard ratio for one infusion more",
            "not_estimable": "Without estimate",
        },
        notes=[
            f"Likelihood-ratio tests at a level of {format_percent(100 * alpha)}.",
            "A trial without estimate does not reject.",
            MARK_NOTE,
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def format_attained_cox(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    labels: Mapping[str, str] | None = None,
    alpha: float = 0.05,
    notes: Iterable[str] = (),
) -> GT:
    """How often each test of a Cox model rejects, and how often its interval holds the truth.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cox.attained_cox` returns it: ``model covariate test rejected rejected_error coverage
        coverage_error not_estimable``, shares between 0 and 1.
    trial : Trial
    labels : mapping of str to str, optional
        As in :func:`tables_cox.format_hazard_ratios`.
    alpha : float
        Nominal level of the tests; that of the intervals is 1 - `alpha`.
    notes : iterable of str
        Lines under the table: say how many trials of what sizes.

    Returns
    -------
    great_tables.GT
    """
    names = {**list_covariate_labels(trial), **(labels or {})}
    tests = list(dict.fromkeys(frame["test"]))
    rows = frame[["model", "covariate"]].drop_duplicates(ignore_index=True)
    shown = rows.assign(covariate=[names.get(name, name) for name in rows["covariate"]])
    rejected = _show_shares(frame, "rejected", "rejected_error", above=alpha)
    covered = _show_shares(frame, "coverage", "coverage_error", below=1 - alpha)
    headings, spanners = {"covariate": ""}, []
    for cells, title in (
        (rejected, f"Percent of trials rejected (nominal {format_percent(100 * alpha)})"),
        (covered, f"Percent of intervals with the truth (nominal {format_percent(100 * (1 - alpha))})"),
    ):
        block = _spread_tests(frame.assign(cell=cells), rows, tests).add_prefix(f"{title} ")
        shown = shown.join(block)
        names_of_tests = [ATTAINED_NAMES.get(test, test) for test in tests]
        headings |= dict(zip(block, names_of_tests, strict=True))
        spanners.append((title, list(block)))
    return display_table(
        shown,
        title="How far to trust each test and each interval",
        subtitle="Simulated trials (Monte-Carlo error)",
        labels=headings,
        row_group="model",
        spanners=spanners,
        notes=[
            "A test without answer does not reject, an interval without limits does not hold.",
            MARK_NOTE,
            *_name_missing(frame),
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def _spread_tests(frame: pd.DataFrame, rows: pd.DataFrame, tests: list[str]) -> pd.DataFrame:
    """The column `cell` as a column per test, in line with `rows`; what was not tested is not applicable."""
    cells = frame.set_index(["model", "covariate", "test"])["cell"]
    keys = list(rows.itertuples(index=False, name=None))
    return pd.DataFrame(
        {test: list(cells.reindex([(*key, test) for key in keys]).fillna(NOT_APPLICABLE)) for test in tests}
    )


def _name_missing(frame: pd.DataFrame) -> list[str]:
    """A line on the tests that some trials, but not all, have no answer for."""
    some = frame[frame["not_estimable"].between(0, 1, inclusive="neither")]
    most = some.groupby("test", sort=False)["not_estimable"].max()
    names = [ATTAINED_NAMES.get(test, test) for test in most.index]
    told = "; ".join(
        f"{name} {format_percent(100 * share, 1)}" for name, share in zip(names, most, strict=True)
    )
    return [f"Trials without answer, at most: {told}."] if told else []


def _show_shares(
    frame: pd.DataFrame, column: str, error: str, *, above: float = 1.0, below: float = 0.0
) -> list[str]:
    """Percentages with their errors; those surely on the wrong side of what is nominal are marked."""
    cells = []
    for share, spread, missing in zip(frame[column], frame[error], frame["not_estimable"], strict=True):
        if missing == 1:
            cells.append(NOT_ESTIMABLE)
        elif not is_estimable(share):
            cells.append(NOT_APPLICABLE)
        else:
            wrong = share - 3 * spread > above or share + 3 * spread < below
            cells.append(f"{100 * share:.1f} ({100 * spread:.1f}){' *' if wrong else ''}")
    return cells
