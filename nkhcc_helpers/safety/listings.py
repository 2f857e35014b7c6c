"""Adverse events one by one: what is known of them, listings, and the dose-limiting ones."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Literal

import pandas as pd
from annotated_types import Ge, Le

from nkhcc_helpers.checks import keeps_options
from nkhcc_helpers.safety.counts import CATEGORIES, is_recorded, list_categories, list_events
from nkhcc_helpers.safety.differences import estimate_shares, estimate_upper_limits
from nkhcc_helpers.trial.patients import list_with_all
from nkhcc_helpers.trial.schema import list_text

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
MOST_WINDOW_DAYS = 3650
"""Longest window of a `Definition`, ten years: beyond any use, and well within the range of dates."""
WindowDays = Annotated[int, Ge(0), Le(MOST_WINDOW_DAYS), " days"]
Grade = Literal[1, 2, 3, 4, 5]


def describe_events(trial, *, emergent_only=True):
    """Describe which events are analysed, and what is not recorded of them.

    Parameters
    ----------
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
    which : str, default "serious or grade 3"
        One of `LISTINGS` or ValueError; grade 3 stands for grade 3 or more.
    emergent_only : bool, default True
        List treatment-emergent events only.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group term grade day latest_infusion days_since_infusion related serious outcome
        action onset_imputed``, by group, subject and onset. Day 1 is the day of the first infusion, the
        day before is day -1 (CDISC has no day 0).
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


@dataclass(frozen=True)
class Definition:
    """What counts as a dose-limiting toxicity; ValueError where an attribute is not as said.

    Attributes
    ----------
    grade : int, default 3
        Lowest grade that counts, 1 to 5; an event without a grade does not count.
    related_only : bool, default True
        Whether only events related to treatment count; one without an entry saying so does not.
    window_days : int, default 28
        Last day after the first infusion, whose day is 0, on which an event may begin; 0 to 3650.
    excluded_terms : sequence of str, default ()
        Terms that do not count, in upper or lower case.
    fewest_infusions : int, default 1
        Infusions that a patient without a dose-limiting toxicity must have received by the last day of the
        window in order to be evaluable, at least 1. How many are enough is for the protocol to say; the
        default asks for no more than that treatment was begun.
    """

    grade: int = 3
    related_only: bool = True
    window_days: int = 28
    excluded_terms: tuple[str, ...] = ()
    fewest_infusions: int = 1

    def __post_init__(self):
        _check_whole(self.grade, "grade", 1, 5)
        _check_whole(self.window_days, "window_days", 0, MOST_WINDOW_DAYS)
        _check_whole(self.fewest_infusions, "fewest_infusions", 1)
        if not isinstance(self.related_only, bool):
            raise ValueError(f"related_only must be True or False; got {self.related_only!r}")
        terms = self.excluded_terms
        if isinstance(terms, str) or not all(isinstance(term, str) for term in terms):
            raise ValueError(f"excluded_terms must be a list of texts; got {terms!r}")
        object.__setattr__(self, "excluded_terms", tuple(terms))

    def excludes(self, terms):
        """Whether each term is an excluded one, upper and lower case alike."""
        return _fold(terms).isin(_fold(pd.Series(self.excluded_terms, dtype="str")))


def _check_whole(value, name, least, most=None):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least or value > (most or value):
        must = f"at least {least}" if most is None else f"a whole number from {least} to {most}"
        raise ValueError(f"{name} must be {must}; got {value!r}")


def _fold(terms):
    return terms.astype("str").str.strip().str.casefold()


def list_absent_terms(trial, definition):
    """List the excluded terms of a `Definition` that no adverse event of the trial has, misspelt perhaps."""
    known = set(_fold(trial.adverse_events["term"]))
    return [term for term in definition.excluded_terms if term.strip().casefold() not in known]


@keeps_options
def list_dose_limiting(trial, definition=None):
    """List the dose-limiting toxicities one by one.

    Parameters
    ----------
    definition : Definition, optional
        ``Definition()`` when absent.

    Returns
    -------
    DataFrame
        Rows and columns as `list_adverse_events` returns them: the treatment-emergent events that
        `definition` counts. An event that cannot be placed, its onset or the patient's first infusion being
        unknown, is taken to lie in the window, the choice that hides nothing.
    """
    definition = definition or Definition()
    events = list_adverse_events(trial, which="related" if definition.related_only else "all")
    inside = events["day"].isna() | events["day"].between(1, definition.window_days + 1).fillna(False)
    severe = (events["grade"] >= definition.grade).fillna(False)
    return events[inside & severe & ~definition.excludes(events["term"])].reset_index(drop=True)


@keeps_options
def count_dose_limiting(trial, definition=None, *, conf_level=0.95):
    """Count the patients with a dose-limiting toxicity, by group and overall.

    Clopper, Pearson (1934) Biometrika 26:404.

    Parameters
    ----------
    definition : Definition, optional
        ``Definition()`` when absent.
    conf_level : float, default 0.95
        Between 0 and 1 or ValueError.

    Returns
    -------
    DataFrame
        Columns ``group n_treated n_evaluable n_patients n_events percent ci_lower ci_upper
        one_sided_upper``. Evaluable: treated, observed until ``definition.window_days`` after the first
        infusion and given ``definition.fewest_infusions`` by then (as far as that is known), or with a
        dose-limiting toxicity. Percent is of the evaluable, with exact Clopper-Pearson limits, two-sided;
        ``one_sided_upper`` is the upper
        limit with the whole of 1 - `conf_level` on its side. Patients and events are NA, and the percentages
        NaN, where adverse events were not collected, and where there are events but none records what the
        definition needs; then evaluable are those observed and treated so. Percentages are NaN where nobody
        is evaluable.
    """
    definition = definition or Definition()
    limiting = list_dose_limiting(trial, definition)
    patients = trial.subjects[trial.subjects["treated"]]
    limited = patients["USUBJID"].isin(limiting["USUBJID"])
    patients = patients.assign(limited=limited, evaluable=limited | _is_watched(trial, patients, definition))
    grouped = list_with_all(patients, trial.groups).groupby("group", observed=False)
    counts = pd.DataFrame({"n_treated": grouped.size(), "n_evaluable": grouped["evaluable"].sum()})
    counts["n_patients"] = grouped["limited"].sum()
    counts["n_events"] = list_with_all(limiting, trial.groups).groupby("group", observed=False).size()
    counts = counts.reset_index().astype({"n_treated": int, "n_evaluable": int})
    counts = counts.astype({"n_patients": "Int64", "n_events": "Int64"})
    if not is_recorded(trial, list_events(trial), "related_grade3" if definition.related_only else "grade3"):
        counts[["n_patients", "n_events"]] = pd.NA
    one_sided = estimate_upper_limits(counts, conf_level=conf_level)
    return estimate_shares(counts, conf_level=conf_level).assign(one_sided_upper=one_sided)


def _is_watched(trial, patients, definition):
    """Whether each patient was observed through the window, and treated enough in it."""
    last = patients["first_infusion"] + pd.Timedelta(days=definition.window_days)
    until = trial.infusions["USUBJID"].map(last.set_axis(patients["USUBJID"]))
    given = trial.infusions[trial.infusions["date"] <= until]
    n_given = patients["USUBJID"].map(given["USUBJID"].value_counts()).fillna(0)
    enough = (n_given >= definition.fewest_infusions) | (not trial.metadata.exposure.collected)
    return (patients["observed_until"] >= last) & enough
