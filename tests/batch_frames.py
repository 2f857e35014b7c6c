"""Frames of batches as `list_headlines` returns them, made by hand."""

from itertools import product

import numpy as np
import pandas as pd

HEADLINE = {
    "name": "trend",
    "label": "Ordered trend, permuted P",
    "value": np.nan,
    "ci_lower": np.nan,
    "ci_upper": np.nan,
    "null": np.nan,
    "level": np.nan,
    "unit": "",
    "log": False,
}


def list_runs(grid, defaults, *, notebook="02_survival_by_group", trial="nkhcc"):
    """A row per combination of the values of a grid, as `list_parameters` returns them."""
    rows = []
    for i, values in enumerate(product(*grid.values())):
        own = dict(zip(grid, values, strict=True))
        is_default = all(own[name] == defaults.get(name) for name in own if name != "endpoint")
        rows.append(
            {"run": f"{notebook}-{trial}-{i}", "notebook": notebook, "trial": trial, "is_default": is_default}
            | own
        )
    return pd.DataFrame(rows)


def add_headline(runs, values, **fields):
    """Rows of one headline value: its value in each run, None where the run has none at all."""
    columns = {
        name: value if isinstance(value, list) else [value] * len(runs) for name, value in fields.items()
    }
    frame = runs.assign(**HEADLINE).assign(value=values, **columns)
    frame = frame[[value is not None for value in values]]
    numbers = ["value", "ci_lower", "ci_upper", "null", "level"]
    return frame.astype(dict.fromkeys(numbers, float))
