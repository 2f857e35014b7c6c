"""What a batch is about to do: its runs, how many have finished already, and how long the rest may take."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean

from nkhcc_helpers.run.batch.grid import Batch, list_parameters
from nkhcc_helpers.run.batch.ledger import RUNS, list_finished
from nkhcc_helpers.run.batch.results import align_cells
from nkhcc_helpers.run.manifest import MANIFEST, read_entries
from nkhcc_helpers.trial.metadata import count_noun
from nkhcc_helpers.trial.problems import format_printable

_N_SHOWN, _WIDEST = 40, 60  # runs, and characters of a column
_N_READ = 200  # manifests of one kind
_SECONDS_AROUND = 10.0  # imports before the first run, tables and pages after the last


def estimate_seconds(folder: Path, notebooks: Sequence[str], jobs: int) -> float | None:
    """How long a run of each of these will take in a batch's folder, `jobs` at a time; None when unknown."""
    if not notebooks:
        return 0.0
    means = {name: fmean(seconds) for name, seconds in _list_seconds(folder).items() if name in notebooks}
    if not means:
        return None
    # A notebook not run yet takes what the others do.
    each = [means.get(name, fmean(means.values())) for name in notebooks]
    # More runs at a time than there are cores are not done sooner.
    return _SECONDS_AROUND + max(sum(each) / min(jobs, os.cpu_count() or 1, len(each)), *each)


def _list_seconds(folder: Path) -> dict[str, list[float]]:
    """What each notebook took in a batch's folder, or else in a report beside it, or in a batch there."""
    found: dict[str, list[float]] = {}
    for place, pattern in ((folder, f"{RUNS}/*"), (folder.parent, "*"), (folder.parent, f"*/{RUNS}/*")):
        here = defaultdict(list)
        for path in islice(place.glob(f"{pattern}/{MANIFEST}"), _N_READ):
            for name, entry in read_entries(path.parent).items():
                if entry.get("status") == "ok":
                    here[name].append(float(entry.get("seconds", 0)))
        found = here | found
    return found


def describe_batch(batch: Batch, jobs: int, *, force: bool = False) -> str:
    """For a terminal: the runs and what varies, how many there are, and how long they may take."""
    frame = list_parameters(batch).drop(columns="is_default")
    frame = frame.drop(columns=[name for name in ("notebook", "trial") if len(set(frame[name])) == 1])
    rows = [["", *frame], *([str(at), *row] for at, *row in frame.set_axis(frame.index + 1).itertuples())]
    if len(frame) > _N_SHOWN:
        rows[1 + _N_SHOWN // 2 : -_N_SHOWN // 2] = [["..."] + [""] * frame.shape[1]]
    table = align_cells([[format_printable(text) for text in row] for row in rows], _WIDEST)
    finished = set() if force else list_finished(batch.out_dir)
    waiting = [run.plan.name for run in batch.runs if run.fingerprint not in finished]
    seconds = estimate_seconds(batch.out_dir, waiting, jobs)
    unknown = "how long they take is not known before a first of them has run"
    left = unknown if seconds is None else f"{_say_time(seconds)} to go"
    n_finished = len(batch.runs) - len(waiting)
    last = f"{count_noun(len(batch.runs), 'run')}, {n_finished} finished already; {left}"
    return "\n".join([*table, *batch.notes, last])


def _say_time(seconds: float) -> str:
    if not seconds:
        return "nothing"
    units = {"hour": 3600, "minute": 60, "second": 1}
    word = next((word for word, size in units.items() if seconds >= 2 * size), "second")
    return f"about {count_noun(max(1, round(seconds / units[word])), word)}"
