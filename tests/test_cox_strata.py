"""Cox models within strata and with delayed entry: against R, statsmodels and brute force."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from r_values import read_data, read_reference
from statsmodels.duration.hazard_regression import PHReg

from nkhcc_helpers import cox
from nkhcc_helpers.cox import relabelling
from nkhcc_helpers.cox.calibration import attained_cox, permute_cohorts
from nkhcc_helpers.cox.fit import estimate_exact_limits
from nkhcc_helpers.cox.likelihood import PartialLikelihood, lay_out_risk
from nkhcc_helpers.cox.models import draw_relabellings
from nkhcc_helpers.cox.relabelling import permute_covariate

SLOPES = ["dose", "infusions"]
CASES = {"strata": {"strata": "site"}, "entry": {}, "both": {"strata": "site"}}


def read_case(case):
    """The data of a case of the reference, and its options."""
    data = read_data("strata_entry")
    return data if case == "strata" else data.rename(columns={"enter": "time_enter"}), CASES[case]


def draw_frame(seed, n=14):
    """A small trial with ties, late entry and two sites."""
    rng = np.random.default_rng(seed)
    enter = np.where(rng.random(n) < 0.4, rng.integers(1, 3, n), 0).astype(float)
    frame = pd.DataFrame({"time": enter + rng.integers(1, 6, n), "event": rng.random(n) < 0.8})
    frame = frame.assign(time_enter=enter, site=rng.integers(0, 2, n), a=rng.integers(0, 3, n).astype(float))
    return frame.assign(b=rng.normal(size=n).round(1))


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_r(case, ties):
    data, options = read_case(case)
    rows = read_reference("strata_entry", "coef", "se", "lower", "upper", "loglik", "lr", "score")
    value = rows[rows["group"] == case].set_index(["what", "at"])["value"]
    fit = cox.fit_cox(data, SLOPES, method="partial", ties=ties, n_draws=0, **options)
    for row in fit.summary.to_dict("records"):
        at = f"{ties} {row['covariate']}"
        assert row["coef"] == pytest.approx(value["coef", at], abs=1e-6)
        assert np.log(row["ci_lower"]) == pytest.approx(value["lower", at], abs=1e-6)
        assert np.log(row["ci_upper"]) == pytest.approx(value["upper", at], abs=1e-6)
    assert fit.log_likelihood == pytest.approx(value["loglik", ties], abs=1e-6)
    assert fit.lr_statistic == pytest.approx(value["lr", ties], abs=1e-6)
    more = {"time_enter": data.get("time_enter"), "strata": data["site"] if options else None}
    many = cox.fit_cox_many(data["time"], data["event"], data[SLOPES], method="partial", ties=ties, **more)
    assert many.se[0].tolist() == pytest.approx([value["se", f"{ties} {name}"] for name in SLOPES], abs=1e-6)
    numbers = pd.factorize(data["site"])[0] if options else None
    times, enters = lay_out_risk(data[["time"]].T.to_numpy(), more["time_enter"], numbers)
    event, x = data[["event"]].T.to_numpy() == 1, data[SLOPES].to_numpy()[None]
    null = PartialLikelihood.of(times, event, x, ties, enters).evaluate(np.zeros((1, 2)))
    score = null.score[0] @ np.linalg.solve(null.information[0], null.score[0])
    assert score == pytest.approx(value["score", ties], abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_diagnostics_agree_with_r(case):
    data, options = read_case(case)
    rows = read_reference("strata_entry", "zph")
    value = rows[rows["group"] == case].set_index(["what", "at"])["value"]
    table = cox.check_proportional_hazards(data, SLOPES, **options).set_index("covariate")["statistic"]
    for name, at in (("dose", "dose"), ("infusions", "infusions"), ("All", "GLOBAL")):
        assert table[name] == pytest.approx(value["zph", at], abs=1e-6)
    residuals = cox.estimate_schoenfeld_residuals(data, SLOPES, **options)
    assert len(residuals) == 2 * data["event"].sum()


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_statsmodels(seed, ties):
    # Theirs counts whoever enters at a time as at risk at it.
    frame = draw_frame(seed, n=40).assign(time_enter=lambda each: each["time_enter"] * 0.75)
    fit = cox.fit_cox(frame, ["a", "b"], method="partial", ties=ties, strata="site", n_draws=0)
    data = frame["time"], frame[["a", "b"]], frame["event"].astype(int)
    theirs = PHReg(*data, entry=frame["time_enter"], strata=frame["site"], ties=ties).fit()
    assert fit.summary["coef"].to_numpy() == pytest.approx(theirs.params, abs=1e-5)
    if ties == "breslow":  # theirs by Efron takes the tied events of all strata together in the constant
        assert fit.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)


@pytest.mark.parametrize("method", ["firth", "partial"])
def test_entry_at_the_start_and_one_stratum_change_nothing(method):
    frame = draw_frame(1).drop(columns="time_enter").assign(time=lambda each: each["time"] - 1, one="x")
    assert (frame["time"] == 0).any()
    plain = cox.fit_cox(frame, ["a", "b"], method=method)
    for other, strata in ((frame.assign(time_enter=0.0), ""), (frame, "one")):
        fit = cox.fit_cox(other, ["a", "b"], method=method, strata=strata)
        pd.testing.assert_frame_equal(fit.summary, plain.summary, rtol=1e-7)


def test_firth_within_strata_is_the_sum_of_their_parts():
    frame = draw_frame(2).drop(columns="time_enter")
    grid, total = np.linspace(-3, 3, 60_001)[:, None], 0
    for _, part in frame.groupby("site"):
        time, event = part[["time"]].T.to_numpy(), part[["event"]].T.to_numpy()
        state = PartialLikelihood.of(time, event, part[["a"]].to_numpy()[None]).evaluate(grid)
        total = total + np.stack([state.log_likelihood, state.information[:, 0, 0]])
    best = grid[(total[0] + np.log(total[1]) / 2).argmax(), 0]
    assert cox.fit_cox(frame, ["a"], strata="site", n_draws=0).summary["coef"][0] == pytest.approx(
        best, abs=1e-4
    )


def test_strata_that_order_a_covariate_alone_leave_nothing_to_estimate():
    frame = pd.DataFrame({"time": [1.0, 2, 3, 4], "event": True, "x": [0.0, 0, 1, 1], "s": list("aabb")})
    fit = cox.fit_cox(frame, ["x"], strata="s")
    assert fit.df == 0
    assert fit.summary.drop(columns="covariate").isna().all(axis=None)
    # Without strata they are separated; with entry after the others have left too there is nothing.
    assert cox.fit_cox(frame, ["x"], method="partial").separated is not None
    assert cox.fit_cox(frame.assign(time_enter=[0, 0, 2.0, 2]), ["x"], method="partial").df == 0


def test_separation_is_that_of_the_risk_sets():
    # Whoever has an event has the larger value, among those who have entered.
    frame = pd.DataFrame({"time": [2.0, 3, 5, 6], "event": True, "x": [1.0, 0, 2, 1]})
    assert cox.list_separated(frame, {"m": ["x"]}) == {}
    assert cox.list_separated(frame.assign(time_enter=[0, 0, 3.0, 3]), {"m": ["x"]}) == {"m": ["x"]}
    assert cox.list_separated(frame.assign(s=[0, 0, 1, 1]), {"m": ["x"]}, strata="s") == {"m": ["x"]}


def score(frame, values, cells):
    """Score and information of one covariate, by Breslow, term by term, within cells."""
    first, second = 0.0, 0.0
    for i in np.flatnonzero(frame["event"]):
        entered = (frame["time_enter"] < frame["time"][i]) | (frame["time_enter"] == 0)
        at_risk = values[((frame["time"] >= frame["time"][i]) & entered & (cells == cells[i])).to_numpy()]
        first += values[i] - at_risk.mean()
        second += at_risk.var()
    return first, second


def list_p(frame, name, cells):
    """Share of all exchanges of whole patients within cells whose statistic is as extreme."""
    cells, values = pd.Series(cells), frame[name].to_numpy()
    members = [np.flatnonzero(cells == cell) for cell in cells.unique()]
    statistics = []
    for orders in product(*(set(permutations(values[who])) for who in members)):
        moved = values.copy()
        for who, order in zip(members, orders, strict=True):
            moved[who] = order
        first, second = score(frame, moved, cells)
        statistics.append(first**2 / second if second > 1e-12 else 0.0)
    first, second = score(frame, values, cells)
    return np.mean(np.array(statistics) >= first**2 / second - 1e-9), len(statistics)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_permuted_p_by_listing_every_exchange(seed, late, monkeypatch):
    frame = draw_frame(seed, n=9)
    frame["time_enter"] = frame["time_enter"] if late else 0.0
    want, n_listed = list_p(frame, "a", frame["site"])
    row = cox.fit_cox(frame, ["a"], strata="site").summary.iloc[0]
    assert row["p_permutation"] == pytest.approx(want)
    assert row["p_permutation_error"] == 0
    assert np.isnan(row["exact_lower"]) == late
    arguments = frame["time"], frame["event"], frame[["a"]].to_numpy(), 0
    options = {"time_enter": frame["time_enter"], "strata": frame["site"]}
    got = permute_covariate(*arguments, **options)
    assert got.n_allocations <= n_listed
    # Cells of another covariate are strata as well.
    both = frame.assign(b=(frame["site"] == 1) * 1.0)
    alike = cox.fit_cox(both, ["a", "b"], n_draws=0).summary["p_permutation"][0]
    assert alike == pytest.approx(want)
    monkeypatch.setattr(relabelling, "MOST_PLACES", 1)
    monkeypatch.setattr(relabelling, "LARGEST_DRAW", 20_000)
    drawn = permute_covariate(*arguments, n_draws=5_000, seed=1, **options)
    assert abs(drawn.p_value - want) < 4 * drawn.error
    assert np.isnan(estimate_exact_limits(*arguments, **options).lower) == late


@pytest.mark.parametrize("late", [False, True])
def test_models_are_compared_over_exchanges_within_strata(late):
    frame = draw_frame(5, n=8)
    frame["time_enter"] = frame["time_enter"] if late else 0.0
    row = cox.compare_models(frame, {"m": ["a"]}, method="partial", strata="site", n_draws=4_000).iloc[0]
    values, members = frame["a"].to_numpy(), [np.flatnonzero(frame["site"] == s) for s in (0, 1)]
    every = np.array([np.concatenate(each) for each in product(*(permutations(who) for who in members))])
    order = np.concatenate(members)
    moved = np.empty((len(every), len(values)))
    moved[:, order] = values[every]
    options = {"method": "partial", "time_enter": frame["time_enter"], "strata": frame["site"]}
    listed = cox.fit_cox_many(frame["time"], frame["event"], moved[:, :, None], **options).lr_statistic
    share = np.mean(listed >= row["lr_statistic"] - 1e-7)
    assert abs(row["p_permutation"] - share) < 4 * row["p_permutation_error"]


def test_lack_of_fit_within_strata_is_that_of_the_likelihoods():
    data, options = read_case("both")
    models = {"dose": ["dose"], "both": SLOPES}
    table = cox.compare_models(data, models, method="partial", n_draws=200, **options)
    fits = [cox.fit_cox(data, each, method="partial", n_draws=0, **options) for each in models.values()]
    assert table["lack_statistic"][0] == pytest.approx(fits[1].lr_statistic - fits[0].lr_statistic, abs=1e-9)
    assert 0 < table["lack_p_permutation"][0] <= 1


def test_whoever_leaves_has_entered():
    time, event, enter = (
        np.array([1.0, 2, 3, 4]),
        np.array([True, False, True, True]),
        np.array([-1, -1, 1.5, 3]),
    )
    drawn = draw_relabellings(time, event, np.zeros(4), 6_000, seed=1, enter=enter)
    assert set(drawn[:, 0]) == {0, 1}
    assert set(drawn[:, 3]) == {3}
    # Two are left at the second place: one of the first two, and the third.
    assert np.mean(drawn[:, 1] == 2) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("method", ["firth", "partial"])
def test_leave_one_out_is_the_fit_of_the_others(method):
    data, options = read_case("both")
    table = cox.leave_one_out(data, SLOPES, method=method, **options)
    for at in (0, 7, 23):
        fit = cox.fit_cox(data.drop(index=at), SLOPES, method=method, n_draws=0, **options)
        assert table["coef"][2 * at : 2 * at + 2].tolist() == pytest.approx(
            fit.summary["coef"].tolist(), abs=1e-6
        )


def test_sweeps_within_strata_hold_the_fit_of_the_trial(plain_trial):
    options = {"strata": "SEX", "method": "partial"}
    data = cox.code_trial(plain_trial, "OS", ["dose"], strata="SEX")
    coef = cox.fit_cox(data, ["dose"], n_draws=0, **options).summary["coef"][0]
    swept = cox.sweep_assumptions(plain_trial, "OS", ["dose"], **options)
    assert swept.loc[swept["is_assumed"], "coef"].tolist() == pytest.approx([coef] * 3)
    codings = cox.sweep_codings(plain_trial, "OS", ["dose"], **options).set_index("dose_coding")
    assert codings.loc["relative", "coef"] == pytest.approx(coef)
    direction = cox.describe_design(plain_trial, ["dose"], endpoint="OS", strata="SEX").separation
    assert direction is None


@pytest.mark.no_cover
def test_calibration_within_strata(bundled_trial):
    trial = bundled_trial
    column = next(each.column for each in trial.metadata.baseline if each.is_categorical)
    data = cox.code_trial(trial, "PFS", ["dose", "infusions"], strata=column)
    models = {"both": SLOPES}
    options = {"n_draws": 0, "strata": column}
    estimates = cox.summarize_models(data, models, **options)
    table = cox.attained_in_trial(data, models, estimates, n_trials=400, strata=column)
    permuted = table[table["test"] == "permuted"]
    assert (permuted["rejected"] - 3 * permuted["rejected_error"] < 0.05).all()
    again = cox.attained_in_trial(data, models, estimates, n_trials=400, strata=column)
    pd.testing.assert_frame_equal(pd.DataFrame(table), pd.DataFrame(again))


def test_calibration_of_one_stratum_is_that_of_none():
    x = pd.DataFrame({"dose": [0.0, 1.0, 2.0]}, index=list("ABC"))
    options = {"n_trials": 250, "jobs": 1}
    alone = attained_cox([3, 4, 5], x, {"m": ["dose"]}, **options)
    within = attained_cox([3, 4, 5], x, {"m": ["dose"]}, strata=["s"] * 3, **options)
    pd.testing.assert_frame_equal(alone, within)
    times, events = np.random.default_rng(1).exponential(size=(3, 8)), np.ones((3, 8), dtype=bool)
    design, strata = np.tile([0.0, 1], 4)[:, None], np.repeat([0, 1], 4)
    p_values = permute_cohorts(times, events, design, 0, strata=strata)
    for time, event, p_value in zip(times, events, p_values, strict=True):
        assert permute_covariate(time, event, design, 0, strata=strata).p_value == pytest.approx(p_value)


def test_what_is_wrong_with_strata_and_entries_is_said(bundled_trial):
    frame = draw_frame(1)
    with pytest.raises(ValueError, match="no column 'centre'"):
        cox.fit_cox(frame, ["a"], strata="centre")
    with pytest.raises(ValueError, match=r"strata 'site' is missing in row 3 \(3\)"):
        cox.fit_cox(frame.assign(site=frame["site"].mask(frame.index == 3)), ["a"], strata="site")
    with pytest.raises(ValueError, match="'site' is the model's column"):
        cox.fit_cox(frame, ["site"], strata="site")
    with pytest.raises(ValueError, match="time_enter must be before the time"):
        cox.fit_cox(frame.assign(time_enter=frame["time"]), ["a"])
    many = frame["time"], frame["event"], frame[["a"]]
    with pytest.raises(ValueError, match="time_enter must be at least 0 and before the time"):
        cox.fit_cox_many(*many, time_enter=frame["time"])
    with pytest.raises(ValueError, match="strata has 2 values for 14 subjects"):
        cox.fit_cox_many(*many, strata=[1, 2])
    with pytest.raises(ValueError, match="strata must be a column of ADSL such as SEX"):
        cox.code_trial(bundled_trial, "PFS", strata="CENTRE")
