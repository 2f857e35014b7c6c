"""Exact P-values against listing every allocation, R's coin, and counts found by listing half a billion."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from r_values import read_data, read_reference
from scipy.stats import hypergeom

from nkhcc_helpers.survival.exact import (
    TooManyAllocationsError,
    count_allocations,
    count_beyond,
    count_inside,
    count_reaching,
    exact_p,
)
from nkhcc_helpers.survival.logrank import calculate_score_statistic, logrank_scores


def list_allocations(codes):
    return [np.array(each) for each in sorted(set(permutations(codes)))]


def count_by_listing(scores, codes, trend):
    observed = calculate_score_statistic(scores, np.array(codes), trend=trend)
    listed = [calculate_score_statistic(scores, each, trend=trend) for each in list_allocations(codes)]
    # Not quite the tolerance alone: where the statistic is 0, rounding would decide.
    return sum(value >= observed * (1 - 1e-9) - 1e-12 for value in listed), len(listed)


small_cohorts = st.integers(2, 4).flatmap(
    lambda k: st.tuples(
        st.just(k),
        st.lists(st.integers(0, k - 1), max_size=8 - k).map(lambda more: [*range(k), *more]),
        st.lists(st.integers(1, 7), min_size=8, max_size=8),
        st.lists(st.booleans(), min_size=8, max_size=8),
        st.booleans(),
    )
)


@given(small_cohorts)
def test_every_small_case_equals_listing(cohort):
    k, codes, time, event, ordered = cohort
    n = len(codes)
    scores = logrank_scores(time[:n], event[:n])
    trend = np.arange(k) + 1.0 if ordered else None
    got = exact_p(scores, codes, trend=trend)
    assert (got.n_extreme, got.n_allocations) == count_by_listing(scores, codes, trend)


def read_small18(*, last_event=True):
    data = read_data("small18")
    if last_event:
        data.loc[data["time"].idxmax(), "event"] = 1
    return data, data["order"].to_numpy() - 1


def test_small18_equals_the_listing_of_half_a_billion_allocations():
    data, codes = read_small18()
    got = exact_p(logrank_scores(data["time"], data["event"]), codes)
    assert (got.n_extreme, got.n_allocations) == (4_680_522, 514_594_080)
    assert got.p_value == pytest.approx(0.0090955613, abs=1e-10)
    assert got.statistic == pytest.approx(9.42729462198831, abs=1e-9)


@pytest.mark.parametrize("name", ["small18", "larynx"])
def test_two_groups_agree_with_coin(name):
    data = read_data(name)
    for row in read_reference(name, "coin_exact_two_sample_p").itertuples():
        first, second = row.group.split(" v ")
        part = data[data["group"].isin([first, second])]
        got = exact_p(logrank_scores(part["time"], part["event"]), (part["group"] == second).astype(int))
        assert got.p_value == pytest.approx(row.value, abs=1e-6), row.group


@given(small_cohorts, st.floats(0, 8))
def test_every_way_of_counting_agrees(cohort, bound):
    k, codes, time, event, _ = cohort
    scores = logrank_scores(time[: len(codes)], event[: len(codes)])
    centred, sizes = scores - scores.mean(), np.bincount(codes)
    reaching = count_reaching(centred, sizes, bound + 1e-7)
    assert reaching == count_allocations(sizes.tolist()) - count_inside(centred, sizes, bound + 1e-7)
    if k == 2:
        # |S_1| at least b where S_1^2 (1 / n_1 + 1 / n_2) is at least the bound.
        line = np.sqrt((bound + 1e-7) / (1 / sizes).sum())
        assert count_beyond(centred, sizes, np.array([1.0, 0.0]), line) == reaching


@pytest.mark.parametrize(
    ("sizes", "bounds"),
    [
        ((3, 5, 6, 4), (2.0,)),
        pytest.param((3, 5, 6, 4), (0.7, 4.0), marks=pytest.mark.slow),
        ((2, 3, 3, 2, 2), (0.7, 2.0, 4.0)),
        ((4, 4, 5), (0.7, 2.0, 4.0)),
    ],
)
def test_trees_and_split_groups_agree_on_distinct_scores(sizes, bounds):
    rng = np.random.default_rng(sum(sizes))
    scores = logrank_scores(rng.exponential(size=sum(sizes)), np.ones(sum(sizes), bool))
    sizes = np.array(sizes)
    for bound in bounds:
        reaching = count_reaching(scores, sizes, bound)
        assert 0 < reaching < count_allocations(sizes.tolist())
        assert reaching == count_allocations(sizes.tolist()) - count_inside(scores, sizes, bound)


def test_equal_scores_merge_before_they_multiply():
    # 40 patients, 2 distinct scores: the exact P is hypergeometric.
    scores = np.repeat([0.0, 1.0], [30, 10])
    codes = np.array([0] * 20 + [1] * 10 + [0] * 3 + [1] * 7)
    got = exact_p(scores, codes)
    table = hypergeom(40, 10, 23).pmf(np.arange(11))
    distance = np.abs(np.arange(11) - 23 * 10 / 40)
    assert got.p_value == pytest.approx(table[distance >= abs(3 - 5.75) - 1e-9].sum())


def test_groups_may_have_any_names():
    scores = [0.3, -1.2, 0.4, 0.5, -0.1, 0.1]
    numbered = exact_p(scores, [1, 0, 1, 2, 0, 2], trend=[1, 2, 3])
    named = pd.Categorical(["mid", "low", "mid", "top", "low", "top"], ["low", "mid", "none", "top"])
    assert exact_p(scores, named, trend=[1, 2, 3]) == numbered


def test_all_scores_equal_has_p_one():
    got = exact_p(np.ones(6), [0, 0, 1, 1, 2, 2])
    assert got.p_value == 1
    assert got.n_allocations == 90


def test_too_many_allocations_say_what_to_do_instead():
    scores = np.random.default_rng(1).normal(size=40)
    with pytest.raises(TooManyAllocationsError, match="use p_permutation instead"):
        exact_p(scores, np.arange(40) % 4)
    with pytest.raises(TooManyAllocationsError, match=r"would take about .* seconds \(limit 30\)"):
        exact_p(scores[:26], np.arange(26) % 4)
    with pytest.raises(TooManyAllocationsError, match=r"would hold .* ways of half the subjects"):
        exact_p(np.arange(54.0) ** 1.5, np.arange(54) % 2)


@pytest.mark.parametrize(
    ("scores", "group", "trend", "message"),
    [
        ([1, 2], [0, 1, 1], None, "group has 3 values for 2 subjects"),
        ([1, np.nan], [0, 1], None, "scores must be finite numbers; position 1 is nan"),
        ([1, 2, 3], [2, 2, 2], None, "group holds only"),
        ([1, 2, 3], ["a", None, "b"], None, "group is missing at position 1"),
        ([1, 2], [0, 1], [1], "trend must be 2 finite numbers"),
    ],
)
def test_bad_input(scores, group, trend, message):
    with pytest.raises(ValueError, match=message):
        exact_p(scores, group, trend=trend)


def list_within(codes, strata):
    """Every allocation of patients within their strata."""
    owns = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for parts in product(*({*permutations(codes[own].tolist())} for own in owns)):
        allocation = np.empty_like(codes)
        for own, part in zip(owns, parts, strict=True):
            allocation[own] = part
        yield allocation


@pytest.mark.parametrize("trend", [None, (1, 2, 4)])
@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_allocations_within_strata_are_those_listed(n_groups, trend, seed):
    rng = np.random.default_rng(seed)
    strata = rng.permutation([0, 0, 0, 0, 1, 1, 1, 2, 2])
    codes = rng.integers(0, n_groups, 9)
    codes[np.flatnonzero(strata == 2)] = 0  # one group only: tells nothing
    codes[np.flatnonzero(strata == 0)[:n_groups]] = np.arange(n_groups)
    scores = rng.integers(-3, 4, 9).astype(float)
    trend = trend and trend[:n_groups]
    got = exact_p(scores, codes, trend=trend, strata=strata)
    listed = [
        calculate_score_statistic(scores, each, trend=trend, strata=strata)
        for each in list_within(codes, strata)
    ]
    observed = calculate_score_statistic(scores, codes, trend=trend, strata=strata)
    assert got.statistic == pytest.approx(observed)
    assert got.n_allocations == len(listed)
    assert got.n_extreme == (np.array(listed) >= observed * (1 - 1e-9) - 1e-12).sum()


def test_strata_that_are_one_change_nothing():
    scores, codes = np.array([1.0, -2, 0.5, 3, -1.5]), [0, 0, 1, 1, 1]
    assert exact_p(scores, codes, strata=["x"] * 5) == exact_p(scores, codes)


def test_too_many_allocations_within_strata():
    scores, strata = np.arange(90.0) ** 1.5, np.repeat([0, 1, 2], 30)
    with pytest.raises(TooManyAllocationsError, match="within strata"):
        exact_p(scores, np.tile([0, 1], 45), strata=strata)
