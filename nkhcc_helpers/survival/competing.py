"""Competing risks: cumulative incidence by Aalen-Johansen, and Gray's test, permuted and exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.checks import (
    check_choice,
    check_conf_level,
    check_entry,
    check_groups,
    check_positions,
    check_vector,
    has_entered,
    keeps_options,
    match_times,
)
from nkhcc_helpers.survival.curves import TOLERANCE, read_steps, trace_survival
from nkhcc_helpers.survival.exact import TOLERANCE as TIE
from nkhcc_helpers.survival.exact import count_allocations, list_labels
from nkhcc_helpers.survival.logrank import solve_quadratic
from nkhcc_helpers.survival.permutation import DEFAULT_SEED, draw_allocations, share_extreme
from nkhcc_helpers.survival.summaries import choose_landmarks, stack_by_group, stack_with_all

CONF_TYPES = ("beta", "log-log")
MOST_LISTED = 100_000  # allocations, for the exact P
MOST_NUMBERS = 4_000_000  # held at a time
MOST_WORK, FEWEST_DRAWS = 2_000_000_000, 100  # draws times groups, subjects and times; below, there are none


@dataclass(frozen=True)
class IncidenceComparison:
    """Gray's test of one cause across groups, with its options; NaN where nothing was computed."""

    statistic: float
    df: int  # rank of the variance, at most the number of groups less one
    p_asymptotic: float  # from the chi-square distribution
    p_permutation: float  # of the same statistic over `n_draws` random relabellings of the patients
    p_permutation_error: float  # Monte-Carlo standard error
    p_exact: float  # of the same statistic over every allocation, where they are few enough to be listed
    n_allocations: int
    by_group: pd.DataFrame  # ``group n n_events n_competing``
    n_draws: int
    seed: int
    fewer_than: int = 0  # relabellings asked for, where `MOST_WORK` allows fewer


@keeps_options
def estimate_incidence(time, cause, *, group=None, time_enter=None, conf_level=0.95, conf_type="beta"):
    """Estimate the cumulative incidence of each of two causes by Aalen-Johansen, with pointwise limits.

    Aalen, Johansen (1978) Scand J Stat; Clopper, Pearson (1934) Biometrika; Korn, Graubard (1998) Surv
    Methodol; Kalbfleisch, Prentice (2002) The Statistical Analysis of Failure Time Data.

    Parameters
    ----------
    time : array_like, shape (n_subjects,)
    cause : array_like of int, shape (n_subjects,)
        0 censored, 1 the event, 2 the competing event, after which the event cannot come; else ValueError.
    group : array_like or categorical Series, shape (n_subjects,), optional
        Group of each subject, for a curve of each.
    time_enter : array_like, shape (n_subjects,), optional
        When each came under observation; see `checks.check_entry` for what is a ValueError.
    conf_level : float, default 0.95
    conf_type : {"beta", "log-log"}, default "beta"
        Clopper-Pearson limits at an effective number of patients, so that they are exact where nobody is
        censored, or normal limits for the logarithm of minus the logarithm of the incidence.

    Returns
    -------
    DataFrame
        Columns ``time cause n_at_risk n_events incidence ci_lower ci_upper``: of cause 1, then 2, a row for
        time 0, or the first entry where all are late, and for each distinct time. ``n_events`` are of the
        cause. Limits are NaN where none exists.
        Groups are stacked, behind a column ``group``.

    Notes
    -----
    The variance is the infinitesimal jackknife, as in R's ``survfit``. The effective number is incidence
    (1 - incidence) / variance, at most the number of patients times the share that censoring has left.
    """
    check_choice(conf_type, "conf_type", CONF_TYPES)
    check_conf_level(conf_level)
    time, cause, enter = _check_causes(time, cause, time_enter)
    options = {"conf_level": conf_level, "conf_type": conf_type}
    if group is not None:
        groups, codes = check_groups(group, len(time))
        frame = pd.DataFrame({"time": time, "cause": cause, "time_enter": enter})
        frame["group"] = pd.Categorical.from_codes(codes, groups, ordered=True)
        return stack_by_group(frame, lambda part: estimate_incidence(**part.drop(columns="group"), **options))
    times = np.unique(np.append(0.0, time))
    times[0] = enter.min()
    causes = [_Causes.of(times, time, each, enter) for each in (cause, np.array([0, 2, 1])[cause])]
    parts = []
    for number, each in enumerate(causes, start=1):
        n, own, other = (counted.sum(axis=1) for counted in (each.at_risk, each.own, each.other))
        before, _, incidence = _accumulate(n, own, other)
        variance = (each.calculate_influence() ** 2).sum(axis=1)
        left = n / np.where(before > TOLERANCE, before, 1.0)
        lower, upper = _calculate_limits(incidence, variance, left, conf_level, conf_type)
        columns = {"time": times, "cause": number, "n_at_risk": n.astype(int), "n_events": own.astype(int)}
        parts.append(pd.DataFrame(columns | {"incidence": incidence, "ci_lower": lower, "ci_upper": upper}))
    return pd.concat(parts, ignore_index=True)


def _check_causes(time, cause, time_enter):
    """Times, causes as int, and entries; ValueError as `check_entry`, or for another cause than 0, 1, 2."""
    cause = check_vector(cause, "cause")
    check_positions(~np.isin(cause, (0, 1, 2)), "cause", "must be 0, 1 or 2", cause)
    time, _, enter = check_entry(time, cause > 0, time_enter)
    return time, cause.astype(int), enter


@dataclass(frozen=True)
class _Causes:
    """Who was at risk at each time, and who had the event of interest or another: (n_times, n_subjects)."""

    at_risk: np.ndarray
    own: np.ndarray
    other: np.ndarray

    @classmethod
    def of(cls, times, time, cause, enter):
        now, began = time == times[:, None], has_entered(enter, times[:, None])
        parts = ((time >= times[:, None]) & began, now & (cause == 1), now & (cause == 2))
        return cls(*(part.astype(float) for part in parts))

    def calculate_influence(self):
        """Derivative of the incidence by the weight of each patient, (n_times, n_subjects)."""
        n, own, other = (each.sum(axis=1)[:, None] for each in (self.at_risk, self.own, self.other))
        before = _accumulate(n[:, 0], own[:, 0], other[:, 0])[0][:, None]
        n_left, n = np.where(n > own + other, n - own - other, np.inf), np.maximum(n, 1)
        lost = (self.own + self.other - (own + other) / n * self.at_risk) / n_left
        rate = own / n
        gained = (self.own - rate * self.at_risk) / n - rate * (np.cumsum(lost, axis=0) - lost)
        return np.cumsum(before * gained, axis=0)

    def calculate_gray(self, membership):
        """Gray's chi-square of allocations, (n_allocations,), `membership` being (n_allocations, n_subjects).

        Gray (1988) Ann Stat, with rho 0 and the variance of R's ``cmprsk``: ties are taken for draws without
        replacement, which here never have a variance below 0.
        """
        return solve_quadratic(*self.score(membership))

    def score(self, membership):
        """Scores of all groups but the last, and their covariance, a row for each allocation."""
        inside = (membership[:, None] == np.arange(membership.max() + 1)[:, None]).astype(float)
        n, own, other = (inside @ each.T for each in (self.at_risk, self.own, self.other))
        before, after, incidence = _accumulate(n, own, other)
        # A curve that late entry finds at 0 stays there: what comes after says nothing about it.
        alive = before > TOLERANCE
        own = own * alive
        n_own = own.sum(axis=1, keepdims=True)
        held = np.where(alive, n / np.where(alive, before, 1.0), 0.0)  # h of the paper
        total = np.maximum(held.sum(axis=1, keepdims=True), 1e-300)
        expected = held * (1 - _shift(incidence, 0.0))  # R of the paper
        expected /= np.maximum(expected.sum(axis=1, keepdims=True), 1e-300)
        pooled = np.cumsum(n_own / total, axis=-1)
        # How the score of a group moves with a step in each group: now, and by what is expected later.
        now = np.eye(n.shape[1])[:-1, :, None] * held[:, None] - (
            held[:, :-1, None] * (held / total)[:, None]
        )
        later = np.cumsum(now * (n_own / total / np.maximum(1 - _shift(pooled, 0.0), 1e-9))[:, None], axis=-1)
        later = later[..., -1:] - later
        ratio = np.where(after > 0, (1 - pooled) / np.where(after > 0, after, 1.0), 0.0)
        tied = _correct_ties(n_own, total * before), _correct_ties(other, n)
        n = np.maximum(n, 1)
        spread = tied[0] * before * n_own / (total * n) * (held > 0), tied[1] * before**2 * other / n**2
        steps = now + (1 - ratio)[:, None] * later, ratio[:, None] * later
        variance = 0.0
        for step, each in zip(steps, spread, strict=True):
            flat = (step * np.sqrt(each)[:, None]).reshape(*step.shape[:2], -1)
            variance = variance + flat @ flat.transpose(0, 2, 1)
        return (own - n_own * expected).sum(axis=-1)[:, :-1], variance


def _accumulate(n_at_risk, own, other):
    """Share without either event before and after each time, and incidence, all (..., n_times)."""
    after = trace_survival(n_at_risk, own + other)
    before = _shift(after, 1.0)
    return before, after, np.cumsum(before * own / np.maximum(n_at_risk, 1), axis=-1)


def _shift(values, first):
    """What a step function was just before each of its times."""
    return np.concatenate([np.full_like(values[..., :1], first), values[..., :-1]], axis=-1)


def _correct_ties(n_events, n_at_risk):
    share = (n_events - 1) / np.maximum(n_at_risk - 1, 1e-9)
    return np.where(n_events > 1, np.clip(1 - share, 0, 1), 1.0)


def _calculate_limits(incidence, variance, left, conf_level, conf_type):
    """Lower and upper limits; `left` is the number of patients times the share that censoring has left."""
    tail = (1 - conf_level) / 2
    none, every = incidence <= TOLERANCE, incidence >= 1 - TOLERANCE
    with np.errstate(divide="ignore", invalid="ignore"):
        if conf_type == "log-log":
            half = stats.norm.isf(tail) * np.sqrt(variance) / (incidence * np.log(incidence))
            return tuple(np.where(none | every, np.nan, incidence ** np.exp(s * half)) for s in (-1, 1))
        size = np.where(none | every, left, np.fmin(incidence * (1 - incidence) / variance, left))
        lower = stats.beta.ppf(tail, size * incidence, size * (1 - incidence) + 1)
        upper = stats.beta.isf(tail, size * incidence + 1, size * (1 - incidence))
    return np.where(none, 0.0, lower), np.where(every | (size <= 0), 1.0, upper)


@keeps_options
def summarize_incidence_at(frame, *, at=(), unit="months", conf_level=0.95, conf_type="beta"):
    """Estimate the cumulative incidence of the event at given times, for each group and for everyone.

    Parameters
    ----------
    frame : DataFrame
        Columns ``time cause group``, and ``time_enter`` where subjects come under observation late.
    conf_level, conf_type
        As in `estimate_incidence`.
    at : sequence of float
        Landmark times, in the unit of ``time``.
    unit : {"days", "weeks", "months", "years"}, default "months"
        For half a year, one year and two years where `at` is empty.

    Returns
    -------
    DataFrame
        Columns ``group time n_at_risk incidence ci_lower ci_upper one_minus_km``, the last of Kaplan-Meier
        with the competing event as censoring. NaN past the last follow-up, unless all have had either event,
        and up to the first entry where all are late.
    """
    at = at if len(at) else choose_landmarks(unit)

    def estimate(part):
        options = {"time_enter": part.get("time_enter"), "conf_level": conf_level, "conf_type": conf_type}
        curve = estimate_incidence(part["time"], part["cause"], **options)
        event, other = (curve[curve["cause"] == cause].reset_index(drop=True) for cause in (1, 2))
        counts = (event[name].to_numpy() for name in ("n_at_risk", "n_events"))
        event["one_minus_km"] = 1 - trace_survival(*counts)
        ended = event["incidence"].iloc[-1] + other["incidence"].iloc[-1] >= 1 - TOLERANCE
        columns = ["incidence", "ci_lower", "ci_upper", "one_minus_km"]
        rows = read_steps(event, columns, part["time"], at, time_enter=options["time_enter"], ended=ended)
        # Kaplan-Meier says nothing past the last look for the event, unless it is at 0 by then.
        looked = part.get("last_assessed", part["time"])
        open_ended = (match_times(at, looked) > looked.max()) & (rows["one_minus_km"] < 1 - TOLERANCE)
        rows["one_minus_km"] = rows["one_minus_km"].mask(open_ended.to_numpy())
        return rows

    return stack_with_all(frame, estimate)


def compare_incidence(time, cause, group, *, time_enter=None, n_draws=100_000, seed=DEFAULT_SEED, exact=True):
    """Compare the cumulative incidence of the event across groups by Gray's test.

    Gray (1988) Ann Stat 16:1141.

    Parameters
    ----------
    time, cause, time_enter
        As in `estimate_incidence`, with the same errors.
    group : array_like or categorical Series, shape (n_subjects,)
        Group of each subject; groups without subjects are left out.
    n_draws : int, default 100,000
        Random relabellings; 0 for none. Of many patients there are fewer, or none (`MOST_WORK`).
    seed : int
    exact : bool, default True
        Take every allocation for `p_exact`, where there are at most 100,000.

    Returns
    -------
    IncidenceComparison
        NaN where there is only one group, or nothing to compare.
    """
    time, cause, enter = _check_causes(time, cause, time_enter)
    groups, codes = check_groups(group, len(time))
    times = np.unique(time[cause > 0])
    causes = _Causes.of(times, time, cause, enter)
    n_allocations = count_allocations(np.bincount(codes).tolist())
    statistic, df, permuted, p_exact, fewer_than = np.nan, 0, (np.nan, np.nan), np.nan, 0
    if len(groups) > 1 and (cause == 1).any():
        df = int(np.linalg.matrix_rank(causes.score(codes[None])[1][0], tol=1e-10, hermitian=True))
    if df:
        statistic = float(causes.calculate_gray(codes[None])[0])
        if exact and n_allocations <= MOST_LISTED:
            every = list_labels(np.bincount(codes).tolist())
            p_exact = _count_extreme(causes, [every], statistic) / n_allocations
        n_asked, n_draws = n_draws, min(n_draws, MOST_WORK // (causes.own.size * len(groups)))
        n_draws = n_draws if n_draws >= min(FEWEST_DRAWS, n_asked) else 0
        fewer_than = n_asked if n_draws < n_asked else 0
        if n_draws:
            blocks = draw_allocations(codes, n_draws, seed)
            permuted = share_extreme(_count_extreme(causes, blocks, statistic), n_draws)
    counts = {"n": None, "n_events": cause == 1, "n_competing": cause == 2}
    counts = {name: np.bincount(codes, which, len(groups)).astype(int) for name, which in counts.items()}
    return IncidenceComparison(
        statistic=statistic,
        df=df,
        p_asymptotic=float(stats.chi2.sf(statistic, df)) if df else np.nan,
        p_permutation=float(permuted[0]),
        p_permutation_error=float(permuted[1]),
        p_exact=p_exact,
        n_allocations=n_allocations,
        by_group=pd.DataFrame({"group": [str(each) for each in groups], **counts}),
        n_draws=n_draws,
        seed=seed,
        fewer_than=fewer_than,
    )


def _count_extreme(causes, blocks, statistic):
    """Count the allocations with a statistic at least as large."""
    n_extreme, bound = 0, statistic * (1 - TIE) - 1e-12
    for block in blocks:
        numbers = len(block) * len(causes.own) * (int(block.max()) + 1) ** 2
        for part in np.array_split(block, -(-numbers // MOST_NUMBERS)):
            n_extreme += int((causes.calculate_gray(part) >= bound).sum())
    return n_extreme
