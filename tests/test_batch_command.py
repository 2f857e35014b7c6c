"""`nkhcc batch` and `nkhcc compare`: what they ask of the batch, what they say, and how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from nkhcc_helpers import run
from nkhcc_helpers.cli import main
from nkhcc_helpers.run import BatchError, batch
from nkhcc_helpers.run.batch.batch import BatchResult
from nkhcc_helpers.run.batch.ledger import Record

ERROR = "cell 4 (In [3]): ValueError: no"


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def fake_batch(monkeypatch):
    """Stand-in for a batch: calls as one does, and keeps what it was given."""

    def run_batch(plan, *, on_start, on_record, on_note, **options):
        fake_batch.calls.append((plan, options))
        n_reused = fake_batch.n_reused
        on_note("something unusual")
        on_start(len(fake_batch.records), n_reused, "http://127.0.0.1:8787/status")
        for record in fake_batch.records[n_reused:]:
            on_record(record, 2)
            if fake_batch.stop:
                raise fake_batch.stop
        named = {record.run: record for record in fake_batch.records}
        return BatchResult(Path.cwd() / "reports" / "x", named, n_reused, fake_batch.unplanned)

    monkeypatch.setattr(run, "run_batch", run_batch)
    fake_batch.calls, fake_batch.n_reused, fake_batch.stop = [], 0, None
    fake_batch.unplanned = ()
    fake_batch.records = [Record("PFS", "a", "ok", 4.12), Record("OS", "b", "ok", 3.0)]
    return fake_batch


def test_batch_says_what_it_does_and_where_the_table_is(invoke, fake_batch):
    fake_batch.n_reused = 1
    done = invoke("batch", "plan.yaml")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "something unusual",
        "Dashboard: http://127.0.0.1:8787/status",
        "[2/2] OS  3.0 s",
        f"Batch: {Path('reports', 'x', 'batch.html')}",
        "2 finished, 1 of them taken over; 0 failed",
    ]


def test_batch_names_what_an_earlier_plan_left(invoke, fake_batch):
    for names, told in ((("a", "b"), "2 (a, b)"), (tuple("abcdefg"), "7 (a, b, c, d, e, ...)")):
        fake_batch.unplanned = names
        done = invoke("batch", "plan.yaml")
        assert done.stdout.endswith(f"\nAlso in its runs/, from an earlier plan and in no table: {told}\n")


def test_batch_passes_its_options_on(invoke, fake_batch):
    unset = dict.fromkeys(["jobs", "timeout", "pages", "keep_notebooks"])
    defaults = {"out": "", "scheduler": "", "memory_limit": "", "retries": 1, "force": False} | unset
    invoke("batch", "plan.yaml")
    given = "--out x --jobs 3 --scheduler tcp://127.0.0.1:1 --memory-limit 2GiB --retries 0 --timeout 90"
    invoke("batch", "b.yaml", *given.split(), "--pages", "none", "--keep-notebooks", "gzip", "--force")
    assert fake_batch.calls[0] == ("plan.yaml", defaults)
    assert fake_batch.calls[1] == (
        "b.yaml",
        {
            "out": "x",
            "jobs": 3,
            "scheduler": "tcp://127.0.0.1:1",
            "memory_limit": "2GiB",
            "retries": 0,
            "timeout": 90.0,
            "pages": "none",
            "keep_notebooks": "gzip",
            "force": True,
        },
    )


def test_batch_names_the_first_failures_and_exits_1(invoke, fake_batch):
    fake_batch.records = [Record(f"seed-{i}", str(i), "failed", 1.0, ERROR) for i in range(7)]
    done = invoke("batch", "plan.yaml")
    assert done.exit_code == 1
    assert f"[3/7] seed-2  failed: {ERROR}" in done.stdout.splitlines()
    assert done.stderr.splitlines() == [
        *(f"seed-{i}: {ERROR}" for i in range(5)),
        "and 2 more, which the table names",
    ]
    assert done.stdout.splitlines()[-2:] == [
        f"Batch: {Path('reports', 'x', 'batch.html')}",
        "0 finished, 0 of them taken over; 7 failed",
    ]


@pytest.mark.parametrize(
    ("stop", "code", "first"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 1, "stopped: [Errno 28] No space left on device"),
    ],
)
def test_batch_that_is_stopped_says_what_has_finished(invoke, fake_batch, stop, code, first):
    stop.add_note("finished: 1 of 2 runs, kept in x")
    fake_batch.stop = stop
    done = invoke("batch", "plan.yaml")
    kept = ["finished: 1 of 2 runs, kept in x", "the same command executes what is missing"]
    assert (done.exit_code, done.stderr.splitlines()) == (code, [first, *kept])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_batch_ends_in_order_whatever_ends_it(invoke, monkeypatch, name):
    number = getattr(signal, name)
    inherited = signal.signal(number, signal.SIG_DFL)  # nohup and a shell's background jobs ignore some
    monkeypatch.setattr(run, "run_batch", lambda *_, **__: os.kill(os.getpid(), number))
    try:
        assert invoke("batch", "plan.yaml").exit_code == 130
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, inherited)


TWICE = """
import os, signal, time
from nkhcc_helpers.parallel import interruptible

signal.signal(signal.SIGINT, signal.default_int_handler)
with interruptible():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("in order", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
"""


def test_whoever_interrupts_again_does_not_wait():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "in order\n", "")


@pytest.mark.parametrize(
    "error",
    [
        BatchError(["one: no such parameter", "two: no such trial"]),
        BatchError(["another batch (process 7) is writing x"]),
    ],
)
def test_what_a_batch_cannot_do_is_said_without_a_traceback(invoke, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(run, "run_batch", refuse)
    monkeypatch.setattr(batch, "read_batch", refuse)
    for arguments in ([], ["--dry-run"]):
        done = invoke("batch", "plan.yaml", *arguments)
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"{error}\n")


def test_dry_run_lists_the_runs_and_runs_nothing(invoke, fake_batch, monkeypatch):
    seen = []
    monkeypatch.setattr(batch, "read_batch", lambda path, **options: seen.append((path, options)) or "batch")
    monkeypatch.setattr(batch, "describe_batch", lambda *told, force: f"{told} {force}")
    done = invoke("batch", "plan.yaml", "--dry-run", "--jobs", "3", "--pages", "none", "--force")
    assert (done.exit_code, done.stdout) == (0, "('batch', 3) True\n")
    options = {"out": "", "pages": "none", "keep_notebooks": None, "timeout": None}
    assert (seen, fake_batch.calls) == ([("plan.yaml", options)], [])


def test_a_plan_that_is_not_there_is_refused(invoke):
    for arguments in ([], ["--dry-run"]):
        done = invoke("batch", "nowhere.yaml", *arguments)
        assert done.exit_code == 2
        assert "nowhere.yaml" in done.stderr
        assert "Traceback" not in done.output


BAR = """
from nkhcc_helpers.cli.batch import _BatchProgress
from nkhcc_helpers.run.batch.ledger import Record
progress = _BatchProgress()
progress.begin(4, 1, "")
progress.advance(Record("fine", "a", "ok", 2.0), 2)
progress.advance(Record("bad", "b", "failed", 2.0, "no"), 1)
progress.close()
"""


def test_on_a_terminal_only_failures_have_a_line():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    done = subprocess.run([sys.executable, "-c", BAR], stderr=slave, stdout=subprocess.PIPE, text=True)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert (done.returncode, done.stdout) == (0, "")
    assert "[3/4] bad  failed: no" in shown
    assert "fine" not in shown
    assert "3/4, 1 running, 1 failed [" in shown
    assert " left]" in shown


@pytest.mark.parametrize(("differs", "code"), [(False, 0), (True, 1)])
def test_compare_shows_what_differs_and_exits_so(invoke, monkeypatch, differs, code):
    seen = []
    values = pd.DataFrame({"name": ["p"], "differs": [differs]})
    monkeypatch.setattr(batch, "compare_reports", lambda *given: seen.append(given) or values)
    monkeypatch.setattr(batch, "describe_comparison", lambda *_, every: f"every {every}")
    done = invoke("compare", "a", "b", "--tolerance", "0.5", "--all")
    assert (done.exit_code, done.stdout) == (code, "every True\n")
    assert seen == [(Path("a"), Path("b"), 0.5)]


def test_compare_refuses_a_folder_without_results(invoke):
    done = invoke("compare", "nowhere", "either")
    assert done.exit_code == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.output
