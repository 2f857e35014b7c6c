"""The cohorts that could be for one endpoint, and what chains draw of them: patients, groups, partners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from nkhcc_helpers.survival.logrank import OrderedCohorts
from nkhcc_helpers.trial.metadata import convert

NEAR_CLAIM = 0.5  # share of times drawn near a claimed one
FREE, ONE, PAIR = 0.2, 0.4, 0.4  # shares of the three ways to draw a group with a claimed median


@dataclass(frozen=True)
class CohortSpace:
    """All cohorts of a trial for one endpoint, claims aside: times on a grid with a prior, and censoring.

    A cohort is held as whole steps of the grid and boolean events, each of shape (n_patients,); many cohorts
    have one axis before.
    """

    codes: np.ndarray  # group of each patient, counted from 0
    step: float  # length of one step of the grid, in the unit of the trial
    log_mass: np.ndarray  # (n_groups, n_steps + 1), log prior of each step; -inf outside the range
    mass_below: np.ndarray  # (n_groups, n_steps + 2), prior of all steps before each
    censored: tuple  # first and last step at which a patient may be censored
    n_censored: tuple  # fewest and most patients censored
    log_window: float  # log prior, without tilt, of the steps at which patients may be censored
    log_choices: np.ndarray  # (n_patients + 1,), log number of ways to choose so many patients
    near: np.ndarray  # (n_steps + 1,), chance of each step where times are drawn near claimed ones
    near_below: np.ndarray  # its sums

    @classmethod
    def of(cls, claimed, endpoint, tilt=None, windows=()):
        """Lay out the space of one endpoint; `tilt`, shape (n_groups, n_steps + 1), multiplies the prior.

        `windows` are limits of claimed medians, in steps, near which some new times are proposed.
        Raises ValueError where no time of the grid lies in the range, or none at which patients may be
        censored who must be.
        """
        assumed, n = claimed.assumptions, len(claimed.codes)
        step = find_step(claimed)
        first, last = round_inside(assumed.shortest / step, assumed.longest / step)
        first = max(first, 1)
        if last < first:
            raise ValueError("no time at the recorded precision lies between shortest and longest")
        steps = np.arange(last + 1)
        weight = 1 / np.maximum(steps, 1) if assumed.prior == "log_uniform" else np.ones(len(steps))
        prior = np.where(steps >= first, weight, 0.0) / weight[first:].sum()
        mass = prior * np.ones((len(claimed.groups), 1)) * (1.0 if tilt is None else tilt)
        mass /= mass.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            log_mass = np.log(mass)
        censored, n_censored = _find_censoring(endpoint, assumed, step, (first, last))
        some = np.arange(n + 1)
        log_choices = gammaln(n + 1) - gammaln(some + 1) - gammaln(n - some + 1)
        below = np.pad(np.cumsum(mass, axis=1), ((0, 0), (1, 0)))
        n_censored = n_censored[0], min(n_censored[1], n)
        log_window = float(np.log(prior[censored[0] : censored[1] + 1].sum()))
        near = np.zeros(last + 1)
        for window in windows:
            low, high = round_inside(*window)
            near[low : high + 1] += 1 / max(high - low + 1, 1)
        near = near if near.any() else np.exp(log_mass.mean(axis=0))
        near /= near.sum()
        censoring = censored, n_censored, log_window, log_choices
        return cls(claimed.codes, step, log_mass, below, *censoring, near, np.cumsum(near))

    @property
    def last_step(self):
        """Last step of the grid."""
        return self.log_mass.shape[1] - 1

    @property
    def censored_share(self):
        """Share of patients censored, in the middle of the range and not 0 or 1 if it may be otherwise."""
        fewest, most = self.n_censored
        return np.clip((fewest + most) / 2 / len(self.codes), 0.02, 0.98) if most else 0.0

    def draw(self, events, codes, rng):
        """Steps drawn from the prior for patients of groups `codes`, as `events` allow, shaped so."""
        first, end = self._find_range(events)
        low, high = self.mass_below[codes, first], self.mass_below[codes, end]
        place = low + rng.random(events.shape) * (high - low)
        # One sorted list for all groups: each group's sums, which end at 1, stand 2 above the one before.
        raised = self.mass_below + 2 * np.arange(len(self.mass_below))[:, None]
        drawn = np.searchsorted(raised.ravel(), place + 2 * codes, side="right") - 1
        return np.clip(drawn - codes * raised.shape[1], first, end - 1)

    def log_chance(self, steps, events, codes):
        """Logarithm of the chance that `draw` gives each of these steps, shaped as `events`."""
        first, end = self._find_range(events)
        mass = np.maximum(self.mass_below[codes, end] - self.mass_below[codes, first], 1e-300)
        return self._find_log_mass(steps, codes, first, end) - np.log(mass)

    def propose(self, events, codes, rng):
        """Draw a step for each patient from the prior, or near a claimed median; as `draw`."""
        drawn = self.draw(events, codes, rng)
        is_near = rng.random(len(events)) < NEAR_CLAIM
        place = np.searchsorted(self.near_below, rng.random(is_near.sum()), side="right")
        drawn[is_near] = np.minimum(place, self.last_step)
        return drawn

    def log_chance_of_proposal(self, steps, events, codes):
        """Logarithm of the chance that `propose` gives these steps."""
        free = np.exp(self.log_chance(steps, events, codes))
        near = self.near[np.clip(steps, 0, self.last_step)]
        return np.log(np.maximum((1 - NEAR_CLAIM) * free + NEAR_CLAIM * near, 1e-300))

    def log_prior(self, steps, events, codes):
        """Logarithm of the prior of some patients' times, given who is censored, shape (n_cohorts,).

        It is relative to the prior's mass, without tilt, of the steps at which patients may be censored: more
        room to be censored in does not make that more likely.
        """
        log_mass = self._find_log_mass(steps, codes, *self._find_range(events))
        return log_mass.sum(axis=1) - self.log_window * (~events).sum(axis=1)

    def log_chance_of_censored(self, n_censored):
        """Logarithm of the prior of the censored patients: any number in range, any patients, alike."""
        possible = (n_censored >= self.n_censored[0]) & (n_censored <= self.n_censored[1])
        return np.where(possible, -self.log_choices[n_censored], -np.inf)

    def _find_log_mass(self, steps, codes, first, end):
        """Logarithm of the prior of steps, -inf outside of the range of each patient."""
        inside = (steps >= first) & (steps < end)
        return np.where(inside, self.log_mass[codes, np.clip(steps, 0, self.last_step)], -np.inf)

    def _find_range(self, events):
        """First step, and the one after the last, that each patient may have."""
        if not self.n_censored[1]:
            return np.zeros(events.shape, dtype=int), np.full(events.shape, self.last_step + 1)
        return np.where(events, 0, self.censored[0]), np.where(events, self.last_step, self.censored[1]) + 1


def find_step(claimed):
    """Length of one step of the grid of times of a `ClaimedTrial`, in its unit."""
    assumed = claimed.assumptions
    return 10.0**-assumed.recorded_decimals * convert(assumed.recorded_unit, claimed.unit)


def round_inside(low, high):
    """First and last whole steps between limits, the last before the first where there are none."""
    return np.ceil(low - 1e-9).astype(int), np.floor(high + 1e-9).astype(int)


def _find_censoring(endpoint, assumed, step, limits):
    """When patients may be censored, in steps, and how many."""
    for each in assumed.censored:
        if each.endpoint == endpoint:
            earliest = assumed.shortest if each.earliest is None else each.earliest
            latest = assumed.longest if each.latest is None else each.latest
            first, last = round_inside(earliest / step, latest / step)
            first, last = max(first, limits[0]), min(last, limits[1])
            if last >= first:
                return (first, last), (each.fewest, each.most)
            if each.fewest:
                raise ValueError(f"patients must be censored for {endpoint}, but at no time that can be")
    return limits, (0, 0)


@dataclass(frozen=True)
class GroupDraws:
    """Draws of one group from a mixture in which the claims about it are often met.

    A median is met by one patient at a time that rounds to it, or by two whose middle does; left to the prior
    either is rare. So in some draws one patient's time is put there, in others one of two is put opposite the
    other. The chance of each draw is known, so that Markov chains can allow for it.
    """

    space: CohortSpace
    members: np.ndarray  # places of the group's patients in a cohort
    claims: tuple  # those of `lay_out_claims` that concern the group
    windows: tuple  # limits of its claimed medians, in steps

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
            at = rng.integers(*_find_steps(window))
            opposite = rng.integers(*_find_steps(2 * window)) - steps[rows, other]
            moved = np.where(way < ONE, at, opposite)
            kept = way >= (ONE + PAIR if n > 1 else ONE)
            steps[rows, one] = np.where(kept, steps[rows, one], moved)
        found = np.flatnonzero(np.isfinite(self.weigh_freely(steps, events)))
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

    def _weigh_window(self, steps, rarity, window):
        """How many times as often groups are drawn for a claimed median as from the prior alone."""
        n = steps.shape[1]
        low, end = _find_steps(window)
        ones = ((steps >= low) & (steps < end)) * rarity / (end - low)
        if n == 1:
            return FREE + PAIR + ONE * ones[:, 0]
        low, end = _find_steps(2 * np.array(window))
        middles = steps[:, :, None] + steps[:, None, :]
        pairs = ((middles >= low) & (middles < end)) * rarity[:, None, :] / (end - low)
        pairs[:, np.arange(n), np.arange(n)] = 0
        return FREE + ONE * ones.mean(axis=1) + PAIR * pairs.sum(axis=(1, 2)) / (n * (n - 1))

    def meets(self, steps, events):
        """Whether groups meet the claims about the group alone, shape (n,)."""
        met = np.ones(len(steps), dtype=bool)
        if self.claims:
            ordered = OrderedCohorts.of(steps, events)
            for each in self.claims:
                met &= each.measure(ordered) == 0
        return met

    def is_found(self, effort, rng):
        """Whether groups that meet the claims are found often enough to draw them."""
        n_found = n_drawn = 0
        while n_found < effort.fewest_found and n_drawn < effort.most_drawn and not effort.until.is_over:
            n_found, n_drawn = n_found + len(self.draw(effort.drawn, rng)[0]), n_drawn + effort.drawn
        return n_found >= effort.fewest_found


def _find_steps(window):
    """First step between limits and the one after the last; one step outside where there is none between."""
    low, high = round_inside(*window)
    return low, np.maximum(low, high) + 1


@dataclass(frozen=True)
class Partners:
    """Cohorts of the other endpoint, each of which may go together with a chain's cohort."""

    steps: np.ndarray  # (n_partners, n_patients)
    log_weight: np.ndarray  # (n_partners,)
    codes: np.ndarray  # group of each patient
    are_later: bool  # whether theirs is the endpoint that is never the earlier one

    def __len__(self):
        return len(self.steps)

    def weigh(self, group, steps, chosen):
        """Logarithm of the share of a group's pairings that keep the order, shape (n_cohorts,).

        `steps`, shape (n_cohorts, n_members), are the group's in each chain, `chosen` the partner of each.
        """
        others = self.steps[chosen][:, self.codes == group]
        return log_share_in_order(*((steps, others) if self.are_later else (others, steps)))


def log_share_in_order(first, second):
    """Logarithm of the share of all pairings with no first time after its second one, shape (n_cohorts,).

    `first` and `second`, shape (n_cohorts, n_members), are the times of one group in two endpoints. In order
    of the second times, each patient has as many first times to choose from as are not after, less those
    already given away.
    """
    second, n = np.sort(second, axis=1), second.shape[1]
    n_left = (first[:, None, :] <= second[:, :, None]).sum(axis=2) - np.arange(n)
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(n_left, 0)).sum(axis=1) - gammaln(n + 1)


def pair_at_random(first, second, codes, rng):
    """Whose first time goes to each patient, shape (n_cohorts, n_patients); pairings in order are as likely.

    `first` and `second` are times put together in any order within groups. Raises ValueError where no pairing
    of some cohort keeps the order.
    """
    rows, chosen = np.arange(len(first)), np.zeros(first.shape, dtype=int)
    is_free = np.ones(first.shape, dtype=bool)
    for group in np.unique(codes):
        members = np.flatnonzero(codes == group)
        for patient in members[np.argsort(second[:, members], axis=1)].T:
            can = is_free & (codes == group) & (first <= second[rows, patient][:, None])
            if not can.any(axis=1).all():
                raise ValueError("no pairing keeps the order of the endpoints")
            whose = np.where(can, rng.random(can.shape), -1.0).argmax(axis=1)
            chosen[rows, patient], is_free[rows, whose] = whose, False
    return chosen
