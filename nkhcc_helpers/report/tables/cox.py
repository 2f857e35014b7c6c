"""Display tables of Cox models: hazard ratios, likelihood-ratio tests, and the design they stand on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import display_table
from nkhcc_helpers.report.names import list_covariate_labels, show_endpoint, show_groups, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_number,
    format_p,
    format_ratio,
    format_ratio_interval,
    is_estimable,
)

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial


PERMUTED_NOTE = "Permutation: in brackets the Monte-Carlo standard error, or exact where all were counted."
AICC_NOTE = (
    "AICc: smaller is better for the size of the model, as far as so few events can tell; differences below "
    "2 say nothing. NE where there are too few events for the number of coefficients."
)


def format_hazard_ratios(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str,
    labels: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
    notes: Iterable[str] = (),
) -> GT:
    """Hazard ratios of one Cox model, or of several under one another.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``covariate hr ci_lower ci_upper p_value``, as in the summary of `cox.fit_cox`; a column
        ``model``, when there is one, heads blocks of rows. Shown when there: ``p_permutation`` and
        ``p_permutation_error`` (0 where every relabelling was counted), ``exact_lower`` and ``exact_upper``.
    trial, endpoint, conf_level
        As in :func:`tables_survival.format_survival_summary`.
    labels : mapping of str to str, optional
        Covariate to what it is called; by default :func:`labels.list_covariate_labels`.
    notes : iterable of str
        Lines under the table: name the likelihood, the handling of ties and the interval.

    Returns
    -------
    great_tables.GT
    """
    shown = _show_hazard_ratios(frame, {**list_covariate_labels(trial), **(labels or {})})
    permuted = [column for column in ("exact", "p_permutation") if column in shown]
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: hazard ratios",
        labels={
            "covariate": "",
            "hr": "Hazard ratio",
            "interval": show_interval(conf_level),
            "p_value": "P",
            "exact": show_interval(conf_level),
            "p_permutation": "P",
        },
        row_group="model" if "model" in frame else None,
        spanners=[("Likelihood", ["interval", "p_value"]), ("Permutation", permuted)] if permuted else (),
        notes=[
            "For one unit more of a covariate, or of a group against the first; below 1: events come later.",
            *(["NE: not estimable."] if frame["hr"].isna().any() else []),
            *([PERMUTED_NOTE] if "p_permutation" in frame else []),
            *_name_dose_unit(trial),
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def _show_hazard_ratios(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    shown = pd.DataFrame(
        {
            "covariate": [names.get(name, name) for name in frame["covariate"]],
            "hr": [format_ratio(ratio) for ratio in frame["hr"]],
            "interval": show_ratio_intervals(frame, "ci"),
            "p_value": [format_p(p_value) for p_value in frame["p_value"]],
        }
    )
    if "exact_lower" in frame:
        shown["exact"] = show_ratio_intervals(frame, "exact")
    if "p_permutation" in frame:
        shown["p_permutation"] = show_permuted(frame, "p_permutation")
    if "model" in frame:
        shown["model"] = list(frame["model"])
    return shown


def show_ratio_intervals(frame: pd.DataFrame, prefix: str) -> list[str]:
    """Limits of hazard ratios as text.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `prefix` followed by ``_lower`` and ``_upper``.
    prefix : str

    Returns
    -------
    list of str
    """
    limits = zip(frame[f"{prefix}_lower"], frame[f"{prefix}_upper"], strict=True)
    return [format_ratio_interval(lower, upper) for lower, upper in limits]


def show_permuted(frame: pd.DataFrame, column: str) -> list[str]:
    """P-values by permutation, each with its Monte-Carlo error or the word "exact".

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `column` and, when the errors are known, `column` followed by ``_error``.
    column : str

    Returns
    -------
    list of str
        ``0.0403 (exact)``, ``0.0403 (0.0006)``, ``NE``.
    """
    errors = frame.get(f"{column}_error", pd.Series(float("nan"), index=frame.index))
    return [_with_error(*pair) for pair in zip(frame[column], errors, strict=True)]


def _with_error(p_value: float, error: float) -> str:
    if not is_estimable(p_value):
        return NOT_ESTIMABLE
    if not is_estimable(error):
        return format_p(p_value)
    shown = "exact" if error == 0 else f"{error:.1g}" if error >= 0.00005 else "<0.0001"
    return f"{format_p(p_value)} ({shown})"


def _name_dose_unit(trial: Trial) -> list[str]:
    unit = getattr(trial.metadata, "dose_unit", "")
    return [f"Dose: {unit}."] if unit else []


def format_model_comparison(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, notes: Iterable[str] = ()
) -> GT:
    """Likelihood-ratio tests of Cox models, a row per model.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cox.compare_models` returns it: ``model df log_likelihood lr_statistic p_value``, and
        ``lack_df lack_statistic lack_p_value`` when models are compared with the last one. Shown when there:
        ``aicc``, and ``p_permutation`` and ``lack_p_permutation`` with their errors.
    trial, endpoint, notes
        As in :func:`tables_survival.format_survival_summary`.

    Returns
    -------
    great_tables.GT
    """
    shown = frame[["model"]].assign(log_likelihood=[format_number(v, 2) for v in frame["log_likelihood"]])
    if "aicc" in frame:
        shown["aicc"] = [format_number(value, 1) for value in frame["aicc"]]
    spanners = []
    for heading, prefix in (("Against no covariates", ""), ("Against the last model", "lack_")):
        if f"{prefix}df" in frame:
            block = _show_likelihood_ratios(frame, prefix)
            shown = shown.join(block)
            spanners.append((heading, list(block)))
    permuted = "p_permutation" in frame
    labels = {"model": "Model", "log_likelihood": "Log likelihood", "aicc": "AICc"}
    for prefix in ("", "lack_"):
        labels |= {f"{prefix}statistic": "Chi-square", f"{prefix}df": "df"}
        labels |= {f"{prefix}p_value": "P", f"{prefix}p_permutation": "Permuted P"}
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: likelihood-ratio tests",
        labels=labels,
        spanners=spanners,
        notes=[
            "df: degrees of freedom. NE: not estimable.",
            *([PERMUTED_NOTE] if permuted else []),
            *([AICC_NOTE] if "aicc" in frame else []),
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def _show_likelihood_ratios(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """One test of each model; no test where it has no degree of freedom."""
    statistic = "lack_statistic" if prefix else "lr_statistic"
    columns = {
        f"{prefix}statistic": [format_number(value, 2) for value in frame[statistic]],
        f"{prefix}df": [format_number(value, 0) for value in frame[f"{prefix}df"]],
        f"{prefix}p_value": [format_p(value) for value in frame[f"{prefix}p_value"]],
    }
    if f"{prefix}p_permutation" in frame:
        columns[f"{prefix}p_permutation"] = show_permuted(frame, f"{prefix}p_permutation")
    shown = pd.DataFrame(columns, index=frame.index)
    return shown.mask(frame[f"{prefix}df"] == 0, NOT_APPLICABLE)


def format_design(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    labels: Mapping[str, str] | None = None,
    notes: Iterable[str] = (),
) -> GT:
    """The points in the space of the covariates that the groups occupy.

    Parameters
    ----------
    frame : pandas.DataFrame
        The points of `design.describe_design`: the covariates, ``groups n n_events``.
    trial : Trial
        Knows the group labels and the unit of dose.
    labels : mapping of str to str, optional
        As in :func:`format_hazard_ratios`.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    covariates = [column for column in frame if column not in ("groups", "n", "n_events")]
    shown = pd.DataFrame({"groups": [show_groups(codes, trial) for codes in frame["groups"]]})
    for column in covariates:
        shown[column] = [f"{value:.4g}" for value in frame[column]]
    shown = shown.assign(n=list(frame["n"]), n_events=list(frame["n_events"]))
    names = {**list_covariate_labels(trial), **(labels or {})}
    return display_table(
        shown,
        title="Design points",
        subtitle="Each a combination of covariates that some group has",
        labels={
            "groups": "Group",
            **{column: names.get(column, column) for column in covariates},
            "n": "Patients",
            "n_events": "Events",
        },
        notes=[*_name_dose_unit(trial), *notes],
        illustrative=trial.is_illustrative,
    )
