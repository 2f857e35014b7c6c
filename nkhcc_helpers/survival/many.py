"""Log-rank permutation P-values of thousands of small cohorts at once, which share who is in which group.

Seen in order of time, a cohort only says at which places events happen. How many of a group are left at each
place depends on the allocation alone, so that one table for each allocation serves all cohorts, and observed
less expected events and their variance are products of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from numbers import Integral

import numpy as np
from scipy import stats
from tqdm import tqdm

from nkhcc_helpers.survival.exact import TOLERANCE, count_allocations, list_labels
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, draw_allocations

MOST_LISTED = 200_000  # allocations
MOST_PLACES = 20_000_000  # allocations listed, times their patients
NUMBERS_AT_A_TIME = (
    40_000  # of the tables of some allocations; with PATTERNS they stay in a processor's cache
)
PATTERNS_AT_A_TIME = 32
PRODUCTS_AT_A_TIME = (
    250_000  # of one product of matrices; above, BLAS would spread it over processors in vain
)
VANISHED = 1e-10  # a variance, of counts of events


@dataclass(frozen=True)
class PermutedCohorts:
    """Log-rank comparisons of many cohorts.

    Attributes
    ----------
    statistic : ndarray of float, shape (n_cohorts,)
        Log-rank chi-square with the hypergeometric variance, or its trend version.
    df : ndarray of int, shape (n_cohorts,)
        Degrees of freedom: the rank of that variance; 1 for a trend.
    p_asymptotic : ndarray of float, shape (n_cohorts,)
        From the chi-square distribution.
    p_value, error : ndarray of float, shape (n_cohorts,)
        Share of all allocations with a statistic at least as large, and 0; or (1 + count) / (1 + draws), and
        its Monte-Carlo standard error.
    n_allocations : int
        All allocations of the patients to groups of these sizes.
    n_draws : int
        Allocations drawn; 0 where all were listed.
    exact : bool
        Whether all were listed.
    """

    statistic: np.ndarray
    df: np.ndarray
    p_asymptotic: np.ndarray
    p_value: np.ndarray
    error: np.ndarray
    n_allocations: int
    n_draws: int
    exact: bool


def permute_logrank_many(
    times, events, group, *, n_draws=100_000, seed=DEFAULT_SEED, scores=None, progress=False
):
    """Compare survival across groups in each of many cohorts, by relabelling the patients.

    Parameters
    ----------
    times, events : array_like, shape (n_cohorts, n_subjects)
        Times, at least 0, and boolean events (or 1 and 0).
    group : array_like of int, shape (n_subjects,)
        Group of each subject, counted from 0; the same in each cohort.
    n_draws : int, default 100,000
        Random allocations, where there are more than `MOST_LISTED` to list. The cohorts share them, place by
        place in the order of time, so that few would move all P-values together.
    seed : int
    scores : sequence of float, shape (n_groups,), optional
        Scores of the groups for the trend statistic, two-sided; groups are compared unordered when absent.
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    PermutedCohorts
        As `permutation.compare_survival` has them for each cohort: NaN where nothing can be compared; for a
        trend, statistic 0 and P-values 1.

    Raises
    ------
    ValueError
        Bad times, events, groups, scores or `n_draws`, or shapes that do not fit together.

    References
    ----------
    Mantel (1966) Cancer Chemother Rep; Peto, Peto (1972) J R Stat Soc A; Tarone (1975) Biometrika.
    """
    times, events, codes = _check_cohorts(times, events, group)
    if not isinstance(n_draws, Integral) or n_draws < 1:
        raise ValueError(f"n_draws must be a whole number above 0; got {n_draws!r}")
    sizes = np.bincount(codes).tolist()
    values = np.eye(len(sizes))[:, :-1] if scores is None else _check_scores(scores, len(sizes))
    patterns, labels = _Patterns.of(times, events, codes)
    statistic, df = patterns.observe(labels, values)
    n_allocations = count_allocations(sizes)
    exact = n_allocations <= MOST_LISTED and n_allocations * len(codes) <= MOST_PLACES
    n_draws = 0 if exact else n_draws
    blocks = [list_labels(sizes)] if exact else draw_allocations(np.sort(codes), n_draws, seed)
    with tqdm(total=n_draws or n_allocations, unit="allocation", disable=not progress) as bar:
        # Not quite the tolerance alone: where the statistic is 0, rounding would decide.
        count = patterns.count_reaching(statistic * (1 - TOLERANCE) - 1e-12, blocks, values, bar)
    p_value = count / n_allocations if exact else (1 + count) / (1 + n_draws)
    error = np.sqrt(p_value * (1 - p_value) / n_draws) if n_draws else np.zeros(len(p_value))
    df = df if scores is None else np.ones_like(df)
    p_asymptotic = stats.chi2.sf(statistic, df)
    told = (np.where(df > 0, each, np.nan) for each in (statistic, p_asymptotic, p_value, error))
    statistic, p_asymptotic, p_value, error = told
    return PermutedCohorts(statistic, df, p_asymptotic, p_value, error, n_allocations, n_draws, exact)


def permute_pairs_many(
    times, events, group, *, pairs=None, n_draws=100_000, seed=DEFAULT_SEED, progress=False
):
    """Compare every pair of groups in each of many cohorts, by relabelling the patients of the two.

    Parameters
    ----------
    times, events, group, n_draws, seed, progress
        As in `permute_logrank_many`.
    pairs : sequence of (int, int), optional
        The pairs asked for; every pair when absent.

    Returns
    -------
    dict of (int, int) to PermutedCohorts
        P-values are not adjusted for the number of pairs.

    Raises
    ------
    ValueError
        As `permute_logrank_many`, or a pair that is not of two groups.
    """
    times, events, codes = _check_cohorts(times, events, group)
    groups = range(codes.max() + 1)
    pairs = list(combinations(groups, 2)) if pairs is None else [tuple(pair) for pair in pairs]
    for pair in pairs:
        if len(set(pair)) != 2 or len(pair) != 2 or not set(pair) <= set(groups):
            raise ValueError(f"pairs must each be two of the groups 0 to {groups[-1]}; got {pair}")
    compared = {}
    for pair in pairs:
        keep = np.isin(codes, pair)
        part = (codes[keep] == pair[1]).astype(int)
        compared[pair] = permute_logrank_many(
            times[:, keep], events[:, keep], part, n_draws=n_draws, seed=seed, progress=progress
        )
    return compared


@dataclass(frozen=True)
class _Patterns:
    """Orders in which events, censorings and ties follow each other; cohorts of one pattern share statistics.

    Attributes
    ----------
    scores : ndarray of float, shape (n_patterns, n_subjects)
        Event less cumulative hazard, in the order of time; see `logrank.logrank_scores`.
    spread : ndarray of float, shape (n_patterns, n_subjects)
        At the first place of a time d (r - d) / (r - 1) for d events among r at risk, else 0.
    which : ndarray of int, shape (n_cohorts,)
        Pattern of each cohort.
    """

    scores: np.ndarray
    spread: np.ndarray
    which: np.ndarray

    @classmethod
    def of(cls, times, events, codes):
        """Lay out cohorts; also gives the groups in the order of time, shape (n_cohorts, n_subjects)."""
        order = np.lexsort((~events, times))
        times, events = np.take_along_axis(times, order, 1), np.take_along_axis(events, order, 1)
        n_cohorts, n = times.shape
        is_first = np.diff(times, prepend=-1.0) > 0
        first = np.maximum.accumulate(np.where(is_first, np.arange(n), 0), axis=1)
        place = (first + n * np.arange(n_cohorts)[:, None]).ravel()
        n_events = np.bincount(place, events.ravel(), times.size).reshape(times.shape)
        n_at_risk = np.arange(n, 0, -1.0)
        # The hazard of a time stands at its first place, and so is in the sum at each of its places.
        scores = events - np.cumsum(n_events / n_at_risk, axis=1)
        spread = n_events * (n_at_risk - n_events) / np.maximum(n_at_risk - 1, 1)
        both, which = np.unique(np.hstack([scores, spread]), axis=0, return_inverse=True)
        return cls(both[:, :n].copy(), both[:, n:].copy(), which.ravel()), codes[order]

    def observe(self, labels, values):
        """Statistic of each cohort and the rank of its variance, each of shape (n_cohorts,)."""
        statistic, rank = np.empty((2, len(labels)))
        step = _count_at_a_time(labels.shape[1], values.shape[1])
        for start in range(0, len(labels), step):
            own = slice(start, start + step)
            members, products = _tabulate(labels[own].T, values)
            difference = (members * self.scores[self.which[own]].T).sum(axis=1)
            variance = (products * self.spread[self.which[own]].T).sum(axis=1)
            statistic[own], rank[own] = _solve(difference, variance)
        return statistic, rank.astype(int)

    def count_reaching(self, bounds, blocks, values, bar):
        """Count allocations whose statistic reaches each cohort's bound; blocks as of `draw_allocations`."""
        order = np.lexsort((bounds, self.which))
        cohorts = np.split(order, np.cumsum(np.bincount(self.which))[:-1])
        # Patterns of one cohort first: their bounds are compared side by side.
        queue = np.argsort([len(each) > 1 for each in cohorts], kind="stable")
        count = np.zeros(len(bounds), dtype=np.int64)
        step = _count_at_a_time(self.scores.shape[1], values.shape[1])
        for block in blocks:
            for start in range(0, len(block), step):
                members, products = _tabulate(block[start : start + step].T, values)
                for first in range(0, len(queue), PATTERNS_AT_A_TIME):
                    rows = queue[first : first + PATTERNS_AT_A_TIME]
                    statistic, _ = _solve(self.scores[rows] @ members, self.spread[rows] @ products)
                    _add_reaching(count, statistic, bounds, [cohorts[row] for row in rows])
            bar.update(len(block))
        return count


def _add_reaching(count, statistic, bounds, cohorts):
    """Add to the count of each cohort; `cohorts` are those of each row, by their bounds."""
    if len(cohorts[-1]) == 1:
        own = np.concatenate(cohorts)
        count[own] += np.count_nonzero(statistic >= bounds[own, None], axis=1)
        return
    for row, own in zip(statistic, cohorts, strict=True):
        reached = np.bincount(np.searchsorted(bounds[own], row, side="right"), minlength=len(own) + 1)
        count[own] += np.cumsum(reached[::-1])[-2::-1]


def _count_at_a_time(n_subjects, n_columns):
    n_tables = n_columns + n_columns * (n_columns + 1) // 2
    most = min(NUMBERS_AT_A_TIME // n_tables, PRODUCTS_AT_A_TIME // PATTERNS_AT_A_TIME)
    return max(1, most // n_subjects)


def _tabulate(labels, values):
    """What allocations contribute at each place, to be multiplied with scores and with spread.

    Of the group at each place in order of time, shape (n_subjects, n_allocations), and the values of groups,
    shape (n_groups, n_columns): values at each place, shape (n_columns, n_subjects, n_allocations), and their
    covariances among those left there, shape (n_pairs, n_subjects, n_allocations); pairs in the order of
    `combinations_with_replacement`.
    """
    n_left = np.arange(len(labels), 0, -1.0)[:, None]
    members = values.T[:, labels]
    mean = np.cumsum(members[:, ::-1], axis=1)[:, ::-1] / n_left
    products = []
    for one, two in combinations_with_replacement(range(len(members)), 2):
        both = members[one] * members[two]
        products.append(np.cumsum(both[::-1], axis=0)[::-1] / n_left - mean[one] * mean[two])
    return members, np.stack(products)


def _solve(difference, variance):
    """Quadratic forms d' V^- d, as `logrank.solve_quadratic`, and the ranks of V, each of shape (...).

    Of d, shape (n_columns, ...), and V, shape (n_pairs, ...), which are overwritten.
    """
    columns = range(len(difference))
    at = dict(zip(combinations_with_replacement(columns, 2), variance, strict=True))
    total, rank = np.zeros_like(difference[0]), np.full(difference[0].shape, float(len(difference)))
    ratio, part = np.empty_like(total), np.empty_like(total)
    for i in columns:
        pivot = at[i, i]
        # Nothing is lost with a vanished pivot: the difference lies in the range of the variance.
        if (vanished := pivot <= VANISHED).any():
            pivot[vanished] = np.inf
            rank -= vanished
        inverse = np.divide(1.0, pivot, out=pivot)
        total += np.multiply(np.multiply(difference[i], inverse, out=ratio), difference[i], out=part)
        for j in columns[i + 1 :]:
            np.multiply(at[i, j], inverse, out=ratio)
            difference[j] -= np.multiply(ratio, difference[i], out=part)
            for k in columns[j:]:
                at[j, k] -= np.multiply(ratio, at[i, k], out=part)
    return total, rank


def _check_cohorts(times, events, group):
    times, events, group = np.asarray(times, dtype=float), np.asarray(events, dtype=float), np.asarray(group)
    if times.ndim != 2 or times.size == 0 or events.shape != times.shape:
        raise ValueError(
            "times and events must have the same shape (n_cohorts, n_subjects) and not be empty; "
            f"got {times.shape} and {events.shape}"
        )
    for bad, rule in (
        (~(np.isfinite(times) & (times >= 0)), "times must be finite and not negative"),
        (~np.isin(events, (0, 1)), "events must be True or False (or 1 or 0)"),
    ):
        if bad.any():
            raise ValueError("{}; not so in cohort {}, subject {}".format(rule, *np.argwhere(bad)[0]))
    if group.shape != times.shape[1:]:
        raise ValueError(
            f"group must have one value for each of {times.shape[1]} subjects; got {group.shape}"
        )
    codes, place = np.unique(group, return_inverse=True)
    if len(codes) < 2 or codes.tolist() != list(range(len(codes))):
        raise ValueError(f"group must be whole numbers 0, 1, ..., at least two; got {codes.tolist()!r:.80}")
    return times, events.astype(bool), place


def _check_scores(scores, n_groups):
    """The scores as one column, between -1 and 1 for the sake of `VANISHED`."""
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (n_groups,) or not np.isfinite(scores).all() or np.ptp(scores) == 0:
        raise ValueError(f"scores must be {n_groups} finite numbers that differ, one for each group in order")
    return ((scores - scores.mean()) / np.ptp(scores))[:, None]
