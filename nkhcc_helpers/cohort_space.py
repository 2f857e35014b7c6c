"""The cohorts that could be for one endpoint: times on a grid with a prior, who may be censored and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from nkhcc_helpers.claimed_trial import convert


@dataclass(frozen=True)
class CohortSpace:
    """All cohorts of a trial for one endpoint, claims aside.

    A cohort is held as whole steps of the grid and boolean events, each of shape (n_patients,); many cohorts
    have one axis before.

    Attributes
    ----------
    step : float
        Length of one step of the grid, in the unit of the trial.
    log_mass : ndarray of float, shape (n_steps + 1,)
        Logarithm of the prior of each step; -inf outside the range.
    mass_below : ndarray of float, shape (n_steps + 2,)
        Prior of all steps before each.
    censored : tuple of (int, int)
        First and last step at which a patient may be censored.
    n_censored : tuple of (int, int)
        Fewest and most patients censored.
    n_patients : int
    log_choices : ndarray of float, shape (n_patients + 1,)
        Logarithm of the number of ways to choose so many patients.
    """

    step: float
    log_mass: np.ndarray
    mass_below: np.ndarray
    censored: tuple
    n_censored: tuple
    n_patients: int
    log_choices: np.ndarray

    @classmethod
    def of(cls, claimed, endpoint):
        """Lay out the space of one endpoint of a `ClaimedTrial`.

        Raises
        ------
        ValueError
            No time of the grid lies in the range, or none at which patients may be censored who must be.
        """
        assumed, n = claimed.assumptions, sum(claimed.sizes.values())
        step = find_step(claimed)
        first, last = _find_steps(assumed.shortest, assumed.longest, step)
        first = max(first, 1)
        if last < first:
            raise ValueError("no time at the recorded precision lies between shortest and longest")
        steps = np.arange(last + 1)
        weight = 1 / np.maximum(steps, 1) if assumed.prior == "log_uniform" else np.ones(len(steps))
        mass = np.where(steps >= first, weight, 0.0)
        mass /= mass.sum()
        with np.errstate(divide="ignore"):
            log_mass = np.log(mass)
        censored, n_censored = _find_censoring(endpoint, assumed, step, (first, last))
        some = np.arange(n + 1)
        log_choices = gammaln(n + 1) - gammaln(some + 1) - gammaln(n - some + 1)
        below = np.concatenate([[0.0], np.cumsum(mass)])
        return cls(step, log_mass, below, censored, (n_censored[0], min(n_censored[1], n)), n, log_choices)

    @property
    def last_step(self):
        """Last step of the grid."""
        return len(self.log_mass) - 1

    def draw(self, events, rng, room=None):
        """Draw steps from the prior, at which patients may have had the event or be censored.

        Parameters
        ----------
        events : ndarray of bool
        rng : numpy.random.Generator
        room : (ndarray of int, ndarray of int), optional
            First and last step that another endpoint leaves to each patient, shaped as `events`.

        Returns
        -------
        ndarray of int
            Shaped as `events`; a step out of range where there is no room.
        """
        first, end = self._find_range(events, room)
        low, high = self.mass_below[first], self.mass_below[end]
        place = low + rng.random(events.shape) * (high - low)
        drawn = np.searchsorted(self.mass_below, place, side="right") - 1
        return np.minimum(np.maximum(drawn, first), end - 1)

    def log_chance(self, steps, events, room=None):
        """Logarithm of the chance that `draw` gives each of these steps, shaped as `events`."""
        first, end = self._find_range(events, room)
        inside = (steps >= first) & (steps < end)
        mass = np.maximum(self.mass_below[end] - self.mass_below[first], 1e-300)
        return np.where(inside, self.log_mass[np.clip(steps, 0, self.last_step)] - np.log(mass), -np.inf)

    def is_possible(self, steps, events, room=None):
        """Whether each cohort keeps to the range and to who may be censored when, shape (n_cohorts,)."""
        first, end = self._find_range(events, room)
        n_censored = self.n_patients - events.sum(axis=1)
        possible = ((steps >= first) & (steps < end)).all(axis=1)
        return possible & (n_censored >= self.n_censored[0]) & (n_censored <= self.n_censored[1])

    def log_prior(self, steps, events):
        """Logarithm of the prior of possible cohorts, but for a constant, shape (n_cohorts,).

        Times are independent; every number of censored patients is as likely as any other, and any patients
        may be those.
        """
        n_censored = self.n_patients - events.sum(axis=1)
        return self.log_mass[steps].sum(axis=1) - self.log_choices[n_censored]

    def draw_start(self, rank, rng, room=None):
        """Draw cohorts to start from: times from the prior, as few censored as may be.

        Parameters
        ----------
        rank : ndarray of int, shape (n_cohorts, n_patients)
            Order of the patients in which they are censored.
        rng : numpy.random.Generator
        room : (ndarray of int, ndarray of int), optional
            As in `draw`.

        Returns
        -------
        steps, events : ndarray, shape (n_cohorts, n_patients)
        """
        events = rank >= self.n_censored[0]
        return self.draw(events, rng, room), events

    def _find_range(self, events, room):
        """First step, and the one after the last, that each patient may have."""
        if self.n_censored[1]:
            first = np.where(events, 0, self.censored[0])
            end = np.where(events, self.last_step, self.censored[1]) + 1
        else:
            first, end = np.zeros(events.shape, dtype=int), np.full(events.shape, self.last_step + 1)
        if room is None:
            return first, end
        first = np.maximum(first, room[0])
        return first, np.maximum(np.minimum(end, room[1] + 1), first)


def find_step(claimed):
    """Length of one step of the grid of times of a `ClaimedTrial`, in its unit."""
    assumed = claimed.assumptions
    return 10.0**-assumed.recorded_decimals * convert(assumed.recorded_unit, claimed.unit)


def _find_steps(shortest, longest, step):
    return int(np.ceil(shortest / step - 1e-9)), int(np.floor(longest / step + 1e-9))


def _find_censoring(endpoint, assumed, step, limits):
    """When patients may be censored, in steps, and how many."""
    for each in assumed.censored:
        if each.endpoint == endpoint:
            earliest = assumed.shortest if each.earliest is None else each.earliest
            latest = assumed.longest if each.latest is None else each.latest
            first, last = _find_steps(earliest, latest, step)
            first, last = max(first, limits[0]), min(last, limits[1])
            if last >= first:
                return (first, last), (each.fewest, each.most)
            if each.fewest:
                raise ValueError(f"patients must be censored for {endpoint}, but at no time that can be")
    return limits, (0, 0)
