"""What groups, endpoints, covariates, statistics and claims are called in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.compatible.claims import describe_claim
from nkhcc_helpers.identification.answers import HOLDS_IN_ALL, HOLDS_IN_NONE, HOLDS_IN_SOME
from nkhcc_helpers.identification.statistics import Design, Statistic, list_statistics
from nkhcc_helpers.report.numbers import format_number, format_p, format_percent, format_ratio
from nkhcc_helpers.trial.metadata import pluralize

if TYPE_CHECKING:
    from nkhcc_helpers.compatible.claims import ClaimedTrial
    from nkhcc_helpers.trial.claims import Published
    from nkhcc_helpers.trial.trial import Trial


LARGEST_RATIO = 9999  # what separation makes larger says no more
RATIO = Statistic("hr")
METHOD_NAMES = {"firth": "Likelihood penalised by Firth's method", "partial": "Partial likelihood"}
SHORT_METHODS = {"firth": "Firth's method", "partial": "partial likelihood"}
DOSE_NAMES = {
    "relative": "Dose per {word}",
    "cumulative": "Planned cumulative dose",
    "log2": "Dose per {word}, doublings",
    "order": "Rank of dose",
}
CODING_NAMES = {
    "relative": "Dose as it is",
    "cumulative": "Cumulative dose",
    "log2": "Dose in doublings",
    "order": "Rank of dose",
}
FIT_NAMES = {
    "received": "Received in all, as if known at the start (wrong)",
    "planned": "Planned",
    "so far": "Received so far, changing with time",
    "landmark received": "Received by the landmark, from there on",
    "landmark planned": "Planned, from the landmark on",
}
STATISTIC_NAMES = {
    "logrank_p": "Log-rank P as published, chi-square",
    "permutation_p": "Log-rank P by permutation",
    "trend_p": "Ordered trend, P by permutation",
    "pair_p": "{against} against {group}",
    "median": "Median, {group}",
    "rate": "Without the event at {at:g} months, {group}",
    "rmst": "Restricted mean, {group}",
    "follow_up": "Median follow-up",
    "longest": "Longest time",
    "n_censored": "Patients censored",
    "hr": "Hazard ratio, {covariate} ({method})",
}
CONCLUSION_NAMES = {
    "permutation_p": "The groups differ (log-rank, permutation)",
    "trend_p": "Times rise or fall with the order of the groups (trend, permutation)",
    "pair_p": "{against} and {group} differ (exact log-rank)",
    "hr": "The higher the {covariate}, the later the event, all else equal ({method})",
}
CLAIM_NAMES = {
    "median": "Median, {of}",
    "logrank_p": "Log-rank P",
    "landmark_rate": "Without the event at {at} {unit}, {of}",
    "hazard_ratio": "Hazard ratio, {of}, against {against}",
    "longest_follow_up": "Longest follow-up ({unit})",
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
RESPONSE_NAMES = {
    "CR": "Complete response",
    "PR": "Partial response",
    "SD": "Stable disease",
    "PD": "Progression",
    "NE": "Not evaluable",
    "": "Not assessed",
}
VERDICTS = {HOLDS_IN_ALL: "In all", HOLDS_IN_SOME: "In some", HOLDS_IN_NONE: "In none"}


def show_group(code: object, trial: Trial) -> str:
    """Label of a group, or the code itself ("All") where the trial has no label for it."""
    return trial.group_labels.get(str(code), str(code))


def list_group_headings(frame: pd.DataFrame, trial: Trial, size: str = "n") -> dict[str, str]:
    """Heading of each group's column, such as ``A: low dose x 4 (n = 3)``, by its code.

    Groups of column `group` in the trial's order, then others ("All"); of column `size` the largest.
    """
    sizes = frame.assign(group=frame["group"].astype("str")).groupby("group", sort=False)[size].max()
    ordered = [
        *(code for code in trial.groups if code in sizes),
        *sizes.index.difference(trial.groups, sort=False),
    ]
    return {code: f"{show_group(code, trial)} (n = {format_number(sizes[code], 0)})" for code in ordered}


def show_endpoint(endpoint: str, trial: Trial, *, within: bool = False) -> str:
    """Label of an endpoint, or its code where the trial has no label for it.

    Within a sentence it begins with a small letter (abbreviations keep theirs).
    """
    label = trial.endpoint_labels.get(endpoint, endpoint)
    return label if not within or label[:2].isupper() else label[:1].lower() + label[1:]


def name_treatment(trial: Trial) -> dict[str, str]:
    """What one treatment is called: `word`, `words`, and `Word` and `Words` to begin a line with."""
    words = {"word": trial.metadata.treatment_word, "words": pluralize(trial.metadata.treatment_word)}
    return words | {name.capitalize(): word[:1].upper() + word[1:] for name, word in words.items()}


def show_method(method: str) -> str:
    """What a method of `fit_cox` is called."""
    return METHOD_NAMES.get(method, method)


def show_interval(conf_level: float) -> str:
    """What an interval of this level is called."""
    return f"{100 * conf_level:g} % CI"


def name_interval(conf_type: str) -> list[str]:
    """The note that names the kind of interval, where it is known."""
    return [f"Interval: {conf_type}."] if conf_type else []


def name_dose_unit(trial: Trial) -> list[str]:
    """The note that says in which unit doses are, where the trial has one."""
    return [f"Dose: {trial.metadata.dose_unit}."] if trial.metadata.dose_unit else []


def name_exposure(trial: Trial) -> list[str]:
    """The note that nothing is known of what was given, where that is so."""
    if trial.metadata.exposure.collected:
        return []
    words = name_treatment(trial)
    return ["Exposure was not collected: what needs the {words} given is left out or NE.".format(**words)]


def name_scope(related_only: bool | None) -> list[str]:
    """The note that says which events were counted, where it is known."""
    if related_only is None:
        return []
    return ["Events related to treatment." if related_only else "Events whatever their cause."]


def name_strata(trial: Trial, strata: str) -> list[str]:
    """The note that a model is stratified, where it is."""
    if not strata:
        return []
    label = {each.column: each.label for each in trial.metadata.baseline}.get(strata, strata)
    return [
        f"Stratified by {label}: patients are compared within its levels only, each with its own baseline."
    ]


def show_coding(coding: str, trial: Trial) -> str:
    """What dose is called in a coding."""
    return DOSE_NAMES.get(coding, coding).format(**name_treatment(trial))


def list_covariate_labels(
    trial: Trial, *, dose_coding: str = "relative", reference: str = ""
) -> dict[str, str]:
    """What the covariates of the models are called, and under ``number`` what is counted as `infusions`.

    Parameters
    ----------
    dose_coding, reference : str
        As in `code_trial`; the first group where `reference` is empty.
    """
    first = show_group(reference or trial.groups[0], trial)
    against = {f"group {code}": f"{show_group(code, trial)}, against {first}" for code in trial.groups}
    return {
        "dose": show_coding(dose_coding, trial),
        "infusions": f"Planned {name_treatment(trial)['words']}",
        "number": name_treatment(trial)["words"],
        "cumulative": DOSE_NAMES["cumulative"],
        "order": "Order of groups",
        "All": "All together",
        **against,
    }


def describe_selection(trial: Trial) -> Iterator[tuple[str, dict[str, object]]]:
    """Sentences on what of the trial was chosen, patients or doses, with their values; none where nothing."""
    chosen = trial.selection
    if chosen is not None:
        by = [each for each in (chosen.population, chosen.where) if each]
        text = "<b>Analysed here: {n_selected} of {n_all} patients</b>, by {selected_by}. "
        text += "What a paper says of all patients is not held against them."
        yield text, {"n_selected": chosen.n, "n_all": chosen.n_all, "selected_by": by}
        text = "Left out too: {n_unknown: patient|patients} with a missing value that leaves the rule open."
        yield text, {"n_unknown": chosen.n_unknown or None}
    if trial.has_other_doses:
        told = [f"{arm.dose:g} ({arm.label})" for arm in trial.metadata.arms]
        yield "<b>Doses here are not those of trial.yaml</b>, but {changed_doses}.", {"changed_doses": told}


def name_empty(trial: Trial, endpoint: str) -> list[str]:
    """A note on the groups that a comparison leaves out because nobody has the endpoint, or none."""
    there = set(trial.survival(endpoint)["group"]) if endpoint else set(trial.groups)
    empty = [show_group(code, trial) for code in trial.groups if code not in there]
    return [f"Without patients, and left out: {', '.join(empty)}."] if empty else []


def describe_patients(
    trial: Trial, endpoint: str, frame: pd.DataFrame, strata: str = ""
) -> Iterator[tuple[str, dict[str, object]]]:
    """Sentences on the patients of an endpoint as `Page.say_patients` says them, with their values."""
    about, unit, late = trial.endpoint(endpoint), trial.unit, frame["time_enter"]
    by_group = frame.groupby("group", observed=False)["event"]
    told = [f"{part.sum()} of {part.size} in {trial.group_labels[group]}" for group, part in by_group]
    values = {"endpoint_label": about.label, "n_patients": len(frame), "n_events": int(frame["event"].sum())}
    text = "<b>{endpoint_label}</b>. Patients: {n_patients}. Event: {meaning}. With the event: {with_event}. "
    yield text + "Time counts in {unit}.", values | {"meaning": about.event, "with_event": told, "unit": unit}
    values = {"population": about.population or None, "n_endpoint": len(frame)}
    text = "Of {n_enrolled} patients only {n_endpoint} are in it: {population}."
    yield text, values | {"n_enrolled": len(trial.subjects)}
    text = "Its time counts from {origin}, and so does its follow-up, not from enrolment."
    yield text, {"origin": about.origin or None}
    values = {"n_late": int((late > 0).sum()), "latest": late[late > 0].max(), "unit": unit}
    text = "Late entry: {n_late: patient|patients}, observed from up to {latest:.1f} {unit} after time 0 "
    yield text + "({entry}) on; nobody counts before entering.", values | {"entry": about.origin or "STARTDT"}
    if strata:
        column = next(each for each in trial.metadata.baseline if each.column == strata)
        told = {"strata": column.label, "held": _list_strata(trial, frame, strata)}
        yield "Strata by {strata}, with their patients: {held}.", told


def _list_strata(trial: Trial, frame: pd.DataFrame, strata: str) -> list[str]:
    """The levels of a column of the trial's subjects with the patients of a frame: ``Male: 5 (A 2, B 3)``."""
    named = {each.column: each.levels or {} for each in trial.metadata.baseline}.get(strata, {})
    levels = frame["USUBJID"].map(trial.subjects.set_index("USUBJID")[strata]).fillna("not known")
    told = []
    for level, part in frame["group"].groupby(levels.replace(named)):
        counts = part.cat.remove_unused_categories().value_counts(sort=False)
        told.append(f"{level}: {len(part)} ({', '.join(f'{code} {n}' for code, n in counts.items())})")
    return told


def describe_claimed(
    trial: Trial,
    published: Published,
    claimed: ClaimedTrial,
    codes: Iterable[str],
    left_out: Mapping[str, str],
) -> Iterator[tuple[str | None, str, dict[str, object]]]:
    """Sentences on what is claimed as `Page.say_claimed` says them: of which endpoint, and their values."""
    if trial.published is None:
        text = "<b>Nothing was published of this trial.</b> Its own numbers, rounded, take the place of a "
        yield None, text + "report.", {}
    values = {"n_claims": len(claimed.claims), "cited": published.citation}
    yield None, "Claims about times: {n_claims}. Source: {cited}", values
    text = "<b>{left_out} is left out of this page</b>, which takes every patient of a group to be in an "
    text += "endpoint and watched from time zero on: {why}."
    for code, why in left_out.items():
        yield code, text, {"left_out": trial.endpoint_labels[code], "why": why}
    for code in codes:
        about = trial.endpoint(code)
        if about.population or about.origin:
            text = (
                "<b>Warning:</b> not all patients are in {named}, or not from time zero on, and no endpoint "
            )
            text += (
                "of this trial is otherwise. It is taken as if they were: a show of the method, no result."
            )
            yield code, text, {"named": about.label}
        if about.competing:
            text = (
                "<b>{name}.</b> The event that competes with it, of {competitor}, counts as censoring here."
            )
            yield code, text, {"name": about.label, "competitor": trial.endpoint_labels[about.competing]}
    if len(claimed.groups) == 1:
        text = "There is one group. <b>A comparison needs two groups</b>: sections that compare are empty."
        yield None, text, {}


def list_statistic_labels(statistics: Iterable[Statistic], trial: Trial) -> dict[Statistic, str]:
    """What the statistics of compatible cohorts are called, in the order given."""
    return {statistic: show_statistic(statistic, trial) for statistic in statistics}


def list_pair_labels(trial: Trial) -> dict[Statistic, str]:
    """What pairs of groups are called where many are named at once: by their codes, as ``A and B``."""
    pairs = (each for each in list_statistics(trial.groups) if each.kind == "pair_p")
    return {each: f"{each.against} and {each.group}" for each in pairs}


def list_claim_labels(claimed: ClaimedTrial, trial: Trial) -> dict[str, str]:
    """What the claims are called, by the words in which the narrowing names them.

    The endpoint is not named; ``""`` is what is found with all claims.
    """
    named = {describe_claim(each): show_claim(each, trial) for each in claimed.claims}
    return {"": "With all claims", **named}


def list_design_labels(signs: pd.DataFrame, trial: Trial) -> tuple[dict, dict, dict]:
    """What the designs, covariates and methods of `summarize_signs` are called, a dict for each."""
    return (
        {design: show_design(design, trial) for design in signs["design"].unique()},
        {covariate: show_coded(covariate, trial) for covariate in signs["covariate"].unique()},
        {method: show_method(method) for method in signs["method"].unique()},
    )


def show_statistic(statistic: Statistic, trial: Trial) -> str:
    """What a statistic is called."""
    return _fill(STATISTIC_NAMES, statistic, trial)


def show_conclusion(statistic: Statistic, trial: Trial) -> str:
    """What is concluded where a P-value is below its level, or a hazard ratio below 1."""
    return _fill(STATISTIC_NAMES | CONCLUSION_NAMES, statistic, trial)


def _fill(templates: Mapping[str, str], statistic: Statistic, trial: Trial) -> str:
    return templates[statistic.kind].format(
        group=show_group(statistic.group, trial) if statistic.group else "all patients",
        against=show_group(statistic.against, trial),
        at=statistic.at or 0,
        covariate=show_coded(statistic.covariate, trial).lower(),
        method=SHORT_METHODS.get(statistic.method, statistic.method),
    )


def show_value(value: float, statistic: Statistic) -> str:
    """A statistic's value as a reader sees it; ``NE`` where it is missing or unbounded."""
    if statistic.is_p_value:
        return format_p(value)
    if statistic.kind == "hr":
        return format_ratio(value) if not value > LARGEST_RATIO else f">{LARGEST_RATIO:g}"
    if statistic.kind == "rate":
        return format_percent(value)
    return format_number(value, 0 if statistic.kind == "n_censored" else 1)


def show_range(lower: float, upper: float, statistic: Statistic) -> str:
    """Two ends of a range of a statistic, or one number where both print alike."""
    ends = [show_value(lower, statistic), show_value(upper, statistic)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def show_claim(claim: object, trial: Trial) -> str:
    """What a claim of `published.yaml` is about, without the endpoint and the number."""
    if claim.kind not in CLAIM_NAMES:
        return claim.kind.replace("_", " ")
    group, reference = (getattr(claim, name, None) for name in ("group", "reference"))
    return CLAIM_NAMES[claim.kind].format(
        of=show_group(group, trial) if group else "all patients",
        against=show_group(reference, trial) if reference else "all others",
        at=f"{getattr(claim, 'at', 0):g}",
        unit=getattr(claim, "unit", trial.unit),
    )


def show_design(design: Design, trial: Trial) -> str:
    """What a design is called: its coding of dose, and the assumed number that was moved."""
    plan = "as assumed"
    if design.quantity:
        quantity = name_treatment(trial)["words"] if design.quantity == "infusions" else design.quantity
        plan = f"{quantity} {design.value:g} in {show_group(design.group, trial)}"
    return f"{CODING_NAMES.get(design.coding, design.coding)}; {plan}"


def show_coded(covariate: str, trial: Trial) -> str:
    """What a covariate is called, whatever its coding."""
    number = f"Number of {name_treatment(trial)['words']}"
    names = list_covariate_labels(trial) | {"dose": "Dose", "infusions": number}
    return names.get(covariate, str(covariate).replace("_", " "))
