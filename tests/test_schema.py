"""Every bad table: the exact table, row, column, value and rule, and nothing besides."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from generated import FEWER
from hypothesis import given
from hypothesis import strategies as st
from trials import edit_cell, edit_text, write_trial

from nkhcc_helpers.trial.problems import Problem, TrialDataError, TrialDataWarning
from nkhcc_helpers.trial.schema import parse_dates, parse_numbers
from nkhcc_helpers.trial.trial import load_trial


def problems_of(folder: Path) -> list[Problem]:
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    return list(caught.value.problems)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_trial(tmp_path / "trial")


NUMBER = "must be a finite number >= 0"
CENSORING = "must be a whole number >= 0"
DATE = "must be a date, YYYY-MM-DD"
ORDER = "is a date with the day or the month first; say which by date_order (dmy or mdy) in trial.yaml"
PARTIAL = "must be a date, YYYY-MM-DD, or the known part, YYYY-MM or YYYY (UN, UNK or -- for the rest)"
GRADE = "must be a grade, a whole number from 1 to 5"
YES_NO = "must be Y or N"


# S-01 (row 2 of ADSL) is in arm A, enrolled 2015-01-12, died 2015-07-05; its PFS and OS are rows 2 and 3.
@pytest.mark.parametrize(
    ("table", "row", "column", "value", "rule"),
    [
        ("ADSL", 2, "STUDYID", "OTHER", "is not the study of trial.yaml (PLAIN)"),
        ("ADSL", 2, "STUDYID", "", "must not be empty"),
        ("ADSL", 2, "TRT01P", "E", "is not an arm of trial.yaml (A, B, C, D)"),
        ("ADSL", 2, "TRT01P", "a", "is not an arm of trial.yaml (A, B, C, D)"),
        ("ADSL", 2, "TRT01P", "", "must not be empty"),
        ("ADSL", 2, "TRT01A", "E", "is not an arm of trial.yaml (A, B, C, D)"),
        ("ADSL", 2, "AGE", "old", NUMBER),
        ("ADSL", 2, "AGE", "-1", NUMBER),
        ("ADSL", 2, "AGE", "121", "must be an age in years, 120 at most"),
        ("ADSL", 2, "AFP", "<1", "must be a finite number"),
        ("ADSL", 2, "SEX", "X", "is not a level of SEX in trial.yaml (F, M)"),
        ("ADSL", 2, "SAFFL", "perhaps", YES_NO),
        ("ADSL", 2, "DTHDT", "05/07/2015", ORDER),
        ("ADSL", 2, "DTHDT", "31/12/2015", ORDER),
        ("ADSL", 2, "DTHDT", "13/13/2015", DATE),
        ("ADSL", 2, "DTHDT", "05/07/15", DATE),
        ("ADSL", 2, "DTHDT", "31FEB2015", DATE),
        ("ADSL", 2, "DTHDT", "201575", DATE),
        ("ADSL", 2, "DTHDT", "2015-13-40", DATE),
        ("ADSL", 2, "DTHDT", "2015-02-29", DATE),
        ("ADSL", 2, "DTHDT", "2015-07", DATE),
        ("ADSL", 2, "DTHDT", "9999-12-31", DATE),
        ("ADSL", 2, "DTHDT", "\N{ARABIC-INDIC DIGIT TWO}015-07-05", DATE),
        ("ADSL", 2, "TRTEDT", "2015-01-14", "must not be before TRTSDT, 2015-01-15"),
        ("ADTTE", 3, "AVAL", "", "must not be empty"),
        ("ADTTE", 3, "AVAL", "NA", "must not be empty"),
        ("ADTTE", 3, "AVAL", "-5.7", NUMBER),
        ("ADTTE", 3, "AVAL", "five", NUMBER),
        ("ADTTE", 3, "AVAL", "5,7", NUMBER),
        ("ADTTE", 3, "AVAL", "5_7", NUMBER),
        ("ADTTE", 3, "AVAL", "inf", NUMBER),
        ("ADTTE", 3, "AVAL", "1e999", NUMBER),
        ("ADTTE", 3, "AVAL", "nan", NUMBER),
        ("ADTTE", 2, "AVALU", "HOURS", "must be a unit of time (days, weeks, months, years)"),
        ("ADTTE", 2, "CNSR", "", "must not be empty"),
        ("ADTTE", 2, "CNSR", "0.5", CENSORING),
        ("ADTTE", 2, "CNSR", "-1", CENSORING),
        ("ADTTE", 2, "CNSR", "Y", CENSORING),
        ("ADTTE", 2, "PARAMCD", "pfs", "is written 'PFS' in trial.yaml"),
        ("ADTTE", 2, "ADT", "2015-01-11", "must not be before STARTDT, 2015-01-12"),
        ("ADEX", 2, "ASTDT", "2015-01-11", "must not be before enrolment, 2015-01-12"),
        ("ADEX", 2, "ASTDT", "", "must not be empty"),
        ("ADEX", 5, "AENDT", "2015-02-25", "must not be before ASTDT, 2015-02-26"),
        ("ADEX", 2, "EXDOSE", "", "must not be empty"),
        ("ADEX", 2, "EXDOSE", "half", NUMBER),
        ("ADEX", 2, "EXDOSE", "-0.5", NUMBER),
        ("ADEX", 2, "EXSEQ", "first", "must be a finite number"),
        ("ADAE", 2, "AEDECOD", "", "must not be empty"),
        ("ADAE", 2, "AETOXGR", "0", GRADE),
        ("ADAE", 2, "AETOXGR", "6", GRADE),
        ("ADAE", 2, "AETOXGR", "2.5", GRADE),
        ("ADAE", 2, "AETOXGR", "GRADE 1", GRADE),
        (
            "ADAE",
            2,
            "AEREL",
            "perhaps",
            "must be Y or N, or say how it is related (such as POSSIBLE, UNLIKELY); other words can be "
            "listed under related or not_related in trial.yaml",
        ),
        ("ADAE", 2, "AESER", "1", YES_NO),
        ("ADAE", 2, "TRTEMFL", "?", YES_NO),
        ("ADAE", 2, "ASTDT", "yesterday", PARTIAL),
        ("ADAE", 2, "AENDT", "2015-01-28", "must not be before ASTDT, 2015-01-29"),
        ("ADAE", 2, "USUBJID", "S-99", "subject is not in ADSL"),
        ("ADEX", 2, "USUBJID", "S-99", "subject is not in ADSL"),
    ],
)
def test_one_bad_cell_is_one_problem(
    folder: Path, table: str, row: int, column: str, value: str, rule: str
) -> None:
    edit_cell(folder, table, row, column, value)
    assert problems_of(folder) == [Problem(table, row, column, value, rule)]


def test_progression_free_survival_is_not_longer_than_overall_survival(folder: Path) -> None:
    drop_column(folder, "ADTTE", "ADT")
    edit_cell(folder, "ADTTE", 2, "AVAL", "5.8")
    rule = "PFS must not be longer than the subject's OS, 5.716632443531828"
    assert problems_of(folder) == [Problem("ADTTE", 2, "AVAL", "5.8", rule)]


def test_empty_endpoint_leaves_its_subject_without_one(folder: Path) -> None:
    edit_cell(folder, "ADTTE", 2, "PARAMCD", "")
    assert problems_of(folder) == [
        Problem("ADSL", 2, "USUBJID", "S-01", "subject has no row in ADTTE with PARAMCD PFS"),
        Problem("ADTTE", 2, "PARAMCD", "", "must not be empty"),
    ]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("ADTTE", "CNSR", "0.0"),
        ("ADTTE", "AVALU", "Month"),
        ("ADTTE", "AVAL", "+.345e1"),
        ("ADSL", "AGE", "."),
        ("ADSL", "AFP", "0"),
        ("ADSL", "TRTEDT", "NA"),
        ("ADAE", "AETOXGR", "3.0"),
        ("ADAE", "AETOXGR", ""),
        ("ADAE", "AEREL", "not Related"),
        ("ADAE", "AEREL", ""),
    ],
)
def test_harmless_spellings_are_read(folder: Path, table: str, column: str, value: str) -> None:
    edit_cell(folder, table, 2, column, f" {value} ")
    assert load_trial(folder).warnings == ()


def test_severity_words_are_known_words(tmp_path: Path) -> None:
    folder = write_trial(tmp_path / "small", variant="small")
    edit_cell(folder, "ADAE", 2, "AESEV", "Life-threatening")
    assert load_trial(folder).adverse_events.loc[0, "grade"] == 4
    edit_cell(folder, "ADAE", 2, "AESEV", "TERRIBLE")
    rule = "must be one of MILD, MODERATE, SEVERE, LIFE THREATENING, FATAL (AETOXGR for grades)"
    assert problems_of(folder) == [Problem("ADAE", 2, "AESEV", "TERRIBLE", rule)]


@pytest.mark.parametrize(("table", "when"), [("ADEX", "2015-07-06"), ("ADAE", "2015-07-06")])
def test_nothing_happens_after_death(folder: Path, table: str, when: str) -> None:
    edit_cell(folder, table, 2, "ASTDT", when)
    edit_cell(folder, table, 2, "AENDT", "")
    rule = "must not be after the subject's death, 2015-07-05"
    assert problems_of(folder) == [Problem(table, 2, "ASTDT", when, rule)]


def test_death_date_comes_from_overall_survival_when_adsl_has_none(folder: Path) -> None:
    drop_column(folder, "ADSL", "DTHDT")
    load_trial(folder)
    edit_cell(folder, "ADEX", 2, "ASTDT", "2015-07-06")
    edit_cell(folder, "ADEX", 2, "AENDT", "")
    (found,) = problems_of(folder)
    assert found.rule == "must not be after the subject's death, 2015-07-05"


def test_death_before_enrolment(folder: Path) -> None:
    edit_cell(folder, "ADSL", 4, "DTHDT", "2015-04-03")
    rule = "must not be before enrolment, 2015-04-04"
    assert problems_of(folder)[0] == Problem("ADSL", 4, "DTHDT", "2015-04-03", rule)


def test_duplicate_subject(folder: Path) -> None:
    edit_cell(folder, "ADSL", 7, "USUBJID", "S-01")
    found = problems_of(folder)
    assert Problem("ADSL", 7, "USUBJID", "S-01", "subject is there already in row 2") in found
    assert {(p.table, p.value, p.rule) for p in found[1:]} <= {
        ("ADTTE", "S-06", "subject is not in ADSL"),
        ("ADEX", "S-06", "subject is not in ADSL"),
        ("ADAE", "S-06", "subject is not in ADSL"),
        ("ADSL", "2015-08-08", "must not be before ENRLDT"),
    }


def test_duplicate_subject_and_endpoint(folder: Path) -> None:
    edit_cell(folder, "ADTTE", 3, "PARAMCD", "PFS")
    assert problems_of(folder) == [
        Problem("ADSL", 2, "USUBJID", "S-01", "subject has no row in ADTTE with PARAMCD OS"),
        Problem("ADTTE", 3, "PARAMCD", "PFS", "subject has this endpoint already in row 2"),
    ]


def test_copied_infusion(folder: Path) -> None:
    lines = (folder / "adex.csv").read_text().splitlines()
    (folder / "adex.csv").write_text("\n".join([*lines[:3], lines[2], *lines[3:]]))
    rule = "row is there already, the same in every column, in row 3"
    assert problems_of(folder) == [Problem("ADEX", 4, "USUBJID", "S-01", rule)]


def test_subject_without_a_row_for_an_endpoint(folder: Path) -> None:
    lines = (folder / "adtte.csv").read_text().splitlines()
    (folder / "adtte.csv").write_text("\n".join([lines[0], *lines[2:]]))
    rule = "subject has no row in ADTTE with PARAMCD PFS"
    assert problems_of(folder) == [Problem("ADSL", 2, "USUBJID", "S-01", rule)]


def test_arm_without_subjects_is_there_with_none(tmp_path: Path) -> None:
    folder = write_trial(
        tmp_path, adsl=lambda adsl: adsl.assign(TRT01P=adsl["TRT01P"].replace("C", "B")), published=None
    )
    assert load_trial(folder, warn=False).arm_table()["n"].tolist() == [3, 11, 0, 4]
    nobody = write_trial(tmp_path / "nobody", adsl=lambda adsl: adsl.iloc[:0], published=None)
    assert Problem("ADSL", None, "", "", "has a header and no rows") in problems_of(nobody)


def drop_column(folder: Path, table: str, column: str) -> None:
    path = folder / f"{table.lower()}.csv"
    pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns=column).to_csv(path, index=False)


REQUIRED = [
    *(("ADSL", name) for name in ("STUDYID", "USUBJID", "TRT01P", "AGE", "SEX", "AFP", "CHILDPUG")),
    *(("ADTTE", name) for name in ("USUBJID", "PARAMCD", "AVAL", "CNSR")),
    *(("ADEX", name) for name in ("USUBJID", "ASTDT", "EXDOSE")),
    *(("ADAE", name) for name in ("USUBJID", "AEDECOD")),
]


@pytest.mark.parametrize(("table", "column"), REQUIRED)
def test_missing_column(folder: Path, table: str, column: str) -> None:
    drop_column(folder, table, column)
    assert problems_of(folder) == [Problem(table, 1, column, "", "column is missing")]


@pytest.mark.parametrize(("table", "column"), REQUIRED)
def test_misspelt_column_gets_a_suggestion(folder: Path, table: str, column: str) -> None:
    misspelt = column[:-1] + "_" + column[-1]
    edit_text(folder / f"{table.lower()}.csv", column, misspelt)
    rule = f"column is missing; did you mean {misspelt!r}?"
    assert problems_of(folder) == [Problem(table, 1, column, "", rule)]


OPTIONAL = [
    ("ADSL", ["TRT01A", "SAFFL", "TRTSDT", "TRTEDT", "DTHDT", "EOSSTT"]),
    ("ADTTE", ["PARAM", "AVALU", "STARTDT", "ADT", "EVNTDESC", "CNSDTDSC"]),
    ("ADEX", ["AENDT", "EXDOSU", "EXSEQ"]),
    ("ADAE", ["AEBODSYS", "AEREL", "AESER", "ASTDT", "AENDT", "AEOUT", "AEACN", "TRTEMFL"]),
]


def test_optional_columns_may_be_absent(folder: Path) -> None:
    for table, columns in OPTIONAL:
        for column in columns:
            drop_column(folder, table, column)
    trial = load_trial(folder)
    assert trial.subjects["enrolled"].isna().all()
    assert trial.adverse_events["related"].isna().all()
    assert trial.adverse_events["onset"].isna().all()
    assert set(trial.adverse_events["organ_class"]) == {"Not coded"}
    assert set(trial.adverse_events["outcome"]) == {""}


def test_grade_needs_one_of_two_columns(folder: Path) -> None:
    edit_text(folder / "adae.csv", "AETOXGR", "AETOXGRN")
    rule = "column is missing (or AESEV); did you mean 'AETOXGRN'?"
    assert problems_of(folder) == [Problem("ADAE", 1, "AETOXGR", "", rule)]


@pytest.mark.parametrize("table", ["ADSL", "ADTTE", "ADEX", "ADAE"])
def test_missing_table(folder: Path, table: str) -> None:
    name = f"{table.lower()}.csv"
    (folder / name).unlink()
    (found,) = problems_of(folder)
    assert (found.table, found.row) == (table, None)
    assert found.rule.startswith(f"{name} is not in the folder")


def test_misnamed_table_gets_a_suggestion(folder: Path) -> None:
    (folder / "adsl.csv").rename(folder / "adls.csv")
    assert problems_of(folder)[0].rule == "adsl.csv is not in the folder; did you mean 'adls.csv'?"


def test_folder_without_anything(tmp_path: Path) -> None:
    found = problems_of(tmp_path)
    assert [p.table for p in found] == ["trial.yaml", "ADSL", "ADTTE", "ADEX"]


@pytest.mark.parametrize("table", ["ADSL", "ADTTE", "ADEX"])
def test_header_without_rows(folder: Path, table: str) -> None:
    path = folder / f"{table.lower()}.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert Problem(table, None, "", "", "has a header and no rows") in problems_of(folder)


def with_bytes(content: bytes | Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)

    return change


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def join(lines: list[bytes]) -> bytes:
    return b"\n".join(lines)


ZIP = "cannot be read as an Excel workbook: File is not a zip file"
OLD = "is a spreadsheet of old (xls); save it as xlsx or as CSV, UTF-8"
NOT_TEXT = "is not a text file; export it as CSV, UTF-8"


@pytest.mark.parametrize(
    ("change", "row", "value", "rule"),
    [
        (with_bytes(b""), None, "adex.csv", "is empty"),
        (with_bytes(b" \n\n"), None, "adex.csv", "is empty"),
        (with_bytes(b",,,\n,,,\n"), None, "adex.csv", "is empty"),
        (with_bytes(b"PK\x03\x04rest"), None, "adex.csv", ZIP),
        (with_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1"), None, "adex.csv", OLD),
        (with_bytes(b"\x1f\x8b\x08"), None, "adex.csv", "is compressed, and cut off or too large; unpack it"),
        (with_bytes(lambda old: old.replace(b"S-02", b"\x00", 1)), 6, "", NOT_TEXT),
        (with_bytes(lambda old: old.decode().encode("utf-16")[2:]), 1, "", NOT_TEXT),
        (
            with_bytes(lambda old: old.decode().encode("utf-16")[:-1]),
            105,
            "byte 0x0a",
            "is not UTF-16; save the file as UTF-8",
        ),
        (
            with_bytes(lambda old: old.replace(b"S-02", b'"S-02', 1)),
            6,
            "",
            "is not valid CSV: unexpected end of data",
        ),
        (make_folder, None, "adex.csv", "is a folder, not a file"),
    ],
)
def test_file_that_is_not_a_comma_separated_text(
    folder: Path, change: Callable[[Path], None], row: int | None, value: str, rule: str
) -> None:
    change(folder / "adex.csv")
    assert problems_of(folder) == [Problem("ADEX", row, "", value, rule)]


def test_rows_with_the_wrong_number_of_fields(folder: Path) -> None:
    """Subjects of rows that cannot be read are not said to be absent."""
    path = folder / "adsl.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1] + ",more", lines[2].rsplit(",", 2)[0], *lines[3:]]))
    assert problems_of(folder) == [
        Problem("ADSL", 2, "", "", "has 15 fields where the header has 14 fields"),
        Problem("ADSL", 3, "", "", "has 12 fields where the header has 14 fields"),
    ]


def test_rows_are_counted_as_lines_of_the_file(folder: Path) -> None:
    """A quoted line break and an empty line both move what follows."""
    path = folder / "adae.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("General disorders", '"General\ndisorders"')
    lines[2] = lines[2].replace(",2,Y,", ",9,Y,")
    path.write_text("\n".join([*lines[:2], "", *lines[2:]]))
    (found,) = problems_of(folder)
    assert (found.row, found.value) == (5, "9")
    assert path.read_text().splitlines()[4].startswith("S-01,Fatigue,General disorders,9")


def test_repeated_column(folder: Path) -> None:
    edit_text(folder / "adsl.csv", "AFP", "age")
    assert problems_of(folder)[0] == Problem("ADSL", 1, "AGE", "", "column is there more than once")


def test_case_byte_order_mark_line_ends_and_row_names_do_not_matter(folder: Path) -> None:
    before = load_trial(folder)
    text = (folder / "adsl.csv").read_text()
    header, *rows = text.splitlines()
    rows = [f"{number},{row}" for number, row in enumerate(rows, start=1)]
    (folder / "adsl.csv").unlink()
    content = "\r\n".join(["," + header.lower(), *rows, "," * (header.count(",") + 1)])
    (folder / "ADSL.CSV").write_bytes(b"\xef\xbb\xbf" + content.encode())
    (folder / "trial.yaml").rename(folder / "Trial.YAML")
    pd.testing.assert_frame_equal(load_trial(folder).subjects, before.subjects)


def test_two_files_for_one_table(folder: Path) -> None:
    (folder / "ADSL.csv").write_text((folder / "adsl.csv").read_text())
    assert problems_of(folder) == [
        Problem("ADSL", None, "", "ADSL.csv, adsl.csv", "only one of these may stand for ADSL")
    ]


def test_extra_columns_and_endpoints_are_kept_or_left_out(folder: Path) -> None:
    adtte = pd.read_csv(folder / "adtte.csv", dtype=str, keep_default_na=False)
    more = adtte.iloc[[0]].assign(PARAMCD="TTNT", AVAL="unknown")
    pd.concat([adtte.assign(group="received"), more]).to_csv(folder / "adtte.csv", index=False)
    said = "ADTTE: endpoints that trial.yaml does not list are left out: TTNT"
    with pytest.warns(TrialDataWarning, match=said):
        trial = load_trial(folder)
    assert trial.warnings == (said,)
    assert len(trial.times) == 36
    assert set(trial.times["GROUP"]) == {"received"}


def test_adverse_events_not_collected_but_there(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, metadata=lambda old: old | {"adverse_events": {"collected": False}})
    rule = "says false, but ADAE has 123 rows"
    assert problems_of(folder) == [Problem("trial.yaml", None, "adverse_events.collected", "false", rule)]


def test_folder_that_does_not_exist_or_is_a_file(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert problems_of(absent) == [
        Problem("folder", None, "", str(absent), f"does not exist; looked for {absent}")
    ]
    file = tmp_path / "file"
    file.write_text("x")
    rule = "is a file; give the folder that holds trial.yaml and the tables"
    assert problems_of(file) == [Problem("folder", None, "", str(file), rule)]
    assert problems_of(Path("a\0b"))[0].rule.startswith("cannot be read (")


def test_a_folder_that_is_not_there_is_looked_for_where_the_message_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert problems_of(Path("mine"))[0].rule == f"does not exist; looked for {tmp_path / 'mine'}"


def test_problems_of_all_files_are_listed_at_once(folder: Path) -> None:
    edit_text(folder / "trial.yaml", "title:", "titel:")
    edit_text(folder / "published.yaml", "kind: logrank_p", "kind: logrank")
    edit_text(folder / "adsl.csv", "TRT01A", "TRT01X")
    edit_cell(folder, "ADSL", 2, "DTHDT", "never")
    edit_cell(folder, "ADTTE", 5, "AVAL", "-1")
    edit_cell(folder, "ADTTE", 6, "USUBJID", "S-77")
    (folder / "adex.csv").write_bytes(b"PK\x03\x04")
    edit_cell(folder, "ADAE", 2, "AETOXGR", "7")
    edit_cell(folder, "ADAE", 4, "USUBJID", "S-88")
    found = problems_of(folder)
    assert [(p.table, p.row, p.column) for p in found] == [
        ("trial.yaml", 1, "title"),
        ("trial.yaml", 2, "titel"),
        ("published.yaml", 30, "claims[9].kind"),
        ("ADSL", 2, "DTHDT"),
        ("ADTTE", 5, "AVAL"),
        ("ADTTE", 6, "USUBJID"),
        ("ADEX", None, ""),
        ("ADAE", 2, "AETOXGR"),
        ("ADAE", 4, "USUBJID"),
    ]
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    lines = str(caught.value).splitlines()
    assert lines[0] == "9 problems in the trial's files:"
    assert lines[5] == "  ADTTE row 5 AVAL '-1': must be a finite number >= 0"
    assert len(lines) == 10


def test_parsers_read_what_is_written_and_nothing_else() -> None:
    numbers = parse_numbers(
        pd.Series(["1", "-.5", "2.", "1e2", "1e999", "x", "", "0x1", "\N{FULLWIDTH DIGIT ONE}"])
    )
    assert numbers[:4].tolist() == [1.0, -0.5, 2.0, 100.0]
    assert numbers[4:].isna().all()
    dates = parse_dates(pd.Series(["2020-02-29", "2021-02-29", "20200229", "", "1066-10-14"]))
    assert dates[0] == pd.Timestamp("2020-02-29")
    assert dates[1:].isna().all()


TABLES = ["adsl", "adtte", "adex", "adae"]
CELLS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            *("", "NA", "inf", "-1", "0", "1e400", "2015-13-40", "9999-01-01", "2015-UN"),
            *("S-02", "A", "=1+1", '"', "é"),
        ]
    ),
)


@pytest.mark.no_cover
@FEWER
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(TABLES), st.integers(0, 19), st.integers(0, 12), CELLS),
        min_size=1,
        max_size=6,
    )
)
def test_corrupted_cells_raise_nothing_but_the_one_error(
    trial_folders: dict[str, Path], edits: list[tuple[str, int, int, str]]
) -> None:
    folder = copy_trial(trial_folders["plain"])
    for table, row, column, value in edits:
        path = folder / f"{table}.csv"
        lines = path.read_text("utf-8").split("\n")
        if row < len(lines) - 1:
            cells = lines[row].split(",")
            cells[column % len(cells)] = value
            lines[row] = ",".join(cells)
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    load_or_refuse(folder)


@FEWER
@given(
    name=st.sampled_from([*(f"{table}.csv" for table in TABLES), "trial.yaml", "published.yaml"]),
    at=st.floats(0, 1),
    cut=st.integers(0, 200),
    put=st.binary(max_size=12),
)
def test_corrupted_bytes_raise_nothing_but_the_one_error(
    trial_folders: dict[str, Path], name: str, at: float, cut: int, put: bytes
) -> None:
    folder = copy_trial(trial_folders["plain"])
    content = (folder / name).read_bytes()
    start = int(at * len(content))
    (folder / name).write_bytes(content[:start] + put + content[start + cut :])
    load_or_refuse(folder)


def copy_trial(folder: Path) -> Path:
    """Copy a trial over the last example's copy."""
    return Path(shutil.copytree(folder, folder.with_name("corrupted"), dirs_exist_ok=True))


def load_or_refuse(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrialDataWarning)
        with contextlib.suppress(TrialDataError):
            assert load_trial(folder).times["time"].ge(0).all()
