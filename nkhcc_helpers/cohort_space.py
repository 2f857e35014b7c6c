"""The cohorts that could be: times on a grid with a prior, who may be censored and when, PFS before OS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from nkhcc_helpers.claimed_trial import convert


@dataclass(frozen=True)
class CohortSpace:
    """All cohorts of a trial, claims aside.

    A cohort is held as whole steps of the grid and boolean events, each of shape (n_endpoints, n_patients);
    many cohorts have one axis before.

    Attributes
    ----------
    step : float
        Length of one step of the grid, in the unit of the trial.
    log_mass : ndarray of float, shape (n_steps + 1,)
        Logarithm of the prior of each step; -inf outside the range.
    mass_below : ndarray of float, shape (n_steps + 2,)
        Prior of all steps before each.
    first_censored, last_censored : ndarray of int, shape (n_endpoints,)
        Steps between which a patient may be censored.
    fewest_censored, most_censored : ndarray of int, shape (n_endpoints,)
    ordered : tuple of (int, int) or None
        Endpoints of which the first is never later than the second.
    n_patients : int
    log_choices : ndarray of float, shape (n_patients + 1,)
        Logarithm of the number of ways to choose so many patients.
    """

    step: float
    log_mass: np.ndarray
    mass_below: np.ndarray
    first_censored: np.ndarray
    last_censored: np.ndarray
    fewest_censored: np.ndarray
    most_censored: np.ndarray
    ordered: tuple | None
    n_patients: int
    log_choices: np.ndarray

    @classmethod
    def of(cls, claimed):
        """Lay out the space of a `ClaimedTrial`.

        Raises
        ------
        ValueError
            No time of the grid lies in the range, or `censored` names an endpoint without claims.
        """
        assumed, n = claimed.assumptions, sum(claimed.sizes.values())
        step = 10.0**-assumed.recorded_decimals * convert(assumed.recorded_unit, claimed.unit)
        first, last = np.ceil(assumed.shortest / step - 1e-9), np.floor(assumed.longest / step + 1e-9)
        if last < first:
            raise ValueError("no time at the recorded precision lies between shortest and longest")
        steps = np.arange(last + 1)
        weight = 1 / np.maximum(steps, 1) if assumed.prior == "log_uniform" else np.ones_like(steps)
        mass = np.where(steps >= max(first, 1), weight, 0.0)
        with np.errstate(divide="ignore"):
            log_mass = np.log(mass / mass.sum())
        limits = [_list_censoring(code, assumed, n, step, (first, last)) for code in claimed.endpoints]
        ordered = tuple(map(claimed.endpoints.index, claimed.ordered)) if claimed.ordered else None
        below = np.concatenate([[0.0], np.cumsum(mass / mass.sum())])
        some = np.arange(n + 1)
        log_choices = gammaln(n + 1) - gammaln(some + 1) - gammaln(n - some + 1)
        return cls(step, log_mass, below, *np.array(limits).T, ordered, n, log_choices)

    @property
    def last_step(self):
        """Last step of the grid."""
        return len(self.log_mass) - 1

    def draw_between(self, lowest, highest, rng):
        """Draw steps from the prior between two limits, each an array of one shape."""
        low, high = self.mass_below[lowest], self.mass_below[highest + 1]
        place = low + rng.random(np.shape(lowest)) * (high - low)
        drawn = np.searchsorted(self.mass_below, place, side="right") - 1
        return np.clip(drawn, lowest, highest)

    def measure_between(self, lowest, highest):
        """Prior of the steps between two limits, limits included; 0 where there are none."""
        high = np.maximum(highest, lowest - 1)
        return np.maximum(self.mass_below[high + 1] - self.mass_below[lowest], 0.0)

    def list_limits(self, steps, events, endpoint, patient):
        """First and last step that a patient may have, given the other endpoints and who is censored."""
        rows = np.arange(len(steps))
        lowest = np.zeros(len(steps), dtype=int)
        highest = np.full(len(steps), self.last_step)
        if self.ordered and endpoint in self.ordered:
            first, second = self.ordered
            if endpoint == first:
                highest = steps[rows, second, patient].astype(int)
            else:
                lowest = steps[rows, first, patient].astype(int)
        censored = ~events[rows, endpoint, patient]
        lowest = np.where(censored, np.maximum(lowest, self.first_censored[endpoint]), lowest)
        highest = np.where(censored, np.minimum(highest, self.last_censored[endpoint]), highest)
        return lowest, highest

    def is_possible(self, steps, events):
        """Whether each cohort keeps to the range, the censoring and the order, shape (n_cohorts,)."""
        censored = ~events
        inside = (steps >= self.first_censored[:, None]) & (steps <= self.last_censored[:, None])
        n_censored = censored.sum(axis=2)
        possible = (inside | events).all(axis=(1, 2))
        possible &= ((n_censored >= self.fewest_censored) & (n_censored <= self.most_censored)).all(axis=1)
        possible &= (steps >= 0).all(axis=(1, 2)) & (steps <= self.last_step).all(axis=(1, 2))
        if self.ordered:
            first, second = self.ordered
            possible &= (steps[:, first] <= steps[:, second]).all(axis=1)
        return possible

    def log_prior(self, steps, events):
        """Logarithm of the prior of possible cohorts, but for a constant, shape (n_cohorts,).

        Times are independent; every number of censored patients is as likely as any other, and any patients
        may be those.
        """
        n_censored = self.n_patients - events.sum(axis=2)
        return self.log_mass[steps].sum(axis=(1, 2)) - self.log_choices[n_censored].sum(axis=1)

    def draw_start(self, n_cohorts, rng):
        """Draw possible cohorts to start from: times from the prior, as few censored as may be."""
        n_endpoints = len(self.fewest_censored)
        shape = (n_cohorts, n_endpoints, self.n_patients)
        # One order of patients for all endpoints, so that who is censored for one is so for the other.
        rank = rng.random((n_cohorts, 1, self.n_patients)).argsort(axis=2).argsort(axis=2)
        fewest = self.fewest_censored.copy()
        if self.ordered:
            fewest[self.ordered[1]] = max(fewest[list(self.ordered)])
        events = np.broadcast_to(rank >= fewest[None, :, None], shape).copy()
        steps = np.zeros(shape, dtype=int)
        second_first = sorted(range(n_endpoints), key=lambda e: bool(self.ordered) and e == self.ordered[0])
        for endpoint in second_first:
            for patient in range(self.n_patients):
                who = np.full(n_cohorts, patient)
                limits = self.list_limits(steps, events, endpoint, who)
                steps[:, endpoint, patient] = self.draw_between(*limits, rng)
        return steps, events


def _list_censoring(code, assumed, n, step, limits):
    """First and last step of censoring, fewest and most patients, of one endpoint."""
    for each in assumed.censored:
        if each.endpoint == code:
            first = limits[0] if each.earliest is None else np.ceil(each.earliest / step - 1e-9)
            last = limits[1] if each.latest is None else np.floor(each.latest / step + 1e-9)
            return int(max(first, limits[0])), int(min(last, limits[1])), each.fewest, min(each.most, n)
    return int(limits[0]), int(limits[1]), 0, 0
