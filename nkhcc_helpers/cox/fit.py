"""The fit of a Cox model, with profile limits, limits by relabelling, and likelihood ratios."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import optimize, stats

from nkhcc_helpers.checks import check_choice, check_conf_level
from nkhcc_helpers.cox.design import Limit, Subjects, find_separation
from nkhcc_helpers.cox.likelihood import (
    TIES,
    PartialLikelihood,
    exponentiate,
    find_profile_limits,
    is_separating,
)
from nkhcc_helpers.cox.relabelling import MOST_LISTED_EACH, ExactLimits, StratifiedScore, permute_covariate
from nkhcc_helpers.cox.risk_sets import MOST_PATIENTS
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

Method = Literal["firth", "partial"]
METHODS = get_args(Method)
ESTIMATES = ["coef", "hr", "ci_lower", "ci_upper", "p_value"]
RELABELLED = ["p_permutation", "p_permutation_error", "exact_lower", "exact_upper"]
VANISHED = 1e-8  # information
NEGLIGIBLE = 1e-9  # of a direction whose largest entry is 1
FLAT, CURVED = 1e-6, 1e-6  # score and information at a sure maximum, relative to those at 0
SMALLEST_GAIN = 1e-24  # of the log-likelihood of one trial, whose estimates are to be good to the last digits
LARGEST_GAP = 40.0  # log hazard ratio between neighbouring values at which the order of leaving is certain
LARGEST_SPREAD = 60.0  # log hazard ratio between extreme values up to which the statistic keeps its digits
FINE, COARSE = (1e-6, 161, 161), (1e-3, 41, 3)  # precision, places and patience of a search for limits
NUMBERS_AT_A_TIME = 400_000  # weights held at once, few enough to stay in a processor's cache


@dataclass(frozen=True)
class CoxModel(Subjects):
    """One model of one trial, fitted as a batch of one."""

    options: dict  # method and ties
    fits: CohortFits

    @classmethod
    def of(cls, frame, covariates, *, method, ties, strata=""):
        """Check the data; arguments and errors as of `fit_cox`."""
        data = Subjects.of(frame, covariates, strata)
        check_options(method, ties)
        fits = fit_block(*data.batch, method, ties, enters=data.risk[1], gain=SMALLEST_GAIN)
        return cls(**vars(data), options={"method": method, "ties": ties}, fits=fits)

    @property
    def likelihood(self):
        """The likelihood, of one cohort."""
        return PartialLikelihood.of(*self.batch, self.options["ties"], self.risk[1])

    def infer(self, conf_level):
        """Estimates of each covariate as of `infer`."""
        options = {**self.options, "conf_level": conf_level, "enters": self.risk[1]}
        return infer(*self.batch, self.fits, **options)[0]

    @property
    def log_likelihood(self):
        """At the maximum, or the least upper bound; NaN where the penalty does not exist."""
        return float(self.fits.log_likelihood[0])

    @property
    def df(self):
        """How many coefficients the events can tell apart."""
        return int(self.fits.df[0])

    @property
    def lr_statistic(self):
        """Likelihood-ratio statistic against no covariates."""
        return float(self.fits.lr_statistic[0]) if self.df else float("nan")

    @property
    def p_lr(self):
        """The P-value that belongs to it."""
        return float(stats.chi2.sf(self.lr_statistic, self.df)) if self.df else float("nan")


@dataclass(frozen=True)
class CohortFits:
    """The fits of one Cox model to many cohorts; NaN where not estimable."""

    coef: np.ndarray  # log hazard ratios, (n_cohorts, n_covariates)
    se: np.ndarray  # their standard errors from the information
    log_likelihood: np.ndarray  # at the maximum, or its least upper bound where there is none, (n_cohorts,)
    null_log_likelihood: np.ndarray  # with every coefficient 0; both NaN where the penalty does not exist
    df: np.ndarray  # coefficients that the events can tell apart
    estimable: np.ndarray

    @property
    def lr_statistic(self):
        """Likelihood-ratio statistics against no effect of any covariate, shape (n_cohorts,)."""
        return 2 * (self.log_likelihood - self.null_log_likelihood)


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model; NaN where not estimable, 0 or inf where an interval has no limit.

    ``summary`` has columns ``covariate coef hr ci_lower ci_upper p_value`` by (penalised) likelihood; then
    ``p_permutation p_permutation_error exact_lower exact_upper``: the test over relabellings of patients who
    agree in the other covariates (error 0 where all were counted), and the limits that invert it.
    """

    summary: pd.DataFrame
    log_likelihood: float  # at the maximum, or its least upper bound where there is none
    lr_statistic: float  # against no covariates
    df: int  # coefficients that can be told apart
    p_lr: float
    n: int
    n_events: int
    separated: pd.Series | None  # direction in which the likelihood without penalty has no maximum
    method: str
    ties: str


def fit_cox(
    frame,
    covariates,
    *,
    method="firth",
    ties="breslow",
    strata="",
    conf_level=0.95,
    n_draws=10_000,
    seed=DEFAULT_SEED,
):
    """Fit a Cox model by profile likelihood and by relabelling.

    Cox (1972) J R Stat Soc B; Breslow (1974) Biometrics; Efron (1977) J Am Stat Assoc; Venzon, Moolgavkar
    (1988) Appl Stat; Heinze, Schemper (2001) Biometrics.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and the covariates as numbers, one row per subject. Where there is a column
        ``time_enter``, subjects are at risk after it (0: from the start) and up to ``time``.
    covariates : sequence of str
        True and False are taken for 1 and 0. ValueError names the row of what is no finite number, and a
        covariate that is constant or a combination of others.
    method : {"firth", "partial"}, default "firth"
        Likelihood penalised by Firth's method, or plain partial likelihood.
    ties : {"breslow", "efron"}, default "breslow"
    strata : str, optional
        Column whose values have baseline hazards of their own; subjects are compared within them only.
    conf_level : float, default 0.95
    n_draws : int, default 10,000
        Random relabellings where they cannot all be counted; 0 for none. P and limits use the same.
    seed : int

    Returns
    -------
    CoxFit
        Estimates are NaN where the subjects at risk at the events do not differ enough to tell the
        coefficients apart and, by partial likelihood, of covariates that are separated; relabelling is where
        no two patients agree in all covariates but one. It does not depend on `method` and `ties`. With
        delayed entry whole patients, entry and time, are relabelled, which takes entry not to go with the
        covariate; limits are then by likelihood only, as of more than `MOST_PATIENTS` (300) patients.
    """
    check_conf_level(conf_level)
    model = CoxModel.of(frame, covariates, method=method, ties=ties, strata=strata)
    return CoxFit(
        summary=_summarize(model, conf_level, n_draws, seed),
        log_likelihood=model.log_likelihood,
        lr_statistic=model.lr_statistic,
        df=model.df,
        p_lr=model.p_lr,
        n=len(frame),
        n_events=int(model.event.sum()),
        separated=model.separated,
        **model.options,
    )


def _summarize(model, conf_level, n_draws, seed):
    summary = pd.DataFrame(model.infer(conf_level), columns=ESTIMATES)
    summary.insert(0, "covariate", list(model.x.columns))
    relabelled = []
    for column in range(len(summary)):
        arguments = model.time, model.event, model.x.to_numpy(), column
        options = {"n_draws": n_draws, "seed": seed, "time_enter": model.enter, "strata": model.strata}
        tested = permute_covariate(*arguments, **options)
        limits = estimate_exact_limits(*arguments, conf_level=conf_level, **options)
        relabelled.append((tested.p_value, tested.error, limits.lower, limits.upper))
    return summary.join(pd.DataFrame(relabelled, columns=RELABELLED))


def check_options(method, ties):
    """Raise ValueError for a likelihood or a treatment of ties that there is not."""
    check_choice(method, "method", METHODS)
    check_choice(ties, "ties", TIES)


def take(arrays, which):
    """Some cohorts of arrays that may hold one row for all."""
    return [a if a is None or len(a) == 1 else a[which] for a in arrays]


def fit_block(times, events, x, method, ties, fixed=None, enters=None, **precision):
    """Fit a block of cohorts, coefficients of `fixed` columns held, as `CohortFits`."""
    firth = method == "firth"
    likelihood = PartialLikelihood.of(times, events, x, ties, enters)
    shape = likelihood.n_cohorts, x.shape[-1]
    null = likelihood.evaluate(np.zeros(shape), firth)
    held = np.full((1, shape[1]), np.nan)
    held[0, list(fixed or {})] = list((fixed or {}).values())
    coef, state = likelihood.maximize(firth, held, **precision)
    df = likelihood.count_identified(null.information)
    estimable = df == shape[1]
    free = np.flatnonzero(np.isnan(held[0]))
    if not firth and len(free):
        data = times, events, x[..., free], np.full((1, 1), -np.inf) if enters is None else enters
        estimable &= _has_maximum(data, coef[:, free], _narrow(state, free), _narrow(null, free), estimable)
    information = np.where(estimable[:, None, None], state.information, np.eye(shape[1]))
    variance = np.einsum("cpp->cp", np.linalg.inv(information))
    return CohortFits(
        coef=np.where(estimable[:, None], coef, np.nan),
        se=np.where(estimable[:, None], np.sqrt(np.maximum(variance, 0)), np.nan),
        log_likelihood=np.where(np.isfinite(state.log_likelihood), state.log_likelihood, np.nan),
        null_log_likelihood=np.where(np.isfinite(null.log_likelihood), null.log_likelihood, np.nan),
        df=df,
        estimable=estimable,
    )


def _narrow(state, free):
    return state.score[:, free], state.information[:, free[:, None], free]


def _has_maximum(data, coef, reached, null, asked):
    """Whether each likelihood has a maximum, judged from where Newton's method ended.

    Along a separating direction the information vanishes and the coefficients run away; where what they ran
    along proves to separate, that is the answer, and elsewhere a linear program gives it.
    """
    # In units in which the information without effects has ones on its diagonal.
    scale = np.sqrt(np.maximum(np.einsum("cpp->cp", null[1]), 1e-300))
    score, information = reached[0] / scale, reached[1] / scale[:, :, None] / scale[:, None]
    values, vectors = np.linalg.eigh(information)
    sure = (np.abs(score).max(axis=1) < FLAT) & (values[:, 0] > CURVED)
    has, unsure = np.ones(len(coef), dtype=bool), np.flatnonzero(asked & ~sure)
    times, events, x, enters = (np.broadcast_to(a, (len(coef), *a.shape[1:]))[unsure] for a in data)
    units, values, vectors = scale[unsure], values[unsure], vectors[unsure]
    x = x / np.expand_dims(units, tuple(range(1, x.ndim - 1)))
    if x.ndim == 3:
        flat = vectors * (values < VANISHED)[:, None]
        away = np.einsum("cpk,cqk,cq->cp", flat, vectors, coef[unsure] * units)
        away /= np.maximum(np.abs(away).max(axis=1, keepdims=True), 1e-300)
        has[unsure] = ~is_separating(x, times, events, np.round(away, 6), enters)
    for at, cohort in enumerate(unsure):
        if has[cohort]:
            has[cohort] = find_separation(x[at], times[at], events[at], enters[at]) is None
    return has


def infer(times, events, x, fits, *, method, ties, conf_level, enters=None):
    """Estimates, profile limits and likelihood-ratio p of fits, as in ESTIMATES; NaN where not estimable.

    Shape (n_cohorts, n_covariates, 5), of the arguments and options with which `fit_cox_many` made the fits.
    """
    keep, firth, arrays = fits.estimable, method == "firth", (times, events, x, enters)
    found = np.full((*fits.coef.shape, len(ESTIMATES)), np.nan)
    if keep.any():
        *data, own = take(arrays, keep)
        likelihood = PartialLikelihood.of(*data, ties, own)
        found[keep] = _describe(likelihood, fits.coef[keep], fits.log_likelihood[keep], conf_level, firth)
    separated = [] if firth or x.ndim == 4 else np.flatnonzero(~keep & (fits.df == x.shape[-1]))
    for cohort in separated:
        one = (a if a is None else a[min(cohort, len(a) - 1)] for a in arrays)
        found[cohort] = _infer_at_bound(*one, ties, conf_level)
    return found


def _infer_at_bound(time, event, x, enter, ties, conf_level):
    """Estimates of coefficients that no separating direction moves, from the limit along all of them.

    There whoever is outranked has left the risk sets. What those who stay tell apart of the other covariates
    is free, as it is in the likelihood.
    """
    found = np.full((x.shape[1], len(ESTIMATES)), np.nan)
    limit = Limit.find(x, time, event, enter)
    if limit is not None and len(limit.kept):
        left = np.hstack([x[:, limit.kept], limit.combined])
        enters = None if enter is None else enter[None]
        part = PartialLikelihood.of(time[None], event[None], left[None], ties, enters, most_pairs=np.inf)
        part = replace(part, weights=part.weights * limit.stays[part.subjects].T)
        coef, state = part.maximize(gain=SMALLEST_GAIN)
        found[limit.kept] = _describe(part, coef, state.log_likelihood, conf_level)[0, : len(limit.kept)]
    return found


def _describe(likelihood, coef, best, conf_level, firth=False):
    limits = find_profile_limits(likelihood, coef, best, conf_level, firth=firth)
    without = likelihood.restrict(np.zeros(coef.shape[1]), firth, coef)
    p_value = stats.chi2.sf(np.maximum(2 * (best[:, None] - without), 0), 1)
    return np.dstack([coef, exponentiate(coef), exponentiate(limits), p_value])


def estimate_exact_limits(
    time, event, x, column, *, conf_level=0.95, n_draws=4_000, seed=DEFAULT_SEED, time_enter=None, strata=None
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
