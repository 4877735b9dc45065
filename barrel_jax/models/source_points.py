# SPDX-License-Identifier: Apache-2.0
"""Points of crops in source pixels: the network as it is used, and the way back from its crops.

This inference and the prediction of training (`barrel_jax.training.steps.make_predict_step`) are two programs on
purpose. Training and `evaluate.py` score weights as they are trained: variables that change with every step, laid out
on all devices, norms of their own, and computed in the run's type from float32 weights. Here weights are read once and
used on many pictures, on one device: the norms are folded into the convolutions and the weights kept in the compute
type (`barrel_jax.models.inference.inference_weights`), which is faster and differs by rounding.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from barrel_jax.arrays import AnyArray
from barrel_jax.faces.geometry import unit_to_px
from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.models.inference import predict_points, predict_with_scale


def source_points(
    model: BarrelNet, weights: PyTree, crops: Float[AnyArray, "n S S 3"], windows: Float[AnyArray, "n 4"]
) -> tuple[Float[jax.Array, "n K 2"], Float[jax.Array, "n K"] | None]:
    """Points of crops in source pixels, and how sure they are where the model says so.

    Args:
        model: `inference.folded_model`'s.
        weights: of it (`inference.inference_weights`).
        crops: float32 [n, S, S, 3] in grey levels 0..255.
        windows: x, y, w, h [n, 4] that the crops were cut from, in the source's edge coordinates.

    Returns:
        Points float32 [n, K, 2], and the standard deviation [n, K] of a point's error along an axis, both in source
        pixels; None for a model without `uncertainty`.
    """
    if not model.uncertainty:
        return unit_to_px(predict_points(model, weights, crops), windows), None
    points, sigma = predict_with_scale(model, weights, crops)
    # Along x and along y an error in crop units is of other pixels: the root of their mean square.
    return unit_to_px(points, windows), sigma * jnp.sqrt((windows[:, 2:] ** 2).mean(axis=1))[:, None]
