# SPDX-License-Identifier: Apache-2.0
"""How much the speed part measures, and of what: on a GPU, and in a rehearsal."""

from dataclasses import dataclass

COMMAND_BUFFERS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
# What XLA is told, by name; jaxlib 0.11.2 knows these flags, and an unknown one ends the step's process.
XLA = {
    "as it is": "",
    "command buffers off": "--xla_gpu_enable_command_buffer=",
    "command buffers for all": f"--xla_gpu_enable_command_buffer={COMMAND_BUFFERS}",
    "convolutions in NHWC": "--xla_gpu_force_conv_nhwc=true",
    "exhaustive tiling search": "--xla_gpu_exhaustive_tiling_search=true",
    "no autotuning": "--xla_gpu_autotune_level=0",
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured, and of what."""

    device: str
    models: tuple[str, ...]  # the small one first
    precisions: tuple[str, ...]
    large: int  # the large batch; 1 for none
    image_size: int
    landmarks: int
    latency_rounds: int
    rounds: int
    training_rounds: int
    parity_images: int
    table4: tuple[str, ...]  # () for all of the paper's
    xla: tuple[str, ...]  # of `XLA`
    growth: tuple[tuple[str, tuple[int, ...]], ...]  # axes; () for all
    seeds: int
    seeds_image_size: int
    compiled: bool  # what takes a CPU minutes as well: PyTorch's compiled modes, equation 2


FULL = Sizes(
    device="cuda",
    models=("BarrelNet-18", "BarrelNet-50"),
    precisions=("bfloat16", "tf32"),
    large=256,
    image_size=256,
    landmarks=98,
    latency_rounds=300,
    rounds=30,
    training_rounds=8,
    parity_images=12,
    table4=(),
    xla=tuple(XLA),
    growth=(),
    seeds=3,
    seeds_image_size=128,
    compiled=True,
)
# PyTorch's compiler takes a CPU a minute for each program, so that a rehearsal does without it.
REHEARSAL = Sizes(
    device="cpu",
    models=("BarrelNet-10",),
    precisions=("float32",),
    large=1,
    image_size=64,
    landmarks=5,
    latency_rounds=2,
    rounds=2,
    training_rounds=1,
    parity_images=2,
    table4=("Baseline-18-d5", "BarrelNet-18"),
    xla=("command buffers off",),
    growth=(("batch", (1,)),),
    seeds=2,
    seeds_image_size=32,
    compiled=False,
)
