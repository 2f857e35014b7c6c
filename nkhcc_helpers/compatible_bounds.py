"""The smallest and largest value of a statistic over compatible cohorts, by tilted Markov chains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.cohort_pairing import Partners, pair_at_random
from nkhcc_helpers.cohort_space import find_step
from nkhcc_helpers.compatible_chains import LADDER, LOOKS_PER_SWEEP, Chains
from nkhcc_helpers.compatible_target import Target
from nkhcc_helpers.permutation import DEFAULT_SEED

GENTLE, STRONG = 0.5, 30.0  # tilt per standard deviation of the statistic, from first sweep to last
N_CHAINS = 60
N_SWEEPS = 100
HELD = LADDER[1:]  # pulls of these chains: near enough to the claims to come back to meeting them


@dataclass(frozen=True, eq=False)
class Bounds:
    """The range of a statistic over compatible cohorts, at least as wide as this.

    Attributes
    ----------
    lowest, highest : float
        NaN where the statistic exists in no cohort.
    times, events : ndarray, shape (n_found, n_endpoints, n_patients)
        The cohorts found at either end, the one with the lowest value first, that with the highest last: they
        meet every claim. None where the statistic exists in no cohort.
    """

    lowest: float
    highest: float
    times: np.ndarray
    events: np.ndarray


def find_bounds(cohorts, statistic, *, endpoint, n_chains=N_CHAINS, n_sweeps=N_SWEEPS, seed=DEFAULT_SEED):
    """Find the smallest and largest value of a statistic over all compatible cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
        A sample, to start from.
    statistic : callable
        Takes times and events of `endpoint`, each of shape (n_cohorts, n_patients); returns one value a
        cohort, NaN where there is none.
    endpoint : str
    n_chains : int, default 60
        Starts: half of them the cohorts of the sample with the most extreme values, the others any.
    n_sweeps : int, default 100
        Sweeps in each direction.
    seed : int

    Returns
    -------
    Bounds
        The search may miss more extreme cohorts, never report what no cohort has.

    Notes
    -----
    Chains that meet the claims, or nearly do, are tilted towards ever larger, or smaller, values; whatever
    cohort they pass that meets all claims counts.

    References
    ----------
    Christen, Fox (2005) J Comput Graph Stat; Kirkpatrick, Gelatt, Vecchi (1983) Science.
    """
    rng = np.random.default_rng(seed)
    values = np.asarray(statistic(*cohorts.of(endpoint)), dtype=float)
    if not np.isfinite(values).any():
        return Bounds(np.nan, np.nan, cohorts.times[:0], cohorts.events[:0])
    low, high = (
        _push(cohorts, statistic, endpoint, values, sign, n_chains, n_sweeps, rng) for sign in (-1, 1)
    )
    values, times, events = (np.concatenate([one[::-1], two]) for one, two in zip(low, high, strict=True))
    return Bounds(values[0], values[-1], times, events)


class TiltedChains(Chains):
    """Chains that favour large values of a statistic, by `strength` times its value."""

    def __init__(self, target, steps, events, rng, statistic):
        super().__init__(target, steps, events, rng)
        self.statistic, self.strength = statistic, 0.0
        self.pull = np.resize(HELD, len(self))
        self.values = statistic(self.steps, self.events)

    def accept(self, rows, steps, events):
        # A second test, of those that passed the first: the statistic takes longest to calculate.
        values = self.statistic(steps, events)
        gained = self.strength * (values - self.values[rows])
        may = np.log(self.rng.random(len(rows))) < np.where(np.isnan(gained), -np.inf, gained)
        self.values[rows[may]] = values[may]
        return may


def _push(cohorts, statistic, endpoint, values, sign, n_chains, n_sweeps, rng):
    """What each chain passed farthest in one direction, the farthest of all last: value, times, events."""
    claimed, step = cohorts.claimed, find_step(cohorts.claimed)
    at = claimed.endpoints.index(endpoint)
    order = np.argsort(np.where(np.isfinite(values), -sign * values, np.inf))
    n_known = int(np.isfinite(values).sum())
    chosen = np.concatenate([order[: min(n_chains // 2, n_known)], rng.choice(order[:n_known], n_chains)])[
        :n_chains
    ]
    steps, spread = np.round(cohorts.times / step).astype(int), max(np.nanstd(values), 1e-12)
    chains = TiltedChains(
        Target.of(claimed, endpoint),
        steps[chosen, at],
        cohorts.events[chosen, at],
        rng,
        lambda s, e: sign * statistic(s * step, e) / spread,
    )
    chains.chosen = chosen.copy()
    if claimed.ordered and endpoint in claimed.ordered:
        first, second = claimed.ordered
        other = claimed.endpoints.index(second if endpoint == first else first)
        chains.take_partners(
            Partners(steps[:, other], np.zeros(len(steps)), claimed.codes, endpoint == first), chosen
        )
    farthest = values[chosen].copy()
    its_steps, its_events, partner = steps[chosen, at], cohorts.events[chosen, at], chosen.copy()
    for chains.strength in np.geomspace(GENTLE, STRONG, n_sweeps * LOOKS_PER_SWEEP):
        chains.advance()
        here = sign * chains.values * spread
        better = chains.meets_all & (sign * here > sign * farthest)
        farthest[better], its_steps[better] = here[better], chains.steps[better]
        its_events[better], partner[better] = chains.events[better], chains.chosen[better]
    order = np.argsort(sign * farthest)
    found = (each[order] for each in (its_steps, its_events, partner))
    return farthest[order], *_complete(cohorts, steps, at, *found, rng)


def _complete(cohorts, steps, at, its_steps, its_events, partner, rng):
    """Times and events of all endpoints, those of one put together with the others' of other cohorts."""
    claimed = cohorts.claimed
    steps, events = steps[partner].copy(), cohorts.events[partner].copy()
    steps[:, at], events[:, at] = its_steps, its_events
    if claimed.ordered:
        first, second = (claimed.endpoints.index(code) for code in claimed.ordered)
        whose = pair_at_random(steps[:, first], steps[:, second], claimed.codes, rng)
        for values in (steps, events):
            values[:, first] = np.take_along_axis(values[:, first], whose, axis=1)
    return steps * find_step(claimed), events
