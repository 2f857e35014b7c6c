"""Adverse events: patients per category, shares with limits, listings.

Every count is of patients unless a name says events. The patients are those treated
(`nkhcc_helpers.populations.list_treated`); the events are their treatment-emergent ones, or all of them with
``emergent_only=False`` (`nkhcc_helpers.events.list_events`). Groups stand in the trial's order, then "All"; a
group without events keeps its row with 0.
"""

from __future__ import annotations

import pandas as pd
from scipy import stats

from nkhcc_helpers.events import (
    CATEGORIES,
    check_recorded,
    list_categories,
    list_events,
    list_with_latest_infusion,
)
from nkhcc_helpers.populations import list_treated, list_with_all

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
