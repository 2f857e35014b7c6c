"""What a Cox model hangs on: residuals against time, and each patient in turn."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.report.figures.style import (
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
    known_groups,
    plain,
    say_nothing_to_show,
    set_ratio_axis,
    spread_apart,
)
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_number, is_estimable

MOST_COLUMNS = 3
MOST_NAMES = 60  # patients; beyond, they are not named
DASHES = {"color": GREY, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 1}
TURNED = {"marker": "o", "markersize": 12, "markerfacecolor": "none", "markeredgecolor": INK}


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


@in_house_style
def plot_leave_one_out(
    frame: pd.DataFrame,
    labels: Mapping[str, str],
    group_labels: Mapping[str, str],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Each hazard ratio without each patient in turn, a panel per covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``group covariate hr hr_all changes_sign`` and ``USUBJID`` or ``subject``, as
        `cox.leave_one_out` returns it: one row per patient left out and covariate.
    labels : mapping of str to str
        Covariate to what it is called (`labels.list_covariate_labels`).
    group_labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    ax : matplotlib Axes, optional
        Axes to draw the first covariate into, without the others.

    Returns
    -------
    matplotlib Axes
        The first panel.
    """
    covariates = list(dict.fromkeys(frame["covariate"]))
    if not covariates:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    frame = frame.assign(group=frame["group"].astype("str"))
    rows = _lay_out_left_out(frame, known_groups(frame, group_labels))
    n_rows = int(rows["y"].max()) + 1
    if ax is None:
        columns = min(len(covariates), MOST_COLUMNS)
        lines = -(-len(covariates) // columns)
        figure = plt.figure(figsize=(WIDTH, 0.6 + lines * (1.0 + min(0.19 * n_rows, 8.0))))
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for unused in panels[len(covariates) :]:
            unused.set_visible(False)
    else:
        panels, covariates = np.array([ax]), covariates[:1]
    for panel, covariate in zip(panels, covariates, strict=False):
        part = rows[rows["covariate"] == covariate]
        _draw_left_out(panel, part, group_labels, room=20 if len(covariates) > 2 else 34)
        panel.set_title(plain(labels.get(covariate, covariate), 24 if len(covariates) > 2 else 40))
        margin = 0.6 + 0.01 * n_rows
        panel.set_ylim(n_rows - 1 + margin, -margin)
    _name_left_out(panels, rows)
    panels[0].set_ylabel("Patient left out")
    _explain_left_out(panels[0].figure, rows, group_labels)
    return panels[0]


def _lay_out_left_out(frame: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """A line for each patient, group under group."""
    subject = frame["USUBJID" if "USUBJID" in frame else "subject"].astype("str")
    order = pd.Categorical(frame["group"], groups, ordered=True)
    rows = frame.assign(subject=subject, order=order.codes).sort_values("order", kind="stable")
    return rows.assign(y=pd.factorize(rows["subject"])[0])


def _draw_left_out(ax: Axes, part: pd.DataFrame, group_labels: Mapping[str, str], *, room: int) -> None:
    whole = part["hr_all"].iloc[0]
    low, high = _limit_left_out([*part["hr"], whole])
    set_ratio_axis(ax, "x", low, high, room=room)
    ax.axvline(1, **DASHES)
    if is_estimable(whole):
        ax.axvline(whole, color=INK, linewidth=1.4, zorder=1)
    groups = list(group_labels) or known_groups(part, {})
    colours, markers = group_palette(groups), group_markers(groups)
    few = len(part) <= MOST_NAMES
    shown = part.assign(hr=part["hr"].clip(low, high))  # what lies beyond the axis stands at its edge
    for group, own in shown.groupby("group", sort=False):
        look = {"color": colours.get(group, INK), "marker": markers.get(group, "o")}
        ax.plot(own["hr"], own["y"], linestyle="", markersize=6 if few else 3.5, zorder=3, **look)
        ax.axhline(own["y"].max() + 0.5, color=FAINT, linewidth=0.8)
    turned = shown[shown["changes_sign"].fillna(False).astype(bool)]
    ring = TURNED | {"markersize": 12 if few else 7}
    ax.plot(turned["hr"], turned["y"], linestyle="", zorder=2, **ring)
    for y in part.loc[part["hr"].isna() & few, "y"]:
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0}
        ax.text(1, y, NOT_ESTIMABLE, fontsize=SMALL - 1.5, va="center", ha="center", bbox=paper)
    ax.set_xlabel("Hazard ratio")


def _limit_left_out(values: list[float]) -> tuple[float, float]:
    """Ends of an axis that holds 1 and every ratio, however close to one another they are."""
    values = np.asarray(values, dtype=float)
    seen = np.clip([1.0, *values[np.isfinite(values) & (values > 0)]], 1e-6, 1e6)
    margin = max((seen.max() / seen.min()) ** 0.12, 1.005)
    return seen.min() / margin, seen.max() * margin


def _name_left_out(panels: np.ndarray, rows: pd.DataFrame) -> None:
    names = rows.drop_duplicates("y")["subject"]
    starts = {name.rpartition("-")[0] + "-" for name in names}
    start = starts.pop() if len(starts) == 1 else ""
    many = len(names) > MOST_NAMES
    texts = [] if many else [plain(name.removeprefix(start), 14, lines=1) for name in names]
    for panel in panels:
        panel.set_yticks([] if many else range(len(names)), texts, fontsize=SMALL - 0.5)
        panel.tick_params(axis="y", length=0)


def _explain_left_out(figure: Figure, rows: pd.DataFrame, group_labels: Mapping[str, str]) -> None:
    groups = known_groups(rows, group_labels)
    every = list(group_labels) or groups
    colours, markers = group_palette(every), group_markers(every)
    handles = []
    for group in groups:
        look = {"color": colours.get(group, INK), "marker": markers.get(group, "o"), "markersize": 6}
        name = plain(group_labels.get(group, group), 40, lines=1)
        handles.append(Line2D([], [], linestyle="", label=name, **look))
    handles.append(Line2D([], [], color=INK, linewidth=1.4, label="With every patient"))
    if rows["changes_sign"].fillna(False).astype(bool).any():
        handles.append(Line2D([], [], linestyle="", label="Without them it crosses 1", **TURNED))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=SMALL)


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
