"""Trials for all tests, written once a session."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from trials import VARIANTS, write_trial

from nkhcc_helpers.trial.trial import Trial, load_trial

settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("full", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


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
def plain_trial(load_variant: Callable[[str], Trial]) -> Trial:
    """Four arms, months, grades as numbers."""
    return load_variant("plain")


@pytest.fixture(scope="session")
def small_trial(load_variant: Callable[[str], Trial]) -> Trial:
    """Three other arms, days shown in months, severity as words, one patient untreated."""
    return load_variant("small")
