"""Units of the covariates change coefficients and nothing else."""

import numpy as np
import pytest
from cox_models_of_r import read_models

from nkhcc_helpers import cox

UNITS = [(1e9, 1.0), (1e6, 1e-6), (1e-8, 1e8)]


@pytest.fixture(scope="module")
def data():
    return read_models("small18")[0]


@pytest.fixture(params=UNITS, ids=str)
def scaled(request, data):
    dose, infusions = request.param
    return data.assign(dose=data["dose"] * dose, infusions=data["infusions"] * infusions), request.param


@pytest.mark.parametrize(("method", "ties"), [("firth", "breslow"), ("partial", "efron")])
def test_fits(data, scaled, method, ties):
    frame, units = scaled
    options = {"method": method, "ties": ties, "n_draws": 0}
    plain = cox.fit_cox(data, ["dose", "infusions"], **options)
    other = cox.fit_cox(frame, ["dose", "infusions"], **options)
    assert other.df == 2
    assert other.lr_statistic == pytest.approx(plain.lr_statistic, abs=1e-7)
    coef = other.summary["coef"].to_numpy() * units
    assert coef == pytest.approx(plain.summary["coef"].to_numpy(), rel=1e-6)
    assert other.summary["p_value"].to_numpy() == pytest.approx(plain.summary["p_value"].to_numpy(), rel=1e-6)
    # A hazard ratio per tiny or huge unit is 0, 1 or infinite in floating point.
    seen = np.array([1e-3 < unit < 1e3 for unit in units])
    for limit in ("ci_lower", "ci_upper"):
        assert other.summary[limit][seen].to_numpy() == pytest.approx(plain.summary[limit][seen].to_numpy())


def test_comparison_of_models(data, scaled):
    frame, _ = scaled
    groups = [name for name in data if name.startswith("group ")]
    models = {"dose": ["dose"], "both": ["dose", "infusions"], "groups": groups}
    plain, other = (cox.compare_models(each, models, n_draws=99) for each in (data, frame))
    for column in ("df", "lr_statistic", "lack_df", "lack_statistic", "aicc", "p_permutation"):
        assert other[column].to_numpy() == pytest.approx(plain[column].to_numpy(), abs=1e-6, nan_ok=True)


def test_checks(data, scaled):
    frame, units = scaled
    covariates = ["dose", "infusions"]
    plain, other = (cox.check_proportional_hazards(each, covariates) for each in (data, frame))
    assert other["statistic"].to_numpy() == pytest.approx(plain["statistic"].to_numpy(), abs=1e-5)
    plain, other = (cox.estimate_detectable(each, covariates) for each in (data, frame))
    assert other["hr_detectable"].to_numpy() == pytest.approx(plain["hr_detectable"].to_numpy(), rel=1e-6)
    plain, other = (cox.leave_one_out(each, covariates) for each in (data, frame))
    factor = other["covariate"].map(dict(zip(covariates, units, strict=True)))
    assert (other["coef"] * factor).to_numpy() == pytest.approx(plain["coef"].to_numpy(), rel=1e-5)


def test_many_cohorts(data, scaled):
    frame, units = scaled
    rng = np.random.default_rng(3)
    times, events = rng.integers(1, 9, (300, 18)), rng.random((300, 18)) < 0.7
    columns = ["dose", "infusions"]
    for method in ("firth", "partial"):
        plain, other = (
            cox.fit_cox_many(times, events, each[columns], method=method) for each in (data, frame)
        )
        assert (plain.estimable == other.estimable).all()
        known = plain.estimable
        assert other.coef[known] * units == pytest.approx(plain.coef[known], abs=1e-6)
        assert other.lr_statistic[known] == pytest.approx(plain.lr_statistic[known], abs=1e-7)
