"""Cohorts of each endpoint that meet the claims about it, and of two that go together patient by patient."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from nkhcc_helpers.compatible.chains import Chains, NoPartnerError
from nkhcc_helpers.compatible.claims import lay_out_claims
from nkhcc_helpers.compatible.space import CohortSpace, GroupDraws, Partners, pair_at_random
from nkhcc_helpers.parallel import NEVER, Deadline
from nkhcc_helpers.survival.logrank import OrderedCohorts

NEAR = 0.3  # half widths, of a claim's interval, within which a miss hardly counts
RAREST = 0.02  # share of patients, in favouring times that go together with another endpoint
PILOT = 0.2  # share of the time left that a few chains may take to tell how many are needed


@dataclass(frozen=True)
class Effort:
    """How hard compatible cohorts are searched for; less is faster, and may find fewer or none.

    An iteration of chains is a share of a sweep of moves, then offers of partners and swaps of temperatures;
    a round trip is a chain's way from the highest temperature to a cohort that meets all claims. What `until`
    cuts short depends on the machine, and is marked; what it does not is the same as without it.
    """

    largest_block: int = 500  # cohorts that one block of chains may draw
    chains_per_cohort: int = 8  # but no fewer and no more than these:
    fewest_chains: int = 100
    most_chains: int = 1_600
    fewest_in_haste: int = 20  # chains, where more would not come through burn-in in time
    start_tries: int = 20  # for each chain, to draw groups that make a possible cohort
    inverse_temperatures: tuple = (0.6, 1.2, 2.2)  # the first frees chains, the last holds them to the claims
    iterations_per_sweep: int = 3
    fewest_moves: int = 6  # an iteration, where there are few patients
    n_swaps: int = 3  # an iteration, of neighbouring temperatures
    n_free: int = 50  # iterations of burn-in at inverse temperature 0, to forget the start
    n_burn_in: int = 150  # iterations of burn-in after those, before cohorts are recorded
    discarded: float = 0.5  # share of the recorded iterations whose cohorts still tell of the start
    round_trips_per_cohort: float = 4.0  # made before chains end
    fewest_round_trips: int = 120  # however few cohorts: the first to arrive are not those that usually do
    visits_per_cohort: int = 2_000  # of chains to cohorts that meet all claims, which will do as well
    fewest_iterations: int = 50  # recorded, however many cohorts chains visit
    usual_iterations: int = 20  # in which so many chains are run as make the round trips
    most_iterations: int = 6_000
    most_fruitless: int = 300  # iterations without a single cohort
    partners_per_cohort: float = 2.0  # of the later endpoint; the earlier one leaves some without a partner
    fewest_partners: int = 100  # however few cohorts: weights of pairs are right on average over many
    most_partners: int = 8_000
    n_partner_offers: int = 6  # an iteration
    partner_tries: int = 200  # for each chain, to find a first partner
    fewest_found: int = 20  # groups that meet the claims about them, for these to be kept to at all times
    drawn: int = 20_000  # groups at once, to find those
    most_drawn: int = 200_000
    n_conflict_cohorts: int = 12  # that a search for a conflict asks for
    until: Deadline = field(default=NEVER, repr=False, compare=False)

    @classmethod
    def within(cls, minutes):
        """The usual effort, for so many minutes from now; 0 for as long as it takes."""
        return cls(until=Deadline(time.monotonic() + 60 * minutes) if minutes else NEVER)

    def share(self, part):
        """The same effort for this part of the time that is left."""
        return replace(self, until=self.until.share(part))


USUAL_EFFORT = Effort()


@dataclass(frozen=True)
class Target:
    """Cohorts of one endpoint, and the claims about it.

    Claims about one group alone are kept to at all times, wherever groups drawn at random are found to meet
    them; the distance from the others, `tempered`, is what the chains' temperatures are about. `log_tilt`,
    shape (n_groups, n_steps + 1), is the logarithm of what the prior of each step was multiplied by.
    """

    space: CohortSpace
    groups: tuple
    tempered: tuple
    log_tilt: np.ndarray
    effort: Effort

    @classmethod
    def of(cls, claimed, endpoint, tilt=None, effort=USUAL_EFFORT):
        """Lay out the target of one endpoint of a `ClaimedTrial`; `tilt` as for `CohortSpace.of`."""
        claims = lay_out_claims(claimed, endpoint)
        space = CohortSpace.of(claimed, endpoint, tilt, [one for each in claims for one in each.windows])
        rng = np.random.default_rng(0)
        groups, tempered = [], [each for each in claims if each.group is None]
        for group in range(len(claimed.groups)):
            own = tuple(each for each in claims if each.group == group)
            windows = tuple(window for each in own for window in each.windows)
            draws = GroupDraws(space, np.flatnonzero(claimed.codes == group), own, windows)
            if not draws.is_found(effort, rng):
                tempered += own
                draws = GroupDraws(space, draws.members, (), windows)
            groups.append(draws)
        tempered = tuple(sorted(tempered, key=lambda each: each.is_costly))
        log_tilt = np.zeros(space.log_mass.shape) if tilt is None else np.log(tilt)
        return cls(space, tuple(groups), tempered, log_tilt, effort)

    def measure(self, steps, events, limit=np.inf):
        """Distance of cohorts from the tempered claims, shape (n_cohorts,); inf where it is above the limit.

        Sum over the claims of log(1 + distance / `NEAR`), steep near the claim, and of ``slope * half_width *
        distance``, steep away from it.
        """
        codes, total = self.space.codes, np.zeros(len(steps))
        limit, kept = np.broadcast_to(limit, total.shape), np.arange(len(total))
        ordered = OrderedCohorts.of(steps, events, codes)
        for each in self.tempered:
            part, members = ordered, codes == each.group
            if each.group is not None:
                part = OrderedCohorts.of(steps[kept][:, members], events[kept][:, members])
            distance = each.measure(part)
            total[kept] += np.log1p(distance / NEAR) + each.slope * each.half_width * distance
            near = total[kept] <= limit[kept]
            total[kept[~near]] = np.inf
            kept, ordered = kept[near], ordered.take(near)
        return np.where(total <= limit, total, np.inf)

    def draw_start(self, start, n_chains, rng):
        """Steps and events, shape (n_chains, n_patients), that keep to assumptions and claims of groups held.

        `start` is "prior", groups drawn given the claims about them, or "medians", every time at the claimed
        median of its group, or of everyone, wherever that meets the claims. Raises ValueError where no cohort
        keeps to the assumptions on who is censored when.
        """
        steps = np.zeros((0, len(self.space.codes)), dtype=int)
        events = steps.astype(bool)
        for _ in range(self.effort.start_tries):
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
        common = [window for each in self.tempered if each.group is None for window in each.windows]
        windows = [*draws.windows, *common]
        if start == "medians" and windows:
            moved = np.full_like(steps, round(np.mean(windows[0])))
            can = np.isfinite(self.space.log_chance(moved, events, draws.code)).all(axis=1)
            can &= draws.meets(moved, events)
            steps = np.where(can[:, None], moved, steps)
        return steps, events


@dataclass(frozen=True)
class DrawnEndpoint:
    """Cohorts of one endpoint.

    `steps` and `events` have shape (n_cohorts, n_patients); `chain` is the Markov chain of each, `late`
    whether it comes from the second half of the chains' run, `chosen` its partner where chains had partners.
    `meets` tells whether they meet every claim about the endpoint; else this is the one that came nearest.
    Where time was up, `is_cut`, and `worth` is the share of the chains' work that was done.
    """

    steps: np.ndarray
    events: np.ndarray
    chain: np.ndarray
    late: np.ndarray
    chosen: np.ndarray
    meets: bool
    is_cut: bool = False
    worth: float = 1.0

    def __len__(self):
        return len(self.steps)

    def take(self, rows):
        """Some of the cohorts."""
        names = ("steps", "events", "chain", "late", "chosen")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def draw_endpoints(claimed, n_cohorts, start, rng, effort=USUAL_EFFORT):
    """Draw cohorts of all endpoints of a trial, from a `start` as in `Target.draw_start`.

    Returns a `DrawnEndpoint` of `n_cohorts` by endpoint, row by row those of one cohort, and whether they
    meet every claim and keep the order of endpoints; else they are only near to that. Where time was up they
    are fewer, as many as the work done is worth.
    """
    found, meets = {}, True
    if claimed.ordered:
        share = len(claimed.ordered) / len(claimed.endpoints)
        found, meets = _draw_in_order(claimed, n_cohorts, start, rng, effort.share(share))
    for endpoint in claimed.endpoints:
        if endpoint not in found:
            own = effort.share(1 / (len(claimed.endpoints) - len(found)))
            drawn = _draw(Target.of(claimed, endpoint, effort=own), n_cohorts, start, rng)
            found[endpoint], meets = _thin(drawn, n_cohorts, rng), meets and drawn.meets
    n_worth = max(int(n_cohorts * min(each.worth for each in found.values())), 1)
    return {code: each.take(slice(0, n_worth)) for code, each in found.items()}, meets


def _draw_in_order(claimed, n_cohorts, start, rng, effort):
    """Draw the later endpoint first, then the earlier one with partners among its cohorts.

    Either is drawn from times that are more likely to go together with the other endpoint, for which the
    weights of pairs make up: the cohorts are those of the prior in which no first time is after the second.
    """
    first, second = claimed.ordered
    half = effort.share(1 / 2)
    before = Target.of(claimed, first, effort=half).draw_start("prior", effort.most_chains, rng)[0]
    target = Target.of(claimed, second, _find_share_until(before, claimed, second), half)
    n_later = max(round(effort.partners_per_cohort * n_cohorts), effort.fewest_partners)
    later = _draw(target, n_later, start, rng)
    later = _thin(later, min(effort.most_partners, len(later)), rng)
    log_weight = -target.log_tilt[claimed.codes, later.steps].sum(axis=1)
    partners = Partners(later.steps, log_weight, claimed.codes, are_later=True)
    target = Target.of(claimed, first, _find_share_until(-later.steps, claimed, first), effort)
    try:
        earlier = _draw(target, n_cohorts, start, rng, partners)
    except NoPartnerError:
        alone = _draw(target, n_cohorts, start, rng)
        return {first: _thin(alone, n_cohorts, rng), second: _thin(later, n_cohorts, rng)}, False
    earlier = _thin(earlier, n_cohorts, rng)
    meets, later = earlier.meets and later.meets, later.take(earlier.chosen)
    # A few of the later cohorts are partners enough: how many were drawn of them limits nothing.
    earlier = replace(earlier, is_cut=earlier.is_cut or later.is_cut)
    later = replace(later, worth=1.0)
    whose = pair_at_random(earlier.steps, later.steps, claimed.codes, rng)
    steps, events = (np.take_along_axis(each, whose, axis=1) for each in (earlier.steps, earlier.events))
    return {first: replace(earlier, steps=steps, events=events), second: later}, meets


def _find_share_until(steps, claimed, endpoint):
    """Share of a group's patients with a time not after each step, or not before for negative times."""
    grid = np.arange(CohortSpace.of(claimed, endpoint).last_step + 1)
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
    n_chains, is_hurried = _count_chains(target, n_cohorts, start, rng)
    chains = _start(target, n_chains, start, rng, target.effort.n_free)
    drawn = _run(chains, n_cohorts, partners)
    if not drawn.meets and not drawn.is_cut:
        drawn = _run(_start(target, n_chains, "medians", rng, 0), n_cohorts, partners)
    return replace(drawn, is_cut=drawn.is_cut or is_hurried)


def _start(target, n_chains, start, rng, n_free):
    chains = Chains(target, *target.draw_start(start, n_chains, rng), rng)
    chains.burn_in(n_free)
    return chains


def _run(chains, n_cohorts, partners):
    """Run chains until enough of them met all claims: every cohort visited so, or the nearest one."""
    effort = chains.target.effort
    if partners is not None:
        chains.take_partners(partners)
    half = effort.until.share(
        1 / 2
    )  # whatever cohorts are met by chains not burned in are there all the same
    for _ in range(effort.n_burn_in):
        if half.is_over:
            break
        chains.advance()
    is_cut = is_hurried = half.is_over
    visited, iteration, n_round_trips, n_visits = [], 0, 0, 0
    wanted = max(effort.round_trips_per_cohort * n_cohorts, effort.fewest_round_trips)
    enough = effort.visits_per_cohort * n_cohorts
    while iteration < effort.fewest_iterations or (n_round_trips < wanted and n_visits < enough):
        chains.advance()
        here, n_new = chains.record()
        visited.append((chains.origin[here], iteration, *(each[here] for each in chains.cohorts)))
        n_round_trips, n_visits, iteration = n_round_trips + n_new, n_visits + len(here), iteration + 1
        is_cut = is_hurried or effort.until.is_over
        if effort.until.is_over or iteration >= (
            effort.most_iterations if n_visits else effort.most_fruitless
        ):
            break
    if not n_visits:
        nearest = chains.distance.argmin(keepdims=True)
        visited = [(chains.origin[nearest], iteration, *(each[nearest] for each in chains.cohorts))]
    chain, steps, events, chosen = (np.concatenate([each[at] for each in visited]) for at in (0, 2, 3, 4))
    when = np.repeat([each[1] for each in visited], [len(each[0]) for each in visited]) / iteration
    is_late = when >= (1 + effort.discarded) / 2
    worth = min(max(n_round_trips / wanted, n_visits / enough), 1.0) if is_cut else 1.0
    drawn = DrawnEndpoint(steps, events, chain, is_late, chosen, n_visits > 0, is_cut, worth)
    return drawn.take((when >= effort.discarded) | (when.max() < effort.discarded))


def _count_chains(target, n_cohorts, start, rng):
    """As many chains as make the round trips in the usual iterations; a few tell how often they do.

    Also whether they are fewer than that, since so many would not come through burn-in in the time left.
    """
    effort = target.effort
    fewest = effort.fewest_chains
    most = int(np.clip(effort.chains_per_cohort * n_cohorts, fewest, effort.most_chains))
    if most == fewest:
        return most, False
    hurried, started = replace(target, effort=effort.share(PILOT)), effort.until.clock()
    few, n_round_trips = _start(hurried, fewest, start, rng, effort.n_free), 0
    for _ in range(effort.fewest_iterations):
        few.advance()
        n_round_trips += few.record()[1]
    rate = max(n_round_trips, 1) / (effort.fewest_iterations * fewest)
    wanted = effort.round_trips_per_cohort * n_cohorts / (rate * effort.usual_iterations)
    wanted = int(np.clip(wanted, fewest, most))
    if hurried.effort.until.is_over:
        return effort.fewest_in_haste, True
    # With many patients they take longer in proportion to their number.
    taken = (effort.until.clock() - started) / (effort.n_free + effort.fewest_iterations)
    n_iterations = effort.n_free + effort.n_burn_in + effort.fewest_iterations
    can = fewest * effort.until.left / max(taken * n_iterations, 1e-9)
    return (max(int(can), effort.fewest_in_haste), True) if can < wanted else (wanted, False)


def _thin(drawn, n_cohorts, rng):
    """So many of the cohorts, or each as often as any other where there are fewer."""
    rows = rng.permutation(len(drawn))
    return drawn.take(rng.permutation(np.resize(rows, n_cohorts)))
