"""How much each published claim narrows the answers, and one more would: sampling without or with it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from scipy.special import gammaln

from nkhcc_helpers.compatible.claims import describe_claim
from nkhcc_helpers.compatible.cohorts import draw_block, gather_blocks, plan_blocks
from nkhcc_helpers.identification.statistics import (
    EVERYONE,
    calculate_statistics,
    place_not_reached,
    print_rounded,
)
from nkhcc_helpers.parallel import simulate_blocks
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.trial.claims import LandmarkRate, LogrankP, Median
from nkhcc_helpers.trial.metadata import convert

CANDIDATES = ["endpoint", "candidate", "target", "spread_left", "sd_left", "share_covered"]
FEWEST_ALIKE = 5  # cohorts that print alike, for their range to count


def rank_candidates(statistics, targets, candidates, *, chain=None):
    """Rank further numbers that an abstract could have printed by how much they would have settled.

    Parameters
    ----------
    statistics : DataFrame
        One row for each cohort, columns (endpoint, statistic), as of `calculate_statistics`.
    targets, candidates : sequence of str
        Statistics to be settled, and those that could be printed for the same endpoint.
    chain : dict of str to ndarray of int, shape (n_cohorts,), optional
        Markov chain of each cohort by endpoint, as `CompatibleCohorts.chains`: one cohort of each is kept,
        since those of one chain may resemble each other; all are when absent.

    Returns
    -------
    DataFrame
        Columns ``endpoint candidate target spread_left sd_left share_covered``, the most telling first for
        each endpoint and target; candidates of which less than half is covered come last. Cohorts that print
        the candidate alike (`print_rounded`) are taken together. ``spread_left`` is the range of the target
        within such a group, relative to the range expected in as many cohorts drawn from all, averaged over
        cohorts: 1 where the candidate tells nothing; ``sd_left`` the pooled standard deviation within groups
        relative to that of all cohorts. Only groups of at least `FEWEST_ALIKE` cohorts count;
        ``share_covered`` is the share of cohorts in them. NaN where there are none, or the target does not
        vary.

    Notes
    -----
    A range grows with the number of cohorts it is taken over; relative to the range of the whole sample, any
    candidate that splits it finely would look telling.
    """
    rows = []
    for endpoint in statistics.columns.unique(0):
        own = statistics[endpoint]
        if chain is not None:
            own = own.iloc[np.unique(chain[endpoint], return_index=True)[1]]
        known = [[name for name in names if name in own.columns] for names in (targets, candidates)]
        for target, candidate in product(*known):
            if candidate != target:
                values, other = own[target].to_numpy(float), own[candidate].to_numpy(float)
                spread = _measure_spread(values, print_rounded(other, candidate))
                rows.append((endpoint, candidate, target, *spread))
    table = pd.DataFrame(rows, columns=CANDIDATES)
    table["place"] = table.groupby(["endpoint", "target"], sort=False).ngroup()
    table["is_thin"] = ~(table["share_covered"] >= 0.5)
    ranked = table.sort_values(["place", "is_thin", "spread_left"], ignore_index=True)
    return ranked[CANDIDATES]


def _measure_spread(values, printed):
    """Range and SD left within groups that print alike, and the share of cohorts in groups that count."""
    known = np.isfinite(values)
    values, printed = values[known], printed[known]
    _, which, sizes = np.unique(printed, return_inverse=True, return_counts=True)
    counted = np.flatnonzero(sizes >= FEWEST_ALIKE)
    if not len(counted) or np.ptp(values) == 0:
        return np.nan, np.nan, float(sizes[counted].sum() / len(known))
    groups = [values[which == each] for each in counted]
    expected = {size: _expect_range(values, size) for size in np.unique(sizes[counted])}
    weight = sizes[counted]
    spread = np.average([np.ptp(each) / expected[len(each)] for each in groups], weights=weight)
    within = sum(((each - each.mean()) ** 2).sum() for each in groups) / (weight - 1).sum()
    return float(spread), float(np.sqrt(within) / values.std(ddof=1)), float(weight.sum() / len(known))


def _expect_range(values, size):
    """Expected range of so many of the values, drawn without replacement."""
    n, rank = len(values), np.arange(len(values) - size + 1) + size
    # That the value of this rank is the largest of those drawn.
    log_chance = _log_choose(rank - 1, size - 1) - _log_choose(n, size)
    chance, in_order = np.exp(log_chance), np.sort(values)
    return float((chance * (in_order[size - 1 :] - in_order[::-1][size - 1 :])).sum())


def _log_choose(n, k):
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


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


def measure_claims(claimed, endpoints, statistics, *, n_cohorts, seed):
    """Measure how much wider some answers become when one claim is dropped.

    Parameters
    ----------
    claimed : ClaimedTrial
    endpoints : sequence of str
        Endpoints to look at, each by itself.
    statistics : sequence of str
        Answers wanted, as `compatible_statistics.calculate_statistics` names them.
    n_cohorts, seed : int
        Of each sample; with 0 cohorts nothing is sampled.

    Returns
    -------
    DataFrame
        As of `compatible_narrowing.drop_claims`; no rows where nothing is sampled.
    """
    parts = [pd.DataFrame(columns=NARROWING)]
    if n_cohorts:
        trials = [claimed] if set(endpoints) == set(claimed.endpoints) else map(claimed.only, endpoints)
        parts = [drop_claims(each, calculate_statistics, n_cohorts=n_cohorts, seed=seed) for each in trials]
    table = pd.concat(parts, ignore_index=True)
    return table[table["statistic"].isin(statistics)]


def find_most_telling(narrowing, statistic):
    """The claim whose loss widens the range of a statistic most.

    Parameters
    ----------
    narrowing : DataFrame
        As of `compatible_narrowing.drop_claims`.
    statistic : str

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``claim width_ratio``.
    """
    rows = narrowing[(narrowing["claim"] != "") & (narrowing["statistic"] == statistic)]
    rows = rows.dropna(subset="width_ratio").sort_values("width_ratio", ascending=False, kind="stable")
    return rows.drop_duplicates("endpoint").set_index("endpoint")[["claim", "width_ratio"]]


def pick_candidates(ranked, *, most=8, covered=0.5):
    """The further numbers that would have told most, on average over what they would tell.

    Parameters
    ----------
    ranked : DataFrame
        As of `compatible_answers.rank_candidates`.
    most : int, default 8
        Candidates of an endpoint.
    covered : float, default 0.5
        Least share of cohorts that a candidate has to have been judged by.

    Returns
    -------
    DataFrame
        Their rows, the most telling first, with ``mean_left``, the average of ``spread_left``.
    """
    known = ranked[ranked["share_covered"] >= covered].dropna(subset="spread_left")
    mean = known.groupby(["endpoint", "candidate"])["spread_left"].transform("mean")
    known = known.assign(mean_left=mean).sort_values("mean_left", kind="stable")
    place = known.groupby("endpoint")["candidate"].transform(lambda names: pd.factorize(names)[0])
    return known[place < most]
