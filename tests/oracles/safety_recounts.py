"""Safety tables counted a second time, patient by patient in plain loops.

Nothing here calls the function whose table it counts. What both share are the rules of who and what counts:
the events (`list_events`), and columns of the trial's frames: who was treated and until when observed, and
which events are fatal or ongoing. Days are whole numbers since 1970, None where not known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from statistics import median
from typing import NamedTuple

import pandas as pd

from nkhcc_helpers.safety.counts import ANY_RELATED, ANY_TERM, OVERALL, TERM, list_events
from nkhcc_helpers.trial.metadata import ALL_GROUPS
from nkhcc_helpers.trial.schema import list_text

RESOLVED, NOT_RESOLVED, DIED_OF, END_UNKNOWN = "resolved", "ongoing", "fatal", "unknown"
FOREVER = 10**9
HALF = 0.5
ROUNDING = 1e-9


class Course(NamedTuple):
    """A treated patient: group, days of the infusions, the last day of any, and the end of observation."""

    group: str
    infusions: list
    exposed: int | None
    end: int | None


def list_courses(trial):
    """What each treated patient received (`Course`), by USUBJID."""
    treated = trial.subjects[trial.subjects["treated"]]
    ends = dict(zip(treated["USUBJID"], _days(treated["observed_until"]), strict=True))
    given = defaultdict(list)
    infusions = trial.infusions
    for patient, *days in zip(
        infusions["USUBJID"], _days(infusions["date"]), _days(infusions["end"]), strict=True
    ):
        given[patient].append(days)
    courses = {}
    for patient, group in zip(treated["USUBJID"], treated["group"].astype(str), strict=True):
        received = sorted(given[patient])
        days, exposed = [day for day, _ in received], max((end for _, end in received), default=None)
        courses[patient] = Course(group, days, exposed, ends[patient])
    return courses


def recount_rates(trial, *, window_days=30, related_only=False, emergent_only=True):
    """(Level, organ class, term, group) to ``n_patients n_outside n_undated days n_infusions n_at_risk``."""
    courses = list_courses(trial)
    events = list_events(trial, related_only=related_only, emergent_only=emergent_only)
    overall = (OVERALL, "", ANY_RELATED if related_only else ANY_TERM)
    onsets = {overall: defaultdict(list)}
    columns = (events[name].astype(str) for name in ("organ_class", "term"))
    for *term, patient, day in zip(*columns, events["USUBJID"], _days(events["onset"]), strict=True):
        onsets[overall][patient].append(day)
        onsets.setdefault((TERM, *term), defaultdict(list))[patient].append(day)
    names = ("n_patients", "n_outside", "n_undated", "days", "n_infusions", "n_at_risk")
    without = {who: _follow(course, (), window_days) for who, course in courses.items()}
    nobody = {group: _add(courses, without, group) for group in (*trial.groups, ALL_GROUPS)}
    found = {}
    for block, by_patient in onsets.items():
        followed = {who: _follow(courses[who], days, window_days) for who, days in by_patient.items()}
        # Patients without the event are followed for the whole of their time.
        instead = {who: [a - b for a, b in zip(followed[who], without[who], strict=True)] for who in followed}
        for group, whole in nobody.items():
            sums = [a + b for a, b in zip(whole, _add(courses, instead, group), strict=True)]
            found[*block, group] = dict(zip(names, sums, strict=True))
    return found


def _add(courses, counts, group):
    """Add up the counts of the patients of a group."""
    own = [each for who, each in counts.items() if group in (courses[who].group, ALL_GROUPS)]
    return [sum(column) for column in zip(*own, strict=True)] or [0] * 6


def _follow(course, onsets, window_days):
    """First event, only outside, not placed, days, infusions and at risk of one patient and block."""
    if not course.infusions:
        return 0, 0, int(len(onsets) > 0), 0, 0, 0
    start, last = course.infusions[0], course.end
    if window_days is not None:
        last = min(last, course.exposed + window_days)
    within = [day for day in onsets if day is not None and start <= day <= last]
    if within:
        return 1, 0, 0, min(within) - start + 1, bisect_right(course.infusions, min(within)), 1
    if None in onsets:
        return 0, 0, 1, 0, 0, 0
    return 0, int(len(onsets) > 0), 0, last - start + 1, len(course.infusions), 1


def recount_onset(trial, *, related_only=False, emergent_only=True):
    """Term to the columns of `summarize_onset` but the limits of the duration; None for no number."""
    courses = list_courses(trial)
    events = list_events(trial, related_only=related_only, emergent_only=emergent_only)
    imputed = (list_text(events, "onset_imputed") != "", list_text(events, "resolved_imputed") != "")
    columns = [events["term"].astype(str), events["USUBJID"], _days(events["onset"])]
    columns += [_days(events["resolved"]), _list_endings(events), *imputed]
    by_term = defaultdict(list)
    for term, *event in zip(*columns, strict=True):
        by_term[term].append(event)
    return {term: _describe_term(own, courses) for term, own in by_term.items()}


def _list_endings(events):
    columns = (events[name] for name in ("fatal", "ongoing", "resolved"))
    for fatal, ongoing, resolved in zip(*columns, strict=True):
        known = END_UNKNOWN if pd.isna(resolved) else RESOLVED
        yield DIED_OF if fatal else NOT_RESOLVED if ongoing else known


def _describe_term(events, courses):
    endings = [event[3] for event in events]
    waits, durations, seen = [], [], []
    for patient, onset, resolved, ending, _, end_imputed in events:
        course = courses[patient]
        number = 0 if onset is None else bisect_right(course.infusions, onset)
        if number:
            waits.append(onset - course.infusions[number - 1])
        lasted = _find_duration(onset, resolved, ending, course.end)
        if lasted is not None:
            durations.append((lasted, ending == RESOLVED))
            seen += [lasted] if ending == RESOLVED and not end_imputed else []
    steps = _list_survival(durations)
    return {
        "n_patients": len({event[0] for event in events}),
        "n_events": len(events),
        "onset_median": median(waits) if waits else None,
        "onset_minimum": min(waits, default=None),
        "onset_maximum": max(waits, default=None),
        "duration_median": _find_median(steps, durations),
        "duration_minimum": min(seen, default=None),
        "duration_maximum": max(seen, default=None),
        "n_ongoing": endings.count(NOT_RESOLVED),
        "n_fatal": endings.count(DIED_OF),
        "n_unknown_end": endings.count(END_UNKNOWN),
        "n_imputed": sum(bool(event[4] or event[5]) for event in events),
        "percent_within_one_day": _find_percent(durations, steps, 1),
    }


def _find_duration(onset, resolved, ending, observed):
    if ending == DIED_OF:
        return FOREVER
    until = observed if ending == NOT_RESOLVED and resolved is None else resolved
    return None if onset is None or until is None else max(until - onset, 0)


def _list_survival(durations):
    """Kaplan-Meier: each day on which an event resolved, and the share that then goes on."""
    times, ends = sorted(time for time, _ in durations), Counter(time for time, ended in durations if ended)
    share, steps = 1.0, []
    for day in sorted(ends):
        share *= 1 - ends[day] / (len(times) - bisect_left(times, day))
        steps.append((day, share))
    return steps


def _find_median(steps, durations):
    """The middle of where the curve is flat at one half: up to the last day, where no event ends that."""
    reached = [day for day, share in steps if share <= HALF + ROUNDING]
    passed = [day for day, share in steps if share < HALF - ROUNDING]
    if not reached:
        return None
    last = max(time for time, _ in durations)
    ends = passed[0] if passed else reached[0] if last == FOREVER else last
    return (reached[0] + ends) / 2


def _find_percent(durations, steps, until):
    """Percent resolved by a day; None where all left unresolved before it."""
    if not durations:
        return None
    share = min((share for day, share in steps if day <= until), default=1.0)
    followed = any(time >= until for time, _ in durations)
    return 100 * (1 - share) if followed or share < ROUNDING else None


def recount_by_infusion(trial, *, related_only=False, emergent_only=True):
    """(Infusion, group) to ``n_patients n_received n_events``; infusion 0: events of no known infusion."""
    courses = list_courses(trial)
    received, patients, n_events = defaultdict(int), defaultdict(set), defaultdict(int)
    for course in courses.values():
        for number in range(1, len(course.infusions) + 1):
            for group in (course.group, ALL_GROUPS):
                received[number, group] += 1
    events = list_events(trial, related_only=related_only, emergent_only=emergent_only)
    for patient, onset in zip(events["USUBJID"], _days(events["onset"]), strict=True):
        course = courses[patient]
        known = onset is not None and course.infusions
        number = bisect_right(course.infusions, onset) if known else 0
        if known and not number:
            continue
        for group in (course.group, ALL_GROUPS):
            patients[number, group].add(patient)
            n_events[number, group] += 1
    names = ("n_patients", "n_received", "n_events")
    keys = {*received, *patients}
    return {
        key: dict(zip(names, (len(patients[key]), received[key], n_events[key]), strict=True)) for key in keys
    }


def recount_dose_limiting(trial, definition):
    """Group to ``n_treated n_evaluable n_patients n_events``."""
    courses = list_courses(trial)
    excluded = {term.strip().casefold() for term in definition.excluded_terms}
    events = list_events(trial, related_only=definition.related_only)
    limited = defaultdict(int)
    for patient, term, grade, onset in zip(
        events["USUBJID"], events["term"].astype(str), events["grade"], _days(events["onset"]), strict=True
    ):
        given = courses[patient].infusions
        inside = not given or onset is None or 0 <= onset - given[0] <= definition.window_days
        severe = not pd.isna(grade) and grade >= definition.grade
        limited[patient] += int(inside and severe and term.strip().casefold() not in excluded)
    found = {group: [0, 0, 0, 0] for group in (*trial.groups, ALL_GROUPS)}
    for patient, course in courses.items():
        n_events = limited[patient]
        counts = (1, int(n_events > 0 or _is_watched(course, definition)), int(n_events > 0), n_events)
        for group in (course.group, ALL_GROUPS):
            found[group] = [a + b for a, b in zip(found[group], counts, strict=True)]
    names = ("n_treated", "n_evaluable", "n_patients", "n_events")
    return {group: dict(zip(names, counts, strict=True)) for group, counts in found.items()}


def _is_watched(course, definition):
    """Whether a patient was observed through the window, and treated enough in it."""
    if not course.infusions:
        return False
    last = course.infusions[0] + definition.window_days
    given = [day for day in course.infusions if day <= last]
    return course.end >= last and len(given) >= definition.fewest_infusions


def _days(dates):
    """Whole days since 1970, None where there is no date."""
    days = (pd.to_datetime(dates) - pd.Timestamp(0)).dt.days
    return [None if day != day else int(day) for day in days.tolist()]  # NaN is not itself
