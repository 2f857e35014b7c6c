"""House style of the figures: theme, one look per group, and text from data that stays text.

Colours are colour-blind safe and never the only sign: line style or marker says the same in greyscale.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

FONT = "DejaVu Sans"
STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
}
WIDTH = 8.0  # inches
SMALL = 9.0  # points
INK = "#222222"
GREY = "#6b6b6b"
FAINT = "#d9d9d9"
COLOUR_ORDER = (0, 1, 2, 4, 3, 5, 9, 7)  # of the colorblind palette; its yellow and light pink fade on white
LINE_STYLES = ("-", (0, (6, 2)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)), (0, (8, 2, 1, 2, 1, 2)), (0, (3, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
TIME_STEPS = {
    "days": (1, 2, 7, 14, 28, 56, 91, 182, 365, 730, 1825),
    "weeks": (1, 2, 4, 8, 13, 26, 52, 104, 260),
    "months": (1, 2, 3, 6, 12, 24, 36, 60, 120),
    "years": (0.25, 0.5, 1, 2, 5, 10),
}
MOST_STEPS = 9


def in_house_style(draw: Callable) -> Callable:
    """Make a function draw in the house style, and leave the reader's own settings as they were.

    Parameters
    ----------
    draw : callable
        Creates its figure and artists when called.

    Returns
    -------
    callable
    """

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        with plt.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def group_palette(groups: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """Colour of each group, the same in every figure.

    Parameters
    ----------
    groups : iterable of str
        All group codes of the trial, in order.

    Returns
    -------
    dict of str to tuple
        Group code to red, green, blue.
    """
    colours = sns.color_palette("colorblind", 10)
    return {group: colours[COLOUR_ORDER[i % len(COLOUR_ORDER)]] for i, group in enumerate(groups)}


def group_lines(groups: Iterable[str]) -> dict[str, object]:
    """Line style of each group, in step with :func:`group_palette`.

    Parameters
    ----------
    groups : iterable of str
        All group codes of the trial, in order.

    Returns
    -------
    dict
        Group code to a matplotlib line style.
    """
    return {group: LINE_STYLES[i % len(LINE_STYLES)] for i, group in enumerate(groups)}


def group_markers(groups: Iterable[str]) -> dict[str, str]:
    """Marker of each group, in step with :func:`group_palette`.

    Parameters
    ----------
    groups : iterable of str
        All group codes of the trial, in order.

    Returns
    -------
    dict of str to str
        Group code to a matplotlib marker.
    """
    return {group: MARKERS[i % len(MARKERS)] for i, group in enumerate(groups)}


def darken(colour: object, share: float = 0.3) -> tuple[float, ...]:
    """A darker shade, for text in a group's colour.

    Parameters
    ----------
    colour : matplotlib colour
    share : float
        0 leaves it, 1 makes it black.

    Returns
    -------
    tuple of float
    """
    return tuple((1 - share) * part for part in to_rgb(colour))


def lighten(colour: object, share: float = 0.6) -> tuple[float, ...]:
    """A lighter shade, for surfaces in a group's colour.

    Parameters
    ----------
    colour : matplotlib colour
    share : float
        0 leaves it, 1 makes it white.

    Returns
    -------
    tuple of float
    """
    return tuple(part + share * (1 - part) for part in to_rgb(colour))


@functools.cache
def _known_characters() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(FONT)).get_charmap())


def plain(text: object, width: int = 0, lines: int = 3) -> str:
    """Text from data for a figure: no mathematics, no control characters, wrapped and not endless.

    Parameters
    ----------
    text : object
        Anything with a string form.
    width : int
        Characters per line; 0 keeps one line.
    lines : int
        Most lines; what is left over becomes an ellipsis.

    Returns
    -------
    str
        Characters that the font lacks are replaced by a question mark.
    """
    known = _known_characters()
    words = " ".join(str(text).split())
    words = "".join(character if ord(character) in known else "?" for character in words)
    if width:
        words = "\n".join(textwrap.wrap(words, width, max_lines=lines, placeholder=" …"))
    return words.replace("$", r"\$")


def choose_axes(ax: Axes | None, height: float, width: float = WIDTH) -> Axes:
    """The axes given, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
    height, width : float
        Of the new figure, in inches.

    Returns
    -------
    matplotlib Axes
    """
    return plt.figure(figsize=(width, height)).subplots() if ax is None else ax


def say_nothing_to_show(ax: Axes) -> Axes:
    """Put a line of text in place of a drawing without data.

    Parameters
    ----------
    ax : matplotlib Axes

    Returns
    -------
    matplotlib Axes
    """
    ax.set_axis_off()
    ax.text(0.5, 0.5, "Nothing to show", ha="center", va="center", color=GREY, transform=ax.transAxes)
    return ax


def choose_axis_end(curves: pd.DataFrame) -> float:
    """Where an axis of time should end for the steps of survival curves to be seen.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``time n_events``, as `survival_by_group.estimate_km_by_group` returns it.

    Returns
    -------
    float
        The last follow-up, or where follow-up goes on for more than twice as long as events were seen, a
        little after the last event.
    """
    last = float(curves["time"].max())
    last_event = float(curves.loc[curves["n_events"] > 0, "time"].max())
    return 1.35 * last_event if last > 2 * last_event > 0 else last


def list_time_ticks(last: float, unit: str) -> list[float]:
    """Times to mark on an axis of follow-up: whole weeks, quarters or years, at most ten of them.

    Parameters
    ----------
    last : float
        Longest time shown.
    unit : {"days", "weeks", "months", "years"}
        Unit of `last`.

    Returns
    -------
    list of float
        From 0 to no later than `last`.
    """
    if not np.isfinite(last) or last <= 0:
        return [0.0]
    steps = TIME_STEPS.get(unit, (1, 2, 5, 10, 20, 50, 100))
    largest = steps[-1] * np.ceil(last / steps[-1] / MOST_STEPS)
    step = next((step for step in steps if last / step < MOST_STEPS + 1), largest)
    if last < steps[0]:
        step = 10.0 ** np.floor(np.log10(last))
        step *= next(factor for factor in (1, 2, 5) if last / step / factor < MOST_STEPS + 1)
    return [float(round(i * step, 10)) for i in range(int(last / step + 1e-9) + 1)]


def spread_apart(positions: Iterable[float], gap: float) -> list[float]:
    """Positions for labels that would overlap, moved as little as keeps `gap` between neighbours.

    Parameters
    ----------
    positions : iterable of float
        Where the labels belong.
    gap : float
        Smallest distance between two of them.

    Returns
    -------
    list of float
        In the order given.
    """
    wanted = np.asarray(list(positions), dtype=float)
    order = np.argsort(wanted, kind="stable")
    blocks: list[list[float]] = []  # each: sum of wanted starts, number of labels
    for i, position in enumerate(wanted[order]):
        blocks.append([position - i * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    starts = np.concatenate([[total / count] * int(count) for total, count in blocks]) if blocks else wanted
    placed = np.empty_like(wanted)
    placed[order] = starts + gap * np.arange(len(wanted))
    return placed.tolist()


def known_groups(frame, labels: Mapping[str, str]) -> list[str]:
    """Groups of a frame in the order of their labels, then those without a label but "All".

    Parameters
    ----------
    frame : pandas.DataFrame
        Has a column `group`.
    labels : mapping of str to str
        Group code to label, in order.

    Returns
    -------
    list of str
    """
    present = list(dict.fromkeys(frame["group"].astype("str")))
    return [code for code in labels if code in present] + [
        code for code in present if code not in labels and code != "All"
    ]


# In each decade, finest first.
TICK_SERIES = ((1, 1.5, 2, 3, 4, 5, 7), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3))
WIDEST = (0.001, 1000.0)


def limit_ratios(values: Iterable) -> tuple[float, float]:
    """Where an axis of hazard ratios begins and ends, no wider than a reader can use.

    Parameters
    ----------
    values : array-like of float
        Ratios and limits to be seen; those that are missing, 0 or infinite do not count.

    Returns
    -------
    tuple of float
        They hold 1/2 and 2 and lie within `WIDEST`.
    """
    values = np.asarray(values, dtype=float).ravel()
    seen = [0.5, 2.0, *values[np.isfinite(values) & (values > 0)]]
    return max(min(seen) / 1.2, WIDEST[0]), min(max(seen) * 1.2, WIDEST[1])


def set_ratio_axis(ax: Axes, which: str, low: float, high: float, *, room: int) -> None:
    """Make an axis of hazard ratios: logarithmic, with as many round ticks as there is room for.

    Parameters
    ----------
    ax : matplotlib Axes
    which : {"x", "y"}
    low, high : float
        Ends of the axis, above 0.
    room : int
        Characters that fit along the axis x, half lines along the axis y.
    """
    axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    even = MaxNLocator(nbins=4, steps=(1, 2, 5, 10)).tick_values(low, high).round(12)
    choices = [even] if high < 2 * low else []
    choices += [[float(f"{part}e{power}") for power in decades for part in series] for series in TICK_SERIES]
    every = range(1, len(decades) + 1)
    choices += [[float(f"1e{power}") for power in decades if power % step == 0] for step in every]
    choices = [[tick for tick in ticks if low <= tick <= high] for ticks in choices]
    ticks = next((ticks for ticks in choices if _fit_along(ticks, room / np.log(high / low), which)), [])
    ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis.set_ticks([], minor=True)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])


def name_rows(ax: Axes, rows: pd.DataFrame, *, top: float = -0.6) -> None:
    """Name the rows of a figure from the top down, headings in bold.

    Parameters
    ----------
    ax : matplotlib Axes
    rows : pandas.DataFrame
        Columns ``name is_heading``.
    top : float
        Where the axis begins; the first row is at 0.
    """
    ax.set_ylim(len(rows) - 0.4, top)
    ax.set_yticks(range(len(rows)), rows["name"], fontsize=SMALL)
    for tick, heading in zip(ax.get_yticklabels(), rows["is_heading"], strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _fit_along(ticks: list[float], room: float, which: str) -> bool:
    """Whether ticks leave each other room, told in characters per unit of the logarithm."""
    sizes = np.array([len(f"{tick:g}") if which == "x" else 1 for tick in ticks])
    return bool((np.diff(np.log(ticks)) * room >= (sizes[1:] + sizes[:-1]) / 2 + 1).all())


RANGE = {"linewidth": 5, "solid_capstyle": "butt"}
LEVEL = {"color": INK, "linewidth": 1.2, "linestyle": (0, (4, 3))}
RANGES = [
    Line2D([], [], color=GREY, label="95 % of cohorts", **RANGE),
    Line2D([], [], color=GREY, linewidth=1.6, label="All cohorts sampled"),
    Line2D([], [], linestyle="", marker="o", color=GREY, markeredgecolor="white", label="Median"),
    Line2D([], [], linestyle="", marker="|", markersize=10, color=INK, label="Bounds found"),
]


def draw_range(
    ax: Axes, y: float, known: Mapping[str, float], colour: object, *, body: object = None
) -> None:
    """Draw what values are over all cohorts: a thin line from end to end, a thick one, and the median.

    Parameters
    ----------
    ax : matplotlib Axes
    y : float
        The row.
    known : mapping of str to float
        ``smallest largest`` of all, ``lower upper`` of 95 %, ``median``; what is missing is not drawn.
    colour : colour
        Of the thick line; the rest is darker.
    body : colour, optional
        Of the thick line, where it is to be another.
    """
    if {"smallest", "largest"} <= set(known):
        ax.hlines(y, known["smallest"], known["largest"], color=darken(colour), linewidth=1.6, zorder=3)
    if {"lower", "upper"} <= set(known):
        ax.plot([known["lower"], known["upper"]], [y, y], color=body or colour, zorder=3, **RANGE)
    if "median" in known:
        ax.plot(known["median"], y, "o", color=darken(colour), markeredgecolor="white", zorder=4)


def explain_above(ax: Axes, handles: Iterable, title: str = "") -> None:
    """Explain marks above everything drawn.

    Parameters
    ----------
    ax : matplotlib Axes
    handles : iterable of matplotlib artists
        With labels.
    title : str
        What the whole figure is about.
    """
    handles = list(handles)
    look = {"ncols": min(len(handles), 5), "fontsize": SMALL, "title_fontsize": 10.5, "alignment": "left"}
    ax.figure.legend(handles=handles, loc="outside upper left", title=plain(title, 80) or None, **look)
