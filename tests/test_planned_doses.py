"""Other planned doses than those of trial.yaml: the same numbers as where trial.yaml gives them."""

import math
import shutil

import pandas as pd
import pytest
from trials import edit_text

from nkhcc_helpers import cox
from nkhcc_helpers.report.page import open_page
from nkhcc_helpers.trial import change_doses, load_trial, select_patients
from nkhcc_helpers.trial.trial import locate_bundled

HALVED = [0.25, 1, 1, 1.25]


@pytest.fixture(scope="module")
def trial(bundled_trial):
    return bundled_trial


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """The bundled trial as a real one, with a dose of A that is half as much and not assumed."""
    folder = shutil.copytree(locate_bundled(), tmp_path_factory.mktemp("edited") / "trial")
    edit_text(
        folder / "trial.yaml",
        "dose: 0.5, interval_days: 14, assumed: [dose]",
        "dose: 0.25, interval_days: 14",
    )
    edit_text(folder / "trial.yaml", "provenance: illustrative", "provenance: real")
    return load_trial(folder, warn=False)


def test_the_doses_of_the_file_change_nothing(trial):
    assert change_doses(trial, []) is trial
    assert change_doses(trial, [0.5, 1, 1, 1.25]) is trial


def test_hazard_ratios_are_those_of_a_trial_whose_file_says_so(trial, edited):
    changed = change_doses(trial, HALVED)
    pd.testing.assert_frame_equal(changed.subjects, edited.subjects)
    pd.testing.assert_frame_equal(changed.arm_table(), edited.arm_table())
    fits = []
    for each in (changed, edited, trial):
        data = cox.code_trial(each, "PFS")
        fits.append(cox.fit_cox(data, ["dose", "infusions"], n_draws=0).summary)
    pd.testing.assert_frame_equal(fits[0], fits[1])
    assert abs(fits[2].loc[0, "hr"] - fits[0].loc[0, "hr"]) > 0.01


def test_the_selected_keep_their_new_doses(trial, edited):
    where = "SEX == 'M'"
    changed = change_doses(select_patients(trial, where=where), HALVED)
    assert changed.selection.n < len(trial.subjects)
    pd.testing.assert_frame_equal(changed.subjects, select_patients(edited, where=where).subjects)
    selected = select_patients(change_doses(trial, HALVED), where=where)
    pd.testing.assert_frame_equal(selected.subjects, changed.subjects)
    assert selected.has_other_doses


def test_a_schedule_keeps_its_shape(trial):
    arm = change_doses(trial, [0, 1, 1, 2.5]).metadata.arms[3]
    assert arm.dose == 2.5
    assert arm.doses == [1, 1, 2, 2, 3, 3, 4, 4]
    assert type(arm).model_validate(arm.model_dump()) == arm
    assert arm.plan_dose(0.0).plan_dose(2.0).doses == [2.0] * 8
    assert math.isclose(trial.metadata.arms[3].dose, 1.25)  # untouched


def test_the_sweep_moves_the_new_numbers(trial):
    swept = cox.sweep_assumptions(change_doses(trial, HALVED), "PFS", ["order"], n_values=3)
    assert set(swept.loc[swept["quantity"] == "dose", "assumed_value"]) == {0.25, 1.25}
    values = swept.loc[(swept["group"] == "A") & (swept["quantity"] == "dose"), "value"]
    assert values.tolist() == pytest.approx([0.125, 0.25, 0.5])


@pytest.mark.parametrize("is_real", [False, True])
def test_the_page_says_that_the_doses_are_not_those_of_the_file(is_real, trial, edited, capsys):
    page = open_page(change_doses(edited if is_real else trial, [0, 1, 2, 1.25]), "any")
    page.show_banner()
    told = ["0 (A: low dose x 4)", "1 (B: normal dose x 4)"]
    assert page.results["values"]["changed_doses"][:2] == told
    said = capsys.readouterr().out
    assert f"Doses here are not those of trial.yaml, but {told[0]}, {told[1]}, 2 (C" in said
    assert ("Illustrative" in said) == (not is_real)


def test_assumptions_are_of_the_doses_in_use(trial):
    changed = change_doses(change_doses(trial, HALVED), [0.25, 1, 1, 1.5])
    first, *others = changed.metadata.assumptions
    assert first.what == "Mean doses"
    assert first.value.startswith("0.25 (A: low dose x 4), 1 (B")
    assert first.value.endswith("1.5 (D: incremental dose)")
    of_dose = {each.what for each in trial.metadata.assumptions if each.of == "dose"}
    assert of_dose == {"Low dose", "Doses in group D"}  # of the same groups whose dose is marked as assumed
    assert [each for each in trial.metadata.assumptions if each.what not in of_dose] == others


def test_the_page_says_nothing_of_the_doses_of_the_file(trial, capsys):
    page = open_page(change_doses(trial, [0.5, 1, 1, 1.25]), "any")
    page.show_banner()
    assert "Doses here" not in capsys.readouterr().out
    assert "changed_doses" not in page.results["values"]


@pytest.mark.parametrize("doses", [[1], [1, 1, 1, 1, 1]])
def test_another_number_of_doses_is_refused(trial, doses):
    said = f"must hold a dose for each of A, B, C and D, not {len(doses)}"
    with pytest.raises(ValueError, match=said):
        change_doses(trial, doses)
