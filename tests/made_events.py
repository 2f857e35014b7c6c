"""Adverse events made up at random, for the trial of `hand_made`."""

from __future__ import annotations

import dataclasses

import pandas as pd
from hypothesis import strategies as st

DAYS = st.dates(pd.Timestamp("2019-12-25").date(), pd.Timestamp("2020-08-31").date())
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s3", "s4", "s5"]),
        st.sampled_from(["Fever", "Rash", "Cough"]),
        st.one_of(st.none(), DAYS),
        st.one_of(st.none(), st.integers(0, 40)),
        st.sampled_from(["", "RECOVERED/RESOLVED", "NOT RECOVERED/NOT RESOLVED", "FATAL"]),
    ),
    max_size=25,
)
"""Patient, term, onset, days until the end (None: no end date), outcome."""


def replace_events(trial, rows):
    """Return the trial with these events, every one flagged as treatment-emergent."""
    names = ["USUBJID", "term", "onset", "days", "outcome"]
    events = pd.DataFrame(rows, columns=names).astype({"USUBJID": "str", "term": "str", "outcome": "str"})
    group_of = trial.subjects.set_index("USUBJID")["group"].astype("str")
    missing = pd.Series(pd.NA, index=events.index)
    onset = pd.to_datetime(events["onset"]).astype("datetime64[ns]")
    events = events.drop(columns="days").assign(
        group=pd.Categorical(events["USUBJID"].map(group_of), trial.groups, ordered=True),
        organ_class="Body",
        grade=missing.astype("Int64"),
        related=missing.astype("boolean"),
        serious=missing.astype("boolean"),
        onset=onset,
        resolved=onset + pd.to_timedelta(events["days"].astype(float), unit="D"),
        action="",
        onset_imputed="",
        resolved_imputed="",
        TRTEMFL="Y",
    )
    return dataclasses.replace(trial, adverse_events=events)
