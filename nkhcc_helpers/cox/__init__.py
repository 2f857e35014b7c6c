"""What dose and infusion frequency do to the hazard, and what the groups can tell apart."""

from nkhcc_helpers.cox.calibration import attained_in_trial
from nkhcc_helpers.cox.design import (
    Unusable,
    code_trial,
    find_unusable,
    keep_estimable,
    list_contrasts,
    list_design_points,
)
from nkhcc_helpers.cox.diagnostics import (
    check_proportional_hazards,
    estimate_detectable,
    estimate_schoenfeld_residuals,
    leave_one_out,
    summarize_sweep,
    sweep_assumptions,
    sweep_codings,
)
from nkhcc_helpers.cox.fit import fit_cox
from nkhcc_helpers.cox.immortal_time import (
    count_events_before_plans_part,
    fit_received,
    list_infusion_intervals,
    simulate_immortal_time,
)
from nkhcc_helpers.cox.models import (
    compare_models,
    describe_design,
    fit_cox_many,
    list_separated,
    summarize_models,
)

__all__ = [
    "Unusable",
    "attained_in_trial",
    "check_proportional_hazards",
    "code_trial",
    "compare_models",
    "count_events_before_plans_part",
    "describe_design",
    "estimate_detectable",
    "estimate_schoenfeld_residuals",
    "find_unusable",
    "fit_cox",
    "fit_cox_many",
    "fit_received",
    "keep_estimable",
    "leave_one_out",
    "list_contrasts",
    "list_design_points",
    "list_infusion_intervals",
    "list_separated",
    "simulate_immortal_time",
    "summarize_models",
    "summarize_sweep",
    "sweep_assumptions",
    "sweep_codings",
]
