# SPDX-License-Identifier: Apache-2.0
"""The published ImageNet weights: where they are, fetched once, checked by their SHA-256."""

import re
from pathlib import Path

from barrel_jax import files
from barrel_jax.fetching import fetch

# torchvision's IMAGENET1K_V1 and timm's; after the dash are the first digits of the file's SHA-256.
ADDRESSES = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "resnet101": "https://download.pytorch.org/models/resnet101-63fe2227.pth",
    "hrnet_w18": "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-hrnet/hrnetv2_w18-8cb57bb9.pth",
}


def find_weights(backbone: str) -> Path:
    """The file of the ImageNet weights in $BARREL_JAX_DATA/weights (~/.cache/barrel_jax/weights), fetched if need be.

    Raises:
        FileNotFoundError: it is not there and cannot be fetched.
        ValueError: nobody has published any, or its SHA-256 is not that of its name.
    """
    if backbone not in ADDRESSES:
        raise ValueError(
            f"config.pretrained='imagenet': none are published for {backbone}, only for {', '.join(ADDRESSES)}; give a "
            "file with --config.pretrained=PATH, or '' to start from drawn weights"
        )
    address = ADDRESSES[backbone]
    name = address.rpartition("/")[2]
    begins = re.findall(r"-([0-9a-f]{8,})\.", name)[0]
    otherwise = ", or give a file with --config.pretrained=PATH"
    return fetch(address, files.cache_home() / "weights" / name, begins, otherwise)
