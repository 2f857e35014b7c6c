"""What contradicts itself: the exact table, row and column where it is flat, a warning where it is doubtful.

Of the trial `plain`, S-01 (arm A, ADSL row 2, ADTTE rows 2 and 3) enrolled on 2015-01-12, progressed on
2015-04-27 (105 days, 3.45 months) and died on 2015-07-05 (174 days, 5.72 months); S-02 (B, rows 4 and 5)
died without progression on 2018-09-19; S-04 (D, ADSL row 5, ADTTE rows 8 and 9) was lost on 2016-01-09;
S-09 (A, ADSL row 10) was not treated. The data cut-off is 2021-06-30.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from trials import edit_cell, edit_text, write_trial

from nkhcc_helpers.trial.problems import Problem, TrialDataError, TrialDataWarning
from nkhcc_helpers.trial.trial import load_trial


def problems_of(folder: Path) -> list[Problem]:
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    return list(caught.value.problems)


def warnings_of(folder: Path) -> list[str]:
    with pytest.warns(TrialDataWarning) as caught:
        said = load_trial(folder).warnings
    assert [str(one.message) for one in caught] == list(said)
    return list(said)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_trial(tmp_path / "trial")


def scale(factor: float, decimals: int = 6):
    return lambda old: old.assign(AVAL=(old["AVAL"].astype(float) * factor).round(decimals).astype(str))


def flip(adtte: pd.DataFrame) -> pd.DataFrame:
    return adtte.assign(CNSR=adtte["CNSR"].map({"0": "1", "1": "0"}))


CENSORED = "says censored, but DTHDT of ADSL says that the subject died on 2015-07-05"
NO_DTHDT = "is fatal, but the subject has no DTHDT in ADSL"


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        # 5.0 months are 152 days, and the dates are 174 days apart.
        (
            [("ADTTE", 3, "AVAL", "5.0")],
            ("ADTTE", 3, "AVAL", "5.0", "is not the time from STARTDT to ADT, 174 days, in months"),
        ),
        ([("ADTTE", 3, "CNSR", "1"), ("ADTTE", 3, "EVNTDESC", "")], ("ADTTE", 3, "CNSR", "1", CENSORED)),
        # One row, one problem, although the description contradicts CNSR too.
        ([("ADTTE", 3, "CNSR", "1")], ("ADTTE", 3, "CNSR", "1", CENSORED)),
        (
            [("ADSL", 2, "DTHDT", "")],
            ("ADTTE", 3, "CNSR", "0", "says death, but the subject has no DTHDT in ADSL"),
        ),
        (
            [("ADSL", 2, "DTHDT", "2015-07-07")],
            ("ADTTE", 3, "ADT", "2015-07-05", "is not the date of death, DTHDT of ADSL: 2015-07-07"),
        ),
        (
            [("ADTTE", 9, "EVNTDESC", "Death from cancer"), ("ADTTE", 9, "CNSDTDSC", "")],
            ("ADTTE", 9, "EVNTDESC", "Death from cancer", "tells of death, but CNSR says censored"),
        ),
        (
            [("ADTTE", 2, "EVNTDESC", "Death")],
            (
                "ADTTE",
                2,
                "ADT",
                "2015-04-27",
                "is not the date of death, DTHDT of ADSL, though EVNTDESC tells of death: 2015-07-05",
            ),
        ),
        (
            [("ADTTE", 8, "EVNTDESC", "Died")],
            ("ADTTE", 8, "EVNTDESC", "Died", "tells of death, but the subject has no DTHDT in ADSL"),
        ),
        (
            [("ADTTE", 2, "ADT", "2015-07-07"), ("ADTTE", 2, "AVAL", "5.7")],
            ("ADTTE", 2, "ADT", "2015-07-07", "must not be after the subject's death, 2015-07-05"),
        ),
        (
            [("ADTTE", 9, "ADT", "2021-07-01"), ("ADTTE", 9, "AVAL", "73.59")],
            ("ADTTE", 9, "ADT", "2021-07-01", "must not be after the data cut-off, 2021-06-30"),
        ),
        (
            [("ADAE", 2, "AETOXGR", "5"), ("ADAE", 2, "USUBJID", "S-04")],
            ("ADAE", 2, "AETOXGR", "5", NO_DTHDT),
        ),
        (
            [("ADAE", 2, "AEOUT", "Fatal"), ("ADAE", 2, "USUBJID", "S-04"), ("ADAE", 2, "AETOXGR", "")],
            ("ADAE", 2, "AEOUT", "Fatal", NO_DTHDT),
        ),
        (
            [("ADSL", 2, "SAFFL", "N")],
            ("ADSL", 2, "SAFFL", "N", "says untreated, but ADEX has 4 infusions of the subject"),
        ),
    ],
)
def test_flat_contradiction(
    folder: Path, edits: list[tuple[str, int, str, str]], problem: tuple[str, int, str, str, str]
) -> None:
    if edits[0][0] == "ADAE":
        # S-04 enrolled later than S-01 had the event.
        edits = [*edits, ("ADAE", 2, "ASTDT", "2015-05-18"), ("ADAE", 2, "AENDT", "")]
    for edit in edits:
        edit_cell(folder, *edit)
    assert problems_of(folder) == [Problem(*problem)]


@pytest.mark.parametrize(("table", "aside"), [("ADEX", "AENDT"), ("ADAE", "AENDT")])
def test_nothing_happens_after_the_cut_off(folder: Path, table: str, aside: str) -> None:
    path = folder / f"{table.lower()}.csv"
    subjects = pd.read_csv(path, dtype=str)["USUBJID"]
    row = int(subjects.index[subjects == "S-04"][-1]) + 2
    edit_cell(folder, table, row, "ASTDT", "2021-07-01")
    edit_cell(folder, table, row, aside, "")
    rule = "must not be after the data cut-off, 2021-06-30"
    assert problems_of(folder) == [Problem(table, row, "ASTDT", "2021-07-01", rule)]


@pytest.mark.parametrize("table", ["ADTTE", "ADEX", "ADAE"])
def test_another_arm_than_in_adsl(folder: Path, table: str) -> None:
    path = folder / f"{table.lower()}.csv"
    arms = pd.read_csv(folder / "adsl.csv").set_index("USUBJID")["TRT01P"]
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.assign(TRT01P=frame["USUBJID"].map(arms)).to_csv(path, index=False)
    assert load_trial(folder).warnings == ()
    edit_cell(folder, table, 2, "TRT01P", "B")
    assert problems_of(folder) == [Problem(table, 2, "TRT01P", "B", "is not the subject's arm in ADSL, A")]


@pytest.mark.parametrize("word", ["FATAL", "Death"])
def test_fatal_severity_without_a_death(tmp_path: Path, word: str) -> None:
    folder = write_trial(tmp_path, variant="small", adae=lambda old: old[old["USUBJID"] == "S-04"])
    edit_cell(folder, "ADAE", 2, "AESEV", word)
    assert problems_of(folder) == [Problem("ADAE", 2, "AESEV", word, NO_DTHDT)]


def test_fatal_event_of_somebody_who_died(folder: Path) -> None:
    edit_cell(folder, "ADAE", 2, "AETOXGR", "5")
    edit_cell(folder, "ADAE", 2, "AEOUT", "FATAL")
    assert load_trial(folder).warnings == ()


@pytest.mark.parametrize(
    "edits",
    [
        # 174 days are 5.7166 months; with the first day counted 5.75; to a tenth 5.7; months of 30.4 days.
        [("ADTTE", 3, "AVAL", "5.75")],
        [("ADTTE", 3, "AVAL", "5.7")],
        [("ADTTE", 3, "AVAL", "5.7237")],
        [("ADSL", 2, "DTHDT", "2015-07-06")],
        [("ADTTE", 4, "EVNTDESC", "Progression or death")],
        [("ADTTE", 9, "EVNTDESC", "No death observed")],
        # Known to have died after the cut-off.
        [("ADSL", 5, "DTHDT", "2021-07-01")],
        [("ADSL", 2, "AGE", "120")],
        [("ADSL", 2, "TRT01A", "B")],
        [("ADTTE", 3, "ADT", ""), ("ADTTE", 3, "STARTDT", "")],
    ],
)
def test_what_conventions_allow(folder: Path, edits: list[tuple[str, int, str, str]]) -> None:
    for edit in edits:
        edit_cell(folder, *edit)
    assert load_trial(folder).warnings == ()


def test_times_rounded_to_a_tenth_of_a_year(tmp_path: Path) -> None:
    """Half a tenth of a year is 18 days."""
    folder = write_trial(
        tmp_path,
        metadata=lambda old: old | {"time_unit": "years"},
        adtte=lambda old: scale(30.4375 / 365.25, 1)(old).drop(columns=["AVALU", "PARAM"]),
        published=None,
    )
    assert load_trial(folder).warnings == ()


@pytest.mark.parametrize(
    ("unit", "factor"), [("days", 30.4375), ("weeks", 30.4375 / 7), ("years", 30.4375 / 365.25)]
)
def test_times_all_in_another_unit_are_one_problem(tmp_path: Path, unit: str, factor: float) -> None:
    folder = write_trial(tmp_path, adtte=scale(factor))
    rule = f"is in {unit} by STARTDT and ADT (PFS, OS), not in months; "
    rule += f"write time_unit: {unit} for PFS, OS in trial.yaml, or mend AVAL"
    assert problems_of(folder) == [Problem("ADTTE", None, "AVAL", "", rule)]


def test_another_unit_does_not_hide_a_row_that_fits_neither(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, adtte=scale(30.4375))
    edit_cell(folder, "ADTTE", 3, "AVAL", "500")
    found = problems_of(folder)
    assert [(p.table, p.row, p.column) for p in found] == [("ADTTE", None, "AVAL"), ("ADTTE", 3, "AVAL")]
    assert found[1].rule == "is not the time from STARTDT to ADT, 174 days, in months"


def test_one_endpoint_in_another_unit(tmp_path: Path) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        return old.assign(AVAL=old["AVAL"].where(old["PARAMCD"] == "OS", scale(1 / 12)(old)["AVAL"]))

    (found,) = problems_of(write_trial(tmp_path, adtte=change))
    assert found.rule.startswith("is in years by STARTDT and ADT (PFS), not in months")


def test_months_of_thirty_days_are_a_warning(tmp_path: Path) -> None:
    said = warnings_of(write_trial(tmp_path, adtte=scale(30.4375 / 30), published=None))
    assert said == [
        f"ADTTE AVAL: {code} counts months of 30 days, not of 30.4375, by STARTDT and ADT"
        for code in ("PFS", "OS")
    ]


def test_all_censored_and_nothing_against_it_is_a_warning(tmp_path: Path) -> None:
    folder = write_trial(
        tmp_path,
        adtte=lambda old: old.assign(CNSR="1").drop(columns=["EVNTDESC", "CNSDTDSC"]),
        adsl=lambda old: old.drop(columns="DTHDT"),
    )
    assert warnings_of(folder) == [
        f"ADTTE: endpoint {code} has no events (CNSR = 0 nowhere): is 1 the event?" for code in ("PFS", "OS")
    ]


def test_censoring_coded_one_and_two_is_one_problem_an_endpoint(tmp_path: Path) -> None:
    """18 rows of PFS describe events; 15 subjects have a date of death."""
    change = {"0": "1", "1": "2"}
    folder = write_trial(tmp_path, adtte=lambda old: old.assign(CNSR=old["CNSR"].map(change)))
    none = "has no events (CNSR = 0 nowhere): is 1 the event? DTHDT and EVNTDESC tell of"
    assert problems_of(folder) == [
        Problem("ADTTE", 2, "CNSR", "1", f"endpoint PFS {none} 18, the first here"),
        Problem("ADTTE", 3, "CNSR", "1", f"endpoint OS {none} 15, the first here"),
    ]


def test_dates_of_death_alone_contradict_an_endpoint_without_events(tmp_path: Path) -> None:
    """Four of the 15 who died had not progressed: for them PFS ends on the day of death."""
    folder = write_trial(
        tmp_path, adtte=lambda old: old.assign(CNSR="1").drop(columns=["EVNTDESC", "CNSDTDSC"])
    )
    found = problems_of(folder)
    assert [(p.row, p.column) for p in found] == [(3, "CNSR"), (4, "CNSR")]
    assert found[1].rule.endswith("tell of 4, the first here")


def test_inverted_censoring_is_one_problem_an_endpoint(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, adtte=flip)
    of_os = problems_of(folder)[1]
    rule = (
        "CNSR of OS looks inverted: all 18 rows that say whether the event happened (DTHDT, EVNTDESC, "
        "CNSDTDSC) contradict it; 0 must mean event"
    )
    assert of_os == Problem("ADTTE", 3, "CNSR", "1", rule)
    assert len(problems_of(folder)) == 2


def test_inversion_that_reasons_of_censoring_alone_tell_is_a_warning(tmp_path: Path) -> None:
    """Every row of PFS has a reason for censoring: nothing says that an event happened."""
    folder = write_trial(tmp_path, adsl=lambda old: old.drop(columns="DTHDT"))
    path = folder / "adtte.csv"
    adtte = pd.read_csv(path, dtype=str, keep_default_na=False)
    events = adtte[adtte["PARAMCD"] == "PFS"].index
    adtte.loc[events, "CNSDTDSC"] = "assessed"
    adtte.to_csv(path, index=False)
    rule = "CNSR of PFS looks inverted: all 18 rows that say whether the event happened"
    (said,) = warnings_of(folder)
    assert said.startswith(f"ADTTE: {rule}")


def test_death_dates_that_nobody_has_are_a_warning(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, adsl=lambda old: old.assign(DTHDT=""))
    assert warnings_of(folder) == ["ADSL DTHDT: is empty for everybody, but OS has 15 deaths"]


def test_death_after_censoring_without_a_cut_off_is_a_warning(folder: Path) -> None:
    edit_text(folder / "trial.yaml", "data_cut_off: 2021-06-30\n", "")
    edit_cell(folder, "ADSL", 5, "DTHDT", "2016-05-01")
    assert warnings_of(folder) == [
        "ADTTE row 9 CNSR: OS is censored before the death that DTHDT of ADSL tells of; trial.yaml has no "
        "data_cut_off"
    ]


def test_death_after_censoring_and_before_the_cut_off(folder: Path) -> None:
    edit_cell(folder, "ADSL", 5, "DTHDT", "2016-05-01")
    rule = "says censored, but DTHDT of ADSL says that the subject died on 2016-05-01"
    assert problems_of(folder) == [Problem("ADTTE", 9, "CNSR", "1", rule)]


def test_end_of_follow_up_without_adt_is_counted_from_the_start(folder: Path) -> None:
    """S-04 was followed from 2015-05-15 for 7.85 months, 239 days: to 2016-01-09."""
    edit_text(folder / "trial.yaml", "data_cut_off: 2021-06-30\n", "")
    edit_cell(folder, "ADTTE", 9, "ADT", "")
    edit_cell(folder, "ADSL", 5, "DTHDT", "2016-01-11")
    (said,) = warnings_of(folder)
    assert said.startswith("ADTTE row 9 CNSR: OS is censored before the death")
    edit_cell(folder, "ADSL", 5, "DTHDT", "2016-01-10")
    assert [(p.row, p.column) for p in problems_of(folder)] == [(9, "CNSR")]


def test_progression_on_a_censored_row_is_a_warning(folder: Path) -> None:
    edit_cell(folder, "ADTTE", 2, "CNSR", "1")
    said = ["ADTTE row 2 EVNTDESC: tells of an event of PFS, but CNSR says censored"]
    assert warnings_of(folder) == said
    edit_cell(folder, "ADTTE", 2, "EVNTDESC", "Progression after two missed visits")
    assert load_trial(folder).warnings == ()


def test_death_censors_an_endpoint_of_another_role(tmp_path: Path) -> None:
    """S-02 and three others died without progression, which is no event of time to progression."""

    def censor(old: pd.DataFrame) -> pd.DataFrame:
        died = (old["PARAMCD"] == "PFS") & (old["EVNTDESC"] == "DEATH")
        return old.assign(CNSR=old["CNSR"].mask(died, "1"))

    folder = write_trial(tmp_path, adtte=censor)
    edit_text(folder / "trial.yaml", "role: progression_free_survival", "role: other")
    assert load_trial(folder).warnings == ()


def test_more_infusions_than_planned_are_a_warning(folder: Path) -> None:
    """S-01 is to have four; the fifth by date is in row 2 once the first is dated last."""
    lines = (folder / "adex.csv").read_text()
    (folder / "adex.csv").write_text(lines + "S-01,5,2015-03-12,2015-03-12,0.5,NORMAL DOSE\n")
    row = len(lines.splitlines()) + 1
    said = "ASTDT: the subject has more infusions than planned for the arm"
    assert warnings_of(folder) == [f"ADEX row {row} {said}"]
    edit_cell(folder, "ADEX", 2, "ASTDT", "2015-03-19")
    edit_cell(folder, "ADEX", 2, "AENDT", "")
    assert warnings_of(folder)[0] == f"ADEX row 2 {said}"


@pytest.mark.parametrize(("factor", "shown"), [(1000.0, "1e+03"), (0.001, "0.001")])
def test_doses_in_other_units_are_a_warning(tmp_path: Path, factor: float, shown: str) -> None:
    """Group A: every dose is the planned one."""

    def change(adex: pd.DataFrame) -> pd.DataFrame:
        return adex.assign(EXDOSE=(adex["EXDOSE"].astype(float) * factor).astype(str))

    (said,) = warnings_of(write_trial(tmp_path, adex=change))
    rule = f"is {shown} times the planned dose (median); are its units those of trial.yaml?"
    assert said.startswith("ADEX rows 2, 3, 4, 5, 6 and ")
    assert said.endswith(f" more EXDOSE: {rule}")


def test_one_odd_dose_is_not_called_another_unit(folder: Path) -> None:
    edit_cell(folder, "ADEX", 2, "EXDOSE", "5000")
    assert load_trial(folder).warnings == ()


def test_treatment_emergent_before_treatment_is_a_warning(folder: Path) -> None:
    """S-01 had the first infusion on 2015-01-15; S-09 had none."""
    edit_cell(folder, "ADAE", 2, "ASTDT", "2015-01-14")
    edit_cell(folder, "ADAE", 3, "USUBJID", "S-09")
    assert warnings_of(folder) == [
        "ADAE row 2 ASTDT: begins before the subject's first infusion, but TRTEMFL says treatment-emergent",
        "ADAE row 3 TRTEMFL: says treatment-emergent, but the subject has no infusion",
    ]
    edit_cell(folder, "ADAE", 2, "TRTEMFL", "N")
    edit_cell(folder, "ADAE", 3, "TRTEMFL", "")
    assert load_trial(folder).warnings == ()


def test_safety_population_without_infusion_is_a_warning(folder: Path) -> None:
    """S-09 (ADSL row 10) had no infusion."""
    edit_cell(folder, "ADSL", 10, "SAFFL", "y")
    assert warnings_of(folder) == ["ADSL row 10 SAFFL: says treated, but ADEX has no infusion of the subject"]


@pytest.mark.parametrize(
    ("grade", "word", "doubtful"),
    [
        ("1", "severe", True),
        ("3", "MODERATE", True),
        ("4", "FATAL", True),
        ("2.0", "Moderate", False),
        ("4", "Life threatening", False),
        # CDISC's words for severity end with SEVERE.
        ("4", "SEVERE", False),
        ("5", "SEVERE", False),
        ("5", "MODERATE", True),
        ("", "SEVERE", False),
        ("1", "", False),
    ],
)
def test_grade_against_severity_is_a_warning(tmp_path: Path, grade: str, word: str, doubtful: bool) -> None:
    """The event of row 2 is of S-01, who died."""
    folder = write_trial(tmp_path, adae=lambda adae: adae.assign(AESEV=""))
    edit_cell(folder, "ADAE", 2, "AETOXGR", grade)
    edit_cell(folder, "ADAE", 2, "AESEV", word)
    said = "ADAE row 2 AETOXGR: is not the grade that AESEV tells of; AETOXGR is used"
    if doubtful:
        assert warnings_of(folder) == [said]
    else:
        assert load_trial(folder).warnings == ()


def test_age_in_another_unit_may_be_above_120(folder: Path) -> None:
    edit_text(folder / "trial.yaml", "unit: years", "unit: months")
    edit_cell(folder, "ADSL", 2, "AGE", "600")
    assert load_trial(folder).warnings == ()


def test_contradictions_are_found_without_trial_yaml(folder: Path) -> None:
    edit_text(folder / "trial.yaml", "title:", "titel:")
    edit_cell(folder, "ADSL", 2, "SAFFL", "N")
    assert [(p.table, p.column) for p in problems_of(folder)][-1] == ("ADSL", "SAFFL")
