"""Numbers as a reader sees them: fixed decimals, intervals, P values, counts of people.

Whatever is not estimable (missing, unbounded) prints ``NE``, never ``nan`` or ``inf``.
"""

from __future__ import annotations

import math

import pandas as pd

NOT_ESTIMABLE = "NE"
NOT_APPLICABLE = "-"


def is_estimable(value: object) -> bool:
    """Whether `value` is a finite number.

    Parameters
    ----------
    value : object
        A number, ``None``, ``NaN``, ``pandas.NA``, ``NaT``.

    Returns
    -------
    bool
    """
    if value is None or pd.isna(value):
        return False
    return math.isfinite(float(value))


def format_number(value: float, decimals: int = 1) -> str:
    """A number with a fixed count of decimals.

    Parameters
    ----------
    value : float
        Missing and infinite values print ``NE``.
    decimals : int
        Digits after the point.

    Returns
    -------
    str
        Never a negative zero.

    Examples
    --------
    >>> format_number(4.8), format_number(float("inf"))
    ('4.8', 'NE')
    """
    if not is_estimable(value):
        return NOT_ESTIMABLE
    shown = f"{float(value):.{decimals}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown


def format_interval(lower: float, upper: float, decimals: int = 1) -> str:
    """The two ends of an interval or range, ``1.2 to NE`` when one of them is unbounded.

    Parameters
    ----------
    lower, upper : float
        Ends of the interval, in the unit of the estimate.
    decimals : int
        Digits after the point, of both ends.

    Returns
    -------
    str
        ``NE`` when neither end is estimable.
    """
    if not is_estimable(lower) and not is_estimable(upper):
        return NOT_ESTIMABLE
    return f"{format_number(lower, decimals)} to {format_number(upper, decimals)}"


def format_estimate(estimate: float, lower: float, upper: float, decimals: int = 1) -> str:
    """An estimate followed by its interval or range in brackets.

    Parameters
    ----------
    estimate, lower, upper : float
        In one unit.
    decimals : int
        Digits after the point, of all three.

    Returns
    -------
    str
        ``4.8 (1.2 to 9.0)``; ``NE`` when none of the three is estimable.
    """
    if not any(is_estimable(value) for value in (estimate, lower, upper)):
        return NOT_ESTIMABLE
    return f"{format_number(estimate, decimals)} ({format_interval(lower, upper, decimals)})"


def format_median(median: float, lower: float, upper: float, decimals: int = 1) -> str:
    """A median time followed by its interval, in which a lower limit of 0 excludes nothing and is ``NE``.

    Parameters
    ----------
    median, lower, upper : float
        Times in one unit.
    decimals : int
        Digits after the point, of all three.

    Returns
    -------
    str
        ``4.8 (NE to 9.0)``.
    """
    return format_estimate(median, lower if lower > 0 else float("nan"), upper, decimals)


def format_ratio(ratio: float) -> str:
    """A hazard ratio, with more digits the closer it is to 0.

    Parameters
    ----------
    ratio : float
        Above 0; the limit 0 of an interval excludes nothing and is ``NE``.

    Returns
    -------
    str
        ``12.30``, ``0.45``, ``0.045``, ``0.0045``, ``<0.0001``.
    """
    if not is_estimable(ratio) or ratio == 0:
        return NOT_ESTIMABLE
    if ratio < 0.00005:
        return "<0.0001"
    decimals = 2 if ratio >= 0.0995 else 3 if ratio >= 0.00995 else 4
    return format_number(ratio, decimals)


def format_ratio_interval(lower: float, upper: float) -> str:
    """The two limits of a hazard ratio, ``0.045 to NE`` when one of them excludes nothing.

    Parameters
    ----------
    lower, upper : float
        Limits; 0 and infinity exclude nothing.

    Returns
    -------
    str
        ``NE`` when neither limit excludes anything.
    """
    limits = [format_ratio(limit) for limit in (lower, upper)]
    return NOT_ESTIMABLE if set(limits) == {NOT_ESTIMABLE} else " to ".join(limits)


def format_p(p_value: float, decimals: int = 4) -> str:
    """A P value without its ``P =``.

    Parameters
    ----------
    p_value : float
        A probability.
    decimals : int
        Digits after the point; what would round to 0 or to 1 is printed as a bound.

    Returns
    -------
    str
        ``0.0403``, ``<0.0001``, ``>0.9999``, ``1.0000`` for exactly 1, ``NE``.
    """
    if not is_estimable(p_value):
        return NOT_ESTIMABLE
    smallest = 10.0**-decimals
    if p_value < smallest:
        return f"<{smallest:.{decimals}f}"
    if 1 - smallest < p_value < 1:
        return f">{1 - smallest:.{decimals}f}"
    return f"{p_value:.{decimals}f}"


def format_percent(percent: float, decimals: int = 0) -> str:
    """A percentage; one that would round to 0 or to 100 without being so is printed as a bound.

    Parameters
    ----------
    percent : float
        Between 0 and 100.
    decimals : int
        Digits after the point.

    Returns
    -------
    str
        ``60 %``, ``<1 %``, ``>99 %`` or ``NE``.
    """
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
    """People, and their share of `total`.

    Parameters
    ----------
    n : int
        People counted.
    total : int
        People who could have been counted.
    decimals : int
        Digits after the point, of the percentage.

    Returns
    -------
    str
        ``3 (60 %)``; ``0`` alone when nobody was counted; ``NE`` when the count is missing.
    """
    percent = 100 * float(n) / float(total) if is_estimable(n) and is_estimable(total) and total else math.nan
    return format_share(n, percent, decimals)


def format_share(n: float, percent: float, decimals: int = 0) -> str:
    """People, and a percentage that was computed before.

    Parameters
    ----------
    n : int
        People counted.
    percent : float
        Their share, 0 to 100.
    decimals : int
        Digits after the point, of the percentage.

    Returns
    -------
    str
        As :func:`format_count`; without a percentage when that is missing.
    """
    if not is_estimable(n):
        return NOT_ESTIMABLE
    if int(n) == 0 or not is_estimable(percent):
        return str(int(n))
    return f"{int(n)} ({format_percent(percent, decimals)})"
