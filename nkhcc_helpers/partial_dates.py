"""Dates of adverse events of which only the year, or the year and month, is known."""

from __future__ import annotations

import pandas as pd

_PARTIAL = (
    r"\A(?P<year>(?:19|20|21)[0-9]{2})"
    r"(?:-(?:(?P<month>[0-9]{2})|UNK?|--)(?:-(?:(?P<day>[0-9]{2})|UNK?|--))?)?\Z"
)


def parse_partial_dates(cells: pd.Series) -> pd.DataFrame:
    """Return the days that each cell allows.

    Read are `YYYY-MM-DD`, `YYYY-MM` and `YYYY`, and `UN`, `UNK` or `--` in place of the month or day that is
    not known, as in `2015-03-UN`. A day whose month is not known is not read.

    Parameters
    ----------
    cells : pandas.Series of str
        Text, missing where there is none.

    Returns
    -------
    pandas.DataFrame
        `first` and `last`, the first and last day that the cell allows, NaT where it is empty or cannot be
        read; `imputed`, the part that is not known: "", "day", or "month" (month and day); indexed as
        `cells`.
    """
    # A trial has few days beside its events.
    codes, written = pd.factorize(cells, use_na_sentinel=False)
    parsed = _parse(pd.Series(written, dtype=object)).iloc[codes]
    return parsed.set_axis(cells.index)


def _parse(written: pd.Series) -> pd.DataFrame:
    parts = written.fillna("").astype(str).str.upper().str.extract(_PARTIAL)
    known = parts.notna()
    month, day = (parts[name].where(known[name], "01") for name in ("month", "day"))
    text = (parts["year"] + "-" + month + "-" + day).where(known["month"] | ~known["day"])
    first = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")
    last = first.mask(~known["day"], first + pd.offsets.MonthEnd(0))
    last = last.mask(~known["month"], first + pd.offsets.YearEnd(0))
    imputed = pd.Series("", index=written.index).mask(~known["day"], "day").mask(~known["month"], "month")
    return pd.DataFrame({"first": first, "last": last, "imputed": imputed.where(first.notna(), "")})


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
