# SPDX-License-Identifier: Apache-2.0
"""The layout of a run over its devices: a mesh of the axes data and model, and a rule for each array.

Batches are split over both axes. Parameters are on every device, but for DQInit's and QAMem's weights, of which each
device along `model` has a part. Adam's moments may be split over `data` as well (ZeRO-1, Rajbhandari et al. 2020), so
that each device updates its part and the parts are gathered. XLA derives every collective of a step from these layouts:
no program of one names any. Numbers do not depend on the layout, but for the order of sums and their type: where the
model computes in bfloat16 (on accelerators), weights' gradients are bfloat16 until they are added over the devices.
"""

import re
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from barrel_jax.config import MeshConfig

# Weights that grow with the number of landmarks, and the axes along which `model` may split them, best first: whole
# queries where their number divides, else a width, so that nothing is padded: that which they write, but of `u` that
# which it reads, at the price of a sum over `model`.
QUERY_WEIGHTS = (
    (re.compile(r"dqinit/dense/(kernel|bias)$"), (-1,)),
    (re.compile(r"qamem/kernel\d$"), (0, 2)),
    (re.compile(r"qamem/[uv]\d$"), (0, 1)),
    (re.compile(r"qamem/bias\d$"), (0, 1)),
)
MOMENTS = re.compile(r"^opt_state/(.*/)?(mu|nu)/")
# Gathering a small array costs its latency and saves nothing.
SMALLEST_MOMENT = 1 << 14


def make_mesh(config: MeshConfig) -> Mesh:
    """A mesh of the axes data and model over the devices of all processes, or over the first `data * model` of one.

    Raises:
        ValueError: when the devices do not suffice, do not divide, or some process would be left without one.
    """
    present, setting = jax.devices(), f"config.mesh.data={config.data} and config.mesh.model={config.model}"
    kind = f"{len(present)} {present[0].platform} device(s)"
    if config.model < 1 or (config.data < 1 and config.data != -1):
        raise ValueError(f"{setting}: each must be at least 1, or data=-1 for all devices")
    if config.data == -1 and len(present) % config.model:
        fitting = ", ".join(str(n) for n in range(1, len(present) + 1) if len(present) % n == 0)
        raise ValueError(f"{setting}: {kind} do not divide by {config.model}; config.mesh.model can be {fitting}")
    data = len(present) // config.model if config.data == -1 else config.data
    count = data * config.model
    if count > len(present) or (jax.process_count() > 1 and count < len(present)):
        there = f"{kind} in {jax.process_count()} process(es)"
        raise ValueError(f"{setting} take {count} devices, and there are {there}; config.mesh.data=-1 takes all")
    return lay_mesh(present[:count], data)


def lay_mesh(devices: list[jax.Device], data: int) -> Mesh:
    """The mesh of these devices, `data` of them along the axis data; devices that are neighbours share a model."""
    shape = (data, len(devices) // data)
    return jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto), devices=devices)


def describe(mesh: Mesh) -> str:
    """The devices of a run in words."""
    words = f"{mesh.size} {mesh.devices.flat[0].platform} device(s)"
    if mesh.shape["model"] > 1:
        words += f" ({mesh.shape['data']} x {mesh.shape['model']}, data x model)"
    return words + (f" of {jax.process_count()} processes" if jax.process_count() > 1 else "")


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError when a batch cannot be split evenly over the mesh."""
    if batch_size % mesh.size:
        smaller, larger = batch_size // mesh.size * mesh.size, -(-batch_size // mesh.size) * mesh.size
        nearest = f"{smaller} or {larger}" if smaller else f"{larger}"
        raise ValueError(
            f"config.batch_size={batch_size} does not divide by the {mesh.size} devices of the mesh; "
            f"use {nearest}, or fewer devices with config.mesh.data"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis split over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "model")))


def local_rows(count: int, mesh: Mesh) -> np.ndarray:
    """Which rows of an axis of `count` that is `split` this process's devices hold, in rising order."""
    parts = {part[0].indices(count) for part in split(mesh).addressable_devices_indices_map((count,)).values() if part}
    return np.concatenate([np.arange(*part) for part in sorted(parts)])


def from_local(rows: Any, count: int, mesh: Mesh) -> Any:
    """Global arrays with a first axis of `count`, `split`, of which each process gives its `local_rows`."""

    def one(part: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(split(mesh), part, (count, *part.shape[1:]))

    return jax.tree.map(one, rows)


def layout(state: Any, mesh: Mesh, config: MeshConfig) -> Any:
    """The sharding of each array of a state, or of a tree of shapes that is named like one."""

    def one(path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        axes: list[str | None] = [None] * len(leaf.shape)
        for pattern, candidates in QUERY_WEIGHTS:
            if pattern.search(name):
                whole = (axis for axis in candidates if leaf.shape[axis] % mesh.shape["model"] == 0)
                axis = next(whole, None)
                if axis is not None and mesh.shape["model"] > 1:
                    axes[axis] = "model"
        if config.split_moments and MOMENTS.search(name) and leaf.size >= SMALLEST_MOMENT:
            free = [i for i, axis in enumerate(axes) if axis is None and leaf.shape[i] % mesh.shape["data"] == 0]
            if free and mesh.shape["data"] > 1:
                axes[max(free, key=lambda i: leaf.shape[i])] = "data"
        while axes and axes[-1] is None:
            axes.pop()  # as JAX writes the layouts of results: a step takes its own result without compiling again
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.tree_util.tree_map_with_path(one, state)


def moments_layout(params: Any, mesh: Mesh, config: MeshConfig) -> Any:
    """The sharding of Adam's moments of each parameter; a gradient laid out alike is summed into parts at once."""
    return layout({"opt_state": {"mu": params}}, mesh, config)["opt_state"]["mu"]
