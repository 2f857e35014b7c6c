"""Exercises of the notebooks: what is asked, whether an answer is right, and how it is found.

They stand in `notebooks/exercises`, a file for each notebook, and are of the bundled trial. No answer is
stored: the code of its solution says what is right.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from nkhcc_helpers.report.numbers import NOT_ESTIMABLE
from nkhcc_helpers.report.results import format_json_value, is_sequence
from nkhcc_helpers.run.plan import locate_notebooks
from nkhcc_helpers.trial.metadata import Model, Text
from nkhcc_helpers.trial.problems import describe_unknown, join_names


class Slip(Model):
    """A common error: code whose last line is the value that it gives; it sees the solution's names."""

    code: Text
    said: Text


class Exercise(Model):
    """One question, and code whose last line is its answer.

    `setup` makes the names of the notebook's setup cell; `tolerance` is how far a number may be off, which
    also sets the decimals shown.
    """

    id: Text
    question: Text
    setup: Text
    solution: Text
    reason: Text
    hint: Text
    tolerance: Annotated[float, Field(ge=0, strict=False)] = 0.0
    unit: str = ""
    slips: tuple[Slip, ...] = Field((), strict=False)

    def show(self, value: Any) -> str:
        """Return a value as text, with as many decimals as tell answers apart."""
        if isinstance(value, list):
            return join_names([self.show(each) for each in value], "and") or "none"
        if isinstance(value, float) and self.tolerance:
            value = f"{value:.{max(0, math.ceil(-math.log10(2 * self.tolerance)))}f}"
        return f"{value} {self.unit}".rstrip() if value != NOT_ESTIMABLE else value


@dataclass(frozen=True, repr=False)
class Verdict:
    """What is to be said of an answer, in Markdown."""

    kind: Literal["Right", "Nearly", "Not yet", "No answer"]
    said: str

    def _repr_markdown_(self) -> str:
        return f"**{self.kind}.** {self.said}"

    __repr__ = _repr_markdown_


@dataclass(frozen=True, repr=False)
class Solution:
    """An exercise with its answer, and the names that its code has made; shown folded, in Markdown."""

    exercise: Exercise
    answer: Any
    names: dict[str, Any]

    def describe(self) -> str:
        """Return the code, the answer and the reason."""
        exercise = self.exercise
        return f"```python\n{exercise.solution}\n```\n\n**{exercise.show(self.answer)}.** {exercise.reason}"

    def list_slips(self) -> list[tuple[Slip, Any]]:
        """Return the common errors, each with the value that it gives."""
        return [(slip, _run(slip.code, dict(self.names))) for slip in self.exercise.slips]

    def _repr_markdown_(self) -> str:
        summary = f"<details><summary>Solution of {self.exercise.id}</summary>"
        return f"{summary}\n\n{self.describe()}\n\n</details>"

    __repr__ = _repr_markdown_


@cache
def read_exercises() -> dict[str, Exercise]:
    """Read every exercise, by its name, such as ``02-4``."""
    found = {}
    for path in sorted((locate_notebooks() / "exercises").glob("*.yaml")):
        file = yaml.safe_load(path.read_text("utf-8"))
        found |= {each["id"]: Exercise(setup=file["setup"], **each) for each in file["exercises"]}
    return found


@cache
def solve(name: str) -> Solution:
    """Return how an exercise is solved, with its answer; ValueError where there is none of this name."""
    known = read_exercises()
    if name not in known:
        raise ValueError(f"the exercise {describe_unknown(name, list(known))}")
    names = dict(_set_up(known[name].setup))
    return Solution(known[name], _run(known[name].solution, names), names)


def check(name: str, answer: Any) -> Verdict:
    """Say whether an answer is right, what slip gives it, or where to look; never what is right.

    An answer is a number, a text, yes or no as True or False, NE or None where nothing can be estimated, or
    some of these in a list; the dots that stand there at first are none.
    """
    if answer is ...:
        return Verdict("No answer", "Put yours in the place of the dots, and run this cell again.")
    solution, given = solve(name), _make_plain(answer)
    exercise = solution.exercise
    if _is_same(given, solution.answer, exercise.tolerance):
        return Verdict("Right", exercise.reason)
    for slip, value in solution.list_slips():
        if _is_same(given, value, exercise.tolerance):
            return Verdict("Nearly", slip.said)
    return Verdict("Not yet", exercise.hint)


@cache
def _set_up(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def _run(code: str, names: dict[str, Any]) -> Any:
    """Run code in names, which it adds to, and return the plain value of its last line."""
    *statements, last = ast.parse(code).body
    exec(compile(ast.Module(statements, []), "<exercise>", "exec"), names)
    return _make_plain(eval(compile(ast.Expression(last.value), "<exercise>", "eval"), names))


def _make_plain(value: Any) -> Any:
    if is_sequence(value) or isinstance(value, set):
        return [_make_plain(each) for each in value]
    return format_json_value(NOT_ESTIMABLE if value is None else value)


def _is_same(given: Any, right: Any, tolerance: float) -> bool:
    kinds = {type(given), type(right)}
    if kinds == {list}:
        if {*map(type, right)} == {str}:  # in any order
            given, right = sorted(given, key=_fold), sorted(right, key=_fold)
        pairs = zip(given, right, strict=False)
        return len(given) == len(right) and all(_is_same(*pair, tolerance) for pair in pairs)
    if kinds <= {int, float}:
        return abs(given - right) <= tolerance + 1e-9 * abs(right)
    if kinds == {str}:
        return _fold(given) == _fold(right)
    return len(kinds) == 1 and given == right


def _fold(value: Any) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""
