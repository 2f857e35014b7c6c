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

from nkhcc_helpers.numbers import NOT_ESTIMABLE, is_estimable
from nkhcc_helpers.plots_cox import set_ratio_axis
from nkhcc_helpers.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    group_markers,
    group_palette,
    in_house_style,
    known_groups,
    plain,
    say_nothing_to_show,
)

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
