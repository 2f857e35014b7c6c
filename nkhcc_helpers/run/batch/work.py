"""What a worker of dask does with one run of a batch: everything but giving it its place.

The run is executed as `nkhcc run` executes a notebook, in a process forked from one that the worker keeps, so
that imports are done once a worker, and a kernel that ends with it.
"""

from __future__ import annotations

import datetime as dt
import errno
import gzip
import itertools
import multiprocessing
import re
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from nkhcc_helpers.parallel import prepare_notebooks
from nkhcc_helpers.report.results import hash_code, hash_data, hash_file, hash_inputs, write_json, write_whole
from nkhcc_helpers.run.batch.grid import BatchRun, NotebookForm
from nkhcc_helpers.run.batch.ledger import WRITER, Record, name_attempt, read_record
from nkhcc_helpers.run.execute import (
    Job,
    Kept,
    Limits,
    Outcome,
    WorkerPool,
    hide_controls,
    is_kept,
    read_cells,
    read_started,
)
from nkhcc_helpers.run.manifest import (
    MANIFEST,
    PIECES,
    RESULTS,
    describe_code,
    describe_notebook,
    describe_provenance,
    read_piece,
)
from nkhcc_helpers.run.publish import WORK, open_work
from nkhcc_helpers.run.run import STEPS_UP, name_source
from nkhcc_helpers.trial.trial import load_trial, locate_bundled

TRACEBACK = "traceback.txt"
_BELOW_REPORT = 2  # a run's folder is so much deeper than a report's
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST_TRACEBACK = 100_000  # characters, the last of it
_STARTING = threading.Lock()  # A process is started with the environment changed for a moment.


@dataclass(frozen=True)
class Workplace:
    """Where the runs of a batch are built, and by which rules."""

    work: Path
    session: str
    pages: Kept
    notebooks: NotebookForm
    limits: Limits
    retries: int
    varied: tuple[str, ...] = ()  # parameters that the runs' pages name at their head


@dataclass(frozen=True)
class Built:
    """A run that waits to be given its place."""

    folder: Path
    record: Record


def find_trouble(place: Workplace, files: Sequence[Path], code: str) -> str:
    """Say why a worker cannot execute a batch's runs, and begin its imports; empty where it can."""
    if hash_code() != code:
        return "has other code of nkhcc_helpers"
    writer = place.work / WRITER
    if not writer.is_file() or place.session not in writer.read_text(encoding="utf-8"):
        return f"does not see the batch's folder {place.work.parent}"
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        return f"does not see {missing[0]}"
    prepare_notebooks()
    return ""


def execute_run(run: BatchRun, place: Workplace) -> Built:
    """Execute a run, again where what executed it died; OSError where the disk is full.

    How often it was begun is told by the folders made for it, whichever workers made them.
    """
    while True:
        folder, attempt = _take_up(run, place)
        record = read_record(folder)
        if record is not None:  # by a worker that died before it could say so
            return Built(folder, replace(record, run=run.name))
        if attempt > place.retries + 1:
            why = f"{attempt - 1} workers or kernels died while it was executed (--retries)"
            return _finish(run, place, folder, attempt - 1, Outcome(run.plan.name, 0.0, why))
        outcome = _execute(run, place, folder)
        if outcome.found_disk_full:
            raise OSError(errno.ENOSPC, outcome.error)
        if not outcome.has_died or attempt > place.retries:
            return _finish(run, place, folder, attempt, outcome)


def _take_up(run: BatchRun, place: Workplace) -> tuple[Path, int]:
    """Make the next folder for a run, or find one that is whole, and say the how manieth it is."""
    for attempt in itertools.count(1):
        folder = name_attempt(place.work, place.session, run.name, attempt)
        try:
            folder.mkdir()
        except FileExistsError:
            if read_record(folder) is None:
                continue
        break
    return folder, attempt


def _execute(run: BatchRun, place: Workplace, folder: Path) -> Outcome:
    plan = run.plan
    inputs = hash_inputs(plan.path, hash_data(run.source), plan.values)
    if not run.fingerprint.startswith(inputs):  # which may have the trial's name behind
        why = "its notebook or its trial has changed since the batch was started; start the batch again"
        return Outcome(plan.name, 0.0, why)
    places = {"data_dir": _name_data(run, folder), "out_dir": ".."}
    values = plan.values | {name: text for name, text in places.items() if name in plan.known}
    heading = _describe_trial(run.source, tuple(run.data.items()))[0]
    told = [f"{name} {plan.effective[name]}" for name in place.varied if name in plan.effective]
    which = f"Run {run.name}: {', '.join([f'trial {run.trial}', *told])}"
    heading = heading | {"has_notebook": place.notebooks == "plain", "run": which}
    job = Job(plan.name, str(plan.path), values, str(folder), heading, place.pages, place.limits)
    multiprocessing.current_process().daemon = False  # which dask's workers are, and so may start none
    with _STARTING:
        pool = WorkerPool(1, open_work(folder))
        outcomes = pool.execute([job])
    with pool:
        (outcome,) = outcomes
    return outcome


def _name_data(run: BatchRun, folder: Path) -> str:
    given = "" if run.source == locate_bundled().resolve() else run.source
    return name_source(given, run.source, folder, STEPS_UP + _BELOW_REPORT)


@cache
def _describe_trial(source: Path, data: tuple[tuple[str, str], ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """What a page's heading says of a trial whose files have these checksums, and what results say of it."""
    trial = load_trial(source, warn=False)
    heading = {"trial_title": trial.metadata.title, "is_illustrative": trial.is_illustrative}
    return heading | {"word": trial.metadata.treatment_word}, describe_provenance(trial)


def _finish(run: BatchRun, place: Workplace, folder: Path, attempts: int, outcome: Outcome) -> Built:
    """Leave of a run what is kept, and last its manifest, the sign that it is whole."""
    name, data = run.plan.name, tuple(run.data.items())
    results = read_piece(folder, name)
    has_results = bool(results) or not outcome.error
    provenance = _describe_trial(run.source, data)[1] if has_results else {}
    write_json(folder / RESULTS, {"provenance": provenance, "notebooks": {name: results}})
    if outcome.error:
        write_whole(folder / TRACEBACK, _read_traceback(folder, name, outcome))
    _remove_unkept(folder, name, place, outcome)
    entry = describe_notebook(folder, run.plan, outcome, results, run.fingerprint)
    started = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=outcome.seconds)
    manifest = {
        **describe_code(),
        "run": run.name,
        "trial": run.trial,
        "attempts": attempts,
        "started": started.isoformat(timespec="seconds"),
        "data": {"folder": _name_data(run, folder) or "bundled", "files": dict(run.data)},
        RESULTS: hash_file(folder / RESULTS),
        "notebooks": {name: entry},
    }
    write_json(folder / MANIFEST, manifest)
    told = {key: entry[key] for key in ("status", "seconds", "error")}
    return Built(folder, Record(run.name, run.fingerprint, attempts=attempts, **told))


def _read_traceback(folder: Path, name: str, outcome: Outcome) -> str:
    """The traceback in the executed notebook, or else what it was at and what a process printed that died."""
    executed, lines, cell, code = folder / "notebooks" / f"{name}.ipynb", [], "", ""
    with suppress(ValueError):  # it may have been ended while it was written
        outputs = [output for cell in read_cells(executed) for output in cell.get("outputs", [])]
        lines = [line for output in outputs for line in output.get("traceback", [])]
        cell, code = read_started(executed)
    if not lines:
        lines = [f"{outcome.error}\n"]
        if code and (outcome.has_died or outcome.error.startswith(cell)):  # and not its page was at fault
            lines.append(f"while this was executed:\n\n{code}\n")
        if outcome.has_died:
            lines += [path.read_text("utf-8", "replace") for path in (folder / WORK).glob("worker-*.log")]
    text = _COLOUR.sub("", "\n".join(lines))[-_LONGEST_TRACEBACK:]
    return hide_controls(text, kept="\n\t")


def _remove_unkept(folder: Path, name: str, place: Workplace, outcome: Outcome) -> None:
    for used in (WORK, PIECES):
        shutil.rmtree(folder / used, ignore_errors=True)
    if not is_kept(place.pages, outcome):
        shutil.rmtree(folder / "figures", ignore_errors=True)
    executed = folder / "notebooks" / f"{name}.ipynb"
    if place.notebooks == "gzip" and executed.is_file():
        content = gzip.compress(executed.read_bytes(), mtime=0)
        executed.with_name(f"{executed.name}.gz").write_bytes(content)
    if place.notebooks != "plain":
        executed.unlink(missing_ok=True)
    if place.notebooks == "none":
        shutil.rmtree(executed.parent, ignore_errors=True)
