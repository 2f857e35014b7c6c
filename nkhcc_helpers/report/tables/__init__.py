"""Every table of a result, found by the function or class that the result is from."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import LAYOUTS, display_table
from nkhcc_helpers.report.tables import (  # noqa: F401 (each adds its LAYOUTS)
    cohort,
    cox_checks,
    safety_timing,
    survival,
)
from nkhcc_helpers.report.tables.compatible import (
    format_answers,
    format_assumptions,
    format_claims,
    format_cohort_diagnostics,
    format_conclusions,
    format_narrowing,
    format_signs,
)
from nkhcc_helpers.report.tables.cox import list_detectable, list_ratios
from nkhcc_helpers.report.tables.safety import list_event_notes, list_overall_shares

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial

__all__ = [
    "format_answers",
    "format_assumptions",
    "format_claims",
    "format_cohort_diagnostics",
    "format_conclusions",
    "format_narrowing",
    "format_result",
    "format_signs",
    "list_detectable",
    "list_event_notes",
    "list_overall_shares",
    "list_ratios",
]


def format_result(result: object, trial: Trial, *, about: str = "", **options) -> GT:
    """The table that shows a result.

    Parameters
    ----------
    result : Result, Comparison or pandas.DataFrame
        What a statistics function returned. A plain frame is shown as it is, by `display_table`.
    trial : Trial
        Knows what groups and endpoints are called.
    about : str
        Code of the endpoint that the page is about, for tables that name one and results that know none;
        empty for the trial's first.
    **options
        ``notes``: further lines under the table; and what else the table takes, such as ``labels``,
        ``title`` or ``endpoint``. They go before the options that the result carries.

    Raises
    ------
    TypeError
        No table shows such a result, or it takes no such option; a plain frame without ``title``.
    """
    made_by = getattr(result, "made_by", None)
    layout = LAYOUTS.get(made_by or type(result))
    if layout is None and isinstance(result, pd.DataFrame):
        if "title" not in options and options.keys() <= inspect.signature(display_table).parameters.keys():
            name = f" of {made_by.__name__}" if made_by else ""
            raise TypeError(
                f"this result{name} was changed after it was made, or no table shows it; "
                "give title=... and labels=..."
            )
        return display_table(result, illustrative=trial.is_illustrative, **options)
    if layout is None:
        raise TypeError(f"no table shows a {type(result).__name__}")
    carried = {"endpoint": about, **getattr(result, "options", {})}
    carried["endpoint"] = carried["endpoint"] or next(iter(trial.endpoint_labels))
    taken = inspect.signature(layout).parameters
    return layout(result, trial, **{name: carried[name] for name in carried if name in taken} | options)
