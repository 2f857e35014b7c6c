"""A result carries the options that made it; what is made from it does not."""

import pickle

import pandas as pd
import pytest

from nkhcc_helpers.checks import Result, keeps_options


@keeps_options
def count(values, *, conf_level=0.95, conf_type="bpcp"):
    return pd.DataFrame({"n": values}, index=[7] * len(values))


@keeps_options
def share(counts, total=1, *, conf_level=0.8):
    return counts / total


def test_options_are_kept_with_their_defaults():
    result = count([1, 2], conf_type="log")
    assert isinstance(result, Result)
    assert result.made_by is count
    assert result.options == {"conf_level": 0.95, "conf_type": "log"}
    pd.testing.assert_frame_equal(pd.DataFrame(result), pd.DataFrame({"n": [1, 2]}, index=[7, 7]))


def test_a_result_made_from_another_has_the_options_of_both():
    assert share(count([1]), 2).options == {"conf_level": 0.8, "conf_type": "bpcp"}
    assert share(pd.DataFrame({"n": [1]}), total=2).options == {"conf_level": 0.8}


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
