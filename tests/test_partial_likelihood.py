"""The partial likelihood against its definition, by hand and by brute force."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkhcc_helpers.cox.likelihood import PartialLikelihood


def draw_cohorts(seed=1, n_cohorts=5, n=9, p=2):
    rng = np.random.default_rng(seed)
    times = rng.integers(1, 7, (n_cohorts, n)).astype(float)
    events = rng.random((n_cohorts, n)) < 0.7
    return times, events, rng.normal(size=(n_cohorts, n, p)).round(1)


def add_up(time, event, x, coef, ties):
    """The log partial likelihood, term by term."""
    hazard, total = np.exp(x @ coef), 0.0
    for t in np.unique(time[event]):
        dying = event & (time == t)
        for k in range(dying.sum()):
            left = hazard[time >= t].sum()
            if ties == "efron":
                left -= k / dying.sum() * hazard[dying].sum()
            total -= np.log(left)
        total += (x[dying] @ coef).sum()
    return total


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_it_is_the_sum_over_events(ties):
    times, events, x = draw_cohorts()
    coef = np.random.default_rng(2).normal(size=(5, 2))
    got = PartialLikelihood.of(times, events, x, ties).evaluate(coef).log_likelihood
    want = [add_up(*cohort, ties) for cohort in zip(times, events, x, coef, strict=True)]
    assert got == pytest.approx(want, abs=1e-12)


def test_ties_by_hand():
    # Two of three have the event at once, hazards 1, 2 and 4: Breslow 2 / 7^2, Efron 2 / (7 (7 - 3 / 2)).
    times, events = np.array([[1.0, 1, 2]]), np.array([[True, True, False]])
    x, coef = np.array([[[0.0], [1], [2]]]), np.array([[np.log(2)]])
    breslow = PartialLikelihood.of(times, events, x, "breslow").evaluate(coef)
    efron = PartialLikelihood.of(times, events, x, "efron").evaluate(coef)
    assert breslow.log_likelihood[0] == pytest.approx(np.log(2 / 49))
    assert efron.log_likelihood[0] == pytest.approx(np.log(2 / (7 * 5.5)))


@pytest.mark.parametrize("firth", [False, True])
@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_derivatives_agree_with_differences(ties, firth):
    times, events, x = draw_cohorts(p=3)
    likelihood = PartialLikelihood.of(times, events, x, ties)
    coef = np.random.default_rng(3).normal(size=(5, 3)) / 2
    at = likelihood.evaluate(coef, firth)
    h = 1e-5
    for column in range(3):
        there, back = (likelihood.evaluate(coef + side * h * np.eye(3)[column], firth) for side in (1, -1))
        slope = (there.log_likelihood - back.log_likelihood) / (2 * h)
        assert at.score[:, column] == pytest.approx(slope, abs=1e-7)
        if not firth:
            curvature = (back.score - there.score) / (2 * h)
            assert at.information[:, column] == pytest.approx(curvature, abs=1e-7)


def test_penalty_is_half_the_log_determinant():
    likelihood = PartialLikelihood.of(*draw_cohorts())
    coef = np.full((5, 2), 0.3)
    plain, firth = likelihood.evaluate(coef), likelihood.evaluate(coef, firth=True)
    want = np.log(np.linalg.det(plain.information)) / 2
    assert firth.log_likelihood - plain.log_likelihood == pytest.approx(want)


def test_covariates_that_do_not_move_are_as_fixed_ones():
    times, events, x = draw_cohorts()
    moving = np.broadcast_to(x[:, None], (5, 9, 9, 2))
    coef = np.full((5, 2), -0.7)
    for firth in (False, True):
        one = PartialLikelihood.of(times, events, x).evaluate(coef, firth)
        two = PartialLikelihood.of(times, events, moving).evaluate(coef, firth)
        assert one.log_likelihood == pytest.approx(two.log_likelihood)
        assert one.score == pytest.approx(two.score)
        assert one.information == pytest.approx(two.information)


def test_chances_of_all_orders_add_up_to_one():
    times, events = np.arange(1.0, 6)[None], np.ones((1, 5), dtype=bool)
    x, coef = np.array([0.3, -1.2, 0.5, 2.0, 0.0]), np.array([[0.8]])
    orders = np.array(list(permutations(x)))[:, :, None]
    chance = np.exp(
        PartialLikelihood.of(times, events, orders).evaluate(np.tile(coef, (120, 1))).log_likelihood
    )
    assert chance.sum() == pytest.approx(1)


def test_huge_coefficients_neither_overflow_nor_vanish():
    times, events = np.array([[1.0, 2, 3, 4]]), np.ones((1, 4), dtype=bool)
    x = np.array([[[1.0], [2], [3], [4]]])
    likelihood = PartialLikelihood.of(times, events, x)
    at = likelihood.evaluate(np.array([[-2000.0]]))
    assert at.log_likelihood[0] == pytest.approx(0)
    # The other way round each event is the least likely: 3 + 2 + 1 steps of 2,000.
    assert likelihood.evaluate(np.array([[2000.0]])).log_likelihood[0] == pytest.approx(-12000)


def test_huge_coefficients_with_the_penalty():
    times, events = np.array([[1.0, 2, 3, 4]]), np.ones((1, 4), dtype=bool)
    likelihood = PartialLikelihood.of(times, events, np.array([[[0.0], [1], [0], [1]]]))
    # So far out the information has vanished, and with it the penalised likelihood.
    assert likelihood.evaluate(np.array([[-600.0]]), firth=True).log_likelihood[0] == -np.inf
    assert likelihood.evaluate(np.array([[-600.0]])).log_likelihood[0] < 0


@given(st.integers(0, 10_000), st.sampled_from(["breslow", "efron"]), st.booleans())
def test_no_point_is_above_the_maximum(seed, ties, firth):
    rng = np.random.default_rng(seed)
    likelihood = PartialLikelihood.of(*draw_cohorts(seed, n_cohorts=1), ties)
    coef, state = likelihood.maximize(firth)
    if np.isfinite(state.log_likelihood[0]):
        around = coef + rng.normal(size=(200, 2)) * rng.choice([1e-3, 0.1, 1, 5], (200, 1))
        assert (likelihood.evaluate(around, firth).log_likelihood <= state.log_likelihood[0] + 1e-9).all()


def test_a_held_coefficient_stays_and_the_others_are_at_their_best():
    likelihood = PartialLikelihood.of(*draw_cohorts(n_cohorts=1))
    coef, state = likelihood.maximize(firth=True, held=np.array([[0.25, np.nan]]))
    assert coef[0, 0] == 0.25
    grid = np.column_stack([np.full(2001, 0.25), np.linspace(-5, 5, 2001)])
    best = likelihood.evaluate(grid, firth=True).log_likelihood.max()
    assert state.log_likelihood[0] == pytest.approx(best, abs=1e-4)
    assert state.log_likelihood[0] >= best - 1e-10
