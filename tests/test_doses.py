"""Doses by interval, a placebo arm, and trials in which exposure was not collected, against plain loops."""

import csv
import datetime as dt
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hand_made import METADATA, load_hand_made
from trials import edit_text, write_trial

from nkhcc_helpers import cohort, cox, safety
from nkhcc_helpers.cli import main
from nkhcc_helpers.report import figures, tables
from nkhcc_helpers.report.figures.courses import join_days
from nkhcc_helpers.trial.doses import find_frequency
from nkhcc_helpers.trial.problems import TrialDataError, TrialDataWarning
from nkhcc_helpers.trial.trial import load_trial

PILOT = Path(__file__).parent / "data" / "pilot"
OS = [{"code": "OS", "label": "Overall survival", "role": "overall_survival"}]


def write_pilot(folder, *unknown):
    """The pilot tables as ADaM: EX as ADEX, without screen failures; `unknown` are keys of arms left out."""
    folder.mkdir()
    adsl = pd.read_csv(PILOT / "adsl.csv", dtype=str, keep_default_na=False)
    adsl = adsl[adsl["TRT01P"] != "Screen Failure"]
    renamed = {"EXSTDTC": "ASTDT", "EXENDTC": "AENDT"}
    for name, file in {"adtte": "adtte_onco", "adex": "ex", "adae": "adae"}.items():
        table = pd.read_csv(PILOT / f"{file}.csv", dtype=str, keep_default_na=False).rename(columns=renamed)
        table[table["USUBJID"].isin(adsl["USUBJID"])].to_csv(folder / f"{name}.csv", index=False)
    adsl.to_csv(folder / "adsl.csv", index=False)
    doses = {"Placebo": 0.0, "Xanomeline Low Dose": 54.0, "Xanomeline High Dose": 75.0}
    arms = [
        {"code": code, "label": code, "order": order, "infusions": 182, "dose": dose}
        for order, (code, dose) in enumerate(doses.items())
    ]
    arms = [{key: value for key, value in arm.items() if key not in unknown} for arm in arms]
    told = {"arms": arms, "endpoints": OS, "treatment_word": "patch", "related": ["PROBABLE", "POSSIBLE"]}
    told |= {"study_id": "CDISCPILOT01", "baseline": [], "data_cut_off": None, "not_related": ["REMOTE"]}
    (folder / "trial.yaml").write_text(yaml.safe_dump(METADATA | told), "utf-8")
    return folder


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    return load_trial(write_pilot(tmp_path_factory.mktemp("pilot") / "trial"), warn=False)


@pytest.fixture(scope="module")
def days_of_pilot():
    """The days on which each patient of the pilot tables had a patch, each with its dose."""
    days = defaultdict(list)
    with (PILOT / "ex.csv").open() as file:
        for row in csv.DictReader(file):
            day = dt.date.fromisoformat(row["EXSTDTC"])
            while day <= dt.date.fromisoformat(row["EXENDTC"]):
                days[row["USUBJID"]].append((day, float(row["EXDOSE"])))
                day += dt.timedelta(days=1)
    return {patient: sorted(found) for patient, found in days.items()}


def test_doses_of_the_pilot_are_those_of_a_loop(pilot, days_of_pilot):
    patients = pilot.subjects.set_index("USUBJID")
    assert patients["n_infusions"].to_dict() == {one: len(days) for one, days in days_of_pilot.items()}
    assert patients["treated"].all()
    for one, rows in pilot.infusions.groupby("USUBJID"):
        days = days_of_pilot[one]
        assert list(zip(rows["date"].dt.date, rows["dose"], strict=True)) == days
        assert rows["infusion"].tolist() == list(range(1, len(days) + 1))
        assert (rows["end"] == rows["date"]).all()
        ends = (patients.loc[one, "first_infusion"].date(), patients.loc[one, "last_exposure"].date())
        assert ends == (days[0][0], days[-1][0])
    # Whoever went from 54 to 81 within the trial has both.
    changed = [one for one, days in days_of_pilot.items() if len({dose for _, dose in days}) == 2]
    assert len(changed) > 10


def test_a_placebo_arm_of_unknown_dose_is_exposed(tmp_path, days_of_pilot):
    trial = load_trial(write_pilot(tmp_path / "trial", "dose", "infusions"), warn=False)
    assert "ADEX EXDOSE: is 0 in every row of Placebo, counted as given there" in trial.warnings
    n_infusions = trial.subjects.set_index("USUBJID")["n_infusions"].to_dict()
    assert n_infusions == {one: len(days) for one, days in days_of_pilot.items()}
    assert cohort.count_disposition(trial)[["n_completed", "n_fewer"]].isna().all(axis=None)
    exposure = cohort.summarize_exposure(trial)
    assert exposure[["planned_infusions", "planned_dose", "n_completed"]].isna().all(axis=None)
    assert exposure["received_dose_median"].notna().all()


def test_exposure_of_the_pilot(pilot, days_of_pilot):
    exposure = cohort.summarize_exposure(pilot).set_index("group")
    arm = pilot.subjects.set_index("USUBJID")["TRT01P"]
    for group in pilot.groups:
        own = [days for one, days in days_of_pilot.items() if arm[one] == group]
        sums = [sum(dose for _, dose in days) for days in own]
        lengths = [(days[-1][0] - days[0][0]).days + 1 for days in own]
        assert exposure.loc[group, "received_median"] == np.median([len(days) for days in own])
        assert exposure.loc[group, "received_dose_median"] == np.median(sums)
        assert exposure.loc[group, "received_dose_maximum"] == max(sums)
        assert exposure.loc[group, ["duration_minimum", "duration_maximum"]].tolist() == [
            min(lengths),
            max(lengths),
        ]
        per_day = [total / length for total, length in zip(sums, lengths, strict=True)]
        assert exposure.loc[group, "intensity_median"] == pytest.approx(np.median(per_day))
    shown = tables.format_result(cohort.summarize_exposure(pilot), pilot).as_raw_html()
    assert "Dose per day" in shown
    assert "First to last" in shown


def test_events_of_the_pilot_belong_to_the_latest_patch(pilot, days_of_pilot):
    dated = pilot.adverse_events.dropna(subset=["onset"])
    for event in dated.itertuples():
        before = [day for day, _ in days_of_pilot[event.USUBJID] if day <= event.onset.date()]
        assert event.latest_infusion == len(before)
        assert event.days_since_infusion == (event.onset.date() - before[-1]).days
    by_patch = safety.count_by_infusion(pilot)
    everyone = by_patch[by_patch["group"] == "All"].set_index("infusion")["n_received"]
    n_given = Counter(len(days) for days in days_of_pilot.values())
    assert everyone[100] == sum(n for length, n in n_given.items() if length >= 100)
    shown = tables.format_result(by_patch, pilot).as_raw_html()
    assert "Patch 30" in shown
    assert "Patch 31" not in shown
    assert f"of up to {max(n_given)} are shown" in shown


def test_received_so_far_of_the_pilot(pilot, days_of_pilot):
    intervals = cox.list_infusion_intervals(pilot, "OS")
    starts = pilot.times.set_index("USUBJID")["STARTDT"]
    for one, rows in intervals.groupby("USUBJID"):
        # AVAL of these tables counts the day of STARTDT, so that it is day 1.
        since = [(day - starts[one].date()).days + 1 for day, _ in days_of_pilot[one]]
        for row in rows.itertuples():
            assert row.infusions == sum(day <= row.start for day in since)
    fits = cox.fit_received(pilot, "OS").set_index("fit")
    assert fits.loc["received", "n"] == len(pilot.subjects)


def test_daily_patches_are_drawn_as_bars(pilot):
    timelines = safety.list_timelines(pilot)
    bars = join_days(timelines.infusions, "day", "end_day")
    assert len(bars) < 1.2 * len(timelines.patients)
    assert bars["joined"].sum() >= len(timelines.patients) - 1
    axes = figures.plot_timelines(timelines, pilot.group_labels, word="patch")
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[:2] == ["Patch", "Patch, without a gap"]
    courses, given = cohort.list_courses(pilot), cohort.list_infusion_times(pilot)
    axes = figures.plot_swimmer(courses, given, pilot.group_labels, pilot.unit, word="patch")
    assert max(len(each.get_segments()) for each in axes.findobj(lambda a: hasattr(a, "get_segments"))) < 100


@pytest.mark.parametrize(
    ("word", "frequency"),
    [
        ("ONCE", (1, 0)),
        ("QD", (1, 24)),
        ("BID", (2, 24)),
        ("TID", (3, 24)),
        ("QOD", (1, 48)),
        ("Q8H", (1, 8)),
        ("QW", (1, 168)),
        ("EVERY WEEK", (1, 168)),
        ("Q2W", (1, 336)),
        ("EVERY 3 WEEKS", (1, 504)),
        ("Q4W", (1, 672)),
        ("3 TIMES PER WEEK", (3, 168)),
        ("QM", None),
        ("PRN", None),
        ("Q0W", None),
    ],
)
def test_words_of_frequency(word, frequency):
    assert find_frequency(word) == frequency


def load_doses(folder, *rows, adsl="", **metadata):
    """One patient P1 of an arm of dose 5, given these rows of ADEX from 1 January 2020 on."""
    adsl = adsl or "STUDYID,USUBJID,TRT01P,ENRLDT\nHAND,P1,L,2020-01-01\n"
    arms = [{"code": "L", "label": "L", "order": 1, "infusions": 400, "dose": 5.0}]
    told = METADATA | {"arms": arms, "endpoints": OS, "baseline": [], "data_cut_off": None} | metadata
    adex = "USUBJID,ASTDT,AENDT,EXDOSFRQ,EXDOSE\n" + "".join(f"P1,{row}\n" for row in rows)
    adae = "USUBJID,AEDECOD,AETOXGR,ASTDT\nP1,Rash,1,2020-01-20\n"
    adtte = "USUBJID,PARAMCD,AVAL,CNSR\nP1,OS,400,0\n"
    return load_hand_made(folder, metadata=told, adsl=adsl, adtte=adtte, adex=adex, adae=adae)


@pytest.mark.parametrize(
    ("row", "days"),
    [
        ("2020-01-01,2020-01-10,QD,5", range(10)),
        ("2020-01-01,2020-01-10,bid,5", sorted([*range(10), *range(10)])),
        ("2020-01-01,2020-01-29,Q2W,5", [0, 14, 28]),
        ("2020-01-01,2020-01-28,Q2W,5", [0, 14]),
        ("2020-01-01,2020-01-07,BIW,5", [0, 3]),
        ("2020-01-01,2020-01-07,TIW,5", [0, 2, 4]),
        ("2020-01-01,2020-01-04,Q36H,5", [0, 1, 3]),
        ("2020-01-01,2020-01-01,QD,5", [0]),
        ("2020-01-01,,ONCE,5", [0]),
        ("2020-01-01,,,5", [0]),
    ],
)
def test_doses_of_a_row(tmp_path, row, days):
    trial = load_doses(tmp_path, row)
    began = (trial.infusions["date"] - pd.Timestamp("2020-01-01")).dt.days
    assert began.tolist() == list(days)
    assert trial.infusions["dose"].sum() == 5 * len(days)
    assert trial.subjects["n_infusions"].tolist() == [len(days)]
    assert not trial.warnings


def test_the_last_dose_of_a_row_lasts_to_its_end(tmp_path):
    trial = load_doses(tmp_path, "2020-01-01,2020-02-04,Q2W,5")
    assert trial.infusions["date"].dt.day.tolist() == [1, 15, 29]
    assert (trial.infusions["end"] - trial.infusions["date"]).dt.days.tolist() == [0, 0, 6]
    assert trial.subjects["last_exposure"].tolist() == [pd.Timestamp("2020-02-04")]
    assert trial.subjects["last_infusion"].tolist() == [pd.Timestamp("2020-01-29")]
    event = trial.adverse_events.iloc[0]
    assert (event["latest_infusion"], event["days_since_infusion"]) == (2, 5)


def test_rows_that_overlap_are_numbered_by_date(tmp_path):
    trial = load_doses(tmp_path, "2020-01-01,2020-01-15,Q2W,5", "2020-01-08,2020-01-22,Q2W,2")
    assert trial.infusions["dose"].tolist() == [5, 2, 5, 2]
    assert trial.infusions["infusion"].tolist() == [1, 2, 3, 4]


def test_a_row_without_an_end_goes_on_to_the_end_of_treatment(tmp_path):
    adsl = "STUDYID,USUBJID,TRT01P,ENRLDT,TRTEDT\nHAND,P1,L,2020-01-01,2020-01-12\n"
    with pytest.warns(TrialDataWarning, match="ADEX row 3 AENDT: is empty, .* until TRTEDT of ADSL"):
        trial = load_doses(tmp_path, "2020-01-01,2020-01-04,QD,5", "2020-01-05,,QD,5", adsl=adsl)
    assert trial.subjects["n_infusions"].tolist() == [12]


@pytest.mark.parametrize(
    ("row", "metadata", "rule"),
    [
        ("2020-01-01,2020-01-10,SOMETIMES,5", {}, "is not a frequency that is known: ONCE, QD, BID"),
        ("2020-01-01,,QD,5", {}, "and no AENDT until when"),
        ("2020-01-01,2190-01-10,QD,5", {}, "gives more doses from ASTDT on than the 10000"),
        (
            "2020-01-01,2020-03-10,QD,5",
            {"data_cut_off": dt.date(2020, 2, 1)},
            "gives doses after the data cut-off, 2020-02-01",
        ),
    ],
)
def test_doses_that_nobody_can_count_are_problems(tmp_path, row, metadata, rule):
    with pytest.raises(TrialDataError) as refused:
        load_doses(tmp_path, row, **metadata)
    (problem,) = [each for each in refused.value.problems if each.column == "EXDOSFRQ"]
    assert rule in problem.rule
    assert (problem.table, problem.row) == ("ADEX", 2)


def leave_out_adex(folder, *columns, variant="plain"):
    """A trial whose `trial.yaml` says that exposure was not collected, without these columns of ADSL."""
    without = {"adex": None, "adsl": lambda adsl: adsl.drop(columns=list(columns))}
    told = lambda metadata: metadata | {"exposure": {"collected": False}}  # noqa: E731
    return write_trial(folder, variant=variant, metadata=told, **without)


def test_without_adex_trial_yaml_has_to_say_so(tmp_path, capsys):
    folder = write_trial(tmp_path / "none", adex=None)
    with pytest.raises(TrialDataError, match=r"write 'exposure: \{collected: false\}' in trial.yaml"):
        load_trial(folder)
    folder = write_trial(
        tmp_path / "both", metadata=lambda metadata: metadata | {"exposure": {"collected": False}}
    )
    with pytest.raises(TrialDataError, match=r"exposure.collected 'false': says false, but ADEX has"):
        load_trial(folder)
    main(["check", str(leave_out_adex(tmp_path / "said"))], standalone_mode=False)
    assert "exposure not collected, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((), ""),
        (("SAFFL",), "those with TRTSDT"),
        (("SAFFL", "TRTSDT", "TRTEDT"), "all of them"),
    ],
)
def test_who_was_treated_without_adex(tmp_path, plain_trial, columns, said):
    trial = load_trial(leave_out_adex(tmp_path / "trial", *columns), warn=False)
    assert [said in warning for warning in trial.warnings] == [True] * bool(said)
    assert trial.infusions.empty
    patients, before = trial.subjects, plain_trial.subjects
    assert patients["n_infusions"].isna().all()
    assert patients["treated"].tolist() == (before["treated"] | ("TRTSDT" in columns)).tolist()
    dated = "TRTSDT" not in columns
    for name in ("first_infusion", "last_exposure"):
        assert patients[name].equals(before[name].where(before[name].notna() & dated))
    assert trial.adverse_events["latest_infusion"].isna().all()


@pytest.mark.parametrize("columns", [(), ("SAFFL", "TRTSDT", "TRTEDT")])
def test_tables_and_figures_without_adex(tmp_path, plain_trial, columns):
    trial = load_trial(leave_out_adex(tmp_path / "trial", *columns), warn=False)
    counts = cohort.count_disposition(trial)
    assert counts[["n_completed", "n_fewer"]].isna().all(axis=None)
    assert cohort.summarize_exposure(trial).empty
    rates = safety.estimate_rates(trial)
    assert rates[["n_infusions", "rate_per_infusion", "infusion_upper"]].isna().all(axis=None)
    by_infusion, limiting = safety.count_by_infusion(trial), safety.count_dose_limiting(trial)
    assert by_infusion.empty
    received = cox.fit_received(trial, "OS").set_index("fit")
    assert received.loc[["received", "so far", "landmark received"], "hr"].isna().all()
    known = cox.fit_received(plain_trial, "OS").set_index("fit")
    assert received.loc["planned", "hr"] == pytest.approx(known.loc["planned", "hr"])
    assert cox.list_infusion_intervals(trial, "OS")["infusions"].isna().all()
    if not columns:
        assert rates["rate"].tolist() == pytest.approx(
            safety.estimate_rates(plain_trial)["rate"], nan_ok=True
        )
        assert (
            limiting["n_evaluable"].tolist()
            == safety.count_dose_limiting(plain_trial)["n_evaluable"].tolist()
        )
    results = [counts, cohort.summarize_exposure(trial), rates, by_infusion, limiting]
    results.append(safety.summarize_onset(trial))
    for result in results:
        assert "Exposure was not collected" in tables.format_result(result, trial).as_raw_html()
    labels, given = trial.group_labels, cohort.list_infusion_times(trial)
    axes = figures.plot_swimmer(cohort.list_courses(trial), given, labels, trial.unit)
    assert "Infusion" not in [text.get_text() for text in axes.figure.legends[0].get_texts()]
    figures.plot_timelines(safety.list_timelines(trial), labels)
    figures.plot_flow(counts, labels)


def test_the_key_has_to_be_spelt_right(tmp_path):
    folder = leave_out_adex(tmp_path / "trial")
    edit_text(folder / "trial.yaml", "collected: false", "colected: false")
    with pytest.raises(TrialDataError, match="did you mean 'collected'"):
        load_trial(folder)
