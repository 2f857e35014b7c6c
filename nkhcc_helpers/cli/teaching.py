"""`nkhcc teach`: the notebooks for a course."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import nbformat

from nkhcc_helpers.cli import BAD_INPUT, fail, near, option
from nkhcc_helpers.exercises import read_exercises, solve
from nkhcc_helpers.run.plan import COURSE_TAGS, locate_notebooks


@click.command(short_help="Write the notebooks for a course.")
@option("--out", "out_dir", "A new folder.", metavar="DIR", type=click.Path(path_type=Path), required=True)
def teach(*, out_dir: Path) -> None:
    """Write copies of the notebooks for a course.

    \b
    DIR/student    notebooks without solutions; their exercises check answers all the same
    DIR/teacher    notebooks with them, and answers.md: what is to come out, computed, and common errors

    Exit code: 0 when they were written, 2 when the folder is there already.
    """
    if out_dir.exists():
        fail(f"{out_dir} is there already; choose another folder with --out", BAD_INPUT)
    for name in ("student", "teacher"):
        (out_dir / name).mkdir(parents=True)
    for path in sorted(locate_notebooks().glob("*.*")):
        shutil.copy(path, out_dir / "teacher")
        shutil.copy(path, out_dir / "student")
        if path.suffix == ".ipynb":
            _remove_solutions(out_dir / "student" / path.name)
    (out_dir / "teacher" / "answers.md").write_text(_describe_answers(), encoding="utf-8")
    click.echo(f"Wrote {near(out_dir / 'student')} and {near(out_dir / 'teacher')}")


def _remove_solutions(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [each for each in notebook.cells if COURSE_TAGS[-1] not in each.metadata.get("tags", [])]
    nbformat.write(notebook, path)


def _describe_answers() -> str:
    parts = ["# Answers"]
    for name, exercise in read_exercises().items():
        solution = solve(name)
        parts += [f"## {name}", exercise.question, solution.describe(), f"Hint: {exercise.hint}"]
        slips = [f"- {exercise.show(value)}: {slip.said}" for slip, value in solution.list_slips()]
        parts += ["Common errors:", "\n".join(slips)] if slips else []
    return "\n\n".join(parts) + "\n"
