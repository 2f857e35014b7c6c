"""Profile likelihood limits of the coefficients of Cox models, many at once."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.optimize import elementwise

MOST_STEPS = 40  # outwards, each half as long again
TOLERANCE = 1e-9  # of a limit, times the span of the covariate


def find_profile_limits(likelihood, coef, log_likelihood, conf_level, *, firth=False):
    """Find where the profile log-likelihood falls below the bound of a likelihood-ratio test.

    Parameters
    ----------
    likelihood : PartialLikelihood
    coef : ndarray, shape (n_cohorts, n_covariates)
        Where each likelihood is largest.
    log_likelihood : ndarray, shape (n_cohorts,)
        There.
    conf_level : float
    firth : bool, default False

    Returns
    -------
    ndarray, shape (n_cohorts, n_covariates, 2)
        Lower and upper limits; infinite where the profile never falls so far.

    References
    ----------
    Venzon, Moolgavkar (1988) Appl Stat; Heinze, Schemper (2001) Biometrics; Chandrupatla (1997) Adv Eng
    Softw, for the root.
    """
    n_cohorts, n_covariates = coef.shape
    target = np.broadcast_to(log_likelihood, n_cohorts) - stats.chi2.ppf(conf_level, 1) / 2
    shape = n_cohorts, n_covariates, 2
    cohort, column, side = (a.ravel() for a in np.indices(shape))
    span = np.ptp(likelihood.covariates, axis=-1)
    span = np.broadcast_to(span.max(axis=1) if span.ndim == 3 else span, coef.shape)[cohort, column]
    others = coef[cohort]

    def excess(value, at):
        """How far the profile is above the target, for the limits numbered `at`; values over the span."""
        at = at.astype(int)
        held = np.full((len(at), n_covariates), np.nan)
        held[np.arange(len(at)), column[at]] = value / span[at]
        # What the other coefficients were at the last value is close to what they are at this one.
        others[at], state = likelihood.take(cohort[at]).maximize(firth, held, others[at])
        return state.log_likelihood - target[cohort[at]]

    step = 2.0 * side - 1
    near = coef[cohort, column] * span
    far = near + step
    inside = np.arange(len(near))
    for _ in range(MOST_STEPS):
        inside = inside[excess(far[inside], inside) >= 0]
        if not len(inside):
            break
        near[inside] = far[inside]
        step[inside] *= 1.5
        far[inside] += step[inside]
    found = np.setdiff1d(np.arange(len(near)), inside)
    limits = np.where(side == 1, np.inf, -np.inf)
    if len(found):
        root = elementwise.find_root(
            excess, (near[found], far[found]), args=(found,), tolerances={"xatol": TOLERANCE}
        )
        limits[found] = root.x / span[found]
    return limits.reshape(shape)
