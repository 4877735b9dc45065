# SPDX-License-Identifier: Apache-2.0
"""How a run is laid out over the devices: one mesh axis, data; parameters are everywhere, batches are split."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh(devices: int) -> Mesh:
    """A mesh of the first `devices` devices (-1 for all) along the axis 'data'.

    Raises:
      ValueError: when more devices are asked for than there are.
    """
    present = jax.devices()
    count = len(present) if devices == -1 else devices
    if not 0 < count <= len(present):
        raise ValueError(f"config.devices={devices}, but there are {len(present)} {present[0].platform} devices")
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=present[:count])


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError when a batch cannot be split evenly over the mesh."""
    if batch_size % mesh.size:
        smaller, larger = batch_size // mesh.size * mesh.size, -(-batch_size // mesh.size) * mesh.size
        nearest = f"{smaller} or {larger}" if smaller else f"{larger}"
        raise ValueError(
            f"config.batch_size={batch_size} does not divide by the {mesh.size} devices of the mesh; "
            f"use {nearest}, or fewer devices with config.devices"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis split over the data axis."""
    return NamedSharding(mesh, PartitionSpec("data"))
