"""A batch of runs: laid out by a plan, executed by workers of dask, resumed after any stop, and compared."""
