import compatible_frames as made
import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import shown_frames as frames
from figure_texts import check_readable, shown

from nkhcc_helpers.identification.answers import pick_statistics
from nkhcc_helpers.report import figures
from nkhcc_helpers.report import names as names_module


@pytest.fixture(autouse=True)
def _close_figures():
    with mpl.rc_context():
        mpl.use("Agg")
        yield
    plt.close("all")


def name_all(kind):
    trial = frames.make_trial(kind)
    return names_module.list_statistic_labels(made.list_statistics(kind), trial), trial.endpoint_labels


def draw_curves(kind, **options):
    labels = frames.make_trial(kind).group_labels
    return figures.plot_compatible_curves(made.make_cohorts(kind), "PFS", labels, "months", **options)


def pick(kind, *kinds):
    return pick_statistics(made.make_answers(kind), *kinds)


def draw_p_values(kind, **options):
    tests = pick(kind, "logrank_p", "permutation_p", "trend_p")
    return figures.plot_p_values(made.make_statistics(kind), tests, *name_all(kind), **options)


def draw_pairs(kind, **options):
    return figures.plot_pairs(pick(kind, "pair_p"), *name_all(kind), **options)


def draw_signs(kind, **options):
    signs, trial = made.make_signs(kind), frames.make_trial(kind)
    part = signs[signs["endpoint"] == "PFS"]
    title = frames.HOSTILE if kind == "hostile" else "Progression-free survival"
    return figures.plot_signs(part, *names_module.list_design_labels(signs, trial), title=title, **options)


def draw_narrowing(kind, **options):
    claims = names_module.list_claim_labels(made.make_claimed(kind), frames.make_trial(kind))
    rows = made.make_narrowing(kind)
    return figures.plot_narrowing(rows, name_all(kind)[0], claims, title="Of one endpoint", **options)


def draw_candidates(kind, **options):
    names = name_all(kind)[0] | {made.FIRTH: "Hazard ratio, dose (Firth's method)"}
    return figures.plot_candidates(made.make_candidates(kind), names, title="Of one endpoint", **options)


FIGURES = {
    "curves": draw_curves,
    "p values": draw_p_values,
    "pairs": draw_pairs,
    "signs": draw_signs,
    "narrowing": draw_narrowing,
    "candidates": draw_candidates,
}


@pytest.mark.parametrize("kind", list(frames.ARMS))
@pytest.mark.parametrize("name", list(FIGURES))
def test_every_text_is_inside_the_figure_and_stands_alone(name, kind):
    check_readable(FIGURES[name](kind))


@pytest.mark.parametrize("name", list(FIGURES))
def test_text_from_data_is_never_mathematics(name):
    assert not any("$" in text.replace("\\$", "") for text in shown(FIGURES[name]("hostile")))


@pytest.mark.parametrize("name", list(FIGURES))
def test_settings_of_the_reader_stay_as_they_were(name):
    before = dict(mpl.rcParams)
    FIGURES[name]("four")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", list(FIGURES))
def test_axes_given_are_drawn_into(name):
    _, ax = plt.subplots()
    assert FIGURES[name]("four", ax=ax) is ax
    assert ax.has_data() or ax.images


def test_nothing_to_show():
    empty, names = made.make_answers().head(0), {}
    cohorts = made.make_cohorts().take(slice(0, 0))
    drawn = [
        figures.plot_compatible_curves(cohorts, "OS", {}, "months"),
        figures.plot_p_values(made.make_statistics(), empty, names, {}),
        figures.plot_pairs(empty, names, {}),
        figures.plot_signs(made.make_signs().head(0), {}, {}, {}),
        figures.plot_narrowing(made.make_narrowing().head(0), names, {}),
        figures.plot_candidates(made.make_candidates().head(0), names),
    ]
    assert [shown(ax) for ax in drawn] == [["Nothing to show"]] * len(drawn)


def test_curves_start_at_one_and_fall_at_events():
    ax = draw_curves("four")
    assert all(line.get_ydata()[0] == 1 for line in ax.lines if len(line.get_ydata()) > 2)
    assert ax.get_title(loc="left") == "A: low dose x 4"
    marks = [line for line in ax.lines if line.get_marker() == "D"]
    assert [mark.get_xdata()[0] for mark in marks] == [3.0]


def test_what_is_left_of_itself_is_not_told():
    frame = made.make_candidates()
    frame.loc[0, "candidate"] = made.AIMS[1]
    names = dict.fromkeys([*frame["candidate"], *frame["target"]], "name")
    ax = figures.plot_candidates(frame, names)
    assert ax.texts[0].get_text() == ""


def test_bars_that_go_on_beyond_the_axis_end_in_arrows():
    ax = draw_signs("four")
    arrows = [line for line in ax.lines if line.get_marker() in ("<", ">")]
    beyond = made.make_signs("four").query("endpoint == 'PFS' and covariate == 'dose' and lowest < 1e-6")
    assert len(arrows) == 2 * len(beyond) > 0
