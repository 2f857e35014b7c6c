"""The parameters of a notebook, and the values given for them, checked before anything runs.

Papermill warns of a misspelt name and runs on, and takes any text for a number. Here both are errors.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nkhcc_helpers.trial.problems import suggest_name

TAG = "parameters"
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}
RESERVED = {"data_dir": "--data", "out_dir": "--out"}
"""Parameters that the run itself sets, and the option to set each with."""
_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class ParameterError(ValueError):
    """A notebook's parameters, or values given for them, are wrong; one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class _TypeError(ValueError):
    """A text is not of a parameter's type."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Attributes
    ----------
    name : str
        Name of the variable.
    kind : str
        `str`, `int`, `float`, `bool` or `list`.
    default : str, int, float, bool or list
        Value it has in the notebook.
    help : str
        What it is for, from the comment beside it.
    """

    name: str
    kind: str
    default: Any
    help: str


def read_parameters(path: str | Path) -> dict[str, Parameter]:
    """Read the parameters of a notebook without running it.

    Parameters
    ----------
    path : str or pathlib.Path
        A notebook; at most one cell is tagged ``parameters``.

    Returns
    -------
    dict of str to Parameter
        By name, in the order of the cell; empty without such a cell.

    Raises
    ------
    ParameterError
        The file is no notebook, or its cell holds more than annotated literals.
    """
    cells = _tagged_cells(path)
    if not cells:
        return {}
    parameters, problems = _inspect(cells[0][1])
    if len(cells) > 1:
        problems.append(f"{len(cells)} cells are tagged {TAG!r}; only one can be")
    if problems:
        raise ParameterError(f"{Path(path).name}: {problem}" for problem in problems)
    return {parameter.name: parameter for parameter in parameters}


def check_parameters_cell(path: str | Path) -> list[str]:
    """Check the parameters cell of a notebook against the house rules and against papermill's own reading.

    Parameters
    ----------
    path : str or pathlib.Path
        A notebook.

    Returns
    -------
    list of str
        What is wrong: no cell, not the first code cell, no help beside a parameter, a line that papermill
        reads otherwise. Empty when nothing is.

    Raises
    ------
    ParameterError
        As :func:`read_parameters`.
    """
    from papermill import inspect_notebook

    cells = _tagged_cells(path)
    if not cells:
        return [f"no cell is tagged {TAG!r}"]
    parameters = read_parameters(path)
    problems = [] if cells[0][0] == 0 else [f"the cell tagged {TAG!r} must be the first code cell"]
    problems += [
        f"{name}: no comment says what it is for" for name in parameters if not parameters[name].help
    ]
    seen = inspect_notebook(str(path).replace("{", "{{").replace("}", "}}"))
    for name, item in parameters.items():
        found = seen.get(name)
        if found is None or found["inferred_type_name"] != item.kind:
            problems.append(f"{name}: papermill does not see it as {item.kind}")
        elif not _is_literal(found["default"], item.default) or found["help"] != item.help:
            problems.append(f"{name}: papermill cuts its value or its help short; avoid = and # in both")
    return problems


def read_values(
    notebooks: Mapping[str, Mapping[str, Parameter]],
    given: Sequence[tuple[str, str]],
    check: Callable[[Parameter, Any], str] = lambda parameter, value: "",
) -> dict[str, dict[str, Any]]:
    """Turn texts given on the command line into values for each notebook.

    Parameters
    ----------
    notebooks : mapping of str to mapping of str to Parameter
        Parameters by notebook.
    given : sequence of (str, str)
        Names and texts. A name goes to the notebooks that have it; one of them at least must.
    check : callable
        Called with a parameter and a value of its type; says what is wrong with the value, or nothing.

    Returns
    -------
    dict of str to dict
        Values by notebook, then by name.

    Raises
    ------
    ParameterError
        A name is unknown, reserved or given twice, or a text is not of its parameter's type or does not pass
        the check; lists every problem.
    """
    values: dict[str, dict[str, Any]] = {notebook: {} for notebook in notebooks}
    problems = []
    names = [name for name, _ in given]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            problems.append(f"{name}: given {names.count(name)} times; give it once")
    for name, text in given:
        owners = {key: known[name] for key, known in notebooks.items() if name in known}
        if name in RESERVED:
            problems.append(f"{name}: set it with {RESERVED[name]}")
        elif not owners:
            problems.append(_describe_unknown(name, notebooks))
        else:
            read, wrong = _read_for_each(owners, text, check)
            problems += [f"{name}: {problem} ({', '.join(where)})" for problem, where in wrong.items()]
            for notebook, value in read.items():
                values[notebook][name] = value
    if problems:
        raise ParameterError(dict.fromkeys(problems))
    return values


def format_parameters(notebooks: Mapping[str, Mapping[str, Parameter]]) -> str:
    """Describe the parameters of notebooks, for a terminal.

    Parameters
    ----------
    notebooks : mapping of str to mapping of str to Parameter
        Parameters by notebook.

    Returns
    -------
    str
        One block for each notebook: name, type, default and help of each parameter that can be given.
    """
    blocks = []
    for notebook, parameters in notebooks.items():
        lines = [
            f"  {item.name} ({item.kind}, default {item.default!r}): {item.help}"
            for item in parameters.values()
            if item.name not in RESERVED
        ]
        blocks.append("\n".join([notebook, *(lines or ["  no parameters"])]))
    return "\n".join(blocks)


def _describe_unknown(name: str, notebooks: Mapping[str, Mapping[str, Parameter]]) -> str:
    known = sorted({known for parameters in notebooks.values() for known in parameters} - set(RESERVED))
    listed = f"known are {', '.join(known)}" if known else "the notebooks to run have none"
    return f"{name}: no such parameter{suggest_name(name, known)}; {listed}".replace("?;", "?")


def _read_for_each(
    owners: Mapping[str, Parameter], text: str, check: Callable[[Parameter, Any], str]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Read a text as each notebook's parameter: values by notebook, and notebooks by problem."""
    values: dict[str, Any] = {}
    wrong: dict[str, list[str]] = {}
    for notebook, parameter in owners.items():
        try:
            values[notebook] = _read_value(parameter, text)
            problem = check(parameter, values[notebook])
        except _TypeError as error:
            problem = f"{error}, not {text!r}"
        if problem:
            wrong.setdefault(problem, []).append(notebook)
    return values, wrong


def _is_literal(text: str, value: Any) -> bool:
    try:
        return ast.literal_eval(text) == value
    except (SyntaxError, ValueError):
        return False


def _tagged_cells(path: str | Path) -> list[tuple[int, str]]:
    """List the sources of the cells tagged as parameters, each with its place among the code cells."""
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        tagged = [TAG in cell.get("metadata", {}).get("tags", []) for cell in code]
        return [(place, "".join(code[place]["source"])) for place, found in enumerate(tagged) if found]
    except OSError as error:
        raise ParameterError([f"{path}: cannot be read: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParameterError([f"{path}: is not a Jupyter notebook (format 4)"]) from None


def _inspect(source: str) -> tuple[list[Parameter], list[str]]:
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        return [], [f"the cell tagged {TAG!r} is not Python: line {error.lineno}: {error.msg}"]
    comments = _comments_by_line(source)
    parameters: list[Parameter] = []
    problems = []
    for statement in statements:
        try:
            parameter = _parameter(statement, comments)
        except ValueError as error:
            problems.append(f"line {statement.lineno} of the cell tagged {TAG!r}: {error}")
            continue
        if parameter.name in {earlier.name for earlier in parameters}:
            problems.append(f"{parameter.name} is set twice in the cell tagged {TAG!r}")
        parameters.append(parameter)
    return parameters, problems


def _parameter(statement: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        raise ValueError('must be like  endpoint: str = "PFS"  # what it is for')
    if statement.lineno != statement.end_lineno:
        raise ValueError("must stand on one line")
    name, kind = statement.target.id, ast.unparse(statement.annotation)
    if kind not in TYPES:
        raise ValueError(f"{name} must be one of {', '.join(TYPES)}, not {kind}")
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError):
        raise ValueError(f"{name} must have a literal as its value") from None
    if type(default) is not TYPES[kind] and not (kind == "float" and type(default) is int):
        raise ValueError(f"{name} is said to be {kind} but is {type(default).__name__}")
    if kind == "list" and not all(_is_scalar(item) for item in default):
        raise ValueError(f"{name} may hold text, numbers and true or false only")
    return Parameter(name, kind, default, comments.get(statement.lineno, ""))


def _comments_by_line(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return {token.start[0]: token.string.lstrip("# ").rstrip() for token in comments}


def _read_value(parameter: Parameter, text: str) -> Any:
    if parameter.kind == "str":
        return text
    readers = {"int": _read_int, "float": _read_float, "bool": _read_bool, "list": _read_list}
    return readers[parameter.kind](parameter, text.strip())


def _read_int(_: Parameter, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _TypeError("must be a whole number")
    return int(text)


def _read_float(_: Parameter, text: str) -> float:
    if not _FLOAT.fullmatch(text) or not math.isfinite(float(text)):
        raise _TypeError("must be a number")
    return float(text)


def _read_bool(_: Parameter, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _TypeError("must be true or false")
    return text.lower() == "true"


def _read_list(parameter: Parameter, text: str) -> list[Any]:
    try:
        value = yaml.safe_load(text) if text.startswith("[") else None
    except yaml.YAMLError:
        value = None
    if not isinstance(value, list) or not all(_is_scalar(item) for item in value):
        raise _TypeError("must be a list in brackets, such as " + _example(parameter))
    kinds = {_kind_of(item) for item in parameter.default}
    if len(kinds) == 1 and {_kind_of(item) for item in value} - kinds:
        raise _TypeError(f"must be a list of {kinds.pop()} only, such as {_example(parameter)}")
    return value


def _example(parameter: Parameter) -> str:
    items = [repr(item) if _kind_of(item) == "numbers" else str(item) for item in parameter.default]
    return f"'[{', '.join(items) or '6, 12'}]'"


def _kind_of(item: Any) -> str:
    if isinstance(item, bool):
        return "true or false"
    return "text" if isinstance(item, str) else "numbers"


def _is_scalar(item: Any) -> bool:
    return isinstance(item, str | bool | int) or (isinstance(item, float) and math.isfinite(item))
