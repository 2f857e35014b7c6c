"""Kaplan-Meier curves with what stands behind them written under the axis."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from scipy import stats

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
    spread_apart,
)
from nkhcc_helpers.report.numbers import format_number, is_estimable

COUNT_ROWS = {"n_at_risk": "At risk", "n_events": "Events so far", "n_censored": "Censored so far"}
ROW_HEIGHT = 0.175  # inches
CURVE_HEIGHT = 4.0


@in_house_style
def plot_km(
    curves: pd.DataFrame,
    counts: pd.DataFrame | None,
    medians: pd.DataFrame | None,
    labels: Mapping[str, str],
    unit: str,
    endpoint_label: str,
    *,
    show_ci: bool = False,
    until: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Kaplan-Meier curves by group, with counts under the axis.

    Every curve ends at its group's last follow-up; one that goes on past the axis ends in an arrow that says
    how long. Small upright ticks mark censored times.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``group time n_censored survival`` (and ``ci_lower ci_upper`` for bands), as
        `survival_by_group.estimate_km_by_group` returns it.
    counts : pandas.DataFrame or None
        Columns ``group time n_at_risk n_events n_censored``, as `survival_by_group.count_at_risk_table`
        returns it; its times become the ticks. Not drawn on axes that are given.
    medians : pandas.DataFrame or None
        Columns ``group median``, as `survival_by_group.summarize_survival` returns it.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    unit : str
        Unit of the times.
    endpoint_label : str
        What survival is of.
    show_ci : bool
        Draw the confidence bands.
    until : float, optional
        End of the time axis, such as `style.choose_axis_end` gives; by default the last follow-up.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
        The axes of the curves.
    """
    groups = known_groups(curves, labels)
    if not groups:
        return say_nothing_to_show(choose_axes(ax, CURVE_HEIGHT))
    with_rows = ax is None and counts is not None and len(counts) > 0
    if with_rows:
        n_rows = len(COUNT_ROWS) * (len(groups) + 1.4)
        heights = (CURVE_HEIGHT, n_rows * ROW_HEIGHT)
        figure = plt.figure(figsize=(WIDTH, sum(heights) + 0.7 + 0.5 * ((len(groups) + 1) // 2)))
        ax, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        _write_counts(below, counts, groups, labels)
    ax = choose_axes(ax, CURVE_HEIGHT)
    last = float(curves["time"].max())
    until = last if until is None else min(until, last)
    _draw_curves(ax, curves[curves["time"] <= until], groups, labels, show_ci)
    _continue_curves(ax, curves, groups, labels, until)
    _draw_medians(ax, medians, groups, labels)
    _label_axes(ax, until, counts, unit, endpoint_label)
    _add_legend(ax, medians, groups, labels, unit)
    return ax


def _rows_of(frame: pd.DataFrame, group: str) -> pd.DataFrame:
    return frame[frame["group"].astype("str") == group]


def _draw_curves(ax: Axes, curves: pd.DataFrame, groups: list, labels: Mapping, show_ci: bool) -> None:
    colours, lines = group_palette(labels or groups), group_lines(labels or groups)
    for group in groups:
        curve = _rows_of(curves, group)
        colour, line = colours.get(group, INK), lines.get(group, "-")
        ax.step(curve["time"], curve["survival"], where="post", color=colour, linestyle=line, linewidth=1.9)
        if show_ci:
            band = curve.dropna(subset=["ci_lower", "ci_upper"])
            limits = (band["ci_lower"], band["ci_upper"])
            ax.fill_between(band["time"], *limits, step="post", color=colour, alpha=0.15, linewidth=0)
        censored = curve[curve["n_censored"] > 0]
        if len(censored):  # an empty line has a box at the figure's corner, which upsets the layout
            style = {"linestyle": "", "marker": "|", "markersize": 10, "markeredgewidth": 1.6}
            at = (censored["time"], censored["survival"])
            ax.plot(*at, color=darken(colour, 0.25), clip_on=False, zorder=4, **style)


def _continue_curves(ax: Axes, curves: pd.DataFrame, groups: list, labels: Mapping, until: float) -> None:
    """Curves that go on past the axis: an arrow at its end, and the time of the last follow-up."""
    colours, lines = group_palette(labels or groups), group_lines(labels or groups)
    longer = {group: _rows_of(curves, group) for group in groups}
    longer = {group: curve for group, curve in longer.items() if curve["time"].max() > until}
    levels = {group: curve.loc[curve["time"] <= until].iloc[-1] for group, curve in longer.items()}
    heights = spread_apart([row["survival"] for row in levels.values()], 0.05)
    for (group, row), height in zip(levels.items(), heights, strict=True):
        colour = colours.get(group, INK)
        ends = ([row["time"], until], [row["survival"]] * 2)
        ax.plot(*ends, color=colour, linestyle=lines.get(group, "-"), linewidth=1.9)
        ax.plot(until, row["survival"], color=colour, marker=">", markersize=7, clip_on=False, zorder=4)
        text = f"followed to {format_number(longer[group]['time'].max())}"
        place = {"xytext": (until, height + 0.035), "ha": "right", "va": "center", "fontsize": SMALL}
        ax.annotate(text, (until, row["survival"]), color=darken(colour), **place)


def _find_median(medians: pd.DataFrame | None, group: str) -> float:
    found = _rows_of(medians, group)["median"] if medians is not None else []
    return float(found.iloc[0]) if len(found) and is_estimable(found.iloc[0]) else np.nan


def _draw_medians(ax: Axes, medians: pd.DataFrame | None, groups: list, labels: Mapping) -> None:
    colours = group_palette(labels or groups)
    found = {group: _find_median(medians, group) for group in groups}
    reached = {group: median for group, median in found.items() if np.isfinite(median)}
    if not reached:
        return
    ax.hlines(0.5, 0, max(reached.values()), color=GREY, linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)
    for group, median in reached.items():
        colour = darken(colours.get(group, INK), 0.15)
        ax.vlines(median, 0, 0.5, color=colour, linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)


def _label_axes(ax: Axes, last: float, counts: pd.DataFrame | None, unit: str, label: str) -> None:
    at = sorted(set(counts["time"])) if counts is not None and len(counts) else list_time_ticks(last, unit)
    right = max(last, max(at), np.finfo(float).tiny) or 1.0
    ax.set_xticks(at, [f"{time:g}" for time in at])
    ax.tick_params(labelbottom=True)
    ax.set_xlim(-0.015 * right, 1.02 * right)
    ax.set_ylim(-0.02, 1.03)
    ax.set_yticks(np.arange(0, 1.01, 0.25))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    ax.set_xlabel(f"Time ({plain(unit)})")
    ax.set_ylabel(plain(label, 40))
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _add_legend(ax: Axes, medians: pd.DataFrame | None, groups: list, labels: Mapping, unit: str) -> None:
    colours, lines = group_palette(labels or groups), group_lines(labels or groups)
    handles, names = [], []
    for group in groups:
        name = plain(labels.get(group, group), 34, lines=2)
        if medians is not None:
            median = _find_median(medians, group)
            name += f"\nmedian {format_number(median)}" + (f" {plain(unit)}" if np.isfinite(median) else "")
        names.append(name)
        look = {"color": colours.get(group, INK), "linestyle": lines.get(group, "-")}
        handles.append(Line2D([], [], linewidth=1.9, **look))
    ax.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        ncols=2 if len(groups) > 1 else 1,
        borderaxespad=0.2,
        handlelength=3.2,
        fontsize=SMALL,
    )


def _write_counts(ax: Axes, counts: pd.DataFrame, groups: list, labels: Mapping) -> None:
    """A block of rows for each kind of count, a row for each group, right under the ticks they belong to."""
    colours = group_palette(labels or groups)
    positions, names, shades = [], [], []
    y = 0.0
    for column, heading in COUNT_ROWS.items():
        positions.append(y)
        names.append(heading)
        shades.append(INK)
        for group in groups:
            y += 1
            positions.append(y)
            names.append(plain(labels.get(group, group), 26, lines=1))
            shades.append(darken(colours.get(group, INK)))
            for row in _rows_of(counts, group).to_dict("records"):
                shown = format_number(row[column], 0)
                ax.text(row["time"], y, shown, ha="center", va="center", fontsize=SMALL, color=INK)
        y += 1.4
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_yticks(positions, names, fontsize=SMALL)
    for tick, shade in zip(ax.get_yticklabels(), shades, strict=True):
        tick.set_color(shade)
        tick.set_fontweight("bold" if shade == INK else "normal")
    ax.tick_params(left=False, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)


OBSERVED_COLOUR = "#b34700"
NULL_COLOUR = "#6fa8d6"


@in_house_style
def plot_null_distribution(null: np.ndarray, observed: float, df: int) -> Axes:
    """The permuted null distribution of a statistic beside its chi-square approximation.

    Left the density; right the share of relabellings that reach a statistic, on a logarithmic axis, where the
    line of the observed statistic crosses the two P-values.

    Parameters
    ----------
    null : ndarray of float, shape (n_draws,)
        Statistic under random relabelling, as `permutation.draw_null` returns it.
    observed : float
        Statistic of the data.
    df : int
        Degrees of freedom of the approximation.

    Returns
    -------
    matplotlib Axes
        The axes of the density.
    """
    null = np.asarray(null, dtype=float)
    if not len(null) or not np.isfinite(observed) or not df:
        return say_nothing_to_show(choose_axes(None, 3.2))
    figure = plt.figure(figsize=(WIDTH, 3.8))
    density, tail = figure.subplots(1, 2)
    last = max(float(np.quantile(null, 0.9999)), observed) * 1.06
    _draw_density(density, null, last, df)
    _draw_tail(tail, null, observed, last, df)
    for ax in (density, tail):
        ax.axvline(observed, color=OBSERVED_COLOUR, linewidth=1.6)
        ax.set_xlim(0, last)
        ax.set_xlabel("Chi-square")
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
        ax.set_axisbelow(True)
    handles = [
        Patch(color=NULL_COLOUR, label="Random relabellings"),
        Line2D([], [], color=INK, linestyle="--", label="Chi-square approximation"),
        Line2D([], [], color=OBSERVED_COLOUR, label=f"Observed {format_number(observed, 2)}"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=SMALL)
    return density


def _draw_density(ax: Axes, null: np.ndarray, last: float, df: int) -> None:
    edges = np.linspace(0, last, 50)
    counts, _ = np.histogram(null, edges)
    heights = counts / (len(null) * np.diff(edges))
    ax.bar(edges[:-1], heights, np.diff(edges), align="edge", color=NULL_COLOUR)
    grid = np.linspace(edges[1] / 2, last, 400)
    curve = stats.chi2.pdf(grid, df)
    ax.plot(grid, curve, color=INK, linewidth=1.6, linestyle="--")
    ax.set_ylim(0, 1.15 * max(heights.max(), np.quantile(curve, 0.98)))
    ax.set_ylabel("Density")


def _draw_tail(ax: Axes, null: np.ndarray, observed: float, last: float, df: int) -> None:
    reached = np.sort(null)
    share = 1 - np.arange(len(reached)) / len(reached)
    shown = slice(None, None, max(len(reached) // 4000, 1))
    ax.step(reached[shown], share[shown], where="pre", color=NULL_COLOUR, linewidth=2.2)
    grid = np.linspace(0, last, 400)
    ax.plot(grid, stats.chi2.sf(grid, df), color=INK, linewidth=1.6, linestyle="--")
    lowest = max(min(stats.chi2.sf(observed, df) / 5, 5 / len(null), 0.01), 1e-8)
    ax.set_yscale("log")
    ax.set_ylim(lowest, 1.3)
    ax.set_ylabel("Share at least as large (P)")
