"""The few numbers that stand for a page: what is compared when it is made again in another way."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from nkhcc_helpers.report.results import format_json_value


@dataclass(frozen=True)
class Headline:
    """A number that a page would state first; NaN, shown as NE, where it or a limit of it is no number.

    With `null` it has a direction, and limits that leave the null out or not; with `level` it is a P value.
    """

    name: str
    label: str  # for a reader, such as "Ordered trend, permuted P"
    value: float
    ci_lower: float = math.nan
    ci_upper: float = math.nan
    null: float | None = None  # value of no effect: 1 of a ratio, 0 of a difference
    level: float | None = None  # at or below it the conclusion is drawn
    unit: str = ""
    log: bool = False  # drawn on a logarithmic axis

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.label.strip():
            raise ValueError("a headline needs a name and a label")
        for field in ("value", "ci_lower", "ci_upper"):
            object.__setattr__(self, field, _read_number(getattr(self, field)))
        if self.ci_lower > self.ci_upper:
            raise ValueError(f"{self.name}: {self.ci_lower} cannot be the limit below {self.ci_upper}")
        if self.null is not None and not math.isfinite(self.null):
            raise ValueError(f"{self.name}: null must be a number, not {self.null}")
        if self.level is None:
            return
        if not 0 < self.level < 1:
            raise ValueError(f"{self.name}: level must lie between 0 and 1, not {self.level}")
        if self.value < 0 or self.value > 1:
            raise ValueError(f"{self.name}: a P value lies between 0 and 1, not at {self.value}")


def _read_number(value: Any) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else math.nan


def keep_headline(kept: dict[str, Any], headline: Headline) -> None:
    """Add a headline, as strict JSON holds it, to those of a page; a cell run again adds nothing.

    ValueError where another one has its name.
    """
    plain = format_json_value(asdict(headline))
    name = plain.pop("name")
    if kept.setdefault(name, plain) != plain:
        raise ValueError(f"two headlines of this page would be called {name!r}")
