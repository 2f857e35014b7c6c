"""How long each patient was observed."""

from __future__ import annotations

import pandas as pd

from nkhcc_helpers.metadata import DAYS_PER_UNIT
from nkhcc_helpers.rules import find_column


def list_observation(trial):
    """List until when each patient was observed.

    The end of observation is the latest of the dates that ADTTE has for the patient, the last infusion
    and the death, but never after the death nor after the data cut-off. The date of a row of ADTTE is
    ADT; where that is missing, STARTDT plus AVAL, or enrolment plus AVAL, rounded to a day. The death is
    DTHDT, or else the date of the event of overall survival.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    DataFrame
        Columns ``USUBJID end``, one row for each row of ``trial.subjects``, treated or not; NaT where
        nothing dates it.
    """
    subjects = trial.subjects
    dated = trial.times.assign(date=_list_dates(trial))
    died = dated[dated["event"] & (dated["endpoint"] == trial.endpoint_with_role("overall_survival"))]
    death = find_column(subjects, "DTHDT").fillna(_map_latest(subjects, died))
    known = [_map_latest(subjects, dated), _map_latest(subjects, trial.infusions), death]
    end = pd.concat(known, axis=1).max(axis=1)
    bounds = [end, death.where(death < end)]
    if trial.metadata.data_cut_off is not None:
        bounds.append(end.where(end.isna(), pd.Timestamp(trial.metadata.data_cut_off)))
    end = pd.concat(bounds, axis=1).min(axis=1).astype("datetime64[ns]")
    return pd.DataFrame({"USUBJID": subjects["USUBJID"], "end": end})


def _list_dates(trial):
    """Return the date of each row of ADTTE."""
    times = trial.times
    enrolled = times["USUBJID"].map(trial.subjects.set_index("USUBJID")["enrolled"])
    days = (times["AVAL"].astype(float) * DAYS_PER_UNIT[trial.metadata.time_unit]).round()
    computed = find_column(times, "STARTDT").fillna(enrolled) + pd.to_timedelta(days, unit="D")
    return find_column(times, "ADT").fillna(computed)


def _map_latest(subjects, dated):
    return pd.to_datetime(subjects["USUBJID"].map(dated.groupby("USUBJID")["date"].max()))
