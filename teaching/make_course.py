"""Make what a teacher needs of a report, `make teaching`: answers of the exercises, computed, and slides."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import SlidesExporter

from nkhcc_helpers.exercises import read_exercises, solve
from nkhcc_helpers.run.plan import CHECK, EXERCISE, SOLUTION


def describe_answers() -> str:
    """Write what is to come out of each exercise, why, and common errors, in Markdown."""
    parts = ["# Answers"]
    for name, exercise in read_exercises().items():
        solution = solve(name)
        parts += [f"## {name}", exercise.question, solution.describe(), f"Hint: {exercise.hint}"]
        slips = [f"- {exercise.show(value)}: {slip.said}" for slip, value in solution.list_slips()]
        parts += ["Common errors:", "\n".join(slips)] if slips else []
    return "\n\n".join(parts) + "\n"


def lay_out(cells: list[Any]) -> Iterator[Any]:
    """Yield the cells of slides: for each heading and exercise one, other prose as the speaker's notes."""
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = {}
        if cell.cell_type == "code" and CHECK not in tags:
            yield place(cell, "fragment" if SOLUTION in tags else "-")
        elif EXERCISE in tags and not cell.source.startswith("#"):
            yield place(cell, "slide")
        elif cell.cell_type == "markdown":
            yield from split(cell.source)


def split(source: str) -> Iterator[Any]:
    """Yield a slide for each heading of a text, and what stands below it as notes."""
    prose: list[str] = []
    for line in [*source.splitlines(), "# "]:
        if line.startswith(("# ", "## ")):
            if text := "\n".join(prose).strip():
                yield place(nbformat.v4.new_markdown_cell(text), "notes")
            prose = []
            if line != "# ":
                yield place(nbformat.v4.new_markdown_cell(line), "slide")
        else:
            prose.append(line)


def place(cell: Any, kind: str) -> Any:
    """Say where on the slides a cell stands."""
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def make_slides(executed: Path) -> str:
    """Return the slides of an executed notebook, as HTML."""
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells = list(lay_out(notebook.cells))
    exporter = SlidesExporter(exclude_input=True, exclude_output_prompt=True, reveal_scroll=True)
    return exporter.from_notebook_node(notebook, resources={"metadata": {"name": executed.stem}})[0]


def main(report: str, out_dir: str) -> None:
    """Write `answers.md` and `slides` of a report into a folder."""
    folder = Path(out_dir)
    (folder / "slides").mkdir(parents=True, exist_ok=True)
    (folder / "answers.md").write_text(describe_answers(), encoding="utf-8")
    for executed in sorted(Path(report, "notebooks").glob("*.ipynb")):
        (folder / "slides" / f"{executed.stem}.html").write_text(make_slides(executed), encoding="utf-8")
    print(f"Wrote {folder / 'answers.md'} and {folder / 'slides'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
