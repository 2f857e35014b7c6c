"""Each patient's course as a swimmer plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nkhcc_helpers.style import (
    FAINT,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    darken,
    group_palette,
    in_house_style,
    known_groups,
    lighten,
    list_time_ticks,
    plain,
    say_nothing_to_show,
)


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
