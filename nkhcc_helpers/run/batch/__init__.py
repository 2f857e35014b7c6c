"""A batch of runs: laid out by a plan, executed by workers of dask, resumed after any stop, and compared."""

from nkhcc_helpers.run.batch.batch import BatchResult, run_batch
from nkhcc_helpers.run.batch.grid import Batch, BatchError, BatchRun, read_batch
from nkhcc_helpers.run.batch.ledger import Record, read_ledger

__all__ = [
    "Batch",
    "BatchError",
    "BatchResult",
    "BatchRun",
    "Record",
    "read_batch",
    "read_ledger",
    "run_batch",
]
