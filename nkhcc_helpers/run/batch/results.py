"""What the runs of a batch have found, as tables; and the values of two runs side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pandas as pd

from nkhcc_helpers.report.numbers import NOT_ESTIMABLE
from nkhcc_helpers.report.results import write_csv
from nkhcc_helpers.run.batch.grid import Batch, BatchRun, list_parameters
from nkhcc_helpers.run.batch.ledger import RUNS
from nkhcc_helpers.run.manifest import read_entries, read_manifest, read_results
from nkhcc_helpers.trial.problems import format_printable

_LIMITS = ["value", "ci_lower", "ci_upper"]
_NUMBERS = [*_LIMITS, "null", "level", "error"]
_HEADLINE = ["name", "label", *_NUMBERS, "unit", "kind", "has_direction"]
_WIDEST = 40


@dataclass(frozen=True)
class Found:
    """What came of a run of a batch, and what it found but for its tables, which are long."""

    state: Literal["finished", "failed", "not executed"]
    provenance: dict[str, Any]
    values: dict[str, Any]
    headlines: dict[str, Any]


def read_found(batch: Batch, folder: Path) -> dict[str, Found]:
    """What came of each run, by its name; one that was executed with other inputs only was not."""
    return {run.name: _read_run(run, folder / RUNS / run.name) for run in batch.runs}


def _read_run(run: BatchRun, place: Path) -> Found:
    entry = read_entries(place).get(run.plan.name) or {}
    status = entry.get("status") if entry.get("fingerprint") == run.fingerprint else ""
    results = read_results(place) if status == "ok" else {}
    state = "finished" if results else "failed" if status == "failed" else "not executed"
    found = results.get("notebooks", {}).get(run.plan.name, {})
    return Found(state, results.get("provenance", {}), found.get("values", {}), found.get("headlines", {}))


def list_values(batch: Batch, found: Mapping[str, Found]) -> pd.DataFrame:
    """One row a run and value, headlines included, in the order of the plan; one too for a run without any.

    Columns `run notebook trial`, each parameter that varied (text), `state`, `name`, `of` (keys, and places
    from 1, in what is no single value), `number` (NaN where it is none) and `text` (of what is no number).
    """

    def list_rows(each: Found) -> list[tuple]:
        values = _flatten(_name_values(each.values, each.headlines))
        rows = [(each.state, path[0], ".".join(path[1:]), *_split(value)) for path, value in values]
        return rows or [(each.state, "", "", math.nan, "")]

    frame = _gather(batch, found, list_rows, ["state", "name", "of", "number", "text"])
    return frame.drop(columns="is_default").astype({"number": float})


def list_headlines(batch: Batch, found: Mapping[str, Found]) -> pd.DataFrame:
    """One row a run and headline: the columns of `list_parameters`, and its fields, NaN for NE or none."""

    def list_rows(each: Found) -> list[dict]:
        return [{"name": name, **headline} for name, headline in each.headlines.items()]

    frame = _gather(batch, found, list_rows, _HEADLINE)
    frame[_NUMBERS] = frame[_NUMBERS].apply(pd.to_numeric, errors="coerce").astype(float)
    return frame


def _gather(
    batch: Batch, found: Mapping[str, Found], list_rows: Callable[[Found], list], columns: list[str]
) -> pd.DataFrame:
    parameters, places, rows = list_parameters(batch), [], []
    for place, run in enumerate(batch.runs):
        own = list_rows(found[run.name])
        places += [place] * len(own)
        rows += own
    # A notebook may have a parameter of the name of a column.
    about = parameters.rename(columns={name: f"parameter {name}" for name in columns})
    about = about.iloc[places].reset_index(drop=True)
    return pd.concat([about, pd.DataFrame(rows, columns=columns)], axis=1)


def _name_values(values: dict[str, Any], headlines: dict[str, Any]) -> dict[str, Any]:
    told = {
        f"headline.{name}": {key: each[key] for key in _LIMITS if each[key] is not None}
        for name, each in headlines.items()
    }
    return values | told


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


def write_results(batch: Batch, folder: Path, found: Mapping[str, Found]) -> None:
    """Write every value of a batch as `results.csv` and `results.parquet`, whole or not at all.

    They hold no times, nor errors, which can tell sizes or paths: what found the same writes the same bytes.
    """
    frame = list_values(batch, found)
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
    that has no such value, from anything. ValueError where there is nothing of a finished run to compare.
    """
    sides = [_read_side(Path(folder)) for folder in (a, b)]
    if not any(sides):
        raise ValueError(f"{a} and {b}: neither holds a value that could be compared")
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
        run = next((folder / RUNS).glob("*/"), "")
        hint = f"; of this batch name a run, such as {run}" if run else ""
        raise ValueError(f"{folder}: no results.json of a report, or of a run of a batch, is there{hint}")
    for name, entry in read_entries(folder).items():
        if entry.get("status", "ok") != "ok":
            why = entry.get("error") or entry["status"]
            raise ValueError(f"{folder}: {name} has not finished, so that nothing can be compared ({why})")
    return dict(_flatten({name: _name_all(each) for name, each in notebooks.items()}))


def _name_all(results: dict[str, Any]) -> dict[str, Any]:
    tables = {f"table.{name}": _name_rows(each["rows"]) for name, each in results.get("tables", {}).items()}
    return _name_values(results.get("values", {}), results.get("headlines", {})) | tables


def _name_rows(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]] | list[dict[str, Any]]:
    """Rows by their first columns, as few as tell them apart, if these hold text and whole numbers alone."""
    keys = [""] * len(rows)
    for column in rows[0] if rows else ():
        cells = [row[column] for row in rows]
        if not all(isinstance(each, str | int) or str(each).endswith(".0") for each in cells):
            break
        keys = [f"{key}, {str(cell).removesuffix('.0')}" for key, cell in zip(keys, cells, strict=True)]
        if len(set(keys)) == len(rows):
            return {f"[{key[2:]}]": row for key, row in zip(keys, rows, strict=True)}
    return rows


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
    for heading, rows in ((("made with", "a", "b"), made), (shown.columns[:5], values)):
        cells = [list(map(_show, row)) for row in (("", *heading), *rows)]
        lines += align_cells(cells, _WIDEST) if rows else []
    return "\n".join([*lines, f"{compared['differs'].sum()} of {len(compared)} values differ (*): {rule}"])


def _list_made(folder: Path) -> dict[str, float | str]:
    """Parameters, checksums and versions that a run's manifest tells."""
    manifest = read_manifest(folder) or {}
    made = {name: each.get("parameters") for name, each in manifest.get("notebooks", {}).items()}
    made |= {"data": manifest.get("data", {}).get("files"), "code": manifest.get("code")}
    made["version of"] = manifest.get("versions")
    return {" ".join(path): value for path, value in _flatten(made)}


def align_cells(rows: Sequence[Sequence[str]], widest: int) -> list[str]:
    """Lines of a table for a terminal; a cell that is longer than the widest column is not cut."""
    widths = [min(widest, max(map(len, column))) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _show(value: float | str | None) -> str:
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return "-" if value is None else format_printable(value)
