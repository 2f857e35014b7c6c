"""What a page leaves behind in numbers: strict JSON, and the versions and checksums of what made it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import Named, check_names
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_large
from nkhcc_helpers.trial.files import READ

ILLUSTRATIVE = "Illustrative reconstruction, not patient data"
# By this environment variable `nkhcc run` gives a copied notebook results of its own.
NOTEBOOK_VARIABLE = "NKHCC_NOTEBOOK"
# And by this one a file for a line on how far it is.
PROGRESS_VARIABLE = "NKHCC_PROGRESS"
# What a result depends on, by the name it is installed under.
PACKAGES = ("nkhcc_helpers", "numpy", "pandas", "scipy", "lifelines", "matplotlib", "seaborn", "papermill")
_PACKAGE = Path(__file__).resolve().parent.parent
_CODE_SUFFIXES = {".py", ".j2", ".css", ".js", ".json"}
_DATA_SUFFIXES = {".yaml", ".yml", *READ}
HUGE = 10**300  # a whole number that no float holds; Python does not write those of thousands of digits
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SEQUENCES = (list, tuple, pd.Series, pd.Index, np.ndarray, pd.api.extensions.ExtensionArray)


def is_missing(value: object) -> bool:
    """Whether `value` is a number that is not finite, or one of the ways of saying that there is none."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and not math.isfinite(value)


def is_sequence(value: object) -> bool:
    """Whether `value` is a list, tuple, array, series or index."""
    return isinstance(value, _SEQUENCES)


def format_json_value(value: Any) -> Any:
    """Turn a value into what strict JSON can hold, or raise TypeError.

    A number that is not finite becomes ``"NE"``, a date its ISO text, no date ``None``, a frame a list of
    rows. ValueError where two different statistics of one list, mapping or column would have one name.
    """
    if isinstance(value, pd.DataFrame):
        check_names(value.columns)
        columns = [format_json_value(value.iloc[:, i]) for i in range(value.shape[1])]
        names = [str(name) for name in value.columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(value, Mapping):
        check_names(value)
        return {str(key): format_json_value(item) for key, item in value.items()}
    if is_sequence(value):
        check_names(value)
        return [format_json_value(item) for item in value]
    return _format_scalar(value)


def _format_scalar(value: Any) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, np.datetime64) and np.isnat(value)):
        return None
    if is_missing(value):
        return NOT_ESTIMABLE
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, datetime):
        return (value.date() if value.time() == datetime.min.time() else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Named):
        value = value.name
    if isinstance(value, int | Decimal) and value >= HUGE:
        value = format_large(value)
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be recorded; record numbers, text, dates or tables")


def write_json(path: str | Path, content: Any) -> Path:
    """Write strict JSON, whole or not at all; ValueError where a number is not finite."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return write_whole(Path(path), text)


def write_whole(path: Path, text: str) -> Path:
    """Write text as UTF-8, whole or not at all."""
    building = path.with_name(f".{path.name}.{os.getpid()}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)
    return path


def list_versions() -> dict[str, str]:
    """Versions of Python, this package, and what it computes and draws with, as far as they are installed."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    return versions | {package: found for package in PACKAGES if (found := _find_version(package))}


@cache
def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_data(folder: Path) -> dict[str, str]:
    """SHA-256 of a folder's tables, YAML and Parquet files, by name; none without a folder."""
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _DATA_SUFFIXES]
    return {path.name: hash_file(path) for path in files if path.is_file()}


@cache
def hash_code() -> str:
    """One SHA-256 for the package's own code and templates."""
    files = [path for path in _PACKAGE.rglob("*") if path.suffix in _CODE_SUFFIXES]
    files = [path for path in files if "bundled" not in path.relative_to(_PACKAGE).parts]
    return _hash_json({path.relative_to(_PACKAGE).as_posix(): hash_file(path) for path in files})


def hash_inputs(notebook: Path, data: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    """One SHA-256 for notebook, its exercises, checksums of the data, parameter values, code and versions."""
    exercises = notebook.parent / "exercises" / f"{notebook.stem.partition('_')[0]}.yaml"
    return _hash_json(
        {
            "notebook": hash_file(notebook),
            "exercises": hash_file(exercises) if exercises.is_file() else "",
            "data": dict(data),
            "parameters": dict(parameters),
            "code": hash_code(),
            "versions": list_versions(),
        }
    )


def _hash_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write `frame` as UTF-8 CSV: numbers at full precision, no text that a spreadsheet takes for a formula.

    Text, in cells and in column names, that begins with ``= + - @``, a tab or a line end gets a leading
    apostrophe (OWASP Foundation, *CSV Injection*); numbers written as text and a lone ``-`` stay as they are.
    What is missing or unbounded is an empty cell, so that a column of numbers is read back as one. ValueError
    where two different statistics of one column would have one name.
    """
    safe = pd.DataFrame(
        {i: _plain_column(frame.iloc[:, i]) for i in range(frame.shape[1])}, index=frame.index
    )
    safe.columns = [_without_formula(str(name)) for name in frame.columns]
    path = Path(path)
    safe.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
    return path


def _plain_column(column: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(column.dtype):
        return column.replace([np.inf, -np.inf], np.nan)
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column
    check_names(column)
    return pd.Series([_plain_cell(value) for value in column], index=column.index, dtype="object")


def _plain_cell(value: object) -> object:
    if isinstance(value, str):
        return _without_formula(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, int | Decimal) and value >= HUGE:
        return format_large(value)
    return value


def _without_formula(text: str) -> str:
    if not text.startswith(FORMULA_STARTS) or text == "-" or NUMBER.fullmatch(text):
        return text
    return f"'{text}"
