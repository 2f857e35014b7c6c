"""What if? An edited trial is what its files would give had they said so."""

import dataclasses
import shutil

import pandas as pd
import pytest
from hand_made import load_hand_made
from trials import VARIANTS, edit_cell, write_trial

from nkhcc_helpers.report import open_page
from nkhcc_helpers.trial import TrialDataError, change_doses, load_trial, select_patients


@pytest.fixture(scope="module")
def hand_made(tmp_path_factory):
    """Times in days, shown in weeks; without dates of ends."""
    return load_hand_made(tmp_path_factory.mktemp("hand"))


@pytest.fixture(scope="module")
def bundled():
    return load_trial(warn=False)


def list_frames(trial):
    named = [field.name for field in dataclasses.fields(trial)]
    return {name: getattr(trial, name) for name in named if isinstance(getattr(trial, name), pd.DataFrame)}


def check_same(edited, expected):
    assert edited.metadata == expected.metadata
    for name, frame in list_frames(expected).items():
        pd.testing.assert_frame_equal(list_frames(edited)[name], frame, obj=name)


def change_files(trial, tmp_path, cells):
    """Load a copy of a trial's folder with other cells; a cell is table, line, column, text."""
    folder = shutil.copytree(trial.source, tmp_path / "changed")
    for cell in cells:
        edit_cell(folder, *cell)
    return load_trial(folder, warn=False)


def find_row(trial, table, **where):
    rows = pd.read_csv(trial.source / f"{table}.csv", dtype=str, keep_default_na=False)
    return int(rows.index[(rows[list(where)] == pd.Series(where)).all(axis=1)][0]) + 2


def test_a_time_is_written_in_the_unit_of_the_file(hand_made, tmp_path):
    edit = hand_made.edit().set_time("s2", "PFS", 3)
    at = find_row(hand_made, "adtte", USUBJID="s2", PARAMCD="PFS")
    check_same(edit.trial, change_files(hand_made, tmp_path, [("adtte", at, "AVAL", "21")]))
    assert edit.said == "s2 has PFS 3 (event), not 5 weeks."


def test_a_death_moves_in_all_tables(bundled, tmp_path):
    edit = bundled.edit().set_time("ILL-013", "OS", 30)
    time = find_row(bundled, "adtte", USUBJID="ILL-013", PARAMCD="OS")
    subject = find_row(bundled, "adsl", USUBJID="ILL-013")
    date = f"{pd.Timestamp('2016-05-10') + pd.Timedelta(days=round(30 * 30.4375)):%Y-%m-%d}"
    cells = [("adtte", time, "AVAL", "30"), ("adtte", time, "ADT", date), ("adsl", subject, "DTHDT", date)]
    check_same(edit.trial, change_files(bundled, tmp_path, cells))


@pytest.mark.parametrize("event", [True, False])
def test_whether_it_is_the_event_can_be_changed(bundled, event):
    name = "ILL-014" if event else "ILL-013"
    trial = bundled.edit().set_time(name, "OS", 25, event=event).trial
    row = trial.survival("OS").set_index("USUBJID").loc[name]
    assert (row["time"], row["event"]) == (25, event)
    patient = trial.subjects.set_index("USUBJID").loc[name]
    assert pd.notna(patient["death_date"]) == event
    assert pd.isna(patient["EOSSTT"])


def test_two_patients_change_groups(bundled, tmp_path):
    edit = bundled.edit().swap_groups("ILL-003", "ILL-015")
    cells = []
    for table in ("adsl", "adtte", "adex", "adae"):
        rows = pd.read_csv(bundled.source / f"{table}.csv")
        for name, arm in {"ILL-003": "D", "ILL-015": "A"}.items():
            lines = rows.index[rows["USUBJID"] == name] + 2
            named = [column for column in ("TRT01P", "TRT01A") if column in rows]
            cells += [(table, line, column, arm) for line in lines for column in named]
    check_same(edit.trial, change_files(bundled, tmp_path, cells))
    back = edit.swap_groups("ILL-003", "ILL-015")
    check_same(back.trial, bundled)
    assert back.said == "ILL-003 is in D and ILL-015 in A. ILL-003 is in A and ILL-015 in D."


def test_follow_up_ends_earlier_for_whom_it_is_asked(hand_made):
    everyone = hand_made.edit().censor(at=6).trial.survival("PFS").set_index("USUBJID")
    assert everyone["time"].max() == 6
    assert list(everyone.index[everyone["event"]]) == ["s2"]
    group = hand_made.edit().censor(group="H", at=6).trial
    before, after = (each.survival("OS").set_index("USUBJID")["time"] for each in (hand_made, group))
    assert list(after.index[after != before]) == ["s3", "s5"]
    one = hand_made.edit().censor("s1", at=11, endpoint="OS").trial
    assert one.survival("PFS").equals(hand_made.survival("PFS"))
    assert one.subjects.set_index("USUBJID")["death_date"].notna().sum() == 1


def test_patients_and_groups_are_left_out(hand_made):
    edit = hand_made.edit().drop("s3").drop(group="L")
    assert list(edit.trial.subjects["USUBJID"]) == ["s4", "s5"]
    assert edit.trial.groups == ["H"]
    assert set(edit.trial.infusions["USUBJID"]) == {"s5"}
    assert edit.said == "Without s3. Without group L."


def test_any_cell_can_be_written(bundled, tmp_path):
    at = find_row(bundled, "adae", USUBJID="ILL-001", AEDECOD="Pyrexia")
    edit = bundled.edit().set_value("ADAE", "ASTDT", "2015-02", USUBJID="ILL-001", AEDECOD="Pyrexia")
    check_same(edit.trial, change_files(bundled, tmp_path, [("adae", at, "ASTDT", "2015-02")]))


def test_a_group_can_be_planned_otherwise(bundled):
    arms = bundled.edit().plan("D", infusions=4).plan("A", dose=2.0).trial.arm_table().set_index("group")
    assert (arms.loc["D", "infusions"], arms.loc["A", "dose"]) == (4, 2.0)
    with pytest.raises(ValueError, match="infusions"):
        bundled.edit().plan("D", infusions=0)


def test_what_was_chosen_before_is_kept(bundled):
    chosen = change_doses(select_patients(bundled, where="AGE >= 50"), [1, 2, 3, 4])
    edited = chosen.edit().drop("ILL-001").trial
    assert list(edited.subjects["USUBJID"]) == list(chosen.subjects["USUBJID"])[1:]
    assert edited.metadata == chosen.metadata
    assert edited.has_other_doses
    assert edited.selection.n == chosen.selection.n - 1


def test_the_banner_tells_and_no_paper_does(bundled, capsys):
    assert bundled.published is not None
    edited = bundled.edit().censor("ILL-015", at=60).trial.edit().drop("ILL-001").trial
    assert edited.published is None
    open_page(edited, "any").show_banner()
    shown = capsys.readouterr().out
    assert "Follow-up of ILL-015 for PFS and OS ends at time 60 (months)." in shown
    assert "Without ILL-001." in shown
    assert bundled.warnings == ()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda edit: edit.drop("ILL-19"), "did you mean"),
        (lambda edit: edit.drop(group="E"), "must be A, B, C or D, not 'E'"),
        (lambda edit: edit.swap_groups("ILL-001", "ILL-002"), "both in A"),
        (lambda edit: edit.censor(at=200), "nobody"),
        (lambda edit: edit.set_time("ILL-001", "EFS", 3), "no endpoint 'EFS'"),
        (lambda edit: edit.set_value("ADAE", "AETERM", "x", USUBJID="ILL-001"), "must be"),
        (lambda edit: edit.set_value("ADAE", "AEOUT", "x", USUBJID="ILL-001", AEDECOD="no"), "no such row"),
    ],
)
def test_there_must_be_something_to_change(bundled, make, match):
    with pytest.raises(ValueError, match=match):
        make(bundled.edit())


def test_what_cannot_be_is_refused_as_in_files(bundled):
    with pytest.raises(TrialDataError, match="PFS must not be longer than the subject's OS"):
        bundled.edit().set_time("ILL-010", "OS", 4)
    with pytest.raises(TrialDataError, match="AVAL '-1': must be a finite number >= 0"):
        bundled.edit().set_time("ILL-010", "PFS", -1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_trial_can_be_edited(variant, tmp_path):
    trial = load_trial(write_trial(tmp_path, variant=variant), warn=False)
    half = trial.times["time"].max() / 2
    edited = trial.edit().censor(at=half).trial
    assert edited.times["time"].max() == pytest.approx(half)
    assert not edited.times.loc[trial.times["time"] > half, "event"].any()
