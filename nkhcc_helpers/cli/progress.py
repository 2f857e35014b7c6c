"""How far a run is: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys

import click

_LAYOUT = "{desc}{bar:30} {n_fmt}/{total_fmt} [{elapsed}]"


class Progress:
    """Counts steps."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._bar = None

    def start(self, total: int, done: int = 0, layout: str = _LAYOUT) -> None:
        self._total, self._done = total, done
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, bar_format=layout, file=sys.stderr, leave=False)

    def step(self, line: str, *, above_bar: bool = True) -> None:
        """Count one more; its line stands above a bar only if that is asked for."""
        self._done += 1
        line = f"[{self._done}/{self._total}] {line}"
        if self._bar is None:
            click.echo(line)
            return
        if above_bar:
            self._bar.write(line, file=sys.stderr)
        self._bar.update()

    def tell(self, name: str, line: str) -> None:
        """Say how far a step under way is."""
        if self._bar is None:
            click.echo(f"{name}: {line}")
        else:
            self.describe(f"{name[:2]}: {line} ")

    def describe(self, text: str) -> None:
        """Put a text beside the bar; nothing elsewhere."""
        if self._bar is not None:
            self._bar.set_description_str(text)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
