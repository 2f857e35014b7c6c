import dataclasses

import pandas as pd
from hand_made import ADAE, load_hand_made

from nkhcc_helpers.safety import timing


def show(frame):
    return [tuple(None if pd.isna(value) else value for value in row) for row in frame.to_numpy(dtype=object)]


def test_days_count_from_the_first_infusion(tmp_path):
    found = timing.list_timelines(load_hand_made(tmp_path / "trial"))
    # s1 was infused first on day 7 after enrolment and died on day 140; s2 on day 1, died on 35; s3 was
    # followed for 305 days and s5 for 268, both infused first on day 1. s4 was not treated.
    assert show(found.patients) == [
        ("s1", "L", 133, 133),
        ("s2", "L", 34, 34),
        ("s3", "H", 304, None),
        ("s5", "H", 267, None),
    ]
    assert found.n_uninfused == 0
    days = found.infusions.groupby("USUBJID")["day"].agg(list).to_dict()
    assert days == {"s1": [0, 14], "s2": [0], "s3": [0, 14, 28], "s5": [0, 14]}
    # The cough of s1 came before the first infusion; nobody knows when the fever of s2 began.
    assert show(found.events.drop(columns="group")) == [
        ("s1", "Fever", 1, 0, 0, "ended"),
        ("s1", "Fever", 3, 15, 17, "ended"),
        ("s1", "Rash", None, 24, 133, "ongoing"),
        ("s2", "Sepsis", 5, 34, 34, "ended"),
        ("s5", "Fever", 2, 8, 9, "ended"),
    ]
    assert found.n_undated == 1


def test_all_events_and_related_ones(tmp_path):
    trial = load_hand_made(tmp_path / "trial")
    everything = timing.list_timelines(trial, emergent_only=False).events
    assert show(everything[["term", "day", "end_day"]])[0] == ("Cough", -3, -2)
    related = timing.list_timelines(trial, related_only=True).events
    assert list(related["term"]) == ["Fever", "Fever"]


def test_an_event_that_is_over_without_an_end_date_has_an_unknown_end(tmp_path):
    over = ADAE.replace("NOT RECOVERED/NOT RESOLVED", "RECOVERED/RESOLVED")
    events = timing.list_timelines(load_hand_made(tmp_path / "trial", adae=over)).events
    rash = events[events["term"] == "Rash"]
    assert show(rash[["day", "end_day", "ending"]]) == [(24, None, "unknown")]


def test_an_event_not_recovered_when_last_followed_goes_on(tmp_path):
    followed = ADAE.replace("2020-02-01,,NOT REC", "2020-02-01,2020-02-11,NOT REC")
    events = timing.list_timelines(load_hand_made(tmp_path / "trial", adae=followed)).events
    assert show(events.loc[events["term"] == "Rash", ["day", "end_day", "ending"]]) == [(24, 34, "ongoing")]


def test_a_treated_patient_without_an_infusion_has_no_line(tmp_path):
    trial = load_hand_made(tmp_path / "trial")
    trial = dataclasses.replace(trial, subjects=trial.subjects.assign(SAFFL="Y"))
    found = timing.list_timelines(trial)
    assert "s4" not in set(found.patients["USUBJID"])
    assert found.n_uninfused == 1
    assert found.n_undated == 1  # that of s2; the fever of s4 goes with the patient


def test_every_trial_has_its_lines(any_trial):
    found = timing.list_timelines(any_trial)
    assert set(found.events["USUBJID"]) <= set(found.patients["USUBJID"])
    assert set(found.events["ending"]) <= {"ended", "ongoing", "unknown"}
    assert found.n_undated == 0
