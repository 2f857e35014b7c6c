"""Rules between rows and between tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nkhcc_helpers.trial.evidence import (
    OTHER_EVENT,
    check_durations,
    list_contradicted_deaths,
    list_death_records,
    list_miscodings,
    says_death,
)
from nkhcc_helpers.trial.metadata import TrialMetadata, find_endpoint
from nkhcc_helpers.trial.patients import list_death_dates, list_enrolment_dates
from nkhcc_helpers.trial.problems import Problem, RawTable, format_dates, report_rows
from nkhcc_helpers.trial.schema import (
    BLANK,
    SEVERITY_GRADES,
    YES_NO,
    find_column,
    find_text,
    parse_numbers,
    parse_partial_dates,
)


def check_rules(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata | None
) -> list[Problem]:
    """List what is wrong between rows and between tables.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Parsed tables, as far as they could be read; index the line number.
    raw : mapping of str to RawTable
        The same as text.
    metadata : TrialMetadata or None
        None when `trial.yaml` could not be read; rules that need it are left out.
    """
    problems = _check_rows(tables)
    for table, frame in tables.items():
        problems += _check_repeated(table, frame, raw[table])
        problems += _check_date_order(table, frame, raw[table])
    if "USUBJID" in tables.get("ADSL", pd.DataFrame()):
        problems += _check_known_subjects(tables, raw)
        problems += _check_against_enrolment(tables, raw, metadata)
        if metadata is not None:
            problems += _check_arms(tables["ADSL"], raw["ADSL"], metadata)
            problems += _check_endpoints(tables, raw, metadata)
    if metadata is not None:
        problems += _check_progression_before_death(tables, raw, metadata)
    return problems


def _check_rows(tables: Mapping[str, pd.DataFrame]) -> list[Problem]:
    return [
        Problem(table, None, "", "", "has a header and no rows")
        for table, frame in tables.items()
        if frame.empty and table != "ADAE"
    ]


def _check_repeated(table: str, frame: pd.DataFrame, raw: RawTable) -> list[Problem]:
    by, rule = {
        "ADSL": (["USUBJID"], "subject is there already in row"),
        "ADTTE": (["USUBJID", "PARAMCD"], "subject has this endpoint already in row"),
        "ADEX": (list(frame.columns), "infusion is there already, the same in every column, in row"),
    }.get(table, ([], ""))
    if not by or not {*by, "USUBJID"} <= set(frame.columns):
        return []
    given = frame[by].notna().all(axis=1) | (table == "ADEX")
    repeated = raw.frame.duplicated(by) & given
    lines = pd.Series(raw.frame.index, index=raw.frame.index)
    first = lines.groupby([raw.frame[name] for name in by], sort=False).transform("min")
    column = "PARAMCD" if table == "ADTTE" else "USUBJID"
    return report_rows(table, raw, column, repeated, first.map(lambda row: f"{rule} {row}"))


def _check_date_order(table: str, frame: pd.DataFrame, raw: RawTable) -> list[Problem]:
    problems = []
    for start, end in [("TRTSDT", "TRTEDT"), ("ASTDT", "AENDT"), ("STARTDT", "ADT")]:
        if {start, end} <= set(frame.columns):
            rule = raw.frame[start].map(lambda date, start=start: f"must not be before {start}, {date}")
            # Of partial dates, only what no day they allow could satisfy.
            impossible = _list_days(table, frame, end)["last"] < _list_days(table, frame, start)["first"]
            problems += report_rows(table, raw, end, impossible, rule)
    return problems


def _list_days(table: str, frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the first and last day that each date allows, the same where it is a full one."""
    if table == "ADAE":
        return parse_partial_dates(frame[column])
    return pd.DataFrame({"first": frame[column], "last": frame[column]})


def _check_known_subjects(tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable]) -> list[Problem]:
    known = set(tables["ADSL"]["USUBJID"].dropna())
    problems = []
    for table, frame in tables.items():
        if table == "ADSL" or "USUBJID" not in frame:
            continue
        subjects = frame["USUBJID"]
        strange = subjects.notna() & ~subjects.isin(known | raw["ADSL"].set_aside)
        problems += report_rows(table, raw[table], "USUBJID", strange, "subject is not in ADSL")
    return problems


def _check_against_enrolment(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata | None
) -> list[Problem]:
    enrolled = list_enrolment_dates(tables)
    died = list_death_dates(tables, metadata)
    problems = []
    if "DTHDT" in tables["ADSL"]:
        problems += _check_bound(tables, raw, "ADSL", "DTHDT", enrolled, "before enrolment")
    problems += _check_bound(tables, raw, "ADEX", "ASTDT", enrolled, "before enrolment")
    for table in ("ADEX", "ADAE"):
        problems += _check_bound(tables, raw, table, "ASTDT", died, "after the subject's death")
    if metadata is not None and metadata.data_cut_off is not None:
        cut_off = pd.Series(pd.Timestamp(metadata.data_cut_off), index=enrolled.index)
        for table, column in [("ADTTE", "ADT"), ("ADEX", "ASTDT"), ("ADAE", "ASTDT")]:
            problems += _check_bound(tables, raw, table, column, cut_off, "after the data cut-off")
    return problems


def _check_bound(
    tables: Mapping[str, pd.DataFrame],
    raw: Mapping[str, RawTable],
    table: str,
    column: str,
    bounds: pd.Series,
    said: str,
) -> list[Problem]:
    frame = tables.get(table, pd.DataFrame())
    if not {"USUBJID", column} <= set(frame.columns):
        return []
    bound = pd.to_datetime(frame["USUBJID"].map(bounds))
    days = _list_days(table, frame, column)
    beyond = days["last"] < bound if said.startswith("before") else days["first"] > bound
    rules = f"must not be {said}, " + format_dates(bound)
    return report_rows(table, raw[table], column, beyond, rules)


def _check_arms(adsl: pd.DataFrame, raw: RawTable, metadata: TrialMetadata) -> list[Problem]:
    if "TRT01P" not in adsl or adsl.empty:
        return []
    present = set(adsl["TRT01P"].dropna()) | raw.set_aside
    rule = "arm of trial.yaml has no subjects; take it out, or mend TRT01P"
    return [
        Problem("ADSL", None, "TRT01P", arm.code, rule) for arm in metadata.arms if arm.code not in present
    ]


def _check_endpoints(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata
) -> list[Problem]:
    adtte = tables.get("ADTTE")
    if adtte is None or adtte.empty or not {"USUBJID", "PARAMCD"} <= set(adtte.columns):
        return []
    subjects = tables["ADSL"]["USUBJID"]
    problems = []
    for endpoint in metadata.endpoints:
        followed = set(adtte.loc[adtte["PARAMCD"] == endpoint.code, "USUBJID"]) | raw["ADTTE"].set_aside
        absent = subjects.notna() & ~subjects.isin(followed) & ~subjects.duplicated()
        rule = f"subject has no row in ADTTE with PARAMCD {endpoint.code}"
        problems += report_rows("ADSL", raw["ADSL"], "USUBJID", absent, rule)
    return problems


def _check_progression_before_death(
    tables: Mapping[str, pd.DataFrame], raw: Mapping[str, RawTable], metadata: TrialMetadata
) -> list[Problem]:
    adtte = tables.get("ADTTE", pd.DataFrame())
    pfs, os = (
        find_endpoint(metadata, "progression_free_survival"),
        find_endpoint(metadata, "overall_survival"),
    )
    if pfs is None or os is None or not {"USUBJID", "PARAMCD", "AVAL"} <= set(adtte.columns):
        return []
    overall = adtte[adtte["PARAMCD"] == os].drop_duplicates("USUBJID").set_index("USUBJID")["AVAL"]
    bound = adtte["USUBJID"].map(overall)
    # Both are rounded alike in the file, so only binary rounding is allowed for.
    longer = (adtte["PARAMCD"] == pfs) & (adtte["AVAL"] > bound * (1 + 1e-9))
    rules = bound.map(lambda time: f"{pfs} must not be longer than the subject's {os}, {time}")
    return report_rows("ADTTE", raw["ADTTE"], "AVAL", longer, rules)


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
