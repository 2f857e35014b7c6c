"""A finished figure as files: laid out once for all of them, and the same data make the same bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from nkhcc_helpers.report.results import ILLUSTRATIVE

DPI = 200
SMALL_DPI = 80
"""Of the picture that leads to a figure."""
_FOOTER = {"ha": "left", "va": "top", "fontsize": 7, "color": "#6b7280"}


def lay_out(figure: Any, is_illustrative: bool) -> dict[str, Any]:
    """Fix where everything stands, since that takes longer than drawing; returns how the figure is saved."""
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    inches = figure.get_tightbbox()
    if is_illustrative:  # a footer under all that, whatever the layout
        figure.text(*((inches.x0, inches.y0 - 0.08) / figure.get_size_inches()), ILLUSTRATIVE, **_FOOTER)
    box = figure.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
    return {"bbox_inches": box, "facecolor": "white"}


def draw_png(figure: Any, saved: dict[str, Any], dpi: int = DPI) -> bytes:
    """A figure that is laid out, as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, **saved)
    return buffer.getvalue()


def write_picture(figure: Any, folder: Path, name: str, png: bytes, saved: dict[str, Any]) -> list[Path]:
    """Write a figure as SVG and PNG, and return their paths."""
    paths = [folder / f"{name}{suffix}" for suffix in (".svg", ".png")]
    # A fixed salt and no date: the same data make the same file.
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(paths[0], metadata={"Date": None}, **saved)
    paths[1].write_bytes(png)
    return paths


def write_figure(figure: Any, folder: Path, name: str, *, is_illustrative: bool) -> list[Path]:
    """Write a figure that no notebook shows, as SVG and PNG, and return their paths."""
    saved = lay_out(figure, is_illustrative)
    return write_picture(figure, folder, name, draw_png(figure, saved), saved)
