"""Kaplan-Meier curves, medians, landmark rates, follow-up and at-risk counts.

lifelines builds the event table; what it does not offer, or answers otherwise than R, is computed here:
beta product limits, the midpoint median, NE past the last follow-up, and the conventional at-risk count.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd
from lifelines.utils import survival_table_from_events
from scipy import stats

from nkhcc_helpers.checks import check_choice, check_conf_level, check_survival

ConfType = Literal["bpcp", "log-log", "log", "plain"]
CONF_TYPES = get_args(ConfType)


def calculate_limits(n_at_risk, n_events, n_censored, *, conf_level, conf_type):
    """Calculate pointwise limits.

    Parameters
    ----------
    n_at_risk, n_events, n_censored : ndarray, shape (..., n_times)
        Counts at each distinct time, in order, one curve a row.
    conf_level : float
    conf_type : {"bpcp", "log-log", "log", "plain"}

    Returns
    -------
    lower, upper : ndarray, shape (..., n_times)
        Holding from each time up to the next.
    """
    n, d = np.asarray(n_at_risk, float), np.asarray(n_events, float)
    if conf_type == "bpcp":
        return calculate_bpcp_limits(n, d, np.asarray(n_censored, float), conf_level)
    return calculate_normal_limits(n, d, conf_level, conf_type)


def calculate_bpcp_limits(n, d, c, conf_level):
    """Limits by the beta product confidence procedure, method of moments.

    Parameters
    ----------
    n, d, c : ndarray of float, shape (..., n_times)
        At risk, events and censorings at each distinct time.
    conf_level : float

    Returns
    -------
    lower, upper : ndarray, shape (..., n_times)
        Clopper-Pearson limits where nobody is censored.

    References
    ----------
    Fay, Brittain, Proschan (2013) Biostatistics 14:723.
    """
    tail = (1 - conf_level) / 2
    # Each event time contributes an independent Beta(n - d + 1, d) to the survival after it.
    mean, square = _product_moments(np.where(d > 0, n - d + 1, 1.0), d)
    upper = _beta_quantile(1 - tail, mean, square, degenerate=1.0)
    # The lower limit also allows for an event just after, among those still at risk: Beta(n_after, 1).
    n_after = n - d - c
    lower = _beta_quantile(
        tail, mean * n_after / (n_after + 1), square * n_after / (n_after + 2), degenerate=0.0
    )
    return lower, upper


def _product_moments(a, b):
    mean = np.cumprod(a / (a + b), axis=-1)
    square = np.cumprod(a * (a + 1) / ((a + b) * (a + b + 1)), axis=-1)
    return mean, square


def _beta_quantile(probability, mean, square, *, degenerate):
    """Quantile of the beta distribution with this mean and mean square."""
    variance = square - mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (mean - square) / variance
        quantile = stats.beta.ppf(probability, mean * scale, (1 - mean) * scale)
    return np.where((variance > 0) & (mean > 0), quantile, degenerate)


def calculate_normal_limits(n, d, conf_level, conf_type):
    """Limits by Greenwood's variance and the normal distribution, as R's ``survfit``.

    Parameters
    ----------
    n, d : ndarray of float, shape (..., n_times)
        At risk and events at each distinct time.
    conf_level : float
    conf_type : {"log-log", "log", "plain"}
        The scale on which survival is taken to be normal.

    Returns
    -------
    lower, upper : ndarray, shape (..., n_times)
        NaN where survival is 0, 1 before the first event.

    References
    ----------
    Kalbfleisch, Prentice (2002) The Statistical Analysis of Failure Time Data.
    """
    survival = np.cumprod(1 - d / n, axis=-1)
    z = stats.norm.ppf((1 + conf_level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = z * np.sqrt(np.cumsum(d / (n * (n - d)), axis=-1))
        if conf_type == "plain":
            lower, upper = survival * (1 - half), survival * (1 + half)
        elif conf_type == "log":
            lower, upper = survival * np.exp(-half), survival * np.exp(half)
        else:
            spread = half / np.log(survival)
            lower, upper = survival ** np.exp(-spread), survival ** np.exp(spread)
    certain = half == 0
    lower, upper = np.where(certain, survival, lower), np.where(certain, survival, upper)
    reached_zero = survival <= 0
    return (
        np.where(reached_zero, np.nan, np.maximum(lower, 0)),
        np.where(reached_zero, np.nan, np.minimum(upper, 1)),
    )


# Survival estimates are products of fractions: 0.5 on paper may be 0.5 + 1e-16 in floating point.
TOLERANCE = 1e-9


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
