"""Each patient's infusions and adverse events in days since the first infusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nkhcc_helpers.events import NOT_RESOLVED, list_endings, list_events
from nkhcc_helpers.exposure import list_deaths, list_observation
from nkhcc_helpers.populations import list_treated


@dataclass(frozen=True)
class Timelines:
    """What `list_timelines` returns; every day is 0 on the day of the patient's first infusion.

    Attributes
    ----------
    patients : DataFrame
        Columns ``USUBJID group last_day died``: end of observation, and day of death (NaN where no death is
        known); by group and USUBJID.
    infusions : DataFrame
        Columns ``USUBJID group infusion day``.
    events : DataFrame
        Columns ``USUBJID group term grade day end_day ending``; ending is "ended", "ongoing" (``end_day``
        is the last day it was followed: its end date, or else the end of observation) or "unknown" (nobody
        says whether or when it ended).
    n_undated : int
        Events of these patients left out because their onset is not known.
    n_uninfused : int
        Treated patients left out, with their events, because no infusion is recorded.
    """

    patients: pd.DataFrame
    infusions: pd.DataFrame
    events: pd.DataFrame
    n_undated: int
    n_uninfused: int = 0


def list_timelines(trial, *, related_only=False, emergent_only=True):
    """List, for each treated patient with an infusion, when infusions were given and events lasted.

    Parameters
    ----------
    trial : Trial
    related_only : bool, default False
        Take only events related to treatment.
    emergent_only : bool, default True
        Take treatment-emergent events only.

    Returns
    -------
    Timelines
        An event is ongoing where AEOUT says so, whether it has an end date or not; any other without an end
        date has an unknown end.
    """
    treated = trial.subjects.assign(death=list_deaths(trial).to_numpy())[list_treated(trial)]
    observed = treated.merge(list_observation(trial), on="USUBJID", how="left")
    started = observed.dropna(subset=["first_infusion"]).sort_values(["group", "USUBJID"], ignore_index=True)
    patients = started[["USUBJID", "group"]].assign(
        last_day=_days(started, "end"), died=_days(started, "death")
    )
    origin = started[["USUBJID", "first_infusion", "end"]]
    given = trial.infusions[["USUBJID", "group", "infusion", "date"]].merge(origin, on="USUBJID")
    infusions = given[["USUBJID", "group", "infusion"]].assign(day=_days(given, "date"))
    events = list_events(trial, emergent_only=emergent_only, related_only=related_only)
    infused = events.drop(columns="first_infusion").merge(origin, on="USUBJID")
    dated = infused.dropna(subset=["onset"])
    dated = dated.sort_values(["group", "USUBJID", "onset", "term"], ignore_index=True)
    goes_on = list_endings(dated) == NOT_RESOLVED
    ending = np.select([goes_on, dated["resolved"].notna()], ["ongoing", "ended"], "unknown")
    end_day = _days(dated, "resolved").fillna(_days(dated, "end").where(goes_on))
    listed = dated[["USUBJID", "group", "term", "grade"]].assign(
        day=_days(dated, "onset"), end_day=end_day, ending=ending
    )
    return Timelines(patients, infusions, listed, len(infused) - len(dated), len(observed) - len(started))


def _days(frame, column):
    return (frame[column] - frame["first_infusion"]).dt.days.astype(float)
