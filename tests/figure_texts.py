"""What a figure says, whether all of it can be read, and what holds for every figure."""

from functools import cache
from weakref import WeakKeyDictionary

import matplotlib as mpl
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

_TEXTS = WeakKeyDictionary()


def list_texts(figure):
    """Texts of a finished figure, with the boxes they take; tick labels outside the limits are not drawn."""
    if figure not in _TEXTS:
        _TEXTS[figure] = _list_texts(figure)
    return _TEXTS[figure]


def _list_texts(figure):
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()  # a figure that pyplot has closed has none
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                assert isinstance(tick, Tick)
                margin = 1e-9 * (high - low)
                if not low - margin <= tick.get_loc() <= high + margin:
                    hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent(renderer)) for text in texts if text not in hidden]


def texts_outside(figure):
    """Texts that the edge of the figure cuts."""
    box = figure.bbox
    return [
        text.get_text()
        for text, extent in list_texts(figure)
        if extent.x0 < -0.5 or extent.y0 < -0.5 or extent.x1 > box.x1 + 0.5 or extent.y1 > box.y1 + 0.5
    ]


def texts_overlapping(figure):
    """Pairs of texts that stand on one another by more than a sliver."""
    drawn = list_texts(figure)
    return [
        (first.get_text(), second.get_text())
        for i, (first, one) in enumerate(drawn)
        for second, two in drawn[i + 1 :]
        if min(one.x1, two.x1) - max(one.x0, two.x0) > 2 and min(one.y1, two.y1) - max(one.y0, two.y0) > 3
    ]


def shown(ax):
    return [text.get_text() for text, _ in list_texts(ax.figure)]


def check_readable(ax):
    """Every text is inside the figure, stands alone, and tells no number that is none."""
    assert texts_outside(ax.figure) == []
    assert texts_overlapping(ax.figure) == []
    words = " ".join(shown(ax)).split()
    assert not {"nan", "inf", "<NA>", "NaT", "n_events"} & {word.strip("(),") for word in words}


def keep_drawn(figures):
    """A function from the name of a figure and the kind of its trial to its axes, drawn once; read only."""

    @cache
    def drawn(name, kind="four"):
        before = dict(mpl.rcParams)
        ax = figures[name](kind)
        assert dict(mpl.rcParams) == before, "settings of the reader stay as they were"
        return ax

    return drawn


def check_contracts(ax, kind, folder):
    """What holds for every figure: all of it can be read, and text from data stays text, also when saved."""
    check_readable(ax)
    if kind == "hostile":
        assert not any("$" in text.replace("\\$", "") for text in shown(ax))
        ax.figure.set_layout_engine("none")  # it is laid out
        ax.figure.savefig(folder / "figure.svg")  # a warning is an error
        ax.figure.savefig(folder / "figure.png", dpi=50)
