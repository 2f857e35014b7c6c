"""Ranges, verdicts and telling candidates, on statistics made by hand; claims dropped and added."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from claimed_trials import SMALL
from hand_cohorts import by_name, draw_cohorts

from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import sample_compatible
from nkhcc_helpers.identification.answers import ANSWERS, CONCLUSIONS, judge_conclusions, summarize_answers
from nkhcc_helpers.identification.narrowing import (
    CANDIDATES,
    NARROWING,
    drop_claims,
    rank_candidates,
)
from nkhcc_helpers.identification.statistics import (
    NOT_REACHED,
    Statistic,
    calculate_hazard_ratios,
    calculate_statistics,
    list_ratios,
    list_statistics,
)
from nkhcc_helpers.trial.claims import CohortAssumptions, LongestFollowUp, Median

SIZES = {"A": 2, "B": 2}
KNOWN = {each.name: each for each in (*list_statistics(tuple("AB"), (6, 12, 24)), *list_ratios())}


def hold(statistics):
    """A frame of statistics, (endpoint, name) to values."""
    columns = {(endpoint, KNOWN[name]): values for (endpoint, name), values in statistics.items()}
    frame = pd.DataFrame(columns).rename_axis("cohort")
    return frame.rename_axis(["endpoint", "statistic"], axis=1)


def make_ratios(ratios, *, covariate="dose", method="firth", endpoint="OS"):
    """Hazard ratios of cohorts, by design."""
    rows = [
        (endpoint, design, method, covariate, cohort, np.log(ratio))
        for design, values in ratios.items()
        for cohort, ratio in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["endpoint", "design", "method", "covariate", "cohort", "coef"])


def find_row(table, **wanted):
    table = by_name(table)
    (row,) = table[(table[list(wanted)] == list(wanted.values())).all(axis=1)].itertuples()
    return row


def test_answers_are_quantiles_extremes_and_bounds():
    cohorts = draw_cohorts(41, SIZES, seed=1)
    values = np.random.default_rng(1).permutation(np.arange(41.0))
    unknown = np.where(values < 20, np.nan, values)
    statistics = hold(
        {
            ("OS", name): unknown if name != "longest" else values
            for name in ("longest", "rate 12 A", "median A")
        }
    )
    bounds = pd.DataFrame(
        {"endpoint": ["OS"], "statistic": [KNOWN["longest"]], "lowest": [-3], "highest": [50]}
    )
    table = summarize_answers(cohorts, statistics, bounds=bounds)
    assert table.columns.tolist() == ANSWERS
    longest = find_row(table, statistic="longest")
    assert longest[3:10] == pytest.approx((20, 1, 39, 0, 40, -3, 50))
    assert longest.share_known == 1
    # Every cohort is of a chain of its own.
    assert longest.effective_size == pytest.approx(41)
    assert 0.8 < longest.r_hat < 1.5
    rate = find_row(table, statistic="rate 12 A")
    assert (rate.smallest, rate.largest, rate.share_known) == (20, 40, 21 / 41)
    assert np.isnan([rate.bound_lower, rate.bound_upper]).all()
    # A median that is not reached is later than any.
    median = find_row(table, statistic="median A")
    assert (median.smallest, median.lower, median.median) == (20, 21, 40)
    assert (median.upper, median.largest, median.share_known) == (np.inf, np.inf, 21 / 41)
    assert median.effective_size == pytest.approx(41)
    narrower = summarize_answers(cohorts, statistics, share=0.5)
    assert find_row(narrower, statistic="longest")[4:6] == pytest.approx((10, 30))


def test_cohorts_of_one_chain_count_less():
    values = np.repeat([1.0, 2.0, 4.0, 8.0], 10)
    cohorts = draw_cohorts(40, SIZES, seed=1, chain=np.repeat(range(4), 10))
    table = summarize_answers(cohorts, hold({("OS", "longest"): values}))
    assert table["effective_size"].item() == pytest.approx(4)


@pytest.mark.parametrize(
    ("p_values", "bound", "verdict", "share"),
    [
        ([0.01, 0.02], None, "holds in all", 1),
        ([0.01, 0.02], (0.005, 0.049), "holds in all", 1),
        ([0.01, 0.02], (0.005, 0.06), "holds in some", 1),
        ([0.01, 0.05], None, "holds in some", 0.5),
        ([0.05, 0.3], None, "holds in none", 0),
        ([0.05, 0.3], (0.04, 0.5), "holds in some", 0),
        # An estimate that exists in no cohort, or not in all, is no evidence.
        ([0.01, np.nan], None, "holds in some", 0.5),
        ([np.nan, np.nan], None, "not estimable", 0),
        ([np.nan, np.nan], (0.04, 0.5), "holds in some", 0),
    ],
)
def test_verdicts_on_p_values(p_values, bound, verdict, share):
    cohorts = draw_cohorts(2, SIZES, seed=1)
    statistics = hold(
        {("OS", name): p_values for name in ("permutation_p", "trend_p", "pair_p B-A", "longest")}
    )
    bounds = None
    if bound:
        bounds = pd.DataFrame(
            [("OS", KNOWN["trend_p"], *bound)], columns=["endpoint", "statistic", "lowest", "highest"]
        )
    table = judge_conclusions(cohorts, statistics, make_ratios({"d": [0.5, 0.5]}), bounds=bounds)
    assert table.columns.tolist() == CONCLUSIONS
    names = ["permutation_p", "trend_p", "pair_p B-A", "hr dose (firth)"]
    assert table["statistic"].tolist() == [KNOWN[each] for each in names]
    row = find_row(table, statistic="trend_p")
    assert (row.verdict, row.share) == (verdict, share)
    ends = [*p_values, *(bound or ())]
    if np.isfinite(ends).any():
        assert (row.lowest, row.highest) == (np.nanmin(ends), np.nanmax(ends))
    else:
        assert np.isnan([row.lowest, row.highest]).all()


def test_conclusions_are_judged_at_the_level_asked_for():
    cohorts = draw_cohorts(2, SIZES, seed=1)
    statistics = hold({("OS", "permutation_p"): [0.02, 0.03]})
    none = make_ratios({})
    verdicts = [
        judge_conclusions(cohorts, statistics, none, alpha=at)["verdict"].item() for at in (0.01, 0.03, 0.04)
    ]
    assert verdicts == ["holds in none", "holds in some", "holds in all"]


@pytest.mark.parametrize(
    ("ratios", "verdict", "share"),
    [
        ({"one": [0.2, 0.9], "two": [0.5, 0.5]}, "holds in all", 1),
        ({"one": [0.2, 0.9], "two": [0.5, 1.5]}, "holds in some", 0.75),
        ({"one": [1.0, 2.0], "two": [3.0, 4.0]}, "holds in none", 0),
        ({"one": [0.2, np.nan], "two": [0.5, 0.5]}, "holds in some", 0.75),
    ],
)
def test_verdicts_on_hazard_ratios_are_over_all_designs(ratios, verdict, share):
    cohorts = draw_cohorts(2, SIZES, seed=1)
    two = pd.concat([make_ratios(ratios), make_ratios(ratios, covariate="infusions")])
    table = judge_conclusions(cohorts, hold({("OS", "longest"): [1, 2]}), two)
    assert table["conclusion"].tolist() == ["dose matters beyond infusions", "infusions matter beyond dose"]
    for row in table.itertuples():
        assert (row.verdict, row.share) == (verdict, share)
        everything = np.concatenate(list(ratios.values()))
        assert [row.lowest, row.highest] == pytest.approx([np.nanmin(everything), np.nanmax(everything)])


def test_bounds_of_hazard_ratios_widen_them():
    cohorts = draw_cohorts(2, SIZES, seed=1)
    bounds = pd.DataFrame(
        [("OS", KNOWN["hr dose (firth)"], 0.1, 1.2)], columns=["endpoint", "statistic", "lowest", "highest"]
    )
    table = judge_conclusions(
        cohorts, hold({("OS", "longest"): [1, 2]}), make_ratios({"one": [0.2, 0.9]}), bounds=bounds
    )
    assert table["conclusion"].item() == "dose matters"
    assert table[["lowest", "highest", "share", "verdict"]].to_numpy().tolist() == [
        [0.1, 1.2, 1, "holds in some"]
    ]


def test_conclusions_of_any_trial_are_judged():
    cohorts = draw_cohorts(8, {"A": 3, "B": 3, "C": 3}, seed=2, endpoints=("X", "Y"))
    design = pd.DataFrame({"dose": [1.0, 2.0, 2.0], "infusions": [1.0, 1.0, 2.0]}, index=list("ABC"))
    ratios = calculate_hazard_ratios(cohorts, [("base", design)])
    table = judge_conclusions(cohorts, calculate_statistics(cohorts, n_draws=10), ratios)
    assert table.groupby("endpoint").size().to_dict() == {"X": 9, "Y": 9}
    assert (table["lowest"] <= table["highest"]).all()


def test_numbers_are_rounded_as_printed():
    pair = Statistic("pair_p", "B", "A")
    assert pair.print_rounded([0.0403, 0.00085, 0.999, np.nan]).tolist() == pytest.approx(
        [0.04, 0.00085, 1.0, NOT_REACHED]
    )
    assert Statistic("rate", at=12).print_rounded([66.7, np.nan, 0.0]).tolist() == [67, NOT_REACHED, 0]
    assert Statistic("median", "A").print_rounded([4.84, np.nan]).tolist() == [4.8, NOT_REACHED]
    assert Statistic("n_censored").print_rounded([3.0]).tolist() == [3]


def test_a_candidate_that_settles_and_one_that_tells_nothing():
    rng = np.random.default_rng(3)
    target = rng.integers(0, 10, 2_000).astype(float)
    statistics = hold(
        {
            ("OS", "trend_p"): target,
            ("OS", "rate 12 all"): 10 * target,
            ("OS", "rate 24 all"): rng.integers(0, 100, 2_000).astype(float),
            ("OS", "median A"): np.arange(2_000.0),
            ("OS", "longest"): np.ones(2_000),
        }
    )
    table = rank_candidates(statistics, ["trend_p", "longest"], ["median", "rate", "trend_p", "unheard of"])
    assert table.columns.tolist() == CANDIDATES
    table = by_name(table)
    about = table[table["target"] == "trend_p"]
    assert about["candidate"].tolist() == ["rate 12 all", "rate 24 all", "median A"]
    settles, tells_nothing, too_fine = about[["spread_left", "sd_left", "share_covered"]].to_numpy()
    assert settles.tolist() == pytest.approx([0, 0, 1])
    # About 20 cohorts print alike: their range is compared with that of 20 others, not with that of 2,000.
    assert tells_nothing == pytest.approx([1, 1, 1], abs=0.03)
    assert np.isnan(too_fine[:2]).all()
    assert too_fine[2] == 0
    assert table[table["target"] == "longest"]["spread_left"].isna().all()


def test_expected_range_is_that_over_all_samples():
    values, printed = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 65.0], [1, 1, 1, 1, 1, 1, 2, 2]
    statistics = hold({("OS", "trend_p"): values, ("OS", "n_censored"): printed})
    expected = np.mean([np.ptp(each) for each in combinations(values, 6)])
    row = find_row(rank_candidates(statistics, ["trend_p"], ["n_censored"]), candidate="n_censored")
    assert row.spread_left == pytest.approx(31 / expected)
    assert row.sd_left == pytest.approx(np.std(values[:6], ddof=1) / np.std(values, ddof=1))
    assert row.share_covered == 6 / 8


def test_one_cohort_of_each_chain_is_ranked():
    chain = np.repeat(range(10), 6)
    target = np.repeat(np.random.default_rng(1).random(10), 6)
    statistics = hold({("OS", "trend_p"): target, ("OS", "n_censored"): chain})
    naive = rank_candidates(statistics, ["trend_p"], ["n_censored"])
    assert naive["spread_left"].item() == pytest.approx(0)
    thinned = rank_candidates(statistics, ["trend_p"], ["n_censored"], chain={"OS": chain})
    assert np.isnan(thinned["spread_left"].item())


@pytest.fixture(scope="module")
def claimed():
    medians = [
        Median(kind="median", endpoint="OS", group=group, value=value, decimals=0)
        for group, value in (("A", 3.0), ("B", 6.0))
    ]
    assumptions = CohortAssumptions(recorded_unit="months", shortest=1, longest=12, prior="uniform")
    other = Median(kind="median", endpoint="PFS", value=2.0, decimals=0)
    return ClaimedTrial(
        {"A": 3, "B": 3}, ("PFS", "OS"), (*medians, other), assumptions, "months", ("PFS", "OS")
    )


def calculate(cohorts):
    kept = ["median all", "median A", "median B", "rate 12 B", "rate 6 all"]
    table = calculate_statistics(cohorts, n_draws=10, landmarks=(6, 12))
    return table.loc[:, [each.name in kept for _, each in table]]


def test_one_endpoint_is_kept_with_its_claims(claimed):
    last = LongestFollowUp(kind="longest_follow_up", value=12, decimals=0, unit="months")
    both = claimed.keep([*claimed.claims, last])
    assert both.only("OS").claims == (*claimed.claims[:2], last)
    assert both.only("PFS").claims == claimed.claims[2:]
    assert both.only("PFS").ordered is None
    assert both.only("PFS").endpoints == ("PFS",)
    assert both.only("OS").claims_about("OS") == list(both.only("OS").claims)


@pytest.mark.no_cover
def test_dropped_claims_widen_the_answers(claimed):
    table = drop_claims(claimed, calculate, n_cohorts=40, jobs=1, effort=SMALL)
    assert table.columns.tolist() == NARROWING
    about = by_name(table[table["endpoint"] == "OS"]).set_index(["claim", "statistic"])
    claims = ["", "median OS, group A: 3", "median OS, group B: 6"]
    assert about.index.unique(0).tolist() == claims
    without = about.loc["median OS, group A: 3"]
    assert about.loc[("", "median A"), ["lower", "upper"]].tolist() == [3, 3]
    assert np.isnan(without.loc["median A", "width_ratio"])
    assert without.loc["median A", "upper"] - without.loc["median A", "lower"] > 4
    assert without.loc["median B", ["lower", "upper"]].tolist() == [6, 6]
    width = about["upper"] - about["lower"]
    expected = width.loc["median OS, group A: 3", "median all"] / width.loc["", "median all"]
    assert without.loc["median all", "width_ratio"] == pytest.approx(expected)
    assert about.loc["", "width_ratio"].dropna().eq(1).all()
    known = about.drop(index="", level="claim").dropna(subset="width_ratio")
    assert (known["ratio_lower"] < known["ratio_upper"]).any()
    inside = known["width_ratio"].between(known["ratio_lower"], known["ratio_upper"])
    assert inside.all(), known
    assert table[table["endpoint"] == "PFS"]["claim"].unique().tolist() == ["", "median PFS: 2"]


def test_sampled_cohorts_are_answered_from_end_to_end(claimed):
    cohorts = sample_compatible(claimed, n_cohorts=200, jobs=1, effort=SMALL)
    statistics = calculate_statistics(cohorts, landmarks=(6,))
    answers = summarize_answers(cohorts, statistics)
    for endpoint, statistic, value in (
        ("OS", "median A", 3),
        ("OS", "median B", 6),
        ("PFS", "median all", 2),
    ):
        row = find_row(answers, endpoint=endpoint, statistic=statistic)
        # Claims hold by one of the conventions; here it is the midpoint.
        assert row.smallest <= value <= row.largest
        assert row.largest - row.smallest <= 4
    assert find_row(answers, endpoint="OS", statistic="longest").share_known == 1
    design = pd.DataFrame({"dose": [1.0, 2.0]}, index=["A", "B"])
    ratios = calculate_hazard_ratios(cohorts, [("base", design)], methods=["firth"])
    verdicts = judge_conclusions(cohorts, statistics, ratios, alpha=0.2)
    row = find_row(verdicts, endpoint="OS", statistic="permutation_p")
    p_values = statistics["OS", KNOWN["permutation_p"]]
    assert row.share == (p_values < 0.2).mean()
    assert 0 < row.share < 1
    assert (row.lowest, row.highest, row.verdict) == (p_values.min(), p_values.max(), "holds in some")
    assert find_row(verdicts, endpoint="OS", statistic="hr dose (firth)").share > 0.5
