"""Who is analysed: populations by their flags, and rules, against plain loops."""

from __future__ import annotations

import json
import operator
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from executing import execute_here
from hypothesis import given
from hypothesis import strategies as st

from nkhcc_helpers.cli import main
from nkhcc_helpers.report import open_page
from nkhcc_helpers.run.parameters import find_problem
from nkhcc_helpers.trial import Trial, load_trial, select_patients
from nkhcc_helpers.trial.selection import list_flags, read_rule

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ADSL = pd.DataFrame(
    {
        "USUBJID": ["1", "2", "3", "4", "5"],
        "AGE": [50.0, 65.0, 70.0, float("nan"), 64.0],
        "SEX": ["F", "M", "F", "M", None],
        "SITEID": ["701", "701", "703", "NA", "704"],
        "ENRLDT": pd.to_datetime(["2015-01-01", "2015-02-01", None, "2016-01-01", "2017-01-01"]),
        "ITTFL": ["Y", "Y", "N", "", "Y"],
        "age_computed": [1, 2, 3, 4, 5],
    }
)


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ("AGE >= 65", "01100"),
        ("65 <= AGE", "01100"),
        ("AGE >= 65 and SEX == 'F'", "00100"),
        ("18 <= AGE < 65", "10001"),
        ("AGE == 65 or AGE == 50", "11000"),
        ("not AGE < 65", "01100"),
        ("SEX != 'F'", "01010"),
        ("SEX in ('F', 'M')", "11110"),
        ("SEX not in ['F']", "01010"),
        ("SITEID >= '703'", "00101"),
        ("SITEID == 701", "11000"),
        ("ENRLDT < '2016-01-01'", "11000"),
        ("AGE > -1", "11101"),
        # What a missing value cannot change is decided all the same.
        ("SEX == 'M' or AGE > 69", "01110"),
        ("SEX == 'M' and AGE > 69", "00000"),
    ],
)
def test_rules_mean_what_they_say(rule: str, met: str) -> None:
    rows = [int(answer) if isinstance(answer, bool) else 0 for answer in read_rule(ADSL, rule).tolist()]
    assert rows == [int(sign) for sign in met]


OPERATORS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, ">": operator.gt, ">=": operator.ge}


@given(
    ages=st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=6),
    joined=st.lists(
        st.tuples(st.booleans(), st.sampled_from(list(OPERATORS)), st.integers(0, 9)), min_size=1, max_size=3
    ),
    word=st.sampled_from(["and", "or"]),
)
def test_rules_agree_with_a_plain_loop(ages, joined, word) -> None:
    rule = f" {word} ".join(f"{'not ' * negated}AGE {sign} {value}" for negated, sign, value in joined)
    for age, answer in zip(ages, read_rule(pd.DataFrame({"AGE": ages}, dtype=float), rule), strict=True):
        if age is None:
            assert pd.isna(answer)
        else:
            parts = [OPERATORS[sign](age, value) != negated for negated, sign, value in joined]
            assert bool(answer) == (all(parts) if word == "and" else any(parts))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("AGE = 65", "equal is written =="),
        ("AGE >=", "cannot be read as a rule"),
        ("__import__('os').system('true')", "must compare columns with values"),
        ("AGE.real > 3", "must compare columns"),
        ("AGE > SEX", "must compare columns"),
        ("3 > 2", "must compare columns"),
        ("AGE", "must compare columns"),
        ("AGE is 3", "must compare columns"),
        ("AGE > True", "must compare columns"),
        ("AGE in ()", "must compare columns"),
        ("AGE > -'x'", "must compare columns"),
        ("AGEE > 3", "did you mean 'AGE'"),
        ("age_computed > 3", "no column 'age_computed'"),
        ("AGE > 'old'", "AGE holds numbers"),
        ("SEX > 3", "SEX does not hold numbers"),
        ("SEX == 'f'", "SEX is 'f' nowhere; it is 'F', 'M'"),
        ("ENRLDT > 2015", "ENRLDT holds dates"),
        ("ENRLDT > '01/02/2015'", "ENRLDT holds dates"),
        ("(" * 5000, "characters or fewer"),
        ("(" * 900 + "AGE", "cannot be read"),
        ("AGE > 1\0", "cannot be read"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(rule: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read_rule(ADSL, rule)


def test_flags_are_columns_that_say_yes_or_no() -> None:
    assert list_flags(ADSL.assign(AGEFL=["1", "2", "3", "4", "5"], FASFL="Y")) == ["ITTFL", "FASFL"]


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """The bundled trial with a flag that is N or empty for some, and one missing age."""
    folder = tmp_path_factory.mktemp("flagged") / "trial"
    shutil.copytree(load_trial(warn=False).source, folder)
    adsl = pd.read_csv(folder / "adsl.csv", dtype=str, keep_default_na=False)
    adsl["PPROTFL"] = ["N", "", *["Y"] * (len(adsl) - 2)]
    adsl.loc[2, "AGE"] = ""
    adsl.to_csv(folder / "adsl.csv", index=False)
    return load_trial(folder, warn=False)


def test_every_frame_holds_the_selected_patients_only(flagged: Trial) -> None:
    chosen = select_patients(flagged, "PPROTFL", "AGE >= 50 or SEX == 'F'")
    adsl = flagged.subjects
    known = adsl["AGE"].notna() | (adsl["SEX"] == "F")
    due = set(
        adsl.loc[(adsl["PPROTFL"] == "Y") & known & ((adsl["AGE"] >= 50) | (adsl["SEX"] == "F")), "USUBJID"]
    )
    assert set(chosen.subjects["USUBJID"]) == due
    for name in ("times", "infusions", "adverse_events"):
        old, new = getattr(flagged, name), getattr(chosen, name)
        assert list(new["USUBJID"]) == [patient for patient in old["USUBJID"] if patient in due]
        assert list(new["group"].cat.categories) == flagged.groups
    assert chosen.selection is not None
    assert (chosen.selection.n, chosen.selection.n_all) == (len(due), len(adsl))
    assert chosen.selection.n_unknown == int(not known[2])
    assert chosen.published is None
    assert flagged.published is not None


def test_nothing_asked_is_the_trial_itself(flagged: Trial) -> None:
    assert select_patients(flagged) is flagged


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("ITTFL", ""), "must be SAFFL or PPROTFL, not 'ITTFL'"),
        (("", "AGE > 200"), "leaves nobody: AGE > 200"),
        (("EXTRAHEP", ""), "not 'EXTRAHEP'"),
    ],
)
def test_a_selection_that_cannot_be_made_says_why(flagged: Trial, asked, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        select_patients(flagged, *asked)


def test_parameters_are_held_against_the_trial(flagged: Trial) -> None:
    assert find_problem("str", "population", "PPROTFL", lambda: flagged) == ""
    assert "SAFFL or PPROTFL" in find_problem("str", "population", "ITT", lambda: flagged)
    assert "did you mean 'AGE'" in find_problem("str", "where", "AGEE > 3", lambda: flagged)
    assert find_problem("str", "where", "", lambda: flagged) == ""


def test_the_banner_says_who_is_analysed(flagged: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    page = open_page(select_patients(flagged, "PPROTFL", "AGE >= 50"), "any")
    page.show_banner()
    said = capsys.readouterr().out
    values = page.results["values"]
    assert f"{values['n_selected']} of {values['n_all']} patients" in said
    assert "PPROTFL and AGE &gt;= 50" in said or "PPROTFL and AGE >= 50" in said
    assert "1 patient with a missing value" in said


def test_every_notebook_hands_the_selection_on() -> None:
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert "select_patients(trial, population, where)" in path.read_text(encoding="utf-8")


def test_a_notebook_analyses_the_selected(tmp_path: Path) -> None:
    execute_here(NOTEBOOKS / "01_cohort.ipynb", out_dir=str(tmp_path), population="SAFFL", where="AGE < 60")
    values = json.loads(next(tmp_path.rglob("*.json")).read_text(encoding="utf-8"))["values"]
    n_young = int((load_trial(warn=False).subjects["AGE"] < 60).sum())
    assert values["n_selected"] == values["n_patients"] == n_young


def test_run_refuses_a_rule_before_anything_runs(tmp_path: Path) -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(main, ["run", "01", "-p", "where", "AGE = 3", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "equal is written ==" in result.output
    assert not (tmp_path / "out").exists()
