"""What a report's manifest and results say of its notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nkhcc_helpers import __version__
from nkhcc_helpers.report.results import ILLUSTRATIVE, hash_code, hash_file, list_versions

if TYPE_CHECKING:
    from nkhcc_helpers.run.execute import Outcome
    from nkhcc_helpers.run.plan import Plan
    from nkhcc_helpers.trial.trial import Trial

MANIFEST = "manifest.json"
RESULTS = "results.json"
PIECES = "results"
"""Folder of what each notebook recorded, while a report is being built."""


def read_piece(report: Path, name: str) -> dict[str, Any]:
    """What a notebook recorded while it was executed; nothing when it did not come to that."""
    piece = report / PIECES / f"{name}.json"
    return json.loads(piece.read_text(encoding="utf-8")) if piece.is_file() else {}


def describe_provenance(trial: Trial) -> dict[str, str]:
    """Of which trial results are, and whether that is of real patients."""
    named = {name: getattr(trial.metadata, name) for name in ("study_id", "title", "registration", "source")}
    note = ILLUSTRATIVE if trial.is_illustrative else ""
    return {**named, "provenance": trial.metadata.provenance, "note": note}


def describe_code() -> dict[str, Any]:
    """What of a manifest says which code was run."""
    return {"nkhcc": __version__, "versions": list_versions(), "code": hash_code()}


def describe_notebook(
    report: Path, plan: Plan, outcome: Outcome, results: dict[str, Any], fingerprint: str
) -> dict[str, Any]:
    """What of a manifest is about one notebook."""
    return {
        "file": plan.path.name,
        "sha256": hash_file(plan.path),
        "parameters": plan.effective,
        "seconds": round(outcome.seconds, 3),
        "status": ("failed" if outcome.error else "ok") if outcome.has_ended else "not executed",
        "error": outcome.error,
        "reused": outcome.reused,
        "cut_by_time": "cut_by_time" in results,
        "fingerprint": fingerprint,
        "files": list_files(report, plan.name) if outcome.has_ended else {},
    }


def list_files(report: Path, name: str) -> dict[str, str]:
    """Checksums of a notebook's page, executed notebook, figures and tables by path in the report."""
    executed = report / "notebooks" / f"{name}.ipynb"
    paths = [executed, executed.with_name(f"{executed.name}.gz"), report / f"{name}.html"]
    for kind in ("figures", "tables"):
        paths += sorted((report / kind / name).rglob("*"))
    return {path.relative_to(report).as_posix(): hash_file(path) for path in paths if path.is_file()}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Manifest of a report; None where there is none."""
    manifest = _read_object(folder / MANIFEST)
    return manifest if "nkhcc" in manifest else None


def read_entries(folder: Path) -> dict[str, dict[str, Any]]:
    """What a report's manifest says of each notebook."""
    return (read_manifest(folder) or {}).get("notebooks") or {}


def read_results(folder: Path) -> dict[str, Any]:
    """What the results of a report or run hold; nothing where they cannot be read."""
    return _read_object(folder / RESULTS)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def list_finished(folder: Path) -> list[str]:
    """Names of the notebooks that a report's manifest says were executed without an error."""
    return [name for name, entry in read_entries(folder).items() if entry.get("status") == "ok"]
