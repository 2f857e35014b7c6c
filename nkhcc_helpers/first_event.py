"""Time from the first infusion to the first adverse event, with death before it as a competing event."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.events import check_recorded, list_events
from nkhcc_helpers.exposure import list_deaths, list_time_at_risk
from nkhcc_helpers.populations import list_with_all

CENSORED, EVENT, DIED, UNDATED = 0, 1, 2, 3


def list_first_event(trial, *, window_days=None, related_only=False, emergent_only=True):
    """List when each treated patient had the first adverse event.

    Parameters
    ----------
    trial : Trial
    window_days : int or None, default None
        As in `exposure.list_time_at_risk`.
    related_only : bool, default False
        Take only events related to treatment.
    emergent_only : bool, default True
        Take treatment-emergent events only.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group days outcome``; days since the first infusion, 0 on its day; outcome 0
        (followed to here without), 1 (adverse event), 2 (died without) or 3 (had an event that nobody can
        date, and none that is known to lie in the time at risk: ``days`` is NA). Patients without a dated
        infusion are left out, and so are events before the first infusion. No rows where adverse events were
        not collected, or with `related_only` where no event records its relation.
    """
    at_risk = list_time_at_risk(trial, window_days=window_days).dropna(subset=["start"])
    events = list_events(trial, emergent_only=emergent_only)
    if not check_recorded(trial, events, "related" if related_only else "any"):
        at_risk = at_risk.iloc[:0]
    if related_only:
        events = events[events["related"].fillna(False).astype(bool)]
    undated = at_risk["USUBJID"].isin(events.loc[events["onset"].isna(), "USUBJID"]).to_numpy()
    events = events[events["onset"] >= events["first_infusion"]]
    first = at_risk["USUBJID"].map(events.groupby("USUBJID")["onset"].min()).astype("datetime64[ns]")
    deaths = pd.Series(list_deaths(trial).to_numpy(), trial.subjects["USUBJID"])
    happened = (first <= at_risk["end"]).to_numpy()
    died = ~happened & (at_risk["USUBJID"].map(deaths) == at_risk["end"]).to_numpy()
    until = at_risk["end"].where(~happened, first)
    outcome = np.select([happened, undated, died], [EVENT, UNDATED, DIED], CENSORED)
    days = (until - at_risk["start"]).dt.days.astype("Int64")
    return at_risk[["USUBJID", "group"]].assign(days=days.mask(outcome == UNDATED), outcome=outcome)


def estimate_first_event(trial, **options):
    """Estimate the cumulative incidence of the first adverse event, by group and overall.

    Parameters
    ----------
    trial : Trial
    **options
        As in `list_first_event`.

    Returns
    -------
    DataFrame
        Columns ``group time event_probability competing_probability n_at_risk n_undated``: a row for time 0
        and for each time at which somebody of the group left, in days. Probabilities hold from that time on;
        ``n_at_risk`` counts those still followed just before it. ``n_undated`` counts the group's patients
        left out because nobody can date their events. A group has no rows where nobody was followed, or
        where patients had events and none of these is dated; there are none at all where adverse events
        were not recorded.

    References
    ----------
    Aalen, Johansen (1978) Scand J Stat 5:141.
    """
    first = list_with_all(list_first_event(trial, **options), trial.groups)
    parts = []
    for group, part in first.groupby("group", observed=True):
        n_undated = int((part["outcome"] == UNDATED).sum())
        if n_undated and not (part["outcome"] == EVENT).any():
            continue
        known = part[part["outcome"] != UNDATED]
        curve = _accumulate(known["days"].to_numpy(int), known["outcome"].to_numpy())
        parts.append(curve.assign(group=group, n_undated=n_undated))
    columns = ["group", "time", "event_probability", "competing_probability", "n_at_risk", "n_undated"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]


def _accumulate(days, outcome):
    """Aalen-Johansen estimates of one group; those who leave on a day are at risk on it."""
    times = np.unique(days)
    n_at_risk = (days >= times[:, None]).sum(axis=1)
    n_events, n_died = (((days == times[:, None]) & (outcome == kind)).sum(axis=1) for kind in (EVENT, DIED))
    free = np.cumprod(1 - (n_events + n_died) / n_at_risk)
    before = np.concatenate([[1.0], free[:-1]])
    return pd.DataFrame(
        {
            "time": np.concatenate([[0.0], times]),
            "event_probability": np.concatenate([[0.0], np.cumsum(before * n_events / n_at_risk)]),
            "competing_probability": np.concatenate([[0.0], np.cumsum(before * n_died / n_at_risk)]),
            "n_at_risk": np.concatenate([[len(days)], n_at_risk]),
        }
    )
