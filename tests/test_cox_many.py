"""Many Cox models at once against one at a time, two libraries, and R."""

import warnings

import numpy as np
import pandas as pd
import pytest
from cox_models_of_r import DATA_SETS, read_models
from firthmodels import FirthCoxPH
from lifelines import CoxPHFitter, CoxTimeVaryingFitter
from r_values import read_reference
from statsmodels.duration.hazard_regression import PHReg

from nkhcc_helpers.cox.design import find_separation
from nkhcc_helpers.cox.fit import CoxModel, fit_cox
from nkhcc_helpers.cox.models import fit_cox_many

N_COHORTS = 60


@pytest.fixture(scope="module")
def cohorts():
    """Cohorts of 3, 5, 6 and 4 with ties and censoring, some of them separated, some without events."""
    rng = np.random.default_rng(11)
    group = np.repeat(range(4), (3, 5, 6, 4))
    x = np.column_stack([np.array([0.5, 1, 1, 1.25])[group], np.array([4.0, 4, 8, 8])[group]])
    strength = rng.choice([0, 1, 6], N_COHORTS)
    time = rng.exponential(np.exp(strength[:, None] * x[:, 0]))
    limit = rng.exponential(2 * np.median(time, axis=1, keepdims=True), time.shape)
    scale = np.median(time, axis=1, keepdims=True) / 4
    times, events = np.ceil(np.minimum(time, limit) / scale), time <= limit
    events[:3] = False
    return times, events, x


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("method", ["firth", "partial"])
def test_each_cohort_is_fitted_as_alone(cohorts, method, ties):
    times, events, x = cohorts
    fits = fit_cox_many(times, events, x, method=method, ties=ties)
    for at in range(N_COHORTS):
        frame = pd.DataFrame(x, columns=["dose", "infusions"]).assign(time=times[at], event=events[at])
        one = CoxModel.of(frame, ["dose", "infusions"], method=method, ties=ties)
        assert fits.coef[at] == pytest.approx(one.fits.coef[0], abs=1e-6, nan_ok=True)
        assert fits.log_likelihood[at] == pytest.approx(one.log_likelihood, abs=1e-6, nan_ok=True)
        assert fits.df[at] == one.df
        if one.df == 2:
            assert fits.lr_statistic[at] == pytest.approx(one.lr_statistic, abs=1e-6)
    assert 0.3 < fits.estimable.mean() < 1


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("method", ["firth", "partial"])
def test_what_is_printed_of_a_cohort_is_its_fit(cohorts, method, ties):
    times, events, x = cohorts
    fits = fit_cox_many(times, events, x, method=method, ties=ties)
    chosen = [0, *np.flatnonzero(fits.estimable)[:4], *np.flatnonzero(~fits.estimable)[-4:]]
    for at in chosen:
        frame = pd.DataFrame(x, columns=["dose", "infusions"]).assign(time=times[at], event=events[at])
        one = fit_cox(frame, ["dose", "infusions"], method=method, ties=ties, n_draws=0)
        coef = fits.coef[at]
        if method == "partial" and one.separated is not None and one.summary["coef"].notna().any():
            # What does not separate is estimated as what does grows without bound, here one covariate.
            assert (one.separated != 0).sum() == 1
            away = {i: 200.0 * each for i, each in enumerate(one.separated) if each}
            far = fit_cox_many(times[at], events[at], x, ties=ties, method="partial", fixed=away)
            coef = np.where(one.separated == 0, far.coef[0], np.nan)
            assert np.isfinite(coef).any()
        assert one.summary["coef"].tolist() == pytest.approx(coef, abs=1e-6, nan_ok=True)
        assert one.log_likelihood == pytest.approx(fits.log_likelihood[at], abs=1e-6, nan_ok=True)
        assert (one.separated is None) or method == "firth" or not fits.estimable[at]


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize(("n", "n_times"), [(12, 4), (30, 8), (60, 5), (120, 40), (120, 1000)])
def test_partial_likelihood_agrees_with_statsmodels(n, n_times, ties):
    rng = np.random.default_rng(n + n_times)
    x = np.column_stack([rng.integers(0, 3, n), rng.normal(size=n), rng.random(n) < 0.5]).astype(float)
    times = np.ceil(n_times * rng.random(n) ** np.exp(-0.5 * x[:, 0] + 0.3 * x[:, 1]))
    events = rng.random(n) < 0.7
    theirs = PHReg(times, x, status=events, ties=ties).fit(disp=0, tol=1e-12)
    ours = fit_cox_many(times, events, x, method="partial", ties=ties)
    assert ours.coef[0] == pytest.approx(theirs.params, abs=1e-6)
    assert ours.se[0] == pytest.approx(theirs.bse, rel=1e-5)
    assert ours.log_likelihood[0] == pytest.approx(theirs.llf, abs=1e-8)
    null = theirs.model.loglike(np.zeros(3))
    assert ours.null_log_likelihood[0] == pytest.approx(null, abs=1e-8)
    frame = pd.DataFrame(x, columns=list("abc")).assign(time=times, event=events)
    one = CoxModel.of(frame, list("abc"), method="partial", ties=ties)
    assert one.fits.coef[0] == pytest.approx(theirs.params, abs=1e-6)
    assert one.lr_statistic == pytest.approx(2 * (theirs.llf - null), abs=1e-8)


@pytest.mark.parametrize("n_cohorts", [400, pytest.param(1500, marks=pytest.mark.slow)])
def test_separation_is_never_misjudged(n_cohorts):
    rng = np.random.default_rng(5)
    shape = n_cohorts, 8
    times, events = rng.integers(1, 7, shape).astype(float), rng.random(shape) < 0.6
    x = rng.integers(0, 3, (*shape, 2)).astype(float)
    fits = fit_cox_many(times, events, x, method="partial")
    separated = [find_separation(*cohort) is not None for cohort in zip(x, times, events, strict=True)]
    firth = fit_cox_many(times, events, x)
    # What the events cannot tell apart is not estimable by either; Firth's penalty makes good for separation.
    assert fits.estimable.tolist() == (firth.estimable & ~np.array(separated)).tolist()
    assert 0.1 < np.mean(separated) < 0.5
    assert np.isfinite(firth.coef[firth.estimable]).all()


def test_firth_agrees_with_firthmodels(cohorts):
    times, events, x = cohorts
    fits = fit_cox_many(times, events, x)
    for at in np.flatnonzero(fits.estimable)[:60]:
        outcome = np.array(list(zip(events[at], times[at], strict=True)), dtype=[("e", bool), ("t", float)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = FirthCoxPH(max_iter=500).fit(x, outcome)
        if theirs.converged_:
            assert fits.coef[at] == pytest.approx(theirs.coef_, abs=1e-4)
            assert fits.se[at] == pytest.approx(theirs.bse_, rel=1e-3)
            assert fits.log_likelihood[at] == pytest.approx(theirs.loglik_, abs=1e-6)


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_standard_errors_agree_with_r(name, ties):
    data, models = read_models(name)
    rows = read_reference(name, f"coxph_se_{ties}")
    for model, covariates in models.items():
        fits = fit_cox_many(data["time"], data["event"], data[covariates], method="partial", ties=ties)
        assert fits.se[0] == pytest.approx(rows[rows["group"] == model]["value"].tolist(), abs=1e-6)


def test_one_row_of_times_serves_all_covariates(cohorts):
    times, events, x = cohorts
    shuffled = np.stack([x, x[::-1]])
    both = fit_cox_many(times[5], events[5], shuffled)
    assert both.coef[1] == pytest.approx(fit_cox_many(times[5:6], events[5:6], x[::-1]).coef[0])


def test_a_subject_can_be_left_out(cohorts):
    times, events, x = cohorts
    rest = np.arange(18) != 7
    out, kept = np.where(rest, times[6], -1), np.where(rest, events[6], False)
    alone = fit_cox_many(times[6][rest], events[6][rest], x[rest])
    assert fit_cox_many(out, kept, x).coef == pytest.approx(alone.coef, abs=1e-7)


def test_covariates_that_change_agree_with_lifelines():
    # Subject j has x = 1 from time j + 1 on.
    rng = np.random.default_rng(2)
    times = rng.permutation(np.arange(1.0, 13))
    events = rng.random(12) < 0.8
    x = (times[:, None] > np.arange(12) + 1)[..., None].astype(float)
    rows = []
    for j in range(12):
        turns = j + 1.0
        if times[j] > turns:
            rows += [(j, 0, turns, False, 0), (j, turns, times[j], events[j], 1)]
        else:
            rows += [(j, 0, times[j], events[j], 0)]
    table = pd.DataFrame(rows, columns=["id", "start", "stop", "event", "x"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CoxTimeVaryingFitter().fit(
            table, id_col="id", event_col="event", start_col="start", stop_col="stop"
        )
    ours = fit_cox_many(times, events, x[None], method="partial", ties="efron")
    assert ours.coef[0] == pytest.approx(theirs.params_.to_numpy(), abs=1e-5)


def test_partial_agrees_with_lifelines(cohorts):
    times, events, x = cohorts
    fits = fit_cox_many(times, events, x, method="partial", ties="efron")
    for at in np.flatnonzero(fits.estimable)[:20]:
        frame = pd.DataFrame(x).assign(time=times[at], event=events[at])
        theirs = CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12})
        assert fits.coef[at] == pytest.approx(theirs.params_.to_numpy(), abs=1e-6)


def test_without_events_nothing_is_estimable():
    fits = fit_cox_many([[1, 2, 3]], [[0, 0, 0]], [[1.0], [2.0], [3.0]])
    assert not fits.estimable.any()
    assert np.isnan(fits.coef).all()


def test_every_coefficient_can_be_held(cohorts):
    times, events, x = cohorts
    held = fit_cox_many(times, events, x, fixed={0: 0.0, 1: 0.0})
    assert held.log_likelihood == pytest.approx(held.null_log_likelihood, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((3, 2))}, "do not fit together"),
        ({"events": [[1, 0, 1]]}, "do not fit together"),
        ({"times": [[1, 2, np.nan, 4]]}, "must be finite"),
        ({"events": [[1, 0, 2, 1]]}, "events must be true or false"),
        ({"method": "bayes"}, "method must be one of firth, partial"),
        ({"ties": "exact"}, "ties must be one of breslow, efron"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"times": [[1, 2, 3, 4]], "events": [[1, 0, 1, 1]], "x": np.arange(8.0).reshape(4, 2)}
    arguments |= change
    with pytest.raises(ValueError, match=message):
        fit_cox_many(**arguments)
