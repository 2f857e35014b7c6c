"""Figures of the Cox models: hazard ratios, the design they stand on, residuals against time."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.numbers import (
    NOT_ESTIMABLE,
    format_number,
    format_p,
    format_ratio,
    format_ratio_interval,
    is_estimable,
)
from nkhcc_helpers.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    darken,
    group_markers,
    group_palette,
    in_house_style,
    plain,
    say_nothing_to_show,
    spread_apart,
)

RATIO_TICKS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)
DECADES = (0.001, 0.01, 0.1, 1, 10, 100, 1000)
WIDEST = (0.001, 1000.0)
CONTRAST_LINES = ("-", (0, (4, 2)))
POINTS_PER_CHARACTER = 5.6  # of 9-point digits
NOT_COVARIATES = ("groups", "group", "n", "n_events")


@in_house_style
def plot_forest(
    summary: pd.DataFrame, labels: Mapping[str, str], *, conf_level: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Hazard ratios with their intervals on a logarithmic axis, the numbers beside them.

    Parameters
    ----------
    summary : pandas.DataFrame
        Columns ``covariate hr ci_lower ci_upper p_value``, as in the summary of `cox.fit_cox`; a column
        ``model``, when there is one, heads blocks of rows. Rows that are not estimable print NE; a limit
        without end, or beyond the axis, ends in an arrow.
    labels : mapping of str to str
        Covariate to what it is called (`labels.list_covariate_labels`).
    conf_level : float
        Level of the intervals, for their heading.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
    """
    if summary.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows = _lay_out_ratios(summary, labels)
    lines = rows["name"].str.count("\n").max()
    ax = choose_axes(ax, 1.1 + (0.27 + 0.13 * lines) * (len(rows) + 1))
    low, high = _ratio_limits(summary)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.axvline(1, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for y, row in enumerate(rows.to_dict("records")):
        if not row["is_heading"]:
            _draw_ratio(ax, y, row, low, high)
    _write_ratios(ax, rows, f"HR ({100 * conf_level:g} % CI)")
    ax.set_ylim(len(rows) - 0.4, -1.5)
    ax.set_yticks(range(len(rows)), rows["name"], fontsize=SMALL)
    for tick, heading in zip(ax.get_yticklabels(), rows["is_heading"], strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    choice = RATIO_TICKS if high / low < 300 else DECADES
    ticks = [tick for tick in choice if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("Hazard ratio; below 1: events come later")
    return ax


def _lay_out_ratios(summary: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Rows from the top: each model's name, then its covariates."""
    rows, model = [], None
    for row in summary.to_dict("records"):
        if "model" in row and row["model"] != model:
            model = row["model"]
            rows.append({"name": plain(model, 36), "is_heading": True})
        name = labels.get(row["covariate"], row["covariate"])
        rows.append({**row, "name": plain(name, 34), "is_heading": False})
    return pd.DataFrame(rows)


def _ratio_limits(summary: pd.DataFrame) -> tuple[float, float]:
    values = summary[["hr", "ci_lower", "ci_upper"]].to_numpy(dtype=float).ravel()
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (min(values.min(), 0.5), max(values.max(), 2)) if len(values) else (0.5, 2.0)
    return max(low / 1.2, WIDEST[0]), min(high * 1.2, WIDEST[1])


def _draw_ratio(ax: Axes, y: float, row: dict, low: float, high: float) -> None:
    if not is_estimable(row["hr"]) or row["hr"] <= 0:
        ax.text(
            1, y, NOT_ESTIMABLE, ha="center", va="center", fontsize=SMALL, color=INK, backgroundcolor="white"
        )
        return
    lower = row["ci_lower"] if is_estimable(row["ci_lower"]) and row["ci_lower"] > 0 else 0.0
    upper = row["ci_upper"] if is_estimable(row["ci_upper"]) else np.inf
    ends = np.clip([lower, upper], low, high)
    ax.plot(ends, [y, y], color=INK, linewidth=1.6, solid_capstyle="butt")
    for end, limit, cut, arrow in ((ends[0], lower, low, "<"), (ends[1], upper, high, ">")):
        beyond = limit < cut if arrow == "<" else limit > cut
        ax.plot(end, y, marker=arrow if beyond else "|", markersize=7, color=INK, clip_on=False)
    if low <= row["hr"] <= high:
        ax.plot(row["hr"], y, marker="s", markersize=7, color=group_palette(["hr"])["hr"], zorder=4)


def _write_ratios(ax: Axes, rows: pd.DataFrame, heading: str) -> None:
    """Two columns of numbers right of the axis, under their headings."""
    shown = rows[~rows["is_heading"].astype(bool)]
    ratios = {-1: heading} | {y: _ratio_text(row) for y, row in shown.to_dict("index").items()}
    p_values = {-1: "P"} | {y: format_p(p_value) for y, p_value in shown["p_value"].items()}
    second = 14 + POINTS_PER_CHARACTER * max(len(text) for text in ratios.values())
    for texts, shift in ((ratios, 10), (p_values, second)):
        for y, text in texts.items():
            style = {"va": "center", "fontsize": SMALL, "fontweight": "bold" if y == -1 else "normal"}
            at = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
            ax.annotate(text, (1, y), xytext=(shift, 0), annotation_clip=False, **style, **at)


def _ratio_text(row: dict) -> str:
    if not is_estimable(row["hr"]):
        return NOT_ESTIMABLE
    return f"{format_ratio(row['hr'])} ({format_ratio_interval(row['ci_lower'], row['ci_upper'])})"


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
        The points of `design.describe_design`: one or two covariates, ``groups n n_events``. The area of a
        point grows with n.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    contrasts : pandas.DataFrame, optional
        Columns ``covariate first second``, pairs of points by their groups; drawn as arrows.
    names : mapping of str to str, optional
        Covariate to what it is called (`labels.list_covariate_labels`).
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
    """
    covariates = [column for column in points if column not in NOT_COVARIATES]
    ax = choose_axes(ax, 4.6)
    if points.empty or not covariates:
        return say_nothing_to_show(ax)
    across = "infusions" if "infusions" in covariates else covariates[0]
    up = next((column for column in covariates if column != across), None)
    codes = points["groups" if "groups" in points else "group"].astype("str")
    height = points[up].astype(float) if up else 0.0
    placed = points.assign(code=codes, x=points[across].astype(float), y=height)
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
    ax.set_xticks(sorted(set(placed["x"])), [f"{x:.3g}" for x in sorted(set(placed["x"]))])
    ax.set_yticks(
        sorted(set(placed["y"])) if up else [], [f"{y:.3g}" for y in sorted(set(placed["y"]))] if up else []
    )
    ax.set_xlabel(plain(across))
    ax.set_ylabel(plain(up))
    ax.grid(color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _draw_contrasts(
    ax: Axes, placed: pd.DataFrame, contrasts: pd.DataFrame, names: Mapping[str, str]
) -> None:
    """Arrows between neighbours only: with three points on a line the long pair says nothing more."""
    covariates = list(dict.fromkeys(contrasts["covariate"]))
    at = placed.drop_duplicates("code").set_index("code")[["x", "y"]]
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
    colours, markers = group_palette(labels or placed["code"]), group_markers(labels or placed["code"])
    low, high = ax.get_ylim()
    for x, column in placed.groupby("x"):
        texts = [_point_text(row, labels) for row in column.to_dict("records")]
        gap = 0.05 * (high - low) * (1 + max(text.count("\n") for text in texts))
        heights = spread_apart(column["y"], gap)
        for row, text, y in zip(column.to_dict("records"), texts, heights, strict=True):
            first = row["code"] if row["code"] in colours else row["code"].split(", ")[0]
            colour, marker = colours.get(first, INK), markers.get(first, "o")
            size = 40 + 28 * float(row["n"])
            ax.scatter(x, row["y"], s=min(size, 600), color=colour, marker=marker, edgecolor=INK, zorder=3)
            where = {"xytext": (12, 3), "textcoords": "offset points", "va": "bottom", "zorder": 2.5}
            paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
            style = {"color": darken(colour), "fontsize": SMALL, "linespacing": 1.1, "bbox": paper}
            ax.annotate(text, (x, y), **where, **style)


def _point_text(row: dict, labels: Mapping[str, str]) -> str:
    known = [row["code"]] if row["code"] in labels else row["code"].split(", ")
    name = plain("; ".join(labels.get(code, code) for code in known), 26)
    n_events = format_number(row["n_events"], 0)
    return f"{name}\n{n_events} event{'' if n_events == '1' else 's'}, n = {format_number(row['n'], 0)}"


@in_house_style
def plot_schoenfeld(
    residuals: pd.DataFrame, labels: Mapping[str, str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Schoenfeld residuals against the rank of time, a panel per covariate, each with a straight line.

    Parameters
    ----------
    residuals : pandas.DataFrame
        Columns ``covariate rank residual``, as `cox.estimate_schoenfeld_residuals` returns it.
    labels : mapping of str to str, optional
        Covariate to what it is called (`labels.list_covariate_labels`).
    ax : matplotlib Axes, optional
        Axes to draw the first covariate into, without the others.

    Returns
    -------
    matplotlib Axes
        The axes of the first covariate.
    """
    residuals = residuals.dropna(subset=["rank", "residual"])
    covariates = list(dict.fromkeys(residuals["covariate"]))
    if not covariates:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    if ax is None:
        n_rows = -(-len(covariates) // 2)
        columns = min(len(covariates), 2)
        figure = plt.figure(figsize=(WIDTH, 0.3 + 2.9 * n_rows))
        panels = figure.subplots(n_rows, columns, squeeze=False, sharex=True).ravel()
        for unused in panels[len(covariates) :]:
            unused.set_visible(False)
    else:
        panels, covariates = np.array([ax]), covariates[:1]
    for panel, covariate in zip(panels, covariates, strict=False):
        part = residuals[residuals["covariate"] == covariate]
        _draw_residuals(panel, part, plain((labels or {}).get(covariate, covariate), 40))
    return panels[0]


def _draw_residuals(ax: Axes, part: pd.DataFrame, name: str) -> None:
    colours = group_palette(["points", "line", "", "", "trend"])
    ax.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.plot(part["rank"], part["residual"], linestyle="", marker="o", color=colours["points"], alpha=0.85)
    if part["rank"].min() < part["rank"].max():
        slope, level = np.polyfit(part["rank"].astype(float), part["residual"].astype(float), 1)
        ends = np.array([part["rank"].min(), part["rank"].max()], dtype=float)
        ax.plot(ends, level + slope * ends, color=colours["trend"], linewidth=2)
    ax.set_title(name)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    ax.set_xlabel("Rank of time")
    ax.set_ylabel("Schoenfeld residual")
    ax.tick_params(labelbottom=True)
