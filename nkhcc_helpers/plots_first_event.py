"""How soon patients have their first adverse event: cumulative incidence by group."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

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
    list_time_ticks,
    plain,
    say_nothing_to_show,
)

ROW_HEIGHT = 0.175  # inches
CURVE_HEIGHT = 3.4
WIDEST, THINNEST = 4.0, 1.7  # points, the curves of the first and the last group
PAST_LAST_EVENT = 1.35  # the end of the axis is at this many times the day of the last first event
CROSS = {"marker": "X", "markersize": 6, "linestyle": "", "markeredgecolor": "white", "markeredgewidth": 0.5}


@in_house_style
def plot_first_event(
    curves: pd.DataFrame,
    labels: Mapping[str, str],
    unit: str,
    *,
    event_label: str = "First adverse event",
    show_ci: bool = False,
    until: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Cumulative incidence of the first adverse event by group, with patients at risk under the axis.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``group time event_probability n_at_risk`` (and ``lower upper`` for bands), as
        `first_event.estimate_first_event` returns it: a row for time 0 and for each later time of a group;
        probabilities from 0 to 1, patients at risk just before. With ``competing_probability``, death
        without the event is a competing event, a thin line with crosses. The first group's curve is the
        widest and the last one's the thinnest, so that curves that coincide are all seen.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    unit : str
        Unit of the times.
    event_label : str
        What the first event is.
    show_ci : bool
        Draw the confidence bands, where the frame has them.
    until : float, optional
        End of the time axis; by default a little after the last first event of any group, and later
        deaths are not drawn.
    ax : matplotlib Axes, optional
        Axes to draw into, without the patients at risk.

    Returns
    -------
    matplotlib Axes
        The axes of the curves.
    """
    groups = known_groups(curves, labels)
    if not groups:
        return say_nothing_to_show(choose_axes(ax, CURVE_HEIGHT))
    last = float(curves["time"].max())
    until = _choose_end(curves) if until is None else min(float(until), last)
    ticks = list_time_ticks(until, unit)
    if ax is None:
        heights = (CURVE_HEIGHT, (len(groups) + 1) * ROW_HEIGHT)
        figure = plt.figure(figsize=(WIDTH, sum(heights) + 1.1 + 0.2 * ((len(groups) + 1) // 2)))
        ax, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        _write_at_risk(below, curves, groups, labels, ticks)
    looks = _list_looks(groups, labels)
    for group in groups:
        part = _cut(curves[curves["group"].astype("str") == group], until)
        look = looks[group]
        ax.step(part["time"], part["event_probability"], where="post", **look)
        if "competing_probability" in part:
            _draw_competing(ax, part, look["color"])
        if show_ci and {"lower", "upper"} <= set(part):
            band = part.dropna(subset=["lower", "upper"])
            limits, style = (band["lower"], band["upper"]), {"alpha": 0.15, "linewidth": 0}
            ax.fill_between(band["time"], *limits, step="post", color=look["color"], **style)
    _label_axes(ax, until, ticks, unit, event_label)
    _explain_groups(ax, curves[curves["time"] <= until], labels, looks)
    return ax


def _choose_end(curves: pd.DataFrame) -> float:
    last = float(curves["time"].max())
    rises = curves.groupby("group", observed=True)["event_probability"].diff() > 0
    return min(last, PAST_LAST_EVENT * float(curves.loc[rises, "time"].max())) if rises.any() else last


def _list_looks(groups: list[str], labels: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Colour, line style and width of each group's curve; later groups are drawn over earlier ones."""
    colours, lines = group_palette(labels or groups), group_lines(labels or groups)
    widths = np.linspace(WIDEST, THINNEST, len(groups)) if len(groups) > 1 else [1.9]
    return {
        group: {"color": colours.get(group, INK), "linestyle": lines.get(group, "-"), "linewidth": width}
        for group, width in zip(groups, widths, strict=True)
    }


def _cut(part: pd.DataFrame, until: float) -> pd.DataFrame:
    """The steps up to the end of the axis, the last of them drawn out to it where the curve goes on."""
    inside = part[part["time"] <= until].sort_values("time", kind="stable")
    if part["time"].max() > until:
        inside = pd.concat([inside, inside.tail(1).assign(time=until)], ignore_index=True)
    return inside


def _draw_competing(ax: Axes, part: pd.DataFrame, colour: object) -> None:
    """A thin line with a cross where it rises; none where nobody died without the event."""
    risen = part[part["competing_probability"].diff() > 0]
    if len(risen):
        ax.step(part["time"], part["competing_probability"], where="post", color=colour, linewidth=0.8)
        ax.plot(risen["time"], risen["competing_probability"], color=colour, **CROSS)


def _label_axes(ax: Axes, until: float, ticks: list[float], unit: str, event_label: str) -> None:
    right = until or 1.0
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.tick_params(labelbottom=True)
    ax.set_xlim(-0.015 * right, 1.02 * right)
    ax.set_ylim(-0.02, 1.03)
    ax.set_yticks(np.arange(0, 1.01, 0.25))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}"))
    ax.set_xlabel(f"Time since the first infusion ({plain(unit)})")
    ax.set_ylabel(plain(f"{event_label}, % of patients", 40))
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _explain_groups(ax: Axes, curves: pd.DataFrame, labels: Mapping[str, str], looks: dict) -> None:
    handles = []
    for group, look in looks.items():
        name = plain(labels.get(group, group), 40, lines=1)
        handles.append(Line2D([], [], label=name, **look))
    if "competing_probability" in curves and curves["competing_probability"].max() > 0:
        look = {**CROSS, "linestyle": "-", "linewidth": 0.8}
        handles.append(Line2D([], [], label="Died without an event", color=GREY, **look))
    columns = 2 if len(handles) > 1 else 1
    place = {"loc": "outside upper left", "handlelength": 3.2, "fontsize": SMALL}
    ax.figure.legend(handles=handles, ncols=columns, **place)


def _write_at_risk(ax: Axes, curves: pd.DataFrame, groups: list, labels: Mapping, ticks: list) -> None:
    """Patients at risk at each tick: those of the first time on or after it."""
    colours = group_palette(labels or groups)
    names, shades = ["At risk"], [INK]
    for y, group in enumerate(groups, start=1):
        part = curves[curves["group"].astype("str") == group].sort_values("time", kind="stable")
        names.append(plain(labels.get(group, group), 26, lines=1))
        shades.append(darken(colours.get(group, INK)))
        for tick in ticks:
            later = part.loc[part["time"] >= tick, "n_at_risk"]
            shown = f"{int(later.iloc[0])}" if len(later) else "0"
            ax.text(tick, y, shown, ha="center", va="center", fontsize=SMALL, color=INK)
    ax.set_ylim(len(groups) + 0.6, -0.6)
    ax.set_yticks(range(len(names)), names, fontsize=SMALL)
    for label, shade in zip(ax.get_yticklabels(), shades, strict=True):
        label.set_color(shade)
        label.set_fontweight("bold" if shade == INK else "normal")
    ax.tick_params(left=False, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
