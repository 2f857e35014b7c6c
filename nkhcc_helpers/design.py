"""What the groups of a trial can separate: codings, design points, contrasts, collinearity, separation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.metadata import DAYS_PER_UNIT
from nkhcc_helpers.separation import find_separation

DOSE_CODINGS = ("relative", "cumulative", "log2", "order")
COVARIATES = ("dose", "infusions", "group", "order")


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
        How many times larger each coefficient's variance is than with uncorrelated covariates; infinite
        where a covariate follows from the others, NaN where it is constant.
    events_per_covariate : float
    contrasts : DataFrame
        Pairs of design points that differ in one covariate only: ``covariate first second difference``.
    unusable : dict of str to str
        Covariates that cannot be estimated, and why.
    separation : Series or None
        Direction in which the partial likelihood has no maximum.
    """

    points: pd.DataFrame
    rank: int
    correlation: pd.DataFrame
    variance_inflation: pd.Series
    events_per_covariate: float
    contrasts: pd.DataFrame
    unusable: dict
    separation: pd.Series | None

    @property
    def usable(self):
        """Covariates that can be estimated, in order."""
        return [name for name in self.correlation.columns if name not in self.unusable]


def code_covariates(frame, covariates, *, dose_coding="relative"):
    """Turn planned dose, infusions and group into the columns of a design matrix.

    Parameters
    ----------
    frame : DataFrame
        Columns ``group dose infusions``, one row per subject; `group` an ordered categorical.
    covariates : sequence of {"dose", "infusions", "group", "order"}
        ``group`` becomes one column for each group but the first, ``order`` the rank of the group.
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
        else:
            columns[name] = frame[name]
    return pd.DataFrame(columns, index=frame.index).astype(float)


def describe_design(frame, covariates):
    """Describe what the design points of a trial can answer, before any fit.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group`` and the covariates as numbers.
    covariates : sequence of str
        Columns of `frame`.

    Returns
    -------
    Design
        `unusable` names covariates that are constant, or a combination of those before them.
    """
    covariates = list(covariates)
    time, event = check_survival(frame["time"], frame["event"])
    x = frame[covariates].astype(float)
    unusable = find_unusable(x)
    usable = [name for name in covariates if name not in unusable]
    direction = find_separation(x[usable].to_numpy(), time, event) if usable else None
    points = (
        frame.assign(group=frame["group"].astype(str))
        .groupby(covariates, sort=True)
        .agg(
            groups=("group", lambda codes: ", ".join(pd.unique(codes))),
            n=("event", "size"),
            n_events=("event", "sum"),
        )
        .reset_index()
    )
    return Design(
        points=points,
        rank=int(np.linalg.matrix_rank(np.column_stack([np.ones(len(x)), x]))),
        correlation=_correlate(x),
        variance_inflation=_inflate_variance(x, unusable),
        events_per_covariate=float(event.sum() / len(usable)) if usable else float("nan"),
        contrasts=_find_contrasts(points, covariates),
        unusable=unusable,
        separation=None if direction is None else pd.Series(direction, usable),
    )


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
        and time are NaN, and no event is early, where the plans do not differ or a schedule is not given.
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
        "n_early": int((frame["event"] & (frame["time"] < time)).sum()),
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
    unusable, kept = {}, [np.ones(len(x))]
    for name in x.columns:
        if x[name].nunique() < 2:
            unusable[name] = "is the same for everyone"
        elif np.linalg.matrix_rank(np.column_stack([*kept, x[name]])) <= len(kept):
            unusable[name] = "follows from the covariates before it"
        else:
            kept.append(x[name].to_numpy())
    return unusable


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


def _correlate(x):
    # A constant column has no correlation; pandas would warn and print the same NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
        return x.corr()


def _inflate_variance(x, unusable):
    if unusable or not len(x.columns):
        # A constant has no variance to share; what follows from others cannot be told from them at all.
        constant = x.nunique() < 2
        return pd.Series(np.where(constant, np.nan, np.inf if (~constant).sum() > 1 else 1.0), x.columns)
    return pd.Series(np.diag(np.linalg.inv(np.atleast_2d(np.corrcoef(x, rowvar=False)))), x.columns)


def _find_contrasts(points, covariates):
    rows = []
    for (_, first), (_, second) in combinations(points.iterrows(), 2):
        changed = [name for name in covariates if first[name] != second[name]]
        if len(changed) == 1:
            name = changed[0]
            rows.append((name, first["groups"], second["groups"], float(second[name] - first[name])))
    return pd.DataFrame(rows, columns=["covariate", "first", "second", "difference"])
