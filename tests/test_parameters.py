import math
import re

import nbformat
import pytest
from executing import execute_here
from small_notebooks import PARAMETERS, check_parameters_cell, code, write_notebook

from nkhcc_helpers.run.parameters import (
    Parameter,
    ParameterError,
    check_parameters,
    find_problem,
    format_parameters,
    read_parameters,
    read_values,
)
from nkhcc_helpers.run.plan import list_notebooks, plan_run


@pytest.fixture
def known(tmp_path):
    return read_parameters(write_notebook(tmp_path / "sample.ipynb"))


def read_cell(tmp_path, source):
    return read_parameters(write_notebook(tmp_path / "sample.ipynb", parameters=source))


def test_parameters_are_read_with_type_default_and_help(known):
    names = ["endpoint", "landmarks", "n_draws", "conf_level", "show_all", "data_dir", "out_dir"]
    assert list(known) == names
    assert known["endpoint"] == Parameter("endpoint", "str", "PFS", "endpoint to analyse (PARAMCD)")
    assert known["landmarks"] == Parameter("landmarks", "list", [6, 12], "times, in display units")
    assert known["show_all"].default is False


def test_a_notebook_without_the_cell_has_no_parameters(tmp_path):
    path = write_notebook(tmp_path / "plain.ipynb", code("1 + 1"), parameters="")
    assert read_parameters(path) == {}
    assert check_parameters_cell(path) == ["no cell is tagged 'parameters'"]


def test_a_float_may_be_written_whole_and_text_may_hold_a_hash(tmp_path):
    known = read_cell(tmp_path, 'level: float = 1  # a level\nmark: str = "#=1"')
    assert known["level"].default == 1
    assert known["mark"] == Parameter("mark", "str", "#=1", "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1  # no annotation", "line 1 .* must be like"),
        ("import os", "must be like"),
        ("x: int = 1; y = x", "must be like"),
        ("a.b: int = 1", "must be like"),
        ("x: int = 1 + 1", "x must have a literal"),
        ("x: int", "x must have a literal"),
        ("x: int | None = None", "x must be one of str, int, float, bool, list, not int | None"),
        ("x: dict = {}", "not dict"),
        ("x: int = 1.0", "x is said to be int but is float"),
        ("x: int = True", "x is said to be int but is bool"),
        ("x: float = True", "x is said to be float but is bool"),
        ("x: list = [[1]]", "text, numbers and true or false only"),
        ("x: list = [\n1]", "one line"),
        ("x: int = 1\nx: int = 2", "x is set twice"),
        ("x: int = ", "not Python: line 1"),
    ],
)
def test_a_cell_with_anything_but_annotated_literals_is_refused(tmp_path, source, message):
    with pytest.raises(ParameterError, match=f"sample.ipynb: .*{message}"):
        read_cell(tmp_path, source)


def test_every_problem_of_a_cell_is_listed(tmp_path):
    with pytest.raises(ParameterError) as caught:
        read_cell(tmp_path, "x = 1\ny: int = 'a'")
    assert len(caught.value.problems) == 2


def test_two_tagged_cells_are_refused(tmp_path):
    path = write_notebook(tmp_path / "two.ipynb", code("x: int = 1", "parameters"))
    with pytest.raises(ParameterError, match="2 cells are tagged"):
        read_parameters(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"cells": 3}', b'{"cells": [1]}', b"\xff\xfe"])
def test_what_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "no.ipynb"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match="not a Jupyter notebook"):
        read_parameters(path)


def test_a_notebook_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="cannot be read: Is a directory"):
        read_parameters(tmp_path)


def test_a_good_cell_passes_the_house_rules(tmp_path):
    assert check_parameters_cell(write_notebook(tmp_path / "with {braces}.ipynb")) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x: int = 1", "x: no comment says what it is for"),
        ('x: str = "a#b"  # help', "x: papermill cuts"),
        ("x: int = 1  # half = 2 # help", "x: papermill does not see it as int"),
    ],
)
def test_house_rules_name_what_papermill_reads_otherwise(tmp_path, source, message):
    path = write_notebook(tmp_path / "sample.ipynb", parameters=source)
    (problem,) = check_parameters_cell(path)
    assert problem.startswith(message)


def test_house_rules_want_the_cell_first(tmp_path):
    cells = [code("import os"), code(PARAMETERS, "parameters")]
    path = write_notebook(tmp_path / "late.ipynb", *cells, parameters="")
    assert check_parameters_cell(path) == ["the cell tagged 'parameters' must be the first code cell"]


def test_values_are_read_by_the_type_of_the_parameter(known):
    given = [
        ("endpoint", "OS"),
        ("landmarks", "[3, 6.5]"),
        ("n_draws", " +50 "),
        ("conf_level", ".9"),
        ("show_all", "True"),
    ]
    values = read_values({"sample": known}, given)["sample"]
    assert list(values.values()) == ["OS", [3, 6.5], 50, 0.9, True]
    assert [type(value) for value in values.values()] == [str, list, int, float, bool]


def test_text_is_taken_as_it_is(known):
    assert read_values({"sample": known}, [("endpoint", " 1 ")]) == {"sample": {"endpoint": " 1 "}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n_draws", "1.0", "n_draws: must be a whole number, not '1.0'"),
        ("n_draws", "1_000", "whole number"),
        ("n_draws", "", "whole number"),
        ("conf_level", "notanumber", "conf_level: must be a number, not 'notanumber'"),
        ("conf_level", "nan", "must be a number"),
        ("conf_level", "1e999", "must be a number"),
        ("conf_level", "0,95", "must be a number"),
        ("show_all", "yes", "show_all: must be true or false"),
        ("landmarks", "6", r"landmarks: must be a list in brackets, such as '\[6, 12\]'"),
        ("landmarks", "[6, 12", "list in brackets"),
        ("landmarks", "[[6]]", "list in brackets"),
        ("landmarks", "[.nan]", "list in brackets"),
        ("landmarks", "[2015-02-03]", "list of numbers only"),
        ("landmarks", "[1:30]", "list of numbers only"),
        ("landmarks", "[null]", "list in brackets"),
        ("landmarks", "[" * 1200, "list in brackets"),
        ("landmarks", "[six]", "list of numbers only"),
        ("landmarks", "[true]", "list of numbers only"),
    ],
)
def test_a_text_of_another_type_is_refused(known, name, text, message):
    with pytest.raises(ParameterError, match=message):
        read_values({"sample": known}, [(name, text)])


def test_lists_of_text_and_empty_lists(tmp_path):
    known = read_cell(tmp_path, 'names: list = ["dose"]\nany: list = []\nflags: list = [True]')
    given = [("names", "[dose, infusions]"), ("any", "[1, a, true]"), ("flags", "[false]")]
    assert read_values({"sample": known}, given)["sample"] == {
        "names": ["dose", "infusions"],
        "any": [1, "a", True],
        "flags": [False],
    }
    assert read_values({"sample": known}, [("names", "[]")])["sample"] == {"names": []}
    with pytest.raises(ParameterError, match=r"text only, such as '\[dose\]'"):
        read_values({"sample": known}, [("names", "[1]")])


def test_a_misspelt_name_is_refused_with_the_nearest(known):
    with pytest.raises(ParameterError) as caught:
        read_values({"sample": known}, [("endpont", "OS")])
    assert str(caught.value) == (
        "endpont: no such parameter; did you mean 'endpoint'? "
        "known are conf_level, endpoint, landmarks, n_draws, show_all"
    )


def test_a_name_goes_to_the_notebooks_that_have_it(known):
    other = {"seed": Parameter("seed", "int", 1, "seed"), "endpoint": Parameter("endpoint", "str", "", "")}
    values = read_values({"one": known, "two": other, "none": {}}, [("seed", "7"), ("endpoint", "OS")])
    assert values == {"one": {"endpoint": "OS"}, "two": {"seed": 7, "endpoint": "OS"}, "none": {}}


def test_every_problem_is_listed_once(known):
    given = [("data_dir", "x"), ("endpoint", "OS"), ("endpoint", "PFS"), ("zzz", "1"), ("n_draws", "x")]
    with pytest.raises(ParameterError) as caught:
        read_values({"one": known, "two": {}}, given)
    names = [problem.split(":")[0] for problem in caught.value.problems]
    assert names == ["endpoint", "data_dir", "zzz", "n_draws"]
    assert "set it with --data" in str(caught.value)
    assert "given 2 times" in str(caught.value)


def test_without_any_parameter_the_error_says_so():
    with pytest.raises(ParameterError, match="the notebooks to run have none"):
        read_values({"one": {}}, [("x", "1")])


def test_parameters_are_described_for_a_terminal(known):
    described = format_parameters({"sample": known, "bare": {}}).splitlines()
    assert described[:2] == ["sample", "  endpoint (str, default 'PFS'): endpoint to analyse (PARAMCD)"]
    assert described[-2:] == ["bare", "  no parameters"]
    assert not any("data_dir" in line for line in described)


def refuse(plain_trial, **values):
    """What is said in a notebook whose parameters have these values."""
    kinds = {"show_all": bool, "landmarks": list, "n_draws": int, "conf_level": float, "endpoint": str}
    namespace = {"show_all": False, "landmarks": [6], "n_draws": 100, "conf_level": 0.95, "endpoint": "PFS"}
    namespace |= {"__annotations__": kinds | {"mine": dict}, "mine": 3, "method": "not annotated", **values}
    with pytest.raises(ParameterError) as caught:
        check_parameters(namespace, plain_trial)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("show_all", "false", "must be true or false, not the text 'false'"),
        ("landmarks", "abc", "must be a list, not the text 'abc'"),
        ("landmarks", list("abc"), "may hold numbers, not the text 'a'"),
        ("landmarks", [6, True], "may hold numbers, not True"),
        ("landmarks", [6, -1], "may hold numbers of 0 or more, not -1"),
        ("n_draws", "100", "must be a whole number, not the text '100'"),
        ("n_draws", 100.0, "must be a whole number, not 100.0"),
        ("n_draws", True, "must be a whole number, not True"),
        ("n_draws", 0, "must be 1 or more, not 0"),
        ("conf_level", 95, "must lie between 0 and 1, such as 0.95, not 95; did you mean 0.95?"),
        ("endpoint", "os", "must be PFS or OS, not 'os'; did you mean 'OS'?"),
        ("endpoint", 1, "must be text, not 1"),
    ],
)
def test_a_notebook_refuses_values_as_the_command_does(plain_trial, name, value, problem):
    assert refuse(plain_trial, **{name: value}) == [f"{name}: {problem}"]


def test_a_notebook_lists_every_problem_at_once(plain_trial):
    problems = refuse(plain_trial, n_draws="100", show_all="false", conf_level=1)
    assert [problem.split(":")[0] for problem in problems] == ["show_all", "n_draws", "conf_level"]


def test_good_values_and_names_of_another_meaning_pass(plain_trial):
    namespace = {"conf_level": 0.9, "n_draws": "few", "landmarks": [6, 12.5], "endpoint": ""}
    kinds = {"conf_level": float, "n_draws": str, "landmarks": list, "endpoint": str}
    check_parameters({"__annotations__": kinds, **namespace}, plain_trial)
    check_parameters({}, plain_trial)


@pytest.mark.parametrize("value", [0, 6, 10**18, 10**19, -(10**30)])
def test_a_grade_of_any_size_is_refused_in_words(plain_trial, value):
    namespace = {"dlt_grade": value, "__annotations__": {"dlt_grade": int}}
    with pytest.raises(ParameterError, match=f"^dlt_grade: must be 1, 2, 3, 4 or 5, not {value}$"):
        check_parameters(namespace, plain_trial)


@pytest.mark.parametrize("name", ["horizon", "axis_end", "landmarks", "alpha", "conf_level", "of_another"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_number_must_be_finite(plain_trial, name, value):
    of_list = name == "landmarks"
    namespace = {
        name: [6, value] if of_list else value,
        "__annotations__": {name: list if of_list else float},
    }
    due = "may hold finite numbers only" if of_list else "must be a finite number"
    with pytest.raises(ParameterError, match=f"^{name}: {due}, not {value}$"):
        check_parameters(namespace, plain_trial)


def test_only_a_confidence_level_is_taken_for_percent(plain_trial):
    with pytest.raises(ParameterError, match=r"^alpha: must lie .* such as 0\.05, not 95$"):
        check_parameters({"alpha": 95, "__annotations__": {"alpha": float}}, plain_trial)
    assert refuse(plain_trial, conf_level=195)[0].endswith("not 195")


@pytest.mark.parametrize(("value", "problem"), [("SEX", ""), ("AGE", "SEX or CHILDPUG"), ("sex", "'SEX'")])
def test_strata_are_a_categorical_baseline_column(plain_trial, value, problem):
    found = find_problem("str", "strata", value, lambda: plain_trial)
    assert problem in found if problem else not found


SETUP = """import math
from nkhcc_helpers.run import check_parameters
from nkhcc_helpers.trial import load_trial

trial = load_trial(data_dir)
check_parameters(globals(), trial)"""


def test_a_misspelt_name_is_refused_under_papermill_alone(tmp_path):
    path = write_notebook(tmp_path / "alone.ipynb", code(SETUP))
    with pytest.raises(ParameterError) as caught:
        execute_here(path, n_drawz=5, zzz=[1], n_draws=7)
    known = "conf_level, data_dir, endpoint, landmarks, n_draws, out_dir, show_all"
    assert str(caught.value).splitlines() == [
        f"n_drawz: no such parameter; did you mean 'n_draws'? known are {known}",
        f"zzz: no such parameter; known are {known}",
    ]


@pytest.mark.no_cover
def test_a_notebook_run_cell_by_cell_and_again_passes(tmp_path):
    own = code(
        "assert {'In', 'Out', 'exit', 'quit', 'get_ipython', '_i1'} <= set(globals())\nmine, n = 5, [1]\nn"
    )
    cells = [code(SETUP), own, code("_ + [2]"), code(PARAMETERS), code(SETUP)]
    path = write_notebook(tmp_path / "again.ipynb", *cells)
    execute_here(path, n_draws=7)


def test_names_of_imports_are_no_parameters(plain_trial):
    annotated = {"__annotations__": {"n_draws": int}, "n_draws": 7}
    check_parameters({"In": [""], "x": 1, **annotated, "math": math, "LIMIT": 3}, plain_trial)
    with pytest.raises(ParameterError, match=r"^n_drwas: no such parameter; did you mean 'n_draws'"):
        check_parameters({**annotated, "_i1": "", "n_drwas": None, "math": math}, plain_trial)


@pytest.mark.no_cover
def test_papermill_alone_is_refused_by_the_notebook(tmp_path):
    lines = "from nkhcc_helpers.run import check_parameters\nfrom nkhcc_helpers.trial import load_trial\n"
    path = write_notebook(
        tmp_path / "alone.ipynb", code(f"{lines}check_parameters(globals(), load_trial(data_dir))")
    )
    with pytest.raises(ParameterError, match=r"^n_draws: must be a whole number, not the text '100'$"):
        execute_here(path, n_draws="100")
    execute_here(path, n_draws=100)


@pytest.mark.parametrize("path", sorted(list_notebooks().values()), ids=lambda path: path.stem)
def test_every_notebook_checks_its_parameters(path):
    cells = [cell for cell in nbformat.read(str(path), as_version=4).cells if cell.cell_type == "code"]
    assert "check_parameters(globals(), trial)" in cells[1].source.splitlines()


@pytest.mark.parametrize(
    ("number", "given", "problems"),
    [
        (
            "01",
            {"variables": ["AGE", "SEX", "AGE"], "grace_days": -3},
            ["variables: holds 'AGE' twice", "grace_days: must be 0 or more, not -3"],
        ),
        (
            "02",
            {"landmarks": 6, "n_draws": "100"},
            ["landmarks: must be a list, not 6", "n_draws: must be a whole number, not the text '100'"],
        ),
        ("02", {"n_draws": 0}, ["n_draws: must be 1 or more, not 0"]),
        (
            "03",
            {"covariates": "dose", "doses": [0.5, 1]},
            [
                "covariates: must be a list, not the text 'dose'",
                "doses: must hold a dose for each of A, B, C and D, not 2",
            ],
        ),
        (
            "03",
            {"covariates": ["dose", "dose"], "doses": [0.5, 1, 1, -1]},
            ["covariates: holds 'dose' twice", "doses: may hold numbers from 0 to 1e+30, not -1"],
        ),
        ("03", {"doses": [0.5, 1, 1, float("inf")]}, ["doses: may hold finite numbers only, not inf"]),
        ("03", {"doses": ["a", 1, 1, 1]}, ["doses: may hold numbers, not the text 'a'"]),
        (
            "04",
            {
                "treatment_emergent_only": 0,
                "related_only": "false",
                "dlt_excluded_terms": ["Rash", "Rash"],
            },
            [
                "treatment_emergent_only: must be true or false, not 0",
                "related_only: must be true or false, not the text 'false'",
                "dlt_excluded_terms: holds 'Rash' twice",
            ],
        ),
        ("04", {"dlt_excluded_terms": "Pyrexia"}, ["dlt_excluded_terms: must be a list, not the text"]),
        ("05", {"alfa": 0.1}, ["alfa: no such parameter; did you mean 'alpha'?"]),
    ],
)
def test_the_notebooks_refuse_what_papermill_gives_them(number, given, problems):
    (path,) = list_notebooks([number]).values()
    with pytest.raises(ParameterError) as caught:
        execute_here(path, **given)
    told = sorted(caught.value.problems)
    assert all(text.startswith(start) for text, start in zip(told, sorted(problems), strict=True)), told


LISTS = [
    (notebook, item)
    for notebook, path in list_notebooks().items()
    for item in read_parameters(path).values()
    if item.kind == "list"
]


@pytest.mark.parametrize(("notebook", "item"), LISTS, ids=lambda each: getattr(each, "name", each))
@pytest.mark.parametrize(
    "text", ["[abc]", "[true]", "[null]", "[[1]]", "[.nan]", "[.inf]", "[a: 1]", "[1, a]", "[-1]", "6", "[6"]
)
def test_items_of_every_list_are_checked_before_anything_runs(plain_trial, notebook, item, text):
    if (item.name, text) == ("dlt_excluded_terms", "[abc]"):
        text = "[1]"  # any text is a term
    with pytest.raises(ParameterError, match=rf"^{item.name}: (may hold|must be a list) .*\({notebook}\)$"):
        plan_run([notebook], [(item.name, text)], load=lambda: plain_trial)


def test_a_list_of_text_is_shown_with_text(plain_trial):
    for name, example in (("dlt_excluded_terms", "[one, two]"), ("landmarks", "[6, 12]")):
        with pytest.raises(ParameterError, match=re.escape(f"such as '{example}'")):
            plan_run([], [(name, "6")], load=lambda: plain_trial)


def test_numbers_and_words_of_a_list_are_read_as_in_trial_yaml(plain_trial):
    (plan,) = plan_run(["02"], [("landmarks", "[017, 1e1, 6.5]")], load=lambda: plain_trial)
    assert plan.values["landmarks"] == [17, 10.0, 6.5]
    with pytest.raises(ParameterError, match="may hold numbers, not the text '1:30'"):
        plan_run(["02"], [("landmarks", "[1:30]")], load=lambda: plain_trial)
    (plan,) = plan_run(["04"], [("dlt_excluded_terms", "[No, 2020-01-01]")], load=lambda: plain_trial)
    assert plan.values["dlt_excluded_terms"] == ["No", "2020-01-01"]
