"""The headlines of a page: how they are recorded, and that a notebook's are the numbers it shows."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nkhcc_helpers.report.headlines import Headline
from nkhcc_helpers.report.page import open_page

PLAIN = dict.fromkeys(("ci_lower", "ci_upper", "null", "level", "error"))
PLAIN |= {"unit": "", "kind": "number", "has_direction": True}


@pytest.fixture
def page(plain_trial, tmp_path):
    return open_page(plain_trial, "sample", tmp_path)


def test_headlines_are_in_the_results_in_their_order(page, tmp_path):
    page.headline("p_trend", "Trend, permuted P", np.float64(0.04), level=0.05)
    ratio = {"ci_lower": 0.2, "ci_upper": np.inf, "null": 1, "kind": "ratio"}
    page.headline("hr_dose", "Hazard ratio, <b>dose</b>", 0.5, **ratio)
    page.finish()
    headlines = json.loads((tmp_path / "results" / "sample.json").read_text("utf-8"))["headlines"]
    assert list(headlines) == ["p_trend", "hr_dose"]
    assert headlines["p_trend"] == PLAIN | {
        "label": "Trend, permuted P",
        "value": 0.04,
        "level": 0.05,
        "kind": "p",
    }
    assert headlines["hr_dose"] == PLAIN | ratio | {
        "label": "Hazard ratio, <b>dose</b>",
        "value": 0.5,
        "ci_upper": "NE",
    }


def test_a_page_without_headlines_has_none(page, tmp_path):
    page.finish()
    assert json.loads((tmp_path / "results" / "sample.json").read_text("utf-8"))["headlines"] == {}


@pytest.mark.parametrize("value", [np.nan, -np.inf, None, pd.NA, pd.NaT, np.float32("nan")])
def test_what_is_no_number_is_not_estimable(page, value):
    page.headline("p", "P", value, level=0.05)
    page.headline("hr", "Hazard ratio", value, ci_lower=value, ci_upper=value, null=1.0)
    assert [each["value"] for each in page.results["headlines"].values()] == ["NE", "NE"]


def test_a_row_is_a_headline(page):
    table = pd.DataFrame(
        {"group": ["A", "All"], "n": [3, 18], "median": [4.8, np.nan], "ci_lower": [1, np.nan]}
    )
    table["ci_upper"] = [np.inf, np.nan]
    table = table.set_index("group")
    page.headline_each("median_{}", "Median, {}", table, "median", {"A": "{low} dose"}, unit="months")
    page.headline_each("n_{}", "Patients, {}", table[["n"]], "n", {})
    headlines = page.results["headlines"]
    assert list(headlines) == ["median_A", "median_All", "n_A", "n_All"]
    assert headlines["median_A"] == PLAIN | {
        "label": "Median, {low} dose",
        "value": 4.8,
        "ci_lower": 1.0,
        "ci_upper": "NE",
        "unit": "months",
    }
    assert headlines["n_All"] == PLAIN | {"label": "Patients, All", "value": 18.0}
    page.headline_each("none_{}", "None, {}", table.iloc[:0], "median", {})
    assert len(headlines) == 4


def test_other_limits_of_an_estimate_say_nothing_more_of_its_direction(page):
    table = pd.DataFrame(
        {"hr": [0.5], "ci_lower": 0.2, "ci_upper": 0.9, "exact_lower": 0, "exact_upper": 1.1}
    )
    for name, limits in {"hr_{}": "ci", "hr_{}_exact": "exact"}.items():
        page.headline_each(name, "Ratio {}", table, "hr", {}, limits, null=1, kind="ratio")
    usual, exact = page.results["headlines"].values()
    assert (usual["ci_upper"], usual["has_direction"]) == (0.9, True)
    assert (exact["ci_lower"], exact["ci_upper"], exact["has_direction"]) == ("NE", 1.1, False)


def test_a_name_stands_for_one_number(page):
    page.headline("p", "P", 0.2, level=0.05)
    page.headline("p", "P", 0.2, level=0.05)  # as where a cell is run again
    with pytest.raises(ValueError, match="two headlines of this page would be called 'p'"):
        page.headline("p", "P", 0.3, level=0.05)
    assert page.results["headlines"]["p"]["value"] == 0.2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": "many"}, "could not convert"),
        ({"ci_lower": 2, "ci_upper": 1}, "2.0 cannot be the limit below 1.0"),
        ({"value": 1.5, "level": 0.05}, "a P value lies between 0 and 1, not at 1.5"),
        ({"level": 0.05, "ci_upper": 0.9}, "a P value has no limits"),
        ({"value": -0.1, "level": 0.05}, "a P value lies between 0 and 1"),
    ],
)
def test_a_headline_that_cannot_be_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Headline(**{"name": "it", "label": "It", "value": 0.5} | fields)


def test_a_p_value_equal_to_its_level_is_at_it():
    for conf_level, p_value in ((0.9, 1 / 10), (0.8, 1 / 5), (0.95, 1 / 20), (0.99, 1 / 100)):
        assert p_value <= Headline("p", "P", p_value, level=1 - conf_level).level


def test_a_simulated_p_value_has_an_error_and_no_p_value_has_limits(page):
    table = pd.DataFrame({"p": [0.04, 0.2, np.nan], "p_error": [0.001, 0.0, np.nan], "ci_lower": [1, 1, 1]})
    page.headline_each("p_{}", "P {}", table, "p", {}, level=0.05)
    found = page.results["headlines"].values()
    assert [each["error"] for each in found] == [0.001, None, None]
    assert {(each["ci_lower"], each["ci_upper"]) for each in found} == {(None, None)}


@pytest.mark.parametrize(
    ("kind", "lower"), [("time", "NE"), ("ratio", "NE"), ("percent", 0.0), ("number", 0.0)]
)
def test_a_lower_limit_of_0_that_excludes_nothing_is_none(page, kind, lower):
    page.headline("it", "It", 4.8, ci_lower=0, ci_upper=9, kind=kind)
    assert page.results["headlines"]["it"]["ci_lower"] == lower


def test_the_example_for_a_notebook_of_ones_own_is_right(tmp_path):
    text = (Path(__file__).parent.parent / "plans" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(example, {"endpoint": "OS", "data_dir": "", "out_dir": tmp_path})
    headlines = json.loads((tmp_path / "results" / "my_notebook.json").read_text("utf-8"))["headlines"]
    assert list(headlines) == ["median", "hr_dose", "p_trend"]
    assert headlines["median"]["value"] == pytest.approx(17.7, abs=0.05)
    assert headlines["median"]["ci_lower"] < headlines["median"]["value"] < headlines["median"]["ci_upper"]
    assert (headlines["hr_dose"]["null"], headlines["p_trend"]["level"]) == (1, 0.05)
