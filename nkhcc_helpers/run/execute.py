"""One notebook executed by papermill in a process of its own, and turned into a page."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from nkhcc_helpers.parallel import (
    CAN_FORK,
    IN_NOTEBOOKS,
    TEMPLATE,
    importing_no_main,
    prepare_notebooks,
)
from nkhcc_helpers.report.results import NOTEBOOK_VARIABLE, PROGRESS_VARIABLE, write_json
from nkhcc_helpers.run.kernel import PROVISIONER, ForkedKernel, register
from nkhcc_helpers.run.pages import load_exporter, write_page
from nkhcc_helpers.run.plan import SOLUTION

_LONGEST_MESSAGE, _LINES_OF_MESSAGE = 400, 3
_ATTEMPTS, _SECONDS_TO_STOP, _SECONDS_TO_LOOK = 2, 5.0, 1.0
_FULL = {errno.ENOSPC, errno.EDQUOT}  # of a disk, or of what one may use of it
_MEGABYTE = 10**6
Kept = Literal["all", "failed", "none"]
"""Of which notebooks something is kept."""


@dataclass(frozen=True)
class Limits:
    """What executing a notebook may take; 0 for no limit."""

    seconds: float = 0.0
    memory: int = 0  # bytes, of the process that executes it, its kernel, and what that started

    def find_breach(self, pid: int, seconds: float) -> str:
        """Say what a process has taken too much of after so many seconds; empty for nothing."""
        if 0 < self.seconds < seconds:
            return f"took longer than {self.seconds:g} s (--timeout)"
        used = _measure_memory(pid) if self.memory else 0
        if used > self.memory:
            allowed = f"{self.memory / _MEGABYTE:,.0f} MB (--memory-limit)"
            return f"needed {used / _MEGABYTE:,.0f} MB of memory, more than {allowed}"
        return ""


def _measure_memory(pid: int) -> int:
    """Memory of a process and all below it, pages that they share counted in each, as `ps` shows it."""
    import psutil

    used = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used += each.memory_info().rss
    return used


@dataclass(frozen=True)
class Job:
    """One notebook to execute."""

    name: str  # in the report
    notebook: str  # its path
    parameters: dict[str, Any]
    report: str  # folder being built; gets `notebooks/<name>.ipynb` and `<name>.html`
    heading: dict[str, Any] = field(default_factory=dict)  # of the page; see `write_page`
    pages: Kept = "all"
    limits: Limits = Limits()
    is_lesson: bool = False  # whether its exercises are shown and solved


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook; `error` holds cell, error and message when it failed."""

    name: str
    seconds: float  # its page included
    error: str = ""
    reused: bool = False  # taken over from an earlier run
    has_ended: bool = True
    has_died: bool = False  # the process that executed it, or the kernel
    found_disk_full: bool = False


def is_kept(kept: Kept, outcome: Outcome) -> bool:
    """Whether something is kept of a notebook of which this came."""
    return kept == "all" or (kept == "failed" and bool(outcome.error))


class WorkerPool:
    """A process for each notebook, `n_workers` at a time; a context manager that stops what still runs.

    `work_dir` is for what workers and kernels keep for themselves: connection files, profile, log, and a line
    on how far a notebook is, of which `on_progress` is told by the notebook's name whenever it is another.
    """

    def __init__(
        self,
        n_workers: int,
        work_dir: Path,
        on_progress: Callable[[str, str], None] = lambda name, line: None,
    ) -> None:
        self._context, self._on_progress = prepare_notebooks(), on_progress
        self._n_workers, self._work_dir = n_workers, work_dir
        self._waiting: deque[Job] = deque()
        self._told: dict[str, str] = {}
        self._running: dict[Connection, tuple[Any, Job, float]] = {}

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._running:
            connection.close()
        _stop([process for process, *_ in self._running.values()])

    def execute(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Start executing notebooks in this order; yields an outcome for each as they end."""
        self._waiting.extend(jobs)
        self._start_waiting()
        return self._collect()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._n_workers:
            job = self._waiting.popleft()
            ours, theirs = self._context.Pipe()
            arguments = (theirs, job, str(self._work_dir), dict(os.environ))
            process = self._context.Process(target=_serve, args=arguments)
            with importing_no_main():
                process.start()
            theirs.close()
            self._running[ours] = (process, job, time.perf_counter())

    def _collect(self) -> Iterator[Outcome]:
        while self._running:
            self._tell_progress()
            for connection in wait(list(self._running), _SECONDS_TO_LOOK):
                process, job, started = self._running[connection]
                try:
                    outcome = connection.recv()
                    process.join(_SECONDS_TO_STOP)
                except (EOFError, OSError):
                    process.join(_SECONDS_TO_STOP)
                    how = f"the process that executed it ended (exit code {process.exitcode})"
                    outcome = Outcome(job.name, time.perf_counter() - started, how, has_died=True)
                del self._running[connection]
                self._start_waiting()
                yield outcome
            yield from self._end_breaching()

    def _end_breaching(self) -> Iterator[Outcome]:
        """End what takes more than it may, or has lost the folder that it builds in."""
        for connection, (process, job, started) in list(self._running.items()):
            seconds = time.perf_counter() - started
            why = job.limits.find_breach(process.pid, seconds)
            if not Path(job.report).is_dir():
                why = "its folder was removed"
            if why:
                connection.close()
                _stop([process])
                del self._running[connection]
                self._start_waiting()
                yield _describe_ended(job, seconds, why)

    def _tell_progress(self) -> None:
        for process, job, _ in self._running.values():
            path = _name_progress(self._work_dir, process.pid)
            line = path.read_text(encoding="utf-8") if path.is_file() else ""
            if line != self._told.get(job.name, ""):
                self._told[job.name] = line
                self._on_progress(job.name, line)


def _stop(processes: list[Any]) -> None:
    """End processes in order, those that do not end in time at once."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_STOP
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _describe_ended(job: Job, seconds: float, why: str) -> Outcome:
    """What came of a notebook that was ended, with the cell it was at and its page as far as it came."""
    with suppress(OSError, ValueError):  # it may have been ended while it was written
        return _write_page(job, Outcome(job.name, seconds, read_started(_name_executed(job))[0] + why))
    return Outcome(job.name, seconds, why)


def _name_progress(work_dir: Path, pid: int) -> Path:
    return work_dir / f"progress-{pid}"


def _serve(connection: Connection, job: Job, work_dir: str, environment: dict[str, str]) -> None:
    """Execute one notebook in this process, which the pool started for it."""
    os.environ.clear()
    os.environ.update(environment | IN_NOTEBOOKS)
    try:
        _settle(Path(work_dir))
    except FileNotFoundError:  # stopped before this had begun
        return
    # Before this process has threads, which a fork would not take along.
    if CAN_FORK:
        register(ForkedKernel())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError):
        connection.send(execute_job(job))


def _settle(work_dir: Path) -> None:
    """Give this process and its kernel an environment of their own."""
    # Ending by an exception lets the client of a kernel that is executing end the kernel too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if CAN_FORK:  # from a process in which it is blocked
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the parent only, which then stops the workers in order.
    log = os.open(work_dir / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    _write_kernel_spec(work_dir / "jupyter" / "kernels" / "python3")
    paths = [str(work_dir / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
    os.environ.update(
        JUPYTER_PATH=os.pathsep.join(filter(None, paths)),
        JUPYTER_RUNTIME_DIR=str(work_dir / "runtime"),
        IPYTHONDIR=str(work_dir / "ipython"),
        **{PROGRESS_VARIABLE: str(_name_progress(work_dir, os.getpid()))},
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )


def _write_kernel_spec(folder: Path) -> None:
    """Make `python3` mean this very interpreter, whatever kernels the user has installed."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"}
    if CAN_FORK:
        spec["metadata"] = {"kernel_provisioner": {"provisioner_name": PROVISIONER}}
    write_json(folder / "kernel.json", spec)


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
    time.sleep(_SECONDS_TO_STOP)
    os._exit(1)


def execute_job(job: Job) -> Outcome:
    """Execute a notebook and write its page as far as it came; an error stands in the outcome, not raised."""
    started = time.perf_counter()
    _name_executed(job).parent.mkdir(exist_ok=True)
    outcome = _write_page(job, _execute_notebook(job, _name_executed(job)))
    return replace(outcome, seconds=time.perf_counter() - started)


def _name_executed(job: Job) -> Path:
    return Path(job.report, "notebooks", f"{job.name}.ipynb")


def _write_page(job: Job, outcome: Outcome) -> Outcome:
    """Write the page of an executed notebook where it is kept; the outcome, with what went wrong in it."""
    executed = _name_executed(job)
    if not is_kept(job.pages, outcome) or not executed.is_file():
        return outcome
    try:
        write_page(executed, Path(job.report, f"{job.name}.html"), is_lesson=job.is_lesson, **job.heading)
    except Exception as failure:
        error = f"its page could not be made: {_shorten(type(failure).__name__, str(failure))}"
        is_full = outcome.found_disk_full or _means_full(failure)
        return replace(outcome, error=outcome.error or error, found_disk_full=is_full)
    return outcome


def _execute_notebook(job: Job, executed: Path) -> Outcome:
    """Outcome without its seconds."""
    import papermill

    os.environ[NOTEBOOK_VARIABLE] = job.name
    try:
        _call_papermill(job, executed)
    except papermill.PapermillExecutionError as failure:
        place = f"cell {_place(executed, failure.cell_index)} (In [{failure.exec_count}])"
        error = f"{place}: {_shorten(failure.ename, failure.evalue)}"
        is_full = failure.evalue.startswith(tuple(f"[Errno {number}]" for number in _FULL))
        return Outcome(job.name, 0.0, error, found_disk_full=is_full)
    except Exception as failure:
        error = read_started(executed)[0] + _shorten(type(failure).__name__, str(failure))
        # A kernel that is gone is a RuntimeError to jupyter_client and to nbclient.
        has_died = isinstance(failure, RuntimeError)
        return Outcome(job.name, 0.0, error, has_died=has_died, found_disk_full=_means_full(failure))
    finally:
        del os.environ[NOTEBOOK_VARIABLE]
        _forget_paths(executed, job)
    return Outcome(job.name, 0.0)


def _means_full(failure: Exception) -> bool:
    return isinstance(failure, OSError) and failure.errno in _FULL


def _call_papermill(job: Job, executed: Path) -> None:
    import papermill

    options = {"kernel_name": "python3", "progress_bar": False, "shutdown_kernel": "immediate"}
    options["skip_cells_with_tag"] = "" if job.is_lesson else SOLUTION
    # Papermill fills what stands in braces in a path with parameters.
    paths = [str(path).replace("{", "{{").replace("}", "}}") for path in (job.notebook, executed)]
    for attempt in range(_ATTEMPTS):
        try:
            papermill.execute_notebook(*paths, parameters=job.parameters, cwd=str(executed.parent), **options)
            return
        except RuntimeError as failure:
            # Two kernels that start at once can be given one port; the one that finds it taken ends.
            if "before replying" not in str(failure) or attempt + 1 == _ATTEMPTS:
                raise


def _place(executed: Path, index: int) -> int:
    """Place of a cell among those of the notebook as written; papermill counts the one it injected too."""
    tags = [cell["metadata"].get("tags", []) for cell in read_cells(executed)]
    tags = [each for each in tags if "papermill-error-cell-tag" not in each]
    return index + 1 - sum("injected-parameters" in each for each in tags[:index])


def read_started(executed: Path) -> tuple[str, str]:
    """Name and code of the cell that papermill was at when it was left without an answer; empty before."""
    cells = read_cells(executed)
    told = [cell["metadata"].get("papermill", {}) for cell in cells]
    started = [index for index, each in enumerate(told) if each.get("status", "pending") != "pending"]
    if not started:
        return "", ""
    return f"cell {_place(executed, started[-1])}: ", "".join(cells[started[-1]]["source"])


def read_cells(executed: Path) -> list[dict[str, Any]]:
    """Cells of an executed notebook; none where it was never written."""
    return json.loads(executed.read_text(encoding="utf-8"))["cells"] if executed.is_file() else []


def _shorten(name: str, message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()][:_LINES_OF_MESSAGE]
    text = "\n".join(lines)[:_LONGEST_MESSAGE]
    return hide_controls(f"{name}: {text}", kept="\n")


def hide_controls(text: str, *, kept: str) -> str:
    """A text that may quote data, without what could steer a terminal."""
    return "".join(sign if sign.isprintable() or sign in kept else "?" for sign in text)


def _forget_paths(executed: Path, job: Job) -> None:
    """Leave names in the notebook's metadata where papermill wrote paths into a folder that will be gone."""
    if not executed.is_file():
        return
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    names = {"input_path": Path(job.notebook).name, "output_path": executed.name}
    notebook["metadata"].get("papermill", {}).update(names)
    executed.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _import_all() -> None:
    # jsonschema would build this package's grammar of addresses, which takes a second and no notebook needs.
    sys.modules.setdefault("rfc3987_syntax", None)

    import nbformat

    import nkhcc_helpers.cohort
    import nkhcc_helpers.identification
    import nkhcc_helpers.report.figures
    import nkhcc_helpers.report.tables  # noqa: F401

    load_exporter()
    nbformat.validate(nbformat.v4.new_notebook())  # makes what validates notebooks


if os.environ.get(TEMPLATE):
    _import_all()
