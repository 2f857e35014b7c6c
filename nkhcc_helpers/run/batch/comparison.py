"""Which conclusions of a batch change, and under which values of its parameters: a sensitivity analysis.

Runs are compared within a question only: one notebook, trial and endpoint. Each is held against the default
run, which was chosen before any was seen; no run is picked, and none is ordered, by its result.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from nkhcc_helpers.report.figures import plot_sensitivity
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_headline
from nkhcc_helpers.report.pictures import write_figure
from nkhcc_helpers.report.results import ILLUSTRATIVE, write_whole
from nkhcc_helpers.run.batch.grid import Batch, list_fixed, list_parameters
from nkhcc_helpers.run.batch.ledger import RUNS
from nkhcc_helpers.run.publish import read_title, render
from nkhcc_helpers.trial.problems import join_names

Kind = Literal["level", "direction", "limits"]
Gap = Literal["value", "draws", "ci_lower", "ci_upper", "scale", "result"]
"""What runs have not: a value, a conclusion that their draws tell, a limit, the usual unit, a result."""

# What a conclusion says; the braces stand for the level or the value of no effect.
_SAID: dict[tuple[Kind, float], str] = {
    ("level", 1): "at or below {}",
    ("level", 0): "above {}",
    ("direction", 1): "above {}",
    ("direction", 0): "exactly {}",
    ("direction", -1): "below {}",
    ("limits", 1): "limits that leave out {}",
    ("limits", 0): "no limits that leave out {}",
}
_UNDECIDED = "not told apart from {} by its draws"
# Of simulated P values 95 in 100 lie within two standard errors of what all relabellings would give.
DECIDING = 2.0
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
class Conclusion:
    """What some runs conclude, where the run of reference concludes something else, or cannot tell."""

    kind: Kind
    was: str  # of the run of reference: its conclusion, or why it has none
    becomes: str
    selection: Selection  # of the runs that have such a conclusion


@dataclass(frozen=True, eq=False)
class Comparison:
    """A headline value over the runs of a question.

    `runs` are its rows of the headlines with ``is_reference``, ``differs`` (in a conclusion from the run of
    reference), ``excludes`` (by its limits, the value of no effect), ``on_scale`` (in the unit of the run of
    reference) and ``conclusion`` in words. The run of reference is the default run, where it has a result.
    """

    question: Question
    varied: tuple[str, ...]  # parameters that have several values within the question
    runs: pd.DataFrame
    reference: pd.Series  # the row of the run of reference
    has_default: bool  # whether the plan holds a default run
    n_told: int  # runs that have a conclusion, of the kind that most have
    agreed: str  # what the run of reference concludes
    changes: tuple[Conclusion, ...]
    others: tuple[Conclusion, ...]  # every conclusion of the kinds of which the run of reference has none
    gaps: Mapping[Gap, Selection]

    @property
    def is_turned(self) -> bool:
        """Whether two runs conclude different things."""
        kinds = [each.kind for each in self.others]
        return bool(self.changes) or len(set(kinds)) < len(kinds)

    @property
    def listed(self) -> pd.DataFrame:
        """Runs that a reader looks up: those with another conclusion, and those that no figure holds."""
        return self.runs[self.runs["differs"] | ~self.runs["on_scale"]]

    @property
    def on_scale(self) -> pd.DataFrame:
        """Runs whose values can stand in one range or on one axis with that of reference."""
        return self.runs[self.runs["on_scale"]]

    @property
    def drawn_by(self) -> tuple[str, ...]:
        """Parameters that a figure is by; none where there is nothing to draw."""
        several = tuple(name for name in self.varied if len(set(self.on_scale[name])) > 1)
        return several if self.on_scale["value"].notna().any() else ()


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
    usual, conclusions = rows.loc[reference], list_conclusions(rows)
    said, own = _say_conclusions(conclusions, rows), conclusions.loc[reference]
    differs = conclusions.notna() & (conclusions != own) & own.notna()
    scale = ["label", "unit"]  # a P value has the same whatever it is of
    rows = rows.assign(
        is_reference=rows.index == reference,
        differs=differs.any(axis=1),
        excludes=conclusions["limits"] == 1,
        on_scale=(rows["kind"] == "p") | (rows[scale] == usual[scale]).all(axis=1),
        conclusion=[", ".join(filter(None, said.loc[run])) for run in rows.index],
    )

    def select(runs: pd.Index, among: pd.Index) -> Selection:
        rest, unvaried = planned.loc[among.difference(runs)], planned.loc[reference, [*varied]]
        return Selection(tuple(runs), len(among), _describe(planned.loc[runs], rest, unvaried))

    def tell(kind: Kind, runs: pd.Index) -> Conclusion:
        becomes = join_names([*dict.fromkeys(said.loc[runs, kind])], "or")
        known = rows.index[conclusions[kind].notna()]
        return Conclusion(kind, said.loc[reference, kind] or "not estimable", becomes, select(runs, known))

    changes = [tell(kind, rows.index[differs[kind]]) for kind in conclusions.columns[differs.any()]]
    others = [
        tell(kind, runs)
        for kind in conclusions.columns[own.isna()]
        for runs in rows.groupby(conclusions[kind], sort=False).groups.values()
    ]
    gaps = {gap: select(rows.index[lacking], rows.index) for gap, lacking in _find_gaps(rows).items()}
    gaps["result"] = select(planned.index.difference(rows.index, sort=False), planned.index)
    return Comparison(
        question,
        varied,
        rows,
        usual,
        bool(len(defaults)),
        n_told=int(conclusions.notna().sum().max()),
        agreed=", ".join(said.loc[reference, own.notna()]),
        changes=tuple(changes),
        others=tuple(others),
        gaps={gap: selection for gap, selection in gaps.items() if selection.runs},
    )


def _find_gaps(rows: pd.DataFrame) -> dict[Gap, pd.Series]:
    """Which runs lack what; a limit where others have one, and the value."""
    lacks = rows[["value", "ci_lower", "ci_upper"]].isna()
    has_limits = not lacks[["ci_lower", "ci_upper"]].all(axis=None)
    return {
        "value": lacks["value"],
        "draws": find_undecided(rows),
        "ci_lower": lacks["ci_lower"] & ~lacks["value"] & has_limits,
        "ci_upper": lacks["ci_upper"] & ~lacks["value"] & has_limits,
        "scale": ~rows["on_scale"],
    }


def find_undecided(rows: pd.DataFrame) -> pd.Series:
    """Whether a simulated P value lies so near its level that other draws may put it on the other side."""
    return (rows["value"] - rows["level"]).abs() <= DECIDING * rows["error"]


def list_conclusions(rows: pd.DataFrame) -> pd.DataFrame:
    """The conclusions of headline values, a column each: 1 or 0 for yes or no, of directions 1, 0 or -1.

    ``level``: the value is at or below its level. ``direction``: it is above, at or below its value of no
    effect. ``limits``: they leave that value out; a limit that is not estimable leaves out nothing. NaN where
    there is none, or the draws do not tell it.
    """
    columns = ("value", "ci_lower", "ci_upper", "null", "level")
    value, lower, upper, null, level = (pd.to_numeric(rows[name]).astype(float) for name in columns)
    undecided, limited = find_undecided(rows), lower.notna() | upper.notna()
    can_exclude = null.notna() & (value.notna() | limited) & limited.any()
    found = {
        "level": (value <= level).astype(float).where(value.notna() & level.notna() & ~undecided),
        "direction": np.sign(value - null).where(rows["has_direction"].astype(bool)),
        "limits": ((lower > null) | (upper < null)).astype(float).where(can_exclude),
    }
    return pd.DataFrame(found, index=rows.index)


def _say_conclusions(conclusions: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    said, undecided = {}, find_undecided(rows)
    for kind, column in conclusions.items():
        bounds = rows["level" if kind == "level" else "null"]
        texts = ["its level" if len(set(bounds.dropna())) > 1 else f"{bound:g}" for bound in bounds]
        known = [_SAID.get((kind, told), "") for told in column]
        lacks = [_UNDECIDED if kind == "level" and each else "" for each in undecided]
        said[kind] = [(a or b).format(text) for a, b, text in zip(known, lacks, texts, strict=True)]
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
    if len(runs) > 1:
        same = [name for name, each in told.items() if each == runs and len(own[name]) == len(own[best])]
        first, *others = [f"{name} {_list(map(_quote, own[name]))}" for name in same]
        also = f" (the same runs as {join_names(others, 'and')})" if others else ""
        texts.append(f"every run of {first}{also}")
        chosen = chosen.drop(index=[*runs])
    for run in chosen.to_dict("records"):
        unlike = [f"{name} {_quote(run[name])}" for name, usual in reference.items() if run[name] != usual]
        alone = ", all else equal" if len(unlike) < len(reference) else ""
        texts.append(f"the run with {join_names(unlike, 'and')}{alone}" if unlike else "the run of reference")
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


def show_value(headline: Mapping[str, Any], value: float | None = None) -> str:
    """A headline with its limits, or one value of it, with its unit."""
    limits, kind = (headline["ci_lower"], headline["ci_upper"]), headline["kind"]
    whole = format_headline(kind, headline["value"], limits, headline["error"])
    text = whole if value is None else format_headline(kind, value)
    return text if text == NOT_ESTIMABLE else f"{text} {headline['unit']}".rstrip()


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
        figure = plot_sensitivity(each.on_scale, each.drawn_by).figure
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
        n_undrawn=sum(bool(each.drawn_by) for each in comparisons) - len(drawn),
        fixed=list_fixed(batch),
        deciding=f"{DECIDING:g}",
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
    """Which of them are drawn: those with a change as long as there is room, then the others."""
    can = [number for number, each in enumerate(comparisons) if each.drawn_by]
    return sorted(sorted(can, key=lambda number: not comparisons[number].is_turned)[:MOST_FIGURES])
