"""Display tables of what published numbers can tell: claims, diagnostics, answers, signs, conclusions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import show_endpoint, show_group, show_method
from nkhcc_helpers.labels_compatible import (
    CONVENTION_NAMES,
    PRIOR_NAMES,
    VERDICTS,
    show_claim,
    show_coded,
    show_conclusion,
    show_design,
    show_range,
    show_statistic,
    show_value,
)
from nkhcc_helpers.numbers import NOT_ESTIMABLE, format_number, format_percent, format_ratio, is_estimable

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.claimed_trial import ClaimedTrial
    from nkhcc_helpers.trial import Trial

RANGE_NOTE = (
    "95 % range and sample range: over the cohorts sampled, so that they depend on the prior. Bounds: smallest and "
    "largest values found by search; the true bounds are at least as wide as these."
)
TRUSTED_SIZE, TRUSTED_R_HAT, TRUSTED_DIFFERENCE = 400, 1.01, 3.0


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
        shown.sort_values("block", key=lambda blocks: blocks.map(_rank(shown["block"])), kind="stable"),
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
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "endpoint": [show_endpoint(row["endpoint"], trial) for row in records],
            "statistic": [show_statistic(row["statistic"], trial) for row in records],
            "mean": [show_value(row["mean"], row["statistic"]) for row in records],
            "effective_size": [format_number(row["effective_size"], 0) for row in records],
            "r_hat": [format_number(row["r_hat"], 3) for row in records],
            "starts_differ": [format_number(row["starts_differ"], 1) for row in records],
        }
    )
    return display_table(
        shown,
        title="Can the sample be trusted?",
        labels={"statistic": "Statistic", "mean": "Mean", "effective_size": "Effective sample size"}
        | {"r_hat": "R-hat", "starts_differ": "Difference of two starts (standard errors)"},
        row_group="endpoint",
        notes=[
            f"Wanted: an effective size of {TRUSTED_SIZE} or more, R-hat below {TRUSTED_R_HAT:g}, a difference between "
            f"-{TRUSTED_DIFFERENCE:g} and {TRUSTED_DIFFERENCE:g}. NE: the statistic does not vary, or too few cohorts.",
            *notes,
        ],
        illustrative=False,
    )


def format_answers(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    title: str = "What the compatible cohorts give",
    notes: Iterable[str] = (),
) -> GT:
    """The range of each statistic over all cohorts that give the published numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint statistic median lower upper smallest largest``, and ``bound_lower bound_upper``
        where bounds are known.
    trial : Trial
    title : str
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    pairs = {"range": ("lower", "upper"), "sampled": ("smallest", "largest")}
    bounded = "bound_lower" in frame and frame[["bound_lower", "bound_upper"]].notna().any(axis=None)
    pairs |= {"bounds": ("bound_lower", "bound_upper")} if bounded else {}
    shown = pd.DataFrame(
        {
            "endpoint": [show_endpoint(row["endpoint"], trial) for row in records],
            "statistic": [show_statistic(row["statistic"], trial) for row in records],
            "median": [show_value(row["median"], row["statistic"]) for row in records],
            **{
                name: [show_range(row[low], row[high], row["statistic"]) for row in records]
                for name, (low, high) in pairs.items()
            },
        }
    )
    return display_table(
        shown,
        title=title,
        labels={"statistic": "Statistic", "median": "Median of cohorts", "range": "95 % range"}
        | {"sampled": "Sample range", "bounds": "Bounds found"},
        row_group="endpoint",
        notes=[RANGE_NOTE if bounded else RANGE_NOTE.partition(" Bounds")[0], *notes],
    )


def format_signs(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Hazard ratios over all cohorts and codings, and how often they are above 1.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint design method covariate share_above lowest lower median upper highest``.
    trial, notes
        As in :func:`format_claims`.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "block": [
                f"{show_endpoint(row['endpoint'], trial)}: {show_coded(row['covariate'], trial).lower()}"
                for row in records
            ],
            "design": [show_design(row["design"], trial) for row in records],
            "method": [show_method(row["method"]) for row in records],
            "median": [format_ratio(row["median"]) for row in records],
            "range": [show_range(row["lower"], row["upper"], "hr") for row in records],
            "sampled": [show_range(row["lowest"], row["highest"], "hr") for row in records],
            "above": [format_percent(100 * row["share_above"]) for row in records],
        }
    )
    shown = shown.sort_values("block", key=lambda blocks: blocks.map(_rank(shown["block"])), kind="stable")
    return display_table(
        shown,
        title="Hazard ratios, coding by coding",
        labels={"design": "Coding", "method": "Method", "median": "Median of cohorts", "range": "95 % range"}
        | {"sampled": "Sample range", "above": "Cohorts with a ratio above 1"},
        row_group="block",
        notes=["Above 1: events come sooner. Both covariates stand in one model.", *notes],
    )


def format_conclusions(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Conclusions, and whether they hold in all, some or none of the compatible cohorts.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint conclusion statistic lowest highest share verdict``.
    trial, notes
        As in :func:`format_claims`.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "endpoint": [show_endpoint(row["endpoint"], trial) for row in records],
            "conclusion": [show_conclusion(row["statistic"], trial) for row in records],
            "range": [show_range(row["lowest"], row["highest"], row["statistic"]) for row in records],
            "share": [format_percent(100 * row["share"]) for row in records],
            "verdict": [VERDICTS.get(row["verdict"], str(row["verdict"]).capitalize()) for row in records],
        }
    )
    return display_table(
        shown,
        title="What holds in every cohort that gives the published numbers",
        labels={"conclusion": "Conclusion", "range": "Range of what it rests on"}
        | {"share": "Share of the sample", "verdict": "Holds"},
        row_group="endpoint",
        notes=[
            "Under the assumptions named above. Range: over the sample and the bounds found.",
            "The share depends on the prior; the verdict does so only as far as the search may have missed a cohort.",
            *notes,
        ],
    )


def format_narrowing(
    frame: pd.DataFrame, trial: Trial, claim_names: Mapping[str, str], *, notes: Iterable[str] = ()
) -> GT:
    """How much wider each answer becomes without one of the claims.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint claim statistic lower upper width_ratio``.
    trial : Trial
    claim_names : mapping of str to str
        Claim to what it is called.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "block": [
                f"{show_endpoint(row['endpoint'], trial)}: {show_statistic(row['statistic'], trial)}"
                for row in records
            ],
            "claim": [claim_names.get(row["claim"], str(row["claim"])) for row in records],
            "range": [show_range(row["lower"], row["upper"], row["statistic"]) for row in records],
            "ratio": [format_number(row["width_ratio"], 1) for row in records],
        }
    )
    return display_table(
        shown.sort_values("block", key=lambda blocks: blocks.map(_rank(shown["block"])), kind="stable"),
        title="What each claim is worth",
        labels={"claim": "Without the claim", "range": "95 % range", "ratio": "Times as wide"},
        row_group="block",
        notes=["1.0: the claim narrows nothing that the others leave open.", *notes],
    )


def format_candidates(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Numbers that were not printed, by how much of the spread they would leave.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint candidate target spread_left``.
    trial, notes
        As in :func:`format_claims`.

    Returns
    -------
    great_tables.GT
    """
    records = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "block": [
                f"{show_endpoint(row['endpoint'], trial)}: {show_statistic(row['target'], trial)}"
                for row in records
            ],
            "candidate": [show_statistic(row["candidate"], trial) for row in records],
            "left": [format_percent(100 * row["spread_left"]) for row in records],
        }
    )
    return display_table(
        shown.sort_values("block", key=lambda blocks: blocks.map(_rank(shown["block"])), kind="stable"),
        title="What one more number would have told",
        labels={"candidate": "If this were printed", "left": "Spread left"},
        row_group="block",
        notes=[
            "Spread left: of the range of what heads the block, once the number is known as printed.",
            *notes,
        ],
    )


def _rank(blocks: pd.Series) -> dict:
    """Place of each block, by where it first appears."""
    return {block: at for at, block in enumerate(dict.fromkeys(blocks))}


def _list_claim(claim: object, trial: Trial) -> tuple[str, str, str, str]:
    endpoint = getattr(claim, "endpoint", None)
    block = show_endpoint(endpoint, trial) if endpoint else "Follow-up"
    half, percent = 0.5 * 10.0**-claim.decimals, " %" if claim.kind == "landmark_rate" else ""
    lowest = max(claim.value - half, 0.0)
    ends = (f"{end:.{claim.decimals + 1}f}" for end in (lowest, claim.value + half))
    printed = f"{claim.value:.{claim.decimals}f}{percent}"
    return block, show_claim(claim, trial, endpoint=False), printed, f"{' to '.join(ends)}{percent}"


def _show_recorded(held: object) -> str:
    if not held.recorded_decimals:
        return f"whole {held.recorded_unit}"
    return f"{held.recorded_unit} with {held.recorded_decimals} decimals"


def _show_order(claimed: ClaimedTrial, trial: Trial) -> str:
    if not claimed.ordered:
        return "none"
    first, second = (show_endpoint(code, trial, within=True) for code in claimed.ordered)
    return f"{first} never longer than {second}"


def _show_censored(censored: object, unit: str) -> str:
    if censored is None:
        return "none"
    count = f"{censored.fewest} to {censored.most}" if censored.fewest < censored.most else f"{censored.most}"
    times = [f"from {censored.earliest:g} {unit} on"] if is_estimable(censored.earliest) else []
    times += [f"up to {censored.latest:g} {unit}"] if is_estimable(censored.latest) else []
    return f"{count}, {' '.join(times) or 'at any time'}"
