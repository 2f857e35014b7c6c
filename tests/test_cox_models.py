"""Several Cox models side by side, against R, listing, and direct maximization."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from cox_models_of_r import DATA_SETS, read_models
from r_values import read_reference
from scipy import optimize, stats

from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.cox.likelihood import PartialLikelihood
from nkhcc_helpers.cox.models import compare_models, fit_cox_many, list_separated, summarize_models

LACK = ["lack_statistic", "lack_p_value", "lack_p_permutation", "lack_p_permutation_error"]


def make_separated():
    x = [0.0] * 3 + [1] * 3 + [2] * 3
    frame = pd.DataFrame({"time": np.arange(1.0, 10), "event": True, "slope": x})
    return frame.assign(b=(frame["slope"] == 1) * 1.0, c=(frame["slope"] == 2) * 1.0)


@pytest.mark.parametrize("name", DATA_SETS)
def test_partial_likelihoods_agree_with_r(name):
    data, models = read_models(name)
    rows = read_reference(name, "coxph_lr_efron", "coxph_loglik_efron")
    models = {model: models[model] for model in ("score", "dose+infusions", "group") if model in models}
    table = compare_models(data, models, method="partial", ties="efron", n_draws=0).set_index("model")
    values = rows.pivot_table(index="group", columns="what", values="value").loc[list(models)]
    statistic, log_likelihood = values["coxph_lr_efron"], values["coxph_loglik_efron"]
    assert table["lr_statistic"].tolist() == pytest.approx(statistic.tolist(), abs=1e-6)
    assert table["log_likelihood"].tolist() == pytest.approx(log_likelihood.tolist(), abs=1e-6)
    k, free = np.array([len(each) for each in models.values()]), int(data["event"].sum())
    assert table["p_value"].tolist() == pytest.approx(stats.chi2.sf(statistic, k).tolist(), rel=1e-6)
    smaller = table.iloc[:-1]
    lack = statistic["group"] - statistic[smaller.index]
    assert smaller["lack_df"].tolist() == (k[-1] - k[:-1]).tolist()
    assert smaller["lack_statistic"].tolist() == pytest.approx(lack.tolist(), abs=2e-6)
    assert smaller["lack_p_value"].tolist() == pytest.approx(
        stats.chi2.sf(lack, k[-1] - k[:-1]).tolist(), abs=1e-6
    )
    aicc = 2 * k - 2 * log_likelihood + 2 * k * (k + 1) / (free - k - 1)
    assert table["aicc"].tolist() == pytest.approx(aicc.tolist(), abs=1e-5)
    penalised = compare_models(data, models, ties="efron", n_draws=0)
    assert penalised["aicc"].tolist() == pytest.approx(aicc.tolist(), abs=1e-5)
    assert table[["p_permutation", "lack_p_permutation"]].isna().all(axis=None)


def test_lack_of_fit_under_the_penalty_of_the_larger_model():
    data, models = read_models("small18")
    table = compare_models(data, {"two": ["dose", "infusions"], "group": models["group"]}, n_draws=0)
    event = data["event"].to_numpy() == 1
    likelihood = PartialLikelihood.of(
        data["time"].to_numpy()[None], event[None], data[models["group"]].to_numpy()[None]
    )

    def loss(coef):
        return -float(likelihood.evaluate(np.atleast_2d(coef), firth=True).log_likelihood[0])

    # What the slopes of dose and infusions make of B, C and D against A.
    spread = np.array([[0.5, 0], [0.5, 4], [1, 4]])
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4_000}
    full = optimize.minimize(loss, [-1.5, -2.5, -3.5], method="Nelder-Mead", options=options)
    held = optimize.minimize(lambda b: loss(spread @ b), [-2, -0.2], method="Nelder-Mead", options=options)
    assert table["lack_statistic"][0] == pytest.approx(2 * (held.fun - full.fun), abs=1e-7)
    assert table["lr_statistic"][1] == pytest.approx(2 * (loss(np.zeros(3)) - full.fun), abs=1e-7)
    # Units of a covariate change nothing but a penalised likelihood itself.
    rescaled = compare_models(
        data.assign(dose=7 * data["dose"] - 2),
        {"two": ["dose", "infusions"], "group": models["group"]},
        n_draws=0,
    )
    columns = ["lr_statistic", "lack_statistic", "aicc"]
    assert rescaled[columns].to_numpy().tolist()[0] == pytest.approx(table[columns].to_numpy().tolist()[0])


@pytest.mark.parametrize("method", ["firth", "partial"])
def test_permuted_p_equals_listing(method):
    frame = pd.DataFrame({"time": [1, 2, 2, 3, 4.0, 5], "event": [1, 1, 1, 0, 1, 1]})
    frame = frame.assign(dose=[2.0, 1, 2, 1, 0, 0], slope=[1.0, 0, 0, 1, 0, 1])
    row = compare_models(frame, {"both": ["dose", "slope"]}, method=method, n_draws=5_000).iloc[0]
    every = frame[["dose", "slope"]].to_numpy()[list(permutations(range(6)))]
    listed = fit_cox_many(frame["time"], frame["event"], every, method=method).lr_statistic
    assert listed[0] == pytest.approx(row["lr_statistic"], abs=1e-8)
    share = np.mean(listed >= listed[0] - 1e-7)
    assert 0.02 < share < 0.98
    assert abs(row["p_permutation"] - share) < 4 * row["p_permutation_error"]
    assert row["p_permutation_error"] == pytest.approx(np.sqrt(share * (1 - share) / 5_000), rel=0.1)


def test_lack_of_fit_drawn_under_the_smaller_model():
    # With 90 patients the chi-square distribution is close to what is drawn.
    data, models = read_models("larynx")
    table = compare_models(data, {"score": models["score"], "group": models["group"]}, n_draws=400)
    score = table.iloc[0]
    assert abs(score["lack_p_permutation"] - score["lack_p_value"]) < 4 * score["lack_p_permutation_error"]
    assert score["p_permutation"] == pytest.approx(1 / 401)
    again = compare_models(data, {"score": models["score"], "group": models["group"]}, n_draws=400)
    pd.testing.assert_frame_equal(table, again)
    other = compare_models(data, {"score": models["score"], "group": models["group"]}, n_draws=400, seed=1)
    assert other["lack_p_permutation"][0] != score["lack_p_permutation"]


def test_drawn_lack_of_fit_is_large_where_the_smaller_model_is_wrong():
    # The middle group is the worst by far, which no slope over the groups can say.
    rng = np.random.default_rng(8)
    slope = np.repeat([0.0, 1, 2], 10)
    time = rng.exponential(size=30) / np.where(slope == 1, 20, 1)
    frame = pd.DataFrame({"time": time, "event": True, "slope": slope})
    frame = frame.assign(b=(slope == 1) * 1.0, c=(slope == 2) * 1.0)
    row = compare_models(frame, {"slope": ["slope"], "group": ["b", "c"]}, n_draws=300).iloc[0]
    assert row["lack_p_permutation"] < 0.01
    assert row["p_permutation"] > 0.05


def test_what_the_largest_model_does_not_hold():
    data, models = read_models("small18")
    data = data.assign(age=np.linspace(40, 60, 18) ** 2)
    table = compare_models(
        data, {"age": ["age"], "score": models["score"], "group": models["group"]}, n_draws=9
    )
    assert table.loc[[0, 2], LACK].isna().all(axis=None)
    assert table.loc[1, LACK].notna().all()
    same = compare_models(data, {"a": ["dose", "infusions"], "b": ["infusions", "dose"]}, n_draws=9)
    assert same["lack_df"].tolist() == [0, 0]
    assert same[LACK].isna().all(axis=None)


@pytest.mark.parametrize("method", ["firth", "partial"])
def test_separated_models_have_tests_all_the_same(method):
    table = compare_models(
        make_separated(), {"slope": ["slope"], "group": ["b", "c"]}, method=method, n_draws=50
    )
    assert table["lr_statistic"].notna().all()
    assert (table["p_permutation"] < 0.1).all()
    assert 0 <= table["lack_statistic"][0] < 4
    assert 0 < table["lack_p_permutation"][0] <= 1
    # In both models the events of each group come before those of the next: 1/3! for each group.
    aicc = [2 - 2 * np.log(1 / 216) + 4 / 7, 4 - 2 * np.log(1 / 216) + 12 / 6]
    assert table["aicc"].tolist() == pytest.approx(aicc, abs=1e-6)


def test_too_few_events():
    frame = make_separated().assign(event=[1, 0, 0, 1, 0, 0, 1, 0, 0])
    few = compare_models(frame, {"slope": ["slope"], "group": ["b", "c"]}, n_draws=0)
    assert few["aicc"].notna().tolist() == [True, False]
    none = compare_models(frame.assign(event=0), {"slope": ["slope"], "group": ["b", "c"]}, n_draws=9)
    assert none[["lr_statistic", "p_value", "p_permutation", "aicc", *LACK]].isna().all(axis=None)


def test_summaries_are_stacked_by_model():
    data, models = read_models("small18")
    options = {"method": "partial", "ties": "efron", "conf_level": 0.9, "n_draws": 100, "seed": 2}
    table = summarize_models(data, models, **options)
    assert table.columns[0] == "model"
    assert table["model"].tolist() == ["group"] * 3 + ["score"] + ["dose+infusions"] * 2
    for model, covariates in models.items():
        part = table[table["model"] == model].drop(columns="model").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, fit_cox(data, covariates, **options).summary)
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        summarize_models(data, models, conf_level=95)


def test_separated_models_are_named_with_their_covariates():
    data = pd.DataFrame({"time": [1.0, 2, 3, 4, 5, 6], "event": [1, 1, 1, 1, 1, 0]})
    data = data.assign(first=[1.0, 1, 1, 0, 0, 0], other=[0.0, 1, 0, 1, 0, 1])
    models = {"one": ["first"], "two": ["other"], "both": ["other", "first"]}
    assert list_separated(data, models) == {"one": ["first"], "both": ["first"]}
