"""A report's folder, published whole or not at all.

A run builds in a folder beside the report and takes the report's place by renaming. Locks are held on
folders: they leave no files and end with the process that holds them, however it ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nkhcc_helpers.report.results import ILLUSTRATIVE, list_versions

_TEMPLATES = Path(__file__).with_name("templates")
_HEADING = re.compile(r'<h([1-6]) id="([^"]*)"[^>]*>(.*?)</h\1>', re.DOTALL)
_ANCHOR = re.compile(r'<a class="anchor-link".*?</a>', re.DOTALL)


def write_page(executed: Path, page: Path, *, trial_title: str = "", is_illustrative: bool = False) -> Path:
    """Write the page of an executed notebook.

    Parameters
    ----------
    executed : pathlib.Path
        The executed notebook, ``notebooks/<name>.ipynb`` of a report.
    page : pathlib.Path
        The page, ``<name>.html`` of the same report.
    trial_title : str
        Shown at the head; escaped.
    is_illustrative : bool
        Whether the page must say that it shows no patients.

    Returns
    -------
    pathlib.Path
        The page.
    """
    import nbformat

    notebook = nbformat.read(str(executed), as_version=4)
    _link_figures(notebook, page.parent, page.stem)
    body, _ = load_exporter().from_notebook_node(notebook)
    headings = [(int(level), anchor, _plain_text(text)) for level, anchor, text in _HEADING.findall(body)]
    titles = [text for level, _, text in headings if level == 1]
    page.write_text(
        _environment()
        .get_template("page.html.j2")
        .render(
            title=titles[0] if titles else page.stem,
            style=_style() + _code_style(),
            trial_title=trial_title,
            is_illustrative=is_illustrative,
            illustrative=ILLUSTRATIVE,
            headings=[(anchor, text) for level, anchor, text in headings if level == 2],
            body=Markup(body),
            notebook=f"notebooks/{executed.name}",
            downloads=list_downloads(page.parent, page.stem),
        ),
        encoding="utf-8",
    )
    return page


def list_downloads(report: Path, name: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """List the files that a notebook wrote, by figure and table.

    Parameters
    ----------
    report : pathlib.Path
        The report's folder.
    name : str
        The notebook's name.

    Returns
    -------
    list of (str, list of (str, str))
        What it is, and the kind and relative address of each of its files.
    """
    downloads: dict[str, list[tuple[str, str]]] = {}
    for kind, label in (("figures", "Figure"), ("tables", "Table")):
        for path in sorted((report / kind / name).glob("*.*")):
            files = downloads.setdefault(f"{label} {path.stem.replace('_', ' ')}", [])
            files.append((path.suffix[1:].upper(), path.relative_to(report).as_posix()))
    return list(downloads.items())


def read_title(executed: Path) -> str:
    """Read the first heading of a notebook, its file's name where there is none."""
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        found = re.search(r"^# +(.+?) *#*$", "".join(cell["source"]), re.MULTILINE)
        if cell["cell_type"] == "markdown" and found:
            return re.sub(r"[*_`]", "", found[1])
    return executed.stem


def write_index(report: Path, **content: Any) -> Path:
    """Write the first page of a report.

    Parameters
    ----------
    report : pathlib.Path
        The report's folder.
    **content : object
        `trial`, `published`, `notebooks`, `assumptions`, `versions`, `warnings`, `started`; text is escaped.

    Returns
    -------
    pathlib.Path
        ``index.html``.
    """
    path = report / "index.html"
    text = _environment().get_template("index.html.j2").render(style=_style(), **content)
    path.write_text(text, encoding="utf-8")
    return path


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def _style() -> Markup:
    return Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))


@cache
def _code_style() -> Markup:
    from pygments.formatters import HtmlFormatter

    return Markup(HtmlFormatter(style="xcode").get_style_defs(".highlight"))


@cache
def load_exporter() -> Any:
    """Load what turns the cells of a notebook into HTML; slow the first time."""
    from nbconvert import HTMLExporter

    return HTMLExporter(extra_template_basedirs=[str(_TEMPLATES)], template_name="cells")


def _link_figures(notebook: Any, report: Path, name: str) -> None:
    """Note beside each figure the file that holds the same picture."""
    files = (report / "figures" / name).glob("*.png")
    written = {base64.b64encode(path.read_bytes()).decode("ascii"): path for path in files}
    for output in [output for cell in notebook.cells for output in cell.get("outputs", [])]:
        picture = "".join(output.get("data", {}).get("image/png", "").split())
        if picture and picture in written:
            output.metadata["nkhcc_file"] = quote(written[picture].relative_to(report).as_posix())


def _plain_text(markup: str) -> str:
    return Markup(_ANCHOR.sub("", markup)).striptags()


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


_PACKAGE = Path(__file__).resolve().parent.parent
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
