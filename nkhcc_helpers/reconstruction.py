"""The illustrative reconstruction: one trial that gives every published number.

Draws one trial that gives every number of a `published.yaml` at its printed rounding. What the paper does
not say (doses, schedule, censoring, baseline, adverse events) is assumed here and listed in `trial.yaml`.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.claims import read_published
from nkhcc_helpers.illustration import draw_infusions, make_adae, make_adex, make_adsl, make_adtte
from nkhcc_helpers.logrank import calculate_logrank, solve_quadratic
from nkhcc_helpers.metadata import DAYS_PER_UNIT, read_metadata
from nkhcc_helpers.trial import locate_bundled

DEFAULT_SEED = 20260124
N_COHORTS_A_DRAW = 20_000
MAX_DRAWS = 500  # of N_COHORTS_A_DRAW each

SURVIVOR_FOLLOW_UP = (3270, 3305)  # days: 9 years, to a tenth of a year
LOSS_TO_FOLLOW_UP = (1000, 2100)  # days: after every median, so that medians stay order statistics
SHORTEST_PFS = 21  # days: before a first response assessment progression is not seen
SHORTEST_FROM_PFS_TO_OS = 14  # days


def write_reconstruction(out_dir, *, seed=DEFAULT_SEED, source=""):
    """Draw the illustrative trial and write its four tables.

    Parameters
    ----------
    out_dir : path
        Folder for ``adsl.csv adtte.csv adex.csv adae.csv``; made when it is not there.
    seed : int
        The same seed writes the same bytes.
    source : path, optional
        Folder with the ``trial.yaml`` and ``published.yaml`` to meet; the bundled trial when empty.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        No cohort was found that gives the published numbers.
    """
    folder = Path(source) if source else locate_bundled()
    metadata = read_metadata(folder / "trial.yaml")
    published = read_published(folder / "published.yaml", metadata)
    tables = draw_trial(metadata, published, seed=seed)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in tables.items():
        paths.append(out_dir / f"{name}.csv")
        paths[-1].write_text(table.to_csv(index=False, lineterminator="\n"), encoding="utf-8", newline="\n")
    return paths


def draw_trial(metadata, published, *, seed=DEFAULT_SEED, max_draws=MAX_DRAWS):
    """Draw a trial that gives every published number.

    Parameters
    ----------
    metadata : TrialMetadata
        Arms, data cut-off and study identifier.
    published : Published
        Claims: group sizes, enrolment dates, medians and log-rank P-values of PFS and OS. The longest
        follow-up and the safety claims are met by construction and checked by `compare_published`.
    seed : int
    max_draws : int
        Batches of cohorts drawn for each endpoint before giving up.

    Returns
    -------
    dict of str to DataFrame
        Tables ``adsl adtte adex adae`` as ADaM, times in months of 30.4375 days.

    Raises
    ------
    ValueError
        No cohort was found that gives the published numbers.
    """
    rng = np.random.default_rng(seed)
    claims = _collect_claims(metadata, published)
    cohort = _draw_enrolment(rng, claims, metadata.data_cut_off)
    cohort = _draw_times(rng, claims, cohort, max_draws)
    infusions = draw_infusions(rng, metadata, cohort)
    return {
        "adsl": make_adsl(rng, metadata, cohort, infusions),
        "adtte": make_adtte(metadata, cohort),
        "adex": make_adex(metadata, cohort, infusions),
        "adae": make_adae(rng, metadata, cohort, infusions),
    }


def _collect_claims(metadata, published):
    """The claims by what they are about; medians as (lowest, highest) whole days that print as claimed."""
    codes = [arm.code for arm in metadata.arms]
    claims = {"sizes": {}, "medians": {}, "logrank": {}}
    for claim in published.claims:
        if claim.kind == "group_size":
            claims["sizes"][codes.index(claim.group)] = claim.value
        elif claim.kind == "median":
            group = None if claim.group is None else codes.index(claim.group)
            claims["medians"][claim.endpoint, group] = _days_printing_as(claim)
        elif claim.kind == "logrank_p":
            claims["logrank"][claim.endpoint] = (claim.value, claim.decimals)
        elif claim.kind in ("first_enrolment", "last_enrolment"):
            claims[claim.kind] = claim.value
    claims["group"] = np.repeat(np.arange(len(codes)), [claims["sizes"][g] for g in range(len(codes))])
    return claims


def _days_printing_as(claim):
    lowest, highest = (limit * DAYS_PER_UNIT["months"] for limit in claim.limits)
    return int(np.ceil(lowest)), int(np.floor(highest))


def _draw_enrolment(rng, claims, cut_off):
    """Enrolment days group after group, the survivor first in the last group."""
    group = claims["group"]
    first, last = claims["first_enrolment"], claims["last_enrolment"]
    follow_up = int(rng.integers(*SURVIVOR_FOLLOW_UP))
    survivor_enrolled = (cut_off - dt.timedelta(days=follow_up) - first).days
    span = (last - first).days
    opened = np.round(np.searchsorted(group, np.arange(group[-1] + 1)) / len(group) * span).astype(int)
    opened = np.append(opened, span + 1)
    opened[-2] = survivor_enrolled
    enrolled = np.concatenate(
        [np.sort(rng.integers(opened[g], opened[g + 1], (group == g).sum())) for g in range(group[-1] + 1)]
    )
    survivor = int(np.searchsorted(group, group[-1]))
    enrolled[0], enrolled[survivor], enrolled[-1] = 0, survivor_enrolled, span
    return pd.DataFrame(
        {
            "group": group,
            "enrolled": [first + dt.timedelta(days=int(day)) for day in enrolled],
            "survivor": np.arange(len(group)) == survivor,
            "follow_up": [(cut_off - first).days - int(day) for day in enrolled],
        }
    )


def _draw_times(rng, claims, cohort, max_draws):
    """PFS and OS in days, matched within groups so that OS follows PFS."""
    survivor = cohort["survivor"].to_numpy()
    group = cohort["group"].to_numpy()
    lost = int(np.flatnonzero(group == group[-1] - 1)[-1])
    fixed = int(cohort.loc[survivor, "follow_up"].iloc[0])
    search = partial(_search_times, rng, claims, survivor=survivor, follow_up=fixed, max_draws=max_draws)
    pfs = search("PFS", lost=np.array([], dtype=int))
    os = search("OS", lost=np.array([lost]))
    pfs = _match_times(rng, group, survivor, pfs, os)
    return cohort.assign(
        pfs=pfs,
        os=os,
        progressed=~survivor,
        died=~survivor & (np.arange(len(group)) != lost),
    )


def _search_times(rng, claims, endpoint, *, survivor, lost, follow_up, max_draws):
    """Draw cohorts until one gives the medians and the log-rank P of this endpoint."""
    group = claims["group"]
    membership = np.eye(group[-1] + 1)[group]
    events = np.ones(len(group), dtype=bool)
    events[survivor] = False
    events[lost] = False
    value, decimals = claims["logrank"][endpoint]
    for _ in range(max_draws):
        times = _propose_times(rng, claims, endpoint, survivor, follow_up)
        times[:, lost] = rng.integers(*LOSS_TO_FOLLOW_UP, (len(times), len(lost)))
        times = times[_meet_medians(times, claims, endpoint)]
        if not len(times):
            continue
        repeated = np.broadcast_to(events, times.shape)
        observed, expected, variance = calculate_logrank(times, repeated, membership)
        # The last group follows from the others.
        statistic = solve_quadratic((observed - expected)[:, :-1], variance[:, :-1, :-1])
        p_value = stats.chi2.sf(statistic, group[-1])
        hits = np.flatnonzero(np.abs(p_value - value) < 0.49 * 10.0**-decimals)
        if len(hits):
            return times[hits[0]]
    raise ValueError(f"no cohort found that gives the published {endpoint} medians and log-rank P")


def _propose_times(rng, claims, endpoint, survivor, follow_up):
    """Cohorts with each group's middle times at its median and the others spread around it."""
    group = claims["group"]
    times = np.empty((N_COHORTS_A_DRAW, len(group)), dtype=int)
    for g in range(group[-1] + 1):
        low, high = claims["medians"][endpoint, g]
        members = np.flatnonzero(group == g)
        # The survivor stands first in the last group but has its longest time.
        members = np.concatenate([members[~survivor[members]], members[survivor[members]]])
        n = len(members)
        middle = np.arange((n - 1) // 2, n // 2 + 1)
        before, after = members[: middle[0]], members[middle[-1] + 1 :]
        times[:, members[middle]] = rng.integers(low, high + 1, (len(times), len(middle)))
        times[:, before] = np.floor(low * rng.uniform(0.4, 1.0, (len(times), len(before))))
        times[:, after] = np.ceil(high * (1 + rng.exponential(0.5, (len(times), len(after)))))
    _place_overall_median(rng, times, claims, endpoint)
    times[:, survivor] = follow_up
    return times


def _place_overall_median(rng, times, claims, endpoint):
    low, high = claims["medians"][endpoint, None]
    rows = np.arange(len(times))
    for _ in range(2):
        times[rows, rng.integers(0, times.shape[1], len(times))] = rng.integers(low, high + 1, len(times))


def _meet_medians(times, claims, endpoint):
    """Whether the two middle times (or the one) of each group and of everyone print as claimed."""
    meets = times.min(axis=1) >= SHORTEST_PFS
    for (of, g), (low, high) in claims["medians"].items():
        if of != endpoint:
            continue
        part = times if g is None else times[:, claims["group"] == g]
        n = part.shape[1]
        middle = np.sort(part, axis=1)[:, [(n - 1) // 2, n // 2]]
        meets &= ((middle >= low) & (middle <= high)).all(axis=1)
    return meets


def _match_times(rng, group, survivor, pfs, os):
    """Shuffle PFS within groups until each comes well before its patient's OS."""
    matched = pfs.copy()
    for g in range(group[-1] + 1):
        members = np.flatnonzero((group == g) & ~survivor)
        for _ in range(10_000):
            candidate = rng.permutation(pfs[members])
            if (os[members] - candidate >= SHORTEST_FROM_PFS_TO_OS).all():
                matched[members] = candidate
                break
        else:
            raise ValueError("no matching of PFS to OS found in which every PFS comes before its OS")
    return matched
