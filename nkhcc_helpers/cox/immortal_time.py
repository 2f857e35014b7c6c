"""Infusions received as a covariate: why a count known only later finds effects that are not there."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from nkhcc_helpers.checks import Result, check_choice, check_conf_level, keeps_options
from nkhcc_helpers.cox.fit import ESTIMATES, infer
from nkhcc_helpers.cox.likelihood import TIES, exponentiate, lay_out_risk
from nkhcc_helpers.cox.models import fit_cox_many
from nkhcc_helpers.cox.received import Cohorts, Count, read_cohort
from nkhcc_helpers.cox.risk_sets import MOST_PATIENTS
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.survival.summaries import estimate_median
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT

COVARIATE = "infusions"
PAIRS_AT_A_TIME = 150_000  # pairs of patients simulated at once


class NoAnswer(StrEnum):
    """Why no simulated trial has an answer."""

    NO_EVENT = "nobody had the event"
    ELSEWHERE = "time does not start with treatment in this endpoint"
    NO_PLAN = "how many treatments were planned is not known for every group"
    TOO_MANY = f"more than {MOST_PATIENTS} patients are not simulated"
    NO_INTERVAL = "how far apart treatments are is not known"
    ONE_PLAN = "all follow one plan, so that the number received follows from the time itself"
    NO_MORE = "nobody can receive more than another"


def count_events_before_plans_part(trial, endpoint):
    """Count the events before the planned numbers of infusions can make a difference.

    Until the shortest plan has run out and its next infusion would be due, equal doses are treated alike.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint; ValueError where the trial has no such one.

    Returns
    -------
    dict
        ``days`` after the first infusion, ``time`` in the unit of the trial, ``n_early``, ``n_events``; days
        and time are NaN, and `n_early` is None, where the plans do not differ or a schedule is not given.
    """
    frame = trial.survival(endpoint)
    there = set(frame["group"])
    plans = [(arm.infusions, arm.interval_days) for arm in trial.metadata.arms if arm.code in there]
    numbers, intervals = zip(*plans, strict=True)
    parts = None not in numbers + intervals and max(numbers) > min(numbers)
    days = min(numbers) * min(intervals) if parts else float("nan")
    time = days / DAYS_PER_UNIT[trial.unit]
    # Plans begin with observation, or with the first infusion where the endpoint is observed from later on.
    zero = trial.times[trial.times["endpoint"] == endpoint].set_index("USUBJID")["time_zero"]
    first = trial.subjects.set_index("USUBJID")["first_infusion"]
    before = frame["USUBJID"].map(first) - frame["USUBJID"].map(zero)
    begun = np.fmin(frame["time_enter"], before.dt.days / DAYS_PER_UNIT[trial.unit])
    is_early = frame["event"] & (frame["time"] - begun < time)
    return {
        "days": days,
        "time": time,
        "n_early": int(is_early.sum()) if parts else None,
        "n_events": int(frame["event"].sum()),
    }


def list_infusion_intervals(trial, endpoint):
    """List the intervals within which each patient's number of infusions so far does not change.

    Parameters
    ----------
    trial : Trial
    endpoint : str
        Code of the endpoint; where the trial has no such one, ValueError.

    Returns
    -------
    DataFrame
        Columns ``USUBJID group start stop infusions event clock``: after day ``start``, up to and with day
        ``stop``, the patient had received ``infusions``; ``event`` is True where the interval ends with it.
        An infusion counts from the day after it was given, one before the first day from the start. The first
        interval starts where the patient comes under observation. Days are whole, and count from ``clock``:
        the endpoint's STARTDT, where missing the date of enrolment, where missing the first infusion. Where
        someone has an event on day 0, all start on day -1. Infusions are NA where exposure was not collected.
    """
    followed, cohorts = _read_cohort(trial, endpoint)
    days = cohorts.days[0]
    first_day = min(0.0, days.min() - 1)
    rows = []
    for patient, given, enter in zip(followed.itertuples(), cohorts.given[0], cohorts.enter, strict=True):
        begin = enter or first_day
        changes = np.unique(given[(given > begin) & (given < patient.days)])
        edges = np.concatenate([[begin], changes, [patient.days]])
        for start, stop in pairwise(edges):
            event = patient.event and stop == patient.days
            count = int((given <= start).sum()) if trial.metadata.exposure.collected else pd.NA
            rows.append((patient.USUBJID, patient.group, int(start), int(stop), count, event, patient.clock))
    columns = ["USUBJID", "group", "start", "stop", COVARIATE, "event", "clock"]
    return pd.DataFrame(rows, columns=columns).astype({"group": followed["group"].dtype})


@keeps_options
def fit_received(trial, endpoint, *, ties="efron", conf_level=0.95):
    """Fit one Cox model to the same patients with infusions counted in five ways.

    Suissa (2008) Am J Epidemiol; Andersen, Gill (1982) Ann Stat; Anderson, Cain, Gelber (1983) J Clin Oncol.

    Parameters
    ----------
    trial, endpoint
        As in `list_infusion_intervals`, with the same error.
    ties : {"efron", "breslow"}, default "efron"
    conf_level : float, default 0.95
        Between 0 and 1; ValueError as for other `ties`.

    Returns
    -------
    DataFrame
        Columns ``fit covariate n n_events coef hr ci_lower ci_upper p_value landmark``, one row for each fit:

        - ``received``: all infusions ever received, as if known at the start. Wrong: whoever lives longer
          can receive more.
        - ``planned``: infusions planned, known at the start.
        - ``so far``: infusions received before each day, as in `list_infusion_intervals`.
        - ``landmark received``, ``landmark planned``: those still followed without the event at the landmark,
          the day on which the shortest plan would go on, counted from the start of observation, by the
          infusions received before it or planned.

        Hazard ratios are per infusion, limits and P from the profile partial likelihood. NaN where the fit
        is not estimable: nobody at risk differs, no event, or a likelihood without maximum. ``landmark`` is
        in the trial's unit, NaN in the other rows and where the plans do not part.
    """
    check_choice(ties, "ties", TIES)
    check_conf_level(conf_level)
    _, cohorts = _read_cohort(trial, endpoint)
    many = cohorts.days.size > MOST_PATIENTS
    rows = []
    for count, design in cohorts.list_designs(with_so_far=not many).items():
        times, events, covariate = design
        # Whoever comes under observation late, comes to his landmark late; days are whole.
        more = np.nan_to_num(cohorts.landmark - 0.5) if count.is_late else 0.0
        enter = np.where(cohorts.enter > 0, cohorts.enter + more, 0.0)
        n, n_events = int((times >= 0).sum()), int(events.sum())
        if many and count == Count.SO_FAR:
            design, enter = _split_at_infusions(trial, endpoint)
        estimates = np.full(len(ESTIMATES), np.nan)
        if np.isfinite(covariate).all():
            fit = fit_cox_many(*design, method="partial", ties=ties, time_enter=enter)
            apart, enters = lay_out_risk(design[0], enter)
            options = {"method": "partial", "ties": ties, "conf_level": conf_level, "enters": enters}
            estimates = infer(apart, *design[1:], fit, **options)[0, 0]
        landmark = cohorts.landmark / DAYS_PER_UNIT[trial.unit] if count.is_late else np.nan
        rows.append((count.value, COVARIATE, n, n_events, *estimates, landmark))
    return pd.DataFrame(rows, columns=["fit", "covariate", "n", "n_events", *ESTIMATES, "landmark"])


def _split_at_infusions(trial, endpoint):
    """The design of infusions so far with each interval of a patient as a subject, and their entries."""
    intervals = list_infusion_intervals(trial, endpoint)
    later = max(-intervals["start"].min(), 0)
    times, enter = (intervals[name].to_numpy(float) + later for name in ("stop", "start"))
    covariate = intervals[COVARIATE].to_numpy(float)
    return (times[None], intervals["event"].to_numpy(bool)[None], covariate[None, :, None]), enter


def _read_cohort(trial, endpoint):
    """As `read_cohort`, with the landmark where the plans part."""
    return read_cohort(trial, endpoint, count_events_before_plans_part(trial, endpoint)["days"])


@keeps_options
def simulate_immortal_time(
    trial, endpoint, *, n_trials=2_000, copies=1, alpha=0.05, seed=DEFAULT_SEED, progress=False
):
    """How often each fit of `fit_received` finds an effect where there is none; Suissa (2008) Am J Epidemiol.

    Parameters
    ----------
    trial : Trial
        Gives the number of patients, their plans, the median and the longest follow-up.
    endpoint : str
        As in `list_infusion_intervals`, with the same error.
    n_trials : int, default 2,000
    copies : int, default 1
        Patients simulated for each one of the trial; the more, the more does bias show. ValueError below 1,
        as for `n_trials`.
    alpha : float, default 0.05
        Nominal level, between 0 and 1 or ValueError.
    seed : int
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    DataFrame
        Columns ``fit rejected error n_trials not_estimable median_hr``: share of trials in which the
        likelihood-ratio test rejects, its Monte-Carlo standard error, share in which the fit is not estimable
        and does not reject, median hazard ratio per infusion over the others; NaN where it never is. Options
        say of the simulation whether it `stops_at_progression`, and `why_not` where nothing is estimable.

    Notes
    -----
    All have the same constant hazard, with the trial's overall median or, where the curve does not reach a
    half, its events per time, and are followed to its longest time. Infusions keep to the plan from day 0 on
    and stop at the event, or at progression where the endpoint is another and comes later: progression then
    has a constant hazard, found in the same way, and so has the rest of the time, with what is left of the
    mean. An endpoint other than overall survival whose events are on the days of progression-free survival's,
    in all with both, is progression itself. Where `trial.yaml` has no interval, it is the median one of ADEX.
    Every fit is NaN where that is not known either, nor the plan, where nobody had the event, of more than
    `MOST_PATIENTS` (300) patients, or where time starts elsewhere: with late entry, or an interval or more
    away from the first infusion.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1; got {alpha!r}")
    if min(n_trials, copies) < 1:
        raise ValueError(f"n_trials and copies must be at least 1; got {n_trials!r} and {copies!r}")
    followed, cohorts = _read_cohort(trial, endpoint)
    schedule = _list_schedule(trial, followed)
    why_not = _find_why_not(followed, cohorts, schedule)
    if why_not:
        nothing = np.full((len(Count), n_trials), np.nan)
        return Result.of(_summarize_simulation(nothing, np.isfinite(nothing)), why_not=why_not.value)
    mean, longest = _estimate_mean(followed), followed["watched"].max()
    schedule = np.repeat(schedule, copies, axis=0)
    until_progression = _estimate_progression(trial, endpoint, mean)
    planned = np.repeat(cohorts.planned, copies)
    size = max(1, PAIRS_AT_A_TIME // len(planned) ** 2)
    starts = range(0, n_trials, size)
    coefs, statistics = [], []
    bar = tqdm(total=n_trials, unit="trial", disable=not progress)
    for start, child in zip(starts, np.random.SeedSequence(seed).spawn(len(starts)), strict=True):
        shape = min(size, n_trials - start), len(planned)
        rng = np.random.default_rng(child)
        stops = rng.exponential(until_progression or mean, shape)
        days = stops + rng.exponential(mean - until_progression, shape) if until_progression else stops
        seen = np.minimum(days, longest)
        given = np.where(schedule < np.minimum(stops, seen)[..., None], schedule, np.inf)
        drawn = Cohorts(seen, days <= longest, planned, given, cohorts.landmark)
        fits = [fit_cox_many(*design, method="partial") for design in drawn.list_designs().values()]
        coefs.append([fit.coef[:, 0] for fit in fits])
        statistics.append([fit.lr_statistic for fit in fits])
        bar.update(shape[0])
    bar.close()
    rejects = np.concatenate(statistics, axis=1) > stats.chi2.isf(alpha, 1)
    found = _summarize_simulation(np.concatenate(coefs, axis=1), rejects)
    one_plan = len(np.unique(cohorts.planned)) == 1 < planned.max()
    why_not = (NoAnswer.ONE_PLAN if one_plan else NoAnswer.NO_MORE).value
    known = found["median_hr"].notna()[[*Count].index(Count.RECEIVED)]
    stops = until_progression is not None
    return Result.of(found, why_not="" if known else why_not, stops_at_progression=stops)


def _estimate_mean(followed):
    """Mean days to the event, were the hazard constant."""
    median = estimate_median(followed["watched"], followed["event"]).estimate
    return median / np.log(2) if median > 0 else followed["watched"].sum() / followed["event"].sum()


def _estimate_progression(trial, endpoint, mean):
    """Mean days to progression, which stops infusions; None where the endpoint is not preceded by it."""
    progression = trial.endpoint_with_role("progression_free_survival")
    if progression is None or progression == endpoint:
        return None
    followed, _ = _read_cohort(trial, progression)
    own, _ = _read_cohort(trial, endpoint)
    both = own[own["event"]].merge(followed[followed["event"]], on="USUBJID")
    is_progression = len(both) > 0 and (both["days_x"] == both["days_y"]).all()
    if is_progression and endpoint != trial.endpoint_with_role("overall_survival"):
        return None
    earlier = _estimate_mean(followed) if followed["event"].any() else np.inf
    # The rest of the time to the event has what is left of the mean.
    return earlier if earlier < mean else None


def _find_why_not(followed, cohorts, schedule):
    """Why nothing can be simulated, or None."""
    if not followed["event"].any():
        return NoAnswer.NO_EVENT
    if len(followed) > MOST_PATIENTS:
        return NoAnswer.TOO_MANY
    if np.isnan(cohorts.planned).any():
        return NoAnswer.NO_PLAN
    if schedule is None:
        return NoAnswer.NO_INTERVAL
    first = cohorts.given[0].min(axis=1, initial=np.inf)
    first, interval = first[np.isfinite(first)], schedule[:, 1:2].min(initial=np.inf)
    # The day after the first one is not elsewhere, however close infusions are.
    away = len(first) and abs(np.median(first)) >= max(interval, 2)
    return NoAnswer.ELSEWHERE if away or np.any(cohorts.enter) else None


def _list_schedule(trial, followed):
    """Day of each planned infusion, infinite past the plan, shape (n_subjects, n_infusions).

    None where no interval is known: an arm has none in `trial.yaml`, and nobody was infused on two days.
    """
    intervals = {arm.code: arm.interval_days for arm in trial.metadata.arms}
    if None in intervals.values():
        between = trial.infusions.groupby("USUBJID")["date"].diff().dt.days
        between = between[between > 0]
        if between.empty:
            return None
        usual = between.median()
        intervals = {code: usual if days is None else days for code, days in intervals.items()}
    interval = followed["group"].map(intervals).to_numpy(float)
    planned = followed["infusions"].to_numpy()
    if np.isnan(planned).any():
        return None
    number = np.arange(planned.max())
    return np.where(number < planned[:, None], number * interval[:, None], np.inf)


def _summarize_simulation(coefs, rejects):
    rows = []
    for count, coef, reject in zip(Count, coefs, rejects, strict=True):
        known, rejected, median = np.isfinite(coef), np.nan, np.nan
        if known.any():
            rejected, median = (reject & known).mean(), np.median(exponentiate(coef[known]))
        error = np.sqrt(rejected * (1 - rejected) / len(coef))
        rows.append((count.value, rejected, error, len(coef), 1 - known.mean(), median))
    return pd.DataFrame(rows, columns=["fit", "rejected", "error", "n_trials", "not_estimable", "median_hr"])
