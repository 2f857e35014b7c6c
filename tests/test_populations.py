"""Groups as planned and as treated: s1 was planned for L and given H."""

import pandas as pd
import pytest
from hand_made import ADSL, load_hand_made

from nkhcc_helpers import safety
from nkhcc_helpers.report.sentences import EscapingFormatter
from nkhcc_helpers.report.tables.safety import MOVED_NOTES, list_event_notes
from nkhcc_helpers.trial import describe_treatment, group_by_treatment, patients
from nkhcc_helpers.trial.problems import TrialDataError

ROWS = ["L", "H", "All"]


def add_actual(**actual):
    """ADSL with TRT01A, empty for whom it is not given."""
    header, *lines = ADSL.splitlines()
    rows = [f"{line},{actual.get(line.split(',')[1], '')}" for line in lines]
    return "\n".join([f"{header},TRT01A", *rows]) + "\n"


@pytest.fixture(scope="module")
def switched(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"), adsl=add_actual(s1="H", s2="L", s3="H"))


def test_a_trial_is_loaded_as_planned(switched):
    assert safety.count_evaluable(switched).to_dict() == {"L": 2, "H": 2, "All": 4}
    planned = group_by_treatment(switched, "planned")
    for name in ("subjects", "times", "infusions", "adverse_events"):
        pd.testing.assert_frame_equal(getattr(planned, name), getattr(switched, name))


def test_every_table_follows_the_treatment_received(switched):
    actual = group_by_treatment(switched)
    # s5 has no entry and stays in H, as planned; s4 was never treated.
    assert actual.subjects.set_index("USUBJID")["group"].astype(str).to_dict() == {
        "s1": "H", "s2": "L", "s3": "H", "s4": "H", "s5": "H",
    }  # fmt: skip
    assert safety.count_evaluable(actual).to_dict() == {"L": 1, "H": 3, "All": 4}
    any_event = safety.count_adverse_events(actual).query("category == 'any'")
    assert list(any_event["group"]) == ROWS
    # s1's three events and s5's are now of H, s2's two of L.
    assert list(any_event["n_patients"]) == [1, 2, 3]
    assert list(any_event["n_events"]) == [2, 4, 6]
    assert safety.count_dose_limiting(actual)["n_patients"].tolist() == [0, 1, 1]
    first = safety.count_by_infusion(actual).query("infusion == 1")
    assert list(first["n_received"]) == [1, 3, 4]
    rates = safety.estimate_rates(actual).query("term == 'Rash'")
    assert list(rates["n_patients"]) == [0, 1, 1]
    courses = safety.list_timelines(actual)
    assert courses.patients.set_index("USUBJID")["group"].astype(str)["s1"] == "H"
    listed = safety.list_adverse_events(actual, which="all").set_index("USUBJID")
    assert set(listed.loc["s1", "group"]) == {"H"}


def test_dose_and_infusions_are_those_of_the_group(switched):
    subjects = group_by_treatment(switched).subjects.set_index("USUBJID")
    # H plans 3 infusions of dose 2, L 2 of dose 1.
    assert subjects.loc["s1", ["dose", "planned_infusions"]].tolist() == [2, 3]
    assert subjects.loc["s2", ["dose", "planned_infusions"]].tolist() == [1, 2]


def test_who_moved_is_counted(switched, tmp_path):
    # Of the four treated, s1, s2 and s3 have an entry, and s1's is another.
    assert describe_treatment(switched) == {"n_with_actual": 3, "n_moved": 1}
    assert describe_treatment(load_hand_made(tmp_path)) == {"n_with_actual": 0, "n_moved": 0}


def test_without_an_actual_treatment_nothing_changes(tmp_path):
    trial = load_hand_made(tmp_path)
    for groups in patients.GROUPS:
        pd.testing.assert_frame_equal(group_by_treatment(trial, groups).subjects, trial.subjects)


def test_an_actual_treatment_that_is_no_arm_is_a_data_error(tmp_path):
    with pytest.raises(TrialDataError, match=r"TRT01A.*'X'.*is not an arm of trial.yaml \(L, H\)"):
        load_hand_made(tmp_path, adsl=add_actual(s1="X"))


def test_groups_by_another_name_are_refused(switched):
    with pytest.raises(ValueError, match="groups must be one of actual, planned; got 'treated'"):
        group_by_treatment(switched, "treated")


def tell(trial, groups):
    described = {**safety.describe_events(trial), **describe_treatment(trial)}
    said = [
        EscapingFormatter().vformat(note, (), {**described, "word": "dose"})
        for note in list_event_notes(described, groups)
    ]
    return "\n".join(said)


def test_the_page_tells_by_which_treatment_and_who_moved(switched):
    assert set(MOVED_NOTES) == set(patients.GROUPS)
    moved = "Patients who received another group's treatment than was planned: 1. They stand"
    missing = "with an entry on the treatment received: 3 of 4"
    assert f"{moved} in its group." in tell(switched, "actual")
    assert missing in tell(switched, "actual")
    assert f"{moved} here in the group planned" in tell(switched, "planned")
    assert missing not in tell(switched, "planned")


def test_the_page_tells_what_is_not_recorded_and_what_is_left_out(switched):
    # Of the hand-made events s2's fever has neither seriousness nor action, s1's cough is not emergent.
    told = tell(switched, "actual")
    assert "Without an entry on seriousness: 1 event, not counted as serious." in told
    assert "Without an entry on the action taken: 1 event," in told
    assert "not treatment-emergent: 1 event." in told
    assert "of patients never treated: 1 event." in told


def test_nothing_is_told_of_what_there_is_none_of(switched):
    described = {**safety.describe_events(switched), **describe_treatment(switched)}
    none = {name: 0 if name.startswith("n_") else value for name, value in described.items()}
    assert len(list_event_notes(none, "actual")) == len(list_event_notes(none, "planned")) == 1
    assert "severity word" in list_event_notes(none | {"n_by_words": 1}, "actual")[1]
    unknown = dict.fromkeys(none) | {"n_treated": 0, "n_with_actual": 0}
    assert "not collected" in list_event_notes(unknown, "actual")[0]


def test_tables_by_the_treatment_received_agree(switched):
    actual = group_by_treatment(switched)
    definition = safety.Definition()
    tables_of = {
        "overview": safety.count_adverse_events(actual),
        "by_term": safety.count_by_term(actual),
        "rates": safety.estimate_rates(actual),
        "onset": safety.summarize_onset(actual),
        "by_infusion": safety.count_by_infusion(actual),
        "dose_limiting": safety.count_dose_limiting(actual, definition),
    }
    assert safety.check_totals(actual, listings={}, definition=definition, **tables_of) > 0
    with pytest.raises(safety.TotalsError, match="terms against events"):
        safety.check_totals(switched, listings={}, definition=definition, **tables_of)
