"""Display tables of safety: overview, terms, onset and duration, listing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import ROW, arrange_by_group, list_group_headings, show_group, show_interval
from nkhcc_helpers.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_interval,
    format_number,
    format_percent,
    format_share,
    is_estimable,
)

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

GRADE_LABELS = {"any": "Any", "3+": "Grade 3+", "missing": "Grade missing"}
ANY_BLOCK = "All events"
ONSET_NOTES = (
    "Onset: days since the latest infusion. Duration: end date minus onset date, 0 on the same day; where "
    "both days are counted, as in CDISC's ADURN, it is one more. Dates do not tell hours.",
    "Ended the same or next day: percent of the events with a known onset; without an end date, an event "
    "counts as not having ended then. Not resolved: events.",
)


def format_adverse_events(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Overview of adverse events: a row per category, a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.count_adverse_events` returns it.
    trial : Trial
        Knows the group labels.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    return _table_by_category(
        frame,
        trial,
        {"": _people_and_events},
        title="Adverse events",
        subtitle="Patients with at least one (%) [events]",
        notes=["Percent of patients treated.", *notes],
    )


def _people_and_events(row: pd.Series) -> str:
    share = format_share(row["n_patients"], row["percent"])
    return f"{share} [{int(row['n_events'])}]" if is_estimable(row["n_events"]) and row["n_events"] else share


def format_shares(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """Share of patients with an adverse event of each category, with its interval, a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.estimate_shares` returns it from the counts by category.
    trial : Trial
        Knows the group labels.
    conf_level : float
        Level of the intervals, for the subtitle.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    return _table_by_category(
        frame,
        trial,
        {"": _share_and_limits},
        title="Patients with an adverse event",
        subtitle=f"Percent of patients treated ({show_interval(conf_level)})",
        notes=["Clopper-Pearson limits: never narrower than they should be.", *notes],
    )


def _share_and_limits(row: pd.Series) -> str:
    if not is_estimable(row["percent"]):
        return NOT_ESTIMABLE
    return f"{format_number(row['percent'], 0)} ({format_interval(row['ci_lower'], row['ci_upper'], 0)})"


def _table_by_category(frame: pd.DataFrame, trial: Trial, cell: dict, **options) -> GT:
    parts = frame.groupby("category", sort=False, observed=True)
    rows = [arrange_by_group(part, cell).assign(**{ROW: part["label"].iloc[0]}) for _, part in parts]
    groups = list_group_headings(frame, trial, "n_evaluable")
    return display_table(
        pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=[ROW, *groups]),
        labels={ROW: ""},
        groups=groups,
        illustrative=trial.is_illustrative,
        **options,
    )


def format_terms(
    frame: pd.DataFrame, trial: Trial, *, layout: str = "short", notes: Iterable[str] = ()
) -> GT:
    """Adverse events by term within organ class, a column (or two) per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.count_by_term` returns it.
    trial : Trial
        Knows the group labels.
    layout : {"short", "grades"}
        ``short``: for each group patients with any grade and with grade 3 or more; ``grades``: below each
        term one row for each worst grade that occurred.
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
    notes = ["Patients (%), each counted once a row at the worst grade; percent of patients treated.", *notes]
    options = {"title": "Adverse events by term", "row_group": "block", "notes": notes}
    options["illustrative"] = trial.is_illustrative
    if layout == "grades":
        options["title"] += " and worst grade"
        return display_table(_rows_by_grade(frame, groups), labels={ROW: ""}, groups=groups, **options)
    return _short_table(frame, groups, options)


def _short_table(frame: pd.DataFrame, groups: dict[str, str], options: dict) -> GT:
    rows = {(f"{code}|{grade}"): (code, grade) for code in groups for grade in ("any", "3+")}
    shown = []
    for (organ_class, term), part in _terms(frame):
        cells = {(str(row["group"]), row["grade"]): row for row in part.to_dict("records")}
        found = {column: _cell(cells.get(key)) for column, key in rows.items()}
        shown.append({"block": organ_class, ROW: term, **found})
    headings = {column: GRADE_LABELS[grade] for column, (_, grade) in rows.items()}
    spanners = [(heading, [f"{code}|any", f"{code}|3+"]) for code, heading in groups.items()]
    table = pd.DataFrame(shown, columns=["block", ROW, *rows])
    return display_table(table, labels={ROW: ""}, groups=headings, spanners=spanners, **options)


def _rows_by_grade(frame: pd.DataFrame, groups: dict[str, str]) -> pd.DataFrame:
    shown = []
    for (organ_class, term), part in _terms(frame):
        cells = {(str(row["group"]), row["grade"]): row for row in part.to_dict("records")}
        for grade in ["any", "1", "2", "3", "4", "5", "missing"]:
            found = [cells.get((code, grade)) for code in groups]
            if grade == "any" or any(map(_has_patients, found)):
                label = term if grade == "any" else f"\u2003{GRADE_LABELS.get(grade, f'Grade {grade}')}"
                values = dict(zip(groups, map(_cell, found), strict=True))
                shown.append({"block": organ_class, ROW: label, **values})
    return pd.DataFrame(shown, columns=["block", ROW, *groups])


def _has_patients(row: dict | None) -> bool:
    return row is not None and is_estimable(row["n_patients"]) and row["n_patients"] > 0


def _terms(frame: pd.DataFrame):
    """Each term's rows, organ class by organ class in the order they come; no organ class heads the total."""
    organ_class = frame["organ_class"].astype("str").replace("", ANY_BLOCK)
    frame = frame.assign(organ_class=organ_class, grade=frame["grade"].astype("str"))
    blocks = frame.groupby("organ_class", sort=False, observed=True)
    return [
        ((block, term), part)
        for block, rows in blocks
        for term, part in rows.groupby("term", sort=False, observed=True)
    ]


def _cell(row: dict | None) -> str:
    return "0" if row is None else format_share(row["n_patients"], row["percent"])


def format_onset(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """When adverse events began after an infusion, and how long they lasted, a row per term.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.summarize_onset` returns it; days.
    trial : Trial
        Knows whether the data are illustrative.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "term": list(frame["term"]),
            "n_patients": list(frame["n_patients"]),
            "n_events": list(frame["n_events"]),
            "onset": [_median_and_range(row, "onset") for row in records],
            "duration": [_median_and_range(row, "duration") for row in records],
            "within_day": [format_percent(row["percent_within_one_day"]) for row in records],
            "n_ongoing": list(frame["n_ongoing"]),
        }
    )
    return display_table(
        shown,
        title="Onset and duration",
        subtitle="Days; median (range)",
        labels={
            "term": "",
            "n_patients": "Patients",
            "n_events": "Events",
            "onset": "Onset after infusion",
            "duration": "Duration",
            "within_day": "Ended the same or next day",
            "n_ongoing": "Not resolved",
        },
        notes=[*ONSET_NOTES, *notes],
        illustrative=trial.is_illustrative,
    )


def _median_and_range(row: dict, name: str) -> str:
    if not is_estimable(row[f"{name}_median"]):
        return NOT_APPLICABLE
    ends = format_interval(row[f"{name}_minimum"], row[f"{name}_maximum"], 0)
    return f"{format_number(row[f'{name}_median'])} ({ends})"


def format_listing(
    frame: pd.DataFrame, trial: Trial, *, title: str = "Listing of adverse events", notes: Iterable[str] = ()
) -> GT:
    """Single adverse events, a row each.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.list_adverse_events` returns it.
    trial : Trial
        Knows the group labels.
    title : str
        Heading; say which events are listed.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    labels = {
        "USUBJID": "Patient",
        "group": "Group",
        "term": "Term",
        "grade": "Grade",
        "day": "Day",
        "latest_infusion": "Latest infusion",
        "days_since_infusion": "Days since",
        "related": "Related",
        "serious": "Serious",
        "outcome": "Outcome",
    }
    shown = pd.DataFrame({"USUBJID": frame["USUBJID"].astype("str")})
    shown["group"] = [show_group(code, trial) for code in frame["group"]]
    for column in ("grade", "day", "latest_infusion", "days_since_infusion"):
        shown[column] = [format_number(v, 0) if is_estimable(v) else NOT_APPLICABLE for v in frame[column]]
    for column in ("related", "serious"):
        shown[column] = [NOT_APPLICABLE if pd.isna(v) else ("Yes" if v else "No") for v in frame[column]]
    for column in ("term", "outcome"):
        shown[column] = [NOT_APPLICABLE if pd.isna(v) or v == "" else str(v) for v in frame[column]]
    return display_table(
        shown[list(labels)],
        title=title,
        subtitle=f"{len(frame)} event{'' if len(frame) == 1 else 's'}",
        labels=labels,
        notes=[
            "Day 1 is the day of the first infusion. Latest infusion: its number, and days since it.",
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )
