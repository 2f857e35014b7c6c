"""Groups drawn to meet the claims about them: how often each comes, by a list of all."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from claimed_trials import claim_trial, median

from nkhcc_helpers.compatible.sampling import Target
from nkhcc_helpers.trial.claims import LandmarkRate

RATE = LandmarkRate(kind="landmark_rate", endpoint="OS", at=4.0, group="A", value=50.0, decimals=0)
SOME = [{"endpoint": "OS", "most": 2, "earliest": 2.0}]
TRIALS = {
    "one patient": claim_trial({"A": 1, "B": 2}, [median(3, group="A")], censored=SOME),
    "two patients, either median": claim_trial({"A": 2}, [median(3, group="A")], median_convention="either"),
    "three patients, censoring": claim_trial({"A": 3}, [median(3, group="A")], censored=SOME),
    "median and rate": claim_trial({"A": 2}, [median(3, group="A"), RATE], median_convention="midpoint"),
    "no claim": claim_trial({"A": 2}, [median(3)], censored=SOME),
}


@pytest.mark.parametrize("name", TRIALS)
def test_groups_are_drawn_as_often_as_their_weights_say(name):
    claimed = TRIALS[name]
    draws = Target.of(claimed, "OS").groups[0]
    n = len(draws.members)
    each = (
        [*product(range(1, 7), (True, False))]
        if claimed.assumptions.censored
        else [(step, True) for step in range(1, 7)]
    )
    every = list(product(each, repeat=n))
    steps, events = (np.array([[patient[at] for patient in group] for group in every]) for at in (0, 1))
    log_weight = draws.weigh(steps, events)
    possible = np.isfinite(log_weight) & draws.meets(steps, events)
    chance = np.exp(log_weight[possible])
    chance /= chance.sum()
    keys = [tuple(group) for group, can in zip(every, possible, strict=True) if can]
    found = draws.draw(40_000, np.random.default_rng(1))
    seen = Counter(
        tuple(zip(*group, strict=True)) for group in zip(found[0].tolist(), found[1].tolist(), strict=True)
    )
    assert set(seen) <= set(keys)
    n_found = len(found[0])
    expected = chance * n_found
    usual = expected > 5
    counts = np.array([seen[key] for key in keys])
    assert ((counts - expected)[usual] ** 2 / expected[usual]).sum() < usual.sum() + 5 * np.sqrt(
        2 * usual.sum()
    )


def test_groups_rarely_met_are_not_drawn_but_tempered():
    never = claim_trial({"A": 3, "B": 2}, [median(3, group="A"), median(5, group="A"), median(2, group="B")])
    target = Target.of(never, "OS")
    assert [each.group for each in target.tempered] == [0, 0]
    assert not target.groups[0].claims
    assert target.groups[1].claims
