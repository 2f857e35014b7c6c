"""Frames of a batch as `list_parameters` and `list_headlines` return them, made by hand."""

from itertools import product

import pandas as pd

NUMBERS = ("value", "ci_lower", "ci_upper", "null", "level", "error")
HEADLINE = {
    "name": "trend",
    "label": "Ordered trend, permuted P",
    **dict.fromkeys(NUMBERS, float("nan")),
    "unit": "",
    "kind": "number",
    "has_direction": True,
}


def list_runs(grid, defaults, *, notebook="02_survival_by_group", trial="nkhcc"):
    """A row per combination of the values of a grid; `defaults` are the notebook's."""
    rows = []
    for i, values in enumerate(product(*grid.values())):
        own = dict(zip(grid, values, strict=True))
        is_default = all(own[name] == defaults.get(name) for name in own if name != "endpoint")
        names = {"run": f"{trial}-{notebook}-{i}", "notebook": notebook, "trial": trial}
        rows.append({**names, "is_default": is_default, **own})
    return pd.DataFrame(rows)


def add_headline(runs, values, **fields):
    """Rows of one headline value: what it is in each run, None where the run failed."""
    failed = [value is None for value in values]
    kind = "p" if "level" in fields else "ratio" if fields.get("null") == 1 else "number"
    frame = runs.assign(**{**HEADLINE, "kind": kind, **fields, "value": values})
    return frame[[not each for each in failed]].astype(dict.fromkeys(NUMBERS, float))
