"""Time a run of every notebook against its limits, and against the papermill command alone.

Run it as `make bench` or `python benchmarks/bench_run.py [--repeats N] [NOTEBOOK ...]`, on a machine that
does nothing else. A first run, which finds no earlier report to learn from what takes long, is not counted.
Exits 1 when a limit is not held.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nkhcc_helpers.run.plan import list_notebooks

LIMIT_SECONDS = 40.0
LIMIT_GIB = 1.5
LIMIT_RATIO = 0.6
LIMIT_CHECK_SECONDS = 3.0
POLL_SECONDS = 0.05


@dataclass
class Measurement:
    """One command: wall seconds, and the most memory its process tree held at a time, in GiB."""

    seconds: float
    gib: float


def measure(commands: list[list[str]]) -> Measurement:
    """Run commands one after another."""
    started = time.perf_counter()
    peak = 0.0
    for command in commands:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        watch = _MemoryWatch(process.pid)
        _, errors = process.communicate()
        peak = max(peak, watch.stop())
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode(errors='replace')}")
    return Measurement(time.perf_counter() - started, peak)


class _MemoryWatch:
    """Polls what a process and all below it hold; what they share counts once."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._peak / 2**30

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._peak = max(self._peak, sum_memory(self._root))


def sum_memory(root: int) -> int:
    """Bytes held by a process and all its descendants: of shared memory, each one's share."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    family, grown = {root}, True
    while grown:
        below = {number for number, parent in parents.items() if parent in family} - family
        family |= below
        grown = bool(below)
    held = 0
    for number in family:
        with suppress(OSError):
            rollup = Path(f"/proc/{number}/smaps_rollup").read_text()
            held += 1024 * int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])
    return held


def list_commands(folder: str, names: list[str]) -> dict[str, list[list[str]]]:
    """Commands to compare, each writing into a folder of its own."""
    scripts = Path(sysconfig.get_path("scripts"))
    nkhcc, papermill = str(scripts / "nkhcc"), str(scripts / "papermill")
    alone = Path(folder, "alone")
    alone.mkdir(exist_ok=True)
    return {
        "nkhcc run": [[nkhcc, "run", *names, "--out", f"{folder}/report"]],
        "papermill, one after another": [
            [papermill, str(path), str(alone / path.name), "-p", "out_dir", str(alone)]
            for path in list_notebooks(names).values()
        ],
        "nkhcc check": [[nkhcc, "check"]],
    }


def report(medians: dict[str, float], peak: float) -> bool:
    """Print a Markdown table of what was measured; return whether every limit is held."""
    run, alone, check = medians.values()
    rows = [
        (
            "`nkhcc run`, all notebooks, pages included",
            f"{run:.1f} s",
            f"{LIMIT_SECONDS:.0f} s",
            run <= LIMIT_SECONDS,
        ),
        ("peak memory of its process tree", f"{peak:.2f} GiB", f"{LIMIT_GIB} GiB", peak <= LIMIT_GIB),
        ("the same notebooks by `papermill`, one after another", f"{alone:.1f} s", "", True),
        ("ratio of the two", f"{run / alone:.2f}", f"{LIMIT_RATIO}", run / alone <= LIMIT_RATIO),
        ("`nkhcc check`", f"{check:.2f} s", f"{LIMIT_CHECK_SECONDS:.0f} s", check <= LIMIT_CHECK_SECONDS),
    ]
    print("| what | measured | limit | held |\n|---|---|---|---|")
    for what, measured, limit, held in rows:
        print(f"| {what} | {measured} | {limit} | {('yes' if held else 'NO') if limit else ''} |")
    return all(held for *_, held in rows)


def main() -> None:
    """Measure, report, and exit 1 when a limit is not held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="times each is run; the median counts")
    parser.add_argument("notebooks", nargs="*", help="some of the notebooks; all by default")
    options = parser.parse_args()
    repeats, names = options.repeats, options.notebooks
    seconds: dict[str, list[float]] = {}
    peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        measure(list_commands(folder, names)["nkhcc run"])
        for repeat in range(repeats):
            for name, commands in list_commands(folder, names).items():
                measured = measure(commands)
                seconds.setdefault(name, []).append(measured.seconds)
                peak = max(peak, measured.gib) if name == "nkhcc run" else peak
                print(f"{repeat + 1}/{repeats} {name}: {measured.seconds:.2f} s", file=sys.stderr)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, median of {repeats}\n")
    held = report({name: statistics.median(values) for name, values in seconds.items()}, peak)
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
