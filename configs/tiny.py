# SPDX-License-Identifier: Apache-2.0
"""Seconds, for tests: a small model on a few drawn faces.

python train.py --config configs/tiny.py --workdir runs/tiny
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.pretrained = ""
    config.batch_size = 8
    config.data.image_size = 32
    config.data.scheme = "cofw-29"
    config.data.synthetic_train = 48
    config.data.synthetic_test = 20
    config.model.backbone = "resnet10_w16"
    config.model.width = 32
    config.model.heads = 4
    config.model.feedforward = 64
    config.optim.epochs = 2
    config.optim.decay_epoch = 1
    config.optim.learning_rate = 1e-3
    config.optim.backbone_multiplier = 1.0
    config.loop.log_steps = 2
    config.loop.eval_epochs = 1
    config.loop.save_steps = 4
    return config
