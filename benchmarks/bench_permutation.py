"""Time the exact, permuted and simulated log-rank tests against their limits and against the plain way.

Run it as `make bench` or `python benchmarks/bench_permutation.py`, on a machine that does nothing else. Exits
1 when a limit is not held. Ratios compare medians of runs in the same process.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # one core, so that ratios compare like with like

import statistics
import subprocess
import sys
import time

import numpy as np
from lifelines.statistics import multivariate_logrank_test
from measuring import report, time_median

from nkhcc_helpers.survival.calibration import attained_size
from nkhcc_helpers.survival.exact import exact_p
from nkhcc_helpers.survival.logrank import RiskSets, logrank_scores
from nkhcc_helpers.survival.many import permute_logrank_many, permute_pairs_many
from nkhcc_helpers.survival.permutation import draw_allocations, permute_p

SIZES = (3, 5, 6, 4)
MEMORY = """
import resource, numpy as np
from nkhcc_helpers.survival import exact_p
from nkhcc_helpers.survival.logrank import RiskSets, logrank_scores
from nkhcc_helpers.survival.permutation import draw_allocations
scores = logrank_scores(np.arange(1, 19), np.ones(18, bool))
codes = np.repeat(range(4), (3, 5, 6, 4))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{work}
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(after / 1024)
"""
EXACT = "exact_p(scores, codes)"
RELABEL = """
risk = RiskSets.of(np.arange(1, 19), np.ones(18, bool))
for block in draw_allocations(codes, 1_000_000, 1):
    risk.calculate_chi_square(block)
"""
MANY = """
from nkhcc_helpers.survival.many import permute_logrank_many
rng = np.random.default_rng(1)
times, events = np.ceil(10 * rng.exponential(size=(1_000, 18))), rng.random((1_000, 18)) < 0.7
permute_logrank_many(times, events, codes, n_draws=20_000)
"""


def lay_out(n_groups_of, seed):
    """Uncensored, untied times at these sizes, and groups allotted at random."""
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(n_groups_of)), n_groups_of))
    return np.arange(1, len(codes) + 1), np.ones(len(codes), dtype=bool), codes


def relabel(risk, codes, n_draws):
    """Usual statistic over random relabellings."""
    for block in draw_allocations(codes, n_draws, 1):
        risk.calculate_chi_square(block)


def relabel_scores(scores, codes, n_draws):
    """The exact test's own statistic over random relabellings, the plain way in NumPy."""
    sizes = np.bincount(codes)
    centred = scores - scores.mean()
    for block in draw_allocations(codes, n_draws, 1):
        sum(((block == g) @ centred) ** 2 / size for g, size in enumerate(sizes))


def time_many():
    """Rows on 1,000 cohorts, tied and 30 % censored, no two alike, 100,000 relabellings of each."""
    rng, codes = np.random.default_rng(1), np.repeat(range(4), SIZES)
    times, events = np.ceil(10 * rng.exponential(size=(1_000, 18))), rng.random((1_000, 18)) < 0.7
    usual = time_median(lambda: permute_logrank_many(times, events, codes))
    trend = time_median(lambda: permute_logrank_many(times, events, codes, scores=(1, 2, 3, 4)))
    alike = time_median(lambda: permute_logrank_many(rng.random(times.shape), events | True, codes))
    pairs = time_median(lambda: permute_pairs_many(times, events, codes))
    risks = [RiskSets.of(*cohort) for cohort in zip(times[:10], events[:10], strict=True)]
    one = time_median(lambda: [permute_p(risk, codes, n_draws=100_000, seed=1) for risk in risks]) / 10
    return [
        ("1,000 cohorts of 3/5/6/4, 100,000 relabellings of each", usual, 15, "s"),
        ("the same, trend", trend, None, "s"),
        ("the same, nobody censored, no ties", alike, None, "s"),
        ("all pairs of groups in 1,000 cohorts, exact", pairs, None, "s"),
        ("times faster a cohort than one at a time", one / (usual / 1_000), -20, "x"),
    ]


def measure_memory(work):
    """Most memory in MB of a fresh process that does this work, imports included."""
    return float(subprocess.check_output([sys.executable, "-c", MEMORY.format(work=work)], text=True))


def main():
    time_, event, codes = lay_out(SIZES, 1)
    scores, risk = logrank_scores(time_, event), RiskSets.of(time_, event)
    # Before anything large is done here: a new process starts with the largest size of the one that made it.
    memory = {"exact": measure_memory(EXACT), "relabel": measure_memory(RELABEL)}
    memory["many"] = measure_memory(MANY)
    rows = []
    exact = statistics.median(
        time_median(lambda codes=codes: exact_p(scores, codes), 1)
        for codes in (lay_out(SIZES, seed)[2] for seed in range(9))
    )
    worst = max(
        time_median(lambda codes=codes: exact_p(scores, codes), 1)
        for codes in (lay_out(SIZES, seed)[2] for seed in range(9))
    )
    plain = time_median(lambda: relabel_scores(scores, codes, 1_000_000))
    rows.append(("exact P, 3/5/6/4, median of nine data sets", exact, 0.4, "s"))
    rows.append(("exact P, 3/5/6/4, slowest of nine data sets", worst, None, "s"))
    rows.append(("ratio to a million relabellings of the same statistic", exact / plain, 0.5, ""))
    rows.append(("memory of exact P, imports included", memory["exact"], 300, "MB"))
    time_20, event_20, codes_20 = lay_out((5, 5, 5, 5), 1)
    scores_20 = logrank_scores(time_20, event_20)
    rows.append(("exact P, 5/5/5/5", time_median(lambda: exact_p(scores_20, codes_20), 1), 20, "s"))
    time_24, event_24, codes_24 = lay_out((6, 6, 6, 6), 1)
    scores_24 = logrank_scores(time_24, event_24)
    trend = time_median(lambda: exact_p(scores_24, codes_24, trend=(1, 2, 3, 4)))
    rows.append(("exact trend, 6/6/6/6", trend, 5, "s"))
    usual = time_median(lambda: relabel(risk, codes, 1_000_000))
    rows.append(("a million relabellings of the usual statistic", usual, 6, "s"))
    rows.append(("memory of a million relabellings, imports included", memory["relabel"], 1024, "MB"))
    one = time_median(lambda: [multivariate_logrank_test(time_, codes, event) for _ in range(20)]) / 20
    rows.append(("times faster a relabelling than lifelines", one / (usual / 1_000_000), -2000, "x"))
    rows += time_many()
    rows.append(("memory of 1,000 cohorts, imports included", memory["many"], 500, "MB"))
    started = time.perf_counter()
    attained_size(SIZES, censoring=0.3, progress=True)
    rows.append(("attained size, 5,000 trials, 999 relabellings", time.perf_counter() - started, 60, "s"))
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())
