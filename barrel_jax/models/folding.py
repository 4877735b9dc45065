# SPDX-License-Identifier: Apache-2.0
"""Batch norm folded into the convolutions before it, for inference.

XLA cannot do this by itself, since weights are arguments of the program and not constants.
"""

from collections.abc import Mapping

import jax

from barrel_jax.arrays import ArrayTree
from barrel_jax.models.norms import EPSILON


def fold(variables: ArrayTree) -> ArrayTree:
    """The variables of the same model with `norm='folded'`, whose convolutions have a bias and no norm behind them.

    Args:
        variables: {params, batch_stats} of a model with `norm` 'batch' or 'frozen'; with batch statistics every
          convolution has its norm beside it under the names conv and norm (models/resnet.py, `ConvNorm`).

    Returns:
        {params}; outputs are those of the running statistics, but for rounding.
    """
    return {"params": _fold(variables["params"], variables.get("batch_stats", {}))}


def _fold(params: ArrayTree, statistics: ArrayTree) -> ArrayTree:
    if "conv" in params and "norm" in params:
        norm, seen = params["norm"], statistics["norm"]
        factor = norm["scale"] * jax.lax.rsqrt(seen["var"] + EPSILON)
        # The last axis of a kernel [H, W, inputs, outputs] is the one that the norm scales.
        conv = {
            "kernel": params["conv"]["kernel"] * factor[None, None, None],
            "bias": norm["bias"] - seen["mean"] * factor,
        }
        return {"conv": conv}
    return {
        name: _fold(child, statistics.get(name, {})) if isinstance(child, Mapping) else child
        for name, child in params.items()
    }
