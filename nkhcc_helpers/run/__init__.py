"""Notebooks run headlessly, their parameters checked, and their report published whole."""

from nkhcc_helpers.run.batch import BatchError, run_batch
from nkhcc_helpers.run.parameters import ParameterError, check_parameters
from nkhcc_helpers.run.plan import NotebookError, Plan, plan_run
from nkhcc_helpers.run.publish import PublishError
from nkhcc_helpers.run.run import run_notebooks

__all__ = [
    "BatchError",
    "NotebookError",
    "ParameterError",
    "Plan",
    "PublishError",
    "check_parameters",
    "plan_run",
    "run_batch",
    "run_notebooks",
]
