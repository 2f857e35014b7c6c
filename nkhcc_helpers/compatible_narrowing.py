"""How much each published claim narrows the answers, and one more would: sampling without or with it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.claimed_trial import convert, describe_claim
from nkhcc_helpers.claims import LandmarkRate, LogrankP, Median
from nkhcc_helpers.compatible import draw_block, gather_blocks, plan_blocks
from nkhcc_helpers.compatible_statistics import EVERYONE, place_not_reached
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.simulation import simulate_blocks

NARROWING = ["endpoint", "claim", "statistic", "lower", "upper", "width_ratio", "ratio_lower", "ratio_upper"]
ALL_CLAIMS = ""  # in the place of a claim, where none is dropped or added
SHARE = 0.95  # of a sample between its limits, and of samples between those of a ratio
LIMITS = [(1 - SHARE) / 2, (1 + SHARE) / 2]
N_RESAMPLES = 400


def drop_claims(claimed, calculate, *, n_cohorts=100, seed=DEFAULT_SEED, n_blocks=2, jobs=2, progress=False):
    """Measure how much each claim narrows the answers, by sampling without it.

    Parameters
    ----------
    claimed : ClaimedTrial
    calculate : callable
        Takes `CompatibleCohorts`, returns a DataFrame as of `calculate_statistics`.
    n_cohorts : int, default 100
        Cohorts of each sample; one endpoint at a time, without the order between endpoints.
    seed : int
    n_blocks : int, default 2
        Blocks of chains of each sample, as in `compatible.sample_compatible`.
    jobs : int, default 2
        Processes; the answer does not depend on it.
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    DataFrame
        Columns ``endpoint claim statistic lower upper width_ratio ratio_lower ratio_upper``: the central 95 %
        of the sample without the claim (``""``: with all claims), and its width relative to that with all
        claims, above 1 where the claim narrows the answer; ``ratio_lower`` and ``ratio_upper`` are how far
        the size of the samples lets that ratio be known (95 % bootstrap limits, drawing whole Markov chains);
        they do not tell of chains that have not mixed, for which two seeds should be compared.
        NaN where the answer has no width, or none with all claims; a median that is not reached counts as
        later than any.

    Raises
    ------
    IncompatibleClaimsError
        No cohort was found for one of the samples.

    References
    ----------
    Efron, Tibshirani (1993) An Introduction to the Bootstrap.
    """
    variants = []
    for endpoint in claimed.endpoints:
        alone = claimed.only(endpoint)
        variants.append((ALL_CLAIMS, alone))
        for dropped in alone.claims:
            kept = [claim for claim in alone.claims if claim is not dropped]
            variants.append((describe_claim(dropped), alone.keep(kept)))
    samples = _sample(variants, n_cohorts, seed, n_blocks, jobs, progress)
    return _compare_samples(variants, samples, calculate, seed)


def add_claim(
    claimed, claim, calculate, *, n_cohorts=100, seed=DEFAULT_SEED, n_blocks=2, jobs=2, progress=False
):
    """Measure how much one more claim would narrow the answers, by sampling with it.

    Parameters
    ----------
    claimed : ClaimedTrial
    claim : Median, LandmarkRate, LogrankP or HazardRatio
        As of `make_claim`.
    calculate, n_cohorts, seed, n_blocks, jobs, progress
        As in `drop_claims`.

    Returns
    -------
    DataFrame
        As of `drop_claims`: the answers with the claims of the claim's endpoint (``""``), and with one more;
        ``width_ratio`` is below 1 where it narrows the answer.

    Raises
    ------
    IncompatibleClaimsError
        No cohort was found for one of the samples.
    """
    alone = claimed.only(claim.endpoint)
    variants = [(ALL_CLAIMS, alone), (describe_claim(claim), alone.keep([*alone.claims, claim]))]
    samples = _sample(variants, n_cohorts, seed, n_blocks, jobs, progress)
    return _compare_samples(variants, samples, calculate, seed)


def make_claim(claimed, statistics, endpoint, statistic):
    """Make the claim that a statistic has its median value, as a paper would print it.

    Parameters
    ----------
    claimed : ClaimedTrial
    statistics : DataFrame
        As of `calculate_statistics`.
    endpoint : str
    statistic : str
        ``median``, or ``rate`` and months, followed by ``all`` or a group; or ``logrank_p``.

    Returns
    -------
    Median, LandmarkRate or LogrankP

    Raises
    ------
    ValueError
        No claim can be made of the statistic, or it has no value in any cohort, or is a median that half of
        them do not reach.
    """
    kind, _, of = statistic.partition(" ")
    values = pd.Series(place_not_reached(statistics[endpoint, statistic], statistic)).dropna()
    if values.empty:
        raise ValueError(f"{statistic} of {endpoint} has no value in any cohort")
    # A value that some cohort has: the middle of two need not be met by any.
    value = values.quantile(0.5, interpolation="lower")
    if not np.isfinite(value):
        raise ValueError(f"{statistic} of {endpoint} is not reached in half of the cohorts")
    if kind == "logrank_p":
        return LogrankP(kind=kind, endpoint=endpoint, value=float(f"{value:.4f}"), decimals=4)
    if kind == "median":
        group = None if of == EVERYONE else of
        return Median(kind=kind, endpoint=endpoint, group=group, value=float(f"{value:.1f}"), decimals=1)
    if kind == "rate":
        months, _, of = of.partition(" ")
        made = {"endpoint": endpoint, "group": None if of == EVERYONE else of, "value": float(f"{value:.0f}")}
        at = float(months) * convert("months", claimed.unit)
        return LandmarkRate(kind="landmark_rate", at=at, decimals=0, **made)
    raise ValueError(f"no claim can be made of {statistic}; use a median, a rate or logrank_p")


def _compare_samples(variants, samples, calculate, seed):
    """Answers of every variant, a name of what was changed and a trial of one endpoint."""
    rng, rows = np.random.default_rng(seed), []
    for (name, _), cohorts in zip(variants, samples, strict=True):
        values = calculate(cohorts).apply(lambda column: place_not_reached(column, column.name[1]))
        lower, upper = _find_limits(values)
        width, widths = _measure_width(lower, upper), _resample_widths(values, cohorts.chain[:, 0], rng)
        if name == ALL_CLAIMS:
            whole, wholes = _keep_positive(width), _keep_positive(widths)
        ratios = width / whole, *pd.DataFrame(widths / wholes).quantile(LIMITS, axis=1).to_numpy()
        frame = values.columns.to_frame(index=False).set_axis(["endpoint", "statistic"], axis=1)
        numbers = dict(zip(NARROWING[3:], (lower, upper, *ratios), strict=True))
        rows.append(frame.assign(claim=name, **numbers))
    return pd.concat(rows, ignore_index=True)[NARROWING]


def _resample_widths(values, chain, rng):
    """Widths of every statistic in samples of as many chains, drawn with replacement: (n_statistics, n)."""
    members = pd.Series(range(len(chain))).groupby(chain).indices
    chains = [members[each] for each in np.unique(chain)]
    widths = []
    for _ in range(N_RESAMPLES):
        rows = np.concatenate([chains[at] for at in rng.integers(len(chains), size=len(chains))])
        widths.append(_measure_width(*_find_limits(values.iloc[rows])))
    return np.stack(widths, axis=1)


def _find_limits(values):
    """Values between which lies the central share of each statistic, inf where a median is not reached."""
    return values.quantile(LIMITS, interpolation="nearest").to_numpy(float)


def _measure_width(lower, upper):
    return np.where(np.isfinite(upper), upper, np.nan) - lower


def _keep_positive(widths):
    return np.where(widths > 0, widths, np.nan)


def _sample(variants, n_cohorts, seed, n_blocks, jobs, progress):
    """Cohorts of every variant; all blocks of all of them wait in one queue."""
    plans = [plan_blocks(claimed, n_cohorts, seed=seed, n_blocks=n_blocks) for _, claimed in variants]
    blocks = [block for plan in plans for block in plan]
    owner = np.repeat(np.arange(len(plans)), [len(plan) for plan in plans])
    numbered = [(one[0], number, *one[2:]) for number, one in enumerate(blocks)]
    rows = simulate_blocks(
        draw_block, numbered, n_trials=n_cohorts * len(plans), jobs=jobs, progress=progress, unit="cohort"
    )
    for at, (_, claimed) in enumerate(variants):
        yield gather_blocks(claimed, rows[owner[rows["block"]] == at], seed, n_cohorts)
