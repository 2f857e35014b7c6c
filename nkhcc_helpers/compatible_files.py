"""Compatible cohorts on disk: Parquet, block by block so that a run that was cut off can go on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from nkhcc_helpers.claimed_trial import ClaimedTrial
from nkhcc_helpers.claims import read_published
from nkhcc_helpers.compatible import CompatibleCohorts, draw_block, gather_blocks, plan_blocks
from nkhcc_helpers.metadata import read_metadata
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.problems import Problem, TrialDataError
from nkhcc_helpers.simulation import run_blocks

COHORTS, PARTS = "compatible.parquet", "parts"
_KEY = b"nkhcc"


def read_claimed(path):
    """Read a paper's claims, and the trial.yaml beside them that says what groups and endpoints there are.

    Parameters
    ----------
    path : str or pathlib.Path
        A published.yaml, or the folder it is in.

    Returns
    -------
    ClaimedTrial

    Raises
    ------
    TrialDataError
        A file is missing or not as it must be.
    ValueError
        The claims say nothing about times, or no size of a group.
    """
    metadata = read_design(path)
    return ClaimedTrial.of(read_published(Path(path), metadata), metadata)


def read_design(path):
    """Read the trial.yaml beside a published.yaml, or in the folder it is in, as `TrialMetadata`."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if not (folder / "trial.yaml").is_file():
        rule = "is needed beside the claims: groups, endpoints and units of time are read from it"
        raise TrialDataError([Problem("trial.yaml", None, "", str(folder), rule)])
    return read_metadata(folder / "trial.yaml")


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


def make_cohorts(claimed, folder, *, n_cohorts=1_000, seed=DEFAULT_SEED, jobs=2, progress=False):
    """Sample compatible cohorts into a folder, going on where an earlier run was cut off.

    Parameters
    ----------
    claimed : ClaimedTrial
    folder : str or pathlib.Path
        For ``compatible.parquet``; while the run lasts, finished blocks stand in ``parts``.
    n_cohorts, seed, jobs, progress
        As in `compatible.sample_compatible`.

    Returns
    -------
    pathlib.Path
        The file, written whole or not at all.

    Raises
    ------
    IncompatibleClaimsError
        No cohort was found.
    """
    folder = Path(folder)
    parts = folder / PARTS / f"{fingerprint(claimed)[:16]}-{n_cohorts}-{seed}"
    parts.mkdir(parents=True, exist_ok=True)
    planned = plan_blocks(claimed, n_cohorts, seed=seed)
    paths = [parts / f"{block}.npy" for block in range(len(planned))]
    missing = [(path, plan) for path, plan in zip(paths, planned, strict=True) if not path.exists()]
    with tqdm(total=n_cohorts, unit="cohort", disable=not progress) as bar:
        bar.update(sum(plan[2] for plan, path in zip(planned, paths, strict=True) if path.exists()))
        results = run_blocks(draw_block, [plan for _, plan in missing], jobs)
        for (path, _), rows in zip(missing, results, strict=False):
            building = path.with_suffix(".building")
            with building.open("wb") as file:
                np.save(file, rows)
            building.replace(path)
            bar.update(len(rows))
    rows = np.concatenate([np.load(path) for path in paths])
    written = save_cohorts(gather_blocks(claimed, rows, seed, n_cohorts), folder / COHORTS)
    for path in paths:
        path.unlink()
    parts.rmdir()
    if not any(parts.parent.iterdir()):
        parts.parent.rmdir()
    return written


def save_cohorts(cohorts, path):
    """Write cohorts as Parquet: the frame of `CompatibleCohorts.to_frame`, and what they were made from.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    path : str or pathlib.Path

    Returns
    -------
    pathlib.Path
        The file, written whole or not at all.
    """
    path = Path(path)
    table = pa.Table.from_pandas(cohorts.to_frame(), preserve_index=False, nthreads=1)
    made = {"fingerprint": fingerprint(cohorts.claimed), "seed": cohorts.seed}
    table = table.replace_schema_metadata({**table.schema.metadata, _KEY: json.dumps(made).encode()})
    building = path.with_suffix(".building")
    pq.write_table(table, building, compression="zstd")
    building.replace(path)
    return path


def load_cohorts(path, claimed):
    """Read cohorts, if they were made from these claims and assumptions.

    Parameters
    ----------
    path : str or pathlib.Path
    claimed : ClaimedTrial

    Returns
    -------
    CompatibleCohorts

    Raises
    ------
    ValueError
        The file was made from other claims or assumptions, or is not of this kind.
    OSError
        The file cannot be read.
    """
    table = _read(path)
    made = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    if made.get("fingerprint") != fingerprint(claimed):
        raise ValueError(
            f"{Path(path).name} was made from other claims or assumptions; make it anew with nkhcc compatible"
        )
    frame = table.to_pandas(use_threads=False)
    shape = frame["cohort"].nunique(), len(claimed.endpoints), len(claimed.codes)
    times, events = (frame[name].to_numpy().reshape(shape) for name in ("time", "event"))
    each = frame.iloc[:: shape[2]]
    chain, block, late = (each[name].to_numpy().reshape(shape[:2]) for name in ("chain", "block", "late"))
    return CompatibleCohorts(claimed, times, events, chain, block[:, 0], late, made["seed"])


def describe_file(path):
    """Describe a file of cohorts: how many there are, and its checksum.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    dict
        ``n_cohorts seed sha256``.
    """
    table = _read(path)
    made = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    n_cohorts = len(table["cohort"].unique())
    checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {"n_cohorts": n_cohorts, "seed": made.get("seed"), "sha256": checksum}


def _read(path):
    # One thread is enough for so little, and none of pyarrow's is left over when the process ends.
    return pq.read_table(path, use_threads=False)
