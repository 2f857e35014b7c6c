"""How long patients were at risk after treatment, rates of first events, and dose-limiting toxicity."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.result import keeps_options
from nkhcc_helpers.safety.counts import BLOCK, ORGAN_CLASS, list_blocks, list_terms, tabulate_terms
from nkhcc_helpers.safety.differences import estimate_shares, estimate_upper_limits
from nkhcc_helpers.safety.events import choose_events, is_recorded, list_adverse_events, list_events
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT
from nkhcc_helpers.trial.patients import list_with_all

_RATES = {
    "time_at_risk": ["rate", "ci_lower", "ci_upper"],
    "n_infusions": ["rate_per_infusion", "infusion_lower", "infusion_upper"],
}
_EXPOSURE = ["days", "n_infusions", "n_at_risk"]
MOST_WINDOW_DAYS = 3650
"""Longest window of a `Definition`, ten years: beyond any use, and well within the range of dates."""


def list_time_at_risk(trial, *, window_days=30):
    """List the time in which an adverse event of a treated patient counts towards a rate.

    It begins on the day of the first infusion and ends `window_days` days after the last one, or at the
    end of observation if that is earlier.

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
    treated = trial.subjects[trial.subjects["treated"]].reset_index(drop=True)
    start, end = treated["first_infusion"], treated["observed_until"]
    if window_days is not None:
        closed = treated["last_infusion"] + pd.Timedelta(days=int(window_days))
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

    Parameters
    ----------
    trial : Trial
    window_days : int or None, default 30
        As in `list_time_at_risk`.
    related_only, emergent_only : bool
        As in `count_by_term`.
    conf_level : float, default 0.95
        Confidence level of the limits, two-sided.

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
    events, recorded = choose_events(trial, related_only=related_only, emergent_only=emergent_only)
    blocks = list_blocks(events, related_only=related_only)
    counts = list_terms(tabulate_terms(trial, blocks, recorded, related_only))
    rates = counts.loc[counts["grade"] == "any", [*BLOCK, "group", "n_evaluable"]]
    first = _list_first_events(at_risk, blocks[blocks["level"] != ORGAN_CLASS])
    rates = _add_exposure(rates, first, at_risk, trial.groups)
    if not recorded:
        rates = rates.assign(**dict.fromkeys([*_EXPOSURE, "n_patients", "n_outside", "n_undated"], pd.NA))
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


@dataclass(frozen=True)
class Definition:
    """What counts as a dose-limiting toxicity.

    Attributes
    ----------
    grade : int, default 3
        Lowest grade that counts, 1 to 5; an event without a grade does not count.
    related_only : bool, default True
        Whether only events related to treatment count; one without an entry saying so does not.
    window_days : int, default 28
        Last day after the first infusion, whose day is 0, on which an event may begin; 0 to 3650.
    excluded_terms : sequence of str, default ()
        Terms that do not count, in upper or lower case.
    fewest_infusions : int, default 1
        Infusions, of a dose other than 0, that a patient without a dose-limiting toxicity must have received
        by the last day of the window in order to be evaluable, at least 1. How many are enough is for the
        protocol to say; the default asks for no more than that treatment was begun.

    Raises
    ------
    ValueError
        One of them is not as said.
    """

    grade: int = 3
    related_only: bool = True
    window_days: int = 28
    excluded_terms: tuple[str, ...] = ()
    fewest_infusions: int = 1

    def __post_init__(self):
        _check_whole(self.grade, "grade", 1, 5)
        _check_whole(self.window_days, "window_days", 0, MOST_WINDOW_DAYS)
        _check_whole(self.fewest_infusions, "fewest_infusions", 1)
        if not isinstance(self.related_only, bool):
            raise ValueError(f"related_only must be True or False; got {self.related_only!r}")
        terms = self.excluded_terms
        if isinstance(terms, str) or not all(isinstance(term, str) for term in terms):
            raise ValueError(f"excluded_terms must be a list of texts; got {terms!r}")
        object.__setattr__(self, "excluded_terms", tuple(terms))

    def excludes(self, terms):
        """Whether each term is an excluded one, upper and lower case alike."""
        return _fold(terms).isin(_fold(pd.Series(self.excluded_terms, dtype="str")))


def _check_whole(value, name, least, most=None):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least or value > (most or value):
        must = f"at least {least}" if most is None else f"a whole number from {least} to {most}"
        raise ValueError(f"{name} must be {must}; got {value!r}")


def _fold(terms):
    return terms.astype("str").str.strip().str.casefold()


def list_absent_terms(trial, definition):
    """List the excluded terms of `definition` that no adverse event of the trial has, misspelt perhaps.

    Parameters
    ----------
    trial : Trial
    definition : Definition

    Returns
    -------
    list of str
    """
    known = set(_fold(trial.adverse_events["term"]))
    return [term for term in definition.excluded_terms if term.strip().casefold() not in known]


@keeps_options
def list_dose_limiting(trial, definition=None):
    """List the dose-limiting toxicities one by one.

    Parameters
    ----------
    trial : Trial
    definition : Definition, optional
        ``Definition()`` when absent.

    Returns
    -------
    DataFrame
        Rows and columns as `list_adverse_events` returns them: the treatment-emergent events that
        `definition` counts. An event that cannot be placed, its onset or the patient's first infusion being
        unknown, is taken to lie in the window, the choice that hides nothing.
    """
    definition = definition or Definition()
    events = list_adverse_events(trial, which="related" if definition.related_only else "all")
    inside = events["day"].isna() | events["day"].between(1, definition.window_days + 1).fillna(False)
    severe = (events["grade"] >= definition.grade).fillna(False)
    return events[inside & severe & ~definition.excludes(events["term"])].reset_index(drop=True)


@keeps_options
def count_dose_limiting(trial, definition=None, *, conf_level=0.95):
    """Count the patients with a dose-limiting toxicity, by group and overall.

    Parameters
    ----------
    trial : Trial
    definition : Definition, optional
        ``Definition()`` when absent.
    conf_level : float, default 0.95

    Returns
    -------
    DataFrame
        Columns ``group n_treated n_evaluable n_patients n_events percent ci_lower ci_upper
        one_sided_upper``. Evaluable: treated, observed until ``definition.window_days`` after the first
        infusion and given ``definition.fewest_infusions`` by then, or with a dose-limiting toxicity. Percent
        is of the evaluable, with exact Clopper-Pearson limits, two-sided; ``one_sided_upper`` is the upper
        limit with the whole of 1 - `conf_level` on its side. Patients and events are NA, and the percentages
        NaN, where adverse events were not collected, and where there are events but none records what the
        definition needs; then evaluable are those observed and treated so. Percentages are NaN where nobody
        is evaluable.

    Raises
    ------
    ValueError
        `conf_level` is not between 0 and 1.

    References
    ----------
    Clopper, Pearson (1934) Biometrika 26:404.
    """
    definition = definition or Definition()
    limiting = list_dose_limiting(trial, definition)
    patients = trial.subjects[trial.subjects["treated"]]
    limited = patients["USUBJID"].isin(limiting["USUBJID"])
    patients = patients.assign(limited=limited, evaluable=limited | _is_watched(trial, patients, definition))
    grouped = list_with_all(patients, trial.groups).groupby("group", observed=False)
    counts = pd.DataFrame({"n_treated": grouped.size(), "n_evaluable": grouped["evaluable"].sum()})
    counts["n_patients"] = grouped["limited"].sum()
    counts["n_events"] = list_with_all(limiting, trial.groups).groupby("group", observed=False).size()
    counts = counts.reset_index().astype({"n_treated": int, "n_evaluable": int})
    counts = counts.astype({"n_patients": "Int64", "n_events": "Int64"})
    if not is_recorded(trial, list_events(trial), "related_grade3" if definition.related_only else "grade3"):
        counts[["n_patients", "n_events"]] = pd.NA
    one_sided = estimate_upper_limits(counts, conf_level=conf_level)
    return estimate_shares(counts, conf_level=conf_level).assign(one_sided_upper=one_sided)


def _is_watched(trial, patients, definition):
    """Whether each patient was observed through the window, and treated enough in it."""
    last = patients["first_infusion"] + pd.Timedelta(days=definition.window_days)
    given = trial.infusions[trial.infusions["dose"] != 0]
    given = given[given["date"] <= given["USUBJID"].map(last.set_axis(patients["USUBJID"]))]
    n_given = patients["USUBJID"].map(given["USUBJID"].value_counts()).fillna(0)
    return (patients["observed_until"] >= last) & (n_given >= definition.fewest_infusions)
