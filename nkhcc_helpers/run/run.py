"""A run: notebooks executed on a trial and gathered into one report."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from nkhcc_helpers import __version__
from nkhcc_helpers.report.results import ILLUSTRATIVE, format_json_value, list_versions, write_json
from nkhcc_helpers.run.execute import Job, Outcome, WorkerPool
from nkhcc_helpers.run.plan import Plan, name_part, plan_run
from nkhcc_helpers.run.publish import (
    MANIFEST,
    PublishError,
    check_target,
    copy_earlier,
    find_earlier,
    hash_code,
    hash_data,
    hash_file,
    hash_inputs,
    list_files,
    open_building,
    publish_folder,
    read_manifest,
    read_title,
    write_index,
)


@dataclass
class Run:
    """A run under way.

    Attributes
    ----------
    plans : list of Plan
        Its notebooks.
    building : pathlib.Path
        Folder that becomes the report.
    data : dict of str to str
        Checksums of the trial's files.
    data_dir : str
        The trial's folder as notebooks see it.
    started : datetime.datetime
        When it began, UTC.
    trial : Trial or None
        The trial analysed; None until it is checked.
    published : list of dict
        Published claims against reproduced ones.
    outcomes : dict of str to Outcome
        What came of each notebook so far.
    results : dict of str to dict
        What each notebook recorded.
    """

    plans: list[Plan]
    building: Path
    data: dict[str, str]
    data_dir: str
    started: dt.datetime
    trial: Any = None
    published: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def values(self, plan: Plan) -> dict[str, Any]:
        """Return what is injected into a notebook."""
        places = {"data_dir": self.data_dir, "out_dir": ".."}
        return plan.values | {name: text for name, text in places.items() if name in plan.known}

    def fingerprint(self, plan: Plan) -> str:
        """Return the checksum of everything that decides what a notebook gives."""
        return hash_inputs(plan.path, self.data, self.values(plan))


def write_summaries(run: Run) -> None:
    """Write `results.json`, `index.html` and, when all else is there, `manifest.json`.

    Parameters
    ----------
    run : Run
        A run of which every notebook has come to an outcome.
    """
    for plan in run.plans:
        piece = run.building / "results" / f"{plan.name}.json"
        if piece.is_file():
            run.results[plan.name] = json.loads(piece.read_text(encoding="utf-8"))
        run.results.setdefault(plan.name, {})
    shutil.rmtree(run.building / "results", ignore_errors=True)
    metadata = run.trial.metadata
    provenance = {
        "study_id": metadata.study_id,
        "title": metadata.title,
        "registration": metadata.registration,
        "source": metadata.source,
        "provenance": metadata.provenance,
        "note": ILLUSTRATIVE if run.trial.is_illustrative else "",
    }
    ordered = {plan.name: run.results[plan.name] for plan in run.plans}
    write_json(run.building / "results.json", {"provenance": provenance, "notebooks": ordered})
    _write_index(run)
    write_json(run.building / MANIFEST, _describe_run(run))


def _describe_run(run: Run) -> dict[str, Any]:
    entries = {}
    for plan in run.plans:
        outcome = run.outcomes[plan.name]
        entries[plan.name] = {
            "file": plan.path.name,
            "sha256": hash_file(plan.path),
            "parameters": plan.effective,
            "seconds": round(outcome.seconds, 3),
            "status": "failed" if outcome.error else "ok",
            "error": outcome.error,
            "reused": outcome.reused,
            "fingerprint": run.fingerprint(plan),
            "files": list_files(run.building, plan.name),
        }
    return {
        "nkhcc": __version__,
        "started": run.started.isoformat(timespec="seconds"),
        "seconds": round((dt.datetime.now(dt.UTC) - run.started).total_seconds(), 3),
        "versions": list_versions(),
        "code": hash_code(),
        "data": {"folder": run.data_dir or "bundled", "files": run.data},
        "notebooks": entries,
    }


def _write_index(run: Run) -> None:
    metadata = run.trial.metadata
    trial = {
        "title": metadata.title,
        "study_id": metadata.study_id,
        "registration": metadata.registration,
        "source": metadata.source,
        "is_illustrative": run.trial.is_illustrative,
        "illustrative": ILLUSTRATIVE,
    }
    write_index(
        run.building,
        trial=trial,
        warnings=run.trial.warnings,
        published=run.published,
        notebooks=[_describe_card(run, plan) for plan in run.plans],
        assumptions=[item.model_dump() for item in metadata.assumptions],
        started=f"{run.started:%Y-%m-%d %H:%M} UTC",
        versions=list_versions(),
    )


def _describe_card(run: Run, plan: Plan) -> dict[str, Any]:
    outcome, results = run.outcomes[plan.name], run.results[plan.name]
    page, executed = f"{plan.name}.html", f"notebooks/{plan.name}.ipynb"
    return {
        "title": read_title(plan.path),
        "page": page if (run.building / page).is_file() else "",
        "notebook": executed if (run.building / executed).is_file() else "",
        "figure": _choose_figure(results.get("figures", {})),
        "endpoint": str(results.get("values", {}).get("endpoint_label") or ""),
        "parameters": {name: _shown(value) for name, value in plan.changed.items()},
        "seconds": outcome.seconds,
        "reused": outcome.reused,
        "error": outcome.error,
    }


def _choose_figure(figures: dict[str, Any]) -> dict[str, str] | None:
    written = [figure for figure in figures.values() if figure["files"]]
    chosen = next((figure for figure in written if figure["main"]), written[0] if written else None)
    if chosen is None:
        return None
    file = next((file for file in chosen["files"] if file.endswith(".png")), chosen["files"][0])
    return {"file": file, "caption": chosen["caption"]}


def _shown(value: Any) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)) or "empty"


_WORK = ".work"
_STEPS_UP = 4
_PACKAGE_HOME = Path(__file__).resolve().parents[2]


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
    from nkhcc_helpers.trial.trial import locate_bundled

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
    from nkhcc_helpers.trial.problems import TrialDataWarning
    from nkhcc_helpers.trial.trial import load_trial

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
    from nkhcc_helpers.identification.published import compare_published

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
