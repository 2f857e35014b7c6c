"""Compatible cohorts: compared with full enumeration, checked by lifelines, repeatable, bounded."""

import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from claimed_trials import FEW, QUICK, SMALL, claim_trial, list_cohorts, logrank_p, measure_claims, median

from nkhcc_helpers.compatible.checks import check_cohorts, find_conflict
from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import (
    CompatibleCohorts,
    IncompatibleClaimsError,
    draw_block,
    gather_blocks,
    plan_blocks,
    sample_compatible,
)
from nkhcc_helpers.compatible.sampling import Effort
from nkhcc_helpers.identification.answers import diagnose
from nkhcc_helpers.identification.bounds import find_bounds
from nkhcc_helpers.identification.statistics import calculate_statistics
from nkhcc_helpers.trial.claims import HazardRatio, LandmarkRate

HAZARD_RATIO = HazardRatio(kind="hazard_ratio", endpoint="OS", group="B", value=0.5, decimals=1)
LANDMARK_RATE = LandmarkRate(kind="landmark_rate", endpoint="OS", at=3.0, value=50.0, decimals=0)
KNOWN = {
    "three patients, one claim": claim_trial({"A": 3}, [median(3)]),
    "two groups, log-rank, censoring": claim_trial(
        {"A": 2, "B": 2},
        [median(3, group="A"), logrank_p(0.2, decimals=1)],
        censored=[{"endpoint": "OS", "most": 2}],
        median_convention="midpoint",
    ),
    "PFS not after OS, censoring from a time on": claim_trial(
        {"A": 1, "B": 2},
        [median(3, group="B"), median(2, endpoint="PFS")],
        endpoints=("PFS", "OS"),
        ordered=("PFS", "OS"),
        longest=5,
        prior="uniform",
        censored=[
            {"endpoint": "OS", "most": 1},
            {"endpoint": "PFS", "fewest": 1, "most": 1, "earliest": 2.0},
        ],
    ),
    "PFS not after OS, numbers and times of censoring": claim_trial(
        {"A": 2, "B": 1},
        [median(3, group="A"), median(2, group="B", endpoint="PFS")],
        endpoints=("PFS", "OS"),
        ordered=("PFS", "OS"),
        longest=4,
        censored=[
            {"endpoint": "OS", "most": 2, "earliest": 3.0},
            {"endpoint": "PFS", "most": 2, "latest": 2.0},
        ],
    ),
    "hazard ratio and rate": claim_trial(
        {"A": 2, "B": 2}, [HAZARD_RATIO, LANDMARK_RATE], censored=[{"endpoint": "OS", "most": 1}]
    ),
}


def list_keys(times, events):
    both = np.concatenate([np.round(times).astype(int), events], axis=1)
    return [tuple(each.ravel().tolist()) for each in both]


@pytest.fixture(scope="module")
def bundled(bundled_trial):
    trial = bundled_trial
    return ClaimedTrial.of(trial.published, trial.metadata)


@pytest.fixture(scope="module")
def sampled(bundled):
    return sample_compatible(bundled, n_cohorts=16, seed=1, jobs=1, effort=FEW)


EFFORTS = [pytest.param(name, SMALL, 2_000, id=f"{name}-small") for name in KNOWN]
EFFORTS.append(pytest.param("three patients, one claim", Effort(), 800, id="usual effort, fewer cohorts"))
EFFORTS += [pytest.param(name, Effort(), 2_000, id=f"{name}-usual", marks=pytest.mark.slow) for name in KNOWN]


@pytest.mark.parametrize(("name", "effort", "n_cohorts"), EFFORTS)
def test_sample_is_distributed_as_all_cohorts_listed(name, effort, n_cohorts):
    claimed = KNOWN[name]
    times, events, weights = list_cohorts(claimed)
    chance = dict(zip(list_keys(times, events), weights, strict=True))
    sample = sample_compatible(claimed, n_cohorts=n_cohorts, seed=5, jobs=1, effort=effort)
    seen = Counter(list_keys(sample.times, sample.events))
    assert set(seen) <= set(chance)
    # How far an independent sample of this size would be from the distribution it is drawn from.
    rng = np.random.default_rng(1)
    usual = [np.abs(rng.multinomial(n_cohorts, weights) / n_cohorts - weights).sum() for _ in range(50)]
    distance = sum(abs(chance[key] - seen[key] / n_cohorts) for key in chance)
    assert distance < 1.5 * np.mean(usual)
    features = times.reshape(len(times), -1)
    mean, spread = weights @ features, np.sqrt(weights @ (features - weights @ features) ** 2)
    error = np.maximum(spread, 1e-9) / np.sqrt(n_cohorts)
    assert (np.abs(sample.times.reshape(n_cohorts, -1).mean(axis=0) - mean) < 6 * error).all()


@pytest.mark.parametrize("name", KNOWN)
def test_distances_are_0_where_lifelines_finds_the_claims_met(name):
    claimed = KNOWN[name].only("OS")
    rng = np.random.default_rng(2)
    times, events = (
        rng.integers(1, 7, (60, 1, len(claimed.codes))),
        rng.random((60, 1, len(claimed.codes))) < 0.8,
    )
    zeros = np.zeros(60, dtype=int)
    origin = zeros[:, None]
    cohorts = CompatibleCohorts(claimed, times * 1.0, events, origin, zeros, origin > 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifelines warns of separation, in which no hazard ratio exists
        checked = check_cohorts(cohorts)["meets"].to_numpy().reshape(60, -1)
    measured = measure_claims(claimed, "OS", times[:, 0], events[:, 0]) == 0
    assert (measured == checked).all()
    assert measured.any()


def test_medians_near_each_other_start_from_medians_too():
    claims = [median(4, group=group, endpoint=code) for group in "AB" for code in ("PFS", "OS")]
    claimed = claim_trial({"A": 2, "B": 3}, claims, endpoints=("PFS", "OS"), ordered=("PFS", "OS"))
    sample = sample_compatible(claimed, n_cohorts=30, start="medians", seed=1, jobs=1, effort=QUICK)
    assert len(sample) == 30
    assert check_cohorts(sample)["meets"].all()


def test_endpoints_out_of_order_are_drawn_on_their_own():
    claims = [median(value, endpoint=code) for value, code in ((3, "PFS"), (4, "OS"), (2, "TTP"))]
    claimed = claim_trial({"A": 3}, claims, endpoints=("TTP", "PFS", "OS"), ordered=("PFS", "OS"))
    sample = sample_compatible(claimed, n_cohorts=20, seed=1, jobs=1, effort=QUICK)
    assert check_cohorts(sample)["meets"].all()
    assert (sample.times >= 1).all()
    found = find_bounds(
        sample, lambda times, events: times.mean(axis=1), endpoint="PFS", n_sweeps=20, effort=QUICK
    )
    assert (found.times[:, 1] <= found.times[:, 2]).all()


def test_too_few_cohorts_are_told_of():
    claimed = KNOWN["three patients, one claim"]
    plan = plan_blocks(claimed, 10, seed=1, effort=QUICK)[0]
    with pytest.warns(UserWarning, match="5 of 10 were found"):
        gather_blocks(claimed, [draw_block(plan)], 1, 10)


@pytest.mark.no_cover
def test_every_cohort_meets_every_claim_by_lifelines(sampled):
    checked = check_cohorts(sampled)
    assert checked["meets"].all(), checked[~checked["meets"]]
    assert len(checked) == len(sampled) * (len(sampled.claimed.claims) + 1)
    later = check_cohorts(sampled.take(slice(0, 3)))
    assert later["value"].tolist() == checked["value"].tolist()[: len(later)]


def test_a_changed_cohort_is_found_out(sampled):
    one = sampled.take([0])
    one.times[0, 0] *= 1.2
    checked = check_cohorts(one)
    assert not checked["meets"].all()
    assert (checked.loc[~checked["meets"], "claim"].str.contains("PFS")).all()


@pytest.mark.no_cover
def test_the_same_seed_draws_the_same_cohorts_in_any_number_of_processes():
    claimed = KNOWN["two groups, log-rank, censoring"]
    one, other = (
        sample_compatible(claimed, n_cohorts=50, seed=3, jobs=jobs, effort=QUICK) for jobs in (1, 2)
    )
    assert (one.times == other.times).all()
    assert (one.events == other.events).all()
    third = sample_compatible(claimed, n_cohorts=50, seed=4, jobs=1, effort=QUICK)
    assert (one.times != third.times).any()


def compare_means(one, other):
    """Difference between two diagnosed means in standard errors."""
    variance = one["sd"] ** 2 / one["effective_size"] + other["sd"] ** 2 / other["effective_size"]
    return (one["mean"] - other["mean"]) / np.sqrt(variance)


@pytest.mark.no_cover
def test_two_seeds_and_two_starts_agree():
    claimed = KNOWN["two groups, log-rank, censoring"]
    samples = [
        sample_compatible(claimed, n_cohorts=800, seed=seed, start=start, jobs=1, effort=SMALL)
        for seed, start in ((1, "prior"), (2, "medians"))
    ]
    frames = [calculate_statistics(each, n_draws=200, landmarks=(3.0,)) for each in samples]
    one, other = (diagnose(*each) for each in zip(samples, frames, strict=True))
    differ = compare_means(one, other).dropna()
    assert len(differ) > 5
    assert (differ.abs() < 5).all(), differ
    assert (one["r_hat"].dropna() < 1.05).all()
    n_known = frames[0].notna().sum()
    assert (one["effective_size"].dropna() > 0.4 * n_known[one["effective_size"].dropna().index]).all()


def test_diagnostics_see_chains_that_do_not_mix():
    claimed = KNOWN["three patients, one claim"]
    sample = sample_compatible(claimed, n_cohorts=400, seed=1, jobs=1, effort=SMALL)
    frame = calculate_statistics(sample, n_draws=50, landmarks=(3.0,)).iloc[:, :1] * 0.0
    stuck = frame + sample.block[:, None] + np.random.default_rng(1).normal(0, 0.1, (400, 1))
    found = diagnose(sample, stuck).iloc[0]
    assert found["r_hat"] > 2
    assert abs(found["starts_differ"]) > 10


@pytest.mark.no_cover
def test_a_typo_in_one_median_of_a_small_trial_is_caught():
    claims = [median(2, group="A"), median(3, group="B"), logrank_p(0.5, decimals=1)]
    claimed = claim_trial({"A": 3, "B": 3}, claims, longest=40, unit="weeks")
    assert find_conflict(claimed.keep([*claims, median(3)]), effort=QUICK).claims == ()
    conflict = find_conflict(claimed.keep([*claims, median(30)]), effort=QUICK)
    assert median(30) in conflict.claims
    assert not conflict.nearest["meets"].all()
    assert "median OS: 30" in str(conflict)


@pytest.mark.slow
def test_a_typo_in_one_median_is_caught(bundled):
    only = bundled.only("PFS")
    claims = [
        claim.model_copy(update={"value": 48.0}) if claim.kind == "median" and claim.group is None else claim
        for claim in only.claims
    ]
    conflict = find_conflict(only.keep(claims), seed=1, effort=SMALL)
    assert any(claim.kind == "median" and claim.group is None for claim in conflict.claims)
    assert not conflict.nearest["meets"].all()
    assert "median PFS: 48.0" in str(conflict)


def test_a_conflict_names_the_claims_that_conflict_and_no_others():
    claimed = claim_trial(
        {"A": 3, "B": 3},
        [median(2, group="A"), median(3, group="B"), median(5, group="A"), logrank_p(0.5, decimals=1)],
    )
    conflict = find_conflict(claimed, effort=QUICK)
    assert {(claim.kind, claim.value) for claim in conflict.claims} == {("median", 2.0), ("median", 5.0)}
    with pytest.raises(IncompatibleClaimsError, match="no cohort was found"):
        sample_compatible(claimed, n_cohorts=20, jobs=1, effort=QUICK)
    assert find_conflict(claimed.keep(claimed.claims[:2]), effort=QUICK).claims == ()


@pytest.mark.no_cover
def test_bounds_are_those_of_all_cohorts_listed():
    claimed = KNOWN["two groups, log-rank, censoring"]
    times, _, _ = list_cohorts(claimed)
    sample = sample_compatible(claimed, n_cohorts=40, seed=2, jobs=1, effort=SMALL)
    found = find_bounds(sample, lambda times, events: times.mean(axis=1), endpoint="OS", effort=SMALL)
    means = times[:, 0].mean(axis=1)
    assert found.lowest == pytest.approx(means.min())
    assert found.highest == pytest.approx(means.max())
    assert found.times[[0, -1], 0].mean(axis=1) == pytest.approx([found.lowest, found.highest])


def test_bounds_hold_the_sample_and_their_cohorts_meet_every_claim(sampled):
    def share_at_risk(times, events):
        return (times > 12).mean(axis=1)

    found = find_bounds(sampled, share_at_risk, endpoint="OS", n_chains=20, n_sweeps=5, effort=SMALL)
    values = share_at_risk(*sampled.of("OS"))
    assert found.lowest <= values.min() <= values.max() <= found.highest
    at_end = replace(sampled.take([0, 0, 0]), times=found.times[[0, 1, -1]], events=found.events[[0, 1, -1]])
    assert check_cohorts(at_end)["meets"].all()
    assert (at_end.of("PFS")[0] <= at_end.of("OS")[0]).all()


@pytest.mark.parametrize("wrong", [{"n_cohorts": 0}, {"n_blocks": -1}, {"start": "anywhere"}])
def test_bad_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        sample_compatible(KNOWN["three patients, one claim"], **wrong)
