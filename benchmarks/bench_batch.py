"""Time a batch against the same runs by papermill alone, and weigh a batch of many small runs.

Run it as `make bench` or `python benchmarks/bench_batch.py [--full] [--runs N] [--alone N] [--many N]`, on a
machine that does nothing else. By default a sample: 12 runs of notebook 02, and 200 of a notebook with two
cells. With `--full` 200 and 2,000, which takes an hour and a half; with `--alone 40` papermill executes every
fifth of the 200 only, and its seconds are taken five times. Exits 1 when a limit is not held.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import nbformat
import yaml
from measuring import report, time_median
from nbformat.v4 import new_code_cell, new_notebook

from nkhcc_helpers.run.plan import list_notebooks

N_CORES = 2
LIMIT_RATIO, LIMIT_OVERHEAD_SECONDS = 0.6, 0.3
LIMIT_MEGABYTES, LIMIT_OPEN_SECONDS = 1000, 2.0
N_DRAWS = range(100, 300)
ALONE = "sh -e {commands}"
SIDE_BY_SIDE = "xargs -d '\\n' -P {n} -I COMMAND sh -c COMMAND < {commands}"
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
TWO_CELLS = [
    'seed: int = 1  # of the draw\ndata_dir: str = ""  # trial\nout_dir: str = ""  # folder to write into',
    "from nkhcc_helpers.report import open_page\nfrom nkhcc_helpers.trial import load_trial\n\n"
    'page = open_page(load_trial(data_dir), "two_cells", out_dir)\npage.record(draw=seed / 2)\npage.finish()',
]


def write_plan(path: Path, notebook: str, **plan: object) -> Path:
    """Write the plan of a batch that keeps no pages."""
    path.write_text(yaml.safe_dump({"notebooks": [notebook], "pages": "none", **plan}))
    return path


def write_two_cells(path: Path) -> Path:
    """Write a notebook that reads the trial and records one number."""
    cells = [new_code_cell(source) for source in TWO_CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), str(path))
    return path


def time_command(command: str | list[str], log: Path) -> tuple[float, int]:
    """Seconds of a command, and the most bytes that its own process held; ends where it fails."""
    started, peak = time.perf_counter(), 0
    with log.open("w") as text:
        shell = isinstance(command, str)
        process = subprocess.Popen(command, shell=shell, stdout=text, stderr=subprocess.STDOUT)
        while process.poll() is None:
            with suppress(OSError, TypeError):  # ended meanwhile
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = 1024 * int(re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)[1])
            time.sleep(0.05)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{log.read_text()[-4000:]}")
    print(f"{log.stem}: {seconds:.1f} s", file=sys.stderr)
    return seconds, peak


def time_batch(plan: Path) -> tuple[float, int, Path]:
    """Seconds and memory of a batch, and its folder."""
    out = plan.with_suffix("")
    command = [sys.executable, "-m", "nkhcc_helpers.cli", "batch", str(plan), "--out", str(out)]
    return *time_command([*command, "--jobs", str(N_CORES)], plan.with_suffix(".log")), out


def time_papermill(folder: Path, name: str, how: str, draws: Sequence[int]) -> float:
    """Seconds of runs of notebook 02 by papermill's command, started by a shell."""
    (notebook,) = list_notebooks(["02"]).values()
    papermill = str(Path(sysconfig.get_path("scripts"), "papermill"))
    lines = []
    for n_draws in draws:
        place = folder / name / str(n_draws)
        place.mkdir(parents=True)
        values = ["-p", "n_draws", str(n_draws), "-p", "out_dir", str(place)]
        lines.append(shlex.join([papermill, str(notebook), str(place / "executed.ipynb"), *values]))
    commands = folder / f"{name}.sh"
    commands.write_text("\n".join(lines) + "\n")
    return time_command(how.format(n=N_CORES, commands=shlex.quote(str(commands))), folder / f"{name}.log")[0]


def compare_with_papermill(folder: Path, n_runs: int, n_alone: int) -> list[tuple]:
    """Rows on runs of notebook 02, of which papermill executes so many, evenly spaced."""
    draws = N_DRAWS[:n_runs]
    sample = draws[:: -(-n_runs // n_alone)]
    scale = n_runs / len(sample)
    plan = write_plan(folder / "small_draws.yaml", "02", grid={"n_draws": [*draws]})
    seconds, *_ = time_batch(plan)
    alone = scale * time_papermill(folder, "papermill_in_a_loop", ALONE, sample)
    side_by_side = scale * time_papermill(folder, "papermill_by_xargs", SIDE_BY_SIDE, sample)
    overhead = (seconds * N_CORES - alone) / n_runs
    return [
        (f"`nkhcc batch`, {n_runs} runs of notebook 02", seconds, None, "s"),
        (f"the same by `papermill` in a shell loop, from {len(sample)} of them", alone, None, "s"),
        (f"the same by `papermill` under `xargs -P 2`, from {len(sample)} of them", side_by_side, None, "s"),
        ("ratio of the batch to the loop", seconds / alone, LIMIT_RATIO, ""),
        ("ratio of the batch to `xargs`", seconds / side_by_side, None, ""),
        ("what a run takes of a core more than `papermill` alone", overhead, LIMIT_OVERHEAD_SECONDS, "s"),
    ]


def weigh_many(folder: Path, n_runs: int) -> list[tuple]:
    """Rows on many runs of a notebook with two cells."""
    notebook = write_two_cells(folder / "two_cells.ipynb")
    seconds, peak, out = time_batch(write_plan(folder / "many.yaml", str(notebook), seeds=n_runs))
    table = out / "batch.html"
    rows = [
        (f"`nkhcc batch`, {n_runs:,} runs of two cells, a run", seconds / n_runs, None, "s"),
        ("memory of the command, client and scheduler in one", peak / 1e6, LIMIT_MEGABYTES, "MB"),
        ("size of `batch.html`", table.stat().st_size / 1e6, None, "MB"),
    ]
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser:
        rows.append(("its opening in Chromium", time_opening(browser, table), LIMIT_OPEN_SECONDS, "s"))
    return rows


def time_opening(browser: str, page: Path) -> float:
    """Seconds until a page is drawn, more than an empty one takes."""

    def draw(address: str) -> None:
        place = [f"--user-data-dir={page.parent / 'browser'}", f"--screenshot={page.parent / 'drawn.png'}"]
        subprocess.run([browser, *BROWSER, *place, address], check=True, capture_output=True)

    draw("about:blank")  # the first makes the browser's folder
    return time_median(lambda: draw(page.as_uri())) - time_median(lambda: draw("about:blank"))


def main() -> int:
    """Measure, report, and return 1 when a limit is not held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="200 runs of notebook 02, 2,000 of two cells")
    parser.add_argument("--runs", type=int, help=f"of notebook 02, at most {len(N_DRAWS)}; 0 for none")
    parser.add_argument("--alone", type=int, help="of those, run by papermill too; all if left out")
    parser.add_argument("--many", type=int, help="of the notebook with two cells; 0 for none")
    options = parser.parse_args()
    n_runs, n_many = (200, 2000) if options.full else (12, 200)
    n_runs = n_runs if options.runs is None else options.runs
    n_many = n_many if options.many is None else options.many
    with tempfile.TemporaryDirectory() as folder:
        rows = compare_with_papermill(Path(folder), n_runs, options.alone or n_runs) if n_runs else []
        rows += weigh_many(Path(folder), n_many) if n_many else []
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())
