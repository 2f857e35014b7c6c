"""Columns that follow from the tables: patients and events of the hand-made trial, worked out by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from hand_made import ADSL, UNFLAGGED, load_hand_made

from nkhcc_helpers.trial import group_by_treatment
from nkhcc_helpers.trial.patients import find_latest_infusion
from nkhcc_helpers.trial.problems import TrialDataWarning
from nkhcc_helpers.trial.trial import Trial

NONE = pd.NaT


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def days(dates: pd.Series) -> list[str]:
    """Return dates as text, "" where there is none."""
    return dates.dt.strftime("%Y-%m-%d").fillna("").tolist()


def test_columns_of_patients(trial: Trial) -> None:
    subjects = trial.subjects.set_index("USUBJID").loc[["s1", "s2", "s3", "s4", "s5"]]
    assert subjects["treated"].tolist() == [True, True, True, False, True]
    assert subjects["n_infusions"].tolist() == [2, 1, 3, 0, 2]
    assert days(subjects["last_infusion"]) == ["2020-01-22", "2020-02-02", "2020-03-30", "", "2020-04-16"]
    assert days(subjects["death_date"]) == ["2020-05-20", "2020-03-07", "", "", ""]
    ends = ["2020-05-20", "2020-03-07", "2020-12-31", "2020-04-15", "2020-12-25"]
    assert days(subjects["observed_until"]) == ends


def test_columns_of_events(trial: Trial) -> None:
    events = trial.adverse_events
    assert events["treated"].tolist() == [True] * 6 + [False, True]
    # s1's cough began before the first infusion; s2's fever has no date; s4 was never treated.
    assert events["emergent"].tolist() == [True, True, True, False, True, True, False, True]
    assert events["fatal"].tolist() == [False] * 5 + [True, False, False]
    assert events["ongoing"].tolist() == [False, False, True, *[False] * 5]
    assert events["latest_infusion"].tolist() == [1, 2, 2, pd.NA, pd.NA, 1, pd.NA, 1]
    assert events["days_since_infusion"].tolist() == [0, 1, 10, pd.NA, pd.NA, 34, pd.NA, 8]
    assert days(events["first_infusion"])[5:] == ["2020-02-02", "", "2020-04-02"]
    assert days(events["observed_until"])[5:] == ["2020-03-07", "2020-04-15", "2020-12-25"]


def test_a_flag_of_a_treated_patient_decides_for_all(tmp_path: Path) -> None:
    flags = ["TRTEMFL", "", "Y", "", "Y", "", "N", "Y", ""]
    flagged = "\n".join(f"{row},{flag}" for row, flag in zip(UNFLAGGED.splitlines(), flags, strict=True))
    with pytest.warns(TrialDataWarning, match="treatment-emergent"):
        events = load_hand_made(tmp_path / "some", adae=flagged).adverse_events
    assert events["emergent"].tolist() == [False, True, False, True, False, False, False, False]
    flags = ["TRTEMFL", *[""] * 6, "Y", ""]
    flagged = "\n".join(f"{row},{flag}" for row, flag in zip(UNFLAGGED.splitlines(), flags, strict=True))
    with pytest.warns(TrialDataWarning, match="no infusion"):
        events = load_hand_made(tmp_path / "none", adae=flagged).adverse_events
    assert events["emergent"].tolist() == [True, True, True, False, True, False, False, True]


def test_the_safety_flag_goes_before_infusions(trial: Trial) -> None:
    flagged = trial.subjects.assign(SAFFL=["N", "Y", None, "Y", ""])
    assert flagged["USUBJID"].tolist() == ["s3", "s1", "s2", "s4", "s5"]
    subjects = dataclasses.replace(trial, subjects=flagged).subjects
    assert subjects["treated"].tolist() == [False, True, True, True, True]


def test_columns_follow_the_frames_a_trial_is_made_of(trial: Trial) -> None:
    nobody = dataclasses.replace(trial, infusions=trial.infusions.iloc[:0])
    assert not nobody.subjects["treated"].any()
    assert not nobody.adverse_events["emergent"].any()
    assert nobody.adverse_events["latest_infusion"].isna().all()
    dead = dataclasses.replace(trial, subjects=trial.subjects.assign(DTHDT=pd.Timestamp("2020-05-01")))
    ends = dict(zip(dead.subjects["USUBJID"], days(dead.subjects["observed_until"]), strict=True))
    assert days(dead.subjects["death_date"]) == ["2020-05-01"] * 5
    assert ends == dict.fromkeys(["s1", "s2", "s3", "s4", "s5"], "2020-05-01")


def test_columns_stand_when_patients_change_groups(tmp_path: Path) -> None:
    adsl = "\n".join(f"{row},{arm}" for row, arm in zip(ADSL.splitlines(), ["TRT01A", *"LLLHH"], strict=True))
    planned = load_hand_made(tmp_path, adsl=adsl)
    actual = group_by_treatment(planned)
    assert (actual.adverse_events["group"] != planned.adverse_events["group"]).sum() == 0
    for name in ("subjects", "infusions", "adverse_events"):
        moved, before = getattr(actual, name), getattr(planned, name)
        same = [column for column in before if column not in ("group", "dose", "planned_infusions")]
        pd.testing.assert_frame_equal(moved[same], before[same])


def test_of_two_infusions_on_a_day_the_later_counts(trial: Trial) -> None:
    day = pd.Timestamp("2020-03-02")
    given = pd.DataFrame({"USUBJID": "s", "date": [day, day], "infusion": [1, 2]})
    events = pd.DataFrame({"USUBJID": ["s", "t", "s"], "onset": [day, day, NONE]}, index=[7, 5, 3])
    latest = find_latest_infusion(events, given)
    assert latest.index.tolist() == [7, 5, 3]
    assert latest["latest_infusion"].tolist() == [2, pd.NA, pd.NA]
    assert latest["days_since_infusion"].tolist() == [0, pd.NA, pd.NA]
