"""A headline value over the runs of a batch: by each parameter that varied, or as a grid of two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter

from nkhcc_helpers.report.figures.style import (
    FAINT,
    GREY,
    INK,
    LEVEL,
    SMALL,
    WIDTH,
    group_palette,
    in_house_style,
    open_left,
    plain,
    say_nothing_to_show,
    set_ratio_axis,
    tell_apart,
)
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_headline, format_tick

MOST_ROWS, MOST_COLUMNS = 30, 10
MOST_WITH_LIMITS = 5  # columns of a grid up to which limits fit in its cells
MOST_LIMITS = 12  # runs in a row up to which their limits are drawn
# Times as far as the limits of half of the runs reach, and no further, goes an axis.
MOST_ROOM, MOST_ROOM_LOG = 20, 3
# An axis or scale of colours is no shorter than this share of a value, so that small differences look small.
LEAST_SPAN = 0.2
FILLED = 0.8  # share of a grid's cells from which on it is drawn as one
EMPTY = "(empty)"
COLOUR = group_palette(["run"])["run"]
MARK = {
    "linestyle": "",
    "marker": "o",
    "markersize": 6,
    "markeredgecolor": COLOUR,
    "markerfacecolor": "white",
}
OTHER = MARK | {"marker": "D", "markersize": 7, "markeredgecolor": INK}
DEFAULT = MARK | {"markersize": 7, "markeredgecolor": INK, "markerfacecolor": INK}
STROKE = {"linestyle": "", "marker": "|", "markersize": 11, "markeredgecolor": LEVEL["color"]}
CORNER = {"linestyle": "", "marker": "s", "markersize": 5, "color": INK}
OUTLINE = {"fill": False, "edgecolor": INK, "linewidth": 2.2}
NOT_SAME = "Another conclusion"


@in_house_style
def plot_sensitivity(runs: pd.DataFrame, varied: Sequence[str]) -> Axes:
    """A headline value in each run: a block of rows per parameter that varied, or two of them as a grid.

    Parameters
    ----------
    runs : pandas.DataFrame
        A row per run, in the plan's order: columns ``label value ci_lower ci_upper null level unit kind``, a
        column of text for each of `varied`, ``is_reference`` for the run that the others are held against,
        ``differs`` for those with another conclusion and ``excludes`` for those whose limits leave the null
        out. What is not estimable stands as NE at the margin.
    varied : sequence of str
        Parameters. Of one with more values than fit, those without another conclusion share a row.
    """
    runs = runs.reset_index(drop=True)
    if runs["value"].isna().all():
        return say_nothing_to_show(Figure(figsize=(WIDTH, 2)).subplots(), "Not estimable in any run")
    if len(varied) == 2:
        down, across = sorted(varied, key=lambda name: -runs[name].nunique())
        n_down, n_across = runs[down].nunique(), runs[across].nunique()
        fits = 2 <= n_across <= MOST_COLUMNS and n_down <= MOST_ROWS
        if fits and len(runs) >= FILLED * n_down * n_across and not runs.duplicated([down, across]).any():
            return _draw_grid(runs, down, across)
    return _draw_rows(runs, varied)


def _draw_rows(runs: pd.DataFrame, varied: Sequence[str]) -> Axes:
    blocks = [_lay_out_rows(runs, name) for name in varied]
    heights = [_choose_height(places, len(names)) for places, names in blocks]
    figure = Figure(figsize=(WIDTH, 1.0 + sum(heights)))
    panels = figure.subplots(len(blocks), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    reference = runs[runs["is_reference"]].iloc[0]
    _set_axis(panels[-1], runs, reference)
    for panel, name, (places, names) in zip(panels, varied, blocks, strict=True):
        laid_out = runs.assign(y=places + _spread(places))
        _draw_block(panel, laid_out, places)
        _draw_bounds(panel, laid_out)
        panel.axvline(reference["value"], color=INK, linewidth=0.9, zorder=1)
        panel.set_title(plain(name), fontsize=SMALL, fontweight="bold")
        panel.set_yticks(range(len(names)), tell_apart(names, 34), fontsize=SMALL)
        panel.set_ylim(len(names) - 0.5, -0.5)
        for y in range(1, len(names)):
            panel.axhline(y - 0.5, color=FAINT, linewidth=0.6)
        open_left(panel)
        panel.tick_params(axis="y", pad=9)  # room for the arrows
    panels[-1].set_xlabel(_name_axis(reference))
    figure.legend(handles=_explain(runs, reference), loc="outside upper left", ncols=5, fontsize=SMALL)
    return panels[0]


def _choose_height(places: pd.Series, n_rows: int) -> float:
    """Inches of a block: rows as high as the fullest needs, unless there are many."""
    wanted = 0.22 + 0.07 * min(places.value_counts().max(), 8)
    return 0.3 + n_rows * min(wanted, max(0.22, 9 / n_rows))


def _lay_out_rows(runs: pd.DataFrame, name: str) -> tuple[pd.Series, list[str]]:
    """The row of each run, and what the rows are called; values beyond those that fit share the last one."""
    values = list(dict.fromkeys(runs[name]))
    if len(values) > MOST_ROWS:
        told = runs["is_reference"] | runs["differs"] | runs["value"].isna()
        first = [*dict.fromkeys(runs.loc[told, name]), *values]
        own = set(list(dict.fromkeys(first))[: MOST_ROWS - 1])
        values = [value for value in values if value in own]
    rows = {value: i for i, value in enumerate(values)}
    places = runs[name].map(rows).fillna(len(rows)).astype(int)
    n_others = runs.loc[places == len(rows), name].nunique()
    return places, [value or EMPTY for value in values] + ([f"{n_others:,} other values"] if n_others else [])


def _spread(places: pd.Series) -> pd.Series:
    """How far each run stands from the middle of its row, so that those of one row can be told apart."""
    n_runs = places.groupby(places).transform("size")
    return (places.groupby(places).cumcount() - (n_runs - 1) / 2) * np.minimum(0.2, 0.7 / n_runs)


def _draw_block(ax: Axes, runs: pd.DataFrame, places: pd.Series) -> None:
    known, (low, high) = runs[runs["value"].notna()], ax.get_xlim()
    # A run without limits, where others have some, is without end on both sides.
    limited = known if runs[["ci_lower", "ci_upper"]].notna().any(axis=None) else known.iloc[:0]
    limited = limited[places.groupby(places).transform("size")[limited.index] <= MOST_LIMITS]
    lower, upper = limited["ci_lower"].fillna(-np.inf), limited["ci_upper"].fillna(np.inf)
    ax.hlines(limited["y"], lower.clip(low, high), upper.clip(low, high), color=GREY, linewidth=0.9, zorder=2)
    for end, marker, beyond in ((low, "<", lower < low), (high, ">", upper > high)):
        for y in limited["y"][beyond]:
            ax.plot(end, y, marker, color=GREY, markersize=4, clip_on=False)
    is_usual = ~known["differs"] & ~known["is_reference"]
    for look, part in ((MARK, is_usual), (OTHER, known["differs"]), (DEFAULT, known["is_reference"])):
        shown = known[part]
        ax.plot(shown["value"].clip(low, high), shown["y"], zorder=3, rasterized=len(shown) > 500, **look)
    for place, part in runs[runs["value"].isna()].groupby(places):
        text = NOT_ESTIMABLE if len(part) == 1 else f"{len(part):,} {NOT_ESTIMABLE}"
        text += " (default)" if part["is_reference"].any() else ""
        at = {"xycoords": ax.get_yaxis_transform(), "xytext": (7, 0), "textcoords": "offset points"}
        ax.annotate(text, (1, place), va="center", fontsize=SMALL, annotation_clip=False, **at)


def _draw_bounds(ax: Axes, runs: pd.DataFrame) -> None:
    """What values are held against: a line, or a stroke for each run where it is not the same for all."""
    for name in ("level", "null"):
        bounds = runs[name].dropna()
        if len(set(bounds)) == 1:
            ax.axvline(bounds.iloc[0], zorder=1, **LEVEL)
        elif len(bounds):
            ax.plot(bounds, runs["y"][bounds.index], zorder=1, **STROKE)


def _set_axis(ax: Axes, runs: pd.DataFrame, reference: pd.Series) -> None:
    low, high = _find_ends(runs, reference)
    if _is_log(reference):
        set_ratio_axis(ax, "x", low, high, room=70)
    else:
        ax.set_xlim(low, high)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: format_tick(tick)))


def _find_ends(runs: pd.DataFrame, reference: pd.Series) -> tuple[float, float]:
    """Ends that hold every value, what it is held against, and all limits but those far beyond most."""
    numbers, is_log = (
        runs[["value", "level", "null", "ci_lower", "ci_upper"]].astype(float),
        _is_log(reference),
    )
    if is_log:
        numbers = np.log(numbers.where(numbers > 0))
    shown = numbers[["value", "level", "null"]]
    lowest, highest = shown.min(axis=None), shown.max(axis=None)
    least = LEAST_SPAN * (1.0 if is_log else max(abs(lowest), abs(highest)) or 1.0)
    widen = max(0.0, least - (highest - lowest)) / 2
    lowest, highest = lowest - widen, highest + widen
    lower, upper = numbers["value"] - numbers["ci_lower"], numbers["ci_upper"] - numbers["value"]
    times = MOST_ROOM_LOG if is_log else MOST_ROOM
    reaches = (times * reach.median() for reach in (lower, upper) if reach.notna().any())
    room = max([highest - lowest, *reaches])
    low, high = max(numbers.min(axis=None), lowest - room), min(numbers.max(axis=None), highest + room)
    low, high = min(low, lowest), max(high, highest)
    margin = 0.04 * (high - low)
    return (np.exp(low - margin), np.exp(high + margin)) if is_log else (low - margin, high + margin)


def _is_log(reference: pd.Series) -> bool:
    return reference["kind"] in ("ratio", "p")


def _name_axis(reference: pd.Series) -> str:
    unit = f" ({reference['unit']})" if reference["unit"] else ""
    return plain(f"{reference['label']}{unit}", 64)


def _explain(runs: pd.DataFrame, reference: pd.Series) -> list[Line2D]:
    marks = {"Default run" if reference["is_default"] else "Run of reference": DEFAULT, "Other runs": MARK}
    marks |= {NOT_SAME: OTHER} if runs["differs"].any() else {}
    handles = [Line2D([], [], label=label, **look) for label, look in marks.items()]
    if runs[["ci_lower", "ci_upper"]].notna().any(axis=None):
        handles.append(Line2D([], [], color=GREY, linewidth=0.9, label="Limits"))
    for name, label in (("level", "Level"), ("null", "No effect")):
        bounds = set(runs[name].dropna())
        if len(bounds) == 1:
            handles.append(Line2D([], [], label=f"{label}: {bounds.pop():g}", **LEVEL))
        elif bounds:
            handles.append(Line2D([], [], label=f"{label} of each run", **STROKE))
    return handles


def _draw_grid(runs: pd.DataFrame, down: str, across: str) -> Axes:
    rows, columns = (list(dict.fromkeys(runs[name])) for name in (down, across))
    limited = runs[["ci_lower", "ci_upper"]].notna().any(axis=None)
    texts = [_write_cell(run, limited, len(columns)) for run in runs.to_dict("records")]
    height = 0.36 if max(text.count("\n") for text in texts) == 0 else 0.5
    ax = Figure(figsize=(WIDTH, 1.4 + height * len(rows))).subplots()
    reference = runs[runs["is_reference"]].iloc[0]
    grid = runs.pivot_table("value", down, across, dropna=False).reindex(index=rows, columns=columns)
    shades = ListedColormap(sns.light_palette(COLOUR, 100)[:60])  # text on the darkest can still be read
    # As far as an axis would go: a difference that is small beside the limits, or to the level, stays pale.
    ends = _find_ends(runs, reference)
    norm = LogNorm(*ends) if _is_log(reference) else Normalize(*ends)
    ax.imshow(grid, cmap=shades, norm=norm, aspect="auto")
    for run, text in zip(runs.to_dict("records"), texts, strict=True):
        x, y = columns.index(run[across]), rows.index(run[down])
        weight = "bold" if run["is_reference"] else "normal"
        ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, fontweight=weight, color=INK)
        if run["is_reference"]:
            ax.plot(x - 0.43, y - 0.3, **DEFAULT | {"markersize": 5})
        if run["excludes"]:
            ax.plot(x + 0.43, y - 0.3, **CORNER)
        if run["differs"]:
            ax.add_patch(Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, **OUTLINE))
    ax.set_yticks(range(len(rows)), tell_apart([row or EMPTY for row in rows], 34), fontsize=SMALL)
    names = tell_apart([column or EMPTY for column in columns], max(8, 72 // len(columns)), 2)
    ax.set_xticks(range(len(columns)), names, fontsize=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel=plain(across), ylabel=plain(down), title=_name_axis(reference) + "; darker is larger")
    handles = [_explain(runs, reference)[0]]
    if runs["excludes"].any():
        handles.append(Line2D([], [], label=f"Limits leave out {reference['null']:g}", **CORNER))
    if runs["differs"].any():
        handles.append(Patch(label=NOT_SAME, **OUTLINE))
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=SMALL)
    return ax


def _write_cell(run: dict, is_limited: bool, n_columns: int) -> str:
    """A value, and below it its limits where they fit."""
    value = format_headline(run["kind"], run["value"])
    whole = format_headline(run["kind"], run["value"], (run["ci_lower"], run["ci_upper"]))
    return whole.replace(" (", "\n(") if is_limited and n_columns <= MOST_WITH_LIMITS else value
