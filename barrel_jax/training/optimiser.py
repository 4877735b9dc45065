# SPDX-License-Identifier: Apache-2.0
"""Adam with the paper's schedule (section 4.1), and what training from scratch wants beside it."""

from dataclasses import astuple
from functools import lru_cache
from typing import Any

import jax
import optax

from barrel_jax.config import OptimConfig

PER_QUERY = {"dqinit", "qamem", "query_positions"}  # modules whose weights belong to single queries, or make such


def learning_rate(config: OptimConfig, steps_per_epoch: int) -> optax.Schedule:
    """The learning rate by step: the paper's x0.1 at decay_epoch, or a cosine to zero; linear warm-up before."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    total = config.epochs * steps_per_epoch
    if config.schedule == "step":
        after = optax.piecewise_constant_schedule(
            config.learning_rate, {config.decay_epoch * steps_per_epoch - warmup: 0.1}
        )
    else:
        after = optax.cosine_decay_schedule(config.learning_rate, max(total - warmup, 1))
    if not warmup:
        return after
    # The first step already moves: a rate of exactly zero would waste it.
    rise = optax.linear_schedule(config.learning_rate / warmup, config.learning_rate, warmup)
    return optax.join_schedules([rise, after], [warmup])


def _kernels(params: Any) -> Any:
    """Which leaves weight decay pulls to zero: kernels, but not QAMem's, which do nothing at the identity."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def optimiser(config: OptimConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam (AdamW when weight_decay is given) with the multipliers of the backbone and of per-query weights.

    Of equal configs it is one and the same: programs that it is a part of are told apart by it.
    """
    return _chain(astuple(config), steps_per_epoch)


@lru_cache(maxsize=8)
def _chain(fields: tuple[Any, ...], steps_per_epoch: int) -> optax.GradientTransformation:
    config = OptimConfig(*fields)

    def multiplied(path: tuple[Any, ...], update: jax.Array) -> jax.Array:
        names = {key.key for key in path}
        if "backbone" in names:
            return update * config.backbone_multiplier
        return update * config.query_multiplier if names & PER_QUERY else update

    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    parts.append(optax.scale_by_adam())
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_kernels))
    parts.append(optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(multiplied, updates)))
    parts.append(optax.scale_by_learning_rate(learning_rate(config, steps_per_epoch)))
    return optax.chain(*parts)
