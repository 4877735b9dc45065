# SPDX-License-Identifier: Apache-2.0
"""The model once more in PyTorch, from its building blocks: what the JAX model must agree with, number for number.

ResNet has torchvision's layout and names (v1.5, `replace_stride_with_dilation`), the transformer is DETR's arithmetic
around torch.nn.MultiheadAttention, QAMem is the paper's grouped 1x1 convolution over query embeddings. The functions
at the end carry a module's weights over to Flax.
"""

import math

import torch
from torch import nn

LAYOUTS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, planes, stride, dilation, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(shortcut + self.bn2(self.conv2(y)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, planes, stride, dilation, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(shortcut + self.bn3(self.conv3(y)))


class ResNet(nn.Module):
    """torchvision's ResNet without its pooling and classifier; images [B, 3, H, W] -> features [B, C, h, w]."""

    def __init__(self, layout, stride):
        super().__init__()
        self.block = Bottleneck if layout in ("resnet50", "resnet101") else BasicBlock
        self.inputs, self.dilation = 64, 1
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        replace_stride_with_dilation = (False, stride < 16, stride < 32)
        self.layer1 = self.stage(LAYOUTS[layout][0], 64, 1, False)
        for index, dilate in enumerate(replace_stride_with_dilation, start=1):
            setattr(self, f"layer{index + 1}", self.stage(LAYOUTS[layout][index], 64 * 2**index, 2, dilate))

    def stage(self, count, planes, stride, dilate):
        previous = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        outputs = planes * self.block.expansion
        downsample = None
        if stride != 1 or self.inputs != outputs:
            downsample = nn.Sequential(nn.Conv2d(self.inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        blocks = [self.block(self.inputs, planes, stride, previous, downsample)]
        blocks += [self.block(outputs, planes, 1, self.dilation, None) for _ in range(count - 1)]
        self.inputs = outputs
        return nn.Sequential(*blocks)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def sine_positions(mask, channels):
    """DETR's PositionEmbeddingSine(channels / 2, normalize=True); mask [B, H, W], True on padding -> [B, H, W, C]."""
    half, temperature, scale = channels // 2, 10000, 2 * math.pi
    y = (~mask).cumsum(1, dtype=torch.float32)
    x = (~mask).cumsum(2, dtype=torch.float32)
    y = y / (y[:, -1:, :] + 1e-6) * scale
    x = x / (x[:, :, -1:] + 1e-6) * scale
    index = torch.arange(half, dtype=torch.float32)
    period = temperature ** (2 * torch.div(index, 2, rounding_mode="floor") / half)

    def waves(angle):
        angle = angle[..., None] / period
        return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=4).flatten(3)

    return torch.cat((waves(y), waves(x)), dim=3)


class QAMem(nn.Module):
    """1x1 convolutions with one group per query; the queries' channels are the convolution's channels."""

    def __init__(self, queries, width, layers):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(queries * width, queries * width, 1, groups=queries) for _ in range(layers)
        )

    def forward(self, extracted):
        y = extracted.flatten(1)[:, :, None]
        for index, conv in enumerate(self.convs):
            y = conv(torch.relu(y) if index else y)
        return y.reshape(extracted.shape)


class EncoderLayer(nn.Module):
    def __init__(self, width, heads, feedforward):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, memory, pos):
        q = k = memory + pos
        memory = self.norm1(memory + self.self_attn(q, k, value=memory)[0])
        return self.norm2(memory + self.linear2(torch.relu(self.linear1(memory))))


class DecoderLayer(nn.Module):
    """DETR's decoder layer; `qamem` stands between the cross-attention and its residual."""

    def __init__(self, width, heads, feedforward, qamem=None):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.qamem = qamem

    def forward(self, target, memory, query_pos, pos):
        q = k = target + query_pos
        target = self.norm1(target + self.self_attn(q, k, value=target)[0])
        extracted = self.multihead_attn(query=target + query_pos, key=memory + pos, value=memory)[0]
        if self.qamem is not None:
            extracted = self.qamem(extracted)
        target = self.norm2(target + extracted)
        return self.norm3(target + self.linear2(torch.relu(self.linear1(target))))


class BarrelNet(nn.Module):
    """Figure 1 of the paper; images [B, 3, H, W] in 0..1 -> points [L, B, K, 2]."""

    def __init__(
        self, layout, stride, queries, width, heads, feedforward, encoder_layers, decoder_layers, dqinit, qamem_layers
    ):
        super().__init__()
        self.backbone = ResNet(layout, stride)
        self.input_proj = nn.Conv2d(self.backbone.inputs, width, 1)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, feedforward) for _ in range(encoder_layers))
        self.query_embed = nn.Embedding(queries, width)
        self.dqinit = nn.Linear(width, queries * width) if dqinit else None
        qamems = [QAMem(queries, width, qamem_layers) if qamem_layers else None for _ in range(decoder_layers)]
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, feedforward, qamem) for qamem in qamems)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2), nn.Sigmoid()
        )

    def forward(self, images):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        features = self.input_proj(self.backbone((images - mean[:, None, None]) / std[:, None, None]))
        memory = features.flatten(2).transpose(1, 2)
        mask = torch.zeros(len(images), *features.shape[2:], dtype=torch.bool)
        pos = sine_positions(mask, memory.shape[2]).flatten(1, 2)
        for layer in self.encoder:
            memory = layer(memory, pos)
        query_pos = self.query_embed.weight.expand(len(images), -1, -1)
        target = torch.zeros_like(query_pos)
        if self.dqinit is not None:
            target = self.dqinit(memory.mean(1)).reshape(query_pos.shape)
        points = []
        for layer in self.decoder:
            target = layer(target, memory, query_pos, pos)
            points.append(self.head(self.norm(target)))
        return torch.stack(points)


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
                parameter.normal_(0, math.sqrt(gain * parameter.shape[0] / parameter.numel()), generator=generator)
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


def dense(linear):
    return {"kernel": linear.weight.detach().T, "bias": linear.bias.detach()}


def layer_norm(norm):
    return {"scale": norm.weight.detach(), "bias": norm.bias.detach()}


def attention(mha):
    kernels, biases = mha.in_proj_weight.detach().chunk(3), mha.in_proj_bias.detach().chunk(3)
    projections = zip(("query", "key", "value"), kernels, biases, strict=True)
    return {name: {"kernel": kernel.T, "bias": bias} for name, kernel, bias in projections} | {
        "out": dense(mha.out_proj)
    }


def qamem(module):
    params = {}
    for index, conv in enumerate(module.convs, start=1):
        out_by_in = conv.weight.detach()[:, :, 0]
        width = out_by_in.shape[1]
        params[f"kernel{index}"] = out_by_in.reshape(-1, width, width).transpose(1, 2)
        params[f"bias{index}"] = conv.bias.detach().reshape(-1, width)
    return params


def encoder_layer(layer):
    return {
        "self_attention": attention(layer.self_attn),
        "norm1": layer_norm(layer.norm1),
        "norm2": layer_norm(layer.norm2),
        "feedforward": {"linear1": dense(layer.linear1), "linear2": dense(layer.linear2)},
    }


def decoder_layer(layer):
    params = encoder_layer(layer)
    params |= {"cross_attention": attention(layer.multihead_attn), "norm3": layer_norm(layer.norm3)}
    return params if layer.qamem is None else params | {"qamem": qamem(layer.qamem)}


def conv_kernel(conv):
    return conv.weight.detach().permute(2, 3, 1, 0)


def conv_norm(conv, norm):
    params = {"conv": {"kernel": conv_kernel(conv)}, "norm": layer_norm(norm)}
    return params, {"norm": {"mean": norm.running_mean.clone(), "var": norm.running_var.clone()}}


def resnet(model):
    """Flax's (params, batch_stats) of a ResNet."""
    parts = {"stem": conv_norm(model.conv1, model.bn1)}
    for stage in range(1, 5):
        for index, block in enumerate(getattr(model, f"layer{stage}")):
            numbers = "123" if isinstance(block, Bottleneck) else "12"
            convs = {f"conv{i}": conv_norm(getattr(block, f"conv{i}"), getattr(block, f"bn{i}")) for i in numbers}
            if block.downsample is not None:
                convs["downsample"] = conv_norm(*block.downsample)
            parts[f"layer{stage}_{index}"] = tuple({name: conv[i] for name, conv in convs.items()} for i in range(2))
    return tuple({name: part[i] for name, part in parts.items()} for i in range(2))


def barrelnet(model):
    """Flax's variables of a BarrelNet."""
    params, batch_stats = resnet(model.backbone)
    params = {
        "backbone": params,
        "projection": {"kernel": conv_kernel(model.input_proj), "bias": model.input_proj.bias.detach()},
        "query_positions": {"embedding": model.query_embed.weight.detach()},
        "decoder_norm": layer_norm(model.norm),
        "head": {f"layer{i}": dense(model.head[2 * (i - 1)]) for i in (1, 2, 3)},
    }
    params |= {f"encoder{i}": encoder_layer(layer) for i, layer in enumerate(model.encoder)}
    params |= {f"decoder{i}": decoder_layer(layer) for i, layer in enumerate(model.decoder)}
    if model.dqinit is not None:
        params["dqinit"] = {"dense": dense(model.dqinit)}
    return {"params": params, "batch_stats": {"backbone": batch_stats}}


def numpy(tree):
    """The same tree with numpy leaves."""
    return {name: numpy(leaf) if isinstance(leaf, dict) else leaf.contiguous().numpy() for name, leaf in tree.items()}
