"""Cumulative incidence and Gray's test against R, brute force and Kaplan-Meier; who has which cause."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from r_values import read_data, read_reference
from scipy import stats
from trials import write_trial

from nkhcc_helpers.survival import (
    compare_incidence,
    estimate_incidence,
    estimate_km,
    summarize_incidence_at,
)
from nkhcc_helpers.survival.competing import _Causes
from nkhcc_helpers.trial import load_trial

DATA = dict(iter(read_data("competing").groupby("data")))
SWAP = np.array([0, 2, 1])


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(
    ("what", "column"),
    [
        ("survfit", "incidence"),
        ("cuminc", "incidence"),
        ("survfit_n_risk", "n_at_risk"),
        ("survfit_loglog_lower", "ci_lower"),
        ("survfit_loglog_upper", "ci_upper"),
    ],
)
def test_estimates_and_limits_agree_with_r(name, what, column):
    rows = read_reference("competing", what)
    for (group, cause), part in rows[rows["data"] == name].groupby(["group", "cause"]):
        sample = DATA[name] if group == "all" else DATA[name][DATA[name]["group"] == group]
        curve = estimate_incidence(sample["time"], sample["cause"], conf_type="log-log")
        got = curve[curve["cause"] == cause].set_index("time")[column]
        expected = part.set_index(part["at"].astype(float))["value"]
        pd.testing.assert_series_equal(
            got.reindex(expected.index).astype(float), expected, check_names=False, rtol=0, atol=1e-6
        )


def test_variance_and_late_entry_agree_with_r():
    data = DATA["tied"]
    enter = np.maximum(0, np.floor(data["time"] / 3) - np.arange(1, 91) % 2)
    times = np.unique(np.append(0.0, data["time"]))
    for name, entries in (("tied", np.zeros(90)), ("late", enter.to_numpy())):
        rows = read_reference("competing", "survfit", "survfit_se")
        rows = rows[(rows["data"] == name) & (rows["group"] == "all") & (rows["cause"] == 1)]
        rows = rows.assign(at=rows["at"].astype(float)).pivot_table("value", "at", "what")
        curve = estimate_incidence(data["time"], data["cause"], time_enter=entries)
        curve = curve[curve["cause"] == 1].set_index("time").loc[rows.index]
        assert curve["incidence"].to_numpy() == pytest.approx(rows["survfit"].to_numpy(), abs=1e-6)
        causes = _Causes.of(times, data["time"].to_numpy(), data["cause"].to_numpy(), entries)
        errors = pd.Series(np.sqrt((causes.calculate_influence() ** 2).sum(axis=1)), times).loc[rows.index]
        assert errors.to_numpy() == pytest.approx(rows["survfit_se"].to_numpy(), abs=1e-6)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("cause", [1, 2])
def test_grays_test_agrees_with_r(name, cause):
    data, rows = DATA[name], read_reference("competing", "gray", "gray_p")
    rows = rows[(rows["data"] == name) & (rows["cause"] == cause)].set_index("what")
    causes = data["cause"] if cause == 1 else SWAP[data["cause"]]
    got = compare_incidence(data["time"], causes, data["group"], n_draws=0)
    assert got.statistic == pytest.approx(rows.loc["gray", "value"], abs=1e-6)
    assert got.p_asymptotic == pytest.approx(rows.loc["gray_p", "value"], abs=1e-6)
    assert got.df == int(rows.loc["gray", "at"])


samples = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=12)


@given(samples)
def test_both_causes_together_are_what_kaplan_meier_gives_for_either(sample):
    time, cause = np.array(sample).T
    curve = estimate_incidence(time, cause)
    either = estimate_km(time, cause > 0)
    total = sum(curve.loc[curve["cause"] == each, "incidence"].to_numpy() for each in (1, 2))
    assert total == pytest.approx(1 - either["survival"].to_numpy())
    inside = curve[["ci_lower", "incidence", "ci_upper"]].to_numpy()
    assert (np.diff(inside, axis=1) >= -1e-9).all()
    assert ((inside >= -1e-12) & (inside <= 1 + 1e-12)).all()


def test_limits_are_exact_where_nobody_is_censored():
    curve = estimate_incidence([1, 2, 3, 4, 5], [1, 2, 1, 1, 2], conf_level=0.9)
    event = curve[curve["cause"] == 1]
    for n_events, row in zip([0, 1, 1, 2, 3, 3], event.to_dict("records"), strict=True):
        exact = stats.binomtest(n_events, 5).proportion_ci(0.9)
        assert (row["incidence"], row["ci_lower"], row["ci_upper"]) == pytest.approx((n_events / 5, *exact))


@pytest.mark.parametrize(("n", "censoring"), [(5, 0.0), (6, 0.5), (18, 0.25), (18, 0.5)])
def test_limits_keep_their_level(n, censoring):
    # Of 60 % the first of two exponential times is the event; at this time 54 % have had it.
    rng, at, truth, n_held, n_samples = np.random.default_rng(n), np.log(10), 0.54, 0, 300
    for _ in range(n_samples):
        time, cause = rng.exponential(size=n), np.where(rng.random(n) < 0.6, 1, 2)
        if censoring:
            left = rng.exponential((1 - censoring) / censoring, n)
            time, cause = np.minimum(time, left), np.where(left < time, 0, cause)
        curve = estimate_incidence(time, cause)
        row = curve[(curve["cause"] == 1) & (curve["time"] <= at)].iloc[-1]
        n_held += row["ci_lower"] <= truth <= row["ci_upper"]
    assert n_held / n_samples > 0.93


@given(samples.filter(lambda sample: {cause for _, cause in sample} == {0, 1, 2}), st.data())
def test_influence_is_the_derivative_by_weight(sample, data):
    time, cause = np.array(sample).T
    times = np.unique(np.append(0, time))
    influence = _Causes.of(times, time, cause, np.zeros(len(time))).calculate_influence()
    who = data.draw(st.integers(0, len(time) - 1))
    # The patient's weight rises by one in so many copies of everyone.
    many = 20_000
    weights = np.full(len(time), many) + (np.arange(len(time)) == who)
    found = []
    for weight in (np.full(len(time), many), weights):
        n, own, gone = (
            np.array([(weight * each).sum() for each in rows], float)
            for rows in (time >= times[:, None], (time == times[:, None]) & (cause == 1),
                         (time == times[:, None]) & (cause > 0))
        )  # fmt: skip
        after = np.cumprod(1 - gone / n)
        found.append(np.cumsum(np.append(1, after[:-1]) * own / n))
    assert (found[1] - found[0]) * many == pytest.approx(influence[:, who], abs=2e-3)


def test_exact_p_is_every_relabelling_and_the_permuted_one_comes_near():
    time, cause, group = [1, 2, 2, 3, 4, 5, 6], [1, 1, 2, 1, 0, 2, 1], list("AAABBCC")
    got = compare_incidence(time, cause, group, n_draws=4000)
    every = [
        compare_incidence(time, cause, list(each), n_draws=0, exact=False).statistic
        for each in sorted(set(permutations(group)))
    ]
    assert got.n_allocations == len(every) == 210
    assert got.p_exact == pytest.approx(np.mean(np.array(every) >= got.statistic - 1e-9))
    assert got.p_permutation == pytest.approx(got.p_exact, abs=5 * got.p_permutation_error)
    assert got.by_group.to_numpy().tolist() == [["A", 3, 2, 1], ["B", 2, 1, 0], ["C", 2, 1, 1]]


def test_a_test_without_anything_to_compare_is_not_estimable():
    for cause, group in [([1, 1, 2], "AAA"), ([2, 0, 2], "AAB"), ([0, 0, 1], "ABB")]:
        got = compare_incidence([1, 2, 3], cause, list(group))
        shown = (got.statistic, got.p_asymptotic, got.p_permutation, got.p_permutation_error, got.p_exact)
        assert np.isnan(shown).all()
        assert got.df == 0


def test_events_after_a_curve_has_come_to_its_end_are_left_out():
    # Nobody of group 0 is left when its last patient comes under observation.
    time, cause = [0.2, 5.5, 6.5, 3.6, 7.9, 13.4, 4.9, 45.9, 8.0], [1, 1, 1, 1, 1, 1, 2, 1, 1]
    group, enter = [0, 1, 1, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0.1, 3.3, 34.6, 0]
    late = compare_incidence(time, cause, group, time_enter=enter, n_draws=2000)
    assert np.isfinite(late.statistic)
    assert late.df == 1
    assert late.p_exact == pytest.approx(late.p_permutation, abs=0.05)


def test_grays_test_keeps_its_level_with_late_entry():
    rng = np.random.default_rng(20260124)
    p_values = []
    for _ in range(120):
        n = rng.integers(8, 15)
        enter = np.where(rng.random(n) < 0.5, 0, rng.exponential(5, n))
        time = enter + rng.exponential(8, n) + 0.01
        tested = compare_incidence(
            time, rng.choice([0, 1, 1, 2], n), np.arange(n) % 2, time_enter=enter, n_draws=0, exact=False
        )
        p_values.append(tested.p_asymptotic)
    assert np.nanmean(np.array(p_values) < 0.05) < 0.15
    assert np.nanmean(np.array(p_values) < 1e-6) == 0


def test_near_equal_times_are_one_and_causes_are_checked():
    near = estimate_incidence([3.3, 1.1 * 3, 4], [1, 2, 0])
    pd.testing.assert_frame_equal(
        pd.DataFrame(near), pd.DataFrame(estimate_incidence([3.3, 3.3, 4], [1, 2, 0]))
    )
    with pytest.raises(ValueError, match="cause must be 0, 1 or 2; position 1 is 3"):
        estimate_incidence([1, 2], [1, 3])
    with pytest.raises(ValueError, match="conf_type must be one of beta, log-log"):
        estimate_incidence([1, 2], [1, 0], conf_type="plain")


def test_landmarks_show_what_kaplan_meier_overstates():
    frame = pd.DataFrame({"time": [1, 2, 3, 4, 2, 5], "cause": [1, 2, 1, 1, 2, 0], "group": list("AAAABB")})
    curves = estimate_incidence(**frame)
    assert list(curves["group"].unique()) == ["A", "B"]
    rates = summarize_incidence_at(frame, at=[2, 9])
    got = rates.set_index(["group", "time"])
    assert got.loc[("A", 2)].tolist()[:2] == [3, 0.25]
    # All of A have had either event; in B somebody was lost before, so that nothing can be said.
    assert got.loc[("A", 9)].tolist()[:2] == [0, 0.75]
    assert got.loc[("A", 9), "one_minus_km"] == 1
    assert got.loc[("B", 9), "n_at_risk"] == 0
    assert got.loc[("B", 9)].drop("n_at_risk").isna().all()
    assert ((rates["one_minus_km"] - rates["incidence"]).dropna() > -1e-12).all()
    # The last of all goes by the competing event: everyone is known, and Kaplan-Meier is not at 0.
    frame = pd.DataFrame({"time": [1, 2, 4], "cause": [1, 1, 2], "group": list("AAA")})
    got = summarize_incidence_at(frame, at=[3, 9]).query("group == 'A'")
    assert got["incidence"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert got["one_minus_km"].tolist() == pytest.approx([2 / 3, float("nan")], nan_ok=True)
    # Looked for until 2 only.
    got = summarize_incidence_at(frame.assign(last_assessed=[1, 2, 2]), at=[2, 3]).query("group == 'A'")
    assert got["one_minus_km"].tolist() == pytest.approx([2 / 3, float("nan")], nan_ok=True)


def test_the_competing_event_counts_at_its_own_time(tmp_path):
    def name_competing(metadata):
        endpoints = [{**metadata["endpoints"][0], "competing": "OS"}, metadata["endpoints"][1]]
        return metadata | {"endpoints": [each | {"role": "other"} for each in endpoints]}

    def edit(adtte):
        # S-01 dies long after the last assessment, S-02 on the day of the event, S-03 is censored for both;
        # what competes with the event of S-04 comes before it.
        told = {
            ("S-01", "PFS"): ("2", "1"), ("S-01", "OS"): ("5", "0"),
            ("S-02", "PFS"): ("3", "0"), ("S-02", "OS"): ("3", "0"),
            ("S-03", "PFS"): ("4", "1"), ("S-03", "OS"): ("6", "1"),
            ("S-04", "PFS"): ("4", "0"), ("S-04", "OS"): ("1", "0"),
        }  # fmt: skip
        adtte = adtte.drop(columns=["STARTDT", "ADT", "EVNTDESC", "CNSDTDSC"]).set_index(
            ["USUBJID", "PARAMCD"]
        )
        for place, values in told.items():
            adtte.loc[place, ["AVAL", "CNSR"]] = values
        return adtte.reset_index()

    undated = {
        "adsl": lambda adsl: adsl.drop(columns=["DTHDT", "SAFFL"]),
        "adex": lambda adex: adex.iloc[-3:],
        "adae": lambda adae: adae.iloc[:0],
    }
    folder = write_trial(tmp_path, metadata=name_competing, adtte=edit, published=None, **undated)
    trial = load_trial(folder)
    frame = trial.competing("PFS").set_index("USUBJID")
    found = frame.loc[["S-01", "S-02", "S-03", "S-04"], ["time", "cause", "last_assessed"]]
    assert found.to_numpy().tolist() == [
        [5, 2, 2], [3, 1, 3], [4, 0, 4], [1, 2, 4],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="names no competing endpoint of OS"):
        trial.competing("OS")
