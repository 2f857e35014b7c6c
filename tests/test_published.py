"""Published claims beside what the data give."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from claimed_trials import measure_claims
from lifelines import CoxPHFitter

from nkhcc_helpers.compatible.claims import ClaimedTrial, list_left_out
from nkhcc_helpers.compatible.space import CohortSpace, find_step
from nkhcc_helpers.identification.published import compare_published, publish_claims, recalibrate_published
from nkhcc_helpers.trial.claims import HazardRatio, LandmarkRate, LongestFollowUp, Median
from nkhcc_helpers.trial.metadata import Endpoint


@pytest.fixture(scope="module")
def bundled(bundled_trial):
    return bundled_trial


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


def publish(trial, *claims):
    """The trial with these claims only."""
    published = trial.published.model_copy(update={"claims": list(claims)})
    return dataclasses.replace(trial, published=published)


def fit_lifelines(frame, treated):
    data = pd.DataFrame({"time": frame["time"], "event": frame["event"], "treated": treated.astype(float)})
    return CoxPHFitter().fit(data, "time", "event").hazard_ratios_["treated"]


@pytest.mark.parametrize("endpoint", ["PFS", "OS"])
@pytest.mark.parametrize(("group", "reference"), [("C", "B"), ("B", None)])
def test_hazard_ratios_are_those_of_a_cox_model_with_efron_ties(bundled, endpoint, group, reference):
    # Whole months, so that times are tied.
    tied = dataclasses.replace(bundled, times=bundled.times.assign(time=bundled.times["time"].round() + 1))
    frame = tied.survival(endpoint)
    kept = frame if reference is None else frame[frame["group"].isin([group, reference])]
    expected = fit_lifelines(kept, kept["group"] == group)
    made = {"kind": "hazard_ratio", "endpoint": endpoint, "group": group, "reference": reference}
    claims = [HazardRatio(value=value, decimals=4, **made) for value in (expected, expected + 0.001)]
    table = compare_published(publish(tied, *claims))
    assert table["reproduced"].tolist() == [f"{expected:.4f}"] * 2
    assert table["agrees"].tolist() == [True, False]


def test_a_number_between_two_printed_ones_agrees_with_either(bundled):
    # Eight patients who die after 1 to 8 months: rates of 62.5 and 12.5 %, a median of 4.5 months.
    times = bundled.times[bundled.times["endpoint"] == "OS"].iloc[:8]
    eight = times.assign(time=np.arange(1.0, 9.0), event=True)
    trial = dataclasses.replace(bundled, times=eight, subjects=bundled.subjects.iloc[:8])
    rate = {"kind": "landmark_rate", "endpoint": "OS", "decimals": 0}
    claims = [LandmarkRate(at=3.5, value=value, **rate) for value in (61, 62, 63, 64)]
    claims += [LandmarkRate(at=7.5, value=value, **rate) for value in (12, 13, 14)]
    claims += [Median(kind="median", endpoint="OS", value=value, decimals=0) for value in (3, 4, 5)]
    claims += [LongestFollowUp(kind="longest_follow_up", unit="months", value=8, decimals=0)]
    table = compare_published(publish(trial, *claims))
    agrees = [False, True, True, False, True, True, False, False, True, True, True]
    assert table["agrees"].tolist() == agrees
    same = table["published"] == table["reproduced"]
    assert same.tolist() == agrees


@pytest.mark.parametrize(
    ("value", "decimals", "covered"),
    [(2.3, 1, 2.25), (2.2, 1, 2.25), (1.01, 2, 1.005), (1.0, 2, 1.005), (0.05, 2, 0.045), (63, 0, 62.5)],
)
def test_a_printed_number_covers_both_ends(value, decimals, covered):
    claim = HazardRatio(kind="hazard_ratio", endpoint="OS", group="A", value=value, decimals=decimals)
    below, at, above = claim.covers(np.array([value - 0.6 * 10.0**-decimals, covered, np.nan]))
    assert (below, at, above) == (False, True, False)
    assert all(claim.covers(limit) for limit in claim.limits)


def test_hazard_ratio_of_separated_groups_is_not_estimable(bundled):
    times = bundled.times.assign(time=bundled.times["time"].where(bundled.times["group"] != "D", 90.0))
    claim = HazardRatio(kind="hazard_ratio", endpoint="PFS", group="D", reference="A", value=0.1, decimals=1)
    (row,) = compare_published(publish(dataclasses.replace(bundled, times=times), claim)).itertuples()
    assert (row.reproduced, row.agrees) == ("NE", False)
    assert row.claim == "Hazard ratio PFS, D: incremental dose against A: low dose x 4"


def test_landmark_rates_are_percents_of_the_curve(bundled):
    frame = bundled.survival("OS")
    own = frame[frame["group"] == "C"]
    assert (own["time"][~own["event"]] > 18).all()
    shares = [100 * (part["time"] > 18).mean() for part in (own, frame)]
    made = {"kind": "landmark_rate", "endpoint": "OS", "decimals": 1, "at": 18.0}
    claims = [
        LandmarkRate(group=group, value=share, **made)
        for group, share in zip(("C", None), shares, strict=True)
    ]
    late = LandmarkRate(**(made | {"at": 500.0, "value": 10.0}))
    table = compare_published(publish(bundled, *claims, late))
    assert table["reproduced"].tolist() == [*(f"{share:.1f}" for share in shares), "NE"]
    assert table["claim"].tolist()[1] == "OS at 18 months, all patients (%)"


def test_a_trial_publishes_what_its_data_give(bundled):
    published = publish_claims(bundled)
    paper = {
        (each.kind, each.endpoint, getattr(each, "group", None)): each.value
        for each in bundled.published.claims
        if each.kind in ("median", "logrank_p")
    }
    made = {
        (each.kind, each.endpoint, getattr(each, "group", None)): each.value
        for each in published.claims
        if each.kind in ("median", "logrank_p")
    }
    assert made == paper
    table = compare_published(dataclasses.replace(bundled, published=published))
    assert table["agrees"].all()
    assert len(table) == 4 + 2 * 6 + 1


def test_what_a_trial_publishes_can_be_sampled_from(bundled):
    claimed = ClaimedTrial.of(publish_claims(bundled), bundled.metadata)
    for endpoint in claimed.endpoints:
        frame = bundled.survival(endpoint)
        steps = (frame["time"] / find_step(claimed)).round().astype(int).to_numpy()[None]
        space = CohortSpace.of(claimed, endpoint)
        events = frame["event"].to_numpy()[None]
        codes = frame["group"].cat.codes.to_numpy()
        assert (codes == claimed.codes).all()
        assert np.isfinite(space.log_prior(steps, events, codes)).all()
        assert np.isfinite(space.log_chance_of_censored((~events).sum()))
        assert not measure_claims(claimed, endpoint, steps, events).any()


def test_medians_not_reached_and_p_of_nothing_are_not_published(bundled):
    censored = dataclasses.replace(bundled, times=bundled.times.assign(event=False))
    kinds = [each.kind for each in publish_claims(censored).claims]
    assert kinds == ["group_size"] * 4 + ["longest_follow_up"]
    d_alive = bundled.times["event"] & (bundled.times["group"] != "D")
    some = publish_claims(dataclasses.replace(bundled, times=bundled.times.assign(event=d_alive)))
    assert {each.group for each in some.claims if each.kind == "median"} == {None, "A", "B", "C"}


def test_longest_follow_up_is_published_only_of_overall_survival(bundled):
    times = bundled.times
    longer = times["time"].where(times["endpoint"] == "OS", times["time"] + 200)
    other = publish_claims(dataclasses.replace(bundled, times=times.assign(time=longer)))
    assert "longest_follow_up" not in {each.kind for each in other.claims}


def with_endpoints(trial, frames, **endpoints):
    """The trial with more rows of times, and with endpoints changed or added."""
    listed = {each.code: each for each in trial.metadata.endpoints}
    for code, changes in endpoints.items():
        known = listed.get(code, Endpoint(code=code, label=code))
        listed[code] = known.model_copy(update=changes)
    metadata = trial.metadata.model_copy(update={"endpoints": list(listed.values())})
    return dataclasses.replace(trial, metadata=metadata, times=pd.concat([trial.times, *frames]))


def test_endpoints_of_some_patients_or_entered_late_are_left_out(bundled):
    os = bundled.times[bundled.times["endpoint"] == "OS"]
    # Nobody of groups A and B is in it.
    some = os[os["group"].isin(["C", "D"])].assign(endpoint="DOR")
    late = os.assign(endpoint="DX", time=os["time"] + 20, time_enter=20.0)
    added = {"DOR": {"population": "responders"}, "DX": {"origin": "DIAGDT"}}
    trial = with_endpoints(bundled, [some, late], **added)
    left_out = list_left_out(trial.metadata)
    assert list(left_out) == ["DOR", "DX"]
    assert "responders" in left_out["DOR"]
    assert "after time zero" in left_out["DX"]
    assert publish_claims(trial) == publish_claims(bundled)
    published = publish_claims(trial, endpoints=["PFS", "DOR"])
    assert {each.endpoint for each in published.claims if each.kind == "median"} == {"PFS"}
    claim = Median(kind="median", endpoint="DOR", value=3.0, decimals=1)
    published = bundled.published.model_copy(update={"claims": [*bundled.published.claims, claim]})
    assert claim not in ClaimedTrial.of(published, trial.metadata).claims


def test_a_trial_of_nothing_but_some_patients_publishes_those(bundled):
    os = bundled.times["endpoint"] == "OS"
    own = dataclasses.replace(bundled, times=bundled.times[os & bundled.times["group"].isin(["C", "D"])])
    metadata = own.metadata.model_copy(update={"endpoints": [own.endpoint("OS")]})
    trial = with_endpoints(dataclasses.replace(own, metadata=metadata), [], OS={"population": "responders"})
    assert list_left_out(trial.metadata) == {}
    claimed = ClaimedTrial.of(publish_claims(trial), trial.metadata)
    assert claimed.sizes == {"C": 6, "D": 4}


def test_own_numbers_are_not_called_published(bundled):
    assert publish_claims(bundled).citation == f"own numbers of {bundled.metadata.study_id}, rounded"
