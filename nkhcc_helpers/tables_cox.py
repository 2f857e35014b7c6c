"""Display tables of Cox models: hazard ratios, likelihood ratios, proportional hazards, and the design."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import show_covariate, show_endpoint, show_group, show_interval
from nkhcc_helpers.numbers import format_interval, format_number, format_p

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
        Covariate to what it is called; otherwise :func:`labels.show_covariate` finds a name.
    notes : iterable of str
        Lines under the table: name the likelihood, the handling of ties and the interval.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "covariate": [show_covariate(row["covariate"], trial, labels) for row in records],
            "hr": [format_number(row["hr"], 2) for row in records],
            "interval": [format_interval(row["ci_lower"], row["ci_upper"], 2) for row in records],
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
        notes=["A ratio below 1 means fewer events per unit of time. NE: not estimable.", *notes],
        illustrative=trial.is_illustrative,
    )


def format_model_comparison(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, notes: Iterable[str] = ()
) -> GT:
    """Likelihood-ratio tests of Cox models, a row per model.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``model`` (text), any of ``n n_events log_likelihood lr_statistic df aic``, and ``p_lr`` or
        ``p_value``.
    trial, endpoint, notes
        As in :func:`tables_survival.format_survival_summary`.

    Returns
    -------
    great_tables.GT
    """
    labels = {
        "model": "Model",
        "n": "Patients",
        "n_events": "Events",
        "log_likelihood": "Log likelihood",
        "lr_statistic": "Likelihood ratio",
        "df": "Degrees of freedom",
        "aic": "AIC",
        "p_lr": "P",
        "p_value": "P",
    }
    columns = [column for column in labels if column in frame]
    shown = frame[columns].copy()
    for column in {"p_lr", "p_value"} & set(columns):
        shown[column] = [format_p(value) for value in frame[column]]
    return display_table(
        shown,
        title=f"{show_endpoint(endpoint, trial)}: likelihood-ratio tests",
        labels=labels,
        decimals=2,
        notes=notes,
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
    shown = pd.DataFrame(
        {
            "covariate": [show_covariate(value, trial, labels) for value in frame["covariate"]],
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


def format_design(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """The points of dose and infusions that the groups occupy.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``dose infusions group n n_events``: the points of `cox.describe_design`.
    trial : Trial
        Knows the group labels and the unit of dose.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    shown = pd.DataFrame(
        {
            "group": [show_group(code, trial) for code in frame["group"]],
            "dose": [f"{value:g}" for value in frame["dose"]],
            "infusions": [f"{value:g}" for value in frame["infusions"]],
            "n": list(frame["n"]),
            "n_events": list(frame["n_events"]),
        }
    )
    unit = getattr(trial.metadata, "dose_unit", "")
    return display_table(
        shown,
        title="Dose and infusions by group",
        labels={
            "group": "Group",
            "dose": "Dose per infusion",
            "infusions": "Planned infusions",
            "n": "Patients",
            "n_events": "Events",
        },
        notes=[*([f"Dose: {unit}."] if unit else []), *notes],
        illustrative=trial.is_illustrative,
    )
