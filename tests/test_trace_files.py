"""How many files of the package a number goes through, from the trial's file to the page."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_cover  # it traces by itself

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "trace_files.py"


@pytest.fixture(scope="module")
def trace_files():
    spec = importlib.util.spec_from_file_location("trace_files", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("way", "passed"),
    [
        ("one adverse event to the printed rates", {"safety/exposure.py", "report/tables/safety_timing.py"}),
        pytest.param(
            "one time to the printed hazard ratios",
            {"cox/fit.py", "cox/likelihood.py", "report/tables/cox.py"},
            marks=pytest.mark.slow,  # as the other, through other rooms
        ),
    ],
)
def test_a_number_goes_through_few_files(trace_files, way, passed):
    entered, only_ran = trace_files.trace(way)
    assert len(entered) <= trace_files.LIMITS[way], entered
    assert {"trial/files.py", *passed} <= set(entered)
    assert "trial/metadata.py" in only_ran
