"""Work spread over processes, and its end, in time or in order: simulated trials in blocks, notebooks."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import BaseContext
from types import ModuleType

import numpy as np


@dataclass(frozen=True)
class Deadline:
    """When work that is under way ends with what it has; never, unless said. Processes share its clock."""

    at: float = math.inf  # in seconds, as the clock counts them
    clock: Callable[[], float] = time.monotonic

    @property
    def left(self):
        """Seconds until then, 0 once it is over."""
        return max(self.at - self.clock(), 0.0)

    @property
    def is_over(self):
        """Whether it is time to end."""
        return self.clock() >= self.at

    def share(self, part):
        """The deadline of work that may take this part of what is left."""
        now = self.clock()
        return replace(self, at=min(now + part * (self.at - now), self.at))


NEVER = Deadline()


@dataclass
class Count:
    """Tells `watch`, if any, of work: how much is done and wanted, about the seconds left, and what it is."""

    watch: Callable[[int, int, float, str], None] | None
    n_wanted: int
    what: str
    n_done: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, n):
        """Count what was done."""
        self.n_done += n
        if self.watch:
            left = (time.monotonic() - self.started) / self.n_done * (self.n_wanted - self.n_done)
            self.watch(self.n_done, self.n_wanted, left, self.what)

    def over(self, items):
        """Yield items, each of which is then counted."""
        for item in items:
            yield item
            self.add(1)


def simulate_blocks(simulate, blocks, *, jobs=2, count=lambda n: None):
    """Return an array with a row for each simulated trial, in the order of the blocks.

    `simulate` takes a block and returns an array with one row for each of its trials; it is defined in a
    module, so that other processes can find it. The answer does not depend on `jobs`, how many there are.
    `count` is called with the number of trials in each block that is done.
    """
    parts = []
    for part in run_blocks(simulate, blocks, jobs):
        parts.append(part)
        count(len(part))
    return np.concatenate(parts)


def run_blocks(function, arguments, jobs):
    """Yield what a function of a module returns for each argument, in order, from so many processes."""
    if jobs < 2 or len(arguments) < 2:
        yield from map(function, arguments)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, arguments)


CAN_FORK = sys.platform == "linux"
IN_NOTEBOOKS = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # Notebooks share the cores among them; threads of their own would only wait for each other.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
TEMPLATE = "NKHCC_TEMPLATE"
"""Environment variable set while the process that others are forked from is doing its imports."""


def prepare_notebooks() -> BaseContext:
    """Start importing what notebooks need in a process that those executing them are forked from.

    Returns the context to start them in. Where processes cannot be forked safely, each does its own imports.
    """
    if not CAN_FORK:
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["nkhcc_helpers.run.execute"])
    # Without the current folder on its path, where a file could stand for a module of the standard library.
    with _environment(**IN_NOTEBOOKS, **{TEMPLATE: "1", "PYTHONSAFEPATH": "1"}):
        # It ends with this process; a terminal's Ctrl-C would break its imports off with a traceback.
        resource_tracker.ensure_running()  # which unblocks the signal when it is started
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        forkserver.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return context


@contextmanager
def importing_no_main() -> Iterator[None]:
    """Start processes that do not import the script which is being executed, and would execute it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(**values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def interruptible() -> Iterator[None]:
    """Make whatever ends a run end it once and in order: workers stopped, what had finished kept."""
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    earlier = {number: signal.getsignal(number) for number in signals}

    def interrupt(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        if earlier[signal.SIGINT] is not signal.SIG_IGN:  # who presses Ctrl-C again will not wait for order
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number, handler in earlier.items():
        if handler is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
