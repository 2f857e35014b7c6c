"""One door to Cox regression on dose and infusion frequency.

What the groups can separate is in `design`; fits are in `cox_fit`, of many cohorts at once in `cox_many`, on
the likelihood of `partial_likelihood`; tests and limits by relabelling patients in `relabelling` and
`relabelling_limits`; comparison of models in `cox_models`, checks in `cox_diagnostics`, what hangs on an
assumption in `assumption_sweep`, how far to trust it all in `cox_calibration`
and `trial_calibration`, infusions received in
`immortal_time`.
"""

from nkhcc_helpers.assumption_sweep import summarize_sweep, sweep_assumptions, sweep_codings
from nkhcc_helpers.cox_calibration import attained_cox
from nkhcc_helpers.cox_diagnostics import (
    check_proportional_hazards,
    estimate_detectable,
    estimate_schoenfeld_residuals,
    leave_one_out,
)
from nkhcc_helpers.cox_fit import CoxFit, fit_cox
from nkhcc_helpers.cox_many import CohortFits, fit_cox_many
from nkhcc_helpers.cox_models import compare_models, list_separated, summarize_models
from nkhcc_helpers.design import (
    Design,
    code_covariates,
    code_trial,
    count_events_before_plans_part,
    describe_design,
    find_unusable,
    keep_estimable,
    list_contrasts,
    list_design_points,
)
from nkhcc_helpers.immortal_time import fit_received, list_infusion_intervals, simulate_immortal_time
from nkhcc_helpers.relabelling import permute_covariate
from nkhcc_helpers.relabelling_limits import estimate_exact_limits
from nkhcc_helpers.trial_calibration import attained_in_trial

__all__ = [
    "CohortFits",
    "CoxFit",
    "Design",
    "attained_cox",
    "attained_in_trial",
    "check_proportional_hazards",
    "code_covariates",
    "code_trial",
    "compare_models",
    "count_events_before_plans_part",
    "describe_design",
    "estimate_detectable",
    "estimate_exact_limits",
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
    "permute_covariate",
    "simulate_immortal_time",
    "summarize_models",
    "summarize_sweep",
    "sweep_assumptions",
    "sweep_codings",
]
