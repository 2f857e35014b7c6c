"""How long patients go without the event, and whether groups differ."""

from nkhcc_helpers.survival.calibration import attained_coverage, attained_size, recalibrate_p
from nkhcc_helpers.survival.competing import (
    compare_incidence,
    estimate_incidence,
    estimate_incidence_by_group,
    summarize_incidence_at,
)
from nkhcc_helpers.survival.curves import count_at_risk, estimate_km, estimate_survival_at
from nkhcc_helpers.survival.exact import exact_p
from nkhcc_helpers.survival.logrank import logrank_scores
from nkhcc_helpers.survival.permutation import (
    compare_pairs,
    compare_survival,
    draw_null,
    summarize_comparisons,
)
from nkhcc_helpers.survival.summaries import (
    count_at_risk_table,
    estimate_follow_up,
    estimate_km_by_group,
    estimate_median,
    estimate_rmst,
    summarize_medians,
    summarize_rmst,
    summarize_survival,
    summarize_survival_at,
)

__all__ = [  # noqa: RUF022, in the order a reader meets them
    "estimate_km",
    "estimate_median",
    "estimate_survival_at",
    "estimate_rmst",
    "estimate_follow_up",
    "count_at_risk",
    "estimate_km_by_group",
    "count_at_risk_table",
    "summarize_survival",
    "summarize_survival_at",
    "summarize_rmst",
    "summarize_medians",
    "logrank_scores",
    "exact_p",
    "compare_survival",
    "compare_pairs",
    "summarize_comparisons",
    "draw_null",
    "estimate_incidence",
    "estimate_incidence_by_group",
    "summarize_incidence_at",
    "compare_incidence",
    "recalibrate_p",
    "attained_size",
    "attained_coverage",
]
