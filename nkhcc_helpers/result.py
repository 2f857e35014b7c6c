"""A frame of statistics that carries the options it was made with."""

from __future__ import annotations

import functools
import inspect

import pandas as pd


class Result(pd.DataFrame):
    """A frame with `made_by`, the function that made it, and `options`, by name.

    What is made from it in turn (a selection, a copy with another column) is a plain frame, of which nobody
    says that the options still hold.
    """

    _metadata = ["made_by", "options"]  # noqa: RUF012 (pandas reads it as a list)

    @property
    def _constructor(self):
        return pd.DataFrame


def keeps_options(function):
    """Make `function` return its frame as a `Result`: the options are its keyword-only arguments.

    They come after the options of a `Result` among its positional arguments, which it was made from.
    """
    signature = inspect.signature(function)
    names = [name for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY]

    @functools.wraps(function)
    def make(*args, **kwargs):
        result = Result(function(*args, **kwargs))
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        result.made_by = make
        result.options = {}
        for made_from in args:
            result.options |= made_from.options if isinstance(made_from, Result) else {}
        result.options |= {name: call.arguments[name] for name in names}
        return result

    return make
