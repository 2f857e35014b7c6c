"""Which adverse events are analysed, and what each of them counts as."""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.trial.patients import find_latest_infusion, is_fatal, list_treated, matches
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
RESOLVED, NOT_RESOLVED, DIED_OF, END_UNKNOWN = "resolved", "ongoing", "fatal", "unknown"
"""Endings of an event, as `list_endings` returns them."""
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

    Where TRTEMFL holds any flag, events flagged Y are treatment-emergent and all others are not. Where it
    is not there or empty throughout, an event is treatment-emergent if its onset is on or after the day
    of the patient's first infusion; an event whose onset, or whose patient's first infusion, is not known
    is taken for treatment-emergent, the choice that hides nothing. This fallback takes no account of an
    event that was there before and became worse, nor of a last day after treatment.

    Parameters
    ----------
    trial : Trial
    emergent_only : bool, default True
        Leave out events that are not treatment-emergent.
    related_only : bool, default False
        Leave out events not related to treatment, or without an entry saying so.

    Returns
    -------
    DataFrame
        Rows of ``trial.adverse_events`` with the patient's ``first_infusion``.
    """
    events = trial.adverse_events
    events = events[events["emergent" if emergent_only else "treated"]]
    if related_only:
        events = events[events["related"].fillna(False).astype(bool)]
    return events.reset_index(drop=True)


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
    treated = list_treated(trial)
    events = list_events(trial, emergent_only=emergent_only)
    everybody = trial.adverse_events["USUBJID"]
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
        "n_not_emergent": len(list_events(trial, emergent_only=False)) - len(events),
        "n_never_treated": (~everybody.isin(trial.subjects.loc[treated, "USUBJID"])).sum(),
    }
    collected = trial.metadata.adverse_events.collected
    return {
        "n_treated": int(treated.sum()),
        "n_enrolled": len(treated),
        "dictionary": trial.metadata.adverse_events.dictionary or "not named",
        **{name: int(count) if collected else None for name, count in counts.items()},
    }


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
        death. Interrupted: AEACN says interrupted, delayed, withheld or temporarily, without not.
        Discontinued: AEACN says withdrawn, discontinued or stopped, without not or temporarily.
    """
    related = events["related"].fillna(False).astype(bool)
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
            "fatal": is_fatal(events),
            "interrupted": matches(events, "action", paused, r"\b(?:NOT|NO)\b"),
            "discontinued": matches(events, "action", stopped, r"\b(?:NOT|NO|TEMPORAR\w*)\b"),
        },
        index=events.index,
    )


def list_endings(events):
    """List how each event ended.

    Parameters
    ----------
    events : DataFrame
        Columns ``resolved ongoing fatal`` of ``trial.adverse_events``.

    Returns
    -------
    Series of str
        Indexed as `events`. `DIED_OF`: fatal (`list_categories`), whatever dates there are; death is no
        recovery. `NOT_RESOLVED`: AEOUT says that it goes on (`patients.ONGOING`); an end date then says only
        how long it was followed. `RESOLVED`: any other with an end date. `END_UNKNOWN`: any other without.
    """
    endings = events["resolved"].notna().map({True: RESOLVED, False: END_UNKNOWN}).astype("object")
    return endings.mask(events["ongoing"], NOT_RESOLVED).mask(events["fatal"], DIED_OF)


def check_recorded(trial, events, category):
    """Whether a count of 0 would say that nobody had such an event."""
    if events.empty:
        return trial.metadata.adverse_events.collected
    return all(
        any((list_text(events, column) != "").any() for column in alternatives)
        for alternatives in _NEEDS[category]
    )


def list_with_latest_infusion(events, trial):
    """Add the number of the latest infusion on or before onset, and the days since."""
    return events.assign(**find_latest_infusion(events, trial.infusions))
