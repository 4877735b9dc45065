# SPDX-License-Identifier: Apache-2.0
"""Query-aware memory (section 3.3): every query reads its own memory values, at the cost of none.

Equation 2 gives each query i a memory M T^i of its own; equation 3 moves the transform behind the attention,
A (M T^i) = (A M) T^i. With several heads there are two exact readings; this is the first: T^i acts on the value that
cross-attention has extracted, after the heads are joined and projected. Equation 2 in that sense gives query i and
head n the memory M V_n O_n T^i, summed over the heads (tests/models/test_qamem.py shows both give the same numbers).
The paper's "convolutional layer with 1 x 1 kernel, stride 1, and N groups" is that product; its bias is PyTorch's
default.

One layer has K D^2 + K D numbers (4.47M at 68 points), two have 8.95M, and so have one layer and DQInit together: the
9M that section 5 gives QAMem can be read either way (docs/model.md, "Counting"). Two layers have a ReLU between them,
since without one they would be a single layer written at length; they have no exact equation 2.

With a rank r the transforms are T^i = 1 + U^i V^i^T, of 2 K D r numbers (0.28M at 68 points and r = 8). U is zero at
the start, so that training begins where the full transforms do; equations 2 and 3 hold as they are.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray


def identity_per_query(key: jax.Array, shape: tuple[int, int, int], dtype: Any = jnp.float32) -> jax.Array:
    """T^i = 1 for every query: training starts from the shared memory and lets the queries part."""
    del key
    return jnp.broadcast_to(jnp.eye(shape[1], shape[2], dtype=dtype), shape)


def xavier_grouped(key: jax.Array, shape: tuple[int, int, int], dtype: Any = jnp.float32) -> jax.Array:
    """T^i as DETR's code would draw the paper's convolution: Xavier-uniform over a weight [K D, D, 1, 1] with K groups.

    PyTorch counts D inputs and K D outputs of such a weight, so that the numbers are small: the bound is
    sqrt(6 / (D (K + 1))), where each T^i on its own would have sqrt(6 / (2 D)).
    """
    landmarks, width, _ = shape
    bound = (6 / (width * (landmarks + 1))) ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


STARTS = {"identity": identity_per_query, "xavier": xavier_grouped}  # by config.model.qamem_init
columns = nn.initializers.variance_scaling(1.0, "fan_in", "normal", in_axis=1, out_axis=2, batch_axis=0)  # of length 1


class QAMem(nn.Module):
    """The per-query transforms T^i. `start` is one of STARTS; `rank` is that of T^i - 1, 0 for full transforms."""

    layers: int
    start: str
    rank: int
    dtype: Any

    @nn.compact
    def __call__(self, extracted: Float[AnyArray, "B K D"]) -> Float[Array, "B K D"]:
        """Extracted values [B, K, D] -> [B, K, D], row i through its own T^i."""
        _, landmarks, width = extracted.shape
        for index in range(self.layers):
            if index:
                extracted = nn.relu(extracted)
            if self.rank:
                shape = (landmarks, width, self.rank)
                u = self.param(f"u{index + 1}", nn.initializers.zeros, shape).astype(self.dtype)
                v = self.param(f"v{index + 1}", columns, shape).astype(self.dtype)
                moved = jnp.einsum("bkr,ker->bke", jnp.einsum("bkd,kdr->bkr", extracted, u), v)
                transformed = extracted + moved
            else:
                kernel = self.param(f"kernel{index + 1}", STARTS[self.start], (landmarks, width, width))
                transformed = jnp.einsum("bkd,kde->bke", extracted, kernel.astype(self.dtype))
            bias = self.param(f"bias{index + 1}", nn.initializers.zeros, (landmarks, width))
            extracted = transformed + bias[None].astype(self.dtype)
        return extracted
