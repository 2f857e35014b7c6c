"""A batch: the runs of a plan executed by workers of dask, each taking its place as it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from nkhcc_helpers.report.results import hash_code
from nkhcc_helpers.run.batch.grid import BatchError, BatchRun, read_batch
from nkhcc_helpers.run.batch.ledger import Ledger, Record, open_ledger
from nkhcc_helpers.run.batch.work import Built, Workplace, execute_run, find_trouble
from nkhcc_helpers.run.execute import Limits
from nkhcc_helpers.trial.problems import count_named

if TYPE_CHECKING:
    from distributed import Client, Future

_SECONDS_TO_CONNECT, _SECONDS_OF_SILENCE, _HERE = 10, 5, "127.0.0.1"


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch."""

    folder: Path
    records: dict[str, Record]  # by run's name, in the plan's order
    n_reused: int = 0  # runs that had finished before
    unplanned: tuple[str, ...] = ()  # runs that stand there too, from an earlier plan

    @property
    def failed(self) -> list[Record]:
        """The runs that failed."""
        return [record for record in self.records.values() if record.status == "failed"]


def run_batch(
    plan: str | Path,
    *,
    out: str | Path = "",
    jobs: int | None = None,
    scheduler: str = "",
    memory_limit: str = "",
    retries: int = 1,
    timeout: float | None = None,
    pages: str | None = None,
    keep_notebooks: str | None = None,
    force: bool = False,
    on_start: Callable[[int, int, str], None] = lambda total, n_finished, dashboard: None,
    on_record: Callable[[Record, int], None] = lambda record, n_running: None,
    on_note: Callable[[str], None] = lambda line: None,
) -> BatchResult:
    """Execute the runs of a plan that have not finished, and write what the batch comes to.

    A script that calls this needs no ``if __name__ == "__main__"``: no process imports it again.

    Parameters
    ----------
    plan : str or pathlib.Path
        A plan's file, or the name of one of the project's. Its `out`, `pages`, `keep_notebooks` and `timeout`
        hold unless they are given here.
    jobs : int, optional
        Runs executed at a time on this machine; the number of cores when absent.
    scheduler : str
        Address of a dask scheduler whose workers execute the runs, in the place of this machine; they see the
        same files under the same names, and have the same code.
    memory_limit : str
        What a run may take, such as ``"2 GB"``; no limit when empty.
    retries : int
        How often a run is begun again where a worker died that executed it, or its process or kernel.
    force : bool
        Execute all runs, also those that have finished.
    on_start : callable
        Called with the number of runs, of those that have finished, and the address of dask's dashboard.
    on_record : callable
        Called with what came of each run, and how many are being executed.
    on_note : callable
        Called with a line on what is unusual: what is executed again though it had finished, or waited for.

    Raises
    ------
    BatchError
        Before anything is executed.
    KeyboardInterrupt, OSError
        Interrupted, the disk is full, or the scheduler was lost. What has finished stays, as a note says, and
        the same call goes on.
    """
    from nkhcc_helpers.run.batch.pages import list_unplanned, write_pages

    limit = _read_memory(memory_limit)
    batch = read_batch(plan, out=out, pages=pages, keep_notebooks=keep_notebooks, timeout=timeout)
    with open_ledger(batch.out_dir) as ledger:
        known = ledger.settle(batch.runs)
        finished = {} if force else {name: each for name, each in known.items() if each.status == "ok"}
        if ledger.damaged and not force:
            on_note(f"executed again, as files of it are lost or damaged: {count_named(ledger.damaged)}")
        waiting = [run for run in batch.runs if run.name not in finished]
        limits = Limits(batch.timeout, limit)
        rules = (batch.pages, batch.notebooks, limits, retries, batch.varied)
        place = Workplace(ledger.work, ledger.session, *rules)
        under_way = _UnderWay(ledger, place, waiting, dict(finished))
        write = partial(write_pages, batch, batch.out_dir, under_way.records)

        def begin(dashboard: str) -> None:
            if waiting:  # what is killed leaves no table that looks whole
                write(has_ended=False)
            on_start(len(batch.runs), len(finished), dashboard)

        try:
            _execute(under_way, scheduler, jobs, begin, on_record, on_note)
        except BatchError:
            raise
        except BaseException as stop:
            n_finished = sum(record.status == "ok" for record in under_way.records.values())
            stop.add_note(f"finished: {n_finished} of {len(batch.runs)} runs, kept in {batch.out_dir}")
            with suppress(OSError):
                write(has_ended=False)
            raise
        write()
    records = {run.name: under_way.records[run.name] for run in batch.runs}
    return BatchResult(batch.out_dir, records, len(finished), list_unplanned(batch, batch.out_dir))


@dataclass
class _UnderWay:
    """A batch under way."""

    ledger: Ledger
    place: Workplace
    waiting: list[BatchRun]
    records: dict[str, Record]  # of what has ended


def _read_memory(text: str) -> int:
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(text)) if text else 0
    except ValueError:
        raise BatchError([f"--memory-limit must be such as 2GB, not {text!r}"]) from None


def _execute(
    under_way: _UnderWay,
    scheduler: str,
    jobs: int | None,
    on_start: Callable[[str], None],
    on_record: Callable[[Record, int], None],
    on_note: Callable[[str], None],
) -> None:
    """Execute what waits, and give each run its place as it ends."""
    ledger, waiting = under_way.ledger, under_way.waiting
    if not waiting:
        on_start("")
        return
    names = {run.fingerprint: run.name for run in waiting}
    with _open_client(scheduler, min(jobs or os.cpu_count() or 1, len(waiting))) as client:
        try:
            _refuse_unfit(client, under_way, on_note)
            on_start(client.dashboard_link)
            for n_left, built in _collect(client, under_way):
                ledger.place(built.folder, built.record)
                under_way.records[built.record.run] = built.record
                on_record(built.record, min(n_left, _count_threads(client)))
        finally:
            # Before the workers are gone: those of a scheduler of its own stay, and see that this is over.
            with suppress(OSError):
                under_way.records |= {record.run: record for record in ledger.take_in(names)}


@contextmanager
def _open_client(scheduler: str, jobs: int) -> Iterator[Client]:
    """Connect to a scheduler, or to one of this process and nobody else's; both end with this."""
    import dask.config
    from distributed import Client, LocalCluster
    from distributed.utils import silence_logging_cmgr

    # Each run has a process of its own, so that a worker for them here may be threads: nothing is imported
    # again for it, and nobody else can connect.
    local = {"n_workers": 1, "threads_per_worker": jobs, "processes": False, "memory_limit": 0}
    local |= {"dashboard_address": f"{_HERE}:0", "silence_logs": False}
    here = {"distributed.dashboard.link": f"http://{_HERE}:{{port}}/status"}
    here["distributed.scheduler.worker-ttl"] = None  # in one process nothing is silent but by Ctrl-Z
    with ExitStack() as stack:
        # What is of interest is said by the batch; what it started may say more, even after it was stopped.
        silence = ExitStack()
        silence.enter_context(silence_logging_cmgr(logging.CRITICAL))
        stack.push(lambda stopped, *_: None if stopped else silence.close())
        stack.enter_context(dask.config.set({} if scheduler else here))
        cluster = scheduler or stack.enter_context(LocalCluster(**local))
        client, why = None, ""
        try:
            client = Client(cluster, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
        except (OSError, ValueError) as failure:
            why = str(failure)
        if client is None:  # raised here, since from there it would keep a client that is not closed
            raise BatchError([f"--scheduler {scheduler}: no scheduler of dask answers there ({why})"])
        yield stack.enter_context(client)


def _refuse_unfit(client: Client, under_way: _UnderWay, on_note: Callable[[str], None]) -> None:
    """Wait for a worker; raise before anything is executed where one has other code or other files."""
    files = sorted({path for run in under_way.waiting for path in (run.plan.path, run.source)})
    try:
        client.wait_for_workers(1, timeout=_SECONDS_OF_SILENCE)
    except TimeoutError:
        on_note(f"--scheduler {client.scheduler.address}: waiting for its first worker")
        client.wait_for_workers(1)
    told = client.run(find_trouble, under_way.place, files, hash_code(), on_error="return")
    if not told:
        raise ConnectionError("the worker was lost")
    problems = [f"worker {worker}: {trouble}" for worker, trouble in told.items() if trouble]
    if problems:
        raise BatchError(problems)


def _collect(client: Client, under_way: _UnderWay) -> Iterator[tuple[int, Built]]:
    """Yield runs as they are built, with how many are left."""
    from distributed import KilledWorker, as_completed

    def submit(run: BatchRun) -> Future:
        return client.submit(execute_run, run, under_way.place, key=f"{run.name}-{uuid4().hex}", pure=False)

    pending = {submit(run): run for run in under_way.waiting}
    ended = as_completed(pending, loop=client.loop)
    for future in ended:
        run = pending.pop(future)
        if future.cancelled():
            raise ConnectionError("the scheduler was lost")
        failure = future.exception()
        if isinstance(failure, KilledWorker):  # too often for the scheduler, though perhaps by other runs
            again = submit(run)
            pending[again] = run
            ended.add(again)
            continue
        if failure is not None:
            raise failure
        built = future.result()
        future.release()  # the worker that holds it may die, and it would be built again
        yield len(pending), built


def _count_threads(client: Client) -> int:
    return sum(each["nthreads"] for each in client.scheduler_info(n_workers=-1)["workers"].values())
