"""One covariate of a Cox model tested by relabelling patients who agree in all others.

Patients who agree in the other covariates form a stratum, and only they are compared with each other: the
other coefficients then cancel, whatever they are, and nothing is left to estimate under the hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.relabelling_many import StratifiedScore

NUMBERS_AT_A_TIME = 4_000_000  # drawn labels held at once


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
    leaving, size = np.empty((n_draws, n), dtype=np.intp), max(1, NUMBERS_AT_A_TIME // n)
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
