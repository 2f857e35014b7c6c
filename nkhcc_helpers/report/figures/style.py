"""House style of the figures: theme, one look per group, and text from data that stays text.

Colours are colour-blind safe and never the only sign: line style or marker says the same in greyscale.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nkhcc_helpers.report.numbers import format_tick

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
    """Make a function draw in the house style, and leave the reader's own settings as they were."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        with plt.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def group_palette(groups: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """Colour of each group as red, green, blue, the same in every figure.

    `groups` are the codes of all groups of the trial, in order.
    """
    colours = sns.color_palette("colorblind", 10)
    return {group: colours[COLOUR_ORDER[i % len(COLOUR_ORDER)]] for i, group in enumerate(groups)}


def darken(colour: object, share: float = 0.3) -> tuple[float, ...]:
    """A darker shade, for text in a group's colour; a share of 1 is black."""
    return tuple((1 - share) * part for part in to_rgb(colour))


def lighten(colour: object, share: float = 0.6) -> tuple[float, ...]:
    """A lighter shade, for surfaces in a group's colour; a share of 1 is white."""
    return tuple(part + share * (1 - part) for part in to_rgb(colour))


@dataclass(frozen=True)
class Look:
    """How a group is drawn wherever it stands; ``dark`` is for text."""

    name: str
    colour: object
    line: object
    marker: str

    @property
    def dark(self) -> tuple[float, ...]:
        return self.darken()

    def darken(self, share: float = 0.3) -> tuple[float, ...]:
        return darken(self.colour, share)


def list_looks(groups: Iterable[str], labels: Mapping[str, str]) -> dict[str, Look]:
    """Look of each of these groups; the labels name all groups of the trial, in order."""
    groups = list(groups)
    every = list(labels) or groups
    looks = {group: Look(labels.get(group, group), INK, "-", "o") for group in groups}
    for i, (group, colour) in enumerate(group_palette(every).items()):
        line, marker = LINE_STYLES[i % len(LINE_STYLES)], MARKERS[i % len(MARKERS)]
        looks[group] = Look(labels.get(group, group), colour, line, marker)
    return {group: looks[group] for group in groups}


def rows_of(frame: pd.DataFrame, group: str) -> pd.DataFrame:
    """The rows of one group."""
    return frame[frame["group"].astype("str") == group]


@functools.cache
def _known_characters() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(FONT)).get_charmap())


def plain(text: object, width: int = 0, lines: int = 3) -> str:
    """Text from data: no mathematics, no control characters, a question mark for what the font lacks.

    Wrapped to so many characters (0 keeps one line) and cut to so many lines.
    """
    known = _known_characters()
    words = " ".join(str(text).split())
    words = "".join(character if ord(character) in known else "?" for character in words)
    if width:
        words = "\n".join(textwrap.wrap(words, width, max_lines=lines, placeholder=" …"))
    return words.replace("$", r"\$")


def tell_apart(texts: Iterable[object], width: int, lines: int = 1) -> list[str]:
    """Texts from data as `plain` wraps and cuts them; those that this makes alike, from where they differ."""
    texts = [" ".join(str(text).split()) for text in texts]
    shown = [plain(text, width, lines) for text in texts]
    for cut in dict.fromkeys(shown):
        alike = sorted({text for text, each in zip(texts, shown, strict=True) if each == cut})
        same = _count_same(alike[0], alike[-1])
        # From the word in which they differ on, unless that word is too long to show it.
        word = alike[0].rfind(" ", 0, same) + 1
        start = word if same - word < width - 3 else same - width // 3
        if len(alike) > 1 and start > 2:
            short = [_cut_start(text, start, width, lines) for text in alike]
            if len({*short}) < len(short):
                short = tell_apart([f"… {text[start:]}" for text in alike], width, lines)
            told = dict(zip(alike, short, strict=True))
            shown = [told.get(text, each) for text, each in zip(texts, shown, strict=True)]
    return shown


def name_groups(looks: Mapping[str, Look], width: int, lines: int = 1) -> dict[str, str]:
    """What groups are called where there is so much room, by their codes."""
    return dict(zip(looks, tell_apart([look.name for look in looks.values()], width, lines), strict=True))


def _cut_start(text: str, latest: int, width: int, lines: int) -> str:
    """Text without as few of its first words as leave the rest whole, or from the latest place on."""
    starts = [i + 1 for i, character in enumerate(text[: latest - 1]) if character == " "]
    cuts = (plain(f"… {text[start:]}", width, lines) for start in starts)
    return next((cut for cut in cuts if not cut.endswith("…")), plain(f"… {text[latest:]}", width, lines))


def _count_same(first: str, last: str) -> int:
    """With how many characters two texts begin alike; of many, the first and the last in order tell."""
    pairs = enumerate(zip(first, last, strict=False))
    return next((i for i, pair in pairs if pair[0] != pair[1]), min(len(first), len(last)))


def choose_axes(ax: Axes | None, height: float, width: float = WIDTH) -> Axes:
    """The axes given, or those of a new figure of this size in inches."""
    return plt.figure(figsize=(width, height)).subplots() if ax is None else ax


def say_nothing_to_show(ax: Axes, why: str = "Nothing to show") -> Axes:
    """Put a line of text in place of a drawing without data."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, why, ha="center", va="center", color=GREY, transform=ax.transAxes)
    return ax


def open_panels(count: int, columns: int, *, height: float, head: float, **options: object) -> np.ndarray:
    """Small multiples in rows of `height` inches under a `head`; what is left of the last row is not seen."""
    columns = min(count, columns)
    n_rows = -(-count // columns)
    figure = plt.figure(figsize=(WIDTH, head + height * n_rows))
    panels = figure.subplots(n_rows, columns, squeeze=False, **options).ravel()
    for unused in panels[count:]:
        unused.set_visible(False)
    return panels[:count]


def add_grid(ax: Axes, axis: str = "both") -> None:
    """Faint lines behind everything, across the axis x, y or both."""
    ax.grid(axis=axis, color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def open_left(ax: Axes) -> None:
    """Rows that are named where the left edge would be, with faint lines down from the ticks."""
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    add_grid(ax, "x")


def mark_times(ax: Axes, ticks: Iterable[float], shift: float = 0.0) -> None:
    """Ticks of an axis of time, each under the time it is of."""
    ax.set_xticks([tick + shift for tick in ticks], [f"{tick:g}" for tick in ticks])


def make_mark(marker: object, size: float, face: object = INK, label: str = "", **look: object) -> Line2D:
    """A legend's entry for a mark edged in ink."""
    look = {"markersize": size, "markerfacecolor": face, "markeredgecolor": INK, **look}
    return Line2D([], [], linestyle="", marker=marker, label=label, **look)


def set_share_axes(ax: Axes, right: float, ticks: Iterable[float], sign: str) -> None:
    """Axes of curves between 0 and 1 over time, told in percent with this sign."""
    mark_times(ax, ticks)
    ax.tick_params(labelbottom=True)
    ax.set_xlim(-0.015 * right, 1.02 * right)
    ax.set_ylim(-0.02, 1.03)
    ax.set_yticks(np.arange(0, 1.01, 0.25))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}{sign}"))
    add_grid(ax, "y")


def write_counts(ax: Axes, blocks: Mapping[str, Mapping[str, Mapping[float, str]]], looks: Mapping) -> None:
    """Numbers right under the ticks they belong to: a block for each heading, in it a row for each group.

    `blocks` holds headings, their groups, and text by time.
    """
    names, y = {}, 0.0
    short = name_groups(looks, 26)
    for heading, block in blocks.items():
        names[y] = (heading, INK, "bold")
        for group, texts in block.items():
            y += 1
            names[y] = (short[group], looks[group].dark, "normal")
            for time, text in texts.items():
                ax.text(time, y, text, ha="center", va="center", fontsize=SMALL, color=INK)
        y += 1.4
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_yticks(list(names), [name for name, *_ in names.values()], fontsize=SMALL)
    for tick, (_, shade, weight) in zip(ax.get_yticklabels(), names.values(), strict=True):
        tick.set(color=shade, fontweight=weight)
    ax.tick_params(left=False, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)


def shorten_names(names: pd.Series) -> tuple[str, list[str]]:
    """What all patients' names begin with, up to a hyphen, and what each goes on with."""
    names = names.astype("str")
    shortest, longest = min(names), max(names)
    n_same = _count_same(shortest, longest)
    start = shortest[: shortest.rfind("-", 0, n_same) + 1]
    return start, [plain(name.removeprefix(start), 14, lines=1) for name in names]


def choose_axis_end(curves: pd.DataFrame) -> float:
    """Where an axis of time should end for the steps of survival curves to be seen.

    The last of the ``time`` of the curves, or where follow-up goes on for more than twice as long as events
    (``n_events`` above 0) were seen, a little after the last event.
    """
    last = float(curves["time"].max())
    last_event = float(curves.loc[curves["n_events"] > 0, "time"].max())
    return 1.35 * last_event if last > 2 * last_event > 0 else last


def list_time_ticks(last: float, unit: str) -> list[float]:
    """Times to mark on an axis of follow-up: whole weeks, quarters or years, at most ten of them.

    From 0 to no later than `last`, the longest time shown, in `unit`: days, weeks, months, years or another.
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
    """Positions for labels that would overlap, moved as little as keeps `gap` between neighbours."""
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
    """Groups of a frame in the order of their labels, then those without a label but "All"."""
    present = list(dict.fromkeys(frame["group"].astype("str")))
    return [code for code in labels if code in present] + [
        code for code in present if code not in labels and code != "All"
    ]


# In each decade, finest first.
TICK_SERIES = ((1, 1.5, 2, 3, 4, 5, 7), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3))
WIDEST = (0.001, 1000.0)


def limit_ratios(values: Iterable) -> tuple[float, float]:
    """Ends of an axis of ratios that holds 1/2, 2 and these values, but stays within `WIDEST`.

    Values that are missing, 0 or infinite do not count.
    """
    values = np.asarray(values, dtype=float).ravel()
    seen = [0.5, 2.0, *values[np.isfinite(values) & (values > 0)]]
    return max(min(seen) / 1.2, WIDEST[0]), min(max(seen) * 1.2, WIDEST[1])


def set_ratio_axis(ax: Axes, which: str, low: float, high: float, *, room: int) -> None:
    """Make axis x or y logarithmic with round ticks as `room` lets: characters along x, half lines on y."""
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
    axis.set_ticks(ticks, [format_tick(tick) for tick in ticks])


def _fit_along(ticks: list[float], room: float, which: str) -> bool:
    """Whether ticks leave each other room, told in characters per unit of the logarithm."""
    sizes = np.array([len(format_tick(tick)) if which == "x" else 1 for tick in ticks])
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

    ``smallest largest`` are of all, ``lower upper`` of 95 %; what is not `known` is not drawn. `body` is the
    colour of the thick line, where it is to be another.
    """
    if {"smallest", "largest"} <= set(known):
        ax.hlines(y, known["smallest"], known["largest"], color=darken(colour), linewidth=1.6, zorder=3)
    if {"lower", "upper"} <= set(known):
        ax.plot([known["lower"], known["upper"]], [y, y], color=body or colour, zorder=3, **RANGE)
    if "median" in known:
        ax.plot(known["median"], y, "o", color=darken(colour), markeredgecolor="white", zorder=4)


def explain_above(ax: Axes, handles: Iterable, title: str = "") -> None:
    """Explain marks above everything drawn, under a title of the whole figure."""
    handles = list(handles)
    look = {"ncols": min(len(handles), 5), "fontsize": SMALL, "title_fontsize": 10.5, "alignment": "left"}
    ax.figure.legend(handles=handles, loc="outside upper left", title=plain(title, 80) or None, **look)
