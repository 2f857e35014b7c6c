"""The log-rank comparison against R, lifelines and hand-made answers."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.statistics import multivariate_logrank_test
from r_values import DATA_SETS, read_data, read_reference

from nkhcc_helpers.permutation import calculate_logrank, compare_survival


@pytest.mark.parametrize("name", DATA_SETS)
def test_logrank_agrees_with_r(name):
    data = read_data(name)
    got = compare_survival(data["time"], data["event"], data["group"])
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
        got = compare_survival(part["time"], part["event"], part["group"])
        assert got.statistic == pytest.approx(rows[" v ".join(pair)], rel=1e-6)


cohorts = st.integers(4, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 6), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.sampled_from("abc"), min_size=n, max_size=n),
    )
)


@settings(deadline=None, max_examples=60)
@given(cohorts)
def test_statistic_agrees_with_lifelines(cohort):
    time, event, group = (np.array(part) for part in cohort)
    if len(set(group)) < 2:
        return
    got = compare_survival(time, event, group)
    if got.df == len(set(group)) - 1:
        theirs = multivariate_logrank_test(time, group, event)
        assert got.statistic == pytest.approx(theirs.test_statistic, abs=1e-8)
    assert got.observed.sum() == event.sum()
    assert got.expected.sum() == pytest.approx(event.sum())


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


def test_many_cohorts_equal_one_by_one():
    rng = np.random.default_rng(1)
    times, events = rng.integers(1, 9, (20, 10)), rng.random((20, 10)) < 0.7
    membership = np.eye(3)[rng.integers(0, 3, 10)]
    together = calculate_logrank(times, events, membership)
    for i in range(20):
        alone = calculate_logrank(times[[i]], events[[i]], membership)
        for many, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(many[i], one[0])


def test_group_order_and_empty_groups():
    group = pd.Categorical(["z", "a", "z", "a"], ["z", "empty", "a"], ordered=True)
    assert compare_survival([1, 2, 3, 4], [1, 1, 1, 1], group).observed.index.tolist() == ["z", "a"]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (["a", "b"], "group has 2 values and time has 3"),
        (["a", None, "b"], "group is missing at position 1"),
        (["a", "a", "a"], "group holds only 'a'"),
    ],
)
def test_bad_groups(group, message):
    with pytest.raises(ValueError, match=message):
        compare_survival([1, 2, 3], [1, 1, 1], group)
