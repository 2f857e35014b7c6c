"""Cohorts compatible with published summaries: all that give the printed numbers, drawn from a prior."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nkhcc_helpers.claimed_trial import ClaimedTrial
from nkhcc_helpers.cohort_space import find_step
from nkhcc_helpers.compatible_endpoints import MOST_CHAINS, draw_endpoints
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.simulation import simulate_blocks

MOST_OF_BLOCK = 500  # cohorts
STARTS = ("prior", "medians")
"""Where chains begin: at cohorts drawn from the prior, or with every time at a claimed median."""


class IncompatibleClaimsError(ValueError):
    """No cohort was found that meets every claim."""


@dataclass(frozen=True, eq=False)
class CompatibleCohorts:
    """Cohorts that give every published number, drawn from the prior given the claims.

    Attributes
    ----------
    claimed : ClaimedTrial
        The claims that all of them meet, and the assumptions.
    times : ndarray of float, shape (n_cohorts, n_endpoints, n_patients)
        In `claimed.unit`.
    events : ndarray of bool, shape (n_cohorts, n_endpoints, n_patients)
    chain : ndarray of int, shape (n_cohorts, n_endpoints)
        The Markov chain that each endpoint comes from; those of different chains are independent.
    block : ndarray of int, shape (n_cohorts,)
        Block of chains, each with a start and random numbers of its own.
    late : ndarray of bool, shape (n_cohorts, n_endpoints)
        Whether it comes from the second half of the chain's run.
    seed : int
    """

    claimed: ClaimedTrial
    times: np.ndarray
    events: np.ndarray
    chain: np.ndarray
    block: np.ndarray
    late: np.ndarray
    seed: int

    def __len__(self):
        return len(self.times)

    @property
    def chains(self):
        """Chain of each cohort by endpoint."""
        return dict(zip(self.claimed.endpoints, self.chain.T, strict=True))

    def of(self, endpoint):
        """Times and events of one endpoint, each of shape (n_cohorts, n_patients)."""
        at = self.claimed.endpoints.index(endpoint)
        return self.times[:, at], self.events[:, at]

    def take(self, rows):
        """Some of the cohorts."""
        names = ("times", "events", "chain", "block", "late")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def join(self, other):
        """These cohorts and others of the same claims, as of chains of their own."""
        names = ("times", "events", "chain", "block", "late")
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        both["chain"][len(self) :] += self.chain.max() + 1
        both["block"][len(self) :] += self.block.max() + 1
        return replace(self, **both)

    def to_frame(self):
        """One row for each cohort, endpoint and patient.

        Returns
        -------
        DataFrame
            Columns ``cohort patient group endpoint time event chain block late``.
        """
        n_cohorts, _, n_patients = self.times.shape
        groups = np.array(self.claimed.groups)[self.claimed.codes]
        index = pd.MultiIndex.from_product(
            [range(n_cohorts), self.claimed.endpoints, range(1, n_patients + 1)],
            names=["cohort", "endpoint", "patient"],
        )
        frame = pd.DataFrame({"time": self.times.ravel(), "event": self.events.ravel()}, index=index)
        frame = frame.reset_index()
        frame["group"] = groups[frame["patient"] - 1]
        frame["block"] = self.block[frame["cohort"]]
        for name in ("chain", "late"):
            frame[name] = np.repeat(getattr(self, name).ravel(), n_patients)
        order = ["cohort", "patient", "group", "endpoint", "time", "event", "chain", "block", "late"]
        return frame[order]


def sample_compatible(
    claimed, *, n_cohorts=1_000, seed=DEFAULT_SEED, n_blocks=0, start="both", jobs=2, progress=False
):
    """Draw cohorts that give every published number.

    Parameters
    ----------
    claimed : ClaimedTrial
        Claims and assumptions.
    n_cohorts : int, default 1,000
    seed : int
    n_blocks : int, default 0
        Blocks of chains that know nothing of each other; 0 for two, or more where each would have to draw
        more than `MOST_OF_BLOCK` cohorts. Even ones start from the prior, odd ones at the claimed medians.
    start : {"both", "prior", "medians"}, default "both"
        The start of every block, or of every other one.
    jobs : int, default 2
        Processes; the answer does not depend on it.
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    CompatibleCohorts

    Raises
    ------
    IncompatibleClaimsError
        No cohort was found; `compatible_conflicts.find_conflict` names claims that conflict.
    ValueError
        `n_cohorts` or `n_blocks` is below 1, or an unknown start.

    Notes
    -----
    The prior takes times of different patients as independent (log-uniform or uniform), every number of
    censored patients in the range as equally likely and any patients as those, given that PFS is not longer
    than OS.

    References
    ----------
    Geyer (1991) Computing Science and Statistics; Manski (2003) Partial Identification of Probability
    Distributions.
    """
    arguments = plan_blocks(claimed, n_cohorts, seed=seed, n_blocks=n_blocks, start=start)
    rows = simulate_blocks(
        draw_block, arguments, n_trials=n_cohorts, jobs=jobs, progress=progress, unit="cohort"
    )
    return gather_blocks(claimed, rows, seed, n_cohorts)


def plan_blocks(claimed, n_cohorts, *, seed, n_blocks=0, start="both"):
    """What `draw_block` takes for each block: claims, number of the block, cohorts, seed and start."""
    if n_cohorts < 1 or n_blocks < 0:
        raise ValueError(f"n_cohorts must be at least 1 and n_blocks 0; got {n_cohorts!r} and {n_blocks!r}")
    if start not in ("both", *STARTS):
        raise ValueError(f"start must be 'both', 'prior' or 'medians'; got {start!r}")
    n_blocks = min(n_blocks or max(2, -(-n_cohorts // MOST_OF_BLOCK)), n_cohorts)
    sizes = [len(part) for part in np.array_split(np.arange(n_cohorts), n_blocks)]
    seeds = np.random.SeedSequence(seed).spawn(n_blocks)
    starts = [STARTS[block % 2] if start == "both" else start for block in range(n_blocks)]
    return list(zip([claimed] * n_blocks, range(n_blocks), sizes, seeds, starts, strict=True))


def draw_block(argument):
    """Draw the cohorts of one block.

    Parameters
    ----------
    argument : tuple
        As of `plan_blocks`.

    Returns
    -------
    ndarray of records, shape (n_cohorts,)
        Fields ``steps events chain late block``; no records where no cohort was met.
    """
    claimed, block, n_cohorts, seed, start = argument
    rng = np.random.default_rng(seed)
    rows = np.zeros(n_cohorts, dtype=_record_of(len(claimed.endpoints), len(claimed.codes)))
    rows["block"] = block
    found, meets = draw_endpoints(claimed, n_cohorts, start, rng)
    for code, drawn in found.items():
        at = claimed.endpoints.index(code)
        rows["steps"][:, at], rows["events"][:, at] = drawn.steps, drawn.events
        rows["chain"][:, at], rows["late"][:, at] = block * MOST_CHAINS + drawn.chain, drawn.late
    return rows if meets else rows[:0]


def gather_blocks(claimed, rows, seed, n_cohorts):
    """Turn the records of all blocks into `CompatibleCohorts`; raise where there are none, warn of few."""
    if not len(rows):
        raise IncompatibleClaimsError(
            "no cohort was found that gives every published number under the assumptions"
        )
    if len(rows) < n_cohorts:
        warnings.warn(
            f"some chains met no cohort: {len(rows)} of {n_cohorts} were found; try another seed",
            stacklevel=2,
        )
    times = rows["steps"] * find_step(claimed)
    return CompatibleCohorts(claimed, times, rows["events"], rows["chain"], rows["block"], rows["late"], seed)


def _record_of(n_endpoints, n_patients):
    shape = n_endpoints, n_patients
    fields = [("steps", np.int32, shape), ("events", bool, shape), ("block", int)]
    return np.dtype([*fields, ("chain", int, n_endpoints), ("late", bool, n_endpoints)])
