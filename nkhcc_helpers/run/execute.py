"""One notebook executed by papermill and turned into a page."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from nkhcc_helpers.report.results import NOTEBOOK_VARIABLE, write_json
from nkhcc_helpers.run.publish import load_exporter, write_page

_LONGEST_MESSAGE = 400
_LINES_OF_MESSAGE = 3
_ATTEMPTS = 2


@dataclass(frozen=True)
class Job:
    """One notebook to execute.

    Attributes
    ----------
    name : str
        Name in the report.
    notebook : str
        Path of the notebook.
    parameters : dict
        Values to inject.
    report : str
        Folder being built; gets `notebooks/<name>.ipynb` and `<name>.html`.
    heading : dict
        What stands at the head of the page; see `report.write_page`.
    """

    name: str
    notebook: str
    parameters: dict[str, Any]
    report: str
    heading: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook.

    Attributes
    ----------
    name : str
        Name in the report.
    seconds : float
        Time it took, its page included.
    error : str
        Cell, error and message when it failed; empty when it did not.
    reused : bool
        Whether it was taken over from an earlier run.
    """

    name: str
    seconds: float
    error: str = ""
    reused: bool = False


def execute_job(job: Job) -> Outcome:
    """Execute a notebook in a kernel of its own, and write its page as far as it came.

    Parameters
    ----------
    job : Job
        What to execute.

    Returns
    -------
    Outcome
        With an error instead of an exception when anything fails.
    """
    started = time.perf_counter()
    executed = Path(job.report, "notebooks", f"{job.name}.ipynb")
    executed.parent.mkdir(exist_ok=True)
    error = _execute_notebook(job, executed)
    if executed.is_file():
        try:
            write_page(executed, Path(job.report, f"{job.name}.html"), **job.heading)
        except Exception as failure:
            error = error or f"its page could not be made: {_shorten(type(failure).__name__, str(failure))}"
    return Outcome(job.name, time.perf_counter() - started, error)


def _execute_notebook(job: Job, executed: Path) -> str:
    import papermill

    os.environ[NOTEBOOK_VARIABLE] = job.name
    try:
        _call_papermill(job, executed)
    except papermill.PapermillExecutionError as failure:
        place = f"cell {_place(executed, failure.cell_index)} (In [{failure.exec_count}])"
        return f"{place}: {_shorten(failure.ename, failure.evalue)}"
    except Exception as failure:
        started = _find_last_started(executed)
        place = "" if started is None else f"cell {_place(executed, started)}: "
        return f"{place}{_shorten(type(failure).__name__, str(failure))}"
    finally:
        del os.environ[NOTEBOOK_VARIABLE]
        _forget_paths(executed, job)
    return ""


def _call_papermill(job: Job, executed: Path) -> None:
    import papermill

    options = {"kernel_name": "python3", "progress_bar": False, "shutdown_kernel": "immediate"}
    for attempt in range(_ATTEMPTS):
        try:
            papermill.execute_notebook(
                _verbatim(job.notebook),
                _verbatim(executed),
                parameters=job.parameters,
                cwd=str(executed.parent),
                **options,
            )
            return
        except RuntimeError as failure:
            # Two kernels that start at once can be given one port; the one that finds it taken ends.
            if "before replying" not in str(failure) or attempt + 1 == _ATTEMPTS:
                raise


def _verbatim(path: str | Path) -> str:
    """Papermill fills what stands in braces in a path with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _place(executed: Path, index: int) -> int:
    """Place of a cell among those of the notebook as written; papermill counts the one it injected too."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    tags = [each for each in tags if "papermill-error-cell-tag" not in each]
    return index + 1 - sum("injected-parameters" in each for each in tags[:index])


def _find_last_started(executed: Path) -> int | None:
    """Find the cell that papermill was at when it was left without an answer."""
    if not executed.is_file():
        return None
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    started = [cell["metadata"].get("papermill", {}).get("status", "pending") != "pending" for cell in cells]
    return max((index for index, was in enumerate(started) if was), default=None)


def _shorten(name: str, message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()][:_LINES_OF_MESSAGE]
    text = "\n".join(lines)[:_LONGEST_MESSAGE]
    # A message may quote data; what is not printable could steer the terminal.
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in f"{name}: {text}")


def _forget_paths(executed: Path, job: Job) -> None:
    """Leave names in the notebook's metadata where papermill wrote paths into a folder that will be gone."""
    if not executed.is_file():
        return
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    notebook["metadata"].get("papermill", {}).update(
        input_path=Path(job.notebook).name, output_path=executed.name
    )
    executed.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


_SECONDS_TO_STOP = 5.0


class WorkerPool:
    """Worker processes for notebooks; a context manager that stops whatever still runs at its end.

    Parameters
    ----------
    n_workers : int
        Number of processes.
    work_dir : pathlib.Path
        Folder for what workers and kernels keep for themselves: connection files, profile, log.
    """

    def __init__(self, n_workers: int, work_dir: Path) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._work_dir = work_dir
        self._workers = [self._start_worker() for _ in range(n_workers)]
        self._running: dict[Connection, tuple[Any, Job, float]] = {}

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._stop(at_once=error is not None)

    def execute(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Start executing notebooks, in this order as workers become free.

        Parameters
        ----------
        jobs : iterable of Job
            What to execute.

        Returns
        -------
        iterator of Outcome
            One for each job, as they end.
        """
        self._waiting = deque(jobs)
        for process, connection in self._workers:
            self._give_job(process, connection)
        return self._collect()

    def _give_job(self, process: Any, connection: Connection) -> None:
        if self._waiting:
            self._running[connection] = (process, self._waiting.popleft(), time.perf_counter())
            with suppress(OSError):  # It has ended; collecting finds that out.
                connection.send(self._running[connection][1])

    def _collect(self) -> Iterator[Outcome]:
        while self._running:
            for connection in wait(list(self._running)):
                process, job, started = self._running.pop(connection)
                try:
                    outcome = connection.recv()
                except (EOFError, OSError):
                    process.join(_SECONDS_TO_STOP)
                    how = f"the process that executed it ended (exit code {process.exitcode})"
                    outcome = Outcome(job.name, time.perf_counter() - started, how)
                    self._workers.remove((process, connection))
                    self._workers.append(self._start_worker())
                    process, connection = self._workers[-1]
                self._give_job(process, connection)
                yield outcome

    def _start_worker(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, str(self._work_dir)), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _stop(self, *, at_once: bool) -> None:
        for process, connection in self._workers:
            if at_once or connection in self._running:
                process.terminate()
            connection.close()
        deadline = time.monotonic() + _SECONDS_TO_STOP
        for process, _ in self._workers:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def _serve(connection: Connection, work_dir: str) -> None:
    _settle(Path(work_dir))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _preload()
    while True:
        try:
            connection.send(execute_job(connection.recv()))
        except (EOFError, OSError):
            return


def _preload() -> None:
    """Import before the first job arrives, while the parent is still checking the trial."""
    # jsonschema would build this package's grammar of addresses, which takes a second and no notebook needs.
    sys.modules.setdefault("rfc3987_syntax", None)
    import papermill  # noqa: F401

    load_exporter()


def _settle(work_dir: Path) -> None:
    """Give this process and its kernels an environment of their own."""
    # Ending by an exception lets the client of a kernel that is executing end the kernel too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the parent only, which then stops the workers in order.
    log = os.open(work_dir / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    kernels = work_dir / "jupyter" / "kernels" / "python3"
    _write_kernel_spec(kernels)
    os.environ.update(
        JUPYTER_PATH=os.pathsep.join(
            filter(None, [str(work_dir / "jupyter"), os.environ.get("JUPYTER_PATH", "")])
        ),
        JUPYTER_RUNTIME_DIR=str(work_dir / "runtime"),
        IPYTHONDIR=str(work_dir / "ipython"),
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        # Notebooks share the cores among them; threads of their own would only wait for each other.
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
    )


def _write_kernel_spec(folder: Path) -> None:
    """Make `python3` mean this very interpreter, whatever kernels the user has installed."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    write_json(
        folder / "kernel.json", {"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"}
    )


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
    time.sleep(_SECONDS_TO_STOP)
    os._exit(1)
