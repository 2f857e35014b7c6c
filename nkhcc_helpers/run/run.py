"""A run: notebooks found, executed on a trial, and gathered into one report."""

from __future__ import annotations

import datetime as dt
import math
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from nkhcc_helpers.report.results import format_json_value, hash_data, hash_inputs
from nkhcc_helpers.run.execute import Job, Outcome, WorkerPool
from nkhcc_helpers.run.parameters import RESERVED, Parameter, ParameterError, read_parameters, read_values
from nkhcc_helpers.run.publish import (
    PublishError,
    check_target,
    copy_earlier,
    find_earlier,
    list_finished,
    name_partial,
    open_building,
    open_work,
    publish_folder,
    read_manifest,
    remove_work,
    write_summaries,
)
from nkhcc_helpers.trial.problems import TrialDataWarning, join_names, suggest_name
from nkhcc_helpers.trial.trial import Trial, load_trial, locate_bundled, locate_checkout

_STEPS_UP = 4
_PACKAGE_HOME = Path(__file__).resolve().parents[2]


class NotebookError(ValueError):
    """A notebook to run cannot be found."""


@dataclass(frozen=True)
class Plan:
    """One notebook of a run: its name in the report, its file, its parameters, the values given for them."""

    name: str
    path: Path
    known: dict[str, Parameter]
    values: dict[str, Any]

    @property
    def effective(self) -> dict[str, Any]:
        """Every parameter with the value it has in the run, other than those that say where files are."""
        free = {name: item for name, item in self.known.items() if name not in RESERVED}
        return {name: self.values.get(name, item.default) for name, item in free.items()}

    @property
    def changed(self) -> dict[str, Any]:
        """Of these, the parameters whose value is not the notebook's default."""
        return {name: value for name, value in self.effective.items() if value != self.known[name].default}


def locate_notebooks() -> Path:
    """Folder of the project's notebooks: the checkout's, or the installed package's own."""
    checkout = locate_checkout()
    bundled = Path(__file__).resolve().parent.parent / "bundled" / "notebooks"
    return checkout / "notebooks" if checkout else bundled


def list_notebooks(names: Sequence[str] = ()) -> dict[str, Path]:
    """Paths of notebooks by name; found by name, by the start of a name, or by path; all when none is given.

    Raises NotebookError where a name fits no notebook or several, or two notebooks have one name.
    """
    folder = locate_notebooks()
    own = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    found: dict[str, Path] = {}
    for name in names or own:
        path = Path(name).resolve() if name.endswith(".ipynb") else _find_own(name, own)
        if not path.is_file():
            raise NotebookError(f"{name}: no such notebook")
        if found.get(path.stem, path) != path:
            raise NotebookError(f"{path.stem}: two notebooks have this name; run them one at a time")
        found[path.stem] = path
    if not found:
        raise NotebookError(f"no notebooks in {folder}")
    return found


def _find_own(name: str, own: dict[str, Path]) -> Path:
    fitting = [name] if name in own else [each for each in own if each.startswith(name)]
    if not fitting:
        hint = f"no such notebook{suggest_name(name, own)}; there are {', '.join(own) or 'none'}"
        raise NotebookError(f"{name}: {hint}".replace("?;", "?"))
    if len(fitting) > 1:
        raise NotebookError(f"{name}: ambiguous between {join_names(fitting, 'and')}; give more of the name")
    return own[fitting[0]]


def name_part(plans: Sequence[Plan]) -> str:
    """Name the part of the project's notebooks that a run is of, such as ``02`` or ``02-04-mine``.

    Of the project's notebooks what stands before the first underscore, of others the whole name. Empty for a
    run of all the project's notebooks and no other.
    """
    own = {path.resolve() for path in locate_notebooks().glob("*.ipynb")}
    paths = [plan.path.resolve() for plan in plans]
    if set(paths) == own:
        return ""
    return "-".join(path.stem.partition("_")[0] if path in own else path.stem for path in paths)


def plan_run(
    names: Sequence[str] = (),
    given: Sequence[tuple[str, str]] = (),
    *,
    data_given: bool = False,
    load: Callable[[], Any] | None = None,
) -> list[Plan]:
    """Find the notebooks of a run and check the values given for their parameters.

    Parameters
    ----------
    names : sequence of str
        Such as ``02_survival_by_group``, ``02``, or ``mine/analysis.ipynb``; all of the project's when empty.
    given : sequence of (str, str)
        Names and texts of parameters.
    data_given : bool
        Whether the run is on another trial than the bundled one; each notebook must then have `data_dir`.
    load : callable, optional
        Returns the trial, called when a value can be checked against it only; such values are not checked
        without it.

    Raises
    ------
    NotebookError
        A name fits no notebook or several, or two notebooks have one name.
    ParameterError
        A notebook's parameters cannot be read, or a name or value given is wrong; lists every problem.
    TrialDataError
        From `load`.
    """
    paths = list_notebooks(names)
    known = {name: read_parameters(path) for name, path in paths.items()}
    fixed = [name for name in known if data_given and "data_dir" not in known[name]]
    if fixed:
        raise ParameterError(
            f"{name}: has no parameter data_dir, so --data cannot reach it" for name in fixed
        )
    values = read_values(known, given, load)
    return [Plan(name, paths[name], known[name], values[name]) for name in paths]


@dataclass(frozen=True)
class RunResult:
    """What came of a run."""

    folder: Path  # the report; `<out_dir>-partial` when a notebook failed
    outcomes: list[Outcome]  # in the order of the notebooks
    left: Path | None = None  # what an earlier run that was stopped kept, and this one does not replace

    @property
    def failed(self) -> list[Outcome]:
        """The notebooks that failed."""
        return [outcome for outcome in self.outcomes if outcome.error]


def run_notebooks(
    names: Sequence[str] = (),
    *,
    data_dir: str | Path = "",
    given: Sequence[tuple[str, str]] = (),
    out_dir: str | Path = "",
    jobs: int | None = None,
    resume: bool = False,
    on_start: Callable[[int], None] = lambda total: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> RunResult:
    """Execute notebooks on a trial and publish the report.

    Parameters
    ----------
    names, given
        As for :func:`plan_run`.
    data_dir : str or pathlib.Path
        The trial's folder; the bundled trial when empty.
    out_dir : str or pathlib.Path
        The report's folder, replaced whole. When empty ``reports/<name of the trial's folder>``, and for some
        of the notebooks that and their numbers, such as ``reports/nkhcc-02``.
    jobs : int, optional
        Notebooks executed at a time; the number of cores when absent.
    resume : bool
        Take over notebooks whose inputs have not changed since an earlier run, stopped or not.
    on_start, on_outcome : callable
        Called with the number of notebooks, and with each outcome as it comes.

    Raises
    ------
    NotebookError, ParameterError, PublishError, TrialDataError
        Before anything is executed; nothing is published.
    KeyboardInterrupt, OSError
        Interrupted, or the disk is full; what had finished is kept in ``<out_dir>-partial``, as a note says.
    """
    started = dt.datetime.now(dt.UTC)
    source = (Path(data_dir).expanduser() if str(data_dir) else locate_bundled()).resolve()
    load = cache(lambda: _load_quietly(source))
    plans = plan_run(names, given, data_given=bool(str(data_dir)), load=load)
    target = Path(out_dir).expanduser().resolve() if str(out_dir) else _choose_target(source, plans)
    partial = name_partial(target)
    _check_targets(target, partial, source)
    with open_building(target) as building:
        run = Run(plans, building, hash_data(source), _name_source(data_dir, source, building), started)
        if resume:
            _take_over(run, [partial, target])
        try:
            with WorkerPool(jobs or os.cpu_count() or 1, open_work(building)) as pool:
                run.trial = load()
                on_start(len(plans))
                for outcome in run.outcomes.values():
                    on_outcome(outcome)
                _execute(run, pool, _read_seconds(target), on_outcome)
            result = RunResult(target if run.is_complete else partial, list(run.outcomes.values()))
            write_summaries(run)
            remove_work(building)
            publish_folder(building, result.folder)
        except BaseException as stop:
            _keep_finished(run, partial, stop)
            raise
        if not result.failed:
            _remove_superseded(partial, {plan.name for plan in plans})
    kept = [partial] if str(out_dir) else [partial, name_partial(target.with_name(source.name))]
    left = next((folder for folder in kept if read_manifest(folder) is not None), None)
    return replace(result, left=None if result.failed else left)


@dataclass
class Run:
    """A run under way: what it is of, what came of its notebooks so far, and what they recorded."""

    plans: list[Plan]
    building: Path
    data: dict[str, str]  # checksums of the trial's files
    data_dir: str  # the trial's folder as notebooks see it
    started: dt.datetime
    trial: Trial | None = None
    published: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every notebook has been executed without an error."""
        return len(self.finished) == len(self.plans)

    @property
    def finished(self) -> list[str]:
        """Names of the notebooks executed without an error."""
        return [name for name, outcome in self.outcomes.items() if not outcome.error]

    def outcome(self, plan: Plan) -> Outcome:
        """What came of a notebook so far."""
        stopped = Outcome(plan.name, 0.0, "the run was stopped before it had ended", has_ended=False)
        return self.outcomes.get(plan.name, stopped)

    def values(self, plan: Plan) -> dict[str, Any]:
        """Values injected into a notebook."""
        places = {"data_dir": self.data_dir, "out_dir": ".."}
        return plan.values | {name: text for name, text in places.items() if name in plan.known}

    def fingerprint(self, plan: Plan) -> str:
        """Checksum of everything that decides what a notebook gives."""
        return hash_inputs(plan.path, self.data, self.values(plan))


def _choose_target(source: Path, plans: list[Plan]) -> Path:
    """Choose the report's folder: for some of the notebooks not that of a report of all."""
    part = name_part(plans)
    target = (Path("reports") / "-".join(filter(None, [source.name, part]))).resolve()
    others = set((read_manifest(target) or {}).get("notebooks", {})) - {plan.name for plan in plans}
    if part and others:
        raise PublishError(
            f"{target} holds a report with other pages ({', '.join(sorted(others))}); "
            "name the folder for this one with --out"
        )
    return target


def _name_source(data_dir: str | Path, source: Path, building: Path) -> str:
    """Name the trial's folder as notebooks see it: not at all when they find it, else from where they run."""
    if not str(data_dir) and source.is_relative_to(_PACKAGE_HOME):
        return ""
    try:
        relative = os.path.relpath(source, building / "notebooks")
    except ValueError:  # pragma: no cover
        return str(source)  # Windows: on another drive.
    return relative if Path(relative).parts.count("..") <= _STEPS_UP else str(source)


def _check_targets(target: Path, partial: Path, source: Path) -> None:
    for folder in (target, partial):
        if source.is_relative_to(folder):
            raise PublishError(f"{folder} holds the trial's data; choose another folder with --out")
        check_target(folder)


def _load_quietly(source: Path) -> Trial:
    with warnings.catch_warnings():
        # They stand in `Trial.warnings`, and in the report.
        warnings.simplefilter("ignore", TrialDataWarning)
        return load_trial(source)


def _read_seconds(target: Path) -> dict[str, float]:
    """What each notebook took in an earlier run."""
    entries = (read_manifest(target) or {}).get("notebooks", {})
    return {name: float(entry.get("seconds", 0)) for name, entry in entries.items()}


def _take_over(run: Run, earlier: list[Path]) -> None:
    for plan in run.plans:
        found = find_earlier(earlier, plan.name, run.fingerprint(plan))
        if found and plan.name not in run.outcomes:
            report, entry = found
            run.results[plan.name] = copy_earlier(report, run.building, plan.name, entry["files"])
            run.outcomes[plan.name] = Outcome(plan.name, entry["seconds"], reused=True)


def _execute(
    run: Run, pool: WorkerPool, seconds: dict[str, float], on_outcome: Callable[[Outcome], None]
) -> None:
    from nkhcc_helpers.identification.published import compare_published

    heading = {"trial_title": run.trial.metadata.title, "is_illustrative": run.trial.is_illustrative}
    heading["word"] = run.trial.metadata.treatment_word
    jobs = [
        Job(plan.name, str(plan.path), run.values(plan), str(run.building), heading)
        for plan in run.plans
        if plan.name not in run.outcomes
    ]
    # The longest first, so that no worker is left alone with it at the end; before them what is not known,
    # the last of the notebooks first, for they build on one another.
    jobs.reverse()
    jobs.sort(key=lambda job: -seconds.get(job.name, math.inf))
    outcomes = pool.execute(jobs)
    run.published = format_json_value(compare_published(run.trial))
    for outcome in outcomes:
        run.outcomes[outcome.name] = outcome
        with suppress(OSError):  # at the end it is raised
            write_summaries(run)  # so that a run that is killed leaves a report of what it finished
        on_outcome(outcome)
    run.outcomes = {plan.name: run.outcomes[plan.name] for plan in run.plans}


def _keep_finished(run: Run, partial: Path, stop: BaseException) -> None:
    """Publish what a run had finished when it was stopped, and note on the exception where that is."""
    if run.trial is None or not run.building.is_dir():
        return
    # Where the disk is full, what was written after the last notebook tells.
    with suppress(OSError):
        write_summaries(run)
    remove_work(run.building)
    with suppress(OSError):
        _take_over(run, [partial])
        write_summaries(run)
    finished = list_finished(run.building)
    if finished:
        publish_folder(run.building, partial)
        stop.add_note(f"finished: {len(finished)} of {len(run.plans)} notebooks, kept in {partial}")


def _remove_superseded(partial: Path, names: set[str]) -> None:
    """Remove what an earlier run that was stopped kept, once every notebook of it has run well."""
    manifest = read_manifest(partial)
    if manifest is not None and set(manifest.get("notebooks", {})) <= names:
        shutil.rmtree(partial, ignore_errors=True)
