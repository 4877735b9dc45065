# SPDX-License-Identifier: Apache-2.0
"""The training split on the devices, where the step gathers its batches from."""

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from barrel_jax.input.crops import FaceCrops
from barrel_jax.sharding import replicated


class Faces(NamedTuple):
    """A split, or a batch of it, as the training step sees it."""

    images: jax.Array  # uint8 [n, S, S, 3]
    points: jax.Array  # float32 [n, K, 2] in crop units, 0 where not labelled
    labelled: jax.Array  # bool [n, K]


def place(crops: FaceCrops, mesh: Mesh) -> Faces:
    """Puts a whole split on every device of the mesh."""
    labelled = crops.labelled
    points = np.where(labelled[..., None], crops.points_unit, 0.0).astype(np.float32)
    return jax.device_put(Faces(np.asarray(crops.images), points, labelled), replicated(mesh))
