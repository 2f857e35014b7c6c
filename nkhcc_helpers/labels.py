"""What groups, endpoints and covariates are called in tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.frames import NOT_CODED
from nkhcc_helpers.numbers import format_number
from nkhcc_helpers.safety_terms import BLOCK, ORGAN_CLASS, TERM, list_terms

if TYPE_CHECKING:
    from nkhcc_helpers.trial import Trial

ROW = ""  # heads the rows of a table by group; no group can have this code
SEVERE = ("3", "4", "5", "3+", "missing")  # a missing grade may be any
METHOD_NAMES = {"firth": "Likelihood penalised by Firth's method", "partial": "Partial likelihood"}
DOSE_NAMES = {
    "relative": "Dose per infusion",
    "cumulative": "Planned cumulative dose",
    "log2": "Dose per infusion, doublings",
    "order": "Rank of dose",
}
FIT_NAMES = {
    "received": "Received in all, as if known at the start (wrong)",
    "planned": "Planned",
    "so far": "Received so far, changing with time",
    "landmark received": "Received by the landmark, from there on",
    "landmark planned": "Planned, from the landmark on",
}
QUANTITY_NAMES = {"dose": "Dose per infusion", "infusions": "Planned infusions"}


def list_group_headings(frame: pd.DataFrame, trial: Trial, size: str = "n") -> dict[str, str]:
    """Heading of each group's column: its label and its size.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `group` and `size`.
    trial : Trial
        Knows the labels; a group it does not know ("All") is its own label.
    size : str
        Column with the number of people; where it differs within a group, the largest.

    Returns
    -------
    dict of str to str
        Group code to heading, such as ``A: low dose x 4 (n = 3)``: groups in the trial's order, then others.
    """
    sizes = frame.assign(group=frame["group"].astype("str")).groupby("group", sort=False)[size].max()
    ordered = [
        *(code for code in trial.groups if code in sizes),
        *sizes.index.difference(trial.groups, sort=False),
    ]
    return {code: f"{show_group(code, trial)} (n = {format_number(sizes[code], 0)})" for code in ordered}


def show_group(code: object, trial: Trial) -> str:
    """Label of a group, or the code itself ("All") where the trial has no label for it.

    Parameters
    ----------
    code : str
        Value of a `group` column.
    trial : Trial
        Knows the labels.

    Returns
    -------
    str
    """
    return trial.group_labels.get(str(code), str(code))


def show_endpoint(endpoint: str, trial: Trial, *, within: bool = False) -> str:
    """Label of an endpoint, or its code where the trial has no label for it.

    Parameters
    ----------
    endpoint : str
        Code of the endpoint.
    trial : Trial
        Knows the labels.
    within : bool
        Whether it stands within a sentence, and so begins with a small letter (abbreviations keep theirs).

    Returns
    -------
    str
    """
    label = trial.endpoint_labels.get(endpoint, endpoint)
    return label if not within or label[:2].isupper() else label[:1].lower() + label[1:]


def show_method(method: str) -> str:
    """What a method of `cox.fit_cox` is called.

    Parameters
    ----------
    method : str

    Returns
    -------
    str
    """
    return METHOD_NAMES.get(method, method)


def show_interval(conf_level: float) -> str:
    """What an interval of this level is called.

    Parameters
    ----------
    conf_level : float
        Between 0 and 1.

    Returns
    -------
    str
    """
    return f"{100 * conf_level:g} % CI"


def list_covariate_labels(trial: Trial, *, dose_coding: str = "relative") -> dict[str, str]:
    """What the covariates of the models are called.

    Parameters
    ----------
    trial : Trial
        Knows the group labels.
    dose_coding : str
        As in `design.code_covariates`.

    Returns
    -------
    dict of str to str
        Covariate, as `design.code_covariates` names it, to what a reader sees.
    """
    first = show_group(trial.groups[0], trial)
    against = {f"group {code}": f"{show_group(code, trial)}, against {first}" for code in trial.groups}
    return {
        "dose": DOSE_NAMES.get(dose_coding, DOSE_NAMES["relative"]),
        "infusions": "Planned infusions",
        "cumulative": DOSE_NAMES["cumulative"],
        "order": "Order of groups",
        "All": "All together",
        **against,
    }


def show_groups(codes: object, trial: Trial) -> str:
    """Labels of several groups.

    Parameters
    ----------
    codes : str
        Group codes separated by ", ", as `design.describe_design` names those that share a design point.
    trial : Trial
        Knows the labels.

    Returns
    -------
    str
    """
    if str(codes) in trial.group_labels:
        return show_group(codes, trial)
    return "; ".join(show_group(code, trial) for code in str(codes).split(", "))


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


def arrange_by_group(frame: pd.DataFrame, rows: Mapping[str, Callable[[pd.Series], str]]) -> pd.DataFrame:
    """Turn a frame with one row per group into one with a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per group, named in column `group`.
    rows : mapping of str to callable
        Heading of each row shown to the function that makes its cell from a group's row.

    Returns
    -------
    pandas.DataFrame
        First column :data:`ROW` with the headings, then one column per group code.
    """
    columns = {
        str(record["group"]): [show(record) for show in rows.values()] for _, record in frame.iterrows()
    }
    return pd.DataFrame({ROW: list(rows), **columns}, dtype="object")
