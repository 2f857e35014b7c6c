"""Each patient's course on a line: the whole follow-up, and the adverse events around the infusions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from nkhcc_helpers.report.figures.safety import MISSING, list_grade_handles, list_grade_look
from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Look,
    add_grid,
    choose_axes,
    in_house_style,
    known_groups,
    lighten,
    list_looks,
    list_time_ticks,
    make_mark,
    mark_times,
    open_left,
    plain,
    say_nothing_to_show,
    shorten_names,
)

if TYPE_CHECKING:
    from nkhcc_helpers.safety.timing import Timelines

MOST_PATIENTS = 60


@in_house_style
def plot_swimmer(
    courses: pd.DataFrame,
    infusion_times: pd.DataFrame,
    labels: Mapping[str, str],
    unit: str,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Each patient's course: infusions, progression, death, still followed or lost.

    Follow-up is usually much longer than treatment, so the figure has two panels with the same rows: the time
    of the infusions, and the whole follow-up.

    Parameters
    ----------
    courses : pandas.DataFrame
        As `cohort.list_courses` returns it.
    infusion_times : pandas.DataFrame
        As `cohort.list_infusion_times` returns it.

    Returns
    -------
    matplotlib Axes
        The axes of the whole follow-up.
    """
    looks = list_looks(known_groups(courses, labels), labels)
    last = float(np.nanmax(courses["last_contact"])) if courses["last_contact"].notna().any() else np.nan
    if not looks or not np.isfinite(last):
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows = _order_patients(courses, looks)
    # One row is free above each group, for its name.
    rows["y"] = np.arange(len(rows)) + pd.Categorical(rows["group"], list(looks)).codes + 1.0
    given = infusion_times["time"].max() if len(infusion_times) else np.nan
    n_rows = len(courses) + len(looks)
    height = 1.3 + min(0.23 * n_rows, 14)
    panels = [(choose_axes(ax, height), last)] if ax is not None or not last > 3 * given > 0 else []
    if not panels:
        early, whole = plt.figure(figsize=(WIDTH, height)).subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
        early.set_title("During the infusions")
        whole.set_title("Whole follow-up")
        whole.patch.set_visible(False)
        panels = [(early, 1.12 * given), (whole, last)]
    for panel, right in panels:
        _draw_courses(panel, rows, looks, right)
        panel.set_xlim(-0.015 * right, 1.05 * right)
        panel.set_ylim(n_rows - 0.4, -0.6)
        mark_times(panel, list_time_ticks(right, unit))
        panel.set_xlabel(f"Time since enrolment ({plain(unit)})")
        panel.tick_params(axis="y", length=0)
        add_grid(panel, "x")
    _draw_infusions(panels[0][0], rows, infusion_times)
    _name_patients(panels[0][0], rows, looks, longest=70 if len(panels) == 1 else 34)
    _explain_courses(panels[0][0])
    return panels[-1][0]


def _order_patients(patients: pd.DataFrame, groups: Iterable[str]) -> pd.DataFrame:
    """Patients group under group, in the order of these groups."""
    patients = patients.assign(group=patients["group"].astype("str"))
    return pd.concat([patients[patients["group"] == group] for group in groups], ignore_index=True)


def _draw_courses(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], right: float) -> None:
    rows = rows.assign(last_contact=rows["last_contact"].fillna(0.0))
    shades = [lighten(looks[group].colour, 0.55) for group in rows["group"]]
    edges = [looks[group].darken(0.1) for group in rows["group"]]
    ax.barh(rows["y"], rows["last_contact"], height=0.62, color=shades, edgecolor=edges, linewidth=0.7)
    for column, marker, size, face in (("progression", "D", 5.5, "white"), ("death", "X", 7, INK)):
        seen = rows[rows[column].notna() & (rows[column] <= right)]
        _draw_marks(ax, seen[column], seen["y"], marker, size, face)
    alive = rows[rows["alive"].astype(bool) & (rows["last_contact"] <= right)]
    lost = alive["lost"].astype(bool) if "lost" in alive else pd.Series(False, index=alive.index)
    for part, face in ((alive[~lost], INK), (alive[lost], "white")):
        _draw_marks(ax, part["last_contact"] + 0.012 * right, part["y"], ">", 6.5, face)


def _draw_infusions(ax: Axes, rows: pd.DataFrame, infusion_times: pd.DataFrame) -> None:
    at = infusion_times["USUBJID"].map(rows.set_index("USUBJID")["y"])
    given = infusion_times.assign(y=at).dropna(subset=["y", "time"])
    ax.vlines(given["time"], given["y"] - 0.31, given["y"] + 0.31, color=INK, linewidth=1.1)


def _draw_marks(ax: Axes, x: pd.Series, y: pd.Series, marker: str, size: float, face: str) -> None:
    if len(x):
        look = {"marker": marker, "markersize": size, "markerfacecolor": face, "markeredgecolor": INK}
        ax.plot(x, y, linestyle="", markeredgewidth=0.9, zorder=4, **look)


def _name_patients(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], *, longest: int) -> None:
    many = len(rows) > MOST_PATIENTS
    ax.set_yticks(
        [] if many else rows["y"], [] if many else shorten_names(rows["USUBJID"])[1], fontsize=SMALL
    )
    for group, part in rows.groupby("group", sort=False):
        _name_group(ax, 0, part["y"].min() - 1, looks[group], longest)


def _name_group(ax: Axes, x: float, y: float, look: Look, longest: int) -> None:
    style = {"color": look.dark, "fontsize": SMALL, "fontweight": "bold", "in_layout": False}
    ax.text(x, y, plain(look.name, longest, lines=1), va="center", **style)


def _explain_courses(ax: Axes) -> None:
    handles = [
        make_mark("|", 9, label="Infusion"),
        make_mark("D", 5.5, "white", "Progression"),
        make_mark("X", 7, label="Death"),
        make_mark(">", 6.5, label="Still followed"),
        make_mark(">", 6.5, "white", "Lost to follow-up"),
    ]
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), handletextpad=0.2)


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

    Up to 18 patients are named; beyond 60 the first 60 are drawn and a note says so. A bar covers the days of
    onset and of the end; one of grade 3 or more is named by its term where there is room. A note counts the
    events that begin after the axis; deaths after it are not drawn.

    Parameters
    ----------
    timelines : Timelines
        As `timelines.list_timelines` returns it, or anything with its frames: ``patients`` (``USUBJID group
        last_day`` and, for deaths, ``died``), ``infusions`` (``USUBJID day``), ``events`` (``USUBJID term
        grade day end_day ending``), ``n_undated`` and, if there are any, ``n_uninfused``. Days since the
        first infusion.
    until : float, optional
        Last day shown; by default four weeks after the last infusion of any patient.
    """
    looks = list_looks(known_groups(timelines.patients, labels), labels)
    if not looks:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    patients = _order_patients(timelines.patients, looks)
    shown = patients.head(MOST_PATIENTS)
    if until is None:
        last = timelines.infusions["day"].max() if len(timelines.infusions) else np.nan
        until = 28.0 + (last if np.isfinite(last) else 0.0)
    events = _lay_out_events(timelines.events, shown, until)
    rows = _lay_out_rows(shown, events)
    n_lanes = rows["bottom"].max()
    events["y"] = events["USUBJID"].map(rows.set_index("USUBJID")["top"]) + events["lane"] + 0.5
    label = "; ".join(["Days since the first infusion", *_list_notes(timelines, patients, shown, until)])
    if len(label) > LONGEST:
        label = "\n".join([label.partition("; ")[0], *textwrap.wrap(label.partition("; ")[2], LONGEST)])
    more = UNDER_LINE * label.count("\n")
    ax = choose_axes(ax, 1.6 + more + min(LANE * n_lanes, TALLEST))
    start = min(0.0, events["day"].min()) if len(events) else 0.0
    _draw_lines(ax, rows, timelines.infusions, until)
    n_died = _draw_deaths(ax, rows, until)
    _draw_events(ax, events, start, until)
    if LANE * n_lanes <= 1.4 * TALLEST:
        _name_terms(ax, events, start, until)
    _name_rows(ax, rows, looks, start)
    ax.set_xlim(start - 0.01 * until, until + 1 + 0.025 * (until - start))
    ax.set_ylim(n_lanes + 0.3, 0.0)
    mark_times(ax, list_time_ticks(until, "days"), shift=0.5)
    open_left(ax)
    ax.set_xlabel(label)
    _explain_timelines(ax, events, more, with_deaths=n_died > 0)
    return ax


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
        counted = f"{len(late)} event{'' if len(late) == 1 else 's'}"
        notes.append(f"{counted} after day {until:g} not shown ({grade})")
    if timelines.n_undated:
        notes.append(f"events without a known day, not shown: {timelines.n_undated}")
    n_uninfused = getattr(timelines, "n_uninfused", 0)
    if n_uninfused:
        notes.append(f"patients never infused are not shown: {n_uninfused}")
    return notes


def _lay_out_events(events: pd.DataFrame, patients: pd.DataFrame, until: float) -> pd.DataFrame:
    """Events that begin on the axis, each with its ends as drawn and a lane that is free for it."""
    inside = events["USUBJID"].isin(patients["USUBJID"]) & (events["day"] <= until)
    events = events[inside].sort_values(["USUBJID", "day"], kind="stable", ignore_index=True)
    ends = events["end_day"].where(events["ending"] != "unknown", events["day"]).fillna(events["day"])
    left = events["day"].astype(float)
    right = np.maximum(ends + 1.0, left + SHORTEST * until)
    beyond = ends > until
    ongoing = (events["ending"] == "ongoing") & ~beyond
    events = events.assign(left=left, right=right, is_beyond=beyond, is_ongoing=ongoing)
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
    look = {"marker": "X", "markersize": 6.5, "markeredgecolor": "white", "markeredgewidth": 0.5}
    ax.plot(died["died"] + 0.5, died["bottom"] - 0.35, linestyle="", color=INK, zorder=5, **look)
    return len(died)


def _draw_events(ax: Axes, events: pd.DataFrame, start: float, until: float) -> None:
    events = events.assign(
        grade=events["grade"].astype("Int64").astype("string").fillna(MISSING).astype("str")
    )
    bars = events[events["ending"] != "unknown"]
    for grade, part in bars.groupby("grade"):
        widths = part["right"].clip(upper=until + 1) - part["left"]
        ax.barh(part["y"], widths, left=part["left"], height=0.8, zorder=3, **list_grade_look(grade))
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


def _name_terms(ax: Axes, events: pd.DataFrame, start: float, until: float) -> None:
    """Name events of grade 3 or more within the bar, or behind it up to the next event of the lane."""
    width = ax.get_position().width * ax.figure.get_figwidth()
    letter = LETTER * (until + 1 - start) / width
    events = events.assign(right=events["right"].clip(upper=until + 1))
    lanes = events.groupby(["USUBJID", "lane"], sort=False)
    following = lanes["left"].shift(-1).fillna(until + 1)
    before = lanes["right"].cummax().groupby([events["USUBJID"], events["lane"]]).shift()
    events = events.assign(following=following)
    severe = events["grade"].fillna(0).ge(3) & ~(before > events["left"]) & (events["right"] <= following)
    for event in events[severe].to_dict("records"):
        name = plain(event["term"], MOST_LETTERS, lines=1)
        fits = event["right"] - event["left"] >= letter * (len(name) + 1)
        is_within = fits and event["ending"] != "unknown"
        x = event["left"] + 0.5 * letter if is_within else event["right"] + 1.5 * letter
        if not is_within:
            room = min(MOST_LETTERS, int((event["following"] - x) / letter))
            if room < FEWEST_LETTERS:
                continue
            name = plain(event["term"], room, lines=1)
        colour = "white" if is_within and event["grade"] > 3 else INK
        behind = {} if is_within else {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
        ax.text(x, event["y"], name, fontsize=TINY, color=colour, va="center_baseline", zorder=6, **behind)


def _name_rows(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], start: float) -> None:
    ax.set_yticks([])
    if len(rows) <= MOST_NAMES:
        shared, names = shorten_names(rows["USUBJID"])
        ax.set_yticks(rows["bottom"] - 0.35 - 0.5 * rows["n_lanes"], names, fontsize=SMALL)
        if shared:
            ax.set_ylabel(f"Patients: {plain(rows['USUBJID'].iloc[0], 24, lines=1)} and so on")
    for row in rows[rows["is_first"]].to_dict("records"):
        _name_group(ax, start, row["top"] - 0.1 - row["head"] / 2, looks[row["group"]], 90)


def _explain_timelines(ax: Axes, events: pd.DataFrame, more: float, *, with_deaths: bool) -> None:
    """Grades above the figure, the other marks under it, `more` inches lower than below one line."""
    grades = list_grade_handles(with_missing=bool(events["grade"].isna().any()))
    place = {"handlelength": 1.3, "handletextpad": 0.4, "columnspacing": 1.2}
    ax.figure.legend(handles=grades, loc="outside upper left", ncols=len(grades), **place)
    infusion = (Line2D([], [], marker="|", markersize=13, color=GREY), make_mark("^", 5))
    marks = {"Infusion": infusion}
    if with_deaths:
        marks["Death"] = make_mark("X", 6.5)
    if ((events["ending"] == "ended") & (events["end_day"] == events["day"])).any():
        marks["Ended on the day it began"] = make_mark(NARROW, 10, "white")
    if events["is_ongoing"].any():
        marks["Ongoing at last contact"] = make_mark(">", 5, "white")
    if events["is_beyond"].any():
        marks["Goes on beyond the figure"] = make_mark(">", 5)
    if (events["ending"] == "unknown").any():
        marks["End not known"] = make_mark("o", 6, "white")
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
