"""What a Cox model says when assumed doses and infusions, or the coding of dose, are moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.cox_many import fit_cox_many
from nkhcc_helpers.design import DOSE_CODINGS, code_covariates
from nkhcc_helpers.partial_likelihood import PartialLikelihood, exponentiate
from nkhcc_helpers.profile_limits import find_profile_limits

ESTIMATES = ["coef", "hr", "ci_lower", "ci_upper", "p_value"]
SWEEP_COLUMNS = ["group", "quantity", "value", "assumed_value", "is_assumed", "covariate", *ESTIMATES]


def sweep_assumptions(
    trial,
    endpoint,
    covariates,
    *,
    dose_coding="relative",
    factors=(0.5, 2.0),
    n_values=25,
    method="firth",
    ties="breslow",
    conf_level=0.95,
):
    """Fit a Cox model over a range of every number of the plan that the trial marks as assumed.

    Parameters
    ----------
    trial : Trial
        Its arms name their assumed numbers in ``assumed``.
    endpoint : str
        Code of the endpoint.
    covariates : sequence of {"dose", "infusions", "group", "order"}
    dose_coding : {"relative", "cumulative", "log2", "order"}, default "relative"
        As in `design.code_covariates`.
    factors : (float, float), default (0.5, 2)
        The assumed number is moved from the first to the second of these times its value.
    n_values : int, default 25
        Values of each, in geometric steps; numbers of infusions are rounded, repeated ones dropped.
    method : {"firth", "partial"}, default "firth"
    ties : {"breslow", "efron"}, default "breslow"
    conf_level : float, default 0.95

    Returns
    -------
    DataFrame
        Columns ``group quantity value assumed_value is_assumed covariate coef hr ci_lower ci_upper
        p_value``: one number moved at a time, the assumed value among its values; profile likelihood limits
        and likelihood-ratio p as in `fit_cox`. NaN where the moved design cannot estimate a covariate.
        Empty where nothing is assumed.

    Raises
    ------
    ValueError
        Unknown endpoint, covariate, coding, method or ties, or `factors` or `n_values` out of range.
    """
    check_conf_level(conf_level)
    frame = trial.survival(endpoint)
    moved = list_moves(trial.metadata, factors=factors, n_values=n_values)
    designs = [
        code_covariates(move_assumed(frame, group, quantity, value), covariates, dose_coding=dose_coding)
        for group, quantity, value, _ in moved
    ]
    keys = pd.DataFrame(moved, columns=SWEEP_COLUMNS[:4])
    keys["is_assumed"] = keys["value"] == keys["assumed_value"]
    if not designs:
        return _empty()
    return _stack(keys, frame, designs, method=method, ties=ties, conf_level=conf_level)[SWEEP_COLUMNS]


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


def sweep_codings(
    trial,
    endpoint,
    covariates,
    *,
    codings=DOSE_CODINGS,
    method="firth",
    ties="breslow",
    conf_level=0.95,
):
    """Fit a Cox model once for each coding of dose.

    Parameters
    ----------
    trial, endpoint, covariates, method, ties, conf_level
        As in `sweep_assumptions`.
    codings : sequence of {"relative", "cumulative", "log2", "order"}, default all

    Returns
    -------
    DataFrame
        Columns ``dose_coding covariate coef hr ci_lower ci_upper p_value hr_range``: one row for each coding
        and covariate. Hazard ratios are per unit, which changes with the coding; ``hr_range`` is that from
        the smallest to the largest value in the trial, which can be compared. NaN where a coding cannot be
        had (log2 of a dose of 0) or a covariate not be estimated.

    Raises
    ------
    ValueError
        Unknown endpoint, covariate, coding, method or ties.
    """
    check_conf_level(conf_level)
    frame = trial.survival(endpoint)
    keys = pd.DataFrame({"dose_coding": list(codings)})
    designs = [code_or_blank(frame, covariates, coding) for coding in codings]
    table = _stack(keys, frame, designs, method=method, ties=ties, conf_level=conf_level)
    spread = np.concatenate([np.ptp(x, axis=0) for x in designs])
    table["hr_range"] = exponentiate(table["coef"] * spread)
    return table


def list_moves(metadata, *, factors=(0.5, 2.0), n_values=25):
    """List the values that each number of the plan marked as assumed is moved to, one number at a time.

    Parameters
    ----------
    metadata : TrialMetadata
    factors, n_values
        As in `sweep_assumptions`.

    Returns
    -------
    list of (str, str, float, float)
        Group, quantity ("dose" or "infusions"), value, and the value assumed, which is among the values.

    Raises
    ------
    ValueError
        `factors` or `n_values` out of range.
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


def move_assumed(frame, group, quantity, value):
    """Return the frame with another planned ``dose`` or number of ``infusions`` of one group."""
    return frame.assign(**{quantity: frame[quantity].astype(float).mask(frame["group"] == group, value)})


def code_or_blank(frame, covariates, coding):
    """Return the design matrix; covariates are constant, so not estimable, where the coding cannot be had."""
    if coding == "log2" and (frame["dose"] <= 0).any():
        names = code_covariates(frame, covariates).columns
        return pd.DataFrame(0.0, frame.index, names)
    return code_covariates(frame, covariates, dose_coding=coding)


def _list_values(assumed, quantity, factors, n_values):
    """Values from the first to the last in order, the assumed one among them exactly."""
    values = assumed * np.geomspace(*factors, n_values)
    if quantity == "infusions":
        values = np.maximum(np.round(values), 1)
    near = np.isclose(values, assumed, rtol=1e-9, atol=0)
    return np.unique(np.append(values[~near], float(assumed)))


def _empty():
    numbers = dict.fromkeys(["value", "assumed_value", *ESTIMATES], float)
    return pd.DataFrame(columns=SWEEP_COLUMNS).astype(numbers | {"is_assumed": bool})


def _stack(keys, frame, designs, **options):
    """Fit every design; one row for each of them and each covariate, behind the columns of `keys`."""
    names = list(designs[0].columns)
    found = _fit_designs(frame, np.stack([x.to_numpy() for x in designs]), **options)
    table = keys.loc[keys.index.repeat(len(names))].reset_index(drop=True)
    table["covariate"] = names * len(designs)
    coef, lower, upper, p_value = (each.ravel() for each in found)
    columns = [coef, exponentiate(coef), exponentiate(lower), exponentiate(upper), p_value]
    return table.assign(**dict(zip(ESTIMATES, columns, strict=True)))


def _fit_designs(frame, designs, *, method, ties, conf_level):
    """Coefficients, limits and p of each design, four arrays of shape (n_designs, n_covariates)."""
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    varies = np.ptp(designs, axis=1) > 0
    result = np.full((4, *varies.shape), np.nan)
    for columns in np.unique(varies, axis=0):
        rows = np.flatnonzero((varies == columns).all(axis=1))
        if not columns.any():
            continue
        x = designs[rows][:, :, columns]
        fits = fit_cox_many(time[None], event[None], x, method=method, ties=ties)
        keep = fits.estimable
        if keep.any():
            likelihood = PartialLikelihood.of(time[None], event[None], x[keep], ties)
            found = _infer(likelihood, fits, keep, method == "firth", conf_level)
            result[np.ix_(range(4), rows[keep], np.flatnonzero(columns))] = found
    return result


def _infer(likelihood, fits, keep, is_firth, conf_level):
    """Coefficients, profile limits and likelihood-ratio p, shape (4, n_designs, n_covariates)."""
    coef, best = fits.coef[keep], fits.log_likelihood[keep]
    limits = find_profile_limits(likelihood, coef, best, conf_level, firth=is_firth)
    statistics = [
        2 * (best - likelihood.maximize(is_firth, np.where(row, 0.0, np.nan)[None], coef)[1].log_likelihood)
        for row in np.eye(coef.shape[1], dtype=bool)
    ]
    p_value = stats.chi2.sf(np.maximum(np.stack(statistics, axis=1), 0), 1)
    return np.stack([coef, limits[..., 0], limits[..., 1], p_value])
