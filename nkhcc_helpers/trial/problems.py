"""What is wrong in a trial's files, in plain words, and the one error that lists it all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from nkhcc_helpers.checks import PlainError

BLANK = ("", "NA", ".")
"""Cells of a known column that say nothing, unless `trial.yaml` lists them: R writes NA, SAS a full stop."""
N_LISTED = 3
"""How many problems of one table, column and rule are written out where there are two more at least."""
WHOLE_COLUMN = 4
"""From how many on the same fault of every cell of a column is one problem."""
_LONGEST_VALUE = 60
_WORDS = {
    "missing": "is missing",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "date": "must be a date, YYYY-MM-DD",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be a number >= {ge:g}",
    "greater_than": "must be a number > {gt:g}",
    "less_than_equal": "must be a number <= {le:g}",
    "literal_error": "must be one of {expected}",
    "list_type": "must be a list, each entry on a line that begins with '-'",
    "too_short": "must have at least {min_length} entry",
    "dict_type": "must hold 'key: value' lines",
    "model": "must hold 'key: value' lines",
    "value_error": "{error}",
    "union_tag_not_found": "is missing",
    "union_tag_invalid": "is not a known kind; use one of {expected_tags}",
}
_Read = TypeVar("_Read", bound=BaseModel)


class TrialDataWarning(UserWarning):
    """Something in a trial's files that can be read but is probably not meant."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong: `rule` says what the value must be, or what is wrong with it.

    `table` is one of ADSL ADTTE ADEX ADAE ADRS, the name of a YAML file, or "folder"; `row` the line in the
    file, the header being line 1, None when no line is to blame; `column` may be the dotted path of a YAML
    key. `rows`: the rows and values of what is wrong with every entry of a column in the same way.
    """

    table: str
    row: int | None
    column: str
    value: str
    rule: str
    rows: tuple[tuple[int | None, str], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        row = "" if self.row is None else f" row {self.row}"
        column = f" {self.column}" if self.column else ""
        cut = self.value if len(self.value) <= _LONGEST_VALUE else f"{self.value[:_LONGEST_VALUE]}..."
        value = f" {cut!r}" if self.value else ""
        return format_printable(f"{self.table}{row}{column}{value}: {self.rule}")


class TrialDataError(PlainError):
    """A trial cannot be read; lists every problem found.

    Parameters
    ----------
    problems : iterable of Problem
        At least one problem.

    Attributes
    ----------
    problems : tuple of Problem
        All problems, each with `table row column value rule`, however many the message writes out.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return self.describe(N_LISTED)

    def describe(self, n_listed: int | None = None) -> str:
        """Return the problems as lines, by table, column and rule, of each so many; all of them with None."""
        count = len(self.problems)
        lines = [f"{count} problem{'' if count == 1 else 's'} in the trial's files:"]
        return "\n".join(lines + [f"  {line}" for line in _list_lines(self.problems, n_listed)])


def _list_lines(problems: Sequence[Problem], n_listed: int | None) -> list[str]:
    kinds: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault((problem.table, problem.column, _find_kind(problem.rule)), []).append(problem)
    lines = []
    for (table, column, _), found in kinds.items():
        n_shown = len(found) if n_listed is None or len(found) <= n_listed + 1 else n_listed
        for each in found[:n_shown]:
            lines.append(str(each))
            n_rows = len(each.rows) if n_listed is None else 0
            lines += [format_printable(f"  row {row} {value!r}") for row, value in each.rows[:n_rows]]
        if n_shown < len(found):
            more = f"and {len(found) - n_shown} more of the same kind, {len(found)} in all"
            lines.append(f"{table} {column}".rstrip() + f": {more} (nkhcc check --all lists them)")
    return lines


def join_problems(problems: Sequence[Problem], frame: pd.DataFrame) -> list[Problem]:
    """Make one problem of what is wrong in the same way with every entry of a column of a table as text."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for each in problems:
        kinds.setdefault((each.column, _find_kind(each.rule)), []).append(each)
    joined = []
    for (name, _), found in kinds.items():
        values = [each.value for each in found if each.value]
        n_cells = int((frame[name] != "").sum()) if values and name in frame else len(frame)
        if len(found) < max(n_cells, WHOLE_COLUMN):
            joined += found
            continue
        # A rule that quotes what is in its row is that of the first.
        alike = len({each.rule for each in found}) == 1
        ends = dict.fromkeys([min(values), max(values)] if alike else values[:1]) if values else ()
        shown = " and ".join(repr(value) for value in ends)
        said = f"{len(found)} of {n_cells} values{f', such as {shown}' if shown else ''}: {found[0].rule}"
        rows = tuple((each.row, each.value) for each in found)
        joined.append(Problem(found[0].table, None, name, "", said, rows))
    return joined


def _find_kind(rule: str) -> str:
    """Return a rule without what it quotes of its row: numbers, times and dates."""
    return re.sub(r"[0-9][0-9.:-]*", "#", rule)


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` for the known name nearest to `name`, or an empty string."""
    folded = {candidate.casefold(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean {folded[nearest[0]]!r}?" if nearest else ""


def count_named(names: Sequence[str], most: int = 5) -> str:
    """How many there are, and the first of them by name: ``7 (a, b, c, d, e, ...)``."""
    return f"{len(names)} ({', '.join([*names[:most], *['...'] * (len(names) > most)])})"


def join_names(names: Sequence[str], word: str) -> str:
    """Return names as a sentence lists them, `word` before the last."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def describe_unknown(item: object, known: Sequence[object], *, of_list: bool = False) -> str:
    """Return what is wrong with an item, or item of a list, that is none of those known."""
    listed = join_names([str(each) for each in known], "or") or "nothing, for there is nothing to choose from"
    hint = suggest_name(item, known) if isinstance(item, str) else ""
    return f"{'may hold' if of_list else 'must be'} {listed}, not {item!r}{hint}"


def format_printable(text: str) -> str:
    """Return text with control characters written out, so that data cannot steer a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


@dataclass(frozen=True)
class RawTable:
    """A table as text: stripped cells, columns in upper case, index `row` the line in the file.

    Where a file has no lines, the row is the record's number, the header being row 1. `set_aside` holds the
    cells of rows that could not be read, so that nobody in them is reported as absent. `labels`: of columns,
    where the file has any.
    """

    frame: pd.DataFrame
    set_aside: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)


class TableError(Exception):
    """What keeps a table from being read, and the row, value and column where that shows."""

    def __init__(self, rule: str, row: int | None = None, value: str = "", column: str = "") -> None:
        super().__init__(rule)
        self.rule, self.row, self.value, self.column = rule, row, value, column


@dataclass(frozen=True)
class Reading:
    """A table that is being read: kinds of the columns that are known, where problems and notices go."""

    table: str
    path: Path
    kinds: Mapping[str, str]
    problems: list[Problem]
    said: list[str]


@dataclass(frozen=True)
class YamlBlock:
    """A YAML mapping, the line of each key, and the text of each plain value, by path."""

    data: dict[Any, Any]
    lines: dict[tuple[Any, ...], int] = field(default_factory=dict)
    texts: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def list_entries(self, name: str) -> list[dict[Any, Any]]:
        """Return the blocks of a list as far as it is one, so that one fault does not hide another."""
        entries = self.data.get(name)
        if not isinstance(entries, list):
            return []
        return [entry if isinstance(entry, dict) else {} for entry in entries]


def format_path(path: tuple[Any, ...]) -> str:
    """Write the path of a YAML value: `("arms", 0, "dose")` is `arms[0].dose`."""
    written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return written.removeprefix(".")


def validate_block(
    model: type[_Read],
    block: YamlBlock,
    table: str,
    known_keys: Mapping[str, list[str]],
    problems: list[Problem],
) -> _Read | None:
    """Return a YAML file as a pydantic model, or None and the problems that keep it from being one.

    `known_keys` are those allowed in the block of each name, for suggestions; `""` is the file itself.
    """
    try:
        return model.model_validate(block.data)
    except ValidationError as error:
        failures = error.errors(include_url=False)
    for failure in failures:
        loc = failure["loc"] + (("kind",) if failure["type"].startswith("union_tag") else ())
        path, above = _locate(loc, block)
        value, rule = block.texts.get(path, ""), _explain(failure)
        if failure["type"] == "extra_forbidden":
            hint = suggest_name(str(path[-1]), known_keys.get(above, []))
            value, rule = "", f"is not a known key{hint}"
        row = next((block.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in block.lines), None)
        problems.append(Problem(table, row, format_path(path), value, rule))
    return None


def list_unknown(
    block: YamlBlock, table: str, keys: tuple[str, str], known: Sequence[str], rule: str
) -> list[Problem]:
    """Return a problem for each entry of a list that names under a key what is not known."""
    name, key = keys
    problems = []
    for at, entry in enumerate(block.list_entries(name)):
        value = entry.get(key)
        if isinstance(value, str) and value.strip() not in ["", *known]:
            path = (name, at, key)
            said = f"{rule} ({', '.join(known)})"
            problems.append(Problem(table, block.lines.get(path), format_path(path), value, said))
    return problems


def _locate(loc: tuple[Any, ...], block: YamlBlock) -> tuple[tuple[Any, ...], str]:
    """Return a failure's path in the file and the name of the block it is in.

    pydantic puts the kind of a claim in the path (`claims, 0, median, value`).
    """
    path: tuple[Any, ...] = ()
    above = ""
    for at, part in enumerate(loc):
        last = at == len(loc) - 1
        if not last and not isinstance(part, int) and block.texts.get((*path, "kind")) == part:
            above = part
            continue
        named = (*path, str(part))
        path = named if named in block.lines else (*path, part)
        if not last and not isinstance(part, int):
            above = part
    return path, above


def _explain(failure: Mapping[str, Any]) -> str:
    kind = failure["type"]
    words = _WORDS.get(kind) or _WORDS.get(kind.split("_")[0]) or failure["msg"]
    return words.format(**failure.get("ctx", {})) if kind in _WORDS else words
