import pytest
from small_notebooks import code, write_notebook

from nkhcc_helpers.run.execute import Job, WorkerPool


def test_pool_without_workers_has_nothing_to_do(tmp_path):
    with WorkerPool(0, tmp_path) as pool:
        assert list(pool.execute([])) == []


def test_pool_stops_at_once_on_an_error(tmp_path):
    def fail():
        with WorkerPool(1, tmp_path) as pool:
            pool.execute([Job("sleeps", str(notebook), {}, str(tmp_path))])
            processes.extend(process for process, *_ in pool._running.values())
            raise KeyError("x")

    notebook = write_notebook(tmp_path / "sleeps.ipynb", code("import time; time.sleep(60)"))
    processes = []
    with pytest.raises(KeyError, match="x"):
        fail()
    assert processes[0].exitcode is not None
