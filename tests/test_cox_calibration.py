"""Attained size and coverage of Cox models against listings, known results and one trial at a time."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter

from nkhcc_helpers.cox import calibration
from nkhcc_helpers.cox.calibration import (
    _draw_trials,
    _judge_all_permuted,
    _Plan,
    attained_cox,
    permute_cohorts,
)
from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.cox.relabelling import StratifiedScore, permute_covariate

SIZES = (3, 5, 6, 4)
X = pd.DataFrame(
    {"dose": [0.5, 1, 1, 1.25], "infusions": [4, 4, 8, 8], "order": [0, 1, 2, 3]}, index=list("ABCD")
).assign(**{f"group {code}": [float(code == each) for each in "ABCD"] for code in "BCD"})
MODELS = {
    "dose + infusions": ["dose", "infusions"],
    "order": ["order"],
    "group": ["group B", "group C", "group D"],
}
SINGLE = ["wald", "likelihood ratio", "firth wald", "firth", "permuted"]


@pytest.fixture(scope="module")
def attained():
    return attained_cox(SIZES, X, MODELS, n_trials=1_500, jobs=1)


def test_rows_and_columns(attained):
    assert attained.columns.tolist() == [
        *("model", "covariate", "test", "rejected", "rejected_error"),
        *("coverage", "coverage_error", "not_estimable"),
    ]
    for model, covariates in MODELS.items():
        rows = attained[attained["model"] == model]
        assert rows["covariate"].tolist() == [name for name in covariates for _ in SINGLE] + ["All"] * 3
        assert rows["test"].tolist() == SINGLE * len(covariates) + ["likelihood ratio", "firth", "permuted"]
    together = attained["covariate"] == "All"
    assert attained.loc[together, ["coverage", "coverage_error"]].isna().all(axis=None)
    assert attained.loc[~together, "coverage"].notna().all()
    share = attained["rejected"]
    assert attained["rejected_error"].tolist() == pytest.approx(np.sqrt(share * (1 - share) / 1_500).tolist())


def test_relabelling_holds_its_level_and_its_intervals_hold_the_truth(attained):
    permuted = attained[attained["test"] == "permuted"]
    assert (permuted["rejected"] <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1_500)).all()
    single = permuted[permuted["covariate"] != "All"]
    assert (single["coverage"] + single["rejected"]).tolist() == pytest.approx([1] * len(single))
    assert (single["not_estimable"] == 0).all()


def test_asymptotic_tests_of_groups_do_not_hold_theirs(attained):
    group = attained[(attained["model"] == "group") & (attained["covariate"] != "All")]
    for test in ("likelihood ratio", "firth"):
        rows = group[group["test"] == test]
        assert (rows["rejected"] > 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1_500)).all()
        assert (rows["coverage"] < 0.93).all()


def test_one_slope_is_tested_alike_alone_and_together(attained):
    rows = attained[attained["model"] == "order"].set_index(["covariate", "test"])["rejected"]
    for test in ("likelihood ratio", "firth"):
        assert rows["order", test] == rows["All", test]


def test_pairs_of_groups_reject_as_often_as_the_listing_says():
    # Without ties and censoring every order of the pair is as likely as any other.
    table = attained_cox((3, 4), pd.DataFrame({"b": [0.0, 1]}), {"pair": ["b"]}, n_trials=4_000, jobs=1)
    row = table[(table["test"] == "permuted") & (table["covariate"] == "b")].iloc[0]
    from_list = []
    for chosen in combinations(range(7), 3):
        x = np.ones((7, 1))
        x[list(chosen)] = 0
        from_list.append(permute_covariate(np.arange(7.0), np.ones(7), x, 0).p_value <= 0.05)
    assert len(from_list) == 35
    assert abs(row["rejected"] - np.mean(from_list)) < 4 * row["rejected_error"]


@pytest.mark.parametrize("censoring", [0.0, 0.4])
def test_each_trial_is_judged_as_the_fit_prints_it(censoring):
    plan = _Plan.of(SIZES, X, {"group": MODELS["group"]}, {"group D": 1.0}, censoring, 0.2, 99)
    frame = pd.DataFrame(plan.models[0].design, columns=MODELS["group"])
    # The same draws as the simulation makes.
    seed = np.random.SeedSequence(3).spawn(1)[0]
    times, events = _draw_trials(plan, 6, np.random.default_rng(seed))
    expected = np.zeros((3, 2, 3))
    for time, event in zip(times, events, strict=True):
        data = frame.assign(time=time, event=event)
        for at, method in enumerate(("partial", "firth")):
            summary = fit_cox(data, MODELS["group"], method=method, conf_level=0.8).summary
            truth = np.exp([0.0, 0, 1])
            expected[:, at, 0] += (summary["p_value"] < 0.2) / 6
            expected[:, at, 1] += ((summary["ci_lower"] <= truth) & (truth <= summary["ci_upper"])) / 6
            expected[:, at, 2] += summary["coef"].isna() / 6
    table = attained_cox(
        SIZES,
        X,
        {"group": MODELS["group"]},
        coef={"group D": 1.0},
        censoring=censoring,
        alpha=0.2,
        n_trials=6,
        seed=3,
        jobs=1,
    )
    for at, test in enumerate(("likelihood ratio", "firth")):
        rows = table[(table["test"] == test) & (table["covariate"] != "All")]
        got = rows[["rejected", "coverage", "not_estimable"]].to_numpy()
        assert got == pytest.approx(expected[:, at])


@pytest.mark.no_cover
def test_wald_is_that_of_lifelines():
    options = {"coef": {"order": 0.5}, "censoring": 0.3, "alpha": 0.2, "n_trials": 40, "seed": 5, "jobs": 1}
    table = attained_cox(SIZES, X, {"order": ["order"]}, **options)
    plan = _Plan.of(SIZES, X, {"order": ["order"]}, {"order": 0.5}, 0.3, 0.2, 99)
    seed = np.random.SeedSequence(5).spawn(1)[0]
    found = []
    for time, event in zip(*_draw_trials(plan, 40, np.random.default_rng(seed)), strict=True):
        frame = pd.DataFrame({"time": time, "event": event, "order": plan.models[0].design[:, 0]})
        row = CoxPHFitter(alpha=0.2).fit(frame, "time", "event").summary.loc["order"]
        found.append((row["p"] < 0.2, row["coef lower 80%"] <= 0.5 <= row["coef upper 80%"]))
    row = table[(table["test"] == "wald") & (table["covariate"] == "order")]
    assert 0 < row["coverage"].iloc[0] < 1
    assert row[["rejected", "coverage"]].iloc[0].tolist() == pytest.approx(np.mean(found, axis=0).tolist())


@pytest.mark.no_cover
def test_an_effect_is_found_and_its_intervals_still_hold_it():
    table = attained_cox(
        SIZES, X, MODELS, coef={"infusions": -0.4}, censoring=0.3, n_trials=400, jobs=1
    ).set_index(["model", "covariate", "test"])
    found = table.loc[("dose + infusions", "infusions", "permuted")]
    assert found["rejected"] > 0.15
    assert found["coverage"] > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)
    # The groups can follow two slopes, the order of groups cannot.
    assert table.loc[("group", "group D", "permuted"), "coverage"] > 0.9
    assert np.isnan(table.loc[("order", "order", "firth"), "coverage"])
    assert table.loc[("order", "order", "firth"), "rejected"] > 0.15


@pytest.mark.no_cover
def test_answers_do_not_depend_on_jobs(monkeypatch):
    monkeypatch.setattr(calibration, "BLOCK", 20)
    options = {"censoring": 0.3, "n_trials": 50, "n_draws": 99}
    alone = attained_cox(SIZES, X, MODELS, jobs=1, **options)
    assert alone.equals(attained_cox(SIZES, X, MODELS, jobs=2, **options))
    assert not alone.equals(attained_cox(SIZES, X, MODELS, jobs=1, seed=1, **options))


def test_trials_without_an_answer_are_counted():
    # Two patients a group, nearly all censored: often no event at all.
    table = attained_cox(
        (2, 2), pd.DataFrame({"b": [0.0, 1]}), {"pair": ["b"]}, censoring=0.8, n_trials=400, jobs=1
    ).set_index(["covariate", "test"])
    missing = table["not_estimable"]
    # No event in 0.8^4 of the trials; relabelling also tells nothing where only the last has one, penalised
    # likelihood where all at risk at the events are of one group, plain where the groups are separated.
    assert 0.8**4 < missing["b", "permuted"] < missing["b", "firth"] < missing["b", "wald"] < 1
    assert missing["All", "firth"] == missing["All", "permuted"] == missing["b", "firth"]
    assert table.loc[("b", "permuted"), "rejected"] == 0
    assert table.loc[("b", "permuted"), "coverage"] == pytest.approx(1 - missing["b", "permuted"])
    assert table.loc[("b", "wald"), "coverage"] <= 1 - missing["b", "wald"] + 1e-12


def test_permuted_test_together_is_above_all_but_the_share_of_the_level():
    plan = _Plan.of((4, 4), pd.DataFrame({"b": [0.0, 1]}), {"pair": ["b"]}, None, 0, 0.05, 99)
    times, events = _draw_trials(plan, 500, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    always = _judge_all_permuted(plan, plan.models[0], times, events, np.full(500, np.inf), rng)
    assert always[:, 2].all()
    assert not always[:, :2].any()
    always = _judge_all_permuted(plan, plan.models[0], times, events, np.full(500, 99.0), rng)
    assert always[:, 0].all()
    never = _judge_all_permuted(plan, plan.models[0], times, events, np.full(500, -99.0), rng)
    assert not never.any()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_share_censored(share):
    plan = _Plan.of(SIZES, X, MODELS, {"dose": 2.0}, share, 0.05, 99)
    _, events = _draw_trials(plan, 4_000, np.random.default_rng(4))
    assert 1 - events.mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (3, 5, 6)}, "sizes must be 4 whole numbers above 0"),
        ({"sizes": (3, 5, 6, 0)}, "sizes must be 4 whole numbers above 0"),
        ({"censoring": 1}, "censoring must be at least 0 and below 1"),
        ({"alpha": 5}, "alpha must lie between 0 and 1"),
        ({"coef": {"age": 1.0}}, "coef names 'age', which is no column of x"),
        ({"models": {"both": ["group B", "group C", "group D", "order"]}}, "order follows from"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"sizes": SIZES, "x": X, "models": MODELS, "n_trials": 2} | change
    with pytest.raises(ValueError, match=message):
        attained_cox(**arguments)


cohorts = st.lists(
    st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 2), st.integers(0, 1)), min_size=3, max_size=9
)


@given(cohorts)
def test_many_relabelling_tests_equal_one_by_one(cohort):
    time, event, a, b = np.array(cohort, float).T
    event, x = event == 1, np.column_stack([a, b])
    both = np.array([time, time[::-1]]), np.array([event, event[::-1]])
    for column in (0, 1):
        alone = [permute_covariate(*each, x, column).p_value for each in zip(*both, strict=True)]
        assert permute_cohorts(*both, x, column) == pytest.approx(alone, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("coef", [0.0, 1.2])
def test_drawn_relabellings_are_near_the_listed(monkeypatch, coef):
    rng = np.random.default_rng(6)
    x = X.loc[np.repeat(list("ABCD"), SIZES), ["dose", "infusions"]].to_numpy(float)
    times, events = np.ceil(4 * rng.exponential(size=(5, 18))), rng.random((5, 18)) < 0.8
    listed = permute_cohorts(times, events, x, 0, coef=coef)
    alone = [
        StratifiedScore.of_trial(time, event, x, 0).count_p(coef)[0]
        for time, event in zip(times, events, strict=True)
    ]
    assert listed == pytest.approx(alone, abs=1e-12)
    monkeypatch.setattr(calibration, "MOST_LISTED_EACH", 10)
    drawn = permute_cohorts(times, events, x, 0, coef=coef, n_draws=20_000, rng=rng)
    assert drawn == pytest.approx(listed, abs=4 * 0.5 / np.sqrt(20_000))
    assert (drawn != listed).all()


def test_cohorts_that_tell_nothing_have_no_p():
    x = np.arange(4.0)[:, None]
    times = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [2, 2, 2, 2]])
    events = np.array([[True] * 4, [False] * 4, [True] * 4])
    assert np.isnan(permute_cohorts(times, events, x, 0)).tolist() == [False, True, True]
    assert np.isnan(permute_cohorts(times[1:], events[1:], x, 0)).all()
