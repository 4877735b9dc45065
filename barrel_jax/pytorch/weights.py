# SPDX-License-Identifier: Apache-2.0
"""Weights both ways between the PyTorch and the Flax model.

Every kind of module says once, in `flax_views`, which Flax leaf each of its tensors is, as a view of that tensor in
Flax's layout (kernels [inputs, outputs] and [H, W, inputs, outputs]). Reading the views gives Flax's variables, writing
into them sets the module's weights: the two directions cannot differ.
"""

from collections.abc import Mapping
from functools import singledispatch

import numpy as np
import torch
from flax.traverse_util import flatten_dict, unflatten_dict
from torch import nn

from barrel_jax.arrays import ArrayTree
from barrel_jax.pytorch.barrelnet import BarrelNet, Head, Perceptron, QAMem
from barrel_jax.pytorch.hrnet import HighResolutionModule, HRNet
from barrel_jax.pytorch.resnet import BasicBlock, Bottleneck, ResNet
from barrel_jax.pytorch.transformer import Attention, DecoderLayer, EncoderLayer


@singledispatch
def flax_views(module: nn.Module) -> dict[str, torch.Tensor]:
    """Flax's leaves by path ('params/backbone/stem/conv/kernel'), each a view of a tensor of the module.

    Raises:
        ValueError: when a module's kind has no counterpart here.
    """
    kind = type(module).__name__
    raise ValueError(f"{kind}: no Flax names are known for it; say them in a function under @flax_views.register")


def nested(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """The leaves of several modules, each module's below its name in Flax ('conv1/norm')."""
    views = {}
    for name, module in modules.items():
        for path, view in flax_views(module).items():
            collection, leaf = path.split("/", 1)
            views[f"{collection}/{name}/{leaf}"] = view
    return views


@flax_views.register
def _(module: nn.Linear) -> dict[str, torch.Tensor]:
    bias = {} if module.bias is None else {"params/bias": module.bias}
    return {"params/kernel": module.weight.T} | bias


@flax_views.register
def _(module: nn.Conv2d) -> dict[str, torch.Tensor]:
    bias = {} if module.bias is None else {"params/bias": module.bias}
    return {"params/kernel": module.weight.permute(2, 3, 1, 0)} | bias


@flax_views.register
def _(module: nn.LayerNorm) -> dict[str, torch.Tensor]:
    return {"params/scale": module.weight, "params/bias": module.bias}


@flax_views.register
def _(module: nn.BatchNorm2d) -> dict[str, torch.Tensor]:
    statistics = {f"batch_stats/{name}": module.get_buffer(f"running_{name}") for name in ("mean", "var")}
    return {"params/scale": module.weight, "params/bias": module.bias} | statistics


def conv_norm(name: str, conv: nn.Module, norm: nn.Module, *_: nn.Module) -> dict[str, nn.Module]:
    """A convolution and its batch norm by their names in Flax; what else a sequence of modules ends with has none."""
    return {f"{name}/conv": conv, f"{name}/norm": norm}


@flax_views.register(BasicBlock)
@flax_views.register(Bottleneck)
def _(module: BasicBlock | Bottleneck) -> dict[str, torch.Tensor]:
    parts = conv_norm("conv1", module.conv1, module.bn1) | conv_norm("conv2", module.conv2, module.bn2)
    if isinstance(module, Bottleneck):
        parts |= conv_norm("conv3", module.conv3, module.bn3)
    if module.downsample is not None:
        parts |= conv_norm("downsample", *module.downsample)
    return nested(parts)


@flax_views.register
def _(module: ResNet) -> dict[str, torch.Tensor]:
    parts = conv_norm("stem", module.conv1, module.bn1)
    for stage in (1, 2, 3, 4):
        parts |= {f"layer{stage}_{index}": block for index, block in enumerate(getattr(module, f"layer{stage}"))}
    return nested(parts)


@flax_views.register
def _(module: HighResolutionModule) -> dict[str, torch.Tensor]:
    parts: dict[str, nn.Module] = {}
    for i, (blocks, ways) in enumerate(zip(module.branches, module.fuse_layers, strict=True)):
        parts |= {f"branch{i}_{index}": block for index, block in enumerate(blocks.children())}
        for j, way in enumerate(ways.children()):
            if j > i:
                parts |= conv_norm(f"fuse{i}_{j}", *way.children())
            elif j < i:
                for step, down in enumerate(way.children()):
                    parts |= conv_norm(f"fuse{i}_{j}_{step}", *down.children())
    return nested(parts)


@flax_views.register
def _(module: HRNet) -> dict[str, torch.Tensor]:
    parts = conv_norm("stem1", module.conv1, module.bn1) | conv_norm("stem2", module.conv2, module.bn2)
    parts |= {f"layer1_{index}": block for index, block in enumerate(module.layer1)}
    parts |= conv_norm("transition1_0", *module.transition1[0].children())
    for branch, stage in ((1, module.stage2), (2, module.stage3), (3, module.stage4)):
        lower = getattr(module, f"transition{branch}")[branch]
        parts |= conv_norm(f"transition{branch}_{branch}_0", *lower[0])
        parts |= {f"stage{branch + 1}_{index}": part for index, part in enumerate(stage)}
    return nested(parts)


@flax_views.register
def _(module: Attention) -> dict[str, torch.Tensor]:
    views: dict[str, torch.Tensor] = {}
    packed = zip(("query", "key", "value"), module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
    for name, weight, bias in packed:
        views |= {f"params/{name}/kernel": weight.T, f"params/{name}/bias": bias}
    return views | nested({"out": module.out_proj})


@flax_views.register
def _(module: QAMem) -> dict[str, torch.Tensor]:
    views: dict[str, torch.Tensor] = {}
    for index, layer in enumerate(module.layers, start=1):
        for name, parameter in layer.named_parameters():
            views[f"params/{'kernel' if name == 'weight' else name}{index}"] = parameter
    return views


@flax_views.register
def _(module: EncoderLayer) -> dict[str, torch.Tensor]:
    parts = {"self_attention": module.self_attn, "norm1": module.norm1, "norm2": module.norm2}
    return nested(parts | {"feedforward/linear1": module.linear1, "feedforward/linear2": module.linear2})


@flax_views.register
def _(module: DecoderLayer) -> dict[str, torch.Tensor]:
    parts: dict[str, nn.Module] = {"self_attention": module.self_attn, "cross_attention": module.multihead_attn}
    parts |= {"norm1": module.norm1, "norm2": module.norm2, "norm3": module.norm3}
    parts |= {"feedforward/linear1": module.linear1, "feedforward/linear2": module.linear2}
    return nested(parts if module.qamem is None else parts | {"qamem": module.qamem})


@flax_views.register
def _(module: Head) -> dict[str, torch.Tensor]:
    return nested({"layer1": module.layer1, "layer2": module.layer2, "layer3": module.layer3})


@flax_views.register
def _(module: Perceptron) -> dict[str, torch.Tensor]:
    return nested({"layer1": module.layer1, "layer2": module.layer2})


@flax_views.register
def _(module: BarrelNet) -> dict[str, torch.Tensor]:
    if module.regression is not None:
        return nested({"backbone": module.backbone, "regression": module.regression})
    parts: dict[str, nn.Module] = {"backbone": module.backbone, "projection": module.input_proj}
    parts |= {"decoder_norm": module.norm, "head": module.head}
    parts |= {f"encoder{index}": layer for index, layer in enumerate(module.encoder)}
    parts |= {f"decoder{index}": layer for index, layer in enumerate(module.decoder)}
    if isinstance(module.dqinit, nn.Sequential):
        parts |= {"dqinit/reduce": module.dqinit[0], "dqinit/dense": module.dqinit[1]}
    elif module.dqinit is not None:
        parts["dqinit/dense"] = module.dqinit
    further = {"reference": module.reference, "offset_head": module.offset_head, "scale": module.scale}
    parts |= {name: part for name, part in further.items() if part is not None}
    return nested(parts) | {"params/query_positions/embedding": module.query_embed.weight}


def _all_views(model: nn.Module) -> dict[str, torch.Tensor]:
    # The views, or an error where a tensor of the model is behind none of them.
    views = flax_views(model)
    seen = {view.untyped_storage().data_ptr() for view in views.values()}
    # A count of batches, which batch norm with a momentum does not read, has no counterpart in Flax.
    tensors = {name: t for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    unseen = [name for name, tensor in tensors.items() if tensor.untyped_storage().data_ptr() not in seen]
    if unseen:
        raise ValueError(f"{type(model).__name__}: flax_views has no names for {', '.join(unseen)}")
    return views


def to_flax(model: nn.Module) -> ArrayTree:
    """Flax's variables {'params', 'batch_stats'} of a module, copied to numpy.

    Raises:
        ValueError: when the module or a part of it has no counterpart in Flax.
    """
    leaves = {path: view.detach().cpu().numpy().copy(order="C") for path, view in _all_views(model).items()}
    return unflatten_dict(leaves, sep="/")


def from_flax(variables: ArrayTree, model: nn.Module) -> None:
    """Sets every weight and every running statistic of a module to those of Flax's variables.

    Raises:
        ValueError: when a leaf is missing, extra or of another shape, naming all of them; nothing is changed then.
    """
    views = _all_views(model)
    leaves = {path: np.asarray(leaf) for path, leaf in flatten_dict(dict(variables), sep="/").items()}
    wrong = {
        "missing": [path for path in views if path not in leaves],
        "extra": [path for path in leaves if path not in views],
        "of another shape": [
            f"{path} {leaves[path].shape}, not {tuple(view.shape)}"
            for path, view in views.items()
            if path in leaves and leaves[path].shape != tuple(view.shape)
        ],
    }
    if any(wrong.values()):
        found = "; ".join(f"{what}: {', '.join(paths)}" for what, paths in wrong.items() if paths)
        raise ValueError(f"variables do not fit this {type(model).__name__}, make it with the same config: {found}")
    with torch.no_grad():
        for path, view in views.items():
            view.copy_(torch.tensor(leaves[path]))
