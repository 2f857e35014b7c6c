"""Notebooks run headlessly, and their report published whole."""

from nkhcc_helpers.run.plan import plan_run
from nkhcc_helpers.run.run import run_notebooks

__all__ = [
    "plan_run",
    "run_notebooks",
]
