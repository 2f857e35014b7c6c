"""Separation verdicts against the likelihood along the direction."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import partial_likelihood as oracle
from scipy import stats

from nkhcc_helpers.cox.design import find_separation
from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.cox.likelihood import PartialLikelihood, is_separating
from nkhcc_helpers.cox.models import list_separated

small = st.integers(4, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 6), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=n, max_size=n),
    )
)


@given(small)
def test_verdict_agrees_with_the_likelihood(cohort):
    time, event, x = np.array(cohort[0], float), np.array(cohort[1]), np.array(cohort[2], float)
    likelihood = PartialLikelihood.of(time[None], event[None], x[None], "efron")
    direction = find_separation(x, time, event)
    if direction is not None:
        # It rises along the direction, up to a bound, from wherever it starts.
        steps = np.array([0, 1, 3, 9, 27, 81])[:, None]
        values = likelihood.evaluate(steps * direction).log_likelihood
        assert (np.diff(values) >= -1e-12).all()
        assert values[-1] > values[0]
        assert is_separating(x[None], time[None], event[None], direction[None]).all()
    else:
        # On every ray of a fine fan it falls in the end, or does not move at all.
        angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        rays = np.column_stack([np.cos(angles), np.sin(angles)])
        near, far = (likelihood.evaluate(length * rays).log_likelihood for length in (200, 400))
        assert ((far < near) | np.isclose(far, likelihood.evaluate(0 * rays).log_likelihood)).all()
        proven = is_separating(*(np.tile(a, (96,) + (1,) * a.ndim) for a in (x, time, event)), rays)
        assert not proven.any()


def test_covariates_that_change_are_judged_as_they_are_at_each_event():
    # Whoever has the event is on treatment at that time, nobody else is: fixed at baseline nobody differs.
    time, event = np.arange(1.0, 6), np.ones(5, dtype=bool)
    moving = np.eye(5)[:, :, None]
    assert find_separation(moving, time, event) == 1
    assert find_separation(np.zeros((5, 1)), time, event) is None


def test_nothing_to_order_is_no_separation():
    assert find_separation(np.arange(3.0)[:, None], np.arange(3.0), np.zeros(3, dtype=bool)) is None


FAR = 200.0  # a log hazard ratio per unit at which a profile has fallen far, or risen to its bound
FALL = stats.chi2.ppf(0.95, 1) / 2


def draw_separated(rng, n_models):
    """Small separated models whose coefficients some event tells apart, with their oracles."""
    while n_models:
        n, p = int(rng.integers(5, 11)), int(rng.integers(2, 5))
        groups = np.eye(p + 1)[rng.integers(0, p + 1, n)][:, 1:]
        x = groups if rng.random() < 0.4 else rng.integers(0, 3, (n, p)).astype(float)
        time = rng.integers(1, rng.choice([5, 9, 30]), n).astype(float)
        event = rng.random(n) < rng.choice([0.3, 0.5, 0.7, 0.9])
        enter = np.floor(time * rng.random(n) * 0.99) * (rng.random(n) < 0.4) * (rng.random() < 0.3)
        strata = rng.integers(0, 2, n) * int(rng.random() < 0.3)
        if np.linalg.matrix_rank(np.column_stack([np.ones(n), x])) <= p:
            continue
        names, ties = list("abcd")[:p], str(rng.choice(["breslow", "efron"]))
        frame = pd.DataFrame(x, columns=names).assign(time=time, event=event, time_enter=enter, s=strata)
        fit = fit_cox(frame, names, method="partial", ties=ties, strata="s", n_draws=0)
        if fit.df == p and fit.separated is not None:
            n_models -= 1
            yield fit, oracle.PartialLikelihood(time, event, x, enter, strata, ties)


def check_limit(fit, likelihood):
    """Whether each coefficient is estimated if and only if its profile falls on both sides, and by it."""
    highest = likelihood.find_supremum()
    assert fit.log_likelihood == pytest.approx(highest, abs=1e-6)
    assert likelihood.separates(fit.separated.to_numpy())
    for column, row in enumerate(fit.summary.itertuples()):

        def fall(value, column=column):
            return highest - likelihood.find_supremum(column, value)

        estimable = min(fall(-FAR), fall(FAR)) > 1
        assert estimable == (fit.separated.iloc[column] == 0)
        assert estimable == np.isfinite(row.coef)
        assert np.isnan([row.hr, row.ci_lower, row.ci_upper, row.p_value]).all() != estimable
        if estimable:
            assert fall(row.coef) == pytest.approx(0, abs=1e-6)
            assert min(fall(row.coef - 0.1), fall(row.coef + 0.1)) > 1e-5
            for limit in np.log([row.ci_lower, row.ci_upper]):
                assert fall(limit) == pytest.approx(FALL, abs=1e-5)
            assert stats.chi2.sf(max(2 * fall(0.0), 0), 1) == pytest.approx(row.p_value, abs=1e-5)
    return int(fit.summary["coef"].notna().sum())


@pytest.mark.no_cover
@pytest.mark.parametrize("n_models", [12, pytest.param(80, marks=pytest.mark.slow)])
def test_what_separation_leaves_is_the_limit_of_the_likelihood(n_models):
    drawn = draw_separated(np.random.default_rng(n_models), n_models)
    n_estimated = [check_limit(*each) for each in drawn]
    assert sum(n_estimated) > n_models / 5


def test_a_second_direction_through_what_the_first_moves():
    # Along (-1, 1, 0) those left differ in a and b together: with c held at 0 that is worth log 2.
    x = np.array([[0, 2, 0], [1, 0, 1], [2, 1, 2], [0, 2, 2], [1, 1, 1], [0, 1, 2]], dtype=float)
    time, event = np.array([2.0, 6, 8, 1, 4, 4]), np.array([0, 1, 1, 1, 0, 1], dtype=bool)
    frame = pd.DataFrame(x, columns=list("abc")).assign(time=time, event=event)
    fit = fit_cox(frame, list("abc"), method="partial", n_draws=0)
    likelihood = oracle.PartialLikelihood(time, event, x, np.zeros(6), np.zeros(6), "breslow")
    held = [likelihood.find_supremum(2, value) for value in (0, 0.42, 1, 40)]
    assert held == pytest.approx([-0.693, -0.359, -0.127, 0], abs=2e-2)
    assert check_limit(fit, likelihood) == 0
    assert list_separated(frame, {"m": list("abc")}) == {"m": list("abc")}


def test_what_separated_covariates_tell_apart_together_is_free():
    # The first event is that of the only one with a - b = 1. All others have a = b, so that a + b is known.
    a = np.array([1.0, 0, 1, 0, 1, 0, 1, 0])
    frame = pd.DataFrame({"a": a, "b": a - [1, 0, 0, 0, 0, 0, 0, 0], "c": [0.0, 1, 1, 0, 0, 1, 0, 1]})
    frame = frame.assign(time=np.arange(1.0, 9), event=True)
    fit = fit_cox(frame, ["a", "b", "c"], method="partial", n_draws=0)
    rest = fit_cox(frame[1:], ["a", "c"], method="partial", n_draws=0)
    got, want = fit.summary.iloc[2], rest.summary.iloc[1]
    columns = ["coef", "ci_lower", "ci_upper", "p_value"]
    assert got[columns].tolist() == pytest.approx(want[columns].tolist(), rel=1e-6)
    assert fit.summary["hr"].isna().tolist() == [True, True, False]
    # Units do not matter.
    scaled = frame.assign(a=frame["a"] * 1e5 + 7, b=frame["b"] / 1e3)
    again = fit_cox(scaled, ["a", "b", "c"], method="partial", n_draws=0)
    assert again.summary.loc[2, columns].tolist() == pytest.approx(got[columns].tolist(), rel=1e-5)
    assert (again.separated != 0).tolist() == [True, True, False]
