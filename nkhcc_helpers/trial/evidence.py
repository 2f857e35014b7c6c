"""Whether CNSR and AVAL say what the other columns say, and what else is probably not meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, Endpoint, TrialMetadata, find_endpoint, pluralize
from nkhcc_helpers.trial.patients import is_given, list_date_ranges, list_ends
from nkhcc_helpers.trial.problems import Problem
from nkhcc_helpers.trial.schema import (
    SEVERITY_GRADES,
    UNIT_SPELLINGS,
    find_column,
    find_text,
    list_answers,
    list_text,
    parse_numbers,
)

if TYPE_CHECKING:
    from nkhcc_helpers.trial.rules import Tables

OTHER_EVENT = r"progress|relapse|recur|event"
"""Words of EVNTDESC for an event other than death."""
_NO_EVENT = r"censor|alive|lost|ongoing|\bcut|contact|withdr|without|free|end of|missed|\bno\b|\bnot\b|none"
_DEATH = r"death|died|dead"
_ALIVE = r"\b(?:NOT?|WITHOUT|OTHER THAN|EXCEPT)\b"
_OTHER_MONTHS = {"months of 30 days": 30.0, "months of 28 days": 28.0}
_N_ROWS = 5
"""Rows that a doubt names."""
_UNLIKE = 100.0
"""How many times the planned dose makes one ask for its units."""
_LONG_YEARS, _APART = 30.0, 50.0
"""Years of follow-up, and ratio of the medians of two endpoints, that make one ask for the unit of time."""
_UNITS = {spelling: unit for unit, known in UNIT_SPELLINGS.items() for spelling in known}
_LONG = "|".join(name for name in _UNITS if len(name) > 1)
_SHORT = "|".join(name for name in _UNITS if len(name) > 1 and name.lower() + "s" not in UNIT_SPELLINGS)
# Plurals count, singulars number or measure: "Survival Days", but not "Day 100", "6-month" or "six months".
_PLURAL = "|".join(name for name in _UNITS if len(name) > 2 and name.endswith("S"))
_NUMBER_WORD = r"(?:ONE|TWO|THREE|FOUR|FIVE|SIX|SEVEN|EIGHT|NINE|TEN|TWELVE|TWENTY|THIRTY|HUNDRED|FEW)\b"
_UNIT_TOLD = (
    r"[(\[]\s*(D)\s*[)\]]\s*$",
    rf"(?:[(\[]\s*|\bin\s+)({_LONG})\b(?!\s*\d)",
    rf"[,:;-]\s+({_LONG})\s*$",
    rf"[A-Z]\s*[_/.]\s*({_SHORT})\s*$",
    rf"(?:\)|\b(?!{_NUMBER_WORD})[A-Z]+)\s+({_PLURAL})\s*$",
    rf"^(?:NUMBER\s+OF\s+)?({_PLURAL})\s+(?:FROM|SINCE|TO|UNTIL|OF|BETWEEN)\b",
)
"""Where PARAM tells a unit."""
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


def list_miscodings(tables: Tables) -> list[Miscoding]:
    """Return the endpoints without an event, and those that everything that tells contradicts."""
    adtte = tables["ADTTE"].dropna(subset=["CNSR"])
    deaths = list_death_records(tables)
    found = []
    for endpoint in tables.metadata.endpoints:
        rows = adtte[adtte["PARAMCD"] == endpoint.code]
        told = list_told_events(rows, endpoint)
        if endpoint.role == "overall_survival":
            told = told.mask(list_contradicted_deaths(rows, deaths, tables.metadata)[0], True)
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
    adtte, metadata = tables["ADTTE"], tables.metadata
    days = (adtte["ADT"] - adtte["STARTDT"]).dt.days
    given = adtte.assign(days=days)[(days >= 0) & adtte["AVAL"].notna()]
    lengths = {unit: days for unit, days in DAYS_PER_UNIT.items() if unit != metadata.time_unit}
    if metadata.time_unit == "months":
        lengths |= _OTHER_MONTHS
    found = []
    for endpoint in metadata.endpoints:
        rows = given[given["PARAMCD"] == endpoint.code]
        wrong = _is_off(rows, DAYS_PER_UNIT[metadata.time_unit])
        if not wrong.any():
            continue
        off = {unit: _is_off(rows, length) for unit, length in lengths.items()}
        unit = min(off, key=lambda name: off[name].sum())
        if wrong.sum() > 1 and off[unit].sum() <= min(0.2 * len(rows), 0.5 * wrong.sum()):
            found.append(Misfit(endpoint.code, wrong & off[unit], unit))
        else:
            found.append(Misfit(endpoint.code, wrong, None))
    return found


def _is_off(rows: pd.DataFrame, length: float) -> pd.Series:
    """Return where AVAL, in units of so many days, and the dates differ by more than conventions do.

    Some count the first day and some do not; AVAL may be rounded to a tenth of its unit, and a month be
    30.4 days.
    """
    allowed = max(2.0, 0.05 * length + 1.5) + 0.002 * rows["days"]
    return (rows["AVAL"] * length - rows["days"]).abs() > allowed


def check_durations(tables: Tables) -> list[Problem]:
    """List where AVAL contradicts STARTDT and ADT; one problem when all of it is in another unit."""
    problems = []
    by_unit: dict[str, list[str]] = {}
    told = tables.metadata.time_unit
    for misfit in list_misfits(tables):
        days = (tables["ADTTE"]["ADT"] - tables["ADTTE"]["STARTDT"]).dt.days
        rules = days.map(lambda n: f"is not the time from STARTDT to ADT, {n:.0f} days")
        problems += tables.report("ADTTE", "AVAL", misfit.rows, rules + f", in {told}")
        if misfit.unit in DAYS_PER_UNIT:
            by_unit.setdefault(misfit.unit, []).append(misfit.code)
    for unit, codes in by_unit.items():
        rule = (
            f"is in {unit} by STARTDT and ADT ({', '.join(codes)}), not in {told}; mend "
            "time_unit of trial.yaml, or AVAL"
        )
        problems.append(Problem("ADTTE", None, "AVAL", "", rule))
    return problems


def list_doubts(tables: Tables) -> list[str]:
    """Say of tables without problems what is probably not meant, each with table, column and rows."""
    said = [f"ADTTE: {each.said}" for each in list_miscodings(tables)]
    for misfit in list_misfits(tables):
        unit = f"{misfit.unit}, not of {DAYS_PER_UNIT[tables.metadata.time_unit]:g}"
        said.append(f"ADTTE AVAL: {misfit.code} counts {unit}, by STARTDT and ADT")
    given = tables["ADEX"][is_given(tables.parsed, tables.metadata)]
    said += _list_deaths(tables) + _list_described(tables) + _list_untreated(tables, given)
    said += _list_long_times(tables) + _list_distant_medians(tables)
    said += _list_entered_twice(tables) + _list_spellings(tables) + _list_relations(tables)
    return said + _list_infusions(tables, given) + _list_grades(tables) + _list_emergent(tables, given)


def find_units(param: str) -> list[str]:
    """Return the units of time that PARAM names: "Survival (Days)", "OS_DAYS", but not "6-month PFS"."""
    told = (found for each in _UNIT_TOLD for found in re.finditer(each, param, re.IGNORECASE))
    names = [found[1] for found in sorted(told, key=lambda found: found.start(1))]
    return list(dict.fromkeys(_UNITS[name.upper()] for name in names))


def _list_long_times(tables: Tables) -> list[str]:
    unit, adtte = tables.metadata.time_unit, tables["ADTTE"]
    years = adtte["AVAL"] * DAYS_PER_UNIT[unit] / DAYS_PER_UNIT["years"]
    rule = f"is longer than {_LONG_YEARS:g} years in {unit}; is that the unit of AVAL?"
    return _say("ADTTE", "AVAL", years > _LONG_YEARS, rule)


def _list_distant_medians(tables: Tables) -> list[str]:
    roles = ("progression_free_survival", "overall_survival")
    codes = [find_endpoint(tables.metadata, role) for role in roles]
    medians = [tables["ADTTE"].loc[tables["ADTTE"]["PARAMCD"] == code, "AVAL"].median() for code in codes]
    if not min(medians) > 0 or max(medians) < _APART * min(medians):
        return []
    told = " and ".join(f"{median:g} ({code})" for code, median in zip(codes, medians, strict=True))
    return [f"ADTTE AVAL: its medians are {told}; are both in {tables.metadata.time_unit}?"]


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
        for column, cells in tables[table].select_dtypes("object").items():
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
    rows = tables["ADTTE"][tables["ADTTE"]["PARAMCD"] == code]
    said = []
    if tables.has("ADSL", "DTHDT") and tables["ADSL"]["DTHDT"].isna().all() and rows["event"].any():
        said.append(f"ADSL DTHDT: is empty for everybody, but {code} has {rows['event'].sum()} deaths")
    _, later = list_contradicted_deaths(rows, list_death_records(tables), tables.metadata)
    rule = f"{code} is censored before the death that DTHDT of ADSL tells of; trial.yaml has no data_cut_off"
    said += _say("ADTTE", "CNSR", later & ~rows["event"], rule)
    adsl = tables["ADSL"]
    alive = adsl["USUBJID"].isin(rows.loc[~rows["event"], "USUBJID"]) & find_column(adsl, "DTHDT").isna()
    for column in ("DCSREAS", "EOSSTT"):
        reason = list_text(adsl, column)
        dead = reason.str.contains(rf"\b(?:{_DEATH})\b", case=False) & ~reason.str.contains(_ALIVE)
        rule = f"tells of a death, but {code} is censored and DTHDT is empty; the death is not counted"
        said += _say("ADSL", column, alive & dead, rule)
    return said


def _list_described(tables: Tables) -> list[str]:
    adtte, said = tables["ADTTE"], []
    for endpoint in tables.metadata.endpoints:
        rows = adtte[adtte["PARAMCD"] == endpoint.code]
        told = list_told_events(rows, endpoint).fillna(False).astype(bool)
        if rows["event"].any():
            rule = f"tells of an event of {endpoint.code}, but CNSR says censored"
            said += _say("ADTTE", "EVNTDESC", told & ~rows["event"], rule)
    return said


def _list_untreated(tables: Tables, given: pd.DataFrame) -> list[str]:
    adsl = tables["ADSL"]
    treated = list_answers(adsl, "SAFFL").eq(True)
    rule = f"says treated, but ADEX has no {tables.metadata.treatment_word} of the subject"
    return _say("ADSL", "SAFFL", treated & ~adsl["USUBJID"].isin(given["USUBJID"]), rule)


def _list_infusions(tables: Tables, adex: pd.DataFrame) -> list[str]:
    word = tables.metadata.treatment_word
    zero = tables["ADEX"]["EXDOSE"].drop(adex.index)
    said = _say("ADEX", "EXDOSE", zero == 0, f"is 0: no {word} was given, and the row is not counted")
    longer = find_column(adex, "AENDT") > adex["ASTDT"]
    said += _say("ADEX", "AENDT", longer, f"spans more than one day; each row is counted as one {word}")
    arms = {arm.code: arm for arm in tables.metadata.arms}
    arm = adex["USUBJID"].map(tables["ADSL"].set_index("USUBJID")["TRT01P"])
    by = [name for name in ("ASTDT", "EXSEQ") if name in adex]
    order = adex.sort_values(by, kind="stable").groupby("USUBJID").cumcount() + 1
    more = order.reindex(adex.index) > arm.map({code: arm.infusions for code, arm in arms.items()}).astype(
        float
    )
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
    first = pd.to_datetime(adae["USUBJID"].map(given.groupby("USUBJID")["ASTDT"].min()))
    emergent = list_answers(adae, "TRTEMFL").eq(True)
    rule = f"begins before the subject's first {word}, but TRTEMFL says treatment-emergent"
    before = list_date_ranges(adae)["onset_last"] < first
    said = _say("ADAE", "ASTDT", emergent & before, rule)
    rule = f"says treatment-emergent, but the subject has no {word}"
    return said + _say("ADAE", "TRTEMFL", emergent & first.isna(), rule)


def _say(table: str, column: str, at: pd.Series, rule: str) -> list[str]:
    rows = list(at.index[at.to_numpy(dtype=bool)])
    if not rows:
        return []
    shown = ", ".join(str(row) for row in rows[:_N_ROWS])
    more = f" and {len(rows) - _N_ROWS} more" if len(rows) > _N_ROWS else ""
    return [f"{table} row{'s' if len(rows) > 1 else ''} {shown}{more} {column}".rstrip() + f": {rule}"]
