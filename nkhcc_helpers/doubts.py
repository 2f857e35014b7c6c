"""What can be read but is probably not meant."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nkhcc_helpers.censoring import (
    find_text,
    list_contradicted_deaths,
    list_death_records,
    list_miscodings,
    list_told_events,
)
from nkhcc_helpers.durations import list_misfits
from nkhcc_helpers.metadata import DAYS_PER_UNIT, TrialMetadata
from nkhcc_helpers.partial_dates import list_date_ranges
from nkhcc_helpers.reading import RawTable
from nkhcc_helpers.rules import find_endpoint
from nkhcc_helpers.schema import SEVERITY_GRADES, YES_NO, parse_numbers

_N_ROWS = 5
_UNLIKE = 100.0


def list_doubts(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata
) -> list[str]:
    """Say what is probably not meant, each with table, column and rows.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Parsed tables without problems; index the line number.
    raw : mapping of str to RawTable
        The same as text.
    metadata : TrialMetadata
        Arms and endpoints.
    """
    said = [f"ADTTE: {each.said}" for each in list_miscodings(tables, raw, metadata)]
    for misfit in list_misfits(tables["ADTTE"], metadata):
        unit = f"{misfit.unit}, not of {DAYS_PER_UNIT[metadata.time_unit]:g}"
        said.append(f"ADTTE AVAL: {misfit.code} counts {unit}, by STARTDT and ADT")
    said += _list_deaths(tables, raw, metadata) + _list_described(tables["ADTTE"], metadata)
    said += _list_untreated(tables) + _list_infusions(tables, metadata)
    return said + _list_grades(tables) + _list_emergent(tables)


def _list_deaths(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata
) -> list[str]:
    code = find_endpoint(metadata, "overall_survival")
    rows = tables["ADTTE"][tables["ADTTE"]["PARAMCD"] == code]
    said = []
    if "DTHDT" in tables["ADSL"] and tables["ADSL"]["DTHDT"].isna().all() and rows["event"].any():
        said.append(f"ADSL DTHDT: is empty for everybody, but {code} has {rows['event'].sum()} deaths")
    _, later = list_contradicted_deaths(rows, list_death_records(tables, raw), metadata)
    rule = f"{code} is censored before the death that DTHDT of ADSL tells of; trial.yaml has no data_cut_off"
    return said + _say("ADTTE", "CNSR", later & ~rows["event"], rule)


def _list_described(adtte: pd.DataFrame, metadata: TrialMetadata) -> list[str]:
    said = []
    for endpoint in metadata.endpoints:
        rows = adtte[adtte["PARAMCD"] == endpoint.code]
        told = list_told_events(rows, endpoint).fillna(False).astype(bool)
        if rows["event"].any():
            rule = f"tells of an event of {endpoint.code}, but CNSR says censored"
            said += _say("ADTTE", "EVNTDESC", told & ~rows["event"], rule)
    return said


def _list_infusions(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata) -> list[str]:
    adsl, adex = tables["ADSL"].set_index("USUBJID"), tables["ADEX"]
    arms = {arm.code: arm for arm in metadata.arms}
    arm = adex["USUBJID"].map(adsl["TRT01P"])
    by = [name for name in ("ASTDT", "EXSEQ") if name in adex]
    order = adex.sort_values(by, kind="stable").groupby("USUBJID").cumcount() + 1
    more = order.reindex(adex.index) > arm.map({code: arm.infusions for code, arm in arms.items()})
    said = _say("ADEX", "ASTDT", more, "the subject has more infusions than planned for the arm")
    planned = arm.map({code: arm.dose for code, arm in arms.items()})
    ratio = (adex["EXDOSE"] / planned)[(adex["EXDOSE"] > 0) & (planned > 0)]
    if len(ratio) and ((ratio > _UNLIKE).all() or (ratio < 1 / _UNLIKE).all()):
        rule = f"is {ratio.median():.3g} times the planned dose (median); are its units those of trial.yaml?"
        said += _say("ADEX", "EXDOSE", ratio > 0, rule)
    return said


def _list_untreated(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    adsl, adex = tables["ADSL"], tables["ADEX"]
    treated = find_text(adsl, "SAFFL").str.upper().map(YES_NO).eq(True)
    rule = "says treated, but ADEX has no infusion of the subject"
    return _say("ADSL", "SAFFL", treated & ~adsl["USUBJID"].isin(adex["USUBJID"]), rule)


def _list_grades(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    adae = tables.get("ADAE", pd.DataFrame())
    grade = parse_numbers(find_text(adae, "AETOXGR"))
    word = find_text(adae, "AESEV").str.upper()
    meant = word.map(SEVERITY_GRADES)
    # CDISC's own words for severity end with SEVERE.
    other = (grade != meant) & ~((word == "SEVERE") & (grade > SEVERITY_GRADES["SEVERE"]))
    rule = "is not the grade that AESEV tells of; AETOXGR is used"
    return _say("ADAE", "AETOXGR", other & grade.notna() & meant.notna(), rule)


def _list_emergent(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    adae = tables.get("ADAE", pd.DataFrame())
    if not {"TRTEMFL", "ASTDT"} <= set(adae.columns):
        return []
    first = pd.to_datetime(adae["USUBJID"].map(tables["ADEX"].groupby("USUBJID")["ASTDT"].min()))
    emergent = adae["TRTEMFL"].fillna("").str.upper().map(YES_NO).eq(True)
    rule = "begins before the subject's first infusion, but TRTEMFL says treatment-emergent"
    before = list_date_ranges(adae)["onset_last"] < first
    said = _say("ADAE", "ASTDT", emergent & before, rule)
    rule = "says treatment-emergent, but the subject has no infusion"
    return said + _say("ADAE", "TRTEMFL", emergent & first.isna(), rule)


def _say(table: str, column: str, at: pd.Series, rule: str) -> list[str]:
    rows = list(at.index[at.to_numpy(dtype=bool)])
    if not rows:
        return []
    shown = ", ".join(str(row) for row in rows[:_N_ROWS])
    more = f" and {len(rows) - _N_ROWS} more" if len(rows) > _N_ROWS else ""
    return [f"{table} row{'s' if len(rows) > 1 else ''} {shown}{more} {column}: {rule}"]
