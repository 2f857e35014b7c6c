"""Who is at risk at the events: as matrices, and of many patients in the order of time."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

MOST_PAIRS = 20_000  # subjects times events of a cohort, up to which matrices serve
MOST_KINDS = 100  # of subjects that differ in covariates
MOST_PATIENTS = 300  # for whom orders of leaving are drawn at many hazard ratios, and trials simulated


def find_at_risk(times, enters, when):
    """Whether subjects are at risk, (n_cohorts, n_subjects, n), at times of shape (n_cohorts, 1, n)."""
    at_risk = times[:, :, None] >= when
    return at_risk if enters is None else at_risk & (enters[:, :, None] < when)


def weigh(times, events, subjects, enters=None, ties="breslow"):
    """The weights of a `PartialLikelihood` as a matrix for each cohort."""
    when, dies = times[:, None, subjects], events[:, None, subjects]
    weights = (find_at_risk(times, enters, when) & dies).astype(float)
    if ties == "efron":
        tied = (times[:, :, None] == when) & events[:, :, None] & dies
        earlier = (tied & (np.arange(times.shape[1])[:, None] < subjects)).sum(axis=1)
        weights -= tied * (earlier / np.maximum(tied.sum(axis=1), 1))[:, None]
    return weights


@dataclass(frozen=True)
class OrderedWeights:
    """Stands for the weights of a `PartialLikelihood`: ``values @ weights`` are sums over the risk sets.

    Of values (n_cohorts, n_values, n_subjects). The first axis of an array may be 1, for all cohorts alike.
    """

    order: np.ndarray  # subjects, the latest first, (n_cohorts, n_subjects)
    reached: np.ndarray  # how many of them are not gone before each event, (n_cohorts, n_events)
    dies: np.ndarray  # 1 where the subject has the event in the cohort, else 0
    by_entry: np.ndarray | None  # subjects, the last to enter first
    to_enter: np.ndarray | None  # how many of them are still to enter at each event
    event: np.ndarray | None  # by Efron's method: who has an event, (n_cohorts, n_subjects)
    later: np.ndarray | None  # how many stay longer than until each event
    share: np.ndarray | None  # of the tied events that is taken off, (n_cohorts, n_events)

    __array_ufunc__ = None  # numpy leaves the product to `__rmatmul__`

    @classmethod
    def of(cls, times, events, subjects, enters=None, ties="breslow"):
        """Lay out cohorts, (n_cohorts, n_subjects), with the events of `subjects`, as `PartialLikelihood`."""
        when, dies = times[:, subjects], events[:, subjects]
        order, reached = _rank(times, when)
        by_entry, to_enter = (None, None) if enters is None else _rank(enters, when)
        event = later = share = None
        if ties == "efron":
            event, later = events.astype(float), _rank(times, when, "right")[1]
            share = np.stack([_share_ties(*each) for each in zip(when, dies, strict=True)])
        return cls(order, reached, dies.astype(float), by_entry, to_enter, event, later, share)

    def __len__(self):
        return len(self.order)

    def __getitem__(self, which):
        parts = (getattr(self, each.name) for each in fields(self))
        return type(self)(*(part if part is None else part[which] for part in parts))

    def __rmatmul__(self, values):
        sums = _sum_first(values, self.order, self.reached)
        if self.by_entry is not None:
            sums = sums - _sum_first(values, self.by_entry, self.to_enter)
        if self.share is not None:
            died = values * self.event[:, None]
            tied = _sum_first(died, self.order, self.reached) - _sum_first(died, self.order, self.later)
            sums = sums - self.share[:, None] * tied
        return sums * self.dies[:, None]


def merge_alike(x, weights):
    """Kinds of subjects in place of subjects, where these are few, and their summed weights.

    `x` is (n_cohorts, n_covariates, n_subjects); kinds are those of all cohorts, (1, n_covariates, n_kinds).
    """
    rows = np.swapaxes(x, 1, 2).reshape(-1, x.shape[1])
    # Alike are rows with one sum of incommensurable multiples, which are sorted faster than rows.
    sums = (rows * np.sqrt(np.arange(2, 2 + x.shape[1]))).sum(axis=1)
    _, first, kind = np.unique(sums, return_index=True, return_inverse=True)
    if len(first) > MOST_KINDS:
        return x, weights
    belongs = (kind.reshape(len(x), 1, -1) == np.arange(len(first))[:, None]).astype(float)
    return rows[first].T[None], belongs @ weights


def _rank(times, when, side="left"):
    """Subjects by time, the latest first, and how many of them have at least (right: more than) each time."""
    order = np.argsort(-times, axis=1, kind="stable")
    ascending = np.sort(times, axis=1)
    if len(ascending) < len(when):
        ascending = np.broadcast_to(ascending, (len(when), times.shape[1]))
    pairs = zip(ascending, when, strict=True)
    return order, np.stack([times.shape[1] - each.searchsorted(at, side) for each, at in pairs])


def _share_ties(when, dies):
    """Of d tied events, in their order, the share l / d that the l-th takes off."""
    share = np.zeros(len(when))
    own = np.flatnonzero(dies)
    _, place, number = np.unique(when[own], return_inverse=True, return_counts=True)
    by_place = np.argsort(place, kind="stable")
    first = np.concatenate([[0], np.cumsum(number)[:-1]])
    share[own[by_place]] = (np.arange(len(own)) - first[place[by_place]]) / number[place[by_place]]
    return share


def _sum_first(values, order, count):
    """Sums of the first so many values in this order, (n_cohorts, n_values, n_events)."""
    one = len(order) == 1
    values = values[..., order[0]] if one else np.take_along_axis(values, order[:, None], axis=2)
    sums = np.zeros((*values.shape[:2], values.shape[2] + 1))
    np.cumsum(values, axis=2, out=sums[..., 1:])
    return sums[..., count[0]] if len(count) == 1 else np.take_along_axis(sums, count[:, None], axis=2)
