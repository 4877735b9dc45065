# SPDX-License-Identifier: Apache-2.0
"""Your own faces with 300W's 68 points, from the small model that comes with the package, without a download.

python train.py --config configs/coco_small.py --workdir runs/faces --config.data.source=DIR

A ResNet-18 whose further blocks begin as the identity, both modules at the rank of 8 that the small model has, dropout
and all of PIPNet's augmentation. Boxes are taken as they are annotated; where a detector will lay them, give
--config.augment.box_prob=0.5 --config.data.context=0.25. 2,963 faces, which the small model had seen too, take an hour
of two CPU cores and end at 4.37 % on tight boxes (docs/results.md, "Own faces").
"""

from barrel_jax.config import Config
from configs.coco import get_config as own_faces


def get_config() -> Config:
    """The config."""
    config, plain = own_faces(), Config()
    config.init_from = "small"
    config.data.context = plain.data.context
    config.augment = plain.augment
    config.model.dropout = plain.model.dropout
    config.model.dqinit_rank = 8
    config.model.qamem_rank = 8
    config.optim.epochs = 40
    config.optim.backbone_multiplier = 1.0
    config.loop.eval_epochs = 5
    return config
