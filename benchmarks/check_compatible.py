"""Compatible cohorts where the truth is known: trials drawn from the prior, published, and found again.

    python benchmarks/check_compatible.py 100

draws so many true trials from the prior, prints of each what a paper would, samples the cohorts compatible
with that, and asks where the truth lies: within the bounds every time, within 95 % of the sample 95 % of the
time, and at any rank among the sampled cohorts as often as at any other. About half a minute a trial.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import CompatibleCohorts, sample_compatible
from nkhcc_helpers.cox.models import fit_cox_many
from nkhcc_helpers.identification.bounds import bound_statistics, choose_statistic, find_bounds
from nkhcc_helpers.identification.statistics import calculate_statistics, list_statistics
from nkhcc_helpers.parallel import run_blocks
from nkhcc_helpers.survival.exact import count_allocations
from nkhcc_helpers.survival.permutation import compare_survival
from nkhcc_helpers.survival.summaries import estimate_median, estimate_survival_at
from nkhcc_helpers.trial.claims import (
    CohortAssumptions,
    HazardRatio,
    LandmarkRate,
    LogrankP,
    LongestFollowUp,
    Median,
)
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT

ENDPOINTS = ("PFS", "OS")
GROUPS = ("A", "B", "C")
DAYS_PER_MONTH = DAYS_PER_UNIT["months"]
LANDMARK = 12.0  # months
AT_ONCE = 20_000  # trials drawn, of which those in which PFS is after OS are thrown away
FALSE_ALARM = 0.01  # chance that a right sampler fails
FEW_ALLOCATIONS = 5_000  # for which a search for extreme permuted P-values takes seconds
N_DRAWS = 2_000
DIGITS = 9
SEARCHED = ("rmst all", "rate 12 all", "n_censored", "longest", "median, unclaimed", "pair_p B-A")
SEARCHED_SLOWLY = ("permutation_p", "trend_p", "logrank_p")
TESTED = (
    *SEARCHED_SLOWLY,
    "pair_p B-A",
    "pair_p C-B",
    "rmst all",
    "rate 12 all",
    "rate 24 C",
    "follow_up",
    "longest",
    "n_censored",
    "mean time",
    "median, unclaimed",
)


@dataclass(frozen=True)
class Plan:
    """What a paper is going to report, settled before there are any patients.

    Attributes
    ----------
    sizes : dict of str to int
        Patients in each group.
    medians : tuple of (str, str or None)
        Endpoint and group, None for everyone.
    p_decimals : dict of str to int
        Decimals of the log-rank P, by endpoint.
    rates : tuple of (str, str or None)
        Endpoint and group of survival at `LANDMARK`.
    hazard_ratios : tuple of (str, str, str or None)
        Endpoint, group, and the group it is compared with.
    reports_longest : bool
        Whether the longest follow-up is reported.
    assumptions : CohortAssumptions
        How trials are drawn, and what the sampler is told about it.
    decimals : int
        Of medians and of the longest follow-up.
    """

    sizes: dict
    medians: tuple
    p_decimals: dict
    rates: tuple
    hazard_ratios: tuple
    reports_longest: bool
    assumptions: CohortAssumptions
    decimals: int = 1

    @property
    def codes(self):
        """Group of each patient, counted from 0."""
        return np.repeat(np.arange(len(self.sizes)), list(self.sizes.values()))


def draw_plan(rng):
    """Draw what is reported of a trial of 10 to 14 patients in three groups, up to two censored."""
    sizes = rng.integers(3, 6, len(GROUPS))
    while not 10 <= sizes.sum() <= 14:
        sizes = rng.integers(3, 6, len(GROUPS))
    medians = [(endpoint, group) for endpoint in ENDPOINTS for group in (None, *GROUPS)]
    earliest = [None, float(rng.choice([3.0, 6.0, 12.0]))][rng.integers(2)]
    assumptions = CohortAssumptions(
        shortest=1.0,
        longest=60.0,
        median_convention=str(rng.choice(["midpoint", "first"])),
        censored=[
            {"endpoint": "PFS", "most": int(rng.integers(3))},
            {"endpoint": "OS", "most": 2, "earliest": earliest},
        ],
    )
    return Plan(
        sizes=dict(zip(GROUPS, sizes.tolist(), strict=True)),
        medians=tuple(each for each in medians if rng.random() < 0.55) or (("OS", None),),
        p_decimals={each: int(rng.integers(2, 5)) for each in ENDPOINTS if rng.random() < 0.75},
        rates=(("OS", None),) if rng.random() < 0.3 else (),
        hazard_ratios=(("OS", "C", "A"),) if rng.random() < 0.2 else (),
        reports_longest=bool(rng.random() < 0.4),
        assumptions=assumptions,
    )


def draw_truths(plan, n_drawn, rng):
    """Draw trials from the prior by rejection, with nothing of the sampler.

    Parameters
    ----------
    plan : Plan
    n_drawn : int
        Trials drawn, before those with a PFS after OS are thrown away.
    rng : numpy.random.Generator

    Returns
    -------
    days : ndarray of int, shape (n_kept, 2, n_patients)
        PFS and OS.
    events : ndarray of bool, shape (n_kept, 2, n_patients)
    """
    drawn = [_draw_endpoint(plan, endpoint, n_drawn, rng) for endpoint in ENDPOINTS]
    days, events = (np.stack(parts, axis=1) for parts in zip(*drawn, strict=True))
    kept = (days[:, 0] <= days[:, 1]).all(axis=1)
    return days[kept], events[kept]


def _draw_endpoint(plan, endpoint, n_drawn, rng):
    """Days and events of one endpoint: a number of censored patients, then who they are, then the times."""
    assumed, n = plan.assumptions, len(plan.codes)
    (limits,) = (each for each in assumed.censored if each.endpoint == endpoint)
    n_censored = rng.integers(limits.fewest, limits.most + 1, n_drawn)
    events = rng.random((n_drawn, n)).argsort(axis=1) >= n_censored[:, None]
    first, last = assumed.shortest * DAYS_PER_MONTH, assumed.longest * DAYS_PER_MONTH
    first_censored = max(first, (limits.earliest or 0) * DAYS_PER_MONTH)
    if_event = _draw_days(first, last, assumed.prior, events.shape, rng)
    if_censored = _draw_days(first_censored, last, assumed.prior, events.shape, rng)
    return np.where(events, if_event, if_censored), events


def _draw_days(first, last, prior, shape, rng):
    """Whole days, each with a chance in proportion to one over the day, or with the same chance."""
    days = np.arange(np.ceil(first), np.floor(last) + 1)
    chance = np.cumsum(1 / days if prior == "log_uniform" else np.ones(len(days)))
    place = np.searchsorted(chance, rng.random(shape) * chance[-1], side="right")
    return days[np.minimum(place, len(days) - 1)].astype(int)


def publish(plan, days, events):
    """Compute what the plan reports of one trial, by the public functions, and round it as printed.

    Parameters
    ----------
    plan : Plan
    days, events : ndarray, shape (2, n_patients)

    Returns
    -------
    list of claims, or None where a number to be reported does not exist
    """
    frames = {each: (days[at] / DAYS_PER_MONTH, events[at]) for at, each in enumerate(ENDPOINTS)}
    claims = [_claim_median(plan, frames, *each) for each in plan.medians]
    claims += [_claim_rate(plan, frames, *each) for each in plan.rates]
    claims += [_claim_hazard_ratio(plan, frames, *each) for each in plan.hazard_ratios]
    for endpoint, decimals in plan.p_decimals.items():
        p_value = compare_survival(*frames[endpoint], plan.codes, n_draws=0, exact=False).p_asymptotic
        claims.append(_claim(LogrankP, "logrank_p", p_value, decimals, endpoint=endpoint))
    if plan.reports_longest:
        longest = frames["OS"][0].max()
        claims.append(_claim(LongestFollowUp, "longest_follow_up", longest, plan.decimals, unit="months"))
    return None if any(claim is None for claim in claims) else claims


def _claim(model, kind, value, decimals, **given):
    """A claim as printed, None where there is no number to print."""
    if not np.isfinite(value):
        return None
    return model(kind=kind, value=float(f"{value:.{decimals}f}"), decimals=decimals, **given)


def _take(plan, frame, group):
    """Times and events of one group, or of everyone."""
    inside = np.ones(len(plan.codes), dtype=bool) if group is None else plan.codes == GROUPS.index(group)
    return frame[0][inside], frame[1][inside]


def _claim_median(plan, frames, endpoint, group):
    time, event = _take(plan, frames[endpoint], group)
    median = estimate_median(time, event, convention=plan.assumptions.median_convention)
    if median.open_ended:  # no event ends the flat stretch: programs print the first time
        median = estimate_median(time, event, convention="first")
    return _claim(Median, "median", median.estimate, plan.decimals, endpoint=endpoint, group=group)


def _claim_rate(plan, frames, endpoint, group):
    shares = estimate_survival_at(*_take(plan, frames[endpoint], group), at=[LANDMARK])["survival"]
    # One decimal: two shares of so few patients never print the same.
    return _claim(
        LandmarkRate, "landmark_rate", 100 * shares[0], 1, endpoint=endpoint, group=group, at=LANDMARK
    )


def _claim_hazard_ratio(plan, frames, endpoint, group, reference):
    counted = np.isin(plan.codes, [GROUPS.index(each) for each in (group, reference)])
    time, event = (each[counted] for each in frames[endpoint])
    treated = (plan.codes[counted] == GROUPS.index(group)).astype(float)[:, None]
    ratio = np.exp(fit_cox_many(time[None], event[None], treated, method="partial", ties="efron").coef[0, 0])
    ratio = ratio if ratio >= 0.005 else np.nan  # a ratio that would print as 0.00 is not printed
    return _claim(HazardRatio, "hazard_ratio", ratio, 2, endpoint=endpoint, group=group, reference=reference)


def draw_published(plan, rng):
    """Draw a true trial of which everything that the plan reports exists.

    That the truth has every number to be reported follows from the claims. Were a median that is not reached
    left out of the claims instead, as papers do, the sampler would not know that it was not reached.

    Returns
    -------
    days, events : ndarray, shape (2, n_patients)
    claimed : ClaimedTrial
    """
    while True:
        for days, events in zip(*draw_truths(plan, AT_ONCE, rng), strict=True):
            claims = publish(plan, days, events)
            if claims is not None:
                return days, events, claim_trial(plan, claims)


def claim_trial(plan, claims):
    """The `ClaimedTrial` of what was published."""
    return ClaimedTrial(plan.sizes, ENDPOINTS, tuple(claims), plan.assumptions, "months", ENDPOINTS)


def hold_cohorts(claimed, days, events):
    """True trials, held as `CompatibleCohorts` so that the same functions take them."""
    none = np.zeros(len(days), dtype=int)
    origin = np.zeros((len(days), 2), dtype=int)
    return CompatibleCohorts(claimed, days / DAYS_PER_MONTH, events, origin, none, origin > 0, 0)


def join(one, other):
    """Cohorts of one and the other, which share the random allocations of their tests so."""
    names = ("times", "events", "chain", "block", "late")
    parts = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return replace(one, **{name: np.concatenate(each) for name, each in parts.items()})


def describe(cohorts, plan, n_draws=N_DRAWS):
    """Statistics of every cohort: tests and curves, and how the two endpoints of a patient go together.

    Returns
    -------
    DataFrame
        Columns (endpoint, statistic), without digits that depend on the order of sums. What does not exist, a
        median not reached, counts as infinite.
    """
    known = calculate_statistics(cohorts, n_draws=n_draws).rename(columns=str, level="statistic")
    columns = {}
    for at, endpoint in enumerate(ENDPOINTS):
        group = name_unclaimed(plan, endpoint)
        told = known[endpoint].assign(**{"mean time": cohorts.times[:, at].mean(axis=1)})
        told["median, unclaimed"] = np.nan if group is None else told[f"median {group}"].fillna(np.inf)
        names = [each for each in TESTED if each in told]
        columns |= {(endpoint, name): told[name] for name in names}
    between, censored = cohorts.times[:, 1] - cohorts.times[:, 0], ~cohorts.events
    columns["both", "longest between"] = between.max(axis=1)
    columns["both", "n within 3 months"] = (between <= 3).sum(axis=1)
    columns["both", "n censored twice"] = censored.all(axis=1).sum(axis=1)
    columns["both", "first patient's ratio"] = cohorts.times[:, 0, 0] / cohorts.times[:, 1, 0]
    table = pd.DataFrame(columns).astype(float).round(DIGITS)
    unknown = [(endpoint, "median, unclaimed") for endpoint in ENDPOINTS]
    return table.where(table.notna() | table.columns.isin(unknown), np.inf)


def name_unclaimed(plan, endpoint):
    """The first group of which no median is reported, None where there is none."""
    return next(
        (each for each in GROUPS if each in plan.sizes and (endpoint, each) not in plan.medians), None
    )


def rank_truth(truth, sampled, rng):
    """Rank of the truth among sampled values, from 0 to 1, ties broken at random.

    Uniform, whatever the statistic, where the sample is independent and the truth is one of its kind.
    """
    below, tied = (sampled < truth).sum(), (sampled == truth).sum()
    return (below + rng.random() * (tied + 1)) / (len(sampled) + 1)


def check_trial(argument):
    """Draw, publish and sample one trial.

    Parameters
    ----------
    argument : tuple
        Seed, cohorts to sample, and searches for bounds.

    Returns
    -------
    list of dict
        One for each statistic: rank of the truth, whether the sample holds it; where its bounds were searched
        for, whether they do, and by how much of their width they miss it.
    """
    seed, n_cohorts, n_searches = argument
    rng = np.random.default_rng(seed)
    plan = draw_plan(rng)
    days, events, claimed = draw_published(plan, rng)
    sample = sample_compatible(claimed, n_cohorts=n_cohorts, seed=int(rng.integers(2**31)), jobs=1)
    truth = hold_cohorts(claimed, days[None], events[None])
    table = describe(join(truth, sample), plan)
    searched = check_bounds(truth, sample, plan, n_searches, rng)
    rows = []
    for (endpoint, statistic), values in table.items():
        values = values.to_numpy()
        if not np.isnan(values).any():
            rank = rank_truth(values[0], values[1:], rng)
            row = {"endpoint": endpoint, "statistic": statistic, "rank": rank, "missed_by": np.nan}
            row["in_sample"] = values[1:].min() <= values[0] <= values[1:].max()
            rows.append(row | searched.get((endpoint, statistic), {}))
    return rows


def check_bounds(truth, sample, plan, n_searches, rng):
    """Search for the bounds of some statistics, drawn at random, and see whether they hold the truth.

    Returns
    -------
    dict
        By endpoint and statistic; ``missed_by`` is 0 where they do, else a share of their width.
    """
    few = count_allocations(list(plan.sizes.values())) <= FEW_ALLOCATIONS
    names = [*SEARCHED, *(SEARCHED_SLOWLY if few else ())]
    wanted = [(endpoint, name) for endpoint in ENDPOINTS for name in names]
    found = {}
    for at in rng.permutation(len(wanted))[:n_searches]:
        endpoint, name = wanted[at]
        group = name_unclaimed(plan, endpoint)
        if name != "median, unclaimed" or group is not None:
            called = f"median {group}" if name == "median, unclaimed" else name
            (statistic,) = (each for each in list_statistics(truth.claimed.groups) if each.name == called)
            missed = _miss(truth, sample, endpoint, statistic)
            found[endpoint, name] = {"missed_by": missed}
    return found


def _miss(truth, sample, endpoint, statistic):
    """By how much of their width the bounds of a statistic miss the truth, NaN where it has none."""
    drawing = {"n_draws": N_DRAWS, "seed": 1}
    value = choose_statistic(truth.claimed, statistic, **drawing)(*truth.of(endpoint))[0]
    bounds = bound_statistics(
        sample, [(endpoint, statistic)], find=find_bounds, n_search_draws=N_DRAWS, jobs=1, **drawing
    )
    lowest, highest = bounds.loc[0, ["lowest", "highest"]].to_numpy(float)
    if np.isnan([value, lowest, highest]).any():
        return np.nan
    outside = max(lowest - value, value - highest)
    return outside / max(highest - lowest, 1e-9) if outside > 1e-9 * max(abs(value), 1) else 0.0


def summarize(rows):
    """Summarize the trials, statistic by statistic.

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic n_trials in_sample n_searched in_bounds missed_by in_95 p_95 p_uniform``:
        shares of trials in which the truth lies within the sample, the bounds (by how much of their width it
        is missed at most) and the central 95 % of the sample; P of that share by the binomial distribution,
        and of uniform ranks by Kolmogorov and Smirnov.

    References
    ----------
    Talts, Betancourt, Simpson, Vehtari, Gelman (2018) arXiv:1804.06788.
    """
    told = []
    for (endpoint, statistic), part in pd.DataFrame(rows).groupby(["endpoint", "statistic"], sort=False):
        inside, missed = part["rank"].between(0.025, 0.975), part["missed_by"].dropna()
        told.append(
            {
                "endpoint": endpoint,
                "statistic": statistic,
                "n_trials": len(part),
                "in_sample": part["in_sample"].mean(),
                "n_searched": len(missed),
                "in_bounds": (missed == 0).mean() if len(missed) else np.nan,
                "missed_by": missed.max() if len(missed) else np.nan,
                "in_95": inside.mean(),
                "p_95": stats.binomtest(int(inside.sum()), len(part), 0.95).pvalue,
                "p_uniform": stats.kstest(part["rank"], "uniform").pvalue,
            }
        )
    return pd.DataFrame(told)


def find_failures(table):
    """Statistics whose truth lies where it should not, allowing for as many tests as there are."""
    worst = table[["p_95", "p_uniform"]].min(axis=1)
    return table[(worst < FALSE_ALARM / (2 * len(table))) | (table["in_bounds"] < 1)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("n_trials", type=int, nargs="?", default=100)
    parser.add_argument("--cohorts", type=int, default=100, help="sampled from each")
    parser.add_argument("--searches", type=int, default=2, help="for bounds of a statistic, in each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args(arguments)
    seeds = np.random.SeedSequence(given.seed).generate_state(given.n_trials).tolist()
    tasks = [(seed, given.cohorts, given.searches) for seed in seeds]
    trials = tqdm(run_blocks(check_trial, tasks, given.jobs), total=len(tasks), unit="trial")
    table = summarize([row for rows in trials for row in rows])
    print(table.to_string(index=False, float_format="{:.4g}".format, na_rep=""))
    failures = find_failures(table)
    print(f"\n{len(failures)} of {len(table)} statistics fail")
    return int(len(failures) > 0)


if __name__ == "__main__":
    sys.exit(main())
