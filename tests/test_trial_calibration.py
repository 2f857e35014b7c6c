"""Size and coverage for one trial, put together from two simulations."""

import pandas as pd
import pytest

from nkhcc_helpers import cox
from nkhcc_helpers.cox.calibration import attained_cox, attained_in_trial


@pytest.fixture(scope="module")
def data(bundled_trial):
    return cox.code_trial(bundled_trial, "PFS", ["dose", "infusions", "order"])


def test_size_without_effect_and_coverage_with_the_estimated_one(data):
    models = {"slopes": ["dose", "infusions"], "order": ["order"]}
    estimates = cox.summarize_models(data, models, n_draws=0)
    options = {"n_trials": 60, "seed": 3}
    table = attained_in_trial(data, models, estimates, **options)
    plans = pd.DataFrame({"dose": [0.5, 1, 1, 1.25], "infusions": [4.0, 4, 8, 8], "order": [0.0, 1, 2, 3]})
    options |= {"censoring": 1 / 18, "jobs": 1}
    none = attained_cox([3, 5, 6, 4], plans, models, **options)
    none = none[~((none["model"] == "order") & (none["covariate"] == "All"))]
    assert table["rejected"].tolist() == none["rejected"].tolist()
    slope = {"order": estimates["coef"].iloc[-1]}
    one = attained_cox([3, 5, 6, 4], plans, {"order": ["order"]}, coef=slope, n_draws=499, **options)
    one = one[one["covariate"] != "All"]
    rows = table["model"] == "order"
    assert table[list(table.columns)].loc[rows, "test"].tolist() == one["test"].tolist()
    pd.testing.assert_series_equal(table.loc[rows, "coverage"], one["coverage"], check_index=False)
    # The intervals saw another truth than the tests.
    wald = table[rows & (table["test"] == "wald")].iloc[0]
    assert wald["coverage"] != pytest.approx(1 - wald["rejected"])


def test_a_model_without_estimate_is_simulated_without_effect(data):
    models = {"order": ["order"]}
    estimates = pd.DataFrame({"model": ["order"], "covariate": ["order"], "coef": [float("nan")]})
    table = attained_in_trial(data, models, estimates, n_trials=40).dropna(subset=["coverage"])
    wald = table[table["test"] == "wald"].iloc[0]
    assert wald["coverage"] == pytest.approx(1 - wald["rejected"] - wald["not_estimable"])


def test_without_events_nothing_is_simulated(data):
    models = {"order": ["order"]}
    estimates = pd.DataFrame({"model": ["order"], "covariate": ["order"], "coef": [float("nan")]})
    table = attained_in_trial(data.assign(event=False), models, estimates, n_trials=40)
    assert table["rejected"].isna().all()
    assert (table["not_estimable"] == 1).all()
