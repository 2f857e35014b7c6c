"""How far to trust tests and intervals at given sizes: recalibrated P, attained size, attained coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from nkhcc_helpers.checks import Result, check_censoring, check_choice, keeps_options
from nkhcc_helpers.parallel import simulate_blocks
from nkhcc_helpers.survival.curves import CONF_TYPES, Curves
from nkhcc_helpers.survival.logrank import TOLERANCE, RiskSets
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, draw_allocations, share_extreme

BLOCK = 100  # trials a process takes at a time
MOST_PATIENTS = 500  # simulated: what small groups do to tests and intervals is a question of small groups
TESTS = ("asymptotic", "permuted", "score permuted", "trend asymptotic", "trend permuted")


@dataclass(frozen=True)
class RecalibratedP:
    """What a published P-value is worth."""

    p_published: float
    p_value: float  # permuted
    error: float  # Monte-Carlo standard error
    n_draws: int
    seed: int


def recalibrate_p(p, sizes, *, n_draws=1_000_000, seed=DEFAULT_SEED):
    """Translate a published asymptotic k-sample log-rank P into a permutation P for these group sizes.

    Parameters
    ----------
    p : float
        P-value from the chi-square distribution, above 0 and below 1 or ValueError.
    sizes : sequence of int
        Patients in each group, at least one or ValueError.
    n_draws, seed : int

    Returns
    -------
    RecalibratedP
        How often random allocation alone reaches a statistic as large, when nobody is censored and no times
        are tied; then the answer depends on the sizes only. NaN for one group.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1; got {p!r}")
    codes = _check_sizes(sizes)
    if not codes.any():
        return RecalibratedP(p, np.nan, np.nan, n_draws, seed)
    risk = RiskSets.of(np.arange(1, len(codes) + 1), np.ones(len(codes), dtype=bool))
    bound = stats.chi2.isf(p, len(sizes) - 1) * (1 - TOLERANCE)
    blocks = draw_allocations(codes, n_draws, seed)
    extreme = sum(int((risk.calculate_chi_square(block) >= bound).sum()) for block in blocks)
    p_value, error = share_extreme(extreme, n_draws)
    return RecalibratedP(p, p_value, float(error), n_draws, seed)


@keeps_options
def attained_size(
    sizes,
    *,
    censoring=0.0,
    alpha=(0.05, 0.01),
    n_trials=5_000,
    n_draws=999,
    seed=DEFAULT_SEED,
    jobs=2,
    progress=False,
):
    """How often each test rejects although the groups do not differ.

    Parameters
    ----------
    sizes : sequence of int
        As in `recalibrate_p`.
    censoring : float, default 0
        Share censored on average, below 1, at random and alike in all groups; times are exponential.
    alpha : sequence of float, default (0.05, 0.01)
        Nominal levels, between 0 and 1; ValueError as for bad `sizes` and `censoring`.
    n_trials, n_draws, seed : int
        Trials simulated, and relabellings of each for the permutation tests.
    jobs, progress
        Processes, on which the answer does not depend, and whether a bar on standard error counts trials.

    Returns
    -------
    DataFrame
        Columns ``test alpha rejected error ratio``: share of trials rejected, its Monte-Carlo standard error,
        and the share over `alpha`. NaN for one group, and for more than `MOST_PATIENTS` patients, of whom
        option ``too_many`` then is the number.
    """
    codes = _check_sizes(sizes)
    too_many = len(codes) if len(codes) > MOST_PATIENTS else 0
    codes = codes[:1] if too_many else codes
    check_censoring(censoring)
    alpha = np.atleast_1d(np.asarray(alpha, dtype=float))
    if not ((alpha > 0) & (alpha < 1)).all():
        raise ValueError(f"alpha must lie between 0 and 1; got {alpha.tolist()}")
    seeds = np.random.SeedSequence(seed).spawn(n_trials)
    blocks = [seeds[start : start + BLOCK] for start in range(0, n_trials, BLOCK)]
    arguments = [(codes, censoring, alpha, n_draws, block) for block in blocks]
    with tqdm(total=n_trials, unit="trial", disable=not progress) as bar:
        rejections = simulate_blocks(_simulate_block, arguments, jobs=jobs, count=bar.update)
    rejected = rejections.mean(axis=0)
    error = rejections.std(axis=0, ddof=1) / np.sqrt(len(rejections))
    index = pd.MultiIndex.from_product([alpha, TESTS], names=["alpha", "test"])
    table = pd.DataFrame({"rejected": rejected.ravel(), "error": error.ravel()}, index=index).reset_index()
    table["ratio"] = table["rejected"] / table["alpha"]
    return Result.of(table[["test", "alpha", "rejected", "error", "ratio"]], too_many=too_many)


@keeps_options
def attained_coverage(
    sizes,
    *,
    censoring=(0.0, 0.3),
    conf_types=CONF_TYPES,
    survival=(0.8, 0.5, 0.2),
    conf_level=0.95,
    n_trials=2_000,
    seed=DEFAULT_SEED,
):
    """How often pointwise limits of a survival curve hold the truth.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of patients, each simulated on its own; those above `MOST_PATIENTS` are left out, and the
        largest is option ``too_many``.
    censoring : sequence of float, default (0, 0.3)
        Shares censored on average, below 1 or ValueError, at random; times are exponential.
    conf_types : sequence of str, default all
        As in `survival.estimate_km` or ValueError; the same cohorts for each.
    survival : sequence of float, default (0.8, 0.5, 0.2)
        The limits are read where true survival is this.
    conf_level : float, default 0.95
    n_trials, seed : int

    Returns
    -------
    DataFrame
        Columns ``n censoring conf_type survival coverage error``: share of cohorts whose limits hold the
        truth and its Monte-Carlo standard error. Where there are no limits nothing is excluded.
    """
    rows = []
    truth = np.atleast_1d(np.asarray(survival, dtype=float))
    sizes = np.atleast_1d(sizes)
    for n in sizes[sizes <= MOST_PATIENTS]:
        for share in np.atleast_1d(censoring):
            check_censoring(share)
            rng = np.random.default_rng([seed, int(n), int(1000 * share)])
            time, event = _draw_cohorts(rng, n_trials, n, share)
            for conf_type in conf_types:
                check_choice(conf_type, "conf_type", CONF_TYPES)
                held = _hold_truth(time, event, truth, conf_level, conf_type).mean(axis=0)
                error = np.sqrt(held * (1 - held) / n_trials)
                rows += [
                    (int(n), float(share), conf_type, *each) for each in zip(truth, held, error, strict=True)
                ]
    table = pd.DataFrame(rows, columns=["n", "censoring", "conf_type", "survival", "coverage", "error"])
    return Result.of(table, too_many=int(sizes.max()) if sizes.max() > MOST_PATIENTS else 0)


def _draw_cohorts(rng, n_cohorts, n, censoring):
    """Times and events of many cohorts, shape (n_cohorts, n)."""
    time = rng.exponential(size=(n_cohorts, n))
    limit = rng.exponential((1 - censoring) / censoring, time.shape) if censoring else np.inf
    return np.minimum(time, limit), time <= limit


def _hold_truth(time, event, truth, conf_level, conf_type):
    """Whether the limits of each cohort hold each true survival, shape (n_cohorts, n_truths)."""
    limits = Curves.of(time, event).calculate_limits(conf_level=conf_level, conf_type=conf_type)
    place = (time[:, None, :] <= -np.log(truth)[:, None]).sum(axis=2)
    lower, upper = (np.take_along_axis(each, place, axis=1) for each in limits)
    return (np.nan_to_num(lower, nan=0.0) <= truth) & (truth <= np.nan_to_num(upper, nan=1.0))


def _simulate_block(argument):
    codes, censoring, alpha, n_draws, seeds = argument
    return np.array([_simulate_trial(codes, censoring, alpha, n_draws, seed) for seed in seeds])


def _simulate_trial(codes, censoring, alpha, n_draws, seed):
    """Rejections by each level and test in one trial without differences, shape (n_levels, n_tests)."""
    if not codes.any():
        return np.full((len(alpha), len(TESTS)), np.nan)
    rng = np.random.default_rng(seed)
    time, event = (each[0] for each in _draw_cohorts(rng, 1, len(codes), censoring))
    if not event.any():
        return np.zeros((len(alpha), len(TESTS)))
    risk = RiskSets.of(time, event)
    block = np.concatenate([codes[None], *draw_allocations(codes, n_draws, rng.integers(2**63))])
    usual = risk.calculate_chi_square(block)
    trend = risk.calculate_trend(block, np.arange(1.0, codes.max() + 2))
    centred = risk.scores - risk.scores.mean()
    score = sum(((block == g) @ centred) ** 2 / size for g, size in enumerate(np.bincount(codes)))
    # Every relabelling is as good a trial as the one drawn; averaging over them takes most noise away.
    share = [
        _share_beyond(usual, stats.chi2.isf(alpha, max(risk.count_degrees(codes), 1))),
        _is_extreme(usual, alpha),
        _is_extreme(score, alpha),
        _share_beyond(trend, stats.chi2.isf(alpha, 1)),
        _is_extreme(trend, alpha),
    ]
    return np.stack(share, axis=1)


def _share_beyond(statistics, bounds):
    return (statistics[:, None] >= bounds).mean(axis=0)


def _is_extreme(statistics, alpha):
    p_value = (statistics >= statistics[0] * (1 - TOLERANCE)).mean()
    return (p_value <= alpha * (1 + TOLERANCE)).astype(float)


def _check_sizes(sizes):
    sizes = np.asarray(sizes)
    if sizes.ndim != 1 or not len(sizes) or not np.issubdtype(sizes.dtype, np.integer) or (sizes < 1).any():
        raise ValueError(f"sizes must be whole numbers above 0, one a group; got {sizes.tolist()}")
    return np.repeat(np.arange(len(sizes)), sizes)
