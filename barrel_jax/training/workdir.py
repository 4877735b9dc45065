# SPDX-License-Identifier: Apache-2.0
"""A run's folder: what the run is (config.json, run.json), and that nobody else's run is continued by mistake."""

import sys
from pathlib import Path
from typing import Any

import jax

from barrel_jax import files
from barrel_jax.config import Config, load_run_config, save_run_config, settings
from barrel_jax.devices.distributed import is_first
from barrel_jax.faces.box_fit import fit_of_landmarks
from barrel_jax.facts import read_facts
from barrel_jax.input.crops import FaceCrops
from barrel_jax.provenance import versions

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
    "data.max_pixels",
    "data.resident",
)


def claim(
    workdir: Path, config: Config, crops: FaceCrops, start: dict[str, Any] | None = None, steps: int | None = None
) -> str:
    """Checks that the run in a folder, if there is one, is this one, and writes what it is (process 0 alone).

    A run may be given more epochs than it had.

    Args:
        workdir: the run's folder.
        config: its settings.
        crops: what it is trained on.
        start: what a new run took from another (`transfer.Start.facts`); a run that goes on keeps what it wrote.
        steps: of the whole run, by which others know whether it came to its end.

    Returns:
        what is to be said of a run that is lengthened, else ''.

    Raises:
        ValueError: the folder belongs to a run on another dataset or with other settings; names them.
    """
    workdir = Path(workdir)
    note, kept = _go_on(workdir, config, crops) if (workdir / "config.json").exists() else ("", {})
    if is_first():
        run = _facts_of(crops) | kept | ({"init_from": start} if start else {})
        run |= {} if steps is None else {"steps": steps}
        files.write_json(workdir / "run.json", run)
        save_run_config(config, workdir)
    return note


def _go_on(workdir: Path, config: Config, crops: FaceCrops) -> tuple[str, dict[str, Any]]:
    """Checks that the run in a folder is this one: what is to be said of it, and the facts that it keeps."""
    note = ""
    theirs = {"dataset": "unknown", "fingerprint": "unknown"} | read_facts(workdir)
    if theirs["fingerprint"] != crops.fingerprint:
        raise ValueError(
            f"{workdir}: this folder belongs to a run on other data ({theirs['dataset']}, fingerprint "
            f"{theirs['fingerprint'][:12]}; now {crops.dataset}, {crops.fingerprint[:12]}); "
            "choose another --workdir"
        )
    sets = [[part["dataset"], part["fingerprint"]] for part in theirs.get("also", [])]
    if sets != [[part.dataset, part.fingerprint] for part in crops.parts[1:]]:
        raise ValueError(
            f"{workdir}: this folder belongs to a run that was trained on other sets beside {crops.dataset} "
            f"({', '.join(f'{name}, fingerprint {mark[:12]}' for name, mark in sets) or 'none'}; now "
            f"{', '.join(f'{part.dataset}, {part.fingerprint[:12]}' for part in crops.parts[1:]) or 'none'}); "
            "choose another --workdir"
        )
    kept = {name: theirs[name] for name in ("init_from", "lengthened") if name in theirs}
    before: dict[str, Any] = settings(load_run_config(workdir))
    now: dict[str, Any] = settings(config)
    if now["optim.epochs"] > before["optim.epochs"]:
        note = _lengthened(workdir, config, before["optim.epochs"])
        kept["lengthened"] = [*kept.get("lengthened", []), [before["optim.epochs"], config.optim.epochs]]
        before["optim.epochs"] = config.optim.epochs
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
    return note, kept


def _facts_of(crops: FaceCrops) -> dict[str, Any]:
    """What a run's folder says of its data, its command and its machine."""
    device = jax.devices()[0]
    run = {
        "dataset": crops.dataset,
        "fingerprint": crops.fingerprint,
        "scheme": crops.scheme.name,
        "num_landmarks": crops.scheme.num_points,
        "flip": list(crops.scheme.flip),
        "command": " ".join(sys.argv),
        "versions": versions(),
        "machine": {
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "kind": device.device_kind,
            "platform": device.platform,
        },
    }
    first = slice(crops.parts[0].faces if crops.parts else None)  # other sets have boxes of their own kind
    fit = fit_of_landmarks(crops.boxes[first], crops.points_px[first], crops.labelled[first])
    run |= {"box_fit": [list(fit.shift), list(fit.size)]} if fit else {}
    run |= {"also": [part._asdict() for part in crops.parts[1:]]} if crops.parts else {}
    return run


def _lengthened(workdir: Path, config: Config, epochs: int) -> str:
    schedule = {
        "step": "under the step schedule it ends as if it had had them from the start",
        "cosine": (
            "the cosine schedule is another one now: the rate falls to zero at the new end, and the steps that are "
            "done had the rates of the old one, so that it does not end as a run that had them from the start"
        ),
    }
    return f"{workdir}: lengthened from {epochs} to {config.optim.epochs} epochs; {schedule[config.optim.schedule]}"
