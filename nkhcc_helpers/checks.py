"""Checks of arguments, and results that carry the arguments they were made with."""

from __future__ import annotations

import functools
import inspect
from dataclasses import fields, is_dataclass
from datetime import date
from numbers import Real
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Lt

# Two times this close, absolutely or over the mean of all, are one: what R's `aeqSurv` takes.
SAME_TIME = float(np.sqrt(np.finfo(float).eps))
ConfLevel = Annotated[float, Gt(0), Lt(1), ", such as 0.95"]
NotNegative = Annotated[float, Ge(0)]


class PlainError(ValueError):
    """An error whose message is all that its reader needs: a notebook shows it without a traceback."""

    advice = "Nothing after this cell was run."

    def _render_traceback_(self):  # the name that IPython looks for
        return [str(self), self.advice]


def check_survival(time, event):
    """Return times, at least 0, as float and events as bool, of equal length, at least one subject.

    ValueError names the argument and the position (counted from 0) of what is missing, infinite, negative or
    not boolean; 0 and 1 are accepted as events. Near-equal times become one, as of `merge_times`.
    """
    time, event, _ = check_entry(time, event)
    return time, event


def check_entry(time, event, time_enter=None):
    """Return times and events as `check_survival` does, and times of coming under observation.

    A patient is at risk after `time_enter` and up to `time`; 0, which all have where `time_enter` is None, is
    the start itself, so that an event at time 0 counts. ValueError names the position of an entry that is
    missing, negative or not before the time.
    """
    time = check_vector(time, "time")
    event = check_vector(event, "event")
    enter = np.zeros(len(time)) if time_enter is None else check_vector(time_enter, "time_enter")
    for name, values in (("event", event), ("time_enter", enter)):
        if len(time) != len(values):
            raise ValueError(
                f"time has {len(time)} values and {name} has {len(values)}; they must match one to one"
            )
    if len(time) == 0:
        raise ValueError("time is empty; at least one subject is needed")
    check_positions(~np.isfinite(time), "time", "must be a finite number", time)
    check_positions(time < 0, "time", "must not be negative", time)
    check_positions(~np.isin(event, (0.0, 1.0)), "event", "must be True or False (or 1 or 0)", event)
    check_positions(~(np.isfinite(enter) & (enter >= 0)), "time_enter", "must be finite, at least 0", enter)
    if not enter.any():
        return merge_times(time), event.astype(bool), enter
    enter, time = merge_times([enter, time])
    check_positions((enter >= time) & (enter > 0), "time_enter", "must be before the time", enter)
    return time, event.astype(bool), enter


def has_entered(enter, at):
    """Whether subjects have come under observation at times `at`, which broadcast; 0 is the start itself."""
    return (enter < at) | (enter == 0)


def merge_times(time):
    """Times, of any shape, in which near-equal ones are the first of them, as R's ``survfit(timefix=TRUE)``.

    Times that are equal in decimal may differ in the last bit: 1.1 * 3 is 3.3000000000000003.
    """
    time = np.asarray(time, dtype=float)
    times = np.unique(time[np.isfinite(time)])
    apart = np.diff(times) > _find_tolerance(times)
    if apart.all():
        return time
    firsts = times[np.concatenate([[True], apart])]
    place = np.maximum(np.searchsorted(firsts, time, side="right") - 1, 0)
    return np.where(np.isfinite(time), firsts[place], time)


def match_times(at, time):
    """Times `at`, those near-equal to one of `time`, in any order, replaced by it."""
    at, times = np.asarray(at, dtype=float), np.unique(time)
    if not len(times):
        return at
    near = times[np.abs(np.subtract.outer(times, at)).argmin(axis=0)]
    return np.where(np.abs(near - at) <= _find_tolerance(times), near, at)


def _find_tolerance(times):
    """The largest difference of near-equal times, of distinct ones."""
    return SAME_TIME * max(1.0, np.abs(times).mean()) if len(times) else 0.0


def check_choice(value, name, choices):
    """Raise ValueError unless `value` is one of `choices`; `name` is the argument's."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def check_conf_level(conf_level):
    """Raise ValueError unless the confidence level lies between 0 and 1."""
    if not 0 < conf_level < 1:
        raise ValueError(f"conf_level must lie between 0 and 1, such as 0.95; got {conf_level!r}")


def check_censoring(censoring):
    """Raise ValueError unless the share of censored patients is at least 0 and below 1."""
    if not 0 <= censoring < 1:
        raise ValueError(f"censoring must be at least 0 and below 1; got {censoring!r}")


def refuse_twice(names):
    """Return names, or raise ValueError where one comes twice."""
    again = [name for name in names if names.count(name) > 1]
    if again:
        raise ValueError(f"holds {again[0]!r} twice")
    return names


def check_vector(values, name):
    """Return the argument `name` as a one-dimensional array of float, or raise ValueError."""
    try:
        vector = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers; got {values!r:.80}") from None
    if vector.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; it has {vector.ndim} dimensions")
    return vector


def check_positions(bad, name, rule, values):
    """Raise ValueError naming the first position where `bad` is true, and how many more there are."""
    positions = np.flatnonzero(bad)
    if len(positions):
        first = positions[0]
        more = f" (and {len(positions) - 1} more)" if len(positions) > 1 else ""
        raise ValueError(f"{name} {rule}; position {first} is {values[first]:g}{more}")


def check_groups(group, n, name="group"):
    """Return the groups in order, of the categories or sorted, and each subject's place among them.

    Groups without subjects are left out. ValueError where the argument `name` does not hold `n` values or one
    is missing.
    """
    group = pd.Series(group).reset_index(drop=True)
    if len(group) != n:
        raise ValueError(f"{name} has {len(group)} values for {n} subjects; they must match one to one")
    missing = np.flatnonzero(group.isna())
    if len(missing):
        raise ValueError(f"{name} is missing at position {missing[0]}")
    if not isinstance(group.dtype, pd.CategoricalDtype):
        group = group.astype("category")
    group = group.cat.remove_unused_categories()
    return list(group.cat.categories), group.cat.codes.to_numpy()


def number_strata(values, name):
    """Number the values of a column of strata, none of which may be missing."""
    missing = values.isna().to_numpy()
    if missing.any():
        row = missing.argmax()
        raise ValueError(f"strata {name!r} is missing in row {row} ({values.index[row]!r})")
    return pd.factorize(values)[0]


class Result(pd.DataFrame):
    """A frame with `made_by`, the function that made it (None if not known), and `options`, a dict by name.

    What is made from it in turn (a selection, a copy with another column) is a plain frame, of which nobody
    says that the options still hold; what is changed in place keeps them, as if the function had made it so.
    ``pd.DataFrame(result)`` is the plain frame, to hold against another with `assert_frame_equal`.
    """

    _metadata = ["made_by", "_options"]  # noqa: RUF012 (pandas reads it as a list)
    made_by = _options = None

    @classmethod
    def of(cls, frame, **options):
        """A frame with options that its function settled, which go before the arguments it was given."""
        result = cls(frame)
        result.options.update(options)
        return result

    @property
    def options(self):
        """The options by name; empty of a frame that no such function made."""
        if self._options is None:
            self._options = {}
        return self._options

    @property
    def _constructor(self):
        return pd.DataFrame


def keeps_options(function):
    """Make `function` return its frame as a `Result`: the options are its arguments other than data.

    These are all keyword-only ones, and of the others those that are plain values (`_is_plain`). They come
    after the options of every `Result` among the arguments, which it was made from, and before those that
    `function` settled (`Result.of`).
    """
    signature = inspect.signature(function)
    kinds = {name: each.kind for name, each in signature.parameters.items()}

    @functools.wraps(function)
    def make(*args, **kwargs):
        made = function(*args, **kwargs)
        result = Result(made)
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        result.made_by = make
        for made_from in given.values():
            result.options.update(made_from.options if isinstance(made_from, Result) else {})
        for name, value in given.items():
            if kinds[name] is inspect.Parameter.KEYWORD_ONLY or _is_plain(value):
                result.options[name] = value
        result.options.update(made.options if isinstance(made, Result) else {})
        return result

    return make


def _is_plain(value):
    """Whether a value is text, a number, a date, None, or a tuple or frozen dataclass of nothing else."""
    if is_dataclass(value):
        frozen = not isinstance(value, type) and value.__dataclass_params__.frozen
        return frozen and all(_is_plain(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | np.generic | date)


def check_covariates(frame, covariates, taken=("time", "event", "time_enter")):
    """Return columns of a frame as covariates: a frame of float in which True is 1 and False 0.

    ValueError names the covariate that is given twice, no column of the frame, or one of `taken`, which are
    no covariates; and, by its position (counted from 0) and its label in the index, the row in which one is
    missing, infinite or not a number: text has no order and no distances until it is coded.
    """
    if isinstance(covariates, str):
        raise ValueError(f"covariates must be a list of columns, such as [{covariates!r}]")
    names = list(covariates)
    for name in names:
        found = list(frame.columns).count(name)
        if names.count(name) > 1 or found > 1:
            raise ValueError(f"covariate {name!r} is {'given' if found < 2 else 'in the frame'} twice")
        if not found:
            raise ValueError(
                f"covariate {name!r} is no column of the frame; it has {', '.join(map(str, frame))}"
            )
        if name in taken:
            raise ValueError(f"covariate {name!r} is the model's column of times, events or strata")
    return pd.DataFrame({name: _read_covariate(frame[name]) for name in names}, frame.index, dtype=float)


def _read_covariate(column):
    """The column as float, or ValueError."""
    missing = column.isna().to_numpy()
    numeric = column.map(lambda value: isinstance(value, Real | np.bool_)).to_numpy(bool)
    known = np.where(numeric & ~missing, column.astype(object), np.nan).astype(float)
    for bad, rule in (
        (missing, "is missing"),
        (~numeric, "is not a number, which a covariate has to be,"),
        (~np.isfinite(known), "is not finite"),
    ):
        if bad.any():
            row, more = int(bad.argmax()), f" (and {bad.sum() - 1} more)" if bad.sum() > 1 else ""
            both = column.index[row], column.iloc[row]
            label, value = (each.item() if isinstance(each, np.generic) else each for each in both)
            raise ValueError(
                f"covariate {column.name!r} {rule} in row {row} ({label!r}){more}: {value!r:.80}"
            )
    return known


class Named:
    """What is called by its `name` in files and messages only; `check_names` holds apart what differs."""

    def __str__(self):
        return self.name

    def __lt__(self, other):
        # Frames sort what they are grouped by.
        return (self.name, repr(self)) < (other.name, repr(other))


def check_names(things):
    """Raise ValueError where two different `Named` share a name, as of groups ``A``, ``B-A`` and ``A-B``."""
    held = {}
    for each in things:
        if isinstance(each, Named) and held.setdefault(each.name, each) != each:
            raise ValueError(f"{each.name!r} would be {held[each.name]!r} and {each!r}: rename a group")
