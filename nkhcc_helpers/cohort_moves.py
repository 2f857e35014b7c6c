"""Moves from one possible cohort to another, for many Markov chains at once.

Each takes steps and events of one endpoint, shape (n_chains, n_patients), and the room that the other
endpoint leaves, its first and last steps shaped alike. It returns new steps and events, and the logarithm of
the chance of the way back over that of the way there. Whether the new cohort is possible is checked later.
"""

from __future__ import annotations

import numpy as np

LARGEST_SHIFT = 0.1  # of the range of the grid


def redraw(proposals, steps, events, room, rng):
    """Draw one patient's time anew."""
    _, patient = _choose(steps, rng)
    new, log_ratio = _redraw(proposals, steps, events, events, room, patient, rng)
    return new, events, log_ratio


def redraw_two(proposals, steps, events, room, rng):
    """Draw two patients' times anew."""
    _, patient = _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    new, first = _redraw(proposals, steps, events, events, room, patient, rng)
    new, second = _redraw(proposals, new, events, events, room, other, rng)
    return new, events, first + second


def censor(proposals, steps, events, room, rng):
    """Censor one patient who had the event, or the other way round, with a new time."""
    rows, patient = _choose(steps, rng)
    turned = events.copy()
    turned[rows, patient] ^= True
    new, log_ratio = _redraw(proposals, steps, events, turned, room, patient, rng)
    return new, turned, log_ratio


def turn(proposals, steps, events, room, rng):
    """Censor one patient who had the event, or the other way round, at the same time."""
    rows, patient = _choose(steps, rng)
    turned = events.copy()
    turned[rows, patient] ^= True
    return steps, turned, 0.0


def shift(proposals, steps, events, room, rng):
    """Move one patient's time by a few steps or many."""
    rows, patient = _choose(steps, rng)
    new = steps.copy()
    new[rows, patient] += _draw_shift(proposals.space, len(steps), rng)
    return new, events, 0.0


def shift_apart(proposals, steps, events, room, rng):
    """Move two patients' times by as much in opposite directions, which keeps the middle between them."""
    rows, patient = _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    by, new = _draw_shift(proposals.space, len(steps), rng), steps.copy()
    new[rows, patient] += by
    new[rows, other] -= by
    return new, events, 0.0


def exchange(proposals, steps, events, room, rng):
    """Let two patients exchange their times and events."""
    rows, one = _choose(steps, rng)
    other = _choose_other(steps, one, rng)
    new, turned = steps.copy(), events.copy()
    for values, kept in ((new, steps), (turned, events)):
        values[rows, one], values[rows, other] = kept[rows, other], kept[rows, one]
    return new, turned, 0.0


def redraw_group(proposals, steps, events, room, rng):
    """Draw a group anew, in as many chains as can be, from the prior given the claims about it alone."""
    group = int(rng.integers(proposals.codes.max() + 1))
    members = np.flatnonzero(proposals.codes == group)
    here = steps[:, members], events[:, members]
    drawn = proposals.draw_groups(len(members), rng)
    meets = np.flatnonzero(proposals.meets(group, *drawn))
    # The way back leads only to groups that meet the claims too.
    able = rng.permutation(np.flatnonzero(proposals.meets(group, *here)))[: len(meets)]
    here, drawn = [each[able] for each in here], [each[meets[: len(able)]] for each in drawn]
    new, turned, log_ratio = steps.copy(), events.copy(), np.full(len(steps), -np.inf)
    new[able[:, None], members], turned[able[:, None], members] = drawn
    log_ratio[able] = proposals.weigh_groups(*here) - proposals.weigh_groups(*drawn)
    return new, turned, log_ratio


MOVES = (redraw, redraw_two, shift, shift_apart, exchange, censor, turn, redraw_group)
CHANCES = (0.2, 0.08, 0.22, 0.12, 0.18, 0.08, 0.1, 0.02)


def _redraw(proposals, steps, events, turned, room, patient, rng):
    """New times of one patient in each chain, with events turned, and the ratio of chances."""
    rows = np.arange(len(steps))
    old, new, its_room = steps[rows, patient], steps.copy(), [limit[rows, patient] for limit in room]
    drawn = proposals.draw(turned[rows, patient], rng, its_room)
    new[rows, patient] = drawn
    back = proposals.log_chance(old, events[rows, patient], its_room)
    return new, back - proposals.log_chance(drawn, turned[rows, patient], its_room)


def _choose(steps, rng):
    return np.arange(len(steps)), rng.integers(steps.shape[1], size=len(steps))


def _choose_other(steps, patient, rng):
    n = steps.shape[1]
    return (patient + rng.integers(1, max(n, 2), size=len(steps))) % n


def _draw_shift(space, size, rng):
    """Whole steps in either direction, of every order of magnitude alike."""
    largest = max(LARGEST_SHIFT * space.last_step, 2.0)
    size_of = np.floor(np.exp(rng.random(size) * np.log(largest))).astype(int)
    return np.where(rng.random(size) < 0.5, size_of, -size_of)
