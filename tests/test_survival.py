"""Kaplan-Meier, medians, landmark rates and follow-up against R and against hand-made answers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from oracles import kaplan_meier as oracle
from r_values import DATA_SETS, read_data, read_reference
from scipy import stats

from nkhcc_helpers.survival import curves, summaries

CONF_TYPES = ("plain", "log", "log-log")


def select_group(data, group):
    return data if group == "all" else data[data["group"] == group]


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("conf_type", CONF_TYPES)
def test_median_agrees_with_r(name, conf_type):
    data, rows = read_data(name), read_reference(name, "median", "median_lower", "median_upper")
    rows = rows[rows["at"] == conf_type].pivot_table(
        index="group", columns="what", values="value", dropna=False
    )
    for group, expected in rows.iterrows():
        part = select_group(data, group)
        got = summaries.estimate_median(part["time"], part["event"], conf_type=conf_type)
        assert got.estimate == pytest.approx(expected["median"], abs=1e-6, nan_ok=True)
        assert got.ci_lower == pytest.approx(expected["median_lower"], abs=1e-6)
        # R prints NA where no finite upper limit exists.
        assert got.ci_upper == pytest.approx(np.nan_to_num(expected["median_upper"], nan=np.inf), abs=1e-6)


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("conf_type", CONF_TYPES)
def test_survival_at_agrees_with_r(name, conf_type):
    data = read_data(name)
    columns = {f"surv_{conf_type}": "survival"}
    columns |= {f"surv_{side}_{conf_type}": f"ci_{side}" for side in ("lower", "upper")}
    for row in read_reference(name, *columns).itertuples():
        part = select_group(data, row.group)
        got = summaries.estimate_survival_at(
            part["time"], part["event"], at=[float(row.at)], conf_type=conf_type
        )
        value = got[columns[row.what]].iloc[0]
        past = float(row.at) > part["time"].max() and part.loc[part["time"].idxmax(), "event"] == 0
        expected = np.nan if past else row.value
        assert value == pytest.approx(expected, abs=1e-6, nan_ok=True), (row, past)


@pytest.mark.parametrize("name", DATA_SETS)
def test_bpcp_agrees_with_r(name):
    data = read_data(name)
    for row in read_reference(name, "bpcp_lower", "bpcp_upper").itertuples():
        part = select_group(data, row.group)
        curve = curves.estimate_km(part["time"], part["event"])
        at = curve["time"].searchsorted(float(row.at), side="right") - 1
        assert curve[row.what.replace("bpcp", "ci")].iloc[at] == pytest.approx(row.value, abs=1e-4), row
    for row in read_reference(name, "bpcp_median_lower", "bpcp_median_upper").itertuples():
        part = select_group(data, row.group)
        got = summaries.estimate_median(part["time"], part["event"])
        value = got.ci_lower if row.what.endswith("lower") else got.ci_upper
        assert value == pytest.approx(row.value, abs=1e-6), row


@pytest.mark.parametrize("name", DATA_SETS)
def test_follow_up_and_risk_counts_agree_with_r(name):
    data = read_data(name)
    for row in read_reference(name, "followup_median_reverse_km").itertuples():
        part = select_group(data, row.group)
        got = summaries.estimate_follow_up(part["time"], part["event"])
        assert got.estimate == pytest.approx(row.value, abs=1e-6, nan_ok=True)
    for row in read_reference(name, "n_at_risk").itertuples():
        assert curves.count_at_risk(select_group(data, row.group)["time"], at=[float(row.at)])[0] == row.value


@pytest.mark.parametrize("name", DATA_SETS)
def test_restricted_mean_agrees_with_r(name):
    data = read_data(name)
    for row in read_reference(name, "rmst", "rmst_se").itertuples():
        part = select_group(data, row.group)
        got = summaries.estimate_rmst(part["time"], part["event"], tau=float(row.at))
        value = got.estimate if row.what == "rmst" else got.standard_error
        assert value == pytest.approx(row.value, abs=1e-6), row


def test_restricted_mean_by_hand():
    # 2 of 4 die at 1, nobody until 3: 1 + 2 * 0.5.
    got = summaries.estimate_rmst([1, 1, 4, 4], [1, 1, 0, 0], tau=3)
    assert got.estimate == pytest.approx(2)
    assert got.standard_error == pytest.approx(np.sqrt(1 * 2 / (4 * 2)))
    assert got.ci_upper <= 3
    assert np.isnan(summaries.estimate_rmst([1, 2], [1, 0], tau=3).estimate)
    assert summaries.estimate_rmst([1, 2], [1, 1], tau=3).estimate == pytest.approx(1.5)
    early = summaries.estimate_rmst([2, 3], [1, 1], tau=1)
    assert early.estimate == 1
    assert np.isnan(early.standard_error)
    for tau in (0, -1, np.nan):
        with pytest.raises(ValueError, match="tau must be a number above 0"):
            summaries.estimate_rmst([1, 2], [1, 1], tau=tau)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 18])
def test_bpcp_without_censoring_is_clopper_pearson(n):
    curve = curves.estimate_km(np.arange(1, n + 1), np.ones(n, bool))
    for row in curve.itertuples():
        expected = stats.binomtest(round(row.survival * n), n).proportion_ci(0.95, "exact")
        assert (row.ci_lower, row.ci_upper) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_curve_by_hand():
    curve = curves.estimate_km([2, 3, 3, 5, 8], [1, 1, 0, 0, 1], conf_type="log-log")
    assert curve["time"].tolist() == [0, 2, 3, 5, 8]
    assert curve["n_at_risk"].tolist() == [5, 5, 4, 2, 1]
    assert curve["n_events"].tolist() == [0, 1, 1, 0, 1]
    assert curve["n_censored"].tolist() == [0, 0, 1, 1, 0]
    assert curve["survival"].tolist() == pytest.approx([1, 0.8, 0.6, 0.6, 0])


@pytest.mark.parametrize(
    ("time", "midpoint", "first"),
    [([1, 2, 3, 4], 2.5, 2), ([1, 2, 3, 4, 5, 6], 3.5, 3), ([1, 2, 3], 2, 2), ([4, 4, 6, 9], 5, 4)],
)
def test_median_conventions(time, midpoint, first):
    event = np.ones(len(time), bool)
    assert summaries.estimate_median(time, event).estimate == midpoint
    assert summaries.estimate_median(time, event, convention="first").estimate == first


def test_median_flat_at_half_to_the_last_censored_time():
    # R's quantile takes the middle up to the last time, its print the first time, SAS none.
    got = summaries.estimate_median([6.94, 13.34], [1, 0])
    assert got.estimate == pytest.approx(10.14)
    assert got.open_ended
    first = summaries.estimate_median([6.94, 13.34], [1, 0], convention="first")
    assert (first.estimate, first.open_ended) == (6.94, True)
    assert summaries.estimate_median([1, 2, 3, 4], [1, 1, 0, 0]).estimate == 3
    assert not summaries.estimate_median([1, 2, 3, 4], [1, 1, 1, 0]).open_ended
    assert not summaries.estimate_median([1, 2], [0, 0]).open_ended
    follow_up = summaries.estimate_follow_up([6.94, 13.34], [0, 1])
    assert follow_up.estimate == pytest.approx(10.14)
    assert follow_up.open_ended


def test_medians_by_program():
    frame = pd.DataFrame({"time": [6.94, 13.34, 1, 2, 3, 4], "event": [1, 0, 1, 1, 1, 1]})
    got = summaries.summarize_medians(frame.assign(group=list("AABBBB")))
    assert got.columns.tolist() == ["group", "r_quantile", "r_print", "sas", "first", "open_ended"]
    assert got.iloc[0].tolist() == [
        "A",
        pytest.approx(10.14),
        6.94,
        pytest.approx(np.nan, nan_ok=True),
        6.94,
        True,
    ]
    assert got.iloc[1].tolist() == ["B", 2.5, 2.5, 2.5, 2, False]


def test_median_survives_floating_point():
    # 1 - 1/6 ... multiply to 0.5 only on paper; lifelines answers 4 here, R and SAS 3.5.
    for n in range(2, 200, 2):
        got = summaries.estimate_median(np.arange(1, n + 1), np.ones(n, bool))
        assert got.estimate == n / 2 + 0.5


def test_lifelines_median_beside_ours():
    # R and SAS print the midpoint; lifelines one of the middle times, as floating-point rounding has it.
    for n, theirs, ours in ((4, 2, 2.5), (6, 4, 3.5)):
        times, event = np.arange(1, n + 1), np.ones(n, bool)
        assert KaplanMeierFitter().fit(times, event).median_survival_time_ == theirs
        assert summaries.estimate_median(times, event).estimate == ours


def test_lifelines_curve_is_ours():
    data = read_data("larynx")
    fitted = KaplanMeierFitter().fit(data["time"], data["event"])
    curve = curves.estimate_km(data["time"], data["event"], conf_type="log-log")
    assert fitted.survival_function_.iloc[:, 0].tolist() == pytest.approx(curve["survival"].tolist())
    limits = fitted.confidence_interval_.to_numpy()[1:]
    assert limits == pytest.approx(curve[["ci_lower", "ci_upper"]].to_numpy()[1:], nan_ok=True, abs=1e-9)


def test_median_without_events_is_not_estimable():
    got = summaries.estimate_median([3, 4, 5], [0, 0, 0])
    assert np.isnan(got.estimate)
    assert got.ci_upper == np.inf


def test_attained_coverage_by_hand():
    # Three patients: bpcp gives (0, inf); log-log gives (first, no limit) = 1 - 1/8.
    times, event = [1, 2, 3], [1, 1, 1]
    assert summaries.estimate_median(times, event).coverage == pytest.approx(1)
    log_log = summaries.estimate_median(times, event, conf_type="log-log")
    assert (log_log.ci_lower, log_log.ci_upper) == (1, np.inf)
    assert log_log.coverage == pytest.approx(0.875)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 18])
@pytest.mark.parametrize("conf_type", curves.CONF_TYPES)
def test_attained_coverage_agrees_with_simulation(n, conf_type):
    rng = np.random.default_rng(n)
    draws = np.sort(rng.exponential(size=(20_000, n)), axis=1)
    ranks = summaries.estimate_median(np.arange(1, n + 1), np.ones(n, bool), conf_type=conf_type)

    def pick(limit, missing):
        if limit in (0, np.inf):
            return np.full(len(draws), missing)
        low, high = int(np.floor(limit)) - 1, int(np.ceil(limit)) - 1
        return (draws[:, low] + draws[:, high]) / 2

    covered = (pick(ranks.ci_lower, 0) <= np.log(2)) & (np.log(2) < pick(ranks.ci_upper, np.inf))
    assert covered.mean() == pytest.approx(ranks.coverage, abs=0.015)


def test_survival_past_last_follow_up():
    censored = summaries.estimate_survival_at([1, 2, 3], [1, 1, 0], at=[0, 2, 3, 3.5])
    assert censored["survival"].tolist() == pytest.approx([1, 1 / 3, 1 / 3, np.nan], nan_ok=True)
    assert censored["n_at_risk"].tolist() == [3, 2, 1, 0]
    dead = summaries.estimate_survival_at([1, 2, 3], [1, 1, 1], at=[3.5])
    assert dead["survival"].tolist() == [0]


def test_at_risk_counts_are_the_conventional_ones():
    assert curves.count_at_risk([2, 5, 5, 7, 9, 12], at=[0, 3, 5, 6, 9]).tolist() == [6, 5, 5, 3, 2]


def test_at_risk_table_adds_up():
    frame = pd.DataFrame({"time": [1, 2, 2, 4.0], "event": [1, 0, 1, 1], "group": list("abab")})
    table = summaries.count_at_risk_table(frame, at=[0, 2, 3])
    assert table["group"].tolist() == ["a"] * 3 + ["b"] * 3
    assert table["n_at_risk"].tolist() == [2, 1, 0, 2, 2, 1]
    assert table["n_events"].tolist() == [0, 1, 2, 0, 0, 0]
    assert table["n_censored"].tolist() == [0, 0, 0, 0, 0, 1]


def test_summary_marks_censored_extremes():
    frame = pd.DataFrame(
        {
            "time": [1, 5, 2, 2, 9.0],
            "event": [False, True, True, False, False],
            "group": pd.Categorical(["y", "y", "x", "x", "x"], ["y", "x"], ordered=True),
        }
    )
    summary = summaries.summarize_survival(frame).set_index("group")
    assert summary.index.tolist() == ["y", "x", "All"]
    assert summary["n_events"].tolist() == [1, 1, 2]
    assert summary["minimum_censored"].tolist() == [True, False, True]
    assert summary["maximum_censored"].tolist() == [False, True, True]


def test_rates_by_group_and_for_everyone():
    frame = pd.DataFrame({"time": [1, 5, 2, 3.0], "event": [1, 1, 1, 1], "group": list("aabb")})
    rates = summaries.summarize_survival_at(frame, at=[2, 4])
    assert rates["group"].tolist() == ["a", "a", "b", "b", "All", "All"]
    assert rates["survival"].tolist() == pytest.approx([0.5, 0.5, 0.5, 0, 0.5, 0.25])
    assert rates["n_at_risk"].tolist() == [1, 1, 2, 0, 3, 1]


def test_landmarks_fit_the_unit():
    assert summaries.choose_landmarks("months") == [6, 12, 24]
    assert summaries.choose_landmarks("days") == [182, 364, 728]
    assert summaries.choose_landmarks("years") == [0.5, 1, 2]


def test_restricted_means_by_group_and_for_everyone():
    frame = pd.DataFrame({"time": [1, 3, 2, 3.0], "event": [1, 0, 1, 0], "group": list("aabb")})
    means = summaries.summarize_rmst(frame, tau=3)
    assert means["group"].tolist() == ["a", "b", "All"]
    assert means["estimate"].tolist() == pytest.approx([2, 2.5, 2.25])
    assert means["n"].tolist() == [2, 2, 4]


def test_curves_by_group_keep_the_order_of_groups():
    frame = pd.DataFrame({"time": [1, 2.0], "event": [1, 1], "group": pd.Categorical(["b", "a"], ["b", "a"])})
    assert summaries.estimate_km_by_group(frame)["group"].tolist() == ["b", "b", "a", "a"]


@pytest.mark.parametrize(
    ("time", "event", "message"),
    [
        ([1, 2], [1], "time has 2 values and event has 1"),
        ([], [], "time is empty"),
        ([1, np.nan], [1, 1], "time must be a finite number; position 1 is nan"),
        ([1, -2, -3], [1, 1, 1], r"time must not be negative; position 1 is -2 \(and 1 more\)"),
        ([1, 2], [1, 2], "event must be True or False .*; position 1 is 2"),
        ([1, 2], [1, np.nan], "event must be True or False .*; position 1 is nan"),
        (["x", 2], [1, 1], "time must hold numbers"),
        ([[1, 2]], [1, 1], "time must be one-dimensional"),
    ],
)
def test_bad_input_names_argument_and_position(time, event, message):
    with pytest.raises(ValueError, match=message):
        curves.estimate_km(time, event)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"conf_type": "wald"}, "conf_type must be one of bpcp"), ({"conf_level": 95}, "conf_level must lie")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        summaries.estimate_median([1, 2], [1, 1], **options)
    with pytest.raises(ValueError, match="convention must be one of"):
        summaries.estimate_median([1, 2], [1, 1], convention="last")
    with pytest.raises(ValueError, match="at must be at least 0; position 1"):
        summaries.estimate_survival_at([1, 2], [1, 1], at=[1, -1])


@given(st.integers(1, 9), st.integers(0, 10_000))
def test_many_curves_are_those_of_one_at_a_time(n, seed):
    rng = np.random.default_rng(seed)
    times, events = rng.integers(0, 7, (6, n)).astype(float), rng.random((6, n)) < 0.7
    many = curves.Curves.of(times, events)
    medians = {each: many.find_medians(each) for each in curves.CONVENTIONS}
    rates, means = many.find_survival(4.0), many.find_means(4.0)
    lower, upper = many.calculate_limits()
    for i in range(6):
        sample = times[i], events[i]
        one = curves.estimate_km(*sample)
        assert one.iloc[:, :5].to_numpy().tolist() == [pytest.approx(row) for row in oracle.trace(*sample)]
        for convention, found in medians.items():
            assert found[i] == pytest.approx(oracle.find_median(*sample, convention), nan_ok=True)
        assert rates[i] == pytest.approx(oracle.find_survival(*sample, 4), nan_ok=True)
        assert means[i] == pytest.approx(oracle.find_mean(*sample, 4), nan_ok=True)
        last_of_time = many.times[i].searchsorted(one["time"], side="right") - 1
        assert lower[i, last_of_time] == pytest.approx(one["ci_lower"].to_numpy(), abs=1e-9)
        assert upper[i, last_of_time] == pytest.approx(one["ci_upper"].to_numpy(), abs=1e-9)


def test_curves_of_some_keep_the_places_of_everyone():
    rng = np.random.default_rng(3)
    times, events = np.sort(rng.integers(1, 9, (30, 8)), axis=1), rng.random((30, 8)) < 0.6
    order = np.argsort(2 * times + ~events, axis=1)
    events, inside = np.take_along_axis(events, order, axis=1), rng.random((30, 8)) < 0.7
    inside[:, 3] = True
    some = curves.Curves.of_ordered(times, events, inside)
    for i in range(30):
        sample = times[i][inside[i]], events[i][inside[i]]
        assert some.find_medians()[i] == pytest.approx(oracle.find_median(*sample), nan_ok=True)
        assert some.find_survival(5)[i] == pytest.approx(oracle.find_survival(*sample, 5), nan_ok=True)
        assert some.find_means(5)[i] == pytest.approx(oracle.find_mean(*sample, 5), nan_ok=True)


def test_rows_of_counts_may_be_filled_up():
    times = np.array([[0.0, 1, 2], [0, 3, np.nan]])
    rows = curves.Curves.of_counts(times, np.array([[0, 1, 1], [0, 1, 0]]), np.array([[0, 1, 1], [0, 1, 0]]))
    assert rows.survival.tolist() == [[1, 0.75, 0.375], [1, 0.5, 0.5]]
    assert rows.find_medians().tolist() == [2, 3]
    assert rows.last.tolist() == [2, 3]
    assert np.isnan(rows.find_survival(3.5)).all()
    assert rows.find_means(2).tolist() == [1 + 0.75, 2]
    assert np.isnan(rows.find_means(3)).tolist() == [True, False]


def test_followed_up_to_the_horizon_is_long_enough():
    two = curves.Curves.of(np.array([[2.0, 5.0]]), np.array([[True, False]]))
    assert two.find_means(5.0).tolist() == [3.5]
    assert np.isnan(two.find_means(5.01)).all()
    assert two.find_survival(5.0).tolist() == [0.5]
    assert np.isnan(two.find_survival(5.01)).all()
    assert curves.Curves.of(two.times[:, 1:], two.n_censored[:, 1:]).find_medians().tolist() == [5.0]
    with pytest.raises(ValueError, match="tau must be a number above 0"):
        two.find_means(0.0)


def test_near_equal_times_are_one():
    time, event = [1.1 * 3, 3.3, 5.1, 1.1 * 3, 3.3, 9], [1, 0, 1, 0, 1, 1]
    curve = curves.estimate_km(time, event)
    assert curve["time"].tolist() == [0, 3.3, 5.1, 9]
    assert curve["survival"].iloc[1] == pytest.approx(2 / 3)
    for at in (3.3, 1.1 * 3):
        got = summaries.estimate_survival_at(time, event, at=[at])
        assert got["survival"].tolist() == pytest.approx([2 / 3])
        assert got["n_at_risk"].tolist() == [6]
        assert curves.count_at_risk(time, at=[at]).tolist() == [6]
        frame = pd.DataFrame({"time": time, "event": event, "group": "a"})
        counts = summaries.count_at_risk_table(frame, at=[at])
        assert counts[["n_at_risk", "n_events", "n_censored"]].to_numpy().tolist() == [[6, 0, 0]]
    assert summaries.estimate_rmst([1.1 * 3, 2], [0, 0], tau=3.3).estimate == pytest.approx(3.3)
    assert summaries.estimate_rmst([3.3, 2], [0, 0], tau=1.1 * 3).estimate == pytest.approx(3.3)


def test_times_of_0_count():
    curve = curves.estimate_km([0, 60, 90], [0, 1, 1])
    assert curve["survival"].tolist() == [1, 0.5, 0]
    assert curve["n_at_risk"].tolist() == [3, 2, 1]
    dropped = curves.estimate_km([0, 0, 3, 5], [1, 0, 1, 0], conf_type="log-log")
    assert dropped["time"].tolist() == [0, 3, 5]
    assert dropped["survival"].tolist() == pytest.approx([0.75, 0.375, 0.375])
    assert dropped["n_events"].tolist() == [1, 1, 0]
    assert summaries.estimate_survival_at([0, 0, 3, 5], [1, 0, 1, 0], at=[0])["survival"].tolist() == [0.75]
    assert summaries.estimate_rmst([0, 0, 3, 5], [1, 0, 1, 0], tau=4).estimate == pytest.approx(
        0.75 * 3 + 0.375
    )
    for event in ([1, 1], [0, 0], [1, 0]):
        frame = pd.DataFrame({"time": [0, 0], "event": event, "group": "a"})
        assert summaries.summarize_survival(frame)["maximum"].tolist() == [0, 0]
        assert summaries.summarize_rmst(frame)["estimate"].isna().all() == (sum(event) < 2)


def lay_out_arms(arms):
    rows = [(time, event, name) for name, arm in arms.items() for time, event in arm]
    return pd.DataFrame(rows, columns=["time", "event", "group"])


def test_horizon_is_not_set_by_groups_that_reach_0_or_leave_early():
    late = [(3.0, 1), (14.0, 0)]
    arms = {"a": [(1.0, 1)], "b": late, "c": [(2.0, 1), (12.0, 0)], "d": [(6 / 30.4375, 0)], "e": late}
    means = summaries.summarize_rmst(lay_out_arms(arms)).set_index("group")
    assert (means["tau"] == 12).all()
    assert means["estimate"].isna().to_dict() == {"a": 0, "b": 0, "c": 0, "d": 1, "e": 0, "All": 0}
    assert means["estimate"]["a"] == 1
    assert means["last"]["d"] == pytest.approx(6 / 30.4375)
    # Every curve reaches 0: no time is left out, and the means are those of the times.
    ended = {"a": [(1.0, 1), (3.0, 1)], "b": [(8.0, 1)]}
    means = summaries.summarize_rmst(lay_out_arms(ended)).set_index("group")
    assert means[["estimate", "tau"]].to_numpy().tolist() == [[2, 8], [8, 8], [4, 8]]
    # The others reach 0, and the one that does not leaves early.
    assert summaries.choose_horizon(lay_out_arms({**ended, "c": [(0.2, 0)]})) == 8
    assert summaries.choose_horizon(lay_out_arms({"a": [(5.0, 0)]})) == 5
    assert summaries.summarize_rmst(lay_out_arms(arms), tau=1).options["tau"] == 1


def test_late_entry_by_hand():
    # At 2 one of two, at 4 one of two, at 6 one of two; the third enters after 2, the fourth after 4.
    time, event, enter = [2, 4, 6, 9], [1, 1, 1, 0], [0, 0, 2, 4]
    curve = curves.estimate_km(time, event, time_enter=enter, conf_type="log-log")
    assert curve["n_at_risk"].tolist() == [2, 2, 2, 2, 1]
    assert curve["survival"].tolist() == [1, 0.5, 0.25, 0.125, 0.125]
    assert curves.count_at_risk(time, at=[0, 2, 2.5, 4.5, 10], time_enter=enter).tolist() == [2, 2, 2, 2, 0]
    median = summaries.estimate_median(time, event, time_enter=enter, conf_type="log-log")
    assert median.estimate == 3
    assert np.isnan(median.coverage)
    # Nobody is at risk between 4 and 5: the curve stays where it was, here at 0.
    gone = curves.estimate_km([2, 4, 8], [1, 1, 1], time_enter=[0, 0, 5], conf_type="plain")
    assert gone["survival"].tolist() == [1, 0.5, 0, 0]


@pytest.mark.parametrize(
    "estimate", [curves.estimate_km, summaries.estimate_median, summaries.estimate_follow_up]
)
def test_bpcp_is_not_defined_under_late_entry(estimate):
    with pytest.raises(ValueError, match=r"'bpcp' is not defined .* use one of log-log, log, plain"):
        estimate([2, 4], [1, 0], time_enter=[0, 1])
    same = estimate([2, 4], [1, 0], time_enter=[0, 0])
    assert str(same) == str(estimate([2, 4], [1, 0]))


def test_summaries_of_late_entry_say_which_limits_they_took():
    frame = pd.DataFrame({"time": [2.0, 4, 6, 9], "event": [1, 1, 1, 0], "group": list("abab")})
    late = frame.assign(time_enter=[0.0, 0, 2, 4])
    for summarize in (
        summaries.summarize_survival,
        lambda f, **o: summaries.summarize_survival_at(f, at=[3], **o),
    ):
        got = summarize(late)
        assert got.options["conf_type"] == "log-log"
        pd.testing.assert_frame_equal(pd.DataFrame(got), pd.DataFrame(summarize(late, conf_type="log-log")))
        assert summarize(late, conf_type="plain").options["conf_type"] == "plain"
        assert summarize(frame.assign(time_enter=0.0)).options["conf_type"] == "bpcp"
    by_group = summaries.estimate_km_by_group(late, conf_type="bpcp")
    alone = curves.estimate_km([4, 9], [1, 0], time_enter=[0, 4], conf_type="log-log")
    assert by_group.loc[by_group["group"] == "b", "survival"].tolist() == alone["survival"].tolist()
    assert summaries.count_at_risk_table(late, at=[3])["n_at_risk"].tolist() == [1, 1]
    assert summaries.summarize_rmst(late, tau=5)["estimate"].notna().all()
