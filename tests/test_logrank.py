"""Risk sets, weights and scores against R, lifelines and hand-made answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines.statistics import multivariate_logrank_test
from oracles import logrank as oracle
from r_values import DATA_SETS, read_data, read_reference

from nkhcc_helpers.survival.logrank import (
    OrderedCohorts,
    RiskSets,
    calculate_score_statistic,
    logrank_scores,
    solve_quadratic,
)

COIN = {
    "logrank": "logrank",
    "gehan-breslow": "Gehan-Breslow",
    "tarone-ware": "Tarone-Ware",
    "peto-peto": "Peto-Peto",
}


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("weights", COIN)
def test_score_statistics_agree_with_coin(name, weights):
    data, rows = read_data(name), read_reference(name, "coin_chisq", "coin_trend_z")
    rows = rows[rows["at"] == COIN[weights]].set_index("what")["value"]
    scores, codes = logrank_scores(data["time"], data["event"], weights=weights), data["order"].to_numpy() - 1
    assert calculate_score_statistic(scores, codes) == pytest.approx(rows["coin_chisq"], abs=1e-6)
    trend = calculate_score_statistic(scores, codes, trend=np.unique(codes) + 1)
    assert trend == pytest.approx(rows["coin_trend_z"] ** 2, abs=1e-6)


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize(("weights", "rho"), [("logrank", "rho0"), ("peto-peto", "rho1")])
def test_chi_square_agrees_with_survdiff(name, weights, rho):
    data, rows = read_data(name), read_reference(name, "survdiff_chisq").set_index("at")["value"]
    risk = RiskSets.of(data["time"], data["event"], weights)
    got = risk.calculate_chi_square(data["order"].to_numpy()[None] - 1)
    assert got[0] == pytest.approx(rows[rho], abs=1e-6)


def test_scores_by_hand():
    # At 1 one of 4 has the event, at 2 one of 3, at 3 nobody, at 4 the last.
    scores = logrank_scores([1, 2, 3, 4], [1, 1, 0, 1])
    hazard = np.cumsum([1 / 4, 1 / 3, 0, 1])
    assert scores.tolist() == pytest.approx([1 - hazard[0], 1 - hazard[1], -hazard[2], 1 - hazard[3]])
    assert scores.sum() == pytest.approx(0)


def test_tied_times_share_a_score():
    scores = logrank_scores([2, 2, 5], [1, 1, 0])
    assert scores.tolist() == pytest.approx([1 / 3, 1 / 3, -2 / 3])


def test_trend_by_hand():
    # Two groups with scores 0 and 1: the trend is the two-sample log-rank test.
    time, event, codes = [1, 2, 3, 4, 5], [1, 1, 1, 0, 1], np.array([[0, 1, 0, 1, 1]])
    risk = RiskSets.of(time, event)
    usual = risk.calculate_chi_square(codes)
    assert risk.calculate_trend(codes, np.array([0.0, 1.0])) == pytest.approx(usual)
    assert risk.calculate_trend(codes, np.array([3.0, 8.0])) == pytest.approx(usual)


cohorts = st.integers(4, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 6), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.permutations([0, 1, 2, *[i % 3 for i in range(n - 3)]]),
    )
)


@given(cohorts)
def test_three_ways_to_the_same_chi_square(cohort):
    time, event, codes = (np.array(part) for part in cohort)
    risk = RiskSets.of(time, event)
    got = risk.calculate_chi_square(codes[None])[0]
    assert oracle.calculate_chi_square(time, event, codes) == pytest.approx(got, abs=1e-8)
    many = OrderedCohorts.of(time[None], event[None], codes).sum_logrank()
    assert solve_quadratic(*many)[0] == pytest.approx(got, abs=1e-8)
    if risk.count_degrees(codes) == 2:
        assert got == pytest.approx(multivariate_logrank_test(time, codes, event).test_statistic, abs=1e-8)


def test_many_cohorts_equal_one_by_one():
    rng = np.random.default_rng(1)
    times, events = rng.integers(1, 9, (20, 10)), rng.random((20, 10)) < 0.7
    codes = np.array([0, 1, 2, *rng.integers(0, 3, 7)])
    difference, variance = OrderedCohorts.of(times, events, codes).sum_logrank()
    for i in range(20):
        plain = oracle.sum_events(times[i], events[i], codes)
        np.testing.assert_allclose(difference[i], plain[0][:2], atol=1e-12)
        np.testing.assert_allclose(variance[i], plain[1][:2, :2], atol=1e-12)


def test_quadratic_form_with_singular_variance():
    difference = np.array([[2.0, 2.0], [1.0, 0.5]])
    variance = np.array([[[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 0.25]]])
    assert solve_quadratic(difference, variance).tolist() == pytest.approx([4.0, 1.5])


def test_unknown_weights():
    with pytest.raises(ValueError, match="weights must be one of logrank, gehan-breslow"):
        logrank_scores([1, 2], [1, 1], weights="wilcoxon")
