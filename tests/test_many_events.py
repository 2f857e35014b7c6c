"""Safety of trials larger than a page: what is folded, chosen, counted and left out, and that it is said."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from shapes import draw_shape
from trials import write_files

from nkhcc_helpers import cohort, safety
from nkhcc_helpers.report import display, figures, tables
from nkhcc_helpers.report.figures import courses
from nkhcc_helpers.safety import counts, relation
from nkhcc_helpers.trial import load_trial


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """80 patients in two arms, one arm without a patient, 240 terms."""
    folder = tmp_path_factory.mktemp("large")
    write_files(folder, draw_shape([40, 0, 40], n_events=1500, n_terms=240, seed=3))
    return load_trial(folder, warn=False)


@pytest.fixture(scope="module")
def by_term(large):
    return safety.count_by_term(large)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def list_parts(markup):
    """Rows seen at once, and rows behind each heading."""
    folded = re.findall(r"<details.*?<summary>(.*?)</summary>(.*?)</details>", markup, re.DOTALL)
    opened = re.sub(r"<details.*</details>", "", markup, flags=re.DOTALL)
    return opened, {heading: rows.count('<th scope="row"') for heading, rows in folded}


def test_terms_fold_under_their_classes_and_every_row_is_there(large, by_term):
    opened, folded = list_parts(tables.format_result(by_term, large).as_raw_html())
    blocks = by_term[by_term["level"] == counts.ORGAN_CLASS]
    assert list(folded) == list(dict.fromkeys(blocks["organ_class"]))
    occurred = by_term.groupby([*counts.BLOCK, "grade"])["n_patients"].max()
    kept = occurred[(occurred > 0) | (occurred.index.get_level_values("grade") == "any")].reset_index()
    per_class = kept.loc[kept["level"] != counts.OVERALL, "organ_class"].value_counts()
    assert folded == {name: per_class[name] for name in folded}
    # Classes stand in the open part too, each with the numbers of its own block.
    assert all(f">{name}</th>" in opened for name in folded)
    assert "left out" not in opened
    assert opened.count("</div>") == 1
    assert opened.count("<tfoot") == opened.count("<table") == 1


def test_a_short_table_is_not_folded():
    frame = pd.DataFrame({"a": [str(i) for i in range(display.MOST_ROWS)]})
    assert "<details" not in display.display_table(frame, title="T", labels={"a": ""}).as_raw_html()


def test_a_long_list_opens_with_its_first_rows_and_says_what_is_left_out():
    frame = pd.DataFrame({"a": [f"<row {i}>" for i in range(1000)]})
    markup = display.display_table(frame, title="T", labels={"a": ""}).as_raw_html()
    opened, folded = list_parts(markup)
    assert opened.count('<th scope="row"') == display.OPEN_ROWS
    assert folded == {"360 more rows": 360}
    assert "400 of 1,000 rows are shown; the CSV file of this table has them all." in opened
    assert "&lt;row 399&gt;" in markup
    assert "&lt;row 400&gt;" not in markup


def test_rows_of_blocks_are_cut_block_by_block():
    frame = pd.DataFrame({"b": np.repeat(["x", "y & z"], [500, 60]), "a": [str(i) for i in range(560)]})
    table = display.display_table(frame, title="T", labels={"a": ""}, row_group="b")
    opened, folded = list_parts(table.as_raw_html())
    assert opened.count('<th scope="row"') == 400
    assert folded == {"y &amp; z": 60}
    assert "460 of 560 rows" in opened


def test_ten_severe_terms_beyond_the_frequent_are_chosen_and_the_others_counted(by_term):
    shown, left_out = counts.choose_terms(by_term, 6)
    names = list(counts.list_term_names(counts.list_terms(by_term)))
    assert shown[:6] == names[:6]
    assert len(shown) == 16
    everyone = by_term[by_term["group"].astype("str") == "All"].astype({"grade": "str"})
    severe = everyone[everyone["grade"].isin(["3+", "missing"]) & (everyone["n_patients"] > 0)]
    beyond = {*counts.list_block_keys(severe)} & {*names[6:]}
    n_hidden = len(beyond - {*shown})
    assert len(beyond) == 10 + n_hidden
    told = f", {n_hidden} with grade 3 or more or no known grade, not shown"
    assert left_out == f"{len(names) - 16} less frequent terms{told}"
    most = severe.set_index(counts.BLOCK)["n_patients"].groupby(level=[0, 1, 2]).sum()
    assert min(most[key] for key in shown[6:]) >= max(most[key] for key in beyond - {*shown})
    assert counts.choose_terms(by_term, None) == (names, "")


def test_rates_say_what_they_leave_out(large, by_term):
    table = tables.format_result(safety.estimate_rates(large), large, counts=by_term, most=4)
    assert "with grade 3 or more or no known grade, not shown; the CSV file" in table.as_raw_html()


def test_timelines_show_as_many_of_each_group_and_the_worst(large, monkeypatch):
    monkeypatch.setattr(courses, "MOST_NAMES", figures.MOST_PATIENTS)  # so that the figure tells who is shown
    timelines = safety.list_timelines(large)
    ax = figures.plot_timelines(timelines, large.group_labels)
    n_shown = int(re.search(r"(\d+) of \d+ patients, of each group", ax.get_xlabel())[1])
    assert 8 <= n_shown <= figures.MOST_PATIENTS
    assert len(ax.collections[0].get_segments()) == n_shown
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    ids = [name for name in timelines.patients["USUBJID"] if any(name.endswith(each) for each in names)]
    groups = timelines.patients.set_index("USUBJID").loc[ids, "group"].astype("str").value_counts()
    assert groups.max() - groups.min() <= 1
    inside = timelines.events[timelines.events["day"] <= ax.get_xlim()[1]]
    worst = inside.groupby("USUBJID")["grade"].max()
    assert worst[ids].min() >= worst.drop(ids).max() - 1


def test_states_are_those_of_each_patient(large):
    courses, given = cohort.list_courses(large), cohort.list_infusion_times(large)
    states = cohort.count_states(courses, given, n_times=40)
    ended = given.groupby("USUBJID")["end"].max()
    for row in states.iloc[::7].to_dict("records"):
        counted = dict.fromkeys(["treated", "followed", "progressed", "left", "died"], 0)
        for one in courses[courses["group"] == row["group"]].to_dict("records"):
            if one["death"] <= row["time"]:
                state = "died"
            elif one["last_contact"] < row["time"]:
                state = "left"
            elif one["progression"] <= row["time"]:
                state = "progressed"
            else:
                state = "treated" if ended.get(one["USUBJID"], -1) >= row["time"] else "followed"
            counted[state] += 1
        assert counted == {state: row[state] for state in counted}
        assert row["n"] == 40


def test_an_arm_without_a_patient_has_counts_of_0_and_no_rates(large, by_term):
    shares = safety.estimate_shares(by_term)
    shares = shares[shares["group"] == large.groups[1]]
    assert (shares["n_evaluable"] == 0).all()
    assert shares[["percent", "ci_lower", "ci_upper"]].isna().all(axis=None)
    rates = safety.estimate_rates(large)
    rates = rates[rates["group"] == large.groups[1]]
    assert rates[["rate", "ci_lower", "ci_upper", "rate_per_infusion"]].isna().all(axis=None)
    limiting = safety.count_dose_limiting(large)
    for result in (safety.estimate_shares(safety.count_adverse_events(large)), limiting):
        markup = tables.format_result(result, large).as_raw_html()
        assert re.search(r">(0 \()?NE\b", markup)
        assert not re.search(r">\s*(nan|inf|NaN|None)\b", markup)
    ax = figures.plot_grades(by_term, large.group_labels)
    texts = {text.get_text() for text in ax.figure.axes[1].texts}
    assert ax.figure.axes[1].get_title(loc="left").endswith("n = 0")
    assert texts == {"NE"}


def test_both_tests_of_a_term_rest_on_the_same_random_tables():
    events, sizes = np.array([90, 80, 70, 85, 95] * 2), np.array([500] * 10)
    relation._draw_tables.cache_clear()
    trend = relation.calculate_trend_p(events, sizes, n_draws=500)
    groups = relation.calculate_groups_p(events, sizes, n_draws=500)
    assert not trend.is_exact
    assert not groups.is_exact
    assert relation._draw_tables.cache_info().hits == 1


def test_a_p_that_is_not_exact_is_called_a_permutation_test(large):
    frame = safety.compare_groups(large, n_draws=700)
    drawn = frame.assign(is_exact=False, p_trend_error=0.01)
    drawn.attrs = frame.attrs
    markup = tables.safety_timing.format_dose_relation(drawn, large, n_draws=700).as_raw_html()
    assert "700 of them were drawn at random (a permutation test)" in markup
    exact = tables.format_result(frame, large).as_raw_html()
    assert "permutation" not in exact
