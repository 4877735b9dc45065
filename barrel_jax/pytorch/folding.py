# SPDX-License-Identifier: Apache-2.0
"""Batch norm folded into the convolutions before it, in PyTorch, as `barrel_jax.models.folding` does for Flax."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> None:
    """Changes a model in evaluation mode; a norm belongs to the convolution that was declared right before it."""
    for module in list(model.modules()):
        for (name, conv), (behind, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, behind, nn.Identity())
