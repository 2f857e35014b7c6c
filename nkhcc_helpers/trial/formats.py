"""Tables in the formats of other programs as text, and dates in the spellings of other programs as ISO.

A reader takes what a file holds and gives its rows as `read_csv` would split them, or raises `TableError`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import io
import itertools
import json
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from nkhcc_helpers.trial.problems import BLANK, Reading, TableError

Read = tuple[Iterable[tuple[int, list[str]]], Mapping[str, str]]
"""Rows of text with their numbers, the header first, and the labels of columns."""
Reader = Callable[[bytes, Reading], Read]
HEAD = 64
"""Bytes at the start of a file that tell its format."""
_LARGEST = 2**31
"""Bytes that a compressed file may unpack to."""
_EXPORT = "; export it as CSV, Parquet or SAS transport (xpt)"
_NOT_READ = {
    b"\xd0\xcf\x11\xe0": "is a spreadsheet of old (xls); save it as xlsx or as CSV, UTF-8",
    b"RDX": f"is R's own format, which only R reads for certain{_EXPORT}",
    b"X\n\0\0": f"is R's own format, which only R reads for certain{_EXPORT}",
    b"BZh": f"is compressed by bzip2, as R's own files may be{_EXPORT}",
    b"\xfd7zXZ": f"is compressed by xz, as R's own files may be{_EXPORT}",
    b"**COMPRESSED**": "is a SAS transport file by PROC CPORT; write it with the XPORT engine",
    b"$FL": f"is an SPSS file{_EXPORT}",
    b"<stata_dta>": f"is a Stata file{_EXPORT}",
    b"ARROW1": f"is a Feather file{_EXPORT}",
}
_EPOCH = dt.datetime(1960, 1, 1)
_TIME_FORMATS = re.compile(r"DATETIME|DATEAMPM|MDYAMPM|DT|NLDATM|(?:[EB]|IS)8601D[NTXZ]")
_DATE_FORMATS = re.compile(
    r"DATE|(?:YY|MM|DD)(?:MM|DD|YY)(?:DD|YY)|WEEKDAT|WORDDAT|NLDATE|JULIAN|(?:[EB]|IS)8601DA"
)
# Of SAS, 1980 to 2039: as days none can be a year, and as seconds none can be days.
_SPANS = {"DATE": range(7305, 29220), "DATETIME": range(631_152_000, 2_524_608_000)}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_TIME = r"(?:[T :]+[0-9-]{1,2}(?:$|:.*))?"
_YEAR = r"(?P<y>(?:19|20|21)[0-9]{2})"
_YEAR_FIRST = re.compile(rf"{_YEAR}(?P<mark>[-/.]?)(?P<m>[0-9]{{1,2}})(?P=mark)(?P<d>[0-9]{{1,2}}){_TIME}\Z")
_MONTH_NAMED = re.compile(
    rf"(?P<d>[0-9]{{1,2}})?[-/ .]*(?P<m>{'|'.join(_MONTHS)})[A-Z]*[-/ .,]*{_YEAR}{_TIME}\Z"
)
_YEAR_LAST = re.compile(rf"(?P<a>[0-9]{{1,2}})(?P<mark>[-/.])(?P<b>[0-9]{{1,2}})(?P=mark){_YEAR}{_TIME}\Z")


def unpack(content: bytes) -> bytes:
    """Return what is in a gzip file, which must be text; anything else as it is."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    inner, rest = b"", content
    while rest:  # of files put one behind the other, each is a member
        unpacker = zlib.decompressobj(wbits=31)
        try:
            inner += unpacker.decompress(rest, _LARGEST - len(inner))
        except zlib.error:
            raise TableError("cannot be read as a gzip file: it is damaged; copy or write it again") from None
        if not unpacker.eof or len(inner) >= _LARGEST:
            raise TableError("is compressed, and cut off or too large; unpack it")
        rest = unpacker.unused_data.lstrip(b"\0")
    if find_format(inner[:HEAD]) not in (None, _JSON) or inner.startswith(b"\x1f\x8b"):
        raise TableError("is compressed, and no text; unpack it")
    return inner


def find_format(head: bytes) -> tuple[str, Reader] | None:
    """Return the format of a file by its first bytes, in words, and its reader; None for delimited text."""
    for start, rule in _NOT_READ.items():
        if head.startswith(start):
            raise TableError(rule)
    for start, found in _READERS.items():
        if head.startswith(start):
            return found
    return _JSON if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")) else None


def _write(value: Any) -> str:
    """Return a typed value as text that reads as the same value; a whole number without a decimal point."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e16 else repr(value)
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat().removesuffix("T00:00:00")  # Excel has no dates without time
    if isinstance(value, int | decimal.Decimal):
        return str(value)
    raise TableError(f"holds a {type(value).__name__} in a cell; a cell must be a number, a date or text")


def _write_sas(value: Any, form: str) -> str:
    """Return a number of SAS as ISO where its format is that of a date or of a date with time."""
    if isinstance(value, int | float) and math.isfinite(value):
        try:
            if _TIME_FORMATS.match(form):
                return (_EPOCH + dt.timedelta(seconds=value)).isoformat(timespec="seconds")
            if _DATE_FORMATS.match(form):
                return (_EPOCH + dt.timedelta(days=value)).date().isoformat()
        except OverflowError:
            pass  # no date, and shown as it is
    return _write(value)


def _list_rows(columns: list[list[str]]) -> Iterable[tuple[int, list[str]]]:
    """Yield columns, each with its name above, as rows with numbers from 1."""
    for row, cells in enumerate(zip(*columns, strict=True), start=1):
        if any(cells):
            yield row, list(cells)


def _read_sas(content: bytes, reading: Reading) -> Read:
    import pyreadstat

    is_transport = content.startswith(b"HEADER")
    read = pyreadstat.read_xport if is_transport else pyreadstat.read_sas7bdat
    try:
        frame, found = read(str(reading.path), disable_datetime_conversion=True)
    except (pyreadstat.ReadstatError, UnicodeDecodeError):
        frame, found = read(str(reading.path), disable_datetime_conversion=True, encoding="WINDOWS-1252")
        reading.said.append(f"{reading.table}: its text is not UTF-8 and is read as Windows-1252")
    if is_transport:
        _check_transport(content, sum(found.variable_storage_width.values()), len(frame))
    columns = []
    for at, name in enumerate(frame.columns):
        form = (found.original_variable_types.get(name) or "").upper()
        columns.append([name, *(_write_sas(value, form) for value in frame.iloc[:, at].tolist())])
    return _list_rows(columns), found.column_names_to_labels


def _check_transport(content: bytes, width: int, n_rows: int) -> None:
    """Raise where a transport file was cut off, which its format does not tell, or holds several tables."""
    members = re.findall(rb"HEADER RECORD\*{7}MEMB(?:ER |V8 ) HEADER RECORD", content)
    if len(members) > 1:
        raise TableError(f"holds {len(members)} tables; write each into a file of its own")
    found = re.search(rb"HEADER RECORD\*{7}OBS(?:   |V8 )  HEADER RECORD!{7}(.{32})", content, re.DOTALL)
    start = content.index(b"HEADER RECORD*******OBS") + 80
    rest = content[start + n_rows * width :]
    told = found[1].split()[0] if found and found[0][23:26] == b"V8 " else b""
    cut = len(content) % 80 or len(rest) >= max(80, width) or rest.strip()
    if cut or (told.isdigit() and int(told) not in (0, n_rows)):
        raise TableError("is cut off; copy or write it again")


def _read_parquet(content: bytes, reading: Reading) -> Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = pq.read_table(pa.BufferReader(content), use_threads=False)
    for field in found.schema:
        if pa.types.is_nested(field.type):
            raise TableError(f"holds {field.type} in a cell; a cell must be a number, a date or text")
    columns = [[each.name, *map(_write, found[at].to_pylist())] for at, each in enumerate(found.schema)]
    told = {each.name: (each.metadata or {}).get(b"label", b"").decode() for each in found.schema}
    return _list_rows(columns), told


def _read_json(content: bytes, reading: Reading) -> Read:
    """Read CDISC Dataset-JSON 1.1, in one piece or a line for the columns and one for each row."""
    text = content.decode("utf-8-sig")
    try:
        head = _load_json(text)
        columns, rows = head["columns"], head.get("rows", [])
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        head, *rows = [_load_json(line) for line in text.split("\n") if line.strip()]
        columns = head["columns"]
    if (told := head.get("records", len(rows))) != len(rows):
        raise TableError(f"tells of {told} records and has {len(rows)}; copy or write it again")
    header = [column["name"].strip() for column in columns]
    forms = [str(column.get("displayFormat") or column["dataType"]).upper() for column in columns]
    numbered = [(1, header)]
    for number, row in enumerate(rows, start=2):
        if not isinstance(row, list):
            raise TableError("is not Dataset-JSON 1.1, in which each row is a list", number)
        cells = [_write_sas(*each) for each in itertools.zip_longest(row, forms[: len(row)], fillvalue="")]
        numbered += [(number, cells)] if any(cells) else []
    labels = {name: str(column.get("label") or "") for name, column in zip(header, columns, strict=True)}
    return numbered, labels


def _load_json(text: str) -> Any:
    def refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        known = dict(pairs)
        if len(known) < len(pairs):
            names = [name for name, _ in pairs]
            raise TableError(f"key {next(name for name in names if names.count(name) > 1)!r} is there twice")
        return known

    def refuse(constant: str) -> None:
        raise TableError(f"holds {constant}, which is not JSON; an empty cell is null")

    return json.loads(text, object_pairs_hook=refuse_repeated, parse_constant=refuse)


def _read_workbook(content: bytes, reading: Reading) -> Read:
    """Read the only sheet, or that of the table's name."""
    import openpyxl

    archive = zipfile.ZipFile(io.BytesIO(content))
    if "xl/workbook.xml" not in archive.namelist():
        raise TableError("is an archive or a spreadsheet that is not read (ods, zip); export it as CSV")
    if sum(each.file_size for each in archive.infolist()) > _LARGEST:
        raise TableError("is compressed, and too large; export it as CSV, UTF-8")
    sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
    is_merged = any(b"<mergeCell " in archive.read(name) for name in sheets)

    def load(**options: bool) -> Any:
        with warnings.catch_warnings():  # of what openpyxl leaves out, such as validation of cells
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(content), **options)
        named = [sheet for sheet in book.worksheets if sheet.title.strip().upper() == reading.table]
        if not named and len(book.worksheets) > 1:
            shown = ", ".join(sheet.title for sheet in book.worksheets)
            raise TableError(f"has several sheets ({shown}); name the one to be read {reading.table}")
        return (named or book.worksheets)[0]

    if is_merged and (merged := load().merged_cells.ranges):
        shown = ", ".join(sorted(str(each) for each in merged)[:3])
        raise TableError(f"has merged cells ({shown}); unmerge them and fill in every cell")
    return _list_cells(load(read_only=True), load(read_only=True, data_only=True)), {}


def _list_cells(written: Any, stored: Any) -> Iterable[tuple[int, list[str]]]:
    """Yield the rows of a sheet, as wide as the first, with the values that were stored with its formulas."""
    written.reset_dimensions()  # what a file says of its own size may be wrong
    stored.reset_dimensions()
    width = 0
    for row, (cells, values) in enumerate(zip(written.iter_rows(), stored.iter_rows(), strict=True), start=1):
        for cell, value in zip(cells, values, strict=True):
            if cell.data_type == "f" and value.value is None:
                rule = "is a formula whose value was not stored; open the file in Excel and save it"
                raise TableError(rule, row, cell.coordinate)
            if value.data_type == "e":
                raise TableError(f"is an error, {value.value}", row, cell.coordinate)
        texts = [_write(value.value) for value in values]
        if any(texts):
            width = width or max(at for at, text in enumerate(texts, start=1) if text)
            texts += [""] * (width - len(texts))
            yield row, texts if any(texts[width:]) else texts[:width]


_READERS = {
    b"HEADER RECORD*******LIB": ("a SAS transport file", _read_sas),
    b"\0" * 12 + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf": ("a SAS data set", _read_sas),
    b"PAR1": ("Parquet", _read_parquet),
    b"PK\x03\x04": ("an Excel workbook", _read_workbook),
}
_JSON = ("CDISC Dataset-JSON 1.1, columns and rows", _read_json)


def settle_dates(columns: pd.DataFrame, reading: Reading, order: str | None) -> dict[str, pd.Series]:
    """Return those of a table's columns of dates in which any changes, ISO as far as they can be read."""
    settled, counted = {}, {}
    for name, cells in columns.items():
        written = [text for text in cells.unique() if text not in BLANK]
        form = _find_count(written)
        if form:
            read = {text: _write_sas(float(text), form)[:10] for text in written}
            counted.setdefault(form, {})[name] = f"{written[0]} = {read[written[0]]}"
        else:
            partial = reading.kinds[name] == "partial"
            read = {text: _read_date(text, order, partial=partial) for text in written}
        changed = {text: date for text, date in read.items() if date not in ("", text)}
        if changed:
            settled[name] = cells.map(lambda text, changed=changed: changed.get(text, text))
    for form, names in counted.items():
        since = f"{'days' if form == 'DATE' else 'seconds'} since 1960, such as {next(iter(names.values()))}"
        reading.said.append(f"{reading.table} {', '.join(names)}: numbers are read as dates of SAS, {since}")
    return settled


def _find_count(written: list[str]) -> str:
    """Return the format of SAS that a column's numbers can have as dates, if every entry can."""
    if not written or not all(re.fullmatch(r"[0-9]{4,10}(?:\.[0-9]*)?", text) for text in written):
        return ""
    days = [math.floor(float(text)) for text in written]
    return next((form for form, span in _SPANS.items() if all(day in span for day in days)), "")


def _read_date(written: str, order: str | None, *, partial: bool) -> str:
    """Return a date as ISO, its time left out; empty where it cannot be read or its order is not told."""
    text = written.upper()
    if found := _YEAR_FIRST.match(text):
        is_date = found["mark"] or len(found["m"] + found["d"]) == 4
        return _join(found["y"], found["m"], found["d"]) if is_date else ""
    if found := _YEAR_LAST.match(text):
        if order not in ("dmy", "mdy"):
            return ""
        day, month = (found["a"], found["b"]) if order == "dmy" else (found["b"], found["a"])
        return _join(found["y"], month, day)
    if found := _MONTH_NAMED.match(text):
        month = f"{_MONTHS.index(found['m']) + 1:02}"
        if found["d"]:
            return _join(found["y"], month, found["d"])
        return f"{found['y']}-{month}" if partial else ""
    return ""


def _join(year: str, month: str, day: str) -> str:
    try:
        return dt.date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return ""


def find_date_order(texts: Iterable[str]) -> tuple[str | None, str]:
    """Return in what order dates with the year last can only be, None if either, and such a date or ""."""
    found = [date for text in texts if (date := _YEAR_LAST.match(text.upper()))]
    orders = {order for date in found for order, at in (("dmy", "a"), ("mdy", "b")) if int(date[at]) > 12}
    return orders.pop() if len(orders) == 1 else None, found[0][0] if found else ""


def lacks_order(cells: pd.Series) -> pd.Series:
    """Return which cells are dates that only `date_order` of trial.yaml can tell."""
    known = {
        text: bool(_read_date(text, "dmy", partial=False) or _read_date(text, "mdy", partial=False))
        for text in cells.unique()
        if _YEAR_LAST.match(text.upper())
    }
    return cells.map(lambda text: known.get(text, False)).astype(bool)
