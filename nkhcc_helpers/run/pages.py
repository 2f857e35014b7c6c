"""The page of an executed notebook, as HTML."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nkhcc_helpers.report.results import ILLUSTRATIVE
from nkhcc_helpers.run.glossary import Term
from nkhcc_helpers.run.plan import CHECK, COURSE_TAGS, SOLUTION
from nkhcc_helpers.run.publish import TEMPLATES, embed_script, render, write_address

_HEADING = re.compile(r'<h([1-6]) id="([^"]*)"[^>]*>(.*?)</h\1>', re.DOTALL)
_ANCHOR = re.compile(r'<a class="anchor-link".*?</a>', re.DOTALL)
_MARKUP = re.compile(r"[*_`\[]|\]\([^)]*\)")


@dataclass(frozen=True)
class Book:
    """What the pages of one report know of each other: their titles in order, and terms by anchor."""

    pages: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, Term] = field(default_factory=dict)

    def neighbours(self, name: str) -> tuple[str, str]:
        """Names of the pages before and after one; empty where there is none."""
        names = ["", *self.pages, ""]
        at = names.index(name) if name in self.pages else 0
        return (names[at - 1], names[at + 1]) if at else ("", "")


def write_page(
    executed: Path,
    page: Path,
    *,
    trial_title: str = "",
    is_illustrative: bool = False,
    word: str = "dose",
    has_notebook: bool = True,
    is_lesson: bool = False,
    run: str = "",
    book: Book = Book(),
) -> Path:
    """Write the page of an executed notebook in the report's folder `notebooks`.

    The trial's title at its head is escaped; an illustrative one shows no patients; a treatment is a `word`.
    The executed notebook is among the page's files where it stays in the report as it is. Of a batch, it says
    which `run` it is of; of a report, it leads to the pages beside it in the `book`. A lesson, of the bundled
    trial, shows exercises, but no cells to check answers in.
    """
    import nbformat
    from pygments.formatters import HtmlFormatter

    notebook = nbformat.read(str(executed), as_version=4)
    without = {CHECK} if is_lesson else {*COURSE_TAGS}
    notebook.cells = [cell for cell in notebook.cells if without.isdisjoint(cell.metadata.get("tags", []))]
    for cell in notebook.cells:  # the code of a solution stands in what it shows
        cell.source = "" if SOLUTION in cell.metadata.get("tags", []) else cell.source
    _link_figures(notebook, page.parent, page.stem)
    _name_sections(notebook)
    told = {"book": book, "numbers": itertools.count(1)}
    body, _ = load_exporter().from_notebook_node(notebook, told)
    headings = [
        (int(level), Markup(anchor), Markup(_ANCHOR.sub("", text)).striptags())
        for level, anchor, text in _HEADING.findall(body)
    ]
    text = render(
        "page.html.j2",
        title=next((text for level, _, text in headings if level == 1), page.stem),
        code_style=Markup(HtmlFormatter(style="xcode").get_style_defs(".highlight")),
        run=run,
        trial_title=trial_title,
        is_illustrative=is_illustrative,
        illustrative=ILLUSTRATIVE,
        headings=[(anchor, text) for level, anchor, text in headings if level == 2],
        body=Markup(body),
        neighbours=book.neighbours(page.stem),
        book=book,
        **embed_script("page.js"),
        notebook=f"notebooks/{executed.name}" if has_notebook else "",
        downloads=list_downloads(page.parent, page.stem, word),
    )
    page.write_text(text, encoding="utf-8")
    return page


def _link_figures(notebook: Any, report: Path, name: str) -> None:
    """Note beside each figure the file that holds the same picture."""
    files = (report / "figures" / name).glob("*.png")
    written = {base64.b64encode(path.read_bytes()).decode("ascii"): path for path in files}
    for output in [output for cell in notebook.cells for output in cell.get("outputs", [])]:
        picture = "".join(output.get("data", {}).get("image/png", "").split())
        if picture and picture in written:
            output.metadata["nkhcc_file"] = write_address(written[picture].relative_to(report))


def _name_sections(notebook: Any) -> None:
    """Note on each code cell the heading that it stands under."""
    section = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            section = [section, *re.findall(r"^#+ +(.+?) *#*$", cell.source, re.MULTILINE)][-1]
        else:
            cell.metadata["nkhcc_section"] = _MARKUP.sub("", section)


@cache
def load_exporter() -> Any:
    """Load what turns the cells of a notebook into HTML; slow the first time."""
    from nkhcc_helpers.run.prose import PageExporter

    return PageExporter(extra_template_basedirs=[str(TEMPLATES)], template_name="cells")


def list_downloads(
    report: Path, name: str, word: str = "infusion"
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Figures and tables that a notebook wrote, each with the kind and path of its files.

    Where a file is named after infusions, the reader sees the trial's own `word` for one.
    """
    downloads: dict[str, list[tuple[str, str]]] = {}
    for kind, label in (("figures", "Figure"), ("tables", "Table")):
        for path in sorted((report / kind / name).glob("*.*")):
            named = path.stem.replace("_", " ").replace("infusion", word)
            files = downloads.setdefault(f"{label} {named}", [])
            files.append((path.suffix[1:].upper(), path.relative_to(report).as_posix()))
    return list(downloads.items())
