"""What a figure says, and whether all of it can be read."""

from matplotlib.axis import Tick
from matplotlib.text import Text


def list_texts(figure):
    """Texts drawn, with the boxes they take; tick labels outside the axis limits are not drawn."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
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
