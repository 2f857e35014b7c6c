"""Trials of any shape, drawn at random from a seed: one arm of twelve up to 5,000 patients in ten arms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from trials import ENDPOINTS, FIRST_DAY, Files, write_files

CUT_OFF = pd.Timestamp("2023-06-30")


def draw_shape(
    sizes: list[int],
    *,
    n_events: int | None = None,
    n_terms: int = 40,
    endpoints: tuple[str, ...] = ("PFS", "OS"),
    doses: bool = True,
    infusions: bool = True,
    seed: int = 1,
) -> Files:
    """Draw a trial with arms of these sizes, which may be 0; by default two adverse events a patient.

    `n_events=0`: collected, none there. `doses=False`: no arm has a planned dose or number of infusions.
    `infusions=False`: no ADEX, and `exposure: {collected: false}`.
    """
    rng = np.random.default_rng(seed)
    arms = _list_arms(len(sizes), doses)
    patients = _draw_patients(rng, sizes)
    given = _draw_infusions(rng, patients) if infusions else None
    n_events = 2 * sum(sizes) if n_events is None else n_events
    metadata = {
        "study_id": "SHAPE",
        "title": f"A drawn trial of {sum(sizes)} in {len(sizes)} arms",
        "provenance": "illustrative",
        "time_unit": "days",
        "display_time_unit": "months",
        "data_cut_off": CUT_OFF.date(),
        "arms": arms,
        "endpoints": [each for each in ENDPOINTS if each["code"] in endpoints],
        "baseline": [
            {"column": "AGE", "label": "Age", "unit": "years"},
            {"column": "SEX", "label": "Sex", "kind": "categorical", "levels": {"F": "Female", "M": "Male"}},
            {"column": "AFP", "label": "Alpha-fetoprotein", "unit": "ng/mL"},
        ],
        "adverse_events": {"collected": True, "dictionary": "CTCAE v5.0"},
        **({} if infusions else {"exposure": {"collected": False}}),
    }
    return Files(
        metadata,
        _list_subjects(rng, patients, given, arms),
        _list_times(patients, endpoints),
        given,
        _draw_events(rng, patients, n_events, n_terms),
    )


def _list_arms(n: int, doses: bool) -> list[dict[str, Any]]:
    plans = (4, 6, 6)
    known = [
        {"dose": round(0.5 * (1 + at), 2), "infusions": plans[at % 3], "interval_days": 14} for at in range(n)
    ]
    return [
        {
            "code": chr(65 + at),
            "label": f"Dose level {at + 1}",
            "order": at + 1,
            **(known[at] if doses else {}),
        }
        for at in range(n)
    ]


def _draw_patients(rng: np.random.Generator, sizes: list[int]) -> pd.DataFrame:
    n = sum(sizes)
    arm = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    enrolled = np.sort(rng.integers(0, 2000, n))
    to_cut_off = (CUT_OFF - FIRST_DAY).days - enrolled
    death = 20 + rng.exponential(800 * (1 + 0.15 * arm)).astype(int)
    lost = np.where(rng.random(n) < 0.15, rng.integers(30, 2500, n), 10**6)
    end = np.minimum.reduce([death, lost, to_cut_off])
    progression = 10 + (rng.random(n) * death * 1.2).astype(int)
    return pd.DataFrame(
        {
            "USUBJID": [f"S-{number:04d}" for number in range(1, n + 1)],
            "arm": arm,
            "enrolled": FIRST_DAY + pd.to_timedelta(enrolled, unit="D"),
            "os": end,
            "died": death == end,
            "lost": (lost == end) & (death != end),
            "pfs": np.minimum(progression, end),
            "progressed": progression < end,
        }
    )


def _days(patients: pd.DataFrame, days: pd.Series) -> pd.Series:
    return (patients["enrolled"] + pd.to_timedelta(days, unit="D")).dt.strftime("%Y-%m-%d")


def _draw_infusions(rng: np.random.Generator, patients: pd.DataFrame) -> pd.DataFrame:
    planned = 4 + 2 * (patients["arm"] ** 2 % 3)
    rows = patients.loc[patients.index.repeat(planned)]
    number = rows.groupby("USUBJID").cumcount()
    day = 3 + 14 * number
    kept = (day <= rows["pfs"]).to_numpy()
    rows, day, number = rows[kept], day[kept], number[kept]
    date = _days(rows, day)
    return pd.DataFrame(
        {
            "USUBJID": rows["USUBJID"],
            "EXSEQ": number + 1,
            "ASTDT": date,
            "AENDT": date,
            "EXDOSE": 0.5 * (1 + rows["arm"]),
            "EXDOSU": "NORMAL DOSE",
        }
    ).reset_index(drop=True)


def _list_subjects(
    rng: np.random.Generator, patients: pd.DataFrame, given: pd.DataFrame | None, arms: list[dict[str, Any]]
) -> pd.DataFrame:
    n = len(patients)
    codes = patients["arm"].map(dict(enumerate(arm["code"] for arm in arms)))
    dates = given.groupby("USUBJID")["ASTDT"] if given is not None else None
    ids = patients["USUBJID"]
    first = ids.map(dates.min()).fillna("") if dates is not None else _days(patients, patients["os"] * 0)
    last = ids.map(dates.max()).fillna("") if dates is not None else ""
    status = np.select([patients["died"], patients["lost"]], ["COMPLETED", "DISCONTINUED"], "ONGOING")
    return pd.DataFrame(
        {
            "STUDYID": "SHAPE",
            "USUBJID": ids,
            "TRT01P": codes,
            "TRT01A": codes,
            "AGE": rng.integers(30, 80, n),
            "SEX": rng.choice(["F", "M"], n),
            "AFP": np.round(np.exp(rng.normal(3, 1.5, n)), 1),
            "SAFFL": "Y",
            "ENRLDT": _days(patients, patients["os"] * 0),
            "TRTSDT": first,
            "TRTEDT": last,
            "DTHDT": _days(patients, patients["os"]).where(patients["died"], ""),
            "EOSSTT": status,
        }
    )


def _list_times(patients: pd.DataFrame, endpoints: tuple[str, ...]) -> pd.DataFrame:
    event = {"PFS": patients["progressed"] | patients["died"], "OS": patients["died"]}
    day = {"PFS": patients["pfs"], "OS": patients["os"]}
    parts = [
        pd.DataFrame(
            {
                "USUBJID": patients["USUBJID"],
                "PARAMCD": code,
                "AVAL": day[code],
                "CNSR": np.where(event[code], 0, 1),
                "STARTDT": _days(patients, patients["os"] * 0),
                "ADT": _days(patients, day[code]),
            }
        )
        for code in endpoints
    ]
    return pd.concat(parts, ignore_index=True)


def _draw_events(rng: np.random.Generator, patients: pd.DataFrame, n: int, n_terms: int) -> pd.DataFrame:
    rows = patients.iloc[np.sort(rng.integers(0, len(patients), n))].reset_index(drop=True)
    commonness = 1 / np.arange(2, n_terms + 2)
    term = rng.choice(n_terms, n, p=commonness / commonness.sum())
    begin = 3 + (rng.random(n) * np.minimum(rows["os"] - 3, 150)).astype(int)
    end = np.minimum(begin + rng.integers(0, 15, n), rows["os"])
    open_ended = rng.random(n) < 0.05
    return pd.DataFrame(
        {
            "USUBJID": rows["USUBJID"],
            "AEDECOD": [f"Term {number + 1:03d}" for number in term],
            "AEBODSYS": [f"Organ class {number % 26 + 1:02d}" for number in term],
            "AETOXGR": rng.choice([1, 2, 3, 4], n, p=[0.6, 0.25, 0.12, 0.03]),
            "AEREL": rng.choice(["Y", "N"], n),
            "AESER": rng.choice(["Y", "N"], n, p=[0.1, 0.9]),
            "ASTDT": _days(rows, begin),
            "AENDT": _days(rows, end).where(~open_ended, ""),
            "AEOUT": np.where(open_ended, "NOT RECOVERED", "RECOVERED"),
            "AEACN": "DOSE NOT CHANGED",
            "TRTEMFL": "Y",
        }
    )


SHAPES: dict[str, Callable[[], Files]] = {
    "one_arm_of_12": lambda: draw_shape([12]),
    "two_of_3_and_6": lambda: draw_shape([3, 6]),
    "seven_levels": lambda: draw_shape([1, 3, 3, 6, 2, 4, 5]),
    "forty_in_four": lambda: draw_shape([8, 10, 12, 10]),
    "only_os": lambda: draw_shape([3, 5, 6, 4], endpoints=("OS",)),
    "no_adverse_event": lambda: draw_shape([3, 5, 6, 4], n_events=0),
    "no_exposure": lambda: draw_shape([3, 5, 6, 4], infusions=False),
    "no_doses": lambda: draw_shape([3, 5, 6, 4], doses=False),
    "empty_arm": lambda: draw_shape([3, 0, 6, 4]),
    "254_in_three": lambda: draw_shape([84, 86, 84], n_events=1200, n_terms=230),
    "5000_in_ten": lambda: draw_shape([500] * 10, n_events=200_000, n_terms=400),
}
"""Each shape that the pages must take, by name."""


def write_shape(folder: Path, name: str) -> Path:
    """Write one of `SHAPES` to a folder and return the folder."""
    return write_files(folder, SHAPES[name]())
