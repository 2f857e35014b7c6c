"""Shares of patients with an adverse event, and their differences from a reference group."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nkhcc_helpers.labels import choose_terms, list_block_keys, list_term_names, say_left_out
from nkhcc_helpers.metadata import ALL_GROUPS
from nkhcc_helpers.numbers import NOT_ESTIMABLE, is_estimable
from nkhcc_helpers.safety_terms import list_terms
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

LANE = 0.15  # inches, for one group within a row
BAND = "#f4f4f4"
SIDES = ("ci_lower", "ci_upper")


@in_house_style
def plot_shares(
    shares: pd.DataFrame,
    labels: Mapping[str, str],
    differences: pd.DataFrame | None = None,
    *,
    conf_level: float = 0.95,
    grade: str = "any",
    most: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Percent of patients with exact limits by group; beside them the differences from a reference group.

    Parameters
    ----------
    shares : pandas.DataFrame
        Columns ``group percent ci_lower ci_upper`` and either ``category label`` or ``level
        organ_class term grade``: what `safety.estimate_shares` makes of `safety.count_adverse_events` or of
        `safety.count_by_term`.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    differences : pandas.DataFrame, optional
        The same columns that name rows, and ``group reference difference ci_lower ci_upper interval`` in
        percentage points, as `risk_difference.estimate_differences` returns it. Not drawn on axes that are
        given.
    conf_level : float
        Level of the intervals.
    grade : str
        Of a frame by term: the rows of this grade.
    most : int
        Rows shown, the first of the frame; of a frame by term the most frequent, and beyond them every term
        that a patient had at grade 3 or more or without a known grade.
    ax : matplotlib Axes, optional
        Axes to draw the shares into.

    Returns
    -------
    matplotlib Axes
        The axes of the shares.
    """
    every = shares
    shares, names = _name_rows(shares, grade)
    groups = known_groups(shares, labels)
    shown = list(names)[:most] if "category" in shares else _choose_shown(every, names, most)
    if not shown or not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    beside = None
    height = 1.0 + 0.22 * ((len(groups) + 1) // 2) + len(shown) * max(0.36, 0.1 + LANE * len(groups))
    if ax is None and differences is not None and len(differences):
        figure = plt.figure(figsize=(WIDTH, height + 0.3))
        ax, beside = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    ax = choose_axes(ax, height)
    looks = _list_looks(groups, labels)
    _draw_intervals(ax, shares, "percent", shown, looks, (0.0, 100.0))
    ax.set_xlabel(f"Patients, %\n({100 * conf_level:g} % CI, Clopper-Pearson)", fontsize=SMALL)
    ax.set_xlim(-4, 104)
    ax.set_xticks(range(0, 101, 25))
    if beside is not None:
        _draw_differences(beside, differences, grade, shown, looks)
        _explain_differences(beside, differences, labels, conf_level)
    ax.set_yticks(range(len(shown)), [plain(names[key], 24, lines=3) for key in shown], fontsize=SMALL)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    more = say_left_out(len(names) - len(shown), none_severe="category" not in shares)
    if more:
        ax.set_title(plain(more, 36), fontsize=SMALL)
    _explain_groups(ax, groups, labels, looks)
    return ax


def _name_rows(frame: pd.DataFrame, grade: str) -> tuple[pd.DataFrame, dict]:
    """The rows to draw with a column `key`, and the name of each key in the order of the frame."""
    frame = frame.assign(group=frame["group"].astype("str"))
    if "category" in frame:
        keys = frame["category"].astype("str")
        return frame.assign(key=keys), dict(zip(keys, frame["label"], strict=True))
    # Differences have no row for "All", by which terms are ordered; the shares give the order.
    frame = list_terms(frame) if (frame["group"] == ALL_GROUPS).any() else frame
    frame = frame[frame["grade"].astype("str") == grade]
    keys = pd.Series(list_block_keys(frame), index=frame.index, dtype="object")
    return frame.assign(key=keys), list_term_names(frame)


def _choose_shown(shares: pd.DataFrame, names: dict, most: int) -> list:
    chosen = set(choose_terms(shares, most))
    return [key for key in names if key in chosen]


def _list_looks(groups: list[str], labels: Mapping[str, str]) -> dict[str, tuple]:
    """Colour, marker and place within a row of each group."""
    colours, markers = group_palette(labels or groups), group_markers(labels or groups)
    spread = min(0.8, 0.2 * len(groups))
    places = (np.arange(len(groups)) - (len(groups) - 1) / 2) * spread / max(len(groups), 1)
    return {
        group: (colours.get(group, INK), markers.get(group, "o"), place)
        for group, place in zip(groups, places, strict=True)
    }


def _draw_intervals(
    ax: Axes, frame: pd.DataFrame, column: str, shown: list, looks: dict, ends: tuple
) -> None:
    """A point with its interval for every row and group; NE at the axis' start where there is none."""
    place = {key: y for y, key in enumerate(shown)}
    for y in range(1, len(shown), 2):
        ax.axhspan(y - 0.5, y + 0.5, color=BAND, linewidth=0, zorder=0)
    for row in frame.to_dict("records"):
        if row["key"] not in place or row["group"] not in looks:
            continue
        colour, marker, shift = looks[row["group"]]
        y = place[row["key"]] + shift
        if not is_estimable(row[column]):
            ax.text(2, y, NOT_ESTIMABLE, va="center", fontsize=6.5, color=GREY)
            continue
        limits = [
            row[side] if is_estimable(row[side]) else end for side, end in zip(SIDES, ends, strict=True)
        ]
        ax.plot(limits, [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        look = {"markersize": 5.5, "markeredgecolor": INK, "markeredgewidth": 0.6, "zorder": 3}
        ax.plot(row[column], y, marker=marker, color=colour, clip_on=False, **look)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _draw_differences(ax: Axes, frame: pd.DataFrame, grade: str, shown: list, looks: dict) -> None:
    frame, _ = _name_rows(frame, grade)
    ax.axvline(0, color=INK, linewidth=0.9, zorder=1)
    _draw_intervals(ax, frame, "difference", shown, looks, (-100.0, 100.0))
    ax.set_xlim(-108, 108)
    ax.set_xticks(range(-100, 101, 50))


def _explain_differences(ax: Axes, frame: pd.DataFrame, labels: Mapping[str, str], conf_level: float) -> None:
    reference = str(frame["reference"].iloc[0])
    ax.set_title(plain(f"Difference from {labels.get(reference, reference)}", 44, lines=2), fontsize=SMALL)
    methods = " or ".join(dict.fromkeys(frame["interval"].astype("str")))
    interval = plain(f"({100 * conf_level:g} % CI, {methods})", 42)
    ax.set_xlabel(f"Percentage points\n{interval}", fontsize=SMALL)


def _explain_groups(ax: Axes, groups: list[str], labels: Mapping[str, str], looks: dict) -> None:
    handles = []
    for group in groups:
        colour, marker, _ = looks[group]
        look = {"color": colour, "marker": marker, "markeredgecolor": INK, "markeredgewidth": 0.6}
        name = plain(labels.get(group, group), 46, lines=1)
        handles.append(Line2D([], [], linewidth=1.4, markersize=5.5, label=name, **look))
    columns = 2 if len(groups) > 1 else 1
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=columns, fontsize=SMALL)
