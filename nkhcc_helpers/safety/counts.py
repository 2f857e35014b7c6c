"""Which adverse events count, and how many patients had them: by category, organ class, term and worst grade.

Every count is of patients unless a name says events. Groups stand in the trial's order, then "All"; a group
without events keeps its row with 0.
"""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.checks import keeps_options
from nkhcc_helpers.trial.metadata import ALL_GROUPS
from nkhcc_helpers.trial.patients import NOT_CODED, list_with_all, matches
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
OVERALL, ORGAN_CLASS, TERM = "overall", "organ class", "term"
"""Levels of a block: all events together, those of one organ class, those of one term."""
BLOCK = ["level", "organ_class", "term"]
"""Columns that name a block."""
ANY_TERM, ANY_RELATED, ANY_OF_CLASS = "Any adverse event", "Any related event", "Any event of the class"
"""Terms of blocks of all events, and of all where only related ones are counted, each without an organ class,
and of all events of an organ class."""
GRADES = ["any", "1", "2", "3", "4", "5", "3+", "missing"]
"""Rows of each block, in order."""
MOST_SEVERE = 10
"""Severe terms shown beyond the most frequent ones; more of them make a figure that nobody reads."""
SEVERE = ("3", "4", "5", "3+", "missing")  # a missing grade may be any
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


def count_evaluable(trial):
    """Count the patients treated, by group and overall.

    Returns
    -------
    Series of int
        ``n_evaluable``, indexed by group, then "All".
    """
    treated = trial.subjects.loc[trial.subjects["treated"], ["group"]]
    counts = list_with_all(treated, trial.groups).groupby("group", observed=False).size()
    return counts.rename("n_evaluable")


@keeps_options
def count_adverse_events(trial, *, emergent_only=True):
    """Count patients with an adverse event of each category, by group and overall.

    Parameters
    ----------
    emergent_only : bool, default True
        Count treatment-emergent events only.

    Returns
    -------
    DataFrame
        Columns ``category label group n_patients n_evaluable percent n_events``, one row for each of
        `CATEGORIES` and group. Patients and events are NA where adverse events were not collected, and
        where there are events but none records what the category needs (no AESER on any event, say);
        percent is of ``n_evaluable``, NaN where that is 0.
    """
    events = list_events(trial, emergent_only=emergent_only)
    flags = list_categories(events)
    inside = [events.loc[flags[name], ["USUBJID", "group"]].assign(category=name) for name in CATEGORIES]
    both = list_with_all(pd.concat(inside), trial.groups)
    both["category"] = pd.Categorical(both["category"], list(CATEGORIES))
    grouped = both.groupby(["category", "group"], observed=False)["USUBJID"]
    counts = pd.DataFrame({"n_patients": grouped.nunique(), "n_events": grouped.size()}).astype("Int64")
    unknown = [name for name in CATEGORIES if not is_recorded(trial, events, name)]
    counts[counts.index.get_level_values("category").isin(unknown)] = pd.NA
    counts = _add_percent(counts.reset_index().astype({"category": "str"}), trial)
    counts["label"] = counts["category"].map(CATEGORIES)
    return counts[["category", "label", "group", "n_patients", "n_evaluable", "percent", "n_events"]]


def _add_percent(counts, trial):
    """Add the patients treated of each group, and the percentage of them, NaN where there is none."""
    counts = counts.merge(count_evaluable(trial).reset_index(), on="group", how="left")
    known = counts["n_evaluable"].where(counts["n_evaluable"] > 0)
    n_patients = counts["n_patients"].astype("Float64").to_numpy(float, na_value=float("nan"))
    return counts.assign(percent=100 * n_patients / known)


@keeps_options
def count_by_term(trial, *, related_only=False, emergent_only=True):
    """Count patients by organ class, term and worst grade, by group and overall.

    Parameters
    ----------
    related_only, emergent_only : bool
        As in `list_events`.

    Returns
    -------
    DataFrame
        Columns ``level organ_class term grade group n_patients n_evaluable percent``. Grade is "any", "1" to
        "5" (the patient's worst known grade in the block), "3+", and "missing" (no event of the block has a
        known grade), so that "any" is the sum of "1" to "5" and "missing". A patient counts once a row. The
        first block is `OVERALL`. Then come the organ classes, each with a block of its own (`ORGAN_CLASS`)
        above its terms (`TERM`); last the terms without a class, which have no such block. Classes, and
        terms within a class, stand by number of patients, then by name. Where adverse events were not
        collected, or with `related_only` no event records its relation, the first block is the only one
        and its patients are NA.
    """
    events, recorded = choose_events(trial, related_only=related_only, emergent_only=emergent_only)
    return tabulate_terms(trial, list_blocks(events, related_only=related_only), recorded, related_only)


def tabulate_terms(trial, rows, recorded, related_only):
    """As `count_by_term`, of events listed by `list_blocks`."""
    worst = rows.groupby([*BLOCK, "USUBJID", "group"], observed=True, sort=False)["grade"].max().reset_index()
    counts = _count_worst(worst, _order_blocks(worst, related_only), trial.groups)
    if not recorded:
        counts["n_patients"] = pd.NA
    counts = _add_percent(counts.astype({"n_patients": "Int64"}), trial)
    return counts[[*BLOCK, "grade", "group", "n_patients", "n_evaluable", "percent"]]


def list_blocks(events, *, related_only=False):
    """List every event two or three times, once for each block that it counts in, named by `BLOCK`."""
    together = events.assign(**_name_overall(related_only))
    classes = events[events["organ_class"] != NOT_CODED].assign(level=ORGAN_CLASS, term=ANY_OF_CLASS)
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
    counts = rows.groupby(["block", "grade", "group"], observed=False).size().rename("n_patients")
    return counts.reset_index().astype({"block": int, "grade": "str"}).join(blocks, on="block")


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
    order = everyone.assign(later=everyone["level"] != OVERALL).sort_values(
        ["later", "n_patients", "term", "organ_class"], ascending=[True, False, True, True]
    )
    place = pd.MultiIndex.from_frame(order[BLOCK]).get_indexer(pd.MultiIndex.from_frame(kept[BLOCK]))
    return kept.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def list_term_names(frame: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """List what each block is called: a term with its organ class where two organ classes share it.

    An event whose class is not coded makes its term no longer, but stands apart as not coded.

    Parameters
    ----------
    frame : DataFrame
        Columns ``level organ_class term``, as `count_by_term` returns them.

    Returns
    -------
    dict of (str, str, str) to str
        Level, organ class and term to name, in the order of the frame.
    """
    blocks = frame[BLOCK].astype("str").drop_duplicates()
    terms = blocks["level"] == TERM
    coded = terms & (blocks["organ_class"] != NOT_CODED)
    twice = coded & blocks["term"].where(coded).duplicated(keep=False)
    twice |= terms & ~coded & blocks["term"].isin(blocks.loc[coded, "term"])
    names = blocks["term"].where(~twice, blocks["term"] + " (" + blocks["organ_class"] + ")")
    classes = blocks["level"] == ORGAN_CLASS
    names = names.where(~classes, blocks["organ_class"] + ": any event")
    return dict(zip(list_block_keys(blocks), names, strict=True))


def list_block_keys(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Level, organ class and term of each row."""
    return list(frame[BLOCK].astype("str").itertuples(index=False, name=None))


def choose_terms(counts_by_term: pd.DataFrame, most: int | None) -> tuple[list[tuple[str, str, str]], str]:
    """Keys of the blocks to show, and the sentence that says which are not; all with `most` None.

    The `most` frequent; then up to `MOST_SEVERE` others with grade 3 or more or no known grade, those that
    most patients had at such a grade. All events together are the first; no organ classes.
    """
    frame = list_terms(counts_by_term)
    names = list(list_term_names(frame))
    most = len(names) if most is None else most
    severe = frame[frame["grade"].astype("str").isin(SEVERE)]
    weight = severe["n_patients"].astype("Float64").fillna(0)
    weight = weight.groupby(pd.Series(list_block_keys(severe), severe.index, dtype="object")).sum()
    beyond = [key for key in names[most:] if weight.get(key, 0) > 0]
    kept = {*names[:most], *sorted(beyond, key=lambda key: -weight[key])[:MOST_SEVERE]}
    shown = [key for key in names if key in kept]
    return shown, say_left_out(len(names) - len(shown), n_severe=max(0, len(beyond) - MOST_SEVERE))


def say_left_out(n_terms: int, *, n_severe: int | None = None) -> str:
    """Say how many terms are left out, and of how many of them what is severe; nothing where none is."""
    if not n_terms:
        return ""
    severe = {None: "", 0: ", none with grade 3 or more,"}
    severe = severe.get(n_severe, f", {n_severe} with grade 3 or more or no known grade,")
    return f"{n_terms} less frequent term{'' if n_terms == 1 else 's'}{severe} not shown"
