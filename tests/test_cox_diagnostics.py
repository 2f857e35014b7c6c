"""Diagnostics of Cox models against R, lifelines, brute force and hand-worked answers."""

import numpy as np
import pandas as pd
import pytest
from cox_models_of_r import DATA_SETS, read_models
from lifelines import CoxPHFitter
from r_values import read_reference
from scipy import stats

from nkhcc_helpers.cox import diagnostics
from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.cox.models import fit_cox_many


def separated_frame():
    group = pd.Categorical(list("aaabbb"), ordered=True)
    return pd.DataFrame(
        {"time": [1, 2, 3, 4, 5, 6.0], "event": True, "group": group, "dose": [1.0] * 3 + [2] * 3}
    )


def four_subjects():
    return pd.DataFrame({"time": [2.0, 1, 4, 3], "event": True, "x": [1.0, 0, 1, 0]})


def draw_cohort(seed, n=40, censoring=0.3):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"time": rng.exponential(size=n), "event": rng.random(n) > censoring})
    return frame.assign(a=rng.integers(0, 3, n).astype(float), b=rng.normal(size=n))


@pytest.mark.parametrize("name", DATA_SETS)
def test_proportional_hazards_agree_with_r(name):
    data, models = read_models(name)
    rows = read_reference(name, "cox_zph_rank_chisq")
    for model, covariates in models.items():
        part = rows[rows["group"] == model].set_index("at")["value"]
        got = diagnostics.check_proportional_hazards(data, covariates).set_index("covariate")
        assert got.loc["All", "statistic"] == pytest.approx(part["GLOBAL"], abs=1e-3)
        assert got.loc["All", "df"] == len(covariates)
        for covariate in ("dose", "infusions"):
            if covariate in part.index:
                assert got.loc[covariate, "statistic"] == pytest.approx(part[covariate], abs=1e-3)
                assert got.loc[covariate, "p_value"] == stats.chi2.sf(got.loc[covariate, "statistic"], 1)


def test_residuals_by_hand():
    # Risk sets in order of time: x = 0 1 0 1, then 1 0 1, then 0 1, then 1; with hazard ratio h the means
    # are 2h/(2h+2), 2h/(2h+1), h/(h+1), 1. They sum to the two events with x = 1 where 4h^2 + h = 1.
    table = diagnostics.estimate_schoenfeld_residuals(four_subjects(), ["x"])
    h = np.exp(fit_cox(four_subjects(), ["x"], method="partial").summary["coef"].iloc[0])
    assert h == pytest.approx((np.sqrt(17) - 1) / 8)
    assert table["time"].tolist() == [1, 2, 3, 4]
    assert table["rank"].tolist() == [1, 2, 3, 4]
    expected = [-h / (h + 1), 1 - 2 * h / (2 * h + 1), -h / (h + 1), 0]
    assert table["residual"].tolist() == pytest.approx(expected, abs=1e-9)


def test_residuals_agree_with_lifelines():
    data = draw_cohort(1)
    table = diagnostics.estimate_schoenfeld_residuals(data, ["a", "b"])
    theirs = CoxPHFitter().fit(data, "time", "event", fit_options={"precision": 1e-12})
    theirs = theirs.compute_residuals(data, "schoenfeld").sort_values(["a"])
    for name in ("a", "b"):
        ours = table.loc[table["covariate"] == name, "residual"]
        assert np.sort(ours) == pytest.approx(np.sort(theirs[name]), abs=1e-6)
        assert ours.sum() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_residuals_sum_to_zero_at_the_maximum(ties):
    data, _ = read_models("small18")
    residuals = diagnostics.estimate_schoenfeld_residuals(data, ["dose", "infusions"], ties=ties)
    assert residuals.groupby("covariate")["residual"].sum().abs().max() < 1e-6
    assert len(residuals) == 2 * data["event"].sum()
    assert residuals["time"].iloc[: data["event"].sum()].is_monotonic_increasing


def test_separation_leaves_nothing_to_judge():
    frame = separated_frame()
    assert diagnostics.check_proportional_hazards(frame, ["dose"])["statistic"].isna().all()
    assert diagnostics.estimate_schoenfeld_residuals(frame, ["dose"]).empty
    row = diagnostics.estimate_detectable(frame, ["dose"]).iloc[0]
    assert np.isnan(row["drift_detectable"])
    # Risk sets with 3 of 6, 3 of 5 and 3 of 4 in the second group; then there is one group only.
    information = 1 / 4 + 6 / 25 + 3 / 16
    assert np.log(row["hr_detectable"]) == pytest.approx(
        (1.959964 + 0.841621) / np.sqrt(information), abs=1e-5
    )


def test_without_events_nothing_is_detectable():
    frame = separated_frame().assign(event=False)
    row = diagnostics.estimate_detectable(frame, ["dose"]).iloc[0]
    assert np.isnan(row["hr_detectable"])
    assert np.isnan(row["drift_detectable"])
    assert row["n_events"] == 0
    assert diagnostics.check_proportional_hazards(frame, ["dose"])["statistic"].isna().all()


def test_one_event_cannot_drift():
    frame = pd.DataFrame({"time": [1.0, 2, 3, 4], "event": [False, True, False, False], "x": [0.0, 1, 0, 2]})
    row = diagnostics.estimate_detectable(frame, ["x"]).iloc[0]
    assert row["hr_detectable"] > 1
    assert np.isnan(row["drift_detectable"])


def test_detectable_effect_is_found_as_often_as_it_says():
    rng = np.random.default_rng(7)
    n, n_trials = 100, 600
    x = np.repeat([0.0, 1], n // 2)
    null = pd.DataFrame({"time": rng.exponential(size=n), "event": True, "x": x})
    hr = diagnostics.estimate_detectable(null, ["x"])["hr_detectable"].iloc[0]
    assert 1.6 < hr < 1.9  # Schoenfeld: exp(2.8 / sqrt(100 / 4)) is 1.75
    for factor in (hr, 1 / hr):
        times = rng.exponential(size=(n_trials, n)) / factor**x
        fits = fit_cox_many(times, np.ones(times.shape, dtype=bool), x[:, None], method="partial")
        found = (stats.chi2.sf(fits.lr_statistic, 1) < 0.05).mean()
        assert abs(found - 0.8) < 4 * np.sqrt(0.16 / n_trials)


def log_likelihood(frame, coef, trend):
    """Of covariates and of the first one times the rank of time, event by event; no ties."""
    ranks = stats.rankdata(frame["time"])
    centre = ranks[frame["event"]].mean()
    total = 0.0
    for i in np.flatnonzero(frame["event"]):
        linear = frame[["a", "b"]].to_numpy() @ coef + trend * (ranks[i] - centre) * frame["a"].to_numpy()
        total += linear[i] - np.log(np.exp(linear[frame["time"] >= frame["time"].iloc[i]]).sum())
    return total


def test_detectable_drift_by_brute_force():
    data = draw_cohort(3)
    coef = fit_cox(data, ["a", "b"], method="partial").summary["coef"].to_numpy()
    steps = 1e-3 * np.eye(3)

    def at(move):
        return log_likelihood(data, coef + move[:2], move[2])

    information = np.array(
        [[(at(s - t) + at(t - s) - at(s + t) - at(-s - t)) / 4e-6 for s in steps] for t in steps]
    )
    ranks = stats.rankdata(data["time"])[data["event"]]
    se = np.sqrt(np.linalg.inv(information)[2, 2])
    needed = stats.norm.ppf(0.95) + stats.norm.ppf(0.9)
    table = diagnostics.estimate_detectable(data, ["a", "b"], power=0.9, conf_level=0.9)
    reach = np.ptp(data["a"])
    want = reach * np.ptp(ranks) * needed * se
    assert np.log(table["drift_detectable"][0]) == pytest.approx(want, rel=1e-4)
    assert table["n_events"].tolist() == [data["event"].sum()] * 2


@pytest.mark.parametrize("options", [{"power": 1}, {"power": 0}, {"conf_level": 95}])
def test_detectable_options_out_of_range(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must lie between 0 and 1"):
        diagnostics.estimate_detectable(four_subjects(), ["x"], **options)


@pytest.mark.parametrize("ask", [diagnostics.check_proportional_hazards, diagnostics.leave_one_out])
def test_designs_that_cannot_be_estimated(ask):
    with pytest.raises(ValueError, match=r"same is the same for everyone\. Drop same"):
        ask(four_subjects().assign(same=1.0), ["x", "same"])
    with pytest.raises(ValueError, match="no covariate given"):
        ask(four_subjects(), [])


def test_leave_one_out_agrees_with_lifelines():
    data = draw_cohort(5, n=15)
    table = diagnostics.leave_one_out(data, ["a", "b"], method="partial", ties="efron")
    assert table.columns.tolist() == ["subject", "covariate", "coef", "hr", "hr_all", "changes_sign"]
    whole = CoxPHFitter().fit(data, "time", "event", fit_options={"precision": 1e-12}).params_
    assert np.log(table["hr_all"].iloc[:2]).tolist() == pytest.approx(whole.tolist(), abs=1e-6)
    for subject, rows in table.groupby("subject"):
        left = data.drop(index=subject)
        theirs = CoxPHFitter().fit(left, "time", "event", fit_options={"precision": 1e-12}).params_
        assert rows["coef"].tolist() == pytest.approx(theirs.tolist(), abs=1e-6)
        assert rows["changes_sign"].tolist() == (np.sign(theirs) != np.sign(whole)).tolist()
    assert table["hr"].tolist() == pytest.approx(np.exp(table["coef"]).tolist())


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_leave_one_out_agrees_with_the_fit_of_the_others(ties):
    data, _ = read_models("small18")
    data = data.assign(USUBJID=[f"S{i}" for i in range(18)])
    table = diagnostics.leave_one_out(data, ["dose", "infusions"], ties=ties)
    assert table["USUBJID"].tolist() == [f"S{i}" for i in range(18) for _ in range(2)]
    assert table["group"].tolist() == [code for code in data["group"] for _ in range(2)]
    assert table["group"].cat.ordered
    for subject in ("S0", "S7", "S17"):
        fit = fit_cox(data[data["USUBJID"] != subject], ["dose", "infusions"], ties=ties)
        rows = table[table["USUBJID"] == subject]
        assert rows["coef"].tolist() == pytest.approx(fit.summary["coef"].tolist(), abs=1e-6)


def test_a_sign_that_hangs_on_one_subject():
    # Without the last, the one with x = 1 has the first event; the last, with x = 3, turns the order.
    frame = pd.DataFrame({"time": [1.0, 2, 3, 9], "event": True, "x": [1.0, 0, 0, 3]}, index=list("abcd"))
    table = diagnostics.leave_one_out(frame, ["x"]).set_index("subject")
    assert table.loc["d", "coef"] > 0 > np.log(table["hr_all"].iloc[0])
    assert table["changes_sign"].to_dict() == {"a": False, "b": False, "c": False, "d": True}


def test_group_that_is_one_subject_is_not_estimable_without_it():
    data = draw_cohort(9, n=12, censoring=0).assign(only=0.0)
    data.loc[4, "only"] = 1.0
    table = diagnostics.leave_one_out(data, ["only", "a"]).set_index(["subject", "covariate"])
    assert np.isnan(table.loc[(4, "only"), "coef"])
    assert not table.loc[(4, "only"), "changes_sign"]
    alone = fit_cox(data.drop(index=4), ["a"]).summary["coef"].iloc[0]
    assert table.loc[(4, "a"), "coef"] == pytest.approx(alone, abs=1e-8)
    assert table["coef"].notna().sum() == 2 * 12 - 1


def test_combination_without_one_subject_is_not_estimable():
    # Without subject 4 the two covariates are the same.
    data = draw_cohort(11, n=10, censoring=0).assign(same=lambda frame: frame["a"])
    data.loc[4, "same"] = data.loc[4, "a"] + 1
    table = diagnostics.leave_one_out(data, ["a", "same"]).set_index("subject")
    assert table.loc[4, "coef"].isna().all()
    assert table.drop(index=4)["coef"].notna().all()


def test_separation_without_one_subject():
    # Only the subject of the first group that lives longest keeps the groups from being separated.
    frame = separated_frame()
    frame.loc[0, "time"] = 7.0
    partial = diagnostics.leave_one_out(frame, ["dose"], method="partial").set_index("subject")
    assert partial["coef"].isna().to_dict() == {i: i == 0 for i in range(6)}
    assert not partial.loc[0, "changes_sign"]
    assert diagnostics.leave_one_out(frame, ["dose"])["coef"].notna().all()
