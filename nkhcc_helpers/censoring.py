"""Whether CNSR says what the other columns say: dates of death and descriptions of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from nkhcc_helpers.metadata import DAYS_PER_UNIT, Endpoint, TrialMetadata
from nkhcc_helpers.reading import RawTable
from nkhcc_helpers.rules import find_column
from nkhcc_helpers.schema import BLANK

OTHER_EVENT = r"progress|relapse|recur|event"
"""Words of EVNTDESC for an event other than death."""

_NO_EVENT = r"censor|alive|lost|ongoing|\bcut|contact|withdr|without|free|end of|missed|\bno\b|\bnot\b|none"
_DEATH = r"death|died|dead"
_LONGEST = 20000
"""Days; keeps a date counted from AVAL within what pandas can hold."""


@dataclass(frozen=True)
class Miscoding:
    """An endpoint whose CNSR is doubtful as a whole."""

    code: str
    said: str
    row: int | None
    """First row that says an event happened where CNSR says none did; None when no row says so."""


def list_death_records(tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable]) -> pd.DataFrame:
    """Return what ADSL says of each subject's death, by USUBJID.

    Returns
    -------
    pandas.DataFrame
        `date`, NaT when not known, and `blank`, true where DTHDT is there and empty although it is filled
        for somebody else.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").dropna(subset=["USUBJID"])
    records = pd.DataFrame({"USUBJID": adsl["USUBJID"], "date": find_column(adsl, "DTHDT"), "blank": False})
    if "DTHDT" in adsl:
        blank = raw["ADSL"].frame["DTHDT"].isin(BLANK)
        records["blank"] = blank.loc[adsl.index] & (not blank.all())
    return records.set_index("USUBJID")


def list_contradicted_deaths(
    rows: pd.DataFrame, deaths: pd.DataFrame, metadata: TrialMetadata
) -> tuple[pd.Series, pd.Series]:
    """Return which rows of overall survival, if censored, the date of death contradicts, and which it may.

    A death after the data cut-off contradicts nothing; without a cut-off, neither need a death after the
    last date of follow-up.
    """
    died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
    if metadata.data_cut_off is not None:
        return died.notna() & ~(died > pd.Timestamp(metadata.data_cut_off)), died.notna() & False
    later = died > list_ends(rows, metadata) + pd.Timedelta(days=1)
    return died.notna() & ~later, later


def list_ends(rows: pd.DataFrame, metadata: TrialMetadata) -> pd.Series:
    """Return the last date of each row of ADTTE: ADT, or STARTDT and AVAL days, or NaT."""
    days = (find_column(rows, "AVAL", "float64") * DAYS_PER_UNIT[metadata.time_unit]).clip(upper=_LONGEST)
    counted = find_column(rows, "STARTDT") + pd.to_timedelta(days.round(), unit="D")
    return find_column(rows, "ADT").fillna(counted)


def list_told_events(rows: pd.DataFrame, endpoint: Endpoint) -> pd.Series:
    """Return whether each row's descriptions tell of an event; missing where they do not tell.

    Death is taken for an event of overall and progression-free survival only.
    """
    described, reason = find_text(rows, "EVNTDESC"), find_text(rows, "CNSDTDSC")
    words = OTHER_EVENT if endpoint.role == "other" else f"{_DEATH}|{OTHER_EVENT}"
    no_event = described.str.contains(_NO_EVENT, case=False) | (reason != "")
    event = described.str.contains(words, case=False) & ~described.str.contains(_NO_EVENT, case=False)
    told = pd.Series(pd.NA, index=rows.index, dtype="boolean").mask(no_event, False)
    return told.mask(event & (reason == ""), True)


def list_miscodings(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata
) -> list[Miscoding]:
    """Return the endpoints without an event, and those that everything that tells contradicts.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Parsed tables; ADSL and ADTTE with USUBJID, PARAMCD and CNSR.
    raw : mapping of str to RawTable
        The same as text.
    metadata : TrialMetadata
        Endpoints and their roles.
    """
    adtte = tables["ADTTE"].dropna(subset=["CNSR"])
    deaths = list_death_records(tables, raw)
    found = []
    for endpoint in metadata.endpoints:
        rows = adtte[adtte["PARAMCD"] == endpoint.code]
        told = list_told_events(rows, endpoint)
        if endpoint.role == "overall_survival":
            told = told.mask(list_contradicted_deaths(rows, deaths, metadata)[0], True)
        elif endpoint.role == "progression_free_survival":
            died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
            told = told.mask(died <= find_column(rows, "ADT"), True)
        said = _say_miscoding(endpoint.code, told, rows["event"])
        if said:
            against = told.index[told.fillna(False).to_numpy(dtype=bool) & ~rows["event"].to_numpy()]
            found.append(Miscoding(endpoint.code, said, int(against[0]) if len(against) else None))
    return found


def _say_miscoding(code: str, told: pd.Series, event: pd.Series) -> str:
    known = told.notna()
    n_told = int(told.fillna(False).sum())
    sources = "DTHDT and EVNTDESC"
    if len(event) and not event.any():
        said = f"endpoint {code} has no events (CNSR = 0 nowhere): is 1 the event?"
        return f"{said} {sources} tell of {n_told}, the first here" if n_told else said
    if known.sum() > 1 and (told[known].astype(bool) != event[known]).all():
        return (
            f"CNSR of {code} looks inverted: all {known.sum()} rows that say whether the event happened "
            "(DTHDT, EVNTDESC, CNSDTDSC) contradict it; 0 must mean event"
        )
    return ""


def says_death(rows: pd.DataFrame) -> pd.Series:
    """Return where EVNTDESC tells of death."""
    described = find_text(rows, "EVNTDESC")
    return described.str.contains(_DEATH, case=False) & ~described.str.contains(_NO_EVENT, case=False)


def find_text(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column as text, empty where missing or when the frame does not have it."""
    cells = frame[name] if name in frame else pd.Series("", index=frame.index)
    return cells.fillna("").astype(str)
