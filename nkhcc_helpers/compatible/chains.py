"""Tempered Markov chains, side by side, over cohorts of one endpoint: moves, acceptance, swaps, burn-in."""

from __future__ import annotations

import numpy as np

LARGEST_SHIFT = 0.1  # of the range of the grid


def redraw(space, steps, events, codes, rng):
    """Draw one patient's time anew."""
    new, log_ratio = _redraw(space, steps, events, events, codes, _choose(steps, rng), rng)
    return new, events, log_ratio


def redraw_two(space, steps, events, codes, rng):
    """Draw two patients' times anew."""
    patient = _choose(steps, rng)
    new, first = _redraw(space, steps, events, events, codes, patient, rng)
    new, second = _redraw(space, new, events, events, codes, _choose_other(steps, patient, rng), rng)
    return new, events, first + second


def censor(space, steps, events, codes, rng):
    """Censor one patient who had the event, or the other way round, with a new time."""
    patient, turned = _turn_one(steps, events, rng)
    new, log_ratio = _redraw(space, steps, events, turned, codes, patient, rng)
    return new, turned, log_ratio


def turn(space, steps, events, codes, rng):
    """Censor one patient who had the event, or the other way round, at the same time."""
    _, turned = _turn_one(steps, events, rng)
    return steps, turned, 0.0


def turn_and_redraw(space, steps, events, codes, rng):
    """Censor one patient, or the other way round, and draw another's time anew, which may mend the median."""
    patient, turned = _turn_one(steps, events, rng)
    other = _choose_other(steps, patient, rng)
    new, log_ratio = _redraw(space, steps, events, turned, codes, other, rng)
    return new, turned, log_ratio


def shift(space, steps, events, codes, rng):
    """Move one patient's time by a few steps or many."""
    new = steps.copy()
    new[np.arange(len(steps)), _choose(steps, rng)] += _draw_shift(space, len(steps), rng)
    return new, events, 0.0


def shift_apart(space, steps, events, codes, rng):
    """Move two patients' times by as much in opposite directions, which keeps the middle between them."""
    rows, patient = np.arange(len(steps)), _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    by, new = _draw_shift(space, len(steps), rng), steps.copy()
    new[rows, patient] += by
    new[rows, other] -= by
    return new, events, 0.0


def exchange(space, steps, events, codes, rng):
    """Let a patient of the first group and one of the last exchange their times and events."""
    new, turned = steps.copy(), events.copy()
    rows, one, other = _choose_across(codes, len(steps), rng)
    for values, kept in ((new, steps), (turned, events)):
        values[rows, one], values[rows, other] = kept[rows, other], kept[rows, one]
    return new, turned, 0.0


def exchange_events(space, steps, events, codes, rng):
    """As `exchange`, but the times stay: one patient is censored in the other's place."""
    turned = events.copy()
    rows, one, other = _choose_across(codes, len(steps), rng)
    turned[rows, one], turned[rows, other] = events[rows, other], events[rows, one]
    return steps, turned, 0.0


WITHIN_GROUP = {
    redraw: 0.4,
    redraw_two: 0.07,
    shift: 0.11,
    shift_apart: 0.07,
    censor: 0.11,
    turn: 0.16,
    turn_and_redraw: 0.08,
    exchange_events: 0.05,
}
"""Moves of the patients of one group, and how often each is tried."""
ACROSS_GROUPS = {exchange: 0.75, exchange_events: 0.25}
"""Moves of the patients of two groups."""


def _choose_across(codes, n_chains, rng):
    """For each chain a patient of the first group and one of the last."""
    one, other = (rng.choice(np.flatnonzero(codes == code), size=n_chains) for code in (codes[0], codes[-1]))
    return np.arange(n_chains), one, other


def _redraw(space, steps, events, turned, codes, patient, rng):
    """New times of one patient in each chain, with events turned, and the ratio of chances."""
    rows = np.arange(len(steps))
    old, new, code = steps[rows, patient], steps.copy(), codes[patient]
    drawn = space.propose(turned[rows, patient], code, rng)
    new[rows, patient] = drawn
    back = space.log_chance_of_proposal(old, events[rows, patient], code)
    return new, back - space.log_chance_of_proposal(drawn, turned[rows, patient], code)


def _turn_one(steps, events, rng):
    """One patient of each chain, and events with that patient's turned."""
    patient, turned = _choose(steps, rng), events.copy()
    turned[np.arange(len(steps)), patient] ^= True
    return patient, turned


def _choose(steps, rng):
    return rng.integers(steps.shape[1], size=len(steps))


def _choose_other(steps, patient, rng):
    n = steps.shape[1]
    return (patient + rng.integers(1, max(n, 2), size=len(steps))) % n


def _draw_shift(space, size, rng):
    """Whole steps in either direction, of every order of magnitude alike."""
    largest = max(LARGEST_SHIFT * space.last_step, 2.0)
    size_of = np.floor(np.exp(rng.random(size) * np.log(largest))).astype(int)
    return np.where(rng.random(size) < 0.5, size_of, -size_of)


ACROSS, WHOLE = 0.16, 0.1  # shares of moves across two groups, and of a whole group
GROUPS_PER_CHAIN = 2.0  # drawn, of which those that meet their claims are moved to


class NoPartnerError(ValueError):
    """No cohorts of two endpoints go together."""


class Chains:
    """Chains whose stationary distribution is the prior times exp(-inverse temperature * distance to claims).

    At distance 0 that is the prior, whatever the temperature: the cohorts of chains that meet all claims are
    drawn from the prior given the claims. Cohorts near to the claims are the ways from one such cohort to
    another, which few single changes could bridge; chains of neighbouring temperatures swap them, so that
    each chain is hot and cold in turn.

    For each chain, `steps` and `events`, shape (n_chains, n_patients), and of shape (n_chains,) `distance` as
    of `Target.measure`, `inverse_temperature`, `origin`, the chain whose start it had, and `chosen`, its
    partner among `partners`.

    Metropolis et al. (1953) J Chem Phys; Torrie, Valleau (1977) J Comput Phys; Geyer (1991) Computing Science
    and Statistics.
    """

    def __init__(self, target, steps, events, rng):
        self.target, self.rng, self.partners = target, rng, None
        self.steps, self.events = steps.copy(), events.copy()
        self.origin, self.chosen = np.arange(len(steps)), np.zeros(len(steps), dtype=int)
        self.paired = np.zeros((len(steps), len(target.groups)))
        self.distance = target.measure(self.steps, self.events)
        self.inverse_temperature = rng.permutation(np.resize(target.effort.inverse_temperatures, len(steps)))
        self.was_hot = np.ones(len(steps), dtype=bool)

    def __len__(self):
        return len(self.steps)

    @property
    def cohorts(self):
        """Steps, events and partner of each chain."""
        return self.steps, self.events, self.chosen

    @property
    def meets_all(self):
        """Whether each chain meets every claim, shape (n_chains,)."""
        return self.distance == 0

    def take_partners(self, partners, chosen=None):
        """Give each chain a partner, as `chosen` or any that goes with it; those without become as others.

        Raises `NoPartnerError` where no partner goes with any chain.
        """
        self.partners = partners
        if chosen is not None:
            self.chosen, self.paired = chosen.copy(), self._pair_all(self.steps, chosen)
            return
        unmatched = np.arange(len(self))
        for _ in range(self.target.effort.partner_tries):
            new = self.rng.integers(len(partners), size=len(unmatched))
            paired = self._pair_all(self.steps[unmatched], new)
            fits = np.isfinite(paired.sum(axis=1))
            self.chosen[unmatched[fits]], self.paired[unmatched[fits]] = new[fits], paired[fits]
            unmatched = unmatched[~fits]
        matched = np.setdiff1d(np.arange(len(self)), unmatched)
        if not len(matched):
            raise NoPartnerError("no cohorts of the two endpoints go together")
        copied = np.resize(matched, len(unmatched))
        for values in (self.steps, self.events, self.origin, self.distance, self.chosen, self.paired):
            values[unmatched] = values[copied]

    def burn_in(self, n_iterations):
        """Let the chains run at inverse temperature 0, so that they forget where they began."""
        kept, self.inverse_temperature = self.inverse_temperature, np.zeros(len(self))
        for _ in range(n_iterations):
            self.advance()
        self.inverse_temperature = kept

    def advance(self):
        """Run one iteration: moves, offers of partners, swaps."""
        effort = self.target.effort
        for _ in range(max(self.steps.shape[1] // effort.iterations_per_sweep, effort.fewest_moves)):
            if effort.until.is_over:
                return
            self.move()
        if self.partners is not None:
            for _ in range(effort.n_partner_offers):
                self.change_partners()
        for _ in range(effort.n_swaps):
            self.swap()

    def record(self):
        """Find the chains that meet all claims, and count those that did not since they were last hottest."""
        here = np.flatnonzero(self.meets_all)
        n_round_trips = int(self.was_hot[here].sum())
        self.was_hot[here] = False
        self.was_hot |= self.inverse_temperature == self.target.effort.inverse_temperatures[0]
        return here, n_round_trips

    def swap(self):
        """Let chains of neighbouring temperatures swap them."""
        temperatures, current = self.target.effort.inverse_temperatures, self.inverse_temperature
        for at in self.rng.permutation(len(temperatures) - 1):
            ends = temperatures[at : at + 2]
            hot, cold = (self.rng.permutation(np.flatnonzero(current == each)) for each in ends)
            size = min(len(hot), len(cold))
            hot, cold = hot[:size], cold[:size]
            log_ratio = (ends[1] - ends[0]) * (self.distance[cold] - self.distance[hot])
            accepted = np.log(self.rng.random(size)) < log_ratio
            current[hot[accepted]], current[cold[accepted]] = ends[1], ends[0]

    def move(self):
        """Try one change of each chain's cohort."""
        kind, n_groups = self.rng.random(), len(self.target.groups)
        if kind < WHOLE:
            self._move_group(int(self.rng.integers(n_groups)))
        elif kind < WHOLE + ACROSS and n_groups > 1:
            groups = self.rng.choice(n_groups, size=2, replace=False).tolist()
            self._move_members(self._choose_move(ACROSS_GROUPS), groups)
        else:
            # The group by its share of patients, as if each patient were as likely as any other.
            group = self.target.space.codes[self.rng.integers(len(self.target.space.codes))]
            self._move_members(self._choose_move(WITHIN_GROUP), [int(group)])

    def change_partners(self):
        """Offer each chain another partner."""
        new = self.rng.integers(len(self.partners), size=len(self))
        paired = self._pair_all(self.steps, new)
        margin = (paired - self.paired).sum(axis=1) - np.log(self.rng.random(len(self)))
        margin += self.partners.log_weight[new] - self.partners.log_weight[self.chosen]
        accepted = np.flatnonzero(margin > 0)
        self.chosen[accepted], self.paired[accepted] = new[accepted], paired[accepted]

    def accept(self, rows, steps, events):
        """Which of the moves accepted so far are made, shape (n_rows,); tilted chains test again."""
        return np.ones(len(rows), dtype=bool)

    def _choose_move(self, moves):
        chances = np.array(list(moves.values()))
        return list(moves)[self.rng.choice(len(moves), p=chances / chances.sum())]

    def _move_group(self, group):
        """Offer chains a group drawn anew, given the claims about it alone."""
        draws = self.target.groups[group]
        steps, events = draws.draw(int(GROUPS_PER_CHAIN * len(self)), self.rng)
        rows = self.rng.permutation(len(self))[: len(steps)]
        steps, events = steps[: len(rows)], events[: len(rows)]
        here = self.steps[rows][:, draws.members], self.events[rows][:, draws.members]
        log_ratio = draws.weigh(*here) - draws.weigh(steps, events)
        self._offer(rows, draws.members, steps, events, log_ratio, [group])

    def _move_members(self, move, groups):
        """Offer each chain a change of some patients of one or two groups."""
        draws = [self.target.groups[group] for group in groups]
        members = np.concatenate([each.members for each in draws])
        space, here = self.target.space, (self.steps[:, members], self.events[:, members])
        steps, events, log_ratio = move(space, *here, space.codes[members], self.rng)
        is_kept = np.ones(len(self), dtype=bool)
        for each in draws:
            within = np.isin(members, each.members)
            is_kept &= each.meets(steps[:, within], events[:, within])
        rows = np.flatnonzero(is_kept)
        log_ratio = np.broadcast_to(log_ratio, len(self))[rows]
        self._offer(rows, members, steps[rows], events[rows], log_ratio, groups)

    def _offer(self, rows, members, steps, events, log_ratio, groups):
        """Let chains take new steps and events of some members, whose groups meet the claims about them."""
        space, codes = self.target.space, self.target.space.codes[members]
        # A move is accepted if its margin, less the tempered rise of the distance, is above 0.
        margin = log_ratio - np.log(self.rng.random(len(rows))) + space.log_prior(steps, events, codes)
        margin -= space.log_prior(self.steps[rows][:, members], self.events[rows][:, members], codes)
        before = len(space.codes) - self.events[rows].sum(axis=1)
        after = before + (self.events[rows][:, members].sum(axis=1) - events.sum(axis=1))
        margin += space.log_chance_of_censored(after) - space.log_chance_of_censored(before)
        possible = np.flatnonzero(margin > -np.inf)
        rows, margin = rows[possible], margin[possible]
        new_steps, new_events = self.steps[rows], self.events[rows]
        new_steps[:, members], new_events[:, members] = steps[possible], events[possible]
        paired = self.paired[rows]
        if self.partners is not None:
            paired = self._pair(paired, new_steps, self.chosen[rows], groups)
            margin = margin + (paired - self.paired[rows]).sum(axis=1)
        with np.errstate(divide="ignore"):
            limit = self.distance[rows] + margin / np.maximum(self.inverse_temperature[rows], 1e-12)
        reached = np.flatnonzero(limit > 0)
        distance = self.target.measure(new_steps[reached], new_events[reached], limit[reached])
        reached, distance = reached[np.isfinite(distance)], distance[np.isfinite(distance)]
        if not len(reached):
            return
        is_accepted = self.accept(rows[reached], new_steps[reached], new_events[reached])
        accepted = reached[is_accepted]
        moved = rows[accepted]
        self.steps[moved], self.events[moved] = new_steps[accepted], new_events[accepted]
        self.distance[moved], self.paired[moved] = distance[is_accepted], paired[accepted]

    def _pair(self, paired, steps, chosen, groups):
        """Logarithm of the weight of each group's pairings, those of some groups computed anew."""
        paired = paired.copy()
        for group in groups:
            members = self.target.groups[group].members
            paired[:, group] = self.partners.weigh(group, steps[:, members], chosen)
            paired[:, group] -= self.target.log_tilt[group][steps[:, members]].sum(axis=1)
        return paired

    def _pair_all(self, steps, chosen):
        n_groups = len(self.target.groups)
        return self._pair(np.zeros((len(steps), n_groups)), steps, chosen, range(n_groups))
