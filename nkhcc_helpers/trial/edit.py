"""What if? A trial as it would be read had its files said something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, Arm, TrialMetadata, count_noun, find_endpoint
from nkhcc_helpers.trial.problems import RawTable, describe_unknown, join_names

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

_FRAMES = {"ADSL": "subjects", "ADTTE": "times", "ADEX": "infusions", "ADAE": "adverse_events"}
"""Frame of the trial that has the columns of a table."""


@dataclass(frozen=True)
class Cell:
    """One value of a table, as text, in the rows in which columns hold the texts of `where`."""

    table: str
    column: str
    value: str
    where: tuple[tuple[str, str], ...]

    def find(self, frame: pd.DataFrame) -> pd.Series:
        """Return which rows of the table as text it is in."""
        found = pd.Series(True, index=frame.index)
        for column, text in self.where:
            found &= frame[column] == text
        return found


@dataclass(frozen=True)
class Change:
    """What the files say otherwise: a sentence, and cells, patients no longer there, or other arms."""

    said: str
    cells: tuple[Cell, ...] = ()
    without: frozenset[str] = frozenset()
    arms: tuple[Arm, ...] = ()

    def apply(
        self, raw: Mapping[str, RawTable], metadata: TrialMetadata
    ) -> tuple[dict[str, RawTable], TrialMetadata]:
        """Return tables as text, and `trial.yaml`, as they would be."""
        frames = {table: each.frame[~each.frame["USUBJID"].isin(self.without)] for table, each in raw.items()}
        n_found = 0
        for cell in self.cells:
            frame = frames[cell.table]
            found = cell.find(frame)
            n_found += found.sum()
            column = frame[cell.column].mask(found, cell.value)
            frames[cell.table] = frame.assign(**{cell.column: column})
        if self.cells and not n_found:
            raise ValueError(f"no row is so that this could be said: {self.said}")
        tables = {table: dataclasses.replace(raw[table], frame=frame) for table, frame in frames.items()}
        return tables, metadata.model_copy(update={"arms": list(self.arms)} if self.arms else {})


@dataclass(frozen=True)
class Edit:
    """Other trials made of one; every change returns a new edit, so that they can be chained.

    Each is as if the files said so, read and checked anew: ValueError where there is nothing to change,
    TrialDataError where what comes out could not be. Times are in the unit that the trial shows.

    Attributes
    ----------
    trial : Trial
        With all changes so far; its banner tells of them, and it has no `published`.
    """

    trial: Trial

    @property
    def said(self) -> str:
        """A sentence of each change."""
        return " ".join(change.said for change in self.trial.changes)

    def swap_groups(self, first: str, second: str) -> Edit:
        """Give each of two patients the group of the other, planned and received."""
        groups = [self._find(patient)["group"] for patient in (first, second)]
        if groups[0] == groups[1]:
            raise ValueError(f"{first} and {second} are both in {groups[0]}: nothing would change")
        cells = []
        for name in ("TRT01P", "TRT01A"):
            if name in self.trial.subjects:
                first_arm, second_arm = (self._find(patient)[name] for patient in (first, second))
                tables = [table for table, frame in _FRAMES.items() if name in getattr(self.trial, frame)]
                for table in tables:
                    cells.append(_set(table, name, second_arm, USUBJID=first))
                    cells.append(_set(table, name, first_arm, USUBJID=second))
        said = f"{first} is in {groups[1]} and {second} in {groups[0]}."
        return self._make(Change(said, tuple(cells)))

    def censor(self, patient: str = "", *, at: float, group: str = "", endpoint: str = "") -> Edit:
        """End the follow-up of a patient, a group or everyone at a time, for one endpoint or for all."""
        times = self._choose(self.trial.times, patient, group)
        if endpoint:
            times = times[times["endpoint"] == self.trial.endpoint(endpoint).code]
        later = times[times["time"] > at]
        if later.empty:
            raise ValueError(f"nobody is followed for longer than {self._show(at)}")
        cells = [cell for row in later.to_dict("records") for cell in self._move(row, at, event=False)]
        who = patient or (f"group {group}" if group else "everyone")
        whose = count_noun(later["USUBJID"].nunique(), "patient")
        said = f"Follow-up of {who} for {endpoint or 'every endpoint'} ends at {self._show(at)} "
        return self._make(Change(f"{said}(earlier than it did for {whose}).", tuple(cells)))

    def set_time(self, patient: str, endpoint: str, time: float, *, event: bool | None = None) -> Edit:
        """Give a patient another time for an endpoint, with the event or censored, by default as before."""
        self._find(patient)
        rows = self.trial.times
        rows = rows[(rows["USUBJID"] == patient) & (rows["endpoint"] == self.trial.endpoint(endpoint).code)]
        if rows.empty:
            raise ValueError(f"{patient} has no time for {endpoint}")
        row = rows.to_dict("records")[0]
        event = bool(row["event"] if event is None else event)
        ends = [f"{self._show(time)}, {'event' if event else 'censored'}"]
        ends.append(f"{row['time']:.4g}, {'event' if row['event'] else 'censored'}")
        said = f"{patient} has {endpoint} {ends[0]}, instead of {ends[1]}."
        return self._make(Change(said, self._move(row, time, event=event)))

    def drop(self, *patients: str, group: str = "") -> Edit:
        """Leave patients out, or a whole group and its plan."""
        named = [self._find(patient)["USUBJID"] for patient in patients]
        members = list(self._choose(self.trial.subjects, "", group)["USUBJID"]) if group else []
        arms = [arm for arm in self.trial.metadata.arms if arm.code != group] if group else []
        if not named and not members:
            raise ValueError("name a patient or a group to leave out")
        said = f"Without {join_names([*named, *([f'group {group}'] if group else [])], 'and')}."
        return self._make(Change(said, without=frozenset([*named, *members]), arms=tuple(arms)))

    def set_value(self, table: str, column: str, value: str, **where: str) -> Edit:
        """Write a text into a column of the rows in which other columns hold these texts, all as in the file.

        Such as ``set_value("ADAE", "ASTDT", "2015-05", USUBJID="ILL-003", AEDECOD="Pyrexia")``.
        """
        _check_known(table, list(_FRAMES))
        frame = getattr(self.trial, _FRAMES[table])
        known = [name for name in frame if str(name).isupper()]
        for name in (column, *where):
            _check_known(name, known)
        rows = " and ".join(f"{name} is {text}" for name, text in where.items())
        said = f"{column} of {table} is {value or 'empty'} where {rows}."
        return self._make(Change(said, (_set(table, column, value, **where),)))

    def plan(self, group: str, *, infusions: int | None = None, dose: float | None = None) -> Edit:
        """Plan another number or another mean dose for a group, in the place of what `trial.yaml` says."""
        _check_known(group, self.trial.groups)
        arms = {arm.code: arm for arm in self.trial.metadata.arms}
        arm = arms[group] if dose is None else arms[group].plan_dose(float(dose))
        if infusions is not None:
            if infusions < 1:
                raise ValueError(f"infusions must be a whole number from 1 on, not {infusions}")
            arm = Arm.model_validate(arm.model_dump() | {"infusions": infusions, "doses": None})
        planned = [f"{arm.infusions or 'an unknown number of'} {self.trial.metadata.treatment_word}s"]
        planned += [f"mean dose {arm.dose:g}"] if arm.dose is not None else []
        said = f"Planned for group {group}: {', '.join(planned)}."
        return self._make(Change(said, arms=tuple((arms | {group: arm}).values())))

    def _make(self, change: Change) -> Edit:
        return Edit(self.trial.change(change))

    def _find(self, patient: str) -> dict:
        subjects = self.trial.subjects
        _check_known(patient, list(subjects["USUBJID"]))
        return subjects[subjects["USUBJID"] == patient].to_dict("records")[0]

    def _choose(self, frame: pd.DataFrame, patient: str, group: str) -> pd.DataFrame:
        if patient:
            return frame[frame["USUBJID"] == self._find(patient)["USUBJID"]]
        if group:
            _check_known(group, self.trial.groups)
        return frame[frame["group"] == group] if group else frame

    def _move(self, row: dict, time: float, *, event: bool) -> tuple[Cell, ...]:
        """Return what makes a row of `Trial.times` end at another time, and a death go with it."""
        metadata, patient = self.trial.metadata, self._find(row["USUBJID"])
        days = (time - row["time_enter"]) * DAYS_PER_UNIT[self.trial.unit]
        start = row.get("STARTDT", pd.NaT)
        start = patient["enrolled"] if pd.isna(start) else start
        end = "" if pd.isna(start) else f"{start + pd.Timedelta(days=round(days)):%Y-%m-%d}"
        new = {"AVAL": f"{days / metadata.days[row['endpoint']]:.10g}"}
        if not pd.isna(row.get("ADT", pd.NaT)):
            new["ADT"] = end
        told = {"DTHDT": end if event else ""}
        # What the files tell of an event, or of how follow-up ended, holds only for an event that moves.
        if not (event and row["event"]):
            new |= {"EVNTDESC": "", "CNSDTDSC": ""} | self._flag(event)
            told |= {"EOSSTT": "", "DCSREAS": ""}
        if row["endpoint"] != find_endpoint(metadata, "overall_survival"):
            told = {}
        at = {"USUBJID": row["USUBJID"]}
        cells = [_set("ADTTE", name, new[name], PARAMCD=row["PARAMCD"], **at) for name in new if name in row]
        cells += [_set("ADSL", name, told[name], **at) for name in told if name in patient]
        return tuple(cells)

    def _show(self, time: float) -> str:
        unit = self.trial.unit
        return f"{time:g} {unit.removesuffix('s') if time == 1 else unit}"

    def _flag(self, event: bool) -> dict[str, str]:
        flag = self.trial.metadata.event_flag
        words = {flag.column: (flag.event if event else flag.censored)[0]} if flag else {}
        return {"CNSR": "0" if event else "1"} | words


def _set(table: str, column: str, value: str, **where: str) -> Cell:
    return Cell(table, column, value, tuple(where.items()))


def _check_known(name: str, known: list[str]) -> None:
    if name not in known:
        raise ValueError(describe_unknown(name, known))
