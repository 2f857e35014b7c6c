"""Published claims beside what the data give."""

import dataclasses

import pandas as pd
import pytest

from nkhcc_helpers.published import compare_published, recalibrate_published
from nkhcc_helpers.trial import load_trial


@pytest.fixture(scope="module")
def bundled():
    return load_trial()


@pytest.mark.parametrize("convention", ["midpoint", "first"])
def test_bundled_trial_reproduces_every_claim(bundled, convention):
    table = compare_published(bundled, convention=convention)
    assert len(table) == len(bundled.published.claims)
    assert table["agrees"].all(), table[~table["agrees"]]


def test_numbers_are_printed_as_the_paper_did(bundled):
    table = compare_published(bundled).set_index("claim")
    assert table.loc["Log-rank P across groups, PFS", "reproduced"] == "0.0008"
    assert table.loc["Median PFS, A: low dose x 4 (months)", "published"] == "1.6"
    assert table.loc["Longest follow-up (years)", "reproduced"] == "9"
    assert table.loc["First enrolment", "reproduced"] == "2014-12-31"


def test_changed_data_disagree(bundled):
    times = bundled.times.assign(time=bundled.times["time"] * 1.1)
    subjects = bundled.subjects.iloc[1:].assign(enrolled=pd.NaT)
    events = bundled.adverse_events.iloc[:0]
    changed = dataclasses.replace(bundled, times=times, subjects=bundled.subjects, adverse_events=events)
    table = compare_published(changed).set_index("claim")
    assert table.loc["Median OS, all patients (months)", ["reproduced", "agrees"]].tolist() == ["19.5", False]
    assert table.loc["Log-rank P across groups, OS", "agrees"]
    assert table.loc["Most common treatment-related event", "reproduced"] == "NE"
    assert table.loc["Pyrexia typically resolved", "reproduced"] == "NE"
    fewer = compare_published(dataclasses.replace(bundled, subjects=subjects)).set_index("claim")
    assert fewer.loc["Patients enrolled", "reproduced"] == "17"
    assert fewer.loc["Last enrolment", "reproduced"] == "NE"


def test_events_that_never_resolved_count_as_slower(bundled):
    events = bundled.adverse_events.assign(resolved=pd.NaT)
    table = compare_published(dataclasses.replace(bundled, adverse_events=events)).set_index("claim")
    assert table.loc["Pyrexia typically resolved", "reproduced"] == "not within 1 day"


def test_nothing_published_gives_no_rows(bundled):
    assert compare_published(dataclasses.replace(bundled, published=None)).empty


def test_published_p_values_are_recalibrated(bundled):
    worth = recalibrate_published(bundled, n_draws=100_000).set_index("endpoint")
    # By listing every allocation: 4,576,969 and 53,598,836 of 514,594,080.
    for endpoint, listed in (("PFS", 4_576_969), ("OS", 53_598_836)):
        row = worth.loc[endpoint]
        assert abs(row["p_value"] - listed / 514_594_080) < 4 * row["error"]
    assert recalibrate_published(dataclasses.replace(bundled, published=None)).empty
