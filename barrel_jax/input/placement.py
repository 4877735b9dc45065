# SPDX-License-Identifier: Apache-2.0
"""Faces as the training step sees them, and a whole split of them on the devices, which gather their batches there."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, UInt8

from barrel_jax.devices.sharding import replicated
from barrel_jax.input.crops import FaceCrops


class Faces(NamedTuple):
    """A split, or a batch of it: arrays of JAX's or NumPy's, or their shapes."""

    images: UInt8[Any, "n S S 3"]
    points: Float[Any, "n K 2"]  # float32, in crop units, 0 where not labelled
    labelled: Bool[Any, "n K"]


def labels(crops: FaceCrops) -> tuple[Float[np.ndarray, "n K 2"], Bool[np.ndarray, "n K"]]:
    """`points` and `labelled` of a whole split on the host, as `Faces` has them."""
    return np.where(crops.labelled[..., None], crops.points_unit, 0.0).astype(np.float32), crops.labelled


def place(crops: FaceCrops, mesh: Mesh) -> Faces:
    """Puts a whole split on every device of the mesh."""
    return jax.device_put(Faces(np.asarray(crops.images[:]), *labels(crops)), replicated(mesh))
