"""Exact P-values over every allocation of subjects to groups, counted without listing the allocations.

`count_beyond` merges two halves of the patients on a line, `count_inside` has a tree of each half,
`count_reaching` splits the groups. The cheapest one is taken, by an estimate made first. Of strata, within
which patients are allotted, two halves are merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import chain, combinations
from math import comb, factorial, prod

import numpy as np
from scipy.spatial import cKDTree

from nkhcc_helpers.checks import check_groups, check_positions, check_vector
from nkhcc_helpers.survival.logrank import TOLERANCE, calculate_score_statistic, check_scores, whiten_scores

MOST_WAYS = 30_000_000  # of one half on a line, held in memory
MOST_SECONDS = 30.0
SECONDS_PER_WAY, SECONDS_PER_VALUE = 1.5e-5, 1.2e-8  # measured on one core, for the two ways of counting
LARGEST_WHOLE = 2**53  # whole numbers that a double holds exactly
CHUNK = 200  # choices at a time, so that a chunk stays in the cache


@dataclass(frozen=True)
class ExactP:
    """An exact P-value: allocations with a statistic at least as large, of all of them.

    `statistic` is the sum over groups of S_g^2 / (n_g s^2), S_g the sum of centred scores; with trend scores,
    the squared linear statistic over its variance.
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


def exact_p(scores, group, *, trend=None, strata=None):
    """Calculate the exact permutation P-value of a score statistic over every allocation.

    Horowitz, Sahni (1974) J ACM; Hothorn et al. (2006) Am Stat.

    Parameters
    ----------
    scores : array_like, shape (n_subjects,)
        One score a subject, as of `logrank.logrank_scores`.
    group : array_like or categorical Series, shape (n_subjects,)
        Group of each subject; groups without subjects are left out.
    trend : sequence of float, shape (n_groups,), optional
        Scores of the groups, for the ordered alternative; two-sided.
    strata : array_like, shape (n_subjects,), optional
        Subjects are allotted within each stratum, keeping how many of it each group has; the statistic is the
        quadratic form of the sums over strata, each centred, as R's coin with a block.

    Returns
    -------
    ExactP

    Raises
    ------
    ValueError
        Lengths differ, a score is not finite, a group is missing, or there are fewer than two groups.
    TooManyAllocationsError
        The count would need more memory than is sensible; use `p_permutation` of `compare_survival`.
    """
    scores, group, trend = _check_exact(scores, group, trend)
    strata = 0 * group if strata is None else check_groups(strata, len(scores), "strata")[1]
    if strata.any():
        return _count_stratified(scores, group, strata, trend)
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


def _check_exact(scores, group, trend):
    scores = check_vector(scores, "scores")
    check_positions(~np.isfinite(scores), "scores", "must be finite numbers", scores)
    groups, codes = check_groups(group, len(scores))
    if len(groups) < 2:
        raise ValueError(f"group holds only {groups[0]!r}; a comparison needs at least two groups")
    return scores, codes, None if trend is None else check_scores(trend, len(groups), "trend")


def _count_stratified(scores, codes, strata, trend):
    """The exact P where subjects are allotted within strata."""
    centred, directions = whiten_scores(scores, codes, strata, trend)
    owns = [strata == stratum for stratum in range(strata.max() + 1)]
    sizes = [np.bincount(codes[own], minlength=len(directions)) for own in owns]
    n_allocations = prod(count_allocations(each.tolist()) for each in sizes)
    observed = np.linalg.norm(centred @ directions[codes])
    if observed**2 <= TOLERANCE:
        return ExactP(observed**2, n_allocations, n_allocations)
    too_many = TooManyAllocationsError("there are too many allocations within strata to count")
    if n_allocations > LARGEST_WHOLE:
        raise too_many
    on_line, bound = directions.shape[1] == 1, observed * (1 - TOLERANCE)
    runs = [_list_runs(centred[own]) for own in owns]
    sides, n_ways = _halve_strata(runs, sizes)
    if n_ways > (MOST_WAYS / 4 if on_line else MOST_SECONDS / SECONDS_PER_WAY):
        raise too_many
    ways = ([_find_ways(*each, directions)[tuple(each[1])] for each in side] for side in sides)
    pair = [reduce(_Ways.add, side) for side in ways]
    n_extreme = _count_beyond(*pair, bound) if on_line else n_allocations - _count_inside(*pair, bound)
    return ExactP(observed**2, n_extreme, n_allocations)


def _halve_strata(runs, sizes):
    """Strata in two parts with about as many ways each, and how many the larger part has."""
    strata = list(zip(runs, sizes, strict=True))
    counts = [_count_fillings(*each)[tuple(each[1])] for each in strata]
    sides, n_ways = ([], []), [1, 1]
    for place in np.argsort(counts)[::-1]:
        smaller = int(np.argmin(n_ways))
        sides[smaller].append(strata[place])
        n_ways[smaller] *= counts[place]
    return sides, max(n_ways)


def _choose_count(scores, sizes, trend, n_allocations):
    """The cheapest way to count, or an error where none is feasible."""
    instead = "use p_permutation instead, with as many draws as its error needs"
    if n_allocations > LARGEST_WHOLE:
        raise TooManyAllocationsError(f"there are too many allocations to count; {instead}")
    if trend is not None or len(sizes) == 2:
        ways = count_ways(scores, sizes)
        if ways > MOST_WAYS:
            raise TooManyAllocationsError(
                f"counting {n_allocations:,} allocations would hold {ways:,} ways of half the subjects "
                f"(limit {MOST_WAYS:,}); {instead}"
            )
        return count_beyond
    seconds = {count_reaching: part_groups(sizes)[0] * SECONDS_PER_VALUE}
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


def count_allocations(sizes):
    """Count the ways to allot subjects to groups of these sizes."""
    return factorial(sum(sizes)) // prod(factorial(size) for size in sizes)


def list_labels(counts):
    """List every order of labels 0, 1, ... held so many times each, (n_orders, n_subjects)."""
    orders = np.zeros((1, counts[0]), dtype=np.int8)
    for label, number in enumerate(counts[1:], start=1):
        n = orders.shape[1] + number
        chosen = np.zeros((count_allocations([number, n - number]), n), dtype=bool)
        places = np.array(list(combinations(range(n), number)))
        chosen[np.arange(len(chosen))[:, None], places] = True
        rest = np.nonzero(~chosen)[1].reshape(len(chosen), 1, -1)
        grown = np.full((len(chosen), len(orders), n), label, dtype=np.int8)
        np.put_along_axis(grown, np.broadcast_to(rest, (*grown.shape[:2], rest.shape[2])), orders, axis=2)
        orders = grown.reshape(-1, n)
    return orders


def count_beyond(scores, sizes, value, bound):
    """Count the allocations whose linear statistic is at least `bound` away from 0, by sorted merges.

    Of centred scores; `value`, (n_groups,), is what one counts in each group. Horowitz, Sahni (1974) J ACM.
    """
    n_extreme = 0
    for left, right in _pair_ways(scores, sizes, value[:, None]):
        n_extreme += _count_beyond(left, right, bound)
    return n_extreme


def _count_beyond(left, right, bound):
    places, ways_up_to = right.along_line
    # Sorted, so that each search starts where the last one ended.
    needles, ways_from = left.along_line
    ways = np.diff(ways_from)
    above = ways_up_to[-1] - ways_up_to[np.searchsorted(places, bound - needles, side="left")]
    below = ways_up_to[np.searchsorted(places, -bound - needles, side="right")]
    return int((ways * (above + below)).sum())


def count_inside(scores, sizes, bound):
    """Count the allocations with S_1^2 / n_1 + ... + S_k^2 / n_k below `bound`, by two trees at once.

    Of centred scores. Horowitz, Sahni (1974) J ACM; Gray, Moore (2000) NIPS.
    """
    # S_k = -(S_1 + ... + S_k-1), so the statistic is a quadratic form in the first k - 1 sums.
    form = np.diag(1 / sizes[:-1]) + 1 / sizes[-1]
    whitening = np.vstack([np.linalg.cholesky(form), np.zeros(len(sizes) - 1)])
    return sum(_count_inside(*pair, np.sqrt(bound)) for pair in _pair_ways(scores, sizes, whitening))


def _count_inside(left, right, radius):
    trees = cKDTree(left.sums, leafsize=32), cKDTree(-right.sums, leafsize=32)
    if left.is_plain and right.is_plain:
        return int(trees[0].count_neighbors(trees[1], radius))
    weights = left.ways.astype(float), right.ways.astype(float)
    return round(trees[0].count_neighbors(trees[1], radius, weights=weights))


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

    def add(self, other):
        """Every way of these subjects with every way of others."""
        sums = self.sums[:, None] + other.sums
        return _Ways(sums.reshape(-1, sums.shape[-1]), np.outer(self.ways, other.ways).ravel())


def _pair_ways(scores, sizes, directions):
    """Ways of the two halves that together fill the groups; sums are projected on `directions`."""
    first, second = (_find_ways(half, sizes, directions) for half in _halve(scores))
    for filled, left in first.items():
        right = second.get(tuple(sizes - np.array(filled)))
        if right is not None:
            yield left, right


def _halve(scores):
    """Distinct scores with their numbers, in two parts of about as many subjects each."""
    runs = _list_runs(scores)
    up_to = np.cumsum([0, *(number for _, number in runs)])
    middle = int(np.abs(up_to - len(scores) / 2).argmin())
    return runs[:middle], runs[middle:]


def _list_runs(scores):
    values, numbers = np.unique(np.round(scores, 12), return_counts=True)
    return list(zip(values.tolist(), numbers.tolist(), strict=True))


def _find_ways(half, sizes, directions):
    """Every way to allot a half, by how many each group then has."""
    start = _Ways(np.zeros((1, directions.shape[1])), np.ones(1, dtype=np.int64))

    def grow(held, value, share, n_ways):
        return held.shift(value * (np.array(share) @ directions), n_ways)

    return _fill_groups(half, sizes, start, grow, _join)


def count_ways(scores, sizes):
    """Count the ways that the larger half will hold: the work of `count_beyond` and `count_inside`."""
    return max(sum(_count_fillings(half, sizes).values()) for half in _halve(scores))


def _count_fillings(runs, sizes):
    """How many sums will be held for each filling of the groups."""
    return _fill_groups(runs, sizes, 1, lambda held, *_: held, sum)


def _fill_groups(half, sizes, start, grow, join):
    """Allot equal scores together, run by run, with what is held for each filling of the groups so far."""
    ways = {(0,) * len(sizes): start}
    for value, number in half:
        shares, grown = list(_spread_equal(number, sizes)), {}
        for filled, held in ways.items():
            for share, n_ways in shares:
                reached = tuple(a + b for a, b in zip(filled, share, strict=True))
                if all(a <= b for a, b in zip(reached, sizes, strict=True)):
                    grown.setdefault(reached, []).append(grow(held, value, share, n_ways))
        ways = {reached: join(parts) for reached, parts in grown.items()}
    return ways


def _spread_equal(number, sizes):
    """Ways to spread `number` equal subjects over groups: how many each gets, and in how many ways."""
    if len(sizes) == 1:
        if number <= sizes[0]:
            yield (number,), 1
        return
    for here in range(min(number, int(sizes[0])) + 1):
        for rest, n_ways in _spread_equal(number - here, sizes[1:]):
            yield (here, *rest), n_ways * comb(number, here)


def _join(parts):
    if len(parts) == 1:
        return parts[0]
    return _Ways(np.concatenate([part.sums for part in parts]), np.concatenate([part.ways for part in parts]))


def count_reaching(scores, sizes, bound):
    """Count the allocations with S_1^2 / n_1 + ... + S_k^2 / n_k at least `bound`, of centred scores.

    The groups are parted in two sides. For each choice of whom the first side has, sorting counts the pairs
    of ways to allot both sides that reach the bound.
    """
    _, *sides = part_groups(sizes)
    first, second = (sizes[list(side)] for side in sides)
    n, m = len(scores), int(sum(first))
    chosen = np.fromiter(chain.from_iterable(combinations(range(n), m)), dtype=np.int8).reshape(-1, m)
    members = _mark_members(first), _mark_members(second)
    n_reaching = 0
    for start in range(0, len(chosen), CHUNK):
        here = chosen[start : start + CHUNK].astype(np.intp)
        there = _find_rest(here, n)
        values = _calculate_values(scores[here], members[0], first)
        n_reaching += _count_pairs(values, _calculate_values(scores[there], members[1], second), bound)
    return n_reaching


def part_groups(sizes):
    """Part the groups in two sides so that the fewest values are made; the first has the fewer ways.

    Returns how many values that is, the work of `count_reaching`, and both sides.
    """
    groups, parted = range(len(sizes)), []
    for first in chain.from_iterable(combinations(groups, size) for size in groups[1:]):
        sides = first, tuple(group for group in groups if group not in first)
        ways = [count_allocations([int(sizes[group]) for group in side]) for side in sides]
        n_choices = comb(int(sum(sizes)), int(sum(sizes[list(first)])))
        parted.append((n_choices * sum(ways), *(sides if ways[0] <= ways[1] else sides[::-1])))
    return min(parted, key=lambda each: each[0])


def _find_rest(chosen, n):
    left = np.ones((len(chosen), n), dtype=bool)
    np.put_along_axis(left, chosen, False, axis=1)
    return np.nonzero(left)[1].reshape(len(chosen), n - chosen.shape[1])


def _mark_members(sizes):
    """Who of a side is in each of its groups, in every way: one 0/1 matrix a group, (n_side, n_ways)."""
    labels = list_labels(sizes.tolist()).T
    return np.array([labels == group for group in range(len(sizes))], dtype=float)


def _calculate_values(scores, members, sizes):
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
