"""What `trial.yaml` may hold."""

from __future__ import annotations

import datetime as dt
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nkhcc_helpers.trial.files import read_yaml
from nkhcc_helpers.trial.problems import (
    Problem,
    TrialDataError,
    YamlBlock,
    format_path,
    list_unknown,
    validate_block,
)

DAYS_PER_UNIT = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
"""Days in one unit of time."""
MOST_MONTHS = 240
"""A time of more than so many, of which no unit is told, is probably in days."""
ALL_GROUPS = "All"
"""Name of the row that takes every group together; no arm may bear it."""
_NOT_BASELINE = ("STUDYID", "USUBJID", "TRT01P", "TRT01A", "ENRLDT", "TRTSDT", "TRTEDT", "DTHDT")
_WORDED = ("SAFFL", "EOSSTT", "DCSREAS")
PLAIN_RELATION = dict.fromkeys(["Y", "YES", "RELATED", "SUSPECTED"], True)
PLAIN_RELATION |= dict.fromkeys(["N", "NO", "NONE", "NOT RELATED", "UNRELATED", "NOT SUSPECTED"], False)
"""Words of AEREL that leave nothing to suppose."""
_DEGREES = ["POSSIBLE", "POSSIBLY", "PROBABLE", "PROBABLY", "LIKELY", "VERY LIKELY", "HIGHLY PROBABLE"]
_DEGREES += ["DEFINITE", "DEFINITELY", "CERTAIN", "CERTAINLY"]
RELATED_WORDS = PLAIN_RELATION | dict.fromkeys([*_DEGREES, "REASONABLE POSSIBILITY"], True)
RELATED_WORDS |= {f"{degree} RELATED": True for degree in _DEGREES}
_DOUBTS = ["UNLIKELY", "NOT LIKELY", "REMOTE", "REMOTELY", "DOUBTFUL", "DOUBTFULLY", "IMPROBABLE"]
RELATED_WORDS |= dict.fromkeys([*_DOUBTS, *(f"{doubt} RELATED" for doubt in _DOUBTS)], False)
RELATED_WORDS |= {f"{degree} NOT RELATED": False for degree in ("PROBABLY", "DEFINITELY", "CERTAINLY")}
RELATED_WORDS |= dict.fromkeys(["NO REASONABLE POSSIBILITY", "DEFINITELY NOT", "PROBABLY NOT"], False)
RELATED_WORDS |= dict.fromkeys(["UNKNOWN", "NOT ASSESSABLE", "UNASSESSABLE", "UNCLASSIFIABLE"])
RELATED_WORDS |= dict.fromkeys(["CONDITIONAL", "NOT EVALUABLE", "NOT APPLICABLE"])
"""Words of AEREL; an event unlikely to be related counts as not related, None is not known."""
TimeUnit = Literal["days", "weeks", "months", "years"]
Text = Annotated[str, Field(min_length=1)]
LARGEST = 1e30
"""No number of a trial is larger."""
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Decimals = Annotated[int, Field(ge=0, le=10)]
TableName = Literal["ADSL", "ADTTE", "ADEX", "ADAE", "ADRS"]


def _check_year(date: dt.date) -> dt.date:
    if not 1900 <= date.year < 2200:
        raise ValueError("must be a date from 1900 to 2199")
    return date


def _check_written(value: Any) -> Any:
    # A number would be taken for seconds since 1970.
    if isinstance(value, dt.date) or (isinstance(value, str) and re.match(r"\s*[0-9]{4}-", value)):
        return value
    raise ValueError("must be a date, YYYY-MM-DD")


Date = Annotated[dt.date, Field(strict=False), BeforeValidator(_check_written), AfterValidator(_check_year)]


def _check_scalar(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be text or a number; put anything else in quotes")
    if not isinstance(value, str) and not abs(value) <= LARGEST:
        raise ValueError("must be a finite number, or text in quotes")
    return value


def fold_word(text: str) -> str:
    """Return a word of a table for comparing: no matter its case, outer spaces, or 1.0 for 1."""
    return re.sub(r"(?<=[0-9])\.0+\Z", "", text.strip().upper())


Word = Annotated[Text, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class Model(BaseModel):
    """Base of every block: unknown keys are errors, text is not taken for numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)


class Arm(Model):
    """A dose group as planned, None where not known; `assumed`: numbers that the source does not give."""

    code: Text
    label: Text
    order: Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
    infusions: Annotated[int, Field(ge=1, le=10_000)] | None = None
    dose: Annotated[Number, Field(ge=0)] | None = None
    doses: list[Annotated[Number, Field(ge=0)]] | None = None
    interval_days: Annotated[Number, Field(gt=0, le=36_525)] | None = None
    assumed: list[Literal["dose", "infusions"]] = []

    @model_validator(mode="after")
    def _check_doses(self) -> Arm:
        if self.code.casefold() == ALL_GROUPS.casefold():
            raise ValueError(f"code {self.code!r} is kept for all groups together; choose another")
        unknown = [name for name in self.assumed if getattr(self, name) is None]
        if unknown:
            raise ValueError(f"assumed names {unknown[0]}, which is not given")
        if self.doses is None:
            return self
        if self.infusions is None or self.dose is None:
            raise ValueError("doses need the dose, which is their mean, and the infusions, their number")
        if len(self.doses) != self.infusions:
            raise ValueError(f"has {len(self.doses)} doses for {self.infusions} infusions")
        mean = math.fsum(self.doses) / len(self.doses)
        if not math.isclose(mean, self.dose, rel_tol=1e-6, abs_tol=1e-9):
            raise ValueError(f"dose is {self.dose:g} but the mean of doses is {mean:g}")
        return self

    def plan_dose(self, dose: float) -> Arm:
        """The arm with another mean dose; of doses that rise or fall each by the same factor."""
        doses = self.doses and [each * dose / self.dose if self.dose else dose for each in self.doses]
        return self.model_copy(update={"dose": dose, "doses": doses})


def _upper(name: Any) -> Any:
    # Headers are read in upper case, so a column is found however it is written.
    return name.upper() if isinstance(name, str) else name


class Endpoint(Model):
    """A time-to-event endpoint.

    `paramcd`: its PARAMCD in ADTTE, unless given the `code`. `time_unit`: of its AVAL, unless given the
    trial's. `population`: in words, the only patients that have rows. `origin`: the date of ADSL that time
    counts from, with observation from STARTDT on. `competing`: the endpoint whose event competes.
    """

    code: Text
    label: Text
    role: Literal["progression_free_survival", "overall_survival", "other"] = "other"
    event: Text = "event"
    paramcd: str = ""
    time_unit: TimeUnit | None = None
    population: str = ""
    origin: Annotated[str, BeforeValidator(_upper)] = ""
    competing: str = ""

    @model_validator(mode="after")
    def _check_names(self) -> Endpoint:
        if self.competing == self.code:
            raise ValueError("an endpoint does not compete with itself; competing names another one")
        if self.origin in _NOT_BASELINE[:4]:
            raise ValueError(f"origin must be a date of ADSL, not {self.origin}")
        object.__setattr__(self, "paramcd", self.paramcd or self.code)
        return self


class BaselineColumn(Model):
    """A column of ADSL shown in the baseline table."""

    column: Annotated[Text, BeforeValidator(_upper)]
    label: Text
    unit: str = ""
    kind: Literal["continuous", "categorical"] = "continuous"
    levels: dict[str, Text] | None = None

    @property
    def is_categorical(self) -> bool:
        return self.kind == "categorical"

    @model_validator(mode="after")
    def _check_kind(self) -> BaselineColumn:
        if self.column in _NOT_BASELINE:
            raise ValueError(f"{self.column} is an identifier, an arm or a date, not a baseline column")
        if self.kind == "continuous" and (self.column in _WORDED or self.column.endswith("FL")):
            raise ValueError(f"{self.column} holds words, not numbers; write kind: categorical")
        if self.levels is not None and self.kind == "continuous":
            raise ValueError("levels are for columns of kind categorical")
        return self


class EventFlag(Model):
    """The column of ADTTE that says in words who had the event, where CNSR does not."""

    column: Annotated[Text, BeforeValidator(_upper)]
    event: Annotated[list[Word], Field(min_length=1)]
    censored: Annotated[list[Word], Field(min_length=1)]

    def read(self, cells: pd.Series) -> pd.Series:
        """Return CNSR that words stand for, whatever their case: 0 the event, 1 censored, NaN neither."""
        meant = {fold_word(word): 1.0 for word in self.censored}
        meant |= {fold_word(word): 0.0 for word in self.event}
        return cells.map(fold_word, na_action="ignore").map(meant).astype(float)

    @model_validator(mode="after")
    def _check_words(self) -> EventFlag:
        both = set(map(fold_word, self.event)) & set(map(fold_word, self.censored))
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: is under event and under censored; keep one")
        if self.column in ("USUBJID", "PARAMCD", "AVAL"):
            raise ValueError(f"column {self.column} does not say who had the event")
        return self


class AdverseEventSource(Model):
    """Whether adverse events were collected, and how they were coded."""

    collected: bool = True
    dictionary: str = ""


class ExposureSource(Model):
    """Whether it was collected what each patient was given."""

    collected: bool = True


class ResponseSource(Model):
    """PARAMCD of ADRS: of the best overall response (else BOR, or CBOR), of percent change of tumour size."""

    best: str = ""
    change: str = ""


class Assumption(Model):
    """Something an analysis needs and the source does not say; `of` doses where a parameter may change it."""

    what: Text
    value: Annotated[str | int | float, BeforeValidator(_check_scalar)]
    why: Text
    of: Literal["", "dose"] = ""


class TrialMetadata(Model):
    """The contents of `trial.yaml`; `arms` are sorted by `order`.

    `tables`: files of tables of other names. `left_out`: words of TRT01P whose patients no table keeps.
    `date_order`: of dates such as 09/07/2012. `event_flag`: in the place of CNSR. `treatment_word`: what one
    treatment is called. `related` and `not_related`: more words of AEREL.
    """

    study_id: Text
    title: Text
    registration: str = ""
    source: str = ""
    provenance: Literal["illustrative", "real"]
    time_unit: TimeUnit
    display_time_unit: TimeUnit = "months"
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    data_cut_off: Date | None = None
    tables: dict[TableName, Text] = {}
    left_out: list[str] = []
    arms: Annotated[list[Arm], Field(min_length=1)]
    dose_unit: str = ""
    treatment_word: Text = "infusion"
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    event_flag: EventFlag | None = None
    baseline: list[BaselineColumn] = []
    adverse_events: AdverseEventSource = AdverseEventSource()
    exposure: ExposureSource = ExposureSource()
    response: ResponseSource | None = None
    related: list[Text] = []
    not_related: list[Text] = []
    assumptions: list[Assumption] = []

    @property
    def codes(self) -> dict[str, str]:
        """The code of the endpoint for each PARAMCD."""
        return {endpoint.paramcd: endpoint.code for endpoint in self.endpoints}

    @property
    def units(self) -> dict[str, str]:
        """The unit of AVAL of each endpoint, by its code."""
        return {endpoint.code: endpoint.time_unit or self.time_unit for endpoint in self.endpoints}

    @property
    def days(self) -> dict[str, float]:
        """How many days one unit of AVAL of each endpoint is, by its code."""
        return {code: DAYS_PER_UNIT[unit] for code, unit in self.units.items()}

    @property
    def flag(self) -> str:
        """The column of ADTTE that says who had the event."""
        return self.event_flag.column if self.event_flag is not None else "CNSR"

    @property
    def relation_words(self) -> dict[str, bool | None]:
        """What each word of AEREL means, in upper case."""
        listed = {word.upper(): True for word in self.related}
        return RELATED_WORDS | listed | {word.upper(): False for word in self.not_related}

    @model_validator(mode="after")
    def _check_words(self) -> TrialMetadata:
        both = {word.upper() for word in self.related} & {word.upper() for word in self.not_related}
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: is under related and under not_related; keep one")
        if arms := [arm.code for arm in self.arms if arm.code in self.left_out]:
            raise ValueError(f"{', '.join(arms)}: is an arm and under left_out; keep one")
        return self

    @model_validator(mode="after")
    def _sort_arms(self) -> TrialMetadata:
        self.arms.sort(key=lambda arm: arm.order)
        return self


_BLOCKS = {
    "": TrialMetadata,
    "arms": Arm,
    "endpoints": Endpoint,
    "event_flag": EventFlag,
    "baseline": BaselineColumn,
    "adverse_events": AdverseEventSource,
    "exposure": ExposureSource,
    "response": ResponseSource,
    "assumptions": Assumption,
}
_KNOWN_KEYS = {name: list(block.model_fields) for name, block in _BLOCKS.items()}
_DIFFERENT = {
    "arms": ["code", "label", "order"],
    "endpoints": ["code", "paramcd", "label", "role"],
    "baseline": ["column"],
}


def read_metadata(path: Path) -> TrialMetadata:
    """Read `trial.yaml`, or the one in a folder; TrialDataError lists every problem of it."""
    problems: list[Problem] = []
    block = read_yaml(path / "trial.yaml" if path.is_dir() else path, "trial.yaml", problems)
    metadata = None
    if block is not None:
        metadata = validate_block(TrialMetadata, block, "trial.yaml", _KNOWN_KEYS, problems)
        for name, keys in _DIFFERENT.items():
            for key in keys:
                problems += _list_repeated(block, name, key)
        codes = [str(endpoint.get("code", "")).strip() for endpoint in block.list_entries("endpoints")]
        rule = "is not an endpoint of trial.yaml"
        problems += list_unknown(block, "trial.yaml", ("endpoints", "competing"), codes, rule)
    if problems or metadata is None:
        raise TrialDataError(problems)
    return metadata


def _list_repeated(block: YamlBlock, name: str, key: str) -> list[Problem]:
    seen: dict[str, tuple[int | None, bool]] = {}
    problems = []
    for at, entry in enumerate(block.list_entries(name)):
        # An endpoint without a PARAMCD of its own has its code for one.
        is_told = key in entry
        path = (name, at, key if is_told or key != "paramcd" else "code")
        value, row = str(entry.get(path[-1], "")).strip(), block.lines.get(path)
        folded = value.upper() if key == "column" else value
        if folded in seen and (is_told or seen[folded][1]):
            rule = f"is there already in row {seen[folded][0]}; each must be different"
            problems.append(Problem("trial.yaml", row, format_path(path), value, rule))
        elif path[-1] in entry and (key, value) != ("role", "other"):
            seen.setdefault(folded, (row, is_told))
    return problems


def find_endpoint(metadata: TrialMetadata | None, role: str) -> str | None:
    """Return the code of the endpoint with a role; None without one."""
    endpoints = metadata.endpoints if metadata is not None else []
    return next((endpoint.code for endpoint in endpoints if endpoint.role == role), None)


def pluralize(word: str) -> str:
    """Return the plural of an English noun: patches, doses, therapies."""
    if word.endswith("y") and word[-2:-1].casefold() not in set("aeiou"):
        return f"{word[:-1]}ies"
    return f"{word}{'es' if word.endswith(('s', 'x', 'z', 'ch', 'sh')) else 's'}"


def count_noun(n: int, word: str) -> str:
    """Return a number with its noun, singular or plural: 1 infusion, 2 patches."""
    return f"{n} {word if n == 1 else pluralize(word)}"


def convert(one, other):
    """How many of unit `other` one of unit `one` is."""
    return DAYS_PER_UNIT[one] / DAYS_PER_UNIT[other]
