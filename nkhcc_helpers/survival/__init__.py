"""How long patients go without the event, and whether groups differ."""

from nkhcc_helpers.survival.calibration import attained_coverage, attained_size, recalibrate_p
from nkhcc_helpers.survival.curves import count_at_risk, estimate_km
from nkhcc_helpers.survival.exact import exact_p
from nkhcc_helpers.survival.logrank import logrank_scores
from nkhcc_helpers.survival.permutation import (
    compare_pairs,
    compare_survival,
    draw_null,
    summarize_comparisons,
)
from nkhcc_helpers.survival.summaries import (
    choose_landmarks,
    count_at_risk_table,
    estimate_follow_up,
    estimate_km_by_group,
    estimate_median,
    estimate_rmst,
    estimate_survival_at,
    summarize_rmst,
    summarize_survival,
    summarize_survival_at,
)

__all__ = [
    "attained_coverage",
    "attained_size",
    "choose_landmarks",
    "compare_pairs",
    "compare_survival",
    "count_at_risk",
    "count_at_risk_table",
    "draw_null",
    "estimate_follow_up",
    "estimate_km",
    "estimate_km_by_group",
    "estimate_median",
    "estimate_rmst",
    "estimate_survival_at",
    "exact_p",
    "logrank_scores",
    "recalibrate_p",
    "summarize_comparisons",
    "summarize_rmst",
    "summarize_survival",
    "summarize_survival_at",
]
