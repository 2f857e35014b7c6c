"""Which of several Cox models the data tell apart, and what hangs on an assumed number of the plan."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_conf_level, check_survival, keeps_options
from nkhcc_helpers.cox.design import DOSE_CODINGS, DoseCoding, code_covariates, count_rank
from nkhcc_helpers.cox.fit import ESTIMATES, CoxModel, fit_cox_many, infer, list_alike
from nkhcc_helpers.cox.likelihood import exponentiate
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
    keys = pd.DataFrame(moved, columns=SWEPT[:4])
    keys["is_assumed"] = keys["value"] == keys["assumed_value"]
    if not designs:
        numbers = dict.fromkeys(["value", "assumed_value", *ESTIMATES], float)
        return pd.DataFrame(columns=SWEPT).astype(numbers | {"is_assumed": bool})
    return _stack(keys, frame, designs, method=method, ties=ties, conf_level=conf_level)[SWEPT]


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
