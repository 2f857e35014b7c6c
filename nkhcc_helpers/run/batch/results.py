"""What the runs of a batch have found, as tables; and the values of two runs side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from nkhcc_helpers.report.numbers import NOT_ESTIMABLE
from nkhcc_helpers.report.results import write_csv
from nkhcc_helpers.run.batch.grid import Batch, BatchRun, list_parameters
from nkhcc_helpers.run.publish import read_manifest
from nkhcc_helpers.trial.problems import format_printable

_LIMITS = ["value", "ci_lower", "ci_upper"]
_NUMBERS = [*_LIMITS, "null", "level"]
_HEADLINE = ["name", "label", *_NUMBERS, "unit", "log"]
_WIDEST = 40


def read_results(folder: Path) -> dict[str, Any]:
    """What the `results.json` of a report or run holds; nothing where it cannot be read."""
    try:
        content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_finished(run: BatchRun, folder: Path) -> dict[str, Any]:
    """What a run's `results.json` holds; nothing where it failed, or was executed with other inputs only."""
    place = folder / "runs" / run.name
    entry = ((read_manifest(place) or {}).get("notebooks") or {}).get(run.plan.name) or {}
    stands = entry.get("status") == "ok" and entry.get("fingerprint") == run.fingerprint
    return read_results(place) if stands else {}


def list_values(batch: Batch, folder: Path) -> pd.DataFrame:
    """One row a run and value, headlines included, in the order of the plan.

    Columns `run notebook trial`, each parameter that varied (text), `name`, `of` (keys, and places from 1, in
    what is no single value), `number` (NaN where it is none) and `text` (of what is no number).
    """

    def list_rows(results: dict[str, Any]) -> list[tuple]:
        found = _flatten(_name_values(results))
        return [(path[0], ".".join(path[1:]), *_split(value)) for path, value in found]

    frame = _gather(batch, folder, list_rows, ["name", "of", "number", "text"])
    return frame.drop(columns="is_default").astype({"number": float})


def list_headlines(batch: Batch, folder: Path) -> pd.DataFrame:
    """One row a run and headline: the columns of `list_parameters`, and its fields, NaN for NE or none."""

    def list_rows(results: dict[str, Any]) -> list[dict]:
        return [{"name": name, **each} for name, each in results.get("headlines", {}).items()]

    frame = _gather(batch, folder, list_rows, _HEADLINE)
    frame[_NUMBERS] = frame[_NUMBERS].apply(pd.to_numeric, errors="coerce").astype(float)
    return frame


def _gather(
    batch: Batch, folder: Path, list_rows: Callable[[dict], list], columns: list[str]
) -> pd.DataFrame:
    parameters, places, rows = list_parameters(batch), [], []
    for place, run in enumerate(batch.runs):
        found = list_rows(read_finished(run, folder).get("notebooks", {}).get(run.plan.name, {}))
        places += [place] * len(found)
        rows += found
    # A notebook may have a parameter of the name of a column.
    about = parameters.rename(columns={name: f"parameter {name}" for name in columns})
    about = about.iloc[places].reset_index(drop=True)
    return pd.concat([about, pd.DataFrame(rows, columns=columns)], axis=1)


def _name_values(results: dict[str, Any], *, with_tables: bool = False) -> dict[str, Any]:
    named = dict(results.get("values", {}))
    for name, each in results.get("headlines", {}).items():
        named[f"headline.{name}"] = {key: each[key] for key in _LIMITS}
    for name, each in results.get("tables", {}).items() if with_tables else ():
        named[f"table.{name}"] = each["rows"]
    return named


def _flatten(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float | str]]:
    """Each number and text in mappings and lists, with the keys, and places from 1, that lead to it."""
    if isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value, 1):
            yield from _flatten(item, (*path, str(key)))
    elif isinstance(value, bool) or value is None:
        yield path, {True: "true", False: "false", None: ""}[value]
    else:
        yield path, value if isinstance(value, str) else float(value)


def _split(value: float | str) -> tuple[float, str]:
    return (math.nan, value) if isinstance(value, str) else (value, "")


def write_results(batch: Batch, folder: Path) -> None:
    """Write every value of a batch as `results.csv` and `results.parquet`, whole or not at all.

    They hold no times: two batches that found the same write the same bytes.
    """
    frame = list_values(batch, folder)
    typed = frame.astype({name: "string" for name in frame.columns if name != "number"})
    with TemporaryDirectory(prefix=".results-", dir=folder) as building:
        write_csv(frame, Path(building, "results.csv"))
        typed.to_parquet(Path(building, "results.parquet"), index=False)
        for path in Path(building).iterdir():
            path.replace(folder / path.name)


def compare_reports(a: Path, b: Path, tolerance: float) -> pd.DataFrame:
    """Every value, headline and table cell of two reports, or runs of a batch, side by side.

    Columns `notebook name of a b differs`; what differs first: a number from NE, then numbers, the furthest
    apart first. Numbers differ by more than `tolerance` x the larger of their sizes and 1; None, on a side
    that has no such value, from anything. FileNotFoundError where a folder holds no results.
    """
    sides = [_read_side(Path(folder)) for folder in (a, b)]
    rows = []
    for path in sides[0] | sides[1]:
        pair = [side.get(path) for side in sides]
        rows.append((*path[:2], ".".join(path[2:]), *pair, *_measure(*pair, tolerance)))
    columns = ["notebook", "name", "of", "a", "b", "differs", "apart"]
    frame = pd.DataFrame(rows, columns=columns).astype({"a": object, "b": object, "differs": bool})
    ordered = frame.sort_values(["differs", "apart"], ascending=False, kind="stable", ignore_index=True)
    return ordered.drop(columns="apart")


def _read_side(folder: Path) -> dict[tuple[str, ...], float | str]:
    notebooks = read_results(folder).get("notebooks")
    if notebooks is None:
        raise FileNotFoundError(f"{folder}: no results.json of a report, or of a run of a batch, is there")
    return dict(_flatten({name: _name_values(each, with_tables=True) for name, each in notebooks.items()}))


def _measure(one: float | str | None, other: float | str | None, tolerance: float) -> tuple[bool, float]:
    """Whether two values differ, and how far numbers are apart."""
    if isinstance(one, float) and isinstance(other, float):
        apart = abs(one - other) / max(1.0, abs(one), abs(other))
        return apart > tolerance, apart
    is_lost = NOT_ESTIMABLE in (one, other) and float in (type(one), type(other))
    return one != other, math.inf if is_lost else 0.0


def describe_comparison(
    compared: pd.DataFrame, a: Path, b: Path, tolerance: float, *, every: bool = False
) -> str:
    """Say for a terminal what of `compare_reports` differs, or all of it, and what they were made with."""
    shown = compared if every else compared[compared["differs"]]
    values = [("*" if each.differs else "", *each[1:6]) for each in shown.itertuples()]
    one, other = (_list_made(Path(folder)) for folder in (a, b))
    made = [("*", key, one.get(key), other.get(key)) for key in one | other if one.get(key) != other.get(key)]
    rule = f"by more than {tolerance:g} x the larger of the two and 1, in text, or by being on one side only"
    lines = [format_printable(f"{side}: {folder}") for side, folder in (("a", a), ("b", b))]
    lines += _align(("", "made with", "a", "b"), made) + _align(("", *shown.columns[:5]), values)
    return "\n".join([*lines, f"{compared['differs'].sum()} of {len(compared)} values differ: {rule}"])


def _list_made(folder: Path) -> dict[str, float | str]:
    """Parameters, checksums and versions that a run's manifest tells."""
    manifest = read_manifest(folder) or {}
    made = {name: each.get("parameters") for name, each in manifest.get("notebooks", {}).items()}
    made |= {"data": manifest.get("data", {}).get("files"), "code": manifest.get("code")}
    made["version of"] = manifest.get("versions")
    return {" ".join(path): value for path, value in _flatten(made)}


def _align(heading: tuple, rows: list[tuple]) -> list[str]:
    """Lines of a table, none without rows; a cell that is longer than a column gets is not cut."""
    cells = [list(map(_show, row)) for row in (heading, *rows)]
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells] if rows else []


def _show(value: float | str | None) -> str:
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return "-" if value is None else format_printable(value)
