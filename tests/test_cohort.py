"""Cohort: every answer is worked out by hand from the five patients of `hand_made`."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hand_made import ADEX, ADSL, ADTTE, METADATA, UNFLAGGED, load_hand_made

from nkhcc_helpers import cohort
from nkhcc_helpers.trial.problems import TrialDataWarning

ROWS = ["L", "H", "All"]


def rows_of(frame, *, by="group"):
    """Values of each row, by group."""
    assert frame[by].astype(str).is_unique
    return {
        key: list(row)
        for key, row in zip(frame[by].astype(str), frame.drop(columns=by).to_numpy(), strict=True)
    }


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def test_disposition_counts_each_stage(trial):
    counts = cohort.count_disposition(trial)
    assert list(counts) == [
        "group", "n_enrolled", "n_treated", "n_completed", "n_fewer",
        "n_progressed", "n_died", "n_alive", "n_lost",
    ]  # fmt: skip
    assert list(counts["group"]) == ROWS
    assert rows_of(counts) == {
        "L": [2, 2, 1, 1, 1, 2, 0, 0],
        "H": [3, 2, 1, 1, 1, 0, 2, 1],
        "All": [5, 4, 2, 2, 2, 2, 2, 1],
    }


def test_last_contact_before_the_grace_is_lost(trial):
    # s5 was last seen 6 days before the cut-off.
    assert list(cohort.count_disposition(trial, grace_days=6)["n_lost"]) == [0, 1, 1]
    assert list(cohort.count_disposition(trial, grace_days=5)["n_lost"]) == [0, 2, 2]


def test_contact_date_comes_from_adt_when_there(tmp_path):
    adtte = ADTTE.replace("STARTDT\n", "STARTDT,ADT\n").replace("2020-04-01\n", "2020-04-01,\n")
    adtte = adtte.replace("-01-01\n", "-01-01,\n").replace("-02-01\n", "-02-01,\n")
    adtte = adtte.replace("-03-01\n", "-03-01,2020-12-01\n")
    # A time that its own two dates contradict is refused, so s3's start stands in ADSL alone.
    adtte, adsl = adtte.replace(",2020-03-01,", ",,"), with_column(ADSL, "ENRLDT", {"s3": "2020-03-01"})
    counts = cohort.count_disposition(load_hand_made(tmp_path, adtte=adtte, adsl=adsl))
    # s3's time reaches the cut-off, but its date of 1 December does not; s5 has no date and keeps its time.
    assert list(counts["n_alive"]) == [0, 1, 1]
    assert list(counts["n_lost"]) == [0, 2, 2]


def with_column(table, name, values):
    lines = table.splitlines()
    added = [name, *(values.get(line.split(",")[1 if table == ADSL else 0], "") for line in lines[1:])]
    return "".join(f"{line},{value}\n" for line, value in zip(lines, added, strict=True))


def test_eosstt_rescues_the_early_censored(tmp_path):
    adsl = with_column(ADSL, "EOSSTT", {"s4": "Completed", "s1": "ONGOING"})
    counts = cohort.count_disposition(load_hand_made(tmp_path, adsl=adsl))
    assert rows_of(counts)["L"][-3:] == [2, 0, 0]
    assert rows_of(counts)["H"][-3:] == [0, 3, 0]


def test_eosstt_alone_tells_alive_from_lost(tmp_path):
    adsl = with_column(ADSL, "EOSSTT", {"s3": "ONGOING", "s4": "DISCONTINUED"})
    metadata = METADATA | {"data_cut_off": None}
    counts = cohort.count_disposition(load_hand_made(tmp_path, adsl=adsl, metadata=metadata))
    # s5's cell is empty and says nothing; s4 may be lost or not.
    assert list(counts)[-1] == "discontinued: no reason given"
    assert rows_of(counts)["H"][-4:] == [0, 2, pd.NA, 1]
    assert rows_of(counts)["L"][-4:] == [2, 0, 0, 0]


@pytest.mark.parametrize(
    ("reason", "n_lost"),
    [("LOST TO FOLLOW UP", 1), ("LTFU", 1), ("not lost to follow-up", 0), ("Never lost to follow-up", 0)],
)
def test_lost_only_where_it_says_so(tmp_path, reason, n_lost):
    adsl = with_column(ADSL, "DCSREAS", {"s4": reason})
    counts = cohort.count_disposition(load_hand_made(tmp_path, adsl=adsl))
    assert counts["n_lost"].iloc[-1] == n_lost


def test_the_reason_of_censoring_says_who_is_lost(tmp_path):
    reasons = {"s4": "Lost to follow up", "s3": "Alive", "s5": "Alive"}
    adtte = with_column(ADTTE, "CNSDTDSC", reasons)
    metadata = METADATA | {"data_cut_off": None}
    counts = cohort.count_disposition(load_hand_made(tmp_path / "all", adtte=adtte, metadata=metadata))
    assert rows_of(counts)["H"][-2:] == [2, 1]
    adtte = with_column(ADTTE, "CNSDTDSC", {"s4": "Lost to follow up"})
    counts = cohort.count_disposition(load_hand_made(tmp_path / "one", adtte=adtte, metadata=metadata))
    assert rows_of(counts)["H"][-2:] == [2, pd.NA]


@pytest.mark.parametrize(("reason", "warns"), [("Death", True), ("DIED", True), ("no death", False)])
def test_a_death_in_the_reason_alone_is_doubted(tmp_path, reason, warns):
    parts = {"adsl": with_column(ADSL, "DCSREAS", {"s4": reason, "s1": "DEATH"})}
    if warns:
        with pytest.warns(TrialDataWarning, match="ADSL row 5 DCSREAS: tells of a death, but OS is censored"):
            load_hand_made(tmp_path, **parts)
    else:
        assert load_hand_made(tmp_path, **parts).warnings == ()


def test_lost_is_unknown_without_cut_off_and_eosstt(tmp_path):
    counts = cohort.count_disposition(load_hand_made(tmp_path, metadata=METADATA | {"data_cut_off": None}))
    assert list(counts["n_alive"]) == [0, 3, 3]
    assert counts["n_lost"].isna().all()


def load_endpoint(folder, position, adtte=ADTTE):
    """The trial with one endpoint, whose rows are the first or the second of each patient."""
    lines = adtte.splitlines()
    kept = [lines[0], *lines[1 + position :: 2]]
    metadata = METADATA | {"endpoints": [METADATA["endpoints"][position]]}
    return load_hand_made(folder, metadata=metadata, adtte="\n".join(kept) + "\n")


def test_progressed_is_unknown_without_its_endpoint(tmp_path):
    trial = load_endpoint(tmp_path, 1)
    counts = cohort.count_disposition(trial)
    assert counts["n_progressed"].isna().all()
    assert list(counts["n_died"]) == [2, 0, 2]
    assert cohort.list_courses(trial)["progression"].isna().all()


def test_died_is_unknown_without_overall_survival(tmp_path):
    trial = load_endpoint(tmp_path, 0)
    counts = cohort.count_disposition(trial)
    assert counts[["n_died", "n_alive", "n_lost"]].isna().all(axis=None)
    # Nothing says that s2's event was a death.
    assert list(counts["n_progressed"]) == [2, 1, 3]
    courses = cohort.list_courses(trial).set_index("USUBJID")
    assert courses["death"].isna().all()
    assert courses.loc["s5", "last_contact"] == 7


@pytest.mark.parametrize(
    ("words", "progressed"),
    [
        ("Disease progression", True),
        ("RECURRENCE", True),
        ("Death", False),
        ("Died of disease progression", False),  # names both, at the time of death
        ("Event", False),
    ],
)
def test_event_description_tells_progression_from_death(tmp_path, words, progressed):
    adtte = with_column(ADTTE, "EVNTDESC", {"s2": words})
    courses = cohort.list_courses(load_hand_made(tmp_path, adtte=adtte)).set_index("USUBJID")
    assert pd.notna(courses.loc["s2", "progression"]) == progressed
    assert courses.loc["s1", "progression"] == 10


def test_described_death_is_no_progression_though_overall_survival_goes_on(tmp_path):
    adtte = with_column(ADTTE, "EVNTDESC", {"s2": "DEATH", "s5": "DEATH"})
    adtte = adtte.replace("s5,OS,268,1,2020-04-01,DEATH", "s5,OS,268,1,2020-04-01,")
    courses = cohort.list_courses(load_hand_made(tmp_path, adtte=adtte)).set_index("USUBJID")
    assert np.isnan(courses.loc["s5", "progression"])


def test_saffl_overrides_exposure_where_given(tmp_path):
    # Infusions of somebody said to be untreated are refused unless nothing was given in them.
    adex = ADEX.replace("-08,1\n", "-08,0\n").replace("-22,1\n", "-22,0\n")
    adsl = with_column(ADSL, "SAFFL", {"s1": "N", "s4": "y", "s3": "Y"})
    nothing = pytest.warns(TrialDataWarning, match="no infusion was given, and the row is not counted")
    untreated = "ADSL row 5 SAFFL: says treated, but ADEX has no infusion"
    with nothing, pytest.warns(TrialDataWarning, match=untreated):
        trial = load_hand_made(tmp_path, adsl=adsl, adex=adex, adae=UNFLAGGED)
    treated = dict(zip(trial.subjects["USUBJID"], trial.subjects["treated"], strict=True))
    assert treated == {"s1": False, "s2": True, "s3": True, "s4": True, "s5": True}
    counts = cohort.count_disposition(trial)
    assert list(counts["n_treated"]) == [1, 3, 4]
    assert list(counts["n_completed"] + counts["n_fewer"]) == [1, 3, 4]  # the untreated are in neither


def test_baseline_continuous(trial):
    baseline = cohort.summarize_baseline(trial)
    age = baseline[baseline["variable"] == "AGE"].set_index("group")
    assert list(age.index) == ROWS
    assert set(age["level"]) == {""}
    assert set(age["unit"]) == {"years"}
    shown = age[["n", "n_missing", "mean", "median", "minimum", "maximum"]]
    assert shown.loc["L"].tolist() == [2, 0, 45, 45, 40, 50]
    assert shown.loc["H"].tolist() == [2, 1, 65, 65, 60, 70]
    assert shown.loc["All"].tolist() == [4, 1, 55, 55, 40, 70]
    # Deviations from 45 are -5 and 5: 50 / (2 - 1).
    assert age.loc["L", "sd"] == pytest.approx(np.sqrt(50))
    assert age[["count", "percent"]].isna().all(axis=None)


def test_baseline_levels_keep_the_order_of_the_metadata(trial):
    baseline = cohort.summarize_baseline(trial)
    stage = baseline[baseline["variable"] == "STAGE"]
    assert list(stage["level"]) == ["C"] * 3 + ["B"] * 3 + ["A"] * 3
    assert list(stage["level_label"].unique()) == ["Advanced", "Middle", "Early"]
    assert list(stage["group"]) == ROWS * 3
    assert list(stage["count"]) == [0, 0, 0, 0, 2, 2, 1, 1, 2]
    assert list(stage["n"]) == [1, 3, 4] * 3
    assert list(stage["n_missing"]) == [1, 0, 1] * 3
    assert list(stage["percent"]) == pytest.approx([0, 0, 0, 0, 200 / 3, 50, 100, 100 / 3, 50])
    assert stage[["mean", "sd", "median", "minimum", "maximum"]].isna().all(axis=None)


def test_standard_deviation_of_one_value_is_nan(tmp_path):
    trial = load_hand_made(tmp_path, adsl=ADSL.replace("H,60", "H,"))
    age = cohort.summarize_baseline(trial).query("variable == 'AGE'").set_index("group")
    assert age.loc["H", "n"] == 1
    assert np.isnan(age.loc["H", "sd"])
    assert age.loc["H", "mean"] == age.loc["H", "median"] == 70


def test_levels_not_listed_are_sorted_and_codes_are_text(tmp_path):
    baseline = [{"column": "STAGE", "label": "Stage", "kind": "categorical"}]
    adsl = ADSL.replace(",B", ",2").replace(",A", ",10")
    trial = load_hand_made(tmp_path, adsl=adsl, metadata=METADATA | {"baseline": baseline})
    stage = cohort.summarize_baseline(trial)
    assert list(stage["level"].unique()) == ["10", "2"]
    assert list(stage["count"]) == [1, 1, 2, 0, 2, 2]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([1.0, 0.0, np.nan], ["0", "1"]),
        ([1.5, 0.5, np.nan], ["0.5", "1.5"]),
        (pd.array([True, False, None], dtype="boolean"), ["False", "True"]),
        (["b", " a ", "  "], ["a", "b"]),
    ],
)
def test_level_codes_of_any_kind_are_text(trial, values, levels):
    metadata = METADATA["baseline"][1] | {"levels": None}
    column = type(trial.metadata.baseline[1])(**metadata)
    subjects = trial.subjects.iloc[:3].assign(STAGE=values)
    small = dataclasses.replace(
        trial, subjects=subjects, metadata=trial.metadata.model_copy(update={"baseline": [column]})
    )
    stage = cohort.summarize_baseline(small)
    assert list(stage["level"].unique()) == levels
    assert list(stage.loc[stage["group"] == "All", "count"]) == [1, 1]
    assert list(stage.loc[stage["group"] == "All", "n_missing"]) == [1, 1]


def test_categorical_without_any_value_keeps_one_row(tmp_path):
    adsl = ADSL.replace(",B", ",").replace("0,A", "0,")
    baseline = [{"column": "STAGE", "label": "Stage", "kind": "categorical"}]
    stage = cohort.summarize_baseline(
        load_hand_made(tmp_path, adsl=adsl, metadata=METADATA | {"baseline": baseline})
    )
    assert list(stage["level"]) == [""] * 3
    assert list(stage["count"]) == [0, 0, 0]
    assert list(stage["n_missing"]) == [2, 3, 5]
    assert stage["percent"].isna().all()


def test_no_baseline_columns_give_an_empty_frame(tmp_path):
    baseline = cohort.summarize_baseline(load_hand_made(tmp_path, metadata=METADATA | {"baseline": []}))
    assert baseline.empty
    assert {"variable", "level_label", "percent"} <= set(baseline)


def test_exposure(trial):
    exposure = cohort.summarize_exposure(trial)
    assert list(exposure["group"]) == ROWS
    rows = rows_of(exposure)
    # n, planned, received median and range, completed, planned dose, received dose median and range
    # then days from the first infusion to the last
    assert rows["L"][:-3] == [2, 2, 1.5, 1, 2, 1, 2, 1.5, 1, 2, 8, 1, 15]
    assert rows["H"][:-3] == [3, 3, 2, 0, 3, 1, 6, 4, 0, 6, 22, 15, 29]
    everyone = exposure.set_index("group").loc["All"]
    unknown = ["planned_infusions", "planned_dose", *exposure.columns[-3:]]
    assert everyone[unknown].isna().all()
    assert everyone.drop(unknown).tolist() == [5, 2, 0, 3, 2, 2, 0, 6, 15, 1, 29]


def test_unknown_dose_leaves_the_patient_out_of_received_doses(trial):
    infusions = trial.infusions.copy()
    infusions.loc[infusions["USUBJID"] == "s3", "dose"] = [2.0, np.nan, 2.0]
    exposure = cohort.summarize_exposure(dataclasses.replace(trial, infusions=infusions)).set_index("group")
    # H is left with s4 (0) and s5 (4); the infusion itself still counts.
    assert exposure.loc["H", ["received_dose_median", "received_dose_maximum"]].tolist() == [2, 4]
    assert exposure.loc["H", "received_maximum"] == 3


def test_exposure_when_nobody_was_infused(trial):
    nobody = dataclasses.replace(trial, infusions=trial.infusions.iloc[:0])
    exposure = cohort.summarize_exposure(nobody)
    assert list(exposure["received_maximum"]) == [0, 0, 0]
    assert list(exposure["received_dose_maximum"]) == [0, 0, 0]
    assert list(cohort.count_disposition(nobody)["n_treated"]) == [0, 0, 0]
    assert cohort.list_infusion_times(nobody).empty


def test_a_group_without_subjects_keeps_its_row(trial):
    subjects = trial.subjects[trial.subjects["group"] == "H"]
    times = trial.times[trial.times["group"] == "H"]
    only = dataclasses.replace(trial, subjects=subjects, times=times)
    assert list(cohort.count_disposition(only)["n_enrolled"]) == [0, 3, 3]
    exposure = cohort.summarize_exposure(only).set_index("group")
    assert exposure.loc["L", "n"] == 0
    assert exposure.loc["L"].drop(["n", "n_completed"]).isna().all()
    follow_up = cohort.summarize_follow_up(only, "OS").set_index("group")
    assert follow_up.loc["L", ["n", "n_events"]].tolist() == [0, 0]
    assert follow_up.loc["L", ["median", "ci_lower", "ci_upper", "longest"]].isna().all()


def test_enrolment_accumulates_within_each_group(trial):
    enrolment = cohort.count_enrolment(trial)
    assert list(enrolment["group"]) == ["L", "L", "H", "H", "H"]
    dates = ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-04-01"]
    assert list(enrolment["date"]) == [pd.Timestamp(date) for date in dates]
    assert list(enrolment["n_enrolled"]) == [1, 2, 1, 2, 3]


def test_subjects_without_a_start_date_are_not_on_the_calendar(trial):
    subjects = trial.subjects.assign(
        enrolled=trial.subjects["enrolled"].where(trial.subjects["USUBJID"] == "s1")
    )
    enrolment = cohort.count_enrolment(dataclasses.replace(trial, subjects=subjects))
    assert rows_of(enrolment) == {"L": [pd.Timestamp("2020-01-01"), 1]}


def test_follow_up_by_reverse_kaplan_meier(trial):
    follow_up = cohort.summarize_follow_up(trial, "OS").set_index("group")
    assert list(follow_up.index) == ROWS
    assert list(follow_up["n"]) == [2, 3, 5]
    assert list(follow_up["n_events"]) == [2, 0, 2]
    # L: both deaths only censor follow-up. H: ends at 2, 268/7 and 305/7. All: 4/5 at 2, then half of it.
    assert np.isnan(follow_up.loc["L", "median"])
    assert follow_up.loc["H", "median"] == pytest.approx(268 / 7)
    assert follow_up.loc["All", "median"] == pytest.approx(268 / 7)
    assert list(follow_up["longest"]) == pytest.approx([20, 305 / 7, 305 / 7])
    assert (follow_up["ci_lower"] <= follow_up["longest"]).all()


def test_baseline_of_chosen_columns_in_their_order(trial):
    assert list(cohort.summarize_baseline(trial, columns=["STAGE", "AGE"])["variable"].unique()) == [
        "STAGE",
        "AGE",
    ]
    with pytest.raises(ValueError, match="no baseline column HEIGHT; it lists AGE, STAGE"):
        cohort.summarize_baseline(trial, columns=["AGE", "HEIGHT"])


@pytest.mark.parametrize("conf_type", ["bpcp", "log-log"])
def test_follow_up_limits_follow_their_level(plain_trial, conf_type):
    wide = cohort.summarize_follow_up(plain_trial, "OS", conf_level=0.99, conf_type=conf_type)
    narrow = cohort.summarize_follow_up(plain_trial, "OS", conf_level=0.5, conf_type=conf_type)
    assert (wide["ci_lower"] <= narrow["ci_lower"]).all()
    assert wide["ci_lower"].iloc[-1] < narrow["ci_lower"].iloc[-1]
    assert (wide["ci_upper"] >= narrow["ci_upper"]).all()


def test_follow_up_of_an_unknown_endpoint_names_the_known(trial):
    with pytest.raises(ValueError, match="PFS, OS"):
        cohort.summarize_follow_up(trial, "TTP")


def test_courses(trial):
    courses = cohort.list_courses(trial)
    assert list(courses) == [
        "USUBJID", "group", "progression", "death", "last_contact", "alive", "lost", "discontinued",
    ]  # fmt: skip
    assert list(courses["USUBJID"]) == ["s2", "s1", "s4", "s5", "s3"]
    nan = np.nan
    np.testing.assert_allclose(courses["progression"], [nan, 10, nan, 7, nan])
    np.testing.assert_allclose(courses["death"], [5, 20, nan, nan, nan])
    np.testing.assert_allclose(courses["last_contact"], [5, 20, 2, 268 / 7, 305 / 7])
    assert list(courses["alive"]) == [False, False, True, True, True]
    # s5's last contact is 6 days before the cut-off, s4's more than half a year.
    assert list(courses["USUBJID"][courses["lost"]]) == ["s4"]
    assert list(cohort.list_courses(trial, grace_days=5).query("lost")["USUBJID"]) == ["s4", "s5"]


def test_infusion_times_count_from_enrolment(trial):
    times = cohort.list_infusion_times(trial)
    assert list(times) == ["USUBJID", "group", "infusion", "time", "dose", "end"]
    first = times[times["USUBJID"] == "s1"]
    assert list(first["infusion"]) == [1, 2]
    assert list(first["time"]) == [1, 3]
    assert list(times.groupby("USUBJID")["dose"].sum()) == [2, 1, 6, 4]


def test_every_trial_adds_up(any_trial):
    """Groups add up to "All", and everyone is dead, alive or lost."""
    counts = cohort.count_disposition(any_trial).set_index("group")
    assert list(counts.index) == [*any_trial.groups, "All"]
    known = counts.dropna(axis="columns")
    assert (known.iloc[:-1].sum() == known.loc["All"]).all()
    assert (counts["n_died"] + counts["n_alive"] + counts["n_lost"] == counts["n_enrolled"]).all()
    assert cohort.list_courses(any_trial)["lost"].sum() == counts["n_lost"].iloc[-1]
    assert (counts["n_completed"] + counts["n_fewer"] == counts["n_treated"]).all()
    exposure = cohort.summarize_exposure(any_trial)
    assert list(exposure["n_completed"]) == list(counts["n_completed"])
    assert (
        len(cohort.list_courses(any_trial))
        == len(cohort.count_enrolment(any_trial))
        == counts.loc["All", "n_enrolled"]
    )
    baseline = cohort.summarize_baseline(any_trial)
    for (_, group), part in baseline.groupby(["variable", "group"], observed=True):
        assert (part["n"] + part["n_missing"] == counts.loc[group, "n_enrolled"]).all()
        if (part["kind"] == "categorical").all():
            assert part["count"].sum() == part["n"].iloc[0]
    for endpoint in any_trial.endpoint_labels:
        follow_up = cohort.summarize_follow_up(any_trial, endpoint)
        assert list(follow_up["n"]) == list(counts["n_enrolled"])


def follow(time, event, **columns):
    frame = pd.DataFrame({"time": time, "event": event, "group": "L", **columns})
    return cohort.summarize_follow_up(SimpleNamespace(survival=lambda _: frame, groups=["L", "H"]), "OS")


def test_follow_up_counts_from_late_entry():
    got = follow([2.0, 4, 6, 9], [False, False, False, True], time_enter=[0.0, 0, 2, 4])
    assert got.options["conf_type"] == "log-log"
    # Of two at risk each time one leaves: 1/2 at 2, 1/4 at 4.
    assert got["median"].tolist() == pytest.approx([3, np.nan, 3], nan_ok=True)


def test_follow_up_that_nobody_ends_says_so():
    got = follow([6.94, 13.34], [False, True])
    assert got["median"].iloc[0] == pytest.approx(10.14)
    assert got["open_ended"].tolist() == [True, False, True]
    assert got.options["conf_type"] == "bpcp"
