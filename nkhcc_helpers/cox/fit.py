"""Cox regression of one trial: estimates, profile likelihood limits, likelihood-ratio tests."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import elementwise

from nkhcc_helpers.checks import check_choice, check_conf_level, check_survival
from nkhcc_helpers.cox.design import check_estimable
from nkhcc_helpers.cox.exact_limits import estimate_exact_limits
from nkhcc_helpers.cox.likelihood import TIES, PartialLikelihood, exponentiate
from nkhcc_helpers.cox.many import METHODS, find_separation
from nkhcc_helpers.cox.relabelling import permute_covariate
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

MOST_STEPS = 40  # outwards, each half as long again
TOLERANCE = 1e-9  # of a limit, times the span of the covariate


def find_profile_limits(likelihood, coef, log_likelihood, conf_level, *, firth=False):
    """Find where the profile log-likelihood falls below the bound of a likelihood-ratio test.

    Parameters
    ----------
    likelihood : PartialLikelihood
    coef : ndarray, shape (n_cohorts, n_covariates)
        Where each likelihood is largest.
    log_likelihood : ndarray, shape (n_cohorts,)
        There.
    conf_level : float
    firth : bool, default False

    Returns
    -------
    ndarray, shape (n_cohorts, n_covariates, 2)
        Lower and upper limits; infinite where the profile never falls so far.

    References
    ----------
    Venzon, Moolgavkar (1988) Appl Stat; Heinze, Schemper (2001) Biometrics; Chandrupatla (1997) Adv Eng
    Softw, for the root.
    """
    n_cohorts, n_covariates = coef.shape
    target = np.broadcast_to(log_likelihood, n_cohorts) - stats.chi2.ppf(conf_level, 1) / 2
    shape = n_cohorts, n_covariates, 2
    cohort, column, side = (a.ravel() for a in np.indices(shape))
    span = np.ptp(likelihood.covariates, axis=-1)
    span = np.broadcast_to(span.max(axis=1) if span.ndim == 3 else span, coef.shape)[cohort, column]
    others = coef[cohort]

    def excess(value, at):
        """How far the profile is above the target, for the limits numbered `at`; values over the span."""
        at = at.astype(int)
        held = np.full((len(at), n_covariates), np.nan)
        held[np.arange(len(at)), column[at]] = value / span[at]
        # What the other coefficients were at the last value is close to what they are at this one.
        others[at], state = likelihood.take(cohort[at]).maximize(firth, held, others[at])
        return state.log_likelihood - target[cohort[at]]

    step = 2.0 * side - 1
    near = coef[cohort, column] * span
    far = near + step
    inside = np.arange(len(near))
    for _ in range(MOST_STEPS):
        inside = inside[excess(far[inside], inside) >= 0]
        if not len(inside):
            break
        near[inside] = far[inside]
        step[inside] *= 1.5
        far[inside] += step[inside]
    found = np.setdiff1d(np.arange(len(near)), inside)
    limits = np.where(side == 1, np.inf, -np.inf)
    if len(found):
        root = elementwise.find_root(
            excess, (near[found], far[found]), args=(found,), tolerances={"xatol": TOLERANCE}
        )
        limits[found] = root.x / span[found]
    return limits.reshape(shape)


ESTIMATES = ["coef", "hr", "ci_lower", "ci_upper", "p_value"]
RELABELLED = ["p_permutation", "p_permutation_error", "exact_lower", "exact_upper"]
SUMMARY_COLUMNS = ["covariate", *ESTIMATES, *RELABELLED]


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model.

    Attributes
    ----------
    summary : DataFrame
        Columns ``covariate coef hr ci_lower ci_upper p_value``: profile likelihood limits and
        likelihood-ratio p for each coefficient, penalised where `method` is "firth"; then ``p_permutation
        p_permutation_error exact_lower exact_upper``: the test over relabellings of patients who agree in
        the other covariates (error 0 where all were counted), and the limits that invert it. NaN where not
        estimable, 0 or inf where an interval has no limit.
    log_likelihood : float
        At the maximum, or its least upper bound where no maximum exists; penalised where `method` is "firth".
    lr_statistic, df, p_lr : float
        Likelihood-ratio test against no covariates; `df` counts the coefficients that can be told apart.
    n, n_events : int
    separated : Series or None
        Direction in which the likelihood without penalty has no maximum.
    method, ties : str
    """

    summary: pd.DataFrame
    log_likelihood: float
    lr_statistic: float
    df: int
    p_lr: float
    n: int
    n_events: int
    separated: pd.Series | None
    method: str
    ties: str


def fit_cox(
    frame,
    covariates,
    *,
    method="firth",
    ties="breslow",
    conf_level=0.95,
    n_draws=10_000,
    seed=DEFAULT_SEED,
):
    """Fit a Cox model.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and the covariates as numbers, one row per subject.
    covariates : sequence of str
    method : {"firth", "partial"}, default "firth"
        Likelihood penalised by Firth's method, through firthmodels, or plain partial likelihood, through
        lifelines.
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
        agree in all covariates but one.

    Raises
    ------
    ValueError
        Bad times or events, no covariate, a covariate that is constant or a combination of others, or an
        unknown method or ties.

    Notes
    -----
    firthmodels has Breslow's ties only and lifelines Efron's; the other two combinations, the last digits of
    all, and every limit and test are found with `partial_likelihood`. Relabelling does not depend on `method`
    and `ties`.

    References
    ----------
    Cox (1972) J R Stat Soc B; Breslow (1974) Biometrics; Efron (1977) J Am Stat Assoc; Venzon, Moolgavkar
    (1988) Appl Stat; Heinze, Schemper (2001) Biometrics.
    """
    check_conf_level(conf_level)
    model = CoxModel.of(frame, covariates, method=method, ties=ties)
    return CoxFit(
        summary=_summarize(model, conf_level, n_draws, seed),
        log_likelihood=model.log_likelihood,
        lr_statistic=model.lr_statistic,
        df=model.df,
        p_lr=float(stats.chi2.sf(model.lr_statistic, model.df)) if model.df else float("nan"),
        n=len(frame),
        n_events=len(model.likelihood.subjects),
        separated=model.separated,
        method=method,
        ties=ties,
    )


@dataclass(frozen=True)
class CoxModel:
    """The likelihood of one model for one trial.

    Attributes
    ----------
    x : DataFrame of float, shape (n_subjects, n_covariates)
    time, event : ndarray, shape (n_subjects,)
    likelihood : PartialLikelihood
        Of one cohort.
    is_firth : bool
    ties : str
    """

    x: pd.DataFrame
    time: np.ndarray
    event: np.ndarray
    likelihood: PartialLikelihood
    is_firth: bool
    ties: str

    @classmethod
    def of(cls, frame, covariates, *, method, ties):
        """Check the data and lay out the risk sets; arguments and errors as of `fit_cox`."""
        check_choice(method, "method", METHODS)
        check_choice(ties, "ties", TIES)
        time, event = check_survival(frame["time"], frame["event"])
        x = frame[list(covariates)].astype(float)
        check_estimable(x)
        likelihood = PartialLikelihood.of(time[None], event[None], x.to_numpy()[None], ties)
        return cls(x, time, event, likelihood, method == "firth", ties)

    @cached_property
    def null(self):
        """The likelihood without effects."""
        return self.likelihood.evaluate(np.zeros((1, self.x.shape[1])), self.is_firth)

    @cached_property
    def df(self):
        """How many coefficients the events can tell apart."""
        return int(self.likelihood.count_identified(self.null.information)[0])

    @cached_property
    def separated(self):
        """Direction in which the likelihood without penalty has no maximum, or None."""
        direction = find_separation(self.x.to_numpy(), self.time, self.event)
        return None if direction is None else pd.Series(direction, self.x.columns)

    @cached_property
    def is_estimable(self):
        """Whether a maximum exists."""
        identified = bool(self.likelihood.is_identified(self.null.information)[0])
        return identified and (self.is_firth or self.separated is None)

    @cached_property
    def _maximum(self):
        start = self._fit_by_library() if self.is_estimable else None
        return self.likelihood.maximize(self.is_firth, start=start)

    @property
    def coef(self):
        """Coefficients, shape (n_covariates,); NaN where not estimable."""
        return self._maximum[0][0] if self.is_estimable else np.full(self.x.shape[1], np.nan)

    @property
    def log_likelihood(self):
        """At the maximum, or the least upper bound; NaN where the penalty does not exist."""
        value = float(self._maximum[1].log_likelihood[0])
        return value if np.isfinite(value) else float("nan")

    @property
    def lr_statistic(self):
        """Likelihood-ratio statistic against no covariates."""
        return 2 * (self.log_likelihood - float(self.null.log_likelihood[0])) if self.df else float("nan")

    def _fit_by_library(self):
        """The estimate of the library that has this method and ties; None where there is none."""
        # Both work best with covariates of like size.
        span = np.ptp(self.x.to_numpy(), axis=0)
        if self.is_firth and self.ties == "breslow":
            return _divide(_fit_firthmodels((self.x / span).to_numpy(), self.time, self.event), span)
        if not self.is_firth and self.ties == "efron":
            return _divide(_fit_lifelines(self.x / span, self.time, self.event), span)
        return None


def _divide(coef, span):
    return None if coef is None else (coef / span)[None]


def _fit_firthmodels(x, time, event):
    from firthmodels import FirthCoxPH

    outcome = np.array(list(zip(event, time, strict=True)), dtype=[("event", bool), ("time", float)])
    with warnings.catch_warnings():
        # Where it stops short of the maximum, the last digits are found from there.
        warnings.simplefilter("ignore")
        found = FirthCoxPH(backend="numpy").fit(x, outcome).coef_
    return found if np.isfinite(found).all() else None


def _fit_lifelines(x, time, event):
    from lifelines import CoxPHFitter

    logging.getLogger("lifelines").setLevel(logging.ERROR)
    frame = x.assign(time=time, event=event)
    return CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12}).params_.to_numpy()


def _summarize(model, conf_level, n_draws, seed):
    estimates = np.full((model.x.shape[1], len(ESTIMATES)), np.nan)
    if model.is_estimable:
        estimates = _estimate(model, conf_level)
    relabelled = [
        _relabel(model, column, conf_level=conf_level, n_draws=n_draws, seed=seed)
        for column in range(model.x.shape[1])
    ]
    summary = pd.DataFrame(np.column_stack([estimates, relabelled]), columns=SUMMARY_COLUMNS[1:])
    summary.insert(0, "covariate", list(model.x.columns))
    return summary


def _estimate(model, conf_level):
    coef, best = model.coef, model.log_likelihood
    limits = find_profile_limits(model.likelihood, coef[None], best, conf_level, firth=model.is_firth)[0]
    without = np.where(np.eye(len(coef)), 0.0, np.nan)
    restricted = model.likelihood.maximize(model.is_firth, without)[1].log_likelihood
    p_value = stats.chi2.sf(np.maximum(2 * (best - restricted), 0), 1)
    return np.column_stack([coef, exponentiate(coef), exponentiate(limits), p_value])


def _relabel(model, column, *, conf_level, **drawing):
    arguments = model.time, model.event, model.x.to_numpy(), column
    tested = permute_covariate(*arguments, **drawing)
    limits = estimate_exact_limits(*arguments, conf_level=conf_level, **drawing)
    return tested.p_value, tested.error, limits.lower, limits.upper
