"""What the design of a trial can answer, by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from nkhcc_helpers.cox import count_events_before_plans_part, describe_design, design


def with_arms(trial, **changes):
    """The trial with other plans: the values of each arm by field."""
    arms = [
        arm.model_copy(update={field: values[at] for field, values in changes.items()})
        for at, arm in enumerate(trial.metadata.arms)
    ]
    metadata = trial.metadata.model_copy(update={"arms": arms})
    subjects = trial.subjects.copy()
    for field, column in (("dose", "dose"), ("infusions", "planned_infusions")):
        planned = {arm.code: float(getattr(arm, field)) for arm in arms}
        subjects[column] = subjects["group"].astype(str).map(planned)
    return dataclasses.replace(trial, metadata=metadata, subjects=subjects)


def test_bundled_trial_by_hand(bundled_trial):
    report = describe_design(bundled_trial, endpoint="PFS")
    assert report.points["groups"].tolist() == ["A", "B", "C", "D"]
    assert report.points["n"].tolist() == [3, 5, 6, 4]
    assert report.rank == 3
    assert report.events_per_covariate == 17 / 2
    assert report.contrasts.to_numpy().tolist() == [
        ["dose", "A", "B", 0.5],
        ["infusions", "B", "C", 4.0],
        ["dose", "C", "D", 0.25],
    ]
    dose, infusions = np.repeat([0.5, 1, 1, 1.25], (3, 5, 6, 4)), np.repeat([4, 4, 8, 8], (3, 5, 6, 4))
    r = np.corrcoef(dose, infusions)[0, 1]
    assert report.correlation.loc["dose", "infusions"] == pytest.approx(r)
    assert report.variance_inflation.tolist() == pytest.approx([1 / (1 - r**2)] * 2)
    assert report.separation is None
    assert describe_design(bundled_trial, ["dose"]).variance_inflation.tolist() == [1]


def test_separation_is_named_before_any_fit(plain_trial):
    times = plain_trial.times.copy()
    first = plain_trial.groups[0]
    # Every event of the first group comes before every event of the others.
    times["time"] = times["time"].rank() + 1000 * (times["group"].astype(str) != first)
    times["event"] = True
    trial = dataclasses.replace(plain_trial, times=times)
    direction = describe_design(trial, ["group"]).separation
    assert (direction < 0).all()  # its signs are what counts


def test_what_cannot_be_estimated_is_an_error_that_says_what_to_drop(bundled_trial):
    trial = bundled_trial
    same = with_arms(trial, infusions=[4, 4, 4, 4])
    with pytest.raises(ValueError, match=r"infusions is the same for everyone. Drop infusions"):
        describe_design(same)
    twice = with_arms(trial, dose=[1, 2, 3, 4], infusions=[2, 4, 6, 8])
    with pytest.raises(ValueError, match=r"infusions follows from the covariates before it. Drop infusions"):
        describe_design(twice)
    with pytest.raises(ValueError, match="no endpoint 'X'"):
        describe_design(trial, endpoint="X")
    with pytest.raises(ValueError, match="no covariate given"):
        describe_design(trial, [])


def test_unusable_columns_are_listed_with_the_reason():
    x = pd.DataFrame({"dose": [1.0, 2, 3], "infusions": 4.0, "double": [2.0, 4, 6]})
    assert design.find_unusable(x) == {
        "infusions": "is the same for everyone",
        "double": "follows from the covariates before it",
    }


def test_models_that_can_be_estimated_are_kept_once():
    x = pd.DataFrame({"dose": [1.0, 2, 3], "infusions": 4.0})
    models = {"one": ["dose"], "none": [], "both": ["dose", "infusions"], "again": ["dose"]}
    assert design.keep_estimable(x, models) == {"one": ["dose"]}


def test_groups_of_one_design_point_stand_together():
    frame = pd.DataFrame({"group": list("abbc"), "event": [1, 0, 1, 1], "dose": [1.0, 2, 2, 1]})
    points = design.list_design_points(frame, ["dose"])
    assert points.to_numpy().tolist() == [[1.0, "a, c", 2, 2, ("a", "c")], [2.0, "b", 2, 1, ("b",)]]
    assert design.list_contrasts(points).to_numpy().tolist() == [["dose", "a, c", "b", 1.0]]


def test_events_before_the_plans_part(bundled_trial):
    # Four infusions every 14 days: the fifth is due 56 days after the first, 1.84 months.
    early = count_events_before_plans_part(bundled_trial, "PFS")
    assert early["days"] == 56
    assert early["time"] == pytest.approx(56 / 30.4375)
    times = bundled_trial.survival("PFS")
    assert early["n_early"] == sum(times["time"] * 30.4375 < 55.99)
    assert early["n_events"] == 17


def test_plans_that_do_not_part(plain_trial):
    same = with_arms(plain_trial, infusions=[4] * len(plain_trial.groups))
    early = count_events_before_plans_part(same, "OS")
    assert np.isnan(early["days"])
    assert early["n_early"] is None


def test_codings():
    group = pd.Categorical(list("abc"), ordered=True)
    frame = pd.DataFrame({"group": group, "dose": [0.5, 1, 2], "infusions": [4, 4, 8]})

    def code(coding):
        return design.code_covariates(frame, ["dose"], dose_coding=coding)["dose"].tolist()

    assert code("relative") == [0.5, 1, 2]
    assert code("cumulative") == [2, 4, 16]
    assert code("log2") == [-1, 0, 1]
    assert code("order") == [0, 1, 2]
    both = design.code_covariates(frame, ["cumulative", "dose"])
    assert both["cumulative"].tolist() == [2, 4, 16]
    assert both["dose"].tolist() == [0.5, 1, 2]
    assert design.code_covariates(frame, ["group", "order"]).to_numpy().tolist() == [
        [0, 0, 0],
        [1, 0, 1],
        [0, 1, 2],
    ]
    with pytest.raises(ValueError, match="dose_coding must be one of relative"):
        code("linear")
    with pytest.raises(ValueError, match="covariates has 'age'; known are dose"):
        design.code_covariates(frame, ["age"])
    with pytest.raises(ValueError, match="log2 needs doses above 0"):
        design.code_covariates(frame.assign(dose=0), ["dose"], dose_coding="log2")
