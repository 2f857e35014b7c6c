"""Kaplan-Meier curves, medians, landmark rates, follow-up and at-risk counts.

lifelines builds the event table; what it does not offer, or answers otherwise than R, is computed here:
beta product limits, the midpoint median, NE past the last follow-up, and the conventional at-risk count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines.utils import survival_table_from_events
from scipy import stats

from nkhcc_helpers.checks import (
    check_choice,
    check_conf_level,
    check_positions,
    check_survival,
    check_vector,
)
from nkhcc_helpers.limits import CONF_TYPES, calculate_limits

# Survival estimates are products of fractions: 0.5 on paper may be 0.5 + 1e-16 in floating point.
TOLERANCE = 1e-9

CONVENTIONS = ("midpoint", "first")


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval.

    Attributes
    ----------
    estimate : float
        Point estimate; NaN where the data do not reach it.
    ci_lower, ci_upper : float
        Confidence limits; 0 or inf where no finite limit exists.
    coverage : float
        Attained coverage of the interval at this number of subjects when nobody is censored.
    """

    estimate: float
    ci_lower: float
    ci_upper: float
    coverage: float = float("nan")


@dataclass(frozen=True)
class RestrictedMean:
    """A restricted mean survival time.

    Attributes
    ----------
    estimate : float
        Mean time without the event up to `tau`; NaN where the data do not reach that far.
    standard_error, ci_lower, ci_upper : float
    tau : float
        Horizon.
    """

    estimate: float
    standard_error: float
    ci_lower: float
    ci_upper: float
    tau: float


def estimate_km(time, event, *, conf_level=0.95, conf_type="bpcp"):
    """Estimate a survival curve by Kaplan-Meier with pointwise confidence limits.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival`.
    conf_level : float, default 0.95
        Confidence level of the pointwise limits.
    conf_type : {"bpcp", "log-log", "log", "plain"}, default "bpcp"
        Beta product confidence procedure (method of moments; Clopper-Pearson limits when nobody is
        censored), or normal limits with Greenwood's variance on the named scale, as R's ``survfit``.

    Returns
    -------
    DataFrame
        Columns ``time n_at_risk n_events n_censored survival ci_lower ci_upper``; one row for time 0
        and one for each distinct time. Limits hold from their time up to the next. Normal limits are
        NaN where survival is 0.

    Raises
    ------
    ValueError
        Bad input (see `check_survival`), confidence level outside (0, 1), or unknown `conf_type`.

    References
    ----------
    Kaplan, Meier (1958) J Am Stat Assoc; Fay, Brittain, Proschan (2013) Biostatistics.
    """
    time, event = check_survival(time, event)
    check_choice(conf_type, "conf_type", CONF_TYPES)
    check_conf_level(conf_level)
    curve = _count_by_time(time, event)
    curve["survival"] = np.cumprod(1 - curve["n_events"] / curve["n_at_risk"])
    counts = (curve[name].to_numpy() for name in ("n_at_risk", "n_events", "n_censored"))
    limits = calculate_limits(*counts, conf_level=conf_level, conf_type=conf_type)
    curve["ci_lower"], curve["ci_upper"] = limits
    return curve


def estimate_median(time, event, *, conf_level=0.95, conf_type="bpcp", convention="midpoint"):
    """Estimate the median time to event.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival`.
    conf_level, conf_type
        As in `estimate_km`; the interval holds the times at which the limits of the curve do not exclude 0.5.
    convention : {"midpoint", "first"}, default "midpoint"
        Where the curve is flat at 0.5: the middle of the flat stretch, as R's ``survfit`` and SAS, or the
        first time at which the curve is at or below 0.5.

    Returns
    -------
    Estimate
        In the unit of `time`; the estimate is NaN where the curve stays above 0.5, limits are 0 or inf
        where no finite limit exists.

    Raises
    ------
    ValueError
        As `estimate_km`, or unknown `convention`.

    References
    ----------
    Brookmeyer, Crowley (1982) Biometrics; Fay, Brittain, Proschan (2013) Biostatistics.
    """
    check_choice(convention, "convention", CONVENTIONS)
    curve = estimate_km(time, event, conf_level=conf_level, conf_type=conf_type)
    estimate = _first_at_half(curve["time"], curve["survival"], midpoint=convention == "midpoint")
    lower, upper = _median_limits(curve, conf_type)
    coverage = _attained_coverage(curve["n_at_risk"].iloc[0], conf_level, conf_type)
    return Estimate(estimate, lower, upper, coverage)


def estimate_survival_at(time, event, *, at, conf_level=0.95, conf_type="bpcp"):
    """Estimate survival at given times.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival`.
    at : sequence of float
        Landmark times, at least 0, in the unit of `time`.
    conf_level, conf_type
        As in `estimate_km`.

    Returns
    -------
    DataFrame
        Columns ``time n_at_risk survival ci_lower ci_upper``, one row for each landmark. Past the last
        follow-up survival is NaN, unless the curve has reached 0.

    Raises
    ------
    ValueError
        As `estimate_km`, or a landmark that is negative or not a number.
    """
    at = check_vector(at, "at")
    check_positions(~(at >= 0), "at", "must be at least 0", at)
    curve = estimate_km(time, event, conf_level=conf_level, conf_type=conf_type)
    rows = curve["time"].searchsorted(at, side="right") - 1
    shown = curve.iloc[rows][["survival", "ci_lower", "ci_upper"]].reset_index(drop=True)
    past = (at > curve["time"].iloc[-1]) & (shown["survival"] > TOLERANCE).to_numpy()
    shown[past] = np.nan
    shown.insert(0, "n_at_risk", count_at_risk(time, at=at))
    shown.insert(0, "time", at)
    return shown


def estimate_rmst(time, event, *, tau, conf_level=0.95):
    """Estimate the restricted mean survival time: the mean time without the event, up to a horizon.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival`.
    tau : float
        Horizon, above 0, in the unit of `time`.
    conf_level : float, default 0.95

    Returns
    -------
    RestrictedMean
        Area under the Kaplan-Meier curve from 0 to `tau`, standard error as R's ``survfit``, normal limits
        kept within 0 and `tau`. NaN where `tau` lies past the last follow-up and the curve has not reached 0;
        the standard error and limits are NaN where nobody has had the event by `tau`.

    Raises
    ------
    ValueError
        Bad times or events, or `tau` not above 0.

    References
    ----------
    Irwin (1949) J Hyg; Royston, Parmar (2013) BMC Med Res Methodol.
    """
    if not (np.isfinite(tau) and tau > 0):
        raise ValueError(f"tau must be a number above 0; got {tau!r}")
    check_conf_level(conf_level)
    curve = estimate_km(time, event, conf_type="plain")
    if tau > curve["time"].iloc[-1] and curve["survival"].iloc[-1] > TOLERANCE:
        return RestrictedMean(float("nan"), float("nan"), float("nan"), float("nan"), float(tau))
    inside = curve[curve["time"] < tau]
    area = inside["survival"] * np.diff(np.append(inside["time"], tau))
    mean = float(area.sum())
    # Area still to come after each time: what an event at that time takes away.
    left = area[::-1].cumsum()[::-1].to_numpy()
    n, d = inside["n_at_risk"].to_numpy(float), inside["n_events"].to_numpy(float)
    survives = (d > 0) & (n > d)
    variance = float((left[survives] ** 2 * d[survives] / (n * (n - d))[survives]).sum())
    if not d.any():
        return RestrictedMean(mean, float("nan"), float("nan"), float("nan"), float(tau))
    half = stats.norm.ppf((1 + conf_level) / 2) * np.sqrt(variance)
    return RestrictedMean(
        mean, float(np.sqrt(variance)), max(mean - half, 0), min(mean + half, tau), float(tau)
    )


def estimate_follow_up(time, event, *, conf_level=0.95, conf_type="bpcp"):
    """Estimate the median follow-up by reverse Kaplan-Meier.

    Parameters
    ----------
    time, event, conf_level, conf_type
        As in `estimate_median`; here the end of follow-up is the event and the event censors it.

    Returns
    -------
    Estimate
        In the unit of `time`; NaN where fewer than half would have been followed to a known end.

    References
    ----------
    Schemper, Smith (1996) Control Clin Trials.
    """
    time, event = check_survival(time, event)
    return estimate_median(time, ~event, conf_level=conf_level, conf_type=conf_type)


def count_at_risk(time, *, at):
    """Count the subjects at risk: those with ``time >= at``.

    Parameters
    ----------
    time : array_like, shape (n_subjects,)
    at : array_like, shape (n_times,)

    Returns
    -------
    ndarray of int, shape (n_times,)
    """
    time = np.asarray(time, dtype=float)
    return (time[:, None] >= np.asarray(at, dtype=float)).sum(axis=0)


def _count_by_time(time, event):
    table = survival_table_from_events(time, event)
    return pd.DataFrame(
        {
            "time": table.index.to_numpy(dtype=float),
            "n_at_risk": table["at_risk"].to_numpy(dtype=int),
            "n_events": table["observed"].to_numpy(dtype=int),
            "n_censored": table["censored"].to_numpy(dtype=int),
        }
    )


def _first_at_half(time, survival, *, midpoint):
    time, survival = np.asarray(time, float), np.asarray(survival, float)
    reached = np.flatnonzero(survival <= 0.5 + TOLERANCE)
    if len(reached) == 0:
        return float("nan")
    first = reached[0]
    below = np.flatnonzero(survival < survival[first] - TOLERANCE)
    if midpoint and abs(survival[first] - 0.5) <= TOLERANCE and len(below):
        return float((time[first] + time[below[0]]) / 2)
    return float(time[first])


def _median_limits(curve, conf_type):
    # R's survfit reads the limits off its curves as it reads the median; bpcp inverts its own limits.
    midpoint = conf_type != "bpcp"
    lower = _first_at_half(curve["time"], curve["ci_lower"], midpoint=midpoint)
    upper = _first_at_half(curve["time"], curve["ci_upper"], midpoint=midpoint)
    return (0.0 if np.isnan(lower) else lower), (float("inf") if np.isnan(upper) else upper)


def _attained_coverage(n, conf_level, conf_type):
    """Coverage of the interval's order statistics for the median of `n` uncensored continuous times."""
    ranks = np.arange(1.0, n + 1)
    curve = estimate_km(ranks, np.ones(n, dtype=bool), conf_level=conf_level, conf_type=conf_type)
    lower, upper = (np.floor(limit) for limit in _median_limits(curve, conf_type))
    # Between order statistics l and u lies the median when l to u - 1 subjects fail before it.
    return float(stats.binom.cdf(min(upper - 1, n), n, 0.5) - stats.binom.cdf(lower - 1, n, 0.5))
