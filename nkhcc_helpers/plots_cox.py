"""Hazard ratios of Cox models on a logarithmic axis, with the numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.numbers import (
    NOT_ESTIMABLE,
    format_p,
    format_ratio,
    format_ratio_interval,
    is_estimable,
)
from nkhcc_helpers.style import (
    GREY,
    INK,
    SMALL,
    choose_axes,
    group_palette,
    in_house_style,
    plain,
    say_nothing_to_show,
)

# In each decade, finest first.
TICK_SERIES = ((1, 1.5, 2, 3, 4, 5, 7), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3))
WIDEST = (0.001, 1000.0)
POINTS_PER_CHARACTER = 5.6  # of 9-point digits
SHIFT = 0.17  # of the two intervals of a row from its middle
MAIN_LINE = {"color": INK, "linewidth": 1.6, "markersize": 7}
PERMUTATION_LINE = {"color": GREY, "linewidth": 0.9, "markersize": 5}


@in_house_style
def plot_forest(
    summary: pd.DataFrame, labels: Mapping[str, str], *, conf_level: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Hazard ratios with their intervals on a logarithmic axis, the numbers beside them.

    Parameters
    ----------
    summary : pandas.DataFrame
        Columns ``covariate hr ci_lower ci_upper p_value``, as in the summary of `cox.fit_cox`; a column
        ``model``, when there is one, heads blocks of rows. With ``exact_lower exact_upper``, the interval by
        permutation is a thin line under the other, its numbers under the others; with ``p_permutation``,
        there is a second column of P. What is not estimable prints NE; a limit without end, or beyond the
        axis, ends in an arrow.
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
    both = {"exact_lower", "exact_upper"} <= set(summary)
    rows = _lay_out_ratios(summary, labels, 34 if "p_permutation" not in summary else 28)
    lines = max(rows["name"].str.count("\n").max(), int(both))
    ax = choose_axes(ax, 1.1 + 0.2 * both + (0.27 + 0.13 * lines) * (len(rows) + 1))
    intervals = summary.filter(["hr", "ci_lower", "ci_upper", "exact_lower", "exact_upper"])
    low, high = limit_ratios(intervals)
    set_ratio_axis(ax, "x", low, high, room=28 if "p_permutation" in summary else 36)
    ax.axvline(1, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for y, row in enumerate(rows.to_dict("records")):
        if not row["is_heading"]:
            _draw_ratio(ax, y - SHIFT * both, row, low, high)
            if both:
                limits = (row["exact_lower"], row["exact_upper"])
                _draw_interval(ax, y + SHIFT, limits, (low, high), PERMUTATION_LINE)
    _write_ratios(ax, rows, f"HR ({100 * conf_level:g} % CI)", both=both)
    name_rows(ax, rows, top=-1.5)
    ax.tick_params(axis="y", pad=9)  # room for the arrows
    if both:
        _explain_intervals(ax)
    ax.set_xlabel("Hazard ratio; below 1: events come later")
    return ax


def limit_ratios(values: Iterable) -> tuple[float, float]:
    """Where an axis of hazard ratios begins and ends, no wider than a reader can use.

    Parameters
    ----------
    values : array-like of float
        Ratios and limits to be seen; those that are missing, 0 or infinite do not count.

    Returns
    -------
    tuple of float
        They hold 1/2 and 2 and lie within `WIDEST`.
    """
    values = np.asarray(values, dtype=float).ravel()
    seen = [0.5, 2.0, *values[np.isfinite(values) & (values > 0)]]
    return max(min(seen) / 1.2, WIDEST[0]), min(max(seen) * 1.2, WIDEST[1])


def set_ratio_axis(ax: Axes, which: str, low: float, high: float, *, room: int) -> None:
    """Make an axis of hazard ratios: logarithmic, with as many round ticks as there is room for.

    Parameters
    ----------
    ax : matplotlib Axes
    which : {"x", "y"}
    low, high : float
        Ends of the axis, above 0.
    room : int
        Characters that fit along the axis x, half lines along the axis y.
    """
    axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    even = MaxNLocator(nbins=4, steps=(1, 2, 5, 10)).tick_values(low, high).round(12)
    choices = [even] if high < 2 * low else []
    choices += [[float(f"{part}e{power}") for power in decades for part in series] for series in TICK_SERIES]
    every = range(1, len(decades) + 1)
    choices += [[float(f"1e{power}") for power in decades if power % step == 0] for step in every]
    choices = [[tick for tick in ticks if low <= tick <= high] for ticks in choices]
    ticks = next((ticks for ticks in choices if _fit_along(ticks, room / np.log(high / low), which)), [])
    ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis.set_ticks([], minor=True)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])


def name_rows(ax: Axes, rows: pd.DataFrame, *, top: float = -0.6) -> None:
    """Name the rows of a figure from the top down, headings in bold.

    Parameters
    ----------
    ax : matplotlib Axes
    rows : pandas.DataFrame
        Columns ``name is_heading``.
    top : float
        Where the axis begins; the first row is at 0.
    """
    ax.set_ylim(len(rows) - 0.4, top)
    ax.set_yticks(range(len(rows)), rows["name"], fontsize=SMALL)
    for tick, heading in zip(ax.get_yticklabels(), rows["is_heading"], strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _fit_along(ticks: list[float], room: float, which: str) -> bool:
    """Whether ticks leave each other room, told in characters per unit of the logarithm."""
    sizes = np.array([len(f"{tick:g}") if which == "x" else 1 for tick in ticks])
    return bool((np.diff(np.log(ticks)) * room >= (sizes[1:] + sizes[:-1]) / 2 + 1).all())


def _lay_out_ratios(summary: pd.DataFrame, labels: Mapping[str, str], width: int) -> pd.DataFrame:
    """Rows from the top: each model's name, then its covariates."""
    rows, model = [], None
    for row in summary.to_dict("records"):
        if "model" in row and row["model"] != model:
            model = row["model"]
            rows.append({"name": plain(model, width + 2), "is_heading": True})
        name = labels.get(row["covariate"], row["covariate"])
        rows.append({**row, "name": plain(name, width), "is_heading": False})
    return pd.DataFrame(rows)


def _draw_ratio(ax: Axes, y: float, row: dict, low: float, high: float) -> None:
    if not is_estimable(row["hr"]) or row["hr"] <= 0:
        look = {"fontsize": SMALL, "color": INK, "backgroundcolor": "white"}
        ax.text(1, y, NOT_ESTIMABLE, ha="center", va="center", **look)
        return
    lower = row["ci_lower"] if is_estimable(row["ci_lower"]) else 0.0
    upper = row["ci_upper"] if is_estimable(row["ci_upper"]) else np.inf
    _draw_interval(ax, y, (lower, upper), (low, high), MAIN_LINE)
    if low <= row["hr"] <= high:
        ax.plot(row["hr"], y, marker="s", markersize=7, color=group_palette(["hr"])["hr"], zorder=4)


def _draw_interval(ax: Axes, y: float, limits: tuple, ends: tuple, look: dict) -> None:
    """A line between two limits, none where one is missing; an arrow where it goes on beyond the axis."""
    if np.isnan(limits).any():
        return
    shown = np.clip(limits, *ends)
    line = {name: value for name, value in look.items() if name != "markersize"}
    ax.plot(shown, [y, y], solid_capstyle="butt", **line)
    marks = {"color": look["color"], "markersize": look["markersize"], "clip_on": False}
    ax.plot(shown[0], y, marker="<" if limits[0] < ends[0] else "|", **marks)
    ax.plot(shown[1], y, marker=">" if limits[1] > ends[1] else "|", **marks)


def _write_ratios(ax: Axes, rows: pd.DataFrame, heading: str, *, both: bool) -> None:
    """Columns of numbers right of the axis, under their headings."""
    shown = rows[~rows["is_heading"].astype(bool)]
    columns = [(heading, {y: _ratio_text(row) for y, row in shown.to_dict("index").items()})]
    for name, column in (("P", "p_value"), ("P permuted", "p_permutation")):
        if column in rows:
            columns.append((name, {y: format_p(p_value) for y, p_value in shown[column].items()}))
    x = 10.0
    for i, (name, texts) in enumerate(columns):
        _write(ax, x, -1, name, fontweight="bold")
        for y, text in texts.items():
            _write(ax, x, y - SHIFT * (both and i == 0), text)
        if both and i == 0:
            limits = zip(shown["exact_lower"], shown["exact_upper"], strict=True)
            for y, pair in zip(shown.index, limits, strict=True):
                _write(ax, x, y + SHIFT, format_ratio_interval(*pair), color=GREY)
        x += 8 + POINTS_PER_CHARACTER * max(len(text) for text in (name, *texts.values()))


def _write(ax: Axes, x: float, y: float, text: str, **look) -> None:
    at = {"xycoords": ax.get_yaxis_transform(), "xytext": (x, 0), "textcoords": "offset points"}
    ax.annotate(text, (1, y), va="center", fontsize=SMALL, annotation_clip=False, **at, **look)


def _ratio_text(row: dict) -> str:
    if not is_estimable(row["hr"]):
        return NOT_ESTIMABLE
    return f"{format_ratio(row['hr'])} ({format_ratio_interval(row['ci_lower'], row['ci_upper'])})"


def _explain_intervals(ax: Axes) -> None:
    square = {"marker": "s", "markerfacecolor": group_palette(["hr"])["hr"], "markeredgecolor": "none"}
    handles = [
        Line2D([], [], label="Profile likelihood (first line)", **MAIN_LINE, **square),
        Line2D([], [], label="Permutation (second line)", **PERMUTATION_LINE),
    ]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=SMALL)
