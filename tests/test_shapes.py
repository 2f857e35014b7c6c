"""Tables, tests and models of trials of any shape: one arm, an empty one, no plan, thousands of patients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from shapes import SHAPES, draw_shape
from trials import write_files

from nkhcc_helpers import cohort, cox, survival
from nkhcc_helpers.cox.likelihood import PartialLikelihood, lay_out_risk
from nkhcc_helpers.cox.models import MOST_DRAWN
from nkhcc_helpers.cox.relabelling import StratifiedScore, permute_covariate
from nkhcc_helpers.report import figures, tables
from nkhcc_helpers.report.results import format_json_value, write_csv
from nkhcc_helpers.survival.logrank import RiskSets
from nkhcc_helpers.survival.permutation import _permute_score
from nkhcc_helpers.trial import load_trial


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    return lambda files: load_trial(write_files(tmp_path_factory.mktemp("shape"), files), warn=False)


@pytest.fixture(scope="module")
def with_empty(load):
    return load(SHAPES["empty_arm"]())


@pytest.fixture(scope="module")
def many():
    """Six hundred patients of five groups, tied times, some entering late, in three strata."""
    rng = np.random.default_rng(3)
    group = rng.integers(0, 5, 600)
    time = 1 + np.round(rng.exponential(30 + 5 * group))
    enter = np.where(rng.random(600) < 0.3, np.floor(time * rng.random(600)), 0)
    return {"time": time, "event": rng.random(600) < 0.8, "group": group, "enter": enter} | {
        "strata": rng.integers(0, 3, 600)
    }


@pytest.mark.parametrize("sizes", [[12], [3, 6], [1, 3, 3, 6, 2, 4, 5], [8, 10, 12, 10], [3, 0, 6, 4]])
def test_every_shape_has_its_tables(load, sizes):
    trial = load(draw_shape(sizes))
    frame = trial.survival("PFS")
    summary = survival.summarize_survival(frame)
    assert summary["n"].tolist() == [*sizes, sum(sizes)]
    overall = survival.compare_survival(frame["time"], frame["event"], frame["group"], n_draws=99)
    assert overall.df == sum(size > 0 for size in sizes) - 1
    shown = [(summary, {}), (overall, {"endpoint": "PFS"}), (cohort.count_disposition(trial), {})]
    for result, options in shown:
        tables.format_result(
            result, trial, **({"endpoint": "PFS"} | options if result is not shown[2][0] else {})
        )


def test_a_group_without_patients_shows_none(with_empty):
    frame = with_empty.survival("OS")
    row = survival.summarize_survival(frame).set_index("group").loc["B"]
    assert row["n"] == row["n_events"] == 0
    assert np.isnan(row["median"])
    assert not row["open_ended"]
    rates = survival.summarize_survival_at(frame, at=[6, 12]).query("group == 'B'")
    assert rates["time"].tolist() == [6, 12]
    assert rates["n_at_risk"].tolist() == [0, 0]
    means = survival.summarize_rmst(frame, tau=12).query("group == 'B'")
    assert means["n"].tolist() == [0]
    assert means["estimate"].isna().all()
    assert (survival.count_at_risk_table(frame, at=[0, 6]).query("group == 'B'")["n_at_risk"] == 0).all()


def test_a_comparison_names_the_group_it_leaves_out(with_empty):
    frame = with_empty.survival("OS")
    compared = survival.compare_survival(frame["time"], frame["event"], frame["group"], n_draws=0)
    told = tables.format_result(compared, with_empty, endpoint="OS").as_raw_html()
    assert compared.df == 2
    assert "Without patients, and left out: Dose level 2." in told
    data = cox.code_trial(with_empty, "OS")
    fits = cox.summarize_models(data, {"Each": ["group C", "group D"]}, n_draws=0)
    assert "left out: Dose level 2." in tables.format_result(fits, with_empty, endpoint="OS").as_raw_html()


def test_an_empty_group_has_its_place_under_the_curves(with_empty):
    frame = with_empty.survival("OS")
    curves, counts = survival.estimate_km_by_group(frame), survival.count_at_risk_table(frame, at=[0, 12])
    medians, labels = survival.summarize_survival(frame), with_empty.group_labels
    axes = figures.plot_km(curves, counts, medians, labels, "months", "OS")
    assert [text.get_text() for text in axes.get_legend().get_texts()][1] == "Dose level 2\nmedian NE"


def test_without_a_plan_nothing_is_asked_of_it(load):
    trial = load(draw_shape([3, 5, 6, 4], doses=False))
    assert trial.subjects[["dose", "planned_infusions"]].isna().all(axis=None)
    data = cox.code_trial(trial, "PFS")
    assert data.options["unknown"] == ("dose", "infusions", "cumulative")
    assert "group B" in data
    assert not {"dose", "infusions", "cumulative"} & set(data)
    counted = cohort.summarize_exposure(trial)
    assert counted["n_completed"].isna().all()
    assert counted["planned_infusions"].isna().all()
    received = cox.fit_received(trial, "PFS").set_index("fit")["hr"]
    assert received.notna().to_dict() == {name: name in ("received", "so far") for name in received.index}
    assert "not known" in cox.simulate_immortal_time(trial, "PFS", n_trials=2).options["why_not"]


def test_one_plan_that_is_not_known_takes_the_covariate_away(load):
    files = draw_shape([3, 5, 4])
    del files.metadata["arms"][1]["dose"]
    data = cox.code_trial(load(files), "PFS")
    assert data.options["unknown"] == ("dose", "cumulative")
    assert "infusions" in data


def test_counts_in_order_of_time_are_those_of_the_matrix(many):
    risk = RiskSets.of(many["time"], many["event"])
    plain = dataclasses.replace(risk, latest_first=None)
    dealt = np.random.default_rng(1).permuted(np.tile(many["group"], (30, 1)), axis=1)
    assert risk.latest_first is not None
    np.testing.assert_allclose(risk.calculate_chi_square(dealt), plain.calculate_chi_square(dealt))
    scores = np.arange(5.0)
    np.testing.assert_allclose(risk.calculate_trend(dealt, scores), plain.calculate_trend(dealt, scores))


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("continuous", [False, True])
def test_risk_sets_in_order_are_those_of_the_matrix(many, ties, late, stratified, continuous):
    x = np.column_stack([many["group"], many["strata"] == 1]).astype(float)
    x = x + np.random.default_rng(2).normal(size=x.shape) if continuous else x
    enter, strata = many["enter"] if late else None, many["strata"] if stratified else None
    times, enters = lay_out_risk(many["time"][None], enter, strata)
    both = (
        PartialLikelihood.of(times, many["event"][None], x[None], ties, enters, most_pairs=most).evaluate(
            np.array([[-0.2, 0.3]]), firth=True
        )
        for most in (0, np.inf)
    )
    for ordered, matrix in zip(*(vars(each).values() for each in both), strict=True):
        np.testing.assert_allclose(ordered, matrix, rtol=1e-9, atol=1e-9)


def test_many_patients_are_exchanged_as_few_are(many):
    x = np.column_stack([many["group"], many["strata"]]).astype(float)
    for enter in (None, many["enter"]):
        test = StratifiedScore.of_trial(many["time"], many["event"], x, 0, enter)
        expected = test.exchange_p(1_000, np.random.default_rng(5))[0]
        got = permute_covariate(many["time"], many["event"], x, 0, n_draws=1_000, time_enter=enter)
        assert got.p_value == pytest.approx(expected, abs=0.04)


def test_what_is_too_large_steps_aside_by_name(load):
    trial = load(draw_shape([MOST_DRAWN // 2 + 1] * 2, n_events=0))
    data = cox.code_trial(trial, "OS")
    models = {"Each": ["group B"]}
    fits = cox.summarize_models(data, models, n_draws=200)
    assert fits["exact_lower"].isna().all()
    assert fits["p_permutation"].notna().all()
    attained = cox.attained_in_trial(data, models, fits)
    compared = cox.compare_models(data, models)
    assert compared["p_permutation"].isna().all()
    assert compared["p_value"].notna().all()
    for result in (fits, attained, compared):
        assert "for more than" in tables.format_result(result, trial, endpoint="OS").as_raw_html()
    assert cox.leave_one_out(data, ["group B"]).empty
    pairs = survival.compare_pairs(data["time"], data["event"], data["group"], n_draws=500)
    assert pairs["p_exact"].isna().all()
    assert pairs["p_holm"].equals(pairs["p_permutation"])
    assert "permuted" in tables.format_result(pairs, trial, endpoint="OS").as_raw_html()
    size = survival.attained_size([800, 200], n_trials=2)
    assert "1,000 patients" in tables.format_result(size, trial).as_raw_html()


def test_the_permuted_p_of_a_pair_is_close_to_the_exact_one():
    rng = np.random.default_rng(4)
    time, group = rng.permutation(22) + 1, np.repeat(["a", "b"], 11)
    event = rng.random(22) < 0.8
    pair = survival.compare_pairs(time, event, group).iloc[0]
    p_value, error = _permute_score({"time": time, "event": event}, group == "b", "logrank", 20_000, 1)
    assert abs(p_value - pair["p_exact"]) < 5 * error


def test_a_number_that_no_float_holds_is_written_short(tmp_path):
    table = survival.summarize_comparisons(
        {
            "Overall": survival.compare_survival(
                np.arange(1, 2001), np.ones(2000), np.arange(2000) % 8, n_draws=0, exact=False
            )
        }
    )
    path = write_csv(pd.DataFrame(table), tmp_path / "tests.csv")
    assert " x 10^" in path.read_text("utf-8")
    assert repr(table)
    assert " x 10^" in format_json_value(10**5000)
