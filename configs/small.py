# SPDX-License-Identifier: Apache-2.0
"""The small model that comes with the package (docs/models/small.md): a ResNet-10, per-query weights of rank 8.

python train.py --config configs/small.py --config.data.source=DIR --config.init_from=RUN
python -m barrel_jax.export runs/small --formats packed

DIR holds real faces with 300W's 68 points (COCO keypoints), beside which faces are drawn. Boxes vary while it trains,
with the picture around the crops, so that another detector's box does little harm; every point has a scale of its
error. RUN is a longer run of the same model: 52 epochs of 12,000 drawn faces and 5,143 visits to 2,963 real ones,
about three minutes of an H100 (benchmarks/gpu/recipes.py, `small`). How long the 16 epochs from it take was not
recorded.
"""

from barrel_jax.config import Config
from configs.coco import get_config as own_faces


def get_config() -> Config:
    """The config."""
    config = own_faces()
    config.batch_size = 32
    config.data.also = (("synthetic", "", 0.3),)
    config.data.synthetic_train = 4_000
    config.data.context = 0.25
    config.model.backbone = "resnet10"
    config.model.feedforward = 1024
    config.model.dqinit_rank = 8
    config.model.qamem_rank = 8
    config.model.reference_points = True
    config.model.uncertainty = True
    config.augment.box_prob = 0.8
    config.augment.box_shift = 0.12
    config.augment.box_scale = 0.25
    config.optim.epochs = 16
    config.optim.learning_rate = 3e-4
    config.optim.backbone_multiplier = 1.0
    config.optim.dqinit_loss = 0.5
    config.loop.eval_epochs = 4
    return config
