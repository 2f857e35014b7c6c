"""One house style for every table shown: a frame of strings in, a great_tables table out.

All text is escaped here, once, and reaches great_tables as finished HTML. Its own handling of plain strings
reads ``{{...}}`` in column labels as units (and lets markup beside the braces through), and a notebook front
end would typeset ``$...$``; neither may happen to text that comes from data.
"""

from __future__ import annotations

import functools
import hashlib
import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd
from great_tables import GT
from great_tables import html as finished_html

from nkhcc_helpers.report.names import name_exposure, show_group
from nkhcc_helpers.report.numbers import NOT_APPLICABLE, NOT_ESTIMABLE, format_median, format_number, format_p

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

ILLUSTRATIVE_NOTE = "Illustrative data, not patient data."
NUMERIC_HEAD = re.compile(r"([<>]?[-+]?\d+|NE(?= ))(.*)", re.DOTALL)
SIZE = re.compile(r"\(n = \d+\)$")
ACTIVE = {"{": "&#123;", "}": "&#125;", "$": "<span>$</span>", "\\": "<span>\\</span>", "\n": "<br>"}
WIDTHS = {"0123456789<>+": 1.0, " .,:": 0.5, "-()[]": 0.6, "%": 1.6}  # of characters, in digits
MOST_ROWS = 150
"""Rows up to which a table is shown whole; a longer one is folded."""
OPEN_ROWS, FOLDED_ROWS = 40, 400
"""Rows of a folded table without blocks that are seen at once; most rows under one heading."""
BLOCK, ROW = "block", "row"  # columns of what heads blocks and rows
BODY, HEADING = '<tbody class="gt_table_body">', 'class="gt_group_heading_row"'  # as great_tables writes them
FOLD = 'style="font-size: 13px; margin: 4px 0"'
LAYOUTS: dict[object, Callable[..., GT]] = {}  # of results, by the function or class that they are from
STYLE = """
#{id} {{max-width: 100%;}}
#{id} table {{font-variant-numeric: tabular-nums;}}
#{id} .gt_col_heading {{max-width: 13em; white-space: normal; vertical-align: bottom;}}
#{id} .gt_row {{vertical-align: top; max-width: 26em; overflow-wrap: break-word;}}
#{id} .gt_title {{font-weight: bold;}}
#{id} .gt_stub {{position: sticky; left: 0; background-color: #ffffff; border-right: 0; min-width: 9em;}}
#{id} .gt_sourcenote {{text-align: left;}}
#{id} .note {{display: block; width: 0; min-width: 100%;}}
#{id} .number {{white-space: nowrap;}}
@media print {{#{id} {{overflow: visible !important; break-inside: avoid;}}
#{id} .gt_stub {{position: static;}}}}
"""


def display_table(
    frame: pd.DataFrame,
    *,
    title: str,
    subtitle: str = "",
    labels: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    row_group: str | None = None,
    spanners: Iterable[tuple[str, list[str]]] = (),
    notes: Iterable[str] = (),
    decimals: int | Mapping[str, int] = 1,
    illustrative: bool = False,
) -> GT | FoldedTable:
    """A table to look at, in the house style: a row per row of `frame`, headed by its first column.

    Strings are shown as they are, as text; whole numbers whole, others with `decimals` after the point (for
    all, or by column); missing numbers as ``NE``, missing text as ``-``. `labels` and `groups` are headings
    of columns, `groups` of those that hold one trial group each and are centred. The values of column
    `row_group` head blocks of rows, which come together; `spanners` are headings over neighbouring columns.
    `notes` under the table name the method. Beyond `MOST_ROWS` rows all but the first block, or the first
    rows, are folded, and beyond `FOLDED_ROWS` under one heading left out, as a note then says. ValueError
    where a column has no heading, or there is no column.
    """
    headings = {**(labels or {}), **(groups or {})}
    frame = frame.reset_index(drop=True)
    if frame.empty and row_group is not None:
        frame, row_group = frame.drop(columns=row_group), None
    shown = [column for column in frame.columns if column != row_group]
    _check_headings(shown, headings)
    frame, cut = _cut_rows(frame, row_group)
    text = _cells_as_text(frame, decimals) if len(frame) else _nothing_to_show(frame, shown[0])
    names = {column: f"c{i}" for i, column in enumerate(frame.columns)}
    cells = _cells_as_html(text, row_group, set(groups or {})).rename(columns=names)
    notes = [*notes, *cut, *([ILLUSTRATIVE_NOTE] if illustrative else [])]
    identity = _identity(text, title, subtitle, headings, notes)

    table = GT(cells, rowname_col=names[shown[0]], groupname_col=names.get(row_group), id=identity)
    table = table.fmt_passthrough(columns=list(cells.columns), escape=False)
    table = table.tab_header(title=_finished(title), subtitle=_finished(subtitle) if subtitle else None)
    table = table.tab_stubhead(_finished(headings[shown[0]]))
    table = table.cols_label({names[column]: _finished(headings[column]) for column in shown})
    for i, (heading, columns) in enumerate(spanners):
        table = table.tab_spanner(_finished(heading), [names[column] for column in columns], id=f"s{i}")
    for note in notes:
        table = table.tab_source_note(finished_html(f'<span class="note">{as_html(note)}</span>'))
    table = _styled(_aligned(table, text, shown, names, set(groups or {})), identity)
    return FoldedTable(table) if len(frame) > MOST_ROWS else table


def _cut_rows(frame: pd.DataFrame, row_group: str | None) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a long table that are shown, and the note that says how many are not."""
    if len(frame) <= MOST_ROWS:
        return frame, []
    place = frame.groupby(row_group or (lambda _: 0)).cumcount()
    kept = frame[place < FOLDED_ROWS].reset_index(drop=True)
    note = f"{len(kept):,} of {len(frame):,} rows are shown; the CSV file of this table has them all."
    return kept, [note] if len(kept) < len(frame) else []


@dataclass(frozen=True)
class FoldedTable:
    """A long table: the first block is open, each of the others behind its heading; or the first rows."""

    table: GT

    def as_raw_html(self) -> str:
        """The table as HTML that needs no script to unfold."""
        before, _, rest = self.table.as_raw_html().partition(BODY)
        body, _, after = rest.partition("</tbody>")
        rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
        starts = [i for i, row in enumerate(rows) if HEADING in row] or [0, OPEN_ROWS]
        first, *parts = (rows[start:end] for start, end in pairwise([*starts, len(rows)]))
        heads = re.sub(r'.*<thead>|<tr class="gt_heading">.*?</tr>| id="[^"]*"', "", before, flags=re.DOTALL)
        start = f'<table class="gt_table"><thead>{heads}{BODY}'
        for part in parts:
            heading = re.sub("<[^>]*>", "", part.pop(0)) if HEADING in part[0] else f"{len(part)} more rows"
            summary = f"<details {FOLD}><summary>{heading.strip()}</summary>"
            after = f"{after}{summary}{start}{''.join(part)}</tbody></table></details>"
        return f"{before}{BODY}{''.join(first)}</tbody>{after.replace('</div>', '', 1)}</div>"


@dataclass(frozen=True)
class Layout:
    """A table before it is drawn: its cells, and the options of `display_table`."""

    cells: pd.DataFrame
    options: dict


def shows_table(*makers: object, illustrative: bool = True, by_exposure: bool = False) -> Callable:
    """Make a function that lays out the result of these functions, or of these classes, return its table.

    It takes the result and its trial, and further `notes`. Under the table it is said where the trial's data
    are illustrative, unless `illustrative` is False: the table shows none of them; and of a table
    `by_exposure`, where it was not collected.
    """

    def decorate(lay_out: Callable[..., Layout]) -> Callable[..., GT]:
        @functools.wraps(lay_out)
        def format_table(result: object, trial: Trial, *args, notes: Iterable[str] = (), **options) -> GT:
            layout = lay_out(result, trial, *args, **options)
            told = [*layout.options.get("notes", ()), *(name_exposure(trial) if by_exposure else ()), *notes]
            options = {**layout.options, "notes": told}
            return display_table(layout.cells, **options, illustrative=illustrative and trial.is_illustrative)

        LAYOUTS.update(dict.fromkeys(makers, format_table))
        return format_table

    return decorate


def lay_out_rows(
    frame: pd.DataFrame, columns: Mapping, *, block: Callable[[dict], str] | None = None, **options
) -> Layout:
    """A row for each row of `frame`, laid out by its headings.

    `columns` maps a heading to what stands under it: a column of `frame`; a function that takes a row, as a
    dict, and returns the cell; or several of these by headings of their own, which it then spans. `block`
    takes a row and returns what heads the block it belongs to. `options` are those of `display_table`.
    """
    records = frame.to_dict("records")
    cells, labels, spanners = {}, {}, []
    for heading, under in columns.items():
        inner = under if isinstance(under, Mapping) else {"": under}
        for name, cell in inner.items():
            column = f"{heading}|{name}"
            cells[column] = list(frame[cell]) if isinstance(cell, str) else [cell(row) for row in records]
            labels[column] = name if inner is under else heading
        if inner is under:
            spanners.append((heading, [f"{heading}|{name}" for name in inner]))
    if block is not None:
        cells[BLOCK] = [block(row) for row in records]
        options["row_group"] = BLOCK
    return Layout(pd.DataFrame(cells), {"labels": labels, "spanners": spanners, **options})


def lay_out_groups(
    frame: pd.DataFrame,
    cells: Callable[[dict], Mapping],
    groups: Mapping[str, str],
    *,
    key: Iterable[str] = (),
    missing: str = NOT_APPLICABLE,
    **options,
) -> Layout:
    """A column for each group, `groups` being codes and headings.

    `cells` takes a row of `frame`, as a dict, and returns the cells of that row's group, each by what heads
    its row, or by a pair: what heads its block, and its row. Columns `key` tell the rows of a group apart;
    `missing` stands where a group has no such row.
    """
    rows: dict[tuple, dict] = {}
    for record in frame.to_dict("records"):
        of = tuple(str(record[column]) for column in key)
        for place, cell in cells(record).items():
            block, heading = place if isinstance(place, tuple) else ("", place)
            row = rows.setdefault((of, block, heading), {BLOCK: block, ROW: heading})
            row[f"group {record['group']}"] = cell
    headings = {f"group {code}": heading for code, heading in groups.items()}
    table = pd.DataFrame(list(rows.values()), columns=[BLOCK, ROW, *headings], dtype="object").fillna(missing)
    if table[BLOCK].any():
        options["row_group"] = BLOCK
    else:
        table = table.drop(columns=BLOCK)
    return Layout(table, {"labels": {ROW: "What"}, "groups": headings, **options})


def number(column: str, decimals: int = 0) -> Callable[[dict], str]:
    """A cell that shows the number in `column`."""
    return lambda row: format_number(row[column], decimals)


def p_value(column: str) -> Callable[[dict], str]:
    """A cell that shows the P value in `column`."""
    return lambda row: format_p(row[column])


def group(trial: Trial) -> Callable[[dict], str]:
    """A cell that shows the label of the group."""
    return lambda row: show_group(row["group"], trial)


def median_with_limits(row: dict) -> str:
    """A cell that shows the median with its limits."""
    return format_median(row["median"], row["ci_lower"], row["ci_upper"])


def as_html(text: object) -> str:
    """Text as HTML that shows exactly that text: no markup, no units, no mathematics."""
    return "".join(ACTIVE.get(character, character) for character in html.escape(str(text)))


def _finished(text: object):
    return finished_html(SIZE.sub(r'<span class="number">\g<0></span>', as_html(text)))


def _check_headings(columns: list, headings: Mapping[str, str]) -> None:
    if not columns:
        raise ValueError("The table has no columns to show; give a frame with at least one column.")
    missing = [str(column) for column in columns if column not in headings]
    if missing:
        raise ValueError(f"No heading for column {', '.join(missing)}: name it in `labels` or `groups`.")


def _cells_as_text(frame: pd.DataFrame, decimals: int | Mapping[str, int]) -> pd.DataFrame:
    columns = {}
    for column in frame.columns:
        digits = decimals.get(column, 1) if isinstance(decimals, Mapping) else decimals
        columns[column] = [_cell_as_text(value, frame[column].dtype, digits) for value in frame[column]]
    return pd.DataFrame(columns, columns=frame.columns, dtype="object")


def _cell_as_text(value: object, dtype: object, decimals: int) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        return NOT_ESTIMABLE if numeric else NOT_APPLICABLE
    if pd.api.types.is_bool(value):
        return "Yes" if value else "No"
    if pd.api.types.is_integer(value):
        return str(value)
    if pd.api.types.is_float(value):
        return format_number(value, decimals)
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    return str(value)


def _nothing_to_show(frame: pd.DataFrame, first: str) -> pd.DataFrame:
    return pd.DataFrame(
        {column: ["None" if column == first else ""] for column in frame.columns}, dtype="object"
    )


def _is_numeric_text(cells: pd.Series) -> bool:
    filled = [cell for cell in cells if cell not in ("", NOT_APPLICABLE, NOT_ESTIMABLE)]
    return bool(filled) and all(NUMERIC_HEAD.fullmatch(cell) for cell in filled)


def _cells_as_html(text: pd.DataFrame, row_group: str | None, groups: set) -> pd.DataFrame:
    cells = {}
    for column in text.columns:
        if column != row_group and (column in groups or _is_numeric_text(text[column])):
            cells[column] = _decimal_aligned(list(text[column]))
        else:
            cells[column] = [as_html(cell) for cell in text[column]]
    return pd.DataFrame(cells, columns=text.columns, dtype="object")


def _decimal_aligned(cells: list[str]) -> list[str]:
    """Cells of one width whose first numbers line up at the point; padded, so that their text stays whole."""
    parts = [NUMERIC_HEAD.fullmatch(cell) for cell in cells]
    head = max((len(part[1]) for part in parts if part), default=0)
    tail = max((_width(part[2]) for part in parts if part), default=0)
    return [
        _padded(part, head, tail) if part else as_html(cell) for part, cell in zip(parts, cells, strict=True)
    ]


def _width(text: str) -> float:
    """About how wide text is, in digits."""
    return sum(next((width for of, width in WIDTHS.items() if character in of), 0.85) for character in text)


def _padded(part: re.Match[str], head: int, tail: float) -> str:
    left = head - len(part[1])
    right = tail - _width(part[2])
    return f'<span class="number" style="padding:0 {right:.1f}ch 0 {left}ch">{as_html(part[0])}</span>'


def _aligned(table: GT, text: pd.DataFrame, shown: list, names: dict, groups: set) -> GT:
    for column in shown[1:]:
        centred = column in groups or _is_numeric_text(text[column])
        table = table.cols_align("center" if centred else "left", columns=[names[column]])
    return table


def _identity(text: pd.DataFrame, *parts: object) -> str:
    """Name of the table in the page: the same table gets the same name on every run."""
    content = repr((parts, text.to_dict("split")))
    return "table-" + hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:10]


def _styled(table: GT, identity: str) -> GT:
    return table.tab_options(
        table_font_size="13px",
        table_additional_css=STYLE.format(id=identity),
        table_margin_left="0px",
        table_margin_right="auto",
        heading_align="left",
        heading_title_font_size="15px",
        heading_title_font_weight="bold",
        heading_subtitle_font_size="13px",
        column_labels_font_weight="bold",
        column_labels_padding_horizontal="10px",
        data_row_padding="3px",
        data_row_padding_horizontal="10px",
        row_group_padding="4px",
        row_group_font_weight="bold",
        source_notes_font_size="11px",
        source_notes_padding="2px",
        table_body_hlines_color="#e8e8e8",
        table_border_top_color="#444444",
        table_border_bottom_color="#444444",
        column_labels_border_top_color="#444444",
        column_labels_border_bottom_color="#444444",
        heading_border_bottom_color="#444444",
        table_body_border_bottom_color="#444444",
        row_group_border_top_color="#bbbbbb",
        row_group_border_bottom_color="#e8e8e8",
    )
