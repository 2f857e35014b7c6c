"""The log-rank test the plain way, one event time at a time: what the package's statistics are checked by."""

from __future__ import annotations

import numpy as np


def sum_events(time, event, codes):
    """Observed less expected events of each group, and their hypergeometric covariance."""
    members = codes == np.arange(max(codes) + 1)[:, None]
    difference, covariance = np.zeros(len(members)), np.zeros((len(members), len(members)))
    for at in sorted(set(time[event])):
        left, dying = time >= at, (time == at) & event
        n, d, share = left.sum(), dying.sum(), members[:, left].sum(axis=1) / left.sum()
        difference += members[:, dying].sum(axis=1) - d * share
        covariance += d * (n - d) / max(n - 1, 1) * (np.diag(share) - np.outer(share, share))
    return difference, covariance


def calculate_chi_square(time, event, codes):
    """Quadratic form of all groups."""
    difference, covariance = sum_events(time, event, codes)
    return difference @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ difference
