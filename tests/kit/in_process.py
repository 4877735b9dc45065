# SPDX-License-Identifier: Apache-2.0
"""A program called in this process, which saves the seconds that a Python of its own takes to start."""

import importlib
import signal


def call(module: str, arguments: list[str]) -> int:
    """The exit status of a program's `main`; the handlers of signals that it sets are taken back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return importlib.import_module(module).main(arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
