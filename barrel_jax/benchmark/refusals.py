# SPDX-License-Identifier: Apache-2.0
"""Errors with which an implementation may fail: each costs its own row of a measurement, and the row says why."""

import sys

# A RuntimeError is what JAX, CUDA, PyTorch and its compiler raise (JaxRuntimeError, OutOfMemoryError, Unsupported,
# BackendCompilerFailed, InductorError); a ValueError, what is not offered here; an AssertionError, a PyTorch without
# CUDA; an OSError, a missing compiler or too little shared memory.
KINDS = (RuntimeError, ValueError, AssertionError, ImportError, MemoryError, OSError)
# Raised by these modules once they are imported, and of none of the kinds above.
OF_MODULES = {
    "torch._dynamo.exc": ("FailOnRecompileLimitHit",),
    "triton.errors": ("TritonError",),
}
LONGEST = 240  # letters of a reason


class Disagreement(ValueError):
    """Two sides that do not compute the same, so that their speeds say nothing of each other."""


def refusals() -> tuple[type[Exception], ...]:
    """The exceptions that cost a row, for an `except`; anything else is a fault of this program and ends it."""
    found = [
        getattr(sys.modules[module], name)
        for module, names in OF_MODULES.items()
        if module in sys.modules
        for name in names
        if hasattr(sys.modules[module], name)
    ]
    return (*KINDS, *found)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether XLA, PyTorch or Python ran out of memory."""
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "RESOURCE_EXHAUSTED" in str(error)


def reason(error: BaseException) -> str:
    """Why, in one line: `out of memory: ` first where it is that, then the exception's name and its first line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    message = f"{type(error).__name__}: {first}"
    message = message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"
    return f"out of memory: {message}" if is_out_of_memory(error) else message
