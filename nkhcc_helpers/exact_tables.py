"""Probabilities over every table with fixed margins, patients with an event by group.

Given how many patients have the event, the numbers by group are multivariate hypergeometric if the groups do
not differ; equivalently, independent binomial numbers of one probability, given their sum. The groups are put
into two halves, the tables of each half are listed, and a table of all groups is a pair of them whose numbers
add up: pairs are counted by sorted search and not formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

SCALE = 1e9  # values are compared as whole numbers of 1 / SCALE, so that sorting and merging are exact
TOLERANCE = 100  # 1e-7, the relative difference of probabilities that R's fisher.test takes for none
NEGLIGIBLE = 1e-8  # of the probability of the observed table
SMALLEST = 1e-15  # no probability below is told from it
MOST_STATES = 3_000_000  # tables of a half held at once


@dataclass(frozen=True)
class TableP:
    """A P-value over tables with fixed margins.

    Attributes
    ----------
    p_value : float
    error : float
        Monte-Carlo standard error; 0 where every table was counted.
    smallest : float
        The smallest P-value that these margins can give.
    is_exact : bool
        Whether every table was counted.
    """

    p_value: float
    error: float
    smallest: float
    is_exact: bool


@dataclass(frozen=True)
class Tables:
    """Tables with fixed margins and a statistic that adds up over the groups.

    Attributes
    ----------
    events, sizes : ndarray of int, shape (n_groups,)
        Patients with the event, and all patients.
    values : tuple of ndarray of int, one of shape (size + 1,) for each group
        What each number of patients with the event adds to the statistic, in units of 1 / `SCALE`.
    """

    events: np.ndarray
    sizes: np.ndarray
    values: tuple[np.ndarray, ...]

    @property
    def total(self):
        """Statistic of the observed table."""
        return int(sum(value[x] for value, x in zip(self.values, self.events, strict=True)))

    def calculate_tail(self, lower, upper):
        """Probability that the statistic is at most `lower` or at least `upper` (if not None).

        None where there are too many tables.
        """
        n_events, n_all = int(self.events.sum()), int(self.sizes.sum())
        likely = [_list_binomial(int(size), n_events / n_all) for size in self.sizes]
        given = _list_binomial(n_all, n_events / n_all)[n_events]
        observed = np.prod([each[x] for each, x in zip(likely, self.events, strict=True)])
        floor = max(NEGLIGIBLE * observed, SMALLEST * given) / len(self.sizes)
        parts = [_State.of_group(*each, floor) for each in zip(self.values, likely, strict=True)]
        left, right = _split(parts)
        left = _combine(left, n_events, floor)
        right = None if left is None else _combine(right, n_events, floor)
        if right is None:
            return None
        tail = _sum_pairs(*sorted([left, right], key=lambda half: -len(half.used)), n_events, lower, upper)
        return float(np.clip(max(tail, observed) / given, 0, 1))

    def draw_tail(self, lower, upper, *, n_draws, seed):
        """As `calculate_tail`, over random tables: (1 + count) / (1 + draws), and its standard error."""
        draws = np.random.default_rng(seed).multivariate_hypergeometric(
            self.sizes, self.events.sum(), n_draws, method="marginals"
        )
        totals = sum(value[draws[:, place]] for place, value in enumerate(self.values))
        p_value = (1 + int(_is_beyond(totals, lower, upper).sum())) / (1 + n_draws)
        return p_value, float(np.sqrt(p_value * (1 - p_value) / n_draws))


@dataclass(frozen=True)
class _State:
    """Tables of some of the groups: patients with the event, statistic, probability."""

    used: np.ndarray
    value: np.ndarray
    weight: np.ndarray

    @classmethod
    def of_group(cls, value, weight, floor):
        return cls(np.arange(len(value)), value, weight)._keep(weight >= floor / len(value))

    def add(self, other, n_events, floor):
        used, value = (np.add.outer(getattr(self, each), getattr(other, each)).ravel() for each in _PLACE)
        weight = np.multiply.outer(self.weight, other.weight).ravel()
        return _State(used, value, weight)._keep((used <= n_events) & (weight >= floor / len(weight)))

    def merge(self):
        """Take tables with the same number of patients and the same statistic together."""
        order = np.lexsort((self.value, self.used))
        used, value = self.used[order], self.value[order]
        first = np.flatnonzero((np.diff(used, prepend=-1) != 0) | (np.diff(value, prepend=0) != 0))
        return _State(used[first], value[first], np.add.reduceat(self.weight[order], first))

    def _keep(self, kept):
        return _State(self.used[kept], self.value[kept], self.weight[kept])


_PLACE = ("used", "value")


def _split(parts):
    """Put the groups into two halves with about as many tables each, the one with more first."""
    halves, counts = ([], []), [1, 1]
    for part in sorted(parts, key=lambda each: -len(each.used)):
        smaller = int(counts[1] < counts[0])
        halves[smaller].append(part)
        counts[smaller] *= len(part.used)
    return halves if counts[0] >= counts[1] else halves[::-1]


def _combine(parts, n_events, floor):
    """List the tables of some groups; None where there are too many."""
    if not parts:
        return _State(np.zeros(1, int), np.zeros(1, int), np.ones(1))
    state = parts[0]
    for part in parts[1:]:
        if len(state.used) * len(part.used) > MOST_STATES:
            return None
        state = state.add(part, n_events, floor)
        if len(parts) > 2:
            state = state.merge()
    return state


def _sum_pairs(left, right, n_events, lower, upper):
    """Probability of the pairs of tables with `n_events` patients and a statistic out of the bounds."""
    rest = n_events - left.used
    value, weight, rest = left.value[rest >= 0], left.weight[rest >= 0], rest[rest >= 0]
    least, span = right.value.min(), int(np.ptp(right.value)) + 1
    key = right.used * span + (right.value - least)
    order = np.argsort(key)
    key = key[order]
    # The extended precision keeps differences of sums over many tables right for rare ones.
    up_to = np.concatenate([[0], np.cumsum(right.weight[order], dtype=np.longdouble)])
    start = np.searchsorted(key, np.arange(n_events + 2) * span)
    below = np.clip(lower - value - least, -1, span - 1)
    tail = up_to[np.searchsorted(key, rest * span + below, side="right")] - up_to[start[rest]]
    if upper is not None:
        above = np.clip(upper - value - least, 0, span)
        tail += up_to[start[rest + 1]] - up_to[np.searchsorted(key, rest * span + above, side="left")]
    return float((weight * tail).sum())


def _is_beyond(totals, lower, upper):
    return totals <= lower if upper is None else (totals <= lower) | (totals >= upper)


def _list_binomial(size, share):
    """Probability of 0, 1, ..., `size` patients with the event."""
    chosen = np.arange(size + 1)
    return np.exp(list_log_ways(size) + chosen * np.log(share) + (size - chosen) * np.log1p(-share))


@lru_cache(maxsize=64)
def list_log_ways(size):
    """Logarithm of the ways to choose 0, 1, ..., `size` of `size` patients; do not write to it."""
    up_to = special.gammaln(np.arange(size + 1) + 1.0)
    return up_to[-1] - up_to - up_to[::-1]
