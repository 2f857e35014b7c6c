"""What `published.yaml` may hold: what a paper reported, claim by claim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from nkhcc_helpers.metadata import Date, Decimals, Model, Number, Text, TimeUnit, TrialMetadata
from nkhcc_helpers.problems import Problem, TrialDataError
from nkhcc_helpers.reading import YamlBlock, format_path, read_yaml
from nkhcc_helpers.validation import list_entries, validate_block


class GroupSize(Model):
    """Subjects in one group."""

    kind: Literal["group_size"]
    group: Text
    value: Annotated[int, Field(ge=0)]


class TotalSize(Model):
    """Subjects in the trial."""

    kind: Literal["total_size"]
    value: Annotated[int, Field(ge=0)]


class FirstEnrolment(Model):
    """Date of the first enrolment."""

    kind: Literal["first_enrolment"]
    value: Date


class LastEnrolment(Model):
    """Date of the last enrolment."""

    kind: Literal["last_enrolment"]
    value: Date


class Median(Model):
    """Median time of one group, or of everyone when `group` is absent; display unit."""

    kind: Literal["median"]
    endpoint: Text
    group: Text | None = None
    value: Annotated[Number, Field(ge=0)]
    decimals: Decimals


class LogrankP(Model):
    """P value of the log-rank test across groups."""

    kind: Literal["logrank_p"]
    endpoint: Text
    value: Annotated[Number, Field(ge=0, le=1)]
    decimals: Decimals


class LongestFollowUp(Model):
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
    | LongestFollowUp
    | MostCommonRelatedEvent
    | TypicalResolution,
    Field(discriminator="kind"),
]


class Published(Model):
    """The contents of `published.yaml`: what a paper reported, claim by claim."""

    citation: Text
    claims: list[Claim]


_KNOWN_KEYS = {"": list(Published.model_fields)} | {
    get_args(claim.model_fields["kind"].annotation)[0]: list(claim.model_fields)
    for claim in get_args(get_args(Claim)[0])
}


def read_published(path: Path, metadata: TrialMetadata | None = None) -> Published:
    """Read `published.yaml`.

    Parameters
    ----------
    path : Path
        The file, or the folder it is in.
    metadata : TrialMetadata, optional
        When given, claims must name its groups and endpoints.

    Returns
    -------
    Published
        Its contents.

    Raises
    ------
    TrialDataError
        Listing every problem of the file.
    """
    problems: list[Problem] = []
    block = read_yaml(path / "published.yaml" if path.is_dir() else path, "published.yaml", problems)
    published = None
    if block is not None:
        published = validate_block(Published, block, "published.yaml", _KNOWN_KEYS, problems)
        if metadata is not None:
            groups = [arm.code for arm in metadata.arms]
            problems += _list_unknown(block, "group", groups, "is not an arm of trial.yaml")
            endpoints = [endpoint.code for endpoint in metadata.endpoints]
            problems += _list_unknown(block, "endpoint", endpoints, "is not an endpoint of trial.yaml")
    if problems or published is None:
        raise TrialDataError(problems)
    return published


def _list_unknown(block: YamlBlock, key: str, known: list[str], rule: str) -> list[Problem]:
    problems = []
    for at, entry in enumerate(list_entries(block, "claims")):
        value = entry.get(key)
        if isinstance(value, str) and value.strip() not in known:
            path = ("claims", at, key)
            said = f"{rule} ({', '.join(known)})"
            problems.append(Problem("published.yaml", block.lines.get(path), format_path(path), value, said))
    return problems
