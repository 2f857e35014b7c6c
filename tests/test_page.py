import base64
import json
import subprocess
import sys
from datetime import date
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import papermill
import pytest
import seaborn as sns
from great_tables import GT
from small_notebooks import PAGED, code, write_notebook

from nkhcc_helpers import cohort, cox, safety, survival
from nkhcc_helpers.report import page as page_module
from nkhcc_helpers.report import results
from nkhcc_helpers.report.page import open_page

IMAGE = "<img src=x onerror=alert(1)>"
ESCAPED_IMAGE = "&lt;img src=x onerror=alert(1)&gt;"


@pytest.fixture
def shown(monkeypatch):
    """What the page showed, each as (HTML, text)."""
    kept = []

    def keep(item, **_):
        if hasattr(item, "_repr_mimebundle_"):
            kept.append((*item._repr_mimebundle_(), repr(item)))
        else:
            kept.append((item._repr_html_(), repr(item)))

    monkeypatch.setattr(page_module, "display", keep)
    return kept


@pytest.fixture
def page(plain_trial, tmp_path):
    return open_page(plain_trial, "sample", tmp_path / "report")


def read_results(page):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (page.out_dir / "results" / "sample.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse)


def test_sentence_is_formatted_and_its_values_kept(page, shown):
    page.say(
        "Group {group}: median {median:.1f} on {day:%d %B %Y}.",
        group="A",
        median=4.8125,
        day=date(2015, 2, 3),
    )
    markup, text = shown[0]
    assert text == "Group A: median 4.8 on 03 February 2015."
    assert markup.startswith("<p ")
    assert text in markup
    assert page.results["values"] == {"group": "A", "median": 4.8125, "day": "2015-02-03"}


def test_a_p_value_is_as_in_tables(page, shown):
    page.say("P {p:p}, {all:p}, {none:p}.", p=1e-7, all=[0.04031, 1.0], none=np.nan)
    assert shown[0][1] == "P <0.0001, 0.0403 and 1.0000, NE."
    assert "&lt;0.0001" in shown[0][0]
    assert page.results["values"]["p"] == 1e-7


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, None, pd.NA, pd.NaT, np.datetime64("NaT"), np.float32("nan")]
)
@pytest.mark.parametrize("spec", ["", ":.1f", ":d", ":>9.3e"])
def test_what_is_not_estimable_prints_ne(page, shown, value, spec):
    page.say("It is {value" + spec + "}.", value=value)
    assert shown[0][1] == "It is NE."


def test_sentence_escapes_values_and_trusts_its_template(page, shown):
    page.say("<b>{n:d}</b> had {term}.", n=np.int64(3), term=f"{IMAGE} $x$ & co")
    markup, text = shown[0]
    assert "<b>3</b>" in markup
    assert f"{ESCAPED_IMAGE} $x$ &amp; co" in markup
    assert "<img" not in markup
    assert "mathjax_ignore" in markup
    assert text == f"3 had {IMAGE} $x$ & co."


def test_sentence_joins_lists(page, shown):
    page.say("{a} / {b:.1f} / {c} / {d}", a=["x", "<y>", "z"], b=[1, np.nan], c=["one"], d=[])
    assert shown[0][1] == "x, <y> and z / 1.0 and NE / one / none"
    assert "&lt;y&gt;" in shown[0][0]


def test_a_noun_has_the_number_of_its_count(page, shown):
    text = "{n: group|groups} {n:- is|are} here, {many:, row|rows}, {n: {word}|{word}es} each."
    page.say(text, n=1, many=1000, word="<patch>")
    page.say(text, n=np.int64(4), many=1, word="patch")
    page.say(text, n=0, many=np.nan, word="patch")
    page.say("{n:.1f mean|means}.", n=pd.NA)
    assert [told for _, told in shown] == [
        "1 group is here, 1,000 rows, 1 <patch> each.",
        "4 groups are here, 1 row, 4 patches each.",
        "0 groups are here, NE rows, 0 patches each.",
        "NE means.",
    ]
    assert "&lt;patch&gt; each" in shown[0][0]


def test_a_count_with_many_digits_is_shortened(page, shown):
    page.say("{n:,}, {many:,} and {share:,}.", n=514_594_080, many=12 * 10**116, share=0.5)
    assert shown[0][1] == "514,594,080, 1.2 x 10^117 and 0.5."


def test_a_sentence_of_what_is_not_estimable_gives_way_to_another(page, shown):
    text = "On average {mean:.1f}, in {group}."
    page.say(text, mean=2.0, group="A", otherwise="No mean in {group}.")
    page.say(text, mean=np.nan, group="B", otherwise="No mean in {group}.")
    page.say(text, mean=np.nan, group="C", otherwise="")
    assert [told for _, told in shown] == ["On average 2.0, in A.", "No mean in B."]
    assert page.results["values"] == {
        "mean": 2.0, "mean_2": "NE", "group": "A", "group_2": "B", "group_3": "C",
    }  # fmt: skip


def test_a_percent_sign_stands_apart(page, shown):
    page.say("{share:.1%}, {shares:.0%}, {missing:.1%}.", share=0.474, shares=[0.1, 0.25], missing=np.nan)
    assert shown[0][1] == "47.4 %, 10 % and 25 %, NE."


def test_sentence_without_a_value_says_which(page):
    with pytest.raises(ValueError, match=r"uses \{median\}"):
        page.say("It is {median:.1f}.", mean=3)
    with pytest.raises(ValueError, match=r"uses \{0\}"):
        page.say("It is {}.", mean=3)


def test_name_used_again_keeps_both_values(page):
    page.record(n=3, p=0.5)
    page.record(n=3, p=0.25)
    page.record(n=4, p=0.125)
    page.record(p=0.25)
    assert page.results["values"] == {"n": 3, "p": 0.5, "p_2": 0.25, "n_2": 4, "p_3": 0.125}


def test_values_of_groups_stand_under_their_group(page, shown):
    for group, n in {"A": 3, "B": 5, "=1+1": 3}.items():
        page.say("{label}: {n}.", of=group, label=f"Group {group}", n=n)
    page.record(of=4, n=np.nan)
    assert [text for _, text in shown] == ["Group A: 3.", "Group B: 5.", "Group =1+1: 3."]
    assert page.results["values"] == {
        "label": {"A": "Group A", "B": "Group B", "=1+1": "Group =1+1"},
        "n": {"A": 3, "B": 5, "=1+1": 3, "4": "NE"},
    }


def test_no_value_is_lost_when_a_name_is_used_with_and_without_a_group(page):
    page.record(n=18, sizes={"A": 3})
    page.record(of="A", n=3, sizes=4)
    page.record(of="A", n=3)
    page.record(of="A", n=2)
    page.record(n={"A": 3})
    assert page.results["values"] == {
        "n": 18,
        "sizes": {"A": 3},
        "n_2": {"A": 3},
        "sizes_2": {"A": 4},
        "n_3": {"A": 2},
        "n_4": {"A": 3},
    }


def test_values_may_be_called_what_arguments_are(page, shown):
    page.say("{template}", template="t", self="s")
    assert page.results["values"] == {"template": "t", "self": "s"}


def test_banner_names_provenance_warnings_and_assumptions(shown, plain_trial):
    open_page(plain_trial, "sample").show_banner()
    markup, text = shown[0]
    assert "Illustrative reconstruction, not patient data" in markup
    assert text.splitlines()[0].startswith("Illustrative reconstruction")
    assert "Everything: invented (the tests need a trial)" in markup
    assert "Warning" not in markup


def test_banner_of_a_real_trial_says_nothing_of_reconstruction(shown):
    metadata = SimpleNamespace(title="T", study_id="S", source="", registration="", assumptions=[])
    chosen = {"selection": None, "has_other_doses": False}
    trial = SimpleNamespace(metadata=metadata, is_illustrative=False, warnings=("look <here>",), **chosen)
    open_page(trial, "sample").show_banner()
    markup, text = shown[0]
    assert "llustrative" not in markup
    assert "<b>Warning:</b> look &lt;here&gt;" in markup
    assert "Assumptions" not in markup
    assert text == "T (S)\nWarning: look <here>"


def test_banner_escapes_everything(shown, load_variant):
    open_page(load_variant("hostile"), "sample").show_banner()
    markup = shown[0][0]
    assert "<img" not in markup
    assert "<script" not in markup
    assert "<i>" not in markup
    assert f"<li>{ESCAPED_IMAGE}: =1+1 ($x$ **b** &lt;i&gt;)</li>" in markup


def test_table_is_shown_and_its_numbers_kept(page, shown):
    frame = pd.DataFrame(
        {"term": ["=1+1", "x"], "n": [np.inf, 2.5], "day": pd.to_datetime(["2015-02-03", None])}
    )
    page.show_table(GT(frame), "terms", data=frame)
    assert "<table" in shown[0][0]
    assert "mathjax_ignore" in shown[0][0]
    assert shown[0][1].startswith("Table terms\n")
    written = (page.out_dir / "tables" / "sample" / "terms.csv").read_text()
    assert written == "term,n,day\n'=1+1,,2015-02-03\nx,2.5,\n"
    assert page.results["tables"]["terms"] == {
        "files": ["tables/sample/terms.csv"],
        "rows": [{"term": "=1+1", "n": "NE", "day": "2015-02-03"}, {"term": "x", "n": 2.5, "day": None}],
    }


def test_table_without_numbers_writes_nothing(page, shown):
    page.show_table(GT(pd.DataFrame({"a": [1]})), "only_shown")
    assert page.results["tables"]["only_shown"] == {"files": [], "rows": []}
    assert not page.out_dir.exists()


def test_a_result_finds_its_table(plain_trial, tmp_path, shown):
    page = open_page(plain_trial, "sample", tmp_path, endpoint="OS")
    frame = plain_trial.survival("OS")
    result = survival.summarize_survival(frame, conf_level=0.9, conf_type="log", convention="first")
    page.show(result, "medians", notes=["As wanted."])
    for text in ("Overall survival", "90 % CI", "Interval: log.", "one half: first.", "As wanted."):
        assert text in shown[-1][0]
    assert page.results["tables"]["medians"]["rows"] == results.format_json_value(result)
    curve = survival.estimate_km(frame["time"], frame["event"])
    page.show(curve, "curve", endpoint="PFS", group="A")
    assert plain_trial.group_labels["A"] in shown[-1][0]
    assert "Overall survival" not in shown[-1][0]


def test_a_plain_frame_is_shown_as_it_is(page, shown):
    page.show(pd.DataFrame({"a": [1.25]}), "plain", title="As it is", labels={"a": "A"}, decimals=2)
    assert "As it is" in shown[0][0]
    assert "1.25" in shown[0][0]
    assert "Illustrative data, not patient data." in shown[0][0]


def test_a_comparison_is_shown_with_its_counts_kept(plain_trial, shown):
    page = open_page(plain_trial, "sample", endpoint="PFS")
    frame = plain_trial.survival("PFS")
    found = survival.compare_survival(frame["time"], frame["event"], frame["group"], n_draws=0, exact=False)
    page.show(found, "logrank", data=found.by_group)
    assert "log-rank test across groups" in shown[0][0]
    assert page.results["tables"]["logrank"]["rows"][0].keys() == {"group", "observed", "expected"}


def test_what_no_table_shows_is_refused(page):
    with pytest.raises(TypeError, match="no table shows a dict"):
        page.show({}, "it")
    with pytest.raises(TypeError, match="tite"):
        page.show(pd.DataFrame({"a": [1]}), "it", tite="T")


def test_a_result_changed_or_without_a_table_says_what_to_give(page, plain_trial):
    result = survival.summarize_survival(plain_trial.survival("OS"))
    said = "was changed after it was made, or no table shows it; give title=... and labels=...$"
    with pytest.raises(TypeError, match=f"^this result {said}"):
        page.show(result[result["group"] == "A"], "it")
    coded = cox.code_trial(plain_trial, "OS", ["dose"])
    with pytest.raises(TypeError, match=f"^this result of code_trial {said}"):
        page.show(coded, "it", labels={"dose": "Dose"})
    page.show(coded[["dose"]], "it", title="As coded", labels={"dose": "Dose"})


@pytest.mark.parametrize(
    "make",
    [
        lambda trial, endpoint: cox.fit_received(trial, endpoint),
        lambda trial, endpoint: cox.sweep_codings(trial, endpoint, ["dose"]),
        lambda trial, endpoint: cohort.summarize_follow_up(trial, endpoint=endpoint),
        lambda trial, endpoint: cox.summarize_models(
            cox.code_trial(trial, endpoint, ["dose"]), {"Dose": ["dose"]}, n_draws=0
        ),
    ],
)
def test_a_result_knows_its_endpoint_better_than_the_page(plain_trial, shown, make):
    about_pfs = open_page(plain_trial, "sample", endpoint="PFS")
    pfs, os_ = (plain_trial.endpoint_labels[code].casefold() for code in ("PFS", "OS"))
    about_pfs.show(make(plain_trial, "OS"), "it")
    assert os_ in shown[-1][0].casefold()
    assert pfs not in shown[-1][0].casefold()
    about_pfs.show(make(plain_trial, "OS"), "it", endpoint="PFS")
    assert pfs in shown[-1][0].casefold()
    assert os_ not in shown[-1][0].casefold()


def test_a_result_of_the_first_endpoint_is_titled_with_it(plain_trial, shown):
    coded = cox.code_trial(plain_trial, "", ["dose"])
    ratios = cox.summarize_models(coded, {"Dose": ["dose"]}, n_draws=0)
    open_page(plain_trial, "sample", endpoint="OS").show(ratios, "it")
    assert plain_trial.endpoint_labels["PFS"] in shown[-1][0]


@pytest.mark.parametrize("definition", [None, safety.Definition(grade=2, window_days=21)])
def test_a_dose_limiting_table_knows_its_definition(page, plain_trial, shown, definition):
    page.show(safety.count_dose_limiting(plain_trial, definition), "limiting")
    chosen = definition or safety.Definition()
    assert f"grade {chosen.grade} or more, beginning within {chosen.window_days} days" in shown[-1][0]
    page.show(safety.estimate_shares(counts=safety.count_adverse_events(plain_trial)), "shares")


def test_figure_is_shown_written_and_closed(page, shown):
    before = plt.get_fignums()
    page.show_figure(plt.subplots(figsize=(4, 3))[1], "curve", caption=f'{IMAGE} "q"', main=True)
    assert plt.get_fignums() == before
    (data, metadata, name), (markup, text) = shown
    png = (page.out_dir / "figures" / "sample" / "curve.png").read_bytes()
    assert base64.b64decode(data["image/png"]) == png
    assert metadata["image/png"]["alt"] == f'{IMAGE} "q"'
    assert 300 < metadata["image/png"]["width"] < 450  # 4 inches of 96 pixels
    assert name == data["text/plain"] == "Figure curve"
    assert markup.endswith(f">{ESCAPED_IMAGE} &quot;q&quot;</p>")
    assert "<img src=x" not in markup
    assert text == f'{IMAGE} "q"'
    folder = page.out_dir / "figures" / "sample"
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    svg = (folder / "curve.svg").read_text()
    assert svg.rstrip().endswith("</svg>")
    assert "<dc:date>" not in svg
    assert page.results["figures"]["curve"] == {
        "caption": f'{IMAGE} "q"',
        "main": True,
        "files": ["figures/sample/curve.svg", "figures/sample/curve.png"],
    }


@pytest.mark.parametrize(
    "make",
    [lambda: plt.subplots()[0], lambda: plt.subplots()[1], lambda: sns.FacetGrid(pd.DataFrame({"a": [1]}))],
)
def test_figure_axes_and_grids_can_be_shown(page, shown, make):
    page.show_figure(make(), "any", caption="any")
    assert "image/png" in shown[0][0]


def read_rows(path):
    return plt.imread(path)[:, :, :3].min(axis=(1, 2))


@pytest.mark.usefixtures("shown")
def test_illustrative_figures_say_so_below_everything_else(plain_trial, tmp_path):
    real = SimpleNamespace(is_illustrative=False, metadata=plain_trial.metadata)
    for trial, name in [(plain_trial, "illustrative"), (real, "real")]:
        figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
        ax.set_xlabel("three\nlines of\nlabel")
        open_page(trial, name, tmp_path).show_figure(figure, "it", caption="c")
    with_footer = read_rows(tmp_path / "figures" / "illustrative" / "it.png")
    without = read_rows(tmp_path / "figures" / "real" / "it.png")
    assert len(with_footer) > len(without)
    drawn = np.flatnonzero(with_footer < 0.9)
    last_of_figure = np.flatnonzero(without < 0.9)[-1]
    gap = np.diff(drawn)[drawn[:-1] == last_of_figure]
    assert gap.size == 1
    assert gap[0] > 5  # blank rows between the axis label and the footer


@pytest.mark.usefixtures("shown")
def test_the_same_figure_is_the_same_file(page):
    written = []
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([1, 2], label="x")
        page.show_figure(figure, "again", caption="c")
        written.append((page.out_dir / "figures" / "sample" / "again.svg").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("name", ["", "Upper", "with space", "../up", "a/b", "_first", "dot.csv"])
def test_names_that_cannot_be_files_are_refused(page, name):
    with pytest.raises(ValueError, match="cannot name"):
        page.show_table(None, name)
    with pytest.raises(ValueError, match="cannot name"):
        page.show_figure(None, name, caption="")


def test_finish_writes_strict_json(page, shown):
    page.record(
        p=np.nan, n=np.int64(3), yes=np.bool_(True), share=np.float64(0.5), when=np.datetime64("2015-02-03")
    )
    page.record(nested={"a": [1, np.inf]}, series=pd.Series([1, 2]))
    page.finish()
    results = read_results(page)
    assert results["values"] == {
        "p": "NE",
        "n": 3,
        "yes": True,
        "share": 0.5,
        "when": "2015-02-03",
        "nested": {"a": [1, "NE"]},
        "series": [1, 2],
    }
    assert results["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert results["versions"]["pandas"] == pd.__version__
    assert f"pandas {pd.__version__}" in shown[0][0]


def test_without_a_folder_nothing_is_written(plain_trial, tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    page = open_page(plain_trial, "sample")
    page.show_table(GT(pd.DataFrame({"a": [1]})), "t", data=pd.DataFrame({"a": [1]}))
    page.show_figure(plt.subplots()[0], "f", caption="c")
    page.finish()
    assert len(shown) == 4  # a figure is an image and its caption
    assert list(tmp_path.iterdir()) == []


def test_run_names_the_page_after_the_file(plain_trial, monkeypatch):
    monkeypatch.setenv("NKHCC_NOTEBOOK", "a_copy")
    assert open_page(plain_trial, "sample").notebook == "a_copy"


def test_page_prints_text_outside_of_a_notebook():
    script = (
        "from types import SimpleNamespace as N\n"
        "from nkhcc_helpers.report import open_page\n"
        "trial = N(is_illustrative=True, metadata=N(treatment_word='patch'))\n"
        "open_page(trial, 'x').say('<b>{a}</b> is {b:.2f}', a='A & B', b=1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "A & B is 1.00\n"


def test_progress_is_one_line_on_the_page_and_many_in_the_log(tmp_path, caplog):
    watched = "for n_done in (0, 10, 40): page.show_progress(n_done, 40, 120 - 3 * n_done)\npage.say('Done.')"
    opened = PAGED.partition("page.show_banner()")[0]
    write_notebook(tmp_path / "watched.ipynb", code(opened), code(watched))
    with caplog.at_level("INFO", logger="papermill"):
        executed = papermill.execute_notebook(
            tmp_path / "watched.ipynb", None, log_output=True, progress_bar=False
        )
    said = [output["data"]["text/plain"] for output in executed.cells[-1].outputs]
    assert said == ["Done."]
    lines = [line for line in caplog.messages if line.startswith("Done in")]
    assert lines == [f"Done in this run: {n} of 40 cohorts; about 2 minutes to go" for n in (0, 10)]
