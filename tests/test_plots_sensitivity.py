import matplotlib as mpl
import numpy as np
import pytest
from batch_frames import add_headline, list_runs
from figure_texts import check_contracts, check_readable, keep_drawn, shown

from nkhcc_helpers.report.figures import plot_sensitivity
from nkhcc_helpers.report.figures.sensitivity import MOST_ROWS
from nkhcc_helpers.run.batch.comparison import compare_runs

NAN = np.nan
HOSTILE = "<img src=x> $\\frac{a}{b}$ 中 with a value that goes on and on for much longer than it should"
SETTINGS = {
    "four": ["a", "b", "c"],
    "hostile": ["a", HOSTILE, f"{HOSTILE} and more"],
    "seven": list("abcdefg"),
}


def draw(grid, defaults, values, **fields):
    runs = list_runs(grid, defaults)
    given = [values[i % len(values)] for i in range(len(runs))]
    label = fields.pop("label", "Hazard ratio, dose per infusion")
    (each,) = compare_runs(add_headline(runs, given, label=label, **fields), list(grid), runs)
    return plot_sensitivity(each.runs, each.varied)


def draw_ratios(kind):
    grid = {"where": SETTINGS[kind], "method": ["firth", "partial"], "coding": ["", "order"]}
    values = [0.5, 0.8, NAN, 1.4, 0.7, 0.6]
    defaults = {"where": "a", "method": "firth", "coding": ""}
    label = HOSTILE if kind == "hostile" else "Hazard ratio"
    n = 4 * len(SETTINGS[kind])
    lower = [NAN if i % 5 == 0 else 0.3 for i in range(n)]
    upper = [NAN if i % 5 in (0, 1) else 40.0 if i % 5 == 2 else 2.0 for i in range(n)]
    limits = {"ci_lower": lower, "ci_upper": upper}
    return draw(grid, defaults, values, null=1.0, label=label, unit="x", **limits)


def draw_p_values(kind):
    grid = {"where": SETTINGS[kind]}
    return draw(grid, {"where": "a"}, [0.01, 0.2, NAN], level=0.05, label="Ordered trend, permuted P")


def draw_grid(kind):
    grid = {"where": SETTINGS[kind], "method": ["firth", "partial"]}
    defaults = {"where": "a", "method": "firth"}
    return draw(grid, defaults, [0.5, 1.2, NAN, 0.8, 0.7], null=1.0)


def draw_many(kind):
    grid = {"where": [f"{SETTINGS[kind][1]} {i}" for i in range(200)], "method": ["firth", "partial"]}
    values = [0.01 + 0.0001 * i for i in range(399)] + [0.06]
    return draw(grid, {"where": f"{SETTINGS[kind][1]} 0", "method": "firth"}, values, level=0.05)


FIGURES = {"ratios": draw_ratios, "p values": draw_p_values, "grid": draw_grid, "many": draw_many}
drawn = keep_drawn(FIGURES)


@pytest.mark.parametrize("kind", list(SETTINGS))
@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_keeps_its_contracts(name, kind, tmp_path):
    check_contracts(drawn(name, kind), kind, tmp_path)


def test_what_stands_beside_the_dots():
    ax = drawn("ratios")
    texts = shown(ax)
    assert {"where", "method", "coding", "(empty)", "Default run", "No effect: 1", "Limits"} <= set(texts)
    assert sum("NE" in text.split() for text in texts) >= 3, "not estimable runs stand at the margin"
    assert ax.get_xscale() == "log"


def test_limits_without_end_and_far_beyond_are_arrows():
    marks = [line.get_marker() for line in drawn("ratios").lines]
    assert marks.count("<") >= 3, "of the runs that have no limits where others have some"
    assert marks.count(">") > marks.count("<")


def test_p_values_stand_on_a_logarithmic_axis_with_their_level():
    ax = drawn("p values")
    assert ax.get_xscale() == "log"
    assert {"Level: 0.05", "Another conclusion", "NE"} <= set(shown(ax))


def test_two_parameters_make_a_grid_of_numbers():
    ax = drawn("grid")
    texts = shown(ax)
    assert {"0.50", "1.20", "NE", "0.80", "0.70"} <= set(texts)
    outlined = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(outlined) == 1, "of the one cell that is above 1"
    bold = [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"]
    assert bold == ["0.50"]


def test_a_grid_shows_limits_and_which_leave_out_the_null():
    grid = {"where": ["a", "b"], "method": ["firth", "partial"]}
    defaults = {"where": "a", "method": "firth"}
    limits = {"ci_lower": [0.2, 0.2, 0.2, NAN], "ci_upper": [0.9, 1.4, 0.8, 3.0]}
    ax = draw(grid, defaults, [0.5], null=1.0, **limits)
    assert {"0.50\n(0.20 to 0.90)", "0.50\n(NE to 3.00)", "Limits leave out 1"} <= set(shown(ax))
    assert sum(line.get_marker() == "s" for line in ax.lines) == 2
    assert sum(not patch.get_fill() for patch in ax.patches) == 2, "those with other conclusions"


@pytest.mark.parametrize(
    ("values", "fields"), [([4.80, 4.81], {}), ([0.2, 0.21], {"level": 0.05}), ([0.5, 0.51], {"null": 1.0})]
)
def test_colours_do_not_make_small_differences_large(values, fields):
    grid = {"where": ["a", "b"], "method": ["firth", "partial"]}
    ax = draw(grid, {"where": "a", "method": "firth"}, values, **fields)
    (image,) = ax.images
    low, high = image.norm(values)
    assert 0 <= low <= high <= 1
    assert high - low < 0.1


def test_a_level_of_each_run_is_drawn_at_each_run():
    grid = {"conf_level": ["0.9", "0.95"]}
    ax = draw(grid, {"conf_level": "0.95"}, [0.07], level=[0.1, 0.05])
    (strokes,) = [line for line in ax.lines if line.get_marker() == "|"]
    assert strokes.get_xdata().tolist() == [0.1, 0.05]
    assert strokes.get_ydata().tolist() == [0, 1]
    assert "Level of each run" in shown(ax)


def test_many_values_share_a_row_and_those_that_differ_keep_theirs():
    ax = drawn("many")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert len(names) == MOST_ROWS
    assert names[-1] == f"{200 - (MOST_ROWS - 1)} other values"
    assert names[-2] == "b 199"
    assert ax.figure.get_figheight() < 20


def test_a_default_run_that_is_not_estimable_is_marked():
    ax = draw({"where": ["a", "b", "c"]}, {"where": "b"}, [4.0, NAN, 5.0], unit="months")
    check_readable(ax)
    assert {"NE (default)", "Hazard ratio, dose per infusion (months)"} <= set(shown(ax))


@pytest.mark.parametrize("values", [[3.0], [0.0], [-2.0, 5.0], [1e-9, 1.0], [NAN]])
def test_unusual_values_are_drawn(values):
    ax = draw({"where": ["a", "b"]}, {"where": "a"}, values)
    check_readable(ax)
    assert not any("nan" in text for text in shown(ax))


def test_a_ratio_of_0_stands_at_the_edge_of_a_logarithmic_axis():
    ax = draw({"where": ["a", "b"]}, {"where": "a"}, [0.0, 2.0], null=1.0)
    check_readable(ax)


@pytest.fixture(autouse=True)
def _without_screen():
    with mpl.rc_context():
        yield
