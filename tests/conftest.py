"""Trials for all tests, written once a session."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from trials import VARIANTS, write_trial

from nkhcc_helpers import parallel
from nkhcc_helpers.trial.trial import Trial, load_trial

# As where notebooks are executed: jsonschema would build a grammar of addresses that takes seconds.
sys.modules.setdefault("rfc3987_syntax", None)

settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("full", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

COVERED_BY_OTHERS = {
    f"test_{name}.py"
    for name in [
        "clocks",
        "cohort",
        "compatible",
        "compatible_self_check",
        "contradictions",
        "cox_calibration",
        "cox_diagnostics",
        "cox_many",
        "cox_models",
        "draw_trial",
        "exposure",
        "given",
        "many_events",
        "patients",
        "relabelling",
        "safety",
        "safety_timing",
        "schema",
        "survival_sets",
        "timelines",
        "totals",
        "trial",
    ]
}
"""Files that take long, and whose code other files' tests execute too, but for some 60 lines in all."""


@pytest.hookimpl(trylast=True)  # after those not asked for were left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure coverage by the first case of each test, and not by generated ones, which differ every time.

    Tracing takes nearly as long again as what is traced: it looks at the lines of all libraries too. So what
    other tests execute anyway is not traced where it takes long, nor are single tests marked so.
    """
    seen = set()
    for item in items:
        name = item.nodeid.partition("[")[0]
        elsewhere = item.path.name in COVERED_BY_OTHERS
        if elsewhere or name in seen or item.get_closest_marker("hypothesis"):
            item.add_marker(pytest.mark.no_cover)
        seen.add(name)


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it again and again.

    Nor after every 700 objects, which tables and figures make by the thousand: 5 to 10 % of all time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class BlocksInThisProcess:
    """Stands for processes, which take seconds to start for the milliseconds of a test.

    As with them, all is pickled, there and back; and blocks are done last first, since any may be the first.
    """

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> BlocksInThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable, arguments: Iterable) -> Iterator:
        """What the function returns for each argument, in their order."""
        given = [pickle.dumps((function, each)) for each in arguments]
        done = []
        for each in reversed(given):
            called, argument = pickle.loads(each)
            done.insert(0, pickle.dumps(called(argument)))
        return map(pickle.loads, done)


@pytest.fixture(scope="session", autouse=True)
def _start_no_processes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "ProcessPoolExecutor", BlocksInThisProcess)
        yield


@pytest.fixture
def real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the test that there are any."""
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", ProcessPoolExecutor)


@pytest.fixture(scope="session")
def trial_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of every variant; read only."""
    root = tmp_path_factory.mktemp("trials")
    return {variant: write_trial(root / variant, variant=variant) for variant in VARIANTS}


@pytest.fixture(scope="session")
def load_variant(trial_folders: dict[str, Path]) -> Callable[[str], Trial]:
    """Function from the name of a variant to the trial, loaded once; read only."""
    return cache(lambda variant: load_trial(trial_folders[variant]))


@pytest.fixture(scope="session", params=list(VARIANTS))
def any_trial(request: pytest.FixtureRequest, load_variant: Callable[[str], Trial]) -> Trial:
    """Every variant in turn."""
    return load_variant(request.param)


@pytest.fixture(scope="session")
def bundled_trial() -> Trial:
    """The bundled trial."""
    return load_trial()


@pytest.fixture(scope="session")
def plain_trial(load_variant: Callable[[str], Trial]) -> Trial:
    """Four arms, months, grades as numbers."""
    return load_variant("plain")


@pytest.fixture(scope="session")
def small_trial(load_variant: Callable[[str], Trial]) -> Trial:
    """Three other arms, days shown in months, severity as words, one patient untreated."""
    return load_variant("small")
