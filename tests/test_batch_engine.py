"""What a batch's folder holds, and one run executed as a worker does it, without workers."""

import errno
import gzip
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from batches import count, list_files, make_batch, tell

from nkhcc_helpers.report.results import hash_file
from nkhcc_helpers.run.batch import ledger as ledgers
from nkhcc_helpers.run.batch.grid import BatchError
from nkhcc_helpers.run.batch.ledger import Record, list_finished, open_ledger, read_ledger
from nkhcc_helpers.run.batch.work import Workplace, execute_run
from nkhcc_helpers.run.execute import Limits
from nkhcc_helpers.run.manifest import list_files as list_checksums
from nkhcc_helpers.run.manifest import read_manifest

# The ledger.


def build(folder, run, *, status="ok", fingerprint="", name=""):
    """Write a run that is whole."""
    folder.mkdir(parents=True)
    entry = {"fingerprint": fingerprint or run.fingerprint, "status": status, "seconds": 1.5, "error": ""}
    (folder / "results.json").write_text(json.dumps({"of": run.fingerprint}))
    which = f"Run {run.name}:"
    (folder / "told.html").write_text(f"<title>{which} x</title> {which} x, {which} y")
    for kind, file in (("figures", "one.svg"), ("tables", "one.csv")):
        (folder / kind / "told").mkdir(parents=True)
        (folder / kind / "told" / file).write_text("x")
    entry["files"] = list_checksums(folder, "told")
    manifest = {"nkhcc": "1", "run": name or run.name, "attempts": 1, "notebooks": {"told": entry}}
    manifest["results.json"] = hash_file(folder / "results.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Record(run.name, run.fingerprint, status, 1.5)


@pytest.fixture
def batch(tmp_path, trial_folders):
    """Six runs, none of them executed."""
    return make_batch(tmp_path, trial_folders["plain"])


@pytest.fixture
def filled(batch):
    """Five of the runs have finished and one has failed."""
    with open_ledger(batch.out_dir) as ledger:
        ledger.settle(batch.runs)
        for number, run in enumerate(batch.runs):
            folder = ledger.work / f"x-1-{run.name}"
            ledger.place(folder, build(folder, run, status="failed" if number == 5 else "ok"))
    return batch


def settle(batch):
    with open_ledger(batch.out_dir) as ledger:
        return ledger.settle(batch.runs)


def list_held(batch):
    """Which run's numbers each folder holds."""
    names = {run.fingerprint: run.name for run in batch.runs}
    folders = sorted((batch.out_dir / "runs").iterdir())
    return {path.name: names[json.loads((path / "results.json").read_text())["of"]] for path in folders}


def test_a_ledger_holds_a_line_a_run_and_nothing_else_is_left(filled):
    lines = [json.loads(line) for line in (filled.out_dir / "ledger.jsonl").read_text().splitlines()]
    assert [line["run"] for line in lines] == [run.name for run in filled.runs]
    assert lines[5]["status"] == "failed"
    assert sorted(path.name for path in filled.out_dir.iterdir()) == ["ledger.jsonl", "runs"]
    assert read_ledger(filled.out_dir)[filled.runs[2].fingerprint] == Record(
        "told-2", filled.runs[2].fingerprint, "ok", 1.5
    )


def test_there_is_no_ledger_of_a_folder_without_runs(tmp_path):
    assert read_ledger(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [*lines[:-1], lines[-1][:20]],
        lambda lines: [lines[0], b"\x00\xff{garbage\n", *lines[2:]],
        lambda lines: [lines[0], b"[]\n", b"3\n", b'{"run": "told-1"}\n', *lines[2:]],
        lambda lines: lines[1:],
        lambda lines: [],
        lambda lines: [lines[0].replace(b'"ok"', b'"oj"'), *lines[1:]],
        lambda lines: [*lines, json.dumps({**json.loads(lines[0]), "run": "../../x"}).encode() + b"\n"],
    ],
    ids=["torn", "garbage", "not a record", "deleted", "empty", "altered", "elsewhere"],
)
def test_lines_that_are_spoilt_cost_nothing(filled, spoil):
    path, before = filled.out_dir / "ledger.jsonl", read_ledger(filled.out_dir)
    path.write_bytes(b"".join(spoil(path.read_bytes().splitlines(keepends=True))))
    assert read_ledger(filled.out_dir) == before
    assert settle(filled) == {record.run: record for record in before.values()}
    lines = path.read_bytes().splitlines()
    whole = [json.loads(each)["run"] for each in lines if each.startswith(b'{"run"') and each.endswith(b"}")]
    assert set(whole) >= {run.name for run in filled.runs}


def test_a_line_says_where_a_run_is_but_its_manifest_says_what_it_is(filled):
    path = filled.out_dir / "ledger.jsonl"
    text = path.read_text()
    path.write_text(text.replace(filled.runs[0].fingerprint, "f" * 64))
    assert settle(filled)["told-0"].fingerprint == filled.runs[0].fingerprint
    path.write_text(text.replace('"failed"', '"ok"'))
    assert settle(filled)["told-5"].status == "failed"


def test_a_run_whose_folder_was_lost_has_not_finished(filled):
    shutil.rmtree(filled.out_dir / "runs" / "told-1")
    os.rename(filled.out_dir / "runs" / "told-2", filled.out_dir / "runs" / "mine")
    assert sorted(settle(filled)) == ["told-0", "told-2", "told-3", "told-4", "told-5"]
    assert not (filled.out_dir / "runs" / "mine").exists()


@pytest.mark.parametrize(
    "file", ["manifest.json", "results.json", "told.html", "figures/told/one.svg", "tables/told/one.csv"]
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_run_of_which_a_file_is_lost_or_damaged_has_not_finished(filled, file, damage):
    for run in ("told-1", "told-5"):  # which has failed
        damage(filled.out_dir / "runs" / run / file)
    with open_ledger(filled.out_dir) as ledger:
        assert sorted(ledger.settle(filled.runs)) == ["told-0", "told-2", "told-3", "told-4"]
        assert ledger.damaged == ["told-1"]


def test_runs_that_changed_places_change_folders(filled):
    first, second, *others = filled.runs
    swapped = (replace(first, name=second.name), replace(second, name=first.name), *others)
    records = settle(replace(filled, runs=swapped))
    assert records["told-0"].fingerprint == second.fingerprint
    assert list_held(filled)["told-0"] == "told-1"
    assert list_held(filled)["told-1"] == "told-0"
    assert read_manifest(filled.out_dir / "runs" / "told-0")["run"] == "told-0"
    assert settle(filled)["told-0"].fingerprint == first.fingerprint


def test_a_run_that_is_given_another_name_has_it_on_its_page(filled):
    folder, run = filled.out_dir / "runs", filled.runs[1]
    renamed = tuple(replace(each, name="mine") if each is run else each for each in filled.runs)
    settle(replace(filled, runs=renamed))
    page = folder / "mine" / "told.html"
    assert page.read_text() == "<title>Run mine: x</title> Run mine: x, Run told-1: y"
    (entry,) = read_manifest(folder / "mine")["notebooks"].values()
    assert entry["files"]["told.html"] == hash_file(page)


@pytest.mark.parametrize("place", [".work/s-1-told-0", ".work-1/s-1-told-0", ".work-1"])
def test_what_a_killed_command_left_whole_is_taken_in(batch, place):
    first = batch.runs[0]
    build(batch.out_dir / place, first)
    (batch.out_dir / "runs").mkdir()
    (batch.out_dir / ".work" / "s-1-told-1").mkdir(parents=True)
    assert list_finished(batch.out_dir) == {first.fingerprint}
    assert sorted(settle(batch)) == ["told-0"]
    assert list_held(batch) == {"told-0": "told-0"}
    assert list_finished(batch.out_dir) == {first.fingerprint}
    assert sorted(path.name for path in batch.out_dir.iterdir()) == ["ledger.jsonl", "runs"]
    assert [*read_ledger(batch.out_dir)] == [first.fingerprint]


def test_what_failed_or_is_of_another_plan_is_not_taken_in(batch):
    (batch.out_dir / "runs").mkdir(parents=True)
    build(batch.out_dir / ".work" / "s-1-told-0", batch.runs[0], status="failed")
    build(batch.out_dir / ".work" / "s-1-told-1", batch.runs[1], fingerprint="f" * 64)
    assert list_finished(batch.out_dir) == {"f" * 64}
    assert settle(batch) == {}
    assert list_files(batch.out_dir) == ["ledger.jsonl"]


def test_a_second_batch_into_a_folder_is_refused_by_name(batch):
    with open_ledger(batch.out_dir) as ledger:
        ledger.settle(batch.runs)
        with pytest.raises(BatchError, match=f"another batch .process {os.getpid()} on .* is writing"):
            settle(batch)
        assert ledger.work.is_dir()
    assert settle(batch) == {}


@pytest.mark.parametrize("name", ["manifest.json", "thesis.docx"])
def test_a_folder_of_something_else_is_refused(batch, name):
    batch.out_dir.mkdir()
    (batch.out_dir / name).write_text("mine")
    with pytest.raises(BatchError, match="holds no earlier batch"):
        settle(batch)
    assert list_files(batch.out_dir) == [name]


def test_a_folder_into_which_nothing_came_is_gone(batch):
    assert settle(batch) == {}
    assert not batch.out_dir.exists()


def test_a_file_in_the_place_of_the_folder_is_refused(batch):
    batch.out_dir.write_text("mine")
    with pytest.raises(BatchError, match="holds no earlier batch"):
        settle(batch)


def test_a_line_for_which_there_is_no_room_is_an_error_and_the_run_is_there(batch, monkeypatch):
    def write(descriptor, line):
        return real(descriptor, line[:10])

    real = os.write
    with open_ledger(batch.out_dir) as ledger:
        ledger.settle(batch.runs)
        record = build(ledger.work / "a", batch.runs[0])
        monkeypatch.setattr(ledgers.os, "write", write)
        with pytest.raises(OSError, match="No space") as caught:
            ledger.place(ledger.work / "a", record)
        assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert settle(batch) == {"told-0": record}


# One run.


def place(batch, **changes):
    (batch.out_dir / ".work").mkdir(parents=True, exist_ok=True)
    (batch.out_dir.parent / "told-0").unlink(missing_ok=True)
    usual = Workplace(batch.out_dir / ".work", "s", "failed", "plain", Limits(), 1)
    return replace(usual, **changes)


def test_a_run_leaves_its_results_tables_and_manifest(batch):
    built = execute_run(batch.runs[2], place(batch, pages="none"))
    assert built.record == replace(
        Record("told-2", batch.runs[2].fingerprint, "ok", 0), seconds=built.record.seconds
    )
    assert list_files(built.folder) == [
        "manifest.json",
        "notebooks/told.ipynb",
        "results.json",
        "tables/told/one.csv",
    ]
    results = json.loads((built.folder / "results.json").read_text())
    assert results["provenance"]["provenance"] == "illustrative"
    values = results["notebooks"]["told"]["values"]
    assert values == {"seed": 2, "square": 4, "data": values["data"]}
    seen = (batch.out_dir / "runs" / "told-2" / "notebooks" / values["data"]).resolve()
    assert seen == batch.runs[2].source
    manifest = read_manifest(built.folder)
    assert (manifest["run"], manifest["trial"], manifest["attempts"]) == ("told-2", batch.runs[2].trial, 1)
    entry = manifest["notebooks"]["told"]
    assert sorted(entry["files"]) == ["notebooks/told.ipynb", "tables/told/one.csv"]
    assert entry["fingerprint"] == batch.runs[2].fingerprint
    assert entry["parameters"] == {"seed": 2}
    assert str(batch.out_dir / ".work") not in (built.folder / "notebooks" / "told.ipynb").read_text()


def test_pages_and_notebooks_are_kept_as_asked(batch):
    built = execute_run(batch.runs[0], place(batch, pages="all", notebooks="gzip", varied=("seed", "other")))
    assert list_files(built.folder)[:4] == [
        "figures/told/one.svg",
        "manifest.json",
        "notebooks/told.ipynb.gz",
        "results.json",
    ]
    assert json.loads(gzip.decompress((built.folder / "notebooks" / "told.ipynb.gz").read_bytes()))["cells"]
    page = (built.folder / "told.html").read_text()
    assert "Executed notebook" not in page
    trial = batch.runs[0].trial
    assert f"<b>Run told-0: trial {trial}, seed 0</b>" in page
    run = replace(batch.runs[0], fingerprint=f"{batch.runs[0].fingerprint}-copy")  # its trial is there twice
    built = execute_run(run, place(batch, session="t", notebooks="none"))
    assert (built.record.status, built.record.fingerprint) == ("ok", run.fingerprint)
    assert list_files(built.folder) == ["manifest.json", "results.json", "tables/told/one.csv"]


def test_a_notebook_that_raises_is_not_tried_again_and_its_traceback_is_plain(batch):
    options = place(batch)
    tell(batch.out_dir.parent, 0, "raise")
    built = execute_run(batch.runs[0], options)
    assert (built.record.status, built.record.attempts) == ("failed", 1)
    assert built.record.error.startswith("cell 3 (In [3]): ValueError: =1+1 <b>not so</b>")
    assert built.record.error.endswith("?[31mred ?")
    text = (built.folder / "traceback.txt").read_text()
    assert 'raise ValueError("=1+1 <b>not so</b>' in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "told.html" in list_files(built.folder)
    assert count(batch.out_dir.parent, "begun") == {0: 1}


def test_a_notebook_that_runs_for_ever_is_ended(batch):
    options = place(batch, limits=Limits(seconds=4))
    tell(batch.out_dir.parent, 0, "sleep")
    built = execute_run(batch.runs[0], options)
    assert built.record.error == "cell 3: took longer than 4 s (--timeout)"
    told = (built.folder / "traceback.txt").read_text()
    assert told.startswith(f"{built.record.error}\n\nwhile this was executed:\n\nimport json, os, signal")
    assert built.record.attempts == 1
    assert "told.html" in list_files(built.folder)


def test_a_notebook_that_needs_too_much_memory_is_ended(batch):
    options = place(batch, limits=Limits(memory=900 * 10**6))
    tell(batch.out_dir.parent, 0, "memory")
    error = execute_run(batch.runs[0], options).record.error
    assert re.fullmatch(r"cell 3: needed [\d,]+ MB of memory, more than 900 MB \(--memory-limit\)", error)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("kernel", "cell 3: DeadKernelError: Kernel died"),
        ("process", "the process that executed it ended (exit code -9)"),
    ],
)
def test_what_dies_is_tried_again_and_its_results_are_the_same(batch, what, error):
    undisturbed = execute_run(batch.runs[0], place(batch)).folder / "results.json"
    options = place(batch, session="t")
    tell(batch.out_dir.parent, 0, f"{what} once")
    built = execute_run(batch.runs[0], options)
    assert (built.record.status, built.record.attempts) == ("ok", 2)
    assert (built.folder / "results.json").read_bytes() == undisturbed.read_bytes()
    options = place(batch, session="u", retries=0)
    tell(batch.out_dir.parent, 0, what)
    built = execute_run(batch.runs[0], options)
    assert (built.record.status, built.record.attempts, built.record.error) == ("failed", 1, error)
    assert "\nwhile this was executed:\n\nimport json" in (built.folder / "traceback.txt").read_text()


def test_a_run_that_was_taken_up_too_often_is_not_executed(batch):
    options = place(batch)
    for attempt in (1, 2):
        (options.work / f"s-{attempt}-told-0").mkdir()
    built = execute_run(batch.runs[0], options)
    assert (built.record.status, built.record.attempts) == ("failed", 2)
    assert built.record.error == "2 workers or kernels died while it was executed (--retries)"
    assert (built.folder / "traceback.txt").read_text() == f"{built.record.error}\n"
    assert count(batch.out_dir.parent, "begun") == {}


def test_a_full_disk_is_no_failure_of_the_run(batch):
    options = place(batch)
    tell(batch.out_dir.parent, 0, "full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        execute_run(batch.runs[0], options)
    assert caught.value.errno == errno.ENOSPC


def test_what_has_changed_since_the_plan_was_read_is_not_executed(batch):
    changed = replace(batch.runs[0], fingerprint="f" * 64)
    built = execute_run(changed, place(batch))
    assert "has changed since" in built.record.error
    assert count(batch.out_dir.parent, "begun") == {}


def test_a_run_whose_folder_is_removed_ends(batch):
    import threading

    options = place(batch)
    tell(batch.out_dir.parent, 0, "sleep")

    def remove():
        while not count(batch.out_dir.parent, "begun"):
            wait(0.05)
        options.work.rename(batch.out_dir / "gone")

    wait = threading.Event().wait
    thread = threading.Thread(target=remove)
    thread.start()
    with pytest.raises(FileNotFoundError):
        execute_run(batch.runs[0], options)
    thread.join()
    assert Path(batch.out_dir / "gone" / "s-1-told-0").is_dir()
