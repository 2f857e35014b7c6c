"""What a Cox model rests on: proportional hazards, what could be detected, each single patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level, check_survival, keeps_options
from nkhcc_helpers.cox.design import check_estimable
from nkhcc_helpers.cox.fit import CoxModel, fit_cox_many, list_alike
from nkhcc_helpers.cox.likelihood import exponentiate, standardize
from nkhcc_helpers.trial.metadata import ALL_GROUPS


def estimate_schoenfeld_residuals(frame, covariates, *, ties="efron"):
    """Estimate how the coefficients move over time; Schoenfeld (1982) Biometrika.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and the covariates as numbers, one row per subject.
    covariates : sequence of str
        As in `fit_cox`, with the same errors.
    ties : {"efron", "breslow"}, default "efron"

    Returns
    -------
    DataFrame
        Columns ``covariate time rank residual``: one row for each event and covariate, in order of time;
        ``residual`` is the covariate of the subject with the event less its mean at risk, at the maximum of
        the partial likelihood, ``rank`` that of the time among all subjects, tied ones sharing their mean.
        Empty where the partial likelihood has no maximum.
    """
    model = CoxModel.of(frame, covariates, method="partial", ties=ties)
    times, ranks, residuals, _ = _follow_events(model)
    parts = [
        pd.DataFrame({"covariate": name, "time": times, "rank": ranks, "residual": own})
        for name, own in zip(model.x, residuals.T, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


@keeps_options
def check_proportional_hazards(frame, covariates, *, ties="efron"):
    """Test whether coefficients change with the rank of time.

    Grambsch, Therneau (1994) Biometrika; in the score form of R's ``cox.zph(transform="rank")``.

    Parameters
    ----------
    frame, covariates, ties
        As in `estimate_schoenfeld_residuals`, with the same errors.

    Returns
    -------
    DataFrame
        Columns ``covariate statistic df p_value``: one row for each covariate, then ``All`` together. NaN
        where the partial likelihood has no maximum or the events cannot tell a change from none.
    """
    model = CoxModel.of(frame, covariates, method="partial", ties=ties)
    _, ranks, residuals, variances = _follow_events(model)
    p = len(model.x.columns)
    score = np.concatenate([np.zeros(p), _centre(ranks) @ residuals])
    information = _inform_about_trend(ranks, variances)
    sets = {name: [p + j] for j, name in enumerate(model.x)} | {ALL_GROUPS: list(range(p, 2 * p))}
    rows = []
    for name, added in sets.items():
        keep = [*range(p), *added]
        part = information[np.ix_(keep, keep)]
        statistic = score[keep] @ np.linalg.solve(part, score[keep]) if _is_regular(part) else np.nan
        rows.append((name, float(statistic), len(added), float(stats.chi2.sf(statistic, len(added)))))
    return pd.DataFrame(rows, columns=["covariate", "statistic", "df", "p_value"])


def estimate_detectable(frame, covariates, *, power=0.8, conf_level=0.95, ties="efron"):
    """Estimate how large an effect, or a change of it, would have to be for these events to show it.

    A slope b is found when b^2 times its information is (z of the level + z of the power)^2; large effects
    change that information, so these are guides. Schoenfeld (1981) Biometrika; Schoenfeld (1983) Biometrics.

    Parameters
    ----------
    frame, covariates, ties
        As in `estimate_schoenfeld_residuals`, with the same errors.
    power : float, default 0.8
        Chance with which the test is to find it.
    conf_level : float, default 0.95
        One less the level of the two-sided test; ValueError where this or `power` is not between 0 and 1.

    Returns
    -------
    DataFrame
        Columns ``covariate hr_detectable drift_detectable n_events``: the hazard ratio between the smallest
        and the largest value of the covariate, above 1, that the test of that slope would find, the other
        covariates in the model; and the factor by which it would have to change from the first event to the
        last for `check_proportional_hazards` to find it. NaN where the events carry no information, the
        latter also where the partial likelihood has no maximum.
    """
    check_conf_level(conf_level)
    if not 0 < power < 1:
        raise ValueError(f"power must lie between 0 and 1; got {power!r}")
    needed = stats.norm.isf((1 - conf_level) / 2) + stats.norm.ppf(power)
    model = CoxModel.of(frame, covariates, method="partial", ties=ties)
    p = len(model.x.columns)
    variance = np.full(p, np.nan)
    if model.df == p:
        variance = np.diag(np.linalg.inv(model.likelihood.evaluate(np.zeros((1, p))).information[0]))
    _, ranks, _, variances = _follow_events(model)
    span = np.ptp(ranks) if len(ranks) else np.nan
    drift = span * needed * np.sqrt(_variance_of_trends(ranks, variances))
    reach = np.ptp(model.x.to_numpy(), axis=0)
    return pd.DataFrame(
        {
            "covariate": list(model.x),
            "hr_detectable": exponentiate(reach * needed * np.sqrt(variance)),
            "drift_detectable": exponentiate(reach * drift),
            "n_events": int(model.event.sum()),
        }
    )


def leave_one_out(frame, covariates, *, method="firth", ties="breslow"):
    """Fit a Cox model without each subject in turn.

    Parameters
    ----------
    frame, covariates, method, ties
        As in `fit_cox`, with the same errors; ``USUBJID`` and ``group`` of the frame are taken over.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group covariate coef hr hr_all changes_sign``: one row for each subject left out
        (column ``subject``, the index, where there is no ``USUBJID``) and covariate. ``hr_all`` is the hazard
        ratio of all subjects; ``changes_sign`` says whether the coefficient has the other sign without the
        subject. NaN where not estimable; a covariate that is then constant leaves the others as without it.
    """
    covariates = list(covariates)
    time, event = check_survival(frame["time"], frame["event"])
    design = frame[covariates].astype(float)
    check_estimable(design)
    x = design.to_numpy()
    left_out = np.vstack([np.zeros(len(x), dtype=bool), np.eye(len(x), dtype=bool)])
    times, events = np.where(left_out, -1.0, time), event & ~left_out
    varies = np.array([np.ptp(x[~row], axis=0) > 0 for row in left_out])
    coef = np.full(varies.shape, np.nan)
    for rows, columns in list_alike(varies):
        fits = fit_cox_many(times[rows], events[rows], x[:, columns], method=method, ties=ties)
        coef[np.ix_(rows, columns)] = fits.coef
    return _tabulate(frame, covariates, coef)


def _tabulate(frame, covariates, coef):
    """One row for each subject and covariate; the first row of `coef` is of all subjects."""
    subject = "USUBJID" if "USUBJID" in frame else "subject"
    who = frame if subject in frame else frame.assign(subject=frame.index)
    who = who[[subject, *(["group"] if "group" in frame else [])]]
    return (
        who.iloc[np.repeat(range(len(frame)), len(covariates))]
        .assign(
            covariate=covariates * len(frame),
            coef=coef[1:].ravel(),
            hr=exponentiate(coef[1:].ravel()),
            hr_all=np.tile(exponentiate(coef[0]), len(frame)),
            changes_sign=(coef[1:] * coef[0] < 0).ravel(),
        )
        .reset_index(drop=True)
    )


def _follow_events(model):
    """Times, ranks, residuals and variances of the events in order of time; none without a maximum."""
    likelihood, time = model.likelihood, model.time
    averages = likelihood.average(np.nan_to_num(model.fits.coef))
    # Without a finite maximum there are no residuals to judge.
    rows = np.argsort(time[likelihood.subjects], kind="stable") if model.fits.estimable[0] else np.arange(0)
    subjects = likelihood.subjects[rows]
    residuals = (likelihood.own - averages.mean)[0].T[rows]
    variances = np.moveaxis(averages.variance[0], -1, 0)[rows]
    return time[subjects], stats.rankdata(time)[subjects], residuals, variances


def _centre(ranks):
    return ranks - ranks.mean() if len(ranks) else ranks


def _inform_about_trend(ranks, variances):
    """Information on the coefficients and on their slopes against the rank of time, shape (2 p, 2 p)."""
    trend = _centre(ranks)
    blocks = [np.einsum("e,epq->pq", trend**power, variances) for power in (0, 1, 2)]
    return np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])


def _is_regular(information):
    return np.linalg.matrix_rank(standardize(information)[0], hermitian=True) == len(information)


def _variance_of_trends(ranks, variances):
    """Variance of each slope against the rank of time, every coefficient free, the other slopes 0."""
    information = _inform_about_trend(ranks, variances)
    p = len(information) // 2
    kept = ([*range(p), p + j] for j in range(p))
    parts = [information[np.ix_(keep, keep)] for keep in kept]
    return np.array([np.linalg.inv(part)[-1, -1] if _is_regular(part) else np.nan for part in parts])
