"""The Cox partial likelihood one event at a time, and how far it rises: a check of limits at separation."""

from __future__ import annotations

import numpy as np


class PartialLikelihood:
    """Of times, events, covariates, entries and strata of subjects."""

    def __init__(self, time, event, x, enter, strata, ties):
        self.events, self.p = [], x.shape[1]
        for i in np.flatnonzero(event):
            at_risk = (strata == strata[i]) & (enter < time[i]) & (time >= time[i])
            tied = at_risk & (time == time[i]) & event
            weight = at_risk.astype(float)
            if ties == "efron":
                weight[tied] -= (np.flatnonzero(tied) < i).sum() / tied.sum()
            # Whoever is at risk, seen from who has the event.
            self.events.append((x[at_risk] - x[i], weight[at_risk]))

    def separates(self, direction):
        """Whether nobody at risk is ahead of who has the event along it, and somebody is behind."""
        ahead = np.concatenate([gaps @ direction for gaps, _ in self.events])
        return ahead.max() < 1e-9 < -ahead.min()

    def find_supremum(self, column=None, value=0.0):
        """How high it can rise, with one coefficient held or none: uphill until nothing is gained."""
        coef, free = np.zeros(self.p), np.arange(self.p) != column
        coef[~free] = value
        here, slope, curve = self._evaluate(coef)
        damping = 1.0
        for _ in range(3_000):
            step = np.zeros(self.p)
            step[free] = np.linalg.solve(curve[free][:, free] + damping * np.eye(free.sum()), slope[free])
            if damping > 1e6 or (damping < 1e-10 and slope @ step < 1e-12):
                break
            there = self._evaluate(coef + step)
            if there[0] >= here:
                coef, (here, slope, curve), damping = coef + step, there, max(damping / 4, 1e-11)
            else:
                damping *= 10
        return here

    def _evaluate(self, coef):
        value, slope, curve = 0.0, np.zeros(self.p), np.zeros((self.p, self.p))
        for gaps, weight in self.events:
            linear = gaps @ coef
            share = weight * np.exp(linear - linear.max())
            value -= linear.max() + np.log(share.sum())
            share /= share.sum()
            slope -= share @ gaps
            centred = gaps - share @ gaps
            curve += (centred * share[:, None]).T @ centred
        return value, slope, curve
