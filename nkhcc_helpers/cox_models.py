"""Several Cox models of one trial: their estimates, and which of them the data tell apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.allocations import TOLERANCE
from nkhcc_helpers.cox_fit import CoxModel, fit_cox
from nkhcc_helpers.cox_many import fit_cox_many
from nkhcc_helpers.design import count_rank
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.relabelling import draw_relabellings

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
