"""Small claimed trials, and the list of all their cohorts."""

from dataclasses import replace
from itertools import product

import numpy as np
from scipy.special import comb

from nkhcc_helpers.compatible.claims import ClaimedTrial, lay_out_claims
from nkhcc_helpers.compatible.sampling import Effort
from nkhcc_helpers.survival.logrank import OrderedCohorts
from nkhcc_helpers.trial.claims import CohortAssumptions, LogrankP, Median

SMALL = Effort(
    largest_block=1_000,
    n_free=15,
    n_burn_in=40,
    fewest_iterations=20,
    fewest_moves=3,
    n_swaps=2,
    n_partner_offers=3,
    fewest_round_trips=60,
    most_fruitless=80,
    drawn=2_000,
    most_drawn=20_000,
)
"""Enough for trials of a few patients."""
QUICK = replace(
    SMALL,
    n_free=5,
    n_burn_in=10,
    fewest_chains=30,
    fewest_iterations=8,
    fewest_round_trips=20,
    most_fruitless=40,
)
"""Enough where cohorts need only be there: how well chains mix is not asked."""
FEW = replace(
    SMALL,
    n_free=5,
    n_burn_in=20,
    fewest_iterations=10,
    round_trips_per_cohort=0.3,
    fewest_round_trips=6,
    fewest_partners=20,
)
"""The same of the trial of 18 patients, whose claims are narrow."""


def claim_trial(sizes, claims, *, endpoints=("OS",), ordered=None, unit="months", **assumptions):
    """A `ClaimedTrial` on a grid of whole units, 1 to 6 where not said otherwise."""
    given = {"recorded_unit": unit, "shortest": 1, "longest": 6, **assumptions}
    return ClaimedTrial(sizes, endpoints, tuple(claims), CohortAssumptions(**given), unit, ordered)


def median(value, *, group=None, endpoint="OS", decimals=0):
    return Median(kind="median", endpoint=endpoint, group=group, value=float(value), decimals=decimals)


def logrank_p(value, *, endpoint="OS", decimals=2):
    return LogrankP(kind="logrank_p", endpoint=endpoint, value=value, decimals=decimals)


def list_cohorts(claimed):
    """Every cohort that meets all claims: times and events by endpoint, and the chance of each."""
    parts = []
    for endpoint in claimed.endpoints:
        times, events, weights = _list_endpoint(claimed, endpoint)
        kept = _check(claimed, endpoint, times, events)
        parts.append((times[kept], events[kept], weights[kept]))
    if len(parts) == 1:
        times, events, weights = parts[0]
        return times[:, None], events[:, None], weights / weights.sum()
    pairs = np.stack(np.meshgrid(*(range(len(part[0])) for part in parts), indexing="ij")).reshape(2, -1)
    times, events = (
        np.stack([part[at][chosen] for part, chosen in zip(parts, pairs, strict=True)], axis=1)
        for at in (0, 1)
    )
    weights = parts[0][2][pairs[0]] * parts[1][2][pairs[1]]
    kept = (times[:, 0] <= times[:, 1]).all(axis=1)
    return times[kept], events[kept], weights[kept] / weights[kept].sum()


def _check(claimed, endpoint, times, events):
    """Which cohorts of one endpoint meet the claims about it."""
    return (measure_claims(claimed, endpoint, times, events) == 0).all(axis=1)


def measure_claims(claimed, endpoint, steps, events):
    """Distance of each cohort from each claim about an endpoint, shape (n_cohorts, n_claims)."""
    measured = [np.zeros((len(steps), 0))]
    for distance in lay_out_claims(claimed, endpoint):
        members = claimed.codes >= 0 if distance.group is None else claimed.codes == distance.group
        ordered = OrderedCohorts.of(steps[:, members], events[:, members], claimed.codes[members])
        measured.append(distance.measure(ordered)[:, None])
    return np.concatenate(measured, axis=1)


def _list_endpoint(claimed, endpoint):
    """Every cohort of one endpoint with its prior weight: times, events, weights; claims aside."""
    assumed, n = claimed.assumptions, len(claimed.codes)
    grid = np.arange(int(assumed.shortest), int(assumed.longest) + 1)
    limits = {each.endpoint: each for each in assumed.censored}
    fewest, most = (limits[endpoint].fewest, limits[endpoint].most) if endpoint in limits else (0, 0)
    earliest = limits[endpoint].earliest or 0 if endpoint in limits else 0
    latest = limits[endpoint].latest or np.inf if endpoint in limits else np.inf
    mass = 1 / grid if assumed.prior == "log_uniform" else np.ones(len(grid))
    mass = mass / mass.sum()
    places, events = (
        np.array(list(product(range(len(grid)), repeat=n))),
        np.array(list(product((True, False), repeat=n))),
    )
    at, who = (each.ravel() for each in np.meshgrid(range(len(places)), range(len(events)), indexing="ij"))
    places, events = places[at], events[who]
    times, n_censored = grid[places], n - events.sum(axis=1)
    in_time = events | ((earliest <= times) & (times <= latest))
    possible = in_time.all(axis=1) & (fewest <= n_censored) & (n_censored <= most)
    # Of the censored, whose number says nothing of the times left to them.
    window = mass[(grid >= earliest) & (grid <= latest)].sum()
    weights = np.prod(mass[places] / np.where(events, 1.0, window), axis=1) / comb(n, n_censored)
    return times[possible], events[possible], weights[possible]
