"""Which adverse events there were, in whom, when, how often, and how groups compare."""

from nkhcc_helpers.safety.counts import (
    ANY_OF_CLASS,
    ANY_RELATED,
    ANY_TERM,
    BLOCK,
    GRADES,
    LISTING_LABELS,
    LISTINGS,
    ORGAN_CLASS,
    OVERALL,
    TERM,
    count_adverse_events,
    count_by_term,
    count_evaluable,
    estimate_shares,
    list_adverse_events,
    list_term_names,
    list_terms,
)
from nkhcc_helpers.safety.differences import estimate_differences
from nkhcc_helpers.safety.dose_limiting import (
    Definition,
    count_dose_limiting,
    list_absent_terms,
    list_dose_limiting,
)
from nkhcc_helpers.safety.events import CATEGORIES, describe_events, list_events
from nkhcc_helpers.safety.exposure import (
    estimate_first_event,
    estimate_poisson_rate,
    estimate_rates,
    list_first_event,
    list_time_at_risk,
)
from nkhcc_helpers.safety.relation import calculate_groups_p, calculate_trend_p, compare_groups, list_scores
from nkhcc_helpers.safety.timing import Timelines, count_by_infusion, list_timelines, summarize_onset
from nkhcc_helpers.safety.totals import TotalsError, check_totals

__all__ = [
    "ANY_OF_CLASS",
    "ANY_RELATED",
    "ANY_TERM",
    "BLOCK",
    "CATEGORIES",
    "GRADES",
    "LISTINGS",
    "LISTING_LABELS",
    "ORGAN_CLASS",
    "OVERALL",
    "TERM",
    "Definition",
    "Timelines",
    "TotalsError",
    "calculate_groups_p",
    "calculate_trend_p",
    "check_totals",
    "compare_groups",
    "count_adverse_events",
    "count_by_infusion",
    "count_by_term",
    "count_dose_limiting",
    "count_evaluable",
    "describe_events",
    "estimate_differences",
    "estimate_first_event",
    "estimate_poisson_rate",
    "estimate_rates",
    "estimate_shares",
    "list_absent_terms",
    "list_adverse_events",
    "list_dose_limiting",
    "list_events",
    "list_first_event",
    "list_scores",
    "list_term_names",
    "list_terms",
    "list_time_at_risk",
    "list_timelines",
    "summarize_onset",
]
