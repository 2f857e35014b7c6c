"""One door to everything that turns computed frames into text: numbers, display tables, CSV.

The work is done in `numbers` (numbers to strings), `display` (the house style), `exports` (CSV) and one
module per part of the report: `tables_cohort`, `tables_survival`, `tables_tests`, `tables_cox`,
`tables_cox_checks`, `tables_cox_simulated`, `tables_safety`, `tables_safety_terms`,
`tables_safety_timing`, `tables_safety_rates`, `tables_safety_dose`, `tables_safety_listing`,
`tables_claims`, `tables_compatible`.
"""

from nkhcc_helpers.display import as_html, display_table
from nkhcc_helpers.exports import write_csv
from nkhcc_helpers.labels import (
    list_covariate_labels,
    show_endpoint,
    show_group,
    show_groups,
    show_interval,
    show_method,
)
from nkhcc_helpers.labels_compatible import (
    list_claim_labels,
    list_design_labels,
    list_pair_labels,
    list_statistic_labels,
    show_statistic,
)
from nkhcc_helpers.numbers import (
    format_count,
    format_estimate,
    format_interval,
    format_median,
    format_number,
    format_p,
    format_percent,
    format_ratio,
    format_ratio_interval,
    format_share,
)
from nkhcc_helpers.tables_claims import format_assumptions, format_claims, format_cohort_diagnostics
from nkhcc_helpers.tables_cohort import (
    format_baseline,
    format_disposition,
    format_exposure,
    format_follow_up,
    format_published,
)
from nkhcc_helpers.tables_compatible import (
    format_answers,
    format_candidates,
    format_conclusions,
    format_narrowing,
    format_signs,
)
from nkhcc_helpers.tables_cox import (
    format_design,
    format_hazard_ratios,
    format_model_comparison,
)
from nkhcc_helpers.tables_cox_checks import (
    format_codings,
    format_proportional_hazards,
    format_received,
    list_detectable,
)
from nkhcc_helpers.tables_cox_simulated import format_attained_cox, format_immortal_time
from nkhcc_helpers.tables_safety import (
    EVENTS_NOTE,
    TREATMENT_NOTES,
    format_adverse_events,
    format_shares,
)
from nkhcc_helpers.tables_safety_dose import (
    format_differences,
    format_dose_limiting,
    format_dose_relation,
    show_definition,
)
from nkhcc_helpers.tables_safety_listing import NOT_RECORDED_NOTE, format_listing
from nkhcc_helpers.tables_safety_rates import format_rates
from nkhcc_helpers.tables_safety_terms import SEVERITY_NOTE, format_terms
from nkhcc_helpers.tables_safety_timing import format_by_infusion, format_onset
from nkhcc_helpers.tables_survival import (
    format_comparison,
    format_curve,
    format_landmarks,
    format_survival_summary,
)
from nkhcc_helpers.tables_tests import (
    format_attained,
    format_coverage,
    format_pairs,
    format_recalibrated,
    format_rmst,
    format_tests,
)

__all__ = [
    "EVENTS_NOTE",
    "NOT_RECORDED_NOTE",
    "SEVERITY_NOTE",
    "TREATMENT_NOTES",
    "as_html",
    "display_table",
    "format_adverse_events",
    "format_answers",
    "format_assumptions",
    "format_attained",
    "format_attained_cox",
    "format_baseline",
    "format_by_infusion",
    "format_candidates",
    "format_claims",
    "format_codings",
    "format_cohort_diagnostics",
    "format_comparison",
    "format_conclusions",
    "format_count",
    "format_coverage",
    "format_curve",
    "format_design",
    "format_differences",
    "format_disposition",
    "format_dose_limiting",
    "format_dose_relation",
    "format_estimate",
    "format_exposure",
    "format_follow_up",
    "format_hazard_ratios",
    "format_immortal_time",
    "format_interval",
    "format_landmarks",
    "format_listing",
    "format_median",
    "format_model_comparison",
    "format_narrowing",
    "format_number",
    "format_onset",
    "format_p",
    "format_pairs",
    "format_percent",
    "format_proportional_hazards",
    "format_published",
    "format_rates",
    "format_ratio",
    "format_ratio_interval",
    "format_recalibrated",
    "format_received",
    "format_rmst",
    "format_share",
    "format_shares",
    "format_signs",
    "format_survival_summary",
    "format_terms",
    "format_tests",
    "list_claim_labels",
    "list_covariate_labels",
    "list_design_labels",
    "list_detectable",
    "list_pair_labels",
    "list_statistic_labels",
    "show_definition",
    "show_endpoint",
    "show_group",
    "show_groups",
    "show_interval",
    "show_method",
    "show_statistic",
    "write_csv",
]
