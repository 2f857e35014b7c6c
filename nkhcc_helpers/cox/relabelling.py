"""The relabelling test of one covariate of a Cox model, and the limits that invert it.

Patients who agree in the other covariates form a stratum, and only they are compared with each other: the
other coefficients then cancel, whatever they are, and nothing is left to estimate under the hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from scipy import optimize

from nkhcc_helpers.checks import check_conf_level, check_survival
from nkhcc_helpers.cox.likelihood import exponentiate
from nkhcc_helpers.survival.exact import TOLERANCE, count_allocations, list_labels
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

MOST_LISTED = 2_000_000  # orders of leaving of all strata together
MOST_LISTED_EACH = 20_000  # the same, of each of many cohorts or at each of many coefficients
MOST_PLACES = 500_000  # orders of one stratum, times its patients
NUMBERS_AT_A_TIME = 1_000_000  # of orders of many cohorts
PAIRS_AT_A_TIME = 50_000
ALMOST_ONE = 1 - 1e-12  # keeps a product with a random number below the other factor
LARGEST_GAP = 40.0  # log hazard ratio between neighbouring values at which the order of leaving is certain
LARGEST_SPREAD = 60.0  # log hazard ratio between extreme values up to which the statistic keeps its digits
FINE, COARSE = (1e-6, 161, 161), (1e-3, 41, 3)  # precision, places and patience of a search for limits


@dataclass(frozen=True)
class RelabelledP:
    """A two-sided permutation P-value of one covariate; NaN where no stratum can tell."""

    p_value: float
    error: float  # Monte-Carlo standard error; 0 when every relabelling was counted
    n_allocations: int  # relabellings within strata that can be told apart
    n_subjects: int  # in strata that can tell


def permute_covariate(time, event, x, column, *, n_draws=20_000, seed=DEFAULT_SEED):
    """Test one covariate of a Cox model over relabellings of patients who agree in all others.

    How often is the stratified score statistic (ties by Breslow) as extreme? Exact at any number of
    patients and any other coefficients, if censoring does not depend on the covariate. Cox (1972) J R Stat
    Soc B; Mantel (1966) Cancer Chemother Rep; Phipson, Smyth (2010) Stat Appl Genet Mol Biol, for draws.
    """
    test = StratifiedScore.of_trial(time, event, x, column)
    p_value, error = np.nan, np.nan
    if test.can_list():
        p_value, error = float(test.count_p()[0]), 0.0
    elif test.strata and n_draws:
        p_value = test.draw_p(test.draw_uniforms(n_draws, np.random.default_rng(seed)))
        error = float(np.sqrt(p_value * (1 - p_value) / n_draws))
    return RelabelledP(p_value, error, test.n_allocations, test.n_subjects)


@dataclass(frozen=True)
class ExactLimits:
    """Limits of a hazard ratio per unit of a covariate: 0 or inf without one, NaN where nothing can tell."""

    lower: float
    upper: float
    is_exact: bool  # every order of leaving was counted; otherwise they were drawn


def estimate_exact_limits(time, event, x, column, *, conf_level=0.95, n_draws=4_000, seed=DEFAULT_SEED):
    """The smallest interval with the estimate and all that the test of `permute_covariate` does not reject.

    At a log hazard ratio of c, whoever leaves by an event is drawn from those left in the stratum in
    proportion to exp(c x), whoever is censored evenly. Without censoring and ties it holds the truth at least
    as often as it says. Plackett (1975) Appl Stat; Rao (1948) Proc Camb Philos Soc.
    """
    check_conf_level(conf_level)
    test = StratifiedScore.of_trial(time, event, x, column)
    is_listed = test.can_list()
    if not test.strata or not (is_listed or n_draws):
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


@dataclass(frozen=True)
class StratifiedScore:
    """The score test of one covariate in the strata that can tell, in many cohorts of one design.

    The statistic of a coefficient is the score, less its expectation where ties keep that from being 0, over
    the square root of the information, both summed over strata; 0 where the information is.
    """

    strata: tuple

    @classmethod
    def of(cls, times, events, x, column):
        """Lay out cohorts, (n_cohorts, n_subjects), with covariates of shape (n_subjects, n_covariates)."""
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or len(x) != times.shape[1] or not np.isfinite(x).all():
            raise ValueError(f"x must be finite numbers, a row for each of {times.shape[1]} subjects")
        others = np.unique(np.delete(x, column, axis=1), axis=0, return_inverse=True)[1].ravel()
        members = [np.flatnonzero(others == place) for place in range(others.max() + 1)]
        strata = (Stratum.of(times[:, who], events[:, who], x[who, column]) for who in members)
        return cls(tuple(each for each in strata if each.tells.any()))

    @classmethod
    def of_trial(cls, time, event, x, column):
        """Lay out one cohort, its times and events checked by `checks.check_survival`."""
        time, event = check_survival(time, event)
        return cls.of(time[None], event[None], x, column)

    @property
    def n_subjects(self):
        """Patients in the strata."""
        return sum(each.labels.shape[1] for each in self.strata)

    @property
    def n_allocations(self):
        """Relabellings within strata that can be told apart."""
        return prod(each.n_orders for each in self.strata)

    def can_list(self, most=MOST_LISTED):
        """Whether few enough orders of leaving exist to list them: of all strata, and places in each."""
        places = max((each.n_orders * each.labels.shape[1] for each in self.strata), default=np.inf)
        return self.n_allocations <= most and places <= min(most, MOST_PLACES)

    def observe(self, coef, cohorts=slice(None)):
        """Score and information of the orders observed, each of shape (n_cohorts,)."""
        parts = [each.observe(coef, cohorts) for each in self.strata]
        return sum(score for score, _ in parts), sum(information for _, information in parts)

    def count_p(self, coef=0.0):
        """P-values of a coefficient over every order of leaving, shape (n_cohorts,)."""
        observed = np.transpose(self.observe(coef))
        size = max(1, NUMBERS_AT_A_TIME // max(each.n_orders for each in self.strata))
        p_values = []
        for start in range(0, len(observed), size):
            cohorts = slice(start, start + size)
            lists = [np.stack(each.list_scores(coef, cohorts), axis=1) for each in self.strata]
            p_values += [
                _count_beyond(parts, *own) for *parts, own in zip(*lists, observed[cohorts], strict=True)
            ]
        return np.array(p_values)

    def draw_uniforms(self, n_draws, rng):
        """Random numbers for `draw_p`: of each stratum, shape (n_subjects, n_draws)."""
        return [rng.random((each.labels.shape[1], n_draws)) for each in self.strata]

    def draw_p(self, uniforms, coef=0.0, cohort=0):
        """P-value of a coefficient over drawn orders of leaving, (1 + count) / (1 + draws)."""
        draw = (each.draw_scores(own, coef, cohort) for each, own in zip(self.strata, uniforms, strict=True))
        drawn = sum(map(np.stack, draw))
        # The mean is 0 without an effect or without ties; else it has to come from the draws.
        biased = coef and any((each.tied[cohort] > 1).any() for each in self.strata)
        expected = drawn[0].mean() if biased else 0.0
        score, information = self.observe(coef, slice(cohort, cohort + 1))
        return float(share_reaching(drawn - [[expected], [0]], score - expected, information)[0])


def share_reaching(drawn, score, information):
    """(1 + count) / (1 + draws) of drawn scores and informations as extreme as those of each cohort."""
    bound = _find_bound(score, information)
    return (1 + _reach(*drawn, bound[:, None]).sum(axis=-1)) / (1 + drawn.shape[-1])


def _count_beyond(parts, score, information):
    """Probability of as large a statistic, of lists of scores, informations and chances."""
    *others, last = sorted(parts, key=lambda part: part.shape[1])
    first = np.array([[0.0], [0.0], [1.0]])
    for more in others:
        summed = (np.add.outer(one, two).ravel() for one, two in zip(first[:2], more[:2], strict=True))
        first = np.stack([*summed, np.multiply.outer(first[2], more[2]).ravel()])
    # Sums in place of products of vectors, which BLAS would spread over processors in vain.
    expected = sum((part[0] * part[2]).sum() for part in parts)
    bound = _find_bound(score - expected, information)
    if bound <= 0:
        return 1.0
    size = max(1, PAIRS_AT_A_TIME // last.shape[1])
    p_value = 0.0
    for start in range(0, first.shape[1], size):
        some = first[:, start : start + size, None]
        reached = _reach(some[0] - expected + last[0], some[1] + last[1], bound)
        p_value += (some[2, :, 0] * np.where(reached, last[2], 0.0).sum(axis=1)).sum()
    return min(float(p_value), 1.0)


def _find_bound(score, information):
    """The squared statistic that counts as reaching this one, but for rounding."""
    squared = np.divide(score**2, information, out=np.zeros_like(score), where=information > 0)
    return squared * (1 - TOLERANCE) - 1e-12


def _reach(score, information, bound):
    return (score**2 >= bound * information) & ((information > 0) | (bound <= 0))


@dataclass(frozen=True)
class Stratum:
    """Patients who agree in all other covariates, in the order in which they leave, in each of many cohorts.

    Arrays of shape (n_cohorts, n_subjects); at tied times events come first. A cohort where all at risk at
    the first event have an event then cannot tell; it has no events here.
    """

    values: np.ndarray  # distinct ones of the covariate, (n_values,)
    labels: np.ndarray  # place of each one's value in `values`
    event: np.ndarray  # whether each leaves by an event
    tied: np.ndarray  # at the first event of a time, how many events there are; else 0

    @classmethod
    def of(cls, times, events, x):
        """Lay out patients with these times and events, shape (n_cohorts, n_subjects), and values."""
        order = np.lexsort((~events, times))
        times, events = np.take_along_axis(times, order, 1), np.take_along_axis(events, order, 1)
        values, labels = np.unique(x, return_inverse=True)
        is_first = events & (np.diff(times, prepend=-1.0) > 0)
        together = (times[:, :, None] == times[:, None, :]) & events[:, None, :]
        tied = np.where(is_first, together.sum(axis=2), 0)
        first = is_first.argmax(axis=1)
        n_first = np.take_along_axis(tied, first[:, None], 1)[:, 0]
        tells = events.any(axis=1) & (n_first < times.shape[1] - first) & (len(values) > 1)
        return cls(values, labels[order], events & tells[:, None], tied * tells[:, None])

    @property
    def tells(self):
        """Whether each cohort can tell, shape (n_cohorts,)."""
        return self.event.any(axis=1)

    @property
    def counts(self):
        """Patients with each value."""
        return np.bincount(self.labels[0])

    @property
    def n_orders(self):
        """Orders of leaving that can be told apart."""
        return count_allocations(self.counts.tolist())

    def observe(self, coef, cohorts=slice(None)):
        """Score and information of the order observed, each of shape (n_cohorts,)."""
        labels, event, tied = self.labels[cohorts], self.event[cohorts], self.tied[cohorts]
        left = _count_left(labels.T, len(self.values))
        _, mean, variance = self._describe(left, self._find_hazard(coef))
        return (event * self.values[labels] - tied * mean.T).sum(axis=1), (tied * variance.T).sum(axis=1)

    def list_scores(self, coef, cohorts=slice(None), orders=None):
        """Score, information and probability of every order of leaving, or of some, under a coefficient.

        Each of shape (n_cohorts, n_orders): the sum over events of the value less its mean among those at
        risk (tied events by Breslow), and that of its variance among them.
        """
        event, tied, hazard = self.event[cohorts], self.tied[cohorts], self._find_hazard(coef)
        labels, states, at = orders or _list_orders(tuple(self.counts.tolist()))
        total, mean, variance = self._describe(states, hazard)
        mean, variance, log_total = (np.take(each, at) for each in (mean, variance, np.log(total)))
        leaving = event @ np.take(self.values, labels)
        log_chance = coef * leaving - event @ log_total
        chance = np.exp(log_chance - log_chance.max(axis=1, keepdims=True))
        return leaving - tied @ mean, tied @ variance, chance / chance.sum(axis=1, keepdims=True)

    def draw_scores(self, uniforms, coef, cohort=0):
        """Score and information, shape (n_draws,), of orders of leaving drawn under a coefficient.

        The same `uniforms`, shape (n_subjects, n_draws), make draws under near coefficients alike.
        """
        event, tied, hazard = self.event[cohort], self.tied[cohort], self._find_hazard(coef)
        left = np.repeat(self.counts.astype(float)[:, None], uniforms.shape[1], axis=1)
        score, information = np.zeros((2, uniforms.shape[1]))
        for place in range(np.flatnonzero(event).max(initial=-1) + 1):
            reached = np.cumsum(left * hazard[:, None] if event[place] else left, axis=0)
            if tied[place]:
                _, mean, variance = self._describe(left, hazard)
                score -= tied[place] * mean
                information += tied[place] * variance
            leaving = uniforms[place] * ALMOST_ONE * reached[-1] < reached
            leaving[1:] &= ~leaving[:-1]
            left -= leaving
            if event[place]:
                score += self.values @ leaving
        return score, information

    def draw_orders(self, n_draws, rng):
        """Orders of leaving, each as likely as any other; as of `_list_orders`."""
        everyone = np.repeat(np.arange(len(self.counts)), self.counts)
        labels = rng.permuted(np.tile(everyone, (n_draws, 1)), axis=1).T
        states = _count_left(labels, len(self.counts)).swapaxes(0, 1).reshape(len(self.counts), -1)
        return labels, states, np.arange(labels.size).reshape(labels.shape)

    def _find_hazard(self, coef):
        linear = coef * self.values
        return np.exp(linear - linear.max())

    def _describe(self, left, hazard):
        """Hazard of those at risk together, and the mean and variance of the covariate among them."""
        weight = left * hazard[:, None]
        total = weight.sum(axis=-2)
        share = weight / total[..., None, :]
        mean = self.values @ share
        return total, mean, (share * (self.values[:, None] - mean[..., None, :]) ** 2).sum(axis=-2)


@lru_cache(maxsize=16)
def _list_orders(counts):
    """Every order of leaving that can be told apart, of so many patients with each label.

    Who leaves at each place, (n_subjects, n_orders); how many of each label may be left together, (n_labels,
    n_states); which of these states stands at each place before someone leaves, as the first.
    """
    labels = np.ascontiguousarray(list_labels(counts).T)
    left = _count_left(labels, len(counts))
    sizes = [number + 1 for number in counts]
    # Nobody left is no state, so that all others move up by one.
    states = np.indices(sizes).reshape(len(counts), -1)[:, 1:]
    at = np.ravel_multi_index(tuple(left.swapaxes(0, 1)), sizes) - 1
    for each in (labels, states, at):
        each.setflags(write=False)
    return labels, states, at


def _count_left(labels, n_labels):
    """Those of each label who have not left before each place, shape (n_subjects, n_labels, n_orders)."""
    leaving = labels[:, None, :] == np.arange(n_labels)[:, None]
    return np.cumsum(leaving[::-1], axis=0)[::-1]
