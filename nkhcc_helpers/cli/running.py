"""`nkhcc run`: notebooks executed on a trial."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from nkhcc_helpers.cli import AT_LEAST_1, BAD_INPUT, INTERRUPTED, describe_problems, fail, near, option
from nkhcc_helpers.cli.progress import Progress

_RESUME = "the same command with --resume executes what is missing"


@click.command(short_help="Execute notebooks on a trial and write the report.")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@option("--data", "data_dir", "The trial's folder; the bundled trial by default.", metavar="DIR", default="")
@option(
    *("-p", "--parameter", "given"),
    "Value of a notebook parameter; may be repeated. It goes to the notebooks that have the parameter.",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
)
@option(
    *("--out", "out_dir"),
    "The report's folder; reports/<data folder> by default, or reports/<data folder>-02 for notebook 02 "
    "alone. An earlier report there is replaced whole.",
    metavar="DIR",
    default="",
)
@option("--jobs", "Notebooks executed at a time; the cores by default.", metavar="N", type=AT_LEAST_1)
@option("--resume", "Take over notebooks whose inputs have not changed since an earlier run.", is_flag=True)
@option("--parameters", "describe", "List the parameters of the notebooks, and run nothing.", is_flag=True)
def run(notebooks: tuple[str, ...], *, describe: bool, **options: Any) -> None:
    """Execute notebooks on a trial and write the report.

    NOTEBOOK is a name (02_survival_by_group), the start of one (02), or the path of any .ipynb file; every
    notebook of the project by default, but 05 only where the trial has a published.yaml.

    \b
    nkhcc run 02 -p endpoint OS
    nkhcc run 02 -p landmarks '[6, 12]' --out reports/landmarks
    nkhcc run --data my_trial --jobs 4

    The report replaces an earlier one in the same folder, whole or not at all. A run of some notebooks
    leaves the report of all of them alone: it goes into a folder of its own, reports/<data folder>-02 or the
    like, unless --out says otherwise. A run of all notebooks with -p replaces the report of all.

    When a notebook fails the others finish. Then, and when a run is interrupted, the earlier report stays
    as it is, and what did run is kept in <folder>-partial until the same command with --resume has executed
    what is missing; of a run that was killed, the next run puts it there. One run at a time writes into a
    folder; a second one is refused.

    Exit code: 0 when every notebook ran, 1 when one failed, 2 when the trial, a parameter's name or value,
    or a folder is not as it must be (nothing is run then).
    """
    from nkhcc_helpers.parallel import prepare_notebooks

    if not describe:
        prepare_notebooks()  # while this process does imports of its own
    from nkhcc_helpers.run import NotebookError, ParameterError, PublishError, plan_run
    from nkhcc_helpers.run.parameters import format_parameters
    from nkhcc_helpers.trial import TrialDataError

    try:
        if describe:
            click.echo(format_parameters({plan.name: plan.known for plan in plan_run(notebooks)}))
            return
        _run(notebooks, **options)
    except TrialDataError as error:
        fail(describe_problems(error), BAD_INPUT)
    except (NotebookError, ParameterError, PublishError) as error:
        fail(str(error), BAD_INPUT)
    except OSError as error:
        fail("\n".join([f"the report cannot be written: {error}", *_describe_kept(error)]), 1)


def _run(notebooks: tuple[str, ...], **options: Any) -> None:
    from nkhcc_helpers.parallel import interruptible
    from nkhcc_helpers.run.run import run_notebooks

    progress = Progress()
    try:
        with closing(progress), interruptible():
            told = {"on_outcome": lambda outcome: progress.step(_describe_outcome(outcome))}
            told |= {"on_start": progress.start, "on_progress": progress.tell}
            result = run_notebooks(notebooks, **told, **options)
    except KeyboardInterrupt as stop:
        kept = _describe_kept(stop) or ["no notebook had finished"]
        fail("\n".join(["interrupted; an earlier report was not touched", *kept]), INTERRUPTED)
    for outcome in result.failed:
        click.echo(f"{outcome.name}: {outcome.error}", err=True)
    if result.failed:
        click.echo(f"What did run is in {near(result.folder)}; an earlier report was not touched.", err=True)
        fail(f"When the cause is mended, {_RESUME}", 1)
    for plan, why in result.left_out:
        click.echo(f"Left out: {plan.name}, since {why}")
    click.echo(f"Report: {near(result.folder / 'index.html')}")
    if result.left:
        told = "still holds what did run when an earlier run was stopped; complete that run with --resume, or"
        click.echo(f"{near(result.left)} {told} delete the folder.", err=True)


def _describe_outcome(outcome: Any) -> str:
    how = "failed" if outcome.error else "unchanged" if outcome.reused else f"{outcome.seconds:.1f} s"
    return f"{outcome.name}  {how}"


def _describe_kept(stop: BaseException) -> list[str]:
    """Say what a run that was stopped has kept; nothing where it kept nothing."""
    notes = getattr(stop, "__notes__", [])
    return [*notes, _RESUME] if notes else []
