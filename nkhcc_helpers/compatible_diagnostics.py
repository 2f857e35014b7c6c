"""Whether a sample of compatible cohorts can be trusted: effective size, split R-hat, agreement of starts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from nkhcc_helpers.compatible_statistics import place_not_reached

DIAGNOSTICS = ["mean", "sd", "effective_size", "r_hat", "starts_differ"]


def diagnose(cohorts, statistics):
    """Diagnose a sample of compatible cohorts, statistic by statistic.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    statistics : DataFrame
        One row for each cohort, one column for each endpoint and statistic; cohorts where it is NaN are left
        out.

    Returns
    -------
    DataFrame
        Indexed by the columns of `statistics`; columns ``mean sd effective_size r_hat starts_differ``.
        ``effective_size`` is the number of independent cohorts whose mean would be as precise, from the
        variance between Markov chains, those of either endpoint. ``r_hat`` compares halves of blocks: 1
        where all agree. Where blocks start in two ways, ``starts_differ`` is the difference between their
        means in standard errors. NaN for a statistic that does not vary. Where a median is not reached in
        some cohorts, which counts as later than any, ranks take the place of the values, and ``mean sd`` are
        NaN.

    References
    ----------
    Cameron, Gelbach, Miller (2011) J Bus Econ Stat (chains of two endpoints); Gelman, Rubin (1992) Stat Sci;
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021) Bayesian Anal (ranks).
    """
    rows = [
        _diagnose(place_not_reached(values, statistic), *_find_origin(cohorts, endpoint))
        for (endpoint, statistic), values in statistics.items()
    ]
    return pd.DataFrame(rows, index=statistics.columns, columns=DIAGNOSTICS)


def compare_means(one, other):
    """Difference between two diagnosed means in standard errors, as of `diagnose`; one value a statistic."""
    variance = one["sd"] ** 2 / one["effective_size"] + other["sd"] ** 2 / other["effective_size"]
    return (one["mean"] - other["mean"]) / np.sqrt(variance)


def _find_origin(cohorts, endpoint):
    """Chains, block and half of the run from which each cohort's times in an endpoint come."""
    return cohorts.chain, cohorts.block, cohorts.late[:, cohorts.claimed.endpoints.index(endpoint)]


def _diagnose(values, chain, block, late):
    known = ~np.isnan(values)
    values, chain, block, late = (each[known] for each in (values, chain, block, late))
    mean = sd = np.nan
    if not np.isfinite(values).all():
        values = rankdata(values)
    elif len(values):
        mean, sd = values.mean(), values.std(ddof=min(1, len(values) - 1))
    if not len(values) or np.ptp(values) <= 1e-12 * max(np.abs(values).max(), 1e-300):
        return mean, sd, *[np.nan] * 3
    size = _count_effective(values, chain)
    halves = [values[(block == each) & (late == half)] for each in np.unique(block) for half in (0, 1)]
    starts = [_estimate_mean(values[block % 2 == odd], chain[block % 2 == odd]) for odd in (0, 1)]
    differ = (starts[0][0] - starts[1][0]) / np.hypot(starts[0][1], starts[1][1])
    return mean, sd, size, _calculate_r_hat(halves), differ


def _count_effective(values, chain):
    """Size of an independent sample whose mean varies as much, at most the cohorts there are.

    NaN where the variance is estimated to be negative, as that over chains of two endpoints can be.
    """
    centred, n_endpoints = values - values.mean(), chain.shape[1]
    # Cohorts go together that share a chain in either endpoint, once where they share both.
    shared = sum(_sum_squares(centred, chain[:, [at]]) for at in range(n_endpoints))
    shared -= (n_endpoints - 1) * _sum_squares(centred, chain)
    return float(min(len(values), len(values) * (centred**2).sum() / shared)) if shared > 0 else np.nan


def _sum_squares(values, chain):
    """Sum of squares of the sums of values over cohorts with the same chains."""
    which = np.unique(chain, axis=0, return_inverse=True)[1].ravel()
    return (np.bincount(which, values) ** 2).sum()


def _estimate_mean(values, chain):
    if len(values) < 2 or np.ptp(values) == 0:
        return np.nan, np.nan
    return values.mean(), values.std(ddof=1) / np.sqrt(_count_effective(values, chain))


def _calculate_r_hat(sequences):
    size = min(len(each) for each in sequences)
    if size < 2:
        return np.nan
    kept = np.array([each[:size] for each in sequences])
    within, between = kept.var(axis=1, ddof=1).mean(), kept.mean(axis=1).var(ddof=1)
    return float(np.sqrt((size - 1) / size + between / within)) if within > 0 else np.nan
