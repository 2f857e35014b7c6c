"""Whether CNSR and AVAL say what the other columns say, and what else is probably not meant."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.checks import SAME_TIME
from nkhcc_helpers.trial.doses import lay_out_doses
from nkhcc_helpers.trial.mapping import DEATH, describe_relation, list_told_events, say_miscoding
from nkhcc_helpers.trial.metadata import (
    DAYS_PER_UNIT,
    Endpoint,
    TrialMetadata,
    count_noun,
    find_endpoint,
    pluralize,
)
from nkhcc_helpers.trial.patients import is_given, list_date_ranges, list_dose_free_arms, list_ends
from nkhcc_helpers.trial.problems import Problem
from nkhcc_helpers.trial.schema import (
    SEVERITY_GRADES,
    find_column,
    find_text,
    list_answers,
    list_text,
    parse_numbers,
)

if TYPE_CHECKING:
    from nkhcc_helpers.trial.rules import Tables

_ALIVE = r"\b(?:NOT?|WITHOUT|OTHER THAN|EXCEPT)\b"
_OTHER_MONTHS = {"months of 30 days": 30.0, "months of 28 days": 28.0}
_ROLES = ("progression_free_survival", "overall_survival")
_N_ROWS = 5
"""Rows that a doubt names."""
_UNLIKE = 100.0
"""How many times the planned dose makes one ask for its units."""
_LONG_YEARS, _APART = 30.0, 50.0
"""Years of follow-up, and ratio of the medians of two endpoints, that make one ask for the unit of time."""
_RELATION_LIKE = re.compile(r"(AE|A)?REL(N|\d+|ATED\w*|ATION\w*)?|CAUSAL\w*|AE(REL|CAUS)\w*")
_NUMBERING = ["AESEQ", "ASEQ"]
"""Columns of ADAE that only number the rows."""


@dataclass(frozen=True)
class Miscoding:
    """An endpoint whose CNSR is doubtful as a whole."""

    code: str
    said: str
    row: int | None
    """First row that says an event happened where CNSR says none did; None when no row says so."""


def list_death_records(tables: Tables) -> pd.DataFrame:
    """Return what ADSL says of each subject's death, by USUBJID: `date blank`.

    `date` is NaT when not known; `blank` is true where DTHDT is empty although filled for somebody else.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").dropna(subset=["USUBJID"])
    records = pd.DataFrame({"USUBJID": adsl["USUBJID"], "date": find_column(adsl, "DTHDT"), "blank": False})
    if "DTHDT" in adsl:
        blank = ~tables.is_filled("ADSL", "DTHDT")
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


def list_miscodings(tables: Tables) -> list[Miscoding]:
    """Return the endpoints without an event, and those that everything that tells contradicts."""
    adtte = tables["ADTTE"].dropna(subset=["CNSR"])
    deaths = list_death_records(tables)
    found = []
    for endpoint in tables.metadata.endpoints:
        rows = adtte[adtte["endpoint"] == endpoint.code]
        told = _list_told(rows, endpoint)
        if endpoint.role == "overall_survival":
            told = told.mask(list_contradicted_deaths(rows, deaths, tables.metadata)[0], True)
        elif endpoint.role == "progression_free_survival":
            died = pd.to_datetime(rows["USUBJID"].map(deaths["date"]))
            told = told.mask(died <= find_column(rows, "ADT"), True)
        said = say_miscoding(endpoint.code, told, rows["event"], tables.metadata.flag)
        if said:
            against = told.index[told.fillna(False).to_numpy(dtype=bool) & ~rows["event"].to_numpy()]
            found.append(Miscoding(endpoint.code, said, int(against[0]) if len(against) else None))
    return found


def _list_told(rows: pd.DataFrame, endpoint: Endpoint) -> pd.Series:
    return list_told_events(find_text(rows, "EVNTDESC"), find_text(rows, "CNSDTDSC"), endpoint.role)


@dataclass(frozen=True)
class Misfit:
    """An endpoint whose AVAL does not count the time from STARTDT to ADT."""

    code: str
    rows: pd.Series
    """True at the rows that fit neither the unit of `trial.yaml` nor `unit`."""
    unit: str | None
    """What AVAL counts instead, in nearly every row; None when nothing does."""


def list_misfits(tables: Tables) -> list[Misfit]:
    """Return the endpoints whose AVAL does not count the time from STARTDT to ADT, where all are there."""
    if not tables.has("ADTTE", "AVAL", "STARTDT", "ADT"):
        return []
    adtte = tables["ADTTE"]
    days = (adtte["ADT"] - adtte["STARTDT"]).dt.days
    given = adtte.assign(days=days)[(days >= 0) & adtte["AVAL"].notna()]
    found = []
    for code, told in tables.metadata.units.items():
        rows = given[given["endpoint"] == code]
        wrong = is_off(rows, DAYS_PER_UNIT[told])
        if not wrong.any():
            continue
        lengths = DAYS_PER_UNIT | (_OTHER_MONTHS if told == "months" else {})
        off = {unit: is_off(rows, length) for unit, length in lengths.items() if unit != told}
        unit = min(off, key=lambda name: off[name].sum())
        if wrong.sum() > 1 and off[unit].sum() <= min(0.2 * len(rows), 0.5 * wrong.sum()):
            found.append(Misfit(code, wrong & off[unit], unit))
        else:
            found.append(Misfit(code, wrong, None))
    return found


def is_off(rows: pd.DataFrame, length: float) -> pd.Series:
    """Return where AVAL, in units of so many days, and the dates differ by more than conventions do.

    Some count the first day and some do not; AVAL may be rounded to a tenth of its unit, and a month be
    30.4 days.
    """
    allowed = max(2.0, 0.05 * length + 1.5) + 0.002 * rows["days"]
    return (rows["AVAL"] * length - rows["days"]).abs() > allowed


def check_durations(tables: Tables, apart: Collection[str]) -> list[Problem]:
    """List where AVAL contradicts STARTDT and ADT; one problem when all of it is in another unit.

    Endpoints `apart` are left out: it is known that AVAL is not in the unit of `trial.yaml`.
    """
    problems = []
    by_unit: dict[tuple[str, str], list[str]] = {}
    for misfit in list_misfits(tables):
        if misfit.code in apart:
            continue
        told = tables.metadata.units[misfit.code]
        days = (tables["ADTTE"]["ADT"] - tables["ADTTE"]["STARTDT"]).dt.days
        rules = days.map(lambda n: f"is not the time from STARTDT to ADT, {n:.0f} days")
        problems += tables.report("ADTTE", "AVAL", misfit.rows, rules + f", in {told}")
        if misfit.unit in DAYS_PER_UNIT:
            by_unit.setdefault((misfit.unit, told), []).append(misfit.code)
    for (unit, told), codes in by_unit.items():
        named = ", ".join(codes)
        rule = f"is in {unit} by STARTDT and ADT ({named}), not in {told}; "
        rule += f"write time_unit: {unit} for {named} in trial.yaml, or mend AVAL"
        problems.append(Problem("ADTTE", None, "AVAL", "", rule))
    return problems


def list_longer(tables: Tables) -> pd.DataFrame:
    """Return for each row of ADTTE whether it is progression-free survival longer than overall survival.

    Columns `wrong`; `doubtful`, instead where both are censored; `rule`.
    """
    adtte, metadata = tables["ADTTE"], tables.metadata
    pfs, os = (find_endpoint(metadata, role) for role in _ROLES)
    overall = adtte[adtte["endpoint"] == os].drop_duplicates("USUBJID").set_index("USUBJID")
    told, unit = (metadata.units.get(code, metadata.time_unit) for code in (os, pfs))
    received = adtte["USUBJID"].map(overall["AVAL"])
    bound = received * (DAYS_PER_UNIT[told] / DAYS_PER_UNIT[unit])
    started = pd.to_datetime(adtte["USUBJID"].map(find_column(overall, "STARTDT")))
    later = (find_column(adtte, "STARTDT") - started).dt.days.fillna(0)
    # Times from one day are rounded alike, so that only binary rounding is allowed for; others to a tenth.
    rounded = (0.1 * max(DAYS_PER_UNIT[told], DAYS_PER_UNIT[unit]) + 1) / DAYS_PER_UNIT[unit]
    allowed = (bound * SAME_TIME + SAME_TIME).where((later == 0) & (told == unit), rounded)
    longer = (adtte["endpoint"] == pfs) & (adtte["AVAL"] + later / DAYS_PER_UNIT[unit] > bound + allowed)
    censored = find_column(adtte, "CNSR", "float64") > 0
    open_ended = censored & adtte["USUBJID"].isin(adtte.loc[censored & (adtte["endpoint"] == os), "USUBJID"])
    shown = received.map(lambda time: f"{time}" if told == unit else f"{time} {told}").astype(str)
    rule = f"{pfs} must not be longer than the subject's {os}, " + shown
    return pd.DataFrame({"wrong": longer & ~open_ended, "doubtful": longer & open_ended, "rule": rule})


def list_doubts(tables: Tables) -> list[str]:
    """Say of tables without problems what is probably not meant, each with table, column and rows."""
    said = [f"ADTTE: {each.said}" for each in list_miscodings(tables)]
    for misfit in list_misfits(tables):
        unit = f"{misfit.unit}, not of {DAYS_PER_UNIT['months']:g}"
        said.append(f"ADTTE AVAL: {misfit.code} counts {unit}, by STARTDT and ADT")
    given = tables["ADEX"][is_given(tables.parsed, tables.metadata)]
    said += _list_deaths(tables) + _list_described(tables) + _list_untreated(tables, given)
    rule = "progression-free survival is longer than overall survival; both are censored, and both are kept"
    said += _say("ADTTE", "AVAL", list_longer(tables)["doubtful"], rule)
    said += _list_long_times(tables) + _list_distant_medians(tables)
    said += _list_entered_twice(tables) + _list_spellings(tables) + _list_relations(tables)
    said += describe_relation(list_text(tables["ADAE"], "AEREL"), tables.metadata)
    return said + _list_infusions(tables, given) + _list_grades(tables) + _list_emergent(tables, given)


def _list_long_times(tables: Tables) -> list[str]:
    adtte, said = tables["ADTTE"], []
    years = adtte["AVAL"] * adtte["endpoint"].map(tables.metadata.days) / DAYS_PER_UNIT["years"]
    units = adtte["endpoint"].map(tables.metadata.units)
    for unit in units.unique():
        rule = f"is longer than {_LONG_YEARS:g} years in {unit}; is that the unit of AVAL?"
        said += _say("ADTTE", "AVAL", (years > _LONG_YEARS) & (units == unit), rule)
    return said


def _list_distant_medians(tables: Tables) -> list[str]:
    codes = [find_endpoint(tables.metadata, role) for role in _ROLES]
    adtte, units = tables["ADTTE"], tables.metadata.units
    medians = {code: adtte.loc[adtte["endpoint"] == code, "AVAL"].median() for code in codes if code}
    days = [median * tables.metadata.days[code] for code, median in medians.items()]
    if len(medians) < len(_ROLES) or not min(days) > 0 or max(days) < _APART * min(days):
        return []
    told = " and ".join(f"{median:g} {units[code]} ({code})" for code, median in medians.items())
    return [f"ADTTE AVAL: its medians are {told}; are these the right units?"]


def _list_entered_twice(tables: Tables) -> list[str]:
    # Without a date, one event is not told from another of the same term.
    dated = tables["ADAE"][find_text(tables["ADAE"], "ASTDT") != ""]
    alike = dated.drop(columns=_NUMBERING, errors="ignore").duplicated(keep=False)
    return _say(
        "ADAE", "", alike, "the same in every column; is one event entered twice? Each row is counted"
    )


def _list_spellings(tables: Tables) -> list[str]:
    said = []
    for table, raw in tables.raw.items():
        received = tables[table][list(raw.frame.columns)]
        for column, cells in received.select_dtypes("object").items():
            written = raw.frame[column]
            for name in cells[cells.notna() & (written != cells)].unique():
                told = ", ".join(map(repr, written[cells == name].unique()))
                rule = f"differ in case or spaces only and are counted as one, {name!r}"
                said.append(f"{table} {column}: {told} {rule}")
    return said


def _list_relations(tables: Tables) -> list[str]:
    if not tables.has("ADAE", "AEREL"):
        alike = [name for name in tables["ADAE"] if _RELATION_LIKE.fullmatch(name)]
        rule = "looks like relation to treatment, and is not read; name it AEREL or AREL"
        return [f"ADAE {name}: {rule}" for name in alike]
    if not tables.has("ADAE", "AREL"):
        return []
    said = {word: str(known) for word, known in tables.metadata.relation_words.items()}
    meant, other = (list_text(tables["ADAE"], name).map(said).fillna("None") for name in ("AEREL", "AREL"))
    return _say("ADAE", "AREL", meant != other, "does not say the same as AEREL, which is used")


def _list_deaths(tables: Tables) -> list[str]:
    code = find_endpoint(tables.metadata, "overall_survival")
    rows = tables["ADTTE"][tables["ADTTE"]["endpoint"] == code]
    said = []
    if tables.has("ADSL", "DTHDT") and tables["ADSL"]["DTHDT"].isna().all() and rows["event"].any():
        said.append(f"ADSL DTHDT: is empty for everybody, but {code} has {rows['event'].sum()} deaths")
    _, later = list_contradicted_deaths(rows, list_death_records(tables), tables.metadata)
    rule = f"{code} is censored before the death that DTHDT of ADSL tells of; trial.yaml has no data_cut_off"
    said += _say("ADTTE", tables.metadata.flag, later & ~rows["event"], rule)
    adsl = tables["ADSL"]
    alive = adsl["USUBJID"].isin(rows.loc[~rows["event"], "USUBJID"]) & find_column(adsl, "DTHDT").isna()
    for column in ("DCSREAS", "EOSSTT"):
        reason = list_text(adsl, column)
        dead = reason.str.contains(rf"\b(?:{DEATH})\b", case=False) & ~reason.str.contains(_ALIVE)
        rule = f"tells of a death, but {code} is censored and DTHDT is empty; the death is not counted"
        said += _say("ADSL", column, alive & dead, rule)
    return said


def _list_described(tables: Tables) -> list[str]:
    adtte, said = tables["ADTTE"], []
    for endpoint in tables.metadata.endpoints:
        rows = adtte[adtte["endpoint"] == endpoint.code]
        told = _list_told(rows, endpoint).fillna(False).astype(bool)
        if rows["event"].any():
            rule = f"tells of an event of {endpoint.code}, but {tables.metadata.flag} says censored"
            said += _say("ADTTE", "EVNTDESC", told & ~rows["event"], rule)
    return said


def _list_untreated(tables: Tables, given: pd.DataFrame) -> list[str]:
    adsl = tables["ADSL"]
    treated = list_answers(adsl, "SAFFL").eq(True)
    if not tables.has_exposure:
        blank, dated = list_text(adsl, "SAFFL") == "", find_column(adsl, "TRTSDT").notna().any()
        rule = f"{count_noun(int(blank.sum()), 'patient')} without SAFFL: exposure was not collected, so "
        rule += "those with TRTSDT" if dated else "all of them"
        return [f"ADSL: {rule} count as treated"] if blank.any() else []
    rule = f"says treated, but ADEX has no {tables.metadata.treatment_word} of the subject"
    return _say("ADSL", "SAFFL", treated & ~adsl["USUBJID"].isin(given["USUBJID"]), rule)


def _list_infusions(tables: Tables, adex: pd.DataFrame) -> list[str]:
    word = tables.metadata.treatment_word
    zero = tables["ADEX"]["EXDOSE"].drop(adex.index)
    said = _say("ADEX", "EXDOSE", zero == 0, f"is 0: no {word} was given, and the row is not counted")
    free = ", ".join(list_dose_free_arms(tables.parsed, tables.metadata))
    said += [f"ADEX EXDOSE: is 0 in every row of {free}, counted as given there"] if free else []
    adsl = tables["ADSL"]
    doses, ends = lay_out_doses(adex, adsl), find_column(adex, "AENDT")
    again = doses["hours"] > 0
    rule = "is empty, and the subject's last doses are counted until TRTEDT of ADSL"
    said += _say("ADEX", "AENDT", again & ends.isna(), rule)
    longer = (ends > adex["ASTDT"]) & ~again
    said += _say("ADEX", "AENDT", longer, f"spans more than one day; each row is counted as one {word}")
    arms = {arm.code: arm for arm in tables.metadata.arms}
    arm = adex["USUBJID"].map(adsl.set_index("USUBJID")["TRT01P"])
    by = [name for name in ("ASTDT", "EXSEQ") if name in adex]
    order = doses["n"].loc[adex.sort_values(by, kind="stable").index].groupby(adex["USUBJID"]).cumsum()
    planned = arm.map({code: arm.infusions for code, arm in arms.items()}).astype(float)
    more = order.reindex(adex.index) > planned
    rule = f"the subject has more {pluralize(word)} than planned for the arm"
    said += _say("ADEX", "ASTDT", more, rule)
    planned = arm.map({code: arm.dose for code, arm in arms.items()}).astype(float)
    ratio = (adex["EXDOSE"] / planned)[(adex["EXDOSE"] > 0) & (planned > 0)]
    if len(ratio) and ((ratio > _UNLIKE).all() or (ratio < 1 / _UNLIKE).all()):
        rule = f"is {ratio.median():.3g} times the planned dose (median); are its units those of trial.yaml?"
        said += _say("ADEX", "EXDOSE", ratio > 0, rule)
    return said


def _list_grades(tables: Tables) -> list[str]:
    adae = tables["ADAE"]
    grade = parse_numbers(find_text(adae, "AETOXGR"))
    word = list_text(adae, "AESEV")
    meant = word.map(SEVERITY_GRADES)
    # CDISC's own words for severity end with SEVERE.
    other = (grade != meant) & ~((word == "SEVERE") & (grade > SEVERITY_GRADES["SEVERE"]))
    rule = "is not the grade that AESEV tells of; AETOXGR is used"
    return _say("ADAE", "AETOXGR", other & grade.notna() & meant.notna(), rule)


def _list_emergent(tables: Tables, given: pd.DataFrame) -> list[str]:
    if not tables.has("ADAE", "TRTEMFL", "ASTDT"):
        return []
    adae, word = tables["ADAE"], tables.metadata.treatment_word
    first = given.groupby("USUBJID")["ASTDT"].min()
    if not tables.has_exposure:
        first = find_column(tables["ADSL"].set_index("USUBJID"), "TRTSDT")
    first = pd.to_datetime(adae["USUBJID"].map(first))
    emergent = list_answers(adae, "TRTEMFL").eq(True)
    rule = f"begins before the subject's first {word}, but TRTEMFL says treatment-emergent"
    before = list_date_ranges(adae)["onset_last"] < first
    said = _say("ADAE", "ASTDT", emergent & before, rule)
    rule = f"says treatment-emergent, but the subject has no {word}"
    return said + _say("ADAE", "TRTEMFL", emergent & first.isna() & tables.has_exposure, rule)


def _say(table: str, column: str, at: pd.Series, rule: str) -> list[str]:
    rows = list(at.index[at.to_numpy(dtype=bool)])
    if not rows:
        return []
    shown = ", ".join(str(row) for row in rows[:_N_ROWS])
    more = f" and {len(rows) - _N_ROWS} more" if len(rows) > _N_ROWS else ""
    return [f"{table} row{'s' if len(rows) > 1 else ''} {shown}{more} {column}".rstrip() + f": {rule}"]
