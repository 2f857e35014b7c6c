"""Which adverse events are analysed, what kinds of event each of them is, and listings one by one."""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.result import keeps_options
from nkhcc_helpers.trial.patients import matches
from nkhcc_helpers.trial.schema import list_text

CATEGORIES = {
    "any": "Any adverse event",
    "related": "Related to treatment",
    "serious": "Serious",
    "grade3": "Grade 3 or more",
    "related_grade3": "Related, grade 3 or more",
    "fatal": "Fatal",
    "interrupted": "Leading to interruption",
    "discontinued": "Leading to discontinuation",
}
"""Rows of the overview, in order: name and label."""
LISTINGS = {
    "all": ["any"],
    "related": ["related"],
    "serious": ["serious"],
    "grade 3": ["grade3"],
    "serious or grade 3": ["serious", "grade3"],
    "fatal": ["fatal"],
    "interrupted": ["interrupted"],
    "discontinued": ["discontinued"],
}
"""What `list_adverse_events` can list, and the categories each takes."""
LISTING_LABELS = {
    which: ", or ".join(CATEGORIES[name] for name in names).capitalize() for which, names in LISTINGS.items()
}
"""What each listing is called where it is shown."""
# What must be recorded on some event, alternatives in brackets, for a count of 0 to mean anything.
_NEEDS = {
    "any": [],
    "related": [["related"]],
    "serious": [["serious"]],
    "grade3": [["grade"]],
    "related_grade3": [["related"], ["grade"]],
    "fatal": [["grade", "outcome"]],
    "interrupted": [["action"]],
    "discontinued": [["action"]],
}


def list_events(trial, *, emergent_only=True, related_only=False):
    """List the adverse events of treated patients.

    Parameters
    ----------
    trial : Trial
    emergent_only : bool, default True
        Leave out events that are not treatment-emergent, as `Trial` says which are.
    related_only : bool, default False
        Leave out events not related to treatment, or without an entry saying so.

    Returns
    -------
    DataFrame
        Rows and columns of ``trial.adverse_events``.
    """
    events = trial.adverse_events
    events = events[events["emergent" if emergent_only else "treated"]]
    if related_only:
        events = events[_is_related(events)]
    return events.reset_index(drop=True)


def choose_events(trial, *, related_only, emergent_only):
    """Return the events that count, and whether a count of 0 of them would say that nobody had one."""
    events = list_events(trial, emergent_only=emergent_only)
    recorded = is_recorded(trial, events, "related" if related_only else "any")
    return (events[_is_related(events)].reset_index(drop=True) if related_only else events), recorded


def _is_related(events):
    return events["related"].fillna(False).astype(bool)


def is_recorded(trial, events, category):
    """Whether a count of 0 would say that nobody had such an event."""
    if events.empty:
        return trial.metadata.adverse_events.collected
    return all(
        any((list_text(events, column) != "").any() for column in alternatives)
        for alternatives in _NEEDS[category]
    )


def list_categories(events):
    """Return a column of bool for each of `CATEGORIES`, indexed as `events`.

    A missing grade, relation or seriousness does not count as grade 3 or more, related or serious.
    Interrupted: AEACN says interrupted, delayed, withheld or temporarily, without not. Discontinued: AEACN
    says withdrawn, discontinued or stopped, without not or temporarily.
    """
    related = _is_related(events)
    grade3 = (events["grade"] >= 3).fillna(False).astype(bool)
    paused = r"\b(?:INTERRUPT\w*|DELAY\w*|WITHHELD|HELD|TEMPORAR\w*)\b"
    stopped = r"\b(?:WITHDRAWN|WITHDRAWAL|DISCONTINU\w*|STOPPED)\b"
    return pd.DataFrame(
        {
            "any": True,
            "related": related,
            "serious": events["serious"].fillna(False).astype(bool),
            "grade3": grade3,
            "related_grade3": related & grade3,
            "fatal": events["fatal"],
            "interrupted": matches(events, "action", paused, r"\b(?:NOT|NO)\b"),
            "discontinued": matches(events, "action", stopped, r"\b(?:NOT|NO|TEMPORAR\w*)\b"),
        },
        index=events.index,
    )


def describe_events(trial, *, emergent_only=True):
    """Describe which events are analysed, and what is not recorded of them.

    Parameters
    ----------
    trial : Trial
    emergent_only : bool, default True
        As in `list_events`.

    Returns
    -------
    dict
        ``n_treated n_enrolled``: patients; ``n_events n_people``: events, and patients with one;
        ``n_imputed``: events with a date that was completed; ``n_without_grade n_without_relation
        n_without_seriousness n_without_action n_without_onset``: events that lack the entry;
        ``n_by_words``: events whose grade is that of the word in AESEV; ``n_not_emergent``: events of the
        treated left out because they are not treatment-emergent, 0 without `emergent_only`;
        ``n_never_treated``: events of patients never treated, left out; ``dictionary``. Counts of events are
        None where adverse events were not collected.
    """
    events, everybody = list_events(trial, emergent_only=emergent_only), trial.adverse_events
    imputed = events["onset_imputed"].fillna("") + events["resolved_imputed"].fillna("")
    worded = events["grade"].notna() & (list_text(events, "AETOXGR") == "")
    counts = {
        "n_events": len(events),
        "n_people": events["USUBJID"].nunique(),
        "n_imputed": (imputed != "").sum(),
        "n_without_grade": events["grade"].isna().sum(),
        "n_without_relation": events["related"].isna().sum(),
        "n_without_seriousness": events["serious"].isna().sum(),
        "n_without_action": (list_text(events, "action") == "").sum(),
        "n_without_onset": events["onset"].isna().sum(),
        "n_by_words": (worded & (list_text(events, "AESEV") != "")).sum(),
        "n_not_emergent": everybody["treated"].sum() - len(events),
        "n_never_treated": (~everybody["treated"]).sum(),
    }
    collected = trial.metadata.adverse_events.collected
    return {
        "n_treated": int(trial.subjects["treated"].sum()),
        "n_enrolled": len(trial.subjects),
        "dictionary": trial.metadata.adverse_events.dictionary or "not named",
        **{name: int(count) if collected else None for name, count in counts.items()},
    }


@keeps_options
def list_adverse_events(trial, *, which="serious or grade 3", emergent_only=True):
    """List adverse events one by one.

    Parameters
    ----------
    trial : Trial
    which : str, default "serious or grade 3"
        One of `LISTINGS`; grade 3 stands for grade 3 or more.
    emergent_only : bool, default True
        List treatment-emergent events only.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group term grade day latest_infusion days_since_infusion related serious outcome
        action onset_imputed``, by group, subject and onset. Day 1 is the day of the first infusion, the
        day before is day -1 (CDISC has no day 0).

    Raises
    ------
    ValueError
        `which` is not one of `LISTINGS`.
    """
    if which not in LISTINGS:
        raise ValueError(f"which must be one of {', '.join(map(repr, LISTINGS))}; got {which!r}")
    events = list_events(trial, emergent_only=emergent_only)
    events = events[list_categories(events)[LISTINGS[which]].any(axis="columns")]
    days = (events["onset"] - events["first_infusion"]).dt.days.astype("Int64")
    ordered = events.assign(day=days.where(days < 0, days + 1)).sort_values(
        ["group", "USUBJID", "onset", "term"], ignore_index=True
    )
    columns = ["USUBJID", "group", "term", "grade", "day", "latest_infusion", "days_since_infusion"]
    return ordered[[*columns, "related", "serious", "outcome", "action", "onset_imputed"]]
