"""Many cohorts in order of time: numbers at risk, curves and log-rank sums at the cost of one sort.

Everything here grows with patients times groups, where comparing every patient with every other would grow
with patients squared; that is what makes long Markov chains affordable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

HALF = 0.5 + 1e-9  # a curve at one half, whatever rounding makes of it
NOBODY = 1e-9  # a curve at 0
SAME_TIME = 1e-7  # a time computed from steps, or in their place


@dataclass(frozen=True)
class OrderedCohorts:
    """Cohorts of one design, each in order of time, events before censored at tied times.

    Attributes
    ----------
    steps : ndarray of int, shape (n_cohorts, n_patients)
        Times.
    events : ndarray of bool, shape (n_cohorts, n_patients)
    codes : ndarray of int, shape (n_cohorts, n_patients), or None
        Group of each patient, counted from 0; None where groups do not matter.
    n_groups : int
        0 where they do not matter.
    """

    steps: np.ndarray
    events: np.ndarray
    codes: np.ndarray | None = None
    n_groups: int = 0

    @classmethod
    def of(cls, steps, events, codes=None):
        """Put cohorts in order; `codes` has the group of each patient, the same in every cohort."""
        order = np.argsort(2 * steps + ~events, axis=1)
        in_order = (_pick(each, order) for each in (steps, events))
        return cls(*in_order) if codes is None else cls(*in_order, codes[order], int(codes.max()) + 1)

    def take(self, rows):
        """Some of the cohorts."""
        codes = None if self.codes is None else self.codes[rows]
        return OrderedCohorts(self.steps[rows], self.events[rows], codes, self.n_groups)

    @cached_property
    def everyone(self):
        """The same cohorts without their groups."""
        return OrderedCohorts(self.steps, self.events) if self.n_groups else self

    @cached_property
    def inside(self):
        """1 where a patient is in a group, and in the last column: (n_cohorts, n_patients, n_groups + 1)."""
        if not self.n_groups:
            return np.ones((*self.steps.shape, 1))
        return np.hstack([np.eye(self.n_groups), np.ones((self.n_groups, 1))])[self.codes]

    @cached_property
    def n_from(self):
        """Patients of each group from each place on, shaped as `inside`."""
        return self.inside[:, ::-1].cumsum(axis=1)[:, ::-1]

    @cached_property
    def survival(self):
        """Kaplan-Meier estimate of each group just after each place, shaped as `inside`.

        Between patients of one time it is that of some of them; at the last of them it is right.
        """
        died = self.inside * self.events[..., None]
        died /= np.maximum(self.n_from, 1)
        np.subtract(1, died, out=died)
        return np.cumprod(died, axis=1, out=died)

    @cached_property
    def first_of_time(self):
        """Place of the first patient with the same time, shape (n_cohorts, n_patients)."""
        places = np.arange(self.steps.shape[1])
        new = np.ones(self.steps.shape, dtype=bool)
        new[:, 1:] = self.steps[:, 1:] != self.steps[:, :-1]
        return np.maximum.accumulate(np.where(new, places, 0), axis=1)

    @cached_property
    def n_tied(self):
        """Events at each patient's time, shape (n_cohorts, n_patients)."""
        return self.sum_within_time(self.events)

    def sum_within_time(self, values):
        """Sum of values over all patients with the same time, at each of them; shaped as `values`."""
        n = self.steps.shape[1]
        so_far = np.zeros((len(self.steps), n + 1))
        np.cumsum(values, axis=1, out=so_far[:, 1:])
        until = _pick(so_far, self._last_of_time + 1)
        return until - _pick(so_far, self.first_of_time)

    def count_earlier(self, values):
        """Number of patients with the same time that stand before each one and have a value of 1."""
        so_far = np.cumsum(values, axis=1) - values
        return so_far - _pick(so_far, self.first_of_time)

    @cached_property
    def _last_of_time(self):
        mirrored = OrderedCohorts(self.steps[:, ::-1], self.events, self.codes, self.n_groups)
        return (self.steps.shape[1] - 1 - mirrored.first_of_time)[:, ::-1]

    @cached_property
    def medians(self):
        """Medians by convention, in steps: of each group and of everyone, (n_cohorts, n_groups + 1).

        "first" is the first time at which the curve is at or below one half, "midpoint" the middle of the
        stretch where it is flat at one half, as `survival.estimate_median` has them; NaN where not reached.
        """
        reached, below = self.survival <= HALF, self.survival < 1 - HALF
        at, later = reached.argmax(axis=1), below.argmax(axis=1)
        first = np.where(_pick_by_group(reached, at), _pick(self.steps, at), np.nan)
        flat = (later > at) & _pick_by_group(below, later)
        middle = (first + _pick(self.steps, later)) / 2
        return {"first": first, "midpoint": np.where(flat, middle, first)}

    def find_survival(self, at):
        """Share without the event at a time of each group and of everyone, (n_cohorts, n_groups + 1).

        NaN past a group's last time, unless its curve has reached 0.
        """
        n_before = (self.steps <= at + SAME_TIME).sum(axis=1)
        curve = np.concatenate([np.ones_like(self.survival[:, :1]), self.survival], axis=1)
        share = curve[np.arange(len(curve)), n_before]
        return np.where((self.find_last() >= at - SAME_TIME) | (share < NOBODY), share, np.nan)

    def find_last(self):
        """Last time of each group and of everyone, (n_cohorts, n_groups + 1)."""
        return np.where(self.inside > 0, self.steps[..., None], -1).max(axis=1)

    def sum_logrank(self):
        """Observed less expected events of each group but the last, and their covariance."""
        died, n_at_risk = self.events.astype(float), self.steps.shape[1] - self.first_of_time
        inside = [self.codes == group for group in range(self.n_groups - 1)]
        at_risk = (_pick(each[:, ::-1].cumsum(axis=1)[:, ::-1], self.first_of_time) for each in inside)
        share = np.stack([each / n_at_risk for each in at_risk], axis=1)
        observed = np.stack([(died * each).sum(axis=1) for each in inside], axis=1)
        difference = observed - np.matmul(share, died[..., None])[..., 0]
        weighted = share * (died * (n_at_risk - self.n_tied) / np.maximum(n_at_risk - 1, 1))[:, None]
        variance = -np.matmul(weighted, share.transpose(0, 2, 1))
        diagonal = np.arange(self.n_groups - 1)
        variance[:, diagonal, diagonal] += weighted.sum(axis=2)
        return difference, variance


def _pick(values, places):
    """Values of each cohort at places of its own."""
    return values[np.arange(len(values))[:, None], places]


def _pick_by_group(values, places):
    """Values of each cohort and group at a place of their own, shape (n_cohorts, n_groups + 1)."""
    return values[np.arange(len(values))[:, None], places, np.arange(values.shape[2])]


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
