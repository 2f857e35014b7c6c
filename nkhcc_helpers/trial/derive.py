"""What follows from the tables: who was treated, until when observed, and what each event counts as."""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.trial.metadata import TrialMetadata, find_endpoint
from nkhcc_helpers.trial.patients import list_ends
from nkhcc_helpers.trial.schema import find_column, list_text

ONGOING = (
    r"\bNOT[\s_-]*(?:YET[\s_-]*)?(?:RECOVERED|RESOLVED)|\bUNRESOLVED\b"
    r"|^(?:RECOVERING|RESOLVING|ONGOING|CONTINU\w*|PERSIST\w*)\b"
)
"""What AEOUT says of an event that goes on."""
_YES = ["Y", "YES"]


def derive_subjects(
    subjects: pd.DataFrame, times: pd.DataFrame, infusions: pd.DataFrame, metadata: TrialMetadata
) -> pd.DataFrame:
    """Return subjects with `treated n_infusions last_infusion death_date observed_until` (see `Trial`)."""
    ids = subjects["USUBJID"]
    n_infusions = ids.map(infusions["USUBJID"].value_counts()).fillna(0).astype(int)
    flag = list_text(subjects, "SAFFL")
    dated = times.assign(date=_date_times(times, subjects, metadata))
    died = dated[dated["event"] & (dated["endpoint"] == find_endpoint(metadata, "overall_survival"))]
    death = find_column(subjects, "DTHDT").fillna(_map_latest(ids, died))
    last_infusion = _map_latest(ids, infusions)
    return subjects.assign(
        treated=(n_infusions > 0).where(flag == "", flag.isin(_YES)).astype(bool),
        n_infusions=n_infusions,
        last_infusion=last_infusion,
        death_date=death,
        observed_until=_end_observation([_map_latest(ids, dated), last_infusion, death], death, metadata),
    )


def derive_events(events: pd.DataFrame, subjects: pd.DataFrame, infusions: pd.DataFrame) -> pd.DataFrame:
    """Return events with the columns that follow from the patient's course (see `Trial`)."""
    patients = subjects.drop_duplicates("USUBJID").set_index("USUBJID")
    ids = events["USUBJID"]
    treated = ids.isin(patients.index[patients["treated"]])
    dates = {name: pd.to_datetime(ids.map(patients[name])) for name in ("first_infusion", "observed_until")}
    events = events.assign(treated=treated, **dates)
    fatal = is_fatal(events)
    flag = list_text(events, "TRTEMFL")
    flagged = (flag[treated] != "").any()
    begun = flag.isin(_YES) if flagged else ~(events["onset"] < events["first_infusion"])
    return events.assign(
        emergent=(treated & begun).astype(bool),
        fatal=fatal,
        ongoing=matches(events, "outcome", ONGOING) & ~fatal,
        **find_latest_infusion(events, infusions),
    )


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


def _date_times(times: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.Series:
    """Return the date of each row of ADTTE: ADT, or STARTDT, or else enrolment, and AVAL."""
    enrolled = times["USUBJID"].map(subjects.drop_duplicates("USUBJID").set_index("USUBJID")["enrolled"])
    return list_ends(times.assign(STARTDT=find_column(times, "STARTDT").fillna(enrolled)), metadata)


def _map_latest(ids: pd.Series, dated: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(ids.map(dated.groupby("USUBJID")["date"].max()))


def _end_observation(known: list[pd.Series], death: pd.Series, metadata: TrialMetadata) -> pd.Series:
    """Return the latest of the dates known, but never after the death nor after the data cut-off."""
    end = pd.concat(known, axis=1).max(axis=1)
    bounds = [end, death.where(death < end)]
    if metadata.data_cut_off is not None:
        bounds.append(end.where(end.isna(), pd.Timestamp(metadata.data_cut_off)))
    return pd.concat(bounds, axis=1).min(axis=1).astype("datetime64[ns]")
