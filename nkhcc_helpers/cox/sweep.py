"""What hangs on a number of the plan that had to be assumed, or on how dose is coded."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_conf_level, keeps_options
from nkhcc_helpers.cox.design import DOSE_CODINGS, DoseCoding, code_covariates
from nkhcc_helpers.cox.fit import ESTIMATES, fit_cox_many, infer, list_alike
from nkhcc_helpers.cox.likelihood import exponentiate

COLUMNS = ["group", "quantity", "value", "assumed_value", "is_assumed", "covariate", *ESTIMATES]


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
    conf_level=0.95,
):
    """Fit a Cox model over a range of every number of the plan that the trial marks as assumed.

    Parameters
    ----------
    trial : Trial
        Its arms name their assumed numbers in ``assumed``.
    endpoint, covariates, dose_coding
        As in `code_trial`.
    factors : (float, float), default (0.5, 2)
        The assumed number is moved from the first to the second of these times its value.
    n_values : int, default 25
        Values of each, in geometric steps; numbers of infusions are rounded, repeated ones dropped.
    method, ties, conf_level
        As in `fit_cox`.

    Returns
    -------
    DataFrame
        Columns ``group quantity value assumed_value is_assumed covariate coef hr ci_lower ci_upper
        p_value``: one number moved at a time, the assumed value among its values; the rest as in `fit_cox`.
        NaN where the moved design cannot estimate a covariate. Empty where nothing is assumed.

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
    keys = pd.DataFrame(moved, columns=COLUMNS[:4])
    keys["is_assumed"] = keys["value"] == keys["assumed_value"]
    if not designs:
        numbers = dict.fromkeys(["value", "assumed_value", *ESTIMATES], float)
        return pd.DataFrame(columns=COLUMNS).astype(numbers | {"is_assumed": bool})
    return _stack(keys, frame, designs, method=method, ties=ties, conf_level=conf_level)[COLUMNS]


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
    trial, endpoint, covariates, *, codings=DOSE_CODINGS, method="firth", ties="breslow", conf_level=0.95
):
    """Fit a Cox model once for each coding of dose.

    Parameters
    ----------
    trial, endpoint, covariates, method, ties, conf_level
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
    frame = trial.survival(endpoint)
    keys = pd.DataFrame({"dose_coding": list(codings)})
    designs = [code_or_blank(frame, covariates, coding) for coding in codings]
    table = _stack(keys, frame, designs, method=method, ties=ties, conf_level=conf_level)
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


def _fit_designs(frame, designs, *, method, ties, conf_level):
    """Estimates of each design as in ESTIMATES, shape (n_designs, n_covariates, 5)."""
    time, event = frame["time"].to_numpy(float)[None], frame["event"].to_numpy(bool)[None]
    varies = np.ptp(designs, axis=1) > 0
    result = np.full((*varies.shape, len(ESTIMATES)), np.nan)
    for rows, columns in list_alike(varies):
        x = designs[rows][:, :, columns]
        fits = fit_cox_many(time, event, x, method=method, ties=ties)
        found = infer(time, event, x, fits, method=method, ties=ties, conf_level=conf_level)
        result[np.ix_(rows, columns)] = found
    return result
