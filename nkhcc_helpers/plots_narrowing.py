"""Figures of what narrows the answers: the claims there are, and the numbers that were not printed."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from nkhcc_helpers.numbers import NOT_ESTIMABLE, format_percent
from nkhcc_helpers.style import INK, SMALL, WIDTH, choose_axes, in_house_style, plain, say_nothing_to_show

WIDEST = 10.0  # times as wide: where the colours of a grid end
SHADES = "Blues"
DARK = 0.6  # of the shades, from where on a number is written in white


@in_house_style
def plot_narrowing(
    narrowing: pd.DataFrame,
    names: Mapping[str, str],
    claim_names: Mapping[str, str],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """How many times as wide each answer becomes when one claim is dropped.

    Parameters
    ----------
    narrowing : pandas.DataFrame
        Of one endpoint; columns ``claim statistic width_ratio``.
    names : mapping of str to str
        Statistic to what it is called.
    claim_names : mapping of str to str
        Claim to what it is called.
    title : str
        What the grid is about.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
    """
    grid = _spread(narrowing, "claim", "statistic", "width_ratio")
    texts = [[_show_times(value) for value in row] for row in grid.to_numpy(float)]
    return _draw_grid(grid, texts, claim_names, names, LogNorm(1, WIDEST, clip=True), ax, title)


@in_house_style
def plot_candidates(
    candidates: pd.DataFrame,
    names: Mapping[str, str],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """What is left of the spread of each answer once one further number is known.

    Parameters
    ----------
    candidates : pandas.DataFrame
        Of one endpoint; columns ``candidate target spread_left``, the last between 0 and 1.
    names : mapping of str to str
        Statistic to what it is called.
    title : str
        What the grid is about.
    ax : matplotlib Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib Axes
    """
    grid = _spread(candidates, "candidate", "target", "spread_left")
    for name in grid.index.intersection(grid.columns):
        grid.loc[name, name] = np.nan  # a number tells all of itself
    texts = [
        [
            "" if candidate == target else format_percent(min(100 * grid.loc[candidate, target], 100))
            for target in grid
        ]
        for candidate in grid.index
    ]
    return _draw_grid(1 - grid, texts, names, names, Normalize(0, 1, clip=True), ax, title)


def _spread(frame: pd.DataFrame, rows: str, columns: str, values: str) -> pd.DataFrame:
    """One row per claim or candidate, one column per answer, both in the order given."""
    return frame.pivot_table(index=rows, columns=columns, values=values, sort=False, dropna=False).reindex(
        index=list(dict.fromkeys(frame[rows])), columns=list(dict.fromkeys(frame[columns]))
    )


def _show_times(value: float) -> str:
    if not np.isfinite(value):
        return NOT_ESTIMABLE
    return f"{value:.1f}" if value < 99.5 else ">99"


def _draw_grid(
    grid: pd.DataFrame,
    texts: list,
    rows: Mapping[str, str],
    columns: Mapping[str, str],
    scale: Normalize,
    ax: Axes | None,
    title: str,
) -> Axes:
    if grid.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    ax = choose_axes(ax, 1.9 + 0.34 * len(grid))
    shades = scale(np.ma.masked_invalid(grid.to_numpy(float)))
    ax.imshow(np.ma.masked_invalid(shades), cmap=plt.get_cmap(SHADES), vmin=0, vmax=1.15, aspect="auto")
    for y, line in enumerate(texts):
        for x, text in enumerate(line):
            dark = not np.ma.is_masked(shades[y, x]) and shades[y, x] > DARK
            ax.text(x, y, text, ha="center", va="center", color="white" if dark else INK, fontsize=SMALL)
    width = max(8, int(0.62 * WIDTH * 12 / len(grid.columns)))
    ax.set_xticks(range(len(grid.columns)), [plain(columns.get(each, each), width, 6) for each in grid])
    ax.set_yticks(range(len(grid)), [plain(rows.get(each, each), 38, 2) for each in grid.index])
    ax.tick_params(length=0, labelsize=SMALL, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_xticks(np.arange(len(grid.columns) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(grid) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.figure.suptitle(plain(title, 80), x=0.01, ha="left", fontsize=10.5)
    return ax
