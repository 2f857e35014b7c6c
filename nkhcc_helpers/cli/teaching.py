"""`nkhcc teach`: the notebooks for a course."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import nbformat

from nkhcc_helpers.cli import BAD_INPUT, fail, near, option
from nkhcc_helpers.run.plan import SOLUTION, locate_notebooks


@click.command(short_help="Write the notebooks for a course.")
@option("--out", "out_dir", "A new folder.", metavar="DIR", type=click.Path(path_type=Path), required=True)
def teach(*, out_dir: Path) -> None:
    """Write copies of the notebooks for a course, on the bundled trial.

    \b
    DIR/student    without solutions; the exercises check answers all the same
    DIR/teacher    with them

    Exit code: 0 when they were written, 2 when the folder is there already.
    """
    if out_dir.exists():
        fail(f"{out_dir} is there already; choose another folder with --out", BAD_INPUT)
    for path in sorted(locate_notebooks().glob("*.*")):
        for folder in (out_dir / "student", out_dir / "teacher"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)
    for path in (out_dir / "student").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if SOLUTION not in cell.metadata.get("tags", [])]
        nbformat.write(notebook, path)
    click.echo(f"Wrote {near(out_dir / 'student')} and {near(out_dir / 'teacher')}")
