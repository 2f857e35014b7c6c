"""Do adverse events depend on the group? Exact trend and exact comparison, term by term.

Both condition on the number of patients with the event. No term is chosen by its P-value, and none adjusted
for others. With few patients a term may be unable to show any relation: the smallest P-value says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import special

from nkhcc_helpers.checks import check_choice, check_vector, keeps_options
from nkhcc_helpers.safety.counts import BLOCK, OVERALL, count_by_term, list_terms
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, share_extreme
from nkhcc_helpers.trial.metadata import ALL_GROUPS

N_DRAWS = 100_000
SCALE = 1e9  # values are compared as whole numbers of 1 / SCALE, so that sorting and merging are exact
TOLERANCE = 100  # 1e-7, the relative difference of probabilities that R's fisher.test takes for none
NEGLIGIBLE = 1e-8  # of the probability of the observed table
SMALLEST = 1e-15  # no probability below is told from it
MOST_STATES = 3_000_000  # tables of a half held at once


@dataclass(frozen=True)
class TableP:
    """A P-value over tables with fixed margins, and the smallest that these margins can give.

    `error` is its Monte-Carlo standard error, 0 where it is exact: every table was counted.
    """

    p_value: float = float("nan")
    error: float = float("nan")
    smallest: float = float("nan")
    is_exact: bool = False


@keeps_options
def compare_groups(
    trial, *, related_only=False, emergent_only=True, scores="equal", n_draws=N_DRAWS, seed=DEFAULT_SEED
):
    """Compare the shares of patients with each adverse event across the groups.

    Cochran (1954) Biometrics 10:417; Armitage (1955) Biometrics 11:375; Agresti (1992) Stat Sci 7:131; Fisher
    (1935) J R Stat Soc 98:39; Freeman, Halton (1951) Biometrika 38:141.

    Parameters
    ----------
    related_only, emergent_only : bool
        As in `count_by_term`.
    scores : {"equal", "dose"} or sequence of float, default "equal"
        Scores of the groups for the trend, as of `list_scores`, with the same errors.
    n_draws, seed : int
        Random tables, at least one, where a count of every table is beyond feasible, and their seed.

    Returns
    -------
    DataFrame
        Columns ``level organ_class term grade p_trend trend_smallest p_groups groups_smallest n_patients
        is_exact p_trend_error p_groups_error``. The first two rows take all events together (`OVERALL`): any
        grade, and grade 3 or more (grade "3+"); then a row for each term, any grade, in the order of
        `list_terms`. ``p_trend``: exact Cochran-Armitage, two-sided; ``p_groups``: exact
        Fisher-Freeman-Halton; ``trend_smallest``, ``groups_smallest``: the smallest each could be. Groups
        with nobody evaluable are left out, the others keep their scores; with fewer than two groups, or
        where patients with the event are not known (for grade 3 or more: no event has a grade), P-values
        are NaN. The errors are Monte-Carlo standard errors, 0 where every table was counted; ``is_exact``
        says that both are.
    """
    scores = list_scores(trial, scores).to_numpy()
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1; got {n_draws!r}")
    counts = count_by_term(trial, related_only=related_only, emergent_only=emergent_only)
    rows, found = [], {}
    for row, part in _keep_rows(list_terms(counts)).groupby([*BLOCK, "grade"], sort=False):
        everybody = part["group"] == ALL_GROUPS
        events, sizes = (part.loc[~everybody, name] for name in ("n_patients", "n_evaluable"))
        key = (None,) if events.isna().any() else (*events.astype(int), *sizes)
        if key not in found:
            found[key] = compare_counts(events, sizes, scores, n_draws, seed)
        n_patients = part.loc[everybody, "n_patients"].iloc[0]
        rows.append(dict(zip([*BLOCK, "grade"], row, strict=True)) | found[key] | {"n_patients": n_patients})
    columns = [*BLOCK, "grade", "p_trend", "trend_smallest", "p_groups", "groups_smallest", "n_patients"]
    table = pd.DataFrame(rows, columns=[*columns, "is_exact", "p_trend_error", "p_groups_error"])
    return table.astype({"n_patients": "Int64"})


def _keep_rows(counts):
    """Rows that are compared; grade 3 or more is not known where there are events and none has a grade."""
    total = counts["level"] == OVERALL
    by_grade = counts[total].groupby("grade")["n_patients"].sum()
    kept = counts[(counts["grade"] == "any") | (total & (counts["grade"] == "3+"))]
    if by_grade["any"] == by_grade["missing"] > 0:
        kept = kept.assign(n_patients=kept["n_patients"].mask(kept["grade"] == "3+"))
    return kept


def compare_counts(events, sizes, scores, n_draws, seed):
    """Both tests of one row, by the names of their columns."""
    trend = groups = TableP()
    if events.notna().all():
        options = {"n_draws": n_draws, "seed": seed}
        trend = calculate_trend_p(events.astype(int), sizes, scores, **options)
        groups = calculate_groups_p(events.astype(int), sizes, **options)
    found = {"is_exact": trend.is_exact and groups.is_exact}
    for name, each in {"trend": trend, "groups": groups}.items():
        found |= {f"p_{name}": each.p_value, f"{name}_smallest": each.smallest, f"p_{name}_error": each.error}
    return found


def list_scores(trial, scores="equal"):
    """List the scores that the groups have in the test of a trend.

    Parameters
    ----------
    scores : {"equal", "dose"} or sequence of float, default "equal"
        ``equal``: 1, 2, 3, ... in the trial's order, so that the groups are taken to be equally far apart,
        whatever their doses. ``dose``: the planned dose of each arm, however many infusions it has; groups
        of one dose have one score. A sequence: one finite number for each group, in
        order, not all the same, or ValueError.

    Returns
    -------
    Series of float
        Indexed by group.
    """
    if isinstance(scores, str):
        check_choice(scores, "scores", ("equal", "dose"))
        scores = None if scores == "equal" else [arm.dose for arm in trial.metadata.arms]
        if scores is not None and None in scores:
            raise ValueError("scores cannot be 'dose': trial.yaml does not give the dose of every arm")
    checked = _check_scores(scores, len(trial.groups), "groups of the trial")
    return pd.Series(checked, index=trial.groups, name="score")


def calculate_trend_p(events, sizes, scores=None, *, n_draws=N_DRAWS, seed=DEFAULT_SEED):
    """P-value (`TableP`) that the share of patients with the event rises or falls with the group's score.

    The probability, over every table with these margins, of a sum of the scores of the patients with the
    event at least as far from its mean, on either side (exact Cochran-Armitage). Groups of size 0 are left
    out. NaN with fewer than two groups; 1 where the patients with the event are none or all, and where the
    groups that are left have one score. Values below 1e-12 are right to about 1e-14 only.
    """
    events, sizes, is_kept = _check_tables(events, sizes)
    scores = _check_scores(scores, len(is_kept), "groups")[is_kept]
    if len(sizes) < 2:
        return TableP()
    if events.sum() in (0, sizes.sum()) or np.ptp(scores) == 0:
        return TableP(1.0, 0.0, 1.0, True)
    scores = (scores - scores.min()) / np.ptp(scores)
    units = np.rint(SCALE * scores).astype(np.int64)
    tables = Tables(events, sizes, tuple(u * np.arange(n + 1) for u, n in zip(units, sizes, strict=True)))
    mean = float(events.sum() * (units @ (sizes / sizes.sum())))
    smallest = _find_smallest_trend(events.sum(), sizes, units, mean)
    distance = abs(tables.total - mean) - TOLERANCE
    if distance <= 0:
        return TableP(1.0, 0.0, smallest, True)
    bounds = int(np.floor(mean - distance)), int(np.ceil(mean + distance))
    return _find_p(tables, *bounds, smallest, n_draws, seed)


def calculate_groups_p(events, sizes, *, n_draws=N_DRAWS, seed=DEFAULT_SEED):
    """P-value (`TableP`) that the share of patients with the event differs between groups.

    The probability of every table with these margins that is at most as likely as the observed one
    (Fisher-Freeman-Halton); tables within 1e-7 of it, relatively, count as equally likely, as in R's
    ``fisher.test``. NaN and 1 as in `calculate_trend_p`.
    """
    events, sizes, _ = _check_tables(events, sizes)
    if len(sizes) < 2:
        return TableP()
    if events.sum() in (0, sizes.sum()):
        return TableP(1.0, 0.0, 1.0, True)
    ways = [list_log_ways(int(size)) for size in sizes]
    tables = Tables(events, sizes, tuple(np.rint(SCALE * each).astype(np.int64) for each in ways))
    smallest = _find_smallest_groups(events.sum(), sizes, ways)
    return _find_p(tables, tables.total + TOLERANCE, None, smallest, n_draws, seed)


def _find_p(tables, lower, upper, smallest, n_draws, seed):
    p_value = tables.calculate_tail(lower, upper)
    if p_value is not None:
        return TableP(max(p_value, smallest), 0.0, smallest, True)
    p_value, error = tables.draw_tail(lower, upper, n_draws=n_draws, seed=seed)
    return TableP(p_value, error, smallest, False)


def _find_smallest_trend(n_events, sizes, units, mean):
    """Probability of the tables farthest from the mean: all events in the groups at one end, or the other."""
    scores, place = np.unique(units, return_inverse=True)
    merged = np.bincount(place, sizes).astype(int)
    distances, log_ways = [], []
    for score, size in ((scores, merged), (scores[::-1], merged[::-1])):
        taken = np.clip(n_events - np.append(0, np.cumsum(size)[:-1]), 0, size)
        distances.append(abs(float(taken @ score) - mean))
        log_ways.append(sum(list_log_ways(int(n))[x] for n, x in zip(size, taken, strict=True)))
    farthest = np.array(distances) >= max(distances) - TOLERANCE
    log_all = list_log_ways(int(sizes.sum()))[n_events]
    return float(min(1.0, np.exp(np.array(log_ways)[farthest] - log_all).sum()))


def _find_smallest_groups(n_events, sizes, ways):
    """Probability of the least likely tables.

    The ways to choose are log-concave, so that in a least likely table at most one group is neither without
    events nor full; the others are counted by how many patients they have together.
    """
    found = []
    for place, size in enumerate(sizes):
        full = _count_subsets(np.delete(sizes, place), n_events)
        partial = np.arange(1, size)
        partial = partial[partial <= n_events]
        found.append((ways[place][partial], full[n_events - partial]))
    found.append((np.zeros(1), _count_subsets(sizes, n_events)[[n_events]]))
    log_ways, counts = (np.concatenate(each) for each in zip(*found, strict=True))
    log_ways, counts = log_ways[counts > 0], counts[counts > 0]
    least = log_ways <= log_ways.min() + TOLERANCE / SCALE
    log_all = list_log_ways(int(sizes.sum()))[n_events]
    return float(min(1.0, np.exp(special.logsumexp(log_ways[least], b=counts[least]) - log_all)))


def _count_subsets(sizes, most):
    """How many sets of groups have 0, 1, ..., `most` patients together."""
    counts = np.zeros(most + 1)
    counts[0] = 1
    for size in sizes[sizes <= most]:
        counts[size:] = counts[size:] + counts[: most + 1 - size]
    return counts


def _check_tables(events, sizes):
    """Patients with the event and all of the groups with any, and which groups these are."""
    events, sizes = check_vector(events, "events"), check_vector(sizes, "sizes")
    if len(events) != len(sizes):
        raise ValueError(f"events has {len(events)} values and sizes has {len(sizes)}; they must match")
    for values, name in ((events, "events"), (sizes, "sizes")):
        if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
            raise ValueError(f"{name} must be whole numbers, at least 0; got {values.tolist()}")
    if (events > sizes).any():
        raise ValueError(f"events {events.tolist()} must not be more than sizes {sizes.tolist()}")
    return events[sizes > 0].astype(int), sizes[sizes > 0].astype(int), sizes > 0


def _check_scores(scores, n_groups, what):
    if scores is None:
        return np.arange(1.0, n_groups + 1)
    scores = check_vector(scores, "scores")
    if len(scores) != n_groups:
        raise ValueError(f"scores has {len(scores)} values for {n_groups} {what}; they must match one to one")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite numbers; got {scores.tolist()}")
    if n_groups > 1 and np.ptp(scores) == 0:
        raise ValueError("scores are all the same; a trend needs at least two different ones")
    return scores


@dataclass(frozen=True)
class Tables:
    """Tables with fixed margins and a statistic that adds up over the groups.

    `events`, `sizes`: patients with the event, and all, of shape (n_groups,). `values`: for each group what
    each number of patients with the event, 0 to its size, adds to the statistic, in units of 1 / `SCALE`.
    """

    events: np.ndarray
    sizes: np.ndarray
    values: tuple[np.ndarray, ...]

    @property
    def total(self):
        """Statistic of the observed table."""
        return int(sum(value[x] for value, x in zip(self.values, self.events, strict=True)))

    def calculate_tail(self, lower, upper):
        """Probability of a statistic up to `lower` or from `upper` on (if any); None: too many tables."""
        n_events, n_all = int(self.events.sum()), int(self.sizes.sum())
        likely = [_list_binomial(int(size), n_events / n_all) for size in self.sizes]
        given = _list_binomial(n_all, n_events / n_all)[n_events]
        observed = np.prod([each[x] for each, x in zip(likely, self.events, strict=True)])
        floor = max(NEGLIGIBLE * observed, SMALLEST * given) / len(self.sizes)
        parts = [_State.of_group(*each, floor) for each in zip(self.values, likely, strict=True)]
        left, right = _split(parts)
        left = _combine(left, n_events, floor)
        right = None if left is None else _combine(right, n_events, floor)
        if right is None:
            return None
        tail = _sum_pairs(*sorted([left, right], key=lambda half: -len(half.used)), n_events, lower, upper)
        return float(np.clip(max(tail, observed) / given, 0, 1))

    def draw_tail(self, lower, upper, *, n_draws, seed):
        """As `calculate_tail`, over random tables: (1 + count) / (1 + draws), and its standard error."""
        draws = _draw_tables(tuple(self.sizes.tolist()), int(self.events.sum()), n_draws, seed)
        totals = sum(value[draws[:, place]] for place, value in enumerate(self.values))
        beyond = totals <= lower if upper is None else (totals <= lower) | (totals >= upper)
        return tuple(map(float, share_extreme(beyond.sum(), n_draws)))


@lru_cache(maxsize=1)
def _draw_tables(sizes, n_events, n_draws, seed):
    """Random tables, of which both tests of a term make use; do not write to them."""
    random = np.random.default_rng(seed)
    return random.multivariate_hypergeometric(sizes, n_events, n_draws, method="marginals")


@dataclass(frozen=True)
class _State:
    """Tables of some of the groups: patients with the event, statistic, probability."""

    used: np.ndarray
    value: np.ndarray
    weight: np.ndarray

    @classmethod
    def of_group(cls, value, weight, floor):
        return cls(np.arange(len(value)), value, weight)._keep(weight >= floor / len(value))

    def add(self, other, n_events, floor):
        used = np.add.outer(self.used, other.used).ravel()
        value = np.add.outer(self.value, other.value).ravel()
        weight = np.multiply.outer(self.weight, other.weight).ravel()
        return _State(used, value, weight)._keep((used <= n_events) & (weight >= floor / len(weight)))

    def merge(self):
        """Take tables with the same number of patients and the same statistic together."""
        # One key sorts faster than two columns.
        key = self.used * (np.ptp(self.value) + 1) + (self.value - self.value.min())
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        used, value, weight = (each[order] for each in (self.used, self.value, self.weight))
        return _State(used[first], value[first], np.add.reduceat(weight, first))

    def _keep(self, kept):
        return _State(self.used[kept], self.value[kept], self.weight[kept])


def _split(parts):
    """Put the groups into two halves with about as many tables each, the one with more first."""
    halves, counts = ([], []), [1, 1]
    for part in sorted(parts, key=lambda each: -len(each.used)):
        smaller = int(counts[1] < counts[0])
        halves[smaller].append(part)
        counts[smaller] *= len(part.used)
    return halves if counts[0] >= counts[1] else halves[::-1]


def _combine(parts, n_events, floor):
    """List the tables of some groups; None where there are too many."""
    if not parts:
        return _State(np.zeros(1, int), np.zeros(1, int), np.ones(1))
    state = parts[0]
    for part in parts[1:]:
        if len(state.used) * len(part.used) > MOST_STATES:
            return None
        state = state.add(part, n_events, floor)
        if len(parts) > 2:
            state = state.merge()
    return state


def _sum_pairs(left, right, n_events, lower, upper):
    """Probability of the pairs of tables with `n_events` patients and a statistic out of the bounds."""
    rest = n_events - left.used
    value, weight, rest = left.value[rest >= 0], left.weight[rest >= 0], rest[rest >= 0]
    least, span = right.value.min(), int(np.ptp(right.value)) + 1
    key = right.used * span + (right.value - least)
    order = np.argsort(key)
    key = key[order]
    # The extended precision keeps differences of sums over many tables right for rare ones.
    up_to = np.concatenate([[0], np.cumsum(right.weight[order], dtype=np.longdouble)])
    start = np.searchsorted(key, np.arange(n_events + 2) * span)
    below = np.clip(lower - value - least, -1, span - 1)
    tail = up_to[np.searchsorted(key, rest * span + below, side="right")] - up_to[start[rest]]
    if upper is not None:
        above = np.clip(upper - value - least, 0, span)
        tail += up_to[start[rest + 1]] - up_to[np.searchsorted(key, rest * span + above, side="left")]
    return float((weight * tail).sum())


def _list_binomial(size, share):
    """Probability of 0, 1, ..., `size` patients with the event."""
    chosen = np.arange(size + 1)
    return np.exp(list_log_ways(size) + chosen * np.log(share) + (size - chosen) * np.log1p(-share))


@lru_cache(maxsize=64)
def list_log_ways(size):
    """Logarithm of the ways to choose 0, 1, ..., `size` of `size` patients; do not write to it."""
    up_to = special.gammaln(np.arange(size + 1) + 1.0)
    return up_to[-1] - up_to - up_to[::-1]
