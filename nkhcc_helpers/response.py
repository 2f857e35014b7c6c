"""Who responded: best overall responses, rates with exact limits, and exact tests across the groups.

`trial` is a `Trial`. Everybody of a group counts, whoever was not assessed as not responding; where no best
response is known of anybody, no result has a row.
"""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.checks import keeps_options
from nkhcc_helpers.safety.differences import estimate_shares
from nkhcc_helpers.safety.relation import N_DRAWS, compare_counts, list_scores
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.trial.patients import list_with_all
from nkhcc_helpers.trial.responses import BEST_RESPONSES, NOT_ASSESSED

__all__ = ["compare_responses", "count_responses", "estimate_response_rates"]

OBJECTIVE, CONTROL = "objective response", "disease control"
RATES = {OBJECTIVE: ("CR", "PR"), CONTROL: ("CR", "PR", "SD")}


@keeps_options
def count_responses(trial):
    """Count patients by their best overall response.

    Returns
    -------
    DataFrame
        Columns ``best group n_patients n percent``; a row for each of CR, PR, SD, PD, NE and "" (not
        assessed), and group, "All" last. ``n`` are all patients of the group, ``percent`` is of them, NaN
        where there are none.
    """
    counts = _count(trial, {best: (best,) for best in (*BEST_RESPONSES, NOT_ASSESSED)}, "best")
    return counts.assign(percent=100 * counts["n_patients"] / counts["n"].where(counts["n"] > 0))


@keeps_options
def estimate_response_rates(trial, *, conf_level=0.95):
    """Estimate the rates of objective response (CR or PR) and of disease control (CR, PR or SD).

    Clopper, Pearson (1934) Biometrika 26:404.

    Parameters
    ----------
    conf_level : float, default 0.95
        Confidence level, two-sided, between 0 and 1 or ValueError.

    Returns
    -------
    DataFrame
        Columns ``rate group n_patients n percent ci_lower ci_upper``, a row for each rate and group, "All"
        last; of all patients of the group, in percent, with exact limits, NaN where there are none.
    """
    counts = _count(trial, RATES, "rate").rename(columns={"n": "n_evaluable"})
    return estimate_shares(counts, conf_level=conf_level).rename(columns={"n_evaluable": "n"})


@keeps_options
def compare_responses(trial, *, scores="equal", n_draws=N_DRAWS, seed=DEFAULT_SEED):
    """Compare the rates of response across the groups, by the exact tests of `safety.compare_groups`.

    Parameters
    ----------
    scores : {"equal", "dose"} or sequence of float, default "equal"
        Scores of the groups for the trend, as of `safety.list_scores`, with the same errors.
    n_draws, seed : int
        Random tables, where a count of every table is beyond feasible, and their seed.

    Returns
    -------
    DataFrame
        Columns ``rate n_patients n p_trend trend_smallest p_trend_error p_groups groups_smallest
        p_groups_error is_exact``, as of `safety.compare_groups`; a row for each rate. Groups without
        patients are left out; NaN with fewer than two groups.
    """
    scored, rows = list_scores(trial, scores).to_numpy(), []
    for rate, part in _count(trial, RATES, "rate").groupby("rate", sort=False):
        groups, everybody = part.iloc[:-1], part.iloc[-1]
        tests = compare_counts(groups["n_patients"], groups["n"], scored, n_draws, seed)
        rows.append({"rate": rate, **everybody[["n_patients", "n"]], **tests})
    columns = ["rate", "n_patients", "n", "p_trend", "trend_smallest", "p_trend_error"]
    return pd.DataFrame(rows, columns=[*columns, "p_groups", "groups_smallest", "p_groups_error", "is_exact"])


def _count(trial, kinds, name):
    """Patients whose best response is one of each kind, by kind and group; no row where none is known."""
    everyone = list_with_all(trial.responses, trial.groups)
    parts = []
    for kind, of_it in kinds.items():
        counted = everyone["best"].isin(of_it).groupby(everyone["group"], observed=False)
        parts.append(counted.agg(n_patients="sum", n="size").assign(**{name: kind}).reset_index())
    counts = pd.concat(parts, ignore_index=True)[[name, "group", "n_patients", "n"]]
    counts = counts.astype({"n_patients": int})
    return counts if len(trial.responses) else counts.iloc[:0]
