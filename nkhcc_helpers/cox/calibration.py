"""How far to trust the tests and intervals of Cox models at given sizes: attained size and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from nkhcc_helpers.checks import Result, check_censoring, check_covariates, keeps_options
from nkhcc_helpers.cox.design import check_estimable
from nkhcc_helpers.cox.likelihood import PartialLikelihood, lay_out_risk
from nkhcc_helpers.cox.models import fit_cox_many
from nkhcc_helpers.cox.relabelling import MOST_LISTED_EACH, StratifiedScore
from nkhcc_helpers.cox.risk_sets import MOST_PATIENTS
from nkhcc_helpers.parallel import Count, simulate_blocks
from nkhcc_helpers.survival.exact import TOLERANCE
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, shuffle
from nkhcc_helpers.trial.metadata import ALL_GROUPS

BLOCK = 250  # trials a process takes at a time
TESTS = ("wald", "likelihood ratio", "firth wald", "firth", "permuted")
GLOBAL_TESTS = ("likelihood ratio", "firth", "permuted")
COLUMNS = ["model", "covariate", "test", "rejected", "rejected_error", "coverage", "coverage_error"]
COLUMNS += ["not_estimable"]
MOST_SIMULATED = 60_000  # patients in all trials of one trial's sizes; of large trials there are fewer
FEW_DRAWS = 499  # relabellings behind each simulated interval, where they cannot be listed


@keeps_options
def attained_in_trial(
    frame, models, estimates, *, alpha=0.05, strata="", n_trials=2_000, seed=DEFAULT_SEED, jobs=1, watch=None
):
    """Simulate trials of the sizes, plans and censoring of one trial: how often is each answer wrong?

    Parameters
    ----------
    frame : DataFrame
        Columns ``group time event`` and every covariate as numbers, alike within a group. Simulated patients
        are all followed from the start.
    models : dict of str to list of str
        Name and covariates of each model; ValueError where the design cannot estimate one.
    estimates : DataFrame
        Columns ``model covariate coef``, as `summarize_models` returns them.
    alpha : float, default 0.05
        Nominal level of the tests, between 0 and 1 or ValueError; that of the intervals is 1 - `alpha`.
    strata : str, optional
        As in `fit_cox`; the groups are split into strata as they are in the trial.
    n_trials, seed : int
        Of many patients fewer trials are simulated, `MOST_SIMULATED` patients in all; options ``n_trials``
        and ``fewer_than`` then say so.
    jobs : int, default 1
        Processes; the answer does not depend on it.
    watch : callable, optional
        Told of the trials simulated, as `Count` tells it.

    Returns
    -------
    DataFrame
        Columns ``model covariate test rejected rejected_error coverage coverage_error not_estimable``:
        shares of trials with their Monte-Carlo standard errors, of tests in trials without any effect and of
        intervals in trials with the effects that each model estimates (none where it has no estimate). Tests
        of each covariate, with the interval of the same kind, are "wald" and "likelihood ratio" of the
        partial likelihood, "firth wald" and "firth" (likelihood ratio) of the penalised one, and "permuted"
        (relabelling among those who agree in the other covariates). "All", in models of more than one
        covariate, is the test against no effect of any, without coverage; permuted, that of the penalised
        likelihood ratio over the fewest relabellings that reach the level, 19 for 0.05 (Besag, Clifford 1991
        Biometrika). A test without answer does not reject, an interval without limits does not hold the
        truth; ``not_estimable`` is the larger of their shares. Without any event all is NaN, and so of more
        than `MOST_PATIENTS` patients, which option ``too_many`` then is; without models, or with one group
        only, there are no rows.
    """
    every = list(dict.fromkeys(name for covariates in models.values() for name in covariates))
    differs = check_covariates(frame, every).groupby(frame["group"], observed=True).nunique().gt(1).any()
    if differs.any():
        raise ValueError(f"covariate {differs.idxmax()!r} differs within a group")
    if not models or frame["group"].nunique() < 2:
        return pd.DataFrame(columns=COLUMNS)
    too_many = MOST_PATIENTS if len(frame) > MOST_PATIENTS else 0
    if too_many or not frame["event"].any():
        few = frame.groupby("group", observed=True).head(2).assign(event=True)
        nothing = attained_in_trial(few, models, estimates, n_trials=2)
        blank = dict.fromkeys(["rejected", "rejected_error", "coverage", "coverage_error"], np.nan)
        return Result.of(nothing.assign(**blank, not_estimable=1.0), too_many=too_many)
    grouped = frame.groupby(["group", *([strata] if strata else [])], observed=True)
    n_asked, n_trials = n_trials, min(n_trials, max(MOST_SIMULATED // len(frame), 1))
    plans, sizes = grouped[every].first(), grouped.size().tolist()
    cells = plans.index.get_level_values(strata) if strata else None
    options = {"censoring": 1 - frame["event"].mean(), "alpha": alpha, "n_trials": n_trials}
    count = Count(watch, (1 + len(models)) * n_trials, "simulated trials")
    options |= {"seed": seed, "jobs": jobs, "strata": cells, "count": count.add}
    attained = attained_cox(sizes, plans, models, **options)
    with_effect = []
    for name, covariates in models.items():
        rows = estimates[estimates["model"] == name].set_index("covariate")["coef"]
        coef = rows.reindex(covariates).fillna(0).to_dict()
        model = {name: covariates}
        with_effect.append(attained_cox(sizes, plans, model, coef=coef, n_draws=FEW_DRAWS, **options))
    with_effect = pd.concat(with_effect, ignore_index=True)
    for column in ("coverage", "coverage_error"):
        attained[column] = with_effect[column]
    attained["not_estimable"] = np.maximum(attained["not_estimable"], with_effect["not_estimable"])
    # With one covariate the test of all together is that of this one.
    alone = attained["model"].map({name: len(covariates) == 1 for name, covariates in models.items()})
    attained = attained[~(alone & (attained["covariate"] == ALL_GROUPS))].reset_index(drop=True)
    return Result.of(attained, n_trials=n_trials, fewer_than=n_asked if n_trials < n_asked else 0)


def attained_cox(
    sizes,
    x,
    models,
    *,
    coef=None,
    censoring=0.0,
    alpha=0.05,
    n_trials=2_000,
    n_draws=4_999,
    seed=DEFAULT_SEED,
    jobs=2,
    strata=None,
    count=lambda n: None,
):
    """The table of `attained_in_trial` for groups of these sizes and a row of covariates `x` for each.

    With `strata`, one for each row, rows are the parts of groups in them. `coef` are true log hazard ratios
    by column of `x`; a share `censoring` of exponential times is censored, by one hazard in all groups.
    Trials of one block share relabellings; coverage is NaN also where a model cannot hold the truth.
    """
    plan = _Plan.of(sizes, x, models, coef, censoring, alpha, n_draws, strata)
    starts = range(0, n_trials, BLOCK)
    seeds = np.random.SeedSequence(seed).spawn(len(starts))
    blocks = [(plan, min(BLOCK, n_trials - start), each) for start, each in zip(starts, seeds, strict=True)]
    judged = simulate_blocks(_simulate_block, blocks, jobs=jobs, count=count)
    return _tabulate(plan, judged)


@dataclass(frozen=True)
class _Model:
    """One model: its covariates by patient, and their true coefficients, NaN where it cannot hold them."""

    name: str
    covariates: list
    design: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class _Plan:
    """What every trial has in common; hazards of the event by patient, and of being censored."""

    models: list
    hazard: np.ndarray
    censoring_hazard: float
    alpha: float
    n_draws: int
    strata: np.ndarray | None  # numbers of them by patient

    @classmethod
    def of(cls, sizes, x, models, coef, censoring, alpha, n_draws, strata=None):
        sizes, n = np.asarray(sizes), len(x)
        if sizes.shape != (n,) or not np.issubdtype(sizes.dtype, np.integer) or (sizes < 1).any():
            raise ValueError(f"sizes must be {n} whole numbers above 0, as x has rows; got {sizes.tolist()}")
        check_censoring(censoring)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1; got {alpha!r}")
        unknown = [name for name in coef or {} if name not in x]
        if unknown:
            raise ValueError(f"coef names {unknown[0]!r}, which is no column of x")
        linear = np.zeros(n)
        for name, value in (coef or {}).items():
            linear = linear + value * x[name].to_numpy(float)
        hazard = np.repeat(np.exp(linear), sizes)
        built = [_build_model(name, list(columns), x, sizes, linear) for name, columns in models.items()]
        numbers = None if strata is None else np.repeat(pd.factorize(np.asarray(strata))[0], sizes)
        return cls(built, hazard, _find_censoring_hazard(hazard, censoring), alpha, n_draws, numbers)


def _build_model(name, covariates, x, sizes, linear):
    columns = check_covariates(x, covariates)
    design = columns.loc[columns.index.repeat(sizes)]
    check_estimable(design)
    with_baseline = np.column_stack([np.ones(len(x)), columns])
    truth = np.linalg.lstsq(with_baseline, linear, rcond=None)[0]
    holds = np.allclose(with_baseline @ truth, linear, atol=1e-9)
    truth = np.where(np.abs(truth) < 1e-12, 0, truth)[1:] if holds else np.full(len(covariates), np.nan)
    return _Model(name, covariates, design.to_numpy(), truth)


def _find_censoring_hazard(hazard, censoring):
    """The hazard of being censored that censors this share of patients on average."""
    if not censoring:
        return 0.0
    odds = censoring / (1 - censoring)

    def excess(rate):
        return (rate / (rate + hazard)).mean() - censoring

    return optimize.brentq(excess, odds * hazard.min() / 2, odds * hazard.max() * 2)


def _draw_trials(plan, n_trials, rng):
    time = rng.exponential(size=(n_trials, len(plan.hazard))) / plan.hazard
    if not plan.censoring_hazard:
        return time, np.ones(time.shape, dtype=bool)
    limit = rng.exponential(1 / plan.censoring_hazard, time.shape)
    return np.minimum(time, limit), time <= limit


def _simulate_block(block):
    """Rejected, held and missing of every row of the table in each trial, shape (n_trials, n_rows, 3)."""
    plan, n_trials, seed = block
    rng = np.random.default_rng(seed)
    times, events = _draw_trials(plan, n_trials, rng)
    return np.concatenate([_judge_model(plan, model, times, events, rng) for model in plan.models], axis=1)


def _judge_model(plan, model, times, events, rng):
    single, together = [], []
    for method in ("partial", "firth"):
        fits = fit_cox_many(times, events, model.design, method=method, strata=plan.strata)
        apart, enters = lay_out_risk(times, strata=plan.strata)
        likelihood = PartialLikelihood.of(apart, events, model.design[None], enters=enters)
        ratio = _judge_ratio(plan, model, fits, likelihood, method == "firth")
        single += [_judge_wald(plan, model, fits), ratio]
        together.append(_judge_all(plan, fits))
    single.append(_judge_permuted(plan, model, times, events, rng))
    together.append(_judge_all_permuted(plan, model, times, events, fits.lr_statistic, rng))
    rows = np.stack(single, axis=2).reshape(len(times), -1, 3)
    return np.concatenate([rows, np.stack(together, axis=1)], axis=1)


def _judge_wald(plan, model, fits):
    width = stats.norm.isf(plan.alpha / 2) * fits.se
    beyond = np.abs(fits.coef) > width
    held = np.abs(fits.coef - model.truth) <= width
    return _combine(beyond, held, fits.estimable[:, None])


def _judge_ratio(plan, model, fits, likelihood, is_firth):
    """The likelihood-ratio test of each covariate; its interval holds what the same test does not reject."""
    cut = stats.chi2.isf(plan.alpha, 1) / 2

    def is_far(values):
        return fits.log_likelihood[:, None] - likelihood.restrict(values, is_firth) > cut

    beyond = is_far(np.zeros(len(model.truth)))
    missed = is_far(model.truth) if np.nan_to_num(model.truth).any() else beyond
    return _combine(beyond, ~missed, fits.estimable[:, None])


def _judge_all(plan, fits):
    there = (fits.df > 0) & np.isfinite(fits.lr_statistic)
    beyond = np.nan_to_num(fits.lr_statistic) > stats.chi2.isf(plan.alpha, np.maximum(fits.df, 1))
    return _combine(beyond, np.zeros_like(beyond), there)


def _judge_permuted(plan, model, times, events, rng):
    """The relabelling test of each covariate; its interval holds what the same test does not reject."""
    options = {"n_draws": plan.n_draws, "rng": rng, "strata": plan.strata}
    p_value, at_truth = np.zeros((2, len(times), len(model.truth)))
    for column, truth in enumerate(np.nan_to_num(model.truth)):
        arguments = times, events, model.design, column
        p_value[:, column] = at_truth[:, column] = permute_cohorts(*arguments, **options)
        if truth:
            at_truth[:, column] = permute_cohorts(*arguments, coef=truth, **options)
    bound = plan.alpha * (1 + TOLERANCE)
    return _combine(p_value <= bound, at_truth > bound, np.isfinite(p_value))


def permute_cohorts(times, events, x, column, *, coef=0.0, n_draws=4_999, rng=None, strata=None):
    """P-values as of `permute_covariate` of many cohorts, shape (n_cohorts,); NaN where nothing can tell.

    The hypothesis is a log hazard ratio of `coef` per unit. Relabellings too many to list are drawn; at
    `coef` 0 the cohorts share them, so that few would move all P-values together.
    """
    test = StratifiedScore.of(times, events, x, column, strata)
    rng = rng or np.random.default_rng()
    if not test.strata:
        return np.full(len(times), np.nan)
    if test.can_list(MOST_LISTED_EACH):
        p_value = test.count_p(coef)
    elif coef:
        cohorts = range(len(times))
        p_value = [test.draw_p(test.draw_uniforms(n_draws, rng), coef, cohort) for cohort in cohorts]
    else:
        p_value = test.exchange_p(n_draws, rng)
    return np.where(np.any([each.tells for each in test.strata], axis=0), p_value, np.nan)


def _judge_all_permuted(plan, model, times, events, observed, rng):
    """Whether the statistic is above those of all relabellings, the fewest that reach the level."""
    there = np.isfinite(observed)
    going, left = np.flatnonzero(there), int(np.ceil(1 / plan.alpha * (1 - TOLERANCE))) - 1
    n_next = 1
    while len(going) and left:
        # Most trials are settled by few relabellings; only those above all so far see more.
        n_now = min(n_next, left)
        order = shuffle(np.arange(len(model.design)), n_now * len(going), rng, plan.strata)
        again = np.repeat(going, n_now)
        fits = fit_cox_many(times[again], events[again], model.design[order], strata=plan.strata)
        drawn = fits.lr_statistic
        highest = drawn.reshape(-1, n_now).max(axis=1)
        going = going[highest < observed[going] * (1 - TOLERANCE)]
        left, n_next = left - n_now, 2 * n_next
    rejected = np.isin(np.arange(len(times)), going)
    return _combine(rejected, np.zeros_like(rejected), there)


def _combine(rejected, held, there):
    there = np.broadcast_to(there, rejected.shape)
    return np.stack([rejected & there, held & there, ~there], axis=-1).astype(float)


def _tabulate(plan, outcomes):
    keys, held = [], []
    for model in plan.models:
        keys += [(model.name, covariate, test) for covariate in model.covariates for test in TESTS]
        keys += [(model.name, ALL_GROUPS, test) for test in GLOBAL_TESTS]
        held += [*np.repeat(np.isfinite(model.truth), len(TESTS)), *[False] * len(GLOBAL_TESTS)]
    share = outcomes.mean(axis=0)
    error = np.sqrt(share * (1 - share) / len(outcomes))
    return pd.DataFrame(keys, columns=COLUMNS[:3]).assign(
        rejected=share[:, 0],
        rejected_error=error[:, 0],
        coverage=np.where(held, share[:, 1], np.nan),
        coverage_error=np.where(held, error[:, 1], np.nan),
        not_estimable=share[:, 2],
    )
