"""Cox models of thousands of small cohorts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import optimize, sparse

from nkhcc_helpers.checks import check_choice
from nkhcc_helpers.cox.likelihood import TIES, PartialLikelihood

ROUNDING, NOTICEABLE = 1e-12, 1e-6  # gaps along a direction, relative to the covariates


def find_separation(covariates, time, event):
    """Find a direction along which the partial likelihood has no maximum.

    Such a direction b orders the subjects so that whoever has an event has the largest x'b of all at risk,
    and at least once strictly so: the likelihood then rises without end along b.

    Parameters
    ----------
    covariates : ndarray, shape (n_subjects, n_covariates)
        Or (n_subjects, n_subjects, n_covariates), as they are at the time of the subject of the first axis.
    time : ndarray of float, shape (n_subjects,)
    event : ndarray of bool, shape (n_subjects,)

    Returns
    -------
    ndarray of shape (n_covariates,), or None
        The direction, its largest entry 1 or -1; None where the likelihood has a maximum.

    Notes
    -----
    A linear program, hence a sure answer: maximize the summed gaps x_i'b - x_j'b between each event i and
    the subjects j at risk with it, all gaps at least 0 and b in a box. The optimum is above 0 exactly when
    a separating direction exists.

    References
    ----------
    Jacobsen (1989) Scand J Stat; Heinze, Schemper (2001) Biometrics.
    """
    x = np.asarray(covariates, float)
    every = x.reshape(-1, x.shape[-1])
    spread = every.max(axis=0) - every.min(axis=0)
    x = (x - every.mean(axis=0)) / np.where(spread > 0, spread, 1)
    first, second = np.nonzero((time[:, None] <= time) & event[:, None])
    gaps = x[first] - x[second] if x.ndim == 2 else x[first, first] - x[first, second]
    gaps = np.unique(gaps, axis=0)
    gaps = gaps[np.abs(gaps).max(axis=1) > 1e-12] if len(gaps) else gaps
    if not len(gaps):
        return None
    found = optimize.linprog(
        -gaps.sum(axis=0),
        A_ub=sparse.csr_array(-gaps),
        b_ub=np.zeros(len(gaps)),
        bounds=(-1, 1),
        method="highs",
    )
    if -found.fun < 1e-7:
        return None
    direction = found.x / np.where(spread > 0, spread, 1)
    return direction / np.abs(direction).max()


def is_separating(covariates, times, events, directions):
    """Check whether directions separate, for many cohorts at once.

    Parameters
    ----------
    covariates : ndarray, shape (n_cohorts, n_subjects, n_covariates)
    times, events : ndarray, shape (n_cohorts, n_subjects)
    directions : ndarray, shape (n_cohorts, n_covariates)

    Returns
    -------
    ndarray of bool, shape (n_cohorts,)
        True is certain: whoever has an event is largest along the direction of all at risk, and at least once
        strictly. False says only that this direction does not separate.
    """
    along = np.einsum("cnp,cp->cn", covariates, directions)
    gap = along[:, :, None] - along[:, None, :]
    gap = np.where((times[:, :, None] <= times[:, None, :]) & events[:, :, None], gap, 0)
    scale = np.abs(covariates).max(axis=(1, 2), initial=0) * np.abs(directions).sum(axis=1)
    smallest, largest = (bound(gap, axis=(1, 2), initial=0) for bound in (np.min, np.max))
    return (smallest >= -ROUNDING * scale) & (largest > NOTICEABLE * scale)


Method = Literal["firth", "partial"]
METHODS = get_args(Method)
VANISHED = 1e-8  # information
FLAT, CURVED = 1e-6, 1e-6  # score and information at a sure maximum, relative to those at 0
NUMBERS_AT_A_TIME = 400_000  # weights held at once, few enough to stay in a processor's cache


@dataclass(frozen=True)
class CohortFits:
    """The fits of one Cox model to many cohorts.

    Attributes
    ----------
    coef, se : ndarray, shape (n_cohorts, n_covariates)
        Log hazard ratios and their standard errors from the information; NaN where not estimable.
    log_likelihood, null_log_likelihood : ndarray, shape (n_cohorts,)
        At the maximum (its least upper bound where there is none), and with every coefficient 0; penalised
        when the method is Firth's, and NaN where the penalty does not exist.
    estimable : ndarray of bool, shape (n_cohorts,)
    """

    coef: np.ndarray
    se: np.ndarray
    log_likelihood: np.ndarray
    null_log_likelihood: np.ndarray
    estimable: np.ndarray

    @property
    def lr_statistic(self):
        """Likelihood-ratio statistics against no effect of any covariate, shape (n_cohorts,)."""
        return 2 * (self.log_likelihood - self.null_log_likelihood)


def fit_cox_many(times, events, x, *, method="firth", ties="breslow", fixed=None):
    """Fit one Cox model to each of many cohorts.

    Parameters
    ----------
    times, events : array_like, shape (n_cohorts, n_subjects)
        Times and boolean events; a single row serves all cohorts. A subject of time -1 without event is left
        out.
    x : array_like, shape (n_cohorts, n_subjects, n_covariates)
        Covariates, or (n_subjects, n_covariates) for all cohorts; or (n_cohorts, n_subjects, n_subjects,
        n_covariates) for covariates that change: ``x[c, i, j]`` are those of subject j when i has the event.
    method : {"firth", "partial"}, default "firth"
        Penalised or plain partial likelihood.
    ties : {"breslow", "efron"}, default "breslow"
    fixed : dict of int to float, optional
        Coefficients held, by column; the penalty stays that of the whole model.

    Returns
    -------
    CohortFits

    Raises
    ------
    ValueError
        Shapes that do not fit together, numbers that are not finite, unknown method or ties.

    Notes
    -----
    Newton's method on all cohorts side by side; those that have converged drop out. A stationary point with a
    well-conditioned information is the maximum, since the log-likelihood is concave; a cohort without one is
    judged by `separation.find_separation`.

    References
    ----------
    Cox (1972) J R Stat Soc B; Firth (1993) Biometrika; Heinze, Schemper (2001) Biometrics.
    """
    times, events, x = _check_cohorts(times, events, x)
    check_choice(method, "method", METHODS)
    check_choice(ties, "ties", TIES)
    n_cohorts, n = max(len(times), len(x)), times.shape[1]
    size = max(1, NUMBERS_AT_A_TIME // (n * n))
    parts = []
    for start in range(0, n_cohorts, size):
        which = slice(start, start + size)
        block = [a if len(a) == 1 else a[which] for a in (times, events, x)]
        parts.append(_fit_block(*block, method == "firth", ties, fixed or {}))
    return CohortFits(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _fit_block(times, events, x, firth, ties, fixed):
    likelihood = PartialLikelihood.of(times, events, x, ties)
    shape = likelihood.n_cohorts, x.shape[-1]
    null = likelihood.evaluate(np.zeros(shape), firth)
    held = np.array([[fixed.get(column, np.nan) for column in range(shape[1])]], dtype=float)
    coef, state = likelihood.maximize(firth, held)
    estimable = likelihood.is_identified(null.information)
    free = np.setdiff1d(np.arange(shape[1]), list(fixed))
    if not firth and len(free):
        # In units in which the information without effects has ones on its diagonal.
        scale = np.sqrt(np.maximum(np.einsum("cpp->cp", null.information)[:, free], 1e-300))
        information = state.information[:, free[:, None], free] / scale[:, :, None] / scale[:, None]
        unsure = np.flatnonzero(estimable & ~_is_maximum(information, state.score[:, free] / scale))
        which = [np.broadcast_to(a, (shape[0], *a.shape[1:]))[unsure] for a in (x[..., free], times, events)]
        units = scale[unsure]
        which[0] = which[0] / (units[:, None] if x.ndim == 3 else units[:, None, None])
        estimable[unsure] = _has_maximum(*which, coef[unsure][:, free] * units, information[unsure])
    information = np.where(estimable[:, None, None], state.information, np.eye(shape[1]))
    variance = np.einsum("cpp->cp", np.linalg.inv(information))
    return (
        np.where(estimable[:, None], coef, np.nan),
        np.where(estimable[:, None], np.sqrt(np.maximum(variance, 0)), np.nan),
        np.where(np.isfinite(state.log_likelihood), state.log_likelihood, np.nan),
        np.where(np.isfinite(null.log_likelihood), null.log_likelihood, np.nan),
        estimable,
    )


def _has_maximum(x, times, events, coef, information):
    """Whether each likelihood has a maximum, judged from where Newton's method ended.

    Along a separating direction the information vanishes and the coefficients run away; where what they ran
    along proves to separate, that is the answer, and elsewhere a linear program gives it.
    """
    has = np.ones(len(coef), dtype=bool)
    if x.ndim == 3:
        values, vectors = np.linalg.eigh(information)
        flat = vectors * (values < VANISHED)[:, None]
        away = np.einsum("cpk,cqk,cq->cp", flat, vectors, coef)
        away /= np.maximum(np.abs(away).max(axis=1, keepdims=True), 1e-300)
        has = ~is_separating(x, times, events, np.round(away, 6))
    for cohort in np.flatnonzero(has):
        has[cohort] = find_separation(x[cohort], times[cohort], events[cohort]) is None
    return has


def _is_maximum(information, score):
    """Where the information at the point reached is large enough to make it a maximum beyond doubt."""
    return (np.abs(score).max(axis=1) < FLAT) & (np.linalg.eigvalsh(information)[:, 0] > CURVED)


def _check_cohorts(times, events, x):
    times, events, x = np.atleast_2d(times).astype(float), np.atleast_2d(events), np.asarray(x, float)
    x = x[None] if x.ndim == 2 else x
    n = times.shape[1]
    fits = times.ndim == 2 and times.shape == events.shape and x.ndim in (3, 4) and set(x.shape[1:-1]) == {n}
    if not fits or len({len(times), len(x)} - {1}) > 1:
        raise ValueError(
            f"times {times.shape}, events {events.shape} and x {x.shape} do not fit together: they must be "
            "(n_cohorts, n_subjects) twice and (n_cohorts, n_subjects, n_covariates)"
        )
    if not (np.isfinite(times).all() and np.isfinite(x).all()):
        raise ValueError("times and x must be finite numbers")
    if not np.isin(events, (0, 1)).all():
        raise ValueError("events must be true or false")
    return times, events.astype(bool), x
