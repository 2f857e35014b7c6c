"""What a run is of: notebooks found, the values of their parameters, and what a trial has nothing for."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nkhcc_helpers.run.parameters import RESERVED, Parameter, ParameterError, read_parameters, read_values
from nkhcc_helpers.trial.problems import join_names, suggest_name
from nkhcc_helpers.trial.trial import locate_checkout

EXERCISE, CHECK, SOLUTION = COURSE_TAGS = ("exercise", "check", "solution")
"""Tags of cells that are for a course: what is asked, where an answer is checked, how it is found."""
_LONGEST_NAME = 100  # bytes; many file systems allow 255
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|\Z)", re.IGNORECASE)  # no file on Windows


class NotebookError(ValueError):
    """A notebook to run cannot be found."""


@dataclass(frozen=True)
class Plan:
    """One notebook of a run: its name in the report, its file, its parameters, the values given for them."""

    name: str
    path: Path
    known: dict[str, Parameter]
    values: dict[str, Any]

    @property
    def effective(self) -> dict[str, Any]:
        """Every parameter with the value it has in the run, other than those that say where files are."""
        free = {name: item for name, item in self.known.items() if name not in RESERVED}
        return {name: self.values.get(name, item.default) for name, item in free.items()}

    @property
    def changed(self) -> dict[str, Any]:
        """Of these, the parameters whose value is not the notebook's default."""
        return {name: value for name, value in self.effective.items() if value != self.known[name].default}


def locate_notebooks() -> Path:
    """Folder of the project's notebooks: the checkout's, or the installed package's own."""
    checkout = locate_checkout()
    bundled = Path(__file__).resolve().parent.parent / "bundled" / "notebooks"
    return checkout / "notebooks" if checkout else bundled


def find_plan(name: str | Path) -> Path:
    """Path of a batch's plan: a file, or one of the project's by its name."""
    path = Path(name).expanduser()
    own = locate_notebooks().with_name("plans") / f"{name}.yaml"
    return (own if os.path.isfile(own) and not os.path.isfile(path) else path).resolve()


def list_notebooks(names: Sequence[str] = ()) -> dict[str, Path]:
    """Paths of notebooks by name; found by name, by the start of a name, or by path; all when none is given.

    Raises NotebookError where a name fits no notebook or several, or two notebooks have one name.
    """
    folder = locate_notebooks()
    own = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    found: dict[str, Path] = {}
    for name in names or own:
        path = Path(name).resolve() if name.endswith(".ipynb") else _find_own(name, own)
        if not path.is_file():
            raise NotebookError(f"{name}: no such notebook")
        if found.get(path.stem, path) != path:
            raise NotebookError(f"{path.stem}: two notebooks have this name; run them one at a time")
        found[path.stem] = path
    if not found:
        raise NotebookError(f"no notebooks in {folder}")
    return found


def _find_own(name: str, own: dict[str, Path]) -> Path:
    fitting = [name] if name in own else [each for each in own if each.startswith(name)]
    if not fitting:
        hint = f"no such notebook{suggest_name(name, own)}; there are {', '.join(own) or 'none'}"
        raise NotebookError(f"{name}: {hint}".replace("?;", "?"))
    if len(fitting) > 1:
        raise NotebookError(f"{name}: ambiguous between {join_names(fitting, 'and')}; give more of the name")
    return own[fitting[0]]


def name_part(plans: Sequence[Plan]) -> str:
    """Name the part of the project's notebooks that a run is of, such as ``02`` or ``02-04-mine``.

    Of the project's notebooks what stands before the first underscore, of others the whole name. Empty for a
    run of all the project's notebooks and no other.
    """
    own = {path.resolve() for path in locate_notebooks().glob("*.ipynb")}
    paths = [plan.path.resolve() for plan in plans]
    if set(paths) == own:
        return ""
    return "-".join(path.stem.partition("_")[0] if path in own else path.stem for path in paths)


def make_safe(text: str) -> str:
    """A text as the name of a folder, on Windows too."""
    plain = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", text)).strip(".-")
    cut = plain.encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip(".-") or "run"
    return f"_{cut}" if _DEVICE.match(cut) else cut


def tell_apart(names: Sequence[str]) -> list[str]:
    """Make names different, whatever the case, by numbers behind those that were there already."""
    taken: dict[str, int] = {}  # and the latest number behind each
    numbered = []
    for name in names:
        free = name
        while free.casefold() in taken:
            taken[name.casefold()] += 1
            free = f"{name}-{taken[name.casefold()]}"
        taken[free.casefold()] = 1
        numbered.append(free)
    return numbered


def plan_run(
    names: Sequence[str] = (),
    given: Sequence[tuple[str, str]] = (),
    *,
    data_given: bool = False,
    load: Callable[[], Any] | None = None,
) -> list[Plan]:
    """Find the notebooks of a run and check the values given for their parameters.

    Parameters
    ----------
    names : sequence of str
        Such as ``02_survival_by_group``, ``02``, or ``mine/analysis.ipynb``; all of the project's when empty.
    given : sequence of (str, str)
        Names and texts of parameters.
    data_given : bool
        Whether the run is on another trial than the bundled one; each notebook must then have `data_dir`.
    load : callable, optional
        Returns the trial, called when a value can be checked against it only; such values are not checked
        without it.

    Raises
    ------
    NotebookError
        A name fits no notebook or several, or two notebooks have one name.
    ParameterError
        A notebook's parameters cannot be read, or a name or value given is wrong; lists every problem.
    TrialDataError
        From `load`.
    """
    paths = list_notebooks(names)
    known = {name: read_parameters(path) for name, path in paths.items()}
    fixed = [name for name in known if data_given and "data_dir" not in known[name]]
    if fixed:
        raise ParameterError(
            f"{name}: has no parameter data_dir, so it runs on the bundled trial only" for name in fixed
        )
    values = read_values(known, given, load)
    return [Plan(name, paths[name], known[name], values[name]) for name in paths]


def find_left_out(plans: Sequence[Plan], source: Path, load: Callable[[], Any]) -> list[tuple[Plan, str]]:
    """Notebooks that are not run on a trial unless they are named, and why: it has not what they are about.

    A notebook says what that is in its metadata, ``{"nkhcc": {"only_with": ...}}``: a file of the trial, or
    what `trial.yaml` may say was not collected.
    """
    found = []
    for plan in plans:
        metadata = json.loads(plan.path.read_text(encoding="utf-8"))["metadata"]
        needed = metadata.get("nkhcc", {}).get("only_with", "")
        if needed.endswith(".yaml"):
            why = "" if (source / needed).is_file() else f"the trial has no {needed}"
        else:
            collected = not needed or getattr(load().metadata, needed).collected
            why = "" if collected else f"no {needed.replace('_', ' ')} were collected"
        if why:
            found.append((plan, f"{why}; name it to run it all the same"))
    return found


def check_use(given: Sequence[tuple[str, str]], plans: list[Plan], left_out: list) -> None:
    """Raise where a parameter is given that only notebooks left out have."""
    unused = [name for name, _ in given if not any(name in plan.known for plan in plans)]
    if unused:
        raise ParameterError(
            f"{name}: {plan.name} alone has it, which is left out: {why}"
            for name in unused
            for plan, why in left_out
            if name in plan.known
        )
