"""Exact P-values over every allocation of subjects to groups, without listing the allocations.

The subjects are split in two halves. For each half, the sums of scores by group are held for every way to
allot it, sorted by how many subjects it gives each group. An allocation is a pair of such ways whose numbers
add up to the group sizes; pairs are counted, not formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, factorial, prod

import numpy as np
from scipy.spatial import cKDTree

# A tie with the observed value is extreme; sums of floating-point scores tie to this relative tolerance.
TOLERANCE = 1e-9
MOST_WAYS = {"groups": 3_000_000, "line": 30_000_000}  # of one half, held in memory
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
    group : array_like of int, shape (n_subjects,)
        Group of each subject, counted from 0; every group must have a subject.
    trend : sequence of float, shape (n_groups,), optional
        Scores of the groups, for the ordered alternative; two-sided.

    Returns
    -------
    ExactP

    Raises
    ------
    ValueError
        Lengths differ, a score is not finite, or a group has nobody.
    TooManyAllocationsError
        The count would need more memory than is sensible; use `p_permutation` of `compare_survival`.

    Notes
    -----
    Both counts are whole numbers, so the P-value is exact. For the k-sample statistic the sums are whitened
    and pairs within the observed radius counted by two trees at once
    (`scipy.spatial.cKDTree.count_neighbors`); for two groups and for a trend they lie on a line, and sorted
    merges count them.

    References
    ----------
    Horowitz, Sahni (1974) J ACM; Gray, Moore (2000) NIPS; Hothorn et al. (2006) Am Stat.
    """
    scores, group, trend = _check_exact(scores, group, trend)
    sizes = np.bincount(group)
    statistic = calculate_score_statistic(scores, group, trend=trend)
    n_allocations = count_allocations(sizes.tolist())
    on_line = trend is not None or len(sizes) == 2
    _check_work(scores, sizes, "line" if on_line else "groups", n_allocations)
    if statistic <= TOLERANCE:
        return ExactP(statistic, n_allocations, n_allocations)
    centred = scores - scores.mean()
    if on_line:
        value = np.array([1.0, 0.0]) if trend is None else trend
        n_extreme = _count_on_line(centred, sizes, value, abs(float(value[group] @ centred)))
    else:
        n_extreme = n_allocations - _count_inside(centred, sizes, statistic)
    return ExactP(statistic, n_extreme, n_allocations)


def _count_on_line(scores, sizes, value, observed):
    """Allocations whose linear statistic is at least as far from 0 as the observed one."""
    # Centred group values make the expectation 0 and change no comparison: the scores sum to 0.
    bound = observed * (1 - TOLERANCE)
    n_extreme = 0
    for left, right in _list_pairs(scores, sizes, value[:, None]):
        places, ways_up_to = right.along_line
        # Sorted, so that each search starts where the last one ended.
        needles, ways_from = left.along_line
        ways = np.diff(ways_from)
        above = ways_up_to[-1] - ways_up_to[np.searchsorted(places, bound - needles, side="left")]
        below = ways_up_to[np.searchsorted(places, -bound - needles, side="right")]
        n_extreme += int((ways * (above + below)).sum())
    return n_extreme


def _count_inside(scores, sizes, statistic):
    """Allocations with a smaller k-sample statistic."""
    variance = (scores**2).sum() / (len(scores) - 1)
    # S_k = -(S_1 + ... + S_k-1), so the statistic is a quadratic form in the first k - 1 sums.
    form = (np.diag(1 / sizes[:-1]) + 1 / sizes[-1]) / variance
    whitening = np.vstack([np.linalg.cholesky(form), np.zeros(len(sizes) - 1)])
    radius = np.sqrt(statistic * (1 - TOLERANCE))
    n_inside = 0
    for left, right in _list_pairs(scores, sizes, whitening):
        trees = cKDTree(left.sums, leafsize=32), cKDTree(-right.sums, leafsize=32)
        if left.is_plain and right.is_plain:
            n_inside += int(trees[0].count_neighbors(trees[1], radius))
        else:
            weights = left.ways.astype(float), right.ways.astype(float)
            n_inside += round(trees[0].count_neighbors(trees[1], radius, weights=weights))
    return n_inside


@dataclass(frozen=True)
class _Ways:
    """Ways to allot some subjects that give each group the same number: sums, and how many ways give each."""

    sums: np.ndarray
    ways: np.ndarray

    @property
    def is_plain(self):
        return bool((self.ways == 1).all())

    @property
    def along_line(self):
        """Sums in order, and how many ways come before each of them and in all."""
        places = self.sums[:, 0]
        if self.is_plain:
            return np.sort(places), np.arange(len(places) + 1)
        order = np.argsort(places)
        return places[order], np.concatenate([[0], np.cumsum(self.ways[order])])

    def shift(self, by, ways):
        return _Ways(self.sums + by, self.ways * ways)


def _list_pairs(scores, sizes, directions):
    """Ways of the two halves that together fill the groups; sums are projected on `directions`."""
    first, second = (_list_ways(half, sizes, directions) for half in _halve(scores))
    for filled, left in first.items():
        right = second.get(tuple(sizes - np.array(filled)))
        if right is not None:
            yield left, right


def _halve(scores):
    """Distinct scores with their numbers, in two runs of about as many subjects each."""
    values, numbers = np.unique(np.round(scores, 12), return_counts=True)
    middle = np.searchsorted(np.cumsum(numbers), len(scores) / 2) + 1
    # Either side of the middle run may be the better balance.
    middle = min((middle - 1, middle), key=lambda at: abs(numbers[:at].sum() - len(scores) / 2))
    pairs = list(zip(values.tolist(), numbers.tolist(), strict=True))
    return pairs[:middle], pairs[middle:]


def _list_ways(half, sizes, directions):
    ways = {(0,) * len(sizes): _Ways(np.zeros((1, directions.shape[1])), np.ones(1, dtype=np.int64))}
    for value, number in half:
        shares = list(_list_shares(number, sizes))
        grown = {}
        for filled, held in ways.items():
            for share, n_ways in shares:
                reached = tuple(a + b for a, b in zip(filled, share, strict=True))
                if all(a <= b for a, b in zip(reached, sizes, strict=True)):
                    by = value * (np.array(share) @ directions)
                    grown.setdefault(reached, []).append(held.shift(by, n_ways))
        ways = {reached: _join(parts) for reached, parts in grown.items()}
    return ways


def _list_shares(number, sizes):
    """Ways to spread `number` equal subjects over groups: how many each gets, and in how many ways."""
    if len(sizes) == 1:
        if number <= sizes[0]:
            yield (number,), 1
        return
    for here in range(min(number, int(sizes[0])) + 1):
        for rest, n_ways in _list_shares(number - here, sizes[1:]):
            yield (here, *rest), n_ways * comb(number, here)


def _join(parts):
    if len(parts) == 1:
        return parts[0]
    return _Ways(np.concatenate([part.sums for part in parts]), np.concatenate([part.ways for part in parts]))


def _check_work(scores, sizes, kind, n_allocations):
    instead = "use p_permutation instead, with as many draws as its error needs"
    if n_allocations > LARGEST_WHOLE:
        raise TooManyAllocationsError(f"{n_allocations:.3g} allocations are too many to count; {instead}")
    most = max(_count_ways(half, sizes) for half in _halve(scores))
    if most > MOST_WAYS[kind]:
        raise TooManyAllocationsError(
            f"counting {n_allocations:,} allocations would hold {most:,} ways of half the subjects "
            f"(limit {MOST_WAYS[kind]:,}); {instead}"
        )


def _count_ways(half, sizes):
    """Distinct ways that one half will hold, by the numbers alone."""
    counts = {(0,) * len(sizes): 1}
    for _, number in half:
        grown = {}
        for filled, held in counts.items():
            for share, _ in _list_shares(number, sizes):
                reached = tuple(a + b for a, b in zip(filled, share, strict=True))
                if all(a <= b for a, b in zip(reached, sizes, strict=True)):
                    grown[reached] = grown.get(reached, 0) + held
        counts = grown
    return sum(counts.values())


def _check_exact(scores, group, trend):
    scores, group = np.asarray(scores, float), np.asarray(group)
    if scores.shape != group.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"scores and group must be equally long; they have {scores.shape} and {group.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite; position {np.flatnonzero(~np.isfinite(scores))[0]} is not")
    sizes = np.bincount(group)
    if len(sizes) < 2 or (sizes == 0).any():
        raise ValueError(f"every group needs a subject, and there must be two; sizes are {sizes.tolist()}")
    if trend is None:
        return scores, group, None
    trend = np.asarray(trend, float)
    if trend.shape != sizes.shape or not np.isfinite(trend).all():
        raise ValueError(f"trend needs a finite score for each of {len(sizes)} groups")
    return scores, group, trend
