"""The log-rank family: of one cohort under many allocations, and of many cohorts in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nkhcc_helpers.checks import check_choice, check_entry, check_groups, has_entered
from nkhcc_helpers.survival.curves import Curves, order_patients, trace_survival

# A tie with the observed value is extreme; sums of floating-point scores tie to this relative tolerance.
TOLERANCE = 1e-9
WEIGHTS = ("logrank", "gehan-breslow", "tarone-ware", "peto-peto")
MOST_PAIRS = 10_000  # subjects times event times, up to which products of matrices are the fastest
NUMBERS_AT_A_TIME = 4_000_000  # of allocations, their groups and subjects


def logrank_scores(time, event, *, weights="logrank", time_enter=None):
    """Scores whose sums over groups are what a log-rank test compares.

    Peto, Peto (1972) J R Stat Soc A; Tarone, Ware (1977) Biometrika; Hothorn et al. (2006) Am Stat.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `checks.check_entry` for what is a ValueError.
    weights : {"logrank", "gehan-breslow", "tarone-ware", "peto-peto"}, default "logrank"
        1, the number at risk, its square root, or the Kaplan-Meier estimate just before the time.
    time_enter : array_like, shape (n_subjects,), optional
        When each subject came under observation; see `curves.estimate_km`.

    Returns
    -------
    ndarray of float, shape (n_subjects,)
        Event less the Nelson-Aalen cumulative hazard from entry to the subject's time, weighted; subjects
        with tied times are at risk together. As the scores of R's coin, with the sign of observed less
        expected.
    """
    return RiskSets.of(time, event, weights, time_enter).scores


@dataclass(frozen=True)
class RiskSets:
    """Who was at risk at each event time of one cohort, stratum after stratum."""

    at_risk: np.ndarray  # 1 where a subject was at risk at an event time, (n_times, n_subjects)
    n_at_risk: np.ndarray  # (n_times,)
    n_events: np.ndarray
    weights: np.ndarray  # of each event time in the statistic
    scores: np.ndarray  # weighted event less weighted cumulative hazard of each subject, (n_subjects,)
    event: np.ndarray
    strata: np.ndarray  # of each subject, counted from 0
    latest_first: np.ndarray | None = None  # the order of many subjects of one stratum without late entry

    @classmethod
    def of(cls, time, event, weights="logrank", time_enter=None, strata=None):
        """Lay out the risk sets of a cohort; `weights` as in `logrank_scores`, of each stratum on its own."""
        time, event, enter = check_entry(time, event, time_enter)
        check_choice(weights, "weights", WEIGHTS)
        strata = (
            np.zeros(len(time), dtype=int) if strata is None else check_groups(strata, len(time), "strata")[1]
        )
        parts = [np.unique(time[event & (strata == stratum)]) for stratum in range(strata.max() + 1)]
        times, stratum = np.concatenate(parts)[:, None], np.repeat(np.arange(len(parts)), [*map(len, parts)])
        at_risk = (time >= times) & (strata == stratum[:, None])
        if enter.any():
            at_risk &= has_entered(enter, times)
        happened = at_risk & event & (time == times)
        n_at_risk, n_events = (each.sum(axis=1).astype(float) for each in (at_risk, happened))
        weight = np.empty(len(times))
        for each in range(len(parts)):
            own = stratum == each
            weight[own] = _weigh(weights, n_at_risk[own], n_events[own])
        at_risk = at_risk.astype(float)
        scores = weight @ happened - (weight * n_events / n_at_risk) @ at_risk
        nested = at_risk.size > MOST_PAIRS and not enter.any() and len(parts) == 1
        order = np.argsort(-time, kind="stable") if nested else None
        return cls(at_risk, n_at_risk, n_events, weight, scores, event, strata, order)

    @property
    def _spread(self):
        tied = (self.n_at_risk - self.n_events) / np.maximum(self.n_at_risk - 1, 1)
        return self.weights**2 * self.n_events * tied

    def calculate_chi_square(self, membership):
        """Chi-square of each allocation, with the hypergeometric variance, (n_allocations,).

        `membership` has the group of each subject, counted from 0, (n_allocations, n_subjects).
        """
        found = [self._compare(part) for part in self._cut(membership)]
        return np.concatenate([solve_quadratic(*each) for each in found])

    def count_degrees(self, membership):
        """Degrees of freedom of the chi-square of one allocation: the rank of its variance."""
        variance = self._compare(membership[None])[1][0]
        return int(np.linalg.matrix_rank(variance, tol=1e-10, hermitian=True)) if variance.size else 0

    def _compare(self, membership):
        """Observed less expected events of each group but the last, and their covariance."""
        if self.latest_first is None or not membership.any():
            inside = _mark_inside(membership)
            difference, n_inside = inside @ self.scores, inside @ self.at_risk.T
        else:
            labels, last = membership[:, self.latest_first], self.n_at_risk.astype(int) - 1
            inside = [labels == group for group in range(membership.max())]
            difference = np.stack([each @ self.scores[self.latest_first] for each in inside], axis=1)
            counts = (np.cumsum(each, axis=1, dtype=np.int32)[:, last] for each in inside)
            n_inside = np.stack([*counts], axis=1)
        return difference, _sum_covariance(n_inside / self.n_at_risk, self._spread)

    def _sum_at_risk(self, values):
        """Sums of values, (..., n_subjects), over those at risk at each event time."""
        if self.latest_first is None:
            return values @ self.at_risk.T
        return np.cumsum(values[..., self.latest_first], axis=-1)[..., self.n_at_risk.astype(int) - 1]

    def _cut(self, membership):
        n_numbers = membership.size * max(int(membership.max()), 1)
        return np.array_split(membership, -(-n_numbers // NUMBERS_AT_A_TIME))

    def calculate_trend(self, membership, group_scores):
        """Trend chi-square of each allocation on one degree of freedom: Tarone (1975) Biometrika."""
        return np.concatenate([self._test_trend(part, group_scores) for part in self._cut(membership)])

    def _test_trend(self, membership, group_scores):
        value = (group_scores - np.mean(group_scores))[membership]
        mean = self._sum_at_risk(value) / self.n_at_risk
        square = self._sum_at_risk(value**2) / self.n_at_risk
        variance = (square - mean**2) @ self._spread
        difference = value @ self.scores
        return np.divide(difference**2, variance, out=np.zeros(len(value)), where=variance > 1e-12)


def _mark_inside(membership):
    """Who is in each group but the last, which follows from the others: (n, n_groups - 1, n_subjects)."""
    return (membership[:, None, :] == np.arange(membership.max())[:, None]).astype(float)


def _sum_covariance(share, weight):
    """Weighted hypergeometric covariances of groups from shares of those at risk, (n, n_groups, n_times)."""
    weighted, diagonal = share * weight, np.arange(share.shape[1])
    variance = -np.matmul(weighted, share.transpose(0, 2, 1))
    variance[:, diagonal, diagonal] += weighted.sum(axis=2)
    return variance


def _weigh(weights, n_at_risk, n_events):
    if weights == "gehan-breslow":
        return n_at_risk
    if weights == "tarone-ware":
        return np.sqrt(n_at_risk)
    if weights == "peto-peto":
        survival = trace_survival(n_at_risk, n_events)
        return np.concatenate([[1.0], survival[:-1]])[: len(survival)]
    return np.ones(len(n_at_risk))


def calculate_score_statistic(scores, membership, *, trend=None, strata=None):
    """Score statistic of one allocation; 0 where all scores are equal.

    `membership` and `strata` have the group and the stratum of each subject, counted from 0, `trend` the
    scores of the groups.
    """
    strata = np.zeros(len(scores), dtype=int) if strata is None else strata
    centred, directions = whiten_scores(scores, membership, strata, trend)
    return float(((centred @ directions[membership]) ** 2).sum())


def whiten_scores(scores, membership, strata, trend=None):
    """Scores centred in each stratum, and directions of the groups, (n_groups, rank).

    The squared length of the sum of scores times directions of their groups is the score statistic, whose
    covariance is that of allocations within strata: Hothorn et al. (2006) Am Stat.
    """
    values = np.eye(membership.max() + 1) if trend is None else np.asarray(trend, float)[:, None]
    centred, value = np.array(scores, float), values[membership]
    covariance = np.zeros((values.shape[1],) * 2)
    for stratum in range(strata.max() + 1):
        own = strata == stratum
        centred[own] -= centred[own].mean()
        value[own] -= value[own].mean(axis=0)
        scale = (centred[own] ** 2).sum() / max(own.sum() - 1, 1)
        covariance += scale * value[own].T @ value[own]
    lengths, axes = np.linalg.eigh(covariance)
    kept = lengths > TOLERANCE * max(lengths.max(), 1e-12)
    return centred, values @ (axes[:, kept] / np.sqrt(lengths[kept]))


def check_scores(scores, n_groups, name="scores"):
    """Scores of the groups for a trend, (n_groups,); 1, 2, 3, ... when absent."""
    scores = np.arange(1.0, n_groups + 1) if scores is None else np.asarray(scores, dtype=float)
    if scores.shape != (n_groups,) or not np.isfinite(scores).all() or np.ptp(scores) == 0:
        raise ValueError(f"{name} must be {n_groups} finite numbers that differ, one for each group in order")
    return scores


def solve_quadratic(difference, variance):
    """Quadratic forms d' V^- d, (n,), of many small d, (n, k), and positive semi-definite V, (n, k, k)."""
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


@dataclass(frozen=True)
class OrderedCohorts:
    """Cohorts of one design, each in order of time, events before censored: (n_cohorts, n_patients) each.

    `steps` are times, on a grid or not; `codes` the groups, counted from 0, None where groups do not matter.
    Work grows with patients times groups, where comparing every patient with every other would grow with
    patients squared; that is what makes long Markov chains affordable.
    """

    steps: np.ndarray
    events: np.ndarray
    codes: np.ndarray | None = None
    n_groups: int = 0

    @classmethod
    def of(cls, steps, events, codes=None):
        """Put cohorts in order; `codes`, (n_patients,), has the groups, the same in every cohort."""
        order = order_patients(steps, events)
        in_order = (_pick(each, order) for each in (steps, events))
        return cls(*in_order) if codes is None else cls(*in_order, codes[order], int(codes.max()) + 1)

    def take(self, rows):
        """Some of the cohorts."""
        codes = None if self.codes is None else self.codes[rows]
        return OrderedCohorts(self.steps[rows], self.events[rows], codes, self.n_groups)

    @cached_property
    def curves(self):
        """`Curves` of everyone, one a cohort."""
        return Curves.of_ordered(self.steps, self.events)

    def trace_group(self, code):
        """`Curves` of one group, one a cohort."""
        return Curves.of_ordered(self.steps, self.events, self.codes == code)

    @cached_property
    def first_of_time(self):
        """Place of the first patient with the same time, shape (n_cohorts, n_patients)."""
        places = np.arange(self.steps.shape[1])
        new = np.ones(self.steps.shape, dtype=bool)
        new[:, 1:] = self.steps[:, 1:] != self.steps[:, :-1]
        return np.maximum.accumulate(np.where(new, places, 0), axis=1)

    @cached_property
    def n_tied(self):
        """Events at each patient's time, shape (n_cohorts, n_patients)."""
        return self.sum_within_time(self.events)

    def sum_within_time(self, values):
        """Sum of values over all patients with the same time, at each of them; shaped as `values`."""
        n = self.steps.shape[1]
        so_far = np.zeros((len(self.steps), n + 1))
        np.cumsum(values, axis=1, out=so_far[:, 1:])
        until = _pick(so_far, self._last_of_time + 1)
        return until - _pick(so_far, self.first_of_time)

    def count_earlier(self, values):
        """Number of patients with the same time that stand before each one and have a value of 1."""
        so_far = np.cumsum(values, axis=1) - values
        return so_far - _pick(so_far, self.first_of_time)

    @cached_property
    def _last_of_time(self):
        mirrored = OrderedCohorts(self.steps[:, ::-1], self.events, self.codes, self.n_groups)
        return (self.steps.shape[1] - 1 - mirrored.first_of_time)[:, ::-1]

    @cached_property
    def scores_and_spread(self):
        """Event less cumulative hazard, as `logrank_scores`, and spread, each (n_cohorts, n_patients).

        Spread is d (r - d) / (r - 1) for d events among r at risk at the first place of a time, else 0.
        """
        places = np.arange(self.steps.shape[1])
        n_at_risk = len(places) - places.astype(float)
        # The hazard of a time stands at its first place, and so is in the sum at each of its places.
        n_events = np.where(self.first_of_time == places, self.n_tied, 0.0)
        spread = n_events * (n_at_risk - n_events) / np.maximum(n_at_risk - 1, 1)
        return self.events - np.cumsum(n_events / n_at_risk, axis=1), spread

    def sum_logrank(self):
        """Observed less expected events of each group but the last, and their covariance."""
        died, n_at_risk = self.events.astype(float), self.steps.shape[1] - self.first_of_time
        inside = [self.codes == group for group in range(self.n_groups - 1)]
        at_risk = (_pick(each[:, ::-1].cumsum(axis=1)[:, ::-1], self.first_of_time) for each in inside)
        share = np.stack([each / n_at_risk for each in at_risk], axis=1)
        observed = np.stack([(died * each).sum(axis=1) for each in inside], axis=1)
        difference = observed - np.matmul(share, died[..., None])[..., 0]
        weight = died * (n_at_risk - self.n_tied) / np.maximum(n_at_risk - 1, 1)
        return difference, _sum_covariance(share, weight[:, None])


def _pick(values, places):
    """Values of each cohort at places of its own."""
    return values[np.arange(len(values))[:, None], places]
