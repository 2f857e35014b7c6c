"""Cohorts that meet a trial's claims, found from the trial itself in little time, where any such will do."""

import numpy as np
from claimed_trials import measure_claims

from nkhcc_helpers.compatible.cohorts import CompatibleCohorts
from nkhcc_helpers.compatible.space import find_step

N_WALKERS, N_MOVES, MOST_MOVES = 60, 150, 5_000


class Walkers:
    """Cohorts side by side, whose patients' times move, seldom farther from the claims and never off them."""

    def __init__(self, trial, claimed, seed):
        self.claimed, self.step, self.rng = claimed, find_step(claimed), np.random.default_rng(seed)
        frames = [trial.survival(code).set_index("USUBJID") for code in claimed.endpoints]
        order = frames[0].sort_values("group", kind="stable").index
        times = np.stack([frame.loc[order, "time"] / self.step for frame in frames]).round().astype(int)
        events = np.stack([frame.loc[order, "event"].to_numpy(bool) for frame in frames])
        self.steps, self.events = (np.repeat(each[None], N_WALKERS, axis=0) for each in (times, events))
        self.distances = np.stack([self.measure(at, self.steps) for at in range(len(frames))], axis=1)

    def measure(self, at, steps):
        code = self.claimed.endpoints[at]
        return measure_claims(self.claimed, code, steps[:, at], self.events[:, at]).sum(axis=1)

    def move(self):
        n_walkers, n_endpoints, n_patients = self.steps.shape
        at, moved = self.rng.integers(n_endpoints), self.steps.copy()
        place = np.arange(n_walkers), at, self.rng.integers(n_patients, size=n_walkers)
        moved[place] = np.round(moved[place] * np.exp(self.rng.normal(0, 0.5, n_walkers)))
        assumed, times, reached = self.claimed.assumptions, moved[place] * self.step, self.measure(at, moved)
        may = (times >= assumed.shortest) & (times <= assumed.longest)
        if self.claimed.ordered:
            first, second = (self.claimed.endpoints.index(code) for code in self.claimed.ordered)
            may &= (moved[:, first] <= moved[:, second]).all(axis=1)
        now = self.distances[:, at]
        lost = np.where(now > 0, np.maximum(reached - now, 0), np.where(reached > 0, np.inf, 0))
        may &= self.rng.random(n_walkers) < np.exp(-lost)
        self.steps[may], self.distances[may, at] = moved[may], reached[may]


def wander(trial, claimed, n_cohorts, *, seed=1):
    """So many cohorts that meet every claim, each of a chain of its own."""
    walkers = Walkers(trial, claimed, seed)
    for _ in range(MOST_MOVES):
        if not walkers.distances.any(axis=1).all():
            break
        walkers.move()
    met = np.resize(np.flatnonzero(~walkers.distances.any(axis=1)), N_WALKERS)
    walkers.steps, walkers.distances = walkers.steps[met], walkers.distances[met]
    for _ in range(N_MOVES):
        walkers.move()
    kept = np.arange(n_cohorts)
    chain, late = (np.stack([each] * len(claimed.endpoints), axis=1) for each in (kept, kept % 4 >= 2))
    times, events = walkers.steps[kept] * walkers.step, walkers.events[kept]
    return CompatibleCohorts(claimed, times, events, chain, kept % 2, late, seed)
