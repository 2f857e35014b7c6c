"""What a test statistic does when nothing is going on: its null distribution, and where the data fall."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from nkhcc_helpers.numbers import format_number
from nkhcc_helpers.style import (
    FAINT,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    in_house_style,
    say_nothing_to_show,
)

OBSERVED_COLOUR = "#b34700"
NULL_COLOUR = "#6fa8d6"


@in_house_style
def plot_null_distribution(null: np.ndarray, observed: float, df: int) -> Axes:
    """The permuted null distribution of a statistic beside its chi-square approximation.

    Left the density; right the share of relabellings that reach a statistic, on a logarithmic axis, where the
    line of the observed statistic crosses the two P-values.

    Parameters
    ----------
    null : ndarray of float, shape (n_draws,)
        Statistic under random relabelling, as `permutation.draw_null` returns it.
    observed : float
        Statistic of the data.
    df : int
        Degrees of freedom of the approximation.

    Returns
    -------
    matplotlib Axes
        The axes of the density.
    """
    null = np.asarray(null, dtype=float)
    if not len(null) or not np.isfinite(observed) or not df:
        return say_nothing_to_show(choose_axes(None, 3.2))
    figure = plt.figure(figsize=(WIDTH, 3.8))
    density, tail = figure.subplots(1, 2)
    last = max(float(np.quantile(null, 0.9999)), observed) * 1.06
    _draw_density(density, null, last, df)
    _draw_tail(tail, null, observed, last, df)
    for ax in (density, tail):
        ax.axvline(observed, color=OBSERVED_COLOUR, linewidth=1.6)
        ax.set_xlim(0, last)
        ax.set_xlabel("Chi-square")
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
        ax.set_axisbelow(True)
    handles = [
        Patch(color=NULL_COLOUR, label="Random relabellings"),
        Line2D([], [], color=INK, linestyle="--", label="Chi-square approximation"),
        Line2D([], [], color=OBSERVED_COLOUR, label=f"Observed {format_number(observed, 2)}"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=SMALL)
    return density


def _draw_density(ax: Axes, null: np.ndarray, last: float, df: int) -> None:
    edges = np.linspace(0, last, 50)
    counts, _ = np.histogram(null, edges)
    heights = counts / (len(null) * np.diff(edges))
    ax.bar(edges[:-1], heights, np.diff(edges), align="edge", color=NULL_COLOUR)
    grid = np.linspace(edges[1] / 2, last, 400)
    curve = stats.chi2.pdf(grid, df)
    ax.plot(grid, curve, color=INK, linewidth=1.6, linestyle="--")
    ax.set_ylim(0, 1.15 * max(heights.max(), np.quantile(curve, 0.98)))
    ax.set_ylabel("Density")


def _draw_tail(ax: Axes, null: np.ndarray, observed: float, last: float, df: int) -> None:
    reached = np.sort(null)
    share = 1 - np.arange(len(reached)) / len(reached)
    shown = slice(None, None, max(len(reached) // 4000, 1))
    ax.step(reached[shown], share[shown], where="pre", color=NULL_COLOUR, linewidth=2.2)
    grid = np.linspace(0, last, 400)
    ax.plot(grid, stats.chi2.sf(grid, df), color=INK, linewidth=1.6, linestyle="--")
    lowest = max(min(stats.chi2.sf(observed, df) / 5, 5 / len(null), 0.01), 1e-8)
    ax.set_yscale("log")
    ax.set_ylim(lowest, 1.3)
    ax.set_ylabel("Share at least as large (P)")
