# SPDX-License-Identifier: Apache-2.0
"""The compiled program with its weights, for this machine and one batch: nothing is traced or compiled at the start.

Weights are the program's arguments: as its constants they make loading three times as long. The file is a pickle, so
that reading one runs what it says: it is trusted like code. `load_executable` therefore reads none whose SHA-256 is
not the one that its caller gives.
"""

import pickle
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache
from jaxtyping import Float, PyTree, UInt8

from barrel_jax.arrays import AnyArray
from barrel_jax.devices.xla import graph_options
from barrel_jax.files import read_text

# Of /proc/cpuinfo's flags, those that a compiler makes instructions of (x86, Arm).
INSTRUCTIONS = (
    "sse",
    "ssse",
    "avx",
    "amx",
    "fma",
    "f16c",
    "bmi",
    "abm",
    "movbe",
    "asimd",
    "sve",
    "sme",
    "i8mm",
    "bf16",
)


def name(batch: int) -> str:
    """The file's name for B images."""
    return f"model-{batch}.executable"


def machine() -> dict[str, Any]:
    """What a compiled program depends on, besides the versions of jax and jaxlib."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "runtime": device.client.platform_version,
        "architecture": platform.machine(),
        "instructions": sorted({flag for flag in _flags() if flag.startswith(INSTRUCTIONS)}),
    }


def _flags() -> list[str]:
    file = Path("/proc/cpuinfo")
    lines = read_text(file).splitlines() if file.exists() else []
    return next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])


def serialise(
    predict: Callable[[PyTree, UInt8[jax.Array, "B S S 3"]], Float[jax.Array, "B K 2"]],
    weights: PyTree,
    image_size: int,
    batch: int,
) -> bytes:
    """Compiles for the first device.

    Args:
        predict: `inference.make_inference`'s, weights and images uint8 [B, S, S, 3] -> points [B, K, 2].
        weights: what it takes.
        image_size: S.
        batch: B.
    """
    images = jax.ShapeDtypeStruct((batch, image_size, image_size, 3), jnp.uint8)
    # A function of its own, of which there is no compiled program in memory either.
    program = jax.jit(lambda weights, images: predict(weights, images)).lower(weights, images)
    with _no_cache():
        compiled = program.compile(graph_options())
    return pickle.dumps((serialize_executable.serialize(compiled), jax.device_get(weights)), protocol=5)


@contextmanager
def _no_cache() -> Iterator[None]:
    # A program that comes from JAX's cache on disk is not whole: serialised again, it lacks functions (jaxlib 0.10.2).
    # Whether there is a cache is asked once in a process, hence the resets.
    enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", enabled)
        compilation_cache.reset_cache()


def deserialise(content: bytes) -> Callable[[UInt8[AnyArray, "B S S 3"]], Float[jax.Array, "B K 2"]]:
    """The program, with its weights on the first device."""
    (executable, in_tree, out_tree), weights = pickle.loads(content)
    device = jax.devices()[0]
    compiled = serialize_executable.deserialize_and_load(executable, in_tree, out_tree, execution_devices=[device])
    weights = jax.device_put(weights, device)
    return lambda images: compiled(weights, images)
