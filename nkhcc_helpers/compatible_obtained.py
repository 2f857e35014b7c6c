"""Compatible cohorts for a page: those stored with a trial where they fit its claims, else sampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from nkhcc_helpers.compatible import sample_compatible
from nkhcc_helpers.compatible_files import COHORTS, fingerprint, load_cohorts
from nkhcc_helpers.compatible_statistics import (
    calculate_hazard_ratios,
    calculate_statistics,
    list_planned_designs,
)
from nkhcc_helpers.compatible_targets import bound_statistics

BOUNDS = "compatible_bounds.csv"  # in the folder of a trial
TIMES_MORE = 4  # cohorts that a search for bounds starts from, beside those stored
BOUND_COLUMNS = ["endpoint", "statistic", "lowest", "highest"]


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
    path = Path(cohorts_file) if cohorts_file else trial.source / COHORTS
    if cohorts_file or path.is_file():
        stored = _load(path, claimed, must_fit=bool(cohorts_file))
        if stored is not None:
            rows = np.linspace(0, len(stored) - 1, min(n_cohorts, len(stored))).round().astype(int)
            return stored.take(rows), path.name
    return sample_compatible(claimed, n_cohorts=n_cohorts, seed=seed), ""


def make_bounds(cohorts, metadata, folder, *, jobs=2, progress=False, **options):
    """Search for the bounds of every statistic that a page reports, and write them beside the cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    metadata : TrialMetadata
        With the assumed doses and infusions, for hazard ratios.
    folder : str or pathlib.Path
        For ``compatible_bounds.csv``.
    jobs, progress, **options
        As in `compatible_targets.bound_statistics`.

    Returns
    -------
    pathlib.Path
        The file, written whole or not at all.

    Notes
    -----
    The search starts from these cohorts and `TIMES_MORE` times as many others: chains held to narrow claims
    do not get far, so that extremes are found by many starts rather than by long ways.
    """
    designs = list_planned_designs(metadata)
    others = {"n_cohorts": TIMES_MORE * len(cohorts), "seed": cohorts.seed + 1}
    more = sample_compatible(cohorts.claimed, **others, jobs=jobs, progress=progress)
    cohorts, one = cohorts.join(more), cohorts.take(slice(0, 1))
    ratios = calculate_hazard_ratios(one, designs)
    wanted = [*calculate_statistics(one, n_draws=1).columns]
    wanted += [
        (row.endpoint, f"hr {row.covariate} ({row.method})")
        for row in ratios[["endpoint", "covariate", "method"]].drop_duplicates().itertuples()
    ]
    bounds = bound_statistics(cohorts, wanted, designs=designs, jobs=jobs, progress=progress, **options)
    path = Path(folder) / BOUNDS
    building = path.with_suffix(".building")
    save_bounds(bounds, cohorts.claimed, building)
    return building.replace(path)


def save_bounds(bounds, claimed, path):
    """Write bounds beside the cohorts they were searched from.

    Parameters
    ----------
    bounds : DataFrame
        Columns ``endpoint statistic lowest highest``, as of `compatible_targets.bound_statistics`.
    claimed : ClaimedTrial
        Claims and assumptions that they hold for.
    path : str or pathlib.Path
    """
    bounds[BOUND_COLUMNS].assign(fingerprint=fingerprint(claimed)).to_csv(path, index=False)


def obtain_bounds(trial, claimed):
    """Obtain the bounds stored with a trial, where they hold for its claims; searching takes minutes.

    Parameters
    ----------
    trial : Trial
    claimed : ClaimedTrial

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic lowest highest``; no rows where none are stored that fit.
    """
    path = trial.source / BOUNDS
    if not path.is_file():
        return pd.DataFrame(columns=BOUND_COLUMNS)
    stored = pd.read_csv(path)
    return stored.loc[stored["fingerprint"] == fingerprint(claimed), BOUND_COLUMNS]


def _load(path, claimed, *, must_fit):
    try:
        return load_cohorts(path, claimed)
    except ValueError:
        if must_fit:
            raise
        return None
