"""One statistic of many cohorts, by its name, for a search for extremes; what it found, as a table."""

from __future__ import annotations

import re
from functools import partial, reduce

import numpy as np
import pandas as pd
from tqdm import tqdm

from nkhcc_helpers.checks import check_choice
from nkhcc_helpers.cohort_curves import order_cohorts
from nkhcc_helpers.compatible_bounds import find_bounds
from nkhcc_helpers.compatible_statistics import estimate_curves, list_pairs, place_not_reached
from nkhcc_helpers.cox_many import fit_cox_many
from nkhcc_helpers.partial_likelihood import exponentiate
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.permutation_many import permute_logrank_many, permute_pairs_many
from nkhcc_helpers.simulation import run_blocks

TESTS = ("logrank_p", "permutation_p", "trend_p")
ENDS = {"lowest": np.fmin, "highest": np.fmax}
N_SAMPLED = 50  # cohorts of the sample, at either end, that count beside those found
FLAT = 1e-9  # determinant of an information, relative to its diagonal, without which no step is known
N_ROUGH = 100_000  # draws that tell which those are
_HAZARD_RATIO = re.compile(r"hr (.+) \((\w+)\)")
BOUNDS = ["endpoint", "statistic", "lowest", "highest"]


def choose_statistic(
    claimed, statistic, *, designs=(), end="highest", n_draws=2_000, seed=DEFAULT_SEED, tau=None
):
    """Return a function that calculates one statistic of many cohorts.

    Parameters
    ----------
    claimed : ClaimedTrial
    statistic : str
        A statistic of `compatible_statistics.calculate_statistics`, or ``hr dose (firth)`` and the like:
        covariate and method, as in `compatible_answers.judge_conclusions`.
    designs : list of (str, DataFrame), optional
        As of `compatible_statistics.list_designs`, for hazard ratios.
    end : {"lowest", "highest"}, default "highest"
        Which hazard ratio over the designs.
    n_draws, seed, tau
        As in `calculate_statistics`.

    Returns
    -------
    callable
        Takes times and events, each of shape (n_cohorts, n_patients); returns values, shape (n_cohorts,), NaN
        where there is none.

    Raises
    ------
    ValueError
        Unknown statistic or end, or no design has the covariate.
    """
    check_choice(end, "end", tuple(ENDS))
    drawing = {"n_draws": n_draws, "seed": seed}
    pairs = {name: pair for pair, name in list_pairs(claimed.groups).items()}
    if statistic in pairs:
        return partial(_compare_pair, codes=claimed.codes, pair=pairs[statistic], **drawing)
    if statistic in TESTS and len(claimed.groups) > 1:
        return partial(_compare, claimed=claimed, statistic=statistic, **drawing)
    if found := _HAZARD_RATIO.fullmatch(statistic):
        designs = [(x[claimed.codes], at) for x, at in _list_covariates(claimed, statistic, designs)]
        return partial(_calculate_hazard_ratio, designs=designs, method=found[2], end=end)
    rate = re.match(r"rate (\S+) ", statistic)
    landmarks = (float(rate[1]),) if rate else ()
    everyone = np.ones((1, len(claimed.codes)))
    known = estimate_curves(everyone, everyone > 0, claimed, landmarks, tau)
    check_choice(statistic, "statistic", (*TESTS, *pairs, *known))
    return partial(_estimate, claimed=claimed, statistic=statistic, landmarks=landmarks, tau=tau)


def bound_statistics(
    cohorts,
    wanted,
    *,
    designs=(),
    find=find_bounds,
    n_draws=2_000_000,
    n_search_draws=20_000,
    seed=DEFAULT_SEED,
    tau=None,
    jobs=2,
    progress=False,
):
    """Search for the extremes of several statistics over all compatible cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
        A sample, to start from.
    wanted : sequence of (str, str)
        Endpoints and statistics, as `choose_statistic` takes them.
    designs, seed, tau
        As in `choose_statistic`; for hazard ratios the extremes are over all designs.
    find : callable, default `compatible_bounds.find_bounds`
        The search, or a `functools.partial` of it with other options.
    n_draws : int, default 2,000,000
        Random allocations for the P-values of the cohorts found at either end.
    n_search_draws : int, default 20,000
        Random allocations in the search, which thousands of cohorts pass through; it finds the extremes of a
        drawn P only as far as its error allows. That of a trend is sought by the asymptotic P instead, a
        hazard ratio by the first step of its fit.
    jobs : int, default 2
        Processes; the answer does not depend on it.
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic lowest highest``: what `compatible_answers` takes as bounds. The true
        range is at least as wide, but for the Monte-Carlo error of a drawn P; inf for a median that some
        cohort does not reach; NaN where no cohort of the sample has the statistic.
    """
    options = {"designs": list(designs), "seed": seed, "tau": tau}
    tasks = [(cohorts, *each, find, (n_search_draws, n_draws), options) for each in wanted]
    found = tqdm(run_blocks(_bound, tasks, jobs), total=len(tasks), unit="statistic", disable=not progress)
    rows = [(*each, *ends) for each, ends in zip(wanted, found, strict=True)]
    return pd.DataFrame(rows, columns=BOUNDS)


def _bound(task):
    """Lowest and highest value of one statistic, in the cohorts that the search found or began with."""
    cohorts, endpoint, statistic, find, (n_search_draws, n_draws), options = task
    claimed, at, values = cohorts.claimed, cohorts.claimed.endpoints.index(endpoint), [[]]
    for end in ENDS if statistic.startswith("hr ") else ["highest"]:
        rough, calculate = (
            choose_statistic(claimed, statistic, end=end, n_draws=n, **options)
            for n in (min(N_ROUGH, n_draws), n_draws)
        )
        order = np.argsort(rough(*cohorts.of(endpoint)))
        chosen = [cohorts.take(np.concatenate([order[:N_SAMPLED], order[-N_SAMPLED:]]))]
        searches = [choose_statistic(claimed, statistic, end=end, n_draws=n_search_draws, **options)]
        if statistic.startswith("hr "):
            known = _list_covariates(claimed, statistic, options["designs"])
            searches = [partial(_step_towards_ratio, codes=claimed.codes, designs=known, end=end)]
        elif statistic == "trend_p" and len(claimed.groups) > 1:
            searches = [partial(_approximate_trend, codes=claimed.codes, log=log) for log in (False, True)]
        found = (find(cohorts, search, endpoint=endpoint) for search in searches)
        chosen += [each for each in found if np.isfinite(each.lowest)]
        values += [calculate(each.times[:, at], each.events[:, at]) for each in chosen]
    known = place_not_reached(np.concatenate(values), statistic)
    known = known[~np.isnan(known)]
    return min(known, default=np.nan), max(known, default=np.nan)


def _list_covariates(claimed, statistic, designs):
    """Covariates of the groups in each design, (n_groups, n_covariates), and the place of the one meant."""
    covariate = _HAZARD_RATIO.fullmatch(statistic)[1]
    known = [(x.loc[list(claimed.groups)], list(x.columns)) for _, x in designs if covariate in x.columns]
    if not known:
        raise ValueError(f"{statistic} needs a design with {covariate}")
    return [(x.to_numpy(float), names.index(covariate)) for x, names in known]


def _step_towards_ratio(times, events, *, codes, designs, end):
    """First Newton step of a log hazard ratio in each design, from log-rank sums that all designs share."""
    difference, variance = order_cohorts(times, events, codes).sum_logrank()
    # The last group's sums are what makes those of all groups add up to 0.
    all_groups = np.vstack([np.eye(difference.shape[1]), -np.ones(difference.shape[1])])
    steps = []
    for x, at in designs:
        x = x.T @ all_groups
        information = x @ variance @ x.T
        known = np.linalg.det(information) > FLAT * np.prod(
            np.diagonal(information, axis1=1, axis2=2), axis=1
        )
        information = np.where(known[:, None, None], information, np.eye(len(x)))
        step = np.linalg.solve(information, (difference @ x.T)[..., None])[:, at, 0]
        steps.append(np.where(known, step, np.nan))
    return reduce(ENDS[end], steps)


def _approximate_trend(times, events, *, codes, log):
    """Asymptotic P of the trend: smooth, where drawn P-values have ties and noise; small ones by its log."""
    scores = np.arange(1, codes.max() + 2)
    p_value = permute_logrank_many(times, events, codes, n_draws=1, scores=scores).p_asymptotic
    return np.log(np.maximum(p_value, 1e-300)) if log else p_value


def _compare(times, events, *, claimed, statistic, n_draws, seed):
    scores = np.arange(1, len(claimed.groups) + 1) if statistic == "trend_p" else None
    n_draws = 1 if statistic == "logrank_p" else n_draws
    found = permute_logrank_many(times, events, claimed.codes, n_draws=n_draws, seed=seed, scores=scores)
    return found.p_asymptotic if statistic == "logrank_p" else found.p_value


def _compare_pair(times, events, *, codes, pair, n_draws, seed):
    return permute_pairs_many(times, events, codes, pairs=[pair], n_draws=n_draws, seed=seed)[pair].p_value


def _estimate(times, events, *, claimed, statistic, landmarks, tau):
    return estimate_curves(times, events, claimed, landmarks, tau)[statistic].astype(float)


def _calculate_hazard_ratio(times, events, *, designs, method, end):
    coefs = (fit_cox_many(times, events, x, method=method).coef[:, at] for x, at in designs)
    return exponentiate(reduce(ENDS[end], coefs))
