# SPDX-License-Identifier: Apache-2.0
"""A run of seconds, for the tests of the step, the loop and resuming."""

import numpy as np

from barrel_jax.config import Config
from barrel_jax.input.placement import Faces
from configs.tiny import get_config

# The plain regression's, for where it does not matter which model is trained.
PLAIN = {"model__decoder_layers": 0, "model__dqinit": False, "model__qamem_layers": 0}
PLAIN_FLAGS = tuple(f"--config.{name.replace('__', '.')}={value}" for name, value in PLAIN.items())  # of train.py


def config(**fields) -> Config:
    """configs/tiny.py with fields replaced, names with __ for dots."""
    tiny = get_config()
    for name, value in fields.items():
        *path, last = name.split("__")
        node = tiny
        for part in path:
            node = getattr(node, part)
        setattr(node, last, value)
    return tiny


def faces(count: int, size: int, landmarks: int) -> Faces:
    """Noise with random points, one of ten not labelled."""
    rng = np.random.default_rng(0)
    return Faces(
        rng.integers(0, 256, (count, size, size, 3), np.uint8),
        rng.random((count, landmarks, 2), np.float32),
        rng.random((count, landmarks)) > 0.1,
    )
