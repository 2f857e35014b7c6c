"""What a batch is about to do: its runs, how many have finished already, and how long the rest may take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from nkhcc_helpers.run.batch.grid import Batch, BatchRun, list_parameters
from nkhcc_helpers.run.batch.ledger import Record, read_ledger
from nkhcc_helpers.run.batch.results import align_cells
from nkhcc_helpers.run.manifest import MANIFEST, read_entries
from nkhcc_helpers.trial.metadata import count_noun
from nkhcc_helpers.trial.problems import format_printable

_N_SHOWN, _LONGEST = 40, 60  # runs, and characters of a cell


def estimate_seconds(batch: Batch, jobs: int) -> float | None:
    """How long the runs that have not finished will take, `jobs` at a time; None when nothing is known.

    By the mean of each notebook in the batch so far, or else in the reports beside it.
    """
    return _estimate(batch, jobs, read_ledger(batch.out_dir))


def _estimate(batch: Batch, jobs: int, ledger: Mapping[str, Record]) -> float | None:
    names = [run.plan.name for run in _list_waiting(batch, ledger)]
    if not names:
        return 0.0
    known = {run.name: run.plan.name for run in batch.runs}
    here, beside = defaultdict(list), defaultdict(list)
    for record in ledger.values():
        if record.status == "ok" and record.run in known:
            here[known[record.run]].append(record.seconds)
    for path in batch.out_dir.parent.glob(f"*/{MANIFEST}"):
        for name, entry in read_entries(path.parent).items():
            if entry.get("status") == "ok":
                beside[name].append(float(entry.get("seconds", 0)))
    means = {name: fmean(seconds) for name, seconds in (beside | here).items() if name in names}
    if not means:
        return None
    # A notebook not run yet takes what the others do.
    each = [means.get(name, fmean(means.values())) for name in names]
    return max(sum(each) / min(jobs, len(each)), *each)


def _list_waiting(batch: Batch, ledger: Mapping[str, Record]) -> list[BatchRun]:
    finished = {key for key, record in ledger.items() if record.status == "ok"}
    return [run for run in batch.runs if run.fingerprint not in finished]


def describe_batch(batch: Batch, jobs: int) -> str:
    """For a terminal: the runs and what varies, how many there are, and how long they may take."""
    frame = list_parameters(batch).drop(columns="is_default")
    frame = frame.drop(columns=[name for name in ("notebook", "trial") if len(set(frame[name])) == 1])
    rows = [["", *frame], *([str(at), *row] for at, *row in frame.set_axis(frame.index + 1).itertuples())]
    if len(frame) > _N_SHOWN:
        rows[1 + _N_SHOWN // 2 : -_N_SHOWN // 2] = [["..."] + [""] * frame.shape[1]]
    printed = [[format_printable(text) for text in row] for row in rows]
    cells = [[text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in row] for row in printed]
    table = "\n".join(align_cells(cells, _LONGEST + len("...")))
    ledger = read_ledger(batch.out_dir)
    n_finished = len(batch.runs) - len(_list_waiting(batch, ledger))
    seconds = _estimate(batch, jobs, ledger)
    left = "how long they take is not known yet" if seconds is None else f"{_say_time(seconds)} to go"
    return f"{table}\n{count_noun(len(batch.runs), 'run')}, {n_finished} finished already; {left}"


def _say_time(seconds: float) -> str:
    if not seconds:
        return "nothing"
    units = {"hour": 3600, "minute": 60, "second": 1}
    word = next((word for word, size in units.items() if seconds >= 2 * size), "second")
    return f"about {count_noun(max(1, round(seconds / units[word])), word)}"
