# SPDX-License-Identifier: Apache-2.0
"""COFW (29 points) with the paper's recipe; the download holds COFW_train_color.mat and COFW_test_color.mat.

python train.py --config configs/cofw.py

The download is looked for in ~/.cache/barrel_jax/downloads/cofw; --config.data.source=DIR names another folder.
360 epochs of 1,345 faces, 30,240 steps of 16; hours: not measured. The paper's test NME, with ImageNet weights:
3.24 % (ResNet-18), 3.13 % (resnet50), 3.10 % (resnet101).
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.data.dataset = "cofw"
    config.data.crop = "pipnet"
    return config
