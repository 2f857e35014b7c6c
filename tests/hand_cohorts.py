"""`CompatibleCohorts` made by hand, which meet no claim."""

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import Named
from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import CompatibleCohorts
from nkhcc_helpers.trial.claims import CohortAssumptions


def by_name(frame):
    """The same with statistics and designs by their names, in cells and in column names."""
    columns = [
        tuple(map(str, each)) if isinstance(each, tuple) else str(each) for each in frame.columns.tolist()
    ]
    named = frame.map(lambda each: each.name if isinstance(each, Named) else each)
    named.columns = pd.MultiIndex.from_tuples(columns) if frame.columns.nlevels > 1 else columns
    return named.rename_axis(columns=frame.columns.names)


def make_cohorts(times, events, sizes, *, endpoints=("OS",), unit="months", chain=None, claims=()):
    """Cohorts of these times and events, shape (n_cohorts, n_endpoints, n_patients)."""
    times, events = np.asarray(times, float), np.asarray(events, bool)
    assumptions = CohortAssumptions(recorded_unit=unit, shortest=1, longest=1000)
    claimed = ClaimedTrial(sizes, endpoints, tuple(claims), assumptions, unit)
    n_cohorts = len(times)
    chain = np.arange(n_cohorts) if chain is None else np.asarray(chain)
    late = np.arange(n_cohorts) % 4 >= 2
    chain, late = (np.stack([each] * len(endpoints), axis=1) for each in (chain, late))
    return CompatibleCohorts(claimed, times, events, chain, np.arange(n_cohorts) % 2, late, 0)


def draw_cohorts(n_cohorts, sizes, *, seed, n_times=12, share_censored=0.25, endpoints=("OS",), **options):
    """Random cohorts with ties and censoring."""
    rng = np.random.default_rng(seed)
    shape = n_cohorts, len(endpoints), sum(sizes.values())
    times = rng.integers(1, n_times + 1, size=shape)
    return make_cohorts(times, rng.random(shape) >= share_censored, sizes, endpoints=endpoints, **options)
