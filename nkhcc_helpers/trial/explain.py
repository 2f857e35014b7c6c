"""Failures of pydantic and pandera, turned into problems in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pandas as pd
import pandera.pandas as pa
from pydantic import BaseModel, ValidationError

from nkhcc_helpers.trial.files import RawTable, YamlBlock, format_path
from nkhcc_helpers.trial.problems import Problem, suggest_name

_WORDS = {
    "missing": "is missing",
    "string_type": "must be text; put it in quotes",
    "invalid_key": "key must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "date": "must be a date, YYYY-MM-DD",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be a number >= {ge:g}",
    "greater_than": "must be a number > {gt:g}",
    "less_than_equal": "must be a number <= {le:g}",
    "literal_error": "must be one of {expected}",
    "list_type": "must be a list, each entry on a line that begins with '-'",
    "too_short": "must have at least {min_length} entry",
    "dict_type": "must hold 'key: value' lines",
    "model": "must hold 'key: value' lines",
    "value_error": "{error}",
    "union_tag_not_found": "is missing",
    "union_tag_invalid": "is not a known kind; use one of {expected_tags}",
}
_Read = TypeVar("_Read", bound=BaseModel)


def validate_block(
    model: type[_Read],
    block: YamlBlock,
    table: str,
    known_keys: Mapping[str, list[str]],
    problems: list[Problem],
) -> _Read | None:
    """Return a YAML file's contents as a model, or None with the problems that keep it from being one.

    Parameters
    ----------
    model : type
        The pydantic model.
    block : YamlBlock
        The file.
    table : str
        Name of the file in problems.
    known_keys : mapping of str to list of str
        Keys allowed in the block of each name, for suggestions; `""` is the file itself.
    problems : list of Problem
        Problems found are appended.
    """
    try:
        return model.model_validate(block.data)
    except ValidationError as error:
        problems += _list_block_problems(error, block, table, known_keys)
        return None


def list_entries(block: YamlBlock, name: str) -> list[dict[Any, Any]]:
    """Return the blocks of a list as far as it is one, so that one fault does not hide another."""
    entries = block.data.get(name)
    if not isinstance(entries, list):
        return []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _list_block_problems(
    error: ValidationError, block: YamlBlock, table: str, known_keys: Mapping[str, list[str]]
) -> list[Problem]:
    problems = []
    for failure in error.errors(include_url=False):
        loc = failure["loc"] + (("kind",) if failure["type"].startswith("union_tag") else ())
        path, above = _locate(loc, block)
        row = next((block.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in block.lines), None)
        if failure["loc"][-1:] == ("[key]",):
            rule = _WORDS["invalid_key"]
            problems.append(Problem(table, row, format_path(path), str(failure["input"]), rule))
        elif failure["type"] == "extra_forbidden":
            hint = suggest_name(str(path[-1]), known_keys.get(above, []))
            problems.append(Problem(table, row, format_path(path), "", f"is not a known key{hint}"))
        else:
            value = block.texts.get(path, "")
            problems.append(Problem(table, row, format_path(path), value, _say(failure)))
    return problems


def _locate(loc: tuple[Any, ...], block: YamlBlock) -> tuple[tuple[Any, ...], str]:
    """Return a failure's path in the file and the name of the block it is in.

    pydantic puts the kind of a claim in the path (`claims, 0, median, value`), and follows a key that is
    not text with a mark.
    """
    path: tuple[Any, ...] = ()
    above = ""
    for at, part in enumerate(loc):
        last = at == len(loc) - 1
        if part == "[key]":
            return path[:-1], above
        if not last and not isinstance(part, int) and block.texts.get((*path, "kind")) == part:
            above = part
            continue
        named = (*path, str(part))
        path = named if named in block.lines else (*path, part)
        if not last and not isinstance(part, int):
            above = part
    return path, above


def _say(failure: Mapping[str, Any]) -> str:
    kind = failure["type"]
    words = _WORDS.get(kind) or _WORDS.get(kind.split("_")[0]) or failure["msg"]
    return words.format(**failure.get("ctx", {})) if kind in _WORDS else words


def list_table_problems(raw: RawTable, schema: pa.DataFrameSchema, table: str) -> list[Problem]:
    """Check a table's text against a schema and say in plain words what is wrong.

    Parameters
    ----------
    raw : RawTable
        The table.
    schema : pandera.pandas.DataFrameSchema
        Columns and checks; the `error` of each check is the rule to print.
    table : str
        Name of the table in problems.
    """
    try:
        schema.validate(raw.frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    problems = []
    for case in cases.itertuples(index=False):
        if case.check == "column_in_dataframe":
            problems.append(report_absent_column(str(case.failure_case), raw, schema, table))
        else:
            value = "" if pd.isna(case.failure_case) else str(case.failure_case)
            problems.append(Problem(table, int(case.index), str(case.column), value, str(case.check)))
    return problems


def report_absent_column(name: str, raw: RawTable, schema: pa.DataFrameSchema, table: str) -> Problem:
    """Return the problem of a column that is not there, suggesting the unknown one most like it.

    Parameters
    ----------
    name : str
        The column looked for.
    raw : RawTable
        The table.
    schema : pandera.pandas.DataFrameSchema
        Its schema; columns it knows are never suggested.
    table : str
        Name of the table in problems.
    """
    unknown = [found for found in raw.frame.columns if found not in schema.columns]
    return Problem(table, 1, name, "", f"column is missing{suggest_name(name, unknown)}")


def format_dates(dates: pd.Series) -> pd.Series:
    """Return dates as YYYY-MM-DD, missing where there is none."""
    return pd.to_datetime(dates).dt.strftime("%Y-%m-%d")


def report_rows(
    table: str, raw: RawTable, column: str, at: pd.Series, rules: str | pd.Series
) -> list[Problem]:
    """Return one problem per row of a column where `at` is true.

    Parameters
    ----------
    table : str
        Name of the table in problems.
    raw : RawTable
        The table as text.
    column : str
        The column to blame.
    at : pandas.Series of bool
        Index the line number; missing is false.
    rules : str or pandas.Series of str
        What is wrong, for all rows or by line number.
    """
    rows = at.index[at.fillna(False).to_numpy(dtype=bool)]
    if rows.empty:
        return []
    cells = raw.frame[column]
    said = rules if isinstance(rules, pd.Series) else pd.Series(rules, index=rows)
    return [Problem(table, int(row), column, str(cells.loc[row]), said.loc[row]) for row in rows]
