# SPDX-License-Identifier: Apache-2.0
"""Weights for the backbones from PyTorch's files, and back into them; a file that does not fit exactly is refused.

A file is a state dict of torchvision's ResNets or timm's `hrnet_w18` (timm's ResNets have torchvision's names), as
`.pth` (PyTorch's pickle, tensors only) or `.safetensors` (read without PyTorch).
"""

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from barrel_jax.arrays import ArrayTree
from barrel_jax.backbones import BACKBONES
from barrel_jax.models.backbone import make_backbone
from barrel_jax.models.build import shapes_of
from barrel_jax.pretrained.imagenet import find_weights
from barrel_jax.pretrained.state_dicts import read_state_dict, write_state_dict
from barrel_jax.pretrained.torch_names import to_flax, to_torch, torch_shapes

# What a file may hold beside the backbone and its classifier: counters that only a run in PyTorch would need.
COUNTER = ".num_batches_tracked"


def load(pretrained: str, backbone: str) -> ArrayTree:
    """The weights that `config.pretrained` ('imagenet' or a file) names, as the {params, batch_stats} of a backbone.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be fetched.
        ValueError: the file is not what it should be, or a folder, such as a run's.
    """
    if Path(pretrained).is_dir():
        raise ValueError(
            f"config.pretrained={pretrained}: this is a folder, and a backbone's weights are a file (.pth or "
            f".safetensors); to start from a run of one's own: --config.init_from={pretrained}"
        )
    return read_backbone(find_weights(backbone) if pretrained == "imagenet" else Path(pretrained), backbone)


def read_backbone(path: Path, backbone: str) -> ArrayTree:
    """A backbone's {params, batch_stats}, float32, from a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is of another architecture, has names missing, too many or of another shape (all
          are listed), or numbers that are not finite.
    """
    path = Path(path)
    weights = read_state_dict(path)
    wrong = _differences(weights, backbone)
    if wrong:
        for other in BACKBONES:
            if not _differences(weights, other):
                raise ValueError(
                    f"{path}: these are the weights of {other}, and config.model.backbone is {backbone!r}; "
                    f"set --config.model.backbone={other}, or give another file"
                )
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in wrong.items())
        lists = "".join(f"\n{kind}: {', '.join(names)}" for kind, names in wrong.items())
        raise ValueError(f"{path}: these are not the weights of {backbone}: {counts}{lists}")
    like = _abstract(backbone)
    broken = [name for name in torch_shapes(like) if not np.isfinite(weights[name]).all()]
    if broken:
        more = f" and {len(broken) - 1} more" if broken[1:] else ""
        raise ValueError(f"{path}: {broken[0]}{more} holds NaN or infinite numbers; give another file")
    return to_flax(weights, like)


def write_backbone(path: Path, variables: ArrayTree) -> None:
    """Writes a backbone's {params, batch_stats} as PyTorch's state dict, `.safetensors` or `.pth`.

    Raises:
        ValueError: the name ends otherwise.
    """
    weights = to_torch(variables)
    means = [name for name in weights if name.endswith(".running_mean")]
    weights |= {name.replace(".running_mean", COUNTER): np.zeros((), np.int64) for name in means}
    write_state_dict(Path(path), weights)


def _abstract(backbone: str) -> dict[str, Any]:
    """Shapes of the backbone's variables; the stride and the norm change none of them."""
    return shapes_of(make_backbone(backbone, max(BACKBONES[backbone].strides), "batch", jnp.float32), 32)


def _differences(weights: dict[str, np.ndarray], backbone: str) -> dict[str, list[str]]:
    """What a state dict has too few, too many and of another shape, each with its names; {} when it fits."""
    expected = torch_shapes(_abstract(backbone))

    def known(name: str) -> bool:
        if re.match(BACKBONES[backbone].classifier, name):
            return True
        return name.endswith(COUNTER) and name.replace(COUNTER, ".running_mean") in expected

    found = {
        "missing": [name for name in expected if name not in weights],
        "extra": [name for name in weights if name not in expected and not known(name)],
        "of another shape": [
            f"{name} {weights[name].shape} {weights[name].dtype} for {shape}"
            for name, shape in expected.items()
            if name in weights
            and (weights[name].shape != shape or not jnp.issubdtype(weights[name].dtype, jnp.floating))
        ],
    }
    return {kind: names for kind, names in found.items() if names}
