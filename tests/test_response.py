"""Tumour responses: how ADRS is read, counts, exact limits and tests, tables and the waterfall."""

import itertools
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal
from r_values import REFERENCE
from table_texts import row
from trials import write_trial

from nkhcc_helpers import response
from nkhcc_helpers.report import figures
from nkhcc_helpers.report.tables import format_result
from nkhcc_helpers.trial import load_trial, select_patients
from nkhcc_helpers.trial.metadata import ResponseSource, read_metadata
from nkhcc_helpers.trial.problems import RawTable, TrialDataError
from nkhcc_helpers.trial.responses import NO_RESPONSES, check_responses, keep_responses, list_responses
from nkhcc_helpers.trial.rules import Tables
from nkhcc_helpers.trial.schema import check_table
from nkhcc_helpers.trial.selection import group_by_treatment

PILOT = REFERENCE.parent / "data" / "pilot"
WORDS = ["CR", "Partial Response", "sd", "PD", "NOT EVALUABLE", "NON-CR/NON-PD", "MISSING", "", "PR"]
BEST = ["CR", "PR", "SD", "PD", "NE", "SD", "", "", "PR"]


def make_adrs(words=WORDS, code="BOR", **columns):
    ids = [f"S-{at + 1:02d}" for at in range(len(words))]
    return pd.DataFrame({"USUBJID": ids, "PARAMCD": code, "AVALC": words, **columns}, dtype=str)


def make_changes(**columns):
    """Two assessments of three patients, and the baseline of one."""
    ids = ["S-01", "S-01", "S-02", "S-02", "S-10", "S-10"]
    values = ["-40", "-62.5", "0", "35", "20", "250"]
    frame = pd.DataFrame({"USUBJID": ids, "PARAMCD": "PCHG", "AVALC": "", "AVAL": values, **columns})
    return pd.concat([frame, frame.head(1).assign(AVAL="-100", ABLFL="Y")])


def tell(**told):
    return lambda metadata: metadata | {"response": told}


def stand_in(events, sizes):
    """As much of a trial as counts need, with so many responders of so many patients in each group."""
    groups = [f"G{at}" for at in range(len(sizes))]
    best = [["PR"] * int(x) + ["SD"] * int(n - x) for x, n in zip(events, sizes, strict=True)]
    frame = pd.DataFrame({"group": groups, "best": best}).explode("best").dropna()
    frame["group"] = pd.Categorical(frame["group"], groups, ordered=True)
    return SimpleNamespace(responses=frame, groups=groups)


def load_changes(folder, adrs):
    return load_trial(write_trial(folder, adrs=adrs, metadata=tell(change="PCHG")))


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    adrs = pd.concat([make_adrs(), make_changes(), make_adrs(["x"], "OVR")])
    return load_changes(tmp_path_factory.mktemp("responses"), adrs)


# Reading


def test_every_patient_has_one_best_response_and_the_smallest_change(trial):
    found = trial.responses.set_index("USUBJID")
    assert list(found.index) == list(trial.subjects["USUBJID"])
    assert found["best"].tolist() == BEST + [""] * 9
    assert found["change"].dropna().to_dict() == {"S-01": -62.5, "S-02": 0, "S-10": 20}
    assert found["group"].tolist() == trial.subjects["group"].tolist()
    assert trial.warnings == ()


def test_responses_follow_the_group_and_the_patients_chosen(trial):
    moved = group_by_treatment(trial)
    assert moved.responses["group"].tolist() == moved.subjects["group"].tolist()
    chosen = select_patients(trial, where="SEX == 'F'")
    assert chosen.responses["USUBJID"].tolist() == chosen.subjects["USUBJID"].tolist()
    assert response.count_responses(chosen)["n"].max() == len(chosen.subjects)


@pytest.fixture
def read(plain_trial):
    """Function from an ADRS, and what trial.yaml tells of it, to responses, problems and notices."""

    def read(adrs, **told):
        metadata = plain_trial.metadata.model_copy(update={"response": ResponseSource(**told)})
        frame = adrs.fillna("").set_axis(pd.RangeIndex(2, len(adrs) + 2))
        raw, problems, said = {"ADRS": RawTable(frame)}, [], []
        keep_responses(raw, metadata, problems, said)
        parsed = {table: check_table(raw[table], table, metadata, problems) for table in raw}
        tables = Tables(parsed, raw, metadata)
        problems += check_responses(tables)
        found = NO_RESPONSES
        if not problems and "ADRS" in raw:
            found = list_responses(tables["ADRS"], plain_trial.subjects, metadata)
        return SimpleNamespace(found=found.set_index("USUBJID"), problems=list(map(str, problems)), said=said)

    return read


@pytest.mark.parametrize(
    ("codes", "told", "best"),
    [
        (["BOR", "CBOR"], {}, "CR"),
        (["CBOR"], {}, "PD"),
        (["BOR", "CBOR"], {"best": "CBOR"}, "PD"),
        (["IRBEST", "BOR"], {"best": "IRBEST"}, "NE"),
    ],
)
def test_which_parameter_is_the_best_response(codes, told, best, read):
    words = {"BOR": "CR", "CBOR": "PD", "IRBEST": "NE"}
    made = read(pd.concat([make_adrs([words[code]], code) for code in codes]), **told)
    assert made.problems == []
    said = ["ADRS: of BOR and CBOR, BOR is taken; response in trial.yaml can name another"]
    assert made.said == (said if {"BOR", "CBOR"} <= set(codes) and not told else [])
    assert made.found["best"].tolist() == [best] + [""] * 17


@pytest.mark.parametrize(
    ("adrs", "listed"), [(make_adrs(["PR", "CR"], "OVR"), "(OVR)"), (make_adrs([]), "(no rows)")]
)
def test_a_best_response_is_never_guessed(adrs, listed, read, tmp_path):
    with pytest.warns(match="ADRS is left out") as told:
        assert load_trial(write_trial(tmp_path, adrs=adrs)).responses.empty
    assert len(told) == 1
    made = read(adrs)
    assert made.problems == []
    assert listed in made.said[0]
    assert list(made.found) == ["group", "best", "change"]


@pytest.mark.parametrize(
    ("adrs", "told", "expected"),
    [
        (make_adrs(["CR", "RC"]), {}, ["ADRS row 3 AVALC 'RC': must be CR, PR, SD, PD, NE or one of"]),
        (pd.concat([make_adrs(["PR"])] * 2), {}, ["ADRS row 3 USUBJID 'S-01': subject has a best response"]),
        (make_adrs().drop(columns="AVALC"), {}, ["ADRS row 1 AVALC: column is missing"]),
        (make_adrs(), {"best": "BRO"}, ["response.best 'BRO': is no PARAMCD of ADRS (BOR); did you mean"]),
        (make_adrs(), {"change": "PCHG"}, ["response.change 'PCHG': is no PARAMCD of ADRS (BOR)"]),
        (make_adrs(AVAL="one"), {}, ["AVAL: 9 of 9 values, such as 'one': must be a finite number"]),
    ],
)
def test_what_is_wrong_is_said(adrs, told, expected, read):
    made = read(adrs, **told)
    assert len(made.problems) == len(expected), made.problems
    assert all(said in problem for said, problem in zip(expected, made.problems, strict=True))


def list_problems(folder, **changes):
    with pytest.raises(TrialDataError) as error:
        load_trial(write_trial(folder, **changes))
    return str(error.value)


def test_a_trial_with_faulty_responses_is_refused(tmp_path):
    told = list_problems(
        tmp_path, adrs=pd.concat([make_adrs(["good"] * 9), make_adrs(["PR"]).assign(USUBJID="X")])
    )
    assert "and 6 more of the same kind, 9 in all" in told
    assert "ADRS row 11 USUBJID 'X': subject is not in ADSL" in told
    assert "ADRS: adrs.csv is not in the folder" in list_problems(
        tmp_path / "none", metadata=tell(best="BOR")
    )


def test_what_trial_yaml_says_of_responses_is_checked(trial_folders, tmp_path):
    path = tmp_path / "trial.yaml"
    known = yaml.safe_load((trial_folders["plain"] / "trial.yaml").read_text("utf-8"))
    path.write_text(yaml.safe_dump(known | {"response": {"bets": "BOR"}}), "utf-8")
    with pytest.raises(TrialDataError, match=r"response\.bets: is not a known key; did you mean 'best'"):
        read_metadata(path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AVAL": "-101"}, "must be a percent change, -100 at least"),
        ({"AVAL": "31", "PARAM": "Sum of Diameters (mm)"}, "'PCHG': AVAL is no percent change by PARAM"),
    ],
)
def test_a_change_that_is_no_percent_change_is_refused(changes, expected, read):
    made = read(pd.concat([make_adrs(), make_changes(**changes)]), change="PCHG")
    assert made.problems
    assert all(expected in problem for problem in made.problems)


def test_percent_change_stands_in_its_own_column_where_there_is_one(read):
    sizes = make_changes(PARAM="Sum of Diameters (mm)", PCHG=["-40", "", "", "35", "", ""]).assign(AVAL="31")
    made = read(pd.concat([make_adrs(), sizes]), change="PCHG")
    assert made.problems == []
    assert made.found["change"].dropna().to_dict() == {"S-01": -40, "S-02": 35}


# Counts and tests


@pytest.mark.no_cover
def test_the_pilot_counts_are_those_of_plain_loops(tmp_path):
    arms = {"Placebo": "P", "Xanomeline Low Dose": "L", "Xanomeline High Dose": "H"}
    known = [{"code": code, "label": label, "order": at} for at, (code, label) in enumerate(arms.items())]
    read = lambda name: pd.read_csv(PILOT / f"{name}.csv", dtype=str, keep_default_na=False)  # noqa: E731
    adsl = read("adsl").query("TRT01P in @arms")[["STUDYID", "USUBJID", "TRT01P"]]
    adrs = read("adrs_onco").query("USUBJID in @adsl.USUBJID")
    ids = adsl[["USUBJID"]]
    folder = write_trial(
        tmp_path,
        variant="os_only",
        adsl=adsl,
        adrs=adrs,
        adtte=ids.assign(PARAMCD="OS", AVAL="9", CNSR="0"),
        adex=ids.assign(ASTDT="2013-01-01", EXDOSE="1"),
        adae=None,
        metadata=lambda metadata: (
            metadata
            | {"study_id": "CDISCPILOT01", "adverse_events": {"collected": False}}
            | {"arms": [{**arm, "infusions": 1, "dose": 1} for arm in known]}
        ),
    )
    trial = load_trial(folder, warn=False)
    counts = {(row.best, row.group): row.n_patients for row in response.count_responses(trial).itertuples()}
    rates = response.estimate_response_rates(trial).set_index(["rate", "group"])
    for arm in [*arms, "All"]:
        expected = dict.fromkeys(["CR", "PR", "SD", "PD", "NE", ""], 0)
        responders = 0
        for patient in adsl.to_dict("records"):
            if arm not in (patient["TRT01P"], "All"):
                continue
            for each in adrs.to_dict("records"):
                if each["USUBJID"] == patient["USUBJID"] and each["PARAMCD"] == "BOR":
                    short = {"MISSING": "", "NON-CR/NON-PD": "SD"}.get(each["AVALC"], each["AVALC"])
                    expected[short] += 1
                    responders += each["AVALC"] in ("CR", "PR")
        assert {best: counts[best, arm] for best in expected} == expected
        assert rates.loc[(response.OBJECTIVE, arm), "n_patients"] == responders
    assert rates.loc[(response.OBJECTIVE, "All"), ["n_patients", "n"]].tolist() == [4, 60]


KNOWN = pd.read_csv(REFERENCE / "response.csv")


@pytest.mark.parametrize("row", KNOWN.to_dict("records"), ids=KNOWN["events"])
def test_limits_and_trend_are_those_of_r(row):
    events, sizes, scores = ([float(x) for x in row[name].split()] for name in ("events", "sizes", "scores"))
    made = stand_in(events, [int(n) for n in sizes])
    for level in (0.95, 0.8):
        rates = response.estimate_response_rates(made, conf_level=level)
        limits = rates.loc[rates["rate"] == response.OBJECTIVE, ["ci_lower", "ci_upper"]].to_numpy()
        expected = [list(map(float, pair.split())) for pair in row[f"limits_{100 * level:.0f}"].split("; ")]
        np.testing.assert_allclose(limits, 100 * np.array(expected), rtol=0, atol=1e-9)
    tests = response.compare_responses(made, scores=scores)
    assert tests["p_trend"][0] == pytest.approx(row["p_trend"], abs=1e-10)
    assert tests["p_trend"][1] == 1  # everybody's disease is under control
    assert tests["is_exact"].all()


@pytest.mark.parametrize(("events", "sizes"), [([1, 2, 1, 2], [3, 5, 6, 4]), ([0, 1, 4], [4, 5, 5])])
def test_exact_tests_are_those_of_every_allocation(events, sizes):
    group = np.repeat(np.arange(len(sizes)), sizes)
    chosen = np.array(list(itertools.combinations(range(sum(sizes)), sum(events))))
    sums = group[chosen].sum(axis=1) - group.mean() * sum(events)
    seen = np.arange(len(sizes)) @ events - group.mean() * sum(events)
    tables = np.stack([(group[chosen] == at).sum(axis=1) for at in range(len(sizes))], axis=1)
    _, inverse, counts = np.unique(tables, axis=0, return_inverse=True, return_counts=True)
    of_table = counts[inverse.ravel()]
    own = of_table[(tables == events).all(axis=1)][0]
    found = response.compare_responses(stand_in(events, sizes)).iloc[0]
    assert found["p_trend"] == pytest.approx((abs(sums) >= abs(seen) - 1e-9).mean(), rel=1e-12)
    assert found["p_groups"] == pytest.approx((of_table <= own).mean(), rel=1e-12)


def test_a_group_without_patients_is_not_estimable():
    made = stand_in([1, 0, 2], [3, 0, 4])
    rates = response.estimate_response_rates(made).query("group == 'G1'")
    assert rates["n"].tolist() == [0, 0]
    assert rates[["percent", "ci_lower", "ci_upper"]].isna().all(axis=None)
    both = [response.compare_responses(each) for each in (made, stand_in([1, 2], [3, 4]))]
    assert both[0]["p_groups"].tolist() == both[1]["p_groups"].tolist()
    alone = response.compare_responses(stand_in([2], [9]))
    assert alone[["p_trend", "p_groups"]].isna().all(axis=None)


def test_many_tables_are_drawn_and_repeat():
    made = stand_in([60, 55, 65, 45, 70, 50, 75, 40, 80, 35], [300] * 10)
    scores = np.sqrt(np.arange(1, 11))
    first, again = (response.compare_responses(made, scores=scores, n_draws=500) for _ in range(2))
    assert_frame_equal(first, again)
    assert not first["is_exact"][0]
    assert first["p_trend_error"][0] > 0


def test_without_responses_nothing_has_a_row(plain_trial):
    made = (response.count_responses, response.estimate_response_rates, response.compare_responses)
    assert [len(each(plain_trial)) for each in made] == [0] * 3


# Pages


def test_tables_say_who_counts(trial):
    best = format_result(response.count_responses(trial), trial)
    assert row(best, "Partial response") == ["Partial response", "1 (33 %)", "1 (20 %)", "0", "0", "2 (11 %)"]
    rates = format_result(response.estimate_response_rates(trial, conf_level=0.9), trial).as_raw_html()
    assert "90 % CI" in rates
    assert "who was not assessed or not evaluable counts as not responding" in rates
    tests = format_result(response.compare_responses(trial, scores="dose"), trial).as_raw_html()
    assert "planned dose of each arm" in tests
    assert "Monte-Carlo" not in tests


def test_a_waterfall_shows_each_patient_and_both_thresholds(trial):
    axes = figures.plot_waterfall(trial.responses, trial.group_labels)
    bars = sorted((bar.get_x(), bar.get_height()) for bar in axes.patches)
    assert [height for _, height in bars] == [20, 0, -62.5]
    flat = {float(line.get_ydata()[0]) for line in axes.lines if list(line.get_xdata()) == [0, 1]}
    assert flat == {-30, 0, 20}
    below = axes.figure.axes[1]
    assert [text.get_text() for text in below.get_yticklabels()] == [
        "Complete response",
        "Partial response",
        "Not assessed",
    ]
    plt.close(axes.figure)


@pytest.mark.parametrize("n", [0, 1, 60, 300])
def test_a_waterfall_of_any_size_stays_within_its_axes(n):
    rng = np.random.default_rng(n)
    labels = {group: f"$x$ {group}" for group in "ABC"}
    changes = pd.DataFrame(
        {
            "USUBJID": [f"01-{at:04}" for at in range(n)],
            "group": pd.Categorical(rng.choice(list(labels), n), list(labels), ordered=True),
            "best": rng.choice(["CR", "PD", ""], n),
            "change": -np.sort(-rng.uniform(-100, 300, n)),
        }
    )
    axes = figures.plot_waterfall(changes, labels)
    axes.figure.draw_without_rendering()
    assert len(axes.patches) == n
    assert max([0, *(bar.get_height() for bar in axes.patches)]) <= 100
    plt.close(axes.figure)
