"""Adverse events by term and worst grade: stacked bars, a panel per group."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nkhcc_helpers.report.figures.style import (
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
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_number, is_estimable
from nkhcc_helpers.safety.counts import (
    choose_terms,
    list_block_keys,
    list_term_names,
    list_terms,
    say_left_out,
)
from nkhcc_helpers.trial.metadata import ALL_GROUPS

# Lightness falls by equal steps, so that the order holds in greyscale and for every kind of colour vision.
GRADE_COLOURS = {"1": "#f9e0cd", "2": "#f6a178", "3": "#ee543f", "4": "#ab185a", "5": "#1d0f24"}
MISSING = "missing"
GRADE_NAMES = {"1": "Grade 1", "2": "2", "3": "3", "4": "4", "5": "5", MISSING: "missing"}
HATCH = "/////"
NAME_COLUMN = 2.1  # inches, for the terms
MOST_COLUMNS = 5  # panels side by side


def list_grade_look(grade: str) -> dict[str, object]:
    """How a bar of this grade is filled; one without a grade is white and hatched.

    Parameters
    ----------
    grade : str
        A key of `GRADE_NAMES`.

    Returns
    -------
    dict
        For a matplotlib patch.
    """
    look = {"facecolor": GRADE_COLOURS.get(grade, "white"), "edgecolor": INK, "linewidth": 0.6}
    return look if grade in GRADE_COLOURS else {**look, "hatch": HATCH}


def list_grade_handles(*, with_missing: bool) -> list[Patch]:
    """Legend entries of the grades.

    Parameters
    ----------
    with_missing : bool
        Whether some grades are missing.

    Returns
    -------
    list of matplotlib Patch
    """
    grades = [*GRADE_COLOURS, *([MISSING] if with_missing else [])]
    return [Patch(label=GRADE_NAMES[grade], **list_grade_look(grade)) for grade in grades]


@in_house_style
def plot_grades(
    counts_by_term: pd.DataFrame, labels: Mapping[str, str], *, most: int = 11, ax: Axes | None = None
) -> Axes:
    """Patients with each adverse event by worst grade: a row per term, a panel per group.

    Parameters
    ----------
    counts_by_term : pandas.DataFrame
        Columns ``level organ_class term grade group n_patients n_evaluable percent``, as
        `safety.count_by_term` returns it.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    most : int
        Terms shown, the most frequent; beyond them every term that a patient had at grade 3 or more or
        without a known grade.
    ax : matplotlib Axes, optional
        Axes to draw all patients together into (or where the frame has no "All", its last group), without
        the other panels.

    Returns
    -------
    matplotlib Axes
        The first panel. Bars are percent of the group's patients; the number behind each bar is of patients.
    """
    frame = list_terms(counts_by_term.assign(group=counts_by_term["group"].astype("str")))
    groups = known_groups(frame, labels) + (["All"] if (frame["group"] == "All").any() else [])
    names = list_term_names(frame)
    shown = choose_terms(frame, most)
    if not shown or not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    groups = groups if ax is None else groups[-1:]
    panels = _choose_panels(ax, len(groups), len(shown), len(names) > len(shown))
    cells = {
        (*key, row["group"], str(row["grade"])): row
        for key, row in zip(list_block_keys(frame), frame.to_dict("records"), strict=True)
    }
    width = int(13.8 * (WIDTH - NAME_COLUMN) / _count_columns(len(groups)))
    for panel, group in zip(panels, groups, strict=True):
        _draw_panel(panel, cells, shown, group)
        size = frame.loc[frame["group"] == group, "n_evaluable"].max()
        name = wrap_label(labels.get(group, group), width)
        panel.set_title(f"{name}\nn = {format_number(size, 0)}", fontsize=SMALL)
    panels[0].set_yticks(range(len(shown)), [plain(names[key], 30, lines=2) for key in shown], fontsize=SMALL)
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    with_missing = frame.loc[frame["grade"].astype("str") == MISSING, "percent"].gt(0).any()
    _explain_grades(panels[0], len(names) - len(shown), with_missing=bool(with_missing))
    return panels[0]


def wrap_label(label: object, width: int, lines: int = 4) -> str:
    """Text from data as `style.plain` wraps it, but no line begins with a number.

    Parameters
    ----------
    label : object
    width : int
        Characters per line.
    lines : int
        Most lines.

    Returns
    -------
    str
    """
    tied = re.sub(r" (?=\d)", "\N{NO-BREAK SPACE}", " ".join(str(label).split()))
    return "\n".join(plain(line) for line in textwrap.wrap(tied, width, max_lines=lines, placeholder=" …"))


def _count_columns(n_panels: int) -> int:
    return -(-n_panels // -(-n_panels // MOST_COLUMNS))


def _choose_panels(ax: Axes | None, n_panels: int, n_terms: int, cut: bool) -> list[Axes]:
    if ax is not None:
        return [ax]
    columns = _count_columns(n_panels)
    lines = -(-n_panels // columns)
    height = 0.6 + 0.2 * cut + lines * (1.2 + 0.3 * n_terms)
    figure = plt.figure(figsize=(WIDTH, height))
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for unused in panels[n_panels:]:
        unused.set_visible(False)
    return list(panels[:n_panels])


def _draw_panel(ax: Axes, cells: dict, shown: list[tuple[str, str, str]], group: str) -> None:
    left = np.zeros(len(shown))
    for grade in (*GRADE_COLOURS, MISSING):
        rows = [cells.get((*key, group, grade)) for key in shown]
        widths = np.array([_percent(row) for row in rows])
        drawn = widths > 0
        if drawn.any():
            y = np.flatnonzero(drawn)
            ax.barh(y, widths[drawn], left=left[drawn], height=0.68, **list_grade_look(grade))
        left += widths
    for y, key in enumerate(shown):
        row = cells.get((*key, group, "any"))
        n_patients = 0 if row is None else row["n_patients"]
        text = format_number(n_patients, 0) if is_estimable(n_patients) else NOT_ESTIMABLE
        ax.text(left[y] + 3, y, text, va="center", fontsize=SMALL)
    ax.set_xlim(0, 122)
    ax.set_xticks([0, 50, 100], ["0", "50", "100"])
    ax.tick_params(axis="y", length=0)
    ax.tick_params(labelbottom=True)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _percent(row: dict | None) -> float:
    return float(row["percent"]) if row is not None and is_estimable(row["percent"]) else 0.0


def _explain_grades(ax: Axes, n_left_out: int, *, with_missing: bool) -> None:
    handles = list_grade_handles(with_missing=with_missing)
    place = {"loc": "outside upper left", "handlelength": 1.4, "handletextpad": 0.4, "columnspacing": 1.2}
    ax.figure.legend(handles=handles, ncols=len(handles), title="Worst grade of each patient", **place)
    more = f"\n{say_left_out(n_left_out, none_severe=True)}" if n_left_out else ""
    text = f"Percent of the group's patients; behind each bar their number{more}"
    ax.figure.supxlabel(text, fontsize=SMALL)


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
