"""Whether AVAL counts the time between its dates, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nkhcc_helpers.metadata import DAYS_PER_UNIT, TrialMetadata
from nkhcc_helpers.problems import Problem
from nkhcc_helpers.reading import RawTable
from nkhcc_helpers.rules import report_rows

_OTHER_MONTHS = {"months of 30 days": 30.0, "months of 28 days": 28.0}


@dataclass(frozen=True)
class Misfit:
    """An endpoint whose AVAL does not count the time from STARTDT to ADT."""

    code: str
    rows: pd.Series
    """True at the rows that fit neither the unit of `trial.yaml` nor `unit`."""
    unit: str | None
    """What AVAL counts instead, in nearly every row; None when nothing does."""


def list_misfits(adtte: pd.DataFrame, metadata: TrialMetadata) -> list[Misfit]:
    """Return the endpoints whose AVAL does not count the time from STARTDT to ADT.

    Parameters
    ----------
    adtte : pandas.DataFrame
        Parsed; without AVAL, STARTDT or ADT nothing is compared.
    metadata : TrialMetadata
        Endpoints and the unit of AVAL.
    """
    if not {"AVAL", "STARTDT", "ADT"} <= set(adtte.columns):
        return []
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


def check_durations(adtte: pd.DataFrame, raw: RawTable, metadata: TrialMetadata) -> list[Problem]:
    """List where AVAL contradicts STARTDT and ADT; one problem when all of it is in another unit.

    Parameters
    ----------
    adtte : pandas.DataFrame
        Parsed; index the line number.
    raw : RawTable
        The same as text.
    metadata : TrialMetadata
        Endpoints and the unit of AVAL.
    """
    problems = []
    by_unit: dict[str, list[str]] = {}
    for misfit in list_misfits(adtte, metadata):
        days = (adtte["ADT"] - adtte["STARTDT"]).dt.days
        rules = days.map(lambda n: f"is not the time from STARTDT to ADT, {n:.0f} days")
        problems += report_rows("ADTTE", raw, "AVAL", misfit.rows, rules + f", in {metadata.time_unit}")
        if misfit.unit in DAYS_PER_UNIT:
            by_unit.setdefault(misfit.unit, []).append(misfit.code)
    for unit, codes in by_unit.items():
        rule = (
            f"is in {unit} by STARTDT and ADT ({', '.join(codes)}), not in {metadata.time_unit}; mend "
            "time_unit of trial.yaml, or AVAL"
        )
        problems.append(Problem("ADTTE", None, "AVAL", "", rule))
    return problems
