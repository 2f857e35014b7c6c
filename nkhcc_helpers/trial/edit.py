"""What if? A trial as it would be read had its files said something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, Arm, TrialMetadata, find_endpoint
from nkhcc_helpers.trial.problems import RawTable, describe_unknown

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

_FRAMES = {"ADSL": "subjects", "ADTTE": "times", "ADEX": "infusions", "ADAE": "adverse_events"}
"""Frame of the trial that has the columns of a table."""


@dataclass(frozen=True)
class Cells:
    """A text for a column of a table, if it has it, in the rows in which others hold the texts of `where`."""

    table: str
    column: str
    text: str
    where: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """What the files say otherwise, in a sentence; `metadata` is `trial.yaml` as it would be."""

    said: str
    metadata: TrialMetadata
    cells: Sequence[Cells] = ()
    without: Sequence[str] = ()  # patients

    def apply(self, raw: Mapping[str, RawTable]) -> dict[str, RawTable]:
        """Return tables as text as they would be; ValueError where no row is changed."""
        frames = {table: each.frame[~each.frame["USUBJID"].isin(self.without)] for table, each in raw.items()}
        n_changed = 0
        for cells in self.cells:
            frame = frames.get(cells.table, pd.DataFrame())
            if cells.column in frame:
                found = (frame[list(cells.where)] == pd.Series(cells.where)).all(axis="columns")
                frames[cells.table] = frame.assign(
                    **{cells.column: frame[cells.column].mask(found, cells.text)}
                )
                n_changed += found.sum()
        if self.cells and not n_changed:
            raise ValueError(f"there is no such row: {self.said}")
        return {table: dataclasses.replace(raw[table], frame=frame) for table, frame in frames.items()}


@dataclass(frozen=True)
class Edit:
    """Other trials made of one; every change returns a new edit, so that they can be chained.

    Each is as if the files said so, read and checked anew: ValueError where there is nothing to change,
    TrialDataError where what comes out cannot be. Times are in the unit that the trial shows.

    `trial` is the one with all changes so far; its banner tells of them, and it has no `published`.
    """

    trial: Trial

    @property
    def said(self) -> str:
        """A sentence of each change."""
        return " ".join(change.said for change in self.trial.changes)

    def swap_groups(self, first: str, second: str) -> Edit:
        """Give each of two patients the group of the other, planned and received."""
        one, other = self._find(first), self._find(second)
        if one["group"] == other["group"]:
            raise ValueError(f"{first} and {second} are both in {one['group']}: nothing would change")
        cells = [
            Cells(table, column, arm, {"USUBJID": patient})
            for table in _FRAMES
            for column in ("TRT01P", "TRT01A")
            for patient, arm in ((first, other["TRT01P"]), (second, one["TRT01P"]))
        ]
        return self._make(f"{first} is in {other['group']} and {second} in {one['group']}.", cells=cells)

    def censor(self, patient: str = "", *, at: float, group: str = "", endpoint: str = "") -> Edit:
        """End the follow-up of a patient, a group or everyone at a time, for one endpoint or for all."""
        times = self.trial.times
        codes = [self.trial.endpoint(endpoint).code] if endpoint else list(self.trial.endpoint_labels)
        chosen = times["USUBJID"].isin(self._choose(patient, group)) & times["endpoint"].isin(codes)
        later = times[chosen & (times["time"] > at)].to_dict("records")
        if not later:
            raise ValueError(f"nobody of them is followed for longer than {at:g} {self.trial.unit}")
        who = patient or (f"group {group}" if group else "everyone")
        said = f"Follow-up of {who} for {' and '.join(codes)} ends at time {at:g} ({self.trial.unit})."
        return self._make(said, cells=[each for row in later for each in self._move(row, at, event=False)])

    def set_time(self, patient: str, endpoint: str, time: float, *, event: bool | None = None) -> Edit:
        """Give a patient another time for an endpoint, with the event or censored, by default as before."""
        rows = self.trial.times[self.trial.times["endpoint"] == self.trial.endpoint(endpoint).code]
        rows = rows[rows["USUBJID"].isin(self._choose(patient))].to_dict("records")
        if not rows:
            raise ValueError(f"{patient} has no time for {endpoint}")
        event = bool(rows[0]["event"] if event is None else event)
        how = "event" if event else "censored"
        said = f"{patient} has {endpoint} {time:g} ({how}), not {rows[0]['time']:.4g} {self.trial.unit}."
        return self._make(said, cells=self._move(rows[0], time, event=event))

    def drop(self, patient: str = "", *, group: str = "") -> Edit:
        """Leave out a patient, or a whole group and its plan."""
        arms = [arm for arm in self.trial.metadata.arms if patient or arm.code != group]
        said = f"Without {patient or f'group {group}'}."
        return self._make(said, arms, without=self._choose(patient, group))

    def set_value(self, table: str, column: str, text: str, **where: str) -> Edit:
        """Write a text into a column of the rows in which other columns hold these texts, all as in the file.

        Such as ``set_value("ADAE", "ASTDT", "2015-05", USUBJID="ILL-003", AEDECOD="Pyrexia")``.
        """
        frame = getattr(self.trial, _FRAMES[_check_known(table, list(_FRAMES))])
        for name in (column, *where):
            _check_known(name, [known for known in frame if str(known).isupper()])
        rows = " and ".join(f"{name} is {value}" for name, value in where.items())
        said = f"{column} of {table} is {text or 'empty'} where {rows}."
        return self._make(said, cells=[Cells(table, column, text, where)])

    def plan(self, group: str, **planned: Any) -> Edit:
        """Plan something else for a group than `trial.yaml` says, such as ``infusions=8`` or ``dose=2.0``."""
        _check_known(group, self.trial.groups)
        arms = {arm.code: arm for arm in self.trial.metadata.arms}
        # Single doses do not fit another number of them, nor another mean.
        arms[group] = Arm.model_validate(arms[group].model_dump() | {"doses": None} | planned)
        listed = ", ".join(f"{name} {value}" for name, value in planned.items())
        return self._make(f"Planned for group {group}: {listed}.", arms.values())

    def _make(self, said: str, arms: Iterable[Arm] = (), **changed: Any) -> Edit:
        metadata = self.trial.metadata
        metadata = metadata.model_copy(update={"arms": list(arms)}) if arms else metadata
        return Edit(self.trial.change(Change(said, metadata, **changed)))

    def _find(self, patient: str) -> dict[str, Any]:
        subjects = self.trial.subjects.set_index("USUBJID", drop=False)
        return subjects.loc[_check_known(patient, list(subjects.index))].to_dict()

    def _choose(self, patient: str, group: str = "") -> list[str]:
        if patient:
            return [self._find(patient)["USUBJID"]]
        subjects = self.trial.subjects
        if group:
            subjects = subjects[subjects["group"] == _check_known(group, self.trial.groups)]
        return list(subjects["USUBJID"])

    def _move(self, row: dict[str, Any], time: float, *, event: bool) -> list[Cells]:
        """Return what makes a row of `Trial.times` end at another time, and a death go with it."""
        metadata, days = self.trial.metadata, DAYS_PER_UNIT[self.trial.unit]
        end = row["time_zero"] + pd.Timedelta(days=round(time * days))
        end = "" if pd.isna(end) else f"{end:%Y-%m-%d}"
        aval = (time - row["time_enter"]) * days / metadata.days[row["endpoint"]]
        times, subject = {"AVAL": f"{aval:.10g}", "ADT": end}, {"DTHDT": end if event else ""}
        # What the files tell of an event, or of how follow-up ended, holds only for an event that moves.
        if not (event and row["event"]):
            times |= {"CNSR": "0" if event else "1", "EVNTDESC": "", "CNSDTDSC": ""}
            subject |= {"EOSSTT": "", "DCSREAS": ""}
            if flag := metadata.event_flag:
                times[flag.column] = (flag.event if event else flag.censored)[0]
        at = {"USUBJID": row["USUBJID"]}
        cells = [Cells("ADTTE", name, times[name], at | {"PARAMCD": row["PARAMCD"]}) for name in times]
        is_overall = row["endpoint"] == find_endpoint(metadata, "overall_survival")
        return cells + [Cells("ADSL", name, subject[name], at) for name in subject if is_overall]


def _check_known(name: str, known: list[str]) -> str:
    if name not in known:
        raise ValueError(describe_unknown(name, known))
    return name
