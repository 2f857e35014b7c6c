"""Onset, duration and infusions: by hand on the events of `hand_made`, and against curves one by one."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from generated import FEWER
from hand_made import ADAE, ADEX, ADSL, METADATA, UNFLAGGED, load_hand_made
from hypothesis import given
from made_events import EVENTS, replace_events

from nkhcc_helpers import safety
from nkhcc_helpers.safety import timing
from nkhcc_helpers.survival.summaries import estimate_median, estimate_survival_at
from nkhcc_helpers.trial.problems import TrialDataWarning

ROWS = ["L", "H", "All"]
HEADER = "USUBJID,AEDECOD,AETOXGR,ASTDT,AENDT,AEOUT"
DURATION = ["duration_median", "duration_lower", "duration_upper"]
SEEN = ["duration_minimum", "duration_maximum"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def summarize(folder, lines, **options):
    """Summary of the only term of these events."""
    trial = load_hand_made(
        folder, adae="\n".join([f"{HEADER},TRTEMFL", *(f"{line},Y" for line in lines)]) + "\n"
    )
    (row,) = timing.summarize_onset(trial, **options).to_dict("records")
    return row


def test_onset_and_duration(trial):
    onset = timing.summarize_onset(trial).set_index("term")
    assert list(onset.index) == ["Fever", "Rash", "Sepsis"]
    # Fevers begin 0, 1 and 8 days after an infusion and last 0, 2 and 1 days; one is undated.
    fever = onset.loc["Fever"]
    assert fever[["n_patients", "n_events", "n_ongoing", "n_unknown_end"]].tolist() == [3, 4, 0, 1]
    assert fever[["onset_median", "onset_minimum", "onset_maximum"]].tolist() == [1, 0, 8]
    assert fever[["duration_median", *SEEN]].tolist() == [1, 0, 2]
    assert fever["percent_within_one_day"] == pytest.approx(200 / 3)
    # Rash: 22 January to 1 February, not over when s1 died 109 days later.
    rash = onset.loc["Rash"]
    assert rash[["onset_median", "n_ongoing", "percent_within_one_day"]].tolist() == [10, 1, 0]
    assert rash[["duration_median", *SEEN]].isna().all()
    assert rash[["duration_lower", "duration_upper"]].tolist() == [0, np.inf]
    # Sepsis: 2 February to 7 March of a leap year; fatal on its first day, and so never resolved.
    sepsis = onset.loc["Sepsis"]
    assert sepsis[["onset_median", "n_ongoing", "n_fatal", "percent_within_one_day"]].tolist() == [
        34,
        0,
        1,
        0,
    ]
    assert sepsis[["duration_median", *SEEN]].isna().all()


def test_columns(trial):
    assert list(timing.summarize_onset(trial)) == [
        "term", "n_patients", "n_events", "onset_median", "onset_minimum", "onset_maximum", *DURATION,
        *SEEN, "n_ongoing", "n_fatal", "n_unknown_end", "n_imputed", "percent_within_one_day",
    ]  # fmt: skip


def test_an_event_that_did_not_end_makes_the_median_longer(tmp_path):
    ended = [f"s1,Fever,1,2020-01-0{day},2020-01-{day + lasts:02d}," for day, lasts in [(8, 1), (9, 3)]]
    # Of durations 1 and 3 the curve is at a half from 1 to 3.
    assert summarize(tmp_path / "ended", ended)["duration_median"] == 2
    ongoing = "s3,Fever,1,2020-03-02,,NOT RECOVERED/NOT RESOLVED"
    row = summarize(tmp_path / "ongoing", [*ended, ongoing])
    # Two of three have ended by day 3, the third is censored on day 304.
    assert row["duration_median"] == 3
    assert row["duration_maximum"] == 3
    assert row["percent_within_one_day"] == pytest.approx(100 / 3)


def test_a_censored_event_leaves_those_at_risk_when_observation_ends(tmp_path):
    # s2 dies on 7 March, 1 day after onset; the curve falls by 1/2 at day 0 and to 0 at day 2.
    lines = [
        "s2,Fever,1,2020-03-06,,NOT RECOVERED/NOT RESOLVED",
        "s1,Fever,1,2020-01-08,2020-01-08,",
        "s1,Fever,1,2020-01-10,2020-01-10,",
        "s1,Fever,1,2020-01-20,2020-01-22,",
    ]
    row = summarize(tmp_path, lines)
    assert row["duration_median"] == 1
    assert row["percent_within_one_day"] == 50
    assert [row["n_ongoing"], row["duration_maximum"]] == [1, 2]


def test_fatal_and_unresolved_events_are_not_resolved_within_a_day(tmp_path):
    resolved = [f"s3,Fever,1,2020-03-0{day},2020-03-0{day},RECOVERED/RESOLVED" for day in (2, 3)]
    assert summarize(tmp_path / "resolved", resolved)["percent_within_one_day"] == 100
    # Two of four resolve on their first day; s2's fatal one ends with death on its first day, and the one of
    # grade 5 says nothing of its outcome. Neither ever resolves: the curve stays at a half.
    fatal = ["s2,Fever,4,2020-03-07,2020-03-07,FATAL", "s2,Fever,5,2020-03-07,,"]
    row = summarize(tmp_path / "fatal", [*resolved, *fatal])
    assert [row["n_fatal"], row["n_ongoing"], row["n_unknown_end"]] == [2, 0, 0]
    assert row["percent_within_one_day"] == 50
    assert [row["duration_minimum"], row["duration_maximum"]] == [0, 0]
    # Not recovered when last followed, 4 days after onset: censored then, at risk on days 0 and 1.
    ongoing = "s5,Fever,1,2020-04-02,2020-04-06,NOT RECOVERED/NOT RESOLVED"
    row = summarize(tmp_path / "ongoing", [*resolved, ongoing])
    assert [row["n_fatal"], row["n_ongoing"], row["n_unknown_end"]] == [0, 1, 0]
    assert row["percent_within_one_day"] == pytest.approx(200 / 3)
    assert row["duration_maximum"] == 0


def test_one_fatal_event_alone_leaves_nothing_to_resolve(tmp_path):
    row = summarize(tmp_path, ["s2,Fever,5,2020-03-07,2020-03-07,FATAL"])
    assert [row["percent_within_one_day"], row["duration_lower"], row["duration_upper"]] == [0, 0, np.inf]
    assert np.isnan(row["duration_median"])


def test_an_event_whose_end_is_not_known_is_left_out_of_duration(tmp_path):
    lines = ["s1,Fever,1,2020-01-08,,RECOVERED/RESOLVED", "s3,Fever,1,2020-03-02,2020-03-06,"]
    row = summarize(tmp_path, lines)
    assert [row["n_events"], row["n_ongoing"], row["n_unknown_end"]] == [2, 0, 1]
    assert [row["duration_median"], row["percent_within_one_day"]] == [4, 0]


@pytest.mark.parametrize(
    ("outcome", "ongoing"),
    [
        ("RECOVERED/RESOLVED", 0),
        ("Resolved with sequelae", 0),
        ("NOT RECOVERED/NOT RESOLVED", 1),
        ("RECOVERING/RESOLVING", 1),
        ("Unresolved", 1),
        ("ONGOING", 1),
        ("NOT_RECOVERED", 1),
        ("UNKNOWN", 0),
        ("NOT EVALUABLE", 0),
        ("", 0),
    ],
)
def test_an_event_without_end_date_is_ongoing_only_if_the_outcome_says_so(tmp_path, outcome, ongoing):
    row = summarize(tmp_path, [f"s2,Fever,1,2020-02-03,,{outcome}"])
    assert [row["n_ongoing"], row["n_unknown_end"]] == [ongoing, 1 - ongoing]
    assert np.isnan(row["duration_median"])
    # An event that went on was not over within a day; of one with an unknown end nobody knows.
    assert row["percent_within_one_day"] == 0 if ongoing else np.isnan(row["percent_within_one_day"])


def test_nobody_followed_for_a_day_leaves_the_share_open(tmp_path):
    row = summarize(tmp_path, ["s2,Fever,1,2020-03-07,,NOT RECOVERED/NOT RESOLVED"])
    assert np.isnan(row["percent_within_one_day"])
    assert row["onset_median"] == 34


def test_onset_without_any_date_is_nan(tmp_path):
    row = summarize(tmp_path, ["s1,Fever,1,,,"])
    assert [row["n_events"], row["n_ongoing"], row["n_unknown_end"]] == [1, 0, 1]
    unknown = ["onset_median", "onset_minimum", "onset_maximum", *DURATION, *SEEN, "percent_within_one_day"]
    assert all(np.isnan(row[name]) for name in unknown)


def test_onset_of_related_events_alone(trial):
    onset = timing.summarize_onset(trial, related_only=True)
    # s1's two fevers and s2's; whether s5's was related is not known.
    assert onset[["term", "n_patients", "n_events"]].to_dict("records") == [
        {"term": "Fever", "n_patients": 2, "n_events": 3}
    ]


def test_events_before_the_first_infusion_have_a_duration_and_no_onset(trial):
    onset = timing.summarize_onset(trial, emergent_only=False).set_index("term")
    assert np.isnan(onset.loc["Cough", "onset_median"])
    assert onset.loc["Cough", ["n_events", "duration_median"]].tolist() == [1, 1]


def test_events_with_an_imputed_date_are_counted_once(trial):
    events = trial.adverse_events.assign(
        onset_imputed=["", "day", "", "", "", "", "", "month"], resolved_imputed=["day", "day", *[""] * 6]
    )
    onset = timing.summarize_onset(dataclasses.replace(trial, adverse_events=events))
    assert dict(zip(onset["term"], onset["n_imputed"], strict=True)) == {"Fever": 3, "Rash": 0, "Sepsis": 0}


def test_an_imputed_end_is_not_seen(trial):
    # Fevers of 0, 2 and 1 days; the end of the second was filled in.
    events = trial.adverse_events.assign(resolved_imputed=["", "day", *[""] * 6])
    onset = timing.summarize_onset(dataclasses.replace(trial, adverse_events=events))
    fever = onset.set_index("term").loc["Fever"]
    assert fever[["duration_median", *SEEN, "n_imputed"]].tolist() == [1, 0, 1, 1]


def test_no_events_and_none_collected_have_no_rows(trial, tmp_path):
    empty = load_hand_made(tmp_path / "empty", adae=ADAE.splitlines()[0] + "\n")
    metadata = METADATA | {"adverse_events": {"collected": False}}
    unknown = load_hand_made(tmp_path / "unknown", metadata=metadata, adae=None)
    for nothing in (empty, unknown):
        onset = timing.summarize_onset(nothing)
        assert onset.empty
        assert list(onset) == list(timing.summarize_onset(trial))


def test_a_level_that_is_none_is_refused(trial):
    with pytest.raises(ValueError, match="conf_level"):
        timing.summarize_onset(trial, conf_level=95)


NEVER = 10**6
"""Days, more than any event was followed: in a curve of its own, a fatal event stays at risk so long."""


def list_durations(trial, rows, term):
    """Days each event of a term lasted, and whether it was seen to end then."""
    last = {"s1": "2020-05-20", "s2": "2020-03-07", "s3": "2020-12-31", "s5": "2020-12-25"}
    for patient, name, onset, days, outcome in rows:
        if name != term or patient not in last or (onset is None and outcome != "FATAL"):
            continue
        if outcome == "FATAL":
            yield NEVER, False
        elif days is not None:
            yield days, not outcome.startswith("NOT")
        elif outcome.startswith("NOT"):
            yield max((pd.Timestamp(last[patient]) - pd.Timestamp(onset)).days, 0), False


@pytest.mark.parametrize("conf_level", [0.95, 0.5])
@FEWER
@given(rows=EVENTS)
def test_all_curves_at_once_agree_with_one_by_one(trial, conf_level, rows):
    onset = timing.summarize_onset(replace_events(trial, rows), conf_level=conf_level)
    for row in onset.to_dict("records"):
        known = list(list_durations(trial, rows, row["term"]))
        assert len(known) <= row["n_events"]
        if not known:
            assert all(np.isnan(row[name]) for name in (*DURATION, "percent_within_one_day"))
            continue
        time, event = map(np.array, zip(*known, strict=True))
        # What never ends gives no last time up to which a curve flat at one half has a middle.
        convention = "first" if time.max() == NEVER and not event[time == NEVER].any() else "midpoint"
        median = estimate_median(time, event, conf_level=conf_level)
        if median.open_ended:
            median = estimate_median(time, event, conf_level=conf_level, convention=convention)
        limits = [np.inf if limit == NEVER else limit for limit in (median.ci_lower, median.ci_upper)]
        expected = [median.estimate, *limits]
        expected.append(100 * (1 - estimate_survival_at(time, event, at=[1.0])["survival"].iloc[0]))
        np.testing.assert_allclose([row[name] for name in (*DURATION, "percent_within_one_day")], expected)
        ends = time[event] if event.any() else [np.nan]
        assert [row[name] for name in SEEN] == pytest.approx([min(ends), max(ends)], nan_ok=True)


def test_terms_of_more_patients_stand_before_terms_of_more_events(tmp_path):
    lines = [f"s1,Rash,1,2020-01-{day},," for day in ("09", 10, 11)]
    lines += ["s1,Fever,1,2020-01-09,,", "s3,Fever,1,2020-03-09,,"]
    trial = load_hand_made(tmp_path, adae="\n".join([HEADER, *lines]) + "\n")
    assert list(timing.summarize_onset(trial)["term"]) == ["Fever", "Rash"]


def test_terms_stand_as_in_the_table_of_terms(any_trial):
    counts = safety.count_by_term(any_trial)
    terms = safety.list_terms(counts).query("level == @safety.TERM")["term"].unique()
    onset = timing.summarize_onset(any_trial)
    assert list(onset["term"]) == list(terms)
    assert onset["n_events"].sum() == len(safety.list_events(any_trial))


def test_events_by_infusion(trial):
    counts = timing.count_by_infusion(trial)
    assert list(counts) == ["infusion", "group", "n_patients", "n_received", "n_events", "percent"]
    assert list(counts["group"]) == ROWS * 4
    # s2's undated fever has the last row; s1's cough of before the first infusion belongs to none.
    assert list(counts["infusion"])[:9] == [1] * 3 + [2] * 3 + [3] * 3
    assert counts["infusion"].isna().tolist() == [False] * 9 + [True] * 3
    last, counts = counts.iloc[9:], counts.iloc[:9]
    assert list(last["group"]) == ROWS
    assert [list(last["n_patients"]), list(last["n_events"])] == [[1, 0, 1]] * 2
    assert last[["n_received", "percent"]].isna().all(axis=None)
    # After the first: s1's first fever, s2's sepsis, s5's fever; after the second: s1's other two.
    assert list(counts["n_patients"]) == [2, 1, 3, 1, 0, 1, 0, 0, 0]
    assert list(counts["n_events"]) == [2, 1, 3, 2, 0, 2, 0, 0, 0]
    # s1 and s2; s3 and s5; s4 was never treated.
    assert list(counts["n_received"]) == [2, 2, 4, 1, 2, 3, 0, 1, 1]
    percent = [100, 50, 75, 100, 0, 100 / 3, np.nan, 0, 0]
    assert list(counts["percent"]) == pytest.approx(percent, nan_ok=True)


def test_empty_infusions_of_the_untreated_are_not_received(tmp_path):
    adsl = "\n".join(f"{line},{'N' if 's5' in line else ''}" for line in ADSL.splitlines())
    adsl = adsl.replace("STAGE,", "STAGE,SAFFL")
    adex = ADEX.replace("s5,2020-04-02,2", "s5,2020-04-02,0").replace("s5,2020-04-16,2", "s5,2020-04-16,0")
    with pytest.warns(TrialDataWarning, match="no infusion was given"):
        counts = timing.count_by_infusion(load_hand_made(tmp_path, adae=UNFLAGGED, adsl=adsl, adex=adex))
    assert list(counts["n_received"])[:9] == [2, 1, 3, 1, 1, 2, 0, 1, 1]


def test_undated_events_do_not_become_none(tmp_path):
    lines = ["s1,Fever,1,,,", "s1,Fever,1,,,", "s5,Fever,1,2020-04-10,,"]
    trial = load_hand_made(tmp_path, adae="\n".join([HEADER, *lines]) + "\n")
    counts = timing.count_by_infusion(trial).set_index("group")
    assert counts.loc["L", "n_patients"].isna().tolist() == [True] * 3 + [False]
    assert counts.loc["L", "n_events"].tolist()[3] == 2
    assert counts.loc["H", "n_patients"].tolist() == [1, 0, 0, 0]
    assert counts.loc["All", "n_patients"].tolist() == [1, 0, 0, 1]


def test_an_event_on_the_day_of_an_infusion_comes_after_it(tmp_path):
    lines = ["s1,Fever,1,2020-01-21,,", "s1,Fever,1,2020-01-22,,"]
    trial = load_hand_made(tmp_path, adae="\n".join([HEADER, *lines]) + "\n")
    counts = timing.count_by_infusion(trial).query("group == 'L'")
    assert list(counts["n_events"]) == [1, 1, 0]


def test_related_events_by_infusion(trial):
    counts = timing.count_by_infusion(trial, related_only=True).query("group == 'All'")
    assert list(counts["n_events"]) == [1, 1, 0, 1]


def test_events_by_infusion_are_not_known_without_a_record(tmp_path):
    metadata = METADATA | {"adverse_events": {"collected": False}}
    none = load_hand_made(tmp_path / "none", metadata=metadata, adae=None)
    unrelated = load_hand_made(tmp_path / "unrelated", adae="\n".join([HEADER, "s1,Fever,1,2020-01-09,,"]))
    for trial, related_only in [(none, False), (unrelated, True)]:
        counts = timing.count_by_infusion(trial, related_only=related_only)
        assert counts[["n_patients", "n_events", "percent"]].isna().all(axis=None)
        assert list(counts["n_received"]) == [2, 2, 4, 1, 2, 3, 0, 1, 1]
    empty = load_hand_made(tmp_path / "empty", adae=HEADER + "\n")
    assert list(timing.count_by_infusion(empty)["n_events"]) == [0] * 9


def test_nobody_treated_has_no_infusions(trial):
    nobody = dataclasses.replace(trial, infusions=trial.infusions.iloc[:0])
    assert timing.count_by_infusion(nobody).empty
    assert timing.summarize_onset(nobody).empty


def test_every_trial_adds_up_over_infusions(any_trial):
    counts = timing.count_by_infusion(any_trial)
    together = counts[counts["group"] == "All"].set_index("infusion")
    groups = counts[counts["group"] != "All"].groupby("infusion")
    for name in ("n_patients", "n_received", "n_events"):
        pd.testing.assert_series_equal(
            groups[name].sum(min_count=1), together.loc[together.index.notna(), name], check_dtype=False
        )
    if any_trial.metadata.adverse_events.collected:
        assert together["n_events"].sum() == len(safety.list_events(any_trial))
