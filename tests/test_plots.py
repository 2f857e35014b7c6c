import time

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from figure_texts import (
    check_contracts,
    keep_drawn,
    list_texts,
    shown,
    texts_outside,
    texts_overlapping,
)
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation

from nkhcc_helpers.report import figures
from nkhcc_helpers.report.figures import style


@pytest.fixture(autouse=True)
def _close_figures():
    with mpl.rc_context():
        mpl.use("Agg")
        yield
    plt.close("all")


def draw_km(kind):
    labels = frames.make_trial(kind).group_labels
    curves, counts, summary = frames.make_curves(kind), frames.make_counts(kind), frames.make_summary(kind)
    return figures.plot_km(curves, counts, summary, labels, "months", "Overall survival", show_ci=True)


def draw_swimmer(kind):
    courses = frames.make_courses(kind)
    given = frames.make_infusion_times(courses)
    return figures.plot_swimmer(courses, given, frames.make_trial(kind).group_labels, "months")


FIGURES = {
    "flow": lambda kind: figures.plot_flow(
        frames.make_disposition(kind), frames.make_trial(kind).group_labels
    ),
    "enrolment": lambda kind: figures.plot_enrolment(
        frames.make_enrolment(kind), frames.make_trial(kind).group_labels
    ),
    "swimmer": draw_swimmer,
    "km": draw_km,
}


drawn = keep_drawn(FIGURES)


@pytest.mark.parametrize("kind", list(frames.ARMS))
@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_keeps_its_contracts(name, kind, tmp_path):
    check_contracts(drawn(name, kind), kind, tmp_path)


def test_texts_outside_finds_a_cut_text():
    figure = plt.figure()
    figure.text(0.99, 0.5, "cut off at the edge")
    assert texts_outside(figure) == ["cut off at the edge"]


def test_texts_overlapping_finds_an_overlap():
    figure = plt.figure()
    figure.text(0.5, 0.5, "one")
    figure.text(0.5, 0.5, "two")
    assert texts_overlapping(figure) == [("one", "two")]


DRAWN_INTO = {
    "flow": lambda ax: figures.plot_flow(frames.make_disposition(), {}, ax=ax),
    "enrolment": lambda ax: figures.plot_enrolment(frames.make_enrolment(), {}, ax=ax),
    "swimmer": lambda ax: figures.plot_swimmer(
        frames.make_courses(), frames.make_infusion_times(frames.make_courses()), {}, "months", ax=ax
    ),
    "km": lambda ax: figures.plot_km(frames.make_curves(), None, None, {}, "months", "OS", ax=ax),
}


@pytest.mark.parametrize("name", list(DRAWN_INTO))
def test_axes_given_are_drawn_into(name):
    ax = plt.figure(figsize=(8, 6), layout="constrained").subplots()
    assert DRAWN_INTO[name](ax) is ax
    assert plt.get_fignums() == [ax.figure.number]
    ax.figure.draw_without_rendering()


EMPTY = {
    "flow": lambda: figures.plot_flow(frames.make_disposition().iloc[:0], {}),
    "enrolment": lambda: figures.plot_enrolment(frames.make_enrolment().iloc[:0], {}),
    "swimmer": lambda: figures.plot_swimmer(
        frames.make_courses().iloc[:0], frames.make_infusion_times(frames.make_courses()).iloc[:0], {}, "days"
    ),
    "km": lambda: figures.plot_km(frames.make_curves().iloc[:0], None, None, {}, "days", "OS"),
}


@pytest.mark.parametrize("name", list(EMPTY))
def test_nothing_to_show_says_so(name):
    assert shown(EMPTY[name]()) == ["Nothing to show"]


def test_palette_is_one_and_readable():
    groups = [str(i) for i in range(8)]
    palette = style.group_palette(groups)
    assert list(palette) == groups
    assert len(set(palette.values())) == 8
    assert style.group_palette(groups[:3]) == {group: palette[group] for group in groups[:3]}
    for colour in palette.values():
        red, green, blue = style.darken(colour)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.55  # dark enough for text on white


def test_groups_differ_without_colour():
    looks = style.list_looks("ABCDEFG", {}).values()
    assert len({look.line for look in looks}) == 6
    assert len({look.marker for look in looks}) == 7


def test_shades():
    assert style.darken("white", 0.25) == (0.75, 0.75, 0.75)
    assert style.lighten("black", 0.25) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("text", "width", "shown_text"),
    [
        ("a $x$ b", 0, "a \\$x\\$ b"),
        ("line\none\ttwo", 0, "line one two"),
        ("one two three four five", 10, "one two\nthree four\nfive"),
        ("one two three four five six", 10, "one two\nthree four\nfive six"),
        ("one two three four five six seven", 10, "one two\nthree four\nfive six …"),
        ("dose 中", 0, "dose ?"),
        ("", 10, ""),
    ],
)
def test_plain_text(text, width, shown_text):
    assert style.plain(text, width) == shown_text


@pytest.mark.parametrize(
    ("last", "unit", "ticks"),
    [
        (108.02, "months", [0, 12, 24, 36, 48, 60, 72, 84, 96, 108]),
        (9.5, "months", list(range(10))),
        (20, "months", [0, 3, 6, 9, 12, 15, 18]),
        (3287, "days", [0, 365, 730, 1095, 1460, 1825, 2190, 2555, 2920, 3285]),
        (60, "days", [0, 7, 14, 21, 28, 35, 42, 49, 56]),
        (9.0, "years", list(range(10))),
        (470, "weeks", [0, 52, 104, 156, 208, 260, 312, 364, 416, 468]),
        (2400, "months", [0, 360, 720, 1080, 1440, 1800, 2160]),
        (0.08, "years", [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08]),
        (0.0, "months", [0]),
        (np.nan, "months", [0]),
        (np.inf, "months", [0]),
        (45, "cycles", [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]),
    ],
)
def test_time_ticks(last, unit, ticks):
    assert figures.list_time_ticks(last, unit) == pytest.approx(ticks)


def test_labels_that_would_overlap_are_spread_apart():
    assert style.spread_apart([3, 3, 10], 2) == [2, 4, 10]
    assert style.spread_apart([10, 3, 3], 2) == [10, 2, 4]
    assert style.spread_apart([1, 2, 3], 1) == [1, 2, 3]
    assert style.spread_apart([], 1) == []


def test_known_groups_follow_the_trial():
    frame = pd.DataFrame({"group": ["Z", "B", "All", "A"]})
    assert style.known_groups(frame, {"A": "a", "B": "b", "C": "c"}) == ["A", "B", "Z"]


def test_km_steps_end_at_the_last_follow_up():
    ax = drawn("km")
    steps = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert len(steps) == 4
    assert list(steps[0].get_xdata()) == [0, 5, 108]
    assert list(steps[0].get_ydata()) == pytest.approx([1, 2 / 3, 2 / 3])


def test_km_marks_censoring_and_medians():
    ax = drawn("km")
    ticks = [line for line in ax.lines if line.get_marker() == "|"]
    assert [list(line.get_xdata()) for line in ticks] == [[108]] * 4
    # The first group has no median: three vertical lines, at 12.6, and one horizontal.
    segments = [
        segment
        for lines in ax.collections
        if hasattr(lines, "get_segments")
        for segment in lines.get_segments()
    ]
    vertical = [s for s in segments if s[0][0] == s[1][0]]
    assert [s[0][0] for s in vertical] == [12.6] * 3
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[:2] == ["A: low dose x 4\nmedian NE", "B: normal dose x 4\nmedian 12.6 months"]


def test_km_cut_short_says_how_long_follow_up_went_on():
    curves = frames.make_curves()
    labels = frames.make_trial().group_labels
    ax = figures.plot_km(curves, None, None, labels, "months", "OS", until=30)
    arrows = [line for line in ax.lines if line.get_marker() == ">"]
    assert [list(line.get_xdata()) for line in arrows] == [[30]] * 4
    assert {text.get_text() for text in ax.texts} == {"followed to 108.0"}
    assert not [line for line in ax.lines if line.get_marker() == "|"]
    assert max(max(line.get_xdata()) for line in ax.lines) == 30


@pytest.mark.parametrize(
    ("times", "events", "end"),
    [([0, 2, 4], [0, 1, 1], 4), ([0, 2, 10], [0, 1, 0], 2.7), ([0, 2, 4], [0, 1, 0], 4), ([0, 9], [0, 0], 9)],
)
def test_axis_ends_where_the_steps_can_be_seen(times, events, end):
    curves = pd.DataFrame({"time": times, "n_events": events})
    assert figures.choose_axis_end(curves) == pytest.approx(end)


@pytest.mark.parametrize(
    ("labels", "width", "lines", "shown_as"),
    [
        (["A: low", "B: high"], 20, 1, ["A: low", "B: high"]),
        (
            ["Group that has the low dose", "Group that has the high dose"],
            14,
            1,
            ["… the low dose", "… high dose"],
        ),
        (["Group that has the low dose", "All"], 14, 1, ["Group that …", "All"]),
        (["same and same again"] * 2, 9, 1, ["same …"] * 2),
        (["Given low now", "Given lower later"], 40, 1, ["Given low now", "Given lower later"]),
        (["x" * 40 + "a", "x" * 40 + "b"], 12, 1, ["… xxxxa", "… xxxxb"]),
        (["Start $a$ with", "Start $a$ without"], 9, 1, ["… with", "… without"]),
    ],
)
def test_labels_that_begin_alike_are_told_apart(labels, width, lines, shown_as):
    assert style.tell_apart(labels, width, lines) == shown_as


def test_labels_under_the_curves_and_above_them_are_told_apart():
    labels = {code: f"Patients with recurrent disease after transplantation, arm {code}" for code in "ABCD"}
    curves = frames.make_curves()
    ax = figures.plot_km(curves, frames.make_counts(), None, labels, "months", "OS")
    named = {text.get_text() for text in ax.get_legend().get_texts()}
    below = [text for text in shown(ax) if text.startswith("… ")]
    assert len(named) == len(set(below)) == curves["group"].nunique()


def test_a_curve_drops_at_time_0():
    curves = pd.DataFrame(
        {"group": "A", "time": [0.0, 5.0], "n_events": [1, 1], "n_censored": [1, 0], "survival": [0.5, 0.0]}
    )
    ax = figures.plot_km(curves, None, None, {"A": "A"}, "days", "OS")
    assert ax.lines[0].get_xydata().tolist() == [[0, 1], [0, 0.5], [5, 0]]


def test_incidence_stands_beside_its_competing_event():
    curves = pd.DataFrame(
        {
            "group": "A",
            "time": [0.0, 2.0, 3.0] * 2,
            "cause": [1, 1, 1, 2, 2, 2],
            "n_at_risk": [4, 4, 2] * 2,
            "incidence": [0, 0.25, 0.25, 0, 0.25, 0.5],
        }
    )
    ax = figures.plot_incidence(curves, {"A": "A: low"}, "months", "progression", "death")
    heights = [line.get_ydata().tolist() for line in ax.lines]
    assert heights[:2] == [[0, 0.25, 0.25], [0, 0.25, 0.5]]
    assert ax.get_ylabel().startswith("Progression, % of patients")
    assert {"A: low", "Death", "At risk"} <= set(shown(ax))


def test_null_distribution_shows_both_p_values():
    null = np.random.default_rng(1).chisquare(3, 20_000) * 1.4
    density = figures.plot_null_distribution(null, 12.0, 3)
    tail = density.figure.axes[1]
    assert tail.get_yscale() == "log"
    heights = sum(bar.get_height() * bar.get_width() for bar in density.patches)
    assert heights == pytest.approx(1, abs=0.01)
    observed = [line for line in tail.lines if list(line.get_xdata()) == [12.0, 12.0]]
    assert len(observed) == 1
    texts = [text.get_text() for text in density.figure.legends[0].get_texts()]
    assert texts == ["Random relabellings", "Chi-square approximation", "Observed 12.00"]
    density.figure.canvas.draw()


@pytest.mark.parametrize(("null", "observed", "df"), [([], 1.0, 3), ([1.0], np.nan, 3), ([1.0], 1.0, 0)])
def test_null_distribution_with_nothing_to_show(null, observed, df):
    assert shown(figures.plot_null_distribution(np.array(null), observed, df)) == ["Nothing to compare"]


def test_km_without_any_median_draws_no_median_line():
    summary = frames.make_summary().assign(median=np.nan)
    labels = frames.make_trial().group_labels
    ax = figures.plot_km(frames.make_curves(), None, summary, labels, "months", "OS")
    assert not ax.collections


def test_km_counts_stand_under_their_ticks():
    ax = drawn("km")
    below = ax.figure.axes[1]
    assert [tick.get_text() for tick in below.get_yticklabels()][:6] == [
        "At risk",
        "A: low dose x 4",
        "B: normal dose x 4",
        "C: normal dose x 8",
        "D: incremental dose x 8",
        "Events so far",
    ]
    first = sorted((text.get_position(), text.get_text()) for text in below.texts)
    assert [text for (x, _), text in first if x == 0][:4] == ["3", "5", "6", "4"]
    assert list(ax.get_xticks()) == [0, 12, 24, 36, 48, 60, 72, 84, 96, 108]


def test_km_draws_bands_when_asked():
    ax = drawn("km")
    bands = [band for band in ax.collections if not hasattr(band, "get_segments")]
    assert len(bands) == 4
    assert bands[0].get_paths()[0].get_extents().ymin == pytest.approx(0.1)


def test_km_is_quick():
    drawn("km")
    start = time.perf_counter()
    drawn("km")
    assert time.perf_counter() - start < 0.5


def test_flow_boxes_hold_their_text():
    for kind in frames.ARMS:
        ax = drawn("flow", kind)
        drawn_texts = list_texts(ax.figure)  # which lays the figure out
        renderer = FigureCanvasAgg(ax.figure).get_renderer()
        boxes = [
            patch.get_window_extent(renderer) for patch in ax.patches if isinstance(patch, FancyBboxPatch)
        ]
        assert len(boxes) == 1 + 3 * len(frames.ARMS[kind])
        for text, extent in drawn_texts:
            x, y = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
            for box in boxes:
                if box.contains(x, y):
                    assert box.x0 <= extent.x0 <= extent.x1 <= box.x1, text.get_text()
                    assert box.y0 <= extent.y0 <= extent.y1 <= box.y1, text.get_text()


def test_flow_shows_what_is_not_known_as_such():
    texts = shown(drawn("flow"))
    assert "Enrolled\nn = 18" in texts
    assert "A: low dose x 4\nn = 3" in texts
    assert texts.count("NE") == 4  # nobody's progression is known


def test_flow_arrows_lead_from_enrolled_to_groups_to_treated_and_no_further():
    ax = drawn("flow")
    tips = [note.xy[1] for note in ax.texts if isinstance(note, Annotation)]
    words = [text for text in ax.texts if not isinstance(text, Annotation)]
    rows = {}
    for text in sorted(words, key=lambda text: text.get_position()):
        rows.setdefault(round(-text.get_position()[1], 6), []).append(text.get_text())
    counts = {names[0]: names[1:] for _, names in sorted(rows.items())}
    assert list(counts)[-8:] == [
        "Treated", "As many as planned", "Fewer than planned", "Of all enrolled, by the end of follow-up",
        "Progressed", "Died", "Alive", "Lost to follow-up",
    ]  # fmt: skip
    assert counts["Treated"] == ["3", "5", "6", "4"]
    assert counts["As many as planned"] == counts["Died"] == ["2", "4", "5", "3"]
    assert counts["Fewer than planned"] == counts["Alive"] == ["1"] * 4
    assert counts["Lost to follow-up"] == ["0"] * 4
    treated = next(-y for y, names in rows.items() if names[0] == "Treated")
    assert len(tips) == 8
    assert min(tips) > treated


def test_flow_adds_up_groups_where_there_is_no_total():
    frame = frames.make_disposition()
    ax = figures.plot_flow(frame[frame["group"] != "All"], frames.make_trial().group_labels)
    assert "Enrolled\nn = 18" in shown(ax)


def test_enrolment_counts_step_by_step():
    ax = drawn("enrolment")
    assert [max(line.get_ydata()) for line in ax.lines] == [3, 5, 6, 4]
    assert list(ax.lines[0].get_ydata()) == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("days", [0, 30, 4000])
def test_enrolment_over_any_span(days):
    frame = frames.make_enrolment("hostile").iloc[:2]
    frame = frame.assign(
        date=[pd.Timestamp("2015-01-01"), pd.Timestamp("2015-01-01") + pd.Timedelta(days=days)]
    )
    ax = figures.plot_enrolment(frame, frames.make_trial("hostile").group_labels)
    assert texts_outside(ax.figure) == []
    assert any("20" in text for text in shown(ax))


def test_swimmer_has_a_panel_for_the_infusions_when_follow_up_is_long():
    ax = drawn("swimmer")
    early, whole = ax.figure.axes
    assert whole is ax
    assert early.get_xlim()[1] < 1.5
    assert whole.get_xlim()[1] > 108
    assert [tick.get_text() for tick in early.get_yticklabels()][:4] == ["A00", "A01", "A02", "B00"]
    assert sum(len(marks.get_segments()) for marks in early.collections) == 3 * 18
    assert not whole.collections


def test_swimmer_has_one_panel_when_follow_up_is_short():
    courses = frames.make_courses().query("last_contact < 100")
    given = frames.make_infusion_times(courses, every=2.0)
    ax = figures.plot_swimmer(courses, given, frames.make_trial().group_labels, "months")
    assert ax.figure.axes == [ax]
    assert not any(line.get_marker() == ">" for line in ax.lines)


def test_swimmer_tells_lost_from_still_followed():
    courses = frames.make_courses("hostile").assign(lost=[False, False, True])
    ax = figures.plot_swimmer(courses, frames.make_infusion_times(courses), {}, "months")
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == ">"]
    assert faces == [style.INK, "white"]
    assert "Lost to follow-up" in shown(ax)


def test_swimmer_of_many_patients_counts_states():
    courses = pd.concat([frames.make_courses("seven")] * 3, ignore_index=True)
    courses["USUBJID"] = [f"P{i}" for i in range(len(courses))]
    ax = figures.plot_swimmer(courses, frames.make_infusion_times(courses), {}, "months")
    assert not any(text.startswith("P8") for text in shown(ax))
    assert {"In treatment", "Followed after progression", "No longer followed", "Died"} <= set(shown(ax))
    assert len([panel for panel in ax.figure.axes if panel.get_visible()]) == courses["group"].nunique()


def test_swimmer_without_last_contact_or_infusions():
    courses = frames.make_courses("hostile").assign(last_contact=np.nan)
    given = frames.make_infusion_times(courses).iloc[:0]
    assert shown(figures.plot_swimmer(courses, given, {}, "months")) == ["Nothing to show"]
    courses.loc[0, "last_contact"] = 5.0
    ax = figures.plot_swimmer(courses, given, {}, "months")
    assert len(ax.figure.axes) == 1
