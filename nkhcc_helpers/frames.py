"""The four tables with their computed columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nkhcc_helpers.censoring import list_ends
from nkhcc_helpers.metadata import DAYS_PER_UNIT, TrialMetadata
from nkhcc_helpers.partial_dates import impute_dates
from nkhcc_helpers.rules import find_column, find_endpoint, list_death_dates, list_enrolment_dates
from nkhcc_helpers.schema import RELATED_WORDS, SEVERITY_GRADES, YES_NO, parse_numbers

NOT_CODED = "Not coded"
"""Organ class of an event of which AEBODSYS says none."""


def list_subjects(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADSL with `group dose planned_infusions enrolled first_infusion`, one row per subject."""
    adsl = tables["ADSL"].reset_index(drop=True)
    arms = {arm.code: arm for arm in metadata.arms}
    first = tables["ADEX"].groupby("USUBJID")["ASTDT"].min()
    return adsl.assign(
        group=pd.Categorical(adsl["TRT01P"], categories=list(arms), ordered=True),
        dose=adsl["TRT01P"].map({code: arm.dose for code, arm in arms.items()}).astype(float),
        planned_infusions=adsl["TRT01P"]
        .map({code: arm.infusions for code, arm in arms.items()})
        .astype(float),
        enrolled=adsl["USUBJID"].map(list_enrolment_dates(tables)),
        first_infusion=adsl["USUBJID"].map(first),
    )


def list_times(adtte: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADTTE with `group endpoint time event`, time in the display unit."""
    adtte = adtte.reset_index(drop=True)
    received, shown = metadata.time_unit, metadata.display_time_unit
    time = adtte["AVAL"]
    if received != shown:
        time = time * DAYS_PER_UNIT[received] / DAYS_PER_UNIT[shown]
    return adtte.assign(group=_groups(adtte, subjects), endpoint=adtte["PARAMCD"], time=time)


def list_infusions(adex: pd.DataFrame, subjects: pd.DataFrame) -> pd.DataFrame:
    """Return ADEX by subject and date with `group infusion date dose`; infusions count from 1."""
    by = [name for name in ("USUBJID", "ASTDT", "EXSEQ") if name in adex]
    adex = adex.sort_values(by, kind="stable", ignore_index=True)
    return adex.assign(
        group=_groups(adex, subjects),
        infusion=adex.groupby("USUBJID").cumcount() + 1,
        date=adex["ASTDT"],
        dose=adex["EXDOSE"],
    )


def list_events(
    tables: Mapping[str, pd.DataFrame], subjects: pd.DataFrame, metadata: TrialMetadata
) -> pd.DataFrame:
    """Return ADAE with its computed columns.

    They are `group term organ_class grade related serious onset resolved onset_imputed resolved_imputed
    outcome action`, partial dates imputed as `partial_dates.impute_dates` says; without a table the frame
    has no rows.
    """
    adae = tables.get("ADAE", pd.DataFrame({"USUBJID": [], "AEDECOD": []}, dtype=str))
    adae = adae.reset_index(drop=True)
    first_infusion = subjects.set_index("USUBJID")["first_infusion"]
    first, last = (
        pd.to_datetime(adae["USUBJID"].map(days))
        for days in (first_infusion, _list_last_days(tables, subjects, metadata))
    )
    dates = impute_dates(adae, first, last)
    return adae.assign(
        group=_groups(adae, subjects),
        term=adae["AEDECOD"].astype(str),
        organ_class=_text(adae, "AEBODSYS").where(lambda text: text != "", NOT_CODED),
        grade=_grades(adae),
        related=_booleans(adae, "AEREL", RELATED_WORDS),
        serious=_booleans(adae, "AESER", YES_NO),
        **dates,
        outcome=_text(adae, "AEOUT"),
        action=_text(adae, "AEACN"),
    )


def _groups(frame: pd.DataFrame, subjects: pd.DataFrame) -> pd.Categorical:
    codes = subjects.set_index("USUBJID")["TRT01P"].reindex(frame["USUBJID"])
    return pd.Categorical(codes.to_numpy(), dtype=subjects["group"].dtype)


def _text(frame: pd.DataFrame, name: str) -> pd.Series:
    return (
        frame[name].fillna("").astype(str) if name in frame else pd.Series("", index=frame.index, dtype=str)
    )


def _list_last_days(
    tables: Mapping[str, pd.DataFrame], subjects: pd.DataFrame, metadata: TrialMetadata
) -> pd.Series:
    """Return the earlier of death and data cut-off, by USUBJID; a death without a date by its AVAL."""
    adtte = tables["ADTTE"]
    deaths = adtte[adtte["event"] & (adtte["PARAMCD"] == find_endpoint(metadata, "overall_survival"))]
    enrolled = deaths["USUBJID"].map(subjects.set_index("USUBJID")["enrolled"])
    counted = list_ends(deaths.assign(STARTDT=find_column(deaths, "STARTDT").fillna(enrolled)), metadata)
    died = list_death_dates(tables, metadata)
    died = died.fillna(counted.set_axis(deaths["USUBJID"]).reindex(died.index))
    if metadata.data_cut_off is None:
        return died
    cut_off = pd.Timestamp(metadata.data_cut_off)
    return died.mask(~(died <= cut_off), cut_off)


def _booleans(frame: pd.DataFrame, name: str, words: dict[str, bool]) -> pd.Series:
    return _text(frame, name).str.upper().map(words).astype("boolean")


def _grades(adae: pd.DataFrame) -> pd.Series:
    """Return grades; AETOXGR, and where it is missing the grade AESEV's word stands for."""
    graded = parse_numbers(_text(adae, "AETOXGR"))
    worded = _text(adae, "AESEV").str.upper().map(SEVERITY_GRADES)
    return graded.fillna(worded.astype(float)).astype("Int64")
