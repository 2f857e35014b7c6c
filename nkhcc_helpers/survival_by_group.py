"""Survival estimates of every group of a trial, stacked in one frame."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.survival import (
    count_at_risk,
    estimate_km,
    estimate_median,
    estimate_rmst,
    estimate_survival_at,
)


def estimate_km_by_group(frame, **options):
    """Estimate one Kaplan-Meier curve for each group.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group``; groups in the order of the categories.
    **options
        Passed to `estimate_km`.

    Returns
    -------
    DataFrame
        The columns of `estimate_km` behind a column ``group``.
    """
    return _stack_by_group(frame, lambda part: estimate_km(part["time"], part["event"], **options))


def count_at_risk_table(frame, *, at):
    """Count, at each time and in each group, who is at risk and what has happened so far.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group``.
    at : sequence of float
        Times, in the unit of ``time``.

    Returns
    -------
    DataFrame
        Columns ``group time n_at_risk n_events n_censored``: at risk counts ``time >= at``; events and
        censorings are those before `at`, so that the three add up to the size of the group.
    """
    at = np.asarray(at, dtype=float)

    def count(part):
        time, event = check_survival(part["time"], part["event"])
        before = time[:, None] < at
        return pd.DataFrame(
            {
                "time": at,
                "n_at_risk": count_at_risk(time, at=at),
                "n_events": (before & event[:, None]).sum(axis=0),
                "n_censored": (before & ~event[:, None]).sum(axis=0),
            }
        )

    return _stack_by_group(frame, count)


def summarize_survival(frame, *, conf_level=0.95, conf_type="bpcp", convention="midpoint"):
    """Summarize a time-to-event endpoint for each group and for everyone.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group``.
    conf_level, conf_type, convention
        As in `estimate_median`.

    Returns
    -------
    DataFrame
        Columns ``group n n_events median ci_lower ci_upper coverage minimum minimum_censored maximum
        maximum_censored``; a row for each group in order, then ``All``. A minimum or maximum is censored
        where no event was seen at that time.
    """

    def summarize(part):
        median = estimate_median(
            part["time"], part["event"], conf_level=conf_level, conf_type=conf_type, convention=convention
        )
        time, event = check_survival(part["time"], part["event"])
        row = {
            "n": len(time),
            "n_events": int(event.sum()),
            "median": median.estimate,
            "ci_lower": median.ci_lower,
            "ci_upper": median.ci_upper,
            "coverage": median.coverage,
        }
        for name, value in (("minimum", time.min()), ("maximum", time.max())):
            row |= {name: value, f"{name}_censored": not event[time == value].any()}
        return pd.DataFrame([row])

    return _stack_with_all(frame, summarize)


def summarize_survival_at(frame, *, at, conf_level=0.95, conf_type="bpcp"):
    """Estimate survival at given times for each group and for everyone.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group``.
    at, conf_level, conf_type
        As in `estimate_survival_at`.

    Returns
    -------
    DataFrame
        The columns of `estimate_survival_at` behind a column ``group``: each group in order, then ``All``.
    """

    def estimate(part):
        return estimate_survival_at(
            part["time"], part["event"], at=at, conf_level=conf_level, conf_type=conf_type
        )

    return _stack_with_all(frame, estimate)


def choose_landmarks(unit):
    """Choose landmark times: half a year, one year and two years.

    Parameters
    ----------
    unit : {"days", "weeks", "months", "years"}

    Returns
    -------
    list of float
        In `unit`; whole numbers but for years.
    """
    half_year = {"days": 182, "weeks": 26, "months": 6, "years": 0.5}[unit]
    return [half_year, 2 * half_year, 4 * half_year]


def summarize_rmst(frame, *, tau, conf_level=0.95):
    """Estimate the restricted mean survival time for each group and for everyone.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group``.
    tau, conf_level
        As in `survival.estimate_rmst`.

    Returns
    -------
    DataFrame
        Columns ``group n estimate standard_error ci_lower ci_upper tau``: each group in order, then ``All``.
    """

    def estimate(part):
        mean = estimate_rmst(part["time"], part["event"], tau=tau, conf_level=conf_level)
        return pd.DataFrame([{"n": len(part), **asdict(mean)}])

    return _stack_with_all(frame, estimate)


def _stack_with_all(frame, compute):
    everyone = compute(frame).assign(group="All")
    return pd.concat([_stack_by_group(frame, compute), everyone], ignore_index=True)


def _stack_by_group(frame, compute):
    groups = frame.groupby("group", observed=True, sort=True)
    parts = [compute(part).assign(group=str(group)) for group, part in groups]
    stacked = pd.concat(parts, ignore_index=True)
    return stacked[["group", *stacked.columns.drop("group")]]
