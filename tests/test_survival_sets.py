"""Near-equal times, times of 0, curves flat at one half to the end, late entry and strata: against R."""

import numpy as np
import pandas as pd
import pytest
from r_values import REFERENCE

from nkhcc_helpers.survival import (
    compare_survival,
    count_at_risk,
    estimate_follow_up,
    estimate_median,
    estimate_rmst,
    estimate_survival_at,
    logrank_scores,
    summarize_medians,
)

DATA = pd.read_csv(REFERENCE / "sets.csv")
VALUES = pd.read_csv(REFERENCE / "sets_ref.csv", keep_default_na=False, na_values=["NA"])
SETS = DATA["set"].unique()
TESTED = [name for name in SETS if name != "flat"]


def read(name, *what):
    rows = VALUES[(VALUES["set"] == name) & VALUES["what"].str.fullmatch("|".join(what))]
    assert len(rows)
    return rows.to_dict("records")


def pick(name, group="all"):
    part = DATA[(DATA["set"] == name) & ((DATA["group"] == group) | (group == "all"))]
    return {"time": part["time"], "event": part["event"], "time_enter": part["enter"]}


@pytest.mark.parametrize("name", SETS)
def test_medians_are_those_of_quantile(name):
    for row in read(name, "median", "median_lower", "median_upper", "follow_up"):
        sample = pick(name, row["group"])
        if row["what"] == "follow_up":
            got = estimate_follow_up(**sample, conf_type="plain").estimate
        else:
            median = estimate_median(**sample, conf_type=row["at"])
            limits = {"median_lower": median.ci_lower, "median_upper": median.ci_upper}
            got = limits.get(row["what"], median.estimate)
        # R prints NA where no finite limit exists.
        expected = row["value"]
        expected = np.inf if row["what"] == "median_upper" and np.isnan(expected) else expected
        expected = 0 if row["what"] == "median_lower" and np.isnan(expected) else expected
        assert got == pytest.approx(expected, abs=1e-6, nan_ok=True), row


def test_medians_by_program():
    for name in SETS:
        frame = DATA[DATA["set"] == name].rename(columns={"enter": "time_enter"})
        got = summarize_medians(frame).set_index("group")
        for row in read(name, "median_printed"):
            if row["group"] != "all":
                assert got["r_print"][row["group"]] == pytest.approx(row["value"], abs=1e-6, nan_ok=True), row
        if name == "flat":
            assert got.loc["K", ["r_quantile", "r_print", "first"]].tolist() == pytest.approx(
                [10.14, 6.94, 6.94]
            )
            assert np.isnan(got["sas"]["K"])
            assert got["open_ended"]["K"]


@pytest.mark.parametrize("name", SETS)
def test_curves_at_landmarks(name):
    columns = {"surv": "survival", "lower": "ci_lower", "upper": "ci_upper", "n.risk": "n_at_risk"}
    for row in read(name, "(surv|lower|upper|n.risk) .*"):
        what, conf_type = row["what"].split()
        sample, at = pick(name, row["group"]), float(row["at"])
        near = [at, np.nextafter(at, np.inf), np.nextafter(at, 0)]
        got = estimate_survival_at(**sample, at=near, conf_type=conf_type)[columns[what]].tolist()
        assert got == pytest.approx([row["value"]] * 3, abs=1e-6, nan_ok=True), row
        if what == "n.risk":
            assert count_at_risk(sample["time"], at=[at], time_enter=sample["time_enter"]) == row["value"]


@pytest.mark.parametrize("name", SETS)
def test_restricted_means(name):
    for row in read(name, "rmst", "rmst_se"):
        if float(row["at"]) == 0:
            continue
        got = estimate_rmst(**pick(name, row["group"]), tau=float(row["at"]))
        got = got.estimate if row["what"] == "rmst" else got.standard_error
        assert got == pytest.approx(row["value"], abs=1e-6, nan_ok=True), row


@pytest.mark.parametrize("name", TESTED)
def test_logrank_and_its_permutation(name):
    part = DATA[DATA["set"] == name]
    options = {**pick(name), "group": part["group"], "strata": part["stratum"]}
    usual = compare_survival(**options, n_draws=20_000)
    trend = compare_survival(**options, trend=True, n_draws=0)
    peto = compare_survival(**options, weights="peto-peto", n_draws=0, exact=False)
    got = {
        "chisq": usual.statistic,
        "trend": trend.statistic,
        "survdiff": usual.statistic,
        "coin_quadratic": usual.exact_statistic,
        "coin_trend": trend.exact_statistic,
        "coin_exact": usual.p_exact,
    }
    for row in read(name, *got):
        value = peto.statistic if row["at"] == "1" else got[row["what"]]
        assert value == pytest.approx(row["value"], abs=1e-6), row
    approximate = read(name, "coin_approximate")[0]["value"]
    assert usual.p_exact == pytest.approx(approximate, abs=0.002, nan_ok=True)
    assert usual.n_strata == part["stratum"].nunique()


def test_scores_under_late_entry_add_up_within_a_stratum():
    sample = pick("late")
    assert logrank_scores(**sample).sum() == pytest.approx(0, abs=1e-12)
