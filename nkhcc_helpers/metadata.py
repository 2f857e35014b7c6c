"""What `trial.yaml` and `published.yaml` may hold."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nkhcc_helpers.problems import Problem, TrialDataError
from nkhcc_helpers.reading import YamlBlock, format_path, read_yaml
from nkhcc_helpers.validation import list_block_problems

DAYS_PER_UNIT = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
"""Days in one unit of time."""

ALL_GROUPS = "All"
"""Name of the row that takes every group together; no arm may bear it."""

TimeUnit = Literal["days", "weeks", "months", "years"]
Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Decimals = Annotated[int, Field(ge=0, le=10)]
Date = Annotated[dt.date, Field(strict=False)]


def _check_scalar(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be text or a number; put anything else in quotes")
    return value


def _text_codes(levels: Any) -> Any:
    """Level codes written as numbers in YAML are compared with the text of a CSV cell."""
    if not isinstance(levels, dict):
        return levels
    return {str(code) if type(code) in (int, float) else code: label for code, label in levels.items()}


class Model(BaseModel):
    """Base of every block: unknown keys are errors, text is not taken for numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)


class Arm(Model):
    """A dose group as planned."""

    code: Text
    label: Text
    order: int
    infusions: Annotated[int, Field(ge=1)]
    dose: Annotated[Number, Field(ge=0)]
    doses: list[Annotated[Number, Field(ge=0)]] | None = None
    interval_days: Annotated[Number, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _check_doses(self) -> Arm:
        if self.code.casefold() == ALL_GROUPS.casefold():
            raise ValueError(f"code {self.code!r} is kept for all groups together; choose another")
        if self.doses is None:
            return self
        if len(self.doses) != self.infusions:
            raise ValueError(f"has {len(self.doses)} doses for {self.infusions} infusions")
        mean = math.fsum(self.doses) / len(self.doses)
        if not math.isclose(mean, self.dose, rel_tol=1e-6, abs_tol=1e-9):
            raise ValueError(f"dose is {self.dose:g} but the mean of doses is {mean:g}")
        return self


class Endpoint(Model):
    """A time-to-event endpoint; `code` is its PARAMCD."""

    code: Text
    label: Text
    role: Literal["progression_free_survival", "overall_survival", "other"] = "other"
    event: Text = "event"


class BaselineColumn(Model):
    """A column of ADSL shown in the baseline table."""

    column: Text
    label: Text
    unit: str = ""
    kind: Literal["continuous", "categorical"] = "continuous"
    levels: Annotated[dict[str, Text], BeforeValidator(_text_codes)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _upper_column(cls, data: Any) -> Any:
        # Headers are read in upper case, so a column is found however it is written.
        if isinstance(data, dict) and isinstance(data.get("column"), str):
            return data | {"column": data["column"].upper()}
        return data

    @model_validator(mode="after")
    def _check_levels(self) -> BaselineColumn:
        if self.levels is not None and self.kind == "continuous":
            raise ValueError("levels are for columns of kind categorical")
        return self


class AdverseEventSource(Model):
    """Whether adverse events were collected, and how they were coded."""

    collected: bool = True
    dictionary: str = ""


class Assumption(Model):
    """Something an analysis needs and the source does not say."""

    what: Text
    value: Annotated[str | int | float, BeforeValidator(_check_scalar)]
    why: Text


class TrialMetadata(Model):
    """The contents of `trial.yaml`; `arms` are sorted by `order`."""

    study_id: Text
    title: Text
    registration: str = ""
    source: str = ""
    provenance: Literal["illustrative", "real"]
    time_unit: TimeUnit
    display_time_unit: TimeUnit = "months"
    data_cut_off: Date | None = None
    arms: Annotated[list[Arm], Field(min_length=1)]
    dose_unit: str = ""
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    baseline: list[BaselineColumn] = []
    adverse_events: AdverseEventSource = AdverseEventSource()
    assumptions: list[Assumption] = []

    @model_validator(mode="after")
    def _sort_arms(self) -> TrialMetadata:
        self.arms.sort(key=lambda arm: arm.order)
        return self


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


def read_metadata(path: Path) -> TrialMetadata:
    """Read `trial.yaml`.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    TrialMetadata
        Its contents, arms sorted by `order`.

    Raises
    ------
    TrialDataError
        Listing every problem of the file.
    """
    problems: list[Problem] = []
    table = "trial.yaml"
    block = read_yaml(path, table, problems)
    metadata = None
    if block is not None:
        metadata = _validate(TrialMetadata, block, table, problems)
        for name, key in [("arms", "code"), ("arms", "label"), ("arms", "order"), ("endpoints", "code")]:
            problems += _list_repeated(block, table, name, key)
        problems += _list_repeated(block, table, "endpoints", "label")
        problems += _list_repeated(block, table, "endpoints", "role", free=("other",))
        problems += _list_repeated(block, table, "baseline", "column")
    if problems or metadata is None:
        raise TrialDataError(problems)
    return metadata


def read_published(path: Path, metadata: TrialMetadata | None = None) -> Published:
    """Read `published.yaml`.

    Parameters
    ----------
    path : Path
        The file.
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
    table = "published.yaml"
    block = read_yaml(path, table, problems)
    published = None
    if block is not None:
        published = _validate(Published, block, table, problems)
        if metadata is not None:
            groups = [arm.code for arm in metadata.arms]
            problems += _list_unknown(block, "group", groups, "is not an arm of trial.yaml")
            endpoints = [endpoint.code for endpoint in metadata.endpoints]
            problems += _list_unknown(block, "endpoint", endpoints, "is not an endpoint of trial.yaml")
    if problems or published is None:
        raise TrialDataError(problems)
    return published


_Read = TypeVar("_Read", bound=Model)

_KNOWN_KEYS = {
    "": list(TrialMetadata.model_fields),
    "arms": list(Arm.model_fields),
    "endpoints": list(Endpoint.model_fields),
    "baseline": list(BaselineColumn.model_fields),
    "adverse_events": list(AdverseEventSource.model_fields),
    "assumptions": list(Assumption.model_fields),
}

_CLAIM_KEYS = {"": list(Published.model_fields)} | {
    get_args(claim.model_fields["kind"].annotation)[0]: list(claim.model_fields)
    for claim in get_args(get_args(Claim)[0])
}


def _validate(model: type[_Read], block: YamlBlock, table: str, problems: list[Problem]) -> _Read | None:
    try:
        return model.model_validate(block.data)
    except ValidationError as error:
        known_keys = _KNOWN_KEYS if model is TrialMetadata else _CLAIM_KEYS
        problems += list_block_problems(error, block, table, known_keys)
        return None


def _list_entries(block: YamlBlock, name: str) -> list[dict[Any, Any]]:
    """Return a list of blocks as far as it is one, so that other faults do not hide repeated names."""
    entries = block.data.get(name)
    if not isinstance(entries, list):
        return []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _list_repeated(
    block: YamlBlock, table: str, name: str, key: str, *, free: tuple[str, ...] = ()
) -> list[Problem]:
    seen: dict[str, int | None] = {}
    problems = []
    for at, entry in enumerate(_list_entries(block, name)):
        path = (name, at, key)
        value, row = str(entry.get(key, "")).strip(), block.lines.get(path)
        if value in seen:
            rule = f"is there already in row {seen[value]}; each must be different"
            problems.append(Problem(table, row, format_path(path), value, rule))
        elif key in entry and value not in free:
            seen[value] = row
    return problems


def _list_unknown(block: YamlBlock, key: str, known: list[str], rule: str) -> list[Problem]:
    problems = []
    for at, entry in enumerate(_list_entries(block, "claims")):
        value = entry.get(key)
        if isinstance(value, str) and value.strip() not in known:
            path = ("claims", at, key)
            said = f"{rule} ({', '.join(known)})"
            problems.append(Problem("published.yaml", block.lines.get(path), format_path(path), value, said))
    return problems
