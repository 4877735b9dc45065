# SPDX-License-Identifier: Apache-2.0
"""The training step of a config, compiled for a target, and the facts of it, kept on disk."""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.devices.sharding import check_batch, lay_mesh, split
from barrel_jax.devices.xla import graph_options
from barrel_jax.input.placement import Faces
from barrel_jax.models.build import build_model, count_parameters
from barrel_jax.pod import hlo
from barrel_jax.pod.chips import Target
from barrel_jax.pod.hlo import Collective, collectives, memory_traffic
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

AGAIN = "delete it to have the step compiled again"


@dataclass(frozen=True)
class Program:
    """One training step on one device."""

    topology: str
    chips: int
    batch: int  # faces over all devices
    parameters: int
    arguments: int  # bytes: state and batch
    temporary: int  # bytes: activations and whatever else lives inside the step
    code: int  # bytes
    flops: float
    traffic: float  # bytes to and from device memory
    collectives: list[Collective]
    compile_s: float

    @property
    def memory(self) -> int:
        """Bytes that it needs at its peak; the state is updated in place."""
        return self.arguments + self.temporary + self.code


def compile_step(config: Config, target: Target, num_landmarks: int) -> Program:
    """Compiles forward, backward and update for `config.batch_size` faces; from the cache where it has been done.

    Raises:
        ValueError: a mesh or batch that does not fit the target's devices.
    """
    size, mesh_config = len(target.devices), config.mesh
    if mesh_config.model < 1 or (mesh_config.data < 1 and mesh_config.data != -1):
        setting = f"config.mesh.data={mesh_config.data} and config.mesh.model={mesh_config.model}"
        raise ValueError(f"{setting}: each must be at least 1, or data=-1 for all devices")
    data = size // mesh_config.model if mesh_config.data == -1 else mesh_config.data
    if data * mesh_config.model != size:
        raise ValueError(
            f"--topology {target.name} has {size} devices, and config.mesh is {mesh_config.data} x {mesh_config.model}"
        )
    mesh = lay_mesh(target.devices, data)
    check_batch(config.batch_size, mesh)
    model = build_model(config.model, num_landmarks, target.platform)
    train_step = TrainStep(model, optimiser(config.optim, 100), config, mesh, tuple(range(num_landmarks)))
    batch, side = config.batch_size, config.data.image_size

    def brought(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch, *shape), dtype, sharding=split(mesh))

    faces = Faces(
        brought((side, side, 3), jnp.uint8), brought((num_landmarks, 2), jnp.float32), brought((num_landmarks,), bool)
    )
    lowered = train_step.on_batch.lower(train_step.like, seed_data(config.seed), faces)
    versions = [jax.__version__, version("libtpu") if find_spec("libtpu") else ""]
    options = graph_options(target.platform)
    compiler = [target.devices[0].device_kind, os.environ.get("XLA_FLAGS", ""), options, *versions]
    readers = [files.read_text(Path(one)) for one in (hlo.__file__, __file__)]  # what other code has read is not this
    words = json.dumps([lowered.as_text(), target.name, *readers, *compiler])
    kept = files.cache_home() / "pod" / f"{hashlib.sha256(words.encode()).hexdigest()}.json"
    if kept.exists():
        return read_program(kept)
    start = time.perf_counter()
    compiled = lowered.compile(options)
    seconds = time.perf_counter() - start
    memory: Any = compiled.memory_analysis()
    cost: Any = compiled.cost_analysis()
    text = str(compiled.as_text())
    program = Program(
        topology=target.name,
        chips=size,
        batch=batch,
        parameters=count_parameters(train_step.like.params),
        arguments=memory.argument_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=cost["flops"],
        traffic=memory_traffic(text) if target.platform == "tpu" else cost["bytes accessed"],
        collectives=collectives(text, size),
        compile_s=seconds,
    )
    files.write_json(kept, asdict(program))
    return program


def read_program(path: Path) -> Program:
    """Reads what `compile_step` keeps.

    Raises:
        ValueError: it is damaged; names the file and the remedy.
    """
    content = files.read_json(path, AGAIN)
    try:
        return Program(**content | {"collectives": [Collective(**one) for one in content["collectives"]]})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not what a compiled step is kept as ({error}); {AGAIN}") from error
