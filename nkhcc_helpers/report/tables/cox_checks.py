"""Tables of how far to trust Cox models: tests and intervals put to trial, and treatment received."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nkhcc_helpers import cox
from nkhcc_helpers.report.display import Layout, lay_out_rows, number, p_value, shows_table
from nkhcc_helpers.report.names import FIT_NAMES, name_strata, name_treatment, show_endpoint, show_interval
from nkhcc_helpers.report.numbers import NOT_APPLICABLE, NOT_ESTIMABLE, format_percent, is_estimable
from nkhcc_helpers.report.tables.cox import (
    ASYMPTOTIC_NOTE,
    lay_out_models,
    name_too_many,
    show_covariate,
    show_limits,
    show_ratio,
)

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

SIMULATED_NOTE = (
    "{n_trials:,} trials each, without effect for tests and with the estimated one for intervals."
)
RECEIVED_NOTE = "NE: no event, nobody at risk differs, or the number follows the time, as under one plan."
MARK_NOTE = "* On the wrong side of the nominal level by more than three Monte-Carlo errors."
ATTAINED_NAMES = {
    "wald": "Partial, Wald",
    "likelihood ratio": "Partial, likelihood ratio",
    "firth wald": "Firth, Wald",
    "firth": "Firth, likelihood ratio",
    "permuted": "Permuted",
}


@shows_table(cox.fit_received, by_exposure=True)
def format_received(frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95) -> Layout:
    """One model on the same patients, infusions counted in several ways, from `fit_received`."""
    words = name_treatment(trial)
    landmark = frame["landmark"].max() if "landmark" in frame else np.nan
    return lay_out_rows(
        frame,
        {
            "{Words} counted".format(**words): _counted,
            "Patients": number("n"),
            "Events": number("n_events"),
            "Hazard ratio": show_ratio("hr"),
            show_interval(conf_level): show_limits("ci"),
            "P": p_value("p_value"),
        },
        title=f"{show_endpoint(endpoint, trial)}: hazard ratio for one {words['word']} more",
        notes=[
            "Below 1: events come later.",
            *([RECEIVED_NOTE] if frame["hr"].isna().any() else []),
            "Partial likelihood, ties by Efron.",
            ASYMPTOTIC_NOTE,
            *([f"Landmark: {landmark:.3g} {trial.unit}."] if is_estimable(landmark) else []),
        ],
    )


def _counted(row: dict) -> str:
    return FIT_NAMES.get(row["fit"], row["fit"])


@shows_table(cox.simulate_immortal_time)
def format_immortal_time(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    alpha: float = 0.05,
    why_not: str = "",
    stops_at_progression: bool = False,
) -> Layout:
    """How often each way to count infusions finds an effect where none is, from `simulate_immortal_time`."""
    words = name_treatment(trial)
    stop = "progression, which comes before the event" if stops_at_progression else "the event"
    return lay_out_rows(
        frame,
        {
            "{Words} counted".format(**words): _counted,
            "Percent rejected (Monte-Carlo error)": lambda row: _share(
                row["rejected"], row["error"], row["not_estimable"], above=alpha
            ),
            "Median hazard ratio for one {word} more".format(**words): show_ratio("median_hr"),
            "Without estimate": lambda row: format_percent(100 * row["not_estimable"], 1),
        },
        title="{Words} without any effect: who finds one?".format(**words),
        subtitle=f"{frame['n_trials'].max():,} simulated trials in which one hazard holds for everyone",
        notes=[
            f"Likelihood-ratio tests at a level of {format_percent(100 * alpha)}.",
            "A trial without estimate does not reject.",
            f"NE: {why_not}." if why_not else "{Words} stop at {stop}.".format(stop=stop, **words),
            MARK_NOTE,
        ],
    )


def _share(share: float, error: float, missing: float, *, above: float = 1.0, below: float = 0.0) -> str:
    """A percentage with its error, marked where it is surely on the wrong side of what is nominal."""
    if missing == 1:
        return NOT_ESTIMABLE
    if not is_estimable(share):
        return NOT_APPLICABLE
    wrong = share - 3 * error > above or share + 3 * error < below
    return f"{100 * share:.1f} ({100 * error:.1f}){' *' if wrong else ''}"


@shows_table(cox.attained_in_trial)
def format_attained_cox(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    endpoint: str = "",
    dose_coding: str = "relative",
    alpha: float = 0.05,
    n_trials: int | None = None,
    fewer_than: int = 0,
    too_many: int = 0,
    reference: str = "",
    strata: str = "",
) -> Layout:
    """How often each test rejects and each interval, of level 1 - `alpha`, holds the truth.

    Shows what `attained_in_trial` returns: shares between 0 and 1, a row per model, covariate and test.
    """
    found = {(row["model"], row["covariate"], row["test"]): row for row in frame.to_dict("records")}

    def spread(column: str, **bounds: float) -> dict[str, Callable]:
        """A column per test; what was not tested is not applicable."""

        def show(row: dict, test: str) -> str:
            of = found.get((row["model"], row["covariate"], test))
            if of is None:
                return NOT_APPLICABLE
            return _share(of[column], of[f"{column}_error"], of["not_estimable"], **bounds)

        return {
            ATTAINED_NAMES.get(test, test): lambda row, test=test: show(row, test)
            for test in frame["test"].unique()
        }

    level, confidence = format_percent(100 * alpha), format_percent(100 * (1 - alpha))
    return lay_out_models(
        frame[["model", "covariate"]].drop_duplicates(),
        trial,
        endpoint,
        {
            "": show_covariate(trial, dose_coding, reference=reference),
            f"Percent of trials rejected (nominal {level})": spread("rejected", above=alpha),
            f"Percent of intervals with the truth (nominal {confidence})": spread(
                "coverage", below=1 - alpha
            ),
        },
        block=lambda row: row["model"],
        title="How far to trust each test and each interval",
        subtitle="Simulated trials (Monte-Carlo error)",
        notes=[
            "A test without answer does not reject, an interval without limits does not hold.",
            MARK_NOTE,
            *_name_missing(frame),
            *([SIMULATED_NOTE.format(n_trials=n_trials)] if n_trials and not too_many else []),
            *([f"Not the {fewer_than:,} asked for, which so many patients make slow."] if fewer_than else []),
            *name_too_many("No trial is simulated", too_many),
            *name_strata(trial, strata),
        ],
    )


def _name_missing(frame: pd.DataFrame) -> list[str]:
    """A line on the tests that some trials, but not all, have no answer for."""
    some = frame[frame["not_estimable"].between(0, 1, inclusive="neither")]
    most = some.groupby("test", sort=False)["not_estimable"].max()
    names = [ATTAINED_NAMES.get(test, test) for test in most.index]
    told = [f"{name} {format_percent(100 * share, 1)}" for name, share in zip(names, most, strict=True)]
    return [f"Trials without answer, at most: {'; '.join(told)}."] if told else []
