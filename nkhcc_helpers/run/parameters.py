"""The parameters of a notebook: read from its cell, and the values given for them, checked by their types.

Papermill warns of a misspelt name and runs on, and takes any text for a number. Here both are errors: before
anything runs under `nkhcc run`, and in the notebook itself under papermill alone or in JupyterLab.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_args, get_origin, get_type_hints

import yaml
from annotated_types import Ge, Gt, Lt
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from nkhcc_helpers.checks import ConfLevel, NotNegative, PlainError, refuse_twice
from nkhcc_helpers.cox.design import DoseCodingOfTrial, Slopes
from nkhcc_helpers.cox.fit import Method
from nkhcc_helpers.safety.listings import Grade, WindowDays
from nkhcc_helpers.survival.curves import ConfType, Convention
from nkhcc_helpers.trial import selection
from nkhcc_helpers.trial.claims import Prior
from nkhcc_helpers.trial.files import CoreLoader
from nkhcc_helpers.trial.patients import Grouping
from nkhcc_helpers.trial.problems import describe_unknown, suggest_name

TAG = "parameters"
_INJECTED = (str, int, float, bool, list, tuple, dict, type(None))
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}
RESERVED = {"data_dir": "--data", "out_dir": "--out"}
"""Parameters that the run itself sets, and the option to set each with."""
_DUE = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
}
_HELD = {"str": "text", "int": "numbers", "float": "numbers", "bool": "true or false"}
_SCALARS = {
    "int": (int, re.compile(r"[+-]?\d+")),
    "float": (float, re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")),
    "bool": (lambda text: text.lower() == "true", re.compile("true|false", re.IGNORECASE)),
}


class ParameterError(PlainError):
    """A notebook's parameters, or values given for them, are wrong; one line for each problem."""

    advice = f"{PlainError.advice} Change the cell of parameters, then run all cells again."

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def _refuse_missing_file(path: str) -> str:
    if path and not Path(path).is_file():
        raise ValueError(f"must be a file that is there, not {path!r}")
    return path


class Options(TypedDict, total=False):
    """What a parameter of this name can be; text among a type's bounds goes on where a message tells them."""

    alpha: Annotated[float, Gt(0), Lt(1), ", such as 0.05"]
    axis_end: NotNegative
    cohorts_file: Annotated[str, AfterValidator(_refuse_missing_file)]
    conf_level: ConfLevel
    conf_type: ConfType
    convention: Convention
    covariates: Slopes
    dlt_days: WindowDays
    dlt_excluded_terms: Annotated[list[str], AfterValidator(refuse_twice)]
    dlt_grade: Grade
    dose_coding: DoseCodingOfTrial
    doses: selection.PlannedDoses
    endpoint: selection.EndpointCode
    grace_days: Annotated[int, Ge(0)]
    groups: Grouping
    horizon: NotNegative
    landmarks: list[NotNegative]
    method: Method
    minutes: NotNegative
    most_censored: Annotated[int, Ge(-1)]
    n_cohorts: Annotated[int, Ge(2)]
    n_draws: Annotated[int, Ge(1)]
    n_side: Annotated[int, Ge(0)]
    n_trials: Annotated[int, Ge(2)]
    population: selection.Population
    prior: Literal[Prior, ""]
    reference: selection.GroupCode
    seed: Annotated[int, Ge(0)]
    strata: selection.StrataColumn
    variables: Annotated[selection.BaselineColumns, AfterValidator(refuse_twice)]
    where: selection.PatientRule


_OPTIONS = get_type_hints(Options, include_extras=True)


def check_parameters(namespace: Mapping[str, Any], trial: Any) -> None:
    """Check the values that a notebook's parameters have, and that none is unknown; show what they can be.

    Parameters
    ----------
    namespace : mapping of str to object
        The notebook's ``globals()``. Its parameters are the names annotated so far; a value that follows the
        first of them before anything is imported was meant for one, as papermill injects it.
    trial : Trial
        The trial analysed, for what it alone can tell: endpoints, baseline columns, doses.

    Raises
    ------
    ParameterError
        A value is not of its parameter's type or not among what the parameter can be, or there is no such
        parameter; lists every problem.
    """
    from nkhcc_helpers.report.choices import bring_into_view, show_choices  # which imports what draws

    annotations = namespace.get("__annotations__", {})
    problems = {
        name: _describe_stranger(name, annotations, "this notebook has none")
        for name in _list_injected(namespace, annotations)
    }
    for name, annotation in annotations.items():
        kind = getattr(annotation, "__name__", str(annotation))
        if kind in TYPES and name in namespace:
            problems[name] = _find_problem(TYPES[kind], namespace[name])
            problems[name] = problems[name] or find_problem(kind, name, namespace[name], lambda: trial)
    if any(problems.values()):
        bring_into_view()
        raise ParameterError(f"{name}: {problem}" for name, problem in problems.items() if problem)
    show_choices(selection.list_choices({name: _OPTIONS.get(name) for name in annotations}, trial))


def _list_injected(namespace: Mapping[str, Any], annotations: Mapping[str, Any]) -> list[str]:
    """Names set to plain values, without annotation, between a notebook's parameters and its imports.

    What IPython itself sets comes before, or begins with an underscore; names keep the place they had first.
    """
    names = dropwhile(lambda name: name not in annotations, namespace)
    names = [name for name in names if not name.startswith("_")]
    before = list(takewhile(lambda name: name in annotations or type(namespace[name]) in _INJECTED, names))
    return [name for name in before if name not in annotations] if len(before) < len(names) else []


def find_problem(kind: str, name: str, value: Any, load: Callable[[], Any] | None) -> str:
    """Say what is wrong with a value of the right kind for a parameter of this name, or nothing.

    Nothing is known of a name that is no option, or that a notebook from elsewhere gives to another kind.
    Without `load`, which returns the trial, a value is not held against the trial.
    """
    if name not in _OPTIONS or _find_kind(_OPTIONS[name]) != kind:
        return ""
    return _find_problem(_OPTIONS[name], value, load)


@cache
def _adapter(annotation: Any) -> TypeAdapter:
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


def _find_problem(annotation: Any, value: Any, load: Callable[[], Any] | None = None) -> str:
    failures: list[Exception] = []

    def load_openly() -> Any:
        try:
            return load()
        except Exception as error:  # not of the value; pydantic would take it for that
            failures.append(error)
            raise

    try:
        _adapter(annotation).validate_python(value, strict=True, context=load and load_openly)
    except ValidationError as error:
        if failures:
            raise failures[0] from None
        return _describe(error.errors(include_url=False)[0], *_split(annotation))
    return ""


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    """A type, for a list that of its items, and what its annotation adds."""
    added: list[Any] = []
    if get_origin(annotation) is Annotated:
        annotation, *added = get_args(annotation)
    return _split(get_args(annotation)[0]) if get_origin(annotation) is list else (annotation, added)


def _find_kind(annotation: Any) -> str:
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(plain) is Annotated or get_origin(plain) is list:
        return "list" if get_origin(plain) is list else _find_kind(plain)
    return type(get_args(plain)[0]).__name__ if get_origin(plain) is Literal else plain.__name__


def _describe(problem: Mapping[str, Any], annotation: Any, added: list[Any]) -> str:
    """Say in this house's words what pydantic found first; `added` is what stands beside the type."""
    kind, item, of_list = problem["type"], problem["input"], bool(problem["loc"])
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind in ("literal_error", "int_parsing_size"):
        return describe_unknown(item, [each for each in get_args(annotation) if each != ""], of_list=of_list)
    if kind == "finite_number":
        return f"{'may hold finite numbers only' if of_list else 'must be a finite number'}, not {item!r}"
    if kind.endswith("_type"):
        kind = kind.removesuffix("_type").replace("string", "str")
        due = f"may hold {_HELD[kind]}" if of_list else f"must be {_DUE[kind]}"
        return f"{due}, not {'the text ' if isinstance(item, str) else ''}{item!r}"
    words = "".join(each for each in added if isinstance(each, str))
    bounds = {name: bound for each in added if is_dataclass(each) for name, bound in asdict(each).items()}
    if "lt" in bounds:
        is_level = added == list(get_args(ConfLevel)[1:])
        hint = f"; did you mean {item / 100:g}?" if 1 < item < 100 and (is_level or item < 50) else ""
        return f"must lie between {bounds['gt']} and {bounds['lt']}{words}, not {item!r}{hint}"
    if "le" in bounds:
        due = "may hold numbers" if of_list else "must be"
        return f"{due} from {bounds['ge']} to {bounds['le']}{words}, not {item!r}"
    return f"{'may hold numbers of' if of_list else 'must be'} {bounds['ge']} or more, not {item!r}"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook; `kind` is a key of `TYPES`, `help` the comment beside it."""

    name: str
    kind: str
    default: Any
    help: str


def read_parameters(path: str | Path) -> dict[str, Parameter]:
    """Parameters of a notebook by name, in the order of its tagged cell; none without such a cell.

    Raises ParameterError where the file is no notebook, or its cell holds more than annotated literals.
    """
    cells = _list_tagged(path)
    parameters, problems = _inspect(cells[0]) if cells else ([], [])
    if len(cells) > 1:
        problems.append(f"{len(cells)} cells are tagged {TAG!r}; only one can be")
    if problems:
        raise ParameterError(f"{Path(path).name}: {problem}" for problem in problems)
    return {parameter.name: parameter for parameter in parameters}


def _list_tagged(path: str | Path) -> list[str]:
    """Sources of the code cells tagged as parameters."""
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return ["".join(cell["source"]) for cell in code if TAG in cell.get("metadata", {}).get("tags", [])]
    except OSError as error:
        raise ParameterError([f"{path}: cannot be read: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParameterError([f"{path}: is not a Jupyter notebook (format 4)"]) from None


def _inspect(source: str) -> tuple[list[Parameter], list[str]]:
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        return [], [f"the cell tagged {TAG!r} is not Python: line {error.lineno}: {error.msg}"]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    parameters: list[Parameter] = []
    problems = []
    for statement in statements:
        try:
            parameter = _parse(statement, comments.get(statement.lineno, "").lstrip("# ").rstrip())
        except ValueError as error:
            problems.append(f"line {statement.lineno} of the cell tagged {TAG!r}: {error}")
            continue
        if parameter.name in {earlier.name for earlier in parameters}:
            problems.append(f"{parameter.name} is set twice in the cell tagged {TAG!r}")
        parameters.append(parameter)
    return parameters, problems


def _parse(statement: ast.stmt, comment: str) -> Parameter:
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
    if kind == "list" and not all(map(_is_scalar, default)):
        raise ValueError(f"{name} may hold text, numbers and true or false only")
    return Parameter(name, kind, default, comment)


def read_values(
    notebooks: Mapping[str, Mapping[str, Parameter]],
    given: Sequence[tuple[str, str]],
    load: Callable[[], Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Turn names and texts given on the command line into values by notebook, then by name.

    A name goes to the notebooks that have it; one of them at least must. `load` returns the trial, called
    when a value can be checked against it only. Raises ParameterError, which lists every problem.
    """
    values: dict[str, dict[str, Any]] = {notebook: {} for notebook in notebooks}
    names = [name for name, _ in given]
    again = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    problems = [f"{name}: given {names.count(name)} times; give it once" for name in again]
    for name, text in given:
        owners = {key: known[name] for key, known in notebooks.items() if name in known}
        if name in RESERVED:
            problems.append(f"{name}: set it with {RESERVED[name]}")
        elif not owners:
            known = {known for parameters in notebooks.values() for known in parameters} - set(RESERVED)
            stranger = _describe_stranger(name, known, "the notebooks to run have none")
            problems.append(f"{name}: {stranger}")
        else:
            wrong: dict[str, list[str]] = {}
            for notebook, parameter in owners.items():
                values[notebook][name], problem = _read_value(parameter, text, load)
                wrong.setdefault(problem, []).append(notebook)
            problems += [f"{name}: {what} ({', '.join(where)})" for what, where in wrong.items() if what]
    if problems:
        raise ParameterError(dict.fromkeys(problems))
    return values


def _describe_stranger(name: str, known: Iterable[str], none_known: str) -> str:
    known = sorted(known)
    listed = f"known are {', '.join(known)}" if known else none_known
    return f"no such parameter{suggest_name(name, known)}; {listed}".replace("?;", "?")


def _read_value(parameter: Parameter, text: str, load: Callable[[], Any] | None) -> tuple[Any, str]:
    """The value that a text stands for, and what is wrong with it."""
    if parameter.kind == "str":
        value, due = text, ""
    elif parameter.kind == "list":
        value, due = _read_list(parameter, text.strip())
    else:
        read, pattern = _SCALARS[parameter.kind]
        value = read(text.strip()) if pattern.fullmatch(text.strip()) else math.nan
        due = "" if math.isfinite(value) else f"must be {_DUE[parameter.kind]}"
    if due:
        return value, f"{due}, not {text!r}"
    known = (parameter.kind, parameter.name)
    # Where not even the default passes, the notebook means something else by the name.
    means_other = find_problem(*known, parameter.default, load)
    return value, "" if means_other else find_problem(*known, value, load)


def _read_list(parameter: Parameter, text: str) -> tuple[Any, str]:
    try:
        value = yaml.load(text, CoreLoader) if text.startswith("[") else None  # noqa: S506 (it is a safe one)
    except (yaml.YAMLError, RecursionError):
        value = None
    kinds = {_HELD[type(item).__name__] for item in parameter.default}
    items = [str(item) if isinstance(item, str | bool) else repr(item) for item in parameter.default]
    known = _OPTIONS.get(parameter.name)
    usual = "6, 12" if known is None or _split(known)[0] in (int, float) else "one, two"
    example = f"such as '[{', '.join(items) or usual}]'"
    if not isinstance(value, list) or not all(map(_is_scalar, value)):
        return value, f"must be a list in brackets, {example}"
    if len(kinds) == 1 and {_HELD[type(item).__name__] for item in value} - kinds:
        return value, f"must be a list of {kinds.pop()} only, {example}"
    return value, ""


def _is_scalar(item: Any) -> bool:
    return isinstance(item, str | bool | int) or (isinstance(item, float) and math.isfinite(item))


def format_parameters(notebooks: Mapping[str, Mapping[str, Parameter]]) -> str:
    """For a terminal, a block for each notebook: name, type, default and help of what can be given."""
    blocks = []
    for notebook, parameters in notebooks.items():
        lines = [
            f"  {item.name} ({item.kind}, default {item.default!r}): {item.help}"
            for item in parameters.values()
            if item.name not in RESERVED
        ]
        blocks.append("\n".join([notebook, *(lines or ["  no parameters"])]))
    return "\n".join(blocks)
