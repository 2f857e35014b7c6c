"""Dose-limiting toxicity: what counts, who is evaluable, how many had it, and the limits of their share."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from annotated_types import Ge, Le
from scipy import stats

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.safety.counts import estimate_shares, list_adverse_events
from nkhcc_helpers.safety.events import check_recorded, list_events
from nkhcc_helpers.trial.patients import list_observation, list_treated, list_with_all

MOST_WINDOW_DAYS = 3650
WindowDays = Annotated[int, Ge(0), Le(MOST_WINDOW_DAYS), " days"]
Grade = Literal[1, 2, 3, 4, 5]
"""Longest window of a definition, ten years: beyond any use, and well within the range of dates."""


@dataclass(frozen=True)
class Definition:
    """What counts as a dose-limiting toxicity.

    Attributes
    ----------
    grade : int, default 3
        Lowest grade that counts, 1 to 5; an event without a grade does not count.
    related_only : bool, default True
        Whether only events related to treatment count; one without an entry saying so does not.
    window_days : int, default 28
        Last day after the first infusion, whose day is 0, on which an event may begin; 0 to
        `MOST_WINDOW_DAYS`.
    excluded_terms : sequence of str, default ()
        Terms that do not count, in upper or lower case.
    fewest_infusions : int, default 1
        Infusions, of a dose other than 0, that a patient without a dose-limiting toxicity must have received
        by the last day of the window in order to be evaluable, at least 1. How many are enough is for the
        protocol to say; the default asks for no more than that treatment was begun.

    Raises
    ------
    ValueError
        One of them is not as said.
    """

    grade: int = 3
    related_only: bool = True
    window_days: int = 28
    excluded_terms: tuple[str, ...] = ()
    fewest_infusions: int = 1

    def __post_init__(self):
        if not _is_whole(self.grade) or not 1 <= self.grade <= 5:
            raise ValueError(f"grade must be a whole number from 1 to 5; got {self.grade!r}")
        if not isinstance(self.related_only, bool):
            raise ValueError(f"related_only must be True or False; got {self.related_only!r}")
        if not _is_whole(self.window_days) or not 0 <= self.window_days <= MOST_WINDOW_DAYS:
            must = f"a whole number from 0 to {MOST_WINDOW_DAYS}"
            raise ValueError(f"window_days must be {must}; got {self.window_days!r}")
        if not _is_whole(self.fewest_infusions) or self.fewest_infusions < 1:
            must = f"a whole number of at least 1; got {self.fewest_infusions!r}"
            raise ValueError(f"fewest_infusions must be {must}")
        if isinstance(self.excluded_terms, str):
            raise ValueError(f"excluded_terms must be a list of terms; got the text {self.excluded_terms!r}")
        terms = tuple(self.excluded_terms)
        if not all(isinstance(term, str) for term in terms):
            raise ValueError(f"excluded_terms must hold text; got {self.excluded_terms!r}")
        object.__setattr__(self, "excluded_terms", terms)


def list_dose_limiting(trial, definition=None):
    """List the dose-limiting toxicities one by one.

    Parameters
    ----------
    trial : Trial
    definition : Definition, optional
        ``Definition()`` when absent.

    Returns
    -------
    DataFrame
        Rows and columns as `safety.list_adverse_events` returns them: the treatment-emergent events that
        `definition` counts. An event that cannot be placed, its onset or the patient's first infusion being
        unknown, is taken to lie in the window, the choice that hides nothing.
    """
    definition = definition or Definition()
    events = list_adverse_events(trial, which="all")
    grade = events["grade"].astype("Int64")
    inside = events["day"].isna() | events["day"].between(1, definition.window_days + 1)
    excluded = [term.strip().casefold() for term in definition.excluded_terms]
    counted = (grade >= definition.grade).fillna(False) & inside.fillna(True)
    counted &= ~events["term"].astype("str").str.strip().str.casefold().isin(excluded)
    if definition.related_only:
        counted &= events["related"].astype("boolean").fillna(False)
    return events[counted.astype(bool)].reset_index(drop=True)


def list_absent_terms(trial, definition):
    """List the excluded terms that no adverse event of the trial has, misspelt perhaps.

    Parameters
    ----------
    trial : Trial
    definition : Definition

    Returns
    -------
    list of str
        As `definition` has them.
    """
    known = set(trial.adverse_events["term"].astype("str").str.strip().str.casefold())
    return [term for term in definition.excluded_terms if term.strip().casefold() not in known]


def count_dose_limiting(trial, definition=None, *, conf_level=0.95):
    """Count the patients with a dose-limiting toxicity, by group and overall.

    Parameters
    ----------
    trial : Trial
    definition : Definition, optional
        ``Definition()`` when absent.
    conf_level : float, default 0.95

    Returns
    -------
    DataFrame
        Columns ``group n_treated n_evaluable n_patients n_events percent ci_lower ci_upper
        one_sided_upper``. Evaluable: treated, observed (`exposure.list_observation`) until
        ``definition.window_days`` after the first infusion and given ``definition.fewest_infusions`` by then,
        or with a dose-limiting toxicity. Percent is of the evaluable, with exact Clopper-Pearson limits,
        two-sided; ``one_sided_upper`` is the upper limit with the whole of 1 - `conf_level` on its side.
        Patients and events are NA, and the percentages NaN, where adverse events were not collected, and
        where there are events but none records what the definition needs; then evaluable are those observed
        and treated so. Percentages are NaN where nobody is evaluable.

    Raises
    ------
    ValueError
        `conf_level` is not between 0 and 1.

    References
    ----------
    Clopper, Pearson (1934) Biometrika 26:404.
    """
    check_conf_level(conf_level)
    definition = definition or Definition()
    limiting = list_dose_limiting(trial, definition)
    patients = _list_patients(trial, definition, set(limiting["USUBJID"]))
    grouped = list_with_all(patients, trial.groups).groupby("group", observed=False)
    counts = pd.DataFrame({"n_treated": grouped.size(), "n_evaluable": grouped["evaluable"].sum()})
    counts["n_patients"] = grouped["limited"].sum()
    counts["n_events"] = list_with_all(limiting, trial.groups).groupby("group", observed=False).size()
    counts = counts.reset_index().astype({"n_treated": int, "n_evaluable": int})
    events = list_events(trial)
    needed = ["any", "grade3", *(["related"] if definition.related_only else [])]
    if not all(check_recorded(trial, events, each) for each in needed):
        counts[["n_patients", "n_events"]] = pd.NA
    counts = counts.astype({"n_patients": "Int64", "n_events": "Int64"})
    counts = estimate_shares(counts, conf_level=conf_level)
    return counts.assign(one_sided_upper=_find_upper(counts, conf_level))


def _list_patients(trial, definition, limited):
    """Who was treated, whether evaluable, whether with a dose-limiting toxicity."""
    subjects = trial.subjects[["USUBJID", "group", "first_infusion"]].merge(
        list_observation(trial), on="USUBJID", how="left", validate="one_to_one"
    )
    subjects = subjects[list_treated(trial).to_numpy()]
    last = subjects["first_infusion"] + pd.Timedelta(days=definition.window_days)
    given = trial.infusions[trial.infusions["dose"] != 0].merge(
        subjects[["USUBJID"]].assign(last=last), on="USUBJID"
    )
    n_given = given.loc[given["date"] <= given["last"], "USUBJID"].value_counts()
    enough = subjects["USUBJID"].map(n_given).fillna(0) >= definition.fewest_infusions
    subjects = subjects.assign(limited=subjects["USUBJID"].isin(limited))
    return subjects.assign(evaluable=subjects["limited"] | ((subjects["end"] >= last) & enough))


def _find_upper(counts, conf_level):
    """Upper Clopper-Pearson limit, one-sided, in percent."""
    known = counts["n_patients"].notna() & (counts["n_evaluable"] > 0)
    n_patients = counts["n_patients"].fillna(0).to_numpy(float)
    n_evaluable = counts["n_evaluable"].to_numpy(float)
    everybody = n_patients == n_evaluable
    rest = np.where(everybody, 1.0, n_evaluable - n_patients)
    upper = np.where(everybody, 1.0, stats.beta.ppf(conf_level, n_patients + 1, rest))
    return pd.Series(100 * upper, index=counts.index).where(known)


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)
