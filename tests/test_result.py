"""A result carries the options that made it; what is made from it does not."""

import pickle
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from nkhcc_helpers.checks import Result, keeps_options


@keeps_options
def count(values, *, conf_level=0.95, conf_type="bpcp"):
    return pd.DataFrame({"n": values}, index=[7] * len(values))


@keeps_options
def share(counts, total=1, *, conf_level=0.8):
    return counts / total


@dataclass(frozen=True)
class Window:
    days: int = 28
    terms: tuple = ("Fever",)


@dataclass(frozen=True)
class Folder:
    subjects: pd.DataFrame


@keeps_options
def pick(folder, values, endpoint, window=None, columns=()):
    return pd.DataFrame({"n": values})


def test_plain_arguments_are_options_and_data_are_not():
    folder = Folder(pd.DataFrame({"a": [1]}))
    for values in (pd.Series([1, 2]), np.array([1, 2]), [1, 2], pd.DataFrame({"b": [1]})["b"]):
        options = pick(folder, values, "OS", Window(7)).options
        assert options == {"endpoint": "OS", "window": Window(7), "columns": ()}
    assert pick(folder, [], np.int64(3)).options == {"endpoint": 3, "window": None, "columns": ()}
    assert pick(pd.DataFrame(), [], "OS", Window).options == {"endpoint": "OS", "columns": ()}
    assert pick(folder, [], "OS", folder, (folder,)).options == {"endpoint": "OS"}


def test_a_result_made_by_nobody_has_no_options():
    for result in (Result(), Result({"n": [1]}), pickle.loads(pickle.dumps(Result()))):
        assert (result.made_by, result.options) == (None, {})
    Result().options["a"] = 1
    assert Result().options == {}


def test_a_result_changed_in_place_keeps_its_options():
    result = count([1, 2])
    result["m"] = 1
    result.drop(index=7, inplace=True)  # noqa: PD002
    assert type(result) is Result
    assert result.made_by is count
    assert result.options == {"conf_level": 0.95, "conf_type": "bpcp"}


def test_options_are_kept_with_their_defaults():
    result = count([1, 2], conf_type="log")
    assert isinstance(result, Result)
    assert result.made_by is count
    assert result.options == {"conf_level": 0.95, "conf_type": "log"}
    pd.testing.assert_frame_equal(pd.DataFrame(result), pd.DataFrame({"n": [1, 2]}, index=[7, 7]))


def test_a_result_made_from_another_has_the_options_of_both():
    assert share(count([1]), 2).options == {"conf_level": 0.8, "conf_type": "bpcp", "total": 2}
    assert share(counts=count([1])).options == {"conf_level": 0.8, "conf_type": "bpcp", "total": 1}
    assert share(pd.DataFrame({"n": [1]}), total=2).options == {"conf_level": 0.8, "total": 2}


@pytest.mark.parametrize(
    "derive",
    [
        lambda frame: frame[frame["n"] > 1],
        lambda frame: frame.assign(m=1),
        lambda frame: frame.copy(),
        lambda frame: pd.concat([frame, frame]),
        lambda frame: frame.merge(frame, on="n"),
        lambda frame: frame.groupby("n").sum(),
    ],
)
def test_what_is_made_from_a_result_is_a_plain_frame(derive):
    assert type(derive(count([1, 2]))) is pd.DataFrame


def test_a_result_goes_to_another_process_and_back():
    result = pickle.loads(pickle.dumps(count([1])))
    assert result.made_by is count
    assert result.options == {"conf_level": 0.95, "conf_type": "bpcp"}


def test_a_wrong_argument_is_refused_as_ever():
    with pytest.raises(TypeError, match="conf_levl"):
        count([1], conf_levl=0.9)
