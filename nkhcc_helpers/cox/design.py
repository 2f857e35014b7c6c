"""What the groups of a trial can tell apart: codings, design points, collinearity, separation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from typing import Annotated, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import AfterValidator, ValidationInfo
from scipy import linalg, optimize, sparse

from nkhcc_helpers.checks import (
    Result,
    check_choice,
    check_covariates,
    check_entry,
    keeps_options,
    number_strata,
)
from nkhcc_helpers.cox.likelihood import lay_out_risk
from nkhcc_helpers.cox.risk_sets import MOST_KINDS, find_at_risk


def _refuse_log2_of_none(coding: str, info: ValidationInfo) -> str:
    if coding == "log2" and info.context and any(arm.dose == 0 for arm in info.context().metadata.arms):
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
FOLLOWED = ["USUBJID", "group", "time", "event", "time_enter"]
DOSE_CODINGS, COVARIATES = get_args(DoseCoding), get_args(Covariate)
ROUNDING, NOTICEABLE = 1e-12, 1e-6  # gaps along a direction, relative to the covariates
# The furthest entry of a direction, in spans of the covariates; costs of each span and of each gap opened.
FURTHEST, SHORT, OPEN = 1e6, 1e-5, -1e3


class Unusable(StrEnum):
    """Why a column of a design matrix cannot be estimated."""

    CONSTANT = "is the same for everyone"
    FOLLOWS = "follows from the covariates before it"


@keeps_options
def code_trial(
    trial, endpoint, covariates=COVARIATES, *, dose_coding: DoseCoding = "relative", reference="", strata=""
):
    """Return what a Cox model of a trial needs.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint; empty for the trial's first.
    covariates : sequence of {"dose", "infusions", "cumulative", "order", "group"}, default all
        ``cumulative`` is the planned sum of doses, ``order`` the rank of the group; ``group`` becomes one
        column for each group but the reference.
    dose_coding : {"relative", "cumulative", "log2", "order"}, default "relative"
        ``dose`` as dose per infusion, planned sum of doses, log2 of dose per infusion, or rank of dose.
    reference : str, optional
        Code of the group that the others are compared with; the first one with events where empty. The
        result's option ``reference`` says which it is.
    strata : str, optional
        Column of the trial's subjects to take over, for a stratified model.

    Returns
    -------
    DataFrame
        One row per subject: ``USUBJID group time event time_enter``, the column `strata`, and the coded
        covariates as float. Those that hang on a plan that is not known for every group are left out, and
        are the option ``unknown``.

    Raises
    ------
    ValueError
        Unknown endpoint, covariate, coding, reference or strata, or log2 of a dose that is not positive.
    """
    frame = follow_subjects(trial, endpoint or next(iter(trial.endpoint_labels)), strata)
    reference = find_reference(frame, reference)
    coded = code_covariates(frame, covariates, dose_coding=dose_coding, reference=reference)
    kept = [name for name in (*FOLLOWED, strata) if name in frame]
    unknown = tuple(coded.columns[coded.isna().any()])
    table = frame[kept].join(coded.drop(columns=[*unknown]))
    return Result.of(table, reference=reference, unknown=unknown)


def follow_subjects(trial, endpoint, strata=""):
    """As `Trial.survival`, with a column `strata` of the trial's subjects."""
    frame = trial.survival(endpoint)
    if not strata:
        return frame
    if strata not in trial.subjects or strata in frame:
        raise ValueError(f"strata must be a column of ADSL such as SEX; got {strata!r}")
    return frame.merge(trial.subjects[["USUBJID", strata]], on="USUBJID", how="left", validate="one_to_one")


def find_reference(frame, reference=""):
    """The group that others are compared with: the one given, or the first one with events, or the first."""
    groups = frame["group"].cat.remove_unused_categories().cat.categories
    if reference and reference not in groups:
        nobody = ", in which nobody has this endpoint" if reference in frame["group"].cat.categories else ""
        raise ValueError(
            f"reference must be one of the groups {', '.join(groups)}; got {reference!r}{nobody}"
        )
    seen = frame.loc[frame["event"].astype(bool), "group"].unique() if "event" in frame else groups
    return reference or next((code for code in groups if code in seen), groups[0])


def code_covariates(frame, covariates, *, dose_coding: DoseCoding = "relative", reference=""):
    """The columns of a design matrix, of a frame ``group dose infusions``; arguments as of `code_trial`."""
    unknown = [name for name in covariates if name not in COVARIATES]
    if unknown:
        raise ValueError(f"covariates has {unknown[0]!r}; known are {', '.join(COVARIATES)}")
    if len(set(covariates)) < len(covariates):
        raise ValueError(f"covariates holds one twice: {', '.join(covariates)}")
    columns = {}
    group = frame["group"].cat.remove_unused_categories()
    for name in covariates:
        if name == "group":
            others = group.cat.categories.drop(find_reference(frame, reference))
            columns |= {f"group {code}": (group == code) for code in others}
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
    check_covariates(frame, covariates)
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
    x, unusable, kept = check_covariates(x, x.columns, ()), {}, []
    for name in x.columns:
        if x[name].nunique() < 2:
            unusable[name] = Unusable.CONSTANT
        elif count_rank(x[[*kept, name]]) <= len(kept):
            unusable[name] = Unusable.FOLLOWS
        else:
            kept.append(name)
    return unusable


def check_estimable(x, frame=None):
    """Raise ValueError where a column of a design matrix cannot be estimated, or there is none.

    Not so of a frame with one ``group`` only, where all that is planned is the same for everyone: nothing is
    wrong with a model of it, and its estimates are NaN.
    """
    unusable = find_unusable(x)
    one_group = frame is not None and "group" in frame and frame["group"].nunique() < 2
    if one_group and 0 < len(x.columns) == len(unusable):
        return
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
        if len(covariates) and not known and not find_unusable(check_covariates(frame, covariates)):
            kept[name] = list(covariates)
    return kept


def find_separation(covariates, time, event, enter=None):
    """A direction along which the partial likelihood of one cohort has no maximum, or None.

    Along it whoever has an event is largest of all at risk, at least once strictly; its largest entry is 1 or
    -1. A linear program, hence sure. `covariates` are (n_subjects, n_covariates), or (n_subjects, n_subjects,
    n_covariates) at the time of the subject of the first axis; `enter` as of `likelihood.lay_out_risk`.
    Heinze, Schemper (2001) Biometrics.
    """
    gaps, span = _list_gaps(covariates, time, event, enter)
    if not len(gaps):
        return None
    found = optimize.linprog(-gaps.sum(axis=0), sparse.csr_array(-gaps), np.zeros(len(gaps)), bounds=(-1, 1))
    if -found.fun < 1e-7:
        return None
    direction = found.x / span
    return direction / np.abs(direction).max()


def _list_gaps(covariates, time, event, enter):
    """Distinct gaps of who has an event to others at risk, in spans of the covariates, and these spans."""
    x = np.asarray(covariates, float)
    every = x.reshape(-1, x.shape[-1])
    span = np.ptp(every, axis=0)
    span[span == 0] = 1
    x = (x - every.mean(axis=0)) / span
    enters = None if enter is None else enter[None]
    at_risk = find_at_risk(time[None], enters, time[None, None])[0].T & event[:, None]
    kinds, kind = np.unique(x, axis=0, return_inverse=True)
    if x.ndim == 2 and len(kinds) <= MOST_KINDS:
        # Who agrees in all covariates has the same gaps.
        belongs = np.eye(len(kinds), dtype=np.float32)[kind.ravel()]
        x, at_risk = kinds, belongs.T @ (at_risk.astype(np.float32) @ belongs)
    first, second = np.nonzero(at_risk)
    gaps = np.unique(x[first] - x[second] if x.ndim == 2 else x[first, first] - x[first, second], axis=0)
    return gaps[np.abs(gaps).max(axis=1, initial=0) > ROUNDING], span


@dataclass(frozen=True)
class Limit:
    """What is left of a partial likelihood far along all directions in which it has no maximum."""

    direction: np.ndarray  # one of them, not 0 where any is not; its largest entry is 1 or -1
    kept: np.ndarray  # columns that none of them moves
    combined: np.ndarray  # what is left of the others, (n_subjects, n_combinations)
    stays: np.ndarray  # whether the subject of the second axis still counts at the event of the first

    @classmethod
    def find(cls, x, time, event, enter=None):
        """Of a cohort as of `find_separation`; None without a direction or where rounding may mislead.

        They form a cone. One inside it opens each gap that any opens; its span is all that keeps the others
        closed. Far along it whoever is outranked has left the risk sets, and across the span there is
        a maximum, with a coefficient held too. Rockafellar (1970) Convex Analysis.
        """
        gaps, span = _list_gaps(x, time, event, enter)
        n, p = gaps.shape
        # Open as many gaps as there are, up to 1, to which all that opens can grow; then by a short way.
        rows = sparse.hstack([sparse.csr_array(np.hstack([-gaps, gaps])), sparse.eye_array(n)])
        cost, bounds = np.repeat([SHORT, OPEN], [2 * p, n]), [(0, FURTHEST)] * 2 * p + [(0, 1)] * n
        found = optimize.linprog(cost, rows, np.zeros(n), bounds=bounds).x
        opens, inside = found[2 * p :] > 0.5, found[:p] - found[p : 2 * p]
        across = linalg.null_space(np.vstack([np.zeros(p), gaps[~opens]]), rcond=NOTICEABLE)
        inside, aside = (across @ (across.T @ each) for each in (inside, np.sqrt(np.arange(2, p + 2))))
        least = (gaps[opens] @ inside).min(initial=1)
        if not opens.any() or least < 0.5 or np.abs(gaps[~opens] @ inside).max(initial=0) > NOTICEABLE:
            return None
        moved = np.linalg.norm(across, axis=1) > NOTICEABLE
        # A little aside, so that no entry is 0 by chance.
        inside += aside * least / 4 / np.abs(gaps[opens] @ aside).max(initial=NOTICEABLE)
        x = (x - x.mean(axis=0)) / span
        along, direction = x @ inside, np.where(moved, inside, 0) / span
        combined, stays = x[:, moved] @ linalg.null_space(across[moved].T), along[:, None] - along < least / 2
        return cls(direction / np.abs(direction).max(), np.flatnonzero(~moved), combined, stays)


@dataclass(frozen=True)
class Subjects:
    """Whom a Cox model is fitted to, checked."""

    x: pd.DataFrame
    time: np.ndarray
    event: np.ndarray
    enter: np.ndarray | None  # None where all are followed from the start
    strata: np.ndarray | None  # numbers of them, None without

    @classmethod
    def of(cls, frame, covariates, strata=""):
        """Check the data; arguments and errors as of `fit_cox`. Without covariates where they are None."""
        for name in ("time", "event", *([strata] if strata else [])):
            if name not in frame:
                raise ValueError(f"the frame has no column {name!r}; it has {', '.join(map(str, frame))}")
        time, event, enter = check_entry(frame["time"], frame["event"], frame.get("time_enter"))
        x = check_covariates(
            frame, () if covariates is None else covariates, ("time", "event", "time_enter", strata)
        )
        if covariates is not None:
            check_estimable(x, frame)
        numbers = number_strata(frame[strata], strata) if strata else None
        return cls(x, time, event, enter if enter.any() else None, numbers)

    @property
    def risk(self):
        """Times and entries as of one cohort, as of `lay_out_risk`."""
        return lay_out_risk(self.time[None], self.enter, self.strata)

    @property
    def batch(self):
        """Times, events and covariates as of one cohort."""
        return self.risk[0], self.event[None], self.x.to_numpy()[None]

    @cached_property
    def separated(self):
        """Direction in which the likelihood without penalty has no maximum, or None."""
        times, enters = self.risk
        cohort = self.x.to_numpy(), times[0], self.event, None if enters is None else enters[0]
        direction = find_separation(*cohort)
        limit = None if direction is None else Limit.find(*cohort)
        direction = direction if limit is None else limit.direction
        return None if direction is None else pd.Series(direction, self.x.columns)
