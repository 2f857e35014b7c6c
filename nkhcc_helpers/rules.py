"""Rules between rows and between tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nkhcc_helpers.metadata import TrialMetadata
from nkhcc_helpers.partial_dates import parse_partial_dates
from nkhcc_helpers.problems import Problem
from nkhcc_helpers.reading import RawTable


def list_enrolment_dates(tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Return the date each subject enrolled, by USUBJID.

    ENRLDT of ADSL where there; else the first STARTDT of ADTTE; else TRTSDT of ADSL; else NaT.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID")
    dates = pd.Series(pd.NaT, index=adsl.index, dtype="datetime64[ns]")
    adtte = tables.get("ADTTE", pd.DataFrame())
    for source in (find_column(adsl, "ENRLDT"), _earliest(adtte, "STARTDT"), find_column(adsl, "TRTSDT")):
        dates = dates.fillna(source.reindex(dates.index))
    return dates


def list_death_dates(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata | None) -> pd.Series:
    """Return the date each subject died, by USUBJID, NaT when not known to have died.

    DTHDT of ADSL where there; else ADT of the overall-survival event.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID")
    dates = find_column(adsl, "DTHDT")
    adtte = tables.get("ADTTE")
    code = find_endpoint(metadata, "overall_survival")
    if code is None or adtte is None or not {"USUBJID", "PARAMCD", "event"} <= set(adtte.columns):
        return dates
    died = adtte[(adtte["PARAMCD"] == code) & adtte["event"]]
    return dates.fillna(_earliest(died, "ADT").reindex(dates.index))


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


def find_endpoint(metadata: TrialMetadata | None, role: str) -> str | None:
    """Return the code of the endpoint with a role; None without one."""
    endpoints = metadata.endpoints if metadata is not None else []
    return next((endpoint.code for endpoint in endpoints if endpoint.role == role), None)


def find_column(frame: pd.DataFrame, name: str, dtype: str = "datetime64[ns]") -> pd.Series:
    """Return a column, all missing when the frame does not have it."""
    return frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=dtype)


def format_dates(dates: pd.Series) -> pd.Series:
    """Return dates as YYYY-MM-DD, missing where there is none."""
    return pd.to_datetime(dates).dt.strftime("%Y-%m-%d")


def report_rows(
    table: str, raw: RawTable, column: str, at: pd.Series, rules: str | pd.Series
) -> list[Problem]:
    """Return one problem per row of a column where `at` is true.

    Parameters
    ----------
    table : str
        Name of the table in problems.
    raw : RawTable
        The table as text.
    column : str
        The column to blame.
    at : pandas.Series of bool
        Index the line number; missing is false.
    rules : str or pandas.Series of str
        What is wrong, for all rows or by line number.
    """
    rows = at.index[at.fillna(False).to_numpy(dtype=bool)]
    if rows.empty:
        return []
    cells = raw.frame[column]
    said = rules if isinstance(rules, pd.Series) else pd.Series(rules, index=rows)
    return [Problem(table, int(row), column, str(cells.loc[row]), said.loc[row]) for row in rows]


def _earliest(frame: pd.DataFrame, name: str) -> pd.Series:
    if not {"USUBJID", name} <= set(frame.columns):
        return pd.Series(dtype="datetime64[ns]")
    return frame.groupby("USUBJID")[name].min()


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
