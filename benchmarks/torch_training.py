# SPDX-License-Identifier: Apache-2.0
"""A training step of the PyTorch BarrelNet: the paper's recipe, as a PyTorch user writes it."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from barrel_jax.config import Config
from benchmarks.torch_augment import AugmentedFaces, augment
from benchmarks.torch_barrelnet import build_model
from benchmarks.torch_weights import from_flax


def make_step(
    impl: str,
    config: Config,
    variables: Mapping[str, Any],
    images: np.ndarray,
    points: np.ndarray,
    flip: tuple[int, ...],
    device: str,
    precision: str,
) -> Callable[[], torch.Tensor]:
    """One step of Adam: every call takes the next batch and returns the loss when it is done.

    Args:
      impl: torch-dataloader (as many workers as cores, OpenCV), or torch-eager, torch-compile, torch-max-autotune with
        images and augmentation on the device.
      config: the run's; its model, augmentation, learning rate and batch size are used.
      variables: of the Flax model, to start from.
      images: uint8 [n, S, S, 3].
      points: float32 [n, K, 2] in crop units.
      flip: the scheme's permutation [K].
      device: cpu or cuda.
      precision: float32, tf32, or bfloat16 (autocast; weights stay float32, as in Flax).
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = True
    network = build_model(config.model, points.shape[1], images.shape[1])
    from_flax(variables, network)
    network = network.train().to(device, memory_format=torch.channels_last)
    optim = config.optim
    own = set(network.backbone.parameters())
    groups = [
        {"params": list(own), "lr": optim.learning_rate * optim.backbone_multiplier},
        {"params": [parameter for parameter in network.parameters() if parameter not in own]},
    ]
    optimiser = torch.optim.Adam(groups, lr=optim.learning_rate, fused=device == "cuda")

    def loss_of(pixels: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            predicted = network(pixels) if optim.aux_loss else network(pixels)[-1:]
        return F.l1_loss(predicted, truth.expand_as(predicted))

    if impl in ("torch-compile", "torch-max-autotune"):
        loss_of = torch.compile(loss_of, mode="max-autotune" if impl == "torch-max-autotune" else None)
    batches = (_loaded if impl == "torch-dataloader" else _on_device)(config, images, points, flip, device)

    def step() -> torch.Tensor:
        pixels, truth = next(batches)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(pixels, truth)
        loss.backward()
        optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return loss.detach()

    return step


def _loaded(
    config: Config, images: np.ndarray, points: np.ndarray, flip: tuple[int, ...], device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    loader = DataLoader(
        AugmentedFaces(images, points, flip, config.augment),
        config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        multiprocessing_context="spawn",  # a process that runs JAX has threads and must not fork
        pin_memory=device == "cuda",
    )
    while True:
        for pixels, truth in loader:
            pixels = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
            yield pixels, truth.to(device, non_blocking=True)


def _on_device(
    config: Config, images: np.ndarray, points: np.ndarray, flip: tuple[int, ...], device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    every, truth = torch.from_numpy(images).to(device), torch.from_numpy(points).to(device)
    swap = torch.tensor(flip, device=device)
    while True:
        order = torch.randperm(len(every), device=device)
        for start in range(0, len(order) - config.batch_size + 1, config.batch_size):
            chosen = order[start : start + config.batch_size]
            yield augment(every[chosen], truth[chosen], swap, config.augment)
