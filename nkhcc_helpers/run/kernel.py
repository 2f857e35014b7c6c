"""A kernel forked from the process that executes a notebook, which has all imports done."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from multiprocessing import resource_tracker
from typing import Any

PROVISIONER = "nkhcc-forked"
_PATH = list(sys.path)


class ForkedKernel:
    """A kernel process forked ahead, with all imports done; it waits to be told its connection file.

    To jupyter_client it is what `subprocess.Popen` is.
    """

    stdin = stdout = stderr = returncode = None

    def __init__(self) -> None:
        reader, self._writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._writer)
            try:
                _become_kernel(reader)
            finally:
                os._exit(1)
        os.close(reader)

    def begin(self, command: list[str], folder: str | None, environment: dict[str, str]) -> None:
        """Let it be the kernel that this command would have started."""
        told = {"argv": command, "cwd": folder or os.getcwd(), "env": environment, "parent": os.getpid()}
        with open(self._writer, "w") as pipe:
            json.dump(told, pipe)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _become_kernel(reader: int) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open(reader) as pipe:
        text = pipe.read()
    if not text:  # the worker ended without a use for a kernel
        return
    told = json.loads(text)
    os.environ.clear()
    os.environ.update(told["env"])
    os.chdir(told["cwd"])
    from ipykernel.kernelapp import IPKernelApp

    sys.argv, sys.path[:] = told["argv"][2:], _PATH
    resource_tracker._resource_tracker._fd = None  # A tracker of its own: this kernel is ended at once.
    IPKernelApp.launch_instance([*sys.argv[1:], f"--IPKernelApp.parent_handle={told['parent']}"])


def register(kernel: ForkedKernel) -> None:
    """Make jupyter_client start its next kernel by letting this one begin."""
    from importlib.metadata import EntryPoint

    from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

    waiting = [kernel]

    class Provisioner(LocalProvisioner):
        async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
            if not waiting:  # a second attempt
                return await super().launch_kernel(cmd, **options)
            self.process = waiting.pop()
            self.process.begin(cmd, options.get("cwd"), options.get("env") or dict(os.environ))
            self.pid = self.pgid = self.process.pid
            return self.connection_info

    class Entry(EntryPoint):
        def load(self) -> type:
            return Provisioner

    group = KernelProvisionerFactory.GROUP_NAME
    KernelProvisionerFactory.provisioners[PROVISIONER] = Entry(PROVISIONER, f"{__name__}:register", group)
