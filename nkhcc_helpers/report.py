"""A report's HTML: a page from each executed notebook, and the first page that leads to them.

Pages stand alone: they fetch nothing, run no script, and forbid the browser both.
"""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nkhcc_helpers.results import ILLUSTRATIVE

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
