"""The log-rank family: risk sets, weights, scores, and the chi-square over many allocations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.checks import check_choice, check_survival

WEIGHTS = ("logrank", "gehan-breslow", "tarone-ware", "peto-peto")


@dataclass(frozen=True)
class RiskSets:
    """Who was at risk at each event time of one cohort.

    Attributes
    ----------
    at_risk : ndarray of float, shape (n_times, n_subjects)
        1 where a subject was at risk at an event time.
    n_at_risk, n_events : ndarray of float, shape (n_times,)
    weights : ndarray of float, shape (n_times,)
        Weight of each event time in the statistic.
    position : ndarray of int, shape (n_subjects,)
        Number of event times up to each subject's time.
    event : ndarray of bool, shape (n_subjects,)
    """

    at_risk: np.ndarray
    n_at_risk: np.ndarray
    n_events: np.ndarray
    weights: np.ndarray
    position: np.ndarray
    event: np.ndarray

    @classmethod
    def of(cls, time, event, weights="logrank"):
        """Lay out the risk sets of a cohort; `weights` as in `logrank_scores`."""
        time, event = check_survival(time, event)
        check_choice(weights, "weights", WEIGHTS)
        times = np.unique(time[event])
        at_risk = (time >= times[:, None]).astype(float)
        n_at_risk = at_risk.sum(axis=1)
        n_events = ((time == times[:, None]) & event).sum(axis=1).astype(float)
        weight = _weigh(weights, n_at_risk, n_events)
        return cls(at_risk, n_at_risk, n_events, weight, np.searchsorted(times, time, side="right"), event)

    @property
    def scores(self):
        """Weighted event less weighted cumulative hazard of each subject, shape (n_subjects,)."""
        hazard = np.concatenate([[0.0], np.cumsum(self.weights * self.n_events / self.n_at_risk)])
        own = np.concatenate([[0.0], self.weights])[self.position]
        return own * self.event - hazard[self.position]

    @property
    def _spread(self):
        tied = (self.n_at_risk - self.n_events) / np.maximum(self.n_at_risk - 1, 1)
        return self.weights**2 * self.n_events * tied

    def calculate_chi_square(self, membership):
        """Chi-square of each allocation, with the hypergeometric variance.

        Parameters
        ----------
        membership : ndarray of int, shape (n_allocations, n_subjects)
            Group of each subject, counted from 0.

        Returns
        -------
        ndarray of float, shape (n_allocations,)
        """
        inside = _list_inside(membership)
        return solve_quadratic(inside @ self.scores, self._calculate_variance(inside))

    def count_degrees(self, membership):
        """Degrees of freedom of the chi-square of one allocation: the rank of its variance."""
        variance = self._calculate_variance(_list_inside(membership[None]))[0]
        return int(np.linalg.matrix_rank(variance, tol=1e-10, hermitian=True))

    def _calculate_variance(self, inside):
        share = (inside @ self.at_risk.T) / self.n_at_risk
        weighted = share * self._spread
        variance = -np.matmul(weighted, share.transpose(0, 2, 1))
        diagonal = np.arange(inside.shape[1])
        variance[:, diagonal, diagonal] += weighted.sum(axis=2)
        return variance

    def calculate_trend(self, membership, group_scores):
        """Trend chi-square of each allocation (one degree of freedom).

        Parameters
        ----------
        membership : ndarray of int, shape (n_allocations, n_subjects)
        group_scores : ndarray of float, shape (n_groups,)

        Returns
        -------
        ndarray of float, shape (n_allocations,)

        References
        ----------
        Tarone (1975) Biometrika.
        """
        value = (group_scores - np.mean(group_scores))[membership]
        mean = (value @ self.at_risk.T) / self.n_at_risk
        square = (value**2 @ self.at_risk.T) / self.n_at_risk
        variance = (square - mean**2) @ self._spread
        difference = value @ self.scores
        return np.divide(difference**2, variance, out=np.zeros(len(value)), where=variance > 1e-12)


def logrank_scores(time, event, *, weights="logrank"):
    """Scores whose sums over groups are what a log-rank test compares.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `checks.check_survival`.
    weights : {"logrank", "gehan-breslow", "tarone-ware", "peto-peto"}, default "logrank"
        1, the number at risk, its square root, or the Kaplan-Meier estimate just before the time.

    Returns
    -------
    ndarray of float, shape (n_subjects,)
        Event less the Nelson-Aalen cumulative hazard at the subject's time, weighted; subjects with tied
        times are at risk together. As the scores of R's coin, with the sign of observed less expected.

    Raises
    ------
    ValueError
        Bad times or events, or unknown weights.

    References
    ----------
    Peto, Peto (1972) J R Stat Soc A; Tarone, Ware (1977) Biometrika; Hothorn et al. (2006) Am Stat.
    """
    return RiskSets.of(time, event, weights).scores


def calculate_logrank(times, events, membership):
    """Calculate observed and expected events and their variance for many cohorts at once.

    Parameters
    ----------
    times, events : ndarray, shape (n_cohorts, n_subjects)
        Times and boolean event indicators of each cohort.
    membership : ndarray of float, shape (n_subjects, n_groups)
        1 in the column of a subject's group, else 0; the same in every cohort.

    Returns
    -------
    observed, expected : ndarray, shape (n_cohorts, n_groups)
    variance : ndarray, shape (n_cohorts, n_groups, n_groups)
        Hypergeometric covariance of observed less expected.
    """
    at_risk = (times[:, None, :] >= times[:, :, None]).astype(float)
    n_at_risk = at_risk.sum(axis=2)
    n_tied = ((times[:, None, :] == times[:, :, None]) & events[:, None, :]).sum(axis=2)
    share = (at_risk @ membership) / n_at_risk[..., None]
    # Summed over subjects with an event, each of d tied events carries 1/d of its time's contribution.
    weight = events * (n_at_risk - n_tied) / np.maximum(n_at_risk - 1, 1)
    observed = events.astype(float) @ membership
    expected = np.einsum("ci,cig->cg", events.astype(float), share)
    variance = -np.einsum("ci,cig,cih->cgh", weight, share, share, optimize=True)
    groups = np.arange(membership.shape[1])
    variance[:, groups, groups] += np.einsum("ci,cig->cg", weight, share)
    return observed, expected, variance


def solve_quadratic(difference, variance):
    """Quadratic forms d' V^- d for many small d and V at once.

    Parameters
    ----------
    difference : ndarray, shape (n, k)
    variance : ndarray, shape (n, k, k)
        Positive semi-definite.

    Returns
    -------
    ndarray, shape (n,)
    """
    rest, factor = difference.copy(), variance.copy()
    largest = np.maximum(np.einsum("nkk->nk", variance).max(axis=1), 1e-300)
    total = np.zeros(len(difference))
    singular = np.zeros(len(difference), dtype=bool)
    for j in range(difference.shape[1]):
        pivot = factor[:, j, j]
        singular |= pivot <= 1e-10 * largest
        pivot = np.where(pivot <= 1e-10 * largest, 1.0, pivot)
        total += rest[:, j] ** 2 / pivot
        for i in range(j + 1, difference.shape[1]):
            ratio = factor[:, i, j] / pivot
            rest[:, i] -= ratio * rest[:, j]
            factor[:, i, j:] -= ratio[:, None] * factor[:, j, j:]
    if singular.any():
        inverse = np.linalg.pinv(variance[singular], rcond=1e-10, hermitian=True)
        total[singular] = np.einsum("ni,nij,nj->n", difference[singular], inverse, difference[singular])
    return total


def _list_inside(membership):
    """Who is in each group but the last, which follows from the others: (n, n_groups - 1, n_subjects)."""
    return (membership[:, None, :] == np.arange(membership.max())[:, None]).astype(float)


def _weigh(weights, n_at_risk, n_events):
    if weights == "gehan-breslow":
        return n_at_risk
    if weights == "tarone-ware":
        return np.sqrt(n_at_risk)
    if weights == "peto-peto":
        survival = np.cumprod(1 - n_events / n_at_risk)
        return np.concatenate([[1.0], survival[:-1]])[: len(survival)]
    return np.ones(len(n_at_risk))
