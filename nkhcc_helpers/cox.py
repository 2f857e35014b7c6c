"""Cox regression on dose and infusion frequency: the fit, model comparison, proportional hazards."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.cox_fit import SUMMARY_COLUMNS, CoxFit, CoxModel, fit_cox
from nkhcc_helpers.cox_many import CohortFits, fit_cox_many

__all__ = ["CohortFits", "CoxFit", "fit_cox", "fit_cox_many"]


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
        fit_cox(frame, covariates, conf_level=conf_level, method="partial", ties="efron").summary.assign(
            model=name
        )
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
        fit = fit_cox(frame, covariates, method="partial", ties="efron")
        rows.append((name, fit.df, fit.log_likelihood, fit.lr_statistic, fit.p_lr))
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
    times = frame["time"].to_numpy()[likelihood.subjects]
    parts = [
        pd.DataFrame({"covariate": name, "time": times, "rank": ranks, "residual": residuals[:, j]})
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


def _evaluate_at_maximum(frame, covariates):
    model = CoxModel.of(frame, covariates, method="partial", ties="efron")
    if not model.is_estimable:
        model = CoxModel.of(frame.assign(event=False), covariates, method="partial", ties="efron")
    at = model.likelihood.average(np.nan_to_num(model.coef[None]))
    return model.likelihood, (model.likelihood.own - at.mean)[0].T, np.moveaxis(at.variance[0], -1, 0)
