"""Display tables of what is claimed and assumed of a trial, and of how good a sample of cohorts is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.compatible_summaries import TRUSTED_DIFFERENCE, TRUSTED_R_HAT, TRUSTED_SIZE
from nkhcc_helpers.display import display_rows, display_table
from nkhcc_helpers.labels import show_endpoint, show_group
from nkhcc_helpers.labels_compatible import (
    CONVENTION_NAMES,
    PRIOR_NAMES,
    show_claim,
    show_statistic,
    show_value,
)
from nkhcc_helpers.numbers import format_number, is_estimable

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.claimed_trial import ClaimedTrial
    from nkhcc_helpers.trial import Trial


def format_claims(claimed: ClaimedTrial, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """What was printed, and the interval that each printed number stands for.

    Parameters
    ----------
    claimed : ClaimedTrial
    trial : Trial
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    sizes = [("Patients", show_group(group, trial), str(n), f"{n}") for group, n in claimed.sizes.items()]
    rows = [_list_claim(claim, trial) for claim in claimed.claims]
    shown = pd.DataFrame([*sizes, *rows], columns=["block", "claim", "printed", "stands_for"])
    return display_table(
        shown,
        title="What is claimed",
        labels={"claim": "Claim", "printed": "Printed", "stands_for": "Stands for"},
        row_group="block",
        notes=[
            f"Times in {trial.unit} unless named. A printed number stands for all that round to it.",
            *notes,
        ],
    )


def format_assumptions(claimed: ClaimedTrial, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """What the claims do not say and has to be assumed.

    Parameters
    ----------
    claimed, trial, notes
        As in :func:`format_claims`.

    Returns
    -------
    great_tables.GT
    """
    held, unit = claimed.assumptions, trial.unit
    rows = [
        ("Median where a curve is flat at one half", CONVENTION_NAMES[held.median_convention]),
        ("Times are recorded in", _show_recorded(held)),
        ("Shortest and longest time possible", f"{held.shortest:.4g} to {held.longest:.4g} {unit}"),
        ("Prior on each time, before any claim", PRIOR_NAMES[held.prior]),
        ("Order of the endpoints in each patient", _show_order(claimed, trial)),
    ]
    censored = {each.endpoint: each for each in held.censored}
    rows += [
        (
            f"Patients censored, {show_endpoint(code, trial, within=True)}",
            _show_censored(censored.get(code), unit),
        )
        for code in claimed.endpoints
    ]
    rows.append(("Who is censored", "every number as likely, any patients alike; their times as all times"))
    kinds = {claim.kind for claim in claimed.claims}
    if "logrank_p" in kinds:
        rows.append(("Test behind a log-rank P", "all groups, not stratified, chi-square distribution"))
    if "longest_follow_up" in kinds:
        last = show_endpoint(claimed.follow_up_endpoint, trial, within=True)
        rows.append(("Longest follow-up", f"longest time of {last}, with or without the event"))
    return display_table(
        pd.DataFrame(rows, columns=["what", "assumed"]),
        title="What is assumed",
        labels={"what": "About", "assumed": "Assumed"},
        notes=["No number in a report says these things; change them and see what moves.", *notes],
    )


def format_cohort_diagnostics(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Whether the sample of cohorts can be trusted, statistic by statistic.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint statistic mean sd effective_size r_hat starts_differ``.
    trial, notes
        As in :func:`format_claims`.

    Returns
    -------
    great_tables.GT
    """
    return display_rows(
        frame,
        {
            "Statistic": lambda row: show_statistic(row["statistic"], trial),
            "Mean": lambda row: show_value(row["mean"], row["statistic"]),
            "Effective sample size": lambda row: format_number(row["effective_size"], 0),
            "R-hat": lambda row: format_number(row["r_hat"], 3),
            "Difference of two starts (standard errors)": lambda row: format_number(row["starts_differ"], 1),
        },
        block=lambda row: show_endpoint(row["endpoint"], trial),
        title="Can the sample be trusted?",
        notes=[
            f"Wanted: an effective size of {TRUSTED_SIZE} or more, R-hat below {TRUSTED_R_HAT:g}, a "
            f"difference between -{TRUSTED_DIFFERENCE:g} and {TRUSTED_DIFFERENCE:g}. NE: the statistic does "
            "not vary, or there are too few cohorts; as a mean also where some cohorts do not reach a "
            "median, which is counted as later than any.",
            "Medians are midpoints of a flat stretch here, by whichever reading a claim was met; hazard "
            "ratios are of the first coding, as assumed.",
            *notes,
        ],
        illustrative=False,
    )


def _list_claim(claim: object, trial: Trial) -> tuple[str, str, str, str]:
    endpoint = getattr(claim, "endpoint", None)
    block = show_endpoint(endpoint, trial) if endpoint else "Follow-up"
    percent = " %" if claim.kind == "landmark_rate" else ""
    ends = (f"{end:.{claim.decimals + 1}f}" for end in claim.limits)
    printed = f"{claim.value:.{claim.decimals}f}{percent}"
    return block, show_claim(claim, trial, endpoint=False), printed, f"{' to '.join(ends)}{percent}"


def _show_recorded(held: object) -> str:
    if not held.recorded_decimals:
        return f"whole {held.recorded_unit}"
    plural = "s" if held.recorded_decimals > 1 else ""
    return f"{held.recorded_unit} with {held.recorded_decimals} decimal{plural}"


def _show_order(claimed: ClaimedTrial, trial: Trial) -> str:
    if not claimed.ordered:
        return "none"
    first, second = (show_endpoint(code, trial, within=True) for code in claimed.ordered)
    return f"{first} never longer than {second}; else independent"


def _show_censored(censored: object, unit: str) -> str:
    if censored is None:
        return "none"
    count = f"{censored.fewest} to {censored.most}" if censored.fewest < censored.most else f"{censored.most}"
    times = [f"from {censored.earliest:g} {unit} on"] if is_estimable(censored.earliest) else []
    times += [f"up to {censored.latest:g} {unit}"] if is_estimable(censored.latest) else []
    return f"{count}, {' '.join(times) or 'at any time'}"
