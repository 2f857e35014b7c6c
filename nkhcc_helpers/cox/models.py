"""Several Cox models: of one trial, which of them the data tell apart; one model of thousands of cohorts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import Result, check_groups, check_positions, check_survival, keeps_options
from nkhcc_helpers.cox.design import (
    FOLLOWED,
    Subjects,
    code_trial,
    count_rank,
    list_contrasts,
    list_design_points,
)
from nkhcc_helpers.cox.fit import (
    ESTIMATES,
    NEGLIGIBLE,
    RELABELLED,
    CohortFits,
    CoxModel,
    check_options,
    fit_block,
    fit_cox,
    take,
)
from nkhcc_helpers.cox.likelihood import lay_out_risk, merge_each
from nkhcc_helpers.cox.risk_sets import MOST_PAIRS, MOST_PATIENTS
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, share_extreme

TESTED = ["df", "lr_statistic", "p_value", "p_permutation", "p_permutation_error"]
LACK = ["lack_df", "lack_statistic", "lack_p_value", "lack_p_permutation", "lack_p_permutation_error"]
COLUMNS = ["model", "df", "log_likelihood", *TESTED[1:], *LACK, "aicc"]
NUMBERS_AT_A_TIME = 4_000_000  # drawn at once
MOST_DRAWN = 1_000  # patients whose models are fitted to drawn trials


@dataclass(frozen=True)
class Design:
    """What the groups of a trial can separate."""

    points: pd.DataFrame  # as of `list_design_points`
    rank: int  # with the intercept: how many numbers the design points can answer for
    correlation: pd.DataFrame  # of the covariates, over patients
    variance_inflation: pd.Series  # of each coefficient, over that with uncorrelated covariates
    events_per_covariate: float
    contrasts: pd.DataFrame  # as of `list_contrasts`
    separation: pd.Series | None  # direction in which the partial likelihood has no maximum


def describe_design(
    trial,
    covariates=("dose", "infusions"),
    *,
    endpoint="",
    dose_coding="relative",
    reference="",
    strata="",
):
    """Describe what the design points of a trial can answer, before any fit.

    Parameters
    ----------
    trial, covariates, endpoint, dose_coding, reference, strata
        As in `code_trial`, with the same errors, and one that names covariates that are constant or follow
        from others, and what to drop.

    Returns
    -------
    Design
        Of a trial with one group only, rank 1, and NaN for what slopes would be needed for.
    """
    options = {"dose_coding": dose_coding, "reference": reference, "strata": strata}
    frame = code_trial(trial, endpoint, covariates, **options)
    data = Subjects.of(frame, frame.columns.drop([*FOLLOWED, strata], errors="ignore"), strata)
    x, points, rank = data.x, list_design_points(frame, list(data.x)), count_rank(data.x)
    inflation = (
        np.linalg.inv(np.atleast_2d(np.corrcoef(x, rowvar=False))) if rank else np.full((1, 1), np.nan)
    )
    return Design(
        points=points,
        rank=1 + rank,
        correlation=x.corr(),
        variance_inflation=pd.Series(np.diag(inflation), x.columns[: len(inflation)]),
        events_per_covariate=float(data.event.sum() / rank) if rank else np.nan,
        contrasts=list_contrasts(points),
        separation=data.separated,
    )


def fit_cox_many(
    times, events, x, *, method="firth", ties="breslow", fixed=None, time_enter=None, strata=None
):
    """Fit one Cox model to each of many cohorts.

    Newton's method on all cohorts side by side; those that have converged drop out. A stationary point with a
    well-conditioned information is the maximum, since the log-likelihood is concave; others are judged by a
    linear program. Cox (1972) J R Stat Soc B; Firth (1993) Biometrika; Heinze, Schemper (2001) Biometrics.

    Parameters
    ----------
    times, events : array_like, shape (n_cohorts, n_subjects)
        Times and boolean events; a single row serves all cohorts. A subject of time -1 without event is left
        out. ValueError where shapes do not fit together, or a number is not finite.
    x : array_like, shape (n_cohorts, n_subjects, n_covariates)
        Covariates, or (n_subjects, n_covariates) for all cohorts; or (n_cohorts, n_subjects, n_subjects,
        n_covariates) for covariates that change: ``x[c, i, j]`` are those of subject j when i has the event.
    method, ties
        As in `fit_cox`.
    fixed : dict of int to float, optional
        Coefficients held, by column; the penalty stays that of the whole model.
    time_enter : array_like, shape (n_cohorts, n_subjects) or (n_subjects,), optional
        Subjects are at risk after these times; 0, the start, where absent.
    strata : array_like, shape (n_subjects,), optional
        Subjects are compared within the same value only.

    Returns
    -------
    CohortFits
    """
    times, events, x = _check_cohorts(times, events, x)
    check_options(method, ties)
    times, enters = _lay_out_risk(times, time_enter, strata)
    n_cohorts, n = max(len(times), len(x)), times.shape[1]
    width = n if n * n <= MOST_PAIRS or x.ndim == 4 else min(n, (1 + x.shape[-1]) ** 2)
    size = max(1, NUMBERS_AT_A_TIME // (n * width))
    parts = []
    for start in range(0, n_cohorts, size):
        *block, own = take((times, events, x, enters), slice(start, start + size))
        parts.append(fit_block(*block, method, ties, fixed, own))
    arrays = zip(*(vars(part).values() for part in parts), strict=True)
    return CohortFits(*map(np.concatenate, arrays))


def _check_cohorts(times, events, x):
    times, events, x = np.atleast_2d(times).astype(float), np.atleast_2d(events), np.asarray(x, float)
    x = x[None] if x.ndim == 2 else x
    n = times.shape[1]
    fits = times.ndim == 2 and times.shape == events.shape and x.ndim in (3, 4) and set(x.shape[1:-1]) == {n}
    if not fits or len({len(times), len(x)} - {1}) > 1:
        raise ValueError(
            f"times {times.shape}, events {events.shape} and x {x.shape} do not fit together: they must be "
            "(n_cohorts, n_subjects) twice and (n_cohorts, n_subjects, n_covariates)"
        )
    if not (np.isfinite(times).all() and np.isfinite(x).all()):
        raise ValueError("times and x must be finite numbers")
    if not np.isin(events, (0, 1)).all():
        raise ValueError("events must be true or false")
    return times, events.astype(bool), x


def _lay_out_risk(times, time_enter, strata):
    """As `lay_out_risk`, after a check; near-equal times of a cohort become one."""
    if time_enter is None:
        merged, enters = merge_each(times), None
    else:
        times, enters = np.broadcast_arrays(times, np.atleast_2d(np.asarray(time_enter, dtype=float)))
        merged, enters = np.moveaxis(merge_each(np.stack([times, enters], axis=1)), 1, 0)
        bad = ~np.isfinite(enters) | (enters < 0) | ((enters >= merged) & (enters > 0) & (times >= 0))
        check_positions(bad.ravel(), "time_enter", "must be at least 0 and before the time", enters.ravel())
    numbers = None if strata is None else check_groups(strata, times.shape[1], "strata")[1]
    return lay_out_risk(merged, enters, numbers)


@keeps_options
def summarize_models(
    frame,
    models,
    *,
    method="firth",
    ties="breslow",
    strata="",
    conf_level=0.95,
    n_draws=10_000,
    seed=DEFAULT_SEED,
):
    """Fit several Cox models and stack their summaries.

    Parameters
    ----------
    frame, method, ties, strata, conf_level, n_draws, seed
        As in `fit_cox`, with the same errors.
    models : dict of str to list of str
        Name and covariates of each model.

    Returns
    -------
    DataFrame
        Column ``model`` before the columns of `CoxFit.summary`; no rows without models. Option ``too_many``
        is the most patients that limits by permutation are drawn for, where there are more, else 0.
    """
    options = {"method": method, "ties": ties, "strata": strata, "conf_level": conf_level}
    options |= {"n_draws": n_draws, "seed": seed}
    fits = {name: fit_cox(frame, covariates, **options).summary for name, covariates in models.items()}
    if not fits:
        return pd.DataFrame(columns=["model", "covariate", *ESTIMATES, *RELABELLED])
    table = pd.concat(fits, names=["model"]).reset_index("model").reset_index(drop=True)
    return Result.of(table, too_many=MOST_PATIENTS if len(frame) > MOST_PATIENTS else 0)


@keeps_options
def compare_models(
    frame, models, *, method="firth", ties="breslow", strata="", n_draws=2_000, seed=DEFAULT_SEED
):
    """Compare Cox models, each with no covariates and each with the largest.

    Parameters
    ----------
    frame, method, ties, strata
        As in `fit_cox`, with the same errors.
    models : dict of str to list of str
        Name and covariates of each model; the last is the one whose span should hold the others.
    n_draws : int, default 2,000
        Trials drawn for each permuted P; 0 for none, as of more than `MOST_DRAWN` patients, which option
        ``too_many`` then is.
    seed : int

    Returns
    -------
    DataFrame
        A row for each ``model``, none without models. ``df log_likelihood lr_statistic p_value p_permutation
        p_permutation_error``: the likelihood-ratio test against no covariates, from the chi-square
        distribution and over random relabellings of all patients, within strata. The same with ``lack_``
        before: the test of lack of fit against the last model; NaN where that does not hold the span, or has
        nothing more. ``aicc``: corrected Akaike criterion, NaN where events do not exceed `df` by two.

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
        name: CoxModel.of(frame, covariates, method=method, ties=ties, strata=strata)
        for name, covariates in models.items()
    }
    largest, rows = laid_out[[*laid_out][-1]] if laid_out else None, []
    too_many = MOST_DRAWN if len(frame) > MOST_DRAWN else 0
    n_draws = 0 if too_many else n_draws
    for name, model in laid_out.items():
        draws = _Draws(model, n_draws, seed)
        plain = CoxModel.of(frame, models[name], method="partial", ties=ties, strata=strata)
        rows.append({"model": name, **_describe_fit(plain)})
        rows[-1] |= dict(zip(TESTED, _test_against_nothing(model, draws), strict=True))
        rows[-1] |= dict(zip(LACK, _test_lack_of_fit(model, largest, draws), strict=True))
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[2:], float))
    return Result.of(table, too_many=too_many)


def list_separated(frame, models, *, strata=""):
    """List the models whose likelihood without penalty has no maximum, and along which covariates.

    Parameters
    ----------
    frame, models, strata
        As in `compare_models`, with the same errors.

    Returns
    -------
    dict of str to list of str
        Name of the model to its covariates.
    """
    found = {}
    for name, covariates in models.items():
        direction = Subjects.of(frame, covariates, strata).separated
        if direction is not None:
            found[name] = direction.index[direction.abs() > NEGLIGIBLE].tolist()
    return found


class _Draws:
    """Statistics of trials drawn with the times and events of a model's trial."""

    def __init__(self, model, n_draws, seed):
        self.risk, self.event, self.options = model.risk, model.event, model.options
        self.time, self.enter = (part if part is None else part[0] for part in self.risk)
        # Where patients are exchanged whole, all of a stratum could be there from its start.
        self.risk_of_whole = lay_out_risk(model.time[None], strata=model.strata)
        self.order = np.lexsort((~self.event, self.time))
        self.n_draws, self.seed = n_draws, seed

    def fit(self, x, leaving, fixed=None, *, whole=False):
        """Fits to patients who leave in these orders, each keeping the entry, or exchanged whole."""
        enters = None if self.enter is None else self.enter[self.order if whole else leaving]
        times, events = self.time[self.order], self.event[self.order]
        return fit_cox_many(times, events, x[leaving], fixed=fixed, time_enter=enters, **self.options)

    def leave(self, linear, *, whole=False):
        """Orders in which patients with these log hazards leave."""
        times, enters = self.risk_of_whole if whole else self.risk
        enter = None if enters is None else enters[0]
        return draw_relabellings(times[0], self.event, linear, self.n_draws, seed=self.seed, enter=enter)

    def calculate_p(self, statistic, drawn):
        """P-value of a statistic among those drawn, and its Monte-Carlo standard error."""
        p_value, error = share_extreme((drawn >= statistic * (1 - TOLERANCE)).sum(), self.n_draws)
        # Every draw as extreme leaves an error too: of one draw.
        return float(p_value), float(max(error, 1 / (1 + self.n_draws)))


def _test_against_nothing(model, draws):
    """As in TESTED."""
    permuted = np.nan, np.nan
    if draws.n_draws and np.isfinite(model.lr_statistic):
        x = model.x.to_numpy()
        drawn = draws.fit(x, draws.leave(np.zeros(len(x)), whole=True), whole=True).lr_statistic
        permuted = draws.calculate_p(model.lr_statistic, drawn)
    return model.df, model.lr_statistic, model.p_lr, *permuted


def _test_lack_of_fit(model, largest, draws):
    """As in LACK."""
    df, smaller = largest.df - model.df, model.x.to_numpy()
    x, permuted = _reparametrise(smaller, largest.x.to_numpy()), (np.nan, np.nan)
    if x is None or df <= 0:
        return df, np.nan, np.nan, *permuted
    held = dict.fromkeys(range(smaller.shape[1], x.shape[1]), 0.0)
    statistic = float(_compare_fits(draws, x, draws.order[None], held)[0])
    if draws.n_draws and np.isfinite(statistic):
        ties = model.options["ties"]
        firth = {"method": "firth", "ties": ties, "time_enter": draws.enter}
        coef = fit_cox_many(draws.time, model.event, smaller, **firth).coef[0]
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


def draw_relabellings(time, event, linear, n_draws, *, seed=DEFAULT_SEED, enter=None):
    """Draw who leaves at each place of the observed times in order, shape (n_draws, n_subjects).

    Times and which of them are events stay, events before censorings of the same time. Whoever has an event
    is drawn from those left in proportion to exp(`linear`), whoever is censored evenly; in either case from
    those who have entered, by `enter` as of `likelihood.lay_out_risk`. Plackett (1975) Appl Stat; Davison,
    Hinkley (1997) Bootstrap Methods and their Application.
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
        for place, at in enumerate(np.lexsort((~event, time))):
            left = race if event[at] else even
            who = (left if enter is None else np.where(enter < time[at], left, np.inf)).argmin(axis=1)
            race[rows, who] = even[rows, who] = np.inf
            leaving[start + rows, place] = who
    return leaving
