"""What comes of time: curves with the counts under them, the null distribution of a test, residuals."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy import stats

from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Look,
    add_grid,
    choose_axes,
    group_palette,
    in_house_style,
    known_groups,
    list_looks,
    list_time_ticks,
    name_groups,
    open_panels,
    plain,
    rows_of,
    say_nothing_to_show,
    set_share_axes,
    spread_apart,
    write_counts,
)
from nkhcc_helpers.report.numbers import format_number, is_estimable

COUNT_ROWS = {"n_at_risk": "At risk", "n_events": "Events so far", "n_censored": "Censored so far"}
ROW_HEIGHT, CURVE_HEIGHT = 0.175, 4.0  # inches
LINE_WIDTH, MANY_MARKS = 1.9, 30
DASHED = (0, (3, 3))


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
        `survival.estimate_km_by_group` returns it.
    counts : pandas.DataFrame or None
        Columns ``group time n_at_risk n_events n_censored``, as `survival.count_at_risk_table` returns it;
        its times become the ticks. Not drawn on axes that are given.
    medians : pandas.DataFrame or None
        Columns ``group median``, as `survival.summarize_survival` returns it.
    endpoint_label : str
        What survival is of.
    show_ci : bool
        Draw the confidence bands.
    until : float, optional
        End of the time axis, such as `choose_axis_end` gives; by default the last follow-up.
    """
    counted = counts is not None and len(counts) > 0
    looks = list_looks(known_groups(counts if counted else curves, labels), labels)
    if not looks:
        return say_nothing_to_show(choose_axes(ax, CURVE_HEIGHT))
    if ax is None and counted:
        legend = 0.5 * -(-len(looks) // 2)
        ax, below = _open_above(CURVE_HEIGHT, len(COUNT_ROWS) * (len(looks) + 1.4), 0.7 + legend)
        blocks = {heading: {group: {} for group in looks} for heading in COUNT_ROWS.values()}
        for (column, heading), group in product(COUNT_ROWS.items(), looks):
            part = rows_of(counts, group)
            shown = [format_number(count, 0) for count in part[column]]
            blocks[heading][group] = dict(zip(part["time"], shown, strict=True))
        write_counts(below, blocks, looks)
    ax = choose_axes(ax, CURVE_HEIGHT)
    last = float(curves["time"].max())
    until = last if until is None else min(until, last)
    found = {group: _find_median(medians, group) for group in looks}
    for group, look in looks.items():
        _draw_curve(ax, rows_of(curves[curves["time"] <= until], group), look, show_ci=show_ci)
    _continue_curves(ax, curves, looks, until)
    _draw_medians(ax, found, looks)
    ticks = sorted(set(counts["time"])) if counted else list_time_ticks(until, unit)
    set_share_axes(ax, max(until, max(ticks), np.finfo(float).tiny) or 1.0, ticks, " %")
    ax.set_xlabel(f"Time ({plain(unit)})")
    ax.set_ylabel(plain(endpoint_label, 40))
    _explain_curves(ax, looks, found if medians is not None else {}, plain(unit))
    return ax


def _open_above(height: float, n_rows: float, head: float) -> tuple[Axes, Axes]:
    """Axes for curves, and for so many rows of counts under them."""
    heights = (height, n_rows * ROW_HEIGHT)
    figure = plt.figure(figsize=(WIDTH, sum(heights) + head))
    return tuple(figure.subplots(2, 1, sharex=True, height_ratios=heights))


def _draw_curve(ax: Axes, curve: pd.DataFrame, look: Look, *, show_ci: bool) -> None:
    line = {"color": look.colour, "linestyle": look.line, "linewidth": LINE_WIDTH}
    _draw_steps(ax, curve["time"], curve["survival"], 1.0, **line)
    if show_ci:
        _draw_band(ax, curve.dropna(subset=["ci_lower", "ci_upper"]), "ci_lower", "ci_upper", look)
    censored = curve[curve["n_censored"] > 0]
    if len(censored):  # an empty line has a box at the figure's corner, which upsets the layout
        size, width = (10, 1.6) if len(censored) <= MANY_MARKS else (5, 0.7)
        style = {"linestyle": "", "marker": "|", "markersize": size, "markeredgewidth": width}
        at = (censored["time"], censored["survival"])
        ax.plot(*at, color=look.darken(0.25), clip_on=False, zorder=4, **style)


def _draw_steps(ax: Axes, time: pd.Series, height: pd.Series, start: float, **line: object) -> None:
    """Steps that leave `start` at time 0, so that what happened at time 0 itself is seen."""
    if len(height) and height.iloc[0] != start:
        time, height = np.append(0.0, time), np.append(start, height)
    ax.step(time, height, where="post", **line)


def _draw_band(ax: Axes, band: pd.DataFrame, lower: str, upper: str, look: Look) -> None:
    ends = (band[each] for each in ("time", lower, upper))
    ax.fill_between(*ends, step="post", color=look.colour, alpha=0.15, linewidth=0)


def _continue_curves(ax: Axes, curves: pd.DataFrame, looks: Mapping[str, Look], until: float) -> None:
    """Curves that go on past the axis: an arrow at its end, and the time of the last follow-up."""
    longer = {group: rows_of(curves, group) for group in looks}
    longer = {
        group: curve for group, curve in longer.items() if curve["time"].min() <= until < curve["time"].max()
    }
    levels = {group: curve.loc[curve["time"] <= until].iloc[-1] for group, curve in longer.items()}
    heights = spread_apart([row["survival"] for row in levels.values()], 0.05)
    for (group, row), height in zip(levels.items(), heights, strict=True):
        look, end = looks[group], (until, row["survival"])
        level = ([row["time"], until], [row["survival"]] * 2)
        ax.plot(*level, color=look.colour, linestyle=look.line, linewidth=LINE_WIDTH)
        ax.plot(*end, color=look.colour, marker=">", markersize=7, clip_on=False, zorder=4)
        text = f"followed to {format_number(longer[group]['time'].max())}"
        place = {"xytext": (until, height + 0.035), "ha": "right", "va": "center", "fontsize": SMALL}
        ax.annotate(text, end, color=look.dark, **place)


def _find_median(medians: pd.DataFrame | None, group: str) -> float:
    found = rows_of(medians, group)["median"] if medians is not None else []
    return float(found.iloc[0]) if len(found) and is_estimable(found.iloc[0]) else np.nan


def _draw_medians(ax: Axes, found: Mapping[str, float], looks: Mapping[str, Look]) -> None:
    reached = {group: median for group, median in found.items() if np.isfinite(median)}
    if reached:
        ax.hlines(0.5, 0, max(reached.values()), color=GREY, linewidth=0.9, linestyle=DASHED, zorder=1)
    for group, median in reached.items():
        shade = looks[group].darken(0.15)
        ax.vlines(median, 0, 0.5, color=shade, linewidth=0.9, linestyle=DASHED, zorder=1)


def _explain_curves(ax: Axes, looks: Mapping[str, Look], medians: Mapping[str, float], unit: str) -> None:
    handles = []
    for look, (group, name) in zip(looks.values(), name_groups(looks, 34, 3).items(), strict=True):
        if group in medians:
            told = f" {unit}" if np.isfinite(medians[group]) else ""
            name += f"\nmedian {format_number(medians[group])}{told}"
        line = {"color": look.colour, "linestyle": look.line, "linewidth": LINE_WIDTH}
        handles.append(Line2D([], [], label=name, **line))
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.01), "borderaxespad": 0.2, "handlelength": 3.2}
    ax.legend(handles=handles, ncols=min(len(looks), 2), fontsize=SMALL, **place)


FIRST_HEIGHT = 3.4  # inches
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
    competing_label: str = "Died without an event",
    time_label: str = "",
    show_ci: bool = False,
    until: float | None = None,
    word: str = "infusion",
    ax: Axes | None = None,
) -> Axes:
    """Cumulative incidence of the first adverse event by group, with patients at risk under the axis.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``group time event_probability n_at_risk`` (and ``lower upper`` for bands), as
        `safety.estimate_first_event` returns it: a row for time 0 and for each later time of a group;
        patients at risk just before. With ``competing_probability``, a thin line with crosses for that.
        The first group's curve is the widest, so that curves that coincide are all seen.
    event_label, competing_label, time_label : str
        What the events are, and the time; the time since the first treatment by default.
    show_ci : bool
        Draw the confidence bands, where the frame has them.
    until : float, optional
        End of the time axis; by default a little after the last first event of any group.
    """
    looks = list_looks(known_groups(curves, labels), labels)
    if not looks:
        return say_nothing_to_show(choose_axes(ax, FIRST_HEIGHT))
    until = _choose_end(curves) if until is None else min(float(until), float(curves["time"].max()))
    ticks = list_time_ticks(until, unit)
    if ax is None:
        ax, below = _open_above(FIRST_HEIGHT, len(looks) + 1.4, 1.03 + 0.2 * -(-len(looks) // 2))
        at_risk = {group: _count_at_risk(rows_of(curves, group), ticks) for group in looks}
        write_counts(below, {"At risk": at_risk}, looks)
    widths = np.linspace(WIDEST, THINNEST, len(looks)) if len(looks) > 1 else [LINE_WIDTH]
    handles, names = [], name_groups(looks, 40)
    for (group, look), width in zip(looks.items(), widths, strict=True):
        line = {"color": look.colour, "linestyle": look.line, "linewidth": width}
        part = _cut(rows_of(curves, group), until)
        _draw_steps(ax, part["time"], part["event_probability"], 0.0, **line)
        _draw_competing(ax, part, look)
        if show_ci and {"lower", "upper"} <= set(part):
            _draw_band(ax, part.dropna(subset=["lower", "upper"]), "lower", "upper", look)
        handles.append(Line2D([], [], label=names[group], **line))
    if curves.loc[curves["time"] <= until].get("competing_probability", pd.Series([0])).max() > 0:
        look = {**CROSS, "linestyle": "-", "linewidth": 0.8, "color": GREY}
        handles.append(Line2D([], [], label=plain(competing_label, 40, lines=1), **look))
    set_share_axes(ax, until or 1.0, ticks, "")
    ax.set_xlabel(f"{time_label or f'Time since the first {plain(word)}'} ({plain(unit)})")
    ax.set_ylabel(plain(f"{event_label}, % of patients", 40))
    place = {"loc": "outside upper left", "handlelength": 3.2, "fontsize": SMALL}
    ax.figure.legend(handles=handles, ncols=min(len(handles), 2), **place)
    return ax


@in_house_style
def plot_incidence(
    curves: pd.DataFrame, labels: Mapping[str, str], unit: str, event_label: str, competing_label: str
) -> Axes:
    """Cumulative incidence of an event by group, and of its competing event, drawn as the first event is.

    Parameters
    ----------
    curves : pandas.DataFrame
        As `survival.estimate_incidence` returns it for groups.
    """
    event, other = (curves[curves["cause"] == cause].reset_index(drop=True) for cause in (1, 2))
    wide = event.assign(event_probability=event["incidence"], competing_probability=other["incidence"])
    names = [label[:1].upper() + label[1:] for label in (event_label, competing_label)]
    options = {"time_label": "Time", "until": float(curves["time"].max())}
    return plot_first_event(wide, labels, unit, event_label=names[0], competing_label=names[1], **options)


def _choose_end(curves: pd.DataFrame) -> float:
    last = float(curves["time"].max())
    rises = curves.groupby("group", observed=True)["event_probability"].diff() > 0
    return min(last, PAST_LAST_EVENT * float(curves.loc[rises, "time"].max())) if rises.any() else last


def _cut(part: pd.DataFrame, until: float) -> pd.DataFrame:
    """The steps up to the end of the axis, the last of them drawn out to it where the curve goes on."""
    inside = part[part["time"] <= until].sort_values("time", kind="stable")
    if part["time"].max() > until:
        inside = pd.concat([inside, inside.tail(1).assign(time=until)], ignore_index=True)
    return inside


def _draw_competing(ax: Axes, part: pd.DataFrame, look: Look) -> None:
    """A thin line with a cross where it rises; none where nobody died without the event."""
    if "competing_probability" not in part:
        return
    risen = part[part["competing_probability"].diff().fillna(part["competing_probability"]) > 0]
    if len(risen):
        _draw_steps(ax, part["time"], part["competing_probability"], 0.0, color=look.colour, linewidth=0.8)
        ax.plot(risen["time"], risen["competing_probability"], color=look.colour, **CROSS)


def _count_at_risk(part: pd.DataFrame, ticks: list[float]) -> dict[float, str]:
    """Patients at risk at each tick: those of the first time on or after it."""
    part = part.sort_values("time", kind="stable")
    later = {tick: part.loc[part["time"] >= tick, "n_at_risk"] for tick in ticks}
    return {tick: f"{int(at_risk.iloc[0])}" if len(at_risk) else "0" for tick, at_risk in later.items()}


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
        Statistic under random relabelling, as `survival.draw_null` returns it.
    observed : float
        Statistic of the data.
    df : int
        Degrees of freedom of the approximation.
    """
    null = np.asarray(null, dtype=float)
    if not len(null) or not np.isfinite(observed) or not df:
        return say_nothing_to_show(choose_axes(None, 1.2), "Nothing to compare")
    figure = plt.figure(figsize=(WIDTH, 3.8))
    density, tail = figure.subplots(1, 2)
    last = max(float(np.quantile(null, 0.9999)), observed) * 1.06
    _draw_density(density, null, last, df)
    _draw_tail(tail, null, observed, last, df)
    for ax in (density, tail):
        ax.axvline(observed, color=OBSERVED_COLOUR, linewidth=1.6)
        ax.set_xlim(0, last)
        ax.set_xlabel("Chi-square")
        add_grid(ax, "y")
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


@in_house_style
def plot_schoenfeld(
    residuals: pd.DataFrame, labels: Mapping[str, str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Schoenfeld residuals against the rank of time, a panel per covariate, each with a straight line.

    Parameters
    ----------
    residuals : pandas.DataFrame
        Columns ``covariate rank residual``, as `cox.estimate_schoenfeld_residuals` returns it.
    """
    residuals = residuals.dropna(subset=["rank", "residual"]).astype({"rank": float, "residual": float})
    covariates = list(dict.fromkeys(residuals["covariate"]))
    if not covariates:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    panels = [ax] if ax else open_panels(len(covariates), 2, height=2.9, head=0.3, sharex=True)
    colours = group_palette(["points", "line", "", "", "trend"])
    for panel, covariate in zip(panels, covariates, strict=False):
        rank, residual = residuals.loc[residuals["covariate"] == covariate, ["rank", "residual"]].to_numpy().T
        panel.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        marks = {"marker": "o", "alpha": 0.85} if len(rank) < 1000 else {"marker": ".", "rasterized": True}
        panel.plot(rank, residual, linestyle="", color=colours["points"], **marks)
        if rank.min() < rank.max():
            ends = np.array([rank.min(), rank.max()])
            line = np.polyval(np.polyfit(rank, residual, 1), ends)
            panel.plot(ends, line, color=colours["trend"], linewidth=2)
        panel.set_title(plain((labels or {}).get(covariate, covariate), 40))
        panel.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        panel.set_xlabel("Rank of time")
        panel.set_ylabel("Schoenfeld residual")
        panel.tick_params(labelbottom=True)
    return panels[0]
