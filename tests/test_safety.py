"""Safety: answers worked out by hand from the events of `hand_made`, and brute force on random tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from generated import FEWER
from hand_made import ADEX, ADSL, METADATA, UNFLAGGED, load_hand_made
from hypothesis import given
from hypothesis import strategies as st

from nkhcc_helpers import safety
from nkhcc_helpers.safety.counts import list_categories
from nkhcc_helpers.trial.problems import TrialDataWarning

ROWS = ["L", "H", "All"]
HEADER = UNFLAGGED.splitlines()[0]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def load_events(folder, lines, *, header=HEADER, **changes):
    return load_hand_made(folder, adae="\n".join([header, *lines]) + "\n", **changes)


def patients_of(counts, **where):
    """Patients in L, H and All of one row."""
    for column, value in where.items():
        counts = counts[counts[column] == value]
    assert list(counts["group"]) == ROWS
    return list(counts["n_patients"])


def test_only_treated_patients_are_evaluable(trial):
    # s4 was never infused.
    assert safety.count_evaluable(trial).to_dict() == {"L": 2, "H": 2, "All": 4}


def test_events_before_the_first_infusion_and_of_the_untreated_are_left_out(trial):
    emergent = safety.list_events(trial)
    # Left out: s1's cough of 5 January, infused from 8 January; s4's fever. Kept: s2's undated fever.
    assert list(emergent["USUBJID"] + " " + emergent["term"]) == [
        "s1 Fever", "s1 Fever", "s1 Rash", "s2 Fever", "s2 Sepsis", "s5 Fever"
    ]  # fmt: skip


def test_what_is_not_recorded_is_counted(trial, tmp_path):
    # Of the six: s2's fever and s1's rash have no grade; s5's fever no relation; s2's fever no onset, no
    # seriousness and no action. Left out: s1's cough, not treatment-emergent; s4's fever, never treated.
    described = safety.describe_events(trial)
    assert described == {
        "n_treated": 4, "n_enrolled": 5, "n_events": 6, "n_people": 3, "n_imputed": 0, "n_without_grade": 2,
        "n_without_relation": 1, "n_without_seriousness": 1, "n_without_action": 1, "n_without_onset": 1,
        "n_not_emergent": 1, "n_never_treated": 1, "n_by_words": 0, "dictionary": "not named",
    }  # fmt: skip
    everything = safety.describe_events(trial, emergent_only=False)
    assert [everything[name] for name in ("n_events", "n_not_emergent", "n_without_action")] == [7, 0, 2]
    worded = "USUBJID,AEDECOD,AETOXGR,AESEV\ns1,Fever,,MILD\ns2,Fever,3,SEVERE\ns2,Rash,,\n"
    described = safety.describe_events(load_hand_made(tmp_path / "words", adae=worded))
    assert [described["n_by_words"], described["n_without_grade"]] == [1, 1]
    metadata = METADATA | {"adverse_events": {"collected": False}}
    none = safety.describe_events(load_hand_made(tmp_path / "none", metadata=metadata, adae=None))
    assert [none["n_treated"], none["n_events"], none["n_never_treated"]] == [4, None, None]
    assert none["n_not_emergent"] is None


def test_all_events_of_the_treated_are_taken_when_asked_for(trial):
    everything = {"emergent_only": False}
    # s1's cough of 5 January, infused from 8 January, comes in; s4's fever does not, s4 being untreated.
    assert set(safety.list_events(trial, **everything)["term"]) == {"Fever", "Rash", "Cough", "Sepsis"}
    overview = safety.count_adverse_events(trial, **everything).set_index(["category", "group"])
    assert overview.loc[("any", "L"), ["n_patients", "n_events"]].tolist() == [2, 6]
    counts = safety.count_by_term(trial, **everything)
    assert patients_of(counts, term="Cough", grade="2") == [1, 0, 1]
    listed = safety.list_adverse_events(trial, which="all", **everything).set_index("term")
    assert listed.loc["Cough", "day"] == -3


def test_share_of_nobody_and_of_everybody_in_closed_form():
    counts = pd.DataFrame({"n_patients": [0, 3, 0], "n_evaluable": [3, 3, 18], "percent": 0.0})
    shares = safety.estimate_shares(counts, conf_level=0.95)
    # Nobody of n: (1 - upper)^n is half of what the level leaves, 0.025.
    nobody = 100 * (1 - 0.025 ** (1 / 3))
    assert shares["percent"].tolist() == pytest.approx([0, 100, 0])
    assert shares["ci_lower"].tolist() == pytest.approx([0, 100 - nobody, 0])
    assert shares["ci_upper"].tolist() == pytest.approx([nobody, 100, 100 * (1 - 0.025 ** (1 / 18))])


def test_share_in_between_against_the_printed_table():
    # Clopper-Pearson limits of 1 in 10 at 95 %: 0.25 % to 44.5 %.
    shares = safety.estimate_shares(pd.DataFrame({"n_patients": [1], "n_evaluable": [10]}))
    assert shares.loc[0, ["ci_lower", "ci_upper"]].tolist() == pytest.approx([0.2529, 44.5016], abs=1e-4)


def test_share_of_an_unknown_count_or_of_nobody_evaluable_is_not_estimable():
    counts = pd.DataFrame({"n_patients": pd.array([None, 0], dtype="Int64"), "n_evaluable": [3, 0]})
    shares = safety.estimate_shares(counts)
    assert shares[["percent", "ci_lower", "ci_upper"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="conf_level"):
        safety.estimate_shares(counts, conf_level=95)


def add_flags(flags):
    lines = UNFLAGGED.splitlines()
    return f"{lines[0]},TRTEMFL\n" + "".join(f"{a},{b}\n" for a, b in zip(lines[1:], flags, strict=True))


def test_trtemfl_decides_where_it_holds_a_flag(tmp_path):
    with pytest.warns(TrialDataWarning, match="treatment-emergent"):
        trial = load_hand_made(tmp_path, adae=add_flags(["Y", "N", "", "y", "", "", "Y", "Y"]))
    emergent = safety.list_events(trial)
    assert list(emergent["USUBJID"] + " " + emergent["term"]) == ["s1 Fever", "s1 Cough", "s5 Fever"]


def test_trtemfl_empty_throughout_is_as_good_as_none(tmp_path):
    empty = load_hand_made(tmp_path / "empty", adae=add_flags([""] * 8))
    absent = load_hand_made(tmp_path / "absent", adae=UNFLAGGED)
    assert absent.adverse_events["emergent"].sum() == 5
    pd.testing.assert_frame_equal(safety.count_by_term(empty), safety.count_by_term(absent))


def test_safety_flag_without_infusion_takes_every_event(tmp_path):
    adsl = "".join(
        f"{line},{flag}\n"
        for line, flag in zip(ADSL.splitlines(), ["SAFFL", "", "", "", "Y", "N"], strict=True)
    )
    # Infusions of somebody said to be untreated are refused unless nothing was given in them.
    adex = ADEX.replace("s5,2020-04-02,2", "s5,2020-04-02,0").replace("s5,2020-04-16,2", "s5,2020-04-16,0")
    nothing = pytest.warns(TrialDataWarning, match="no infusion was given, and the row is not counted")
    untreated = "ADSL row 5 SAFFL: says treated, but ADEX has no infusion"
    with nothing, pytest.warns(TrialDataWarning, match=untreated):
        trial = load_hand_made(tmp_path, adsl=adsl, adex=adex, adae=UNFLAGGED)
    assert safety.count_evaluable(trial).to_dict() == {"L": 2, "H": 2, "All": 4}
    emergent = safety.list_events(trial)
    assert set(emergent["USUBJID"]) == {"s1", "s2", "s4"}
    listed = safety.list_adverse_events(trial, which="all").set_index("USUBJID")
    assert listed.loc["s4", ["day", "latest_infusion", "days_since_infusion"]].isna().all()


@pytest.mark.parametrize(
    ("category", "patients", "events"),
    [
        ("any", [2, 1, 3], [5, 1, 6]),
        ("related", [2, 0, 2], [3, 0, 3]),  # s1 twice, s2; s5's relation is missing
        ("serious", [2, 0, 2], [2, 0, 2]),  # s1's second fever, s2's sepsis
        ("grade3", [2, 0, 2], [2, 0, 2]),
        ("related_grade3", [1, 0, 1], [1, 0, 1]),  # the sepsis was not related
        ("fatal", [1, 0, 1], [1, 0, 1]),
        ("discontinued", [1, 0, 1], [1, 0, 1]),  # interrupted is not discontinued
    ],
)
def test_overview(trial, category, patients, events):
    counts = safety.count_adverse_events(trial)
    row = counts[counts["category"] == category]
    assert set(row["label"]) == {safety.CATEGORIES[category]}
    assert list(row["group"]) == ROWS
    assert list(row["n_patients"]) == patients
    assert list(row["n_events"]) == events
    assert list(row["n_evaluable"]) == [2, 2, 4]
    assert list(row["percent"]) == [50 * patients[0], 50 * patients[1], 25 * patients[2]]


def test_overview_has_every_category_in_order(trial):
    counts = safety.count_adverse_events(trial)
    assert list(counts) == ["category", "label", "group", "n_patients", "n_evaluable", "percent", "n_events"]
    assert list(counts["category"]) == [name for name in safety.CATEGORIES for _ in ROWS]


def test_what_no_event_records_is_not_counted_as_none(tmp_path):
    trial = load_events(tmp_path, ["s1,Fever,3"], header="USUBJID,AEDECOD,AETOXGR")
    counts = safety.count_adverse_events(trial).set_index(["category", "group"])
    for category in ("related", "serious", "related_grade3", "discontinued"):
        assert counts.loc[category, ["n_patients", "percent", "n_events"]].isna().all(axis=None)
    for category in ("any", "grade3"):
        assert list(counts.loc[category, "n_patients"]) == [1, 0, 1]
    assert list(counts.loc["fatal", "n_patients"]) == [0, 0, 0]
    related = safety.count_by_term(trial, related_only=True)
    assert set(related["term"]) == {safety.ANY_RELATED}
    assert related[["n_patients", "percent"]].isna().all(axis=None)


def test_one_missing_seriousness_and_relation_count_as_neither(tmp_path):
    lines = ["s1,Fever,2,Y,Y", "s2,Fever,2,,"]
    trial = load_events(tmp_path, lines, header="USUBJID,AEDECOD,AETOXGR,AEREL,AESER")
    counts = safety.count_adverse_events(trial)
    assert patients_of(counts, category="related") == [1, 0, 1]
    assert patients_of(counts, category="serious") == [1, 0, 1]


@pytest.mark.parametrize(
    ("action", "discontinued"),
    [
        ("DRUG WITHDRAWN", True),
        ("Drug withdrawn", True),
        ("DISCONTINUED", True),
        ("Study drug permanently discontinued", True),
        ("treatment discontinuation", True),
        ("Drug stopped", True),
        ("DOSE NOT CHANGED", False),
        ("DRUG INTERRUPTED", False),
        ("Temporarily discontinued", False),
        ("NOT WITHDRAWN", False),
        ("", False),
        (None, False),
    ],
)
def test_action_taken_that_means_discontinuation(trial, action, discontinued):
    events = trial.adverse_events.iloc[:1].assign(action=[action])
    assert list_categories(events)["discontinued"].tolist() == [discontinued]


@pytest.mark.parametrize(
    ("outcome", "grade", "fatal"),
    [
        ("FATAL", 3, True),
        ("Fatal", None, True),
        ("DEATH", None, True),
        ("NOT FATAL", 4, False),
        ("RECOVERED/RESOLVED", 4, False),
        ("", 5, True),
        ("", None, False),
    ],
)
def test_fatal_by_grade_or_outcome(trial, outcome, grade, fatal):
    events = trial.adverse_events.iloc[:1].assign(outcome=[outcome], grade=pd.array([grade], dtype="Int64"))
    events = safety.list_events(dataclasses.replace(trial, adverse_events=events))
    assert list_categories(events)["fatal"].tolist() == [fatal]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        # s1: grades 1 and 3; s2: missing; s5: grade 2.
        ("Fever", {"any": [2, 1, 3], "2": [0, 1, 1], "3": [1, 0, 1], "3+": [1, 0, 1], "missing": [1, 0, 1]}),
        ("Rash", {"any": [1, 0, 1], "missing": [1, 0, 1]}),
        ("Sepsis", {"any": [1, 0, 1], "5": [1, 0, 1], "3+": [1, 0, 1]}),
        # Worst of all terms: s1 grade 3, s2 grade 5, s5 grade 2.
        (
            safety.ANY_TERM,
            {"any": [2, 1, 3], "2": [0, 1, 1], "3": [1, 0, 1], "5": [1, 0, 1], "3+": [2, 0, 2]},
        ),
    ],
)
def test_worst_grade_per_patient(trial, term, expected):
    counts = safety.count_by_term(trial)
    for grade in safety.GRADES:
        assert patients_of(counts, term=term, grade=grade) == expected.get(grade, [0, 0, 0]), grade


def test_terms_by_frequency_then_name_with_all_rows_of_each(trial):
    counts = safety.count_by_term(trial)
    columns = ["level", "organ_class", "term", "grade", "group", "n_patients", "n_evaluable", "percent"]
    assert list(counts) == columns
    of_class = safety.ANY_OF_CLASS
    terms = [safety.ANY_TERM, of_class, "Fever", of_class, "Sepsis", of_class, "Rash"]
    assert list(counts["term"]) == [term for term in terms for _ in range(8 * 3)]
    assert list(counts["organ_class"].unique()) == ["", "General", "Infections", "Skin"]
    levels = [safety.OVERALL, *[safety.ORGAN_CLASS, safety.TERM] * 3]
    assert list(counts["level"]) == [level for level in levels for _ in range(8 * 3)]
    assert list(counts["grade"]) == [grade for grade in safety.GRADES for _ in ROWS] * 7
    assert list(counts["n_evaluable"]) == [2, 2, 4] * 8 * 7
    np.testing.assert_allclose(counts["percent"], 100 * counts["n_patients"] / counts["n_evaluable"])


def test_related_only(trial):
    counts = safety.count_by_term(trial, related_only=True)
    assert list(counts["term"].unique()) == [safety.ANY_RELATED, safety.ANY_OF_CLASS, "Fever"]
    assert patients_of(counts, term="Fever", grade="any") == [2, 0, 2]
    assert patients_of(counts, term="Fever", grade="3") == [1, 0, 1]
    assert patients_of(counts, term=safety.ANY_RELATED, grade="missing") == [1, 0, 1]


def test_one_term_in_two_organ_classes_makes_two_blocks(tmp_path):
    lines = ["s1,Bleeding,Skin,1", "s1,Bleeding,Eye,2", "s5,Bleeding,Eye,2", "s1,Bleeding,,1"]
    trial = load_events(tmp_path, lines, header="USUBJID,AEDECOD,AEBODSYS,AETOXGR")
    counts = safety.count_by_term(trial).query("grade == 'any' and group == 'All'")
    # Terms without a class stand last, and have no row of a class above them.
    assert list(counts["organ_class"]) == ["", "Eye", "Eye", "Skin", "Skin", "Not coded"]
    assert list(counts["n_patients"]) == [2, 2, 2, 1, 1, 1]
    assert list(safety.list_terms(counts)["organ_class"]) == ["", "Eye", "Not coded", "Skin"]


CLASSES = [
    *("s1,Rash,Skin,1", "s1,Itch,Skin,3", "s2,Itch,Skin,", "s5,Itch,Skin,2"),
    *("s1,Fever,Body,4", "s5,Chills,Body,1", "s2,Fever,,5"),
]


def test_a_patient_counts_once_a_class_at_the_worst_grade_of_it(tmp_path):
    trial = load_events(tmp_path, CLASSES, header="USUBJID,AEDECOD,AEBODSYS,AETOXGR")
    counts = safety.count_by_term(trial)
    skin = counts[(counts["level"] == safety.ORGAN_CLASS) & (counts["organ_class"] == "Skin")]
    # s1 had a rash of grade 1 and an itch of grade 3; s2's itch has no grade.
    expected = {"any": [2, 1, 3], "2": [0, 1, 1], "3": [1, 0, 1], "3+": [1, 0, 1], "missing": [1, 0, 1]}
    for grade in safety.GRADES:
        assert patients_of(skin, grade=grade) == expected.get(grade, [0, 0, 0]), grade
    # By patients: skin 3, body 2; itch 3, rash 1; of one each, chills before fever. Uncoded terms last.
    blocks = counts.drop_duplicates(safety.BLOCK)[["organ_class", "term"]].to_numpy().tolist()
    of_class = safety.ANY_OF_CLASS
    assert blocks == [
        ["", safety.ANY_TERM], ["Skin", of_class], ["Skin", "Itch"], ["Skin", "Rash"],
        ["Body", of_class], ["Body", "Chills"], ["Body", "Fever"], ["Not coded", "Fever"],
    ]  # fmt: skip


def test_terms_by_frequency_leave_the_classes_out(tmp_path):
    trial = load_events(tmp_path, CLASSES, header="USUBJID,AEDECOD,AEBODSYS,AETOXGR")
    counts = safety.list_terms(safety.count_by_term(trial)).query("grade == 'any' and group == 'All'")
    assert list(counts["level"]) == [safety.OVERALL, *[safety.TERM] * 5]
    assert list(counts["term"]) == [safety.ANY_TERM, "Itch", "Chills", "Fever", "Fever", "Rash"]
    assert list(counts["n_patients"]) == [3, 3, 1, 1, 1, 1]


def test_a_term_called_as_the_first_block_stays_apart(tmp_path):
    trial = load_events(tmp_path, [f"s1,{safety.ANY_TERM},1", "s5,Fever,2"], header="USUBJID,AEDECOD,AETOXGR")
    counts = safety.count_by_term(trial).query("grade == 'any' and group == 'All'")
    assert list(counts["organ_class"]) == ["", "Not coded", "Not coded"]
    assert list(counts["n_patients"]) == [2, 1, 1]


def test_severity_words_are_graded(tmp_path):
    lines = ["s1,Fever,MILD", "s1,Fever,SEVERE", "s5,Fever,"]
    trial = load_events(tmp_path, lines, header="USUBJID,AEDECOD,AESEV")
    counts = safety.count_by_term(trial)
    assert patients_of(counts, term="Fever", grade="3") == [1, 0, 1]
    assert patients_of(counts, term="Fever", grade="missing") == [0, 1, 1]


def test_no_events_leave_the_zeros(tmp_path):
    trial = load_events(tmp_path, [])
    overview = safety.count_adverse_events(trial)
    assert len(overview) == len(safety.CATEGORIES) * len(ROWS)
    assert (overview["n_patients"] == 0).all()
    assert (overview["percent"] == 0).all()
    for related_only in (False, True):
        counts = safety.count_by_term(trial, related_only=related_only)
        assert list(counts["grade"]) == [grade for grade in safety.GRADES for _ in ROWS]
        assert (counts["n_patients"] == 0).all()
    assert safety.list_adverse_events(trial).empty


def test_events_not_collected_are_unknown_rather_than_none(tmp_path):
    metadata = METADATA | {"adverse_events": {"collected": False}}
    trial = load_hand_made(tmp_path, metadata=metadata, adae=None)
    overview = safety.count_adverse_events(trial)
    assert overview[["n_patients", "n_events", "percent"]].isna().all(axis=None)
    assert list(overview["n_evaluable"]) == [2, 2, 4] * len(safety.CATEGORIES)
    assert safety.count_by_term(trial)["n_patients"].isna().all()


def test_percent_without_anyone_treated_is_nan(trial):
    nobody = dataclasses.replace(trial, infusions=trial.infusions.iloc[:0])
    overview = safety.count_adverse_events(nobody)
    assert (overview["n_evaluable"] == 0).all()
    assert (overview["n_patients"] == 0).all()
    assert overview["percent"].isna().all()


def test_listing(trial):
    listed = safety.list_adverse_events(trial)
    assert list(listed) == [
        "USUBJID", "group", "term", "grade", "day", "latest_infusion", "days_since_infusion", "related",
        "serious", "outcome", "action", "onset_imputed",
    ]  # fmt: skip
    # The first infusion, 8 January, is day 1, so 23 January is day 16.
    assert listed.to_numpy().tolist() == [
        ["s1", "L", "Fever", 3, 16, 2, 1, True, True, "RECOVERED/RESOLVED", "DOSE NOT CHANGED", ""],
        ["s2", "L", "Sepsis", 5, 35, 1, 34, False, True, "FATAL", "DRUG WITHDRAWN", ""],
    ]


@pytest.mark.parametrize(
    ("which", "terms"),
    [
        ("all", ["Fever", "Fever", "Rash", "Sepsis", "Fever", "Fever"]),
        ("related", ["Fever", "Fever", "Fever"]),
        ("serious", ["Fever", "Sepsis"]),
        ("grade 3", ["Fever", "Sepsis"]),
        ("fatal", ["Sepsis"]),
        ("discontinued", ["Sepsis"]),
    ],
)
def test_listings_hold_what_their_name_says(trial, which, terms):
    assert list(safety.list_adverse_events(trial, which=which)["term"]) == terms


def test_listing_of_an_unknown_kind_names_the_known(trial):
    with pytest.raises(ValueError, match="'serious or grade 3'"):
        safety.list_adverse_events(trial, which="severe")


def test_the_day_before_the_first_infusion_is_day_minus_one(tmp_path):
    lines = ["s1,Fever,1,2020-01-07,Y", "s1,Fever,1,2020-01-08,Y"]
    with pytest.warns(TrialDataWarning, match="before the subject's first infusion"):
        trial = load_events(tmp_path, lines, header="USUBJID,AEDECOD,AETOXGR,ASTDT,TRTEMFL")
    listed = safety.list_adverse_events(trial, which="all")
    assert list(listed["day"]) == [-1, 1]
    assert listed["latest_infusion"].isna().tolist() == [True, False]
    assert list(listed["days_since_infusion"].dropna()) == [0]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s3", "s4", "s5"]),
        st.sampled_from(["Fever", "Rash", "Cough"]),
        st.sampled_from(["1", "2", "3", "4", "5", ""]),
        st.sampled_from(["Y", "N", ""]),
        st.one_of(st.none(), st.dates(pd.Timestamp("2020-01-01").date(), pd.Timestamp("2020-06-30").date())),
    ),
    max_size=25,
)


CLASS_OF = {"Fever": "General", "Cough": "General", "Rash": "Not coded"}


def make_events(trial, rows):
    """The trial with these events; `load_trial` would take milliseconds and files for each."""
    ids, terms, grades, related, onsets = map(list, zip(*rows, strict=True)) if rows else ([],) * 5
    group_of = trial.subjects.set_index("USUBJID")["group"].astype("str")
    events = pd.DataFrame({"USUBJID": pd.Series(ids, dtype="str"), "term": pd.Series(terms, dtype="str")})
    events["group"] = pd.Categorical(events["USUBJID"].map(group_of), trial.groups, ordered=True)
    events["outcome"] = events["action"] = ""
    events["organ_class"] = events["term"].map(CLASS_OF)
    events["grade"] = pd.array([int(grade) if grade else None for grade in grades], dtype="Int64")
    events["related"] = pd.array([{"Y": True, "N": False}.get(word) for word in related], dtype="boolean")
    events["serious"] = pd.array([None] * len(ids), dtype="boolean")
    events["onset"] = pd.Series(pd.to_datetime(onsets), dtype="datetime64[ns]")
    events["resolved"] = pd.Series(pd.NaT, index=events.index, dtype="datetime64[ns]")
    events = events.assign(onset_imputed="", resolved_imputed="")
    return dataclasses.replace(trial, adverse_events=events)


def check_worst_grades(counts):
    """Worst grades, missing included, add up to any; 3 to 5 add up to 3+."""
    for total, grades in {"any": ["1", "2", "3", "4", "5", "missing"], "3+": ["3", "4", "5"]}.items():
        keys = [*safety.BLOCK, "group"]
        parts = counts[counts["grade"].isin(grades)].groupby(keys, observed=True)["n_patients"]
        whole = counts[counts["grade"] == total].set_index(keys)["n_patients"].sort_index()
        pd.testing.assert_series_equal(parts.sum(min_count=len(grades)).sort_index(), whole)


FIRST = {"s1": "2020-01-08", "s2": "2020-02-02", "s3": "2020-03-02", "s5": "2020-04-02"}
LAST = {"s1": "2020-01-22", "s2": "2020-02-02", "s3": "2020-03-30", "s5": "2020-04-16"}
GROUP = {"s1": "L", "s2": "L", "s3": "H", "s5": "H"}


def count_by_hand(rows, block, grade, group):
    """Patients of one cell, counted patient by patient."""
    n = 0
    for patient, first in FIRST.items():
        if group not in ("All", GROUP[patient]):
            continue
        days = pd.date_range(first, pd.Timestamp(LAST[patient]) + pd.Timedelta(days=30)).date
        mine = [row for row in rows if row[0] == patient and (row[4] is None or row[4] in days)]
        level, organ_class, term = block
        wanted = {
            safety.OVERALL: set(CLASS_OF),
            safety.ORGAN_CLASS: {name for name, of_class in CLASS_OF.items() if of_class == organ_class},
            safety.TERM: {term},
        }[level]
        grades = [row[2] for row in mine if row[1] in wanted]
        worst = max(grades, default=None) or ("missing" if grades else None)
        severe = worst in ("3", "4", "5")
        n += {"any": bool(grades), "3+": severe}.get(grade, worst == grade)
    return n


@FEWER
@given(rows=EVENTS)
def test_random_tables_agree_with_counting_patient_by_patient(trial, rows):
    counts = safety.count_by_term(make_events(trial, rows))
    for row in counts.itertuples():
        block = row.level, row.organ_class, row.term
        assert row.n_patients == count_by_hand(rows, block, row.grade, row.group), row
    check_worst_grades(counts)
    classes = set(counts.loc[counts["level"] == safety.ORGAN_CLASS, "organ_class"])
    assert classes == {"General"} & set(counts["organ_class"])


@FEWER
@given(rows=EVENTS)
def test_random_tables_agree_between_overview_terms_and_listing(trial, rows):
    random = make_events(trial, rows)
    overview = safety.count_adverse_events(random)
    first = safety.count_by_term(random).query("term == @safety.ANY_TERM")
    assert patients_of(overview, category="any") == patients_of(first, grade="any")
    assert (
        patients_of(overview, category="any")[2]
        == safety.list_adverse_events(random, which="all")["USUBJID"].nunique()
    )
    events = overview[overview["category"] == "any"].set_index("group")["n_events"]
    assert events["All"] == events["L"] + events["H"] == len(safety.list_events(random))


def test_every_trial_keeps_every_group_and_adds_up(any_trial):
    order = [*any_trial.groups, "All"]
    overview = safety.count_adverse_events(any_trial)
    assert list(overview["group"]) == order * len(safety.CATEGORIES)
    for related_only in (False, True):
        counts = safety.count_by_term(any_trial, related_only=related_only)
        check_worst_grades(counts)
        patients = counts.set_index(["group", *safety.BLOCK, "grade"])["n_patients"]
        parts = sum(patients[group] for group in any_trial.groups)
        pd.testing.assert_series_equal(parts, patients["All"])


def test_every_listing_has_a_label_that_says_what_grade_3_means():
    assert list(safety.LISTING_LABELS) == list(safety.LISTINGS)
    assert safety.LISTING_LABELS["serious or grade 3"] == "Serious, or grade 3 or more"
    assert safety.LISTING_LABELS["all"] == "Any adverse event"
