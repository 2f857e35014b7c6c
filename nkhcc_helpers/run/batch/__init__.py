"""A batch of runs: laid out by a plan, executed by workers of dask, resumed after any stop, and compared."""

from nkhcc_helpers.run.batch.batch import BatchResult, run_batch
from nkhcc_helpers.run.batch.estimate import describe_batch
from nkhcc_helpers.run.batch.grid import Batch, BatchError, BatchRun, read_batch
from nkhcc_helpers.run.batch.results import compare_reports, describe_comparison

__all__ = [
    "Batch",
    "BatchError",
    "BatchResult",
    "BatchRun",
    "compare_reports",
    "describe_batch",
    "describe_comparison",
    "read_batch",
    "run_batch",
]
