"""How much each published claim narrows the answers, and which further number would narrow them most."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import gammaln

from nkhcc_helpers.compatible.claims import ClaimedTrial, describe_claim
from nkhcc_helpers.compatible.cohorts import OutOfTimeError, draw_blocks, gather_blocks, plan_blocks
from nkhcc_helpers.compatible.sampling import USUAL_EFFORT
from nkhcc_helpers.identification.answers import pick_statistics
from nkhcc_helpers.identification.bounds import read_table, store_table
from nkhcc_helpers.identification.statistics import KEYS, LANDMARKS, Statistic, calculate_statistics
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

NARROWING_FILE = "compatible_narrowing.csv"  # in the folder of a trial
NARROWING = ["endpoint", "claim", "statistic", "lower", "upper", "width_ratio", "ratio_lower", "ratio_upper"]
AIMS = (
    Statistic("permutation_p"),
    Statistic("trend_p"),
    Statistic("rate", at=LANDMARKS[0]),
    Statistic("rmst"),
)
N_COHORTS, SEED = 40, 2015  # of the samples stored with a trial, which are those that notebook 05 asks for
N_BLOCKS = 2  # of chains, for each sample
ALL_CLAIMS = ""  # in the place of a claim, where none is dropped
SHARE = 0.95  # of a sample between its limits, and of samples between those of a ratio
LIMITS = [(1 - SHARE) / 2, (1 + SHARE) / 2]
N_RESAMPLES = 400
CANDIDATES = ["endpoint", "candidate", "target", "spread_left", "sd_left", "share_covered"]
TARGETS = ("permutation_p", "trend_p", "hr")
OFFERED = ("rate", "rmst", "follow_up", "longest", "n_censored")
FEWEST_ALIKE = 5  # cohorts that print alike, for their range to count


def obtain_narrowing(
    trial, claimed, endpoints, *, n_cohorts=N_COHORTS, seed=SEED, effort=USUAL_EFFORT, jobs=2, watch=None
):
    """Obtain how much wider answers become without each claim: what is stored and fits, else by sampling.

    Efron, Tibshirani (1993) An Introduction to the Bootstrap.

    Parameters
    ----------
    trial : Trial
        Its folder may hold what was measured with these claims, `n_cohorts` and `seed`.
    claimed : ClaimedTrial
    endpoints : sequence of str
        To look at, each by itself.
    n_cohorts, seed : int
        Of each sample; with 0 cohorts nothing is sampled.
    effort, jobs
        As in `compatible.sample_compatible`.
    watch : callable, optional
        Told before sampling and during it: cohorts drawn, cohorts in all, and about how many seconds are
        left.

    Returns
    -------
    DataFrame
        Columns ``endpoint claim statistic lower upper width_ratio ratio_lower ratio_upper``, of the
        statistics in `AIMS`: the central 95 % without the claim (``""``: with all claims); its width
        relative to that with all claims, above 1 where the claim narrows the answer, and 95 % bootstrap
        limits of that, drawing whole Markov chains, which do not tell of chains that have not mixed. NaN
        where there is no width. No rows where nothing is sampled; of claims for which time was up, as
        `count_dropped` tells.

    Raises
    ------
    IncompatibleClaimsError
        No cohort was found for one of the samples.
    """
    parts, options = [pd.DataFrame(columns=NARROWING)], {"n_cohorts": n_cohorts, "seed": seed}
    alike = set(endpoints) == set(claimed.endpoints)
    for at, part in enumerate(wanted := [claimed] if alike else [*map(claimed.only, endpoints)]):
        effort_here = effort.share(1 / (len(wanted) - at))
        stored = _read(trial, part, options) if n_cohorts else parts[0]
        if n_cohorts and stored.empty:
            stored = drop_claims(part, calculate_aims, **options, effort=effort_here, jobs=jobs, watch=watch)
        parts.append(stored)
    return pd.concat([each for each in parts if len(each)] or parts, ignore_index=True)


def make_narrowing(
    claimed, folder, *, n_cohorts=N_COHORTS, seed=SEED, effort=USUAL_EFFORT, jobs=2, progress=False
):
    """Measure what each claim is worth for `obtain_narrowing`; returns the path of the file in the folder.

    All endpoints are looked at together, and each by itself, since the limits of ratios depend on which are.
    Raises OutOfTimeError where time was up before any claim could be dropped.
    """
    variants, options = list_variants(claimed), {"n_cohorts": n_cohorts, "seed": seed}
    samples = draw_variants(variants, **options, effort=effort, jobs=jobs, progress=progress)
    variants, samples = _keep_whole(variants, samples)
    if not variants:
        raise OutOfTimeError("time was up before it could be told what any claim is worth")
    answers = _answer(samples, calculate_aims)
    trials = {each.endpoints: each for each in (claimed, *map(claimed.only, claimed.endpoints))}
    parts = []
    for endpoints, part in trials.items():
        own = [at for at, variant in enumerate(variants) if variant.claimed.endpoints[0] in endpoints]
        if own:
            table = _compare([variants[at] for at in own], [answers[at] for at in own], seed)
            parts.append((part, table.assign(**options)))
    return store_table(Path(folder) / NARROWING_FILE, parts)


def calculate_aims(cohorts):
    """The statistics in `AIMS` of every cohort, as of `calculate_statistics`."""
    return calculate_statistics(cohorts, wanted=AIMS)


def drop_claims(
    claimed,
    calculate,
    *,
    n_cohorts=100,
    seed=DEFAULT_SEED,
    effort=USUAL_EFFORT,
    jobs=2,
    progress=False,
    watch=None,
):
    """The table of `obtain_narrowing` by sampling, of the statistics that `calculate` makes of cohorts.

    One endpoint is sampled at a time, without the order between endpoints. A median that is not reached
    counts as later than any.
    """
    variants = list_variants(claimed)
    drawing = {"effort": effort, "jobs": jobs, "progress": progress, "watch": watch}
    variants, samples = _keep_whole(variants, draw_variants(variants, n_cohorts, seed, **drawing))
    return _compare(variants, _answer(samples, calculate), seed)


@dataclass(frozen=True)
class Variant:
    """The claims about one endpoint without one of them, which is described in words; none is for ``""``."""

    dropped: str
    claimed: ClaimedTrial


def list_variants(claimed):
    """Of each endpoint by itself: all claims, then all but each in turn."""
    variants = []
    for alone in map(claimed.only, claimed.endpoints):
        variants.append(Variant(ALL_CLAIMS, alone))
        for dropped in alone.claims:
            kept = [claim for claim in alone.claims if claim is not dropped]
            variants.append(Variant(describe_claim(dropped), alone.keep(kept)))
    return variants


def draw_variants(variants, n_cohorts, seed, *, effort=USUAL_EFFORT, jobs=2, progress=False, watch=None):
    """Cohorts of every variant; all blocks of all of them wait in one queue."""
    options = {"seed": seed, "n_blocks": N_BLOCKS, "effort": effort}
    plans = [plan_blocks(each.claimed, n_cohorts, **options) for each in variants]
    owner = np.repeat(np.arange(len(plans)), [len(plan) for plan in plans])
    blocks = [block for plan in plans for block in plan]
    numbered = [(one[0], number, *one[2:]) for number, one in enumerate(blocks)]
    drawn = draw_blocks(numbered, jobs=jobs, progress=progress, watch=watch)
    for at, each in enumerate(variants):
        own = [block for block, of in zip(drawn, owner, strict=True) if of == at]
        yield gather_blocks(each.claimed, own, seed, n_cohorts)


def _keep_whole(variants, samples):
    """Those whose samples were not cut by time, nor the sample with all claims beside which they stand."""
    pairs = [pair for pair in zip(variants, samples, strict=True) if not pair[1].is_cut]
    known = {each.claimed.endpoints for each, _ in pairs if each.dropped == ALL_CLAIMS}
    kept = [pair for pair in pairs if pair[0].claimed.endpoints in known]
    return [one for one, _ in kept], [sample for _, sample in kept]


def count_dropped(narrowing, claimed, endpoints):
    """How many of the claims about some endpoints a narrowing tells the worth of, and which it does not.

    Parameters
    ----------
    narrowing : DataFrame
        As of `obtain_narrowing`.
    claimed : ClaimedTrial
    endpoints : sequence of str

    Returns
    -------
    (int, int, list of str)
        The last are claims, in words, that could not be dropped in time.
    """
    told = set(zip(narrowing["endpoint"], narrowing["claim"], strict=True))
    claims = [(code, describe_claim(each)) for code in endpoints for each in claimed.claims_about(code)]
    missing = [claim for code, claim in claims if (code, claim) not in told]
    return len(claims) - len(missing), len(claims), missing


def _answer(samples, calculate):
    """Of each sample the statistics, what is not reached later than any, and the chain of each cohort."""
    answers = []
    for cohorts in samples:
        values = calculate(cohorts).apply(lambda column: column.name[1].place_not_reached(column))
        answers.append((values, cohorts.chain[:, 0]))
    return answers


def _compare(variants, answers, seed):
    """The table of `drop_claims`; the first variant of an endpoint is that with all claims."""
    rng, rows = np.random.default_rng(seed), [pd.DataFrame(columns=NARROWING)]
    for variant, (values, chain) in zip(variants, answers, strict=True):
        lower, upper = _find_limits(values)
        width, widths = _measure_width(lower, upper), _resample_widths(values, chain, rng)
        if variant.dropped == ALL_CLAIMS:
            whole, wholes = _keep_positive(width), _keep_positive(widths)
        ratios = width / whole, *pd.DataFrame(widths / wholes).quantile(LIMITS, axis=1).to_numpy()
        numbers = dict(zip(NARROWING[3:], (lower, upper, *ratios), strict=True))
        frame = values.columns.to_frame(index=False).set_axis(KEYS, axis=1)
        rows.append(frame.assign(claim=variant.dropped, **numbers))
    return pd.concat(rows[1:] or rows, ignore_index=True)[NARROWING]


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


def _read(trial, claimed, options):
    """What is stored with a trial for these claims and options."""
    path = trial.source / NARROWING_FILE
    stored = read_table(path, claimed, AIMS, NARROWING, float_precision="round_trip", **options)
    return stored.fillna({"claim": ALL_CLAIMS})


def find_most_telling(narrowing, labels, kind="permutation_p"):
    """The claim whose loss widens the range of a statistic most.

    Parameters
    ----------
    narrowing : DataFrame
        As of `obtain_narrowing`.
    labels : mapping of str to str
        What the claims are called.
    kind : str, default "permutation_p"
        Of the statistic.

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``claim ratio``: what it is called, and how many times as wide.
    """
    rows = pick_statistics(narrowing[narrowing["claim"] != ALL_CLAIMS], kind).dropna(subset="width_ratio")
    rows = rows.sort_values("width_ratio", ascending=False, kind="stable").drop_duplicates("endpoint")
    named = rows.assign(claim=rows["claim"].map(labels), ratio=rows["width_ratio"])
    return named.set_index("endpoint")[["claim", "ratio"]]


def rank_candidates(statistics, targets=TARGETS, candidates=OFFERED, *, chain=None):
    """Rank further numbers that an abstract could have printed by how much they would have settled.

    Parameters
    ----------
    statistics : DataFrame
        As of `calculate_statistics`.
    targets, candidates : sequence of str
        Kinds of statistic to be settled, and of those that could be printed for the same endpoint.
    chain : dict of str to ndarray of int, shape (n_cohorts,), optional
        As `CompatibleCohorts.chains`: one cohort of each Markov chain is kept, since they may resemble each
        other; all are when absent.

    Returns
    -------
    DataFrame
        Columns ``endpoint candidate target spread_left sd_left share_covered``, the most telling first for
        each endpoint and target; candidates of which less than half is covered come last. Cohorts that would
        print the candidate alike are taken together, groups of fewer than `FEWEST_ALIKE` left out: range of
        the target within them, relative to that expected in as many cohorts drawn from all (1: it tells
        nothing), pooled standard deviation relative to that of all, share of cohorts in them. NaN where
        there are none.
    """
    rows = []
    for endpoint in statistics.columns.unique(0):
        own = statistics[endpoint]
        if chain is not None:
            own = own.iloc[np.unique(chain[endpoint], return_index=True)[1]]
        wanted, offered = ([each for each in own if each.kind in kinds] for kinds in (targets, candidates))
        printed = {each: each.print_rounded(own[each]) for each in offered}
        for target, candidate in product(wanted, offered):
            if candidate != target:
                spread = _measure_spread(own[target].to_numpy(float), printed[candidate])
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


def pick_candidates(ranked, *, most=8, covered=0.5):
    """Pick the further numbers that would have told most, on average over what they would tell.

    Parameters
    ----------
    ranked : DataFrame
        As of `rank_candidates`.
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


def find_best(ranked, labels):
    """The further number of each endpoint that would have told most.

    Parameters
    ----------
    ranked : DataFrame
        As of `pick_candidates`.
    labels : mapping of Statistic to str
        What the statistics are called.

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``best left``: what it is called, and the percent of the spread left.
    """
    rows = ranked.drop_duplicates("endpoint")
    named = rows.assign(best=rows["candidate"].map(labels), left=100 * rows["mean_left"])
    return named.set_index("endpoint")[["best", "left"]]
