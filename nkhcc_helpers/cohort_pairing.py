"""Two endpoints of the same patients, of which the first is never later: in how many ways they go together.

Patients of a group are exchangeable, so that times of the first endpoint and of the second can be drawn as
sets and put together afterwards. The ways to do so, with no first time after its second one, are counted
exactly; weighing by them leaves the two endpoints distributed as if drawn patient by patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln


@dataclass(frozen=True)
class Partners:
    """Cohorts of the other endpoint, each of which may go together with a chain's cohort.

    Attributes
    ----------
    steps : ndarray of int, shape (n_partners, n_patients)
    log_weight : ndarray of float, shape (n_partners,)
        Logarithm of the weight of each.
    codes : ndarray of int, shape (n_patients,)
        Group of each patient.
    are_later : bool
        Whether theirs is the endpoint that is never the earlier one.
    """

    steps: np.ndarray
    log_weight: np.ndarray
    codes: np.ndarray
    are_later: bool

    def __len__(self):
        return len(self.steps)

    def weigh(self, group, steps, chosen):
        """Logarithm of the share of pairings of a group that keep the order, shape (n_cohorts,).

        Parameters
        ----------
        group : int
        steps : ndarray of int, shape (n_cohorts, n_members)
            Of the group's patients in each chain.
        chosen : ndarray of int, shape (n_cohorts,)
            Partner of each.
        """
        others = self.steps[chosen][:, self.codes == group]
        return log_share_in_order(*((steps, others) if self.are_later else (others, steps)))


def log_share_in_order(first, second):
    """Logarithm of the share of all pairings in which no first time is after its second one.

    Parameters
    ----------
    first, second : ndarray, shape (n_cohorts, n_members)
        Times of the patients of one group in two endpoints.

    Returns
    -------
    ndarray of float, shape (n_cohorts,)
        -inf where there is none.

    Notes
    -----
    In order of the second times, each patient has as many first times to choose from as are not after, less
    those already given away.
    """
    second, n = np.sort(second, axis=1), second.shape[1]
    n_left = (first[:, None, :] <= second[:, :, None]).sum(axis=2) - np.arange(n)
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(n_left, 0)).sum(axis=1) - gammaln(n + 1)


def pair_at_random(first, second, codes, rng):
    """Choose a pairing that keeps the order, each as likely as any other.

    Parameters
    ----------
    first, second : ndarray, shape (n_cohorts, n_patients)
        Times of the patients in two endpoints, put together in any order within groups.
    codes : ndarray of int, shape (n_patients,)
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (n_cohorts, n_patients)
        Whose first time goes to each patient.

    Raises
    ------
    ValueError
        No pairing of some cohort keeps the order.
    """
    rows, chosen = np.arange(len(first)), np.zeros(first.shape, dtype=int)
    is_free = np.ones(first.shape, dtype=bool)
    for group in np.unique(codes):
        members = np.flatnonzero(codes == group)
        for patient in members[np.argsort(second[:, members], axis=1)].T:
            can = is_free & (codes == group) & (first <= second[rows, patient][:, None])
            if not can.any(axis=1).all():
                raise ValueError("no pairing keeps the order of the endpoints")
            whose = np.where(can, rng.random(can.shape), -1.0).argmax(axis=1)
            chosen[rows, patient], is_free[rows, whose] = whose, False
    return chosen
