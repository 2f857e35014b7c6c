"""How long patients were at risk after treatment, rates of first events, and their cumulative incidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level, keeps_options
from nkhcc_helpers.safety.counts import (
    BLOCK,
    ORGAN_CLASS,
    choose_events,
    list_blocks,
    list_terms,
    tabulate_terms,
)
from nkhcc_helpers.survival.competing import estimate_incidence
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT
from nkhcc_helpers.trial.patients import list_with_all

_RATES = {
    "time_at_risk": ["rate", "ci_lower", "ci_upper"],
    "n_infusions": ["rate_per_infusion", "infusion_lower", "infusion_upper"],
}
_EXPOSURE = ["days", "n_infusions", "n_at_risk"]
CENSORED, EVENT, DIED, UNDATED = 0, 1, 2, 3
"""Outcomes of `list_first_event`; of those known, what `survival.estimate_incidence` takes for causes."""


def list_observation(trial):
    """List until when each patient was observed.

    Returns
    -------
    DataFrame
        Columns ``USUBJID end``, one row for each row of ``trial.subjects``, treated or not: its
        ``observed_until``, NaT where nothing dates it.
    """
    return trial.subjects[["USUBJID", "observed_until"]].rename(columns={"observed_until": "end"})


def list_time_at_risk(trial, *, window_days=30):
    """List the time in which an adverse event of a treated patient counts towards a rate.

    It begins on the day of the first infusion and ends `window_days` days after the end of the last one, or
    at the end of observation (`list_observation`) if that is earlier.

    Parameters
    ----------
    window_days : int or None, default 30
        Days after the end of the last infusion, whole and at least 0, or ValueError; None: to the end of
        observation.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group start end days n_infusions``, one row for each treated patient in the order
        of ``trial.subjects``. ``days`` counts the first and the last day, so that an event on the day of
        the first infusion comes after one day and not after none. For a patient treated by SAFFL without
        a dated infusion ``start`` and ``end`` are NaT, ``days`` is NA and ``n_infusions`` 0. Where exposure
        was not collected, ``n_infusions`` is NA, and dates are those of TRTSDT and TRTEDT.
    """
    if window_days is not None and not (window_days >= 0 and float(window_days).is_integer()):
        raise ValueError(f"window_days must be a whole number >= 0, or None; got {window_days!r}")
    treated = trial.subjects[trial.subjects["treated"]].reset_index(drop=True)
    start, end = treated["first_infusion"], treated["observed_until"]
    if window_days is not None:
        closed = treated["last_exposure"] + pd.Timedelta(days=int(window_days))
        end = end.mask(end > closed, closed)
    end = end.where(start.notna())
    days = ((end - start).dt.days + 1).astype("Int64")
    at_risk = treated[["USUBJID", "group"]].assign(start=start, end=end, days=days)
    return at_risk.assign(n_infusions=treated["n_infusions"])


@keeps_options
def estimate_rates(trial, *, window_days=30, related_only=False, emergent_only=True, conf_level=0.95):
    """Estimate rates of first adverse events, per patient's time at risk and per infusion.

    A patient counts once a term, and is at risk of it from the first infusion to the first event of the
    term, that day included; without one in the time at risk (`list_time_at_risk`), to its end. An event
    before or after that time neither counts nor ends it.

    Garwood (1936) Biometrika 28:437.

    Parameters
    ----------
    window_days : int or None, default 30
        As in `list_time_at_risk`, with the same error.
    related_only, emergent_only : bool
        As in `count_by_term`.
    conf_level : float, default 0.95
        Confidence level of the limits, two-sided, between 0 and 1 or ValueError.

    Returns
    -------
    DataFrame
        Columns ``level organ_class term group n_patients n_at_risk n_evaluable time_at_risk rate ci_lower
        ci_upper n_infusions rate_per_infusion infusion_lower infusion_upper n_outside n_undated``; all events
        together and every term, in the order of `list_terms`. ``n_patients`` had a first event within the
        time at risk, of the ``n_at_risk`` who give time, with an event or without; ``n_evaluable`` were
        treated; ``n_outside`` had events of the term, all of them outside it; ``n_undated`` had none within
        it and one that nobody can place (no onset date, or a patient without a dated infusion), and give
        neither an event nor time. The three add up to the patients with the term. ``time_at_risk`` is the
        sum over patients in the trial's display unit, ``rate`` is per patient and such unit; ``n_infusions``
        are those given up to and on the day of the first event. Rates are NaN where nothing was at risk,
        and where patients had the term and nobody can place an event of any of them; counts are NA where
        `count_by_term` has NA.

    Notes
    -----
    The limits hold if the rate is the same at all times and in all patients of a group; fever after an
    infusion is not so. A limit per infusion may exceed 1: the Poisson distribution does not know that an
    infusion has one first event at most.
    """
    check_conf_level(conf_level)
    at_risk = list_time_at_risk(trial, window_days=window_days)
    events, recorded = choose_events(trial, related_only=related_only, emergent_only=emergent_only)
    blocks = list_blocks(events, related_only=related_only)
    counts = list_terms(tabulate_terms(trial, blocks, recorded, related_only))
    rates = counts.loc[counts["grade"] == "any", [*BLOCK, "group", "n_evaluable"]]
    first = _list_first_events(at_risk, blocks[blocks["level"] != ORGAN_CLASS])
    rates = _add_exposure(rates, first, at_risk, trial.groups)
    if not recorded:
        rates = rates.assign(**dict.fromkeys([*_EXPOSURE, "n_patients", "n_outside", "n_undated"], pd.NA))
    if not trial.metadata.exposure.collected:
        rates["n_infusions"] = pd.NA
    rates["time_at_risk"] = rates["days"].astype("Float64").to_numpy(float, na_value=np.nan)
    rates["time_at_risk"] /= DAYS_PER_UNIT[trial.unit]
    # With no event that anybody can place, 0 would say that nobody had one.
    placed = rates["n_patients"].mask(list_unplaced(rates))
    for exposure, names in _RATES.items():
        rates[names] = np.column_stack(estimate_poisson_rate(placed, rates[exposure], conf_level=conf_level))
    columns = [*BLOCK, "group", "n_patients", "n_at_risk", "n_evaluable"]
    return rates[[*columns, *(n for k, v in _RATES.items() for n in (k, *v)), "n_outside", "n_undated"]]


def _list_first_events(at_risk, events):
    """Each patient's first event of each block within the time at risk, and the exposure lost after it."""
    events = events[[*BLOCK, "USUBJID", "onset", "latest_infusion"]].merge(at_risk, on="USUBJID")
    events["undated"] = events["onset"].isna() | events["start"].isna()
    within = (events["onset"] >= events["start"]) & (events["onset"] <= events["end"])
    placed = events[["onset", "latest_infusion"]].where(within)
    grouped = events.assign(onset=placed["onset"], so_far=placed["latest_infusion"]).groupby(
        [*BLOCK, "USUBJID"], sort=False
    )
    first = grouped.agg(onset=("onset", "min"), so_far=("so_far", "min"), undated=("undated", "max"))
    first = first.reset_index().merge(at_risk, on="USUBJID")
    seen = first["onset"].notna()
    first["n_patients"] = seen
    first["n_undated"] = first["undated"].astype(bool) & ~seen
    first["n_outside"] = ~seen & ~first["n_undated"]
    # A first event ends the time at risk; without a date nobody knows when it did.
    days = (first["onset"] - first["start"]).dt.days + 1
    days_after = (first["days"] - days.fillna(0).astype(int)).fillna(0)
    infusions_after = first["n_infusions"] - first["so_far"].fillna(0)
    first["days_after"] = days_after.mask(first["n_outside"], 0)
    first["n_infusions_after"] = infusions_after.mask(first["n_outside"], 0)
    first["n_at_risk_after"] = first["n_undated"] & first["start"].notna()
    return first


def _add_exposure(rates, first, at_risk, groups):
    """Add patients by group and block, and what all have in exposure less what comes after first events."""
    keys, columns = [*BLOCK, "group"], ["n_patients", "n_outside", "n_undated"]
    columns += [f"{name}_after" for name in _EXPOSURE]
    sums = list_with_all(first[[*keys, *columns]], groups)
    sums = sums.groupby(keys, observed=True)[columns].sum().astype("Int64").reset_index()
    rates = rates.merge(sums, on=keys, how="left").fillna(dict.fromkeys(columns, 0))
    started = at_risk[at_risk["days"].notna()].assign(n_at_risk=1)
    whole = list_with_all(started[["group", *_EXPOSURE]], groups)
    whole = whole.groupby("group", observed=False)[_EXPOSURE].sum()
    for name in _EXPOSURE:
        rates[name] = rates["group"].map(whole[name]).astype("Int64") - rates[f"{name}_after"]
    return rates


def list_unplaced(rates):
    """In which rows of `estimate_rates` patients had the term, and nobody can place any of their events."""
    placed = rates["n_patients"] + rates["n_outside"]
    return ((placed == 0) & (rates["n_undated"] > 0)).fillna(False).astype(bool)


def estimate_poisson_rate(n_events, exposure, *, conf_level=0.95):
    """Rates and their exact limits (Garwood 1936), three arrays; the lower limit is 0 without events.

    NaN where the count is NA, and where the exposure is 0 or NA.
    """
    check_conf_level(conf_level)
    n_events, exposure = (
        pd.array(values, dtype="Float64").to_numpy(float, na_value=np.nan) for values in (n_events, exposure)
    )
    exposure = np.where(exposure > 0, exposure, np.nan)
    tail = (1 - conf_level) / 2
    # chi2.ppf has no 0 degrees of freedom, and none is needed: nothing excludes a rate of 0.
    doubled = np.where(n_events > 0, 2 * n_events, np.nan)
    lower = np.where(n_events == 0, 0.0, stats.chi2.ppf(tail, doubled) / 2)
    upper = stats.chi2.isf(tail, 2 * n_events + 2) / 2
    return n_events / exposure, lower / exposure, upper / exposure


def list_first_event(trial, *, window_days=None, related_only=False, emergent_only=True):
    """List when each treated patient had the first adverse event.

    Parameters
    ----------
    window_days : int or None, default None
        As in `list_time_at_risk`, with the same error.
    related_only, emergent_only : bool
        As in `count_by_term`.

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
    events, recorded = choose_events(trial, related_only=related_only, emergent_only=emergent_only)
    if not recorded:
        at_risk = at_risk.iloc[:0]
    patients = at_risk["USUBJID"]
    undated = patients.isin(events.loc[events["onset"].isna(), "USUBJID"]).to_numpy()
    events = events[events["onset"] >= events["first_infusion"]]
    first = patients.map(events.groupby("USUBJID")["onset"].min()).astype("datetime64[ns]")
    deaths = patients.map(trial.subjects.set_index("USUBJID")["death_date"])
    happened = (first <= at_risk["end"]).to_numpy()
    died = ~happened & (deaths == at_risk["end"]).to_numpy()
    until = at_risk["end"].where(~happened, first)
    outcome = np.select([happened, undated, died], [EVENT, UNDATED, DIED], CENSORED)
    days = (until - at_risk["start"]).dt.days.astype("Int64")
    return at_risk[["USUBJID", "group"]].assign(days=days.mask(outcome == UNDATED), outcome=outcome)


def estimate_first_event(trial, **options):
    """Estimate the cumulative incidence of the first adverse event, by group and overall.

    Aalen, Johansen (1978) Scand J Stat 5:141.

    Parameters
    ----------
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
    """
    first = list_with_all(list_first_event(trial, **options), trial.groups)
    columns = ["group", "time", "event_probability", "competing_probability", "n_at_risk", "n_undated"]
    parts = [pd.DataFrame(columns=columns)]
    for group, part in first.groupby("group", observed=True):
        n_undated = int((part["outcome"] == UNDATED).sum())
        if n_undated and not (part["outcome"] == EVENT).any():
            continue
        known = part.loc[part["outcome"] != UNDATED, ["days", "outcome"]].astype(int)
        curve = estimate_incidence(known["days"], known["outcome"])
        event, died = (curve[curve["cause"] == kind].reset_index(drop=True) for kind in (EVENT, DIED))
        table = event.assign(event_probability=event["incidence"], competing_probability=died["incidence"])
        start = table.iloc[:1].assign(event_probability=0.0, competing_probability=0.0)
        table = pd.concat([start, table.iloc[0 if (known["days"] == 0).any() else 1 :]])
        parts.append(table.assign(group=group, n_undated=n_undated))
    return pd.concat(parts[1:] or parts, ignore_index=True)[columns]
