"""Notebooks run headlessly, their parameters checked, and their report published whole."""

from nkhcc_helpers.run.parameters import ParameterError, check_parameters
from nkhcc_helpers.run.run import Plan, RunResult, plan_run, run_notebooks

__all__ = [
    "ParameterError",
    "Plan",
    "RunResult",
    "check_parameters",
    "plan_run",
    "run_notebooks",
]
