"""Adverse events by term and worst grade: stacked bars, a panel per group."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from nkhcc_helpers.labels import choose_terms, list_block_keys, list_term_names, say_left_out
from nkhcc_helpers.numbers import NOT_ESTIMABLE, format_number, is_estimable
from nkhcc_helpers.safety_terms import list_terms
from nkhcc_helpers.style import (
    FAINT,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    in_house_style,
    known_groups,
    plain,
    say_nothing_to_show,
)

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
