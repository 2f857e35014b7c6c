"""What units, codes and words of the tables stand for by trial.yaml, and subjects written otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from trials import edit_cell, write_trial

from nkhcc_helpers.trial import Trial, TrialDataError, load_trial
from nkhcc_helpers.trial.claims import read_published
from nkhcc_helpers.trial.mapping import find_alike
from nkhcc_helpers.trial.metadata import read_metadata
from nkhcc_helpers.trial.problems import Problem

pytestmark = pytest.mark.filterwarnings("ignore::nkhcc_helpers.trial.problems.TrialDataWarning")
DAYS = 30.4375
STATUS = {"column": "status", "event": ["dead"], "censored": ["Alive"]}
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return load_trial(write_trial(tmp_path_factory.mktemp("plain") / "trial"))


def problems_of(folder: Path) -> list[Problem]:
    with pytest.raises(TrialDataError) as caught:
        load_trial(folder)
    return list(caught.value.problems)


def of_endpoint(code: str, **keys: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Add keys to an endpoint of trial.yaml."""

    def change(old: dict[str, Any]) -> dict[str, Any]:
        for endpoint in old["endpoints"]:
            endpoint.update(keys if endpoint["code"] == code else {})
        return old

    return change


def count_days(code: str, *, told: str = "AVALU PARAM") -> Change:
    """Count the times of an endpoint in days, as AVALU and PARAM tell, or as neither does."""

    def change(old: pd.DataFrame) -> pd.DataFrame:
        of_it = old["PARAMCD"] == code
        aval = old["AVAL"].mask(of_it, (old["AVAL"].astype(float) * DAYS).round().astype(int).astype(str))
        new = old.assign(AVAL=aval, AVALU=old["AVALU"].mask(of_it, "Days"))
        new["PARAM"] = old["PARAM"].mask(of_it, f"{code} (days)")
        return new.drop(columns={"AVALU", "PARAM"} - set(told.split()))

    return change


def map_words(words: dict[str, str], column: str = "STATUS", *, keep: bool = False) -> Change:
    """Say who had the event by words, in the place of CNSR or beside it."""
    return lambda old: old.assign(**{column: old["CNSR"].map(words)}).drop(columns=[] if keep else "CNSR")


def write_ids(change: Callable[[str], str]) -> Change:
    return lambda old: old.assign(USUBJID=old["USUBJID"].map(change))


def assert_same_course(trial: Trial, other: Trial) -> None:
    columns = ["USUBJID", "endpoint", "event", "time_zero"]
    pd.testing.assert_frame_equal(trial.times[columns], other.times[columns])
    assert trial.times["time"].to_numpy() == pytest.approx(other.times["time"].to_numpy(), rel=1e-12)
    pd.testing.assert_series_equal(trial.subjects["observed_until"], other.subjects["observed_until"])


@pytest.mark.parametrize("code", ["PFS", "OS"])
@pytest.mark.parametrize("dates", [True, False])
def test_an_endpoint_has_its_own_unit(tmp_path: Path, code: str, dates: bool) -> None:
    aside = [] if dates else ["ADT"]
    months = write_trial(tmp_path / "months", adtte=lambda old: old.drop(columns=aside))
    days = write_trial(
        tmp_path / "days",
        metadata=of_endpoint(code, time_unit="days"),
        adtte=lambda old: count_days(code)(old).drop(columns=aside),
    )
    trial = load_trial(days)
    assert trial.warnings == ()
    assert_same_course(trial, load_trial(months))


@pytest.mark.parametrize("told", ["AVALU PARAM", "AVALU", "PARAM"])
def test_another_unit_is_one_problem_of_its_endpoint(tmp_path: Path, told: str) -> None:
    column = told.split()[0]
    (found,) = problems_of(write_trial(tmp_path, adtte=count_days("OS", told=told)))
    rule = "counts OS in days, and trial.yaml says months; write time_unit: days for this endpoint, or mend "
    value = {"AVALU": "Days", "PARAM": "OS (days)"}[column]
    assert found == Problem("ADTTE", 3, column, value, rule + column)


def test_another_unit_that_only_the_dates_tell(tmp_path: Path) -> None:
    (found,) = problems_of(write_trial(tmp_path, adtte=count_days("OS", told="")))
    assert found.rule == (
        "is in days by STARTDT and ADT (OS), not in months; write time_unit: days for OS in trial.yaml, or "
        "mend AVAL"
    )


def test_both_endpoints_in_another_unit_and_one_row(tmp_path: Path) -> None:
    def both(old: pd.DataFrame) -> pd.DataFrame:
        return count_days("PFS")(count_days("OS")(old))

    assert [each.value for each in problems_of(write_trial(tmp_path / "a", adtte=both))] == ["Days", "Days"]
    folder = write_trial(tmp_path / "b")
    edit_cell(folder, "ADTTE", 5, "AVALU", "DAYS")
    (found,) = problems_of(folder)
    rule = "counts OS in days, and trial.yaml says months; 1 of 18 rows do; give all of them one unit"
    assert found == Problem("ADTTE", 5, "AVALU", "DAYS", rule)


def test_progression_and_death_are_compared_in_one_unit(tmp_path: Path) -> None:
    folder = write_trial(
        tmp_path,
        metadata=of_endpoint("OS", time_unit="days"),
        adtte=lambda old: count_days("OS")(old).drop(columns="ADT"),
    )
    edit_cell(folder, "ADTTE", 2, "AVAL", "6.5")  # death after 174 days, 5.72 months
    rule = "PFS must not be longer than the subject's OS, 174.0 days"
    assert problems_of(folder) == [Problem("ADTTE", 2, "AVAL", "6.5", rule)]


def test_progression_after_the_end_of_follow_up_for_death_is_a_warning(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, adtte=lambda old: old.drop(columns=["ADT", "EVNTDESC", "CNSDTDSC"]))
    for row, cnsr in ((2, "1"), (3, "0")):
        edit_cell(folder, "ADTTE", row, "CNSR", cnsr)
    edit_cell(folder, "ADTTE", 2, "AVAL", "64")
    assert [each.row for each in problems_of(folder)] == [2]
    edit_cell(folder, "ADTTE", 3, "CNSR", "1")
    edit_cell(folder, "ADSL", 2, "DTHDT", "")
    edit_cell(folder, "ADSL", 2, "EOSSTT", "ONGOING")
    trial = load_trial(folder)
    rule = "progression-free survival is longer than overall survival; both are censored, and both are kept"
    assert trial.warnings == (f"ADTTE row 2 AVAL: {rule}",)
    assert trial.survival("PFS")["time"][0] == 64


@pytest.mark.no_cover
def test_paramcd_is_mapped_to_the_code(tmp_path: Path, plain: Trial) -> None:
    def rename(old: pd.DataFrame) -> pd.DataFrame:
        return old.assign(PARAMCD=old["PARAMCD"].replace("OS", "OS_MONTHS"))

    changed = of_endpoint("OS", paramcd="OS_MONTHS")
    trial = load_trial(write_trial(tmp_path / "a", metadata=changed, adtte=rename))
    assert (trial.warnings, list(trial.endpoint_labels)) == ((), ["PFS", "OS"])
    assert_same_course(trial, plain)
    assert set(trial.times["PARAMCD"]) == {"PFS", "OS_MONTHS"}
    pd.testing.assert_frame_equal(trial.survival("OS"), plain.survival("OS"))

    def repeat(old: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([rename(old), rename(old).iloc[[1]]])

    (found,) = problems_of(write_trial(tmp_path / "b", metadata=changed, adtte=repeat))
    assert found == Problem("ADTTE", 38, "PARAMCD", "OS_MONTHS", "subject has this endpoint already in row 3")
    (found,) = problems_of(write_trial(tmp_path / "c", metadata=changed))
    assert found.rule.endswith("subject has no row in ADTTE with PARAMCD OS_MONTHS")
    (found,) = problems_of(write_trial(tmp_path / "d", metadata=of_endpoint("OS", paramcd="PFS")))
    assert (found.table, found.column, found.value) == ("trial.yaml", "endpoints[1].paramcd", "PFS")
    swapped = of_endpoint("PFS", paramcd="OS")
    (found,) = problems_of(write_trial(tmp_path / "e", metadata=swapped))
    assert (found.column, found.rule[:20]) == ("endpoints[1].code", "is there already in ")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (STATUS, {"0": " DEAD", "1": "alive "}),
        ({"column": "EVNT", "event": [1], "censored": [0]}, {"0": "1", "1": "0.0"}),
        ({"column": "EVNT", "event": [True], "censored": [False]}, {"0": "TRUE", "1": "False"}),
        ({"column": "WHY", "event": ["NA", "PD"], "censored": ["."]}, {"0": "NA", "1": "."}),
    ],
)
def test_words_say_who_had_the_event(
    tmp_path: Path, plain: Trial, flag: dict[str, Any], words: dict[str, str]
) -> None:
    adtte = map_words(words, flag["column"].upper())
    trial = load_trial(write_trial(tmp_path, metadata=lambda old: old | {"event_flag": flag}, adtte=adtte))
    assert trial.warnings == ()
    assert_same_course(trial, plain)
    assert plain.times["event"].nunique() == 2


def test_words_that_are_not_listed(tmp_path: Path) -> None:
    flagged = {"metadata": lambda old: old | {"event_flag": STATUS}}
    rule = "is neither under event nor under censored of event_flag in trial.yaml"
    found = problems_of(write_trial(tmp_path / "a", adtte=map_words({"0": "DEAD", "1": "LOST"}), **flagged))
    assert {(each.column, each.value, each.rule) for each in found} == {("STATUS", "LOST", rule)}
    (found,) = problems_of(write_trial(tmp_path / "b", adtte=map_words({"0": "D", "1": "A"}), **flagged))
    assert (found.row, found.rule) == (None, f"36 of 36 values, such as 'A' and 'D': {rule}")
    both = {"event_flag": STATUS | {"censored": ["Dead "]}}
    (found,) = problems_of(write_trial(tmp_path / "c", metadata=lambda old: old | both))
    assert found.rule == "DEAD: is under event and under censored; keep one"
    (found,) = problems_of(write_trial(tmp_path / "d", **flagged))
    assert found == Problem("ADTTE", 1, "STATUS", "", "column is missing")


def test_words_against_cnsr_and_the_dates(tmp_path: Path) -> None:
    flagged = {"metadata": lambda old: old | {"event_flag": STATUS}}
    folder = write_trial(tmp_path / "a", adtte=map_words({"0": "DEAD", "1": "ALIVE"}, keep=True), **flagged)
    assert load_trial(folder).warnings == ()
    edit_cell(folder, "ADTTE", 5, "STATUS", "Alive")
    rule = "is not what CNSR says, 0 (0 is the event); mend one"
    assert problems_of(folder) == [Problem("ADTTE", 5, "STATUS", "Alive", rule)]
    edit_cell(folder, "ADTTE", 5, "CNSR", "")
    (found,) = problems_of(folder)
    assert (found.column, found.value) == ("STATUS", "Alive")
    assert found.rule.startswith("says censored, but DTHDT of ADSL says that the subject died on ")
    inverted = problems_of(
        write_trial(tmp_path / "b", adtte=map_words({"1": "DEAD", "0": "ALIVE"}), **flagged)
    )
    assert {(each.column, each.rule[-28:]) for each in inverted if "inverted" in each.rule} == {
        ("STATUS", "contradict it; mend event_flag"[-28:])
    }


def test_without_cnsr_the_columns_that_may_tell_are_named(tmp_path: Path) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        told = map_words({"0": "DEAD", "1": "ALIVE"})(old)
        return told.assign(EVNT=old["CNSR"].map({"0": "1", "1": "0"}), VISIT="1", EVENTDY=range(len(old)))

    (found,) = problems_of(write_trial(tmp_path, adtte=change))
    assert (found.row, found.column) == (1, "CNSR")
    assert found.rule == (
        "column is missing; STATUS ('ALIVE', 'DEAD') and EVNT ('0', '1') may tell of it: say which word is "
        "the event, in trial.yaml by event_flag: {column: ..., event: [...], censored: [...]}"
    )


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda name: name.replace("S-0", "S-"), "with leading zeros (S-01)"),
        (lambda name: name.replace("S-", "S-00"), "without leading zeros (S-01)"),
        (str.lower, "in another case or with other spaces (S-01)"),
        (lambda name: name.replace("-", " - "), "in another case or with other spaces (S-01)"),
        (lambda name: name[2:], "with a prefix (S-01)"),
        (lambda name: name[2:].lstrip("0"), "with a prefix (S-01)"),
        (lambda name: f"PLAIN.{name}", "without a prefix (S-01)"),
    ],
)
def test_subjects_written_otherwise_are_one_problem_a_table(
    tmp_path: Path, change: Callable[[str], str], how: str
) -> None:
    tables = dict.fromkeys(["adtte", "adex", "adae"], write_ids(change))
    found = problems_of(write_trial(tmp_path, **tables))
    assert [(each.table, each.row, each.value) for each in found] == [
        (table.upper(), 2, change("S-01")) for table in tables
    ]
    n = 9 if how.startswith("with leading") else 18
    assert found[0].rule == f"{n} of 18 subjects are in ADSL {how}; write them alike"


def test_subjects_that_nobody_can_know(tmp_path: Path) -> None:
    folder = write_trial(tmp_path / "all", adae=write_ids(lambda name: name.replace("S-", "Q")))
    (found,) = problems_of(folder)
    assert (found.row, found.rule[-24:]) == (None, ": subject is not in ADSL")
    folder = write_trial(tmp_path / "some", adae=write_ids(lambda name: {"S-01": "s-01"}.get(name, name)))
    edit_cell(folder, "ADAE", 9, "USUBJID", "S-77")
    assert [each.value for each in problems_of(folder)] == ["s-01", "S-77"]


@pytest.mark.parametrize(
    ("ids", "known", "alike"),
    [
        (["1", "2"], ["0001", "0002"], {"1": "0001", "2": "0002"}),
        (["0001", "3"], ["0001", "0002"], {}),
        (["1"], ["01", "001"], {}),
        (["0001"], ["S1-0001", "S1-0002"], {"0001": "S1-0001"}),
        (["0001"], ["S1-0001", "S2-0001"], {}),
        (["S1-0001", "S2-0001"], ["0001"], {}),
        (["1015"], ["01-701-1015", "01-701-1023"], {"1015": "01-701-1015"}),
        (["701-1015"], ["01-701-1015"], {"701-1015": "01-701-1015"}),
        (["a 1"], ["A1", "B1"], {"a 1": "A1"}),
        (["10"], ["1", "100", "010"], {"10": "010"}),
        (["S-99"], ["S-01", "S-9"], {}),
        (["", "0", "-"], ["00", "--"], {"0": "00"}),
        ([], ["1"], {}),
    ],
)
def test_alike_is_what_can_only_be_one(ids: list[str], known: list[str], alike: dict[str, str]) -> None:
    assert find_alike(ids, known) == alike


def test_words_of_relation_are_said(tmp_path: Path) -> None:
    words = ["NONE", "REMOTE", "POSSIBLE", "PROBABLE", "UNKNOWN"]

    def change(old: pd.DataFrame) -> pd.DataFrame:
        return old.head(11).assign(AEREL=(words * 3)[:11])

    trial = load_trial(write_trial(tmp_path / "a", adae=change))
    assert trial.warnings == (
        "ADAE AEREL: is read as related: POSSIBLE (2 rows), PROBABLE (2 rows); as not related: NONE (3 "
        "rows), REMOTE (2 rows); as not known: UNKNOWN (2 rows). The lists related and not_related in "
        "trial.yaml can say otherwise",
    )
    assert trial.adverse_events["related"].tolist()[:5] == [False, False, True, True, pd.NA]
    listed = {"related": ["Remote", "probable"], "not_related": ["possible"]}
    trial = load_trial(write_trial(tmp_path / "b", adae=change, metadata=lambda old: old | listed))
    assert trial.warnings == ()
    assert trial.adverse_events["related"].tolist()[:4] == [False, True, False, True]


@pytest.mark.parametrize("column", ["TRT01P", "trt01a", "USUBJID", "DTHDT", "SAFFL", "ITTFL", "EOSSTT"])
def test_a_baseline_column_that_is_none(tmp_path: Path, column: str) -> None:
    baseline = {"baseline": [{"column": column, "label": "What"}]}
    (found,) = problems_of(write_trial(tmp_path, metadata=lambda old: old | baseline))
    assert (found.table, found.column) == ("trial.yaml", "baseline[0]")
    assert "is an identifier, an arm or a date" in found.rule or "write kind: categorical" in found.rule


@pytest.mark.parametrize("levels", [{}, {"levels": {"Y": "Treated", "N": "Not treated"}}])
def test_a_flag_may_be_a_baseline_column(tmp_path: Path, plain: Trial, levels: dict[str, Any]) -> None:
    baseline = {"baseline": [{"column": "SAFFL", "label": "Safety", "kind": "categorical", **levels}]}
    folder = write_trial(tmp_path, metadata=lambda old: old | baseline)
    trial = load_trial(folder)
    pd.testing.assert_series_equal(trial.subjects["treated"], plain.subjects["treated"])
    edit_cell(folder, "ADSL", 2, "SAFFL", "perhaps")
    assert "must be Y or N" in [each.rule for each in problems_of(folder)]


def test_what_is_wrong_throughout_is_one_problem(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, adex=lambda old: old.assign(ASTDT="1990-01-01", AENDT="1990-01-01"))
    (found,) = problems_of(folder)
    rule = "104 of 104 values, such as '1990-01-01': must not be before enrolment, 2015-01-12"
    assert found == Problem("ADEX", None, "ASTDT", "", rule)


def list_leaves(block: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(block, dict | list):
        for key, value in block.items() if isinstance(block, dict) else enumerate(block):
            yield from list_leaves(value, (*path, key))
    elif isinstance(block, int | float) or hasattr(block, "year"):
        yield path


ODD_NUMBERS = ["1e400", "-1e400", ".nan", "1" + "0" * 400, "1e308"]
ODD_DATES = ["9999-12-31", "0001-01-01", "1677-09-20", "2262-04-12"]


@pytest.mark.parametrize("name", ["trial.yaml", "published.yaml"])
def test_odd_numbers_and_dates_of_every_key_are_one_problem(tmp_path: Path, name: str) -> None:
    folder = write_trial(tmp_path)
    path = folder / name
    written = path.read_text("utf-8")
    block = yaml.safe_load(written)
    assumed = {"shortest": 0.1, "longest": 60, "recorded_decimals": 1}
    assumed["censored"] = [{"endpoint": "OS", "fewest": 0, "most": 2, "earliest": 1, "latest": 60}]
    block |= {"assumptions": assumed} if name == "published.yaml" else {}
    n_problems = {}
    keys = {tuple(map(str, leaf if len(leaf) < 3 else leaf[::2])): leaf for leaf in list_leaves(block)}
    for leaf in keys.values():
        *above, last = leaf
        entry = block
        for key in above:
            entry = entry[key]
        kept, entry[last] = entry[last], "HERE"
        template = yaml.safe_dump(block, sort_keys=False)
        entry[last] = kept
        for odd in ODD_NUMBERS + ODD_DATES:
            path.write_text(template.replace("HERE", odd), "utf-8")
            try:
                read_metadata(folder) if name == "trial.yaml" else read_published(folder)
                n_problems[last, odd] = 0
            except TrialDataError as error:
                n_problems[last, odd] = len(error.problems)
    assert {key for key, n in n_problems.items() if n != 1} == set()


@pytest.mark.parametrize("value", ["1e400", ".nan", "-.inf"])
def test_an_assumption_is_text_or_a_finite_number(tmp_path: Path, value: str) -> None:
    folder = write_trial(tmp_path)
    path = folder / "trial.yaml"
    path.write_text(path.read_text("utf-8").replace("value: invented", f"value: {value}"), "utf-8")
    (found,) = problems_of(folder)
    assert found.column == "assumptions[0].value"
    assert found.rule == "must be a finite number, or text in quotes"


@pytest.mark.parametrize("value", ["0", "1483228800", "-1", "1e3", "true", "20170101", "'0'", "2017", "''"])
def test_a_date_is_written_as_one(tmp_path: Path, value: str) -> None:
    folder = write_trial(tmp_path)
    path = folder / "trial.yaml"
    written = path.read_text("utf-8")
    path.write_text(written.replace("data_cut_off: 2021-06-30", f"data_cut_off: {value}"), "utf-8")
    with pytest.raises(TrialDataError, match=r"data_cut_off.*must be a date, YYYY-MM-DD") as caught:
        read_metadata(path)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (table, column, value)
        for table, column in [("ADTTE", "AVAL"), ("ADEX", "EXDOSE"), ("ADSL", "DTHDT"), ("ADAE", "ASTDT")]
        for value in (["1e308", "1e400"] if column in ("AVAL", "EXDOSE") else ODD_DATES)
    ],
)
def test_cells_beyond_what_can_be(tmp_path: Path, table: str, column: str, value: str) -> None:
    folder = write_trial(tmp_path)
    edit_cell(folder, table, 2, column, value)
    (found,) = problems_of(folder)
    assert (found.table, found.row, found.column, found.value) == (table, 2, column, value)


def test_the_pilot_tables_as_they_come(tmp_path: Path) -> None:
    source = Path(__file__).parent / "data" / "pilot"
    names = {"adsl": "adsl", "adtte": "adtte_onco", "adex": "ex", "adae": "adae"}
    frames = {
        table: pd.read_csv(source / f"{name}.csv", dtype=str, keep_default_na=False)
        for table, name in names.items()
    }
    adsl = frames["adsl"][frames["adsl"]["TRT01P"] != "Screen Failure"]
    codes = adsl["TRT01P"].unique()
    metadata = {
        "study_id": "CDISCPILOT01",
        "title": "Pilot",
        "provenance": "real",
        "time_unit": "days",
        "arms": [{"code": code, "label": code, "order": order} for order, code in enumerate(codes)],
        "endpoints": [
            {"code": "OS", "label": "Overall survival", "role": "overall_survival"},
            {"code": "PFS", "label": "Progression-free survival", "role": "progression_free_survival"},
        ],
    }
    files = {table: frame[frame["USUBJID"].isin(adsl["USUBJID"])] for table, frame in frames.items()}
    files["adex"] = files["adex"].rename(columns={"EXSTDTC": "ASTDT", "EXENDTC": "AENDT"})
    said = load_trial(write_trial(tmp_path / "a", metadata=metadata, published=None, **files)).warnings
    (longer,) = [each for each in said if "longer than overall survival" in each]
    assert longer.startswith("ADTTE row 20 AVAL")
    (relation,) = [each for each in said if "AEREL" in each]
    counted = "POSSIBLE (73 rows), PROBABLE (90 rows); as not related: NONE (79 rows), REMOTE (34 rows)"
    assert f"is read as related: {counted}. " in relation
    files["adtte"] = write_ids(lambda name: name.split("-")[-1])(files["adtte"])
    (found,) = problems_of(write_trial(tmp_path / "b", metadata=metadata, published=None, **files))
    rule = "60 of 60 subjects are in ADSL with a prefix (01-701-1015); write them alike"
    assert found == Problem("ADTTE", 2, "USUBJID", "1015", rule)
