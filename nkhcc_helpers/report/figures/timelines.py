"""Each patient's infusions and adverse events along one line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from nkhcc_helpers.report.figures.cohort import find_shared_start
from nkhcc_helpers.report.figures.grades import MISSING, list_grade_handles, list_grade_look
from nkhcc_helpers.report.figures.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    choose_axes,
    darken,
    group_palette,
    in_house_style,
    known_groups,
    list_time_ticks,
    plain,
    say_nothing_to_show,
)

if TYPE_CHECKING:
    from nkhcc_helpers.safety.timing import Timelines


MOST_PATIENTS = 60
MOST_NAMES = 18
MOST_LANES = 6  # events of one patient drawn one above the other
SHORTEST = 0.008  # of the axis, so that an event of one day is seen
TALLEST = 11.0  # inches, of all rows together
LANE = 0.155
HEAD = 0.22  # inches, for the name of a group
TINY = 6.5  # points, for the terms beside bars
LETTER = 0.06  # inches, of that size
FEWEST_LETTERS, MOST_LETTERS = 7, 44
LONGEST = 90  # letters, of a line under the axis
NARROW = [(-0.25, -1), (0.25, -1), (0.25, 1), (-0.25, 1), (-0.25, -1)]
UNDER_AXIS = 0.6  # inches from the axis to the legend of marks, past ticks and a label of one line
UNDER_LINE = 0.18  # inches more for each further line


@in_house_style
def plot_timelines(
    timelines: Timelines, labels: Mapping[str, str], *, until: float | None = None, ax: Axes | None = None
) -> Axes:
    """Each patient's line: infusions as ticks, adverse events as bars from onset to end, deaths as crosses.

    Parameters
    ----------
    timelines : Timelines
        As `timelines.list_timelines` returns it, or anything with its frames: ``patients`` (``USUBJID group
        last_day`` and, for deaths, ``died``), ``infusions`` (``USUBJID day``), ``events`` (``USUBJID term
        grade day end_day ending``), ``n_undated`` and, if there are any, ``n_uninfused``. Days since the
        first infusion.
    labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    until : float, optional
        Last day shown; by default four weeks after the last infusion of any patient.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
        Up to 18 patients are named; beyond 60 the first 60 are drawn and a note says so. A bar covers the
        days of onset and of the end; one of grade 3 or more is named by its term where there is room. A note
        counts the events that begin after the axis; deaths after it are not drawn.
    """
    groups = known_groups(timelines.patients, labels)
    if not groups:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    patients = _order_patients(timelines.patients, groups)
    shown = patients.head(MOST_PATIENTS)
    until = _choose_end(timelines) if until is None else float(until)
    events = _lay_out_events(timelines.events, shown, until)
    rows = _lay_out_rows(shown, events)
    n_lanes = rows["bottom"].max()
    label = _join_lines(
        "Days since the first infusion", "; ".join(_list_notes(timelines, patients, shown, until))
    )
    more = UNDER_LINE * label.count("\n")
    ax = choose_axes(ax, 1.6 + more + min(LANE * n_lanes, TALLEST))
    start = min(0.0, events["day"].min()) if len(events) else 0.0
    _draw_lines(ax, rows, timelines.infusions, until)
    n_died = _draw_deaths(ax, rows, until)
    _draw_events(ax, rows, events, start, until)
    _name_terms(ax, rows, events, start, until)
    _name_rows(ax, rows, labels, start)
    _label_axes(ax, start, until, n_lanes)
    ax.set_xlabel(label)
    _explain_marks(ax, events, more, with_deaths=n_died > 0)
    return ax


def _join_lines(label: str, notes: str) -> str:
    both = f"{label}; {notes}" if notes else label
    return both if len(both) <= LONGEST else "\n".join([label, *textwrap.wrap(notes, LONGEST)])


def _list_notes(timelines: Timelines, patients: pd.DataFrame, shown: pd.DataFrame, until: float) -> list[str]:
    """What the figure does not show."""
    notes = []
    if len(patients) > len(shown):
        notes.append(f"the first {len(shown)} of {len(patients)} patients")
    events = timelines.events
    late = events[events["USUBJID"].isin(shown["USUBJID"]) & (events["day"] > until)]
    if len(late):
        worst = late["grade"].max()
        grade = "worst grade missing" if pd.isna(worst) else f"worst grade {worst}"
        notes.append(
            f"{len(late)} event{'' if len(late) == 1 else 's'} after day {until:g} not shown ({grade})"
        )
    if timelines.n_undated:
        notes.append(f"events without a known day, not shown: {timelines.n_undated}")
    n_uninfused = getattr(timelines, "n_uninfused", 0)
    if n_uninfused:
        notes.append(f"patients never infused are not shown: {n_uninfused}")
    return notes


def _order_patients(patients: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    patients = patients.assign(group=patients["group"].astype("str"))
    parts = [patients[patients["group"] == group] for group in groups]
    return pd.concat(parts, ignore_index=True)


def _choose_end(timelines: Timelines) -> float:
    last = timelines.infusions["day"].max() if len(timelines.infusions) else np.nan
    return 28.0 + (last if np.isfinite(last) else 0.0)


def _lay_out_events(events: pd.DataFrame, patients: pd.DataFrame, until: float) -> pd.DataFrame:
    """Events that begin on the axis, each with its ends as drawn and a lane that is free for it."""
    inside = events["USUBJID"].isin(patients["USUBJID"]) & (events["day"] <= until)
    events = events[inside].sort_values(["USUBJID", "day"], kind="stable", ignore_index=True)
    ends = events["end_day"].where(events["ending"] != "unknown", events["day"]).fillna(events["day"])
    left = events["day"].astype(float)
    right = np.maximum(ends + 1.0, left + SHORTEST * until)
    beyond = ends > until
    events = events.assign(
        left=left, right=right, is_beyond=beyond, is_ongoing=(events["ending"] == "ongoing") & ~beyond
    )
    return events.assign(lane=_choose_lanes(events, 2 * SHORTEST * until))


def _choose_lanes(events: pd.DataFrame, gap: float) -> list[int]:
    """The first lane of the patient in which the event does not touch the one before."""
    lanes, free = [], {}
    for patient, left, right in zip(events["USUBJID"], events["left"], events["right"], strict=True):
        taken = free.setdefault(patient, [])
        lane = next((i for i, end in enumerate(taken) if end <= left), len(taken))
        if lane >= MOST_LANES:
            lane = int(np.argmin(taken))
        taken[lane : lane + 1] = [right + gap]
        lanes.append(lane)
    return lanes


def _lay_out_rows(patients: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Top and bottom of each patient in lanes; a group's name stands in a row above its first patient."""
    names = patients["USUBJID"].astype("str")
    n_lanes = names.map(events.groupby("USUBJID")["lane"].max() + 1).fillna(1).clip(lower=1)
    height = n_lanes + 0.7
    first = patients["group"] != patients["group"].shift()
    # Where lanes have to be thinner than usual, the rows of the groups' names must not be.
    head = max(HEAD / LANE, HEAD * height.sum() / (TALLEST - HEAD * first.sum()))
    bottom = (height + head * first).cumsum()
    layout = {"top": bottom - height + 0.35, "bottom": bottom, "n_lanes": n_lanes}
    return patients.assign(USUBJID=names, is_first=first, head=head, **layout)


def _draw_lines(ax: Axes, rows: pd.DataFrame, infusions: pd.DataFrame, until: float) -> None:
    last = rows["last_day"].astype(float).fillna(0.0).clip(lower=0.0, upper=until) + 1.0
    base = rows["bottom"] - 0.35
    ax.hlines(base, 0, last, color=GREY, linewidth=0.8, zorder=1)
    place = rows.assign(base=base).set_index("USUBJID")[["top", "base"]]
    given = infusions[infusions["day"] <= until].join(place, on="USUBJID").dropna(subset=["base", "day"])
    ax.vlines(given["day"] + 0.5, given["top"], given["base"], color=GREY, linewidth=0.9, zorder=1)
    ax.plot(given["day"] + 0.5, given["base"], linestyle="", marker="^", markersize=4, color=INK, zorder=2)


def _draw_deaths(ax: Axes, rows: pd.DataFrame, until: float) -> int:
    """A cross on the line of each patient who died within the axis; how many did."""
    if "died" not in rows:
        return 0
    died = rows[rows["died"] <= until]
    look = {
        "marker": "X",
        "markersize": 6.5,
        "color": INK,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    }
    ax.plot(died["died"] + 0.5, died["bottom"] - 0.35, linestyle="", zorder=5, **look)
    return len(died)


def _draw_events(ax: Axes, rows: pd.DataFrame, events: pd.DataFrame, start: float, until: float) -> None:
    top = events["USUBJID"].map(rows.set_index("USUBJID")["top"])
    events = events.assign(y=top + events["lane"] + 0.5, grade=_name_grades(events))
    bars = events[events["ending"] != "unknown"]
    for grade, part in bars.groupby("grade"):
        right = part["right"].clip(upper=until + 1)
        ax.barh(
            part["y"], right - part["left"], left=part["left"], height=0.8, zorder=3, **list_grade_look(grade)
        )
    for grade, part in events[events["ending"] == "unknown"].groupby("grade"):
        look = list_grade_look(grade)
        style = {"color": look["facecolor"], "markeredgecolor": INK, "markeredgewidth": 0.7}
        ax.plot(part["left"] + 0.5, part["y"], linestyle="", marker="o", markersize=6, zorder=3, **style)
    for column, face in (("is_ongoing", "white"), ("is_beyond", INK)):
        on = bars[bars[column]]
        if len(on):
            tips = on["right"].clip(upper=until + 1) + 0.006 * (until - start)
            look = {"marker": ">", "markersize": 4.5, "markerfacecolor": face, "markeredgecolor": INK}
            ax.plot(tips, on["y"], linestyle="", zorder=4, clip_on=False, **look)


def _name_terms(ax: Axes, rows: pd.DataFrame, events: pd.DataFrame, start: float, until: float) -> None:
    """Name events of grade 3 or more within the bar, or behind it up to the next event of the lane."""
    width = ax.get_position().width * ax.figure.get_figwidth()
    if "term" not in events or LANE * rows["bottom"].max() > 1.4 * TALLEST:
        return
    letter = LETTER * (until + 1 - start) / width
    events = events.assign(right=events["right"].clip(upper=until + 1))
    lanes = events.groupby(["USUBJID", "lane"], sort=False)
    following = lanes["left"].shift(-1).fillna(until + 1)
    before = lanes["right"].cummax().groupby([events["USUBJID"], events["lane"]]).shift()
    top = events["USUBJID"].map(rows.set_index("USUBJID")["top"])
    events = events.assign(following=following, y=top + events["lane"] + 0.5)
    severe = events["grade"].fillna(0).ge(3) & ~(before > events["left"]) & (events["right"] <= following)
    for event in events[severe].to_dict("records"):
        name = plain(event["term"], MOST_LETTERS, lines=1)
        is_within = event["ending"] != "unknown" and event["right"] - event["left"] >= letter * (
            len(name) + 1
        )
        x = event["left"] + 0.5 * letter if is_within else event["right"] + 1.5 * letter
        if not is_within:
            room = min(MOST_LETTERS, int((event["following"] - x) / letter))
            if room < FEWEST_LETTERS:
                continue
            name = plain(event["term"], room, lines=1)
        colour = "white" if is_within and event["grade"] > 3 else INK
        behind = {} if is_within else {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
        ax.text(x, event["y"], name, fontsize=TINY, color=colour, va="center_baseline", zorder=6, **behind)


def _name_grades(events: pd.DataFrame) -> pd.Series:
    return events["grade"].astype("Int64").astype("string").fillna(MISSING).astype("str")


def _name_rows(ax: Axes, rows: pd.DataFrame, labels: Mapping[str, str], start: float) -> None:
    if len(rows) <= MOST_NAMES:
        start_of_all = find_shared_start(rows["USUBJID"])
        names = [plain(name.removeprefix(start_of_all), 14, lines=1) for name in rows["USUBJID"]]
        ax.set_yticks(rows["bottom"] - 0.35 - 0.5 * rows["n_lanes"], names, fontsize=SMALL)
        if start_of_all:
            ax.set_ylabel(f"Patients: {plain(rows['USUBJID'].iloc[0], 24, lines=1)} and so on")
    else:
        ax.set_yticks([])
    colours = group_palette(labels or rows["group"].unique())
    for row in rows[rows["is_first"]].to_dict("records"):
        colour = darken(colours.get(row["group"], INK))
        style = {"color": colour, "fontsize": SMALL, "fontweight": "bold", "in_layout": False}
        name = plain(labels.get(row["group"], row["group"]), 90, lines=1)
        ax.text(start, row["top"] - 0.1 - row["head"] / 2, name, va="center", **style)


def _label_axes(ax: Axes, start: float, until: float, n_lanes: float) -> None:
    ax.set_xlim(start - 0.01 * until, until + 1 + 0.025 * (until - start))
    ax.set_ylim(n_lanes + 0.3, 0.0)
    ticks = list_time_ticks(until, "days")
    ax.set_xticks(np.array(ticks) + 0.5, [f"{tick:g}" for tick in ticks])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _explain_marks(ax: Axes, events: pd.DataFrame, more: float, *, with_deaths: bool) -> None:
    """Grades above the figure, the other marks under it, `more` inches lower than below one line."""
    grades = list_grade_handles(with_missing=bool(events["grade"].isna().any()))
    place = {"handlelength": 1.3, "handletextpad": 0.4, "columnspacing": 1.2}
    ax.figure.legend(handles=grades, loc="outside upper left", ncols=len(grades), **place)
    infusion = (Line2D([], [], marker="|", markersize=13, color=GREY), _make_mark("^", 5))
    marks = {"Infusion": infusion}
    if with_deaths:
        marks["Death"] = _make_mark("X", 6.5)
    if ((events["ending"] == "ended") & (events["end_day"] == events["day"])).any():
        marks["Ended on the day it began"] = _make_mark(NARROW, 10, "white")
    if events["is_ongoing"].any():
        marks["Ongoing at last contact"] = _make_mark(">", 5, "white")
    if events["is_beyond"].any():
        marks["Goes on beyond the figure"] = _make_mark(">", 5)
    if (events["ending"] == "unknown").any():
        marks["End not known"] = _make_mark("o", 6, "white")
    # Tied to the axes: a legend of the figure would move when the saved picture is cut out.
    below = offset_copy(ax.transAxes, ax.figure, y=-(UNDER_AXIS + more), units="inches")
    ax.legend(
        handles=list(marks.values()),
        labels=list(marks),
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below,
        borderaxespad=0,
        ncols=min(3, len(marks)),
        handler_map={tuple: HandlerTuple(ndivide=1)},
        **place,
    )


def _make_mark(marker: object, size: float, face: str = INK) -> Line2D:
    look = {"markersize": size, "markerfacecolor": face, "markeredgecolor": INK}
    return Line2D([], [], linestyle="", marker=marker, **look)
