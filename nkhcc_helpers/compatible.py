"""Cohorts compatible with published summaries: all that give the printed numbers, drawn from a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nkhcc_helpers.claimed_trial import ClaimedTrial
from nkhcc_helpers.cohort_space import CohortSpace, find_step
from nkhcc_helpers.compatible_chains import LOOKS_PER_SWEEP, Chains
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.simulation import simulate_blocks

FEWEST_CHAINS, MOST_CHAINS, CHAINS_PER_COHORT = 100, 800, 8  # of a block
MOST_OF_BLOCK = 500  # cohorts
N_SETTLING = 20  # sweeps before cohorts are taken
ARRIVALS = 2.0  # of chains that come to meet all claims, for each cohort taken
SIGHTINGS = 100  # of chains that meet them, which will do as well
FEWEST_LOOKS = 30  # however many they meet
AFRESH = 60  # looks without, after which a chain counts as coming afresh
MOST_SWEEPS = 2_000  # of a block
MOST_FRUITLESS = 150  # sweeps of a block without a single cohort
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
    chain : ndarray of int, shape (n_cohorts,)
        The Markov chain each comes from; cohorts of different chains are independent.
    block : ndarray of int, shape (n_cohorts,)
        Block of chains, each with a start and random numbers of its own.
    late : ndarray of bool, shape (n_cohorts,)
        Whether it comes from the second half of its block's run.
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

    def of(self, endpoint):
        """Times and events of one endpoint, each of shape (n_cohorts, n_patients)."""
        at = self.claimed.endpoints.index(endpoint)
        return self.times[:, at], self.events[:, at]

    def take(self, rows):
        """Some of the cohorts."""
        names = ("times", "events", "chain", "block", "late")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

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
        for name in ("chain", "block", "late"):
            frame[name] = getattr(self, name)[frame["cohort"]]
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
    return gather_blocks(claimed, rows, seed)


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
        Fields ``steps events chain block late``; no records where no cohort was met.
    """
    claimed, block, n_cohorts, seed, start = argument
    rng = np.random.default_rng(seed)
    n_chains = int(np.clip(CHAINS_PER_COHORT * n_cohorts, FEWEST_CHAINS, MOST_CHAINS))
    chains = Chains(claimed, draw_start(claimed, start, rng, n_chains), rng)
    chains.anneal()
    chains.settle(N_SETTLING)
    met = _meet(chains, n_cohorts)
    rows = np.zeros(len(met), dtype=_record_of(len(claimed.endpoints), len(claimed.codes)))
    for row, (look, chain, steps, events) in zip(rows, met, strict=True):
        row["steps"], row["events"] = steps, events
        row["chain"], row["block"], row["late"] = block * MOST_CHAINS + chain, block, look >= met[-1][0] / 2
    return rows[rng.permutation(len(rows))[:n_cohorts]]


def gather_blocks(claimed, rows, seed):
    """Turn the records of all blocks into `CompatibleCohorts`, or raise where there are none."""
    if not len(rows):
        raise IncompatibleClaimsError(
            "no cohort was found that gives every published number under the assumptions"
        )
    times = rows["steps"] * find_step(claimed)
    return CompatibleCohorts(claimed, times, rows["events"], rows["chain"], rows["block"], rows["late"], seed)


def draw_start(claimed, start, rng, n_chains):
    """Cohorts that the chains of a block begin with.

    Parameters
    ----------
    claimed : ClaimedTrial
    start : {"prior", "medians"}
    rng : numpy.random.Generator
    n_chains : int

    Returns
    -------
    dict of str to (ndarray, ndarray)
        Steps and events of each endpoint, shape (n_chains, n_patients).

    Raises
    ------
    ValueError
        No cohort keeps to the assumptions.
    """
    drawn, rank = {}, rng.random((n_chains, len(claimed.codes))).argsort(axis=1).argsort(axis=1)
    first = claimed.ordered[0] if claimed.ordered else None
    possible = np.ones(n_chains, dtype=bool)
    for endpoint in sorted(claimed.endpoints, key=lambda code: code == first):
        space = CohortSpace.of(claimed, endpoint)
        room = (np.zeros(rank.shape, dtype=int), drawn[claimed.ordered[1]][0]) if endpoint == first else None
        steps, events = space.draw_start(rank, rng, room)
        if start == "medians":
            steps = _move_to_medians(claimed, endpoint, space, steps, events, room)
        possible &= space.is_possible(steps, events, room)
        drawn[endpoint] = steps, events
    if not possible.any():
        raise ValueError("no cohort keeps to the assumptions on who is censored when, and PFS not after OS")
    chosen = np.resize(np.flatnonzero(possible), n_chains)
    return {code: (steps[chosen], events[chosen]) for code, (steps, events) in drawn.items()}


def _move_to_medians(claimed, endpoint, space, steps, events, room):
    """Put patients at the claimed median of their group, or of everyone, where that is possible."""
    moved = steps.copy()
    claims = [claim for claim in claimed.claims_about(endpoint) if claim.kind == "median"]
    for claim in sorted(claims, key=lambda claim: claim.group is not None):
        members = claimed.codes == claimed.groups.index(claim.group) if claim.group else slice(None)
        moved[:, members] = round(claim.value / space.step)
    can = np.isfinite(space.log_chance(moved, events, room))
    return np.where(can, moved, steps)


def _meet(chains, n_cohorts):
    """Run chains until enough of them met all claims: look, chain, steps and events of each time seen so."""
    met, look, arrivals, last = [], 0, 0, np.full(len(chains), -AFRESH)
    while look < FEWEST_LOOKS or (arrivals < ARRIVALS * n_cohorts and len(met) < SIGHTINGS * n_cohorts):
        chains.advance()
        here = np.flatnonzero(chains.meets_all)
        steps = np.stack([state.steps[here] for state in chains.states], axis=1)
        events = np.stack([state.events[here] for state in chains.states], axis=1)
        met += zip([look] * len(here), here, steps, events, strict=True)
        arrivals += int((last[here] <= look - AFRESH).sum())
        last[here], look = look, look + 1
        if look >= LOOKS_PER_SWEEP * (MOST_SWEEPS if met else MOST_FRUITLESS):
            break
    return met


def _record_of(n_endpoints, n_patients):
    shape = n_endpoints, n_patients
    fields = [("steps", np.int32, shape), ("events", bool, shape)]
    return np.dtype([*fields, ("chain", int), ("block", int), ("late", bool)])
