"""Display tables of adverse events by term and worst grade."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import ROW, list_group_headings
from nkhcc_helpers.numbers import format_share, is_estimable
from nkhcc_helpers.safety_terms import ANY_RELATED, OVERALL

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

COLUMN_LABELS = {"any": "Any", "3+": "Grade 3+"}
ROW_LABELS = {
    **{grade: f"Grade {grade}" for grade in "12345"},
    "3+": "Grade 3 or more",
    "missing": "Grade missing",
}
ANY_BLOCK = "All events"
COUNT_NOTE = (
    "Patients (%), each counted once a row at the worst grade, once a class however many of its terms; "
    "percent of patients treated. Grade missing: no event of the row has a known grade."
)
SEVERITY_NOTE = (
    "Grades of {n_by_words} events were read from severity words (mild 1, moderate 2, severe 3, "
    "life-threatening 4, fatal 5; not CTCAE grades)."
)


def format_terms(
    frame: pd.DataFrame, trial: Trial, *, layout: str = "short", notes: Iterable[str] = ()
) -> GT:
    """Adverse events by term within organ class, each class headed by its own row; columns per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.count_by_term` returns it.
    trial : Trial
        Knows the group labels.
    layout : {"short", "grades"}
        ``short``: for each group patients with any grade and with grade 3 or more; ``grades``: below each
        term one row for each worst grade that occurred, for grade 3 or more, and for a missing grade.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT

    Raises
    ------
    ValueError
        Another layout.
    """
    if layout not in ("short", "grades"):
        raise ValueError(f"Unknown layout {layout!r} for the table of terms; use 'short' or 'grades'.")
    groups = list_group_headings(frame, trial, "n_evaluable")
    notes = [COUNT_NOTE, *notes]
    which = "Related adverse" if _is_related(frame) else "Adverse"
    options = {"title": f"{which} events by organ class and term", "row_group": "block", "notes": notes}
    options["illustrative"] = trial.is_illustrative
    if layout == "grades":
        options["title"] = f"{which} events by organ class, term and worst grade"
        return display_table(_rows_by_grade(frame, groups), labels={ROW: ""}, groups=groups, **options)
    return _short_table(frame, groups, options)


def _is_related(frame: pd.DataFrame) -> bool:
    """Whether only related events were counted, as the name of the first block says."""
    return bool((frame.loc[frame["level"] == OVERALL, "term"] == ANY_RELATED).any())


def _short_table(frame: pd.DataFrame, groups: dict[str, str], options: dict) -> GT:
    rows = {(f"{code}|{grade}"): (code, grade) for code in groups for grade in ("any", "3+")}
    shown = []
    for (organ_class, term), part in _terms(frame):
        cells = {(str(row["group"]), row["grade"]): row for row in part.to_dict("records")}
        found = {column: _cell(cells.get(key)) for column, key in rows.items()}
        shown.append({"block": organ_class, ROW: term, **found})
    headings = {column: COLUMN_LABELS[grade] for column, (_, grade) in rows.items()}
    spanners = [(heading, [f"{code}|any", f"{code}|3+"]) for code, heading in groups.items()]
    table = pd.DataFrame(shown, columns=["block", ROW, *rows])
    return display_table(table, labels={ROW: ""}, groups=headings, spanners=spanners, **options)


def _rows_by_grade(frame: pd.DataFrame, groups: dict[str, str]) -> pd.DataFrame:
    shown = []
    for (organ_class, term), part in _terms(frame):
        cells = {(str(row["group"]), row["grade"]): row for row in part.to_dict("records")}
        for grade in ["any", *ROW_LABELS]:
            found = [cells.get((code, grade)) for code in groups]
            if grade == "any" or any(map(_has_patients, found)):
                label = term if grade == "any" else f"\u2003{ROW_LABELS[grade]}"
                values = dict(zip(groups, map(_cell, found), strict=True))
                shown.append({"block": organ_class, ROW: label, **values})
    return pd.DataFrame(shown, columns=["block", ROW, *groups])


def _has_patients(row: dict | None) -> bool:
    return row is not None and is_estimable(row["n_patients"]) and row["n_patients"] > 0


def _terms(frame: pd.DataFrame):
    """Each block's rows, organ class by organ class in the order they come, and what heads them."""
    organ_class = frame["organ_class"].astype("str").mask(frame["level"] == OVERALL, ANY_BLOCK)
    frame = frame.assign(organ_class=organ_class, grade=frame["grade"].astype("str"))
    blocks = frame.groupby("organ_class", sort=False, observed=True)
    return [
        ((block, term), part)
        for block, rows in blocks
        for (_, term), part in rows.groupby(["level", "term"], sort=False, observed=True)
    ]


def _cell(row: dict | None) -> str:
    return "0" if row is None else format_share(row["n_patients"], row["percent"])
