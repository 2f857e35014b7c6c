"""A report's folder: what a run writes into it, and how it is published whole or not at all.

A run builds in a folder beside the report and takes the report's place by renaming. The folder is a report of
what has finished at any time: a run that is stopped leaves it as `<report>-partial`. Locks are held on
folders: they leave no files and end with the process that holds them, however it ends.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nkhcc_helpers.report.results import (
    ILLUSTRATIVE,
    list_versions,
    write_json,
    write_whole,
)
from nkhcc_helpers.run.glossary import name_anchor
from nkhcc_helpers.run.manifest import (
    MANIFEST,
    PIECES,
    RESULTS,
    describe_code,
    describe_notebook,
    describe_provenance,
    list_files,
    list_finished,
    read_entries,
    read_manifest,
    read_piece,
    read_results,
)

if TYPE_CHECKING:
    from nkhcc_helpers.run.plan import Plan
    from nkhcc_helpers.run.run import Run

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # Windows: what killed runs left stays, and a second run into one folder is not refused.

TEMPLATES = Path(__file__).with_name("templates")
_BUILDING = ".nkhcc.building-"
WORK = ".work"


class PublishError(ValueError):
    """A report cannot be published where it was asked for."""


def write_summaries(run: Run) -> None:
    """Write `results.json`, the first page, the glossary, and last `manifest.json` of a run so far."""
    for plan in run.plans:
        run.results[plan.name] = read_piece(run.building, plan.name) or run.results.get(plan.name, {})
    metadata, provenance = run.trial.metadata, describe_provenance(run.trial)
    ordered = {plan.name: run.results[plan.name] for plan in run.plans}
    write_json(run.building / RESULTS, {"provenance": provenance, "notebooks": ordered})
    write_index(
        run.building,
        trial={**provenance, "is_illustrative": run.trial.is_illustrative, "illustrative": ILLUSTRATIVE},
        warnings=run.trial.warnings,
        published=run.published,
        notebooks=[_describe_card(run, plan) for plan in run.plans],
        left_out={read_title(plan.path): why for plan, why in run.left_out},
        n_finished=len(run.finished),
        assumptions=[item.model_dump() for item in metadata.assumptions],
        started=f"{run.started:%Y-%m-%d %H:%M} UTC",
        versions=list_versions(),
        has_glossary=bool(run.book.terms),
    )
    if run.book.terms:
        glossary = render("glossary.html.j2", terms=run.book.terms, name_anchor=name_anchor)
        write_whole(run.building / "glossary.html", glossary)
    write_json(run.building / MANIFEST, _describe_run(run))


def write_index(report: Path, **content: Any) -> Path:
    """Write the first page of a report; the template says of what, and escapes it."""
    path = report / "index.html"
    return write_whole(path, render("index.html.j2", **content))


def render(template: str, **content: Any) -> str:
    """Fill a page's template; text is escaped."""
    return _open_templates().get_template(template).render(style=_read_style(), **content)


@cache
def _open_templates() -> Environment:
    loader = FileSystemLoader(TEMPLATES)
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.filters["address"] = write_address
    return templates


def write_address(file: str | Path) -> str:
    """A file of the report, by its path in it, as a page links to it: what is more than a name is escaped."""
    return quote(Path(file).as_posix())


def embed_script(file: str) -> dict[str, Any]:
    """A script for a page's template, and the checksum by which the page's policy lets it run."""
    script = (TEMPLATES / file).read_text(encoding="utf-8")
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"script": Markup(script), "script_hash": checksum}


@cache
def _read_style() -> Markup:
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def _describe_card(run: Run, plan: Plan) -> dict[str, Any]:
    outcome, results = run.outcome(plan), run.results[plan.name]
    page, executed = f"{plan.name}.html", f"notebooks/{plan.name}.ipynb"
    return {
        "title": read_title(plan.path),
        "page": page if outcome.has_ended and (run.building / page).is_file() else "",
        "notebook": executed if outcome.has_ended and (run.building / executed).is_file() else "",
        "findings": results.get("findings", []),
        "cautions": results.get("cautions", []),
        "figure": _choose_figure(results.get("figures", {})),
        "endpoint": str(results.get("values", {}).get("endpoint_label") or ""),
        "parameters": {name: _shown(value) for name, value in plan.changed.items()},
        "seconds": outcome.seconds,
        "reused": outcome.reused,
        "error": outcome.error,
        "has_ended": outcome.has_ended,
        "cut": "cut_by_time" in results,
    }


def read_title(executed: Path) -> str:
    """First heading of a notebook, its file's name where there is none."""
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        found = re.search(r"^# +(.+?) *#*$", "".join(cell["source"]), re.MULTILINE)
        if cell["cell_type"] == "markdown" and found:
            return re.sub(r"[*_`]", "", found[1])
    return executed.stem


def _choose_figure(figures: dict[str, Any]) -> dict[str, str] | None:
    written = [figure for figure in figures.values() if figure["files"]]
    chosen = next((figure for figure in written if figure["main"]), written[0] if written else None)
    if chosen is None:
        return None
    file = next((file for file in chosen["files"] if file.endswith(".png")), chosen["files"][0])
    return {"file": file, "caption": chosen["caption"]}


def _shown(value: Any) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)) or "empty"


def _describe_run(run: Run) -> dict[str, Any]:
    entries = {}
    for plan in run.plans:
        outcome, results = run.outcome(plan), run.results[plan.name]
        entry = describe_notebook(run.building, plan, outcome, results, run.fingerprint(plan))
        entries[plan.name] = entry
    return {
        **describe_code(),
        "complete": run.is_complete,
        "started": run.started.isoformat(timespec="seconds"),
        "seconds": round((dt.datetime.now(dt.UTC) - run.started).total_seconds(), 3),
        "data": {"folder": run.data_dir or "bundled", "files": run.data},
        "notebooks": entries,
        "left_out": {plan.name: why for plan, why in run.left_out},
    }


# The outcomes of an earlier run for the same inputs.


def find_earlier(reports: list[Path], name: str, fingerprint: str) -> tuple[Path, dict[str, Any]] | None:
    """First report with a notebook's whole outcome for the same inputs, and the manifest's entry for it.

    None when it is not there, failed, or has lost or changed a file since.
    """
    for report in reports:
        entry = read_entries(report).get(name)
        if not entry or entry.get("fingerprint") != fingerprint or entry.get("status") != "ok":
            continue
        if list_files(report, name) == entry.get("files") and name in _read_recorded(report):
            return report, entry
    return None


def copy_earlier(report: Path, building: Path, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Copy a notebook's files from an earlier report, and return its results."""
    for relative in files:
        target = building / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report / relative, target)
    return _read_recorded(report)[name]


def _read_recorded(report: Path) -> dict[str, Any]:
    return read_results(report).get("notebooks", {})


# The folder.


def name_partial(out_dir: Path) -> Path:
    """Where a report stands that is not complete: a notebook failed, or the run was stopped."""
    return out_dir.with_name(f"{out_dir.name}-partial")


def open_work(building: Path) -> Path:
    """Make the folder of what only workers need while they run."""
    work = building / WORK
    work.mkdir()
    return work


def remove_work(building: Path) -> None:
    """Remove what only a run under way needs, and what it left of notebooks that have not ended.

    Pages lead to each other: in the place of one that is not there stands a page that says so.
    """
    for name in (WORK, PIECES):
        shutil.rmtree(building / name, ignore_errors=True)
    entries = read_entries(building)
    for name in entries:
        for relative in list_files(building, name).keys() - entries[name]["files"].keys():
            (building / relative).unlink()
        page = building / f"{name}.html"
        if not page.is_file():
            write_whole(page, render("missing.html.j2", name=name))


def check_target(out_dir: Path) -> None:
    """Raise PublishError unless a folder is free for a report: absent, empty, or an earlier report."""
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
    """Open an empty folder beside `out_dir`; it is gone afterwards, unless it was published.

    What a killed run left is put right first: what it had finished becomes `<out_dir>-partial`, and a report
    that it had moved aside comes back. Raises PublishError while another run has one open for `out_dir`.
    """
    parent = out_dir.parent
    parent.mkdir(parents=True, exist_ok=True)
    building = parent / f"{_BUILDING}{out_dir.name}-{os.getpid()}"
    with _lock(parent):
        _recover_killed(parent)
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
    """Put a finished folder in the place of an earlier report beside it.

    Raises PublishError when something else has come to stand there, and OSError when renaming failed; the
    earlier report is then back in its place.
    """
    with _lock(out_dir.parent):
        _replace(building, out_dir)


def _replace(building: Path, out_dir: Path) -> None:
    aside = _name_aside(out_dir)
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


def _name_aside(out_dir: Path) -> Path:
    return out_dir.with_name(f".nkhcc.aside-{out_dir.name}")


def _recover(out_dir: Path) -> None:
    aside = _name_aside(out_dir)
    if aside.exists() and not out_dir.exists():
        aside.rename(out_dir)
    shutil.rmtree(aside, ignore_errors=True)


def _refuse_second(out_dir: Path) -> None:
    """Raise when a living run builds for a folder; what killed runs left must be gone."""
    for folder in out_dir.parent.glob(f"{_BUILDING}*"):
        name, process = _read_name(folder)
        if name == out_dir.name:
            raise PublishError(
                f"another run (process {process}) is writing {out_dir}; "
                "wait until it is done, or choose another folder with --out"
            )


def _recover_killed(parent: Path) -> None:
    """Keep what killed runs had finished, unless more than that is kept already, and remove the rest."""
    for folder in parent.glob(f"{_BUILDING}*"):
        held = _hold(folder)
        if held is None:
            continue
        partial = name_partial(parent / _read_name(folder)[0])
        finished = list_finished(folder)
        if finished and len(finished) >= len(list_finished(partial)):
            with suppress(OSError, PublishError):
                remove_work(folder)
                _replace(folder, partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _read_name(building: Path) -> tuple[str, str]:
    """Name of the report that a folder is built for, and number of the process that builds it."""
    name, _, process = building.name.removeprefix(_BUILDING).rpartition("-")
    return name, process


def _hold(folder: Path, *, patiently: bool = False) -> int | None:
    """Lock a folder for as long as the descriptor returned is open; None when another process holds it."""
    if fcntl is None:  # pragma: no cover
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if patiently else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    held = _hold(folder, patiently=True)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)
