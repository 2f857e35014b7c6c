"""The box at the top of a page: what it finds, what may not be concluded from it, and its main figure."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass, field
from typing import Literal

from nkhcc_helpers.report.sentences import strip_tags

Kind = Literal["findings", "cautions"]
HEADINGS: dict[Kind, str] = {"findings": "What this page finds", "cautions": "What may not be concluded"}
_BOX = "color:#1f2937;background:#f0fdf4;border-left:4px solid #15803d;padding:.5em 1em;margin:.5em 0;"
_BOX += "display:flex;flex-wrap:wrap;gap:0 1.5em"
_LINK = "color:#1d4ed8"


@dataclass
class Findings:
    """Sentences of a page's box, in order.

    Each stands under what it was made from: a cell that is run again replaces what it said before.
    """

    said: dict[Kind, dict[tuple, str]] = field(default_factory=lambda: {kind: {} for kind in HEADINGS})
    picture: str = ""

    def add(self, kind: Kind, made_from: tuple, sentence: str) -> None:
        """Add a sentence, or take away what was said before where there is none now."""
        if sentence:
            self.said[kind][made_from] = sentence
        else:
            self.said[kind].pop(made_from, None)

    def list_texts(self, kind: Kind) -> list[str]:
        """Sentences as plain text."""
        return [strip_tags(sentence) for sentence in self.said[kind].values()]

    def set_picture(self, name: str, caption: str, png: bytes) -> None:
        """Take a small picture of the main figure, which leads to its place on the page."""
        source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
        image = f'<img src="{source}" alt="{html.escape(caption)}" style="width:100%;height:auto">'
        link = f'<a href="#{name_place(name)}" style="{_LINK}">{image}<br>To the figure</a>'
        self.picture = f'<p class="nkhcc-key" style="flex:0 1 16em">{link}</p>'

    def write(self, classes: str) -> tuple[str, str]:
        """The box as HTML and as plain text; both empty where nothing was found."""
        if not self.said["findings"]:
            return "", ""
        sentences, lines = "", []
        for kind, heading in HEADINGS.items():
            if said := self.said[kind].values():
                items = "".join(f"<li>{sentence}</li>" for sentence in said)
                sentences += f"<p><b>{heading}</b></p><ul>{items}</ul>"
                lines += [f"{heading}:", *(f"- {text}" for text in self.list_texts(kind))]
        body = f'<div style="flex:1 1 20em">{sentences}</div>{self.picture}'
        attributes = f'class="nkhcc-findings {classes}" aria-label="Findings" style="{_BOX}"'
        return f"<section {attributes}>{body}</section>", "\n".join(lines)


def name_place(figure: str) -> str:
    """The name under which a link finds a figure on its page."""
    return f"figure-{figure}"
