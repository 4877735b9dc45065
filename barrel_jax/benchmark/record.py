# SPDX-License-Identifier: Apache-2.0
"""What every result says about how it came about."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from barrel_jax import files
from barrel_jax.workdir import PACKAGES

ROOT = Path(__file__).resolve().parent.parent


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def describe(benchmark: str) -> dict[str, Any]:
    """Machine, versions, commit and command of a result."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "benchmark": benchmark,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "devices": [device.device_kind for device in jax.devices()],
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "commit": commit,
        "command": shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Writes a result as JSON."""
    files.write_json(path, result)
