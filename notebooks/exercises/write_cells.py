"""Make the cells of the exercises in the notebooks anew from the files beside this one: `make exercises`.

They come after the cell with the tag `exercise` that begins with "## Exercises", three for each: what is
asked, where an answer is checked, and the solution.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from nkhcc_helpers.exercises import CHECK, EXERCISE, SOLUTION, Exercise, read_exercises

NOTEBOOKS = Path(__file__).resolve().parent.parent


def is_heading(cell: Any) -> bool:
    """Whether the exercises begin below this cell."""
    return EXERCISE in cell.metadata.get("tags", []) and cell.source.startswith("## Exercises")


def make_cells(exercise: Exercise) -> list[Any]:
    """Cells of one exercise."""
    name = exercise.id
    asked = f"**{name}.** {exercise.question}"
    checked = f'exercises.check("{name}", ...)  # your answer in place of the dots'
    made = {
        EXERCISE: nbformat.v4.new_markdown_cell(asked),
        CHECK: nbformat.v4.new_code_cell(checked),
        SOLUTION: nbformat.v4.new_code_cell(f'exercises.solve("{name}")'),
    }
    for tag, cell in made.items():
        cell.update(id=f"{tag}-{name}", metadata={"tags": [tag]})
    return list(made.values())


def write_cells(notebook: Any, number: str) -> None:
    """Put the exercises in a notebook in the place of those that it has."""
    tags = {EXERCISE, CHECK, SOLUTION}
    kept = [
        cell for cell in notebook.cells if is_heading(cell) or not tags & {*cell.metadata.get("tags", [])}
    ]
    at = next(index for index, cell in enumerate(kept) if is_heading(cell)) + 1
    made = [cell for exercise in read_exercises(number).exercises for cell in make_cells(exercise)]
    notebook.cells = [*kept[:at], *made, *kept[at:]]


def main() -> None:
    """Write the cells of every notebook that has exercises in a file."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        number = path.stem.partition("_")[0]
        if (NOTEBOOKS / "exercises" / f"{number}.yaml").is_file():
            notebook = nbformat.read(path, as_version=4)
            write_cells(notebook, number)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
