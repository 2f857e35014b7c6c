"""What has finished in a batch's folder, and the one process that may write there.

A run is built in a folder below `.work/`. When it is whole it takes its place below `runs/` by renaming, and
then a line about it is added to `ledger.jsonl`. Lines of JSON, not a database: any tool reads them, one
process writes them, on any file system, and a line that is torn or lost costs nothing, because the run's own
manifest says the same and is what counts: a run has finished while all its files are as the manifest says.
SQLite would be worth its locks for several writers, of which there are none.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from errno import ENOSPC
from functools import cache
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import TypeAdapter

from nkhcc_helpers.report.results import hash_file, write_json, write_whole
from nkhcc_helpers.run.batch.grid import BatchError, BatchRun
from nkhcc_helpers.run.manifest import MANIFEST, RESULTS, list_files, read_manifest

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # Windows: a second batch into one folder is not refused.

LEDGER, RUNS, WORK, WRITER = "ledger.jsonl", "runs", ".work", "writer"


@dataclass(frozen=True)
class Record:
    """What came of a run."""

    run: str  # its folder below `runs`
    fingerprint: str
    status: Literal["ok", "failed"]
    seconds: float
    error: str = ""
    attempts: int = 1


@cache
def _get_reader() -> TypeAdapter:
    return TypeAdapter(Record)


def read_ledger(folder: str | Path) -> dict[str, Record]:
    """Records of the runs that stand whole in a batch's folder, by fingerprint."""
    found = map(read_record, sorted(Path(folder, RUNS).glob("*/")))
    return {record.fingerprint: record for record in found if record is not None}


def list_finished(folder: Path) -> set[str]:
    """Fingerprints of the runs that the next batch into a folder would not execute."""
    found = map(read_record, [*folder.glob(f"{RUNS}/*"), *_list_built(folder)])
    return {record.fingerprint for record in found if record and record.status == "ok"}


def _list_built(folder: Path) -> list[Path]:
    """Folders in which runs may stand whole that have not taken their places."""
    return [*folder.glob(f"{WORK}*"), *folder.glob(f"{WORK}*/*")]


def _read_lines(folder: Path) -> dict[str, Record]:
    """The last record of each run, by its name, of lines that can be read."""
    path, records = folder / LEDGER, {}
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            record = _get_reader().validate_json(line)
            records[record.run] = record
    return records


def read_record(run: Path) -> Record | None:
    """What a run's own folder says of it; None unless all that was kept of it is as it was written."""
    manifest = read_manifest(run)
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # somebody else's
        ((name, entry),) = manifest["notebooks"].items()
        if hash_file(run / RESULTS) != manifest[RESULTS] or list_files(run, name) != entry["files"]:
            return None
        told = {name: entry[name] for name in ("fingerprint", "status", "seconds", "error")}
        return _get_reader().validate_python({"run": run.name, "attempts": manifest["attempts"], **told})
    return None


class Ledger:
    """The ledger of a batch's folder, held by this process; see `open_ledger`."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder, self._descriptor = folder, descriptor
        self.session = uuid4().hex[:8]  # workers of an earlier one may still be there
        self.damaged: list[str] = []  # runs that had finished and are not whole any more

    @property
    def work(self) -> Path:
        """Folder of what is being built."""
        return self.folder / WORK

    def settle(self, runs: Iterable[BatchRun]) -> dict[str, Record]:
        """Put in its place what a batch that was stopped left whole; records of these runs by their names.

        A run that is there under another name is given its new one.
        """
        names, found, written = {run.fingerprint: run.name for run in runs}, {}, _read_lines(self.folder)
        for fingerprint, record in read_ledger(self.folder).items():
            if names.get(fingerprint, record.run) != record.run:
                self._set_aside(self.folder / RUNS / record.run)
            elif fingerprint in names:
                found[record.run] = record
                if written.get(record.run) != record:
                    self._append(record)
        found |= {record.run: record for record in self.take_in(names)}
        told = {(line.run, line.fingerprint, line.status) for line in written.values()}
        lost = {name: fingerprint for fingerprint, name in names.items() if name not in found}
        self.damaged = [name for name, fingerprint in lost.items() if (name, fingerprint, "ok") in told]
        self._begin()
        return {name: found[name] for name in names.values() if name in found}

    def take_in(self, names: Mapping[str, str]) -> list[Record]:
        """Place finished runs that are still where they were built, named by fingerprint; remove the rest.

        Whatever still builds there sees its folder gone at once.
        """
        with suppress(FileNotFoundError):
            self._set_aside(self.work)
        records = []
        for built in _list_built(self.folder):
            record = read_record(built)
            if record and record.status == "ok" and record.fingerprint in names:
                records.append(replace(record, run=names[record.fingerprint]))
                self.place(built, records[-1])
        for folder in self.folder.glob(f"{WORK}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        return records

    def place(self, built: Path, record: Record) -> None:
        """Give a run that is whole its place, in that of an earlier one, and add its line."""
        if read_manifest(built)["run"] != record.run:
            _rename(built, record.run)
        target = self.folder / RUNS / record.run
        target.parent.mkdir(exist_ok=True)
        earlier = self._set_aside(target) if target.exists() else None
        built.rename(target)
        self._append(record)
        if earlier:
            shutil.rmtree(earlier, ignore_errors=True)

    def _append(self, record: Record) -> None:
        line = json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n"
        if os.write(self._descriptor, line) < len(line):
            raise OSError(ENOSPC, os.strerror(ENOSPC), str(self.folder / LEDGER))
        os.fsync(self._descriptor)

    def _begin(self) -> None:
        """Make the folder of what is being built, and say in it who builds."""
        self.work.mkdir(exist_ok=True)
        told = f"process {os.getpid()} on {socket.gethostname()}\n{self.session}\n"
        write_whole(self.work / WRITER, told)

    def _set_aside(self, folder: Path) -> Path:
        # By renaming alone, for which there is room on a full disk too.
        return folder.rename(self.folder / f"{WORK}-{uuid4().hex}")


def _rename(built: Path, name: str) -> None:
    """Give a run that is whole another name, at the head of its page too."""
    manifest = read_manifest(built)
    (entry,) = manifest["notebooks"].values()
    for page in built.glob("*.html"):
        text, old = page.read_text(encoding="utf-8"), f"Run {manifest['run']}:"
        write_whole(page, text.replace(old, f"Run {name}:", 2))  # in its title, and on it
        entry["files"][page.name] = hash_file(page)
    write_json(built / MANIFEST, manifest | {"run": name})


def name_attempt(work: Path, session: str, run: str, attempt: int) -> Path:
    """Folder that a run is built in; as deep as its place, so that ways from it to files stay true."""
    return work / f"{session}-{attempt}-{run}"


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """Hold the ledger of a batch's folder; BatchError while another process does, or for other folders."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or (names and not names & {LEDGER, RUNS}):
        raise BatchError(
            [f"{folder} is not empty and holds no earlier batch; choose another folder with --out"]
        )
    is_new = not names
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LEDGER, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        _lock(descriptor, folder)
        ledger = Ledger(folder, descriptor)
        try:
            yield ledger
        finally:
            with suppress(OSError):
                ledger.take_in({})
    finally:
        os.close(descriptor)
        if is_new and [path.name for path in folder.iterdir()] == [LEDGER]:  # nothing came of it
            shutil.rmtree(folder)


def _lock(descriptor: int, folder: Path) -> None:
    """Lock the ledger for as long as the descriptor is open, and end a line in it that is torn."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        writer = folder / WORK / WRITER
        who = f" ({writer.read_text().splitlines()[0]})" if writer.is_file() else ""
        advice = "wait until it is done, or choose another folder with --out"
        raise BatchError([f"another batch{who} is writing {folder}; {advice}"]) from None
    except (AttributeError, OSError):
        pass  # Windows, and file systems that have no locks: a second batch into one folder is not refused.
    if (folder / LEDGER).read_bytes()[-1:] not in (b"", b"\n"):
        os.write(descriptor, b"\n")
