"""Cells and notes that several tables share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nkhcc_helpers.report.names import show_group
from nkhcc_helpers.report.numbers import format_median, format_number, format_p

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial


def number(column: str, decimals: int = 0) -> Callable[[dict], str]:
    """A cell that shows the number in `column`."""
    return lambda row: format_number(row[column], decimals)


def p_value(column: str) -> Callable[[dict], str]:
    """A cell that shows the P value in `column`."""
    return lambda row: format_p(row[column])


def group(trial: Trial) -> Callable[[dict], str]:
    """A cell that shows the label of the group."""
    return lambda row: show_group(row["group"], trial)


def median_with_limits(row: dict) -> str:
    """A cell that shows the median with its limits."""
    return format_median(row["median"], row["ci_lower"], row["ci_upper"])


def name_interval(conf_type: str) -> list[str]:
    """The note that names the kind of interval, where it is known."""
    return [f"Interval: {conf_type}."] if conf_type else []


def name_dose_unit(trial: Trial) -> list[str]:
    """The note that says in which unit doses are, where the trial has one."""
    return [f"Dose: {trial.metadata.dose_unit}."] if trial.metadata.dose_unit else []


def name_scope(related_only: bool | None) -> list[str]:
    """The note that says which events were counted, where it is known."""
    if related_only is None:
        return []
    return ["Events related to treatment." if related_only else "Events whatever their cause."]
