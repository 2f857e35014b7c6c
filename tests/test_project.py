"""The project's own files agree with each other."""

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
    folders = ("nkhcc_helpers", "notebooks", "data", "tests", "benchmarks", ".ci")
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


@pytest.mark.parametrize(
    "module", ["trial", "cohort", "survival", "permutation", "cox", "safety", "published"]
)
def test_statistics_do_not_draw(module):
    source = (ROOT / "nkhcc_helpers" / f"{module}.py").read_text()
    assert not re.search(r"import (matplotlib|seaborn)|from (matplotlib|seaborn)|great_tables", source)


FLOORS = [
    "problems metadata claims reading validation partial_dates schema rules censoring durations "
    "contradictions doubts frames trial",
    "checks limits survival survival_by_group logrank halves group_split allocations "
    "permutation permutation_many simulation calibration "
    "partial_likelihood separation design cox_many profile_limits relabelling relabelling_strata "
    "relabelling_limits relabelling_many cox_fit cox_models cox_diagnostics assumption_sweep "
    "cox_calibration trial_calibration immortal_time cox "
    "populations events cohort safety_counts safety_terms exposure safety_timing first_event timelines "
    "exact_tables dose_relation dose_limiting risk_difference recounts totals_timing totals safety "
    "published illustration reconstruction "
    "claimed_trial cohort_space cohort_order cohort_curves claim_distances cohort_proposals cohort_groups "
    "cohort_moves cohort_pairing compatible_target compatible_chains compatible_endpoints compatible "
    "compatible_diagnostics claim_checks compatible_conflicts compatible_bounds compatible_statistics "
    "compatible_targets compatible_answers compatible_narrowing compatible_files "
    "compatible_obtained compatible_summaries identification",
    "numbers exports labels labels_compatible display tables style plots page results",
    "parameters planning execution workers runs summaries report publishing manifest",
    "cli",
]


def list_imports():
    """Every module of the package, and the modules of the package that it imports."""
    sources = {path.stem: path.read_text() for path in (ROOT / "nkhcc_helpers").glob("*.py")}
    find = re.compile(r"^from nkhcc_helpers\.(\w+) import", flags=re.MULTILINE)
    return {name: set(find.findall(source)) for name, source in sources.items() if name != "__init__"}


def floor_of(module):
    family = module.split("_")[0] if module.startswith(("tables_", "plots_")) else module
    floors = [number for number, names in enumerate(FLOORS) if family in names.split()]
    assert len(floors) == 1, f"{module} stands on no floor; add it to FLOORS"
    return floors[0]


def test_modules_import_from_their_floor_or_below():
    upward = {
        (module, imported)
        for module, imports in list_imports().items()
        for imported in imports
        if floor_of(imported) > floor_of(module)
    }
    assert upward == set()


def test_modules_do_not_import_in_circles():
    waiting = list_imports()
    while waiting:
        settled = {module for module, imports in waiting.items() if not imports & set(waiting)}
        assert settled, f"a circle among {sorted(waiting)}"
        waiting = {module: imports for module, imports in waiting.items() if module not in settled}
