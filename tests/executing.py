"""Notebooks executed in this very process: as papermill would parameterise them, without a kernel to start.

Warnings are errors here, as in every other test, so that a notebook that warns fails. What takes long and is
not looked at is cut short, see `SHORTER` and `_save_vectors`; runs by papermill itself have all of it.
"""

from __future__ import annotations

import atexit
import base64
import re
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

from nkhcc_helpers.run.plan import COURSE_TAGS

_FEWER = "n_free=15, n_burn_in=40, fewest_chains=40, fewest_iterations=20, fewest_round_trips=60"
_EFFORT = f"effort=compatible.Effort({_FEWER})"
SHORTER = {
    "n_trials=1000": "n_trials=50",
    "n_draws = 100_000": "n_draws = 2_000",
    "n_cohorts=400": f"n_cohorts=200, {_EFFORT}",
    "effort = compatible.Effort.within(minutes)": f"effort = compatible.Effort({_FEWER})",
}
"""Simulations in the notebooks' code that no parameter shortens, and what stands in their place here."""

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
CLEARED = "\033[2K\r"  # what stands for a line cleared, where there is no page to clear it on


@dataclass
class Executed:
    """What an executed notebook showed.

    Attributes
    ----------
    html : list of str
        HTML of each output that has any, in order.
    printed : str
        What was written to standard output and standard error.
    """

    html: list[str] = field(default_factory=list)
    printed: str = ""


@contextmanager
def _save_vectors():
    """Figures are drawn as SVG, of which tests read the texts, and as PNG, of which they do not: a pixel."""
    save = Figure.savefig

    def savefig(figure, file, **options):
        if options.get("format") == "png":
            file.write(PIXEL)
        else:
            save(figure, file, **options)

    Figure.savefig = savefig
    try:
        yield
    finally:
        Figure.savefig = save


@contextmanager
def open_shell():
    """A shell of its own for each notebook; none is left for other tests to print into."""
    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config, user_module=types.ModuleType("executed_notebook"))
    try:
        with mpl.rc_context({"backend": "Agg"}), _save_vectors():
            yield shell
    finally:
        atexit.unregister(shell.atexit_operations)
        shell.atexit_operations()
        InteractiveShell.clear_instance()


def execute_here(path: Path, **parameters: Any) -> Executed:
    """Execute a notebook cell by cell; an error in a cell is raised."""
    notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
    executed = Executed()
    with open_shell() as shell:
        for cell in notebook.cells:
            # The exercises have tests of their own.
            if cell.cell_type == "code" and not {*COURSE_TAGS} & {*cell.metadata.get("tags", [])}:
                with capture_output() as captured:
                    result = shell.run_cell(cut_short(cell.source), store_history=True)
                result.raise_error()
                executed.printed += (captured.stdout + captured.stderr).replace(CLEARED, "")
                shown = [output.data for output in captured.outputs]
                executed.html += [data["text/html"] for data in shown if "text/html" in data]
    return executed


def cut_short(source: str) -> str:
    """Code of a notebook with what `SHORTER` puts in the place of its simulations."""
    for long, short in SHORTER.items():
        source = source.replace(long, short)
    return source


def read_visible(html: str) -> str:
    """What a reader sees of HTML: neither tags, nor styles, nor images but what stands for them."""
    html = re.sub(r"<style\b.*?</style>", " ", html, flags=re.DOTALL)
    alternatives = " ".join(re.findall(r'\balt="([^"]*)"', html))
    return re.sub(r"<[^>]*>", " ", html) + " " + alternatives
