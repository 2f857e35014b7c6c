"""Notebook 02 on trials with one arm, late entry, strata, a competing event, times of 0, or long labels."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from executing import execute_here, read_visible
from trials import write_trial

pytestmark = [pytest.mark.no_cover, pytest.mark.filterwarnings("ignore::UserWarning")]

NAME = "02_survival_by_group"
PATH = Path(__file__).parent.parent / "notebooks" / f"{NAME}.ipynb"
WORDS = "Patients with recurrent disease after transplantation, "


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Function that runs the notebook on a changed trial and returns text, results and drawings."""
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)

    def run_on(parameters=(), **changes):
        folder = write_trial(tmp_path / "trial", published=None, **changes)
        given = {"n_draws": 100, **dict(parameters)}
        shown = execute_here(PATH, data_dir=str(folder), out_dir=str(tmp_path / "out"), **given)
        results = json.loads((tmp_path / "out" / "results" / f"{NAME}.json").read_text("utf-8"))
        drawn = {path.stem: path.read_text("utf-8") for path in (tmp_path / "out").rglob("*.svg")}
        visible = re.sub(r"\s+", " ", " ".join(map(read_visible, shown.html)))
        assert re.findall(r"(?<![\w-])(?:nan|inf)(?![\w-])|\bNE times\b|of NE becomes", visible) == []
        return visible, results, drawn

    return run_on


def keep_one_arm(metadata):
    return metadata | {"arms": [arm for arm in metadata["arms"] if arm["code"] == "C"]}


def of_arm(frame):
    patients = [f"S-{number:02d}" for number in (3, 7, 11, 14, 17, 18)]
    return frame[frame["USUBJID"].isin(patients)]


def test_one_arm_has_what_one_group_allows(run):
    tables = dict.fromkeys(("adsl", "adtte", "adex", "adae"), of_arm)
    visible, results, drawn = run(metadata=keep_one_arm, **tables)
    assert {"km_curves", "null_distribution"} <= set(drawn)
    assert len(results["tables"]["medians"]["rows"]) == 2
    assert results["tables"]["pairs"]["rows"] == []
    assert visible.count("that needs two groups") >= 4
    assert "Pairs: 0." in visible


def test_a_time_of_0_is_a_step_at_0(run):
    def edit(adtte):
        first = (adtte["USUBJID"] == "S-01") & (adtte["PARAMCD"] == "PFS")
        second = (adtte["USUBJID"] == "S-05") & (adtte["PARAMCD"] == "PFS")
        adtte.loc[first | second, "AVAL"] = "0"
        adtte.loc[first, "CNSR"] = "0"
        adtte.loc[second, "CNSR"] = "1"
        return adtte.drop(columns=["STARTDT", "ADT", "EVNTDESC", "CNSDTDSC"])

    _, results, _ = run(adtte=edit)
    rows = results["tables"]["curve_by_hand"]["rows"]
    assert next((row["time"], row["n_events"], row["n_censored"]) for row in rows) == (0, 1, 1)
    assert results["values"]["steps"][0] == pytest.approx(2 / 3)


def test_strata_a_competing_event_and_labels_that_begin_alike(run):
    def edit(metadata):
        arms = [{**arm, "label": WORDS + arm["label"]} for arm in metadata["arms"]]
        first = {**metadata["endpoints"][0], "competing": "OS", "role": "other", "event": "progression"}
        return metadata | {"arms": arms, "endpoints": [first, metadata["endpoints"][1]]}

    def only_progression(adtte):
        died = (adtte["PARAMCD"] == "PFS") & (adtte["EVNTDESC"] == "DEATH")
        adtte = adtte.drop(columns="ADT")
        adtte.loc[died, ["CNSR", "EVNTDESC", "AVAL"]] = ["1", "", "1.5"]
        return adtte

    visible, results, drawn = run({"strata": "SEX"}, metadata=edit, adtte=only_progression)
    assert "Strata by Sex, with their patients: Female: 5 (" in visible
    assert re.search(r"Male: 13 \((?:[A-D] \d+(?:, )?)+\)", visible)
    tests = [row["test"] for row in results["tables"]["tests_in_strata"]["rows"]]
    assert tests == ["Ordered trend", "Overall", "Trend in strata", "Overall in strata"]
    assert visible.count("A test in strata takes relabellings and allocations within each stratum only.") == 1
    assert "too large once an event follows one." in visible
    values, rates = results["values"], results["tables"]["incidence_rates"]["rows"]
    assert values["n_competing"] == values["n_after"] == 4
    assert 0 < values["p_gray_permuted"] <= 1
    known = [row for row in rates if row["incidence"] != "NE"]
    assert all(row["one_minus_km"] >= row["incidence"] - 1e-12 for row in known)
    assert any(row["one_minus_km"] > row["incidence"] + 0.01 for row in known)
    for name in ("km_curves", "incidence"):
        assert all(
            drawn[name].count(f"… {label}") for label in ("A: low x 4", "B: normal x 4", "C: normal x 8")
        )


def test_late_entry_and_an_endpoint_of_some_are_told(run):
    def edit(metadata):
        first = {**metadata["endpoints"][0], "origin": "DIAGDT", "population": "responders"}
        return metadata | {"endpoints": [first, metadata["endpoints"][1]]}

    def diagnose(adsl):
        enrolled = pd.Timestamp("2015-01-12") + pd.to_timedelta(41 * adsl.index.to_numpy(), unit="D")
        before = pd.to_timedelta([0, 30, 200] * 6, unit="D")
        return adsl.assign(DIAGDT=(enrolled - before).strftime("%Y-%m-%d"))

    def of_some(adtte):
        return adtte[(adtte["PARAMCD"] == "OS") | ~adtte["USUBJID"].isin(["S-01", "S-06"])]

    visible, results, _ = run(metadata=edit, adsl=diagnose, adtte=of_some)
    assert "Of 18 patients only 16 are in it: responders." in visible
    assert results["values"]["n_late"] == 11
    assert "11 patients, observed from up to 6.6 months after time 0 (DIAGDT) on; nobody counts" in visible
    assert "Competing event: none is named in trial.yaml." in visible
    assert "still to enter" not in visible


def test_a_curve_that_ends_before_others_enter_is_told(run):
    def edit(metadata):
        first = {**metadata["endpoints"][0], "origin": "DIAGDT"}
        return metadata | {"endpoints": [first, metadata["endpoints"][1]]}

    def diagnose(adsl):
        # Of each group the one with the earliest event enters at once, the others long after it.
        before = pd.Series(2000, adsl.index).mask(adsl["USUBJID"].isin(["S-01"]), 1)
        enrolled = pd.Timestamp("2015-01-12") + pd.to_timedelta(41 * adsl.index.to_numpy(), unit="D")
        return adsl.assign(DIAGDT=(enrolled - pd.to_timedelta(before, unit="D")).dt.strftime("%Y-%m-%d"))

    visible, results, _ = run(metadata=edit, adsl=diagnose)
    assert "Survival reaches 0 in A: low x 4 with 2 patients still to enter" in visible
    assert {row["lifelines"] for row in results["tables"]["medians_by_program"]["rows"]} == {"NE"}
    first = results["tables"]["curve_by_hand"]["rows"][0]
    assert (first["n_at_risk"], first["ci_lower"], first["ci_upper"]) == (0, "NE", "NE")


def test_before_anybody_is_under_observation_nothing_is_known(run):
    def edit(metadata):
        named = {"origin": "DIAGDT", "competing": "OS", "role": "other", "event": "progression"}
        return metadata | {"endpoints": [metadata["endpoints"][0] | named, metadata["endpoints"][1]]}

    def diagnose(adsl):
        enrolled = pd.Timestamp("2015-01-12") + pd.to_timedelta(41 * adsl.index.to_numpy(), unit="D")
        before = pd.to_timedelta([60, 100, 200] * 6, unit="D")
        return adsl.assign(DIAGDT=(enrolled - before).strftime("%Y-%m-%d"))

    def only_progression(adtte):
        died = (adtte["PARAMCD"] == "PFS") & (adtte["EVNTDESC"] == "DEATH")
        adtte.loc[died, ["CNSR", "EVNTDESC"]] = ["1", ""]
        return adtte

    parameters = {"landmarks": [1, 12], "axis_end": 3.0}
    visible, results, drawn = run(parameters, metadata=edit, adsl=diagnose, adtte=only_progression)
    for name, share in (("landmark_rates", "survival"), ("incidence_rates", "incidence")):
        rows = results["tables"][name]["rows"]
        assert {row[share] for row in rows if row["time"] == 1} == {"NE"}
        assert "NE" not in {row[share] for row in rows if row["time"] == 12 and row["n_at_risk"]}
    assert "NE: nobody is under observation any more, or yet" in visible
    assert results["tables"]["curve_by_hand"]["rows"][0]["time"] > 1.9
    assert results["values"]["n_competing"] >= 3
    assert results["values"]["n_after"] == 0
    assert {"km_curves", "incidence"} <= set(drawn)
