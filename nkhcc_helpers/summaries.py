"""What a run leaves beside its pages: results, manifest, first page."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nkhcc_helpers import __version__
from nkhcc_helpers.execution import Outcome
from nkhcc_helpers.manifest import hash_code, hash_file, hash_inputs, list_files
from nkhcc_helpers.planning import Plan
from nkhcc_helpers.publishing import MANIFEST
from nkhcc_helpers.report import read_title, write_index
from nkhcc_helpers.results import ILLUSTRATIVE, list_versions, write_json


@dataclass
class Run:
    """A run under way.

    Attributes
    ----------
    plans : list of Plan
        Its notebooks.
    building : pathlib.Path
        Folder that becomes the report.
    data : dict of str to str
        Checksums of the trial's files.
    data_dir : str
        The trial's folder as notebooks see it.
    started : datetime.datetime
        When it began, UTC.
    trial : Trial or None
        The trial analysed; None until it is checked.
    published : list of dict
        Published claims against reproduced ones.
    outcomes : dict of str to Outcome
        What came of each notebook so far.
    results : dict of str to dict
        What each notebook recorded.
    """

    plans: list[Plan]
    building: Path
    data: dict[str, str]
    data_dir: str
    started: dt.datetime
    trial: Any = None
    published: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def values(self, plan: Plan) -> dict[str, Any]:
        """Return what is injected into a notebook."""
        places = {"data_dir": self.data_dir, "out_dir": ".."}
        return plan.values | {name: text for name, text in places.items() if name in plan.known}

    def fingerprint(self, plan: Plan) -> str:
        """Return the checksum of everything that decides what a notebook gives."""
        return hash_inputs(plan.path, self.data, self.values(plan))


def write_summaries(run: Run) -> None:
    """Write `results.json`, `index.html` and, when all else is there, `manifest.json`.

    Parameters
    ----------
    run : Run
        A run of which every notebook has come to an outcome.
    """
    for plan in run.plans:
        piece = run.building / "results" / f"{plan.name}.json"
        if piece.is_file():
            run.results[plan.name] = json.loads(piece.read_text(encoding="utf-8"))
        run.results.setdefault(plan.name, {})
    shutil.rmtree(run.building / "results", ignore_errors=True)
    metadata = run.trial.metadata
    provenance = {
        "study_id": metadata.study_id,
        "title": metadata.title,
        "registration": metadata.registration,
        "source": metadata.source,
        "provenance": metadata.provenance,
        "note": ILLUSTRATIVE if run.trial.is_illustrative else "",
    }
    ordered = {plan.name: run.results[plan.name] for plan in run.plans}
    write_json(run.building / "results.json", {"provenance": provenance, "notebooks": ordered})
    _write_index(run)
    write_json(run.building / MANIFEST, _describe_run(run))


def _describe_run(run: Run) -> dict[str, Any]:
    entries = {}
    for plan in run.plans:
        outcome = run.outcomes[plan.name]
        entries[plan.name] = {
            "file": plan.path.name,
            "sha256": hash_file(plan.path),
            "parameters": plan.effective,
            "seconds": round(outcome.seconds, 3),
            "status": "failed" if outcome.error else "ok",
            "error": outcome.error,
            "reused": outcome.reused,
            "fingerprint": run.fingerprint(plan),
            "files": list_files(run.building, plan.name),
        }
    return {
        "nkhcc": __version__,
        "started": run.started.isoformat(timespec="seconds"),
        "seconds": round((dt.datetime.now(dt.UTC) - run.started).total_seconds(), 3),
        "versions": list_versions(),
        "code": hash_code(),
        "data": {"folder": run.data_dir or "bundled", "files": run.data},
        "notebooks": entries,
    }


def _write_index(run: Run) -> None:
    metadata = run.trial.metadata
    trial = {
        "title": metadata.title,
        "study_id": metadata.study_id,
        "registration": metadata.registration,
        "source": metadata.source,
        "is_illustrative": run.trial.is_illustrative,
        "illustrative": ILLUSTRATIVE,
    }
    write_index(
        run.building,
        trial=trial,
        warnings=run.trial.warnings,
        published=run.published,
        notebooks=[_describe_card(run, plan) for plan in run.plans],
        assumptions=[item.model_dump() for item in metadata.assumptions],
        started=f"{run.started:%Y-%m-%d %H:%M} UTC",
        versions=list_versions(),
    )


def _describe_card(run: Run, plan: Plan) -> dict[str, Any]:
    outcome, results = run.outcomes[plan.name], run.results[plan.name]
    page, executed = f"{plan.name}.html", f"notebooks/{plan.name}.ipynb"
    return {
        "title": read_title(plan.path),
        "page": page if (run.building / page).is_file() else "",
        "notebook": executed if (run.building / executed).is_file() else "",
        "figure": _choose_figure(results.get("figures", {})),
        "endpoint": str(results.get("values", {}).get("endpoint_label") or ""),
        "parameters": {name: _shown(value) for name, value in plan.changed.items()},
        "seconds": outcome.seconds,
        "reused": outcome.reused,
        "error": outcome.error,
    }


def _choose_figure(figures: dict[str, Any]) -> dict[str, str] | None:
    written = [figure for figure in figures.values() if figure["files"]]
    chosen = next((figure for figure in written if figure["main"]), written[0] if written else None)
    if chosen is None:
        return None
    file = next((file for file in chosen["files"] if file.endswith(".png")), chosen["files"][0])
    return {"file": file, "caption": chosen["caption"]}


def _shown(value: Any) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)) or "empty"
