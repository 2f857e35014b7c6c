"""The relabelling test of one covariate of a Cox model.

Patients who agree in the other covariates form a stratum, and only they are compared with each other: the
other coefficients then cancel, whatever they are, and nothing is left to estimate under the hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from nkhcc_helpers.checks import check_entry
from nkhcc_helpers.cox.likelihood import lay_out_risk
from nkhcc_helpers.cox.risk_sets import MOST_PATIENTS, OrderedWeights, find_at_risk
from nkhcc_helpers.survival.exact import TOLERANCE, count_allocations, list_labels
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, shuffle

MOST_LISTED = 2_000_000  # orders of leaving of all strata together
MOST_LISTED_EACH = 20_000  # the same, of each of many cohorts or at each of many coefficients
MOST_PLACES = 500_000  # orders of one stratum, times its patients
NUMBERS_AT_A_TIME = 1_000_000  # of orders of many cohorts
PAIRS_AT_A_TIME, LARGEST_DRAW = 50_000, 20_000_000
ALMOST_ONE = 1 - 1e-12  # keeps a product with a random number below the other factor


@dataclass(frozen=True)
class RelabelledP:
    """A two-sided permutation P-value of one covariate; NaN where no stratum can tell."""

    p_value: float
    error: float  # Monte-Carlo standard error; 0 when every relabelling was counted
    n_allocations: int  # relabellings within strata that can be told apart
    n_subjects: int  # in strata that can tell


@dataclass(frozen=True)
class ExactLimits:
    """Limits of a hazard ratio per unit of a covariate: 0 or inf without one, NaN where nothing can tell."""

    lower: float
    upper: float
    is_exact: bool  # every order of leaving was counted; otherwise they were drawn


def permute_covariate(
    time, event, x, column, *, n_draws=20_000, seed=DEFAULT_SEED, time_enter=None, strata=None
):
    """Test one covariate of a Cox model over relabellings of patients who agree in all others.

    How often is the stratified score statistic (ties by Breslow) as extreme? Exact at any number of
    patients and any other coefficients, if censoring does not depend on the covariate. Cox (1972) J R Stat
    Soc B; Mantel (1966) Cancer Chemother Rep; Phipson, Smyth (2010) Stat Appl Genet Mol Biol, for draws.
    Those relabelled agree in `strata` too. With `time_enter` patients are exchanged whole, entry and time.
    """
    test = StratifiedScore.of_trial(time, event, x, column, time_enter, strata)
    p_value, error = np.nan, np.nan
    if test.can_list():
        p_value, error = float(test.count_p()[0]), 0.0
    elif test.strata and n_draws:
        rng = np.random.default_rng(seed)
        if test.n_subjects > MOST_PATIENTS:
            p_value = _exchange_many(time, event, x, column, time_enter, strata, n_draws, rng)
        elif test.has_late_entry:
            p_value = test.exchange_p(n_draws, rng)[0]
        else:
            p_value = test.draw_p(test.draw_uniforms(n_draws, rng))
        error = float(np.sqrt(p_value * (1 - p_value) / n_draws))
    return RelabelledP(p_value, error, test.n_allocations, test.n_subjects)


def _exchange_many(time, event, x, column, enter, strata, n_draws, rng):
    """P-value of no effect, as of `StratifiedScore.exchange_p`, by sums in the order of time."""
    time, event, enter = check_entry(time, event, enter)
    cells = _find_cells(np.asarray(x, float), column, strata)
    times, enters = lay_out_risk(time[None], enter, cells)
    subjects = np.flatnonzero(event)
    weights = OrderedWeights.of(times, event[None], subjects, enters)
    n_at_risk = np.ones((1, 1, len(time))) @ weights

    def score(drawn):
        mean, square = (each[None] @ weights / n_at_risk for each in (drawn, drawn**2))
        information = np.maximum(square - mean**2, 0).sum(axis=-1)[0]
        return (drawn[:, subjects] - mean[0]).sum(axis=-1), information

    values = np.asarray(x, float)[:, column]
    values, n_extreme = values - values.mean(), 0
    bound = _find_bound(*score(values[None]))
    for some in _cut(n_draws, NUMBERS_AT_A_TIME // len(values)):
        drawn = shuffle(values, some.stop - some.start, rng, cells)
        n_extreme += int(_reach(*score(drawn), bound).sum())
    return (1 + n_extreme) / (1 + n_draws)


def _find_cells(x, column, strata):
    """Numbers of the strata of patients who agree in all covariates but one, and in `strata`."""
    cells = np.delete(x, column, axis=1)
    cells = cells if strata is None else np.column_stack([cells, strata])
    return np.unique(cells, axis=0, return_inverse=True)[1].ravel()


@dataclass(frozen=True)
class StratifiedScore:
    """The score test of one covariate in the strata that can tell, in many cohorts of one design.

    The statistic of a coefficient is the score, less its expectation where ties keep that from being 0, over
    the square root of the information, both summed over strata; 0 where the information is.
    """

    strata: tuple

    @classmethod
    def of(cls, times, events, x, column, strata=None, enter=None):
        """Lay out cohorts, (n_cohorts, n_subjects), with covariates of shape (n_subjects, n_covariates).

        `strata` and `enter`, which is of one cohort only, have shape (n_subjects,).
        """
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or len(x) != times.shape[1] or not np.isfinite(x).all():
            raise ValueError(f"x must be finite numbers, a row for each of {times.shape[1]} subjects")
        others = _find_cells(x, column, strata)
        enter = np.full(len(x), -np.inf) if enter is None else np.where(enter > 0, enter, -np.inf)
        members = [np.flatnonzero(others == place) for place in range(others.max() + 1)]
        told = (Stratum.of(times[:, who], events[:, who], x[who, column], enter[who]) for who in members)
        return cls(tuple(each for each in told if each.tells.any()))

    @classmethod
    def of_trial(cls, time, event, x, column, time_enter=None, strata=None):
        """Lay out one cohort, its times and events checked by `checks.check_entry`."""
        time, event, enter = check_entry(time, event, time_enter)
        return cls.of(time[None], event[None], x, column, strata, enter)

    @property
    def has_late_entry(self):
        """Whether not all are at risk from the start."""
        return any(each.at_risk is not None for each in self.strata)

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

    def exchange_p(self, n_draws, rng):
        """P-values of no effect over the same exchanges of whole patients for all cohorts, (n_cohorts,)."""
        score, information = self.observe(0.0)
        bound, count = _find_bound(score, information)[:, None], np.zeros(len(score))
        n_numbers = max(each.labels.shape[1] * len(each.values) for each in self.strata)
        for sizes in _cut(n_draws, LARGEST_DRAW // n_numbers):
            orders = [each.draw_orders(sizes.stop - sizes.start, rng) for each in self.strata]
            for cohorts in _cut(len(score), NUMBERS_AT_A_TIME // n_draws):
                parts = zip(self.strata, orders, strict=True)
                drawn = sum(np.stack(each.list_scores(0.0, cohorts, some)[:2]) for each, some in parts)
                count[cohorts] += _reach(*drawn, bound[cohorts]).sum(axis=-1)
        return (1 + count) / (1 + n_draws)


def _cut(n, size):
    return [slice(start, min(start + max(size, 1), n)) for start in range(0, n, max(size, 1))]


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
    at_risk: np.ndarray | None  # of one cohort, at each place, (n_subjects, n_subjects); None: who is left

    @classmethod
    def of(cls, times, events, x, enter):
        """Lay out patients with these times and events, shape (n_cohorts, n_subjects), values and entries."""
        order = np.lexsort((~events, times))
        times, events = np.take_along_axis(times, order, 1), np.take_along_axis(events, order, 1)
        values, labels = np.unique(x, return_inverse=True)
        is_first = events & (np.diff(times, prepend=-1.0) > 0)
        together = (times[:, :, None] == times[:, None, :]) & events[:, None, :]
        tied = np.where(is_first, together.sum(axis=2), 0)
        at_risk, n_at_risk = None, np.arange(len(x), 0, -1)
        if np.isfinite(enter).any():
            at_risk = find_at_risk(times, enter[order], times[:, None])[0].T.astype(float)
            n_at_risk = at_risk.sum(axis=1)
        tells = (is_first & (tied < n_at_risk)).any(axis=1) & (len(values) > 1)
        return cls(values, labels[order], events & tells[:, None], tied * tells[:, None], at_risk)

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
        left = _count_left(labels.T, len(self.values), self.at_risk)
        _, mean, variance = self._describe(left, self._find_hazard(coef))
        return (event * self.values[labels] - tied * mean.T).sum(axis=1), (tied * variance.T).sum(axis=1)

    def list_scores(self, coef, cohorts=slice(None), orders=None):
        """Score, information and probability of every order of leaving, or of some, under a coefficient.

        Each of shape (n_cohorts, n_orders): the sum over events of the value less its mean among those at
        risk (tied events by Breslow), and that of its variance among them.
        """
        event, tied, hazard = self.event[cohorts], self.tied[cohorts], self._find_hazard(coef)
        labels, states, at = orders or self.list_orders()
        total, mean, variance = self._describe(states, hazard)
        mean, variance, log_total = (np.take(each, at) for each in (mean, variance, np.log(total)))
        leaving = event @ np.take(self.values, labels)
        log_chance = coef * leaving - event @ log_total
        chance = np.exp(log_chance - log_chance.max(axis=1, keepdims=True))
        return leaving - tied @ mean, tied @ variance, chance / chance.sum(axis=1, keepdims=True)

    def list_orders(self):
        """As of `_list_orders`."""
        labels, states, at = _list_orders(tuple(self.counts.tolist()))
        if self.at_risk is not None:
            at = _find_states(_count_left(labels, len(self.counts), self.at_risk), self.counts)
        return labels, states, at

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
        labels = shuffle(everyone, n_draws, rng).T
        left = _count_left(labels, len(self.counts), self.at_risk)
        states = left.swapaxes(0, 1).reshape(len(self.counts), -1)
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
    at = _find_states(_count_left(labels, len(counts)), counts)
    states = np.indices([number + 1 for number in counts]).reshape(len(counts), -1)[:, 1:]
    for each in (labels, states, at):
        each.setflags(write=False)
    return labels, states, at


def _find_states(left, counts):
    """Which state each of `left`, as of `_count_left`, is; nobody left is none, so that others move up."""
    sizes = [number + 1 for number in counts]
    return np.ravel_multi_index(tuple(left.astype(np.intp).swapaxes(0, 1)), sizes) - 1


def _count_left(labels, n_labels, at_risk=None):
    """Those of each label who are at risk at each place, shape (n_subjects, n_labels, n_orders)."""
    leaving = labels[:, None, :] == np.arange(n_labels)[:, None]
    if at_risk is not None:
        return np.tensordot(at_risk, leaving, axes=1)
    return np.cumsum(leaving[::-1], axis=0)[::-1]
