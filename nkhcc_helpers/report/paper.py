"""Tables as on paper: in each theme of JupyterLab, and in a notebook that it does not trust.

JupyterLab colours the rows of tables to its theme, and takes style sheets out of what it does not trust, such
as a notebook executed elsewhere; but not the styles that stand in tags.
"""

from __future__ import annotations

import re

_TAG = re.compile(r'<(table|tr|th|td)\b(?:[^>]* class="([^"]*)")?[^>]*>')
_LINE = "2px solid #444444"
_STYLES = {
    "table": "color:#333333;background-color:#ffffff;margin:0;border-collapse:collapse;"
    f"border-top:{_LINE};border-bottom:{_LINE}",
    "tr": "background-color:#ffffff",
    "gt_row": "padding:3px 10px;vertical-align:top;border-top:1px solid #e8e8e8",
    "gt_col_heading": f"padding:5px 10px;vertical-align:bottom;border-bottom:{_LINE}",
    "gt_column_spanner_outer": "padding:5px 4px;vertical-align:bottom",
    "gt_title": "padding:4px 5px;font-size:15px;font-weight:bold;text-align:left",
    "gt_subtitle": "padding:3px 5px;text-align:left",
    "gt_group_heading": "padding:4px 5px;text-align:left;border-top:2px solid #bbbbbb",
    "gt_sourcenote": "padding:2px 5px;text-align:left",
    "gt_stub": "font-weight:normal",
    "gt_left": "text-align:left",
    "gt_center": "text-align:center",
}
"""By tag and by class, as great_tables names them; what they say stands in its style sheet, too."""


def print_on_paper(table: str) -> str:
    """The HTML of a table with its style in its tags."""
    return _TAG.sub(_add_style, table)


def _add_style(tag: re.Match[str]) -> str:
    names = [tag[1], *(tag[2] or "").split()]
    styles = ";".join(_STYLES[name] for name in names if name in _STYLES)
    return f'{tag[0][:-1]} style="{styles}">' if styles else tag[0]
