"""Notebooks made for the tests: small, and quick to execute."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """endpoint: str = "PFS"  # endpoint to analyse (PARAMCD)
landmarks: list = [6, 12]  # times, in display units
n_draws: int = 1000  # number of draws
conf_level: float = 0.95  # confidence level
show_all: bool = False  # whether to show everything
data_dir: str = ""  # folder of the trial
out_dir: str = ""  # folder to write into"""

PAGED = """import matplotlib.pyplot as plt
import pandas as pd
from great_tables import GT

from nkhcc_helpers.report import open_page
from nkhcc_helpers.trial import load_trial

trial = load_trial(data_dir)
page = open_page(trial, "of_another_name", out_dir)
page.show_banner()
page.say("{n} subjects; median {median:.1f} of {label}.", n=len(trial.subjects), median=float("inf"),
         label=trial.endpoint_labels[endpoint])
frame = pd.DataFrame({"text": ["=1+1", "<img src=x onerror=alert(1)>"], "number": [1.5, float("nan")]})
page.show_table(GT(frame), "texts", data=frame)
page.show_figure(plt.subplots()[1], "first", caption="first")
page.show_figure(plt.subplots()[1], "second", caption=f"{trial.metadata.title} =1+1", main=True)
page.finish()"""


def prose(text: str):
    """Markdown cell."""
    return new_markdown_cell(text)


def code(source: str, *tags: str):
    """Code cell."""
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def write_notebook(path: Path, *cells, parameters: str = PARAMETERS) -> Path:
    """Write a notebook with a heading, a parameters cell unless that is empty, and other cells."""
    first = [prose(f"# About {path.stem}")]
    first += [code(parameters, "parameters")] if parameters else []
    language = {
        "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[*first, *cells], metadata=language), str(path))
    return path


def check_parameters_cell(path: Path) -> list[str]:
    """What is wrong with a parameters cell by the house rules and by papermill's own reading."""
    from papermill import inspect_notebook

    from nkhcc_helpers.run.parameters import TAG, read_parameters

    cells = [cell for cell in nbformat.read(str(path), as_version=4).cells if cell.cell_type == "code"]
    tagged = [TAG in cell.metadata.get("tags", []) for cell in cells]
    if not any(tagged):
        return [f"no cell is tagged {TAG!r}"]
    parameters = read_parameters(path)
    problems = [] if tagged[0] else [f"the cell tagged {TAG!r} must be the first code cell"]
    problems += [
        f"{name}: no comment says what it is for" for name, item in parameters.items() if not item.help
    ]
    seen = inspect_notebook(str(path).replace("{", "{{").replace("}", "}}"))
    for name, item in parameters.items():
        found = seen.get(name)
        if found is None or found["inferred_type_name"] != item.kind:
            problems.append(f"{name}: papermill does not see it as {item.kind}")
        elif not _is_literal(found["default"], item.default) or found["help"] != item.help:
            problems.append(f"{name}: papermill cuts its value or its help short; avoid = and # in both")
    return problems


def _is_literal(text: str, value: object) -> bool:
    try:
        return ast.literal_eval(text) == value
    except (SyntaxError, ValueError):
        return False
