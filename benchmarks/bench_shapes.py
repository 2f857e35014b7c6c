"""Time notebooks 01 to 04 over trials of any shape, against the limits that hold for three of them.

Run it as `python benchmarks/bench_shapes.py [--notebooks 02 03] [SHAPE ...]`, on a machine that does nothing
else. Seconds are of all notebooks together on two cores, GiB the most that all processes hold at a time.
Exits 1 when a limit is not held or a notebook fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench_run import measure
from measuring import report

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from shapes import SHAPES, write_shape

LIMITS = {"forty_in_four": 60, "254_in_three": 120, "5000_in_ten": 600}
LIMIT_GIB = 4.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help="names of tests/shapes.py")
    parser.add_argument("--notebooks", nargs="*", default=["01", "02", "03", "04"])
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.shapes:
            data = write_shape(Path(folder) / name, name)
            command = [sys.executable, "-m", "nkhcc_helpers.cli", "run", *arguments.notebooks]
            command += ["--data", str(data), "--out", str(Path(folder) / f"{name}-report"), "--jobs", "2"]
            found = measure([command])
            print(f"{name}: {found.seconds:.0f} s, {found.gib:.2f} GiB", flush=True)
            rows += [(f"{name}, seconds", found.seconds, LIMITS.get(name), "s")]
            rows += [(f"{name}, memory", found.gib, LIMIT_GIB, "GiB")]
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())
