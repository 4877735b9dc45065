# SPDX-License-Identifier: Apache-2.0
"""Your own faces, from scratch: DIR/train.json, DIR/val.json (COCO keypoints) and DIR/images/.

python train.py --config configs/coco.py --workdir runs/faces --config.data.source=DIR

The recipe is for training without pretrained weights: one rate for everything but a backbone that learns twice as
fast, warm-up, cosine, averaged weights; no dropout, and of the augmentation flips, turns and shifts. 3,000 faces take
about an hour on 2 CPU cores and end at 4.65 % NME on other people's tight boxes; with dropout and all of the
augmentation they ended at 4.79 % (benchmarks/results/coco-curves.json, before boxes varied in training). From a run on
other faces, with boxes that vary: docs/results.md, "Own faces".
"""

from barrel_jax.config import Config
from configs.base import get_config as base


def get_config() -> Config:
    """The config."""
    config = base()
    config.pretrained = ""
    config.data.dataset = "coco"
    config.data.test_split = "val"
    config.data.image_size = 128
    config.optim.epochs = 30
    config.optim.learning_rate = 5e-4
    config.optim.backbone_multiplier = 2.0
    config.optim.schedule = "cosine"
    config.optim.warmup_epochs = 1.0
    config.optim.ema_decay = 0.998
    # Boxes will come from other detectors than the training set's: training sees looser, tighter and shifted ones, and
    # the picture around the crop, without which the border would tell the box.
    config.data.context = 0.25
    config.augment.box_prob = 0.5
    # Thirty epochs from scratch end far from overfitting: what makes faces harder costs more than it teaches.
    config.model.dropout = 0.0
    config.augment.occlude_prob = 0.0
    config.augment.blur_prob = 0.0
    config.augment.grey_prob = 0.0
    return config
