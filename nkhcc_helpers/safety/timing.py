"""When adverse events begin after an infusion, how long they last, and after which infusion they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.safety.events import (
    DIED_OF,
    END_UNKNOWN,
    NOT_RESOLVED,
    RESOLVED,
    check_recorded,
    list_endings,
    list_events,
    list_with_latest_infusion,
)
from nkhcc_helpers.survival.curves import TOLERANCE, calculate_limits
from nkhcc_helpers.trial.patients import list_deaths, list_observation, list_treated, list_with_all
from nkhcc_helpers.trial.schema import list_text


@dataclass(frozen=True)
class Timelines:
    """What `list_timelines` returns; every day is 0 on the day of the patient's first infusion.

    Attributes
    ----------
    patients : DataFrame
        Columns ``USUBJID group last_day died``: end of observation, and day of death (NaN where no death is
        known); by group and USUBJID.
    infusions : DataFrame
        Columns ``USUBJID group infusion day``.
    events : DataFrame
        Columns ``USUBJID group term grade day end_day ending``; ending is "ended", "ongoing" (``end_day``
        is the last day it was followed: its end date, or else the end of observation) or "unknown" (nobody
        says whether or when it ended).
    n_undated : int
        Events of these patients left out because their onset is not known.
    n_uninfused : int
        Treated patients left out, with their events, because no infusion is recorded.
    """

    patients: pd.DataFrame
    infusions: pd.DataFrame
    events: pd.DataFrame
    n_undated: int
    n_uninfused: int = 0


def list_timelines(trial, *, related_only=False, emergent_only=True):
    """List, for each treated patient with an infusion, when infusions were given and events lasted.

    Parameters
    ----------
    trial : Trial
    related_only : bool, default False
        Take only events related to treatment.
    emergent_only : bool, default True
        Take treatment-emergent events only.

    Returns
    -------
    Timelines
        An event is ongoing where AEOUT says so, whether it has an end date or not; any other without an end
        date has an unknown end.
    """
    treated = trial.subjects.assign(death=list_deaths(trial).to_numpy())[list_treated(trial)]
    observed = treated.merge(list_observation(trial), on="USUBJID", how="left")
    started = observed.dropna(subset=["first_infusion"]).sort_values(["group", "USUBJID"], ignore_index=True)
    patients = started[["USUBJID", "group"]].assign(
        last_day=_days(started, "end"), died=_days(started, "death")
    )
    origin = started[["USUBJID", "first_infusion", "end"]]
    given = trial.infusions[["USUBJID", "group", "infusion", "date"]].merge(origin, on="USUBJID")
    infusions = given[["USUBJID", "group", "infusion"]].assign(day=_days(given, "date"))
    events = list_events(trial, emergent_only=emergent_only, related_only=related_only)
    infused = events.drop(columns="first_infusion").merge(origin, on="USUBJID")
    dated = infused.dropna(subset=["onset"])
    dated = dated.sort_values(["group", "USUBJID", "onset", "term"], ignore_index=True)
    goes_on = list_endings(dated) == NOT_RESOLVED
    ending = np.select([goes_on, dated["resolved"].notna()], ["ongoing", "ended"], "unknown")
    end_day = _days(dated, "resolved").fillna(_days(dated, "end").where(goes_on))
    listed = dated[["USUBJID", "group", "term", "grade"]].assign(
        day=_days(dated, "onset"), end_day=end_day, ending=ending
    )
    return Timelines(patients, infusions, listed, len(infused) - len(dated), len(observed) - len(started))


def _days(frame, column):
    return (frame[column] - frame["first_infusion"]).dt.days.astype(float)


def summarize_onset(trial, *, related_only=False, emergent_only=True, conf_level=0.95):
    """Summarize, term by term, how soon after an infusion events begin and how long they last.

    Onset is counted from the patient's latest infusion on or before it, 0 on the day of the infusion.
    Duration is the time to resolution, end minus onset, 0 on the same day (CDISC's ADURN counts both days,
    and is one more). How an event ended is said by `events.list_endings`:

    - resolved: at its end date;
    - ongoing (AEOUT says not recovered or resolved, recovering, ongoing, continuing): censored at its
      end date, and without one at the patient's end of observation (`exposure.list_observation`), at 0 where
      it began later;
    - fatal: never resolves. It stays unresolved at every time, since censoring it at death would say that
      it might have resolved later like the others;
    - none of these: its end is not known, and durations leave it out.

    Parameters
    ----------
    trial : Trial
    related_only : bool, default False
        Take only events related to treatment.
    emergent_only : bool, default True
        Take treatment-emergent events only.
    conf_level : float, default 0.95
        Confidence level of the limits of the median duration.

    Returns
    -------
    DataFrame
        One row a term, by number of patients and then by name, a term in two organ classes once; times in
        days, NaN where nothing is known. Columns:

        - ``term n_patients n_events``
        - ``onset_median onset_minimum onset_maximum``: over events with a known onset and an infusion
          before it
        - ``duration_median duration_lower duration_upper``: Kaplan-Meier, as `survival.estimate_median`;
          the median is NaN where the curve stays above a half, the limits are 0 or inf where none exists, and
          both inf where so many events are fatal that the median is never
        - ``duration_minimum duration_maximum``: of the events seen to resolve, on a day that was not imputed
        - ``n_ongoing n_fatal n_unknown_end n_imputed``: events ongoing; fatal; whose end is not known; of
          which a date was imputed
        - ``percent_within_one_day``: share of events that resolved on the day of onset or the next, from the
          same curve; NaN where nobody was followed that long

    Raises
    ------
    ValueError
        `conf_level` is not between 0 and 1.

    Notes
    -----
    The limits take events for independent. Those of one patient resemble each other, so where
    ``n_events`` is well above ``n_patients`` the limits are too narrow.

    References
    ----------
    Kaplan, Meier (1958) J Am Stat Assoc; Fay, Brittain, Proschan (2013) Biostatistics.
    """
    check_conf_level(conf_level)
    events = list_events(trial, emergent_only=emergent_only, related_only=related_only)
    events = _list_with_duration(list_with_latest_infusion(events, trial), trial)
    grouped = events.groupby("term")
    summary = pd.DataFrame({"n_patients": grouped["USUBJID"].nunique(), "n_events": grouped.size()})
    for label, statistic in {"median": "median", "minimum": "min", "maximum": "max"}.items():
        summary[f"onset_{label}"] = grouped["days_since_infusion"].agg(statistic).astype(float)
    durations = _estimate_durations(events[events["duration"].notna()], conf_level)
    summary = summary.join(durations)
    for name in ("ongoing", "fatal", "unknown_end", "imputed"):
        summary[f"n_{name}"] = grouped[name].sum().astype(int)
    summary["percent_within_one_day"] = summary.pop("percent_within_one_day")
    order = ["n_patients", "term"]
    return summary.reset_index().sort_values(order, ascending=[False, True], ignore_index=True)


def count_by_infusion(trial, *, related_only=False, emergent_only=True):
    """Count adverse events, and patients with one, after each infusion.

    An event belongs to the patient's latest infusion on or before its onset, however long ago that was;
    events before the first infusion belong to none and are left out. Of an event without an onset date, or
    of a patient without a dated infusion, nobody knows the infusion.

    Parameters
    ----------
    trial : Trial
    related_only : bool, default False
        Count only events related to treatment.
    emergent_only : bool, default True
        Count treatment-emergent events only.

    Returns
    -------
    DataFrame
        Columns ``infusion group n_patients n_received n_events percent``, a row for each number from 1 to
        the most infusions anyone received, and group; then, where there are events whose infusion is not
        known, a row for them with ``infusion`` and ``n_received`` NA. A patient counts once a row; percent
        is of ``n_received``, the treated patients who received that infusion, NaN where nobody did. Patients
        and events are NA where adverse events were not collected, with `related_only` where no event records
        its relation, and by infusion where a group has events and the infusion of none is known.
    """
    treated = set(trial.subjects.loc[list_treated(trial), "USUBJID"])
    given = trial.infusions.loc[trial.infusions["USUBJID"].isin(treated), ["USUBJID", "group", "infusion"]]
    n_received = _count_patients(given, given["infusion"].max(), trial.groups)["n_patients"]
    events = list_events(trial, emergent_only=emergent_only)
    recorded = check_recorded(trial, events, "related" if related_only else "any")
    if related_only:
        events = events[events["related"].fillna(False).astype(bool)].reset_index(drop=True)
    events = list_with_latest_infusion(events, trial).rename(columns={"latest_infusion": "infusion"})
    counts = _count_patients(events.dropna(subset="infusion"), given["infusion"].max(), trial.groups)
    counts = counts.astype("Int64")
    unknown = events[events["onset"].isna() | events["first_infusion"].isna()].assign(infusion=1)
    unknown = _count_patients(unknown, 1, trial.groups).loc[1]
    # Where no event of a group has its infusion, 0 after each would say that there were none.
    dated = counts["n_events"].groupby("group", observed=False).sum().reindex(unknown.index)
    hidden = unknown.index[((unknown["n_events"] > 0) & (dated == 0)).to_numpy(bool)]
    counts[counts.index.get_level_values("group").isin(hidden)] = pd.NA
    if not recorded:
        counts[:] = pd.NA
    counts["n_received"] = n_received.astype("Int64")
    share = 100 * counts["n_patients"].astype("Float64") / n_received.where(n_received > 0)
    counts["percent"] = share.to_numpy(float, na_value=np.nan)
    names = ["infusion", "group", "n_patients", "n_received", "n_events", "percent"]
    counts = counts.reset_index()[names].astype({"infusion": "Int64"})
    if counts.empty or not unknown["n_events"].any():
        return counts
    last = unknown.reset_index().assign(infusion=pd.NA, n_received=pd.NA, percent=np.nan)
    return pd.concat([counts, last[names].astype(counts.dtypes)], ignore_index=True)


def _count_patients(rows, most, groups):
    """Count patients and rows by number of infusion, 1 to `most`, and group."""
    numbers = range(1, 1 if pd.isna(most) else int(most) + 1)
    both = list_with_all(rows[["USUBJID", "group", "infusion"]], groups)
    both["infusion"] = pd.Categorical(both["infusion"], numbers)
    grouped = both.groupby(["infusion", "group"], observed=False)["USUBJID"]
    return pd.DataFrame({"n_patients": grouped.nunique(), "n_events": grouped.size()})


def _list_with_duration(events, trial):
    """Add each event's duration in days, whether it resolved then, and what is not known of it."""
    ending = list_endings(events)
    followed = pd.to_datetime(events["USUBJID"].map(list_observation(trial).set_index("USUBJID")["end"]))
    until = events["resolved"].fillna(followed.where(ending == NOT_RESOLVED))
    duration = (until - events["onset"]).dt.days.clip(lower=0).astype(float)
    # A fatal event without an onset date is as unresolved as others.
    duration = duration.mask(ending == DIED_OF, np.inf)
    imputed = [list_text(events, f"{name}_imputed") != "" for name in ("onset", "resolved")]
    return events.assign(
        duration=duration,
        ended=ending == RESOLVED,
        seen=(ending == RESOLVED) & ~imputed[1],
        ongoing=ending == NOT_RESOLVED,
        fatal=ending == DIED_OF,
        unknown_end=ending == END_UNKNOWN,
        imputed=imputed[0] | imputed[1],
    )


def _estimate_durations(events, conf_level):
    """Estimate each term's durations by Kaplan-Meier, all curves at once for speed."""
    names = ["duration_median", "duration_lower", "duration_upper", "duration_minimum", "duration_maximum"]
    if events.empty:
        return pd.DataFrame(columns=[*names, "percent_within_one_day"], dtype=float)
    time, n_events, n_censored = _count_by_duration(events)
    n_at_risk = (n_events + n_censored)[:, ::-1].cumsum(axis=1)[:, ::-1]
    survival = np.cumprod(1 - n_events / np.maximum(n_at_risk, 1), axis=1)
    lower, upper = calculate_limits(n_at_risk, n_events, n_censored, conf_level=conf_level, conf_type="bpcp")
    seen = events[events["seen"]].groupby("term")["duration"]
    within = np.where(time.to_numpy() <= 1, survival, 1.0).min(axis=1)
    unknown = (time.max(axis=1) < 1) & (within > TOLERANCE)
    columns = [
        _find_median(time.to_numpy(), survival),
        _find_first(time.to_numpy(), lower <= 0.5 + TOLERANCE, 0.0),
        _find_first(time.to_numpy(), upper <= 0.5 + TOLERANCE, np.inf),
    ]
    estimates = pd.DataFrame(dict(zip(names, columns, strict=False)), index=time.index)
    return estimates.assign(
        duration_minimum=seen.min().astype(float),
        duration_maximum=seen.max().astype(float),
        percent_within_one_day=100 * (1 - np.where(unknown, np.nan, within)),
    )


def _count_by_duration(events):
    """Count ends and censorings at each distinct duration, a row a term; time 0 is always there.

    Rows are filled up with NaN times, at which nothing happens.
    """
    starts = pd.DataFrame({"term": events["term"].unique(), "duration": 0.0, "n_events": 0, "n_censored": 0})
    counted = events[["term", "duration"]].assign(
        n_events=events["ended"].astype(int), n_censored=(~events["ended"]).astype(int)
    )
    both = pd.concat([starts, counted.astype({"duration": float})])
    counts = both.groupby(["term", "duration"])[["n_events", "n_censored"]].sum().reset_index("duration")
    counts["place"] = counts.groupby("term").cumcount()
    values = ["duration", "n_events", "n_censored"]
    wide = counts.reset_index().pivot_table(index="term", columns="place", values=values)
    n_events, n_censored = (wide[name].fillna(0).to_numpy(float) for name in values[1:])
    return wide["duration"], n_events, n_censored


def _find_first(time, reached, otherwise):
    """Find the first time of each row at which something is reached."""
    first = time[np.arange(len(time)), reached.argmax(axis=1)]
    return np.where(reached.any(axis=1), first, otherwise)


def _find_median(time, survival):
    """Find each row's median, the middle of the stretch at one half where there is one."""
    median = _find_first(time, survival <= 0.5 + TOLERANCE, np.nan)
    end_of_stretch = _find_first(time, survival < 0.5 - TOLERANCE, np.nan)
    at_half = (np.abs(survival - 0.5) <= TOLERANCE).any(axis=1) & ~np.isnan(end_of_stretch)
    return np.where(at_half, (median + end_of_stretch) / 2, median)
