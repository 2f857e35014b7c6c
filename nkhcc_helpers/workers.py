"""Notebooks executed in worker processes, several by each, so that what a worker imports is paid for once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from nkhcc_helpers.execution import Job, Outcome, execute_job
from nkhcc_helpers.report import load_exporter
from nkhcc_helpers.results import write_json

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
