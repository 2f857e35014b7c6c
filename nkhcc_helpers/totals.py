"""Whether the tables of adverse events agree with each other and with the events themselves."""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.events import CATEGORIES, list_categories, list_events
from nkhcc_helpers.metadata import ALL_GROUPS
from nkhcc_helpers.safety_counts import ANY_TERM

WORST_GRADES = ["1", "2", "3", "4", "5", "missing"]
SEVERE_GRADES = ["3", "4", "5"]
MOST_SHOWN = 20


class TotalsError(ValueError):
    """Tables of adverse events that contradict each other."""


def check_totals(trial, *, overview, by_term, listings, emergent_only=True):
    """Check that the tables of adverse events reconcile.

    Parameters
    ----------
    trial : Trial
    overview : DataFrame
        As of `safety.count_adverse_events`.
    by_term : DataFrame
        As of `safety.count_by_term`, of all events, whatever their relation.
    listings : dict of str to DataFrame
        Category of the overview, and all its events as of `safety.list_adverse_events`.
    emergent_only : bool, default True
        As it was for the tables.

    Returns
    -------
    int
        How many pairs of numbers were compared.

    Raises
    ------
    TotalsError
        Naming every pair that disagrees: worst grades against patients with any; groups against "All";
        overview against terms, against listings, and against the events counted anew.
    """
    checks = pd.concat(
        [
            _compare_grades(by_term),
            _compare_groups(by_term, ["organ_class", "term", "grade"], "by term"),
            _compare_groups(overview, ["category"], "overview"),
            _compare_overview_with_terms(overview, by_term),
            _compare_overview_with_events(trial, overview, emergent_only),
            *(_compare_listing(overview, category, listed) for category, listed in listings.items()),
        ],
        ignore_index=True,
    )
    checks = checks.dropna(subset=["first", "second"])
    wrong = checks[checks["first"] != checks["second"]]
    if len(wrong):
        told = [f"{row.what}: {row.first} is not {row.second}" for row in wrong.head(MOST_SHOWN).itertuples()]
        more = [f"and {len(wrong) - MOST_SHOWN} more"] if len(wrong) > MOST_SHOWN else []
        raise TotalsError("tables of adverse events disagree: " + "; ".join(told + more))
    return len(checks)


def _compare_grades(by_term):
    """Each patient stands in one worst grade, so that these add up to those with any."""
    keys = ["organ_class", "term", "group"]
    by_grade = by_term.astype({"group": str}).set_index(keys)
    parts = []
    for total, grades in (("any", WORST_GRADES), ("3+", SEVERE_GRADES)):
        counted = by_grade.loc[by_grade["grade"] == total, "n_patients"]
        inside = by_grade.loc[by_grade["grade"].isin(grades), "n_patients"]
        summed = inside.groupby(level=keys, sort=False).sum().reindex(counted.index)
        what = f"by term, {total} against worst grades, " + counted.index.map(" / ".join)
        parts.append(_pair(what, counted, summed))
    return pd.concat(parts)


def _compare_groups(table, keys, name):
    """Nobody is in two groups, so that the groups add up to all."""
    group = table["group"].astype(str)
    total = table[group == ALL_GROUPS].set_index(keys)["n_patients"]
    summed = table[group != ALL_GROUPS].groupby(keys, sort=False, observed=True)["n_patients"].sum()
    where = total.index.map(" / ".join) if len(keys) > 1 else total.index.astype(str)
    return _pair(f"{name}, all against groups, " + where, total, summed.reindex(total.index))


def _compare_overview_with_terms(overview, by_term):
    first = by_term[(by_term["term"] == ANY_TERM) & (by_term["organ_class"] == "")]
    parts = []
    for category, grade in (("any", "any"), ("grade3", "3+")):
        counted = _by_group(overview[overview["category"] == category])
        terms = _by_group(first[first["grade"] == grade]).reindex(counted.index)
        parts.append(_pair(f"overview against terms, {category}, " + counted.index, counted, terms))
    return pd.concat(parts)


def _compare_overview_with_events(trial, overview, emergent_only):
    """Patients and events of each category, counted anew from the events."""
    events = list_events(trial, emergent_only=emergent_only)
    flags = list_categories(events)
    parts = []
    for category in CATEGORIES:
        counted = overview[overview["category"] == category].astype({"group": str}).set_index("group")
        inside = events[flags[category]]
        for group, row in counted.iterrows():
            part = inside if group == ALL_GROUPS else inside[inside["group"].astype(str) == group]
            seen = pd.Series([len(set(part["USUBJID"])), len(part)], dtype="Int64")
            told = pd.Series([row["n_patients"], row["n_events"]], dtype="Int64")
            where = pd.Index(["patients", "events"]) + f" of {category}, {group}"
            parts.append(_pair("overview against events, " + where, told, seen))
    return pd.concat(parts)


def _compare_listing(overview, category, listed):
    counted = overview[overview["category"] == category].astype({"group": str}).set_index("group")
    listed = listed.astype({"group": str})
    both = pd.concat([listed, listed.assign(group=ALL_GROUPS)])
    grouped = both.groupby("group")["USUBJID"]
    parts = []
    for column, seen in (("n_patients", grouped.nunique()), ("n_events", grouped.size())):
        seen = seen.reindex(counted.index, fill_value=0)
        where = counted.index + f", {column}"
        parts.append(_pair(f"overview against listing, {category}, " + where, counted[column], seen))
    return pd.concat(parts)


def _by_group(table):
    return table.astype({"group": str}).set_index("group")["n_patients"]


def _pair(what, first, second):
    return pd.DataFrame(
        {
            "what": pd.Index(what).astype(str),
            "first": pd.array(first.to_numpy(), dtype="Int64"),
            "second": pd.array(second.to_numpy(), dtype="Int64"),
        }
    )
