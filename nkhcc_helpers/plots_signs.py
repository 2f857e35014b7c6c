"""Hazard ratios of many cohorts and codings: on which side of 1 they lie."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nkhcc_helpers.plots_compatible import LEVEL, RANGE, RANGES, draw_range, explain_above
from nkhcc_helpers.plots_cox import limit_ratios, set_ratio_axis
from nkhcc_helpers.style import (
    SMALL,
    WIDTH,
    choose_axes,
    darken,
    group_palette,
    in_house_style,
    plain,
    say_nothing_to_show,
)

SHIFT = 0.2  # of the marks of two methods from the middle of their row


@in_house_style
def plot_signs(
    signs: pd.DataFrame,
    designs: Mapping[str, str],
    covariates: Mapping[str, str],
    methods: Mapping[str, str],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Hazard ratios over all compatible cohorts, a row per coding, a panel per covariate.

    Parameters
    ----------
    signs : pandas.DataFrame
        Of one endpoint; columns ``design method covariate lowest lower median upper highest``.
    designs, covariates, methods : mapping of str to str
        What the values of these columns are called.
    title : str
        What all panels are about.
    ax : matplotlib Axes, optional
        Axes to draw the first covariate into, without the others.

    Returns
    -------
    matplotlib Axes
        The first panel.
    """
    shown = list(dict.fromkeys(signs["covariate"]))
    if not shown:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows, colours = list(dict.fromkeys(signs["design"])), group_palette(methods)
    if ax is None:
        figure = plt.figure(figsize=(WIDTH, 1.6 + 0.46 * len(rows)))
        panels = list(np.atleast_1d(figure.subplots(1, len(shown), sharey=True)))
    else:
        panels = [ax]
    for panel, covariate in zip(panels, shown, strict=False):
        part = signs[signs["covariate"] == covariate]
        low, high = limit_ratios(part[["lowest", "highest"]])
        set_ratio_axis(panel, "x", low, high, room=52 // len(panels))
        panel.axvline(1, zorder=1, **LEVEL)
        for at, method in enumerate(methods):
            offset = SHIFT * (2 * at - len(methods) + 1)
            for row in part[part["method"] == method].to_dict("records"):
                _draw_ratio(panel, rows.index(row["design"]) + offset, row, (low, high), colours[method])
        panel.set_title(plain(covariates.get(covariate, covariate), 34, lines=2), fontsize=SMALL)
        panel.set_xlabel("Hazard ratio")
    panels[0].set_yticks(range(len(rows)), [plain(designs.get(row, row), 34, lines=3) for row in rows])
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    panels[0].tick_params(axis="y", length=0, labelsize=SMALL)
    handles = [Line2D([], [], color=colours[each], label=plain(methods[each]), **RANGE) for each in methods]
    explain_above(panels[0], [*handles, *RANGES[1:3]], title)
    return panels[0]


def _draw_ratio(ax: Axes, y: float, row: dict, ends: tuple[float, float], colour: object) -> None:
    values = {"smallest": row["lowest"], "largest": row["highest"]}
    values |= {name: row[name] for name in ("lower", "median", "upper")}
    inside = {name: float(np.clip(value, *ends)) for name, value in values.items() if not pd.isna(value)}
    draw_range(ax, y, inside, colour)
    for name, end, marker in (("smallest", ends[0], "<"), ("largest", ends[1], ">")):
        if name in inside and inside[name] != values[name]:
            ax.plot(end, y, marker=marker, markersize=5, color=darken(colour), clip_on=False, zorder=4)
