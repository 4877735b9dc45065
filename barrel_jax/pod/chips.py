# SPDX-License-Identifier: Apache-2.0
"""Published rates of chips, and the devices that a topology names."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import jax
from jax.experimental import topologies


@dataclass(frozen=True)
class Chip:
    """What a maker says of one chip."""

    flops: float  # bfloat16 operations per second
    memory: float  # bytes
    memory_rate: float  # bytes per second
    link_rate: float  # bytes per second that it can send to its neighbours, over all its links
    wraps: int  # side of a slice from which a dimension closes to a ring; 1 where a switch connects all
    source: str


TPU = "cloud.google.com/tpu/docs/"
CHIPS = {
    "TPU v4": Chip(275e12, 32e9, 1200e9, 300e9, 4, TPU + "v4"),
    "TPU v5 lite": Chip(197e12, 16e9, 819e9, 200e9, 16, TPU + "v5e"),
    "TPU v5": Chip(459e12, 95e9, 2765e9, 600e9, 4, TPU + "v5p"),
    "TPU v6 lite": Chip(918e12, 32e9, 1638e9, 400e9, 16, TPU + "v6e"),
    "NVIDIA A100-SXM4-80GB": Chip(312e12, 80e9, 2039e9, 300e9, 1, "nvidia.com, A100 datasheet"),
    "NVIDIA H100 80GB HBM3": Chip(989e12, 80e9, 3350e9, 450e9, 1, "nvidia.com, H100 datasheet"),
    "NVIDIA H200": Chip(989e12, 141e9, 4800e9, 450e9, 1, "nvidia.com, H200 datasheet"),
}


@dataclass(frozen=True)
class Target:
    """Devices to compile for."""

    name: str  # as given: v5e:16x16, cpu:8, local
    devices: list[jax.Device]
    sides: tuple[int, ...]  # of the slice
    chip: Chip | None  # None where nothing is published

    @property
    def platform(self) -> str:
        """tpu, cpu or gpu."""
        return self.devices[0].platform


def sides_of(devices: Sequence[jax.Device]) -> tuple[int, ...]:
    """The sides of the slice that devices lie in, by their places in it; a line of those that have none."""
    places = [getattr(device, "coords", None) for device in devices]
    if devices[0].platform != "tpu" or not all(places):
        return (len(devices),)
    return tuple(max(along) - min(along) + 1 for along in zip(*places, strict=True))


def make_target(name: str) -> Target:
    """The devices of a topology: a TPU slice such as v5e:4x4, virtual CPU devices cpu:N, or the local devices.

    Raises:
        ValueError: no such topology, or libtpu is not installed.
    """
    if name == "local":
        devices = jax.devices()
        return Target(name, devices, sides_of(devices), CHIPS.get(devices[0].device_kind))
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", name)
    if not match:
        raise ValueError(f"--topology {name}: neither local, cpu:N nor a TPU slice such as v5e:16x16")
    sides = tuple(int(side) for side in match[2].split("x"))
    if match[1] == "cpu":
        if len(sides) != 1 or sides[0] > len(jax.devices("cpu")):
            raise ValueError(
                f"--topology {name}: JAX has {len(jax.devices('cpu'))} CPU devices; cpu:N makes N at start"
            )
        return Target(name, jax.devices("cpu")[: sides[0]], sides, None)
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # there is no TPU here to ask
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # nor one to share: several reports may run at once
    try:
        devices = topologies.get_topology_desc(name, "tpu").devices
    except RuntimeError as error:  # what JAX says of libtpu's troubles, in words for its makers
        raise ValueError(
            f"--topology {name}: {str(error)[:300]}; slices are written v4:2x2x1, v5e:4x4, v5p:2x2x2 or v6e:8x8, and "
            "compiling for them takes libtpu: pip install 'barrel-jax[pod]'"
        ) from error
    return Target(name, list(devices), sides, CHIPS.get(devices[0].device_kind))  # type: ignore[attr-defined]
