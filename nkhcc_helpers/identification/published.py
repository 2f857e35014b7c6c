"""What a paper reported, beside what a trial's data give."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_entry, keeps_options
from nkhcc_helpers.compatible.claims import list_left_out
from nkhcc_helpers.cox.models import fit_cox_many
from nkhcc_helpers.survival.calibration import recalibrate_p
from nkhcc_helpers.survival.curves import Curves, estimate_survival_at
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, compare_survival
from nkhcc_helpers.survival.summaries import pick_times
from nkhcc_helpers.trial.claims import (
    Censored,
    CohortAssumptions,
    GroupSize,
    LogrankP,
    LongestFollowUp,
    Median,
    Published,
)
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT

COLUMNS = ["claim", "published", "reproduced", "agrees"]
NOT_ESTIMABLE = "NE"


@keeps_options
def compare_published(trial, *, convention="midpoint"):
    """Compare a trial with the claims of its `published.yaml`.

    Parameters
    ----------
    trial : Trial
    convention : {"midpoint", "first"}, default "midpoint"
        How a median is read off a curve that is flat at 0.5; see `survival.estimate_median`. Where no event
        ends the flat stretch, the first time, as programs print it.

    Returns
    -------
    DataFrame
        Columns ``claim published reproduced agrees``: both numbers as text with the decimals the paper
        printed, ``NE`` where the data give none; ``agrees`` is boolean. A number in the middle between two
        printed ones agrees with either. No rows when nothing was published.
    """
    if trial.published is None:
        return pd.DataFrame(columns=COLUMNS)
    rows = [_reproduce(trial, claim, convention) for claim in trial.published.claims]
    table = pd.DataFrame(rows, columns=COLUMNS[:3])
    return table.assign(agrees=table["published"] == table["reproduced"])


@keeps_options
def recalibrate_published(trial, *, n_draws=1_000_000, seed=DEFAULT_SEED):
    """Translate every published log-rank P into a permutation P for the trial's group sizes.

    Parameters
    ----------
    trial : Trial
    n_draws, seed : int
        As in `calibration.recalibrate_p`.

    Returns
    -------
    DataFrame
        Columns ``endpoint p_published p_value error``; no rows when no log-rank P was published.
    """
    claims = [] if trial.published is None else trial.published.claims
    sizes = trial.subjects["group"].value_counts(sort=False).tolist()
    rows = []
    for claim in claims:
        if claim.kind == "logrank_p" and 0 < claim.value < 1:
            worth = recalibrate_p(claim.value, sizes, n_draws=n_draws, seed=seed)
            rows.append((claim.endpoint, claim.value, worth.p_value, worth.error))
    return pd.DataFrame(rows, columns=["endpoint", "p_published", "p_value", "error"])


def publish_claims(trial, *, endpoints=None, decimals=1, p_decimals=4):
    """Publish a trial as an abstract would.

    Parameters
    ----------
    trial : Trial
    endpoints : sequence of str, optional
        Codes of those to publish; by default all but those of `compatible.list_left_out`.
    decimals : int, default 1
        Of medians and of the longest follow-up.
    p_decimals : int, default 4
        Of log-rank P-values.

    Returns
    -------
    Published
        Group sizes, medians of everyone and by group (midpoint convention), the log-rank P of each endpoint,
        and the longest follow-up where it is that of overall survival (of the last endpoint without one), as
        far as the data give them. Assumptions: times in days, log-uniform up to the longest follow-up; from
        nobody to twice as many as in the trial and two more are censored.
    """
    left_out = list_left_out(trial.metadata)
    wanted = [each for each in trial.endpoint_labels if each not in left_out]
    if endpoints is not None:
        wanted = [each for each in wanted if each in endpoints]
    frames = {endpoint: trial.survival(endpoint).assign(time_enter=0.0) for endpoint in wanted}
    counted = next(iter(frames.values()), trial.subjects)["group"].value_counts()
    claims = [GroupSize(kind="group_size", group=each, value=int(counted[each])) for each in trial.groups]
    for endpoint, frame in frames.items():
        claims += _publish_endpoint(endpoint, frame, trial.groups, decimals, p_decimals)
    survival = trial.endpoint_with_role("overall_survival")
    followed = survival if survival in frames else next(reversed(frames), None)
    longest = max((float(frame["time"].max()) for frame in frames.values()), default=0.0)
    if followed is not None and frames[followed]["time"].max() == longest:
        made = {"value": _round(longest, decimals), "decimals": decimals, "unit": trial.unit}
        claims.append(LongestFollowUp(kind="longest_follow_up", **made))
    day = 1 / DAYS_PER_UNIT[trial.unit]
    assumptions = CohortAssumptions(
        shortest=day,
        longest=max(_round(longest, decimals) + 0.5 * 10.0**-decimals, 2 * day),
        pfs_before_os=True,
        censored=[_assume_censored(endpoint, frame) for endpoint, frame in frames.items()],
    )
    return Published(
        citation=f"own numbers of {trial.metadata.study_id}, rounded", claims=claims, assumptions=assumptions
    )


def _publish_endpoint(endpoint, frame, groups, decimals, p_decimals):
    claims = []
    for group in (None, *groups):
        if group is not None and len(groups) == 1:
            break  # everyone, of whom that is said already
        own = frame if group is None else frame[frame["group"] == group]
        median = _read_median(own) if len(own) else np.nan
        if np.isfinite(median):
            made = {"endpoint": endpoint, "group": group, "value": _round(median, decimals)}
            claims.append(Median(kind="median", decimals=decimals, **made))
    if len(frame["group"].unique()) > 1:
        compared = compare_survival(**pick_times(frame), group=frame["group"], n_draws=0, exact=False)
        if np.isfinite(compared.p_asymptotic):
            made = {"endpoint": endpoint, "value": _round(compared.p_asymptotic, p_decimals)}
            claims.append(LogrankP(kind="logrank_p", decimals=p_decimals, **made))
    return claims


def _assume_censored(endpoint, frame):
    n_censored = int((~frame["event"]).sum())
    return Censored(endpoint=endpoint, most=min(len(frame), 2 * n_censored + 2))


def _round(value, decimals):
    # As `_print_number` does, so that the claim is reproduced.
    return float(f"{value:.{decimals}f}")


def _reproduce(trial, claim, convention):
    """What a claim is about, what was printed, and what the data give, as it would be printed."""
    if claim.kind in _NUMBERS:
        name, number = _NUMBERS[claim.kind](trial, claim, convention)
        shown = claim.value if claim.covers(number) else number
        return name, *(_print_number(each, claim) for each in (claim.value, shown))
    return _OTHERS[claim.kind](trial, claim)


def _group_size(trial, claim):
    n = int((trial.subjects["group"] == claim.group).sum())
    return f"Patients in {trial.group_labels[claim.group]}", str(claim.value), str(n)


def _total_size(trial, claim):
    return "Patients enrolled", str(claim.value), str(len(trial.subjects))


def _enrolment(trial, claim):
    dates = trial.subjects["enrolled"]
    which, date = ("First", dates.min()) if claim.kind == "first_enrolment" else ("Last", dates.max())
    reproduced = NOT_ESTIMABLE if pd.isna(date) else date.date().isoformat()
    return f"{which} enrolment", claim.value.isoformat(), reproduced


def _median(trial, claim, convention):
    frame, of = _take_group(trial, claim)
    return f"Median {claim.endpoint}, {of} ({trial.unit})", _read_median(frame, convention)


def _read_median(frame, convention="midpoint"):
    """The median as a program prints it: the first time where no event ends a curve flat at one half."""
    curve = Curves.of_sample(*check_entry(**pick_times(frame)))
    return float(curve.find_medians("printed" if convention == "midpoint" else convention)[0])


def _logrank_p(trial, claim, _):
    frame = trial.survival(claim.endpoint)
    usual = compare_survival(**pick_times(frame), group=frame["group"], n_draws=0, exact=False)
    return f"Log-rank P across groups, {claim.endpoint}", usual.p_asymptotic


def _hazard_ratio(trial, claim, _):
    frame = trial.survival(claim.endpoint)
    against = "all others"
    if claim.reference is not None:
        frame = frame[frame["group"].isin([claim.group, claim.reference])]
        against = trial.group_labels[claim.reference]
    treated = (frame["group"] == claim.group).to_numpy(float)[:, None]
    fits = fit_cox_many(frame["time"], frame["event"], treated, method="partial", ties="efron")
    name = f"Hazard ratio {claim.endpoint}, {trial.group_labels[claim.group]} against {against}"
    return name, float(np.exp(fits.coef)[0, 0])


def _landmark_rate(trial, claim, _):
    frame, of = _take_group(trial, claim)
    rate = estimate_survival_at(**pick_times(frame), at=[claim.at], conf_type="log-log")
    return f"{claim.endpoint} at {claim.at:g} {trial.unit}, {of} (%)", 100 * rate["survival"].iloc[0]


def _longest_follow_up(trial, claim, _):
    longest = trial.times["time"].max() * DAYS_PER_UNIT[trial.unit] / DAYS_PER_UNIT[claim.unit]
    return f"Longest follow-up ({claim.unit})", longest


def _most_common_related_event(trial, claim):
    events = trial.adverse_events
    related = events[events["related"].fillna(False).astype(bool) & events["grade"].notna()]
    patients = related.groupby(["term", "grade"], observed=True)["USUBJID"].nunique()
    commonest = patients.index[patients == patients.max()] if len(patients) else []
    reproduced = " and ".join(f"Grade {grade} {term}" for term, grade in commonest) or NOT_ESTIMABLE
    return "Most common treatment-related event", f"Grade {claim.grade} {claim.value}", reproduced


def _typical_resolution(trial, claim):
    events = trial.adverse_events
    days = (events["resolved"] - events["onset"]).dt.days[events["term"] == claim.term]
    # Typically: in more than half of the events; one that never resolved counts as slower.
    typical = (days <= claim.value).mean() > 0.5
    within = f"within {claim.value:g} day{'s' if claim.value != 1 else ''}"
    reproduced = NOT_ESTIMABLE if days.empty else within if typical else f"not {within}"
    return f"{claim.term} typically resolved", within, reproduced


_NUMBERS = {
    "median": _median,
    "logrank_p": _logrank_p,
    "hazard_ratio": _hazard_ratio,
    "landmark_rate": _landmark_rate,
    "longest_follow_up": _longest_follow_up,
}
_OTHERS = {
    "group_size": _group_size,
    "total_size": _total_size,
    "first_enrolment": _enrolment,
    "last_enrolment": _enrolment,
    "most_common_related_event": _most_common_related_event,
    "typical_resolution": _typical_resolution,
}


def _take_group(trial, claim):
    """What a claim is about: the patients of a group or everyone, and their name."""
    frame = trial.survival(claim.endpoint)
    if claim.group is None:
        return frame, "all patients"
    return frame[frame["group"] == claim.group], trial.group_labels[claim.group]


def _print_number(value, claim):
    return NOT_ESTIMABLE if pd.isna(value) else f"{value:.{claim.decimals}f}"
