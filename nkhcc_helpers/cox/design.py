"""What the groups of a trial can separate: codings, design points, contrasts, collinearity, separation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import AfterValidator, ValidationInfo

from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.cox.many import find_separation
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT


def _refuse_log2_of_none(coding: str, info: ValidationInfo) -> str:
    if coding == "log2" and info.context and any(arm.dose <= 0 for arm in info.context().metadata.arms):
        raise ValueError("cannot be 'log2', because a group of this trial has dose 0")
    return coding


def _refuse_none_and_twice(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("must hold at least one of dose, infusions, cumulative and order")
    again = [name for name in names if names.count(name) > 1]
    if again:
        raise ValueError(f"holds {again[0]!r} twice")
    return names


DoseCoding = Literal["relative", "cumulative", "log2", "order"]
DoseCodingOfTrial = Annotated[DoseCoding, AfterValidator(_refuse_log2_of_none)]
Slope = Literal["dose", "infusions", "cumulative", "order"]
Slopes = Annotated[list[Slope], AfterValidator(_refuse_none_and_twice)]
DOSE_CODINGS = get_args(DoseCoding)
COVARIATES = (*get_args(Slope), "group")


@dataclass(frozen=True)
class Design:
    """What the groups of a trial can separate.

    Attributes
    ----------
    points : DataFrame
        One row per design point: the covariates, ``groups`` (codes), ``n``, ``n_events``.
    rank : int
        Rank of the design, intercept included: how many numbers the design points can answer for.
    correlation : DataFrame
        Correlation between the covariates over patients.
    variance_inflation : Series
        How many times larger each coefficient's variance is than with uncorrelated covariates.
    events_per_covariate : float
    contrasts : DataFrame
        Pairs of design points that differ in one covariate only: ``covariate first second difference``.
    separation : Series or None
        Direction in which the partial likelihood has no maximum.
    """

    points: pd.DataFrame
    rank: int
    correlation: pd.DataFrame
    variance_inflation: pd.Series
    events_per_covariate: float
    contrasts: pd.DataFrame
    separation: pd.Series | None


def code_trial(trial, endpoint, covariates, *, dose_coding="relative"):
    """Return what a Cox model of a trial needs.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint; empty for the trial's first.
    covariates, dose_coding
        As in `code_covariates`.

    Returns
    -------
    DataFrame
        One row per subject: ``USUBJID group time event`` and the coded covariates.

    Raises
    ------
    ValueError
        Unknown endpoint, covariate or coding.
    """
    frame = trial.survival(endpoint or next(iter(trial.endpoint_labels)))
    coded = code_covariates(frame, covariates, dose_coding=dose_coding)
    return frame[["USUBJID", "group", "time", "event"]].join(coded)


def code_covariates(frame, covariates, *, dose_coding="relative"):
    """Turn planned dose, infusions and group into the columns of a design matrix.

    Parameters
    ----------
    frame : DataFrame
        Columns ``group dose infusions``, one row per subject; `group` an ordered categorical.
    covariates : sequence of {"dose", "infusions", "cumulative", "order", "group"}
        ``cumulative`` is the planned sum of doses, ``order`` the rank of the group; ``group`` becomes one
        column for each group but the first.
    dose_coding : {"relative", "cumulative", "log2", "order"}, default "relative"
        ``dose`` as dose per infusion, planned sum of doses, log2 of dose per infusion, or rank of dose.

    Returns
    -------
    DataFrame of float, shape (n_subjects, n_columns)

    Raises
    ------
    ValueError
        Unknown covariate or coding, or log2 of a dose that is not positive.
    """
    unknown = [name for name in covariates if name not in COVARIATES]
    if unknown:
        raise ValueError(f"covariates has {unknown[0]!r}; known are {', '.join(COVARIATES)}")
    columns = {}
    group = frame["group"].cat.remove_unused_categories()
    for name in covariates:
        if name == "group":
            columns |= {f"group {code}": (group == code) for code in group.cat.categories[1:]}
        elif name == "order":
            columns[name] = group.cat.codes
        elif name == "dose":
            columns[name] = _code_dose(frame, dose_coding)
        elif name == "cumulative":
            columns[name] = _code_dose(frame, "cumulative")
        else:
            columns[name] = frame[name]
    return pd.DataFrame(columns, index=frame.index).astype(float)


def describe_design(trial, covariates=("dose", "infusions"), *, endpoint="", dose_coding="relative"):
    """Describe what the design points of a trial can answer, before any fit.

    Parameters
    ----------
    trial : Trial
    covariates, dose_coding
        As in `code_covariates`.
    endpoint : str, optional
        Code of the endpoint; the trial's first when absent.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        Covariates that are constant or follow from others, naming them and what to drop; unknown endpoint,
        covariate or coding.
    """
    frame = code_trial(trial, endpoint, covariates, dose_coding=dose_coding)
    x = frame.drop(columns=["USUBJID", "group", "time", "event"])
    check_estimable(x)
    time, event = check_survival(frame["time"], frame["event"])
    direction = find_separation(x.to_numpy(), time, event)
    points = list_design_points(frame, list(x.columns))
    return Design(
        points=points,
        rank=1 + count_rank(x),
        correlation=x.corr(),
        variance_inflation=_inflate_variance(x),
        events_per_covariate=float(event.sum() / len(x.columns)),
        contrasts=list_contrasts(points),
        separation=None if direction is None else pd.Series(direction, x.columns),
    )


def list_design_points(frame, covariates):
    """List the combinations of covariates that some group has.

    Parameters
    ----------
    frame : DataFrame
        Columns ``group event`` and the covariates as numbers, one row per subject.
    covariates : sequence of str

    Returns
    -------
    DataFrame
        The covariates, ``groups`` (codes, separated by commas) ``n n_events``.
    """
    return (
        frame.assign(group=frame["group"].astype(str))
        .groupby(list(covariates), sort=True)
        .agg(
            groups=("group", lambda codes: ", ".join(pd.unique(codes))),
            n=("event", "size"),
            n_events=("event", "sum"),
        )
        .reset_index()
    )


def list_contrasts(points):
    """List the pairs of design points that differ in one covariate only.

    Parameters
    ----------
    points : DataFrame
        As of `list_design_points`.

    Returns
    -------
    DataFrame
        Columns ``covariate first second difference``; the pair by their groups.
    """
    covariates = [name for name in points.columns if name not in ("groups", "n", "n_events")]
    rows = []
    for (_, first), (_, second) in combinations(points.iterrows(), 2):
        changed = [name for name in covariates if first[name] != second[name]]
        if len(changed) == 1:
            name = changed[0]
            rows.append((name, first["groups"], second["groups"], float(second[name] - first[name])))
    return pd.DataFrame(rows, columns=["covariate", "first", "second", "difference"])


def count_events_before_plans_part(trial, endpoint):
    """Count the events that come before the planned numbers of infusions can make a difference.

    Until the shortest plan has run out and its next infusion would be due, groups of the same dose are
    treated alike.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint.

    Returns
    -------
    dict
        ``days`` after the first infusion, ``time`` in the unit of the trial, ``n_early``, ``n_events``; days
        and time are NaN, and `n_early` is None, where the plans do not differ or a schedule is not given.
    """
    frame = trial.survival(endpoint)
    arms = trial.metadata.arms
    shortest = min(arm.infusions for arm in arms)
    intervals = [arm.interval_days for arm in arms]
    parts = max(arm.infusions for arm in arms) > shortest and None not in intervals
    days = shortest * min(intervals) if parts else float("nan")
    time = days / DAYS_PER_UNIT[trial.unit]
    return {
        "days": days,
        "time": time,
        "n_early": int((frame["event"] & (frame["time"] < time)).sum()) if days == days else None,
        "n_events": int(frame["event"].sum()),
    }


def check_estimable(x):
    """Raise ValueError where a column of a design matrix cannot be estimated, or there is none.

    Parameters
    ----------
    x : DataFrame of float, shape (n_subjects, n_columns)
    """
    unusable = find_unusable(x)
    if unusable:
        reasons = "; ".join(f"{name} {why}" for name, why in unusable.items())
        raise ValueError(f"the model cannot be estimated: {reasons}. Drop {', '.join(unusable)}")
    if not len(x.columns):
        raise ValueError("the model cannot be estimated: no covariate given")


def find_unusable(x):
    """Find the columns of a design matrix that cannot be estimated.

    Parameters
    ----------
    x : DataFrame of float, shape (n_subjects, n_columns)

    Returns
    -------
    dict of str to str
        Column and why: the same for everyone, or a combination of the columns before it.
    """
    unusable, kept = {}, []
    for name in x.columns:
        if x[name].nunique() < 2:
            unusable[name] = "is the same for everyone"
        elif count_rank(x[[*kept, name]]) <= len(kept):
            unusable[name] = "follows from the covariates before it"
        else:
            kept.append(name)
    return unusable


def count_rank(x):
    """Count the columns of a design matrix that do not follow from the others and a constant.

    Parameters
    ----------
    x : array_like of float, shape (n_subjects, n_columns)

    Returns
    -------
    int
    """
    centred = np.asarray(x, float) - np.asarray(x, float).mean(axis=0)
    # Units must not matter.
    span = np.ptp(centred, axis=0)
    return int(np.linalg.matrix_rank(centred / np.where(span > 0, span, 1)))


def keep_estimable(frame, models):
    """Keep the models that a design matrix can estimate, each set of columns once.

    Parameters
    ----------
    frame : DataFrame
        Holds every covariate as numbers.
    models : dict of str to sequence of str
        Name and covariates of each model.

    Returns
    -------
    dict of str to list of str
    """
    kept = {}
    for name, covariates in models.items():
        known = list(covariates) in kept.values()
        if len(covariates) and not known and not find_unusable(frame[list(covariates)]):
            kept[name] = list(covariates)
    return kept


def _code_dose(frame, coding):
    if coding not in DOSE_CODINGS:
        raise ValueError(f"dose_coding must be one of {', '.join(DOSE_CODINGS)}; got {coding!r}")
    dose = frame["dose"].astype(float)
    if coding == "cumulative":
        return dose * frame["infusions"]
    if coding == "order":
        return dose.rank(method="dense") - 1
    if coding == "log2":
        if (dose <= 0).any():
            raise ValueError("dose_coding log2 needs doses above 0; use relative instead")
        return np.log2(dose)
    return dose


def _inflate_variance(x):
    return pd.Series(np.diag(np.linalg.inv(np.atleast_2d(np.corrcoef(x, rowvar=False)))), x.columns)
