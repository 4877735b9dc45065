# SPDX-License-Identifier: Apache-2.0
"""The training loss: L1 (section 4.1 of the paper), on the points of one decoder layer or of several.

The paper says nothing of losses on inner layers; DETR has them (`config.optim.aux_loss`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from barrel_jax.arrays import AnyArray


def landmark_l1(
    points: Float[AnyArray, "L B K 2"], truth: Float[AnyArray, "B K 2"], labelled: Bool[AnyArray, "B K"]
) -> Float[Array, ""]:
    """Mean absolute coordinate error over the labelled points of the batch and over the layers given.

    Args:
      points: predictions [L, B, K, 2] in crop units.
      truth: [B, K, 2] in crop units; any finite number where a point is not labelled.
      labelled: bool [B, K].

    Returns:
      float32 scalar in crop units; zero when no point of the batch is labelled.

    Raises:
      ValueError: the shapes do not belong together; broadcast, they would give a wrong number in silence.
    """
    if points.ndim != 4 or points.shape[1:] != truth.shape or truth.shape[:2] != labelled.shape or truth.ndim != 3:
        raise ValueError(
            f"predictions {points.shape}, truth {truth.shape} and labels {labelled.shape} must be [L, B, K, 2], "
            "[B, K, 2] and [B, K]"
        )
    weight = labelled.astype(jnp.float32)
    error = jnp.abs(points - truth[None]).sum(-1) * weight[None]
    return error.sum() / (2 * points.shape[0] * jnp.maximum(weight.sum(), 1.0))
