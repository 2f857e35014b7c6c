"""The page of a batch: each run with its parameters, how it ended and its headlines, one table a notebook."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from nkhcc_helpers.report.numbers import format_headline
from nkhcc_helpers.report.results import ILLUSTRATIVE, NUMBER, list_versions, write_whole
from nkhcc_helpers.run.batch.comparison import remove_comparison, write_comparison
from nkhcc_helpers.run.batch.grid import Batch, BatchRun, list_fixed, list_parameters
from nkhcc_helpers.run.batch.ledger import RUNS, Record
from nkhcc_helpers.run.batch.results import list_headlines, read_found, write_results
from nkhcc_helpers.run.batch.work import TRACEBACK
from nkhcc_helpers.run.publish import TEMPLATES, read_title, render

_KEPT = {
    "Page": "{}.html",
    "Notebook": "notebooks/{}.ipynb",
    "Notebook (gzip)": "notebooks/{}.ipynb.gz",
    "Tables": "tables/{}",
    "Traceback": TRACEBACK,
}


def write_pages(batch: Batch, folder: Path, records: Mapping[str, Record], *, has_ended: bool = True) -> None:
    """Write what a batch has found so far: every value as tables, `batch.html`, and the comparison of all.

    Until all runs have ended there is none: one of an earlier batch, or of some of the runs, could mislead.
    """
    found, parameters = read_found(batch, folder), list_parameters(batch)
    write_results(batch, folder, found)
    headlines = list_headlines(batch, found)
    trials: dict[str, dict] = {run.trial: {} for run in batch.runs}
    trials |= {run.trial: told for run in batch.runs if (told := found[run.name].provenance)}
    remove_comparison(folder)
    if has_ended:
        write_comparison(batch, folder, headlines, trials)
    script = (TEMPLATES / "batch.js").read_text(encoding="utf-8")
    text = render(
        "batch.html.j2",
        title=batch.title,
        illustrative=ILLUSTRATIVE,
        trials=trials,
        tables=[
            _lay_out(batch, part, headlines[headlines["notebook"] == notebook])
            for notebook, part in parameters.groupby("notebook", sort=False)
        ],
        has_ended=has_ended,
        records={run.name: records.get(run.name) for run in batch.runs},
        states={name: each.state for name, each in found.items()},
        unplanned=list_unplanned(batch, folder),
        kept={run.name: _find_kept(run, folder) if run.name in records else {} for run in batch.runs},
        versions=list_versions(),
        written=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_whole(folder / "batch.html", text)


def list_unplanned(batch: Batch, folder: Path) -> tuple[str, ...]:
    """Folders of runs that an earlier plan had and this one has not; they are in no table."""
    there = {path.name for path in (folder / RUNS).glob("*") if path.is_dir()}
    return tuple(sorted(there - {run.name for run in batch.runs}))


def _find_kept(run: BatchRun, folder: Path) -> dict[str, str]:
    """What of a run was kept, and where in the batch's folder."""
    paths = {label: f"{RUNS}/{run.name}/{file.format(run.plan.name)}" for label, file in _KEPT.items()}
    return {label: path for label, path in paths.items() if (folder / path).exists()}


def _lay_out(batch: Batch, parameters: pd.DataFrame, headlines: pd.DataFrame) -> dict[str, Any]:
    """The table of one notebook: its runs, columns of what varied among them, and of headlines."""
    plan = next(run.plan for run in batch.runs if run.name == parameters["run"].iloc[0])
    varied = [name for name in ("trial", *batch.varied) if len(set(parameters[name])) > 1]
    labels: dict[str, dict[str, None]] = {}
    cells: dict[str, dict[str, tuple]] = {name: {} for name in parameters["run"]}
    for row in headlines.itertuples():
        labels.setdefault(row.name, {})[f"{row.label} ({row.unit})" if row.unit else row.label] = None
        text = format_headline(row.kind, row.value, (row.ci_lower, row.ci_upper), row.error)
        cells[row.run][row.name] = (row.value, text)
    # Labels differ where they name what varies.
    shown = {key: f"{one} and {len(more)} like it" if more else one for key, (one, *more) in labels.items()}
    return {
        "title": read_title(plan.path),
        "rows": parameters.to_dict("records"),
        "varied": {name: all(NUMBER.fullmatch(text or "0") for text in parameters[name]) for name in varied},
        "headlines": shown,
        "cells": cells,
        "fixed": list_fixed(batch)[plan.name],
    }
