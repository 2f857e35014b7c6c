"""Stratified score test of one covariate of a Cox model, in many cohorts of one design at once.

Patients who agree in the other covariates form a stratum, and only they are compared with each other: the
other coefficients then cancel, whatever they are, and nothing is left to estimate under the hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.cox.strata import Stratum, draw_orders
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

MOST_LISTED = 2_000_000  # orders of leaving of all strata together
MOST_LISTED_EACH = 20_000  # the same, of each of many cohorts
MOST_PLACES = 500_000  # orders of one stratum, times its patients
NUMBERS_AT_A_TIME = 1_000_000  # of orders of many cohorts
PAIRS_AT_A_TIME = 50_000


@dataclass(frozen=True)
class StratifiedScore:
    """The score test of one covariate, stratified by patients who agree in all other covariates.

    Attributes
    ----------
    strata : tuple of Stratum
        Those that can tell in some cohort: with an event while patients of different values may be at risk.

    Notes
    -----
    The statistic of a coefficient is the score, less its expectation where ties keep that from being 0, over
    the square root of the information; both of the partial likelihood, summed over strata. It is 0 where the
    information is. Its square at coefficient 0 is the score test that other programs print.
    """

    strata: tuple

    @classmethod
    def of(cls, times, events, x, column):
        """Lay out the strata of a covariate in many cohorts.

        Parameters
        ----------
        times, events : ndarray, shape (n_cohorts, n_subjects)
            Times and boolean events.
        x : array_like, shape (n_subjects, n_covariates)
            Covariates of the model, the same in each cohort.
        column : int
            The covariate tested.

        Returns
        -------
        StratifiedScore

        Raises
        ------
        ValueError
            Covariates do not fit the times.
        """
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or len(x) != times.shape[1] or not np.isfinite(x).all():
            raise ValueError(f"x must be finite numbers, a row for each of {times.shape[1]} subjects")
        others = np.unique(np.delete(x, column, axis=1), axis=0, return_inverse=True)[1].ravel()
        members = [np.flatnonzero(others == place) for place in range(others.max() + 1)]
        strata = (Stratum.of(times[:, who], events[:, who], x[who, column]) for who in members)
        return cls(tuple(each for each in strata if each.tells.any()))

    @classmethod
    def of_trial(cls, time, event, x, column):
        """Lay out the strata of one cohort, its times and events checked by `checks.check_survival`."""
        time, event = check_survival(time, event)
        return cls.of(time[None], event[None], x, column)

    @property
    def n_subjects(self):
        """Patients in the strata."""
        return sum(each.labels.shape[1] for each in self.strata)

    @property
    def n_allocations(self):
        """Relabellings within strata that can be told apart."""
        return prod(each.n_orders for each in self.strata)

    def can_list(self, most=MOST_LISTED):
        """Whether few enough orders of leaving exist to list them: of all strata, and places in each."""
        places = max((each.n_orders * each.labels.shape[1] for each in self.strata), default=np.inf)
        return self.n_allocations <= most and places <= min(most, MOST_PLACES)

    def observe(self, coef, cohorts=slice(None)):
        """Score and information of the orders observed, each of shape (n_cohorts,)."""
        parts = [each.observe(coef, cohorts) for each in self.strata]
        return sum(score for score, _ in parts), sum(information for _, information in parts)

    def count_p(self, coef=0.0):
        """P-value of a coefficient over every order of leaving.

        Parameters
        ----------
        coef : float, default 0
            Log hazard ratio per unit under the hypothesis.

        Returns
        -------
        ndarray of float, shape (n_cohorts,)
            Probability of a statistic at least as far from 0 as the observed one.
        """
        observed = np.transpose(self.observe(coef))
        size = max(1, NUMBERS_AT_A_TIME // max(each.n_orders for each in self.strata))
        p_values = []
        for start in range(0, len(observed), size):
            cohorts = slice(start, start + size)
            lists = [np.stack(each.list_scores(coef, cohorts), axis=1) for each in self.strata]
            p_values += [
                _count_beyond(parts, *own) for *parts, own in zip(*lists, observed[cohorts], strict=True)
            ]
        return np.array(p_values)

    def draw_p_together(self, n_draws, rng):
        """P-value of no effect over relabellings drawn, the same ones for all cohorts.

        Parameters
        ----------
        n_draws : int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of float, shape (n_cohorts,)
            (1 + count) / (1 + draws).
        """
        score, information = self.observe(0.0)
        orders = [draw_orders(each.counts, n_draws, rng) for each in self.strata]
        size, p_values = max(1, NUMBERS_AT_A_TIME // n_draws), []
        for start in range(0, len(score), size):
            cohorts = slice(start, start + size)
            parts = zip(self.strata, orders, strict=True)
            drawn = sum(np.stack(each.list_scores(0.0, cohorts, some)[:2]) for each, some in parts)
            bound = _find_bound(score[cohorts], information[cohorts])
            p_values += ((1 + _reach(*drawn, bound[:, None]).sum(axis=1)) / (1 + n_draws)).tolist()
        return np.array(p_values)

    def draw_uniforms(self, n_draws, rng):
        """Random numbers for `draw_p`."""
        return [rng.random((each.labels.shape[1], n_draws)) for each in self.strata]

    def draw_p(self, uniforms, coef=0.0, cohort=0):
        """P-value of a coefficient over drawn orders of leaving.

        Parameters
        ----------
        uniforms : list of ndarray of float, shape (n_subjects of the stratum, n_draws)
            Random numbers of each stratum.
        coef : float, default 0
        cohort : int, default 0

        Returns
        -------
        float
            (1 + count) / (1 + draws).
        """
        parts = zip(self.strata, uniforms, strict=True)
        drawn = sum(np.stack(each.draw_scores(numbers, coef, cohort)) for each, numbers in parts)
        # The mean is 0 without an effect or without ties; else it has to come from the draws.
        biased = coef and any((each.tied[cohort] > 1).any() for each in self.strata)
        expected = drawn[0].mean() if biased else 0.0
        score, information = self.observe(coef, slice(cohort, cohort + 1))
        reached = _reach(drawn[0] - expected, drawn[1], _find_bound(score - expected, information))
        return float(1 + reached.sum()) / (1 + drawn.shape[1])


def permute_cohorts(times, events, x, column, *, coef=0.0, n_draws=4_999, rng=None):
    """Test one covariate of a Cox model in each of many cohorts.

    Parameters
    ----------
    times, events : ndarray, shape (n_cohorts, n_subjects)
        Times and boolean events.
    x : ndarray, shape (n_subjects, n_covariates)
        Covariates of the model, the same in each cohort.
    column : int
        The covariate tested.
    coef : float, default 0
        Log hazard ratio per unit under the hypothesis; see `relabelling_limits.estimate_exact_limits`.
    n_draws : int, default 4,999
        Random relabellings, where there are too many to list. At `coef` 0 the cohorts share them, so that few
        would move all P-values together.
    rng : numpy.random.Generator, optional
        For the draws.

    Returns
    -------
    ndarray of float, shape (n_cohorts,)
        P-values as of `relabelling.permute_covariate`; NaN where no stratum can tell.
    """
    test = StratifiedScore.of(times, events, x, column)
    rng = rng or np.random.default_rng()
    if not test.strata:
        return np.full(len(times), np.nan)
    if test.can_list(MOST_LISTED_EACH):
        p_value = test.count_p(coef)
    elif coef:
        cohorts = range(len(times))
        p_value = [test.draw_p(test.draw_uniforms(n_draws, rng), coef, cohort) for cohort in cohorts]
    else:
        p_value = test.draw_p_together(n_draws, rng)
    return np.where(np.any([each.tells for each in test.strata], axis=0), p_value, np.nan)


def _count_beyond(parts, score, information):
    """Probability of as large a statistic, of lists of scores, informations and chances."""
    *others, last = sorted(parts, key=lambda part: part.shape[1])
    first = np.array([[0.0], [0.0], [1.0]])
    for more in others:
        summed = (np.add.outer(one, two).ravel() for one, two in zip(first[:2], more[:2], strict=True))
        first = np.stack([*summed, np.multiply.outer(first[2], more[2]).ravel()])
    # Sums in place of products of vectors, which BLAS would spread over processors in vain.
    expected = sum((part[0] * part[2]).sum() for part in parts)
    bound = _find_bound(score - expected, information)
    if bound <= 0:
        return 1.0
    size = max(1, PAIRS_AT_A_TIME // last.shape[1])
    p_value = 0.0
    for start in range(0, first.shape[1], size):
        some = first[:, start : start + size, None]
        reached = _reach(some[0] - expected + last[0], some[1] + last[1], bound)
        p_value += (some[2, :, 0] * np.where(reached, last[2], 0.0).sum(axis=1)).sum()
    return min(float(p_value), 1.0)


def _find_bound(score, information):
    """The squared statistic that counts as reaching this one, but for rounding."""
    squared = np.divide(score**2, information, out=np.zeros_like(score), where=information > 0)
    return squared * (1 - TOLERANCE) - 1e-12


def _reach(score, information, bound):
    return (score**2 >= bound * information) & ((information > 0) | (bound <= 0))


SCORES_AT_A_TIME = 4_000_000  # drawn labels held at once


@dataclass(frozen=True)
class RelabelledP:
    """A two-sided permutation P-value of one covariate.

    Attributes
    ----------
    p_value : float
        NaN where no stratum can tell.
    error : float
        Monte-Carlo standard error; 0 when every relabelling was counted.
    n_allocations : int
        Relabellings within strata that can be told apart.
    n_subjects : int
        Patients in strata that can tell.
    """

    p_value: float
    error: float
    n_allocations: int
    n_subjects: int


def permute_covariate(time, event, x, column, *, n_draws=20_000, seed=DEFAULT_SEED):
    """Test one covariate of a Cox model over relabellings of patients who agree in all others.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `checks.check_survival`.
    x : array_like, shape (n_subjects, n_covariates)
        Covariates of the model.
    column : int
        The covariate tested.
    n_draws : int, default 20,000
        Random relabellings, where they cannot all be counted; 0 for none.
    seed : int

    Returns
    -------
    RelabelledP
        Two-sided: how often a relabelling brings the stratified score statistic as far from 0.

    Raises
    ------
    ValueError
        As `relabelling_many.StratifiedScore.of_trial`.

    Notes
    -----
    The statistic squared is the score test that other programs print of a Cox model stratified by the other
    covariates (ties by Breslow). Its distribution is that over relabellings within strata, so the test is
    exact at any number of patients and whatever the other coefficients are, if censoring does not depend on
    the covariate; (1 + count) / (1 + draws) keeps that so for random relabellings, and their error tells how
    near that P-value is to the one over all. With one covariate there is one stratum; with a column for each
    group but the first, each of these groups is compared with the first.

    References
    ----------
    Cox (1972) J R Stat Soc B; Mantel (1966) Cancer Chemother Rep; Phipson, Smyth (2010) Stat Appl Genet Mol
    Biol.
    """
    test = StratifiedScore.of_trial(time, event, x, column)
    p_value = error = np.nan
    if test.can_list():
        p_value, error = float(test.count_p()[0]), 0.0
    elif test.strata and n_draws:
        p_value = test.draw_p(test.draw_uniforms(n_draws, np.random.default_rng(seed)))
        error = float(np.sqrt(p_value * (1 - p_value) / n_draws))
    return RelabelledP(p_value, error, test.n_allocations, test.n_subjects)


def draw_relabellings(time, event, linear, n_draws, *, seed=DEFAULT_SEED):
    """Draw the order in which patients leave, under hazards fitted to them.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `checks.check_survival`.
    linear : array_like, shape (n_subjects,)
        Log hazard of each patient, up to a constant; all alike for a random permutation.
    n_draws, seed : int

    Returns
    -------
    ndarray of int, shape (n_draws, n_subjects)
        Who leaves at each place of the observed times in order, events before censorings of the same time.

    Notes
    -----
    The times, and which of them are events, stay as observed. Whoever has an event is drawn from those left
    in proportion to their hazards, whoever is censored evenly.

    References
    ----------
    Plackett (1975) Appl Stat; Davison, Hinkley (1997) Bootstrap Methods and their Application.
    """
    time, event = check_survival(time, event)
    linear = np.asarray(linear, dtype=float)
    n = len(time)
    rng = np.random.default_rng(seed)
    leaving, size = np.empty((n_draws, n), dtype=np.intp), max(1, SCORES_AT_A_TIME // n)
    for start in range(0, n_draws, size):
        rows = np.arange(min(size, n_draws - start))
        # The smallest of exponential times with these hazards is each patient's in proportion to the hazard.
        race = np.log(rng.exponential(size=(len(rows), n))) - linear
        even = rng.random((len(rows), n))
        for place, is_event in enumerate(event[np.lexsort((~event, time))]):
            who = (race if is_event else even).argmin(axis=1)
            race[rows, who] = even[rows, who] = np.inf
            leaving[start + rows, place] = who
    return leaving
