"""One door to adverse events: which there were, in whom, when, how often, and how groups compare.

Who counts is in `populations`, which events count in `events`; counts, exact limits and listings are in
`safety_counts`, counts by organ class, term and worst grade in `safety_terms`; onset and duration in
`safety_timing`, rates in `exposure`, the first event in `first_event`, each patient's course in `timelines`;
dose-limiting toxicity in `dose_limiting`, exact tests across groups in `dose_relation`, risk differences in
`risk_difference`; `totals` and `recounts` check that all tables agree.
"""

from nkhcc_helpers.dose_limiting import (
    Definition,
    count_dose_limiting,
    list_absent_terms,
    list_dose_limiting,
)
from nkhcc_helpers.dose_relation import (
    calculate_groups_p,
    calculate_trend_p,
    compare_groups,
    list_scores,
)
from nkhcc_helpers.events import CATEGORIES, describe_events, list_events
from nkhcc_helpers.exposure import estimate_poisson_rate, estimate_rates, list_observation, list_time_at_risk
from nkhcc_helpers.first_event import estimate_first_event, list_first_event
from nkhcc_helpers.populations import GROUPS, describe_treatment, group_by_treatment
from nkhcc_helpers.risk_difference import estimate_differences
from nkhcc_helpers.safety_counts import (
    LISTING_LABELS,
    LISTINGS,
    count_adverse_events,
    count_evaluable,
    estimate_shares,
    list_adverse_events,
)
from nkhcc_helpers.safety_terms import (
    ANY_OF_CLASS,
    ANY_RELATED,
    ANY_TERM,
    BLOCK,
    GRADES,
    ORGAN_CLASS,
    OVERALL,
    TERM,
    count_by_term,
    list_terms,
)
from nkhcc_helpers.safety_timing import count_by_infusion, summarize_onset
from nkhcc_helpers.timelines import Timelines, list_timelines
from nkhcc_helpers.totals import TotalsError, check_totals

__all__ = [
    "ANY_OF_CLASS",
    "ANY_RELATED",
    "ANY_TERM",
    "BLOCK",
    "CATEGORIES",
    "GRADES",
    "GROUPS",
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
    "describe_treatment",
    "estimate_differences",
    "estimate_first_event",
    "estimate_poisson_rate",
    "estimate_rates",
    "estimate_shares",
    "group_by_treatment",
    "list_absent_terms",
    "list_adverse_events",
    "list_dose_limiting",
    "list_events",
    "list_first_event",
    "list_observation",
    "list_scores",
    "list_terms",
    "list_time_at_risk",
    "list_timelines",
    "summarize_onset",
]
