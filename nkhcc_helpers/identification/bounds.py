"""The smallest and largest value of a statistic over compatible cohorts, by tilted Markov chains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from nkhcc_helpers.compatible.chains import Chains
from nkhcc_helpers.compatible.cohorts import fingerprint, sample_compatible
from nkhcc_helpers.compatible.sampling import USUAL_EFFORT, Target
from nkhcc_helpers.compatible.space import Partners, find_step, pair_at_random
from nkhcc_helpers.identification.statistics import (
    ENDS,
    _approximate_trend,
    _list_covariates,
    _step_towards_ratio,
    calculate_hazard_ratios,
    calculate_statistics,
    choose_statistic,
    list_planned_designs,
    place_not_reached,
)
from nkhcc_helpers.parallel import run_blocks
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

GENTLE, STRONG = 0.5, 30.0  # tilt per standard deviation of the statistic, from first sweep to last
N_CHAINS = 60
N_SWEEPS = 100


@dataclass(frozen=True, eq=False)
class Bounds:
    """The range of a statistic over compatible cohorts, at least as wide as this.

    Attributes
    ----------
    lowest, highest : float
        NaN where the statistic exists in no cohort.
    times, events : ndarray, shape (n_found, n_endpoints, n_patients)
        The cohorts found at either end, the one with the lowest value first, that with the highest last: they
        meet every claim. None where the statistic exists in no cohort.
    """

    lowest: float
    highest: float
    times: np.ndarray
    events: np.ndarray


def find_bounds(
    cohorts,
    statistic,
    *,
    endpoint,
    n_chains=N_CHAINS,
    n_sweeps=N_SWEEPS,
    seed=DEFAULT_SEED,
    effort=USUAL_EFFORT,
):
    """Find the smallest and largest value of a statistic over all compatible cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
        A sample, to start from.
    statistic : callable
        Takes times and events of `endpoint`, each of shape (n_cohorts, n_patients); returns one value a
        cohort, NaN where there is none.
    endpoint : str
    n_chains : int, default 60
        Starts: half of them the cohorts of the sample with the most extreme values, the others any.
    n_sweeps : int, default 100
        Sweeps in each direction.
    seed : int
    effort : Effort
        Of the chains' iterations.

    Returns
    -------
    Bounds
        The search may miss more extreme cohorts, never report what no cohort has.

    Notes
    -----
    Chains that meet the claims, or nearly do, are tilted towards ever larger, or smaller, values; whatever
    cohort they pass that meets all claims counts.

    References
    ----------
    Christen, Fox (2005) J Comput Graph Stat; Kirkpatrick, Gelatt, Vecchi (1983) Science.
    """
    rng = np.random.default_rng(seed)
    values = np.asarray(statistic(*cohorts.of(endpoint)), dtype=float)
    if not np.isfinite(values).any():
        return Bounds(np.nan, np.nan, cohorts.times[:0], cohorts.events[:0])
    low, high = (
        _push(cohorts, statistic, endpoint, values, sign, n_chains, n_sweeps, rng, effort) for sign in (-1, 1)
    )
    values, times, events = (np.concatenate([one[::-1], two]) for one, two in zip(low, high, strict=True))
    return Bounds(values[0], values[-1], times, events)


class TiltedChains(Chains):
    """Chains that favour large values of a statistic, by `strength` times its value."""

    def __init__(self, target, steps, events, rng, statistic):
        super().__init__(target, steps, events, rng)
        self.statistic, self.strength = statistic, 0.0
        # The lower temperatures: near enough to the claims to come back to meeting them.
        self.inverse_temperature = np.resize(target.effort.inverse_temperatures[1:], len(self))
        self.values = statistic(self.steps, self.events)

    def accept(self, rows, steps, events):
        # A second test, of those that passed the first: the statistic takes longest to calculate.
        values = self.statistic(steps, events)
        gained = self.strength * (values - self.values[rows])
        may = np.log(self.rng.random(len(rows))) < np.where(np.isnan(gained), -np.inf, gained)
        self.values[rows[may]] = values[may]
        return may


def _push(cohorts, statistic, endpoint, values, sign, n_chains, n_sweeps, rng, effort):
    """What each chain passed farthest in one direction, the farthest of all last: value, times, events."""
    claimed, step = cohorts.claimed, find_step(cohorts.claimed)
    at = claimed.endpoints.index(endpoint)
    order = np.argsort(np.where(np.isfinite(values), -sign * values, np.inf))
    n_known = int(np.isfinite(values).sum())
    chosen = np.concatenate([order[: min(n_chains // 2, n_known)], rng.choice(order[:n_known], n_chains)])[
        :n_chains
    ]
    steps, spread = np.round(cohorts.times / step).astype(int), max(np.nanstd(values), 1e-12)
    chains = TiltedChains(
        Target.of(claimed, endpoint, effort=effort),
        steps[chosen, at],
        cohorts.events[chosen, at],
        rng,
        lambda s, e: sign * statistic(s * step, e) / spread,
    )
    chains.chosen = chosen.copy()
    if claimed.ordered and endpoint in claimed.ordered:
        first, second = claimed.ordered
        other = claimed.endpoints.index(second if endpoint == first else first)
        chains.take_partners(
            Partners(steps[:, other], np.zeros(len(steps)), claimed.codes, endpoint == first), chosen
        )
    farthest = values[chosen].copy()
    its_steps, its_events, partner = steps[chosen, at], cohorts.events[chosen, at], chosen.copy()
    for chains.strength in np.geomspace(GENTLE, STRONG, n_sweeps * effort.iterations_per_sweep):
        chains.advance()
        here = sign * chains.values * spread  # noqa: PD011
        better = chains.meets_all & (sign * here > sign * farthest)
        farthest[better], its_steps[better] = here[better], chains.steps[better]
        its_events[better], partner[better] = chains.events[better], chains.chosen[better]
    order = np.argsort(sign * farthest)
    found = (each[order] for each in (its_steps, its_events, partner))
    return farthest[order], *_complete(cohorts, steps, at, *found, rng)


def _complete(cohorts, steps, at, its_steps, its_events, partner, rng):
    """Times and events of all endpoints, those of one put together with the others' of other cohorts."""
    claimed = cohorts.claimed
    steps, events = steps[partner].copy(), cohorts.events[partner].copy()
    steps[:, at], events[:, at] = its_steps, its_events
    if claimed.ordered:
        first, second = (claimed.endpoints.index(code) for code in claimed.ordered)
        whose = pair_at_random(steps[:, first], steps[:, second], claimed.codes, rng)
        for values in (steps, events):
            values[:, first] = np.take_along_axis(values[:, first], whose, axis=1)
    return steps * find_step(claimed), events


N_SAMPLED = 50  # cohorts of the sample, at either end, that count beside those found
N_ROUGH = 100_000  # draws that tell which those are
BOUNDS = ["endpoint", "statistic", "lowest", "highest"]


def bound_statistics(
    cohorts,
    wanted,
    *,
    designs=(),
    find=find_bounds,
    n_draws=2_000_000,
    n_search_draws=20_000,
    seed=DEFAULT_SEED,
    tau=None,
    jobs=2,
    progress=False,
):
    """Search for the extremes of several statistics over all compatible cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
        A sample, to start from.
    wanted : sequence of (str, str)
        Endpoints and statistics, as `choose_statistic` takes them.
    designs, seed, tau
        As in `choose_statistic`; for hazard ratios the extremes are over all designs.
    find : callable, default `compatible_bounds.find_bounds`
        The search, or a `functools.partial` of it with other options.
    n_draws : int, default 2,000,000
        Random allocations for the P-values of the cohorts found at either end.
    n_search_draws : int, default 20,000
        Random allocations in the search, which thousands of cohorts pass through; it finds the extremes of a
        drawn P only as far as its error allows. That of a trend is sought by the asymptotic P instead, a
        hazard ratio by the first step of its fit.
    jobs : int, default 2
        Processes; the answer does not depend on it.
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic lowest highest``: what `compatible_answers` takes as bounds. The true
        range is at least as wide, but for the Monte-Carlo error of a drawn P; inf for a median that some
        cohort does not reach; NaN where no cohort of the sample has the statistic.
    """
    options = {"designs": list(designs), "seed": seed, "tau": tau}
    tasks = [(cohorts, *each, find, (n_search_draws, n_draws), options) for each in wanted]
    found = tqdm(run_blocks(_bound, tasks, jobs), total=len(tasks), unit="statistic", disable=not progress)
    rows = [(*each, *ends) for each, ends in zip(wanted, found, strict=True)]
    return pd.DataFrame(rows, columns=BOUNDS)


def _bound(task):
    """Lowest and highest value of one statistic, in the cohorts that the search found or began with."""
    cohorts, endpoint, statistic, find, (n_search_draws, n_draws), options = task
    claimed, at, values = cohorts.claimed, cohorts.claimed.endpoints.index(endpoint), [[]]
    for end in ENDS if statistic.startswith("hr ") else ["highest"]:
        rough, calculate = (
            choose_statistic(claimed, statistic, end=end, n_draws=n, **options)
            for n in (min(N_ROUGH, n_draws), n_draws)
        )
        order = np.argsort(rough(*cohorts.of(endpoint)))
        chosen = [cohorts.take(np.concatenate([order[:N_SAMPLED], order[-N_SAMPLED:]]))]
        searches = [choose_statistic(claimed, statistic, end=end, n_draws=n_search_draws, **options)]
        if statistic.startswith("hr "):
            known = _list_covariates(claimed, statistic, options["designs"])
            searches = [partial(_step_towards_ratio, codes=claimed.codes, designs=known, end=end)]
        elif statistic == "trend_p" and len(claimed.groups) > 1:
            searches = [partial(_approximate_trend, codes=claimed.codes, log=log) for log in (False, True)]
        found = (find(cohorts, search, endpoint=endpoint) for search in searches)
        chosen += [each for each in found if np.isfinite(each.lowest)]
        values += [calculate(each.times[:, at], each.events[:, at]) for each in chosen]
    known = place_not_reached(np.concatenate(values), statistic)
    known = known[~np.isnan(known)]
    return min(known, default=np.nan), max(known, default=np.nan)


BOUNDS_FILE = "compatible_bounds.csv"  # in the folder of a trial
TIMES_MORE = 4  # cohorts that a search for bounds starts from, beside those stored
BOUND_COLUMNS = ["endpoint", "statistic", "lowest", "highest"]


def make_bounds(cohorts, metadata, folder, *, jobs=2, progress=False, **options):
    """Search for the bounds of every statistic that a page reports, and write them beside the cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    metadata : TrialMetadata
        With the assumed doses and infusions, for hazard ratios.
    folder : str or pathlib.Path
        For ``compatible_bounds.csv``.
    jobs, progress, **options
        As in `compatible_targets.bound_statistics`.

    Returns
    -------
    pathlib.Path
        The file, written whole or not at all.

    Notes
    -----
    The search starts from these cohorts and `TIMES_MORE` times as many others: chains held to narrow claims
    do not get far, so that extremes are found by many starts rather than by long ways.
    """
    designs = list_planned_designs(metadata)
    others = {"n_cohorts": TIMES_MORE * len(cohorts), "seed": cohorts.seed + 1}
    more = sample_compatible(cohorts.claimed, **others, jobs=jobs, progress=progress)
    cohorts, one = cohorts.join(more), cohorts.take(slice(0, 1))
    ratios = calculate_hazard_ratios(one, designs)
    wanted = [*calculate_statistics(one, n_draws=1).columns]
    wanted += [
        (row.endpoint, f"hr {row.covariate} ({row.method})")
        for row in ratios[["endpoint", "covariate", "method"]].drop_duplicates().itertuples()
    ]
    bounds = bound_statistics(cohorts, wanted, designs=designs, jobs=jobs, progress=progress, **options)
    path = Path(folder) / BOUNDS_FILE
    building = path.with_suffix(".building")
    save_bounds(bounds, cohorts.claimed, building)
    return building.replace(path)


def save_bounds(bounds, claimed, path):
    """Write bounds beside the cohorts they were searched from.

    Parameters
    ----------
    bounds : DataFrame
        Columns ``endpoint statistic lowest highest``, as of `compatible_targets.bound_statistics`.
    claimed : ClaimedTrial
        Claims and assumptions that they hold for.
    path : str or pathlib.Path
    """
    bounds[BOUND_COLUMNS].assign(fingerprint=fingerprint(claimed)).to_csv(path, index=False)


def obtain_bounds(trial, claimed):
    """Obtain the bounds stored with a trial, where they hold for its claims; searching takes minutes.

    Parameters
    ----------
    trial : Trial
    claimed : ClaimedTrial

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic lowest highest``; no rows where none are stored that fit.
    """
    path = trial.source / BOUNDS_FILE
    if not path.is_file():
        return pd.DataFrame(columns=BOUND_COLUMNS)
    stored = pd.read_csv(path)
    return stored.loc[stored["fingerprint"] == fingerprint(claimed), BOUND_COLUMNS]
