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
    codes : ndarray of int, shape (n_patients,)
        Group of each patient, counted from 0.
    step : float
        Length of one step of the grid, in the unit of the trial.
    log_mass : ndarray of float, shape (n_groups, n_steps + 1)
        Logarithm of the prior of each step for a patient of each group; -inf outside the range.
    mass_below : ndarray of float, shape (n_groups, n_steps + 2)
        Prior of all steps before each.
    censored : tuple of (int, int)
        First and last step at which a patient may be censored.
    n_censored : tuple of (int, int)
        Fewest and most patients censored.
    log_window : float
        Logarithm of the prior, without tilt, of the steps at which patients may be censored.
    log_choices : ndarray of float, shape (n_patients + 1,)
        Logarithm of the number of ways to choose so many patients.
    """

    codes: np.ndarray
    step: float
    log_mass: np.ndarray
    mass_below: np.ndarray
    censored: tuple
    n_censored: tuple
    log_window: float
    log_choices: np.ndarray

    @classmethod
    def of(cls, claimed, endpoint, tilt=None):
        """Lay out the space of one endpoint of a `ClaimedTrial`.

        Parameters
        ----------
        claimed : ClaimedTrial
        endpoint : str
        tilt : ndarray of float, shape (n_groups, n_steps + 1), optional
            What the prior of each step is multiplied by.

        Raises
        ------
        ValueError
            No time of the grid lies in the range, or none at which patients may be censored who must be.
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
        return cls(claimed.codes, step, log_mass, below, censored, n_censored, log_window, log_choices)

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
        """Draw steps from the prior, at which patients may have had the event or be censored.

        Parameters
        ----------
        events : ndarray of bool
        codes : int or ndarray of int
            Group of each patient, of a shape that goes with `events`.
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of int
            Shaped as `events`.
        """
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
        inside = (steps >= first) & (steps < end)
        mass = np.maximum(self.mass_below[codes, end] - self.mass_below[codes, first], 1e-300)
        known = self.log_mass[codes, np.clip(steps, 0, self.last_step)]
        return np.where(inside, known - np.log(mass), -np.inf)

    def log_prior(self, steps, events, codes):
        """Logarithm of the prior of some patients' times, given who is censored, shape (n_cohorts,).

        It is relative to the prior's mass, without tilt, of the steps at which patients may be censored: more
        room to be censored in does not make that more likely.
        """
        first, end = self._find_range(events)
        inside = (steps >= first) & (steps < end)
        log_mass = np.where(inside, self.log_mass[codes, np.clip(steps, 0, self.last_step)], -np.inf)
        return log_mass.sum(axis=1) - self.log_window * (~events).sum(axis=1)

    def log_chance_of_censored(self, n_censored):
        """Logarithm of the prior of the censored patients: any number in range, any patients, alike."""
        possible = (n_censored >= self.n_censored[0]) & (n_censored <= self.n_censored[1])
        return np.where(possible, -self.log_choices[n_censored], -np.inf)

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
