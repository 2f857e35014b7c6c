"""Medians, landmark rates, restricted means and follow-up, of one sample and of every group in one frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import (
    Result,
    check_choice,
    check_conf_level,
    check_entry,
    keeps_options,
    match_times,
)
from nkhcc_helpers.survival.curves import (
    CONVENTIONS,
    TOLERANCE,
    Curves,
    check_limits,
    count_at_risk,
    estimate_km,
    estimate_survival_at,
)

FOLLOWED = 0.5  # share of the groups' median last time by which a group must still be followed


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval."""

    estimate: float  # NaN where the data do not reach it
    ci_lower: float  # 0 where there is no finite limit
    ci_upper: float  # inf where there is no finite limit
    coverage: float = float("nan")  # of the interval at this number of subjects when nobody is censored
    open_ended: bool = False  # of a median: the curve is flat at one half up to its end, no event ends it


@dataclass(frozen=True)
class RestrictedMean:
    """Mean time without the event up to a horizon, `tau`."""

    estimate: float  # NaN where the data do not reach that far
    standard_error: float
    ci_lower: float
    ci_upper: float
    tau: float


def estimate_median(
    time, event, *, time_enter=None, conf_level=0.95, conf_type="bpcp", convention="midpoint"
):
    """Estimate the median time to event.

    Brookmeyer, Crowley (1982) Biometrics; Fay, Brittain, Proschan (2013) Biostatistics.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival` for what is a ValueError.
    time_enter, conf_level, conf_type
        As in `estimate_km`, with the same errors; the interval holds the times at which the limits of the
        curve do not exclude 0.5.
    convention : {"midpoint", "first"}, default "midpoint"
        Where the curve is flat at 0.5: the middle of the flat stretch, or the first time at which the curve
        is at or below 0.5. Where no event ends the stretch, it ends at the last time, as for R's ``quantile``
        of a ``survfit``, and the result is `open_ended`; R prints the first time, SAS none.

    Returns
    -------
    Estimate
        In the unit of `time`; the estimate is NaN where the curve stays above 0.5, limits are 0 or inf
        where no finite limit exists. The coverage is NaN where subjects enter late.
    """
    check_choice(convention, "convention", CONVENTIONS)
    time, event, enter = check_entry(time, event, time_enter)
    check_limits(conf_level, conf_type, enter)
    curve = Curves.of_sample(time, event, enter)
    options = {"conf_level": conf_level, "conf_type": conf_type}
    median, limits = curve.find_medians(convention), curve.find_median_limits(**options)
    values = (float(each[0]) for each in (median, *limits))
    coverage = float("nan") if enter.any() else _attained_coverage(len(time), options)
    return Estimate(*values, coverage, bool(curve.is_open_ended[0]))


def _attained_coverage(n, options):
    """Coverage of the interval's order statistics for the median of `n` uncensored continuous times."""
    curve = Curves.of_sample(np.arange(1.0, n + 1), np.ones(n, dtype=bool))
    lower, upper = (np.floor(limit[0]) for limit in curve.find_median_limits(**options))
    # Between order statistics l and u lies the median when l to u - 1 subjects fail before it.
    return float(stats.binom.cdf(min(upper - 1, n), n, 0.5) - stats.binom.cdf(lower - 1, n, 0.5))


def estimate_rmst(time, event, *, tau, time_enter=None, conf_level=0.95):
    """Estimate the restricted mean survival time: the mean time without the event, up to a horizon.

    Irwin (1949) J Hyg; Royston, Parmar (2013) BMC Med Res Methodol.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival` for what is a ValueError.
    tau : float
        Horizon, above 0 or ValueError, in the unit of `time`.
    time_enter : array_like, shape (n_subjects,), optional
        As in `estimate_km`.
    conf_level : float, default 0.95

    Returns
    -------
    RestrictedMean
        Area under the Kaplan-Meier curve from 0 to `tau`, standard error as R's ``survfit``, normal limits
        kept within 0 and `tau`. NaN where `tau` lies past the last follow-up and the curve has not reached 0;
        the standard error and limits are NaN where nobody has had the event by `tau`.
    """
    check_conf_level(conf_level)
    curve = Curves.of_sample(*check_entry(time, event, time_enter))
    tau = float(match_times(tau, curve.times))
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
    return RestrictedMean(mean, error, lower, upper, tau)


def _estimate_error_of_mean(area, n, d):
    """Standard error of a restricted mean from areas, numbers at risk and events, each (n_places,)."""
    # Area still to come after each time: what an event at that time takes away.
    left = area[::-1].cumsum()[::-1]
    survives = (d > 0) & (n > d)
    return float(np.sqrt((left[survives] ** 2 * d[survives] / (n * (n - d))[survives]).sum()))


def estimate_follow_up(time, event, *, time_enter=None, conf_level=0.95, conf_type="bpcp"):
    """Estimate the median follow-up by reverse Kaplan-Meier.

    Schemper, Smith (1996) Control Clin Trials.

    Parameters
    ----------
    time, event, time_enter, conf_level, conf_type
        As in `estimate_median`; here the end of follow-up is the event and the event censors it.

    Returns
    -------
    Estimate
        In the unit of `time`; NaN where fewer than half would have been followed to a known end.
    """
    time, event, enter = check_entry(time, event, time_enter)
    return estimate_median(time, ~event, time_enter=enter, conf_level=conf_level, conf_type=conf_type)


def estimate_km_by_group(frame, **options):
    """Estimate one Kaplan-Meier curve for each group.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event group``, and ``time_enter`` where subjects come under observation late; groups in
        the order of the categories.
    **options
        Passed to `estimate_km`; "log-log" takes the place of "bpcp" where subjects enter late.

    Returns
    -------
    DataFrame
        The columns of `estimate_km` behind a column ``group``.
    """
    options["conf_type"] = settle_limits(frame, options.get("conf_type", "bpcp"))
    return stack_by_group(frame, lambda part: estimate_km(**pick_times(part), **options))


def count_at_risk_table(frame, *, at):
    """Count, at each time and in each group, who is at risk and what has happened so far.

    Parameters
    ----------
    frame : DataFrame
        As in `estimate_km_by_group`.
    at : sequence of float

    Returns
    -------
    DataFrame
        Columns ``group time n_at_risk n_events n_censored``: at risk counts ``time >= at``; events and
        censorings are those before `at`, so that the three, and who is still to enter, add up to the size of
        the group.
    """
    at = np.asarray(at, dtype=float)

    def count(part):
        time, event, enter = check_entry(**pick_times(part))
        before = time[:, None] < match_times(at, time)
        return pd.DataFrame(
            {
                "time": at,
                "n_at_risk": count_at_risk(time, at=at, time_enter=enter),
                "n_events": (before & event[:, None]).sum(axis=0),
                "n_censored": (before & ~event[:, None]).sum(axis=0),
            }
        )

    return stack_by_group(frame, count, with_empty=True)


@keeps_options
def summarize_survival(frame, *, conf_level=0.95, conf_type="bpcp", convention="midpoint"):
    """Summarize a time-to-event endpoint for each group and for everyone.

    Parameters
    ----------
    frame : DataFrame
        As in `estimate_km_by_group`.
    conf_level, conf_type, convention
        As in `estimate_median`; "log-log" takes the place of "bpcp" where subjects enter late, and is
        what the options of the result then say.

    Returns
    -------
    DataFrame
        Columns ``group n n_events median ci_lower ci_upper coverage open_ended minimum minimum_censored
        maximum maximum_censored``; a row for each group in order, then ``All``. A minimum or maximum is
        censored where no event was seen at that time. Of a category without rows all is 0 or NaN, here and in
        the other summaries.
    """
    conf_type = settle_limits(frame, conf_type)
    options = {"conf_level": conf_level, "conf_type": conf_type, "convention": convention}

    def summarize(part):
        time, event, enter = check_entry(**pick_times(part))
        row = {"n": len(time), "n_events": int(event.sum())}
        median = asdict(estimate_median(time, event, time_enter=enter, **options))
        row |= {"median": median.pop("estimate"), **median}
        for name, value in (("minimum", time.min()), ("maximum", time.max())):
            row |= {name: value, f"{name}_censored": not event[time == value].any()}
        return pd.DataFrame([row])

    return Result.of(stack_with_all(frame, summarize), conf_type=conf_type)


def summarize_medians(frame):
    """The median of each group as programs and conventions have it.

    Parameters
    ----------
    frame : DataFrame
        As in `estimate_km_by_group`.

    Returns
    -------
    DataFrame
        Columns ``group r_quantile r_print sas first open_ended``. Where a curve is flat at one half, R's
        ``quantile`` of a ``survfit``, its print and SAS take the middle of the stretch. Where no event ends
        the stretch (`open_ended`), the first takes the middle up to the last time, the second the first time,
        and SAS has none. ``first`` is the first time at or below one half.
    """

    def call(part):
        curve = Curves.of_sample(*check_entry(**pick_times(part)))
        middle, printed, first = (curve.find_medians(each) for each in ("midpoint", "printed", "first"))
        is_open = curve.is_open_ended
        row = {"r_quantile": middle, "r_print": printed, "sas": np.where(is_open, np.nan, printed)}
        return pd.DataFrame({**row, "first": first, "open_ended": is_open})

    return stack_by_group(frame, call)


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
    options = {"at": at, "conf_level": conf_level, "conf_type": settle_limits(frame, conf_type)}
    table = stack_with_all(frame, lambda part: estimate_survival_at(**pick_times(part), **options))
    return Result.of(table, conf_type=options["conf_type"])


def choose_landmarks(unit):
    """Half a year, one year and two years in a unit: whole numbers but for years."""
    half_year = {"days": 182, "weeks": 26, "months": 6, "years": 0.5}[unit]
    return [half_year, 2 * half_year, 4 * half_year]


@keeps_options
def summarize_rmst(frame, *, tau=None, conf_level=0.95):
    """Estimate the restricted mean survival time for each group and for everyone.

    Parameters
    ----------
    frame, conf_level
        As in `summarize_survival` and `estimate_rmst`.
    tau : float, optional
        As in `estimate_rmst`; when absent, the latest time that all groups reach. Those whose curve ends at 0
        do not limit it, nor does one that is followed for less than half as long as the median group.

    Returns
    -------
    DataFrame
        Columns ``group n estimate standard_error ci_lower ci_upper tau last``: each group in order, then
        ``All``; `last` is the last time of the group. Where it lies before `tau` and the curve has not
        reached 0, the estimate is NaN: the group's patients left too early.
    """
    tau = choose_horizon(frame) if tau is None else tau

    def estimate(part):
        mean = estimate_rmst(**pick_times(part), tau=tau, conf_level=conf_level)
        return pd.DataFrame([{"n": len(part), **asdict(mean), "last": part["time"].max()}])

    return stack_with_all(frame, estimate)


def choose_horizon(frame):
    """The earliest last time of groups whose curve has not reached 0; the latest of all where none is left.

    A group not followed for `FOLLOWED` of the median of the groups' last times, and not at 0, does not count:
    better that its mean is not estimable than that it throws away the follow-up of the others.
    """
    last, ended = [], []
    for _, part in frame.groupby("group", observed=True):
        curve = Curves.of_sample(*check_entry(**pick_times(part)))
        last.append(curve.last[0])
        ended.append(curve.survival[0, -1] <= TOLERANCE)
    last, ended = np.array(last), np.array(ended)
    counted = ended | (last >= FOLLOWED * np.median(last))
    limiting = counted & ~ended
    horizon = float(last[limiting].min() if limiting.any() else last[counted].max())
    return horizon or 1.0  # some horizon, where nobody is followed beyond time 0


def pick_times(part):
    """The columns of a frame that a function of one sample takes."""
    return {name: part[name] for name in ("time", "event", "time_enter") if name in part}


def settle_limits(frame, conf_type):
    """The type of limits asked for, or "log-log" for "bpcp" where subjects come under observation late."""
    is_late = "time_enter" in frame and frame["time_enter"].any()
    return "log-log" if is_late and conf_type == "bpcp" else conf_type


def stack_with_all(frame, compute):
    """As `stack_by_group`, then of everyone, group "All"."""
    everyone = compute(frame).assign(group="All")
    parts = stack_by_group(frame, compute, with_empty=True)
    return pd.concat([parts, everyone], ignore_index=True)


def stack_by_group(frame, compute, *, with_empty=False):
    """The frames that `compute` makes of the rows of each group, behind a column ``group``."""
    groups = frame.groupby("group", observed=not with_empty, sort=True)
    parts = [
        (compute(part) if len(part) else _empty(compute(frame))).assign(group=str(group))
        for group, part in groups
    ]
    stacked = pd.concat(parts, ignore_index=True)
    return stacked[["group", *stacked.columns.drop("group")]]


def _empty(rows):
    """What stands for these rows in a group without patients: counts of 0, and no estimates."""
    kinds = {name: rows[name].dtype for name in rows.columns.drop(["time", "tau"], errors="ignore")}
    blank = {name: kind.type(0) if kind.kind in "iub" else np.nan for name, kind in kinds.items()}
    return rows.assign(**blank)
