"""Which adverse events there were, in whom, when, how often, and how groups compare."""

from nkhcc_helpers.safety.counts import (
    ANY_OF_CLASS,  # noqa: F401
    ANY_RELATED,  # noqa: F401
    ANY_TERM,  # noqa: F401
    BLOCK,
    CATEGORIES,
    GRADES,  # noqa: F401
    ORGAN_CLASS,  # noqa: F401
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
    estimate_poisson_rate,  # noqa: F401
    estimate_rates,
    list_first_event,
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
    calculate_groups_p,  # noqa: F401
    calculate_trend_p,  # noqa: F401
    compare_groups,
    list_scores,  # noqa: F401
)
from nkhcc_helpers.safety.timing import (
    Timelines,  # noqa: F401
    count_by_infusion,
    list_timelines,
    summarize_onset,
)
from nkhcc_helpers.safety.totals import TotalsError, check_totals

# In the order a reader meets them; what is imported above and not named here is seldom wanted.
__all__ = [  # noqa: RUF022
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
    "count_by_term",
    "list_terms",
    "list_term_names",
    "list_time_at_risk",
    "estimate_rates",
    "list_first_event",
    "estimate_first_event",
    "summarize_onset",
    "count_by_infusion",
    "list_timelines",
    "Definition",
    "count_dose_limiting",
    "list_absent_terms",
    "compare_groups",
    "LISTINGS",
    "LISTING_LABELS",
    "list_adverse_events",
    "list_dose_limiting",
    "check_totals",
    "TotalsError",
]
