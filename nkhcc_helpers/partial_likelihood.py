"""The Cox partial likelihood of one small cohort, event by event (ties by Efron's method)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

MAX_STEPS = 60


@dataclass(frozen=True)
class PartialLikelihood:
    """Risk sets of one cohort.

    Attributes
    ----------
    covariates : ndarray, shape (n_subjects, n_covariates)
    times : ndarray, shape (n_events,)
        Event times in order, tied ones repeated.
    subjects : ndarray of int, shape (n_events,)
        Who had each event.
    weights : ndarray, shape (n_events, n_subjects)
        1 for subjects at risk, 0 for others; among d tied events the l-th counts those d as 1 - l / d.

    References
    ----------
    Cox (1972) J R Stat Soc B; Efron (1977) J Am Stat Assoc.
    """

    covariates: np.ndarray
    times: np.ndarray
    subjects: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, covariates, time, event):
        """Lay out the risk sets of subjects with these covariates, times and boolean events."""
        subjects = np.flatnonzero(event)
        subjects = subjects[np.argsort(time[subjects], kind="stable")]
        times = time[subjects]
        first = np.searchsorted(times, times, side="left")
        tied = np.searchsorted(times, times, side="right") - first
        fraction = (np.arange(len(times)) - first) / np.maximum(tied, 1)
        dies_now = event & (time == times[:, None])
        weights = (time >= times[:, None]) - fraction[:, None] * dies_now
        return cls(np.asarray(covariates, float), times, subjects, weights)

    def evaluate(self, coef):
        """Log-likelihood, residual of each event and variance of each risk set at `coef`.

        Returns
        -------
        log_likelihood : float
        residuals : ndarray, shape (n_events, n_covariates)
            Covariates of the subject with the event less their mean in its risk set (Schoenfeld).
        variances : ndarray, shape (n_events, n_covariates, n_covariates)
        """
        x = self.covariates
        linear = x @ coef
        # Scaled by the largest hazard at risk, so that no exponential overflows or all vanish.
        largest = np.where(self.weights > 0, linear, -np.inf).max(axis=1, initial=-np.inf)
        hazard = self.weights * np.exp(np.minimum(linear - largest[:, None], 0))
        total = hazard.sum(axis=1)
        share = hazard / total[:, None]
        mean = share @ x
        variances = np.einsum("ej,jp,jq->epq", share, x, x) - mean[:, :, None] * mean[:, None, :]
        log_likelihood = float((linear[self.subjects] - largest - np.log(total)).sum())
        return log_likelihood, x[self.subjects] - mean, variances

    def maximize(self, fixed=None):
        """Maximize the log-likelihood by Newton's method, holding the coefficients in `fixed`.

        Parameters
        ----------
        fixed : dict of int to float, optional
            Column number and value of the coefficients held.

        Returns
        -------
        coef : ndarray, shape (n_covariates,)
        log_likelihood : float
            Where no maximum exists, within about 1e-9 of the least upper bound.
        """
        coef = np.zeros(self.covariates.shape[1])
        for column, value in (fixed or {}).items():
            coef[column] = value
        free = np.setdiff1d(np.arange(len(coef)), list(fixed or {}))
        value, residuals, variances = self.evaluate(coef)
        for _ in range(MAX_STEPS):
            if not len(free):
                break
            score = residuals.sum(axis=0)[free]
            information = variances.sum(axis=0)[np.ix_(free, free)]
            step = np.linalg.lstsq(information, score, rcond=1e-12)[0]
            gain, coef, (value, residuals, variances) = self._climb(coef, free, step, value)
            if gain < 1e-11:
                break
        return coef, value

    def _climb(self, coef, free, step, value):
        """Take the step, halved until the log-likelihood does not fall."""
        for halving in range(30):
            candidate = coef.copy()
            candidate[free] += step / 2**halving
            found = self.evaluate(candidate)
            if found[0] >= value:
                return found[0] - value, candidate, found
        return 0.0, coef, self.evaluate(coef)


def find_separation(covariates, time, event):
    """Find a direction along which the partial likelihood has no maximum.

    Such a direction b orders the subjects so that whoever has an event has the largest x'b of all at risk,
    and at least once strictly so: the likelihood then rises without end along b.

    Parameters
    ----------
    covariates : ndarray, shape (n_subjects, n_covariates)
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
    spread = x.max(axis=0) - x.min(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    who = np.flatnonzero(event)
    first, second = np.nonzero(time[who][:, None] <= time)
    gaps = np.unique(x[who[first]] - x[second], axis=0)
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
