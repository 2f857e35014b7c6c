"""What two tables, or two columns, tell of one subject and cannot both be so."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nkhcc_helpers.censoring import (
    OTHER_EVENT,
    find_text,
    list_contradicted_deaths,
    list_death_records,
    list_miscodings,
    says_death,
)
from nkhcc_helpers.durations import check_durations
from nkhcc_helpers.metadata import TrialMetadata
from nkhcc_helpers.problems import Problem
from nkhcc_helpers.reading import RawTable
from nkhcc_helpers.rules import find_column, find_endpoint, format_dates, report_rows
from nkhcc_helpers.schema import BLANK, SEVERITY_GRADES, YES_NO, parse_numbers

_FATAL = ("FATAL", "DEATH", "DIED", "RESULTED IN DEATH")
_ONE_DAY = pd.Timedelta(days=1)


def check_contradictions(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata | None
) -> list[Problem]:
    """List what cannot both be so.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Parsed tables, as far as they could be read; index the line number.
    raw : mapping of str to RawTable
        The same as text.
    metadata : TrialMetadata or None
        None when `trial.yaml` could not be read; rules that need it are left out.
    """
    if "USUBJID" not in tables.get("ADSL", pd.DataFrame()):
        return []
    problems = _check_same_arm(tables, raw) + _check_safety_population(tables, raw)
    problems += _check_fatal_events(tables, raw, metadata)
    adtte = tables.get("ADTTE", pd.DataFrame())
    if metadata is None or not {"USUBJID", "PARAMCD"} <= set(adtte.columns):
        return problems
    problems += check_durations(adtte, raw["ADTTE"], metadata)
    if "CNSR" not in adtte:
        return problems
    miscoded = [each for each in list_miscodings(tables, raw, metadata) if each.row is not None]
    for each in miscoded:
        value = str(raw["ADTTE"].frame.loc[each.row, "CNSR"])
        problems.append(Problem("ADTTE", each.row, "CNSR", value, each.said))
    for endpoint in metadata.endpoints:
        if endpoint.code in [each.code for each in miscoded]:
            continue
        rows = adtte[adtte["PARAMCD"] == endpoint.code]
        if endpoint.role == "overall_survival":
            problems += _check_overall_survival(rows, tables, raw, metadata)
        elif endpoint.role == "progression_free_survival":
            problems += _check_progression_free_survival(rows, tables, raw)
    return problems


def _check_overall_survival(
    rows: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    raw: Mapping[str, RawTable],
    metadata: TrialMetadata,
) -> list[Problem]:
    deaths, text = list_death_records(tables, raw), raw["ADTTE"]
    died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
    date = format_dates(died)
    censored = rows["CNSR"] > 0
    contradicted = censored & list_contradicted_deaths(rows, deaths, metadata)[0]
    rule = "says censored, but DTHDT of ADSL says that the subject died on "
    problems = report_rows("ADTTE", text, "CNSR", contradicted, rule + date)
    blank = rows["event"] & rows["USUBJID"].map(deaths["blank"]).eq(True)
    problems += report_rows("ADTTE", text, "CNSR", blank, "says death, but the subject has no DTHDT in ADSL")
    other = rows["event"] & ((find_column(rows, "ADT") - died).abs() > _ONE_DAY)
    problems += report_rows("ADTTE", text, "ADT", other, "is not the date of death, DTHDT of ADSL: " + date)
    told = says_death(rows) & censored & ~contradicted
    return problems + report_rows("ADTTE", text, "EVNTDESC", told, "tells of death, but CNSR says censored")


def _check_progression_free_survival(
    rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable]
) -> list[Problem]:
    deaths, text = list_death_records(tables, raw), raw["ADTTE"]
    died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
    ended = find_column(rows, "ADT")
    described = find_text(rows, "EVNTDESC")
    # "Progression or death" names the endpoint, not what happened.
    dead = says_death(rows) & rows["event"] & ~described.str.contains(OTHER_EVENT, case=False)
    date = format_dates(died)
    blank = dead & rows["USUBJID"].map(deaths["blank"]).eq(True)
    rule = "tells of death, but the subject has no DTHDT in ADSL"
    problems = report_rows("ADTTE", text, "EVNTDESC", blank, rule)
    other = dead & ((ended - died).abs() > _ONE_DAY)
    rule = "is not the date of death, DTHDT of ADSL, though EVNTDESC tells of death: "
    problems += report_rows("ADTTE", text, "ADT", other, rule + date)
    after = (ended > died + _ONE_DAY) & ~dead
    return problems + report_rows(
        "ADTTE", text, "ADT", after, "must not be after the subject's death, " + date
    )


def _check_same_arm(tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable]) -> list[Problem]:
    adsl = tables["ADSL"].drop_duplicates("USUBJID").dropna(subset=["USUBJID"])
    if "TRT01P" not in adsl:
        return []
    arms = adsl.set_index("USUBJID")["TRT01P"]
    problems = []
    for table in ("ADTTE", "ADEX", "ADAE"):
        frame = tables.get(table, pd.DataFrame())
        if {"USUBJID", "TRT01P"} <= set(frame.columns):
            arm = frame["USUBJID"].map(arms)
            other = frame["TRT01P"].notna() & arm.notna() & (frame["TRT01P"] != arm)
            rules = arm.map(lambda code: f"is not the subject's arm in ADSL, {code}")
            problems += report_rows(table, raw[table], "TRT01P", other, rules)
    return problems


def _check_safety_population(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable]
) -> list[Problem]:
    adsl, adex = tables["ADSL"], tables.get("ADEX", pd.DataFrame())
    if "SAFFL" not in adsl or not {"USUBJID", "EXDOSE"} <= set(adex.columns):
        return []
    n_infusions = adsl["USUBJID"].map(adex.loc[adex["EXDOSE"] > 0, "USUBJID"].value_counts())
    left_out = adsl["SAFFL"].str.upper().map(YES_NO).eq(False) & (n_infusions > 0)
    rules = n_infusions.map(lambda n: f"says untreated, but ADEX has {n:.0f} infusions of the subject")
    return report_rows("ADSL", raw["ADSL"], "SAFFL", left_out, rules)


def _check_fatal_events(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata | None
) -> list[Problem]:
    adae, adsl, adtte = (tables.get(name, pd.DataFrame()) for name in ("ADAE", "ADSL", "ADTTE"))
    if "USUBJID" not in adae or "DTHDT" not in adsl:
        return []
    # A faulty DTHDT is a problem of its own; a death that ADTTE alone knows is one of ADTTE.
    dead = set(adsl.loc[~raw["ADSL"].frame["DTHDT"].isin(BLANK), "USUBJID"])
    if {"USUBJID", "PARAMCD", "event"} <= set(adtte.columns):
        overall = adtte["PARAMCD"] == find_endpoint(metadata, "overall_survival")
        dead |= set(adtte.loc[overall & adtte["event"], "USUBJID"])
    alive = adae["USUBJID"].isin(set(adsl["USUBJID"].dropna()) - dead)
    fatal = {
        "AETOXGR": parse_numbers(find_text(adae, "AETOXGR")) == SEVERITY_GRADES["FATAL"],
        "AESEV": find_text(adae, "AESEV").str.upper().map(SEVERITY_GRADES) == SEVERITY_GRADES["FATAL"],
        "AEOUT": find_text(adae, "AEOUT").str.upper().isin(_FATAL),
    }
    problems = []
    for column, at in fatal.items():
        if column in adae:
            rule = "is fatal, but the subject has no DTHDT in ADSL"
            problems += report_rows("ADAE", raw["ADAE"], column, at & alive, rule)
            alive &= ~at
    return problems
