"""The plan of a batch: what runs it lays out, what it calls them, and every mistake in it told at once."""

import json
import shutil
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from small_notebooks import write_notebook

from nkhcc_helpers.run.batch import estimate, grid
from nkhcc_helpers.run.batch.grid import BatchError, list_fixed, list_parameters, read_batch

ONE = "notebooks: [one.ipynb]\ntrials: [a/trial]\n"
PLANS = sorted((Path(__file__).parent.parent / "plans").glob("*.yaml"))
OTHER = """endpoint: str = "PFS"  # endpoint
where: str = ""  # rule
seed: int = 1  # of draws
data_dir: str = ""  # folder of the trial"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trial_folders):
    """Two notebooks and three trials beside the plans; read only."""
    place = tmp_path_factory.mktemp("plans")
    write_notebook(place / "one.ipynb")
    write_notebook(place / "two.ipynb", parameters=OTHER)
    write_notebook(place / "bundled.ipynb", parameters='endpoint: str = "PFS"  # endpoint')
    for name, variant in {"a/trial": "plain", "b/trial": "small", "b/other": "no_adverse_events"}.items():
        shutil.copytree(trial_folders[variant], place / name)
    (place / "b" / "none").mkdir()
    return place


@pytest.fixture(scope="module", autouse=True)
def _load_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "load_trial", cache(grid.load_trial))
        yield


@pytest.fixture
def read(folder):
    """Function from the text of a plan to the batch."""

    def read(text, **options):
        path = folder / "plan.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_batch(path, **options)

    return read


@pytest.fixture
def refuse(read):
    """Function from the text of a plan to the mistakes found in it."""

    def refuse(text):
        with pytest.raises(BatchError) as caught:
            read(text)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return caught.value.problems

    return refuse


def list_names(batch):
    return [run.name for run in batch.runs]


def list_values(batch):
    return [run.plan.values for run in batch.runs]  # noqa: PD011 (of a plan)


def test_combinations_the_first_key_slowest_then_rows_each_with_every_seed(read):
    batch = read(
        """
notebooks: [two.ipynb]
trials: [a/trial]
grid: {endpoint: [PFS, OS], where: ["", AGE > 60]}
runs: [{endpoint: OS, where: SEX == 'F'}, {endpoint: null, where: AGE > 50}]
seeds: 2
"""
    )
    given = [tuple(run.plan.effective.values()) for run in batch.runs]
    blocks = [("PFS", ""), ("PFS", "AGE > 60"), ("OS", ""), ("OS", "AGE > 60"), ("OS", "SEX == 'F'")]
    assert given == [(*block, seed) for block in [*blocks, ("PFS", "AGE > 50")] for seed in (1, 2)]
    assert batch.varied == ("endpoint", "where", "seed")
    assert list_names(batch)[:3] == ["two-PFS-1", "two-PFS-2", "two-PFS-AGE-60-1"]
    assert len({run.fingerprint for run in batch.runs}) == len(batch.runs) == 12


def test_a_parameter_goes_to_the_notebooks_that_have_it_and_no_run_is_there_twice(read):
    batch = read(
        """
notebooks: [one.ipynb, two.ipynb]
trials: [a/trial]
grid: {endpoint: [PFS, OS], conf_level: [0.9, 0.95, "0.950", null], seed: [1, 1, 2]}
"""
    )
    assert list_values(batch) == [
        {"conf_level": 0.9},
        {},
        {"endpoint": "OS", "conf_level": 0.9},
        {"endpoint": "OS"},
        {},
        {"seed": 2},
        {"endpoint": "OS"},
        {"endpoint": "OS", "seed": 2},
    ]
    table = list_parameters(batch)
    assert list(table) == ["run", "notebook", "trial", "is_default", "endpoint", "conf_level", "seed"]
    assert list(table["conf_level"]) == ["0.9", "0.95", "0.9", "0.95", "", "", "", ""]
    assert list(table["is_default"]) == [False, True, False, True, True, False, True, False]


def test_what_no_run_has_as_its_notebook_declares_it_is_told(read):
    batch = read(
        """
notebooks: [one.ipynb, two.ipynb]
trials: [a/trial]
parameters: {endpoint: OS}
runs: [{conf_level: 0.9, where: ""}, {conf_level: 0.9, where: AGE > 60}, {conf_level: 0.90, seed: 2}]
"""
    )
    assert list_fixed(batch) == {"one": {"endpoint": "OS", "conf_level": "0.9"}, "two": {"endpoint": "OS"}}


def test_trials_by_folder_and_glob_once_each_by_different_names(read, refuse):
    batch = read("{notebooks: [one.ipynb], trials: [a/trial, 'b/*', a/../a/trial]}")
    places = [(run.name, run.trial, run.source.parent.name) for run in batch.runs]
    expected = [("trial", "a"), ("other", "b"), ("trial-2", "b")]
    assert places == [(f"one-{name}", name, above) for name, above in expected]
    assert {"adsl.csv", "adtte.csv", "trial.yaml"} < set(batch.runs[0].data)
    assert len({run.fingerprint for run in batch.runs}) == 3
    assert list(list_parameters(batch)["trial"]) == ["trial", "other", "trial-2"]
    missing = refuse("{notebooks: [one.ipynb], trials: [c/trial, 'b/none*', a/trial, 'x\\[/*']}")
    assert missing == tuple(
        f"trials {name}: no folder with a trial.yaml is there" for name in ("c/trial", "b/none*", "x\\[/*")
    )


def test_the_bundled_trial_where_none_is_named(read, refuse):
    batch = read("notebooks: [bundled.ipynb]")
    assert [(run.trial, run.name) for run in batch.runs] == [("nkhcc", "bundled")]
    (problem,) = refuse("notebooks: [bundled.ipynb]\ntrials: [a/trial]")
    assert problem == "bundled: has no parameter data_dir, so it runs on the bundled trial only"


def test_rows_of_a_table_by_name_whatever_the_case_and_empty_cells_are_not_set(read, folder):
    endpoints, lists = ["OS", None, "PFS"], ["[6, 12]", "[3]", None]
    texts = {"Endpoint": endpoints, "n_draws": ["", "20", "30"], "landmarks": lists}
    pd.DataFrame(texts).to_csv(folder / "rows.csv", index=False)
    typed = {"endpoint": endpoints, "N_DRAWS": [None, 20.0, 30.0], "landmarks": lists}
    pd.DataFrame(typed).to_parquet(folder / "rows.parquet")
    (folder / "rows.txt").write_text("endpoint;n_draws;landmarks\nOS;;[6, 12]\n;20;[3]\nPFS;30;\n")
    given = [{"endpoint": "OS"}, {"n_draws": 20, "landmarks": [3]}, {"n_draws": 30}]
    for form in ("csv", "parquet", "txt"):
        batch = read(f"{ONE}parameters: {{show_all: true}}\nruns: rows.{form}")
        assert list_values(batch) == [{"show_all": True} | each for each in given]
        assert list_names(batch) == ["one-OS-1000-6-12", "one-PFS-20-3", "one-PFS-30-6-12"]
        assert batch.varied == ("endpoint", "n_draws", "landmarks")


def test_a_table_that_cannot_be_read_or_holds_nothing(refuse, folder):
    frame = pd.DataFrame({"landmarks": [[6.0, 12.0], [3.0]]})
    frame.to_parquet(folder / "lists.parquet")
    (folder / "empty.csv").write_text("endpoint\n")
    (folder / "ragged.csv").write_text("endpoint,n_draws\nPFS\n")
    (folder / "latin.csv").write_bytes(b"endpoint\nPFS\0\n")
    (folder / "typo.csv").write_text("endpont,n_draws\nPFS,1\nOS,2\nOS,3\nOS,4\n")
    expected = {
        "lists.parquet": "lists.parquet 'lists.parquet': holds list<element: double> in a cell",
        "empty.csv": "empty.csv: holds no runs",
        "ragged.csv": "ragged.csv row 2: has 1 field where the header has 2 fields",
        "latin.csv": "latin.csv row 2: is not a text file",
        "absent.csv": "absent.csv 'absent.csv': cannot be read",
        "typo.csv": "all 4 runs: endpont: no such parameter; did you mean 'endpoint'?",
    }
    for name, problem in expected.items():
        found = refuse(f"{ONE}runs: {name}")
        assert found[0].startswith(problem), found


def test_all_mistakes_of_all_runs_are_told_once_each_with_the_runs(refuse):
    problems = refuse(
        """
notebooks: [one.ipynb, two.ipynb, thre.ipynb]
trials: [a/trial, b/none, "c/*"]
name: "{notebook}-{endpoin}"
pages: some
nam: x
parameters: {n_draws: 0, data_dir: there}
grid:
  conf_level: [0.9, 95, 1e400, a, [0.5]]
  where: [AGE > 200, AGE >]
  show_all: [1]
runs:
  - {endpoint: PSF}
"""
    )
    expected = [
        "plan.yaml row 5 pages 'some': must be one of 'all', 'failed' or 'none'",
        "plan.yaml row 6 nam: is not a known key; did you mean 'name'?",
        "thre.ipynb: no such notebook",
        "trials c/*: no folder with a trial.yaml is there",
        "trial none: trial.yaml: trial.yaml is not in the folder",
        "n_draws: must be 1 or more, not 0 (one)",
        "data_dir: set it with trials",
        "conf_level: must lie between 0 and 1, such as 0.95, not 95.0; did you mean 0.95? (one)",
        "conf_level: must be a number, not 'Infinity' (one)",
        "conf_level: must be a number, not 'a' (one)",
        "conf_level: must be a number, not '[0.5]' (one)",
        "where: is met by nobody: AGE > 200 (two)",
        "where: cannot be read as a rule",
        "show_all: must be true or false, not '1' (one)",
        "endpoint: must be PFS or OS, not 'PSF'",
    ]
    for each in expected:
        assert sum(each in problem for problem in problems) == 1, (each, problems)
    named = "runs 4 (one-trial-a-1-PFS) and 10 (one-none-a-1-PFS): "
    assert any(problem.startswith(named) for problem in problems), problems


def test_ten_mistakes_in_ten_runs_are_ten_lines_and_one_in_many_runs_is_one_line(refuse):
    problems = refuse(f"{ONE}grid: {{n_draws: [{', '.join(f'x{at}' for at in range(10))}]}}")
    assert len(problems) == 10
    assert problems[3] == "run 4 (one-x3): n_draws: must be a whole number, not 'x3' (one)"
    plan = "name: '{n_draws}_{conf_level}'\ngrid: {conf_level: [0.1, 0.2, 0.3, 0.4], n_draws: [1, 0]}"
    (problem,) = refuse(ONE + plan)
    assert problem == "runs 2 (0_0.1), 4 (0_0.2) and 2 more: n_draws: must be 1 or more, not 0 (one)"
    (problem,) = refuse(ONE + plan.replace("[1, 0]", "[0]"))
    assert problem.startswith("all 4 runs: n_draws")


def test_a_misspelt_name_is_told_of_fields_keys_and_parameters(refuse):
    problems = refuse(ONE + "name: '{endpoin}'\ngrid: {n_draw: [1, 2]}\ntitel: x")
    assert [problem.partition("; did you mean ")[0] for problem in problems] == [
        "plan.yaml row 5 titel: is not a known key",
        "name {endpoin}: no such field 'endpoin'",
        "runs 1 (one-1) and 2 (one-2): n_draw: no such parameter",
    ]
    assert refuse(ONE + "parameters: {data_dir: x, out_dir: y}") == (
        "data_dir: set it with trials",
        "out_dir: set it with out",
    )
    plan = "{notebooks: [two.ipynb], trials: [a/trial], seeds: 2, %s}"
    for other in ("grid: {seed: [1]}", "parameters: {seed: 1}", "runs: [{seed: 1}]"):
        assert refuse(plan % other) == ("seed: is set in two places of the plan; keep one",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- notebooks\n- trials", "row 1: must hold 'key: value' lines"),
        ("", "'plan.yaml': is empty"),
        (b"title: \xe9\nnotebooks: [one.ipynb]", "row 1 'byte 0xe9': is not UTF-8; save the file as UTF-8"),
        ("a: &a [x, x]\nb: [*a, *a]", "row 2: is not valid YAML: aliases (*a) are not read"),
        ("a: " + "[" * 5000, "is nested too deeply"),
        ("notebooks: [!!python/name:os.system x]", "row 1: is not valid YAML"),
        ("title: x", "notebooks: is missing; list those to run, such as [02, 03]"),
        ("notebooks: one.ipynb", "row 1 notebooks 'one.ipynb': must be a list"),
        ('notebooks: ["\\0.ipynb"]', "row 1 notebooks[0]"),
        (ONE + "notebooks: [x]", "row 3 notebooks: key is there already in row 1"),
        (ONE + "grid: {n_draws: 3}", "row 3 grid.n_draws '3': must be a list"),
        (ONE + "grid: {n_draws: []}", "row 3 grid.n_draws: must have at least 1 entry"),
        (
            ONE + "runs: [{n_draws: {a: 1}}]",
            "row 3 runs[0].n_draws: must be text, a number, true or",
        ),
        (ONE + "seeds: 1000000000000", "row 3 seeds '1000000000000': must be a list, or a number from 1 to"),
        (ONE + "timeout: -1", "row 3 timeout '-1': must be a number >= 0"),
        (ONE + "timeout: .inf", "row 3 timeout '.inf': must be a finite number"),
        (f"{ONE}parameters: {{n_draws: 0x{'f' * 6000}}}", "row 3 parameters.n_draws"),
        (ONE + 'parameters: {endpoint: "\\ud800"}', "row 3 parameters.endpoint"),
    ],
)
def test_hostile_plans_are_refused_in_words(refuse, text, problem):
    found = refuse(text)
    assert found[0].partition(": " if problem[0] == "i" else " ")[2].startswith(problem), found
    assert all(each.isprintable() and len(each) < 500 for each in found)


def test_places_that_no_file_can_have(refuse):
    long = "x" * 5000
    notebooks, trials = f"[{long}.ipynb, ~nobody/x.ipynb]", f"[{long}, ~nobody]"
    problems = refuse(f"notebooks: {notebooks}\ntrials: {trials}\nruns: {long}.csv")
    assert len(problems) == 5


def test_a_plan_that_is_not_there_and_one_that_is_a_folder(folder):
    for name, what in {"absent.yaml": "cannot be read", "a": "is a folder, not a file"}.items():
        with pytest.raises(BatchError, match=what):
            read_batch(folder / name)


def test_too_many_runs_are_counted_not_laid_out(refuse):
    values = f"[{', '.join(map(str, range(200)))}]"
    (problem,) = refuse(f"{ONE}grid: {{n_draws: {values}, conf_level: {values}, x: {values}}}")
    assert problem == "8,000,000 runs are planned; 100,000 are the most"


def test_names_are_safe_and_different_on_every_system(read, folder):
    texts = ["../x", "CON", "con.txt", "{text}", "{0.__class__}", "a/b\\c:d*?", "...", "é" * 300, "X", "x"]
    write_notebook(folder / "free.ipynb", parameters='text: str = ""  # any\ndata_dir: str = ""  # folder')
    grid_of_texts = f"name: '{{text}}'\ngrid: {{text: {json.dumps(texts)}}}"
    batch = read(f"notebooks: [free.ipynb]\ntrials: [a/trial]\n{grid_of_texts}")
    assert [run.plan.effective["text"] for run in batch.runs] == texts
    safe = ["x", "_CON", "_con.txt", "text", "0.__class__", "a-b-c-d", "run", "é" * 50, "X-2", "x-3"]
    assert list_names(batch) == safe
    assert list_names(read(ONE + "name: '{trial}{endpoint}'")) == ["trialPFS"]


def test_options_given_stand_for_those_of_the_plan(read, folder, monkeypatch, tmp_path):
    plan = f"{ONE}pages: none\ntimeout: 5\nout: ../there"
    batch = read(plan)
    assert (batch.pages, batch.notebooks, batch.timeout) == ("none", "plain", 5.0)
    assert (batch.title, batch.out_dir) == ("plan", folder.parent / "there")
    batch = read(f"{plan}\ntitle: T", pages="failed", keep_notebooks="gzip", timeout=0.5, out=tmp_path)
    assert (batch.pages, batch.notebooks, batch.timeout) == ("failed", "gzip", 0.5)
    assert (batch.title, batch.out_dir) == ("T", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read(ONE).out_dir == tmp_path / "reports" / "plan"
    with pytest.raises(BatchError, match="pages 'most': must be one of"):
        read(plan, pages="most")


def test_two_notebooks_of_one_name_and_the_start_of_a_name(read, refuse, folder):
    write_notebook(folder / "sub" / "one.ipynb")
    (problem,) = refuse("{notebooks: [one.ipynb, sub/one.ipynb], trials: [a/trial]}")
    assert problem == "one: two notebooks have this name; rename one"
    batch = read("{notebooks: [02, 03_cox], trials: [a/trial]}")
    assert [(run.name, run.plan.name[:6]) for run in batch.runs] == [("02", "02_sur"), ("03", "03_cox")]


def test_two_thousand_runs_are_read_in_a_few_seconds(read):
    levels = ", ".join(f"{at / 1001:.6f}" for at in range(1, 1001))
    started = time.perf_counter()
    batch = read(f"{ONE}grid: {{conf_level: [{levels}], n_draws: [1, 2]}}")
    assert len(batch.runs) == 2_000
    assert time.perf_counter() - started < 4


def test_what_is_left_is_listed_shortened_and_timed_by_what_is_known(read, tmp_path, monkeypatch):
    two = "notebooks: [one.ipynb, two.ipynb]\ntrials: [a/trial]\ngrid: {endpoint: [PFS, OS], n_draws: [1, 2]}"
    batch = read(two, out=tmp_path / "batch")
    lines = estimate.describe_batch(batch, 2).splitlines()
    assert lines[0].split() == ["run", "notebook", "endpoint", "n_draws"]
    assert lines[1].split() == ["1", "one-PFS-1", "one", "PFS", "1"]
    assert {line.index(" one ") for line in lines[1:5]} == {lines[0].index(" notebook ")}
    unknown = "6 runs, 0 finished already; how long they take is not known before a first of them has run"
    assert lines[-1] == unknown
    finished = {batch.runs[0].fingerprint, "of another plan"}
    monkeypatch.setattr(estimate, "list_finished", lambda folder: finished)
    told = []
    monkeypatch.setattr(estimate, "estimate_seconds", lambda *asked: told.append(asked) or 700.0)
    last = estimate.describe_batch(replace(batch, notes=("note",)), 2).splitlines()[-2:]
    assert last == ["note", "6 runs, 1 finished already; about 12 minutes to go"]
    assert told == [(tmp_path / "batch", ["one"] * 3 + ["two"] * 2, 2)]
    assert "6 runs, 0 finished already; about" in estimate.describe_batch(batch, 2, force=True)
    many = read(f"{ONE}grid: {{n_draws: [{', '.join(map(str, range(1, 101)))}]}}", out=tmp_path / "batch")
    lines = estimate.describe_batch(many, 2).splitlines()
    assert len(lines) == 1 + 40 + 1 + 1
    assert [line.split()[0] for line in (lines[20], lines[21], lines[22])] == ["20", "...", "81"]


def write_manifest(folder, seconds, notebook="one", status="ok"):
    folder.mkdir(parents=True)
    entry = {"status": status, "seconds": seconds}
    (folder / "manifest.json").write_text(json.dumps({"nkhcc": "1", "notebooks": {notebook: entry}}))


def test_time_is_told_by_the_nearest_runs_of_a_notebook_and_no_more_at_a_time_than_cores(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(estimate.os, "cpu_count", lambda: 2)
    folder, around = tmp_path / "batch", 10.0
    assert estimate.estimate_seconds(folder, [], 2) == 0
    write_manifest(tmp_path / "x", 1.0, status="failed")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "manifest.json").write_text("torn {")
    assert estimate.estimate_seconds(folder, ["one"], 2) is None
    for place, seconds in {"other/runs/a": 100.0, "report": 40.0, "batch/runs/a": 20.0}.items():
        write_manifest(tmp_path / place, seconds)
        assert estimate.estimate_seconds(folder, ["one"] * 6, 2) == around + 3 * seconds
    assert estimate.estimate_seconds(folder, ["one"] * 6, 8) == around + 3 * 20
    assert estimate.estimate_seconds(folder, ["one"] * 6, 1) == around + 6 * 20
    assert estimate.estimate_seconds(folder, ["two"], 2) is None
    write_manifest(tmp_path / "two", 300.0, "two")
    assert estimate.estimate_seconds(folder, ["one", "two", "three"], 2) == around + 300


def test_an_empty_text_is_a_value_and_null_is_none(read):
    batch = read(f"{ONE}grid: {{endpoint: [null, '', OS]}}")
    assert list_values(batch) == [{}, {"endpoint": ""}, {"endpoint": "OS"}]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_plans_of_the_project_can_be_read(path):
    batch = read_batch(path)
    assert batch.title
    assert batch.title != path.stem
    assert path.read_text().startswith("# ")
    table = list_parameters(batch)
    questions = table.groupby(["notebook", *[name for name in batch.varied if name == "endpoint"]])
    assert (questions["is_default"].sum() == 1).all()  # each has a run that the others are compared with


def test_leaving_one_out_leaves_out_every_patient():
    batch = read_batch(next(path for path in PLANS if path.stem == "leave_one_out"))
    subjects = set(grid.load_trial(warn=False).subjects["USUBJID"])
    for notebook in {run.plan.name for run in batch.runs}:
        rules = [run.plan.effective["where"] for run in batch.runs if run.plan.name == notebook]
        assert sorted(rules) == sorted(["", *(f"USUBJID != '{subject}'" for subject in subjects)])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("titel: x", "titel: is not a known key"),
        ("title: 3", "title '3': must be text"),
        ("timeout: soon", "timeout 'soon': must be a number"),
        ("trials: here", "trials 'here': must be a list"),
        ("parameters: [1]", "parameters: must hold 'key: value' lines"),
        ("runs: [{conf_type: {a: 1}}, 3]", "runs[1] '3': must hold 'key: value' lines"),
        ("seeds: few", "seeds 'few': must be a list"),
        ("notebooks: [one.ipynb, [1]]", "notebooks[1]: must be text"),
    ],
)
def test_one_wrong_key_of_a_plan_hides_no_other(refuse, wrong, told):
    rest = "grid: {conf_level: [0.9, {a: 1}, 95], n_draws: 3, show_all: [maybe], endpont: [PFS]}"
    usual = {"notebooks": "[one.ipynb]", "trials": "[a/trial]"}
    lines = [f"{key}: {value}" for key, value in usual.items() if not wrong.startswith(key)]
    problems = refuse("\n".join([*lines, wrong, rest]))
    expected = [told, "grid.conf_level[1]: must be text", "grid.n_draws '3': must be a list"]
    expected += ["run 3 (one-95", "conf_level: must lie between 0 and 1", "show_all: must be true or false"]
    expected += ["endpont: no such parameter"]
    for each in expected:
        assert any(each in problem for problem in problems), (each, problems)


def test_a_key_that_is_no_text_is_refused(refuse):
    for plan in (f'{ONE}"\\ud800": x', f'{ONE}grid: {{"\\ud800": [1]}}\ntitle: 3'):
        assert refuse(plan)[0].startswith("plan.yaml row ")


def test_a_loose_list_in_the_grid_is_told_with_the_line_to_write(read, refuse):
    problems = refuse(f"{ONE}grid: {{landmarks: [6, 12]}}")
    assert problems[0] == "grid.landmarks: each value is itself a list; for one write landmarks: [[6, 12]]"
    assert list_values(read(f"{ONE}grid: {{landmarks: [[6, 12], [3], null]}}")) == [{}, {"landmarks": [3]}]


def test_what_does_not_vary_a_notebook_is_noted(read, refuse):
    two = "notebooks: [one.ipynb, two.ipynb, bundled.ipynb]\n"
    batch = read(
        f"{two}seeds: 3\ngrid: {{endpoint: [PFS, OS], conf_level: [0.9]}}\nparameters: {{where: AGE > 1}}"
    )
    assert batch.notes == (
        "conf_level: no parameter of two and bundled, whose runs it leaves as they are",
        "seed: no parameter of one and bundled, whose runs it leaves as they are",
    )
    assert len(batch.runs) == 2 * (1 + 3 + 1)
    (problem,) = refuse(f"{ONE}seeds: 3")
    assert "seed: no such parameter" in problem
    assert not read(f"{ONE}grid: {{endpoint: [PFS, OS]}}").notes


def test_runs_of_one_name_are_numbered_and_that_is_noted(read):
    batch = read(f"{ONE}name: '{{endpoint}}'\ngrid: {{endpoint: [PFS, PFS, OS], n_draws: [1, 2, 3]}}")
    assert list_names(batch) == ["PFS", "PFS-2", "PFS-3", "OS", "OS-2", "OS-3"]
    assert batch.notes == ("runs PFS-2, PFS-3 and 2 more: numbered, because another has the same name",)


def test_trials_with_the_same_data_stay_apart_and_keep_their_fingerprints(read, folder, tmp_path):
    shutil.copytree(folder / "a" / "trial", tmp_path / "copy")
    alone = read("{notebooks: [one.ipynb], trials: [a/trial]}").runs[0]
    batch = read(f"{{notebooks: [one.ipynb], trials: [a/trial, {tmp_path}/copy]}}")
    assert [(run.name, run.trial) for run in batch.runs] == [("one-trial", "trial"), ("one-copy", "copy")]
    first, second = (run.fingerprint for run in batch.runs)
    assert first == alone.fingerprint
    assert second == f"{first}-copy"


def test_a_plan_of_the_project_is_found_by_its_name(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    batch = read_batch("interval_types")
    assert (len(batch.runs), batch.out_dir) == (8, tmp_path / "reports" / "interval_types")
    (tmp_path / "interval_types").write_text((folder / "plan.yaml").read_text())
    with pytest.raises(BatchError):
        read_batch("interval_types")  # a file of one's own comes first
