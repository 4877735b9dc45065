# SPDX-License-Identifier: Apache-2.0
"""The most that a device can do, measured: a large matrix product, and a copy of memory."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from barrel_jax.benchmark.frameworks import MATMUL, give_back
from barrel_jax.benchmark.refusals import reason, refusals
from barrel_jax.benchmark.sides import device_of

# Side of the square matrices, and bytes copied: seconds of work in all on two cores, and enough to fill a GPU.
SIDES = {"cpu": 2048, "cuda": 16384}
BYTES = {"cpu": 2**28, "cuda": 2**32}
REPEATS = 5


def ceilings(device: str, precisions: tuple[str, ...], side: int = 0, size: int = 0) -> list[dict[str, Any]]:
    """The best of `REPEATS` for each precision: GFLOP/s of a matrix product; GB/s of a copy, read and written.

    Of random numbers: with ones a chip draws less power, and keeps a clock that no network sees.

    Args: `device` is cpu or cuda; `precisions` of `frameworks.MATMUL`; `side` of the matrices and `size` of what is
      copied in bytes, 0 for what occupies the device.

    Returns: the rows; with `error`, a line, in the place of numbers where the device has no room.
    """
    rows = []
    for precision in precisions:
        row: dict[str, Any] = {"device": device, "precision": precision}
        try:
            with jax.default_device(device_of(device)):
                matmul, copy = _matmul(side or SIDES[device], precision), _copy(size or BYTES[device])
                rows.append(row | {"matmul_gflops": matmul, "copy_gb_per_s": copy})
        except refusals() as error:
            rows.append(row | {"error": reason(error)})
        give_back()
    return rows


def _matmul(side: int, precision: str) -> float:
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    with jax.default_matmul_precision(MATMUL[precision]):
        product = jax.jit(jnp.matmul).lower(matrix, matrix).compile()
    return 2e-9 * side**3 / _best(lambda: product(matrix, matrix))


def _copy(size: int) -> float:
    block, one = jax.block_until_ready((jax.random.normal(jax.random.key(0), (size // 4,)), jnp.float32(1)))
    held = [block]
    # A sum with a number that the compiler does not know is the copy that it cannot leave out. In place: into memory
    # that is new each time the system would first write zeros.
    copy = jax.jit(jnp.add, donate_argnums=0).lower(block, one).compile()
    del block

    def run() -> jax.Array:
        held[0] = copy(held[0], one)
        return held[0]

    return 2e-9 * size / _best(run)


def _best(run: Callable[[], jax.Array]) -> float:
    jax.block_until_ready(run())
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)
