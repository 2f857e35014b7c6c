"""Columns of the four tables: what each cell may hold, and how it is parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd
import pandera.pandas as pa

from nkhcc_helpers.trial.metadata import TrialMetadata
from nkhcc_helpers.trial.problems import Problem, RawTable, list_table_problems, report_absent_column

_PARTIAL = (
    r"\A(?P<year>(?:19|20|21)[0-9]{2})"
    r"(?:-(?:(?P<month>[0-9]{2})|UNK?|--)(?:-(?:(?P<day>[0-9]{2})|UNK?|--))?)?\Z"
)


def parse_partial_dates(cells: pd.Series) -> pd.DataFrame:
    """Return the days that each cell allows.

    Read are `YYYY-MM-DD`, `YYYY-MM` and `YYYY`, and `UN`, `UNK` or `--` in place of the month or day that is
    not known, as in `2015-03-UN`. A day whose month is not known is not read.

    Parameters
    ----------
    cells : pandas.Series of str
        Text, missing where there is none.

    Returns
    -------
    pandas.DataFrame
        `first` and `last`, the first and last day that the cell allows, NaT where it is empty or cannot be
        read; `imputed`, the part that is not known: "", "day", or "month" (month and day); indexed as
        `cells`.
    """
    # A trial has few days beside its events.
    codes, written = pd.factorize(cells, use_na_sentinel=False)
    parsed = _parse(pd.Series(written, dtype=object)).iloc[codes]
    return parsed.set_axis(cells.index)


def _parse(written: pd.Series) -> pd.DataFrame:
    parts = written.fillna("").astype(str).str.upper().str.extract(_PARTIAL)
    known = parts.notna()
    month, day = (parts[name].where(known[name], "01") for name in ("month", "day"))
    text = (parts["year"] + "-" + month + "-" + day).where(known["month"] | ~known["day"])
    first = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")
    last = first.mask(~known["day"], first + pd.offsets.MonthEnd(0))
    last = last.mask(~known["month"], first + pd.offsets.YearEnd(0))
    imputed = pd.Series("", index=written.index).mask(~known["day"], "day").mask(~known["month"], "month")
    return pd.DataFrame({"first": first, "last": last, "imputed": imputed.where(first.notna(), "")})


def find_column(frame: pd.DataFrame, name: str, dtype: str = "datetime64[ns]") -> pd.Series:
    """Return a column, all missing when the frame does not have it."""
    return frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=dtype)


TABLES = ("ADSL", "ADTTE", "ADEX", "ADAE")
SEVERITY_GRADES = {
    "MILD": 1,
    "MODERATE": 2,
    "SEVERE": 3,
    "LIFE THREATENING": 4,
    "LIFE-THREATENING": 4,
    "FATAL": 5,
    "DEATH": 5,
}
"""Grades that the words of AESEV stand for."""
RELATED_WORDS = {
    "Y": True,
    "YES": True,
    "RELATED": True,
    "POSSIBLE": True,
    "POSSIBLY RELATED": True,
    "PROBABLE": True,
    "PROBABLY RELATED": True,
    "DEFINITE": True,
    "DEFINITELY RELATED": True,
    "N": False,
    "NO": False,
    "NOT RELATED": False,
    "UNRELATED": False,
    "UNLIKELY": False,
    "UNLIKELY RELATED": False,
}
"""Words of AEREL; an event unlikely to be related counts as not related."""
YES_NO = {"Y": True, "YES": True, "N": False, "NO": False}
UNIT_SPELLINGS = {
    "days": ("DAYS", "DAY", "D"),
    "weeks": ("WEEKS", "WEEK", "WK", "WKS"),
    "months": ("MONTHS", "MONTH", "MO", "MOS", "MTH", "MTHS"),
    "years": ("YEARS", "YEAR", "YR", "YRS", "Y"),
}
"""Spellings of each time unit in AVALU."""
_OLDEST = 120
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DATE = r"(?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}"
# R writes NA and SAS a full stop; as text they may be meant, as numbers and dates they cannot be.
BLANK = ("", "NA", ".")
"""Cells that stand for a missing number or date."""


def parse_numbers(cells: pd.Series) -> pd.Series:
    """Return cells as floats; NaN where missing, not a number, or not finite."""
    numbers = pd.to_numeric(cells.where(cells.str.fullmatch(_NUMBER)), errors="coerce").astype(float)
    return numbers.where(numbers.abs() < float("inf"))


def parse_dates(cells: pd.Series) -> pd.Series:
    """Return cells as dates; NaT where missing or not a date YYYY-MM-DD."""
    written = cells.where(cells.str.fullmatch(_DATE))
    return pd.to_datetime(written, format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")


def parse_text(cells: pd.Series) -> pd.Series:
    """Return cells as text, missing where empty."""
    return cells.where(cells != "")


_PARSERS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "number": parse_numbers,
    "date": parse_dates,
    "partial date": lambda cells: cells.where(_is_given(cells)),
    "text": parse_text,
}


def _is_given(cells: pd.Series) -> pd.Series:
    return ~cells.isin(BLANK)


def _column(kind: str, checks: list[pa.Check], *, required: bool, needed: bool) -> pa.Column:
    given = [pa.Check(_is_given, error="must not be empty")] if needed else []
    return pa.Column(checks=given + checks, required=required, metadata={"kind": kind})


def _number(
    *, minimum: float | None = None, whole: bool = False, required: bool = False, needed: bool = False
) -> pa.Column:
    def is_right(cells: pd.Series) -> pd.Series:
        numbers = parse_numbers(cells)
        right = numbers.notna() if minimum is None else numbers >= minimum
        return ~_is_given(cells) | (right & (numbers % 1 == 0) if whole else right)

    rule = f"must be a {'whole' if whole else 'finite'} number"
    rule += "" if minimum is None else f" >= {minimum:g}"
    return _column("number", [pa.Check(is_right, error=rule)], required=required, needed=needed)


def _date(*, required: bool = False, needed: bool = False) -> pa.Column:
    def is_right(cells: pd.Series) -> pd.Series:
        return ~_is_given(cells) | parse_dates(cells).notna()

    check = pa.Check(is_right, error="must be a date, YYYY-MM-DD")
    return _column("date", [check], required=required, needed=needed)


def _partial_date() -> pa.Column:
    def is_right(cells: pd.Series) -> pd.Series:
        return ~_is_given(cells) | parse_partial_dates(cells)["first"].notna()

    rule = "must be a date, YYYY-MM-DD, or the known part, YYYY-MM or YYYY (UN, UNK or -- for the rest)"
    return _column("partial date", [pa.Check(is_right, error=rule)], required=False, needed=False)


def _text(*, required: bool = False, needed: bool = False) -> pa.Column:
    present = [pa.Check(lambda cells: cells != "", error="must not be empty")] if needed else []
    return pa.Column(checks=present, required=required, metadata={"kind": "text"})


def _word(known: Iterable[str], rule: str, *, required: bool = False, fold: bool = True) -> pa.Column:
    known = tuple(known)

    def is_known(cells: pd.Series) -> pd.Series:
        return (cells == "") | (cells.str.upper() if fold else cells).isin(known)

    return pa.Column(checks=[pa.Check(is_known, error=rule)], required=required, metadata={"kind": "text"})


def _adsl(metadata: TrialMetadata | None) -> dict[str, pa.Column]:
    columns = {
        "STUDYID": _text(required=True, needed=True),
        "USUBJID": _text(required=True, needed=True),
        "TRT01P": _text(required=True, needed=True),
        "TRT01A": _text(),
        "AGE": _number(minimum=0),
        "SEX": _text(),
        "SAFFL": _word(YES_NO, "must be Y or N"),
        "ENRLDT": _date(),
        "TRTSDT": _date(),
        "TRTEDT": _date(),
        "DTHDT": _date(),
        "EOSSTT": _text(),
    }
    if metadata is None:
        return columns
    for name, value, called in [
        ("STUDYID", [metadata.study_id], f"is not the study of trial.yaml ({metadata.study_id})"),
        ("TRT01P", [arm.code for arm in metadata.arms], "is not an arm of trial.yaml"),
        ("TRT01A", [arm.code for arm in metadata.arms], "is not an arm of trial.yaml"),
    ]:
        rule = called if name == "STUDYID" else f"{called} ({', '.join(value)})"
        columns[name].checks += _word(value, rule, fold=False).checks
    for baseline in metadata.baseline:
        if baseline.levels is not None:
            rule = f"is not a level of {baseline.column} in trial.yaml ({', '.join(baseline.levels)})"
            columns[baseline.column] = _word(baseline.levels, rule, required=True, fold=False)
        elif baseline.kind == "categorical":
            columns[baseline.column] = _text(required=True)
        elif baseline.column == "AGE":
            columns["AGE"] = _number(minimum=0, required=True)
            columns["AGE"].checks += _list_age_checks(baseline.unit)
        else:
            columns[baseline.column] = _number(required=True)
    return columns


def _list_age_checks(unit: str) -> list[pa.Check]:
    if unit and not unit.casefold().startswith("y"):
        return []

    def is_possible(cells: pd.Series) -> pd.Series:
        return ~(parse_numbers(cells) > _OLDEST)

    return [pa.Check(is_possible, error=f"must be an age in years, {_OLDEST} at most")]


def _adtte(metadata: TrialMetadata | None) -> dict[str, pa.Column]:
    columns = {
        "USUBJID": _text(required=True, needed=True),
        "PARAMCD": _text(required=True, needed=True),
        "PARAM": _text(),
        "AVAL": _number(minimum=0, required=True, needed=True),
        "AVALU": _text(),
        "CNSR": _number(minimum=0, whole=True, required=True, needed=True),
        "STARTDT": _date(),
        "ADT": _date(),
        "EVNTDESC": _text(),
        "CNSDTDSC": _text(),
    }
    if metadata is not None:
        unit = metadata.time_unit
        columns["AVALU"] = _word(UNIT_SPELLINGS[unit], f"is not the time unit of trial.yaml ({unit})")
    return columns


def _adex(metadata: TrialMetadata | None) -> dict[str, pa.Column]:
    return {
        "USUBJID": _text(required=True, needed=True),
        "ASTDT": _date(required=True, needed=True),
        "AENDT": _date(),
        "EXDOSE": _number(minimum=0, required=True, needed=True),
        "EXDOSU": _text(),
        "EXSEQ": _number(),
    }


def _adae(metadata: TrialMetadata | None) -> dict[str, pa.Column]:
    grade = _word(
        [*"12345", "1.0", "2.0", "3.0", "4.0", "5.0", *BLANK], "must be a grade, a whole number from 1 to 5"
    )
    return {
        "USUBJID": _text(required=True, needed=True),
        "AEDECOD": _text(required=True, needed=True),
        "AEBODSYS": _text(),
        "AETOXGR": grade,
        "AESEV": _word(
            SEVERITY_GRADES,
            "must be one of MILD, MODERATE, SEVERE, LIFE THREATENING, FATAL (AETOXGR for grades)",
        ),
        "AEREL": _word(
            RELATED_WORDS, "must be Y or N, or say how it is related (such as POSSIBLE, UNLIKELY)"
        ),
        "AESER": _word(YES_NO, "must be Y or N"),
        "ASTDT": _partial_date(),
        "AENDT": _partial_date(),
        "AEOUT": _text(),
        "AEACN": _text(),
        "TRTEMFL": _word(YES_NO, "must be Y or N"),
    }


_SCHEMAS = {"ADSL": _adsl, "ADTTE": _adtte, "ADEX": _adex, "ADAE": _adae}


def _blank(raw: RawTable, faulty: list[Problem]) -> pd.DataFrame:
    """Empty the faulty cells, so that rules between tables do not report them again."""
    frame = raw.frame.copy()
    for name in frame.columns:
        rows = [each.row for each in faulty if each.column == name and each.row in frame.index]
        frame.loc[rows, name] = ""
    return frame


def check_table(
    raw: RawTable, table: str, metadata: TrialMetadata | None, problems: list[Problem]
) -> pd.DataFrame:
    """Check a table's cells and return them parsed.

    Parameters
    ----------
    raw : RawTable
        The table as text.
    table : {"ADSL", "ADTTE", "ADEX", "ADAE"}
        Which one.
    metadata : TrialMetadata or None
        Arms, units and baseline columns; None when `trial.yaml` could not be read, and then nothing is
        compared with it.
    problems : list of Problem
        Problems found are appended.

    Returns
    -------
    pandas.DataFrame
        Columns as received; known columns as text, float or datetime64, missing where a cell is empty or
        faulty; index the line number in the file. ASTDT and AENDT of ADAE stay text, since they may be
        partial. ADTTE also has `event`, true where CNSR is 0.
    """
    schema = pa.DataFrameSchema(_SCHEMAS[table](metadata))
    faulty = list_table_problems(raw, schema, table)
    problems += faulty
    if table == "ADAE" and not {"AETOXGR", "AESEV"} & set(raw.frame.columns):
        absent = report_absent_column("AETOXGR", raw, schema, table)
        rule = absent.rule.replace("column is missing", "column is missing (or AESEV)")
        problems.append(Problem(table, 1, "AETOXGR", "", rule))
    kinds = {name: column.metadata["kind"] for name, column in schema.columns.items()}
    parsed = {name: _PARSERS[kinds.get(name, "text")](cells) for name, cells in _blank(raw, faulty).items()}
    if "CNSR" in parsed and table == "ADTTE":
        # ADaM codes censoring, survival analysis wants events: turned round here and nowhere else.
        parsed["event"] = parsed["CNSR"] == 0
    return pd.DataFrame(parsed, index=raw.frame.index)


def find_text(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column as text, empty where missing or when the frame does not have it."""
    cells = frame[name] if name in frame else pd.Series("", index=frame.index)
    return cells.fillna("").astype(str)


def list_text(frame, column):
    """List a text column in upper case for comparing, empty where the value or the column is missing.

    Parameters
    ----------
    frame : DataFrame
    column : str

    Returns
    -------
    Series of string
        Indexed as `frame`.
    """
    if column not in frame:
        return pd.Series("", index=frame.index, dtype="string")
    text = frame[column].astype("string").fillna("")
    return text.map({entry: entry.strip().upper() for entry in text.unique()}).astype("string")
