"""Display tables of safety: the overview by category, with and without limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import ROW, arrange_by_group, list_group_headings, show_interval
from nkhcc_helpers.numbers import (
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
