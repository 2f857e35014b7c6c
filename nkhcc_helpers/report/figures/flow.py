"""The flow of patients: how many came how far, and in what state they are over time."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from nkhcc_helpers.cohort import DISCONTINUED, LEFT_OUT
from nkhcc_helpers.report.figures.safety import wrap_label
from nkhcc_helpers.report.figures.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    WIDTH,
    add_grid,
    choose_axes,
    darken,
    explain_above,
    in_house_style,
    known_groups,
    lighten,
    list_looks,
    list_time_ticks,
    mark_times,
    name_groups,
    open_panels,
    plain,
    rows_of,
    say_nothing_to_show,
)
from nkhcc_helpers.report.numbers import format_number

# Told apart by lightness too.
OVER_TIME = {
    "treated": ("#08519c", "In treatment"),
    "followed": ("#9ecae1", "Followed, no progression known"),
    "progressed": ("#e6762b", "Followed after progression"),
    "left": (FAINT, "No longer followed"),
    "died": (GREY, "Died"),
}
MOST_COLUMNS = 4


TREATMENT = {
    "n_treated": "Treated",
    "n_completed": "As many as planned",
    "n_fewer": "Fewer than planned",
}
STATES = {
    "n_progressed": "Progressed",
    "n_died": "Died",
    "n_alive": "Alive",
    "n_lost": "Lost to follow-up",
}
STATES_HEADING = "Of all enrolled, by the end of follow-up"
STAGE_COLUMN = 1.5  # inches, for the names of the rows
NARROWEST_BOX = 1.15
CHARACTERS_PER_INCH = 13  # of 9-point text
LINE_HEIGHT = 0.165
ROW_HEIGHT = 0.23
ARROW = 0.32
PADDING = 0.08


@in_house_style
def plot_flow(disposition: pd.DataFrame, labels: Mapping[str, str], *, ax: Axes | None = None) -> Axes:
    """Flow of patients from enrolment to treatment, and what became of everyone, a column per group.

    An arrow means "of these"; below the line stand states of all enrolled, which no arrow leads to.

    Parameters
    ----------
    disposition : pandas.DataFrame
        As `cohort.count_disposition` returns it.
    """
    groups = known_groups(disposition, labels)
    if not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    reasons = [name for name in disposition if name.startswith(DISCONTINUED)]
    states = STATES | ({DISCONTINUED: "Discontinued"} if reasons else {})
    summed = disposition.assign(**{DISCONTINUED: disposition[reasons].sum(axis=1)})
    rows = {str(row["group"]): row for row in summed.to_dict("records")}
    width = max(WIDTH, STAGE_COLUMN + len(groups) * NARROWEST_BOX)
    column = (width - STAGE_COLUMN) / len(groups)
    inner = 0.9 * column
    looks = list_looks(groups, labels)
    names = name_groups(looks, int(CHARACTERS_PER_INCH * inner) - 1, lines=5)
    head = LINE_HEIGHT * (1 + max(name.count("\n") + 1 for name in names.values())) + 2 * PADDING
    heights = [max(0.4, LINE_HEIGHT * len(_list_left_out(rows)) + PADDING), head]
    heights += [ROW_HEIGHT * len(part) + PADDING for part in (TREATMENT, states)]
    tops = _stack(heights, gaps=[ARROW, ARROW, 0.5])
    height = tops[0] + PADDING
    ax = choose_axes(ax, height, width)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    _name_rows(ax, tops, heights, width, states)
    middles = [STAGE_COLUMN + (i + 0.5) * column for i in range(len(groups))]
    _draw_root(ax, rows, groups, tops, heights, middles)
    for group, x in zip(groups, middles, strict=True):
        colour = looks[group].colour
        look = {"edge": darken(colour, 0.1), "face": lighten(colour, 0.82)}
        text = f"{names[group]}\nn = {format_number(rows[group]['n_enrolled'], 0)}"
        _draw_box(ax, x, tops[1], inner, heights[1], **look)
        _write(ax, x, tops[1] - heights[1] / 2, text)
        _draw_arrow(ax, x, tops[1] - heights[1], tops[2])
        for i, part in ((2, TREATMENT), (3, states)):
            _draw_box(ax, x, tops[i], inner, heights[i], **look)
            for y, name in zip(_list_middles(tops[i], part), part, strict=True):
                _write(ax, x, y, format_number(rows[group][name], 0))
        treated = tops[2] - PADDING / 2 - ROW_HEIGHT  # who split into the rows below them
        ax.plot([x - inner / 2, x + inner / 2], [treated] * 2, color=look["edge"], linewidth=0.8)
    return ax


def _stack(heights: list[float], gaps: list[float]) -> list[float]:
    """Upper edges of boxes under one another, the last one standing a little above 0."""
    below = [*gaps, PADDING]
    return [sum(heights[i:]) + sum(below[i:]) for i in range(len(heights))]


def _list_middles(top: float, part: Mapping[str, str]) -> list[float]:
    return [top - PADDING / 2 - (i + 0.5) * ROW_HEIGHT for i in range(len(part))]


def _name_rows(ax: Axes, tops: list, heights: list, width: float, states: Mapping[str, str]) -> None:
    style = {"ha": "right", "va": "center", "fontsize": SMALL, "color": INK}
    ax.text(STAGE_COLUMN - 0.1, tops[1] - heights[1] / 2, "By group", **style)
    for top, part in ((tops[2], TREATMENT), (tops[3], states)):
        for y, name in zip(_list_middles(top, part), part.values(), strict=True):
            ax.text(STAGE_COLUMN - 0.1, y, name, **style)
    line = tops[3] + 0.36
    ax.plot([0.05, width - 0.05], [line, line], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    heading = {"ha": "left", "va": "center", "fontsize": SMALL, "color": INK, "style": "italic"}
    ax.text(0.05, tops[3] + 0.18, STATES_HEADING, **heading)


def _draw_root(ax: Axes, rows: dict, groups: list, tops: list, heights: list, middles: list) -> None:
    counts = [rows[group]["n_enrolled"] for group in groups]
    total = rows["All"]["n_enrolled"] if "All" in rows else sum(counts)
    middle = (middles[0] + middles[-1]) / 2
    _draw_box(ax, middle, tops[0], 1.1, heights[0], edge=GREY, face="white")
    _write(ax, middle, tops[0] - heights[0] / 2, f"Enrolled\nn = {format_number(total, 0)}")
    below, above = tops[0] - heights[0], tops[1]
    rail = (below + above) / 2
    ax.plot([middle, middle], [below, rail], color=GREY, linewidth=1)
    ax.plot([middles[0], middles[-1]], [rail, rail], color=GREY, linewidth=1)
    for x in middles:
        _draw_arrow(ax, x, rail, above)
    if left_out := _list_left_out(rows):
        x, y = middle + 0.55, tops[0] - heights[0] / 2
        width = max(map(len, left_out)) / CHARACTERS_PER_INCH + 0.2
        _draw_box(ax, x + ARROW + width / 2, tops[0], width, heights[0], edge=GREY, face="white")
        _write(ax, x + ARROW + width / 2, y, "\n".join(left_out))
        ax.plot([x, x + ARROW], [y, y], color=GREY, linewidth=1, linestyle=(0, (4, 3)))


def _list_left_out(rows: dict) -> list[str]:
    """A line for each word by which patients were left out before enrolment, under a heading."""
    named = [(name, n) for name, n in rows.get("All", {}).items() if name.startswith(LEFT_OUT)]
    counts = [f"{plain(name.removeprefix(LEFT_OUT), 26, 1)}: {n}" for name, n in named]
    return ["Left out", *counts] if counts else []


def _draw_box(ax: Axes, x: float, top: float, width: float, height: float, *, edge, face) -> None:
    corner = (x - width / 2, top - height)
    style = {"edgecolor": edge, "facecolor": face, "linewidth": 1.1}
    ax.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.05", **style))


def _write(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=INK, linespacing=1.15)


def _draw_arrow(ax: Axes, x: float, above: float, below: float) -> None:
    style = {"arrowstyle": "-|>", "color": GREY, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=(x, below), xytext=(x, above), arrowprops=style)


@in_house_style
def plot_states(states: pd.DataFrame, labels: Mapping[str, str], unit: str) -> Axes:
    """Percent of each group's patients in each state since enrolment, a panel per group.

    Parameters
    ----------
    states : pandas.DataFrame
        As `cohort.count_states` returns it.
    """
    looks = list_looks(known_groups(states, labels), labels)
    columns = -(-len(looks) // -(-len(looks) // MOST_COLUMNS))
    panels = open_panels(len(looks), columns, height=2.4, head=0.7, sharex=True, sharey=True)
    last = states["time"].max()
    for panel, (group, look) in zip(panels, looks.items(), strict=True):
        part = rows_of(states, group)
        share = 100 * part[list(OVER_TIME)].div(part["n"], axis=0)
        areas = panel.stackplot(part["time"], share.T, colors=[colour for colour, _ in OVER_TIME.values()])
        title = f"{wrap_label(look.name, 88 // columns)}\nn = {part['n'].iloc[0]}"
        panel.set_title(title, fontsize=SMALL, color=look.dark)
        panel.set(xlim=(0, last), ylim=(0, 100), yticks=range(0, 101, 25))
        mark_times(panel, list_time_ticks(last, unit)[:: 1 + columns // 3])
        panel.tick_params(labelbottom=True)
        add_grid(panel, "y")
    for area, (_, name) in zip(areas, OVER_TIME.values(), strict=True):
        area.set_label(name)
    explain_above(panels[0], areas)
    panels[0].figure.supxlabel(f"Time since enrolment ({plain(unit)})", fontsize=SMALL)
    panels[0].figure.supylabel("Patients, %", fontsize=SMALL)
    return panels[0]
