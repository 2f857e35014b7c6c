"""Every solution is executed, every slip is told apart, and no answer is given away."""

import importlib.util
import re
import time
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from small_notebooks import code, prose, write_notebook

from nkhcc_helpers import exercises
from nkhcc_helpers.cli import main
from nkhcc_helpers.exercises import Exercise, Solution, check, read_exercises, solve
from nkhcc_helpers.run.execute import Job, execute_job
from nkhcc_helpers.run.plan import COURSE_TAGS, locate_notebooks

ALL = read_exercises()
MOST_SECONDS = 5
OF_ANOTHER_KIND = {float: "x", int: "x", str: -1, bool: "x", list: -1}


@pytest.fixture(params=ALL)
def exercise(request):
    return ALL[request.param]


def load_script():
    path = locate_notebooks() / "exercises" / "write_cells.py"
    spec = importlib.util.spec_from_file_location("write_cells", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The exercises as they are


def test_the_solution_is_right_and_quick(exercise):
    started = time.process_time()
    solution = solve(exercise.id)
    assert time.process_time() - started < MOST_SECONDS
    assert check(exercise.id, solution.answer) == exercises.Verdict("Right", exercise.reason)
    assert type(solution.answer) in OF_ANOTHER_KIND
    assert not isinstance(solution.answer, float) or exercise.tolerance > 0
    assert exercise.show(solution.answer) in solution._repr_markdown_()


def test_every_slip_is_told_and_no_other(exercise):
    slips = solve(exercise.id).list_slips()
    assert slips
    for slip, value in slips:
        assert check(exercise.id, value) == exercises.Verdict("Nearly", slip.said)


def test_what_is_neither_gets_the_hint_and_no_answer(exercise):
    solution = solve(exercise.id)
    wrong = OF_ANOTHER_KIND[type(solution.answer)]
    assert check(exercise.id, wrong) == exercises.Verdict("Not yet", exercise.hint)
    answer = exercise.show(solution.answer)
    told = [exercise.question, exercise.hint, *(slip.said for slip in exercise.slips)]
    assert [text for text in told if re.search(rf"(?<![\w.-]){re.escape(answer)}(?![\w-])", text)] == []


def test_the_reason_is_two_sentences_and_states_no_number(exercise):
    assert len(re.findall(r"[.?](?:\s|$)", exercise.reason)) == 2
    assert not re.search(r"\d", re.sub("`[^`]*`", "", exercise.reason))


def test_the_dots_are_no_answer(monkeypatch):
    monkeypatch.setattr(exercises, "solve", pytest.fail)
    assert check("01-1", ...).kind == "No answer"


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="must be 01-1, "):
        solve("99-1")


def test_the_cells_in_the_notebooks_are_those_of_the_files():
    script = load_script()
    named = []
    for path in sorted(locate_notebooks().glob("*.ipynb")):
        notebook, written = (nbformat.read(path, as_version=4) for _ in range(2))
        if made := script.list_exercises(path):
            script.write_cells(written, made)
            named += [each.id for each in made]
        assert written == notebook, f"{path.name}: make exercises"
    assert named == list(ALL)


# Answers of every kind


def make_exercise(solution, *slips, tolerance=0.0, unit=""):
    texts = {"question": "?", "reason": "So.", "hint": "Look.", "setup": "import numpy as np"}
    listed = [{"code": slip, "said": slip} for slip in slips]
    options = {"tolerance": tolerance, "unit": unit, "slips": listed}
    return Exercise(id="99-1", solution=solution, **texts, **options)


@pytest.fixture
def make_known(monkeypatch):
    """Make an exercise the only one."""

    def make(*arguments, **options):
        made = make_exercise(*arguments, **options)
        monkeypatch.setattr(exercises, "read_exercises", lambda: {"99-1": made})
        solve.cache_clear()
        return made

    yield make
    solve.cache_clear()


@pytest.mark.parametrize(
    ("solution", "right", "wrong"),
    [
        ("np.float64(1.25)", [1.25, 1.2501], [1.26, "x", None, True, [1.25]]),
        ("np.int64(3)", [3, 3.0], [4, True, "3"]),
        ("float('nan')", [None, "NE", float("nan"), float("inf")], [0, ""]),
        ("'ILL-001'", ["ILL-001", " ill-001 "], ["ILL-002", 1]),
        ("np.bool_(True)", [True], [False, 1, "True"]),
        ("['a', 'B']", [["a", "B"], ("b", "a"), {"a", "b"}], [["a"], ["a", "c"], "a", ["a", "b", "b"]]),
        ("[2.0, float('nan')]", [[2, None]], [[None, 2], [2]]),
        ("[]", [[]], [[1], None]),
    ],
)
def test_answers_are_compared_as_people_would(make_known, solution, right, wrong):
    make_known(solution, tolerance=0.001)
    assert {check("99-1", each).kind for each in right} == {"Right"}
    assert {check("99-1", each).kind for each in wrong} == {"Not yet"}


@pytest.mark.parametrize(
    ("value", "tolerance", "shown"),
    [(1.234, 0.05, "1.2 weeks"), (1.234, 0.005, "1.23 weeks"), (7, 0, "7 weeks"), ("NE", 0.05, "NE")],
)
def test_answers_are_shown_as_exactly_as_they_are_compared(value, tolerance, shown):
    assert make_exercise("1", tolerance=tolerance, unit="weeks").show(value) == shown
    assert make_exercise("1").show(["a", "b"]) == "a and b"
    assert make_exercise("1").show([]) == "none"


def test_a_slip_sees_the_names_of_the_solution_and_changes_none(make_known):
    make_known("n = 1\nn + 1", "n = n + 4\nn", "n + 9")
    assert [value for _, value in solve("99-1").list_slips()] == [5, 10]
    assert [check("99-1", value).said for value in (5, 10)] == ["n = n + 4\nn", "n + 9"]


def test_what_is_shown_is_folded_and_speaks_in_a_terminal(make_known):
    made = make_known("1 < 2")
    shown = solve("99-1")
    assert shown == Solution(made, True, shown.names)
    assert "<details><summary>" in shown._repr_markdown_()
    assert "```python\n1 < 2\n```" in repr(shown)
    assert repr(check("99-1", True)) == "**Right.** So."


# Pages and copies


@pytest.fixture
def course(tmp_path):
    """A notebook with an exercise whose solution says so when it is executed."""
    cells = [
        prose("## Exercises"),
        prose("**99-1.** Asked here?"),
        code("print('checked here')", "check"),
        code("print('solved here')", "solution"),
    ]
    for cell in cells[:2]:
        cell.metadata["tags"] = ["exercise"]
    return write_notebook(tmp_path / "course.ipynb", *cells, prose("## After"), parameters="")


@pytest.mark.parametrize("is_lesson", [True, False])
def test_exercises_are_shown_and_solved_in_a_lesson_alone(course, tmp_path, is_lesson):
    report = tmp_path / "report"
    report.mkdir()
    outcome = execute_job(Job("course", str(course), {}, str(report), is_lesson=is_lesson))
    assert outcome.error == ""
    page = (report / "course.html").read_text("utf-8")
    assert ("Asked here?" in page, "solved here" in page) == (is_lesson, is_lesson)
    assert "checked here" not in page
    assert "After" in page
    executed = nbformat.read(report / "notebooks" / "course.ipynb", as_version=4)
    assert bool(executed.cells[-2].outputs) == is_lesson


def test_copies_for_a_course(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["teach", "--out", "course"])
    assert result.exit_code == 0, result.output
    for who, tags in {"student": set(COURSE_TAGS[:2]), "teacher": set(COURSE_TAGS)}.items():
        copied = Path("course", who, "01_cohort.ipynb").read_text("utf-8")
        notebook = nbformat.reads(copied, as_version=4)
        assert {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])} == {
            *tags,
            "parameters",
        }
    names = [path.name for path in sorted(locate_notebooks().glob("*.*"))]
    assert [path.name for path in sorted(Path("course", "student").iterdir())] == names
    again = CliRunner().invoke(main, ["teach", "--out", "course"])
    assert again.exit_code == 2
    assert "is there already" in again.stderr
