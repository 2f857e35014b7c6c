"""Which of several Cox models of one trial the data tell apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_survival, keeps_options
from nkhcc_helpers.cox.design import count_rank
from nkhcc_helpers.cox.fit import CoxModel, fit_cox_many
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED

TESTED = ["df", "lr_statistic", "p_value", "p_permutation", "p_permutation_error"]
LACK = ["lack_df", "lack_statistic", "lack_p_value", "lack_p_permutation", "lack_p_permutation_error"]
COLUMNS = ["model", "df", "log_likelihood", *TESTED[1:], *LACK, "aicc"]
NEGLIGIBLE = 1e-9  # of a direction whose largest entry is 1
NUMBERS_AT_A_TIME = 4_000_000  # drawn at once


@keeps_options
def compare_models(frame, models, *, method="firth", ties="breslow", n_draws=2_000, seed=DEFAULT_SEED):
    """Compare Cox models, each with no covariates and each with the largest.

    Parameters
    ----------
    frame, method, ties
        As in `fit_cox`, with the same errors.
    models : dict of str to list of str
        Name and covariates of each model; the last is the one whose span should hold the others.
    n_draws : int, default 2,000
        Trials drawn for each permuted P; 0 for none.
    seed : int

    Returns
    -------
    DataFrame
        A row for each ``model``. ``df log_likelihood lr_statistic p_value p_permutation
        p_permutation_error``: the likelihood-ratio test against no covariates, from the chi-square
        distribution and over random relabellings of all patients. The same with ``lack_`` before: the test of
        lack of fit against the last model; NaN where the last model does not hold the span, or has nothing
        more. ``aicc``: corrected Akaike criterion, NaN where events do not exceed `df` by two.

    Notes
    -----
    Firth's penalty depends on the columns of a model (Heinze, Schemper 2001 Biometrics). So lack of fit is
    tested within the last model: its columns are changed, with the same span, into those of the smaller one
    and some more, whose coefficients are held at 0. Its permuted P is a parametric bootstrap under the
    smaller model by Firth's method, close but not exact (Davison, Hinkley 1997, Bootstrap Methods and their
    Application). The criterion (Hurvich, Tsai 1989 Biometrika) counts events and takes the likelihood without
    penalty, or its least upper bound: a penalised one changes with the units of the covariates.
    """
    laid_out = {
        name: CoxModel.of(frame, covariates, method=method, ties=ties) for name, covariates in models.items()
    }
    largest, rows = laid_out[[*laid_out][-1]], []
    for name, model in laid_out.items():
        draws = _Draws(model, n_draws, seed)
        plain = CoxModel.of(frame, models[name], method="partial", ties=ties)
        rows.append({"model": name, **_describe_fit(plain)})
        rows[-1] |= dict(zip(TESTED, _test_against_nothing(model, draws), strict=True))
        rows[-1] |= dict(zip(LACK, _test_lack_of_fit(model, largest, draws), strict=True))
    return pd.DataFrame(rows)[COLUMNS].astype(dict.fromkeys(COLUMNS[2:], float))


def list_separated(frame, models):
    """List the models whose likelihood without penalty has no maximum, and along which covariates.

    Parameters
    ----------
    frame, models
        As in `compare_models`, with the same errors.

    Returns
    -------
    dict of str to list of str
        Name of the model to its covariates.
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
        self.trial, self.options = (model.time, model.event), model.options
        self.times, self.events = model.time[order], model.event[order]
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
    """As in TESTED."""
    permuted = np.nan, np.nan
    if draws.n_draws and np.isfinite(model.lr_statistic):
        x = model.x.to_numpy()
        drawn = draws.fit(x, draws.leave(np.zeros(len(x)))).lr_statistic
        permuted = draws.calculate_p(model.lr_statistic, drawn)
    return model.df, model.lr_statistic, model.p_lr, *permuted


def _test_lack_of_fit(model, largest, draws):
    """As in LACK."""
    df, smaller = largest.df - model.df, model.x.to_numpy()
    x, permuted = _reparametrise(smaller, largest.x.to_numpy()), (np.nan, np.nan)
    if x is None or df <= 0:
        return df, np.nan, np.nan, *permuted
    held = dict.fromkeys(range(smaller.shape[1], x.shape[1]), 0.0)
    order = np.lexsort((~model.event, model.time))[None]
    statistic = float(_compare_fits(draws, x, order, held)[0])
    if draws.n_draws and np.isfinite(statistic):
        ties = model.options["ties"]
        coef = fit_cox_many(model.time, model.event, smaller, method="firth", ties=ties).coef[0]
        permuted = draws.calculate_p(statistic, _compare_fits(draws, x, draws.leave(smaller @ coef), held))
    return df, statistic, float(stats.chi2.sf(statistic, df)), *permuted


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


def _describe_fit(plain):
    """The likelihood without penalty at its maximum, and its criterion."""
    free = int(plain.event.sum()) - plain.df - 1
    aicc = np.nan
    if free > 0 and plain.df:
        aicc = 2 * (plain.df - plain.log_likelihood) + 2 * plain.df * (plain.df + 1) / free
    return {"log_likelihood": plain.log_likelihood, "aicc": aicc}


def draw_relabellings(time, event, linear, n_draws, *, seed=DEFAULT_SEED):
    """Draw who leaves at each place of the observed times in order, shape (n_draws, n_subjects).

    Times and which of them are events stay, events before censorings of the same time. Whoever has an event
    is drawn from those left in proportion to exp(`linear`), whoever is censored
    evenly. Plackett (1975) Appl Stat; Davison, Hinkley (1997) Bootstrap Methods and their Application.
    """
    time, event = check_survival(time, event)
    linear = np.asarray(linear, dtype=float)
    n = len(time)
    rng = np.random.default_rng(seed)
    leaving, size = np.empty((n_draws, n), dtype=np.intp), max(1, NUMBERS_AT_A_TIME // n)
    for start in range(0, n_draws, size):
        rows = np.arange(min(size, n_draws - start))
        # The smallest of exponential times with these hazards is each patient's in proportion to the hazard.
        race = np.log(rng.exponential(size=(len(rows), n))) - linear
        even = rng.random((len(rows), n))
        for place, is_event in enumerate(event[np.lexsort((~event, time))]):
            who = (race if is_event else even).argmin(axis=1)
            race[rows, who] = even[rows, who] = np.inf
            leaving[start + rows, place] = who
    return leaving
