"""The box at the top of a page: its sentences, its figure, and where it is filled."""

import json

import nbformat
import numpy as np
import papermill
import pytest
from executing import execute_here
from small_notebooks import code, write_notebook

from nkhcc_helpers.report.page import open_page

BAD = "<img src=x onerror=alert(1)> $x$"
OPENED = """import matplotlib.pyplot as plt

from nkhcc_helpers.report import open_page
from nkhcc_helpers.trial import load_trial

trial = load_trial(data_dir)
page = open_page(trial, "sample", out_dir)
page.show_banner()"""
SHOWN = 'page.show_figure(plt.subplots()[1], "curve", caption="A curve <here>.", main=True)'
FOUND = f"""page.find("Median {{median:.1f}} in {{group}}.", median=4.8125, group="{BAD}")
page.caution("The dose is not the cause.")
page.finish()"""


@pytest.fixture
def page(plain_trial):
    return open_page(plain_trial, "sample")


def test_sentences_are_kept_in_order_and_their_values_recorded(page, capsys):
    page.find("{n: patient|patients}.", n=18)
    page.find("P {p:p} of <b>{group}</b>.", p=0.04031, group=BAD)
    page.caution("Not the cause.")
    assert capsys.readouterr().out == ""
    assert page.results["findings"] == ["18 patients.", f"P 0.0403 of {BAD}."]
    assert page.results["cautions"] == ["Not the cause."]
    assert page.results["values"] == {"n": 18, "p": 0.04031, "group": BAD}


def test_what_a_cell_says_again_takes_the_place_of_what_it_said(page):
    for p in (0.04, 0.2):
        page.find("P {p:p}.", p=p, otherwise="")
        page.find("In {of_group}.", of="A", of_group="A")
        page.find("In {of_group}.", of="B", of_group="B")
    assert page.results["findings"] == ["P 0.2000.", "In A.", "In B."]
    page.find("P {p:p}.", p=np.nan, otherwise="")
    assert page.results["findings"] == ["In A.", "In B."]


def test_nothing_found_leaves_no_box(page, capsys):
    page.caution("Not the cause.")
    page.finish()
    assert "Not the cause" not in capsys.readouterr().out


def test_without_a_notebook_the_box_is_printed_at_the_end(page, capsys):
    page.show_banner()
    page.find("Found.")
    page.caution("Not the cause.")
    page.finish()
    told = capsys.readouterr().out
    assert "What this page finds:\n- Found.\nWhat may not be concluded:\n- Not the cause.\nMade with" in told


def check_box(markup):
    assert "Median 4.8 in &lt;img src=x onerror=alert(1)&gt; $x$." in markup
    assert "mathjax_ignore" in markup
    assert markup.index("Median") < markup.index("not the cause") < markup.index('<a href="#figure-curve"')
    assert 'alt="A curve &lt;here&gt;."' in markup


def test_in_a_notebook_the_output_under_the_banner_is_filled(tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    path = write_notebook(tmp_path / "sample.ipynb", code(OPENED), code(SHOWN), code(FOUND))
    filled = tmp_path / "filled.ipynb"
    papermill.execute_notebook(path, filled, {"out_dir": str(tmp_path)}, progress_bar=False)
    cells = nbformat.read(str(filled), 4).cells[-3:]
    under_banner = cells[0].outputs[-1]
    check_box(under_banner.data["text/html"])
    assert under_banner.data["text/plain"].startswith("What this page finds:\n- Median 4.8")
    assert [len(cell.outputs) for cell in cells] == [2, 2, 1]
    assert 'id="figure-curve"' in cells[1].outputs[1].data["text/html"]
    results = json.loads((tmp_path / "results" / "sample.json").read_text("utf-8"))
    assert results["findings"] == [f"Median 4.8 in {BAD}."]
    assert results["cautions"] == ["The dose is not the cause."]


def test_the_box_is_an_update_of_what_the_banner_left(tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    path = write_notebook(tmp_path / "sample.ipynb", code(OPENED), code(SHOWN), code(FOUND))
    shown = execute_here(path, out_dir=str(tmp_path)).html
    assert shown[1] == ""
    check_box(shown[-2])
