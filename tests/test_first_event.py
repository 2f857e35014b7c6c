"""Cumulative incidence of the first adverse event, by hand and against lifelines."""

import dataclasses
import warnings

import numpy as np
import pytest
from hand_made import METADATA, load_hand_made
from lifelines import AalenJohansenFitter

from nkhcc_helpers.safety.exposure import UNDATED, estimate_first_event, list_first_event
from nkhcc_helpers.survival import estimate_incidence


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def test_each_patient_by_hand(trial):
    # s1: fever on the day of the first infusion, cough before it. s2: one fever nobody can date, sepsis 34
    # days after the infusion. s3: nothing until the cut-off. s4: not treated. s5: fever after 8 days.
    listed = list_first_event(trial).set_index("USUBJID")[["days", "outcome"]]
    assert listed.T.to_dict("list") == {"s1": [0, 1], "s2": [34, 1], "s3": [304, 0], "s5": [8, 1]}
    within = list_first_event(trial, window_days=7).set_index("USUBJID")[["days", "outcome"]]
    # Whether s2's undated fever lies within the shorter time nobody knows.
    assert within.loc["s2", "outcome"] == UNDATED
    assert within["days"].isna().tolist() == [name == "s2" for name in within.index]
    assert within.drop("s2").T.to_dict("list") == {"s1": [0, 1], "s3": [35, 0], "s5": [8, 1]}
    related = list_first_event(trial, related_only=True).set_index("USUBJID")[["days", "outcome"]]
    assert related["outcome"].to_dict() == {"s1": 1, "s2": UNDATED, "s3": 0, "s5": 0}


def test_death_without_an_event_is_its_own_outcome(trial):
    nothing = dataclasses.replace(trial, adverse_events=trial.adverse_events.iloc[:0])
    curves = estimate_first_event(nothing)
    assert (curves["event_probability"] == 0).all()
    # s1 and s2, all of L, died; of H nobody did.
    last = curves.groupby("group", observed=True)["competing_probability"].max()
    assert last.to_dict() == {"L": 1, "H": 0, "All": 0.5}


def test_patients_with_undated_events_alone_are_left_out_and_counted(tmp_path):
    # s1's day is known, s2's is not; of s5, the only one of H with an event, neither.
    lines = ["s1,Fever,1,2020-01-09", "s2,Fever,1,", "s5,Fever,1,"]
    trial = load_hand_made(tmp_path, adae="\n".join(["USUBJID,AEDECOD,AETOXGR,ASTDT", *lines]) + "\n")
    curves = estimate_first_event(trial)
    # H would show a curve at 0 although a patient had an event.
    assert list(curves["group"].unique()) == ["L", "All"]
    starts = curves[curves["time"] == 0].set_index("group")
    assert starts["n_at_risk"].to_dict() == {"L": 1, "All": 2}
    assert starts["n_undated"].to_dict() == {"L": 1, "All": 2}
    assert curves.groupby("group")["event_probability"].max().to_dict() == {"L": 1, "All": 0.5}


def test_nothing_recorded_has_no_curve(tmp_path):
    metadata = METADATA | {"adverse_events": {"collected": False}}
    assert estimate_first_event(load_hand_made(tmp_path / "none", metadata=metadata, adae=None)).empty
    header = "USUBJID,AEDECOD,AETOXGR,ASTDT\n"
    trial = load_hand_made(tmp_path / "unrelated", adae=header + "s1,Fever,1,2020-01-09\n")
    assert estimate_first_event(trial, related_only=True).empty
    assert len(estimate_first_event(trial))
    undated = load_hand_made(tmp_path / "undated", adae=header + "s1,Fever,1,\n")
    # L and All have an event that nobody can date; H has none.
    assert list(estimate_first_event(undated)["group"].unique()) == ["H"]


def test_incidence_by_hand():
    # 4 at risk, one event; 3 at risk, one dies; one censored; the last has the event.
    curve = estimate_incidence([1, 2, 3, 4], [1, 2, 0, 1])
    event, died = (curve.loc[curve["cause"] == cause, "incidence"].tolist() for cause in (1, 2))
    assert event == pytest.approx([0, 1 / 4, 1 / 4, 1 / 4, 1 / 4 + 1 / 2])
    assert died == pytest.approx([0, 0, 1 / 4, 1 / 4, 1 / 4])
    assert curve.loc[curve["cause"] == 1, "n_at_risk"].tolist() == [4, 4, 3, 2, 1]


def test_incidence_agrees_with_lifelines():
    rng = np.random.default_rng(4)
    days, outcome = rng.permutation(np.arange(1, 41)), rng.integers(0, 3, 40)
    curves = estimate_incidence(days, outcome)
    for event in (1, 2):
        curve = curves[curves["cause"] == event]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = AalenJohansenFitter(calculate_variance=False).fit(days, outcome, event_of_interest=event)
        theirs = theirs.cumulative_density_.iloc[:, 0]
        assert curve["incidence"].to_numpy() == pytest.approx(
            theirs.reindex(curve["time"]).ffill().to_numpy()
        )


def test_every_kind_of_trial_has_curves_between_0_and_1(any_trial):
    curves = estimate_first_event(any_trial)
    total = curves["event_probability"] + curves["competing_probability"]
    assert total.between(0, 1 + 1e-12).all()
    assert (curves.groupby("group", observed=True)["event_probability"].diff().dropna() >= 0).all()
