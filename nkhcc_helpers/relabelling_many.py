"""The relabelling test of `relabelling`, of many cohorts of one design at once."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from nkhcc_helpers.allocations import TOLERANCE, count_allocations

MOST_LISTED = 20_000  # relabellings of all strata together


def permute_cohorts(times, events, x, column, *, n_draws=999, rng=None):
    """Test one covariate of a Cox model in each of many cohorts.

    Parameters
    ----------
    times, events : ndarray, shape (n_cohorts, n_subjects)
        Times and boolean events.
    x : ndarray, shape (n_subjects, n_covariates)
        Covariates of the model, the same in each cohort.
    column : int
        The covariate tested.
    n_draws : int, default 999
        Random relabellings of each cohort, where there are too many to list.
    rng : numpy.random.Generator, optional
        For the draws.

    Returns
    -------
    ndarray of float, shape (n_cohorts,)
        P-values as of `relabelling.permute_covariate`; NaN where no stratum can tell.
    """
    others = np.unique(np.delete(x, column, axis=1), axis=0, return_inverse=True)[1].ravel()
    members = [np.flatnonzero(others == place) for place in range(others.max() + 1)]
    members = [who for who in members if np.ptp(x[who, column]) > 0]
    values = [x[who, column] - x[who, column].mean() for who in members]
    scores = [calculate_scores(times[:, who], events[:, who]) for who in members]
    can_tell = np.zeros(len(times), dtype=bool)
    for each in scores:
        can_tell |= np.ptp(each, axis=1) > TOLERANCE
    observed = sum((score @ value for score, value in zip(scores, values, strict=True)), np.zeros(len(times)))
    bound = (np.abs(observed) * (1 - TOLERANCE) - 1e-12)[:, None]
    if prod(_count(value) for value in values) <= MOST_LISTED:
        p_value = (np.abs(_list_all(scores, values)) >= bound).mean(axis=1)
    else:
        drawn = _draw(scores, values, n_draws, rng or np.random.default_rng())
        p_value = (1 + (np.abs(drawn) >= bound).sum(axis=1)) / (1 + n_draws)
    return np.where(can_tell, p_value, np.nan)


def calculate_scores(times, events):
    """Log-rank scores of many cohorts.

    Parameters
    ----------
    times, events : ndarray, shape (n_cohorts, n_subjects)

    Returns
    -------
    ndarray of float, shape (n_cohorts, n_subjects)
        1 for an event less the hazard summed up to its time; they sum to 0.
    """
    before = times[:, :, None] <= times[:, None, :]
    n_at_risk = before.sum(axis=2)
    return events - np.einsum("cjk,cj->ck", before, events / n_at_risk)


def _count(value):
    return count_allocations(np.unique(value, return_counts=True)[1].tolist())


def _list_all(scores, values):
    """The statistic of every relabelling, shape (n_cohorts, n_relabellings)."""
    total = np.zeros((len(scores[0]) if scores else 1, 1))
    for score, value in zip(scores, values, strict=True):
        part = score @ _arrange(tuple(sorted(value.tolist()))).T
        total = (total[:, :, None] + part[:, None, :]).reshape(len(part), -1)
    return total


@lru_cache(maxsize=1_024)
def _arrange(values):
    """Every order of sorted values that can be told apart, a row each."""
    if len(set(values)) == 1:
        return np.array([values])
    parts = []
    for first in sorted(set(values)):
        at = values.index(first)
        rest = _arrange(values[:at] + values[at + 1 :])
        parts.append(np.column_stack([np.full(len(rest), first), rest]))
    return np.concatenate(parts)


def _draw(scores, values, n_draws, rng):
    total = 0
    for score, value in zip(scores, values, strict=True):
        orders = rng.permuted(np.tile(value, (len(score) * n_draws, 1)), axis=1)
        total = total + np.matmul(orders.reshape(len(score), n_draws, -1), score[:, :, None])[:, :, 0]
    return total
