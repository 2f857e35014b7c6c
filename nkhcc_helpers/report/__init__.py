"""How results are named, shown on a page and recorded."""

from nkhcc_helpers.report.names import (
    list_claim_labels,
    list_covariate_labels,
    list_design_labels,
    list_pair_labels,
    list_statistic_labels,
)
from nkhcc_helpers.report.page import open_page

__all__ = [
    "list_claim_labels",
    "list_covariate_labels",
    "list_design_labels",
    "list_pair_labels",
    "list_statistic_labels",
    "open_page",
]
