"""Limits of a hazard ratio that invert the relabelling test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.cox.likelihood import exponentiate
from nkhcc_helpers.cox.relabelling import MOST_LISTED_EACH, ExactLimits, StratifiedScore
from nkhcc_helpers.cox.risk_sets import MOST_PATIENTS
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

LARGEST_GAP = 40.0  # log hazard ratio between neighbouring values at which the order of leaving is certain
LARGEST_SPREAD = 60.0  # log hazard ratio between extreme values up to which the statistic keeps its digits
FINE, COARSE = (1e-6, 161, 161), (1e-3, 41, 3)  # precision, places and patience of a search for limits


def estimate_exact_limits(
    time,
    event,
    x,
    column,
    *,
    conf_level=0.95,
    n_draws=4_000,
    seed=DEFAULT_SEED,
    time_enter=None,
    strata=None,
):
    """The smallest interval with the estimate and all that the test of `permute_covariate` does not reject.

    At a log hazard ratio of c, whoever leaves by an event is drawn from those left in the stratum in
    proportion to exp(c x), whoever is censored evenly. Without censoring and ties it holds the truth at least
    as often as it says. Plackett (1975) Appl Stat; Rao (1948) Proc Camb Philos Soc. With delayed entry who
    is left does not tell who leaves by whose time, and there are no limits; nor are any drawn of more than
    `MOST_PATIENTS` patients.
    """
    check_conf_level(conf_level)
    test = StratifiedScore.of_trial(time, event, x, column, time_enter, strata)
    is_listed = test.can_list()
    too_many = not is_listed and test.n_subjects > MOST_PATIENTS
    if not test.strata or not (is_listed or n_draws) or test.has_late_entry or too_many:
        return ExactLimits(float("nan"), float("nan"), is_listed)
    uniforms = None if is_listed else test.draw_uniforms(n_draws, np.random.default_rng(seed))

    def accepts(coef):
        p_value = test.count_p(coef)[0] if is_listed else test.draw_p(uniforms, coef)
        return p_value > (1 - conf_level) * (1 + TOLERANCE)

    search = _Search.of(test, accepts)
    lower, upper = search.find_limit(-1), search.find_limit(1)
    if search.accepts(0.0):
        # Scores may tie at no effect only, which then stands alone.
        lower, upper = min(lower, 0.0), max(upper, 0.0)
    # An estimate without end belongs to the interval, rejected or not.
    lower = -np.inf if lower == -search.largest else lower
    upper = np.inf if upper == search.largest else upper
    return ExactLimits(float(exponentiate(lower)), float(exponentiate(upper)), is_listed)


@dataclass(frozen=True)
class _Search:
    """Where and how closely to look for limits: the estimate, its standard error, and the last place."""

    accepts: Callable
    centre: float
    error: float
    largest: float  # coefficient that is evaluated, with either sign
    precision: float  # of the limits, relative to the standard error
    n_places: int  # coefficients evaluated, dense near the estimate
    patience: int  # rejected ones in a row before the search ends

    @classmethod
    def of(cls, test, accepts):
        spread = max(np.ptp(stratum.values) for stratum in test.strata)
        gap = min(np.diff(stratum.values).min() for stratum in test.strata)
        largest = min(LARGEST_GAP / gap, LARGEST_SPREAD / spread)

        def calculate_score(coef):
            return test.observe(coef)[0][0]

        if calculate_score(largest) < 0 < calculate_score(-largest):
            centre = optimize.brentq(calculate_score, -largest, largest)
        else:
            centre = largest if calculate_score(largest) >= 0 else -largest
        information = test.observe(np.clip(centre, -1 / spread, 1 / spread))[1][0]
        error = min(1 / np.sqrt(information) if information > 0 else np.inf, 2 / spread)
        search = FINE if test.can_list(MOST_LISTED_EACH) else COARSE
        return cls(accepts, centre, error, largest, *search)

    def find_limit(self, side):
        """Where rejection starts on one side for good; infinite where it never does."""
        if self.accepts(side * self.largest):
            return side * np.inf
        inside, outside, rejected = side * self.centre, self.largest, 0
        for place in self._list_places(side):
            if self.accepts(side * place):
                inside, rejected = place, 0
            else:
                outside = place if not rejected else outside
                rejected += 1
            # The P-value may rise once more for a step, as the orders of leaving change places.
            if rejected == self.patience:
                break
        while outside - inside > self.precision * self.error:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if self.accepts(side * middle) else (inside, middle)
        return side * inside

    def _list_places(self, side):
        """Coefficients outward from the estimate, mirrored for the lower side."""
        around = self.centre if abs(self.centre) < self.largest else 0.0
        reach = np.arcsinh(2 * self.largest / self.error)
        places = side * (around + self.error * np.sinh(np.linspace(-reach, reach, self.n_places)))
        places = np.unique(np.clip(places, -self.largest, self.largest))
        return places[places > side * self.centre]
