"""Confidence limits of Kaplan-Meier curves, many at once: time runs along the last axis."""

from __future__ import annotations

import numpy as np
from scipy import stats

CONF_TYPES = ("bpcp", "log-log", "log", "plain")


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
