"""Notebook 03 on trials that its sentences and tables could be wrong for: read what it shows."""

import copy
import dataclasses
import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from executing import execute_here, read_visible
from trials import group_missing, make_files, plain, small, write_trial

from nkhcc_helpers import cox, report
from nkhcc_helpers.report import tables
from nkhcc_helpers.trial.trial import load_trial

pytestmark = pytest.mark.no_cover  # as in test_notebooks

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "03_cox_dose_frequency.ipynb"


def keep_arms(codes, **changes):
    """As `plain`, with some arms only, each changed."""
    files = group_missing(codes)
    files.metadata["arms"] = [arm | copy.deepcopy(changes) for arm in files.metadata["arms"]]
    return files


def seven_arms():
    """Seven arms, nobody in the first with an event, patches, labels that begin alike."""
    label = "What was given to the patients of a very carefully described arm number"
    arm = plain().metadata["arms"][1]
    arms = [
        arm | {"code": code, "order": at, "label": f"{label} {code}", "infusions": 2 + at // 2, "dose": at}
        for at, code in enumerate("ABCDEFG", start=1)
    ]
    metadata = plain().metadata | {"arms": arms, "treatment_word": "patch"}
    return make_files(metadata, [2, 3, 4, 3, 4, 3, 4], event_free="A")


def write(files, folder):
    return write_trial(folder, **{part.name: getattr(files, part.name) for part in dataclasses.fields(files)})


def run(files, folder, **parameters):
    """What a run shows, and what it recorded."""
    source = write(files, folder / "trial")
    executed = execute_here(NOTEBOOK, data_dir=str(source), out_dir=str(folder), n_trials=20, **parameters)
    assert executed.printed == ""
    visible = html.unescape(" ".join(map(read_visible, executed.html)))
    return visible, json.loads((folder / "results" / f"{NOTEBOOK.stem}.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def _no_other_name(monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)


def test_one_group_needs_another(tmp_path):
    visible, results = run(keep_arms("C"), tmp_path)
    assert visible.count("A comparison needs two groups with patients in this endpoint.") == 7
    assert visible.count("Needs two groups") == 5  # tables
    assert [results["findings"], results["cautions"]] == [[], []]
    assert {"hazard_ratios", "design", "leave_one_out"} == set(results["figures"])
    for name in ("hazard_ratios", "attained_cox", "model_comparison"):
        assert results["tables"][name]["rows"] == []
    # What a group received can be compared within it.
    assert results["tables"]["received"]["rows"][0]["n"] == 6
    assert "None" not in visible


def test_an_endpoint_of_one_group_needs_another(tmp_path):
    files = keep_arms("AC")
    first, other = files.metadata["endpoints"]
    files.metadata["endpoints"] = [first | {"population": "patients of C"}, other]
    in_c = files.adtte["USUBJID"].isin(files.adsl.loc[files.adsl["TRT01P"] == "C", "USUBJID"])
    files.adtte = files.adtte[in_c | (files.adtte["PARAMCD"] == "OS")]
    visible, results = run(files, tmp_path)
    assert visible.count("A comparison needs two groups with patients in this endpoint.") == 7
    assert visible.count("Needs two groups") == 5  # tables
    for words in ("NE by hand", "NE fitted", "Groups are compared with", "Order of groups: nothing"):
        assert words not in visible
    assert results["tables"]["hazard_ratios"]["rows"] == []
    with pytest.raises(ValueError, match="one of the groups C; got 'A', in which nobody has this endpoint"):
        cox.code_trial(load_trial(tmp_path / "trial"), "PFS", reference="A")


def test_the_first_group_with_events_is_the_reference(tmp_path):
    files = seven_arms()
    visible, results = run(files, tmp_path)
    labels = [arm["label"] for arm in files.metadata["arms"]]
    assert f"Groups are compared with {labels[1]}, the first with events." in visible
    rows = [row for row in results["tables"]["hazard_ratios"]["rows"] if row["model"] == "Each group"]
    assert [row["covariate"] for row in rows] == [f"group {code}" for code in "ACDEFG"]
    assert all(row["hr"] is not None and np.isfinite(row["ci_upper"]) for row in rows[1:])
    for words in (
        "Dose per patch",
        "Planned patches",
        "one patch more",
        "patches received are found to matter",
    ):
        assert words in visible
    assert "Dose and patches" in visible
    assert "infusion" not in visible
    # By partial likelihood nothing is estimable against a group without events; else all but that.
    trial = load_trial(tmp_path / "trial")
    options = {"method": "partial", "n_draws": 0}
    for reference, n_known in (("A", 0), ("", 5), ("G", 5)):
        data = cox.code_trial(trial, "PFS", ["group"], reference=reference)
        groups = [name for name in data if name.startswith("group ")]
        found = cox.fit_cox(data, groups, **options).summary.set_index("covariate")
        assert found["hr"].notna().sum() == n_known
        if n_known:
            # The limit as the hazard of that group goes to 0 is the fit without its patients.
            others = [name for name in groups if name != "group A"]
            without = cox.fit_cox(data[data["group"] != "A"], others, **options).summary
            columns = ["coef", "ci_lower", "ci_upper", "p_value"]
            want = without[columns].to_numpy()
            assert found.loc[others, columns].to_numpy() == pytest.approx(want, rel=1e-6)
    with pytest.raises(ValueError, match="reference must be one of the groups A, B, C, D, E, F, G; got 'H'"):
        cox.code_trial(trial, "PFS", reference="H")


def test_strata_are_told_and_the_reference_is_a_choice(tmp_path):
    files = plain()
    visible, results = run(files, tmp_path, strata="SEX", reference="C")
    assert "Groups are compared with C: normal x 8." in visible
    assert "Strata by Sex, with their patients: Female: " in visible
    assert visible.count("Stratified by Sex: patients are compared within its levels only") == 5
    trial = load_trial(tmp_path / "trial")
    data = cox.code_trial(trial, "PFS", strata="SEX", reference="C")
    groups = ["group A", "group B", "group D"]
    want = cox.fit_cox(data, groups, strata="SEX").summary
    rows = [row for row in results["tables"]["hazard_ratios"]["rows"] if row["model"] == "Each group"]
    assert [row["covariate"] for row in rows] == groups
    assert [row["coef"] for row in rows] == pytest.approx(want["coef"].tolist())
    models = {"Each group": groups}
    table = tables.format_result(cox.summarize_models(data, models, strata="SEX", n_draws=0), trial)
    assert "Groups are compared with C: normal x 8." in table.as_raw_html()
    labels = report.list_covariate_labels(trial, reference="C")
    assert labels["group A"] == "A: low x 4, against C: normal x 8"


def test_equal_plans_have_no_day_on_which_they_part(tmp_path):
    files = keep_arms("AB", infusions=1, dose=1.0, assumed=[])
    files.adex = files.adex.groupby("USUBJID").head(1).assign(EXDOSE="1.0")
    visible, results = run(files, tmp_path)
    assert "On which day the plans part is not known: they plan as much for everyone" in visible
    assert "No such trial has an answer: nobody can receive more than another." in visible
    assert results["values"]["rejected_received"] == "NE"
    assert "NE of trials" not in visible
    assert "NE days" not in visible


def test_one_plan_for_all_makes_the_number_received_follow_the_time(tmp_path):
    visible, _ = run(keep_arms("AB", infusions=4, assumed=[]), tmp_path)
    assert "No such trial has an answer: all follow one plan, so that the number received follows" in visible
    assert "as under one plan" in visible


@pytest.mark.parametrize("parameters", [{"reference": "X"}, {"strata": "AGE"}, {"strata": "CENTRE"}])
def test_a_choice_that_is_none_is_refused(parameters, tmp_path):
    name = next(iter(parameters))
    with pytest.raises(ValueError, match=name):
        run(plain(), tmp_path, **parameters)


def test_findings_are_the_slopes_on_either_side_of_the_level(tmp_path):
    _, results = run(small(), tmp_path)
    rows = [row for row in results["tables"]["hazard_ratios"]["rows"] if row["model"] != "Each group"]
    known = [np.nan if row["p_permutation"] == "NE" else row["p_permutation"] for row in rows]
    found, others, design = results["findings"]
    assert [p <= 0.05 for p in known] == [False, False, True]
    for p in known:
        assert f"; P {'NE' if np.isnan(p) else f'{p:.4f}'})" in (found if p <= 0.05 else others)
    assert design.startswith("12 patients, 12 events, 3 design points: ")


def test_what_the_design_cannot_show_is_a_caution_and_nothing_empty_is_said(tmp_path):
    visible, results = run(keep_arms("ABC", infusions=4, assumed=[]), tmp_path)
    left_out = "Planned infusions (is the same for everyone)"
    assert f"Left out: {left_out}." in visible
    assert any(left_out in text for text in results["cautions"])
    assert not any("assumed" in text or "differ together" in text for text in results["cautions"])
    for words in ("none (", "Separated: none", ": none; ", "0 pairs"):
        assert words not in visible


def test_ratios_in_words_leave_out_limits_that_there_are_none_of():
    rows = [("dose", 0.5, 0.1, np.inf, 0.04), ("order", 2.0, np.nan, np.nan, np.nan)]
    frame = pd.DataFrame(rows, columns=["covariate", "hr", "exact_lower", "exact_upper", "p_permutation"])
    assert tables.list_ratios(frame, {"dose": "Dose", "order": "Order"}) == [
        "Dose (hazard ratio 0.50, 0.10 to NE; P 0.0400)",
        "Order (hazard ratio 2.00; P NE)",
    ]
    assert tables.list_ratios(frame.assign(hr=np.nan)[1:], {"order": "Order"}) == [
        "Order (hazard ratio NE; P NE)"
    ]
