"""The plan of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nkhcc_helpers.run.plan import Plan


class BatchError(ValueError):
    """A batch cannot be run as planned."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class BatchRun:
    """One notebook on one trial with values for its parameters."""

    name: str
    plan: Plan
    source: Path
    trial: str
    data: Mapping[str, str]
    fingerprint: str


@dataclass(frozen=True)
class Batch:
    """The runs of a plan, in its order, none twice."""

    title: str
    runs: tuple[BatchRun, ...]
    varied: tuple[str, ...]
    out_dir: Path
    pages: Literal["all", "failed", "none"] = "all"
    notebooks: Literal["plain", "gzip", "none"] = "plain"
    timeout: float = 0.0


def read_batch(path, **changes) -> Batch:
    """Read a plan."""
    raise NotImplementedError
