import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from figure_texts import check_contracts, check_readable, keep_drawn, shown, texts_outside
from matplotlib.colors import to_rgb

from nkhcc_helpers.cox.design import list_design_points
from nkhcc_helpers.report import figures
from nkhcc_helpers.report import names as names_module
from nkhcc_helpers.report.figures import ratios as ratios_module
from nkhcc_helpers.report.figures import style

NAMES = {"dose": "Dose per infusion", "infusions": "Planned infusions"}


@pytest.fixture(autouse=True)
def _close_figures():
    with mpl.rc_context():
        mpl.use("Agg")
        yield
    plt.close("all")


def list_labels(kind):
    trial = frames.make_trial(kind)
    return names_module.list_covariate_labels(trial), trial.group_labels


def draw_design(kind):
    points = frames.make_design(kind)
    labels = frames.make_trial(kind).group_labels
    return figures.plot_design(points, labels, contrasts=frames.make_contrasts(points), names=NAMES)


def draw_forest(kind):
    labels = frames.make_trial(kind).group_labels
    names = {**NAMES, **{f"group {code}": label for code, label in labels.items()}}
    return figures.plot_forest(frames.make_ratios(kind), names)


FIGURES = {
    "forest": draw_forest,
    "forest with permutation": lambda kind: figures.plot_forest(
        frames.make_permuted_ratios(kind), list_labels(kind)[0]
    ),
    "design": draw_design,
    "schoenfeld": lambda kind: figures.plot_schoenfeld(
        frames.make_residuals(), {**NAMES, "group B": frames.HOSTILE}
    ),
    "sweep": lambda kind: figures.plot_sweep(frames.make_sweep(kind), *list_labels(kind)),
    "leave one out": lambda kind: figures.plot_leave_one_out(frames.make_left_out(kind), *list_labels(kind)),
    "leave one out of many": lambda kind: figures.plot_leave_one_out(
        frames.make_left_out(kind, times=25), *list_labels(kind)
    ),
}


drawn = keep_drawn(FIGURES)


@pytest.mark.parametrize("kind", list(frames.ARMS))
@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_keeps_its_contracts(name, kind, tmp_path):
    check_contracts(drawn(name, kind), kind, tmp_path)


DRAWN_INTO = {
    "forest": lambda ax: figures.plot_forest(frames.make_permuted_ratios(), {}, ax=ax),
    "design": lambda ax: figures.plot_design(frames.make_design(), {}, ax=ax),
    "schoenfeld": lambda ax: figures.plot_schoenfeld(frames.make_residuals(), ax=ax),
    "sweep": lambda ax: figures.plot_sweep(frames.make_sweep(), {}, {}, ax=ax),
    "leave one out": lambda ax: figures.plot_leave_one_out(frames.make_left_out(), {}, {}, ax=ax),
}


@pytest.mark.parametrize("name", list(DRAWN_INTO))
def test_axes_given_are_drawn_into(name):
    ax = plt.figure(figsize=(8, 6), layout="constrained").subplots()
    assert DRAWN_INTO[name](ax) is ax
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.axes == [ax]
    ax.figure.draw_without_rendering()


EMPTY = {
    "forest": lambda: figures.plot_forest(frames.make_ratios().iloc[:0], {}),
    "design": lambda: figures.plot_design(frames.make_design().iloc[:0], {}),
    "schoenfeld": lambda: figures.plot_schoenfeld(frames.make_residuals().iloc[:0]),
    "sweep": lambda: figures.plot_sweep(frames.make_sweep().iloc[:0], {}, {}),
    "leave one out": lambda: figures.plot_leave_one_out(frames.make_left_out().iloc[:0], {}, {}),
}


@pytest.mark.parametrize("name", list(EMPTY))
def test_nothing_to_show_says_so(name):
    assert shown(EMPTY[name]()) == ["Needs two groups" if name == "forest" else "Nothing to show"]


def test_forest_prints_numbers_and_ne():
    texts = shown(drawn("forest"))
    assert "0.37 (0.10 to 1.30)" in texts
    assert "<0.0001 (NE)" in texts
    assert texts.count("NE") == 3  # on the axis, as ratio and as P
    assert texts.count("Dose and infusions") == 1


def test_forest_limits_without_end_become_arrows():
    ax = drawn("forest")
    markers = [line.get_marker() for line in ax.lines]
    assert markers.count("<") == 1
    assert markers.count(">") == 1
    low, high = ax.get_xlim()
    assert low >= 0.001
    assert high <= 1000
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("high", "ticks"), [(30.0, [0.5, 1, 2, 5, 10, 20]), (900.0, [1, 3, 10, 30, 100, 300, 1000])]
)
def test_forest_ticks_do_not_crowd(high, ticks):
    frame = frames.make_ratios().iloc[:1].assign(hr=1.0, ci_lower=0.9, ci_upper=high)
    ax = figures.plot_forest(frame, NAMES, conf_level=0.9)
    assert list(ax.get_xticks()) == ticks
    assert "HR (90 % CI)" in shown(ax)


def test_forest_with_nothing_estimable_still_has_its_line_at_one():
    ax = figures.plot_forest(frames.make_ratios().iloc[2:], {})
    assert list(ax.lines[0].get_xdata()) == [1, 1]


def test_design_draws_pure_contrasts_between_neighbours():
    points = frames.make_design("seven")
    ax = drawn("design", "seven")
    arrows = [text for text in ax.texts if text.arrow_patch is not None]
    # 1-2 and 3-4-5-6 stand above one another, 2-3 side by side; longer pairs say nothing more.
    assert len(frames.make_contrasts(points)) == 8
    assert len(arrows) == 5
    assert "Differ only in: Planned infusions" in shown(ax)


def test_design_leaves_out_contrasts_of_unknown_points():
    contrasts = pd.DataFrame({"covariate": ["dose"], "first": ["A"], "second": ["Z"]})
    ax = figures.plot_design(frames.make_design(), {}, contrasts=contrasts)
    assert not [text for text in ax.texts if text.arrow_patch is not None]


def test_design_with_one_covariate_and_shared_points():
    points = pd.DataFrame({"order": [0.0, 1.0], "groups": ["A, B", "C"], "n": [8, 1], "n_events": [7, 1]})
    points["codes"] = [("A", "B"), ("C",)]
    ax = figures.plot_design(points, frames.make_trial().group_labels, names={"order": "Order"})
    texts = shown(ax)
    assert "A: low dose x 4; B: normal\ndose x 4\n7 events, n = 8" in texts
    assert "C: normal dose x 8\n1 event, n = 1" in texts
    assert texts_outside(ax.figure) == []
    assert (
        figures.plot_design(points[["groups", "n", "n_events"]], {}).texts[0].get_text() == "Nothing to show"
    )


def test_a_code_with_a_comma_is_one_group():
    frame = pd.DataFrame({"group": ["A, B", "B", "C"], "event": 1, "dose": [1.0, 1.0, 2.0]})
    labels = {"A, B": "Both", "B": "Second", "C": "Third"}
    ax = figures.plot_design(list_design_points(frame, ["dose"]), labels)
    assert [text.get_text().splitlines()[0] for text in ax.texts] == ["Both; Second", "Third"]


def test_schoenfeld_has_a_panel_and_a_line_per_covariate():
    ax = drawn("schoenfeld")
    assert [panel.get_visible() for panel in ax.figure.axes] == [True, True, True, False]
    trend = ax.lines[-1]
    slope = np.polyfit([1, 2, 3.5, 3.5], [0.5, -0.5, 1, -1], 1)
    assert list(trend.get_ydata()) == pytest.approx(list(np.polyval(slope, [1, 3.5])))


def test_schoenfeld_of_one_event_has_no_line():
    ax = figures.plot_schoenfeld(frames.make_residuals().iloc[:1])
    assert len(ax.lines) == 2


def list_lines(ax, marker=None):
    """X and y of the lines with this marker."""
    return [
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in ax.lines
        if marker is None or line.get_marker() == marker
    ]


def test_forest_shows_both_intervals_and_both_p():
    ax = drawn("forest with permutation")
    texts = shown(ax)
    assert {"P", "P permuted", "0.050 to 2.10", "NE to 0.012", "0.1512", "0.0032"} <= set(texts)
    assert texts.count("NE") == 5  # of the last row: on the axis, as ratio, as limits, as both P
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["Profile likelihood (first line)", "Permutation (second line)"]
    spans = {tuple(x): y[0] for x, y in list_lines(ax) if len(x) == 2 and x[0] != x[1]}
    low = ax.get_xlim()[0]
    assert spans[0.1, 1.3] < 1 < spans[0.05, 2.1]  # the row of dose: the second under the first
    assert spans[low, 0.012] == pytest.approx(2 + ratios_module.SHIFT)
    assert len(spans) == 4  # nothing of the row without estimate
    arrows = [x for x, _ in list_lines(ax, "<")]
    assert arrows == [[low], [low]]


def test_forest_shows_permutation_limits_of_what_has_no_estimate():
    frame = frames.make_permuted_ratios().iloc[2:].assign(exact_lower=0.2, exact_upper=3.0)
    ax = figures.plot_forest(frame, {})
    assert ([0.2, 3.0], [1 + ratios_module.SHIFT] * 2) in list_lines(ax)
    assert "0.20 to 3.00" in shown(ax)


def test_forest_without_permutation_has_neither_legend_nor_column():
    ax = drawn("forest")
    assert ax.get_legend() is None
    assert "P permuted" not in shown(ax)


@pytest.mark.parametrize(
    ("low", "high", "room", "ticks"),
    [
        (0.4, 2.5, 36, [0.4, 0.5, 0.7, 1, 1.5, 2]),
        (0.001, 1000, 36, [0.001, 0.01, 0.1, 1, 10, 100, 1000]),
        (0.98, 1.03, 34, [0.98, 1, 1.02]),
        (1e-6, 1.5, 20, [1e-6, 1e-3, 1]),
        (0.9, 1.1, 2, [1]),
    ],
)
def test_ratio_axis_has_as_many_round_ticks_as_there_is_room_for(low, high, room, ticks):
    ax = plt.figure().subplots()
    style.set_ratio_axis(ax, "x", low, high, room=room)
    assert list(ax.get_xticks()) == pytest.approx(ticks)
    assert ax.get_xlim() == pytest.approx((low, high))


def test_ratio_limits_hold_every_number_within_reason():
    assert style.limit_ratios([1.0, np.nan, np.inf, 0]) == pytest.approx((0.5 / 1.2, 2.4))
    assert style.limit_ratios([0.01, 30]) == pytest.approx((0.01 / 1.2, 36))
    assert style.limit_ratios([1e-9, 1e9]) == (0.001, 1000)


def test_sweep_has_a_column_per_number_and_a_row_per_covariate():
    ax = drawn("sweep")
    panels = ax.figure.axes
    assert [panel.get_title("left") for panel in panels] == ["A: low dose x 4", "D: incremental dose x 8"] * 2
    assert [panel.get_xlabel() for panel in panels] == ["Dose per infusion", "Planned infusions"] * 2
    assert [panel.get_ylabel() for panel in panels][::2] == [
        "Hazard ratio\nDose per infusion",
        "Hazard ratio\nPlanned infusions",
    ]
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["Hazard ratio", "95 % CI", "Value assumed", "No effect"]


def test_sweep_marks_what_is_assumed_and_leaves_gaps():
    dose, infusions = drawn("sweep").figure.axes[:2]
    assert ([0.5, 0.5], [0, 1]) in list_lines(dose)
    assert ([8, 8], [0, 1]) in list_lines(infusions)
    (values, ratios), *_ = [line for line in list_lines(dose) if len(line[0]) == 4]
    assert values == [0.25, 0.5, 1, 2]
    assert ratios == pytest.approx([0.2, 0.3, np.nan, 0.5], nan_ok=True)
    # The value beyond the gap has neighbours on neither side: a point with a bar.
    assert ([2.0], [0.5]) in list_lines(dose, "o")
    bars = [lines for lines in dose.collections if hasattr(lines, "get_segments") and lines.get_segments()]
    assert np.allclose(bars[0].get_segments()[0], [[2.0, 0.125], [2.0, 2.0]])
    assert dose.get_xlim()[0] < 0.25
    assert dose.get_xlim()[1] > 2


def test_sweep_limits_without_end_fill_the_panel():
    panel = drawn("sweep").figure.axes[1]
    ribbon = panel.collections[0].get_paths()[0].vertices
    at_the_end = ribbon[ribbon[:, 0] == 16, 1]
    assert (at_the_end.min(), at_the_end.max()) == pytest.approx(panel.get_ylim())


def test_sweep_of_many_numbers_goes_on_below():
    one = frames.make_sweep().query("group == 'A'")
    frame = pd.concat([one.assign(group=group) for group in "ABCD"], ignore_index=True)
    panels = figures.plot_sweep(frame, *list_labels("four")).figure.axes
    titles = [panel.get_title("left")[:1] for panel in panels if panel.get_visible()]
    assert titles == ["A", "B", "C"] * 2 + ["D"] * 2
    assert [panel.get_ylabel()[13:17] for panel in panels if panel.get_ylabel()] == ["Dose", "Plan"] * 2


def test_sweep_of_one_number_and_one_covariate():
    frame = frames.make_sweep().query("group == 'A' and covariate == 'dose'")
    ax = figures.plot_sweep(frame, *list_labels("four"), conf_level=0.9)
    assert ax.figure.axes == [ax]
    check_readable(ax)
    assert "90 % CI" in shown(ax)


def test_leave_one_out_shows_every_patient_by_group():
    dose, infusions = drawn("leave one out").figure.axes
    assert [tick.get_text() for tick in dose.get_yticklabels()][:3] == ["001", "002", "003"]
    points = {marker: list_lines(dose, marker) for marker in "s^D"}
    assert [len(x) for lines in points.values() for x, _ in lines] == [5, 6, 4]
    assert points["s"][0][1] == [3, 4, 5, 6, 7]  # B below A
    assert ([0.4, 0.4], [0, 1]) in list_lines(dose)
    assert ([1, 1], [0, 1]) in list_lines(infusions)


def test_leave_one_out_rings_who_turns_the_direction_and_names_who_cannot_be_left_out():
    dose, infusions = drawn("leave one out").figure.axes
    rings = [line for line in dose.lines if line.get_markerfacecolor() == "none"]
    assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [([1.2], [0])]
    assert [(text.get_text(), text.get_position()) for text in infusions.texts] == [("NE", (1, 17))]
    assert not dose.texts
    assert "Without them it crosses 1" in shown(dose)
    steady = frames.make_left_out().query("covariate == 'dose' and not changes_sign")
    assert "Without them it crosses 1" not in shown(figures.plot_leave_one_out(steady, *list_labels("four")))


def test_leave_one_out_of_many_drops_their_names():
    ax = drawn("leave one out of many")
    assert not any(text.startswith("0") and len(text) == 3 and text.isdigit() for text in shown(ax))
    assert ax.figure.get_figheight() < 11


def test_leave_one_out_keeps_the_order_of_groups_whatever_that_of_rows():
    frame = frames.make_left_out().iloc[::-1].rename(columns={"USUBJID": "subject"})
    ax = figures.plot_leave_one_out(frame, *list_labels("four"))
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names[:4] == ["003", "002", "001", "008"]


def test_leave_one_out_follows_the_ratio_as_far_as_it_goes():
    frame = frames.make_left_out().query("covariate == 'dose'").assign(changes_sign=False)
    ax = figures.plot_leave_one_out(frame.assign(hr=1e-5, hr_all=2e-5), *list_labels("four"))
    assert ax.get_xlim()[0] < 1e-5
    check_readable(ax)
    ax = figures.plot_leave_one_out(frame.assign(hr=1e-9, hr_all=np.nan), *list_labels("four"))
    assert list_lines(ax, "s")[0][0] == pytest.approx([ax.get_xlim()[0]] * 5)
    check_readable(ax)


def test_colours_are_those_of_the_groups():
    ax = drawn("leave one out")
    squares = next(line for line in ax.lines if line.get_marker() == "s")
    assert to_rgb(squares.get_color()) == style.group_palette("ABCD")["B"]
