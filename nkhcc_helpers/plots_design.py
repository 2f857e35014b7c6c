"""The design of a trial as a figure: where its groups stand, and which differ in one thing only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nkhcc_helpers.numbers import format_number
from nkhcc_helpers.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    choose_axes,
    darken,
    group_markers,
    group_palette,
    in_house_style,
    plain,
    say_nothing_to_show,
    spread_apart,
)

CONTRAST_LINES = ("-", (0, (4, 2)))
NOT_COVARIATES = ("groups", "group", "n", "n_events")


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
