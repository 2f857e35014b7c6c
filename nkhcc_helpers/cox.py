"""Cox regression on dose and infusion frequency: the fit, model comparison, proportional hazards."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from scipy import optimize, stats

from nkhcc_helpers.checks import check_survival
from nkhcc_helpers.design import find_unusable
from nkhcc_helpers.partial_likelihood import PartialLikelihood, find_separation

SUMMARY_COLUMNS = ["covariate", "coef", "hr", "ci_lower", "ci_upper", "p_value"]


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model.

    Attributes
    ----------
    summary : DataFrame
        Columns ``covariate coef hr ci_lower ci_upper p_value``: profile likelihood limits and
        likelihood-ratio p for each coefficient; NaN where not estimable.
    log_likelihood : float
        At the maximum, or its least upper bound where no maximum exists.
    lr_statistic, df, p_lr : float
        Likelihood-ratio test against no covariates; `df` counts the coefficients that can be told apart.
    n, n_events : int
    separated : Series or None
        Direction in which the likelihood has no maximum.
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
    method: str = "partial"
    ties: str = "efron"


def fit_cox(frame, covariates, *, conf_level=0.95):
    """Fit a Cox model by partial likelihood (Efron's ties), through lifelines.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and the covariates as numbers, one row per subject.
    covariates : sequence of str
    conf_level : float, default 0.95

    Returns
    -------
    CoxFit
        Limits by inverting the profile likelihood-ratio test, 0 or inf where one side has none. The summary
        is NaN under separation, where the likelihood is its least upper bound, and where the subjects at
        risk at the events do not differ enough to tell the coefficients apart.

    Raises
    ------
    ValueError
        Bad times or events, no covariate, or a covariate that is constant or a combination of others.

    References
    ----------
    Cox (1972) J R Stat Soc B; Efron (1977) J Am Stat Assoc; Venzon, Moolgavkar (1988) Appl Stat.
    """
    covariates = list(covariates)
    model = _find_maximum(frame, covariates)
    if model.exists:
        summary = _summarize(model, covariates, conf_level)
    else:
        summary = pd.DataFrame({"covariate": covariates}).reindex(columns=SUMMARY_COLUMNS)
        summary = summary.astype(dict.fromkeys(SUMMARY_COLUMNS[1:], float))
    return CoxFit(
        summary=summary,
        log_likelihood=model.bound,
        lr_statistic=model.lr_statistic,
        df=model.df,
        p_lr=model.p_lr,
        n=len(frame),
        n_events=len(model.likelihood.times),
        separated=None if model.direction is None else pd.Series(model.direction, covariates),
    )


def summarize_models(frame, models, *, conf_level=0.95):
    """Fit several Cox models and stack their summaries.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and every covariate as numbers.
    models : dict of str to list of str
        Name and covariates of each model.
    conf_level : float, default 0.95

    Returns
    -------
    DataFrame
        Column ``model`` before the columns of `CoxFit.summary`.

    Raises
    ------
    ValueError
        As `fit_cox`.
    """
    parts = [
        fit_cox(frame, covariates, conf_level=conf_level).summary.assign(model=name)
        for name, covariates in models.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["model", *SUMMARY_COLUMNS]]


def compare_models(frame, models):
    """Compare Cox models by likelihood ratio, each with no covariates and the smaller with the larger.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and every covariate as numbers.
    models : dict of str to list of str
        Name and covariates of each model, smallest first; the last should hold the span of the others.

    Returns
    -------
    DataFrame
        Columns ``model df log_likelihood lr_statistic p_value lack_df lack_statistic lack_p_value``: the
        test against no covariates, then the test of lack of fit against the last model.

    Raises
    ------
    ValueError
        As `fit_cox`.
    """
    rows = []
    for name, covariates in models.items():
        model = _find_maximum(frame, list(covariates))
        rows.append((name, model.df, model.bound, model.lr_statistic, model.p_lr))
    columns = ["model", "df", "log_likelihood", "lr_statistic", "p_value"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))
    table["lack_df"] = table["df"].iloc[-1] - table["df"]
    difference = 2 * (table["log_likelihood"].iloc[-1] - table["log_likelihood"])
    testable = table["lack_df"] > 0
    table["lack_statistic"] = difference.clip(lower=0).where(testable)
    table["lack_p_value"] = stats.chi2.sf(table["lack_statistic"], table["lack_df"].where(testable))
    return table


def estimate_schoenfeld_residuals(frame, covariates):
    """Estimate how the coefficients move over time.

    Parameters
    ----------
    frame, covariates
        As in `fit_cox`.

    Returns
    -------
    DataFrame
        Columns ``covariate time rank residual``: one row for each event and covariate; ``residual`` is the
        Schoenfeld residual (covariate of the subject with the event less its mean at risk), ``rank`` that
        of the time among all subjects, tied ones sharing their mean.

    Raises
    ------
    ValueError
        As `fit_cox`.

    References
    ----------
    Schoenfeld (1982) Biometrika.
    """
    covariates = list(covariates)
    likelihood, residuals, _ = _evaluate_at_maximum(frame, covariates)
    ranks = stats.rankdata(frame["time"])[likelihood.subjects]
    parts = [
        pd.DataFrame(
            {"covariate": name, "time": likelihood.times, "rank": ranks, "residual": residuals[:, j]}
        )
        for j, name in enumerate(covariates)
    ]
    return pd.concat(parts, ignore_index=True)


def check_proportional_hazards(frame, covariates):
    """Test whether coefficients change with the rank of time.

    Parameters
    ----------
    frame, covariates
        As in `fit_cox`.

    Returns
    -------
    DataFrame
        Columns ``covariate statistic df p_value``: one row for each covariate, then ``All`` together.

    Raises
    ------
    ValueError
        As `fit_cox`.

    References
    ----------
    Grambsch, Therneau (1994) Biometrika; in the score form of R's ``cox.zph(transform="rank")``.
    """
    covariates = list(covariates)
    likelihood, residuals, variances = _evaluate_at_maximum(frame, covariates)
    trend = stats.rankdata(frame["time"])[likelihood.subjects]
    trend = trend - trend.mean() if len(trend) else trend
    score = np.concatenate([np.zeros(len(covariates)), trend @ residuals])
    blocks = [np.einsum("e,epq->pq", trend**power, variances) for power in (0, 1, 2)]
    information = np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])
    p = len(covariates)
    sets = {name: [p + j] for j, name in enumerate(covariates)} | {"All": list(range(p, 2 * p))}
    rows = []
    for name, added in sets.items():
        keep = [*range(p), *added]
        part = information[np.ix_(keep, keep)]
        estimable = len(trend) and np.linalg.matrix_rank(part) == len(keep)
        statistic = score[keep] @ np.linalg.solve(part, score[keep]) if estimable else np.nan
        rows.append((name, float(statistic), len(added), float(stats.chi2.sf(statistic, len(added)))))
    return pd.DataFrame(rows, columns=["covariate", "statistic", "df", "p_value"])


@dataclass(frozen=True)
class _Maximum:
    """Where the partial likelihood is largest; without a maximum, `bound` is its least upper bound."""

    likelihood: PartialLikelihood
    coef: np.ndarray | None
    null: float
    bound: float
    df: int
    direction: np.ndarray | None

    @property
    def exists(self):
        return self.coef is not None

    @property
    def lr_statistic(self):
        return 2 * (self.bound - self.null) if self.df else float("nan")

    @property
    def p_lr(self):
        return float(stats.chi2.sf(self.lr_statistic, self.df)) if self.df else float("nan")


def _find_maximum(frame, covariates):
    time, event = check_survival(frame["time"], frame["event"])
    x = frame[covariates].astype(float)
    unusable = find_unusable(x)
    if unusable or not covariates:
        reasons = "; ".join(f"{name} {why}" for name, why in unusable.items()) or "no covariate given"
        raise ValueError(f"the model cannot be estimated: {reasons}. Drop {', '.join(unusable) or 'nothing'}")
    likelihood = PartialLikelihood.of(x.to_numpy(), time, event)
    null, _, variances = likelihood.evaluate(np.zeros(len(covariates)))
    df = int(np.linalg.matrix_rank(variances.sum(axis=0), hermitian=True))
    direction = find_separation(x.to_numpy(), time, event)
    exists = direction is None and df == len(covariates)
    coef = _fit_lifelines(x, time, event) if exists else None
    return _Maximum(likelihood, coef, null, likelihood.maximize()[1], df, direction)


def _fit_lifelines(x, time, event):
    logging.getLogger("lifelines").setLevel(logging.ERROR)
    frame = x.assign(time=time, event=event)
    fitter = CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12})
    return fitter.params_.to_numpy()


def _summarize(model, covariates, conf_level):
    likelihood, coef, bound = model.likelihood, model.coef, model.bound
    rows = []
    cut = stats.chi2.ppf(conf_level, 1) / 2
    for j, name in enumerate(covariates):
        lower, upper = (_profile_limit(likelihood, j, coef[j], side, bound - cut) for side in (-1, 1))
        without = likelihood.maximize({j: 0.0})[1]
        p_value = stats.chi2.sf(max(2 * (bound - without), 0), 1)
        rows.append((name, coef[j], np.exp(coef[j]), np.exp(lower), np.exp(upper), p_value))
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def _profile_limit(likelihood, column, estimate, side, target):
    """Where the profile log-likelihood falls to `target` on one side; infinite where it never does."""

    def excess(value):
        return likelihood.maximize({column: value})[1] - target

    step = 1 / max(np.ptp(likelihood.covariates[:, column]), 1e-12)
    near = estimate
    for _ in range(40):
        far = near + side * step
        if excess(far) < 0:
            return optimize.brentq(excess, *sorted((near, far)), xtol=1e-10)
        near, step = far, 1.5 * step
    return side * np.inf


def _evaluate_at_maximum(frame, covariates):
    model = _find_maximum(frame, covariates)
    if model.exists:
        return model.likelihood, *model.likelihood.evaluate(model.coef)[1:]
    # Without a finite maximum there are no residuals to judge.
    x = model.likelihood.covariates
    nobody = PartialLikelihood.of(x, np.zeros(len(x)), np.zeros(len(x), dtype=bool))
    return nobody, *nobody.evaluate(np.zeros(x.shape[1]))[1:]
