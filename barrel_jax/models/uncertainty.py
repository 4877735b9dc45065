# SPDX-License-Identifier: Apache-2.0
"""Uncertainty of points: the scale b of a Laplace distribution of the error along x and along y, in crop units.

The likelihood is that of L1, the paper's loss (Kendall and Gal 2017, section 3, with Laplace's distribution in the
Gaussian's place); training.losses has it.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.head import torch_uniform

START = -3.5  # log b at the start: 3 % of the crop's side
LEAST, MOST = -9.0, 1.0  # of log b: what is beyond is of no use, and would be infinite on the way


class LogScale(nn.Module):
    """A perceptron of two layers on the decoder's queries."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, queries: Float[AnyArray, "B K D"]) -> Float[Array, "B K"]:
        """Query embeddings [B, K, D] -> log b [B, K], float32."""
        hidden = nn.relu(nn.Dense(self.width, kernel_init=torch_uniform, dtype=self.dtype, name="layer1")(queries))
        last = nn.Dense(1, kernel_init=nn.initializers.zeros, dtype=jnp.float32, name="layer2")
        return jnp.clip(last(hidden.astype(jnp.float32))[..., 0] + START, LEAST, MOST)
