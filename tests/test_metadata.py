"""trial.yaml and published.yaml: what is accepted, and every way they can be wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from trials import edit_text, write_trial

from nkhcc_helpers.trial.claims import read_published
from nkhcc_helpers.trial.metadata import read_metadata
from nkhcc_helpers.trial.problems import Problem, TrialDataError

MINIMAL = """\
study_id: X
title: A title
provenance: real
time_unit: days
arms:
  - {code: HIGH, label: High, order: 2, infusions: 2, dose: 2}
  - {code: LOW, label: Low, order: 1, infusions: 4, dose: 0.5}
endpoints:
  - {code: OS, label: Overall survival}
"""


def problems_of(folder: Path, text: str, name: str = "trial.yaml") -> list[Problem]:
    path = folder / name
    path.write_text(text, "utf-8")
    with pytest.raises(TrialDataError) as caught:
        read_metadata(path) if name == "trial.yaml" else read_published(path)
    return list(caught.value.problems)


def test_minimal_metadata_has_defaults_and_sorted_arms(tmp_path: Path) -> None:
    (tmp_path / "trial.yaml").write_text(MINIMAL, "utf-8")
    metadata = read_metadata(tmp_path)
    assert [arm.code for arm in metadata.arms] == ["LOW", "HIGH"]
    assert metadata.display_time_unit == "months"
    assert metadata.data_cut_off is None
    assert metadata.adverse_events.collected
    assert metadata.endpoints[0].role == "other"
    assert metadata.baseline == []
    assert metadata.assumptions == []


def test_every_key_is_read(tmp_path: Path) -> None:
    write_trial(tmp_path)
    metadata = read_metadata(tmp_path / "trial.yaml")
    assert metadata.data_cut_off == dt.date(2021, 6, 30)
    assert metadata.arms[3].doses == [0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0]
    assert metadata.arms[3].interval_days == 14
    assert [arm.assumed for arm in metadata.arms] == [["dose"], [], [], ["dose", "infusions"]]
    assert metadata.baseline[1].levels == {"F": "Female", "M": "Male"}
    published = read_published(tmp_path, metadata)
    assert len(published.claims) == 13
    assert published.claims[5].value == dt.date(2015, 1, 12)


def test_baseline_column_is_upper_case_and_numeric_levels_are_text(tmp_path: Path) -> None:
    baseline = "baseline:\n  - {column: ecog, label: ECOG, kind: categorical, levels: {0: Zero, 1: One}}\n"
    (tmp_path / "trial.yaml").write_text(MINIMAL + baseline, "utf-8")
    column = read_metadata(tmp_path).baseline[0]
    assert column.column == "ECOG"
    assert column.levels == {"0": "Zero", "1": "One"}


@pytest.mark.parametrize(
    ("text", "infusions", "dose"),
    [("017", 17, 17.0), ("010", 10, 10.0), ("0o17", 15, 15.0), ("0x1F", 31, 31.0), ("+3", 3, 3.0)],
)
def test_whole_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, infusions: int, dose: float) -> None:
    edited = MINIMAL.replace("infusions: 2, dose: 2", f"infusions: {text}, dose: {text}")
    (tmp_path / "trial.yaml").write_text(edited, "utf-8")
    arm = read_metadata(tmp_path).arms[1]
    assert (arm.infusions, arm.dose) == (infusions, dose)


@pytest.mark.parametrize(("text", "dose"), [("1e9", 1e9), ("8e-4", 8e-4), (".5", 0.5), ("5.", 5.0)])
def test_decimal_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, dose: float) -> None:
    (tmp_path / "trial.yaml").write_text(MINIMAL.replace("dose: 2", f"dose: {text}"), "utf-8")
    assert read_metadata(tmp_path).arms[1].dose == dose
    published = tmp_path / "published.yaml"
    published.write_text(CLAIMS.replace("value: 1.5", f"value: {text}"), "utf-8")
    assert read_published(published).claims[0].value == dose


@pytest.mark.parametrize("code", ["NO", "No", "on", "yes", "Y", "off", "1:30", "2015-01-01"])
def test_what_is_no_value_in_yaml_1_2_is_text(tmp_path: Path, code: str) -> None:
    levels = (
        f"baseline: [{{column: EVER, label: Ever, kind: categorical, levels: {{{code}: {code}, 01: 'x'}}}}]"
    )
    (tmp_path / "trial.yaml").write_text(MINIMAL.replace("LOW", code) + levels, "utf-8")
    metadata = read_metadata(tmp_path)
    assert metadata.arms[0].code == code
    assert metadata.baseline[0].levels == {code: code, "01": "x"}


def test_keys_of_endpoints_and_words(tmp_path: Path) -> None:
    more = ", origin: trtsdt, population: responders, competing: TTP}\n  - {code: TTP, label: Progression"
    text = MINIMAL.replace("Overall survival}", f"Overall survival{more}}}")
    text += "treatment_word: patch\nrelated: [Reasonable possibility]\n"
    text += "not_related: [NOT RELATED TO STUDY DRUG, possible]\n"
    (tmp_path / "trial.yaml").write_text(text, "utf-8")
    metadata = read_metadata(tmp_path)
    endpoint = metadata.endpoints[0]
    assert (endpoint.origin, endpoint.population, endpoint.competing) == ("TRTSDT", "responders", "TTP")
    assert metadata.treatment_word == "patch"
    words = metadata.relation_words
    assert words["REASONABLE POSSIBILITY"]
    assert [words[word] for word in ("NOT RELATED TO STUDY DRUG", "POSSIBLE", "UNKNOWN")] == [
        False,
        False,
        None,
    ]
    assert read_metadata(Path(__file__).parents[1] / "data" / "nkhcc").treatment_word == "infusion"


@pytest.mark.parametrize("value", ["text", 3, 0.5])
def test_assumption_keeps_the_type_of_its_value(tmp_path: Path, value: Any) -> None:
    (tmp_path / "trial.yaml").write_text(
        MINIMAL + f"assumptions:\n  - {{what: w, value: {value}, why: y}}\n", "utf-8"
    )
    found = read_metadata(tmp_path).assumptions[0].value
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("old", "new", "row", "path", "value", "rule"),
    [
        ("title:", "titel:", 1, "title", "", "is missing"),
        ("study_id: X", "study_id: 7", 1, "study_id", "7", "must be text; put it in quotes"),
        ("study_id: X", "study_id: ''", 1, "study_id", "", "must not be empty"),
        ("title: A title", "title:", 2, "title", "", "must be text; put it in quotes"),
        ("real", "reel", 3, "provenance", "reel", "must be one of 'illustrative' or 'real'"),
        (
            "days",
            "hours",
            4,
            "time_unit",
            "hours",
            "must be one of 'days', 'weeks', 'months' or 'years'",
        ),
        ("order: 2", "order: two", 6, "arms[0].order", "two", "must be a whole number"),
        (
            "order: 2",
            "order: 1",
            7,
            "arms[1].order",
            "1",
            "is there already in row 6; each must be different",
        ),
        ("LOW", "HIGH", 7, "arms[1].code", "HIGH", "is there already in row 6; each must be different"),
        (
            "label: Low",
            "label: High",
            7,
            "arms[1].label",
            "High",
            "is there already in row 6; each must be different",
        ),
        ("code: LOW", "code: 010", 7, "arms[1].code", "010", "must be text; put it in quotes"),
        ("code: LOW", "code: true", 7, "arms[1].code", "true", "must be text; put it in quotes"),
        ("infusions: 2", "infusions: 0", 6, "arms[0].infusions", "0", "must be a number >= 1"),
        ("infusions: 2", "infusions: 2.5", 6, "arms[0].infusions", "2.5", "must be a whole number"),
        ("dose: 2", "dose: low", 6, "arms[0].dose", "low", "must be a number"),
        ("dose: 2", "dose: -1", 6, "arms[0].dose", "-1", "must be a number >= 0"),
        ("dose: 2", "dose: .inf", 6, "arms[0].dose", ".inf", "must be a finite number"),
        ("dose: 2", "dose: true", 6, "arms[0].dose", "true", "must be a number"),
        (
            "dose: 2",
            "dose: 2, interval_days: 0",
            6,
            "arms[0].interval_days",
            "0",
            "must be a number > 0",
        ),
        (
            "dose: 2",
            "dose: 2, assumed: [price]",
            6,
            "arms[0].assumed[0]",
            "price",
            "must be one of 'dose' or 'infusions'",
        ),
        ("dose: 2", "dose: 2, doses: [1]", 6, "arms[0]", "", "has 1 doses for 2 infusions"),
        ("dose: 2", "dose: 2, doses: [1, 2]", 6, "arms[0]", "", "dose is 2 but the mean of doses is 1.5"),
        (
            "code: LOW",
            "code: all",
            7,
            "arms[1]",
            "",
            "code 'all' is kept for all groups together; choose another",
        ),
        (
            "label: Overall survival",
            "label: Overall survival, role: survival",
            9,
            "endpoints[0].role",
            "survival",
            "must be one of 'progression_free_survival', 'overall_survival' or 'other'",
        ),
        ("endpoints:\n", "arm:\nendpoints:\n", 8, "arm", "", "is not a known key; did you mean 'arms'?"),
        (
            "label: Low",
            "label: Low, does: 3",
            7,
            "arms[1].does",
            "",
            "is not a known key; did you mean 'doses'?",
        ),
        ("label: Low", "label: Low, 3: 4", 7, "arms[1].3", "", "is not a known key"),
        ("dose: 2", "dose: 1:30", 6, "arms[0].dose", "1:30", "must be a number"),
        ("dose: 2", "dose: 1_000", 6, "arms[0].dose", "1_000", "must be a number"),
        ("dose: 2", "dose: .nan", 6, "arms[0].dose", ".nan", "must be a finite number"),
        ("dose: 2", "dose: 1e999", 6, "arms[0].dose", "1e999", "must be a finite number"),
        ("infusions: 2", "infusions: 1:30", 6, "arms[0].infusions", "1:30", "must be a whole number"),
        (
            "label: Overall survival",
            "label: Overall survival, competing: TTP",
            9,
            "endpoints[0].competing",
            "TTP",
            "is not an endpoint of trial.yaml (OS)",
        ),
        (
            "label: Overall survival",
            "label: Overall survival, competing: OS",
            9,
            "endpoints[0]",
            "",
            "an endpoint does not compete with itself; competing names another one",
        ),
        (
            "label: Overall survival",
            "label: Overall survival, origin: usubjid",
            9,
            "endpoints[0]",
            "",
            "origin must be a date of ADSL, not USUBJID",
        ),
        (
            "title: A title",
            "title: A title\nrelated: [Sure]\nnot_related: [No, SURE]",
            1,
            "",
            "",
            "SURE: is under related and under not_related; keep one",
        ),
        ("label: Low", "label: Low, label: Lower", 7, "arms[1].label", "", "key is there already in row 7"),
        (
            "title: A title",
            "data_cut_off: 2015-13-40",
            2,
            "data_cut_off",
            "2015-13-40",
            "must be a date, YYYY-MM-DD",
        ),
        *(
            (
                "title: A title",
                f"data_cut_off: {day}",
                2,
                "data_cut_off",
                day,
                "must be a date from 1900 to 2199",
            )
            for day in ("1500-01-01", "1676-12-31", "2262-04-12", "9000-01-01")
        ),
        ("infusions: 2", "infusions: 1e400", 6, "arms[0].infusions", "1e400", "must be a whole number"),
        ("infusions: 2", "infusions: 10001", 6, "arms[0].infusions", "10001", "must be a number <= 10000"),
        (
            "title: A title",
            "date_order: ydm",
            2,
            "date_order",
            "ydm",
            "must be one of 'dmy', 'mdy' or 'ymd'",
        ),
        (
            "title: A title",
            "adverse_events: none",
            2,
            "adverse_events",
            "none",
            "must hold 'key: value' lines",
        ),
        (
            "title: A title",
            "adverse_events: {collected: perhaps}",
            2,
            "adverse_events.collected",
            "perhaps",
            "must be true or false",
        ),
        (
            "title: A title",
            "assumptions: [{what: w, value: [1], why: y}]",
            2,
            "assumptions[0].value",
            "",
            "must be text or a number; put anything else in quotes",
        ),
        (
            "title: A title",
            "assumptions: [{what: w, value: true, why: y}]",
            2,
            "assumptions[0].value",
            "true",
            "must be text or a number; put anything else in quotes",
        ),
        (
            "title: A title",
            "baseline: [{column: AGE, label: Age}, {column: age, label: Age again}]",
            2,
            "baseline[1].column",
            "age",
            "is there already in row 2; each must be different",
        ),
        (
            "title: A title",
            "baseline: [{column: AGE, label: Age, levels: {A: a}}]",
            2,
            "baseline[0]",
            "",
            "levels are for columns of kind categorical",
        ),
        ("title: A title", "baseline: [AGE]", 2, "baseline[0]", "AGE", "must hold 'key: value' lines"),
        (
            "title: A title",
            "baseline: [{column: SEX, label: Sex, kind: categorical, levels: [F, M]}]",
            2,
            "baseline[0].levels",
            "",
            "must hold 'key: value' lines",
        ),
        (
            "title: A title",
            "baseline: [{column: dthdt, label: Died}]",
            2,
            "baseline[0]",
            "",
            "DTHDT is an identifier, an arm or a date, not a baseline column",
        ),
    ],
)
def test_each_fault_is_named(
    tmp_path: Path, old: str, new: str, row: int, path: str, value: str, rule: str
) -> None:
    assert old in MINIMAL
    found = problems_of(tmp_path, MINIMAL.replace(old, new, 1))
    assert Problem("trial.yaml", row, path, value, rule) in found
    # Replacing the title's line also takes the title away.
    others = {(p.column, p.rule) for p in found} - {(path, rule)}
    assert others <= {("title", "is missing"), ("titel", "is not a known key; did you mean 'title'?")}


@pytest.mark.parametrize(
    ("text", "row", "rule"),
    [
        ("a: [1\nb: 2\n", 2, "is not valid YAML: expected ',' or ']', but got ':'"),
        (
            "a: 1\nb: !!python/object/apply:os.system [ls]\n",
            2,
            "is not valid YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("a: &x 1\nb: *x\n", 2, "is not valid YAML: aliases (*x) are not read"),
        ("a: 1\n---\nb: 2\n", 2, "is not valid YAML: but found another document"),
        ("- 1\n- 2\n", 1, "must hold 'key: value' lines"),
        ("just text\n", 1, "must hold 'key: value' lines"),
        ("", None, "is empty"),
        ("[" * 1200, None, "is nested too deeply"),
        (
            "a: \x01",
            None,
            "is not valid YAML: unacceptable character #x0001: special characters are not allowed",
        ),
    ],
)
def test_what_is_not_a_yaml_mapping(tmp_path: Path, text: str, row: int | None, rule: str) -> None:
    (found,) = problems_of(tmp_path, text)
    assert (found.row, found.rule) == (row, rule)


@pytest.mark.parametrize(
    "text", ["!!timestamp x", "!!bool maybe", "!!int x", "!!float ''", "2015-02-30", "0b_"]
)
def test_what_only_looks_like_a_value_is_text(tmp_path: Path, text: str) -> None:
    """PyYAML raises bare ValueError, KeyError and the like for these."""
    found = problems_of(tmp_path, MINIMAL.replace("order: 2", f"order: {text}"))
    assert found[0].column == "arms[0].order"
    assert found[0].rule == "must be a whole number"


def test_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "trial.yaml").write_bytes(MINIMAL.replace("A title", "Étude").encode("latin-1"))
    with pytest.raises(TrialDataError) as caught:
        read_metadata(tmp_path)
    assert caught.value.problems == (
        Problem("trial.yaml", 2, "", "byte 0xc9", "is not UTF-8; save the file as UTF-8"),
    )


def test_many_faults_are_all_listed(tmp_path: Path) -> None:
    text = "titel: x\nprovenance: maybe\ntime_unit: days\narms: []\n"
    text += "endpoints: [{code: A, label: A}, {code: A, label: A}]\n"
    found = problems_of(tmp_path, text)
    assert {(p.row, p.column, p.rule) for p in found} == {
        (1, "study_id", "is missing"),
        (1, "title", "is missing"),
        (1, "titel", "is not a known key; did you mean 'title'?"),
        (2, "provenance", "must be one of 'illustrative' or 'real'"),
        (4, "arms", "must have at least 1 entry"),
        (5, "endpoints[1].code", "is there already in row 5; each must be different"),
        (5, "endpoints[1].label", "is there already in row 5; each must be different"),
    }


def test_two_endpoints_may_be_other_but_not_both_overall_survival(tmp_path: Path) -> None:
    two = "  - {code: TTP, label: Time to progression}\n"
    (tmp_path / "trial.yaml").write_text(MINIMAL + two, "utf-8")
    assert len(read_metadata(tmp_path).endpoints) == 2
    text = (MINIMAL + two).replace("survival}", "survival, role: overall_survival}")
    text = text.replace("progression}", "progression, role: overall_survival}")
    (found,) = problems_of(tmp_path, text)
    assert (found.row, found.column, found.value) == (10, "endpoints[1].role", "overall_survival")


CLAIMS = """\
citation: A paper
claims:
  - {kind: median, endpoint: OS, group: A, value: 1.5, decimals: 1}
  - {kind: logrank_p, endpoint: OS, value: 0.04, decimals: 2}
"""


@pytest.mark.parametrize(
    ("old", "new", "row", "path", "value", "rule"),
    [
        ("citation", "cite", 1, "citation", "", "is missing"),
        ("kind: median, ", "", 3, "claims[0].kind", "", "is missing"),
        ("value: 1.5, ", "", 3, "claims[0].value", "", "is missing"),
        ("1.5", "x", 3, "claims[0].value", "x", "must be a number"),
        ("0.04", "1.04", 4, "claims[1].value", "1.04", "must be a number <= 1"),
        (
            "decimals: 2",
            "decimal: 2",
            4,
            "claims[1].decimal",
            "",
            "is not a known key; did you mean 'decimals'?",
        ),
        ("kind: logrank_p", "kind: total_size", 4, "claims[1].value", "0.04", "must be a whole number"),
        (
            "kind: logrank_p",
            "kind: first_enrolment",
            4,
            "claims[1].value",
            "0.04",
            "must be a date, YYYY-MM-DD",
        ),
    ],
)
def test_each_fault_of_published_is_named(
    tmp_path: Path, old: str, new: str, row: int, path: str, value: str, rule: str
) -> None:
    found = problems_of(tmp_path, CLAIMS.replace(old, new, 1), "published.yaml")
    assert Problem("published.yaml", row, path, value, rule) in found


def test_unknown_kind_of_claim_lists_the_known_ones(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, CLAIMS.replace("median", "medan"), "published.yaml")
    assert (found.row, found.column, found.value) == (3, "claims[0].kind", "medan")
    assert found.rule.startswith("is not a known kind; use one of 'group_size', 'total_size', ")


def test_claims_name_known_groups_and_endpoints(tmp_path: Path) -> None:
    write_trial(tmp_path)
    edit_text(tmp_path / "published.yaml", "group: A", "group: Z")
    edit_text(tmp_path / "published.yaml", "endpoint: OS", "endpoint: TTP")
    metadata = read_metadata(tmp_path)
    with pytest.raises(TrialDataError) as caught:
        read_published(tmp_path, metadata)
    assert [(p.row, p.column, p.value, p.rule) for p in caught.value.problems] == [
        (6, "claims[1].group", "Z", "is not an arm of trial.yaml (A, B, C, D)"),
        (22, "claims[7].endpoint", "TTP", "is not an endpoint of trial.yaml (PFS, OS)"),
    ]
    assert len(read_published(tmp_path).claims) == 13, "names are compared only with a trial at hand"


def test_claims_that_are_not_a_list(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, "citation: A\nclaims: 3\n", "published.yaml")
    assert (found.row, found.column) == (2, "claims")
    assert found.rule == "must be a list, each entry on a line that begins with '-'"
