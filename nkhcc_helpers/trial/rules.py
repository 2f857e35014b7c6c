"""Rules between rows and between tables, and what cannot both be so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from nkhcc_helpers.trial.doses import lay_out_doses, list_wrong_doses
from nkhcc_helpers.trial.evidence import (
    check_durations,
    list_contradicted_deaths,
    list_death_records,
    list_longer,
    list_miscodings,
)
from nkhcc_helpers.trial.mapping import OTHER_EVENT, check_units, find_alike, report_alike, says_death
from nkhcc_helpers.trial.metadata import TrialMetadata, count_noun, find_endpoint
from nkhcc_helpers.trial.patients import is_given, list_enrolment_dates, list_lengths, list_starts
from nkhcc_helpers.trial.problems import BLANK, Problem, RawTable, join_problems
from nkhcc_helpers.trial.schema import (
    SEVERITY_GRADES,
    find_column,
    find_text,
    list_answers,
    list_text,
    parse_numbers,
    parse_partial_dates,
)

_FATAL = ("FATAL", "DEATH", "DIED", "RESULTED IN DEATH")
_ONE_DAY = pd.Timedelta(days=1)
_HALF_A_DAY = pd.Timedelta(days=0.5)


@dataclass(frozen=True)
class Tables:
    """The tables as far as they could be read, parsed and as text, and `trial.yaml`, None without.

    `tables[name]` is a parsed table, its index the line number in the file; empty where there is none.
    """

    parsed: Mapping[str, pd.DataFrame]
    raw: Mapping[str, RawTable]
    metadata: TrialMetadata | None

    def __getitem__(self, table: str) -> pd.DataFrame:
        return self.parsed.get(table, pd.DataFrame())

    def has(self, table: str, *columns: str) -> bool:
        """Whether a table was read, and has these columns."""
        return table in self.parsed and set(columns) <= set(self.parsed[table].columns)

    @property
    def has_exposure(self) -> bool:
        """Whether it was collected what was given."""
        return self.metadata is None or self.metadata.exposure.collected

    def is_filled(self, table: str, column: str) -> pd.Series:
        """For each row, whether anything stands in the cell, be it readable or not."""
        return ~self.raw[table].frame[column].isin(BLANK)

    def report(self, table: str, column: str, at: pd.Series, rules: str | pd.Series) -> list[Problem]:
        """Return a problem of the column for each row where `at` is true, or one where it is true throughout.

        One rule for all, or by line.
        """
        rows = at.index[at.fillna(False).to_numpy(dtype=bool)]
        if rows.empty:
            return []
        cells = self.raw[table].frame[column]
        said = rules if isinstance(rules, pd.Series) else pd.Series(rules, index=rows)
        found = [Problem(table, int(row), column, str(cells.loc[row]), said.loc[row]) for row in rows]
        return join_problems(found, self.raw[table].frame)


def check_rules(tables: Tables) -> list[Problem]:
    """List what is wrong between rows and between tables; without `trial.yaml`, what does not need it."""
    problems = [
        Problem(table, None, "", "", "has a header and no rows")
        for table, frame in tables.parsed.items()
        if frame.empty and table != "ADAE" and (table != "ADEX" or tables.has_exposure)
    ]
    for table in tables.parsed:
        problems += _check_repeated(tables, table) + _check_date_order(tables, table)
    described, listed = tables.metadata is not None, tables.has("ADSL", "USUBJID")
    if listed:
        problems += _check_known_subjects(tables) + _check_bounds(tables) + _check_doses(tables)
    if listed and described:
        problems += _check_endpoints(tables) + _check_origins(tables)
        problems += _check_competing(tables)
    if described:
        problems += _check_flags(tables) + _check_times(tables)
    if listed:
        problems += _check_same_arm(tables) + _check_safety_population(tables) + _check_fatal_events(tables)
    if listed and described:
        problems += _check_outcomes(tables)
    return problems


def _check_repeated(tables: Tables, table: str) -> list[Problem]:
    frame, raw = tables[table], tables.raw[table]
    by, rule = {
        "ADSL": (["USUBJID"], "subject is there already in row"),
        "ADTTE": (["USUBJID", "PARAMCD"], "subject has this endpoint already in row"),
        "ADEX": (list(frame.columns), "row is there already, the same in every column, in row"),
    }.get(table, ([], ""))
    if not by or not tables.has(table, "USUBJID", *by):
        return []
    given = frame[by].notna().all(axis=1) | (table == "ADEX")
    repeated = raw.frame.duplicated(by) & given
    lines = pd.Series(raw.frame.index, index=raw.frame.index)
    first = lines.groupby([raw.frame[name] for name in by], sort=False).transform("min")
    column = "PARAMCD" if table == "ADTTE" else "USUBJID"
    return tables.report(table, column, repeated, first.map(lambda row: f"{rule} {row}"))


def _check_date_order(tables: Tables, table: str) -> list[Problem]:
    problems = []
    for start, end in [("TRTSDT", "TRTEDT"), ("ASTDT", "AENDT"), ("STARTDT", "ADT")]:
        if tables.has(table, start, end):
            starts = tables.raw[table].frame[start]
            rule = starts.map(lambda date, start=start: f"must not be before {start}, {date}")
            # Of partial dates, only what no day they allow could satisfy.
            impossible = _list_days(tables, table, end)["last"] < _list_days(tables, table, start)["first"]
            problems += tables.report(table, end, impossible, rule)
    return problems


def _list_days(tables: Tables, table: str, column: str) -> pd.DataFrame:
    """Return the first and last day that each date allows, the same where it is a full one."""
    dates = tables[table][column]
    return parse_partial_dates(dates) if table == "ADAE" else pd.DataFrame({"first": dates, "last": dates})


def _check_known_subjects(tables: Tables) -> list[Problem]:
    known = set(tables["ADSL"]["USUBJID"].dropna()) | tables.raw["ADSL"].set_aside
    problems = []
    for table in tables.parsed:
        if table != "ADSL" and tables.has(table, "USUBJID"):
            subjects = tables[table]["USUBJID"].dropna()
            alike = find_alike(subjects, known)
            problems += [report_alike(table, subjects, alike)] if alike else []
            strange = ~subjects.isin(known) & ~subjects.isin(set(alike))
            problems += tables.report(table, "USUBJID", strange, "subject is not in ADSL")
    return problems


def _check_bounds(tables: Tables) -> list[Problem]:
    """List dates before enrolment, after death or after the data cut-off."""
    enrolled, died = list_enrolment_dates(tables.parsed), _list_death_dates(tables)
    bounds = [
        ("ADSL", "DTHDT", "before enrolment", enrolled),
        ("ADEX", "ASTDT", "before enrolment", enrolled),
    ]
    bounds += [(table, "ASTDT", "after the subject's death", died) for table in ("ADEX", "ADAE")]
    bounds.append(("ADEX", "AENDT", "after the subject's death", died))
    if tables.metadata is not None and tables.metadata.data_cut_off is not None:
        cut_off = pd.Series(pd.Timestamp(tables.metadata.data_cut_off), index=enrolled.index)
        dates = [("ADTTE", "ADT"), ("ADEX", "ASTDT"), ("ADAE", "ASTDT")]
        bounds += [(*date, "after the data cut-off", cut_off) for date in dates]
    problems = []
    for table, column, said, by_subject in bounds:
        if tables.has(table, "USUBJID", column):
            bound = pd.to_datetime(tables[table]["USUBJID"].map(by_subject))
            days = _list_days(tables, table, column)
            beyond = days["last"] < bound if said.startswith("before") else days["first"] > bound
            problems += tables.report(table, column, beyond, f"must not be {said}, " + _write(bound))
    return problems


def _check_doses(tables: Tables) -> list[Problem]:
    if not tables.has("ADEX", "USUBJID", "ASTDT", "EXDOSFRQ"):
        return []
    cut_off = tables.metadata.data_cut_off if tables.metadata is not None else None
    wrong = list_wrong_doses(tables["ADEX"], tables["ADSL"], cut_off and pd.Timestamp(cut_off))
    # A date that cannot be read is a problem of its own.
    raw = tables.raw["ADEX"].frame
    unread = tables["ADEX"]["ASTDT"].isna()
    if "AENDT" in raw:
        unread |= tables.is_filled("ADEX", "AENDT") & tables["ADEX"]["AENDT"].isna()
    return [each for at, rule in wrong for each in tables.report("ADEX", "EXDOSFRQ", at & ~unread, rule)]


def _list_death_dates(tables: Tables) -> pd.Series:
    """Return the date of death that the tables give, by USUBJID: DTHDT, or else ADT of its event, or NaT."""
    adsl = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID")
    dates = find_column(adsl, "DTHDT")
    code = find_endpoint(tables.metadata, "overall_survival")
    if code is None or not tables.has("ADTTE", "USUBJID", "endpoint", "event", "ADT"):
        return dates
    adtte = tables["ADTTE"]
    ended = adtte[(adtte["endpoint"] == code) & adtte["event"]].groupby("USUBJID")["ADT"].min()
    return dates.fillna(ended.reindex(dates.index))


def _write(dates: pd.Series) -> pd.Series:
    """Return dates as YYYY-MM-DD, missing where there is none."""
    return pd.to_datetime(dates).dt.strftime("%Y-%m-%d")


def _check_endpoints(tables: Tables) -> list[Problem]:
    adtte = tables["ADTTE"]
    if adtte.empty or not tables.has("ADTTE", "USUBJID", "endpoint"):
        return []
    subjects = tables["ADSL"]["USUBJID"]
    alike = find_alike(adtte["USUBJID"].dropna(), set(subjects.dropna()))
    written = adtte["USUBJID"].replace(alike)
    problems = []
    for endpoint in tables.metadata.endpoints:
        followed = set(written[adtte["endpoint"] == endpoint.code]) | tables.raw["ADTTE"].set_aside
        absent = subjects.notna() & ~subjects.isin(followed) & ~subjects.duplicated()
        if endpoint.population:
            if absent.sum() == subjects.nunique():
                rule = f"nobody has a row with it; its population in trial.yaml is {endpoint.population!r}"
                problems.append(Problem("ADTTE", None, "PARAMCD", endpoint.paramcd, rule))
            continue
        rule = f"subject has no row in ADTTE with PARAMCD {endpoint.paramcd}"
        problems += tables.report("ADSL", "USUBJID", absent, rule)
    return problems


def _check_origins(tables: Tables) -> list[Problem]:
    """List where time cannot be counted from the date of ADSL that `trial.yaml` names for an endpoint."""
    if not tables.has("ADTTE", "USUBJID", "endpoint", "AVAL", "STARTDT"):
        return []
    adsl, problems = tables["ADSL"], []
    for endpoint in tables.metadata.endpoints:
        if not endpoint.origin or endpoint.origin not in adsl:
            continue
        origin, counted = endpoint.origin, f"{endpoint.code} counts from {endpoint.origin} (trial.yaml)"
        rows = tables["ADTTE"][tables["ADTTE"]["endpoint"] == endpoint.code]
        without = adsl["USUBJID"].isin(rows["USUBJID"]) & ~tables.is_filled("ADSL", origin)
        dates = rows["USUBJID"].map(adsl.drop_duplicates("USUBJID").set_index("USUBJID")[origin])
        late, early = rows["STARTDT"] > dates, rows["STARTDT"] < dates
        empty = ~tables.is_filled("ADTTE", "STARTDT").loc[rows.index]
        problems += tables.report("ADSL", origin, without, f"must not be empty, for {counted}")
        problems += tables.report("ADTTE", "STARTDT", empty, f"must not be empty, for {counted}")
        problems += tables.report("ADTTE", "STARTDT", early, f"must not be before {origin}, " + _write(dates))
        at_once = late & (rows["AVAL"] == 0)
        problems += tables.report("ADTTE", "AVAL", at_once, f"must be above 0 after STARTDT, for {counted}")
    return problems


def _check_competing(tables: Tables) -> list[Problem]:
    """List competing events before the patient comes under observation for the endpoint they compete with."""
    if not tables.has("ADTTE", "USUBJID", "endpoint", "AVAL", "CNSR"):
        return []
    starts = list_starts(tables["ADTTE"], list_enrolment_dates(tables.parsed))
    adtte = tables["ADTTE"].assign(start=starts, end=starts + list_lengths(tables["ADTTE"], tables.metadata))
    adsl, problems = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID"), []
    for endpoint in tables.metadata.endpoints:
        if not endpoint.competing:
            continue
        other = adtte[(adtte["endpoint"] == endpoint.competing) & adtte["event"]]
        own = adtte[adtte["endpoint"] == endpoint.code].drop_duplicates("USUBJID")
        start = pd.to_datetime(other["USUBJID"].map(own.set_index("USUBJID")["start"]))
        # Times are rounded. The first day is time 0, at risk unless observation begins later than time 0.
        late = start > pd.to_datetime(other["USUBJID"].map(find_column(adsl, endpoint.origin)))
        early = other["end"] < start.mask(late, start + 2 * _HALF_A_DAY) - _HALF_A_DAY
        rule = f"happens before {endpoint.code}, with which it competes, is observed (trial.yaml), from "
        problems += tables.report("ADTTE", "AVAL", early, rule + _write(start))
    return problems


def _check_flags(tables: Tables) -> list[Problem]:
    """List where CNSR contradicts the column that `trial.yaml` reads who had the event from."""
    flag = tables.metadata.event_flag
    if flag is None or flag.column == "CNSR" or not tables.has("ADTTE", "CNSR", flag.column):
        return []
    told, adtte = flag.read(tables["ADTTE"][flag.column]), tables["ADTTE"]
    other = told.notna() & adtte["CNSR"].notna() & ((told == 0) != adtte["event"])
    said = adtte["CNSR"].map("is not what CNSR says, {:.0f} (0 is the event); mend one".format)
    return tables.report("ADTTE", flag.column, other, said)


def _check_times(tables: Tables) -> list[Problem]:
    """List where AVAL is in another unit than `trial.yaml` says, or does not fit the dates, or death."""
    if not tables.has("ADTTE", "endpoint"):
        return []
    adtte = tables["ADTTE"]
    wrong = check_units(adtte[adtte.columns.intersection(["endpoint", "AVALU", "PARAM"])], tables.metadata)
    problems = list(wrong.values())
    if tables.has("ADTTE", "USUBJID", "AVAL"):
        longer = list_longer(tables)
        problems += tables.report("ADTTE", "AVAL", longer["wrong"], longer["rule"])
    return problems + (check_durations(tables, wrong) if tables.has("ADSL", "USUBJID") else [])


def _check_same_arm(tables: Tables) -> list[Problem]:
    adsl = tables["ADSL"].drop_duplicates("USUBJID").dropna(subset=["USUBJID"])
    if "TRT01P" not in adsl:
        return []
    arms = adsl.set_index("USUBJID")["TRT01P"]
    problems = []
    for table in ("ADTTE", "ADEX", "ADAE"):
        if tables.has(table, "USUBJID", "TRT01P"):
            planned = tables[table]["TRT01P"]
            arm = tables[table]["USUBJID"].map(arms)
            other = planned.notna() & arm.notna() & (planned != arm)
            rules = arm.map(lambda code: f"is not the subject's arm in ADSL, {code}")
            problems += tables.report(table, "TRT01P", other, rules)
    return problems


def _check_safety_population(tables: Tables) -> list[Problem]:
    if not tables.has("ADSL", "SAFFL") or not tables.has("ADEX", "USUBJID", "ASTDT", "EXDOSE"):
        return []
    adsl, given = tables["ADSL"], tables["ADEX"][is_given(tables.parsed, tables.metadata)]
    n_infusions = adsl["USUBJID"].map(lay_out_doses(given, adsl)["n"].groupby(given["USUBJID"]).sum())
    word = tables.metadata.treatment_word if tables.metadata is not None else "infusion"
    left_out = list_answers(adsl, "SAFFL").eq(False) & (n_infusions > 0)
    rule = "says untreated, but ADEX has {} of the subject"
    rules = n_infusions.dropna().map(lambda n: rule.format(count_noun(int(n), word)))
    return tables.report("ADSL", "SAFFL", left_out, rules)


def _check_fatal_events(tables: Tables) -> list[Problem]:
    if not tables.has("ADAE", "USUBJID") or not tables.has("ADSL", "DTHDT"):
        return []
    adae, adsl, adtte = (tables[name] for name in ("ADAE", "ADSL", "ADTTE"))
    # A faulty DTHDT is a problem of its own; a death that ADTTE alone knows is one of ADTTE.
    dead = set(adsl.loc[tables.is_filled("ADSL", "DTHDT"), "USUBJID"])
    if tables.has("ADTTE", "USUBJID", "endpoint", "event"):
        overall = adtte["endpoint"] == find_endpoint(tables.metadata, "overall_survival")
        dead |= set(adtte.loc[overall & adtte["event"], "USUBJID"])
    alive = adae["USUBJID"].isin(set(adsl["USUBJID"].dropna()) - dead)
    fatal = {
        "AETOXGR": parse_numbers(find_text(adae, "AETOXGR")) == SEVERITY_GRADES["FATAL"],
        "AESEV": list_text(adae, "AESEV").map(SEVERITY_GRADES) == SEVERITY_GRADES["FATAL"],
        "AEOUT": list_text(adae, "AEOUT").isin(_FATAL),
    }
    problems = []
    for column, at in fatal.items():
        if column in adae:
            rule = "is fatal, but the subject has no DTHDT in ADSL"
            problems += tables.report("ADAE", column, at & alive, rule)
            alive &= ~at
    return problems


def _check_outcomes(tables: Tables) -> list[Problem]:
    """List where CNSR and the dates of ADTTE contradict each other, or the deaths of ADSL."""
    if not tables.has("ADTTE", "USUBJID", "endpoint", "CNSR"):
        return []
    problems = []
    miscoded = [each for each in list_miscodings(tables) if each.row is not None]
    lines = pd.Series(tables["ADTTE"].index, index=tables["ADTTE"].index)
    for each in miscoded:
        problems += tables.report("ADTTE", tables.metadata.flag, lines == each.row, each.said)
    checks = {
        "overall_survival": _check_overall_survival,
        "progression_free_survival": _check_progression_free_survival,
    }
    for endpoint in tables.metadata.endpoints:
        if endpoint.role in checks and endpoint.code not in [each.code for each in miscoded]:
            adtte, deaths = tables["ADTTE"], list_death_records(tables)
            rows = adtte[adtte["endpoint"] == endpoint.code]
            problems += checks[endpoint.role](tables, rows, deaths)
    return problems


def _check_overall_survival(tables: Tables, rows: pd.DataFrame, deaths: pd.DataFrame) -> list[Problem]:
    died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
    date = _write(died)
    censored = rows["CNSR"] > 0
    contradicted = censored & list_contradicted_deaths(rows, deaths, tables.metadata)[0]
    blank = rows["event"] & rows["USUBJID"].map(deaths["blank"]).eq(True)
    other = rows["event"] & ((find_column(rows, "ADT") - died).abs() > _ONE_DAY)
    told = says_death(find_text(rows, "EVNTDESC")) & censored & ~contradicted
    rule = "says censored, but DTHDT of ADSL says that the subject died on "
    flag = tables.metadata.flag
    return [
        *tables.report("ADTTE", flag, contradicted, rule + date),
        *tables.report("ADTTE", flag, blank, "says death, but the subject has no DTHDT in ADSL"),
        *tables.report("ADTTE", "ADT", other, "is not the date of death, DTHDT of ADSL: " + date),
        *tables.report("ADTTE", "EVNTDESC", told, f"tells of death, but {flag} says censored"),
    ]


def _check_progression_free_survival(
    tables: Tables, rows: pd.DataFrame, deaths: pd.DataFrame
) -> list[Problem]:
    died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
    date = _write(died)
    ended = find_column(rows, "ADT")
    # "Progression or death" names the endpoint, not what happened.
    other_event = find_text(rows, "EVNTDESC").str.contains(OTHER_EVENT, case=False)
    dead = says_death(find_text(rows, "EVNTDESC")) & rows["event"] & ~other_event
    blank = dead & rows["USUBJID"].map(deaths["blank"]).eq(True)
    other = dead & ((ended - died).abs() > _ONE_DAY)
    after = (ended > died + _ONE_DAY) & ~dead
    rule = "is not the date of death, DTHDT of ADSL, though EVNTDESC tells of death: "
    return [
        *tables.report("ADTTE", "EVNTDESC", blank, "tells of death, but the subject has no DTHDT in ADSL"),
        *tables.report("ADTTE", "ADT", other, rule + date),
        *tables.report("ADTTE", "ADT", after, "must not be after the subject's death, " + date),
    ]
