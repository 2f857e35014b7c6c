"""The `nkhcc` command."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import click

from nkhcc_helpers import __version__

BAD_INPUT = 2
INTERRUPTED = 130
_RESUME = "the same command with --resume executes what is missing"
_AT_LEAST_1 = click.IntRange(min=1)


def _option(*names: str, **settings: Any) -> Any:
    """An option of a command; what stands after its names is its help."""
    return click.option(*names[:-1], help=names[-1], **settings)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nkhcc")
def main() -> None:
    """Analyse a small dose-exploration trial: cohort, survival by group, Cox regression, safety.

    \b
    nkhcc run                     every notebook on the bundled trial, into reports/nkhcc
    nkhcc run --data my_trial     the same on a trial of yours
    nkhcc init my_trial           a first trial.yaml for tables that have none
    nkhcc check my_trial          is it a trial that the notebooks can read?
    """


@main.command(short_help="Execute notebooks on a trial and write the report.")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@_option("--data", "data_dir", "The trial's folder; the bundled trial by default.", metavar="DIR", default="")
@_option(
    *("-p", "--parameter", "given"),
    "Value of a notebook parameter; may be repeated. It goes to the notebooks that have the parameter.",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
)
@_option(
    *("--out", "out_dir"),
    "The report's folder; reports/<data folder> by default, or reports/<data folder>-02 for notebook 02 "
    "alone. An earlier report there is replaced whole.",
    metavar="DIR",
    default="",
)
@_option("--jobs", "Notebooks executed at a time; the cores by default.", metavar="N", type=_AT_LEAST_1)
@_option("--resume", "Take over notebooks whose inputs have not changed since an earlier run.", is_flag=True)
@_option("--parameters", "describe", "List the parameters of the notebooks, and run nothing.", is_flag=True)
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
        _fail(_describe_problems(error), BAD_INPUT)
    except (NotebookError, ParameterError, PublishError) as error:
        _fail(str(error), BAD_INPUT)
    except OSError as error:
        _fail("\n".join([f"the report cannot be written: {error}", *_describe_kept(error)]), 1)


def _run(notebooks: tuple[str, ...], **options: Any) -> None:
    from nkhcc_helpers.parallel import interruptible
    from nkhcc_helpers.run.run import run_notebooks

    progress = _Progress()
    try:
        with interruptible():
            told = {"on_outcome": progress.advance, "on_progress": progress.tell}
            result = run_notebooks(notebooks, on_start=progress.start, **told, **options)
    except KeyboardInterrupt as stop:
        kept = _describe_kept(stop) or ["no notebook had finished"]
        _fail("\n".join(["interrupted; an earlier report was not touched", *kept]), INTERRUPTED)
    finally:
        progress.close()
    for outcome in result.failed:
        click.echo(f"{outcome.name}: {outcome.error}", err=True)
    if result.failed:
        click.echo(f"What did run is in {_near(result.folder)}; an earlier report was not touched.", err=True)
        _fail(f"When the cause is mended, {_RESUME}", 1)
    for plan, why in result.left_out:
        click.echo(f"Left out: {plan.name}, since {why}")
    click.echo(f"Report: {_near(result.folder / 'index.html')}")
    if result.left:
        told = "still holds what did run when an earlier run was stopped; complete that run with --resume, or"
        click.echo(f"{_near(result.left)} {told} delete the folder.", err=True)


def _describe_kept(stop: BaseException) -> list[str]:
    """Say what a run that was stopped has kept; nothing where it kept nothing."""
    notes = getattr(stop, "__notes__", [])
    return [*notes, _RESUME] if notes else []


class _Progress:
    """A bar on a terminal, a line for each notebook elsewhere."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._bar = None

    def start(self, total: int) -> None:
        self._total = total
        if sys.stderr.isatty():
            from tqdm import tqdm

            layout = "{desc}{bar:30} {n_fmt}/{total_fmt} [{elapsed}]"
            self._bar = tqdm(total=total, bar_format=layout, file=sys.stderr, leave=False)

    def advance(self, outcome: Any) -> None:
        self._done += 1
        how = "failed" if outcome.error else "unchanged" if outcome.reused else f"{outcome.seconds:.1f} s"
        line = f"[{self._done}/{self._total}] {outcome.name}  {how}"
        if self._bar is None:
            click.echo(line)
        else:
            self._bar.write(line, file=sys.stderr)
            self._bar.update()

    def tell(self, name: str, line: str) -> None:
        if self._bar is None:
            click.echo(f"{name}: {line}")
        else:
            self._bar.set_description_str(f"{name[:2]}: {line} ")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@main.command(short_help="Write a first trial.yaml for tables, or for a list of patients.")
@click.argument("source", metavar="DIR|FILE", type=click.Path(path_type=Path))
@_option("--out", "out_dir", "Folder for a list of patients.", metavar="DIR", type=click.Path(path_type=Path))
@_option("--force", "Write over what is there.", is_flag=True)
def init(source: Path, *, out_dir: Path | None, force: bool) -> None:
    """Write a first trial.yaml for a folder of tables, or make a folder of a list of patients.

    DIR holds ADaM tables, adsl and adtte at least. Everything in trial.yaml that the tables do not tell is
    marked as guessed, and listed. Nothing is asked.

    FILE has one row a patient, with columns such as id, group, time_months and event (1 or 0), or for two
    endpoints pfs_time, pfs_event, os_time and os_event. The folder is named after it, unless --out says
    otherwise.

    \b
    nkhcc init my_trial
    nkhcc init patients.csv

    Exit code: 0 when trial.yaml was written, 2 when the tables cannot be read or it is there already.
    """
    from nkhcc_helpers.trial.init import init_trial
    from nkhcc_helpers.trial.problems import TrialDataError

    try:
        folder, proposal = init_trial(source, out_dir, force=force)
    except (TrialDataError, OSError) as error:
        _fail(str(error), BAD_INPUT)
    click.echo(f"Wrote {_near(folder / 'trial.yaml')}")
    told = {"Notices": proposal.said, "Guessed, and marked so in the file": proposal.guessed}
    told["To be filled in before anything else"] = proposal.lacking
    for heading, lines in told.items():
        click.echo("\n  ".join([f"{heading}:", *lines]) if lines else "", nl=bool(lines))
    click.echo(f"Next: nkhcc check {_near(folder)}\n      nkhcc run --data {_near(folder)}")


@main.command(short_help="Check a trial's folder and say what it holds.")
@click.argument("folder", default="", metavar="[DIR]")
@_option("--all", "every", "List every problem, not the first few of a kind.", is_flag=True)
@_option(
    *("--format", "form", "json: problems, each with table, row, column, value and rule, and warnings."),
    type=click.Choice(["text", "json"]),
    default="text",
)
def check(folder: str, *, every: bool, form: str) -> None:
    """Check a trial's folder and say what it holds, or the problems found, the first few of each kind.

    DIR holds trial.yaml, the tables adsl, adtte, adex and adae (csv, tsv, txt, xpt, sas7bdat, parquet, json,
    ndjson or xlsx), and published.yaml if there is one; the bundled trial by default.

    Exit code: 0 for a trial that the notebooks can read, 2 for any other.
    """
    import dataclasses
    import json

    from nkhcc_helpers.trial.problems import TrialDataError, TrialDataWarning
    from nkhcc_helpers.trial.trial import load_trial

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrialDataWarning)
            trial = load_trial(folder)
    except TrialDataError as error:
        if form == "text":
            _fail(_describe_problems(error, every=every), BAD_INPUT)
        click.echo(json.dumps({"problems": [*map(dataclasses.asdict, error.problems)], "warnings": []}))
        raise SystemExit(BAD_INPUT) from None
    told = json.dumps({"problems": [], "warnings": trial.warnings})
    click.echo(_summarize(trial) if form == "text" else told)


def _describe_problems(error: Any, *, every: bool = False) -> str:
    lines = [error.describe() if every else str(error)]
    if any(problem.table == "trial.yaml" for problem in error.problems):
        lines.append("Some checks of the tables were not made, because trial.yaml has errors.")
    return "\n".join(lines)


def _summarize(trial: Any) -> str:
    from nkhcc_helpers.trial.metadata import count_noun
    from nkhcc_helpers.trial.problems import format_printable

    metadata, word = trial.metadata, trial.metadata.treatment_word
    lines = [f"{metadata.study_id}: {metadata.title}", f"Provenance: {metadata.provenance}"]
    groups = count_noun(len(trial.groups), "group")
    lines += [
        f"Left out: {count_noun(n, 'patient')}, {key or 'no group'}" for key, n in trial.left_out.items()
    ]
    lines.append(f"{count_noun(len(trial.subjects), 'patient')} in {groups}:")
    for arm in trial.arm_table().itertuples():
        treated = count_noun(arm.n, "patient")
        if arm.infusions > 0:
            treated += f", {count_noun(int(arm.infusions), word)}"
        if arm.dose >= 0:
            treated += f" of {arm.dose:g} {metadata.dose_unit}".rstrip()
        lines.append(f"  {arm.group}  {treated}  {arm.label}")
    lines += [_summarize_endpoint(trial, code) for code in trial.endpoint_labels]
    events = count_noun(len(trial.adverse_events), "adverse event")
    events = events if metadata.adverse_events.collected else "adverse events not collected"
    given = count_noun(len(trial.infusions), word)
    lines.append(f"{given if metadata.exposure.collected else 'exposure not collected'}, {events}")
    claims = count_noun(len(trial.published.claims) if trial.published else 0, "published claim")
    lines.append(f"{claims} to compare with, {count_noun(len(metadata.assumptions), 'assumption')}")
    lines += [f"Warning: {warning}" for warning in trial.warnings]
    return "\n".join(map(format_printable, lines))


def _summarize_endpoint(trial: Any, code: str) -> str:
    from nkhcc_helpers.trial.metadata import count_noun

    rows, about = trial.survival(code), trial.endpoint(code)
    of = count_noun(len(rows), "patient") + (f" ({about.population})" if about.population else "")
    parts = [
        f"{count_noun(int(rows['event'].sum()), 'event')} of {of}",
        f"longest {rows['time'].max():.1f} {trial.unit}",
    ]
    parts += [f"time since {about.origin}"] if about.origin else []
    parts += [f"{about.competing} competes"] if about.competing else []
    return f"{code} ({about.label}): {', '.join(parts)}"


@main.command(short_help="Draw cohorts that give every published number.")
@_option(
    "--claims",
    "A published.yaml with a trial.yaml beside it; that of the bundled trial by default.",
    metavar="FILE",
    default="",
)
@_option("--cohorts", "n_cohorts", "", type=_AT_LEAST_1, default=1_000, show_default=True)
@_option("--seed", "The same seed draws the same.", type=int, default=20260124, show_default=True)
@_option("--jobs", "Processes.", type=_AT_LEAST_1, default=2, show_default=True)
@_option("--bounds", "Search for bounds of every statistic too; takes minutes more.", is_flag=True)
@_option("--narrowing", "Sample without each claim in turn too; takes minutes more.", is_flag=True)
@_option("--minutes", "End after so many, with what there is.", type=click.FloatRange(min=0), default=0)
@_option("--out", "out_dir", "Folder for compatible.parquet.", required=True, metavar="DIR")
def compatible(
    claims: str,
    n_cohorts: int,
    seed: int,
    jobs: int,
    bounds: bool,
    narrowing: bool,
    minutes: float,
    out_dir: str,
) -> None:
    """Draw cohorts that give every published number, and write them as Parquet.

    A run that was cut off goes on where it was when the same command is given again. What --minutes ends
    depends on the machine, and notebook 05 says so; it goes on from what had ended by itself. Where no cohort
    gives every number, the claims that conflict are named. With --bounds, the smallest and largest value of
    every statistic over all compatible cohorts are searched for and written to compatible_bounds.csv; with
    --narrowing, what each claim is worth is measured as notebook 05 does and written to
    compatible_narrowing.csv.

    \b
    nkhcc compatible --bounds --narrowing --out data/nkhcc
    nkhcc compatible --claims my_trial/published.yaml --cohorts 200 --out my_trial

    Exit code: 0 when the cohorts were written, 1 when the claims conflict or nothing was found in time, 2
    when the files are not as they must be.
    """
    from nkhcc_helpers.compatible.checks import find_conflict
    from nkhcc_helpers.compatible.cohorts import (
        IncompatibleClaimsError,
        OutOfTimeError,
        load_cohorts,
        make_cohorts,
        read_claimed,
        read_design,
    )
    from nkhcc_helpers.compatible.sampling import Effort
    from nkhcc_helpers.identification.bounds import make_bounds
    from nkhcc_helpers.identification.narrowing import make_narrowing
    from nkhcc_helpers.trial.problems import TrialDataError
    from nkhcc_helpers.trial.trial import locate_bundled

    effort, extras = Effort.within(minutes), bounds + narrowing
    options = {"jobs": jobs, "progress": True}
    try:
        source, own = claims or locate_bundled(), effort.share(1 / (1 + extras))
        claimed = read_claimed(source)
        path = make_cohorts(claimed, out_dir, n_cohorts=n_cohorts, seed=seed, effort=own, **options)
        _describe_cohorts(path, claimed, n_cohorts)
        if bounds:
            cohorts, metadata = load_cohorts(path, claimed), read_design(source)
            found = make_bounds(cohorts, metadata, out_dir, effort=effort.share(1 / extras), **options)
            click.echo(f"Wrote bounds to {_near(found)}")
        if narrowing:
            found = make_narrowing(claimed, out_dir, effort=effort, **options)
            click.echo(f"Wrote what each claim is worth to {_near(found)}")
    except OutOfTimeError as error:
        _fail(f"{error}; more --minutes reach further", 1)
    except IncompatibleClaimsError as error:
        click.echo("No cohort gives every published number; looking for the claims that conflict.", err=True)
        _fail(str(find_conflict(claimed, seed=seed, effort=effort, found=error.found)), 1)
    except (TrialDataError, ValueError, OSError) as error:
        _fail(str(error), BAD_INPUT)


def _describe_cohorts(path: Path, claimed: Any, n_asked: int) -> None:
    from nkhcc_helpers.compatible.claims import list_assumptions
    from nkhcc_helpers.compatible.cohorts import describe_file

    made = describe_file(path)
    click.echo(f"Claims about times: {len(claimed.claims)}, all met by every cohort. Assumed:")
    for each in list_assumptions(claimed).itertuples():
        click.echo(f"  {each.assumption}{f', {each.endpoint}' if each.endpoint else ''}: {each.value}")
    click.echo(f"Wrote {made['n_cohorts']} cohorts to {_near(path)}, sha256 {made['sha256']}")
    if made["is_cut"]:
        click.echo(f"Time was up before {n_asked} were drawn: how many these are depends on the machine.")
    click.echo("Notebook 05 takes them from the trial's folder, or by its parameter cohorts_file.")


def _near(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _fail(message: str, code: int) -> None:
    click.echo(message, err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
