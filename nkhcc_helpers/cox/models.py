"""Several Cox models of one trial: their estimates, and which of them the data tell apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level
from nkhcc_helpers.cox.design import DOSE_CODINGS, code_covariates, count_rank
from nkhcc_helpers.cox.fit import CoxModel, find_profile_limits, fit_cox
from nkhcc_helpers.cox.likelihood import PartialLikelihood, exponentiate
from nkhcc_helpers.cox.many import fit_cox_many
from nkhcc_helpers.cox.relabelling import draw_relabellings
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

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


COMPARISON_COLUMNS = [
    "model",
    "df",
    "log_likelihood",
    "lr_statistic",
    "p_value",
    "p_permutation",
    "p_permutation_error",
    "lack_df",
    "lack_statistic",
    "lack_p_value",
    "lack_p_permutation",
    "lack_p_permutation_error",
    "aicc",
]
NEGLIGIBLE = 1e-9  # of a direction whose largest entry is 1


def summarize_models(
    frame,
    models,
    *,
    method="firth",
    ties="breslow",
    conf_level=0.95,
    n_draws=10_000,
    seed=DEFAULT_SEED,
):
    """Fit several Cox models and stack their summaries.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and every covariate as numbers.
    models : dict of str to list of str
        Name and covariates of each model.
    method, ties, conf_level, n_draws, seed
        As in `cox_fit.fit_cox`.

    Returns
    -------
    DataFrame
        Column ``model`` before the columns of `CoxFit.summary`.

    Raises
    ------
    ValueError
        As `cox_fit.fit_cox`.
    """
    options = {
        "method": method,
        "ties": ties,
        "conf_level": conf_level,
        "n_draws": n_draws,
        "seed": seed,
    }
    fits = {name: fit_cox(frame, covariates, **options) for name, covariates in models.items()}
    table = pd.concat([fit.summary.assign(model=name) for name, fit in fits.items()], ignore_index=True)
    return table[["model", *table.columns.drop("model")]]


def compare_models(frame, models, *, method="firth", ties="breslow", n_draws=2_000, seed=DEFAULT_SEED):
    """Compare Cox models, each with no covariates and each with the largest.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and every covariate as numbers.
    models : dict of str to list of str
        Name and covariates of each model; the last is the one whose span should hold the others.
    method : {"firth", "partial"}, default "firth"
    ties : {"breslow", "efron"}, default "breslow"
    n_draws : int, default 2,000
        Trials drawn for each permuted P; 0 for none.
    seed : int

    Returns
    -------
    DataFrame
        A row for each model. ``df log_likelihood lr_statistic p_value p_permutation p_permutation_error``:
        the likelihood-ratio test against no covariates, from the chi-square distribution and over random
        relabellings of all patients. The same with ``lack_`` before: the test of lack of fit against the last
        model; NaN where the last model does not hold the span, or has nothing more. ``aicc``: corrected
        Akaike criterion, NaN where events do not exceed `df` by two.

    Raises
    ------
    ValueError
        As `cox_fit.fit_cox`.

    Notes
    -----
    Firth's penalty depends on which columns a model has. So the lack of fit is tested within the last model:
    its columns are changed, without changing its span, into those of the smaller model and some more, and the
    coefficients of these are held at 0. For its permuted P, trials are drawn under the smaller model with
    Firth's estimates, which are finite: a parametric bootstrap, close but not exact.

    The criterion counts events as its sample size and takes the likelihood without penalty at its maximum
    (under separation its least upper bound), whatever `method`: penalised likelihoods change with the units
    of the covariates.

    References
    ----------
    Hurvich, Tsai (1989) Biometrika; Heinze, Schemper (2001) Biometrics; Davison, Hinkley (1997) Bootstrap
    Methods and their Application.
    """
    rows = []
    laid_out = {
        name: CoxModel.of(frame, covariates, method=method, ties=ties) for name, covariates in models.items()
    }
    largest = list(laid_out.values())[-1]
    for name, model in laid_out.items():
        draws = _Draws(model, n_draws, seed)
        rows.append({"model": name} | _test_against_nothing(model, draws))
        rows[-1] |= _test_lack_of_fit(model, largest, draws)
        rows[-1] |= _describe_fit(frame, models[name], model, ties)
    table = pd.DataFrame(rows)
    return table[COMPARISON_COLUMNS].astype(dict.fromkeys(COMPARISON_COLUMNS[2:], float))


def list_separated(frame, models):
    """List the models whose likelihood without penalty has no maximum, and along which covariates.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time event`` and every covariate as numbers.
    models : dict of str to list of str

    Returns
    -------
    dict of str to list of str
        Name of the model, and the covariates along which it is separated.
    """
    found = {}
    for name, covariates in models.items():
        direction = CoxModel.of(frame, covariates, method="partial", ties="breslow").separated
        if direction is not None:
            found[name] = direction.index[direction.abs() > NEGLIGIBLE].tolist()
    return found


class _Draws:
    """Statistics of trials drawn with the times and events of a model's trial."""

    def __init__(self, model, n_draws, seed):
        order = np.lexsort((~model.event, model.time))
        self.trial = model.time, model.event
        self.times, self.events = model.time[order], model.event[order]
        self.options = {"method": "firth" if model.is_firth else "partial", "ties": model.ties}
        self.n_draws, self.seed = n_draws, seed

    def fit(self, x, leaving, fixed=None):
        """Fits to the covariates of patients who leave in these orders."""
        return fit_cox_many(self.times, self.events, x[leaving], fixed=fixed, **self.options)

    def leave(self, linear):
        """Orders in which patients with these log hazards leave."""
        return draw_relabellings(*self.trial, linear, self.n_draws, seed=self.seed)

    def calculate_p(self, statistic, drawn):
        """P-value of a statistic among those drawn, and its Monte-Carlo standard error."""
        p_value = (1 + (drawn >= statistic * (1 - TOLERANCE)).sum()) / (1 + self.n_draws)
        # Every draw as extreme leaves an error too: of one draw.
        error = max(np.sqrt(p_value * (1 - p_value) / self.n_draws), 1 / (1 + self.n_draws))
        return float(p_value), float(error)


def _test_against_nothing(model, draws):
    statistic, p_value, error = model.lr_statistic, np.nan, np.nan
    if draws.n_draws and np.isfinite(statistic):
        x = model.x.to_numpy()
        drawn = draws.fit(x, draws.leave(np.zeros(len(x)))).lr_statistic
        p_value, error = draws.calculate_p(statistic, drawn)
    return {
        "df": model.df,
        "lr_statistic": statistic,
        "p_value": float(stats.chi2.sf(statistic, model.df)) if model.df else np.nan,
        "p_permutation": p_value,
        "p_permutation_error": error,
    }


def _test_lack_of_fit(model, largest, draws):
    df, x = largest.df - model.df, _reparametrise(model.x.to_numpy(), largest.x.to_numpy())
    found = {"lack_df": df, "lack_statistic": np.nan, "lack_p_value": np.nan}
    found |= {"lack_p_permutation": np.nan, "lack_p_permutation_error": np.nan}
    if x is None or df <= 0:
        return found
    held = dict.fromkeys(range(model.x.shape[1], x.shape[1]), 0.0)
    order = np.lexsort((~model.event, model.time))[None]
    statistic = float(_compare_fits(draws, x, order, held)[0])
    found |= {"lack_statistic": statistic, "lack_p_value": float(stats.chi2.sf(statistic, df))}
    if draws.n_draws and np.isfinite(statistic):
        smaller = model.x.to_numpy()
        coef = fit_cox_many(model.time, model.event, smaller, method="firth", ties=model.ties).coef[0]
        drawn = _compare_fits(draws, x, draws.leave(smaller @ coef), held)
        p_value, error = draws.calculate_p(statistic, drawn)
        found |= {"lack_p_permutation": p_value, "lack_p_permutation_error": error}
    return found


def _compare_fits(draws, x, leaving, held):
    larger, smaller = draws.fit(x, leaving), draws.fit(x, leaving, held)
    return 2 * np.maximum(larger.log_likelihood - smaller.log_likelihood, 0)


def _reparametrise(smaller, larger):
    """Columns that span what `larger` spans, those of `smaller` first; None where it does not hold them."""
    kept, wanted = smaller, count_rank(larger)
    for column in larger.T[:, :, None]:
        if count_rank(np.hstack([kept, column])) > kept.shape[1]:
            kept = np.hstack([kept, column])
    return kept if smaller.shape[1] < kept.shape[1] == wanted else None


def _describe_fit(frame, covariates, model, ties):
    """The likelihood without penalty at its maximum, and its criterion."""
    plain = CoxModel.of(frame, covariates, method="partial", ties=ties) if model.is_firth else model
    free = int(model.event.sum()) - model.df - 1
    aicc = np.nan
    if free > 0 and model.df:
        aicc = 2 * (model.df - plain.log_likelihood) + 2 * model.df * (model.df + 1) / free
    return {"log_likelihood": plain.log_likelihood, "aicc": aicc}
