"""The log-rank comparison against R, lifelines and hand-made answers."""

from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
import pytest
from r_values import DATA_SETS, read_data, read_reference

from nkhcc_helpers.survival.permutation import (
    adjust_holm,
    compare_pairs,
    compare_survival,
    draw_null,
    summarize_comparisons,
)


@pytest.mark.parametrize("name", DATA_SETS)
def test_logrank_agrees_with_r(name):
    data = read_data(name)
    got = compare_survival(data["time"], data["event"], data["group"], n_draws=0, exact=False)
    rows = (
        read_reference(name, "survdiff_chisq", "survdiff_p").query("at == 'rho0'").set_index("what")["value"]
    )
    assert got.statistic == pytest.approx(rows["survdiff_chisq"], rel=1e-6)
    assert got.p_asymptotic == pytest.approx(rows["survdiff_p"], rel=1e-6)
    assert got.df == data["group"].nunique() - 1


@pytest.mark.parametrize("name", DATA_SETS)
def test_pairs_agree_with_r(name):
    data = read_data(name)
    rows = read_reference(name, "survdiff_chisq_pair").query("at == 'rho0'").set_index("group")["value"]
    for pair in combinations(sorted(data["group"].unique()), 2):
        part = data[data["group"].isin(pair)]
        got = compare_survival(part["time"], part["event"], part["group"], n_draws=0, exact=False)
        assert got.statistic == pytest.approx(rows[" v ".join(pair)], rel=1e-6)


def test_by_hand():
    # Times 1 (a), 2 (b), 3 (a), 4 (b): expected in a = 1/2 + 1/3 + 1/2 + 0.
    got = compare_survival([1, 2, 3, 4], [1, 1, 1, 1], list("abab"))
    assert got.observed.to_dict() == {"a": 2, "b": 2}
    assert got.expected["a"] == pytest.approx(4 / 3)
    assert got.by_group["group"].tolist() == ["a", "b"]
    assert got.by_group["expected"].tolist() == pytest.approx([4 / 3, 8 / 3])
    variance = 1 / 4 + 2 / 9 + 1 / 4
    assert got.statistic == pytest.approx((2 - 4 / 3) ** 2 / variance)


def test_nothing_to_compare_is_not_estimable():
    got = compare_survival([1, 2, 3], [0, 0, 0], list("aab"))
    assert np.isnan(got.statistic)
    assert np.isnan(got.p_asymptotic)
    assert got.df == 0
    assert np.isnan(got.p_permutation)
    assert np.isnan(got.p_exact)


def test_group_order_and_empty_groups():
    group = pd.Categorical(["z", "a", "z", "a"], ["z", "empty", "a"], ordered=True)
    assert compare_survival([1, 2, 3, 4], [1, 1, 1, 1], group).observed.index.tolist() == ["z", "a"]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (["a", "b"], "group has 2 values for 3 subjects"),
        (["a", None, "b"], "group is missing at position 1"),
    ],
)
def test_bad_groups(group, message):
    with pytest.raises(ValueError, match=message):
        compare_survival([1, 2, 3], [1, 1, 1], group)


def read_small18():
    data = read_data("small18")
    data.loc[data["time"].idxmax(), "event"] = 1
    return data


def test_small18_side_by_side():
    data = read_small18()
    got = compare_survival(data["time"], data["event"], data["group"])
    assert got.statistic == pytest.approx(16.7517861497128, abs=1e-9)
    assert got.p_asymptotic == pytest.approx(0.00079486, abs=1e-8)
    # 4,139,427 allocations reach the usual statistic, by listing them all.
    assert abs(got.p_permutation - 4_139_427 / 514_594_080) < 4 * got.p_permutation_error
    assert got.p_permutation_error < 0.0003
    assert (got.n_extreme, got.n_allocations) == (4_680_522, 514_594_080)


def test_permuted_p_equals_listing_on_a_small_case():
    # Groups aa bb over four events: 6 allocations, of which 2 are as extreme as the observed one.
    got = compare_survival([1, 2, 3, 4], [1, 1, 1, 1], list("aabb"), n_draws=60_000)
    assert got.p_exact == pytest.approx(2 / 6)
    assert abs(got.p_permutation - 2 / 6) < 4 * got.p_permutation_error


def test_trend_and_its_scores():
    data = read_small18()
    trend = compare_survival(data["time"], data["event"], data["group"], trend=True, n_draws=20_000)
    assert trend.df == 1
    assert trend.trend
    assert abs(trend.p_permutation - trend.p_exact) < 0.01
    same = compare_survival(
        data["time"], data["event"], data["group"], trend=True, scores=[10, 20, 30, 40], n_draws=0
    )
    assert same.statistic == pytest.approx(trend.statistic)
    assert np.isnan(same.p_permutation)
    other = compare_survival(
        data["time"], data["event"], data["group"], trend=True, scores=[0, 0, 0, 1], n_draws=0
    )
    assert other.statistic != pytest.approx(trend.statistic)


def test_large_trials_have_no_exact_p():
    data = read_data("lung")
    got = compare_survival(data["time"], data["event"], data["group"], n_draws=500)
    assert np.isnan(got.p_exact)
    assert got.n_extreme is None
    assert 0 < got.p_permutation < 0.02


def test_pairs_say_what_they_could_reach():
    data = read_data("small18")
    table = compare_pairs(data["time"], data["event"], data["group"]).set_index(["first", "second"])
    assert len(table) == 6
    assert table.loc[("A", "B"), "p_smallest"] == pytest.approx(1 / 56)
    assert table.loc[("A", "B"), "p_exact"] == pytest.approx(16 / 56)
    assert (table["p_exact"] >= table["p_smallest"] - 1e-12).all()
    assert table["p_holm"].tolist() == pytest.approx(adjust_holm(table["p_exact"].to_numpy()).tolist())
    one = compare_pairs(data["time"], data["event"], data["group"], pairs=[("B", "D")])
    assert one["p_holm"].tolist() == one["p_exact"].tolist()
    equal = compare_pairs([1, 2, 3, 4, 5, 6], [1] * 6, list("aaabbb"))
    assert equal["p_smallest"].tolist() == equal["p_exact"].tolist() == [0.1]
    with pytest.raises(ValueError, match="pairs names unknown groups E; known are A, B, C, D"):
        compare_pairs(data["time"], data["event"], data["group"], pairs=[("A", "E")])


def test_holm_by_hand():
    adjusted = adjust_holm(np.array([0.01, 0.04, 0.03, np.nan]))
    assert adjusted[:3].tolist() == pytest.approx([0.04, 0.09, 0.09])
    assert np.isnan(adjusted[3])
    assert adjust_holm(np.array([0.6, 0.5])).tolist() == [1, 1]
    assert np.isnan(adjust_holm(np.array([np.nan]))).all()
    assert compare_pairs([1, 2, 3], [1, 1, 1], list("abc"), pairs=[]).empty


@pytest.mark.parametrize("scores", [[1, 2], [1, 1, 1, 1], [1, 2, 3, np.inf]])
def test_bad_trend_scores(scores):
    data = read_data("small18")
    with pytest.raises(ValueError, match="scores must be 4 finite numbers that differ"):
        compare_survival(data["time"], data["event"], data["group"], trend=True, scores=scores)


def test_null_distribution_and_summary():
    data = read_data("small18")
    null = draw_null(data["time"], data["event"], data["group"], n_draws=30_000, seed=3)
    assert null.shape == (30_000,)
    # The mean of a chi-square on 3 degrees of freedom is 3; here relabelling gives more.
    assert 3 < null.mean() < 5
    compared = compare_survival(
        data["time"], data["event"], data["group"], n_draws=30_000, seed=3, exact=False
    )
    assert compared.p_permutation == pytest.approx((1 + (null >= compared.statistic - 1e-9).sum()) / 30_001)
    table = summarize_comparisons({"Overall": compared})
    assert table["test"].tolist() == ["Overall"]
    assert np.isnan(table["p_exact"].iloc[0])
    assert table["n_allocations"].iloc[0] == 514_594_080


def test_groups_that_do_not_differ_have_a_p_of_one():
    # Observed and expected agree, but for rounding.
    time, event = [12, 1, 2, 10, 12, 3, 4], [1, 0, 1, 0, 1, 0, 1]
    for options in ({}, {"trend": True}):
        compared = compare_survival(time, event, list("aaaabbb"), n_draws=2_000, **options)
        assert compared.statistic == pytest.approx(0, abs=1e-20)
        assert compared.p_permutation == 1


STRATIFIED = {
    "time": [1, 2, 3, 4, 5, 6, 7, 2, 4, 9],
    "event": [1, 1, 0, 1, 1, 1, 1, 1, 1, 0],
    "group": list("abbabaabab"),
    "strata": list("xxxxyyyyzz"),
}


def test_permuted_within_strata_equals_listing():
    got = compare_survival(**STRATIFIED, n_draws=40_000)
    strata = np.unique(STRATIFIED["strata"], return_inverse=True)[1]
    codes = (np.array(STRATIFIED["group"]) == "b").astype(int)
    owns = [np.flatnonzero(strata == each) for each in range(3)]
    listed = []
    for parts in product(*({*permutations(codes[own].tolist())} for own in owns)):
        allocation = np.empty(10, dtype=int)
        for own, part in zip(owns, parts, strict=True):
            allocation[own] = part
        options = STRATIFIED | {"group": allocation}
        listed.append(compare_survival(**options, n_draws=0, exact=False).statistic)
    assert got.n_allocations == len(listed) == 6 * 6 * 2
    share = (np.array(listed) >= got.statistic - 1e-9).mean()
    assert abs(got.p_permutation - share) < 4 * got.p_permutation_error
    null = draw_null(**STRATIFIED, n_draws=2_000)
    assert np.isin(null.round(9), np.round(listed, 9)).all()
    assert got.n_strata == 3


def test_a_stratum_with_one_group_tells_nothing():
    alone = {"time": [3, 8], "event": [1, 1], "group": list("aa"), "strata": list("ww")}
    both = {name: [*STRATIFIED[name], *alone[name]] for name in STRATIFIED}
    got, expected = (compare_survival(**each, n_draws=0) for each in (both, STRATIFIED))
    assert got.statistic == pytest.approx(expected.statistic)
    assert (got.n_extreme, got.n_allocations) == (expected.n_extreme, expected.n_allocations)
    assert got.expected.sum() == pytest.approx(got.observed.sum())


def test_nothing_to_compare_within_strata():
    options = {"time": [1, 2, 3, 4], "event": [1] * 4, "group": list("abab"), "strata": list("xyxy")}
    got = compare_survival(**options, n_draws=100)
    assert (got.df, got.n_allocations) == (0, 1)
    assert np.isnan([got.statistic, got.p_permutation, got.p_exact, got.exact_statistic]).all()


def test_pairs_within_strata():
    pairs = compare_pairs(**STRATIFIED)
    assert pairs["n_allocations"].tolist() == [72]
    assert pairs["p_smallest"].tolist() == [2 / 72]

    whole = compare_survival(**STRATIFIED, n_draws=0)
    assert pairs["p_exact"].tolist() == [whole.p_exact]


def test_a_stratum_of_one_group_does_not_unbalance_the_smallest_p():
    pairs = compare_pairs([1, 2, 3, 4, 1.5, 2.5, 3.5], [1] * 7, list("aabbaaa"), strata=list("XXXXYYY"))
    assert pairs["p_smallest"].tolist() == pairs["p_exact"].tolist() == [2 / 6]


@pytest.mark.parametrize("trend", [False, True])
def test_one_group_is_not_estimable(trend):
    got = compare_survival([1, 2, 3], [1, 1, 0], list("aaa"), trend=trend)
    assert got.df == 0
    assert np.isnan([got.statistic, got.p_asymptotic, got.p_permutation, got.p_exact]).all()
    assert got.observed.to_dict() == {"a": 2}
    assert (
        np.isnan(draw_null([1, 2, 3], [1, 1, 0], list("aaa"), trend=trend, n_draws=4)).tolist() == [True] * 4
    )
    pairs = compare_pairs([1, 2, 3], [1, 1, 0], list("aaa"))
    assert pairs.empty
    assert {"first", "second", "p_exact", "p_holm"} <= {*pairs}


def test_near_equal_times_are_one():
    time, event = [1.1 * 3, 3.3, 5.1, 1.1 * 3, 3.3, 9], [1, 0, 1, 0, 1, 1]
    got = compare_survival(time, event, list("aaabbb"), n_draws=0)
    assert got.statistic == pytest.approx(0.384615, abs=1e-6)
    assert got.p_exact == pytest.approx(0.8)


def test_late_entry_leaves_the_risk_sets_before_it():
    time, event, enter = [2, 4, 6, 8], [1, 1, 1, 1], [0, 3, 0, 0]
    got = compare_survival(time, event, list("abab"), time_enter=enter, n_draws=0)
    # At 2 three are at risk, two of them of a; at 4 three, one of them of a.
    assert got.expected["a"] == pytest.approx(2 / 3 + 1 / 3 + 1 / 2)
    same = compare_survival(time, event, list("abab"), time_enter=[0] * 4, n_draws=0)
    usual = compare_survival(time, event, list("abab"), n_draws=0)
    assert same.statistic == usual.statistic


@pytest.mark.parametrize("strata", [None, np.arange(2_000) % 2])
def test_a_large_trial_has_no_exact_p(strata):
    rng = np.random.default_rng(1)
    time, group = rng.exponential(size=2_000), rng.permutation(2_000) % 4
    got = compare_survival(time, time > 0, group, strata=strata, n_draws=0)
    assert np.isnan(got.p_exact)
    assert got.p_asymptotic > 0
