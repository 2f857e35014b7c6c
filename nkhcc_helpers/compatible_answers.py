"""What holds in every cohort compatible with published summaries, and what number would have settled it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from scipy.special import gammaln

from nkhcc_helpers.compatible_diagnostics import diagnose
from nkhcc_helpers.compatible_statistics import list_pairs, place_not_reached
from nkhcc_helpers.partial_likelihood import exponentiate

ANSWERS = [
    *("endpoint", "statistic", "median", "lower", "upper", "smallest", "largest"),
    *("bound_lower", "bound_upper", "effective_size", "r_hat", "share_known"),
]
CONCLUSIONS = ["endpoint", "conclusion", "statistic", "lowest", "highest", "share", "verdict"]
HOLDS_IN_ALL, HOLDS_IN_SOME, HOLDS_IN_NONE = "holds in all", "holds in some", "holds in none"
NOT_ESTIMABLE = "not estimable"
CANDIDATES = ["endpoint", "candidate", "target", "spread_left", "sd_left", "share_covered"]
FEWEST_ALIKE = 5  # cohorts that print alike, for their range to count
NOT_REACHED = -1.0  # in the place of a printed number


def summarize_answers(cohorts, statistics, *, bounds=None, share=0.95):
    """Summarize every statistic over the sampled cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    statistics : DataFrame
        One row for each cohort, columns (endpoint, statistic), as of `compatible_statistics`.
    bounds : DataFrame, optional
        Columns ``endpoint statistic lowest highest``: extremes over all compatible cohorts.
    share : float, default 0.95
        Of the sample between `lower` and `upper`.

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic median lower upper smallest largest bound_lower bound_upper
        effective_size r_hat share_known``: quantiles and extremes of the sample, NaN bounds where none are
        given, diagnostics as of `compatible_diagnostics.diagnose`; ``share_known`` is the share of cohorts
        that have the statistic, and the rest of the row is of these. But a median that is not reached counts
        as later than any, so that an end of a range may be inf.
    """
    levels = [0.5, (1 - share) / 2, (1 + share) / 2, 0.0, 1.0]
    rows = [
        _find_quantiles(place_not_reached(values, name), levels) for (_, name), values in statistics.items()
    ]
    named = ["median", "lower", "upper", "smallest", "largest"]
    table = pd.DataFrame(rows, index=statistics.columns, columns=named)
    table = table.join(diagnose(cohorts, statistics)[["effective_size", "r_hat"]])
    table["share_known"] = statistics.notna().mean()
    found = _index_bounds(bounds).reindex(table.index)
    table["bound_lower"], table["bound_upper"] = found["lowest"], found["highest"]
    return table.rename_axis(ANSWERS[:2]).reset_index()[ANSWERS]


def judge_conclusions(cohorts, statistics, hazard_ratios, *, alpha=0.05, bounds=None):
    """Judge in how many compatible cohorts the conclusions that a paper may draw hold.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    statistics : DataFrame
        As of `compatible_statistics.calculate_statistics`.
    hazard_ratios : DataFrame
        As of `compatible_statistics.calculate_hazard_ratios`.
    alpha : float, default 0.05
        Groups differ where a P-value is below it.
    bounds : DataFrame, optional
        Columns ``endpoint statistic lowest highest``; a hazard ratio is named as in the answer.

    Returns
    -------
    DataFrame
        Columns ``endpoint conclusion statistic lowest highest share verdict``. ``lowest`` and ``highest`` are
        of the P-value, or of the hazard ratio over all designs (``hr dose (firth)`` and so on), over the
        sample and `bounds`; ``share`` is the share of sampled cohorts, and for hazard ratios of cohorts and
        designs, in which the conclusion holds: P below `alpha`, hazard ratio below 1. It does not hold where
        the statistic does not exist. ``verdict`` is "holds in all", "holds in some" or "holds in none", over
        the sample and `bounds`; "not estimable" where no cohort has the statistic.
    """
    rows, limits = [], _index_bounds(bounds)
    for endpoint in cohorts.claimed.endpoints:
        for statistic, conclusion in _list_conclusions(cohorts.claimed.groups).items():
            if (endpoint, statistic) in statistics.columns:
                values = statistics[endpoint, statistic].to_numpy(float)
                rows.append((endpoint, conclusion, statistic, *_judge(values, values < alpha)))
        own = hazard_ratios[hazard_ratios["endpoint"] == endpoint]
        for (covariate, method), part in own.groupby(["covariate", "method"], sort=False):
            ratios = exponentiate(part["coef"].to_numpy(float))
            conclusion = _describe_effect(covariate, own["covariate"].unique())
            statistic = f"hr {covariate} ({method})"
            rows.append((endpoint, conclusion, statistic, *_judge(ratios, ratios < 1)))
    table = pd.DataFrame(rows, columns=CONCLUSIONS[:-1])
    return _widen(table, limits, alpha)[CONCLUSIONS]


def rank_candidates(statistics, targets, candidates, *, chain=None):
    """Rank further numbers that an abstract could have printed by how much they would have settled.

    Parameters
    ----------
    statistics : DataFrame
        One row for each cohort, columns (endpoint, statistic), as of `calculate_statistics`.
    targets, candidates : sequence of str
        Statistics to be settled, and those that could be printed for the same endpoint.
    chain : dict of str to ndarray of int, shape (n_cohorts,), optional
        Markov chain of each cohort by endpoint, as `CompatibleCohorts.chains`: one cohort of each is kept,
        since those of one chain may resemble each other; all are when absent.

    Returns
    -------
    DataFrame
        Columns ``endpoint candidate target spread_left sd_left share_covered``, the most telling first for
        each endpoint and target; candidates of which less than half is covered come last. Cohorts that print
        the candidate alike (`print_rounded`) are taken together. ``spread_left`` is the range of the target
        within such a group, relative to the range expected in as many cohorts drawn from all, averaged over
        cohorts: 1 where the candidate tells nothing; ``sd_left`` the pooled standard deviation within groups
        relative to that of all cohorts. Only groups of at least `FEWEST_ALIKE` cohorts count;
        ``share_covered`` is the share of cohorts in them. NaN where there are none, or the target does not
        vary.

    Notes
    -----
    A range grows with the number of cohorts it is taken over; relative to the range of the whole sample, any
    candidate that splits it finely would look telling.
    """
    rows = []
    for endpoint in statistics.columns.unique(0):
        own = statistics[endpoint]
        if chain is not None:
            own = own.iloc[np.unique(chain[endpoint], return_index=True)[1]]
        known = [[name for name in names if name in own.columns] for names in (targets, candidates)]
        for target, candidate in product(*known):
            if candidate != target:
                values, other = own[target].to_numpy(float), own[candidate].to_numpy(float)
                spread = _measure_spread(values, print_rounded(other, candidate))
                rows.append((endpoint, candidate, target, *spread))
    table = pd.DataFrame(rows, columns=CANDIDATES)
    table["place"] = table.groupby(["endpoint", "target"], sort=False).ngroup()
    table["is_thin"] = ~(table["share_covered"] >= 0.5)
    ranked = table.sort_values(["place", "is_thin", "spread_left"], ignore_index=True)
    return ranked[CANDIDATES]


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


def _find_quantiles(values, levels):
    """Quantiles of the values that are known; inf for those nearest to a value that is."""
    values = values[~np.isnan(values)]
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [np.inf if len(values) else np.nan] * len(levels)
    nearest = np.quantile(values, levels, method="nearest")
    # There is no number between two of which one is infinite.
    quantiles = np.quantile(np.minimum(values, finite.max()), levels)
    return np.where(np.isinf(nearest), np.inf, quantiles).tolist()


def _measure_spread(values, printed):
    """Range and SD left within groups that print alike, and the share of cohorts in groups that count."""
    known = np.isfinite(values)
    values, printed = values[known], printed[known]
    _, which, sizes = np.unique(printed, return_inverse=True, return_counts=True)
    counted = np.flatnonzero(sizes >= FEWEST_ALIKE)
    if not len(counted) or np.ptp(values) == 0:
        return np.nan, np.nan, float(sizes[counted].sum() / len(known))
    groups = [values[which == each] for each in counted]
    expected = {size: _expect_range(values, size) for size in np.unique(sizes[counted])}
    weight = sizes[counted]
    spread = np.average([np.ptp(each) / expected[len(each)] for each in groups], weights=weight)
    within = sum(((each - each.mean()) ** 2).sum() for each in groups) / (weight - 1).sum()
    return float(spread), float(np.sqrt(within) / values.std(ddof=1)), float(weight.sum() / len(known))


def _expect_range(values, size):
    """Expected range of so many of the values, drawn without replacement."""
    n, rank = len(values), np.arange(len(values) - size + 1) + size
    # That the value of this rank is the largest of those drawn.
    log_chance = _log_choose(rank - 1, size - 1) - _log_choose(n, size)
    chance, in_order = np.exp(log_chance), np.sort(values)
    return float((chance * (in_order[size - 1 :] - in_order[::-1][size - 1 :])).sum())


def _log_choose(n, k):
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _list_conclusions(groups):
    """Statistic and the conclusion that its P-value is about."""
    pairs = {
        name: f"{groups[one]} and {groups[two]} differ" for (one, two), name in list_pairs(groups).items()
    }
    return {
        "permutation_p": "groups differ (log-rank, permuted)",
        "trend_p": "time rises or falls from group to group (trend)",
    } | pairs


def _describe_effect(covariate, covariates):
    others = " and ".join(name for name in covariates if name != covariate)
    matters = "matter" if covariate == "infusions" else "matters"
    return f"{covariate} {matters}" + (f" beyond {others}" if others else "")


def _judge(values, holds):
    known = values[~np.isnan(values)]
    ends = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
    return *ends, holds.mean()


def _widen(table, bounds, alpha):
    """Widen ranges by bounds, and give the verdicts."""
    found = bounds.reindex(pd.MultiIndex.from_frame(table[["endpoint", "statistic"]])).reset_index(drop=True)
    lowest, highest = np.fmin(table["lowest"], found["lowest"]), np.fmax(table["highest"], found["highest"])
    limit = np.where(table["statistic"].str.startswith("hr "), 1.0, alpha)
    verdict = np.select(
        [
            lowest.isna(),
            (table["share"] == 1) & (highest < limit),
            (table["share"] == 0) & ~(lowest < limit),
        ],
        [NOT_ESTIMABLE, HOLDS_IN_ALL, HOLDS_IN_NONE],
        HOLDS_IN_SOME,
    )
    return table.assign(lowest=lowest, highest=highest, verdict=verdict)


def _index_bounds(bounds):
    columns = ["endpoint", "statistic", "lowest", "highest"]
    bounds = pd.DataFrame(columns=columns, dtype=float) if bounds is None else bounds
    return bounds.set_index(columns[:2])[columns[2:]].astype(float)
