"""How long each patient was observed and at risk, and the rates of first adverse events in that time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.safety.counts import BLOCK, count_by_term, list_blocks, list_terms
from nkhcc_helpers.safety.events import check_recorded, list_events, list_with_latest_infusion
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT
from nkhcc_helpers.trial.patients import list_deaths, list_observation, list_treated, list_with_all

_RATES = {"time_at_risk": ["rate", "ci_lower", "ci_upper"]}
_RATES |= {"n_infusions": ["rate_per_infusion", "infusion_lower", "infusion_upper"]}
_EXPOSURE = ["days", "n_infusions", "n_at_risk"]


def list_time_at_risk(trial, *, window_days=30):
    """List the time in which an adverse event of a treated patient counts towards a rate.

    It begins on the day of the first infusion and ends `window_days` days after the last one, or at the
    end of observation (`list_observation`) if that is earlier.

    Parameters
    ----------
    trial : Trial
    window_days : int or None, default 30
        Days after the last infusion, at least 0; None: to the end of observation.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group start end days n_infusions``, one row for each treated patient in the order
        of ``trial.subjects``. ``days`` counts the first and the last day, so that an event on the day of
        the first infusion comes after one day and not after none. For a patient treated by SAFFL without
        a dated infusion ``start`` and ``end`` are NaT, ``days`` is NA and ``n_infusions`` 0.

    Raises
    ------
    ValueError
        `window_days` is not a whole number of at least 0.
    """
    if window_days is not None and not (window_days >= 0 and float(window_days).is_integer()):
        raise ValueError(f"window_days must be a whole number >= 0, or None; got {window_days!r}")
    observed = list_observation(trial).set_index("USUBJID")["end"]
    treated = trial.subjects.loc[list_treated(trial), ["USUBJID", "group", "first_infusion"]]
    at_risk = treated.rename(columns={"first_infusion": "start"}).reset_index(drop=True)
    end = at_risk["USUBJID"].map(observed)
    if window_days is not None:
        last = pd.to_datetime(at_risk["USUBJID"].map(trial.infusions.groupby("USUBJID")["date"].max()))
        closed = last + pd.Timedelta(days=int(window_days))
        end = end.mask(end > closed, closed)
    at_risk["end"] = end.where(at_risk["start"].notna())
    at_risk["days"] = ((at_risk["end"] - at_risk["start"]).dt.days + 1).astype("Int64")
    given = trial.infusions["USUBJID"].value_counts()
    at_risk["n_infusions"] = at_risk["USUBJID"].map(given).fillna(0).astype(int)
    return at_risk


def estimate_rates(trial, *, window_days=30, related_only=False, emergent_only=True, conf_level=0.95):
    """Estimate rates of first adverse events, per patient's time at risk and per infusion.

    A patient counts once a term, and is at risk of it from the first infusion to the first event of the
    term, that day included; without one in the time at risk (`list_time_at_risk`), to its end. An event
    before or after that time neither counts nor ends it.

    Parameters
    ----------
    trial : Trial
    window_days : int or None, default 30
        As in `list_time_at_risk`.
    related_only : bool, default False
        Take only events related to treatment.
    emergent_only : bool, default True
        Take treatment-emergent events only.
    conf_level : float, default 0.95
        Confidence level of the limits, two-sided.

    Returns
    -------
    DataFrame
        Columns ``level organ_class term group n_patients n_at_risk n_evaluable time_at_risk rate ci_lower
        ci_upper n_infusions rate_per_infusion infusion_lower infusion_upper n_outside n_undated``; all events
        together and every term, in the order of `safety_terms.list_terms`. ``n_patients`` had a first event
        within the time at risk, of the ``n_at_risk`` who give time, with an event or without; ``n_evaluable``
        were treated;
        ``n_outside`` had events of the term, all of them outside it; ``n_undated`` had none within it and
        one that nobody can place (no onset date, or a patient without a dated infusion), and give neither
        an event nor time. The three add up to the patients with the term. ``time_at_risk`` is the sum over
        patients in the trial's display unit, ``rate`` is per patient and such unit; ``n_infusions`` are
        those given up to and on the day of the first event. Rates are NaN where nothing was at risk, and
        where patients had the term and nobody can place an event of any of them; counts are NA where
        `safety_terms.count_by_term` has NA.

    Raises
    ------
    ValueError
        Bad `window_days`, or `conf_level` not between 0 and 1.

    Notes
    -----
    The limits hold if the rate is the same at all times and in all patients of a group; fever after an
    infusion is not so. A limit per infusion may exceed 1: the Poisson distribution does not know that an
    infusion has one first event at most.

    References
    ----------
    Garwood (1936) Biometrika 28:437.
    """
    check_conf_level(conf_level)
    at_risk = list_time_at_risk(trial, window_days=window_days)
    options = {"related_only": related_only, "emergent_only": emergent_only}
    counts = list_terms(count_by_term(trial, **options))
    rates = counts.loc[counts["grade"] == "any", [*BLOCK, "group", "n_evaluable", "n_patients"]]
    known = rates.pop("n_patients").notna().to_numpy()
    events = list_blocks(list_events(trial, **options), related_only=related_only, organ_classes=False)
    sums = _sum_first_events(_list_first_events(trial, at_risk, events), trial)
    keys = [*BLOCK, "group"]
    rates = rates.merge(sums, on=keys, how="left").fillna(dict.fromkeys(sums.columns.drop(keys), 0))
    started = at_risk[at_risk["days"].notna()].assign(n_at_risk=1)
    whole = list_with_all(started[["group", *_EXPOSURE]], trial.groups)
    whole = whole.groupby("group", observed=False)[_EXPOSURE].sum()
    for name in whole:
        left = rates["group"].map(whole[name]).astype(int) - rates[f"{name}_after"]
        rates[name] = left.astype("Int64").where(known)
    for name in ("n_patients", "n_outside", "n_undated"):
        rates[name] = rates[name].astype("Int64").where(known)
    rates["time_at_risk"] = rates["days"].astype("Float64").to_numpy(float, na_value=np.nan)
    rates["time_at_risk"] /= DAYS_PER_UNIT[trial.unit]
    # With no event that anybody can place, 0 would say that nobody had one.
    placed = rates["n_patients"].mask(list_unplaced(rates))
    for exposure, names in _RATES.items():
        rates[names] = np.column_stack(estimate_poisson_rate(placed, rates[exposure], conf_level=conf_level))
    first = [*BLOCK, "group", "n_patients", "n_at_risk", "n_evaluable"]
    return rates[[*first, *(n for k, v in _RATES.items() for n in (k, *v)), "n_outside", "n_undated"]]


def list_unplaced(rates):
    """List in which rows patients had the term, but nobody can place an event of any of them.

    Parameters
    ----------
    rates : DataFrame
        Columns ``n_patients n_outside n_undated``, as `estimate_rates` returns them.

    Returns
    -------
    Series of bool
        Indexed as `rates`; False where the counts are NA.
    """
    placed = rates["n_patients"] + rates["n_outside"]
    return ((placed == 0) & (rates["n_undated"] > 0)).fillna(False).astype(bool)


def estimate_poisson_rate(n_events, exposure, *, conf_level=0.95):
    """Estimate rates of events that follow a Poisson distribution, with exact limits.

    Parameters
    ----------
    n_events : array_like of int, shape (n,)
        Events seen; NA where not known.
    exposure : array_like of float, shape (n,)
        Time, or whatever the rate is per; 0 or NA gives NaN.
    conf_level : float, default 0.95
        Confidence level, two-sided.

    Returns
    -------
    rate, ci_lower, ci_upper : ndarray of float, shape (n,)
        The lower limit is 0 where there are no events.

    Raises
    ------
    ValueError
        `conf_level` is not between 0 and 1.

    References
    ----------
    Garwood (1936) Biometrika 28:437.
    """
    check_conf_level(conf_level)
    n_events, exposure = (
        pd.array(values, dtype="Float64").to_numpy(float, na_value=np.nan) for values in (n_events, exposure)
    )
    exposure = np.where(exposure > 0, exposure, np.nan)
    tail = (1 - conf_level) / 2
    # chi2.ppf has no 0 degrees of freedom, and none is needed: nothing excludes a rate of 0.
    lower = np.where(
        n_events == 0, 0.0, stats.chi2.ppf(tail, np.where(n_events > 0, 2 * n_events, np.nan)) / 2
    )
    upper = stats.chi2.isf(tail, 2 * n_events + 2) / 2
    return n_events / exposure, lower / exposure, upper / exposure


def _list_first_events(trial, at_risk, events):
    """List each patient's first event of each block within the time at risk, and what follows it."""
    events = events[[*BLOCK, "USUBJID", "onset"]].merge(at_risk, on="USUBJID")
    events["undated"] = events["onset"].isna() | events["start"].isna()
    within = (events["onset"] >= events["start"]) & (events["onset"] <= events["end"])
    events["onset"] = events["onset"].where(within)
    grouped = events.groupby([*BLOCK, "USUBJID"], sort=False)
    first = grouped.agg(onset=("onset", "min"), undated=("undated", "max")).reset_index()
    first = list_with_latest_infusion(first, trial).merge(at_risk, on="USUBJID")
    seen = first["onset"].notna()
    first["n_patients"] = seen
    first["n_undated"] = first["undated"].astype(bool) & ~seen
    first["n_outside"] = ~seen & ~first["n_undated"]
    # A first event ends the time at risk; without a date nobody knows when it did.
    none = first["n_outside"]
    so_far = (first["onset"] - first["start"]).dt.days + 1
    first["days_after"] = (first["days"] - so_far.fillna(0).astype(int)).fillna(0).mask(none, 0)
    first["n_infusions_after"] = first["n_infusions"] - first["latest_infusion"].fillna(0)
    first["n_infusions_after"] = first["n_infusions_after"].mask(none, 0)
    first["n_at_risk_after"] = first["n_undated"] & first["start"].notna()
    return first


def _sum_first_events(first, trial):
    columns = ["n_patients", "n_outside", "n_undated", *(f"{name}_after" for name in _EXPOSURE)]
    both = list_with_all(first[[*BLOCK, "group", *columns]], trial.groups)
    return both.groupby([*BLOCK, "group"], observed=True)[columns].sum().astype(int).reset_index()


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
