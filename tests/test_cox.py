"""Cox regression against R, lifelines, brute force and hand-made answers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from r_values import DATA_SETS, read_data, read_reference

from nkhcc_helpers import cox, design
from nkhcc_helpers.partial_likelihood import PartialLikelihood, find_separation
from nkhcc_helpers.trial import load_trial


def read_models(name):
    """The data with the covariates of R's models: columns of each model by its name in the reference."""
    data = read_data(name)
    order = sorted(data["group"].unique(), key=lambda code: data.loc[data["group"] == code, "order"].iloc[0])
    data["group"] = pd.Categorical(data["group"], order, ordered=True)
    coded = design.code_covariates(data, ["group", "order"])
    models = {"group": [column for column in coded if column != "order"], "score": ["order"]}
    if "dose" in data:
        models["dose+infusions"] = ["dose", "infusions"]
    return data.drop(columns="order").join(coded), models


@pytest.mark.parametrize("name", DATA_SETS)
def test_fit_agrees_with_r(name):
    data, models = read_models(name)
    rows = read_reference(name, "coxph_coef_efron", "coxph_lr_efron", "coxph_loglik_efron")
    for model, covariates in models.items():
        part = rows[rows["group"] == model].groupby("what")["value"].apply(list)
        fit = cox.fit_cox(data, covariates)
        assert fit.summary["coef"].tolist() == pytest.approx(part["coxph_coef_efron"], abs=1e-6)
        assert fit.log_likelihood == pytest.approx(part["coxph_loglik_efron"][0], abs=1e-6)
        assert fit.lr_statistic == pytest.approx(part["coxph_lr_efron"][0], abs=1e-6)
        assert fit.separated is None


@pytest.mark.parametrize("name", DATA_SETS)
def test_proportional_hazards_agree_with_r(name):
    data, models = read_models(name)
    rows = read_reference(name, "cox_zph_rank_chisq")
    for model, covariates in models.items():
        part = rows[rows["group"] == model].set_index("at")["value"]
        got = cox.check_proportional_hazards(data, covariates).set_index("covariate")["statistic"]
        assert got["All"] == pytest.approx(part["GLOBAL"], abs=1e-3)
        for covariate in ("dose", "infusions"):
            if covariate in part.index:
                assert got[covariate] == pytest.approx(part[covariate], abs=1e-3)


def test_profile_limits_and_p_value_by_grid():
    data, _ = read_models("small18")
    fit = cox.fit_cox(data, ["order"])
    likelihood = PartialLikelihood.of(
        data[["order"]].to_numpy(float), data["time"].to_numpy(), data["event"].to_numpy() == 1
    )
    grid = np.linspace(-4, 1, 50_001)
    values = np.array([likelihood.evaluate(np.array([b]))[0] for b in grid[::10]])
    inside = grid[::10][2 * (values.max() - values) <= 3.841458820694124]
    row = fit.summary.iloc[0]
    assert np.log(row["ci_lower"]) == pytest.approx(inside.min(), abs=2e-3)
    assert np.log(row["ci_upper"]) == pytest.approx(inside.max(), abs=2e-3)
    assert row["p_value"] == pytest.approx(fit.p_lr, rel=1e-6)


small = st.integers(4, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 6), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=n, max_size=n),
    )
)


@settings(deadline=None, max_examples=150)
@given(small)
def test_separation_verdict_agrees_with_the_likelihood(cohort):
    time, event, x = np.array(cohort[0], float), np.array(cohort[1]), np.array(cohort[2], float)
    likelihood = PartialLikelihood.of(x, time, event)
    direction = find_separation(x, time, event)
    if direction is not None:
        # It rises along the direction, up to a bound, from wherever it starts.
        values = [likelihood.evaluate(s * direction)[0] for s in (0, 1, 3, 9, 27, 81)]
        assert (np.diff(values) >= -1e-12).all()
        assert values[-1] > values[0]
    else:
        # On every ray of a fine fan it falls in the end, or does not move at all.
        for angle in np.linspace(0, 2 * np.pi, 96, endpoint=False):
            ray = np.array([np.cos(angle), np.sin(angle)])
            near, far = likelihood.evaluate(200 * ray)[0], likelihood.evaluate(400 * ray)[0]
            assert far < near or np.isclose(far, likelihood.evaluate(0 * ray)[0])


@settings(deadline=None, max_examples=30)
@given(small)
def test_fit_agrees_with_lifelines_where_a_maximum_exists(cohort):
    frame = pd.DataFrame(cohort[2], columns=["a", "b"]).astype(float)
    frame = frame.assign(time=np.array(cohort[0], float), event=np.array(cohort[1]))
    if frame["event"].sum() < 2 or np.linalg.matrix_rank(frame[["a", "b"]].assign(one=1)) < 3:
        return
    fit = cox.fit_cox(frame, ["a", "b"])
    if fit.summary["coef"].notna().all():
        theirs = CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12})
        assert fit.log_likelihood == pytest.approx(theirs.log_likelihood_, abs=1e-8)
    else:
        assert fit.summary[["coef", "hr", "ci_lower", "ci_upper"]].isna().all(axis=None)


def separated_frame():
    group = pd.Categorical(list("aaabbb"), ordered=True)
    return pd.DataFrame(
        {"time": [1, 2, 3, 4, 5, 6.0], "event": True, "group": group, "dose": [1.0] * 3 + [2] * 3}
    )


def test_separation_prints_nothing_that_looks_like_an_estimate():
    fit = cox.fit_cox(separated_frame(), ["dose"])
    assert fit.separated["dose"] == -1
    assert fit.summary["hr"].isna().all()
    # All events of `a` come first: along the direction only ties within groups remain.
    assert fit.log_likelihood == pytest.approx(-np.log(6 * 6), abs=1e-8)
    assert fit.lr_statistic == pytest.approx(2 * (np.log(720) - np.log(36)), abs=1e-7)
    assert cox.check_proportional_hazards(separated_frame(), ["dose"])["statistic"].isna().all()
    assert cox.estimate_schoenfeld_residuals(separated_frame(), ["dose"]).empty


def test_design_by_hand():
    data, _ = read_models("small18")
    report = design.describe_design(data, ["dose", "infusions"])
    assert report.points["groups"].tolist() == ["A", "B", "C", "D"]
    assert report.points["n"].tolist() == [3, 5, 6, 4]
    assert report.rank == 3
    assert report.events_per_covariate == 17 / 2
    assert report.usable == ["dose", "infusions"]
    assert report.contrasts.to_numpy().tolist() == [
        ["dose", "A", "B", 0.5],
        ["infusions", "B", "C", 4.0],
        ["dose", "C", "D", 0.5],
    ]
    r = np.corrcoef(data["dose"], data["infusions"])[0, 1]
    assert report.variance_inflation.tolist() == pytest.approx([1 / (1 - r**2)] * 2)
    assert report.separation is None


def test_design_names_what_cannot_be_estimated():
    frame = separated_frame().assign(infusions=4, double=[2.0] * 3 + [4] * 3)
    report = design.describe_design(frame, ["dose", "infusions", "double"])
    assert report.usable == ["dose"]
    assert report.unusable == {
        "infusions": "is the same for everyone",
        "double": "follows from the covariates before it",
    }
    assert report.separation.to_dict() == {"dose": -1}
    assert report.variance_inflation["dose"] == report.variance_inflation["double"] == np.inf
    assert np.isnan(report.variance_inflation["infusions"])
    assert design.describe_design(frame, ["dose"]).variance_inflation.tolist() == [1]
    with pytest.raises(
        ValueError, match=r"infusions is the same for everyone; double follows .* Drop infusions, double"
    ):
        cox.fit_cox(frame, ["dose", "infusions", "double"])
    with pytest.raises(ValueError, match="no covariate given"):
        cox.fit_cox(frame, [])


def test_events_before_the_plans_part():
    # Four infusions every 14 days: the fifth is due 56 days after the first, 1.84 months.
    early = design.count_events_before_plans_part(load_trial(), "PFS")
    assert early["days"] == 56
    assert early["time"] == pytest.approx(56 / 30.4375)
    times = load_trial().survival("PFS")
    assert early["n_early"] == sum(times["time"] * 30.4375 < 55.99)
    assert early["n_events"] == 17


def test_plans_that_do_not_part(plain_trial):
    arms = [arm.model_copy(update={"infusions": 4}) for arm in plain_trial.metadata.arms]
    same = dataclasses.replace(plain_trial, metadata=plain_trial.metadata.model_copy(update={"arms": arms}))
    early = design.count_events_before_plans_part(same, "OS")
    assert np.isnan(early["days"])
    assert early["n_early"] == 0


def test_no_events_is_not_estimable():
    frame = separated_frame().assign(event=False)
    fit = cox.fit_cox(frame, ["dose"])
    assert fit.summary["hr"].isna().all()
    assert np.isnan(fit.lr_statistic)
    assert np.isnan(fit.p_lr)


def test_coefficients_that_no_risk_set_tells_apart_are_not_estimable():
    # The two covariates differ only in a subject who left before the first event.
    frame = pd.DataFrame({"time": [1, 2, 3, 4, 5.0], "event": [0, 1, 1, 1, 1]})
    frame = frame.assign(a=[1.0, 0, 1, 0, 1], b=[0.0, 0, 1, 0, 1])
    fit = cox.fit_cox(frame, ["a", "b"])
    assert fit.separated is None
    assert fit.df == 1
    assert fit.summary["coef"].isna().all()
    assert fit.lr_statistic == pytest.approx(cox.fit_cox(frame, ["a"]).lr_statistic)


def test_models_are_compared_with_the_last():
    data, models = read_models("small18")
    table = (
        cox.compare_models(
            data,
            {"dose + infusions": ["dose", "infusions"], "bad": ["dose", "dose2"], "group": models["group"]}
            | {},
        )
        if "dose2" in data
        else cox.compare_models(data, {"two slopes": ["dose", "infusions"], "group": models["group"]})
    )
    two, group = table.iloc[0], table.iloc[-1]
    assert (two["df"], group["df"], two["lack_df"]) == (2, 3, 1)
    assert two["lack_statistic"] == pytest.approx(14.7429127806865 - 14.6662502520275, abs=1e-6)
    assert np.isnan(group["lack_statistic"])
    assert np.isnan(group["lack_p_value"])


def test_summaries_are_stacked_by_model():
    data, models = read_models("small18")
    table = cox.summarize_models(data, models)
    assert table["model"].tolist() == ["group"] * 3 + ["score"] + ["dose+infusions"] * 2
    assert table["coef"].iloc[3] == cox.fit_cox(data, ["order"]).summary["coef"].iloc[0]
    assert cox.summarize_models(separated_frame(), {"dose": ["dose"]})["hr"].isna().all()


def test_dose_codings():
    group = pd.Categorical(list("abc"), ordered=True)
    frame = pd.DataFrame({"group": group, "dose": [0.5, 1, 2], "infusions": [4, 4, 8]})

    def code(coding):
        return design.code_covariates(frame, ["dose"], dose_coding=coding)["dose"].tolist()

    assert code("relative") == [0.5, 1, 2]
    assert code("cumulative") == [2, 4, 16]
    assert code("log2") == [-1, 0, 1]
    assert code("order") == [0, 1, 2]
    assert design.code_covariates(frame, ["group", "order"]).to_numpy().tolist() == [
        [0, 0, 0],
        [1, 0, 1],
        [0, 1, 2],
    ]
    with pytest.raises(ValueError, match="dose_coding must be one of relative"):
        code("linear")
    with pytest.raises(ValueError, match="covariates has 'age'; known are dose"):
        design.code_covariates(frame, ["age"])
    with pytest.raises(ValueError, match="log2 needs doses above 0"):
        design.code_covariates(frame.assign(dose=0), ["dose"], dose_coding="log2")


def test_one_sided_profile_has_an_infinite_limit():
    # Nobody with x = 1 had an event but one who shares the first time: the likelihood is flat to one side.
    frame = pd.DataFrame({"time": [1, 2, 3, 4.0, 5], "event": [1, 1, 1, 1, 0], "x": [1.0, 0, 1, 0, 0]})
    row = cox.fit_cox(frame, ["x"]).summary.iloc[0]
    assert 0 < row["ci_lower"] < row["hr"] < row["ci_upper"]


def test_residuals_sum_to_zero_at_the_maximum():
    data, _ = read_models("small18")
    residuals = cox.estimate_schoenfeld_residuals(data, ["dose", "infusions"])
    assert residuals.groupby("covariate")["residual"].sum().abs().max() < 1e-6
    assert len(residuals) == 2 * data["event"].sum()
