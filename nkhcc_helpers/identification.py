"""One door to what published numbers identify: claims, cohorts compatible with them, and what these say.

The work is done in `claims` and `claimed_trial` (what was printed and is assumed), `compatible` (sampling),
`claim_checks` and `compatible_diagnostics` (whether to trust the sample), `compatible_statistics` (what
each cohort gives), `compatible_answers`, `compatible_narrowing` and `compatible_summaries` (what all of them
give).

References
----------
Manski (2003) Partial Identification of Probability Distributions.
"""

from nkhcc_helpers.claim_checks import recheck_claims
from nkhcc_helpers.claimed_trial import ClaimedTrial
from nkhcc_helpers.claims import CohortAssumptions, Median
from nkhcc_helpers.compatible import IncompatibleClaimsError, sample_compatible
from nkhcc_helpers.compatible_answers import judge_conclusions, rank_candidates, summarize_answers
from nkhcc_helpers.compatible_diagnostics import diagnose
from nkhcc_helpers.compatible_obtained import obtain_bounds, obtain_cohorts, save_bounds
from nkhcc_helpers.compatible_statistics import (
    calculate_hazard_ratios,
    calculate_statistics,
    list_planned_designs,
    summarize_signs,
)
from nkhcc_helpers.compatible_summaries import (
    count_sides,
    count_trusted,
    find_most_telling,
    gather_verdicts,
    list_assumptions,
    list_claims,
    measure_claims,
    pick_candidates,
    spread_ratios,
)
from nkhcc_helpers.compatible_targets import bound_statistics

__all__ = [
    "ClaimedTrial",
    "CohortAssumptions",
    "IncompatibleClaimsError",
    "Median",
    "bound_statistics",
    "calculate_hazard_ratios",
    "calculate_statistics",
    "count_sides",
    "count_trusted",
    "diagnose",
    "find_most_telling",
    "gather_verdicts",
    "judge_conclusions",
    "list_assumptions",
    "list_claims",
    "list_planned_designs",
    "measure_claims",
    "obtain_bounds",
    "obtain_cohorts",
    "pick_candidates",
    "rank_candidates",
    "recheck_claims",
    "sample_compatible",
    "save_bounds",
    "spread_ratios",
    "summarize_answers",
    "summarize_signs",
]
