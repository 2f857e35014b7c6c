import hashlib
import json

import pytest

from nkhcc_helpers.report import results
from nkhcc_helpers.report.results import hash_data, hash_file, hash_inputs
from nkhcc_helpers.run.manifest import list_files
from nkhcc_helpers.run.publish import copy_earlier, find_earlier


@pytest.fixture
def report(tmp_path):
    """A report of one notebook."""
    folder = tmp_path / "report"
    for name in ("one.html", "notebooks/one.ipynb", "figures/one/a.png", "tables/one/t.csv", "two.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    write_manifest(folder, status="ok", files=list_files(folder, "one"))
    (folder / "results.json").write_text(json.dumps({"notebooks": {"one": {"values": {"n": 3}}}}))
    return folder


def write_manifest(folder, **entry):
    content = {"nkhcc": "0", "notebooks": {"one": {"fingerprint": "abc", **entry}}}
    (folder / "manifest.json").write_text(json.dumps(content))


def test_checksums_are_sha256(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x\n")
    assert hash_file(tmp_path / "a.csv") == hashlib.sha256(b"x\n").hexdigest()


def test_data_are_tables_and_yaml(tmp_path):
    for name in ("adsl.csv", "trial.yaml", "README.md", "notes.YML"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.csv").mkdir()
    assert sorted(hash_data(tmp_path)) == ["adsl.csv", "notes.YML", "trial.yaml"]


def test_anything_that_decides_the_outcome_changes_the_fingerprint(tmp_path, monkeypatch):
    path = tmp_path / "one.ipynb"
    path.write_text("1")
    data, values = {"adsl.csv": "1"}, {"endpoint": "OS"}
    first = hash_inputs(path, data, values)
    assert hash_inputs(path, dict(data), dict(values)) == first
    others = [hash_inputs(path, {"adsl.csv": "2"}, values), hash_inputs(path, data, {"endpoint": "PFS"})]
    with monkeypatch.context() as patched:
        patched.setattr(results, "hash_code", lambda: "other")
        others.append(hash_inputs(path, data, values))
    with monkeypatch.context() as patched:
        patched.setattr(results, "list_versions", lambda: {"python": "4"})
        others.append(hash_inputs(path, data, values))
    path.write_text("2")
    others.append(hash_inputs(path, data, values))
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "one.yaml").write_text("3")
    others.append(hash_inputs(path, data, values))
    assert len({first, *others}) == 7


def test_files_of_a_notebook_are_its_own(report):
    assert list(list_files(report, "one")) == [
        "notebooks/one.ipynb",
        "one.html",
        "figures/one/a.png",
        "tables/one/t.csv",
    ]


def test_an_earlier_outcome_is_found_and_copied(report, tmp_path):
    folder, entry = find_earlier([tmp_path / "nowhere", report], "one", "abc")
    assert folder == report
    building = tmp_path / "building"
    assert copy_earlier(folder, building, "one", entry["files"]) == {"values": {"n": 3}}
    assert list_files(building, "one") == entry["files"]


def test_an_outcome_of_other_inputs_is_not_taken(report):
    assert find_earlier([report], "one", "abd") is None
    assert find_earlier([report], "two", "abc") is None


def test_a_failed_outcome_is_not_taken(report):
    write_manifest(report, status="failed", files=list_files(report, "one"))
    assert find_earlier([report], "one", "abc") is None


@pytest.mark.parametrize("name", ["one.html", "notebooks/one.ipynb", "figures/one/a.png", "tables/one/t.csv"])
def test_an_outcome_that_lost_or_changed_a_file_is_not_taken(report, name):
    (report / name).write_text("edited")
    assert find_earlier([report], "one", "abc") is None
    (report / name).unlink()
    assert find_earlier([report], "one", "abc") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"notebooks": {}}'])
def test_an_outcome_without_results_is_not_taken(report, content):
    (report / "results.json").write_text(content)
    assert find_earlier([report], "one", "abc") is None
