# SPDX-License-Identifier: Apache-2.0
"""The sizes and cases of the speed part: on a GPU, and in a rehearsal."""

from dataclasses import dataclass
from typing import Any

# XLA's command buffers are CUDA graphs of parts of a program. By default convolutions are in none (openxla/xla#34572),
# so that those of a ResNet cut it into many; an address that changes is written into a graph before it is replayed,
# which the update modes avoid (openxla/xla#45062, #45568).
WITH_CONVOLUTIONS = {"xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONVOLUTION"}
ONE_GRAPH = {
    "xla_gpu_enable_command_buffer": WITH_CONVOLUTIONS["xla_gpu_enable_command_buffer"]
    + ",DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE",
    "xla_gpu_graph_min_graph_size": 1,
}
# What XLA is told of one program, by name. jaxlib 0.11.2 knows all of these; an unknown one costs its own row.
OPTIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "command buffers off": {"xla_gpu_enable_command_buffer": "INVALID"},
    "convolutions in command buffers": WITH_CONVOLUTIONS,
    "all in command buffers of any size": ONE_GRAPH,
    "convolutions in NHWC and in command buffers": ONE_GRAPH | {"xla_gpu_force_conv_nhwc": True},
    "convolutions in NHWC": {"xla_gpu_force_conv_nhwc": True},
}
# Of a large batch, whose kernels are long.
THROUGHPUT_OPTIONS: dict[str, dict[str, Any]] = {
    "convolutions in command buffers": WITH_CONVOLUTIONS,
    "convolutions in NHWC": WITH_CONVOLUTIONS | {"xla_gpu_force_conv_nhwc": True},
    "convolutions fused": WITH_CONVOLUTIONS | {"xla_gpu_experimental_enable_conv_fusion": True},
}
HANDED = ("as it is", "command buffers off", "convolutions in command buffers")  # also to a program without its weights
GRAPHS_WHILE_PROFILED = {"xla_enable_command_buffers_during_profiling": True}  # else kernel by kernel
# Of several training steps in one dispatch, which is a loop.
TRAINING_OPTIONS: dict[str, dict[str, Any]] = {
    name: GRAPHS_WHILE_PROFILED | options
    for name, options in {
        "as it is": {},
        "convolutions in command buffers": WITH_CONVOLUTIONS,
        "all in command buffers of any size": ONE_GRAPH,
    }.items()
}
# What is read once in a process, or would find what another variant has left there; an unknown one ends its step.
XLA = {
    "addresses profiled, convolutions in command buffers": "--xla_gpu_enable_command_buffer=+CONVOLUTION "
    "--xla_gpu_graph_min_graph_size=1 --xla_gpu_command_buffer_update_mode=SKIP_PROFILED",
    "addresses kept, convolutions in command buffers": "--xla_gpu_enable_command_buffer=+CONVOLUTION "
    "--xla_gpu_graph_min_graph_size=1 --xla_gpu_command_buffer_update_mode=SKIP_TEMP",
    "convolutions fused and in command buffers": "--xla_gpu_enable_command_buffer=+CONVOLUTION "
    "--xla_gpu_graph_min_graph_size=1 --xla_gpu_experimental_enable_conv_fusion=true",
    "no autotuning": "--xla_gpu_autotune_level=0",
    "exhaustive tiling search": "--xla_gpu_exhaustive_tiling_search=true",
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured, and of what."""

    device: str
    models: tuple[str, ...]  # the small one first
    precisions: tuple[str, ...]
    small: int  # the small batch of training
    large: int  # the large batch; 1 for none
    image_size: int
    landmarks: int
    latency_rounds: int
    rounds: int
    training_rounds: int
    dispatch_steps: int  # training steps in one dispatch; 0 for as many as a run takes
    parity_images: int
    table4: tuple[str, ...]  # () for all of the paper's
    xla: tuple[str, ...]  # of `XLA`
    growth: tuple[tuple[str, tuple[int, ...]], ...]  # axes; () for all
    seeds: int
    seeds_image_size: int
    ceiling: tuple[int, int]  # side of the matrices, bytes copied; 0 for what occupies the device
    compiled: bool  # what takes a CPU minutes as well: PyTorch's compiled modes, equation 2


FULL = Sizes(
    device="cuda",
    models=("BarrelNet-18", "BarrelNet-50"),
    precisions=("bfloat16", "tf32"),
    small=16,
    large=256,
    image_size=256,
    landmarks=98,
    latency_rounds=300,
    rounds=30,
    training_rounds=8,
    dispatch_steps=0,
    parity_images=12,
    table4=(),
    xla=tuple(XLA),
    growth=(),
    seeds=3,
    seeds_image_size=128,
    ceiling=(0, 0),
    compiled=True,
)
# PyTorch's compiler takes a CPU a minute for each program, so that a rehearsal does without it.
REHEARSAL = Sizes(
    device="cpu",
    models=("BarrelNet-10-w16",),
    precisions=("float32",),
    small=2,
    large=1,
    image_size=32,
    landmarks=5,
    latency_rounds=2,
    rounds=2,
    training_rounds=1,
    dispatch_steps=2,
    parity_images=2,
    table4=("Baseline-18-d5", "BarrelNet-18"),
    xla=("no autotuning",),
    growth=(("batch", (1,)),),
    seeds=2,
    seeds_image_size=32,
    ceiling=(256, 2**20),
    compiled=False,
)
