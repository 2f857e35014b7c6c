"""How often a row of ADEX gives a dose, and one row for each dose given."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd

_MOST = 10_000
"""Doses that one row may give."""
_FREQUENCIES = dict.fromkeys(["", "ONCE", "CONTINUOUS"], (1, 0))
_FREQUENCIES |= dict.fromkeys(["DAILY", "QAM", "QPM", "QHS", "QN"], (1, 24))
_FREQUENCIES |= dict.fromkeys(["EVERY MORNING", "EVERY AFTERNOON", "EVERY EVENING", "EVERY NIGHT"], (1, 24))
_FREQUENCIES |= {"BID": (2, 24), "TID": (3, 24), "QID": (4, 24), "BIW": (2, 168), "TIW": (3, 168)}
_FREQUENCIES |= {"QOD": (1, 48), "WEEKLY": (1, 168)}
_HOURS = {"H": 1, "D": 24, "W": 168}
_EVERY = re.compile(r"(?:Q|EVERY )([1-9][0-9]?)? ?([HDW])(?:OURS?|AYS?|EEKS?)?")
_TIMES = re.compile(r"([1-9][0-9]?) TIMES? PER ([DW])(?:AY|EEK)")


@lru_cache(maxsize=256)
def find_frequency(word: str) -> tuple[int, int] | None:
    """Return the doses that a word of EXDOSFRQ means, and the hours that they are given in, 0 for once."""
    every, times = _EVERY.fullmatch(word), _TIMES.fullmatch(word)
    if every:
        return 1, int(every[1] or 1) * _HOURS[every[2]]
    return (int(times[1]), _HOURS[times[2]]) if times else _FREQUENCIES.get(word)


FREQUENCY_RULE = (
    "is not a frequency that is known: ONCE, QD, BID, TID, QOD, QW, Q2W, Q3W, Q4W and the like (Q8H, Q3D, "
    "EVERY 2 WEEKS, 3 TIMES PER WEEK); or write a row for each dose, without one",
    lambda cells: cells.str.upper().map(find_frequency).notna(),
)


def lay_out_doses(adex: pd.DataFrame, adsl: pd.DataFrame) -> pd.DataFrame:
    """Return what each row of ADEX gives: `doses` in so many `hours`, 0 for once; until `end`; `n` in all.

    The end is AENDT; of a patient's last row, where that repeats without one, TRTEDT of ADSL.
    """
    # A trial has few words for its doses.
    codes, words = pd.factorize(adex.reindex(columns=["EXDOSFRQ"])["EXDOSFRQ"].fillna("").astype(str))
    known = [find_frequency(word.upper()) or (1, 0) for word in words]
    rows = pd.DataFrame(known, columns=["doses", "hours"], dtype=int).iloc[codes].set_axis(adex.index)
    ends = pd.to_datetime(adex.reindex(columns=["AENDT"])["AENDT"])
    patients = adsl.drop_duplicates("USUBJID").set_index("USUBJID")
    until = pd.to_datetime(adex["USUBJID"].map(patients.reindex(columns=["TRTEDT"])["TRTEDT"]))
    is_last = adex["ASTDT"] == adex.groupby("USUBJID")["ASTDT"].transform("max")
    goes_on = ends.isna() & (rows["hours"] > 0) & is_last & (until >= adex["ASTDT"])
    rows["end"] = ends.mask(goes_on, until)
    days = (rows["end"] - adex["ASTDT"]).dt.days.fillna(0).clip(lower=0).astype(int) + 1
    begun = -(-24 * days * rows["doses"] // rows["hours"].clip(lower=1))
    return rows.assign(n=begun.where(rows["hours"] > 0, 1))


def list_doses(adex: pd.DataFrame, adsl: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each dose given, with its `date` and `end`, in the order of the rows of ADEX.

    Doses are evenly spaced from ASTDT on, by whole hours, the first on that day: QD from day 1 to 10 gives
    10, BID 20, Q2W from day 1 to 29 gives 3. Each ends on its day, and the last of a row on the row's end.
    """
    rows = lay_out_doses(adex, adsl)
    at = np.repeat(np.arange(len(rows)), rows["n"])
    rows, given = rows.iloc[at], adex.iloc[at]
    number = rows.groupby(at).cumcount()
    days = number * rows["hours"] // (24 * rows["doses"])
    date = given["ASTDT"] + pd.to_timedelta(days, unit="D")
    return given.assign(date=date, end=date.mask(number == rows["n"] - 1, rows["end"].fillna(date)))


def list_wrong_doses(
    adex: pd.DataFrame, adsl: pd.DataFrame, cut_off: pd.Timestamp | None
) -> list[tuple[pd.Series, str]]:
    """Return which rows of ADEX give doses that nobody can count, each with what is wrong."""
    rows = lay_out_doses(adex, adsl)
    again = rows["hours"] > 0
    wrong = [
        (
            again & rows["end"].isna(),
            "says how often a dose was given, and no AENDT until when",
        ),
        (rows["n"] > _MOST, f"gives more doses from ASTDT on than the {_MOST} that a row may give"),
    ]
    if cut_off is not None:
        wrong.append(
            (again & (rows["end"] > cut_off), f"gives doses after the data cut-off, {cut_off:%Y-%m-%d}")
        )
    return wrong
