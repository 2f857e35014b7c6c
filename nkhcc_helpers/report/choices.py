"""What parameters can be, and where a notebook stops: shown where somebody can change them."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping

from IPython.display import HTML, Javascript, display

from nkhcc_helpers.report.page import _NO_MATH
from nkhcc_helpers.report.results import NOTEBOOK_VARIABLE

# JupyterLab goes to the last cell of all that are to run, and does so once they have stopped.
_COME_HERE = "setTimeout(() => element.closest('.jp-Cell')?.scrollIntoView({block: 'center'}), 300)"


def show_choices(choices: Mapping[str, Iterable[str]]) -> None:
    """Show the codes of a trial by parameter, folded; nothing in a run of `nkhcc run`, which nobody edits."""
    if not choices or NOTEBOOK_VARIABLE in os.environ:
        return
    lines = {name: html.escape(", ".join(known) or "none") for name, known in choices.items()}
    items = "".join(f"<li><code>{name}</code>: {line}</li>" for name, line in lines.items())
    summary = "<summary>Codes that parameters can be in this trial</summary>"
    display(HTML(f'<details class="{_NO_MATH}">{summary}<ul>{items}</ul></details>'))


def bring_into_view() -> None:
    """Have JupyterLab show the cell that is executed, and not the last one."""
    if NOTEBOOK_VARIABLE not in os.environ:
        display(Javascript(_COME_HERE))
