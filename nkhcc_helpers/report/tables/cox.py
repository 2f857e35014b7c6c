"""Tables of Cox models: hazard ratios, likelihood-ratio tests, and what both hang on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers import cox
from nkhcc_helpers.report.display import Layout, lay_out_rows, number, p_value, shows_table
from nkhcc_helpers.report.names import (
    list_covariate_labels,
    name_dose_unit,
    name_empty,
    name_strata,
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


def lay_out_models(frame: pd.DataFrame, trial: Trial, endpoint: str, columns: Mapping, **options) -> Layout:
    """As `lay_out_rows`; of an endpoint, or a trial, with patients of one group, that it needs two."""
    groups = trial.survival(endpoint)["group"].unique() if endpoint else trial.groups
    if len(groups) > 1:
        return lay_out_rows(frame, columns, **options)
    told = pd.DataFrame({"told": ["Needs two groups"]})
    return Layout(told, {"labels": {"told": "Comparison"}, "title": options["title"]})


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
    too_many: int = 0,
) -> Layout:
    """Hazard ratios of Cox models, as `fit_cox` and `summarize_models` give them.

    A column ``model`` heads blocks of rows. Shown when there: ``p_permutation`` and ``p_permutation_error``
    (0 where every relabelling was counted), ``exact_lower`` and ``exact_upper``. `labels` are of covariates,
    `reference` is the group that others are compared with, the first where empty.
    """
    against = show_group(reference or trial.groups[0], trial)
    interval = show_interval(conf_level)
    holds_groups = frame["covariate"].astype("str").str.startswith("group ").any()
    columns = {"": show_covariate(trial, dose_coding, labels, reference), "Hazard ratio": show_ratio("hr")}
    likelihood = {interval: show_limits("ci"), "P": p_value("p_value")}
    permutation = {interval: show_limits("exact")} if "exact_lower" in frame else {}
    if "p_permutation" in frame:
        permutation["P"] = _permuted("p_permutation")
    columns |= {"Likelihood": likelihood, "Permutation": permutation} if permutation else likelihood
    return lay_out_models(
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
            *name_empty(trial, endpoint),
            *name_too_many("Limits by permutation are not drawn", too_many),
            *([PERMUTED_NOTE] if "p_permutation" in frame else []),
            *name_dose_unit(trial),
            *([f"{show_method(method)}, ties by {ties.capitalize()}. {CONTRASTS_NOTE}"] if method else []),
        ],
    )


def show_covariate(
    trial: Trial,
    dose_coding: str = "relative",
    labels: Mapping[str, str] | None = None,
    reference: str = "",
) -> Callable[[dict], str]:
    """What shows the covariate of a row by its label."""
    known = list_covariate_labels(trial, dose_coding=dose_coding, reference=reference)
    names = {**known, **(labels or {})}
    return lambda row: names.get(row["covariate"], row["covariate"])


def show_ratio(column: str) -> Callable[[dict], str]:
    """What shows the ratio in a column of a row."""
    return lambda row: format_ratio(row[column])


def show_limits(prefix: str) -> Callable[[dict], str]:
    """What shows the limits of a ratio, in two columns of a row."""
    return lambda row: format_ratio_interval(row[f"{prefix}_lower"], row[f"{prefix}_upper"])


def _permuted(column: str) -> Callable[[dict], str]:
    """``0.0403 (exact)``, ``0.0403 (0.0006)``, or without brackets where no error is known."""

    def show(row: dict) -> str:
        value, error = row[column], row.get(f"{column}_error")
        exact = is_estimable(value) and is_estimable(error) and error == 0
        return f"{format_p(value)} (exact)" if exact else format_p_with_error(value, error)

    return show


@shows_table(cox.compare_models)
def format_model_comparison(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, strata: str = "", too_many: int = 0
) -> Layout:
    """Likelihood-ratio tests of Cox models, a row per model, from `compare_models`."""
    columns = {"Model": "model", "Log likelihood": number("log_likelihood", 2)}
    if "aicc" in frame:
        columns["AICc"] = number("aicc", 1)
    columns["Against no covariates"] = _likelihood_ratio(frame, "", "lr_statistic")
    if "lack_df" in frame:
        columns["Against the last model"] = _likelihood_ratio(frame, "lack_", "lack_statistic")
    return lay_out_models(
        frame,
        trial,
        endpoint,
        columns,
        title=f"{show_endpoint(endpoint, trial)}: likelihood-ratio tests",
        notes=[
            *name_strata(trial, strata),
            "df: degrees of freedom. NE: not estimable.",
            *name_too_many("Permuted P is not drawn", too_many),
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
    return lay_out_models(
        frame,
        trial,
        endpoint,
        {
            "": show_covariate(trial, dose_coding),
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


def list_ratios(frame: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """List hazard ratios in words, each with its limits and P by permutation.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``covariate hr exact_lower exact_upper p_permutation``, as `cox.summarize_models` returns it.
    labels : mapping of str to str
        Covariate to what it is called.
    """
    told, limits = [], show_limits("exact")
    for row in frame.to_dict("records"):
        estimate = ", ".join(text for text in (format_ratio(row["hr"]), limits(row)) if text != NOT_ESTIMABLE)
        ratio, p_value = estimate or NOT_ESTIMABLE, format_p(row["p_permutation"])
        told.append(f"{labels[row['covariate']]} (hazard ratio {ratio}; P {p_value})")
    return told


@shows_table(cox.sweep_codings)
def format_codings(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, strata: str = ""
) -> Layout:
    """Hazard ratios under each coding of dose, and over the range of the trial, from `sweep_codings`."""
    covariate = show_covariate(trial)

    def coding(row: dict) -> str:
        return show_coding(row["dose_coding"], trial)

    return lay_out_models(
        frame,
        trial,
        endpoint,
        {
            "": lambda row: coding(row) if row["covariate"] == "dose" else covariate(row),
            "Hazard ratio per unit": show_ratio("hr"),
            show_interval(conf_level): show_limits("ci"),
            "P": p_value("p_value"),
            "Hazard ratio over the range": show_ratio("hr_range"),
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


def name_too_many(what: str, most: int) -> list[str]:
    """A note on what steps aside for so many patients, or none."""
    return [f"{what} for more than {most:,} patients."] if most else []
