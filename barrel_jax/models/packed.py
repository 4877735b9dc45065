# SPDX-License-Identifier: Apache-2.0
"""A trained model as one small file: its config, the facts of its points, and weights of 8 bits.

Matrices are rounded to 255 levels for each of their outputs (symmetric, the largest weight of an output is the last
level); what has one number an output stays float32. Batch norm is folded in first, so that its scales cost no level.
The file is a NumPy archive without pickled objects; nothing in it runs.
"""

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float32, Shaped

from barrel_jax import files
from barrel_jax.arrays import ArrayTree
from barrel_jax.config import Config, from_dict
from barrel_jax.config_checks import validate
from barrel_jax.facts import Described, check_facts
from barrel_jax.models.build import shapes_of
from barrel_jax.models.folding import fold
from barrel_jax.models.inference import folded_model

SUFFIX = ".npz"
LARGEST_LEVEL = 127
# The axis of QAMem's weights [K, ...] that holds a transform's inputs; its queries and outputs have steps of their own.
INPUTS = {"kernel1": 1, "kernel2": 1, "u1": 1, "u2": 1, "v1": 2, "v2": 2}
MOST_BYTES = 2 << 30  # of the arrays of a file, expanded


@dataclasses.dataclass(frozen=True)
class Packed(Described):
    """What a file holds."""

    config: Config
    facts: dict[str, Any]  # as in a run's run.json: scheme, num_landmarks, box_fit, ...
    variables: ArrayTree  # {params} of the model whose batch norm is folded, float32
    step: int = 0  # of training; 0, since no file says it


def pack(path: Path, config: Config, facts: Mapping[str, Any], variables: ArrayTree) -> int:
    """Writes a model's file and returns its bytes.

    Args:
        path: the file.
        config: of the run.
        facts: of the run, as JSON can say them.
        variables: {params, batch_stats} of its model.

    Raises:
        ValueError: weights are not finite; names the first of them.
    """
    columns: dict[str, Any] = {
        "about": np.array(json.dumps({"config": dataclasses.asdict(config), "facts": dict(facts)}))
    }
    folded = jax.tree.map(np.asarray, jax.jit(fold)(variables))["params"]
    for name, leaf in flatten_dict(folded, sep="/").items():
        if not np.isfinite(leaf).all():
            raise ValueError(f"{path}: not written, as the weights {name} are not finite; take an earlier checkpoint")
        last = name.rpartition("/")[2]
        if leaf.ndim < 2 or last == "embedding" or last.startswith("bias"):
            columns[name] = leaf.astype(np.float32)
        else:
            inputs = INPUTS[last] if last in INPUTS and leaf.ndim == 3 else tuple(range(leaf.ndim - 1))
            step = np.maximum(np.abs(leaf).max(axis=inputs, keepdims=True), 1e-12) / LARGEST_LEVEL
            columns[name] = np.round(leaf / step).astype(np.int8)
            columns[f"{name}:step"] = step.astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **columns)
    files.write_bytes(path, content.getvalue())
    return len(content.getvalue())


def unpack(path: Path) -> Packed:
    """Reads a model's file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such file, or one of a version with other settings, or its weights are of another model
          than its config describes.
    """
    remedy = "write it anew: python -m barrel_jax.export RUN --formats packed"
    content = files.read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            expanded = sum(entry.file_size for entry in archive.infolist())
            if expanded > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES >> 30} GB when it is expanded")
        with np.load(io.BytesIO(content), allow_pickle=False) as columns:
            arrays = {name: columns[name] for name in columns.files}
        if "about" not in arrays:
            raise ValueError(f"its arrays are {', '.join(sorted(arrays)[:4])}, and none says what model it is")
        about = json.loads(str(arrays.pop("about")))
        raw, facts = about["config"], about["facts"]
    except files.BROKEN_ARCHIVE as error:
        raise ValueError(f"{path}: this is no packed model ({error}); {remedy}") from error
    config = from_dict(raw, str(path), remedy)
    try:
        validate(config, trained=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {remedy}") from error
    facts = check_facts(facts, path, remedy)
    model = folded_model(config.model, facts["num_landmarks"])
    like = shapes_of(model, config.data.image_size)["params"]
    params = {}
    for name, leaf in flatten_dict(like, sep="/").items():
        weights = _weights(arrays.pop(name, None), arrays.pop(f"{name}:step", None), leaf.shape)
        if weights is None:
            raise ValueError(f"{path}: its weights {name} are not of the model that its config describes; {remedy}")
        params[name] = weights
    if arrays:
        raise ValueError(f"{path}: its weights {min(arrays)} are of no part of its model; {remedy}")
    return Packed(config, facts, {"params": unflatten_dict(params, sep="/")})


def _weights(
    stored: Shaped[np.ndarray, "..."] | None, step: Shaped[np.ndarray, "..."] | None, shape: tuple[int, ...]
) -> Float32[np.ndarray, "..."] | None:
    """Weights of a shape from what a file holds of them: floats, or levels with their step; None where it does not."""
    if stored is None or stored.shape != shape or stored.dtype != (np.float32 if step is None else np.int8):
        return None
    if step is not None:
        if step.ndim != len(shape) or any(own not in (1, side) for own, side in zip(step.shape, shape, strict=True)):
            return None
        stored = stored * step
    return stored if stored.dtype == np.float32 and np.isfinite(stored).all() else None
