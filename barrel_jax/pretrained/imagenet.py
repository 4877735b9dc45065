# SPDX-License-Identifier: Apache-2.0
"""The published ImageNet weights: where they are, fetched once, checked by their SHA-256."""

import hashlib
import http.client
import re
import shutil
import urllib.request
from pathlib import Path

from barrel_jax import files

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
    path = files.cache_home() / "weights" / address.rpartition("/")[2]
    if path.exists():
        _check_sha256(path, path, "delete it, and it is fetched again")
    else:
        print(f"fetching {address} to {path}")
        files.write(path, lambda temporary: _fetch(address, temporary, path))
    return path


def _fetch(address: str, temporary: Path, path: Path) -> None:
    try:
        with urllib.request.urlopen(address, timeout=60) as response, temporary.open("wb") as file:
            shutil.copyfileobj(response, file)
    except (OSError, http.client.HTTPException) as error:
        raise FileNotFoundError(
            f"{address} cannot be fetched ({error}); fetch it by other means and put it at {path}, "
            "or give a file with --config.pretrained=PATH"
        ) from error
    _check_sha256(temporary, path, f"{address} was cut short or is another file; try again")


def _check_sha256(content: Path, path: Path, remedy: str) -> None:
    # `content` is what is at `path`, or is about to be.
    expected = re.findall(r"-([0-9a-f]{8,})\.", path.name)[0]
    with files.open_file(content) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise ValueError(f"{path}: its SHA-256 begins with {found[: len(expected)]}, not {expected}: {remedy}")
