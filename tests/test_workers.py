import pytest

from nkhcc_helpers.run.execute import WorkerPool


def test_pool_without_workers_has_nothing_to_do(tmp_path):
    with WorkerPool(0, tmp_path) as pool:
        assert list(pool.execute([])) == []


def test_pool_stops_at_once_on_an_error(tmp_path):
    def fail():
        with WorkerPool(1, tmp_path) as pool:
            processes.extend(process for process, _ in pool._workers)
            raise KeyError("x")

    processes = []
    with pytest.raises(KeyError, match="x"):
        fail()
    with pytest.raises(ValueError, match="closed"):
        processes[0].is_alive()
