"""Answers over compatible cohorts put together endpoint by endpoint, for the sentences of a page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.compatible_answers import HOLDS_IN_ALL, HOLDS_IN_NONE, HOLDS_IN_SOME
from nkhcc_helpers.compatible_narrowing import NARROWING, drop_claims
from nkhcc_helpers.compatible_statistics import calculate_statistics

VERDICTS = {HOLDS_IN_ALL: "in_all", HOLDS_IN_SOME: "in_some", HOLDS_IN_NONE: "in_none"}
TRUSTED_SIZE, TRUSTED_R_HAT, TRUSTED_DIFFERENCE = 400, 1.01, 3.0
SIDES = ["n_fits", "n_below", "n_above", "n_either", "not_settled"]


def list_claims(claimed):
    """Claims as numbers, with the interval that each printed one stands for.

    Parameters
    ----------
    claimed : ClaimedTrial

    Returns
    -------
    DataFrame
        Columns ``kind endpoint group value lowest highest``; sizes of groups first.
    """
    rows = [("group_size", None, group, size, size, size) for group, size in claimed.sizes.items()]
    for claim in claimed.claims:
        of = [getattr(claim, name, None) for name in ("endpoint", "group")]
        rows.append((claim.kind, *of, claim.value, *claim.limits))
    return pd.DataFrame(rows, columns=["kind", "endpoint", "group", "value", "lowest", "highest"])


def list_assumptions(claimed):
    """Assumptions by name.

    Parameters
    ----------
    claimed : ClaimedTrial

    Returns
    -------
    DataFrame
        Columns ``assumption endpoint value``, the endpoint for what is assumed of one only.
    """
    given = claimed.assumptions.model_dump()
    censored = given.pop("censored")
    rows = [(name, None, str(value)) for name, value in given.items()]
    for each in censored:
        endpoint = each.pop("endpoint")
        rows += [(f"censored {name}", endpoint, str(value)) for name, value in each.items()]
    return pd.DataFrame(rows, columns=["assumption", "endpoint", "value"])


def count_trusted(diagnosed):
    """Count the statistics for which a sample is good enough.

    Parameters
    ----------
    diagnosed : DataFrame
        As of `compatible_diagnostics.diagnose`.

    Returns
    -------
    dict of str to int
        ``n_varying`` statistics that vary; ``n_small`` of them with an effective size below `TRUSTED_SIZE`,
        ``n_r_hat`` with an R-hat of `TRUSTED_R_HAT` or more, ``n_starts`` with starts that differ by
        `TRUSTED_DIFFERENCE` standard errors or more.
    """
    varying = diagnosed[diagnosed["effective_size"].notna()]
    return {
        "n_varying": len(varying),
        "n_small": int((varying["effective_size"] < TRUSTED_SIZE).sum()),
        "n_r_hat": int((varying["r_hat"] >= TRUSTED_R_HAT).sum()),
        "n_starts": int((varying["starts_differ"].abs() >= TRUSTED_DIFFERENCE).sum()),
    }


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


def gather_verdicts(conclusions, labels):
    """Which statistics carry a conclusion that holds in all compatible cohorts, in some and in none.

    Parameters
    ----------
    conclusions : DataFrame
        As of `compatible_answers.judge_conclusions`.
    labels : mapping of str to str
        What the statistics are called.

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``in_all in_some in_none``, each a list of what statistics are called.
    """
    rows = {
        endpoint: [
            [labels[each] for each in part.loc[part["verdict"] == verdict, "statistic"]]
            for verdict in VERDICTS
        ]
        for endpoint, part in conclusions.groupby("endpoint", sort=False)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(VERDICTS.values()))


def measure_claims(claimed, endpoints, statistics, *, n_cohorts, seed):
    """Measure how much wider some answers become when one claim is dropped.

    Parameters
    ----------
    claimed : ClaimedTrial
    endpoints : sequence of str
        Endpoints to look at, each by itself.
    statistics : sequence of str
        Answers wanted, as `compatible_statistics.calculate_statistics` names them.
    n_cohorts, seed : int
        Of each sample; with 0 cohorts nothing is sampled.

    Returns
    -------
    DataFrame
        As of `compatible_narrowing.drop_claims`; no rows where nothing is sampled.
    """
    parts = [pd.DataFrame(columns=NARROWING)]
    if n_cohorts:
        trials = [claimed] if set(endpoints) == set(claimed.endpoints) else map(claimed.only, endpoints)
        parts = [drop_claims(each, calculate_statistics, n_cohorts=n_cohorts, seed=seed) for each in trials]
    table = pd.concat(parts, ignore_index=True)
    return table[table["statistic"].isin(statistics)]


def find_most_telling(narrowing, statistic):
    """The claim whose loss widens the range of a statistic most.

    Parameters
    ----------
    narrowing : DataFrame
        As of `compatible_narrowing.drop_claims`.
    statistic : str

    Returns
    -------
    DataFrame
        Indexed by endpoint; columns ``claim width_ratio``.
    """
    rows = narrowing[(narrowing["claim"] != "") & (narrowing["statistic"] == statistic)]
    rows = rows.dropna(subset="width_ratio").sort_values("width_ratio", ascending=False, kind="stable")
    return rows.drop_duplicates("endpoint").set_index("endpoint")[["claim", "width_ratio"]]


def pick_candidates(ranked, *, most=8, covered=0.5):
    """The further numbers that would have told most, on average over what they would tell.

    Parameters
    ----------
    ranked : DataFrame
        As of `compatible_answers.rank_candidates`.
    most : int, default 8
        Candidates of an endpoint.
    covered : float, default 0.5
        Least share of cohorts that a candidate has to have been judged by.

    Returns
    -------
    DataFrame
        Their rows, the most telling first, with ``mean_left``, the average of ``spread_left``.
    """
    known = ranked[ranked["share_covered"] >= covered].dropna(subset="spread_left")
    mean = known.groupby(["endpoint", "candidate"])["spread_left"].transform("mean")
    known = known.assign(mean_left=mean).sort_values("mean_left", kind="stable")
    place = known.groupby("endpoint")["candidate"].transform(lambda names: pd.factorize(names)[0])
    return known[place < most]
