# SPDX-License-Identifier: Apache-2.0
"""A run's folder: what the run is (config.json, run.json), and that nobody else's run is continued by mistake."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from barrel_jax import config as configuration
from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.distributed import is_first
from barrel_jax.input.crops import FaceCrops

# A run may go on with other values of these: they change neither the weights nor the order of examples.
FREE = (
    "loop.",
    "mesh.",
    "distributed",
    "join_seconds",
    "heartbeat_seconds",
    "data.source",
    "data.data_dir",
    "data.allow_partial",
    "data.resident",
)
PACKAGES = ("barrel-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")


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


def claim(workdir: Path, config: Config, crops: FaceCrops) -> None:
    """Checks that the run in a folder, if there is one, is this one, and writes what it is (process 0 alone).

    Raises:
      ValueError: the folder belongs to a run on another dataset or with other settings; names them.
    """
    workdir = Path(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"{workdir}: this is a file, and a run needs a folder; choose another --workdir")
    if (workdir / "config.json").exists():
        theirs = files.read_json(workdir / "run.json", "put the run's own back, or choose another --workdir")
        if theirs["fingerprint"] != crops.fingerprint:
            raise ValueError(
                f"{workdir}: this folder belongs to a run on other data ({theirs['dataset']}, fingerprint "
                f"{theirs['fingerprint'][:12]}; now {crops.dataset}, {crops.fingerprint[:12]}); "
                "choose another --workdir"
            )
        before, now = configuration.flatten(configuration.load(workdir)), configuration.flatten(config)
        changed = [
            f"{name}: {before[name]!r} there, {now[name]!r} now"
            for name in now
            if before[name] != now[name] and not name.startswith(FREE)
        ]
        if changed:
            raise ValueError(
                f"{workdir}: this folder belongs to a run with other settings ({'; '.join(changed)}); "
                "choose another --workdir, or give the settings of that run to go on with it"
            )
    if not is_first():
        return
    device = jax.devices()[0]
    run = {
        "dataset": crops.dataset,
        "fingerprint": crops.fingerprint,
        "scheme": crops.scheme.name,
        "num_landmarks": crops.scheme.num_points,
        "command": " ".join(sys.argv),
        "versions": versions(),
        "machine": {
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "kind": device.device_kind,
            "platform": device.platform,
        },
    }
    files.write_json(workdir / "run.json", run)
    configuration.save(config, workdir)
