"""Display tables of what a Cox model hangs on: hazards, the coding of dose, how infusions are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import (
    DOSE_NAMES,
    FIT_NAMES,
    list_covariate_labels,
    show_endpoint,
    show_interval,
)
from nkhcc_helpers.numbers import format_number, format_p, format_ratio, is_estimable
from nkhcc_helpers.tables_cox import show_ratio_intervals

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

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
