"""One notebook executed by papermill and turned into a page."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nkhcc_helpers.report import write_page
from nkhcc_helpers.results import NOTEBOOK_VARIABLE

_LONGEST_MESSAGE = 400
_LINES_OF_MESSAGE = 3
_ATTEMPTS = 2


@dataclass(frozen=True)
class Job:
    """One notebook to execute.

    Attributes
    ----------
    name : str
        Name in the report.
    notebook : str
        Path of the notebook.
    parameters : dict
        Values to inject.
    report : str
        Folder being built; gets `notebooks/<name>.ipynb` and `<name>.html`.
    heading : dict
        What stands at the head of the page; see `report.write_page`.
    """

    name: str
    notebook: str
    parameters: dict[str, Any]
    report: str
    heading: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook.

    Attributes
    ----------
    name : str
        Name in the report.
    seconds : float
        Time it took, its page included.
    error : str
        Cell, error and message when it failed; empty when it did not.
    reused : bool
        Whether it was taken over from an earlier run.
    """

    name: str
    seconds: float
    error: str = ""
    reused: bool = False


def execute_job(job: Job) -> Outcome:
    """Execute a notebook in a kernel of its own, and write its page as far as it came.

    Parameters
    ----------
    job : Job
        What to execute.

    Returns
    -------
    Outcome
        With an error instead of an exception when anything fails.
    """
    started = time.perf_counter()
    executed = Path(job.report, "notebooks", f"{job.name}.ipynb")
    executed.parent.mkdir(exist_ok=True)
    error = _execute_notebook(job, executed)
    if executed.is_file():
        try:
            write_page(executed, Path(job.report, f"{job.name}.html"), **job.heading)
        except Exception as failure:
            error = error or f"its page could not be made: {_shorten(type(failure).__name__, str(failure))}"
    return Outcome(job.name, time.perf_counter() - started, error)


def _execute_notebook(job: Job, executed: Path) -> str:
    import papermill

    os.environ[NOTEBOOK_VARIABLE] = job.name
    try:
        _call_papermill(job, executed)
    except papermill.PapermillExecutionError as failure:
        place = f"cell {_place(executed, failure.cell_index)} (In [{failure.exec_count}])"
        return f"{place}: {_shorten(failure.ename, failure.evalue)}"
    except Exception as failure:
        started = _find_last_started(executed)
        place = "" if started is None else f"cell {_place(executed, started)}: "
        return f"{place}{_shorten(type(failure).__name__, str(failure))}"
    finally:
        del os.environ[NOTEBOOK_VARIABLE]
        _forget_paths(executed, job)
    return ""


def _call_papermill(job: Job, executed: Path) -> None:
    import papermill

    options = {"kernel_name": "python3", "progress_bar": False, "shutdown_kernel": "immediate"}
    for attempt in range(_ATTEMPTS):
        try:
            papermill.execute_notebook(
                _verbatim(job.notebook),
                _verbatim(executed),
                parameters=job.parameters,
                cwd=str(executed.parent),
                **options,
            )
            return
        except RuntimeError as failure:
            # Two kernels that start at once can be given one port; the one that finds it taken ends.
            if "before replying" not in str(failure) or attempt + 1 == _ATTEMPTS:
                raise


def _verbatim(path: str | Path) -> str:
    """Papermill fills what stands in braces in a path with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _place(executed: Path, index: int) -> int:
    """Place of a cell among those of the notebook as written; papermill counts the one it injected too."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    tags = [each for each in tags if "papermill-error-cell-tag" not in each]
    return index + 1 - sum("injected-parameters" in each for each in tags[:index])


def _find_last_started(executed: Path) -> int | None:
    """Find the cell that papermill was at when it was left without an answer."""
    if not executed.is_file():
        return None
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    started = [cell["metadata"].get("papermill", {}).get("status", "pending") != "pending" for cell in cells]
    return max((index for index, was in enumerate(started) if was), default=None)


def _shorten(name: str, message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()][:_LINES_OF_MESSAGE]
    text = "\n".join(lines)[:_LONGEST_MESSAGE]
    # A message may quote data; what is not printable could steer the terminal.
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in f"{name}: {text}")


def _forget_paths(executed: Path, job: Job) -> None:
    """Leave names in the notebook's metadata where papermill wrote paths into a folder that will be gone."""
    if not executed.is_file():
        return
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    notebook["metadata"].get("papermill", {}).update(
        input_path=Path(job.notebook).name, output_path=executed.name
    )
    executed.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
