"""Adverse events: patients per category, per term and worst grade, onset and duration, listing.

Every count is of patients unless a name says events. The patients are those treated
(`nkhcc_helpers.populations.list_treated`); the events are their treatment-emergent ones
(`list_treatment_emergent`). Groups stand in the trial's order, then "All"; a group without events keeps
its row with 0.
"""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.populations import list_text, list_treated, list_with_all

CATEGORIES = {
    "any": "Any adverse event",
    "related": "Related to treatment",
    "serious": "Serious",
    "grade3": "Grade 3 or more",
    "related_grade3": "Related, grade 3 or more",
    "fatal": "Fatal",
    "discontinued": "Leading to discontinuation",
}
"""Rows of the overview, in order: name and label."""

ANY_TERM = "Any adverse event"
"""Term of the block that takes all terms together; its organ class is empty."""

_ALL_TERMS = {"organ_class": "", "term": ANY_TERM}

GRADES = ["any", "1", "2", "3", "4", "5", "3+", "missing"]
"""Rows of each term's block, in order."""

LISTINGS = {
    "all": ["any"],
    "related": ["related"],
    "serious": ["serious"],
    "grade 3": ["grade3"],
    "serious or grade 3": ["serious", "grade3"],
    "fatal": ["fatal"],
    "discontinued": ["discontinued"],
}
"""What `list_adverse_events` can list, and the categories each takes."""

# What must be recorded on some event, alternatives in brackets, for a count of 0 to mean anything.
_NEEDS = {
    "any": [],
    "related": [["related"]],
    "serious": [["serious"]],
    "grade3": [["grade"]],
    "related_grade3": [["related"], ["grade"]],
    "fatal": [["grade", "outcome"]],
    "discontinued": [["action"]],
}


def list_treatment_emergent(trial):
    """List the treatment-emergent adverse events of treated patients.

    Where TRTEMFL holds any flag, events flagged Y are treatment-emergent and all others are not. Where it
    is not there or empty throughout, an event is treatment-emergent if its onset is on or after the day
    of the patient's first infusion; an event whose onset, or whose patient's first infusion, is not known
    is taken for treatment-emergent, the choice that hides nothing.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Rows of ``trial.adverse_events`` with the patient's ``first_infusion``.
    """
    treated = trial.subjects.loc[list_treated(trial), ["USUBJID", "first_infusion"]]
    events = trial.adverse_events.drop(columns="first_infusion", errors="ignore")
    events = events.merge(treated, on="USUBJID", how="inner")
    flag = list_text(events, "TRTEMFL")
    emergent = (
        flag.isin(["Y", "YES"]) if (flag != "").any() else ~(events["onset"] < events["first_infusion"])
    )
    return events[emergent.astype(bool)].reset_index(drop=True)


def list_categories(events):
    """List which categories of the overview each event falls in.

    Parameters
    ----------
    events : DataFrame
        Columns ``grade related serious outcome action``.

    Returns
    -------
    DataFrame of bool
        One column for each of `CATEGORIES`, indexed as `events`. A missing grade, relation or seriousness
        does not count as grade 3 or more, related or serious. Fatal: grade 5, or AEOUT says fatal or
        death. Discontinued: AEACN says withdrawn, discontinued or stopped, without not or temporarily.
    """
    related = events["related"].fillna(False).astype(bool)
    grade3 = (events["grade"] >= 3).fillna(False).astype(bool)
    died = _says(events, "outcome", r"\b(?:FATAL|DEATH|DIED)\b", r"\b(?:NOT|NON)\b")
    stopped = r"\b(?:WITHDRAWN|WITHDRAWAL|DISCONTINU\w*|STOPPED)\b"
    return pd.DataFrame(
        {
            "any": True,
            "related": related,
            "serious": events["serious"].fillna(False).astype(bool),
            "grade3": grade3,
            "related_grade3": related & grade3,
            "fatal": died | (events["grade"] == 5).fillna(False).astype(bool),
            "discontinued": _says(events, "action", stopped, r"\b(?:NOT|NO|TEMPORAR\w*)\b"),
        },
        index=events.index,
    )


def count_evaluable(trial):
    """Count the patients treated, by group and overall.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    Series of int
        ``n_evaluable``, indexed by group, then "All".
    """
    treated = trial.subjects.loc[list_treated(trial), ["group"]]
    counts = list_with_all(treated, trial.groups).groupby("group", observed=False).size()
    return counts.rename("n_evaluable")


def count_adverse_events(trial):
    """Count patients with an adverse event of each category, by group and overall.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Columns ``category label group n_patients n_evaluable percent n_events``, one row for each of
        `CATEGORIES` and group. Patients and events are NA where adverse events were not collected, and
        where there are events but none records what the category needs (no AESER on any event, say);
        percent is of ``n_evaluable``, NaN where that is 0.
    """
    events = list_treatment_emergent(trial)
    flags = list_categories(events)
    parts = []
    for category, label in CATEGORIES.items():
        inside = list_with_all(events.loc[flags[category], ["USUBJID", "group"]], trial.groups)
        grouped = inside.groupby("group", observed=False)["USUBJID"]
        counts = pd.DataFrame({"n_patients": grouped.nunique(), "n_events": grouped.size()}).astype("Int64")
        if not _is_recorded(trial, events, category):
            counts[:] = pd.NA
        parts.append(counts.reset_index().assign(category=category, label=label))
    counts = _add_percent(pd.concat(parts, ignore_index=True), trial)
    return counts[["category", "label", "group", "n_patients", "n_evaluable", "percent", "n_events"]]


def count_by_term(trial, *, related_only=False):
    """Count patients by term and worst grade, by group and overall.

    Parameters
    ----------
    trial : Trial
    related_only : bool, default False
        Count only events related to treatment.

    Returns
    -------
    DataFrame
        Columns ``organ_class term grade group n_patients n_evaluable percent``. Grade is "any", "1" to "5"
        (the patient's worst known grade of the term), "3+", and "missing" (no event of the term has a known
        grade), so that "any" is the sum of "1" to "5" and "missing". A patient counts once a row. The first
        block, `ANY_TERM` with an empty organ class, takes all terms together; terms follow by number of
        patients, then of events, then by name. Where adverse events were not collected, or with
        `related_only` no event records its relation, that first block is the only one and its patients
        are NA.
    """
    events = list_treatment_emergent(trial)
    recorded = _is_recorded(trial, events, "related" if related_only else "any")
    if related_only:
        events = events[list_categories(events)["related"]]
    blocks = pd.concat([pd.DataFrame([_ALL_TERMS]), _order_terms(events)], ignore_index=True)
    worst = pd.concat([_list_worst(events.assign(**_ALL_TERMS)), _list_worst(events)], ignore_index=True)
    counts = _count_worst(worst, blocks, trial.groups)
    if not recorded:
        counts["n_patients"] = pd.NA
    counts = _add_percent(counts.astype({"n_patients": "Int64"}), trial)
    return counts[["organ_class", "term", "grade", "group", "n_patients", "n_evaluable", "percent"]]


def summarize_onset(trial):
    """Summarize, term by term, how soon after an infusion events begin and how long they last.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Columns ``term n_patients n_events onset_median onset_minimum onset_maximum duration_median
        duration_minimum duration_maximum n_ongoing percent_within_one_day``; times in days, NaN where
        nothing is known; terms in the order of `count_by_term`. Onset: from the patient's latest infusion
        on or before it, 0 on the day of the infusion. Duration: resolved minus onset, 0 on the same day.
        Ongoing: no end date, and AEOUT does not say recovered, resolved or fatal. Within one day: events
        lasting at most 1 day, of all events with a known onset; one without an end date is not.
    """
    events = _add_latest_infusion(list_treatment_emergent(trial), trial)
    events["duration"] = (events["resolved"] - events["onset"]).dt.days
    over = _says(events, "outcome", r"^(?:RECOVERED|RESOLVED|FATAL|DEATH|DIED)")
    events["ongoing"] = events["resolved"].isna() & ~over
    events["within"] = (events["duration"] <= 1).astype(float).mask(events["onset"].isna())
    grouped = events.groupby("term")
    summary = pd.DataFrame({"n_patients": grouped["USUBJID"].nunique(), "n_events": grouped.size()})
    for name, column in {"onset": "days_since_infusion", "duration": "duration"}.items():
        for label, statistic in {"median": "median", "minimum": "min", "maximum": "max"}.items():
            summary[f"{name}_{label}"] = grouped[column].agg(statistic).astype(float)
    summary["n_ongoing"] = grouped["ongoing"].sum().astype(int)
    summary["percent_within_one_day"] = 100 * grouped["within"].mean()
    order = ["n_patients", "n_events", "term"]
    return summary.reset_index().sort_values(order, ascending=[False, False, True], ignore_index=True)


def list_adverse_events(trial, *, which="serious or grade 3"):
    """List adverse events one by one.

    Parameters
    ----------
    trial : Trial
    which : str, default "serious or grade 3"
        One of `LISTINGS`; grade 3 stands for grade 3 or more.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group term grade day latest_infusion days_since_infusion related serious
        outcome``, by group, subject and onset. Day 1 is the day of the first infusion, the day before is
        day -1 (CDISC has no day 0); the latest infusion is the number of the one on or before onset.

    Raises
    ------
    ValueError
        `which` is not one of `LISTINGS`.
    """
    if which not in LISTINGS:
        raise ValueError(f"which must be one of {', '.join(map(repr, LISTINGS))}; got {which!r}")
    events = list_treatment_emergent(trial)
    events = events[list_categories(events)[LISTINGS[which]].any(axis="columns")]
    events = _add_latest_infusion(events.reset_index(drop=True), trial)
    days = (events["onset"] - events["first_infusion"]).dt.days.astype("Int64")
    events["day"] = days.where(days < 0, days + 1)
    columns = ["USUBJID", "group", "term", "grade", "day", "latest_infusion", "days_since_infusion"]
    ordered = events.sort_values(["group", "USUBJID", "onset", "term"], ignore_index=True)
    return ordered[[*columns, "related", "serious", "outcome"]]


def _says(events, column, pattern, unless=None):
    text = list_text(events, column)
    said = text.str.contains(pattern)
    if unless is not None:
        said &= ~text.str.contains(unless)
    return said.astype(bool)


def _is_recorded(trial, events, category):
    """Whether a count of 0 would say that nobody had such an event."""
    if events.empty:
        return trial.metadata.adverse_events.collected
    return all(
        any((list_text(events, column) != "").any() for column in alternatives)
        for alternatives in _NEEDS[category]
    )


def _add_percent(counts, trial):
    """Add the denominators of each group and the percentages of them."""
    counts = counts.merge(count_evaluable(trial).reset_index(), on="group", how="left")
    known = counts["n_evaluable"].where(counts["n_evaluable"] > 0)
    counts["percent"] = (
        100 * counts["n_patients"].astype("Float64").to_numpy(float, na_value=float("nan")) / known
    )
    return counts


def _order_terms(events):
    """Organ class and term of each block, the most frequent first."""
    grouped = events.groupby(["organ_class", "term"])
    sizes = pd.DataFrame({"n_patients": grouped["USUBJID"].nunique(), "n_events": grouped.size()})
    order = ["n_patients", "n_events", "term", "organ_class"]
    ordered = sizes.reset_index().sort_values(order, ascending=[False, False, True, True])
    return ordered[["organ_class", "term"]]


def _list_worst(events):
    """Each patient's worst known grade in each block, "missing" where none is known."""
    keys = ["organ_class", "term", "USUBJID", "group"]
    worst = events.groupby(keys, observed=True, sort=False)["grade"].max().reset_index()
    return worst.assign(grade=worst["grade"].astype("string").fillna("missing"))


def _count_worst(worst, blocks, groups):
    """Patients by block, grade and group, a row for every combination."""
    place = pd.MultiIndex.from_frame(blocks).get_indexer(pd.MultiIndex.from_frame(worst[list(blocks)]))
    worst = worst.assign(block=pd.Categorical(place, range(len(blocks))))
    severe = worst[worst["grade"].isin(["3", "4", "5"])]
    rows = pd.concat([worst, worst.assign(grade="any"), severe.assign(grade="3+")], ignore_index=True)
    rows = list_with_all(rows.assign(grade=pd.Categorical(rows["grade"], GRADES)), groups)
    counts = (
        rows.groupby(["block", "grade", "group"], observed=False).size().rename("n_patients").reset_index()
    )
    return counts.astype({"block": int, "grade": "str"}).join(blocks, on="block")


def _add_latest_infusion(events, trial):
    """Add the number of the latest infusion on or before onset, and the days since."""
    given = trial.infusions[["USUBJID", "date", "infusion"]].sort_values(["date", "infusion"])
    dated = events[["USUBJID", "onset"]].dropna().sort_values("onset").rename_axis("event").reset_index()
    latest = pd.merge_asof(dated, given, left_on="onset", right_on="date", by="USUBJID").set_index("event")
    days = (latest["onset"] - latest["date"]).dt.days
    return events.assign(
        latest_infusion=latest["infusion"].astype("Int64"), days_since_infusion=days.astype("Int64")
    )
