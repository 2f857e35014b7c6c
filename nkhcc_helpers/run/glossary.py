"""The glossary: terms in `glossary.yaml` beside the notebooks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from nkhcc_helpers.run.plan import locate_notebooks

GLOSSARY = "glossary.yaml"
PAGE = "glossary.md"  # made from it, for JupyterLab


@dataclass(frozen=True)
class Term:
    """A term, what it means, and which other terms to see."""

    term: str
    text: str
    see: tuple[str, ...] = ()


def name_anchor(term: str) -> str:
    """The name under which a link finds a term: as in `glossary.md#log-rank-test`."""
    return re.sub(r"[^a-z0-9-]", "", term.lower().replace(" ", "-"))


def read_glossary(folder: Path | None = None) -> dict[str, Term]:
    """Terms by anchor, in the order of the alphabet; none where the notebooks have no glossary."""
    path = (folder or locate_notebooks()) / GLOSSARY
    rows = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else []
    terms = [Term(row["term"], row["text"].strip(), tuple(row.get("see", ()))) for row in rows]
    return {name_anchor(each.term): each for each in sorted(terms, key=lambda each: each.term.casefold())}
