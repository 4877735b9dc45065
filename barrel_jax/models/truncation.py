# SPDX-License-Identifier: Apache-2.0
"""DQInit and QAMem of a trained model at a lower rank, without training: the nearest weights by SVD."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from barrel_jax.arrays import ArrayTree
from barrel_jax.config import ModelConfig

MODULES = ("dqinit", "qamem")


def truncate(
    config: ModelConfig, variables: ArrayTree, rank: int, modules: Sequence[str] = MODULES
) -> tuple[ModelConfig, ArrayTree]:
    """A model whose per-query weights have a rank, in the place of a trained one with full weights.

    DQInit's weights [D, K D] become a product of [D, r] and [r, K D], every T^i - 1 of QAMem one of [D, r] and [r, D]:
    of all such products those whose squared difference is least (Eckart and Young 1936).

    Args:
        config: of the trained model.
        variables: {params, batch_stats} of it.
        rank: r.
        modules: some of `MODULES`; those that the model has get the rank.

    Returns:
        The config with the ranks, and its variables.

    Raises:
        ValueError: the model has neither module, one has a rank already, or there is no such rank.
    """
    there = [name for name, on in zip(MODULES, (config.dqinit, config.qamem_layers), strict=True) if on]
    chosen = [name for name in there if name in modules]
    if not chosen:
        raise ValueError(f"rank {rank}: this model has no {' and no '.join(modules)}, whose weights it would be of")
    if config.dqinit_rank or config.qamem_rank:
        raise ValueError(
            f"rank {rank}: this model was trained with model.dqinit_rank={config.dqinit_rank} and "
            f"model.qamem_rank={config.qamem_rank} already"
        )
    if not 0 < rank < config.width:
        raise ValueError(f"rank {rank} is not in 1..{config.width - 1}, below the model's width")
    ranks: dict[str, Any] = {f"{name}_rank": rank for name in chosen}
    ranked = dataclasses.replace(config, **ranks)
    return ranked, {**variables, "params": _truncated(variables["params"], rank, chosen)}


def _truncated(params: ArrayTree, rank: int, modules: Sequence[str]) -> ArrayTree:
    kinds = {"dqinit": _dqinit, "qamem": _qamem}

    def one(name: str, part: ArrayTree) -> ArrayTree:
        if name in modules:
            return kinds[name](part, rank)
        return _truncated(part, rank, modules) if isinstance(part, Mapping) else part

    return {name: one(name, part) for name, part in params.items()}


def _dqinit(params: ArrayTree, rank: int) -> ArrayTree:
    left, right = low_rank(np.asarray(params["dense"]["kernel"]), rank)
    return {"reduce": {"kernel": left}, "dense": {"kernel": right, "bias": params["dense"]["bias"]}}


def _qamem(params: ArrayTree, rank: int) -> ArrayTree:
    factored: dict[str, np.ndarray] = {}
    for name, leaf in params.items():
        if name.startswith("kernel"):
            kernel = np.asarray(leaf)
            left, right = low_rank(kernel - np.eye(kernel.shape[-1], dtype=kernel.dtype), rank)
            number = name.removeprefix("kernel")
            factored |= {f"u{number}": left, f"v{number}": np.swapaxes(right, -1, -2)}
        else:
            factored[name] = leaf
    return factored


def low_rank(
    matrix: Float[np.ndarray, "*stack D E"], rank: int
) -> tuple[Float[np.ndarray, "*stack D {rank}"], Float[np.ndarray, "*stack {rank} E"]]:
    """Matrices [..., D, E] as products of [..., D, r] and [..., r, E], the singular values in equal parts in both."""
    left, values, right = np.linalg.svd(matrix.astype(np.float32), full_matrices=False)
    roots = np.sqrt(values[..., :rank])
    factors = left[..., :rank] * np.expand_dims(roots, -2), np.expand_dims(roots, -1) * right[..., :rank, :]
    return factors[0].astype(np.float32), factors[1].astype(np.float32)
