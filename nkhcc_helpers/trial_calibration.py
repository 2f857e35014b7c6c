"""How far to trust the Cox models of one trial: size without effect, coverage at the effects it estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.cox_calibration import attained_cox
from nkhcc_helpers.metadata import ALL_GROUPS
from nkhcc_helpers.permutation import DEFAULT_SEED

FEW_DRAWS = 499  # relabellings behind each simulated interval, where they cannot be listed


def attained_in_trial(frame, models, estimates, *, alpha=0.05, n_trials=2_000, seed=DEFAULT_SEED, jobs=1):
    """Simulate trials of the sizes, plans and censoring of one trial.

    Parameters
    ----------
    frame : DataFrame
        Columns ``group time event`` and every covariate as numbers, alike within a group.
    models : dict of str to list of str
        Name and covariates of each model.
    estimates : DataFrame
        Columns ``model covariate coef``, as `cox_models.summarize_models` returns them.
    alpha, n_trials, seed, jobs
        As in `cox_calibration.attained_cox`.

    Returns
    -------
    DataFrame
        As of `cox_calibration.attained_cox`: tests in trials without any effect, intervals in trials with
        the effects that each model estimates (none where it has no estimate). ``not_estimable`` is the
        larger share of the two; without any event all is NaN. Models of one covariate have no row for all.

    Raises
    ------
    ValueError
        As `cox_calibration.attained_cox`.
    """
    if not frame["event"].any():
        nothing = attained_in_trial(frame.assign(event=True), models, estimates, n_trials=2)
        blank = dict.fromkeys(["rejected", "rejected_error", "coverage", "coverage_error"], np.nan)
        return nothing.assign(**blank, not_estimable=1.0)
    group = frame["group"].cat.remove_unused_categories()
    plans = frame.groupby(group, observed=True).first()
    sizes = group.value_counts(sort=False).tolist()
    options = {"censoring": 1 - frame["event"].mean(), "alpha": alpha, "n_trials": n_trials}
    options |= {"seed": seed, "jobs": jobs}
    attained = attained_cox(sizes, plans, models, **options)
    with_effect = []
    for name, covariates in models.items():
        rows = estimates[estimates["model"] == name].set_index("covariate")["coef"]
        coef = rows.reindex(covariates).fillna(0).to_dict()
        simulated = attained_cox(sizes, plans, {name: covariates}, coef=coef, n_draws=FEW_DRAWS, **options)
        with_effect.append(simulated)
    with_effect = pd.concat(with_effect, ignore_index=True)
    for column in ("coverage", "coverage_error"):
        attained[column] = with_effect[column]
    attained["not_estimable"] = np.maximum(attained["not_estimable"], with_effect["not_estimable"])
    # With one covariate the test of all together is that of this one.
    alone = attained["model"].map({name: len(covariates) == 1 for name, covariates in models.items()})
    return attained[~(alone & (attained["covariate"] == ALL_GROUPS))].reset_index(drop=True)
