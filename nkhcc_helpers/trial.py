"""A trial, read and checked: the only place where `event = CNSR == 0`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nkhcc_helpers.metadata import (
    DAYS_PER_UNIT,
    Published,
    TrialMetadata,
    read_metadata,
    read_published,
)
from nkhcc_helpers.problems import Problem, TrialDataError, TrialDataWarning
from nkhcc_helpers.reading import RawTable, find_file, list_folder, read_csv
from nkhcc_helpers.rules import check_rules, list_enrolment_dates, list_inversions
from nkhcc_helpers.schema import (
    RELATED_WORDS,
    SEVERITY_GRADES,
    TABLES,
    YES_NO,
    check_table,
    parse_numbers,
)


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
        ADAE, and `group term organ_class grade related serious onset resolved outcome action`.
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
    problems += check_rules(tables, raw, metadata)
    if problems or metadata is None:
        raise TrialDataError(_in_order(problems))
    said += list_inversions(tables, metadata)
    for line in said:
        warnings.warn(line, TrialDataWarning, stacklevel=2)
    return _build_trial(tables, metadata, published, folder, tuple(said))


def locate_checkout() -> Path | None:
    """Return the checkout the package runs from, or else the one the current folder is in, or None."""
    package = Path(__file__).resolve().parent.parent
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
    return Path(__file__).resolve().parent / "bundled" / "data" / "nkhcc"


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
    codes = raw.frame["PARAMCD"]
    other = (codes != "") & ~codes.isin(listed)
    folded = {code.casefold(): code for code in listed}
    for row, code in codes[other].items():
        if code.casefold() in folded:
            rule = f"is written {folded[code.casefold()]!r} in trial.yaml"
            problems.append(Problem("ADTTE", int(row), "PARAMCD", code, rule))
    names = sorted(set(codes[other]) - {code for code in codes[other] if code.casefold() in folded})
    if names:
        said.append(f"ADTTE: endpoints that trial.yaml does not list are left out: {', '.join(names)}")
    return RawTable(raw.frame[~other], raw.set_aside)


def _in_order(problems: list[Problem]) -> list[Problem]:
    places = ["folder", "trial.yaml", "published.yaml", *TABLES]
    return sorted(problems, key=lambda each: (places.index(each.table), each.row or 0))


def _build_trial(
    tables: dict[str, pd.DataFrame],
    metadata: TrialMetadata,
    published: Published | None,
    folder: Path,
    said: tuple[str, ...],
) -> Trial:
    enrolled = list_enrolment_dates(tables)
    tables = {table: frame.reset_index(drop=True) for table, frame in tables.items()}
    arms = {arm.code: arm for arm in metadata.arms}
    adsl = tables["ADSL"]
    groups = pd.Categorical(adsl["TRT01P"], categories=list(arms), ordered=True)
    group_of = pd.Series(groups, index=adsl["USUBJID"])
    subjects = adsl.assign(
        group=groups,
        dose=adsl["TRT01P"].map(lambda code: arms[code].dose).astype(float),
        planned_infusions=adsl["TRT01P"].map(lambda code: arms[code].infusions).astype(float),
        enrolled=adsl["USUBJID"].map(enrolled),
        first_infusion=adsl["USUBJID"].map(tables["ADEX"].groupby("USUBJID")["ASTDT"].min()),
    )
    return Trial(
        metadata=metadata,
        published=published,
        source=folder,
        warnings=said,
        subjects=subjects,
        times=_build_times(tables["ADTTE"], group_of, metadata),
        infusions=_build_infusions(tables["ADEX"], group_of),
        adverse_events=_build_adverse_events(tables.get("ADAE"), group_of),
    )


def _groups(frame: pd.DataFrame, group_of: pd.Series) -> pd.Categorical:
    codes = group_of.astype(str).reindex(frame["USUBJID"])
    return pd.Categorical(codes.to_numpy(), dtype=group_of.dtype)


def _build_times(adtte: pd.DataFrame, group_of: pd.Series, metadata: TrialMetadata) -> pd.DataFrame:
    received, shown = metadata.time_unit, metadata.display_time_unit
    time = adtte["AVAL"]
    if received != shown:
        time = time * DAYS_PER_UNIT[received] / DAYS_PER_UNIT[shown]
    return adtte.assign(
        group=_groups(adtte, group_of), endpoint=adtte["PARAMCD"], time=time, event=adtte["CNSR"] == 0
    )


def _build_infusions(adex: pd.DataFrame, group_of: pd.Series) -> pd.DataFrame:
    by = [name for name in ("USUBJID", "ASTDT", "EXSEQ") if name in adex]
    adex = adex.sort_values(by, kind="stable", ignore_index=True)
    return adex.assign(
        group=_groups(adex, group_of),
        infusion=adex.groupby("USUBJID").cumcount() + 1,
        date=adex["ASTDT"],
        dose=adex["EXDOSE"],
    )


def _build_adverse_events(adae: pd.DataFrame | None, group_of: pd.Series) -> pd.DataFrame:
    if adae is None:
        adae = pd.DataFrame({"USUBJID": [], "AEDECOD": []}, dtype=str)
    return adae.assign(
        group=_groups(adae, group_of),
        term=adae["AEDECOD"].astype(str),
        organ_class=_text(adae, "AEBODSYS").where(lambda text: text != "", "Not coded"),
        grade=_grades(adae),
        related=_booleans(adae, "AEREL", RELATED_WORDS),
        serious=_booleans(adae, "AESER", YES_NO),
        onset=_dates(adae, "ASTDT"),
        resolved=_dates(adae, "AENDT"),
        outcome=_text(adae, "AEOUT"),
        action=_text(adae, "AEACN"),
    )


def _text(frame: pd.DataFrame, name: str) -> pd.Series:
    return (
        frame[name].fillna("").astype(str) if name in frame else pd.Series("", index=frame.index, dtype=str)
    )


def _dates(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ns]")


def _booleans(frame: pd.DataFrame, name: str, words: dict[str, bool]) -> pd.Series:
    return _text(frame, name).str.upper().map(words).astype("boolean")


def _grades(adae: pd.DataFrame) -> pd.Series:
    """Return grades; AETOXGR, and where it is missing the grade AESEV's word stands for."""
    graded = parse_numbers(_text(adae, "AETOXGR"))
    worded = _text(adae, "AESEV").str.upper().map(SEVERITY_GRADES)
    return graded.fillna(worded.astype(float)).astype("Int64")
