"""Tables keep their style where a style sheet is overruled or taken away."""

import re

import pandas as pd
import pytest

from nkhcc_helpers.report.display import MOST_ROWS, display_table
from nkhcc_helpers.report.paper import print_on_paper

HOSTILE = '<td class="gt_row"> & "quoted"'


def make_table(n_rows):
    frame = pd.DataFrame({"block": "Y", "row": HOSTILE, "number": range(n_rows)})
    options = {"labels": {"row": "", "number": "Number"}, "row_group": "block", "notes": ["Note"]}
    return display_table(frame, title="Title", subtitle="More", spanners=[("Over", ["number"])], **options)


def list_tags(markup, name):
    return re.findall(rf"<{name}\b[^>]*>", markup)


@pytest.mark.parametrize("n_rows", [0, 2, MOST_ROWS + 1])
def test_every_row_and_cell_has_its_style_in_its_tag(n_rows):
    plain = make_table(n_rows).as_raw_html()
    styled = print_on_paper(plain)
    grounds = list_tags(styled, "table") + list_tags(styled, "tr")
    assert all("background-color:#ffffff" in tag for tag in grounds)
    cells = list_tags(styled, "t[hd]")
    assert all("text-align:" in tag and "padding:" in tag for tag in cells)
    assert all(tag.count("style=") == 1 for tag in [*grounds, *cells])
    assert re.sub(r' style="[^"]*">', ">", styled) == re.sub(r' style="[^"]*">', ">", plain)
