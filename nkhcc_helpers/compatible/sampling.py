"""Cohorts of each endpoint that meet the claims about it, and of two that go together patient by patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nkhcc_helpers.compatible.chains import Chains, NoPartnerError
from nkhcc_helpers.compatible.claims import MedianDistance, lay_out_claims
from nkhcc_helpers.compatible.space import CohortSpace, GroupDraws, Partners, Proposals, pair_at_random
from nkhcc_helpers.survival.logrank import OrderedCohorts

ENOUGH_CHAINS = 20  # tries, for each chain wanted, to draw groups that make a possible cohort
NEAR = 0.3  # half widths, of a claim's interval, within which a miss hardly counts


@dataclass(frozen=True)
class Target:
    """Cohorts of one endpoint, and the claims about it.

    Claims about one group alone are kept to at all times, wherever groups drawn at random are found to meet
    them; chains are pulled towards the others.

    Attributes
    ----------
    proposals : Proposals
        With the space of cohorts.
    groups : tuple of GroupDraws
    pulled : tuple
        Distances, as of `claim_distances.lay_out_claims`, of the claims not kept to at all times; those that
        take long to measure last.
    log_tilt : ndarray of float, shape (n_groups, n_steps + 1)
        Logarithm of what the prior of each step was multiplied by.
    """

    proposals: Proposals
    groups: tuple
    pulled: tuple
    log_tilt: np.ndarray

    @classmethod
    def of(cls, claimed, endpoint, tilt=None):
        """Lay out the target of one endpoint of a `ClaimedTrial`; `tilt` as for `CohortSpace.of`."""
        space, distances = CohortSpace.of(claimed, endpoint, tilt), lay_out_claims(claimed, endpoint)
        medians = [each for each in distances if isinstance(each, MedianDistance)]
        proposals = Proposals.of(space, [each.limits for each in medians])
        rng, groups, pulled = np.random.default_rng(0), [], [each for each in distances if each.group is None]
        for group in range(len(claimed.groups)):
            own = tuple(each for each in distances if each.group == group)
            windows = tuple(tuple(each.limits) for each in medians if each.group == group)
            draws = GroupDraws(space, np.flatnonzero(claimed.codes == group), own, windows)
            if not draws.is_found(rng):
                pulled += own
                draws = GroupDraws(space, draws.members, (), windows)
            groups.append(draws)
        pulled = tuple(sorted(pulled, key=lambda each: each.is_costly))
        log_tilt = np.zeros(space.log_mass.shape) if tilt is None else np.log(tilt)
        return cls(proposals, tuple(groups), pulled, log_tilt)

    @property
    def space(self):
        """The `CohortSpace`."""
        return self.proposals.space

    def measure(self, steps, events, limit=np.inf):
        """Measure how far cohorts are from the claims that they are pulled to.

        Parameters
        ----------
        steps, events : ndarray, shape (n_cohorts, n_patients)
        limit : float or ndarray of float, shape (n_cohorts,)
            What is farther than that need not be measured to the end.

        Returns
        -------
        ndarray of float, shape (n_cohorts,)
            Sum over the claims of log(1 + distance / `NEAR`), which is steep near the claim, and of ``felt *
            half_width * distance``, which is steep far from it. inf where it is above the limit.
        """
        codes, far = self.space.codes, np.zeros(len(steps))
        limit, kept = np.broadcast_to(limit, far.shape), np.arange(len(far))
        ordered = OrderedCohorts.of(steps, events, codes)
        for each in self.pulled:
            part, members = ordered, codes == each.group
            if each.group is not None:
                part = OrderedCohorts.of(steps[kept][:, members], events[kept][:, members])
            distance = each.measure(part)
            far[kept] += np.log1p(distance / NEAR) + each.felt * each.half_width * distance
            near = far[kept] <= limit[kept]
            far[kept[~near]] = np.inf
            kept, ordered = kept[near], ordered.take(near)
        return np.where(far <= limit, far, np.inf)

    def draw_start(self, start, n_chains, rng):
        """Draw cohorts to start from, which keep to the assumptions and the claims of groups held.

        Parameters
        ----------
        start : {"prior", "medians"}
            Groups drawn given the claims about them; or every time at the claimed median of its group, or of
            everyone, wherever that meets the claims.
        n_chains : int
        rng : numpy.random.Generator

        Returns
        -------
        steps, events : ndarray, shape (n_chains, n_patients)

        Raises
        ------
        ValueError
            No cohort keeps to the assumptions on who is censored when.
        """
        steps = np.zeros((0, len(self.space.codes)), dtype=int)
        events = steps.astype(bool)
        for _ in range(ENOUGH_CHAINS):
            drawn = [self._draw_group(draws, start, n_chains, rng) for draws in self.groups]
            new_steps, new_events = (np.concatenate(parts, axis=1) for parts in zip(*drawn, strict=True))
            possible = np.isfinite(self.space.log_chance_of_censored((~new_events).sum(axis=1)))
            steps = np.concatenate([steps, new_steps[possible]])
            events = np.concatenate([events, new_events[possible]])
            if len(steps) >= n_chains:
                break
        if not len(steps):
            raise ValueError("no cohort keeps to the assumptions on who is censored when")
        chosen = np.resize(np.arange(len(steps)), n_chains)
        return steps[chosen], events[chosen]

    def _draw_group(self, draws, start, size, rng):
        """One group of so many cohorts, from a sample in which those rarely drawn count more."""
        found = [draws.draw(4 * size, rng)]
        while not sum(len(each[0]) for each in found):
            found.append(draws.draw(4 * size, rng))
        steps, events = (np.concatenate(parts) for parts in zip(*found, strict=True))
        log_weight = draws.weigh_freely(steps, events) - draws.weigh(steps, events)
        weight = np.exp(log_weight - log_weight.max())
        chosen = rng.choice(len(steps), size=size, p=weight / weight.sum())
        steps, events = steps[chosen], events[chosen]
        medians = [each for each in self.pulled if isinstance(each, MedianDistance) and each.group is None]
        windows = [*draws.windows, *(each.limits for each in medians)]
        if start == "medians" and windows:
            moved = np.full_like(steps, round(np.mean(windows[0])))
            can = np.isfinite(self.space.log_chance(moved, events, draws.code)).all(axis=1)
            can &= draws.meets(moved, events)
            steps = np.where(can[:, None], moved, steps)
        return steps, events


FEWEST_CHAINS, MOST_CHAINS, CHAINS_PER_COHORT = 100, 1_600, 8
N_ROAMING = 50  # looks without pull, to forget the start
N_SETTLING = 150  # looks before cohorts are counted
FORGOTTEN = 1 / 2  # of the looks that follow: cohorts met so early still tell of the start
ARRIVALS = 4.0  # of chains that come to meet all claims from where they roam, for each cohort taken
FEWEST_ARRIVALS = 120  # however few cohorts: the first to arrive are not those that usually do
SIGHTINGS = 2_000  # of chains that meet them, which will do as well
FEWEST_LOOKS, USUAL_LOOKS = 50, 20  # however many they meet
MOST_LOOKS = 6_000
MOST_FRUITLESS = 300  # looks without a single cohort
MORE = 2.0  # cohorts of the later endpoint, of which the earlier one leaves some without a partner
FEWEST_PARTNERS = 100  # however few cohorts: weights of pairs are right on average over many
MOST_PARTNERS = 8_000  # cohorts of one endpoint, for each of which the other may be found
RAREST = 0.02  # share of patients, in favouring times that go together with another endpoint


@dataclass(frozen=True)
class DrawnEndpoint:
    """Cohorts of one endpoint.

    Attributes
    ----------
    steps, events : ndarray, shape (n_cohorts, n_patients)
    chain : ndarray of int, shape (n_cohorts,)
        The Markov chain each comes from.
    late : ndarray of bool, shape (n_cohorts,)
        Whether it comes from the second half of the chains' run.
    chosen : ndarray of int, shape (n_cohorts,)
        The partner of each, where chains had partners.
    meets : bool
        Whether they meet every claim about the endpoint; else this is the one cohort that came nearest.
    """

    steps: np.ndarray
    events: np.ndarray
    chain: np.ndarray
    late: np.ndarray
    chosen: np.ndarray
    meets: bool

    def __len__(self):
        return len(self.steps)

    def take(self, rows):
        """Some of the cohorts."""
        names = ("steps", "events", "chain", "late", "chosen")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def draw_endpoints(claimed, n_cohorts, start, rng):
    """Draw cohorts of all endpoints of a trial.

    Parameters
    ----------
    claimed : ClaimedTrial
    n_cohorts : int
    start : {"prior", "medians"}
        As in `Target.draw_start`.
    rng : numpy.random.Generator

    Returns
    -------
    found : dict of str to DrawnEndpoint
        By endpoint, each with `n_cohorts`; row by row those of one cohort.
    meets : bool
        Whether they meet every claim and keep the order of endpoints; else they are only near to that.
    """
    found, meets = {}, True
    if claimed.ordered:
        found, meets = _draw_in_order(claimed, n_cohorts, start, rng)
    for endpoint in claimed.endpoints:
        if endpoint not in found:
            drawn = _draw(Target.of(claimed, endpoint), n_cohorts, start, rng)
            found[endpoint], meets = _thin(drawn, n_cohorts, rng), meets and drawn.meets
    return found, meets


def _draw_in_order(claimed, n_cohorts, start, rng):
    """Draw the later endpoint first, then the earlier one with partners among its cohorts.

    Either is drawn from times that are more likely to go together with the other endpoint, for which the
    weights of pairs make up: the cohorts are those of the prior in which no first time is after the second.
    """
    first, second = claimed.ordered
    before = Target.of(claimed, first).draw_start("prior", MOST_CHAINS, rng)[0]
    target = Target.of(claimed, second, tilt=_find_share_until(before, claimed, second))
    later = _draw(target, max(round(MORE * n_cohorts), FEWEST_PARTNERS), start, rng)
    later = _thin(later, min(MOST_PARTNERS, len(later)), rng)
    log_weight = -target.log_tilt[claimed.codes, later.steps].sum(axis=1)
    partners = Partners(later.steps, log_weight, claimed.codes, are_later=True)
    target = Target.of(claimed, first, tilt=_find_share_until(-later.steps, claimed, first))
    try:
        earlier = _draw(target, n_cohorts, start, rng, partners)
    except NoPartnerError:
        alone = _draw(target, n_cohorts, start, rng)
        return {first: _thin(alone, n_cohorts, rng), second: _thin(later, n_cohorts, rng)}, False
    earlier = _thin(earlier, n_cohorts, rng)
    meets, later = earlier.meets and later.meets, later.take(earlier.chosen)
    whose = pair_at_random(earlier.steps, later.steps, claimed.codes, rng)
    steps, events = (np.take_along_axis(each, whose, axis=1) for each in (earlier.steps, earlier.events))
    return {first: replace(earlier, steps=steps, events=events), second: later}, meets


def _find_share_until(steps, claimed, endpoint):
    """Share of a group's patients with a time not after each step, or not before for negative times."""
    last = Target.of(claimed, endpoint).space.last_step
    grid = np.arange(last + 1)
    grid = grid if steps.max() > 0 else -grid
    shares = []
    for group in range(len(claimed.groups)):
        known = np.sort(steps[:, claimed.codes == group], axis=None)
        shares.append(np.searchsorted(known, grid, side="right") / len(known))
    return np.maximum(shares, RAREST)


def _draw(target, n_cohorts, start, rng, partners=None):
    """Draw cohorts that meet all claims, or the one that comes nearest.

    Claims that the prior holds to be very unlikely may never be come by from where it draws; then they are
    sought from the claimed medians, which is near.
    """
    chains = _start(target, _count_chains(target, n_cohorts, start, rng), start, rng)
    drawn = _run(chains, n_cohorts, partners)
    if not drawn.meets:
        drawn = _run(_start(target, len(chains), "medians", rng, n_looks=0), n_cohorts, partners)
    return drawn


def _run(chains, n_cohorts, partners):
    """Run chains until enough of them met all claims: every cohort seen so, or the nearest one."""
    if partners is not None:
        chains.take_partners(partners)
    for _ in range(N_SETTLING):
        chains.advance()
    seen, look, arrivals, sightings = [], 0, 0, 0
    wanted = max(ARRIVALS * n_cohorts, FEWEST_ARRIVALS)
    while look < FEWEST_LOOKS or (arrivals < wanted and sightings < SIGHTINGS * n_cohorts):
        chains.advance()
        here, n_arrivals = chains.look()
        seen.append((chains.origin[here], look, *(each[here] for each in chains.cohorts)))
        arrivals, sightings, look = arrivals + n_arrivals, sightings + len(here), look + 1
        if look >= (MOST_LOOKS if sightings else MOST_FRUITLESS):
            break
    if not sightings:
        nearest = chains.far.argmin(keepdims=True)
        seen = [(chains.origin[nearest], look, *(each[nearest] for each in chains.cohorts))]
    chain, steps, events, chosen = (np.concatenate([each[at] for each in seen]) for at in (0, 2, 3, 4))
    when = np.repeat([each[1] for each in seen], [len(each[0]) for each in seen]) / look
    kept = (when >= FORGOTTEN) | (when.max() < FORGOTTEN)
    drawn = DrawnEndpoint(steps, events, chain, when >= (1 + FORGOTTEN) / 2, chosen, sightings > 0)
    return drawn.take(kept)


def _start(target, n_chains, start, rng, n_looks=N_ROAMING):
    chains = Chains(target, *target.draw_start(start, n_chains, rng), rng)
    chains.roam(n_looks)
    return chains


def _count_chains(target, n_cohorts, start, rng):
    """As many chains as arrive often enough in the usual number of looks; a few tell how often they do."""
    most = int(np.clip(CHAINS_PER_COHORT * n_cohorts, FEWEST_CHAINS, MOST_CHAINS))
    if most == FEWEST_CHAINS:
        return most
    few, arrivals = _start(target, FEWEST_CHAINS, start, rng), 0
    for _ in range(FEWEST_LOOKS):
        few.advance()
        arrivals += few.look()[1]
    rate = max(arrivals, 1) / (FEWEST_LOOKS * FEWEST_CHAINS)
    return int(np.clip(ARRIVALS * n_cohorts / (rate * USUAL_LOOKS), FEWEST_CHAINS, most))


def _thin(drawn, n_cohorts, rng):
    """So many of the cohorts, or each as often as any other where there are fewer."""
    rows = rng.permutation(len(drawn))
    return drawn.take(rng.permutation(np.resize(rows, n_cohorts)))
