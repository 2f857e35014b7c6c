import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from figure_texts import check_contracts, check_readable, keep_drawn, shown
from matplotlib.colors import to_rgb

from nkhcc_helpers import safety
from nkhcc_helpers.report import figures
from nkhcc_helpers.report.figures import safety as grades
from nkhcc_helpers.report.figures import style
from nkhcc_helpers.safety import timing


@pytest.fixture(autouse=True)
def _close_figures():
    with mpl.rc_context():
        mpl.use("Agg")
        yield
    plt.close("all")


def list_labels(kind):
    return frames.make_trial(kind).group_labels


FIGURES = {
    "onset": lambda kind: figures.plot_onset(frames.make_onset()),
    "grades": lambda kind: figures.plot_grades(frames.make_terms(kind), list_labels(kind)),
    "shares": lambda kind: figures.plot_shares(frames.make_shares(kind), list_labels(kind)),
    "shares and differences": lambda kind: figures.plot_shares(
        frames.make_shares(kind), list_labels(kind), frames.make_differences(kind)
    ),
    "timelines": lambda kind: figures.plot_timelines(frames.make_timelines(kind), list_labels(kind)),
    "timelines of many": lambda kind: figures.plot_timelines(
        frames.make_timelines(kind, times=8), list_labels(kind)
    ),
    "first event": lambda kind: figures.plot_first_event(
        frames.make_first_events(kind), list_labels(kind), "days", show_ci=True
    ),
}


drawn = keep_drawn(FIGURES)


@pytest.mark.parametrize("kind", list(frames.ARMS))
@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_keeps_its_contracts(name, kind, tmp_path):
    check_contracts(drawn(name, kind), kind, tmp_path)


DRAWN_INTO = {
    "onset": lambda ax: figures.plot_onset(frames.make_onset(), ax=ax),
    "grades": lambda ax: figures.plot_grades(frames.make_terms(), {}, ax=ax),
    "shares": lambda ax: figures.plot_shares(frames.make_shares(), {}, frames.make_differences(), ax=ax),
    "timelines": lambda ax: figures.plot_timelines(frames.make_timelines(), {}, ax=ax),
    "first event": lambda ax: figures.plot_first_event(frames.make_first_events(), {}, "days", ax=ax),
}


@pytest.mark.parametrize("name", list(DRAWN_INTO))
def test_axes_given_are_drawn_into(name):
    ax = plt.figure(figsize=(8, 6), layout="constrained").subplots()
    assert DRAWN_INTO[name](ax) is ax
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.axes == [ax]
    ax.figure.draw_without_rendering()


def make_no_timelines():
    whole = frames.make_timelines()
    whole.patients, whole.infusions, whole.events = (
        frame.iloc[:0] for frame in (whole.patients, whole.infusions, whole.events)
    )
    return whole


EMPTY = {
    "onset": lambda: figures.plot_onset(frames.make_onset().iloc[:0]),
    "grades": lambda: figures.plot_grades(frames.make_terms().iloc[:0], {}),
    "shares": lambda: figures.plot_shares(frames.make_shares().iloc[:0], {}),
    "timelines": lambda: figures.plot_timelines(make_no_timelines(), {}),
    "first event": lambda: figures.plot_first_event(frames.make_first_events().iloc[:0], {}, "days"),
}


@pytest.mark.parametrize("name", list(EMPTY))
def test_nothing_to_show_says_so(name):
    assert shown(EMPTY[name]()) == ["Nothing to show"]


@pytest.mark.parametrize("variant", ["plain", "hostile", "group_missing", "adverse_events_not_collected"])
def test_a_trial_is_drawn_from_its_own_frames(variant, load_variant):
    trial = load_variant(variant)
    labels = trial.group_labels
    by_term = safety.count_by_term(trial)
    shares = safety.estimate_shares(by_term)
    for ax in (
        figures.plot_grades(by_term, labels),
        figures.plot_shares(shares, labels),
        figures.plot_shares(safety.estimate_shares(safety.count_adverse_events(trial)), labels),
        figures.plot_timelines(timing.list_timelines(trial), labels),
    ):
        check_readable(ax)


@pytest.mark.parametrize("variant", ["plain", "hostile", "group_missing", "adverse_events_not_collected"])
def test_shares_by_term_stand_beside_their_differences(variant, load_variant):
    trial = load_variant(variant)
    by_term = safety.count_by_term(trial)
    differences = safety.estimate_differences(by_term, trial.groups[0])
    ax = figures.plot_shares(safety.estimate_shares(by_term), trial.group_labels, differences, most=2)
    check_readable(ax)
    assert len(ax.figure.axes) == 2


def test_shares_by_term_hide_no_severe_term_and_show_no_class(plain_trial):
    by_term = safety.count_by_term(plain_trial)
    shares = safety.estimate_shares(by_term)
    ax = figures.plot_shares(shares, plain_trial.group_labels, most=1)
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    # Of five terms anaemia is of grade 3 and pneumonia of grade 4.
    assert names == ["Any adverse event", "Anaemia", "Pneumonia"]
    assert "3 less frequent terms, none with" in ax.get_title(loc="left")


def test_a_term_of_two_organ_classes_has_a_row_for_each():
    frame = frames.make_terms()
    other = frame[frame["term"] == "Pyrexia"].assign(organ_class="Infections", n_patients=0, percent=0.0)
    frame = pd.concat([frame, other], ignore_index=True)
    ax = figures.plot_grades(frame, list_labels("four"))
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_yticklabels()]
    assert names[1::3] == ["Pyrexia (General disorders)", "Pyrexia (Infections)"]
    numbers = [[text.get_text() for text in panel.texts] for panel in ax.figure.axes]
    assert [texts[1] for texts in numbers] == ["3", "5", "6", "4", "18"]
    assert [texts[-1] for texts in numbers] == ["0"] * 5


def test_onset_shows_median_and_range_duration_its_median_and_limits():
    onset, duration = drawn("onset").figure.axes
    assert list(onset.lines[0].get_xdata()) == [0, 4]
    assert list(onset.lines[1].get_xdata()) == [0.5]
    assert list(duration.lines[0].get_xdata()) == [0, 3]
    assert list(duration.lines[1].get_xdata()) == [1]
    texts = shown(onset)
    assert "Pyrexia (30 events)" in texts
    assert f"{frames.HOSTILE} (1 event, 1 ongoing)" in texts
    assert texts.count("not known") == 2
    assert texts.count("median not reached") == 1


def test_duration_without_an_upper_limit_ends_in_an_arrow():
    frame = frames.make_onset().head(1).assign(duration_lower=0.5, duration_upper=np.inf)
    duration = figures.plot_onset(frame).figure.axes[1]
    line, arrow, median = duration.lines
    assert list(line.get_xdata()) == [0.5, duration.get_xlim()[1]]
    assert arrow.get_marker() == ">"
    assert list(median.get_xdata()) == [1]
    unreached = figures.plot_onset(frame.assign(duration_median=np.nan)).figure.axes[1]
    assert [line.get_marker() for line in unreached.lines] == ["None", ">"]


@pytest.mark.parametrize(
    ("n_events", "n_unknown", "ends"), [(3, 0, [0.5, 3]), (3, 1, [1, 1]), (2, 0, [1, 1])]
)
def test_durations_of_fewer_than_3_events_have_no_interval(n_events, n_unknown, ends):
    frame = frames.make_onset().head(1).assign(n_events=n_events, n_unknown_end=n_unknown, duration_lower=0.5)
    duration = figures.plot_onset(frame).figure.axes[1]
    assert list(duration.lines[0].get_xdata()) == ends
    assert list(duration.lines[1].get_xdata()) == [1]
    unreached = frame.assign(duration_median=np.nan, duration_upper=np.inf)
    assert ("median not reached" in shown(figures.plot_onset(unreached))) == (ends == [1, 1])


def test_the_arrow_of_a_duration_is_explained_where_it_is_drawn():
    frame = frames.make_onset()
    without, with_arrow = (
        figures.plot_onset(frame.assign(duration_upper=upper)).figure.axes[1].get_xlabel()
        for upper in ([3.0, np.inf, np.nan], [np.inf, np.inf, np.nan])
    )
    assert without == "Duration: days (median,\n95 % CI from 3 events on)"
    assert with_arrow == "Duration: days (median,\n95 % CI from 3 events on;\narrow: no upper limit)"


def test_onset_counts_the_terms_left_out():
    ax = figures.plot_onset(frames.make_onset(), most=1)
    assert "2 less frequent terms not shown" in shown(ax)


def list_bars(ax):
    """Left end, width and colour of the bars of each row."""
    rows = {}
    for bar in ax.patches:
        y = round(bar.get_y() + bar.get_height() / 2)
        rows.setdefault(y, []).append((bar.get_x(), bar.get_width(), to_rgb(bar.get_facecolor())))
    return rows


def test_bars_of_grades_add_up_to_the_share_of_any_grade():
    ax = drawn("grades")
    panels = ax.figure.axes
    assert [panel.get_title(loc="left").split("\n")[-1] for panel in panels] == [
        f"n = {n}" for n in (3, 5, 6, 4, 18)
    ]
    mild, severe = (to_rgb(grades.GRADE_COLOURS[grade]) for grade in "13")
    # Of the second group of 5 everybody had pyrexia, one at grade 3, four at grade 1; one had the next term.
    bars = list_bars(panels[1])
    assert bars[1] == [(0, pytest.approx(80), mild), (pytest.approx(80), pytest.approx(20), severe)]
    assert bars[2] == [(0, pytest.approx(20), mild)]
    assert [text.get_text() for text in panels[1].texts] == ["5", "5", "1", "1"]
    assert list(list_bars(panels[0])) == [0, 1]
    assert [text.get_text() for text in panels[0].texts] == ["3", "3", "0", "0"]


def test_a_missing_grade_is_hatched_and_explained():
    frame = frames.make_terms()
    assert "missing" not in shown(figures.plot_grades(frame, list_labels("four")))
    moved = frame["grade"].replace({"1": "missing", "missing": "1"})
    ax = figures.plot_grades(frame.assign(grade=moved), list_labels("four"))
    assert "missing" in shown(ax)
    hatched = [bar for bar in ax.patches if bar.get_hatch()]
    assert [bar.get_width() for bar in hatched] == pytest.approx([200 / 3] * 2)
    assert {to_rgb(bar.get_facecolor()) for bar in hatched} == {(1, 1, 1)}


def test_grades_that_nobody_recorded_print_ne():
    frame = frames.make_terms().assign(n_patients=pd.NA, percent=np.nan)
    ax = figures.plot_grades(frame, list_labels("four"))
    assert {text.get_text() for panel in ax.figure.axes for text in panel.texts} == {"NE"}
    assert not ax.patches


def test_grades_left_out_are_counted():
    ax = figures.plot_grades(frames.make_terms(), list_labels("four"), most=3)
    assert any(
        text.endswith("\n1 less frequent term, none with grade 3 or more, not shown") for text in shown(ax)
    )


@pytest.mark.parametrize("grade", ["3", "5", "missing"])
def test_no_term_of_a_high_or_missing_grade_is_left_out(grade):
    frame = frames.make_terms()
    one = (frame["term"] == "$x$") & (frame["grade"] == grade) & (frame["group"] == "B")
    frame.loc[one, "n_patients"] = 1
    ax = figures.plot_grades(frame, list_labels("four"), most=2)
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["Any adverse event", "Pyrexia", r"\$x\$"]
    assert any("1 less frequent term, none with grade 3" in text for text in shown(ax))


def test_names_of_groups_do_not_part_from_their_numbers():
    panels = drawn("grades").figure.axes
    assert panels[1].get_title(loc="left") == "B: normal dose\nx 4\nn = 5"
    assert grades.wrap_label("A cohort 12 of 30", 10) == "A\ncohort 12\nof 30"


def test_on_axes_given_grades_are_of_all_together():
    ax = plt.figure(layout="constrained").subplots()
    figures.plot_grades(frames.make_terms(), list_labels("four"), ax=ax)
    assert ax.get_title(loc="left") == "All\nn = 18"


def calculate_lightness(colour):
    """CIE L*, 0 (black) to 100 (white), from sRGB."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(luminance) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_grades_keep_their_order_in_greyscale():
    lightness = [calculate_lightness(colour) for colour in grades.GRADE_COLOURS.values()]
    assert (np.diff(lightness) < -15).all()
    assert lightness[0] < 93  # not lost on white


def list_intervals(ax):
    """Ends of the intervals, from bottom to top of the axis' lines, and the points on them."""
    long = [tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    points = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    return long, points


def test_shares_are_drawn_with_their_limits():
    ax = drawn("shares")
    intervals, points = list_intervals(ax)
    # One patient of 3, 5, 6 and 4 had any event, nobody a fatal one; limits are 15 below and 45 above.
    assert points[:4] == pytest.approx([100 / 3, 20, 100 / 6, 25])
    assert points[4:] == [0] * 4
    assert intervals[0] == pytest.approx((100 / 3 - 15, 100 / 3 + 45))
    assert intervals[4:] == [(0, 45)] * 4
    texts = shown(ax)
    assert texts.count("NE") == 4
    assert ax.get_xlabel() == "Patients, %\n(95 % CI, Clopper-Pearson)"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Any adverse event", "Fatal", "Serious"]


def test_differences_stand_in_the_rows_of_their_shares():
    ax = drawn("shares and differences")
    beside = ax.figure.axes[1]
    intervals, points = list_intervals(beside)
    assert intervals[0] == (0, 0)  # the line of no difference
    assert points[:3] == pytest.approx([-10, 100 / 6 - 30, -5])
    assert intervals[1] == (-60, 50)
    heights = {line.get_color(): line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 1}
    assert len(heights) == 4
    for line in beside.lines[1:]:
        assert line.get_ydata()[0] % 1 == pytest.approx(heights[line.get_color()] % 1)
    texts = shown(ax)
    assert "Difference from A: low dose x 4" in texts
    assert "Percentage points (95 % CI, exact unconditional)" in [text.replace("\n", " ") for text in texts]


def test_two_kinds_of_interval_are_both_named():
    differences = frames.make_differences()
    differences.loc[0, "interval"] = "Miettinen-Nurminen"
    ax = figures.plot_shares(frames.make_shares(), list_labels("four"), differences)
    label = ax.figure.axes[1].get_xlabel().replace("-\n", "-").replace("\n", " ")
    assert label == "Percentage points (95 % CI, Miettinen-Nurminen or exact unconditional)"


def test_shares_by_term_are_of_one_grade():
    frame = frames.make_terms().assign(ci_lower=0.0, ci_upper=100.0)
    ax = figures.plot_shares(frame, list_labels("four"), grade="3+", most=2)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Any adverse event", "Pyrexia"]
    assert list_intervals(ax)[1] == pytest.approx([100 / n for n in (3, 5, 6, 4)] * 2)
    assert "2 less frequent terms, none with\ngrade 3 or more, not shown" in shown(ax)


def make_one_patient(*events, last_day=100.0):
    """One patient infused on days 0 and 14; events as (grade, day, end_day, ending)."""
    whole = frames.make_timelines("hostile")
    whole.patients = whole.patients.head(1).assign(last_day=last_day)
    whole.infusions = whole.infusions.head(2)
    rows = [(whole.patients["USUBJID"].iloc[0], "X", "Fever", *event) for event in events]
    columns = ["USUBJID", "group", "term", "grade", "day", "end_day", "ending"]
    whole.events = pd.DataFrame(rows, columns=columns).astype(
        {"grade": "Int64", "day": float, "end_day": float}
    )
    whole.n_undated = 0
    return whole


def test_a_bar_covers_the_days_of_onset_and_end():
    frame = make_one_patient((3, 2, 4, "ended"), (pd.NA, 10, 10, "ended"))
    ax = figures.plot_timelines(frame, {"X": "Group"}, until=40)
    first, second = sorted(ax.patches, key=lambda bar: bar.get_x())
    assert (first.get_x(), first.get_width()) == (2, 3)
    assert to_rgb(first.get_facecolor()) == to_rgb(grades.GRADE_COLOURS["3"])
    assert (second.get_x(), second.get_width()) == (10, 1)
    assert second.get_hatch()
    marks = [line for line in ax.lines if line.get_marker() == "^" and len(line.get_xdata())]
    assert list(marks[0].get_xdata()) == [0.5, 14.5]
    assert "Goes on beyond the figure" not in shown(ax)
    assert "Ended on the day it began" in shown(ax)
    longer = figures.plot_timelines(make_one_patient((3, 2, 4, "ended")), {"X": "Group"}, until=40)
    assert "Ended on the day it began" not in shown(longer)


def test_events_of_one_time_are_drawn_one_above_the_other():
    frame = make_one_patient((1, 0, 20, "ended"), (1, 5, 6, "ended"), (1, 30, 31, "ended"))
    ax = figures.plot_timelines(frame, {}, until=40)
    first, second, third = sorted(ax.patches, key=lambda bar: bar.get_x())
    assert first.get_y() + first.get_height() < second.get_y()
    assert third.get_y() == first.get_y()


def test_events_that_go_on_end_in_an_arrow():
    ongoing = make_one_patient((1, 2, 30, "ongoing"), last_day=30)
    beyond = make_one_patient((1, 2, 90, "ended"))
    names = ("Ongoing at last contact", "Goes on beyond the figure")
    for frame, tip, face, name in ((ongoing, 31, "white", 0), (beyond, 41, style.INK, 1)):
        ax = figures.plot_timelines(frame, {}, until=40)
        (arrow,) = [line for line in ax.lines if line.get_marker() == ">"]
        assert arrow.get_xdata()[0] == pytest.approx(tip, abs=0.5)
        assert ax.patches[0].get_x() + ax.patches[0].get_width() == tip
        assert to_rgb(arrow.get_markerfacecolor()) == to_rgb(face)
        assert names[name] in shown(ax)
        assert names[1 - name] not in shown(ax)


def test_an_event_over_on_an_unknown_day_is_a_point():
    ax = figures.plot_timelines(make_one_patient((4, 7, np.nan, "unknown")), {}, until=40)
    assert not ax.patches
    (point,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert list(point.get_xdata()) == [7.5]
    assert to_rgb(point.get_markerfacecolor()) == to_rgb(grades.GRADE_COLOURS["4"])
    assert "End not known" in shown(ax)


def test_an_event_before_the_first_infusion_is_seen():
    ax = figures.plot_timelines(make_one_patient((1, -5, -4, "ended")), {}, until=40)
    assert ax.get_xlim()[0] < -5


def test_events_after_the_axis_are_not_drawn():
    ax = figures.plot_timelines(make_one_patient((1, 50, 60, "ended")), {}, until=40)
    assert not ax.patches
    assert ax.get_xlim()[1] < 45
    assert ax.get_xlabel().endswith("; 1 event after day 40 not shown (worst grade 1)")
    two = make_one_patient((pd.NA, 41, 42, "ended"), (4, 50, 60, "ended"), (5, 40, 40, "ended"))
    ax = figures.plot_timelines(two, {}, until=40)
    assert ax.get_xlabel().endswith("; 2 events after day 40 not shown (worst grade 4)")
    none = make_one_patient((pd.NA, 41, 42, "ended"))
    assert figures.plot_timelines(none, {}, until=40).get_xlabel().endswith("(worst grade missing)")


@pytest.mark.parametrize(("day", "is_seen"), [(40.0, True), (41.0, False), (np.nan, False)])
def test_deaths_within_the_axis_are_crosses(day, is_seen):
    frame = make_one_patient()
    frame.patients = frame.patients.assign(died=day)
    ax = figures.plot_timelines(frame, {}, until=40)
    crosses = [x for line in ax.lines if line.get_marker() == "X" for x in line.get_xdata()]
    assert crosses == ([40.5] if is_seen else [])
    assert ("Death" in shown(ax)) == is_seen


def test_patients_never_infused_are_counted():
    frame = make_one_patient()
    frame.n_uninfused = 3
    label = figures.plot_timelines(frame, {}, until=40).get_xlabel()
    assert label == "Days since the first infusion; patients without any infusion are not shown: 3"


def test_marks_stand_below_a_label_of_several_lines():
    frame = make_one_patient((1, 0, 2, "ended"), (3, 90, 91, "ended"))
    frame.n_undated, frame.n_uninfused = 2, 3
    ax = figures.plot_timelines(frame, {}, until=40)
    assert "\n" in ax.get_xlabel()
    ax.figure.draw_without_rendering()
    marks = max(text.get_window_extent().y1 for text in ax.get_legend().get_texts())
    assert marks < ax.xaxis.label.get_window_extent().y0


def test_severe_events_are_named_where_there_is_room():
    def list_names(*events):
        frame = make_one_patient(*events)
        frame.events["term"] = "Hepatic failure"
        ax = figures.plot_timelines(frame, {"X": "Group"}, until=40)
        return [text.get_text() for text in ax.texts if text.get_text() != "Group"]

    assert list_names((3, 2, 4, "ended")) == ["Hepatic failure"]
    assert list_names((5, 2, 30, "ended")) == ["Hepatic failure"]
    assert list_names((2, 2, 4, "ended"), (pd.NA, 20, 22, "ended")) == []
    assert list_names((3, 39, 39, "ended")) == []
    assert list_names((3, 2, 4, "ended"), (1, 6, 7, "ended")) == []
    (short,) = list_names((3, 2, 4, "ended"), (1, 10, 11, "ended")) or ["none"]
    assert short in {"none", "Hepatic …"}


def test_axis_ends_four_weeks_after_the_last_infusion():
    ax = figures.plot_timelines(make_one_patient(), {})
    assert 42 < ax.get_xlim()[1] < 46


def test_up_to_18_patients_are_named_and_of_many_the_worst_drawn():
    labels = list_labels("four")
    few, many = (figures.plot_timelines(frames.make_timelines(times=times), labels) for times in (1, 6))
    assert [tick.get_text() for tick in few.get_yticklabels()][:4] == ["A00", "A01", "A02", "B00"]
    assert len(few.get_yticklabels()) == 18
    assert not many.get_yticklabels()
    assert many.get_xlabel() == (
        "Days since the first infusion\n"
        "29 of 108 patients, of each group those with the worst grade, then the most events; events\n"
        "without a known day, not shown: 2"
    )
    assert few.get_ylabel() == "Patients: STUDY-A00 and so on"
    assert not many.get_ylabel()
    assert "first" not in few.get_xlabel().removeprefix("Days since the first infusion")
    assert len(many.collections[0].get_segments()) == 29


def test_undated_events_are_counted():
    ax = drawn("timelines")
    assert ax.get_xlabel() == "Days since the first infusion; events without a known day, not shown: 2"


def test_more_events_at_once_than_lanes_are_still_drawn():
    frame = make_one_patient(*[(1, 0, 20 + i, "ended") for i in range(9)])
    ax = figures.plot_timelines(frame, {}, until=40)
    assert len(ax.patches) == 9
    assert len({bar.get_y() for bar in ax.patches}) == 6


def test_first_events_rise_in_steps_to_the_last_time():
    ax = figures.plot_first_event(frames.make_first_events(), list_labels("four"), "days", until=60)
    steps = [line for line in ax.lines if line.get_drawstyle() == "steps-post" and line.get_linewidth() > 1]
    assert len(steps) == 4
    assert list(steps[0].get_xdata()) == [0, 2, 40, 60]
    assert list(steps[0].get_ydata()) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    crosses = [line for line in ax.lines if line.get_marker() == "X"]
    assert [list(line.get_xdata()) for line in crosses] == [[40]] * 4
    assert "Died without an event" in shown(ax)


def test_first_events_without_competing_deaths_do_not_name_them():
    frame = frames.make_first_events().drop(columns="competing_probability")
    ax = figures.plot_first_event(frame, list_labels("four"), "days")
    assert "Died without an event" not in shown(ax)
    assert not [line for line in ax.lines if line.get_marker() == "X"]


def test_first_events_cut_short_run_to_the_edge():
    ax = figures.plot_first_event(frames.make_first_events(), list_labels("four"), "days", until=30)
    steps = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert list(steps[0].get_xdata()) == [0, 2, 30]
    assert "Died without an event" not in shown(ax)  # the deaths come on day 40


def test_time_ends_a_little_after_the_last_first_event():
    ax = drawn("first event")  # the last rise is on day 5 of 60
    assert ax.get_xlim()[1] == pytest.approx(1.02 * 1.35 * 5)
    assert len(ax.collections) == 4
    bare = frames.make_first_events().drop(columns=["lower", "upper"])
    ax = figures.plot_first_event(bare, list_labels("four"), "days", show_ci=True)
    assert not ax.collections


def test_time_ends_before_a_late_death_though_it_is_not_far_off():
    frame = frames.make_first_events()
    frame["time"] = frame["time"].replace({40.0: 8.0, 60.0: 9.0})  # the last first event is on day 5
    ax = figures.plot_first_event(frame, list_labels("four"), "days")
    assert ax.get_xlim()[1] == pytest.approx(1.02 * 1.35 * 5)
    assert "Died without an event" not in shown(ax)
    never = frame.assign(event_probability=0.0)
    ax = figures.plot_first_event(never, list_labels("four"), "days")
    assert ax.get_xlim()[1] == pytest.approx(1.02 * 9)
    assert "Died without an event" in shown(ax)


def test_a_curve_under_another_is_wider():
    frame = frames.make_first_events()
    one = frame[frame["group"] == "A"]
    same = pd.concat([one.assign(group=group) for group in "ABCD"], ignore_index=True)
    ax = figures.plot_first_event(same, list_labels("four"), "days", until=60)
    steps = [line for line in ax.lines if line.get_drawstyle() == "steps-post" and line.get_marker() != "X"]
    widths = [line.get_linewidth() for line in steps if line.get_linewidth() > 1]
    assert len(widths) == 4
    assert (np.diff(widths) < -0.5).all()


def test_first_events_are_percentages_of_patients():
    ax = drawn("first event")
    assert ax.get_ylabel() == "First adverse event, % of patients"
    ax.figure.draw_without_rendering()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "25", "50", "75", "100"]


def test_patients_at_risk_stand_under_their_ticks():
    frame = frames.make_first_events()
    below = figures.plot_first_event(frame, list_labels("four"), "days", until=60).figure.axes[1]
    assert [tick.get_text() for tick in below.get_yticklabels()][:2] == ["At risk", "A: low dose x 4"]
    first = [text.get_text() for text in below.texts if text.get_position()[1] == 1]
    # 3 at risk at first; one event on day 2, a death on day 40; the ticks are weeks.
    assert first == ["3"] + ["2"] * 5 + ["1"] * 3
