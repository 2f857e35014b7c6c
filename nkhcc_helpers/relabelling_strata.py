"""Patients of a Cox model who agree in all covariates but one: the orders in which they may leave.

Patients who agree in the other covariates form a stratum, and only they are compared with each other: the
other coefficients then cancel, whatever they are, and nothing is left to estimate under the hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import prod

import numpy as np

from nkhcc_helpers.allocations import TOLERANCE, count_allocations
from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.logrank import RiskSets

MOST_LISTED = 20_000  # sequences of one stratum, and combinations of all strata but the largest
ALMOST_ONE = 1 - 1e-12  # keeps a product with a random number below the other factor


@dataclass(frozen=True)
class Stratum:
    """Patients who agree in all other covariates, in the order in which they leave.

    Attributes
    ----------
    values : ndarray of float, shape (n_values,)
        Distinct values of the covariate.
    labels : ndarray of int, shape (n_subjects,)
        Place of each one's value in `values`.
    event : ndarray of bool, shape (n_subjects,)
        Whether each leaves by an event; at tied times events come first.
    tied : ndarray of int, shape (n_subjects,)
        At the first event of a time, how many events there are; else 0.
    """

    values: np.ndarray
    labels: np.ndarray
    event: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, time, event, x):
        """Lay out the patients of a stratum with these times, boolean events and values."""
        order = np.lexsort((~event, time))
        time, event = time[order], event[order]
        values, labels = np.unique(x[order], return_inverse=True)
        deaths = time[event]
        tied = np.zeros(len(time), dtype=int)
        tied[np.searchsorted(time, np.unique(deaths))] = np.unique(deaths, return_counts=True)[1]
        return cls(values, labels, event, tied)

    @property
    def counts(self):
        """Patients with each value."""
        return np.bincount(self.labels)

    @property
    def n_sequences(self):
        """Orders of leaving that can be told apart."""
        return count_allocations(self.counts.tolist())

    @property
    def scores(self):
        """Log-rank scores of the patients within the stratum."""
        place = np.searchsorted(np.flatnonzero(self.tied), np.arange(len(self.tied)), side="right")
        return RiskSets.of(place + 0.5 * ~self.event, self.event).scores

    @property
    def centred(self):
        """The covariate of the patients less its mean."""
        value = self.values[self.labels]
        return value - value.mean()

    def calculate(self, labels, coef):
        """Score and chance of many orders of leaving.

        Parameters
        ----------
        labels : ndarray of int, shape (n_sequences, n_subjects)
        coef : float
            Log hazard ratio per unit.

        Returns
        -------
        score : ndarray of float, shape (n_sequences,)
            Sum over events of the value less its mean among those at risk (tied events by Breslow).
        log_chance : ndarray of float, shape (n_sequences,)
            Logarithm of the chance that these labels leave in this order, up to a constant.
        """
        linear = coef * self.values
        hazard = np.exp(linear - linear.max())
        at_risk = _sum_from_end(hazard[labels])
        starts = self.tied > 0
        mean = _sum_from_end((hazard * self.values)[labels])[:, starts] / at_risk[:, starts]
        score = self.values[labels] @ self.event - mean @ self.tied[starts]
        log_chance = linear[labels] @ self.event - np.log(at_risk[:, self.event]).sum(axis=1)
        return score, log_chance

    def list_scores(self, coef):
        """Score and probability of every order of leaving, each of shape (n_sequences,)."""
        score, log_chance = self.calculate(_list_sequences(tuple(self.counts.tolist())), coef)
        chance = np.exp(log_chance - log_chance.max())
        return score, chance / chance.sum()

    def draw_scores(self, uniforms, coef):
        """Score of orders of leaving drawn under a log hazard ratio.

        Parameters
        ----------
        uniforms : ndarray of float, shape (n_draws, n_subjects)
            Random numbers between 0 and 1; the same ones make draws under near coefficients alike.
        coef : float

        Returns
        -------
        ndarray of float, shape (n_draws,)
        """
        linear = coef * self.values
        hazard = np.exp(linear - linear.max())[:, None]
        left = np.repeat(self.counts.astype(float)[:, None], len(uniforms), axis=1)
        score = np.zeros(len(uniforms))
        for position, (event, tied) in enumerate(zip(self.event, self.tied, strict=True)):
            weight = left * hazard if event else left
            reached = np.cumsum(weight, axis=0)
            if tied:
                score -= tied * (self.values @ weight) / reached[-1]
            leaving = uniforms[:, position] * ALMOST_ONE * reached[-1] < reached
            leaving[1:] &= ~leaving[:-1]
            left -= leaving
            if event:
                score += self.values @ leaving
        return score


@dataclass(frozen=True)
class StratifiedScore:
    """The score of one covariate, summed over strata of patients who agree in all other covariates.

    Attributes
    ----------
    strata : tuple of Stratum
        Those that can tell: with an event while patients of different values are at risk.
    """

    strata: tuple

    @classmethod
    def of(cls, time, event, x, column):
        """Lay out the strata of a covariate.

        Parameters
        ----------
        time, event : array_like, shape (n_subjects,)
            Times and event indicators; see `checks.check_survival`.
        x : array_like, shape (n_subjects, n_covariates)
            Covariates of the model.
        column : int
            The covariate tested.

        Returns
        -------
        StratifiedScore

        Raises
        ------
        ValueError
            Bad times or events, or covariates that do not fit them.
        """
        time, event = check_survival(time, event)
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or len(x) != len(time) or not np.isfinite(x).all():
            raise ValueError(f"x must be finite numbers, a row for each of {len(time)} subjects")
        others = np.unique(np.delete(x, column, axis=1), axis=0, return_inverse=True)[1].ravel()
        members = [np.flatnonzero(others == place) for place in range(others.max() + 1)]
        strata = (Stratum.of(time[who], event[who], x[who, column]) for who in members)
        return cls(tuple(each for each in strata if _can_tell(each)))

    @property
    def n_subjects(self):
        """Patients in the strata."""
        return sum(len(each.labels) for each in self.strata)

    @property
    def n_allocations(self):
        """Relabellings within strata that can be told apart."""
        return prod(each.n_sequences for each in self.strata)

    @property
    def is_listed(self):
        """Whether few enough orders of leaving exist to list them."""
        numbers = sorted(each.n_sequences for each in self.strata)
        return bool(numbers) and numbers[-1] <= MOST_LISTED and prod(numbers[:-1]) <= MOST_LISTED

    def observe(self, coef):
        """Score of the order observed."""
        return float(sum(each.calculate(each.labels[None], coef)[0][0] for each in self.strata))

    def count_p(self, coef=0.0):
        """P-value of a coefficient over every order of leaving.

        Parameters
        ----------
        coef : float, default 0
            Log hazard ratio per unit under the hypothesis.

        Returns
        -------
        float
            Probability of a score at least as far from its mean as the observed one.
        """
        parts = sorted((each.list_scores(coef) for each in self.strata), key=lambda part: len(part[0]))
        expected = sum(float(score @ chance) for score, chance in parts)
        score, chance = np.zeros(1), np.ones(1)
        for more, its_chance in parts[:-1]:
            score = np.add.outer(score, more).ravel()
            chance = np.multiply.outer(chance, its_chance).ravel()
        bound = calculate_bound(self.observe(coef) - expected)
        if bound <= 0:
            return 1.0
        # The largest list is only searched, so that pairs are summed and not formed.
        last, its_chance = parts[-1]
        order = np.argsort(last)
        below = np.concatenate([[0.0], np.cumsum(its_chance[order])])
        above = np.concatenate([np.cumsum(its_chance[order][::-1])[::-1], [0.0]])
        upper = above[np.searchsorted(last[order], expected + bound - score, side="left")]
        lower = below[np.searchsorted(last[order], expected - bound - score, side="right")]
        return min(float(chance @ (upper + lower)), 1.0)

    def draw_p(self, uniforms, coef):
        """P-value of a coefficient over drawn orders of leaving.

        Parameters
        ----------
        uniforms : list of ndarray of float, shape (n_draws, n_subjects of the stratum)
            Random numbers of each stratum.
        coef : float

        Returns
        -------
        float
            (1 + count) / (1 + draws).
        """
        parts = zip(self.strata, uniforms, strict=True)
        score = sum(stratum.draw_scores(numbers, coef) for stratum, numbers in parts)
        # Without ties the mean is 0; with them it has to come from the draws.
        tied = any((each.tied > 1).any() for each in self.strata)
        expected = score.mean() if tied else 0.0
        bound = calculate_bound(self.observe(coef) - expected)
        return float(1 + (np.abs(score - expected) >= bound).sum()) / (1 + len(score))


def _can_tell(stratum):
    return len(stratum.values) > 1 and np.ptp(stratum.scores) > TOLERANCE


def _sum_from_end(values):
    return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]


@lru_cache(maxsize=32)
def _list_sequences(counts):
    """Every order of labels 0, 1, ... held so many times each, shape (n_sequences, n)."""
    sequences = np.zeros((1, counts[0]), dtype=np.int8)
    for label, number in enumerate(counts[1:], start=1):
        n = sequences.shape[1] + number
        chosen = np.zeros((count_allocations([number, n - number]), n), dtype=bool)
        places = np.array(list(combinations(range(n), number)))
        chosen[np.arange(len(chosen))[:, None], places] = True
        rest = np.nonzero(~chosen)[1].reshape(len(chosen), 1, -1)
        grown = np.full((len(chosen), len(sequences), n), label, dtype=np.int8)
        np.put_along_axis(grown, np.broadcast_to(rest, (*grown.shape[:2], rest.shape[2])), sequences, axis=2)
        sequences = grown.reshape(-1, n)
    sequences.setflags(write=False)
    return sequences


def calculate_bound(distance):
    """The distance from the mean that counts as reaching `distance`, but for rounding."""
    return abs(float(distance)) * (1 - TOLERANCE) - 1e-12
