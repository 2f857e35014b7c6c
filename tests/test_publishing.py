import json
import os
import re
from pathlib import Path

import pytest

from nkhcc_helpers.run.publish import PublishError, check_target, open_building, publish_folder, read_manifest


def write_report(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(text)
    (folder / "manifest.json").write_text(json.dumps({"nkhcc": "0"}))
    return folder


def publish(target: Path, text: str) -> None:
    with open_building(target) as building:
        building.rmdir()
        publish_folder(write_report(building, text), target)


def read_index(folder: Path) -> str:
    return (folder / "index.html").read_text()


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_report_takes_the_place_of_an_earlier_one(tmp_path):
    target = tmp_path / "reports" / "one"
    publish(target, "first")
    assert read_index(target) == "first"
    (target / "left over").write_text("")
    publish(target, "second")
    assert list_names(target) == ["index.html", "manifest.json"]
    assert read_index(target) == "second"
    assert list_names(tmp_path / "reports") == ["one"]


def test_report_may_go_into_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    publish(tmp_path / "empty", "it")
    assert read_index(tmp_path / "empty") == "it"


def test_what_is_built_is_gone_when_building_fails(tmp_path):
    target = write_report(tmp_path / "one", "first")

    def build_half():
        with open_building(target) as building:
            write_report(building / "half", "second")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_half()
    assert list_names(tmp_path) == ["one"]
    assert read_index(target) == "first"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nkhcc": "0"'])
def test_a_folder_that_is_no_report_is_not_replaced(tmp_path, content):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(PublishError, match="not empty and holds no earlier report"):
        check_target(tmp_path)


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="is a file"):
        check_target(tmp_path / "file")


def test_target_is_checked_again_when_publishing(tmp_path):
    target = tmp_path / "one"
    with open_building(target) as building:
        (building / "manifest.json").write_text('{"nkhcc": "0"}')
        target.mkdir()
        (target / "notes.txt").write_text("written meanwhile")
        with pytest.raises(PublishError, match="not empty"):
            publish_folder(building, target)
    assert list_names(tmp_path) == ["one"]
    assert list_names(target) == ["notes.txt"]


def test_earlier_report_comes_back_when_the_second_renaming_fails(tmp_path, monkeypatch):
    target = write_report(tmp_path / "one", "first")
    with open_building(target) as building:
        rename = Path.rename

        def fail_second(path, to):
            if path == building:
                raise OSError("no")
            return rename(path, to)

        monkeypatch.setattr(Path, "rename", fail_second)
        with pytest.raises(OSError, match="no"):
            publish_folder(building, target)
        monkeypatch.undo()
    assert read_index(target) == "first"
    assert list_names(tmp_path) == ["one"]


def test_report_moved_aside_by_a_killed_run_comes_back(tmp_path):
    target = tmp_path / "one"
    write_report(tmp_path / ".nkhcc.aside-one", "first")
    with open_building(target):
        assert read_index(target) == "first"
    assert list_names(tmp_path) == ["one"]


def test_report_that_a_killed_run_had_replaced_is_removed(tmp_path):
    target = write_report(tmp_path / "one", "second")
    write_report(tmp_path / ".nkhcc.aside-one", "first")
    with open_building(target):
        pass
    assert read_index(target) == "second"
    assert list_names(tmp_path) == ["one"]


def test_folders_of_killed_runs_are_removed_and_of_living_ones_kept(tmp_path):
    stale = tmp_path / ".nkhcc.building-one-999999"
    stale.mkdir()
    (stale / "half.html").write_text("")
    with open_building(tmp_path / "one") as mine:
        living = tmp_path / ".nkhcc.building-other-1"
        mine.rename(living)  # as if another process held it
        with open_building(tmp_path / "two") as second:
            assert list_names(tmp_path) == sorted([living.name, second.name])
        living.rename(mine)
    assert list_names(tmp_path) == []


def test_manifest_of_something_else_is_none(tmp_path):
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"nkhcc": "1.0"}')
    assert read_manifest(tmp_path) == {"nkhcc": "1.0"}


def test_a_second_run_into_one_folder_is_refused(tmp_path):
    target = write_report(tmp_path / "one", "first")
    words = re.escape(f"another run (process {os.getpid()}) is writing {target}; wait until it is done")
    with open_building(target):
        with pytest.raises(PublishError, match=words), open_building(target):
            pass
        for name in ("two", "one-2", "one-failed", "ne"):
            with open_building(tmp_path / name):
                pass
    with open_building(target):
        assert read_index(target) == "first"
    assert list_names(tmp_path) == ["one"]


def test_folder_being_built_says_for_what_and_by_whom(tmp_path):
    with open_building(tmp_path / "one") as building:
        assert building.name == f".nkhcc.building-one-{os.getpid()}"
        assert building.parent == tmp_path
