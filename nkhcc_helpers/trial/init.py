"""A trial's folder to begin with: `trial.yaml` for tables, or all of it for a list of patients.

A list has one row a patient; its columns are known by their usual names.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nkhcc_helpers.trial.files import read_table
from nkhcc_helpers.trial.mapping import UNITS
from nkhcc_helpers.trial.metadata import MOST_MONTHS
from nkhcc_helpers.trial.problems import BLANK, Problem, TrialDataError
from nkhcc_helpers.trial.propose import Proposal, propose_trial
from nkhcc_helpers.trial.schema import parse_numbers

_UNITS = {text.lower(): unit for text, unit in UNITS.items() if len(text) > 1}
_PARAMS = {"OS": "Overall survival", "PFS": "Progression-free survival", "DFS": "Disease-free survival"}
_PARAMS |= {"EFS": "Event-free survival", "RFS": "Relapse-free survival", "TTP": "Time to progression"}
_END = r"event|evt|evnt|ev|dead|death|died|deceased|progress(?:ed|ion)|relapsed?"
_CODES = "|".join(_PARAMS).lower()
_OF = rf"(?:(?:{_CODES}|overall|progression_free|survival|surv|vital|{_END})_?)?"
_TIME = re.compile(
    rf"{_OF}(?:time|aval|duration|follow_?up|fu|survival|surv|t)?(?:_?to_?(?:{_END}))?_?(?:in_)?"
    rf"(?P<unit>{'|'.join(sorted(_UNITS, key=len, reverse=True))})?"
)
_CENS = r"cens(?:or(?:ed|ing)?)?|cnsr"
_EVENT = re.compile(rf"{_OF}(?:(?P<cens>{_CENS})|{_END}|status|stat)?_?(?:flag|indicator)?")
_ONE = {
    "id": [
        r"(?:usubj|subj|subject|patient|pat|pt|case|participant)?_?(?:id|no|nr|number)|subject|patient|case|pt"
    ],
    "group": [
        r"(?:(?:treatment|trt|study|planned)_?)?(?:group|grp|arm|cohort)|treatment|trt(?:_01_p)?",
        r"dose(?:_?(?:level|group))?|regimen",
    ],
}
"""How the columns of identity and group are called, and how where nothing is called so."""
_HAD_IT = {"event", "dead", "death", "died", "deceased", "progressed", "progression", "relapsed", "relapse"}
_CENSORED = {"censored", "cens", "alive", "living", "no event", "none", "event-free", "lost"}
_YES, _NO = {"1", "1.0", "yes", "y", "true"}, {"0", "0.0", "no", "n", "false"}
_HOW = "name them id, group, time_months, event (or pfs_time, pfs_event, os_time, os_event)"


@dataclass(frozen=True)
class _Column:
    """A column of times or of events; its endpoint and unit are "" where the name does not tell."""

    name: str
    endpoint: str
    kind: str
    unit: str = ""
    is_reversed: bool = False


def init_trial(source: Path, out_dir: Path | None = None, *, force: bool = False) -> tuple[Path, Proposal]:
    """Write the `trial.yaml` of a folder of tables, or a folder for a table with one row a patient.

    Returns the folder and what was proposed. FileExistsError where something would be written over and
    `force` does not say so; TrialDataError lists what keeps the tables from being read.
    """
    if source.is_dir() or not source.exists():
        if (source / "trial.yaml").exists() and not force:
            raise FileExistsError(f"{source / 'trial.yaml'} is there already; --force replaces it")
        proposal = propose_trial(source)
        _write(source / "trial.yaml", proposal.text)
        return source, proposal
    stem = source.name.split(".")[0]
    folder = out_dir or source.with_name(stem if stem not in ("", source.name) else f"{stem}_trial")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
        raise FileExistsError(f"{folder} is there already and not empty; --force writes into it")
    said: list[str] = []
    tables, notes = split_patients(source, said)
    with tempfile.TemporaryDirectory() as made:
        for name, frame in tables.items():
            frame.to_csv(Path(made) / name, index=False, lineterminator="\n")
        proposal = propose_trial(Path(made), notes)
        proposal.said[:0] = said
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        _write(folder / name, frame.to_csv(index=False, lineterminator="\n"))
    _write(folder / "trial.yaml", proposal.text)
    return folder, proposal


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, "utf-8", newline="\n")
    part.replace(path)


def split_patients(path: Path, said: list[str]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Return `adsl.csv` and `adtte.csv` of a table with one row a patient, and what was guessed, and why.

    Notices of its reading go to `said`. TrialDataError lists what is wrong with its columns or cells.
    """
    problems: list[Problem] = []
    raw = read_table([path], path.name, {}, problems, said, named=path.name)
    frame = raw.frame.mask(raw.frame.isin(BLANK), "") if raw else pd.DataFrame()

    def report(rule: str, column: str = "", row: int | None = None) -> None:
        problems.append(Problem(path.name, row, column, frame.loc[row, column] if row else "", rule))

    def stop() -> None:
        if problems:
            raise TrialDataError(problems)

    stop()
    names = {name: "_".join(re.findall("[a-z]+|[0-9]+", name.lower())) for name in frame}
    identity, group = (_find_one(role, names, report) for role in _ONE)
    pairs = _find_pairs(names, report)
    stop()
    ids, notes = frame[identity], {}
    for row in ids.index[ids.duplicated() | (ids == "")]:
        report("must be there, and another one in every row", identity, row)
    parts = [_list_endpoint(frame.assign(USUBJID=ids), *pair, notes, report) for pair in pairs]
    stop()
    adsl = pd.DataFrame(
        {"STUDYID": path.name.split(".")[0].upper() or "TRIAL", "USUBJID": ids, "TRT01P": frame[group]}
    )
    used = {identity, group, *adsl, *(column.name for pair in pairs for column in pair)}
    others = frame[[name for name in frame if name not in used]]
    return {"adsl.csv": pd.concat([adsl, others], axis=1), "adtte.csv": pd.concat(parts)}, notes


def _find_one(role: str, names: dict[str, str], report: Callable[..., None]) -> str:
    found = [[name for name in names if re.fullmatch(each, names[name])] for each in _ONE[role]]
    first = next(filter(None, found), [])
    if len(first) != 1:
        saw = f"{' and '.join(first)} can be" if first else f"none of {', '.join(names)} is"
        report(f"{saw} the column of the {role}; {_HOW}")
    return first[0] if first else ""


def _find_pairs(names: dict[str, str], report: Callable[..., None]) -> list[tuple[_Column, _Column]]:
    """Return the columns of time and of event of each endpoint."""
    columns = [column for name, words in names.items() if (column := _describe(name, words))]
    times = [column for column in columns if column.kind == "time"]
    pairs = []
    for time in times:
        of_it = [each for each in columns if each.kind == "event" and each.endpoint in ("", time.endpoint)]
        if len(columns) == 2 and not time.endpoint:  # such as time and dead
            of_it = [each for each in columns if each != time]
        pairs += [(time, each) for each in of_it]
    if not pairs or not len(times) == len(pairs) == len({event for _, event in pairs}) == len(columns) / 2:
        saw = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
        report(f"each time needs one event; of {', '.join(names)} these can be either: {saw}; {_HOW}")
    return pairs


def _describe(name: str, words: str) -> _Column | None:
    """Return what a column is by the words of its name; None where any word speaks of something else."""
    event, time = _EVENT.fullmatch(words), _TIME.fullmatch(words)
    if not words or not (event or time):
        return None
    told = {"PFS": "pfs|progress", "OS": "(^|_)os|overall|dead|death|died|deceased|vital"}
    told |= {code: code.lower() for code in _PARAMS if code not in told}
    endpoint = next((code for code, pattern in told.items() if re.search(pattern, words)), "")
    # The bare name of an endpoint is that of its time.
    if time and (not event or words in ("survival", "surv", endpoint.lower())):
        return _Column(name, endpoint, "time", _UNITS.get(time["unit"] or "", ""))
    return _Column(name, endpoint, "event", is_reversed=bool(event["cens"]))


def _list_endpoint(
    frame: pd.DataFrame, time: _Column, event: _Column, notes: dict[str, str], report: Callable[..., None]
) -> pd.DataFrame:
    """Return the rows of ADTTE of one endpoint."""
    code = time.endpoint or event.endpoint or "TTE"
    # A decimal comma, unless it may be one of thousands.
    cells = frame[time.name].str.replace(r",(?![0-9]{3}$)", ".", regex=True)
    marks = frame[event.name].str.lower()
    numbers, there = parse_numbers(cells), (cells != "") | (marks != "")
    for row in frame.index[there & ~(numbers >= 0)]:
        report("must be a number >= 0", time.name, row)
    yes, no = (_NO, _YES) if event.is_reversed else (_YES, _NO)
    had_it = marks.isin(_HAD_IT | yes)
    for row in frame.index[there & ~had_it & ~marks.isin(_CENSORED | no)]:
        report("must be 1 or 0, yes or no, or a word such as dead and alive", event.name, row)
    if marks.isin(_YES | _NO).any():
        meant = "censored, by its name" if event.is_reversed else "the event, as is usual"
        notes[f"column {event.name}"] = f"1 or yes is {meant}"
    unit = time.unit or ("days" if numbers.max() > MOST_MONTHS else "months")
    if not time.unit:
        notes[f"column {time.name}"] = f"is in {unit}; the longest is {numbers.max():g}"
    rows = {"USUBJID": frame["USUBJID"], "PARAMCD": code, "PARAM": _PARAMS.get(code, "Time to event")}
    return pd.DataFrame({**rows, "AVAL": cells, "AVALU": unit.upper(), "CNSR": (~had_it).astype(int)})[there]
