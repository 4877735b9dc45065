# SPDX-License-Identifier: Apache-2.0
"""What one face costs a model: frames per second, parameters, operations, memory."""

from typing import Any

import jax
import jax.numpy as jnp

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.benchmark.infer import random_variables
from barrel_jax.config import ModelConfig
from barrel_jax.inference import make_inference
from barrel_jax.state import count_parameters


def cost_of(config: ModelConfig, num_landmarks: int, image_size: int, rounds: int = 30) -> dict[str, Any]:
    """Measures a model with random weights on JAX's default device, one face at a time.

    Args:
      config: the model; `dtype` says in what is computed.
      num_landmarks: K.
      image_size: the crop's side in pixels.
      rounds: timed repeats.

    Returns:
      device; fps at the median; parameters; flops of one face and memory_mb of weights, inputs and intermediate
      values, both as the compiler counts them.
    """
    variables = random_variables(config, num_landmarks, image_size)
    predict, weights = make_inference(config, num_landmarks, variables)
    images = jnp.zeros((1, image_size, image_size, 3), jnp.uint8)
    compiled = jax.jit(predict).lower(weights, images).compile()
    seconds = alternate({"jax": lambda: jax.block_until_ready(compiled(weights, images))}, rounds)["jax"]
    memory = compiled.memory_analysis()
    return {
        "device": jax.default_backend(),
        "fps": summary(seconds, 1)["images_per_s"],
        "parameters": count_parameters(variables["params"]),
        "flops": float(compiled.cost_analysis()["flops"]),
        "memory_mb": (memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes) / 1e6,
    }
