"""Which conclusions of a batch change, and under which values of its parameters: a sensitivity analysis.

Runs are compared within a question only: one notebook, trial and endpoint. Each is held against the default
run, which was chosen before any was seen; no run is picked, and none is ordered, by its result.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from nkhcc_helpers.report.figures import plot_sensitivity
from nkhcc_helpers.report.numbers import format_headline
from nkhcc_helpers.report.pictures import write_figure
from nkhcc_helpers.report.results import ILLUSTRATIVE, write_whole
from nkhcc_helpers.run.batch.grid import Batch, list_parameters
from nkhcc_helpers.run.batch.ledger import RUNS
from nkhcc_helpers.run.publish import read_title, render
from nkhcc_helpers.trial.problems import join_names

Kind = Literal["level", "direction", "limits"]

# What a conclusion says; the braces stand for the level or the value of no effect.
_SAID: dict[tuple[Kind, float], str] = {
    ("level", 1): "at or below {:g}",
    ("level", 0): "above {:g}",
    ("direction", 1): "above {:g}",
    ("direction", 0): "exactly {:g}",
    ("direction", -1): "below {:g}",
    ("limits", 1): "limits that leave out {:g}",
    ("limits", 0): "no limits that leave out {:g}",
}
_SEED = "seed"
COMPARISON, FIGURES = "comparison.html", Path("figures", "comparison")
MOST_FIGURES = 60
_MOST_NAMED, _LONGEST_VALUE = 5, 60  # in a sentence


@dataclass(frozen=True)
class Question:
    """What runs are compared within; `endpoint` is empty where it was not varied."""

    notebook: str
    trial: str
    endpoint: str = ""


@dataclass(frozen=True)
class Selection:
    """Some of the runs that could have been among them, and which they are by their parameters."""

    runs: tuple[str, ...]
    n_among: int
    where: str


@dataclass(frozen=True)
class Change:
    """A conclusion that is another one than in the run of reference."""

    was: str
    becomes: str
    selection: Selection  # of the runs that have such a conclusion


@dataclass(frozen=True, eq=False)
class Comparison:
    """A headline value over the runs of a question.

    `runs` are its rows of the headlines with ``is_reference``, ``differs`` (in a conclusion from the run of
    reference) and ``conclusion`` in words. The run of reference is the default run, where it has a result.
    """

    question: Question
    varied: tuple[str, ...]  # parameters that have several values within the question
    runs: pd.DataFrame
    reference: pd.Series  # the row of the run of reference
    has_default: bool  # whether the plan holds a default run
    changes: tuple[Change, ...]
    not_estimable: Selection
    missing: Selection

    @property
    def over_seeds(self) -> pd.DataFrame:
        """Runs in which nothing but the seed is unlike the run of reference: what the draw alone does."""
        others = [name for name in self.varied if name != _SEED]
        alike = (self.runs[others] == self.reference[others]).all(axis=1) & (_SEED in self.varied)
        return self.runs[alike]


def list_questions(runs: pd.DataFrame, varied: Sequence[str]) -> dict[Question, pd.DataFrame]:
    """Questions of a batch, each with its runs, which are as `list_parameters` returns them."""
    by = ["notebook", "trial", *(["endpoint"] if "endpoint" in varied else [])]
    return {Question(*key): part.set_index("run") for key, part in runs.groupby(by, sort=False)}


def compare_runs(headlines: pd.DataFrame, varied: Sequence[str], runs: pd.DataFrame) -> list[Comparison]:
    """Hold each headline value of each run against that of the default run of its question.

    `headlines` are as `list_headlines` returns them, and `runs` as `list_parameters` does.
    """
    found = []
    for question, planned in list_questions(runs, varied).items():
        several = tuple(name for name in varied if name != "endpoint" and len(set(planned[name])) > 1)
        own = headlines[headlines["run"].isin(planned.index)]
        found += [_compare(question, several, planned, rows) for _, rows in own.groupby("name", sort=False)]
    return found


def _compare(
    question: Question, varied: tuple[str, ...], planned: pd.DataFrame, rows: pd.DataFrame
) -> Comparison:
    rows = rows.set_index("run", drop=False).rename_axis(None)
    defaults = planned.index[planned["is_default"].astype(bool)]
    # In the plan's order the default run, else the first that has a result.
    reference = next(run for run in [*defaults, *planned.index] if run in rows.index)
    conclusions = list_conclusions(rows)
    differs = conclusions.notna() & (conclusions != conclusions.loc[reference])
    differs &= conclusions.loc[reference].notna()
    said = _say_conclusions(conclusions, rows)
    rows["is_reference"], rows["differs"] = rows.index == reference, differs.any(axis=1)
    rows["conclusion"] = [", ".join(filter(None, said.loc[run])) for run in rows.index]

    def select(runs: pd.Index, among: pd.Index) -> Selection:
        where = _describe(
            planned.loc[runs], planned.loc[among.difference(runs)], planned.loc[reference, [*varied]]
        )
        return Selection(tuple(runs), len(among), where)

    changes = []
    for kind in conclusions.columns[differs.any()]:
        runs, known = rows.index[differs[kind]], rows.index[conclusions[kind].notna()]
        becomes = join_names([*dict.fromkeys(said.loc[runs, kind])], "or")
        changes.append(Change(said.loc[reference, kind], becomes, select(runs, known)))
    return Comparison(
        question,
        varied,
        rows,
        rows.loc[reference],
        bool(len(defaults)),
        tuple(changes),
        not_estimable=select(rows.index[rows["value"].isna()], rows.index),
        missing=select(planned.index.difference(rows.index, sort=False), planned.index),
    )


def list_conclusions(rows: pd.DataFrame) -> pd.DataFrame:
    """The conclusions of headline values, a column each: 1 or 0 for yes or no, of directions 1, 0 or -1.

    ``level``: the value is at or below its level. ``direction``: it is above, at or below its value of no
    effect. ``limits``: they leave that value out; a limit that is not estimable leaves out nothing. NaN where
    it cannot be told; a conclusion that no run has is left out.
    """
    columns = ("value", "ci_lower", "ci_upper", "null", "level")
    value, lower, upper, null, level = (pd.to_numeric(rows[name]).astype(float) for name in columns)
    limited = lower.notna() | upper.notna()
    can_exclude = null.notna() & (value.notna() | limited) & limited.any()
    found = {
        "level": (value <= level).astype(float).where(value.notna() & level.notna()),
        "direction": np.sign(value - null),
        "limits": ((lower > null) | (upper < null)).astype(float).where(can_exclude),
    }
    return pd.DataFrame(found).dropna(axis=1, how="all")


def _say_conclusions(conclusions: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    said = {}
    for kind, column in conclusions.items():
        bounds = rows["level" if kind == "level" else "null"]
        pairs = zip(column, bounds, strict=True)
        said[kind] = [_SAID[kind, told].format(bound) if told == told else "" for told, bound in pairs]
    return pd.DataFrame(said, index=rows.index)


def _describe(chosen: pd.DataFrame, rest: pd.DataFrame, reference: pd.Series) -> str:
    """Runs by the values that none of the rest has, of the parameter that tells most, then one by one.

    Where another parameter tells the same runs, it is named too; one run is told by what the reference lacks.
    """
    own = {
        name: list(dict.fromkeys(chosen.loc[~chosen[name].isin(rest[name]), name]))
        for name in reference.index
    }
    told = {name: tuple(chosen.index[chosen[name].isin(values)]) for name, values in own.items() if len(rest)}
    best = max(told, key=lambda name: (len(told[name]), -len(own[name])), default="")
    runs = told.get(best, ())
    texts = []
    if len(runs) > 1 or len(runs) == len(chosen) == 1:
        same = [name for name, each in told.items() if each == runs and len(own[name]) == len(own[best])]
        first, *others = [f"{name} {_list(map(_quote, own[name]))}" for name in same]
        texts.append(("every run of " if len(runs) > 1 else "") + first)
        texts[0] += f" (the same runs as {join_names(others, 'and')})" if others else ""
        chosen = chosen.drop(index=[*runs])
    for run in chosen.to_dict("records"):
        unlike = [f"{name} {_quote(run[name])}" for name, usual in reference.items() if run[name] != usual]
        texts.append(" with ".join(unlike) or "the run of reference")
    return _list(texts, "; ")


def _list(texts: Iterable[str], separator: str = ", ") -> str:
    texts = list(texts)
    more = [f"{len(texts) - _MOST_NAMED:,} more"] if len(texts) > _MOST_NAMED + 1 else texts[_MOST_NAMED:]
    return separator.join(texts[:_MOST_NAMED] + more)


def _quote(value: str) -> str:
    """A parameter's value in a sentence: cut in its middle if long, in quotes if it is not a plain word."""
    half = _LONGEST_VALUE // 2
    short = value if len(value) <= _LONGEST_VALUE else f"{value[:half]} … {value[-half:]}"
    return short if short and not set(short) & set(" ,;") else f"“{short}”"


def show_value(value: float, headline: pd.Series) -> str:
    """A headline value without its limits, with its unit."""
    is_p, is_ratio = pd.notna(headline["level"]), headline["null"] == 1
    text = format_headline(value, math.nan, math.nan, is_p=is_p, is_ratio=is_ratio)
    return f"{text} {headline['unit']}".rstrip() if pd.notna(value) else text


def write_comparison(
    batch: Batch, folder: Path, headlines: pd.DataFrame, trials: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Write `comparison.html` and its figures into a batch's folder.

    `headlines` are of `list_headlines`; `trials` have the provenance of each, none where no run finished.
    """
    runs = list_parameters(batch)
    comparisons = compare_runs(headlines, batch.varied, runs)
    is_illustrative = {name: told.get("provenance") == "illustrative" for name, told in trials.items()}
    figures = folder / FIGURES
    figures.mkdir(parents=True)
    drawn = {}
    for number in _choose_drawn(comparisons):
        each = comparisons[number]
        figure = plot_sensitivity(each.runs, each.varied).figure
        name = f"{number + 1:03d}_{re.sub('[^a-z0-9]+', '_', each.reference['name'].lower())[:40]}"
        paths = write_figure(figure, figures, name, is_illustrative=is_illustrative[each.question.trial])
        drawn[number] = [path.relative_to(folder) for path in paths]
    notebooks = {run.plan.name: run.plan.path for run in batch.runs}
    pages = {run.name: Path(RUNS, run.name, f"{run.plan.name}.html") for run in batch.runs}
    text = render(
        "comparison.html.j2",
        title=batch.title,
        questions=list_questions(runs, batch.varied),
        comparisons=list(enumerate(comparisons)),
        drawn=drawn,
        n_undrawn=sum(map(_can_draw, comparisons)) - len(drawn),
        titles={name: read_title(path) for name, path in notebooks.items()},
        pages={name: page for name, page in pages.items() if (folder / page).is_file()},
        illustrative=ILLUSTRATIVE if any(is_illustrative.values()) else "",
        show=show_value,
    )
    return write_whole(folder / COMPARISON, text)


def remove_comparison(folder: Path) -> None:
    """Remove the comparison of an earlier batch."""
    (folder / COMPARISON).unlink(missing_ok=True)
    shutil.rmtree(folder / FIGURES, ignore_errors=True)


def _choose_drawn(comparisons: Sequence[Comparison]) -> list[int]:
    """Which of them are drawn: of each question the first as long as there is room, then the second."""
    questions = [each.question for each in comparisons]
    ranks = [questions[:number].count(question) for number, question in enumerate(questions)]
    can = [number for number, each in enumerate(comparisons) if _can_draw(each)]
    return sorted(sorted(can, key=lambda number: ranks[number])[:MOST_FIGURES])


def _can_draw(comparison: Comparison) -> bool:
    return bool(comparison.varied) and bool(comparison.runs["value"].notna().any())
