"""A run: notebooks found, executed on a trial, and gathered into one report."""

from __future__ import annotations

import datetime as dt
import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from nkhcc_helpers.report.results import format_json_value, hash_data, hash_inputs
from nkhcc_helpers.run.execute import Job, Outcome, WorkerPool
from nkhcc_helpers.run.glossary import read_glossary
from nkhcc_helpers.run.manifest import list_finished, read_entries, read_manifest
from nkhcc_helpers.run.pages import Book, write_page
from nkhcc_helpers.run.plan import Plan, check_use, find_left_out, name_part, plan_run
from nkhcc_helpers.run.publish import (
    PublishError,
    check_target,
    copy_earlier,
    find_earlier,
    name_partial,
    open_building,
    open_work,
    publish_folder,
    read_title,
    remove_work,
    write_summaries,
)
from nkhcc_helpers.trial.trial import Trial, load_trial, locate_bundled

STEPS_UP = 4
"""From a report's notebooks, as far as a trial is named by the way to it."""
_PACKAGE_HOME = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunResult:
    """What came of a run."""

    folder: Path  # the report; `<out_dir>-partial` when a notebook failed
    outcomes: list[Outcome]  # in the order of the notebooks
    left_out: Sequence[tuple[Plan, str]] = ()  # notebooks not run, since they were not named, and why
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
    on_progress: Callable[[str, str], None] = lambda name, line: None,
) -> RunResult:
    """Execute notebooks on a trial and publish the report.

    Parameters
    ----------
    names, given
        As for :func:`plan_run`; where no notebook is named, without those of `find_left_out`.
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
    on_progress : callable
        Called with a notebook's name and a line on how far it is.

    Raises
    ------
    NotebookError, ParameterError, PublishError, TrialDataError
        Before anything is executed; nothing is published.
    KeyboardInterrupt, OSError
        Interrupted, or the disk is full; what had finished is kept in ``<out_dir>-partial``, as a note says.
    """
    started = dt.datetime.now(dt.UTC)
    source = (Path(data_dir).expanduser() if str(data_dir) else locate_bundled()).resolve()
    load = cache(lambda: load_trial(source, warn=False))
    plans = plan_run(names, given, data_given=bool(str(data_dir)), load=load)
    target = Path(out_dir).expanduser().resolve() if str(out_dir) else _choose_target(source, plans)
    left_out = [] if names else find_left_out(plans, source, load)
    plans = [plan for plan in plans if plan not in [each for each, _ in left_out]]
    check_use(given, plans, left_out)
    partial = name_partial(target)
    _check_targets(target, partial, source)
    with open_building(target) as building:
        run = Run(plans, building, hash_data(source), name_source(data_dir, source, building), started)
        run.left_out = left_out
        if resume:
            _take_over(run, [partial, target])
        try:
            with WorkerPool(jobs or os.cpu_count() or 1, open_work(building), on_progress) as pool:
                run.trial = load()
                on_start(len(plans))
                for outcome in run.outcomes.values():
                    on_outcome(outcome)
                _execute(run, pool, _read_seconds(target), on_outcome)
            result = RunResult(target if run.is_complete else partial, list(run.outcomes.values()), left_out)
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
    left_out: list[tuple[Plan, str]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    strayed: list[str] = field(default_factory=list)  # taken over from a report with other pages beside them

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

    @cached_property
    def book(self) -> Book:
        """What the pages know of each other."""
        return Book({plan.name: read_title(plan.path) for plan in self.plans}, read_glossary())

    @property
    def heading(self) -> dict[str, Any]:
        """What every page says at its head, as `write_page` takes it."""
        metadata = self.trial.metadata
        told = {"trial_title": metadata.title, "is_illustrative": self.trial.is_illustrative}
        return {**told, "word": metadata.treatment_word, "book": self.book}

    def fingerprint(self, plan: Plan) -> str:
        """Checksum of everything that decides what a notebook gives."""
        return hash_inputs(plan.path, self.data, self.values(plan))


def _choose_target(source: Path, plans: list[Plan]) -> Path:
    """Choose the report's folder: for some of the notebooks not that of a report of all."""
    part = name_part(plans)
    target = (Path("reports") / "-".join(filter(None, [source.name, part]))).resolve()
    others = set(read_entries(target)) - {plan.name for plan in plans}
    if part and others:
        raise PublishError(
            f"{target} holds a report with other pages ({', '.join(sorted(others))}); "
            "name the folder for this one with --out"
        )
    return target


def name_source(data_dir: str | Path, source: Path, building: Path, steps_up: int = STEPS_UP) -> str:
    """Name the trial's folder as notebooks see it: not at all when they find it, else from where they run."""
    if not str(data_dir) and source.is_relative_to(_PACKAGE_HOME):
        return ""
    try:
        relative = os.path.relpath(source, building / "notebooks")
    except ValueError:  # pragma: no cover
        return str(source)  # Windows: on another drive.
    return relative if Path(relative).parts.count("..") <= steps_up else str(source)


def _check_targets(target: Path, partial: Path, source: Path) -> None:
    for folder in (target, partial):
        if source.is_relative_to(folder):
            raise PublishError(f"{folder} holds the trial's data; choose another folder with --out")
        check_target(folder)


def _read_seconds(target: Path) -> dict[str, float]:
    """What each notebook took in an earlier run."""
    return {name: float(entry.get("seconds", 0)) for name, entry in read_entries(target).items()}


def _take_over(run: Run, earlier: list[Path]) -> None:
    for plan in run.plans:
        found = find_earlier(earlier, plan.name, run.fingerprint(plan))
        if found and plan.name not in run.outcomes:
            report, entry = found
            run.results[plan.name] = copy_earlier(report, run.building, plan.name, entry["files"])
            run.outcomes[plan.name] = Outcome(plan.name, entry["seconds"], reused=True)
            if list(read_entries(report)) != list(run.book.pages):
                run.strayed.append(plan.name)


def _execute(
    run: Run, pool: WorkerPool, seconds: dict[str, float], on_outcome: Callable[[Outcome], None]
) -> None:
    from nkhcc_helpers.identification.published import compare_published

    is_lesson = run.trial.source == locate_bundled().resolve()
    for name in run.strayed:
        page = run.building / f"{name}.html"
        write_page(run.building / "notebooks" / f"{name}.ipynb", page, is_lesson=is_lesson, **run.heading)
    jobs = [
        Job(plan.name, str(plan.path), run.values(plan), str(run.building), run.heading, is_lesson=is_lesson)
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
