"""What groups, endpoints and covariates are called in tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.compatible.claims import describe_claim
from nkhcc_helpers.identification.answers import HOLDS_IN_ALL, HOLDS_IN_NONE, HOLDS_IN_SOME
from nkhcc_helpers.identification.statistics import list_pairs
from nkhcc_helpers.report.numbers import format_number, format_p, format_percent, format_ratio

if TYPE_CHECKING:
    from nkhcc_helpers.compatible.claims import ClaimedTrial
    from nkhcc_helpers.trial.trial import Trial


ROW = ""  # heads the rows of a table by group; no group can have this code
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


EVERYONE = "all"  # stands for all patients in the name of a statistic
LARGEST_RATIO = 9999  # what separation makes larger says no more
P_VALUES = ("logrank_p", "permutation_p", "trend_p", "pair_p")
STATISTIC_NAMES = {
    "logrank_p": "Log-rank P as published, chi-square",
    "permutation_p": "Log-rank P by permutation",
    "trend_p": "Ordered trend, P by permutation",
    "follow_up": "Median follow-up",
    "longest": "Longest time",
    "n_censored": "Patients censored",
}
PRIOR_NAMES = {
    "log_uniform": "even on a logarithmic scale (log-uniform)",
    "uniform": "even (uniform)",
}
CONVENTION_NAMES = {
    "midpoint": "middle of the flat stretch",
    "first": "first time at one half or below",
    "either": "middle or start of the flat stretch, for each median by itself",
}
CODING_NAMES = {
    "relative": "Dose as it is",
    "cumulative": "Cumulative dose",
    "log2": "Dose in doublings",
    "order": "Rank of dose",
}
QUANTITIES = {"dose": "dose", "infusions": "infusions"}
SHORT_METHODS = {"firth": "Firth's method", "partial": "partial likelihood"}
VERDICTS = {HOLDS_IN_ALL: "In all", HOLDS_IN_SOME: "In some", HOLDS_IN_NONE: "In none"}


def list_statistic_labels(statistics: Iterable[str], trial: Trial) -> dict[str, str]:
    """What the statistics of `compatible_statistics.calculate_statistics` are called.

    Parameters
    ----------
    statistics : iterable of str
        Names such as ``permutation_p``, ``median A``, ``pair_p B-A``, ``rate 12 all`` or ``hr dose``.
    trial : Trial
        Knows the labels of its groups and its unit of time.

    Returns
    -------
    dict of str to str
        Name to what a reader sees, in the order given.
    """
    return {statistic: show_statistic(statistic, trial) for statistic in statistics}


def list_pair_labels(trial: Trial) -> dict[str, str]:
    """What pairs of groups are called where many are named at once: by their codes.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    dict of str to str
        ``pair_p B-A`` to ``A and B``, and so on.
    """
    groups = trial.groups
    return {name: f"{groups[one]} and {groups[two]}" for (one, two), name in list_pairs(groups).items()}


def list_claim_labels(claimed: ClaimedTrial, trial: Trial) -> dict[str, str]:
    """What the claims are called, by the words in which `compatible_narrowing.drop_claims` names them.

    Parameters
    ----------
    claimed : ClaimedTrial
    trial : Trial

    Returns
    -------
    dict of str to str
        The endpoint is not named; ``""`` is what is found with all claims.
    """
    named = {describe_claim(claim): show_claim(claim, trial, endpoint=False) for claim in claimed.claims}
    return {"": "With all claims", **named}


def list_design_labels(signs: pd.DataFrame, trial: Trial) -> tuple[dict, dict, dict]:
    """What designs, covariates and methods of hazard ratios are called.

    Parameters
    ----------
    signs : pandas.DataFrame
        Columns ``design covariate method``, as of `compatible_statistics.summarize_signs`.
    trial : Trial

    Returns
    -------
    tuple of dict of str to str
        For designs, covariates and methods.
    """
    return (
        {design: show_design(design, trial) for design in signs["design"].unique()},
        {covariate: show_coded(covariate, trial) for covariate in signs["covariate"].unique()},
        {method: show_method(method) for method in signs["method"].unique()},
    )


def show_statistic(statistic: str, trial: Trial) -> str:
    """What one statistic is called; see :func:`list_statistic_labels`.

    Parameters
    ----------
    statistic : str
    trial : Trial

    Returns
    -------
    str
        A name that is not known loses its underscores.
    """
    if statistic in STATISTIC_NAMES:
        return STATISTIC_NAMES[statistic]
    kind, _, rest = statistic.partition(" ")
    makers = {"median": _name_median, "pair_p": _name_pair, "rate": _name_rate, "rmst": _name_mean}
    makers |= {"hr": _name_ratio}
    return makers[kind](rest, trial) if kind in makers else statistic.replace("_", " ")


def is_p_value(statistic: str) -> bool:
    """Whether a statistic is a P-value.

    Parameters
    ----------
    statistic : str

    Returns
    -------
    bool
    """
    return statistic.partition(" ")[0] in P_VALUES


def show_value(value: float, statistic: str) -> str:
    """A statistic's value as a reader sees it: P-values, ratios, percentages, counts and times.

    Parameters
    ----------
    value : float
    statistic : str

    Returns
    -------
    str
        ``NE`` where it is missing or unbounded.
    """
    kind = statistic.partition(" ")[0]
    if kind in P_VALUES:
        return format_p(value)
    if kind == "hr":
        return format_ratio(value) if not value > LARGEST_RATIO else f">{LARGEST_RATIO:g}"
    if kind == "rate":
        return format_percent(value)
    return format_number(value, 0 if kind == "n_censored" else 1)


def show_range(lower: float, upper: float, statistic: str) -> str:
    """Two ends of a range of a statistic, as :func:`show_value` prints each.

    Parameters
    ----------
    lower, upper : float
    statistic : str

    Returns
    -------
    str
        One number where both print alike; ``NE`` where neither can be estimated.
    """
    ends = [show_value(lower, statistic), show_value(upper, statistic)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def show_claim(claim: object, trial: Trial, *, endpoint: bool = True) -> str:
    """What a claim of `published.yaml` is about, without the number.

    Parameters
    ----------
    claim : claim of `published.yaml`
    trial : Trial
    endpoint : bool
        Whether to name the endpoint.

    Returns
    -------
    str
    """
    kind, group = claim.kind, getattr(claim, "group", None)
    of = show_group(group, trial) if group else "all patients"
    if kind == "median":
        shown = f"Median, {of}"
    elif kind == "logrank_p":
        shown = "Log-rank P"
    elif kind == "landmark_rate":
        shown = f"Without the event at {claim.at:g} {trial.unit}, {of}"
    elif kind == "hazard_ratio":
        against = show_group(claim.reference, trial) if claim.reference else "all others"
        shown = f"Hazard ratio, {of}, against {against}"
    else:
        return {"longest_follow_up": f"Longest follow-up ({claim.unit})"}.get(kind, kind.replace("_", " "))
    return f"{show_endpoint(claim.endpoint, trial)}: {shown[0].lower()}{shown[1:]}" if endpoint else shown


def show_conclusion(statistic: str, trial: Trial) -> str:
    """What is concluded where a P-value is below its level, or a hazard ratio below 1.

    Parameters
    ----------
    statistic : str
        As `compatible_answers.judge_conclusions` names it, such as ``trend_p`` or ``hr dose (firth)``.
    trial : Trial

    Returns
    -------
    str
    """
    kind, _, rest = statistic.partition(" ")
    if kind == "hr":
        covariate, method = _split_ratio(rest)
        name = show_coded(covariate, trial).lower()
        of = SHORT_METHODS.get(method, method)
        return f"The higher the {name}, the later the event, all else equal ({of})"
    if kind == "pair_p":
        return f"{_name_pair(rest, trial).replace(' against ', ' and ', 1)} differ (exact log-rank)"
    known = {"permutation_p": "The groups differ (log-rank, permutation)"}
    known |= {"trend_p": "Times rise or fall with the order of the groups (trend, permutation)"}
    return known.get(statistic, show_statistic(statistic, trial))


def show_design(design: str, trial: Trial) -> str:
    """What a design of `compatible_statistics.list_designs` is called.

    Parameters
    ----------
    design : str
        Such as ``relative, as assumed`` or ``log2, dose of A 0.25``.
    trial : Trial

    Returns
    -------
    str
    """
    coding, _, plan = str(design).partition(", ")
    for group in trial.groups:
        for quantity, name in QUANTITIES.items():
            if plan.startswith(f"{quantity} of {group} "):
                plan = f"{name} {plan.rpartition(' ')[2]} in {show_group(group, trial)}"
    return f"{CODING_NAMES.get(coding, coding)}; {plan}" if plan else CODING_NAMES.get(coding, coding)


def show_coded(covariate: str, trial: Trial) -> str:
    """What a covariate is called, whatever its coding.

    Parameters
    ----------
    covariate : str
    trial : Trial

    Returns
    -------
    str
    """
    names = list_covariate_labels(trial) | {"dose": "Dose", "infusions": "Number of infusions"}
    return names.get(covariate, str(covariate).replace("_", " "))


def _name_median(group: str, trial: Trial) -> str:
    return f"Median, {_name_group(group, trial)}"


def _name_rate(rest: str, trial: Trial) -> str:
    at, _, group = rest.partition(" ")
    return f"Without the event at {at} months, {_name_group(group, trial)}"


def _name_mean(rest: str, trial: Trial) -> str:
    return f"Restricted mean, {_name_group(rest, trial)}"


def _name_pair(rest: str, trial: Trial) -> str:
    # A code may hold a hyphen itself, so that the name is not to be cut at one.
    for first, second in permutations(trial.groups, 2):
        if rest == f"{second}-{first}":
            return f"{show_group(first, trial)} against {show_group(second, trial)}"
    return rest


def _name_ratio(rest: str, trial: Trial) -> str:
    covariate, method = _split_ratio(rest)
    return f"Hazard ratio, {show_coded(covariate, trial).lower()} ({SHORT_METHODS.get(method, method)})"


def _split_ratio(rest: str) -> tuple[str, str]:
    covariate, _, method = rest.rpartition(" ")
    return covariate, method.strip("()")


def _name_group(group: str, trial: Trial) -> str:
    return "all patients" if group in ("", EVERYONE) else show_group(group, trial)
