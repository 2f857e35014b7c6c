"""Cox models of one trial or of thousands of small cohorts: estimates, profile limits, likelihood ratios."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_choice, check_conf_level, check_survival, keeps_options
from nkhcc_helpers.cox.design import check_estimable, find_separation, is_separating
from nkhcc_helpers.cox.likelihood import TIES, PartialLikelihood, exponentiate, find_profile_limits
from nkhcc_helpers.cox.relabelling import estimate_exact_limits, permute_covariate
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

Method = Literal["firth", "partial"]
METHODS = get_args(Method)
ESTIMATES = ["coef", "hr", "ci_lower", "ci_upper", "p_value"]
RELABELLED = ["p_permutation", "p_permutation_error", "exact_lower", "exact_upper"]
VANISHED = 1e-8  # information
FLAT, CURVED = 1e-6, 1e-6  # score and information at a sure maximum, relative to those at 0
SMALLEST_GAIN = 1e-24  # of the log-likelihood of one trial, whose estimates are to be good to the last digits
NUMBERS_AT_A_TIME = 400_000  # weights held at once, few enough to stay in a processor's cache


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model.

    ``summary`` has columns ``covariate coef hr ci_lower ci_upper p_value``: profile likelihood limits and
    likelihood-ratio p, penalised by Firth's method or not; then ``p_permutation p_permutation_error
    exact_lower exact_upper``: the test over relabellings of patients who agree in the other covariates (error
    0 where all were counted), and the limits that invert it. NaN where not estimable, 0 or inf where an
    interval has no limit.
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
    frame, covariates, *, method="firth", ties="breslow", conf_level=0.95, n_draws=10_000, seed=DEFAULT_SEED
):
    """Fit a Cox model by profile likelihood and by relabelling.

    Cox (1972) J R Stat Soc B; Breslow (1974) Biometrics; Efron (1977) J Am Stat Assoc; Venzon, Moolgavkar
    (1988) Appl Stat; Heinze, Schemper (2001) Biometrics.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and the covariates as numbers, one row per subject.
    covariates : sequence of str
    method : {"firth", "partial"}, default "firth"
        Likelihood penalised by Firth's method, or plain partial likelihood.
    ties : {"breslow", "efron"}, default "breslow"
    conf_level : float, default 0.95
    n_draws : int, default 10,000
        Random relabellings where they cannot all be counted; 0 for none. P and limits use the same.
    seed : int

    Returns
    -------
    CoxFit
        Estimates are NaN where the subjects at risk at the events do not differ enough to tell the
        coefficients apart and, by partial likelihood, under separation; relabelling is where no two patients
        agree in all covariates but one. It does not depend on `method` and `ties`.

    Raises
    ------
    ValueError
        Bad times or events, no covariate, a covariate that is constant or a combination of others, or an
        unknown method or ties.
    """
    check_conf_level(conf_level)
    model = CoxModel.of(frame, covariates, method=method, ties=ties)
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
    estimates = infer(*model.batch, model.fits, conf_level=conf_level, **model.options)[0]
    summary = pd.DataFrame(estimates, columns=ESTIMATES)
    summary.insert(0, "covariate", list(model.x.columns))
    relabelled = []
    for column in range(len(summary)):
        arguments = model.time, model.event, model.x.to_numpy(), column
        tested = permute_covariate(*arguments, n_draws=n_draws, seed=seed)
        limits = estimate_exact_limits(*arguments, conf_level=conf_level, n_draws=n_draws, seed=seed)
        relabelled.append((tested.p_value, tested.error, limits.lower, limits.upper))
    return summary.join(pd.DataFrame(relabelled, columns=RELABELLED))


@keeps_options
def summarize_models(
    frame, models, *, method="firth", ties="breslow", conf_level=0.95, n_draws=10_000, seed=DEFAULT_SEED
):
    """Fit several Cox models and stack their summaries.

    Parameters
    ----------
    frame, method, ties, conf_level, n_draws, seed
        As in `fit_cox`, with the same errors.
    models : dict of str to list of str
        Name and covariates of each model.

    Returns
    -------
    DataFrame
        Column ``model`` before the columns of `CoxFit.summary`.
    """
    options = {"method": method, "ties": ties, "conf_level": conf_level, "n_draws": n_draws, "seed": seed}
    fits = {name: fit_cox(frame, covariates, **options).summary for name, covariates in models.items()}
    return pd.concat(fits, names=["model"]).reset_index("model").reset_index(drop=True)


@dataclass(frozen=True)
class CoxModel:
    """One model of one trial, fitted as a batch of one."""

    x: pd.DataFrame
    time: np.ndarray
    event: np.ndarray
    options: dict  # method and ties
    fits: CohortFits

    @classmethod
    def of(cls, frame, covariates, *, method, ties):
        """Check the data; arguments and errors as of `fit_cox`."""
        time, event = check_survival(frame["time"], frame["event"])
        x = frame[list(covariates)].astype(float)
        check_estimable(x)
        _check_options(method, ties)
        fits = _fit_block(time[None], event[None], x.to_numpy()[None], method, ties, gain=SMALLEST_GAIN)
        return cls(x, time, event, {"method": method, "ties": ties}, fits)

    @property
    def batch(self):
        """Times, events and covariates as of one cohort."""
        return self.time[None], self.event[None], self.x.to_numpy()[None]

    @property
    def likelihood(self):
        """The likelihood, of one cohort."""
        return PartialLikelihood.of(*self.batch, self.options["ties"])

    @cached_property
    def separated(self):
        """Direction in which the likelihood without penalty has no maximum, or None."""
        direction = find_separation(self.x.to_numpy(), self.time, self.event)
        return None if direction is None else pd.Series(direction, self.x.columns)

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


def fit_cox_many(times, events, x, *, method="firth", ties="breslow", fixed=None):
    """Fit one Cox model to each of many cohorts.

    Newton's method on all cohorts side by side; those that have converged drop out. A stationary point with a
    well-conditioned information is the maximum, since the log-likelihood is concave; others are judged by a
    linear program. Cox (1972) J R Stat Soc B; Firth (1993) Biometrika; Heinze, Schemper (2001) Biometrics.

    Parameters
    ----------
    times, events : array_like, shape (n_cohorts, n_subjects)
        Times and boolean events; a single row serves all cohorts. A subject of time -1 without event is left
        out.
    x : array_like, shape (n_cohorts, n_subjects, n_covariates)
        Covariates, or (n_subjects, n_covariates) for all cohorts; or (n_cohorts, n_subjects, n_subjects,
        n_covariates) for covariates that change: ``x[c, i, j]`` are those of subject j when i has the event.
    method, ties
        As in `fit_cox`.
    fixed : dict of int to float, optional
        Coefficients held, by column; the penalty stays that of the whole model.

    Returns
    -------
    CohortFits

    Raises
    ------
    ValueError
        Shapes that do not fit together, numbers that are not finite, unknown method or ties.
    """
    times, events, x = _check_cohorts(times, events, x)
    _check_options(method, ties)
    n_cohorts, n = max(len(times), len(x)), times.shape[1]
    size = max(1, NUMBERS_AT_A_TIME // (n * n))
    parts = []
    for start in range(0, n_cohorts, size):
        block = _take((times, events, x), slice(start, start + size))
        parts.append(_fit_block(*block, method, ties, fixed))
    arrays = zip(*(vars(part).values() for part in parts), strict=True)
    return CohortFits(*map(np.concatenate, arrays))


def _check_cohorts(times, events, x):
    times, events, x = np.atleast_2d(times).astype(float), np.atleast_2d(events), np.asarray(x, float)
    x = x[None] if x.ndim == 2 else x
    n = times.shape[1]
    fits = times.ndim == 2 and times.shape == events.shape and x.ndim in (3, 4) and set(x.shape[1:-1]) == {n}
    if not fits or len({len(times), len(x)} - {1}) > 1:
        raise ValueError(
            f"times {times.shape}, events {events.shape} and x {x.shape} do not fit together: they must be "
            "(n_cohorts, n_subjects) twice and (n_cohorts, n_subjects, n_covariates)"
        )
    if not (np.isfinite(times).all() and np.isfinite(x).all()):
        raise ValueError("times and x must be finite numbers")
    if not np.isin(events, (0, 1)).all():
        raise ValueError("events must be true or false")
    return times, events.astype(bool), x


def _check_options(method, ties):
    check_choice(method, "method", METHODS)
    check_choice(ties, "ties", TIES)


def _take(arrays, which):
    """Some cohorts of arrays that may hold one row for all."""
    return [a if len(a) == 1 else a[which] for a in arrays]


def _fit_block(times, events, x, method, ties, fixed=None, **precision):
    firth = method == "firth"
    likelihood = PartialLikelihood.of(times, events, x, ties)
    shape = likelihood.n_cohorts, x.shape[-1]
    null = likelihood.evaluate(np.zeros(shape), firth)
    held = np.full((1, shape[1]), np.nan)
    held[0, list(fixed or {})] = list((fixed or {}).values())
    coef, state = likelihood.maximize(firth, held, **precision)
    df = likelihood.count_identified(null.information)
    estimable = df == shape[1]
    free = np.flatnonzero(np.isnan(held[0]))
    if not firth and len(free):
        data = times, events, x[..., free]
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
    times, events, x = (np.broadcast_to(a, (len(coef), *a.shape[1:]))[unsure] for a in data)
    units, values, vectors = scale[unsure], values[unsure], vectors[unsure]
    x = x / np.expand_dims(units, tuple(range(1, x.ndim - 1)))
    if x.ndim == 3:
        flat = vectors * (values < VANISHED)[:, None]
        away = np.einsum("cpk,cqk,cq->cp", flat, vectors, coef[unsure] * units)
        away /= np.maximum(np.abs(away).max(axis=1, keepdims=True), 1e-300)
        has[unsure] = ~is_separating(x, times, events, np.round(away, 6))
    for at, cohort in enumerate(unsure):
        if has[cohort]:
            has[cohort] = find_separation(x[at], times[at], events[at]) is None
    return has


def infer(times, events, x, fits, *, method, ties, conf_level):
    """Estimates, profile limits and likelihood-ratio p of fits, as in ESTIMATES; NaN where not estimable.

    Shape (n_cohorts, n_covariates, 5), of the arguments and options with which `fit_cox_many` made the fits.
    """
    keep, firth = fits.estimable, method == "firth"
    found = np.full((*fits.coef.shape, len(ESTIMATES)), np.nan)
    if keep.any():
        likelihood = PartialLikelihood.of(*_take((times, events, x), keep), ties)
        coef, best = fits.coef[keep], fits.log_likelihood[keep]
        limits = find_profile_limits(likelihood, coef, best, conf_level, firth=firth)
        without = likelihood.restrict(np.zeros(coef.shape[1]), firth, coef)
        p_value = stats.chi2.sf(np.maximum(2 * (best[:, None] - without), 0), 1)
        found[keep] = np.dstack([coef, exponentiate(coef), exponentiate(limits), p_value])
    return found


def list_alike(varies):
    """The rows in which the same columns vary, with these columns; rows in which none does are left out."""
    kinds = [columns for columns in np.unique(varies, axis=0) if columns.any()]
    return [(np.flatnonzero((varies == kind).all(axis=1)), np.flatnonzero(kind)) for kind in kinds]
