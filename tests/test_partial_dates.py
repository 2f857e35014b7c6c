"""Partial dates of adverse events: what is read, what is imputed, and what no day could satisfy.

Of the hand-made trial, s1 was first infused on 2020-01-08 and died on 2020-05-20, s4 was never infused,
s5 was first infused on 2020-04-02 and was alive at the data cut-off, 2020-12-31. Of the trial `plain`,
S-01 was first infused on 2015-01-15, had the event in row 2 of ADAE from 2015-01-29 to 2015-01-30, and
died on 2015-07-05.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
from hand_made import ADAE, METADATA, load_hand_made
from hypothesis import given
from hypothesis import strategies as st
from trials import edit_cell, write_trial

from nkhcc_helpers.safety.counts import list_events
from nkhcc_helpers.trial.patients import impute_dates, list_date_ranges
from nkhcc_helpers.trial.problems import Problem, TrialDataError, TrialDataWarning
from nkhcc_helpers.trial.schema import parse_partial_dates
from nkhcc_helpers.trial.trial import Trial, load_trial

RULE = "must be a date, YYYY-MM-DD, or the known part, YYYY-MM or YYYY (UN, UNK or -- for the rest)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_trial(tmp_path / "trial")


def problems_of(folder: Path) -> list[Problem]:
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    return list(caught.value.problems)


def load_dated(folder: Path, *entries: str, **changes) -> Trial:
    """Load the hand-made trial with one event for each `subject onset end`, `.` for an empty cell."""
    lines = [f"{subject},Fever,{onset},{end},1" for subject, onset, end in map(str.split, entries)]
    return load_hand_made(folder, adae="\n".join(["USUBJID,AEDECOD,ASTDT,AENDT,AETOXGR", *lines]), **changes)


def write(day: pd.Timestamp) -> str:
    return "" if pd.isna(day) else f"{day:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("cell", "first", "last", "imputed"),
    [
        ("2015-03-14", "2015-03-14", "2015-03-14", ""),
        ("2016-02", "2016-02-01", "2016-02-29", "day"),
        ("2015-02-UN", "2015-02-01", "2015-02-28", "day"),
        ("2015-12-unk", "2015-12-01", "2015-12-31", "day"),
        ("2015-04---", "2015-04-01", "2015-04-30", "day"),
        ("2015", "2015-01-01", "2015-12-31", "month"),
        ("2015-UN", "2015-01-01", "2015-12-31", "month"),
        ("2015-UN-UNK", "2015-01-01", "2015-12-31", "month"),
        ("2015---", "2015-01-01", "2015-12-31", "month"),
        ("2015------", "2015-01-01", "2015-12-31", "month"),
    ],
)
def test_what_an_entry_allows(cell: str, first: str, last: str, imputed: str) -> None:
    (parsed,) = parse_partial_dates(pd.Series([cell])).itertuples(index=False)
    assert (write(parsed.first), write(parsed.last), parsed.imputed) == (first, last, imputed)


NOT_DATES = [
    *("2015-13", "2015-00", "2015-00-UN", "2015-02-30", "2015-02-00", "2015-UN-14", "2015----14"),
    *("15-03", "2015-3", "201503", "2015-", "2015-03-", "2015-03-UNKN", "UN", "UN-UN-UN", "UNK-MAR-2015"),
    *("1899", "2200", "2015.0", "2015 03", "2015-03-XX"),
    *("\N{ARABIC-INDIC DIGIT TWO}015", "2015-U\N{FULLWIDTH LATIN CAPITAL LETTER N}"),
]  # fmt: skip


def test_what_is_no_date_allows_nothing() -> None:
    parsed = parse_partial_dates(pd.Series([*NOT_DATES, "", None, "2015\n"]))
    assert parsed[["first", "last"]].isna().all(axis=None)
    assert set(parsed["imputed"]) == {""}


@pytest.mark.parametrize("cells", [[], ["", None], ["2015-03"]])
def test_types_do_not_depend_on_what_is_there(cells: list[str | None]) -> None:
    parsed = parse_partial_dates(pd.Series(cells, dtype=object))
    assert [str(kind) for kind in parsed.dtypes] == ["datetime64[ns]", "datetime64[ns]", "object"]


@pytest.mark.parametrize("column", ["ASTDT", "AENDT"])
def test_what_is_no_date_is_a_problem(tmp_path: Path, column: str) -> None:
    def spoil(adae: pd.DataFrame) -> pd.DataFrame:
        return adae.assign(**{column: [*NOT_DATES, *adae[column][len(NOT_DATES) :]]})

    expected = [Problem("ADAE", row, column, cell, RULE) for row, cell in enumerate(NOT_DATES, start=2)]
    assert problems_of(write_trial(tmp_path, adae=spoil)) == expected


def test_other_dates_must_be_full(folder: Path) -> None:
    expected = [
        Problem("ADSL", 2, "DTHDT", "2015-07", "must be a date, YYYY-MM-DD"),
        Problem("ADSL", 2, "TRTEDT", "2015-UN-UN", "must be a date, YYYY-MM-DD"),
        Problem("ADTTE", 2, "ADT", "2015", "must be a date, YYYY-MM-DD"),
        Problem("ADEX", 2, "ASTDT", "2015-01-UN", "must be a date, YYYY-MM-DD"),
        Problem("ADEX", 2, "AENDT", "2015-01", "must be a date, YYYY-MM-DD"),
    ]
    for each in expected:
        edit_cell(folder, each.table, each.row, each.column, each.value)
    assert set(expected) <= set(problems_of(folder))


@pytest.mark.parametrize(
    ("entry", "onset", "resolved", "imputed"),
    [
        # The first infusion, where the month or the year holds it.
        ("s1 2020-01 .", "2020-01-08", "", ("day", "")),
        ("s1 2020-UN-UN .", "2020-01-08", "", ("month", "")),
        ("s5 2020 .", "2020-04-02", "", ("month", "")),
        # The first day, where it does not, or where there was none.
        ("s1 2020-02-UN .", "2020-02-01", "", ("day", "")),
        ("s1 2019-12 .", "2019-12-01", "", ("day", "")),
        ("s4 2020-04 .", "2020-04-01", "", ("day", "")),
        # It was over before the first infusion.
        ("s1 2020-01 2020-01-05", "2020-01-01", "2020-01-05", ("day", "")),
        ("s5 2020 2020-03", "2020-01-01", "2020-03-31", ("month", "day")),
        ("s1 2020-01 2020-01-08", "2020-01-08", "2020-01-08", ("day", "")),
        # The last day of the month; death; never before onset.
        ("s1 2020-01-10 2020-01-UNK", "2020-01-10", "2020-01-31", ("", "day")),
        ("s1 2020-05-02 2020", "2020-05-02", "2020-05-20", ("", "month")),
        ("s1 2020-05 2020-05", "2020-05-01", "2020-05-20", ("day", "day")),
        ("s1 2020-05-25 2020-05", "2020-05-25", "2020-05-25", ("", "day")),
        ("s1 . 2020-05", "", "2020-05-20", ("", "day")),
        # An end that is wholly after death is as received.
        ("s1 2020-05-02 2020-06", "2020-05-02", "2020-06-01", ("", "day")),
        # Full dates are as received, even after death.
        ("s1 2020-01-05 2020-06-30", "2020-01-05", "2020-06-30", ("", "")),
        ("s5 . .", "", "", ("", "")),
    ],
)
def test_imputed_dates(tmp_path: Path, entry: str, onset: str, resolved: str, imputed: tuple) -> None:
    (event,) = load_dated(tmp_path, entry).adverse_events.itertuples()
    assert (write(event.onset), write(event.resolved)) == (onset, resolved)
    assert (event.onset_imputed, event.resolved_imputed) == imputed


@pytest.mark.parametrize(("cut_off", "end"), [(dt.date(2020, 12, 28), "2020-12-28"), (None, "2020-12-31")])
def test_end_is_not_after_the_data_cut_off(tmp_path: Path, cut_off: dt.date | None, end: str) -> None:
    metadata = {key: value for key, value in METADATA.items() if key != "data_cut_off"}
    if cut_off is not None:
        metadata["data_cut_off"] = cut_off
    trial = load_dated(tmp_path, "s5 2020-05-02 2020", metadata=metadata)
    assert write(trial.adverse_events.loc[0, "resolved"]) == end


def test_death_without_a_date_counts_from_enrolment(tmp_path: Path) -> None:
    """s1 and s2 died 140 and 35 days after enrolment: 2020-05-20, and 2020-02-02 plus 35 days."""
    adsl = (
        "STUDYID,USUBJID,TRT01P,ENRLDT,AGE,STAGE\n"
        "HAND,s1,L,2020-01-01,40,A\nHAND,s2,L,2020-02-02,50,A\nHAND,s3,H,2020-03-01,60,A\n"
    )
    adtte = "USUBJID,PARAMCD,AVAL,CNSR\n" + "".join(
        f"{subject},{code},{days},{censored}\n"
        for subject, days, censored in [("s1", 140, 0), ("s2", 35, 0), ("s3", 305, 1)]
        for code in ("PFS", "OS")
    )
    adex = "USUBJID,ASTDT,EXDOSE\ns1,2020-01-08,1\ns2,2020-02-02,1\ns3,2020-03-02,2\n"
    entries = [f"{subject} 2020-03-02 2020" for subject in ("s1", "s2", "s3")]
    trial = load_dated(tmp_path, *entries, adsl=adsl, adtte=adtte, adex=adex)
    ends = trial.adverse_events["resolved"].map(write).tolist()
    assert ends == ["2020-05-20", "2020-03-08", "2020-12-31"]


def test_entries_are_kept_as_received(tmp_path: Path) -> None:
    events = load_dated(tmp_path, "s1 2020-01-un 2020", "s1 2020-01-09 .").adverse_events
    assert events["ASTDT"].tolist() == ["2020-01-un", "2020-01-09"]
    assert events["AENDT"].tolist()[0] == "2020"
    assert events["AENDT"].isna().tolist() == [False, True]


def test_columns_that_are_not_there_impute_nothing(tmp_path: Path) -> None:
    lines = [",".join(line.split(",")[:4]) for line in ADAE.splitlines()]
    events = load_hand_made(tmp_path, adae="\n".join(lines)).adverse_events
    assert events[["onset", "resolved"]].isna().all(axis=None)
    assert set(events["onset_imputed"]) == set(events["resolved_imputed"]) == {""}


def test_imputation_takes_nothing_out_of_the_treatment_period(tmp_path: Path) -> None:
    """Without TRTEMFL, an event is treatment-emergent from the first infusion on: s1's of January is."""
    trial = load_dated(tmp_path, "s1 2020-01 .", "s1 2020-01 2020-01-06", "s1 2019 .", "s5 2020 2020-04")
    emergent = list_events(trial)
    assert list(emergent["USUBJID"] + " " + emergent["onset"].map(write)) == [
        "s1 2020-01-08",
        "s5 2020-04-02",
    ]


@pytest.mark.parametrize(
    ("onset", "end"),
    [
        ("2015-01-29", "2015-01"),
        ("2015-01-29", "2015"),
        ("2015-01-UN", "2015-01-01"),
        ("2015-02", "2015-02"),
        ("2015", "2015-03"),
        # S-01 died on 5 July.
        ("2015-07", ""),
        ("2015-07-05", "2015-07"),
        ("2015", "2015"),
    ],
)
def test_imputation_alone_is_no_problem(folder: Path, onset: str, end: str) -> None:
    edit_cell(folder, "ADAE", 2, "TRTEMFL", "")
    edit_cell(folder, "ADAE", 2, "ASTDT", onset)
    edit_cell(folder, "ADAE", 2, "AENDT", end)
    trial = load_trial(folder)
    assert trial.warnings == ()
    event = trial.adverse_events.loc[0]
    assert not event["resolved"] < event["onset"]
    assert not event["onset"] > pd.Timestamp("2015-07-05")
    assert not event["resolved"] > pd.Timestamp("2015-07-05")


@pytest.mark.parametrize(
    ("onset", "end", "column", "rule"),
    [
        ("2015-01-29", "2014", "AENDT", "must not be before ASTDT, 2015-01-29"),
        ("2015-02-01", "2015-01-UN", "AENDT", "must not be before ASTDT, 2015-02-01"),
        ("2015-02", "2015-01-31", "AENDT", "must not be before ASTDT, 2015-02"),
        ("2015-03-UN", "2015-02-UN", "AENDT", "must not be before ASTDT, 2015-03-UN"),
        ("2015-08-UN", "", "ASTDT", "must not be after the subject's death, 2015-07-05"),
        ("2016", "", "ASTDT", "must not be after the subject's death, 2015-07-05"),
    ],
)
def test_what_no_day_satisfies_is_a_problem(
    folder: Path, onset: str, end: str, column: str, rule: str
) -> None:
    edit_cell(folder, "ADAE", 2, "ASTDT", onset)
    edit_cell(folder, "ADAE", 2, "AENDT", end)
    value = onset if column == "ASTDT" else end
    assert problems_of(folder) == [Problem("ADAE", 2, column, value, rule)]


def test_onset_wholly_after_the_data_cut_off_is_a_problem(tmp_path: Path) -> None:
    """The cut-off is 2020-12-31; moved to 2020-12-28, it lies within December."""
    with pytest.raises(TrialDataError) as caught:
        load_dated(tmp_path / "after", "s5 2021-UN-UN .")
    rule = "must not be after the data cut-off, 2020-12-31"
    assert caught.value.problems == (Problem("ADAE", 2, "ASTDT", "2021-UN-UN", rule),)
    metadata = METADATA | {"data_cut_off": dt.date(2020, 12, 28)}
    load_dated(tmp_path / "within", "s5 2020-12 2020-12", metadata=metadata)


@pytest.mark.parametrize(
    ("onset", "end", "doubtful"),
    [
        ("2015-01", "", False),
        ("2015", "2015-01", False),
        ("2014-12", "", True),
        ("2015-01", "2015-01-14", True),
    ],
)
def test_treatment_emergent_before_treatment_only_if_it_must_be(
    folder: Path, onset: str, end: str, doubtful: bool
) -> None:
    edit_cell(folder, "ADAE", 2, "ASTDT", onset)
    edit_cell(folder, "ADAE", 2, "AENDT", end)
    if not doubtful:
        assert load_trial(folder).warnings == ()
        return
    with pytest.warns(
        TrialDataWarning, match=r"ADAE row 2 ASTDT: begins before the subject's first infusion"
    ):
        assert len(load_trial(folder).warnings) == 1


DAYS = [dt.date(2019, 11, 1) + dt.timedelta(days=at) for at in range(520)]
DAY = st.sampled_from(DAYS)
PART = st.sampled_from([4, 7, 10])


def list_allowed(entry: str) -> list[dt.date]:
    """Days of two years whose ISO date begins as the entry; every day where it is empty."""
    first, last = dt.date(2019, 1, 1), dt.date(2021, 12, 31)
    every = [first + dt.timedelta(days=at) for at in range((last - first).days + 1)]
    return [day for day in every if day.isoformat().startswith(entry)]


@given(onset=DAY, n_onset=PART, end=DAY, n_end=PART, infused=st.none() | DAY, last=st.none() | DAY)
def test_imputation_against_every_pair_of_days(
    onset: dt.date, n_onset: int, end: dt.date, n_end: int, infused: dt.date | None, last: dt.date | None
) -> None:
    entries = [onset.isoformat()[:n_onset], end.isoformat()[:n_end]]
    adae = pd.DataFrame([entries], columns=["ASTDT", "AENDT"])
    begins, ends = map(list_allowed, entries)
    begins = [day for day in begins if day <= max(ends)]
    ranges = list_date_ranges(adae).iloc[0]
    assert bool(ranges["onset_last"] < ranges["onset_first"]) == (not begins)
    if not begins:
        return
    begun = infused if infused in begins else min(begins)
    ends = [day for day in ends if day >= begun]
    over = max([day for day in ends if last is None or day <= last], default=min(ends))
    first_infusion, last_day = (pd.to_datetime(pd.Series([day])) for day in (infused, last))
    (found,) = impute_dates(adae, first_infusion, last_day).itertuples()
    assert (write(found.onset), write(found.resolved)) == (begun.isoformat(), over.isoformat())
    parts = {4: "month", 7: "day", 10: ""}
    assert (found.onset_imputed, found.resolved_imputed) == (parts[n_onset], parts[n_end])
