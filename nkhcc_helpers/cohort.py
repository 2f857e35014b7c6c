"""Who is in the trial: disposition, baseline, exposure, enrolment, follow-up and each patient's course.

Every frame with a ``group`` column holds the groups in the trial's order, then "All" for everyone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.result import keeps_options
from nkhcc_helpers.survival.summaries import estimate_follow_up
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT
from nkhcc_helpers.trial.patients import list_treated, list_with_all
from nkhcc_helpers.trial.schema import list_text

SPREAD = ["median", "minimum", "maximum"]


@keeps_options
def count_disposition(trial, *, grace_days=7):
    """Count patients at each stage from enrolment to the data cut-off.

    Parameters
    ----------
    trial : Trial
    grace_days : int, default 7
        A last contact this many days before the cut-off still counts as reaching it, since times in
        months or years are rounded.

    Returns
    -------
    DataFrame
        Columns ``group n_enrolled n_treated n_completed n_fewer n_progressed n_died n_alive n_lost`` (counts,
        NA where the trial cannot say). Completed and fewer split the treated: received at least the planned
        infusions, or fewer, for whatever reason. The others are of everyone enrolled. Progressed: as in
        `list_courses`. Died: death seen by overall survival. Alive: censored at the cut-off, or EOSSTT
        says ONGOING or COMPLETED. Lost: censored earlier, or without a time of overall survival. With
        neither a cut-off nor EOSSTT, everyone not known dead is alive and lost is NA; without an endpoint
        for overall survival, died, alive and lost are NA.
    """
    status = _list_status(trial)
    treated, completed = list_treated(trial), status["received"] >= status["planned_infusions"]
    known = status["death"].notna()
    reached = _reached_cut_off(trial, status, grace_days)
    stages = status[["group"]].assign(
        n_enrolled=True,
        n_treated=treated,
        n_completed=treated & completed,
        n_fewer=treated & ~completed,
        n_progressed=status["progression"].notna(),
        n_died=known,
        n_alive=~known & reached,
        n_lost=~known & ~reached,
    )
    counts = list_with_all(stages, trial.groups).groupby("group", observed=False).sum().astype("Int64")
    if trial.endpoint_with_role("progression_free_survival") is None:
        counts["n_progressed"] = pd.NA
    if trial.endpoint_with_role("overall_survival") is None:
        counts[["n_died", "n_alive", "n_lost"]] = pd.NA
    elif trial.metadata.data_cut_off is None and "EOSSTT" not in trial.subjects:
        counts["n_lost"] = pd.NA
    return counts.reset_index()


@keeps_options
def summarize_baseline(trial, *, columns=()):
    """Summarize the baseline columns named in the trial's metadata, by group and overall.

    Parameters
    ----------
    trial : Trial
    columns : sequence of str
        Columns to summarize, in this order; all of the metadata's when empty.

    Returns
    -------
    DataFrame
        Columns ``variable label unit kind level level_label group n n_missing mean sd median minimum
        maximum count percent``; one row for each variable, level and group. ``n`` are the subjects with a
        value. Continuous: ``level`` is empty; ``sd`` (divisor n - 1) is NaN at n = 1. Categorical: levels
        in the order of the metadata, or sorted where it gives none; a level nobody has keeps its row with
        count 0; ``percent`` is of ``n``. A categorical variable without any value or level has one row
        with level "".

    Raises
    ------
    ValueError
        The metadata lists no such baseline column.
    """
    listed = {column.column: column for column in trial.metadata.baseline}
    unknown = [name for name in columns if name not in listed]
    if unknown:
        known = ", ".join(listed) or "none"
        raise ValueError(f"trial.yaml lists no baseline column {', '.join(unknown)}; it lists {known}")
    summaries = {"continuous": _summarize_continuous, "categorical": _summarize_levels}
    parts = [
        summaries[column.kind](
            list_with_all(
                trial.subjects[["group"]].assign(value=trial.subjects[column.column]), trial.groups
            ),
            column,
        ).assign(variable=column.column, label=column.label, unit=column.unit, kind=column.kind)
        for column in [listed[name] for name in columns or listed]
    ]
    names = ["variable", "label", "unit", "kind", "level", "level_label", "group", "n", "n_missing"]
    names += ["mean", "sd", *SPREAD, "count", "percent"]
    if not parts:
        return pd.DataFrame(columns=names)
    return pd.concat([part.reindex(columns=names) for part in parts], ignore_index=True)


@keeps_options
def summarize_exposure(trial):
    """Summarize planned and received infusions and cumulative dose by group and overall.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Columns ``group n planned_infusions received_median received_minimum received_maximum n_completed
        planned_dose received_dose_median received_dose_minimum received_dose_maximum``, over everyone
        enrolled: a subject never infused received 0. Dose is the sum over infusions in the unit of
        EXDOSE; a subject with an infusion of unknown dose is left out of the received doses. What was
        planned is NaN for "All" where the groups differ.
    """
    status = _list_status(trial)
    status["planned_dose"] = status["planned_infusions"] * status["dose"]
    status["completed"] = status["received"] >= status["planned_infusions"]
    grouped = list_with_all(status, trial.groups).groupby("group", observed=False)
    summary = pd.DataFrame(
        {"n": grouped.size(), "planned_infusions": _common_value(grouped, "planned_infusions")}
    )
    for name in SPREAD:
        summary[f"received_{name}"] = _spread(grouped["received"], name)
    summary["n_completed"] = grouped["completed"].sum().astype(int)
    summary["planned_dose"] = _common_value(grouped, "planned_dose")
    for name in SPREAD:
        summary[f"received_dose_{name}"] = _spread(grouped["received_dose"], name)
    return summary.reset_index()


def count_enrolment(trial):
    """Count enrolment over calendar time in each group.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Columns ``group date n_enrolled``: one row for each subject with a start date, by group and date;
        ``n_enrolled`` is the number enrolled in the group so far.
    """
    dated = (
        trial.subjects[["group", "enrolled"]].dropna().sort_values(["group", "enrolled"], ignore_index=True)
    )
    dated["n_enrolled"] = dated.groupby("group", observed=True).cumcount() + 1
    return dated.rename(columns={"enrolled": "date"})


@keeps_options
def summarize_follow_up(trial, endpoint, *, conf_level=0.95, conf_type="bpcp"):
    """Summarize how long each group was followed for an endpoint.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        PARAMCD of the endpoint.
    conf_level, conf_type
        As in `survival.estimate_median`.

    Returns
    -------
    DataFrame
        Columns ``group n n_events median ci_lower ci_upper longest`` in the trial's display unit: median
        follow-up by reverse Kaplan-Meier, in which the event censors follow-up. A group without a time
        has n = 0 and NaN.

    Raises
    ------
    ValueError
        The trial has no such endpoint.

    References
    ----------
    Schemper, Smith (1996) Control Clin Trials.
    """
    followed = list_with_all(trial.survival(endpoint), trial.groups)
    rows = []
    for group, part in followed.groupby("group", observed=False):
        row = {"group": group, "n": len(part), "n_events": int(part["event"].sum())}
        if len(part):
            options = {"conf_level": conf_level, "conf_type": conf_type}
            median = estimate_follow_up(part["time"], part["event"], **options)
            row |= {"median": median.estimate, "ci_lower": median.ci_lower, "ci_upper": median.ci_upper}
        rows.append(row | {"longest": part["time"].max()})
    summary = pd.DataFrame(rows)
    summary["group"] = pd.Categorical(summary["group"], followed["group"].cat.categories, ordered=True)
    return summary


def list_courses(trial, *, grace_days=7):
    """List each patient's course from enrolment.

    Parameters
    ----------
    trial : Trial
    grace_days : int, default 7
        As in `count_disposition`.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group progression death last_contact alive lost``, sorted by group, then by last
        contact; times in the trial's display unit, NaN for what was not seen. Progression is an event of
        progression-free survival unless it was a death: EVNTDESC names one or the other, and where it
        does not, an event at the time of death is a death. Last contact is the time of overall survival,
        or the longest time of any endpoint where there is none. Alive: no death seen. Lost: of those, the
        ones counted as lost by `count_disposition`; False where it cannot tell.
    """
    status = _list_status(trial).assign(alive=lambda frame: frame["death"].isna())
    known = trial.endpoint_with_role("overall_survival") is not None
    status["lost"] = status["alive"] & ~_reached_cut_off(trial, status, grace_days) & known
    columns = ["USUBJID", "group", "progression", "death", "last_contact", "alive", "lost"]
    return status[columns].sort_values(["group", "last_contact", "USUBJID"], ignore_index=True)


def list_infusion_times(trial):
    """List when each infusion was given.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Columns ``USUBJID group infusion time dose``: number within the patient, time from enrolment in
        the trial's display unit (NaN without a start date), dose in the unit of EXDOSE.
    """
    given = trial.infusions.merge(trial.subjects[["USUBJID", "enrolled"]], on="USUBJID", how="left")
    given["time"] = (given["date"] - given["enrolled"]).dt.days / DAYS_PER_UNIT[trial.unit]
    return given[["USUBJID", "group", "infusion", "time", "dose"]]


def _list_status(trial):
    """One row per subject, indexed as ``trial.subjects``: what was received, and when what happened."""
    columns = ["USUBJID", "group", "dose", "planned_infusions", "enrolled"]
    status = trial.subjects[columns].merge(_received(trial), on="USUBJID", how="left")
    status["received"] = status["received"].fillna(0).astype(int)
    status["received_dose"] = status["received_dose"].where(status["received"] > 0, 0.0)
    for suffix, role in {"_os": "overall_survival", "_pfs": "progression_free_survival"}.items():
        seen = _endpoint_times(trial, role).add_suffix(suffix)
        status = status.merge(seen, left_on="USUBJID", right_on=f"USUBJID{suffix}", how="left")
    status["death"] = status["time_os"].where(status["event_os"].eq(True))
    status["progression"] = status["time_pfs"].where(_is_progression(status))
    status["last_contact"] = status["time_os"].astype(float)
    if trial.endpoint_with_role("overall_survival") is None:
        longest = trial.times.groupby("USUBJID")["time"].max()
        status["last_contact"] = status["USUBJID"].map(longest).astype(float)
    return status.set_index(trial.subjects.index)


def _received(trial):
    """Infusions and dose received; the dose is NaN where one infusion's dose is not known."""
    given = trial.infusions.assign(unknown=trial.infusions["dose"].isna()).groupby("USUBJID", as_index=False)
    received = given.agg(received=("dose", "size"), received_dose=("dose", "sum"), unknown=("unknown", "any"))
    received["received_dose"] = received["received_dose"].mask(received["unknown"].astype(bool))
    return received.drop(columns="unknown")


def _endpoint_times(trial, role):
    columns = ["USUBJID", "time", "event", "described", "contact"]
    code = trial.endpoint_with_role(role)
    rows = trial.times[trial.times["endpoint"] == code]
    return rows.assign(described=list_text(rows, "EVNTDESC"), contact=rows.get("ADT", pd.NaT))[columns]


def _is_progression(status):
    described = status["described_pfs"].fillna("")
    says_death = described.str.contains("DEATH|DIED")
    says_progression = described.str.contains("PROGRESS|RECURREN|RELAPSE")
    at_death = np.isclose(status["time_pfs"].astype(float), status["death"].astype(float))
    was_death = np.where(says_death == says_progression, at_death, says_death)
    return status["event_pfs"].eq(True) & ~was_death


def _reached_cut_off(trial, status, grace_days):
    """Who was followed to the data cut-off, or is said to be; everyone where nothing can tell."""
    cut_off = trial.metadata.data_cut_off
    if cut_off is None and "EOSSTT" not in trial.subjects:
        return pd.Series(True, index=status.index)
    said = list_text(trial.subjects, "EOSSTT").isin(["ONGOING", "COMPLETED"])
    if cut_off is None:
        return said
    days = pd.to_timedelta((status["time_os"].astype(float) * DAYS_PER_UNIT[trial.unit]).round(), unit="D")
    contact = pd.to_datetime(status["contact_os"]).fillna(status["enrolled"] + days)
    return said | (contact >= pd.Timestamp(cut_off) - pd.Timedelta(days=grace_days))


def _summarize_continuous(values, _column):
    values = values.assign(value=pd.to_numeric(values["value"]).astype(float))
    grouped = values.groupby("group", observed=False)["value"]
    summary = pd.DataFrame(
        {"level": "", "level_label": "", "n": grouped.count(), "n_missing": grouped.size() - grouped.count()}
    )
    for name, statistic in {"mean": "mean", "sd": "std"}.items():
        summary[name] = grouped.agg(statistic)
    for name in SPREAD:
        summary[name] = _spread(grouped, name)
    return summary.reset_index()


def _summarize_levels(values, column):
    values = values.assign(level=_level_codes(values["value"]))
    labels = column.levels or {level: level for level in sorted(values["level"].dropna().unique())}
    grouped = values.groupby("group", observed=False)["level"]
    sizes = pd.DataFrame({"n": grouped.count(), "n_missing": grouped.size() - grouped.count()})
    levels = pd.Categorical(values["level"], list(labels) or [""])
    counts = values.assign(level=levels).groupby(["level", "group"], observed=False).size()
    summary = counts.rename("count").reset_index().merge(sizes.reset_index(), on="group", how="left")
    summary["level"] = summary["level"].astype("str")
    summary["level_label"] = summary["level"].map(labels).fillna("")
    summary["percent"] = 100 * summary["count"] / summary["n"].where(summary["n"] > 0)
    return summary


def _level_codes(values):
    """Codes as text; a code read as 1.0 is the level written 1."""
    if pd.api.types.is_bool_dtype(values):
        return values.astype("string")
    if pd.api.types.is_numeric_dtype(values):
        whole = (values.dropna() % 1 == 0).all()
        return values.astype("Int64" if whole else "Float64").astype("string")
    text = values.astype("string").str.strip()
    return text.mask(text == "")


def _spread(grouped, name):
    return grouped.agg({"median": "median", "minimum": "min", "maximum": "max"}[name]).astype(float)


def _common_value(grouped, column):
    """The value all members share, NaN where they differ."""
    lowest, highest = grouped[column].min(), grouped[column].max()
    return lowest.where(lowest == highest).astype(float)
