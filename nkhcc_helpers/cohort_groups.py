"""Whole groups of patients, drawn so that they meet the claims about the group alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.cohort_order import OrderedCohorts
from nkhcc_helpers.cohort_space import CohortSpace, round_inside

FREE, ONE, PAIR = 0.2, 0.4, 0.4  # shares of the three ways to draw a group with a claimed median
FEWEST_FOUND, MOST_DRAWN, DRAWN_AT_ONCE = 20, 200_000, 20_000


@dataclass(frozen=True)
class GroupDraws:
    """Draws of one group from a mixture in which the claims about it are often met.

    A median is met by one patient at a time that rounds to it, or by two whose middle does; left to the prior
    either is rare. So in some draws one patient's time is put there, in others one of two is put opposite the
    other. The chance of each draw is known, so that Markov chains can allow for it.

    Attributes
    ----------
    space : CohortSpace
    members : ndarray of int
        Places of the group's patients in a cohort.
    distances : tuple
        Those of `claim_distances.lay_out_claims` that concern the group.
    windows : tuple of (float, float)
        Limits of its claimed medians, in steps.
    """

    space: CohortSpace
    members: np.ndarray
    distances: tuple
    windows: tuple

    @property
    def code(self):
        """Number of the group."""
        return int(self.space.codes[self.members[0]])

    def draw(self, size, rng):
        """Draw groups that meet the claims: steps and events of those found among `size` drawn."""
        n = len(self.members)
        events = rng.random((size, n)) >= self.space.censored_share
        steps = self.space.draw(events, self.code, rng)
        if self.windows:
            window = np.array(self.windows)[rng.integers(len(self.windows), size=size)].T
            one, other = rng.random((size, n)).argsort(axis=1)[:, : min(n, 2)].T[[0, -1]]
            rows, way = np.arange(size), rng.random(size)
            at = _draw_between(*_count_window(window), rng)
            opposite = _draw_between(*_count_window(2 * window), rng) - steps[rows, other]
            moved = np.where(way < ONE, at, opposite)
            has_pair = n > 1
            kept = (way >= ONE + PAIR) | ((way >= ONE) & (not has_pair))
            steps[rows, one] = np.where(kept, steps[rows, one], moved)
        found = np.flatnonzero(np.isfinite(self.weigh(steps, events)))
        steps, events = steps[found], events[found]
        meets = self.meets(steps, events)
        return steps[meets], events[meets]

    def weigh_freely(self, steps, events):
        """Logarithm of the chance of groups whose patients are drawn each on its own, shape (n,)."""
        share = self.space.censored_share
        odds = np.log(share / (1 - share)) if share else 0.0
        log_chance = self.space.log_chance(steps, events, self.code)
        return log_chance.sum(axis=1) + odds * (~events).sum(axis=1)

    def weigh(self, steps, events):
        """Logarithm of the chance that `draw` comes to these groups, but for a constant, shape (n,)."""
        log_free = self.weigh_freely(steps, events)
        if not self.windows:
            return log_free
        with np.errstate(over="ignore", invalid="ignore"):
            rarity = np.exp(-self.space.log_chance(steps, events, self.code))
            more = np.mean([self._weigh_window(steps, rarity, each) for each in self.windows], axis=0)
            return np.where(np.isfinite(log_free), log_free + np.log(more), -np.inf)

    def meets(self, steps, events):
        """Whether groups meet the claims about the group alone, shape (n,)."""
        met = np.ones(len(steps), dtype=bool)
        if self.distances:
            ordered = OrderedCohorts.of(steps, events)
            for distance in self.distances:
                met &= distance.measure(ordered) == 0
        return met

    def is_found(self, rng):
        """Whether groups that meet the claims are found often enough to draw them."""
        found = drawn = 0
        while found < FEWEST_FOUND and drawn < MOST_DRAWN:
            found, drawn = found + len(self.draw(DRAWN_AT_ONCE, rng)[0]), drawn + DRAWN_AT_ONCE
        return found >= FEWEST_FOUND

    def _weigh_window(self, steps, rarity, window):
        """How many times as often groups are drawn for a claimed median as from the prior alone."""
        n = steps.shape[1]
        low, high = _count_window(window)
        ones = ((steps >= low) & (steps <= high)) * rarity / (high - low + 1)
        if n == 1:
            return FREE + PAIR + ONE * ones[:, 0]
        low, high = _count_window(2 * np.array(window))
        middles = steps[:, :, None] + steps[:, None, :]
        pairs = ((middles >= low) & (middles <= high)) * rarity[:, None, :] / (high - low + 1)
        pairs[:, np.arange(n), np.arange(n)] = 0
        return FREE + ONE * ones.mean(axis=1) + PAIR * pairs.sum(axis=(1, 2)) / (n * (n - 1))


def _count_window(window):
    """First and last step between limits, or one step outside where there is none between."""
    low, high = round_inside(*window)
    return low, np.maximum(low, high)


def _draw_between(low, high, rng):
    return rng.integers(low, high + 1)
