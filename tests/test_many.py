"""Permutation P-values of many cohorts against one cohort at a time, lifelines and every allocation."""

from itertools import combinations, permutations

import numpy as np
import pytest
from lifelines.statistics import multivariate_logrank_test
from oracles import logrank as oracle
from scipy import stats

from nkhcc_helpers.survival import many
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.logrank import RiskSets
from nkhcc_helpers.survival.many import permute_logrank_many, permute_pairs_many
from nkhcc_helpers.survival.permutation import compare_pairs, compare_survival

TRIAL = np.repeat(range(4), (3, 5, 6, 4))


def draw_cohorts(n_cohorts, n, *, censored=0.3, ties=True, seed=1):
    rng = np.random.default_rng(seed)
    times = rng.exponential(size=(n_cohorts, n))
    return np.ceil(times * 5) if ties else times, rng.random(times.shape) >= censored


def list_allocations(codes):
    return np.array(sorted(set(permutations(codes.tolist()))))


@pytest.mark.parametrize("censored", [0.0, 0.4, 0.8])
def test_statistics_are_those_of_one_cohort_at_a_time(censored):
    times, events = draw_cohorts(25, 18, censored=censored)
    scores = np.array([1.0, 2.0, 4.0, 3.0])
    usual = permute_logrank_many(times, events, TRIAL, n_draws=1)
    trend = permute_logrank_many(times, events, TRIAL, n_draws=1, scores=scores)
    for cohort, (time, event) in enumerate(zip(times, events, strict=True)):
        risk = RiskSets.of(time, event)
        assert usual.df[cohort] == risk.count_degrees(TRIAL)
        expected = risk.calculate_chi_square(TRIAL[None])[0] if usual.df[cohort] else np.nan
        assert usual.statistic[cohort] == pytest.approx(expected, nan_ok=True)
        assert trend.statistic[cohort] == pytest.approx(risk.calculate_trend(TRIAL[None], scores)[0])
        lifelines = multivariate_logrank_test(time, TRIAL, event)
        if usual.df[cohort] == 3:
            assert usual.statistic[cohort] == pytest.approx(lifelines.test_statistic)
            assert usual.p_asymptotic[cohort] == pytest.approx(lifelines.p_value)
    assert trend.p_asymptotic == pytest.approx(stats.chi2.sf(trend.statistic, 1))


@pytest.mark.parametrize("scores", [None, (0.0, 1.0, 5.0)])
@pytest.mark.parametrize("ties", [False, True])
def test_listing_is_every_allocation(scores, ties):
    codes = np.array([1, 0, 2, 2, 0, 1, 2])
    times, events = draw_cohorts(40, 7, ties=ties)
    got = permute_logrank_many(times, events, codes, scores=scores)
    allocations = list_allocations(codes)
    assert (got.exact, got.n_allocations, got.n_draws) == (True, 210, 0)
    for cohort in np.flatnonzero(~np.isnan(got.statistic)):
        risk = RiskSets.of(times[cohort], events[cohort])
        calculate = risk.calculate_chi_square if scores is None else risk.calculate_trend
        arguments = () if scores is None else (np.array(scores),)
        observed, all_ = (calculate(each, *arguments) for each in (codes[None], allocations))
        expected = (all_ >= observed * (1 - TOLERANCE) - 1e-12).mean()
        assert got.p_value[cohort] == pytest.approx(expected, abs=1e-12)
        assert got.error[cohort] == 0
    assert np.isnan(got.statistic).sum() < 5


def test_two_groups_by_hand():
    times, events = draw_cohorts(12, 8)
    codes = np.array([0, 1, 1, 0, 1, 0, 1, 1])
    got = permute_logrank_many(times, events, codes)
    allocations = [np.isin(range(8), who, invert=True).astype(int) for who in combinations(range(8), 3)]
    for time, event, statistic, p_value in zip(times, events, got.statistic, got.p_value, strict=True):
        every = np.array([oracle.calculate_chi_square(time, event, each) for each in allocations])
        assert statistic == pytest.approx(oracle.calculate_chi_square(time, event, codes))
        assert p_value == pytest.approx((every >= statistic * (1 - TOLERANCE) - 1e-12).mean())


@pytest.mark.no_cover
def test_pairs_are_those_of_the_two_groups():
    times, events = draw_cohorts(5, 18, censored=0.1)
    got = permute_pairs_many(times, events, TRIAL)
    assert list(got) == list(combinations(range(4), 2))
    assert all(each.exact for each in got.values())
    assert got[1, 2].n_allocations == 462
    for cohort in range(5):
        table = compare_pairs(times[cohort], events[cohort], TRIAL)
        assert [each.statistic[cohort] for each in got.values()] == pytest.approx(table["statistic"].tolist())
    part = np.isin(TRIAL, (2, 3))
    alone = permute_logrank_many(times[:, part], events[:, part], np.repeat([1, 0], (6, 4)))
    asked = permute_pairs_many(times, events, TRIAL, pairs=[(3, 2)])[3, 2]
    assert asked.p_value == pytest.approx(alone.p_value)
    assert asked.p_value == pytest.approx(got[2, 3].p_value)


@pytest.mark.parametrize("trend", [False, True])
def test_drawn_p_values_agree_with_one_cohort_at_a_time(trend):
    times, events = draw_cohorts(6, 18)
    scores = (1, 2, 3, 4) if trend else None
    got = permute_logrank_many(times, events, TRIAL, n_draws=10_000, scores=scores, seed=5)
    assert (got.exact, got.n_allocations, got.n_draws) == (False, 514_594_080, 10_000)
    for cohort in range(6):
        one = compare_survival(
            times[cohort], events[cohort], TRIAL, trend=trend, n_draws=10_000, seed=6, exact=False
        )
        error = np.hypot(one.p_permutation_error, got.error[cohort])
        assert abs(got.p_value[cohort] - one.p_permutation) < 4 * error


def test_patients_in_order_of_time_get_the_draws_of_one_cohort():
    times = np.sort(draw_cohorts(1, 18, ties=False)[0])
    for events in (np.ones((1, 18), bool), np.arange(18)[None] % 4 > 0):
        got = permute_logrank_many(times, events, TRIAL, n_draws=2_000, seed=3)
        one = compare_survival(times[0], events[0], TRIAL, n_draws=2_000, seed=3, exact=False)
        assert got.p_value[0] == one.p_permutation
        assert got.error[0] == pytest.approx(one.p_permutation_error)


def test_what_printed_p_values_are_worth():
    # The worth of a P-value: every one of the 514,594,080 allocations listed, nobody censored.
    printed, worth = np.array([0.0403, 0.0008]), np.array([0.1042, 0.0089])
    drawn = np.random.default_rng(3).permuted(np.tile(TRIAL, (40_000, 1)), axis=1)
    risk = RiskSets.of(np.arange(18), np.ones(18))
    bound = stats.chi2.isf(printed, 3)
    nearest = abs(risk.calculate_chi_square(drawn)[:, None] - bound).argmin(axis=0)
    # The same patients in each cohort: the one of group g leaves where the allocation has a g.
    times = np.argsort(drawn[nearest], axis=1, kind="stable").astype(float)
    got = permute_logrank_many(times, np.ones(times.shape), TRIAL, n_draws=50_000)
    assert got.p_asymptotic == pytest.approx(printed, rel=0.01)
    assert (abs(got.p_value - worth) < 4 * got.error).all()


def test_cohorts_of_one_pattern_share_their_null_distribution():
    # Thrice the same order of events in cohorts that differ in times and in who has them.
    rng = np.random.default_rng(4)
    times = rng.permuted(np.tile(np.arange(18.0), (70, 1)), axis=1)
    events = times != 3
    mixed = np.concatenate([draw_cohorts(40, 18)[1], events]), np.concatenate([times[:40], times])
    got = permute_logrank_many(mixed[1], mixed[0], TRIAL, n_draws=500)
    alone = [
        permute_logrank_many(time[None], event[None], TRIAL, n_draws=500).p_value[0]
        for event, time in zip(*mixed, strict=True)
    ]
    assert got.p_value.tolist() == alone


def test_neither_order_of_subjects_nor_scale_of_time_matters():
    times, events = draw_cohorts(20, 18)
    order = np.random.default_rng(2).permutation(18)
    plain = permute_logrank_many(times, events, TRIAL, n_draws=500)
    for other in (
        permute_logrank_many(times[:, order], events[:, order], TRIAL[order], n_draws=500),
        permute_logrank_many(np.exp(times / 3), events, TRIAL, n_draws=500),
        permute_logrank_many(times, events, TRIAL, n_draws=500, progress=True),
    ):
        assert other.statistic == pytest.approx(plain.statistic)
        assert other.p_value.tolist() == plain.p_value.tolist()
    codings = ([1.0, 2, 3, 4], [-1e9, -2e9, -3e9, -4e9], [1e-9, 2e-9, 3e-9, 4e-9])
    trends = [permute_logrank_many(times, events, TRIAL, n_draws=99, scores=each) for each in codings]
    assert trends[0].p_value.tolist() == trends[1].p_value.tolist() == trends[2].p_value.tolist()


def test_blocks_do_not_matter(monkeypatch):
    times, events = draw_cohorts(20, 18, censored=0.6)
    plain = permute_logrank_many(times, events, TRIAL, n_draws=300)
    monkeypatch.setattr(many, "NUMBERS_AT_A_TIME", 2_000)
    monkeypatch.setattr(many, "PATTERNS_AT_A_TIME", 3)
    small = permute_logrank_many(times, events, TRIAL, n_draws=300)
    assert small.p_value.tolist() == plain.p_value.tolist()


def test_nothing_to_compare_is_as_in_one_cohort():
    # No event; events when all of the other group have left; everybody at once; something to compare.
    times = np.array([[1, 2, 3, 4], [3, 4, 1, 2], [2, 2, 2, 2], [1, 2, 3, 4]], dtype=float)
    events = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 0, 1]])
    codes = np.array([0, 0, 1, 1])
    for scores in (None, (1, 2)):
        got = permute_logrank_many(times, events, codes, scores=scores)
        for cohort in range(4):
            one = compare_survival(times[cohort], events[cohort], codes, trend=scores is not None, n_draws=99)
            nan = np.isnan(one.p_permutation)
            assert nan == np.isnan(got.p_value[cohort])
            assert nan == np.isnan(got.error[cohort])
            assert got.statistic[cohort] == pytest.approx(one.statistic, nan_ok=True)
            assert got.p_asymptotic[cohort] == pytest.approx(one.p_asymptotic, nan_ok=True)
            assert got.df[cohort] == one.df
            if one.statistic == 0:
                assert got.p_value[cohort] == one.p_permutation == 1
    assert permute_logrank_many(times, events, codes).df.tolist() == [0, 0, 0, 1]


GOOD = {"times": [[1, 2, 3]], "events": [[1, 0, 1]], "group": [0, 1, 1]}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"times": [1, 2, 3]}, "must have the same shape"),
        ({"events": [[1, 0]]}, r"got \(1, 3\) and \(1, 2\)"),
        ({"times": np.empty((0, 3)), "events": np.empty((0, 3))}, "not be empty"),
        ({"times": [[1, np.nan, 3]]}, "times must be finite and not negative; not so in cohort 0, subject 1"),
        ({"times": [[1, 2, -3]]}, "cohort 0, subject 2"),
        ({"events": [[2, 0, 1]]}, "events must be True or False"),
        ({"events": [[np.nan, 0, 1]]}, "events must be True or False"),
        ({"group": [0, 1]}, "group must have one value for each of 3 subjects"),
        ({"group": [0, 2, 2]}, "group must be whole numbers 0, 1"),
        ({"group": ["A", "B", "B"]}, "group must be whole numbers 0, 1"),
        ({"group": [0, 0, 0]}, "at least two"),
        ({"scores": [1, 1]}, "scores must be 2 finite numbers that differ"),
        ({"scores": [1, 2, 3]}, "scores must be 2 finite numbers that differ"),
        ({"n_draws": 0}, "n_draws must be a whole number above 0"),
        ({"n_draws": 10.5}, "n_draws must be a whole number above 0"),
    ],
)
def test_bad_input(bad, message):
    with pytest.raises(ValueError, match=message):
        permute_logrank_many(**GOOD | bad)


@pytest.mark.parametrize("pair", [(0, 2), (1, 1), (0, 1, 1)])
def test_bad_pairs(pair):
    with pytest.raises(ValueError, match="pairs must each be two of the groups 0 to 1"):
        permute_pairs_many(**GOOD, pairs=[pair])
