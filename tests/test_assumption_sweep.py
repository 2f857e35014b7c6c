"""Sweeps of assumed numbers against one fit at a time."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from nkhcc_helpers.cox.design import DOSE_CODINGS, code_covariates
from nkhcc_helpers.cox.diagnostics import _fit_designs, summarize_sweep, sweep_assumptions, sweep_codings
from nkhcc_helpers.cox.fit import CoxModel, fit_cox, infer

ESTIMATES = ["coef", "hr", "ci_lower", "ci_upper", "p_value"]
COLUMNS = ["group", "quantity", "value", "assumed_value", "is_assumed", "covariate", *ESTIMATES]
SLOPES = ["dose", "infusions"]


@pytest.fixture(scope="module")
def trial(bundled_trial):
    return bundled_trial


def with_arms(trial, **changes):
    """The trial with changed fields of arms, in the planned columns of its subjects too."""
    arms = [arm.model_copy(update=changes.get(arm.code, {})) for arm in trial.metadata.arms]
    metadata = trial.metadata.model_copy(update={"arms": arms})
    planned = {arm.code: arm for arm in arms}
    group = trial.subjects["group"].astype(str)
    subjects = trial.subjects.assign(
        dose=group.map(lambda code: planned[code].dose),
        planned_infusions=group.map(lambda code: planned[code].infusions),
    )
    return dataclasses.replace(trial, metadata=metadata, subjects=subjects)


def fit_alone(frame, covariates, coding="relative", *, method="firth", ties="breslow", conf_level=0.95):
    """Estimates as `fit_cox` prints them, without its relabelling."""
    coded = code_covariates(frame, covariates, dose_coding=coding)
    model = CoxModel.of(frame[["time", "event"]].join(coded), list(coded), method=method, ties=ties)
    estimates = infer(*model.batch, model.fits, **model.options, conf_level=conf_level)[0]
    return pd.DataFrame(estimates, columns=ESTIMATES).assign(covariate=list(coded))


@pytest.mark.parametrize("options", [{}, {"method": "partial", "ties": "efron", "conf_level": 0.8}])
@pytest.mark.parametrize("coding", ["relative", "cumulative"])
def test_every_value_agrees_with_its_own_fit(trial, coding, options):
    table = sweep_assumptions(trial, "PFS", SLOPES, dose_coding=coding, n_values=5, **options)
    assert table.columns.tolist() == COLUMNS
    swept = table.groupby(["group", "quantity", "value"], sort=False)
    assert len(swept) == 15
    for (group, quantity, value), rows in swept:
        frame = trial.survival("PFS").astype({quantity: float})
        frame.loc[frame["group"] == group, quantity] = value
        alone = fit_alone(frame, SLOPES, coding, **options)
        assert rows["covariate"].tolist() == alone["covariate"].tolist() == SLOPES
        for name in ESTIMATES:
            assert rows[name].tolist() == pytest.approx(alone[name].tolist(), rel=1e-6, abs=1e-7)


def test_values_by_hand(trial):
    table = sweep_assumptions(trial, "OS", ["dose"], n_values=3)
    values = {key: rows["value"].tolist() for key, rows in table.groupby(["group", "quantity"])}
    assert values[("A", "dose")] == pytest.approx([0.25, 0.5, 1])
    assert values[("D", "dose")] == pytest.approx([0.625, 1.25, 2.5])
    assert values[("D", "infusions")] == [4, 8, 16]
    assert len(values) == 3
    assert table.loc[table["is_assumed"], "value"].tolist() == [0.5, 1.25, 8]
    assert (table["is_assumed"] == (table["value"] == table["assumed_value"])).all()
    alone = fit_alone(trial.survival("OS"), ["dose"]).iloc[0]
    assumed = table[table["is_assumed"]]
    assert assumed["coef"].tolist() == pytest.approx([alone["coef"]] * 3, abs=1e-7)


def test_infusions_are_whole_and_the_assumed_number_is_among_them(trial):
    table = sweep_assumptions(
        with_arms(trial, D={"infusions": 3, "doses": None}), "PFS", ["infusions"], factors=(0.1, 1.7)
    )
    values = table.loc[table["quantity"] == "infusions", "value"]
    assert values.tolist() == [1, 2, 3, 4, 5]
    doses = table.loc[(table["quantity"] == "dose") & (table["group"] == "A"), "value"]
    assert len(doses) == 26  # the assumed dose is none of the 25 steps
    assert (doses == 0.5).sum() == 1
    assert doses.is_monotonic_increasing


def test_nothing_assumed_is_an_empty_table(trial):
    arms = {code: {"assumed": []} for code in "ABCD"}
    table = sweep_assumptions(with_arms(trial, **arms), "PFS", SLOPES)
    assert table.empty
    assert table.columns.tolist() == COLUMNS
    full = sweep_assumptions(trial, "PFS", SLOPES, n_values=1)
    assert table.drop(columns=["group", "quantity", "covariate"]).dtypes.equals(
        full.drop(columns=["group", "quantity", "covariate"]).dtypes
    )


def test_dose_that_becomes_the_same_for_everyone_leaves_the_other_slope(trial):
    doses = {code: {"dose": 1.0, "doses": None} for code in "BCD"}
    two_levels = with_arms(trial, **doses, A={"assumed": ["dose"]})
    two_levels = with_arms(two_levels, D={"assumed": []})
    table = sweep_assumptions(two_levels, "PFS", SLOPES, n_values=3)
    same = table[table["value"] == 1].set_index("covariate")
    assert same.loc["dose", ESTIMATES].isna().all()
    alone = fit_alone(two_levels.survival("PFS"), ["infusions"]).iloc[0]
    for name in ESTIMATES:
        assert same.loc["infusions", name] == pytest.approx(alone[name], rel=1e-6)
    assert table.loc[table["value"] < 1, "coef"].notna().all()


def test_collinear_slopes_are_not_estimable(trial):
    # With dose 5 in group D, dose is infusions less 3 in every group.
    arms = {
        "A": {"dose": 1.0, "infusions": 4},
        "B": {"dose": 1.0, "infusions": 4},
        "C": {"dose": 5.0, "infusions": 8},
        "D": {"dose": 2.5, "doses": None, "assumed": ["dose"]},
    }
    table = sweep_assumptions(
        with_arms(
            trial,
            **arms,
        ),
        "PFS",
        SLOPES,
        n_values=3,
    )
    rows = table[(table["group"] == "D")].set_index("value")
    assert rows.loc[5.0, ESTIMATES].isna().all(axis=None)
    assert rows.loc[[1.25, 2.5], ESTIMATES].notna().all(axis=None)


def test_groups_do_not_move_with_the_numbers(trial):
    table = sweep_assumptions(trial, "OS", ["group"], n_values=3)
    assert table["covariate"].unique().tolist() == ["group B", "group C", "group D"]
    assert table.groupby("covariate")["coef"].agg(np.ptp).max() < 1e-9


def test_codings_agree_with_one_fit_each(trial):
    table = sweep_codings(trial, "OS", SLOPES)
    assert table.columns.tolist() == ["dose_coding", "covariate", *ESTIMATES, "hr_range"]
    frame = trial.survival("OS")
    for coding in DOSE_CODINGS:
        rows = table[table["dose_coding"] == coding]
        alone = fit_alone(frame, SLOPES, coding)
        for name in ESTIMATES:
            assert rows[name].tolist() == pytest.approx(alone[name].tolist(), rel=1e-6, abs=1e-7)
    relative, order = (table[table["dose_coding"] == coding].iloc[0] for coding in ("relative", "order"))
    assert relative["hr_range"] == pytest.approx(np.exp(relative["coef"] * 0.75))
    assert order["hr_range"] == pytest.approx(np.exp(order["coef"] * 2))


def test_a_dose_of_nothing_has_no_logarithm(trial):
    without = with_arms(trial, A={"dose": 0.0})
    table = sweep_codings(without, "PFS", SLOPES).set_index("dose_coding")
    assert table.loc["log2"].drop(columns="covariate").isna().all(axis=None)
    assert table.drop(index="log2").notna().all(axis=None)
    with pytest.raises(ValueError, match="log2 needs doses above 0"):
        sweep_assumptions(without, "PFS", SLOPES, dose_coding="log2")
    # Any factor of 0 is 0.
    rows = sweep_assumptions(without, "PFS", SLOPES)
    assert rows.loc[(rows["group"] == "A"), "value"].tolist() == [0.0, 0.0]


def test_separated_designs_are_not_estimable_by_partial_likelihood():
    frame = pd.DataFrame({"time": [1.0, 2, 3, 4], "event": True})
    designs = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]])[:, :, None]
    options = {"ties": "breslow", "conf_level": 0.95}
    coef, _, lower, upper, p_value = _fit_designs(frame, designs, method="partial", **options)[:, 0].T
    assert np.isnan(coef).tolist() == [True, False, True]
    assert np.isnan(p_value).tolist() == [True, False, True]
    firth = _fit_designs(frame, designs, method="firth", **options)[:, 0]
    assert np.isfinite(firth[:, 0]).tolist() == [True, True, False]
    alone = fit_cox(frame.assign(x=designs[1, :, 0]), ["x"], method="partial", n_draws=0).summary.iloc[0]
    assert (lower[1], upper[1]) == pytest.approx((alone["ci_lower"], alone["ci_upper"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": (2, 0.5)}, "factors must be two numbers above 0, the smaller first"),
        ({"factors": (0, 2)}, "factors must be two numbers above 0, the smaller first"),
        ({"n_values": 0}, "n_values must be at least 1"),
        ({"conf_level": 95}, "conf_level must lie between 0 and 1"),
        ({"dose_coding": "square"}, "dose_coding must be one of relative"),
        ({"method": "wald"}, "method must be one of"),
        ({"ties": "exact"}, "ties must be one of"),
    ],
)
def test_bad_arguments(trial, change, message):
    with pytest.raises(ValueError, match=message):
        sweep_assumptions(trial, "PFS", SLOPES, **change)


def test_unknown_endpoint_and_covariate(trial):
    with pytest.raises(ValueError, match="no endpoint 'XYZ'"):
        sweep_assumptions(trial, "XYZ", SLOPES)
    with pytest.raises(ValueError, match="covariates has 'age'"):
        sweep_codings(trial, "PFS", ["age"])
    with pytest.raises(ValueError, match="dose_coding must be one of"):
        sweep_codings(trial, "PFS", SLOPES, codings=["square"])


def test_any_trial_can_be_swept(any_trial):
    arms = {arm.code: {"assumed": ["dose", "infusions"], "doses": None} for arm in any_trial.metadata.arms}
    endpoint = next(iter(any_trial.endpoint_labels))
    table = sweep_assumptions(with_arms(any_trial, **arms), endpoint, SLOPES, n_values=3)
    assert set(table["group"]) == set(any_trial.groups)
    assert (table["ci_lower"].isna() | (table["ci_lower"] <= table["hr"])).all()
    codings = [each for each in DOSE_CODINGS if each != "log2" or (any_trial.subjects["dose"] > 0).all()]
    assert len(sweep_codings(any_trial, endpoint, SLOPES, codings=codings)) == 2 * len(codings)


def test_summary_of_a_sweep_by_hand():
    rows = [("A", "dose", "dose", hr, low, high) for hr, low, high in ((0.5, 0.2, 0.9), (2, 0.8, 5))]
    rows += [("A", "dose", "infusions", 0.5, 0.2, 0.9), ("A", "dose", "infusions", np.nan, np.nan, np.nan)]
    swept = pd.DataFrame(rows, columns=["group", "quantity", "covariate", "hr", "ci_lower", "ci_upper"])
    assert summarize_sweep(swept).to_numpy().tolist() == [
        ["A", "dose", "dose", True, True],
        ["A", "dose", "infusions", False, False],
    ]
    assert summarize_sweep(swept.iloc[:0]).empty
