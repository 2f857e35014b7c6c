"""What a notebook shows and what it leaves behind.

A notebook opens one page, shows its sentences, tables and figures through it, and finishes it. Text that
comes from data is escaped wherever it is shown; with an output folder, what is shown is also written: figures
as SVG and PNG, tables as CSV, values as JSON.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import clear_output, display

from nkhcc_helpers.report import names
from nkhcc_helpers.report.findings import Findings, Kind, name_place
from nkhcc_helpers.report.headlines import Headline, read_headlines
from nkhcc_helpers.report.paper import print_on_paper
from nkhcc_helpers.report.pictures import SMALL_DPI, draw_png, lay_out, write_picture
from nkhcc_helpers.report.results import (
    ILLUSTRATIVE,
    NOTEBOOK_VARIABLE,
    PROGRESS_VARIABLE,
    format_json_value,
    list_versions,
    write_csv,
    write_json,
    write_whole,
)
from nkhcc_helpers.report.sentences import EscapingFormatter, describe_cut, describe_progress, strip_tags
from nkhcc_helpers.report.shown import Picture, Shown
from nkhcc_helpers.report.tables import format_result

# Without these JupyterLab typesets what stands between dollar signs, and data may hold dollar signs.
_NO_MATH = "tex2jax_ignore mathjax_ignore"
_BANNER = "color:#1f2937;padding:.5em 1em;margin:.5em 0"


def open_page(trial: Any, notebook: str, out_dir: str | Path = "", *, endpoint: str = "") -> Page:
    """Open the page that a notebook shows its results on.

    Parameters
    ----------
    trial : Trial
        The trial analysed.
    notebook : str
        Name of the notebook, without ``.ipynb``.
    out_dir : str or pathlib.Path
        Folder to write figures, tables and results into; ``""`` shows everything and writes nothing.
    endpoint : str
        Code of the endpoint that it is about; empty for the trial's first.
    """
    return Page(trial, os.environ.get(NOTEBOOK_VARIABLE) or notebook, out_dir, endpoint=endpoint)


class Page:
    """What one notebook shows; made by :func:`open_page`.

    Attributes
    ----------
    results : dict
        `headlines`, `values`, `tables` and `figures` so far, by name, and the texts of `findings` and
        `cautions`.
    """

    def __init__(self, trial: Any, notebook: str, out_dir: str | Path = "", *, endpoint: str = "") -> None:
        self.trial, self.notebook, self._endpoint = trial, notebook, endpoint
        self.out_dir = Path(out_dir) if str(out_dir) else None
        self.results: dict[str, Any] = {"findings": [], "cautions": []}
        self.results |= {name: {} for name in ("headlines", "values", "tables", "figures")}
        self._formatter = EscapingFormatter()
        self._kept_by_group: set[str] = set()
        self._findings, self._box = Findings(), None

    @property
    def endpoint(self) -> str:
        """Code of the endpoint that the page is about."""
        return self._endpoint or next(iter(self.trial.endpoint_labels))

    def show_banner(self) -> None:
        """Show which trial this is, where its data come from, and what was assumed."""
        metadata = self.trial.metadata
        lines = [f"<b>{html.escape(metadata.title)}</b> ({html.escape(metadata.study_id)})"]
        lines += [html.escape(text) for text in (metadata.source, metadata.registration) if text]
        if self.trial.is_illustrative:
            lines.insert(0, f"<b>{ILLUSTRATIVE}.</b> Nothing on this page was observed in a patient.")
        lines += [f"<b>Warning:</b> {html.escape(warning)}" for warning in self.trial.warnings]
        body = "".join(f'<p style="margin:.3em 0">{line}</p>' for line in lines) + _list_assumptions(metadata)
        edge, ground = ("#b45309", "#fff7ed") if self.trial.is_illustrative else ("#1d4ed8", "#eff6ff")
        style = f"border-left:4px solid {edge};background:{ground};{_BANNER}"
        _show(
            f'<aside class="nkhcc-banner {_NO_MATH}" style="{style}">{body}</aside>',
            "\n".join(strip_tags(line) for line in lines),
        )
        for text, values in names.describe_selection(self.trial):
            self.say(text, otherwise="", **values)
        # Filled by `finish`; nothing to fill where there is no notebook.
        self._box = display(Shown("", ""), display_id=True)

    def say(
        self, template: str, /, *, of: object = None, otherwise: str | None = None, **values: Any
    ) -> None:
        """Show a sentence computed from the data, and :meth:`record` its values.

        Parameters
        ----------
        template : str
            Sentence with ``{name}`` or ``{name:format}`` fields, of which each needs a value or ValueError;
            trusted, so it may hold ``<b>`` or ``<i>``.
            ``{p:p}`` is a P value as in tables.
            ``{n: group|groups}`` is "1 group" or "4 groups", with ``{n:, group|groups}`` "1,000 groups", and
            ``{n:- was|were}`` the word alone; the words may hold fields, ``{n: {word}|{word}s}``.
        of : str, optional
            What the sentence is about, such as the code of a group.
        otherwise : str, optional
            Template in its place where one of its values is not estimable; ``""`` says nothing then.
        **values : object
            Values of the fields, escaped when shown. What is not estimable prints NE whatever its format. A
            list is formatted item by item and joined by commas and "and"; an empty one prints "none".
            What the trial calls a treatment is there as ``word words Word Words``.
        """
        sentence = self._compose(template, of, otherwise, values)
        if sentence:
            _show(f'<p class="nkhcc-say {_NO_MATH}">{sentence}</p>', strip_tags(sentence))

    def find(
        self, template: str, /, *, of: object = None, otherwise: str | None = None, **values: Any
    ) -> None:
        """Add a sentence to the findings at the top of the page; arguments of :meth:`say`. Shows nothing."""
        self._conclude("findings", template, of, otherwise, values)

    def caution(
        self, template: str, /, *, of: object = None, otherwise: str | None = None, **values: Any
    ) -> None:
        """Add what may not be concluded to the top of the page; arguments of :meth:`say`. Shows nothing."""
        self._conclude("cautions", template, of, otherwise, values)

    def _conclude(self, kind: Kind, template: str, of: object, otherwise: str | None, values: dict) -> None:
        self._findings.add(kind, (template, of), self._compose(template, of, otherwise, values))
        self.results[kind] = self._findings.list_texts(kind)

    def _compose(self, template: str, of: object, otherwise: str | None, values: dict[str, Any]) -> str:
        """The sentence that a template makes of values, which are recorded."""
        fields = {**names.name_treatment(self.trial), **values}
        if otherwise is not None and self._formatter.lacks_value(template, fields):
            template = otherwise
        sentence = self._formatter.vformat(template, (), fields)
        self.record(of=of, **values)
        return sentence

    def say_each(self, template: str, /, table: pd.DataFrame, **values: Any) -> None:
        """Say a sentence of each row of a table that has an endpoint as index and values as columns.

        ``{name}`` is what the endpoint is called; `values` are the same in every sentence. Of a table without
        rows it is said what would be said otherwise.
        """
        if table.empty:
            self.say(values.get("otherwise", ""))
        for code, row in table.iterrows():
            self.say(template, of=code, name=names.show_endpoint(code, self.trial), **values, **row)

    def say_patients(self, frame: pd.DataFrame, strata: str = "") -> None:
        """Say who of a frame of `Trial.survival` has what events, since when, and in which strata."""
        for template, values in names.describe_patients(self.trial, self.endpoint, frame, strata):
            self.say(template, otherwise="", **values)

    def say_claimed(self, *claimed: Any) -> None:
        """Say what is claimed of a trial, and what not; arguments of `names.describe_claimed`."""
        for of, template, values in names.describe_claimed(self.trial, *claimed):
            self.say(template, of=of, otherwise="", **values)

    def say_cut(
        self, what: str, n_done: int, n_asked: int, missing: Sequence[Any] = (), is_cut: bool | None = None
    ) -> bool:
        """Say how far a computation came before time was up, and mark it in the results; whether it was cut.

        `missing` names what was not done: claims in words, or tests as pairs of endpoint and `Statistic`. It
        was cut where less is done than was asked for, unless `is_cut` tells.
        """
        if not (n_done < n_asked if is_cut is None else is_cut):
            return False
        self.results.setdefault("cut_by_time", {})[what] = {"n_done": n_done, "n_asked": n_asked}
        template, values = describe_cut(self.trial, what, n_done, n_asked, missing)
        self.say(template, of=what, **values)
        return True

    def record(self, /, *, of: object = None, **values: Any) -> None:
        """Keep values for the results.

        Parameters
        ----------
        of : str, optional
            What the values belong to, such as the code of a group. Without it a value is kept under its name;
            with it, under its name and then under `of`: ``{"n": {"A": 3, "B": 5}}``.
        **values : object
            Numbers, text, dates, lists or frames. A name that comes again with another value becomes
            ``name_2``, so that nothing is lost; a sentence said once for each group should say `of` which.
        """
        kept = self.results["values"]
        for name, value in values.items():
            plain = format_json_value(value)
            key, count = name, 1
            while not self._is_free(key, of, plain):
                count += 1
                key = f"{name}_{count}"
            if of is None:
                kept[key] = plain
            else:
                self._kept_by_group.add(key)
                kept.setdefault(key, {})[str(of)] = plain

    def _is_free(self, key: str, of: object, plain: object) -> bool:
        kept = self.results["values"]
        if key not in kept:
            return True
        if (key in self._kept_by_group) != (of is not None):
            return False
        return (kept[key] if of is None else kept[key].get(str(of), plain)) == plain

    def headline(self, name: str, label: str, value: Any, **fields: Any) -> None:
        """Record a `Headline`, and show nothing; ValueError where another has its name."""
        plain = format_json_value(asdict(Headline(name, label, value, **fields)))
        if self.results["headlines"].setdefault(plain.pop("name"), plain) != plain:
            raise ValueError(f"two headlines of this page would be called {name!r}")

    def headline_each(self, *arguments: Any, **fields: Any) -> None:
        """Record a headline of each row of a table; arguments of `headlines.read_headlines`."""
        for found in read_headlines(*arguments, **fields):
            self.headline(**found)

    def show(self, result: Any, name: str, *, data: pd.DataFrame | None = None, **options: Any) -> None:
        """Show the table of a result, and keep its numbers as :meth:`show_table` does.

        Parameters
        ----------
        result : Result, Comparison or pandas.DataFrame
            What a statistics function returned; it carries the options that made it.
        name : str
        data : pandas.DataFrame, optional
            The numbers to keep, where they are not those of `result`.
        **options
            ``notes`` and what else the table takes; of a plain frame ``title``, ``labels``, ``decimals``.
            They go before the options that the result carries, and its endpoint before the page's.

        Raises
        ------
        TypeError
            No table shows such a result, or it takes no such option; a plain frame without ``title``.
        """
        table = format_result(result, self.trial, about=self.endpoint, **options)
        self.show_table(table, name, data=result if data is None else data)

    def show_table(self, table: Any, name: str, *, data: pd.DataFrame | None = None) -> None:
        """Show a display table, and keep the numbers behind it.

        Parameters
        ----------
        table : great_tables.GT
        name : str
            Lower-case letters, digits and underscores, or ValueError; a table shown again under one name
            replaces the first.
        data : pandas.DataFrame, optional
            The numbers behind the table, for ``tables/<notebook>/<name>.csv`` and the results.
        """
        _check_name(name)
        kept: dict[str, Any] = {"files": [], "rows": []}
        text = f"Table {name}"
        if data is not None:
            text = f"{text}\n{data.to_string(index=False, max_rows=200)}"
            kept["rows"] = format_json_value(data)
        if data is not None and self.out_dir:
            path = write_csv(data, self._folder("tables") / f"{name}.csv")
            kept["files"] = [self._relative(path)]
        self.results["tables"][name] = kept
        _show(f'<div class="nkhcc-table {_NO_MATH}">{print_on_paper(table.as_raw_html())}</div>', text)

    def show_figure(self, figure: Any, name: str, *, caption: str, main: bool = False) -> None:
        """Show a figure with its caption, write it as SVG and PNG, and close it.

        Parameters
        ----------
        figure : matplotlib Figure, Axes, or anything with a `figure`
        name : str
            As in :meth:`show_table`, with the same error.
        caption : str
            Stands below the figure and in place of it for those who cannot see it; escaped.
        main : bool
            Whether the figure stands for the notebook on the report's first page.
        """
        _check_name(name)
        figure = getattr(figure, "figure", figure)
        saved = lay_out(figure, self.trial.is_illustrative)
        png = draw_png(figure, saved)
        files = write_picture(figure, self._folder("figures"), name, png, saved) if self.out_dir else []
        if main:
            self._findings.set_picture(name, caption, draw_png(figure, saved, SMALL_DPI))
        plt.close(figure)
        files = [self._relative(file) for file in files]
        self.results["figures"][name] = {"caption": caption, "main": bool(main), "files": files}
        display(Picture(png, caption, f"Figure {name}"))
        place = f'id="{name_place(name)}" style="scroll-margin-top:32rem"'  # so that the figure is seen
        _show(f'<p class="nkhcc-caption {_NO_MATH}" {place}>{html.escape(caption)}</p>', caption)

    def show_each(
        self, plot: Callable, table: pd.DataFrame, name: str, *arguments: Any, caption: str
    ) -> None:
        """Show a numbered figure of each endpoint's rows; `plot` takes them, `arguments` and a `title`."""
        for at, (code, part) in enumerate(table.groupby("endpoint", sort=False)):
            label = names.show_endpoint(code, self.trial)
            axes = plot(part, *arguments, title=label)
            self.show_figure(axes, f"{name}_{at}", caption=f"{label}: {caption}")

    def show_progress(self, n_done: int, n_wanted: int, seconds_left: float, what: str = "cohorts") -> None:
        """Show a bar of how many are done, in place of the cell's earlier outputs, until all are.

        Each is an output of its own until the next one comes, so that the log of a run holds them all.
        """
        text = describe_progress(n_done, n_wanted, seconds_left, what)
        if n_done:
            clear_output(wait=True)
        if n_done < n_wanted:
            bar = f'<progress title="{text}" max="{n_wanted}" value="{n_done}"></progress>'
            display({"text/plain": text, "text/html": f'<p class="nkhcc-say">{bar} {text}.</p>'}, raw=True)
        if PROGRESS_VARIABLE in os.environ:
            write_whole(Path(os.environ[PROGRESS_VARIABLE]), text)

    def finish(self) -> None:
        """Fill the box at the top, record the versions used, write the results, and show the versions."""
        markup, text = self._findings.write(_NO_MATH)
        if self._box:
            self._box.update(Shown(markup, text))
        elif text:
            _show(markup, text)
        versions = list_versions()
        self.results["versions"] = versions
        if self.out_dir:
            folder = self.out_dir / "results"
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / f"{self.notebook}.json", self.results)
        shown = ", ".join(f"{name} {text}" for name, text in versions.items())
        _show(f'<p class="nkhcc-versions">Made with {html.escape(shown)}.</p>', f"Made with {shown}.")

    def _folder(self, kind: str) -> Path:
        folder = self.out_dir / kind / self.notebook
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.out_dir).as_posix()


def _show(markup: str, text: str) -> None:
    display(Shown(markup, text))


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
        raise ValueError(
            f"{name!r} cannot name a table or figure; use lower-case letters, digits and underscores"
        )


def _list_assumptions(metadata: Any) -> str:
    items = [
        f"<li>{html.escape(item.what)}: {html.escape(str(item.value))} ({html.escape(item.why)})</li>"
        for item in metadata.assumptions
    ]
    if not items:
        return ""
    return f"<details><summary>Assumptions ({len(items)})</summary><ul>{''.join(items)}</ul></details>"
