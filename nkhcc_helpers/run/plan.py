"""What a run executes: notebooks found by name, and the values of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from nkhcc_helpers.run.parameters import RESERVED, Parameter, ParameterError, read_parameters, read_values
from nkhcc_helpers.trial.problems import suggest_name


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

    @property
    def changed(self) -> dict[str, Any]:
        """Of these, the parameters whose value is not the notebook's default."""
        return {name: value for name, value in self.effective.items() if value != self.known[name].default}


def locate_notebooks() -> Path:
    """Return the folder of the project's notebooks: the checkout's, or the installed package's own."""
    from nkhcc_helpers.trial.trial import locate_checkout

    checkout = locate_checkout()
    return (
        checkout / "notebooks"
        if checkout
        else Path(__file__).resolve().parent.parent / "bundled" / "notebooks"
    )


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
    if not fitting:
        hint = f"no such notebook{suggest_name(name, own)}; there are {', '.join(own) or 'none'}"
        raise NotebookError(f"{name}: {hint}".replace("?;", "?"))
    if len(fitting) > 1:
        raise NotebookError(f"{name}: ambiguous between {_join(fitting, 'and')}; give more of the name")
    return own[fitting[0]]


def name_part(plans: Sequence[Plan]) -> str:
    """Name the part of the project's notebooks that a run is of.

    Parameters
    ----------
    plans : sequence of Plan
        The run.

    Returns
    -------
    str
        Such as ``02`` or ``02-04-mine``: of the project's notebooks what stands before the first underscore,
        of others the whole name. Empty when the run is of all the project's notebooks and no other.
    """
    folder = locate_notebooks()
    own = {path.resolve() for path in folder.glob("*.ipynb")}
    paths = [plan.path.resolve() for plan in plans]
    if set(paths) == own:
        return ""
    return "-".join(path.stem.partition("_")[0] if path in own else path.stem for path in paths)


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
        As for :func:`list_notebooks`.
    given : sequence of (str, str)
        Names and texts of parameters.
    data_given : bool
        Whether the run is on another trial than the bundled one; each notebook must then have `data_dir`.
    load : callable, optional
        Returns the trial, called when a value can be checked against it only; such values are not checked
        without it.

    Returns
    -------
    list of Plan

    Raises
    ------
    NotebookError
        As :func:`list_notebooks`.
    ParameterError
        As `parameters.read_parameters` and `parameters.read_values`.
    TrialDataError
        From `load`.
    """
    paths = list_notebooks(names)
    known = {name: read_parameters(path) for name, path in paths.items()}
    fixed = [name for name in known if data_given and "data_dir" not in known[name]]
    if fixed:
        raise ParameterError(
            f"{name}: has no parameter data_dir, so --data cannot reach it" for name in fixed
        )
    values = read_values(known, given, lambda parameter, value: _check_value(parameter, value, load))
    return [Plan(name, paths[name], known[name], values[name]) for name in paths]


_Check = Callable[[Any, Callable[[], Any] | None], str]
"""From a value, and what loads the trial, to what is wrong with the value."""


def _of_package(module: str, constant: str) -> _Check:
    """Make a check against the package's own choices, imported when one is to be checked."""
    return lambda value, load: _check_choice(
        value, getattr(import_module(f"nkhcc_helpers.{module}"), constant)
    )


def _of_trial(list_known: Callable[[Any], Iterable[str]]) -> _Check:
    """Make a check against what the trial has; an empty value leaves the choice to the notebook."""
    return lambda value, load: _check_choice(value, list_known(load())) if load and value else ""


def _at_least(least: int) -> _Check:
    def check(value: Any, load: Any) -> str:
        items = value if isinstance(value, list) else [value]
        low = [item for item in items if isinstance(item, int | float) and item < least]
        must = "may hold numbers of" if items is value else "must be"
        return f"{must} {least} or more, not {low[0]!r}" if low else ""

    return check


def _check_choice(value: Any, known: Iterable[str]) -> str:
    known = list(known)
    for item in value if isinstance(value, list) else [value]:
        if item not in known:
            must = "may hold" if isinstance(value, list) else "must be"
            listed = _join(known, "or") or "nothing, for there is nothing to choose from"
            return f"{must} {listed}, not {item!r}{suggest_name(str(item), known)}"
    return ""


def _between_0_and_1(example: float) -> _Check:
    def check(value: Any, load: Any) -> str:
        if not isinstance(value, int | float) or 0 < value < 1:
            return ""
        hint = f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""
        return f"must lie between 0 and 1, such as {example:g}, not {value!r}{hint}"

    return check


def _check_prior(value: Any, load: Any) -> str:
    from nkhcc_helpers.trial.claims import PRIORS

    return _check_choice(value, PRIORS) if value else ""


def _check_file(value: Any, load: Any) -> str:
    return f"must be a file that is there, not {value!r}" if value and not Path(value).is_file() else ""


def _check_covariates(value: Any, load: Any) -> str:
    from nkhcc_helpers.cox.design import COVARIATES

    slopes = [name for name in COVARIATES if name != "group"]
    if not value:
        return f"must hold at least one of {_join(slopes, 'and')}"
    again = [item for item in value if value.count(item) > 1]
    return _check_choice(value, slopes) or (f"holds {again[0]!r} twice" if again else "")


def _check_dose_coding(value: Any, load: Callable[[], Any] | None) -> str:
    from nkhcc_helpers.cox.design import DOSE_CODINGS

    if value == "log2" and load and any(arm.dose <= 0 for arm in load().metadata.arms):
        return "cannot be 'log2', because a group of this trial has dose 0"
    return _check_choice(value, DOSE_CODINGS)


def _check_grade(value: Any, load: Any) -> str:
    return "" if value in range(1, 6) else f"must be 1, 2, 3, 4 or 5, not {value!r}"


def _check_window(value: Any, load: Any) -> str:
    from nkhcc_helpers.safety.listings import MOST_WINDOW_DAYS

    must = f"must be from 0 to {MOST_WINDOW_DAYS} days, not {value!r}"
    return "" if 0 <= value <= MOST_WINDOW_DAYS else must


def _check_terms(value: Any, load: Any) -> str:
    strange = [item for item in value if not isinstance(item, str)]
    return f"may hold text, not {strange[0]!r}" if strange else ""


_CHECKS: dict[str, _Check] = {
    "alpha": _between_0_and_1(0.05),
    "axis_end": _at_least(0),
    "cohorts_file": _check_file,
    "conf_level": _between_0_and_1(0.95),
    "conf_type": _of_package("survival.curves", "CONF_TYPES"),
    "convention": _of_package("survival.curves", "CONVENTIONS"),
    "covariates": _check_covariates,
    "dlt_days": _check_window,
    "dlt_excluded_terms": _check_terms,
    "dlt_grade": _check_grade,
    "dose_coding": _check_dose_coding,
    "endpoint": _of_trial(lambda trial: trial.endpoint_labels),
    "grace_days": _at_least(0),
    "groups": _of_package("trial.patients", "GROUPS"),
    "horizon": _at_least(0),
    "landmarks": _at_least(0),
    "method": _of_package("cox.fit", "METHODS"),
    "most_censored": _at_least(-1),
    "n_cohorts": _at_least(2),
    "n_draws": _at_least(1),
    "n_side": _at_least(0),
    "n_trials": _at_least(2),
    "prior": _check_prior,
    "seed": _at_least(0),
    "variables": _of_trial(lambda trial: [item.column for item in trial.metadata.baseline]),
}
"""What the values of parameters must be beyond their type, by name."""


def _check_value(parameter: Parameter, value: Any, load: Callable[[], Any] | None) -> str:
    check = _CHECKS.get(parameter.name)
    # Where not even the default passes, a notebook from elsewhere means something else by the name.
    if check is None or check(parameter.default, load):
        return ""
    return check(value, load)


def _join(names: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
