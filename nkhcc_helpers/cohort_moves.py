"""Moves from one possible cohort to another, for many Markov chains at once.

Each move returns new steps and events, the logarithm of the chance of the way back over that of the way
there, and the endpoints it changed. Whether the new cohort is possible is checked afterwards.
"""

from __future__ import annotations

import numpy as np

LARGEST_SHIFT = 0.1  # of the range of the grid


def redraw(proposals, steps, events, endpoint, rng):
    """Draw one patient's time anew."""
    rows, patient = _choose(steps, rng)
    new, log_ratio = _redraw(proposals, steps, events, events, rows, patient, endpoint, rng)
    return new, events, log_ratio, {endpoint}


def redraw_two(proposals, steps, events, endpoint, rng):
    """Draw two patients' times anew."""
    rows, patient = _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    new, first = _redraw(proposals, steps, events, events, rows, patient, endpoint, rng)
    new, second = _redraw(proposals, new, events, events, rows, other, endpoint, rng)
    return new, events, first + second, {endpoint}


def censor(proposals, steps, events, endpoint, rng):
    """Censor one patient who had the event, or the other way round, with a new time."""
    rows, patient = _choose(steps, rng)
    turned = events.copy()
    turned[rows, endpoint, patient] ^= True
    new, log_ratio = _redraw(proposals, steps, events, turned, rows, patient, endpoint, rng)
    return new, turned, log_ratio, {endpoint}


def turn(proposals, steps, events, endpoint, rng):
    """Censor one patient who had the event, or the other way round, at the same time."""
    rows, patient = _choose(steps, rng)
    turned = events.copy()
    turned[rows, endpoint, patient] ^= True
    return steps, turned, 0.0, {endpoint}


def shift(proposals, steps, events, endpoint, rng):
    """Move one patient's time by a few steps or many."""
    rows, patient = _choose(steps, rng)
    new = steps.copy()
    new[rows, endpoint, patient] += _draw_shift(proposals.space, len(steps), rng)
    return new, events, 0.0, {endpoint}


def shift_apart(proposals, steps, events, endpoint, rng):
    """Move two patients' times by as much in opposite directions, which keeps the middle between them."""
    rows, patient = _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    by, new = _draw_shift(proposals.space, len(steps), rng), steps.copy()
    new[rows, endpoint, patient] += by
    new[rows, endpoint, other] -= by
    return new, events, 0.0, {endpoint}


def exchange(proposals, steps, events, endpoint, rng):
    """Let two patients exchange what one endpoint has of them."""
    rows, patient = _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    return *_exchange(steps, events, rows, [endpoint], patient, other), {endpoint}


def exchange_all(proposals, steps, events, endpoint, rng):
    """Let two patients exchange all that the endpoints have of them."""
    rows, patient = _choose(steps, rng)
    endpoints = range(steps.shape[1])
    other = _choose_other(steps, patient, rng)
    return *_exchange(steps, events, rows, endpoints, patient, other), set(endpoints)


def redraw_group(proposals, steps, events, endpoint, rng):
    """Draw a group anew from the prior given the claims about that group alone, in as many chains as can be."""
    group = int(rng.integers(proposals.codes.max() + 1))
    members = np.flatnonzero(proposals.codes == group)
    here, turned = steps[:, endpoint][:, members], events[:, endpoint][:, members]
    drawn = proposals.draw_groups(endpoint, len(members), rng)
    meets = np.flatnonzero(proposals.meets(endpoint, group, *drawn))
    # The way back leads only to groups that meet the claims too.
    able = rng.permutation(np.flatnonzero(proposals.meets(endpoint, group, here, turned)))[: len(meets)]
    drawn = [each[meets[: len(able)]] for each in drawn]
    new, changed, log_ratio = steps.copy(), events.copy(), np.full(len(steps), -np.inf)
    where = able[:, None], endpoint, members
    new[where], changed[where] = drawn
    weighed = proposals.weigh_groups(endpoint, here[able], turned[able])
    log_ratio[able] = weighed - proposals.weigh_groups(endpoint, *drawn)
    return new, changed, log_ratio, {endpoint}


MOVES = (redraw, redraw_two, shift, shift_apart, exchange, exchange_all, censor, turn, redraw_group)
CHANCES = (0.15, 0.15, 0.2, 0.1, 0.12, 0.1, 0.08, 0.08, 0.02)


def _redraw(proposals, steps, events, turned, rows, patient, endpoint, rng):
    """New times of one patient in each chain, with events turned, and the ratio of chances."""
    old = steps[rows, endpoint, patient]
    before = proposals.space.list_limits(steps, events, endpoint, patient)
    after = proposals.space.list_limits(steps, turned, endpoint, patient)
    drawn = proposals.draw(*after, endpoint, rng)
    new = steps.copy()
    new[rows, endpoint, patient] = drawn
    back = proposals.log_chance(old, *before, endpoint)
    return new, back - proposals.log_chance(drawn, *after, endpoint)


def _choose(steps, rng):
    return np.arange(len(steps)), rng.integers(steps.shape[2], size=len(steps))


def _choose_other(steps, patient, rng):
    n = steps.shape[2]
    return (patient + rng.integers(1, max(n, 2), size=len(steps))) % n


def _draw_shift(space, size, rng):
    """Whole steps in either direction, of every order of magnitude alike."""
    largest = max(LARGEST_SHIFT * space.last_step, 2.0)
    size_of = np.floor(np.exp(rng.random(size) * np.log(largest))).astype(int)
    return np.where(rng.random(size) < 0.5, size_of, -size_of)


def _exchange(steps, events, rows, endpoints, one, other):
    new, turned = steps.copy(), events.copy()
    for endpoint in endpoints:
        for values, kept in ((new, steps), (turned, events)):
            values[rows, endpoint, one] = kept[rows, endpoint, other]
            values[rows, endpoint, other] = kept[rows, endpoint, one]
    return new, turned, 0.0
