import signal
import sys
import time

import pytest
from small_notebooks import code, write_notebook

from nkhcc_helpers.parallel import interruptible
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


def test_an_interruption_that_python_drops_comes_again(monkeypatch):
    class Cleared:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: dropped.append(told.exc_type))
    seen = []

    def work():
        cleared = Cleared()
        with interruptible():
            del cleared
            try:
                time.sleep(10)
            finally:
                time.sleep(1.5)  # an interruption that is under way does not come again
                seen.append(len(dropped))

    with pytest.raises(KeyboardInterrupt):
        work()
    assert (dropped, seen) == ([KeyboardInterrupt], [1])
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
