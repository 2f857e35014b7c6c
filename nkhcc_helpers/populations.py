"""Who is counted: every group and "All", and the treated."""

from __future__ import annotations

import dataclasses

import pandas as pd

from nkhcc_helpers.checks import check_choice
from nkhcc_helpers.metadata import ALL_GROUPS

GROUPS = ("actual", "planned")
"""By which treatment patients are grouped."""


def group_by_treatment(trial, groups="actual"):
    """Put every patient in the group of the treatment received, or of the one planned.

    Safety is conventionally shown by the treatment received, efficacy by the one planned, which is how a
    trial is loaded. Every table made of what this returns follows.

    Parameters
    ----------
    trial : Trial
        As loaded.
    groups : {"actual", "planned"}, default "actual"
        ``actual``: TRT01A; where it is empty or the column is not there, TRT01P. ``planned``: TRT01P.

    Returns
    -------
    Trial
        `trial` with another ``group`` in all its frames, and in ``subjects`` the dose and the planned
        infusions of that group.

    Raises
    ------
    ValueError
        `groups` is neither.
    """
    check_choice(groups, "groups", GROUPS)
    codes = _list_codes(trial, groups)
    kind = pd.CategoricalDtype(trial.groups, ordered=True)
    frames = {
        name: frame.assign(group=frame["USUBJID"].map(codes).astype(kind))
        for name in ("subjects", "times", "infusions", "adverse_events")
        for frame in [getattr(trial, name)]
    }
    arms = trial.arm_table().set_index("group")
    code = frames["subjects"]["group"].astype("str")
    frames["subjects"] = frames["subjects"].assign(
        dose=code.map(arms["dose"]).astype(float), planned_infusions=code.map(arms["infusions"]).astype(float)
    )
    return dataclasses.replace(trial, **frames)


def describe_treatment(trial):
    """Count the treated patients of whom it is known what they received, and who received something else.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    dict of str to int
        ``n_with_actual``: treated patients with an entry in TRT01A; ``n_moved``: those whose entry is not the
        group planned for them.
    """
    treated = trial.subjects[list_treated(trial).to_numpy()]
    known = treated[list_text(treated, "TRT01A") != ""]
    moved = known[known["TRT01A"] != known["TRT01P"]] if len(known) else known
    return {"n_with_actual": len(known), "n_moved": len(moved)}


def _list_codes(trial, groups):
    subjects = trial.subjects.set_index("USUBJID")
    planned = subjects["TRT01P"]
    if groups == "planned" or "TRT01A" not in subjects:
        return planned
    return subjects["TRT01A"].where(list_text(subjects, "TRT01A") != "", planned)


def list_with_all(frame, groups):
    """List every row twice: in its own group, and under "All".

    Parameters
    ----------
    frame : DataFrame
        Has a column ``group``.
    groups : list of str
        Group codes in order.

    Returns
    -------
    DataFrame
        ``group`` is an ordered categorical of `groups` and "All", so that a ``groupby`` with
        ``observed=False`` keeps a row for a group nobody is in.
    """
    code = frame["group"].astype("str")
    both = pd.concat([frame.assign(group=code), frame.assign(group=ALL_GROUPS)], ignore_index=True)
    return both.assign(group=pd.Categorical(both["group"], [*groups, ALL_GROUPS], ordered=True))


def list_treated(trial):
    """List who was treated, the denominator of every safety table.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    Series of bool
        One value for each row of ``trial.subjects``: True where SAFFL is Y; where SAFFL is empty or the
        column is not there, True for a subject with an infusion in ADEX.
    """
    infused = trial.subjects["USUBJID"].isin(trial.infusions["USUBJID"])
    flag = list_text(trial.subjects, "SAFFL")
    return infused.where(flag == "", flag.isin(["Y", "YES"])).astype(bool)


def list_text(frame, column):
    """List a text column in upper case for comparing, empty where the value or the column is missing.

    Parameters
    ----------
    frame : DataFrame
    column : str

    Returns
    -------
    Series of string
        Indexed as `frame`.
    """
    if column not in frame:
        return pd.Series("", index=frame.index, dtype="string")
    text = frame[column].astype("string").fillna("")
    return text.map({entry: entry.strip().upper() for entry in text.unique()}).astype("string")
