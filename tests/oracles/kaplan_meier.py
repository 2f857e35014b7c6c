"""Kaplan-Meier the plain way, one sample and one time at a time: what the package's curves are checked by."""

from __future__ import annotations

from math import nan

ROUNDING = 1e-9


def trace(time, event):
    """Rows (time, at risk, events, censored, survival) at time 0 and at each distinct time."""
    rows, survival = [], 1.0
    for at in sorted({0.0, *map(float, time)}):
        n = sum(t >= at for t in time)
        d = sum(t == at and bool(e) for t, e in zip(time, event, strict=True))
        c = sum(t == at and not e for t, e in zip(time, event, strict=True))
        survival *= 1 - d / n
        rows.append((at, n, d, c, survival))
    return rows


def find_median(time, event, convention="midpoint"):
    """First time with survival at or below one half, or the middle of the stretch where it is one half.

    The stretch ends at the last time where survival never falls further.
    """
    rows = trace(time, event)
    reached = [row for row in rows if row[-1] <= 0.5 + ROUNDING]
    below = [row for row in rows if row[-1] < 0.5 - ROUNDING]
    if not reached:
        return nan
    first, end = reached[0][0], (below or rows[-1:])[0][0]
    return (first + end) / 2 if convention == "midpoint" else first


def find_survival(time, event, at):
    """Survival at a time; missing past the last time, unless nobody is left without the event."""
    survival = [row[-1] for row in trace(time, event) if row[0] <= at][-1]
    return nan if at > max(time) and survival > ROUNDING else survival


def find_mean(time, event, tau):
    """Area under the curve up to a horizon; missing as `find_survival`."""
    rows = trace(time, event)
    ends = [row[0] for row in rows[1:]] + [tau]
    area = sum(row[-1] * max(min(end, tau) - row[0], 0) for row, end in zip(rows, ends, strict=True))
    return nan if tau > max(time) and rows[-1][-1] > ROUNDING else area
