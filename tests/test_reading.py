"""How entries of a trial's tables are read: missing ones, numbers, units, words, spellings, origins."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from trials import write_trial

from nkhcc_helpers.safety.counts import is_recorded, list_events
from nkhcc_helpers.trial.mapping import find_units
from nkhcc_helpers.trial.problems import Problem, TrialDataError
from nkhcc_helpers.trial.schema import merge_spellings, parse_numbers
from nkhcc_helpers.trial.trial import Trial, load_trial

pytestmark = pytest.mark.filterwarnings("ignore::nkhcc_helpers.trial.problems.TrialDataWarning")

ARMS = [
    {"code": "L", "label": "Low", "order": 1, "infusions": 2, "dose": 1},
    {"code": "H", "label": "High", "order": 2, "infusions": 3, "dose": 2},
]
OS = {"code": "OS", "label": "Overall survival", "role": "overall_survival", "event": "death"}
PFS = {"code": "PFS", "label": "Progression-free survival", "role": "progression_free_survival"}
MINI = {
    "study_id": "MINI",
    "title": "A mini trial",
    "provenance": "illustrative",
    "time_unit": "days",
    "display_time_unit": "days",
    "arms": ARMS,
    "endpoints": [OS],
}
IDS = [f"P{k}" for k in range(1, 7)]


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def write_mini(folder: Path, *, adsl=(), adtte=(), adae=None, endpoints=None, **metadata: Any) -> Path:
    """Six patients in two arms; columns of ADSL and ADTTE are added or changed."""
    return write_trial(
        folder,
        metadata=MINI | ({"endpoints": endpoints} if endpoints else {}) | metadata,
        adsl=table(STUDYID="MINI", USUBJID=IDS, TRT01P=[*"LLLHHH"], ENRLDT="2020-01-01").assign(**dict(adsl)),
        adtte=adtte
        if isinstance(adtte, pd.DataFrame)
        else table(
            USUBJID=IDS, PARAMCD="OS", AVAL=[40, 60, 90, 70, 120, 150], CNSR=[0, 0, 0, 0, 1, 0]
        ).assign(**dict(adtte)),
        adex=table(USUBJID=IDS, ASTDT="2020-01-01", EXDOSE=[1, 1, 1, 2, 2, 2]),
        adae=table(USUBJID=[], AEDECOD=[], AETOXGR=[]) if adae is None else adae,
        published=None,
    )


def problems_of(folder: Path) -> list[Problem]:
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    return list(caught.value.problems)


def load_events(folder: Path, **columns: Any) -> Trial:
    rows = table(USUBJID=["P1", "P5"], AEDECOD=["Pyrexia", "Chills"], AETOXGR=["1", "2"])
    return load_trial(write_mini(folder, adae=rows.assign(**columns)))


@pytest.mark.parametrize("blank", ["NA", "."])
def test_na_is_missing_in_every_known_column(tmp_path: Path, blank: str) -> None:
    names = ["AEBODSYS", "AESEV", "AEREL", "AESER", "ASTDT", "AENDT", "AEOUT", "AEACN", "TRTEMFL"]
    folder = write_mini(
        tmp_path,
        adsl=dict.fromkeys(["TRT01A", "AGE", "SEX", "SAFFL", "TRTSDT", "DTHDT", "EOSSTT", "DCSREAS"], blank),
        adtte=dict.fromkeys(["PARAM", "AVALU", "STARTDT", "ADT", "CNSDTDSC"], blank)
        | {"EVNTDESC": "Death", "CNSR": 0},
        adae=table(USUBJID=["P1"], AEDECOD="Pyrexia", AETOXGR=blank).assign(**dict.fromkeys(names, blank)),
    )
    trial = load_trial(folder)
    assert not [each for each in trial.warnings if "inverted" in each]
    received = [
        trial.subjects.filter(regex="^(?!STUDYID|USUBJID|TRT01P|ENRLDT)[A-Z0-9]+$"),
        trial.adverse_events[names],
    ]
    received.append(trial.times[["PARAM", "AVALU", "STARTDT", "ADT", "CNSDTDSC"]])
    assert all(frame.isna().all(axis=None) for frame in received)
    event = trial.adverse_events.iloc[0]
    assert (event["organ_class"], event["outcome"], event["action"]) == ("Not coded", "", "")
    assert pd.isna(event["related"])
    for category in ("related", "serious", "fatal", "interrupted", "discontinued"):
        assert not is_recorded(trial, list_events(trial), category), "0 would say that nobody had one"


def test_na_is_the_code_where_trial_yaml_lists_it(tmp_path: Path) -> None:
    arms = [ARMS[0] | {"code": "NA"}, ARMS[1]]
    levels = {
        "column": "GRADE",
        "label": "Grade",
        "kind": "categorical",
        "levels": {"NA": "Not graded", "1": "One"},
    }
    folder = write_mini(
        tmp_path,
        arms=arms,
        study_id="NA",
        endpoints=[OS | {"code": "NA"}],
        baseline=[levels],
        adsl={
            "STUDYID": "NA",
            "TRT01P": ["NA"] * 3 + ["H"] * 3,
            "TRT01A": ["NA"] * 3 + ["H"] * 3,
            "GRADE": "NA",
        },
        adtte={"PARAMCD": "NA", "TRT01P": ["NA"] * 3 + ["H"] * 3},
    )
    trial = load_trial(folder)
    assert trial.subjects["group"].tolist() == ["NA"] * 3 + ["H"] * 3
    assert (trial.subjects["GRADE"] == "NA").all()
    assert len(trial.survival("NA")) == 6
    assert trial.warnings == ()


def test_na_where_a_value_is_needed(tmp_path: Path) -> None:
    rows = table(USUBJID=["P1", "NA"], AEDECOD=["NA", "Rash"], AETOXGR="1")
    assert problems_of(write_mini(tmp_path / "a", adae=rows)) == [
        Problem("ADAE", 2, "AEDECOD", "NA", "must not be empty"),
        Problem("ADAE", 3, "USUBJID", "NA", "must not be empty"),
    ]
    found = problems_of(write_mini(tmp_path / "b", adtte={"PARAMCD": ["NA", *["OS"] * 5]}))
    assert Problem("ADTTE", 2, "PARAMCD", "NA", "must not be empty") in found
    found = problems_of(write_mini(tmp_path / "c", adsl={"TRT01P": ["NA", *"LLHHH"]}))
    assert found[0] == Problem("ADSL", 2, "TRT01P", "NA", "must not be empty")


def test_na_of_unknown_columns_stays_as_received(tmp_path: Path) -> None:
    trial = load_trial(write_mini(tmp_path, adsl={"SITE": ["NA", ".", "", "a", "b", "c"]}))
    assert trial.subjects["SITE"].tolist()[:2] == ["NA", "."]
    assert trial.subjects["SITE"].isna().sum() == 1


def test_numbers_are_read_as_float_reads_them() -> None:
    draw = random.Random(20260124)
    texts = [f"{draw.uniform(0, 200):.{draw.randint(14, 24)}f}" for _ in range(3000)]
    texts += [f"{draw.random():.20e}" for _ in range(1000)] + ["3.3000000000000003", "0.1", "1e-320"]
    assert parse_numbers(pd.Series(texts)).tolist() == [float(text) for text in texts]
    assert parse_numbers(pd.Series([], dtype=object)).tolist() == []


def test_near_equal_times_are_one(tmp_path: Path) -> None:
    times = ["3.3000000000000003", "3.3", "5.1", "3.3000000000000003", "3.3", "9"]
    frame = load_trial(write_mini(tmp_path, adtte={"AVAL": times})).survival("OS")
    assert frame["time"].tolist() == [3.3, 3.3, 5.1, 3.3, 3.3, 9.0]


def test_progression_at_the_time_of_death_may_differ_in_the_last_bits(tmp_path: Path) -> None:
    times = [40 * (1 + 1.2e-8), 60, 90, 70, 120, 150, 40, 60, 90, 70, 120, 150]
    adtte = table(USUBJID=IDS * 2, PARAMCD=["PFS"] * 6 + ["OS"] * 6, AVAL=[*map(repr, times)], CNSR="0")
    trial = load_trial(write_mini(tmp_path, endpoints=[PFS, OS], adtte=adtte))
    pd.testing.assert_series_equal(trial.survival("PFS")["time"], trial.survival("OS")["time"])


@pytest.mark.parametrize(
    ("param", "units"),
    [
        ("Overall Survival (Days)", ["days"]),
        ("OS (d)", ["days"]),
        ("OS (D)", ["days"]),
        ("OS_DAYS", ["days"]),
        ("os.weeks", ["weeks"]),
        ("Overall Survival Days", ["days"]),
        ("Days from randomization to death", ["days"]),
        ("Number of weeks since enrolment", ["weeks"]),
        ("OS/months", ["months"]),
        ("OS_WK", ["weeks"]),
        ("Infusions per patient/year", []),
        ("Day 100 survival", []),
        ("30-day mortality", []),
        ("Survival at 12 months", []),
        ("Alive after twelve months", []),
        ("6 Months PFS rate", []),
        ("PFS 6 Months", []),
        ("Survival, first 100 days", []),
        ("Group (D) survival of type D", []),
        ("Survival to Day", []),
        ("Response lasting six months", []),
        ("Overall survival, months", ["months"]),
        ("Time to death [in weeks]", ["weeks"]),
        ("Survival (days from enrolment)", ["days"]),
        ("Time in years", ["years"]),
        ("PFS (mo)", ["months"]),
        ("Time in months (recorded in days)", ["months", "days"]),
        ("6-month progression-free survival", []),
        ("Survival (Month 6)", []),
        ("Death within 30 days", []),
        ("Progression (Y)", []),
        ("Overall survival", []),
    ],
)
def test_units_that_param_names(param: str, units: list[str]) -> None:
    assert find_units(param) == units


def test_param_that_contradicts_the_unit(tmp_path: Path) -> None:
    adtte = table(USUBJID=IDS * 2, PARAMCD=["PFS"] * 6 + ["OS"] * 6, AVAL="3.35", CNSR="0").assign(
        PARAM=["Progression Free Survival (Months)"] * 6 + ["Overall Survival (Days)"] * 6
    )
    folder = write_mini(tmp_path, endpoints=[PFS, OS], adtte=adtte, time_unit="months")
    rule = "counts OS in days, and trial.yaml says months; write time_unit: days for this endpoint, or mend "
    rule += "PARAM"
    assert problems_of(folder) == [Problem("ADTTE", 8, "PARAM", "Overall Survival (Days)", rule)]


def test_times_that_cannot_be_in_the_unit_are_doubted(tmp_path: Path) -> None:
    adtte = table(
        USUBJID=IDS * 2, PARAMCD=["PFS"] * 6 + ["OS"] * 6, AVAL=["3.35"] * 6 + ["741"] * 6, CNSR="0"
    )
    said = load_trial(write_mini(tmp_path, endpoints=[PFS, OS], adtte=adtte, time_unit="months")).warnings
    assert said == (
        "ADTTE rows 8, 9, 10, 11, 12 and 1 more AVAL: is longer than 30 years in months; is that the unit of "
        "AVAL?",
        "ADTTE AVAL: its medians are 3.35 months (PFS) and 741 months (OS); are these the right units?",
    )
    adtte["AVAL"] = ["3.35"] * 6 + ["160"] * 6
    assert (
        load_trial(write_mini(tmp_path, endpoints=[PFS, OS], adtte=adtte, time_unit="months")).warnings == ()
    )


def test_events_entered_twice_and_terms_spelt_twice(tmp_path: Path) -> None:
    rows = table(
        AESEQ=[1, 2, 3, 4, 5],
        USUBJID=["P1", "P1", "P5", "P2", "P4"],
        AEDECOD=["Pyrexia", "Pyrexia", "Chills", "PYREXIA", "pyrexia"],
        AEBODSYS=["General", "General", "general", "GENERAL  ", "Gen eral"],
        AETOXGR=[1, 1, 2, 1, 1],
        ASTDT=["2020-01-02", "2020-01-02", "2020-01-16", "2020-01-02", "2020-01-02"],
    )
    trial = load_trial(write_mini(tmp_path, adae=rows))
    assert trial.warnings == (
        "ADAE rows 2, 3: the same in every column; is one event entered twice? Each row is counted",
        "ADAE AEDECOD: 'Pyrexia', 'PYREXIA', 'pyrexia' differ in case or spaces only and are counted as one, "
        "'Pyrexia'",
        "ADAE AEBODSYS: 'General', 'general', 'GENERAL' differ in case or spaces only and are counted as "
        "one, 'General'",
    )
    assert trial.adverse_events["term"].value_counts().to_dict() == {"Pyrexia": 4, "Chills": 1}
    assert set(trial.adverse_events["organ_class"]) == {"General", "Gen eral"}


def test_events_without_a_date_are_not_told_apart(tmp_path: Path) -> None:
    rows = table(USUBJID=["P1", "P1"], AEDECOD="Rash", AETOXGR="1")
    assert load_trial(write_mini(tmp_path, adae=rows)).warnings == ()


def test_levels_spelt_twice(tmp_path: Path) -> None:
    baseline = [{"column": "SEX", "label": "Sex", "kind": "categorical"}]
    trial = load_trial(write_mini(tmp_path, baseline=baseline, adsl={"SEX": [*"mMMfF", ""]}))
    assert trial.subjects["SEX"].tolist()[:5] == [*"MMMff"]
    assert [each.split(" differ")[0] for each in trial.warnings] == [
        "ADSL SEX: 'm', 'M'",
        "ADSL SEX: 'f', 'F'",
    ]


def test_the_commonest_spelling_stands_for_all_and_the_first_for_ties() -> None:
    cells = pd.Series(["a b", "A  B", "A  B", "c", "C", None, " x"], index=[3, 5, 6, 8, 9, 10, 11])
    assert merge_spellings(cells).tolist()[:5] == ["A  B"] * 3 + ["c", "c"]
    assert merge_spellings(cells).index.tolist() == cells.index.tolist()
    assert merge_spellings(pd.Series([], dtype=object)).empty
    assert merge_spellings(pd.Series([None, None], dtype=object)).isna().all()


RELATED = {
    True: "POSSIBLE PROBABLE DEFINITE SUSPECTED CERTAIN possibly Probably RELATED Y certainly",
    False: "NONE REMOTE UNRELATED UNLIKELY N NO DOUBTFUL Improbable",
    None: "UNKNOWN CONDITIONAL UNASSESSABLE Unclassifiable",
}


RELATED_WORDS = {word: known for known, words in RELATED.items() for word in words.split()} | {
    "NOT RELATED": False,
    "Unlikely Related": False,
    "Probably not related": False,
    "Definitely Related": True,
    "No reasonable possibility": False,
    "Reasonable possibility": True,
    "Not Suspected": False,
    "NOT APPLICABLE": None,
    "NOT ASSESSABLE": None,
    "NA": None,
    "": None,
}


@pytest.mark.parametrize("column", ["AEREL", "AREL"])
def test_words_of_relation(tmp_path: Path, column: str) -> None:
    rows = table(USUBJID="P1", AEDECOD="Pyrexia", AETOXGR="1", **{column: list(RELATED_WORDS)})
    related = load_trial(write_mini(tmp_path, adae=rows)).adverse_events["related"]
    read = dict(zip(RELATED_WORDS, related.astype(object).where(related.notna(), None), strict=True))
    assert read == RELATED_WORDS


def test_words_of_relation_that_trial_yaml_lists(tmp_path: Path) -> None:
    words = {"related": ["Reasonable suspicion"], "not_related": ["NOT RELATED TO STUDY DRUG", "unlikely"]}
    rows = table(USUBJID=["P1"] * 3, AEDECOD="Rash", AETOXGR="2")
    rows["AEREL"] = ["REASONABLE SUSPICION", "Not related to study drug", "UNLIKELY"]
    trial = load_trial(write_mini(tmp_path / "listed", adae=rows, **words))
    assert trial.adverse_events["related"].tolist() == [True, False, False]
    found = problems_of(write_mini(tmp_path / "not", adae=rows))
    assert [each.row for each in found] == [2, 3]
    assert found[0].rule.endswith("listed under related or not_related in trial.yaml")


def test_analysis_columns_stand_in(tmp_path: Path) -> None:
    trial = load_events(tmp_path / "a", AREL=["Y", "N"])
    assert trial.adverse_events["related"].tolist() == [True, False]
    assert trial.warnings == ("ADAE AREL: is taken for AEREL, which is not there",)
    trial = load_events(tmp_path / "b", AREL=["Y", "N"], AEREL="NA")
    assert trial.warnings == ("ADAE AREL: is taken for AEREL, which is empty",)
    trial = load_events(tmp_path / "c", AREL=["POSSIBLE", "N"], AEREL=["Y", "Y"])
    assert trial.adverse_events["related"].tolist() == [True, True]
    assert trial.warnings == ("ADAE row 3 AREL: does not say the same as AEREL, which is used",)
    trial = load_events(tmp_path / "e", AREL=["Y", "N"], AEREL=["", "Y"])
    assert trial.adverse_events["related"].tolist() == [True, True]
    assert trial.warnings[0] == "ADAE AREL: is taken for AEREL, which is empty in 1 row"
    rows = table(USUBJID=["P1"], AEDECOD="Rash", ATOXGRN="3")
    trial = load_trial(write_mini(tmp_path / "d", adae=rows))
    assert trial.adverse_events["grade"].tolist() == [3]
    assert trial.warnings == ("ADAE ATOXGRN: is taken for AETOXGR, which is not there",)


RESPONSE = {"code": "DOR", "label": "Duration of response", "population": "responders"}


def add_response(responders: list[str]) -> pd.DataFrame:
    rows = table(USUBJID=IDS, PARAMCD="OS", AVAL=[40, 60, 90, 70, 120, 150], CNSR=0)
    return pd.concat([rows, table(USUBJID=responders, PARAMCD="DOR", AVAL=10, CNSR=0)])


def test_endpoint_of_some_patients(tmp_path: Path) -> None:
    trial = load_trial(
        write_mini(tmp_path / "some", endpoints=[OS, RESPONSE], adtte=add_response(["P2", "P6"]))
    )
    assert trial.survival("DOR")["USUBJID"].tolist() == ["P2", "P6"]
    assert trial.survival("DOR")["group"].tolist() == ["L", "H"]
    assert trial.endpoint("DOR").population == "responders"
    assert len(trial.survival("OS")) == 6
    found = problems_of(write_mini(tmp_path / "nobody", endpoints=[OS, RESPONSE], adtte=add_response([])))
    rule = "nobody has a row with it; its population in trial.yaml is 'responders'"
    assert found == [Problem("ADTTE", None, "PARAMCD", "DOR", rule)]
    everyone = [OS, RESPONSE | {"population": ""}]
    found = problems_of(write_mini(tmp_path / "all", endpoints=everyone, adtte=add_response(["P2", "P6"])))
    assert [each.rule for each in found] == ["subject has no row in ADTTE with PARAMCD DOR"] * 4


DIAGNOSED = ["2019-12-01", "2019-12-31", "2020-01-01", "2019-11-02", "2019-10-03", "2019-12-22"]


def test_time_from_an_origin(tmp_path: Path) -> None:
    folder = write_mini(
        tmp_path,
        endpoints=[OS | {"origin": "diagdt"}],
        adsl={"DIAGDT": DIAGNOSED},
        adtte={
            "STARTDT": "2020-01-01",
            "ADT": pd.to_datetime("2020-01-01") + pd.to_timedelta([40, 60, 90, 70, 120, 150], unit="D"),
        },
        display_time_unit="weeks",
    )
    trial = load_trial(folder)
    assert trial.warnings == ()
    frame = trial.survival("OS")
    assert frame["time_enter"].to_numpy() * 7 == pytest.approx([31, 1, 0, 60, 90, 10])
    assert frame["time"].to_numpy() * 7 == pytest.approx([71, 61, 90, 130, 210, 160])
    assert trial.times["AVAL"].tolist() == [40, 60, 90, 70, 120, 150]


def test_near_equal_times_are_one_with_an_origin(tmp_path: Path) -> None:
    """One enters when another dies."""
    adsl = {"DIAGDT": ["2019-12-31", *["2020-01-01"] * 5]}
    adtte = {"STARTDT": "2020-01-01", "AVAL": ["5", "1.0000000000000002", *"2345"]}
    folder = write_mini(tmp_path, endpoints=[OS | {"origin": "DIAGDT"}], adsl=adsl, adtte=adtte)
    frame = load_trial(folder).survival("OS")
    assert frame["time_enter"][0] == frame["time"][1] == 1.0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, Problem("ADTTE", 1, "STARTDT", "", "column is missing")),
        ({"adsl": {}}, Problem("ADSL", 1, "DIAGDT", "", "column is missing")),
        (
            {"adsl": {"DIAGDT": ["then", *DIAGNOSED[1:]]}},
            Problem("ADSL", 2, "DIAGDT", "then", "must be a date, YYYY-MM-DD"),
        ),
        (
            {"adsl": {"DIAGDT": ["NA", *DIAGNOSED[1:]]}},
            Problem("ADSL", 2, "DIAGDT", "NA", "must not be empty, for OS counts from DIAGDT (trial.yaml)"),
        ),
        (
            {"start": ["2019-11-30", *["2020-01-01"] * 5]},
            Problem("ADTTE", 2, "STARTDT", "2019-11-30", "must not be before DIAGDT, 2019-12-01"),
        ),
        (
            {"start": ["", *["2020-01-01"] * 5]},
            Problem("ADTTE", 2, "STARTDT", "", "must not be empty, for OS counts from DIAGDT (trial.yaml)"),
        ),
        (
            {"aval": [0, 60, 90, 70, 120, 150]},
            Problem(
                "ADTTE",
                2,
                "AVAL",
                "0",
                "must be above 0 after STARTDT, for OS counts from DIAGDT (trial.yaml)",
            ),
        ),
    ],
)
def test_origins_that_cannot_be_counted_from(
    tmp_path: Path, changes: dict[str, Any], problem: Problem
) -> None:
    adtte = {"AVAL": changes.get("aval", [40, 60, 90, 70, 120, 150])}
    if changes:
        adtte["STARTDT"] = changes.get("start", "2020-01-01")
    adsl = changes.get("adsl", {"DIAGDT": DIAGNOSED})
    folder = write_mini(tmp_path, endpoints=[OS | {"origin": "DIAGDT"}], adsl=adsl, adtte=adtte)
    assert problem in problems_of(folder)
    assert len(problems_of(folder)) == 1


def test_progression_before_death_is_compared_on_one_scale(tmp_path: Path) -> None:
    """Under observation for progression 20 days later than for death, and then longer."""
    start = ["2020-01-21"] * 6 + ["2020-01-01"] * 6
    adtte = table(
        USUBJID=IDS * 2, PARAMCD=["PFS"] * 6 + ["OS"] * 6, AVAL=[30] * 6 + [40] * 6, CNSR=0, STARTDT=start
    )
    adsl = {"DIAGDT": "2019-12-01"}
    endpoints = [PFS | {"origin": "DIAGDT"}, OS | {"origin": "DIAGDT"}]
    found = problems_of(write_mini(tmp_path / "both", endpoints=endpoints, adsl=adsl, adtte=adtte))
    assert {each.rule for each in found} == {"PFS must not be longer than the subject's OS, 40.0"}
    one = [PFS | {"origin": "DIAGDT"}, OS]
    found = problems_of(write_mini(tmp_path / "one", endpoints=one, adsl=adsl, adtte=adtte))
    assert {each.rule for each in found} == {"PFS must not be longer than the subject's OS, 40.0"}
    ended = adtte.assign(AVAL=[20] * 6 + [40] * 6)
    load_trial(write_mini(tmp_path / "same", endpoints=one, adsl=adsl, adtte=ended))
    # From 20 days before enrolment on, progression takes longer than death does from enrolment on.
    earlier = adtte.assign(STARTDT=["2019-12-12"] * 6 + ["2020-01-01"] * 6, AVAL=[55] * 6 + [40] * 6)
    load_trial(write_mini(tmp_path / "earlier", endpoints=[PFS, OS], adtte=earlier))


@pytest.mark.parametrize("column", ["AERELN", "RELATED", "AREL1", "aereldrg"])
def test_a_column_like_relation_is_doubted(tmp_path: Path, column: str) -> None:
    said = "looks like relation to treatment, and is not read; name it AEREL or AREL"
    assert load_events(tmp_path / "a", **{column: "1"}).warnings == (f"ADAE {column.upper()}: {said}",)
    assert load_events(tmp_path / "b", **{column: "1", "AEREL": "Y"}).warnings == ()


@pytest.mark.parametrize("source", [5, 2.5, True, ["a"], None])
def test_a_source_that_is_no_path(source) -> None:
    with pytest.raises(TypeError, match="source must be a folder's path, got"):
        load_trial(source)
