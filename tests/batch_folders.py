"""Folders of batches made for the tests, as a batch leaves them: nothing is executed."""

from __future__ import annotations

import json
from pathlib import Path

from small_notebooks import write_notebook

from nkhcc_helpers.run.batch.grid import Batch, BatchRun
from nkhcc_helpers.run.batch.ledger import Record
from nkhcc_helpers.run.parameters import Parameter
from nkhcc_helpers.run.plan import Plan

DEFAULTS = {"endpoint": "PFS", "conf_type": "bpcp", "n_draws": 1000}
PROVENANCE = {"study_id": "S-1", "title": "A trial", "registration": "", "source": "", "note": ""}
PROVENANCE["provenance"] = "illustrative"


def make_run(folder: Path, name: str, *, notebook: str = "one", trial: str = "nkhcc", **values) -> BatchRun:
    """A run of a small notebook that has the parameters of `DEFAULTS`."""
    path = folder / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        write_notebook(path)
    known = {key: Parameter(key, type(value).__name__, value, "") for key, value in DEFAULTS.items()}
    return BatchRun(name, Plan(notebook, path, known, values), folder / trial, trial, {}, f"print of {name}")


def make_batch(folder: Path, *runs: BatchRun, varied=("endpoint", "conf_type"), title="A plan") -> Batch:
    """A batch of these runs, in the folder `batch`, which stands."""
    out_dir = folder / "batch"
    out_dir.mkdir(exist_ok=True)
    return Batch(title, runs, tuple(varied), out_dir)


def make_headline(value, lower="NE", upper="NE", *, label="Ratio of hazards", **fields) -> dict:
    """A headline as `results.json` holds it."""
    limits = {} if "level" in fields else {"ci_lower": lower, "ci_upper": upper}
    plain = {"label": label, "value": value, "ci_lower": None, "ci_upper": None, "null": None, "level": None}
    plain |= {
        "error": None,
        "unit": "",
        "kind": "p" if "level" in fields else "number",
        "has_direction": True,
    }
    return plain | limits | fields


def write_run(batch: Batch, run: BatchRun, *, error="", provenance=PROVENANCE, files=(), **results) -> Record:
    """Write what a run leaves, its results only where it has no error, and return what the ledger says."""
    place = batch.out_dir / "runs" / run.name
    place.mkdir(parents=True, exist_ok=True)
    status, name = "failed" if error else "ok", run.plan.name
    entry = {"file": f"{name}.ipynb", "sha256": "0" * 64, "parameters": run.plan.effective, "seconds": 1.5}
    entry |= {"status": status, "error": error, "fingerprint": run.fingerprint, "files": {}}
    manifest = {
        "nkhcc": "0.1.0",
        "versions": {"python": "3.11.7"},
        "code": "c0de",
        "notebooks": {name: entry},
    }
    manifest |= {"data": {"folder": "bundled", "files": {"adsl.csv": "da7a"}}}
    manifest |= {"run": run.name, "trial": run.trial, "attempts": 1}
    (place / "manifest.json").write_text(json.dumps(manifest))
    found = {} if error else {"values": {}, "tables": {}, "figures": {}} | results
    (place / "results.json").write_text(json.dumps({"provenance": provenance, "notebooks": {name: found}}))
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(file)
    return Record(run.name, run.fingerprint, status, 1.5, error)
