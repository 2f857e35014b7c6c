"""How results are named, shown on a page and recorded."""

from nkhcc_helpers.report.by_endpoint import say_each, show_each, show_progress
from nkhcc_helpers.report.display import display_table
from nkhcc_helpers.report.names import (
    list_claim_labels,
    list_covariate_labels,
    list_design_labels,
    list_pair_labels,
    list_statistic_labels,
    show_method,
)
from nkhcc_helpers.report.page import open_page

__all__ = [
    "display_table",
    "list_claim_labels",
    "list_covariate_labels",
    "list_design_labels",
    "list_pair_labels",
    "list_statistic_labels",
    "open_page",
    "say_each",
    "show_each",
    "show_method",
    "show_progress",
]
