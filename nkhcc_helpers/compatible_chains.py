"""Markov chains, side by side, over cohorts weighted by how nearly they meet every claim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.claim_distances import lay_out_claims, measure_claims
from nkhcc_helpers.cohort_moves import CHANCES, MOVES
from nkhcc_helpers.cohort_order import OrderedCohorts
from nkhcc_helpers.cohort_proposals import Proposals
from nkhcc_helpers.cohort_space import CohortSpace

LADDER = (2.0, 5.0, 12.0, 30.0, 75.0)  # pulls of the chains: the first let them roam, the last hold them
PLACES = (0, 1, 2, 3, 4, 4, 4)  # of the ladder, for the chains in turn
LOOKS_PER_SWEEP = 3
KEPT_SHARE = 0.7  # effective share of chains that one tightening of the pull leaves
FIRST_PULL = 1e-4
SMALLEST_STEP, LARGEST_STEP = 1.02, 2.0  # of the pull while it is tightened, as a factor
ANYHOW = 0.2  # share of moves of an endpoint whose claims all chains meet, against one whose claims none does


@dataclass
class EndpointState:
    """Where the chains are in one endpoint.

    Attributes
    ----------
    proposals : Proposals
        With the space of cohorts, the distances of the claims and the groups.
    steps, events : ndarray, shape (n_chains, n_patients)
    measured : ndarray, shape (n_chains, n_claims)
        Distance of each claim.
    pull : ndarray of float, shape (n_chains,)
    """

    proposals: Proposals
    steps: np.ndarray
    events: np.ndarray
    measured: np.ndarray
    pull: np.ndarray

    @classmethod
    def of(cls, claimed, endpoint, steps, events):
        """Begin at the cohorts given, without pull."""
        distances = lay_out_claims(claimed, endpoint)
        proposals = Proposals.of(CohortSpace.of(claimed, endpoint), distances, claimed.codes)
        measured = measure_claims(distances, OrderedCohorts.of(steps, events, claimed.codes))
        return cls(proposals, steps, events, measured, np.zeros(len(steps)))

    @property
    def distance(self):
        """Distances of all claims together, shape (n_chains,)."""
        return self.measured.sum(axis=1)

    def take(self, rows):
        """Put chains where others are."""
        self.steps, self.events, self.measured = self.steps[rows], self.events[rows], self.measured[rows]

    def swap(self, rng):
        """Let chains of neighbouring pulls exchange them."""
        distance = self.distance
        for at in rng.permutation(len(LADDER) - 1):
            low, high = (rng.permutation(np.flatnonzero(self.pull == LADDER[at + up])) for up in (0, 1))
            size = min(len(low), len(high))
            low, high = low[:size], high[:size]
            log_ratio = (LADDER[at + 1] - LADDER[at]) * (distance[high] - distance[low])
            taken = np.log(rng.random(size)) < log_ratio
            self.pull[low[taken]], self.pull[high[taken]] = LADDER[at + 1], LADDER[at]

    def measure(self, rows, steps, events, margin):
        """Measure the claims of new cohorts of some chains, as long as they may still be moved to.

        What is quick to measure goes first; a move that this alone rules out goes no further.

        Returns
        -------
        kept : ndarray of int
            Places among `rows` of those that may be moved to.
        measured : ndarray, shape (n_kept, n_claims)
        """
        measured = np.zeros((len(rows), self.measured.shape[1]))
        ordered = OrderedCohorts.of(steps, events, self.proposals.codes)
        for column, each in enumerate(self.proposals.distances):
            if not each.is_costly:
                measured[:, column] = each.measure(ordered)
        kept = np.flatnonzero(margin - self.weigh(rows, measured) > 0)
        measured, ordered = measured[kept], ordered.take(kept)
        for column, each in enumerate(self.proposals.distances):
            if each.is_costly:
                measured[:, column] = each.measure(ordered)
        return kept, measured

    def weigh(self, rows, measured):
        """What the pulls of some chains have against moving to these distances."""
        return self.pull[rows] * (measured.sum(axis=1) - self.distance[rows])


class Chains:
    """Chains whose stationary distribution is the prior times exp(-pull * distance) of each endpoint.

    Where every distance is 0 that is the prior, whatever the pulls: the cohorts that chains visit while they
    meet all claims are drawn from the prior given the claims. The cohorts that nearly meet them are the ways
    from one such cohort to another, which few single changes could bridge; chains of different pulls exchange
    these, for each endpoint on its own, so that each chain roams and is held in turn.

    Parameters
    ----------
    claimed : ClaimedTrial
    start : dict of str to (ndarray, ndarray)
        Steps and events of each endpoint that the chains begin with, shape (n_chains, n_patients).
    rng : numpy.random.Generator

    Attributes
    ----------
    states : list of EndpointState
        One for each endpoint.
    ordered : tuple of (int, int) or None
        Endpoints of which the first is never later than the second.
    accepted : ndarray of int, shape (n_moves, 2)
        How often each of `cohort_moves.MOVES` was possible and taken.

    References
    ----------
    Metropolis et al. (1953) J Chem Phys; Torrie, Valleau (1977) J Comput Phys; Geyer (1991) Computing Science
    and Statistics; Del Moral, Doucet, Jasra (2006) J R Stat Soc B.
    """

    def __init__(self, claimed, start, rng):
        self.states = [EndpointState.of(claimed, code, *start[code]) for code in claimed.endpoints]
        self.ordered = tuple(map(claimed.endpoints.index, claimed.ordered)) if claimed.ordered else None
        self.rng = rng
        self.chances = np.full(len(self.states), 1 / len(self.states))
        self.accepted = np.zeros((len(MOVES), 2), dtype=int)

    def __len__(self):
        return len(self.states[0].steps)

    @property
    def meets_all(self):
        """Whether each chain meets every claim, shape (n_chains,)."""
        return np.logical_and.reduce([(state.measured == 0).all(axis=1) for state in self.states])

    @property
    def distance(self):
        """Distances of all claims together, shape (n_chains,)."""
        return sum(state.distance for state in self.states)

    def anneal(self):
        """Tighten the pull to the foot of the ladder, duplicating chains that come nearer; then spread it."""
        pull = 0.0
        while pull < LADDER[0]:
            pull = self._tighten(pull)
            self.sweep()
        places = np.resize(PLACES, len(self))
        for state in self.states:
            state.pull = np.array(LADDER)[self.rng.permutation(places)]

    def settle(self, n_sweeps):
        """Let the chains find their places on the ladder; then favour the endpoint whose claims they miss."""
        for _ in range(n_sweeps * LOOKS_PER_SWEEP):
            self.advance()
        missed = np.array([(state.distance > 0).mean() for state in self.states]) + ANYHOW
        self.chances = missed / missed.sum()

    def advance(self):
        """Let the chains move for the time between two looks, and exchange their pulls."""
        self.sweep(1 / LOOKS_PER_SWEEP)
        for state in self.states:
            state.swap(self.rng)

    def sweep(self, share=1.0):
        """Let each chain try as many moves as it has times, or a share of that."""
        n_moves = max(int(share * len(self.states) * self.states[0].steps.shape[1]), 1)
        moves = self.rng.choice(len(MOVES), size=n_moves, p=CHANCES)
        endpoints = self.rng.choice(len(self.states), size=n_moves, p=self.chances)
        for which, endpoint in zip(moves.tolist(), endpoints.tolist(), strict=True):
            self._move(which, endpoint)

    def tilt(self, endpoint, rows, steps, events):
        """What is added to the logarithm of the target by a move of an endpoint, shape (n_rows,)."""
        return 0.0

    def follow(self, endpoint, kept):
        """Take note of a move: places, among the rows that `tilt` was asked about, of chains that moved."""

    def _move(self, which, endpoint):
        state, room = self.states[endpoint], self._find_room(endpoint)
        space = state.proposals.space
        steps, events, log_ratio = MOVES[which](state.proposals, state.steps, state.events, room, self.rng)
        rows = np.flatnonzero(space.is_possible(steps, events, room))
        if not len(rows):
            return
        # A move is taken if its margin, less what the pull has against it, is above 0.
        steps, events = steps[rows], events[rows]
        margin = np.broadcast_to(log_ratio, len(self))[rows] - np.log(self.rng.random(len(rows)))
        margin = margin + space.log_prior(steps, events)
        margin -= space.log_prior(state.steps[rows], state.events[rows])
        margin += self.tilt(endpoint, rows, steps, events)
        kept, measured = state.measure(rows, steps, events, margin)
        self.accepted[which] += (len(rows), 0)
        taken = margin[kept] - state.weigh(rows[kept], measured) > 0
        kept, measured = kept[taken], measured[taken]
        rows = rows[kept]
        state.steps[rows], state.events[rows], state.measured[rows] = steps[kept], events[kept], measured
        self.accepted[which, 1] += len(rows)
        self.follow(endpoint, kept)

    def _find_room(self, endpoint):
        """First and last step that the other endpoint leaves to each patient."""
        steps = self.states[endpoint].steps
        low, high = np.zeros_like(steps), np.full_like(steps, self.states[endpoint].proposals.space.last_step)
        if self.ordered and endpoint == self.ordered[0]:
            high = self.states[self.ordered[1]].steps
        elif self.ordered and endpoint == self.ordered[1]:
            low = self.states[self.ordered[0]].steps
        return low, high

    def _tighten(self, pull):
        """Find the strongest pull that leaves enough chains effective, by bisection, and resample them."""
        distance = self.distance - self.distance.min()
        low, high = max(pull * SMALLEST_STEP, FIRST_PULL), max(pull * LARGEST_STEP, FIRST_PULL)
        for _ in range(20):
            middle = np.sqrt(low * high)
            weights = np.exp(-(middle - pull) * distance)
            effective = weights.sum() ** 2 / (weights**2).sum()
            low, high = (middle, high) if effective > KEPT_SHARE * len(distance) else (low, middle)
        tightened = min(low, LADDER[0])
        weights = np.cumsum(np.exp(-(tightened - pull) * distance))
        places = (np.arange(len(self)) + self.rng.random()) / len(self) * weights[-1]
        chosen = np.minimum(np.searchsorted(weights, places), len(self) - 1)
        for state in self.states:
            state.take(chosen)
            state.pull[:] = tightened
        return tightened
