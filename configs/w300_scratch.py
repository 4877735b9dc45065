# SPDX-License-Identifier: Apache-2.0
"""300W without ImageNet weights, as in docs/results.md: 128 px, 121 epochs of the training faces but a tenth.

python train.py --config configs/w300_scratch.py --config.pretrained=runs/pretrain.safetensors
python train.py --config configs/w300_scratch.py --config.optim.backbone_multiplier=2

The first starts from the backbone of a run of configs/pretrain.py, which says how, the second from random weights, from
which a backbone learns twice as fast. The tenth of the training faces that is kept is scored while it trains; the test
split is opened by python evaluate.py --workdir runs/w300_scratch --split test. 1,810 faces: Common 3.34 and 3.48 %, 96
and 217 seconds of an H200 that others shared, with the compiling of the second; on CPUs not measured.
"""

from barrel_jax.config import Config
from configs.coco import get_config as from_scratch
from configs.w300 import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.pretrained = ""
    config.batch_size = 32
    config.data.image_size = 128
    config.data.holdout = 0.1
    config.optim = from_scratch().optim
    config.optim.epochs = 121
    config.optim.backbone_multiplier = 1.0
    config.loop.eval_epochs = 24
    return config
