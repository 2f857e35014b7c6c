"""Many cohorts laid out for Kaplan-Meier estimates: restricted means and follow-up of all at once."""

from __future__ import annotations

import numpy as np

from nkhcc_helpers.cohort_order import NOBODY, SAME_TIME, OrderedCohorts


def order_cohorts(times, events, codes):
    """Put cohorts in order of time, events before censored at tied times.

    Parameters
    ----------
    times : ndarray of float, shape (n_cohorts, n_patients)
        In any unit; the same number means the same time.
    events : ndarray of bool, shape (n_cohorts, n_patients)
    codes : ndarray of int, shape (n_patients,)
        Group of each patient, counted from 0.

    Returns
    -------
    OrderedCohorts
        Its ``steps`` are the times.
    """
    order = np.lexsort((~events, times), axis=1)
    in_order = (np.take_along_axis(each, order, axis=1) for each in (times, events))
    return OrderedCohorts(*in_order, codes[order], int(codes.max()) + 1)


def estimate_restricted_means(ordered, tau):
    """Mean times without the event up to a horizon, as `survival.estimate_rmst`.

    Parameters
    ----------
    ordered : OrderedCohorts
        As of `order_cohorts`.
    tau : float
        Horizon, above 0, in the unit of the times.

    Returns
    -------
    ndarray of float, shape (n_cohorts, n_groups + 1)
        Of each group and of everyone; NaN where the last follow-up is before `tau` and the curve has not
        reached 0.

    Raises
    ------
    ValueError
        `tau` is not above 0.

    References
    ----------
    Irwin (1949) J Hyg; Royston, Parmar (2013) BMC Med Res Methodol.
    """
    if not (np.isfinite(tau) and tau > 0):
        raise ValueError(f"tau must be a number above 0; got {tau!r}")
    edges = np.pad(np.minimum(ordered.steps, tau), ((0, 0), (1, 1)), constant_values=((0, 0), (0, tau)))
    curve = np.concatenate([np.ones_like(ordered.survival[:, :1]), ordered.survival], axis=1)
    area = np.einsum("cp,cpg->cg", np.diff(edges, axis=1), curve)
    is_known = (ordered.find_last() >= tau - SAME_TIME) | (ordered.survival[:, -1] < NOBODY)
    return np.where(is_known, area, np.nan)


def estimate_follow_ups(times, events):
    """Median follow-up of everyone by reverse Kaplan-Meier, as `survival.estimate_follow_up`.

    Parameters
    ----------
    times : ndarray of float, shape (n_cohorts, n_patients)
    events : ndarray of bool, shape (n_cohorts, n_patients)

    Returns
    -------
    ndarray of float, shape (n_cohorts,)
        NaN where fewer than half would have been followed to a known end.

    References
    ----------
    Schemper, Smith (1996) Control Clin Trials.
    """
    reverse = order_cohorts(times, ~events, np.zeros(times.shape[1], dtype=int))
    return reverse.medians["midpoint"][:, -1]
