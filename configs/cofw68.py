# SPDX-License-Identifier: Apache-2.0
"""300W to COFW-68: trains on 300W with the wider crops of that protocol, to be scored on COFW's faces.

python train.py --config configs/cofw68.py
python evaluate.py --workdir runs/cofw68 --dataset cofw68

Needs two downloads: 300W to train on, COFW-68 to score. They are looked for in ~/.cache/barrel_jax/downloads/w300 and
.../cofw68 (COFW_test_color.mat and COFW68_Data/); --config.data.source=DIR and --source DIR name other folders.
360 epochs of 3,148 faces, 70,560 steps of 16; hours: not measured. The paper's NME on COFW-68, with ImageNet
weights: 4.41 % (ResNet-18), 4.27 % (resnet101).
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.data.dataset = "w300"
    config.data.crop = "pipnet_cross"
    return config
