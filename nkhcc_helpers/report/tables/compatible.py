"""Display tables of what published numbers can tell: answers, signs, conclusions, what narrows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.identification.answers import (
    TRUSTED_DIFFERENCE,
    TRUSTED_R_HAT,
    TRUSTED_SIZE,
    pick_statistics,
)
from nkhcc_helpers.report.display import Layout, lay_out_rows, number, shows_table
from nkhcc_helpers.report.names import (
    CONVENTION_NAMES,
    PRIOR_NAMES,
    RATIO,
    VERDICTS,
    show_claim,
    show_coded,
    show_conclusion,
    show_design,
    show_endpoint,
    show_group,
    show_method,
    show_range,
    show_statistic,
    show_value,
)
from nkhcc_helpers.report.numbers import (
    format_estimate,
    format_number,
    format_percent,
    format_ratio,
    is_estimable,
)

if TYPE_CHECKING:
    from nkhcc_helpers.compatible.claims import ClaimedTrial
    from nkhcc_helpers.trial.trial import Trial


RANGE_NOTE = (
    "95 % range and sample range: over the cohorts sampled, so that they depend on the prior. A median that "
    "a cohort does not reach, NE, is counted as later than any."
)
BOUNDS_NOTE = (
    "Bounds: the smallest and largest values found by search; the true bounds are at least as wide as these."
)
DRAWS_NOTE = (
    "Permuted P: over all allocations, or random ones where there are too many. Of these {n_draws:,}: "
    "standard error {error:.4f} at P = {alpha:g}."
)


@shows_table(illustrative=False)
def format_claims(claimed: ClaimedTrial, trial: Trial) -> Layout:
    """What was printed, and the interval that each printed number of a `ClaimedTrial` stands for."""
    sizes = [("Patients", show_group(group, trial), str(n), f"{n}") for group, n in claimed.sizes.items()]
    rows = [_list_claim(claim, trial) for claim in claimed.claims]
    shown = pd.DataFrame([*sizes, *rows], columns=["block", "claim", "printed", "stands_for"])
    return lay_out_rows(
        shown,
        {"Claim": "claim", "Printed": "printed", "Stands for": "stands_for"},
        block=lambda row: row["block"],
        title="What is claimed",
        notes=[f"Times in {trial.unit} unless named. A printed number stands for all that round to it."],
    )


@shows_table(illustrative=False)
def format_assumptions(claimed: ClaimedTrial, trial: Trial) -> Layout:
    """What the claims of a `ClaimedTrial` do not say and has to be assumed."""
    held, unit = claimed.assumptions, trial.unit
    times = f"{_show_limit(held.shortest)} to {_show_limit(held.longest)} {unit}"
    rows = [
        ("Median where a curve is flat at one half", CONVENTION_NAMES[held.median_convention]),
        ("Times are recorded in", _show_recorded(held)),
        ("Shortest and longest time possible", times),
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
    return lay_out_rows(
        pd.DataFrame(rows, columns=["what", "assumed"]),
        {"About": "what", "Assumed": "assumed"},
        title="What is assumed",
        notes=["No number in a report says these things; change them and see what moves."],
    )


def _list_claim(claim: object, trial: Trial) -> tuple[str, str, str, str]:
    endpoint = getattr(claim, "endpoint", None)
    block = show_endpoint(endpoint, trial) if endpoint else "Follow-up"
    percent = " %" if claim.kind == "landmark_rate" else ""
    ends = (f"{end:.{claim.decimals + 1}f}" for end in claim.limits)
    printed = f"{claim.value:.{claim.decimals}f}{percent}"
    return block, show_claim(claim, trial), printed, f"{' to '.join(ends)}{percent}"


def _show_limit(time: float) -> str:
    return f"{float(format_ratio(time)):g}" if time >= 0.00005 else f"{time:.1g}"


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
    times = [f"from {_show_limit(censored.earliest)} {unit} on"] if is_estimable(censored.earliest) else []
    times += [f"up to {_show_limit(censored.latest)} {unit}"] if is_estimable(censored.latest) else []
    return f"{count}, {' '.join(times) or 'at any time'}"


@shows_table(illustrative=False)
def format_cohort_diagnostics(frame: pd.DataFrame, trial: Trial) -> Layout:
    """Whether the sample of cohorts can be trusted, statistic by statistic, from `diagnose`."""
    return lay_out_rows(
        frame,
        {
            "Statistic": lambda row: show_statistic(row["statistic"], trial),
            "Mean": lambda row: show_value(row["mean"], row["statistic"]),
            "Effective sample size": number("effective_size"),
            "R-hat": number("r_hat", 3),
            "Difference of two starts (standard errors)": number("starts_differ", 1),
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
        ],
    )


@shows_table(illustrative=False)
def format_answers(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    title: str = "What the compatible cohorts give",
    n_draws: int = 0,
    alpha: float = 0.05,
) -> Layout:
    """The range of each statistic over all cohorts that give the published numbers, from `summarize_answers`.

    Of `n_draws` random allocations behind permuted P-values, a note says how sure these are at level `alpha`.
    """
    error = math.sqrt(alpha * (1 - alpha) / max(n_draws, 1))
    columns = {"Statistic": lambda row: show_statistic(row["statistic"], trial)}
    if "share_known" in frame and (frame["share_known"] < 1).any():
        columns["Cohorts that have it"] = lambda row: format_percent(100 * row["share_known"])
    columns |= {
        "Median of cohorts": lambda row: show_value(row["median"], row["statistic"]),
        "95 % range": lambda row: _show_ends(row, "lower", "upper"),
        "Sample range": lambda row: _show_ends(row, "smallest", "largest"),
    }
    bounded = "bound_lower" in frame and frame[["bound_lower", "bound_upper"]].notna().any(axis=None)
    if bounded:
        columns["Bounds found"] = lambda row: _show_ends(row, "bound_lower", "bound_upper")
    return lay_out_rows(
        frame,
        columns,
        block=lambda row: show_endpoint(row["endpoint"], trial),
        title=title,
        notes=[
            f"{RANGE_NOTE} {BOUNDS_NOTE}" if bounded else RANGE_NOTE,
            *([DRAWS_NOTE.format(n_draws=n_draws, error=error, alpha=alpha)] if n_draws else []),
        ],
    )


@shows_table(illustrative=False)
def format_signs(frame: pd.DataFrame, trial: Trial) -> Layout:
    """Hazard ratios over all cohorts and codings, and how often they are above 1, from `summarize_signs`."""
    return lay_out_rows(
        frame,
        {
            "Coding": lambda row: show_design(row["design"], trial),
            "Method": lambda row: show_method(row["method"]),
            "Median of cohorts": lambda row: format_ratio(row["median"]),
            "95 % range": lambda row: show_range(row["lower"], row["upper"], RATIO),
            "Sample range": lambda row: show_range(row["lowest"], row["highest"], RATIO),
            "Cohorts with a ratio above 1": lambda row: format_percent(100 * row["share_above"]),
            "Without an estimate": lambda row: format_percent(100 * row["share_not_estimable"]),
        },
        block=lambda row: _join(row, show_coded(row["covariate"], trial).lower(), trial),
        title="Hazard ratios, coding by coding",
        notes=[
            "Above 1: events come sooner. Both covariates stand in one model. Without an estimate: groups "
            "are separated, so that partial likelihood sends a ratio to 0 or out of all bounds; the other "
            "columns are of the cohorts that have one.",
        ],
    )


@shows_table(illustrative=False)
def format_conclusions(frame: pd.DataFrame, trial: Trial, *, alpha: float = 0.05) -> Layout:
    """Conclusions, and whether they hold in all, some or none of the cohorts, from `judge_conclusions`."""
    return lay_out_rows(
        frame,
        {
            "Conclusion": lambda row: show_conclusion(row["statistic"], trial),
            "Range of P or hazard ratio": lambda row: _show_ends(row, "lowest", "highest"),
            "Share of the sample": lambda row: format_percent(100 * row["share"]),
            "Holds": lambda row: VERDICTS.get(row["verdict"], str(row["verdict"]).capitalize()),
        },
        block=lambda row: show_endpoint(row["endpoint"], trial),
        title="What holds in every cohort that gives the published numbers",
        notes=[
            "Under the assumptions named above. Range: over the sample and the bounds found.",
            f"Groups differ, times rise or fall: P below {alpha:g}, not adjusted for several tests. A hazard "
            "ratio counts by its estimate alone, below 1, however sure it is.",
            "Share: of cohorts; for hazard ratios, of cohorts and codings together, those without an "
            "estimate counted among those in which it does not hold. It depends on the prior, the verdict "
            "only as far as the search may have missed a cohort.",
        ],
    )


@shows_table(illustrative=False)
def format_narrowing(
    frame: pd.DataFrame, trial: Trial, claim_names: Mapping[str, str], *, kind: str = "permutation_p"
) -> Layout:
    """How much wider the answers of one kind become without one of the claims, from `obtain_narrowing`.

    `claim_names` are as of `list_claim_labels`.
    """
    return lay_out_rows(
        pick_statistics(frame, kind),
        {
            "Without the claim": lambda row: claim_names.get(row["claim"], str(row["claim"])),
            "95 % range": lambda row: _show_ends(row, "lower", "upper"),
            "Times as wide": _show_ratio,
        },
        block=lambda row: _join(row, show_statistic(row["statistic"], trial), trial),
        title="What each claim is worth",
        notes=[
            "1.0: the claim narrows nothing that the others leave open. In brackets: how far the size of the "
            "samples lets the ratio be known, 95 % limits. Without a claim there are more cohorts, never "
            "fewer; but those that the prior favours may be more alike, which gives a ratio below 1.",
        ],
    )


def _join(row: dict, name: str, trial: Trial) -> str:
    return f"{show_endpoint(row['endpoint'], trial)}: {name}"


def _show_ends(row: dict, lower: str, upper: str) -> str:
    return show_range(row[lower], row[upper], row["statistic"])


def _show_ratio(row: dict) -> str:
    if row["claim"] == "" or not is_estimable(row["width_ratio"]) or "ratio_lower" not in row:
        return format_number(row["width_ratio"], 1)
    return format_estimate(row["width_ratio"], row["ratio_lower"], row["ratio_upper"], 1)
