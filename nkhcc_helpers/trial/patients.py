"""Who is counted: every group and "All", and the treated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import pandas as pd

from nkhcc_helpers.checks import check_choice
from nkhcc_helpers.trial.metadata import ALL_GROUPS, DAYS_PER_UNIT, TrialMetadata, find_endpoint
from nkhcc_helpers.trial.schema import find_column, list_text, parse_partial_dates


def list_date_ranges(adae: pd.DataFrame) -> pd.DataFrame:
    """Return the days on which each adverse event can have begun and ended.

    An event begins no later than the last day on which it can have ended.

    Parameters
    ----------
    adae : pandas.DataFrame
        ADAE; ASTDT and AENDT as text, each may be absent.

    Returns
    -------
    pandas.DataFrame
        `onset_first onset_last onset_imputed resolved_first resolved_last resolved_imputed`, as
        `parse_partial_dates`; indexed as `adae`. Where `onset_last` is before `onset_first` no two dates
        satisfy both entries.
    """
    absent = pd.Series(None, index=adae.index, dtype=object)
    onset = parse_partial_dates(adae.get("ASTDT", absent)).add_prefix("onset_")
    resolved = parse_partial_dates(adae.get("AENDT", absent)).add_prefix("resolved_")
    ranges = pd.concat([onset, resolved], axis="columns")
    ends = ranges["resolved_last"]
    return ranges.assign(onset_last=ranges["onset_last"].mask(ends < ranges["onset_last"], ends))


def impute_dates(adae: pd.DataFrame, first_infusion: pd.Series, last_day: pd.Series) -> pd.DataFrame:
    """Return the onset and end of each adverse event, partial dates imputed.

    An onset is the day of the patient's first infusion if the entry allows that day, so that imputation
    takes no event out of the treatment period; else the first day that the entry allows. It allows no day
    after the end of the event, nor after the last day allowed by a partial end. An end is the last day that
    its entry allows, but not after the patient's death nor the data cut-off, as far as the entry allows
    that, and never before the onset. So an event of which little is known is taken to begin early and to
    last long. Dates known to the day are as received.

    Parameters
    ----------
    adae : pandas.DataFrame
        ADAE; ASTDT and AENDT as text, each may be absent; no entry contradicts another.
    first_infusion : pandas.Series of datetime64
        The patient's first infusion, NaT without one; indexed as `adae`.
    last_day : pandas.Series of datetime64
        The earlier of the patient's death and the data cut-off, NaT where neither is known; indexed as
        `adae`.

    Returns
    -------
    pandas.DataFrame
        `onset resolved`, NaT where nothing is known, and `onset_imputed resolved_imputed`: "" as received or
        missing, "day" for an imputed day, "month" for an imputed month and day (D and M of ADaM's ASTDTF
        and AENDTF); indexed as `adae`.
    """
    ranges = list_date_ranges(adae)
    onset = ranges["onset_first"]
    allowed = (first_infusion >= onset) & (first_infusion <= ranges["onset_last"])
    onset = onset.mask(allowed, first_infusion)
    resolved = ranges["resolved_last"]
    resolved = resolved.mask(last_day < resolved, last_day)
    for earliest in (ranges["resolved_first"], onset):
        resolved = resolved.mask(earliest > resolved, earliest)
    return pd.DataFrame(
        {
            "onset": onset,
            "resolved": resolved,
            "onset_imputed": ranges["onset_imputed"],
            "resolved_imputed": ranges["resolved_imputed"],
        }
    )


def list_enrolment_dates(tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Return the date each subject enrolled, by USUBJID.

    ENRLDT of ADSL where there; else the first STARTDT of ADTTE; else TRTSDT of ADSL; else NaT.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID")
    dates = pd.Series(pd.NaT, index=adsl.index, dtype="datetime64[ns]")
    adtte = tables.get("ADTTE", pd.DataFrame())
    for source in (find_column(adsl, "ENRLDT"), _earliest(adtte, "STARTDT"), find_column(adsl, "TRTSDT")):
        dates = dates.fillna(source.reindex(dates.index))
    return dates


def list_death_dates(tables: Mapping[str, pd.DataFrame], metadata: TrialMetadata | None) -> pd.Series:
    """Return the date each subject died, by USUBJID, NaT when not known to have died.

    DTHDT of ADSL where there; else ADT of the overall-survival event.
    """
    adsl = tables["ADSL"].drop_duplicates("USUBJID").set_index("USUBJID")
    dates = find_column(adsl, "DTHDT")
    adtte = tables.get("ADTTE")
    code = find_endpoint(metadata, "overall_survival")
    if code is None or adtte is None or not {"USUBJID", "PARAMCD", "event"} <= set(adtte.columns):
        return dates
    died = adtte[(adtte["PARAMCD"] == code) & adtte["event"]]
    return dates.fillna(_earliest(died, "ADT").reindex(dates.index))


def _earliest(frame: pd.DataFrame, name: str) -> pd.Series:
    if not {"USUBJID", name} <= set(frame.columns):
        return pd.Series(dtype="datetime64[ns]")
    return frame.groupby("USUBJID")[name].min()


_LONGEST = 20000
"""Days; keeps a date counted from AVAL within what pandas can hold."""


def list_ends(rows: pd.DataFrame, metadata: TrialMetadata) -> pd.Series:
    """Return the last date of each row of ADTTE: ADT, or STARTDT and AVAL days, or NaT."""
    days = (find_column(rows, "AVAL", "float64") * DAYS_PER_UNIT[metadata.time_unit]).clip(upper=_LONGEST)
    counted = find_column(rows, "STARTDT") + pd.to_timedelta(days.round(), unit="D")
    return find_column(rows, "ADT").fillna(counted)


Grouping = Literal["actual", "planned"]
GROUPS = get_args(Grouping)
"""By which treatment patients are grouped."""


def group_by_treatment(trial, groups="actual"):
    """Put every patient in the group of the treatment received, or of the one planned.

    Safety is conventionally shown by the treatment received, efficacy by the one planned, which is how a
    trial is loaded. Every table made of what this returns follows.

    Parameters
    ----------
    trial : Trial
        As loaded.
    groups : {"actual", "planned"}, default "actual"
        ``actual``: TRT01A; where it is empty or the column is not there, TRT01P. ``planned``: TRT01P.

    Returns
    -------
    Trial
        `trial` with another ``group`` in all its frames, and in ``subjects`` the dose and the planned
        infusions of that group.

    Raises
    ------
    ValueError
        `groups` is neither.
    """
    check_choice(groups, "groups", GROUPS)
    codes = _list_codes(trial, groups)
    kind = pd.CategoricalDtype(trial.groups, ordered=True)
    frames = {
        name: frame.assign(group=frame["USUBJID"].map(codes).astype(kind))
        for name in ("subjects", "times", "infusions", "adverse_events")
        for frame in [getattr(trial, name)]
    }
    arms = trial.arm_table().set_index("group")
    code = frames["subjects"]["group"].astype("str")
    frames["subjects"] = frames["subjects"].assign(
        dose=code.map(arms["dose"]).astype(float), planned_infusions=code.map(arms["infusions"]).astype(float)
    )
    return dataclasses.replace(trial, **frames)


def describe_treatment(trial):
    """Count the treated patients of whom it is known what they received, and who received something else.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    dict of str to int
        ``n_with_actual``: treated patients with an entry in TRT01A; ``n_moved``: those whose entry is not the
        group planned for them.
    """
    treated = trial.subjects[list_treated(trial).to_numpy()]
    known = treated[list_text(treated, "TRT01A") != ""]
    moved = known[known["TRT01A"] != known["TRT01P"]] if len(known) else known
    return {"n_with_actual": len(known), "n_moved": len(moved)}


def _list_codes(trial, groups):
    subjects = trial.subjects.set_index("USUBJID")
    planned = subjects["TRT01P"]
    if groups == "planned" or "TRT01A" not in subjects:
        return planned
    return subjects["TRT01A"].where(list_text(subjects, "TRT01A") != "", planned)


def list_with_all(frame, groups):
    """List every row twice: in its own group, and under "All".

    Parameters
    ----------
    frame : DataFrame
        Has a column ``group``.
    groups : list of str
        Group codes in order.

    Returns
    -------
    DataFrame
        ``group`` is an ordered categorical of `groups` and "All", so that a ``groupby`` with
        ``observed=False`` keeps a row for a group nobody is in.
    """
    code = frame["group"].astype("str")
    both = pd.concat([frame.assign(group=code), frame.assign(group=ALL_GROUPS)], ignore_index=True)
    return both.assign(group=pd.Categorical(both["group"], [*groups, ALL_GROUPS], ordered=True))


def list_treated(trial):
    """List who was treated, the denominator of every safety table.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    Series of bool
        One value for each row of ``trial.subjects``: True where SAFFL is Y; where SAFFL is empty or the
        column is not there, True for a subject with an infusion in ADEX.
    """
    infused = trial.subjects["USUBJID"].isin(trial.infusions["USUBJID"])
    flag = list_text(trial.subjects, "SAFFL")
    return infused.where(flag == "", flag.isin(["Y", "YES"])).astype(bool)


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
    death = list_deaths(trial)
    known = [_map_latest(subjects, dated), _map_latest(subjects, trial.infusions), death]
    end = pd.concat(known, axis=1).max(axis=1)
    bounds = [end, death.where(death < end)]
    if trial.metadata.data_cut_off is not None:
        bounds.append(end.where(end.isna(), pd.Timestamp(trial.metadata.data_cut_off)))
    end = pd.concat(bounds, axis=1).min(axis=1).astype("datetime64[ns]")
    return pd.DataFrame({"USUBJID": subjects["USUBJID"], "end": end})


def list_deaths(trial):
    """List when each patient died: DTHDT, or else the date of the event of overall survival.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    Series of datetime64[ns]
        One value for each row of ``trial.subjects``, NaT where no death is known.
    """
    dated = trial.times.assign(date=_list_dates(trial))
    died = dated[dated["event"] & (dated["endpoint"] == trial.endpoint_with_role("overall_survival"))]
    return find_column(trial.subjects, "DTHDT").fillna(_map_latest(trial.subjects, died))


def _list_dates(trial):
    """Return the date of each row of ADTTE."""
    times = trial.times
    enrolled = times["USUBJID"].map(trial.subjects.set_index("USUBJID")["enrolled"])
    started = find_column(times, "STARTDT").fillna(enrolled)
    return list_ends(times.assign(STARTDT=started), trial.metadata)


def _map_latest(subjects, dated):
    return pd.to_datetime(subjects["USUBJID"].map(dated.groupby("USUBJID")["date"].max()))
