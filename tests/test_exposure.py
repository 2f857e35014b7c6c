"""Observation, time at risk and rates: by hand on the events of `hand_made`, day by day, and against R."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest
from generated import FEWER
from hand_made import ADAE, ADEX, ADSL, ADTTE, METADATA, UNFLAGGED, load_hand_made
from hypothesis import given
from made_events import EVENTS, replace_events
from r_values import REFERENCE

from nkhcc_helpers import safety
from nkhcc_helpers.safety import exposure
from nkhcc_helpers.trial.problems import TrialDataWarning

ROWS = ["L", "H", "All"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def ends_of(trial):
    observed = safety.list_observation(trial)
    assert list(observed) == ["USUBJID", "end"]
    assert list(observed["USUBJID"]) == list(trial.subjects["USUBJID"])
    return observed.set_index("USUBJID")["end"].dt.strftime("%Y-%m-%d").to_dict()


def test_observation_ends_with_the_latest_time_of_any_endpoint(trial):
    # 140 and 35 days from enrolment to death, 305 to the cut-off, 14 and 268 to the last contact.
    expected = {"s1": "2020-05-20", "s2": "2020-03-07", "s3": "2020-12-31", "s4": "2020-04-15"}
    assert ends_of(trial) == expected | {"s5": "2020-12-25"}


def test_a_time_in_another_unit_is_turned_into_days(tmp_path):
    weeks = [line.split(",") for line in ADTTE.splitlines()]
    lines = [",".join([a, b, repr(int(c) / 7), d, e]) for a, b, c, d, e in weeks[1:]]
    adtte = "\n".join([",".join(weeks[0]), *lines])
    # One seventh of a week is no number a computer has: 14 days must not become 13.
    metadata = METADATA | {"time_unit": "weeks", "display_time_unit": "months"}
    assert ends_of(load_hand_made(tmp_path, adtte=adtte, metadata=metadata))["s4"] == "2020-04-15"


def test_the_date_of_a_time_is_adt_where_it_is_there(tmp_path):
    adtte = ADTTE.replace("STARTDT", "STARTDT,ADT").replace(",2020-03-01", ",2020-03-01,2020-12-30")
    adtte = "\n".join(line if line.count(",") == 5 else f"{line}," for line in adtte.splitlines())
    ends = ends_of(load_hand_made(tmp_path, adtte=adtte))
    # s3's AVAL would give the day after.
    assert ends["s3"] == "2020-12-30"
    assert ends["s1"] == "2020-05-20"


def test_the_date_of_a_time_counts_from_enrolment_where_there_is_no_startdt(tmp_path):
    enrolled = ["ENRLDT", "2020-03-01", "2020-01-02", "2020-02-01", "2020-04-01", "2020-04-01"]
    adsl = "\n".join(f"{line},{date}" for line, date in zip(ADSL.splitlines(), enrolled, strict=True))
    adtte = "\n".join(line.rsplit(",", 1)[0] for line in ADTTE.splitlines())
    assert ends_of(load_hand_made(tmp_path, adsl=adsl, adtte=adtte))["s1"] == "2020-05-21"


def test_the_last_infusion_counts_as_observed(trial):
    pfs = trial.times[trial.times["endpoint"] == "PFS"]
    short = dataclasses.replace(trial, times=pfs.assign(AVAL=0.0))
    ends = ends_of(short)
    assert ends["s3"] == "2020-03-30"
    assert ends["s4"] == "2020-04-01"


def test_observation_does_not_go_beyond_death_or_cut_off(trial):
    died = pd.to_datetime(trial.subjects["USUBJID"].map({"s1": "2020-04-30", "s3": "2020-11-30"}))
    # s1's OS says 20 May; DTHDT goes before it. Nobody's death is known to be later than last seen but s5's.
    died[trial.subjects["USUBJID"] == "s5"] = pd.Timestamp("2020-12-30")
    dead = dataclasses.replace(trial, subjects=trial.subjects.assign(DTHDT=died))
    ends = ends_of(dead)
    assert [ends[name] for name in ("s1", "s2", "s3", "s5")] == [
        "2020-04-30", "2020-03-07", "2020-11-30", "2020-12-30"
    ]  # fmt: skip
    metadata = trial.metadata.model_copy(update={"data_cut_off": pd.Timestamp("2020-12-01").date()})
    assert ends_of(dataclasses.replace(dead, metadata=metadata))["s5"] == "2020-12-01"
    metadata = trial.metadata.model_copy(update={"data_cut_off": None})
    assert ends_of(dataclasses.replace(dead, metadata=metadata)) == ends


def test_a_subject_whom_nothing_dates_has_no_end(trial):
    times = trial.times.drop(columns="STARTDT")
    subjects = trial.subjects.assign(enrolled=pd.NaT)
    ends = ends_of(dataclasses.replace(trial, times=times, subjects=subjects))
    assert pd.isna(ends["s4"])
    assert ends["s1"] == "2020-01-22"


@pytest.mark.parametrize(
    ("window_days", "ends", "days"),
    [
        # s3 from 2 March, s1 from 8 January, s2 from 2 February, s5 from 2 April of a leap year.
        (30, ["2020-04-29", "2020-02-21", "2020-03-03", "2020-05-16"], [59, 45, 31, 45]),
        (0, ["2020-03-30", "2020-01-22", "2020-02-02", "2020-04-16"], [29, 15, 1, 15]),
        # s2 dies 34 days after the infusion.
        (60, ["2020-05-29", "2020-03-22", "2020-03-07", "2020-06-15"], [89, 75, 35, 75]),
        (None, ["2020-12-31", "2020-05-20", "2020-03-07", "2020-12-25"], [305, 134, 35, 268]),
    ],
)
def test_time_at_risk(trial, window_days, ends, days):
    at_risk = exposure.list_time_at_risk(trial, window_days=window_days)
    assert list(at_risk) == ["USUBJID", "group", "start", "end", "days", "n_infusions"]
    assert list(at_risk["USUBJID"]) == ["s3", "s1", "s2", "s5"]
    assert list(at_risk["group"]) == ["H", "L", "L", "H"]
    assert list(at_risk["end"].dt.strftime("%Y-%m-%d")) == ends
    assert list(at_risk["days"]) == days
    assert list(at_risk["n_infusions"]) == [3, 2, 1, 2]


@pytest.mark.parametrize("window_days", [-1, 30.5, float("nan"), float("inf")])
def test_a_window_that_is_no_number_of_days_is_refused(trial, window_days):
    with pytest.raises(ValueError, match="window_days"):
        exposure.list_time_at_risk(trial, window_days=window_days)
    with pytest.raises(ValueError, match="window_days"):
        exposure.estimate_rates(trial, window_days=window_days)


def rates_of(trial, term, group, **options):
    rates = exposure.estimate_rates(trial, **options)
    assert list(rates["group"]) == ROWS * (len(rates) // 3)
    (row,) = rates[(rates["term"] == term) & (rates["group"] == group)].to_dict("records")
    return row


@pytest.mark.parametrize(
    ("term", "group", "patients", "outside", "undated", "days", "infusions"),
    [
        # s1 on the first day, one infusion; when s2's fever was nobody knows, so that s2 gives no time.
        ("Fever", "L", 1, 0, 1, 1, 1),
        # s5's on the ninth day, after one of two infusions; s3 has none.
        ("Fever", "H", 1, 0, 0, 9 + 59, 1 + 3),
        ("Fever", "All", 2, 0, 1, 1 + 9 + 59, 1 + 1 + 3),
        # s1's on 1 February, the 25th day, after two infusions; s2's whole time.
        ("Rash", "L", 1, 0, 0, 25 + 31, 2 + 1),
        ("Rash", "H", 0, 0, 0, 59 + 45, 3 + 2),
        # s2's on 7 March, four days too late.
        ("Sepsis", "L", 0, 1, 0, 45 + 31, 2 + 1),
        # s2's sepsis is dated, and outside; the fever may have been within.
        (safety.ANY_TERM, "L", 1, 0, 1, 1, 1),
        (safety.ANY_TERM, "All", 2, 0, 1, 1 + 9 + 59, 1 + 1 + 3),
    ],
)
def test_first_events_and_the_time_up_to_them(
    trial, term, group, patients, outside, undated, days, infusions
):
    row = rates_of(trial, term, group)
    assert [row["n_patients"], row["n_outside"], row["n_undated"]] == [patients, outside, undated]
    assert row["n_evaluable"] == (4 if group == "All" else 2)
    assert row["n_infusions"] == infusions
    assert row["time_at_risk"] == pytest.approx(days / 7)
    assert row["rate"] == pytest.approx(patients / (days / 7))
    assert row["rate_per_infusion"] == pytest.approx(patients / infusions)


def test_a_term_that_nobody_can_place_has_no_rate(tmp_path):
    lines = ["USUBJID,AEDECOD,AETOXGR,ASTDT", "s2,Fever,1,", "s5,Fever,1,2020-04-10"]
    rates = exposure.estimate_rates(load_hand_made(tmp_path, adae="\n".join(lines) + "\n"))
    assert exposure.list_unplaced(rates).tolist() == [True, False, False] * 2
    names = ["rate", "ci_lower", "ci_upper", "rate_per_infusion", "infusion_lower", "infusion_upper"]
    assert rates[names].isna().all(axis=1).tolist() == [True, False, False] * 2
    # Of L only s1 could be followed, without an event.
    assert rates["n_undated"].tolist() == [1, 0, 1] * 2


def test_limits_of_nobody_and_of_one_in_closed_form(trial):
    nobody = rates_of(trial, "Sepsis", "L")
    # exp(-upper * time) is half of what the level leaves.
    assert nobody["ci_lower"] == 0
    assert nobody["ci_upper"] == pytest.approx(-np.log(0.025) / (76 / 7))
    assert nobody["infusion_upper"] == pytest.approx(-np.log(0.025) / 3)
    one = rates_of(trial, "Rash", "L", conf_level=0.9)
    assert one["ci_lower"] == pytest.approx(-np.log(0.95) / 8)
    assert one["infusion_lower"] == pytest.approx(-np.log(0.95) / 3)


def test_wider_window_takes_the_late_event_in(trial):
    row = rates_of(trial, "Sepsis", "L", window_days=34)
    assert [row["n_patients"], row["n_outside"]] == [1, 0]
    assert row["time_at_risk"] == pytest.approx((49 + 35) / 7)


def test_an_event_before_the_time_at_risk_does_not_end_it(trial):
    row = rates_of(trial, "Cough", "L", emergent_only=False)
    assert [row["n_patients"], row["n_outside"], row["n_infusions"]] == [0, 1, 3]
    assert row["time_at_risk"] == pytest.approx((45 + 31) / 7)


def test_rates_of_related_events(trial):
    rates = exposure.estimate_rates(trial, related_only=True)
    assert list(rates["term"].unique()) == [safety.ANY_RELATED, "Fever"]
    # Whether s5's fever was related is not known.
    assert rates_of(trial, "Fever", "H", related_only=True)["n_patients"] == 0


def test_columns_and_order(trial):
    rates = exposure.estimate_rates(trial)
    assert list(rates) == [
        "level", "organ_class", "term", "group", "n_patients", "n_at_risk", "n_evaluable", "time_at_risk",
        "rate", "ci_lower", "ci_upper", "n_infusions", "rate_per_infusion", "infusion_lower",
        "infusion_upper", "n_outside", "n_undated",
    ]  # fmt: skip
    assert list(rates["term"]) == [t for t in (safety.ANY_TERM, "Fever", "Rash", "Sepsis") for _ in ROWS]


def test_no_events_leave_the_whole_time(tmp_path):
    rates = exposure.estimate_rates(load_hand_made(tmp_path, adae=ADAE.splitlines()[0] + "\n"))
    assert list(rates["n_patients"]) == [0, 0, 0]
    assert list(rates["time_at_risk"] * 7) == pytest.approx([76, 104, 180])
    assert list(rates["n_infusions"]) == [3, 5, 8]
    assert list(rates["rate"]) == [0, 0, 0]


def check_not_known(rates, term):
    assert list(rates["term"].unique()) == [term]
    unknown = rates.columns.difference(["level", "organ_class", "term", "group", "n_evaluable"])
    assert rates[unknown].isna().all(axis=None)
    assert list(rates["n_evaluable"]) == [2, 2, 4]


def test_events_not_collected_or_not_related_give_no_rate(tmp_path):
    metadata = METADATA | {"adverse_events": {"collected": False}}
    none = load_hand_made(tmp_path / "none", metadata=metadata, adae=None)
    check_not_known(exposure.estimate_rates(none), safety.ANY_TERM)
    trial = load_hand_made(tmp_path / "unrelated", adae="USUBJID,AEDECOD,AETOXGR\ns1,Fever,1\n")
    check_not_known(exposure.estimate_rates(trial, related_only=True), safety.ANY_RELATED)


def test_treated_without_an_infusion_gives_no_time(tmp_path):
    flags = ["SAFFL", "", "", "", "Y", ""]
    adsl = "\n".join(f"{line},{flag}" for line, flag in zip(ADSL.splitlines(), flags, strict=True))
    with pytest.warns(TrialDataWarning, match="says treated, but ADEX has no infusion"):
        trial = load_hand_made(tmp_path, adsl=adsl, adae=UNFLAGGED)
    at_risk = exposure.list_time_at_risk(trial).set_index("USUBJID")
    assert at_risk.loc["s4", ["start", "end", "days"]].isna().all()
    assert at_risk.loc["s4", "n_infusions"] == 0
    row = rates_of(trial, "Fever", "H")
    assert [row["n_patients"], row["n_undated"], row["n_evaluable"]] == [1, 1, 3]
    assert row["time_at_risk"] == pytest.approx((9 + 59) / 7)
    assert rates_of(trial, "Rash", "H")["time_at_risk"] == pytest.approx((59 + 45) / 7)
    # s4 gives no time to any rate, with an event or without.
    assert [rates_of(trial, term, "H")["n_at_risk"] for term in ("Fever", "Rash")] == [2, 2]
    assert [rates_of(trial, term, "All")["n_at_risk"] for term in ("Fever", "Rash")] == [3, 4]


def test_rates_without_anyone_treated_are_nan(trial):
    nobody = dataclasses.replace(trial, infusions=trial.infusions.iloc[:0])
    rates = exposure.estimate_rates(nobody)
    assert list(rates["time_at_risk"]) == [0, 0, 0]
    unknown = ["rate", "ci_lower", "ci_upper", "rate_per_infusion", "infusion_lower", "infusion_upper"]
    assert rates[unknown].isna().all(axis=None)


def test_limits_agree_with_poisson_test_of_r():
    reference = pd.read_csv(REFERENCE / "poisson_test.csv")
    for conf_level, part in reference.groupby("conf_level"):
        estimates = exposure.estimate_poisson_rate(part["events"], part["exposure"], conf_level=conf_level)
        np.testing.assert_allclose(np.transpose(estimates), part[["rate", "lower", "upper"]], rtol=1e-9)


def test_rate_of_an_unknown_count_or_of_no_time_is_not_estimable():
    rates = exposure.estimate_poisson_rate(pd.array([None, 0, 2], dtype="Int64"), [3.0, 0.0, np.nan])
    assert np.isnan(rates).all()
    with pytest.raises(ValueError, match="conf_level"):
        exposure.estimate_poisson_rate([1], [1.0], conf_level=95)


START = {"s1": "2020-01-08", "s2": "2020-02-02", "s3": "2020-03-02", "s5": "2020-04-02"}
END = {
    5: {"s1": "2020-01-27", "s2": "2020-02-07", "s3": "2020-04-04", "s5": "2020-04-21"},
    None: {"s1": "2020-05-20", "s2": "2020-03-07", "s3": "2020-12-31", "s5": "2020-12-25"},
}
GROUP = {"s1": "L", "s2": "L", "s3": "H", "s5": "H"}
GIVEN = [tuple(line.split(",")[:2]) for line in ADEX.splitlines()[1:]]


def count_by_hand(rows, term, group, window_days):
    """Patients, outside, undated, days, infusions and at risk, one day after the other."""
    totals = np.zeros(6, dtype=int)
    for patient in [name for name in GROUP if group in ("All", GROUP[name])]:
        onsets = [row[2] for row in rows if row[0] == patient and term in (safety.ANY_TERM, row[1])]
        day, last = (dt.date.fromisoformat(at[patient]) for at in (START, END[window_days]))
        n_days = n_given = hit = 0
        while day <= last and not hit:
            n_days, n_given = n_days + 1, n_given + ((patient, day.isoformat()) in GIVEN)
            hit = day in onsets
            day += dt.timedelta(days=1)
        if not hit and None in onsets:
            totals += [0, 0, 1, 0, 0, 0]
        else:
            totals += [hit, not hit and len(onsets) > 0, 0, n_days, n_given, 1]
    return totals.tolist()


@pytest.mark.no_cover
@pytest.mark.parametrize("window_days", [5, None])
@FEWER
@given(rows=EVENTS)
def test_random_events_agree_with_counting_day_by_day(trial, window_days, rows):
    rates = exposure.estimate_rates(replace_events(trial, rows), window_days=window_days)
    for row in rates.itertuples():
        expected = count_by_hand(rows, row.term, row.group, window_days)
        days = round(row.time_at_risk * 7)
        found = [row.n_patients, row.n_outside, row.n_undated, days, row.n_infusions, row.n_at_risk]
        assert found == expected, row


def test_every_trial_adds_up_to_the_table_of_terms(any_trial):
    for related_only in (False, True):
        rates = exposure.estimate_rates(any_trial, related_only=related_only)
        counts = safety.list_terms(safety.count_by_term(any_trial, related_only=related_only))
        counts = counts.query("grade == 'any'")
        assert list(rates["term"]) == list(counts["term"])
        assert list(rates["group"].astype("str")) == list(counts["group"].astype("str"))
        parts = rates["n_patients"] + rates["n_outside"] + rates["n_undated"]
        assert parts.tolist() == counts["n_patients"].tolist()
        time = rates.set_index(["group", "organ_class", "term"])["time_at_risk"]
        np.testing.assert_allclose(sum(time[group] for group in any_trial.groups), time["All"])
