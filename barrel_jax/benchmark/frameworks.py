# SPDX-License-Identifier: Apache-2.0
"""Settings by which JAX and PyTorch compute alike in a measurement, and the release of their memory after it."""

import gc
import sys
from typing import Any

import jax

# What JAX's matrix products and convolutions do with float32; PyTorch is told the same in `set_torch`.
MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
# The largest difference of two sides' points that is rounding, in crop units.
ROUNDING = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 5e-2}
# Programs of one function that PyTorch may compile between two resets; its own limit is 8, Table 4 has 7 models.
RECOMPILE_LIMIT = 256


def jax_flags(precision: str) -> dict[str, Any]:
    """What JAX is told at a precision; by a context around what is compiled, since it is a part of the program."""
    return {"jax_default_matmul_precision": MATMUL[precision]}


def set_torch(precision: str) -> dict[str, Any]:
    """Sets PyTorch's flags, which hold for the whole process, and returns what they are then.

    float32 is computed in full; at tf32 and bfloat16 what is still float32 may be rounded to TF32, as JAX's is.
    """
    import torch  # an opponent, not a dependency

    tf32 = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = 4 * RECOMPILE_LIMIT
    return {
        "cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "bf16_reduced_precision_reduction": torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
    }


def flags(impl: str, precision: str) -> dict[str, Any]:
    """What an implementation computes with, set before it is made; ONNX Runtime has no such flags."""
    if impl.startswith("torch"):
        return set_torch(precision)
    return jax_flags(precision) if impl.startswith("jax") else {}


def give_back_cached() -> None:
    """Gives PyTorch's cached memory back to the GPU, for the other side; what is in use stays."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        gc.collect()  # a search of all that Python holds: hundreds of milliseconds
        torch.cuda.empty_cache()


def give_back() -> None:
    """Drops every compiled program of both sides as well. XLA's own pool keeps what it took until the process ends."""
    jax.clear_caches()
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    give_back_cached()
