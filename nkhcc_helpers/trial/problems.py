"""Problems of a trial's files, and the one error that lists them all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

N_LISTED = 20
"""How many problems of one table, column and rule are written out."""
_LONGEST_VALUE = 60


class TrialDataWarning(UserWarning):
    """Something in a trial's files that can be read but is probably not meant."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a trial's files.

    Attributes
    ----------
    table : str
        `ADSL`, `ADTTE`, `ADEX`, `ADAE`, `trial.yaml`, `published.yaml` or `folder`.
    row : int or None
        Line number in the file, the header being line 1; None when no line is to blame.
    column : str
        Column, or dotted path of a YAML key; empty when no column is to blame.
    value : str
        The value found, as it stands in the file.
    rule : str
        What the value must be, or what is wrong with it.
    """

    table: str
    row: int | None
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        row = "" if self.row is None else f" row {self.row}"
        column = f" {self.column}" if self.column else ""
        value = f" {_shown(self.value)}" if self.value else ""
        return format_printable(f"{self.table}{row}{column}{value}: {self.rule}")


class TrialDataError(ValueError):
    """A trial cannot be read; lists every problem found.

    Parameters
    ----------
    problems : iterable of Problem
        At least one problem.

    Attributes
    ----------
    problems : tuple of Problem
        All problems, however many the message writes out.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{count} problem{'' if count == 1 else 's'} in the trial's files:"]
        return "\n".join(lines + [f"  {line}" for line in _listed(self.problems)])


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` for the nearest known name, or an empty string.

    Parameters
    ----------
    name : str
        Name as found, or as looked for.
    known : iterable of str
        Names it may stand for.
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean {folded[nearest[0]]!r}?" if nearest else ""


def format_printable(text: str) -> str:
    """Return text with control characters written out, so that data cannot steer a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _shown(value: str) -> str:
    cut = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."
    return repr(cut)


def _listed(problems: Sequence[Problem]) -> list[str]:
    lines: list[str] = []
    sizes: dict[tuple[str, str, str], int] = {}
    more_at: dict[tuple[str, str, str], int] = {}
    for problem in problems:
        # Rules that quote a row, a time or a date are one rule.
        kind = (problem.table, problem.column, re.sub(r"[0-9][0-9.:-]*", "#", problem.rule))
        sizes[kind] = sizes.get(kind, 0) + 1
        if sizes[kind] <= N_LISTED:
            lines.append(str(problem))
        elif sizes[kind] == N_LISTED + 1:
            more_at[kind] = len(lines)
            lines.append("")
    for kind, at in more_at.items():
        lines[at] = f"{kind[0]} {kind[1]}".rstrip() + f": and {sizes[kind] - N_LISTED} more of the same kind"
    return lines


def join_names(names: Sequence[str], word: str) -> str:
    """Return names as a sentence lists them, `word` before the last."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def describe_unknown(item: object, known: Sequence[object], *, of_list: bool = False) -> str:
    """Return what is wrong with an item, or item of a list, that is none of those known."""
    listed = join_names([str(each) for each in known], "or") or "nothing, for there is nothing to choose from"
    hint = suggest_name(item, known) if isinstance(item, str) else ""
    return f"{'may hold' if of_list else 'must be'} {listed}, not {item!r}{hint}"
