"""Which cohorts give every published number."""

from nkhcc_helpers.compatible.checks import find_conflict, recheck_claims
from nkhcc_helpers.compatible.claims import ClaimedTrial, list_assumptions, list_claims, list_left_out
from nkhcc_helpers.compatible.cohorts import obtain_cohorts, sample_compatible
from nkhcc_helpers.compatible.sampling import Effort

__all__ = [
    "ClaimedTrial",
    "Effort",
    "find_conflict",
    "list_assumptions",
    "list_claims",
    "list_left_out",
    "obtain_cohorts",
    "recheck_claims",
    "sample_compatible",
]
