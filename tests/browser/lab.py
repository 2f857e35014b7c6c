"""JupyterLab, started as `make lab` starts it, and driven in a browser."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page at once
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
Theme = Literal["JupyterLab Light", "JupyterLab Dark"]
SECONDS_TO_START = 60
IS_DONE = """name => {
  const panel = [...window.jupyterapp.shell.widgets('main')].find(each => each.context?.path === name);
  return panel?.sessionContext.session?.kernel?.status === 'idle'
    && !panel.content.widgets.some(cell => cell.prompt === '*');
}"""
RESULTS = """name => [...window.jupyterapp.shell.widgets('main')].find(each => each.context?.path === name)
  .content.model.sharedModel.toJSON().cells"""


@dataclass(frozen=True)
class Lab:
    """A server that has started: its address, and the folder that it serves, a copy of the project's."""

    url: str
    folder: Path
    start: str  # where `make lab` opens it

    def open(self, page: Page, path: str = "") -> None:
        """Open a notebook, or what is opened at the start, in a workspace of its own."""
        page.goto(f"{self.url}/lab/tree/{path}?reset" if path else f"{self.url}{self.start}")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate("() => window.jupyterapp.restored.then(() => null)")
        page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first.wait_for()

    def run_all(self, page: Page, path: str, seconds: float) -> list[dict[str, Any]]:
        """Run all cells of an open notebook; the cells, with their outputs."""
        page.evaluate(
            """name => [...window.jupyterapp.shell.widgets('main')]
               .find(each => each.context?.path === name).sessionContext.ready.then(() => null)""",
            path,
        )
        command(page, "notebook:run-all-cells")
        page.wait_for_function(IS_DONE, arg=path, timeout=seconds * 1000)
        return page.evaluate(RESULTS, path)


def command(page: Page, name: str, **arguments: Any) -> None:
    """Have JupyterLab do what stands behind an entry of its menus."""
    # What it returns may be more than can be handed over.
    page.evaluate("([name, args]) => { window.jupyterapp.commands.execute(name, args) }", [name, arguments])


def switch_theme(page: Page, theme: Theme) -> None:
    """Show everything in another theme."""
    command(page, "apputils:change-theme", theme=theme)
    page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")


@contextmanager
def serve(folder: Path) -> Iterator[Lab]:
    """Serve a copy of the project from a folder; nothing of the user's settings is read or written."""
    project = folder / "project"
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    _write_settings(folder / "settings")
    asked = _read_recipe()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    environment = os.environ | own | {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    options = ["--no-browser", f"--ServerApp.port={port}", "--IdentityProvider.token=", "--allow-root"]
    options += ["--expose-app-in-browser", "--ServerApp.log_level=WARN"]
    with (folder / "log").open("wb") as log:
        arguments = [sys.executable, "-m", "jupyter", *asked, *options]
        server = subprocess.Popen(arguments, cwd=project, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(lambda: json.load(urllib.request.urlopen(f"{url}/api", timeout=1)))
            yield Lab(url, project, f"/lab/tree/{asked[-1]}")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def _read_recipe() -> list[str]:
    """What `make lab` gives to jupyter."""
    told = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True)
    return shlex.split(told.stdout.splitlines()[-1])[1:]


def _write_settings(folder: Path) -> None:
    for name, settings in SETTINGS.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))


def _wait(answers: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            answers()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
