# SPDX-License-Identifier: Apache-2.0
"""A training step of the PyTorch BarrelNet: the paper's recipe, as a PyTorch user writes it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from barrel_jax.config import Config, OptimConfig
from barrel_jax.provenance import usable_cores
from barrel_jax.pytorch.augment import AugmentedFaces, augment
from barrel_jax.pytorch.barrelnet import build_model
from barrel_jax.pytorch.modes import TORCH_MODES, mark_step
from barrel_jax.pytorch.weights import from_flax

PER_QUERY = {"dqinit", "qamem", "query_embed"}  # parts of the names of weights that belong to single queries
BATCHES_A_WORKER = 4  # of an epoch at least: at its end all workers wait for the last


class Loss(nn.Module):
    """The L1 loss of a network on pixels, and on faces that lie on the device, augmented in the same program."""

    # The buffers of `place`.
    images: torch.Tensor
    points: torch.Tensor
    flip: torch.Tensor

    def __init__(self, network: nn.Module, config: Config, bfloat16: bool) -> None:
        super().__init__()
        self.network, self.autocast = network, bfloat16
        self.augmentation, self.aux_loss = config.augment, config.optim.aux_loss

    def place(self, images: np.ndarray, points: np.ndarray, flip: tuple[int, ...], device: str) -> None:
        """Puts faces on the device, uint8 [n, S, S, 3] and [n, K, 2]: as buffers CUDA graphs read them in place."""
        arrays = {"images": images, "points": points, "flip": np.array(flip)}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array).to(device), persistent=False)

    def forward(self, chosen: torch.Tensor) -> torch.Tensor:
        """Of the faces with these indices [B]."""
        return self.of_pixels(*augment(self.images[chosen], self.points[chosen], self.flip, self.augmentation))

    def of_pixels(self, pixels: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Of pixels [B, 3, S, S] in 0..1 with points [B, K, 2]."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.autocast):
            predicted = self.network(pixels) if self.aux_loss else self.network(pixels)[-1:]
        return F.l1_loss(predicted, truth.expand_as(predicted))


def parameter_groups(network: nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """The parameters by their learning rate, as the optimiser of this package multiplies it: groups for torch.optim."""
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        multiplier = 1.0
        if name.startswith("backbone."):
            multiplier = optim.backbone_multiplier
        elif PER_QUERY & set(name.split(".")):
            multiplier = optim.query_multiplier
        by_rate.setdefault(optim.learning_rate * multiplier, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in by_rate.items()]


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
    """One step of Adam: every call takes the next batch and returns the loss, which a GPU may still be at work on.

    Args:
        impl: torch-dataloader (as many workers as cores, OpenCV), or one of `TORCH_MODES` with the faces on the device;
          compiled, gathering and augmentation are a part of the program, as they are in JAX's.
        config: the run's; its model, augmentation, learning rate and batch size are used.
        variables: of the Flax model, to start from.
        images: uint8 [n, S, S, 3].
        points: float32 [n, K, 2] in crop units.
        flip: the scheme's permutation [K].
        device: cpu or cuda.
        precision: float32, tf32 (`frameworks.set_torch` sets both), or bfloat16 (autocast; weights stay float32, as in
          Flax).
    """
    network = build_model(config.model, points.shape[1], images.shape[1])
    from_flax(variables, network)
    network = nn.utils.convert_conv2d_weight_memory_format(network.train().to(device), torch.channels_last)
    optimiser = torch.optim.Adam(parameter_groups(network, config.optim), fused=device == "cuda")
    loss = Loss(network, config, precision == "bfloat16")
    mode = TORCH_MODES.get(impl)
    if impl == "torch-dataloader":
        faces = AugmentedFaces(images, points, flip, config.augment)
        batches: Iterator[tuple[torch.Tensor, ...]] = _loaded(faces, config.batch_size, device)
        loss_of: Callable[..., torch.Tensor] = loss.of_pixels
    else:
        loss.place(images, points, flip, device)
        batches = _chosen(len(images), config.batch_size, device)
        loss_of = loss if mode is None else torch.compile(loss, mode=mode, fullgraph=True)

    def step() -> torch.Tensor:
        mark_step(mode, device)
        batch = next(batches)
        optimiser.zero_grad(set_to_none=True)
        value = loss_of(*batch)
        value.backward()
        optimiser.step()
        return value.detach()

    return step


def _single_threaded(worker: int) -> None:
    # There is a worker for every core already.
    del worker
    cv2.setNumThreads(0)


def make_loader(faces: AugmentedFaces, batch_size: int, device: str, workers: int) -> DataLoader:
    """Batches of augmented faces from `workers` processes, which outlive an epoch.

    An epoch has faces enough for `BATCHES_A_WORKER`, some of them several times if need be.
    """
    count = max(len(faces), BATCHES_A_WORKER * workers * batch_size)
    return DataLoader(
        faces,
        batch_size,
        sampler=RandomSampler(faces, num_samples=count),
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="spawn",  # a process that runs JAX has threads and must not fork
        worker_init_fn=_single_threaded,
        pin_memory=device == "cuda",
    )


def _loaded(faces: AugmentedFaces, batch_size: int, device: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    loader = make_loader(faces, batch_size, device, usable_cores())
    while True:
        for pixels, truth in loader:
            pixels = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
            yield pixels, truth.to(device, non_blocking=True)


def _chosen(count: int, batch_size: int, device: str) -> Iterator[tuple[torch.Tensor]]:
    if count < batch_size:
        raise ValueError(f"{count} faces make no batch of {batch_size}")
    while True:
        order = torch.randperm(count, device=device)
        for start in range(0, count - batch_size + 1, batch_size):
            yield (order[start : start + batch_size],)
