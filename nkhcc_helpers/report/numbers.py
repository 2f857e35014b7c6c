"""Numbers as a reader sees them: fixed decimals, intervals, P values, counts of people.

Whatever is not estimable (missing, unbounded) prints ``NE``, never ``nan`` or ``inf``.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial
from typing import Literal

import pandas as pd

NOT_ESTIMABLE = "NE"
NOT_APPLICABLE = "-"
HeadlineKind = Literal["number", "time", "percent", "ratio", "p"]
"""How a headline is written."""


def is_estimable(value: object) -> bool:
    """Whether `value` is a finite number: not ``None``, ``NaN``, ``pandas.NA`` or ``NaT``."""
    if value is None or pd.isna(value):
        return False
    return math.isfinite(float(value))


def format_number(value: float, decimals: int = 1) -> str:
    """A number with a fixed count of decimals, ``4.8``; never a negative zero."""
    if not is_estimable(value):
        return NOT_ESTIMABLE
    shown = f"{float(value):.{decimals}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown


def format_large(count: int) -> str:
    """A count, however large: ``514,594,080``, but ``1.2 x 10^117`` from 10^15 on."""
    # A whole number may be larger than any float.
    mantissa, _, power = f"{Decimal(int(count)):.1E}".partition("E+")
    return f"{int(count):,}" if count < 10**15 else f"{mantissa} x 10^{power}"


def format_tick(tick: float) -> str:
    """A number on an axis: ``0.00001`` beside ``0.0001``; a power only where zeros would fill the axis."""
    short = f"{tick:g}"
    return f"{Decimal(short):f}" if 1e-7 < abs(tick) < 1e7 else short


def format_or_none(value: float, decimals: int = 0) -> str:
    """A number, or ``-`` where there is none to be had."""
    return format_number(value, decimals) if is_estimable(value) else NOT_APPLICABLE


def format_interval(lower: float, upper: float, decimals: int = 1) -> str:
    """The two ends of an interval or range: ``1.2 to NE`` when one is unbounded, ``NE`` when both are."""
    if not is_estimable(lower) and not is_estimable(upper):
        return NOT_ESTIMABLE
    return f"{format_number(lower, decimals)} to {format_number(upper, decimals)}"


def format_estimate(estimate: float, lower: float, upper: float, decimals: int = 1) -> str:
    """An estimate followed by its interval or range in brackets, ``4.8 (1.2 to 9.0)``."""
    if not any(is_estimable(value) for value in (estimate, lower, upper)):
        return NOT_ESTIMABLE
    return f"{format_number(estimate, decimals)} ({format_interval(lower, upper, decimals)})"


def format_median(median: float, lower: float, upper: float, decimals: int = 1) -> str:
    """A median time with its interval, in which a lower limit of 0 excludes nothing: ``4.8 (NE to 9.0)``."""
    return format_estimate(median, lower if lower > 0 else float("nan"), upper, decimals)


def format_ratio(ratio: float) -> str:
    """A hazard ratio, with more digits the closer it is to 0: ``12.30``, ``0.45``, ``0.045``, ``<0.0001``.

    The limit 0 of an interval excludes nothing and is ``NE``.
    """
    if not is_estimable(ratio) or ratio == 0:
        return NOT_ESTIMABLE
    if ratio < 0.00005:
        return "<0.0001"
    decimals = 2 if ratio >= 0.0995 else 3 if ratio >= 0.00995 else 4
    return format_number(ratio, decimals)


def format_ratio_interval(lower: float, upper: float) -> str:
    """The two limits of a hazard ratio, of which 0 and infinity exclude nothing: ``0.045 to NE``."""
    limits = [format_ratio(limit) for limit in (lower, upper)]
    return NOT_ESTIMABLE if set(limits) == {NOT_ESTIMABLE} else " to ".join(limits)


def format_p(p_value: float, decimals: int = 4) -> str:
    """A P value without its ``P =``: ``0.0403``, ``<0.0001``, ``>0.9999``, ``1.0000`` for exactly 1."""
    if not is_estimable(p_value):
        return NOT_ESTIMABLE
    smallest = 10.0**-decimals
    if p_value < smallest:
        return f"<{smallest:.{decimals}f}"
    if 1 - smallest < p_value < 1:
        return f">{1 - smallest:.{decimals}f}"
    return f"{p_value:.{decimals}f}"


def format_p_with_error(p_value: float, error: float) -> str:
    """A P value by random draws with its Monte-Carlo standard error: ``0.0403 (0.0006)``."""
    if not is_estimable(p_value) or not is_estimable(error):
        return format_p(p_value)
    return f"{format_p(p_value)} ({f'{error:.1g}' if error >= 0.00005 else '<0.0001'})"


def format_percent(percent: float, decimals: int = 0) -> str:
    """A percentage, between 0 and 100: ``60 %``, ``<1 %``, ``>99 %``."""
    if not is_estimable(percent):
        return NOT_ESTIMABLE
    step = 10.0**-decimals
    shown = format_number(percent, decimals)
    if percent > 0 and float(shown) == 0:
        shown = f"<{step:.{decimals}f}"
    elif percent < 100 and float(shown) == 100:
        shown = f">{100 - step:.{decimals}f}"
    return f"{shown} %"


def format_count(n: float, total: float, decimals: int = 0) -> str:
    """People counted, and their share of `total`: ``3 (60 %)``, ``0`` alone when nobody was counted."""
    percent = 100 * float(n) / float(total) if is_estimable(n) and is_estimable(total) and total else math.nan
    return format_share(n, percent, decimals)


def format_share(n: float, percent: float, decimals: int = 0) -> str:
    """People counted, and a percentage (0 to 100) computed before, left out when it is missing."""
    if not is_estimable(n):
        return NOT_ESTIMABLE
    if int(n) == 0 or not is_estimable(percent):
        return str(int(n))
    return f"{int(n)} ({format_percent(percent, decimals)})"


def format_headline(
    kind: HeadlineKind, value: float, limits: tuple[float, float] | None = None, error: float = math.nan
) -> str:
    """A headline as the page of its run writes it, without its unit; a plain number has three digits."""
    if kind == "p":
        return format_p_with_error(value, error)
    size = abs(value) if is_estimable(value) and value else 1.0
    digits = min(4, max(0, 2 - math.floor(math.log10(size))))
    decimals = {"time": 1, "percent": 0}.get(kind, digits)
    show = {"ratio": format_ratio, "percent": format_percent}.get(
        kind, partial(format_number, decimals=decimals)
    )
    shown = show(value).removesuffix(" %")
    if limits is None:
        return shown
    interval = format_ratio_interval(*limits) if kind == "ratio" else format_interval(*limits, decimals)
    is_bare = interval == NOT_ESTIMABLE and (kind == "number" or shown == NOT_ESTIMABLE)
    return shown if is_bare else f"{shown} ({interval})"
