import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from small_notebooks import code, write_notebook
from trials import VARIANTS, write_trial

from nkhcc_helpers import __version__, cli
from nkhcc_helpers.cli import main
from nkhcc_helpers.run import run
from nkhcc_helpers.run.execute import Outcome
from nkhcc_helpers.run.run import RunResult


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """The command, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def quick(tmp_path):
    return write_notebook(tmp_path / "nb" / "quick.ipynb", code("1"))


@pytest.fixture
def fake_run(monkeypatch):
    """Stand-in for a run: calls as a run does, and keeps what it was given."""
    calls = []

    def run_notebooks(names, *, on_start, on_outcome, on_progress, **options):
        calls.append((names, options))
        on_start(len(fake_run.outcomes))
        for outcome in fake_run.outcomes:
            on_outcome(outcome)
        failed = any(outcome.error for outcome in fake_run.outcomes)
        folder = "nkhcc-partial" if failed else "nkhcc"
        return RunResult(Path.cwd() / "reports" / folder, fake_run.outcomes)

    monkeypatch.setattr(run, "run_notebooks", run_notebooks)
    fake_run.calls = calls
    fake_run.outcomes = [Outcome("01_cohort", 7.123), Outcome("02_survival", 3.0, reused=True)]
    return fake_run


def test_help_and_version(invoke):
    for arguments in ([], ["run"], ["check"]):
        done = invoke(*arguments, "--help")
        assert done.exit_code == 0
        assert "Usage:" in done.output
        assert max(map(len, done.output.splitlines())) <= 100
    run_help = " ".join(invoke("run", "--help").output.split())
    for said in ("nkhcc run 02 -p endpoint OS", "reports/<data folder>-02", "One run at a time"):
        assert said in run_help
    assert invoke("--version").output == f"nkhcc, version {__version__}\n"


@pytest.mark.parametrize("command", ["run", "batch"])
def test_help_imports_nothing_heavy(command):
    heavy = {"pandas", "numpy", "matplotlib", "papermill", "nbconvert", "dask", "distributed"}
    script = (
        "import sys\nfrom nkhcc_helpers.cli import main\n"
        f"main([{command!r}, '--help'], standalone_mode=False)\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_run_says_what_it_does_and_where_the_report_is(invoke, fake_run):
    options = ["--jobs", "2", "--resume", "--out", "x"]
    done = invoke("run", "02", "-p", "endpoint", "OS", "-p", "n", "3", *options)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "[1/2] 01_cohort  7.1 s",
        "[2/2] 02_survival  unchanged",
        f"Report: {Path('reports', 'nkhcc', 'index.html')}",
    ]
    assert done.stderr == ""
    ((names, options),) = fake_run.calls
    assert names == ("02",)
    assert options == {
        "data_dir": "",
        "given": (("endpoint", "OS"), ("n", "3")),
        "out_dir": "x",
        "jobs": 2,
        "resume": True,
    }


def test_run_names_failures_and_exits_1(invoke, fake_run):
    error = "cell 4 (In [3]): ValueError: no"
    fake_run.outcomes = [Outcome("01_cohort", 7, error), Outcome("02_survival", 3)]
    done = invoke("run")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == ["[1/2] 01_cohort  failed", "[2/2] 02_survival  3.0 s"]
    assert done.stderr.splitlines() == [
        f"01_cohort: {error}",
        f"What did run is in {Path('reports', 'nkhcc-partial')}; an earlier report was not touched.",
        "When the cause is mended, the same command with --resume executes what is missing",
    ]


def test_run_says_what_an_earlier_stopped_one_left(invoke, monkeypatch):
    kept = Path.cwd() / "reports" / "X-partial"
    monkeypatch.setattr(run, "run_notebooks", lambda *_, **__: RunResult(Path("x"), [], left=kept))
    done = invoke("run")
    assert done.exit_code == 0
    assert done.stderr == (
        f"{Path('reports', 'X-partial')} still holds what did run when an earlier run was stopped; "
        "complete that run with --resume, or delete the folder.\n"
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_run_ends_in_order_whatever_ends_it(invoke, fake_run, monkeypatch, name):
    number = getattr(signal, name)
    inherited = signal.signal(number, signal.SIG_DFL)  # nohup and a shell's background jobs ignore some

    def end(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(run, "run_notebooks", end)
    try:
        done = invoke("run")
        told = "interrupted; an earlier report was not touched\nno notebook had finished\n"
        assert (done.exit_code, done.stderr) == (130, told)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, inherited)


def test_a_command_that_is_interrupted_while_it_is_imported_ends_as_any_other(invoke, monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupt)
    done = invoke("batch", "x.yaml")
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_a_signal_set_to_be_ignored_stays_ignored(invoke, fake_run, monkeypatch):
    def end(*_, **__):
        os.kill(os.getpid(), signal.SIGHUP)
        return RunResult(Path("x"), [])

    monkeypatch.setattr(run, "run_notebooks", end)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert invoke("run").exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_run_shows_a_bar_on_a_terminal(tmp_path):
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    script = tmp_path / "script.py"
    script.write_text(
        "from nkhcc_helpers.cli.progress import Progress\n"
        "progress = Progress()\nprogress.start(2)\nprogress.step('one  1.5 s')\n"
        "progress.tell('two', 'half way')\nprogress.step('two  failed')\nprogress.close()\n"
    )
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    command = [sys.executable, script]
    done = subprocess.run(command, stderr=slave, stdout=subprocess.PIPE, text=True, check=True)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert done.stdout == ""
    assert "[1/2] one  1.5 s" in shown
    assert "[2/2] two  failed" in shown
    assert re.search(r"tw: half way .*1/2 \[", shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "endpont", "OS"], "endpont: no such parameter; did you mean 'endpoint'? known are"),
        (["-p", "n_draws", "many"], "n_draws: must be a whole number, not 'many' (quick)"),
        (["-p", "n_draws", "-5"], "n_draws: must be 1 or more, not -5 (quick)"),
        (["-p", "endpoint", "OSS"], "endpoint: must be PFS or OS, not 'OSS'; did you mean 'OS'? (quick)"),
        (["-p", "out_dir", "x"], "out_dir: set it with --out"),
        (["nothing.ipynb"], "nothing.ipynb: no such notebook"),
        (["--data", "nowhere"], "1 problem in the trial's files"),
        (["--out", "../nb"], "is not empty and holds no earlier report"),
    ],
)
def test_what_cannot_be_run_is_refused_without_a_traceback(invoke, quick, arguments, message):
    done = invoke("run", quick, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert not Path("reports").exists() or list(Path("reports").iterdir()) == []


def test_report_that_cannot_be_written_exits_1(invoke, quick):
    Path("file").write_text("")
    done = invoke("run", quick, "--out", "file/report")
    assert done.exit_code == 1
    assert done.stderr.startswith("the report cannot be written: ")


def test_parameters_are_listed_without_running(invoke, quick):
    done = invoke("run", quick, "--parameters")
    assert done.exit_code == 0
    assert done.output.splitlines()[0] == "quick"
    assert "  endpoint (str, default 'PFS'): endpoint to analyse (PARAMCD)" in done.output.splitlines()
    assert not Path("reports").exists()


def test_check_summarizes_a_good_trial(invoke, tmp_path):
    done = invoke("check", write_trial(tmp_path / "trial", variant="small"))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "SMALL: An invented trial",
        "Provenance: illustrative",
        "12 patients in 3 groups:",
        "  LOW  3 patients, 2 infusions of 0.25 relative to the normal dose  Low dose",
    ]
    shown = r"\nOS \(Overall survival\): \d+ events of 12 patients, longest \d+\.\d months\n"
    assert re.search(shown, done.stdout)
    assert lines[-1] == "0 published claims to compare with, 1 assumption"


def test_check_counts_one_of_a_kind_and_says_who_is_in_an_endpoint(invoke, tmp_path):
    files = VARIANTS["one_arm"]()
    kept = files.adsl["USUBJID"].iloc[:1]
    metadata = files.metadata | {"treatment_word": "patch", "dose_unit": "mg"}
    late = {"code": "DOR", "label": "Response", "population": "responders", "competing": "OS"}
    metadata["endpoints"] = [*metadata["endpoints"], late | {"origin": "DIAGDT"}]
    metadata["arms"] = [{**metadata["arms"][0], "infusions": 1}]
    metadata["arms"][0].pop("doses", None)
    of_one = {
        table: frame[frame["USUBJID"].isin(kept)]
        for table, frame in (("adtte", files.adtte), ("adex", files.adex.drop_duplicates("USUBJID")))
    }
    response = of_one["adtte"].query("PARAMCD == 'OS'").assign(PARAMCD="DOR", CNSR="0")
    of_one["adtte"] = pd.concat([of_one["adtte"], response])
    adsl = files.adsl[files.adsl["USUBJID"].isin(kept)].assign(DIAGDT="2014-01-01")
    adae = files.adae[files.adae["USUBJID"].isin(kept)].head(1)
    folder = write_trial(
        tmp_path / "trial", metadata=metadata, adsl=adsl, adae=adae, published=None, **of_one
    )
    told = invoke("check", folder).output
    assert "\n1 patient in 1 group:\n" in told
    assert "  1 patient, 1 patch of 1 mg  " in told
    assert "\n1 patch, 1 adverse event\n" in told
    assert re.search(r"\nDOR \(Response\): 1 event of 1 patient \(responders\), longest .*, time since", told)
    assert "since DIAGDT, OS competes\n" in told


def test_check_lists_every_problem_and_exits_2(invoke, tmp_path):
    folder = write_trial(tmp_path / "trial")
    (folder / "adex.csv").unlink()
    (folder / "adtte.csv").write_text((folder / "adtte.csv").read_text().replace("AVAL", "AVALL"))
    done = invoke("check", folder)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "ADEX" in done.stderr
    assert "AVAL" in done.stderr
    assert "Traceback" not in done.output


def test_check_lists_every_problem_or_writes_json_when_asked(invoke, tmp_path):
    folder = write_trial(tmp_path / "trial", adae=lambda old: old.assign(AETOXGR=["7"] * 100 + ["1"] * 23))
    lines = invoke("check", folder).stderr.splitlines()
    assert len(lines) == 1 + 3 + 1
    assert (
        lines[-1] == "  ADAE AETOXGR: and 97 more of the same kind, 100 in all (nkhcc check --all lists them)"
    )
    done = invoke("check", folder, "--all")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1 + 100
    done = invoke("check", folder, "--format", "json")
    assert (done.exit_code, done.stderr) == (2, "")
    told = json.loads(done.stdout)
    assert (len(told["problems"]), told["warnings"]) == (100, [])
    rule = "must be a grade, a whole number from 1 to 5"
    first = {"table": "ADAE", "row": 2, "column": "AETOXGR", "value": "7", "rule": rule, "rows": []}
    assert told["problems"][0] == first
    done = invoke("check", write_trial(tmp_path / "good"), "--format", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"problems": [], "warnings": []})


@pytest.mark.parametrize("command", [["check"], ["run", "--data"]])
def test_errors_of_trial_yaml_hide_others_and_that_is_said(invoke, tmp_path, command):
    last = "Some checks of the tables were not made, because trial.yaml has errors."
    folder = write_trial(tmp_path / "trial")
    metadata = (folder / "trial.yaml").read_text()
    (folder / "trial.yaml").write_text(metadata + "\nnot_known: 1\n")
    done = invoke(*command, folder)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == last
    (folder / "trial.yaml").write_text(metadata)
    (folder / "adex.csv").unlink()
    done = invoke(*command, folder)
    assert done.exit_code == 2
    assert last not in done.stderr


def test_check_shows_warnings(invoke, tmp_path):
    folder = write_trial(tmp_path / "trial")
    rows = (folder / "adtte.csv").read_text().splitlines()
    extra = rows[1].replace(",PFS,", ",TTP,")
    (folder / "adtte.csv").write_text("\n".join([*rows, extra]) + "\n")
    done = invoke("check", folder)
    assert done.exit_code == 0
    assert "Warning: ADTTE: endpoints that trial.yaml does not list are left out: TTP" in done.stdout


def test_check_of_the_bundled_trial_is_quick():
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nkhcc_helpers.cli", "check"], check=True, capture_output=True)
    assert time.perf_counter() - started < 10  # the benchmark holds it to 3 s on an idle machine


def test_path_outside_the_current_folder_is_shown_whole(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli.near(tmp_path / "there") == tmp_path / "there"
