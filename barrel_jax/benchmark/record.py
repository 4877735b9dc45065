# SPDX-License-Identifier: Apache-2.0
"""What every result says about how it came about."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from barrel_jax import files
from barrel_jax.workdir import PACKAGES

ROOT = Path(__file__).resolve().parent.parent.parent


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    for opponent in ("torch", "onnxruntime"):
        try:
            versions[opponent] = version(opponent)
        except PackageNotFoundError:
            continue
    return versions


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False)
    if commit.returncode:
        return "unknown"  # installed without the repository
    return commit.stdout.strip() + ("-dirty" if changed.returncode else "")


def describe(benchmark: str, module: str = "", arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Machine, versions, commit and command of a result.

    Args:
      benchmark: its name.
      module: what was run with python -m; by default the script of benchmarks/ that runs.
      arguments: of the command; by default those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    return {
        "benchmark": benchmark,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "devices": [device.device_kind for device in jax.devices()],
        },
        "versions": _versions(),
        "commit": _commit(),
        "command": shlex.join(["python", "-m", module or f"benchmarks.{Path(sys.argv[0]).stem}", *arguments]),
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Writes a result as JSON."""
    files.write_json(path, result)
