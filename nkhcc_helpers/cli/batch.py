"""`nkhcc batch` and `nkhcc compare`: the runs of a plan, and the values of two runs side by side."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from nkhcc_helpers.cli import AT_LEAST_1, BAD_INPUT, INTERRUPTED, fail, near, option
from nkhcc_helpers.cli.progress import Progress

_N_NAMED = 5
_AT_LEAST_0 = click.FloatRange(min=0)
_LAYOUT = "{bar:30} {n_fmt}/{total_fmt}{desc} [{elapsed}, {remaining} left]"


@click.command(short_help="Execute every run of a plan, and compare them.")
@click.argument("plan")
@option("--out", "Folder; reports/<name of the plan> by default.", metavar="DIR", default="")
@option("--jobs", "Runs executed at a time; the cores by default.", metavar="N", type=AT_LEAST_1)
@option("--scheduler", "A dask scheduler, with workers of its own.", metavar="ADDRESS", default="")
@option("--memory-limit", "Memory a run may take, such as 2GiB.", metavar="SIZE", default="")
@option("--retries", "Times a run whose worker died is tried again.", type=click.IntRange(min=0), default=1)
@option("--timeout", "Seconds a run may take; 0 for no limit.", metavar="SECONDS", type=_AT_LEAST_0)
@option("--pages", "Runs that keep pages and figures.", type=click.Choice(["all", "failed", "none"]))
@option("--keep-notebooks", "How.", type=click.Choice(["plain", "gzip", "none"]))
@option("--force", "Execute finished runs anew.", is_flag=True)
@option("--dry-run", "List the runs and about how long they take, and run nothing.", is_flag=True)
def batch(plan: str, *, dry_run: bool, **options: Any) -> None:
    """Execute every run of a plan, and write one table of all and what differs between them.

    PLAN is a YAML file of notebooks, trials and values of parameters, or the name of one of the project's.
    What it says of pages, notebooks and timeout holds unless the option is given. The same command goes on
    where an earlier one was stopped.

    \b
    nkhcc batch interval_types --dry-run
    nkhcc batch my_plan.yaml --jobs 8 --pages failed --out reports/sensitivity

    Exit code: 0 when every run finished, 1 when one failed, 2 when the plan, a trial, a parameter's name or
    value, or the folder is not as it must be (nothing is run then), 130 when it was interrupted.
    """
    from nkhcc_helpers.run import BatchError

    try:
        (_list_runs if dry_run else _run)(plan, **options)
    except BatchError as error:
        fail(str(error), BAD_INPUT)
    except KeyboardInterrupt as stop:
        fail("\n".join(["interrupted", *_describe_kept(stop)]), INTERRUPTED)
    except OSError as error:
        fail("\n".join([f"stopped: {error}", *_describe_kept(error)]), 1)


def _describe_kept(stop: BaseException) -> list[str]:
    return [*getattr(stop, "__notes__", []), "the same command executes what is missing"]


def _list_runs(plan: str, *, jobs: int | None, force: bool, **options: Any) -> None:
    from nkhcc_helpers.run.batch import describe_batch, read_batch

    settings = {name: options[name] for name in ("out", "pages", "keep_notebooks", "timeout")}
    click.echo(describe_batch(read_batch(plan, **settings), jobs or os.cpu_count() or 1, force=force))


def _run(plan: str, **options: Any) -> None:
    from nkhcc_helpers.parallel import interruptible
    from nkhcc_helpers.run import run_batch
    from nkhcc_helpers.trial.problems import count_named

    progress = _BatchProgress()
    told = {"on_start": progress.begin, "on_record": progress.advance, "on_note": click.echo}
    with closing(progress), interruptible():
        result = run_batch(plan, **options, **told)
    failed = result.failed
    for record in failed[:_N_NAMED]:
        click.echo(f"{record.run}: {record.error}", err=True)
    if len(failed) > _N_NAMED:
        click.echo(f"and {len(failed) - _N_NAMED} more, which the table names", err=True)
    n_ok = len(result.records) - len(failed)
    click.echo(f"Batch: {near(result.folder / 'batch.html')}")
    click.echo(f"{n_ok} finished, {result.n_reused} of them taken over; {len(failed)} failed")
    if left := result.unplanned:
        click.echo(f"Also in its runs/, from an earlier plan and in no table: {count_named(left)}")
    raise SystemExit(1 if failed else 0)


class _BatchProgress(Progress):
    """Counts the runs that failed too; above a bar only they have a line."""

    n_failed = 0

    def begin(self, total: int, n_finished: int, dashboard: str) -> None:
        click.echo(f"Dashboard: {dashboard}" if dashboard else "", nl=bool(dashboard))
        self.start(total, n_finished, _LAYOUT)

    def advance(self, record: Any, n_running: int) -> None:
        is_failed = record.status == "failed"
        self.n_failed += is_failed
        how = f"failed: {record.error}" if is_failed else f"{record.seconds:.1f} s"
        self.step(f"{record.run}  {how}", above_bar=is_failed)
        self.describe(f", {n_running} running, {self.n_failed} failed")


@click.command(short_help="Compare the values of two runs.")
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@option("--tolerance", "Relative difference that counts.", type=_AT_LEAST_0, default=1e-9, show_default=True)
@option("--all", "every", "List equal values too.", is_flag=True)
def compare(run_a: Path, run_b: Path, *, tolerance: float, every: bool) -> None:
    """Compare the values of two runs: folders with a results.json, such as reports/nkhcc.

    Exit code: 0 when they are the same, 1 when one differs beyond the tolerance, 2 when a run has none.
    """
    from nkhcc_helpers.run.batch import compare_reports, describe_comparison

    try:
        values = compare_reports(run_a, run_b, tolerance)
    except ValueError as error:
        fail(str(error), BAD_INPUT)
    click.echo(describe_comparison(values, run_a, run_b, tolerance, every=every))
    raise SystemExit(1 if values["differs"].any() else 0)
