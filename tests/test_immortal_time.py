"""Infusions received as a covariate: against R, lifelines, and counts made by hand."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxTimeVaryingFitter
from r_values import REFERENCE, read_data, read_reference
from trials import plain, write_trial

from nkhcc_helpers.cox import immortal_time
from nkhcc_helpers.cox.models import fit_cox_many
from nkhcc_helpers.report import tables
from nkhcc_helpers.trial.trial import load_trial


@pytest.fixture(scope="module")
def reference_trial(tmp_path_factory):
    """The trial given to R: ties, infusions on the day of the event, before the start and after the event."""
    data, given = read_data("time_varying"), read_data("time_varying_infusions")
    start = pd.to_datetime(data["start"])
    adsl = pd.DataFrame({"STUDYID": "PLAIN", "USUBJID": data["subject"], "TRT01P": data["group"]})
    adsl["ENRLDT"] = (start - pd.Timedelta(days=7)).dt.strftime("%Y-%m-%d")
    adtte = pd.DataFrame(
        {
            "USUBJID": data["subject"],
            "PARAMCD": "PFS",
            "AVAL": (data["days"] / 30.4375).map("{:.4f}".format),
            "CNSR": (1 - data["event"]).astype(str),
            "STARTDT": data["start"],
            "ADT": (start + pd.to_timedelta(data["days"], unit="D")).dt.strftime("%Y-%m-%d"),
        }
    )
    adex = given.set_axis(["USUBJID", "EXSEQ", "ASTDT"], axis=1).assign(EXDOSE="1").astype(str)
    metadata = plain().metadata | {"baseline": [], "adverse_events": {"collected": False}}
    metadata["endpoints"] = metadata["endpoints"][:1]
    tables = {"metadata": metadata, "adsl": adsl, "adtte": adtte, "adex": adex}
    folder = tmp_path_factory.mktemp("reference")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_trial(write_trial(folder, **tables, adae=None, published=None))


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_fits_agree_with_r(reference_trial, ties):
    what = {
        "n": "n",
        "n_events": "n_events",
        "coef": "coef",
        "pl_lower_hr": "ci_lower",
        "pl_upper_hr": "ci_upper",
        "lr_p": "p_value",
    }
    got = immortal_time.fit_received(reference_trial, "PFS", ties=ties).set_index("fit")
    rows = read_reference("time_varying", *what)
    rows = rows[rows["at"] == ties]
    assert len(rows) == 6 * len(got) == 30
    for row in rows.itertuples():
        assert got.loc[row.group, what[row.what]] == pytest.approx(row.value, abs=1e-6), (row.group, row.what)
    assert (got["hr"] == np.exp(got["coef"])).all()
    assert (got["covariate"] == "infusions").all()
    assert got["landmark"].isna().tolist() == [True, True, True, False, False]
    assert got["landmark"].iloc[-1] == pytest.approx(56 / 30.4375)


def test_intervals_agree_with_r(reference_trial):
    got = immortal_time.list_infusion_intervals(reference_trial, "PFS")
    theirs = pd.read_csv(REFERENCE / "time_varying_intervals.csv")
    # R was told to start on day -7, before anything happened; here the first day is -1.
    theirs = theirs[theirs["tstop"] > -1].assign(tstart=theirs["tstart"].clip(lower=-1))
    columns = ["USUBJID", "start", "stop", "event", "infusions"]
    assert got[columns].to_numpy().tolist() == theirs.to_numpy().tolist()
    assert (got["clock"] == "STARTDT").all()
    assert got["group"].dtype == reference_trial.subjects["group"].dtype


def listed(trial, subject):
    rows = immortal_time.list_infusion_intervals(trial, "PFS")
    rows = rows[rows["USUBJID"] == subject]
    return rows[["start", "stop", "infusions", "event"]].to_numpy().tolist()


def with_infusions(trial, subject, dates):
    """The trial with other infusions of one subject."""
    others = trial.infusions[trial.infusions["USUBJID"] != subject]
    rows = pd.DataFrame({"USUBJID": subject, "date": pd.to_datetime(dates)})
    rows["infusion"] = range(1, len(rows) + 1)
    return dataclasses.replace(trial, infusions=pd.concat([others, rows], ignore_index=True))


def test_infusions_so_far_by_hand(plain_trial):
    row = plain_trial.times.set_index(["USUBJID", "endpoint"]).loc[("S-01", "PFS")]
    start, end = row["STARTDT"], row["ADT"]
    last = (end - start).days
    assert row["event"]
    assert last > 20

    def after(*days):
        return [start + pd.Timedelta(days=day) for day in days]

    # One before the start, two on one day, one on the day of the event, one after it.
    changed = with_infusions(plain_trial, "S-01", after(-2, 5, 5, 12, last, last + 3))
    assert listed(changed, "S-01") == [
        [0, 5, 1, False],
        [5, 12, 3, False],
        [12, last, 4, True],
    ]
    assert listed(with_infusions(plain_trial, "S-01", after(0)), "S-01") == [[0, last, 1, True]]
    assert listed(with_infusions(plain_trial, "S-01", []), "S-01") == [[0, last, 0, True]]
    fit = immortal_time.fit_received(with_infusions(plain_trial, "S-01", []), "PFS")
    assert fit["n"].iloc[0] == len(plain_trial.subjects)


def test_days_count_as_times_do(plain_trial):
    # Where the first day is day 1, an infusion on the day of the event is not one before it.
    times = plain_trial.times.assign(time=plain_trial.times["time"] + 1 / 30.4375)
    shifted = dataclasses.replace(plain_trial, times=times)
    row = times.set_index(["USUBJID", "endpoint"]).loc[("S-01", "PFS")]
    last = (row["ADT"] - row["STARTDT"]).days
    changed = with_infusions(shifted, "S-01", [row["STARTDT"], row["ADT"]])
    assert listed(changed, "S-01") == [[0, 1, 0, False], [1, last + 1, 1, True]]
    plain_days = immortal_time.fit_received(plain_trial, "PFS")
    pd.testing.assert_frame_equal(immortal_time.fit_received(shifted, "PFS"), plain_days)


def test_where_days_count_from(plain_trial):
    subjects, times = plain_trial.subjects.copy(), plain_trial.times.copy()
    who = list(subjects["USUBJID"][:4])
    never = subjects.loc[subjects["first_infusion"].isna(), "USUBJID"].iloc[0]
    times.loc[times["USUBJID"].isin([*who[1:], never]), "STARTDT"] = pd.NaT
    subjects.loc[subjects["USUBJID"] == who[1], "enrolled"] -= pd.Timedelta(days=10)
    subjects.loc[subjects["USUBJID"].isin([who[2], never]), "enrolled"] = pd.NaT
    changed = dataclasses.replace(plain_trial, subjects=subjects, times=times)
    first = immortal_time.list_infusion_intervals(changed, "PFS").drop_duplicates("USUBJID")
    first = first.set_index("USUBJID")
    assert first.loc[[*who[:3], never], "clock"].tolist() == ["STARTDT", "enrolment", "first infusion", ""]
    # The first infusion is on day 3 of enrolment.
    assert first.loc[who[:2], "stop"].tolist() == [3, 13]
    assert first.loc[who[2], ["start", "infusions"]].tolist() == [0, 1]
    assert first.loc[never, "infusions"] == 0
    without = dataclasses.replace(plain_trial, times=plain_trial.times.drop(columns=["STARTDT", "ADT"]))
    assert (immortal_time.list_infusion_intervals(without, "PFS")["clock"] == "enrolment").all()


def test_time_varying_fit_agrees_with_lifelines(any_trial):
    endpoint = any_trial.metadata.endpoints[0].code
    fit = immortal_time.fit_received(any_trial, endpoint).set_index("fit").loc["so far"]
    intervals = immortal_time.list_infusion_intervals(any_trial, endpoint)
    frame = intervals[["USUBJID", "start", "stop", "infusions", "event"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CoxTimeVaryingFitter().fit(
            frame, "event", id_col="USUBJID", fit_options={"precision": 1e-12}
        )
    if np.isnan(fit["coef"]):  # whoever is at risk at an event has received as many: nothing to learn from
        at_risk = [
            frame[(frame["start"] < stop) & (stop <= frame["stop"])] for stop in frame["stop"][frame["event"]]
        ]
        assert all(len(set(each["infusions"])) == 1 for each in at_risk)
        return
    assert fit["coef"] == pytest.approx(theirs.params_["infusions"], abs=1e-7)
    # Of one coefficient, limits hold what the likelihood-ratio test at their level does not reject.
    assert (fit["ci_lower"] < 1 < fit["ci_upper"]) == (fit["p_value"] > 0.05)


def test_intervals_tile_each_follow_up(any_trial):
    endpoint = any_trial.metadata.endpoints[-1].code
    intervals = immortal_time.list_infusion_intervals(any_trial, endpoint)
    expected = any_trial.survival(endpoint).set_index("USUBJID")
    assert (intervals["start"] < intervals["stop"]).all()
    for subject, rows in intervals.groupby("USUBJID"):
        assert rows["start"].tolist()[1:] == rows["stop"].tolist()[:-1]
        assert (rows["infusions"].diff().dropna() > 0).all()
        assert rows["event"].tolist()[:-1] == [False] * (len(rows) - 1)
        assert rows["event"].iloc[-1] == expected.loc[subject, "event"]


def test_what_is_not_estimable_is_nan(plain_trial):
    arms = [arm.model_copy(update={"infusions": 4}) for arm in plain_trial.metadata.arms]
    same = dataclasses.replace(
        plain_trial,
        metadata=plain_trial.metadata.model_copy(update={"arms": arms}),
        subjects=plain_trial.subjects.assign(planned_infusions=4.0),
    )
    fits = immortal_time.fit_received(same, "PFS").set_index("fit")
    numbers = ["coef", "hr", "ci_lower", "ci_upper", "p_value"]
    # One plan for all: nothing planned to compare, and no day on which the plans part.
    assert fits.loc["planned", numbers].isna().all()
    assert fits.loc["received", numbers].notna().all()
    assert fits.loc[["landmark received", "landmark planned"], [*numbers, "landmark"]].isna().all(axis=None)
    assert fits.loc["landmark planned", ["n", "n_events"]].tolist() == [0, 0]
    nobody = dataclasses.replace(plain_trial, times=plain_trial.times.assign(event=False))
    assert immortal_time.fit_received(nobody, "PFS")[numbers].isna().all(axis=None)
    with pytest.raises(ValueError, match="ties must be one of"):
        immortal_time.fit_received(plain_trial, "PFS", ties="exact")
    with pytest.raises(ValueError, match="conf_level must lie between"):
        immortal_time.fit_received(plain_trial, "PFS", conf_level=95)
    with pytest.raises(ValueError, match="no endpoint 'TTP'"):
        immortal_time.fit_received(plain_trial, "TTP")


def test_separated_infusions_are_not_estimable(plain_trial):
    # Whoever lives longer received more, without exception.
    rank = plain_trial.survival("PFS").set_index("USUBJID")["time"].rank(method="dense").astype(int)
    start = plain_trial.subjects.set_index("USUBJID")["enrolled"]
    rows = [
        {"USUBJID": subject, "infusion": k, "date": start[subject] + pd.Timedelta(days=k)}
        for subject, n in rank.items()
        for k in range(1, n + 1)
    ]
    ordered = dataclasses.replace(plain_trial, infusions=pd.DataFrame(rows))
    fits = immortal_time.fit_received(ordered, "PFS").set_index("fit")
    assert fits.loc["received", ["coef", "hr", "ci_lower", "ci_upper", "p_value"]].isna().all()


def test_simulated_fits_find_what_is_not_there(bundled_trial):
    trial = bundled_trial
    table = immortal_time.simulate_immortal_time(trial, "PFS", seed=1).set_index("fit")
    assert list(table.index) == list(immortal_time.Count)
    assert table.loc["received", "rejected"] > 0.3
    assert table.loc["received", "median_hr"] < 0.9
    fair = table.loc[["planned", "so far", "landmark planned"]]
    # The likelihood-ratio test of 18 patients rejects in 6 to 7 % of trials, whatever the covariate.
    assert fair["rejected"].between(0.04, 0.085).all()
    assert fair["median_hr"].between(0.97, 1.03).all()
    assert table["error"].iloc[0] == pytest.approx(np.sqrt(table["rejected"].iloc[0] * 0.5 / 2000), rel=0.1)
    # By plan everyone still followed at the landmark has received the same.
    assert table.loc["landmark received", "not_estimable"] == 1
    assert table.loc["landmark received", ["rejected", "error", "median_hr"]].isna().all()


@pytest.mark.no_cover
def test_more_patients_mend_the_level_and_not_the_bias(bundled_trial):
    options = {"n_trials": 300, "copies": 5, "seed": 2}
    table = immortal_time.simulate_immortal_time(bundled_trial, "PFS", **options).set_index("fit")
    assert table.loc["received", "rejected"] > 0.95
    for name in ("planned", "so far", "landmark planned"):
        assert abs(table.loc[name, "rejected"] - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 300)


@pytest.fixture
def watched(monkeypatch):
    """What simulated trials are fitted to: times, events and covariates of each fit."""
    seen = []

    def watch(times, events, x, **options):
        seen.append((times, events, x))
        return fit_cox_many(times, events, x, **options)

    monkeypatch.setattr(immortal_time, "fit_cox_many", watch)
    return seen


def test_simulated_trials_are_as_planned(watched, bundled_trial):
    trial = bundled_trial
    immortal_time.simulate_immortal_time(trial, "PFS", n_trials=300, seed=5)
    (times, events, received), (_, _, planned), (_, _, so_far) = watched[:3]
    observed = trial.survival("PFS")
    longest = np.rint(observed["time"].max() * 30.4375)
    assert times.max() <= longest
    assert (times[~events] == longest).all()
    # The median of the trial is that of all simulated patients.
    assert np.median(times) == pytest.approx(np.median(observed["time"]) * 30.4375, rel=0.06)
    assert planned[0, :, 0].tolist() == observed["infusions"].tolist()
    by_hand = np.minimum(np.ceil(times / 14), planned[..., 0])
    assert (received[..., 0] == by_hand).all()
    # At the time of its own event a patient has received all it ever will; others had fewer or as many.
    own = so_far[:, np.arange(18), np.arange(18), 0]
    assert (own == by_hand).all()
    others = np.ceil(np.minimum(times[0], times[0, 3]) / 14)
    assert (so_far[0, 3, :, 0] == np.minimum(others, planned[0, :, 0])).all()


def without_intervals(trial):
    arms = [arm.model_copy(update={"interval_days": None}) for arm in trial.metadata.arms]
    return dataclasses.replace(trial, metadata=trial.metadata.model_copy(update={"arms": arms}))


def test_interval_of_the_trial_where_none_is_planned(plain_trial):
    known = immortal_time.simulate_immortal_time(plain_trial, "PFS", n_trials=200)
    unknown = immortal_time.simulate_immortal_time(without_intervals(plain_trial), "PFS", n_trials=200)
    # Infusions were 14 days apart, as planned; only the landmark cannot be told.
    pd.testing.assert_frame_equal(known.iloc[:3], unknown.iloc[:3])
    assert (unknown["not_estimable"].iloc[3:] == 1).all()
    given = plain_trial.infusions.drop_duplicates("USUBJID")
    once = dataclasses.replace(without_intervals(plain_trial), infusions=given)
    table = immortal_time.simulate_immortal_time(once, "PFS", n_trials=5)
    assert table["rejected"].isna().all()
    assert (table["not_estimable"] == 1).all()


def test_simulation_on_any_trial(any_trial):
    for endpoint in any_trial.endpoint_labels:
        table = immortal_time.simulate_immortal_time(any_trial, endpoint, n_trials=40)
        assert table["not_estimable"].between(0, 1).all()
        assert table["rejected"].dropna().between(0, 1).all()
        assert (table["rejected"].isna() == (table["not_estimable"] == 1)).all()
        if len(any_trial.groups) > 1:
            assert table["rejected"].iloc[:3].notna().all()


def test_simulation_repeats_and_says_what_is_wrong(plain_trial):
    first = immortal_time.simulate_immortal_time(plain_trial, "OS", n_trials=60, seed=3)
    pd.testing.assert_frame_equal(
        first, immortal_time.simulate_immortal_time(plain_trial, "OS", n_trials=60, seed=3)
    )
    other = immortal_time.simulate_immortal_time(plain_trial, "OS", n_trials=60, seed=4)
    assert (first["median_hr"].iloc[:3] != other["median_hr"].iloc[:3]).all()
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1; got 5"):
        immortal_time.simulate_immortal_time(plain_trial, "OS", alpha=5)
    with pytest.raises(ValueError, match="n_trials and copies must be at least 1; got 0 and 1"):
        immortal_time.simulate_immortal_time(plain_trial, "OS", n_trials=0)
    nobody = dataclasses.replace(plain_trial, times=plain_trial.times.assign(event=False))
    table = immortal_time.simulate_immortal_time(nobody, "OS", n_trials=5)
    assert (table["not_estimable"] == 1).all()


def test_median_not_reached_gives_the_events_per_time(plain_trial, watched):
    first = plain_trial.survival("PFS").nsmallest(2, "time")["USUBJID"]
    seen = plain_trial.times["USUBJID"].isin(first)
    few = dataclasses.replace(plain_trial, times=plain_trial.times.assign(event=seen))
    immortal_time.simulate_immortal_time(few, "PFS", n_trials=300, seed=6)
    times, events, _ = watched[0]
    days = np.rint(few.survival("PFS")["time"] * 30.4375)
    assert events.sum() / times.sum() == pytest.approx(2 / days.sum(), rel=0.1)


def test_infusions_that_stop_at_progression_mislead_whatever_is_counted_of_them(bundled_trial):
    # Progression foretells death, so that few infusions do, although they have no effect.
    table = immortal_time.simulate_immortal_time(bundled_trial, "OS", n_trials=300, copies=5).set_index("fit")
    assert table.loc["so far", "rejected"] > 0.09
    assert table.loc["landmark received", "rejected"] > 0.12
    assert table.loc["planned", "rejected"] < 0.08
    assert table.loc["landmark planned", "rejected"] < 0.08


def test_an_endpoint_of_progressions_stops_as_progression_does(plain_trial):
    def add(code, times):
        first = plain_trial.metadata.endpoints[0]
        other = first.model_copy(update={"code": code, "label": code, "role": "other"})
        metadata = plain_trial.metadata.model_copy(
            update={"endpoints": [*plain_trial.metadata.endpoints, other]}
        )
        times = pd.concat([plain_trial.times, times.assign(endpoint=code)])
        return dataclasses.replace(plain_trial, metadata=metadata, times=times)

    rows = plain_trial.times[plain_trial.times["endpoint"] == "PFS"]
    # Time to progression: some of the events of the other are deaths, here censored.
    died = rows["USUBJID"].isin(rows.loc[rows["event"], "USUBJID"].iloc[:3])
    progressions = rows.assign(event=rows["event"] & ~died)
    later = progressions.assign(time=progressions["time"] * 3)
    for times, stops in ((progressions, False), (later, True)):
        table = immortal_time.simulate_immortal_time(add("TTP", times), "TTP", n_trials=20)
        assert table.options["stops_at_progression"] == stops
        assert table["rejected"].iloc[:3].notna().all()
        told = tables.format_result(table, plain_trial, about="TTP").as_raw_html()
        assert f"Infusions stop at {'progression' if stops else 'the event'}" in told
    assert immortal_time.simulate_immortal_time(plain_trial, "OS", n_trials=5).options["stops_at_progression"]
    # Time from elsewhere: late entry, or a start long after treatment.
    entered = progressions.assign(time=progressions["time"] + 2, time_enter=2.0)
    started = progressions.assign(STARTDT=pd.to_datetime(progressions["STARTDT"]) + pd.Timedelta(days=60))
    for times in (entered, started):
        table = immortal_time.simulate_immortal_time(add("TTP", times), "TTP", n_trials=5)
        assert (table["not_estimable"] == 1).all()
        assert (
            "NE: time does not start with treatment"
            in tables.format_result(table, plain_trial, about="TTP").as_raw_html()
        )


def test_whoever_comes_late_is_at_risk_from_then_on(plain_trial):
    # Time from an origin some weeks before the start of observation: the same patients, the same intervals.
    shift = np.array([0.0, 30, 60])[np.arange(len(plain_trial.times)) % 3] / 30.4375
    zero = plain_trial.times["time_zero"] - pd.to_timedelta(np.rint(shift * 30.4375), unit="D")
    times = plain_trial.times.assign(time=plain_trial.times["time"] + shift, time_enter=shift, time_zero=zero)
    trial = dataclasses.replace(plain_trial, times=times)
    late, plain = (immortal_time.list_infusion_intervals(each, "OS") for each in (trial, plain_trial))
    moved = late["start"] - plain["start"]
    assert set(moved) == {0, 30, 60}
    assert (late["stop"] - plain["stop"]).tolist() == moved.tolist()
    assert late["infusions"].tolist() == plain["infusions"].tolist()
    table = immortal_time.fit_received(trial, "OS").set_index("fit")
    frame = late[["USUBJID", "start", "stop", "event", "infusions"]]
    theirs = CoxTimeVaryingFitter().fit(
        frame, id_col="USUBJID", start_col="start", stop_col="stop", event_col="event"
    )
    assert table.loc["so far", "coef"] == pytest.approx(theirs.params_["infusions"], abs=1e-5)
    days = immortal_time.count_events_before_plans_part(trial, "OS")
    assert days == immortal_time.count_events_before_plans_part(plain_trial, "OS")
    for fit in ("landmark received", "landmark planned"):
        assert (
            table.loc[fit, "n"]
            == immortal_time.fit_received(plain_trial, "OS").set_index("fit").loc[fit, "n"]
        )
