"""Statistics of many cohorts beside the functions for one; designs, hazard ratios and their signs."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from claimed_trials import measure_claims
from hand_cohorts import by_name, draw_cohorts, make_cohorts

from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.identification.answers import SIGNS, summarize_answers, summarize_signs
from nkhcc_helpers.identification.bounds import bound_statistics, choose_statistic
from nkhcc_helpers.identification.statistics import (
    HAZARD_RATIOS,
    Statistic,
    calculate_hazard_ratios,
    calculate_statistics,
    list_designs,
    list_ratios,
    list_statistics,
)
from nkhcc_helpers.survival.permutation import compare_survival
from nkhcc_helpers.survival.summaries import (
    estimate_median,
    estimate_rmst,
    estimate_survival_at,
)
from nkhcc_helpers.trial.claims import LandmarkRate

SIZES = {"A": 3, "B": 4, "C X": 3}
LANDMARKS, TAU = (3, 7), 8.0
KNOWN = {each.name: each for each in (*list_statistics(tuple(SIZES), (3, 7, 24, 99)), *list_ratios())}


@pytest.fixture(scope="module")
def cohorts():
    return draw_cohorts(20, SIZES, seed=4, endpoints=("PFS", "OS"))


@pytest.fixture(scope="module")
def statistics(cohorts):
    return by_name(calculate_statistics(cohorts, landmarks=LANDMARKS, tau=TAU))


def read_printed(time, event):
    """The median as R prints it: the first time where no event ends a curve flat at one half."""
    median = estimate_median(time, event)
    return (estimate_median(time, event, convention="first") if median.open_ended else median).estimate


def walk(cohorts, n_cohorts):
    """Cohort, endpoint, times, events and groups, one cohort after the other."""
    groups = np.array(cohorts.claimed.groups)[cohorts.claimed.codes]
    for endpoint in cohorts.claimed.endpoints:
        times, events = cohorts.of(endpoint)
        for cohort in range(n_cohorts):
            yield cohort, endpoint, times[cohort], events[cohort], groups


def test_estimates_are_those_of_single_cohorts(cohorts, statistics):
    found, expected = [], []
    for cohort, endpoint, times, events, groups in walk(cohorts, len(cohorts)):
        row = statistics.loc[cohort, endpoint]
        for name in ("all", *SIZES):
            own = np.full(len(groups), True) if name == "all" else groups == name
            time, event = times[own], events[own]
            names = [f"median {name}", f"rate 3 {name}", f"rate 7 {name}", f"rmst {name}"]
            found.append(row[names].to_numpy(float))
            rates = estimate_survival_at(time, event, at=LANDMARKS)["survival"]
            restricted = estimate_rmst(time, event, tau=TAU).estimate
            expected.append([read_printed(time, event), *(100 * rates), restricted])
    found, expected = np.array(found), np.array(expected)
    assert np.isnan(expected).any(axis=0)[[0, 2, 3]].all()
    assert (~np.isnan(expected)).sum(axis=0).min() > 60
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_follow_up_and_censoring_are_those_of_single_cohorts(cohorts, statistics):
    for cohort, endpoint, times, events, _ in walk(cohorts, len(cohorts)):
        row = statistics.loc[cohort, endpoint]
        expected = [read_printed(times, ~events), times.max(), (~events).sum()]
        np.testing.assert_allclose(row[["follow_up", "longest", "n_censored"]], expected)
    assert 0 < statistics["OS", "follow_up"].isna().sum() < len(cohorts)


def test_tests_are_those_of_single_cohorts(cohorts, statistics):
    for cohort, endpoint, times, events, groups in walk(cohorts, 6):
        row = statistics.loc[cohort, endpoint]
        overall = compare_survival(times, events, groups, n_draws=20_000)
        assert row["logrank_p"] == pytest.approx(overall.p_asymptotic, rel=1e-9)
        trend = compare_survival(times, events, groups, n_draws=20_000, trend=True)
        compared = {"permutation_p": overall, "trend_p": trend}
        for first, second in (("A", "B"), ("A", "C X"), ("B", "C X")):
            own = np.isin(groups, [first, second])
            pair = compare_survival(times[own], events[own], groups[own], n_draws=20_000)
            compared[f"pair_p {second}-{first}"] = pair
        for name, single in compared.items():
            away = abs(row[name] - single.p_permutation)
            assert away < 5 * single.p_permutation_error + 1e-4, (name, row[name], single.p_permutation)


def test_every_statistic_is_named(statistics):
    names = ["logrank_p", "permutation_p", "trend_p", "pair_p B-A", "pair_p C X-A", "pair_p C X-B"]
    for kind in ("median", "rate 3", "rate 7", "rmst"):
        names += [f"{kind} {group}" for group in ("all", *SIZES)]
    assert statistics["PFS"].columns.tolist() == [*names, "follow_up", "longest", "n_censored"]
    assert statistics.columns.names == ["endpoint", "statistic"]


def test_landmarks_and_horizon_are_months_whatever_the_unit():
    weeks = draw_cohorts(5, SIZES, seed=2, n_times=150, share_censored=0.0, unit="weeks")
    statistics = by_name(calculate_statistics(weeks, n_draws=10))["OS"]
    times, events = weeks.of("OS")
    for cohort in range(5):
        at = 12 * 30.4375 / 7
        rate = estimate_survival_at(times[cohort], events[cohort], at=[at])["survival"].iloc[0]
        mean = estimate_rmst(times[cohort], events[cohort], tau=2 * at).estimate
        row = statistics.loc[cohort]
        assert (row["rate 12 all"], row["rmst all"]) == pytest.approx((100 * rate, mean))


def test_one_group_has_estimates_only():
    statistics = calculate_statistics(draw_cohorts(4, {"A": 5}, seed=3), n_draws=10)
    assert not [each for each in statistics["OS"] if each.is_p_value]
    statistics = by_name(statistics)["OS"]
    assert "median all" in statistics
    assert "median A" not in statistics  # the only group is everybody


def test_claimed_rates_are_not_met_past_the_last_follow_up():
    # Recorded in whole months, nobody has been followed for 23.5 of them who was last seen at 23.
    claim = LandmarkRate(kind="landmark_rate", endpoint="OS", at=23.5, value=50, decimals=0)
    claimed = make_cohorts(np.ones((1, 1, 2)), np.ones((1, 1, 2)), {"A": 2}, claims=[claim]).claimed
    events = np.array([[True, False]])
    distances = [measure_claims(claimed, "OS", np.array([[5, last]]), events) for last in (23, 24)]
    assert distances[0] > 0
    assert distances[1] == 0


@pytest.mark.parametrize("method", ["firth", "partial"])
@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_hazard_ratios_are_those_of_single_fits(cohorts, method, ties):
    design = pd.DataFrame({"dose": [0.5, 1.0, 1.0], "infusions": [4.0, 4.0, 8.0]}, index=list(SIZES))
    # Another order of the rows is no other design.
    ratios = calculate_hazard_ratios(cohorts, [("base", design.iloc[::-1])], methods=[method], ties=ties)
    assert ratios.columns.tolist() == HAZARD_RATIOS
    for cohort, endpoint, times, events, groups in walk(cohorts, 4):
        frame = design.loc[groups].reset_index(drop=True).assign(time=times, event=events)
        fit = fit_cox(frame, ["dose", "infusions"], method=method, ties=ties, n_draws=0)
        own = ratios[(ratios["cohort"] == cohort) & (ratios["endpoint"] == endpoint)]
        expected = fit.summary["coef"].to_numpy(float)
        if method == "partial" and fit.separated is not None:
            # One trial has estimates of what does not separate; of many cohorts such ones count as without.
            expected = np.full(2, np.nan)
        np.testing.assert_allclose(own.set_index("covariate")["coef"][["dose", "infusions"]], expected, 1e-5)


def test_separated_cohorts_are_not_estimable_by_partial_likelihood():
    times = [[[1, 2, 3, 10, 11, 12]], [[1, 10, 3, 2, 11, 12]]]
    cohorts = make_cohorts(times, np.ones((2, 1, 6)), {"A": 3, "B": 3})
    design = pd.DataFrame({"dose": [1.0, 2.0]}, index=["A", "B"])
    ratios = calculate_hazard_ratios(cohorts, [("base", design)])
    known = ratios.set_index(["method", "cohort"])["coef"].notna()
    assert known.to_dict() == {
        ("firth", 0): True,
        ("firth", 1): True,
        ("partial", 0): False,
        ("partial", 1): True,
    }
    with pytest.raises(ValueError, match="'base' lacks group B"):
        calculate_hazard_ratios(cohorts, [("base", design.loc[["A"]])])


def test_designs_move_each_assumed_number_in_turn(bundled_trial):
    designs = {design.name: x for design, x in list_designs(bundled_trial.metadata)}
    base = designs["relative, as assumed"]
    assert base.to_numpy().tolist() == [[0.5, 4], [1, 4], [1, 8], [1.25, 8]]
    assert base.index.tolist() == ["A", "B", "C", "D"]
    moved = ["dose of A 0.25", "dose of A 1", "dose of D 0.625", "dose of D 2.5"]
    moved += ["infusions of D 4", "infusions of D 16"]
    labels = [f"{coding}, {label}" for coding in ("relative", "log2") for label in ("as assumed", *moved)]
    assert list(designs) == labels
    changed = (designs["relative, dose of D 2.5"] != base).to_numpy()
    assert np.argwhere(changed).tolist() == [[3, 0]]
    np.testing.assert_allclose(designs["log2, dose of A 0.25"]["dose"], [-2, 0, 0, np.log2(1.25)])


def test_designs_that_cannot_be_estimated_are_left_out(bundled_trial):
    metadata = bundled_trial.metadata
    a, b, c, d = metadata.arms
    two = metadata.model_copy(update={"arms": [a, c]})
    assert list_designs(two) == []
    assert [design.name for design, _ in list_designs(two, ["dose"], dose_codings=["relative"])] == [
        "relative, as assumed",
        "relative, dose of A 0.25",
    ]
    none = metadata.model_copy(update={"arms": [a.model_copy(update={"dose": 0.0, "assumed": []}), b, c, d]})
    assert {design.coding for design, _ in list_designs(none)} == {"relative"}


def test_signs_of_hazard_ratios_are_summarized():
    coefs = [np.log([0.5, 1.0, 2.0, 4.0, np.nan]), [np.nan] * 5]
    frames = [
        pd.DataFrame({"endpoint": "OS", "design": "d", "method": method, "covariate": "dose", "coef": coef})
        for method, coef in zip(("firth", "partial"), coefs, strict=True)
    ]
    signs = summarize_signs(pd.concat(frames, ignore_index=True), share=0.5)
    assert signs.columns.tolist() == [*HAZARD_RATIOS[:4], *SIGNS]
    assert signs["method"].tolist() == ["firth", "partial"]
    firth, partial = signs[SIGNS].to_numpy(float)
    # Quartiles of the logarithms lie between cohorts.
    expected = [0.5, 0.5, 0.5**0.25, 2**0.5, 2 * 2**0.25, 4.0, 0.2]
    np.testing.assert_allclose(firth, expected)
    assert np.isnan(partial[:-1]).all()
    assert partial[-1] == 1


@pytest.mark.parametrize(
    "statistic",
    [
        *("logrank_p", "permutation_p", "trend_p", "pair_p B-A", "pair_p C X-B", "median all", "median C X"),
        *("rate 3 all", "rate 7 C X", "rmst B", "follow_up", "longest", "n_censored"),
    ],
)
def test_a_statistic_chosen_is_that_of_the_table(cohorts, statistics, statistic):
    calculate = choose_statistic(cohorts.claimed, KNOWN[statistic], n_draws=20_000, tau=TAU)
    for endpoint in cohorts.claimed.endpoints:
        expected = statistics[endpoint, statistic].to_numpy(float)
        np.testing.assert_allclose(calculate(*cohorts.of(endpoint)), expected)


@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_a_hazard_ratio_chosen_is_the_most_extreme_over_designs(cohorts, end):
    first = pd.DataFrame({"dose": [0.5, 1.0, 1.0], "infusions": [4.0, 4.0, 8.0]}, index=list(SIZES))
    designs = [("one", first), ("two", first.assign(dose=[0.5, 1.0, 3.0]))]
    ratios = calculate_hazard_ratios(cohorts, designs, methods=["firth"])
    own = ratios[(ratios["endpoint"] == "OS") & (ratios["covariate"] == "infusions")]
    expected = np.exp(own.groupby("cohort")["coef"].agg({"lowest": "min", "highest": "max"}[end]))
    calculate = choose_statistic(cohorts.claimed, KNOWN["hr infusions (firth)"], designs=designs, end=end)
    np.testing.assert_allclose(calculate(*cohorts.of("OS")), expected)


def test_statistics_that_there_are_not_cannot_be_chosen(cohorts):
    with pytest.raises(ValueError, match="statistic must be one of"):
        choose_statistic(cohorts.claimed, Statistic("median", "Z"))
    with pytest.raises(ValueError, match="needs a design with dose"):
        choose_statistic(cohorts.claimed, KNOWN["hr dose (firth)"])
    with pytest.raises(ValueError, match="end must be one of"):
        choose_statistic(cohorts.claimed, KNOWN["longest"], end="widest")


def find_in_sample(cohorts, statistic, *, endpoint):
    """Extremes of the sample itself, in the place of a search."""
    values = statistic(*cohorts.of(endpoint))
    if np.isnan(values).all():
        return SimpleNamespace(lowest=np.nan)
    rows = [np.nanargmin(values), np.nanargmax(values)]
    lowest, highest = values[rows]
    return SimpleNamespace(
        lowest=lowest, highest=highest, times=cohorts.times[rows], events=cohorts.events[rows]
    )


def test_statistics_of_one_name_are_held_apart():
    cohorts = draw_cohorts(6, {"B-A": 2, "A": 2, "A-B": 3}, seed=1)
    one, other = Statistic("pair_p", "A", "B-A"), Statistic("pair_p", "A-B", "A")
    assert one.name == other.name == "pair_p A-B-A" != one
    assert one != other
    statistics = calculate_statistics(cohorts, n_draws=10)
    bounds = bound_statistics(cohorts, [("OS", one), ("OS", other)], find=find_in_sample, jobs=1)
    for each, lowest, highest in zip((one, other), bounds["lowest"], bounds["highest"], strict=True):
        values = statistics["OS", each]
        assert isinstance(values, pd.Series)
        assert (lowest, highest) == pytest.approx((values.min(), values.max()))
    answers = summarize_answers(cohorts, statistics, bounds=bounds).set_index("statistic")
    for each in (one, other):
        own = answers.loc[each]
        assert own[["smallest", "largest"]].tolist() == pytest.approx(
            own[["bound_lower", "bound_upper"]].tolist()
        )
    assert (statistics["OS", one] != statistics["OS", other]).any()


def test_bounds_are_a_table_of_what_the_search_found(cohorts, statistics):
    first = pd.DataFrame({"dose": [0.5, 1.0, 1.0], "infusions": [4.0, 4.0, 8.0]}, index=list(SIZES))
    designs = [("one", first), ("two", first.assign(dose=[0.5, 1.0, 3.0]))]
    wanted = [("PFS", "trend_p"), ("OS", "rmst B"), ("OS", "rate 99 all"), ("OS", "hr dose (firth)")]
    asked = [(endpoint, KNOWN[name]) for endpoint, name in wanted]
    bounds = bound_statistics(cohorts, asked, find=find_in_sample, designs=designs, tau=TAU, jobs=1)
    assert bounds.columns.tolist() == ["endpoint", "statistic", "lowest", "highest"]
    assert by_name(bounds)[["endpoint", "statistic"]].to_numpy().tolist() == [list(each) for each in wanted]
    trend, restricted, nobody, ratio = bounds[["lowest", "highest"]].to_numpy()
    for ends, column in ((trend, ("PFS", "trend_p")), (restricted, ("OS", "rmst B"))):
        assert ends == pytest.approx([statistics[column].min(), statistics[column].max()])
    some_died_out = calculate_statistics(cohorts, landmarks=(99,), n_draws=10)["OS", KNOWN["rate 99 all"]]
    assert nobody == pytest.approx([some_died_out.min(), some_died_out.max()], nan_ok=True)
    coef = calculate_hazard_ratios(cohorts, designs, methods=["firth"]).query(
        "endpoint == 'OS' and covariate == 'dose'"
    )["coef"]
    assert ratio == pytest.approx(np.exp([coef.min(), coef.max()]))


def test_a_statistic_that_no_cohort_has_has_no_bounds():
    alive = make_cohorts(np.ones((2, 1, 4)), np.zeros((2, 1, 4)), {"A": 2, "B": 2})
    bounds = bound_statistics(
        alive, [("OS", KNOWN["rate 24 all"]), ("OS", KNOWN["median all"])], find=find_in_sample
    )
    assert np.isnan(bounds.loc[0, ["lowest", "highest"]].to_numpy(float)).all()
    assert bounds.loc[1, ["lowest", "highest"]].tolist() == [np.inf, np.inf]


def test_the_bound_of_a_median_that_some_cohort_does_not_reach_is_open():
    times = np.array([[[2.0, 3, 4, 5]], [[2.0, 3, 4, 5]]])
    cohorts = make_cohorts(times, [[[1, 1, 1, 1]], [[1, 0, 0, 0]]], {"A": 2, "B": 2})
    bounds = bound_statistics(cohorts, [("OS", KNOWN["median all"])], find=find_in_sample, jobs=1)
    assert bounds.loc[0, ["lowest", "highest"]].tolist() == [3.5, np.inf]
