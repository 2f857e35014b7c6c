"""Display tables of Cox models: hazard ratios, likelihood ratios, proportional hazards, and the design."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import list_covariate_labels, show_endpoint, show_groups, show_interval
from nkhcc_helpers.numbers import NOT_APPLICABLE, format_number, format_p, format_ratio, format_ratio_interval

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial


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
        ``model``, when there is one, heads blocks of rows.
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
    names = {**list_covariate_labels(trial), **(labels or {})}
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "covariate": [names.get(row["covariate"], row["covariate"]) for row in records],
            "hr": [format_ratio(row["hr"]) for row in records],
            "interval": [format_ratio_interval(row["ci_lower"], row["ci_upper"]) for row in records],
            "p_value": [format_p(row["p_value"]) for row in records],
        }
    )
    if "model" in frame:
        shown["model"] = list(frame["model"])
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: hazard ratios",
        labels={
            "covariate": "",
            "hr": "Hazard ratio",
            "interval": show_interval(conf_level),
            "p_value": "P",
        },
        row_group="model" if "model" in frame else None,
        notes=[
            "For one unit more of a covariate, or of a group against the first; below 1: events come later.",
            *(["NE: not estimable."] if frame["hr"].isna().any() else []),
            *_name_dose_unit(trial),
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


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
        ``lack_df lack_statistic lack_p_value`` when models are compared with the last one.
    trial, endpoint, notes
        As in :func:`tables_survival.format_survival_summary`.

    Returns
    -------
    great_tables.GT
    """
    tests = [("Against no covariates", ["lr_statistic", "df", "p_value"])]
    if "lack_df" in frame:
        tests.append(("Against the last model", ["lack_statistic", "lack_df", "lack_p_value"]))
    labels = {"model": "Model", "log_likelihood": "Log likelihood"}
    shown = frame[["model"]].assign(log_likelihood=[format_number(v, 2) for v in frame["log_likelihood"]])
    for _, (statistic, df, p_value) in tests:
        labels |= {statistic: "Chi-square", df: "df", p_value: "P"}
        untested = list(frame[df] == 0)
        columns = {
            statistic: lambda v: format_number(v, 2),
            df: lambda v: format_number(v, 0),
            p_value: format_p,
        }
        for column, show in columns.items():
            cells = zip(frame[column], untested, strict=True)
            shown[column] = [NOT_APPLICABLE if none else show(value) for value, none in cells]
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: likelihood-ratio tests",
        labels=labels,
        spanners=tests,
        notes=["df: degrees of freedom. NE: not estimable.", *notes],
        illustrative=trial.is_illustrative,
    )


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
        As in :func:`format_hazard_ratios`.
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
        notes=["A small P speaks against one hazard ratio for the whole follow-up.", *notes],
        illustrative=trial.is_illustrative,
    )


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
