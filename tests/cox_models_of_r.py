"""The data sets with the covariates of R's Cox models."""

import pandas as pd
from r_values import DATA_SETS, read_data

from nkhcc_helpers.cox.design import code_covariates

__all__ = ["DATA_SETS", "read_models"]


def read_models(name):
    """The data, and the columns of each model by its name in the reference."""
    data = read_data(name)
    order = sorted(data["group"].unique(), key=lambda code: data.loc[data["group"] == code, "order"].iloc[0])
    data["group"] = pd.Categorical(data["group"], order, ordered=True)
    coded = code_covariates(data, ["group", "order"])
    models = {"group": [column for column in coded if column != "order"], "score": ["order"]}
    if "dose" in data:
        models["dose+infusions"] = ["dose", "infusions"]
    return data.drop(columns="order").join(coded), models
