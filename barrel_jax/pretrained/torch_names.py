# SPDX-License-Identifier: Apache-2.0
"""The backbones' weights by PyTorch's names and in its layouts (torchvision's ResNets, timm's HRNet-W18), both ways.

Both trees hold the same convolutions, each with its batch norm. Flax's layer1_0/conv2/{conv,norm} is PyTorch's
layer1.0.{conv2,bn2}; other pairs are numbered: downsample/{conv,norm} is downsample.{0,1}. Kernels are [H, W, in, out]
here and [out, in, H, W] there.
"""

import re
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from barrel_jax.arrays import ArrayTree

# In this order; the first convolution of a ResNet is conv1, those of HRNet are conv1 and conv2.
SPELLINGS = (("_", "."), ("branch", "branches."), ("fuse", "fuse_layers."), ("stem$", "conv1"), ("stem", "conv"))
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def torch_name(path: tuple[str, ...]) -> str:
    """PyTorch's name of a Flax leaf, such as ('params', 'layer1_0', 'conv2', 'norm', 'scale')."""
    _, *modules, kind, leaf = path
    name = ".".join(modules)
    for ours, torchs in SPELLINGS:
        name = re.sub(ours, torchs, name)
    if re.search(r"conv\d$", name):
        name = name if kind == "conv" else re.sub(r"conv(\d)$", r"bn\1", name)
    else:
        name += ".0" if kind == "conv" else ".1"
    return f"{name}.{LEAVES[leaf]}"


def torch_shapes(variables: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict of a backbone's {params, batch_stats}, which may be abstract."""

    def shape(of: tuple[int, ...]) -> tuple[int, ...]:
        return (of[3], of[2], of[0], of[1]) if len(of) == 4 else tuple(of)

    return {torch_name(path): shape(leaf.shape) for path, leaf in flatten_dict(variables).items()}


def to_torch(variables: ArrayTree) -> dict[str, np.ndarray]:
    """A backbone's {params, batch_stats} as PyTorch's state dict, copied."""
    weights = {}
    for path, leaf in flatten_dict(variables).items():
        leaf = np.asarray(leaf)
        # Copied in C order: what writes the files, PyTorch and safetensors, takes the bytes as they lie.
        weights[torch_name(path)] = np.array(leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf, order="C")
    return weights


def to_flax(weights: dict[str, np.ndarray], like: Any) -> ArrayTree:
    """The inverse of `to_torch`: float32 leaves in the tree of `like`, which may be abstract."""

    def leaf(path: tuple[str, ...]) -> np.ndarray:
        weight = weights[torch_name(path)]
        return np.array(weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight, np.float32, order="C")

    return unflatten_dict({path: leaf(path) for path in flatten_dict(like)})
