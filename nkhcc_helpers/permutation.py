"""The log-rank comparison of survival across groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.survival import check_survival


@dataclass(frozen=True)
class Comparison:
    """A comparison of survival across groups.

    Attributes
    ----------
    statistic : float
        Log-rank chi-square with the hypergeometric variance.
    df : int
        Degrees of freedom: the rank of that variance, at most the number of groups less one.
    p_asymptotic : float
        P-value from the chi-square distribution, which holds for large groups only; NaN where the
        statistic is not estimable.
    observed, expected : Series, index group
        Events seen, and events expected if one survival curve held for all.
    """

    statistic: float
    df: int
    p_asymptotic: float
    observed: pd.Series
    expected: pd.Series

    @property
    def by_group(self):
        """DataFrame with columns ``group observed expected``."""
        counts = {"observed": self.observed, "expected": self.expected}
        return pd.DataFrame(counts).rename_axis("group").reset_index().astype({"group": str})


def compare_survival(time, event, group):
    """Compare survival across groups by the log-rank test.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `survival.check_survival`.
    group : array_like or categorical Series, shape (n_subjects,)
        Group of each subject; groups without subjects are left out.

    Returns
    -------
    Comparison
        With statistic and p-value NaN where nothing can be compared (no event, or nobody of another
        group at risk at any event).

    Raises
    ------
    ValueError
        Bad times or events, lengths that differ, a missing group, or fewer than two groups.

    References
    ----------
    Mantel (1966) Cancer Chemother Rep; Peto, Peto (1972) J R Stat Soc A.
    """
    time, event = check_survival(time, event)
    groups, membership = _check_groups(group, len(time))
    observed, expected, variance = calculate_logrank(time[None], event[None], membership)
    statistic, df = standardize_logrank(observed - expected, variance)
    p_value = stats.chi2.sf(statistic[0], df[0]) if df[0] else np.nan
    return Comparison(
        statistic=float(statistic[0]) if df[0] else float("nan"),
        df=int(df[0]),
        p_asymptotic=float(p_value),
        observed=pd.Series(observed[0], groups, name="observed").astype(int),
        expected=pd.Series(expected[0], groups, name="expected"),
    )


def calculate_logrank(times, events, membership):
    """Calculate observed and expected events and their variance for many cohorts at once.

    Parameters
    ----------
    times, events : ndarray, shape (n_cohorts, n_subjects)
        Times and boolean event indicators of each cohort.
    membership : ndarray of float, shape (n_subjects, n_groups)
        1 in the column of a subject's group, else 0; the same in every cohort.

    Returns
    -------
    observed, expected : ndarray, shape (n_cohorts, n_groups)
    variance : ndarray, shape (n_cohorts, n_groups, n_groups)
        Hypergeometric covariance of observed less expected.
    """
    at_risk = (times[:, None, :] >= times[:, :, None]).astype(float)
    n_at_risk = at_risk.sum(axis=2)
    n_tied = ((times[:, None, :] == times[:, :, None]) & events[:, None, :]).sum(axis=2)
    share = (at_risk @ membership) / n_at_risk[..., None]
    # Summed over subjects with an event, each of d tied events carries 1/d of its time's contribution.
    weight = events * (n_at_risk - n_tied) / np.maximum(n_at_risk - 1, 1)
    observed = events.astype(float) @ membership
    expected = np.einsum("ci,cig->cg", events.astype(float), share)
    variance = -np.einsum("ci,cig,cih->cgh", weight, share, share, optimize=True)
    groups = np.arange(membership.shape[1])
    variance[:, groups, groups] += np.einsum("ci,cig->cg", weight, share)
    return observed, expected, variance


def standardize_logrank(difference, variance):
    """Turn observed less expected events into chi-square statistics.

    Parameters
    ----------
    difference : ndarray, shape (n_cohorts, n_groups)
    variance : ndarray, shape (n_cohorts, n_groups, n_groups)

    Returns
    -------
    statistic : ndarray, shape (n_cohorts,)
    df : ndarray of int, shape (n_cohorts,)
        Rank of the variance; 0 where nothing can be compared.
    """
    inverse = np.linalg.pinv(variance, rcond=1e-10, hermitian=True)
    statistic = np.einsum("cg,cgh,ch->c", difference, inverse, difference)
    return statistic, np.linalg.matrix_rank(variance, tol=1e-10, hermitian=True)


def _check_groups(group, n):
    group = pd.Series(group).reset_index(drop=True)
    if len(group) != n:
        raise ValueError(f"group has {len(group)} values and time has {n}; they must match one to one")
    missing = np.flatnonzero(group.isna())
    if len(missing):
        raise ValueError(f"group is missing at position {missing[0]}")
    if not isinstance(group.dtype, pd.CategoricalDtype):
        group = group.astype("category")
    group = group.cat.remove_unused_categories()
    groups = list(group.cat.categories)
    if len(groups) < 2:
        raise ValueError(f"group holds only {groups[0]!r}; a comparison needs at least two groups")
    return groups, np.eye(len(groups))[group.cat.codes]
