"""Markov chains, side by side, over cohorts weighted by how nearly they meet every claim."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nkhcc_helpers.claim_distances import lay_out_claims, measure_claims
from nkhcc_helpers.cohort_moves import CHANCES, MOVES
from nkhcc_helpers.cohort_order import OrderedCohorts
from nkhcc_helpers.cohort_proposals import lay_out_proposals
from nkhcc_helpers.cohort_space import CohortSpace

LADDER = (1.0, 2.5, 6.0, 14.0, 32.0)  # pulls of the chains: the first let them roam, the last hold them
PLACES = (0, 1, 2, 3, 4, 4)  # of the ladder, for the chains in turn
LOOKS_PER_SWEEP = 3
KEPT_SHARE = 0.7  # effective share of chains that one tightening of the pull leaves
FIRST_PULL = 1e-4
SMALLEST_STEP, LARGEST_STEP = 1.02, 2.0  # of the pull while it is tightened, as a factor


@dataclass
class Chains:
    """Chains whose stationary distribution is the prior times exp(-sum of pulls times distances).

    Where every distance is 0 that is the prior, whatever the pull: the cohorts that chains visit while they
    meet all claims are drawn from the prior given the claims. The cohorts that nearly meet them are the ways
    from one such cohort to another, which few single changes could bridge; chains of different pulls exchange
    these, for each endpoint on its own, so that each chain roams and is held in turn.

    Attributes
    ----------
    space : CohortSpace
    distances : list
        As of `claim_distances.lay_out_claims`.
    proposals : Proposals
    steps, events : ndarray, shape (n_chains, n_endpoints, n_patients)
        Where the chains are.
    measured : ndarray, shape (n_chains, n_claims)
        Distance of each claim there.
    pull : ndarray of float, shape (n_chains, n_endpoints)
    rng : numpy.random.Generator
    tilt : callable, optional
        Takes steps and events, returns what is added to the logarithm of the target, shape (n_chains,).
    tilted : ndarray of float, shape (n_chains,)
        What it is where the chains are.
    endpoint_chances : ndarray of float, shape (n_endpoints,)
        How often moves concern each endpoint.
    accepted : ndarray of int, shape (n_moves, 2)
        How often each of `cohort_moves.MOVES` was proposed and taken.

    References
    ----------
    Metropolis et al. (1953) J Chem Phys; Torrie, Valleau (1977) J Comput Phys; Geyer (1991) Computing Science
    and Statistics; Del Moral, Doucet, Jasra (2006) J R Stat Soc B.
    """

    space: CohortSpace
    distances: list
    proposals: object
    steps: np.ndarray
    events: np.ndarray
    measured: np.ndarray
    pull: np.ndarray
    rng: np.random.Generator
    tilt: object = None
    tilted: np.ndarray = None
    endpoint_chances: np.ndarray = None
    accepted: np.ndarray = field(default_factory=lambda: np.zeros((len(MOVES), 2), dtype=int))

    @classmethod
    def start(cls, claimed, steps, events, rng):
        """Begin with one chain at each of the cohorts given, without pull."""
        space = CohortSpace.of(claimed)
        distances = lay_out_claims(claimed, space)
        proposals = lay_out_proposals(space, distances, claimed.codes)
        measured = measure_claims(distances, claimed.codes, steps, events)
        chains = cls(space, distances, proposals, steps, events, measured, np.zeros(steps.shape[:2]), rng)
        chains.tilted = np.zeros(len(steps))
        chains.endpoint_chances = np.full(steps.shape[1], 1 / steps.shape[1])
        return chains

    @cached_property
    def _of_endpoint(self):
        """1 where a claim is about an endpoint, shape (n_claims, n_endpoints)."""
        endpoints = np.array([endpoint for endpoint, _ in self.distances], dtype=int)
        return np.eye(self.steps.shape[1])[endpoints]

    @property
    def meets_all(self):
        """Whether each chain meets every claim, shape (n_chains,)."""
        return (self.measured == 0).all(axis=1)

    def anneal(self):
        """Tighten the pull to the first of the ladder, duplicating chains that come nearer; then spread it."""
        while self.pull[0, 0] < LADDER[0]:
            self._resample(min(self._find_next_pull(), LADDER[0]))
            self.sweep()
        places = np.resize(PLACES, len(self.pull))
        for endpoint in range(self.pull.shape[1]):
            self.pull[:, endpoint] = np.array(LADDER)[self.rng.permutation(places)]

    def settle(self, n_sweeps):
        """Let the chains find their places on the ladder; then choose the endpoint that misses more."""
        for _ in range(n_sweeps * LOOKS_PER_SWEEP):
            self.advance()
        missed = 1 - (self._sum_distances() == 0).mean(axis=0)
        self.endpoint_chances = (missed + 0.2) / (missed + 0.2).sum()

    def advance(self):
        """Let the chains move for the time between two looks, and exchange their pulls."""
        self.sweep(1 / LOOKS_PER_SWEEP)
        self.swap()

    def sweep(self, share=1.0):
        """Let each chain try as many moves as there are times, or a share of that."""
        n_moves = max(int(share * self.steps[0].size), 1)
        moves = self.rng.choice(len(MOVES), size=n_moves, p=CHANCES)
        endpoints = self.rng.choice(self.steps.shape[1], size=n_moves, p=self.endpoint_chances)
        for which, endpoint in zip(moves.tolist(), endpoints.tolist(), strict=True):
            self._move(which, endpoint)

    def swap(self):
        """Let chains of neighbouring pulls exchange them."""
        total = self._sum_distances()
        for endpoint, pull in enumerate(self.pull.T):
            for at in self.rng.permutation(len(LADDER) - 1):
                low, high = (self.rng.permutation(np.flatnonzero(pull == LADDER[at + up])) for up in (0, 1))
                size = min(len(low), len(high))
                low, high = low[:size], high[:size]
                log_ratio = (LADDER[at + 1] - LADDER[at]) * (total[high, endpoint] - total[low, endpoint])
                taken = np.log(self.rng.random(size)) < log_ratio
                pull[low[taken]], pull[high[taken]] = LADDER[at + 1], LADDER[at]

    def _sum_distances(self, measured=None):
        """Distances of the claims about each endpoint together, shape (n_chains, n_endpoints)."""
        return (self.measured if measured is None else measured) @ self._of_endpoint

    def _move(self, which, endpoint):
        proposed = MOVES[which](self.proposals, self.steps, self.events, endpoint, self.rng)
        steps, events, log_ratio, changed = proposed
        rows = np.flatnonzero(self.space.is_possible(steps, events))
        self.accepted[which] += (len(steps), 0)
        if not len(rows):
            return
        # A move is taken if its margin, less what the pull has against it, is above 0.
        margin = np.broadcast_to(log_ratio, len(self.steps))[rows] - np.log(self.rng.random(len(rows)))
        margin = margin + self.space.log_prior(steps[rows], events[rows])
        margin -= self.space.log_prior(self.steps[rows], self.events[rows])
        kept, measured = self._measure(rows, steps, events, margin, changed)
        rows, tilted = rows[kept], self.tilted[rows[kept]]
        if self.tilt is not None and len(rows):
            tilted = self.tilt(steps[rows], events[rows])
        against = self._weigh(rows, measured)
        taken = margin[kept] - against + tilted - self.tilted[rows] > 0
        rows = rows[taken]
        self.steps[rows], self.events[rows] = steps[rows], events[rows]
        self.measured[rows], self.tilted[rows] = measured[taken], tilted[taken]
        self.accepted[which, 1] += len(rows)

    def _measure(self, rows, steps, events, margin, changed):
        """Distances after a move, of those that it may still be taken for: their places and distances.

        What is quick to measure goes first; without a tilt, a move that this alone rules out goes no further.
        """
        kept, measured = np.arange(len(rows)), self.measured[rows]
        ordered = {
            endpoint: OrderedCohorts.of(steps[rows, endpoint], events[rows, endpoint], self.proposals.codes)
            for endpoint in changed
        }
        concerned = [
            (column, *each) for column, each in enumerate(self.distances) if each[0] in changed
        ]
        for column, endpoint, distance in concerned:
            if not distance.is_costly:
                measured[:, column] = distance.measure(ordered[endpoint])
        costly = [column for column, _, distance in concerned if distance.is_costly]
        if costly and self.tilt is None:
            best = measured.copy()
            best[:, costly] = 0.0
            kept = np.flatnonzero(margin - self._weigh(rows, best) > 0)
            measured = measured[kept]
            ordered = {endpoint: each.take(kept) for endpoint, each in ordered.items()}
        for column, endpoint, distance in concerned:
            if distance.is_costly:
                measured[:, column] = distance.measure(ordered[endpoint])
        return kept, measured

    def _weigh(self, rows, measured):
        """What the pulls of some chains have against moving to these distances."""
        return (self.pull[rows] * self._sum_distances(measured - self.measured[rows])).sum(axis=1)

    def _find_next_pull(self):
        """The strongest pull that leaves enough chains effective, by bisection."""
        total, now = self.measured.sum(axis=1), self.pull[0, 0]
        low, high = max(now * SMALLEST_STEP, FIRST_PULL), max(now * LARGEST_STEP, FIRST_PULL)
        for _ in range(20):
            middle = np.sqrt(low * high)
            weights = np.exp(-(middle - now) * (total - total.min()))
            effective = weights.sum() ** 2 / (weights**2).sum()
            low, high = (middle, high) if effective > KEPT_SHARE * len(total) else (low, middle)
        return low

    def _resample(self, pull):
        total = self.measured.sum(axis=1)
        weights = np.cumsum(np.exp(-(pull - self.pull[0, 0]) * (total - total.min())))
        places = (np.arange(len(total)) + self.rng.random()) / len(total) * weights[-1]
        chosen = np.minimum(np.searchsorted(weights, places), len(total) - 1)
        self.steps, self.events = self.steps[chosen], self.events[chosen]
        self.measured, self.tilted = self.measured[chosen], self.tilted[chosen]
        self.pull[:] = pull
