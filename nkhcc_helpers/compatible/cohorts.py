"""Cohorts compatible with published claims: sampled in blocks, held as arrays, kept in a file."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.sampling import USUAL_EFFORT, draw_endpoints
from nkhcc_helpers.compatible.space import find_step
from nkhcc_helpers.parallel import run_blocks
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.trial.claims import read_published
from nkhcc_helpers.trial.metadata import read_metadata
from nkhcc_helpers.trial.problems import Problem, TrialDataError

STARTS = ("prior", "medians")
COHORTS, PARTS = "compatible.parquet", "parts"
USUAL_PATIENTS, SWEEP_POWER = 20, 1.5
SECONDS_A_COHORT = 0.25  # to draw one of a trial of some twenty patients, where two processes share the work
_ARRAYS = ("times", "events", "chain", "block", "late")
_KEY = b"nkhcc"


class IncompatibleClaimsError(ValueError):
    """No cohort was found that meets every claim; `found` came nearest, as of `draw_endpoints`, if kept."""

    def __init__(self, message, found=None):
        super().__init__(message)
        self.found = found


class OutOfTimeError(RuntimeError):
    """Time was up before anything was found."""


@dataclass(frozen=True, eq=False)
class CompatibleCohorts:
    """Cohorts that give every published number, drawn from the prior given the claims.

    Those of different `chain` are independent; each `block` of chains has a start and random numbers of its
    own; `late` are those from the second half of a chain's run.
    """

    claimed: ClaimedTrial  # the claims that all of them meet, and the assumptions
    times: np.ndarray  # float, (n_cohorts, n_endpoints, n_patients), in `claimed.unit`
    events: np.ndarray  # bool, (n_cohorts, n_endpoints, n_patients)
    chain: np.ndarray  # int, (n_cohorts, n_endpoints)
    block: np.ndarray  # int, (n_cohorts,)
    late: np.ndarray  # bool, (n_cohorts, n_endpoints)
    seed: int
    is_cut: bool = False  # whether time was up before all were drawn, so that they depend on the machine

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
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def join(self, other):
        """These cohorts and others of the same claims, as of chains of their own."""
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _ARRAYS}
        both["chain"][len(self) :] += self.chain.max() + 1
        both["block"][len(self) :] += self.block.max() + 1
        return replace(self, **both, is_cut=self.is_cut or other.is_cut)

    def to_frame(self):
        """One row for each cohort, endpoint and patient."""
        n_cohorts, _, n_patients = self.times.shape
        groups = np.array(self.claimed.groups)[self.claimed.codes]
        index = pd.MultiIndex.from_product(
            [range(n_cohorts), self.claimed.endpoints, range(1, n_patients + 1)],
            names=["cohort", "endpoint", "patient"],
        )
        patients = {"time": self.times.ravel(), "event": self.events.ravel()}
        frame = pd.DataFrame(patients, index=index).reset_index()
        frame["group"] = groups[frame["patient"] - 1]
        frame["block"] = self.block[frame["cohort"]]
        for name in ("chain", "late"):
            frame[name] = np.repeat(getattr(self, name).ravel(), n_patients)
        order = ["cohort", "patient", "group", "endpoint", "time", "event", "chain", "block", "late"]
        return frame[order]


def sample_compatible(
    claimed,
    *,
    n_cohorts=1_000,
    seed=DEFAULT_SEED,
    n_blocks=0,
    start="both",
    effort=USUAL_EFFORT,
    jobs=2,
    progress=False,
    watch=None,
):
    """Draw cohorts that give every published number.

    Geyer (1991) Computing Science and Statistics; Manski (2003) Partial Identification of Probability
    Distributions.

    Parameters
    ----------
    claimed : ClaimedTrial
        Claims and assumptions.
    n_cohorts : int, default 1,000
    seed : int
    n_blocks : int, default 0
        Blocks of chains that know nothing of each other; 0 for two, or more where each would have to draw
        more than `Effort.largest_block` cohorts. Even ones start from the prior, odd ones at the claimed
        medians.
    start : {"both", "prior", "medians"}, default "both"
        The start of every block, or of every other one.
    effort : Effort
        How hard cohorts are searched for, and until when: cohorts are fewer, or none, where time was up.
    jobs : int, default 2
        Processes, on which the answer does not depend.
    progress : bool, default False
        Whether to show a progress bar.
    watch : callable, optional
        As of `draw_blocks`.

    Returns
    -------
    CompatibleCohorts

    Raises
    ------
    IncompatibleClaimsError
        No cohort was found; `find_conflict` names claims that conflict.
    ValueError
        `n_cohorts` or `n_blocks` is below 1, or an unknown start.

    Notes
    -----
    The prior takes times of different patients as independent (log-uniform or uniform), every number of
    censored patients in the range as equally likely and any patients as those, given that PFS is not longer
    than OS.
    """
    arguments = plan_blocks(claimed, n_cohorts, seed=seed, n_blocks=n_blocks, start=start, effort=effort)
    drawn = draw_blocks(arguments, jobs=jobs, progress=progress, watch=watch)
    return gather_blocks(claimed, drawn, seed, n_cohorts)


def plan_blocks(claimed, n_cohorts, *, seed, n_blocks=0, start="both", effort=USUAL_EFFORT):
    """What `draw_block` takes for each block: claims, its number, cohorts, seed, start and effort."""
    if n_cohorts < 1 or n_blocks < 0:
        raise ValueError(f"n_cohorts must be at least 1 and n_blocks 0; got {n_cohorts!r} and {n_blocks!r}")
    if start not in ("both", *STARTS):
        raise ValueError(f"start must be 'both', 'prior' or 'medians'; got {start!r}")
    n_blocks = min(n_blocks or max(2, -(-n_cohorts // effort.largest_block)), n_cohorts)
    sizes = [len(part) for part in np.array_split(np.arange(n_cohorts), n_blocks)]
    seeds = np.random.SeedSequence(seed).spawn(n_blocks)
    starts = [STARTS[block % 2] if start == "both" else start for block in range(n_blocks)]
    drawn = zip(sizes, seeds, starts, strict=True)
    return [(claimed, block, *each, effort) for block, each in enumerate(drawn)]


def draw_blocks(blocks, *, jobs=2, progress=False, watch=None):
    """What `draw_block` draws of each; `watch` is told of cohorts drawn and wanted, and seconds left."""
    parts, n_ended, n_drawn, n_wanted = [], 0, 0, sum(each[2] for each in blocks)
    until, started = blocks[0][-1].until, perf_counter()
    jobs, watch = (1, None) if until.is_over else (jobs, watch)
    if watch:
        n_patients = sum(each[2] * len(each[0].codes) for each in blocks) / n_wanted
        about = SECONDS_A_COHORT * max(n_patients / USUAL_PATIENTS, 1) ** SWEEP_POWER
        watch(0, n_wanted, min(about * n_wanted, until.left))
    with tqdm(total=n_wanted, unit="cohort", disable=not progress) as bar:
        for block, drawn in zip(blocks, run_blocks(draw_block, blocks, jobs), strict=True):
            parts.append(drawn)
            n_ended, n_drawn = n_ended + block[2], n_drawn + len(drawn[0])
            bar.update(len(drawn[0]))
            if watch:
                about = (n_wanted - n_ended) * (perf_counter() - started) / n_ended
                watch(n_drawn, n_wanted, min(about, until.left) if n_ended < n_wanted else 0)
    return parts


def draw_block(argument):
    """Records of the cohorts of one block of `plan_blocks`, whether time was up, and what came nearest.

    Their fields are ``steps events chain late block``. There are as many as asked for; none where no cohort
    was met, for which the last stands, and fewer where time was up.
    """
    claimed, block, n_cohorts, seed, start, effort = argument
    rng = np.random.default_rng(seed)
    none = np.zeros(0, dtype=_record_of(len(claimed.endpoints), len(claimed.codes)))
    if effort.until.is_over:
        return none, True, None
    found, meets = draw_endpoints(claimed, n_cohorts, start, rng, effort)
    is_cut = any(each.is_cut for each in found.values())
    rows = np.zeros(len(found[claimed.endpoints[0]]) if meets else 0, dtype=none.dtype)
    rows["block"] = block
    for code, drawn in found.items() if meets else ():
        at = claimed.endpoints.index(code)
        rows["steps"][:, at], rows["events"][:, at] = drawn.steps, drawn.events
        rows["chain"][:, at], rows["late"][:, at] = block * effort.most_chains + drawn.chain, drawn.late
    return rows, is_cut, None if meets else found


def _record_of(n_endpoints, n_patients):
    shape = n_endpoints, n_patients
    fields = [("steps", np.int32, shape), ("events", bool, shape), ("block", int)]
    return np.dtype([*fields, ("chain", int, n_endpoints), ("late", bool, n_endpoints)])


def gather_blocks(claimed, drawn, seed, n_cohorts):
    """Turn what `draw_block` drew of all blocks into `CompatibleCohorts`.

    Raises where there are none, warns of few; not where time was up.
    """
    rows, is_cut = np.concatenate([each[0] for each in drawn]), any(each[1] for each in drawn)
    if not len(rows) and not is_cut:
        said = "no cohort was found that gives every published number under the assumptions"
        raise IncompatibleClaimsError(said, drawn[0][2])
    if len(rows) < n_cohorts and not is_cut:
        said = f"some chains met no cohort: {len(rows)} of {n_cohorts} were found; try another seed"
        warnings.warn(said, stacklevel=2)
    times = rows["steps"] * find_step(claimed)
    fields = (rows[name] for name in _ARRAYS[1:])
    return CompatibleCohorts(claimed, times, *fields, seed, is_cut)


def obtain_cohorts(trial, claimed, cohorts_file="", *, n_cohorts, seed, effort=USUAL_EFFORT, watch=None):
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
    seed, effort, watch
        Of a sample, as in `sample_compatible`.

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
        try:
            stored = load_cohorts(path, claimed)
        except ValueError:
            if cohorts_file:
                raise
        else:
            rows = np.linspace(0, len(stored) - 1, min(n_cohorts, len(stored))).round().astype(int)
            return stored.take(rows), path.name
    options = {"n_cohorts": n_cohorts, "seed": seed, "effort": effort, "watch": watch}
    return sample_compatible(claimed, **options), ""


def read_claimed(path):
    """The `ClaimedTrial` of a published.yaml, or of the folder it is in; raises as that and `read_design`."""
    metadata = read_design(path)
    return ClaimedTrial.of(read_published(Path(path), metadata), metadata)


def read_design(path):
    """Read the trial.yaml beside a published.yaml, or in the folder it is in, as `TrialMetadata`."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if not (folder / "trial.yaml").is_file():
        rule = "is needed beside the claims: groups, endpoints and units of time are read from it"
        raise TrialDataError([Problem("trial.yaml", None, "", str(folder), rule)])
    return read_metadata(folder / "trial.yaml")


def make_cohorts(
    claimed, folder, *, n_cohorts=1_000, seed=DEFAULT_SEED, effort=USUAL_EFFORT, jobs=2, progress=False
):
    """Sample into ``compatible.parquet`` of a folder, as `sample_compatible`; return the file.

    It is written whole or not at all. While the run lasts, finished blocks stand in ``parts``: where an
    earlier run was cut off, or its time was up, this one goes on. Raises OutOfTimeError where time was up
    before a cohort was found.
    """
    folder = Path(folder)
    asked = f"{fingerprint(claimed)} {n_cohorts} {seed} {effort}"
    parts = folder / PARTS / hashlib.sha256(asked.encode()).hexdigest()[:16]
    parts.mkdir(parents=True, exist_ok=True)
    planned = plan_blocks(claimed, n_cohorts, seed=seed, effort=effort)
    paths = [parts / f"{block}.npy" for block in range(len(planned))]
    missing = [(path, plan) for path, plan in zip(paths, planned, strict=True) if not path.exists()]
    n_there = n_cohorts - sum(plan[2] for _, plan in missing)
    with tqdm(total=n_cohorts, initial=n_there, unit="cohort", disable=not progress) as bar:
        results = run_blocks(draw_block, [plan for _, plan in missing], jobs)
        kept = []  # in no file: what time cut, and what says of a search only how near it came
        for (path, _), block in zip(missing, results, strict=True):
            rows, is_cut, nearest = block
            bar.update(len(rows))
            if is_cut or nearest:
                kept.append(block)
                continue
            building = path.with_suffix(".building")
            with building.open("wb") as file:
                np.save(file, rows)
            building.replace(path)
    drawn = kept + [(np.load(path), False, None) for path in paths if path.exists()]
    cohorts = gather_blocks(claimed, drawn, seed, n_cohorts)
    if not len(cohorts):
        raise OutOfTimeError("time was up before a cohort was found that gives every published number")
    written = save_cohorts(cohorts, folder / COHORTS)
    if not cohorts.is_cut:
        shutil.rmtree(parts)
        if not any(parts.parent.iterdir()):
            parts.parent.rmdir()
    return written


def save_cohorts(cohorts, path):
    """Write `CompatibleCohorts.to_frame`, and what they were made from, as Parquet, whole or not at all."""
    table = pa.Table.from_pandas(cohorts.to_frame(), preserve_index=False, nthreads=1)
    made = {"fingerprint": fingerprint(cohorts.claimed), "seed": cohorts.seed}
    made |= {"is_cut": True} if cohorts.is_cut else {}
    table = table.replace_schema_metadata({**table.schema.metadata, _KEY: json.dumps(made).encode()})
    building = Path(path).with_suffix(".building")
    pq.write_table(table, building, compression="zstd")
    return building.replace(path)


def load_cohorts(path, claimed):
    """Read `CompatibleCohorts` from a file; ValueError where it was made from other claims or assumptions."""
    table, made = _read(path)
    if made.get("fingerprint") != fingerprint(claimed):
        said = "was made from other claims or assumptions; make it anew with nkhcc compatible"
        raise ValueError(f"{Path(path).name} {said}")
    frame = table.to_pandas(use_threads=False)
    shape = frame["cohort"].nunique(), len(claimed.endpoints), len(claimed.codes)
    times, events = (frame[name].to_numpy().reshape(shape) for name in ("time", "event"))
    firsts = frame.iloc[:: shape[2]]
    chain, block, late = (firsts[name].to_numpy().reshape(shape[:2]) for name in ("chain", "block", "late"))
    origin = chain, block[:, 0], late, made["seed"]
    return CompatibleCohorts(claimed, times, events, *origin, made.get("is_cut", False))


def describe_file(path):
    """Describe a file of cohorts by ``n_cohorts``, ``seed``, ``sha256`` and whether it ``is_cut``."""
    table, made = _read(path)
    checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    n_cohorts, is_cut = len(table["cohort"].unique()), made.get("is_cut", False)
    return {"n_cohorts": n_cohorts, "seed": made.get("seed"), "sha256": checksum, "is_cut": is_cut}


def _read(path):
    """The table of a file of cohorts, and what they were made from."""
    # One thread is enough for so little, and none of pyarrow's is left over when the process ends.
    table = pq.read_table(path, use_threads=False)
    return table, json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))


def fingerprint(claimed):
    """Checksum of all that the cohorts of a `ClaimedTrial` depend on, 64 hexadecimal digits."""
    content = {
        "sizes": claimed.sizes,
        "endpoints": claimed.endpoints,
        "claims": [claim.model_dump(mode="json") for claim in claimed.claims],
        "assumptions": claimed.assumptions.model_dump(mode="json"),
        "unit": claimed.unit,
        "ordered": claimed.ordered,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
