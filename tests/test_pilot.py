"""The public pilot tables as they come: what the tool counts of them, counted again by plain loops."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from nkhcc_helpers import cohort, safety
from nkhcc_helpers.trial import Trial, group_by_treatment, load_trial
from nkhcc_helpers.trial.init import init_trial

PILOT = Path(__file__).parent / "data" / "pilot"


def read_rows(name: str) -> list[dict[str, str]]:
    with (PILOT / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """The trial that `nkhcc init` makes of the tables; doses from SDTM EX, its dates as those of ADEX."""
    folder = tmp_path_factory.mktemp("pilot")
    for path in PILOT.glob("ad*.csv"):
        shutil.copy(path, folder)
    text = (PILOT / "ex.csv").read_text("utf-8").replace("EXSTDTC", "ASTDT").replace("EXENDTC", "AENDT")
    (folder / "adex.csv").write_text(text, "utf-8")
    init_trial(folder)
    return load_trial(folder, warn=False)


def test_demography_is_counted_again(pilot: Trial) -> None:
    baseline = cohort.summarize_baseline(pilot)
    patients = [row for row in read_rows("adsl") if row["TRT01P"] != "Screen Failure"]
    assert len(patients) == len(pilot.subjects) == 60
    assert pilot.left_out == {"Screen Failure": len(read_rows("adsl")) - 60}
    for arm in pilot.groups:
        of_arm = [row for row in patients if row["TRT01P"] == arm]
        ages = sorted(int(row["AGE"]) for row in of_arm)
        (age,) = baseline[(baseline["variable"] == "AGE") & (baseline["group"] == arm)].to_dict("records")
        assert age["mean"] == pytest.approx(sum(ages) / len(ages))
        assert (age["minimum"], age["maximum"]) == (ages[0], ages[-1])
        for column in ("SEX", "RACE", "ETHNIC"):
            rows = baseline[(baseline["variable"] == column) & (baseline["group"] == arm)]
            for row in rows.to_dict("records"):
                assert row["count"] == sum(each[column] == row["level"] for each in of_arm)


def test_adverse_events_are_counted_again(pilot: Trial) -> None:
    received = {row["USUBJID"]: row["TRT01A"] for row in read_rows("adsl")}
    events = [row for row in read_rows("adae") if received[row["USUBJID"]] in pilot.groups]
    trial = group_by_treatment(pilot, "actual")
    counts = safety.count_adverse_events(trial)
    overview = counts[counts["category"] == "any"].set_index("group")
    terms = safety.count_by_term(trial)
    terms = terms[(terms["level"] == "term") & terms["grade"].isin(["any", "3+"])]
    assert set(terms["term"].str.upper()) == {row["AEDECOD"].upper() for row in events}
    for arm in pilot.groups:
        of_arm = [row for row in events if received[row["USUBJID"]] == arm]
        assert overview.loc[arm, "n_patients"] == len({row["USUBJID"] for row in of_arm})
        assert overview.loc[arm, "n_events"] == len(of_arm)
        for row in terms[terms["group"] == arm].to_dict("records"):
            grades = ["SEVERE"] if row["grade"] == "3+" else ["MILD", "MODERATE", "SEVERE"]
            of_term = [each for each in of_arm if each["AEDECOD"].upper() == row["term"].upper()]
            assert row["n_patients"] == len({each["USUBJID"] for each in of_term if each["AESEV"] in grades})
