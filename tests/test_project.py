"""The project's own files agree with each other."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def split_requirement(text):
    name, versions = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", text).groups()
    return name.lower().replace("_", "-"), versions.replace(" ", "")


def test_conda_environment_and_pyproject_name_the_same_packages_and_ranges():
    extras = PROJECT["optional-dependencies"]
    wanted = dict(map(split_requirement, [*PROJECT["dependencies"], *extras["lab"], *extras["test"]]))
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (from_pip,) = (entry["pip"] for entry in environment if isinstance(entry, dict))
    assert from_pip[-1] == "-e ."
    given = dict(map(split_requirement, [e for e in environment if isinstance(e, str)] + from_pip[:-1]))
    assert given.pop("python") == PROJECT["requires-python"]
    assert given.pop("pip") == ""
    assert given == wanted


def test_every_dependency_says_what_it_is_for():
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line for line in block.splitlines() if line.strip().startswith('"')]
    assert len(lines) >= len(PROJECT["dependencies"])
    assert all("# " in line for line in lines), lines


def test_every_dependency_is_locked_with_hashes():
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9.-]+)==\S+.*\\\n    --hash=sha256:", lock, flags=re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9.-]+==", lock, flags=re.MULTILINE))
    extras = PROJECT["optional-dependencies"]
    for requirement in [*PROJECT["dependencies"], *extras["lab"], *extras["test"], *extras["build"]]:
        assert split_requirement(re.split(r"[<>=]", requirement)[0])[0] in pins


def list_project_files():
    folders = ("nkhcc_helpers", "notebooks", "plans", "data", "tests", "benchmarks", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [
        path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith((".coverage", ".git"))
    ]
    return [path for path in files if path.suffix not in (".pyc", ".png", ".parquet")]


def test_no_address_of_a_package_index_and_no_path_of_a_machine():
    forbidden = re.compile(
        r"py"
        + r"pi\.org|python"
        + r"hosted|--(extra-)?index"
        + r"-url|find"
        + r"-links|/ro"
        + r"ot/|/wo"
        + r"rk/"
    )
    found = {
        str(path.relative_to(ROOT)): match.group()
        for path in list_project_files()
        if (match := forbidden.search(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert found == {}


PACKAGE = ROOT / "nkhcc_helpers"
PROMISED = {
    "trial": "load_trial",
    "survival": "estimate_km estimate_median estimate_survival_at estimate_rmst estimate_follow_up "
    "count_at_risk logrank_scores compare_survival compare_pairs exact_p recalibrate_p "
    "attained_size attained_coverage",
    "cox": "describe_design fit_cox fit_cox_many compare_models check_proportional_hazards leave_one_out "
    "fit_received simulate_immortal_time list_infusion_intervals",
    "cohort": "summarize_baseline summarize_exposure count_disposition",
    "safety": "list_events count_adverse_events count_by_term estimate_rates list_time_at_risk "
    "count_evaluable check_totals "
    "ANY_OF_CLASS ANY_RELATED ANY_TERM BLOCK CATEGORIES GRADES GROUPS LISTINGS LISTING_LABELS ORGAN_CLASS "
    "OVERALL TERM Definition Timelines TotalsError calculate_groups_p calculate_trend_p compare_groups "
    "count_by_infusion count_dose_limiting describe_events describe_treatment estimate_differences "
    "estimate_first_event estimate_poisson_rate estimate_shares group_by_treatment list_absent_terms "
    "list_adverse_events list_dose_limiting list_first_event list_observation list_scores list_terms "
    "list_timelines summarize_onset",
    "compatible": "sample_compatible find_conflict",
    "identification": "find_bounds",
}


def test_the_package_stays_small():
    files = sorted(PACKAGE.rglob("*.py"))
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in files}
    assert len(files) <= 125
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert sum(lengths.values()) <= 29_900


def test_the_faces_show_few_names_all_there():
    shown = {}
    for path in PACKAGE.rglob("__init__.py"):
        face = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
        shown[face.__name__] = getattr(face, "__all__", [])
        assert [name for name in shown[face.__name__] if not hasattr(face, name)] == []
        assert len(set(shown[face.__name__])) == len(shown[face.__name__])
    assert sum(map(len, shown.values())) <= 200, {name: len(names) for name, names in shown.items()}


@pytest.mark.parametrize("room", PROMISED)
def test_the_promised_names_are_on_the_faces(room):
    face = importlib.import_module(f"nkhcc_helpers.{room}")
    names = PROMISED[room].split()
    assert [name for name in names if not hasattr(face, name)] == []
    assert set(names) <= set(getattr(face, "__all__", names))


LIGHT = """
import sys, time
start = time.perf_counter()
import nkhcc_helpers
seconds = time.perf_counter() - start
loaded = {name.split(".")[0] for name in sys.modules} & {"matplotlib", "seaborn", "plotly", "pandas"}
assert not loaded, loaded
assert seconds < 2, seconds
"""


def test_importing_the_package_is_light():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
