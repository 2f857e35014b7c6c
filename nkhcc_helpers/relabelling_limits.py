"""Limits of a hazard ratio by inverting the relabelling test of `relabelling`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.relabelling_strata import StratifiedScore

FAR = 40.0  # log hazard ratio between neighbouring values at which the order of leaving is certain
LARGEST = 600.0  # log hazard ratio that an exponential stands
N_PLACES = 41  # coefficients looked at, dense near the estimate
PRECISION, DRAWN_PRECISION = 1e-6, 1e-3  # of the limits, relative to the coefficient's standard error


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
        As `relabelling_strata.StratifiedScore.of`, or `conf_level` out of range.

    Notes
    -----
    If the log hazard ratio is c, whoever leaves by an event is drawn from those left in the stratum in
    proportion to exp(c x). The test of c asks how often the score is then as far from its mean as observed;
    at c = 0 it is the permutation test. Without ties and censoring the interval holds the truth at least as
    often as `conf_level` says, at any number of patients. With censoring it takes whoever is censored as
    drawn evenly from those left.

    References
    ----------
    Cox (1972) J R Stat Soc B; Plackett (1975) Appl Stat; Bauer (1972) J Am Stat Assoc.
    """
    check_conf_level(conf_level)
    test = StratifiedScore.of(time, event, x, column)
    if not test.strata or not (test.is_listed or n_draws):
        return ExactLimits(float("nan"), float("nan"), bool(test.strata and test.is_listed))
    accepts = _make_decision(test, 1 - conf_level, n_draws, seed)
    centre, error, far = _find_scale(test)
    precision = error * (PRECISION if test.is_listed else DRAWN_PRECISION)
    lower, upper = (_find_limit(accepts, centre, error, side, far, precision) for side in (-1, 1))
    return ExactLimits(float(np.exp(lower)), float(np.exp(upper)), test.is_listed)


def _make_decision(test, alpha, n_draws, seed):
    """Whether a coefficient is not rejected, as a function of it."""
    if test.is_listed:
        return lambda coef: test.count_p(coef) > alpha
    rng = np.random.default_rng(seed)
    uniforms = [rng.random((n_draws, len(stratum.labels))) for stratum in test.strata]
    return lambda coef: test.draw_p(uniforms, coef) > alpha


def _find_scale(test):
    """Estimate, its standard error, and a coefficient beyond which nothing changes."""
    spread = max(np.ptp(stratum.values) for stratum in test.strata)
    gap = min(np.diff(stratum.values).min() for stratum in test.strata)
    far = min(FAR / gap, LARGEST / spread)
    if test.observe(far) < 0 < test.observe(-far):
        centre = optimize.brentq(test.observe, -far, far)
    else:
        centre = far if test.observe(far) >= 0 else -far
    near = np.clip(centre, -1 / spread, 1 / spread)
    slope = (test.observe(near - 1e-4 / spread) - test.observe(near + 1e-4 / spread)) / (2e-4 / spread)
    return centre, min(1 / np.sqrt(slope) if slope > 0 else np.inf, 2 / spread), far


def _find_limit(accepts, centre, error, side, far, precision):
    """Where rejection starts on one side, looking from the estimate; infinite where it never does."""
    if accepts(side * far):
        return side * np.inf
    around = centre if abs(centre) < far else 0.0
    places = around + error * np.sinh(np.linspace(-1, 1, N_PLACES) * np.arcsinh(2 * far / error))
    places = np.clip(np.sort(side * places), -far, far)
    outward = np.concatenate([[side * centre], places[places > side * centre]])
    inside, outside, rejected = outward[0], far, 0
    for place in outward[1:]:
        if accepts(side * place):
            inside, rejected = place, 0
        else:
            outside = place if not rejected else outside
            rejected += 1
        # The P-value may rise once more for a step, as the orders of leaving change places.
        if rejected == 3:
            break
    while outside - inside > precision:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if accepts(side * middle) else (inside, middle)
    return side * inside
