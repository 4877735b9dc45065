# SPDX-License-Identifier: Apache-2.0
"""300W (68 points) with the paper's recipe; the download holds afw/, helen/, lfpw/ and ibug/.

python train.py --config configs/w300.py

The download is looked for in ~/.cache/barrel_jax/downloads/w300; --config.data.source=DIR names another folder.
360 epochs of 3,148 faces, 70,560 steps of 16; hours: not measured. The paper's test NME, full / common /
challenging, with ImageNet weights: 3.22 / 2.83 / 4.84 % (ResNet-18), 3.14 / 2.75 / 4.71 % (resnet50), 3.09 / 2.73 /
4.60 % (resnet101).
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.data.dataset = "w300"
    config.data.crop = "pipnet"
    return config
