"""Adverse events by term: worst grades, shares with their limits, and when they begin and end."""

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
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Look,
    choose_axes,
    group_palette,
    in_house_style,
    known_groups,
    list_looks,
    name_groups,
    open_left,
    open_panels,
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
from nkhcc_helpers.trial.metadata import ALL_GROUPS, count_noun

# Lightness falls by equal steps, so that the order holds in greyscale and for every kind of colour vision.
GRADE_COLOURS = {"1": "#f9e0cd", "2": "#f6a178", "3": "#ee543f", "4": "#ab185a", "5": "#1d0f24"}
MISSING = "missing"
GRADE_NAMES = {"1": "Grade 1", "2": "2", "3": "3", "4": "4", "5": "5", MISSING: "missing"}
HATCH = "/////"
NAME_COLUMN = 2.1  # inches, for the terms
MOST_COLUMNS = 5  # panels side by side


def list_grade_look(grade: str) -> dict[str, object]:
    """How a bar of this grade is filled; one without a grade is white and hatched."""
    look = {"facecolor": GRADE_COLOURS.get(grade, "white"), "edgecolor": INK, "linewidth": 0.6}
    return look if grade in GRADE_COLOURS else {**look, "hatch": HATCH}


def list_grade_handles(*, with_missing: bool) -> list[Patch]:
    """Legend entries of the grades."""
    grades = [*GRADE_COLOURS, *([MISSING] if with_missing else [])]
    return [Patch(label=GRADE_NAMES[grade], **list_grade_look(grade)) for grade in grades]


@in_house_style
def plot_grades(
    counts_by_term: pd.DataFrame, labels: Mapping[str, str], *, most: int = 11, ax: Axes | None = None
) -> Axes:
    """Patients with each adverse event by worst grade: a row per term, a panel per group.

    Bars are percent of the group's patients; the number behind each bar is of patients.

    Parameters
    ----------
    counts_by_term : pandas.DataFrame
        As `safety.count_by_term` returns it.
    most : int
        Terms shown, the most frequent; beyond them up to 10 that a patient had at grade 3 or more or without
        a known grade.
    ax : matplotlib Axes, optional
        For all patients together (or where the frame has no "All", its last group), without the others.
    """
    frame = list_terms(counts_by_term.assign(group=counts_by_term["group"].astype("str")))
    groups = known_groups(frame, labels) + (["All"] if (frame["group"] == "All").any() else [])
    names = list_term_names(frame)
    shown, left_out = choose_terms(frame, most)
    if not shown or not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    groups = groups if ax is None else groups[-1:]
    columns = -(-len(groups) // -(-len(groups) // MOST_COLUMNS))
    height = {"height": 1.2 + 0.3 * len(shown), "head": 0.6 + 0.2 * bool(left_out)}
    panels = [ax] if ax else open_panels(len(groups), columns, sharex=True, sharey=True, **height)
    cells = {
        (*key, row["group"], str(row["grade"])): row
        for key, row in zip(list_block_keys(frame), frame.to_dict("records"), strict=True)
    }
    width = int(13.8 * (WIDTH - NAME_COLUMN) / columns)
    for panel, group in zip(panels, groups, strict=True):
        _draw_panel(panel, cells, shown, group)
        size = frame.loc[frame["group"] == group, "n_evaluable"].max()
        name = wrap_label(labels.get(group, group), width)
        panel.set_title(f"{name}\nn = {format_number(size, 0)}", fontsize=SMALL)
    panels[0].set_yticks(range(len(shown)), [plain(names[key], 30, lines=2) for key in shown], fontsize=SMALL)
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    with_missing = frame.loc[frame["grade"].astype("str") == MISSING, "percent"].gt(0).any()
    _explain_grades(panels[0], left_out, with_missing=bool(with_missing))
    return panels[0]


def wrap_label(label: object, width: int, lines: int = 4) -> str:
    """Text from data as `style.plain` wraps it, but no line begins with a number."""
    tied = re.sub(r" (?=\d)", "\N{NO-BREAK SPACE}", " ".join(str(label).split()))
    return "\n".join(plain(line) for line in textwrap.wrap(tied, width, max_lines=lines, placeholder=" …"))


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
        known = is_estimable(n_patients) and (row is None or row["n_evaluable"] > 0)
        text = format_number(n_patients, 0) if known else NOT_ESTIMABLE
        ax.text(left[y] + 3, y, text, va="center", fontsize=SMALL)
    ax.set_xlim(0, 122)
    ax.set_xticks([0, 50, 100], ["0", "50", "100"])
    ax.tick_params(labelbottom=True)
    open_left(ax)


def _percent(row: dict | None) -> float:
    return float(row["percent"]) if row is not None and is_estimable(row["percent"]) else 0.0


def _explain_grades(ax: Axes, left_out: str, *, with_missing: bool) -> None:
    handles = list_grade_handles(with_missing=with_missing)
    place = {"loc": "outside upper left", "handlelength": 1.4, "handletextpad": 0.4, "columnspacing": 1.2}
    ax.figure.legend(handles=handles, ncols=len(handles), title="Worst grade of each patient", **place)
    more = f"\n{left_out}" if left_out else ""
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
        What `safety.estimate_shares` makes of `safety.count_adverse_events` or of `safety.count_by_term`.
    differences : pandas.DataFrame, optional
        What `safety.estimate_differences` makes of the same counts. Not drawn on axes that are given.
    grade : str
        Of a frame by term: the rows of this grade.
    most : int
        Rows shown, the first of the frame; of a frame by term as in `plot_grades`.
    """
    every = shares
    shares, names = _name_rows(shares, grade)
    groups = known_groups(shares, labels)
    first = list(names)[:most], say_left_out(max(0, len(names) - most))
    shown, left_out = first if "category" in shares else choose_terms(every, most)
    if not shown or not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    beside = None
    height = 1.0 + 0.22 * ((len(groups) + 1) // 2) + len(shown) * max(0.36, 0.1 + LANE * len(groups))
    if ax is None and differences is not None and len(differences):
        figure = plt.figure(figsize=(WIDTH, height + 0.3))
        ax, beside = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    ax = choose_axes(ax, height)
    looks = list_looks(groups, labels)
    _draw_intervals(ax, shares, "percent", shown, looks, (0.0, 100.0))
    ax.set_xlabel(f"Patients, %\n({100 * conf_level:g} % CI, Clopper-Pearson)", fontsize=SMALL)
    ax.set_xlim(-4, 104)
    ax.set_xticks(range(0, 101, 25))
    if beside is not None:
        _draw_differences(beside, differences, grade, shown, looks)
        _explain_differences(beside, differences, labels, conf_level)
    ax.set_yticks(range(len(shown)), [plain(names[key], 24, lines=3) for key in shown], fontsize=SMALL)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    if left_out:
        ax.set_title(plain(left_out, 36), fontsize=SMALL)
    handles = [
        Line2D([], [], linewidth=1.4, label=name, color=looks[group].colour, **_point(looks[group]))
        for group, name in name_groups(looks, 46).items()
    ]
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=min(len(groups), 2), fontsize=SMALL)
    return ax


def _point(look: Look) -> dict[str, object]:
    return {"marker": look.marker, "markersize": 5.5, "markeredgecolor": INK, "markeredgewidth": 0.6}


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


def _draw_intervals(
    ax: Axes, frame: pd.DataFrame, column: str, shown: list, looks: Mapping[str, Look], ends: tuple
) -> None:
    """A point with its interval for every row and group; NE at the axis' start where there is none."""
    place = {key: y for y, key in enumerate(shown)}
    middle = (len(looks) - 1) / 2
    shifts = {group: (i - middle) * min(0.8 / len(looks), 0.2) for i, group in enumerate(looks)}
    for y in range(1, len(shown), 2):
        ax.axhspan(y - 0.5, y + 0.5, color=BAND, linewidth=0, zorder=0)
    for row in frame.to_dict("records"):
        if row["key"] not in place or row["group"] not in looks:
            continue
        look, y = looks[row["group"]], place[row["key"]] + shifts[row["group"]]
        if not is_estimable(row[column]):
            ax.text(2, y, NOT_ESTIMABLE, va="center", fontsize=6.5, color=GREY)
            continue
        limits = [
            row[side] if is_estimable(row[side]) else end for side, end in zip(SIDES, ends, strict=True)
        ]
        ax.plot(limits, [y, y], color=look.colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        ax.plot(row[column], y, color=look.colour, clip_on=False, zorder=3, **_point(look))
    open_left(ax)


def _draw_differences(
    ax: Axes, frame: pd.DataFrame, grade: str, shown: list, looks: Mapping[str, Look]
) -> None:
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


FEWEST = 3  # events, for an interval of their duration


@in_house_style
def plot_onset(
    onset: pd.DataFrame,
    *,
    most: int = 15,
    conf_level: float = 0.95,
    word: str = "infusion",
    ax: Axes | None = None,
) -> Axes:
    """Days from treatment to onset: median and range. Days to the end: median and its interval. By term.

    An interval without an upper end runs to the edge in an arrow; of fewer than 3 events whose duration is
    known in part or whole there is none.

    Parameters
    ----------
    onset : pandas.DataFrame
        As `safety.summarize_onset` returns it.
    most : int
        Terms shown, the first of the frame.
    ax : matplotlib Axes, optional
        For the onset alone.
    """
    shown = onset.head(most)
    if shown.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    panels = [ax]
    if ax is None:
        panels = plt.figure(figsize=(WIDTH, 1.1 + 0.36 * len(shown))).subplots(1, 2, sharey=True)
    shown = _leave_out_intervals(shown)
    interval = f"{100 * conf_level:g} % CI from {FEWEST} events on{_say_arrow(shown)}"
    looks = [
        ("onset", ("minimum", "maximum"), "o", f"Onset: days since {plain(word)}\n(median, range)"),
        ("duration", ("lower", "upper"), "s", f"Duration: days (median,\n{interval})"),
    ]
    colours = group_palette("AB").values()
    for panel, (name, sides, marker, title), colour in zip(panels, looks, colours, strict=False):
        values = shown[[f"{name}_{column}" for column in ("median", *sides)]].to_numpy(dtype=float)
        _draw_ranges(panel, values, marker, colour)
        panel.set_xlabel(title)
    first = panels[0]
    names = [_term_and_events(row) for row in shown.to_dict("records")]
    first.set_yticks(range(len(shown)), names, fontsize=SMALL)
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
    return f"{plain(row['term'], 28, lines=2)} ({count_noun(n_events, 'event')}{ongoing})"


def _draw_ranges(ax: Axes, values: np.ndarray, marker: str, colour: object) -> None:
    """A line from limit to limit and the median on it, for each row of median, lower and upper limit."""
    right = 1.08 * max(1.0, np.max(values, where=np.isfinite(values), initial=1.0))
    for y, (median, low, high) in enumerate(values):
        if np.isnan(median) and not 0 < low < np.inf:
            text = "not known" if np.isnan(low) else "median not reached"
            ax.text(0, y, text, va="center", fontsize=SMALL)
            continue
        without_end = not np.isfinite(high)
        ends = [low if np.isfinite(low) else 0.0, right if without_end else high]
        ax.plot(ends, [y, y], color=INK, linewidth=1.6)
        if without_end:
            ax.plot(right, y, marker=">", markersize=6, color=INK, clip_on=False)
        if np.isfinite(median):
            ax.plot(median, y, marker=marker, markersize=8, color=colour, markeredgecolor=INK)
    ax.set_xlim(-0.05 * right, right)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    open_left(ax)
