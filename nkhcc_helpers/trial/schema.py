"""Columns of the tables: what each cell may hold, and how it is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import chain

import pandas as pd
import pandera.pandas as pa

from nkhcc_helpers.trial.doses import FREQUENCY_RULE
from nkhcc_helpers.trial.formats import lacks_order
from nkhcc_helpers.trial.mapping import UNIT_SPELLINGS, suggest_flag
from nkhcc_helpers.trial.metadata import LARGEST, EventFlag, TrialMetadata
from nkhcc_helpers.trial.problems import BLANK, Problem, RawTable, join_problems, suggest_name

TABLES = ("ADSL", "ADTTE", "ADEX", "ADAE", "ADRS")
SEVERITY_GRADES = {"MILD": 1, "MODERATE": 2, "SEVERE": 3, "LIFE THREATENING": 4, "LIFE-THREATENING": 4}
SEVERITY_GRADES |= {"FATAL": 5, "DEATH": 5}
"""Grades that the words of AESEV stand for."""
YES_NO = {"Y": True, "YES": True, "N": False, "NO": False}
_OLDEST = 120
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DATE = r"(?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}"
_PARTIAL = re.compile(
    r"\A(?P<year>(?:19|20|21)[0-9]{2})"
    r"(?:-(?:(?P<month>[0-9]{2})|UNK?|--)(?:-(?:(?P<day>[0-9]{2})|UNK?|--))?)?\Z"
)


def parse_numbers(cells: pd.Series) -> pd.Series:
    """Return cells as floats; NaN where missing, not a number, or of no size that anything can have."""
    # pandas' own parser is off in the last bit of some numbers of many digits.
    numbers = cells.where(cells.str.fullmatch(_NUMBER)).map(float, na_action="ignore").astype(float)
    return numbers.where(numbers.abs() <= LARGEST)


def parse_dates(cells: pd.Series) -> pd.Series:
    """Return cells as dates; NaT where missing or not a date YYYY-MM-DD."""
    written = cells.where(cells.str.fullmatch(_DATE))
    return pd.to_datetime(written, format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")


def parse_partial_dates(cells: pd.Series) -> pd.DataFrame:
    """Return `first last`, the days that each cell allows, NaT where it is empty or cannot be read.

    Read are `YYYY-MM-DD`, `YYYY-MM` and `YYYY`, and `UN`, `UNK` or `--` in place of the month or day that is
    not known, as in `2015-03-UN`; a day whose month is not known is not read. `imputed` is the part that is
    not known: "", "day", or "month" (month and day).
    """
    # A trial has few days beside its events.
    codes, written = pd.factorize(cells, use_na_sentinel=False)
    read = [_read_partial_date("" if pd.isna(text) else str(text)) for text in written]
    days = pd.DataFrame(read, columns=["first", "last", "imputed"]).iloc[codes]
    return days.astype({"first": "datetime64[ns]", "last": "datetime64[ns]"}).set_axis(cells.index)


@lru_cache(maxsize=4096)
def _read_partial_date(written: str) -> tuple[pd.Timestamp, pd.Timestamp, str]:
    found = _PARTIAL.match(written.upper())
    if found is None or (found["day"] and not found["month"]):
        return pd.NaT, pd.NaT, ""
    try:
        first = pd.Timestamp(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1))
    except ValueError:
        return pd.NaT, pd.NaT, ""
    if found["day"]:
        return first, first, ""
    if found["month"]:
        return first, first + pd.offsets.MonthEnd(0), "day"
    return first, first + pd.offsets.YearEnd(0), "month"


def find_column(frame: pd.DataFrame, name: str, dtype: str = "datetime64[ns]") -> pd.Series:
    """Return a column, all missing when the frame does not have it."""
    return frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=dtype)


def find_text(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column as text, empty where missing or when the frame does not have it."""
    cells = frame[name] if name in frame else pd.Series("", index=frame.index)
    return cells.fillna("").astype(str)


def list_text(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return a text column in upper case for comparing, empty where the value or the column is missing."""
    if column not in frame:
        return pd.Series("", index=frame.index, dtype="string")
    text = frame[column].astype("string").fillna("")
    return text.map({entry: entry.strip().upper() for entry in text.unique()}).astype("string")


def list_answers(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of yes and no as true and false, missing where neither is said."""
    return list_text(frame, column).map(YES_NO)


def merge_spellings(cells: pd.Series) -> pd.Series:
    """Return text in which what differs in case or spaces only is one, as most or the first spell it."""
    written = cells.dropna()
    folded = written.map(lambda text: " ".join(text.split()).casefold())
    first = written.groupby(written, sort=False).transform("size").groupby(folded, sort=False).idxmax()
    return folded.map(written.loc[first].set_axis(first.index)).reindex(cells.index)


def _is_given(cells: pd.Series) -> pd.Series:
    return cells != ""


_PARSERS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "number": parse_numbers,
    "date": parse_dates,
    "partial": lambda cells: cells.where(_is_given(cells)),
    "text": lambda cells: cells.where(_is_given(cells)),
    "name": lambda cells: merge_spellings(cells.where(_is_given(cells))),
}
_Rule = tuple[str, Callable[[pd.Series], pd.Series]]


def _column(
    kind: str, *rules: _Rule, required: bool = False, needed: bool = False, codes: Iterable[str] = ()
) -> pa.Column:
    """Return a column; `required`: it must be there, `needed`: no cell may be empty.

    `codes` are values even where they are `BLANK`.
    """
    checks = [
        pa.Check(lambda cells, is_right=is_right: ~_is_given(cells) | is_right(cells), error=rule)
        for rule, is_right in rules
    ]
    if needed:
        checks.insert(0, pa.Check(_is_given, error="must not be empty"))
    return pa.Column(checks=checks, required=required, metadata={"kind": kind, "codes": tuple(codes)})


def _number(*rules: _Rule, minimum: float | None = None, whole: bool = False, **options: bool) -> pa.Column:
    def is_right(cells: pd.Series) -> pd.Series:
        numbers = parse_numbers(cells)
        right = numbers.notna() if minimum is None else numbers >= minimum
        return right & (numbers % 1 == 0) if whole else right

    rule = f"must be a {'whole' if whole else 'finite'} number"
    rule += "" if minimum is None else f" >= {minimum:g}"
    return _column("number", (rule, is_right), *rules, **options)


def _lacks_order(cells: pd.Series) -> pd.Series:
    odd = _is_given(cells) & ~cells.str.fullmatch(_DATE)
    return lacks_order(cells[odd]).reindex(cells.index, fill_value=False) if odd.any() else odd


_PARTIAL_RULE = (
    "must be a date, YYYY-MM-DD, or the known part, YYYY-MM or YYYY (UN, UNK or -- for the rest)",
    lambda cells: parse_partial_dates(cells)["first"].notna() | _lacks_order(cells),
)
_DATE_RULE = (
    "must be a date, YYYY-MM-DD",
    lambda cells: parse_dates(cells).notna() | _lacks_order(cells),
)
_ORDER_RULE = (
    "is a date with the day or the month first; say which by date_order (dmy or mdy) in trial.yaml",
    lambda cells: ~_lacks_order(cells),
)
_date, _text = partial(_column, "date", _DATE_RULE, _ORDER_RULE), partial(_column, "text")
_name = partial(_column, "name")
_partial_date = partial(_column, "partial", _PARTIAL_RULE, _ORDER_RULE)


def _word(known: Iterable[str], rule: str, *, fold: bool = True, **options: bool) -> pa.Column:
    known = tuple(known)
    is_known = (lambda cells: cells.str.upper().isin(known)) if fold else (lambda cells: cells.isin(known))
    return _column("text", (rule, is_known), codes=known, **options)


# Without `trial.yaml`, nobody knows whether NA is a code.
_code = partial(_text, codes=BLANK)
_KEY = {"required": True, "needed": True}
_ADSL = {
    "STUDYID": _code(**_KEY),
    "USUBJID": _text(**_KEY),
    "TRT01P": _code(**_KEY),
    "TRT01A": _code(),
    "AGE": _number(minimum=0),
    "SEX": _text(),
    "SAFFL": _word(YES_NO, "must be Y or N"),
    "ENRLDT": _date(),
    "TRTSDT": _date(),
    "TRTEDT": _date(),
    "DTHDT": _date(),
    "EOSSTT": _text(),
    "DCSREAS": _text(),
}
_ADTTE = {
    "USUBJID": _text(**_KEY),
    "PARAMCD": _code(**_KEY),
    "PARAM": _text(),
    "AVAL": _number(minimum=0, **_KEY),
    "AVALU": _text(),
    "CNSR": _number(minimum=0, whole=True, **_KEY),
    "STARTDT": _date(),
    "ADT": _date(),
    "EVNTDESC": _text(),
    "CNSDTDSC": _text(),
}
_ADEX = {
    "USUBJID": _text(**_KEY),
    "ASTDT": _date(**_KEY),
    "AENDT": _date(),
    "EXDOSE": _number(minimum=0, **_KEY),
    "EXDOSU": _text(),
    "EXDOSFRQ": _text(FREQUENCY_RULE),
    "EXSEQ": _number(),
}
_ADAE = {
    "USUBJID": _text(**_KEY),
    "AEDECOD": _name(**_KEY),
    "AEBODSYS": _name(),
    "AETOXGR": _word(
        [*"12345", "1.0", "2.0", "3.0", "4.0", "5.0"], "must be a grade, a whole number from 1 to 5"
    ),
    "AESEV": _word(
        SEVERITY_GRADES, "must be one of MILD, MODERATE, SEVERE, LIFE THREATENING, FATAL (AETOXGR for grades)"
    ),
    "AEREL": _text(),
    "AESER": _word(YES_NO, "must be Y or N"),
    "ASTDT": _partial_date(),
    "AENDT": _partial_date(),
    "AEOUT": _name(),
    "AEACN": _name(),
    "TRTEMFL": _word(YES_NO, "must be Y or N"),
}
_ADRS = {
    "USUBJID": _text(**_KEY),
    "PARAMCD": _code(**_KEY),
    "PARAM": _text(),
    "AVALC": _text(required=True),
    "AVAL": _number(),
    "PCHG": _number(),
    "ADT": _date(),
}
_COLUMNS = {"ADSL": _ADSL, "ADTTE": _ADTTE, "ADEX": _ADEX, "ADAE": _ADAE, "ADRS": _ADRS}


def list_kinds(table: str, metadata: TrialMetadata | None) -> dict[str, str]:
    """Return of what kind each known column of a table is: number, date, partial, name or text."""
    return {name: column.metadata["kind"] for name, column in _list_columns(table, metadata).items()}


def _list_columns(table: str, metadata: TrialMetadata | None) -> dict[str, pa.Column]:
    """Return the columns of a table, those that `trial.yaml` speaks of as it says."""
    if metadata is None:
        return _COLUMNS[table]
    arms = [arm.code for arm in metadata.arms]
    told = {
        "ADSL": _list_subject_columns(metadata, arms),
        "ADTTE": {
            "PARAMCD": _text(codes=metadata.codes, **_KEY),
            **({"STARTDT": _date(required=True)} if any(each.origin for each in metadata.endpoints) else {}),
            "AVALU": _word(chain(*UNIT_SPELLINGS.values()), _UNIT_RULE),
            **_list_flags(metadata.event_flag),
        },
        "ADAE": {"AEREL": _word(metadata.relation_words, _RELATION_RULE)},
    }
    return _COLUMNS[table] | {"TRT01P": _text(codes=arms)} | told.get(table, {})


def _list_flags(flag: EventFlag | None) -> dict[str, pa.Column]:
    """Return the columns of ADTTE that say who had the event, where `trial.yaml` maps its words."""
    if flag is None:
        return {}
    rule = "is neither under event nor under censored of event_flag in trial.yaml"
    words = (rule, lambda cells: flag.read(cells).notna())
    received = {"CNSR": _number(minimum=0, whole=True)}
    return received | {flag.column: _column("text", words, codes=[*flag.event, *flag.censored], **_KEY)}


def _list_subject_columns(metadata: TrialMetadata, arms: list[str]) -> dict[str, pa.Column]:
    """Return the columns of ADSL that `trial.yaml` speaks of."""
    study, not_an_arm = metadata.study_id, f"is not an arm of trial.yaml ({', '.join(arms)})"
    columns = {
        "STUDYID": _word([study], f"is not the study of trial.yaml ({study})", fold=False, **_KEY),
        "TRT01P": _word(arms, not_an_arm, fold=False, **_KEY),
        "TRT01A": _word(arms, not_an_arm, fold=False),
    }
    for baseline in metadata.baseline:
        if baseline.levels is not None:
            rule = f"is not a level of {baseline.column} in trial.yaml ({', '.join(baseline.levels)})"
            columns[baseline.column] = _word(baseline.levels, rule, required=True, fold=False)
        elif baseline.kind == "categorical":
            columns[baseline.column] = _name(required=True)
        elif baseline.column == "AGE":
            in_years = not baseline.unit or baseline.unit.casefold().startswith("y")
            columns["AGE"] = _number(*([_POSSIBLE_AGE] if in_years else []), minimum=0, required=True)
        else:
            columns[baseline.column] = _number(required=True)
    if "SAFFL" in columns:
        columns["SAFFL"].checks += _ADSL["SAFFL"].checks
    return columns | {each.origin: _date(required=True) for each in metadata.endpoints if each.origin}


_UNIT_RULE = f"must be a unit of time ({', '.join(UNIT_SPELLINGS)})"
_RELATION_RULE = (
    "must be Y or N, or say how it is related (such as POSSIBLE, UNLIKELY); "
    "other words can be listed under related or not_related in trial.yaml"
)
_POSSIBLE_AGE = (
    f"must be an age in years, {_OLDEST} at most",
    lambda cells: ~(parse_numbers(cells) > _OLDEST),
)


def check_table(
    raw: RawTable, table: str, metadata: TrialMetadata | None, problems: list[Problem]
) -> pd.DataFrame:
    """Check a table's cells and return them parsed; problems found are appended.

    Known columns come as text, float or datetime64, missing where a cell is empty or faulty; index the line
    number in the file. Terms, and levels that `trial.yaml` does not list, come in one spelling; ASTDT and
    AENDT of ADAE stay text, since they may be partial. ADTTE also has `endpoint`, the code of each PARAMCD,
    and `event`, true where CNSR, or what stands for it, is 0. Without `metadata` nothing is compared with
    `trial.yaml`.
    """
    schema = pa.DataFrameSchema(_list_columns(table, metadata))
    frame = _empty_blanks(raw.frame, schema)
    faulty = _list_failures(frame, raw, schema, table)
    problems += join_problems(faulty, frame) if faulty else []
    if table == "ADAE" and not {"AETOXGR", "AESEV"} & set(raw.frame.columns):
        absent = _report_absent("AETOXGR", raw, schema, table)
        rule = absent.rule.replace("column is missing", "column is missing (or AESEV)")
        problems.append(Problem(table, 1, "AETOXGR", "", rule))
    kinds = {name: column.metadata["kind"] for name, column in schema.columns.items()}
    readable = _empty_faulty(frame, faulty)
    parsed = {name: _PARSERS[kinds.get(name, "text")](cells) for name, cells in readable.items()}
    if table == "ADTTE":
        _derive_outcome(parsed, metadata)
    return pd.DataFrame(parsed, index=raw.frame.index)


def _derive_outcome(parsed: dict[str, pd.Series], metadata: TrialMetadata | None) -> None:
    """Add to the columns of ADTTE those that follow from PARAMCD and from who had the event."""
    if "PARAMCD" in parsed:
        codes = metadata.codes if metadata is not None else {}
        parsed["endpoint"] = parsed["PARAMCD"].map(lambda code: codes.get(code, code))
    flag = metadata.event_flag if metadata is not None else None
    if flag is not None and flag.column in parsed:
        told = flag.read(parsed[flag.column])
        received = parsed.get("CNSR", told) if flag.column != "CNSR" else told
        parsed["CNSR"] = received.fillna(told)
    if "CNSR" in parsed:
        # ADaM codes censoring, survival analysis wants events: turned round here and nowhere else.
        parsed["event"] = parsed["CNSR"] == 0


def _empty_blanks(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Empty the cells of known columns that say nothing; columns that nobody knows stay as received."""
    frame = frame.copy()
    for name, column in schema.columns.items():
        if name in frame:
            says_nothing = frame[name].isin(set(BLANK) - set(column.metadata["codes"]))
            if says_nothing.any():
                frame[name] = frame[name].mask(says_nothing, "")
    return frame


def _list_failures(
    frame: pd.DataFrame, raw: RawTable, schema: pa.DataFrameSchema, table: str
) -> list[Problem]:
    """Return what a schema finds wrong in a table; the `error` of each of its checks is the rule to print."""
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    problems = []
    for case in cases.itertuples(index=False):
        if case.check == "column_in_dataframe":
            problems.append(_report_absent(str(case.failure_case), raw, schema, table))
        else:
            row, name = int(case.index), str(case.column)
            problems.append(Problem(table, row, name, str(raw.frame.loc[row, name]), str(case.check)))
    return problems


def _report_absent(name: str, raw: RawTable, schema: pa.DataFrameSchema, table: str) -> Problem:
    """Return the problem of a column that is not there, suggesting the unknown one most like it."""
    unknown = [found for found in raw.frame.columns if found not in schema.columns]
    hint = suggest_flag(raw.frame[unknown]) if name == "CNSR" else ""
    return Problem(table, 1, name, "", f"column is missing{hint or suggest_name(name, unknown)}")


def _empty_faulty(frame: pd.DataFrame, faulty: list[Problem]) -> pd.DataFrame:
    """Empty the faulty cells, so that rules between tables do not report them again."""
    for name in {each.column for each in faulty} & set(frame.columns):
        rows = [each.row for each in faulty if each.column == name and each.row in frame.index]
        frame.loc[rows, name] = ""
    return frame
