"""Tables of Cox models: hazard ratios, likelihood-ratio tests, and what both hang on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nkhcc_helpers import cox
from nkhcc_helpers.report.display import Layout, lay_out_rows, number, p_value, shows_table
from nkhcc_helpers.report.names import (
    FIT_NAMES,
    list_covariate_labels,
    name_dose_unit,
    name_strata,
    name_treatment,
    show_coding,
    show_endpoint,
    show_group,
    show_interval,
    show_method,
)
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_p,
    format_p_with_error,
    format_percent,
    format_ratio,
    format_ratio_interval,
    is_estimable,
)

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

PERMUTED_NOTE = "Permutation: in brackets the Monte-Carlo standard error, or exact where all were counted."
CONTRASTS_NOTE = "Permutation: within pure contrasts."
AICC_NOTE = (
    "AICc: smaller is better for the size of the model, as far as so few events can tell; differences below "
    "2 say nothing. NE where there are too few events for the number of coefficients."
)
ASYMPTOTIC_NOTE = "Intervals and P by likelihood ratio, which holds for large trials only."
SIMULATED_NOTE = (
    "{n_trials:,} trials each, without effect for tests and with the estimated one for intervals."
)
RECEIVED_NOTE = "NE: no event, nobody at risk differs, or the number follows the time, as under one plan."
MARK_NOTE = "* On the wrong side of the nominal level by more than three Monte-Carlo errors."
ATTAINED_NAMES = {
    "wald": "Partial, Wald",
    "likelihood ratio": "Partial, likelihood ratio",
    "firth wald": "Firth, Wald",
    "firth": "Firth, likelihood ratio",
    "permuted": "Permuted",
}


def _lay_out(frame: pd.DataFrame, trial: Trial, endpoint: str, columns: Mapping, **options) -> Layout:
    """As `lay_out_rows`; of an endpoint, or a trial, with patients of one group, that it needs two."""
    groups = trial.survival(endpoint)["group"].unique() if endpoint else trial.groups
    if len(groups) > 1:
        return lay_out_rows(frame, columns, **options)
    told = pd.DataFrame({"told": ["Needs two groups"]})
    return Layout(told, {"labels": {"told": ""}, "title": options["title"]})


@shows_table(cox.summarize_models)
def format_hazard_ratios(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str,
    dose_coding: str = "relative",
    labels: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
    method: str = "",
    ties: str = "breslow",
    reference: str = "",
    strata: str = "",
) -> Layout:
    """Hazard ratios of Cox models, as `fit_cox` and `summarize_models` give them.

    A column ``model`` heads blocks of rows. Shown when there: ``p_permutation`` and ``p_permutation_error``
    (0 where every relabelling was counted), ``exact_lower`` and ``exact_upper``. `labels` are of covariates,
    `reference` is the group that others are compared with, the first where empty.
    """
    against = show_group(reference or trial.groups[0], trial)
    interval = show_interval(conf_level)
    holds_groups = frame["covariate"].astype("str").str.startswith("group ").any()
    columns = {"": _covariate(trial, dose_coding, labels, reference), "Hazard ratio": _ratio("hr")}
    likelihood = {interval: _limits("ci"), "P": p_value("p_value")}
    permutation = {interval: _limits("exact")} if "exact_lower" in frame else {}
    if "p_permutation" in frame:
        permutation["P"] = _permuted("p_permutation")
    columns |= {"Likelihood": likelihood, "Permutation": permutation} if permutation else likelihood
    return _lay_out(
        frame,
        trial,
        endpoint,
        columns,
        block=(lambda row: row["model"]) if "model" in frame else None,
        title=f"{show_endpoint(endpoint, trial)}: hazard ratios",
        notes=[
            "For one unit more of a covariate; below 1: events come later.",
            *([f"Groups are compared with {against}."] if holds_groups else []),
            *name_strata(trial, strata),
            *(["NE: not estimable."] if frame["hr"].isna().any() else []),
            *([PERMUTED_NOTE] if "p_permutation" in frame else []),
            *name_dose_unit(trial),
            *([f"{show_method(method)}, ties by {ties.capitalize()}. {CONTRASTS_NOTE}"] if method else []),
        ],
    )


def _covariate(
    trial: Trial,
    dose_coding: str = "relative",
    labels: Mapping[str, str] | None = None,
    reference: str = "",
) -> Callable[[dict], str]:
    known = list_covariate_labels(trial, dose_coding=dose_coding, reference=reference)
    names = {**known, **(labels or {})}
    return lambda row: names.get(row["covariate"], row["covariate"])


def _ratio(column: str) -> Callable[[dict], str]:
    return lambda row: format_ratio(row[column])


def _limits(prefix: str) -> Callable[[dict], str]:
    return lambda row: format_ratio_interval(row[f"{prefix}_lower"], row[f"{prefix}_upper"])


def _permuted(column: str) -> Callable[[dict], str]:
    """``0.0403 (exact)``, ``0.0403 (0.0006)``, or without brackets where no error is known."""

    def show(row: dict) -> str:
        value, error = row[column], row.get(f"{column}_error")
        exact = is_estimable(value) and is_estimable(error) and error == 0
        return f"{format_p(value)} (exact)" if exact else format_p_with_error(value, error)

    return show


@shows_table(cox.compare_models)
def format_model_comparison(frame: pd.DataFrame, trial: Trial, *, endpoint: str, strata: str = "") -> Layout:
    """Likelihood-ratio tests of Cox models, a row per model, from `compare_models`."""
    columns = {"Model": "model", "Log likelihood": number("log_likelihood", 2)}
    if "aicc" in frame:
        columns["AICc"] = number("aicc", 1)
    columns["Against no covariates"] = _likelihood_ratio(frame, "", "lr_statistic")
    if "lack_df" in frame:
        columns["Against the last model"] = _likelihood_ratio(frame, "lack_", "lack_statistic")
    return _lay_out(
        frame,
        trial,
        endpoint,
        columns,
        title=f"{show_endpoint(endpoint, trial)}: likelihood-ratio tests",
        notes=[
            *name_strata(trial, strata),
            "df: degrees of freedom. NE: not estimable.",
            *([PERMUTED_NOTE] if "p_permutation" in frame else []),
            *([AICC_NOTE] if "aicc" in frame else []),
        ],
    )


def _likelihood_ratio(frame: pd.DataFrame, prefix: str, statistic: str) -> dict:
    """The columns of one test; a model without a degree of freedom has no test."""
    columns = {"Chi-square": number(statistic, 2), "df": number(f"{prefix}df")}
    columns["P"] = p_value(f"{prefix}p_value")
    if f"{prefix}p_permutation" in frame:
        columns["Permuted P"] = _permuted(f"{prefix}p_permutation")
    return {
        heading: lambda row, cell=cell: NOT_APPLICABLE if row[f"{prefix}df"] == 0 else cell(row)
        for heading, cell in columns.items()
    }


@shows_table(cox.check_proportional_hazards)
def format_proportional_hazards(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str = "", dose_coding: str = "relative", strata: str = ""
) -> Layout:
    """The check of proportional hazards, a row per covariate, from `check_proportional_hazards`."""
    return _lay_out(
        frame,
        trial,
        endpoint,
        {
            "": _covariate(trial, dose_coding),
            "Chi-square": number("statistic", 2),
            "Degrees of freedom": "df",
            "P": p_value("p_value"),
        },
        title="Are the hazards proportional?",
        notes=[
            "A small P speaks against one hazard ratio for the whole follow-up.",
            "P from the chi-square distribution: in small trials it comes out too small somewhat too often.",
            *name_strata(trial, strata),
        ],
    )


def list_detectable(frame: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """List in words what the events can show of each covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``covariate hr_detectable drift_detectable``, as `cox.estimate_detectable` returns it.
    labels : mapping of str to str
        Covariate to what it is called.
    """
    told = []
    for row in frame.to_dict("records"):
        ratio, drift = row["hr_detectable"], row["drift_detectable"]
        times = "more than 1,000" if drift > 1000 else f"about {drift:.3g}"
        known = {
            f"a hazard ratio of {format_ratio(1 / ratio)} or {format_ratio(ratio)}": is_estimable(ratio),
            f"one that changes {times}-fold from the first event to the last": is_estimable(drift),
        }
        shown = ", or ".join(text for text, is_known in known.items() if is_known)
        told.append(f"{labels.get(row['covariate'], row['covariate'])}: {shown or 'nothing'}")
    return told


@shows_table(cox.sweep_codings)
def format_codings(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, strata: str = ""
) -> Layout:
    """Hazard ratios under each coding of dose, and over the range of the trial, from `sweep_codings`."""
    covariate = _covariate(trial)

    def coding(row: dict) -> str:
        return show_coding(row["dose_coding"], trial)

    return _lay_out(
        frame,
        trial,
        endpoint,
        {
            "": lambda row: coding(row) if row["covariate"] == "dose" else covariate(row),
            "Hazard ratio per unit": _ratio("hr"),
            show_interval(conf_level): _limits("ci"),
            "P": p_value("p_value"),
            "Hazard ratio over the range": _ratio("hr_range"),
        },
        block=lambda row: f"Dose as: {coding(row)[:1].lower()}{coding(row)[1:]}",
        title=f"{show_endpoint(endpoint, trial)}: does the coding of dose matter?",
        notes=[
            "A unit changes with the coding. Over the range: from the smallest value in the trial to the "
            "largest, which can be compared.",
            ASYMPTOTIC_NOTE,
            *name_strata(trial, strata),
        ],
    )


@shows_table(cox.fit_received, by_exposure=True)
def format_received(frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95) -> Layout:
    """One model on the same patients, infusions counted in several ways, from `fit_received`."""
    words = name_treatment(trial)
    landmark = frame["landmark"].max() if "landmark" in frame else np.nan
    return lay_out_rows(
        frame,
        {
            "{Words} counted".format(**words): _counted,
            "Patients": number("n"),
            "Events": number("n_events"),
            "Hazard ratio": _ratio("hr"),
            show_interval(conf_level): _limits("ci"),
            "P": p_value("p_value"),
        },
        title=f"{show_endpoint(endpoint, trial)}: hazard ratio for one {words['word']} more",
        notes=[
            "Below 1: events come later.",
            *([RECEIVED_NOTE] if frame["hr"].isna().any() else []),
            "Partial likelihood, ties by Efron.",
            ASYMPTOTIC_NOTE,
            *([f"Landmark: {landmark:.3g} {trial.unit}."] if is_estimable(landmark) else []),
        ],
    )


def _counted(row: dict) -> str:
    return FIT_NAMES.get(row["fit"], row["fit"])


@shows_table(cox.simulate_immortal_time)
def format_immortal_time(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    alpha: float = 0.05,
    why_not: str = "",
    stops_at_progression: bool = False,
) -> Layout:
    """How often each way to count infusions finds an effect where none is, from `simulate_immortal_time`."""
    words = name_treatment(trial)
    stop = "progression, which comes before the event" if stops_at_progression else "the event"
    return lay_out_rows(
        frame,
        {
            "{Words} counted".format(**words): _counted,
            "Percent rejected (Monte-Carlo error)": lambda row: _share(
                row["rejected"], row["error"], row["not_estimable"], above=alpha
            ),
            "Median hazard ratio for one {word} more".format(**words): _ratio("median_hr"),
            "Without estimate": lambda row: format_percent(100 * row["not_estimable"], 1),
        },
        title="{Words} without any effect: who finds one?".format(**words),
        subtitle=f"{frame['n_trials'].max():,} simulated trials in which one hazard holds for everyone",
        notes=[
            f"Likelihood-ratio tests at a level of {format_percent(100 * alpha)}.",
            "A trial without estimate does not reject.",
            f"NE: {why_not}." if why_not else "{Words} stop at {stop}.".format(stop=stop, **words),
            MARK_NOTE,
        ],
    )


def _share(share: float, error: float, missing: float, *, above: float = 1.0, below: float = 0.0) -> str:
    """A percentage with its error, marked where it is surely on the wrong side of what is nominal."""
    if missing == 1:
        return NOT_ESTIMABLE
    if not is_estimable(share):
        return NOT_APPLICABLE
    wrong = share - 3 * error > above or share + 3 * error < below
    return f"{100 * share:.1f} ({100 * error:.1f}){' *' if wrong else ''}"


@shows_table(cox.attained_in_trial)
def format_attained_cox(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str = "",
    dose_coding: str = "relative",
    alpha: float = 0.05,
    n_trials: int | None = None,
    reference: str = "",
    strata: str = "",
) -> Layout:
    """How often each test rejects and each interval, of level 1 - `alpha`, holds the truth.

    Shows what `attained_in_trial` returns: shares between 0 and 1, a row per model, covariate and test.
    """
    found = {(row["model"], row["covariate"], row["test"]): row for row in frame.to_dict("records")}

    def spread(column: str, **bounds: float) -> dict[str, Callable]:
        """A column per test; what was not tested is not applicable."""

        def show(row: dict, test: str) -> str:
            of = found.get((row["model"], row["covariate"], test))
            if of is None:
                return NOT_APPLICABLE
            return _share(of[column], of[f"{column}_error"], of["not_estimable"], **bounds)

        return {
            ATTAINED_NAMES.get(test, test): lambda row, test=test: show(row, test)
            for test in frame["test"].unique()
        }

    level, confidence = format_percent(100 * alpha), format_percent(100 * (1 - alpha))
    return _lay_out(
        frame[["model", "covariate"]].drop_duplicates(),
        trial,
        endpoint,
        {
            "": _covariate(trial, dose_coding, reference=reference),
            f"Percent of trials rejected (nominal {level})": spread("rejected", above=alpha),
            f"Percent of intervals with the truth (nominal {confidence})": spread(
                "coverage", below=1 - alpha
            ),
        },
        block=lambda row: row["model"],
        title="How far to trust each test and each interval",
        subtitle="Simulated trials (Monte-Carlo error)",
        notes=[
            "A test without answer does not reject, an interval without limits does not hold.",
            MARK_NOTE,
            *_name_missing(frame),
            *([SIMULATED_NOTE.format(n_trials=n_trials)] if n_trials else []),
            *name_strata(trial, strata),
        ],
    )


def _name_missing(frame: pd.DataFrame) -> list[str]:
    """A line on the tests that some trials, but not all, have no answer for."""
    some = frame[frame["not_estimable"].between(0, 1, inclusive="neither")]
    most = some.groupby("test", sort=False)["not_estimable"].max()
    names = [ATTAINED_NAMES.get(test, test) for test in most.index]
    told = [f"{name} {format_percent(100 * share, 1)}" for name, share in zip(names, most, strict=True)]
    return [f"Trials without answer, at most: {'; '.join(told)}."] if told else []
