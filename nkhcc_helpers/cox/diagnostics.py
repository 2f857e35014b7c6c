"""What a Cox model rests on: proportional hazards, the events, each single patient, each assumed number."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level, keeps_options
from nkhcc_helpers.cox.design import DOSE_CODINGS, DoseCoding, Subjects, code_covariates, follow_subjects
from nkhcc_helpers.cox.fit import ESTIMATES, CoxModel, infer
from nkhcc_helpers.cox.likelihood import exponentiate, list_alike, standardize
from nkhcc_helpers.cox.models import MOST_DRAWN, fit_cox_many
from nkhcc_helpers.trial.metadata import ALL_GROUPS


def estimate_schoenfeld_residuals(frame, covariates, *, ties="efron", strata=""):
    """Estimate how the coefficients move over time; Schoenfeld (1982) Biometrika.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and the covariates as numbers, one row per subject.
    covariates : sequence of str
        As in `fit_cox`, with the same errors.
    ties : {"efron", "breslow"}, default "efron"
    strata : str, optional
        As in `fit_cox`.

    Returns
    -------
    DataFrame
        Columns ``covariate time rank residual``: one row for each event and covariate, in order of time;
        ``residual`` is the covariate of the subject with the event less its mean at risk, at the maximum of
        the partial likelihood, ``rank`` that of the time among all subjects, tied ones sharing their mean.
        Empty where the partial likelihood has no maximum.
    """
    model = CoxModel.of(frame, covariates, method="partial", ties=ties, strata=strata)
    times, ranks, residuals, _ = _follow_events(model)
    parts = [
        pd.DataFrame({"covariate": name, "time": times, "rank": ranks, "residual": own})
        for name, own in zip(model.x, residuals.T, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


@keeps_options
def check_proportional_hazards(frame, covariates, *, ties="efron", strata=""):
    """Test whether coefficients change with the rank of time.

    Grambsch, Therneau (1994) Biometrika; in the score form of R's ``cox.zph(transform="rank")``.

    Parameters
    ----------
    frame, covariates, ties, strata
        As in `estimate_schoenfeld_residuals`, with the same errors.

    Returns
    -------
    DataFrame
        Columns ``covariate statistic df p_value``: one row for each covariate, then ``All`` together. NaN
        where the partial likelihood has no maximum or the events cannot tell a change from none.
    """
    model = CoxModel.of(frame, covariates, method="partial", ties=ties, strata=strata)
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


def estimate_detectable(frame, covariates, *, power=0.8, conf_level=0.95, ties="efron", strata=""):
    """Estimate how large an effect, or a change of it, would have to be for these events to show it.

    A slope b is found when b^2 times its information is (z of the level + z of the power)^2; large effects
    change that information, so these are guides. Schoenfeld (1981) Biometrika; Schoenfeld (1983) Biometrics.

    Parameters
    ----------
    frame, covariates, ties, strata
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
    model = CoxModel.of(frame, covariates, method="partial", ties=ties, strata=strata)
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


def leave_one_out(frame, covariates, *, method="firth", ties="breslow", strata=""):
    """Fit a Cox model without each subject in turn.

    Parameters
    ----------
    frame, covariates, method, ties, strata
        As in `fit_cox`, with the same errors; ``USUBJID`` and ``group`` of the frame are taken over.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group covariate coef hr hr_all changes_sign``: one row for each subject left out
        (column ``subject``, the index, where there is no ``USUBJID``) and covariate. ``hr_all`` is the hazard
        ratio of all subjects; ``changes_sign`` says whether the coefficient has the other sign without the
        subject. NaN where not estimable; a covariate that is then constant leaves the others as without it.
        Of more than `MOST_DRAWN` subjects there are no rows: without one of so many, no estimate moves far.
    """
    data = Subjects.of(frame, covariates, strata)
    if len(data.x) > MOST_DRAWN:
        return _tabulate(frame.iloc[:0], list(data.x), np.full((1, len(data.x.columns)), np.nan))
    x, covariates = data.x.to_numpy(), list(data.x)
    left_out = np.vstack([np.zeros(len(x), dtype=bool), np.eye(len(x), dtype=bool)])
    times, events = np.where(left_out, -1.0, data.time), data.event & ~left_out
    options = {"method": method, "ties": ties, "time_enter": data.enter, "strata": data.strata}
    varies = np.array([np.ptp(x[~row], axis=0) > 0 for row in left_out])
    coef = np.full(varies.shape, np.nan)
    for rows, columns in list_alike(varies):
        fits = fit_cox_many(times[rows], events[rows], x[:, columns], **options)
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


SWEPT = ["group", "quantity", "value", "assumed_value", "is_assumed", "covariate", *ESTIMATES]


def sweep_assumptions(
    trial,
    endpoint,
    covariates,
    *,
    dose_coding: DoseCoding = "relative",
    factors=(0.5, 2.0),
    n_values=25,
    method="firth",
    ties="breslow",
    strata="",
    conf_level=0.95,
):
    """Fit a Cox model over a range of every number of the plan that the trial marks as assumed.

    Parameters
    ----------
    trial : Trial
        Its arms name their assumed numbers in ``assumed``.
    endpoint, covariates, dose_coding, strata
        As in `code_trial`, with the same errors.
    factors : (float, float), default (0.5, 2)
        The assumed number is moved from the first to the second of these times its value; above 0, the
        smaller first, or ValueError.
    n_values : int, default 25
        Values of each, at least one, in geometric steps; numbers of infusions are rounded, repeated ones
        dropped.
    method, ties, conf_level
        As in `fit_cox`, with the same errors.

    Returns
    -------
    DataFrame
        Columns ``group quantity value assumed_value is_assumed covariate coef hr ci_lower ci_upper
        p_value``: one number moved at a time, the assumed value among its values; the rest as in `fit_cox`.
        NaN where the moved design cannot estimate a covariate. Empty where nothing is assumed.
    """
    check_conf_level(conf_level)
    frame = follow_subjects(trial, endpoint, strata)
    there = set(frame["group"])
    moved = list_moves(trial.metadata, factors=factors, n_values=n_values)
    moved = [each for each in moved if each[0] in there]
    designs = [
        code_covariates(move_assumed(frame, group, quantity, value), covariates, dose_coding=dose_coding)
        for group, quantity, value, _ in moved
    ]
    keys = pd.DataFrame(moved, columns=SWEPT[:4])
    keys["is_assumed"] = keys["value"] == keys["assumed_value"]
    if not designs:
        numbers = dict.fromkeys(["value", "assumed_value", *ESTIMATES], float)
        return pd.DataFrame(columns=SWEPT).astype(numbers | {"is_assumed": bool})
    options = {"method": method, "ties": ties, "strata": strata, "conf_level": conf_level}
    return _stack(keys, frame, designs, **options)[SWEPT]


def summarize_sweep(swept):
    """Summarize what hangs on the assumed numbers.

    Parameters
    ----------
    swept : DataFrame
        As of `sweep_assumptions`.

    Returns
    -------
    DataFrame
        Columns ``group quantity covariate both_directions verdict_changes``: whether the hazard ratio is
        above 1 for some values and below for others, and whether its interval leaves out 1 for some only.
    """
    keys = ["group", "quantity", "covariate"]
    known = swept.dropna(subset=["hr"])
    leaves_out = (known["ci_lower"] > 1) | (known["ci_upper"] < 1)
    grouped = known.assign(above=known["hr"] > 1, leaves_out=leaves_out).groupby(keys, sort=False)
    return pd.DataFrame(
        {
            "both_directions": grouped["above"].min() != grouped["above"].max(),
            "verdict_changes": grouped["leaves_out"].min() != grouped["leaves_out"].max(),
        }
    ).reset_index()


@keeps_options
def sweep_codings(
    trial,
    endpoint,
    covariates,
    *,
    codings=DOSE_CODINGS,
    method="firth",
    ties="breslow",
    strata="",
    conf_level=0.95,
):
    """Fit a Cox model once for each coding of dose.

    Parameters
    ----------
    trial, endpoint, covariates, method, ties, strata, conf_level
        As in `sweep_assumptions`, with the same errors.
    codings : sequence of {"relative", "cumulative", "log2", "order"}, default all

    Returns
    -------
    DataFrame
        Columns ``dose_coding covariate coef hr ci_lower ci_upper p_value hr_range``: one row for each coding
        and covariate. Hazard ratios are per unit, which changes with the coding; ``hr_range`` is that from
        the smallest to the largest value in the trial, which can be compared. NaN where a coding cannot be
        had (log2 of a dose of 0) or a covariate not be estimated.
    """
    check_conf_level(conf_level)
    frame = follow_subjects(trial, endpoint, strata)
    keys = pd.DataFrame({"dose_coding": list(codings)})
    designs = [code_or_blank(frame, covariates, coding) for coding in codings]
    options = {"method": method, "ties": ties, "strata": strata, "conf_level": conf_level}
    table = _stack(keys, frame, designs, **options)
    spread = np.concatenate([np.ptp(x, axis=0) for x in designs])
    table["hr_range"] = exponentiate(table["coef"] * spread)
    return table


def list_moves(metadata, *, factors=(0.5, 2.0), n_values=25):
    """The values that each assumed number of the plan is moved to, one number at a time.

    Group, quantity ("dose" or "infusions"), value, and the value assumed, which is among the values.
    """
    if not 0 < factors[0] < factors[1] < np.inf:
        raise ValueError(f"factors must be two numbers above 0, the smaller first; got {factors!r}")
    if n_values < 1:
        raise ValueError(f"n_values must be at least 1; got {n_values!r}")
    return [
        (arm.code, quantity, value, getattr(arm, quantity))
        for arm in metadata.arms
        for quantity in arm.assumed
        for value in _list_values(getattr(arm, quantity), quantity, factors, n_values)
    ]


def _list_values(assumed, quantity, factors, n_values):
    """Values from the first to the last in order, the assumed one among them exactly."""
    values = assumed * np.geomspace(*factors, n_values)
    if quantity == "infusions":
        values = np.maximum(np.round(values), 1)
    near = np.isclose(values, assumed, rtol=1e-9, atol=0)
    return np.unique(np.append(values[~near], float(assumed)))


def move_assumed(frame, group, quantity, value):
    """The frame with another planned ``dose`` or number of ``infusions`` of one group."""
    return frame.assign(**{quantity: frame[quantity].astype(float).mask(frame["group"] == group, value)})


def code_or_blank(frame, covariates, coding: DoseCoding):
    """The design matrix; covariates are constant, so not estimable, where the coding cannot be had."""
    if coding == "log2" and (frame["dose"] <= 0).any():
        return code_covariates(frame, covariates) * 0.0
    return code_covariates(frame, covariates, dose_coding=coding)


def _stack(keys, frame, designs, **options):
    """Fit every design; one row for each of them and each covariate, behind the columns of `keys`."""
    names = list(designs[0].columns)
    found = _fit_designs(frame, np.stack([x.to_numpy() for x in designs]), **options)
    table = keys.loc[keys.index.repeat(len(names))].reset_index(drop=True)
    table["covariate"] = names * len(designs)
    return table.join(pd.DataFrame(found.reshape(-1, len(ESTIMATES)), columns=ESTIMATES))


def _fit_designs(frame, designs, *, method, ties, conf_level, strata=""):
    """Estimates of each design as in ESTIMATES, shape (n_designs, n_covariates, 5)."""
    data = Subjects.of(frame, None, strata)
    (times, enters), events = data.risk, data.event[None]
    varies = np.ptp(designs, axis=1) > 0
    result = np.full((*varies.shape, len(ESTIMATES)), np.nan)
    for rows, columns in list_alike(varies):
        x = designs[rows][:, :, columns]
        fits = fit_cox_many(times, events, x, method=method, ties=ties, time_enter=enters)
        options = {"method": method, "ties": ties, "conf_level": conf_level, "enters": enters}
        found = infer(times, events, x, fits, **options)
        result[np.ix_(rows, columns)] = found
    return result
