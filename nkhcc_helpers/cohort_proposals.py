"""What the moves of Markov chains over cohorts draw from: the prior, times near claimed ones, whole groups."""

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
    near : ndarray of float, shape (n_endpoints, n_steps + 1)
        Chance of each step where times are drawn near claimed ones.
    near_below : ndarray of float, shape (n_endpoints, n_steps + 1)
        Its sums.
    """

    space: CohortSpace
    distances: list
    codes: np.ndarray
    near: np.ndarray
    near_below: np.ndarray

    def draw(self, lowest, highest, endpoint, rng):
        """Draw steps from the prior between limits, or near a claim, limits or not."""
        drawn = self.space.draw_between(lowest, np.maximum(highest, lowest), rng)
        near = rng.random(len(lowest)) < NEAR_CLAIM
        place = np.searchsorted(self.near_below[endpoint], rng.random(near.sum()), side="right")
        drawn[near] = np.minimum(place, self.space.last_step)
        return drawn

    def log_chance(self, drawn, lowest, highest, endpoint):
        """Logarithm of the chance that `draw` gives these steps."""
        inside = (drawn >= lowest) & (drawn <= highest)
        drawn = np.clip(drawn, 0, self.space.last_step)
        room = np.maximum(self.space.measure_between(lowest, highest), 1e-300)
        free = np.where(inside, np.exp(self.space.log_mass[drawn]) / room, 0.0)
        chance = (1 - NEAR_CLAIM) * free + NEAR_CLAIM * self.near[endpoint, drawn]
        return np.log(np.maximum(chance, 1e-300))

    def draw_groups(self, endpoint, size, rng):
        """Draw groups of patients from the prior, each patient censored by chance: steps and events."""
        space, shape = self.space, (GROUPS_AT_A_TIME, size)
        events = np.ones(shape, dtype=bool)
        if space.most_censored[endpoint]:
            events = rng.random(shape) >= CENSORED_SHARE
        lowest = np.where(events, 0, space.first_censored[endpoint])
        highest = np.where(events, space.last_step, space.last_censored[endpoint])
        return space.draw_between(lowest, highest, rng), events

    def weigh_groups(self, endpoint, steps, events):
        """Logarithm of the chance that `draw_groups` gives these groups, but for a constant."""
        space, n_censored = self.space, (~events).sum(axis=1)
        room = space.measure_between(space.first_censored[endpoint], space.last_censored[endpoint])
        odds = np.log(CENSORED_SHARE / (1 - CENSORED_SHARE)) - np.log(np.maximum(room, 1e-300))
        return space.log_mass[steps].sum(axis=1) + n_censored * odds

    def meets(self, endpoint, group, steps, events):
        """Whether groups meet the claims about that group alone, shape (n_cohorts,)."""
        ordered = OrderedCohorts.of(steps, events, np.zeros(steps.shape[1], dtype=int))
        met = np.ones(len(steps), dtype=bool)
        for of, distance in self.distances:
            if of == endpoint and getattr(distance, "column", None) == group:
                met &= replace(distance, column=0).measure(ordered) == 0
        return met


def lay_out_proposals(space, distances, codes):
    """Lay out what moves draw from, given the claims.

    Parameters
    ----------
    space : CohortSpace
    distances : list
        As of `claim_distances.lay_out_claims`.
    codes : ndarray of int, shape (n_patients,)

    Returns
    -------
    Proposals
    """
    near = np.zeros((len(space.fewest_censored), space.last_step + 1))
    for endpoint, distance in distances:
        if isinstance(distance, MedianDistance):
            low, high = int(distance.limits[0]), int(np.ceil(distance.limits[1]))
            places = np.arange(max(low, 0), min(high, space.last_step) + 1)
            near[endpoint, places] += 1 / max(len(places), 1)
    near = np.where(near.sum(axis=1, keepdims=True) > 0, near, np.exp(space.log_mass))
    near /= near.sum(axis=1, keepdims=True)
    return Proposals(space, distances, codes, near, np.cumsum(near, axis=1))
