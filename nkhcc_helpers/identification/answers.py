"""What holds in every cohort compatible with published summaries, and how far a sample of them tells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from nkhcc_helpers.cox.likelihood import exponentiate
from nkhcc_helpers.identification.statistics import HAZARD_RATIOS, KEYS, Statistic

DIAGNOSTICS = ["mean", "sd", "effective_size", "r_hat", "starts_differ"]
TRUSTED_SIZE, TRUSTED_R_HAT, TRUSTED_DIFFERENCE = 400, 1.01, 3.0
ANSWERS = [
    *("endpoint", "statistic", "median", "lower", "upper", "smallest", "largest"),
    *("bound_lower", "bound_upper", "effective_size", "r_hat", "share_known"),
]
SIGNS = ["share_above", "lowest", "lower", "median", "upper", "highest", "share_not_estimable"]
SIDES = ["n_fits", "n_below", "n_above", "n_either", "not_settled"]
CONCLUSIONS = ["endpoint", "conclusion", "statistic", "lowest", "highest", "share", "verdict"]
HOLDS_IN_ALL, HOLDS_IN_SOME, HOLDS_IN_NONE = "holds in all", "holds in some", "holds in none"
NOT_ESTIMABLE = "not estimable"
VERDICTS = {HOLDS_IN_ALL: "in_all", HOLDS_IN_SOME: "in_some", HOLDS_IN_NONE: "in_none"}


def pick_statistics(table, *kinds, everyone=False):
    """Pick the rows of a table whose column ``statistic`` is of some kinds, of everyone only if asked for.

    Parameters
    ----------
    table : DataFrame
    *kinds : str
        As of `Statistic.kind`, such as ``permutation_p``, ``rate`` or ``hr``.
    everyone : bool, default False
    """
    wanted = [each.kind in kinds and not (everyone and each.group) for each in table["statistic"]]
    return table[np.array(wanted, dtype=bool)]


def diagnose(cohorts, statistics):
    """Diagnose a sample of compatible cohorts, statistic by statistic.

    Cameron, Gelbach, Miller (2011) J Bus Econ Stat (chains of two endpoints); Gelman, Rubin (1992) Stat Sci;
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021) Bayesian Anal (ranks).

    Parameters
    ----------
    cohorts : CompatibleCohorts
    statistics : DataFrame
        As of `calculate_statistics`; cohorts where a statistic is NaN are left out.

    Returns
    -------
    DataFrame
        Indexed by the columns of `statistics`; columns ``mean sd effective_size r_hat starts_differ``: the
        number of independent cohorts whose mean would be as precise, from the variance between Markov chains,
        those of either endpoint; R-hat of halves of blocks, 1 where all agree; the difference between blocks
        that start in two ways, in standard errors. NaN for a statistic that does not vary. Where some cohorts
        do not reach a median, which counts as later than any, it is of ranks, and ``mean sd`` are NaN.
    """
    endpoints = cohorts.claimed.endpoints
    rows = [
        _diagnose(
            statistic.place_not_reached(values),
            cohorts.chain,
            cohorts.block,
            cohorts.late[:, endpoints.index(endpoint)],
        )
        for (endpoint, statistic), values in statistics.items()
    ]
    return pd.DataFrame(rows, index=statistics.columns, columns=DIAGNOSTICS)


def _diagnose(values, chain, block, late):
    known = ~np.isnan(values)
    values, chain, block, late = (each[known] for each in (values, chain, block, late))
    mean = sd = np.nan
    if not np.isfinite(values).all():
        values = rankdata(values)
    elif len(values):
        mean, sd = values.mean(), values.std(ddof=min(1, len(values) - 1))
    if not len(values) or np.ptp(values) <= 1e-12 * max(np.abs(values).max(), 1e-300):
        return mean, sd, *[np.nan] * 3
    size = _count_effective(values, chain)
    halves = [values[(block == each) & (late == half)] for each in np.unique(block) for half in (0, 1)]
    starts = [_estimate_mean(values[block % 2 == odd], chain[block % 2 == odd]) for odd in (0, 1)]
    differ = (starts[0][0] - starts[1][0]) / np.hypot(starts[0][1], starts[1][1])
    return mean, sd, size, _calculate_r_hat(halves), differ


def _count_effective(values, chain):
    """Size of an independent sample whose mean varies as much, at most the cohorts there are.

    NaN where the variance is estimated to be negative, as that over chains of two endpoints can be.
    """
    centred, n_endpoints = values - values.mean(), chain.shape[1]
    # Cohorts go together that share a chain in either endpoint, once where they share both.
    shared = sum(_sum_squares(centred, chain[:, [at]]) for at in range(n_endpoints))
    shared -= (n_endpoints - 1) * _sum_squares(centred, chain)
    return float(min(len(values), len(values) * (centred**2).sum() / shared)) if shared > 0 else np.nan


def _sum_squares(values, chain):
    """Sum of squares of the sums of values over cohorts with the same chains."""
    which = np.unique(chain, axis=0, return_inverse=True)[1].ravel()
    return (np.bincount(which, values) ** 2).sum()


def _estimate_mean(values, chain):
    """Mean and its standard error."""
    if len(values) < 2 or np.ptp(values) == 0:
        return np.nan, np.nan
    return values.mean(), values.std(ddof=1) / np.sqrt(_count_effective(values, chain))


def _calculate_r_hat(sequences):
    size = min(len(each) for each in sequences)
    if size < 2:
        return np.nan
    kept = np.array([each[:size] for each in sequences])
    within, between = kept.var(axis=1, ddof=1).mean(), kept.mean(axis=1).var(ddof=1)
    return float(np.sqrt((size - 1) / size + between / within)) if within > 0 else np.nan


def count_trusted(diagnosed):
    """Count the statistics for which a sample is good enough.

    Parameters
    ----------
    diagnosed : DataFrame
        As of `diagnose`.

    Returns
    -------
    dict of str to int
        ``n_varying`` statistics that vary; of them ``n_small``, ``n_r_hat`` and ``n_starts`` that fall short
        of `TRUSTED_SIZE`, `TRUSTED_R_HAT` and `TRUSTED_DIFFERENCE` standard errors.
    """
    varying = diagnosed[diagnosed["effective_size"].notna()]
    return {
        "n_varying": len(varying),
        "n_small": int((varying["effective_size"] < TRUSTED_SIZE).sum()),
        "n_r_hat": int((varying["r_hat"] >= TRUSTED_R_HAT).sum()),
        "n_starts": int((varying["starts_differ"].abs() >= TRUSTED_DIFFERENCE).sum()),
    }


def summarize_answers(cohorts, statistics, *, bounds=None, share=0.95):
    """Summarize every statistic over the sampled cohorts.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    statistics : DataFrame
        As of `calculate_statistics`.
    bounds : DataFrame, optional
        As of `obtain_bounds`: extremes over all compatible cohorts.
    share : float, default 0.95
        Of the sample between `lower` and `upper`.

    Returns
    -------
    DataFrame
        Columns ``endpoint statistic median lower upper smallest largest bound_lower bound_upper
        effective_size r_hat share_known``, over the share of cohorts that have the statistic, but a median
        that is not reached counts as later than any, so that an end may be inf. NaN bounds where none are
        given.
    """
    levels = [0.5, (1 - share) / 2, (1 + share) / 2, 0.0, 1.0]
    rows = [
        _find_quantiles(statistic.place_not_reached(values), levels)
        for (_, statistic), values in statistics.items()
    ]
    named = ["median", "lower", "upper", "smallest", "largest"]
    table = pd.DataFrame(rows, index=statistics.columns, columns=named)
    table = table.join(diagnose(cohorts, statistics)[["effective_size", "r_hat"]])
    table["share_known"] = statistics.notna().mean()
    found = _index_bounds(bounds).reindex(table.index)
    table["bound_lower"], table["bound_upper"] = found["lowest"], found["highest"]
    return table.rename_axis(KEYS).reset_index()[ANSWERS]


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


def _index_bounds(bounds):
    columns = [*KEYS, "lowest", "highest"]
    bounds = pd.DataFrame(columns=columns, dtype=float) if bounds is None else bounds
    return bounds.set_index(KEYS)[columns[2:]].astype(float)


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
        share_not_estimable``, the last of all cohorts, the others of those with an estimate.
    """
    keys = HAZARD_RATIOS[:4]
    grouped = hazard_ratios.assign(above=hazard_ratios["coef"] > 0).groupby(keys, sort=False)
    levels = [0.0, (1 - share) / 2, 0.5, (1 + share) / 2, 1.0]
    named = zip(SIGNS[1:6], levels, strict=True)
    table = pd.DataFrame({name: np.exp(grouped["coef"].quantile(at)) for name, at in named})
    known = grouped["coef"].count()
    table["share_above"] = grouped["above"].sum() / known.where(known > 0)
    table["share_not_estimable"] = 1 - known / grouped.size()
    return table[SIGNS].reset_index()


def count_sides(signs, labels):
    """Count on which side of 1 hazard ratios lie, over all designs and methods.

    Parameters
    ----------
    signs : DataFrame
        As of `summarize_signs`.
    labels : mapping of str to str
        What the covariates are called.

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``n_fits n_below n_above n_either``: fits of a covariate, those below 1
        in every cohort, above 1 in every cohort, and on either side; ``not_settled``: a list of what
        covariates are called that are not on one and the same side in all fits.
    """
    signs = signs.assign(below=signs["highest"] < 1, above=signs["lowest"] > 1)
    rows = {}
    for endpoint, part in signs.groupby("endpoint", sort=False):
        one_side = part.groupby("covariate", sort=False)[["below", "above"]].all().any(axis=1)
        n_below, n_above = int(part["below"].sum()), int(part["above"].sum())
        not_settled = [labels[each] for each in one_side[~one_side].index]
        rows[endpoint] = len(part), n_below, n_above, len(part) - n_below - n_above, not_settled
    return pd.DataFrame.from_dict(rows, orient="index", columns=SIDES)


def judge_conclusions(cohorts, statistics, hazard_ratios, *, alpha=0.05, bounds=None):
    """Judge in how many compatible cohorts the conclusions that a paper may draw hold.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    statistics : DataFrame
        As of `calculate_statistics`.
    hazard_ratios : DataFrame
        As of `calculate_hazard_ratios`.
    alpha : float, default 0.05
        A conclusion holds where P is below it, or a hazard ratio below 1; not where there is no estimate.
    bounds : DataFrame, optional
        As of `obtain_bounds`.

    Returns
    -------
    DataFrame
        Columns ``endpoint conclusion statistic lowest highest share verdict``: ends over the sample, all
        designs and `bounds`; share of sampled cohorts (and designs) in which it holds; "holds in all",
        "holds in some" or "holds in none", or "not estimable" where no cohort has the statistic.
    """
    rows = []
    for endpoint in cohorts.claimed.endpoints:
        tested = statistics[endpoint] if endpoint in statistics.columns else pd.DataFrame()
        for statistic in (each for each in tested if each.kind in ("permutation_p", "trend_p", "pair_p")):
            values = tested[statistic].to_numpy(float)
            rows.append((endpoint, _describe_test(statistic), statistic, *_judge(values, alpha)))
        own = hazard_ratios[hazard_ratios["endpoint"] == endpoint]
        for (covariate, method), part in own.groupby(["covariate", "method"], sort=False):
            conclusion = _describe_effect(covariate, own["covariate"].unique())
            statistic = Statistic("hr", covariate=covariate, method=method)
            ratios = exponentiate(part["coef"].to_numpy(float))
            rows.append((endpoint, conclusion, statistic, *_judge(ratios, 1.0)))
    table = pd.DataFrame(rows, columns=CONCLUSIONS[:-1])
    return _widen(table, _index_bounds(bounds), alpha)[CONCLUSIONS]


def _describe_test(statistic):
    if statistic.kind == "pair_p":
        return f"{statistic.against} and {statistic.group} differ"
    if statistic.kind == "trend_p":
        return "time rises or falls from group to group (trend)"
    return "groups differ (log-rank, permuted)"


def _describe_effect(covariate, covariates):
    others = " and ".join(name for name in covariates if name != covariate)
    matters = "matter" if covariate == "infusions" else "matters"
    return f"{covariate} {matters}" + (f" beyond {others}" if others else "")


def _judge(values, limit):
    """Ends of the values that are known, and the share of all that are below the limit."""
    known = values[~np.isnan(values)]
    ends = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
    return *ends, (values < limit).mean()


def _widen(table, bounds, alpha):
    """Widen ranges by bounds, and give the verdicts."""
    found = bounds.reindex(pd.MultiIndex.from_frame(table[KEYS])).reset_index(drop=True)
    lowest, highest = np.fmin(table["lowest"], found["lowest"]), np.fmax(table["highest"], found["highest"])
    limit = np.array([1.0 if each.kind == "hr" else alpha for each in table["statistic"]])
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


def gather_verdicts(conclusions, labels):
    """Which statistics carry a conclusion that holds in all compatible cohorts, in some and in none.

    Parameters
    ----------
    conclusions : DataFrame
        As of `judge_conclusions`.
    labels : mapping of Statistic to str
        What statistics are called; others are left out.

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``in_all in_some in_none``, each a list of what statistics are called.
    """
    named = conclusions.assign(label=conclusions["statistic"].map(labels)).dropna(subset="label")
    rows = {
        endpoint: [part.loc[part["verdict"] == verdict, "label"].tolist() for verdict in VERDICTS]
        for endpoint, part in named.groupby("endpoint", sort=False)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(VERDICTS.values()))


def gather_tests(conclusions, endpoints):
    """The ranges and verdicts of the tests across the groups.

    Parameters
    ----------
    conclusions : DataFrame
        As of `judge_conclusions`.
    endpoints : sequence of str

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``p_lowest p_highest p_verdict`` of the permutation P, ``trend_lowest
        trend_highest trend_verdict`` of the ordered trend, with verdicts such as "in all".
    """
    parts = []
    for name, kind in (("p", "permutation_p"), ("trend", "trend_p")):
        found = pick_statistics(conclusions, kind).set_index("endpoint")[CONCLUSIONS[3:5] + CONCLUSIONS[6:]]
        found["verdict"] = found["verdict"].str.removeprefix("holds ")
        parts.append(found.reindex(endpoints).add_prefix(f"{name}_"))
    return pd.concat(parts, axis=1)


def count_verdicts(conclusions):
    """Count the conclusions, and those that hold in all compatible cohorts, in some and in none.

    Parameters
    ----------
    conclusions : DataFrame
        As of `judge_conclusions`.

    Returns
    -------
    dict of str to int
        ``n_conclusions n_in_all n_in_some n_in_none``.
    """
    counts = {f"n_{name}": int((conclusions["verdict"] == each).sum()) for each, name in VERDICTS.items()}
    return {"n_conclusions": len(conclusions), **counts}
