"""The cohort: its flow through the trial, each patient's course, and where its groups stand in the design."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from nkhcc_helpers.cohort import DISCONTINUED, LEFT_OUT
from nkhcc_helpers.report.figures.courses import (
    LASTING,
    MOST_PATIENTS,
    name_group,
    name_marks,
    order_patients,
)
from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Look,
    add_grid,
    choose_axes,
    darken,
    in_house_style,
    known_groups,
    lighten,
    list_looks,
    list_time_ticks,
    make_mark,
    mark_times,
    name_groups,
    plain,
    say_nothing_to_show,
    shorten_names,
    spread_apart,
    tell_apart,
)
from nkhcc_helpers.report.numbers import format_number
from nkhcc_helpers.trial.metadata import count_noun

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


ENDS = {
    "followed": (INK, "Alive at last contact"),
    "lost": ("white", "Lost to follow-up"),
    "discontinued": (GREY, "Discontinued"),
}
"""How follow-up of patients not known dead ended: the colour of its mark, and its name."""


@in_house_style
def plot_swimmer(
    courses: pd.DataFrame,
    infusion_times: pd.DataFrame,
    labels: Mapping[str, str],
    unit: str,
    *,
    word: str = "infusion",
    ax: Axes | None = None,
) -> Axes:
    """Each patient's course: treatment, progression, death, and how follow-up of the others ended.

    Follow-up is usually much longer than treatment, so the figure has two panels with the same rows: the time
    of the treatment, and the whole follow-up. A treatment that lasted is drawn as a bar.

    Parameters
    ----------
    courses : pandas.DataFrame
        As `cohort.list_courses` returns it.
    infusion_times : pandas.DataFrame
        As `cohort.list_infusion_times` returns it.
    """
    looks = list_looks(known_groups(courses, labels), labels)
    last = float(np.nanmax(courses["last_contact"])) if courses["last_contact"].notna().any() else np.nan
    if not looks or not np.isfinite(last):
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows = order_patients(courses, looks)
    # One row is free above each group, for its name.
    rows["y"] = np.arange(len(rows)) + pd.Categorical(rows["group"], list(looks)).codes + 1.0
    given = infusion_times["end"].max() if len(infusion_times) else np.nan
    n_rows = len(courses) + len(looks)
    height = 1.3 + min(0.23 * n_rows, 14)
    panels = [(choose_axes(ax, height), last)] if ax is not None or not last > 3 * given > 0 else []
    if not panels:
        early, whole = plt.figure(figsize=(WIDTH, height)).subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
        early.set_title("During treatment")
        whole.set_title("Whole follow-up")
        whole.patch.set_visible(False)
        panels = [(early, 1.12 * given), (whole, last)]
    for panel, right in panels:
        _draw_courses(panel, rows, looks, right)
        panel.set_xlim(-0.015 * right, 1.05 * right)
        panel.set_ylim(n_rows - 0.4, -0.6)
        mark_times(panel, list_time_ticks(right, unit))
        panel.set_xlabel(f"Time since enrolment ({plain(unit)})")
        panel.tick_params(axis="y", length=0)
        add_grid(panel, "x")
    _draw_infusions(panels[0][0], rows, infusion_times)
    _name_patients(panels[0][0], rows, looks, longest=70 if len(panels) == 1 else 34)
    _explain_courses(panels[0][0], rows, name_marks(word, infusion_times, "time", "end"))
    return panels[-1][0]


def _draw_courses(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], right: float) -> None:
    rows = rows.assign(last_contact=rows["last_contact"].fillna(0.0))
    shades = [lighten(looks[group].colour, 0.55) for group in rows["group"]]
    edges = [looks[group].darken(0.1) for group in rows["group"]]
    ax.barh(rows["y"], rows["last_contact"], height=0.62, color=shades, edgecolor=edges, linewidth=0.7)
    for column, marker, size, face in (("progression", "D", 5.5, "white"), ("death", "X", 7, INK)):
        seen = rows[rows[column].notna() & (rows[column] <= right)]
        _draw_marks(ax, seen[column], seen["y"], marker, size, face)
    alive = rows[rows["alive"].astype(bool) & (rows["last_contact"] <= right)]
    for state, (face, _) in ENDS.items():
        part = alive[_list_ends(alive) == state]
        _draw_marks(ax, part["last_contact"] + 0.012 * right, part["y"], ">", 6.5, face)


def _list_ends(rows: pd.DataFrame) -> np.ndarray:
    """How follow-up of each patient ended who is not known dead, by the names of `ENDS`."""
    flags = [rows[name].astype(bool) if name in rows else rows["y"].isna() for name in list(ENDS)[1:]]
    return np.select(flags, list(ENDS)[1:], next(iter(ENDS)))


def _draw_infusions(ax: Axes, rows: pd.DataFrame, infusion_times: pd.DataFrame) -> None:
    at = infusion_times["USUBJID"].map(rows.set_index("USUBJID")["y"])
    given = infusion_times.assign(y=at).dropna(subset=["y", "time"])
    ax.vlines(given["time"], given["y"] - 0.31, given["y"] + 0.31, color=INK, linewidth=1.1)
    long = given[given["end"] > given["time"]]
    ax.hlines(long["y"], long["time"], long["end"], color=INK, linewidth=LASTING)


def _draw_marks(ax: Axes, x: pd.Series, y: pd.Series, marker: str, size: float, face: str) -> None:
    if len(x):
        look = {"marker": marker, "markersize": size, "markerfacecolor": face, "markeredgecolor": INK}
        ax.plot(x, y, linestyle="", markeredgewidth=0.9, zorder=4, **look)


def _name_patients(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], *, longest: int) -> None:
    many = len(rows) > MOST_PATIENTS
    ax.set_yticks(
        [] if many else rows["y"], [] if many else shorten_names(rows["USUBJID"])[1], fontsize=SMALL
    )
    names = name_groups(looks, longest)
    for group, part in rows.groupby("group", sort=False):
        name_group(ax, 0, part["y"].min() - 1, names[group], looks[group])


def _explain_courses(ax: Axes, rows: pd.DataFrame, treatment: list[str]) -> None:
    ends = {*list(ENDS)[:2], *_list_ends(rows[rows["alive"].astype(bool)])}
    handles = [
        make_mark("|", 9, label=treatment[0]),
        *(Line2D([], [], color=INK, linewidth=LASTING, label=name) for name in treatment[1:]),
        make_mark("D", 5.5, "white", "Progression"),
        make_mark("X", 7, label="Death"),
        *(make_mark(">", 6.5, face, label) for name, (face, label) in ENDS.items() if name in ends),
    ]
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 5), handletextpad=0.4)


CONTRAST_LINES = ("-", (0, (4, 2)))
NOT_COVARIATES = ("groups", "group", "n", "n_events", "codes")


@in_house_style
def plot_design(
    points: pd.DataFrame,
    labels: Mapping[str, str],
    *,
    contrasts: pd.DataFrame | None = None,
    names: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Where the groups stand in dose and infusions, and which pairs differ in one of the two only.

    Parameters
    ----------
    points : pandas.DataFrame
        The points of `cox.describe_design`: one or two covariates, ``groups n n_events codes``, or
        ``group`` where each is of one group. The area of a point grows with n.
    contrasts : pandas.DataFrame, optional
        Columns ``covariate first second``, pairs of points by their groups; drawn as arrows.
    names : mapping of str to str, optional
        Covariate to what it is called (`report.list_covariate_labels`).
    """
    covariates = [column for column in points if column not in NOT_COVARIATES]
    ax = choose_axes(ax, 4.6)
    if points.empty or not covariates:
        return say_nothing_to_show(ax)
    across = "infusions" if "infusions" in covariates else covariates[0]
    up = next((column for column in covariates if column != across), None)
    names_of_points = points["groups" if "groups" in points else "group"].astype("str")
    codes = points["codes"] if "codes" in points else [(each,) for each in names_of_points]
    height = points[up].astype(float) if up else 0.0
    placed = points.assign(point=names_of_points, codes=codes, x=points[across].astype(float), y=height)
    names = names or {"dose": "Dose per infusion", "infusions": "Planned infusions"}
    _frame_design(ax, placed, names.get(across, across), names.get(up, up) if up else "")
    if contrasts is not None and len(contrasts):
        _draw_contrasts(ax, placed, contrasts, names)
    _draw_points(ax, placed, labels)
    return ax


def _frame_design(ax: Axes, placed: pd.DataFrame, across: str, up: str) -> None:
    for column, set_limits, share in (("x", ax.set_xlim, (0.15, 0.5)), ("y", ax.set_ylim, (0.15, 0.28))):
        low, high = placed[column].min(), placed[column].max()
        span = (high - low) or max(abs(high), 1.0)
        set_limits(low - share[0] * span, high + share[1] * span)
    places = {column: sorted(set(placed[column])) for column in "xy"}
    ax.set_xticks(places["x"], [f"{x:.3g}" for x in places["x"]])
    ax.set_yticks(places["y"] if up else [], [f"{y:.3g}" for y in places["y"]] if up else [])
    ax.set_xlabel(plain(across))
    ax.set_ylabel(plain(up))
    add_grid(ax)


def _draw_contrasts(
    ax: Axes, placed: pd.DataFrame, contrasts: pd.DataFrame, names: Mapping[str, str]
) -> None:
    """Arrows between neighbours only: with three points on a line the long pair says nothing more."""
    covariates = list(dict.fromkeys(contrasts["covariate"]))
    at = placed.drop_duplicates("point").set_index("point")[["x", "y"]]
    for row in contrasts.to_dict("records"):
        if row["first"] not in at.index or row["second"] not in at.index:
            continue
        start, end = at.loc[row["first"]].to_numpy(), at.loc[row["second"]].to_numpy()
        within = ((at >= np.minimum(start, end)) & (at <= np.maximum(start, end))).all(axis=1)
        if within.sum() > 2:
            continue
        line = CONTRAST_LINES[covariates.index(row["covariate"]) % len(CONTRAST_LINES)]
        style = {"color": GREY, "linewidth": 1.4, "linestyle": line, "shrinkA": 13, "shrinkB": 13}
        ax.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", **style})
    handles = []
    for covariate, line in zip(covariates, CONTRAST_LINES, strict=False):
        name = plain(names.get(covariate, covariate), 40)
        handles.append(Line2D([], [], color=GREY, linestyle=line, label=f"Differ only in: {name}"))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, fontsize=SMALL)


def _draw_points(ax: Axes, placed: pd.DataFrame, labels: Mapping[str, str]) -> None:
    looks = list_looks([codes[0] for codes in placed["codes"]], labels)
    low, high = ax.get_ylim()
    names = ["; ".join(labels.get(code, code) for code in codes) for codes in placed["codes"]]
    for x, column in placed.assign(name=tell_apart(names, 26, 3)).groupby("x"):
        texts = [_point_text(row) for row in column.to_dict("records")]
        gap = 0.05 * (high - low) * (1 + max(text.count("\n") for text in texts))
        heights = spread_apart(column["y"], gap)
        for row, text, y in zip(column.to_dict("records"), texts, heights, strict=True):
            look, size = looks[row["codes"][0]], 40 + 28 * float(row["n"])
            mark = {"color": look.colour, "marker": look.marker, "edgecolor": INK}
            ax.scatter(x, row["y"], s=min(size, 600), zorder=3, **mark)
            where = {"xytext": (12, 3), "textcoords": "offset points", "va": "bottom", "zorder": 2.5}
            paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
            style = {"color": look.dark, "fontsize": SMALL, "linespacing": 1.1, "bbox": paper}
            ax.annotate(text, (x, y), **where, **style)


def _point_text(row: dict) -> str:
    return f"{row['name']}\n{count_noun(int(row['n_events']), 'event')}, n = {format_number(row['n'], 0)}"
