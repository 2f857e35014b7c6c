"""What a cell shows: HTML or a picture in a notebook, plain text in a terminal."""

from __future__ import annotations

from IPython.display import Image

from nkhcc_helpers.report.pictures import DPI

_CSS_PIXELS_PER_INCH = 96


class Shown:
    """HTML in a notebook, plain text in a terminal."""

    def __init__(self, markup: str, text: str) -> None:
        self._markup, self._text = markup, text

    def _repr_html_(self) -> str:
        return self._markup

    def __repr__(self) -> str:
        return self._text


class Picture(Image):
    """An image in a notebook, shown also where HTML is not trusted; a name in a terminal."""

    def __init__(self, png: bytes, alt: str, text: str) -> None:
        pixels = int.from_bytes(png[16:20], "big")  # the width field of the PNG header
        width = round(pixels * _CSS_PIXELS_PER_INCH / DPI)
        super().__init__(png, format="png", width=width, alt=alt)
        self._text = text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(include, exclude)
        return {**data, "text/plain": self._text}, metadata

    def __repr__(self) -> str:
        return self._text
