"""Counting allocations by splitting the groups: first who goes to one side, then each side on its own.

The groups are parted in two sides. For every choice of the patients of one side, the statistic is a sum of
two parts that do not depend on each other: a list of values for each side, and sorting both together counts
the pairs.
"""

from __future__ import annotations

from itertools import chain, combinations
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
    chosen = np.fromiter(chain.from_iterable(combinations(range(n), m)), dtype=np.int8).reshape(-1, m)
    members = _list_members(sizes[list(first)]), _list_members(sizes[list(second)])
    n_reaching = 0
    for start in range(0, len(chosen), CHUNK):
        here = chosen[start : start + CHUNK].astype(np.intp)
        there = _list_rest(here, n)
        values = _list_values(scores[here], members[0], sizes[list(first)])
        others = _list_values(scores[there], members[1], sizes[list(second)])
        n_reaching += _count_pairs(values, others, bound)
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
    """Value of a side for each choice of its patients and each way to allot them."""
    rest = scores.sum(axis=1, keepdims=True)
    values = 0.0
    for inside, size in zip(members[:-1], sizes[:-1], strict=True):
        total = scores @ inside
        values += total**2 / size
        rest = rest - total
    # The last group has what the others leave.
    return values + rest**2 / sizes[-1]


def _count_pairs(first, second, bound):
    """Pairs of one value from each side, of the same choice, that add up to the bound or more."""
    n_first, width = first.shape[1], first.shape[1] + second.shape[1]
    both = np.concatenate([bound - first, second], axis=1)
    # The last bit of a value, far below any tolerance, tells after sorting which side it came from.
    bits = both.view(np.int64)
    bits &= ~1
    bits[:, :n_first] |= 1
    both.sort(axis=1)
    after = (bits & 1) @ np.arange(width - 1, -1, -1)
    return int(after.sum()) - len(first) * (n_first * (n_first - 1) // 2)
