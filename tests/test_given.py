"""What was given and for how long, worked out by hand on trials of a few patients.

`SCHEDULE`: L plans 2 infusions of dose 1, H 2 of dose 2. P1's first row and both of P2 have dose 0; P1's
event is on day 3, before anything was given. `write_intervals`: a row a patient, 1 January to 1 June 2020, an
event in P on 10 January and one in L on 20 April; all but P1, who dies on day 200, are discontinued later.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hand_made import METADATA, load_hand_made
from oracles.safety_comparison import list_disagreements

from nkhcc_helpers import cohort, cox, safety
from nkhcc_helpers.report import figures, tables
from nkhcc_helpers.trial.metadata import count_noun, pluralize
from nkhcc_helpers.trial.problems import TrialDataError, TrialDataWarning

OS = [{"code": "OS", "label": "Overall survival", "role": "overall_survival"}]
ADSL = "STUDYID,USUBJID,TRT01P,ENRLDT\n" + "".join(
    f"HAND,{one},{arm},2020-01-01\n" for one, arm in [("P1", "L"), ("P2", "L"), ("P3", "L"), ("P4", "H")]
)
ADTTE = "USUBJID,PARAMCD,AVAL,CNSR\nP1,OS,40,0\nP2,OS,60,0\nP3,OS,90,0\nP4,OS,120,1\n"
ADEX = """\
USUBJID,ASTDT,EXDOSE
P1,2020-01-01,0
P1,2020-01-15,1
P2,2020-01-01,0
P2,2020-01-15,0
P3,2020-01-01,1
P3,2020-01-15,1
P4,2020-01-01,2
P4,2020-01-15,2
"""
ADAE = "USUBJID,AEDECOD,AETOXGR,AEREL,ASTDT\nP1,Fever,1,Y,2020-01-04\n"
SCHEDULE = {"adsl": ADSL, "adtte": ADTTE, "adex": ADEX, "adae": ADAE}
PATIENTS = ["P1", "P2", "P3", "P4", "L1", "L2", "L3", "L4"]


def plan(dose, other, *, infusions=2, **changes):
    arms = [
        {"code": code, "label": code, "order": order, "infusions": infusions, "dose": each}
        for order, (code, each) in enumerate([("P" if infusions == 1 else "L", dose), other], 1)
    ]
    kept = {"arms": arms, "endpoints": OS, "baseline": [], "data_cut_off": None}
    return METADATA | kept | {"display_time_unit": "months"} | changes


def load_schedule(folder, **changes):
    with pytest.warns(TrialDataWarning, match="ADEX rows 2, 4, 5 EXDOSE: is 0: no infusion was given"):
        return load_hand_made(folder, metadata=plan(1.0, ("H", 2.0)), **SCHEDULE | changes)


def write_intervals(dose, reasons=None, status="DISCONTINUED"):
    reasons = dict.fromkeys(PATIENTS, "ADVERSE EVENT") | (reasons or {})
    adsl = "STUDYID,USUBJID,TRT01P,TRTSDT,EOSSTT,DCSREAS\n"
    adsl += "".join(f"HAND,{one},{one[0]},2020-01-01,{status},{reasons[one]}\n" for one in PATIENTS)
    adtte = "USUBJID,PARAMCD,AVAL,CNSR,STARTDT\n"
    adtte += "".join(f"{one},OS,{200 + i},{int(i > 0)},2020-01-01\n" for i, one in enumerate(PATIENTS))
    adex = "USUBJID,ASTDT,AENDT,EXDOSE\n"
    adex += "".join(f"{one},2020-01-01,2020-06-01,{dose if one[0] == 'P' else 10}\n" for one in PATIENTS)
    adae = "USUBJID,AEDECOD,AETOXGR,AEREL,ASTDT\nP1,Rash,3,Y,2020-01-10\nL1,Rash,3,Y,2020-04-20\n"
    return {"adsl": adsl, "adtte": adtte, "adex": adex, "adae": adae}


def load_intervals(folder, dose=0, word="infusion", cut_off=None, **changes):
    metadata = plan(float(dose), ("L", 10.0), infusions=1, treatment_word=word, data_cut_off=cut_off)
    said = f"ADEX rows 2, .* and 3 more AENDT: spans more than one day; each row is counted as one {word}"
    with pytest.warns(TrialDataWarning, match=said):
        return load_hand_made(folder, metadata=metadata, **write_intervals(dose, **changes))


def check_against_oracle(trial):
    made = {"by_term": safety.count_by_term(trial), "rates": safety.estimate_rates(trial)}
    made |= {"onset": safety.summarize_onset(trial), "by_infusion": safety.count_by_infusion(trial)}
    definition = safety.Definition()
    made["dose_limiting"] = safety.count_dose_limiting(trial, definition)
    wrong, n_compared = list_disagreements(trial, made, definition=definition)
    assert wrong == []
    assert n_compared > 20


def by_group(frame, *columns):
    return frame.set_index("group")[list(columns)].astype(float).to_numpy().tolist()


def test_rows_of_dose_0_are_no_infusions(tmp_path):
    trial = load_schedule(tmp_path)
    patients = trial.subjects.set_index("USUBJID")
    assert patients.loc["P1", "first_infusion"] == pd.Timestamp("2020-01-15")
    assert patients["n_infusions"].tolist() == [1, 0, 2, 2]
    assert patients["treated"].tolist() == [True, False, True, True]
    assert patients["last_infusion"].isna().tolist() == [False, True, False, False]
    assert trial.adverse_events["emergent"].tolist() == [False]
    disposition = cohort.count_disposition(trial).set_index("group")
    assert disposition.loc["L", ["n_treated", "n_completed", "n_fewer"]].tolist() == [2, 1, 1]
    assert cohort.summarize_exposure(trial)["received_minimum"].tolist() == [0, 2, 0]
    intervals = cox.list_infusion_intervals(trial, "OS")
    assert intervals.groupby("USUBJID")["infusions"].max().to_dict() == {"P1": 1, "P2": 0, "P3": 2, "P4": 2}
    first = intervals[intervals["USUBJID"] == "P1"]
    assert first[["start", "stop", "infusions"]].to_numpy().tolist() == [[0, 14, 0], [14, 40, 1]]
    assert cohort.list_infusion_times(trial)["USUBJID"].tolist() == ["P1", "P3", "P3", "P4", "P4"]
    check_against_oracle(trial)


def test_doubts_go_by_what_was_given(tmp_path):
    flags = {"P1": "Y", "P2": "Y", "P3": "Y", "P4": "Y"}
    adsl = "\n".join(f"{line},{flags.get(line.split(',')[1], 'SAFFL')}" for line in ADSL.splitlines())
    with pytest.warns(TrialDataWarning, match="ADSL row 3 SAFFL: says treated, but ADEX has no infusion"):
        trial = load_schedule(tmp_path / "all", adsl=adsl + "\n")
    assert trial.subjects["treated"].all()
    wrong = adsl.replace("P1,L,2020-01-01,Y", "P1,L,2020-01-01,N").replace(
        "P2,L,2020-01-01,Y", "P2,L,2020-01-01,N"
    )
    with pytest.raises(TrialDataError) as refused:
        load_hand_made(tmp_path / "none", metadata=plan(1.0, ("H", 2.0)), **SCHEDULE | {"adsl": wrong + "\n"})
    assert [each.rule for each in refused.value.problems] == [
        "says untreated, but ADEX has 1 infusion of the subject"
    ]


@pytest.mark.parametrize("dose", [0, 5])
def test_an_arm_without_dose_is_exposed(tmp_path, dose):
    trial = load_intervals(tmp_path, dose)
    limiting = safety.count_dose_limiting(trial)
    assert by_group(limiting, "n_evaluable", "n_patients") == [[4, 1], [4, 0], [8, 1]]
    assert limiting["percent"].tolist() == [25, 0, 12.5]
    assert trial.subjects["n_infusions"].tolist() == [1] * 8
    exposure = cohort.summarize_exposure(trial)
    assert exposure["received_dose_median"].tolist()[:2] == [dose, 10]
    assert not any("EXDOSE" in warning for warning in trial.warnings)


def test_who_was_moved_to_an_arm_without_dose_is_exposed(tmp_path):
    # Planned for the dose of H, and given what the arm without a dose has: nothing, once.
    parts = {**SCHEDULE, "adex": ADEX.replace("P4,2020-01-15,2", "P4,2020-01-15,0")}
    parts["adsl"] = "\n".join(
        line + {"P4": ",L", "STUDYID": ",TRT01A"}.get(line.split(",")[1 if "HAND" in line else 0], ",")
        for line in ADSL.splitlines()
    )
    trial = load_hand_made(tmp_path, metadata=plan(0.0, ("H", 2.0)), **parts)
    assert trial.subjects["n_infusions"].tolist() == [2, 2, 2, 2]


def test_ends_of_exposure_are_honoured(tmp_path):
    trial = load_intervals(tmp_path)
    assert (trial.infusions["end"] == pd.Timestamp("2020-06-01")).all()
    assert (trial.subjects["last_exposure"] == pd.Timestamp("2020-06-01")).all()
    assert (trial.subjects["last_infusion"] == pd.Timestamp("2020-01-01")).all()
    # To 1 July, both days counted, 183 days; P1's event is on the 10th day and L1's on the 111th.
    assert safety.list_time_at_risk(trial)["days"].tolist() == [183] * 8
    assert safety.list_time_at_risk(trial, window_days=0)["days"].tolist() == [153] * 8
    rates = safety.estimate_rates(trial).iloc[:3]
    assert by_group(rates, "n_patients", "n_outside") == [[1, 0], [1, 0], [2, 0]]
    days = [10 + 3 * 183, 111 + 3 * 183]
    assert rates["time_at_risk"].tolist() == pytest.approx([each / 30.4375 for each in (*days, sum(days))])
    check_against_oracle(trial)
    assert safety.list_timelines(trial).infusions["end_day"].tolist() == [152] * 8
    assert cohort.list_infusion_times(trial)["end"].tolist() == pytest.approx([152 / 30.4375] * 8)


def test_exposure_that_outlasts_every_other_date_is_observed(tmp_path):
    parts = write_intervals(0)
    parts["adex"] = parts["adex"].replace("L4,2020-01-01,2020-06-01", "L4,2020-01-01,2020-12-01")
    metadata = plan(0.0, ("L", 10.0), infusions=1)
    with pytest.warns(TrialDataWarning, match="spans more than one day"):
        trial = load_hand_made(tmp_path / "after", metadata=metadata, **parts)
    assert trial.subjects["observed_until"].iloc[-1] == pd.Timestamp("2020-12-01")
    parts["adex"] = parts["adex"].replace("P1,2020-01-01,2020-06-01", "P1,2020-01-01,2020-08-01")
    parts["adsl"] = parts["adsl"].replace("DCSREAS", "DCSREAS,DTHDT").replace("EVENT\n", "EVENT,\n")
    parts["adsl"] = parts["adsl"].replace("EVENT,\n", "EVENT,2020-07-19\n", 1)
    with pytest.raises(TrialDataError, match=r"AENDT.*must not be after the subject's death"):
        load_hand_made(tmp_path / "dead", metadata=metadata, **parts)


def test_discontinued_is_not_lost(tmp_path):
    counts = cohort.count_disposition(load_intervals(tmp_path))
    assert list(counts)[-1] == "discontinued: adverse event"
    assert by_group(counts, *list(counts)[-4:]) == [[1, 0, 0, 3], [0, 0, 0, 4], [1, 0, 0, 7]]
    assert (counts.loc[:, "n_died":].sum(axis=1) == counts["n_enrolled"]).all()


def test_each_reason_for_discontinuation(tmp_path):
    reasons = {"P2": "Lost to Follow-up", "L1": "Withdrawal by subject", "L2": "", "L3": "LOST TO FOLLOW-UP"}
    trial = load_intervals(tmp_path, reasons=reasons)
    counts = cohort.count_disposition(trial).set_index("group")
    assert counts.loc["P", ["n_died", "n_alive", "n_lost"]].tolist() == [1, 0, 1]
    # Without a reason L2 may be lost or not, so that nobody knows how many of L are.
    assert counts["n_lost"].isna().tolist() == [False, True, True]
    assert list(counts)[-3:] == [
        "discontinued: adverse event",
        "discontinued: withdrawal by subject",
        "discontinued: no reason given",
    ]
    assert counts.loc["L"].iloc[-3:].tolist() == [1, 1, 1]
    courses = cohort.list_courses(trial).set_index("USUBJID")
    assert sorted(courses.index[courses["lost"]]) == ["L3", "P2"]
    assert sorted(courses.index[courses["discontinued"]]) == ["L1", "L2", "L4", "P3", "P4"]


def test_last_contact_at_the_cut_off_is_alive_whatever_ended_treatment(tmp_path):
    trial = load_intervals(tmp_path, cut_off=pd.Timestamp("2020-07-26").date())
    counts = cohort.count_disposition(trial, grace_days=2)
    assert by_group(counts, *list(counts)[-4:]) == [[1, 0, 0, 3], [0, 3, 0, 1], [1, 3, 0, 4]]


def test_an_empty_status_says_nothing(tmp_path):
    trial = load_intervals(tmp_path, status="", reasons=dict.fromkeys(PATIENTS, ""))
    counts = cohort.count_disposition(trial)
    assert by_group(counts, "n_died", "n_alive") == [[1, 3], [0, 4], [1, 7]]
    assert counts["n_lost"].isna().all()
    assert not cohort.list_courses(trial)["lost"].any()
    # What is said of one leaves the others unknown, group by group.
    one = load_intervals(
        tmp_path / "one", status="", reasons=dict.fromkeys(PATIENTS[2:], "") | {"P2": "PROGRESSION"}
    )
    assert cohort.count_disposition(one)["n_lost"].isna().tolist() == [True, True, True]


def test_one_group_has_no_comparison(tmp_path):
    metadata = plan(1.0, ("H", 2.0))
    metadata = metadata | {"arms": metadata["arms"][:1]}
    parts = {
        name: "".join(f"{line}\n" for line in text.splitlines() if "P4" not in line)
        for name, text in SCHEDULE.items()
    }
    with pytest.warns(TrialDataWarning, match="no infusion was given"):
        trial = load_hand_made(tmp_path, metadata=metadata, **parts)
    counts = safety.count_adverse_events(trial)
    differences = safety.estimate_differences(counts, "L")
    assert differences.empty
    assert "needs two groups" in tables.format_result(differences, trial).as_raw_html()
    relation = safety.compare_groups(trial)
    assert relation[["p_trend", "p_groups", "trend_smallest", "groups_smallest"]].isna().all(axis=None)
    assert "needs two groups" in tables.format_result(relation, trial).as_raw_html()
    assert safety.compare_groups(trial, scores="dose")["p_trend"].isna().all()
    assert len(safety.estimate_first_event(trial)["group"].unique()) == 2
    axes = figures.plot_shares(safety.estimate_shares(counts), trial.group_labels, differences)
    assert len(axes.figure.axes) == 1


def test_plurals():
    words = ["infusion", "patch", "dose", "therapy", "day", "box", "Infusion", "bus"]
    plurals = ["infusions", "patches", "doses", "therapies", "days", "boxes", "Infusions", "buses"]
    assert [pluralize(word) for word in words] == plurals
    assert [count_noun(n, "patch") for n in (0, 1, 2)] == ["0 patches", "1 patch", "2 patches"]


def test_tables_and_figures_speak_of_what_was_given(tmp_path):
    trial = load_intervals(tmp_path, word="patch")
    results = [
        cohort.count_disposition(trial),
        cohort.summarize_exposure(trial),
        safety.estimate_rates(trial),
        safety.summarize_onset(trial),
        safety.count_by_infusion(trial),
        safety.count_dose_limiting(trial),
        safety.list_adverse_events(trial, which="all"),
    ]
    for result in results:
        shown = tables.format_result(result, trial).as_raw_html().casefold()
        assert "patch" in shown
        assert "infus" not in shown
    assert "Received all planned patches" in tables.format_result(results[0], trial).as_raw_html()
    labels, courses = trial.group_labels, cohort.list_courses(trial)
    given = cohort.list_infusion_times(trial)
    drawn = [
        figures.plot_swimmer(courses, given, labels, trial.unit, word="patch"),
        figures.plot_timelines(safety.list_timelines(trial), labels, word="patch"),
        figures.plot_first_event(safety.estimate_first_event(trial), labels, "days", word="patch"),
        figures.plot_onset(safety.summarize_onset(trial), word="patch"),
    ]
    for axes in drawn:
        texts = " ".join(
            text.get_text() for text in axes.figure.findobj(lambda each: hasattr(each, "get_text"))
        )
        assert "atch" in texts
        assert "nfus" not in texts
    legends = [text.get_text() for text in drawn[0].figure.legends[0].get_texts()]
    assert legends[:2] == ["Patch", "Patch, to its end"]
    assert legends[-1] == "Discontinued"


def test_a_trial_made_by_hand_may_date_infusions_by_their_start(tmp_path):
    trial = load_intervals(tmp_path)
    without = dataclasses.replace(trial, infusions=trial.infusions.drop(columns="end"))
    assert (without.subjects["last_exposure"] == pd.Timestamp("2020-01-01")).all()


@pytest.mark.parametrize("seed", range(4))
def test_tables_of_random_lengths_of_treatment_are_those_of_a_loop(plain_trial, seed):
    days = np.random.default_rng(seed).choice([0, 1, 20, 90], len(plain_trial.infusions))
    ends = plain_trial.infusions["date"] + pd.to_timedelta(days, unit="D")
    trial = dataclasses.replace(plain_trial, infusions=plain_trial.infusions.assign(end=ends))
    check_against_oracle(trial)
    longest = ends.groupby(trial.infusions["USUBJID"]).max()
    known = trial.subjects.set_index("USUBJID")["last_exposure"].dropna()
    assert (known == longest.reindex(known.index)).all()


@pytest.mark.parametrize(
    ("onset", "emergent"),
    [
        ("2019-12-31", False),
        ("2020-01-01", True),
        ("2020-07-01", True),
        ("2020-07-02", False),
        ("2020-07-20", False),
        ("", True),
    ],
)
@pytest.mark.parametrize("dose", [0, 5])
def test_treatment_emergent_until_30_days_after_the_last_exposure(tmp_path, dose, onset, emergent):
    """Each patient is exposed from 1 January to 1 June."""
    parts = write_intervals(dose) | {"adae": f"USUBJID,AEDECOD,AETOXGR,ASTDT\nP1,Rash,3,{onset}\n"}
    metadata = plan(float(dose), ("L", 10.0), infusions=1, data_cut_off=None)
    with pytest.warns(TrialDataWarning, match="spans more than one day"):
        trial = load_hand_made(tmp_path, metadata=metadata, **parts)
    assert trial.adverse_events["emergent"].tolist() == [emergent]
    assert len(safety.list_events(trial)) == emergent
