# SPDX-License-Identifier: Apache-2.0
"""manifest.json beside the exported files: what they are, and that they are still what was exported."""

import dataclasses
import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.config import Config, flatten, load_run_config
from barrel_jax.export.conventions import conventions
from barrel_jax.export.executable import machine
from barrel_jax.facts import read_facts
from barrel_jax.models.packed import Packed
from barrel_jax.provenance import versions
from barrel_jax.training.trained import TrainedRun
from barrel_jax.training.workdir import FREE

NAME = "manifest.json"
ANEW = "write it anew: python -m barrel_jax.export WORKDIR"
# What an export writes beside the manifest; no other name in one is ever followed.
WRITTEN = re.compile(r"model(-image)?\.(stablehlo|onnx)|model-[1-9][0-9]*\.executable|run_(stablehlo|onnx)\.py")


def describe(trained: TrainedRun | Packed, contents: dict[str, bytes], differences: dict[str, float]) -> dict[str, Any]:
    """The manifest of files by name; `differences` are their points' largest ones from Flax's, in crop units."""
    size, count = trained.config.data.image_size, trained.num_landmarks
    uncertain = trained.config.model.uncertainty
    return {
        "files": {
            name: {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                **({"largest_difference": differences[name]} if name in differences else {}),
            }
            for name, content in contents.items()
        },
        "images": f"uint8 [B, {size}, {size}, 3], RGB",
        "points": f"float32 [B, {count}, 2], (x, y), (pixel + 0.5) / {size} of the crop",
        "image_form": {
            "takes": "image uint8 [H, W, 3], RGB, and boxes float32 [n, 4] (box)",
            "gives": f"points float32 [n, {count}, 2] in pixels (frames)" + ", and sigma float32 [n, K]" * uncertain,
            "precision": "float32 in full: a runtime that computes in less by itself misplaces the crop (OpenVINO on "
            "some CPUs; INFERENCE_PRECISION_HINT=f32)",
        },
        "crop_form": {
            "takes": f"images uint8 [B, {size}, {size}, 3], RGB, cut as window and sampling say",
            "gives": f"points float32 [B, {count}, 2] in crop units"
            + ", and of model.onnx sigma float32 [B, K]" * uncertain,
        },
        **conventions(trained.config, trained.facts),
        "crop": trained.config.data.crop,
        "scheme": trained.scheme,
        "num_landmarks": trained.num_landmarks,
        "image_size": size,
        "dataset": trained.facts["dataset"],
        "fingerprint": trained.facts["fingerprint"],
        "step": trained.step,
        "config": dataclasses.asdict(trained.config),
        "versions": versions(),
        "machine": machine(),
    }


def read(directory: Path, workdir: Path | None = None) -> dict[str, Any]:
    """The manifest of exported files.

    Args:
        directory: where they lie.
        workdir: the run that they must be of; any when None.

    Raises:
        FileNotFoundError: nothing was exported there.
        ValueError: the manifest is broken, or of another run than `workdir`.
    """
    path = Path(directory) / NAME
    if not path.exists():
        raise FileNotFoundError(f"{path}: nothing is exported there; {ANEW}")
    manifest = files.read_json(path, ANEW)
    if not _is_manifest(manifest):
        raise ValueError(f"{path}: this is no manifest of exported files; {ANEW}")
    strange = [name for name in manifest["files"] if not WRITTEN.fullmatch(name)]
    if strange:
        raise ValueError(f"{path}: it names {strange[0]!r}, which no export writes; {ANEW}")
    if workdir is not None:
        differing = _differing(manifest, Path(workdir))
        if differing:
            more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
            listed = "; ".join(differing[:5]) + more
            raise ValueError(f"{path}: these files are of another run than {workdir} ({listed}); {ANEW}")
    return manifest


def _is_manifest(manifest: Any) -> bool:
    """Whether what a file says has the fields that are read here, of their types."""
    kinds = {"files": dict, "image_size": int, "num_landmarks": int, "config": dict, "versions": dict, "machine": dict}
    return (
        isinstance(manifest, dict)
        and all(type(manifest.get(name)) is kind for name, kind in kinds.items())
        and all(isinstance(entry, dict) and type(entry.get("sha256")) is str for entry in manifest["files"].values())
        and isinstance(manifest["machine"].get("instructions"), list)
    )


def written_before(directory: Path) -> set[str]:
    """The files of an earlier export in a folder, as far as its manifest tells: names that an export writes alone."""
    try:
        manifest = files.read_json(Path(directory) / NAME, ANEW)
    except (ValueError, FileNotFoundError):
        return set()
    named = manifest.get("files") if isinstance(manifest, dict) else None
    return {name for name in named if WRITTEN.fullmatch(name)} if isinstance(named, dict) else set()


def _differing(manifest: dict[str, Any], workdir: Path) -> list[str]:
    config = load_run_config(workdir)
    facts = read_facts(workdir)
    theirs = {name: facts[name] for name in ("dataset", "fingerprint", "scheme", "num_landmarks")}
    ours = {name: manifest.get(name) for name in theirs}
    theirs |= {name: value for name, value in flatten(config).items() if not name.startswith(FREE)}
    ours |= flatten(Config())  # what an earlier version's config does not name
    ours |= _flat(config_there if isinstance(config_there := manifest.get("config"), dict) else {})
    for name in ("model.dqinit_rank", "model.qamem_rank"):  # an export may lower them
        ours[name] = theirs[name] = 0
    # Through JSON, which has no tuples.
    return [
        f"{name}: {repr(ours.get(name))[:60]} exported, {repr(value)[:60]} there"
        for name, value in json.loads(json.dumps(theirs)).items()
        if ours.get(name) != value
    ]


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in node.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def content(directory: Path, name: str, manifest: dict[str, Any], sha256: str = "") -> bytes:
    """A file whose SHA-256 is the manifest's, and the one that is given, if one is.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it was not exported, or is another than was.
    """
    path = Path(directory) / name
    if name not in manifest["files"]:
        raise ValueError(f"{path}: not exported; there are {', '.join(manifest['files'])}; {ANEW} --formats --batches")
    if not path.exists():
        raise FileNotFoundError(f"{path}: gone since it was exported; {ANEW}")
    read = files.read_bytes(path)
    found, expected = hashlib.sha256(read).hexdigest(), manifest["files"][name]["sha256"]
    if found != expected:
        raise ValueError(
            f"{path}: its SHA-256 is {found[:12]}, the manifest's {expected[:12]}: changed, or of another "
            f"export; {ANEW}"
        )
    if sha256 and found != sha256.lower():
        raise ValueError(
            f"{path}: its SHA-256 is {found[:12]}, and {sha256[:12]} was asked for; it is not that export's"
        )
    return read


def check_machine(path: Path, manifest: dict[str, Any]) -> None:
    """That a compiled program can run here.

    Raises:
        ValueError: it was compiled by another jax or jaxlib, or for another device or processor; names both.
    """
    ours = {name: version(name) for name in ("jax", "jaxlib")} | machine()
    theirs = {**manifest.get("versions", {}), **manifest.get("machine", {})}
    # More instructions than were compiled for do no harm.
    absent = sorted(set(theirs.pop("instructions", [])) - set(ours.pop("instructions")))
    differing = [
        f"{name} {theirs.get(name)}, here {value}" for name, value in ours.items() if theirs.get(name) != value
    ]
    differing += [f"a processor with {', '.join(absent)}"] * bool(absent)
    if differing:
        raise ValueError(f"{path}: compiled for another machine ({'; '.join(differing)}); {ANEW}")
