"""What published numbers identify: what every cohort compatible with them gives."""

from nkhcc_helpers.identification.answers import (
    count_trusted,
    diagnose,
    gather_verdicts,
    judge_conclusions,
    summarize_answers,
)
from nkhcc_helpers.identification.bounds import bound_statistics, find_bounds, obtain_bounds, save_bounds
from nkhcc_helpers.identification.narrowing import (
    find_most_telling,
    measure_claims,
    pick_candidates,
    rank_candidates,
)
from nkhcc_helpers.identification.published import compare_published, publish_claims, recalibrate_published
from nkhcc_helpers.identification.statistics import (
    calculate_hazard_ratios,
    calculate_statistics,
    count_sides,
    list_planned_designs,
    spread_ratios,
    summarize_signs,
)

__all__ = [
    "bound_statistics",
    "calculate_hazard_ratios",
    "calculate_statistics",
    "compare_published",
    "count_sides",
    "count_trusted",
    "diagnose",
    "find_bounds",
    "find_most_telling",
    "gather_verdicts",
    "judge_conclusions",
    "list_planned_designs",
    "measure_claims",
    "obtain_bounds",
    "pick_candidates",
    "publish_claims",
    "rank_candidates",
    "recalibrate_published",
    "save_bounds",
    "spread_ratios",
    "summarize_answers",
    "summarize_signs",
]
