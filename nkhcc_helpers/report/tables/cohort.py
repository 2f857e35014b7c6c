"""Tables of the cohort: disposition, baseline, exposure, follow-up, responses, published and reproduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers import cohort, identification, response
from nkhcc_helpers.report.display import (
    Layout,
    group,
    lay_out_groups,
    lay_out_rows,
    median_with_limits,
    number,
    shows_table,
)
from nkhcc_helpers.report.names import (
    RESPONSE_NAMES,
    list_group_headings,
    name_dose_unit,
    name_interval,
    name_treatment,
    show_endpoint,
    show_interval,
)
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    format_count,
    format_interval,
    format_number,
    format_or_none,
    format_percent,
    format_share,
    is_estimable,
)
from nkhcc_helpers.report.tables.safety_timing import DRAWN_NOTE, list_test_columns, name_scores

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

OPEN_NOTE = "A curve that ends flat at one half: the median is the middle up to its last time, a guess."
EVERYBODY_NOTE = "Of everybody in the group: who was not assessed or not evaluable counts as not responding."
STABLE_NOTE = "Stable disease: with non-CR/non-PD, of patients without measurable disease."
RATE_NAMES = {
    response.OBJECTIVE: "Objective response (complete or partial)",
    response.CONTROL: "Disease control (complete, partial or stable)",
}
RESPONSE_TEST_NOTES = (
    "Trend: exact conditional Cochran-Armitage, two-sided. Any difference: exact Fisher-Freeman-Halton. Both "
    "over all ways in which as many responses could fall to the groups.",
    "Smallest possible: what so many responses in groups of these sizes can give at all. No P is adjusted.",
)
STAGES = {
    "Treated": "n_treated",
    "Received all planned {words}": "n_completed",
    "Received fewer than planned": "n_fewer",
    "Progressed": "n_progressed",
    "Died": "n_died",
    "Alive {when}": "n_alive",
    "Lost to follow-up": "n_lost",
}


@shows_table(cohort.count_disposition, by_exposure=True)
def format_disposition(frame: pd.DataFrame, trial: Trial, *, grace_days: int | None = None) -> Layout:
    """Where everyone enrolled ended up, from `count_disposition`."""
    is_cut = trial.metadata.data_cut_off is not None
    note = f"Alive: still followed at most {grace_days} days before the cut-off, or said to be so."
    if not is_cut:
        note = (
            "No data cut-off is known: alive are those not known to have died or to be lost or discontinued."
        )
    words = {**name_treatment(trial), "when": "at data cut-off" if is_cut else "at last contact"}
    stages = {stage.format(**words): column for stage, column in STAGES.items()}
    stages |= {name.capitalize(): name for name in frame if name.startswith(cohort.DISCONTINUED)}
    before = {
        name.replace(cohort.LEFT_OUT, "Left out: ", 1): name
        for name in frame
        if name.startswith(cohort.LEFT_OUT)
    }
    return lay_out_groups(
        frame,
        lambda row: {
            **{
                heading: format_number(row[name], 0) if is_estimable(row[name]) else NOT_APPLICABLE
                for heading, name in before.items()
            },
            "Enrolled": format_number(row["n_enrolled"], 0),
            **{stage: format_count(row[column], row["n_enrolled"]) for stage, column in stages.items()},
        },
        list_group_headings(frame, trial, "n_enrolled"),
        title="Disposition",
        subtitle="Patients, and percent of those enrolled",
        notes=[] if grace_days is None else [note],
    )


@shows_table(cohort.summarize_baseline)
def format_baseline(frame: pd.DataFrame, trial: Trial) -> Layout:
    """Table 1, from `summarize_baseline`: who the patients were; no significance tests.

    The median carries its range, which at n = 3 or fewer shows every value; the standard deviation of one
    value is ``-``. Range as measured, medians and means with one more decimal.
    """
    ranges = frame.groupby("variable", observed=True)[["minimum", "maximum"]]
    decimals = {variable: _decimals_needed(values) for variable, values in ranges}
    last = ~frame.duplicated(["variable", "group"], keep="last")
    frame = frame.assign(enrolled=frame["n"] + frame["n_missing"], is_last=last)
    return lay_out_groups(
        frame,
        lambda row: _baseline_cells(row, decimals[row["variable"]]),
        list_group_headings(frame, trial, "enrolled"),
        key=["variable", "level"],
        title="Baseline characteristics",
        notes=["SD: standard deviation. Percent of patients with a value."],
    )


def _baseline_cells(row: dict, decimals: int) -> dict:
    unit = f" ({row['unit']})" if isinstance(row["unit"], str) and row["unit"] else ""
    cells = _values(row, decimals) if row["kind"] == "continuous" else _level(row)
    if row["is_last"]:
        cells["Missing"] = format_number(row["n_missing"], 0)
    block = f"{row['label']}{unit}{'' if row['kind'] == 'continuous' else ', n (%)'}"
    return {(block, heading): cell for heading, cell in cells.items()}


def _values(row: dict, decimals: int) -> dict[str, str]:
    n, spread, mean = format_number(row["n"], 0), NOT_APPLICABLE, NOT_APPLICABLE
    if is_estimable(row["median"]):
        ends = format_interval(row["minimum"], row["maximum"], decimals)
        spread = f"{format_number(row['median'], decimals + 1)} ({ends})"
    if is_estimable(row["mean"]):
        mean = f"{format_number(row['mean'], decimals + 1)} ({format_or_none(row['sd'], decimals + 1)})"
    return {"n": n, "Median (range)": spread, "Mean (SD)": mean}


def _level(row: dict) -> dict[str, str]:
    label = row["level_label"]
    label = label if isinstance(label, str) and label else str(row["level"]) or "No value"
    return {label: format_share(row["count"], row["percent"])}


def _decimals_needed(values: pd.DataFrame, most: int = 2) -> int:
    """Fewest decimals that show every value as it was measured; none from 1000 on."""
    found = [float(value) for value in values.to_numpy().ravel() if is_estimable(value)]
    if any(abs(value) >= 1000 for value in found):
        return 0
    return next((d for d in range(most) if all(round(v, d) == v for v in found)), most)


@shows_table(cohort.summarize_exposure, by_exposure=True)
def format_exposure(frame: pd.DataFrame, trial: Trial) -> Layout:
    """Treatments and cumulative dose, planned and received, from `summarize_exposure`."""
    words = name_treatment(trial)
    given, dose, daily = words["Words"], "Cumulative dose", frame["intensity_median"].notna().any()
    return lay_out_groups(
        frame,
        lambda row: {
            (given, "Planned"): _trimmed(row["planned_infusions"], 0),
            (given, "Received, median (range)"): _received(row, "received", 0),
            (given, "All planned received, n (%)"): format_count(row["n_completed"], row["n"]),
            (dose, "Planned dose"): _trimmed(row["planned_dose"], 2),
            (dose, "Received dose, median (range)"): _received(row, "received_dose", 2),
            **({(dose, "Dose per day, median (range)"): _received(row, "intensity", 2)} if daily else {}),
            ("Days of treatment", "First to last, median (range)"): _received(row, "duration", 0),
        },
        list_group_headings(frame, trial),
        title="Exposure",
        subtitle=f"Planned and received {words['words']} and dose",
        notes=name_dose_unit(trial),
    )


def _received(row: dict, name: str, decimals: int) -> str:
    if not is_estimable(row[f"{name}_median"]):
        return NOT_APPLICABLE
    ends = " to ".join(_trimmed(row[f"{name}_{end}"], decimals) for end in ("minimum", "maximum"))
    return f"{_trimmed(row[f'{name}_median'], max(decimals, 1))} ({ends})"


def _trimmed(value: float, decimals: int) -> str:
    """Without zeros at the end; a plan that differs between groups has no value for all of them."""
    shown = format_or_none(value, decimals)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


@shows_table(cohort.summarize_follow_up)
def format_follow_up(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, conf_type: str = ""
) -> Layout:
    """How long patients were followed, a row per group, from `summarize_follow_up`."""
    open_ended = [OPEN_NOTE] if "open_ended" in frame and frame["open_ended"].any() else []
    return lay_out_rows(
        frame,
        {
            "Group": group(trial),
            "Patients": "n",
            "Events": "n_events",
            f"Median ({show_interval(conf_level)})": median_with_limits,
            "Longest": number("longest", 1),
        },
        title=f"Follow-up for {show_endpoint(endpoint, trial, within=True)}",
        subtitle=f"Time in {trial.unit}",
        notes=[
            "Median by reverse Kaplan-Meier: the event censors follow-up.",
            *open_ended,
            *name_interval(conf_type),
        ],
    )


@shows_table(response.count_responses)
def format_best_responses(frame: pd.DataFrame, trial: Trial) -> Layout:
    """Patients by best overall response, from `count_responses`."""
    return lay_out_groups(
        frame,
        lambda row: {RESPONSE_NAMES[row["best"]]: format_share(row["n_patients"], row["percent"])},
        list_group_headings(frame, trial),
        title="Best overall response",
        subtitle="Patients, and percent of everybody in the group",
        notes=[STABLE_NOTE],
    )


@shows_table(response.estimate_response_rates)
def format_response_rates(frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95) -> Layout:
    """Rates of objective response and disease control, from `estimate_response_rates`."""
    inside = show_interval(conf_level)
    return lay_out_groups(
        frame,
        lambda row: {
            (RATE_NAMES[row["rate"]], "Patients"): format_number(row["n_patients"], 0),
            (RATE_NAMES[row["rate"]], "Rate"): format_percent(row["percent"], 1),
            (RATE_NAMES[row["rate"]], inside): format_interval(row["ci_lower"], row["ci_upper"], 1),
        },
        list_group_headings(frame, trial),
        key=["rate"],
        title="Response rates",
        notes=[EVERYBODY_NOTE, "Limits in percent: exact, Clopper-Pearson."],
    )


@shows_table(response.compare_responses)
def format_response_tests(
    frame: pd.DataFrame, trial: Trial, *, scores: str | Sequence[float] = "equal"
) -> Layout:
    """Exact tests of the response rates across the groups, from `compare_responses`."""
    drawn = (frame[["p_trend_error", "p_groups_error"]] > 0).any(axis=None)
    return lay_out_rows(
        frame,
        {
            "": lambda row: RATE_NAMES[row["rate"]],
            "Patients": lambda row: f"{row['n_patients']} of {row['n']}",
            "Trend over the groups": list_test_columns("trend"),
            "Any difference": list_test_columns("groups"),
        },
        title="Do responses go with the group?",
        notes=[*RESPONSE_TEST_NOTES, name_scores(trial, scores), *([DRAWN_NOTE] if drawn else [])],
    )


@shows_table(identification.compare_published)
def format_published(frame: pd.DataFrame, trial: Trial) -> Layout:
    """What the paper reported beside what these data give, from `compare_published`."""
    columns = {name.capitalize(): name for name in ("claim", "published", "reproduced", "agrees")}
    return lay_out_rows(frame, columns, title="Published against reproduced")
