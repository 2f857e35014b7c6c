"""Kaplan-Meier curves: many at once, one a row, with their limits; and the curve of one sample as frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import (
    check_choice,
    check_conf_level,
    check_entry,
    check_positions,
    check_vector,
    has_entered,
    keeps_options,
    match_times,
    merge_times,
)

ConfType = Literal["bpcp", "log-log", "log", "plain"]
Convention = Literal["midpoint", "first"]
CONF_TYPES, CONVENTIONS = get_args(ConfType), get_args(Convention)
# Survival estimates are products of fractions: 0.5 on paper may be 0.5 + 1e-16 in floating point.
TOLERANCE = 1e-9
SAME_STEP = 1e-7  # a time computed from steps of a grid, or in their place


@keeps_options
def estimate_km(time, event, *, time_enter=None, conf_level=0.95, conf_type="bpcp"):
    """Estimate a survival curve by Kaplan-Meier with pointwise confidence limits.

    Kaplan, Meier (1958) J Am Stat Assoc; Fay, Brittain, Proschan (2013) Biostatistics.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival` for what is a ValueError.
    time_enter : array_like, shape (n_subjects,), optional
        When each subject came under observation, 0 for the start: at risk is ``time_enter < t <= time``.
        Where nobody is left at risk for a while the curve goes on as it was, and it stays at 0 once there.
    conf_level : float, default 0.95
        Confidence level of the pointwise limits.
    conf_type : {"bpcp", "log-log", "log", "plain"}, default "bpcp"
        Beta product confidence procedure (method of moments; Clopper-Pearson limits when nobody is
        censored), or normal limits with Greenwood's variance on the named scale, as R's ``survfit``. The
        first is not defined where subjects enter late: a ValueError.

    Returns
    -------
    DataFrame
        Columns ``time n_at_risk n_events n_censored survival ci_lower ci_upper``; one row for time 0, or for
        the first entry where nobody is under observation before, and one for each distinct time. Limits hold
        from their time up to the next. Normal limits are NaN where survival is 0, and before the first entry.
    """
    time, event, enter = check_entry(time, event, time_enter)
    check_limits(conf_level, conf_type, enter)
    curves = Curves.of_sample(time, event, enter)
    names = {"time": "times", **{name: name for name in ("n_at_risk", "n_events", "n_censored", "survival")}}
    curve = pd.DataFrame({name: getattr(curves, each)[0] for name, each in names.items()})
    curve.loc[0, "time"] = enter.min()
    limits = curves.calculate_limits(conf_level=conf_level, conf_type=conf_type)
    curve["ci_lower"], curve["ci_upper"] = (each[0] for each in limits)
    return curve


def count_at_risk(time, *, at, time_enter=None):
    """Count the subjects at risk: those with ``time >= at``, and ``time_enter < at`` where it is not 0.

    Parameters
    ----------
    time : array_like, shape (n_subjects,)
    at : array_like, shape (n_times,)
    time_enter : array_like, shape (n_subjects,), optional
        As in `estimate_km`.

    Returns
    -------
    ndarray of int, shape (n_times,)
    """
    is_late = time_enter is not None and np.any(time_enter)
    times = merge_times([time, time_enter] if is_late else [time])
    at = match_times(at, times)
    return (times[0][:, None] >= at).sum(axis=0) - (_count_to_enter(times[1], at) if is_late else 0)


def _count_to_enter(enter, at):
    """Count the subjects who are still to enter at each time."""
    return (~has_entered(enter[:, None], at)).sum(axis=0)


def estimate_survival_at(time, event, *, at, time_enter=None, conf_level=0.95, conf_type="bpcp"):
    """Estimate survival at given times.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `check_survival`.
    at : sequence of float
        Landmark times, at least 0 or ValueError, in the unit of `time`.
    time_enter, conf_level, conf_type
        As in `estimate_km`, with the same errors.

    Returns
    -------
    DataFrame
        Columns ``time n_at_risk survival ci_lower ci_upper``, one row for each landmark. Past the last
        follow-up survival is NaN, unless the curve has reached 0; and so it is up to the first entry where
        nobody is under observation from time 0 on, of which R says 1.
    """
    curve = estimate_km(time, event, time_enter=time_enter, conf_level=conf_level, conf_type=conf_type)
    ended = curve["survival"].iloc[-1] <= TOLERANCE
    return read_steps(
        curve, ["survival", "ci_lower", "ci_upper"], time, at, time_enter=time_enter, ended=ended
    )


def read_steps(curve, columns, time, at, *, time_enter, ended):
    """Columns of a curve of these subjects at landmarks, behind ``time n_at_risk``.

    NaN past the last time, unless the curve has `ended`: it stays as it is, however long anybody is followed.
    """
    at = check_vector(at, "at")
    check_positions(~(at >= 0), "at", "must be at least 0", at)
    rows, matched = find_rows(curve["time"], at)
    shown = curve.iloc[rows][columns].reset_index(drop=True)
    shown[(rows < 0) | ((matched > curve["time"].iloc[-1]) & (not ended))] = np.nan
    shown.insert(0, "n_at_risk", count_at_risk(time, at=at, time_enter=time_enter))
    shown.insert(0, "time", at)
    return shown


def find_rows(times, at):
    """The row of a curve that holds at each time, -1 before anybody is under observation, and the times.

    The first row is at time 0 or at the first entry, up to which nobody is at risk.
    """
    asked = match_times(at, times)
    rows = times.searchsorted(asked, side="right") - 1
    return np.where((times.iloc[0] > 0) & (asked <= times.iloc[0]), -1, rows), asked


@dataclass(frozen=True)
class Curves:
    """Kaplan-Meier curves, one a row; all arrays broadcast to shape (n_curves, n_places).

    Places are in order of time, the first at time 0. Those of one time may share a place, or stand one after
    another, events first. Places with nobody at risk (and any time, NaN too) fill up shorter rows.
    """

    times: np.ndarray
    n_at_risk: np.ndarray
    n_events: np.ndarray
    n_censored: np.ndarray

    @classmethod
    def of_ordered(cls, times, events, inside=None):
        """A curve for each cohort, a place for each patient: arrays (n_cohorts, n_patients) in order of time.

        Events come before censorings of the same time. `inside` picks patients; the others keep their places.
        """
        n_cohorts, n = times.shape
        placed = np.zeros((n_cohorts, n + 1), dtype=times.dtype)
        placed[:, 1:] = times
        happened = np.zeros((2, n_cohorts, n + 1), dtype=bool)
        happened[0, :, 1:], happened[1, :, 1:] = events, ~events
        if inside is None:
            return cls(placed, np.r_[n, np.arange(n, 0, -1)], *happened)
        happened[:, :, 1:] &= inside
        n_at_risk = happened.any(axis=0)[:, ::-1].cumsum(axis=1)[:, ::-1]
        return cls(placed, n_at_risk, *happened)

    @classmethod
    def of(cls, times, events):
        """A curve for each cohort, a place for each patient: arrays (n_cohorts, n_patients) in any order."""
        order = order_patients(times, events)
        return cls.of_ordered(*(np.take_along_axis(each, order, axis=1) for each in (times, events)))

    @classmethod
    def of_sample(cls, time, event, enter=None):
        """The curve of one sample as the only row, a place for time 0 and for each distinct time.

        `enter`, of who comes under observation late, is as `checks.check_entry` returns it.
        """
        places, place = np.unique(np.append(0.0, time), return_inverse=True)
        n_events, n_censored = (
            np.bincount(place[1:][part], minlength=len(places)) for part in (event, ~event)
        )
        curve = cls.of_counts(places[None], n_events[None], n_censored[None])
        if enter is None or not enter.any():
            return curve
        return replace(curve, n_at_risk=curve.n_at_risk - _count_to_enter(enter, places))

    @classmethod
    def of_counts(cls, times, n_events, n_censored):
        """Curves from the events and censorings at each place, (n_curves, n_places); time 0 comes first."""
        return cls(times, (n_events + n_censored)[:, ::-1].cumsum(axis=1)[:, ::-1], n_events, n_censored)

    @cached_property
    def survival(self):
        """Survival from each place on, (n_curves, n_places); within a time, right at its last place."""
        return trace_survival(self.n_at_risk, self.n_events)

    @cached_property
    def last(self):
        """The last time at which anybody was followed, (n_curves,)."""
        return np.where(self.n_at_risk > 0, self.times, 0).max(axis=1)

    def find_medians(self, convention="midpoint"):
        """Medians, (n_curves,): where each curve comes down to one half, NaN where it stays above.

        "first" is the first time at or below one half, "midpoint" the middle of the stretch where the curve
        is flat at one half, as R's ``quantile``: up to the last time where no event ends the stretch. There
        R prints the first time: "printed", what a paper's median is likely to be.
        """
        return self._find_half(self.survival, convention)

    @property
    def is_open_ended(self):
        """Whether each curve comes down to one half and no further, so that no event ends that stretch."""
        lowest = self.survival.min(axis=1)
        return np.abs(lowest - 0.5) <= TOLERANCE

    def _find_half(self, heights, convention):
        first = _find_first(self.times, heights <= 0.5 + TOLERANCE)
        if convention == "first":
            return first
        below = _find_first(self.times, heights < 0.5 - TOLERANCE)
        if (never := np.isnan(below)).any():
            # Who is followed for ever, at time inf, gives no last time.
            is_known = np.isfinite(self.last) & (convention == "midpoint")
            below = np.where(never, np.where(is_known, self.last, first), below)
        return (first + below) / 2

    def find_survival(self, at):
        """Survival at a time, (n_curves,); NaN past the last time of a curve, unless it has reached 0."""
        place = (self.times <= at + SAME_STEP).sum(axis=1) - 1
        survival = self.survival[np.arange(len(place)), place]
        return np.where((self.last >= at - SAME_STEP) | (survival <= TOLERANCE), survival, np.nan)

    def calculate_areas(self, tau):
        """Area under the curve from each place to the next, up to a horizon, (n_curves, n_places)."""
        if not (np.isfinite(tau) and tau > 0):
            raise ValueError(f"tau must be a number above 0; got {tau!r}")
        return np.diff(np.fmin(self.times, tau), axis=1, append=tau) * self.survival

    def find_means(self, tau):
        """Mean times without the event up to a horizon, (n_curves,); NaN as in `find_survival`."""
        is_known = (self.last >= tau - SAME_STEP) | (self.survival[:, -1] <= TOLERANCE)
        return np.where(is_known, np.cumsum(self.calculate_areas(tau), axis=1)[:, -1], np.nan)

    def calculate_limits(self, *, conf_level=0.95, conf_type="bpcp"):
        """Pointwise limits, lower and upper, each (n_curves, n_places), holding up to the next place."""
        counts = np.broadcast_arrays(self.n_at_risk, self.n_events, self.n_censored)
        n, d, c = (each.astype(float) for each in counts)
        if conf_type == "bpcp":
            return _calculate_bpcp_limits(n, d, c, conf_level)
        return _calculate_normal_limits(n, d, conf_level, conf_type)

    def find_median_limits(self, *, conf_level=0.95, conf_type="bpcp"):
        """Lower and upper limits of the medians, each (n_curves,); 0 and inf where there is no finite one."""
        # R's survfit reads the limits off its curves as it reads the median; bpcp inverts its own limits.
        convention = "first" if conf_type == "bpcp" else "printed"
        limits = self.calculate_limits(conf_level=conf_level, conf_type=conf_type)
        lower, upper = (self._find_half(each, convention) for each in limits)
        return np.where(np.isnan(lower), 0.0, lower), np.where(np.isnan(upper), np.inf, upper)


def trace_survival(n_at_risk, n_events):
    """Kaplan-Meier estimates from counts at each place, (..., n_places); 1 where nobody was at risk."""
    return np.cumprod(1 - n_events / np.maximum(n_at_risk, 1), axis=-1)


def order_patients(times, events):
    """Places of the patients of each cohort by time, events first, all arrays (n_cohorts, n_patients)."""
    if np.issubdtype(times.dtype, np.integer):
        return np.argsort(2 * times + ~events, axis=1)  # several times as fast
    return np.lexsort((~events, times), axis=1)


def _find_first(times, reached):
    rows, place = np.arange(len(reached)), reached.argmax(axis=1)
    return np.where(reached[rows, place], times[rows, place], np.nan)


def check_limits(conf_level, conf_type, enter=None):
    """Raise ValueError unless limits are known by this name, hold for entries and the level is in (0, 1)."""
    check_choice(conf_type, "conf_type", CONF_TYPES)
    check_conf_level(conf_level)
    if conf_type == "bpcp" and enter is not None and enter.any():
        raise ValueError(
            "conf_type 'bpcp' is not defined for subjects who come under observation late (time_enter above "
            f"0); use one of {', '.join(CONF_TYPES[1:])}"
        )


def _calculate_bpcp_limits(n, d, c, conf_level):
    """Beta product limits, method of moments: Fay, Brittain, Proschan (2013) Biostatistics 14:723."""
    tail = (1 - conf_level) / 2
    # Each event time contributes an independent Beta(n - d + 1, d) to the survival after it.
    a = np.where(d > 0, n - d + 1, 1.0)
    mean = np.cumprod(a / (a + d), axis=-1)
    square = np.cumprod(a * (a + 1) / ((a + d) * (a + d + 1)), axis=-1)
    upper = _find_beta_quantile(1 - tail, mean, square, degenerate=1.0)
    # The lower limit also allows for an event just after, among those still at risk: Beta(n_after, 1).
    n_after = n - d - c
    mean, square = mean * n_after / (n_after + 1), square * n_after / (n_after + 2)
    return _find_beta_quantile(tail, mean, square, degenerate=0.0), upper


def _find_beta_quantile(probability, mean, square, *, degenerate):
    """Quantile of the beta distribution with this mean and mean square."""
    variance = square - mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (mean - square) / variance
        quantile = stats.beta.ppf(probability, mean * scale, (1 - mean) * scale)
    return np.where((variance > 0) & (mean > 0), quantile, degenerate)


def _calculate_normal_limits(n, d, conf_level, conf_type):
    """Normal limits on a scale, with Greenwood's variance, as R's ``survfit``.

    NaN where survival is 0 or nobody was at risk yet, else 1 before the first event. Kalbfleisch, Prentice
    (2002) The Statistical Analysis of Failure Time Data.
    """
    survival = trace_survival(n, d)
    z = stats.norm.ppf((1 + conf_level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = z * np.sqrt(np.cumsum(np.where(d > 0, d / (n * (n - d)), 0.0), axis=-1))
        if conf_type == "plain":
            lower, upper = survival * (1 - half), survival * (1 + half)
        elif conf_type == "log":
            lower, upper = survival * np.exp(-half), survival * np.exp(half)
        else:
            spread = half / np.log(survival)
            lower, upper = survival ** np.exp(-spread), survival ** np.exp(spread)
    certain, unknown = half == 0, (survival <= 0) | (np.maximum.accumulate(n, axis=-1) == 0)
    lower, upper = np.where(certain, survival, lower), np.where(certain, survival, upper)
    return (
        np.where(unknown, np.nan, np.maximum(lower, 0)),
        np.where(unknown, np.nan, np.minimum(upper, 1)),
    )
