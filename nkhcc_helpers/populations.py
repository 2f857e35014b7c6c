"""Who is counted: every group and "All", and the treated."""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.metadata import ALL_GROUPS


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
