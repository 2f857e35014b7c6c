"""The few numbers that stand for a page: what is compared when it is made again in another way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nkhcc_helpers.report.results import is_missing


@dataclass(frozen=True)
class Headline:
    """A number that a page would state first; NaN where it, or a limit of it, is not estimable.

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
        for field in ("value", "ci_lower", "ci_upper"):
            number = getattr(self, field)
            object.__setattr__(self, field, math.nan if is_missing(number) else float(number))
        if self.level is not None:  # 1 - 0.9 is a little less than 0.1, which a P value can be
            object.__setattr__(self, "level", round(self.level, 12))
        if self.ci_lower > self.ci_upper:
            raise ValueError(f"{self.name}: {self.ci_lower} cannot be the limit below {self.ci_upper}")
        if self.level is not None and (self.value < 0 or self.value > 1):
            raise ValueError(f"{self.name}: a P value lies between 0 and 1, not at {self.value}")


def read_headlines(
    name: str, label: str, rows: pd.DataFrame, value: str, labels: Any, limits: str = "ci", **fields: Any
) -> Iterator[dict[str, Any]]:
    """Fields of a headline for each row: its index fills the ``{}`` of `name`, `labels` call it in `label`.

    `value` is a column; so are limits ``ci_lower ci_upper``, or others of `limits`, of what is no P value.
    """
    for key, row in rows.iterrows():
        found = {"name": name.format(key), "label": label.format(labels.get(key, key)), "value": row[value]}
        if "level" not in fields:
            found |= {f"ci_{end}": row.get(f"{limits}_{end}") for end in ("lower", "upper")}
        yield found | fields
