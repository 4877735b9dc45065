# SPDX-License-Identifier: Apache-2.0
"""The training loss: L1 (section 4.1 of the paper), on the points of one decoder layer or of several.

The paper says nothing of losses on inner layers; DETR has them (`config.optim.aux_loss`).
"""

import jax
import jax.numpy as jnp


def landmark_l1(points: jax.Array, truth: jax.Array, labelled: jax.Array) -> jax.Array:
    """Mean absolute coordinate error over the labelled points of the batch and over the layers given.

    Args:
      points: predictions [L, B, K, 2] in crop units.
      truth: [B, K, 2] in crop units; any finite number where a point is not labelled.
      labelled: bool [B, K].

    Returns:
      float32 scalar in crop units; zero when no point of the batch is labelled.
    """
    weight = labelled.astype(jnp.float32)
    error = jnp.abs(points - truth[None]).sum(-1) * weight[None]
    return error.sum() / (2 * points.shape[0] * jnp.maximum(weight.sum(), 1.0))
