"""Time Cox models of many small cohorts against one at a time by lifelines and by firthmodels.

Run it as `make bench` or `python benchmarks/bench_cox.py`, on a machine that does nothing else. Exits 1 when
a limit is not held. Ratios compare medians of runs in the same process; the fits compared are the same ones.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from firthmodels import FirthCoxPH
from lifelines import CoxPHFitter
from measuring import report, time_median

from nkhcc_helpers import cox
from nkhcc_helpers.cox.calibration import attained_cox
from nkhcc_helpers.trial.trial import load_trial

SIZES = (3, 5, 6, 4)
N_COHORTS, N_PLAIN = 10_000, 100
COVARIATES = ["dose", "infusions"]


def draw_cohorts(seed=1):
    """Times to a tenth, some tied, about a third censored; one design for all."""
    rng = np.random.default_rng(seed)
    group = np.repeat(range(len(SIZES)), SIZES)
    x = np.column_stack([np.array([0.5, 1, 1, 1.25])[group], np.array([4.0, 4, 8, 8])[group]])
    time_ = rng.exponential(5, (N_COHORTS, len(group)))
    limit = rng.exponential(10, time_.shape)
    return np.ceil(10 * np.minimum(time_, limit)) / 10, time_ <= limit, x


def fit_lifelines(times, events, x):
    """A loop over lifelines, as one would write it."""
    frame = pd.DataFrame(x, columns=COVARIATES)
    return [
        CoxPHFitter().fit(frame.assign(time=time_, event=event), "time", "event").params_.to_numpy()
        for time_, event in zip(times, events, strict=True)
    ]


def fit_firthmodels(times, events, x):
    """A loop over firthmodels."""
    fits = []
    for time_, event in zip(times, events, strict=True):
        outcome = np.array(list(zip(event, time_, strict=True)), dtype=[("event", bool), ("time", float)])
        fits.append(FirthCoxPH(backend="numpy").fit(x, outcome).coef_)
    return fits


def main():
    warnings.simplefilter("ignore")  # of the libraries, about cohorts that separate
    times, events, x = draw_cohorts()
    rows = []
    seconds = {}
    for method, ties, plain in (
        ("partial", "efron", fit_lifelines),
        ("firth", "breslow", fit_firthmodels),
    ):
        seconds[method] = time_median(
            lambda method=method, ties=ties: cox.fit_cox_many(times, events, x, method=method, ties=ties)
        )
        fits = cox.fit_cox_many(times, events, x, method=method, ties=ties)
        easy = np.flatnonzero(fits.estimable)[:N_PLAIN]
        alone = np.array(plain(times[easy], events[easy], x))
        seconds[plain] = time_median(lambda plain=plain, easy=easy: plain(times[easy], events[easy], x))
        rows.append(
            (
                f"largest difference in a coefficient, {method}",
                np.abs(alone - fits.coef[easy]).max(),
                1e-3,
                "",
            )
        )
    each = {
        name: value / (N_COHORTS if isinstance(name, str) else N_PLAIN) for name, value in seconds.items()
    }
    rows.append(("10,000 fits of two covariates, n = 18, partial likelihood", seconds["partial"], None, "s"))
    rows.append(("10,000 fits of two covariates, n = 18, Firth", seconds["firth"], 10, "s"))
    rows.append(("a fit by lifelines", 1000 * each[fit_lifelines], None, "ms"))
    rows.append(("a fit by firthmodels", 1000 * each[fit_firthmodels], None, "ms"))
    rows.append(
        (
            "times faster a fit than lifelines, partial likelihood",
            each[fit_lifelines] / each["partial"],
            -300,
            "x",
        )
    )
    rows.append(
        ("times faster a fit by Firth than lifelines without", each[fit_lifelines] / each["firth"], None, "x")
    )
    rows.append(("times faster a fit than firthmodels", each[fit_firthmodels] / each["firth"], None, "x"))
    return report(rows + time_notebook_steps())


def time_notebook_steps():
    """What notebook 03 asks for, on the bundled trial."""
    trial = load_trial()
    data = cox.code_trial(trial, "PFS", ["dose", "infusions", "order", "group"])
    models = {
        "slopes": COVARIATES,
        "order": ["order"],
        "groups": [name for name in data if name.startswith("group ")],
    }
    plans = data.groupby("group", observed=True).first()
    sizes = data["group"].value_counts(sort=False).tolist()
    steps = {
        "three models, limits and permuted P included": lambda: cox.summarize_models(data, models),
        "three models compared, 2,000 relabellings each": lambda: cox.compare_models(data, models),
        "assumed numbers swept": lambda: cox.sweep_assumptions(trial, "PFS", COVARIATES),
        "immortal time simulated, 2,000 trials": lambda: cox.simulate_immortal_time(trial, "PFS"),
        "attained size and coverage of three models, 2,000 trials": lambda: attained_cox(
            sizes, plans, models, jobs=1
        ),
    }
    return [(name, time_median(step, 1), None, "s") for name, step in steps.items()]


if __name__ == "__main__":
    sys.exit(main())
