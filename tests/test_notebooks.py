"""The notebooks keep their anatomy, and run on every kind of trial."""

import ast
import csv
import html
import itertools
import json
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from executing import SHORTER, execute_here, read_visible
from papermill import inspect_notebook
from prepared_cohorts import wander
from small_notebooks import check_parameters_cell
from trials import VARIANTS, write_trial

import nkhcc_helpers
from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import save_cohorts
from nkhcc_helpers.identification.published import publish_claims
from nkhcc_helpers.report.results import PROGRESS_VARIABLE
from nkhcc_helpers.run import run_notebooks
from nkhcc_helpers.run.parameters import TAG, read_parameters
from nkhcc_helpers.run.plan import COURSE_TAGS
from nkhcc_helpers.trial.trial import load_trial

pytestmark = pytest.mark.no_cover  # tracing costs half as much again, and tests of the rooms cover the code

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
PATHS = dict(zip(NAMES, NOTEBOOKS, strict=True))
WITHOUT_ADVERSE_EVENTS = ("no_adverse_events", "adverse_events_not_collected")

# One run of each notebook with other values than its own, all that can be changed at once.
CHANGED = {
    "01_cohort": {
        "endpoint": "PFS",
        "variables": ["SEX", "AGE"],
        "grace_days": 4000,
        "conf_level": 0.8,
        "conf_type": "log",
    },
    "02_survival_by_group": {
        "endpoint": "OS",
        "landmarks": [3, 200],
        "conf_level": 0.8,
        "conf_type": "plain",
        "convention": "first",
    },
    "03_cox_dose_frequency": {
        "endpoint": "OS",
        "reference": "D",
        "strata": "SEX",
        "conf_level": 0.8,
        "method": "partial",
        "dose_coding": "cumulative",
        "doses": [0.25, 1, 2, 0],
        "n_trials": 50,
    },
    "04_safety": {
        "treatment_emergent_only": False,
        "related_only": True,
        "groups": "planned",
        "dlt_grade": 2,
        "dlt_related_only": False,
        "dlt_days": 7,
        "dlt_excluded_terms": ["Pyrexia"],
        "conf_level": 0.8,
    },
    "05_what_the_abstract_can_tell": {
        "endpoint": "OS",
        "n_cohorts": 12,
        "n_side": 0,
        "most_censored": 3,
        "prior": "uniform",
        "alpha": 0.2,
        "seed": 7,
    },
}


HEADLINES = {
    "01_cohort": "follow_up n_patients n_completed n_lost",
    "02_survival_by_group": "median_A median_B median_C median_D median_All p_ordered_trend_permuted "
    "p_overall_permuted p_ordered_trend_exact p_overall_exact",
    "03_cox_dose_frequency": "hr_dose hr_infusions hr_dose_exact hr_infusions_exact p_dose_permuted "
    "p_infusions_permuted p_model_permuted",
    "04_safety": "share_grade3 share_serious share_related share_dose_limiting p_trend_any p_trend_3+",
    "05_what_the_abstract_can_tell": "p_lowest_PFS p_lowest_OS p_highest_PFS p_highest_OS share_PFS share_OS "
    "direction_PFS_dose direction_PFS_infusions direction_OS_dose direction_OS_infusions",
}
"""Headlines of each notebook on the bundled trial, all of which are estimable there."""


FEWER_TRIALS = {
    "02_survival_by_group": {"n_draws": 1000},
    "03_cox_dose_frequency": {"n_trials": 40},
    "05_what_the_abstract_can_tell": {"n_cohorts": 12, "n_side": 0},
}
"""Simulations cut short where all that matters is that a notebook runs."""


@pytest.fixture(params=NAMES)
def path(request):
    return PATHS[request.param]


@pytest.fixture
def notebook(path):
    return nbformat.read(str(path), as_version=4)


@cache
def load_bundled():
    return load_trial()


def list_lesson(notebook):
    """Cells without the exercises, which are of the bundled trial and made from a file."""
    of_exercises = set(COURSE_TAGS)
    return [
        cell
        for cell in notebook.cells
        if cell.source.startswith("## ") or of_exercises.isdisjoint(cell.metadata.get("tags", []))
    ]


def list_code(notebook):
    return [cell.source for cell in list_lesson(notebook) if cell.cell_type == "code"]


def list_prose(notebook):
    return [cell.source for cell in list_lesson(notebook) if cell.cell_type == "markdown"]


def list_names(tree, *, read):
    """Names that code reads, or those that it binds in any way."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    found = {node.id for node in names if isinstance(node.ctx, ast.Load) == read}
    aliases = [node.asname or node.name for node in ast.walk(tree) if isinstance(node, ast.alias)]
    return found if read else found | {alias.split(".")[0] for alias in aliases}


# Anatomy


def test_size_and_rhythm(notebook):
    kinds = [cell.cell_type for cell in list_lesson(notebook)]
    assert 25 <= len(list(itertools.groupby(kinds))) <= 40  # prose that exercises part is one
    assert kinds.count("markdown") >= len(kinds) / 2
    assert ("code", "code") not in set(itertools.pairwise(kinds))
    lines = [len(source.splitlines()) for source in list_code(notebook)]
    assert max(lines[2:]) <= 12  # after the parameters and what is imported and opened
    assert lines[1] <= 13
    assert statistics.median(lines) <= 6


def test_no_outputs_and_nothing_of_a_run_is_kept(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert {name for cell in notebook.cells for name in cell.metadata} <= {"tags", "jupyter"}
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "nkhcc"}
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


def test_code_is_folded_but_where_it_is_meant_to_be_changed(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    hidden = {"jupyter": {"source_hidden": True}}
    assert all(cell.metadata == hidden for cell in code if "tags" not in cell.metadata)
    assert "source_hidden" not in str(code[0].metadata)
    assert sum("**View > Expand All Code**" in text for text in list_prose(notebook)) == 1


def test_parameters_cell(path, notebook):
    tagged = [TAG in cell.metadata.get("tags", []) for cell in notebook.cells if cell.cell_type == "code"]
    assert tagged == [True] + [False] * (len(tagged) - 1)
    assert check_parameters_cell(path) == []
    parameters = read_parameters(path)
    assert list(inspect_notebook(str(path))) == list(parameters)
    assert 5 <= len(parameters) <= 13
    assert list(parameters)[:2] == ["data_dir", "out_dir"]


def test_every_parameter_is_read_later_and_never_bound_again(path, notebook):
    tree = ast.parse("\n".join(list_code(notebook)[1:]))
    parameters = set(read_parameters(path))
    assert parameters <= list_names(tree, read=True)
    assert not parameters & list_names(tree, read=False)


def test_code_builds_on_the_package_alone(path, notebook):
    source = "\n".join(list_code(notebook)[1:])
    tree = ast.parse(source)
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not any(isinstance(node, defined) for node in ast.walk(tree))
    assert not re.search(r"\bsys\.path|\bimport (sys|os|warnings)\b|^\s*[%!]", source, re.MULTILINE)
    assert f'open_page(trial, "{path.stem}", out_dir' in source
    assert "load_trial(data_dir, warn=False)" in source
    assert "page.show_banner()" in source
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    assert source.count("main=True") == 1
    assert list_code(notebook)[-1].splitlines()[-1] == "page.finish()"


def test_code_imports_from_the_faces_of_rooms(notebook):
    source = "\n".join(list_code(notebook))
    assert not re.search(r"^\s*import nkhcc_helpers", source, re.MULTILINE)
    found = [node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    rooms = [module for module in found if module.split(".")[0] == "nkhcc_helpers"]
    assert len(rooms) <= 4
    package = Path(nkhcc_helpers.__file__).parent
    faces = {"nkhcc_helpers", "nkhcc_helpers.cohort"}
    faces |= {f"nkhcc_helpers.{path.parent.name}" for path in package.glob("*/__init__.py")}
    assert set(rooms) <= faces


def test_prose_has_every_part_of_the_anatomy(path, notebook):
    prose = list_prose(notebook)
    assert prose[0].startswith("# ")
    assert "**The question.**" in prose[0]
    assert "You will learn" in prose[0]
    how = next(text for text in prose if text.startswith("## How to run it"))
    assert f"    papermill {path.name} out.ipynb -p " in how
    headings = re.findall(r"^##+ (.+)$", "\n".join(prose), re.MULTILINE)
    ends = ["Exercises", "Glossary", "References", "Results and versions"]
    assert headings[:2] == ["How to run it", "Who is analysed"]
    assert headings[-len(ends) :] == ends
    assert headings[-len(ends) - 1] == "What a trial of this size can and cannot say"
    assert any("by hand" in heading for heading in headings)
    assert sum(heading.endswith("?") for heading in headings) >= 3


def test_findings_stand_before_how_to_run_it(notebook):
    code = list_code(notebook)
    n_found, n_cautions = ["\n".join(code).count(f"page.{name}(") for name in ("find", "caution")]
    if not n_found:
        pytest.skip("finds nothing")
    assert 2 <= n_found <= 4
    assert 1 <= n_cautions <= 3
    assert code[1].splitlines()[-1] == "page.show_banner()"
    kinds = [cell.cell_type for cell in notebook.cells[:5]]
    assert kinds == ["markdown", "code", "markdown", "code", "markdown"]
    assert notebook.cells[4].source.startswith("## How to run it")


def test_fixed_prose_holds_nothing_of_one_trial(path, notebook):
    trial = load_bundled()
    prose = "\n".join(
        line for text in list_prose(notebook) for line in text.splitlines() if line[:4] != "    "
    )
    prose, _, references = prose.partition("## References")
    assert references
    units = "months?|days?|weeks?|years?|patients?|people|infusions?|events?|groups?|deaths?"
    number = r"\d+(\.\d+)?"
    assert re.findall(rf"{number}\s*(?:%|(?:{units})\b)|\b[nP] *[=<] *{number}", prose) == []
    codes = [re.escape(code) for code in trial.endpoint_labels]
    assert re.findall(rf"\b(?:{'|'.join(codes)})\b", prose) == []
    shown = [*trial.endpoint_labels.values(), *trial.group_labels.values(), trial.metadata.study_id]
    assert [text for text in shown if text.lower() in prose.lower()] == []
    assert not re.search(r"\b[Gg]roups? [A-D]\b|\bhepato|\bNK\b|\btransplant", prose)


def test_code_names_no_group_and_no_endpoint(notebook):
    trial = load_bundled()
    texts = [
        node.value
        for source in list_code(notebook)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not set(texts) & {*trial.groups, *trial.endpoint_labels, *trial.group_labels.values()}


# Execution


def check_shown(shown, folder, name, *, results=None, n_main=1):
    """What every executed notebook must have shown and written, its results where not given in a file."""
    visible = html.unescape(" ".join(map(read_visible, shown)))
    figures = sorted((folder / "figures" / name).glob("*.svg"))
    drawn = " ".join(read_drawn(path.read_text("utf-8")) for path in figures)
    for text in (visible, drawn):
        assert re.findall(r"(?<![\w-])(?:nan|inf|NaN|NaT|<NA>)(?![\w-])", text) == []
        assert set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b", text)) <= {"nkhcc_helpers"}
    whole = "".join(shown)
    assert not re.search(r"<img src=x|<script|<i>\$|<a\b[^>]*javascript", whole)
    check_written(folder, name, results or read_strictly(folder / "results" / f"{name}.json"), n_main)
    return visible


def read_strictly(path):
    return json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)


def read_drawn(svg):
    """Texts of a figure, which matplotlib keeps beside their outlines."""
    return " ".join(html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", svg, re.DOTALL))


def check_written(folder, name, results, n_main):
    assert results["values"]
    check_headlines(results)
    assert results["versions"]["nkhcc_helpers"]
    assert [figure["main"] for figure in results["figures"].values()].count(True) == n_main
    kept = [*results["figures"].values(), *results["tables"].values()]
    assert all(each["files"] for each in kept)
    assert all((folder / file).stat().st_size for each in kept for file in each["files"])
    for path in (folder / "tables" / name).glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            assert not any(cell.startswith(("=", "@", "+")) for row in csv.reader(file) for cell in row)


def list_numbers(kept):
    """Every number that values or rows hold, however deep."""
    if isinstance(kept, dict | list):
        parts = kept.values() if isinstance(kept, dict) else kept
        return {number for part in parts for number in list_numbers(part)}
    return {kept} if isinstance(kept, int | float) else set()


def check_headlines(results):
    """Headlines are the very numbers that the page's sentences and tables state."""
    stated = list_numbers([results["values"], [table["rows"] for table in results["tables"].values()]])
    for headline in results["headlines"].values():
        assert list_numbers([headline[key] for key in ("value", "ci_lower", "ci_upper")]) <= stated
        assert headline["label"].strip()


COMPATIBLE = "05_what_the_abstract_can_tell"


@pytest.fixture(scope="session")
def find_prepared(tmp_path_factory):
    """Function from a trial's folder and assumptions to parameters that name cohorts made quickly."""
    folder = tmp_path_factory.mktemp("cohorts")

    @cache
    def prepare(data_dir, prior, most_censored):
        trial = load_trial(data_dir)
        claimed = ClaimedTrial.of(trial.published or publish_claims(trial), trial.metadata)
        changes = {"prior": prior} if prior else {}
        if most_censored >= 0:
            changes["censored"] = [{"endpoint": code, "most": most_censored} for code in claimed.endpoints]
        claimed = claimed.assume(**changes)
        cohorts = wander(trial, claimed, 12)
        return save_cohorts(cohorts, folder / f"{len(list(folder.iterdir()))}.parquet")

    def find(name, data_dir, *, prior="", most_censored=-1, **_):
        return {"cohorts_file": str(prepare(data_dir, prior, most_censored))} if name == COMPATIBLE else {}

    return find


# Left to the full run: papermill runs the bundled trial, which is of the kind of `plain`; and `hostile` is
# `small` with other words.
SLOWLY = dict.fromkeys(NAMES, ("plain", "small")) | {COMPATIBLE: ("plain", "hostile", "group_missing")}
COMBINATIONS = [
    pytest.param(name, variant, marks=[pytest.mark.slow] * (variant in SLOWLY[name]))
    for name in NAMES
    for variant in VARIANTS
    if (name == "04_safety" or variant not in WITHOUT_ADVERSE_EVENTS)
]


@pytest.mark.parametrize("text", SHORTER)
def test_what_is_cut_short_stands_in_a_notebook(text):
    assert any(text in source for path in NOTEBOOKS for source in list_code(nbformat.read(str(path), 4)))


@pytest.mark.parametrize(("name", "variant"), COMBINATIONS)
def test_every_notebook_runs_on_every_kind_of_trial(
    name, variant, load_variant, find_prepared, tmp_path, monkeypatch
):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    trial = load_variant(variant)
    parameters = {"data_dir": str(trial.source), "out_dir": str(tmp_path), **FEWER_TRIALS.get(name, {})}
    executed = execute_here(PATHS[name], **parameters, **find_prepared(name, str(trial.source)))
    assert executed.printed == ""
    # What notebook 05 has to show of one group is no comparison, and its main figure is one.
    compares = name != "05_what_the_abstract_can_tell" or len(trial.groups) > 1
    visible = check_shown(executed.html, tmp_path, name, n_main=int(compares))
    if variant != "hostile":  # its labels are cut up where they are made harmless
        assert [label for label in trial.group_labels.values() if label not in visible] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", ["bundled", pytest.param("no_events_group", marks=pytest.mark.slow)])
def test_every_notebook_runs_with_its_parameters_changed(
    name, variant, trial_folders, find_prepared, tmp_path, monkeypatch
):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    known = read_parameters(PATHS[name])
    changed = CHANGED.get(name, {})
    assert set(changed) <= set(known)
    assert all(changed[parameter] != known[parameter].default for parameter in changed)
    data_dir = str(trial_folders.get(variant, ""))
    prepared = find_prepared(name, data_dir, **changed)
    executed = execute_here(PATHS[name], data_dir=data_dir, out_dir=str(tmp_path), **changed, **prepared)
    assert executed.printed == ""
    check_shown(executed.html, tmp_path, name)


def check_names(values):
    """Every value of a page has a name of its own."""
    assert [key for key in values if re.sub(r"_\d+$", "", key) in set(values) - {key}] == []
    by_part = [value for value in values.values() if isinstance(value, dict)]
    trial = load_bundled()
    assert all(set(value) <= {*trial.groups, "All", *trial.endpoint_labels} for value in by_part)


def check_recorded(results, name):
    """What a notebook records of the bundled trial: values by names of their own, and its headlines."""
    check_names(results["values"])
    assert list(results["headlines"]) == HEADLINES[name].split()
    assert "NE" not in [each["value"] for each in results["headlines"].values()]


def list_shown(path):
    """HTML of what an executed notebook shows beside exercises; nothing else may have come of its cells."""
    cells = list_lesson(nbformat.read(str(path), 4))
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} == {"display_data"}
    return [output.data["text/html"] for output in outputs if "text/html" in output.data]


def test_a_run_executes_every_notebook_in_kernels(tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    fewer = {parameter: str(value) for each in FEWER_TRIALS.values() for parameter, value in each.items()}
    report = run_notebooks(NAMES, given=list(fewer.items()), out_dir=tmp_path / "report", jobs=2)
    assert report.failed == []
    results = read_strictly(report.folder / "results.json")["notebooks"]
    assert list(results) == NAMES
    for name in NAMES:
        shown = list_shown(report.folder / "notebooks" / f"{name}.ipynb")
        check_shown(shown, report.folder, name, results=results[name])
        check_recorded(results[name], name)


# With the imports of papermill and of a kernel once more for each; the run above is by papermill too.
@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
)
def test_papermill_runs_every_notebook_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    command = [sys.executable, "-m", "papermill", str(PATHS[name]), "out.ipynb", "-p", "out_dir", "made"]
    for parameter, value in FEWER_TRIALS.get(name, {}).items():
        command += ["-p", parameter, str(value)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    check_shown(list_shown(tmp_path / "out.ipynb"), tmp_path / "made", name)
    check_recorded(read_strictly(tmp_path / "made" / "results" / f"{name}.json"), name)


@pytest.mark.parametrize(
    ("variant", "sizes", "medians", "asked"),
    [
        pytest.param(
            *("hostile", {"<b>L": 3, "$x$": 5, "**H**": 4}, {"$x$": 13.1, "**H**": 5.7}, (20, 10)),
            marks=pytest.mark.slow,
        ),
        ("os_only", {"LOW": 3, "MID": 5, "HIGH": 4}, {"LOW": 90.0}, (12, 0)),
    ],
)
def test_compatible_cohorts_are_sampled_in_the_notebook(
    variant, sizes, medians, asked, tmp_path, monkeypatch
):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    name = "05_what_the_abstract_can_tell"
    claims = [{"kind": "group_size", "group": group, "value": n} for group, n in sizes.items()]
    claims += [
        {"kind": "median", "endpoint": "OS", "group": group, "value": value, "decimals": 1}
        for group, value in medians.items()
    ]
    published = {"citation": "<script>alert(1)</script> $x$", "claims": claims}
    folder = write_trial(tmp_path / "trial", variant=variant, published=published)
    out_dir = tmp_path / "out"
    parameters = {"data_dir": str(folder), "out_dir": str(out_dir)}
    parameters |= dict(zip(("n_cohorts", "n_side"), asked, strict=True))
    executed = execute_here(PATHS[name], **parameters)
    assert executed.printed == ""
    check_shown(executed.html, out_dir, name)


def test_claims_can_be_dropped_one_by_one(load_variant, find_prepared, tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)
    name = "05_what_the_abstract_can_tell"
    parameters = {"data_dir": str(load_variant("plain").source), "out_dir": str(tmp_path), "endpoint": "PFS"}
    prepared = find_prepared(name, parameters["data_dir"])
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "progress"))
    executed = execute_here(PATHS[name], **parameters, **prepared, n_side=10)
    # A bar until all are done, of which a run is told.
    assert re.fullmatch(r"Done in this run: (\d+) of \1 cohorts", (tmp_path / "progress").read_text())
    assert "<progress" not in " ".join(executed.html)
    visible = check_shown(executed.html, tmp_path, name)
    assert "Median, A: low x 4" in visible
    assert "Left out in this run" not in visible
    assert (tmp_path / "figures" / name / "narrowing_0.svg").exists()


@pytest.mark.filterwarnings("ignore:.*says treated, but ADEX has no infusion")
def test_safety_tells_ties_and_who_was_never_infused(tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)

    def change(events):
        fever = events[events["AEDECOD"] == "Pyrexia"]
        return pd.concat([fever, fever.assign(AEDECOD="Chills")])

    folder = write_trial(tmp_path / "trial", adsl=lambda subjects: subjects.assign(SAFFL="Y"), adae=change)
    visible = " ".join(map(read_visible, execute_here(PATHS["04_safety"], data_dir=str(folder)).html))
    assert "Most frequent: Chills and Pyrexia, each in" in visible
    assert "Left out of the curves, of 18 treated patients: without any infusion, 1;" in visible
    # S-09, one of three in the first group, was treated by SAFFL alone and gives no time at risk.
    assert re.search(r"A: low x 4\s+\d of 2\s", visible)


def add_response(rows):
    """The last two patients have a response of some duration."""
    two = rows[rows["PARAMCD"] == "OS"].tail(2)
    return pd.concat([rows, two.assign(PARAMCD="DOR")])


def test_the_cohort_tells_who_is_in_an_endpoint_and_since_when(tmp_path, monkeypatch):
    monkeypatch.delenv("NKHCC_NOTEBOOK", raising=False)

    def describe(metadata):
        response = {"code": "DOR", "label": "Response", "population": "responders", "origin": "DIAGDT"}
        return metadata | {"endpoints": [*metadata["endpoints"], response], "dose_unit": "mg"}

    parts = {"metadata": describe, "adsl": lambda rows: rows.assign(DIAGDT="2014-01-01")}
    folder = write_trial(tmp_path / "trial", adtte=add_response, published=None, **parts)
    executed = execute_here(PATHS["01_cohort"], data_dir=str(folder), endpoint="DOR")
    visible = re.sub(r"\s+", " ", " ".join(map(read_visible, executed.html)))
    trial = load_trial(folder)
    frame = trial.survival("DOR")
    days = trial.subjects.set_index("USUBJID").loc[frame["USUBJID"], "enrolled"]
    assert f"enrolled from {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}" in visible
    assert "Of 18 patients only 2 are in it: responders." in visible
    assert "A: low x 4: 3 patients, 0 of them in it, 0 with the event; planned 4" in visible
    assert "mean dose 0.5 mg." in visible
    assert "Median follow-up of all patients since DIAGDT in months" in visible
