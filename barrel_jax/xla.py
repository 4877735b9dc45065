# SPDX-License-Identifier: Apache-2.0
"""XLA's settings for this machine; called by every program before the first computation."""

import os

import jax

from barrel_jax.files import cache_home

# Jaxlib's CPU compiler hands convolutions to YNNPACK by default, whose weight gradients are slow, and leaves batch
# norm's sums over [B, H, W] to scalar loops. The other way round a ResNet-18 step is a third faster
# (benchmarks/results/cpu-step.json, jaxlib 0.10.2).
CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type=dot,reduce"


def tune_cpu() -> None:
    """Adds the CPU flag to XLA_FLAGS unless the user has set it there; no effect on other devices."""
    flags = os.environ.get("XLA_FLAGS", "")
    if CPU_FLAG.split("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {CPU_FLAG}".strip()


def share_gpu() -> None:
    """JAX takes GPU memory as it needs it instead of three quarters at once, unless the user has said how.

    For programs that run another framework beside it; before JAX's first computation.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def keep_compiled() -> None:
    """Keeps compiled programs on disk, so that a second start need not compile; JAX_COMPILATION_CACHE_DIR overrides."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache_home() / "xla"))
