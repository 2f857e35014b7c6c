"""Checks of times: near-equal ones are one, and a patient comes under observation before his time."""

import numpy as np
import pytest

from nkhcc_helpers import checks


def test_near_equal_times_are_the_first_of_them():
    assert checks.merge_times([1.1 * 3, 3.3, 5]).tolist() == [3.3, 3.3, 5]
    # Over the mean of the distinct times, 1000: 1e-5 is near.
    assert checks.merge_times([[1500, 500], [1500 + 1e-5, 500 + 2e-5]]).tolist() == [
        [1500, 500],
        [1500, 500 + 2e-5],
    ]
    kept = checks.merge_times([np.nan, np.inf, 2, 2 + 1e-9])
    assert np.array_equal(kept, [np.nan, np.inf, 2, 2], equal_nan=True)
    assert checks.merge_times([]).tolist() == []


def test_asked_times_are_those_of_the_data_where_they_are_near():
    assert checks.match_times([3.3, 0, 4, 9], [1.1 * 3, 4 + 1e-9]).tolist() == [1.1 * 3, 0, 4 + 1e-9, 9]
    assert checks.match_times(3.3, [1.1 * 3]) == 1.1 * 3


@pytest.mark.parametrize(
    ("time_enter", "message"),
    [
        ([0, 1], "time has 3 values and time_enter has 2"),
        ([0, np.nan, 0], "time_enter must be finite, at least 0; position 1 is nan"),
        ([0, 0, -1], "time_enter must be finite, at least 0; position 2 is -1"),
        ([0, 2 - 1e-12, 0], "time_enter must be before the time; position 1 is 2"),
    ],
)
def test_entry_is_before_the_time(time_enter, message):
    with pytest.raises(ValueError, match=message):
        checks.check_entry([3, 2, 0], [1, 1, 1], time_enter)


def test_entry_at_0_is_the_start_itself():
    assert checks.check_entry([0, 2], [1, 0])[2].tolist() == [0, 0]
    assert [each.tolist() for each in checks.check_entry([0, 2], [1, 0], [0, 1])] == [[0, 2], [1, 0], [0, 1]]
