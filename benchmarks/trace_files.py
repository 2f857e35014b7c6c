"""Which files of the package one cell of a trial goes through, from its file to a printed number.

Run it as `python benchmarks/trace_files.py`. Two ways are traced: of one adverse event's term to the printed
rates, and of one patient's time to the printed hazard ratios (without relabelling).

Each is made twice, from the bundled trial and from a copy in which that one cell was changed, and every call
of the package's functions is recorded. A cell enters a file where any function of it is given, or gives back,
something else in the two: other tables, arrays, texts or numbers; or is called more or fewer times. So it is
not only the cell that is followed, but all that is computed from it. The `Trial` as a whole, handed on for
its labels and units, does not count as such; what is taken out of it does. Files that only ran are named
apart. Code that runs when a module is imported is left out, and so are libraries.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import nkhcc_helpers
from nkhcc_helpers import cox, safety
from nkhcc_helpers.report.tables.cox import format_hazard_ratios
from nkhcc_helpers.report.tables.safety_timing import format_rates
from nkhcc_helpers.trial import Trial, load_trial

PACKAGE = Path(nkhcc_helpers.__file__).parent
BUNDLED = PACKAGE.parent / "data" / "nkhcc"
LIMITS = {"one adverse event to the printed rates": 12, "one time to the printed hazard ratios": 15}


def print_rates(folder):
    """Rates of first adverse events, as a page prints them."""
    trial = load_trial(folder)
    return format_rates(safety.estimate_rates(trial), trial).as_raw_html()


def print_hazard_ratios(folder):
    """Hazard ratios of dose and infusions for the first endpoint, as a page prints them."""
    trial = load_trial(folder)
    endpoint = next(iter(trial.endpoint_labels))
    covariates = ["dose", "infusions"]
    fit = cox.fit_cox(cox.code_trial(trial, endpoint, covariates), covariates, n_draws=0)
    return format_hazard_ratios(fit.summary, trial, endpoint=endpoint).as_raw_html()


# What prints, from which table, and what is changed there: a term becomes another of its organ class; a time
# becomes shorter than another patient's.
WAYS = {
    "one adverse event to the printed rates": (
        print_rates,
        "adae.csv",
        ("ILL-001,A,1,Blood bilirubin increased,", "ILL-001,A,1,Alanine aminotransferase increased,"),
    ),
    "one time to the printed hazard ratios": (
        print_hazard_ratios,
        "adtte.csv",
        ("4.8296,MONTHS,0,2015-04-23,2015-09-17", "4.6653,MONTHS,0,2015-04-23,2015-09-12"),
    ),
}


def trace(way):
    """Return the files that a way's cell enters, and those that only ran, each in order of their names."""
    make, table, (before, after) = WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(shutil.copytree(BUNDLED, folder, dirs_exist_ok=True)) / table
        make(BUNDLED)  # so that what is computed once a process is there in both
        one = record(make, BUNDLED)
        text = changed.read_text(encoding="utf-8")
        if text.count(before) != 1:
            raise ValueError(f"{table} has not one {before!r}")
        changed.write_text(text.replace(before, after), encoding="utf-8")
        make(folder)
        other = record(make, folder)
    entered = sorted(file for file in one.keys() | other.keys() if one.get(file) != other.get(file))
    return entered, sorted((one.keys() | other.keys()) - set(entered))


def record(make, folder):
    """Count, file by file, the calls of each function with what they were given, and what they gave back."""
    calls, inside = {}, f"{PACKAGE}/"

    def note(frame, event, value):
        code = frame.f_code
        if not code.co_filename.startswith(inside) or code.co_name == "<module>":
            return None  # its lines and its end are not looked at either
        frame.f_trace_lines = False
        if event != "exception":
            held = frame.f_locals if event == "call" else value
            file = code.co_filename.removeprefix(inside)
            calls.setdefault(file, Counter())[code.co_qualname, event, hash(describe(held))] += 1
        return note

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.settrace(note)
        try:
            make(folder)
        finally:
            sys.settrace(None)
    return calls


def describe(value):
    """What a value holds, as text that is the same for the same contents; of a `Trial` or a path its kind."""
    if isinstance(value, pd.DataFrame):
        return f"{list(value.columns)}{[describe(value[name]) for name in value.columns.unique()]}"
    if isinstance(value, (pd.Series, pd.Index)):
        plain = isinstance(value.dtype, np.dtype) and value.dtype != object
        return describe(value.to_numpy()) if plain else repr(value.tolist())
    if isinstance(value, np.ndarray):
        return repr(value.tolist()) if value.dtype == object else f"{value.shape}{hash(value.tobytes())}"
    if isinstance(value, dict):
        return repr({key: describe(each) for key, each in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return repr([describe(each) for each in value])
    if isinstance(value, (str, int, float, bool, np.generic)):
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Trial)):
        return repr([describe(getattr(value, each.name)) for each in dataclasses.fields(value)])
    return type(value).__name__


def main():
    missed = 0
    for way, limit in LIMITS.items():
        entered, only_ran = trace(way)
        missed += len(entered) > limit
        print(f"{way}: {len(entered)} files, at most {limit}: {'yes' if len(entered) <= limit else 'NO'}")
        print("".join(f"    {file}\n" for file in entered) + f"  only ran: {', '.join(only_ran)}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
