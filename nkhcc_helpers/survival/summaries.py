"""Medians, landmark rates, restricted means and follow-up, of one sample and of every group in one frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import (
    check_choice,
    check_conf_level,
    check_positions,
    check_survival,
    check_vector,
    keeps_options,
)
from nkhcc_helpers.survival.curves import (
    CONVENTIONS,
    TOLERANCE,
    Curves,
    check_limits,
    count_at_risk,
    estimate_km,
)


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval."""

    estimate: float  # NaN where the data do not reach it
    ci_lower: float  # 0 where there is no finite limit
    ci_upper: float  # inf where there is no finite limit
    coverage: float = float("nan")  # of the interval at this number of subjects when nobody is censored


@dataclass(frozen=True)
class RestrictedMean:
    """Mean time without the event up to a horizon, `tau`."""

    estimate: float  # NaN where the data do not reach that far
    standard_error: float
    ci_lower: float
    ci_upper: float
    tau: float


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
    check_limits(conf_level, conf_type)
    curve = Curves.of_sample(*check_survival(time, event))
    options = {"conf_level": conf_level, "conf_type": conf_type}
    median, limits = curve.find_medians(convention), curve.find_median_limits(**options)
    values = (float(each[0]) for each in (median, *limits))
    return Estimate(*values, _attained_coverage(curve.n_at_risk[0, 0], options))


def _attained_coverage(n, options):
    """Coverage of the interval's order statistics for the median of `n` uncensored continuous times."""
    curve = Curves.of_sample(np.arange(1.0, n + 1), np.ones(n, dtype=bool))
    lower, upper = (np.floor(limit[0]) for limit in curve.find_median_limits(**options))
    # Between order statistics l and u lies the median when l to u - 1 subjects fail before it.
    return float(stats.binom.cdf(min(upper - 1, n), n, 0.5) - stats.binom.cdf(lower - 1, n, 0.5))


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
    check_conf_level(conf_level)
    curve = Curves.of_sample(*check_survival(time, event))
    inside = curve.times[0] < tau
    area = curve.calculate_areas(tau)[0, inside]
    mean = error = float("nan")
    if tau <= curve.last[0] or curve.survival[0, -1] <= TOLERANCE:
        mean = float(area.sum())
        n, d = (each[0, inside].astype(float) for each in (curve.n_at_risk, curve.n_events))
        if d.any():
            error = _estimate_error_of_mean(area, n, d)
    half = stats.norm.ppf((1 + conf_level) / 2) * error
    lower, upper = (float(each) for each in (np.maximum(mean - half, 0), np.minimum(mean + half, tau)))
    return RestrictedMean(mean, error, lower, upper, float(tau))


def _estimate_error_of_mean(area, n, d):
    """Standard error of a restricted mean from areas, numbers at risk and events, each (n_places,)."""
    # Area still to come after each time: what an event at that time takes away.
    left = area[::-1].cumsum()[::-1]
    survives = (d > 0) & (n > d)
    return float(np.sqrt((left[survives] ** 2 * d[survives] / (n * (n - d))[survives]).sum()))


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


@keeps_options
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
    options = {"conf_level": conf_level, "conf_type": conf_type, "convention": convention}

    def summarize(part):
        time, event = check_survival(part["time"], part["event"])
        row = {"n": len(time), "n_events": int(event.sum())}
        median = asdict(estimate_median(time, event, **options))
        row |= {"median": median.pop("estimate"), **median}
        for name, value in (("minimum", time.min()), ("maximum", time.max())):
            row |= {name: value, f"{name}_censored": not event[time == value].any()}
        return pd.DataFrame([row])

    return _stack_with_all(frame, summarize)


@keeps_options
def summarize_survival_at(frame, *, at=(), unit="months", conf_level=0.95, conf_type="bpcp"):
    """Estimate survival at given times for each group and for everyone.

    Parameters
    ----------
    frame, at, conf_level, conf_type
        As in `summarize_survival` and `estimate_survival_at`.
    unit : {"days", "weeks", "months", "years"}, default "months"
        Unit of ``time``, for half a year, one year and two years where `at` is empty.

    Returns
    -------
    DataFrame
        The columns of `estimate_survival_at` behind a column ``group``: each group in order, then ``All``.
    """
    at = at if len(at) else choose_landmarks(unit)
    options = {"at": at, "conf_level": conf_level, "conf_type": conf_type}
    return _stack_with_all(frame, lambda part: estimate_survival_at(part["time"], part["event"], **options))


def choose_landmarks(unit):
    """Half a year, one year and two years in a unit: whole numbers but for years."""
    half_year = {"days": 182, "weeks": 26, "months": 6, "years": 0.5}[unit]
    return [half_year, 2 * half_year, 4 * half_year]


@keeps_options
def summarize_rmst(frame, *, tau, conf_level=0.95):
    """Estimate the restricted mean survival time for each group and for everyone.

    Parameters
    ----------
    frame, tau, conf_level
        As in `summarize_survival` and `estimate_rmst`.

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
