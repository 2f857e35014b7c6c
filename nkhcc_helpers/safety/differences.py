"""Shares of patients with an event, and how they differ between groups, with limits.

Between groups of 3 to 6 patients the Miettinen-Nurminen 95 % interval covers, at worst, 85 % (mean 97 %) and
Newcombe's 83 % (mean 95 %). The exact unconditional interval of Agresti and Min covers at least 95 % (mean
97 %) and is 1 to 3 % wider than Miettinen-Nurminen's. It is taken where groups are small enough for it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import check_choice, check_conf_level, keeps_options
from nkhcc_helpers.trial.metadata import ALL_GROUPS

EXACT = "exact unconditional"
SCORE = "Miettinen-Nurminen"
MOST_TABLES = 500
"""Tables of two groups up to which the exact limits are computed: (n + 1) x (n of the reference + 1)."""
_STEPS = 1_000  # differences tried between 0 and 1
_POINTS = 101  # nuisance probabilities tried for each difference
_CHUNK = 2_000_000  # probabilities held at once
_MEASURES = ["group", "n_patients", "n_evaluable", "percent", "n_events", "ci_lower", "ci_upper"]


@keeps_options
def estimate_shares(counts, *, conf_level=0.95):
    """Estimate the share of patients behind each count, with exact limits.

    Clopper, Pearson (1934) Biometrika 26:404.

    Parameters
    ----------
    counts : DataFrame
        Columns ``n_patients n_evaluable``, as `count_adverse_events` and `count_by_term` return them.
    conf_level : float, default 0.95
        Confidence level, two-sided, between 0 and 1 or ValueError.

    Returns
    -------
    DataFrame
        `counts` with ``percent ci_lower ci_upper`` in percent, NaN where the count is NA or nobody is
        evaluable.
    """
    check_conf_level(conf_level)
    pairs = zip(counts["n_patients"], counts["n_evaluable"], strict=True)
    shares = [
        _estimate_share(int(x), int(n), conf_level) if n > 0 and pd.notna(x) else (np.nan,) * 3
        for x, n in pairs
    ]
    columns = ["percent", "ci_lower", "ci_upper"]
    estimates = 100 * pd.DataFrame(shares, columns=columns, index=counts.index, dtype=float)
    return counts.drop(columns="percent", errors="ignore").join(estimates)


@lru_cache(maxsize=4096)
def _estimate_share(n_patients, n_evaluable, conf_level):
    limits = stats.binomtest(n_patients, n_evaluable).proportion_ci(conf_level, "exact")
    return n_patients / n_evaluable, limits.low, limits.high


def estimate_upper_limits(counts, *, conf_level):
    """Upper Clopper-Pearson limits, one-sided, in percent; NaN where `estimate_shares` has NaN."""
    x, n = (_read(counts[column]) for column in ("n_patients", "n_evaluable"))
    n = np.where(n > 0, n, np.nan)
    rest = np.where(x < n, n - x, np.nan)
    return 100 * np.where(x == n, 1.0, stats.beta.ppf(conf_level, x + 1, rest))


@keeps_options
def estimate_differences(counts, reference, *, conf_level=0.95, interval="auto"):
    """Estimate, row by row, how the share of patients differs between each group and the reference group.

    Miettinen, Nurminen (1985) Stat Med 4:213; Agresti, Min (2001) Biometrics 57:963; Newcombe (1998) Stat
    Med 17:873.

    Parameters
    ----------
    counts : DataFrame
        Columns ``group n_patients n_evaluable``, as `count_adverse_events` and `count_by_term` return them;
        other columns than counts and percentages name the row.
    reference : str
        Code of the group the others are compared with, one of `counts` or ValueError.
    conf_level : float, default 0.95
        Confidence level, two-sided, between 0 and 1 or ValueError; of each interval, not of all together.
    interval : {"auto", "exact", "score"}, default "auto"
        ``exact``: exact unconditional, the differences that a two-sided score test does not reject,
        whatever the share in the reference group (Agresti, Min); limits are rounded outwards to a tenth
        of a percentage point. ``score``: Miettinen-Nurminen. ``auto``: exact where the two groups give at
        most 500 tables, and score beyond.

    Returns
    -------
    DataFrame
        The columns that name the row, then ``group reference difference ci_lower ci_upper interval``; one
        row for each row and group other than the reference and "All", in the order of `counts`. Difference
        and limits are in percentage points, group minus reference; NaN where a count is NA or nobody is
        evaluable. ``interval`` is "exact unconditional" or "Miettinen-Nurminen".
    """
    check_conf_level(conf_level)
    check_choice(interval, "interval", ("auto", "exact", "score"))
    code = counts["group"].astype("str")
    groups = [each for each in code.unique() if each != ALL_GROUPS]
    if reference not in groups:
        raise ValueError(f"reference must be one of {', '.join(groups)}; got {reference!r}")
    names = [column for column in counts if column not in _MEASURES]
    row = counts.groupby(names, sort=False, dropna=False, observed=True).ngroup() if names else 0
    sizes = ["n_patients", "n_evaluable"]
    numbered = pd.DataFrame({name: _read(counts[name]) for name in sizes}, index=counts.index).assign(row=row)
    against = numbered[(code == reference).to_numpy()].set_index("row")
    shown = ~code.isin([reference, ALL_GROUPS])
    tables = np.hstack([numbered.loc[shown, sizes], against.reindex(numbered.loc[shown, "row"])])
    found = counts.loc[shown, [*names, "group"]].reset_index(drop=True)
    found["group"] = pd.Categorical(code[shown], [each for each in groups if each != reference], ordered=True)
    found["reference"] = reference
    return found.assign(**_estimate(tables, conf_level, interval))


def _read(column):
    return column.astype("Float64").to_numpy(float, na_value=np.nan)


def _estimate(tables, conf_level, interval):
    """Difference, limits and their name for each table."""
    known = ~np.isnan(tables).any(axis=1) & (tables[:, 1] > 0) & (tables[:, 3] > 0)
    x, n, x_ref, n_ref = tables.T
    exact = np.full(len(tables), interval == "exact")
    if interval == "auto":
        exact = (n + 1) * (n_ref + 1) <= MOST_TABLES
    difference, lower, upper = np.full((3, len(tables)), np.nan)
    difference[known] = 100 * (x[known] / n[known] - x_ref[known] / n_ref[known])
    scored = known & ~exact
    lower[scored], upper[scored] = calculate_score_limits(*tables[scored].T, conf_level=conf_level)
    for place in np.flatnonzero(known & exact):
        limits = calculate_exact_limits(int(n[place]), int(n_ref[place]), conf_level=conf_level)
        lower[place], upper[place] = limits[:, int(x[place]), int(x_ref[place])]
    name = np.where(exact, EXACT, SCORE)
    return {"difference": difference, "ci_lower": lower, "ci_upper": upper, "interval": name}


def calculate_score_limits(n_patients, n_evaluable, n_patients_ref, n_evaluable_ref, *, conf_level=0.95):
    """Miettinen-Nurminen limits of differences of two shares, in percentage points, right to 1e-9.

    Arrays of shape (n_tables,) in and out: patients with the event and all, of the group and the reference.
    statsmodels' limits of that name differ from those published, and fail for shares of 0 or 1.
    """
    table = np.asarray([n_patients, n_evaluable, n_patients_ref, n_evaluable_ref], float)
    most = stats.norm.ppf((1 + conf_level) / 2)
    estimate = table[0] / table[1] - table[2] / table[3]
    limits = []
    for side in (1, -1):
        kept, rejected = estimate, np.full_like(estimate, -side)
        for _ in range(45):
            middle = (kept + rejected) / 2
            beyond = side * _calculate_score(*table, middle) > most
            kept, rejected = np.where(beyond, kept, middle), np.where(beyond, middle, rejected)
        limits.append(100 * kept)
    return tuple(limits)


@lru_cache(maxsize=256)
def calculate_exact_limits(n_evaluable, n_evaluable_ref, *, conf_level=0.95):
    """Exact unconditional limits (Agresti, Min) of a difference of shares, for every table of two groups.

    Kept are differences at which a score statistic at least as far from 0 as the observed one has a
    probability above 1 - `conf_level` for some share in the reference group. Lower and upper limits, shape
    (2, n_evaluable + 1, n_evaluable_ref + 1), by patients with the event, in percentage points, rounded
    outwards to tenths; do not write to it.
    """
    shape = n_evaluable + 1, n_evaluable_ref + 1
    with_event = [each.ravel().astype(float) for each in np.indices(shape)]
    sizes = float(n_evaluable), float(n_evaluable_ref)
    tried = np.arange(_STEPS)
    size = max(1, _CHUNK // (len(with_event[0]) * _POINTS))
    blocks = [tried[start : start + size] for start in range(0, _STEPS, size)]
    p_values = np.concatenate([_calculate_p(with_event, sizes, block / _STEPS) for block in blocks])
    # With and without the event changed over, the difference and its limits change sign.
    both = np.concatenate([p_values[:0:-1, ::-1], p_values]) > 1 - conf_level
    lower = np.argmax(both, axis=0) - _STEPS
    upper = _STEPS - np.argmax(both[::-1], axis=0)
    return 100 / _STEPS * np.stack([lower, upper]).reshape(2, *shape)


def _calculate_p(with_event, sizes, differences):
    """P-value of every table at each difference, the largest over the share in the reference group."""
    x, x_ref = with_event
    score = _calculate_score(x, sizes[0], x_ref, sizes[1], differences[:, None])
    far = -np.abs(np.round(score, 9))
    order = np.argsort(far, axis=1)
    # Evenly spaced on the arcsine scale, on which a binomial share varies as much everywhere.
    share_ref = np.sin(np.linspace(0, np.pi / 2, _POINTS)) ** 2 * (1 - differences[:, None])
    likely = _list_probabilities(share_ref + differences[:, None], sizes[0])[:, :, None, :]
    likely = likely * _list_probabilities(share_ref, sizes[1])[:, None, :, :]
    likely = likely.reshape(len(differences), len(x), _POINTS)
    up_to = np.cumsum(np.take_along_axis(likely, order[:, :, None], axis=1), axis=1).max(axis=2)
    ordered = np.take_along_axis(far, order, axis=1)
    # Tables equally far count together: each takes the sum up to the last of them.
    last = np.where(np.diff(ordered, axis=1, append=np.inf) > 0, np.arange(len(x)), len(x))
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    p_values = np.empty_like(far)
    np.put_along_axis(p_values, order, np.take_along_axis(up_to, last, axis=1), axis=1)
    return p_values


def _list_probabilities(share, size):
    """Binomial probabilities of 0 to `size` patients, on an axis before the last."""
    return stats.binom.pmf(np.arange(size + 1)[:, None], size, np.clip(share, 0, 1)[:, None, :])


def _calculate_score(x, n, x_ref, n_ref, difference):
    """Miettinen-Nurminen score statistic of a difference of two shares."""
    share_ref = _fit_reference(x, n, x_ref, n_ref, difference)
    share = share_ref + difference
    variance = share * (1 - share) / n + share_ref * (1 - share_ref) / n_ref
    variance = np.maximum(variance, 0) * (n + n_ref) / (n + n_ref - 1)
    gap = x / n - x_ref / n_ref - difference
    gap = np.where(np.abs(gap) < 1e-12, 0, gap)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0, gap / np.sqrt(variance))


def _fit_reference(x, n, x_ref, n_ref, difference):
    """Share in the reference group of greatest likelihood, given the difference, in closed form."""
    cubic = n + n_ref
    square = (n + 2 * n_ref) * difference - cubic - x - x_ref
    linear = (n_ref * difference - cubic - 2 * x_ref) * difference + x + x_ref
    constant = x_ref * difference * (1 - difference)
    shift = square / (3 * cubic)
    turn = shift**3 - square * linear / (6 * cubic**2) + constant / (2 * cubic)
    radius = np.sqrt(np.maximum(shift**2 - linear / (3 * cubic), 0)) * np.where(turn < 0, -1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(radius == 0, 0, turn / radius**3)
    angle = (np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3
    share = 2 * radius * np.cos(angle) - shift
    return np.clip(share, np.maximum(0, -difference), np.minimum(1, 1 - difference))
