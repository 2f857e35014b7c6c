"""The page of a batch, read as HTML: what it shows, what its script reads, and that data are inert."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest
from batch_folders import PROVENANCE, make_batch, make_headline, make_run, write_run

from nkhcc_helpers.report.numbers import format_headline
from nkhcc_helpers.run.batch.ledger import Record
from nkhcc_helpers.run.batch.pages import write_pages

IMAGE = "<img src=x onerror=alert(1)>"
VOID = {"meta", "input", "br", "img", "wbr"}


class Tree(HTMLParser):
    """Elements of a page in its order, each with its attributes, text and the elements it stands in."""

    def __init__(self, page):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        element = SimpleNamespace(tag=tag, attrs=dict(attrs), text="", above=list(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop().tag == tag

    def handle_data(self, data):
        for element in self._open:
            element.text += data

    def find(self, tag, within=None):
        return [each for each in self.elements if each.tag == tag and (not within or within in each.above)]


def write(batch, *records):
    write_pages(batch, batch.out_dir, {record.run: record for record in records})
    return (batch.out_dir / "batch.html").read_text(encoding="utf-8")


def read_tables(page):
    """Header texts, and texts of the cells of each row, of each table."""
    tree = Tree(page)
    found = []
    for table in tree.find("table"):
        headers, *rows = [
            [cell for cell in tree.elements if row in cell.above and cell.tag in ("th", "td")]
            for row in tree.find("tr", table)
        ]
        found.append(SimpleNamespace(headers=headers, rows=rows, marks=tree.find("tr", table)[1:]))
    return found


def list_texts(cells):
    return [cell.text.strip() for cell in cells]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of two notebooks with runs in each state."""
    folder = tmp_path_factory.mktemp("pages")
    runs = [
        make_run(folder, "first"),
        make_run(folder, "second", endpoint="OS", n_draws=20),
        make_run(folder, "third", conf_type="plain", n_draws=3),
        make_run(folder, "fourth", conf_type="log-log"),
        make_run(folder, "other", notebook="two"),
    ]
    batch = make_batch(folder, *runs, varied=("endpoint", "conf_type", "n_draws"))
    headlines = {
        "p": make_headline(0.00001, label="Trend, P", level=0.05),
        "hr": make_headline(0.5, 0.045, label="Ratio of hazards", null=1, kind="ratio"),
        "median": make_headline(4.8, 1.25, 12, label="Median", unit="months"),
    }
    kept = ["one.html", "notebooks/one.ipynb", "tables/one/a.csv"]
    records = [write_run(batch, runs[0], headlines=headlines, files=kept)]
    lost = {"p": make_headline("NE", label="Trend, P", level=0.05)}
    records.append(write_run(batch, runs[1], headlines=lost, files=["notebooks/one.ipynb.gz"]))
    records.append(write_run(batch, runs[2], error="cell 3: ValueError: no", files=["traceback.txt"]))
    records.append(replace(write_run(batch, runs[4]), attempts=2))
    page = write(batch, *records)
    return SimpleNamespace(page=page, tables=read_tables(page), tree=Tree(page), batch=batch)


def test_each_notebook_has_a_table_of_what_varied_in_it_and_of_its_headlines(made):
    one, two = made.tables
    assert list_texts(one.headers) == [
        *("Run", "State", "Seconds", "endpoint", "conf_type", "n_draws"),
        *("Trend, P", "Ratio of hazards", "Median (months)", "Kept"),
    ]
    assert list_texts(two.headers) == ["Run", "State", "Seconds", "Headlines", "Kept"]
    assert [each.text for each in made.tree.find("h2")] == ["About one", "About two", "How it was made"]


def test_a_row_tells_of_its_run_in_the_order_of_the_plan(made):
    one, two = made.tables
    assert [list_texts(row) for row in one.rows] == [
        [
            *("first (default)", "finished", "1.5", "PFS", "bpcp", "1000"),
            *("<0.0001", "0.50 (0.045 to NE)", "4.80 (1.25 to 12.00)", "Page, Notebook, Tables"),
        ],
        ["second", "finished", "1.5", "OS", "bpcp", "20", "NE", "-", "-", "Notebook (gzip)"],
        ["third", "failed", "1.5", "PFS", "plain", "3", "cell 3: ValueError: no", "Traceback"],
        ["fourth", "not executed", "", "PFS", "log-log", "1000", "", ""],
    ]
    assert list_texts(two.rows[0]) == [
        *("other (default)", "finished", "1.5, attempt 2", "none recorded", ""),
    ]


def test_cells_line_up_with_their_headers(made):
    for table in made.tables:
        for row in table.rows:
            assert sum(int(cell.attrs.get("colspan", 1)) for cell in row) == len(table.headers)


def test_the_script_finds_states_kinds_and_numbers(made):
    one, _ = made.tables
    states = [row.attrs["data-state"] for row in one.marks]
    assert states == ["finished", "finished", "failed", "not executed"]
    options = [each.text for each in made.tree.find("option")]
    assert set(states) <= set(options)
    kinds = [header.attrs.get("data-kind", "text") for header in one.headers]
    assert kinds == ["text", "text", "number", "text", "text", *["number"] * 4, "none"]
    first, second = one.rows[:2]
    assert [float(cell.attrs["data-value"]) for cell in first[6:9]] == [0.00001, 0.5, 4.8]
    assert not any("data-value" in cell.attrs for cell in second)  # NE and none are no numbers


def test_the_page_counts_its_runs(made):
    assert "Runs: 5. Finished: 3; failed: 1; not executed yet: 1." in made.page


def test_links_lead_to_what_was_kept(made):
    folder = made.batch.out_dir
    links = [each.attrs["href"] for each in made.tree.find("a")]
    assert links[:3] == ["comparison.html", "results.csv", "results.parquet"]
    assert "runs/first/one.html" in links
    assert all((folder / link).exists() for link in links)
    assert not any(link.startswith("runs/fourth") for link in links)


def test_the_only_script_is_the_one_that_the_policy_names(made):
    (script,) = made.tree.find("script")
    policy = made.tree.find("meta")[2].attrs["content"]
    checksum = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{checksum}'"
    assert not script.attrs
    assert not any(name.startswith("on") for each in made.tree.elements for name in each.attrs)
    assert not re.search(r"@import|url\(|innerHTML|insertAdjacent|\beval\b", made.page)


def test_what_the_script_needs_is_there(made):
    ids = {each.attrs["id"] for each in made.tree.elements if "id" in each.attrs}
    script = made.tree.find("script")[0].text
    assert set(re.findall(r'getElementById\("(\w+)"\)', script)) <= ids
    first = int(re.search(r"const FIRST = (\d+)", script)[1])
    assert f".opening .runs tbody tr:nth-child(n+{first + 1})" in made.page
    (controls,) = [each for each in made.tree.elements if each.attrs.get("class") == "controls"]
    assert "hidden" in controls.attrs  # without a script they would do nothing
    status = next(each for each in made.tree.elements if each.attrs.get("id") == "shown")
    assert status.attrs["aria-live"] == "polite"
    for region in [each for each in made.tree.elements if each.attrs.get("role") == "region"]:
        assert region.attrs["tabindex"] == "0"
        assert region.attrs["aria-labelledby"] in ids


def test_text_from_data_is_inert(tmp_path):
    runs = [make_run(tmp_path, IMAGE.replace("/", ""), trial=f"t{IMAGE}", conf_type=IMAGE)]
    runs += [make_run(tmp_path, '"><script>x', trial="t", endpoint="'\"><b onclick=x>")]
    batch = make_batch(tmp_path, *runs, title=f"</title><script>alert(2)</script>{IMAGE}")
    told = PROVENANCE | {"title": IMAGE, "study_id": f"</li>{IMAGE}"}
    headlines = {IMAGE: make_headline(1, label=f"</th>{IMAGE}", unit=IMAGE)}
    kept = ["one.html", "notebooks/one.ipynb"]
    finished = write_run(batch, runs[0], provenance=told, headlines=headlines, files=kept)
    page = write(batch, finished, write_run(batch, runs[1], error=f"cell 1: {IMAGE}</td></table>"))
    tree = Tree(page)
    assert not tree.find("img")
    assert not tree.find("b", tree.find("table")[0])
    assert len(tree.find("script")) == 1
    (table,) = read_tables(page)
    assert table.rows[0][0].text == runs[0].name
    assert table.rows[1][-2].text == f"cell 1: {IMAGE}</td></table>"
    assert {f"</th>{IMAGE} ({IMAGE})", "trial"} <= set(list_texts(table.headers))
    href = table_links(tree)[0]
    assert not re.search(r"[<>\"' ]", href)


def table_links(tree):
    return [each.attrs["href"] for each in tree.find("a", tree.find("table")[0])]


@pytest.mark.parametrize(
    ("provenances", "said"),
    [(["illustrative"], True), (["real"], False), (["illustrative", "real"], False)],
)
def test_the_banner_says_of_which_trials_the_data_are_illustrative(tmp_path, provenances, said):
    runs = [make_run(tmp_path, f"r{kind}", trial=f"of {kind}") for kind in provenances]
    batch = make_batch(tmp_path, *runs, make_run(tmp_path, "last", trial="unknown"))
    told = [PROVENANCE | {"provenance": kind} for kind in provenances]
    records = [write_run(batch, run, provenance=each) for run, each in zip(runs, told, strict=True)]
    tree = Tree(write(batch, *records))
    (banner,) = [each for each in tree.elements if each.attrs.get("class", "").startswith("banner")]
    lines = {line.text.split(":")[0]: line.text for line in tree.find("li", banner)}
    for kind in provenances:
        assert ("Illustrative" in lines[f"of {kind}"]) == (kind == "illustrative")
    assert lines["unknown"] == "unknown: no run has finished"
    assert banner.attrs["class"] == ("banner " if "illustrative" in provenances else "banner real")
    assert ("Nothing in this batch was observed in a patient" in banner.text) == said


def test_a_headline_whose_label_varies_stands_under_its_first(tmp_path):
    runs = [make_run(tmp_path, "a"), make_run(tmp_path, "b", endpoint="OS")]
    batch = make_batch(tmp_path, *runs)
    records = [
        write_run(batch, run, headlines={"p_trend": make_headline(0.5, label=f"P, {run.name}", level=0.05)})
        for run in runs
    ]
    assert "P, a and 1 like it" in list_texts(read_tables(write(batch, *records))[0].headers)


def test_runs_of_an_earlier_plan_are_named_and_kept_out_of_tables(tmp_path):
    runs = [make_run(tmp_path, name) for name in ("a", "b", "c")]
    for run in runs:
        write_run(make_batch(tmp_path, *runs), run, values={"x": 1})
    (tmp_path / "batch" / "runs" / IMAGE.replace("/", "")).mkdir()
    batch = make_batch(tmp_path, runs[0])
    page = write(batch, Record("a", runs[0].fingerprint, "ok", 1.0))
    tree = Tree(page)
    (folded,) = [each for each in tree.find("details") if "from an earlier plan" in each.text]
    assert folded.text.startswith("Also here, from an earlier plan and in no table: 3")
    links = tree.find("a", folded)
    assert [each.text for each in links] == [IMAGE.replace("/", ""), "b", "c"]
    assert links[1].attrs["href"] == "runs/b"
    assert not tree.find("img")
    assert list_texts(row[0] for row in read_tables(page)[0].rows) == ["a (default)"]
    assert set(pd.read_csv(batch.out_dir / "results.csv")["run"]) == {"a"}
    runs.append(make_run(tmp_path, IMAGE.replace("/", "")))
    assert "earlier plan" not in write(make_batch(tmp_path, *runs))


def test_headers_break_behind_underscores(made):
    header = next(each for each in made.tree.find("th") if each.text == "conf_type")
    assert [each.tag for each in made.tree.elements if header in each.above] == ["wbr"]


def test_a_value_that_is_empty_is_said_to_be(tmp_path):
    batch = make_batch(tmp_path, make_run(tmp_path, "a", endpoint=""), make_run(tmp_path, "b"))
    (table,) = read_tables(write(batch))
    assert table.rows[0][3].text == "empty"


def test_only_what_is_not_of_this_moment_is_written_twice_alike(made, tmp_path):
    page = re.sub(r"This page was written [^.]*\.", "", made.page)
    assert not re.search(r"\d{4}-\d\d-\d\d", page)
    assert str(made.batch.out_dir) not in page


@pytest.mark.parametrize(
    ("value", "lower", "upper", "kind", "text"),
    [
        (0.04031, "", "", "p", "0.0403"),
        (0.0, "", "", "p", "<0.0001"),
        ("", "", "", "p", "NE"),
        (0.5, 0.045, "", "ratio", "0.50 (0.045 to NE)"),
        (0.5, "", "", "ratio", "0.50 (NE)"),
        ("", "", "", "ratio", "NE"),
        (4.8, "", "", "time", "4.8 (NE)"),
        (4.8, "", 9.04, "time", "4.8 (NE to 9.0)"),
        ("", 7.5, "", "time", "NE (7.5 to NE)"),
        (66.7, 9.43, 99.2, "percent", "67 (9 to 99)"),
        (0.2, 0, 12, "percent", "<1 (0 to 12)"),
        (4.8, 1.25, 9, "", "4.80 (1.25 to 9.00)"),
        (-0.0312, -0.2, 0.1, "", "-0.0312 (-0.2000 to 0.1000)"),
        (108.25, "", "", "", "108"),
        (0, "", "", "", "0.00"),
        ("", "", "", "", "NE"),
        ("", 1, "", "", "NE (1.00 to NE)"),
    ],
)
def test_a_headline_is_written_as_its_kind_asks(value, lower, upper, kind, text):
    numbers = [float(each) if each != "" else float("nan") for each in (value, lower, upper)]
    assert format_headline(kind or "number", numbers[0], tuple(numbers[1:])) == text
