"""Do adverse events depend on the group? Exact trend and exact comparison, term by term.

Both tests condition on the number of patients with the event. Every term of the table of terms has
its row: none is chosen by its P-value, and none is adjusted for the others. Beside each P-value stands the
smallest that the margins can give, for with few patients a term may be unable to show any relation.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from nkhcc_helpers.checks import check_choice, check_vector
from nkhcc_helpers.safety.counts import BLOCK, OVERALL, count_by_term, list_terms
from nkhcc_helpers.safety.differences import SCALE, TOLERANCE, TableP, Tables, list_log_ways
from nkhcc_helpers.trial.metadata import ALL_GROUPS

DEFAULT_SEED = 20260124
N_DRAWS = 100_000
_ROW = [*BLOCK, "grade"]
_NOTHING = TableP(float("nan"), float("nan"), float("nan"), False)


def compare_groups(
    trial,
    *,
    related_only=False,
    emergent_only=True,
    scores="equal",
    n_draws=N_DRAWS,
    seed=DEFAULT_SEED,
):
    """Compare the shares of patients with each adverse event across the groups.

    Parameters
    ----------
    trial : Trial
    related_only, emergent_only : bool
        As in `safety.count_by_term`.
    scores : {"equal", "dose"} or sequence of float, default "equal"
        Scores of the groups for the trend, as `list_scores` takes them.
    n_draws, seed : int
        Random tables, and their seed, where a count of every table is beyond feasible.

    Returns
    -------
    DataFrame
        Columns ``level organ_class term grade p_trend trend_smallest p_groups groups_smallest n_patients
        is_exact p_trend_error p_groups_error``. The first two rows take all events together
        (`safety_terms.OVERALL`): any grade, and grade 3 or more (grade "3+"); then a row for each term, any
        grade, in the order of `safety_terms.list_terms`. ``p_trend``: exact Cochran-Armitage, two-sided
        (`calculate_trend_p`); ``p_groups``: exact Fisher-Freeman-Halton (`calculate_groups_p`);
        ``trend_smallest``, ``groups_smallest``: the smallest each could be. Groups with nobody evaluable are
        left out, the others keep their scores; with fewer than two groups, or where patients with the
        event are not known (for grade 3 or more: no event has a grade), P-values are NaN. The errors are
        Monte-Carlo standard errors, 0 where every table was counted; ``is_exact`` says that both are.

    Raises
    ------
    ValueError
        As `list_scores`; or ``n_draws`` is below 1.
    """
    scores = list_scores(trial, scores).to_numpy()
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1; got {n_draws!r}")
    counts = count_by_term(trial, related_only=related_only, emergent_only=emergent_only)
    counts = _keep_rows(list_terms(counts))
    rows, found = [], {}
    for term, part in counts.groupby(_ROW, sort=False):
        by_group = part[part["group"] != ALL_GROUPS]
        events, sizes = by_group["n_patients"], by_group["n_evaluable"].to_numpy(int)
        key = None if events.isna().any() else (*events.astype(int), *sizes)
        if key not in found:
            found[key] = _compare(events, sizes, scores, n_draws, seed)
        n_patients = part.loc[part["group"] == ALL_GROUPS, "n_patients"].iloc[0]
        rows.append((*term, *_list_columns(*found[key], n_patients)))
    columns = [*_ROW, "p_trend", "trend_smallest", "p_groups", "groups_smallest", "n_patients", "is_exact"]
    table = pd.DataFrame(rows, columns=[*columns, "p_trend_error", "p_groups_error"])
    return table.astype({"n_patients": "Int64"})


def list_scores(trial, scores="equal"):
    """List the scores that the groups have in the test of a trend.

    Parameters
    ----------
    trial : Trial
    scores : {"equal", "dose"} or sequence of float, default "equal"
        ``equal``: 1, 2, 3, ... in the trial's order, so that the groups are taken to be equally far apart,
        whatever their doses. ``dose``: the planned dose of each arm, however many infusions it has; groups
        of one dose have one score. A sequence: one for each group, in order.

    Returns
    -------
    Series of float
        Indexed by group.

    Raises
    ------
    ValueError
        `scores` are not one finite number for each group, or all the same.
    """
    if isinstance(scores, str):
        check_choice(scores, "scores", ("equal", "dose"))
        scores = None if scores == "equal" else [arm.dose for arm in trial.metadata.arms]
    checked = _check_scores(scores, len(trial.groups), "groups of the trial")
    return pd.Series(checked, index=trial.groups, name="score")


def calculate_trend_p(events, sizes, scores=None, *, n_draws=N_DRAWS, seed=DEFAULT_SEED):
    """Test whether the share of patients with the event rises or falls with the score of the group.

    The statistic is T, the sum of the scores of the patients with the event. The P-value is the probability
    of a T at least as far from its mean, on either side, over every table with these margins.

    Parameters
    ----------
    events, sizes : array_like of int, shape (n_groups,)
        Patients with the event and all patients of each group; groups of size 0 are left out.
    scores : array_like of float, shape (n_groups,), optional
        1, 2, 3, ... when absent.
    n_draws, seed : int
        Random tables where a count of every table is beyond feasible.

    Returns
    -------
    TableP
        NaN with fewer than two groups; 1 where the patients with the event are none or all, and where the
        groups that are left have one score. P-values below 1e-12 are right to about 1e-14 only.

    Raises
    ------
    ValueError
        Lengths differ, a number is not whole or negative, there are more patients with the event than
        patients, or `scores` are not finite or all the same.

    References
    ----------
    Cochran (1954) Biometrics 10:417; Armitage (1955) Biometrics 11:375; Agresti (1992) Stat Sci 7:131.
    """
    events, sizes = _check_tables(events, sizes)
    scores = _check_scores(scores, len(sizes), "groups")
    events, sizes, scores = events[sizes > 0], sizes[sizes > 0], scores[sizes > 0]
    if len(sizes) < 2:
        return _NOTHING
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
    """Test whether the share of patients with the event differs between groups.

    The P-value is the probability of every table with these margins that is at most as likely as the
    observed one; tables within 1e-7 of it, relatively, count as equally likely, as in R's ``fisher.test``.

    Parameters
    ----------
    events, sizes, n_draws, seed
        As in `calculate_trend_p`.

    Returns
    -------
    TableP
        As `calculate_trend_p` returns it.

    Raises
    ------
    ValueError
        As `calculate_trend_p`.

    References
    ----------
    Fisher (1935) J R Stat Soc 98:39; Freeman, Halton (1951) Biometrika 38:141.
    """
    events, sizes = _check_tables(events, sizes)
    events, sizes = events[sizes > 0], sizes[sizes > 0]
    if len(sizes) < 2:
        return _NOTHING
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
    order = np.argsort(units)
    distances, log_ways = [], []
    for ordered in (order, order[::-1]):
        same = np.unique(np.cumsum(np.diff(units[ordered], prepend=-1) != 0), return_inverse=True)[1]
        merged = np.bincount(same, sizes[ordered]).astype(int)
        before = np.concatenate([[0], np.cumsum(merged)[:-1]])
        taken = np.clip(n_events - before, 0, merged)
        score = np.array([units[ordered][same == each][0] for each in range(len(merged))])
        distances.append(abs(float(taken @ score) - mean))
        log_ways.append(sum(list_log_ways(int(n))[x] for n, x in zip(merged, taken, strict=True)))
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


def _keep_rows(counts):
    """Rows that are compared; grade 3 or more is not known where there are events and none has a grade."""
    total = counts["level"] == OVERALL
    by_grade = counts[total].groupby("grade")["n_patients"].sum()
    kept = counts[(counts["grade"] == "any") | (total & (counts["grade"] == "3+"))]
    if by_grade["any"] == by_grade["missing"] > 0:
        kept = kept.assign(n_patients=kept["n_patients"].mask(kept["grade"] == "3+"))
    return kept


def _compare(events, sizes, scores, n_draws, seed):
    if events.isna().any():
        return _NOTHING, _NOTHING
    options = {"n_draws": n_draws, "seed": seed}
    events = events.to_numpy(int)
    trend = calculate_trend_p(events, sizes, scores, **options)
    return trend, calculate_groups_p(events, sizes, **options)


def _list_columns(trend, groups, n_patients):
    values = (trend.p_value, trend.smallest, groups.p_value, groups.smallest)
    return (*values, n_patients, trend.is_exact and groups.is_exact, trend.error, groups.error)


def _check_tables(events, sizes):
    events, sizes = check_vector(events, "events"), check_vector(sizes, "sizes")
    if len(events) != len(sizes):
        raise ValueError(f"events has {len(events)} values and sizes has {len(sizes)}; they must match")
    for values, name in ((events, "events"), (sizes, "sizes")):
        if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
            raise ValueError(f"{name} must be whole numbers, at least 0; got {values.tolist()}")
    if (events > sizes).any():
        raise ValueError(f"events {events.tolist()} must not be more than sizes {sizes.tolist()}")
    return events.astype(int), sizes.astype(int)


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
