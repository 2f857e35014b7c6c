"""Separation verdicts against the likelihood along the direction."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nkhcc_helpers.cox.design import find_separation, is_separating
from nkhcc_helpers.cox.likelihood import PartialLikelihood

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
