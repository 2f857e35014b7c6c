"""Whether cohorts meet published claims, computed by code that shares nothing with the sampler.

Curves and log-rank tests are left to lifelines, or written out as a textbook has them, which takes some
thirtieth of the time.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceWarning
from lifelines.statistics import multivariate_logrank_test
from scipy import stats

from nkhcc_helpers.compatible.claims import describe_claim
from nkhcc_helpers.compatible.cohorts import CompatibleCohorts
from nkhcc_helpers.compatible.sampling import USUAL_EFFORT, draw_endpoints
from nkhcc_helpers.compatible.space import find_step
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.trial.claims import ROUNDING
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT


def check_cohorts(cohorts, *, engine="lifelines"):
    """Every claimed number of every cohort computed anew: ``cohort claim value lowest highest meets``.

    `lowest` and `highest` are the limits between which `value` prints as claimed. Where PFS is never after
    OS, the number of patients in whom it is has a row of its own, the last of the cohort. A median is
    infinite where its curve stays above one half; where it is flat there, the reading nearest to the claim
    counts, of those assumed. A rate after the last patient was seen is NaN, unless the curve is down to 0.
    """
    if engine not in _ENGINES:
        raise ValueError(f"engine must be {' or '.join(map(repr, _ENGINES))}; got {engine!r}")
    claimed, printed, values, meets = cohorts.claimed, [], [], []
    for claim in claimed.claims:
        printed.append((describe_claim(claim), *claim.limits))
        values.append(_compute(claim, claimed, *cohorts.of(claimed.endpoint_of(claim)), engine))
        meets.append(claim.covers(np.asarray(values[-1], dtype=float)))
    if claimed.ordered:
        (first, _), (second, _) = map(cohorts.of, claimed.ordered)
        printed.append((f"{claimed.ordered[0]} after {claimed.ordered[1]}", 0.0, 0.0))
        values.append((first > second * (1 + ROUNDING)).sum(axis=1))
        meets.append(values[-1] == 0)
    limits = pd.DataFrame(printed, columns=["claim", "lowest", "highest"])
    table = pd.DataFrame({"cohort": range(len(cohorts))}).merge(limits, how="cross")
    table.insert(2, "value", np.array(values, dtype=float).T.ravel())
    return table.assign(meets=np.array(meets).T.ravel())


def recheck_claims(cohorts, *, engine="textbook"):
    """Count the cohorts that meet each claim, every number computed anew.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    engine : {"textbook", "lifelines"}, default "textbook"
        Who computes curves and log-rank tests, or ValueError; Cox models are always those of lifelines.

    Returns
    -------
    DataFrame
        One row per claim, in the order of ``cohorts.claimed.claims``: ``n_met`` of ``n_cohorts`` round to the
        printed number; ``smallest`` and ``largest`` of the numbers computed, those that are NaN aside.
    """
    checked = check_cohorts(cohorts, engine=engine)
    # By place, since nothing forbids to claim the same twice; what comes after the claims is not one.
    by_claim = checked.groupby(checked.groupby("cohort").cumcount())
    counted = by_claim.agg(n_met=("meets", "sum"), n_cohorts=("meets", "size"))
    counted[["smallest", "largest"]] = by_claim["value"].agg(["min", "max"])
    return counted.head(len(cohorts.claimed.claims))


def _compute(claim, claimed, times, events, engine):
    """The number that a claim is about, in every cohort; of several readings, the nearest to the claim."""
    trace, compare = _ENGINES[engine]
    codes, everybody = claimed.codes, np.ones(times.shape[1], dtype=bool)
    if claim.kind == "longest_follow_up":
        return times.max(axis=1) * DAYS_PER_UNIT[claimed.unit] / DAYS_PER_UNIT[claim.unit]
    if claim.kind == "logrank_p":
        return [compare(*patients, codes) for patients in zip(times, events, strict=True)]
    among = everybody if claim.group is None else codes == claimed.groups.index(claim.group)
    if claim.kind == "hazard_ratio":
        others = everybody if claim.reference is None else codes == claimed.groups.index(claim.reference)
        compared = among | others
        pairs = zip(times[:, compared], events[:, compared], strict=True)
        return [_fit_ratio(*patients, among[compared]) for patients in pairs]
    curves = [trace(*patients) for patients in zip(times[:, among], events[:, among], strict=True)]
    if claim.kind == "landmark_rate":
        return [_read_rate(*curve, claim.at) for curve in curves]
    convention = claimed.assumptions.median_convention
    readings = [_read_medians(*curve, convention) for curve in curves]
    return [min(each, key=lambda median: abs(median - claim.value)) for each in readings]


def _read_medians(times, survival, convention):
    """Times at which a curve comes down to one half, and the middle of a stretch where it is flat there."""
    if survival[-1] > 0.5 + ROUNDING:
        return [np.inf]
    down = int(np.argmax(survival <= 0.5 + ROUNDING))
    below = np.flatnonzero(survival < 0.5 - ROUNDING)
    flat = survival[down] > 0.5 - ROUNDING and len(below)
    midpoint = (times[down] + times[below[0]]) / 2 if flat else times[down]
    return {"midpoint": [midpoint], "first": [times[down]], "either": [midpoint, times[down]]}[convention]


def _read_rate(times, survival, at):
    if at > times[-1] and survival[-1] > ROUNDING:
        return np.nan
    return 100 * survival[np.searchsorted(times, at * (1 + ROUNDING), side="right") - 1]


def _fit_ratio(time, event, is_group):
    frame = pd.DataFrame({"time": time, "event": event, "is_group": is_group.astype(float)})
    with warnings.catch_warnings():
        # Under separation the ratio runs away, which no printed one does; lifelines says so each time.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(np.exp(CoxPHFitter().fit(frame, "time", "event").params_["is_group"]))


def _trace(time, event):
    """Times, and survival from each of them on."""
    times = np.unique(time)
    n_events = (event & (time == times[:, None])).sum(axis=1)
    n_at_risk = (time >= times[:, None]).sum(axis=1)
    return np.r_[0.0, times], np.r_[1.0, np.cumprod(1 - n_events / n_at_risk)]


def _trace_by_lifelines(time, event):
    curve = KaplanMeierFitter().fit(time, event).survival_function_.iloc[:, 0]
    return curve.index.to_numpy(), curve.to_numpy()


def _compare(time, event, codes):
    """Log-rank P-value of all groups, from observed less expected events and their covariance."""
    members = codes == np.unique(codes)[:, None]
    difference, covariance = np.zeros(len(members)), np.zeros((len(members), len(members)))
    for each in np.unique(time[event]):
        at_risk, here = time >= each, event & (time == each)
        n, d = at_risk.sum(), here.sum()
        share = (members & at_risk).sum(axis=1) / n
        difference += (members & here).sum(axis=1) - d * share
        covariance += d * (n - d) / max(n - 1, 1) * (np.diag(share) - np.outer(share, share))
    statistic = difference @ np.linalg.pinv(covariance, rcond=1e-10) @ difference
    return float(stats.chi2.sf(statistic, np.linalg.matrix_rank(covariance, tol=1e-10)))


def _compare_by_lifelines(time, event, codes):
    return multivariate_logrank_test(time, codes, event).p_value


_ENGINES = {"textbook": (_trace, _compare), "lifelines": (_trace_by_lifelines, _compare_by_lifelines)}


@dataclass(frozen=True)
class Conflict:
    """Claims that no cohort was found to meet together.

    `claims` is the smallest set found: without any one of them the others can be met, unless time was up and
    `is_cut`; empty where all can.
    `nearest`, as of `check_cohorts`, is for the cohort found that comes nearest to all claims.
    """

    claims: tuple
    nearest: pd.DataFrame
    is_cut: bool = False

    def __str__(self):
        """The claims, and what the nearest cohort misses, in words."""
        if not self.claims:
            return "all claims can be met together"
        lines = ["no cohort was found that meets these claims together:"]
        lines += [f"  {describe_claim(claim)}" for claim in self.claims]
        lines += ["time was up before it was known whether all of them are needed"] if self.is_cut else []
        missed = self.nearest[~self.nearest["meets"]]
        nearest = "the nearest cohort to all claims has"
        lines += [f"{nearest} {row.value:.4g} for {row.claim}" for row in missed.itertuples()]
        return "\n".join(lines)


def find_conflict(claimed, *, seed=DEFAULT_SEED, effort=USUAL_EFFORT, found=None):
    """Find claims that conflict, and the cohort nearest to meeting all.

    Parameters
    ----------
    claimed : ClaimedTrial
    seed : int
    effort : Effort
    found : dict of str to DrawnEndpoint, optional
        What an `IncompatibleClaimsError` has found already; searched for when absent.

    Returns
    -------
    Conflict
        Where time was up before, with claims that need not all be in conflict.

    Notes
    -----
    If no cohort meets all claims, those about one endpoint are tried alone. From the first set that cannot be
    met, claims are taken away one at a time, for good where the others still cannot be met; what is left is
    irreducible. A search that finds no cohort proves nothing, however long: with few and narrow ways to meet
    the claims it may give up too early.
    """

    def search(part):
        rng = np.random.default_rng(seed)
        return draw_endpoints(part, effort.n_conflict_cohorts, "prior", rng, effort)

    found, meets = (found, False) if found else search(claimed)
    nearest = check_cohorts(_take_first(claimed, found, seed))
    if meets:
        return Conflict((), nearest)
    part = _find_part(claimed, found, search)
    kept = list(part.claims)
    for claim in part.claims:
        rest = [each for each in kept if each is not claim]
        # A search that was cut short tells nothing.
        if rest and not search(part.keep(rest))[1] and not effort.until.is_over:
            kept = rest
    return Conflict(tuple(kept), nearest, effort.until.is_over)


def _find_part(claimed, found, search):
    """The claims about one endpoint, where these cannot be met alone, else all."""
    for endpoint in claimed.endpoints:
        # Whether it can be met alone is known already, unless it was searched for with partners.
        had_partners = claimed.ordered and endpoint == claimed.ordered[0]
        alone = claimed.only(endpoint)
        if not found[endpoint].meets and not (had_partners and search(alone)[1]):
            return alone
    return claimed


def _take_first(claimed, found, seed):
    """The first of the cohorts found, as `CompatibleCohorts`."""
    first = [found[endpoint].take([0]) for endpoint in claimed.endpoints]
    times = np.stack([each.steps for each in first], axis=1) * find_step(claimed)
    events, origin = np.stack([each.events for each in first], axis=1), np.zeros((1, len(first)), dtype=int)
    return CompatibleCohorts(claimed, times, events, origin, origin[:, 0], origin > 0, seed)
