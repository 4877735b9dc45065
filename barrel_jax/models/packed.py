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

from barrel_jax import config as configuration
from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.faces.box_fit import BoxFit, fit_of_facts
from barrel_jax.models.folding import fold

SUFFIX = ".npz"
LEVELS = 127
# Which axis of a leaf are its outputs: of QAMem's all but the middle one are (a query's, and its outputs).
INPUTS = {"kernel1": 1, "kernel2": 1, "u1": 1, "u2": 1, "v1": 2, "v2": 2}
MOST_BYTES = 2 << 30  # of the arrays of a file, expanded


@dataclasses.dataclass(frozen=True)
class Packed:
    """What a file holds."""

    config: Config
    facts: dict[str, Any]  # as in a run's run.json: scheme, num_landmarks, box_fit, ...
    variables: dict[str, Any]  # {params} of the model whose batch norm is folded, float32

    @property
    def num_landmarks(self) -> int:
        """K."""
        return self.facts["num_landmarks"]

    @property
    def scheme(self) -> str:
        """The name of the points."""
        return self.facts["scheme"]

    @property
    def box_fit(self) -> BoxFit | None:
        """How boxes lie about the landmarks in the set that the model was trained on; None where nobody said it."""
        return fit_of_facts(self.facts)


def pack(path: Path, config: Config, facts: Mapping[str, Any], variables: Mapping[str, Any]) -> int:
    """Writes a model's file and returns its bytes.

    Args:
      path: the file.
      config: of the run.
      facts: of the run, as JSON can say them.
      variables: {params, batch_stats} of its model.
    """
    columns: dict[str, np.ndarray] = {
        "about": np.array(json.dumps({"config": dataclasses.asdict(config), "facts": dict(facts)}))
    }
    folded = jax.tree.map(np.asarray, jax.jit(fold)(variables))["params"]
    for name, leaf in flatten_dict(folded, sep="/").items():
        last = name.rpartition("/")[2]
        if leaf.ndim < 2 or last == "embedding" or last.startswith("bias"):
            columns[name] = leaf.astype(np.float32)
        else:
            inputs = INPUTS[last] if last in INPUTS and leaf.ndim == 3 else tuple(range(leaf.ndim - 1))
            step = np.maximum(np.abs(leaf).max(axis=inputs, keepdims=True), 1e-12) / LEVELS
            columns[name] = np.round(leaf / step).astype(np.int8)
            columns[f"{name}:step"] = step.astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **columns)  # type: ignore[arg-type]
    files.write(path, lambda temporary: temporary.write_bytes(content.getvalue()))
    return len(content.getvalue())


def unpack(path: Path) -> Packed:
    """Reads a model's file.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is no such file, or one of a version with other settings.
    """
    remedy = "write it anew: python -m barrel_jax.export RUN --formats packed"
    try:
        content = files.read_bytes(path)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise ValueError(f"{path}: more than {MOST_BYTES >> 30} GB when it is expanded; {remedy}")
        with np.load(io.BytesIO(content), allow_pickle=False) as columns:
            arrays = {name: columns[name] for name in columns.files}
        about = json.loads(str(arrays.pop("about")))
        said, facts = about["config"], about["facts"]
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: this is no packed model ({error}); {remedy}") from error
    steps = {name: arrays.pop(name) for name in list(arrays) if name.endswith(":step")}
    leaves = {
        name: leaf * steps[f"{name}:step"] if leaf.dtype == np.int8 else leaf.astype(np.float32)
        for name, leaf in arrays.items()
    }
    params = unflatten_dict(leaves, sep="/")
    return Packed(configuration.from_dict(said, str(path), remedy), facts, {"params": params})
