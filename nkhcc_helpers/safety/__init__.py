"""Which adverse events there were, in whom, when, how often, and how groups compare.

`trial` is a `Trial` everywhere; groups stand in its order, then "All" for everyone.
"""

from nkhcc_helpers.safety.counts import (
    ANY_OF_CLASS,
    ANY_RELATED,
    ANY_TERM,
    BLOCK,
    CATEGORIES,
    GRADES,
    ORGAN_CLASS,
    OVERALL,
    TERM,
    count_adverse_events,
    count_by_term,
    count_evaluable,
    list_events,
    list_term_names,
    list_terms,
)
from nkhcc_helpers.safety.differences import estimate_differences, estimate_shares
from nkhcc_helpers.safety.exposure import (
    estimate_first_event,
    estimate_poisson_rate,
    estimate_rates,
    list_first_event,
    list_observation,
    list_time_at_risk,
)
from nkhcc_helpers.safety.listings import (
    LISTING_LABELS,
    LISTINGS,
    Definition,
    count_dose_limiting,
    describe_events,
    list_absent_terms,
    list_adverse_events,
    list_dose_limiting,
)
from nkhcc_helpers.safety.relation import (
    calculate_groups_p,
    calculate_trend_p,
    compare_groups,
    list_scores,
)
from nkhcc_helpers.safety.timing import (
    Timelines,
    count_by_infusion,
    list_timelines,
    summarize_onset,
)
from nkhcc_helpers.safety.totals import TotalsError, check_totals
from nkhcc_helpers.trial.patients import GROUPS
from nkhcc_helpers.trial.selection import describe_treatment, group_by_treatment

__all__ = [  # noqa: RUF022, in the order a reader meets them
    "GROUPS",
    "group_by_treatment",
    "describe_treatment",
    "list_events",
    "describe_events",
    "count_evaluable",
    "CATEGORIES",
    "count_adverse_events",
    "estimate_shares",
    "estimate_differences",
    "BLOCK",
    "OVERALL",
    "TERM",
    "ORGAN_CLASS",
    "ANY_TERM",
    "ANY_OF_CLASS",
    "ANY_RELATED",
    "GRADES",
    "count_by_term",
    "list_terms",
    "list_term_names",
    "list_observation",
    "list_time_at_risk",
    "estimate_rates",
    "estimate_poisson_rate",
    "list_first_event",
    "estimate_first_event",
    "summarize_onset",
    "count_by_infusion",
    "list_timelines",
    "Timelines",
    "Definition",
    "count_dose_limiting",
    "list_absent_terms",
    "compare_groups",
    "list_scores",
    "calculate_trend_p",
    "calculate_groups_p",
    "LISTINGS",
    "LISTING_LABELS",
    "list_adverse_events",
    "list_dose_limiting",
    "check_totals",
    "TotalsError",
]
