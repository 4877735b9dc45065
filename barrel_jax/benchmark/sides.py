# SPDX-License-Identifier: Apache-2.0
"""What is timed: the same weights and the same uint8 crops on one device, in JAX, PyTorch and ONNX Runtime."""

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from barrel_jax.config import ModelConfig
from barrel_jax.export import onnx_file
from barrel_jax.inference import make_inference

# What JAX's matrix products and convolutions do with float32; PyTorch is told the same in `torch_side`.
MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
# The largest difference of two sides' points that is rounding, in crop units.
ROUNDING = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 5e-2}
TORCH = {"torch-eager": None, "torch-compile": "default", "torch-max-autotune": "max-autotune"}
IMPLEMENTATIONS = ("jax", *TORCH, "onnxruntime")


@dataclass(frozen=True)
class Side:
    """One implementation of one model at one precision, ready to run."""

    run: Callable[[], object]  # once, returning when it is done
    points: np.ndarray  # float32 [B, K, 2], what it says of the images, in crop units
    cold_s: float  # from the weights on the device to the first result, compilation included
    memory_mb: float | None  # peak on the device since the side was made; None on CPU, where it cannot be told apart


@dataclass(frozen=True)
class Work:
    """What every side does."""

    model: ModelConfig  # what the variables are of
    num_landmarks: int  # K
    variables: Mapping[str, Any]  # of the Flax model, NumPy leaves
    images: np.ndarray  # uint8 [B, S, S, 3]
    precision: str  # float32 (computed in full), tf32 or bfloat16 (weights as well)
    device: str  # cpu or cuda


def make_side(impl: str, work: Work) -> Side:
    """Puts a model and its images on the device and runs it for the first time; `impl` is one of `IMPLEMENTATIONS`.

    Raises:
      ValueError: onnxruntime, which is float32 on the CPU here, at another precision or elsewhere, or not installed.
    """
    if impl == "jax":
        return _jax_side(work)
    if impl == "onnxruntime":
        return _onnx_side(work)
    return _torch_side(impl, work)


def _jax_side(work: Work) -> Side:
    dtype = "bfloat16" if work.precision == "bfloat16" else "float32"
    on = jax.devices({"cuda": "gpu"}.get(work.device, work.device))[0]
    with jax.default_device(on), jax.default_matmul_precision(MATMUL[work.precision]):
        config = dataclasses.replace(work.model, dtype=dtype)
        predict, weights = make_inference(config, work.num_landmarks, work.variables)
        arguments = jax.block_until_ready(jax.device_put((weights, work.images), on))
        start = time.perf_counter()
        compiled = jax.jit(predict).lower(*arguments).compile()
        points = jax.block_until_ready(compiled(*arguments))
    cold = time.perf_counter() - start
    # On CPU the process's own memory is all there is.
    memory = None if work.device == "cpu" else on.memory_stats()["peak_bytes_in_use"] / 1e6
    return Side(lambda: jax.block_until_ready(compiled(*arguments)), np.asarray(points), cold, memory)


def _torch_side(impl: str, work: Work) -> Side:
    # PyTorch is an opponent, not a dependency.
    import torch

    from benchmarks.torch_barrelnet import build_model
    from benchmarks.torch_folding import fold_batch_norm
    from benchmarks.torch_weights import from_flax

    on_gpu = work.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = work.precision != "float32"
    torch.backends.cudnn.benchmark = True
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    network = build_model(work.model, work.num_landmarks, work.images.shape[1])
    from_flax(work.variables, network)
    network = network.eval()
    if impl != "torch-eager":
        fold_batch_norm(network)
    dtype = torch.bfloat16 if work.precision == "bfloat16" else torch.float32
    network = network.to(work.device, dtype, memory_format=torch.channels_last)
    pixels = torch.from_numpy(work.images).to(work.device)

    def predict(pixels: torch.Tensor) -> torch.Tensor:
        return network.predict(pixels.permute(0, 3, 1, 2).to(dtype) / 255)

    if TORCH[impl] is not None:
        predict = torch.compile(predict, mode=TORCH[impl], fullgraph=True)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            points = predict(pixels)
        if on_gpu:
            torch.cuda.synchronize()
        return points

    start = time.perf_counter()
    points = run().float().cpu().numpy()
    cold = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None
    return Side(run, points, cold, memory)


def _onnx_side(work: Work) -> Side:
    if (work.device, work.precision) != ("cpu", "float32"):
        raise ValueError(
            f"onnxruntime is timed on cpu at float32, not on {work.device} at {work.precision}; leave it out there"
        )
    config = dataclasses.replace(work.model, dtype="float32")
    _, weights = make_inference(config, work.num_landmarks, work.variables)
    content = onnx_file.serialise(work.model, work.num_landmarks, work.images.shape[1], weights)
    start = time.perf_counter()
    predict = onnx_file.deserialise(content)
    points = predict(work.images)
    cold = time.perf_counter() - start
    return Side(lambda: predict(work.images), points, cold, None)


def forget_compiled() -> None:
    """Drops what PyTorch has compiled: it looks through all programs of one function at every call."""
    if "torch" in sys.modules:
        sys.modules["torch"]._dynamo.reset()


def compare(sides: Mapping[str, Side], name: str, precision: str) -> float:
    """The largest difference in crop units of any two sides' points.

    Raises:
      ValueError: it is more than rounding at this precision, so that the sides do not do the same work.
    """
    points = np.stack([side.points for side in sides.values()])
    spread = float(np.ptp(points, axis=0).max())
    if not spread <= ROUNDING[precision]:
        raise ValueError(
            f"{name}, {', '.join(sides)}: their points differ by {spread:.2e} of the crop at {precision}, "
            f"more than the {ROUNDING[precision]:.0e} of rounding; nothing is timed"
        )
    return spread
