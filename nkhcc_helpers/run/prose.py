"""Markdown cells as HTML: formulas typeset, terms explained where they stand, links from page to page."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from nkhcc_helpers.run.glossary import PAGE

if TYPE_CHECKING:
    from nkhcc_helpers.run.pages import Book


class PageExporter(HTMLExporter):
    """Turns the cells of a notebook into HTML.

    Its resources hold the `book` that they are a page of, and `numbers` that tell its tips apart.
    """

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """A Markdown cell as HTML; a filter of the template."""
        told, attachments = context["resources"], context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(told["book"], told["numbers"], escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)


class _Renderer(IPythonRenderer):
    def __init__(self, book: Book, numbers: Iterator[int], **options: Any) -> None:
        super().__init__(**options)
        self._book, self._numbers = book, numbers

    def inline_math(self, body: str) -> str:
        return _typeset(body, "inline")

    def block_math(self, body: str) -> str:
        return _typeset(body, "block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        path, _, anchor = url.partition("#")
        name = PurePosixPath(path)
        if name.name == PAGE:
            return self._explain(text, anchor)
        if name.suffix != ".ipynb" or ":" in path:
            return super().link(text, url, title)
        # What is not in this report cannot be reached from it.
        there = f"{name.stem}.html" + (f"#{anchor}" if anchor else "")
        return super().link(text, there, title) if name.stem in self._book.pages else text

    def _explain(self, text: str, anchor: str) -> str:
        """A term that leads to the glossary, and tells beforehand what stands there."""
        if not anchor and self._book.terms:
            return super().link(text, "glossary.html")
        if anchor not in self._book.terms:
            return text
        tip, told = f"tip-{next(self._numbers)}", html.escape(self._book.terms[anchor].text)
        link = f'<a class="term" href="glossary.html#{anchor}" aria-describedby="{tip}">{text}</a>'
        return f'{link}<span class="tip" role="tooltip" id="{tip}">{told}</span>'


def _typeset(formula: str, display: str) -> str:
    """A formula as MathML, or as it is written where that cannot be read."""
    # What is text in a formula is not escaped by the library.
    plain = formula.replace("<", r"\lt ").replace(">", r"\gt ")
    try:
        return convert(plain, display=display)
    except Exception:  # of many kinds, which have no other in common
        return f"<code>{html.escape(formula)}</code>"
