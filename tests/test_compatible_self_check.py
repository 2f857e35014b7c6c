"""Compatible cohorts where the truth is known: trials drawn by other means that print the same numbers."""

import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from claimed_trials import SMALL, claim_trial, median
from scipy import stats

from nkhcc_helpers.compatible.cohorts import sample_compatible
from nkhcc_helpers.identification.bounds import bound_statistics, choose_statistic, find_bounds
from nkhcc_helpers.identification.statistics import Statistic
from nkhcc_helpers.survival.curves import Curves
from nkhcc_helpers.survival.many import permute_logrank_many
from nkhcc_helpers.trial.claims import CohortAssumptions

pytestmark = pytest.mark.no_cover

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "check_compatible.py"
N_DRAWN, N_ALIKE, N_COHORTS = 250_000, 1_000, 700
HORIZON = 8.0  # months
FIND = partial(find_bounds, n_chains=20, n_sweeps=60, effort=SMALL)
SIGNIFICANT = 1e-3  # of all comparisons of a trial together


def load_script():
    spec = importlib.util.spec_from_file_location("check_compatible", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_compatible"] = module  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    return module


check = load_script()


def plan_trial(
    sizes, medians, p_decimals, *, reports_longest=False, censored=((0, None), (0, None)), **assumed
):
    """A plan whose numbers are printed so coarsely that many trials print the same."""
    limits = [
        {"endpoint": endpoint, "most": most, "earliest": earliest}
        for endpoint, (most, earliest) in zip(check.ENDPOINTS, censored, strict=True)
    ]
    given = {"shortest": 1.0, "longest": 12.0, "median_convention": "midpoint", "censored": limits, **assumed}
    return check.Plan(
        sizes, medians, p_decimals, (), (), reports_longest, CohortAssumptions(**given), decimals=0
    )


PLANS = {
    "two groups, censored late": plan_trial(
        {"A": 1, "B": 4}, (("OS", "B"),), {"OS": 1}, censored=((1, None), (2, 6.0))
    ),
    "three groups, uniform": plan_trial(
        {"A": 1, "B": 2, "C": 1},
        (("OS", "B"),),
        {"PFS": 1},
        reports_longest=True,
        censored=((2, 3.0), (1, None)),
        prior="uniform",
        median_convention="first",
    ),
}
QUICK, OTHER = PLANS
SEEDS = dict(zip(PLANS, (14, 7), strict=True))  # of truths that print what many others do


def prints_alike(plan, claims, days, events):
    """Which of many trials print these claims, shape (n_trials,)."""
    alike = np.ones(len(days), dtype=bool)
    for claim in claims:
        at = check.ENDPOINTS.index(getattr(claim, "endpoint", "OS"))
        times, has_event = days[:, at] / check.DAYS_PER_MONTH, events[:, at]
        if claim.kind == "median":
            codes = plan.codes
            inside = codes == list(plan.sizes).index(claim.group) if claim.group else codes >= 0
            curves = Curves.of(times[:, inside], has_event[:, inside])
            values = curves.find_medians(plan.assumptions.median_convention.replace("midpoint", "printed"))
        elif claim.kind == "logrank_p":
            values = permute_logrank_many(times, has_event, plan.codes, n_draws=1).p_asymptotic
        else:
            values = times.max(axis=1)
        alike &= np.abs(values - claim.value) <= 0.5 * 10.0**-claim.decimals
    return alike


def draw_alike(plan, seed):
    """What some true trial prints, other true trials that print the same, and a few that do not."""
    rng = np.random.default_rng(seed)
    claimed, found = check.draw_published(plan, rng)[2], []
    while sum(len(each[0]) for each in found) < N_ALIKE:
        drawn = check.draw_truths(plan, N_DRAWN, rng)
        alike = prints_alike(plan, claimed.claims, *drawn)
        found.append([each[alike] for each in drawn])
    days, events = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return claimed, days, events, [each[~alike][:5] for each in drawn]


@pytest.fixture(scope="module", params=[QUICK, pytest.param(OTHER, marks=pytest.mark.slow)])
def known(request):
    plan = PLANS[request.param]
    claimed, days, events, other = draw_alike(plan, SEEDS[request.param])
    sample = sample_compatible(claimed, n_cohorts=N_COHORTS, n_blocks=1, seed=1, jobs=1, effort=SMALL)
    return plan, check.hold_cohorts(claimed, days, events), sample, (days, events, other)


def test_trials_drawn_alike_print_the_same_and_others_do_not(known):
    plan, truths, _, (days, events, other) = known
    claims = list(truths.claimed.claims)
    assert all(check.publish(plan, *each) == claims for each in zip(days[:10], events[:10], strict=True))
    assert not any(check.publish(plan, *each) == claims for each in zip(*other, strict=True))


def compare_samples(one, other):
    """P of Kolmogorov and Smirnov that two samples are of one distribution; too large with ties."""
    return stats.ks_2samp(one, other, method="asymp").pvalue


def test_sample_is_distributed_as_true_trials_that_print_the_same(known):
    plan, truths, sample, _ = known
    tables = [check.describe(each, plan, n_draws=200).dropna(axis=1) for each in (truths, sample)]
    p_values = {name: compare_samples(*(each[name] for each in tables)) for name in tables[0]}
    assert len(p_values) > 20
    worst = min(p_values, key=p_values.get)
    assert p_values[worst] > SIGNIFICANT / len(p_values), (worst, p_values[worst])


def test_every_true_trial_that_prints_the_same_is_within_the_bounds(known):
    _, truths, sample, _ = known
    wanted = [("PFS", Statistic("rmst")), ("OS", Statistic("pair_p", "B", "A"))]
    bounds = bound_statistics(sample, wanted, find=FIND, n_draws=200, tau=HORIZON, jobs=1)
    for endpoint, statistic, lowest, highest in bounds.itertuples(index=False):
        values = choose_statistic(truths.claimed, statistic, n_draws=200, tau=HORIZON)(*truths.of(endpoint))
        slack = 0.02 * (highest - lowest) + 1e-9
        assert lowest - slack <= np.nanmin(values), statistic
        assert np.nanmax(values) <= highest + slack, statistic


def test_ranks_are_uniform_however_many_values_are_tied():
    rng = np.random.default_rng(1)
    for values in (rng.random((2_000, 20)), rng.integers(2, size=(2_000, 20)) * 1.0):
        ranks = [check.rank_truth(each[0], each[1:], rng) for each in values]
        assert stats.kstest(ranks, "uniform").pvalue > 0.01
    assert check.rank_truth(np.inf, np.array([1.0, 2.0, 3.0]), rng) > 0.75


def test_a_truth_that_lies_elsewhere_is_told():
    rng = np.random.default_rng(1)
    row = {"endpoint": "OS", "in_sample": True, "missed_by": 0.0}
    right = [row | {"statistic": "right", "rank": rank} for rank in rng.random(100)]
    high = [row | {"statistic": "high", "rank": rank} for rank in rng.random(100) ** 0.4]
    extreme = [row | {"statistic": "extreme", "rank": rank} for rank in rng.beta(0.5, 0.5, 100)]
    missed = [
        row | {"statistic": "missed", "rank": 0.5 + rank / 9, "missed_by": 0.1} for rank in rng.random(3)
    ]
    failures = check.find_failures(check.summarize([*right, *high, *extreme, *missed]))
    assert failures["statistic"].tolist() == ["high", "extreme", "missed"]


def test_bounds_of_a_test_are_found_where_nobody_is_censored():
    claimed = claim_trial({"A": 2, "B": 2}, [median(3)])
    sample = sample_compatible(claimed, n_cohorts=20, n_blocks=1, seed=1, jobs=1, effort=SMALL)
    bounds = bound_statistics(
        sample, [("OS", Statistic("pair_p", "B", "A"))], find=partial(FIND, n_sweeps=3), n_draws=100, jobs=1
    )
    assert bounds.loc[0, "highest"] == 1


def test_trials_through_the_script(monkeypatch, capsys):
    monkeypatch.setattr(check, "find_bounds", FIND)
    monkeypatch.setattr(check, "sample_compatible", partial(sample_compatible, n_blocks=1, effort=SMALL))
    monkeypatch.setattr(check, "draw_plan", lambda rng: PLANS["three groups, uniform"])
    assert check.main(["1", "--cohorts", "10", "--searches", "1", "--seed", "1"]) == 0
    told = capsys.readouterr().out
    assert "permutation_p" in told
    assert "0 of 30 statistics fail" in told
