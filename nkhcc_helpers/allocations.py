"""Exact P-values over every allocation of subjects to groups, without listing the allocations.

Two ways of counting share the work: `halves` splits the patients, `group_split` splits the groups. The
cheaper one is taken, by an estimate made first.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, prod

import numpy as np

from nkhcc_helpers.checks import check_groups, check_positions, check_vector
from nkhcc_helpers.group_split import count_reaching, count_values
from nkhcc_helpers.halves import count_beyond, count_inside, count_ways

# A tie with the observed value is extreme; sums of floating-point scores tie to this relative tolerance.
TOLERANCE = 1e-9
MOST_WAYS = 30_000_000  # of one half on a line, held in memory
MOST_SECONDS = 30.0
SECONDS_PER_WAY, SECONDS_PER_VALUE = 1.5e-5, 1.2e-8  # measured on one core, for the two ways of counting
LARGEST_WHOLE = 2**53  # whole numbers that a double holds exactly


@dataclass(frozen=True)
class ExactP:
    """An exact permutation P-value.

    Attributes
    ----------
    statistic : float
        Sum over groups of S_g^2 / (n_g s^2), S_g the sum of centred scores; with trend scores, the squared
        linear statistic over its variance.
    n_extreme, n_allocations : int
        Allocations with a statistic at least as large, and all of them.
    """

    statistic: float
    n_extreme: int
    n_allocations: int

    @property
    def p_value(self):
        """`n_extreme` over `n_allocations`."""
        return self.n_extreme / self.n_allocations


class TooManyAllocationsError(ValueError):
    """The exact count would take too much memory or time."""


def count_allocations(sizes):
    """Count the ways to allot subjects to groups of these sizes.

    Parameters
    ----------
    sizes : sequence of int

    Returns
    -------
    int
    """
    return factorial(sum(sizes)) // prod(factorial(size) for size in sizes)


def calculate_score_statistic(scores, membership, *, trend=None):
    """Calculate the score statistic of one allocation.

    Parameters
    ----------
    scores : ndarray of float, shape (n_subjects,)
    membership : ndarray of int, shape (n_subjects,)
        Group of each subject, counted from 0.
    trend : sequence of float, optional
        Scores of the groups, for the trend statistic.

    Returns
    -------
    float
        0 where all scores are equal.
    """
    scores = np.asarray(scores, float) - np.mean(scores)
    variance = (scores**2).sum() / max(len(scores) - 1, 1)
    if variance == 0:
        return 0.0
    if trend is None:
        sums = np.bincount(membership, scores)
        return float((sums**2 / np.bincount(membership)).sum() / variance)
    value = np.asarray(trend, float)[membership]
    spread = ((value - value.mean()) ** 2).sum()
    return float((value @ scores) ** 2 / (variance * spread)) if spread else 0.0


def exact_p(scores, group, *, trend=None):
    """Calculate the exact permutation P-value of a score statistic over every allocation.

    Parameters
    ----------
    scores : array_like, shape (n_subjects,)
        One score a subject, as of `logrank.logrank_scores`.
    group : array_like or categorical Series, shape (n_subjects,)
        Group of each subject; groups without subjects are left out.
    trend : sequence of float, shape (n_groups,), optional
        Scores of the groups, for the ordered alternative; two-sided.

    Returns
    -------
    ExactP

    Raises
    ------
    ValueError
        Lengths differ, a score is not finite, a group is missing, or there are fewer than two groups.
    TooManyAllocationsError
        The count would need more memory than is sensible; use `p_permutation` of `compare_survival`.

    Notes
    -----
    Both counts are whole numbers, so the P-value is exact. For two groups and for a trend, sorted merges
    count the pairs of ways to allot two halves of the patients; for more groups either two trees do so
    (`scipy.spatial.cKDTree.count_neighbors`), or the groups are split and sorting counts.

    References
    ----------
    Horowitz, Sahni (1974) J ACM; Hothorn et al. (2006) Am Stat.
    """
    scores, group, trend = _check_exact(scores, group, trend)
    sizes = np.bincount(group)
    statistic = calculate_score_statistic(scores, group, trend=trend)
    n_allocations = count_allocations(sizes.tolist())
    count = _choose_count(scores, sizes, trend, n_allocations)
    if statistic <= TOLERANCE:
        return ExactP(statistic, n_allocations, n_allocations)
    centred = scores - scores.mean()
    value = np.array([1.0, 0.0]) if trend is None else trend
    if count is count_beyond:
        observed = abs(float(value[group] @ centred))
        return ExactP(statistic, count(centred, sizes, value, observed * (1 - TOLERANCE)), n_allocations)
    bound = statistic * (1 - TOLERANCE) * (centred**2).sum() / (len(centred) - 1)
    counted = count(centred, sizes, bound)
    return ExactP(statistic, counted if count is count_reaching else n_allocations - counted, n_allocations)


def _choose_count(scores, sizes, trend, n_allocations):
    """The cheapest way to count, or an error where none is feasible."""
    instead = "use p_permutation instead, with as many draws as its error needs"
    if n_allocations > LARGEST_WHOLE:
        raise TooManyAllocationsError(f"{n_allocations:.3g} allocations are too many to count; {instead}")
    if trend is not None or len(sizes) == 2:
        ways = count_ways(scores, sizes)
        if ways > MOST_WAYS:
            raise TooManyAllocationsError(
                f"counting {n_allocations:,} allocations would hold {ways:,} ways of half the subjects "
                f"(limit {MOST_WAYS:,}); {instead}"
            )
        return count_beyond
    seconds = {count_reaching: count_values(sizes) * SECONDS_PER_VALUE}
    if seconds[count_reaching] < 1:
        return count_reaching
    seconds[count_inside] = count_ways(scores, sizes) * SECONDS_PER_WAY
    count = min(seconds, key=seconds.get)
    if seconds[count] > MOST_SECONDS:
        raise TooManyAllocationsError(
            f"counting {n_allocations:,} allocations would take about {seconds[count]:,.0f} seconds "
            f"(limit {MOST_SECONDS:,.0f}); {instead}"
        )
    return count


def _check_exact(scores, group, trend):
    scores = check_vector(scores, "scores")
    check_positions(~np.isfinite(scores), "scores", "must be finite numbers", scores)
    groups, codes = check_groups(group, len(scores))
    if trend is None:
        return scores, codes, None
    trend = check_vector(trend, "trend")
    if len(trend) != len(groups) or not np.isfinite(trend).all():
        raise ValueError(f"trend needs a finite score for each of {len(groups)} groups")
    return scores, codes, trend
