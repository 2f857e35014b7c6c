import html
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from batch_frames import add_headline, list_runs

from nkhcc_helpers.run.batch import comparison as comparison_module
from nkhcc_helpers.run.batch.comparison import compare_runs, list_conclusions, show_value, write_comparison
from nkhcc_helpers.run.publish import _open_templates
from nkhcc_helpers.trial.trial import locate_checkout

HOSTILE = "<img src=x onerror=alert(1)>"
NAN = float("nan")
WORDS = (
    "{% from 'comparison_words.html.j2' import changes, span, gaps, caption with context %}"
    "{{ changes(each) }}|{{ span(each) }}|{{ gaps(each) }}|{{ caption(each) }}"
)
GRID = {"doses": ["0.25", "0.5", "1"], "conf_type": ["bpcp", "plain"]}
RUNS = list_runs(GRID, {"doses": "0.5", "conf_type": "bpcp"})


def say(each):
    text = _open_templates().from_string(WORDS).render(each=each, show=show_value)
    parts = html.unescape(text).split("|")
    return dict(zip(("changes", "span", "gaps", "caption"), parts, strict=True))


def compare_one(values, runs=RUNS, **fields):
    varied = [name for name in runs.columns[4:] if name != "endpoint"]
    (each,) = compare_runs(add_headline(runs, values, **fields), varied, runs)
    return each


# Counted again.


def conclude(row):
    """The conclusions of one row, by plain comparisons."""
    value, lower, upper = row["value"], row["ci_lower"], row["ci_upper"]
    found = {}
    if not np.isnan(row["level"]) and not np.isnan(value):
        found["level"] = value <= row["level"]
    if not np.isnan(row["null"]):
        if not np.isnan(value):
            found["direction"] = (value > row["null"]) - (value < row["null"])
        if not (np.isnan(value) and np.isnan(lower) and np.isnan(upper)):
            found["limits"] = bool(lower > row["null"] or upper < row["null"])
    return found


def draw_headlines(seed):
    rng = np.random.default_rng(seed)
    grid = {
        "endpoint": ["OS", "PFS"],
        "doses": ["0.25", "0.5", "1"],
        "conf_type": ["bpcp", "plain"],
        "seed": ["1", "2"],
    }
    runs = pd.concat(
        [
            list_runs(grid, {"doses": "0.5", "conf_type": "bpcp", "seed": "1"}, trial=trial)
            for trial in ("one", "two")
        ],
        ignore_index=True,
    )
    n = len(runs)
    values = np.where(rng.random(n) < 0.15, NAN, rng.choice([0.02, 0.05, 0.2, 1.0, 1.5], n))
    limits = {
        "ci_lower": np.where(rng.random(n) < 0.3, NAN, values / rng.choice([1.0, 1.2, 9.0], n)),
        "ci_upper": np.where(rng.random(n) < 0.3, NAN, values * rng.choice([1.0, 1.2, 9.0], n)),
    }
    given = [None if rng.random() < 0.1 else value for value in values]
    p_values = add_headline(runs, [None if each is None else min(each, 1.0) for each in given], level=0.05)
    ratios = add_headline(runs, given, name="hr", label="Hazard ratio", null=1.0, **limits)
    return pd.concat([p_values, ratios]), list(grid), runs


@pytest.mark.parametrize("seed", range(6))
def test_which_runs_differ_is_what_plain_loops_find(seed):
    headlines, varied, runs = draw_headlines(seed)
    found = compare_runs(headlines, varied, runs)
    assert len(found) == 8
    for each in found:
        question = each.question
        planned = [
            run
            for run in runs.to_dict("records")
            if (run["trial"], run["endpoint"]) == (question.trial, question.endpoint)
        ]
        own = {
            row["run"]: row
            for row in headlines.to_dict("records")
            if row["run"] in {run["run"] for run in planned} and row["name"] == each.reference["name"]
        }
        default = next(run["run"] for run in planned if run["is_default"])
        reference = default if default in own else next(run["run"] for run in planned if run["run"] in own)
        usual = conclude(own[reference])
        differs = {
            kind: [
                run
                for run, row in own.items()
                if kind in conclude(row) and conclude(row)[kind] != usual[kind]
            ]
            for kind in usual
        }
        told = [each for each in differs.values() if each]
        assert each.reference["run"] == reference
        assert [list(change.selection.runs) for change in each.changes] == told
        assert each.runs.index[each.runs["differs"]].tolist() == [
            run for run in own if any(run in runs for runs in told)
        ]
        lacking = {gap: set(selection.runs) for gap, selection in each.gaps.items()}
        assert lacking.pop("result", set()) == {run["run"] for run in planned} - set(own)
        for name, found in lacking.items():
            unknown = {run for run, row in own.items() if np.isnan(row[name])}
            assert found == (unknown if name == "value" else unknown - lacking.get("value", set()))
        check_where(each, planned)


def check_where(each, planned):
    """Values said to be those of every run that changes are of no run that does not."""
    for change in each.changes:
        match = re.match(r"every run of (\w+) ([\w., -]+)", change.selection.where)
        if match is None:
            continue
        values = match[2].split(", ")
        with_them = [run["run"] for run in planned if run[match[1]] in values]
        unchanged = set(each.runs.index[each.runs["value"].notna()]) - set(change.selection.runs)
        assert not unchanged & set(with_them)


@pytest.mark.parametrize(
    ("value", "lower", "upper", "direction", "limits"),
    [
        (2.0, 1.2, 3.0, 1, 1),
        (2.0, 1.0, 3.0, 1, 0),  # a limit at the value of no effect does not leave it out
        (0.5, 0.1, 0.9, -1, 1),
        (1.0, 0.5, 2.0, 0, 0),
        (2.0, 1.2, NAN, 1, 1),  # without end on the other side
        (0.5, NAN, NAN, -1, 0),
        (NAN, NAN, NAN, NAN, NAN),
        (NAN, 1.2, NAN, NAN, 1),
    ],
)
def test_direction_and_limits(value, lower, upper, direction, limits):
    columns = {"value": value, "ci_lower": lower, "ci_upper": upper, "null": 1.0, "level": NAN}
    columns |= {"error": NAN, "has_direction": True}
    rows = pd.DataFrame([columns, {**columns, "value": 2.0, "ci_lower": 1.5, "ci_upper": 3.0}])
    found = list_conclusions(rows)
    assert found["level"].isna().all()
    np.testing.assert_equal(found.loc[0, ["direction", "limits"]].tolist(), [direction, limits])


def test_estimates_that_never_have_limits_have_no_conclusion_about_them():
    rows = add_headline(RUNS, [0.5] * 6, null=1.0)
    assert list(list_conclusions(rows).dropna(axis=1, how="all")) == ["direction"]


# Sentences.


def test_a_parameter_that_sets_the_runs_apart_is_named():
    said = say(compare_one([0.2, 0.3, 0.01, 0.02, 0.03, 0.04], level=0.05))
    assert (
        said["changes"]
        == "At or below 0.05 in the default run, but above 0.05 in 2 of 6 runs: every run of doses 0.25."
    )
    assert said["span"] == "0.0100 in the default run; 0.0100 to 0.3000 over 6 runs."
    assert said["gaps"] == ""


def test_other_runs_are_named_by_what_is_unlike_the_default_run():
    said = say(compare_one([0.2, 0.01, 0.01, 0.3, 0.03, 0.04], level=0.05))
    where = "the run with doses 0.25, all else equal; the run with conf_type plain, all else equal."
    assert said["changes"].endswith(f"in 2 of 6 runs: {where}")
    said = say(compare_one([0.2, 0.3, 0.01, 0.02, 0.03, 0.4], level=0.05))
    assert said["changes"].endswith(
        "in 3 of 6 runs: every run of doses 0.25; the run with doses 1 and conf_type plain."
    )


def test_many_runs_are_counted_beyond_a_few():
    runs = list_runs({"where": [f"AGE > {i}" for i in range(20)]}, {"where": "AGE > 0"})
    said = say(compare_one([0.01, *[0.2] * 19], runs=runs, level=0.05))
    assert said["changes"].endswith(
        "in 19 of 20 runs: every run of where “AGE > 1”, “AGE > 2”, “AGE > 3”, “AGE > 4”, “AGE > 5”, 14 more."
    )


def test_parameters_that_changed_together_are_both_named():
    runs = list_runs({"doses": ["1", "2", "3"]}, {"doses": "1"}).assign(infusions=["4", "8", "8"])
    said = say(compare_one([0.01, 0.2, 0.02], runs=runs, level=0.05))
    assert said["changes"].endswith("in 1 of 3 runs: the run with doses 2 and infusions 8.")
    runs = runs.assign(infusions=["4", "8", "9"])
    said = say(compare_one([0.01, 0.2, 0.02], runs=runs, level=0.05))
    assert said["changes"].endswith("in 1 of 3 runs: the run with doses 2 and infusions 8.")


def test_no_change_is_said():
    said = say(compare_one([0.5, 0.6, 0.7, 0.8, 0.9, 0.7], null=1.0, ci_lower=0.1, ci_upper=2.0))
    assert (
        said["changes"] == "No conclusion changes in 6 runs: below 1, no limits that leave out 1 throughout."
    )
    assert said["span"] == "0.70 in the default run; 0.50 to 0.90 over 6 runs."


def test_direction_and_limits_change_apart():
    lower, upper = [0.3, 0.3, 0.3, 0.9, 0.3, 0.3], [0.8, 0.8, 0.8, 3.0, 1.2, 0.8]
    values = [0.5, 0.5, 0.5, 1.5, 0.6, 0.5]
    said = say(compare_one(values, null=1.0, ci_lower=lower, ci_upper=upper))
    assert said["changes"] == (
        "Below 1 in the default run, but above 1 in 1 of 6 runs: "
        "the run with conf_type plain, all else equal. "
        "Limits that leave out 1 in the default run, but no limits that leave out 1 in 2 of 6 runs: "
        "the run with conf_type plain, all else equal; the run with doses 1, all else equal."
    )


def test_what_has_no_conclusion_has_a_range():
    said = say(compare_one([4.8, 4.9, 4.81, 5.0, 17.7, 0.0], unit="months"))
    assert said["changes"] == "It has no conclusion that could change, only a range."
    assert said["span"] == "4.81 months in the default run; 0.00 months to 17.7 months over 6 runs."
    assert say(compare_one([4.8] * 6))["span"] == "4.80 in each of 6 runs."


def test_runs_without_an_answer_are_named_and_not_counted():
    said = say(compare_one([NAN, NAN, 0.01, 0.2, None, 0.04], level=0.05))
    assert said["changes"].endswith(
        "but above 0.05 in 1 of 3 runs: the run with conf_type plain, all else equal."
    )
    assert said["gaps"] == (
        "Not estimable (NE) in 2 runs: every run of doses 0.25. "
        "No result in 1 run: the run with doses 1, all else equal."
    )
    assert "; NE where it is not estimable." in said["caption"]


def test_a_default_run_without_an_answer_does_not_silence_the_others():
    each = compare_one([0.01, 0.01, NAN, 0.2, 0.3, 0.04], level=0.05)
    assert not each.runs["differs"].any()
    assert each.is_turned
    assert say(each)["changes"] == (
        "Not estimable in the default run; the others do not agree: at or below 0.05 in 3 of 5 runs "
        "(every run of doses 0.25; the run with doses 1 and conf_type plain), above 0.05 in 2 of 5 runs "
        "(the run with conf_type plain, all else equal; the run with doses 1, all else equal)."
    )
    each = compare_one([0.01, 0.02, NAN, NAN, 0.03, 0.04], level=0.05)
    assert not each.is_turned
    assert say(each)["changes"] == (
        "Not estimable in the default run; the others agree: at or below 0.05 in 4 runs."
    )
    said = say(compare_one([NAN] * 6, level=0.05))
    assert (said["changes"], said["span"]) == ("No run has a conclusion.", "")
    assert said["gaps"] == "Not estimable (NE) in every run."


def test_a_simulated_p_value_near_its_level_is_no_change():
    error = [0.003, 0.004, 0.004, 0.004, NAN, 0.0]
    each = compare_one([0.04, 0.051, 0.07, 0.03, 0.051, 0.049], level=0.05, error=error)
    assert each.runs["differs"].tolist() == [True, False, False, True, False, True]
    each = compare_one([0.045, 0.057, 0.03, 0.02, 0.03, 0.03], level=0.05, error=error)
    assert each.changes == ()
    said = say(each)
    assert said["changes"] == "No conclusion changes in 4 runs: at or below 0.05 throughout."
    assert said["gaps"] == ("Not told apart from its level by its draws in 2 runs: every run of doses 0.25.")
    each = compare_one([0.01, 0.02, 0.049, 0.03, 0.04, 0.04], level=0.05, error=0.001)
    assert say(each)["changes"] == (
        "Not told apart from 0.05 by its draws in the default run; "
        "the others agree: at or below 0.05 in 5 runs."
    )
    each = compare_one([0.05] * 6, level=0.05, error=0.001)
    assert (say(each)["changes"], each.n_told) == ("No run has a conclusion.", 0)
    # A P value that is exact, and at its level, is no matter of draws.
    assert "draws" not in compare_one([0.05] * 6, level=0.05).gaps


def test_limits_that_some_runs_lack_are_told():
    lower, upper = [0.2, 0.2, 0.2, NAN, NAN, 0.2], [2.0, NAN, 2.0, NAN, NAN, 2.0]
    values = [0.5, 0.5, 0.5, 0.5, NAN, 0.5]
    assert say(compare_one(values, null=1.0, ci_lower=lower, ci_upper=upper))["gaps"] == (
        "Not estimable (NE) in 1 run: the run with doses 1, all else equal. "
        "Lower limit NE in 1 run: the run with conf_type plain, all else equal. "
        "Upper limit NE in 2 runs: the run with doses 0.25 and conf_type plain; "
        "the run with conf_type plain, all else equal."
    )
    assert list(compare_one(values, null=1.0).gaps) == ["value"], "limits that no run has"


def test_values_in_another_unit_share_conclusions_and_no_range():
    label = ["Per unit"] * 2 + ["Per cell"] * 4
    each = compare_one([0.001, 1.002, 0.5, 0.6, 0.7, 1.8], null=1.0, label=label)
    said = say(each)
    assert said["changes"].startswith("Below 1 in the default run, but above 1 in 2 of 6 runs:")
    assert said["span"] == "0.50 in the default run; 0.50 to 1.80 over 4 runs."
    assert said["gaps"] == (
        "In another unit, so that its conclusions are compared but not its size, in 2 runs: "
        "every run of doses 0.25."
    )
    assert said["caption"] == "Per cell in 4 runs, by doses and conf_type."
    assert set(each.listed["value"]) == {0.001, 1.002, 1.8}
    each = compare_one([0.2, 0.3, 0.2, 0.3, 0.4, 0.5], level=0.05, label=label)
    assert "scale" not in each.gaps, "P values are on one scale whatever is tested"


def test_one_estimate_with_two_kinds_of_limits_has_one_direction():
    lower, upper = [0.3] * 6, [0.8, 0.8, 0.8, 0.8, 1.2, 0.8]
    values = [0.5, 1.5, 0.5, 0.5, 0.5, 0.5]
    each = compare_one(values, null=1.0, ci_lower=lower, ci_upper=upper, has_direction=False)
    assert [change.kind for change in each.changes] == ["limits"]


def test_without_a_default_run_the_first_stands_for_it_and_says_so():
    runs = RUNS.assign(is_default=False)
    said = say(compare_one([None, 0.2, 0.01, 0.2, 0.3, 0.4], runs=runs, level=0.05))
    first = "run nkhcc-02_survival_by_group-1 (the first, since no run has every default)"
    assert said["changes"].startswith(f"Above 0.05 in {first}, but at or below 0.05 in 1 of 5 runs:")
    said = say(compare_one([0.2, 0.2, None, 0.2, 0.3, 0.4], level=0.05))
    assert "(the first with a result, since the default run has none)" in said["span"]


def test_one_run_has_nothing_to_change():
    runs = list_runs({"doses": ["1"]}, {"doses": "1"})
    each = compare_one([0.03], runs=runs, level=0.05)
    assert (each.varied, each.n_told) == ((), 1)
    assert say(each)["changes"] == (
        "At or below 0.05 in the default run. No other run has a conclusion, so that nothing can change."
    )
    assert say(each)["span"] == "0.0300 in 1 run."


def test_each_run_is_held_against_its_own_level():
    said = say(compare_one([0.07] * 6, level=[0.05, 0.1, 0.05, 0.1, 0.05, 0.1]))
    assert said["changes"] == (
        "Above its level in the default run, but at or below its level in 3 of 6 runs: "
        "every run of conf_type plain."
    )
    said = say(compare_one([0.04] * 6, level=[0.05, 0.1, 0.05, 0.1, 0.05, 0.1]))
    assert said["changes"] == "No conclusion changes in 6 runs: at or below its level throughout."


def test_long_values_are_cut_in_their_middle():
    long = "AGE > 1 and " * 20 + "SEX = F"
    runs = list_runs({"where": ["", long]}, {"where": ""})
    where = compare_one([0.01, 0.2], runs=runs, level=0.05).changes[0].selection.where
    assert where.startswith("the run with where “AGE > 1 and")
    assert " … " in where
    assert where.endswith("SEX = F”")
    assert len(where) < 95


# The page.


@pytest.fixture
def make_batch(monkeypatch, tmp_path):
    """Make a batch whose runs are these; its folder is `tmp_path`."""
    notebooks = locate_checkout() / "notebooks"

    def make(runs, varied):
        monkeypatch.setattr(comparison_module, "list_parameters", lambda batch: runs)
        made = [
            SimpleNamespace(
                name=run["run"],
                trial=run["trial"],
                plan=SimpleNamespace(
                    name=run["notebook"],
                    path=notebooks / f"{run['notebook']}.ipynb",
                    changed={"population": HOSTILE},
                ),
            )
            for run in runs.to_dict("records")
        ]
        return SimpleNamespace(title=f"Batch {HOSTILE}", varied=tuple(varied), runs=made)

    return make


def name_trials(batch, provenance=""):
    """What results say of each trial; nothing where no run has finished."""
    told = {"provenance": provenance} if provenance else {}
    return {run.trial: told for run in batch.runs}


def write_run(folder, name, notebook):
    place = folder / "runs" / name
    place.mkdir(parents=True)
    (place / f"{notebook}.html").write_text("page")


def test_the_page(make_batch, tmp_path):
    runs = list_runs({"doses": ["1", f"2 {HOSTILE}", "3"]}, {"doses": "1"})
    batch = make_batch(runs, ["doses"])
    write_run(tmp_path, batch.runs[1].name, "02_survival_by_group")
    p_values = add_headline(runs, [0.01, 0.2, None], level=0.05, label=f"Trend {HOSTILE}")
    medians = add_headline(runs, [NAN, NAN, NAN], name="median", label="Median", unit="months")
    page = write_comparison(
        batch, tmp_path, pd.concat([p_values, medians]), name_trials(batch, "illustrative")
    ).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 5
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "<script" not in page
    assert "Illustrative reconstruction, not patient data" in page
    assert not re.search(r"\b(nan|inf|NaN|None)\b", page)
    assert "A conclusion changes in 1 of 1 headline value that" in page
    assert "Other headline values, with only a range, or a conclusion in one run at most: 1." in page
    fixed = "3 runs; what did not vary is as declared, but population &lt;img src=x onerror=alert(1)&gt;."
    assert fixed in page
    assert page.index('id="h1"') < page.index("A batch is no test.") or "<details id=" in page
    linked = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert f"runs/{batch.runs[1].name}/02_survival_by_group.html" in linked
    assert [link for link in linked if link != "batch.html" and not (tmp_path / link).is_file()] == []
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert anchors
    assert all(f'id="{anchor}"' in page for anchor in anchors)
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in re.findall("<img[^>]*>", page))
    assert plt.get_fignums() == []


def test_a_page_written_again_is_the_same_and_keeps_no_other_figure(make_batch, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_module, "MOST_FIGURES", 2)
    runs = list_runs({"endpoint": ["OS", "PFS"], "doses": ["1", "2"]}, {"doses": "1"})
    batch = make_batch(runs, ["endpoint", "doses"])
    headlines = pd.concat(
        [
            add_headline(runs, values, name=name, label=name, level=0.05)
            for name, values in {"first": [0.1] * 4, "second": [0.1, 0.01] * 2}.items()
        ]
    )

    def write():
        comparison_module.remove_comparison(tmp_path)
        page = write_comparison(batch, tmp_path, headlines, name_trials(batch))
        files = sorted((tmp_path / "figures" / "comparison").iterdir())
        return {path.name: path.read_bytes() for path in [page, *files]}

    written = write()
    (tmp_path / "figures" / "comparison" / "old.svg").write_text("old")
    assert write() == written
    # Those with a change, in files named by place and headline.
    assert sorted(written)[:4] == ["002_second.png", "002_second.svg", "004_second.png", "004_second.svg"]
    page = written["comparison.html"].decode()
    assert "Figures of 2 headline values were not drawn" in page
    assert "endpoint OS" in page
    assert "Illustrative" not in page


def test_a_question_of_which_every_run_failed_is_on_the_page(make_batch, tmp_path):
    runs = list_runs({"doses": ["1", "2"]}, {"doses": "1"})
    batch = make_batch(runs, ["doses"])
    headlines = add_headline(runs, [None, None])
    page = write_comparison(batch, tmp_path, headlines, name_trials(batch)).read_text(encoding="utf-8")
    assert re.search(r"<p>2 runs; what .*\. None of them has a headline value\.", page)
    assert Path(tmp_path / "comparison.html").is_file()
