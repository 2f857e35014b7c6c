"""A trial, read and checked."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from nkhcc_helpers.trial.claims import Published, read_published
from nkhcc_helpers.trial.edit import Change, Edit
from nkhcc_helpers.trial.evidence import list_doubts
from nkhcc_helpers.trial.files import SOURCES, find_file, list_folder, read_table
from nkhcc_helpers.trial.metadata import Endpoint, TrialMetadata, count_noun, find_endpoint, read_metadata
from nkhcc_helpers.trial.patients import (
    derive_events,
    derive_subjects,
    join_competing,
    list_events,
    list_infusions,
    list_subjects,
    list_times,
    take_stand_ins,
)
from nkhcc_helpers.trial.problems import (
    Problem,
    RawTable,
    TrialDataError,
    TrialDataWarning,
)
from nkhcc_helpers.trial.responses import NO_RESPONSES, check_responses, keep_responses, list_responses
from nkhcc_helpers.trial.rules import Tables, check_rules
from nkhcc_helpers.trial.schema import BLANK, TABLES, check_table, list_kinds
from nkhcc_helpers.trial.selection import Selection, leave_out, select_patients

_NO_EVENTS = pd.DataFrame({"USUBJID": [], "AEDECOD": []}, dtype=str)
_NO_DOSES = RawTable(pd.DataFrame(columns=["USUBJID", "ASTDT", "EXDOSE"], dtype=object))
_OF_ARMS = ["label", "order", "infusions", "dose"]


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial that keeps the data contract.

    UPPERCASE columns are as received, known ones parsed to float, datetime64 or text; lower_snake columns
    are computed. Those marked * are derived whenever a trial is made, so that they hold as well for one made
    of another by `dataclasses.replace`; nothing else derives them again. So do not edit its frames in place:
    use `dataclasses.replace`.

    subjects : ADSL, one row per subject
        - ``group``: ordered categorical of arm codes, every arm a category; so in all frames
        - ``dose planned_infusions``: as planned for the group, float, NaN where not known
        - ``enrolled first_infusion``: dates, NaT where not known
        - ``treated`` *: bool; SAFFL is Y, or where that is empty or not there, has an infusion
        - ``n_infusions`` *: int; ``last_infusion last_exposure`` *: when the last one began, and the latest
          end of any; NaT without one
        - Where exposure was not collected, ``treated`` goes by TRTSDT in the place of infusions, and without
          any by everybody; ``first_infusion`` is TRTSDT, ``last_exposure`` TRTEDT, ``n_infusions`` NA
        - ``death_date`` *: DTHDT, or else the date of the event of overall survival; NaT without a death
        - ``observed_until`` *: latest of the patient's dates in ADTTE, the last exposure and the death, but
          never after the death nor the data cut-off; NaT where nothing dates it. A row of ADTTE is dated by
          ADT, or else by STARTDT, or else enrolment, plus AVAL
    times : ADTTE
        - ``group endpoint``, its code; ``time`` in `unit`, near-equal ones made one; ``event``: CNSR == 0,
          or what `event_flag` of trial.yaml says
        - ``time_enter``: when the patient comes under observation; 0 unless time counts from an origin
        - ``time_zero``: the date from which ``time`` counts: the endpoint's origin, else STARTDT, else
          enrolment; NaT where nothing dates it
    infusions : ADEX by subject and date, of what was given (`patients.is_given`), a row for each dose: where
        EXDOSFRQ says how often, a row of ADEX becomes as many as `doses.list_doses` lists. So each dose has
        its number and its day, at the price of many rows: daily for half a year, 180 a patient
        - ``group date dose``; ``end``: its day, or of the last dose of a row of ADEX, AENDT
        - ``infusion``: number within the subject, from 1
    adverse_events : ADAE
        - ``group term organ_class grade related serious outcome action``: as coded, missing where not said
        - ``onset resolved``: dates of ASTDT and AENDT, which are text since they may be partial; imputed as
          `patients.impute_dates` says where ``onset_imputed resolved_imputed`` say "day" or "month", not ""
        - ``treated`` *: bool, and ``first_infusion observed_until`` *: dates, as the patient has them
        - ``emergent`` *: bool, a treatment-emergent event of a treated patient. Where TRTEMFL holds any flag
          of a treated patient, those flagged Y; else all but those with an onset before the first infusion or
          later than 30 days (`patients.EMERGENT_DAYS`) after `last_exposure`; a missing date hides none
        - ``fatal`` *: bool; grade 5, or AEOUT says fatal, death or died, without not
        - ``ongoing`` *: bool; not fatal, and AEOUT says that it goes on (`patients.ONGOING`): an end date
          then says only how long it was followed. Any other resolved on ``resolved``, or its end is unknown
        - ``latest_infusion days_since_infusion`` *: number of the latest infusion on or before onset, and
          days from it to onset; Int64, NA where there is none or no onset
    responses : a row for each subject, none where ADRS is not there or tells no best response
        - ``USUBJID group``; ``best``: CR, PR, SD (also of "non-CR/non-PD"), PD, NE, or "" if not assessed
        - ``change``: smallest percent change of tumour size of any assessment; NaN where not known

    Attributes
    ----------
    metadata : TrialMetadata
        Contents of `trial.yaml`.
    published : Published or None
        Contents of `published.yaml`; None when the folder has none.
    source : Path
        The folder.
    warnings : tuple of str
        What can be read but is probably not meant.
    subjects, times, infusions, adverse_events, responses : pandas.DataFrame
        As above.
    selection : Selection or None
        Who of the patients loaded is analysed, as `select_patients` says; None for all.
    has_other_doses : bool
        Whether the doses of `metadata` are not those of `trial.yaml`, as `change_doses` says.
    left_out : dict of str to int
        How many patients of ADSL are in none of these, by the word of TRT01P for which `trial.yaml` says so.
    changes : tuple of Change
        What `edit` has changed, in order; none of a trial as loaded.
    """

    metadata: TrialMetadata
    published: Published | None
    source: Path
    warnings: tuple[str, ...]
    subjects: pd.DataFrame
    times: pd.DataFrame
    infusions: pd.DataFrame
    adverse_events: pd.DataFrame
    responses: pd.DataFrame
    selection: Selection | None = None
    has_other_doses: bool = False
    left_out: dict[str, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        subjects = derive_subjects(self.subjects, self.times, self.infusions, self.metadata)
        object.__setattr__(self, "subjects", subjects)
        object.__setattr__(
            self, "adverse_events", derive_events(self.adverse_events, subjects, self.infusions)
        )

    @property
    def groups(self) -> list[str]:
        """Arm codes in order."""
        return [arm.code for arm in self.metadata.arms]

    @property
    def group_labels(self) -> dict[str, str]:
        """Label of each arm code."""
        return {arm.code: arm.label for arm in self.metadata.arms}

    @property
    def endpoint_labels(self) -> dict[str, str]:
        """Label of each endpoint code."""
        return {endpoint.code: endpoint.label for endpoint in self.metadata.endpoints}

    @property
    def unit(self) -> str:
        """Unit of `time`, such as months."""
        return self.metadata.display_time_unit

    @property
    def is_illustrative(self) -> bool:
        """Whether the data are not of patients."""
        return self.metadata.provenance == "illustrative"

    def endpoint(self, code: str) -> Endpoint:
        """Return what `trial.yaml` says of an endpoint (PARAMCD), such as the `population` that has rows.

        ValueError where the trial has no such endpoint.
        """
        for endpoint in self.metadata.endpoints:
            if endpoint.code == code:
                return endpoint
        raise ValueError(f"no endpoint {code!r} in this trial; it has {', '.join(self.endpoint_labels)}")

    def survival(self, endpoint: str) -> pd.DataFrame:
        """Return `USUBJID group time event dose infusions time_enter` of one endpoint (PARAMCD).

        One row for each subject of its population. Dose and infusions are those planned. ValueError where
        the trial has no such endpoint.
        """
        of_it = self.times["endpoint"] == self.endpoint(endpoint).code
        rows = self.times.loc[of_it, ["USUBJID", "time", "event", "time_enter"]]
        planned = self.subjects[["USUBJID", "group", "dose", "planned_infusions"]]
        frame = planned.merge(rows, on="USUBJID", validate="one_to_one")
        frame = frame.rename(columns={"planned_infusions": "infusions"})
        return frame[["USUBJID", "group", "time", "event", "dose", "infusions", "time_enter"]]

    def competing(self, endpoint: str) -> pd.DataFrame:
        """Return `survival` with `cause`: 0 censored, 1 the event, 2 the event of the competing endpoint.

        Whichever comes first counts; at one time the event does. A competing event counts at its own time,
        from this endpoint's time 0, also after the last assessment, kept in `last_assessed`. ValueError where
        `trial.yaml` names none.
        """
        frame = self.survival(endpoint)
        named = self.endpoint(endpoint).competing
        if not named:
            raise ValueError(f"trial.yaml names no competing endpoint of {endpoint}")
        own, other = (self.times[self.times["endpoint"] == code] for code in (endpoint, named))
        return join_competing(frame, own, other, self.unit)

    def endpoint_with_role(self, role: str) -> str | None:
        """Return the code of the endpoint with a role, such as `overall_survival`; None without one."""
        return find_endpoint(self.metadata, role)

    def arm_table(self) -> pd.DataFrame:
        """Return one row per arm: `group label order infusions dose n`, NaN where not known."""
        counts = self.subjects["group"].value_counts()
        arms = [{"group": arm.code, **arm.model_dump(include=set(_OF_ARMS))} for arm in self.metadata.arms]
        table = pd.DataFrame(arms, columns=["group", *_OF_ARMS])
        # Where all are known, infusions stay whole numbers.
        table["infusions"] = table["infusions"].astype(float if table["infusions"].isna().any() else int)
        return table.astype({"dose": float}).assign(n=[int(counts[group]) for group in self.groups])

    def edit(self) -> Edit:
        """Return what makes other trials of this one, such as ``trial.edit().drop("ILL-001").trial``."""
        return Edit(self)

    def change(self, change: Change) -> Trial:
        """Return the trial read again with one more change, as `Edit` makes it, and its patients selected."""
        trial = _read_trial(self.source, (*self.changes, change), self.warnings)
        trial = dataclasses.replace(trial, has_other_doses=self.has_other_doses)
        chosen = self.selection
        return select_patients(trial, chosen.population, chosen.where) if chosen else trial


def load_trial(source: str | Path = "", *, warn: bool = True) -> Trial:
    """Read a trial's folder and check it against the data contract.

    Parameters
    ----------
    source : str or Path
        Folder of `trial.yaml`, the tables and perhaps `published.yaml`; empty for the bundled trial.
    warn : bool, default True
        Whether to warn, too, of what is in `Trial.warnings`.

    Returns
    -------
    Trial

    Raises
    ------
    TrialDataError
        Listing every problem of every file.

    Warns
    -----
    TrialDataWarning
        For what can be read but is probably not meant.
    """
    if not isinstance(source, str | Path):
        raise TypeError(f"source must be a folder's path, got {source!r}")
    folder = Path(source).expanduser() if str(source) else locate_bundled()
    trial = _read_trial(folder)
    for line in trial.warnings if warn else ():
        warnings.warn(line, TrialDataWarning, stacklevel=2)
    return trial


def _read_trial(folder: Path, changes: Sequence[Change] = (), known: Sequence[str] = ()) -> Trial:
    """Read a folder as if it had changed; its warnings are then those `known`, and the last change."""
    problems: list[Problem] = []
    files = list_folder(folder, problems)
    if files is None:
        raise TrialDataError(problems)
    metadata = _read(read_metadata, files, "trial.yaml", problems)
    published = _read(lambda path: read_published(path, metadata), files, "published.yaml", problems)
    raw, said = _read_tables(files, metadata, problems)
    left_out: dict[str, int] = {}
    if metadata is not None and metadata.left_out:
        raw, left_out = leave_out(raw, metadata)
    for change in () if problems else changes:
        raw, metadata, published = change.apply(raw), change.metadata, None
    parsed = {table: check_table(raw[table], table, metadata, problems) for table in raw}
    tables = Tables(parsed, raw, metadata)
    problems += check_rules(tables)
    if "ADRS" in parsed:
        problems += check_responses(tables)
    if problems or metadata is None:
        places = ["folder", "trial.yaml", "published.yaml", *TABLES]
        raise TrialDataError(sorted(problems, key=lambda each: (places.index(each.table), each.row or 0)))
    said = [*known, f"changed: {changes[-1].said}"] if changes else said + list_doubts(tables)
    subjects = list_subjects(parsed, metadata)
    times = list_times(tables["ADTTE"], subjects, metadata)
    infusions = list_infusions(parsed, subjects, metadata)
    subjects = derive_subjects(subjects, times, infusions, metadata)
    events = list_events(parsed.get("ADAE", _NO_EVENTS), subjects, metadata)
    responses = list_responses(parsed["ADRS"], subjects, metadata) if "ADRS" in parsed else NO_RESPONSES
    frames = (subjects, times, infusions, events, responses)
    also = {"left_out": left_out, "changes": tuple(changes)}
    return Trial(metadata, published, folder, tuple(said), *frames, **also)


def locate_checkout() -> Path | None:
    """Return the checkout the package runs from, or else the one the current folder is in, or None."""
    package = Path(__file__).resolve().parents[2]
    here = Path.cwd()
    for folder in (package, here, *here.parents):
        project = folder / "pyproject.toml"
        if project.is_file() and 'name = "nkhcc-helpers"' in project.read_text("utf-8", errors="replace"):
            return folder
    return None


def locate_bundled() -> Path:
    """Return the folder of the bundled trial: the checkout's, or the installed package's own."""
    checkout = locate_checkout()
    if checkout is not None:
        return checkout / "data" / "nkhcc"
    return Path(__file__).resolve().parent.parent / "bundled" / "data" / "nkhcc"


def _read(reader: Callable[[Path], Any], files: list[Path], name: str, problems: list[Problem]) -> Any:
    path = find_file(files, name, name, problems, required=name == "trial.yaml")
    try:
        return reader(path) if path else None
    except TrialDataError as error:
        problems += error.problems
        return None


def _read_tables(
    files: list[Path], metadata: TrialMetadata | None, problems: list[Problem]
) -> tuple[dict[str, RawTable], list[str]]:
    raw: dict[str, RawTable] = {}
    said: list[str] = []
    order, named = (metadata.date_order, metadata.tables) if metadata is not None else (None, {})
    for table in TABLES:
        key, kinds = SOURCES.get(table, ""), list_kinds(table, metadata)
        absent = bool(key) and metadata is not None and not getattr(metadata, key).collected
        needed = not absent and (metadata is not None or table != "ADAE")
        if table == "ADRS":
            needed = metadata is not None and metadata.response is not None
        options = {"required": needed, "named": named.get(table, "")}
        if found := read_table(files, table, kinds, problems, said, order, **options):
            raw[table] = found
        if absent and found is not None and len(found.frame):
            rule = f"says false, but {table} has {count_noun(len(found.frame), 'row')}"
            problems.append(Problem("trial.yaml", None, f"{key}.collected", "false", rule))
        elif absent and table == "ADEX":
            raw[table] = _NO_DOSES
    if "ADAE" in raw:
        raw["ADAE"] = take_stand_ins(raw["ADAE"], said)
    if metadata is not None and "ADRS" in raw:
        keep_responses(raw, metadata, problems, said)
    if metadata is not None and "PARAMCD" in raw.get("ADTTE", RawTable(pd.DataFrame())).frame:
        raw["ADTTE"] = _keep_endpoints(raw["ADTTE"], metadata, problems, said)
    return raw, said


def _keep_endpoints(
    raw: RawTable, metadata: TrialMetadata, problems: list[Problem], said: list[str]
) -> RawTable:
    """Leave out rows of endpoints that `trial.yaml` does not list, saying so."""
    listed = list(metadata.codes)
    folded = {code.casefold(): code for code in listed}
    written = raw.frame["PARAMCD"]
    codes = written.map(lambda code: folded.get(code.casefold(), code))
    for row, code in written[codes != written].items():
        rule = f"is written {folded[code.casefold()]!r} in trial.yaml"
        problems.append(Problem("ADTTE", int(row), "PARAMCD", code, rule))
    other = ~codes.isin([*BLANK, *listed])
    if other.any():
        names = ", ".join(sorted(set(codes[other])))
        said.append(f"ADTTE: endpoints that trial.yaml does not list are left out: {names}")
    return dataclasses.replace(raw, frame=raw.frame.assign(PARAMCD=codes)[~other])
