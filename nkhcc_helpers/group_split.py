"""Counting allocations by splitting the groups: first who goes to one side, then each side on its own.

The groups are parted in two sides. For every choice of the patients of one side, the statistic is a sum of
two parts that do not depend on each other: a list of values for each side, and sorted merges count the pairs.
"""

from __future__ import annotations

from itertools import combinations
from math import comb, factorial, prod

import numpy as np

CHUNK = 200  # choices at a time, so that a chunk stays in the cache


def count_reaching(scores, sizes, bound):
    """Count the allocations with S_1^2 / n_1 + ... + S_k^2 / n_k at least `bound`.

    Parameters
    ----------
    scores : ndarray of float, shape (n_subjects,)
        Centred.
    sizes : ndarray of int, shape (n_groups,)
    bound : float

    Returns
    -------
    int
    """
    first, second = choose_sides(sizes)
    n, m = len(scores), int(sum(sizes[list(first)]))
    chosen = np.array(list(combinations(range(n), m)))
    rest = _list_rest(chosen, n)
    members = _list_members(sizes[list(first)]), _list_members(sizes[list(second)])
    # Each row of a chunk gets a stretch of its own on one line, wide enough for every value.
    stretch = 2.0 * float((scores**2).sum()) + 1.0
    n_reaching = 0
    for start in range(0, len(chosen), CHUNK):
        needles = _list_values(scores[chosen[start : start + CHUNK]], members[0], sizes[list(first)])
        places = _list_values(scores[rest[start : start + CHUNK]], members[1], sizes[list(second)])
        n_reaching += _count_pairs(needles, np.sort(places, axis=1), bound, stretch)
    return n_reaching


def count_values(sizes):
    """Count the values that `count_reaching` will make: its work."""
    return min(_work_of(sizes, first) for first in _list_sides(len(sizes)))


def choose_sides(sizes):
    """Part the groups in two sides so that the fewest values are made; the first has the fewer."""
    first = min(_list_sides(len(sizes)), key=lambda side: _work_of(sizes, side))
    second = tuple(g for g in range(len(sizes)) if g not in first)
    return sorted((first, second), key=lambda side: _count_ways(sizes, side))


def _list_sides(n_groups):
    return [side for size in range(1, n_groups) for side in combinations(range(n_groups), size)]


def _count_ways(sizes, side):
    inside = [int(sizes[g]) for g in side]
    return factorial(sum(inside)) // prod(factorial(size) for size in inside)


def _work_of(sizes, first):
    second = [g for g in range(len(sizes)) if g not in first]
    m = int(sum(sizes[g] for g in first))
    return comb(int(sum(sizes)), m) * (_count_ways(sizes, first) + _count_ways(sizes, second))


def _list_rest(chosen, n):
    left = np.ones((len(chosen), n), dtype=bool)
    np.put_along_axis(left, chosen, False, axis=1)
    return np.nonzero(left)[1].reshape(len(chosen), n - chosen.shape[1])


def _list_members(sizes):
    """Who of a side is in each of its groups, in every way: one 0/1 matrix a group, (n_side, n_ways)."""
    ways = [()]
    for size in sizes:
        ways = [
            (*way, group)
            for way in ways
            for group in combinations(sorted(set(range(int(sum(sizes)))) - set().union(*way)), int(size))
        ]
    members = np.zeros((len(sizes), int(sum(sizes)), len(ways)))
    for w, way in enumerate(ways):
        for g, group in enumerate(way):
            members[g, list(group), w] = 1.0
    return members


def _list_values(scores, members, sizes):
    return sum((scores @ inside) ** 2 / size for inside, size in zip(members, sizes, strict=True))


def _count_pairs(needles, places, bound, stretch):
    """Pairs of one value from each side, of the same choice, that add up to the bound or more."""
    wanted = bound - needles
    n_places = places.shape[1]
    every = wanted <= places[:, :1]
    row, column = np.nonzero(~every & (wanted <= places[:, -1:]))
    line = (places + stretch * np.arange(len(places))[:, None]).ravel()
    before = np.searchsorted(line, wanted[row, column] + stretch * row, side="left")
    return n_places * int(every.sum()) + int((n_places * (row + 1) - before).sum())
