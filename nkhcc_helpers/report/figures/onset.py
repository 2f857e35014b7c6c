"""Figures of safety: who had which adverse event, and when it began and ended."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nkhcc_helpers.report.figures.grades import wrap_label
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
    list_time_ticks,
    plain,
    say_nothing_to_show,
)
from nkhcc_helpers.report.numbers import format_number, is_estimable
from nkhcc_helpers.safety.counts import (
    choose_terms,
    list_block_keys,
    list_term_names,
    list_terms,
    say_left_out,
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


NAME_COLUMN = 2.2  # inches, for the terms
FEWEST = 3  # events, for an interval of their duration


@in_house_style
def plot_terms(
    counts_by_term: pd.DataFrame, labels: Mapping[str, str], *, most: int = 15, ax: Axes | None = None
) -> Axes:
    """Patients with each adverse event, a row per term and a column per group; the shade is their percentage.

    Parameters
    ----------
    counts_by_term : pandas.DataFrame
        As `safety.count_by_term` returns it.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    most : int
        Terms shown, the most frequent; beyond them every term that a patient had at grade 3 or more or
        without a known grade.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
        Each cell holds patients with any grade and, in brackets where there are any, with grade 3 or more.
    """
    frame = list_terms(counts_by_term.assign(group=counts_by_term["group"].astype("str")))
    groups = known_groups(frame, labels) + (["All"] if (frame["group"] == "All").any() else [])
    terms = list_term_names(frame)
    shown = choose_terms(frame, most)
    if not shown or not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    names = [_column_name(frame, group, labels, len(groups)) for group in groups]
    width = max(WIDTH, NAME_COLUMN + 0.8 * len(groups))
    height = 0.9 + 0.34 * len(shown) + 0.16 * max(name.count("\n") + 1 for name in names)
    ax = choose_axes(ax, height, width)
    _draw_cells(ax, frame, shown, groups)
    ax.set_xticks(np.arange(len(groups)) + 0.5, names, fontsize=SMALL)
    ax.xaxis.tick_top()
    ax.set_yticks(
        np.arange(len(shown)) + 0.5, [plain(terms[key], 30, lines=2) for key in shown], fontsize=SMALL
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    more = say_left_out(len(terms) - len(shown), none_severe=True)
    more = f"\n{more}" if more else ""
    ax.set_xlabel(
        f"Patients (of them with grade 3 or more); darker: larger share of the group{more}", fontsize=SMALL
    )
    return ax


def _column_name(frame: pd.DataFrame, group: str, labels: Mapping[str, str], n_groups: int) -> str:
    size = frame.loc[frame["group"] == group, "n_evaluable"].max()
    width = max(10, int((WIDTH - NAME_COLUMN) / n_groups * 13))
    return f"{wrap_label(labels.get(group, group), width)}\nn = {format_number(size, 0)}"


def _draw_cells(ax: Axes, frame: pd.DataFrame, terms: list[tuple[str, str, str]], groups: list[str]) -> None:
    cells = {
        (*key, row["group"], str(row["grade"])): row
        for key, row in zip(list_block_keys(frame), frame.to_dict("records"), strict=True)
    }
    share = np.array([[_number(cells.get((*key, g, "any")), "percent") for g in groups] for key in terms])
    shades = sns.light_palette(group_palette(["A"])["A"], as_cmap=True)
    ax.pcolormesh(np.nan_to_num(share), cmap=shades, vmin=0, vmax=110, edgecolor="white", linewidth=2)
    ax.set_ylim(len(terms), 0)
    for i, key in enumerate(terms):
        for j, group in enumerate(groups):
            text = _cell_text(cells.get((*key, group, "any")), cells.get((*key, group, "3+")))
            colour = "white" if share[i, j] > 75 else INK
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=SMALL, color=colour)


def _number(row: dict | None, column: str) -> float:
    return float(row[column]) if row is not None and is_estimable(row[column]) else np.nan


def _cell_text(any_grade: dict | None, severe: dict | None) -> str:
    n_any = 0 if any_grade is None else any_grade["n_patients"]
    n_severe = _number(severe, "n_patients")
    return f"{format_number(n_any, 0)} ({n_severe:.0f})" if n_severe > 0 else format_number(n_any, 0)


@in_house_style
def plot_onset(
    onset: pd.DataFrame, *, most: int = 15, conf_level: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Days from infusion to onset: median and range. Days to the end: median and its interval. By term.

    Parameters
    ----------
    onset : pandas.DataFrame
        Columns ``term n_events n_ongoing`` (and ``n_unknown_end``), ``onset_`` with ``median minimum
        maximum`` and ``duration_`` with ``median lower upper``, as `safety_timing.summarize_onset` returns
        it.
    most : int
        Terms shown, the first of the frame.
    conf_level : float
        Level of the intervals.
    ax : matplotlib Axes, optional
        Axes to draw the onset into, without the duration.

    Returns
    -------
    matplotlib Axes
        The axes of the onset. An interval without an upper end runs to the edge in an arrow; of fewer than
        3 events whose duration is known in part or whole there is none.
    """
    shown = onset.head(most)
    if shown.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    panels = {"onset": ax}
    if ax is None:
        figure = plt.figure(figsize=(WIDTH, 1.1 + 0.36 * len(shown)))
        panels = dict(zip(("onset", "duration"), figure.subplots(1, 2, sharey=True), strict=True))
    shown = _leave_out_intervals(shown)
    duration = (
        f"Duration: days (median,\n{100 * conf_level:g} % CI from {FEWEST} events on{_say_arrow(shown)})"
    )
    looks = {
        "onset": ("o", 0, "Onset: days since infusion\n(median, range)"),
        "duration": ("s", 1, duration),
    }
    colours = list(group_palette("AB").values())
    for name, panel in panels.items():
        marker, colour, title = looks[name]
        _draw_ranges(panel, shown, name, marker, colours[colour])
        panel.set_xlabel(title)
    first = panels["onset"]
    first.set_yticks(
        range(len(shown)), [_term_and_events(row) for row in shown.to_dict("records")], fontsize=SMALL
    )
    first.set_ylim(len(shown) - 0.4, -0.6)
    first.set_title(say_left_out(len(onset) - len(shown)), fontsize=SMALL)
    return first


def _leave_out_intervals(shown: pd.DataFrame) -> pd.DataFrame:
    """Durations of which too few are known end where they begin, at the median."""
    known = shown["n_events"] - shown.get("n_unknown_end", 0)
    few = (known < FEWEST) & shown["duration_lower"].notna()
    # Without a median a lower limit of 0 makes the row say that the median was not reached, and no more.
    lower = shown["duration_lower"].mask(few, shown["duration_median"].fillna(0.0))
    upper = shown["duration_upper"].mask(few, shown["duration_median"])
    return shown.assign(duration_lower=lower, duration_upper=upper)


def _say_arrow(shown: pd.DataFrame) -> str:
    drawn = shown["duration_median"].notna() | shown["duration_lower"].gt(0)
    return ";\narrow: no upper limit" if (drawn & ~np.isfinite(shown["duration_upper"])).any() else ""


def _term_and_events(row: dict) -> str:
    n_events, n_ongoing = int(row["n_events"]), int(row["n_ongoing"])
    ongoing = f", {n_ongoing} ongoing" if n_ongoing else ""
    return f"{plain(row['term'], 28, lines=2)} ({n_events} event{'' if n_events == 1 else 's'}{ongoing})"


def _draw_ranges(ax: Axes, shown: pd.DataFrame, name: str, marker: str, colour: object) -> None:
    sides = [f"{name}_minimum", f"{name}_maximum"] if name == "onset" else [f"{name}_lower", f"{name}_upper"]
    values = shown[[f"{name}_median", *sides]].to_numpy(dtype=float)
    right = 1.08 * max(1.0, np.max(values, where=np.isfinite(values), initial=1.0))
    for y, (median, low, high) in enumerate(values):
        if np.isnan(low) and np.isnan(median):
            ax.text(0, y, "not known", va="center", fontsize=SMALL)
            continue
        without_end = not np.isfinite(high)
        if np.isnan(median) and not 0 < low < np.inf:
            ax.text(0, y, "median not reached", va="center", fontsize=SMALL)
            continue
        ax.plot(
            [low if np.isfinite(low) else 0.0, right if without_end else high],
            [y, y],
            color=INK,
            linewidth=1.6,
        )
        if without_end:
            ax.plot(right, y, marker=">", markersize=6, color=INK, clip_on=False)
        if np.isfinite(median):
            ax.plot(median, y, marker=marker, markersize=8, color=colour, markeredgecolor=INK)
    ax.set_xlim(-0.05 * right, right)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
