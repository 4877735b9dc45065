# SPDX-License-Identifier: Apache-2.0
"""The provenance of a result: machine, versions of libraries, commit and command."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from barrel_jax import files

ROOT = Path(__file__).resolve().parents[1]
# What a run depends on.
PACKAGES = ("barrel-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")
# Said where they are installed: the opponents, and what JAX and PyTorch run on.
OPTIONAL = (
    "torch",
    "triton",
    "onnxruntime",
    "jax-cuda13-plugin",
    "jax-cuda12-plugin",
    "nvidia-cuda-runtime",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cudnn-cu13",
    "nvidia-cudnn-cu12",
)


def _processor() -> str:
    lines = files.read_text("/proc/cpuinfo").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _optional_versions() -> dict[str, str]:
    found = {}
    for name in OPTIONAL:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    if not shutil.which("git"):
        return "unknown"
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False)
    if commit.returncode:
        return "unknown"  # installed without the repository
    return commit.stdout.strip() + ("-dirty" if changed.returncode else "")


def _gpus() -> list[str]:
    """Name, driver and memory of every NVIDIA GPU, as nvidia-smi has them; [] without it."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    asked = subprocess.run(query, capture_output=True, text=True, check=False)
    return asked.stdout.strip().splitlines() if asked.returncode == 0 else []


def usable_cores() -> int:
    """The cores that this process may use: of a container or a pinned process fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS has none


def describe(benchmark: str, module: str = "", arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Machine, versions, commit and command of a result; to be asked before anything is timed.

    Args:
        benchmark: its name.
        module: what was run with python -m; by default the script of benchmarks/ that runs.
        arguments: of the command; by default those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    machine = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
    }
    gpus = _gpus()
    return {
        "benchmark": benchmark,
        "machine": machine | ({"gpus": gpus} if gpus else {}),
        "versions": versions() | _optional_versions(),
        "commit": _commit(),
        "command": shlex.join(["python", "-m", module or f"benchmarks.{Path(sys.argv[0]).stem}", *arguments]),
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Writes a result as JSON."""
    files.write_json(path, result)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that a run depends on.

    A package that is there without its metadata, as this one is when it is run from its folder, is "not installed".
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
