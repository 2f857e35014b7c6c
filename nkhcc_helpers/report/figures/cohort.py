"""Figures of the cohort: flow through the trial and enrolment over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.report.figures.style import (
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
    list_time_ticks,
    plain,
    say_nothing_to_show,
    spread_apart,
)
from nkhcc_helpers.report.numbers import format_number

TREATMENT = {
    "n_treated": "Treated",
    "n_completed": "All planned infusions",
    "n_fewer": "Fewer than planned",
}
STATES = {
    "n_progressed": "Progressed",
    "n_died": "Died",
    "n_alive": "Alive",
    "n_lost": "Lost to follow-up",
}
STATES_HEADING = "Of all enrolled, by the data cut-off"
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
        An arrow means "of these"; below the line stand states of all enrolled, which no arrow leads to.
    """
    groups = known_groups(disposition, labels)
    if not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows = {str(row["group"]): row for row in disposition.to_dict("records")}
    width = max(WIDTH, STAGE_COLUMN + len(groups) * NARROWEST_BOX)
    column = (width - STAGE_COLUMN) / len(groups)
    inner = 0.9 * column
    names = {g: plain(labels.get(g, g), int(CHARACTERS_PER_INCH * inner) - 1, lines=5) for g in groups}
    head = LINE_HEIGHT * (1 + max(name.count("\n") + 1 for name in names.values())) + 2 * PADDING
    heights = [0.4, head, _height_of(TREATMENT), _height_of(STATES)]
    tops = _stack(heights, gaps=[ARROW, ARROW, 0.5])
    height = tops[0] + PADDING
    ax = choose_axes(ax, height, width)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    _name_rows(ax, tops, heights, width)
    middles = [STAGE_COLUMN + (i + 0.5) * column for i in range(len(groups))]
    _draw_root(ax, rows, groups, tops, heights, middles)
    colours = group_palette(labels or groups)
    for group, x in zip(groups, middles, strict=True):
        colour = colours.get(group, INK)
        look = {"edge": darken(colour, 0.1), "face": lighten(colour, 0.82)}
        text = f"{names[group]}\nn = {format_number(rows[group]['n_enrolled'], 0)}"
        _draw_box(ax, x, tops[1], inner, heights[1], **look)
        _write(ax, x, tops[1] - heights[1] / 2, text)
        _draw_arrow(ax, x, tops[1] - heights[1], tops[2])
        for i, part in ((2, TREATMENT), (3, STATES)):
            _draw_box(ax, x, tops[i], inner, heights[i], **look)
            _write_counts(ax, x, tops[i], part, rows[group])
        _draw_split(ax, x, tops[2], inner, look["edge"])
    return ax


def _height_of(part: Mapping[str, str]) -> float:
    return ROW_HEIGHT * len(part) + PADDING


def _stack(heights: list[float], gaps: list[float]) -> list[float]:
    """Upper edges of boxes under one another, the last one standing a little above 0."""
    below = [*gaps, PADDING]
    return [sum(heights[i:]) + sum(below[i:]) for i in range(len(heights))]


def _list_middles(top: float, part: Mapping[str, str]) -> list[float]:
    return [top - PADDING / 2 - (i + 0.5) * ROW_HEIGHT for i in range(len(part))]


def _name_rows(ax: Axes, tops: list[float], heights: list[float], width: float) -> None:
    style = {"ha": "right", "va": "center", "fontsize": SMALL, "color": INK}
    ax.text(STAGE_COLUMN - 0.1, tops[1] - heights[1] / 2, "By group", **style)
    for top, part in ((tops[2], TREATMENT), (tops[3], STATES)):
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


def _draw_split(ax: Axes, x: float, top: float, width: float, colour: object) -> None:
    """The line under the treated, who split into the rows below it."""
    y = top - PADDING / 2 - ROW_HEIGHT
    ax.plot([x - width / 2, x + width / 2], [y, y], color=colour, linewidth=0.8)


def _draw_box(ax: Axes, x: float, top: float, width: float, height: float, *, edge, face) -> None:
    corner = (x - width / 2, top - height)
    style = {"edgecolor": edge, "facecolor": face, "linewidth": 1.1}
    ax.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.05", **style))


def _write(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=INK, linespacing=1.15)


def _write_counts(ax: Axes, x: float, top: float, part: Mapping[str, str], row: dict) -> None:
    for y, name in zip(_list_middles(top, part), part, strict=True):
        _write(ax, x, y, format_number(row[name], 0))


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


@in_house_style
def plot_swimmer(
    courses: pd.DataFrame,
    infusion_times: pd.DataFrame,
    labels: Mapping[str, str],
    unit: str,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Each patient's course: infusions, progression, death, still followed or lost.

    Follow-up is usually much longer than treatment, so the figure has two panels with the same rows: the time
    of the infusions, and the whole follow-up.

    Parameters
    ----------
    courses : pandas.DataFrame
        As `cohort.list_courses` returns it.
    infusion_times : pandas.DataFrame
        As `cohort.list_infusion_times` returns it.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    unit : str
        Unit of the times.
    ax : matplotlib Axes, optional
        Axes to draw the whole follow-up into, without the first panel.

    Returns
    -------
    matplotlib Axes
        The axes of the whole follow-up.
    """
    groups = known_groups(courses, labels)
    last = float(np.nanmax(courses["last_contact"])) if courses["last_contact"].notna().any() else np.nan
    if not groups or not np.isfinite(last):
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows = _lay_out_patients(courses, groups)
    given = infusion_times["time"].max() if len(infusion_times) else np.nan
    n_rows = len(courses) + len(groups)
    height = 1.3 + min(0.23 * n_rows, 14)
    early = None
    if ax is None and given > 0 and last > 3 * given:
        early, ax = plt.figure(figsize=(WIDTH, height)).subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
    ax = choose_axes(ax, height)
    colours = group_palette(labels or groups)
    for panel, right in ((early, 1.12 * given), (ax, last)):
        if panel is not None:
            _draw_courses(panel, rows, colours, right)
            _label_swimmer(panel, right, unit, n_rows)
    _draw_infusions(ax if early is None else early, rows, infusion_times)
    first = ax if early is None else early
    _name_patients(first, rows, labels, longest=70 if early is None else 34)
    if early is not None:
        early.set_title("During the infusions")
        ax.set_title("Whole follow-up")
        ax.patch.set_visible(False)
    _explain_marks(ax)
    return ax


def _lay_out_patients(courses: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """A row number for each patient, leaving one free above each group for its name."""
    code = courses["group"].astype("str")
    ordered = pd.concat([courses[code == group] for group in groups], ignore_index=True)
    block = ordered["group"].astype("str").map({group: i for i, group in enumerate(groups)})
    return ordered.assign(group=ordered["group"].astype("str"), y=np.arange(len(ordered)) + block + 1.0)


def _draw_courses(ax: Axes, rows: pd.DataFrame, colours: dict, right: float) -> None:
    rows = rows.assign(last_contact=rows["last_contact"].fillna(0.0))
    shades = [lighten(colours.get(group, INK), 0.55) for group in rows["group"]]
    edges = [darken(colours.get(group, INK), 0.1) for group in rows["group"]]
    ax.barh(rows["y"], rows["last_contact"], height=0.62, color=shades, edgecolor=edges, linewidth=0.7)
    alive = rows[rows["alive"].astype(bool)]
    marks = {"progression": (rows, "D", 5.5, "white"), "death": (rows, "X", 7, INK)}
    for column, (part, marker, size, face) in marks.items():
        seen = part[part[column].notna() & (part[column] <= right)]
        _draw_marks(ax, seen[column], seen["y"], marker, size, face)
    alive = alive[alive["last_contact"] <= right]
    lost = alive["lost"].astype(bool) if "lost" in alive else pd.Series(False, index=alive.index)
    for part, face in ((alive[~lost], INK), (alive[lost], "white")):
        _draw_marks(ax, part["last_contact"] + 0.012 * right, part["y"], ">", 6.5, face)


def _draw_infusions(ax: Axes, rows: pd.DataFrame, infusion_times: pd.DataFrame) -> None:
    at = infusion_times["USUBJID"].map(rows.set_index("USUBJID")["y"])
    given = infusion_times.assign(y=at).dropna(subset=["y", "time"])
    ax.vlines(given["time"], given["y"] - 0.31, given["y"] + 0.31, color=INK, linewidth=1.1)


def _draw_marks(ax: Axes, x: pd.Series, y: pd.Series, marker: str, size: float, face: str) -> None:
    if len(x):
        look = {"marker": marker, "markersize": size, "markerfacecolor": face, "markeredgecolor": INK}
        ax.plot(x, y, linestyle="", markeredgewidth=0.9, zorder=4, **look)


def _label_swimmer(ax: Axes, right: float, unit: str, n_rows: int) -> None:
    ax.set_xlim(-0.015 * right, 1.05 * right)
    ax.set_ylim(n_rows - 0.4, -0.6)
    ticks = list_time_ticks(right, unit)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlabel(f"Time since enrolment ({plain(unit)})")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _name_patients(ax: Axes, rows: pd.DataFrame, labels: Mapping[str, str], *, longest: int) -> None:
    colours = group_palette(labels or rows["group"].unique())
    names = rows["USUBJID"].astype("str")
    start = find_shared_start(names)
    many = len(rows) > 60
    ticks = [] if many else [plain(name.removeprefix(start), 14, lines=1) for name in names]
    ax.set_yticks([] if many else rows["y"], ticks, fontsize=SMALL)
    for group, part in rows.groupby("group", sort=False):
        colour = darken(colours.get(group, INK))
        name = plain(labels.get(group, group), longest, lines=1)
        style = {"color": colour, "fontsize": SMALL, "fontweight": "bold", "in_layout": False}
        ax.text(0, part["y"].min() - 1, name, va="center", **style)


def find_shared_start(names: Iterable[str]) -> str:
    """What all patients' names begin with, up to a hyphen: the study's own name, as a rule.

    Parameters
    ----------
    names : iterable of str
        At least one.

    Returns
    -------
    str
    """
    shortest, longest = min(names), max(names)
    n_same = next((i for i, pair in enumerate(zip(shortest, longest, strict=False)) if pair[0] != pair[1]), 0)
    return shortest[: shortest.rfind("-", 0, n_same) + 1]


def _explain_marks(ax: Axes) -> None:
    marks = {"Infusion": ("|", 9, INK), "Progression": ("D", 5.5, "white"), "Death": ("X", 7, INK)}
    marks |= {"Still followed": (">", 6.5, INK), "Lost to follow-up": (">", 6.5, "white")}
    handles = []
    for name, (marker, size, face) in marks.items():
        look = {"marker": marker, "markersize": size, "markerfacecolor": face, "markeredgecolor": INK}
        handles.append(Line2D([], [], linestyle="", label=name, **look))
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), handletextpad=0.2)
