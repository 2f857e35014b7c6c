"""What cohorts compatible with published summaries say: tests, curves and hazard ratios of every cohort."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.assumption_sweep import code_or_blank, list_moves, move_assumed
from nkhcc_helpers.claimed_trial import convert
from nkhcc_helpers.cohort_curves import estimate_follow_ups, estimate_restricted_means, order_cohorts
from nkhcc_helpers.cox_many import fit_cox_many
from nkhcc_helpers.design import find_unusable
from nkhcc_helpers.permutation import DEFAULT_SEED
from nkhcc_helpers.permutation_many import permute_logrank_many, permute_pairs_many

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
    ordered = order_cohorts(times, events, claimed.codes)
    month = convert("months", claimed.unit)
    tau = HORIZON * month if tau is None else tau
    by_group = {"median": ordered.medians["midpoint"]}
    by_group |= {f"rate {at:g}": 100 * ordered.find_survival(at * month) for at in landmarks}
    by_group["rmst"] = estimate_restricted_means(ordered, tau)
    columns = {}
    for name, values in by_group.items():
        columns[f"{name} {EVERYONE}"] = values[:, -1]
        columns |= {f"{name} {group}": values[:, at] for at, group in enumerate(claimed.groups)}
    columns["follow_up"] = estimate_follow_ups(times, events)
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
