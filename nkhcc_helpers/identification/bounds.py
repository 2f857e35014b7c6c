"""The smallest and largest value of a statistic over compatible cohorts, by tilted Markov chains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from nkhcc_helpers.checks import check_choice, check_names
from nkhcc_helpers.compatible.chains import Chains
from nkhcc_helpers.compatible.cohorts import OutOfTimeError, fingerprint, sample_compatible
from nkhcc_helpers.compatible.sampling import USUAL_EFFORT, Target
from nkhcc_helpers.compatible.space import Partners, find_step, pair_at_random
from nkhcc_helpers.identification.statistics import (
    ENDS,
    Observed,
    list_planned_designs,
    list_ratios,
    list_statistics,
    place_covariate,
)
from nkhcc_helpers.parallel import NEVER, run_blocks
from nkhcc_helpers.survival.logrank import OrderedCohorts
from nkhcc_helpers.survival.many import permute_logrank_many
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

BOUNDS_FILE = "compatible_bounds.csv"  # in the folder of a trial
BOUNDS = ["endpoint", "statistic", "lowest", "highest"]
TIMES_MORE = 4  # cohorts that a search for bounds starts from, beside those stored
GENTLE, STRONG = 0.5, 30.0  # tilt per standard deviation of the statistic, from first sweep to last
N_SAMPLED = 50  # cohorts of the sample, at either end, that count beside those found
N_ROUGH = 100_000  # draws that tell which those are
FLAT = 1e-9  # determinant of an information, relative to its diagonal, without which no step is known


@dataclass(frozen=True, eq=False)
class Bounds:
    """The range of a statistic over compatible cohorts, at least as wide; NaN where it exists in none.

    `times` and `events`, (n_found, n_endpoints, n_patients), are cohorts found at either end, all of which
    meet every claim: the one with the lowest value first, that with the highest last.
    """

    lowest: float
    highest: float
    times: np.ndarray
    events: np.ndarray


def find_bounds(
    cohorts, statistic, *, endpoint, n_chains=60, n_sweeps=100, seed=DEFAULT_SEED, effort=USUAL_EFFORT
):
    """Find the smallest and largest value of a statistic over all compatible cohorts.

    Christen, Fox (2005) J Comput Graph Stat; Kirkpatrick, Gelatt, Vecchi (1983) Science.

    Parameters
    ----------
    cohorts : CompatibleCohorts
        A sample, to start from.
    statistic : callable
        From times and events of `endpoint`, (n_cohorts, n_patients), to a value a cohort, NaN for none.
    endpoint : str
    n_chains : int, default 60
        Half of them start at the cohorts with the most extreme values, the others at any.
    n_sweeps : int, default 100
        In each direction.
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
    """
    rng = np.random.default_rng(seed)
    values = np.asarray(statistic(*cohorts.of(endpoint)), dtype=float)
    if not np.isfinite(values).any():
        return Bounds(np.nan, np.nan, cohorts.times[:0], cohorts.events[:0])
    low, high = (
        _tilt(cohorts, statistic, endpoint, values, sign, n_chains, n_sweeps, rng, effort) for sign in (-1, 1)
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


def _tilt(cohorts, statistic, endpoint, values, sign, n_chains, n_sweeps, rng, effort):
    """Value, times and events of the most extreme cohort that each chain passed, the most extreme last."""
    claimed, step = cohorts.claimed, find_step(cohorts.claimed)
    at = claimed.endpoints.index(endpoint)
    chosen = _choose_starts(values, sign, n_chains, rng)
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
        alike = np.zeros(len(steps))
        chains.take_partners(Partners(steps[:, other], alike, claimed.codes, endpoint == first), chosen)
    extreme = values[chosen].copy()
    its_steps, its_events, partner = steps[chosen, at], cohorts.events[chosen, at], chosen.copy()
    for chains.strength in np.geomspace(GENTLE, STRONG, n_sweeps * effort.iterations_per_sweep):
        if effort.until.is_over:
            break
        chains.advance()
        here = sign * chains.values * spread  # noqa: PD011
        better = chains.meets_all & (sign * here > sign * extreme)
        extreme[better], its_steps[better] = here[better], chains.steps[better]
        its_events[better], partner[better] = chains.events[better], chains.chosen[better]
    order = np.argsort(sign * extreme)
    found = (each[order] for each in (its_steps, its_events, partner))
    return extreme[order], *_complete(cohorts, steps, at, *found, rng)


def _choose_starts(values, sign, n_chains, rng):
    """Cohorts to start from: half of them the most extreme, the others any that have a value."""
    order = np.argsort(np.where(np.isfinite(values), -sign * values, np.inf))
    n_known = int(np.isfinite(values).sum())
    extreme, others = order[: min(n_chains // 2, n_known)], rng.choice(order[:n_known], n_chains)
    return np.concatenate([extreme, others])[:n_chains]


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


def choose_statistic(
    claimed, statistic, *, designs=(), end="highest", n_draws=2_000, seed=DEFAULT_SEED, tau=None
):
    """A function from times and events, each (n_cohorts, n_patients), to the values of one `Statistic`.

    `end` is which hazard ratio over the designs, "lowest" or "highest". Raises ValueError for a statistic
    that there is not, an unknown end, or where no design has the covariate.
    """
    check_choice(end, "end", tuple(ENDS))
    if statistic.kind == "hr":
        place_covariate(claimed, statistic, designs)
    else:
        listed = list_statistics(claimed.groups, () if statistic.at is None else (statistic.at,))
        if statistic not in listed:
            known = ", ".join(map(str, listed))
            raise ValueError(f"statistic must be one of {known}; got {statistic!r}")
    n_draws = 1 if statistic.kind == "logrank_p" else n_draws
    options = {"n_draws": n_draws, "seed": seed, "tau": tau, "designs": designs, "end": end}
    return lambda times, events: statistic.calculate(Observed(times, events, claimed, **options))


def bound_statistics(
    cohorts,
    wanted,
    *,
    designs=(),
    find=find_bounds,
    until=NEVER,
    n_draws=2_000_000,
    n_search_draws=20_000,
    seed=DEFAULT_SEED,
    tau=None,
    jobs=2,
    progress=False,
):
    """Search for the extremes of statistics, each an (endpoint, `Statistic`), over all compatible cohorts.

    Those of hazard ratios are over all `designs`. `find` is the search, or a `functools.partial` of it.
    P-values are drawn over `n_search_draws` allocations as cohorts pass through, and over `n_draws` for
    those at either end. The answer does not depend on `jobs`. Columns ``endpoint statistic lowest highest``:
    inf for a median that some cohort does not reach; NaN where no cohort of the sample has the statistic. No
    row for a statistic whose search has not ended at the deadline `until`.
    """
    options = {"designs": list(designs), "seed": seed, "tau": tau}
    tasks = [(cohorts, *each, find, (n_search_draws, n_draws), options, until) for each in wanted]
    found = tqdm(run_blocks(_bound, tasks, jobs), total=len(tasks), unit="statistic", disable=not progress)
    rows = [(*each, *ends) for each, ends in zip(wanted, found, strict=True) if ends]
    return pd.DataFrame(rows, columns=BOUNDS)


def _bound(task):
    """Lowest and highest value of one statistic, in the cohorts that the search found or began with.

    None where time was up before.
    """
    cohorts, endpoint, statistic, find, (n_search_draws, n_draws), options, until = task
    claimed, at, values = cohorts.claimed, cohorts.claimed.endpoints.index(endpoint), [[]]
    for end in ENDS if statistic.kind == "hr" else ["highest"]:
        if until.is_over:
            return None
        rough, search, calculate = (
            choose_statistic(claimed, statistic, end=end, n_draws=n, **options)
            for n in (min(N_ROUGH, n_draws), n_search_draws, n_draws)
        )
        order = np.argsort(rough(*cohorts.of(endpoint)))
        chosen = [cohorts.take(np.concatenate([order[:N_SAMPLED], order[-N_SAMPLED:]]))]
        searches = _approximate(claimed, statistic, options["designs"], end) or [search]
        found = (find(cohorts, each, endpoint=endpoint) for each in searches)
        chosen += [each for each in found if np.isfinite(each.lowest)]
        if until.is_over:
            return None
        values += [calculate(each.times[:, at], each.events[:, at]) for each in chosen]
    known = statistic.place_not_reached(np.concatenate(values))
    known = known[~np.isnan(known)]
    return min(known, default=np.nan), max(known, default=np.nan)


def _approximate(claimed, statistic, designs, end):
    """Functions that rise and fall with a statistic, but are faster or smoother to search by; or none."""
    if statistic.kind == "hr":
        known = place_covariate(claimed, statistic, designs)
        return [partial(_step_towards_ratio, codes=claimed.codes, designs=known, end=end)]
    if statistic.kind == "trend_p":
        return [partial(_approximate_trend, codes=claimed.codes, log=log) for log in (False, True)]
    return []


def _step_towards_ratio(times, events, *, codes, designs, end):
    """First Newton step of a log hazard ratio in each design, from log-rank sums that all designs share."""
    difference, variance = OrderedCohorts.of(times, events, codes).sum_logrank()
    # The last group's sums are what makes those of all groups add up to 0.
    all_groups = np.vstack([np.eye(difference.shape[1]), -np.ones(difference.shape[1])])
    steps = []
    for x, at in designs:
        x = x.T @ all_groups
        information = x @ variance @ x.T
        diagonal = np.diagonal(information, axis1=1, axis2=2)
        known = np.linalg.det(information) > FLAT * np.prod(diagonal, axis=1)
        information = np.where(known[:, None, None], information, np.eye(len(x)))
        step = np.linalg.solve(information, (difference @ x.T)[..., None])[:, at, 0]
        steps.append(np.where(known, step, np.nan))
    return ENDS[end].reduce(steps)


def _approximate_trend(times, events, *, codes, log):
    """Asymptotic P of the trend: smooth, where drawn P-values have ties and noise; small ones by its log."""
    scores = np.arange(1, codes.max() + 2)
    p_value = permute_logrank_many(times, events, codes, n_draws=1, scores=scores).p_asymptotic
    return np.log(np.maximum(p_value, 1e-300)) if log else p_value


def make_bounds(cohorts, metadata, folder, *, effort=USUAL_EFFORT, jobs=2, progress=False, **options):
    """Search for the bounds of every statistic that a page reports, and write them beside the cohorts.

    `metadata` has the assumed doses and infusions, for hazard ratios; further options as of
    `bound_statistics`. Returns the path of ``compatible_bounds.csv``, written whole or not at all.

    The search starts from these cohorts and `TIMES_MORE` times as many others: chains held to narrow claims
    do not get far, so that extremes are found by many starts rather than by long ways. Half of the time of
    the effort is for the others; raises OutOfTimeError where no search came to its end.
    """
    claimed, designs = cohorts.claimed, list_planned_designs(metadata)
    others = {"n_cohorts": TIMES_MORE * len(cohorts), "seed": cohorts.seed + 1, "effort": effort.share(1 / 2)}
    cohorts = cohorts.join(sample_compatible(claimed, **others, jobs=jobs, progress=progress))
    wanted = list(product(claimed.endpoints, list_statistics(claimed.groups)))
    wanted += list(product(claimed.endpoints, list_ratios(designs[0][1].columns if designs else ())))
    options = {"find": partial(find_bounds, effort=effort), "until": effort.until, **options}
    bounds = bound_statistics(cohorts, wanted, designs=designs, jobs=jobs, progress=progress, **options)
    if bounds.empty:
        raise OutOfTimeError("time was up before any search for bounds had ended")
    return store_table(Path(folder) / BOUNDS_FILE, [(claimed, bounds)])


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
    known = [*list_statistics(claimed.groups), *list_ratios()]
    return read_table(trial.source / BOUNDS_FILE, claimed, known, BOUNDS)


def store_table(path, parts):
    """Write tables of statistics, whole or not at all, each with the `ClaimedTrial` that it was made for.

    Raises ValueError where two statistics of a table share a name, and so does `read_table`.
    """
    for _, table in parts:
        check_names(table["statistic"])
    building = path.with_suffix(".building")
    tables = [table.assign(fingerprint=fingerprint(claimed)) for claimed, table in parts]
    pd.concat(tables).to_csv(building, index=False)
    return building.replace(path)


def read_table(path, claimed, known, columns, *, float_precision=None, **options):
    """The rows of a stored table made for these claims and options; none where no file or row is.

    `known` are the statistics that it may be about, found by their names; `float_precision` as of pandas.
    """
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    check_names(known)
    stored = pd.read_csv(path, float_precision=float_precision)
    fits = stored["fingerprint"] == fingerprint(claimed)
    for name, value in options.items():
        fits &= stored[name] == value
    by_name = {each.name: each for each in known}
    kept = stored[fits & stored["statistic"].isin(by_name)]
    return kept.assign(statistic=kept["statistic"].map(by_name))[columns]
