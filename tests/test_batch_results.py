"""Values and headlines of a batch as tables, and two runs side by side."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from batch_folders import DEFAULTS, make_batch, make_headline, make_run, write_run

from nkhcc_helpers.run.batch.results import (
    compare_reports,
    describe_comparison,
    list_headlines,
    list_values,
    read_found,
    write_results,
)

VALUES = {
    "p_trend": 0.04,
    "median": "NE",
    "n": 18,
    "agrees": True,
    "latest": "2017-03-29",
    "origin": None,
    "with_event": ["=1+1", "2 of 5"],
    "by_group": {"A": {"n": 3}, "B-1": [1.5]},
}


@pytest.fixture
def made(tmp_path):
    """A batch of four runs: two that finished, one that failed, one not executed."""
    runs = [make_run(tmp_path, "a"), make_run(tmp_path, "b", endpoint="OS")]
    runs += [make_run(tmp_path, "c", conf_type="plain"), make_run(tmp_path, "d", conf_type="log-log")]
    batch = make_batch(tmp_path, *runs)
    headlines = {
        "hr": make_headline(0.5, 0.1, "NE", null=1, kind="ratio"),
        "p": make_headline(0.03, level=0.05, error=0.001),
    }
    write_run(batch, runs[0], values=VALUES, headlines=headlines)
    write_run(batch, runs[1], values={"p_trend": 0.3})
    write_run(batch, runs[2], error="cell 3: ValueError: no", values=VALUES)
    return SimpleNamespace(batch=batch, folder=batch.out_dir, runs=runs)


def test_values_are_a_row_each_with_what_varied(made):
    table = list_values(made.batch, read_found(made.batch, made.folder))
    about = ["run", "notebook", "trial", "endpoint", "conf_type", "state"]
    assert list(table) == [*about, "name", "of", "number", "text"]
    assert table[about].drop_duplicates().to_numpy().tolist() == [
        ["a", "one", "nkhcc", "PFS", "bpcp", "finished"],
        ["b", "one", "nkhcc", "OS", "bpcp", "finished"],
        ["c", "one", "nkhcc", "PFS", "plain", "failed"],
        ["d", "one", "nkhcc", "PFS", "log-log", "not executed"],
    ]
    found = table[table["run"] == "a"].set_index(["name", "of"])
    numbers = found["number"].dropna().to_dict()
    assert numbers == {
        ("p_trend", ""): 0.04,
        ("n", ""): 18.0,
        ("by_group", "A.n"): 3.0,
        ("by_group", "B-1.1"): 1.5,
        ("headline.hr", "value"): 0.5,
        ("headline.hr", "ci_lower"): 0.1,
        ("headline.p", "value"): 0.03,
    }
    texts = found["text"][found["text"] != ""].to_dict()
    assert texts == {
        ("median", ""): "NE",
        ("agrees", ""): "true",
        ("latest", ""): "2017-03-29",
        ("with_event", "1"): "=1+1",
        ("with_event", "2"): "2 of 5",
        ("headline.hr", "ci_upper"): "NE",
    }


def test_each_column_is_described(made):
    described = (Path(__file__).parent.parent / "plans" / "README.md").read_text(encoding="utf-8")
    columns = set(list_values(made.batch, read_found(made.batch, made.folder))) - set(made.batch.varied)
    rows = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    assert columns <= {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_a_run_without_values_has_one_row(made):
    write_run(made.batch, made.runs[1])
    table = list_values(made.batch, read_found(made.batch, made.folder))
    rows = table[table["run"] != "a"]
    assert rows["state"].tolist() == ["finished", "failed", "not executed"]
    assert rows[["name", "of", "text"]].eq("").all(axis=None)
    assert rows["number"].isna().all()


def test_headlines_are_numbers_or_nan(made):
    table = list_headlines(made.batch, read_found(made.batch, made.folder))
    fields = ["name", "label", "value", "ci_lower", "ci_upper", "null", "level", "error"]
    fields += ["unit", "kind", "has_direction"]
    assert list(table)[-len(fields) :] == fields
    assert list(table)[:4] == ["run", "notebook", "trial", "is_default"]
    ratio, p = table.to_dict("records")
    assert (ratio["value"], ratio["ci_lower"], ratio["null"], ratio["kind"]) == (0.5, 0.1, 1.0, "ratio")
    assert math.isnan(ratio["ci_upper"])
    assert math.isnan(ratio["level"])
    assert (p["value"], p["level"], p["error"], p["kind"]) == (0.03, 0.05, 0.001, "p")
    assert math.isnan(p["null"])


def test_a_batch_without_results_has_tables_without_values(tmp_path):
    batch = make_batch(tmp_path, make_run(tmp_path, "a"))
    assert list_headlines(batch, read_found(batch, batch.out_dir))["value"].dtype == float
    write_results(batch, batch.out_dir, read_found(batch, batch.out_dir))
    table = pd.read_parquet(batch.out_dir / "results.parquet")
    assert table["state"].tolist() == ["not executed"]
    assert table["number"].dtype == float


def assert_has_nothing(made):
    table = list_values(made.batch, read_found(made.batch, made.folder))
    assert table.loc[table["run"] == "a", ["state", "name"]].to_numpy().tolist() == [["not executed", ""]]


def test_what_a_run_found_with_other_inputs_is_not_taken(made):
    path = made.folder / "runs" / "a" / "manifest.json"
    path.write_text(path.read_text().replace("print of a", "print of what it was"))
    assert_has_nothing(made)


@pytest.mark.parametrize("text", ["", "{", "not json"])
def test_results_that_cannot_be_read_have_no_rows(made, text):
    (made.folder / "runs" / "a" / "results.json").write_text(text)
    assert_has_nothing(made)


@pytest.mark.parametrize("name", ["number", "level", "state"])
def test_a_parameter_may_have_the_name_of_a_column(tmp_path, monkeypatch, name):
    monkeypatch.setitem(DEFAULTS, name, "x")
    run = make_run(tmp_path, "a", **{name: "mine"})
    batch = make_batch(tmp_path, run, varied=[name])
    write_run(batch, run, values={"n": 3}, headlines={"p": make_headline(0.03, level=0.05)})
    finished = read_found(batch, batch.out_dir)
    values, headlines = list_values(batch, finished), list_headlines(batch, finished)
    assert values.columns.is_unique
    assert headlines.columns.is_unique
    assert values["number"].iloc[0] == 3.0
    assert headlines["level"].tolist() == [0.05]


def test_written_tables_hold_the_same_and_no_formulas(made):
    write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    table = list_values(made.batch, read_found(made.batch, made.folder))
    pd.testing.assert_frame_equal(
        pd.read_parquet(made.folder / "results.parquet").astype(table.dtypes), table
    )
    written = pd.read_csv(made.folder / "results.csv", keep_default_na=False, dtype=str)
    assert list(written) == list(table)
    assert "'=1+1" in set(written["text"])
    assert "=1+1" not in set(written["text"])
    assert sorted(path.name for path in made.folder.iterdir()) == ["results.csv", "results.parquet", "runs"]


def test_the_same_results_are_written_as_the_same_bytes(made):
    files = [made.folder / "results.csv", made.folder / "results.parquet"]
    write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    first = [file.read_bytes() for file in files]
    manifest = made.folder / "runs" / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seconds": 1.5', '"seconds": 99.5'))
    write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    assert [file.read_bytes() for file in files] == first


def test_what_a_failed_run_says_is_in_no_table(made):
    files = [made.folder / "results.csv", made.folder / "results.parquet"]
    write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    first = [file.read_bytes() for file in files]
    write_run(made.batch, made.runs[2], error="needed 1,234 MB of memory")
    write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    assert [file.read_bytes() for file in files] == first


def test_a_table_that_cannot_be_written_leaves_the_earlier_ones(made, monkeypatch):
    write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    first = {path.name: path.read_bytes() for path in made.folder.glob("results.*")}
    write_run(made.batch, made.runs[1], values={"p_trend": 0.9})

    def fail(self, path, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="No space"):
        write_results(made.batch, made.folder, read_found(made.batch, made.folder))
    assert {path.name: path.read_bytes() for path in made.folder.iterdir() if path.is_file()} == first


def write_report(folder, values, *, tables=None, notebook="one", **manifest):
    folder.mkdir(exist_ok=True)
    results = {"values": values, "tables": tables or {}, "figures": {}}
    (folder / "results.json").write_text(json.dumps({"notebooks": {notebook: results}}))
    if manifest:
        (folder / "manifest.json").write_text(json.dumps({"nkhcc": "0.1.0", **manifest}))
    return folder


def compare(tmp_path, one, other, tolerance=1e-6, **options):
    a, b = write_report(tmp_path / "a", one, **options), write_report(tmp_path / "b", other)
    return compare_reports(a, b, tolerance)


def test_what_differs_is_first_and_the_furthest_apart_of_it(tmp_path):
    one = {"same": 1, "text": "x", "near": 1.0, "small": 0.1, "large": 100.0, "lost": 2.5, "mine": 0}
    other = one | {"text": "y", "near": 1.0 + 1e-9, "small": 0.2, "large": 150.0, "lost": "NE", "yours": 7}
    del other["mine"]
    table = compare(tmp_path, one, other)
    assert list(table) == ["notebook", "name", "of", "a", "b", "differs"]
    assert table["name"].tolist() == ["lost", "large", "small", "text", "mine", "yours", "near", "same"]
    assert table["differs"].tolist() == [True] * 6 + [False] * 2
    assert table.loc[table["name"] == "mine", ["a", "b"]].to_numpy().tolist() == [[0.0, None]]


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("NE", "NE", False),
        (None, None, False),
        (None, "NE", True),
        (True, 1, True),
        (0.0, 9e-7, False),
        (0.0, 1.1e-6, True),
        (1e9, 1e9 + 900, False),
        (1e9, 1e9 + 1100, True),
        ([1, 2], [1, 2, 3], True),
        ({"a": {"b": 1}}, {"a.b": 1}, True),
    ],
)
def test_numbers_differ_beyond_the_tolerance_and_all_else_when_it_is_other(tmp_path, one, other, differs):
    assert compare(tmp_path, {"x": one}, {"x": other})["differs"].any() == differs


def test_without_a_tolerance_any_change_counts(tmp_path):
    assert compare(tmp_path, {"x": 0.1 + 0.2}, {"x": 0.3}, tolerance=0)["differs"].all()


def test_headlines_and_cells_of_tables_are_compared(made, tmp_path):
    runs = made.folder / "runs"
    table = compare_reports(runs / "a", runs / "b", 1e-6)
    assert {"headline.hr", "headline.p"} <= set(table["name"])
    rows = {"medians": {"files": [], "rows": [{"group": "A", "median": 4.8}]}}
    table = compare(tmp_path, {}, {}, tables=rows)
    assert table[["name", "of", "a"]].to_numpy().tolist() == [
        ["table.medians", "[A].group", "A"],
        ["table.medians", "[A].median", 4.8],
    ]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([{"group": "A", "n": 3}, {"group": "B", "n": 3}], ["[A]", "[B]"]),
        ([{"group": "A", "time": 6.0}, {"group": "A", "time": 12.0}], ["[A, 6]", "[A, 12]"]),
        ([{"group": "A", "time": 6}, {"group": "A", "time": 12}], ["[A, 6]", "[A, 12]"]),
        ([{"time": 0.5, "group": "A"}, {"time": 1.0, "group": "B"}], ["1", "2"]),
        ([{"group": "A", "hr": 0.5}, {"group": "A", "hr": 0.6}], ["1", "2"]),
        ([{"group": "A"}, {"group": "A"}], ["1", "2"]),
        ([{"latest": None}], ["1"]),
        ([], []),
    ],
)
def test_rows_of_tables_are_named_by_what_tells_them_apart(tmp_path, rows, names):
    table = compare(tmp_path, {"x": 1}, {}, tables={"t": {"files": [], "rows": rows}})
    found = table.loc[table["name"] == "table.t", "of"].str.rsplit(".", n=1).str[0]
    assert list(dict.fromkeys(found)) == names


def test_a_row_that_one_side_lacks_leaves_the_others_in_their_pairs(tmp_path):
    rows = [{"group": name, "n": n} for name, n in (("A", 3), ("B", 5), ("C", 6))]
    sides = [
        write_report(tmp_path / side, {}, tables={"t": {"files": [], "rows": own}})
        for side, own in (("a", rows), ("b", rows[1:]))
    ]
    table = compare_reports(*sides, 0)
    assert table.loc[table["differs"], "of"].tolist() == ["[A].group", "[A].n"]


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_folder_without_results_is_named(tmp_path, text):
    a, b = write_report(tmp_path / "a", {}), tmp_path / "b"
    b.mkdir()
    if text is not None:
        (b / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"b: no results\.json of .* of a batch, is there$"):
        compare_reports(a, b, 0)


def test_of_a_batch_a_run_is_to_be_named(made):
    with pytest.raises(ValueError, match=r"batch: no results\.json.*; of this batch name a run, such as "):
        compare_reports(made.folder, made.folder / "runs" / "a", 0)


@pytest.mark.parametrize("pair", [("c", "c"), ("a", "c"), ("c", "a")])
def test_a_run_that_failed_is_not_compared(made, pair):
    with pytest.raises(ValueError, match=r"runs/c: one has not finished.*cell 3: ValueError: no"):
        compare_reports(*[made.folder / "runs" / name for name in pair], 0)


def test_a_report_with_a_notebook_that_was_not_executed_is_not_compared(tmp_path):
    a = write_report(tmp_path / "a", {"x": 1}, notebooks={"one": {"status": "not executed"}})
    with pytest.raises(ValueError, match=r"a: one has not finished.*\(not executed\)"):
        compare_reports(a, a, 0)


def test_where_neither_holds_a_value_nothing_is_called_the_same(tmp_path):
    with pytest.raises(ValueError, match="neither holds a value"):
        compare(tmp_path, {}, {})


def describe(a, b, tolerance=1e-6, **options):
    return describe_comparison(compare_reports(a, b, tolerance), a, b, tolerance, **options)


def test_the_description_shows_what_differs_and_counts(tmp_path):
    made_with = {"notebooks": {"one": {"parameters": {"conf_type": "bpcp", "n": 3}}}, "code": "c1"}
    other_with = {"notebooks": {"one": {"parameters": {"conf_type": "plain", "n": 3}}}, "code": "c1"}
    a = write_report(tmp_path / "a", {"same": 1, "p": 0.25}, versions={"numpy": "2.0"}, **made_with)
    b = write_report(tmp_path / "b", {"same": 1, "p": 0.5}, versions={"numpy": "2.1"}, **other_with)
    lines = describe(a, b).splitlines()
    cells = [line.split() for line in lines]
    assert ["*", "one", "conf_type", "bpcp", "plain"] in cells
    assert ["*", "version", "of", "numpy", "2.0", "2.1"] in cells
    assert ["*", "one", "p", "0.25", "0.5"] in cells
    assert not any("same" in line or "code" in line for line in lines)
    assert lines[-1].startswith("1 of 2 values differ (*): by more than 1e-06 x")
    (of_a, of_b) = (line.index(text) for line, text in ((lines[-3], " a "), (lines[-2], " 0.25")))
    assert of_a == of_b
    assert ["one", "same", "1", "1"] in [line.split() for line in describe(a, b, every=True).splitlines()]


def test_the_description_of_runs_that_are_alike_is_short(tmp_path):
    a, b = write_report(tmp_path / "a", {"p": 0.25}), write_report(tmp_path / "b", {"p": 0.25})
    assert describe(a, b).splitlines()[2:] == [describe(a, b).splitlines()[-1]]
    assert "0 of 1 values differ (*)" in describe(a, b)


def test_text_of_data_cannot_steer_the_terminal(tmp_path):
    a = write_report(tmp_path / "a\x1b[2J", {"x\x1b[31m": "one\nline\x07"})
    b = write_report(tmp_path / "b", {"x\x1b[31m": "‮other"})
    text = describe(a, b)
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert "one\\nline\\x07" in text
