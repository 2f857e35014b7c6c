"""Risk differences: published limits, coverage over every table, a plain search, arrangement of the frame."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from nkhcc_helpers.safety.counts import count_adverse_events, count_by_term
from nkhcc_helpers.safety.differences import (
    EXACT,
    SCORE,
    calculate_exact_limits,
    calculate_score_limits,
    estimate_differences,
)

# Newcombe (1998) Stat Med 17:873, Table II, method 6 (Miettinen-Nurminen).
NEWCOMBE = [
    ((56, 70, 48, 80), (5.28, 33.82)),
    ((9, 10, 3, 10), (17.00, 84.06)),
    ((6, 7, 2, 7), (3.42, 85.34)),
    ((5, 56, 0, 29), (-3.26, 19.33)),
    ((0, 10, 0, 20), (-16.58, 28.44)),
    ((0, 10, 0, 10), (-28.79, 28.79)),
    ((10, 10, 0, 20), (71.56, 100)),
    ((10, 10, 0, 10), (66.36, 100)),
]
SIZES = [(5, 3), (6, 3), (4, 3)]  # groups of the trial against the first


@pytest.mark.parametrize(("table", "limits"), NEWCOMBE)
def test_score_limits_of_newcombe(table, limits):
    lower, upper = calculate_score_limits(*([each] for each in table))
    assert (lower[0], upper[0]) == pytest.approx(limits, abs=0.006)


def test_exact_limits_of_statxact():
    # StatXact 11, two-sided score test inverted, 6 of 13 against 2 of 7: -0.3079 to 0.5542 (in the tests of
    # R's exact2x2); rounded outwards here.
    assert calculate_exact_limits(13, 7)[:, 6, 2] == pytest.approx([-30.8, 55.5])


def find_score(x, n, x_ref, n_ref, difference):
    """Score statistic, the share in the reference group found by search."""

    def unlikely(share_ref):
        likely = stats.binom.logpmf(x, n, share_ref + difference) + stats.binom.logpmf(
            x_ref, n_ref, share_ref
        )
        return -max(likely, -1e6)

    bounds = max(0, -difference), min(1, 1 - difference)
    share_ref = optimize.minimize_scalar(
        unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-10}
    ).x
    share = share_ref + difference
    variance = share * (1 - share) / n + share_ref * (1 - share_ref) / n_ref
    return (x / n - x_ref / n_ref - difference) / np.sqrt(variance * (n + n_ref) / (n + n_ref - 1))


def find_p(x, n, x_ref, n_ref, difference):
    """P of one table, the largest over the share in the reference group, by plain loops."""
    tables = [(a, b) for a in range(n + 1) for b in range(n_ref + 1)]
    far = {each: abs(find_score(each[0], n, each[1], n_ref, difference)) for each in tables}
    extreme = [each for each in tables if far[each] >= far[(x, x_ref)] - 1e-5]
    share_ref = np.linspace(max(0, -difference), min(1, 1 - difference), 301)
    likely = [
        stats.binom.pmf(a, n, share_ref + difference) * stats.binom.pmf(b, n_ref, share_ref)
        for a, b in extreme
    ]
    return np.max(np.sum(likely, axis=0))


@pytest.mark.parametrize("table", [(1, 4, 0, 3), (3, 4, 1, 3), (2, 4, 2, 3), (0, 4, 2, 3)])
def test_exact_limits_are_where_the_test_starts_to_reject(table):
    x, n, x_ref, n_ref = table
    lower, upper = calculate_exact_limits(n, n_ref, conf_level=0.9)[:, x, x_ref] / 100
    for limit, inward in ((lower, 0.001), (upper, -0.001)):
        assert find_p(*table, limit) <= 0.1 < find_p(*table, limit + inward)
    for beyond in (*np.arange(lower - 0.05, -1, -0.15), *np.arange(upper + 0.05, 1, 0.15)):
        assert find_p(*table, beyond) <= 0.1


def find_coverage(n, n_ref, lower, upper):
    """Probability that the limits hold the difference, for pairs of shares off the grid of limits."""
    shares = np.linspace(0.0031, 0.9967, 83)
    x, x_ref = (each.ravel() for each in np.indices((n + 1, n_ref + 1)))
    likely = stats.binom.pmf(x[:, None], n, shares)[:, :, None]
    likely = likely * stats.binom.pmf(x_ref[:, None], n_ref, shares)[:, None, :]
    difference = 100 * (shares[:, None] - shares)
    held = (lower.ravel()[:, None, None] <= difference) & (difference <= upper.ravel()[:, None, None])
    return (likely * held).sum(axis=0)


@pytest.mark.parametrize(("n", "n_ref"), SIZES)
def test_coverage(n, n_ref):
    exact = calculate_exact_limits(n, n_ref)
    coverage = find_coverage(n, n_ref, *exact)
    assert coverage.min() >= 0.95
    assert coverage.mean() < 0.98
    x, x_ref = (each.ravel().astype(float) for each in np.indices((n + 1, n_ref + 1)))
    score = calculate_score_limits(x, np.full_like(x, n), x_ref, np.full_like(x, n_ref))
    assert 0.84 < find_coverage(n, n_ref, *score).min() < 0.88
    assert (exact[1] - exact[0]).mean() < 1.03 * (score[1] - score[0]).mean()


def test_limits_change_sign_with_the_groups():
    there, back = calculate_exact_limits(5, 3), calculate_exact_limits(3, 5)
    assert there[0] == pytest.approx(-back[1].T)
    # And with patients with and without the event.
    assert there[0] == pytest.approx(-there[1, ::-1, ::-1])
    tables = np.array([[4.0], [6.0], [1.0], [9.0]])
    lower, upper = calculate_score_limits(*tables)
    assert calculate_score_limits(*tables[[2, 3, 0, 1]]) == (pytest.approx(-upper), pytest.approx(-lower))


def test_limits_hold_the_estimate_and_stay_within_100():
    for n, n_ref in ((1, 1), (3, 6), (6, 3)):
        x, x_ref = np.indices((n + 1, n_ref + 1)).astype(float)
        difference = 100 * (x / n - x_ref / n_ref)
        score = calculate_score_limits(x.ravel(), n + 0 * x.ravel(), x_ref.ravel(), n_ref + 0 * x.ravel())
        for lower, upper in (calculate_exact_limits(n, n_ref), [each.reshape(x.shape) for each in score]):
            assert (lower <= difference + 1e-9).all()
            assert (difference <= upper + 1e-9).all()
            assert lower.min() >= -100
            assert upper.max() <= 100
    # Everybody against nobody, and nobody known for sure from one patient.
    assert calculate_exact_limits(6, 3)[1, 6, 0] == pytest.approx(100)
    assert (calculate_exact_limits(1, 1)[0, 0, 0], calculate_exact_limits(1, 1)[1, 0, 0]) == pytest.approx(
        (-97.5, 97.5), abs=2.6
    )


def counts_of(rows):
    return pd.DataFrame(rows, columns=["category", "group", "n_patients", "n_evaluable"]).astype(
        {"n_patients": "Int64"}
    )


def test_rows_and_columns():
    counts = counts_of(
        [
            ("one", "A", 1, 4), ("one", "B", 3, 4), ("one", "C", 0, 0), ("one", "All", 4, 8),
            ("two", "A", pd.NA, 4), ("two", "B", 2, 4), ("two", "C", 0, 0), ("two", "All", pd.NA, 8),
        ]
    )  # fmt: skip
    found = estimate_differences(counts, "A")
    assert list(found) == ["category", "group", "reference", "difference", "ci_lower", "ci_upper", "interval"]
    assert found[["category", "group"]].to_numpy().tolist() == [
        ["one", "B"], ["one", "C"], ["two", "B"], ["two", "C"]
    ]  # fmt: skip
    assert set(found["reference"]) == {"A"}
    assert found["difference"].iloc[0] == pytest.approx(50)
    assert found.loc[0, ["ci_lower", "ci_upper"]].tolist() == calculate_exact_limits(4, 4)[:, 3, 1].tolist()
    assert found.loc[1:, ["difference", "ci_lower", "ci_upper"]].isna().all(axis=None)
    swapped = estimate_differences(counts, "B")
    assert swapped["difference"].iloc[0] == pytest.approx(-50)
    assert swapped["group"].cat.categories.tolist() == ["A", "C"]


def test_interval_asked_for():
    counts = counts_of([("one", "A", 10, 40), ("one", "B", 25, 50)])
    table = [[25.0], [50.0], [10.0], [40.0]]
    auto = estimate_differences(counts, "A", conf_level=0.9).iloc[0]
    assert auto["interval"] == SCORE
    score = np.ravel(calculate_score_limits(*table, conf_level=0.9))
    assert auto[["ci_lower", "ci_upper"]].tolist() == pytest.approx(score.tolist())
    small = counts_of([("one", "A", 1, 4), ("one", "B", 2, 5)])
    assert estimate_differences(small, "A")["interval"].tolist() == [EXACT]
    assert estimate_differences(small, "A", interval="score")["interval"].tolist() == [SCORE]
    narrow, wide = (estimate_differences(small, "A", conf_level=level).iloc[0] for level in (0.8, 0.95))
    assert wide["ci_lower"] < narrow["ci_lower"] < narrow["ci_upper"] < wide["ci_upper"]


def test_frames_of_a_trial(any_trial):
    reference = any_trial.groups[0]
    for counts, names in (
        (count_adverse_events(any_trial), ["category", "label"]),
        (count_by_term(any_trial), ["level", "organ_class", "term", "grade"]),
    ):
        found = estimate_differences(counts, reference)
        assert list(found)[: len(names)] == names
        expected = counts[~counts["group"].astype(str).isin([reference, "All"])]
        assert (
            found[[*names, "group"]]
            .astype(str)
            .equals(expected[[*names, "group"]].astype(str).reset_index(drop=True))
        )
        shares = counts.assign(group=counts["group"].astype(str)).set_index([*names, "group"])["percent"]
        for row in found.to_dict("records"):
            key = tuple(row[name] for name in names)
            gap = shares[(*key, str(row["group"]))] - shares[(*key, reference)]
            assert row["difference"] == pytest.approx(gap, nan_ok=True, abs=1e-9)


def test_arguments_that_are_none():
    counts = counts_of([("one", "A", 1, 4), ("one", "B", 3, 4), ("one", "All", 4, 8)])
    for reference in ("C", "All"):
        with pytest.raises(ValueError, match="reference must be one of A, B"):
            estimate_differences(counts, reference)
    with pytest.raises(ValueError, match="conf_level"):
        estimate_differences(counts, "A", conf_level=95)
    with pytest.raises(ValueError, match="interval"):
        estimate_differences(counts, "A", interval="wald")
