# SPDX-License-Identifier: Apache-2.0
"""A program of this project as a process of its own, with its output in a log."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from barrel_jax.files import read_text

ROOT = Path(__file__).resolve().parents[2]


def run_program(words: Sequence[str], log: Path, *, anew: bool = False) -> str:
    """Runs Python with these arguments in the project's folder.

    Args:
        words: a script's path, or -m and a module, and its arguments.
        log: where its output is appended.
        anew: starts the log anew instead.

    Returns:
        '', or the last line of the log when the program failed.

    Raises:
        KeyboardInterrupt: Ctrl-C; SIGTERM ends this process. Both reach the program first, which is waited for.
        OSError: the log cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w" if anew else "a") as text:
        status = _call([sys.executable, *words], text)
    return _last_line(log) if status else ""


def _call(command: Sequence[str], output: IO[str]) -> int:
    """Runs a command to its end and returns its status; what tells this process to stop tells the command too.

    A training saves then, which takes longer than the quarter of a second that `subprocess.run` would give it, and
    one that nobody waits for would train on.
    """
    process, told = None, False

    def pass_on(*_: object) -> None:
        nonlocal told
        told = True
        if process:
            process.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        if told:
            process.terminate()
        interrupted, status = False, None
        while status is None:
            try:
                status = process.wait()
            except KeyboardInterrupt:  # by a terminal the command has heard it as well, by kill -INT it has not
                interrupted = True
                process.terminate()
    finally:
        signal.signal(signal.SIGTERM, before)
    if told:
        signal.raise_signal(signal.SIGTERM)
    if interrupted:
        raise KeyboardInterrupt
    return status


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in read_text(path, errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
