"""When adverse events begin, how long they last, after which infusion, and each patient's course."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_conf_level, keeps_options
from nkhcc_helpers.safety.counts import choose_events, list_events
from nkhcc_helpers.survival.curves import Curves
from nkhcc_helpers.trial.patients import list_with_all
from nkhcc_helpers.trial.schema import list_text


@keeps_options
def summarize_onset(trial, *, related_only=False, emergent_only=True, conf_level=0.95):
    """Summarize, term by term, how soon after an infusion events begin and how long they last.

    Onset is counted from the start of the patient's latest infusion on or before it, 0 on that day.
    Duration is the time to resolution, end minus onset, 0 on the same day (CDISC's ADURN counts both days,
    and is one more). How an event ended:

    - resolved: at its end date;
    - ongoing (AEOUT says not recovered or resolved, recovering, ongoing, continuing): censored at its
      end date, and without one at the patient's end of observation, at 0 where it began later;
    - fatal: never resolves. It stays unresolved at every time, since censoring it at death would say that
      it might have resolved later like the others;
    - none of these: its end is not known, and durations leave it out.

    Kaplan, Meier (1958) J Am Stat Assoc; Fay, Brittain, Proschan (2013) Biostatistics.

    Parameters
    ----------
    related_only, emergent_only : bool
        As in `list_events`.
    conf_level : float, default 0.95
        Confidence level of the limits of the median duration, between 0 and 1 or ValueError.

    Returns
    -------
    DataFrame
        One row a term, by number of patients and then by name, a term in two organ classes once; times in
        days, NaN where nothing is known. Columns:

        - ``term n_patients n_events``
        - ``onset_median onset_minimum onset_maximum``: over events with a known onset and an infusion
          before it
        - ``duration_median duration_lower duration_upper``: Kaplan-Meier, as `estimate_median`;
          the median is NaN where the curve stays above a half, the limits are 0 or inf where none exists, and
          both inf where so many events are fatal that the median is never
        - ``duration_minimum duration_maximum``: of the events seen to resolve, on a day that was not imputed
        - ``n_ongoing n_fatal n_unknown_end n_imputed``: events ongoing; fatal; whose end is not known; of
          which a date was imputed
        - ``percent_within_one_day``: share of events that resolved on the day of onset or the next, from the
          same curve; NaN where nobody was followed that long

    Notes
    -----
    The limits take events for independent. Those of one patient resemble each other, so where
    ``n_events`` is well above ``n_patients`` the limits are too narrow.
    """
    check_conf_level(conf_level)
    events = list_events(trial, emergent_only=emergent_only, related_only=related_only)
    events = _add_durations(events)
    grouped = events.groupby("term")
    summary = pd.DataFrame({"n_patients": grouped["USUBJID"].nunique(), "n_events": grouped.size()})
    for label, statistic in {"median": "median", "minimum": "min", "maximum": "max"}.items():
        summary[f"onset_{label}"] = grouped["days_since_infusion"].agg(statistic).astype(float)
    summary = summary.join(_estimate_durations(events[events["duration"].notna()], conf_level))
    for name in ("ongoing", "fatal", "unknown_end", "imputed"):
        summary[f"n_{name}"] = grouped[name].sum().astype(int)
    summary["percent_within_one_day"] = summary.pop("percent_within_one_day")
    order = ["n_patients", "term"]
    return summary.reset_index().sort_values(order, ascending=[False, True], ignore_index=True)


def _add_durations(events):
    """Add each event's duration in days, whether it resolved then, and what is not known of it."""
    goes_on = events["ongoing"] | events["fatal"]
    until = events["resolved"].fillna(events["observed_until"].where(events["ongoing"]))
    duration = (until - events["onset"]).dt.days.clip(lower=0).astype(float)
    onset_imputed, end_imputed = (
        list_text(events, f"{name}_imputed") != "" for name in ("onset", "resolved")
    )
    return events.assign(
        # A fatal event never resolves; without an onset date it is as unresolved as others.
        duration=duration.mask(events["fatal"], np.inf),
        ended=events["resolved"].notna() & ~goes_on,
        unknown_end=events["resolved"].isna() & ~goes_on,
        imputed=onset_imputed | end_imputed,
        end_imputed=end_imputed,
    )


def _estimate_durations(events, conf_level):
    """Estimate each term's durations by Kaplan-Meier, all curves at once for speed."""
    names = ["duration_median", "duration_lower", "duration_upper", "duration_minimum", "duration_maximum"]
    if events.empty:
        return pd.DataFrame(columns=[*names, "percent_within_one_day"], dtype=float)
    terms, curves = _list_curves(events)
    lower, upper = curves.find_median_limits(conf_level=conf_level)
    seen = events[events["ended"] & ~events["end_imputed"]].groupby("term")["duration"]
    return pd.DataFrame(
        {
            "duration_median": curves.find_medians(),
            "duration_lower": lower,
            "duration_upper": upper,
            "duration_minimum": seen.min().reindex(terms).astype(float),
            "duration_maximum": seen.max().reindex(terms).astype(float),
            "percent_within_one_day": 100 * (1 - curves.find_survival(1)),
        },
        index=terms,
    )


def _list_curves(events):
    """Return the terms, and a curve for each: its distinct durations, 0 always, filled up with NaN."""
    counted = events[["term", "duration"]].assign(n_events=events["ended"], n_censored=~events["ended"])
    starts = pd.DataFrame({"term": events["term"].unique(), "duration": 0.0, "n_events": 0, "n_censored": 0})
    both = pd.concat([starts, counted.astype({"n_events": int, "n_censored": int})])
    counts = both.groupby(["term", "duration"]).sum().reset_index()
    counts["place"] = counts.groupby("term").cumcount()
    wide = counts.pivot_table(index="term", columns="place")
    n_events, n_censored = (wide[name].fillna(0).to_numpy() for name in ("n_events", "n_censored"))
    return wide.index, Curves.of_counts(wide["duration"].to_numpy(), n_events, n_censored)


@keeps_options
def count_by_infusion(trial, *, related_only=False, emergent_only=True):
    """Count adverse events, and patients with one, after each infusion.

    An event belongs to the patient's latest infusion on or before its onset, however long ago that was;
    events before the first infusion belong to none and are left out. Of an event without an onset date, or
    of a patient without a dated infusion, nobody knows the infusion.

    Parameters
    ----------
    related_only, emergent_only : bool
        As in `list_events`.

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
    treated = trial.subjects.loc[trial.subjects["treated"], "USUBJID"]
    given = trial.infusions[trial.infusions["USUBJID"].isin(treated)]
    most = given["infusion"].max()
    n_received = _count_patients(given, most, trial.groups)["n_patients"]
    events, recorded = choose_events(trial, related_only=related_only, emergent_only=emergent_only)
    events = events.assign(infusion=events["latest_infusion"])
    counts = _count_patients(events.dropna(subset="infusion"), most, trial.groups).astype("Int64")
    unknown = events[events["onset"].isna() | events["first_infusion"].isna()].assign(infusion=1)
    unknown = _count_patients(unknown, 1, trial.groups).loc[1]
    # Where no event of a group has its infusion, 0 after each would say that there were none.
    dated = counts["n_events"].groupby("group", observed=False).sum().reindex(unknown.index)
    hidden = unknown.index[((unknown["n_events"] > 0) & (dated == 0)).to_numpy(bool)]
    counts[counts.index.get_level_values("group").isin(hidden) | (not recorded)] = pd.NA
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


@dataclass(frozen=True)
class Timelines:
    """What `list_timelines` returns; every day is 0 on the day of the patient's first infusion.

    Attributes
    ----------
    patients : DataFrame
        Columns ``USUBJID group last_day died``: end of observation, and day of death (NaN where no death is
        known); by group and USUBJID.
    infusions : DataFrame
        Columns ``USUBJID group infusion day end_day``.
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
    related_only, emergent_only : bool
        As in `list_events`.

    Returns
    -------
    Timelines
        An event is ongoing where AEOUT says so, whether it has an end date or not; any other without an end
        date has an unknown end.
    """
    treated = trial.subjects[trial.subjects["treated"]]
    started = treated.dropna(subset=["first_infusion"]).sort_values(["group", "USUBJID"], ignore_index=True)
    patients = started[["USUBJID", "group"]].assign(
        last_day=_days(started, "observed_until"), died=_days(started, "death_date")
    )
    given = trial.infusions.merge(started[["USUBJID", "first_infusion"]], on="USUBJID")
    infusions = given[["USUBJID", "group", "infusion"]].assign(
        day=_days(given, "date"), end_day=_days(given, "end")
    )
    events = list_events(trial, emergent_only=emergent_only, related_only=related_only)
    infused = events[events["first_infusion"].notna()]
    dated = infused.dropna(subset=["onset"])
    dated = dated.sort_values(["group", "USUBJID", "onset", "term"], ignore_index=True)
    listed = dated[["USUBJID", "group", "term", "grade"]].assign(
        day=_days(dated, "onset"),
        end_day=_days(dated, "resolved").fillna(_days(dated, "observed_until").where(dated["ongoing"])),
        ending=np.select([dated["ongoing"], dated["resolved"].notna()], ["ongoing", "ended"], "unknown"),
    )
    return Timelines(patients, infusions, listed, len(infused) - len(dated), len(treated) - len(started))


def _days(frame, column):
    return (frame[column] - frame["first_infusion"]).dt.days.astype(float)
