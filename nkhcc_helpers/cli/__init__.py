"""The `nkhcc` command, and what its questions share; each has a file that is read when it is asked."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from nkhcc_helpers import __version__

BAD_INPUT = 2
INTERRUPTED = 130
AT_LEAST_1 = click.IntRange(min=1)
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_FILES = {
    "batch": "batch",
    "check": "trials",
    "compare": "batch",
    "compatible": "compatible",
    "init": "trials",
    "run": "running",
}


def option(*names: str, **settings: Any) -> Any:
    """An option of a command; what stands after its names is its help."""
    return click.option(*names[:-1], help=names[-1], **settings)


class _Questions(click.Group):
    """Commands that are imported when they are named; one that is interrupted meanwhile ends as any other."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_FILES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        file = _FILES.get(cmd_name)
        return getattr(import_module(f"{__name__}.{file}"), cmd_name) if file else None


@click.group(cls=_Questions, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="nkhcc")
def main() -> None:
    """Analyse a small dose-exploration trial: cohort, survival by group, Cox regression, safety.

    \b
    nkhcc run                     every notebook on the bundled trial, into reports/nkhcc
    nkhcc run --data my_trial     the same on a trial of yours
    nkhcc init my_trial           a first trial.yaml for tables that have none
    nkhcc batch my_plan.yaml      many runs: trials, notebooks and values of parameters, and one table
    nkhcc check my_trial          is it a trial that the notebooks can read?
    """


def describe_problems(error: Any, *, every: bool = False) -> str:
    """Say what is wrong with a trial's files, and what that hides."""
    lines = [error.describe() if every else str(error)]
    if any(problem.table == "trial.yaml" for problem in error.problems):
        lines.append("Some checks of the tables were not made, because trial.yaml has errors.")
    return "\n".join(lines)


def near(path: Path) -> Path:
    """The path as seen from the current folder, where it lies in it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def fail(message: str, code: int) -> NoReturn:
    """End the command with a message."""
    click.echo(message, err=True)
    raise SystemExit(code)
