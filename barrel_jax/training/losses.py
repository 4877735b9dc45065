# SPDX-License-Identifier: Apache-2.0
"""The training losses: L1 (section 4.1 of the paper), on the points of one decoder layer or of several, and likelihood.

The paper says nothing of losses on inner layers; DETR has them (`config.optim.aux_loss`).
"""

import jax
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


def scale_likelihood(
    points: Float[AnyArray, "B K 2"],
    log_scale: Float[AnyArray, "B K"],
    truth: Float[AnyArray, "B K 2"],
    labelled: Bool[AnyArray, "B K"],
) -> Float[Array, ""]:
    """Mean negative log-likelihood of the errors under Laplace distributions of the scales b, but for log 2.

    It is |error| / b + log b, whose least is where b is the mean error. The errors are taken as they are (no gradient
    goes back to the points): else faces that are hard would teach less than those that are not. Through the scales,
    which are read from the queries, it does reach what the points are made of.

    Args:
        points: predictions [B, K, 2] in crop units.
        log_scale: log b [B, K], b in crop units.
        truth: [B, K, 2] in crop units; any finite number where a point is not labelled.
        labelled: bool [B, K].

    Returns:
        float32 scalar, over labelled points and both coordinates; zero when no point of the batch is labelled.
    """
    weight = labelled.astype(jnp.float32)
    error = jax.lax.stop_gradient(jnp.abs(points - truth)).mean(-1)
    return ((error * jnp.exp(-log_scale) + log_scale) * weight).sum() / jnp.maximum(weight.sum(), 1.0)
