"""What the groups of a trial can tell apart: codings, design points, collinearity, separation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Annotated, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import AfterValidator, ValidationInfo
from scipy import optimize, sparse

from nkhcc_helpers.checks import check_choice, check_survival, keeps_options
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
Covariate = Literal[Slope, "group"]
DOSE_CODINGS = get_args(DoseCoding)
COVARIATES = get_args(Covariate)
ROUNDING, NOTICEABLE = 1e-12, 1e-6  # gaps along a direction, relative to the covariates


class Unusable(StrEnum):
    """Why a column of a design matrix cannot be estimated."""

    CONSTANT = "is the same for everyone"
    FOLLOWS = "follows from the covariates before it"


@dataclass(frozen=True)
class Design:
    """What the groups of a trial can separate."""

    points: pd.DataFrame  # as of `list_design_points`
    rank: int  # with the intercept: how many numbers the design points can answer for
    correlation: pd.DataFrame  # of the covariates, over patients
    variance_inflation: pd.Series  # of each coefficient, over that with uncorrelated covariates
    events_per_covariate: float
    contrasts: pd.DataFrame  # as of `list_contrasts`
    separation: pd.Series | None  # direction in which the partial likelihood has no maximum


@keeps_options
def code_trial(trial, endpoint, covariates=COVARIATES, *, dose_coding: DoseCoding = "relative"):
    """Return what a Cox model of a trial needs.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint; empty for the trial's first.
    covariates : sequence of {"dose", "infusions", "cumulative", "order", "group"}, default all
        ``cumulative`` is the planned sum of doses, ``order`` the rank of the group; ``group`` becomes one
        column for each group but the first.
    dose_coding : {"relative", "cumulative", "log2", "order"}, default "relative"
        ``dose`` as dose per infusion, planned sum of doses, log2 of dose per infusion, or rank of dose.

    Returns
    -------
    DataFrame
        One row per subject: ``USUBJID group time event`` and the coded covariates as float.

    Raises
    ------
    ValueError
        Unknown endpoint, covariate or coding, or log2 of a dose that is not positive.
    """
    frame = trial.survival(endpoint or next(iter(trial.endpoint_labels)))
    coded = code_covariates(frame, covariates, dose_coding=dose_coding)
    return frame[["USUBJID", "group", "time", "event"]].join(coded)


def code_covariates(frame, covariates, *, dose_coding: DoseCoding = "relative"):
    """The columns of a design matrix, of a frame ``group dose infusions``; arguments as of `code_trial`."""
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
        elif name == "infusions":
            columns[name] = frame[name]
        else:
            columns[name] = _code_dose(frame, dose_coding if name == "dose" else "cumulative")
    return pd.DataFrame(columns, index=frame.index).astype(float)


def _code_dose(frame, coding):
    check_choice(coding, "dose_coding", DOSE_CODINGS)
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


def describe_design(trial, covariates=("dose", "infusions"), *, endpoint="", dose_coding="relative"):
    """Describe what the design points of a trial can answer, before any fit.

    Parameters
    ----------
    trial, covariates, endpoint, dose_coding
        As in `code_trial`.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        As `code_trial`, or covariates that are constant or follow from others, naming them and what to drop.
    """
    frame = code_trial(trial, endpoint, covariates, dose_coding=dose_coding)
    x = frame.drop(columns=["USUBJID", "group", "time", "event"])
    check_estimable(x)
    time, event = check_survival(frame["time"], frame["event"])
    direction = find_separation(x.to_numpy(), time, event)
    points = list_design_points(frame, list(x.columns))
    inflation = np.diag(np.linalg.inv(np.atleast_2d(np.corrcoef(x, rowvar=False))))
    return Design(
        points=points,
        rank=1 + count_rank(x),
        correlation=x.corr(),
        variance_inflation=pd.Series(inflation, x.columns),
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
        The covariates, ``groups`` (codes, separated by commas) ``n n_events codes``, the last a tuple.
    """
    grouped = frame.assign(group=frame["group"].astype(str)).groupby(list(covariates), sort=True)
    points = grouped.agg(
        groups=("group", lambda codes: ", ".join(codes.unique())),
        n=("event", "size"),
        n_events=("event", "sum"),
        codes=("group", lambda codes: tuple(codes.unique())),
    )
    return points.reset_index()


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
    covariates = [name for name in points.columns if name not in ("groups", "n", "n_events", "codes")]
    rows = []
    for (_, first), (_, second) in combinations(points.iterrows(), 2):
        changed = [name for name in covariates if first[name] != second[name]]
        if len(changed) == 1:
            name = changed[0]
            rows.append((name, first["groups"], second["groups"], float(second[name] - first[name])))
    return pd.DataFrame(rows, columns=["covariate", "first", "second", "difference"])


def count_events_before_plans_part(trial, endpoint):
    """Count the events before the planned numbers of infusions can make a difference.

    Until the shortest plan has run out and its next infusion would be due, equal doses are treated alike.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint; ValueError where the trial has no such one.

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
        "n_early": int((frame["event"] & (frame["time"] < time)).sum()) if parts else None,
        "n_events": int(frame["event"].sum()),
    }


def find_unusable(x):
    """Find the columns of a design matrix that cannot be estimated.

    Parameters
    ----------
    x : DataFrame of float, shape (n_subjects, n_columns)

    Returns
    -------
    dict of str to Unusable
        Column and why: the same for everyone, or a combination of the columns before it.
    """
    unusable, kept = {}, []
    for name in x.columns:
        if x[name].nunique() < 2:
            unusable[name] = Unusable.CONSTANT
        elif count_rank(x[[*kept, name]]) <= len(kept):
            unusable[name] = Unusable.FOLLOWS
        else:
            kept.append(name)
    return unusable


def check_estimable(x):
    """Raise ValueError where a column of a design matrix cannot be estimated, or there is none."""
    unusable = find_unusable(x)
    if unusable:
        reasons = "; ".join(f"{name} {why}" for name, why in unusable.items())
        raise ValueError(f"the model cannot be estimated: {reasons}. Drop {', '.join(unusable)}")
    if not len(x.columns):
        raise ValueError("the model cannot be estimated: no covariate given")


def count_rank(x):
    """Count the columns of a design matrix that do not follow from the others and a constant."""
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
        Name and covariates of those kept.
    """
    kept = {}
    for name, covariates in models.items():
        known = list(covariates) in kept.values()
        if len(covariates) and not known and not find_unusable(frame[list(covariates)]):
            kept[name] = list(covariates)
    return kept


def find_separation(covariates, time, event):
    """A direction along which the partial likelihood of one cohort has no maximum, or None.

    Along it whoever has an event is largest of all at risk, at least once strictly; its largest entry is 1 or
    -1. A linear program, hence sure. `covariates` are (n_subjects, n_covariates), or (n_subjects, n_subjects,
    n_covariates) at the time of the subject of the first axis. Heinze, Schemper (2001) Biometrics.
    """
    x = np.asarray(covariates, float)
    every = x.reshape(-1, x.shape[-1])
    spread = every.max(axis=0) - every.min(axis=0)
    x = (x - every.mean(axis=0)) / np.where(spread > 0, spread, 1)
    first, second = np.nonzero((time[:, None] <= time) & event[:, None])
    gaps = x[first] - x[second] if x.ndim == 2 else x[first, first] - x[first, second]
    gaps = np.unique(gaps, axis=0)
    gaps = gaps[np.abs(gaps).max(axis=1) > ROUNDING] if len(gaps) else gaps
    if not len(gaps):
        return None
    found = optimize.linprog(-gaps.sum(axis=0), sparse.csr_array(-gaps), np.zeros(len(gaps)), bounds=(-1, 1))
    if -found.fun < 1e-7:
        return None
    direction = found.x / np.where(spread > 0, spread, 1)
    return direction / np.abs(direction).max()


def is_separating(covariates, times, events, directions):
    """Whether one direction for each of many cohorts separates it, (n_cohorts,); where True, for sure."""
    along = np.einsum("cnp,cp->cn", covariates, directions)
    gap = along[:, :, None] - along[:, None, :]
    gap = np.where((times[:, :, None] <= times[:, None, :]) & events[:, :, None], gap, 0)
    scale = np.abs(covariates).max(axis=(1, 2), initial=0) * np.abs(directions).sum(axis=1)
    smallest, largest = (bound(gap, axis=(1, 2), initial=0) for bound in (np.min, np.max))
    return (smallest >= -ROUNDING * scale) & (largest > NOTICEABLE * scale)
