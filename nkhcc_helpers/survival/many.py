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

from nkhcc_helpers.survival.exact import count_allocations, list_labels
from nkhcc_helpers.survival.logrank import TOLERANCE, OrderedCohorts, check_scores
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, draw_allocations, share_extreme

MOST_LISTED = 200_000  # allocations
MOST_PLACES = 20_000_000  # allocations listed, times their patients
# Of tables of some allocations, numbers that stay in a processor's cache with so many patterns of cohorts; in
# a product of matrices, numbers above which BLAS would spread it over processors in vain.
NUMBERS_AT_A_TIME, PATTERNS_AT_A_TIME, PRODUCTS_AT_A_TIME = 40_000, 32, 250_000
VANISHED = 1e-10  # a variance, of counts of events


@dataclass(frozen=True)
class PermutedCohorts:
    """Log-rank comparisons of many cohorts, arrays (n_cohorts,); NaN where nothing can be compared."""

    statistic: np.ndarray  # log-rank chi-square with the hypergeometric variance, or its trend version
    df: np.ndarray  # rank of that variance; 1 for a trend
    p_asymptotic: np.ndarray  # from the chi-square distribution
    p_value: np.ndarray  # share of all allocations as extreme, or (1 + count) / (1 + draws)
    error: np.ndarray  # Monte-Carlo standard error, 0 where all allocations were listed
    n_allocations: int  # all allocations of the patients to groups of these sizes
    n_draws: int  # allocations drawn; 0 where all were listed
    exact: bool  # whether all were listed


def permute_logrank_many(
    times, events, group, *, n_draws=100_000, seed=DEFAULT_SEED, scores=None, progress=False
):
    """Compare survival across groups in each of many cohorts, by relabelling the patients.

    `times` and `events` are (n_cohorts, n_subjects), `group` (n_subjects,), counted from 0; `scores` of the
    groups, (n_groups,), are for the trend, two-sided. Every allocation is listed where there are at most
    `MOST_LISTED`; else the cohorts share the draws, place by place in the order of time, so that few would
    move all P-values together. Each answer is that of `permutation.compare_survival`; for a trend that cannot
    be compared, statistic 0 and P-values 1. Mantel (1966) Cancer Chemother Rep; Tarone (1975) Biometrika.
    """
    times, events, codes = _check_cohorts(times, events, group)
    if not isinstance(n_draws, Integral) or n_draws < 1:
        raise ValueError(f"n_draws must be a whole number above 0; got {n_draws!r}")
    sizes = np.bincount(codes).tolist()
    values = np.eye(len(sizes))[:, :-1] if scores is None else _lay_out_scores(scores, len(sizes))
    patterns, labels = _Patterns.of(OrderedCohorts.of(times, events, codes))
    statistic, df = patterns.observe(labels, values)
    n_allocations = count_allocations(sizes)
    exact = n_allocations <= MOST_LISTED and n_allocations * len(codes) <= MOST_PLACES
    n_draws = 0 if exact else n_draws
    blocks = [list_labels(sizes)] if exact else draw_allocations(np.sort(codes), n_draws, seed)
    with tqdm(total=n_draws or n_allocations, unit="allocation", disable=not progress) as bar:
        # Not quite the tolerance alone: where the statistic is 0, rounding would decide.
        count = patterns.count_reaching(statistic * (1 - TOLERANCE) - 1e-12, blocks, values, bar)
    p_value, error = (count / n_allocations, 0.0 * count) if exact else share_extreme(count, n_draws)
    df = df if scores is None else np.ones_like(df)
    p_asymptotic = stats.chi2.sf(statistic, df)
    told = [np.where(df > 0, each, np.nan) for each in (statistic, p_asymptotic, p_value, error)]
    return PermutedCohorts(told[0], df, *told[1:], n_allocations, n_draws, exact)


def permute_pairs_many(
    times, events, group, *, pairs=None, n_draws=100_000, seed=DEFAULT_SEED, progress=False
):
    """Compare pairs of groups in each of many cohorts, by relabelling the patients of the two.

    Arguments as in `permute_logrank_many`; every pair (int, int) when `pairs` is absent. Returns a dict of
    pair to `PermutedCohorts`; P-values are not adjusted for the number of pairs.
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
    """Orders in which events, censorings and ties follow each other; cohorts of one share statistics."""

    scores: np.ndarray  # of each pattern, `OrderedCohorts.scores_and_spread`, (n_patterns, n_subjects)
    spread: np.ndarray
    which: np.ndarray  # pattern of each cohort

    @classmethod
    def of(cls, ordered):
        """Lay out cohorts; also gives the groups in the order of time, shape (n_cohorts, n_subjects)."""
        both, which = np.unique(np.hstack(ordered.scores_and_spread), axis=0, return_inverse=True)
        n = ordered.codes.shape[1]
        return cls(both[:, :n].copy(), both[:, n:].copy(), which.ravel()), ordered.codes

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


def _lay_out_scores(scores, n_groups):
    """The scores as one column, between -1 and 1 for the sake of `VANISHED`."""
    scores = check_scores(scores, n_groups)
    return ((scores - scores.mean()) / np.ptp(scores))[:, None]
