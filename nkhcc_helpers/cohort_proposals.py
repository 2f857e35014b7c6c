"""What Markov chains draw a patient's new time from: the prior, and times near claimed medians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.cohort_space import CohortSpace, round_inside

NEAR_CLAIM = 0.5  # share of times drawn near a claimed one


@dataclass(frozen=True)
class Proposals:
    """What new times are drawn from.

    Attributes
    ----------
    space : CohortSpace
    near : ndarray of float, shape (n_steps + 1,)
        Chance of each step where times are drawn near claimed ones.
    near_below : ndarray of float, shape (n_steps + 1,)
        Its sums.
    """

    space: CohortSpace
    near: np.ndarray
    near_below: np.ndarray

    @classmethod
    def of(cls, space, windows):
        """Lay out what moves draw from, given the limits of claimed medians, in steps."""
        near = np.zeros(space.last_step + 1)
        for window in windows:
            low, high = round_inside(*window)
            near[low : high + 1] += 1 / max(high - low + 1, 1)
        near = near if near.any() else np.exp(space.log_mass.mean(axis=0))
        near /= near.sum()
        return cls(space, near, np.cumsum(near))

    def draw(self, events, codes, rng):
        """Draw a step for each patient from the prior, or near a claim; as `CohortSpace.draw`."""
        drawn = self.space.draw(events, codes, rng)
        is_near = rng.random(len(events)) < NEAR_CLAIM
        place = np.searchsorted(self.near_below, rng.random(is_near.sum()), side="right")
        drawn[is_near] = np.minimum(place, self.space.last_step)
        return drawn

    def log_chance(self, steps, events, codes):
        """Logarithm of the chance that `draw` gives these steps."""
        free = np.exp(self.space.log_chance(steps, events, codes))
        near = self.near[np.clip(steps, 0, self.space.last_step)]
        return np.log(np.maximum((1 - NEAR_CLAIM) * free + NEAR_CLAIM * near, 1e-300))
