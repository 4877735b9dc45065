# SPDX-License-Identifier: Apache-2.0
"""Implementations to time: the same weights and uint8 crops on one device, in JAX, PyTorch and ONNX Runtime."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from barrel_jax.benchmark.frameworks import MATMUL, ROUNDING, flags
from barrel_jax.benchmark.refusals import Disagreement
from barrel_jax.config import ModelConfig
from barrel_jax.devices.xla import graph_options
from barrel_jax.models.inference import folded_model, inference_weights, make_inference
from barrel_jax.onnx import runtime
from barrel_jax.pytorch.modes import TORCH_MODES, mark_step

# jax-frozen has the weights in the program, as an exported one has: 200 arrays less to hand over with every call.
IMPLEMENTATIONS = ("jax", "jax-frozen", *TORCH_MODES, "onnxruntime")


@dataclass(frozen=True)
class Side:
    """One implementation of one model at one precision, ready to run."""

    run: Callable[[], object]  # once, returning when it is done
    points: np.ndarray  # float32 [B, K, 2], what it says of the images, in crop units
    cold_s: float  # from the weights on the device to the first result, compilation included


@dataclass(frozen=True)
class Work:
    """What every side does."""

    model: ModelConfig  # what the variables are of
    num_landmarks: int  # K
    variables: Mapping[str, Any]  # of the Flax model, NumPy leaves
    images: np.ndarray  # uint8 [B, S, S, 3]
    precision: str  # float32 (computed in full), tf32 or bfloat16 (weights as well)
    device: str  # cpu or cuda
    xla: Mapping[str, Any] | None = None  # what XLA is told of JAX's program; None for what this package tells it


def device_of(name: str) -> jax.Device:
    """JAX's device by the name that PyTorch has for it, cpu or cuda."""
    return jax.devices({"cuda": "gpu"}.get(name, name))[0]


def host() -> jax.Device | None:
    """The CPU, for what is to be prepared; None, which leaves JAX its own, where JAX_PLATFORMS has none."""
    try:
        return jax.devices("cpu")[0]
    except RuntimeError:
        return None


def make_side(impl: str, work: Work) -> Side:
    """Puts a model and its images on the device and runs it for the first time; `impl` is one of `IMPLEMENTATIONS`.

    Raises:
        ValueError: onnxruntime, which is float32 on the CPU here, at another precision or elsewhere, or not installed;
          points that are not finite.
    """
    make = {"jax": _jax_side, "jax-frozen": _jax_side, "onnxruntime": _onnx_side}.get(impl, _torch_side)
    flags(impl, work.precision)
    side = make(impl, work)
    if not np.isfinite(side.points).all():
        raise ValueError(f"{impl}: points that are not finite at {work.precision}; it is not timed")
    return side


def _jax_side(impl: str, work: Work) -> Side:
    dtype = "bfloat16" if work.precision == "bfloat16" else "float32"
    on = device_of(work.device)
    with jax.default_device(host()):  # a GPU would compile a program for every shape of a weight
        config = dataclasses.replace(work.model, dtype=dtype)
        predict, weights = make_inference(config, work.num_landmarks, work.variables)
    with jax.default_device(on), jax.default_matmul_precision(MATMUL[work.precision]):
        weights, images = jax.block_until_ready(jax.device_put((weights, work.images), on))
        frozen = impl == "jax-frozen"
        program, arguments = (partial(predict, weights), (images,)) if frozen else (predict, (weights, images))
        options = graph_options(on.platform) if work.xla is None else dict(work.xla)
        start = time.perf_counter()
        compiled = jax.jit(program).lower(*arguments).compile(options)
        points = jax.block_until_ready(compiled(*arguments))
    cold = time.perf_counter() - start
    return Side(lambda: jax.block_until_ready(compiled(*arguments)), np.asarray(points), cold)


def _torch_side(impl: str, work: Work) -> Side:
    # PyTorch is an opponent, not a dependency.
    import torch

    from barrel_jax.pytorch.barrelnet import build_model
    from barrel_jax.pytorch.folding import fold_batch_norm
    from barrel_jax.pytorch.weights import from_flax

    on_gpu, mode = work.device == "cuda", TORCH_MODES[impl]
    network = build_model(work.model, work.num_landmarks, work.images.shape[1])
    from_flax(work.variables, network)
    network = network.eval()
    fold_batch_norm(network)
    dtype = torch.bfloat16 if work.precision == "bfloat16" else torch.float32
    network = torch.nn.utils.convert_conv2d_weight_memory_format(network.to(work.device, dtype), torch.channels_last)
    pixels = torch.from_numpy(work.images).to(work.device)

    def predict(pixels: torch.Tensor) -> torch.Tensor:
        return network.predict(pixels.permute(0, 3, 1, 2).to(dtype) / 255)

    if mode is not None:
        predict = torch.compile(predict, mode=mode, fullgraph=True)

    def run() -> torch.Tensor:
        mark_step(mode, work.device)
        with torch.inference_mode():
            points = predict(pixels)
        if on_gpu:
            torch.cuda.synchronize()
        return points

    start = time.perf_counter()
    points = run().float().cpu().numpy()
    return Side(run, points, time.perf_counter() - start)


def _onnx_side(impl: str, work: Work) -> Side:
    if (work.device, work.precision) != ("cpu", "float32"):
        raise ValueError(
            f"{impl} is timed on cpu at float32, not on {work.device} at {work.precision}; leave it out there"
        )
    config = dataclasses.replace(work.model, dtype="float32")
    weights = inference_weights(folded_model(config, work.num_landmarks), work.variables)
    content = runtime.serialise(work.model, work.num_landmarks, work.images.shape[1], weights)
    start = time.perf_counter()
    predict = runtime.deserialise(content)
    points = predict(work.images)
    cold = time.perf_counter() - start
    return Side(lambda: predict(work.images), points, cold)


def compare(sides: Mapping[str, Side], name: str, precision: str) -> float:
    """The largest difference in crop units of any two sides' points.

    Raises:
        Disagreement: it is more than rounding at this precision, so that the sides do not do the same work.
    """
    points = np.stack([side.points for side in sides.values()])
    spread = float(np.ptp(points, axis=0).max())
    if not spread <= ROUNDING[precision]:
        raise Disagreement(
            f"{name}, {', '.join(sides)}: their points differ by {spread:.2e} of the crop at {precision}, "
            f"more than the {ROUNDING[precision]:.0e} of rounding; nothing is timed"
        )
    return spread
