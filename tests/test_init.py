"""A first trial.yaml: what tables tell, what is marked as guessed, and folders made of lists of patients."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from trials import write_trial
from written_formats import FORMATS, read_cells, to_text

from nkhcc_helpers import cohort
from nkhcc_helpers.cli import main
from nkhcc_helpers.report import figures
from nkhcc_helpers.report.tables.cohort import format_disposition
from nkhcc_helpers.trial import Trial, TrialDataError, load_trial
from nkhcc_helpers.trial.files import CoreLoader
from nkhcc_helpers.trial.init import init_trial, split_patients
from nkhcc_helpers.trial.propose import propose_trial, write_value

pytestmark = pytest.mark.filterwarnings("ignore::nkhcc_helpers.trial.problems.TrialDataWarning")
BUNDLED = Path(__file__).parents[1] / "data" / "nkhcc"
PILOT = Path(__file__).parent / "data" / "pilot"
TABLES = ("adsl", "adtte", "adex", "adae")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def read(text: str) -> dict:
    return yaml.load(text, CoreLoader)  # noqa: S506


def write_bare(folder: Path, form: str = "", **changes: Callable | None) -> Path:
    """The plain trial's tables, each changed as `write_trial` does, without trial.yaml."""
    write_trial(folder, metadata=None, published=None, **changes)
    if form:
        ending, write = FORMATS[form]
        for path in list(folder.glob("*.csv")):
            frame = read_cells(path)
            path.unlink()
            write(frame, path.with_name(f"{path.stem}.{ending}"))
    return folder


def start(folder: Path) -> tuple[dict, str, Trial]:
    """What init writes, its text, and the trial that is read then."""
    done = run("init", folder)
    assert done.exit_code == 0, done.output
    text = (folder / "trial.yaml").read_text("utf-8")
    assert text.count("# guessed:") > 0
    return read(text), text, load_trial(folder)


@pytest.fixture(scope="module")
def known(bundled_trial: Trial) -> Trial:
    return bundled_trial


@pytest.mark.parametrize("form", ["", "xpt 5", "json", "gzip"])
def test_the_bundled_tables_give_their_trial_again(tmp_path: Path, known: Trial, form: str) -> None:
    ending, write = FORMATS[form] if form else ("csv", to_text)
    for table in TABLES:
        write(read_cells(BUNDLED / f"{table}.csv"), tmp_path / f"{table}.{ending}")
    metadata, text, trial = start(tmp_path)
    planned = ["group", "order", "infusions", "dose", "n"]
    pd.testing.assert_frame_equal(trial.arm_table()[planned], known.arm_table()[planned])
    assert metadata["arms"][3]["doses"] == [0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2]
    told = {code: trial.endpoint(code) for code in trial.endpoint_labels}
    assert told == {code: known.endpoint(code) for code in known.endpoint_labels}
    pd.testing.assert_frame_equal(trial.times, known.times)
    assert (metadata["provenance"], metadata["time_unit"]) == ("illustrative", "months")
    assert trial.metadata.data_cut_off == known.metadata.data_cut_off
    kinds = {each.column: (each.kind, each.levels) for each in trial.metadata.baseline}
    levels = {"SEX": {"F": "Female", "M": "Male"}, "EXTRAHEP": {"N": "No", "Y": "Yes"}}
    assert kinds == {each.column: (each.kind, levels.get(each.column)) for each in known.metadata.baseline}
    assert "infusions, the most received; dose, the commonest given" in text


def test_one_arm(tmp_path: Path) -> None:
    for table in TABLES:
        frame = read_cells(BUNDLED / f"{table}.csv")
        ids = read_cells(BUNDLED / "adsl.csv").query("TRT01P == 'C'")["USUBJID"]
        to_text(frame[frame["USUBJID"].isin(ids)], tmp_path / f"{table}.csv")
    metadata, text, _ = start(tmp_path)
    assert [arm["code"] for arm in metadata["arms"]] == ["C"]
    assert "arms:\n" in text


def test_arms_stand_in_order_of_their_numbers(tmp_path: Path) -> None:
    numbers = {"A": "3", "B": "1", "C": "4", "D": "2"}
    folder = write_bare(tmp_path, adsl=lambda old: old.assign(TRT01PN=old["TRT01P"].map(numbers)))
    metadata, text, _ = start(folder)
    assert [arm["code"] for arm in metadata["arms"]] == ["B", "D", "A", "C"]
    assert "first appearance" not in text


def test_tables_of_longer_names(tmp_path: Path) -> None:
    folder = write_bare(tmp_path, "xpt 8")
    (folder / "adtte.XPT").rename(folder / "ADTTE_onco.XPT")
    metadata, _, trial = start(folder)
    assert metadata["tables"] == {"ADTTE": "ADTTE_onco.XPT"}
    assert len(trial.times) == 36
    shutil.copy(folder / "ADTTE_onco.XPT", folder / "adtte_safety.csv")
    done = run("init", folder, "--force")
    assert done.exit_code == 2
    assert "ADTTE 'ADTTE_onco.XPT, adtte_safety.csv': only one of these may stand for ADTTE" in done.output
    (folder / "ADTTE_onco.XPT").unlink()
    with pytest.raises(TrialDataError, match=r"ADTTE: adtte_onco.xpt is not in the folder"):
        load_trial(folder)


def test_patients_in_no_arm_are_left_out_by_name_and_counted(tmp_path: Path) -> None:
    def add(adsl: pd.DataFrame) -> pd.DataFrame:
        failed = adsl.iloc[:4].assign(
            USUBJID=[f"X-{at}" for at in range(4)], TRT01P=["Screen Failure", "", "Screen Failure", "NA"]
        )
        adsl = adsl.copy()
        adsl.loc[8, "TRT01A"] = "Not Treated"  # planned, never treated
        return pd.concat([adsl, failed.assign(SAFFL="", TRT01A=failed["TRT01P"])])

    def adae(old: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([old, old.iloc[:2].assign(USUBJID="X-1")])

    metadata, _, trial = start(write_bare(tmp_path, adsl=add, adae=adae))
    assert metadata["left_out"] == ["Screen Failure", "", "Not Treated"]
    assert trial.left_out == {"Screen Failure": 2, "": 2, "Not Treated": 0}
    assert len(trial.subjects) == 18
    assert not trial.adverse_events["USUBJID"].str.startswith("X").any()
    assert "Left out: 2 patients, Screen Failure" in run("check", tmp_path).output
    counts = cohort.count_disposition(trial)
    assert list(counts)[1:4] == [
        f"left out: {word}" for word in ("Screen Failure", "no group planned", "Not Treated")
    ]
    everyone = counts.set_index("group").loc["All"]
    assert (everyone["left out: Screen Failure"], everyone["n_enrolled"]) == (2, 18)
    page = format_disposition(counts, trial, grace_days=7).as_raw_html()
    assert page.index("Left out: Screen Failure") < page.index("Enrolled")
    drawn = [text.get_text() for text in figures.plot_flow(counts, trial.group_labels).texts]
    assert "Left out\nScreen Failure: 2\nno group planned: 2\nNot Treated: 0" in drawn


def test_an_arm_cannot_be_left_out(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, metadata=lambda old: {**old, "left_out": ["A"]})
    with pytest.raises(TrialDataError, match="A: is an arm and under left_out; keep one"):
        load_trial(folder)


def test_nobody_in_an_arm(tmp_path: Path) -> None:
    folder = write_bare(tmp_path, adsl=lambda old: old.assign(TRT01P="Screen Failure"))
    with pytest.raises(TrialDataError, match=r"ADSL: has no row of a patient in an arm \(TRT01P\)"):
        propose_trial(folder)


DAYS = {"days": 1, "weeks": 7, "months": 30.4375, "years": 365.25}


@pytest.mark.parametrize("unit", DAYS)
@pytest.mark.parametrize("told", ["AVALU", "PARAM", "dates"])
def test_units_that_the_tables_tell(tmp_path: Path, unit: str, told: str) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        days = pd.to_datetime(old["ADT"]) - pd.to_datetime(old["STARTDT"])
        new = old.assign(AVAL=days.dt.days / DAYS[unit], AVALU=unit.upper(), PARAM=f"Time ({unit})")
        dropped = {"AVALU": ["PARAM", "STARTDT"], "PARAM": ["AVALU", "ADT"], "dates": ["AVALU", "PARAM"]}
        return new.drop(columns=dropped[told])

    text = propose_trial(write_bare(tmp_path, adtte=change)).text
    assert f"time_unit: {unit}\n" in text
    assert f"display_time_unit: {'years' if unit == 'years' else 'months'}\n" in text
    assert ("data_cut_off" in text) == (told != "PARAM")


def test_units_that_they_do_not_tell(tmp_path: Path) -> None:
    names = ["AVALU", "PARAM", "STARTDT", "ADT"]
    folder = write_bare(tmp_path, adtte=lambda old: old.drop(columns=names))
    page = propose_trial(folder)
    assert "time_unit: months  # guessed: nothing tells the unit; the longest time is " in page.text
    assert any(line.startswith("time_unit months: nothing tells the unit") for line in page.guessed)
    days = tmp_path / "days"
    write_bare(days, adtte=lambda old: old.assign(AVAL=pd.to_numeric(old["AVAL"]) * 30).drop(columns=names))
    assert "time_unit: days  # guessed: nothing tells" in propose_trial(days).text


def test_an_endpoint_in_another_unit(tmp_path: Path) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        is_os = old["PARAMCD"] == "OS"
        days = (pd.to_numeric(old["AVAL"]) * 30.4375).round().astype(int).astype(str)
        units = old["AVALU"].mask(is_os, "DAYS")
        param = old["PARAM"].mask(is_os, "Overall Survival (days)").mask(~is_os, "Progression-Free Survival")
        return old.assign(AVAL=old["AVAL"].mask(is_os, days), AVALU=units, PARAM=param)

    metadata = read(propose_trial(write_bare(tmp_path, adtte=change)).text)
    assert metadata["time_unit"] == "days"
    assert metadata["endpoints"][0]["time_unit"] == "months"
    assert metadata["endpoints"][1] == {
        "code": "OS",
        "label": "Overall Survival",
        "role": "overall_survival",
        "event": "death",
    }


def test_endpoints(tmp_path: Path) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        progression = old[old["PARAMCD"] == "PFS"]
        more = [
            old.assign(PARAM=old["PARAMCD"].map({"OS": "Death", "PFS": "Progression-free survival"})),
            progression.assign(PARAMCD="PFSI", PARAM="Progression-free survival, read by others"),
            progression.iloc[:5].assign(PARAMCD="DOR", PARAM="Osteolysis"),
            *[progression.assign(PARAMCD="TTAE", PARAM="Time to any adverse event")] * 2,
        ]
        return pd.concat(more)

    metadata, text, _ = start(write_bare(tmp_path, adtte=change))
    roles = {each["code"]: each.get("role") for each in metadata["endpoints"]}
    assert roles == {"PFS": "progression_free_survival", "OS": "overall_survival", "PFSI": None, "DOR": None}
    assert metadata["endpoints"][3]["population"] == "patients with a time"
    assert "# guessed: population, 5 of 18 patients have one" in text
    assert "# TTAE is no endpoint: patients have several rows of it" in text


def test_what_only_a_person_can_say_is_asked_for(tmp_path: Path) -> None:
    def adtte(old: pd.DataFrame) -> pd.DataFrame:
        return old.drop(columns="CNSR").assign(STATUS=old["CNSR"].map({"0": "DEAD", "1": "ALIVE"}))

    folder = write_bare(
        tmp_path, adtte=adtte, adae=lambda old: old.assign(AEREL=old["AEREL"].replace("Y", "perhaps"))
    )
    done = run("init", folder)
    assert done.exit_code == 0
    text = (folder / "trial.yaml").read_text()
    asked = ["# event_flag: {column: STATUS, event: [DEAD], censored: [ALIVE]}", "# related: [...]"]
    assert [line for line in text.splitlines() if line.startswith(tuple(asked))]
    assert "which word is the event is not guessed; seen: STATUS (ALIVE, DEAD)" in text
    assert "event_flag" not in read(text)
    assert "To be filled in before anything else:\n  event_flag" in done.output
    assert "ADAE says 'perhaps'" in done.output
    assert "populations that ADSL flags: SAFFL" in text


@pytest.mark.parametrize(
    ("form", "days", "order"),
    [
        ("%d/%m/%Y", 1, "dmy"),
        ("%m/%d/%Y", 1, "mdy"),
        ("%d.%m.%Y", 1, "dmy"),
    ],
)
def test_the_order_of_dates_where_one_tells_it(tmp_path: Path, form: str, days: int, order: str) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        names = [name for name in old if name.endswith("DT")]
        return old.assign(**{name: pd.to_datetime(old[name]).dt.strftime(form).fillna("") for name in names})

    changes = dict.fromkeys(["adsl", "adtte", "adex", "adae"], change)
    metadata, _, trial = start(write_bare(tmp_path, **changes))
    assert metadata["date_order"] == order
    assert str(trial.metadata.data_cut_off) == metadata["data_cut_off"]


def test_the_order_of_dates_where_none_does(tmp_path: Path) -> None:
    def change(old: pd.DataFrame) -> pd.DataFrame:
        return old.assign(ADT="09/07/2012", STARTDT="01/02/2012")

    page = propose_trial(write_bare(tmp_path, adtte=change))
    assert "date_order" not in read(page.text)
    assert page.lacking == [
        "date_order: dmy: or mdy; nothing tells which of them dates such as 01/02/2012 are"
    ]


def test_doses_by_interval_and_of_placebo(tmp_path: Path) -> None:
    def adex(old: pd.DataFrame) -> pd.DataFrame:
        first = old.drop_duplicates("USUBJID")
        ids = first["USUBJID"]
        end = (pd.to_datetime(first["ASTDT"]) + pd.Timedelta(days=9)).dt.strftime("%Y-%m-%d")
        return first.assign(EXDOSE=ids.map(lambda each: "0" if each == "S-01" else "54"), AENDT=end)

    folder = write_bare(tmp_path, adex=adex)
    arms = read(propose_trial(folder).text)["arms"]
    assert {arm["dose"] for arm in arms} == {54}
    assert not any("infusions" in arm for arm in arms)
    to_text(read_cells(folder / "adex.csv").assign(EXDOSE="0"), folder / "adex.csv")
    assert {arm["dose"] for arm in read(propose_trial(folder).text)["arms"]} == {0}


NASTY = [
    "", " ", "~", "null", "NA", "no", "Yes", "y", "N", "on", "true", "017", "0o17", "1e9", "1_000",
    "1:30", ".5", "5.", "-", "- a", "? b", "a: b", "a #b", "#", "'", '"', "it's", 'say "x"', "a\nb",
    "a\n\nb ", "\t", "{a}", "[b]", "a, b", "*x", "&x", "!x", "%x", "@x", "`x`", "|", ">", "2015-01-02",
    "2015-01-02T01:02:03", ".inf", ".nan", "=", "<<", "\\", "\x07", "\x7f", "\x85", "\xa0", "\u2028",
    "\ufeff", "é", "\U0001f600", "a" * 300, "x " * 99 + "y", "<script>", "$x$", "---", "...", "0x1F",
    "+1", "1e400", "0b1", "12:30:45", "\u200b", "\ue000",
]  # fmt: skip


def list_texts() -> list[str]:
    draw = random.Random(15)
    signs = [
        *"abyn019:#'\"-?{}[],&*!|>%@`~ .=\n\t\\",
        "\x00",
        "\x1b",
        "é",
        "\u2028",
        "\U0001f600",
        "null",
        "e5",
    ]
    return NASTY + ["".join(draw.choices(signs, k=draw.randrange(1, 9))) for _ in range(1500)]


def test_any_text_comes_back_from_yaml() -> None:
    texts = list_texts()
    document = "\n".join(f"- {{key: {write_value(text)}}}  # guessed: why" for text in texts)
    assert len(document.split("\n")) == len(texts)
    for loader in (CoreLoader, yaml.SafeLoader):
        assert [each["key"] for each in yaml.load(document, loader)] == texts  # noqa: S506
    levels = {text: text for text in texts}
    assert read(f"levels: {write_value(levels)}") == {"levels": levels}
    assert [write_value(each) for each in (1, 0.5, True, "Low dose", ["A"], "Y")] == [
        "1",
        "0.5",
        "true",
        "Low dose",
        "[A]",
        "'Y'",
    ]


def test_text_of_the_tables_is_quoted(tmp_path: Path) -> None:
    """As arms, study, labels and levels: what a table may hold comes back as it is."""
    arms = {"A": "no", "B": "017", "C": "a: b # c", "D": "it's\n- {x}"}
    study = "1e9: 'x' # \"y\""
    levels = {"A": "null", "B": "~ # no"}
    sex = {"F": "N", "M": "Y"}

    def adsl(old: pd.DataFrame) -> pd.DataFrame:
        new = old.replace({"TRT01P": arms, "TRT01A": arms, "CHILDPUG": levels, "SEX": sex})
        return new.assign(STUDYID=study)

    metadata, text, trial = start(
        write_bare(tmp_path, adsl=adsl, adtte=lambda old: old.assign(PARAM="no # 'x': \"y\""))
    )
    assert trial.groups == [*arms.values()]
    assert metadata["study_id"] == metadata["title"] == study
    label = "no # 'x': \"y\""
    assert trial.endpoint_labels == {"PFS": f"{label} (PFS)", "OS": f"{label} (OS)"}
    assert "\n- {x}" not in text


def test_what_is_wrong_is_one_error(tmp_path: Path) -> None:
    missing = run("init", tmp_path / "nowhere")
    assert (missing.exit_code, missing.output.count("does not exist")) == (2, 1)
    empty = run("init", tmp_path)
    assert empty.exit_code == 2
    assert "2 problems" in empty.output
    assert "ADSL: adsl.csv is not in the folder" in empty.output
    folder = write_bare(tmp_path / "bad", adsl=lambda old: old.drop(columns=["STUDYID", "TRT01P"]), adae="")
    (folder / "adex.csv").write_bytes(b"PAR1 and no more")
    done = run("init", folder)
    assert done.exit_code == 2
    assert not (folder / "trial.yaml").exists()
    for said in ("4 problems", "ADSL row 1 STUDYID: column is missing", "TRT01P", "ADEX", "ADAE"):
        assert said in done.output
    assert "Traceback" not in done.output


def test_nothing_is_written_over_without_force(tmp_path: Path) -> None:
    folder = write_bare(tmp_path / "made")
    (folder / "trial.yaml").write_text("mine: true\n")
    done = run("init", folder)
    assert done.exit_code == 2
    assert "trial.yaml is there already; --force replaces it" in done.output
    assert (folder / "trial.yaml").read_text() == "mine: true\n"
    assert run("init", folder, "--force").exit_code == 0
    assert "study_id: PLAIN" in (folder / "trial.yaml").read_text()
    assert not list(folder.glob("*.part"))


def test_the_command_says_what_was_guessed_and_what_comes_next(tmp_path: Path) -> None:
    done = run("init", write_bare(tmp_path / "mine"))
    lines = done.output.splitlines()
    assert lines[0] == f"Wrote {tmp_path / 'mine' / 'trial.yaml'}"
    assert "  title PLAIN: the tables do not name the trial" in lines
    assert "  arms, A: dose 0.5: the commonest given" in lines
    assert lines[-2:] == [
        f"Next: nkhcc check {tmp_path / 'mine'}",
        f"      nkhcc run --data {tmp_path / 'mine'}",
    ]


LIST = """id,group,time,event
{rows}
"""
TWELVE = "\n".join(
    f"P{at:02},{'high' if at % 2 else 'low'},{2 + at * 1.5},{int(at % 4 > 0)}" for at in range(12)
)


def write_list(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_list_of_patients(tmp_path: Path) -> None:
    path = write_list(tmp_path / "patients.csv", LIST.format(rows=TWELVE))
    done = run("init", path)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "patients"
    assert sorted(each.name for each in folder.iterdir()) == ["adsl.csv", "adtte.csv", "trial.yaml"]
    assert "  column EVENT: 1 or yes is the event, as is usual" in done.output
    assert "  column TIME: is in months; the longest is 18.5" in done.output
    metadata = read((folder / "trial.yaml").read_text())
    assert metadata["exposure"] == metadata["adverse_events"] == {"collected": False}
    assert [each["code"] for each in metadata["endpoints"]] == ["TTE"]
    adtte = read_cells(folder / "adtte.csv")
    assert list(adtte["CNSR"]) == [str(int(at % 4 == 0)) for at in range(12)]
    assert run("init", path).exit_code == 2
    assert run("init", path, "--force").exit_code == 0
    assert run("init", path, "--out", tmp_path / "other").exit_code == 0
    assert (tmp_path / "other" / "trial.yaml").is_file()


def split(tmp_path: Path, header: str, *rows: str) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    tables, notes = split_patients(write_list(tmp_path / "x.csv", "\n".join([header, *rows]) + "\n"), [])
    return tables["adsl.csv"], tables["adtte.csv"], notes


@pytest.mark.parametrize(
    ("header", "codes", "units"),
    [
        ("Patient,Arm,Months,Status", ["TTE"], ["MONTHS"]),
        ("subject_id,treatment,time_days,event", ["TTE"], ["DAYS"]),
        ("USUBJID,TRT01P,AVAL,EVENT", ["TTE"], ["MONTHS"]),
        ("pt no,Cohort,OS (weeks),OS status", ["OS"], ["WEEKS"]),
        ("id,trt,os,death", ["OS"], ["MONTHS"]),
        ("id,dose level,survival_months,dead", ["OS"], ["MONTHS"]),
        ("id,dose,time to death,died", ["OS"], ["MONTHS"]),
        ("id,arm,time to event (years),event flag", ["TTE"], ["YEARS"]),
        ("id,arm,ostime,osevent", ["OS"], ["MONTHS"]),
        ("id,arm,follow-up days,vital status", ["OS"], ["DAYS"]),
        ("id,arm,PFS.months,progression", ["PFS"], ["MONTHS"]),
        ("id,arm,dose,follow_up,event", ["TTE"], ["MONTHS"]),
    ],
)
def test_columns_in_many_spellings(tmp_path: Path, header: str, codes: list[str], units: list[str]) -> None:
    n_more = header.count(",") - 3
    rows = [f"{at},{'AB'[at % 2]},{'1,' * n_more}{at + 0.5},{at % 2}" for at in range(6)]
    adsl, adtte, _ = split(tmp_path, header, *rows)
    assert list(adtte["PARAMCD"].unique()) == codes
    assert list(adtte["AVALU"].unique()) == units
    assert list(adtte["CNSR"]) == [1, 0, 1, 0, 1, 0]
    assert list(adsl["TRT01P"]) == [*"ABABAB"]
    assert len(adsl.columns) == 3 + n_more


def test_two_endpoints_and_other_columns(tmp_path: Path) -> None:
    header = "id;group;age;pfs_months;pfs_event;os_months;os_event"
    adsl, adtte, _ = split(
        tmp_path, header, "1;A;50;1,5;yes;2,5;dead", "2;B;60;3;no;3;alive", "3;B;70;;;4;alive"
    )
    assert list(adsl.columns) == ["STUDYID", "USUBJID", "TRT01P", "AGE"]
    found = list(adtte[["USUBJID", "PARAMCD", "AVAL", "CNSR"]].itertuples(index=False, name=None))
    assert found == [
        ("1", "PFS", "1.5", 0),
        ("2", "PFS", "3", 1),
        ("1", "OS", "2.5", 0),
        ("2", "OS", "3", 1),
        ("3", "OS", "4", 1),
    ]


@pytest.mark.parametrize(
    ("header", "marks", "censored"),
    [
        ("id,arm,time,cens", ["1", "0"], [1, 0]),
        ("id,arm,time,CNSR", ["1", "0"], [1, 0]),
        ("id,arm,time,censored", ["yes", "no"], [1, 0]),
        ("id,arm,os_time,os_censor", ["TRUE", "FALSE"], [1, 0]),
        ("id,arm,time,status", ["Dead", "Alive"], [0, 1]),
        ("id,arm,time,status", ["censored", "event"], [1, 0]),
        ("id,arm,time,event", ["Y", "N"], [0, 1]),
    ],
)
def test_what_marks_an_event(tmp_path: Path, header: str, marks: list[str], censored: list[int]) -> None:
    _, adtte, notes = split(tmp_path, header, f"1,A,2,{marks[0]}", f"2,A,3,{marks[1]}")
    assert list(adtte["CNSR"]) == censored
    speaks = marks[0].lower() in ("dead", "censored")
    assert any("1 or yes is" in why for why in notes.values()) != speaks


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("id,arm,time", ["1,A,2"], "each time needs one event"),
        ("id,arm,time,event,status", ["1,A,2,1,1"], "TIME (time), EVENT (event), STATUS (event)"),
        ("id,arm,time,months,event", ["1,A,2,1,1"], "TIME (time), MONTHS (time), EVENT (event)"),
        ("id,arm,pfs_time,os_time,event", ["1,A,2,2,1"], "each time needs one event"),
        ("id,arm,pfs_time,dead", ["1,A,2,1"], "PFS_TIME (time), DEAD (event)"),
        ("id,patient,arm,time,event", ["1,1,A,2,1"], "ID and PATIENT can be the column of the id"),
        ("id,time,event", ["1,2,1"], "none of ID, TIME, EVENT is the column of the group"),
        ("id,arm,time,event", ["1,A,x,1", "2,A,-3,1"], "x.csv row 3 TIME '-3': must be a number >= 0"),
        ("id,arm,time,event", ["1,A,2,1", "2,A,3,2"], "EVENT '2': must be 1 or 0"),
        ("id,arm,time,event", ["1,A,2,", "2,A,3,1"], "row 2 EVENT: must be 1 or 0"),
        ("id,arm,time,event", ["1,A,2,1", "1,A,3,1"], "row 3 ID '1': must be there, and another one"),
        ("id,arm,time,event", ['1,A,"1,234",1'], "must be a number >= 0"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, header: str, rows: list[str], said: str) -> None:
    path = write_list(tmp_path / "x.csv", "\n".join([header, *rows]) + "\n")
    done = run("init", path)
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The pilot tables by file, ADEX made of EX; of one patient, time of death as late as of progression."""
    frames = {path.stem: read_cells(path).replace("NA", "") for path in PILOT.glob("*.csv")}
    dates = {"EXSTDTC": "ASTDT", "EXENDTC": "AENDT"}
    frames["adex"] = frames.pop("ex").rename(columns=dates)
    adtte = frames["adtte_onco"]
    late = (adtte["USUBJID"] == "01-701-1115") & (adtte["PARAMCD"] == "OS")
    adtte.loc[late, ["AVAL", "ADT"]] = ["64", "2013-02-01"]
    return frames


PILOT_ARMS = {"Placebo": 0, "Xanomeline High Dose": 81, "Xanomeline Low Dose": 54}


@pytest.mark.parametrize("form", ["", "xpt 8", "json"])
@pytest.mark.parametrize("with_doses", [True, False])
def test_the_pilot_tables(
    tmp_path: Path, pilot: dict[str, pd.DataFrame], form: str, with_doses: bool
) -> None:
    ending, write = FORMATS[form] if form else ("csv", to_text)
    for name, frame in pilot.items():
        if name != "adex" or with_doses:
            write(frame, tmp_path / f"{name}.{ending}")
    page = propose_trial(tmp_path)
    metadata = read(page.text)
    assert metadata["tables"] == {"ADTTE": f"adtte_onco.{ending}", "ADRS": f"adrs_onco.{ending}"}
    assert metadata["left_out"] == ["Screen Failure"]
    doses = {arm["code"]: arm.get("dose") for arm in metadata["arms"]}
    assert doses == (PILOT_ARMS if with_doses else dict.fromkeys(PILOT_ARMS))
    assert not any("infusions" in arm for arm in metadata["arms"])
    assert (metadata["time_unit"], metadata["data_cut_off"]) == ("days", "2014-12-30")
    assert {each["code"]: each.get("role") for each in metadata["endpoints"]} == {
        "OS": "overall_survival",
        "PFS": "progression_free_survival",
        "RSD": None,
    }
    assert "# guessed: population, 4 of 60 patients have one" in page.text
    shown = [each["column"] for each in metadata["baseline"]]
    assert shown == ["AGE", "SEX", "RACE", "ETHNIC", "RACEGR1", "AGEGR1"]
    assert ("exposure" in metadata) != with_doses
    assert page.lacking == []
    if with_doses:
        assert (metadata["dose_unit"], metadata["treatment_word"]) == ("mg", "patch")
        (tmp_path / "trial.yaml").write_text(page.text)
        trial = load_trial(tmp_path)
        assert list(trial.arm_table()["n"]) == [20, 20, 20]
        assert trial.left_out == {"Screen Failure": 11}
        assert len(trial.responses) == 60


def test_every_endpoint_with_several_rows_of_a_patient(tmp_path: Path) -> None:
    folder = write_bare(tmp_path, adtte=lambda old: pd.concat([old, old]))
    with pytest.raises(TrialDataError, match="ADTTE PARAMCD: no endpoint has one row a patient"):
        propose_trial(folder)


@pytest.mark.parametrize(("name", "folder"), [("mine", "mine_trial"), (".csv", "_trial"), ("a.b.csv", "a")])
def test_the_folder_of_a_list_is_never_the_list(tmp_path: Path, name: str, folder: str) -> None:
    path = write_list(tmp_path / name, LIST.format(rows=TWELVE))
    assert init_trial(path)[0] == tmp_path / folder
