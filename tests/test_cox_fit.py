"""Cox regression against R, both libraries, a grid and hand-made answers."""

import numpy as np
import pandas as pd
import pytest
from cox_models_of_r import DATA_SETS, read_models
from firthmodels import FirthCoxPH
from generated import FEWER
from hypothesis import given
from hypothesis import strategies as st
from r_values import read_reference

from nkhcc_helpers import cox
from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.cox.likelihood import PartialLikelihood
from nkhcc_helpers.cox.models import fit_cox_many


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("name", DATA_SETS)
def test_partial_likelihood_agrees_with_r(name, ties):
    data, models = read_models(name)
    rows = read_reference(name, f"coxph_coef_{ties}", f"coxph_lr_{ties}", f"coxph_loglik_{ties}")
    for model, covariates in models.items():
        part = rows[rows["group"] == model].groupby("what")["value"].apply(list)
        fit = fit_cox(data, covariates, method="partial", ties=ties, n_draws=0)
        assert fit.summary["coef"].tolist() == pytest.approx(part[f"coxph_coef_{ties}"], abs=1e-6)
        assert fit.log_likelihood == pytest.approx(part[f"coxph_loglik_{ties}"][0], abs=1e-6)
        assert fit.lr_statistic == pytest.approx(part[f"coxph_lr_{ties}"][0], abs=1e-6)
        assert fit.separated is None


@pytest.mark.parametrize("name", DATA_SETS)
def test_firth_agrees_with_coxphf(name):
    data, models = read_models(name)
    columns = {
        "coxphf_coef": "coef",
        "coxphf_pl_lower_hr": "ci_lower",
        "coxphf_pl_upper_hr": "ci_upper",
        "coxphf_p": "p_value",
    }
    rows = read_reference(name, *columns)
    for model, covariates in models.items():
        part = rows[rows["group"] == model].groupby("what")["value"].apply(list)
        summary = fit_cox(data, covariates, n_draws=0).summary
        for theirs, ours in columns.items():
            # It stops at about 1e-5.
            assert summary[ours].tolist() == pytest.approx(part[theirs], rel=1e-3)


def test_firth_limits_and_tests_agree_with_firthmodels():
    data, models = read_models("larynx")
    outcome = np.array(list(zip(data["event"] == 1, data["time"], strict=True)), dtype="bool,float")
    theirs = FirthCoxPH(gtol=1e-8).fit(data[models["group"]].to_numpy(), outcome).lrt()
    ours = fit_cox(data, models["group"], conf_level=0.9, n_draws=0).summary
    limits = theirs.conf_int(alpha=0.1, method="pl", tol=1e-8)
    assert np.log(ours[["ci_lower", "ci_upper"]].to_numpy()) == pytest.approx(limits, abs=1e-6)
    assert ours["p_value"].to_numpy() == pytest.approx(theirs.lrt_pvalues_, rel=1e-5)


@pytest.mark.parametrize("method", ["firth", "partial"])
@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_limits_and_p_value_by_grid(method, ties):
    data, _ = read_models("small18")
    fit = fit_cox(data, ["order"], method=method, ties=ties, conf_level=0.9, n_draws=0)
    time, event = data["time"].to_numpy()[None], (data["event"] == 1).to_numpy()[None]
    likelihood = PartialLikelihood.of(time, event, data[["order"]].to_numpy(float)[None], ties)
    grid = np.linspace(-4, 1, 5_001)
    values = likelihood.evaluate(grid[:, None], method == "firth").log_likelihood
    inside = grid[2 * (values.max() - values) <= 2.705543454095404]
    row = fit.summary.iloc[0]
    assert np.log(row["ci_lower"]) == pytest.approx(inside.min(), abs=1.1e-3)
    assert np.log(row["ci_upper"]) == pytest.approx(inside.max(), abs=1.1e-3)
    assert row["p_value"] == pytest.approx(fit.p_lr, rel=1e-6)


def separated_frame():
    return pd.DataFrame({"time": [1, 2, 3, 4, 5, 6.0], "event": True, "dose": [1.0] * 3 + [2] * 3})


def test_separation_prints_nothing_that_looks_like_an_estimate():
    fit = fit_cox(separated_frame(), ["dose"], method="partial", ties="efron", n_draws=0)
    assert fit.separated["dose"] == -1
    assert fit.summary["hr"].isna().all()
    # All events of dose 1 come first: along the direction only the orders within the doses remain.
    assert fit.log_likelihood == pytest.approx(-np.log(6 * 6), abs=1e-8)
    assert fit.lr_statistic == pytest.approx(2 * (np.log(720) - np.log(36)), abs=1e-7)


def test_firth_is_finite_under_separation():
    fit = fit_cox(separated_frame(), ["dose"], n_draws=0)
    assert fit.separated["dose"] == -1
    row = fit.summary.iloc[0]
    assert 0 < row["ci_lower"] < row["hr"] < row["ci_upper"] < 1
    # The penalised likelihood by its definition, on a grid of hazard ratios.
    grid, log_likelihood, information = np.linspace(-8, 2, 10_001), 0, 0
    for low, high in ((3, 3), (2, 3), (1, 3)):
        share = high * np.exp(grid) / (low + high * np.exp(grid))
        log_likelihood -= np.log(low + high * np.exp(grid))
        information += share * (1 - share)
    assert row["coef"] == pytest.approx(grid[np.argmax(log_likelihood + np.log(information) / 2)], abs=1e-3)


def test_no_events_is_not_estimable():
    for method in ("firth", "partial"):
        fit = fit_cox(separated_frame().assign(event=False), ["dose"], method=method)
        assert fit.summary["hr"].isna().all()
        assert np.isnan(fit.lr_statistic)
        assert np.isnan(fit.p_lr)


def test_coefficients_that_no_risk_set_tells_apart_are_not_estimable():
    # The two covariates differ only in a subject who left before the first event.
    frame = pd.DataFrame({"time": [1, 2, 3, 4, 5.0], "event": [0, 1, 1, 1, 1]})
    frame = frame.assign(a=[1.0, 0, 1, 0, 1], b=[0.0, 0, 1, 0, 1])
    fit = fit_cox(frame, ["a", "b"], method="partial", ties="efron", n_draws=0)
    assert fit.separated is None
    assert fit.df == 1
    assert fit.summary["coef"].isna().all()
    alone = fit_cox(frame, ["a"], method="partial", ties="efron", n_draws=0)
    assert fit.lr_statistic == pytest.approx(alone.lr_statistic)
    assert fit_cox(frame, ["a", "b"], n_draws=0).summary["coef"].isna().all()


small = st.integers(0, 100_000)


@FEWER
@given(small, st.sampled_from(["firth", "partial"]))
def test_limits_hold_the_values_that_the_test_does_not_reject(seed, method):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.integers(0, 3, (9, 2)), columns=["a", "b"]).astype(float)
    frame = frame.assign(time=rng.integers(1, 9, 9).astype(float), event=rng.random(9) < 0.7)
    if np.linalg.matrix_rank(frame[["a", "b"]].assign(one=1)) < 3:
        return
    summary = fit_cox(frame, ["a", "b"], method=method, n_draws=0).summary.dropna(subset=["coef"])
    assert ((summary["ci_lower"] < summary["hr"]) & (summary["hr"] < summary["ci_upper"])).all()
    away = np.abs(summary["p_value"] - 0.05) > 1e-6
    excluded = (summary["ci_lower"] > 1) | (summary["ci_upper"] < 1)
    assert (excluded == (summary["p_value"] < 0.05))[away].all()


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        (
            ["dose", "infusions", "double"],
            r"infusions is the same .*; double follows .* Drop infusions, double",
        ),
        ([], "no covariate given"),
    ],
)
def test_what_cannot_be_estimated_is_named(covariates, message):
    frame = separated_frame().assign(infusions=4, double=[2.0] * 3 + [4] * 3)
    with pytest.raises(ValueError, match=message):
        fit_cox(frame, covariates)


@pytest.mark.parametrize("change", [{"method": "bayes"}, {"ties": "exact"}, {"conf_level": 95}])
def test_bad_arguments_are_named(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} must"):
        fit_cox(separated_frame(), ["dose"], **change)


BAD = {
    "missing": ([1.0, None, 3, 4, 5, 6], r"covariate 'AFP' is missing in row 1 \('P2'\)"),
    "infinite": (
        [1.0, 2, np.inf, 4, 5, -np.inf],
        r"'AFP' is not finite in row 2 \('P3'\) \(and 1 more\): inf",
    ),
    "text": (
        ["1", "2", "3", "4", "5", "6"],
        r"'AFP' is not a number, .* in row 0 \('P1'\) \(and 5 more\): '1'",
    ),
    "one text": ([1, 2, 3, "4", 5, 6], r"'AFP' is not a number, .* in row 3 \('P4'\): '4'"),
    "dates": (pd.date_range("2020-01-01", periods=6), r"'AFP' is not a number"),
    "categories": (pd.Categorical(list("aabbcc")), r"'AFP' is not a number"),
    "none": (pd.array([1, 2, None, 4, 5, 6], dtype="Int64"), r"'AFP' is missing in row 2 \('P3'\)"),
}
ASKED = {
    "fit_cox": lambda frame: fit_cox(frame, ["AFP"]),
    "summarize_models": lambda frame: cox.summarize_models(frame, {"m": ["AFP"]}),
    "compare_models": lambda frame: cox.compare_models(frame, {"m": ["AFP"]}),
    "list_separated": lambda frame: cox.list_separated(frame, {"m": ["AFP"]}),
    "check_proportional_hazards": lambda frame: cox.check_proportional_hazards(frame, ["AFP"]),
    "estimate_schoenfeld_residuals": lambda frame: cox.estimate_schoenfeld_residuals(frame, ["AFP"]),
    "estimate_detectable": lambda frame: cox.estimate_detectable(frame, ["AFP"]),
    "leave_one_out": lambda frame: cox.leave_one_out(frame, ["AFP"]),
    "keep_estimable": lambda frame: cox.keep_estimable(frame, {"m": ["AFP"]}),
    "find_unusable": lambda frame: cox.find_unusable(frame[["AFP"]]),
    "list_design_points": lambda frame: cox.list_design_points(frame, ["AFP"]),
    "attained_in_trial": lambda frame: cox.attained_in_trial(frame, {"m": ["AFP"]}, frame),
}


def patients():
    names = [f"P{place}" for place in range(1, 7)]
    frame = pd.DataFrame({"time": [1, 2, 3, 4, 5, 6.0], "event": True}, index=names)
    return frame.assign(group=pd.Categorical(list("AAABBB")), dose=[1.0, 1, 1, 2, 2, 2])


@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_covariate_is_named_with_its_row(kind, ask):
    values, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        ASKED[ask](patients().assign(AFP=values))


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        (["dose", "dose"], "'dose' is given twice"),
        (["AFB"], "'AFB' is no column of the frame; it has time, event, group, dose"),
        ("dose", r"covariates must be a list of columns, such as \['dose'\]"),
        (["time"], "'time' is the model's column of times, events or strata"),
        (["dose", "event"], "'event' is the model's column"),
    ],
)
def test_covariates_that_are_none(covariates, message):
    for ask in (fit_cox, cox.leave_one_out, cox.check_proportional_hazards, cox.estimate_detectable):
        with pytest.raises(ValueError, match=message):
            ask(patients(), covariates)


def test_a_column_that_the_frame_holds_twice():
    frame = patients()
    with pytest.raises(ValueError, match="'dose' is in the frame twice"):
        fit_cox(pd.concat([frame, frame["dose"]], axis=1), ["dose"])


def test_true_and_false_are_one_and_nought():
    frame = patients().assign(x=[0.0, 1, 0, 1, 1, 0])
    want = fit_cox(frame, ["x"]).summary
    for kind in (bool, "boolean", object, "Int64", np.float32):
        pd.testing.assert_frame_equal(fit_cox(frame.astype({"x": kind}), ["x"]).summary, want)
    pd.testing.assert_frame_equal(fit_cox(frame.assign(x=frame["x"] == 1), ["x"]).summary, want)


def test_one_group_only_is_not_estimable():
    frame = patients().assign(group="A", dose=1.0, age=[40.0, 60, 50, 70, 45, 65])
    assert fit_cox(frame, ["dose"]).summary.drop(columns="covariate").isna().all(axis=None)
    assert cox.check_proportional_hazards(frame, ["dose"])["p_value"].isna().all()
    assert cox.leave_one_out(frame, ["dose"])["hr"].isna().all()
    assert cox.estimate_detectable(frame, ["dose"])["hr_detectable"].isna().all()
    assert cox.estimate_schoenfeld_residuals(frame, ["dose"]).empty
    assert cox.compare_models(frame, {"m": ["dose"]})["p_permutation"].isna().all()
    for empty in (
        cox.summarize_models(frame, {}),
        cox.compare_models(frame, {}),
        cox.attained_in_trial(frame, {"m": ["dose"]}, cox.summarize_models(frame, {})),
    ):
        assert empty.empty
        assert "model" in empty
    # What differs between its patients is estimated as ever.
    assert fit_cox(frame, ["age"]).summary["hr"].notna().all()
    with pytest.raises(ValueError, match=r"dose is the same for everyone\. Drop dose"):
        fit_cox(frame, ["age", "dose"])


def test_time_nought_and_near_equal_times():
    frame = pd.DataFrame({"time": [0.0, 0, 1, 2], "event": [1, 0, 1, 1], "x": [1.0, 0, 0, 1]})
    later = frame.assign(time=frame["time"] + 1)
    pd.testing.assert_frame_equal(fit_cox(frame, ["x"]).summary, fit_cox(later, ["x"]).summary)
    exact = frame.assign(time=[3.3, 3.3, 3.3, 5])
    near = frame.assign(time=[3.3, 3.3000000000000003, 1.1 * 3, 5])
    for ties in ("breslow", "efron"):
        want = fit_cox(exact, ["x"], ties=ties, n_draws=0)
        got = fit_cox(near, ["x"], ties=ties, n_draws=0)
        assert got.log_likelihood == want.log_likelihood
        both = [fit_cox_many(each["time"], each["event"], each[["x"]], ties=ties) for each in (near, exact)]
        assert both[0].coef[0, 0] == both[1].coef[0, 0]
