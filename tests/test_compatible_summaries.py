from pathlib import Path

import compatible_frames as made
import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from claimed_trials import SMALL
from hand_cohorts import by_name, draw_cohorts

from nkhcc_helpers import identification
from nkhcc_helpers.compatible import claims as claims_module
from nkhcc_helpers.compatible import cohorts as cohorts_module
from nkhcc_helpers.compatible.checks import recheck_claims
from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import make_cohorts
from nkhcc_helpers.identification import bounds as bounds_module
from nkhcc_helpers.identification import narrowing as narrowing_module
from nkhcc_helpers.identification.statistics import Statistic
from nkhcc_helpers.report import names as names_module
from nkhcc_helpers.run.parameters import read_parameters
from nkhcc_helpers.trial.claims import CohortAssumptions, Median

# Summaries


def test_claims_and_assumptions_as_numbers():
    claimed = made.make_claimed()
    claims = claims_module.list_claims(claimed)
    assert claims.iloc[0].tolist()[:4] == ["group_size", None, "A", 3]
    median = claims[(claims["kind"] == "median") & (claims["group"] == "A")].iloc[0]
    assert median[["lowest", "highest"]].tolist() == pytest.approx([2.95, 3.05])
    assumed = claims_module.list_assumptions(claimed).set_index("assumption")
    assert assumed.loc["prior", "value"] == "log_uniform"
    assert assumed.loc["censored most"].tolist() == ["PFS", "2"]


def test_ratios_of_the_first_design_stand_beside_the_statistics():
    rows = [
        ("OS", design, method, "dose", cohort, coef + cohort)
        for design, coef in (("first", 0.0), ("second", 5.0))
        for method in ("firth", "partial")
        for cohort in range(3)
    ]
    ratios = pd.DataFrame(rows, columns=["endpoint", "design", "method", "covariate", "cohort", "coef"])
    spread = identification.spread_ratios(ratios)
    assert spread.columns.tolist() == [("OS", Statistic("hr", covariate="dose", method="firth"))]
    assert spread.iloc[:, 0].tolist() == pytest.approx(np.exp([0, 1, 2]).tolist())
    assert identification.spread_ratios(ratios.head(0)).shape[1] == 0


def test_sides_of_hazard_ratios():
    names = {"dose": "Dose", "infusions": "Infusions"}
    signs = made.make_signs()
    counted = identification.count_sides(signs, names)
    assert counted.loc["PFS"].tolist() == [16, 4, 0, 12, ["Dose", "Infusions"]]
    settled = identification.count_sides(signs[signs["design"] == made.DESIGNS[0]], names)
    assert settled.loc["OS"].tolist() == [4, 4, 0, 0, []]


def test_statistics_that_fall_short():
    diagnosed = made.make_diagnosed()
    counted = identification.count_trusted(diagnosed)
    assert counted == {"n_varying": 1, "n_small": 0, "n_r_hat": 0, "n_starts": 0}
    poor = diagnosed.assign(effective_size=50.0, r_hat=1.2, starts_differ=-8.0)
    assert list(identification.count_trusted(poor).values()) == [2, 2, 2, 2]


def test_verdicts_by_endpoint():
    conclusions = made.make_conclusions()
    labels = {each: each.name.upper() for each in conclusions["statistic"]}
    found = identification.gather_verdicts(conclusions, labels)
    assert found.loc["PFS", "in_all"] == ["PERMUTATION_P"]
    assert found.loc["PFS", "in_some"] == ["TREND_P", "HR INFUSIONS (PARTIAL)"]
    assert found.loc["PFS", "in_none"] == ["PAIR_P B-A"]


def test_the_claim_that_widens_most():
    narrowing = made.make_narrowing()
    at = narrowing.index[(narrowing["statistic"] == made.AIMS[0]) & (narrowing["claim"] != "")][2]
    narrowing.loc[at, "width_ratio"] = 7.0
    labels = {each: each.upper() for each in narrowing["claim"]}
    found = identification.find_most_telling(narrowing, labels)
    assert found.loc["PFS"].tolist() == [labels[narrowing.loc[at, "claim"]], 7.0]
    assert identification.find_most_telling(narrowing, labels, "trend_p").empty


def test_nothing_is_sampled_where_no_cohorts_are_asked_for():
    table = identification.obtain_narrowing(None, made.make_claimed(), ["PFS"], n_cohorts=0)
    assert table.empty
    assert {"endpoint", "claim", "statistic", "width_ratio"} <= set(table)


def test_the_most_telling_candidates_come_first():
    ranked = made.make_candidates()
    ranked.loc[ranked["candidate"] == Statistic("rate", "B", at=12), "share_covered"] = 0.2
    picked = identification.pick_candidates(ranked, most=2)
    assert by_name(picked)["candidate"].drop_duplicates().tolist() == ["rate 12 all", "rate 12 A"]
    assert picked["mean_left"].is_monotonic_increasing


# Cohorts obtained


def make_tiny():
    claim = Median(kind="median", endpoint="OS", value=3, decimals=0)
    assumed = CohortAssumptions(recorded_unit="months", shortest=1, longest=6, prior="uniform")
    return ClaimedTrial({"A": 3}, ("OS",), (claim,), assumed, "months")


def test_cohorts_are_sampled_where_none_are_stored(tmp_path):
    trial = frames.make_trial()
    trial.source = tmp_path
    cohorts, file = cohorts_module.obtain_cohorts(trial, make_tiny(), n_cohorts=5, seed=1, effort=SMALL)
    assert (len(cohorts), file) == (5, "")
    assert (recheck_claims(cohorts)["n_met"] == 5).all()


def test_statistics_have_names_for_readers():
    trial = frames.make_trial()
    names = names_module.list_statistic_labels(made.list_statistics(), trial)
    assert names[Statistic("pair_p", "B", "A")] == "A: low dose x 4 against B: normal dose x 4"
    assert not any("_" in name for name in names.values())


def store(tmp_path, claimed, n_cohorts=8):
    trial = frames.make_trial()
    trial.source = tmp_path
    make_cohorts(claimed, tmp_path, n_cohorts=n_cohorts, seed=3, jobs=1, effort=SMALL)
    return trial


def test_stored_cohorts_are_taken_where_they_fit(tmp_path):
    claimed = make_tiny()
    trial = store(tmp_path, claimed)
    cohorts, file = cohorts_module.obtain_cohorts(trial, claimed, n_cohorts=3, seed=1)
    assert (len(cohorts), file, cohorts.seed) == (3, "compatible.parquet", 3)
    assert set(cohorts.block) == {0, 1}
    more, _ = cohorts_module.obtain_cohorts(trial, claimed, n_cohorts=30, seed=1)
    assert len(more) == 8
    others = claimed.assume(longest=5)
    cohorts, file = cohorts_module.obtain_cohorts(trial, others, n_cohorts=3, seed=1, effort=SMALL)
    assert (len(cohorts), file, cohorts.seed) == (3, "", 1)
    with pytest.raises(ValueError, match="other claims or assumptions"):
        cohorts_module.obtain_cohorts(trial, others, tmp_path / "compatible.parquet", n_cohorts=3, seed=1)


def test_stored_bounds_are_taken_where_they_fit(tmp_path):
    claimed, trial = make_tiny(), frames.make_trial()
    trial.source = tmp_path
    assert bounds_module.obtain_bounds(trial, claimed).empty
    bounds = pd.DataFrame([("OS", Statistic("rmst"), 1.5, 4.5)], columns=bounds_module.BOUNDS)
    bounds_module.store_table(tmp_path / bounds_module.BOUNDS_FILE, [(claimed, bounds)])
    pd.testing.assert_frame_equal(bounds_module.obtain_bounds(trial, claimed), bounds)
    assert bounds_module.obtain_bounds(trial, claimed.assume(longest=5)).empty


def test_statistics_that_share_a_name_are_neither_written_nor_read(tmp_path):
    trial = frames.make_trial()
    trial.source, path = tmp_path, tmp_path / bounds_module.BOUNDS_FILE
    claimed = draw_cohorts(1, {"B-A": 2, "A": 2, "A-B": 2}, seed=1).claimed
    pairs = [Statistic("pair_p", "A", "B-A"), Statistic("pair_p", "A-B", "A")]
    both = pd.DataFrame({"endpoint": "OS", "statistic": pairs, "lowest": 0.1, "highest": 0.2})
    with pytest.raises(ValueError, match=r"'pair_p A-B-A' would be .*: rename a group"):
        bounds_module.store_table(path, [(claimed, both)])
    assert not path.exists()
    bounds_module.store_table(path, [(claimed, both.head(1))])
    with pytest.raises(ValueError, match="rename a group"):
        bounds_module.obtain_bounds(trial, claimed)


# Narrowing stored


def test_stored_narrowing_is_taken_where_it_fits_and_measured_where_not(tmp_path):
    claimed, trial = make_tiny(), frames.make_trial()
    trial.source = tmp_path
    made = {"n_cohorts": 12, "seed": 4, "effort": SMALL, "jobs": 1}
    narrowing_module.make_narrowing(claimed, tmp_path, **made)
    stored = identification.obtain_narrowing(trial, claimed, ["OS"], n_cohorts=12, seed=4, watch=pytest.fail)
    assert stored["claim"].unique().tolist() == ["", "median OS: 3"]
    assert {each.kind for each in stored["statistic"]} == {"rate", "rmst"}
    told = []
    again = identification.obtain_narrowing(
        trial, claimed.assume(longest=7), ["OS"], **made, watch=lambda *each: told.append(each)
    )
    assert told[0][:2] == (0, 24)
    assert told[0][2] > 0
    assert [each[:2] for each in told[1:]] == [(6, 24), (12, 24), (18, 24), (24, 24)]
    assert told[-1][2] == 0
    assert list(again) == list(stored)
    (tmp_path / narrowing_module.NARROWING_FILE).unlink()
    measured = identification.obtain_narrowing(trial, claimed, ["OS"], **made)
    pd.testing.assert_frame_equal(measured, stored, check_exact=True)


@pytest.mark.no_cover
def test_what_is_stored_with_the_bundled_trial_is_measured_again(bundled_trial):
    trial = bundled_trial
    claimed = ClaimedTrial.of(trial.published, trial.metadata)
    both = identification.obtain_narrowing(trial, claimed, claimed.endpoints, watch=pytest.fail)
    alone = identification.obtain_narrowing(trial, claimed, ["OS"], watch=pytest.fail)
    assert both["claim"].nunique() == 1 + len(claimed.claims)
    assert alone["lower"].tolist() == both.loc[both["endpoint"] == "OS", "lower"].tolist()
    # The one sample that is quickest to draw.
    variants = narrowing_module.list_variants(claimed.only("PFS"))
    without = [each for each in variants if each.dropped.startswith("log-rank P")]
    (sample,) = narrowing_module.draw_variants(
        without, narrowing_module.N_COHORTS, narrowing_module.SEED, jobs=1
    )
    found = narrowing_module.calculate_aims(sample)["PFS"]
    rows = both[both["claim"] == without[0].dropped].set_index("statistic")
    assert len(rows) == len(narrowing_module.AIMS)
    for statistic, row in rows.iterrows():
        limits = found[statistic].quantile(narrowing_module.LIMITS, interpolation="nearest")
        assert limits.tolist() == [row["lower"], row["upper"]]


def test_the_notebook_asks_for_what_is_stored():
    notebook = Path(__file__).parent.parent / "notebooks" / "05_what_the_abstract_can_tell.ipynb"
    known = read_parameters(notebook)
    asked = known["n_side"].default, known["seed"].default
    assert asked == (narrowing_module.N_COHORTS, narrowing_module.SEED)
