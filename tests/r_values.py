"""Reference values from R, one value a row; see reference/README.md."""

from pathlib import Path

import numpy as np
import pandas as pd

REFERENCE = Path(__file__).parent / "reference"
DATA_SETS = ("small18", "larynx", "lung")


def read_data(name):
    return pd.read_csv(REFERENCE / f"{name}.csv")


def read_reference(name, *what):
    rows = pd.read_csv(REFERENCE / f"{name}_ref.csv", dtype={"at": str}, keep_default_na=False)
    rows = rows[rows["what"].isin(what)].copy()
    rows["value"] = rows["value"].map(lambda text: np.nan if text == "NA" else float(text))
    assert len(rows), what
    return rows
