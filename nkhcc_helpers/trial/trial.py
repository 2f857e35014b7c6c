"""A trial, read and checked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator, ValidationInfo

from nkhcc_helpers.trial.claims import Published, read_published
from nkhcc_helpers.trial.evidence import list_doubts
from nkhcc_helpers.trial.files import RawTable, find_file, list_folder, read_csv
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, TrialMetadata, find_endpoint, read_metadata
from nkhcc_helpers.trial.patients import impute_dates, list_death_dates, list_ends, list_enrolment_dates
from nkhcc_helpers.trial.problems import (
    Problem,
    TrialDataError,
    TrialDataWarning,
    describe_unknown,
    format_printable,
)
from nkhcc_helpers.trial.rules import check_contradictions, check_rules
from nkhcc_helpers.trial.schema import (
    RELATED_WORDS,
    SEVERITY_GRADES,
    TABLES,
    YES_NO,
    check_table,
    find_column,
    parse_numbers,
)

NOT_CODED = "Not coded"
"""Organ class of an event of which AEBODSYS says none."""


def list_subjects(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADSL with `group dose planned_infusions enrolled first_infusion`, one row per subject."""
    adsl = tables["ADSL"].reset_index(drop=True)
    arms = {arm.code: arm for arm in metadata.arms}
    first = tables["ADEX"].groupby("USUBJID")["ASTDT"].min()
    return adsl.assign(
        group=pd.Categorical(adsl["TRT01P"], categories=list(arms), ordered=True),
        dose=adsl["TRT01P"].map({code: arm.dose for code, arm in arms.items()}).astype(float),
        planned_infusions=adsl["TRT01P"]
        .map({code: arm.infusions for code, arm in arms.items()})
        .astype(float),
        enrolled=adsl["USUBJID"].map(list_enrolment_dates(tables)),
        first_infusion=adsl["USUBJID"].map(first),
    )


def list_times(adtte: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.DataFrame:
    """Return ADTTE with `group endpoint time event`, time in the display unit."""
    adtte = adtte.reset_index(drop=True)
    received, shown = metadata.time_unit, metadata.display_time_unit
    time = adtte["AVAL"]
    if received != shown:
        time = time * DAYS_PER_UNIT[received] / DAYS_PER_UNIT[shown]
    return adtte.assign(group=_groups(adtte, subjects), endpoint=adtte["PARAMCD"], time=time)


def list_infusions(adex: pd.DataFrame, subjects: pd.DataFrame) -> pd.DataFrame:
    """Return ADEX by subject and date with `group infusion date dose`; infusions count from 1."""
    by = [name for name in ("USUBJID", "ASTDT", "EXSEQ") if name in adex]
    adex = adex.sort_values(by, kind="stable", ignore_index=True)
    return adex.assign(
        group=_groups(adex, subjects),
        infusion=adex.groupby("USUBJID").cumcount() + 1,
        date=adex["ASTDT"],
        dose=adex["EXDOSE"],
    )


def list_events(
    tables: Mapping[str, pd.DataFrame], subjects: pd.DataFrame, metadata: TrialMetadata
) -> pd.DataFrame:
    """Return ADAE with its computed columns.

    They are `group term organ_class grade related serious onset resolved onset_imputed resolved_imputed
    outcome action`, partial dates imputed as `partial_dates.impute_dates` says; without a table the frame
    has no rows.
    """
    adae = tables.get("ADAE", pd.DataFrame({"USUBJID": [], "AEDECOD": []}, dtype=str))
    adae = adae.reset_index(drop=True)
    first_infusion = subjects.set_index("USUBJID")["first_infusion"]
    first, last = (
        pd.to_datetime(adae["USUBJID"].map(days))
        for days in (first_infusion, _list_last_days(tables, subjects, metadata))
    )
    dates = impute_dates(adae, first, last)
    return adae.assign(
        group=_groups(adae, subjects),
        term=adae["AEDECOD"].astype(str),
        organ_class=_text(adae, "AEBODSYS").where(lambda text: text != "", NOT_CODED),
        grade=_grades(adae),
        related=_booleans(adae, "AEREL", RELATED_WORDS),
        serious=_booleans(adae, "AESER", YES_NO),
        **dates,
        outcome=_text(adae, "AEOUT"),
        action=_text(adae, "AEACN"),
    )


def _groups(frame: pd.DataFrame, subjects: pd.DataFrame) -> pd.Categorical:
    codes = subjects.set_index("USUBJID")["TRT01P"].reindex(frame["USUBJID"])
    return pd.Categorical(codes.to_numpy(), dtype=subjects["group"].dtype)


def _text(frame: pd.DataFrame, name: str) -> pd.Series:
    return (
        frame[name].fillna("").astype(str) if name in frame else pd.Series("", index=frame.index, dtype=str)
    )


def _list_last_days(
    tables: Mapping[str, pd.DataFrame], subjects: pd.DataFrame, metadata: TrialMetadata
) -> pd.Series:
    """Return the earlier of death and data cut-off, by USUBJID; a death without a date by its AVAL."""
    adtte = tables["ADTTE"]
    deaths = adtte[adtte["event"] & (adtte["PARAMCD"] == find_endpoint(metadata, "overall_survival"))]
    enrolled = deaths["USUBJID"].map(subjects.set_index("USUBJID")["enrolled"])
    counted = list_ends(deaths.assign(STARTDT=find_column(deaths, "STARTDT").fillna(enrolled)), metadata)
    died = list_death_dates(tables, metadata)
    died = died.fillna(counted.set_axis(deaths["USUBJID"]).reindex(died.index))
    if metadata.data_cut_off is None:
        return died
    cut_off = pd.Timestamp(metadata.data_cut_off)
    return died.mask(~(died <= cut_off), cut_off)


def _booleans(frame: pd.DataFrame, name: str, words: dict[str, bool]) -> pd.Series:
    return _text(frame, name).str.upper().map(words).astype("boolean")


def _grades(adae: pd.DataFrame) -> pd.Series:
    """Return grades; AETOXGR, and where it is missing the grade AESEV's word stands for."""
    graded = parse_numbers(_text(adae, "AETOXGR"))
    worded = _text(adae, "AESEV").str.upper().map(SEVERITY_GRADES)
    return graded.fillna(worded.astype(float)).astype("Int64")


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial that keeps the data contract.

    UPPERCASE columns are as received, known ones parsed to float, datetime64 or text; lower_snake columns
    are computed. `group` is an ordered categorical of arm codes, every arm a category.

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
    subjects : pandas.DataFrame
        ADSL, and `group dose planned_infusions enrolled first_infusion`; one row per subject.
    times : pandas.DataFrame
        ADTTE, and `group endpoint time event`; `time` in `unit`, `event` is CNSR == 0.
    infusions : pandas.DataFrame
        ADEX by subject and date, and `group infusion date dose`; `infusion` counts from 1 in a subject.
    adverse_events : pandas.DataFrame
        ADAE, and `group term organ_class grade related serious onset resolved onset_imputed
        resolved_imputed outcome action`. ASTDT and AENDT are text, since they may be partial; `onset` and
        `resolved` are dates, imputed as `partial_dates.impute_dates` says where the other two say "day" or
        "month".
    """

    metadata: TrialMetadata
    published: Published | None
    source: Path
    warnings: tuple[str, ...]
    subjects: pd.DataFrame
    times: pd.DataFrame
    infusions: pd.DataFrame
    adverse_events: pd.DataFrame

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

    def survival(self, endpoint: str) -> pd.DataFrame:
        """Return what a survival analysis of one endpoint needs.

        Parameters
        ----------
        endpoint : str
            PARAMCD of an endpoint of `trial.yaml`.

        Returns
        -------
        pandas.DataFrame
            One row per subject: `USUBJID group time event dose infusions`; dose and infusions as planned.

        Raises
        ------
        ValueError
            The trial has no such endpoint.
        """
        if endpoint not in self.endpoint_labels:
            raise ValueError(
                f"no endpoint {endpoint!r} in this trial; it has {', '.join(self.endpoint_labels)}"
            )
        rows = self.times.loc[self.times["endpoint"] == endpoint, ["USUBJID", "time", "event"]]
        planned = self.subjects[["USUBJID", "group", "dose", "planned_infusions"]]
        frame = planned.merge(rows, on="USUBJID", how="left", validate="one_to_one")
        frame = frame.rename(columns={"planned_infusions": "infusions"})
        return frame[["USUBJID", "group", "time", "event", "dose", "infusions"]].astype({"event": bool})

    def endpoint_with_role(self, role: str) -> str | None:
        """Return the code of the endpoint with a role, such as `overall_survival`; None without one."""
        return next((each.code for each in self.metadata.endpoints if each.role == role), None)

    def arm_table(self) -> pd.DataFrame:
        """Return one row per arm: `group label order infusions dose n`."""
        counts = self.subjects["group"].value_counts()
        rows = [
            {
                "group": arm.code,
                "label": arm.label,
                "order": arm.order,
                "infusions": arm.infusions,
                "dose": arm.dose,
                "n": int(counts[arm.code]),
            }
            for arm in self.metadata.arms
        ]
        return pd.DataFrame(rows)


def load_trial(source: str | Path = "") -> Trial:
    """Read a trial's folder and check it against the data contract.

    Parameters
    ----------
    source : str or Path
        Folder with `trial.yaml`, `adsl.csv`, `adtte.csv`, `adex.csv`, `adae.csv` and, if there is one,
        `published.yaml`; empty for the bundled trial.

    Returns
    -------
    Trial
        The trial.

    Raises
    ------
    TrialDataError
        Listing every problem of every file.

    Warns
    -----
    TrialDataWarning
        For what can be read but is probably not meant; also in `Trial.warnings`.
    """
    folder = Path(source).expanduser() if str(source) else locate_bundled()
    problems: list[Problem] = []
    files = list_folder(folder, problems)
    if files is None:
        raise TrialDataError(problems)
    metadata = _read_metadata(files, problems)
    published = _read_published(files, metadata, problems)
    raw, said = _read_tables(files, metadata, problems)
    tables = {table: check_table(raw[table], table, metadata, problems) for table in raw}
    problems += check_rules(tables, raw, metadata) + check_contradictions(tables, raw, metadata)
    if problems or metadata is None:
        raise TrialDataError(_in_order(problems))
    said += list_doubts(tables, raw, metadata)
    for line in said:
        warnings.warn(line, TrialDataWarning, stacklevel=2)
    subjects = list_subjects(tables, metadata)
    return Trial(
        metadata=metadata,
        published=published,
        source=folder,
        warnings=tuple(said),
        subjects=subjects,
        times=list_times(tables["ADTTE"], subjects, metadata),
        infusions=list_infusions(tables["ADEX"], subjects),
        adverse_events=list_events(tables, subjects, metadata),
    )


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


def _read_metadata(files: list[Path], problems: list[Problem]) -> TrialMetadata | None:
    path = find_file(files, "trial.yaml", "trial.yaml", problems, required=True)
    try:
        return read_metadata(path) if path else None
    except TrialDataError as error:
        problems += error.problems
        return None


def _read_published(
    files: list[Path], metadata: TrialMetadata | None, problems: list[Problem]
) -> Published | None:
    path = find_file(files, "published.yaml", "published.yaml", problems, required=False)
    try:
        return read_published(path, metadata) if path else None
    except TrialDataError as error:
        problems += error.problems
        return None


def _read_tables(
    files: list[Path], metadata: TrialMetadata | None, problems: list[Problem]
) -> tuple[dict[str, RawTable], list[str]]:
    collected = metadata is not None and metadata.adverse_events.collected
    raw: dict[str, RawTable] = {}
    for table in TABLES:
        name = f"{table.lower()}.csv"
        path = find_file(files, name, table, problems, required=table != "ADAE" or collected)
        table_text = read_csv(path, table, problems) if path else None
        if table_text is not None:
            raw[table] = table_text
    if not collected and metadata is not None and "ADAE" in raw and len(raw["ADAE"].frame):
        rule = f"says false, but adae.csv has {len(raw['ADAE'].frame)} rows"
        problems.append(Problem("trial.yaml", None, "adverse_events.collected", "false", rule))
    said: list[str] = []
    if metadata is not None and "PARAMCD" in raw.get("ADTTE", RawTable(pd.DataFrame())).frame:
        raw["ADTTE"] = _keep_endpoints(raw["ADTTE"], metadata, problems, said)
    return raw, said


def _keep_endpoints(
    raw: RawTable, metadata: TrialMetadata, problems: list[Problem], said: list[str]
) -> RawTable:
    """Leave out rows of endpoints that `trial.yaml` does not list, saying so."""
    listed = [endpoint.code for endpoint in metadata.endpoints]
    folded = {code.casefold(): code for code in listed}
    written = raw.frame["PARAMCD"]
    codes = written.map(lambda code: folded.get(code.casefold(), code))
    for row, code in written[codes != written].items():
        rule = f"is written {folded[code.casefold()]!r} in trial.yaml"
        problems.append(Problem("ADTTE", int(row), "PARAMCD", code, rule))
    other = (codes != "") & ~codes.isin(listed)
    if other.any():
        names = ", ".join(sorted(set(codes[other])))
        said.append(f"ADTTE: endpoints that trial.yaml does not list are left out: {names}")
    return RawTable(raw.frame.assign(PARAMCD=codes)[~other], raw.set_aside)


def _in_order(problems: list[Problem]) -> list[Problem]:
    places = ["folder", "trial.yaml", "published.yaml", *TABLES]
    return sorted(problems, key=lambda each: (places.index(each.table), each.row or 0))


def summarize_trial(trial: Trial) -> str:
    """Return what a trial holds, as lines for a terminal.

    Parameters
    ----------
    trial : Trial
        The trial.
    """
    metadata, events = trial.metadata, trial.adverse_events
    kind = "illustrative, not patient data" if trial.is_illustrative else "real"
    lines = [f"{metadata.study_id}: {metadata.title}"]
    lines += [f"  {name:<15}{text}" for name, text in [("folder", trial.source), ("provenance", kind)]]
    for arm in trial.arm_table().itertuples():
        lines.append(f"  {'arm':<15}{arm.group}  {arm.label}: n = {arm.n}")
    for endpoint in metadata.endpoints:
        n_events = int(trial.survival(endpoint.code)["event"].sum())
        lines.append(f"  {'endpoint':<15}{endpoint.code}  {endpoint.label}: {n_events} events, {trial.unit}")
    treated = trial.infusions["USUBJID"].nunique()
    lines.append(f"  {'infusions':<15}{len(trial.infusions)} in {treated} of {len(trial.subjects)} subjects")
    if metadata.adverse_events.collected:
        said = f"{len(events)} in {events['USUBJID'].nunique()} subjects {metadata.adverse_events.dictionary}"
    else:
        said = "not collected"
    lines.append(f"  {'adverse events':<15}{said.rstrip()}")
    claims = "none" if trial.published is None else f"{len(trial.published.claims)} claims"
    lines.append(f"  {'published':<15}{claims}")
    lines.append(f"  {'assumptions':<15}{len(metadata.assumptions)}")
    lines += [f"  {'warning':<15}{text}" for text in trial.warnings]
    return "\n".join(format_printable(line) for line in lines)


def _choose_from(list_known: Callable[[Trial], Iterable[str]]) -> AfterValidator:
    """A check against the trial that the validation's context loads; empty leaves the choice open."""

    def check(value: str | list[str], info: ValidationInfo) -> str | list[str]:
        if info.context and value:
            known, of_list = list(list_known(info.context())), isinstance(value, list)
            for item in value if of_list else [value]:
                if item not in known:
                    raise ValueError(describe_unknown(item, known, of_list=of_list))
        return value

    return AfterValidator(check)


EndpointCode = Annotated[str, _choose_from(lambda trial: trial.endpoint_labels)]
BaselineColumns = Annotated[
    list[str], _choose_from(lambda trial: [item.column for item in trial.metadata.baseline])
]
