"""Whether cohorts meet published claims, computed by lifelines: nothing is shared with the sampler."""

from __future__ import annotations

import lifelines
import numpy as np
import pandas as pd
from lifelines.statistics import multivariate_logrank_test
from tqdm import tqdm

from nkhcc_helpers.claimed_trial import convert, describe_claim

ROUNDING = 1e-9  # relative, of a computed number against the limits of a printed one


def check_cohorts(cohorts, *, progress=False):
    """Compute every claimed number of every cohort anew.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    DataFrame
        Columns ``cohort claim value lowest highest meets``, one row for each cohort and claim: the number,
        the limits between which it prints as claimed, and whether it does. Medians are the nearest of those
        that the convention allows. Where PFS is never after OS, the number of patients in whom it is has a
        row of its own.
    """
    claimed = cohorts.claimed
    groups = pd.Categorical.from_codes(claimed.codes, list(claimed.groups), ordered=True)
    rows = []
    for cohort in tqdm(range(len(cohorts)), unit="cohort", disable=not progress):
        frames = {}
        for at, endpoint in enumerate(claimed.endpoints):
            times, events = cohorts.times[cohort, at], cohorts.events[cohort, at]
            frames[endpoint] = pd.DataFrame({"time": times, "event": events, "group": groups})
        rows += [(cohort, *_check(claim, claimed, frames)) for claim in claimed.claims]
        if claimed.ordered:
            first, second = (frames[code]["time"] for code in claimed.ordered)
            after = int((first > second * (1 + ROUNDING)).sum())
            rows.append((cohort, f"{claimed.ordered[0]} after {claimed.ordered[1]}", after, 0.0, 0.0))
    table = pd.DataFrame(rows, columns=["cohort", "claim", "value", "lowest", "highest"])
    slack = ROUNDING * np.maximum(table["highest"].abs(), 1e-6)
    inside = (table["value"] >= table["lowest"] - slack) & (table["value"] <= table["highest"] + slack)
    return table.assign(meets=inside)


def _check(claim, claimed, frames):
    half = 0.5 * 10.0**-claim.decimals
    value = _COMPUTE[claim.kind](claim, claimed, frames)
    return describe_claim(claim), value, claim.value - half, claim.value + half


def _find_median(claim, claimed, frames):
    frame = _take_group(claim, frames)
    convention = claimed.assumptions.median_convention
    curve = _estimate_curve(frame)
    reached = curve.index[curve <= 0.5 + ROUNDING]
    if not len(reached):
        return np.nan
    first, later = reached[0], curve.index[curve < 0.5 - ROUNDING]
    flat = abs(curve[first] - 0.5) <= ROUNDING and len(later)
    medians = {"first": first, "midpoint": (first + later[0]) / 2 if flat else first}
    convention = claimed.assumptions.median_convention
    allowed = medians.values() if convention == "either" else [medians[convention]]
    return float(min(allowed, key=lambda median: abs(median - claim.value)))


def _find_logrank_p(claim, claimed, frames):
    frame = frames[claim.endpoint]
    return multivariate_logrank_test(frame["time"], frame["group"].astype(str), frame["event"]).p_value


def _find_landmark_rate(claim, claimed, frames):
    frame = _take_group(claim, frames)
    if claim.at > frame["time"].max() and _estimate_curve(frame).iloc[-1] > ROUNDING:
        return np.nan
    return 100 * float(_estimate_curve(frame).asof(claim.at * (1 + ROUNDING)))


def _find_hazard_ratio(claim, claimed, frames):
    frame = frames[claim.endpoint]
    if claim.reference is not None:
        frame = frame[frame["group"].isin([claim.group, claim.reference])]
    x = (frame["group"] == claim.group).astype(float)
    model = lifelines.CoxPHFitter().fit(frame[["time", "event"]].assign(x=x), "time", "event")
    return float(np.exp(model.params_["x"]))


def _find_longest(claim, claimed, frames):
    return frames[claimed.follow_up_endpoint]["time"].max() * convert(claimed.unit, claim.unit)


def _estimate_curve(frame):
    model = lifelines.KaplanMeierFitter().fit(frame["time"], frame["event"])
    return model.survival_function_.iloc[:, 0]


def _take_group(claim, frames):
    frame = frames[claim.endpoint]
    return frame if claim.group is None else frame[frame["group"] == claim.group]


_COMPUTE = {
    "median": _find_median,
    "logrank_p": _find_logrank_p,
    "landmark_rate": _find_landmark_rate,
    "hazard_ratio": _find_hazard_ratio,
    "longest_follow_up": _find_longest,
}
