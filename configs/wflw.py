# SPDX-License-Identifier: Apache-2.0
"""WFLW (98 points) with the paper's recipe; the download holds WFLW_images/ and WFLW_annotations/.

python train.py --config configs/wflw.py

The download is looked for in ~/.cache/barrel_jax/downloads/wflw; --config.data.source=DIR names another folder.
360 epochs of 7,500 faces, 168,480 steps of 16: by the time of a step, 11 minutes of an H100 (docs/speed.md). The
paper's test NME, with ImageNet weights: 4.42 % (ResNet-18), 4.24 % (resnet50), 4.20 % (resnet101).
--config.data.clamp_points=True moves points outside the image to its border as PIPNet does, which changes the truth
of a few faces.
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.data.dataset = "wflw"
    config.data.crop = "pipnet"
    return config
