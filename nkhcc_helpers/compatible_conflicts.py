"""Claims that no cohort can meet together: which of them conflict, and how near a cohort comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nkhcc_helpers.claim_checks import check_cohorts
from nkhcc_helpers.claimed_trial import describe_claim
from nkhcc_helpers.cohort_space import find_step
from nkhcc_helpers.compatible import CompatibleCohorts
from nkhcc_helpers.compatible_endpoints import draw_endpoints
from nkhcc_helpers.permutation import DEFAULT_SEED

N_COHORTS = 12  # that a search is made for


@dataclass(frozen=True)
class Conflict:
    """Claims that no cohort was found to meet together.

    Attributes
    ----------
    claims : tuple
        The smallest set found: without any one of them the others can be met. Empty where all can be met.
    nearest : DataFrame
        As of `claim_checks.check_cohorts`, for the cohort found that comes nearest to all claims.
    """

    claims: tuple
    nearest: pd.DataFrame

    def __str__(self):
        """The claims, and what the nearest cohort misses, in words."""
        if not self.claims:
            return "all claims can be met together"
        lines = ["no cohort was found that meets these claims together:"]
        lines += [f"  {describe_claim(claim)}" for claim in self.claims]
        missed = self.nearest[~self.nearest["meets"]]
        lines += [
            f"the nearest cohort to all claims has {row.value:.4g} for {row.claim}"
            for row in missed.itertuples()
        ]
        return "\n".join(lines)


def find_conflict(claimed, *, seed=DEFAULT_SEED):
    """Find claims that conflict, and the cohort nearest to meeting all.

    Parameters
    ----------
    claimed : ClaimedTrial
    seed : int

    Returns
    -------
    Conflict

    Notes
    -----
    If no cohort meets all claims, those about one endpoint are tried alone. From the first set that cannot be
    met, claims are taken away one at a time, for good where the others still cannot be met; what is left is
    irreducible. A search that finds no cohort proves nothing, however long: with few and narrow ways to meet
    the claims it may give up too early.
    """
    met, nearest = _search(claimed, seed)
    if met:
        return Conflict((), check_cohorts(nearest))
    alone = (claimed.only(endpoint) for endpoint in claimed.endpoints) if len(claimed.endpoints) > 1 else ()
    part = next((each for each in alone if not _search(each, seed)[0]), claimed)
    kept = list(part.claims)
    for claim in part.claims:
        rest = [each for each in kept if each is not claim]
        if rest and not _search(part.keep(rest), seed)[0]:
            kept = rest
    return Conflict(tuple(kept), check_cohorts(nearest))


def _search(claimed, seed):
    """Whether a cohort was found that meets all claims, and the nearest one."""
    found, meets = draw_endpoints(claimed, N_COHORTS, "prior", np.random.default_rng(seed))
    first = [found[endpoint].take([0]) for endpoint in claimed.endpoints]
    times = np.stack([each.steps for each in first], axis=1) * find_step(claimed)
    events, origin = np.stack([each.events for each in first], axis=1), np.zeros((1, len(first)), dtype=int)
    return meets, CompatibleCohorts(claimed, times, events, origin, origin[:, 0], origin > 0, seed)
