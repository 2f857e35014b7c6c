"""What the benchmarks share: medians of repeated runs, and the table with its limits."""

from __future__ import annotations

import statistics
import time


def time_median(work, repeats=3):
    """Median seconds of several calls."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def report(rows):
    """Print name, measured, limit and unit of each row; a negative limit is one to reach, not to stay under.

    Returns
    -------
    int
        1 where a limit is not held, else 0.
    """
    missed = 0
    print("\n| what | measured | limit | held |\n|---|---|---|---|")
    for name, measured, limit, unit in rows:
        held = limit is None or (measured >= -limit if limit < 0 else measured <= limit)
        missed += not held
        told = (f"{abs(limit):,g} {unit}", "yes" if held else "NO") if limit is not None else ("", "")
        print(f"| {name} | {measured:,.3g} {unit} | {told[0]} | {told[1]} |")
    return int(missed > 0)
