"""Adverse events by organ class, term and worst grade.

A block of rows is at one of three levels: all events together, an organ class, or a term of a class. What a
row counts is said by its level, never by its name, so that a term may be called as it likes.
"""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.events import check_recorded, list_categories, list_events
from nkhcc_helpers.frames import NOT_CODED
from nkhcc_helpers.metadata import ALL_GROUPS
from nkhcc_helpers.populations import list_with_all
from nkhcc_helpers.safety_counts import add_percent

OVERALL, ORGAN_CLASS, TERM = "overall", "organ class", "term"
"""Levels of a block: all events together, those of one organ class, those of one term."""

BLOCK = ["level", "organ_class", "term"]
"""Columns that name a block."""

ANY_TERM = "Any adverse event"
"""Term of the block that takes all events together; its organ class is empty."""

ANY_RELATED = "Any related event"
"""What that block is called where only related events are counted."""

ANY_OF_CLASS = "Any event of the class"
"""Term of the block that takes all events of an organ class together."""

GRADES = ["any", "1", "2", "3", "4", "5", "3+", "missing"]
"""Rows of each block, in order."""


def count_by_term(trial, *, related_only=False, emergent_only=True):
    """Count patients by organ class, term and worst grade, by group and overall.

    Parameters
    ----------
    trial : Trial
    related_only : bool, default False
        Count only events related to treatment.
    emergent_only : bool, default True
        Count treatment-emergent events only.

    Returns
    -------
    DataFrame
        Columns ``level organ_class term grade group n_patients n_evaluable percent``. Grade is "any", "1" to
        "5" (the patient's worst known grade in the block), "3+", and "missing" (no event of the block has a
        known grade), so that "any" is the sum of "1" to "5" and "missing". A patient counts once a row. The
        first block is `OVERALL`. Then come the organ classes, each with a block of its own (`ORGAN_CLASS`)
        above its terms (`TERM`); last the terms without a class (`frames.NOT_CODED`), which have no such
        block. Classes, and terms within a class, stand by number of patients, then by name. Where adverse
        events were not collected, or with `related_only` no event records its relation, the first block
        is the only one and its patients are NA.
    """
    events = list_events(trial, emergent_only=emergent_only)
    recorded = check_recorded(trial, events, "related" if related_only else "any")
    if related_only:
        events = events[list_categories(events)["related"]]
    rows = list_blocks(events, related_only=related_only)
    worst = rows.groupby([*BLOCK, "USUBJID", "group"], observed=True, sort=False)["grade"].max().reset_index()
    blocks = _order_blocks(worst, related_only)
    counts = _count_worst(worst, blocks, trial.groups)
    if not recorded:
        counts["n_patients"] = pd.NA
    counts = add_percent(counts.astype({"n_patients": "Int64"}), trial)
    return counts[[*BLOCK, "grade", "group", "n_patients", "n_evaluable", "percent"]]


def list_terms(counts):
    """List what stands for itself in a list by frequency: all events together, then every term.

    Parameters
    ----------
    counts : DataFrame
        As `count_by_term` returns it.

    Returns
    -------
    DataFrame
        `counts` without the blocks of organ classes; terms by number of patients, then by name.
    """
    kept = counts[counts["level"] != ORGAN_CLASS]
    everyone = kept[(kept["group"].astype("str") == ALL_GROUPS) & (kept["grade"].astype("str") == "any")]
    first = (everyone["level"] != OVERALL).rename("later")
    order = everyone.assign(later=first).sort_values(
        ["later", "n_patients", "term", "organ_class"], ascending=[True, False, True, True]
    )
    place = pd.MultiIndex.from_frame(order[BLOCK]).get_indexer(pd.MultiIndex.from_frame(kept[BLOCK]))
    return kept.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def list_blocks(events, *, related_only=False, organ_classes=True):
    """List every event once for each block that it counts in.

    Parameters
    ----------
    events : DataFrame
        Columns ``organ_class term``, and any others.
    related_only : bool, default False
        Whether all of them are related events, for the name of the first block.
    organ_classes : bool, default True
        Whether organ classes are blocks.

    Returns
    -------
    DataFrame
        `events` with ``level``, two or three times.
    """
    together = events.assign(**_name_overall(related_only))
    classed = events[(events["organ_class"] != NOT_CODED) & organ_classes]
    classes = classed.assign(level=ORGAN_CLASS, term=ANY_OF_CLASS)
    return pd.concat([together, classes, events.assign(level=TERM)], ignore_index=True)


def _name_overall(related_only):
    return {"level": OVERALL, "organ_class": "", "term": ANY_RELATED if related_only else ANY_TERM}


def _order_blocks(worst, related_only):
    """Blocks in the order of the table; that of all events is there even without any."""
    sizes = worst.groupby(BLOCK, sort=False)["USUBJID"].nunique().rename("n_patients").reset_index()
    inside = sizes[sizes["level"] != OVERALL]
    # The block of a class holds the patients of all its terms, and so no fewer than any of them.
    classes = inside[inside["level"] == ORGAN_CLASS].set_index("organ_class")["n_patients"]
    ordered = inside.assign(
        uncoded=inside["organ_class"] == NOT_CODED,
        of_class=inside["organ_class"].map(classes),
        below=inside["level"] == TERM,
    ).sort_values(
        ["uncoded", "of_class", "organ_class", "below", "n_patients", "term"],
        ascending=[True, False, True, True, False, True],
    )
    return pd.concat([pd.DataFrame([_name_overall(related_only)]), ordered[BLOCK]], ignore_index=True)


def _count_worst(worst, blocks, groups):
    """Patients by block, grade and group, a row for every combination."""
    place = pd.MultiIndex.from_frame(blocks).get_indexer(pd.MultiIndex.from_frame(worst[BLOCK]))
    grade = worst["grade"].astype("string").fillna("missing")
    worst = worst.assign(block=pd.Categorical(place, range(len(blocks))), grade=grade)
    severe = worst[worst["grade"].isin(["3", "4", "5"])]
    rows = pd.concat([worst, worst.assign(grade="any"), severe.assign(grade="3+")], ignore_index=True)
    rows = list_with_all(rows.assign(grade=pd.Categorical(rows["grade"], GRADES)), groups)
    counts = (
        rows.groupby(["block", "grade", "group"], observed=False).size().rename("n_patients").reset_index()
    )
    return counts.astype({"block": int, "grade": "str"}).join(blocks, on="block")
