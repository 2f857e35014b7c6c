"""Cohorts against claims: two ways of computing agree, what is met is counted, and what is not is told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hand_cohorts import draw_cohorts

from nkhcc_helpers.compatible.checks import check_cohorts, recheck_claims
from nkhcc_helpers.trial.claims import HazardRatio, LandmarkRate, LogrankP, LongestFollowUp, Median


def make_claims():
    of = {"endpoint": "OS", "decimals": 2}
    return [
        Median(kind="median", value=5.0, **of),
        Median(kind="median", value=5.0, group="A", **of),
        LogrankP(kind="logrank_p", value=0.5, **of),
        LandmarkRate(kind="landmark_rate", value=50, at=6.0, group="B", **of),
        HazardRatio(kind="hazard_ratio", value=1.0, group="A", reference="B", **of),
        LongestFollowUp(kind="longest_follow_up", value=12, decimals=0, unit="months"),
    ]


def test_a_printed_number_stands_for_what_rounds_to_it():
    assert make_claims()[0].limits == pytest.approx((4.995, 5.005))
    zero = LogrankP(kind="logrank_p", endpoint="OS", value=0.0, decimals=3)
    assert zero.limits == (0.0, 0.0005)


def test_textbook_and_lifelines_find_the_same():
    cohorts = draw_cohorts(8, {"A": 4, "B": 5, "C": 6}, seed=5, claims=make_claims(), share_censored=0.15)
    one, other = (recheck_claims(cohorts, engine=engine) for engine in ("textbook", "lifelines"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-6)
    assert (one["n_cohorts"] == 8).all()
    assert (one["n_met"] < 8).any()
    one, other = (check_cohorts(cohorts, engine=engine) for engine in ("textbook", "lifelines"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-6)
    assert len(one) == 8 * len(make_claims())


def test_only_what_rounds_to_the_printed_number_is_met():
    claims = [Median(kind="median", endpoint="OS", value=3, decimals=0)]
    cohorts = draw_cohorts(4, {"A": 3}, seed=1, claims=claims, share_censored=0)
    cohorts.times[:, 0] = [[1, 2.6, 9], [1, 3.4, 9], [1, 2.4, 9], [1, 3.6, 9]]
    checked = recheck_claims(cohorts)
    assert checked.loc[0].tolist() == [2, 4, 2.4, 3.6]


@pytest.mark.parametrize(("convention", "n_met"), [("midpoint", 0), ("first", 1), ("either", 1)])
def test_conventions_of_medians_on_a_flat_stretch(convention, n_met):
    claims = [Median(kind="median", endpoint="OS", value=2, decimals=0)]
    cohorts = draw_cohorts(1, {"A": 4}, seed=1, claims=claims, share_censored=0)
    cohorts.times[:, 0] = [1, 2, 6, 9]
    claimed = cohorts.claimed.assume(median_convention=convention)
    object.__setattr__(cohorts, "claimed", claimed)
    assert recheck_claims(cohorts)["n_met"].tolist() == [n_met]


def test_unknown_engine():
    with pytest.raises(ValueError, match="engine must be 'textbook' or 'lifelines'"):
        recheck_claims(draw_cohorts(1, {"A": 3}, seed=1), engine="r")


def test_a_median_that_is_not_reached_is_infinite_and_a_rate_after_the_last_patient_unknown():
    of = {"endpoint": "OS", "decimals": 0}
    claims = [
        Median(kind="median", value=3, **of),
        LandmarkRate(kind="landmark_rate", value=67, at=9.5, **of),
    ]
    cohorts = draw_cohorts(2, {"A": 3}, seed=1, claims=claims)
    cohorts.times[:, 0], cohorts.events[:, 0] = [1, 3, 9], [[True, False, False], [True, True, True]]
    checked = check_cohorts(cohorts)
    assert checked["value"].tolist() == pytest.approx([np.inf, np.nan, 3, 0], nan_ok=True)
    assert checked["meets"].tolist() == [False, False, True, False]
    assert recheck_claims(cohorts).to_numpy().tolist() == [[1, 2, 3, np.inf], [0, 2, 0, 0]]


def test_each_claim_is_counted_where_it_stands():
    claims = [Median(kind="median", endpoint="OS", value=value, decimals=0) for value in (3, 9, 3)]
    cohorts = draw_cohorts(2, {"A": 3}, seed=1, claims=claims, endpoints=("PFS", "OS"), share_censored=0)
    cohorts.times[:, :] = [[[1, 3, 9], [1, 3, 9]], [[1, 9.5, 9.5], [1, 9, 9]]]
    object.__setattr__(cohorts, "claimed", replace(cohorts.claimed, ordered=("PFS", "OS")))
    assert recheck_claims(cohorts)["n_met"].tolist() == [1, 1, 1]
    order = check_cohorts(cohorts).groupby("cohort").tail(1)
    assert order["claim"].tolist() == ["PFS after OS"] * 2
    assert order["value"].tolist() == [0, 2]
    assert order["meets"].tolist() == [True, False]


def test_nothing_claimed_is_nothing_to_check():
    cohorts = draw_cohorts(2, {"A": 3}, seed=1)
    assert check_cohorts(cohorts).empty
    assert recheck_claims(cohorts).empty
