"""The few numbers that stand for a page: what is compared when it is made again in another way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nkhcc_helpers.report.numbers import HeadlineKind
from nkhcc_helpers.report.results import is_missing


@dataclass(frozen=True)
class Headline:
    """A number that a page would state first; NaN where it, or a limit of it, is not estimable.

    With `null` it has a direction, and limits that leave the null out or not; with `level` it is a P value.
    """

    name: str
    label: str  # for a reader, such as "Ordered trend, permuted P"
    value: float
    ci_lower: float | None = None  # None where it has no limits at all
    ci_upper: float | None = None
    null: float | None = None  # value of no effect: 1 of a ratio, 0 of a difference
    level: float | None = None  # at or below it the conclusion is drawn
    error: float | None = None  # Monte-Carlo standard error of a simulated P value; None where it is exact
    unit: str = ""
    kind: HeadlineKind = "number"  # how it is written and drawn; "p" goes with a level
    has_direction: bool = True  # False where another headline has the same value, with other limits

    def __post_init__(self) -> None:
        for field in ("value", "ci_lower", "ci_upper"):
            number = getattr(self, field)
            if field == "value" or number is not None:
                object.__setattr__(self, field, math.nan if is_missing(number) else float(number))
        if self.kind in ("time", "ratio") and self.ci_lower == 0:  # which excludes nothing
            object.__setattr__(self, "ci_lower", math.nan)
        object.__setattr__(self, "error", None if is_missing(self.error) else float(self.error) or None)
        if None not in (self.ci_lower, self.ci_upper) and self.ci_lower > self.ci_upper:
            raise ValueError(f"{self.name}: {self.ci_lower} cannot be the limit below {self.ci_upper}")
        if self.level is not None:
            object.__setattr__(self, "kind", "p")
            # 1 - 0.9 is a little less than 0.1, which a P value can be.
            object.__setattr__(self, "level", round(self.level, 12))
            if self.value < 0 or self.value > 1:
                raise ValueError(f"{self.name}: a P value lies between 0 and 1, not at {self.value}")
            if (self.ci_lower, self.ci_upper) != (None, None):
                raise ValueError(f"{self.name}: a P value has no limits")


def read_headlines(
    name: str, label: str, rows: pd.DataFrame, value: str, labels: Any, limits: str = "ci", **fields: Any
) -> Iterator[dict[str, Any]]:
    """Fields of a headline for each row: its index fills the ``{}`` of `name`, `labels` call it in `label`.

    `value` is a column; so are limits ``ci_lower ci_upper``, or others of `limits`, of what is no P value,
    and the Monte-Carlo standard error of one that is, ``<value>_error``. Others than the usual limits are of
    an estimate whose direction another headline tells.
    """
    for key, row in rows.iterrows():
        found = {"name": name.format(key), "label": label.format(labels.get(key, key)), "value": row[value]}
        if "level" in fields:
            found["error"] = row.get(f"{value}_error")
        else:
            found["has_direction"] = limits == "ci"
            found |= {f"ci_{end}": row.get(f"{limits}_{end}") for end in ("lower", "upper")}
        yield found | fields
