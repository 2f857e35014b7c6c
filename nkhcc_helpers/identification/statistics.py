"""What cohorts compatible with published summaries say: tests, curves and hazard ratios of every cohort."""

from __future__ import annotations

import re
from functools import partial, reduce

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import check_choice
from nkhcc_helpers.cox.design import find_unusable
from nkhcc_helpers.cox.fit import fit_cox_many
from nkhcc_helpers.cox.likelihood import exponentiate
from nkhcc_helpers.cox.sweep import code_or_blank, list_moves, move_assumed
from nkhcc_helpers.survival.curves import Curves
from nkhcc_helpers.survival.logrank import OrderedCohorts
from nkhcc_helpers.survival.many import permute_logrank_many, permute_pairs_many
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.trial.metadata import convert

EVERYONE = "all"  # in the place of a group
LANDMARKS = (12, 24)  # months
HORIZON = 24  # months
MEDIANS = ("median ", "follow_up")  # of times
HAZARD_RATIOS = ["endpoint", "design", "method", "covariate", "cohort", "coef"]
SIGNS = ["share_above", "lowest", "lower", "median", "upper", "highest", "share_not_estimable"]


def calculate_statistics(
    cohorts, *, n_draws=20_000, seed=DEFAULT_SEED, landmarks=LANDMARKS, tau=None, progress=False
):
    """Calculate tests and Kaplan-Meier estimates of every cohort.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    n_draws : int, default 20,000
        Random allocations, where there are more than `permutation_many.MOST_LISTED` to list; pairs of small
        groups are listed.
    seed : int
    landmarks : sequence of float, default (12, 24)
        Months at which survival is estimated.
    tau : float, optional
        Horizon of the restricted mean, in the unit of the cohorts; 24 months when absent.
    progress : bool, default False
        Show progress bars on standard error.

    Returns
    -------
    DataFrame
        One row for each cohort; columns (endpoint, statistic). Statistics are ``logrank_p`` (asymptotic),
        ``permutation_p``, ``trend_p`` (ordered trend with scores 1, 2, ..., permuted), ``pair_p B-A`` for
        each pair, unadjusted; ``median``, ``rate 12`` (percent at 12 months) and ``rmst``, each followed by
        ``all`` or a group; ``follow_up`` (reverse Kaplan-Meier median), ``longest`` and ``n_censored``.
        Times in `cohorts.claimed.unit`; medians by the midpoint convention, whatever that of the claims. NaN
        where not reached or past a last follow-up. No tests where there is one group only.

    Raises
    ------
    ValueError
        `n_draws` below 1, or `tau` not above 0.

    Notes
    -----
    A drawn P has a Monte-Carlo standard error of sqrt(P (1 - P) / `n_draws`). Cohorts share the allocations,
    so that the P-values of all may be off together.

    References
    ----------
    As of `permutation_many` and `survival`.
    """
    parts = {}
    for endpoint in cohorts.claimed.endpoints:
        times, events = cohorts.of(endpoint)
        columns = _test(times, events, cohorts.claimed, n_draws, seed, progress)
        parts[endpoint] = columns | estimate_curves(times, events, cohorts.claimed, landmarks, tau)
    frames = {endpoint: pd.DataFrame(columns) for endpoint, columns in parts.items()}
    table = pd.concat(frames, axis=1, names=["endpoint", "statistic"])
    return table.rename_axis("cohort")


def calculate_hazard_ratios(cohorts, designs, *, methods=("firth", "partial"), ties="breslow"):
    """Fit a Cox model to every cohort and endpoint, for every design and method.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    designs : list of (str, DataFrame)
        Label and covariates of each group, as of `list_designs`.
    methods : sequence of {"firth", "partial"}, default both
    ties : {"breslow", "efron"}, default "breslow"

    Returns
    -------
    DataFrame
        Columns ``endpoint design method covariate cohort coef``: log hazard ratio per unit of the covariate,
        NaN where not estimable.

    Raises
    ------
    ValueError
        Unknown method or ties, no designs, or a design that lacks a group.
    """
    if not designs:
        raise ValueError("hazard ratios need a design: at least two groups that differ in dose or infusions")
    claimed = cohorts.claimed
    parts = []
    for label, design in designs:
        missing = [group for group in claimed.groups if group not in design.index]
        if missing:
            raise ValueError(f"design {label!r} lacks group {', '.join(missing)}")
        x = design.loc[list(claimed.groups)].to_numpy(float)[claimed.codes]
        for endpoint in claimed.endpoints:
            for method in methods:
                fits = fit_cox_many(*cohorts.of(endpoint), x, method=method, ties=ties)
                coef = pd.DataFrame(fits.coef, columns=design.columns).melt(
                    ignore_index=False, var_name="covariate", value_name="coef"
                )
                coef = coef.rename_axis("cohort").reset_index()
                parts.append(coef.assign(endpoint=endpoint, design=label, method=method))
    return pd.concat(parts, ignore_index=True)[HAZARD_RATIOS]


def list_designs(
    metadata,
    covariates=("dose", "infusions"),
    *,
    dose_codings=("relative", "log2"),
    factors=(0.5, 2.0),
    n_values=3,
):
    """List the designs that the planned doses and infusions of a trial may stand for.

    Parameters
    ----------
    metadata : TrialMetadata
        Its arms name their assumed numbers in ``assumed``.
    covariates : sequence of {"dose", "infusions", "cumulative", "order", "group"}
    dose_codings : sequence of {"relative", "cumulative", "log2", "order"}, default ("relative", "log2")
    factors, n_values
        As in `assumption_sweep.sweep_assumptions`.

    Returns
    -------
    list of (str, DataFrame)
        Label, such as ``"relative, as assumed"`` or ``"log2, dose of A 0.25"``, and the coded covariates,
        indexed by group: for each coding the numbers as assumed, then each moved in turn. Designs in which
        some covariate cannot be estimated are left out.

    Raises
    ------
    ValueError
        Unknown covariate or coding, or `factors` or `n_values` out of range.
    """
    codes = [arm.code for arm in metadata.arms]
    planned = pd.DataFrame(
        {
            "group": pd.Categorical(codes, categories=codes, ordered=True),
            "dose": [float(arm.dose) for arm in metadata.arms],
            "infusions": [float(arm.infusions) for arm in metadata.arms],
        },
        index=codes,
    )
    plans = [("as assumed", planned)]
    for group, quantity, value, assumed in list_moves(metadata, factors=factors, n_values=n_values):
        if value != assumed:
            label = f"{quantity} of {group} {value:g}"
            plans.append((label, move_assumed(planned, group, quantity, value)))
    designs = [
        (f"{coding}, {label}", code_or_blank(plan, covariates, coding))
        for coding in dose_codings
        for label, plan in plans
    ]
    return [(label, design) for label, design in designs if not find_unusable(design)]


def list_planned_designs(metadata):
    """List the designs of doses and infusions, or that of the order of the groups where these cannot be used.

    Parameters
    ----------
    metadata : TrialMetadata

    Returns
    -------
    list of (str, DataFrame)
        As of `list_designs`.
    """
    return list_designs(metadata) or list_designs(metadata, ("order",), dose_codings=("order",))


def summarize_signs(hazard_ratios, *, share=0.95):
    """Summarize on which side of 1 the hazard ratios lie.

    Parameters
    ----------
    hazard_ratios : DataFrame
        As of `calculate_hazard_ratios`.
    share : float, default 0.95
        Of the cohorts between `lower` and `upper`.

    Returns
    -------
    DataFrame
        Columns ``endpoint design method covariate share_above lowest lower median upper highest
        share_not_estimable``: hazard ratios over the cohorts where they can be estimated, ``share_above`` of
        which have one above 1; ``share_not_estimable`` is of all cohorts.
    """
    keys = HAZARD_RATIOS[:4]
    grouped = hazard_ratios.groupby(keys, sort=False)["coef"]
    quantiles = {
        "lowest": 0.0,
        "lower": (1 - share) / 2,
        "median": 0.5,
        "upper": (1 + share) / 2,
        "highest": 1.0,
    }
    table = pd.DataFrame({name: np.exp(grouped.quantile(at)) for name, at in quantiles.items()})
    known = grouped.count()
    above = (hazard_ratios["coef"] > 0).groupby([hazard_ratios[key] for key in keys], sort=False).sum()
    table["share_above"] = above / known.where(known > 0)
    table["share_not_estimable"] = 1 - known / grouped.size()
    return table[SIGNS].reset_index()


def estimate_curves(times, events, claimed, landmarks=LANDMARKS, tau=None):
    """Kaplan-Meier estimates of each cohort, by the name that `calculate_statistics` gives them.

    Parameters
    ----------
    times, events : ndarray, shape (n_cohorts, n_patients)
    claimed : ClaimedTrial
    landmarks : sequence of float
        Months.
    tau : float, optional
        Horizon, in the unit of the times; 24 months when absent.

    Returns
    -------
    dict of str to ndarray, shape (n_cohorts,)
    """
    ordered = OrderedCohorts.of(times, events, claimed.codes)
    month = convert("months", claimed.unit)
    tau = HORIZON * month if tau is None else tau
    curves = {group: ordered.trace_group(code) for code, group in enumerate(claimed.groups)}
    curves = {EVERYONE: ordered.curves, **curves}
    columns = {f"median {group}": each.find_medians() for group, each in curves.items()}
    for at in landmarks:
        columns |= {
            f"rate {at:g} {group}": 100 * each.find_survival(at * month) for group, each in curves.items()
        }
    columns |= {f"rmst {group}": each.find_means(tau) for group, each in curves.items()}
    columns["follow_up"] = Curves.of(times, ~events).find_medians()
    return columns | {"longest": times.max(axis=1), "n_censored": (~events).sum(axis=1)}


def place_not_reached(values, statistic):
    """Let a median that is not reached count as later than any.

    Parameters
    ----------
    values : ndarray of float, shape (n_cohorts,)
    statistic : str
        As of `calculate_statistics`.

    Returns
    -------
    ndarray of float, shape (n_cohorts,)
        inf where a median of times or of follow-up is NaN; other statistics as they are, for what is past a
        last follow-up has no place among the others.
    """
    values = np.asarray(values, float)
    return np.where(np.isnan(values), np.inf, values) if statistic.startswith(MEDIANS) else values


def list_pairs(groups):
    """List the pairs of groups: places of the two, the earlier one first, and their statistic."""
    return {
        (one, two): f"pair_p {groups[two]}-{groups[one]}" for two in range(len(groups)) for one in range(two)
    }


def _test(times, events, claimed, n_draws, seed, progress):
    """P-values of each cohort, by name."""
    groups, codes = claimed.groups, claimed.codes
    if len(groups) < 2:
        return {}
    drawing = {"n_draws": n_draws, "seed": seed, "progress": progress}
    overall = permute_logrank_many(times, events, codes, **drawing)
    trend = permute_logrank_many(times, events, codes, scores=np.arange(1, len(groups) + 1), **drawing)
    columns = {
        "logrank_p": overall.p_asymptotic,
        "permutation_p": overall.p_value,
        "trend_p": trend.p_value,
    }
    names = list_pairs(groups)
    pairs = permute_pairs_many(times, events, codes, pairs=list(names), **drawing)
    return columns | {name: pairs[pair].p_value for pair, name in names.items()}


NOT_REACHED = -1.0  # in the place of a printed number


def print_rounded(values, statistic):
    """Round values of a statistic as a paper would print them.

    Parameters
    ----------
    values : ndarray of float, shape (n_cohorts,)
    statistic : str
        As of `calculate_statistics`.

    Returns
    -------
    ndarray of float, shape (n_cohorts,)
        P-values to two significant digits, percents and counts to whole numbers, times to one decimal;
        `NOT_REACHED` where there is no value, which a paper prints too.
    """
    values = np.asarray(values, float)
    known = np.where(np.isnan(values), 1.0, values)
    if statistic.split(" ")[0].endswith("_p"):
        decimals = 1 - np.floor(np.log10(np.maximum(known, 1e-12)))
        rounded = np.round(known * 10.0**decimals) / 10.0**decimals
    else:
        rounded = np.round(known, 0 if statistic.startswith(("rate ", "n_")) else 1)
    return np.where(np.isnan(values), NOT_REACHED, rounded)


TESTS = ("logrank_p", "permutation_p", "trend_p")
ENDS = {"lowest": np.fmin, "highest": np.fmax}
FLAT = 1e-9  # determinant of an information, relative to its diagonal, without which no step is known
_HAZARD_RATIO = re.compile(r"hr (.+) \((\w+)\)")


def choose_statistic(
    claimed, statistic, *, designs=(), end="highest", n_draws=2_000, seed=DEFAULT_SEED, tau=None
):
    """Return a function that calculates one statistic of many cohorts.

    Parameters
    ----------
    claimed : ClaimedTrial
    statistic : str
        A statistic of `compatible_statistics.calculate_statistics`, or ``hr dose (firth)`` and the like:
        covariate and method, as in `compatible_answers.judge_conclusions`.
    designs : list of (str, DataFrame), optional
        As of `compatible_statistics.list_designs`, for hazard ratios.
    end : {"lowest", "highest"}, default "highest"
        Which hazard ratio over the designs.
    n_draws, seed, tau
        As in `calculate_statistics`.

    Returns
    -------
    callable
        Takes times and events, each of shape (n_cohorts, n_patients); returns values, shape (n_cohorts,), NaN
        where there is none.

    Raises
    ------
    ValueError
        Unknown statistic or end, or no design has the covariate.
    """
    check_choice(end, "end", tuple(ENDS))
    drawing = {"n_draws": n_draws, "seed": seed}
    pairs = {name: pair for pair, name in list_pairs(claimed.groups).items()}
    if statistic in pairs:
        return partial(_compare_pair, codes=claimed.codes, pair=pairs[statistic], **drawing)
    if statistic in TESTS and len(claimed.groups) > 1:
        return partial(_compare, claimed=claimed, statistic=statistic, **drawing)
    if found := _HAZARD_RATIO.fullmatch(statistic):
        designs = [(x[claimed.codes], at) for x, at in _list_covariates(claimed, statistic, designs)]
        return partial(_calculate_hazard_ratio, designs=designs, method=found[2], end=end)
    rate = re.match(r"rate (\S+) ", statistic)
    landmarks = (float(rate[1]),) if rate else ()
    everyone = np.ones((1, len(claimed.codes)))
    known = estimate_curves(everyone, everyone > 0, claimed, landmarks, tau)
    check_choice(statistic, "statistic", (*TESTS, *pairs, *known))
    return partial(_estimate, claimed=claimed, statistic=statistic, landmarks=landmarks, tau=tau)


def _list_covariates(claimed, statistic, designs):
    """Covariates of the groups in each design, (n_groups, n_covariates), and the place of the one meant."""
    covariate = _HAZARD_RATIO.fullmatch(statistic)[1]
    known = [(x.loc[list(claimed.groups)], list(x.columns)) for _, x in designs if covariate in x.columns]
    if not known:
        raise ValueError(f"{statistic} needs a design with {covariate}")
    return [(x.to_numpy(float), names.index(covariate)) for x, names in known]


def _step_towards_ratio(times, events, *, codes, designs, end):
    """First Newton step of a log hazard ratio in each design, from log-rank sums that all designs share."""
    difference, variance = OrderedCohorts.of(times, events, codes).sum_logrank()
    # The last group's sums are what makes those of all groups add up to 0.
    all_groups = np.vstack([np.eye(difference.shape[1]), -np.ones(difference.shape[1])])
    steps = []
    for x, at in designs:
        x = x.T @ all_groups
        information = x @ variance @ x.T
        known = np.linalg.det(information) > FLAT * np.prod(
            np.diagonal(information, axis1=1, axis2=2), axis=1
        )
        information = np.where(known[:, None, None], information, np.eye(len(x)))
        step = np.linalg.solve(information, (difference @ x.T)[..., None])[:, at, 0]
        steps.append(np.where(known, step, np.nan))
    return reduce(ENDS[end], steps)


def _approximate_trend(times, events, *, codes, log):
    """Asymptotic P of the trend: smooth, where drawn P-values have ties and noise; small ones by its log."""
    scores = np.arange(1, codes.max() + 2)
    p_value = permute_logrank_many(times, events, codes, n_draws=1, scores=scores).p_asymptotic
    return np.log(np.maximum(p_value, 1e-300)) if log else p_value


def _compare(times, events, *, claimed, statistic, n_draws, seed):
    scores = np.arange(1, len(claimed.groups) + 1) if statistic == "trend_p" else None
    n_draws = 1 if statistic == "logrank_p" else n_draws
    found = permute_logrank_many(times, events, claimed.codes, n_draws=n_draws, seed=seed, scores=scores)
    return found.p_asymptotic if statistic == "logrank_p" else found.p_value


def _compare_pair(times, events, *, codes, pair, n_draws, seed):
    return permute_pairs_many(times, events, codes, pairs=[pair], n_draws=n_draws, seed=seed)[pair].p_value


def _estimate(times, events, *, claimed, statistic, landmarks, tau):
    return estimate_curves(times, events, claimed, landmarks, tau)[statistic].astype(float)


def _calculate_hazard_ratio(times, events, *, designs, method, end):
    coefs = (fit_cox_many(times, events, x, method=method).coef[:, at] for x, at in designs)
    return exponentiate(reduce(ENDS[end], coefs))


SIDES = ["n_fits", "n_below", "n_above", "n_either", "not_settled"]


def spread_ratios(hazard_ratios, *, method="firth"):
    """Hazard ratios of the first design as statistics of each cohort, to stand beside the others.

    Parameters
    ----------
    hazard_ratios : DataFrame
        As of `compatible_statistics.calculate_hazard_ratios`.
    method : str, default "firth"

    Returns
    -------
    DataFrame
        One row for each cohort; columns (endpoint, statistic), the statistic being ``hr dose (firth)`` and so
        on. No columns where there are no hazard ratios.
    """
    of_method = hazard_ratios[hazard_ratios["method"] == method]
    kept = of_method[of_method["design"] == of_method["design"].iloc[0]] if len(of_method) else of_method
    columns = {
        (endpoint, f"hr {covariate} ({method})"): np.exp(part.set_index("cohort")["coef"])
        for (endpoint, covariate), part in kept.groupby(["endpoint", "covariate"], sort=False)
    }
    table = pd.DataFrame(columns).rename_axis(index="cohort")
    if not columns:
        table.columns = pd.MultiIndex.from_arrays([[], []])
    return table.rename_axis(columns=["endpoint", "statistic"])


def count_sides(signs, labels):
    """Count on which side of 1 hazard ratios lie, over all designs and methods.

    Parameters
    ----------
    signs : DataFrame
        As of `compatible_statistics.summarize_signs`.
    labels : mapping of str to str
        What the covariates are called.

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``n_fits n_below n_above n_either not_settled``: fits of a covariate
        under a design and a method, those below 1 in every cohort, above 1 in every cohort, and on either
        side; and what covariates are called, as a list, that are not on one and the same side in all fits.
    """
    rows = {}
    for endpoint, part in signs.groupby("endpoint", sort=False):
        below, above = part["highest"] < 1, part["lowest"] > 1
        settled = (part.assign(below=below, above=above).groupby("covariate", sort=False))[["below", "above"]]
        one_side = settled.all().any(axis=1)
        either = int((~below & ~above).sum())
        rows[endpoint] = (
            len(part),
            int(below.sum()),
            int(above.sum()),
            either,
            [labels[each] for each in one_side[~one_side].index],
        )
    return pd.DataFrame.from_dict(rows, orient="index", columns=SIDES)
