"""A run: notebooks executed on a trial and gathered into one report."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nkhcc_helpers.execution import Job, Outcome
from nkhcc_helpers.manifest import copy_earlier, find_earlier, hash_data
from nkhcc_helpers.planning import Plan, name_part, plan_run
from nkhcc_helpers.publishing import (
    PublishError,
    check_target,
    open_building,
    publish_folder,
    read_manifest,
)
from nkhcc_helpers.results import format_json_value
from nkhcc_helpers.summaries import Run, write_summaries
from nkhcc_helpers.workers import WorkerPool

_WORK = ".work"
_STEPS_UP = 4
_PACKAGE_HOME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes
    ----------
    folder : pathlib.Path
        The report; ``<out_dir>-failed`` when a notebook failed.
    outcomes : list of Outcome
        In the order of the notebooks.
    left : pathlib.Path or None
        What an earlier run that failed kept, and this one does not replace.
    """

    folder: Path
    outcomes: list[Outcome]
    left: Path | None = None

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
    names : sequence of str
        Notebooks, as for `planning.list_notebooks`.
    data_dir : str or pathlib.Path
        The trial's folder; the bundled trial when empty.
    given : sequence of (str, str)
        Names and texts of parameters.
    out_dir : str or pathlib.Path
        The report's folder, replaced whole. When empty ``reports/<name of the trial's folder>``, and for some
        of the notebooks that and `planning.name_part`, such as ``reports/nkhcc-02``.
    jobs : int, optional
        Notebooks executed at a time; the number of cores when absent.
    resume : bool
        Take over notebooks whose inputs have not changed since an earlier run, failed or not.
    on_start, on_outcome : callable
        Called with the number of notebooks, and with each outcome as it comes.

    Returns
    -------
    RunResult

    Raises
    ------
    NotebookError, ParameterError, PublishError, TrialDataError
        Before anything is executed; nothing is published.
    """
    started = dt.datetime.now(dt.UTC)
    source = _locate_source(data_dir)
    load = cache(lambda: _load_quietly(source))
    plans = plan_run(names, given, data_given=bool(str(data_dir)), load=load)
    target = Path(out_dir).expanduser().resolve() if str(out_dir) else _choose_target(source, plans)
    failed = target.with_name(f"{target.name}-failed")
    _check_targets(target, failed, source)
    with open_building(target) as building:
        run = Run(plans, building, hash_data(source), _name_source(data_dir, source, building), started)
        if resume:
            _take_over(run, [failed, target])
        waiting = len(plans) - len(run.outcomes)
        work = building / _WORK
        work.mkdir()
        # The workers import what they need while the trial is being checked.
        with WorkerPool(min(jobs or os.cpu_count() or 1, waiting), work) as pool:
            run.trial = load()
            on_start(len(plans))
            for outcome in run.outcomes.values():
                on_outcome(outcome)
            _execute(run, pool, _earlier_seconds(target), on_outcome)
        shutil.rmtree(work)
        outcomes = [run.outcomes[plan.name] for plan in plans]
        result = RunResult(failed if any(outcome.error for outcome in outcomes) else target, outcomes)
        write_summaries(run)
        publish_folder(building, result.folder)
        if not result.failed:
            _remove_superseded(failed, {plan.name for plan in plans})
    kept = [failed] if str(out_dir) else [failed, failed.with_name(f"{source.name}-failed")]
    left = next((folder for folder in kept if read_manifest(folder) is not None), None)
    return RunResult(result.folder, outcomes, None if result.failed else left)


def _locate_source(data_dir: str | Path) -> Path:
    from nkhcc_helpers.trial import locate_bundled

    return (Path(data_dir).expanduser() if str(data_dir) else locate_bundled()).resolve()


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


def _check_targets(target: Path, failed: Path, source: Path) -> None:
    for folder in (target, failed):
        if source.is_relative_to(folder):
            raise PublishError(f"{folder} holds the trial's data; choose another folder with --out")
        check_target(folder)


def _load_quietly(source: Path) -> Any:
    from nkhcc_helpers.problems import TrialDataWarning
    from nkhcc_helpers.trial import load_trial

    with warnings.catch_warnings():
        # They stand in `Trial.warnings`, and in the report.
        warnings.simplefilter("ignore", TrialDataWarning)
        return load_trial(source)


def _earlier_seconds(target: Path) -> dict[str, float]:
    entries = (read_manifest(target) or {}).get("notebooks", {})
    return {name: float(entry.get("seconds", 0)) for name, entry in entries.items()}


def _take_over(run: Run, earlier: list[Path]) -> None:
    for plan in run.plans:
        found = find_earlier(earlier, plan.name, run.fingerprint(plan))
        if found:
            report, entry = found
            run.results[plan.name] = copy_earlier(report, run.building, plan.name, entry["files"])
            run.outcomes[plan.name] = Outcome(plan.name, entry["seconds"], reused=True)


def _execute(
    run: Run, pool: WorkerPool, seconds: dict[str, float], on_outcome: Callable[[Outcome], None]
) -> None:
    from nkhcc_helpers.published import compare_published

    heading = {"trial_title": run.trial.metadata.title, "is_illustrative": run.trial.is_illustrative}
    jobs = [
        Job(plan.name, str(plan.path), run.values(plan), str(run.building), heading)
        for plan in run.plans
        if plan.name not in run.outcomes
    ]
    # The longest first, so that no worker is left alone with it at the end.
    jobs.sort(key=lambda job: -seconds.get(job.name, 0))
    outcomes = pool.execute(jobs)
    run.published = format_json_value(compare_published(run.trial))
    for outcome in outcomes:
        run.outcomes[outcome.name] = outcome
        on_outcome(outcome)


def _remove_superseded(failed: Path, names: set[str]) -> None:
    """Remove what an earlier, failed run kept, once every notebook of it has run well."""
    manifest = read_manifest(failed)
    if manifest is not None and set(manifest.get("notebooks", {})) <= names:
        shutil.rmtree(failed, ignore_errors=True)
