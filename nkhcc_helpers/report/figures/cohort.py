"""The cohort: each patient's course, and where its groups stand in the design."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nkhcc_helpers.cohort import count_states
from nkhcc_helpers.report.figures.courses import (
    LASTING,
    MOST_PATIENTS,
    join_days,
    name_group,
    name_marks,
    order_patients,
)
from nkhcc_helpers.report.figures.flow import plot_states
from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Look,
    add_grid,
    choose_axes,
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
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, count_noun

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
    of the treatment, and the whole follow-up. A treatment that lasted is drawn as a bar. Of more than 60
    patients `plot_states` shows how many are in treatment, followed and dead, instead of each.

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
    if len(courses) > MOST_PATIENTS and ax is None:
        return plot_states(count_states(courses, infusion_times), labels, unit)
    rows = order_patients(courses, looks)
    # One row is free above each group, for its name.
    rows["y"] = np.arange(len(rows)) + pd.Categorical(rows["group"], list(looks)).codes + 1.0
    infusion_times = join_days(infusion_times, "time", "end", 1 / DAYS_PER_UNIT.get(unit, 1.0))
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
    ax.set_yticks(rows["y"], shorten_names(rows["USUBJID"])[1], fontsize=SMALL)
    names = name_groups(looks, longest)
    for group, part in rows.groupby("group", sort=False):
        name_group(ax, 0, part["y"].min() - 1, names[group], looks[group])


def _explain_courses(ax: Axes, rows: pd.DataFrame, treatment: list[str]) -> None:
    ends = {*list(ENDS)[:2], *_list_ends(rows[rows["alive"].astype(bool)])}
    handles = [
        *(make_mark("|", 9, label=name) for name in treatment[:1]),
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


FEW_POINTS = 6  # of a design, which leave room for large marks


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
            ax.scatter(x, row["y"], s=min(size, 600 if len(placed) <= FEW_POINTS else 240), zorder=3, **mark)
            where = {"xytext": (12, 3), "textcoords": "offset points", "va": "bottom", "zorder": 2.5}
            paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
            style = {"color": look.dark, "fontsize": SMALL, "linespacing": 1.1, "bbox": paper}
            ax.annotate(text, (x, y), **where, **style)


def _point_text(row: dict) -> str:
    return f"{row['name']}\n{count_noun(int(row['n_events']), 'event')}, n = {format_number(row['n'], 0)}"
