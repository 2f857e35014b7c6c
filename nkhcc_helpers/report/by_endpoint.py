"""What a page shows of each endpoint in turn, and how far it is with what takes long."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.display import display, update_display

from nkhcc_helpers.report.names import show_endpoint
from nkhcc_helpers.report.page import Page

PROGRESS = "nkhcc-progress"  # the line that is shown anew


def say_each(page: Page, sentence: str, table: pd.DataFrame, **values: Any) -> None:
    """Say a sentence of each row of a table.

    Parameters
    ----------
    page : Page
    sentence : str
        As in `Page.say`; ``{name}`` is the endpoint's.
    table : pandas.DataFrame
        Indexed by endpoint; its columns are values of the sentence.
    **values : object
        The same in every sentence.
    """
    for code, row in table.iterrows():
        page.say(sentence, of=code, name=show_endpoint(code, page.trial), **values, **row)


def show_each(
    page: Page, plot: Callable, table: pd.DataFrame, name: str, *arguments: Any, caption: str
) -> None:
    """Show a figure of each endpoint's rows of a table.

    Parameters
    ----------
    page : Page
    plot : callable
        Takes the rows, then `arguments` and a `title`; returns axes.
    table : pandas.DataFrame
        With a column ``endpoint``.
    name : str
        Of the figures, which are numbered.
    caption : str
        Follows the endpoint's name.
    """
    for at, (code, part) in enumerate(table.groupby("endpoint", sort=False)):
        label = show_endpoint(code, page.trial)
        page.show_figure(plot(part, *arguments, title=label), f"{name}_{at}", caption=f"{label}: {caption}")


def show_progress(n_done: int, n_wanted: int, seconds_left: float) -> None:
    """Show how many cohorts are sampled, on one line that is shown anew and stays as it is at the end.

    Parameters
    ----------
    n_done : int
        0 before the first, for a line of its own.
    n_wanted : int
    seconds_left : float
        About how long the others will take.
    """
    text = f"Sampled in this run: {n_done:,} of {n_wanted:,} cohorts"
    if n_done < n_wanted:
        minutes = seconds_left / 60
        text += (
            f"; about {f'{minutes:.0f} minutes' if minutes >= 1.5 else f'{seconds_left:.0f} seconds'} to go"
        )
    shown = {"text/plain": text, "text/html": f'<p class="nkhcc-say">{html.escape(text)}.</p>'}
    (update_display if n_done else display)(shown, raw=True, display_id=PROGRESS)
