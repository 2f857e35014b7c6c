"""Dose-limiting toxicity: answers worked out by hand from the events of `hand_made`, a loop, R's limits.

First infusions: s1 8 January, s2 2 February, s3 2 March, s5 2 April; s4 none. s1 had a related grade 3 fever
on 23 January, 15 days after; s2 an unrelated grade 5 sepsis on 7 March, 34 days after and the day of death.
"""

import pandas as pd
import pytest
from hand_made import ADAE, ADEX, ADTTE, load_hand_made
from r_values import REFERENCE

from nkhcc_helpers.safety.differences import estimate_shares, estimate_upper_limits
from nkhcc_helpers.safety.listings import (
    Definition,
    count_dose_limiting,
    list_absent_terms,
    list_adverse_events,
    list_dose_limiting,
)
from nkhcc_helpers.trial.problems import TrialDataWarning

COUNTS = ["n_treated", "n_evaluable", "n_patients", "n_events"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def count(trial, **definition):
    counts = count_dose_limiting(trial, Definition(**definition))
    assert list(counts["group"]) == ["L", "H", "All"]
    return counts[COUNTS].to_numpy(object).tolist()


def test_usual_definition(trial):
    assert count(trial) == [[2, 2, 1, 1], [2, 2, 0, 0], [4, 4, 1, 1]]
    listed = list_dose_limiting(trial)
    assert listed[["USUBJID", "term", "grade", "day"]].to_numpy(object).tolist() == [["s1", "Fever", 3, 16]]


@pytest.mark.parametrize("window_days", [-1, 3651, 100_000])
def test_window_beyond_use_is_refused(window_days):
    with pytest.raises(ValueError, match="from 0 to 3650; got"):
        Definition(window_days=window_days)


def test_longest_window_is_counted(trial):
    assert count(trial, window_days=3650)[0] == [2, 1, 1, 1]


def test_window_closes_after_its_last_day(trial):
    assert count(trial, window_days=15)[0] == [2, 2, 1, 1]
    assert count(trial, window_days=14)[0] == [2, 2, 0, 0]


def test_lower_grade_and_repeated_events(trial):
    # s1's fevers of 8 and 23 January: two events, one patient.
    assert count(trial, grade=1)[0] == [2, 2, 1, 2]


def test_unrelated_events_when_asked_for(trial):
    assert count(trial, related_only=False, window_days=33)[0] == [2, 2, 1, 1]
    assert count(trial, related_only=False, window_days=34)[0] == [2, 2, 2, 2]
    # s5's grade 2 fever, 8 days after: whether related is not known.
    assert count(trial, grade=2, related_only=False)[1] == [2, 2, 1, 1]
    assert count(trial, grade=2)[1] == [2, 2, 0, 0]


def test_excluded_terms(trial):
    assert count(trial, excluded_terms=[" FEVER"])[0] == [2, 2, 0, 0]
    assert count(trial, excluded_terms=("Fev",))[0] == [2, 2, 1, 1]


def test_excluded_terms_that_occur_nowhere(trial):
    assert list_absent_terms(trial, Definition(excluded_terms=(" fever", "Fev", "Sepsis "))) == ["Fev"]
    assert list_absent_terms(trial, Definition()) == []


def test_patient_not_observed_throughout_is_not_evaluable(trial):
    # s2 died 34 days after the first infusion.
    assert count(trial, window_days=34)[0] == [2, 2, 1, 1]
    assert count(trial, window_days=35)[0] == [2, 1, 1, 1]
    # With the sepsis as dose-limiting, s2 is evaluable whenever observation ended.
    assert count(trial, window_days=35, related_only=False)[0] == [2, 2, 2, 2]


def test_patient_lost_within_the_window(tmp_path):
    # s3 last seen on 21 March, but infused on 30 March, 28 days after the first; s5 on 20 April, 18 after.
    lost = ADTTE.replace("s3,PFS,305", "s3,PFS,20").replace("s3,OS,305", "s3,OS,20")
    lost = lost.replace("s5,PFS,49,0", "s5,PFS,19,1").replace("s5,OS,268", "s5,OS,19")
    trial = load_hand_made(tmp_path, adtte=lost)
    assert count(trial)[1] == [2, 1, 0, 0]
    assert count(trial, window_days=29)[1] == [2, 0, 0, 0]
    nobody = count_dose_limiting(trial, Definition(window_days=29)).set_index("group").loc["H"]
    assert nobody[["percent", "ci_lower", "ci_upper", "one_sided_upper"]].isna().all()


def test_patient_given_too_little_in_the_window_is_not_evaluable(tmp_path):
    # By day 28 s3 was given three infusions, on days 0, 14 and 28, and s5 two, on days 0 and 14.
    trial = load_hand_made(tmp_path / "hand")
    evaluable = {fewest: count(trial, fewest_infusions=fewest)[1][1] for fewest in (1, 2, 3, 4)}
    assert evaluable == {1: 2, 2: 2, 3: 1, 4: 0}
    # The third infusion of s3 comes the day after a window of 27 days.
    assert count(trial, fewest_infusions=3, window_days=27)[1] == [2, 0, 0, 0]
    # s1 has a dose-limiting toxicity, and is evaluable whatever was given; s2 was infused once.
    assert count(trial, fewest_infusions=9)[0] == [2, 1, 1, 1]
    # An infusion in which nothing was given is none.
    nothing = ADEX.replace("s5,2020-04-16,2", "s5,2020-04-16,0")
    with pytest.warns(TrialDataWarning, match="ADEX row 9 EXDOSE: is 0: no infusion was given"):
        trial = load_hand_made(tmp_path / "nothing", adex=nothing)
    assert count(trial, fewest_infusions=2)[1] == [2, 1, 0, 0]


def test_event_that_cannot_be_placed_counts(tmp_path):
    undated = ADAE.replace("s2,Fever,General,,Y,,,,,", "s2,Fever,General,3,Y,,,,,")
    trial = load_hand_made(tmp_path, adae=undated)
    assert count(trial, window_days=0)[0] == [2, 2, 1, 1]
    assert list_dose_limiting(trial, Definition(window_days=0))["day"].isna().all()


def test_limits(trial):
    counts = count_dose_limiting(trial).set_index("group")
    # Nobody of two: (1 - upper)^2 is 0.025 two-sided, 0.05 one-sided. Both of two, upside down.
    assert counts.loc["H", "ci_upper"] == pytest.approx(100 * (1 - 0.025**0.5))
    assert counts.loc["H", "one_sided_upper"] == pytest.approx(100 * (1 - 0.05**0.5))
    both = count_dose_limiting(trial, Definition(related_only=False, window_days=34)).set_index("group")
    assert both.loc["L", ["percent", "ci_upper", "one_sided_upper"]].tolist() == [100, 100, 100]
    assert both.loc["L", "ci_lower"] == pytest.approx(100 * 0.025**0.5)
    narrow = count_dose_limiting(trial, conf_level=0.8).set_index("group")
    assert narrow.loc["H", "one_sided_upper"] == pytest.approx(100 * (1 - 0.2**0.5))
    with pytest.raises(ValueError, match="conf_level"):
        count_dose_limiting(trial, conf_level=95)


def test_limits_of_r():
    known = pd.read_csv(REFERENCE / "binom_test.csv")
    for level, part in known.groupby("conf_level"):
        shares = estimate_shares(part[["n_patients", "n_evaluable"]], conf_level=level)
        for limit in ("ci_lower", "ci_upper"):
            assert shares[limit].tolist() == pytest.approx((100 * part[limit]).tolist(), rel=1e-9, abs=1e-9)


def test_one_sided_limits_of_r():
    known = pd.read_csv(REFERENCE / "binom_test.csv").astype({"n_patients": "Int64"})
    for level, part in known.groupby("conf_level"):
        expected = (100 * part["one_sided_upper"]).tolist()
        assert estimate_upper_limits(part, conf_level=level).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "definition",
    [{}, {"grade": 2, "window_days": 21}, {"grade": 1, "related_only": False, "excluded_terms": ("Chills",)}],
)
def test_counts_are_those_of_a_loop_over_patients(any_trial, definition):
    definition = Definition(**definition)
    events = list_adverse_events(any_trial, which="all")
    n_treated, n_evaluable, n_patients = (dict.fromkeys(any_trial.groups, 0) for _ in range(3))
    for one in any_trial.subjects[any_trial.subjects["treated"]].itertuples():
        own = events[events["USUBJID"] == one.USUBJID]
        limited = any(
            pd.notna(each.grade)
            and each.grade >= definition.grade
            and (not definition.related_only or (pd.notna(each.related) and each.related))
            and each.term not in definition.excluded_terms
            and (pd.isna(each.day) or 1 <= each.day <= definition.window_days + 1)
            for each in own.itertuples()
        )
        seen = one.observed_until - one.first_infusion >= pd.Timedelta(days=definition.window_days)
        n_treated[one.group] += 1
        n_patients[one.group] += limited
        n_evaluable[one.group] += limited or seen
    counts = count_dose_limiting(any_trial, definition).set_index("group")
    for name, expected in (("n_treated", n_treated), ("n_evaluable", n_evaluable)):
        assert counts[name].tolist() == [*expected.values(), sum(expected.values())]
    if any_trial.metadata.adverse_events.collected:
        assert counts["n_patients"].tolist() == [*n_patients.values(), sum(n_patients.values())]
        assert counts.loc["All", "n_events"] == len(list_dose_limiting(any_trial, definition))


def test_events_not_collected(load_variant):
    counts = count_dose_limiting(load_variant("adverse_events_not_collected"))
    assert counts[["n_patients", "n_events"]].isna().all(axis=None)
    assert counts[["percent", "ci_lower", "ci_upper", "one_sided_upper"]].isna().all(axis=None)
    assert (counts["n_evaluable"] > 0).all()
    assert list_dose_limiting(load_variant("adverse_events_not_collected")).empty


def test_relation_that_nobody_recorded(tmp_path):
    unsaid = ADAE.replace(",Y,N,2", ",,N,2").replace(",Y,Y,2", ",,Y,2").replace(",N,Y,2", ",,Y,2")
    unsaid = unsaid.replace(",N,N,2", ",,N,2").replace(",,Y,,,,,", ",,,,,,,")
    trial = load_hand_made(tmp_path, adae=unsaid)
    assert count_dose_limiting(trial)["n_patients"].isna().all()
    assert count(trial, related_only=False)[0] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grade": 0}, "grade"),
        ({"grade": 2.5}, "grade"),
        ({"grade": True}, "grade"),
        ({"related_only": "Y"}, "related_only"),
        ({"window_days": -1}, "window_days"),
        ({"window_days": "28"}, "window_days"),
        ({"fewest_infusions": 0}, "fewest_infusions"),
        ({"fewest_infusions": 1.5}, "fewest_infusions"),
        ({"excluded_terms": "Fever"}, "excluded_terms"),
        ({"excluded_terms": [3]}, "excluded_terms"),
    ],
)
def test_definitions_that_are_none(wrong, message):
    with pytest.raises(ValueError, match=message):
        Definition(**wrong)
