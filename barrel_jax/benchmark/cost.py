# SPDX-License-Identifier: Apache-2.0
"""The cost of one face to a model: frames per second, parameters, operations, memory."""

from typing import Any

import jax

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.benchmark.infer import flops_of, random_images, random_variables
from barrel_jax.config import ModelConfig
from barrel_jax.devices.xla import graph_options
from barrel_jax.models.build import count_parameters
from barrel_jax.models.inference import make_inference


def cost_of(config: ModelConfig, num_landmarks: int, image_size: int, rounds: int = 30) -> dict[str, Any]:
    """Measures a model with random weights on JAX's default device, one face at a time.

    Args:
        config: the model; `dtype` says in what is computed.
        num_landmarks: K.
        image_size: the crop's side in pixels.
        rounds: timed repeats.

    Returns:
        device; fps at the median; parameters; flops of one face, as `infer.flops_of` counts them; memory_mb of weights,
        inputs and intermediate values, as the compiler counts them; None for what is not counted here.
    """
    variables = random_variables(config, num_landmarks, image_size)
    predict, weights = make_inference(config, num_landmarks, variables)
    images = jax.device_put(random_images(1, image_size))
    compiled = jax.jit(predict).lower(weights, images).compile(graph_options())
    seconds = alternate({"jax": lambda: jax.block_until_ready(compiled(weights, images))}, rounds)["jax"]
    memory = compiled.memory_analysis()
    size = memory and memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
    return {
        "device": jax.default_backend(),
        "fps": summary(seconds, 1).images_per_s,
        "parameters": count_parameters(variables["params"]),
        "flops": flops_of(config, num_landmarks, image_size),
        "memory_mb": size and size / 1e6,
    }
