"""Limits of a hazard ratio by inverting the relabelling test of `relabelling`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.cox.likelihood import exponentiate
from nkhcc_helpers.cox.relabelling import StratifiedScore
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

FAR = 40.0  # log hazard ratio between neighbouring values at which the order of leaving is certain
LARGEST = 60.0  # log hazard ratio between extreme values up to which the statistic keeps its digits
MOST_DENSE = 20_000  # orders of leaving listed at each of many coefficients
N_PLACES, N_COARSE_PLACES = 161, 41  # coefficients looked at, dense near the estimate
PRECISION, COARSE_PRECISION = 1e-6, 1e-3  # of the limits, relative to the coefficient's standard error


@dataclass(frozen=True)
class ExactLimits:
    """Limits of a hazard ratio per unit of a covariate.

    Attributes
    ----------
    lower, upper : float
        0 or inf where one side has none; NaN where no stratum can tell, or nothing was drawn.
    is_exact : bool
        Every order of leaving was counted; otherwise they were drawn.
    """

    lower: float
    upper: float
    is_exact: bool


def estimate_exact_limits(time, event, x, column, *, conf_level=0.95, n_draws=4_000, seed=DEFAULT_SEED):
    """Estimate limits of a hazard ratio by inverting the test of `relabelling.permute_covariate`.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `checks.check_survival`.
    x : array_like, shape (n_subjects, n_covariates)
        Covariates of the model.
    column : int
        The covariate whose hazard ratio is asked for.
    conf_level : float, default 0.95
    n_draws : int, default 4,000
        Orders of leaving drawn, where they cannot all be counted; 0 for none.
    seed : int

    Returns
    -------
    ExactLimits
        The smallest interval with every hazard ratio that the test does not reject.

    Raises
    ------
    ValueError
        As `relabelling_many.StratifiedScore.of_trial`, or `conf_level` out of range.

    Notes
    -----
    If the log hazard ratio is c, whoever leaves by an event is drawn from those left in the stratum in
    proportion to exp(c x). The test of c asks how often the score statistic at c is then as far from 0 as
    observed; at c = 0 it is the permutation test. Without ties and censoring the interval holds the truth at
    least as often as `conf_level` says, at any number of patients. With censoring it takes whoever is
    censored as drawn evenly from those left.

    References
    ----------
    Cox (1972) J R Stat Soc B; Plackett (1975) Appl Stat; Rao (1948) Proc Camb Philos Soc.
    """
    check_conf_level(conf_level)
    test = StratifiedScore.of_trial(time, event, x, column)
    is_listed = test.can_list()
    if not test.strata or not (is_listed or n_draws):
        return ExactLimits(float("nan"), float("nan"), is_listed)
    search = _Search.of(test, _make_decision(test, 1 - conf_level, n_draws, seed))
    lower, upper = search.find_limit(-1), search.find_limit(1)
    if search.accepts(0.0):
        # Scores may tie at no effect only, which then stands alone.
        lower, upper = min(lower, 0.0), max(upper, 0.0)
    if lower == upper == search.far:
        upper = np.inf  # an estimate without end, and nothing else that is not rejected
    elif lower == upper == -search.far:
        lower = -np.inf
    return ExactLimits(float(exponentiate(lower)), float(exponentiate(upper)), is_listed)


def _make_decision(test, alpha, n_draws, seed):
    """Whether a coefficient is not rejected, as a function of it."""
    bound = alpha * (1 + TOLERANCE)
    if test.can_list():
        return lambda coef: test.count_p(coef)[0] > bound
    uniforms = test.draw_uniforms(n_draws, np.random.default_rng(seed))
    return lambda coef: test.draw_p(uniforms, coef) > bound


@dataclass(frozen=True)
class _Search:
    """Where and how closely to look for limits: the estimate, its standard error, and the farthest place."""

    accepts: Callable
    centre: float
    error: float
    far: float
    precision: float
    n_places: int
    patience: int

    @classmethod
    def of(cls, test, accepts):
        spread = max(np.ptp(stratum.values) for stratum in test.strata)
        gap = min(np.diff(stratum.values).min() for stratum in test.strata)
        far = min(FAR / gap, LARGEST / spread)

        def calculate_score(coef):
            return test.observe(coef)[0][0]

        if calculate_score(far) < 0 < calculate_score(-far):
            centre = optimize.brentq(calculate_score, -far, far)
        else:
            centre = far if calculate_score(far) >= 0 else -far
        information = test.observe(np.clip(centre, -1 / spread, 1 / spread))[1][0]
        error = min(1 / np.sqrt(information) if information > 0 else np.inf, 2 / spread)
        if test.can_list(MOST_DENSE):
            return cls(accepts, centre, error, far, PRECISION * error, N_PLACES, N_PLACES)
        return cls(accepts, centre, error, far, COARSE_PRECISION * error, N_COARSE_PLACES, 3)

    def find_limit(self, side):
        """Where rejection starts on one side for good; infinite where it never does."""
        if self.accepts(side * self.far):
            return side * np.inf
        inside, outside, rejected = side * self.centre, self.far, 0
        for place in self._list_places(side):
            if self.accepts(side * place):
                inside, rejected = place, 0
            else:
                outside = place if not rejected else outside
                rejected += 1
            # The P-value may rise once more for a step, as the orders of leaving change places.
            if rejected == self.patience:
                break
        while outside - inside > self.precision:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if self.accepts(side * middle) else (inside, middle)
        return side * inside

    def _list_places(self, side):
        """Coefficients outward from the estimate, mirrored for the lower side."""
        around = self.centre if abs(self.centre) < self.far else 0.0
        reach = np.arcsinh(2 * self.far / self.error)
        places = side * (around + self.error * np.sinh(np.linspace(-reach, reach, self.n_places)))
        places = np.unique(np.clip(places, -self.far, self.far))
        return places[places > side * self.centre]
