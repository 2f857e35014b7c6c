"""Tables of safety: the overview by category, terms by worst grade, listings, differences between groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers import safety
from nkhcc_helpers.report.display import MOST_ROWS, Layout, group, lay_out_groups, lay_out_rows, shows_table
from nkhcc_helpers.report.names import (
    list_group_headings,
    name_scope,
    name_treatment,
    show_group,
    show_interval,
)
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_interval,
    format_number,
    format_or_none,
    format_percent,
    format_share,
    is_estimable,
)
from nkhcc_helpers.safety.counts import ANY_RELATED, BLOCK, ORGAN_CLASS, OVERALL, list_term_names
from nkhcc_helpers.safety.listings import LISTING_LABELS
from nkhcc_helpers.trial.metadata import ALL_GROUPS, count_noun

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

TREATED = "Of {n_enrolled: patient|patients}, {n_treated: was|were} treated. "
NOT_COLLECTED_NOTE = (
    f"{TREATED}<b>Adverse events were not collected in this trial.</b> Every count of them is NE."
)
EVENTS_NOTE = (
    f"{TREATED}Adverse events: {{n_events}}, in {{n_people: patient|patients}}. "
    "Terms and grades: {dictionary}."
)
COUNTED_NOTES = {
    "n_imputed": (
        "With a date completed by a rule: {n_imputed: event|events}. An onset is as early as the entry "
        "allows, but not before the first {word} if it can be later; an end is as late as it allows."
    ),
    "n_without_onset": (
        "Without a day of onset: {n_without_onset: event|events}, shown as events whose day nobody knows, "
        "and counted in the window of dose-limiting toxicity."
    ),
    "n_without_grade": "Without a grade: {n_without_grade: event|events}, not counted as grade 3 or more.",
    "n_without_relation": (
        "Without an entry on relation: {n_without_relation: event|events}, not counted as related."
    ),
    "n_without_seriousness": (
        "Without an entry on seriousness: {n_without_seriousness: event|events}, not counted as serious."
    ),
    "n_without_action": (
        "Without an entry on the action taken: {n_without_action: event|events}, not counted as having led "
        "to interruption or discontinuation."
    ),
    "n_by_words": (
        "With a grade read from a severity word: {n_by_words: event|events} (mild 1, moderate 2, severe 3, "
        "life-threatening 4, fatal 5; not CTCAE grades)."
    ),
    "n_not_emergent": "Left out, because not treatment-emergent: {n_not_emergent: event|events}.",
    "n_never_treated": "Left out, of patients never treated: {n_never_treated: event|events}.",
}
"""Sentences by the count, of `safety.describe_events`, that they tell; nothing is told of a count of 0."""
MOVED = "Patients who received another group's treatment than was planned: {n_moved}."
MOVED_NOTES = {
    "actual": f"{MOVED} They stand in its group.",
    "planned": f"{MOVED} They stand here in the group planned for them.",
}
AS_PLANNED_NOTE = (
    "Treated patients with an entry on the treatment received: {n_with_actual} of {n_treated}; those "
    "without one stand in the group planned for them."
)
LIMITS_NOTE = "Clopper-Pearson limits: never narrower than they should be."
COUNT_NOTE = (
    "Patients (%), each counted once a row at the worst grade, once a class however many of its terms; "
    "percent of patients treated. Grade missing: no event of the row has a known grade."
)
DAY_NOTE = "Day 1 is the day of the first {word}. Latest {word}: its number, and days since it began."
IMPUTED_NOTE = "* The day of onset was not recorded in full and is imputed."
NOT_RECORDED_NOTE = (
    "Something that this listing goes by is recorded for no event, or events were not collected: what is not "
    "listed may have occurred."
)
TWO_GROUPS_NOTE = "A comparison needs two groups in which patients were treated."
ANY_BLOCK, CLASSES_BLOCK = "All events", "All events, and those of each organ class"
GRADES = {
    **{grade: f"Grade {grade}" for grade in "12345"},
    "3+": "Grade 3 or more",
    "missing": "Grade missing",
}


def list_event_notes(described: dict, groups: str) -> list[str]:
    """List the sentences that say whose events are analysed, and what is not recorded of them.

    Parameters
    ----------
    described : dict
        What `safety.describe_events` and `trial.describe_treatment` return, together.
    groups : {"actual", "planned"}
        Which groups patients stand in.

    Returns
    -------
    list of str
        Templates for :meth:`Page.say`, of `described`.
    """
    notes = [NOT_COLLECTED_NOTE if described["n_events"] is None else EVENTS_NOTE]
    notes += [note for name, note in COUNTED_NOTES.items() if described[name]]
    if groups == "actual" and described["n_with_actual"] < described["n_treated"]:
        notes.append(AS_PLANNED_NOTE)
    return [*notes, MOVED_NOTES[groups]] if described["n_moved"] else notes


def list_overall_shares(shares: pd.DataFrame) -> list[str]:
    """How many of all treated had any, a related, a serious or a severe event, each with its limits."""
    kinds = shares["category"].isin(["any", "related", "serious", "grade3"])
    known = shares[kinds & (shares["group"] == ALL_GROUPS)].dropna(subset="ci_upper")
    return [
        f"{row.label.lower()}: {row.n_patients} ({format_interval(row.ci_lower, row.ci_upper, 0)} %)"
        for row in known.itertuples()
    ]


@shows_table(safety.estimate_shares)
def format_adverse_events(frame: pd.DataFrame, trial: Trial, *, conf_level: float | None = None) -> Layout:
    """Overview by category, from `count_adverse_events`, or with `conf_level` from `estimate_shares`."""
    with_limits = conf_level is not None
    inside = f"%; {show_interval(conf_level)}" if with_limits else "%"
    return lay_out_groups(
        frame,
        lambda row: {row["label"]: _people_and_events(row, with_limits=with_limits)},
        list_group_headings(frame, trial, "n_evaluable"),
        key=["category"],
        title="Adverse events",
        subtitle=f"Patients with at least one ({inside}) [events]",
        notes=["Percent of patients treated.", *([LIMITS_NOTE] if with_limits else [])],
    )


def _people_and_events(row: dict, *, with_limits: bool) -> str:
    share = format_share(row["n_patients"], row["percent"])
    if with_limits and is_estimable(row["n_patients"]):
        limits = f"{format_percent(row['percent'])}; {format_interval(row['ci_lower'], row['ci_upper'], 0)}"
        share = f"{int(row['n_patients'])} ({limits if is_estimable(row['percent']) else NOT_ESTIMABLE})"
    return f"{share} [{int(row['n_events'])}]" if is_estimable(row["n_events"]) and row["n_events"] else share


@shows_table(safety.count_by_term)
def format_terms(frame: pd.DataFrame, trial: Trial, *, related_only: bool | None = None) -> Layout:
    """Events by term within organ class, a row for each worst grade that occurred, from `count_by_term`."""
    rows = [*BLOCK, "grade"]
    occurred = frame["n_patients"].fillna(0).groupby([frame[column] for column in rows], observed=True)
    shown = frame[(frame["grade"] == "any") | (occurred.transform("max") > 0)]
    related = (frame.loc[frame["level"] == OVERALL, "term"] == ANY_RELATED).any()
    folds = len(shown) > MOST_ROWS * frame["group"].nunique()
    return lay_out_groups(
        shown,
        lambda row: dict.fromkeys(_list_places(row, folds), format_share(row["n_patients"], row["percent"])),
        list_group_headings(frame, trial, "n_evaluable"),
        key=rows,
        missing="0",
        title=f"{'Related adverse' if related else 'Adverse'} events by organ class, term and worst grade",
        notes=[COUNT_NOTE, *name_scope(related_only)],
    )


def _list_places(row: dict, folds: bool) -> list[tuple[str, str]]:
    """What heads the block and the row of a count; a class that is folded stands in the open block too."""
    block = str(row["organ_class"]) or (CLASSES_BLOCK if folds else ANY_BLOCK)
    place = block, row["term"] if row["grade"] == "any" else f"\u2003{GRADES[row['grade']]}"
    of_class = folds and row["level"] == ORGAN_CLASS and row["grade"] == "any"
    return [(CLASSES_BLOCK, block), place] if of_class else [place]


@shows_table(safety.list_adverse_events, safety.list_dose_limiting)
def format_listing(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    which: str = "",
    title: str = "",
    is_recorded: bool = True,
) -> Layout:
    """Single adverse events, a row each, from `list_adverse_events` or `list_dose_limiting`.

    ``action`` is shown when it is there; days that rest on an onset in ``onset_imputed`` have an asterisk.
    `is_recorded` is whether the trial recorded what the listing goes by.
    """
    listed = f"Listing: {LISTING_LABELS[which].lower()}" if which else "Listing of adverse events"
    imputed = "onset_imputed" in frame and bool(frame["onset_imputed"].fillna("").ne("").any())
    words = name_treatment(trial)
    columns = {
        "Patient": lambda row: str(row["USUBJID"]),
        "Group": group(trial),
        "Term": _text("term"),
        "Grade": _whole("grade"),
        "Day": _day("day"),
        f"Latest {words['word']}": _whole("latest_infusion"),
        "Days since": _day("days_since_infusion"),
        "Related": _yes_or_no("related"),
        "Serious": _yes_or_no("serious"),
        **({"Action taken": _text("action")} if "action" in frame else {}),
        "Outcome": _text("outcome"),
    }
    unknown = [] if is_recorded else [NOT_RECORDED_NOTE]
    return lay_out_rows(
        frame,
        columns,
        title=title or listed,
        subtitle=count_noun(len(frame), "event"),
        notes=[DAY_NOTE.format(**words), *([IMPUTED_NOTE] if imputed else []), *unknown],
    )


def _text(column: str):
    return lambda row: NOT_APPLICABLE if pd.isna(row[column]) or row[column] == "" else str(row[column])


def _whole(column: str):
    return lambda row: format_or_none(row[column])


def _day(column: str):
    def show(row: dict) -> str:
        imputed = row.get("onset_imputed")
        shown = format_or_none(row[column])
        return f"{shown}*" if shown != NOT_APPLICABLE and not pd.isna(imputed) and imputed else shown

    return show


def _yes_or_no(column: str):
    return lambda row: NOT_APPLICABLE if pd.isna(row[column]) else "Yes" if row[column] else "No"


@shows_table(safety.estimate_differences)
def format_differences(frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95) -> Layout:
    """Differences from the reference group, by category or by term, from `estimate_differences`."""
    by_category = "category" in frame
    names = {} if by_category else list_term_names(frame)
    present = set(frame["group"].astype("str"))
    methods = " or ".join(dict.fromkeys(frame["interval"].astype("str")))
    reference = show_group(frame["reference"].iloc[0], trial) if len(frame) else ""
    than = f"Percentage points more than in {reference} ({show_interval(conf_level)})"
    return lay_out_groups(
        frame,
        lambda row: {row["label"] if by_category else name_block(row, names): _difference(row)},
        {code: show_group(code, trial) for code in trial.groups if code in present},
        key=["category"] if by_category else [*BLOCK, "grade"],
        missing=NOT_ESTIMABLE,
        title="Differences in the share of patients",
        subtitle=than if reference else "",
        notes=[f"Interval: {methods}, each for itself." if methods else TWO_GROUPS_NOTE],
    )


def name_block(row: dict, names: dict) -> str:
    """What a term, or what stands for several, is called in `names`, with its grade."""
    name, grade = names[tuple(str(row[column]) for column in BLOCK)], str(row["grade"])
    return name if grade == "any" else f"{name}: grade {'3 or more' if grade == '3+' else grade}"


def _difference(row: dict) -> str:
    if not is_estimable(row["difference"]):
        return NOT_ESTIMABLE
    limits = format_interval(row["ci_lower"], row["ci_upper"], 0)
    return f"{format_number(row['difference'], 0)} ({limits})"
