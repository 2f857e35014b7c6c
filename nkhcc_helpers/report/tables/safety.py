"""Display tables of safety: the overview by category, with and without limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import display_table
from nkhcc_helpers.report.names import ROW, arrange_by_group, list_group_headings, show_group, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_interval,
    format_number,
    format_percent,
    format_share,
    is_estimable,
)
from nkhcc_helpers.safety.counts import ANY_RELATED, OVERALL

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial


EVENTS_NOTE = (
    "{n_treated} of {n_enrolled} patients were treated. Adverse events: {n_events}, in {n_people} of them; "
    "with a completed date: {n_imputed}. Without a day of onset: {n_without_onset}; without a grade: "
    "{n_without_grade}; without an entry on relation: {n_without_relation}, on seriousness: "
    "{n_without_seriousness}, on the action taken: {n_without_action}. Left out: events that are not "
    "treatment-emergent, {n_not_emergent}; events of patients never treated, {n_never_treated}. Terms and "
    "grades: {dictionary}."
)
TREATMENT_NOTES = {
    "actual": (
        "Patients stand in the group of the treatment received. Treated patients with an entry on it: "
        "{n_with_actual}; of them given another group's than was planned: {n_moved}. Without an entry: as "
        "planned."
    ),
    "planned": (
        "Patients stand in the group planned for them. Treated patients with an entry on the treatment "
        "received: {n_with_actual}; of them given another group's, and here still in the one planned: "
        "{n_moved}."
    ),
}
"""Which groups patients stand in, by `populations.GROUPS`."""
LIMITS_NOTE = "Clopper-Pearson limits: never narrower than they should be."


def format_adverse_events(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float | None = None, notes: Iterable[str] = ()
) -> GT:
    """Overview of adverse events: a row per category, a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `safety.count_adverse_events` returns it; with `conf_level`, as `safety.estimate_shares` returns
        it from that.
    trial : Trial
        Knows the group labels.
    conf_level : float, optional
        Level of the intervals to show beside each count; none by default.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    with_limits = conf_level is not None
    inside = f"%; {show_interval(conf_level)}" if with_limits else "%"
    methods = [LIMITS_NOTE] if with_limits else []
    return _table_by_category(
        frame,
        trial,
        {"": lambda row: _people_and_events(row, with_limits=with_limits)},
        title="Adverse events",
        subtitle=f"Patients with at least one ({inside}) [events]",
        notes=["Percent of patients treated.", *methods, *notes],
    )


def _people_and_events(row: pd.Series, *, with_limits: bool) -> str:
    share = format_share(row["n_patients"], row["percent"])
    if with_limits and is_estimable(row["percent"]):
        limits = format_interval(row["ci_lower"], row["ci_upper"], 0)
        share = f"{int(row['n_patients'])} ({format_percent(row['percent'])}; {limits})"
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
        notes=[LIMITS_NOTE, *notes],
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
