"""A first `trial.yaml` for tables that have none: what they tell, and what had to be guessed, marked so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nkhcc_helpers.trial.evidence import is_off
from nkhcc_helpers.trial.files import READ, CoreLoader, find_table, list_folder, read_table
from nkhcc_helpers.trial.formats import find_date_order
from nkhcc_helpers.trial.mapping import UNITS, find_units
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, MOST_MONTHS, RELATED_WORDS
from nkhcc_helpers.trial.problems import (
    BLANK,
    Problem,
    RawTable,
    TrialDataError,
    format_printable,
    suggest_name,
)
from nkhcc_helpers.trial.schema import (
    TABLES,
    find_text,
    list_kinds,
    parse_dates,
    parse_numbers,
)

_NEEDED = {"ADSL": ["STUDYID", "USUBJID", "TRT01P"], "ADTTE": ["USUBJID", "PARAMCD", "AVAL"]}
_NO_ARM = re.compile(
    r"(?i)|screen(ing)?[ -]?fail(ures?|ed)?|unassigned|untreated|no treatment"
    r"|(not|never) (yet )?(assigned|treated|randomi[sz]ed|allocated|enrolled)"
)
"""Words of TRT01P for patients who are in no arm."""
_NOT_OBSERVED = re.compile(r"illustrat|simulat|synthetic|dummy|invented", re.IGNORECASE)
_ROLES = {
    "overall_survival": ("death", r"OS|overall[ -]survival"),
    "progression_free_survival": ("progression or death", r"PFS|progression[ -]?free[ -]survival"),
}
"""The event of a role in words, and what its PARAMCD is or its PARAM begins with."""
_NOT_BASELINE = re.compile(
    r"(STUDY|SITE|INV|TRT|TR\d|AP\d|ARM|ACTARM|DTH|EOS|EOT|DC[ST]|LST|LDD|RAND|RF|VIS|CUM|AGEU).*"
    r"|.*(ID|FL|FN|DT|DTM|DTC|DTF|TM|TMF|DY|SEQ|DURD)"
)
"""Identifiers, flags, dates, and what is known only later."""
_LABELS = {"AGE": "Age", "SEX": "Sex", "RACE": "Race", "ETHNIC": "Ethnicity", "AGEGR1": "Age group"}
_LABELS |= {"RACEGR1": "Race group", "REGION1": "Region", "COUNTRY": "Country"}
_FORMS = {"patch", "tablet", "capsule", "injection", "infusion"}
_LEVELS = ({"F": "Female", "M": "Male"}, {"N": "No", "Y": "Yes"})
_MOST_LEVELS = 10
_ENDS = {"ADSL": ("DTHDT", "TRTEDT", "EOSDT", "LSTALVDT"), "ADTTE": ("ADT",), "ADEX": ("ASTDT", "AENDT")}
_ENDS["ADAE"] = _ENDS["ADEX"]


class _Dumper(yaml.SafeDumper):
    """Quotes all text that any version of YAML takes for something else."""


def _represent(dumper: _Dumper, text: str) -> yaml.Node:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[YyNn]$"), list("YyNn"))
for _first, _patterns in CoreLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _patterns:
        _Dumper.add_implicit_resolver(_tag, _pattern, _first and [_first])


def write_value(value: Any) -> str:
    """Write a value on one line of YAML."""
    options = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True, "width": float("inf")}
    return yaml.dump([value], Dumper=_Dumper, **options).strip()[1:-1]


@dataclass
class Proposal:
    """A `trial.yaml`, what of it was guessed and what only a person can say, and notices of the tables."""

    said: list[str]
    lines: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return re.sub(r"\n{3,}", "\n\n", "\n".join([*self.lines, ""]))

    def put(self, key: str, value: Any, why: str = "") -> None:
        """Write a key, and why its value was guessed where it was."""
        self.lines.append(f"{key}: {write_value(value)}{self._mark('', {key: value}, {key: why})}")

    def put_list(self, key: str, why: str, entries: list[tuple[dict[str, Any], dict[str, str]]]) -> None:
        """Write a list of blocks, each with what was guessed in it and why; `why` of the list as a whole."""
        self.lines += ["", f"{key}:{self._mark('', {}, {key: why})}"]
        for entry, guesses in entries:
            of = f"{key}, {next(iter(entry.values()))}: "
            self.lines.append(f"  - {write_value(entry)}{self._mark(of, entry, guesses)}")
        self.lines.append("")

    def ask(self, key: str, why: str) -> None:
        """Leave a key to be filled in."""
        self.lines.append(f"# {key}:  # to be filled in: {format_printable(why)}")
        self.lacking.append(format_printable(f"{key}: {why}"))

    def _mark(self, of: str, entry: Mapping[str, Any], guesses: Mapping[str, str]) -> str:
        told = []
        for key, why in guesses.items():
            if why:
                value = f" {write_value(entry[key])}" if key in entry else ""
                self.guessed.append(format_printable(f"{of}{key}{value}: {why}"))
                told.append(format_printable(f"{key}, {why}" if of else why))
        return f"  # guessed: {'; '.join(told)}" if told else ""


def propose_trial(folder: Path, notes: Mapping[str, str] | None = None) -> Proposal:
    """Propose the `trial.yaml` of a folder of tables; `notes` are guesses made already in writing these.

    TrialDataError lists what keeps the tables from being read.
    """
    kept, keys, odd, said = _load(folder)
    adsl, adtte = kept["ADSL"], kept["ADTTE"]
    units = {code: _find_unit(rows, code) for code, rows in adtte.groupby("PARAMCD", sort=False)}
    common = pd.Series([unit for unit, _ in units.values()]).mode().iloc[0]
    page = Proposal(said, ["# Proposed by nkhcc init; what is marked guessed is to be confirmed or changed."])
    _put_study(page, kept, common, next(why for unit, why in units.values() if unit == common))
    for key, why in (notes or {}).items():
        page.lines.append(f"# {format_printable(key)}{page._mark('', {}, {key: why})}")
    for key, value in keys.items():
        if value:
            page.put(key, value)
    if odd:
        page.ask("date_order: dmy", f"or mdy; nothing tells which of them dates such as {odd} are")
    _put_arms(page, adsl, kept.get("ADEX"))
    _put_endpoints(page, adtte, len(adsl), units, common)
    if "CNSR" not in adtte:
        _ask_event_flag(page, adtte)
    _put_baseline(page, adsl)
    _put_events(page, kept.get("ADAE"))
    return page


def _load(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any], str, list[str]]:
    """Return the tables of the patients of any arm, what follows from reading them, and notices.

    What follows are keys of `trial.yaml`, and a date whose order nothing tells, or "".
    """
    problems: list[Problem] = []
    files = list_folder(folder, problems) or []
    raw, named, said = _read(files, None, problems) if not problems else ({}, {}, [])
    order, odd = _find_date_order(raw)
    if order:
        raw, named, said = _read(files, order, problems := [])
    _check_columns(raw, problems)
    if problems:
        raise TrialDataError(problems)
    frames = {table: each.frame.mask(each.frame.isin(BLANK), "") for table, each in raw.items()}
    arms = {name: frames["ADSL"][name] for name in ("TRT01P", "TRT01A") if name in frames["ADSL"]}
    words = {name: [word for word in each.unique() if _NO_ARM.fullmatch(word)] for name, each in arms.items()}
    left_out = dict.fromkeys([*words["TRT01P"], *filter(None, words.get("TRT01A", []))])
    ids = frames["ADSL"].loc[~arms["TRT01P"].isin(left_out), "USUBJID"]
    kept = {table: each[each["USUBJID"].isin(ids)] for table, each in frames.items()}
    kept["ADTTE"] = kept["ADTTE"][kept["ADTTE"]["PARAMCD"] != ""]
    for table in _NEEDED:
        if kept[table].empty:
            problems.append(Problem(table, None, "", "", "has no row of a patient in an arm (TRT01P)"))
    if problems:
        raise TrialDataError(problems)
    kept["ADSL"].attrs = dict(raw["ADSL"].labels)
    keys = {"date_order": order, "tables": named, "left_out": list(left_out)}
    return kept, keys, "" if order else odd, said


def _read(
    files: list[Path], order: str | None, problems: list[Problem]
) -> tuple[dict[str, RawTable], dict[str, str], list[str]]:
    """Return the tables that are there, the files of those that bear another name, and what was supposed."""
    raw, said = {}, []
    named = {table: _find_renamed(files, table, problems) for table in dict.fromkeys([*TABLES, "ADRS"])}
    for table in TABLES:
        options = {"required": table in _NEEDED, "named": named[table]}
        found = read_table(files, table, list_kinds(table, None), problems, said, order, **options)
        raw |= {table: found} if found else {}
    return raw, {table: name for table, name in named.items() if name}, said


def _find_renamed(files: list[Path], table: str, problems: list[Problem]) -> str:
    """Return the file of a table that bears a longer name, such as adtte_onco.xpt; empty where none does."""
    longer = re.compile(rf"{table}[-_. ].*({'|'.join(map(re.escape, READ))})", re.IGNORECASE)
    found = [path.name for path in files if longer.fullmatch(path.name)]
    if not found or find_table(files, table, several := [], required=False) or several:
        return ""
    if len(found) > 1:
        rule = f"only one of these may stand for {table}; name it {table.lower()}, or leave the others away"
        problems.append(Problem(table, None, "", ", ".join(found), rule))
    return found[0]


def _find_date_order(raw: Mapping[str, RawTable]) -> tuple[str | None, str]:
    texts: set[str] = set()
    for table, each in raw.items():
        kinds = list_kinds(table, None)
        for name in each.frame.columns.intersection([*kinds]):
            texts |= set(each.frame[name]) if kinds[name] in ("date", "partial") else set()
    return find_date_order(sorted(texts))


def _check_columns(raw: Mapping[str, RawTable], problems: list[Problem]) -> None:
    for table, each in raw.items():
        for name in set(_NEEDED.get(table, ["USUBJID"])) - set(each.frame):
            hint = suggest_name(name, each.frame.columns)
            problems.append(Problem(table, 1, name, "", f"column is missing{hint}"))


def _put_study(page: Proposal, kept: Mapping[str, pd.DataFrame], unit: str, why: str) -> None:
    study = kept["ADSL"]["STUDYID"].mode().iloc[0]
    page.put("study_id", study)
    page.put("title", study, "the tables do not name the trial")
    is_invented = _NOT_OBSERVED.search(study)
    told = "as STUDYID says" if is_invented else "illustrative if nothing was observed in patients"
    page.put("provenance", "illustrative" if is_invented else "real", told)
    page.put("time_unit", unit, why)
    longest = parse_numbers(kept["ADTTE"]["AVAL"]).max() * DAYS_PER_UNIT[unit]
    page.put("display_time_unit", unit if unit == "years" or longest < 60 else "months")
    ends = pd.concat([find_text(kept[table], name) for table in kept for name in _ENDS.get(table, ())])
    # Without ADT, patients may have been followed after any date that is there.
    if (find_text(kept["ADTTE"], "ADT") != "").all() and (last := parse_dates(ends).max()) is not pd.NaT:
        why = "the latest date of the tables; who was last seen well before it may count as lost"
        page.put("data_cut_off", last.date(), why)
    if flags := [name for name in kept["ADSL"] if name.endswith("FL") and name != "DTHFL"]:
        page.lines.append(f"# populations that ADSL flags: {format_printable(', '.join(flags))}")


def _find_unit(rows: pd.DataFrame, code: str) -> tuple[str, str]:
    """Return the unit of AVAL of an endpoint, and why where it was guessed."""
    told = {UNITS.get(text.upper(), "") for text in find_text(rows, "AVALU").unique()} - {""}
    told = told or set(find_units(" ".join([code, find_text(rows, "PARAM").iloc[0]])))
    if len(told) == 1:
        return told.pop(), ""
    time = parse_numbers(rows["AVAL"])
    days = (parse_dates(find_text(rows, "ADT")) - parse_dates(find_text(rows, "STARTDT"))).dt.days
    dated = pd.DataFrame({"AVAL": time, "days": days}).dropna()
    n_fit = {unit: int((~is_off(dated, length)).sum()) for unit, length in DAYS_PER_UNIT.items()}
    unit = max(n_fit, key=n_fit.__getitem__)
    if not n_fit[unit]:
        why = f"nothing tells the unit; the longest time is {time.max():g}"
        return "days" if time.max() > MOST_MONTHS else "months", why
    is_known = n_fit[unit] == len(dated) and list(n_fit.values()).count(len(dated)) == 1
    return unit, "" if is_known else f"{n_fit[unit]} of {len(dated)} times are ADT - STARTDT in it"


def _put_arms(page: Proposal, adsl: pd.DataFrame, adex: pd.DataFrame | None) -> None:
    number, planned = parse_numbers(find_text(adsl, "TRT01PN")), adsl.set_index("USUBJID")["TRT01P"]
    codes, why = [*adsl["TRT01P"].unique()], "in order of first appearance, without TRT01PN"
    given = [] if adex is None else adex.groupby(adex["USUBJID"].map(planned))
    plans = {code: _plan_arm(rows) for code, rows in given}
    doses = {code: plan["dose"][0] for code, plan in plans.items() if "dose" in plan}
    if number.notna().all():
        codes, why = list(number.groupby(adsl["TRT01P"]).min().sort_values(kind="stable").index), ""
    elif set(doses) == set(codes) and len(set(doses.values())) == len(codes):
        codes, why = sorted(codes, key=doses.__getitem__), "in order of dose, without TRT01PN"
    actual, entries = [each for each in find_text(adsl, "TRT01A").unique() if not _NO_ARM.fullmatch(each)], []
    for order, code in enumerate(dict.fromkeys([*codes, *actual]), start=1):
        plan = plans.get(code, {}).items()
        entry = {"code": code, "label": code, "order": order, **{key: value for key, (value, _) in plan}}
        entries.append((entry, {key: told for key, (_, told) in plan}))
    page.put_list("arms", why if len(codes) > 1 else "", entries)
    if adex is None:
        page.put("exposure", {"collected": False})
        return
    if len(units := set(find_text(adex, "EXDOSU")) - {""}) == 1:
        page.put("dose_unit", units.pop())
    forms = {text.lower() for text in find_text(adex, "EXDOSFRM")} - {""}
    if len(forms & _FORMS) == len(forms) == 1:
        page.put("treatment_word", forms.pop())


def _plan_arm(rows: pd.DataFrame) -> dict[str, tuple[Any, str]]:
    """Return what an arm was probably planned to receive, by what its patients did, and why."""
    dose, start = parse_numbers(find_text(rows, "EXDOSE")), parse_dates(find_text(rows, "ASTDT"))
    rows = rows.assign(dose=dose, start=start).dropna(subset=["dose", "start"])
    rows = rows.sort_values(["USUBJID", "start"], kind="stable")
    rows = rows[(rows["dose"] > 0) | (rows["dose"] == 0).all()]
    if rows.empty:
        return {}
    days = (parse_dates(find_text(rows, "AENDT")) - rows["start"]).dt.days.clip(lower=0).fillna(0)
    dose = _tidy((days + 1).groupby(rows["dose"]).sum().idxmax())
    if days.max() > 1 or not set(find_text(rows, "EXDOSFRQ").str.upper()) <= {"", "ONCE", "CONTINUOUS"}:
        return {"dose": (dose, "that of most days; how many were planned is not told")}
    number = rows.groupby("USUBJID").cumcount()
    most = int(number.max()) + 1
    planned = {"infusions": (most, "the most received"), "dose": (dose, "the commonest given")}
    at = rows.groupby(number)["dose"].agg(["min", "max"])
    if (at["min"] == at["max"]).all() and at["min"].min() < at["min"].max():
        planned["dose"] = (_tidy(at["min"].mean()), "the mean of doses")
        planned["doses"] = ([*map(_tidy, at["min"])], "as all patients received them")
    return planned


def _tidy(number: float) -> int | float:
    return int(number) if number == int(number) else float(number)


def _put_endpoints(
    page: Proposal, adtte: pd.DataFrame, n: int, units: Mapping[str, tuple[str, str]], common: str
) -> None:
    repeated = adtte.loc[adtte.duplicated(["USUBJID", "PARAMCD"]), "PARAMCD"].unique()
    for code in repeated:
        page.lines.append(f"# {format_printable(code)} is no endpoint: patients have several rows of it")
    sizes = adtte.groupby("PARAMCD", sort=False).size().drop(repeated)
    if sizes.empty:
        raise TrialDataError([Problem("ADTTE", None, "PARAMCD", "", "no endpoint has one row a patient")])
    labels = {code: _find_label(adtte[adtte["PARAMCD"] == code]) or code for code in sizes.index}
    alike = [label for label in labels.values() if [*labels.values()].count(label) > 1]
    labels = {code: f"{label} ({code})" if label in alike else label for code, label in labels.items()}
    roles = {_find_role(pattern, labels): (role, event) for role, (event, pattern) in _ROLES.items()}
    entries = []
    for code, label in labels.items():
        entry, guesses = {"code": code, "label": label}, {}
        if code in roles:
            entry["role"], entry["event"] = roles[code]
        unit, why = units[code]
        if unit != common:
            entry["time_unit"], guesses["time_unit"] = unit, why
        if sizes[code] < n:
            entry["population"] = "patients with a time"
            guesses["population"] = f"{sizes[code]} of {n} patients have one"
        entries.append((entry, guesses))
    page.put_list("endpoints", "", entries)


def _find_label(rows: pd.DataFrame) -> str:
    """Return the first PARAM without the unit at its end."""
    told = next(filter(None, find_text(rows, "PARAM")), "")
    return re.sub(rf"\s*[(,]\s*({'|'.join(DAYS_PER_UNIT)})\)?$", "", told, flags=re.IGNORECASE)


def _find_role(pattern: str, labels: Mapping[str, str]) -> str | None:
    by_code = [code for code in labels if re.fullmatch(pattern, code, re.IGNORECASE)]
    by_label = (code for code in labels if re.match(rf"({pattern})\b", labels[code], re.IGNORECASE))
    return next(iter(by_code), None) or next(by_label, None)


def _ask_event_flag(page: Proposal, adtte: pd.DataFrame) -> None:
    """Ask for what stands in the place of CNSR; which word is the event is never guessed."""
    known = [*list_kinds("ADTTE", None), "STUDYID"]
    words = {name: sorted(set(cells) - {""}) for name, cells in adtte.items() if name not in known}
    seen = [f"{name} ({', '.join(each)})" for name, each in words.items() if 2 <= len(each) <= 4]
    why = f"ADTTE has no CNSR, and which word is the event is not guessed; seen: {', '.join(seen) or 'none'}"
    page.ask("event_flag: {column: STATUS, event: [DEAD], censored: [ALIVE]}", why)


def _put_baseline(page: Proposal, adsl: pd.DataFrame) -> None:
    entries = []
    for name, cells in adsl.items():
        entry = _describe_column(name, cells[cells != ""])
        if entry is None:
            continue
        label = adsl.attrs.get(name) or _LABELS.get(name, name)
        told = re.fullmatch(r"(.*\S)\s*\(([^()]{1,12})\)", label) if not entry else None
        label, unit = (told[1], told[2]) if told else (label, "")
        if name == "AGE" and not unit:
            unit = next(filter(None, find_text(adsl, "AGEU")), "years").lower()
        entry = {"column": name, "label": label, **entry} | ({"unit": unit} if unit else {})
        entries.append((entry, {}))
    if entries:
        why = "columns of numbers or few words; take out what was no baseline value"
        page.put_list("baseline", why, entries)


def _describe_column(name: str, filled: pd.Series) -> dict[str, Any] | None:
    """Return of what kind a baseline column is; None for what is none."""
    levels, numbers = filled.unique(), parse_numbers(filled)
    if len(levels) < 2 or _NOT_BASELINE.fullmatch(name):
        return None
    if numbers.notna().all():
        is_code = (numbers % 1 == 0).all() and numbers.between(0, 9).all() and name != "AGE"
        return {"kind": "categorical"} if is_code else {}
    if len(levels) > min(_MOST_LEVELS, max(2, len(filled) // 2)):
        return None
    known = next((each for each in _LEVELS if set(levels) <= set(each)), None)
    return {"kind": "categorical"} | ({"levels": known} if known else {})


def _put_events(page: Proposal, adae: pd.DataFrame | None) -> None:
    page.put("adverse_events", {"collected": adae is not None})
    if adae is None:
        return
    page.lines[-1] += "  # dictionary: by which they were coded and graded, such as CTCAE v5.0, goes here"
    words = set(find_text(adae, "AEREL" if "AEREL" in adae else "AREL")) - {""}
    if strange := sorted(word for word in words if word.upper() not in RELATED_WORDS):
        why = f"and not_related: [...]; in relation to treatment ADAE says {', '.join(map(repr, strange))}"
        page.ask("related: [...]", why)
