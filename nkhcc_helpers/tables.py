"""One door to everything that turns computed frames into text: numbers, display tables, CSV.

The work is done in `numbers` (numbers to strings), `display` (the house style), `exports` (CSV) and one module
per part of the report: `tables_cohort`, `tables_survival`, `tables_safety`.
"""

from nkhcc_helpers.display import as_html, display_table
from nkhcc_helpers.exports import write_csv
from nkhcc_helpers.numbers import (
    format_count,
    format_estimate,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_share,
)

__all__ = [
    "as_html",
    "display_table",
    "format_count",
    "format_estimate",
    "format_interval",
    "format_number",
    "format_p",
    "format_percent",
    "format_share",
    "write_csv",
]
