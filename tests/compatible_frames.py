"""Hand-made cohorts and answers over them, for tables and figures of every kind of trial."""

import numpy as np
import pandas as pd
import shown_frames as frames

from nkhcc_helpers.compatible.claims import ClaimedTrial, describe_claim
from nkhcc_helpers.compatible.cohorts import CompatibleCohorts
from nkhcc_helpers.identification.statistics import Design, Statistic
from nkhcc_helpers.identification.statistics import list_statistics as list_known
from nkhcc_helpers.trial.claims import CohortAssumptions, LogrankP, LongestFollowUp, Median

ENDPOINTS = ("PFS", "OS")
AIMS = (Statistic("permutation_p"), Statistic("trend_p"), Statistic("rmst"))
DESIGNS = (Design("relative"), Design("log2"))
FIRTH, PARTIAL = (
    Statistic("hr", covariate=covariate, method=method)
    for covariate, method in (("dose", "firth"), ("infusions", "partial"))
)
NOT_A_NUMBER = {"median": np.nan, "lower": np.nan, "upper": np.nan, "smallest": np.nan, "largest": np.nan}


def make_claimed(kind="four", **assumptions):
    """Medians by group, log-rank P and follow-up; up to two of each endpoint censored."""
    sizes = {code: n for code, (_, n) in frames.ARMS[kind].items()}
    medians = [
        Median(kind="median", endpoint=endpoint, group=group, value=3.0 + at, decimals=1)
        for endpoint in ENDPOINTS
        for at, group in enumerate((*sizes, None))
    ]
    tests = [LogrankP(kind="logrank_p", endpoint=each, value=0.0403, decimals=4) for each in ENDPOINTS]
    last = LongestFollowUp(kind="longest_follow_up", value=9, decimals=0, unit="years")
    given = {"shortest": 0.1, "longest": 114, "censored": [{"endpoint": "PFS", "most": 2}], **assumptions}
    claims = (*medians, *tests, last)
    return ClaimedTrial(sizes, ENDPOINTS, claims, CohortAssumptions(**given), "months", ENDPOINTS)


def make_cohorts(kind="four", n_cohorts=12):
    """Cohorts drawn at random, which need not meet the claims."""
    claimed, rng = make_claimed(kind), np.random.default_rng(1)
    shape = (n_cohorts, len(ENDPOINTS), len(claimed.codes))
    counted = np.arange(n_cohorts)
    return CompatibleCohorts(
        claimed,
        rng.exponential(9, shape) + 0.2,
        rng.random(shape) < 0.9,
        np.stack([counted, counted], axis=1),
        counted % 2,
        np.stack([counted < 6] * 2, axis=1),
        1,
    )


def list_statistics(kind="four"):
    return list_known(tuple(frames.ARMS[kind]), landmarks=(12,))


def make_answers(kind="four", *, bounds=True):
    """Answers of every statistic; P-values below 0.05 and above, a rate that no cohort has."""
    rows = []
    for endpoint in ENDPOINTS:
        for at, statistic in enumerate(list_statistics(kind)):
            scale = 0.002 * (at + 1) if statistic.is_p_value else 10.0 + at
            row = dict(zip(NOT_A_NUMBER, scale * np.array([1, 0.5, 2, 0.4, 2.5]), strict=True))
            row |= {"bound_lower": 0.3 * scale, "bound_upper": 3 * scale} if bounds else {}
            rows.append({"endpoint": endpoint, "statistic": statistic, **row})
    table = pd.DataFrame(rows)
    last = table["statistic"] == Statistic("rate", list(frames.ARMS[kind])[-1], at=12)
    ends = [*NOT_A_NUMBER, *(["bound_lower", "bound_upper"] if bounds else [])]
    table.loc[last, ends] = np.nan
    return table


def make_statistics(kind="four", n_cohorts=12):
    """Values of the P-values in every cohort; one is missing."""
    rng = np.random.default_rng(2)
    columns = {
        (endpoint, Statistic(kind)): 10 ** rng.uniform(-3, -0.5, n_cohorts)
        for endpoint in ENDPOINTS
        for kind in ("logrank_p", "permutation_p", "trend_p")
    }
    table = pd.DataFrame(columns)
    table.iloc[0, 0] = np.nan
    return table


def make_signs(kind="four"):
    """Hazard ratios: on one side, on either side, beyond any axis, not estimable."""
    group = next(iter(frames.ARMS[kind]))
    designs = [*DESIGNS, Design("relative", "dose", group, 0.25), Design("log2", "infusions", group, 16)]
    ends = [[0.2, 0.3, 0.5, 0.7, 0.8], [0.5, 0.6, 1.1, 2, 3], [1e-9, 1e-4, 1, 1e4, 1e12], [np.nan] * 5]
    rows = []
    for endpoint in ENDPOINTS:
        for design, values in zip(designs, ends, strict=True):
            for method in ("firth", "partial"):
                for covariate in ("dose", "infusions"):
                    keys = {"endpoint": endpoint, "design": design, "method": method, "covariate": covariate}
                    named = dict(zip(("lowest", "lower", "median", "upper", "highest"), values, strict=True))
                    named["share_above"] = 0.25 if values[0] > 0.4 else 0.0
                    rows.append({**keys, **named, "share_not_estimable": float(np.isnan(values[0]))})
    return pd.DataFrame(rows)


def make_narrowing(kind="four"):
    """Narrowing by every claim of an endpoint; one has no width."""
    claims = make_claimed(kind).claims_about("PFS")
    rows = [
        {"endpoint": "PFS", "claim": claim, "statistic": statistic}
        | {"lower": 0.01, "upper": 0.2, "width_ratio": ratio}
        for claim in ("", *map(describe_claim, claims))
        for statistic, ratio in zip(AIMS, (2.34, np.nan, 1234.0), strict=True)
    ]
    return pd.DataFrame(rows)


def make_candidates(kind="four"):
    """What further numbers would leave; one cannot be judged."""
    names = [each for each in list_statistics(kind) if each.kind in ("rate", "rmst", "n_censored")][:6]
    rows = [
        {
            "endpoint": "PFS",
            "candidate": candidate,
            "target": target,
            "spread_left": left,
            "share_covered": 0.9,
        }
        for at, candidate in enumerate(names)
        for target, left in ((AIMS[1], 0.1 * at), (FIRTH, np.nan if at == 2 else 1.04))
    ]
    return pd.DataFrame(rows)


def make_conclusions(kind="four"):
    """A conclusion that holds in all, in some and in none."""
    groups = list(frames.ARMS[kind])
    keys = [*AIMS[:2], Statistic("pair_p", groups[1], groups[0]), PARTIAL]
    verdicts = ["holds in all", "holds in some", "holds in none", "holds in some"]
    table = pd.DataFrame(
        {"endpoint": "PFS", "statistic": keys, "conclusion": "raw_words", "verdict": verdicts}
    )
    return table.assign(
        lowest=[0.0066, 0.00001, 0.06, 0.5], highest=[0.0097, 0.07, np.nan, 1.2], share=[1, 0.98, 0, 0.9]
    )


def make_diagnosed():
    rows = [
        ("PFS", AIMS[1], 0.0123, 0.01, 812.4, 1.0042, -0.51),
        ("PFS", Statistic("rate", "A", at=12), 0.0, 0.0, *[np.nan] * 3),
    ]
    columns = ["endpoint", "statistic", "mean", "sd", "effective_size", "r_hat", "starts_differ"]
    return pd.DataFrame(rows, columns=columns)
