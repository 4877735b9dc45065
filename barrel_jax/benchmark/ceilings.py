# SPDX-License-Identifier: Apache-2.0
"""What a device can do at most, measured: a large matrix product, and a copy of memory."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from barrel_jax.benchmark.sides import MATMUL

# Side of the square matrices, and bytes copied: seconds of work in all on two cores, and enough to fill a GPU.
SIDES = {"cpu": 2048, "cuda": 16384}
BYTES = {"cpu": 2**28, "cuda": 2**32}
REPEATS = 5


def ceilings(device: str, precisions: tuple[str, ...]) -> list[dict[str, Any]]:
    """The best of `REPEATS` for each precision: GFLOP/s of a matrix product; GB/s of a copy, read and written.

    Args: `device` is cpu or cuda; `precisions` as `sides.make_side` has them.
    """
    on = jax.devices({"cuda": "gpu"}.get(device, device))[0]
    rows = []
    with jax.default_device(on):
        for precision in precisions:
            dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
            side = SIDES[device]
            matrix = jnp.ones((side, side), dtype)
            with jax.default_matmul_precision(MATMUL[precision]):
                product = jax.jit(jnp.matmul).lower(matrix, matrix).compile()
            seconds = _best(lambda product=product, matrix=matrix: product(matrix, matrix))
            rows.append({"device": device, "precision": precision, "matmul_gflops": 2e-9 * side**3 / seconds})
        block = jnp.ones(BYTES[device] // 4, jnp.float32)
        # A sum with a number that the compiler does not know is the copy that it cannot leave out.
        copy = jax.jit(jnp.add).lower(block, jnp.float32(1)).compile()
        seconds = _best(lambda: copy(block, jnp.float32(1)))
    return [row | {"copy_gb_per_s": 2e-9 * block.nbytes / seconds} for row in rows]


def _best(run: Callable[[], jax.Array]) -> float:
    jax.block_until_ready(run())
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)
