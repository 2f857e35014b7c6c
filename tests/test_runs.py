"""Runs in full, with kernels: few, and each looked at from many sides."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from small_notebooks import PAGED, PARAMETERS, code, prose, write_notebook
from trials import write_trial

from nkhcc_helpers.run import plan as planning
from nkhcc_helpers.run import run as plan
from nkhcc_helpers.run.parameters import ParameterError
from nkhcc_helpers.run.publish import PublishError
from nkhcc_helpers.run.run import run_notebooks
from nkhcc_helpers.trial.problems import TrialDataError

IMAGE = "<img src=x onerror=alert(1)>"
WHY = "the trial has no published.yaml; name it to run it all the same"


def read_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_executed(report, name):
    cells = read_json(report / "notebooks" / f"{name}.ipynb")["cells"]
    return "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))


def list_reports(folder):
    return sorted(path.name for path in folder.iterdir())


def list_hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A run of two notebooks on the trial that holds markup and formulas."""
    folder = tmp_path_factory.mktemp("hostile")
    data = write_trial(folder / "trial {x}", variant="hostile")
    bare = code("print(endpoint, landmarks, data_dir, out_dir)")
    notebooks = [
        write_notebook(folder / "nb" / "paged.ipynb", prose("## Everything"), code(PAGED)),
        write_notebook(folder / "nb" / "bare {x}.ipynb", bare),
    ]
    seen = []
    result = run_notebooks(
        list(map(str, notebooks)),
        data_dir=data,
        given=[("endpoint", "OS"), ("landmarks", "[3]")],
        out_dir=folder / "reports" / "out",
        jobs=2,
        on_start=lambda total: seen.append(total),
        on_outcome=lambda outcome: seen.append(outcome.name),
    )
    return folder, result, seen


def test_report_stands_where_it_was_asked_for(hostile_run):
    folder, result, seen = hostile_run
    assert result.folder == folder / "reports" / "out"
    assert result.failed == []
    assert seen[0] == 2
    assert sorted(seen[1:]) == ["bare {x}", "paged"]
    assert [path.name for path in (folder / "reports").iterdir()] == ["out"]


def test_report_holds_what_it_should_and_nothing_else(hostile_run):
    _, result, _ = hostile_run
    assert sorted(read_files(result.folder)) == [
        "bare {x}.html",
        "figures/paged/first.png",
        "figures/paged/first.svg",
        "figures/paged/second.png",
        "figures/paged/second.svg",
        "glossary.html",
        "index.html",
        "manifest.json",
        "notebooks/bare {x}.ipynb",
        "notebooks/paged.ipynb",
        "paged.html",
        "results.json",
        "tables/paged/texts.csv",
    ]
    assert list_hidden(result.folder) == []


def test_notebooks_get_their_parameters_and_paths_that_stay_true(hostile_run):
    folder, result, _ = hostile_run
    assert read_executed(result.folder, "bare {x}") == "OS [3] ../../../trial {x} ..\n"
    assert (result.folder / "notebooks" / "../../../trial {x}").resolve() == folder / "trial {x}"


def test_nothing_in_the_report_names_the_folder_it_was_built_in(hostile_run):
    _, result, _ = hostile_run
    for name, content in read_files(result.folder).items():
        assert b".nkhcc.building" not in content, name
        assert str(result.folder.parent).encode() not in content, name


def test_manifest_says_what_went_in(hostile_run):
    folder, result, _ = hostile_run
    manifest = read_json(result.folder / "manifest.json")
    assert manifest["data"]["folder"] == "../../../trial {x}"
    names = sorted(path.name for path in (folder / "trial {x}").iterdir())
    assert sorted(manifest["data"]["files"]) == names
    entry = manifest["notebooks"]["paged"]
    assert entry["parameters"]["endpoint"] == "OS"
    assert entry["parameters"]["landmarks"] == [3]
    assert entry["parameters"]["n_draws"] == 1000
    assert entry["status"] == "ok"
    assert 0 < entry["seconds"] < manifest["seconds"]
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest["started"])


def test_results_hold_every_value_by_name(hostile_run):
    _, result, _ = hostile_run
    results = read_json(result.folder / "results.json")
    assert results["provenance"]["provenance"] == "illustrative"
    assert results["notebooks"]["bare {x}"] == {}
    paged = results["notebooks"]["paged"]
    assert paged["values"]["n"] == 12
    assert paged["values"]["median"] == "NE"
    assert IMAGE in paged["values"]["label"]
    assert paged["tables"]["texts"]["rows"][1] == {"text": IMAGE, "number": "NE"}


def test_hostile_text_is_shown_as_text_in_every_page(hostile_run):
    _, result, _ = hostile_run
    for page in result.folder.glob("*.html"):
        markup = page.read_text(encoding="utf-8")
        assert "<img src=x" not in markup, page.name
        assert markup.count("<script") == (page.name not in ("index.html", "glossary.html")), page.name
    assert "&lt;img src=x onerror=alert(1)&gt;" in (result.folder / "paged.html").read_text(encoding="utf-8")


def test_formulas_are_text_in_every_export(hostile_run):
    _, result, _ = hostile_run
    table = (result.folder / "tables" / "paged" / "texts.csv").read_text(encoding="utf-8")
    assert table == f"text,number\n'=1+1,1.5\n{IMAGE},\n"


def test_index_shows_the_main_figure(hostile_run):
    _, result, _ = hostile_run
    index = (result.folder / "index.html").read_text(encoding="utf-8")
    assert 'src="figures/paged/second.png"' in index
    assert "first.png" not in index
    assert "About paged" in index
    assert "<dt>endpoint</dt><dd>OS</dd>" in index
    assert "<dt>n_draws</dt>" not in index  # it has its default


DEATHS = {
    "raises": "x = 1\nraise ValueError('no <b> good\\n\\nsecond \\x1b[31m\\nthird\\nfourth')",
    "dies": "import os\nos._exit(3)",
    "kills": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
}


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory):
    """An earlier report, then a run of three notebooks that end badly and one that does not."""
    folder = tmp_path_factory.mktemp("failed")
    target = folder / "out"
    target.mkdir()
    (target / "manifest.json").write_text('{"nkhcc": "0", "notebooks": {"quick": {"seconds": 1.5}}}')
    (target / "index.html").write_text("earlier")
    notebooks = []
    for name, text in DEATHS.items():
        notebooks.append(write_notebook(folder / f"{name}.ipynb", prose("two"), code(text)))
    notebooks.append(write_notebook(folder / "quick.ipynb", code("print(endpoint)")))
    return folder, notebooks, run_notebooks(list(map(str, notebooks)), out_dir=target, jobs=2)


def test_every_failure_is_named_and_the_others_finish(failed_run):
    _, _, result = failed_run
    raised, died, killed, quick = result.outcomes
    assert raised.error == "cell 4 (In [3]): ValueError: no <b> good\nsecond ?[31m\nthird"
    assert died.error == "cell 4: DeadKernelError: Kernel died"
    assert killed.error == "the process that executed it ended (exit code -9)"
    assert quick.error == ""
    assert result.failed == [raised, died, killed]


def test_earlier_report_is_untouched_by_failures(failed_run):
    folder, _, _ = failed_run
    assert sorted(read_files(folder / "out")) == ["index.html", "manifest.json"]
    assert (folder / "out" / "index.html").read_text() == "earlier"
    assert list_hidden(folder) == []


def test_what_did_run_is_kept_beside_it(failed_run):
    folder, _, result = failed_run
    assert result.folder == folder / "out-partial"
    assert read_executed(result.folder, "quick") == "PFS\n"
    manifest = read_json(result.folder / "manifest.json")
    statuses = [entry["status"] for entry in manifest["notebooks"].values()]
    assert statuses == ["failed", "failed", "failed", "ok"]
    assert manifest["notebooks"]["raises"]["error"].startswith("cell 4")
    page = (result.folder / "raises.html").read_text(encoding="utf-8")
    assert "no &lt;b&gt; good" in page
    index = (result.folder / "index.html").read_text(encoding="utf-8")
    assert "Failed: cell 4 (In [3]): ValueError: no &lt;b&gt; good" in index


@pytest.mark.no_cover
def test_resume_executes_only_what_is_missing(failed_run, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(failed_run[0], folder)
    notebooks = [str(folder / "raises.ipynb"), str(folder / "quick.ipynb")]
    write_notebook(folder / "raises.ipynb", code("print('mended')"))
    result = run_notebooks(notebooks, out_dir=folder / "out", resume=True)
    assert [outcome.reused for outcome in result.outcomes] == [False, True]
    assert result.folder == folder / "out"
    assert read_executed(folder / "out", "raises") == "mended\n"
    assert read_executed(folder / "out", "quick") == "PFS\n"
    assert (folder / "out-partial").is_dir()  # it holds notebooks that this run did not
    assert result.left == folder / "out-partial"
    manifest = read_json(folder / "out" / "manifest.json")
    assert manifest["notebooks"]["quick"]["reused"] is True
    assert "taken over from an earlier run" in (folder / "out" / "index.html").read_text(encoding="utf-8")

    ways = re.findall(r'rel="(\w+)" href="([^"]+)"', (folder / "out" / "quick.html").read_text("utf-8"))
    assert set(ways) == {("prev", "raises.html")}  # in the earlier report there were other pages beside it

    again = run_notebooks(notebooks, out_dir=folder / "out", resume=True)
    assert [outcome.reused for outcome in again.outcomes] == [True, True]

    other = [("endpoint", "OS")]
    before = read_files(folder / "out")
    last = run_notebooks([notebooks[1]], out_dir=folder / "other", given=other, resume=True)
    assert [outcome.reused for outcome in last.outcomes] == [False]
    assert read_files(folder / "out") == before


def test_a_good_run_removes_what_a_stopped_one_kept(tmp_path):
    notebook = str(write_notebook(tmp_path / "one.ipynb", code("1 / 0")))
    failed = tmp_path / "out-partial"
    failed.mkdir()
    (failed / "manifest.json").write_text('{"nkhcc": "0", "notebooks": {"one": {}}}')
    write_notebook(tmp_path / "one.ipynb", code("1 / 1"))
    result = run_notebooks([notebook], out_dir=tmp_path / "out")
    assert (result.folder, result.left) == (tmp_path / "out", None)
    assert not failed.exists()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two notebooks in whose folder runs are made; its reports."""
    for name in ("01_one", "02_two"):
        write_notebook(tmp_path / "own" / f"{name}.ipynb", code("print(endpoint)"))
    monkeypatch.setattr(planning, "locate_notebooks", lambda: tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "reports"


@pytest.mark.no_cover
def test_a_run_of_some_notebooks_leaves_the_report_of_all_alone(project, tmp_path):
    data = write_trial(tmp_path / "X", variant="plain")
    assert run_notebooks(data_dir=data, jobs=2).folder == project / "X"
    before = read_files(project / "X")
    (project / "X-partial").mkdir()
    (project / "X-partial" / "manifest.json").write_text('{"nkhcc": "0", "notebooks": {"01_one": {}}}')
    result = run_notebooks(["02"], data_dir=data, given=[("endpoint", "OS")])
    assert (result.folder, result.left) == (project / "X-02", project / "X-partial")
    assert read_executed(project / "X-02", "02_two") == "OS\n"
    assert read_files(project / "X") == before
    assert list_reports(project) == ["X", "X-02", "X-partial"]


def test_a_run_of_some_notebooks_replaces_no_other_pages_unasked(project, tmp_path):
    data = write_trial(tmp_path / "X", variant="plain")
    (project / "X-02").mkdir(parents=True)
    (project / "X-02" / "manifest.json").write_text('{"nkhcc": "0", "notebooks": {"01_one": {}}}')
    with pytest.raises(
        PublishError, match=r"X-02 holds a report with other pages \(01_one\); name the folder"
    ):
        run_notebooks(["02"], data_dir=data)
    assert run_notebooks(["02"], data_dir=data, out_dir="reports/X-02").folder == project / "X-02"


@pytest.fixture
def quick(tmp_path):
    return str(write_notebook(tmp_path / "nb" / "quick.ipynb", code("1")))


def test_bad_trial_stops_the_run_before_anything(tmp_path, quick):
    data = write_trial(tmp_path / "trial")
    (data / "adsl.csv").write_text("USUBJID\n")
    with pytest.raises(TrialDataError):
        run_notebooks([quick], data_dir=data, out_dir=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nb", "trial"]


def test_wrong_parameter_stops_the_run_before_anything(tmp_path, quick):
    with pytest.raises(ParameterError):
        run_notebooks([quick], given=[("endpont", "OS")], out_dir=tmp_path / "reports" / "out")
    assert not (tmp_path / "reports").exists()


def test_wrong_value_stops_the_run_before_anything(tmp_path, quick):
    data = write_trial(tmp_path / "trial")
    given = [("endpoint", "os"), ("conf_level", "95"), ("n_draws", "0")]
    with pytest.raises(ParameterError) as caught:
        run_notebooks([quick], data_dir=data, given=given, out_dir=tmp_path / "reports" / "out")
    assert caught.value.problems == (
        "endpoint: must be PFS or OS, not 'os'; did you mean 'OS'? (quick)",
        "conf_level: must lie between 0 and 1, such as 0.95, not 95.0; did you mean 0.95? (quick)",
        "n_draws: must be 1 or more, not 0 (quick)",
    )
    assert not (tmp_path / "reports").exists()


def test_report_never_replaces_the_data_it_is_made_from(tmp_path, quick):
    data = write_trial(tmp_path / "trial" / "data")
    (tmp_path / "trial" / "manifest.json").write_text('{"nkhcc": "0"}')
    with pytest.raises(PublishError, match="holds the trial's data"):
        run_notebooks([quick], data_dir=data, out_dir=tmp_path / "trial")
    with pytest.raises(PublishError, match="holds the trial's data"):
        run_notebooks([quick], data_dir=data, out_dir=data)


def test_folder_for_what_is_kept_is_checked_too(tmp_path, quick):
    (tmp_path / "out-partial").mkdir()
    (tmp_path / "out-partial" / "notes.txt").write_text("mine")
    with pytest.raises(PublishError, match="out-partial is not empty"):
        run_notebooks([quick], out_dir=tmp_path / "out")


START = """from pathlib import Path
import os, time
mark = Path(r"{marker}")
mark.write_text(f"{{os.getpid()}} {{os.getppid()}}")
Path("half-made.txt").write_text("of it")
while mark.exists():
    time.sleep(0.05)"""
QUICK = signal.SIGINT  # `test_cli` turns each of the three into one interruption
SLOW = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP)]


def start_run(*arguments):
    """Start the command; a shell's background jobs ignore some signals, and would hand that on."""

    def listen():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "-m", "nkhcc_helpers.cli", "run", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, preexec_fn=listen, **pipes)


@pytest.fixture
def sleeping(tmp_path):
    """The command over an earlier report, running a notebook that sleeps, after one that is finished."""
    marker = tmp_path / "started"
    sleeps = write_notebook(tmp_path / "sleeps.ipynb", code(START.format(marker=marker)))
    done = write_notebook(tmp_path / "done.ipynb", code(PAGED))
    target = tmp_path / "reports" / "out"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text('{"nkhcc": "0"}')
    (target / "index.html").write_text("earlier")
    process = start_run(sleeps, done, "--out", target, "--jobs", 1)  # the last of them first
    wait_until(lambda: marker.exists() and len(marker.read_text().split()) == 2, process)
    yield process, target, [int(number) for number in marker.read_text().split()]
    process.kill()
    process.communicate()


def wait_until(is_so, process=None, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def is_running(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def check_partial(target, tmp_path):
    """What was finished is there and said to be part; going on with it executes the rest only."""
    partial = target.with_name("out-partial")
    assert (target / "index.html").read_text() == "earlier"
    files = sorted(read_files(partial))
    assert [name for name in files if "/" not in name] == [
        "done.html", "glossary.html", "index.html", "manifest.json", "results.json", "sleeps.html",
    ]  # fmt: skip
    assert "was not executed" in (partial / "sleeps.html").read_text("utf-8")
    assert "notebooks/sleeps.ipynb" not in files
    manifest = read_json(partial / "manifest.json")
    assert manifest["complete"] is False
    statuses = {name: entry["status"] for name, entry in manifest["notebooks"].items()}
    assert statuses == {"sleeps": "not executed", "done": "ok"}
    assert read_json(partial / "results.json")["notebooks"]["done"]["values"]["n"] == 18
    index = (partial / "index.html").read_text(encoding="utf-8")
    assert "<b>Partial report.</b> Finished: 1 of 2 notebooks." in index
    assert "Not executed: the run was stopped before it had ended" in index
    check_links(partial)

    notebooks = [str(tmp_path / f"{name}.ipynb") for name in ("sleeps", "done")]
    (tmp_path / "sleeps.ipynb").unlink()
    write_notebook(tmp_path / "sleeps.ipynb", code("print('awake')"))
    result = run_notebooks(notebooks, out_dir=target, resume=True)
    assert [outcome.reused for outcome in result.outcomes] == [False, True]
    assert "Partial report" not in (target / "index.html").read_text(encoding="utf-8")
    assert read_json(target / "manifest.json")["complete"] is True
    assert list_reports(target.parent) == ["out"]


def check_folder_is_held(process, target, notebook):
    """A second run into the folder of one that is running is refused, and one into another folder is not."""
    second = start_run(notebook, "--out", target)
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (2, "")
    assert f"another run (process {process.pid}) is writing {target}; wait" in err
    assert process.poll() is None
    assert run_notebooks([notebook], out_dir=target.with_name("other")).failed == []
    shutil.rmtree(target.with_name("other"))


def test_killed_run_leaves_the_earlier_report_whole(sleeping, quick, tmp_path):
    process, target, helpers = sleeping
    check_folder_is_held(process, target, quick)
    process.kill()
    process.wait()
    assert sorted(read_files(target)) == ["index.html", "manifest.json"]
    assert (target / "index.html").read_text() == "earlier"
    wait_until(lambda: not any(map(is_running, helpers)), seconds=20)
    assert list_hidden(target.parent) == [f".nkhcc.building-out-{process.pid}"]

    other = write_notebook(tmp_path / "other.ipynb", code("print('next')"))
    result = run_notebooks([str(other)], out_dir=target.with_name("other"))
    assert result.left is None  # it is of another report
    shutil.rmtree(target.with_name("other"))
    assert list_reports(target.parent) == ["out", "out-partial"]
    check_partial(target, tmp_path)


@pytest.mark.no_cover
@pytest.mark.parametrize("number", [QUICK, *SLOW])
def test_interrupted_run_keeps_what_had_finished(sleeping, tmp_path, number):
    process, target, helpers = sleeping
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.fullmatch(r"\[1/2\] done  \d+\.\d s\n", out)
    assert err.splitlines() == [
        "interrupted; an earlier report was not touched",
        f"finished: 1 of 2 notebooks, kept in {target}-partial",
        "the same command with --resume executes what is missing",
    ]
    assert not any(map(is_running, helpers))
    assert list_reports(target.parent) == ["out", "out-partial"]
    check_partial(target, tmp_path)


class Stop(BaseException):
    """Stands for whatever ends a run."""


def stop_at(name):
    def on_outcome(outcome):
        if outcome.name == name:
            raise Stop

    return on_outcome


@pytest.mark.no_cover
def test_a_run_stopped_again_loses_nothing(tmp_path):
    one, two = [str(write_notebook(tmp_path / f"{name}.ipynb", code("print(1)"))) for name in ("one", "two")]
    out, partial = tmp_path / "reports" / "out", tmp_path / "reports" / "out-partial"
    with pytest.raises(Stop) as stopped:
        run_notebooks([one, two], out_dir=out, jobs=1, on_outcome=stop_at("two"))
    assert stopped.value.__notes__ == [f"finished: 1 of 2 notebooks, kept in {partial}"]
    before = read_files(partial)
    with pytest.raises(Stop) as stopped:
        run_notebooks([two, one], out_dir=out, jobs=1, on_outcome=stop_at("one"))
    assert stopped.value.__notes__ == [f"finished: 2 of 2 notebooks, kept in {partial}"]
    after = read_files(partial)
    assert after["notebooks/two.ipynb"] == before["notebooks/two.ipynb"]
    with pytest.raises(Stop) as stopped:
        run_notebooks([one, two], out_dir=out, given=[("n_draws", "9")], on_start=lambda _: stop_at(1)(Other))
    assert not hasattr(stopped.value, "__notes__")
    assert read_files(partial) == after
    result = run_notebooks([one, two], out_dir=out, resume=True)
    assert [outcome.reused for outcome in result.outcomes] == [True, True]
    assert list_reports(out.parent) == ["out"]


class Other:
    name = 1


def test_a_full_disk_at_the_end_keeps_what_had_finished(tmp_path, monkeypatch):
    one, two = [str(write_notebook(tmp_path / f"{name}.ipynb", code("print(1)"))) for name in ("one", "two")]
    write, calls = plan.write_summaries, []

    def fill_up(run):
        calls.append(run)
        if len(calls) > 1:
            (run.building / "index.html").write_text("whole")
            raise OSError(28, "No space left on device")
        write(run)

    monkeypatch.setattr(plan, "write_summaries", fill_up)
    with pytest.raises(OSError, match="No space left") as stopped:
        run_notebooks([one, two], out_dir=tmp_path / "out", jobs=1)
    partial = tmp_path / "out-partial"
    assert stopped.value.__notes__ == [f"finished: 1 of 2 notebooks, kept in {partial}"]
    assert read_json(partial / "manifest.json")["notebooks"]["one"]["status"] == "not executed"
    monkeypatch.undo()
    result = run_notebooks([one, two], out_dir=tmp_path / "out", resume=True)
    assert [outcome.reused for outcome in result.outcomes] == [False, True]


NAMES = ["check #1 50%", "why? é \"so\" 'it' & <b>", "a:b;c=d [x] {y}"]


class Links(HTMLParser):
    """Addresses and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src"):
                self.addresses.append(value)
            if name == "id":
                self.anchors.add(value)


def check_links(report):
    """Every address of every page leads to a file of the report, or to a place on a page."""
    pages = {page.name: Links(page.read_text(encoding="utf-8")) for page in report.glob("*.html")}
    for name, links in pages.items():
        for address in links.addresses:
            parts = urlsplit(address)
            if parts.scheme in ("data", "http", "https"):
                continue
            assert (parts.scheme, parts.netloc, parts.query) == ("", "", ""), address
            there = unquote(parts.path) or name
            assert (report / there).is_file(), (name, address)
            assert not parts.fragment or parts.fragment in pages[there].anchors, (name, address)


def test_every_link_of_a_report_leads_somewhere(tmp_path):
    heading = prose("## 50 % of #1 & 'two' <b>é</b>?")
    notebooks = [str(write_notebook(tmp_path / f"{name}.ipynb", heading, code(PAGED))) for name in NAMES]
    result = run_notebooks(notebooks, out_dir=tmp_path / "out #2 50%", jobs=2)
    assert result.failed == []
    assert {page.stem for page in result.folder.glob("*.html")} == {"glossary", "index", *NAMES}
    check_links(result.folder)
    index = Links((result.folder / "index.html").read_text(encoding="utf-8"))
    assert "check%20%231%2050%25.html" in index.addresses
    assert "figures/check%20%231%2050%25/second.png" in index.addresses


@pytest.mark.slow
def test_everything_that_one_group_allows_is_published(tmp_path):
    data = write_trial(tmp_path / "one", variant="one_arm")
    given = [("n_cohorts", "20"), ("n_side", "0"), ("n_trials", "50")]
    result = run_notebooks(
        ["01", "02", "03", "04", "05"], data_dir=data, given=given, out_dir=tmp_path / "out"
    )
    assert [(outcome.name, outcome.error) for outcome in result.outcomes if outcome.error] == []
    check_links(result.folder)
    for page in result.folder.glob("0*.html"):
        assert page.name.startswith("01") or "needs two groups" in page.read_text(encoding="utf-8")


def test_a_notebook_without_its_file_is_left_out_unless_named(project, tmp_path):
    parameters = PARAMETERS + "\nof_paper: int = 1"
    path = write_notebook(tmp_path / "own" / "03_of_a_paper.ipynb", code("1"), parameters=parameters)
    notebook = nbformat.read(str(path), as_version=4)
    notebook.metadata["nkhcc"] = {"only_with": "published.yaml"}
    nbformat.write(notebook, str(path))
    data = write_trial(tmp_path / "X", variant="small", published=None)
    result = run_notebooks(data_dir=data, jobs=2)
    assert result.folder == project / "X"
    assert [outcome.name for outcome in result.outcomes] == ["01_one", "02_two"]
    assert [(each.name, why) for each, why in result.left_out] == [("03_of_a_paper", WHY)]
    assert read_json(project / "X" / "manifest.json")["left_out"] == {"03_of_a_paper": WHY}
    page = (project / "X" / "index.html").read_text(encoding="utf-8")
    assert f"Left out: <b>About 03ofapaper</b>, since {WHY}." in page
    with pytest.raises(ParameterError, match="of_paper: 03_of_a_paper alone has it, which is left out"):
        run_notebooks(data_dir=data, given=[("of_paper", "2")])
    named = run_notebooks(["03"], data_dir=data)
    assert [outcome.name for outcome in named.outcomes] == ["03_of_a_paper"]
    assert named.left_out == []


def test_how_far_a_notebook_is_comes_to_the_one_who_runs_it(tmp_path):
    told = "import os, pathlib, time\npathlib.Path(os.environ['NKHCC_PROGRESS']).write_text('half way')\n"
    told += "time.sleep(1.5)"
    one = write_notebook(tmp_path / "one.ipynb", code(told))
    lines = []
    run_notebooks([str(one)], out_dir=tmp_path / "out", on_progress=lambda *line: lines.append(line))
    assert lines == [("one", "half way")]
