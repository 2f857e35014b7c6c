"""Counting allocations by meeting in the middle: two halves of the patients, pairs counted and not formed.

For each half of the patients, the sums of scores by group are held for every way to allot it, sorted by how
many it gives each group. An allocation is a pair of such ways whose numbers add up to the group sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.spatial import cKDTree


def count_beyond(scores, sizes, value, bound):
    """Count the allocations whose linear statistic is at least `bound` away from 0, by sorted merges.

    Parameters
    ----------
    scores : ndarray of float, shape (n_subjects,)
        Centred, so that the statistic is 0 on average.
    sizes : ndarray of int, shape (n_groups,)
    value : ndarray of float, shape (n_groups,)
        What a score counts in each group.
    bound : float

    Returns
    -------
    int
    """
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


def count_inside(scores, sizes, bound):
    """Count the allocations with S_1^2 / n_1 + ... + S_k^2 / n_k below `bound`, by two trees at once.

    Parameters
    ----------
    scores : ndarray of float, shape (n_subjects,)
        Centred.
    sizes : ndarray of int, shape (n_groups,)
    bound : float

    Returns
    -------
    int

    References
    ----------
    Horowitz, Sahni (1974) J ACM; Gray, Moore (2000) NIPS.
    """
    # S_k = -(S_1 + ... + S_k-1), so the statistic is a quadratic form in the first k - 1 sums.
    form = np.diag(1 / sizes[:-1]) + 1 / sizes[-1]
    whitening = np.vstack([np.linalg.cholesky(form), np.zeros(len(sizes) - 1)])
    radius = np.sqrt(bound)
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


def count_ways(scores, sizes):
    """Count the ways that the larger half will hold.

    Parameters
    ----------
    scores : ndarray of float, shape (n_subjects,)
    sizes : ndarray of int, shape (n_groups,)

    Returns
    -------
    int
    """
    return max(_count_ways_of(half, sizes) for half in _halve(scores))


def _count_ways_of(half, sizes):
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
