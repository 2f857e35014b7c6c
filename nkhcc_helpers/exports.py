"""Frames written as CSV that a spreadsheet shows instead of executing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write `frame` as UTF-8 CSV: numbers at full precision, no text that a spreadsheet takes for a formula.

    Text, in cells and in column names, that begins with ``= + - @``, a tab or a line end gets a leading
    apostrophe. Numbers (written as text too) and a lone ``-`` stay as they are. What is missing or unbounded
    is an empty cell, so that a column of numbers is read back as one.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any shape; the index is not written.
    path : str or pathlib.Path
        File to write; its folder must exist.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    OSError
        The file cannot be written.

    References
    ----------
    OWASP Foundation, *CSV Injection*.
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
    return pd.Series([_plain_cell(value) for value in column], index=column.index, dtype="object")


def _plain_cell(value: object) -> object:
    if isinstance(value, str):
        return _without_formula(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _without_formula(text: str) -> str:
    if not text.startswith(FORMULA_STARTS) or text == "-" or NUMBER.fullmatch(text):
        return text
    return f"'{text}"
