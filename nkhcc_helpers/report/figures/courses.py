"""Patients over time: when they were enrolled, and each one's treatments and adverse events on a line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from nkhcc_helpers.report.figures.safety import MISSING, list_grade_handles, list_grade_look
from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    Look,
    add_grid,
    choose_axes,
    in_house_style,
    known_groups,
    list_looks,
    list_time_ticks,
    make_mark,
    mark_times,
    name_groups,
    open_left,
    plain,
    rows_of,
    say_nothing_to_show,
    shorten_names,
    spread_apart,
)
from nkhcc_helpers.trial.metadata import count_noun

if TYPE_CHECKING:
    from nkhcc_helpers.safety.timing import Timelines

MOST_PATIENTS = 60
"""Patients up to which all are drawn one by one."""
LASTING = 2.2  # points, of the line of a treatment that lasted


def order_patients(patients: pd.DataFrame, groups: Iterable[str]) -> pd.DataFrame:
    """Patients group under group, in the order of these groups."""
    patients = patients.assign(group=patients["group"].astype("str"))
    return pd.concat([patients[patients["group"] == group] for group in groups], ignore_index=True)


def join_days(given: pd.DataFrame, start: str, end: str, day: float = 1.0) -> pd.DataFrame:
    """Treatments of each patient, those of one day after the other as one, which is `joined`.

    It goes to the end of the last. `day` is how long a day is.
    """
    given = given.sort_values(["USUBJID", start], kind="stable")
    last = given.groupby("USUBJID")[end].cummax().groupby(given["USUBJID"]).shift()
    grouped = given.groupby((~(given[start] <= last + 1.5 * day)).cumsum(), sort=False)
    runs = grouped.first().assign(**{end: grouped[end].max()}, joined=grouped.size() > 1)
    return runs.reset_index(drop=True)


def name_marks(word: str, given: pd.DataFrame, start: str, end: str) -> list[str]:
    """What the mark of a treatment is called, and the line of one that lasted, if any did."""
    name = plain(word[:1].upper() + word[1:], 24, lines=1)
    lasted = given[given[end] > given[start]]
    how = "without a gap" if lasted["joined"].any() else "to its end"
    return [name, f"{name}, {how}"][: (len(given) > 0) + (len(lasted) > 0)]


def name_group(ax: Axes, x: float, y: float, name: str, look: Look) -> None:
    """Write the name of a group in its dark colour, left out of the layout."""
    style = {"color": look.dark, "fontsize": SMALL, "fontweight": "bold", "in_layout": False}
    ax.text(x, y, name, va="center", **style)


@in_house_style
def plot_enrolment(enrolment: pd.DataFrame, labels: Mapping[str, str], *, ax: Axes | None = None) -> Axes:
    """Patients enrolled so far in each group, over calendar time.

    Parameters
    ----------
    enrolment : pandas.DataFrame
        As `cohort.count_enrolment` returns it.
    """
    enrolment = enrolment.dropna(subset=["date"])
    looks = list_looks(known_groups(enrolment, labels), labels)
    ax = choose_axes(ax, 4.0)
    if not looks:
        return say_nothing_to_show(ax)
    first, last = enrolment["date"].min(), enrolment["date"].max()
    edge = max((last - first) * 0.03, pd.Timedelta(days=3))
    ends = []
    for group, look in looks.items():
        rows = rows_of(enrolment, group)
        dates = [rows["date"].iloc[0], *rows["date"], last + edge]
        counts = [0, *rows["n_enrolled"], rows["n_enrolled"].iloc[-1]]
        ax.step(dates, counts, where="post", linewidth=1.9, color=look.colour, linestyle=look.line)
        ends.append(float(counts[-1]))
    top = max(ends)
    names = name_groups(looks, 26, lines=2)
    gap = top * 0.052 * (1 + max(name.count("\n") for name in names.values()))
    for look, name, y in zip(looks.values(), names.values(), spread_apart(ends, gap), strict=True):
        at = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
        style = {"color": look.dark, "fontsize": SMALL, "linespacing": 1.05, "annotation_clip": False}
        ax.annotate(name, (1, y), xytext=(5, 0), **at, **style)
    ax.set_xlim(first - edge, last + edge)
    ax.set_ylim(0, top * 1.05)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    days = (last - first).days
    shown = "%d %b\n%Y" if days < 120 else "%b\n%Y" if days < 3000 else "%Y"
    ax.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=8))
    ax.xaxis.set_major_formatter(mdates.DateFormatter(shown))
    ax.set_ylabel("Patients enrolled")
    add_grid(ax, "y")
    return ax


MOST_NAMES = 18
MOST_LANES = 6  # events of one patient drawn one above the other
SHORTEST = 0.008  # of the axis, so that an event of one day is seen
MOST_HEIGHT = 110  # lanes, of the patients chosen where not all can be drawn
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
    timelines: Timelines,
    labels: Mapping[str, str],
    *,
    until: float | None = None,
    word: str = "infusion",
    ax: Axes | None = None,
) -> Axes:
    """Each patient's line: treatments as ticks, adverse events as bars from onset to end, deaths as crosses.

    Up to 18 patients are named. Of more than 60 as many of each group are drawn as there is room for, those
    with the worst events, and a note says so. A bar covers the days of onset and of the end; one of grade 3
    or more is named by its term where there is room. A note counts the events that begin after the axis;
    deaths after it are not drawn.

    Parameters
    ----------
    timelines : Timelines
        As `safety.list_timelines` returns it, or anything with its attributes.
    until : float, optional
        Last day shown; by default four weeks after the last infusion of any patient ended, or without any
        after the last event began.
    """
    looks = list_looks(known_groups(timelines.patients, labels), labels)
    if not looks:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    patients = order_patients(timelines.patients, looks)
    infusions = join_days(timelines.infusions, "day", "end_day")
    if until is None:
        last = infusions["end_day"].max() if len(infusions) else timelines.events["day"].max()
        until = 28.0 + (last if np.isfinite(last) else 0.0)
    events = _lay_out_events(timelines.events, patients, until)
    shown = _choose_patients(patients, events)
    events = events[events["USUBJID"].isin(shown["USUBJID"])].reset_index(drop=True)
    rows = _lay_out_rows(shown, events)
    n_lanes = rows["bottom"].max()
    events["y"] = events["USUBJID"].map(rows.set_index("USUBJID")["top"]) + events["lane"] + 0.5
    notes = _list_notes(timelines, patients, shown, until, plain(word))
    label = "; ".join([f"Days since the first {plain(word)}", *notes])
    if len(label) > LONGEST:
        label = "\n".join([label.partition("; ")[0], *textwrap.wrap(label.partition("; ")[2], LONGEST)])
    more = UNDER_LINE * label.count("\n")
    ax = choose_axes(ax, 1.6 + more + min(LANE * n_lanes, TALLEST))
    start = min(0.0, events["day"].min()) if len(events) else 0.0
    _draw_lines(ax, rows, infusions, until)
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
    treatment = name_marks(word, infusions, "day", "end_day")
    _explain_timelines(ax, events, more, treatment, with_deaths=n_died > 0)
    return ax


def _choose_patients(patients: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """All patients, or as many as can be drawn: as many of each group, those with the worst events."""
    if len(patients) <= MOST_PATIENTS:
        return patients
    grades = events.assign(grade=events["grade"].astype("Float64").fillna(0)).groupby("USUBJID")["grade"]
    lanes = events.groupby("USUBJID")["lane"].max() + 1
    own = pd.DataFrame({"worst": grades.max(), "n_events": grades.size(), "n_lanes": lanes})
    ranked = patients.join(own.reindex(patients["USUBJID"]).fillna(0).set_axis(patients.index))
    ranked = ranked.sort_values(["worst", "n_events"], ascending=False, kind="stable")
    place = ranked.groupby("group").cumcount().sort_values(kind="stable").index
    height = (ranked.loc[place, "n_lanes"].clip(lower=1) + 0.7).cumsum()
    kept = place[height <= MOST_HEIGHT][:MOST_PATIENTS]
    return patients.loc[kept.sort_values()].reset_index(drop=True)


def _list_notes(
    timelines: Timelines, patients: pd.DataFrame, shown: pd.DataFrame, until: float, word: str
) -> list[str]:
    """What the figure does not show."""
    notes = []
    if len(patients) > len(shown):
        of_each = "of each group those with the worst grade, then the most events"
        notes.append(f"{len(shown)} of {len(patients)} patients, {of_each}")
    events = timelines.events
    late = events[events["USUBJID"].isin(shown["USUBJID"]) & (events["day"] > until)]
    if len(late):
        worst = late["grade"].max()
        grade = "worst grade missing" if pd.isna(worst) else f"worst grade {worst}"
        notes.append(f"{count_noun(len(late), 'event')} after day {until:g} not shown ({grade})")
    if timelines.n_undated:
        notes.append(f"events without a known day, not shown: {timelines.n_undated}")
    n_uninfused = getattr(timelines, "n_uninfused", 0)
    if n_uninfused:
        notes.append(f"patients without any {word} are not shown: {n_uninfused}")
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
    long = given[given["end_day"] > given["day"]]
    last = long["end_day"].clip(upper=until) + 1.0
    ax.hlines(long["base"], long["day"] + 0.5, last, color=INK, linewidth=LASTING, zorder=2)


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
    groups = name_groups(looks, 90)
    for row in rows[rows["is_first"]].to_dict("records"):
        name_group(ax, start, row["top"] - 0.1 - row["head"] / 2, groups[row["group"]], looks[row["group"]])


def _explain_timelines(
    ax: Axes, events: pd.DataFrame, more: float, treatment: list[str], *, with_deaths: bool
) -> None:
    """Grades above the figure, the other marks under it, `more` inches lower than below one line."""
    grades = list_grade_handles(with_missing=bool(events["grade"].isna().any()))
    place = {"handlelength": 1.3, "handletextpad": 0.4, "columnspacing": 1.2}
    ax.figure.legend(handles=grades, loc="outside upper left", ncols=len(grades), **place)
    infusion = (Line2D([], [], marker="|", markersize=13, color=GREY), make_mark("^", 5))
    marks = dict.fromkeys(treatment[:1], infusion)
    marks |= {name: Line2D([], [], color=INK, linewidth=LASTING) for name in treatment[1:]}
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
    if not marks:
        return
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
