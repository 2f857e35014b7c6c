"""Adverse events: patients per category, shares with limits, listings.

Every count is of patients unless a name says events. The patients are those treated
(`nkhcc_helpers.populations.list_treated`); the events are their treatment-emergent ones, or all of them with
``emergent_only=False`` (`nkhcc_helpers.events.list_events`). Groups stand in the trial's order, then "All"; a
group without events keeps its row with 0.
"""

from __future__ import annotations

import pandas as pd
from scipy import stats

from nkhcc_helpers.safety.events import (
    CATEGORIES,
    check_recorded,
    list_categories,
    list_events,
    list_with_latest_infusion,
)
from nkhcc_helpers.trial.metadata import ALL_GROUPS
from nkhcc_helpers.trial.patients import NOT_CODED, list_treated, list_with_all

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


def count_adverse_events(trial, *, emergent_only=True):
    """Count patients with an adverse event of each category, by group and overall.

    Parameters
    ----------
    trial : Trial
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
    parts = []
    for category, label in CATEGORIES.items():
        inside = list_with_all(events.loc[flags[category], ["USUBJID", "group"]], trial.groups)
        grouped = inside.groupby("group", observed=False)["USUBJID"]
        counts = pd.DataFrame({"n_patients": grouped.nunique(), "n_events": grouped.size()}).astype("Int64")
        if not check_recorded(trial, events, category):
            counts[:] = pd.NA
        parts.append(counts.reset_index().assign(category=category, label=label))
    counts = add_percent(pd.concat(parts, ignore_index=True), trial)
    return counts[["category", "label", "group", "n_patients", "n_evaluable", "percent", "n_events"]]


def estimate_shares(counts, *, conf_level=0.95):
    """Estimate the share of patients behind each count, with exact limits.

    Parameters
    ----------
    counts : DataFrame
        Columns ``n_patients n_evaluable``, as `count_adverse_events` and `safety_terms.count_by_term` return
        them.
    conf_level : float, default 0.95
        Confidence level, two-sided, between 0 and 1.

    Returns
    -------
    DataFrame
        `counts` with ``percent ci_lower ci_upper`` in percent, NaN where the count is NA or nobody is
        evaluable.

    Raises
    ------
    ValueError
        `conf_level` is not between 0 and 1.

    References
    ----------
    Clopper, Pearson (1934) Biometrika 26:404.
    """
    if not 0 < conf_level < 1:
        raise ValueError(f"conf_level must lie between 0 and 1; got {conf_level!r}")
    shares = []
    for n_patients, n_evaluable in zip(counts["n_patients"], counts["n_evaluable"], strict=True):
        if pd.isna(n_patients) or n_evaluable == 0:
            shares.append((float("nan"),) * 3)
            continue
        limits = stats.binomtest(int(n_patients), int(n_evaluable)).proportion_ci(conf_level, "exact")
        shares.append((n_patients / n_evaluable, limits.low, limits.high))
    columns = ["percent", "ci_lower", "ci_upper"]
    estimates = 100 * pd.DataFrame(shares, columns=columns, index=counts.index, dtype=float)
    return counts.drop(columns="percent", errors="ignore").join(estimates)


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
        day before is day -1 (CDISC has no day 0); the latest infusion is the number of the one on or before
        onset.

    Raises
    ------
    ValueError
        `which` is not one of `LISTINGS`.
    """
    if which not in LISTINGS:
        raise ValueError(f"which must be one of {', '.join(map(repr, LISTINGS))}; got {which!r}")
    events = list_events(trial, emergent_only=emergent_only)
    events = events[list_categories(events)[LISTINGS[which]].any(axis="columns")]
    events = list_with_latest_infusion(events.reset_index(drop=True), trial)
    days = (events["onset"] - events["first_infusion"]).dt.days.astype("Int64")
    events["day"] = days.where(days < 0, days + 1)
    columns = ["USUBJID", "group", "term", "grade", "day", "latest_infusion", "days_since_infusion"]
    ordered = events.sort_values(["group", "USUBJID", "onset", "term"], ignore_index=True)
    return ordered[[*columns, "related", "serious", "outcome", "action", "onset_imputed"]]


def add_percent(counts, trial):
    """Add the denominators of each group and the percentages of them.

    Parameters
    ----------
    counts : DataFrame
        Columns ``group n_patients``.
    trial : Trial

    Returns
    -------
    DataFrame
        `counts` with ``n_evaluable`` and ``percent``, NaN where nobody is evaluable or the count is NA.
    """
    counts = counts.merge(count_evaluable(trial).reset_index(), on="group", how="left")
    known = counts["n_evaluable"].where(counts["n_evaluable"] > 0)
    counts["percent"] = (
        100 * counts["n_patients"].astype("Float64").to_numpy(float, na_value=float("nan")) / known
    )
    return counts


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


SEVERE = ("3", "4", "5", "3+", "missing")  # a missing grade may be any


def list_block_keys(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Name the block of each row: all events, an organ class, or a term.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``level organ_class term``, as `safety_terms.count_by_term` returns them.

    Returns
    -------
    list of (str, str, str)
        One for each row.
    """
    return list(frame[BLOCK].astype("str").itertuples(index=False, name=None))


def list_term_names(frame: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """What each block is called: a term with its organ class where two organ classes share it.

    An event whose class is not coded makes its term no longer, but stands apart as not coded.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``level organ_class term``, as `safety_terms.count_by_term` returns them.

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


def choose_terms(counts_by_term: pd.DataFrame, most: int | None) -> list[tuple[str, str, str]]:
    """Choose terms to show: the most frequent, and all of grade 3 or more or without a known grade.

    Parameters
    ----------
    counts_by_term : pandas.DataFrame
        As `safety_terms.count_by_term` returns it.
    most : int or None
        How many of the most frequent, all events together being the first; None: all.

    Returns
    -------
    list of (str, str, str)
        Level, organ class and term, the most frequent first; no organ classes.
    """
    frame = list_terms(counts_by_term)
    keys = list(list_term_names(frame))
    severe = frame["grade"].astype("str").isin(SEVERE)
    rows = frame[severe & (frame["n_patients"].astype("Float64") > 0).fillna(False)]
    kept = set(list_block_keys(rows))
    return [key for i, key in enumerate(keys) if most is None or i < most or key in kept]


def say_left_out(n_terms: int, *, none_severe: bool = False) -> str:
    """Say how many terms are left out; nothing where none is.

    Parameters
    ----------
    n_terms : int
    none_severe : bool
        Whether every term with grade 3 or more is shown.

    Returns
    -------
    str
    """
    severe = ", none with grade 3 or more," if none_severe else ""
    return f"{n_terms} less frequent term{'' if n_terms == 1 else 's'}{severe} not shown" if n_terms else ""
