"""What `published.yaml` may hold: what a paper reported, claim by claim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from nkhcc_helpers.trial.files import read_yaml
from nkhcc_helpers.trial.metadata import Count, Date, Decimals, Model, Number, Text, TimeUnit, TrialMetadata
from nkhcc_helpers.trial.problems import Problem, TrialDataError, list_unknown, validate_block

Prior = Literal["log_uniform", "uniform"]
"""What times of compatible cohorts may be drawn from before any claim."""
ROUNDING = 1e-9  # relative, of a computed number against the limits of a printed one


class PrintedNumber(Model):
    """Base of claims of a number that was rounded to `decimals` when it was printed; none can be below 0."""

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number that the printed one stands for."""
        half = 0.5 * 10.0**-self.decimals
        return max(self.value - half, 0.0), self.value + half

    def covers(self, number):
        """Whether a number, or each of an array, lies within the limits: printed half up or half to even."""
        lowest, highest = self.limits
        slack = ROUNDING * max(highest, 1e-6)
        return (number >= lowest - slack) & (number <= highest + slack)


class GroupSize(Model):
    """Subjects in one group."""

    kind: Literal["group_size"]
    group: Text
    value: Count


class TotalSize(Model):
    """Subjects in the trial."""

    kind: Literal["total_size"]
    value: Count


class FirstEnrolment(Model):
    """Date of the first enrolment."""

    kind: Literal["first_enrolment"]
    value: Date


class LastEnrolment(Model):
    """Date of the last enrolment."""

    kind: Literal["last_enrolment"]
    value: Date


class Median(PrintedNumber):
    """Median time of one group, or of everyone when `group` is absent; display unit."""

    kind: Literal["median"]
    endpoint: Text
    group: Text | None = None
    value: Annotated[Number, Field(ge=0)]
    decimals: Decimals


class LogrankP(PrintedNumber):
    """P value of the log-rank test across groups."""

    kind: Literal["logrank_p"]
    endpoint: Text
    value: Annotated[Number, Field(ge=0, le=1)]
    decimals: Decimals


class HazardRatio(PrintedNumber):
    """Hazard ratio of one group to another, from a Cox model of these two; all others where none is named."""

    kind: Literal["hazard_ratio"]
    endpoint: Text
    group: Text
    reference: Text | None = None
    value: Annotated[Number, Field(gt=0)]
    decimals: Decimals


class LandmarkRate(PrintedNumber):
    """Percent without the event `at` a time, of one group or of everyone; display unit."""

    kind: Literal["landmark_rate"]
    endpoint: Text
    group: Text | None = None
    at: Annotated[Number, Field(ge=0)]
    value: Annotated[Number, Field(ge=0, le=100)]
    decimals: Decimals


class LongestFollowUp(PrintedNumber):
    """Longest follow-up, in `unit`."""

    kind: Literal["longest_follow_up"]
    value: Annotated[Number, Field(ge=0)]
    decimals: Decimals
    unit: TimeUnit


class MostCommonRelatedEvent(Model):
    """The most common treatment-related adverse event and its grade."""

    kind: Literal["most_common_related_event"]
    value: Text
    grade: Annotated[int, Field(ge=1, le=5)]


class TypicalResolution(Model):
    """Days within which an adverse event typically resolved."""

    kind: Literal["typical_resolution"]
    term: Text
    value: Annotated[Number, Field(ge=0)]


Claim = Annotated[
    GroupSize
    | TotalSize
    | FirstEnrolment
    | LastEnrolment
    | Median
    | LogrankP
    | HazardRatio
    | LandmarkRate
    | LongestFollowUp
    | MostCommonRelatedEvent
    | TypicalResolution,
    Field(discriminator="kind"),
]


class Censored(Model):
    """How many patients may be censored for an endpoint, and when; display unit, any time where not said."""

    endpoint: Text
    fewest: Count = 0
    most: Count
    earliest: Annotated[Number, Field(ge=0)] | None = None
    latest: Annotated[Number, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Censored:
        if self.fewest > self.most:
            raise ValueError("fewest must not be above most")
        if None not in (self.earliest, self.latest) and self.earliest > self.latest:
            raise ValueError("earliest must not be above latest")
        return self


class CohortAssumptions(Model):
    """What the paper does not say and the cohorts compatible with its claims are taken to be like.

    Times are whole multiples of 10^-`recorded_decimals` `recorded_unit`, between `shortest` and `longest`
    (display unit). An endpoint that `censored` does not name has no censored patient.
    """

    median_convention: Literal["midpoint", "first", "either"] = "either"
    recorded_unit: TimeUnit = "days"
    recorded_decimals: Decimals = 0
    prior: Prior = "log_uniform"
    shortest: Annotated[Number, Field(gt=0)]
    longest: Annotated[Number, Field(gt=0)]
    pfs_before_os: bool = True
    censored: tuple[Censored, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _check_range(self) -> CohortAssumptions:
        if self.shortest >= self.longest:
            raise ValueError("shortest must be below longest")
        return self


class Published(Model):
    """The contents of `published.yaml`: what a paper reported, claim by claim, and what is assumed beside."""

    citation: Text
    claims: list[Claim]
    assumptions: CohortAssumptions | None = None


_KNOWN_KEYS = {"": list(Published.model_fields), "assumptions": list(CohortAssumptions.model_fields)} | {
    get_args(claim.model_fields["kind"].annotation)[0]: list(claim.model_fields)
    for claim in get_args(get_args(Claim)[0])
}


def read_published(path: Path, metadata: TrialMetadata | None = None) -> Published:
    """Read what a paper reported.

    Parameters
    ----------
    path : Path
        `published.yaml`, or the folder it is in.
    metadata : TrialMetadata, optional
        When given, claims must name its groups and endpoints.

    Returns
    -------
    Published

    Raises
    ------
    TrialDataError
        Listing every problem of the file.
    """
    problems: list[Problem] = []
    path = path / "published.yaml" if path.is_dir() else path
    # Whatever its case, a trial's own file is called as everywhere else.
    name = "published.yaml" if path.name.casefold() == "published.yaml" else path.name
    block = read_yaml(path, name, problems)
    published = None
    if block is not None:
        published = validate_block(Published, block, name, _KNOWN_KEYS, problems)
        if metadata is not None:
            for key, what, known in (
                ("group", "an arm", metadata.arms),
                ("endpoint", "an endpoint", metadata.endpoints),
            ):
                codes = [each.code for each in known]
                problems += list_unknown(block, name, ("claims", key), codes, f"is not {what} of trial.yaml")
            problems.sort(key=lambda problem: problem.row or 0)
    if problems or published is None:
        raise TrialDataError(problems)
    return published
