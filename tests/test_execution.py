import json
import os
from pathlib import Path

import papermill
import pytest
from small_notebooks import code, write_notebook

from nkhcc_helpers.run import execute
from nkhcc_helpers.run.execute import Job, execute_job

NOT_READY = "Kernel died before replying to kernel_info"


@pytest.fixture
def job(tmp_path):
    notebook = write_notebook(tmp_path / "one.ipynb", code("1"))
    (tmp_path / "report").mkdir()
    return Job("one", str(notebook), {}, str(tmp_path / "report"), {"trial_title": "T"})


@pytest.fixture
def papermill_that(monkeypatch):
    """Put a stand-in for papermill that fails with each of these messages in turn, then writes a notebook."""

    def install(*messages):
        waiting = list(messages)

        def execute_notebook(notebook, executed, **_):
            if waiting:
                raise RuntimeError(waiting.pop(0))
            content = json.loads(Path(notebook).read_text())
            content["metadata"]["papermill"] = {"input_path": notebook, "output_path": executed}
            Path(executed).write_text(json.dumps(content))

        monkeypatch.setattr(papermill, "execute_notebook", execute_notebook)
        return waiting

    return install


def test_a_kernel_that_does_not_start_is_started_once_more(job, papermill_that):
    papermill_that(NOT_READY)
    assert execute_job(job).error == ""
    metadata = json.loads(Path(job.report, "notebooks", "one.ipynb").read_text())["metadata"]
    assert metadata["papermill"] == {"input_path": "one.ipynb", "output_path": "one.ipynb"}


def test_a_kernel_that_never_starts_is_an_error(job, papermill_that):
    papermill_that(NOT_READY, NOT_READY, NOT_READY)
    assert execute_job(job).error == f"RuntimeError: {NOT_READY}"


@pytest.mark.parametrize("messages", [(), ("no disk",)])
def test_the_name_is_told_to_the_kernel_only(job, papermill_that, messages):
    papermill_that(*messages)
    execute_job(job)
    assert "NKHCC_NOTEBOOK" not in os.environ


def test_other_errors_are_not_tried_again(job, papermill_that):
    left = papermill_that("no disk", "not reached")
    assert execute_job(job).error == "RuntimeError: no disk"
    assert left == ["not reached"]


def test_a_page_that_cannot_be_made_is_an_error(job, papermill_that, monkeypatch):
    papermill_that()

    def write_page(*_, **__):
        raise ValueError("no template\nat all")

    monkeypatch.setattr(execute, "write_page", write_page)
    assert execute_job(job).error == "its page could not be made: ValueError: no template\nat all"
