"""What a run executes: notebooks found by name, and the values of their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nkhcc_helpers.parameters import RESERVED, Parameter, ParameterError, read_parameters, read_values
from nkhcc_helpers.problems import suggest_name


class NotebookError(ValueError):
    """A notebook to run cannot be found."""


@dataclass(frozen=True)
class Plan:
    """One notebook of a run.

    Attributes
    ----------
    name : str
        Name in the report.
    path : pathlib.Path
        The notebook.
    known : dict of str to Parameter
        Its parameters.
    values : dict
        Values given for them.
    """

    name: str
    path: Path
    known: dict[str, Parameter]
    values: dict[str, Any]

    @property
    def effective(self) -> dict[str, Any]:
        """Every parameter with the value it has in the run, other than those that say where files are."""
        return {
            name: self.values.get(name, item.default)
            for name, item in self.known.items()
            if name not in RESERVED
        }


def locate_notebooks() -> Path:
    """Return the folder of the project's notebooks: the checkout's, or the installed package's own."""
    from nkhcc_helpers.trial import locate_checkout

    checkout = locate_checkout()
    return checkout / "notebooks" if checkout else Path(__file__).resolve().parent / "bundled" / "notebooks"


def list_notebooks(names: Sequence[str] = ()) -> dict[str, Path]:
    """Find notebooks by name, by the start of a name, or by path.

    Parameters
    ----------
    names : sequence of str
        Such as ``02_survival_by_group``, ``02``, or ``mine/analysis.ipynb``; all of the project's when empty.

    Returns
    -------
    dict of str to pathlib.Path
        Paths by name.

    Raises
    ------
    NotebookError
        A name fits no notebook or several, or two notebooks have one name.
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
    if len(fitting) != 1:
        fits = f"fits {', '.join(fitting)}" if fitting else f"no such notebook{suggest_name(name, own)}"
        raise NotebookError(f"{name}: {fits}; there are {', '.join(own) or 'none'}".replace("?;", "?"))
    return own[fitting[0]]


def plan_run(
    names: Sequence[str] = (), given: Sequence[tuple[str, str]] = (), *, data_given: bool = False
) -> list[Plan]:
    """Find the notebooks of a run and check the values given for their parameters.

    Parameters
    ----------
    names : sequence of str
        As for :func:`list_notebooks`.
    given : sequence of (str, str)
        Names and texts of parameters.
    data_given : bool
        Whether the run is on another trial than the bundled one; each notebook must then have `data_dir`.

    Returns
    -------
    list of Plan

    Raises
    ------
    NotebookError
        As :func:`list_notebooks`.
    ParameterError
        As `parameters.read_parameters` and `parameters.read_values`.
    """
    paths = list_notebooks(names)
    known = {name: read_parameters(path) for name, path in paths.items()}
    fixed = [name for name in known if data_given and "data_dir" not in known[name]]
    if fixed:
        raise ParameterError(
            f"{name}: has no parameter data_dir, so --data cannot reach it" for name in fixed
        )
    values = read_values(known, given)
    return [Plan(name, paths[name], known[name], values[name]) for name in paths]
