"""Separation: directions along which a partial likelihood has no maximum, and what is left far along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, sparse

from nkhcc_helpers.cox.risk_sets import MOST_KINDS, find_at_risk

ROUNDING, NOTICEABLE = 1e-12, 1e-6  # gaps along a direction, relative to the covariates
# The furthest entry of a direction, in spans of the covariates; costs of each span and of each gap opened.
FURTHEST, SHORT, OPEN = 1e6, 1e-5, -1e3


def find_separation(covariates, time, event, enter=None):
    """A direction along which the partial likelihood of one cohort has no maximum, or None.

    Along it whoever has an event is largest of all at risk, at least once strictly; its largest entry is 1 or
    -1. A linear program, hence sure. `covariates` are (n_subjects, n_covariates), or (n_subjects, n_subjects,
    n_covariates) at the time of the subject of the first axis; `enter` as of `likelihood.lay_out_risk`.
    Heinze, Schemper (2001) Biometrics.
    """
    gaps, span = _list_gaps(covariates, time, event, enter)
    if not len(gaps):
        return None
    found = optimize.linprog(-gaps.sum(axis=0), sparse.csr_array(-gaps), np.zeros(len(gaps)), bounds=(-1, 1))
    if -found.fun < 1e-7:
        return None
    direction = found.x / span
    return direction / np.abs(direction).max()


def _list_gaps(covariates, time, event, enter):
    """Distinct gaps of who has an event to others at risk, in spans of the covariates, and these spans."""
    x = np.asarray(covariates, float)
    every = x.reshape(-1, x.shape[-1])
    span = np.ptp(every, axis=0)
    span[span == 0] = 1
    x = (x - every.mean(axis=0)) / span
    enters = None if enter is None else enter[None]
    at_risk = find_at_risk(time[None], enters, time[None, None])[0].T & event[:, None]
    kinds, kind = np.unique(x, axis=0, return_inverse=True)
    if x.ndim == 2 and len(kinds) <= MOST_KINDS:
        # Who agrees in all covariates has the same gaps.
        belongs = np.eye(len(kinds), dtype=np.float32)[kind.ravel()]
        x, at_risk = kinds, belongs.T @ (at_risk.astype(np.float32) @ belongs)
    first, second = np.nonzero(at_risk)
    gaps = x[first] - x[second] if x.ndim == 2 else x[first, first] - x[first, second]
    gaps = np.unique(gaps, axis=0)
    return gaps[np.abs(gaps).max(axis=1, initial=0) > ROUNDING], span


@dataclass(frozen=True)
class Limit:
    """What is left of a partial likelihood far along all directions in which it has no maximum."""

    direction: np.ndarray  # one of them, not 0 where any is not; its largest entry is 1 or -1
    kept: np.ndarray  # columns that none of them moves
    combined: np.ndarray  # what is left of the others, (n_subjects, n_combinations)
    stays: np.ndarray  # whether the subject of the second axis still counts at the event of the first

    @classmethod
    def find(cls, x, time, event, enter=None):
        """Of a cohort as of `find_separation`; None without a direction or where rounding may mislead.

        They form a cone. One inside it opens each gap that any opens; its span is all that keeps the others
        closed. Far along it whoever is outranked has left the risk sets, and across the span there is
        a maximum, with a coefficient held too. Rockafellar (1970) Convex Analysis.
        """
        gaps, span = _list_gaps(x, time, event, enter)
        n, p = gaps.shape
        # Open as many gaps as there are, up to 1, to which all that opens can grow; then by a short way.
        rows = sparse.hstack([sparse.csr_array(np.hstack([-gaps, gaps])), sparse.eye_array(n)])
        cost, bounds = np.repeat([SHORT, OPEN], [2 * p, n]), [(0, FURTHEST)] * 2 * p + [(0, 1)] * n
        found = optimize.linprog(cost, rows, np.zeros(n), bounds=bounds).x
        opens, inside = found[2 * p :] > 0.5, found[:p] - found[p : 2 * p]
        across = linalg.null_space(np.vstack([np.zeros(p), gaps[~opens]]), rcond=NOTICEABLE)
        inside, aside = (across @ (across.T @ each) for each in (inside, np.sqrt(np.arange(2, p + 2))))
        least = (gaps[opens] @ inside).min(initial=1)
        if not opens.any() or least < 0.5 or np.abs(gaps[~opens] @ inside).max(initial=0) > NOTICEABLE:
            return None
        moved = np.linalg.norm(across, axis=1) > NOTICEABLE
        # A little aside, so that no entry is 0 by chance.
        inside += aside * least / 4 / np.abs(gaps[opens] @ aside).max(initial=NOTICEABLE)
        x = (x - x.mean(axis=0)) / span
        along, direction = x @ inside, np.where(moved, inside, 0) / span
        combined, stays = x[:, moved] @ linalg.null_space(across[moved].T), along[:, None] - along < least / 2
        return cls(direction / np.abs(direction).max(), np.flatnonzero(~moved), combined, stays)
