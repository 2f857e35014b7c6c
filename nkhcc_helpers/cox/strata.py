"""Patients of a Cox model who agree in all covariates but one, and the score of the orders they leave in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nkhcc_helpers.survival.exact import count_allocations, list_labels

ALMOST_ONE = 1 - 1e-12  # keeps a product with a random number below the other factor


@dataclass(frozen=True)
class Stratum:
    """Patients who agree in all other covariates, in the order in which they leave, in each of many cohorts.

    Attributes
    ----------
    values : ndarray of float, shape (n_values,)
        Distinct values of the covariate.
    labels : ndarray of int, shape (n_cohorts, n_subjects)
        Place of each one's value in `values`.
    event : ndarray of bool, shape (n_cohorts, n_subjects)
        Whether each leaves by an event; at tied times events come first.
    tied : ndarray of int, shape (n_cohorts, n_subjects)
        At the first event of a time, how many events there are; else 0.

    Notes
    -----
    A cohort where all at risk at the first event have an event then cannot tell; it has no events here.
    """

    values: np.ndarray
    labels: np.ndarray
    event: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, times, events, x):
        """Lay out patients with these times and events, shape (n_cohorts, n_subjects), and values."""
        order = np.lexsort((~events, times))
        times, events = np.take_along_axis(times, order, 1), np.take_along_axis(events, order, 1)
        values, labels = np.unique(x, return_inverse=True)
        is_first = events & (np.diff(times, prepend=-1.0) > 0)
        together = (times[:, :, None] == times[:, None, :]) & events[:, None, :]
        tied = np.where(is_first, together.sum(axis=2), 0)
        first = is_first.argmax(axis=1)
        n_first = np.take_along_axis(tied, first[:, None], 1)[:, 0]
        tells = events.any(axis=1) & (n_first < times.shape[1] - first) & (len(values) > 1)
        return cls(values, labels[order], events & tells[:, None], tied * tells[:, None])

    @property
    def tells(self):
        """Whether each cohort can tell, shape (n_cohorts,)."""
        return self.event.any(axis=1)

    @property
    def counts(self):
        """Patients with each value."""
        return np.bincount(self.labels[0])

    @property
    def n_orders(self):
        """Orders of leaving that can be told apart."""
        return count_allocations(self.counts.tolist())

    def observe(self, coef, cohorts=slice(None)):
        """Score and information of the order observed, each of shape (n_cohorts,)."""
        labels, event, tied = self.labels[cohorts], self.event[cohorts], self.tied[cohorts]
        left = count_left(labels.T, len(self.values))
        _, mean, variance = self._describe(left, self._find_hazard(coef))
        return (event * self.values[labels] - tied * mean.T).sum(axis=1), (tied * variance.T).sum(axis=1)

    def list_scores(self, coef, cohorts=slice(None), orders=None):
        """Score, information and probability of every order of leaving.

        Parameters
        ----------
        coef : float
            Log hazard ratio per unit.
        cohorts : slice, optional
        orders : Orders, optional
            Some orders in place of all.

        Returns
        -------
        score : ndarray of float, shape (n_cohorts, n_orders)
            Sum over events of the value less its mean among those at risk (tied events by Breslow).
        information : ndarray of float, shape (n_cohorts, n_orders)
            Sum over events of the variance of the value among those at risk.
        chance : ndarray of float, shape (n_cohorts, n_orders)
        """
        event, tied, hazard = self.event[cohorts], self.tied[cohorts], self._find_hazard(coef)
        orders = orders or list_orders(tuple(self.counts.tolist()))
        total, mean, variance = self._describe(orders.states, hazard)
        mean, variance, log_total = (np.take(each, orders.at) for each in (mean, variance, np.log(total)))
        leaving = event @ np.take(self.values, orders.labels)
        log_chance = coef * leaving - event @ log_total
        chance = np.exp(log_chance - log_chance.max(axis=1, keepdims=True))
        return leaving - tied @ mean, tied @ variance, chance / chance.sum(axis=1, keepdims=True)

    def draw_scores(self, uniforms, coef, cohort=0):
        """Score and information of orders of leaving drawn under a log hazard ratio.

        Parameters
        ----------
        uniforms : ndarray of float, shape (n_subjects, n_draws)
            Random numbers between 0 and 1; the same ones make draws under near coefficients alike.
        coef : float
        cohort : int, default 0

        Returns
        -------
        score, information : ndarray of float, shape (n_draws,)
        """
        event, tied, hazard = self.event[cohort], self.tied[cohort], self._find_hazard(coef)
        left = np.repeat(self.counts.astype(float)[:, None], uniforms.shape[1], axis=1)
        score, information = np.zeros((2, uniforms.shape[1]))
        for place in range(np.flatnonzero(event).max(initial=-1) + 1):
            reached = np.cumsum(left * hazard[:, None] if event[place] else left, axis=0)
            if tied[place]:
                _, mean, variance = self._describe(left, hazard)
                score -= tied[place] * mean
                information += tied[place] * variance
            leaving = uniforms[place] * ALMOST_ONE * reached[-1] < reached
            leaving[1:] &= ~leaving[:-1]
            left -= leaving
            if event[place]:
                score += self.values @ leaving
        return score, information

    def _find_hazard(self, coef):
        linear = coef * self.values
        return np.exp(linear - linear.max())

    def _describe(self, left, hazard):
        """Hazard of those at risk together, and the mean and variance of the covariate among them."""
        weight = left * hazard[:, None]
        total = weight.sum(axis=-2)
        share = weight / total[..., None, :]
        mean = self.values @ share
        return total, mean, (share * (self.values[:, None] - mean[..., None, :]) ** 2).sum(axis=-2)


@dataclass(frozen=True)
class Orders:
    """Orders of leaving of patients with labels 0, 1, ..., and who is left on the way.

    Attributes
    ----------
    labels : ndarray of int, shape (n_subjects, n_orders)
        Who leaves at each place.
    states : ndarray of int, shape (n_labels, n_states)
        Patients of each label that may be left together.
    at : ndarray of int, shape (n_subjects, n_orders)
        Which state stands at each place, before someone leaves.
    """

    labels: np.ndarray
    states: np.ndarray
    at: np.ndarray


@lru_cache(maxsize=16)
def list_orders(counts):
    """List every order of leaving that can be told apart.

    Parameters
    ----------
    counts : tuple of int
        Patients with each label.

    Returns
    -------
    Orders
    """
    labels = np.ascontiguousarray(list_labels(counts).T)
    left = count_left(labels, len(counts))
    sizes = [number + 1 for number in counts]
    # Nobody left is no state, so that all others move up by one.
    states = np.indices(sizes).reshape(len(counts), -1)[:, 1:]
    at = np.ravel_multi_index(tuple(left.swapaxes(0, 1)), sizes) - 1
    for each in (labels, states, at):
        each.setflags(write=False)
    return Orders(labels, states, at)


def draw_orders(counts, n_draws, rng):
    """Draw orders of leaving, each as likely as any other.

    Parameters
    ----------
    counts : sequence of int
        Patients with each label.
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    Orders
    """
    labels = rng.permuted(np.tile(np.repeat(np.arange(len(counts)), counts), (n_draws, 1)), axis=1).T
    states = count_left(labels, len(counts)).swapaxes(0, 1).reshape(len(counts), -1)
    return Orders(labels, states, np.arange(labels.size).reshape(labels.shape))


def count_left(labels, n_labels):
    """Count those who have not left.

    Parameters
    ----------
    labels : ndarray of int, shape (n_subjects, n_orders)
        Who leaves at each place.
    n_labels : int

    Returns
    -------
    ndarray of int, shape (n_subjects, n_labels, n_orders)
        Before someone leaves at each place.
    """
    leaving = labels[:, None, :] == np.arange(n_labels)[:, None]
    return np.cumsum(leaving[::-1], axis=0)[::-1]
