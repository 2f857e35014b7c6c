"""Sentences of a page: a template filled with values, and how far a computation is or came."""

from __future__ import annotations

import html
import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nkhcc_helpers.report.names import show_endpoint, show_statistic
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_large, format_p
from nkhcc_helpers.report.results import is_missing, is_sequence
from nkhcc_helpers.trial.problems import join_names

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial


class EscapingFormatter(string.Formatter):
    """`str.format` with every value escaped, NE for what is not estimable, and nouns in their number."""

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        if key not in kwargs:
            raise ValueError(f"the sentence uses {{{key}}}, but no value of that name was given")
        return kwargs[key]

    def format_field(self, value: Any, format_spec: str) -> str:
        if is_sequence(value):
            return join_names([self.format_field(item, format_spec) for item in value], "and") or "none"
        if "|" in format_spec:
            plain, _, words = format_spec.partition(" ")
            word = words.split("|")[0 if not is_missing(value) and value == 1 else 1]
            return word if plain == "-" else f"{self.format_field(value, plain)} {word}"
        if is_missing(value):
            return NOT_ESTIMABLE
        if format_spec == "," and isinstance(value, int):
            return format_large(value)
        text = format_p(value) if format_spec == "p" else format(value, format_spec)
        # A percent sign stands apart, as everywhere on a page.
        return html.escape(f"{text[:-1]} %" if format_spec.endswith("%") else text)

    def lacks_value(self, template: str, values: dict[str, Any]) -> bool:
        """Whether a field of the template is not estimable."""
        return any(is_missing(values.get(name)) for _, name, *_ in self.parse(template) if name is not None)


def strip_tags(markup: str) -> str:
    """Plain text of a sentence."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def describe_progress(n_done: int, n_wanted: int, seconds_left: float, what: str = "cohorts") -> str:
    """How many are done, and about how long the others take."""
    text = f"Done in this run: {n_done:,} of {n_wanted:,} {what}"
    if n_done >= n_wanted or not seconds_left:
        return text
    minutes = seconds_left / 60
    left = f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{seconds_left:.0f} seconds"
    return f"{text}; about {left} to go"


def describe_cut(
    trial: Trial, what: str, n_done: int, n_asked: int, missing: Sequence[Any]
) -> tuple[str, dict[str, Any]]:
    """The sentence that `Page.say_cut` says, and its values."""
    text = "<b>Time was up</b> (parameter minutes) before all was done. {what}: {n_done:,} of {n_asked:,}. "
    text += "Not done, so that nothing is said of it: {missing}. " if missing else ""
    text += "What follows from them depends on how fast the machine was; more minutes reach further."
    values = {"what": what, "n_done": n_done, "n_asked": n_asked}
    return text, {**values, "missing": [_name(each, trial) for each in missing]} if missing else values


def _name(undone: Any, trial: Trial) -> str:
    if isinstance(undone, str):
        return undone
    endpoint, test = undone
    return f"{show_statistic(test, trial)} ({show_endpoint(endpoint, trial)})"
