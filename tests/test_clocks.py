"""Endpoints that count from different days: competing events, courses and landmarks on one clock."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from trials import write_trial

from nkhcc_helpers import cohort, survival
from nkhcc_helpers.cox import immortal_time
from nkhcc_helpers.trial.problems import TrialDataError
from nkhcc_helpers.trial.trial import load_trial

pytestmark = pytest.mark.filterwarnings("ignore::nkhcc_helpers.trial.problems.TrialDataWarning")

DAYS = 30.4375
RESPONSE = {"code": "DOR", "label": "Duration of response", "event": "progression", "competing": "OS"}
RESPONSE |= {"role": "other", "population": "responders"}
RESPONDED = 25  # days after enrolment


def add_response(metadata):
    return metadata | {"endpoints": [*metadata["endpoints"], RESPONSE]}


def write_response(folder, *, decimals=4, move=0, **changes):
    """The plain trial with the duration of response of eight patients: until they progress, if they do."""

    def edit(adtte):
        some = adtte[adtte["PARAMCD"] == "PFS"].iloc[:8]
        started = pd.to_datetime(some["STARTDT"]) + pd.to_timedelta(RESPONDED + move, unit="D")
        days = (pd.to_datetime(some["ADT"]) - started).dt.days
        died = some["EVNTDESC"] == "DEATH"
        rows = some.assign(
            PARAMCD="DOR",
            PARAM="DOR",
            AVAL=(days / DAYS).round(decimals).astype(str),
            STARTDT=started.dt.strftime("%Y-%m-%d"),
            CNSR=some["CNSR"].mask(died, "1"),
            EVNTDESC=some["EVNTDESC"].mask(died, ""),
        )
        return pd.concat([adtte.assign(AVAL=adtte["AVAL"].astype(float).round(decimals).astype(str)), rows])

    return write_trial(folder, metadata=add_response, adtte=edit, published=None, **changes)


def list_diagnosed(adsl, days):
    enrolled = pd.Timestamp("2015-01-12") + pd.to_timedelta(41 * adsl.index.to_numpy(), unit="D")
    return adsl.assign(DIAGDT=(enrolled - pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d"))


def test_a_competing_event_counts_from_time_0_of_the_endpoint(tmp_path):
    trial = load_trial(write_response(tmp_path))
    frame = trial.competing("DOR").set_index("USUBJID")
    died = frame[frame["cause"] == 2]
    overall = trial.survival("OS").set_index("USUBJID")["time"]
    assert len(died) >= 2
    assert (died["time"] * DAYS).tolist() == pytest.approx(
        (overall[died.index] * DAYS - RESPONDED).tolist(), abs=0.01
    )
    # Who died on the day of the last assessment did so at its time, although AVAL is rounded.
    assert (died["time"] == died["last_assessed"]).all()
    zero = trial.times[trial.times["endpoint"] == "DOR"]["time_zero"]
    assert ((zero - trial.subjects["enrolled"].iloc[:8].to_numpy()).dt.days == RESPONDED).all()


@pytest.mark.parametrize("codes", [["PFS"], ["OS"], ["PFS", "OS"]])
def test_an_origin_of_either_endpoint_moves_the_competing_time(tmp_path, codes):
    def edit(metadata, codes=()):
        endpoints = [
            each | ({"origin": "DIAGDT"} if each["code"] in codes else {}) for each in metadata["endpoints"]
        ]
        endpoints[0] |= {"competing": "OS", "role": "other"}
        return metadata | {"endpoints": endpoints}

    def only_progression(adtte):
        died = (adtte["PARAMCD"] == "PFS") & (adtte["EVNTDESC"] == "DEATH")
        adtte.loc[died, ["CNSR", "EVNTDESC"]] = ["1", ""]
        return adtte

    def load(name, codes):
        return load_trial(
            write_trial(
                tmp_path / name,
                metadata=lambda metadata: edit(metadata, codes),
                adsl=lambda adsl: list_diagnosed(adsl, [0, 30, 200] * 6),
                adtte=only_progression,
                published=None,
            )
        )

    plain, moved = (load(name, of).competing("PFS") for name, of in (("plain", []), ("moved", codes)))
    assert (moved["cause"] == 2).sum() >= 3
    assert moved["cause"].tolist() == plain["cause"].tolist()
    later = np.array([0, 30, 200] * 6) / DAYS if "PFS" in codes else np.zeros(18)
    patients = moved["USUBJID"].str[2:].astype(int) - 1
    assert (moved["time"] - plain["time"]).tolist() == pytest.approx(later[patients].tolist())
    assert (moved["time"] > moved["time_enter"]).all()


@pytest.mark.parametrize(
    ("day", "origin", "problem"),
    [(24, "", True), (25, "", False), (60, "", False), (25, "DIAGDT", True), (26, "DIAGDT", False)],
)
@pytest.mark.parametrize("censored", [0, 1])
def test_a_competing_event_before_observation_is_a_problem(tmp_path, day, origin, problem, censored):
    """Two patients responded on day 25; one dies on a day, and is at risk on day 25 if that is time 0."""

    def edit(metadata):
        endpoints = [metadata["endpoints"][1], RESPONSE | {"origin": origin}]
        return metadata | {"endpoints": endpoints, "arms": metadata["arms"][:1]}

    ids = ["P1", "P2"]
    overall = pd.DataFrame({"USUBJID": ids, "PARAMCD": "OS", "AVAL": [day / DAYS, 9], "CNSR": [0, 1]})
    response = overall.assign(PARAMCD="DOR", AVAL=3, CNSR=censored, STARTDT="2020-01-26")
    columns = {"STUDYID": "PLAIN", "USUBJID": ids, "TRT01P": "A", "ENRLDT": "2020-01-01"}
    columns |= {"DIAGDT": "2019-12-01", "AGE": 50, "SEX": "F", "AFP": 1, "CHILDPUG": "A"}
    folder = write_trial(
        tmp_path,
        metadata=lambda metadata: edit(metadata) | {"study_id": "PLAIN"},
        adsl=pd.DataFrame(columns),
        adtte=pd.concat([overall.round(4), response]),
        adex=pd.DataFrame({"USUBJID": ids, "ASTDT": "2020-01-01", "EXDOSE": 1}),
        adae="USUBJID,AEDECOD,AETOXGR\n",
        published=None,
    )
    if problem:
        with pytest.raises(TrialDataError) as caught:
            load_trial(folder)
        (found,) = caught.value.problems
        assert (found.table, found.row, found.column) == ("ADTTE", 2, "AVAL")
        assert found.rule.endswith(
            "before DOR, with which it competes, is observed (trial.yaml), from 2020-01-26"
        )
        return
    row = load_trial(folder).competing("DOR").set_index("USUBJID").loc["P1"]
    assert row["cause"] == 2
    assert row["time"] * DAYS == pytest.approx(day - (-31 if origin else 25), abs=0.01)
    assert row["time"] >= row["time_enter"]


def test_undated_endpoints_compete_at_their_own_times(tmp_path):
    def undated(adtte):
        adtte = adtte.drop(columns=["STARTDT", "ADT"])
        adtte.loc[(adtte["PARAMCD"] == "PFS") & (adtte["EVNTDESC"] == "DEATH"), ["CNSR", "EVNTDESC"]] = [
            "1",
            "",
        ]
        return adtte

    def edit(metadata):
        first = metadata["endpoints"][0] | {"competing": "OS", "role": "other"}
        return metadata | {"endpoints": [first, metadata["endpoints"][1]]}

    folder = write_trial(
        tmp_path,
        metadata=edit,
        adtte=undated,
        adsl=lambda adsl: adsl.drop(columns=["TRTSDT", "TRTEDT"]),
        published=None,
    )
    trial = load_trial(folder)
    assert trial.times["time_zero"].isna().all()
    frame = trial.competing("PFS")
    of_it = frame["cause"] == 2
    overall = frame["USUBJID"].map(trial.survival("OS").set_index("USUBJID")["time"])
    assert of_it.any()
    assert (frame["time"] == overall)[of_it].all()


def test_courses_count_from_enrolment_whatever_the_endpoint_counts_from(tmp_path):
    def with_origin(*codes):
        def edit(metadata):
            return metadata | {
                "endpoints": [
                    each | ({"origin": "DIAGDT"} if each["code"] in codes else {})
                    for each in metadata["endpoints"]
                ]
            }

        return edit

    plain = load_trial(write_trial(tmp_path / "plain", published=None))
    for codes in (["OS"], ["PFS"], ["PFS", "OS"]):
        folder = write_trial(
            tmp_path / "-".join(codes),
            metadata=with_origin(*codes),
            adsl=lambda adsl: list_diagnosed(adsl, [0, 30, 200] * 6),
            adtte=lambda adtte: adtte.assign(EVNTDESC=""),
            published=None,
        )
        moved = load_trial(folder)
        assert moved.times["time_enter"].max() > 6
        pd.testing.assert_frame_equal(cohort.list_courses(moved), cohort.list_courses(plain))
        pd.testing.assert_frame_equal(cohort.count_disposition(moved), cohort.count_disposition(plain))
        names = ["death_date", "observed_until"]
        pd.testing.assert_frame_equal(moved.subjects[names], plain.subjects[names])


def test_courses_of_endpoints_that_start_after_enrolment(tmp_path):
    def enrol(adsl):
        return list_diagnosed(adsl, 10).rename(columns={"DIAGDT": "ENRLDT"})

    def undated(adtte):
        return adtte.assign(ADT="")

    plain = load_trial(write_trial(tmp_path / "plain", published=None))
    later = load_trial(write_trial(tmp_path / "later", adsl=enrol, published=None))
    without = load_trial(write_trial(tmp_path / "without", adsl=enrol, adtte=undated, published=None))
    names = ["progression", "death", "last_contact"]
    for trial in (later, without):
        courses = cohort.list_courses(trial).set_index("USUBJID")
        before = cohort.list_courses(plain).set_index("USUBJID").loc[courses.index]
        days = ((courses[names] - before[names]) * DAYS).to_numpy()
        assert days[~np.isnan(days)] == pytest.approx(10)
        assert courses["lost"].tolist() == before["lost"].tolist()
        assert courses["alive"].tolist() == before["alive"].tolist()


def test_events_before_the_plans_part_count_from_the_first_infusion(tmp_path):
    trial = load_trial(write_response(tmp_path))
    first = (trial.times["endpoint"] == "DOR") & (trial.times["USUBJID"] == "S-01")
    # Infused first on day 3 and responding on day 25; the plans part 56 days after the first infusion.
    for day, n_early in ((30, 1), (40, 0), (80, 0)):
        times = trial.times.assign(time=trial.times["time"].mask(first, day / DAYS))
        counted = immortal_time.count_events_before_plans_part(dataclasses.replace(trial, times=times), "DOR")
        assert (counted["days"], counted["n_early"]) == (56, n_early)


def test_simulated_progression_is_timed_from_observation_on(plain_trial):
    late = np.where(plain_trial.times["endpoint"] == "PFS", 2000 / DAYS, 0.0)
    zero = plain_trial.times["time_zero"] - pd.to_timedelta(np.rint(late * DAYS), unit="D")
    times = plain_trial.times.assign(time=plain_trial.times["time"] + late, time_enter=late, time_zero=zero)
    moved = dataclasses.replace(plain_trial, times=times)
    got, plain = (
        immortal_time.simulate_immortal_time(each, "OS", n_trials=20) for each in (moved, plain_trial)
    )
    assert np.isfinite(plain["rejected"]).all()
    pd.testing.assert_frame_equal(pd.DataFrame(got), pd.DataFrame(plain))


def test_nothing_is_known_before_the_first_entry():
    late = {"time_enter": [3.0, 4, 5, 6]}
    times, events = [7.0, 9, 9, 12], [1, 0, 1, 1]
    rates = survival.estimate_survival_at(times, events, at=[0, 2, 3, 3.5, 7, 13], conf_type="plain", **late)
    assert rates["n_at_risk"].tolist() == [0, 0, 0, 1, 4, 0]
    assert rates[["survival", "ci_lower", "ci_upper"]].isna().all(axis=1).tolist() == [True] * 3 + [False] * 3
    assert rates["survival"].tolist()[3:] == [1, 0.75, 0]
    curve = survival.estimate_km(times, events, conf_type="plain", **late)
    assert curve["time"].tolist() == [3, 7, 9, 12]
    frame = pd.DataFrame({"time": times, "event": events, "cause": events, "group": list("AABB"), **late})
    shown = survival.summarize_survival_at(frame, at=[4, 5, 5.5]).pivot_table(
        index="group", columns="time", values="survival", dropna=False
    )
    assert shown.loc["B"].isna().tolist() == [True, True, False]
    assert shown.loc[["A", "All"]].notna().all(axis=None)
    shares = survival.summarize_incidence_at(frame, at=[4, 5, 5.5]).set_index(["group", "time"])
    assert shares.loc["B", "incidence"].isna().tolist() == [True, True, False]
    incidence = survival.estimate_incidence(times, events, **late)
    assert incidence.groupby("cause")["time"].first().tolist() == [3, 3]
