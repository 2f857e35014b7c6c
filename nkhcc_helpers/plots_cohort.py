"""Figures of the cohort: flow through the trial and enrolment over time."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.dates as mdates
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.numbers import format_number
from nkhcc_helpers.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    darken,
    group_lines,
    group_palette,
    in_house_style,
    known_groups,
    lighten,
    plain,
    say_nothing_to_show,
    spread_apart,
)

STAGES = {
    "n_treated": "Treated",
    "n_completed": "Completed\nplanned infusions",
    "n_progressed": "Progressed",
}
OUTCOMES = {"n_died": "Died", "n_alive": "Alive", "n_lost": "Lost"}
STAGE_COLUMN = 1.35  # inches, for the names of the stages
NARROWEST_BOX = 1.15
CHARACTERS_PER_INCH = 13  # of 9-point text
LINE_HEIGHT = 0.165


@in_house_style
def plot_flow(disposition: pd.DataFrame, labels: Mapping[str, str], *, ax: Axes | None = None) -> Axes:
    """Flow of patients from enrolment to the data cut-off, a column of boxes per group.

    Parameters
    ----------
    disposition : pandas.DataFrame
        As `cohort.count_disposition` returns it.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
    """
    groups = known_groups(disposition, labels)
    if not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows = {str(row["group"]): row for row in disposition.to_dict("records")}
    width = max(WIDTH, STAGE_COLUMN + len(groups) * NARROWEST_BOX)
    column = (width - STAGE_COLUMN) / len(groups)
    inner = 0.88 * column
    names = {g: plain(labels.get(g, g), int(CHARACTERS_PER_INCH * inner) - 1, lines=5) for g in groups}
    head = LINE_HEIGHT * (1 + max(name.count("\n") + 1 for name in names.values())) + 0.16
    heights = [0.4, head, *[0.36] * len(STAGES), 0.18 + 3 * LINE_HEIGHT]
    centres = _stack(heights, gap=0.32)
    height = centres[0] + heights[0] / 2 + 0.08
    ax = choose_axes(ax, height, width)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    _name_stages(ax, centres)
    middles = [STAGE_COLUMN + (i + 0.5) * column for i in range(len(groups))]
    _draw_root(ax, rows, groups, centres, heights, middles)
    colours = group_palette(labels or groups)
    for group, x in zip(groups, middles, strict=True):
        texts = _box_texts(rows[group], names[group])
        for i, text in enumerate(texts, start=1):
            colour = colours.get(group, INK)
            _draw_box(ax, x, centres[i], inner, heights[i], text, darken(colour, 0.1), lighten(colour, 0.82))
            if i > 1:
                _draw_arrow(ax, x, centres[i - 1] - heights[i - 1] / 2, centres[i] + heights[i] / 2)
    return ax


def _stack(heights: list[float], gap: float) -> list[float]:
    """Middles of boxes under one another, the last one standing a little above 0."""
    bottoms = [0.08 + sum(heights[i + 1 :]) + gap * (len(heights) - 1 - i) for i in range(len(heights))]
    return [bottom + height / 2 for bottom, height in zip(bottoms, heights, strict=True)]


def _name_stages(ax: Axes, centres: list[float]) -> None:
    names = ["", "By group", *STAGES.values(), "At data cut-off"]
    for name, y in zip(names, centres, strict=True):
        ax.text(STAGE_COLUMN - 0.1, y, name, ha="right", va="center", fontsize=SMALL, color=INK)


def _draw_root(ax: Axes, rows: dict, groups: list, centres: list, heights: list, middles: list) -> None:
    counts = [rows[group]["n_enrolled"] for group in groups]
    total = rows["All"]["n_enrolled"] if "All" in rows else sum(counts)
    middle = (middles[0] + middles[-1]) / 2
    text = f"Enrolled\nn = {format_number(total, 0)}"
    _draw_box(ax, middle, centres[0], 1.1, heights[0], text, GREY, "white")
    below, above = centres[0] - heights[0] / 2, centres[1] + heights[1] / 2
    rail = (below + above) / 2
    ax.plot([middle, middle], [below, rail], color=GREY, linewidth=1)
    ax.plot([middles[0], middles[-1]], [rail, rail], color=GREY, linewidth=1)
    for x in middles:
        _draw_arrow(ax, x, rail, above)


def _box_texts(row: dict, name: str) -> list[str]:
    outcomes = [f"{label} {format_number(row[column], 0)}" for column, label in OUTCOMES.items()]
    stages = [format_number(row[column], 0) for column in STAGES]
    return [f"{name}\nn = {format_number(row['n_enrolled'], 0)}", *stages, "\n".join(outcomes)]


def _draw_box(ax: Axes, x: float, y: float, width: float, height: float, text: str, edge, face) -> None:
    corner = (x - width / 2, y - height / 2)
    style = {"edgecolor": edge, "facecolor": face, "linewidth": 1.1}
    ax.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.05", **style))
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=INK, linespacing=1.15)


def _draw_arrow(ax: Axes, x: float, above: float, below: float) -> None:
    style = {"arrowstyle": "-|>", "color": GREY, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=(x, below), xytext=(x, above), arrowprops=style)


@in_house_style
def plot_enrolment(enrolment: pd.DataFrame, labels: Mapping[str, str], *, ax: Axes | None = None) -> Axes:
    """Patients enrolled so far in each group, over calendar time.

    Parameters
    ----------
    enrolment : pandas.DataFrame
        As `cohort.count_enrolment` returns it.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
    """
    enrolment = enrolment.dropna(subset=["date"])
    groups = known_groups(enrolment, labels)
    ax = choose_axes(ax, 4.0)
    if not groups:
        return say_nothing_to_show(ax)
    colours, lines = group_palette(labels or groups), group_lines(labels or groups)
    first, last = enrolment["date"].min(), enrolment["date"].max()
    edge = max((last - first) * 0.03, pd.Timedelta(days=3))
    ends = []
    for group in groups:
        rows = enrolment[enrolment["group"].astype("str") == group]
        dates = [rows["date"].iloc[0], *rows["date"], last + edge]
        counts = [0, *rows["n_enrolled"], rows["n_enrolled"].iloc[-1]]
        look = {"color": colours.get(group, INK), "linestyle": lines.get(group, "-")}
        ax.step(dates, counts, where="post", linewidth=1.9, **look)
        ends.append(float(counts[-1]))
    top = max(ends)
    names = [plain(labels.get(group, group), 26, lines=2) for group in groups]
    gap = top * 0.052 * (1 + max(name.count("\n") for name in names))
    for group, name, y in zip(groups, names, spread_apart(ends, gap), strict=True):
        colour = darken(colours.get(group, INK))
        at = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
        style = {"color": colour, "fontsize": SMALL, "linespacing": 1.05, "annotation_clip": False}
        ax.annotate(name, (1, y), xytext=(5, 0), **at, **style)
    ax.set_xlim(first - edge, last + edge)
    ax.set_ylim(0, top * 1.05)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    days = (last - first).days
    shown = "%d %b\n%Y" if days < 120 else "%b\n%Y" if days < 3000 else "%Y"
    ax.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=8))
    ax.xaxis.set_major_formatter(mdates.DateFormatter(shown))
    ax.set_ylabel("Patients enrolled")
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    return ax
