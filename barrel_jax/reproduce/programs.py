# SPDX-License-Identifier: Apache-2.0
"""A program of this project as a process of its own, with its output in a log."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w" if anew else "a") as text:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=text, stderr=subprocess.STDOUT, check=False)
    return _last_line(log) if done.returncode else ""


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in read_text(path, errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
