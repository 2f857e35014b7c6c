"""A trial's tables in every format and dialect that is read, and files of each that cannot be."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest
from trials import write_trial
from written_formats import FORMATS, TABLES, change_dates, label, read_cells, rewrite, to_text, to_xpt

from nkhcc_helpers.trial import Trial, TrialDataError, load_trial
from nkhcc_helpers.trial.files import read_table
from nkhcc_helpers.trial.problems import Problem, RawTable
from nkhcc_helpers.trial.schema import list_kinds

pytestmark = pytest.mark.filterwarnings("ignore::nkhcc_helpers.trial.problems.TrialDataWarning")
BUNDLED = Path(__file__).parents[1] / "data" / "nkhcc"
SAS = Path(__file__).parent / "reference" / "sas"
TYPED = ["xpt 5", "xpt 8", "parquet", "json", "ndjson", "xlsx"]
GENERATED = [*TYPED, "decimal commas", "UTF-16 tabs", "json gzip", "dates in words"]
"""Formats in which a generated trial is written, and the bundled one in the full run only."""
FRAMES = ("subjects", "times", "infusions", "adverse_events")


def assert_same(trial: Trial, other: Trial, **options: Any) -> None:
    options = options or {"check_exact": True}
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(trial, name), getattr(other, name), **options)


def read_one(
    path: Path, table: str = "ADSL", **options: Any
) -> tuple[RawTable | None, list[Problem], list[str]]:
    """Read one file as a table; nothing but problems may come of it, and some where there is no table."""
    problems: list[Problem] = []
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = read_table([path], table, list_kinds(table, None), problems, said, **options)
    assert problems or raw is not None
    return raw, problems, said


@pytest.fixture(scope="module")
def bundled(bundled_trial: Trial) -> Trial:
    return bundled_trial


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial with letters beyond ASCII and numbers of many digits."""
    return write_trial(
        tmp_path_factory.mktemp("generated") / "plain",
        adae=lambda old: old.assign(AEDECOD=old["AEDECOD"].str.replace("Fatigue", "Müdigkeit à l'été")),
        adsl=lambda old: old.assign(AFP=[repr(float(text or 1) / 3) for text in old["AFP"]]),
    )


@pytest.fixture(scope="module")
def known(generated: Path) -> Trial:
    return load_trial(generated)


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.slow] * (form in GENERATED)) for form in FORMATS]
)
def test_bundled_trial_in_every_format(tmp_path: Path, bundled: Trial, form: str) -> None:
    trial = load_trial(rewrite(BUNDLED, tmp_path / "written", form))
    assert_same(trial, bundled)
    by_number = form.endswith("of SAS")
    assert len(trial.warnings) == (4 if by_number else 0)
    if form == "days of SAS":
        start = "ADSL ENRLDT, TRTSDT, TRTEDT, DTHDT: numbers are read as dates of SAS, days since 1960"
        assert trial.warnings[0] == f"{start}, such as 20088 = 2014-12-31"


def test_bundled_trial_as_sas_data_sets(tmp_path: Path, bundled: Trial) -> None:
    for path in [*SAS.iterdir(), BUNDLED / "trial.yaml", BUNDLED / "published.yaml"]:
        shutil.copy(path, tmp_path)
    trial = load_trial(tmp_path)
    assert_same(trial, bundled)
    assert trial.warnings == ()


@pytest.mark.parametrize("form", GENERATED)
def test_generated_trial_in_every_format(tmp_path: Path, generated: Path, known: Trial, form: str) -> None:
    # openpyxl, which writes the workbook here, keeps 16 digits.
    digits = {"check_exact": form != "xlsx"} | ({"rtol": 1e-15} if form == "xlsx" else {})
    trial = load_trial(rewrite(generated, tmp_path / "written", form))
    assert_same(trial, known, **digits)
    assert trial.warnings == known.warnings


def test_another_encoding_is_said(tmp_path: Path, generated: Path, known: Trial) -> None:
    def write(frame: pd.DataFrame, path: Path) -> Path:
        return to_text(frame, path, encoding="cp1252", sep=";")

    folder = rewrite(generated, tmp_path / "written")
    write(read_cells(generated / "adae.csv"), folder / "adae.csv")
    trial = load_trial(folder)
    assert_same(trial, known)
    (said,) = trial.warnings
    assert said.startswith("ADAE: is not UTF-8 and is read as Windows-1252, such as 'Müdigkeit' in row ")


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"USUBJID,X\nP1,caf\xc3\xa9\nP2,caf\xe9\n", "byte 0xe9"), (b"USUBJID,X\nP1,caf\x81\n", "byte 0x81")],
)
def test_damaged_encodings_are_refused(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "adsl.csv").write_bytes(content)
    _, (found,), _ = read_one(tmp_path / "adsl.csv")
    assert found.value == value
    assert found.row == content.count(b"\n")


def test_sas_text_in_another_encoding_is_said(tmp_path: Path) -> None:
    frame = pd.DataFrame({"USUBJID": ["P1"], "SITE": ["Zurich"]})
    path = to_xpt(frame, tmp_path / "adsl.xpt")
    path.write_bytes(path.read_bytes().replace(b"Zurich", b"Z\xfcrich"))
    raw, problems, said = read_one(path)
    assert (raw.frame["SITE"].tolist(), problems) == (["Zürich"], [])
    assert said == ["ADSL: its text is not UTF-8 and is read as Windows-1252"]


@pytest.mark.parametrize("form", [*TYPED, "sas7bdat"])
def test_rows_and_labels(tmp_path: Path, form: str) -> None:
    if form == "sas7bdat":
        path = SAS / "adsl.sas7bdat"
    else:
        ending, write = FORMATS[form]
        path = write(read_cells(BUNDLED / "adsl.csv"), tmp_path / f"adsl.{ending}")
    raw, problems, said = read_one(path)
    assert (problems, said) == ([], [])
    assert raw.frame.index.tolist() == [*range(2, 20)]
    assert raw.labels == ({} if form == "xlsx" else {name: label(name) for name in raw.frame})
    expected = read_one(BUNDLED / "adsl.csv")[0].frame
    for name in ("RECMON", "AFP"):
        expected[name] = expected[name].str.removesuffix(".0")  # a whole number has no decimals
    pd.testing.assert_frame_equal(raw.frame, expected)


NUMBERS = [0.1, 1 / 3, 53.0, -0.0, 1e-300, 1.6099, 123456789.123456789, 2.0**60, -7.25]


@pytest.mark.parametrize("form", ["parquet", "json", "xlsx"])
def test_numbers_keep_their_bits(tmp_path: Path, form: str) -> None:
    path, numbers = tmp_path / f"adsl.{form}", NUMBERS
    if form == "parquet":
        pq.write_table(pa.table({"AGE": NUMBERS}), path)
    elif form == "json":
        columns = [{"itemOID": "IT", "name": "AGE", "label": "Age", "dataType": "double"}]
        path.write_text(json.dumps({"columns": columns, "rows": [[each] for each in NUMBERS]}))
    else:
        numbers = [float(f"{each:.16g}") for each in NUMBERS if each]  # as openpyxl writes them
        book = openpyxl.Workbook()
        for each in ["AGE", *numbers]:
            book.active.append([each])
        book.save(path)
    raw, _, _ = read_one(path)
    assert [float(text).hex() for text in raw.frame["AGE"]] == [each.hex() for each in numbers]
    assert raw.frame["AGE"][4] == "53"


def test_numbers_of_transport_files_keep_their_bits(tmp_path: Path) -> None:
    frame = pd.DataFrame({"AGE": [each for each in NUMBERS if abs(each) > 1e-70]})
    pyreadstat.write_xport(frame, str(tmp_path / "adsl.xpt"), file_format_version=5)
    raw, _, _ = read_one(tmp_path / "adsl.xpt")
    assert [float(text) for text in raw.frame["AGE"]] == frame["AGE"].tolist()


def test_typed_dates_and_times(tmp_path: Path) -> None:
    columns = {
        "ENRLDT": (19243.0, "DATE9."),
        "TRTSDT": (19243.5, "YYMMDD10."),
        "TRTEDT": (1662625800.0, "DATETIME20."),
        "DTHDT": (19243.0, "E8601DA."),
        "OTHERDTM": (1662625800.0, "E8601DT."),
        "RFDTM": (1662595200.0, "DTDATE9."),
        "ODD": (1e12, "DATE9."),
        "PLAIN": (19243.0, "BEST12."),
    }
    frame = pd.DataFrame({name: [value] for name, (value, _) in columns.items()})
    forms = {name: form for name, (_, form) in columns.items()}
    for version, name in ((5, "adsl.xpt"), (8, "ADSL.XPT")):
        pyreadstat.write_xport(
            frame, str(tmp_path / name), file_format_version=version, variable_format=forms
        )
        raw, problems, said = read_one(tmp_path / name)
        assert (problems, said) == ([], [])
        (row,) = raw.frame.to_dict("records")
        assert {row[name] for name in ("ENRLDT", "TRTSDT", "TRTEDT", "DTHDT")} == {"2012-09-07"}
        assert (row["OTHERDTM"], row["RFDTM"]) == ("2012-09-07T08:30:00", "2012-09-07T00:00:00")
        assert (row["ODD"], row["PLAIN"]) == ("1000000000000", "19243")


def test_json_dates_as_numbers_of_sas(tmp_path: Path) -> None:
    described = {"dataType": "integer", "targetDataType": "integer"}
    columns = [
        {"name": "ENRLDT", **described, "displayFormat": "DATE9."},
        {"name": "DTHDT", "dataType": "date", "targetDataType": "integer"},
        {"name": "AGE", "dataType": "decimal"},
    ]
    path = tmp_path / "adsl.json"
    path.write_text(
        json.dumps({"columns": columns, "rows": [[19243, 19244, "53.50"], [None, "2012-09-09", None]]})
    )
    raw, _, _ = read_one(path)
    assert raw.frame.to_numpy().tolist() == [["2012-09-07", "2012-09-08", "53.50"], ["", "2012-09-09", ""]]


DATES = {
    "2012-09-07T08:30": "2012-09-07",
    "2012-09-07T08:30:00Z": "2012-09-07",
    "2012-09-07 08:30:00.5": "2012-09-07",
    "2012-09-07T": "2012-09-07T",
    "2012-9-7": "2012-09-07",
    "2012/09/07": "2012-09-07",
    "2012.09.07": "2012-09-07",
    "20120907": "2012-09-07",
    "07SEP2012": "2012-09-07",
    "7 September 2012": "2012-09-07",
    "07-Sep-2012": "2012-09-07",
    "07sep2012:08:30:00": "2012-09-07",
    "31FEB2012": "31FEB2012",
    "07SEP12": "07SEP12",
    "07DEZ2012": "07DEZ2012",
    "2012-09/07": "2012-09/07",
    "07SEP1676": "07SEP1676",
    "": "",
    "NA": "NA",
    ".": ".",
}


def write_dates(path: Path, cells: list[str], column: str = "DTHDT") -> Path:
    return to_text(pd.DataFrame({"USUBJID": [f"P{k}" for k in range(len(cells))], column: cells}), path)


def test_spellings_of_dates(tmp_path: Path) -> None:
    raw, problems, said = read_one(write_dates(tmp_path / "adsl.csv", list(DATES)))
    assert raw.frame["DTHDT"].tolist() == list(DATES.values())
    assert (problems, said) == ([], [])


@pytest.mark.parametrize(
    ("order", "read"),
    [
        ("dmy", ["2012-07-09", "2012-12-31", "12/31/2012", "2012-07-09"]),
        ("mdy", ["2012-09-07", "31/12/2012", "2012-12-31", "2012-09-07"]),
        ("ymd", ["09/07/2012", "31/12/2012", "12/31/2012", "9.7.2012 08:30"]),
        (None, ["09/07/2012", "31/12/2012", "12/31/2012", "9.7.2012 08:30"]),
    ],
)
def test_day_or_month_first(tmp_path: Path, order: str | None, read: list[str]) -> None:
    written = ["09/07/2012", "31/12/2012", "12/31/2012", "9.7.2012 08:30"]
    raw, _, _ = read_one(write_dates(tmp_path / "adsl.csv", written), date_order=order)
    assert raw.frame["DTHDT"].tolist() == read


def test_months_in_words_where_a_date_may_be_partial(tmp_path: Path) -> None:
    cells = ["SEP2012", "07SEP2012", "2012", "2012-09"]
    path = write_dates(tmp_path / "adae.csv", cells, "ASTDT")
    assert read_one(path, "ADAE")[0].frame["ASTDT"].tolist() == ["2012-09", "2012-09-07", "2012", "2012-09"]
    path = write_dates(tmp_path / "adex.csv", cells, "ASTDT")
    assert read_one(path, "ADEX")[0].frame["ASTDT"].tolist()[0] == "SEP2012"


@pytest.mark.parametrize(
    "cells", [["19243", "2012-09-08"], ["19243", "41159"], ["193"], ["2012", "2013"], ["1e4"]]
)
def test_numbers_that_are_no_dates_of_sas(tmp_path: Path, cells: list[str]) -> None:
    raw, _, said = read_one(write_dates(tmp_path / "adsl.csv", cells))
    assert (raw.frame["DTHDT"].tolist(), said) == (cells, [])


def problems_of(folder: Path) -> list[Problem]:
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    return list(caught.value.problems)


def test_day_first_by_trial_yaml(tmp_path: Path, bundled: Trial) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return change_dates(frame, "{:%d/%m/%Y}".format)

    assert_same(load_trial(rewrite(BUNDLED, tmp_path / "told", change=change, date_order="dmy")), bundled)
    found = problems_of(rewrite(BUNDLED, tmp_path / "not", change=change))
    assert len(found) == 10
    rule = "is a date with the day or the month first; say which by date_order (dmy or mdy) in trial.yaml"
    said = f"18 of 18 values, such as '01/05/2015' and '31/12/2014': {rule}"
    assert found[0] == Problem("ADSL", None, "ENRLDT", "", said)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DTHDT", "never", "16 of 16 values, such as 'never': must be a date, YYYY-MM-DD"),
        ("AGE", "old", "18 of 18 values, such as 'old': must be a finite number >= 0"),
        ("STUDYID", "", "18 of 18 values: must not be empty"),
    ],
)
def test_one_mistake_of_a_whole_column_is_one_problem(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        return (
            frame.assign(**{name: frame[name].where(frame[name] == "", value)}) if "AGE" in frame else frame
        )

    found = problems_of(rewrite(BUNDLED, tmp_path / "spoilt", change=spoil))
    assert found == [Problem("ADSL", None, name, "", said)]


def test_decimal_commas_are_those_of_a_whole_column(tmp_path: Path) -> None:
    path = tmp_path / "adsl.csv"
    path.write_text("USUBJID;AGE;SEX;WEIGHT\nP1;1,5;1,5;1,5\nP2;NA;2,5;\nP3;-2,5e1;3;70\n")
    raw, _, _ = read_one(path)
    assert raw.frame["AGE"].tolist() == ["1.5", "NA", "-2.5e1"]
    assert raw.frame["SEX"].tolist() == ["1,5", "2,5", "3"]
    path.write_text("USUBJID;AGE\nP1;1,5\nP2;2.5\n")
    assert read_one(path)[0].frame["AGE"].tolist() == ["1,5", "2.5"]
    path.write_text("USUBJID;AGE\nP1;1.000,5\nP2;2,5\n")
    assert read_one(path)[0].frame["AGE"].tolist() == ["1.000,5", "2,5"]
    path.write_text('USUBJID,AGE\nP1,"1,5"\n')
    assert read_one(path)[0].frame["AGE"].tolist() == ["1,5"]


def test_a_table_in_two_formats_is_an_error_naming_both(tmp_path: Path) -> None:
    folder = rewrite(BUNDLED, tmp_path / "both")
    to_xpt(read_cells(folder / "adsl.csv"), folder / "Adsl.XPT")
    assert problems_of(folder) == [
        Problem("ADSL", None, "", "Adsl.XPT, adsl.csv", "only one of these may stand for ADSL")
    ]


def test_other_files_stand_for_no_table(tmp_path: Path, bundled: Trial) -> None:
    folder = rewrite(BUNDLED, tmp_path / "more")
    for name in ("adsl.md", "adsl.csv.bak", "adsl_old.csv", "~adsl.xlsx", "adsl.pdf", "adsl"):
        (folder / name).write_text("x")
    assert_same(load_trial(folder), bundled)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("name", ["adsl.csv", "adsl.xpt", "adsl.xlsx", "trial.yaml", "published.yaml"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_folder, "folder"),
        (os.mkfifo, "pipe"),
        (make_socket, "socket"),
        (lambda path: path.symlink_to("/dev/zero"), "device"),
    ],
)
def test_what_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[Path], None], said: str
) -> None:
    rewrite(BUNDLED, tmp_path / "t")
    monkeypatch.chdir(tmp_path / "t")  # the name of a socket must be short
    for path in Path().glob(f"{name.split('.')[0]}.*"):
        path.unlink()
    make(Path(name))
    found = problems_of(Path())
    if said != "folder" or name.startswith("adsl"):
        assert found[0].rule == f"is a {said}, not a file"
    assert found[0].value == name


@pytest.mark.parametrize("form", ["csv", "gzip", "sas7bdat", *TYPED])
def test_files_cut_off_or_damaged_are_problems(tmp_path: Path, form: str) -> None:
    """Whatever bytes a file holds: a table or problems, and never another error."""
    ending, write = ("csv", to_text) if form in ("csv", "sas7bdat") else FORMATS[form]
    path = tmp_path / f"adsl.{ending}"
    whole = (SAS / "adsl.sas7bdat").read_bytes() if form == "sas7bdat" else b""
    whole = whole or write(read_cells(BUNDLED / "adsl.csv"), path).read_bytes()
    draw = random.Random(20260124)
    for number in range(40):
        content = bytearray(whole)
        at = draw.randrange(len(whole) if number % 3 else min(len(whole), 2000))
        match number % 4:
            case 0:
                del content[at:]
            case 1:
                for _ in range(draw.choice([1, 10, 100])):
                    content[draw.randrange(len(content))] = draw.randrange(256)
            case 2:
                content[at : at + 100] = bytes(50)
            case 3:
                content[at:at] = draw.randbytes(draw.randrange(1, 30))
        path.write_bytes(content)
        read_one(path)
    for content in (b"", draw.randbytes(1000), whole[:8] + draw.randbytes(1000), whole[:100]):
        path.write_bytes(content)
        if form != "csv":
            assert read_one(path)[0] is None


def test_a_transport_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    """Its readers take what is left for the whole."""
    for version in (5, 8):
        path = to_xpt(read_cells(BUNDLED / "adsl.csv"), tmp_path / "adsl.xpt", version)
        whole = path.read_bytes()
        width = (len(whole) - whole.index(b"HEADER RECORD*******OBS") - 80) // 18
        for left in (len(whole) - 40, len(whole) - 80, len(whole) - 160, len(whole) - 5 * width):
            path.write_bytes(whole[:left])
            raw, problems, _ = read_one(path)
            assert raw is None
            assert problems[0].rule == "is cut off; copy or write it again"


def write_workbook(path: Path, *rows: list[Any]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return book


def spoil_formula(path: Path) -> None:
    write_workbook(path, ["USUBJID", "AGE"], ["P1", "=1+1"])


def spoil_merged(path: Path) -> None:
    book = write_workbook(path, ["USUBJID", "AGE"], ["P1", 1], [None, 2])
    book.active.merge_cells("A2:A3")
    book.save(path)


def spoil_error(path: Path) -> None:
    write_workbook(path, ["USUBJID", "AGE"], ["P1", "#N/A"])


def spoil_sheets(path: Path) -> None:
    book = write_workbook(path, ["USUBJID", "AGE"], ["P1", 1])
    book.create_sheet("Notes")
    book.save(path)


def spoil_list(path: Path) -> None:
    pq.write_table(pa.table({"USUBJID": ["P1"], "AGE": [[1, 2]]}), path)


def spoil_bytes(path: Path) -> None:
    pq.write_table(pa.table({"USUBJID": [b"\x00\xff"]}), path)


def spoil_names(path: Path) -> None:
    pq.write_table(pa.table([["P1"], ["P2"]], names=["USUBJID", "usubjid"]), path)


def spoil_header(path: Path) -> None:
    whole = to_xpt(pd.DataFrame({"USUBJID": ["P1"]}), path).read_bytes()
    path.write_bytes(whole.replace(b"NAMESTR HEADER", b"NAMESPR HEADER"))


def spoil_members(path: Path) -> None:
    whole = to_xpt(pd.DataFrame({"USUBJID": ["P1"]}), path).read_bytes()
    path.write_bytes(whole + whole[240:])


def with_bytes(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


def with_text(text: str) -> Callable[[Path], Any]:
    return with_bytes(text.encode())


def with_rows(rows: str) -> Callable[[Path], Any]:
    return with_text(f'{{{COLUMNS}, "rows": [{rows}]}}')


COLUMNS = '"columns": [{"name": "USUBJID", "dataType": "string"}]'
JSON = "cannot be read as CDISC Dataset-JSON 1.1, columns and rows: "


@pytest.mark.parametrize(
    ("name", "spoil", "row", "rule"),
    [
        ("xlsx", spoil_formula, 2, "is a formula whose value was not stored; "),
        ("xlsx", spoil_merged, None, "has merged cells (A2:A3); unmerge them"),
        ("xlsx", spoil_error, 2, "is an error, #N/A"),
        ("xlsx", spoil_sheets, None, "has several sheets (Sheet, Notes); name the one to be read ADSL"),
        ("xlsx", lambda path: write_workbook(path), None, "is empty"),
        ("parquet", spoil_list, None, "holds list<element: int64> in a cell; "),
        ("parquet", spoil_bytes, None, "holds a bytes in a cell; "),
        ("parquet", spoil_names, 1, "column is there more than once"),
        ("xpt", spoil_header, None, "cannot be read as a SAS transport file: Invalid file"),
        ("xpt", spoil_members, None, "holds 2 tables; write each into a file of its own"),
        ("json", with_text('{"rows": [], "rows": []}'), None, "key 'rows' is there twice"),
        ("json", with_text("{}"), None, f"{JSON}it is not built as one"),
        ("json", with_text("[1, 2]"), None, f"{JSON}it is not built as one"),
        ("json", with_text("[" * 100_000), None, f"{JSON}maximum recursion depth"),
        ("json", with_rows('["P1"], "P2"'), 3, "is not Dataset-JSON 1.1, in which each row is a list"),
        ("json", with_rows('[["P1"]]'), None, "holds a list in a cell; "),
        ("json", with_rows("[NaN]"), None, "holds NaN, which is not JSON; an empty cell is null"),
        ("json", with_rows('["P1", 2]'), 2, "has 2 fields where the header has 1 field"),
        (
            "ndjson",
            with_text(f'{{{COLUMNS}, "records": 3}}\n["P1"]\n'),
            None,
            "tells of 3 records and has 1; ",
        ),
        ("rds", with_bytes(b"X\n\0\0\0\x03"), None, "is R's own format, which only R reads for certain; "),
        ("sav", with_bytes(b"$FL2@(#)"), None, "is an SPSS file; export it as CSV"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, spoil: Callable[[Path], Any], row: int | None, rule: str
) -> None:
    path = tmp_path / f"adsl.{name}"
    spoil(path)
    _, (found,), _ = read_one(path)
    assert found.row == row
    assert found.rule.startswith(rule)


@pytest.mark.parametrize("form", [*TYPED, "tabs", "gzip"])
def test_no_adverse_event(tmp_path: Path, form: str) -> None:
    ending, write = FORMATS[form]
    path = write(read_cells(BUNDLED / "adae.csv").iloc[:0], tmp_path / f"adae.{ending}")
    raw, problems, _ = read_one(path, "ADAE")
    assert problems == []
    assert len(raw.frame) == 0
    assert raw.frame.columns.tolist()[:3] == ["STUDYID", "USUBJID", "TRT01P"]


def test_formulas_with_values_sheets_by_name_and_stray_cells(tmp_path: Path) -> None:
    book = write_workbook(tmp_path / "adsl.xlsx", ["notes"])
    sheet = book.create_sheet("adsl")
    for row in ([], ["USUBJID", "AGE", "DTHDT"], ["P1", 53, pd.Timestamp("2012-09-07")], [], ["P2"]):
        sheet.append(row)
    sheet["C1048576"].number_format = "0"
    book.save(tmp_path / "adsl.xlsx")
    raw, problems, _ = read_one(tmp_path / "adsl.xlsx")
    assert problems == []
    assert raw.frame.to_numpy().tolist() == [["P1", "53", "2012-09-07"], ["P2", "", ""]]
    assert raw.frame.index.tolist() == [3, 5]


@pytest.mark.no_cover
def test_a_table_of_400_columns(tmp_path: Path, bundled: Trial) -> None:
    def widen(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat(
            [frame, pd.DataFrame("x", index=frame.index, columns=[f"V{k}" for k in range(400)])], axis=1
        )

    trial = load_trial(rewrite(BUNDLED, tmp_path / "wide", change=widen))
    assert len(trial.subjects.columns) == len(bundled.subjects.columns) + 400
    assert TABLES == ("adsl", "adtte", "adex", "adae")


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path: Path, bundled: Trial) -> None:
    folder = rewrite(BUNDLED, tmp_path / "trial")
    content = (folder / "adae.csv").read_bytes()
    cut = content.index(b"\n", len(content) // 2) + 1
    (folder / "adae.csv").unlink()
    (folder / "adae.csv.gz").write_bytes(gzip.compress(content[:cut]) + gzip.compress(content[cut:]))
    assert_same(load_trial(folder), bundled)


def test_every_row_of_a_wrong_column_is_told_where_all_are_asked_for(tmp_path: Path) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(DTHDT="never") if "DTHDT" in frame else frame

    with pytest.raises(TrialDataError) as caught:
        load_trial(rewrite(BUNDLED, tmp_path / "t", change=change))
    (found,) = (each for each in caught.value.problems if each.column == "DTHDT")
    assert sorted(found.rows) == [(row, "never") for row in range(2, 20)]
    assert caught.value.describe().count("'never'") == 1 + len(found.rows)
    assert str(caught.value).count("'never'") == 1
