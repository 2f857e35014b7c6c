"""A trial's folder written again, its tables in another format or dialect."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import yaml

TABLES = ("adsl", "adtte", "adex", "adae")
ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
EPOCH = dt.date(1960, 1, 1)
NUMBERS = ["AGE", "AVAL", "CNSR", "EXDOSE", "EXSEQ", "RECMON", "AFP"]


def read_cells(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def list_dates(frame: pd.DataFrame) -> list[str]:
    """Columns in which every entry is a full date."""
    filled = {name: cells[cells != ""] for name, cells in frame.items()}
    return [str(name) for name, cells in filled.items() if len(cells) and cells.str.fullmatch(ISO).all()]


def change_dates(frame: pd.DataFrame, change: Callable[[dt.date], str]) -> pd.DataFrame:
    frame = frame.copy()
    for name in list_dates(frame):
        frame[name] = [change(dt.date.fromisoformat(text)) if text else "" for text in frame[name]]
    return frame


def type_cells(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as a program holds them: numbers as float, dates as date, text; None where empty."""
    dates = list_dates(frame)
    columns = {}
    for name, cells in frame.items():
        convert = float if name in NUMBERS else dt.date.fromisoformat if name in dates else str
        columns[str(name)] = [convert(text) if text else None for text in cells]
    return columns


def label(name: str) -> str:
    return f"Label of {name}"


def to_text(frame: pd.DataFrame, path: Path, *, encoding="utf-8", mark="", **options: Any) -> Path:
    text = mark + frame.to_csv(index=False, lineterminator="\n", **options)
    path.write_bytes(text.encode(encoding))
    return path


def with_commas(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    for name in frame.columns.intersection(NUMBERS):
        frame[name] = frame[name].str.replace(".", ",")
    return frame


def to_xpt(frame: pd.DataFrame, path: Path, version: int = 5) -> Path:
    dates, typed = list_dates(frame), frame.copy()
    for name, cells in type_cells(frame).items():
        if name in NUMBERS or name in dates:
            typed[name] = pd.Series(cells, dtype=float if name in NUMBERS else object)
    options = {"table_name": path.stem.upper(), "column_labels": {name: label(name) for name in frame}}
    pyreadstat.write_xport(typed, str(path), file_format_version=version, **options)
    return path


def to_parquet(frame: pd.DataFrame, path: Path) -> Path:
    fields, arrays = [], []
    for name, cells in type_cells(frame).items():
        array = pa.array(cells, None if any(cell is not None for cell in cells) else pa.string())
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"label": label(name)}))
    pq.write_table(pa.table(arrays, schema=pa.schema(fields)), path)
    return path


def describe_json(frame: pd.DataFrame, table: str) -> dict[str, Any]:
    dates = list_dates(frame)
    kinds = {name: "date" if name in dates else "double" if name in NUMBERS else "string" for name in frame}
    columns = [
        {"itemOID": f"IT.{table}.{name}", "name": name, "label": label(str(name)), "dataType": kind}
        for name, kind in kinds.items()
    ]
    return {
        "datasetJSONCreationDateTime": "2026-01-24T12:00:00",
        "datasetJSONVersion": "1.1.0",
        "itemGroupOID": f"IG.{table}",
        "records": len(frame),
        "name": table,
        "label": table,
        "columns": columns,
    }


def list_records(frame: pd.DataFrame) -> list[list[Any]]:
    columns = type_cells(frame).values()
    return [
        [each.isoformat() if isinstance(each, dt.date) else each for each in row]
        for row in zip(*columns, strict=True)
    ]


def to_json(frame: pd.DataFrame, path: Path) -> Path:
    content = describe_json(frame, path.stem.upper()) | {"rows": list_records(frame)}
    path.write_text(json.dumps(content), "utf-8")
    return path


def to_ndjson(frame: pd.DataFrame, path: Path) -> Path:
    lines = [describe_json(frame, path.stem.upper()), *list_records(frame)]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def to_xlsx(frame: pd.DataFrame, path: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(list(frame.columns))
    for row in zip(*type_cells(frame).values(), strict=True):
        book.active.append(row)
    book.save(path)
    return path


Writer = Callable[[pd.DataFrame, Path], Path]
FORMATS: dict[str, tuple[str, Writer]] = {
    "byte order mark": ("csv", lambda frame, path: to_text(frame, path, mark="\ufeff")),
    "semicolons": ("csv", lambda frame, path: to_text(frame, path, sep=";")),
    "decimal commas": ("csv", lambda frame, path: to_text(with_commas(frame), path, sep=";")),
    "sep=": ("csv", lambda frame, path: to_text(with_commas(frame), path, sep=";", mark="sep=;\n")),
    "tabs": ("tsv", lambda frame, path: to_text(frame, path, sep="\t")),
    "tabs and commas": ("txt", lambda frame, path: to_text(with_commas(frame), path, sep="\t")),
    "bars": ("txt", lambda frame, path: to_text(frame, path, sep="|")),
    "quotes": ("CSV", lambda frame, path: to_text(frame, path, quoting=1)),
    "lower case": ("csv", lambda frame, path: to_text(frame.rename(columns=str.lower), path)),
    "UTF-16": ("csv", lambda frame, path: to_text(frame, path, encoding="utf-16")),
    "UTF-16 BE": ("csv", lambda frame, path: to_text(frame, path, encoding="utf-16-be", mark="\ufeff")),
    "UTF-16 tabs": ("txt", lambda frame, path: to_text(frame, path, encoding="utf-16", sep="\t")),
    "gzip": ("csv.gz", lambda frame, path: pack(to_text(frame, path))),
    "xpt 5": ("xpt", to_xpt),
    "xpt 8": ("XPT", lambda frame, path: to_xpt(frame, path, 8)),
    "parquet": ("parquet", to_parquet),
    "json": ("json", to_json),
    "json gzip": ("json.gz", lambda frame, path: pack(to_json(frame, path))),
    "ndjson": ("ndjson", to_ndjson),
    "xlsx": ("xlsx", to_xlsx),
    "xlsx by content": ("csv", lambda frame, path: to_xlsx(frame, path)),
    "dates with time": (
        "csv",
        lambda frame, path: to_text(change_dates(frame, "{:%Y-%m-%dT08:30}".format), path),
    ),
    "dates in words": (
        "csv",
        lambda frame, path: to_text(change_dates(frame, lambda day: f"{day:%d%b%Y}".upper()), path),
    ),
    "dates and times of SAS in words": (
        "csv",
        lambda frame, path: to_text(change_dates(frame, lambda day: f"{day:%d%b%Y}:08:30:00".upper()), path),
    ),
    "dates by slashes": ("csv", lambda frame, path: to_text(change_dates(frame, "{:%Y/%m/%d}".format), path)),
    "dates in one piece": ("csv", lambda frame, path: to_text(change_dates(frame, "{:%Y%m%d}".format), path)),
    "days of SAS": ("csv", lambda frame, path: to_text(change_dates(frame, count_days), path)),
    "seconds of SAS": ("csv", lambda frame, path: to_text(change_dates(frame, count_seconds), path)),
}


def count_days(day: dt.date) -> str:
    return str((day - EPOCH).days)


def count_seconds(day: dt.date) -> str:
    return f"{(day - EPOCH).days * 86400 + 30600}.0"


def pack(path: Path) -> Path:
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def rewrite(
    folder: Path,
    into: Path,
    form: str = "",
    *,
    change: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    **metadata: Any,
) -> Path:
    """Write a folder again: its tables in a format of `FORMATS`, or changed; keys of trial.yaml added."""
    into.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name in ("trial.yaml", "published.yaml"):
            shutil.copy(path, into / path.name)
    if metadata:
        known = yaml.safe_load((into / "trial.yaml").read_text("utf-8")) | metadata
        (into / "trial.yaml").write_text(yaml.safe_dump(known, sort_keys=False, allow_unicode=True), "utf-8")
    ending, write = FORMATS[form] if form else ("csv", to_text)
    for table in TABLES:
        frame = read_cells(folder / f"{table}.csv")
        write(change(frame) if change else frame, into / f"{table}.{ending}")
    return into
