"""Simulated trials in blocks, spread over processes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm


def simulate_blocks(simulate, blocks, *, n_trials, jobs=2, progress=False, unit="trial"):
    """Return an array with a row for each of `n_trials` trials, in the order of the blocks.

    `simulate` takes a block and returns an array with one row for each of its trials; it is defined in a
    module, so that other processes can find it. The answer does not depend on `jobs`, how many there are.
    `unit` is what the progress bar counts.
    """
    parts = []
    with tqdm(total=n_trials, unit=unit, disable=not progress) as bar:
        for part in run_blocks(simulate, blocks, jobs):
            parts.append(part)
            bar.update(len(part))
    return np.concatenate(parts)


def check_censoring(censoring):
    """Raise ValueError unless the share of censored patients is at least 0 and below 1."""
    if not 0 <= censoring < 1:
        raise ValueError(f"censoring must be at least 0 and below 1; got {censoring!r}")


def run_blocks(function, arguments, jobs):
    """Yield what a function of a module returns for each argument, in order, from so many processes."""
    if jobs < 2 or len(arguments) < 2:
        yield from map(function, arguments)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, arguments)
