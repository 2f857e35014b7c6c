"""Hazard ratios against a number that was assumed: which conclusion hangs on it."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.labels import QUANTITY_NAMES, show_interval
from nkhcc_helpers.plots_cox import limit_ratios, set_ratio_axis
from nkhcc_helpers.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    WIDTH,
    choose_axes,
    darken,
    group_palette,
    in_house_style,
    known_groups,
    plain,
    say_nothing_to_show,
)

MOST_COLUMNS = 3
NO_EFFECT = {"color": GREY, "linewidth": 1, "linestyle": (0, (4, 3)), "label": "No effect"}
ASSUMED = {"color": INK, "linewidth": 1.3, "linestyle": (0, (1, 1.5)), "label": "Value assumed"}


@in_house_style
def plot_sweep(
    frame: pd.DataFrame,
    labels: Mapping[str, str],
    group_labels: Mapping[str, str],
    *,
    conf_level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Hazard ratios against each assumed number, a column of panels per number, a row per covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``group quantity value is_assumed covariate hr ci_lower ci_upper``, as
        `cox.sweep_assumptions` returns it. Values that cannot be estimated leave a gap; limits without end
        fill the panel.
    labels : mapping of str to str
        Covariate to what it is called (`labels.list_covariate_labels`).
    group_labels : mapping of str to str
        Group code to label, all groups of the trial in order.
    conf_level : float
        Level of the intervals, for the legend.
    ax : matplotlib Axes, optional
        Axes to draw the first panel into, without the others.

    Returns
    -------
    matplotlib Axes
        The first panel.
    """
    frame = frame.assign(group=frame["group"].astype("str"))
    covariates = list(dict.fromkeys(frame["covariate"]))
    numbers = list(dict.fromkeys(zip(frame["group"], frame["quantity"], strict=True)))
    if not numbers:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    if ax is None:
        panels = _open_panels(len(numbers), len(covariates), conf_level)
    else:
        panels, numbers, covariates = np.array([[ax]]), numbers[:1], covariates[:1]
    colours = group_palette(group_labels or known_groups(frame, {}))
    for i, covariate in enumerate(covariates):
        of_covariate = frame[frame["covariate"] == covariate]
        ends = limit_ratios(of_covariate[["hr", "ci_lower", "ci_upper"]])
        for j, (group, quantity) in enumerate(numbers):
            block, column = divmod(j, panels.shape[1])
            panel = panels[block * len(covariates) + i, column]
            part = of_covariate[(of_covariate["group"] == group) & (of_covariate["quantity"] == quantity)]
            _draw_sweep(panel, part.sort_values("value"), ends, colours.get(group, INK))
            panel.set_xlabel(plain(QUANTITY_NAMES.get(quantity, quantity)))
            panel.set_title(plain(group_labels.get(group, group), 28, lines=2), fontsize=SMALL)
            if column == 0:
                name = plain(labels.get(covariate, covariate), 26, lines=2)
                panel.set_ylabel(f"Hazard ratio\n{name}", fontsize=SMALL)
    return panels[0, 0]


def _open_panels(n_numbers: int, n_covariates: int, conf_level: float) -> np.ndarray:
    """Rows of panels, one per covariate; where there are many numbers, several blocks of such rows."""
    columns = min(n_numbers, MOST_COLUMNS)
    n_rows = n_covariates * -(-n_numbers // columns)
    figure = plt.figure(figsize=(WIDTH, 0.6 + 2.4 * n_rows))
    panels = figure.subplots(n_rows, columns, squeeze=False)
    for line in panels[-n_covariates:]:
        for unused in line[(n_numbers - 1) % columns + 1 :]:
            unused.set_visible(False)
    _explain_sweep(figure, conf_level)
    return panels


def _draw_sweep(ax: Axes, part: pd.DataFrame, ends: tuple[float, float], colour: object) -> None:
    ratio = part["hr"].where(np.isfinite(part["hr"]))
    lower = part["ci_lower"].fillna(0.0).where(ratio.notna()).clip(*ends)
    upper = part["ci_upper"].fillna(np.inf).where(ratio.notna()).clip(*ends)
    set_ratio_axis(ax, "y", *ends, room=18)
    ax.axhline(1, zorder=1, **NO_EFFECT)
    ax.fill_between(part["value"], lower, upper, color=colour, alpha=0.22, linewidth=0)
    # A value between two that are not estimable has neither line nor ribbon to stand on.
    alone = ratio.notna() & ratio.shift().isna() & ratio.shift(-1).isna()
    ax.vlines(part["value"][alone], lower[alone], upper[alone], color=colour, alpha=0.4, linewidth=3)
    whole = bool((part["value"] % 1 == 0).all())
    marked = ratio.notna() if whole else alone
    ax.plot(part["value"], ratio, color=darken(colour, 0.15), linewidth=2)
    points = {"linestyle": "", "marker": "o", "markersize": 4, "color": darken(colour, 0.15)}
    ax.plot(part["value"][marked], ratio[marked], **points)
    for value in part.loc[part["is_assumed"].astype(bool), "value"].unique():
        ax.axvline(value, **ASSUMED)
    margin = 0.03 * (part["value"].max() - part["value"].min()) or 0.5
    ax.set_xlim(part["value"].min() - margin, part["value"].max() + margin)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
    ax.grid(color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _explain_sweep(figure: Figure, conf_level: float) -> None:
    handles = [
        Line2D([], [], color=INK, linewidth=2, label="Hazard ratio"),
        Patch(color=GREY, alpha=0.3, label=show_interval(conf_level)),
        Line2D([], [], **ASSUMED),
        Line2D([], [], **NO_EFFECT),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=SMALL)
