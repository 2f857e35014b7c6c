"""Tumour change: a bar for each patient, and which best response it went with."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from nkhcc_helpers.report.figures.style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Look,
    add_grid,
    choose_axes,
    in_house_style,
    known_groups,
    list_looks,
    make_mark,
    name_groups,
    plain,
    rows_of,
    say_nothing_to_show,
    shorten_names,
)
from nkhcc_helpers.report.names import RESPONSE_NAMES

THRESHOLDS = {
    20: "+20 %:\nprogression\nfrom here up",
    -30: "\N{MINUS SIGN}30 %:\npartial response\nfrom here down",
}
MOST_PATIENTS = 60
"""Up to whom bars of all groups stand in one order, each with its patient and the mark of its group."""
HIGHEST = 100  # percent; a longer bar is cut there


@in_house_style
def plot_waterfall(responses: pd.DataFrame, labels: Mapping[str, str], *, ax: Axes | None = None) -> Axes:
    """Smallest change of tumour size of each patient, with the thresholds of RECIST 1.1; the best response.

    Parameters
    ----------
    responses : pandas.DataFrame
        `Trial.responses`; bars stand from growth to shrinkage, of many patients group by group.
    ax : matplotlib Axes, optional
        For the bars, without the best responses under them.
    """
    changes = responses[responses["change"].notna()]
    looks = list_looks(known_groups(changes, labels), labels)
    if changes.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    changes = changes.sort_values("change", ascending=False, kind="stable", ignore_index=True)
    if len(changes) > MOST_PATIENTS:
        changes = pd.concat([rows_of(changes, group) for group in looks], ignore_index=True)
    shown, below = [best for best in RESPONSE_NAMES if (changes["best"] == best).any()], ax
    if ax is None:
        heights = [3.0, 0.2 + 0.2 * len(shown)]
        figure = plt.figure(figsize=(WIDTH, sum(heights) + 0.5 + 0.2 * ((len(looks) + 1) // 2)))
        ax, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        _draw_responses(below, changes, shown, looks)
        ax.tick_params(bottom=False, labelbottom=False)
    _draw_bars(ax, changes, looks)
    below.set_xlim(-0.7, len(changes) - 0.3)
    below.set_xticks([])
    if len(changes) <= MOST_PATIENTS:
        start, names = shorten_names(changes["USUBJID"])
        below.set_xticks(range(len(names)), names, rotation=90, fontsize=6.5)
        below.set_xlabel(f"Patient ({plain(start)}…)" if start else "Patient", fontsize=SMALL)
    else:
        below.set_xlabel("Patients, group after group", fontsize=SMALL)
    names = name_groups(looks, 46)
    handles = [make_mark(look.marker, 6, look.colour, names[group]) for group, look in looks.items()]
    ax.figure.legend(handles=handles, loc="outside upper left", ncols=min(len(looks), 2), fontsize=SMALL)
    return ax


def _draw_bars(ax: Axes, changes: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    is_few, values = len(changes) <= MOST_PATIENTS, changes["change"].clip(upper=HIGHEST)
    for group, look in looks.items():
        of_it = rows_of(changes, group).index
        bars = {"color": look.colour, "edgecolor": INK, "linewidth": 0.5 * is_few}
        ax.bar(of_it, values[of_it], width=0.8 if is_few else 1.0, **bars)
        if is_few:
            ax.plot(of_it, values[of_it], look.marker, color=look.colour, markeredgecolor=INK, markersize=5)
    above = changes["change"][changes["change"] > HIGHEST]
    for at, change in above.items() if is_few else ():
        ax.text(at, HIGHEST + 6, f"{change:+.0f}", ha="center", va="bottom", fontsize=7, rotation=90)
    for threshold, meaning in THRESHOLDS.items():
        ax.axhline(threshold, color=GREY, linestyle=(0, (5, 3)), linewidth=1)
        place = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": SMALL, "color": GREY}
        ax.text(1.01, threshold, meaning, **place)
    ax.axhline(0, color=INK, linewidth=0.9)
    ax.set_ylim(min(values.min() - 8, -55), HIGHEST + 35 if len(above) else max(values.max() + 8, 45))
    ax.yaxis.set_major_locator(MultipleLocator(25))
    cut = f"\n(cut at +{HIGHEST} %)" if len(above) else ""
    ax.set_ylabel(f"Change of tumour size, %{cut}")
    add_grid(ax, "y")


def _draw_responses(ax: Axes, changes: pd.DataFrame, shown: list[str], looks: Mapping[str, Look]) -> None:
    """A row for each best response that occurs, with a mark under the bar of each patient who had it."""
    place = changes["best"].map({best: y for y, best in enumerate(shown)})
    for group, look in looks.items():
        of_it = rows_of(changes, group).index
        marker = look.marker if len(changes) <= MOST_PATIENTS else "|"
        edge = INK if marker == look.marker else look.colour
        ax.plot(of_it, place[of_it], marker, color=look.colour, markeredgecolor=edge, markersize=5)
    ax.set_yticks(range(len(shown)), [RESPONSE_NAMES[best] for best in shown], fontsize=SMALL)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(left=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    add_grid(ax, "y")
