"""What the usual test is worth at 3/5/6/4, against the listing of every allocation."""

import numpy as np
import pytest

from nkhcc_helpers.survival import curves
from nkhcc_helpers.survival.calibration import (
    _draw_cohorts,
    _hold_truth,
    attained_coverage,
    attained_size,
    recalibrate_p,
)

SIZES = (3, 5, 6, 4)
# How many of 514,594,080 allocations of uncensored, untied patients reach the statistic of each P.
LISTED = {0.05: 62_000_355, 0.0403: 53_598_836, 0.01: 21_425_306, 0.0008: 4_576_969}
N_ALLOCATIONS = 514_594_080


@pytest.mark.parametrize("p", LISTED)
def test_recalibrated_p_agrees_with_listing(p):
    got = recalibrate_p(p, SIZES, n_draws=400_000)
    assert got.error < 0.0006
    assert abs(got.p_value - LISTED[p] / N_ALLOCATIONS) < 4 * got.error


def test_recalibrated_p_repeats_with_its_seed():
    first, again, other = (recalibrate_p(0.05, SIZES, n_draws=5_000, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.p_value != other.p_value


@pytest.mark.no_cover
def test_attained_size_agrees_with_listing():
    table = attained_size(SIZES, n_trials=1_500, n_draws=399, jobs=1).set_index(["test", "alpha"])
    for alpha in (0.05, 0.01):
        usual = table.loc[("asymptotic", alpha)]
        assert abs(usual["rejected"] - LISTED[alpha] / N_ALLOCATIONS) < 4 * usual["error"]
        for test in ("permuted", "score permuted", "trend permuted"):
            row = table.loc[(test, alpha)]
            assert row["rejected"] <= alpha + 4 * max(row["error"], np.sqrt(alpha / 1_500))


@pytest.mark.no_cover
@pytest.mark.usefixtures("real_processes")
def test_attained_size_with_censoring_does_not_depend_on_jobs(capfd):
    options = {"censoring": 0.3, "n_trials": 150, "n_draws": 99}
    alone = attained_size(SIZES, jobs=1, progress=True, **options)
    assert "150/150" in capfd.readouterr().err
    assert alone.equals(attained_size(SIZES, jobs=2, **options))
    usual = alone.set_index(["test", "alpha"]).loc[("asymptotic", 0.05), "rejected"]
    assert 0.08 < usual < 0.14


@pytest.mark.parametrize("sizes", [(), (3, 0), (2.5, 3)])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match="sizes must be whole numbers above 0"):
        recalibrate_p(0.05, sizes)


def test_one_group_is_not_estimable():
    got = recalibrate_p(0.05, [4])
    assert np.isnan([got.p_value, got.error]).all()
    size = attained_size([4])
    assert size[["rejected", "error", "ratio"]].isna().all(axis=None)
    assert size["alpha"].unique().tolist() == [0.05, 0.01]


@pytest.mark.parametrize("p", [0, 1, 1.2, -0.1])
def test_bad_p(p):
    with pytest.raises(ValueError, match="p must lie between 0 and 1"):
        recalibrate_p(p, SIZES)


@pytest.mark.parametrize(("options", "message"), [({"censoring": 1}, "censoring"), ({"alpha": 5}, "alpha")])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=f"{message} must"):
        attained_size(SIZES, **options)


@pytest.fixture(scope="module")
def coverage():
    return attained_coverage((3, 4, 5, 6, 18))


def test_bpcp_keeps_its_level_everywhere(coverage):
    bpcp = coverage[coverage["conf_type"] == "bpcp"]
    assert len(bpcp) == 5 * 2 * 3
    assert (bpcp["coverage"] >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / 2_000)).all()


@pytest.mark.parametrize("conf_type", ["log-log", "log", "plain"])
def test_other_limits_do_not_keep_theirs(coverage, conf_type):
    other = coverage[coverage["conf_type"] == conf_type]
    assert (other["coverage"] < 0.93).any()


@pytest.mark.parametrize("conf_type", curves.CONF_TYPES)
def test_many_cohorts_at_once_equal_one_by_one(conf_type):
    time, event = _draw_cohorts(np.random.default_rng(2), 30, 7, 0.3)
    truth = np.array([0.8, 0.5, 0.2])
    together = _hold_truth(time, event, truth, 0.9, conf_type)
    for i in range(len(time)):
        curve = curves.estimate_km(time[i], event[i], conf_level=0.9, conf_type=conf_type)
        rows = curve.iloc[curve["time"].searchsorted(-np.log(truth), side="right") - 1]
        held = (rows["ci_lower"].fillna(0) <= truth) & (truth <= rows["ci_upper"].fillna(1))
        assert held.tolist() == together[i].tolist()


def test_bad_coverage_options():
    with pytest.raises(ValueError, match="censoring must be at least 0"):
        attained_coverage([3], censoring=[1.5], n_trials=2)
    with pytest.raises(ValueError, match="conf_type must be one of bpcp"):
        attained_coverage([3], conf_types=["wald"], n_trials=2)
