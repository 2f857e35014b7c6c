"""What went into a run: checksums of its inputs, and which notebooks of an earlier run can be taken over."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nkhcc_helpers.publishing import read_manifest
from nkhcc_helpers.results import list_versions

_PACKAGE = Path(__file__).resolve().parent
_CODE_SUFFIXES = {".py", ".j2", ".css", ".json"}
_DATA_SUFFIXES = {".csv", ".yaml", ".yml", ".parquet"}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_data(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a folder's tables, YAML and Parquet files, by name; none without one."""
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _DATA_SUFFIXES]
    return {path.name: hash_file(path) for path in files if path.is_file()}


@cache
def hash_code() -> str:
    """Return one SHA-256 for the package's own code and templates."""
    files = [path for path in _PACKAGE.rglob("*") if path.suffix in _CODE_SUFFIXES]
    files = [path for path in files if "bundled" not in path.relative_to(_PACKAGE).parts]
    return _hash_json({path.relative_to(_PACKAGE).as_posix(): hash_file(path) for path in files})


def hash_inputs(notebook: Path, data: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    """Return one SHA-256 for everything that decides what a notebook gives.

    Parameters
    ----------
    notebook : pathlib.Path
        The notebook.
    data : mapping of str to str
        Checksums of the trial's files.
    parameters : mapping of str to object
        Values it is run with.

    Returns
    -------
    str
        The same for the same notebook, data, values, code and versions.
    """
    return _hash_json(
        {
            "notebook": hash_file(notebook),
            "data": dict(data),
            "parameters": dict(parameters),
            "code": hash_code(),
            "versions": list_versions(),
        }
    )


def list_files(report: Path, name: str) -> dict[str, str]:
    """List what a notebook has in a report.

    Parameters
    ----------
    report : pathlib.Path
        The report's folder.
    name : str
        The notebook's name.

    Returns
    -------
    dict of str to str
        Checksum of each file by relative path: page, executed notebook, figures, tables.
    """
    paths = [report / "notebooks" / f"{name}.ipynb", report / f"{name}.html"]
    for kind in ("figures", "tables"):
        paths += sorted((report / kind / name).rglob("*"))
    return {path.relative_to(report).as_posix(): hash_file(path) for path in paths if path.is_file()}


def find_earlier(reports: list[Path], name: str, fingerprint: str) -> tuple[Path, dict[str, Any]] | None:
    """Find a report that holds a notebook's whole outcome for the same inputs.

    Parameters
    ----------
    reports : list of pathlib.Path
        Folders to look in, in this order.
    name : str
        The notebook's name.
    fingerprint : str
        What :func:`hash_inputs` gives for it now.

    Returns
    -------
    (pathlib.Path, dict) or None
        The report and the notebook's entry in its manifest; None when it is not there, failed, or has lost or
        changed a file since.
    """
    for report in reports:
        entry = ((read_manifest(report) or {}).get("notebooks") or {}).get(name)
        if not entry or entry.get("fingerprint") != fingerprint or entry.get("status") != "ok":
            continue
        if list_files(report, name) == entry.get("files") and name in _read_results(report):
            return report, entry
    return None


def copy_earlier(report: Path, building: Path, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Copy a notebook's outcome from an earlier report.

    Parameters
    ----------
    report, building : pathlib.Path
        Folders to copy from and to.
    name : str
        The notebook's name.
    files : mapping of str to str
        Its files, as in its manifest entry.

    Returns
    -------
    dict
        Its results.
    """
    for relative in files:
        target = building / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report / relative, target)
    return _read_results(report)[name]


def _read_results(report: Path) -> dict[str, Any]:
    try:
        return json.loads((report / "results.json").read_text(encoding="utf-8"))["notebooks"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _hash_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
