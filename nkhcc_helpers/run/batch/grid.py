"""The plan of a batch: its runs laid out and named, and all of them checked before any starts."""

from __future__ import annotations

import glob
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, cached_property, reduce
from itertools import chain, product
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BeforeValidator, Field, ValidationError

from nkhcc_helpers.report.numbers import format_large
from nkhcc_helpers.report.results import hash_data, hash_inputs
from nkhcc_helpers.run.execute import Kept
from nkhcc_helpers.run.parameters import ParameterError, read_values
from nkhcc_helpers.run.plan import NotebookError, Plan, find_plan, make_safe, name_part, plan_run, tell_apart
from nkhcc_helpers.trial.files import read_table, read_yaml
from nkhcc_helpers.trial.metadata import Model
from nkhcc_helpers.trial.problems import (
    Problem,
    TrialDataError,
    format_printable,
    join_names,
    suggest_name,
    validate_block,
)
from nkhcc_helpers.trial.trial import Trial, load_trial, locate_bundled

MOST_RUNS = 100_000
NotebookForm = Literal["plain", "gzip", "none"]
"""How executed notebooks are kept."""
_KEYS = {"data_dir": "trials", "out_dir": "out"}  # what sets a parameter of the run itself
_FIELD = re.compile(r"\{(.*?)\}")


class BatchError(ValueError):
    """A batch cannot be run as planned: `problems` has all mistakes of all its runs, a line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(format_printable, dict.fromkeys(problems)))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class BatchRun:
    """One notebook on one trial with values for its parameters."""

    name: str  # of its folder; unique in the batch, whatever the case
    plan: Plan
    source: Path  # the trial's folder
    trial: str  # that folder's name, made unique
    data: Mapping[str, str]  # checksums of the trial's files
    fingerprint: str  # of all that decides what the run gives, wherever the trial's folder is


@dataclass(frozen=True)
class Batch:
    """The runs of a plan, in its order, none twice."""

    title: str
    runs: tuple[BatchRun, ...]
    varied: tuple[str, ...]  # parameters with more than one value among the runs of a notebook
    out_dir: Path
    pages: Kept = "all"
    notebooks: NotebookForm = "plain"
    timeout: float = 0.0  # seconds that a run may take; 0 for no limit
    notes: tuple[str, ...] = ()  # what of the plan may not be meant


def _write_text(value: Any) -> Any:
    """The text that the command line would take for a value; None for one that is not set."""
    if value is None or isinstance(value, str):
        return value
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | bool | int | float) for item in items):
        raise ValueError("must be text, a number, true or false, or a list of these")
    return json.dumps(value, ensure_ascii=False)


def _list_seeds(value: Any) -> Any:
    if type(value) is int and not 1 <= value <= MOST_RUNS:
        raise ValueError(f"must be a list, or a number from 1 to {MOST_RUNS:,}")
    return list(range(1, value + 1)) if type(value) is int else value


_Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")]
_Value = Annotated[str | None, BeforeValidator(_write_text)]
_Row = Annotated[dict[str, _Value], BeforeValidator(lambda row: {} if row is None else row)]
# The start of a notebook's name, such as 02, is a number in YAML.
_Notebook = Annotated[_Line, BeforeValidator(lambda name: f"{name:02}" if type(name) is int else name)]


class _PlanFile(Model):
    """The keys of a plan, other than a file for `runs`; its paths are from the plan's folder."""

    title: _Line = ""
    notebooks: list[_Notebook] = Field([])
    trials: list[_Line] = Field([])
    parameters: dict[str, _Value] = Field({})
    grid: dict[str, Annotated[list[_Value], Field(min_length=1)]] = Field({})
    runs: list[_Row] = Field([])
    seeds: Annotated[list[_Value], BeforeValidator(_list_seeds)] = Field([])
    name: _Line = ""
    pages: Kept = "all"
    keep_notebooks: NotebookForm = "plain"
    timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    out: _Line = ""


def _read_right(data: dict[str, Any]) -> _PlanFile:
    """A plan without what is wrong in it; a value or row leaves null, so that runs keep their numbers."""
    try:
        return _PlanFile.model_validate(data)
    except ValidationError as error:
        places = [failure["loc"] for failure in error.errors()]
    if any(not place or place[-1] == "[key]" for place in places):
        return _PlanFile()  # a key is no text, and cannot be found by its place
    for place in reversed(places):  # an entry of a list after those behind it
        *above, last = place
        block = reduce(getitem, above, data)
        if isinstance(block, dict):
            block.pop(last, None)
        else:
            block[last : last + 1] = [] if above[0] in ("notebooks", "trials") else [None]
    return _PlanFile.model_validate(data)


@dataclass(frozen=True)
class _Draft:
    """A run, and the texts given for its parameters."""

    plan: Plan
    trial: str
    given: dict[str, str]

    @cached_property
    def texts(self) -> dict[str, str]:
        """Every parameter as text."""
        return {name: _write_text(value) for name, value in self.plan.effective.items()} | self.given


def read_batch(
    path: str | Path,
    *,
    out: str | Path = "",
    pages: str | None = None,
    keep_notebooks: str | None = None,
    timeout: float | None = None,
) -> Batch:
    """Read a plan and check its runs as `nkhcc run` checks one; what is given here stands for the plan's own.

    Raises BatchError with all that is wrong with the plan, with its trials and with the values of any run.
    """
    path = find_plan(path)
    options = {"pages": pages, "keep_notebooks": keep_notebooks, "timeout": timeout}
    reading = _Reading(path, {key: value for key, value in options.items() if value is not None})
    asked, sources, drafts = reading.asked, reading.sources, reading.lay_out()
    varied = reading.find_varied(drafts)
    names = reading.name(drafts, varied)
    values = reading.read_values(drafts, names)
    if reading.mistakes:
        raise BatchError(reading.mistakes)
    data = {trial: hash_data(source) for trial, source in sources.items()}
    runs: dict[str, BatchRun] = {}
    for name, draft, given in zip(names, drafts, values, strict=True):
        # A value that is the notebook's own, however it is written, makes no other run.
        own = {each: repr(item.default) for each, item in draft.plan.known.items()}
        changed = {each: value for each, value in given.items() if repr(value) != own[each]}
        plan = replace(draft.plan, values=changed)
        fingerprint = hash_inputs(plan.path, data[draft.trial], plan.values)
        if fingerprint in runs and runs[fingerprint].trial != draft.trial:  # of a trial with the same data
            fingerprint += f"-{draft.trial}"
        place = (sources[draft.trial], draft.trial, data[draft.trial])
        runs.setdefault(fingerprint, BatchRun(name, plan, *place, fingerprint))
    taken = [run.name for run in runs.values()]
    names = tell_apart(taken)
    numbered = [name for name, wanted in zip(names, taken, strict=True) if name != wanted]
    if numbered:
        reading.notes.append(f"{_say_which(numbered)}: numbered, because another has the same name")
    named = tuple(replace(run, name=name) for run, name in zip(runs.values(), names, strict=True))
    folder = path.parent / asked.out if asked.out else Path("reports", path.stem)
    folder = Path(out).expanduser() if str(out) else folder
    rest = (asked.pages, asked.keep_notebooks, asked.timeout, tuple(reading.notes))
    return Batch(asked.title or path.stem, named, varied, folder.resolve(), *rest)


class _Reading:
    """A plan that is being read: what it asks for as far as that is clear, and the mistakes so far."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.folder, self.mistakes, self.notes = path.parent, [], []
        self.asked, rows = self._read_file(path, options)
        self.plans, self.has_all = self._find_notebooks()
        self.sources = self._find_trials()
        self.rows = self._read_rows(self.folder / rows) if rows else self.asked.runs

    def _read_file(self, path: Path, options: Mapping[str, Any]) -> tuple[_PlanFile, str]:
        """The plan as far as it can be read, and the file of its rows where it names one."""
        problems: list[Problem] = []
        block = read_yaml(path, path.name, problems)
        if block is None:
            raise BatchError(map(str, problems))
        rows = block.data.pop("runs") if isinstance(block.data.get("runs"), str) else ""
        block.data.update(options)
        block.texts.update({(key,): str(value) for key, value in options.items()})
        if not block.data.get("notebooks"):
            self.mistakes.append(f"{path.name} notebooks: is missing; list those to run, such as [02, 03]")
        known = {"": list(_PlanFile.model_fields)}
        asked = validate_block(_PlanFile, block, path.name, known, problems) or _read_right(block.data)
        self.mistakes += map(str, problems)
        return asked, rows

    def _find_notebooks(self) -> tuple[dict[str, Plan], bool]:
        """The notebooks by name, and whether these are all that are asked for."""
        found: dict[str, Plan] = {}
        problems: list[str] = []
        for name in self.asked.notebooks:
            try:
                place = str(self.folder / name) if name.endswith(".ipynb") else name
                (plan,) = plan_run([place], data_given=bool(self.asked.trials))
            except (NotebookError, ParameterError, OSError) as error:
                problems += str(error).splitlines()
                continue
            if found.setdefault(plan.name, plan).path != plan.path:
                problems.append(f"{plan.name}: two notebooks have this name; rename one")
        self.mistakes += problems
        return found, bool(found) and not problems

    def _find_trials(self) -> dict[str, Path]:
        """Folders of trials, each by its name."""
        found = [] if self.asked.trials else [locate_bundled()]
        for pattern in self.asked.trials:
            paths = [self.folder / each for each in glob.glob(pattern, root_dir=self.folder, recursive=True)]
            fitting = [path for path in sorted(paths) if (path / "trial.yaml").is_file()]
            one = self.folder / pattern
            found += [one] if os.path.isdir(one) else fitting
            if not os.path.isdir(one) and not fitting:
                self.mistakes.append(f"trials {pattern}: no folder with a trial.yaml is there")
        found = list(dict.fromkeys(each.resolve() for each in found))
        return dict(zip(tell_apart([each.name or "trial" for each in found]), found, strict=True))

    def _read_rows(self, path: Path) -> list[dict[str, str | None]]:
        """The rows of a table; a column is the parameter of its name, whatever the case."""
        problems: list[Problem] = []
        table = read_table([path], path.name, {}, problems, [], named=path.name)
        self.mistakes += map(str, problems)
        if table is None:
            return []
        if table.frame.empty:
            self.mistakes.append(f"{path.name}: holds no runs")
        spelt = {name.upper(): name for plan in self.plans.values() for name in plan.known}
        frame = table.frame.rename(columns=lambda name: spelt.get(name, name.lower()))
        return [{name: text or None for name, text in row.items()} for row in frame.to_dict("records")]

    def lay_out(self) -> list[_Draft]:
        """Every run, given what its notebook has, and what none has, so that it is found to be a mistake."""
        asked = self.asked
        base = {name: [text] for name, text in asked.parameters.items()}
        seeds = {"seed": asked.seeds} if asked.seeds else {}
        blocks = [asked.grid] if asked.grid or not self.rows else []
        blocks += [{name: [text] for name, text in row.items() if text is not None} for row in self.rows]
        strangers = self._check_names(set(chain(*blocks)), seeds.keys())
        grids = []
        for plan, trial, block in product(self.plans.values(), self.sources, blocks):
            names, whole = (plan.known.keys() | strangers) - _KEYS.keys(), base | block | seeds
            grids.append((plan, trial, {name: whole[name] for name in whole if name in names}))
        n_runs = sum(math.prod(map(len, grid.values())) for *_, grid in grids)
        if n_runs > MOST_RUNS:
            self.mistakes.append(f"{format_large(n_runs)} runs are planned; {MOST_RUNS:,} are the most")
            return []
        drafts = []
        for plan, trial, grid in grids:
            for texts in product(*grid.values()):
                given = {name: text for name, text in zip(grid, texts, strict=True) if text is not None}
                drafts.append(_Draft(plan, trial, given))
        return drafts

    def _check_names(self, varied: Set[str], seeds: Set[str]) -> Set[str]:
        """Say where names are out of place; return those that none of the notebooks has."""
        base, grid = self.asked.parameters.keys(), self.asked.grid
        twice = (base & grid.keys()) | (seeds & (base | varied))
        self.mistakes += [f"{name}: is set in two places of the plan; keep one" for name in sorted(twice)]
        given = base | varied | seeds
        self.mistakes += [f"{name}: set it with {_KEYS[name]}" for name in sorted(given & _KEYS.keys())]
        kinds = {item.name: item.kind for plan in self.plans.values() for item in plan.known.values()}
        for name in sorted((varied | seeds) & kinds.keys() - _KEYS.keys()):
            without = [plan.name for plan in self.plans.values() if name not in plan.known]
            if without:
                these = join_names(without, "and")
                self.notes.append(f"{name}: no parameter of {these}, whose runs it leaves as they are")
            texts = [text for text in grid.get(name, []) if text and not text.startswith("[")]
            if texts and kinds[name] == "list":
                line = f"{name}: [[{', '.join(texts[:3])}]]"
                self.mistakes.append(f"grid.{name}: each value is itself a list; for one write {line}")
        return given - kinds.keys() if self.has_all else set()

    def find_varied(self, drafts: Sequence[_Draft]) -> tuple[str, ...]:
        """Parameters with more than one value among the runs of a notebook, in the plan's order."""
        order = dict.fromkeys([*self.asked.parameters, *self.asked.grid, *chain(*self.rows), "seed"])
        seen: dict[tuple[str, str], set[str]] = defaultdict(set)
        for draft in drafts:
            for name in order.keys() & draft.texts.keys():
                seen[name, draft.plan.name].add(draft.texts[name])
        varied = {name for (name, _), texts in seen.items() if len(texts) > 1}
        return tuple(name for name in order if name in varied)

    def name(self, drafts: Sequence[_Draft], varied: Sequence[str]) -> list[str]:
        """Name runs by the plan's template, or else by notebook, trial and what varies."""
        known = {"notebook", "trial"}.union(*(plan.effective for plan in self.plans.values()))
        unknown = [field for field in _FIELD.findall(self.asked.name) if field not in known]
        for field in unknown if self.has_all else []:
            hint = suggest_name(field, known) or f"; there are {', '.join(sorted(known))}"
            self.mistakes.append(f"name {self.asked.name}: no such field {field!r}{hint}")
        several = ["trial"] if len(self.sources) > 1 else []
        usual = "-".join(f"{{{name}}}" for name in ["notebook", *several, *varied])
        template = usual if unknown else self.asked.name or usual
        parts = {name: name_part([plan]) or name for name, plan in self.plans.items()}
        names = []
        for draft in drafts:
            fields = draft.texts | {"notebook": parts[draft.plan.name], "trial": draft.trial}
            filled = _FIELD.sub(lambda found, fields=fields: fields.get(found[1], ""), template)
            names.append(make_safe(filled))
        return names

    def read_values(self, drafts: Sequence[_Draft], names: Sequence[str]) -> list[dict[str, Any]]:
        """The values given in each run; the same mistake of several is one."""
        loads = {trial: self._load(trial, source) for trial, source in self.sources.items()}
        known = {name: plan.known for name, plan in self.plans.items()}

        @cache
        def read(trial: str, name: str, text: str) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
            try:
                return read_values(known, [(name, text)], loads[trial]), ()
            except ParameterError as error:
                return {}, error.problems

        values, wrong = [], defaultdict(list)
        for at, (draft, called) in enumerate(zip(drafts, names, strict=True), start=1):
            values.append({})
            for name, text in draft.given.items():
                found, problems = read(draft.trial, name, text)
                values[-1].update(found.get(draft.plan.name, {}))
                for problem in problems:
                    wrong[problem].append(f"{at} ({called})")
        self.mistakes += [f"{_say_which(runs, len(drafts))}: {problem}" for problem, runs in wrong.items()]
        return values

    def _load(self, name: str, source: Path) -> Callable[[], Trial] | None:
        try:
            trial = load_trial(source, warn=False)
        except TrialDataError as error:
            self.mistakes += [f"trial {name}: {line.strip()}" for line in str(error).splitlines()[1:]]
            return None
        return lambda: trial


def _say_which(runs: Sequence[str], n_all: int = 0) -> str:
    if len(runs) == n_all > 3:
        return f"all {n_all} runs"
    shown = [*runs[:2], f"{len(runs) - 2} more"] if len(runs) > 3 else runs
    return f"run{'s' if len(runs) > 1 else ''} {join_names(shown, 'and')}"


def list_parameters(batch: Batch) -> pd.DataFrame:
    """A row for each run: `run notebook trial is_default`, and what varies, each value as text.

    A parameter that the run's notebook has not is empty. By default is a run whose varied parameters have the
    notebook's own values, whatever the endpoint.
    """
    rows = []
    for run in batch.runs:
        texts = {name: _write_text(run.plan.effective.get(name, "")) for name in batch.varied}
        is_default = not set(batch.varied) & set(run.plan.changed) - {"endpoint"}
        rows.append([run.name, run.plan.name, run.trial, is_default, *texts.values()])
    return pd.DataFrame(rows, columns=["run", "notebook", "trial", "is_default", *batch.varied])


def list_fixed(batch: Batch) -> dict[str, dict[str, str]]:
    """By notebook, the parameters that all its runs have one value of which is not its own, as text."""
    found: dict[str, dict[str, str]] = {}
    for run in batch.runs:
        changed = {name: _write_text(value) for name, value in run.plan.changed.items()}
        first = found.get(run.plan.name, changed)
        found[run.plan.name] = {name: text for name, text in first.items() if changed.get(name) == text}
    return found
