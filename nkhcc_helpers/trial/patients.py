"""Computed columns of a trial's frames: groups, dates, and what follows of each patient and event."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import match_times, merge_times
from nkhcc_helpers.trial.doses import list_doses
from nkhcc_helpers.trial.metadata import ALL_GROUPS, DAYS_PER_UNIT, TrialMetadata, count_noun, find_endpoint
from nkhcc_helpers.trial.problems import RawTable
from nkhcc_helpers.trial.schema import (
    BLANK,
    SEVERITY_GRADES,
    YES_NO,
    find_column,
    find_text,
    list_answers,
    list_text,
    parse_numbers,
    parse_partial_dates,
)

Grouping = Literal["actual", "planned"]
GROUPS = get_args(Grouping)
"""By which treatment patients are grouped."""
NOT_CODED = "Not coded"
"""Organ class of an event of which AEBODSYS says none."""
ONGOING = (
    r"\bNOT[\s_-]*(?:YET[\s_-]*)?(?:RECOVERED|RESOLVED)|\bUNRESOLVED\b"
    r"|^(?:RECOVERING|RESOLVING|ONGOING|CONTINU\w*|PERSIST\w*)\b"
)
"""What AEOUT says of an event that goes on."""
_STAND_INS = [("AEREL", "AREL"), ("AETOXGR", "ATOXGR"), ("AETOXGR", "ATOXGRN"), ("AESEV", "ASEV")]
"""Columns of ADAE for which an analysis column is taken where they are not there or empty, row by row."""
EMERGENT_DAYS = 30
"""Until how many days after the last exposure an event that no flag tells of is treatment-emergent."""
_LONGEST = 20000
"""Days; keeps a date counted from AVAL within what pandas can hold."""


def take_stand_ins(raw: RawTable, said: list[str]) -> RawTable:
    """Take analysis columns in the place of those that are not there, and of their empty cells, saying so."""
    frame = raw.frame
    for name, other in _STAND_INS:
        if other in frame:
            old = frame.get(name, pd.Series("", index=frame.index))
            empty, filled = old.isin(BLANK), ~frame[other].isin(BLANK)
            if empty.all() or (empty & filled).any():
                state = "empty" if name in frame else "not there"
                some = "" if empty.all() else f" in {count_noun((empty & filled).sum(), 'row')}"
                said.append(f"ADAE {other}: is taken for {name}, which is {state}{some}")
                frame = frame.assign(**{name: old.mask(empty, frame[other])})
    return dataclasses.replace(raw, frame=frame)


def list_subjects(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADSL with `group dose planned_infusions enrolled first_infusion`, one row per subject."""
    adsl = tables["ADSL"].reset_index(drop=True)
    given = tables["ADEX"][is_given(tables, metadata)]
    first = pd.to_datetime(adsl["USUBJID"].map(given.groupby("USUBJID")["ASTDT"].min()))
    return plan_groups(adsl, adsl.set_index("USUBJID")["TRT01P"], metadata).assign(
        enrolled=adsl["USUBJID"].map(list_enrolment_dates(tables)),
        first_infusion=first if metadata.exposure.collected else find_column(adsl, "TRTSDT"),
    )


def list_times(adtte: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADTTE with the columns of `Trial.times`: times in the display unit, near-equal ones made one."""
    adtte = adtte.reset_index(drop=True)
    shown = metadata.display_time_unit
    length = adtte["endpoint"].map(metadata.days).astype(float)
    time = adtte["AVAL"]
    time = time.mask(length != DAYS_PER_UNIT[shown], time * length / DAYS_PER_UNIT[shown])
    late = list_entries(adtte, subjects, metadata)
    enter = late / DAYS_PER_UNIT[shown]
    enter, time = merge_times(np.stack([enter, enter + time]))
    began = list_starts(adtte, subjects.set_index("USUBJID")["enrolled"])
    return adtte.assign(
        group=group_rows(adtte, subjects, metadata),
        time=time,
        time_enter=enter,
        time_zero=began - pd.to_timedelta(late, unit="D"),
    )


def list_starts(adtte: pd.DataFrame, enrolled: pd.Series) -> pd.Series:
    """Return the date from which AVAL of each row counts: STARTDT, or else enrolment, or NaT."""
    return find_column(adtte, "STARTDT").fillna(pd.to_datetime(adtte["USUBJID"].map(enrolled)))


def list_entries(adtte: pd.DataFrame, adsl: pd.DataFrame, metadata: TrialMetadata) -> pd.Series:
    """Return the days from the origin of each row's endpoint to STARTDT, 0 where the endpoint has none."""
    days = pd.Series(0.0, index=adtte.index)
    for endpoint in metadata.endpoints:
        if endpoint.origin:
            rows = adtte[adtte["endpoint"] == endpoint.code]
            origin = adsl.drop_duplicates("USUBJID").set_index("USUBJID")[endpoint.origin]
            days.loc[rows.index] = (rows["STARTDT"] - pd.to_datetime(rows["USUBJID"].map(origin))).dt.days
    return days


def count_later(rows: pd.DataFrame, dates: pd.Series, unit: str) -> pd.Series:
    """Return how much later than `dates` time 0 of rows of `Trial.times` is, 0 where either is not known."""
    return (rows["time_zero"] - dates).dt.days.fillna(0.0) / DAYS_PER_UNIT[unit]


def join_competing(frame: pd.DataFrame, own: pd.DataFrame, other: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return `Trial.survival` as `Trial.competing` does, of rows of `Trial.times` of both endpoints."""
    own, other = (rows.set_index("USUBJID").reindex(frame["USUBJID"]) for rows in (own, other))
    later = count_later(other, own["time_zero"], unit).to_numpy()
    assessed, time = frame["time"].to_numpy(), other["time"].to_numpy(float) + later
    # Times are rounded in the file, dates are whole days.
    same_day = (later != 0) & (np.abs(time - assessed) < 0.5 / DAYS_PER_UNIT[unit])
    time = match_times(np.maximum(np.where(same_day, assessed, time), 0), assessed)
    first = ~frame["event"].to_numpy() | (time < assessed)
    competes = other["event"].eq(True).to_numpy() & first
    return frame.drop(columns="event").assign(
        cause=frame["event"].astype(int).mask(competes, 2),
        last_assessed=assessed,
        time=np.where(competes, time, assessed),
    )


def is_given(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata | None) -> pd.Series:
    """Return which rows of ADEX were given: dose above 0, or an arm, planned or actual, without dose.

    Such an arm plans dose 0, or plans none and all of its rows, by the actual treatment, have dose 0.
    """
    adsl, adex = tables["ADSL"], tables["ADEX"]
    without_dose = [arm.code for arm in metadata.arms if arm.dose == 0] if metadata is not None else []
    arms = pd.DataFrame({name: find_text(adsl, name) for name in ("TRT01P", "TRT01A")})
    of_them = arms.isin([*without_dose, *list_dose_free_arms(tables, metadata)]).any(axis=1)
    return (adex["EXDOSE"] > 0) | adex["USUBJID"].isin(adsl.loc[of_them, "USUBJID"])


def list_dose_free_arms(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata | None) -> list[str]:
    """Return the arms whose dose `trial.yaml` does not give, and whose rows of ADEX all have dose 0."""
    adsl, adex = tables["ADSL"].drop_duplicates("USUBJID"), tables["ADEX"]
    unplanned = [arm.code for arm in metadata.arms if arm.dose is None] if metadata is not None else []
    actual = find_text(adsl, "TRT01A").where(lambda text: text != "", find_text(adsl, "TRT01P"))
    dosed = adex["EXDOSE"].groupby(adex["USUBJID"].map(actual.set_axis(adsl["USUBJID"]))).max()
    return [code for code in unplanned if dosed.get(code) == 0]


def list_infusions(
    tables: Mapping[str, pd.DataFrame], subjects: pd.DataFrame, metadata: TrialMetadata
) -> pd.DataFrame:
    """Return ADEX of what was given, a row for each dose, with `group infusion date end dose`."""
    adex = tables["ADEX"][is_given(tables, metadata)]
    by = [name for name in ("USUBJID", "ASTDT", "EXSEQ") if name in adex]
    doses = list_doses(adex.sort_values(by, kind="stable"), tables["ADSL"])
    # Rows of ADEX may overlap; patients come in order.
    order = np.lexsort((doses["date"], pd.factorize(doses["USUBJID"])[0]))
    doses = doses.iloc[order].reset_index(drop=True)
    return doses.assign(
        group=group_rows(doses, subjects, metadata),
        infusion=doses.groupby("USUBJID").cumcount() + 1,
        dose=doses["EXDOSE"],
    )


def list_events(adae: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADAE with `group`, its words and grades as coded, and its dates, imputed where partial."""
    adae = adae.reset_index(drop=True)
    patients = subjects.set_index("USUBJID")
    last = patients["death_date"]
    if metadata.data_cut_off is not None:
        cut_off = pd.Timestamp(metadata.data_cut_off)
        last = last.mask(~(last <= cut_off), cut_off)
    dates = [pd.to_datetime(adae["USUBJID"].map(each)) for each in (patients["first_infusion"], last)]
    worded = list_text(adae, "AESEV").map(SEVERITY_GRADES).astype(float)
    return adae.assign(
        group=group_rows(adae, subjects, metadata),
        term=adae["AEDECOD"].astype(str),
        organ_class=find_text(adae, "AEBODSYS").where(lambda text: text != "", NOT_CODED),
        grade=parse_numbers(find_text(adae, "AETOXGR")).fillna(worded).astype("Int64"),
        related=list_text(adae, "AEREL").map(metadata.relation_words).astype("boolean"),
        serious=list_answers(adae, "AESER").astype("boolean"),
        **impute_dates(adae, *dates),
        outcome=find_text(adae, "AEOUT"),
        action=find_text(adae, "AEACN"),
    )


def plan_groups(subjects: pd.DataFrame, codes: pd.Series, metadata: TrialMetadata) -> pd.DataFrame:
    """Return subjects with the group of each USUBJID, and the dose and infusions planned for it."""
    code = subjects["USUBJID"].map(codes)
    arms = {arm.code: arm for arm in metadata.arms}
    return subjects.assign(
        group=pd.Categorical(code, list(arms), ordered=True),
        dose=code.map({name: arm.dose for name, arm in arms.items()}).astype(float),
        planned_infusions=code.map({name: arm.infusions for name, arm in arms.items()}).astype(float),
    )


def group_rows(frame: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.Categorical:
    """Return the group of the patient of each row, ordered as in `trial.yaml`."""
    code = frame["USUBJID"].map(subjects.set_index("USUBJID")["group"].astype(object))
    return pd.Categorical(code, [arm.code for arm in metadata.arms], ordered=True)


def list_enrolment_dates(tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Return the date each subject enrolled, by USUBJID.

    ENRLDT of ADSL where there; else the first STARTDT of ADTTE; else TRTSDT of ADSL; else NaT.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID")
    dates = pd.Series(pd.NaT, index=adsl.index, dtype="datetime64[ns]")
    adtte = tables.get("ADTTE", pd.DataFrame())
    started = pd.Series(dtype="datetime64[ns]")
    if {"USUBJID", "STARTDT"} <= set(adtte.columns):
        started = adtte.groupby("USUBJID")["STARTDT"].min()
    for source in (find_column(adsl, "ENRLDT"), started, find_column(adsl, "TRTSDT")):
        dates = dates.fillna(source.reindex(dates.index))
    return dates


def list_ends(rows: pd.DataFrame, metadata: TrialMetadata) -> pd.Series:
    """Return the last date of each row of ADTTE: ADT, or STARTDT and AVAL days, or NaT."""
    counted = find_column(rows, "STARTDT") + list_lengths(rows, metadata).round("D")
    return find_column(rows, "ADT").fillna(counted)


def list_lengths(rows: pd.DataFrame, metadata: TrialMetadata) -> pd.Series:
    """Return AVAL of each row of ADTTE as a difference of dates."""
    days = find_column(rows, "AVAL", "float64") * rows["endpoint"].map(metadata.days).astype(float)
    return pd.to_timedelta(days.clip(upper=_LONGEST), unit="D")


def list_date_ranges(adae: pd.DataFrame) -> pd.DataFrame:
    """Return the days on which each event can have begun and ended, as `parse_partial_dates` reads them.

    Columns `onset_first onset_last onset_imputed resolved_first resolved_last resolved_imputed`. An event
    begins no later than it can have ended; `onset_last` before `onset_first`: no two dates satisfy both.
    """
    absent = pd.Series(None, index=adae.index, dtype=object)
    onset = parse_partial_dates(adae.get("ASTDT", absent)).add_prefix("onset_")
    resolved = parse_partial_dates(adae.get("AENDT", absent)).add_prefix("resolved_")
    ranges = pd.concat([onset, resolved], axis="columns")
    ends = ranges["resolved_last"]
    return ranges.assign(onset_last=ranges["onset_last"].mask(ends < ranges["onset_last"], ends))


def impute_dates(adae: pd.DataFrame, first_infusion: pd.Series, last_day: pd.Series) -> pd.DataFrame:
    """Return `onset resolved` of each event, partial dates imputed, and `onset_imputed resolved_imputed`.

    An onset is the day of the patient's first infusion if the entry and the end of the event allow that day,
    so that imputation takes no event out of the treatment period; else the first day allowed. An end is the
    last day that its entry allows, but not after `last_day` (death or data cut-off), as far as the entry
    allows that, and never before the onset. So an event of which little is known begins early and lasts long.

    Imputed is "" as received or missing, "day", or "month" for month and day (D and M of ADaM's ASTDTF).
    """
    ranges = list_date_ranges(adae)
    onset = ranges["onset_first"]
    allowed = (first_infusion >= onset) & (first_infusion <= ranges["onset_last"])
    onset = onset.mask(allowed, first_infusion)
    resolved = ranges["resolved_last"]
    resolved = resolved.mask(last_day < resolved, last_day)
    for earliest in (ranges["resolved_first"], onset):
        resolved = resolved.mask(earliest > resolved, earliest)
    imputed = ranges[["onset_imputed", "resolved_imputed"]]
    return pd.concat([onset.rename("onset"), resolved.rename("resolved"), imputed], axis="columns")


def derive_subjects(
    subjects: pd.DataFrame, times: pd.DataFrame, infusions: pd.DataFrame, metadata: TrialMetadata
) -> pd.DataFrame:
    """Return subjects with `treated n_infusions last_infusion last_exposure death_date observed_until`."""
    ids = subjects["USUBJID"]
    n_infusions = ids.map(infusions["USUBJID"].value_counts()).fillna(0).astype(int)
    given, flag = n_infusions > 0, list_text(subjects, "SAFFL")
    started = list_starts(times, subjects.set_index("USUBJID")["enrolled"])
    dated = times.assign(date=list_ends(times.assign(STARTDT=started), metadata))
    died = dated[dated["event"] & (dated["endpoint"] == find_endpoint(metadata, "overall_survival"))]
    death = find_column(subjects, "DTHDT").fillna(_map_latest(ids, died))
    last_infusion = _map_latest(ids, infusions)
    # A trial made by hand may date its infusions by their start alone.
    ended = infusions.assign(date=find_column(infusions, "end").fillna(infusions["date"]))
    last_exposure = _map_latest(ids, ended)
    if not metadata.exposure.collected:
        n_infusions = pd.Series(pd.NA, subjects.index, dtype="Int64")
        given, last_exposure = find_treated(subjects), find_column(subjects, "TRTEDT")
    end = pd.concat([_map_latest(ids, dated), last_exposure, death], axis=1).max(axis=1)
    bounds = [end, death.where(death < end)]
    if metadata.data_cut_off is not None:
        bounds.append(end.where(end.isna(), pd.Timestamp(metadata.data_cut_off)))
    return subjects.assign(
        treated=given.where(flag == "", flag.map(YES_NO).eq(True)).astype(bool),
        n_infusions=n_infusions,
        last_infusion=last_infusion,
        last_exposure=last_exposure,
        death_date=death,
        observed_until=pd.concat(bounds, axis=1).min(axis=1).astype("datetime64[ns]"),
    )


def find_treated(adsl: pd.DataFrame) -> pd.Series:
    """Return who was treated by TRTSDT of ADSL; everybody where it holds no date."""
    started = find_column(adsl, "TRTSDT").notna()
    return started | (not started.any())


def _map_latest(ids: pd.Series, dated: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(ids.map(dated.groupby("USUBJID")["date"].max()))


def derive_events(events: pd.DataFrame, subjects: pd.DataFrame, infusions: pd.DataFrame) -> pd.DataFrame:
    """Return events with the columns that follow from their words and the patient's course (see `Trial`)."""
    patients = subjects.set_index("USUBJID")
    ids = events["USUBJID"]
    treated = ids.isin(patients.index[patients["treated"]])
    dates = {name: pd.to_datetime(ids.map(patients[name])) for name in ("first_infusion", "observed_until")}
    events = events.assign(treated=treated, **dates)
    flag = list_text(events, "TRTEMFL")
    flagged = (flag[treated] != "").any()
    begun = flag.map(YES_NO).eq(True) if flagged else _is_within(events, ids.map(patients["last_exposure"]))
    fatal = is_fatal(events)
    return events.assign(
        emergent=(treated & begun).astype(bool),
        fatal=fatal,
        ongoing=matches(events, "outcome", ONGOING) & ~fatal,
        **find_latest_infusion(events, infusions),
    )


def _is_within(events: pd.DataFrame, last_exposure: pd.Series) -> pd.Series:
    """Return which events begin in the treatment period, as far as the dates can tell."""
    end = pd.to_datetime(last_exposure) + pd.Timedelta(days=EMERGENT_DAYS)
    return ~((events["onset"] < events["first_infusion"]) | (events["onset"] > end))


def is_fatal(events: pd.DataFrame) -> pd.Series:
    """Return which events are of grade 5, or have an outcome that says fatal, death or died, without not."""
    died = matches(events, "outcome", r"\b(?:FATAL|DEATH|DIED)\b", r"\b(?:NOT|NON)\b")
    return (died | (events["grade"] == 5).fillna(False)).astype(bool)


def matches(events: pd.DataFrame, column: str, pattern: str, unless: str | None = None) -> pd.Series:
    """Return where a text column holds `pattern` and not `unless`, regular expressions in upper case."""
    text = list_text(events, column)
    # Entries are few and events may be many.
    entries = pd.Series(text.unique(), dtype="string")
    said = entries.str.contains(pattern)
    if unless is not None:
        said &= ~entries.str.contains(unless)
    return text.isin(entries[said])


def find_latest_infusion(events: pd.DataFrame, infusions: pd.DataFrame) -> pd.DataFrame:
    """Return `latest_infusion days_since_infusion` of rows with `USUBJID onset`, NA without one before."""
    given = infusions[["USUBJID", "date", "infusion"]].sort_values(["date", "infusion"])
    dated = events[["USUBJID", "onset"]].dropna().sort_values("onset").rename_axis("event").reset_index()
    latest = pd.merge_asof(dated, given, left_on="onset", right_on="date", by="USUBJID").set_index("event")
    days = (latest["onset"] - latest["date"]).dt.days
    columns = {"latest_infusion": latest["infusion"], "days_since_infusion": days}
    return pd.DataFrame(columns).astype("Int64").reindex(events.index)


def list_with_all(frame: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """Return every row twice, in its own group and under "All", so that a groupby serves both.

    ``group`` is an ordered categorical of `groups` and "All": with ``observed=False`` empty groups stay.
    """
    code = frame["group"].astype("str")
    both = pd.concat([frame.assign(group=code), frame.assign(group=ALL_GROUPS)], ignore_index=True)
    return both.assign(group=pd.Categorical(both["group"], [*groups, ALL_GROUPS], ordered=True))
