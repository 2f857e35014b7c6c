"""A report's folder, published whole or not at all.

A run builds in a folder beside the report and takes the report's place by renaming. Locks are held on
folders: they leave no files and end with the process that holds them, however it ends.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # Windows: what killed runs left stays, and a second run into one folder is not refused.

MANIFEST = "manifest.json"
_BUILDING = ".nkhcc.building-"


class PublishError(ValueError):
    """A report cannot be published where it was asked for."""


def read_manifest(folder: Path) -> dict | None:
    """Read the manifest of a report.

    Parameters
    ----------
    folder : pathlib.Path
        A report's folder, or any other.

    Returns
    -------
    dict or None
        None where there is no manifest of a report.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "nkhcc" in manifest else None


def check_target(out_dir: Path) -> None:
    """Check that a folder is free for a report.

    Parameters
    ----------
    out_dir : pathlib.Path
        Absolute path of the report's folder.

    Raises
    ------
    PublishError
        It is there and is neither empty nor an earlier report.
    """
    if not out_dir.exists() or read_manifest(out_dir) is not None:
        return
    if not out_dir.is_dir():
        raise PublishError(f"{out_dir} is a file; choose another folder with --out")
    if any(out_dir.iterdir()):
        raise PublishError(
            f"{out_dir} is not empty and holds no earlier report ({MANIFEST} of one); "
            "choose another folder with --out"
        )


@contextmanager
def open_building(out_dir: Path) -> Iterator[Path]:
    """Open a folder to build a report in; it is gone afterwards, unless it was published.

    What a killed run left is put right first: its half-made folder goes, and a report that it had moved aside
    comes back. As long as it is open, no other run can open one for the same `out_dir`.

    Parameters
    ----------
    out_dir : pathlib.Path
        Absolute path of the report's folder.

    Yields
    ------
    pathlib.Path
        An empty folder beside `out_dir`.

    Raises
    ------
    PublishError
        Another run is writing there.
    """
    parent = out_dir.parent
    parent.mkdir(parents=True, exist_ok=True)
    building = parent / f"{_BUILDING}{out_dir.name}-{os.getpid()}"
    with _lock(parent):
        _remove_stale(parent)
        _refuse_second(out_dir)
        _recover(out_dir)
        building.mkdir()
        held = _hold(building)
    try:
        yield building
    finally:
        if building.exists():
            shutil.rmtree(building, ignore_errors=True)
        if held is not None:
            os.close(held)


def publish_folder(building: Path, out_dir: Path) -> None:
    """Put a finished folder in the place of an earlier report.

    Parameters
    ----------
    building : pathlib.Path
        The finished folder; its manifest is there.
    out_dir : pathlib.Path
        Where it goes; in the same folder as `building`.

    Raises
    ------
    PublishError
        Something else than an earlier report has come to stand there.
    OSError
        Renaming failed; the earlier report is back in its place.
    """
    aside = _aside(out_dir)
    with _lock(out_dir.parent):
        _recover(out_dir)
        check_target(out_dir)
        if out_dir.exists():
            out_dir.rename(aside)
        try:
            building.rename(out_dir)
        except BaseException:
            if aside.exists():
                aside.rename(out_dir)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _aside(out_dir: Path) -> Path:
    return out_dir.with_name(f".nkhcc.aside-{out_dir.name}")


def _recover(out_dir: Path) -> None:
    aside = _aside(out_dir)
    if aside.exists() and not out_dir.exists():
        aside.rename(out_dir)
    shutil.rmtree(aside, ignore_errors=True)


def _refuse_second(out_dir: Path) -> None:
    """Raise when a living run builds for a folder; what killed runs left must be gone."""
    for folder in out_dir.parent.glob(f"{_BUILDING}*"):
        name, _, process = folder.name.removeprefix(_BUILDING).rpartition("-")
        if name == out_dir.name:
            raise PublishError(
                f"another run (process {process}) is writing {out_dir}; "
                "wait until it is done, or choose another folder with --out"
            )


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{_BUILDING}*"):
        held = _hold(folder)
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _hold(folder: Path) -> int | None:
    """Lock a folder for as long as the descriptor returned is open; None when another process holds it."""
    if fcntl is None:  # pragma: no cover
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    if fcntl is None:  # pragma: no cover
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
