"""Who is in the trial: disposition, baseline, exposure, enrolment, follow-up and each patient's course.

`trial` is a `Trial`, times are in its display unit; groups stand in its order, then "All" for everyone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import Result, keeps_options
from nkhcc_helpers.survival.summaries import estimate_follow_up, pick_times, settle_limits
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT
from nkhcc_helpers.trial.patients import count_later, list_with_all
from nkhcc_helpers.trial.schema import list_text

ALIVE, LOST, DISCONTINUED = "alive", "lost", "discontinued: "
"""How follow-up ended, the last with the reason behind it."""
LEFT_OUT = "left out: "
"""What stands before the word of TRT01P by which patients of ADSL are not in the trial."""
NO_REASON = f"{DISCONTINUED}no reason given"
_LOST = r"(?<!\bNOT )(?<!\bNEVER )\b(?:LOST(?: TO\b|$)|LTFU\b)"
SPREAD = {"median": "median", "minimum": "min", "maximum": "max"}  # column, and what pandas calls it


@keeps_options
def count_disposition(trial, *, grace_days=7):
    """Count patients at each stage from enrolment to the data cut-off.

    Parameters
    ----------
    grace_days : int, default 7
        A last contact this many days before the cut-off still counts as reaching it, since times in
        months or years are rounded.

    Returns
    -------
    DataFrame
        Columns ``group n_enrolled n_treated n_completed n_fewer n_progressed n_died n_alive n_lost``: counts,
        NA where the trial cannot say. Then, where patients not dead were discontinued and not lost, a column
        for each reason, such as ``discontinued: adverse event``. Completed and fewer split the treated: at
        least the planned infusions, or fewer; NA where either number is not known. Progressed: as in
        `list_courses`. Died: by overall survival.
        Alive: censored at the cut-off, or EOSSTT says ONGOING or COMPLETED. Lost: EOSSTT or DCSREAS says so,
        or, where both are empty, CNSDTDSC.
        Discontinued: one of them says otherwise. Of whom neither says anything: lost where censored before
        the cut-off; without a cut-off alive, and nobody knows how many are lost, as without a reason. First,
        where `trial.yaml` leaves patients out, a column for each word, such as ``left out: screen failure``,
        which only "All" has an entry of.
    """
    status = _list_status(trial, grace_days)
    treated, completed = status["treated"], _is_completed(status)
    died = status["death"].notna()
    states = status.loc[~died, "state"].value_counts().index
    reasons = [state for state in states if state.startswith(DISCONTINUED)]
    stages = status[["group"]].assign(
        n_enrolled=True,
        n_treated=treated,
        n_completed=treated & completed.eq(True),
        n_fewer=treated & completed.eq(False),
        n_progressed=status["progression"].notna(),
        n_died=died,
        n_alive=~died & (status["state"] == ALIVE),
        n_lost=~died & (status["state"] == LOST),
        untold=~died & ~status["told"],
        unplanned=completed.isna(),
        **{reason: ~died & (status["state"] == reason) for reason in reasons},
    )
    counts = list_with_all(stages, trial.groups).groupby("group", observed=False).sum().astype("Int64")
    if trial.endpoint_with_role("progression_free_survival") is None:
        counts["n_progressed"] = pd.NA
    if trial.endpoint_with_role("overall_survival") is None:
        counts[["n_died", "n_alive", "n_lost"]] = pd.NA
    unplanned, untold = counts.pop("unplanned") > 0, counts.pop("untold") > 0
    for name in ("n_completed", "n_fewer"):
        counts[name] = counts[name].mask(unplanned)
    # Where nobody's end is told, a group in which all died has no more to say of it than the others.
    counts["n_lost"] = counts["n_lost"].mask(untold | (untold.any() & ~status["said"].any()))
    for place, (word, n) in enumerate(trial.left_out.items()):
        entries = pd.Series({"All": n}, dtype="Int64").reindex(counts.index)
        counts.insert(place, LEFT_OUT + (word or "no group planned"), entries)
    return counts.reset_index()


@keeps_options
def summarize_baseline(trial, *, columns=()):
    """Summarize the baseline columns named in the trial's metadata, by group and overall.

    Parameters
    ----------
    columns : sequence of str
        Columns to summarize, in this order; all of the metadata's when empty. ValueError for one not listed.

    Returns
    -------
    DataFrame
        Columns ``variable label unit kind level level_label group n n_missing mean sd median minimum
        maximum count percent``; a row for each variable, level and group. ``n`` have a value. Continuous:
        ``level`` is empty; ``sd`` (divisor n - 1) is NaN at n = 1. Categorical: levels in the order of the
        metadata, or else sorted, with count 0 where nobody has one; ``percent`` is of ``n``.
    """
    listed = {column.column: column for column in trial.metadata.baseline}
    unknown = [name for name in columns if name not in listed]
    if unknown:
        known = ", ".join(listed) or "none"
        raise ValueError(f"trial.yaml lists no baseline column {', '.join(unknown)}; it lists {known}")
    summaries = {"continuous": _summarize_continuous, "categorical": _summarize_levels}
    parts = []
    for column in [listed[name] for name in columns or listed]:
        values = trial.subjects[["group"]].assign(value=trial.subjects[column.column])
        part = summaries[column.kind](list_with_all(values, trial.groups), column)
        named = {"variable": column.column, "label": column.label, "unit": column.unit, "kind": column.kind}
        parts.append(part.assign(**named))
    names = ["variable", "label", "unit", "kind", "level", "level_label", "group", "n", "n_missing"]
    names += ["mean", "sd", *SPREAD, "count", "percent"]
    if not parts:
        return pd.DataFrame(columns=names)
    return pd.concat([part.reindex(columns=names) for part in parts], ignore_index=True)


@keeps_options
def summarize_exposure(trial):
    """Summarize planned and received infusions and cumulative dose by group and overall.

    Returns
    -------
    DataFrame
        Columns ``group n planned_infusions received_median received_minimum received_maximum n_completed
        planned_dose received_dose_median received_dose_minimum received_dose_maximum``, over everyone
        enrolled. Dose is the sum over infusions in the unit of EXDOSE, over subjects whose every dose is
        known. What was planned is NaN for "All" where the groups differ; ``n_completed`` is NA where a plan
        is not known. Then ``duration_median duration_minimum duration_maximum``: days from the first
        infusion to the end of the last, both counted, over those with one; and ``intensity_median
        intensity_minimum intensity_maximum``: dose received per such day, NaN unless on most of these days
        there was one, since between doses far apart it says little. No rows where exposure was not collected.
    """
    subjects, doses = trial.subjects.copy(), trial.infusions.groupby("USUBJID")["dose"]
    received = subjects["USUBJID"].map(doses.sum().where(doses.count() == doses.size()))
    subjects["received_dose"] = received.where(subjects["n_infusions"] > 0, 0.0)
    subjects["planned_dose"] = subjects["planned_infusions"] * subjects["dose"]
    subjects["completed"] = _is_completed(subjects)
    days = (subjects["last_exposure"] - subjects["first_infusion"]).dt.days + 1
    subjects["duration"] = days.where(subjects["n_infusions"] > 0)
    n_days = len(trial.infusions.drop_duplicates(["USUBJID", "date"]))
    is_daily = days.sum() > len(days) and n_days > days.sum() / 2
    subjects["intensity"] = subjects["received_dose"] / (subjects["duration"] if is_daily else np.nan)
    grouped = list_with_all(subjects, trial.groups).groupby("group", observed=False)
    table = pd.DataFrame(
        {
            "n": grouped.size(),
            "planned_infusions": _common_value(grouped["planned_infusions"]),
            **grouped["n_infusions"].agg(**SPREAD).astype(float).add_prefix("received_"),
            "n_completed": grouped["completed"].agg(lambda each: each.sum(skipna=False)).astype("Int64"),
            "planned_dose": _common_value(grouped["planned_dose"]),
            **{
                f"{name}_{label}": value
                for name in ("received_dose", "duration", "intensity")
                for label, value in grouped[name].agg(**SPREAD).items()
            },
        }
    ).reset_index()
    return table[: len(table) if trial.metadata.exposure.collected else 0]


def count_enrolment(trial):
    """Count enrolment over calendar time in each group.

    Returns
    -------
    DataFrame
        Columns ``group date n_enrolled``: a row for each subject with a start date, by group and date, and
        how many the group had enrolled by then.
    """
    dated = trial.subjects[["group", "enrolled"]].dropna()
    dated = dated.sort_values(["group", "enrolled"], ignore_index=True)
    dated["n_enrolled"] = dated.groupby("group", observed=True).cumcount() + 1
    return dated.rename(columns={"enrolled": "date"})


@keeps_options
def summarize_follow_up(trial, endpoint, *, conf_level=0.95, conf_type="bpcp"):
    """Summarize how long each group was followed for an endpoint.

    Schemper, Smith (1996) Control Clin Trials.

    Parameters
    ----------
    endpoint : str
        PARAMCD of the endpoint; ValueError where the trial has no such one.
    conf_level, conf_type
        As in `survival.estimate_median`.

    Returns
    -------
    DataFrame
        Columns ``group n n_events median ci_lower ci_upper open_ended longest``; the median by reverse
        Kaplan-Meier, in which the event censors follow-up, and limits as of `survival.summarize_survival`. A
        group without a time has n = 0 and NaN.
    """
    followed = list_with_all(trial.survival(endpoint), trial.groups)
    options, rows = {"conf_level": conf_level, "conf_type": settle_limits(followed, conf_type)}, []
    for group, part in followed.groupby("group", observed=False):
        row = {"group": group, "n": len(part), "n_events": int(part["event"].sum())}
        if len(part):
            median = estimate_follow_up(**pick_times(part), **options)
            row |= {"median": median.estimate, "ci_lower": median.ci_lower, "ci_upper": median.ci_upper}
        rows.append(
            row | {"open_ended": bool(len(part)) and median.open_ended, "longest": part["time"].max()}
        )
    table = pd.DataFrame(rows).astype({"group": followed["group"].dtype})
    return Result.of(table, conf_type=options["conf_type"])


def list_courses(trial, *, grace_days=7):
    """List each patient's course from enrolment; `grace_days` as in `count_disposition`.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group progression death last_contact alive lost discontinued``, by group, then last
        contact; times from enrolment, NaN for what was not seen. Progression is an event of progression-free
        survival unless a death: EVNTDESC names one or the other, else an event at the time of death is a
        death. Last contact is the time of overall survival, or else the longest of any endpoint. Alive: not
        known dead. Of them lost or discontinued: as counted by `count_disposition`; False where it cannot
        tell.
    """
    status = _list_status(trial, grace_days)
    known = trial.endpoint_with_role("overall_survival") is not None
    alive, state = status["death"].isna(), status["state"]
    status = status.assign(alive=alive, lost=alive & (state == LOST) & known)
    status["discontinued"] = alive & state.str.startswith(DISCONTINUED)
    columns = ["USUBJID", "group", "progression", "death", "last_contact", "alive", "lost", "discontinued"]
    return status[columns].sort_values(["group", "last_contact", "USUBJID"], ignore_index=True)


def _is_completed(subjects):
    """Whether each patient received all that was planned, NA where one of the two is not known."""
    given, planned = (subjects[name].astype("Float64") for name in ("n_infusions", "planned_infusions"))
    return given >= planned


def list_infusion_times(trial):
    """List when each infusion was given.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group infusion time dose end``: number within the patient, time from enrolment to
        its start and end (NaN without a start date), dose in the unit of EXDOSE.
    """
    given = trial.infusions.merge(trial.subjects[["USUBJID", "enrolled"]], on="USUBJID", how="left")
    days = [(given[date] - given["enrolled"]).dt.days for date in ("date", "end")]
    given["time"], given["end"] = (each / DAYS_PER_UNIT[trial.unit] for each in days)
    return given[["USUBJID", "group", "infusion", "time", "dose", "end"]]


def count_states(courses, infusion_times, *, n_times=240):
    """Count how many of each group are in each state, at times from enrolment to the last contact of any.

    Columns ``group time treated followed progressed left died n``, of courses and times as listed above: the
    latest infusion has not ended; followed longer, without a progression or after one; no longer followed.
    """
    states = ["treated", "followed", "progressed", "left", "died"]
    known = courses[courses["last_contact"].notna()]
    ended = known["USUBJID"].map(infusion_times.groupby("USUBJID")["end"].max())
    parts = []
    for time in np.linspace(0, known["last_contact"].max(), n_times):
        reached = [known["death"] <= time, known["last_contact"] < time, known["progression"] <= time]
        state = np.select([*reached, ended >= time], [*states[:1:-1], "treated"], "followed")
        counts = pd.crosstab(known["group"].astype("str"), state).reindex(columns=states, fill_value=0)
        parts.append(counts.assign(time=time, n=counts.sum(axis=1)))
    return pd.concat(parts).reset_index(names="group")


def _list_status(trial, grace_days):
    """``trial.subjects`` with times of `death progression last_contact`, and the columns of `_find_ends`."""
    overall = _list_times(trial, "overall_survival")
    progression_free = _list_times(trial, "progression_free_survival")
    death, last_contact = overall["time"].where(overall["event"].eq(True)), overall["time"]
    if trial.endpoint_with_role("overall_survival") is None:
        longest = _count_from_enrolment(trial).groupby("USUBJID")["time"].max()
        last_contact = trial.subjects["USUBJID"].map(longest).astype(float)
    return trial.subjects.assign(
        death=death,
        progression=progression_free["time"].where(_is_progression(progression_free, death, trial.unit)),
        last_contact=last_contact,
        **_find_ends(trial, overall, grace_days),
    )


def _list_times(trial, role):
    """The row of each subject for the endpoint with a role, from enrolment, NaN without one."""
    rows = _count_from_enrolment(trial)
    rows = rows[rows["endpoint"] == trial.endpoint_with_role(role)]
    rows = rows.assign(described=list_text(rows, "EVNTDESC"), ADT=rows.get("ADT", pd.NaT))
    rows = rows.set_index("USUBJID")[["time", "event", "described", "ADT"]].astype({"time": float})
    return rows.reindex(trial.subjects["USUBJID"]).set_axis(trial.subjects.index)


def _count_from_enrolment(trial):
    """``trial.times`` with time from enrolment instead of each endpoint's own time 0."""
    enrolled = trial.times["USUBJID"].map(trial.subjects.set_index("USUBJID")["enrolled"])
    later = count_later(trial.times, pd.to_datetime(enrolled), trial.unit)
    return trial.times.assign(time=trial.times["time"] + later)


def _is_progression(seen, death, unit):
    described = seen["described"].fillna("")
    says_death = described.str.contains("DEATH|DIED")
    says_progression = described.str.contains("PROGRESS|RECURREN|RELAPSE")
    at_death = (seen["time"] - death).abs() < 0.5 / DAYS_PER_UNIT[unit]  # the same day
    was_death = np.where(says_death == says_progression, at_death, says_death)
    return seen["event"].eq(True) & ~was_death


def _find_ends(trial, overall, grace_days):
    """How each patient's follow-up ended unless by death.

    `state` is alive, lost, or discontinued with its reason; `said`, whether EOSSTT or DCSREAS says anything;
    `told`, whether it is known who is lost and who is not.
    """
    cut_off, subjects = trial.metadata.data_cut_off, trial.subjects
    status, given = list_text(subjects, "EOSSTT"), list_text(subjects, "DCSREAS")
    # Where ADSL says nothing, the reason of the latest censoring may say who is lost.
    censored = subjects["USUBJID"].map(_list_censorings(trial)).fillna("")
    given = given.mask((status == "") & (given == "") & censored.str.contains(_LOST), censored)
    said, ongoing = (status != "") | (given != ""), status.isin(["ONGOING", "COMPLETED"])
    reason = given.where(given != "", status.where(status != "DISCONTINUED", "")).str.lower()
    ended = np.where(reason == "", NO_REASON, DISCONTINUED + reason)
    told, last = (said & (ongoing | (reason != ""))) | (~said & (censored != "")), ALIVE
    if cut_off is not None:
        days = pd.to_timedelta((overall["time"] * DAYS_PER_UNIT[trial.unit]).round(), unit="D")
        contact = pd.to_datetime(overall["ADT"]).fillna(subjects["enrolled"] + days)
        ongoing |= contact >= pd.Timestamp(cut_off) - pd.Timedelta(days=grace_days)
        told, last = told | ongoing | ~said, LOST
    lost = (status + " " + given).str.contains(_LOST)
    state = np.select([ongoing, lost, said], [ALIVE, LOST, ended], last)
    return {"state": pd.Series(state, subjects.index, dtype="str"), "told": told, "said": said}


def _list_censorings(trial):
    """CNSDTDSC by USUBJID: of overall survival, or without that endpoint of the latest time."""
    code = trial.endpoint_with_role("overall_survival")
    rows = trial.times[(trial.times["endpoint"] == code) | (code is None)].sort_values("time", kind="stable")
    rows = rows.assign(reason=list_text(rows, "CNSDTDSC")).drop_duplicates("USUBJID", keep="last")
    return rows.set_index("USUBJID")["reason"].astype(object)


def _summarize_continuous(values, _column):
    values = values.assign(value=pd.to_numeric(values["value"]).astype(float))
    grouped = values.groupby("group", observed=False)["value"]
    n = grouped.count()
    summary = grouped.agg(mean="mean", sd="std", **SPREAD)
    return summary.assign(level="", level_label="", n=n, n_missing=grouped.size() - n).reset_index()


def _summarize_levels(values, column):
    values = values.assign(level=_level_codes(values["value"]))
    labels = column.levels or {level: level for level in sorted(values["level"].dropna().unique())}
    grouped = values.groupby("group", observed=False)["level"]
    sizes = pd.DataFrame({"n": grouped.count(), "n_missing": grouped.size() - grouped.count()})
    values["level"] = pd.Categorical(values["level"], list(labels) or [""])
    counts = values.groupby(["level", "group"], observed=False).size().rename("count").reset_index()
    summary = counts.merge(sizes.reset_index(), on="group", how="left").astype({"level": "str"})
    return summary.assign(
        level_label=summary["level"].map(labels).fillna(""),
        percent=100 * summary["count"] / summary["n"].where(summary["n"] > 0),
    )


def _level_codes(values):
    """Codes as text; a code read as 1.0 is the level written 1."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        whole = (values.dropna() % 1 == 0).all()
        return values.astype("Int64" if whole else "Float64").astype("string")
    text = values.astype("string").str.strip()
    return text.mask(text == "")


def _common_value(grouped):
    """The value all members share, NaN where they differ or one is missing."""
    lowest, highest = grouped.min(), grouped.max()
    return lowest.where((lowest == highest) & (grouped.count() == grouped.size())).astype(float)
