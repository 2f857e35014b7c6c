"""The relabelling test of one covariate and its limits, against listing every order, R and by hand."""

from functools import cache
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from r_values import DATA_SETS, read_data, read_reference

from nkhcc_helpers.cox import relabelling
from nkhcc_helpers.cox.fit import estimate_exact_limits
from nkhcc_helpers.cox.likelihood import PartialLikelihood
from nkhcc_helpers.cox.models import draw_relabellings
from nkhcc_helpers.cox.relabelling import StratifiedScore, permute_covariate
from nkhcc_helpers.survival.exact import count_allocations

TIME, EVENT = np.array([3.0, 1, 2, 2, 5, 4]), np.array([1, 1, 1, 1, 0, 0])


def read_groups():
    data = read_data("small18")
    order = data["order"].to_numpy()
    places = np.unique(order, return_inverse=True)[1]
    return data, places, (places[:, None] == np.arange(1, 4)).astype(float)


def sort_trial(time, event):
    """Times and events as they pass, events before censorings of the same time."""
    order = sorted(range(len(time)), key=lambda i: (time[i], 1 - event[i]))
    return [float(time[i]) for i in order], [bool(event[i]) for i in order], order


def score_slowly(time, event, values, coef):
    """Score and information in plain loops."""
    score = information = 0.0
    for i, value in enumerate(values):
        if event[i]:
            risk = [(v, np.exp(coef * v)) for v, t in zip(values, time, strict=True) if t >= time[i]]
            total = sum(h for _, h in risk)
            mean = sum(v * h for v, h in risk) / total
            score += value - mean
            information += sum((v - mean) ** 2 * h for v, h in risk) / total
    return score, information


def chance_slowly(event, values, coef):
    chance = 1.0
    for i, value in enumerate(values):
        left = values[i:]
        hazards = [np.exp(coef * v) for v in left]
        chance *= np.exp(coef * value) / sum(hazards) if event[i] else 1 / len(left)
    return chance


def list_slowly(strata, coef=0.0):
    """P-value over all orders of patients of strata (time, event, x), who leave one by one."""
    every, own = [], []
    for time, event, x in strata:
        time, event, order = sort_trial(time, event)
        chances = {}
        for values in permutations([x[i] for i in order]):
            chances[values] = chances.get(values, 0) + chance_slowly(event, values, coef)
        every.append([(*score_slowly(time, event, v, coef), p) for v, p in chances.items()])
        own.append(score_slowly(time, event, [x[i] for i in order], coef))
    together = [
        (sum(u for u, _, _ in parts), sum(v for _, v, _ in parts), np.prod([p for _, _, p in parts]))
        for parts in product(*every)
    ]
    mean = sum(u * p for u, _, p in together)

    def standardise(score, information):
        return abs(score - mean) / np.sqrt(information) if information > 1e-12 else 0.0

    observed = standardise(sum(u for u, _ in own), sum(v for _, v in own))
    return sum(p for u, v, p in together if standardise(u, v) >= observed - 1e-9)


@pytest.mark.parametrize("coef", [0.0, 0.7, -2.5])
@pytest.mark.parametrize("x", [[0, 0, 1, 1, 0, 1], [0.5, 1, 1, 2, 0.5, 2]])
def test_p_equals_listing_every_order(x, coef):
    test = StratifiedScore.of_trial(TIME, EVENT, np.array(x, float)[:, None], 0)
    assert test.count_p(coef)[0] == pytest.approx(list_slowly([(TIME, EVENT, x)], coef), abs=1e-10)


@pytest.mark.parametrize("coef", [0.0, -1.3])
def test_strata_are_summed(coef):
    # Three strata of two to five patients, with ties and censoring.
    stratum = np.array([0] * 5 + [1] * 4 + [2] * 2)
    time = np.array([3, 1, 3, 2, 2, 1, 4, 4, 2, 5, 3.0])
    event = np.array([1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1]) == 1
    x = np.array([0, 1, 1, 0, 2, 0, 0, 1, 1, 0, 1.0])
    test = StratifiedScore.of_trial(time, event, np.column_stack([x, stratum]), 0)
    assert len(test.strata) == 3
    parts = [(time[stratum == each], event[stratum == each], x[stratum == each]) for each in range(3)]
    assert test.count_p(coef)[0] == pytest.approx(list_slowly(parts, coef), abs=1e-10)


def test_by_hand():
    # One against three. Leaving first, second, third, last gives squared statistics 3, (5/12)^2 / (59/144),
    # (1/12)^2 / (95/144) and (13/12)^2 / (95/144); the score alone is farthest from 0 for the last.
    for place, expected in enumerate((1 / 4, 3 / 4, 1, 2 / 4)):
        x = np.zeros((4, 1))
        x[place] = 1
        got = permute_covariate([1, 2, 3, 4], [1, 1, 1, 1], x, 0)
        assert got.p_value == pytest.approx(expected)
        assert (got.error, got.n_allocations, got.n_subjects) == (0, 4, 4)
    score, information = StratifiedScore.of_trial([1, 2, 3, 4], [1, 1, 1, 1], x, 0).observe(0.0)
    assert score[0] ** 2 / information[0] == pytest.approx(169 / 95)


@pytest.mark.parametrize("name", DATA_SETS)
def test_observed_statistic_is_that_of_coxph(name):
    data = read_data(name)
    rows = read_reference(name, "coxph_score_breslow").query("group == 'score'")
    test = StratifiedScore.of_trial(data["time"], data["event"], data[["order"]], 0)
    score, information = test.observe(0.0)
    assert score[0] ** 2 / information[0] == pytest.approx(rows["value"].iloc[0], rel=1e-9)


def test_dummies_are_tested_within_pairs():
    data, places, dummies = read_groups()
    for column in range(3):
        got = permute_covariate(data["time"], data["event"], dummies, column)
        keep = np.isin(places, [0, column + 1])
        time, event, order = sort_trial(data["time"][keep].to_numpy(), data["event"][keep].to_numpy())
        group = places[keep][order] > 0

        def calculate(chosen, time=time, event=event):
            values = [float(i in chosen) for i in range(len(time))]
            score, information = score_slowly(time, event, values, 0.0)
            return score**2 / information if information else 0.0

        statistics = [calculate(each) for each in combinations(range(len(group)), int(group.sum()))]
        observed = calculate(set(np.flatnonzero(group).tolist()))
        assert got.n_allocations == len(statistics)
        assert got.p_value == pytest.approx(np.mean(np.array(statistics) >= observed - 1e-9))


def draw_statistics(time, event, x, strata, n_draws, seed):
    """Squared statistics of random relabellings within strata, by the likelihood of the fits."""
    rng, parts = np.random.default_rng(seed), []
    for which in np.unique(strata):
        keep = strata == which
        labels = rng.permuted(np.tile(x[keep], (n_draws, 1)), axis=1)
        labels[0] = x[keep]
        at = np.full((n_draws, 1), 0.0)
        times, events = np.tile(time[keep], (n_draws, 1)), np.tile(event[keep] == 1, (n_draws, 1))
        found = PartialLikelihood.of(times, events, labels[:, :, None]).evaluate(at)
        parts.append((found.score[:, 0], found.information[:, 0, 0]))
    return sum(score for score, _ in parts) ** 2 / sum(information for _, information in parts)


def test_small_trial_against_draws_by_the_likelihood():
    data, _, _ = read_groups()
    time, event, x = data["time"].to_numpy(), data["event"].to_numpy(), data[["dose", "infusions"]]
    # A with B, at four infusions; C with D, at eight.
    dose = permute_covariate(time, event, x, 0)
    assert dose.n_allocations == count_allocations([3, 5]) * count_allocations([6, 4]) == 11_760
    assert dose.error == 0
    drawn = draw_statistics(time, event, x["dose"].to_numpy(), x["infusions"].to_numpy(), 20_000, 5)
    assert np.mean(drawn >= drawn[0] - 1e-9) == pytest.approx(dose.p_value, abs=0.006)
    # One covariate: the whole trial, too many to list.
    groups = data["order"].to_numpy(float)
    late = np.roll(groups, 5)
    got = permute_covariate(time, event, late[:, None], 0)
    drawn = draw_statistics(time, event, late, np.zeros(18), 20_000, 6)
    assert (got.n_allocations, got.n_subjects) == (514_594_080, 18)
    assert 0.05 < got.p_value < 0.95
    assert got.error == pytest.approx(np.sqrt(got.p_value * (1 - got.p_value) / 20_000))
    assert np.mean(drawn >= drawn[0] - 1e-9) == pytest.approx(got.p_value, abs=6 * got.error)


def test_draws_agree_with_the_count(monkeypatch):
    data, _, _ = read_groups()
    x = data[["dose", "infusions"]].to_numpy(float)
    counted = permute_covariate(data["time"], data["event"], x, 0)
    test = StratifiedScore.of_trial(data["time"], data["event"], x, 0)
    uniforms = test.draw_uniforms(40_000, np.random.default_rng(2))
    for coef in (0.0, -4.0, 1.5):
        assert test.draw_p(uniforms, coef) == pytest.approx(test.count_p(coef)[0], abs=0.006)
    together = test.exchange_p(40_000, np.random.default_rng(3))
    assert together[0] == pytest.approx(counted.p_value, abs=0.004)
    exact = estimate_exact_limits(data["time"], data["event"], x, 0)
    monkeypatch.setattr(relabelling, "MOST_PLACES", 10)
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


# An estimate without end, where P comes to the level for good, and where it is far below.
@example(([2, 1, 5, 3, 4], [True, False, False, True, False], [0, 1, 2, 0, 2]))
@example(([7, 8, 2, 4, 3, 1, 5, 6], [True, *[False] * 5, True, False], [0, 2, 2, 2, 1, 1, 0, 2]))
@given(cohorts)
def test_limits_are_where_the_test_changes_its_mind(cohort):
    time, event, x = np.array(cohort[0], float), np.array(cohort[1]), np.array(cohort[2], float)[:, None]
    test = StratifiedScore.of_trial(time, event, x, 0)
    limits = estimate_exact_limits(time, event, x, 0, conf_level=0.8)
    if not test.strata:
        assert np.isnan(limits.lower)
        assert np.isnan(permute_covariate(time, event, x, 0).p_value)
        return
    assert limits.lower < limits.upper
    if limits.upper < 1e-10 or limits.lower > 1e10:  # every value is rejected, the estimate without end too
        return
    for limit, side, none in ((limits.lower, -1, 0), (limits.upper, 1, np.inf)):
        if len(set(time)) < len(time):
            continue  # tied values make the P-value jump
        if limit == none:
            assert side * test.observe(side * 30)[0][0] >= 0 or test.count_p(side * 30)[0] > 0.2
        else:
            assert max(test.count_p(np.log(limit) - side * inward)[0] for inward in (0, 1e-4)) > 0.2
            assert test.count_p(np.log(limit) + side * 1e-4)[0] <= 0.2
    for coef in np.linspace(-5, 5, 41):
        # Tied values make the P-value jump up and down; what holds for a tenth around must be found.
        if min(test.count_p(coef + near)[0] for near in (-0.05, 0, 0.05)) > 0.2:
            assert limits.lower <= np.exp(coef) <= limits.upper


@given(st.permutations([0, 0, 0, 1, 1, 1, 1, 2]), st.lists(st.booleans(), min_size=8, max_size=8))
def test_limits_leave_out_no_effect_where_p_is_at_most_the_level(values, event):
    x = np.array(values, float)[:, None]
    got = permute_covariate(np.arange(8.0), event, x, 0)
    limits = estimate_exact_limits(np.arange(8.0), event, x, 0, conf_level=0.9)
    assert got.error == 0 or np.isnan(got.error)
    test = StratifiedScore.of_trial(np.arange(8.0), event, x, 0)
    if got.p_value <= 0.1 < max(test.count_p(beside)[0] for beside in (-1e-4, 1e-4)):
        return  # an interval cannot leave out a single value
    assert (limits.lower > 1 or limits.upper < 1) == (got.p_value <= 0.1)


def test_drawn_limits_leave_out_no_effect_where_p_is_at_most_the_level():
    data, places, _ = read_groups()
    for seed in range(4):
        x = np.random.default_rng(seed).permutation(places)[:, None]
        p_value = permute_covariate(data["time"], data["event"], x, 0, n_draws=300, seed=1).p_value
        for level in (p_value - 0.01, p_value + 0.01):
            limits = estimate_exact_limits(
                data["time"], data["event"], x, 0, conf_level=1 - level, n_draws=300, seed=1
            )
            assert (limits.lower > 1 or limits.upper < 1) == (level > p_value)


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


@cache
def list_pair(sizes):
    """Every order of leaving of two groups, nobody censored, with its P-value and limits."""
    n, found = sum(sizes), []
    for chosen in combinations(range(n), sizes[0]):
        x = np.ones((n, 1))
        x[list(chosen)] = 0
        arguments = np.arange(1.0, n + 1), np.ones(n), x, 0
        limits = estimate_exact_limits(*arguments)
        found.append((x[:, 0], permute_covariate(*arguments).p_value, limits.lower, limits.upper))
    return found


def weigh_pair(orders, hr):
    """Chance of each order of leaving where the second group has this hazard ratio."""
    n_orders = count_allocations([int((orders[0][0] == each).sum()) for each in (0, 1)])
    assert len(orders) == n_orders
    chance = np.array([chance_slowly([True] * len(x), x, np.log(hr)) for x, *_ in orders])
    return chance / chance.sum()


@pytest.mark.parametrize("sizes", [(3, 4), (3, 5)])
@pytest.mark.parametrize("hr", [1 / 30, 1 / 8, 0.5, 1, 3, 8])
def test_limits_hold_the_truth_as_often_as_they_say(sizes, hr):
    orders = list_pair(sizes)
    held = [lower <= hr <= upper for _, _, lower, upper in orders]
    assert 0.95 - 1e-12 <= weigh_pair(orders, hr) @ held < 0.995


@pytest.mark.parametrize(("sizes", "power"), [((3, 4), 0.4), ((3, 5), 0.3)])
def test_a_small_group_that_does_worst_is_found(sizes, power):
    # The score not divided by its standard error never rejects here.
    orders = list_pair(sizes)
    rejected = [p_value <= 0.05 for _, p_value, _, _ in orders]
    assert weigh_pair(orders, 1 / 8) @ rejected > power
    assert weigh_pair(orders, 1) @ rejected <= 0.05


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


def test_an_interval_reaches_as_far_as_the_estimate():
    # Whoever has the event first has the smallest covariate of those at risk: the likelihood has no maximum.
    time, event = [2, 2, 1, 3, 3, 3, 3, 2], [0, 0, 0, 0, 0, 1, 1, 1]
    x = np.array([1.0, 2, 0, 2, 2, 2, 2, 1])[:, None]
    for level in (0.5, 0.8, 0.95):
        limits = estimate_exact_limits(time, event, x, 0, conf_level=level)
        assert limits.lower == 0 < limits.upper
