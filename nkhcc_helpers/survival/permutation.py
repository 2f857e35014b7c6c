"""Comparison of survival across groups: asymptotic, permuted and exact; trend; pairs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context
from itertools import combinations
from math import prod

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_groups, keeps_options
from nkhcc_helpers.survival.exact import TooManyAllocationsError, count_allocations, exact_p
from nkhcc_helpers.survival.logrank import (
    TOLERANCE,
    RiskSets,
    calculate_score_statistic,
    check_scores,
    whiten_scores,
)

DEFAULT_SEED = 20260124
CHUNK = 5_000  # allocations at a time, so that memory stays small
LARGEST = 10**300  # of a number that a float holds


@dataclass(frozen=True)
class Comparison:
    """A comparison of survival across groups, with the options that made it.

    `observed` and `expected`, by group, are events seen, and events expected if one survival curve held for
    all, whatever the weights. P-values are NaN where they were not computed.
    """

    statistic: float  # the usual chi-square, with the hypergeometric variance, or its trend version
    df: int  # rank of that variance, at most the number of groups less one; 1 for a trend
    p_asymptotic: float  # from the chi-square distribution, which holds for large groups only
    p_permutation: float  # of the same statistic over `n_draws` random relabellings of the patients
    p_permutation_error: float  # Monte-Carlo standard error
    exact_statistic: float  # the score statistic
    p_exact: float  # of the score statistic over every allocation
    n_extreme: int | None  # allocations at least as extreme as the observed one
    n_allocations: int  # of the patients to groups of these sizes, within strata
    observed: pd.Series
    expected: pd.Series
    weights: str
    trend: bool
    n_draws: int
    seed: int
    n_strata: int = 1

    @property
    def by_group(self):
        """DataFrame with columns ``group observed expected``."""
        counts = {"observed": self.observed, "expected": self.expected}
        return pd.DataFrame(counts).rename_axis("group").reset_index().astype({"group": str})


def compare_survival(
    time,
    event,
    group,
    *,
    weights="logrank",
    trend=False,
    scores=None,
    time_enter=None,
    strata=None,
    n_draws=100_000,
    seed=DEFAULT_SEED,
    exact=True,
):
    """Compare survival across groups.

    Mantel (1966) Cancer Chemother Rep; Peto, Peto (1972) J R Stat Soc A; Tarone (1975) Biometrika;
    Fleming, Harrington (1991) Counting Processes and Survival Analysis.

    Parameters
    ----------
    time, event : array_like, shape (n_subjects,)
        Times and event indicators; see `checks.check_entry`.
    group : array_like or categorical Series, shape (n_subjects,)
        Group of each subject; groups without subjects are left out.
    weights : {"logrank", "gehan-breslow", "tarone-ware", "peto-peto"}, default "logrank"
        Weight of each event time; see `logrank.logrank_scores`.
    trend : bool, default False
        Test the ordered alternative, two-sided.
    scores : sequence of float, optional
        Scores of the groups, in order, for the trend; 1, 2, 3, ... when absent.
    time_enter : array_like, shape (n_subjects,), optional
        When each subject came under observation; see `curves.estimate_km`.
    strata : array_like, shape (n_subjects,), optional
        Groups are compared within each stratum and the differences added up, as R's ``survdiff`` with
        ``strata``; patients are relabelled within strata. A stratum with one group tells nothing.
    n_draws : int, default 100,000
        Random relabellings; 0 for none.
    seed : int
    exact : bool, default True
        Count every allocation for `p_exact`, where that is feasible.

    Returns
    -------
    Comparison
        Statistics and P-values are NaN where nothing can be compared (one group only, no event, or nobody of
        another group at risk at any event).

    Raises
    ------
    ValueError
        Bad times or events, lengths that differ, a missing group or stratum, or scores that do not fit the
        groups.

    Notes
    -----
    Permutation takes the allocation of patients to groups as exchangeable if the groups do not differ, which
    needs censoring, and late entry, that do not depend on the group: a patient is relabelled with both ends
    of the time under observation.
    """
    risk, groups, codes, group_scores = _lay_out(
        time, event, group, weights, trend, scores, time_enter, strata
    )
    df = 1 if group_scores is not None else risk.count_degrees(codes)
    statistic = float(_calculate(risk, codes[None], group_scores)[0]) if df else float("nan")
    p_permutation, error = permute_p(risk, codes, group_scores, n_draws=n_draws if df else 0, seed=seed)
    counted = _try_exact(risk, codes, group_scores) if exact and df else None
    unweighted = RiskSets.of(time, event, time_enter=time_enter, strata=strata).scores
    observed = np.bincount(codes, risk.event, len(groups))
    expected = observed - np.bincount(codes, unweighted, len(groups))
    sizes = (np.bincount(codes[risk.strata == each]).tolist() for each in range(risk.strata.max() + 1))
    options = {"trend": group_scores, "strata": risk.strata}
    return Comparison(
        statistic=statistic,
        df=df,
        p_asymptotic=float(stats.chi2.sf(statistic, df)) if df else float("nan"),
        p_permutation=p_permutation,
        p_permutation_error=error,
        exact_statistic=calculate_score_statistic(risk.scores, codes, **options) if df else float("nan"),
        p_exact=counted.p_value if counted else float("nan"),
        n_extreme=counted.n_extreme if counted else None,
        n_allocations=prod(map(count_allocations, sizes)),
        observed=pd.Series(observed, groups, name="observed").astype(int),
        expected=pd.Series(expected, groups, name="expected"),
        weights=weights,
        trend=trend,
        n_draws=n_draws,
        seed=seed,
        n_strata=int(risk.strata.max()) + 1,
    )


@keeps_options
def compare_pairs(
    time,
    event,
    group,
    *,
    weights="logrank",
    pairs=None,
    time_enter=None,
    strata=None,
    n_draws=20_000,
    seed=DEFAULT_SEED,
):
    """Compare every pair of groups by the two-sided score test, exact, or permuted where that is too large.

    Holm (1979) Scand J Stat.

    Parameters
    ----------
    time, event, group, weights
        As in `compare_survival`, with the same errors.
    pairs : sequence of (str, str), optional
        The pairs asked for, of known groups; every pair when absent. Holm's adjustment is over these.
    time_enter, strata, n_draws, seed
        As in `compare_survival`; drawn for the pairs that cannot be counted.

    Returns
    -------
    DataFrame
        Columns ``first second n_first n_second statistic p_asymptotic p_exact p_holm p_smallest n_allocations
        p_permutation p_permutation_error``; no rows where there is one group only. ``p_smallest`` is the
        smallest two-sided P that groups of these sizes can give. Where the count is too large, ``p_exact`` is
        NaN, and ``p_permutation`` of the same statistic takes its place, in ``p_holm`` too; else it is NaN.
    """
    risk = RiskSets.of(time, event, weights, time_enter, strata)
    groups, codes = check_groups(group, len(risk.event))
    names = [str(each) for each in groups]
    pairs = list(combinations(names, 2)) if pairs is None else [tuple(map(str, pair)) for pair in pairs]
    unknown = sorted({name for pair in pairs for name in pair} - set(names))
    if unknown:
        raise ValueError(f"pairs names unknown groups {', '.join(unknown)}; known are {', '.join(names)}")
    data = {"time": time, "event": event, "time_enter": time_enter, "strata": strata}
    data = {name: np.asarray(each) for name, each in data.items() if each is not None}
    rows = []
    for first, second in pairs:
        keep = np.isin(codes, [names.index(first), names.index(second)])
        is_second = codes[keep] == names.index(second)
        own = {name: each[keep] for name, each in data.items()}
        compared = compare_survival(**own, group=is_second, weights=weights, n_draws=0)
        sizes, n_ways = (int((~is_second).sum()), int(is_second.sum())), compared.n_allocations
        n_of_both = [np.bincount(risk.strata[keep], is_second == which) for which in (False, True)]
        # Where the groups are equal in each stratum that has both, each allocation has a mirror image.
        mirrored = ((n_of_both[0] == n_of_both[1]) | (np.minimum(*n_of_both) == 0)).all()
        p_values = compared.p_asymptotic, compared.p_exact, np.nan, (1 + mirrored) / n_ways
        drawn = np.nan, np.nan
        if compared.df and np.isnan(compared.p_exact) and n_draws:
            drawn = _permute_score(own, is_second, weights, n_draws, seed)
        rows.append((first, second, *sizes, compared.statistic, *p_values, n_ways, *drawn))
    columns = ["first", "second", "n_first", "n_second", "statistic", "p_asymptotic", "p_exact", "p_holm"]
    columns += ["p_smallest", "n_allocations", "p_permutation", "p_permutation_error"]
    table = _tabulate(rows, columns)
    return table.assign(p_holm=adjust_holm(table["p_exact"].fillna(table["p_permutation"])))


def _permute_score(data, is_second, weights, n_draws, seed):
    """P-value of the score statistic of two groups over random relabellings, and its error."""
    risk, codes = RiskSets.of(**data, weights=weights), is_second.astype(int)
    centred, directions = whiten_scores(risk.scores, codes, risk.strata)
    bound = (directions[codes, 0] @ centred) ** 2 * (1 - TOLERANCE)
    blocks = draw_allocations(codes, n_draws, seed, risk.strata)
    n_extreme = sum(int(((directions[block, 0] @ centred) ** 2 >= bound).sum()) for block in blocks)
    return share_extreme(n_extreme, n_draws)


def draw_null(
    time,
    event,
    group,
    *,
    weights="logrank",
    trend=False,
    scores=None,
    time_enter=None,
    strata=None,
    n_draws=20_000,
    seed=DEFAULT_SEED,
):
    """Draw the usual statistic under random relabelling of the patients.

    Parameters
    ----------
    time, event, group, weights, trend, scores, time_enter, strata, n_draws, seed
        As in `compare_survival`, with the same errors.

    Returns
    -------
    ndarray of float, shape (n_draws,)
        NaN where there is one group only.
    """
    risk, groups, codes, group_scores = _lay_out(
        time, event, group, weights, trend, scores, time_enter, strata
    )
    if len(groups) < 2:
        return np.full(n_draws, np.nan)
    blocks = draw_allocations(codes, n_draws, seed, risk.strata)
    return np.concatenate([_calculate(risk, block, group_scores) for block in blocks])


def _lay_out(time, event, group, weights, trend, scores, time_enter, strata):
    """Risk sets, groups, the place of each subject's group, and the scores of the groups for a trend."""
    risk = RiskSets.of(time, event, weights, time_enter, strata)
    groups, codes = check_groups(group, len(risk.event))
    return risk, groups, codes, check_scores(scores, len(groups)) if trend and len(groups) > 1 else None


@keeps_options
def summarize_comparisons(comparisons):
    """Stack comparisons, one a row.

    Parameters
    ----------
    comparisons : dict of str to Comparison

    Returns
    -------
    DataFrame
        Columns ``test statistic df p_asymptotic p_permutation p_permutation_error exact_statistic p_exact
        n_allocations n_strata``.
    """
    fields = ["statistic", "df", "p_asymptotic", "p_permutation", "p_permutation_error"]
    fields += ["exact_statistic", "p_exact", "n_allocations", "n_strata"]
    rows = [(name, *(getattr(each, field) for field in fields)) for name, each in comparisons.items()]
    return _tabulate(rows, ["test", *fields])


def _tabulate(rows, columns):
    """A frame of rows; where no float holds the number of allocations it is a Decimal of a few digits."""
    at = columns.index("n_allocations")
    short = Context(prec=3)
    shown = [short.create_decimal(row[at]) if row[at] >= LARGEST else row[at] for row in rows]
    rows = [(*row[:at], each, *row[at + 1 :]) for row, each in zip(rows, shown, strict=True)]
    return pd.DataFrame(rows, columns=columns)


def permute_p(risk, codes, group_scores=None, *, n_draws, seed):
    """P-value of the usual statistic over random relabellings, and its Monte-Carlo standard error.

    `codes` has the group of each subject, counted from 0; `group_scores` are for the trend statistic. NaN
    without draws.
    """
    if not n_draws:
        return float("nan"), float("nan")
    # Not quite the tolerance alone: where the statistic is 0, rounding would decide.
    bound = _calculate(risk, codes[None], group_scores)[0] * (1 - TOLERANCE) - 1e-12
    blocks = draw_allocations(codes, n_draws, seed, risk.strata)
    n_extreme = sum(int((_calculate(risk, each, group_scores) >= bound).sum()) for each in blocks)
    return tuple(map(float, share_extreme(n_extreme, n_draws)))


def share_extreme(n_extreme, n_draws):
    """P-value, (1 + count) / (1 + draws), and its Monte-Carlo standard error."""
    p_value = (1 + n_extreme) / (1 + n_draws)
    return p_value, np.sqrt(p_value * (1 - p_value) / n_draws)


def draw_allocations(codes, n_draws, seed, strata=None):
    """Yield random relabellings in blocks that fit in memory, (n_block, n_subjects).

    Within `strata` where there are any, (n_subjects,), counted from 0.
    """
    rng = np.random.default_rng(seed)
    codes = np.asarray(codes, dtype=np.int8 if max(codes) < 127 else np.int64)
    for start in range(0, n_draws, CHUNK):
        yield shuffle(codes, min(CHUNK, n_draws - start), rng, strata)


def shuffle(values, n_draws, rng, strata=None):
    """Random orders of values, (n_draws, n), within `strata` where there are any, (n,)."""
    block = np.tile(values, (n_draws, 1))
    for own in [slice(None)] if strata is None else [strata == each for each in np.unique(strata)]:
        block[:, own] = rng.permuted(block[:, own], axis=1)
    return block


def adjust_holm(p_values):
    """Holm's step-down adjustment; a missing P counts as 1 in the order and stays missing."""
    from statsmodels.stats.multitest import multipletests

    p_values = np.asarray(p_values, dtype=float)
    if not len(p_values):
        return p_values
    missing = np.isnan(p_values)
    return np.where(missing, np.nan, multipletests(np.where(missing, 1.0, p_values), method="holm")[1])


def _calculate(risk, membership, group_scores):
    if group_scores is None:
        return risk.calculate_chi_square(membership)
    return risk.calculate_trend(membership, group_scores)


def _try_exact(risk, codes, group_scores):
    try:
        return exact_p(risk.scores, codes, trend=group_scores, strata=risk.strata)
    except TooManyAllocationsError:
        return None
