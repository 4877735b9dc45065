# SPDX-License-Identifier: Apache-2.0
"""HRNet-W18 in PyTorch with weights that hide nothing, and the classifier that timm's has beside it."""

from tests.kit.needs_torch import torch

from torch import nn

from barrel_jax.pytorch.hrnet import HighResolutionModule
from barrel_jax.pytorch.resnet import BasicBlock, Bottleneck
from tests.kit import torch_reference as reference


def randomise(model, seed):
    """As `reference.randomise` does with a ResNet: no number hides, variances reach down to 1e-3, features of size one.

    What a block and what another branch adds is small.
    """
    reference.randomise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(10 ** (-1.5 * torch.rand(len(module.weight), 1, 1, 1, generator=generator)))
            elif isinstance(module, BasicBlock | Bottleneck):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                last.weight.mul_(0.3)
            elif isinstance(module, HighResolutionModule):
                for norm in (norm for norm in module.fuse_layers.modules() if isinstance(norm, nn.BatchNorm2d)):
                    norm.weight.mul_(0.5)
        for norm in norms:
            norm.momentum = 1.0
        model.train()(torch.randn(4, 3, 64, 64, generator=generator))
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean.add_(0.2 * norm.running_var.sqrt() * torch.randn(len(norm.weight), generator=generator))
            norm.running_var.mul_(0.8 + 0.4 * torch.rand(len(norm.weight), generator=generator))
    return model.eval()


class Classifier(nn.Module):
    """What timm's `hrnet_w18` has beside the backbone, by its names."""

    def __init__(self):
        super().__init__()

        def bottleneck(inputs, planes):
            widen = nn.Sequential(nn.Conv2d(inputs, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes))
            return nn.Sequential(Bottleneck(inputs, planes, 1, 1, widen, nn.BatchNorm2d))

        def conv(inputs, outputs, kernel):
            return nn.Sequential(nn.Conv2d(inputs, outputs, kernel), nn.BatchNorm2d(outputs))

        self.incre_modules = nn.ModuleList(map(bottleneck, (18, 36, 72, 144), (32, 64, 128, 256)))
        self.downsamp_modules = nn.ModuleList(conv(width, 2 * width, 3) for width in (128, 256, 512))
        self.final_layer = conv(1024, 2048, 1)
        self.classifier = nn.Linear(2048, 1000)
