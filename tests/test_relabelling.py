"""The relabelling test of one covariate and its limits, against listing every order and by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from r_values import read_data, read_reference

from nkhcc_helpers import relabelling_strata
from nkhcc_helpers.allocations import count_allocations, exact_p
from nkhcc_helpers.logrank import logrank_scores
from nkhcc_helpers.permutation import compare_pairs
from nkhcc_helpers.relabelling import draw_relabellings, permute_covariate
from nkhcc_helpers.relabelling_limits import estimate_exact_limits
from nkhcc_helpers.relabelling_strata import StratifiedScore, Stratum

TIME, EVENT = np.array([3.0, 1, 2, 2, 5, 4]), np.array([1, 1, 1, 1, 0, 0])


def read_groups():
    data = read_data("small18")
    order = data["order"].to_numpy()
    places = np.unique(order, return_inverse=True)[1]
    return data, places, (places[:, None] == np.arange(1, 4)).astype(float)


def list_slowly(time, event, x, coef):
    """P-value over all orders of patients, who leave one by one; scores in plain loops."""
    order = sorted(range(len(time)), key=lambda i: (time[i], 1 - event[i]))
    time, event = [time[i] for i in order], [event[i] for i in order]

    def score(values):
        total = 0.0
        for i, value in enumerate(values):
            if event[i]:
                risk = [v for v, t in zip(values, time, strict=True) if t >= time[i]]
                total += value - sum(v * np.exp(coef * v) for v in risk) / sum(np.exp(coef * v) for v in risk)
        return total

    def chance(values):
        p = 1.0
        for i, value in enumerate(values):
            left = values[i:]
            p *= np.exp(coef * value) / sum(np.exp(coef * v) for v in left) if event[i] else 1 / len(left)
        return p

    every = [(score(values), chance(values)) for values in permutations([x[i] for i in order])]
    mean = sum(s * p for s, p in every)
    observed = abs(score([x[i] for i in order]) - mean)
    return sum(p for s, p in every if abs(s - mean) >= observed - 1e-9)


@pytest.mark.parametrize("coef", [0.0, 0.7, -2.5])
@pytest.mark.parametrize("x", [[0, 0, 1, 1, 0, 1], [0.5, 1, 1, 2, 0.5, 2]])
def test_p_equals_listing_every_order(x, coef):
    test = StratifiedScore.of(TIME, EVENT, np.array(x, float)[:, None], 0)
    assert test.count_p(coef) == pytest.approx(list_slowly(TIME, EVENT, x, coef), abs=1e-10)


def test_by_hand():
    # Times 1 to 4 of groups a a b b: 6 relabellings, of which 2 are as far from the mean.
    got = permute_covariate([1, 2, 3, 4], [1, 1, 1, 1], np.array([[0.0], [0], [1], [1]]), 0)
    assert got.p_value == pytest.approx(2 / 6)
    assert (got.error, got.n_allocations, got.n_subjects) == (0, 6, 4)


def test_dummies_give_the_exact_test_of_each_pair():
    data, _, dummies = read_groups()
    pairs = compare_pairs(data["time"], data["event"], data["group"])
    rows = read_reference("small18", "coin_exact_two_sample_p").query("at == 'logrank'").set_index("group")
    for column, group in enumerate("BCD"):
        got = permute_covariate(data["time"], data["event"], dummies, column)
        assert got.p_value == pytest.approx(pairs["p_exact"][column], abs=1e-12)
        assert got.p_value == pytest.approx(rows.loc[f"A v {group}", "value"], abs=1e-9)


def test_one_covariate_gives_the_exact_trend_test():
    data, places, _ = read_groups()
    scores = logrank_scores(data["time"], data["event"])
    exact = exact_p(scores, places, trend=[0, 1, 2, 3])
    got = permute_covariate(data["time"], data["event"], places[:, None], 0)
    assert got.p_value == pytest.approx(exact.p_value, rel=1e-9)
    assert (got.n_allocations, got.n_subjects, got.error) == (514_594_080, 18, 0)


def test_two_slopes_are_tested_within_pure_contrasts():
    data, places, _ = read_groups()
    time, event = data["time"].to_numpy(), data["event"].to_numpy()
    dose = permute_covariate(time, event, data[["dose", "infusions"]], 0)
    # A with B, at four infusions; C with D, at eight.
    assert dose.n_allocations == count_allocations([3, 5]) * count_allocations([6, 4])
    parts = []
    for pair in ([0, 1], [2, 3]):
        keep = np.isin(places, pair)
        values, scores = data["dose"].to_numpy()[keep], logrank_scores(time[keep], event[keep])
        draws = np.random.default_rng(5).permuted(np.tile(values - values.mean(), (200_000, 1)), axis=1)
        parts.append((draws @ scores, (values - values.mean()) @ scores))
    drawn, observed = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    assert np.mean(np.abs(drawn) >= abs(observed) - 1e-9) == pytest.approx(dose.p_value, abs=0.002)
    infusions = permute_covariate(time, event, data[["dose", "infusions"]], 1)
    assert infusions.p_value == pytest.approx(
        compare_pairs(time, event, data["group"], pairs=[("B", "C")])["p_exact"][0]
    )


def test_draws_agree_with_the_count(monkeypatch):
    data, _, _ = read_groups()
    x = data[["dose", "infusions"]].to_numpy(float)
    counted = permute_covariate(data["time"], data["event"], x, 0)
    test = StratifiedScore.of(data["time"], data["event"], x, 0)
    rng = np.random.default_rng(2)
    for coef in (0.0, -4.0, 1.5):
        uniforms = [rng.random((40_000, len(stratum.labels))) for stratum in test.strata]
        assert test.draw_p(uniforms, coef) == pytest.approx(test.count_p(coef), abs=0.006)
    exact = estimate_exact_limits(data["time"], data["event"], x, 0)
    monkeypatch.setattr(relabelling_strata, "MOST_LISTED", 10)
    drawn = permute_covariate(data["time"], data["event"], x, 0, seed=3)
    assert 0 < drawn.error < 0.002
    assert abs(drawn.p_value - counted.p_value) < 4 * drawn.error
    limits = estimate_exact_limits(data["time"], data["event"], x, 0, n_draws=20_000, seed=4)
    assert (exact.is_exact, limits.is_exact) == (True, False)
    assert np.log(limits.upper) == pytest.approx(np.log(exact.upper), abs=0.1)
    assert np.log(limits.lower) == pytest.approx(np.log(exact.lower), abs=0.1)
    none = estimate_exact_limits(data["time"], data["event"], x, 0, n_draws=0)
    assert np.isnan(none.lower)
    assert np.isnan(permute_covariate(data["time"], data["event"], x, 0, n_draws=0).p_value)


def test_large_trials_are_drawn():
    data = read_data("lung")
    x = np.unique(data["group"], return_inverse=True)[1][:, None]
    got = permute_covariate(data["time"], data["event"], x, 0, n_draws=400)
    assert got.p_value == pytest.approx(1 / 401)
    limits = estimate_exact_limits(data["time"], data["event"], x, 0, n_draws=300)
    assert 1 < limits.lower < limits.upper < 3


cohorts = st.integers(4, 8).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 6), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
    )
)


@settings(deadline=None, max_examples=40)
@given(cohorts)
def test_limits_are_where_the_test_changes_its_mind(cohort):
    time, event, x = np.array(cohort[0], float), np.array(cohort[1]), np.array(cohort[2], float)[:, None]
    test = StratifiedScore.of(time, event, x, 0)
    limits = estimate_exact_limits(time, event, x, 0, conf_level=0.8)
    if not test.strata:
        assert np.isnan(limits.lower)
        assert np.isnan(permute_covariate(time, event, x, 0).p_value)
        return
    assert limits.lower < limits.upper
    for limit, side, none in ((limits.lower, -1, 0), (limits.upper, 1, np.inf)):
        if limit == none:
            assert test.count_p(side * 40) > 0.2
        elif len(set(time)) == len(time):
            assert max(test.count_p(np.log(limit) - side * inward) for inward in (0, 1e-4)) > 0.2
            assert test.count_p(np.log(limit) + side * 1e-4) <= 0.2
    for coef in np.linspace(-5, 5, 41):
        # Tied values make the P-value jump up and down; what holds for a tenth around must be found.
        if min(test.count_p(coef + near) for near in (-0.05, 0, 0.05)) > 0.2:
            assert limits.lower <= np.exp(coef) <= limits.upper


def test_separated_groups_have_one_limit():
    x = np.array([[0.0]] * 3 + [[1.0]] * 3)
    time, event = np.arange(1.0, 7), np.ones(6)
    limits = estimate_exact_limits(time, event, x, 0, conf_level=0.8)
    assert limits.lower == 0
    assert limits.upper < 1
    mirrored = estimate_exact_limits(time, event, 1 - x, 0, conf_level=0.8)
    assert mirrored.upper == np.inf
    assert mirrored.lower == pytest.approx(1 / limits.upper, rel=1e-4)
    # The unit of a covariate is the unit of its coefficient.
    halved = estimate_exact_limits(time, event, x / 2, 0, conf_level=0.8)
    assert halved.upper == pytest.approx(limits.upper**2, rel=1e-4)


@pytest.mark.parametrize("hr", [1 / 30, 1 / 8, 0.5, 1, 3, 8])
def test_limits_hold_the_truth_as_often_as_they_say(hr):
    # Three patients against four: every order of leaving, with its chance.
    x, time, event = np.array([0, 0, 0, 1, 1, 1, 1.0]), np.arange(1.0, 8), np.ones(7, dtype=bool)
    stratum = Stratum.of(time, event, x)
    held = 0.0
    for labels in set(permutations(x.tolist())):
        limits = estimate_exact_limits(time, event, np.array(labels)[:, None], 0)
        _, chance = stratum.calculate(np.array(labels, dtype=int)[None], np.log(hr))
        if limits.lower <= hr <= limits.upper:
            held += np.exp(chance[0])
    total = np.exp(stratum.calculate(np.array(sorted(set(permutations(x.astype(int))))), np.log(hr))[1]).sum()
    assert 0.95 <= held / total < 0.99


def test_nothing_to_tell_is_not_estimable():
    x = np.array([[0.0, 0], [1, 1], [2, 2]])
    got = permute_covariate([1, 2, 3], [1, 1, 1], x, 0)
    assert np.isnan(got.p_value)
    assert np.isnan(got.error)
    assert got.n_subjects == 0
    assert np.isnan(permute_covariate([1, 2, 3], [0, 0, 0], x[:, :1], 0).p_value)
    # The only event comes when nobody else is left.
    assert np.isnan(estimate_exact_limits([1, 2, 3], [0, 0, 1], x[:, :1], 0).lower)


def test_bad_arguments():
    with pytest.raises(ValueError, match="x must be finite numbers, a row for each of 3 subjects"):
        permute_covariate([1, 2, 3], [1, 1, 1], np.zeros((2, 1)), 0)
    with pytest.raises(ValueError, match="time must not be negative"):
        estimate_exact_limits([1, -2, 3], [1, 1, 1], np.zeros((3, 1)), 0)
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        estimate_exact_limits([1, 2, 3], [1, 1, 1], np.arange(3.0)[:, None], 0, conf_level=95)


def test_drawn_orders_have_their_chances():
    # Hazards 1, 2, 3: the first leaves first with chance 1/6, and the third then with 3/5.
    draws = draw_relabellings([1, 2, 3], [1, 1, 1], np.log([1, 2, 3]), 60_000, seed=1)
    assert np.sort(draws, axis=1).tolist() == [[0, 1, 2]] * 60_000
    first = draws[:, 0] == 0
    assert first.mean() == pytest.approx(1 / 6, abs=0.006)
    assert (draws[first, 1] == 2).mean() == pytest.approx(3 / 5, abs=0.015)
    # Whoever is censored is anyone; events of the same time come first.
    censored = draw_relabellings([2, 1, 1], [1, 0, 1], np.log([1, 2, 3]), 60_000, seed=1)
    assert (censored[:, 0] == 2).mean() == pytest.approx(1 / 2, abs=0.006)
    assert (censored[censored[:, 0] == 2, 1] == 0).mean() == pytest.approx(1 / 2, abs=0.01)
    again = draw_relabellings([1, 2, 3], [1, 1, 1], np.log([1, 2, 3]), 60_000, seed=1)
    assert (again == draws).all()
