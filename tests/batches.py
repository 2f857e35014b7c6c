"""Batches made for the tests: of one notebook, whose runs do as they are told by files beside it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
from small_notebooks import code, write_notebook

from nkhcc_helpers.report.results import hash_data, hash_inputs
from nkhcc_helpers.run.batch.grid import Batch, BatchRun
from nkhcc_helpers.run.plan import plan_run

TOLD = """import json, os, signal, sys, time
from pathlib import Path

home = Path({home!r})
with open(home / "begun", "a") as file:
    file.write(f"{{seed}}\\n")
told = home / f"told-{{seed}}"
words = told.read_text().split() if told.is_file() else []
if "once" in words:
    told.unlink()
if "worker" in words:
    import psutil

    psutil.Process().parents()[2].kill()  # what executes, what that was forked from, the worker
if "process" in words:
    os.kill(os.getppid(), signal.SIGKILL)
if {{"sleep", "worker", "process"}} & set(words):
    time.sleep(60)
if "kernel" in words:
    os.kill(os.getpid(), signal.SIGKILL)
if "raise" in words:
    raise ValueError("=1+1 <b>not so</b> \\x1b[31mred \\x07")
if "full" in words:
    with open("/dev/full", "w") as file:
        file.write("x")
if "memory" in words:
    much = b"x" * 10**9
    time.sleep(60)
folder = Path(out_dir) / "results"
folder.mkdir()
text = json.dumps({{"values": {{"seed": seed, "square": seed**2, "data": data_dir}}}})
(folder / "told.json").write_text(text)
(Path(out_dir) / "tables" / "told").mkdir(parents=True)
(Path(out_dir) / "tables" / "told" / "one.csv").write_text("x\\n1\\n")
(Path(out_dir) / "figures" / "told").mkdir(parents=True)
(Path(out_dir) / "figures" / "told" / "one.svg").write_text("<svg/>")
with open(home / "ended", "a") as file:
    file.write(f"{{seed}}\\n")"""
PARAMETERS = """seed: int = 0  # which of them
data_dir: str = ""  # folder of the trial
out_dir: str = ""  # folder to write into"""


def make_batch(home: Path, source: Path, n: int = 6, out: str = "out", **options) -> Batch:
    """A batch of so many runs; `home` holds the notebook and is where its runs are told what to do."""
    notebook = home / "told.ipynb"
    if not notebook.is_file():
        write_notebook(notebook, code(TOLD.format(home=str(home))), parameters=PARAMETERS)
    (plan,) = plan_run([str(notebook)], data_given=True)
    data, runs = hash_data(source), []
    for seed in range(n):
        each = replace(plan, values={"seed": seed})
        fingerprint = hash_inputs(each.path, data, each.values)
        runs.append(BatchRun(f"told-{seed}", each, source, source.name, data, fingerprint))
    return Batch("Told", tuple(runs), ("seed",), home / out, **options)


def tell(home: Path, seed: int, words: str) -> None:
    """Say what a run is to do: once, raise, sleep, fill, or end what executes it."""
    (home / f"told-{seed}").write_text(words)


def count(home: Path, what: str = "ended") -> dict[int, int]:
    """How often each run has begun or ended."""
    path = home / what
    seeds = [int(line) for line in path.read_text().split()] if path.is_file() else []
    return {seed: seeds.count(seed) for seed in sorted(set(seeds))}


def read_results(batch: Batch) -> dict[str, bytes]:
    """What each run recorded."""
    runs = batch.out_dir / "runs"
    return {path.name: (path / "results.json").read_bytes() for path in sorted(runs.iterdir())}


def read_manifest(batch: Batch, seed: int) -> dict:
    """Manifest of a run."""
    return json.loads((batch.out_dir / "runs" / f"told-{seed}" / "manifest.json").read_text())


def list_files(folder: Path) -> list[str]:
    """Every file in a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


COMMAND = """
import pickle, signal, sys
from nkhcc_helpers.parallel import interruptible
from nkhcc_helpers.run.batch import batch as engine

with open(sys.argv[1], "rb") as file:
    batch, options = pickle.load(file)
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
engine.read_batch = lambda plan, **changes: batch
try:
    with interruptible():
        engine.run_batch("", **options)
except KeyboardInterrupt as stop:
    print(*stop.__notes__)
    sys.exit(130)
except (OSError, ValueError) as failure:
    print(failure, *getattr(failure, "__notes__", []))
    sys.exit(3)
"""


def start_command(batch: Batch, **options) -> subprocess.Popen:
    """Run a batch in another process, as the command does, by a script that must not be imported."""
    script, told = batch.out_dir.parent / "command.py", batch.out_dir.parent / "command.pickle"
    script.write_text(COMMAND)
    told.write_bytes(pickle.dumps((batch, options)))
    environment = os.environ | {"NKHCC_TEST_BATCH": str(batch.out_dir)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [sys.executable, str(script), str(told)]
    return subprocess.Popen(command, env=environment, start_new_session=True, **streams)


def list_orphans(batch: Batch) -> list[str]:
    """Processes that were started for a batch by `start_command`, and are there still."""
    return _list_processes(lambda each: each.environ().get("NKHCC_TEST_BATCH") == str(batch.out_dir))


def list_inside(batch: Batch) -> list[str]:
    """Processes that are at work in a batch's folder, or in one that was removed there."""
    return _list_processes(lambda each: each.cwd().startswith(str(batch.out_dir)))


def _list_processes(is_sought: Callable[[psutil.Process], bool]) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and is_sought(process):
                found.append(" ".join(process.cmdline())[:200])
    return found
