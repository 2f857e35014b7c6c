"""Moves from one possible cohort to another, for many Markov chains at once.

Each takes the steps and events of some patients, shape (n_chains, n_members), with the group of each, and
returns new ones with the logarithm of the chance of the way back over that of the way there. Whether the new
cohort is possible is checked later.
"""

from __future__ import annotations

import numpy as np

LARGEST_SHIFT = 0.1  # of the range of the grid


def redraw(proposals, steps, events, codes, rng):
    """Draw one patient's time anew."""
    new, log_ratio = _redraw(proposals, steps, events, events, codes, _choose(steps, rng), rng)
    return new, events, log_ratio


def redraw_two(proposals, steps, events, codes, rng):
    """Draw two patients' times anew."""
    patient = _choose(steps, rng)
    new, first = _redraw(proposals, steps, events, events, codes, patient, rng)
    new, second = _redraw(proposals, new, events, events, codes, _choose_other(steps, patient, rng), rng)
    return new, events, first + second


def censor(proposals, steps, events, codes, rng):
    """Censor one patient who had the event, or the other way round, with a new time."""
    patient, turned = _turn_one(steps, events, rng)
    new, log_ratio = _redraw(proposals, steps, events, turned, codes, patient, rng)
    return new, turned, log_ratio


def turn(proposals, steps, events, codes, rng):
    """Censor one patient who had the event, or the other way round, at the same time."""
    _, turned = _turn_one(steps, events, rng)
    return steps, turned, 0.0


def turn_and_redraw(proposals, steps, events, codes, rng):
    """Censor one patient, or the other way round, and draw another's time anew, which may mend the median."""
    patient, turned = _turn_one(steps, events, rng)
    other = _choose_other(steps, patient, rng)
    new, log_ratio = _redraw(proposals, steps, events, turned, codes, other, rng)
    return new, turned, log_ratio


def shift(proposals, steps, events, codes, rng):
    """Move one patient's time by a few steps or many."""
    new = steps.copy()
    new[np.arange(len(steps)), _choose(steps, rng)] += _draw_shift(proposals.space, len(steps), rng)
    return new, events, 0.0


def shift_apart(proposals, steps, events, codes, rng):
    """Move two patients' times by as much in opposite directions, which keeps the middle between them."""
    rows, patient = np.arange(len(steps)), _choose(steps, rng)
    other = _choose_other(steps, patient, rng)
    by, new = _draw_shift(proposals.space, len(steps), rng), steps.copy()
    new[rows, patient] += by
    new[rows, other] -= by
    return new, events, 0.0


def exchange(proposals, steps, events, codes, rng):
    """Let a patient of the first group and one of the last exchange their times and events."""
    new, turned = steps.copy(), events.copy()
    rows, one, other = _choose_across(codes, len(steps), rng)
    for values, kept in ((new, steps), (turned, events)):
        values[rows, one], values[rows, other] = kept[rows, other], kept[rows, one]
    return new, turned, 0.0


def exchange_events(proposals, steps, events, codes, rng):
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


def _redraw(proposals, steps, events, turned, codes, patient, rng):
    """New times of one patient in each chain, with events turned, and the ratio of chances."""
    rows = np.arange(len(steps))
    old, new, code = steps[rows, patient], steps.copy(), codes[patient]
    drawn = proposals.draw(turned[rows, patient], code, rng)
    new[rows, patient] = drawn
    back = proposals.log_chance(old, events[rows, patient], code)
    return new, back - proposals.log_chance(drawn, turned[rows, patient], code)


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
