"""Make the cells of the exercises in the notebooks anew from the files beside this one: `make exercises`.

They come after the cell with the tag `exercise` that begins with "## Exercises", three for each: what is
asked, where an answer is checked, and the solution.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from nkhcc_helpers.exercises import Exercise, read_exercises
from nkhcc_helpers.run.plan import COURSE_TAGS, EXERCISE

NOTEBOOKS = Path(__file__).resolve().parent.parent


def is_heading(cell: Any) -> bool:
    """Whether the exercises begin below this cell."""
    return EXERCISE in cell.metadata.get("tags", []) and cell.source.startswith("## Exercises")


def make_cells(exercise: Exercise) -> list[Any]:
    """Cells of one exercise."""
    name = exercise.id
    made = [
        nbformat.v4.new_markdown_cell(f"**{name}.** {exercise.question}"),
        nbformat.v4.new_code_cell(f'exercises.check("{name}", ...)  # your answer in place of the dots'),
        nbformat.v4.new_code_cell(f'exercises.solve("{name}")'),
    ]
    for tag, cell in zip(COURSE_TAGS, made, strict=True):
        cell.update(id=f"{tag}-{name}", metadata={"tags": [tag]})
    return made


def write_cells(notebook: Any, exercises: list[Exercise]) -> None:
    """Put exercises in a notebook in the place of those that it has."""
    tags = set(COURSE_TAGS)
    kept = [
        cell for cell in notebook.cells if is_heading(cell) or tags.isdisjoint(cell.metadata.get("tags", []))
    ]
    at = next(index for index, cell in enumerate(kept) if is_heading(cell)) + 1
    made = [cell for exercise in exercises for cell in make_cells(exercise)]
    notebook.cells = [*kept[:at], *made, *kept[at:]]


def list_exercises(path: Path) -> list[Exercise]:
    """List the exercises of a notebook, by what stands before the first underscore of its name."""
    number = path.stem.partition("_")[0]
    return [each for name, each in read_exercises().items() if name.rpartition("-")[0] == number]


def main() -> None:
    """Write the cells of every notebook that has exercises in a file."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if exercises := list_exercises(path):
            notebook = nbformat.read(path, as_version=4)
            write_cells(notebook, exercises)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
