"""What a teacher gets: slides of an executed notebook, and answers computed."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nkhcc_helpers.exercises import read_exercises, solve
from nkhcc_helpers.run.plan import COURSE_TAGS

TEACHING = Path(__file__).resolve().parent.parent / "teaching"


@pytest.fixture(scope="module")
def course():
    spec = importlib.util.spec_from_file_location("make_course", TEACHING / "make_course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_cells():
    shown = [new_output("display_data", data={"text/plain": "a table"})]
    cells = [
        new_markdown_cell("# Title\n\nThe question."),
        new_code_cell("n = 1", outputs=shown),
        new_markdown_cell("How to read it.\n\n## Next\n\nOf it."),
        new_markdown_cell("## Exercises\n\nDo them."),
        new_markdown_cell("**1.** Asked?"),
        new_code_cell("check", outputs=shown),
        new_code_cell("solve", outputs=shown),
    ]
    for cell, tag in zip(cells[3:], (COURSE_TAGS[0], *COURSE_TAGS), strict=True):
        cell.metadata = {"tags": [tag]}
    return cells


def test_each_heading_and_exercise_is_a_slide(course):
    laid_out = [
        (cell.source, cell.metadata["slideshow"]["slide_type"]) for cell in course.lay_out(make_cells())
    ]
    assert laid_out == [
        ("# Title", "slide"),
        ("The question.", "notes"),
        ("n = 1", "-"),
        ("How to read it.", "notes"),
        ("## Next", "slide"),
        ("Of it.", "notes"),
        ("## Exercises", "slide"),
        ("Do them.", "notes"),
        ("**1.** Asked?", "slide"),
        ("solve", "fragment"),
    ]


def test_slides_and_answers_are_written(course, tmp_path):
    (tmp_path / "report" / "notebooks").mkdir(parents=True)
    nbformat.write(new_notebook(cells=make_cells()), tmp_path / "report" / "notebooks" / "one.ipynb")
    course.main(str(tmp_path / "report"), str(tmp_path / "made"))
    slides = (tmp_path / "made" / "slides" / "one.html").read_text("utf-8")
    assert slides.count("<section>") - slides.count("</section>") == 0
    assert "a table" in slides
    assert 'class="notes"' in slides
    answers = (tmp_path / "made" / "answers.md").read_text("utf-8")
    for name, exercise in read_exercises().items():
        of_it = answers.partition(f"## {name}\n")[2].partition("\n## ")[0]
        solution = solve(name)
        values = [exercise.show(value) for _, value in solution.list_slips()]
        assert [text for text in (solution.describe(), *values) if text not in of_it] == []


def test_the_page_names_exercises_that_there_are():
    text = (TEACHING / "README.md").read_text("utf-8")
    named = re.findall(r"\b\d\d-\d+\b", text)
    assert named
    assert set(named) <= set(read_exercises())
    plan = text.partition("## One class")[2].partition("## Three")[0]
    rows = re.findall(r"^\| (\d+) to (\d+) \|", plan, re.MULTILINE)
    ends = [int(end) for _, end in rows]
    assert [int(start) for start, _ in rows] == [0, *ends[:-1]]
    assert ends[-1] == 90
    for session in re.findall(r"^\| \d\. .*$", text, re.MULTILINE):
        in_class = session.split("|")[3]
        assert sum(int(number) for number in re.findall(r"(?:^|; )\s*(\d+) ", in_class)) == 90
