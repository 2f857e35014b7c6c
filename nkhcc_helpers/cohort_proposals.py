"""What Markov chains over cohorts draw from: the prior, times near claimed ones, whole groups."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nkhcc_helpers.claim_distances import MedianDistance
from nkhcc_helpers.cohort_order import OrderedCohorts
from nkhcc_helpers.cohort_space import CohortSpace

NEAR_CLAIM = 0.5  # share of times drawn near a claimed one
CENSORED_SHARE = 0.15  # of patients in groups drawn anew
GROUPS_AT_A_TIME = 20_000


@dataclass(frozen=True)
class Proposals:
    """What new times are drawn from.

    Attributes
    ----------
    space : CohortSpace
    distances : list
        As of `claim_distances.lay_out_claims`.
    codes : ndarray of int, shape (n_patients,)
        Group of each patient.
    near : ndarray of float, shape (n_steps + 1,)
        Chance of each step where times are drawn near claimed ones.
    near_below : ndarray of float, shape (n_steps + 1,)
        Its sums.
    """

    space: CohortSpace
    distances: list
    codes: np.ndarray
    near: np.ndarray
    near_below: np.ndarray

    @classmethod
    def of(cls, space, distances, codes):
        """Lay out what moves draw from, given the claims."""
        near = np.zeros(space.last_step + 1)
        for distance in distances:
            if isinstance(distance, MedianDistance):
                low, high = int(distance.limits[0]), int(np.ceil(distance.limits[1]))
                places = np.arange(low, min(high, space.last_step) + 1)
                near[places] += 1 / max(len(places), 1)
        near = near if near.any() else np.exp(space.log_mass)
        near /= near.sum()
        return cls(space, distances, codes, near, np.cumsum(near))

    def draw(self, events, rng, room):
        """Draw a step for each patient from the prior, or near a claim, whatever room there is."""
        drawn = self.space.draw(events, rng, room)
        near = rng.random(len(events)) < NEAR_CLAIM
        place = np.searchsorted(self.near_below, rng.random(near.sum()), side="right")
        drawn[near] = np.minimum(place, self.space.last_step)
        return drawn

    def log_chance(self, steps, events, room):
        """Logarithm of the chance that `draw` gives these steps."""
        free = np.exp(self.space.log_chance(steps, events, room))
        near = self.near[np.clip(steps, 0, self.space.last_step)]
        return np.log(np.maximum((1 - NEAR_CLAIM) * free + NEAR_CLAIM * near, 1e-300))

    def draw_groups(self, size, rng):
        """Draw groups of patients from the prior, each patient censored by chance: steps and events."""
        events = np.ones((GROUPS_AT_A_TIME, size), dtype=bool)
        if self.space.n_censored[1]:
            events = rng.random(events.shape) >= CENSORED_SHARE
        return self.space.draw(events, rng), events

    def weigh_groups(self, steps, events):
        """Logarithm of the chance that `draw_groups` gives these groups, but for a constant."""
        odds = np.log(CENSORED_SHARE / (1 - CENSORED_SHARE))
        return self.space.log_chance(steps, events).sum(axis=1) + odds * (~events).sum(axis=1)

    def meets(self, group, steps, events):
        """Whether groups meet the claims about that group alone, shape (n_cohorts,)."""
        ordered = OrderedCohorts.of(steps, events, np.zeros(steps.shape[1], dtype=int))
        met = np.ones(len(steps), dtype=bool)
        for distance in self.distances:
            if getattr(distance, "column", None) == group:
                met &= replace(distance, column=0).measure(ordered) == 0
        return met
