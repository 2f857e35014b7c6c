"""Display table of single adverse events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import show_group
from nkhcc_helpers.numbers import NOT_APPLICABLE, format_number, is_estimable

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

LABELS = {
    "USUBJID": "Patient",
    "group": "Group",
    "term": "Term",
    "grade": "Grade",
    "day": "Day",
    "latest_infusion": "Latest infusion",
    "days_since_infusion": "Days since",
    "related": "Related",
    "serious": "Serious",
    "action": "Action taken",
    "outcome": "Outcome",
}
DAY_NOTE = "Day 1 is the day of the first infusion. Latest infusion: its number, and days since it."
NOT_RECORDED_NOTE = (
    "Something that this listing goes by is recorded for no event, or events were not collected: what is not "
    "listed may have occurred."
)
IMPUTED_NOTE = "* The day of onset was not recorded in full and is imputed."


def format_listing(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    title: str = "Listing of adverse events",
    most: int | None = None,
    notes: Iterable[str] = (),
) -> GT:
    """Single adverse events, a row each.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.list_adverse_events` returns it. With a column ``action``, the action taken is shown; with
        ``onset_imputed``, days that rest on an imputed onset have an asterisk.
    trial : Trial
        Knows the group labels.
    title : str
        Heading; say which events are listed.
    most : int, optional
        Events shown, the first of the frame; all by default. A note says how many are left out.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    n_events = len(frame)
    frame = frame.head(n_events if most is None else most)
    left_out = n_events - len(frame)
    more = [f"The first {len(frame)} of {n_events} events are shown."] if left_out else []
    labels = {column: label for column, label in LABELS.items() if column in frame}
    shown = pd.DataFrame({"USUBJID": frame["USUBJID"].astype("str")})
    shown["group"] = [show_group(code, trial) for code in frame["group"]]
    for column in ("grade", "day", "latest_infusion", "days_since_infusion"):
        shown[column] = [format_number(v, 0) if is_estimable(v) else NOT_APPLICABLE for v in frame[column]]
    for column in ("related", "serious"):
        shown[column] = [NOT_APPLICABLE if pd.isna(v) else ("Yes" if v else "No") for v in frame[column]]
    for column in ("term", "action", "outcome"):
        if column in frame:
            shown[column] = [NOT_APPLICABLE if pd.isna(v) or v == "" else str(v) for v in frame[column]]
    imputed = _list_imputed(frame)
    for column in ("day", "days_since_infusion"):
        shown[column] = [
            f"{cell}*" if mark and cell != NOT_APPLICABLE else cell
            for cell, mark in zip(shown[column], imputed, strict=True)
        ]
    return display_table(
        shown[list(labels)],
        title=title,
        subtitle=f"{n_events} event{'' if n_events == 1 else 's'}",
        labels=labels,
        notes=[DAY_NOTE, *([IMPUTED_NOTE] if any(imputed) else []), *more, *notes],
        illustrative=trial.is_illustrative,
    )


def _list_imputed(frame: pd.DataFrame) -> list[bool]:
    if "onset_imputed" not in frame:
        return [False] * len(frame)
    return list(frame["onset_imputed"].fillna("").astype("str") != "")
