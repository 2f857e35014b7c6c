"""Separation: a direction along which a Cox partial likelihood has no maximum."""

from __future__ import annotations

import numpy as np
from scipy import optimize, sparse

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
