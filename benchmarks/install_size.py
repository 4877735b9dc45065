# SPDX-License-Identifier: Apache-2.0
"""The size of an installation from the wheel in an empty environment, and the time of its first prediction there.

python -m benchmarks.install_size [--extras none,train] [--out benchmarks/results/install.json]

Builds the wheel, installs it with each of the extras into an environment of its own that is deleted afterwards, and
predicts there, outside the clone, with the model that is in the wheel. Ends with an error when the wheel holds more
than this package, when prediction takes the package from elsewhere, or imports what only training needs.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from barrel_jax.extras import TRAIN
from barrel_jax.provenance import ROOT, describe, write

SCRIPT = ROOT / "benchmarks" / "first_prediction.py"
TIMES = ("import_s", "read_s", "first_s", "second_s")
PIP, WHEEL = ("-m", "pip", "install", "-q"), ("pip", "wheel", "-q", "--no-deps", "-w")
NOT_IMPORTED = {*TRAIN, "chex", "optax", "orbax", "tensorstore"}


def build(folder: Path, installer: str) -> Path:
    """Builds the wheel into a folder; its path. Raises ValueError when it holds more than the package."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # what was deleted since would be built in
    make = ["uv", "build", "-q", "--wheel", "-o"] if installer == "uv" else [sys.executable, "-m", *WHEEL]
    subprocess.run([*make, str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    if others := {top for top in tops if not top.startswith("barrel_jax")}:
        raise ValueError(f"{wheel.name} holds {', '.join(sorted(others))} beside barrel_jax")
    return wheel


def contents(environment: Path) -> tuple[float, int]:
    """The megabytes (10**6 bytes on the disk) and the packages of an environment."""
    files = [path for path in environment.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files) / 1e6, len(list(environment.rglob("*.dist-info")))


def largest(environment: Path, count: int = 6) -> dict[str, float]:
    """The packages that most of an environment is of, with the megabytes of their files."""
    (packages,) = environment.glob("lib/python*/site-packages")
    sizes: dict[str, float] = {}
    for package in distributions(path=[str(packages)]):
        files = [Path(str(file.locate())) for file in package.files or ()]
        sizes[package.name] = sum(path.stat().st_size for path in files if path.is_file()) / 1e6
    return dict(sorted(sizes.items(), key=lambda item: -item[1])[:count])


def measure(wheel: Path, extra: str, repeats: int, installer: str) -> dict[str, Any]:
    """Installs the wheel with an extra, '' for none, and predicts: one row of the result."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python, what = environment / "bin" / "python", f"{wheel}[{extra}]" if extra else str(wheel)
        start = time.perf_counter()
        pip = ["uv", "pip", "install", "-q", "--python", str(python)] if installer == "uv" else [str(python), *PIP]
        subprocess.run([*pip, what], check=True)
        seconds = time.perf_counter() - start
        megabytes, packages = contents(environment)
        most = largest(environment)
        runs = []
        for _ in range(repeats):
            done = subprocess.run([str(python), str(SCRIPT)], cwd=folder, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout))
        if not Path(runs[0]["package"]).is_relative_to(environment):
            raise ValueError(f"predicted with {runs[0]['package']}, not with what the wheel installed")
        if heavy := NOT_IMPORTED & set(runs[0]["modules"]):
            raise ValueError(f"a prediction imports {', '.join(sorted(heavy))}")
    times = {
        name: statistics.median(run[name] for run in runs) for name in ("import_s", "read_s", "first_s", "second_s")
    }
    name = f"barrel-jax[{extra}]" if extra else "barrel-jax"
    brought = {"install": name, "megabytes": megabytes, "packages": packages, "largest": most}
    return brought | {"install_s": seconds} | times


def main() -> None:
    """Builds, installs, predicts, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="none,train", help="an environment for each (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="predictions in a process of their own")
    parser.add_argument("--installer", choices=("pip", "uv"), default="pip", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write the result there")
    args = parser.parse_args()
    result = describe("install")
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder), args.installer)
        result["wheel_mb"] = wheel.stat().st_size / 1e6
        extras = ["" if extra == "none" else extra for extra in args.extras.split(",")]
        result["rows"] = [measure(wheel, extra, args.repeats, args.installer) for extra in extras]
    for row in result["rows"]:
        print(json.dumps(row))
    if args.out:
        write(args.out, result)


if __name__ == "__main__":
    main()
