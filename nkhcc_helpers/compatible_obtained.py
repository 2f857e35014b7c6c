"""Compatible cohorts for a page: those stored with a trial where they fit its claims, else sampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nkhcc_helpers.compatible import sample_compatible

STORED = "compatible.parquet"  # in the folder of a trial


def obtain_cohorts(trial, claimed, cohorts_file="", *, n_cohorts, seed):
    """Obtain compatible cohorts, from a file if one fits, else by sampling.

    Parameters
    ----------
    trial : Trial
        Its folder may hold cohorts.
    claimed : ClaimedTrial
        Claims and assumptions that stored cohorts have to be made from.
    cohorts_file : str or pathlib.Path, optional
        Stored cohorts to use instead; empty for those of the trial.
    n_cohorts : int
        Wanted; where a file holds fewer, they are all there are, and where it holds more, they are taken
        evenly from it.
    seed : int
        Of a sample.

    Returns
    -------
    (CompatibleCohorts, str)
        Also the name of the file, empty for cohorts sampled now.

    Raises
    ------
    ValueError, OSError
        `cohorts_file` does not fit, or cannot be read.
    IncompatibleClaimsError
        No cohort was found.
    """
    path = Path(cohorts_file) if cohorts_file else trial.source / STORED
    if cohorts_file or path.is_file():
        stored = _load(path, claimed, must_fit=bool(cohorts_file))
        if stored is not None:
            rows = np.linspace(0, len(stored) - 1, min(n_cohorts, len(stored))).round().astype(int)
            return stored.take(rows), path.name
    return sample_compatible(claimed, n_cohorts=n_cohorts, seed=seed), ""


def _load(path, claimed, *, must_fit):
    from nkhcc_helpers.compatible_files import load_cohorts  # takes pyarrow, which a sample does without

    try:
        return load_cohorts(path, claimed)
    except ValueError:
        if must_fit:
            raise
        return None
