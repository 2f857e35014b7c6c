"""What units, words and identifiers of the tables stand for: read where only one reading is possible.

Functions take the columns that they look at, and no more of a table.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import pandas as pd

from nkhcc_helpers.trial.metadata import PLAIN_RELATION, TrialMetadata, count_noun
from nkhcc_helpers.trial.problems import Problem, join_names

UNIT_SPELLINGS = {
    "days": ("DAYS", "DAY", "D"),
    "weeks": ("WEEKS", "WEEK", "WK", "WKS"),
    "months": ("MONTHS", "MONTH", "MO", "MOS", "MTH", "MTHS"),
    "years": ("YEARS", "YEAR", "YR", "YRS", "Y"),
}
"""Spellings of each time unit in AVALU."""
UNITS = {spelling: unit for unit, known in UNIT_SPELLINGS.items() for spelling in known}
_LONG = "|".join(name for name in UNITS if len(name) > 1)
_SHORT = "|".join(name for name in UNITS if len(name) > 1 and name.lower() + "s" not in UNIT_SPELLINGS)
# Plurals count, singulars number or measure: "Survival Days", but not "Day 100", "6-month" or "six months".
_PLURAL = "|".join(name for name in UNITS if len(name) > 2 and name.endswith("S"))
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
OTHER_EVENT = r"progress|relapse|recur|event"
"""Words of EVNTDESC for an event other than death."""
_NO_EVENT = r"censor|alive|lost|ongoing|\bcut|contact|withdr|without|free|end of|missed|\bno\b|\bnot\b|none"
DEATH = r"death|died|dead"
_FLAG_LIKE = re.compile(r"EVE?NT|STATUS|CENS|DEATH|DEAD|DIED|FAIL")
_N_WORDS = 6
"""How many different words a column that says who had the event may have."""


def find_units(param: str) -> list[str]:
    """Return the units of time that PARAM names: "Survival (Days)", "OS_DAYS", but not "6-month PFS"."""
    told = (found for each in _UNIT_TOLD for found in re.finditer(each, param, re.IGNORECASE))
    names = [found[1] for found in sorted(told, key=lambda found: found.start(1))]
    return list(dict.fromkeys(UNITS[name.upper()] for name in names))


def check_units(adtte: pd.DataFrame, metadata: TrialMetadata) -> dict[str, Problem]:
    """Return, by endpoint, where AVALU or PARAM names another unit of AVAL than `trial.yaml`."""
    problems = {}
    for code, unit in metadata.units.items():
        rows = adtte[adtte["endpoint"] == code]
        for column in ("AVALU", "PARAM"):
            if column not in rows or code in problems:
                continue
            read = find_units if column == "PARAM" else lambda text: [UNITS[text.upper()]]
            told = rows[column].dropna()
            units = told.map({text: read(text) for text in told.unique()})
            wrong = units[units.map(lambda named, unit=unit: bool(named) and unit not in named)]
            if len(wrong):
                row, named = wrong.index[0], wrong.iloc[0]
                rule = f"counts {code} in {' or '.join(named)}, and trial.yaml says {unit}; "
                if len(wrong) == len(rows):
                    rule += f"write time_unit: {named[0]} for this endpoint, or mend {column}"
                else:
                    rule += f"{len(wrong)} of {len(rows)} rows do; give all of them one unit"
                problems[code] = Problem("ADTTE", int(row), column, told.loc[row], rule)
    return problems


def suggest_flag(columns: pd.DataFrame) -> str:
    """Say which columns may tell who had the event and how to map them; empty without any."""
    likely = []
    for name, cells in columns.items():
        words = [word for word in cells.unique() if word]
        if _FLAG_LIKE.search(str(name)) and 0 < len(words) <= _N_WORDS:
            likely.append(f"{name} ({', '.join(map(repr, sorted(words)))})")
    if not likely:
        return ""
    rule = "may tell of it: say which word is the event, in trial.yaml by"
    return f"; {join_names(likely, 'and')} {rule} event_flag: {{column: ..., event: [...], censored: [...]}}"


def says_death(described: pd.Series) -> pd.Series:
    """Return where EVNTDESC tells of death."""
    is_open = described.str.contains(_NO_EVENT, case=False)
    return described.str.contains(DEATH, case=False) & ~is_open


def list_told_events(described: pd.Series, reason: pd.Series, role: str) -> pd.Series:
    """Return whether EVNTDESC and CNSDTDSC tell of an event of an endpoint; missing where they do not tell.

    Death is taken for an event of overall and progression-free survival only.
    """
    words = OTHER_EVENT if role == "other" else f"{DEATH}|{OTHER_EVENT}"
    no_event = described.str.contains(_NO_EVENT, case=False) | (reason != "")
    event = described.str.contains(words, case=False) & ~described.str.contains(_NO_EVENT, case=False)
    told = pd.Series(pd.NA, index=described.index, dtype="boolean").mask(no_event, False)
    return told.mask(event & (reason == ""), True)


def say_miscoding(code: str, told: pd.Series, event: pd.Series, flag: str) -> str:
    """Say that an endpoint has no event, or that whatever tells of events contradicts its flag; else ""."""
    known = told.notna()
    n_told = int(told.fillna(False).sum())
    sources = "DTHDT and EVNTDESC"
    is_cnsr = flag == "CNSR"
    hint = "0 must mean event" if is_cnsr else "mend event_flag"
    if len(event) and not event.any():
        asked = "(CNSR = 0 nowhere): is 1 the event?" if is_cnsr else f"by {flag}: is event_flag right?"
        said = f"endpoint {code} has no events {asked}"
        return f"{said} {sources} tell of {n_told}, the first here" if n_told else said
    if known.sum() > 1 and (told[known].astype(bool) != event[known]).all():
        return (
            f"{flag} of {code} looks inverted: all {known.sum()} rows that say whether the event happened "
            f"(DTHDT, EVNTDESC, CNSDTDSC) contradict it; {hint}"
        )
    return ""


def find_alike(ids: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return the known identifier of each that is not known as it is written, where only one can be meant.

    They may differ in case, spaces and leading zeros, or one may have a prefix, such as the study's.
    """
    names = [name for name in dict.fromkeys(ids) if name not in known]
    alike: dict[str, str] = {}
    if not names:
        return alike
    for form in (_fold, _strip_zeros):
        forms = _index({name: [form(name)] for name in known})
        alike |= {name: forms[form(name)] for name in names if name not in alike and form(name) in forms}
    whole = _index({name: [_strip_zeros(name)] for name in known})
    ends = _index({name: _list_ends(name) for name in known})
    prefixed = {}
    for name in names:
        found = {whole[end] for end in _list_ends(name) if end in whole} or {ends.get(_strip_zeros(name))}
        if name not in alike and len(found) == 1 and None not in found:
            prefixed[name] = found.pop()
    meant = list(prefixed.values())
    return alike | {name: one for name, one in prefixed.items() if meant.count(one) == 1}


def report_alike(table: str, subjects: pd.Series, alike: dict[str, str]) -> Problem:
    """Return the problem of subjects that are written otherwise in ADSL, as `find_alike` found."""
    name, known = next(iter(alike.items()))
    row, n = int(subjects.index[subjects == name][0]), subjects.nunique()
    rule = f"{len(alike)} of {n} subjects are in ADSL {_describe_alike(alike)} ({known}); write them alike"
    return Problem(table, row, "USUBJID", name, rule)


def _describe_alike(alike: dict[str, str]) -> str:
    kinds = set()
    for name, known in alike.items():
        longer = "with" if len(known) > len(name) else "without"
        if _fold(name) == _fold(known):
            kinds.add("in another case or with other spaces")
        else:
            is_padded = _strip_zeros(name) == _strip_zeros(known)
            kinds.add(f"{longer} {'leading zeros' if is_padded else 'a prefix'}")
    return kinds.pop() if len(kinds) == 1 else "in other spellings"


def _index(forms: dict[str, list[str]]) -> dict[str, str]:
    """Return the name of each form that only one name has."""
    by_form: dict[str, set[str]] = {}
    for name, written in forms.items():
        for form in written:
            by_form.setdefault(form, set()).add(name)
    return {form: next(iter(names)) for form, names in by_form.items() if len(names) == 1}


def _fold(name: str) -> str:
    return "".join(name.split()).casefold()


def _strip_zeros(name: str) -> str:
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", _fold(name))


def _list_ends(name: str) -> list[str]:
    """Return what is left of an identifier without each prefix it may have."""
    form = _strip_zeros(name)
    return [form[at.start() :] for at in re.finditer(r"(?<=[^0-9])(?=[0-9])|(?<=[-_/.:])(?=\w)", form)]


def describe_relation(words: pd.Series, metadata: TrialMetadata) -> list[str]:
    """Say what words of AEREL, in upper case, count as, where any is neither plain nor in `trial.yaml`."""
    meanings = metadata.relation_words
    decided = {word.upper() for word in [*PLAIN_RELATION, *metadata.related, *metadata.not_related]}
    counts = words[words != ""].value_counts().sort_index()
    if all(word in decided or meanings.get(word) is None for word in counts.index):
        return []
    said = []
    for meant, known in (("related", True), ("not related", False), ("not known", None)):
        named = [word for word in counts.index if meanings.get(word) is known]
        counted = ", ".join(f"{word} ({count_noun(counts[word], 'row')})" for word in named)
        said += [f"as {meant}: {counted}"] if named else []
    other = "related and not_related in trial.yaml can say otherwise"
    return [f"ADAE AEREL: is read {'; '.join(said)}. The lists {other}"]
