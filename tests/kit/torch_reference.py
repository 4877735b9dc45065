# SPDX-License-Identifier: Apache-2.0
"""PyTorch modules with weights that hide nothing: what the JAX model must agree with, number for number."""

import math

from tests.kit.needs_torch import torch

import numpy as np
from torch import nn
from torch.overrides import TorchFunctionMode

from barrel_jax.pytorch.barrelnet import QAMem
from barrel_jax.pytorch.resnet import BasicBlock, Bottleneck, ResNet

__all__ = ["ResNet", "images", "keep_off_kinks", "nchw", "nhwc", "randomise"]


def images(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def nchw(x):
    return torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)


def nhwc(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


def randomise(module, seed):
    """Draws every number of a module so that none can hide, and returns it in eval mode.

    Channels of the convolutions differ in size up to thirty times, so that variances reach down to 1e-3 and a wrong
    epsilon shows; the running statistics are near those of noise images and a block adds little to its shortcut, as in
    a trained network, so that features stay of size one and rounding stays small.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                gain = 2 if parameter.ndim == 4 else 1
                # QAMem's are [K, inputs, outputs], most others [outputs, inputs, ...]; positions are no product's.
                inputs = parameter.shape[1] if parameter.ndim == 3 else parameter[0].numel()
                inputs = 1 if name.endswith("query_embed.weight") else inputs
                parameter.normal_(0, math.sqrt(gain / inputs), generator=generator)
            elif name.endswith("weight"):
                parameter.uniform_(0.2, 0.8, generator=generator)
            else:
                parameter.normal_(0, 0.2, generator=generator)
        for network in (m for m in module.modules() if isinstance(m, ResNet)):
            for conv in (m for m in network.modules() if isinstance(m, nn.Conv2d)):
                conv.weight.mul_(10 ** (-1.5 * torch.rand(len(conv.weight), 1, 1, 1, generator=generator)))
            for block in (m for m in network.modules() if isinstance(m, BasicBlock | Bottleneck)):
                last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
                last.weight.mul_(0.3)
            norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
            for norm in norms:
                norm.momentum = 1.0
            network.train()(torch.randn(4, 3, 96, 96, generator=generator))
            for norm in norms:
                norm.momentum = 0.1
                noise = torch.randn(norm.num_features, generator=generator)
                norm.running_mean.add_(0.2 * norm.running_var.sqrt() * noise)
                norm.running_var.mul_(0.8 + 0.4 * torch.rand(norm.num_features, generator=generator))
    return module.eval()


class BiasShifts(TorchFunctionMode):
    """Adds to biases in front of ReLUs what takes the inputs furthest from zero, at most a tenth."""

    def __init__(self, modules):
        super().__init__()
        self.modules = iter(modules)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is nn.functional.relu:
            (x,), module = args, next(self.modules)
            channels_first = isinstance(module, nn.BatchNorm2d)
            others = (0, 2, 3) if channels_first else tuple(range(x.ndim - module.bias.ndim))
            tries = torch.linspace(-0.1, 0.1, 41)
            nearest = torch.stack([(x + shift).abs().amin(others) for shift in tries])
            shifts = tries[nearest.argmax(0)]
            module.bias.add_(shifts)
            args = (x + (shifts[:, None, None] if channels_first else shifts),)
        return func(*args, **(kwargs or {}))


def keep_off_kinks(model, images):
    """Changes biases of a BarrelNet a little, so that no ReLU's input is near zero for these images in training.

    Of half a million inputs some would lie so near that rounding decides whether their gradient flows, and gradients
    of two programs, both right, would differ by percents.
    """
    before_relu = []
    for name, module in model.named_modules():  # in the order of their calls
        norm = isinstance(module, nn.BatchNorm2d) and "downsample" not in name
        if norm or name.endswith((".linear1", "head.layer1", "head.layer2", "reference.layer1")):
            before_relu.append((name, module))
        elif isinstance(module, QAMem):
            before_relu += [(name, layer) for layer in module.layers[:-1]]
    if getattr(model, "reference", None) is not None:  # the coarse points come before the decoder
        before_relu.sort(
            key=lambda entry: (not entry[0].startswith("backbone"), not entry[0].startswith(("head", "ref")))
        )
    before_relu = [module for _, module in before_relu]
    with torch.no_grad(), BiasShifts(before_relu) as shifts:
        model.train()(images)
    assert next(shifts.modules, None) is None
