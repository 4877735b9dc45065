# SPDX-License-Identifier: Apache-2.0
"""DETR's prediction head: from the embedding of a query to a point."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray

# torch.nn.Linear's own draw, which DETR leaves in the head and in the projection.
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Head(nn.Module):
    """A perceptron of three layers, shared by all queries and all decoder layers; a sigmoid of its result is a point.

    `last` draws the last layer's weights.
    """

    width: int
    dtype: Any
    last: Any = torch_uniform

    def setup(self) -> None:
        """Declares the layers once, so that every decoder layer shares them."""
        self.layer1 = nn.Dense(self.width, kernel_init=torch_uniform, dtype=self.dtype)
        self.layer2 = nn.Dense(self.width, kernel_init=torch_uniform, dtype=self.dtype)
        # Its result is coordinates. In TF32 it would move them by hundredths of a pixel, in a TPU's bfloat16 by tenths;
        # in full it costs nothing.
        self.layer3 = nn.Dense(2, kernel_init=self.last, dtype=jnp.float32, precision="highest")

    def __call__(self, queries: Float[AnyArray, "B K D"]) -> Float[Array, "B K 2"]:
        """Query embeddings [B, K, D] -> [B, K, 2], whose sigmoids are points in crop units, float32."""
        return self.layer3(nn.relu(self.layer2(nn.relu(self.layer1(queries)))).astype(jnp.float32))
