"""Cumulative incidence of the first adverse event, by hand and against lifelines."""

import dataclasses
import warnings

import numpy as np
import pytest
from hand_made import load_hand_made
from lifelines import AalenJohansenFitter

from nkhcc_helpers.first_event import _accumulate, estimate_first_event, list_first_event


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def test_each_patient_by_hand(trial):
    # s1: fever on the day of the first infusion, cough before it. s2: one fever nobody can date, sepsis 34
    # days after the infusion. s3: nothing until the cut-off. s4: not treated. s5: fever after 8 days.
    listed = list_first_event(trial).set_index("USUBJID")[["days", "outcome"]]
    assert listed.T.to_dict("list") == {"s1": [0, 1], "s2": [34, 1], "s3": [304, 0], "s5": [8, 1]}
    within = list_first_event(trial, window_days=7).set_index("USUBJID")[["days", "outcome"]]
    assert within.T.to_dict("list") == {"s1": [0, 1], "s2": [7, 0], "s3": [35, 0], "s5": [8, 1]}
    related = list_first_event(trial, related_only=True).set_index("USUBJID")[["days", "outcome"]]
    assert related.loc["s2"].tolist() == [34, 2]


def test_death_without_an_event_is_its_own_outcome(trial):
    nothing = dataclasses.replace(trial, adverse_events=trial.adverse_events.iloc[:0])
    curves = estimate_first_event(nothing)
    assert (curves["event_probability"] == 0).all()
    # s1 and s2, all of L, died; of H nobody did.
    last = curves.groupby("group", observed=True)["competing_probability"].max()
    assert last.to_dict() == {"L": 1, "H": 0, "All": 0.5}


def test_incidence_by_hand():
    # 4 at risk, one event; 3 at risk, one dies; one censored; the last has the event.
    curve = _accumulate(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 1]))
    assert curve["event_probability"].tolist() == pytest.approx([0, 1 / 4, 1 / 4, 1 / 4, 1 / 4 + 1 / 2])
    assert curve["competing_probability"].tolist() == pytest.approx([0, 0, 1 / 4, 1 / 4, 1 / 4])
    assert curve["n_at_risk"].tolist() == [4, 4, 3, 2, 1]


def test_incidence_agrees_with_lifelines():
    rng = np.random.default_rng(4)
    days, outcome = rng.permutation(np.arange(1, 41)), rng.integers(0, 3, 40)
    curve = _accumulate(days, outcome)
    for event, column in ((1, "event_probability"), (2, "competing_probability")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = AalenJohansenFitter(calculate_variance=False).fit(days, outcome, event_of_interest=event)
        theirs = theirs.cumulative_density_.iloc[:, 0]
        assert curve[column].to_numpy() == pytest.approx(theirs.reindex(curve["time"]).ffill().to_numpy())


def test_every_kind_of_trial_has_curves_between_0_and_1(any_trial):
    curves = estimate_first_event(any_trial)
    total = curves["event_probability"] + curves["competing_probability"]
    assert total.between(0, 1 + 1e-12).all()
    assert (curves.groupby("group", observed=True)["event_probability"].diff().dropna() >= 0).all()
