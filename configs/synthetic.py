# SPDX-License-Identifier: Apache-2.0
"""The demo: draws its own faces, trains, evaluates, makes a picture. Needs no download.

python train.py --config configs/synthetic.py --workdir runs/demo

2 CPU cores: about 3 minutes; test NME 7.2 % (benchmarks/results/demo.json).
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.pretrained = ""
    config.data.image_size = 64
    config.data.scheme = "300w-68"
    config.data.synthetic_train = 2400
    config.data.synthetic_test = 240
    config.optim.epochs = 4
    config.optim.learning_rate = 5e-4
    config.optim.backbone_multiplier = 2.0
    config.optim.schedule = "cosine"
    config.optim.warmup_epochs = 0.3
    config.optim.ema_decay = 0.99
    config.loop.eval_epochs = 2
    config.loop.save_steps = 1000  # longer than the run, which saves its end anyway
    return config
