"""The loader: computed columns worked out by hand, what a trial answers, errors and summaries."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trials import VARIANTS, edit_cell, edit_text, write_trial

from nkhcc_helpers.trial import trial as trial_module
from nkhcc_helpers.trial.problems import (
    N_LISTED,
    Problem,
    TrialDataError,
    TrialDataWarning,
    format_printable,
    suggest_name,
)
from nkhcc_helpers.trial.trial import Trial, load_trial, locate_bundled, locate_checkout

METADATA = """\
study_id: TINY
title: A tiny trial
provenance: real
time_unit: weeks
display_time_unit: days
arms:
  - {code: T, label: Treated, order: 2, infusions: 3, dose: 1.5}
  - {code: C, label: Control, order: 1, infusions: 1, dose: 0}
endpoints:
  - {code: OS, label: Overall survival, role: overall_survival}
"""

ADSL = """\
STUDYID,USUBJID,TRT01P,SITE,ENRLDT,TRTSDT
TINY,P1,T,a,2020-01-01,2020-01-03
TINY,P2,C,,,2020-02-02
TINY,P3,T,b,,2020-03-03
"""

ADTTE = """\
USUBJID,PARAMCD,AVAL,CNSR,STARTDT
P3,OS,4,2,
P1,OS,2,0,2020-01-02
P2,OS,0.5,1,2020-02-01
"""

ADEX = """\
USUBJID,ASTDT,EXDOSE,EXSEQ
P1,2020-01-10,2,3
P1,2020-01-03,1,1
P3,2020-03-03,1.5,1
P1,2020-01-10,1,2
"""

ADAE = """\
USUBJID,AEDECOD,AEBODSYS,AETOXGR,AESEV,AEREL,AESER,ASTDT,AENDT,AEOUT
P1,Pyrexia,General,1,MILD,RELATED,N,2020-01-03,2020-01-04,RECOVERED
P3,Rash,,,moderate,NOT RELATED,Y,2020-03-04,,
P3,Rash,Skin,NA,,,,,,
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    for name, text in [
        ("trial.yaml", METADATA),
        ("adsl.csv", ADSL),
        ("adtte.csv", ADTTE),
        ("adex.csv", ADEX),
        ("adae.csv", ADAE),
    ]:
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def dates(*written: str) -> list[pd.Timestamp]:
    return [pd.Timestamp(date) if date else pd.NaT for date in written]


def test_subjects(tiny: Path) -> None:
    subjects = load_trial(tiny).subjects
    assert subjects["group"].tolist() == ["T", "C", "T"]
    assert subjects["group"].cat.categories.tolist() == ["C", "T"]
    assert subjects["group"].cat.ordered
    assert subjects["dose"].tolist() == [1.5, 0.0, 1.5]
    assert subjects["planned_infusions"].tolist() == [3.0, 1.0, 3.0]
    assert subjects["SITE"].isna().tolist() == [False, True, False]


def test_enrolment_is_enrldt_then_startdt_then_trtsdt(tiny: Path) -> None:
    subjects = load_trial(tiny).subjects
    assert subjects["enrolled"].tolist() == dates("2020-01-01", "2020-02-01", "2020-03-03")
    first = subjects["first_infusion"]
    assert first[[0, 2]].tolist() == dates("2020-01-03", "2020-03-03")
    assert first.isna().tolist() == [False, True, False]


def test_times_are_converted_and_events_are_cnsr_zero(tiny: Path) -> None:
    times = load_trial(tiny).times
    assert times["time"].tolist() == [28.0, 14.0, 3.5]
    assert times["event"].tolist() == [False, True, False]
    assert times["group"].tolist() == ["T", "T", "C"]
    assert times["endpoint"].tolist() == ["OS", "OS", "OS"]
    assert times["AVAL"].tolist() == [4.0, 2.0, 0.5]


def test_times_in_the_same_unit_are_untouched(tiny: Path) -> None:
    edit_text(tiny / "trial.yaml", "time_unit: weeks", "time_unit: days")
    edit_text(tiny / "adtte.csv", "P1,OS,2,", "P1,OS,0.1,")
    assert load_trial(tiny).times["time"].tolist() == [4.0, 0.1, 0.5]


def test_infusions_are_ordered_and_numbered(tiny: Path) -> None:
    infusions = load_trial(tiny).infusions
    assert infusions["USUBJID"].tolist() == ["P1", "P1", "P1", "P3"]
    assert infusions["infusion"].tolist() == [1, 2, 3, 1]
    assert infusions["dose"].tolist() == [1.0, 1.0, 2.0, 1.5]
    assert infusions["date"].tolist() == dates("2020-01-03", "2020-01-10", "2020-01-10", "2020-03-03")
    assert infusions["group"].tolist() == ["T"] * 4


def test_adverse_events(tiny: Path) -> None:
    events = load_trial(tiny).adverse_events
    assert events["term"].tolist() == ["Pyrexia", "Rash", "Rash"]
    assert events["organ_class"].tolist() == ["General", "Not coded", "Skin"]
    assert events["grade"].dtype == "Int64"
    # AETOXGR; AESEV where AETOXGR is empty; neither.
    assert events["grade"][:2].tolist() == [1, 2]
    assert events["grade"].isna().tolist() == [False, False, True]
    assert events["related"].dtype == "boolean"
    assert events["related"][:2].tolist() == [True, False]
    assert events["serious"][:2].tolist() == [False, True]
    assert events[["related", "serious"]].isna().sum().tolist() == [1, 1]
    assert events["onset"][:2].tolist() == dates("2020-01-03", "2020-03-04")
    assert events["resolved"].isna().tolist() == [False, True, True]
    assert events["outcome"].tolist() == ["RECOVERED", "", ""]
    assert events["action"].tolist() == ["", "", ""]


def test_grade_is_aetoxgr_before_aesev(tiny: Path) -> None:
    edit_text(tiny / "adae.csv", "1,MILD", "1,SEVERE")
    with pytest.warns(TrialDataWarning, match="is not the grade that AESEV tells of; AETOXGR is used"):
        assert load_trial(tiny).adverse_events.loc[0, "grade"] == 1


COMPUTED_EVENTS = [
    *("group", "term", "organ_class", "grade", "related", "serious", "onset", "resolved"),
    *("onset_imputed", "resolved_imputed", "outcome", "action"),
]


@pytest.mark.parametrize("variant", ["no_adverse_events", "adverse_events_not_collected", "plain"])
def test_adverse_events_have_the_same_columns_with_and_without_rows(load_variant, variant: str) -> None:
    events = load_variant(variant).adverse_events
    assert (
        events[COMPUTED_EVENTS]
        .dtypes.drop("group")
        .equals(load_variant("small").adverse_events[COMPUTED_EVENTS].dtypes.drop("group"))
    )
    assert events["group"].cat.categories.tolist() == ["A", "B", "C", "D"]
    assert (len(events) == 0) == (variant != "plain")


def test_survival_has_one_row_per_subject(tiny: Path) -> None:
    frame = load_trial(tiny).survival("OS")
    assert frame.columns.tolist() == ["USUBJID", "group", "time", "event", "dose", "infusions", "time_enter"]
    assert (frame["time_enter"] == 0).all()
    assert frame["USUBJID"].tolist() == ["P1", "P2", "P3"]
    assert frame["time"].tolist() == [14.0, 3.5, 28.0]
    assert frame["event"].tolist() == [True, False, False]
    assert frame["event"].dtype == bool
    assert frame["infusions"].tolist() == [3.0, 1.0, 3.0]
    assert frame["group"].cat.ordered


def test_unknown_endpoint_names_the_known_ones(plain_trial: Trial) -> None:
    with pytest.raises(ValueError, match=r"no endpoint 'EFS' in this trial; it has PFS, OS"):
        plain_trial.survival("EFS")


def test_what_a_trial_answers(tiny: Path) -> None:
    trial = load_trial(str(tiny))
    assert trial.groups == ["C", "T"]
    assert trial.group_labels == {"C": "Control", "T": "Treated"}
    assert trial.endpoint_labels == {"OS": "Overall survival"}
    assert trial.unit == "days"
    assert not trial.is_illustrative
    assert trial.published is None
    assert trial.source == tiny
    assert trial.warnings == ()
    assert trial.endpoint_with_role("overall_survival") == "OS"
    assert trial.endpoint_with_role("progression_free_survival") is None
    expected = pd.DataFrame(
        {
            "group": ["C", "T"],
            "label": ["Control", "Treated"],
            "order": [1, 2],
            "infusions": [1, 3],
            "dose": [0.0, 1.5],
            "n": [1, 2],
        }
    )
    pd.testing.assert_frame_equal(trial.arm_table(), expected, check_dtype=False)


def test_every_variant_keeps_the_contract(any_trial: Trial) -> None:
    assert any_trial.warnings == ()
    assert any_trial.is_illustrative
    for frame in (any_trial.subjects, any_trial.times, any_trial.infusions, any_trial.adverse_events):
        assert frame["group"].cat.categories.tolist() == any_trial.groups
        assert frame["group"].notna().all()
        assert frame.index.tolist() == list(range(len(frame)))
    assert any_trial.subjects["enrolled"].notna().all()
    assert any_trial.arm_table()["n"].min() > 0
    for endpoint in any_trial.endpoint_labels:
        frame = any_trial.survival(endpoint)
        assert len(frame) == len(any_trial.subjects)
        assert np.isfinite(frame["time"]).all()


def test_variants_differ_as_their_names_say(load_variant) -> None:
    assert load_variant("group_missing").groups == ["A", "D"]
    assert load_variant("os_only").endpoint_labels.keys() == {"OS"}
    quiet = load_variant("no_events_group").times
    assert quiet.groupby("group", observed=True)["event"].any().to_dict() == {
        "A": True,
        "B": False,
        "C": True,
        "D": True,
    }
    small = load_variant("small")
    assert small.groups == ["LOW", "MID", "HIGH"]
    assert small.metadata.time_unit == "days"
    assert small.times["time"].max() == small.times["AVAL"].max() / 30.4375
    assert small.subjects["first_infusion"].isna().sum() == 1
    assert "<img src=x onerror=alert(1)>" in set(load_variant("hostile").adverse_events["term"])


def test_trial_without_a_source_is_the_bundled_one() -> None:
    checkout = Path(__file__).resolve().parents[1]
    assert locate_checkout() == checkout
    assert locate_bundled() == checkout / "data" / "nkhcc"


def test_bundled_trial_of_a_checkout_around_the_current_folder_or_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "nkhcc_helpers"
    monkeypatch.setattr(trial_module, "__file__", str(installed / "trial" / "trial.py"))
    checkout = tmp_path / "checkout"
    (checkout / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(checkout / "notebooks")
    (checkout / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert locate_bundled() == installed / "bundled" / "data" / "nkhcc"
    (checkout / "pyproject.toml").write_text('[project]\nname = "nkhcc-helpers"\n')
    assert locate_bundled() == checkout / "data" / "nkhcc"
    write_trial(checkout / "data" / "nkhcc")
    assert load_trial("").metadata.study_id == "PLAIN"


def test_error_travels_between_processes() -> None:
    error = TrialDataError([Problem("ADSL", 2, "AGE", "x", "must be a number")])
    copied = pickle.loads(pickle.dumps(error))
    assert copied.problems == error.problems
    assert str(copied) == "1 problem in the trial's files:\n  ADSL row 2 AGE 'x': must be a number"
    assert isinstance(error, ValueError)


def test_long_lists_are_cut_by_table_column_and_rule_but_kept() -> None:
    long = [
        Problem("ADTTE", row, "AVAL", "9", f"must not be longer than OS, {row}.5") for row in range(2, 59)
    ]
    other = Problem("ADTTE", 60, "CNSR", "x", "must be a number")
    error = TrialDataError([*long, other])
    lines = str(error).splitlines()
    assert len(error.problems) == 58
    assert len(lines) == 1 + N_LISTED + 1 + 1
    assert lines[0] == "58 problems in the trial's files:"
    assert lines[N_LISTED] == "  ADTTE row 4 AVAL '9': must not be longer than OS, 4.5"
    more = "and 54 more of the same kind, 57 in all (nkhcc check --all lists them)"
    assert lines[N_LISTED + 1] == f"  ADTTE AVAL: {more}"
    assert error.describe().splitlines()[1:] == [f"  {problem}" for problem in error.problems]
    assert lines[N_LISTED + 2] == "  ADTTE row 60 CNSR 'x': must be a number"


def test_values_cannot_steer_a_terminal_and_long_ones_are_cut() -> None:
    shown = str(Problem("ADSL", 3, "SEX\r", "\x1b[2J" + "x" * 200, "wrong"))
    assert shown == "ADSL row 3 SEX\\r '\\x1b[2J" + "x" * 56 + "...': wrong"
    assert format_printable("é\n\x1b\u202e") == "é\\n\\x1b\\u202e"


def test_suggestions_are_near_or_none() -> None:
    assert suggest_name("titel", ["title", "source"]) == "; did you mean 'title'?"
    assert suggest_name("cnsr", ["CNSRR"]) == "; did you mean 'CNSRR'?"
    assert suggest_name("zzz", ["title"]) == ""


def test_loading_is_lean_and_quiet(trial_folders: dict[str, Path]) -> None:
    """Whoever loads a trial pays for every import."""
    code = (
        "import sys; from nkhcc_helpers.trial import load_trial;"
        f"load_trial({str(trial_folders['plain'])!r});"
        "heavy = {'matplotlib', 'seaborn', 'scipy', 'lifelines', 'great_tables', 'papermill'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd="/"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_fixture_edits_change_one_cell(tmp_path: Path) -> None:
    folder = write_trial(tmp_path)
    before = (folder / "adsl.csv").read_text().splitlines()
    edit_cell(folder, "ADSL", 4, "AGE", "99")
    after = (folder / "adsl.csv").read_text().splitlines()
    assert [at for at, (old, new) in enumerate(zip(before, after, strict=True), start=1) if old != new] == [4]
    assert set(VARIANTS) >= {"plain", "small", "group_missing", "no_events_group", "hostile"}


def test_what_a_page_shows_needs_no_warning(tmp_path):
    unlisted = lambda rows: pd.concat([rows, rows.head(1).assign(PARAMCD="X")])  # noqa: E731
    folder = write_trial(tmp_path / "trial", adtte=unlisted)
    trial = load_trial(folder, warn=False)  # a warning would be an error here
    assert "are left out: X" in trial.warnings[0]
    with pytest.warns(TrialDataWarning, match="are left out: X"):
        load_trial(folder)
