# SPDX-License-Identifier: Apache-2.0
"""XLA's settings for this machine; called by every program before the first computation."""

import os
import warnings
from pathlib import Path
from typing import Any

import jax

from barrel_jax.files import cache_home, private_folder

# What jaxlib's CPU compiler hands to YNNPACK. By default convolutions too, whose weight gradients are slow there, while
# batch norm's sums over [B, H, W] stay scalar loops. Of what was tried with jaxlib 0.10.2 and 0.11.2:
#   default                 right; slower with 0.10.2 (benchmarks/results/cpu-step.json, made with dot,reduce)
#   dot,reduce              NaN in bfloat16 with 0.11.2, where one fusion holds two dense layers; right with 0.10.2
#   individual_dot,reduce   right with both, and with 0.12.0.1; as fast as dot,reduce within 2 % with 0.10.2
#                           (benchmarks/results/commits.json)
CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type=individual_dot,reduce"


def tune_cpu() -> None:
    """Adds the CPU flag to XLA_FLAGS unless the user has set it there; no effect on other devices."""
    flags = os.environ.get("XLA_FLAGS", "")
    if CPU_FLAG.split("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {CPU_FLAG}".strip()


# XLA's command buffers are CUDA graphs of parts of a program. By default no convolution is in one (openxla/xla#34572),
# so that those of a ResNet cut a program into dozens. One face through BarrelNet-18 in bfloat16 on an H100: 0.62 ms as
# it is, 0.40 ms with convolutions (benchmarks/results/gpu-xla.json); a training step of 16 faces: 4.16 and 3.95 ms
# (gpu-train.json). jaxlib 0.11.2 knows the kind; 0.10 was not tried.
GRAPHS = {"xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONVOLUTION"}
GRAPHS_SINCE = (0, 11)


def graph_options(platform: str | None = None) -> dict[str, Any]:
    """What XLA is told of a program, beside its own flags: on NVIDIA GPUs convolutions in CUDA graphs.

    Args:
        platform: as JAX names the device's, cpu, gpu or tpu; by default that of the first device.
    """
    version = tuple(int(part) for part in jax.__version__.split(".")[:2])
    nvidia = (platform or jax.default_backend()) == "gpu" and "rocm" not in jax.devices()[0].client.platform_version
    flagged = "xla_gpu_enable_command_buffer" in os.environ.get("XLA_FLAGS", "")
    return dict(GRAPHS) if nvidia and version >= GRAPHS_SINCE and not flagged else {}


def one_use_options(platform: str | None = None) -> dict[str, Any]:
    """What XLA is told of a program that runs once: on CPUs a lower level of optimisation, unless the user gives one.

    There compiling would take longer than running: the draws of a ResNet-18's weights compile in 4.6 s of a processor
    in place of 11.3, to the same bits (jaxlib 0.10.2 to 0.12.0.1; at level 0 they differ in the last one).

    Args:
        platform: as JAX names the device's, cpu, gpu or tpu; by default that of the first device.
    """
    flagged = "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", "")
    on_cpu = (platform or jax.default_backend()) == "cpu"
    return {"xla_backend_optimization_level": 1} if on_cpu and not flagged else {}


def share_gpu() -> None:
    """JAX takes GPU memory as it needs it instead of three quarters at once, unless the user has said how.

    For programs that run another framework beside it; before JAX's first computation.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def jax_cache_folder() -> str | None:
    """Where JAX keeps compiled programs, None for nowhere."""
    return jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]


def keep_compiled() -> None:
    """Keeps compiled programs on disk, so that a second start need not compile; JAX_COMPILATION_CACHE_DIR overrides.

    They are trusted like code: the folder is this user's alone, or a warning says that it is not. Where none can be
    made nothing is kept, which a warning says too.
    """
    chosen = jax_cache_folder()
    if chosen and "://" in chosen:
        return
    try:
        folder = private_folder(Path(chosen) if chosen else private_folder(cache_home()) / "xla")
    except OSError as error:
        warnings.warn(
            f"compiled programs are not kept ({error}); JAX_COMPILATION_CACHE_DIR names a folder", stacklevel=2
        )
        return
    if not chosen:
        jax.config.update("jax_compilation_cache_dir", str(folder))
