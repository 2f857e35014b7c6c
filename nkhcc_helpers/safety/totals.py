"""Whether the tables of adverse events agree with each other and with the events themselves."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from nkhcc_helpers.safety.counts import ANY_OF_CLASS, ANY_RELATED, ANY_TERM, BLOCK, ORGAN_CLASS, OVERALL, TERM
from nkhcc_helpers.safety.events import CATEGORIES, list_categories, list_events
from nkhcc_helpers.safety.totals_timing import compare_timing, pair
from nkhcc_helpers.trial.metadata import ALL_GROUPS
from nkhcc_helpers.trial.patients import NOT_CODED

WORST_GRADES = ["1", "2", "3", "4", "5", "missing"]
SEVERE_GRADES = ["3", "4", "5"]
MOST_SHOWN = 20


class TotalsError(ValueError):
    """Tables of adverse events that contradict each other."""


def check_totals(trial, *, overview, by_term, listings, related_only=False, emergent_only=True, **timing):
    """Check that the tables of adverse events reconcile.

    Parameters
    ----------
    trial : Trial
    overview : DataFrame
        As of `safety.count_adverse_events`.
    by_term : DataFrame
        As of `safety.count_by_term`.
    listings : dict of str to DataFrame
        Category of the overview, and all its events as of `safety.list_adverse_events`.
    related_only : bool, default False
        As it was for all tables but the overview.
    emergent_only : bool, default True
        As it was for all tables.
    **timing
        ``rates``, ``onset``, ``by_infusion``, ``dose_limiting`` with its ``definition``, and ``window_days``,
        as `totals_timing.compare_timing` takes them; what is left out is not checked.

    Returns
    -------
    int
        How many pairs of numbers were compared.

    Raises
    ------
    TotalsError
        Naming every pair that disagrees or lacks its partner: worst grades against patients with any; groups
        against "All"; percentages; classes, terms, overview, rates, onset and duration, events by infusion
        and dose-limiting toxicity against the events counted anew; overview against terms and listings;
        rates against terms.
    """
    options = {"related_only": related_only, "emergent_only": emergent_only}
    checks = pd.concat(
        [
            _compare_grades(by_term),
            _compare_groups(by_term, [*BLOCK, "grade"], "by term"),
            _compare_groups(overview, ["category"], "overview"),
            _compare_percentages(pd.concat([by_term, overview])),
            _compare_terms_with_events(trial, by_term, related_only, emergent_only),
            _compare_overview_with_terms(overview, by_term, related_only),
            _compare_overview_with_events(trial, overview, emergent_only),
            *(_compare_listing(overview, category, listed) for category, listed in listings.items()),
            *compare_timing(trial, by_term=by_term, **timing, **options),
        ],
        ignore_index=True,
    )
    # What is not recorded has nothing to agree with; what is told must have a partner.
    checks = checks.dropna(subset=["first"])
    wrong = checks[(checks["first"] != checks["second"]).fillna(True).astype(bool)]
    if len(wrong):
        told = [f"{row.what}: {row.first} is not {row.second}" for row in wrong.head(MOST_SHOWN).itertuples()]
        more = [f"and {len(wrong) - MOST_SHOWN} more"] if len(wrong) > MOST_SHOWN else []
        raise TotalsError("tables of adverse events disagree: " + "; ".join(told + more))
    return len(checks)


def _compare_grades(by_term):
    """Each patient stands in one worst grade, so that these add up to those with any."""
    keys = [*BLOCK, "group"]
    by_grade = by_term.astype({"group": str}).set_index(keys)
    parts = []
    for total, grades in (("any", WORST_GRADES), ("3+", SEVERE_GRADES)):
        counted = by_grade.loc[by_grade["grade"] == total, "n_patients"]
        inside = by_grade.loc[by_grade["grade"].isin(grades), "n_patients"]
        summed = inside.groupby(level=keys, sort=False).sum().reindex(counted.index)
        what = f"by term, {total} against worst grades, " + counted.index.map(" / ".join)
        parts.append(pair(what, counted, summed))
    return pd.concat(parts)


def _compare_groups(table, keys, name):
    """Nobody is in two groups, so that the groups add up to all."""
    group = table["group"].astype(str)
    total = table[group == ALL_GROUPS].set_index(keys)["n_patients"]
    summed = table[group != ALL_GROUPS].groupby(keys, sort=False, observed=True)["n_patients"].sum()
    where = total.index.map(" / ".join) if len(keys) > 1 else total.index.astype(str)
    return pair(f"{name}, all against groups, " + where, total, summed.reindex(total.index))


def _compare_percentages(table):
    """Percentages, in thousandths, are of those evaluable."""
    share = (100_000 * table["percent"]).round()
    known = table["n_evaluable"].where(table["n_evaluable"] > 0).astype("Float64")
    counted = (10_000_000 * table["n_patients"].astype("Float64") / known).round()
    return pair("percentage, group " + pd.Index(table["group"].astype(str)), counted, share)


def _compare_terms_with_events(trial, by_term, related_only, emergent_only):
    """Every row of the table by term, counted anew patient by patient."""
    if by_term["n_patients"].isna().all() and len(by_term):
        return pair([], pd.Series(dtype="Int64"), pd.Series(dtype="Int64"))
    overall = (OVERALL, "", ANY_RELATED if related_only else ANY_TERM)
    events = list_events(trial, related_only=related_only, emergent_only=emergent_only)
    columns = [events[name].astype(str) for name in ("organ_class", "term", "USUBJID")]
    grades = events["grade"].fillna(0).astype(int)
    worst = {overall: {}}
    for organ_class, term, patient, grade in zip(*columns, grades, strict=True):
        blocks = [overall, (TERM, organ_class, term)]
        if organ_class != NOT_CODED:
            blocks.append((ORGAN_CLASS, organ_class, ANY_OF_CLASS))
        for block in blocks:
            own = worst.setdefault(block, {})
            own[patient] = max(own.get(patient, 0), grade)
    seen = _count_by_group(worst, dict(zip(events["USUBJID"], events["group"].astype(str), strict=True)))
    told = by_term.astype({"group": str, "organ_class": str}).set_index([*BLOCK, "group"])
    counted = [
        _count_grade(seen.get(key, {}), grade) for key, grade in zip(told.index, told["grade"], strict=True)
    ]
    where = "terms against events, " + told.index.map(" / ".join) + " / " + told["grade"].to_numpy()
    cells = pair(where, told["n_patients"], pd.Series(counted, dtype="Int64"))
    n_seen = pd.Series([len(worst)], dtype="Int64")
    n_told = pd.Series([len(by_term[BLOCK].drop_duplicates())], dtype="Int64")
    return pd.concat([cells, pair(["terms and classes that occurred"], n_seen, n_told)])


def _count_by_group(worst, group_of):
    """How many patients of each block and group have which worst grade, 0 where none is known."""
    counts = {}
    for block, own in worst.items():
        for patient, grade in own.items():
            for group in (group_of[patient], ALL_GROUPS):
                counts.setdefault((*block, group), Counter())[grade] += 1
    return counts


def _count_grade(counts, row):
    wanted = {"any": range(6), "3+": (3, 4, 5), "missing": (0,)}.get(row) or (int(row),)
    return sum(counts.get(grade, 0) for grade in wanted)


def _compare_overview_with_terms(overview, by_term, related_only):
    total, grade3 = ("related", "related_grade3") if related_only else ("any", "grade3")
    first = by_term[by_term["level"] == OVERALL]
    parts = []
    for category, grade in ((total, "any"), (grade3, "3+")):
        counted = _by_group(overview[overview["category"] == category])
        terms = _by_group(first[first["grade"] == grade]).reindex(counted.index)
        parts.append(pair(f"overview against terms, {category}, " + counted.index, counted, terms))
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
            parts.append(pair("overview against events, " + where, told, seen))
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
        parts.append(pair(f"overview against listing, {category}, " + where, counted[column], seen))
    return pd.concat(parts)


def _by_group(table):
    return table.astype({"group": str}).set_index("group")["n_patients"]
