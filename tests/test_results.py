import json

import numpy as np
import pandas as pd
import pytest

from nkhcc_helpers.identification.statistics import Statistic
from nkhcc_helpers.report import results
from nkhcc_helpers.report.results import format_json_value, list_versions, write_csv, write_json


def test_frames_become_rows_of_plain_values():
    frame = pd.DataFrame(
        {
            "group": pd.Categorical(["A", "B"]),
            "n": pd.array([1, None], dtype="Int64"),
            "time": [pd.Timestamp(2015, 2, 3), pd.Timestamp(2015, 2, 3, 12, 30)],
        }
    )
    assert format_json_value(frame) == [
        {"group": "A", "n": 1, "time": "2015-02-03"},
        {"group": "B", "n": "NE", "time": "2015-02-03T12:30:00"},
    ]


def test_no_date_is_null_and_no_number_is_ne():
    values = [None, pd.NaT, np.datetime64("NaT"), np.nan, -np.inf, pd.NA]
    assert format_json_value(values) == [None, None, None, "NE", "NE", "NE"]


def test_arrays_and_tuples_become_lists():
    given = (np.array([1.5, 2]), pd.Index(["a"]), pd.array([True, None], dtype="boolean"))
    assert format_json_value(given) == [[1.5, 2.0], ["a"], [True, "NE"]]


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="a set cannot be recorded"):
        format_json_value({"a": {1, 2}})


def test_two_statistics_that_would_be_called_alike_are_refused(tmp_path):
    pairs = [Statistic("pair_p", "A", "B-A"), Statistic("pair_p", "A-B", "A")]
    frame = pd.DataFrame({"statistic": pairs, "lowest": [0.1, 0.2]})
    for given in (frame, pairs, dict.fromkeys(pairs, 1), frame.set_index("statistic").T):
        with pytest.raises(ValueError, match=r"'pair_p A-B-A' would be .*: rename a group"):
            format_json_value(given)
    with pytest.raises(ValueError, match="rename a group"):
        write_csv(frame, tmp_path / "it.csv")
    assert format_json_value(frame.iloc[[0, 0]])[1] == {"statistic": "pair_p A-B-A", "lowest": 0.1}


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "it.json"
    write_json(path, {"é": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["it.json"]


def test_versions_leave_out_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(results, "PACKAGES", ("numpy", "no_such_package"))
    assert list(list_versions()) == ["python", "numpy"]
