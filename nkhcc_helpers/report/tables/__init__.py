"""Which table shows which result: the layouts, by the function or class that the result is from."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.cohort import (
    count_disposition,
    summarize_baseline,
    summarize_exposure,
    summarize_follow_up,
)
from nkhcc_helpers.cox import (
    attained_in_trial,
    check_proportional_hazards,
    compare_models,
    fit_received,
    simulate_immortal_time,
    summarize_models,
    sweep_codings,
)
from nkhcc_helpers.identification import compare_published, recalibrate_published
from nkhcc_helpers.report.display import display_table
from nkhcc_helpers.report.tables.cohort import (
    format_baseline,
    format_disposition,
    format_exposure,
    format_follow_up,
    format_published,
)
from nkhcc_helpers.report.tables.compatible import (
    format_answers,
    format_assumptions,
    format_claims,
    format_cohort_diagnostics,
    format_conclusions,
    format_narrowing,
    format_signs,
)
from nkhcc_helpers.report.tables.cox import (
    format_attained_cox,
    format_codings,
    format_hazard_ratios,
    format_immortal_time,
    format_model_comparison,
    format_proportional_hazards,
    format_received,
    list_detectable,
)
from nkhcc_helpers.report.tables.safety import (
    format_adverse_events,
    format_differences,
    format_listing,
    format_terms,
    list_event_notes,
)
from nkhcc_helpers.report.tables.safety_timing import (
    format_by_infusion,
    format_dose_limiting,
    format_dose_relation,
    format_onset,
    format_rates,
)
from nkhcc_helpers.report.tables.survival import (
    format_attained,
    format_comparison,
    format_coverage,
    format_curve,
    format_gray,
    format_incidence,
    format_landmarks,
    format_pairs,
    format_recalibrated,
    format_rmst,
    format_survival_summary,
    format_tests,
)
from nkhcc_helpers.safety import (
    compare_groups,
    count_by_infusion,
    count_by_term,
    count_dose_limiting,
    estimate_differences,
    estimate_rates,
    estimate_shares,
    list_adverse_events,
    list_dose_limiting,
    summarize_onset,
)
from nkhcc_helpers.survival import (
    attained_coverage,
    attained_size,
    compare_pairs,
    estimate_km,
    summarize_comparisons,
    summarize_incidence_at,
    summarize_rmst,
    summarize_survival,
    summarize_survival_at,
)
from nkhcc_helpers.survival.competing import IncidenceComparison
from nkhcc_helpers.survival.permutation import Comparison

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial

__all__ = [
    "format_answers",
    "format_assumptions",
    "format_claims",
    "format_cohort_diagnostics",
    "format_conclusions",
    "format_narrowing",
    "format_result",
    "format_signs",
    "list_detectable",
    "list_event_notes",
]
LAYOUTS = {
    count_disposition: format_disposition,
    summarize_baseline: format_baseline,
    summarize_exposure: format_exposure,
    summarize_follow_up: format_follow_up,
    compare_published: format_published,
    recalibrate_published: format_recalibrated,
    estimate_km: format_curve,
    summarize_survival: format_survival_summary,
    summarize_survival_at: format_landmarks,
    Comparison: format_comparison,
    summarize_comparisons: format_tests,
    attained_size: format_attained,
    attained_coverage: format_coverage,
    compare_pairs: format_pairs,
    summarize_incidence_at: format_incidence,
    IncidenceComparison: format_gray,
    summarize_rmst: format_rmst,
    summarize_models: format_hazard_ratios,
    attained_in_trial: format_attained_cox,
    compare_models: format_model_comparison,
    check_proportional_hazards: format_proportional_hazards,
    sweep_codings: format_codings,
    fit_received: format_received,
    simulate_immortal_time: format_immortal_time,
    estimate_shares: format_adverse_events,
    estimate_differences: format_differences,
    count_by_term: format_terms,
    list_adverse_events: format_listing,
    list_dose_limiting: format_listing,
    estimate_rates: format_rates,
    summarize_onset: format_onset,
    count_by_infusion: format_by_infusion,
    count_dose_limiting: format_dose_limiting,
    compare_groups: format_dose_relation,
}


def format_result(result: object, trial: Trial, *, about: str = "", **options) -> GT:
    """The table that shows a result.

    Parameters
    ----------
    result : Result, Comparison or pandas.DataFrame
        What a statistics function returned. A plain frame is shown as it is, by `display_table`.
    trial : Trial
        Knows what groups and endpoints are called.
    about : str
        Code of the endpoint that the page is about, for tables that name one and results that know none;
        empty for the trial's first.
    **options
        ``notes``: further lines under the table; and what else the table takes, such as ``labels``,
        ``title`` or ``endpoint``. They go before the options that the result carries.

    Returns
    -------
    great_tables.GT

    Raises
    ------
    TypeError
        No table shows such a result, or it takes no such option; a plain frame without ``title``.
    """
    made_by = getattr(result, "made_by", None)
    layout = LAYOUTS.get(made_by or type(result))
    if layout is None and isinstance(result, pd.DataFrame):
        if "title" not in options and options.keys() <= inspect.signature(display_table).parameters.keys():
            name = f" of {made_by.__name__}" if made_by else ""
            raise TypeError(
                f"this result{name} was changed after it was made, or no table shows it; "
                "give title=... and labels=..."
            )
        return display_table(result, illustrative=trial.is_illustrative, **options)
    if layout is None:
        raise TypeError(f"no table shows a {type(result).__name__}")
    carried = {"endpoint": about, **getattr(result, "options", {})}
    carried["endpoint"] = carried["endpoint"] or next(iter(trial.endpoint_labels))
    taken = inspect.signature(layout).parameters
    return layout(result, trial, **{name: carried[name] for name in carried if name in taken} | options)
