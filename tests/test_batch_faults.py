"""Batches by workers in processes of their own, and what is killed, full or lost while they run.

After each fault the same call is made again: nothing that had finished is lost or executed twice, and all
results are those of a batch that nothing disturbed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from batches import (
    count,
    list_files,
    list_inside,
    list_orphans,
    make_batch,
    read_manifest,
    read_results,
    start_command,
    tell,
)

from nkhcc_helpers.run.batch import batch as engine
from nkhcc_helpers.run.batch import ledger as ledgers
from nkhcc_helpers.run.batch.estimate import estimate_seconds
from nkhcc_helpers.run.batch.grid import BatchError
from nkhcc_helpers.run.batch.ledger import read_ledger

N = 3
ADDRESS = "address.json"
HERE = ("--host", "127.0.0.1", "--no-dashboard")
WRITTEN = [
    "batch.html",
    "comparison.html",
    "figures",
    "ledger.jsonl",
    "results.csv",
    "results.parquet",
    "runs",
]
STOPPED = ["batch.html", "ledger.jsonl", "results.csv", "results.parquet", "runs"]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def run(batch, **options):
    """Run a batch that is laid out already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "read_batch", lambda plan, **changes: batch)
        return engine.run_batch("", **options)


def start_dask(folder, *arguments):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "dask", *arguments, *HERE], cwd=folder, **quiet)


def start_scheduler(folder):
    """Start a scheduler in another process, which writes where it is."""
    return start_dask(folder, "scheduler", "--port", "0", "--scheduler-file", ADDRESS)


def read_address(folder):
    told = folder / ADDRESS
    wait_for(lambda: told.is_file() and told.read_text().strip().endswith("}"))
    return json.loads(told.read_text())["address"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a scheduler in another process with two workers of its own, begun again when they die."""
    folder = tmp_path_factory.mktemp("cluster")
    scheduler = start_scheduler(folder)
    workers = start_dask(folder, "worker", "--scheduler-file", ADDRESS, "--nworkers", "2", "--nthreads", "1")
    yield read_address(folder)
    for process in (workers, scheduler):
        process.terminate()
    for process in (workers, scheduler):
        process.wait(60)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, trial_folders):
    """A batch on this machine, and what its callbacks were told."""
    home, told = tmp_path_factory.mktemp("undisturbed"), []
    batch = make_batch(home, trial_folders["plain"], N)
    options = {"on_start": lambda *start: told.append(start), "on_record": lambda *each: told.append(each)}
    return batch, run(batch, jobs=2, **options), told


@pytest.fixture
def batch(tmp_path_factory, undisturbed):
    """The same runs in a folder of their own, as deep as the other; what they are told is forgotten."""
    home = undisturbed[0].runs[0].plan.path.parent
    for path in [home / "begun", home / "ended", *home.glob("told-*"), home / "other"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return make_batch(home, undisturbed[0].runs[0].source, N, "other")


def put(batch, undisturbed, *seeds):
    """Let runs have finished in an earlier batch, so that only the others are executed."""
    for seed in seeds:
        place = Path("runs", f"told-{seed}")
        shutil.copytree(undisturbed[0].out_dir / place, batch.out_dir / place)
        with (batch.runs[0].plan.path.parent / "ended").open("a") as file:
            file.write(f"{seed}\n")


def wait_for(is_so, seconds=180):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def count_lines(batch):
    path = batch.out_dir / "ledger.jsonl"
    return len(path.read_bytes().splitlines()) if path.is_file() else 0


def count_finished(batch):
    """How often each run has ended, of those that have taken their places."""
    seeds = {int(path.name.removeprefix("told-")) for path in (batch.out_dir / "runs").glob("told-*")}
    return {seed: n for seed, n in count(batch.runs[0].plan.path.parent).items() if seed in seeds}


def count_states(batch):
    """How many runs are in each state by the table."""
    table = pd.read_csv(batch.out_dir / "results.csv", dtype=str)
    return table.drop_duplicates("run")["state"].value_counts().to_dict()


def check_same(batch, undisturbed):
    """Results and tables are those of the other batch, byte for byte."""
    assert read_results(batch) == read_results(undisturbed[0])
    for name in ("results.csv", "results.parquet"):
        table = (batch.out_dir / name).read_bytes()
        assert table == (undisturbed[0].out_dir / name).read_bytes()
        assert len(table) > 100


def check_whole(batch, undisturbed):
    """All has finished, once, with the results of the other batch, and nothing else is there."""
    check_same(batch, undisturbed)
    assert sorted(path.name for path in batch.out_dir.iterdir()) == WRITTEN
    assert {record.status for record in read_ledger(batch.out_dir).values()} == {"ok"}
    assert count(batch.runs[0].plan.path.parent) == dict.fromkeys(range(N), 1)


def test_a_batch_executes_each_run_once_and_tells_of_it(undisturbed):
    batch, result, told = undisturbed
    assert told[0][:2] == (N, 0)
    assert told[0][2].startswith("http://127.0.0.1:")
    assert sorted(record.run for record, _ in told[1:]) == [run.name for run in batch.runs]
    assert [n for _, n in told[1:]] == [2, 1, 0]
    assert [*result.records] == [run.name for run in batch.runs]
    assert {record.run: record for record in read_ledger(batch.out_dir).values()} == result.records
    assert (result.failed, result.n_reused) == ([], 0)
    values = json.loads(read_results(batch)["told-2"])["notebooks"]["told"]["values"]
    assert values["square"] == 4


def test_what_a_batch_took_was_about_what_is_told_of_one_beside_it(undisturbed):
    folder = undisturbed[0].out_dir
    began = undisturbed[0].runs[0].plan.path.stat().st_mtime
    took = (folder / "batch.html").stat().st_mtime - began
    told = estimate_seconds(folder.with_name("beside"), ["told"] * N, 2)
    assert took / 3 < told < took * 3 + 10  # most of the imports were done before


def test_what_has_finished_is_not_executed_again_unless_forced(batch, undisturbed, cluster):
    run(batch, scheduler=cluster)
    check_whole(batch, undisturbed)
    told = []
    result = run(batch, on_start=lambda *start: told.append(start))
    assert (result.n_reused, told) == (N, [(N, N, "")])
    (batch.out_dir / "runs" / "told-1" / "results.json").write_text("{}")
    assert run(batch, scheduler=cluster, force=True, on_note=told.append).n_reused == 0
    assert len(told) == 1
    assert count(batch.runs[0].plan.path.parent) == dict.fromkeys(range(N), 2)
    check_same(batch, undisturbed)


def test_what_was_damaged_or_failed_is_executed_again(batch, undisturbed, cluster):
    home, said = batch.runs[0].plan.path.parent, []
    put(batch, undisturbed, *range(N))
    assert run(batch).n_reused == N
    (batch.out_dir / "runs" / "told-1" / "results.json").write_text("{}")
    tell(home, 1, "raise once")
    result = run(batch, scheduler=cluster, on_note=said.append)
    assert said == ["executed again, as files of it are lost or damaged: 1 (told-1)"]
    assert [record.run for record in result.failed] == ["told-1"]
    assert "traceback.txt" in list_files(batch.out_dir / "runs" / "told-1")
    assert run(batch, scheduler=cluster, on_note=said.append).n_reused == N - 1
    assert len(said) == 1
    check_same(batch, undisturbed)
    assert count(home) == {0: 1, 1: 2, 2: 1}


def test_a_worker_that_dies_has_its_run_tried_again(batch, undisturbed, cluster):
    put(batch, undisturbed, 0, 1)
    tell(batch.runs[0].plan.path.parent, 2, "worker once")
    result = run(batch, scheduler=cluster)
    assert {name: record.attempts for name, record in result.records.items()}["told-2"] == 2
    assert read_manifest(batch, 2)["attempts"] == 2
    check_whole(batch, undisturbed)


def test_a_run_that_kills_two_workers_is_marked_and_the_rest_go_on(batch, undisturbed, cluster):
    home = batch.runs[0].plan.path.parent
    put(batch, undisturbed, 2)
    tell(home, 0, "worker")
    result = run(batch, scheduler=cluster)
    assert [(record.run, record.attempts) for record in result.failed] == [("told-0", 2)]
    assert "2 workers" in result.failed[0].error
    assert count(home) == dict.fromkeys(range(1, N), 1)
    (home / "told-0").unlink()
    run(batch, jobs=1)
    check_whole(batch, undisturbed)


def test_a_command_that_is_killed_loses_nothing(batch, undisturbed):
    command = start_and_wait_for_the_last(batch, undisturbed)
    with pytest.raises(BatchError, match=f"another batch .process {command.pid} on "):
        run(batch, jobs=1)
    command.kill()
    command.wait()
    wait_for(lambda: not list_orphans(batch))
    assert count_states(batch) == {"finished": 1, "not executed": N - 1}  # as when the command began
    assert "Not all runs have ended" in (batch.out_dir / "batch.html").read_text()
    assert run(batch, jobs=1).n_reused == N - 1
    check_whole(batch, undisturbed)


def test_a_command_that_is_interrupted_leaves_no_process(batch, undisturbed):
    command = start_and_wait_for_the_last(batch, undisturbed)
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 130
    assert list_orphans(batch) == []
    assert said == f"finished: {N - 1} of {N} runs, kept in {batch.out_dir}\n"
    assert sorted(path.name for path in batch.out_dir.iterdir()) == STOPPED
    assert count_states(batch) == {"finished": N - 1, "not executed": 1}
    assert run(batch, jobs=1).n_reused == N - 1
    check_whole(batch, undisturbed)


def test_a_command_that_was_stopped_for_long_goes_on(batch, undisturbed, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "1s")  # 5 minutes else
    put(batch, undisturbed, 0, 1)
    home = batch.runs[0].plan.path.parent
    command = start_command(batch, jobs=2)
    wait_for(lambda: count(home, "begun"))
    command.send_signal(signal.SIGSTOP)
    time.sleep(7)  # it takes 5 at least to be given up
    command.send_signal(signal.SIGCONT)
    assert command.communicate(timeout=180) == ("", None)
    check_whole(batch, undisturbed)


def start_and_wait_for_the_last(batch, undisturbed):
    """Start a command that executes two runs, and return it while the second of them sleeps."""
    put(batch, undisturbed, 0)
    home = batch.runs[0].plan.path.parent
    tell(home, 2, "sleep once")
    command = start_command(batch, jobs=2)
    wait_for(lambda: count_lines(batch) == N - 1 and 2 in count(home, "begun"))
    return command


def test_workers_of_another_scheduler_end_what_they_execute_when_the_command_is_interrupted(
    batch, undisturbed, cluster
):
    def interrupt(record, n_running):
        wait_for(lambda: 2 in count(home, "begun"))
        raise KeyboardInterrupt

    home = batch.runs[0].plan.path.parent
    put(batch, undisturbed, 0)
    tell(home, 2, "sleep once")
    with pytest.raises(KeyboardInterrupt):
        run(batch, scheduler=cluster, on_record=interrupt)
    wait_for(lambda: not list_inside(batch), seconds=40)
    assert 2 not in count(home)


def test_a_full_disk_stops_a_batch_and_loses_nothing(batch, undisturbed, cluster, monkeypatch):
    home = batch.runs[0].plan.path.parent
    put(batch, undisturbed, 0)
    tell(home, 2, "full once")
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(batch, scheduler=cluster)
    finished = count_finished(batch)
    assert caught.value.__notes__ == [f"finished: {len(finished)} of {N} runs, kept in {batch.out_dir}"]
    # And now for what the command itself writes.
    monkeypatch.setattr(ledgers.os, "write", lambda descriptor, line: 0)
    with pytest.raises(OSError, match="No space left on device"):
        run(batch, scheduler=cluster)
    monkeypatch.undo()
    finished = count_finished(batch) | finished
    run(batch, scheduler=cluster)
    check_same(batch, undisturbed)
    # What the other worker was about to hand in when the batch stopped had not finished, and is run again.
    assert {seed: n for seed, n in count(home).items() if seed in finished} == finished
    assert set(finished.values()) <= {1, 2}


def test_a_scheduler_is_waited_for_until_it_has_a_worker_and_stops_a_batch_when_it_is_lost(
    batch, undisturbed, tmp_path, monkeypatch
):
    def interrupt(line):
        raise KeyboardInterrupt

    def start_worker(line):
        said.append(line)
        started.append(start_dask(tmp_path, "worker", address, "--no-nanny"))

    monkeypatch.setattr(engine, "_SECONDS_OF_SILENCE", 0.2)
    started, said = [start_scheduler(tmp_path)], []
    address = read_address(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(batch, scheduler=address, on_note=interrupt)
    with pytest.raises(OSError, match="the scheduler was lost") as caught:
        run(batch, scheduler=address, on_note=start_worker, on_start=lambda *_: started[0].kill())
    for process in started:
        process.kill()
        process.wait()
    assert said == [f"--scheduler {address}: waiting for its first worker"]
    assert caught.value.__notes__ == [f"finished: 0 of {N} runs, kept in {batch.out_dir}"]
    assert sorted(path.name for path in batch.out_dir.iterdir()) == STOPPED[:-1]


def test_a_scheduler_that_does_not_answer_is_named(batch, monkeypatch):
    monkeypatch.setattr(engine, "_SECONDS_TO_CONNECT", 0.2)
    with pytest.raises(BatchError, match=r"--scheduler tcp:.*:9: no scheduler of dask answers there"):
        run(batch, scheduler="tcp://127.0.0.1:9")
    assert not batch.out_dir.exists()


def test_workers_with_other_code_are_refused_before_anything_is_executed(batch, cluster, monkeypatch):
    monkeypatch.setattr(engine, "hash_code", lambda: "other")
    with pytest.raises(BatchError, match=r"worker tcp://.*: has other code of nkhcc_helpers"):
        run(batch, scheduler=cluster)
    assert count(batch.runs[0].plan.path.parent, "begun") == {}


@pytest.mark.parametrize("limit", ["much", "2 parsecs"])
def test_a_memory_limit_that_cannot_be_read_is_refused(batch, limit):
    with pytest.raises(BatchError, match="--memory-limit must be such as 2GB"):
        run(batch, memory_limit=limit)
