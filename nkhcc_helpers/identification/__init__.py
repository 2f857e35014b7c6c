"""What published numbers identify: what every cohort compatible with them gives."""

from nkhcc_helpers.identification.answers import (
    count_sides,
    count_trusted,
    count_verdicts,
    diagnose,
    gather_tests,
    gather_verdicts,
    judge_conclusions,
    pick_statistics,
    summarize_answers,
    summarize_signs,
)
from nkhcc_helpers.identification.bounds import find_bounds, obtain_bounds
from nkhcc_helpers.identification.narrowing import (
    count_dropped,
    find_best,
    find_most_telling,
    obtain_narrowing,
    pick_candidates,
    rank_candidates,
)
from nkhcc_helpers.identification.published import compare_published, publish_claims, recalibrate_published
from nkhcc_helpers.identification.statistics import (
    calculate_hazard_ratios,
    calculate_statistics,
    count_calculated,
    list_planned_designs,
    spread_ratios,
)

__all__ = [
    "calculate_hazard_ratios",
    "calculate_statistics",
    "compare_published",
    "count_calculated",
    "count_dropped",
    "count_sides",
    "count_trusted",
    "count_verdicts",
    "diagnose",
    "find_best",
    "find_bounds",
    "find_most_telling",
    "gather_tests",
    "gather_verdicts",
    "judge_conclusions",
    "list_planned_designs",
    "obtain_bounds",
    "obtain_narrowing",
    "pick_candidates",
    "pick_statistics",
    "publish_claims",
    "rank_candidates",
    "recalibrate_published",
    "spread_ratios",
    "summarize_answers",
    "summarize_signs",
]
