"""Display tables of what published numbers can tell: answers, signs, conclusions, what narrows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.display import display_table
from nkhcc_helpers.labels import show_endpoint, show_method
from nkhcc_helpers.labels_compatible import (
    VERDICTS,
    gather_blocks,
    show_coded,
    show_conclusion,
    show_design,
    show_range,
    show_statistic,
    show_value,
)
from nkhcc_helpers.numbers import format_estimate, format_number, format_percent, format_ratio, is_estimable

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial import Trial

RANGE_NOTE = (
    "95 % range and sample range: over the cohorts sampled, so that they depend on the prior. Bounds: the "
    "smallest and largest values found by search; the true bounds are at least as wide as these."
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
        As in :func:`format_answers`.

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
    shown = gather_blocks(shown)
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
        As in :func:`format_answers`.

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
        labels={"conclusion": "Conclusion", "range": "Range of P or hazard ratio"}
        | {"share": "Share of the sample", "verdict": "Holds"},
        row_group="endpoint",
        notes=[
            "Under the assumptions named above. Range: over the sample and the bounds found.",
            "The share depends on the prior; the verdict only as far as the search may have missed a cohort.",
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
        Columns ``endpoint claim statistic lower upper width_ratio``, and ``ratio_lower ratio_upper`` where
        it is known how sure the ratio is.
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
            "ratio": [_show_ratio(row) for row in records],
        }
    )
    return display_table(
        gather_blocks(shown),
        title="What each claim is worth",
        labels={"claim": "Without the claim", "range": "95 % range", "ratio": "Times as wide"},
        row_group="block",
        notes=[
            "1.0: the claim narrows nothing that the others leave open. In brackets: how far the size of the "
            "samples lets the ratio be known, 95 % limits.",
            *notes,
        ],
    )


def format_candidates(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Numbers that were not printed, by how much of the spread they would leave.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``endpoint candidate target spread_left``.
    trial, notes
        As in :func:`format_answers`.

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
        gather_blocks(shown),
        title="What one more number would have told",
        labels={"candidate": "If this were printed", "left": "Spread left"},
        row_group="block",
        notes=[
            "Spread left: of the range of what heads the block, once the number is known as printed.",
            *notes,
        ],
    )


def _show_ratio(row: dict) -> str:
    if row["claim"] == "" or not is_estimable(row["width_ratio"]) or "ratio_lower" not in row:
        return format_number(row["width_ratio"], 1)
    return format_estimate(row["width_ratio"], row["ratio_lower"], row["ratio_upper"], 1)
