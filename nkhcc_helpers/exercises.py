"""Exercises of the notebooks: what is asked, whether an answer is right, and how it is found.

They stand in `notebooks/exercises`, a file for each notebook, and are of the bundled trial. No answer is
stored: the code of its solution says what is right.
"""

from __future__ import annotations

import ast
import html
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import AfterValidator, Field

from nkhcc_helpers.report.numbers import NOT_ESTIMABLE
from nkhcc_helpers.run.plan import COURSE_TAGS, locate_notebooks
from nkhcc_helpers.trial.metadata import Model, Text
from nkhcc_helpers.trial.problems import describe_unknown, join_names

EXERCISE, CHECK, SOLUTION = COURSE_TAGS
"""Tags of the cells of an exercise in a notebook."""
_COLOURS = {"right": "#15803d", "nearly": "#b45309", "hint": "#1d4ed8", "open": "#6b7280"}
_WORDS = {"right": "Right.", "nearly": "Nearly.", "hint": "Not yet.", "open": ""}
_FEWER_DECIMALS = 10
"""How many times the tolerance a number may be off that was only rounded too far."""


def _check_code(code: str) -> str:
    if not isinstance(ast.parse(code).body[-1], ast.Expr):
        raise ValueError("must end in an expression, the answer")
    return code


Code = Annotated[Text, AfterValidator(_check_code)]


class Slip(Model):
    """A common error: code for the value that it gives, which sees the names of the solution."""

    code: Code
    said: Text


class Exercise(Model):
    """One question with one answer; `tolerance`: how far a number may be off, which sets its decimals."""

    id: Text
    question: Text
    solution: Code
    reason: Text
    hint: Text
    tolerance: Annotated[float, Field(ge=0, strict=False)] = 0.0
    unit: str = ""
    slips: tuple[Slip, ...] = Field((), strict=False)

    def show(self, value: Any) -> str:
        """Return a value as text, with as many decimals as tell answers apart."""
        value = _make_plain(value)
        if isinstance(value, list | frozenset):
            listed = value if isinstance(value, list) else _sort(value)
            return join_names([self.show(each) for each in listed], "and") or "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float) and self.tolerance:
            value = f"{value:.{max(0, math.ceil(-math.log10(2 * self.tolerance)))}f}"
        return NOT_ESTIMABLE if value is None else f"{value} {self.unit}".rstrip()


class ExerciseFile(Model):
    """The exercises of a notebook; `setup` makes the names that its setup cell makes."""

    setup: Text
    exercises: Annotated[list[Exercise], Field(min_length=1)]


@dataclass(frozen=True)
class Verdict:
    """What is to be said of an answer."""

    kind: Literal["right", "nearly", "hint", "open"]
    said: str

    def __repr__(self) -> str:
        return f"{_WORDS[self.kind]} {self.said}".strip()

    def _repr_html_(self) -> str:
        style = f"border-left:4px solid {_COLOURS[self.kind]};padding:.3em 1em"
        return f'<p role="status" style="{style}"><b>{_WORDS[self.kind]}</b> {_mark_up(self.said)}</p>'


@dataclass(frozen=True)
class Solution:
    """How an exercise is solved, and its answer, computed."""

    exercise: Exercise
    answer: Any

    def __repr__(self) -> str:
        exercise = self.exercise
        return f"{exercise.solution}\n\nAnswer: {exercise.show(self.answer)}\n{exercise.reason}"

    def _repr_html_(self) -> str:
        exercise, answer = self.exercise, html.escape(self.exercise.show(self.answer))
        return (
            f'<details class="nkhcc-solution tex2jax_ignore"><summary>Solution of {exercise.id}</summary>'
            f'<pre style="overflow-x:auto" tabindex="0"><code>{html.escape(exercise.solution)}</code></pre>'
            f"<p><b>{answer}.</b> {_mark_up(exercise.reason)}</p></details>"
        )


def check(name: str, answer: Any) -> Verdict:
    """Say whether an answer is right, what slip gives it, or where to look; never what is right.

    Parameters
    ----------
    name : str
        Of the exercise, such as ``02-4``; ValueError where there is none.
    answer : object
        A number, a text, yes or no as True or False, a list of these, None for what is not estimable. The
        dots that stand there at first are no answer.
    """
    exercise = find_exercise(name)
    if answer is ...:
        return Verdict("open", "Put your answer in the place of the dots, and run this cell again.")
    given, right = _make_plain(answer), _make_plain(_work_out(name)[0])
    if _is_same(given, right, exercise.tolerance):
        return Verdict("right", exercise.reason)
    slips = (slip for slip, value in list_slips(name) if _is_same(given, value, exercise.tolerance))
    if slip := next(slips, None):
        return Verdict("nearly", slip.said)
    if nearly := _compare_numbers(given, right, exercise.tolerance):
        return Verdict("nearly", nearly)
    kinds = [name for name, kind in _KINDS.items() if isinstance(right, kind) and not isinstance(given, kind)]
    asked = f"{kinds[0]} is asked for. " if kinds and given is not None else ""
    return Verdict("hint", asked + exercise.hint)


def solve(name: str) -> Solution:
    """Return how an exercise is solved, with its answer."""
    return Solution(find_exercise(name), _work_out(name)[0])


def find_exercise(name: str) -> Exercise:
    """Return an exercise by its name, such as ``02-4``."""
    known = {each.id: each for each in read_exercises(name.rpartition("-")[0]).exercises}
    if name not in known:
        raise ValueError(describe_unknown(name, list(known)))
    return known[name]


@cache
def read_exercises(number: str) -> ExerciseFile:
    """Read the exercises of a notebook by what stands before the first underscore of its name."""
    folder = locate_notebooks() / "exercises"
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if number not in known:
        raise ValueError(f"no exercises: the notebook {describe_unknown(number, list(known))}")
    return ExerciseFile.model_validate(yaml.safe_load(known[number].read_text("utf-8")))


@cache
def list_slips(name: str) -> list[tuple[Slip, Any]]:
    """Return the slips of an exercise, each with the value that it gives."""
    names = _work_out(name)[1]
    return [(slip, _make_plain(_evaluate(slip.code, dict(names)))) for slip in find_exercise(name).slips]


@cache
def _work_out(name: str) -> tuple[Any, dict[str, Any]]:
    """Return the right answer, and the names that its code has made."""
    names = dict(_set_up(name.rpartition("-")[0]))
    return _evaluate(find_exercise(name).solution, names), names


@cache
def _set_up(number: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(read_exercises(number).setup, names)
    return names


def _evaluate(code: str, names: dict[str, Any]) -> Any:
    *statements, last = ast.parse(code).body
    exec(compile(ast.Module(statements, []), "<exercise>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<exercise>", "eval"), names)


def _make_plain(value: Any) -> Any:
    """Return a number, a text, yes or no, None where not estimable, or a list or frozenset of these."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray | pd.Series | pd.Index | tuple):
        value = list(value)
    if isinstance(value, list | set | frozenset):
        return (list if isinstance(value, list) else frozenset)(map(_make_plain, value))
    if isinstance(value, str):
        value = value.strip()
    missing = value is None or value is pd.NA or value == NOT_ESTIMABLE or value != value
    return None if missing else value


def _sort(values: Any) -> list[Any]:
    return sorted(values, key=lambda each: str(each).casefold())


def _is_same(given: Any, right: Any, tolerance: float) -> bool:
    if isinstance(right, frozenset) and isinstance(given, list | frozenset):
        given, right = _sort(given), _sort(right)
    if isinstance(given, list) and isinstance(right, list):
        pairs = zip(given, right, strict=False)
        return len(given) == len(right) and all(_is_same(*pair, tolerance) for pair in pairs)
    if _is_number(given) and _is_number(right):
        return abs(given - right) <= tolerance + 1e-9 * abs(right)
    if isinstance(given, str) and isinstance(right, str):
        return given.casefold() == right.casefold()
    return type(given) is type(right) and given == right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS = {"Yes or no (True or False)": bool, "A number": int | float, "A name": str, "A list": list}


def _compare_numbers(given: Any, right: Any, tolerance: float) -> str:
    """Say how a number is right but for the way it is written; empty where it is not."""
    if not (_is_number(given) and _is_number(right) and right and tolerance):
        return ""
    if _is_same(given, right, _FEWER_DECIMALS * tolerance):
        return "Give more decimals."
    ways = (100 * given, 100 * tolerance), (given / 100, tolerance)
    return "Is a share asked for, or a percentage?" if any(_is_same(n, right, t) for n, t in ways) else ""


def _mark_up(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))
