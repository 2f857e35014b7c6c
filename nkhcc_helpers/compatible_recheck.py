"""Every claim computed again for every compatible cohort, by code that shares nothing with the sampler.

Curves and tests are written out as a textbook has them, or left to lifelines, which takes some hundred times
as long.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceWarning
from lifelines.statistics import multivariate_logrank_test
from scipy import stats

from nkhcc_helpers.metadata import DAYS_PER_UNIT

ROUNDING = 1e-7  # of a number computed, against the limits of a printed one
ONE_HALF = 1e-9  # around it, of a survival that is a product of fractions


def recheck_claims(cohorts, *, engine="textbook"):
    """Compute what each claim is about, in every cohort, and compare it with what was printed.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    engine : {"textbook", "lifelines"}, default "textbook"
        Who computes curves and log-rank tests; Cox models are always those of lifelines.

    Returns
    -------
    DataFrame
        One row per claim, in the order of ``cohorts.claimed.claims``: ``n_met`` of ``n_cohorts`` round to the
        printed number; ``smallest`` and ``largest`` of the numbers computed.

    Raises
    ------
    ValueError
        Unknown engine.

    Notes
    -----
    A median is read off its curve; where that is flat at one half, the reading nearer to the claim counts, of
    those that the assumptions allow.
    """
    if engine not in _ENGINES:
        raise ValueError(f"engine must be {' or '.join(map(repr, _ENGINES))}; got {engine!r}")
    rows = []
    for claim in cohorts.claimed.claims:
        half = 0.5 * 10.0**-claim.decimals
        found = np.array(
            [_compute(cohorts, at, claim, *_ENGINES[engine]) for at in range(len(cohorts))], float
        )
        met = np.abs(found - claim.value) <= half + ROUNDING * max(1.0, claim.value)
        rows.append((int(met.sum()), len(cohorts), found.min(), found.max()))
    return pd.DataFrame(rows, columns=["n_met", "n_cohorts", "smallest", "largest"])


def _compute(cohorts, cohort, claim, trace, compare):
    claimed = cohorts.claimed
    endpoint = getattr(claim, "endpoint", claimed.follow_up_endpoint)
    time, event = (part[cohort] for part in cohorts.of(endpoint))
    group = np.asarray(claimed.groups)[claimed.codes]
    if claim.kind == "longest_follow_up":
        return time.max() * DAYS_PER_UNIT[claimed.unit] / DAYS_PER_UNIT[claim.unit]
    if claim.kind == "logrank_p":
        return compare(time, event, claimed.codes)
    if claim.kind == "hazard_ratio":
        return _fit_ratio(time, event, group, claim)
    among = group == claim.group if claim.group is not None else np.ones(len(time), dtype=bool)
    times, survival = trace(time[among], event[among])
    if claim.kind == "landmark_rate":
        return 100 * survival[np.searchsorted(times, claim.at + 1e-9, side="right") - 1]
    readings = _read_medians(times, survival, claimed.assumptions.median_convention)
    return min(readings, key=lambda value: abs(value - claim.value))


def _trace(time, event):
    """Times, and survival from each of them on."""
    times = np.unique(time)
    n_events = np.array([np.sum(event & (time == each)) for each in times])
    n_at_risk = np.array([np.sum(time >= each) for each in times])
    return np.r_[0.0, times], np.r_[1.0, np.cumprod(1 - n_events / n_at_risk)]


def _trace_by_lifelines(time, event):
    curve = KaplanMeierFitter().fit(time, event).survival_function_.iloc[:, 0]
    return curve.index.to_numpy(), curve.to_numpy()


def _compare(time, event, codes):
    """Log-rank P-value of all groups, from observed less expected events and their covariance."""
    groups = np.unique(codes)
    difference, covariance = np.zeros(len(groups)), np.zeros((len(groups), len(groups)))
    for each in np.unique(time[event]):
        at_risk, here = time >= each, event & (time == each)
        n, d = at_risk.sum(), here.sum()
        share = np.array([np.sum(at_risk & (codes == group)) for group in groups]) / n
        difference += np.array([np.sum(here & (codes == group)) for group in groups]) - d * share
        covariance += d * (n - d) / max(n - 1, 1) * (np.diag(share) - np.outer(share, share))
    statistic = difference @ np.linalg.pinv(covariance, rcond=1e-10) @ difference
    return float(stats.chi2.sf(statistic, np.linalg.matrix_rank(covariance, tol=1e-10)))


def _compare_by_lifelines(time, event, codes):
    return multivariate_logrank_test(time, codes, event).p_value


_ENGINES = {"textbook": (_trace, _compare), "lifelines": (_trace_by_lifelines, _compare_by_lifelines)}


def _read_medians(times, survival, convention):
    """Times at which a curve comes down to one half, and the middle of a stretch where it is flat there."""
    if survival[-1] > 0.5 + ONE_HALF:
        return [np.inf]
    down = int(np.argmax(survival <= 0.5 + ONE_HALF))
    below = np.flatnonzero(survival < 0.5 - ONE_HALF)
    flat = survival[down] > 0.5 - ONE_HALF and len(below)
    midpoint = (times[down] + times[below[0]]) / 2 if flat else times[down]
    return {"midpoint": [midpoint], "first": [times[down]], "either": [midpoint, times[down]]}[convention]


def _fit_ratio(time, event, group, claim):
    kept = (
        np.isin(group, [claim.group, claim.reference]) if claim.reference else np.ones(len(time), dtype=bool)
    )
    frame = pd.DataFrame({"time": time, "event": event, "is_group": 1.0 * (group == claim.group)})[kept]
    with warnings.catch_warnings():
        # Under separation the ratio runs away, which no printed one does; lifelines says so each time.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(np.exp(CoxPHFitter().fit(frame, "time", "event").params_["is_group"]))
