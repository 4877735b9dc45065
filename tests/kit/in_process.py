# SPDX-License-Identifier: Apache-2.0
"""A program called in this process, which saves the seconds that a Python of its own takes to start."""

import contextlib
import importlib
import io
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How a program ended, as subprocess.run tells it."""

    returncode: int
    stdout: str
    stderr: str


def run(module: str, arguments: list[str]) -> Ended:
    """Calls a program and keeps what it says."""
    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        status = call(module, arguments)
    return Ended(status, said.getvalue(), wrong.getvalue())


def call(module: str, arguments: list[str]) -> int:
    """The exit status of a program's `main`; the handlers of signals that it sets are taken back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return importlib.import_module(module).main(arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
